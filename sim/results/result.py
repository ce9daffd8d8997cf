"""The result of one run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.errors import ScenarioError
from sim.files import write_together
from sim.results import tables
from sim.results.labels import GATEWAY_SETTINGS, Labels
from sim.results.records import connections_frame, messages_frame, needed_of_connections, needed_of_messages
from sim.results.sinks import CountSink, Records, RecordSink
from sim.results.timeline import marks, timeline
from sim.terms import Fate

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

#: Engines give the same result, so which one it was is told by ``meta`` alone.
_NO_QUANTITY = ("engine",)
_META_ORDER = (
    "seed", "days", "until_s", "policy_hash", "population", "population_hash", "world_hash",
    "setting", "version", "note", "window_us",
)  # fmt: skip


class Result:
    """What came out of one run. Shares are shares of injected mail; frames carry units in their column names.

    Parameters
    ----------
    labels : names of the codes.
    counts : the sink the engine fed; with the rows where every message was kept, in memory or in files.
    meta : what was run: policy_hash, world_hash, population_hash, seed, version, days, until_s (None: the run drained),
        engine, peak_connections, ceiling_reached (it held an opening back), timeline (label, at_h, for_h of each
        event), ... Any other key is kept and shown.
    """

    def __init__(self, labels: Labels, counts: CountSink | Records, meta: Mapping[str, Any] | None = None) -> None:
        self.labels = labels
        self.meta: dict[str, Any] = dict(meta or {})
        self._source = counts
        self._records = None if isinstance(counts, CountSink) else counts

    def __repr__(self) -> str:
        return (
            f"<Result: {self.injected:,} messages injected = {self.delivered:,} delivered + {self.bounced:,} bounced"
            f" + {self.queued:,} queued>"
        )

    @property
    def counts(self) -> CountSink:
        """The counts all tables are made of."""
        return self._source if isinstance(self._source, CountSink) else self._source.counts

    @property
    def injected(self) -> int:
        """Messages injected."""
        return int(self.counts.sums["messages"].sum())

    @property
    def delivered(self) -> int:
        """Messages delivered, in clear or encrypted."""
        return int(self.counts.sums["messages"][:, : Fate.BOUNCED].sum())

    @property
    def bounced(self) -> int:
        """Messages that hard-bounced."""
        return int(self.counts.sums["messages"][:, Fate.BOUNCED].sum())

    @property
    def queued(self) -> int:
        """Messages still queued when a censored run ended; 0 for a run that drained."""
        return int(self.counts.sums["messages"][:, Fate.QUEUED].sum())

    @property
    def messages(self) -> DataFrame:
        """Every message, sorted by destination and ordinal (columns: `sim.results.records.messages_frame`).

        Raises
        ------
        ScenarioError
            When the run kept no records.
        """
        return self.read_messages()

    @property
    def connections(self) -> DataFrame:
        """Every connection (columns: `sim.results.records.connections_frame`); error as for `messages`."""
        return self.read_connections()

    def read_messages(self, columns: Sequence[str] | None = None) -> DataFrame:
        """Return some columns of `messages`; where rows are kept in files, only what those need is read.

        Parameters
        ----------
        columns : names of columns, in the order wanted; all where None.

        Raises
        ------
        ScenarioError
            When the run kept no records, or has no such column.
        """
        kept = self._kept("messages").message_columns(needed_of_messages(columns))
        return messages_frame(kept, self.labels, columns)

    def read_connections(self, columns: Sequence[str] | None = None) -> DataFrame:
        """Return some columns of `connections`; parameter and errors as of `read_messages`."""
        kept = self._kept("connections").connection_columns(needed_of_connections(columns))
        return connections_frame(kept, self.labels, columns)

    def totals(self) -> dict[str, Any]:
        """Return the measures of all mail, a plain number each; replications are combined from these."""
        return tables.totals(self.counts)

    def summary(self) -> DataFrame:
        """Return quantity, value: the measures of all mail, then what was run. The unit ends the quantity's name."""
        import pandas as pd

        values: dict[str, Any] = self.totals()
        of_all = ("peak_connections", "ceiling_reached")
        values |= {name: self.meta[name] for name in of_all if self.meta.get(name) is not None}
        known = [key for key in _META_ORDER if self.meta.get(key) is not None]
        told = {*known, *values, *_NO_QUANTITY}
        others = [key for key in self.meta if key not in told and self.meta[key] is not None]
        values |= {key: self.meta[key] for key in (*known, *others) if self.meta[key] != []}
        return pd.DataFrame({"quantity": list(values), "value": pd.Series(list(values.values()), dtype=object)})

    def by_setting(self) -> DataFrame:
        """Return one row a TLS setting in use (see `sim.results.tables.by_setting`)."""
        return tables.by_setting(self.counts)

    def by_entry(self) -> DataFrame:
        """Return one row a policy entry, also those no mail matched (see `sim.results.tables.by_entry`)."""
        return tables.by_entry(self.counts)

    def by_domain(self) -> DataFrame:
        """Return one row a destination (see `sim.results.tables.by_domain`)."""
        return tables.by_domain(self.counts)

    def by_provider(self) -> DataFrame:
        """Return one row a provider, most mail first (see `sim.results.tables.by_provider`)."""
        return tables.by_provider(self.counts)

    def timeline(self, interval: str | float = "1h") -> DataFrame:
        """Return the run over time, one row an interval (see `sim.results.timeline.timeline`).

        Parameters
        ----------
        interval : a positive multiple of a minute: ``"5min"``, ``"1h"``, ``"1day"`` or a number of seconds.

        Raises
        ------
        ScenarioError
            When the interval is anything else.
        """
        horizon_s = self.meta.get("until_s") or float(self.meta.get("days") or 0) * 86_400
        return timeline(self.counts.minutes, interval, float(horizon_s))

    @property
    def plot(self) -> Plots:
        """Charts of this result: ``fates()``, ``queue()``, ``delay()``."""
        return Plots(self)

    def write(self, folder: str | Path, interval: str | float = "5min") -> list[Path]:
        """Write all frames as CSV and what was run as ``meta.json``; return the paths.

        All files are written beside their places first and renamed when the last is complete. Rows that are kept in
        files stay where they are.

        Raises
        ------
        OutputError
            When the folder cannot be written: it names the folder, and nothing partial is left.
        """
        frames = {
            "summary": self.summary(), "by_setting": self.by_setting(), "by_entry": self.by_entry(),
            "by_domain": self.by_domain(), "by_provider": self.by_provider(), "timeline": self.timeline(interval),
        }  # fmt: skip
        if isinstance(self._records, RecordSink):
            frames |= {"messages": self.messages, "connections": self.connections}
        texts = {f"{name}.csv": frame.to_csv(index=False, lineterminator="\n") for name, frame in frames.items()}
        texts["meta.json"] = json.dumps(self.meta, indent=2, sort_keys=True, default=str) + "\n"
        return write_together(folder, texts)

    def _kept(self, what: str) -> Records:
        if self._records is None:
            raise ScenarioError(f"result.{what}: this run kept only counts; run it with records=True to keep every row")
        return self._records


