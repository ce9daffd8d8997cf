"""The answer of a what-if: both directions of the difference, who is hit, who learns of it, and until when."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sim.files import write_together
from sim.results import findings
from sim.results.intervals import across
from sim.scenario import Scenario
from sim.studies.notices import ALERT, BOUNCE, CHANNELS, NOBODY
from sim.studies.parting import COUNTS, KINDS, MAIN_KINDS, MEASURES, WAITING, Parting
from sim.studies.replications import told_precision
from sim.studies.whatif_ends import IF
from sim.studies.whatif_words import Facts, sentence
from sim.terms import Fate, Reason

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

Floats = NDArray[np.float64]

_US_PER_H = 3.6e9
_AT = {name: i for i, name in enumerate(COUNTS)}
#: Columns of the tables by domain, entry and provider, and the counts they show.
_COLUMNS = {
    "messages": "all",
    "part_ways_messages": "part_ways",
    **{f"{kind}_messages": kind for kind in (*KINDS, *WAITING)},
    "harmed_messages": "harmed",
    "later_min": "later_min",
    "sooner_min": "sooner_min",
}


@dataclass(frozen=True, eq=False)
class WhatIfResult:
    """Where the same mail parts ways before and after a change.

    Messages are means over the replications; shares are shares of injected messages. A message *parts ways* when it
    bounces in one run and not in the other, travels in clear in one and not in the other, is delivered a minute or
    more later or sooner, or is queued at the end of one run and not of the other. Intervals are t-intervals of the
    mean over the replications, 95 %; the differences are taken replication by replication, between runs of the same
    chance.

    Attributes
    ----------
    before, after : the two scenarios.
    parts : for each replication, what the two runs came to.
    patterns : one row a pattern that was set (`sim.studies.whatif.patterns_frame`).
    meta : the change, seeds, hashes, population, version.
    other_end : the same change where certificates carry the PTR name as their CN, or where none does: at the other end
        of what nobody has measured. None where the answer does not rest on it, or one end was asked for.
    """

    before: Scenario
    after: Scenario
    parts: tuple[Parting, ...]
    patterns: DataFrame
    meta: dict[str, Any]
    other_end: WhatIfResult | None = None

    def sentence(self) -> str:
        """Return the answer in one sentence, without a full stop."""
        return sentence(self._facts)

    def other_sentence(self, *, short: bool = False) -> str | None:
        """Return the answer at the other end in one sentence, without a full stop; None where there is no other end."""
        end = self.other_end
        if end is None:
            return None
        said = end.title() if short else end.sentence()
        return f"{IF[end.meta['cn_is_ptr']]}: {said[0].lower()}{said[1:]}"

    def title(self) -> str:
        """Return the sentence's short form, for a chart: clear text and bounces alone, where there are any."""
        return sentence(self._facts, short=True)

    def caption(self) -> str:
        """Return what varied and how much, and what stood still."""
        meta = self.meta
        return findings.caption(
            n=meta["replications"],
            vary=meta["vary"],
            precise=told_precision(meta),
            seed=meta["seed"],
            population=meta["population"],
            weighting=meta["weighting"],
            messages=round(float(self.injected.mean())),
            domains=meta["domains"],
            until_s=meta["until_s"],
        )

    @property
    def ends_early(self) -> bool:
        """Tell whether the runs end before all mail has its fate."""
        return self.meta["until_s"] is not None

    @cached_property
    def injected(self) -> Floats:
        """Messages injected, by replication."""
        return np.array([part.fates[..., 0].sum() for part in self.parts], dtype=np.float64)

    @cached_property
    def _facts(self) -> Facts:
        kinds = self.kinds()
        first = [part.first_bounce_us / 1e6 for part in self.parts if part.first_bounce_us >= 0]
        fates = np.mean([part.fates[..., 0] for part in self.parts], axis=0)
        minutes = self._totals[:, [_AT["later_min"], _AT["sooner_min"]]].mean(axis=0)
        return Facts(
            changes=self.meta["change"],
            days=self.meta["days"],
            injected=float(self.injected.sum()),
            differing=sum(part.differing for part in self.parts),
            messages=dict(zip(kinds["kind"], kinds["messages"].tolist(), strict=True)),
            share=dict(zip(kinds["kind"], kinds["share"].tolist(), strict=True)),
            clear_bounced=float(fates[Fate.IN_CLEAR, Fate.BOUNCED]),
            waiting={
                "newly_waiting": {fate: float(fates[fate, Fate.QUEUED]) for fate in Fate if fate != Fate.QUEUED},
                "no_longer_waiting": {fate: float(fates[Fate.QUEUED, fate]) for fate in Fate if fate != Fate.QUEUED},
            },
            minutes=dict(zip(("later", "sooner"), minutes.tolist(), strict=True)),
            first_bounce_s=float(np.mean(first)) if first else None,
        )

    def directions(self) -> DataFrame:
        """Return one row a (fate before, fate after), both directions.

        Columns: before, after, messages, recipients, share (of injected messages), low, high, recipients_share (of
        injected recipients). The messages sum to those injected.
        """
        import pandas as pd

        shown = [fate for fate in Fate if fate != Fate.QUEUED or self.ends_early]
        fates = np.stack([part.fates for part in self.parts]).astype(np.float64)
        with np.errstate(invalid="ignore"):
            shares = fates / fates.sum(axis=(1, 2), keepdims=True)
        share, recipients = across(list(shares[..., 0])), across(list(shares[..., 1])).mean
        mean = fates.mean(axis=0)
        rows = [
            {
                "before": was.label,
                "after": is_.label,
                "messages": mean[was, is_, 0],
                "recipients": mean[was, is_, 1],
                "share": share.mean[was, is_],
                "low": share.low[was, is_],
                "high": share.high[was, is_],
                "recipients_share": recipients[was, is_],
            }
            for was in shown
            for is_ in shown
        ]
        return pd.DataFrame(rows)

    def kinds(self) -> DataFrame:
        """Return one row a kind of difference: kind, messages, share (of injected messages), low, high.

        Kinds overlap: mail that bounces instead of travelling in clear is both ``newly_bounced`` and
        ``clear_avoided``. Mail that is queued at the end of one run only is of no other kind: ``newly_waiting`` or
        ``no_longer_waiting``, in runs that end early. ``part_ways`` and ``harmed`` (newly bounced, later, or delivered
        today and newly waiting) count each message once.
        """
        import pandas as pd

        names = ("part_ways", *KINDS, *(WAITING if self.ends_early else ()), "harmed")
        totals = self._totals[:, [_AT[name] for name in names]]
        with np.errstate(invalid="ignore"):
            share = across(list(totals / self.injected[:, None]))
        return pd.DataFrame(
            {"kind": names, "messages": totals.mean(axis=0), "share": share.mean, "low": share.low, "high": share.high}
        )

    def measures(self) -> DataFrame:
        """Return one row a measure of all mail: what it is before and after, and how sure the difference is.

        Columns: measure, unit, before, after, difference, low, high, variance_saved (1 - variance of the paired
        difference / variance of the difference of two unpaired runs; missing with one replication or no variance).
        """
        import pandas as pd

        both = np.stack([part.measures for part in self.parts])
        difference = across(list(both[..., 1] - both[..., 0]), clip=None)
        before, after = (across(list(both[..., side]), clip=None).mean for side in (0, 1))
        frame = pd.DataFrame(
            {
                "measure": [name for name, _ in MEASURES],
                "unit": [unit for _, unit in MEASURES],
                "before": before,
                "after": after,
                "difference": difference.mean,
                "low": difference.low,
                "high": difference.high,
                "variance_saved": _saved(both),
            }
        )
        return frame if self.ends_early else frame[frame["measure"] != Fate.QUEUED.label].reset_index(drop=True)

    def by_domain(self) -> DataFrame:
        """Return the destinations at which something differs, those with the most messages that part ways first.

        Columns: domain; messages (those injected to it, of replications in which something differs), then
        part_ways_messages, newly_bounced_messages, ... harmed_messages, later_min and sooner_min (added and saved
        minutes of mail that is a minute or more later or sooner), main_reason (what keeps harmed mail from being sent
        after the change, or kept eased mail before; empty where neither is).
        """
        return self._ranked("domains", ["domain"])

    def by_provider(self) -> DataFrame:
        """Return the providers; columns as for `by_domain`, messages of all replications."""
        return self._ranked("providers", ["provider"])

    def by_entry(self) -> DataFrame:
        """Return the policy entries: entry_before, setting_before, entry_after, setting_after; then as `by_domain`."""
        return self._ranked("entries", ["entry_before", "setting_before", "entry_after", "setting_after"])

    def notices(self) -> DataFrame:
        """Return how the harm of the change would be noticed, one row a channel.

        Harmed is mail that the change bounces, or that it delivers a minute or more later; where a run ends early,
        also mail that is delivered today and queued a minute or more longer, to the end. Columns: channel, tells,
        switched_on, first_h (hours after the change, mean over the replications in which there is one), messages
        (harmed ones it covers, were it on), share (of harmed messages), rests_on.
        """
        import pandas as pd

        messages = np.array([part.notices.messages for part in self.parts], dtype=np.float64)
        first_h = np.array([part.notices.first_us for part in self.parts]) / _US_PER_H
        harmed = sum(part.notices.harmed for part in self.parts)
        on = {ALERT: self.meta["tls_alert_on"], BOUNCE: True}
        rows = [
            {
                "channel": channel,
                "tells": tells,
                "switched_on": None if channel == NOBODY else on.get(channel, False),
                "first_h": _mean_of_known(first_h[:, i]),
                "messages": messages[:, i].mean(),
                "share": messages[:, i].sum() / harmed if harmed else np.nan,
                "rests_on": rests_on,
            }
            for i, (channel, tells, rests_on) in enumerate(CHANNELS)
        ]
        return pd.DataFrame(rows)

    def rollback(self) -> DataFrame:
        """Return hour by hour what a rollback at that time would find, means over the replications.

        Columns: hour_h (after the change), waiting_before_messages, waiting_after_messages, extra_waiting_messages
        (those that wait and would have their fate without the change; others may wait no more),
        newly_bounced_messages (lost by then, beyond recall).
        """
        import pandas as pd

        hours = max(part.queue.shape[0] for part in self.parts)
        ends = [np.pad(part.queue, ((0, hours - part.queue.shape[0]), (0, 0)), mode="edge") for part in self.parts]
        before, after, extra, lost = np.mean(ends, axis=0).T
        return pd.DataFrame(
            {
                "hour_h": np.arange(1, hours + 1),
                "waiting_before_messages": before,
                "waiting_after_messages": after,
                "extra_waiting_messages": extra,
                "newly_bounced_messages": lost,
            }
        )

    def deadline(self) -> dict[str, float | None]:
        """Return the hours that matter to a rollback, after the change; None where no mail is lost.

        ``loss_begins_h``: the earliest arrival of mail that is lost, plus its time in queue (or the hour at which mail
        is refused for good), the earliest of all replications. ``first_bounce_h``: the first of these bounces.
        ``roll_back_by_h``: the first less the longest wait of a destination that is down, since waiting mail is tried
        again when its timer falls due and not when the table changes.

        Runs that end early have more: ``censored`` (mail of which the end leaves open whether it is lost might be lost
        before any that is: ``loss_begins_h`` is then of the losses seen, and there is no ``roll_back_by_h``),
        ``open_messages`` (that mail), ``newly_waiting_messages`` (queued at the end, and not today).
        """
        seen = self._losses()
        if not self.ends_early:
            return seen
        opens = min((part.open_us for part in self.parts if part.open_us >= 0), default=None)
        begins = seen["loss_begins_h"]
        censored = opens is not None and (begins is None or opens / _US_PER_H < begins)
        return {
            **(seen | {"roll_back_by_h": None} if censored else seen),
            "censored": censored,
            "open_messages": float(np.mean([part.open_messages for part in self.parts])),
            "newly_waiting_messages": float(self._totals[:, _AT["newly_waiting"]].mean()),
        }

    def _losses(self) -> dict[str, float | None]:
        """Return the hours of the losses within the runs."""
        loss, bounce = (
            min((us for part in self.parts if (us := getattr(part, name)) >= 0), default=None)
            for name in ("loss_us", "first_bounce_us")
        )
        if loss is None or bounce is None:
            return {"loss_begins_h": None, "first_bounce_h": None, "roll_back_by_h": None}
        begins = loss / _US_PER_H
        by = max(begins - self.meta["longest_wait_s"] / 3_600, 0.0)
        return {"loss_begins_h": begins, "first_bounce_h": bounce / _US_PER_H, "roll_back_by_h": by}

    def figure(self) -> Figure:
        """Draw both directions of the difference, and where most messages part ways."""
        from sim.results.chart_whatif import whatif

        kinds, where, caption = self.kinds(), self._main_kinds(), self.caption()
        for kind, waits in (("later", "newly_waiting"), ("sooner", "no_longer_waiting")):
            where[kind] += where.pop(waits)
        told = self._totals[:, [_AT[kind] for kind in WAITING]].mean(axis=0)
        if told.any():
            kinds = self._kinds_with_waiting(kinds)
            caption += (
                f" Delayed and later: also mail queued at the end of the run and not today ({told[0]:,.0f}); sooner: "
                f"also mail queued then today alone ({told[1]:,.0f})."
            )
        if other := self.other_sentence(short=True):
            caption += f" {other}."
        return whatif(kinds, where, title=self.title(), caption=caption)

    def write(self, folder: str | Path) -> list[Path]:
        """Write every table as CSV, ``whatif.png`` and ``meta.json``, all or none; return their paths.

        Raises
        ------
        OutputError
            When the folder cannot be written.
        """
        from sim.results import charts

        frames = self.frames()
        files: dict[str, str | bytes] = {
            f"{name}.csv": frame.to_csv(index=False, lineterminator="\n", float_format="%.10g")
            for name, frame in frames.items()
        }
        told = self.meta | {"sentence": self.sentence(), "rollback": {"censored": False} | self.deadline()}
        if self.other_end is not None:
            told["other_end"] = self.other_end.document()
        files["meta.json"] = json.dumps(told, indent=2, sort_keys=True) + "\n"
        files["whatif.png"] = charts.render(self.figure(), "png")
        return write_together(folder, files)

    def document(self) -> dict[str, Any]:
        """Return the answer in short, as JSON holds it for the other end."""
        kinds = self.kinds().astype(object)
        return {
            "cn_is_ptr": self.meta["cn_is_ptr"],
            "sentence": self.sentence(),
            "kinds": kinds.where(kinds.notna(), None).to_dict("records"),
            "rollback": {"censored": False} | self.deadline(),
            "world_hashes": self.meta["world_hashes"],
        }

    def frames(self) -> dict[str, DataFrame]:
        """Return every table by name."""
        return {
            "directions": self.directions(),
            "kinds": self.kinds(),
            "measures": self.measures(),
            "by_domain": self.by_domain(),
            "by_entry": self.by_entry(),
            "by_provider": self.by_provider(),
            "notices": self.notices(),
            "rollback": self.rollback(),
            "patterns": self.patterns,
        }

    @cached_property
    def _totals(self) -> Floats:
        """Counts of all mail (replication, `COUNTS`)."""
        width = len(COUNTS) + len(Reason)
        return np.stack([sum(part.providers.values(), start=np.zeros(width)) for part in self.parts])[:, : len(COUNTS)]

    def _ranked_rows(self, which: str) -> tuple[list[Hashable], Floats]:
        """Return names and mean rows, most messages that part ways first, then most that change their verification."""
        merged: dict[Hashable, Floats] = {}
        for part in self.parts:
            rows: Mapping[Hashable, Floats] = getattr(part, which)
            for name, row in rows.items():
                merged[name] = merged[name] + row if name in merged else row
        names = list(merged)
        table = np.stack([merged[n] for n in names]) if names else np.zeros((0, len(COUNTS) + len(Reason)))
        seen = table[:, _AT["verified_gained"]] + table[:, _AT["verified_lost"]]
        order = np.lexsort((-table[:, _AT["all"]], -seen, -table[:, _AT["part_ways"]]))
        return [names[i] for i in order.tolist()], table[order] / len(self.parts)

    def _ranked(self, which: str, columns: Sequence[str]) -> DataFrame:
        import pandas as pd

        names, table = self._ranked_rows(which)
        parts = [name if isinstance(name, tuple) else (name,) for name in names]
        frame = pd.DataFrame({column: [name[i] for name in parts] for i, column in enumerate(columns)}, dtype=object)
        for column, count in _COLUMNS.items():
            if count not in WAITING or self.ends_early:
                frame[column] = table[:, _AT[count]]
        reasons = table[:, len(COUNTS) :].copy()
        reasons[:, Reason.NONE] = 0
        labels = [reason.label for reason in Reason]
        frame["main_reason"] = [labels[int(row.argmax())] if row.any() else "" for row in reasons]
        return frame

    def _kinds_with_waiting(self, kinds: DataFrame) -> DataFrame:
        """Count mail that waits at the end as later or sooner: a chart has no row of its own for it."""
        frame = kinds.set_index("kind")
        for kind, waits in (("later", "newly_waiting"), ("sooner", "no_longer_waiting")):
            totals = self._totals[:, _AT[kind]] + self._totals[:, _AT[waits]]
            share = across(list((totals / self.injected)[:, None]))
            frame.loc[kind, ["messages", "share", "low", "high"]] = [
                totals.mean(), share.mean[0], share.low[0], share.high[0]
            ]  # fmt: skip
        return frame.reset_index()

    def _main_kinds(self) -> DataFrame:
        """Return name of a destination and, a column a main kind, messages: exclusive, all that part ways."""
        import pandas as pd

        names, table = self._ranked_rows("domains")
        columns = {kind: table[:, _AT[f"main_{kind}"]] for kind in MAIN_KINDS}
        frame = pd.DataFrame({"name": [str(name) for name in names], **columns})
        return frame[frame[list(MAIN_KINDS)].sum(axis=1) > 0].reset_index(drop=True)


def _saved(both: Floats) -> Floats:
    if both.shape[0] < 2:
        return np.full(both.shape[1], np.nan)
    apart = both.var(axis=0, ddof=1).sum(axis=1)
    paired = (both[..., 1] - both[..., 0]).var(axis=0, ddof=1)
    return np.where(apart > 0, 1 - paired / np.where(apart > 0, apart, 1.0), np.nan)


def _mean_of_known(hours: Floats) -> float:
    known = hours[hours >= 0]
    return float(known.mean()) if known.size else np.nan
