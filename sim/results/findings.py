"""What a chart shows, said in one sentence computed from its frame; captions; numbers as people read them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from sim.errors import complaint
from sim.terms import Fate, Setting

if TYPE_CHECKING:
    from pandas import DataFrame

#: Of the gateway; frames of other senders bring their own.
_SETTINGS = tuple(setting.label for setting in Setting)
_STRICT = tuple(s.label for s in (Setting.REQUIRED, Setting.REQUIRED_VERIFY, Setting.REQUIRED_VERIFY_HOSTED))
#: Units people think in, and from which time on.
_UNITS = ((86_400 * 1.5, 86_400, "days"), (3_600, 3_600, "h"), (60, 60, "min"), (1, 1, "s"), (0, 1e-3, "ms"))

Range = tuple[float, float]


def percent(share: float) -> str:
    """Return a share as a percentage without the sign, short but never wrongly 0 or 100: ``43``, ``4.1``, ``<0.1``."""
    value = share * 100
    if value <= 0:
        return "0"
    if value < 0.05:
        return "<0.1"
    if value >= 99.95:
        return "100" if value >= 100 - 1e-9 else ">99.9"
    return f"{value:.0f}" if 9.95 <= value < 99 else f"{value:.1f}"


def duration(seconds: float) -> str:
    """Return a time in the unit people think in: ``350 ms``, ``1.2 s``, ``10 min``, ``3 days``."""
    if seconds == 0:
        return "0 s"
    size, name = next((size, name) for limit, size, name in _UNITS if seconds >= limit)
    value = seconds / size
    text = f"{value:.0f}" if value >= 9.95 else f"{value:.1f}".removesuffix(".0")
    return f"{text} {name}"


def counted(number: int, noun: str) -> str:
    """Return a number of things: ``1 connection``, ``1,830 messages``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def fates(frame: DataFrame) -> str:
    """Say what the strict settings buy, and what is lost all the same without TLS where the setting No is there.

    Where mail is still queued it is told beside what bounces: a run that ends early has not bounced it yet.

    Parameters
    ----------
    frame : the frame of the main chart (`sim.results.tables.fates_frame`). Readings of one setting become a range.

    Returns
    -------
    One sentence without a full stop.
    """
    of = {str(name): _ranges(rows) for name, rows in frame.groupby("setting", sort=False)}
    if not of or not (frame["share"] > 0).any():
        return "No mail was injected"
    settings = frame.attrs.get("settings", _SETTINGS)
    strict = [s for s in frame.attrs.get("never_clear", _STRICT) if s in of and of[s][Fate.IN_CLEAR][1] == 0]
    lenient = [name for name in settings if name in of and of[name][Fate.IN_CLEAR][1] > 0]
    # A bar of all mail beside its parts: their mail differs, so their shares are no trade to speak of.
    if next(iter(of)) not in settings or not (strict and lenient):
        return _plain(of)
    best = min(strict, key=lambda name: of[name][Fate.BOUNCED][1] + of[name][Fate.QUEUED][1])
    no = Setting.NO.label if settings == _SETTINGS else _without_tls(of, lenient)
    other = next((name for name in lenient if name != no), lenient[0])
    if any(of[name][Fate.QUEUED][1] > 0 for name in (best, other, no) if name in of):
        return _with_queued(of, best, other, no)
    lost = _some(of[best][Fate.BOUNCED])
    kept = f"{best} keeps all mail out of the clear and bounces {lost}"
    clear = f"{other} leaves {_span(of[other][Fate.IN_CLEAR])} in clear"
    if no not in of:
        return f"{kept}; {clear} and bounces {_some(of[other][Fate.BOUNCED])}"
    without = _some(of[no][Fate.BOUNCED])
    return f"{kept}, {'as' if without == lost else f'against {without}'} under {no}; {clear}"