class Plots:
    """Charts of one result; each call returns a matplotlib figure that `sim.results.charts.save` writes."""

    def __init__(self, result: Result) -> None:
        self._result = result

    def fates(self) -> Figure:
        """Draw the fates of the mail under each setting in use, with what was deferred and for how long beside."""
        from sim.results import charts

        return charts.fates(self._fates(), caption=self.caption())

    def queue(self, interval: str | float = "5min", events: Sequence[tuple[float, str]] | None = None) -> Figure:
        """Draw queue, flows and connections over time; `events` are (hour, label) marks, by default the timeline's."""
        from sim.results import charts

        frame = self._result.timeline(interval)
        if events is None:
            end_h = float(frame["time_h"].iloc[-1]) if len(frame) else 0.0
            events = marks(self._result.meta.get("timeline", ()), end_h)
        return charts.queue(frame, events, caption=self.caption())

    def delay(self) -> Figure:
        """Draw the share of mail still undelivered after a time, one curve a setting in use."""
        from sim.results import charts

        return charts.delay(tables.delay_frame(self._result.counts), caption=self.caption())

    def caption(self) -> str:
        """Return what was run, as one line."""
        from sim.results.findings import caption

        meta = self._result.meta
        return caption(
            n=1, seed=meta.get("seed"), population=meta.get("population"), weighting=meta.get("weighting"),
            messages=self._result.injected, domains=len(self._result.labels.domains), until_s=meta.get("until_s"),
        )  # fmt: skip

    def _fates(self) -> DataFrame:
        frame = self._result.by_setting()
        rows: list[dict[str, Any]] = [
            {str(k): v for k, v in row.items()} for row in frame[frame["messages"] > 0].to_dict("records")
        ]
        several = len(rows) > 1
        share = [f"{row['mail_share'] * 100:.2g} % of mail" if several else "" for row in rows]
        cases: list[tuple[str, str, list[dict[str, Any]]]] = [
            (str(row["setting"]), note, [row]) for row, note in zip(rows, share, strict=True)
        ]
        if several:
            cases.insert(0, ("All mail", "", [self._result.totals()]))
        names = self._result.labels.setting_names
        return tables.fates_frame(cases, settings=None if names == GATEWAY_SETTINGS else names)
