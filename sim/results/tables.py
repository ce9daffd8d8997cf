"""Frames from counts: the same measures by setting, entry, domain, provider or for all mail."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sim.results.histogram import bounds_of, quantile
from sim.results.intervals import VARY, across, possible_fates
from sim.results.records import US_PER_S
from sim.results.sinks import CountSink
from sim.terms import Bounce, Fate, Reason, Setting

if TYPE_CHECKING:
    from pandas import DataFrame

Ints = NDArray[np.int64]
Columns = dict[str, Any]

QUANTILES = (0.5, 0.95, 0.99)
DELAYS = ("delay_mean_s", "delay_p50_s", "delay_p95_s", "delay_p99_s", "delay_max_s")

#: Columns of the frame of the main chart.
FATES_COLUMNS = [
    "setting", "reading", "fate", "messages", "share", "low", "high", "deferred_share", "deferred_low", "deferred_high",
    "delay_p50_s", "delay_p95_s", "delay_p99_s", "exposed_share", "exposed_low", "exposed_high",
]  # fmt: skip


def by_setting(sink: CountSink) -> DataFrame:
    """Return one row a TLS setting in use, in the gateway's order: setting, domains, mail_share, measures."""
    import pandas as pd

    labels = sink.labels
    used, code = np.unique(labels.setting_of, return_inverse=True)
    group_setting = labels.groups[2]
    columns: Columns = {"setting": [labels.setting_names[s] for s in used.tolist()]}
    columns |= _domains(sink, code, used.size)
    columns |= _measures(sink, code, used.size, lambda i: sink.delays.counts(np.flatnonzero(group_setting == used[i])))
    return pd.DataFrame(columns)


def by_entry(sink: CountSink) -> DataFrame:
    """Return one row a policy entry, also those that match no destination or no mail: entry, setting, domains, ...

    ``setting`` is empty where an entry matches nothing and the labels do not name its setting; ``mail_share`` is the
    share of all injected mail the entry decides about.
    """
    import pandas as pd

    labels = sink.labels
    entries = len(labels.entries)
    group_entry = labels.groups[1]
    columns: Columns = {
        "entry": list(labels.entries),
        "setting": ["" if s < 0 else labels.setting_names[s] for s in labels.settings_of_entries.tolist()],
    }
    columns |= _domains(sink, labels.entry_of, entries)
    columns |= _measures(sink, labels.entry_of, entries, lambda i: sink.delays.counts(np.flatnonzero(group_entry == i)))
    return pd.DataFrame(columns)


def by_provider(sink: CountSink) -> DataFrame:
    """Return one row a provider, most mail first: provider, domains, mail_share, then the measures."""
    import pandas as pd

    labels = sink.labels
    count = len(labels.provider_names)
    columns: Columns = {"provider": list(labels.provider_names)}
    columns |= _domains(sink, labels.provider_of, count)
    columns |= _measures(sink, labels.provider_of, count, lambda i: sink.provider_delays.counts([i]))
    frame = pd.DataFrame(columns)
    return frame.sort_values("messages", ascending=False, kind="stable", ignore_index=True)


def by_domain(sink: CountSink) -> DataFrame:
    """Return one row a destination, in the order of the population: domain, provider, entry, setting, measures.

    Of the delay only mean and maximum are kept by destination. ``main_reason`` is the last failure most messages met,
    delivered ones too; ``main_bounce_reason`` that of most bounced ones.
    """
    import pandas as pd

    labels = sink.labels
    count = len(labels.domains)
    columns: Columns = {
        "domain": list(labels.domains),
        "provider": list(labels.providers),
        "entry": [labels.entries[i] for i in labels.entry_of.tolist()],
        "setting": [labels.setting_names[i] for i in labels.setting_of.tolist()],
    }
    columns["mail_share"] = _share(sink.sums["messages"].sum(axis=1), sink.sums["messages"].sum())
    columns |= _measures(sink, np.arange(count), count, None)
    return pd.DataFrame(columns)


def totals(sink: CountSink) -> dict[str, Any]:
    """Return the measures of all mail by name: the columns of `by_setting` from `messages` on."""
    code = np.zeros(len(sink.labels.domains), dtype=np.int64)
    columns = _measures(sink, code, 1, lambda _: sink.delays.counts())
    return {name: values[0].item() if hasattr(values[0], "item") else values[0] for name, values in columns.items()}