def _without_tls(of: dict[str, dict[Fate, Range]], lenient: list[str]) -> str:
    """Return the setting under which nothing was encrypted; empty where there is none."""
    return next((s for s in lenient if not of[s][Fate.ENCRYPTED][1] and not of[s][Fate.VERIFIED][1]), "")


def _with_queued(of: dict[str, dict[Fate, Range]], best: str, other: str, no: str) -> str:
    """Say what `fates` says of a run that ends while mail is queued."""
    bounced, queued = ({name: _some(of[name][fate]) for name in of} for fate in (Fate.BOUNCED, Fate.QUEUED))
    kept = f"{best} keeps all mail out of the clear, bounces {bounced[best]} and leaves {queued[best]} still queued"
    clear = f"{other} leaves {_span(of[other][Fate.IN_CLEAR])} in clear"
    if no not in of:
        return f"{kept}; {clear}, bounces {bounced[other]} and leaves {queued[other]} still queued"
    same = (bounced[no], queued[no]) == (bounced[best], queued[best])
    return f"{kept}, {'as' if same else f'against {bounced[no]} and {queued[no]}'} under {no}; {clear}"


def queue(timeline: DataFrame, events: Iterable[tuple[float, str]] = ()) -> str:
    """Say how high the queue went, when, and what became of it (frame: `sim.results.timeline.timeline`)."""
    queued = timeline["queued_messages"].to_numpy()
    if not queued.size or queued.max() == 0:
        return "No mail waits at the end of any interval"
    hours = timeline["time_h"].to_numpy()
    top = int(np.argmax(queued))
    before = [(hour, label) for hour, label in events if hour <= hours[top]]
    since = f"{hours[top]:.1f} h after the start"
    if before:
        hour, label = max(before)
        gap = f"{hours[top] - hour:.1f}"
        since = f"at “{label}”" if gap == "0.0" else f"{gap} h after “{label}”"
    if top == queued.size - 1:
        return f"The queue grows to {int(queued[top]):,} messages until the end, {since}"
    after = np.flatnonzero(queued[top:] == 0)
    end = f"empty at {hours[top + after[0]]:.1f} h" if after.size else f"at {int(queued[-1]):,} at the end"
    return f"The queue peaks at {int(queued[top]):,} messages {since} and is {end}"


def delay(frame: DataFrame) -> str:
    """Say when half and 99 % of a curve's injected mail has left, and what never does.

    These are no percentiles of the delay, which is that of delivered mail alone. Curves are of different mail: each is
    that of its own setting.

    Parameters
    ----------
    frame : curve, time_s, undelivered_share (`sim.results.tables.delay_frame`).
    """
    curves = {str(name): rows for name, rows in frame.groupby("curve", sort=False)}
    if not curves:
        return "No mail was delivered"
    never = {name: float(rows["undelivered_share"].iloc[-1]) for name, rows in curves.items()}
    best = min(never, key=lambda name: (never[name], _reached(curves[name], 0.01) or 0))
    worst = max(never, key=lambda name: never[name])
    half, most = _reached(curves[best], 0.5), _reached(curves[best], 0.01)
    whose = "all" if len(curves) == 1 else "its"
    who = f"Under {best} half" if len(curves) > 1 else "Half"
    left = "is undelivered at the end"
    differ = never[worst] > never[best]
    if half is None:
        text = f"{percent(never[best])} % of {whose} mail {left}"
        text = f"Under {best} {text}" if len(curves) > 1 else text
        return f"{text}; under {worst} {percent(never[worst])} %" if differ else text
    text = f"{who} of {whose} mail is delivered within {duration(half)}"
    text += f", 99 % within {duration(most)}" if most is not None else f"; {percent(never[best])} % {left}"
    if differ:
        return f"{text}; under {worst} {percent(never[worst])} % {left}"
    if most is not None and never[best] > 0:
        return f"{text}; {percent(never[best])} % {left}"
    return text


def precision(half_width: float, wanted: float, unit: str, *, reached: bool) -> str:
    """Say how precise the means are, and whether that is what was wanted."""
    missed = "" if reached else ", which was not reached"
    return f"the widest interval is ±{half_width:.2g} {unit}, wanted: ±{wanted:g}{missed}"


def spread(frame: DataFrame) -> str:
    """Say how far single replications lie apart where they do most; nothing where there are too few of them.

    Parameters
    ----------
    frame : setting, reading, fate, low, high, level (NaN: too few replications), as of `prediction_interval`.
    """
    there = frame[frame["low"].notna()]
    if there.empty:
        return ""
    row = max(there.to_dict("records"), key=lambda r: float(r["high"]) - float(r["low"]))
    name = f"{row['setting']} ({row['reading']})" if row["reading"] else row["setting"]
    span = _span((float(row["low"]), float(row["high"])))
    chance = f"with probability {float(row['level']) * 100:.0f} %"
    return (
        f"Single replications lie further apart, most of all {row['fate']} under {name}: one more has {span} {chance}."
    )


def caption(
    *,
    n: int | None = None,
    vary: str | None = None,
    precise: str | None = None,
    level: float = 0.95,
    seed: int | None = None,
    population: str | None = None,
    weighting: str | None = None,
    messages: int | None = None,
    domains: int | None = None,
    until_s: float | None = None,
) -> str:
    """Return the caption of a chart: what varied and how much, and what stood still; facts not given are left out."""
    parts = []
    if n is not None and n > 1:
        parts.append(f"{n} replications, {vary or 'chance and population'} varied, {level * 100:g} % intervals")
    elif n == 1:
        parts.append("One replication, no intervals")
    parts += [precise] if precise is not None else []
    parts += [f"{messages:,} messages"] if messages is not None else []
    if population is not None:
        parts.append(f"population {population}" + (f", whose figures are by {weighting}" if weighting else ""))
    parts += [f"{domains:,} destinations"] if domains is not None else []
    parts += [f"seed {seed}"] if seed is not None else []
    parts += [f"censored at {duration(until_s)}"] if until_s else []
    return "; ".join(parts) + "." if parts else ""


def fate_of(spelling: object) -> Fate:
    """Return the fate spelled by its label or its key.

    Raises
    ------
    ValueError
        Naming the spellings there are.
    """
    for fate in Fate:
        if spelling in (fate.label, fate.key):
            return fate
    raise ValueError(complaint("fate", str(spelling), [fate.label for fate in Fate]))


def _ranges(rows: DataFrame) -> dict[Fate, Range]:
    """Return smallest and largest share of each fate over the readings of one setting."""
    found = dict.fromkeys(Fate, (0.0, 0.0))
    for spelling, shares in rows.groupby("fate", sort=False)["share"]:
        found[fate_of(spelling)] = (float(shares.min()), float(shares.max()))
    return found


def _plain(of: dict[str, dict[Fate, Range]]) -> str:
    """Name the fates of the only row, or of the first when the rows do not trade clear text against bounces."""
    name = next(iter(of))
    parts = [f"{_span(of[name][fate])} {fate.label}" for fate in Fate if of[name][fate][1] > 0]
    parts = [part.replace(", not verified", "") for part in parts] if of[name][Fate.VERIFIED][1] == 0 else parts
    return f"{name}: " + ("; ".join(parts) if parts else "no mail")


def _span(shares: Range) -> str:
    low, high = percent(shares[0]), percent(shares[1])
    return f"{high} %" if low == high else f"{low} to {high} %"


def _some(shares: Range) -> str:
    return _span(shares) if shares[1] > 0 else "none"


def _reached(rows: DataFrame, share: float) -> float | None:
    """Return the first time at which no more than `share` is undelivered, or None."""
    there = rows.loc[rows["undelivered_share"] <= share, "time_s"]
    return None if there.empty else float(there.iloc[0])