def undelivered(counts: Ints, messages: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the share of mail still undelivered after a time.

    Parameters
    ----------
    counts : (BINS,) histogram of the delay of delivered mail.
    messages : injected messages, delivered or not.

    Returns
    -------
    time_s, share : (k,), (k,); the share at the upper end of each bin in use; what is never delivered remains.
    """
    used = np.flatnonzero(counts)
    lower, width = bounds_of(used)
    left = messages - np.cumsum(counts[used])
    return (lower + width) / US_PER_S, left / max(messages, 1)


def delay_frame(sink: CountSink) -> DataFrame:
    """Return curve, time_s, undelivered_share: a curve a setting in use, from (0, 1) on (`charts.delay` draws it)."""
    import pandas as pd

    labels = sink.labels
    frames = []
    for setting in np.unique(labels.setting_of).tolist():
        messages = int(sink.sums["messages"][labels.setting_of == setting].sum())
        groups = np.flatnonzero(labels.groups[2] == setting)
        time_s, share = undelivered(sink.delays.counts(groups), messages)
        time_s, share = np.append(0.0, time_s), np.append(1.0, share)
        if messages:
            name = labels.setting_names[setting]
            frames.append(pd.DataFrame({"curve": name, "time_s": time_s, "undelivered_share": share}))
    empty = pd.DataFrame({"curve": [], "time_s": [], "undelivered_share": []})
    return pd.concat(frames, ignore_index=True) if frames else empty


def fates_frame(
    cases: Sequence[tuple[str, str, Sequence[Mapping[str, Any]]]],
    *,
    level: float = 0.95,
    vary: str = VARY,
    settings: Sequence[str] | None = None,
    never_clear: Sequence[str] = (),
) -> DataFrame:
    """Return one row a (setting, reading, fate): the frame of the main chart.

    Parameters
    ----------
    cases : a setting's label, the reading of the documentation (``""``: there is only one), and the `totals` of its
        replications.
    level, vary : as in `sim.results.intervals.across`.
    settings, never_clear : labels of all settings of a sender that is not the gateway, and of those that never send in
        clear, for the sentence above the chart.

    Returns
    -------
    setting, reading, fate, messages (mean over the replications), share, low, high; and, equal on all rows of a case,
    deferred_share, deferred_low, deferred_high, delay_p50_s, delay_p95_s, delay_p99_s: of the delivered mail of all
    replications together where these bring their ``delay_counts``, else means over the replications; exposed_share,
    exposed_low, exposed_high: of the mail in clear on a stripped path, never NaN (without an interval both ends are the
    share). ``.attrs`` holds n, level, vary.
    """
    import pandas as pd

    of_label = {member.label: member for member in Setting} if settings is None else {}
    rows: list[dict[str, Any]] = []
    for setting, reading, replications in cases:
        counts = np.array([[r[f"{fate.key}_messages"] for fate in Fate] for r in replications], dtype=float)
        shares = np.array([[r[f"{fate.key}_share"] for fate in Fate] for r in replications], dtype=float)
        # An impossible fate that happened all the same is shown, not hidden behind a zero.
        possible = None if setting not in of_label else possible_fates(of_label[setting]) | (shares > 0).any(axis=0)
        fates = across(list(shares), level=level, possible=possible, vary=vary)
        deferred = across([r["deferred_share"] for r in replications], level=level, vary=vary)
        delays = _delays_of(replications)
        beside: Columns = dict(zip(DELAYS[1:4], delays, strict=True))
        beside |= {"deferred_share": deferred.mean, "deferred_low": deferred.low, "deferred_high": deferred.high}
        shown = np.nan_to_num([float(r.get("exposed_share", 0.0)) for r in replications])
        exposed = across(shown.tolist(), level=level, vary=vary)
        beside["exposed_share"] = exposed.mean
        ends = {"exposed_low": exposed.low, "exposed_high": exposed.high}
        beside |= {name: exposed.mean if np.isnan(end) else end for name, end in ends.items()}
        for fate in Fate:
            share = {"share": fates.mean[fate], "low": fates.low[fate], "high": fates.high[fate]}
            case = {"setting": setting, "reading": reading, "fate": fate.label}
            rows.append(case | {"messages": counts[:, fate].mean()} | share | {k: float(v) for k, v in beside.items()})
    frame = pd.DataFrame(rows, columns=FATES_COLUMNS)
    frame.attrs = {"n": min((len(case[2]) for case in cases), default=0), "level": level, "vary": vary}
    if settings is not None:
        frame.attrs |= {"settings": tuple(settings), "never_clear": tuple(never_clear)}
    return frame


def _delays_of(replications: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the delay quantiles of all mail together: a mean of quantiles would be that of no mail at all."""
    if all("delay_counts" in r for r in replications):
        return _delay_quantiles(sum(r["delay_counts"] for r in replications))
    means = across([[r[name] for name in DELAYS[1:4]] for r in replications], clip=None).mean
    return [float(mean) for mean in means]


def _delay_quantiles(counts: Ints) -> list[float]:
    bins = [quantile(counts, q) for q in QUANTILES]
    return [np.nan if b is None else b.middle / US_PER_S for b in bins]


def _domains(sink: CountSink, code: Ints, count: int) -> Columns:
    messages = _sum(sink.sums["messages"].sum(axis=1), code, count)
    return {"domains": np.bincount(code, minlength=count), "mail_share": _share(messages, messages.sum())}


def _measures(sink: CountSink, code: Ints, count: int, histogram: Callable[[int], Ints] | None) -> Columns:
    """Return the measures by group: `code` (D,) puts each destination into one of `count` groups."""
    sink.carry()
    sums = {name: _sum(values, code, count) for name, values in sink.sums.items()}
    largest = {name: _largest(values, code, count) for name, values in sink.maxima.items()}
    messages = sums["messages"].sum(axis=1)
    recipients = sums["recipients"].sum(axis=1)
    columns: Columns = {"messages": messages, "recipients": recipients, "size_bytes": sums["size_bytes"].sum(axis=1)}
    for unit in ("messages", "recipients"):
        columns |= {f"{fate.key}_{unit}": sums[unit][:, fate] for fate in Fate}
        columns[f"deferred_{unit}"] = sums[f"deferred_{unit}"]
    for unit, whole, ending in (("messages", messages, "share"), ("recipients", recipients, "recipients_share")):
        for name in (*(fate.key for fate in Fate), "deferred"):
            columns[f"{name}_{ending}"] = _share(columns[f"{name}_{unit}"], whole)
    columns["exposed_messages"] = sums["exposed_messages"]
    columns["exposed_share"] = _share(sums["exposed_messages"], messages)
    columns |= {"deferral_events": sums["deferral_events"], "retries": sums["retries"]}
    columns |= {f"bounced_{b.key}_messages": sums["bounces"][:, b] for b in Bounce if b}
    columns["main_reason"] = _main_reason(sums["reasons"])
    columns["main_bounce_reason"] = _main_reason(sums["bounce_reasons"])
    columns |= _delay_columns(sums, largest, histogram)
    columns["queued_age_max_s"] = largest["queued_age_max"] / US_PER_S
    columns |= {name: sums[name] for name in ("connections", "failed_connections")}
    columns["messages_per_connection"] = _share(
        sums["carried_messages"], sums["connections"] - sums["failed_connections"]
    )
    columns["connection_held_s"] = _long(sums, "held") / US_PER_S
    return columns


def _delay_columns(sums: Columns, largest: Columns, histogram: Callable[[int], Ints] | None) -> Columns:
    delivered = sums["messages"][:, : Fate.BOUNCED].sum(axis=1)
    columns: Columns = {"delay_mean_s": _share(_long(sums, "delay") / US_PER_S, delivered)}
    if histogram is not None:
        found = np.full((delivered.size, len(QUANTILES)), np.nan)
        for group in np.flatnonzero(delivered).tolist():
            found[group] = _delay_quantiles(histogram(group))
        columns |= {f"delay_p{q * 100:.0f}_s": found[:, i] for i, q in enumerate(QUANTILES)}
    columns["delay_max_s"] = np.where(delivered > 0, largest["delay_max"] / US_PER_S, np.nan)
    return columns


def _main_reason(reasons: Ints) -> list[str]:
    """Name the most frequent last failure of each group, ``none`` where nothing failed."""
    labels = [reason.label for reason in Reason]
    failed = reasons.copy()
    failed[:, Reason.NONE] = 0
    return [labels[i] for i in np.argmax(failed, axis=1).tolist()]


def _long(sums: Columns, name: str) -> NDArray[np.float64]:
    total: NDArray[np.float64] = sums[f"{name}_high"] * float(1 << 32) + sums[f"{name}_low"]
    return total


def _share(part: NDArray[Any], whole: Any) -> NDArray[np.float64]:
    """Return part / whole; NaN where there is no whole to have a share of."""
    whole = np.broadcast_to(np.asarray(whole, dtype=np.float64), np.shape(part))
    share: NDArray[np.float64] = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole != 0)
    return share


def _sum(values: Ints, code: Ints, count: int) -> Ints:
    if values.ndim == 1:
        total = np.zeros(count, dtype=np.int64)
        np.add.at(total, code, values)
        return total
    return np.stack([_sum(np.ascontiguousarray(column), code, count) for column in values.T], axis=1)


def _largest(values: Ints, code: Ints, count: int) -> Ints:
    total = np.zeros(count, dtype=np.int64)
    np.maximum.at(total, code, values)
    return total
