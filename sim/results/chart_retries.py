"""When senders try a message that does not pass, and how it ends: one row a sender, on a log axis of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from sim.errors import complaint
from sim.results.chart_style import (
    DEFERRED_COLOUR,
    FATE_COLOURS,
    INK,
    MARGIN,
    SMALL,
    WIDTH,
    Sheet,
    house_style,
    shorten,
    text_width,
    time_axis,
)
from sim.results.findings import duration
from sim.terms import Fate

if TYPE_CHECKING:
    from pandas import DataFrame

_STEP = 0.27
_LEAST_S = 1.0
#: Times a title tells one by one.
_FEW = 3
_TRY: dict[str, Any] = {
    "marker": "o", "color": DEFERRED_COLOUR, "markeredgecolor": INK, "markeredgewidth": 0.3, "markersize": 4.2
}  # fmt: skip
_END: dict[str, Any] = {"markeredgecolor": "white", "markersize": 8.0}
#: How a message may end, and the mark of each.
_ENDS: dict[str, dict[str, Any]] = {
    Fate.IN_CLEAR.label: _END | {"marker": "D", "color": FATE_COLOURS[Fate.IN_CLEAR]},
    Fate.ENCRYPTED.label: _END | {"marker": "s", "color": FATE_COLOURS[Fate.ENCRYPTED]},
    Fate.VERIFIED.label: _END | {"marker": "^", "color": FATE_COLOURS[Fate.VERIFIED]},
    "bounce": _END | {"marker": "X", "color": FATE_COLOURS[Fate.BOUNCED]},
}


@house_style
def retry_clocks(clocks: DataFrame, *, title: str | None = None, caption: str = "") -> Figure:
    """Draw the tries of a message that do not pass, and its end, of each sender.

    Parameters
    ----------
    clocks : rows ``sender``, ``age_s`` (seconds since the message came), ``what``: ``try`` for one that fails, and the
        end, ``bounce`` or a fate of delivered mail. A try that fails at 0 is not drawn.
    title : the finding; None = who ends it first and last.
    caption : where the clocks come from.

    Returns
    -------
    A matplotlib figure 9 inches wide; the sender whose message ends first is at the top.

    Raises
    ------
    ValueError
        When a sender has no end, or one that is none.
    """
    how = {name: what for name, what in zip(clocks["sender"], clocks["what"], strict=True) if what != "try"}
    if odd := sorted(set(how.values()) - set(_ENDS)):
        raise ValueError(complaint("what", ", ".join(odd), ("try", *_ENDS)))
    tries = _by_sender(clocks, ["try"])
    if missing := sorted(set(tries) - set(how)):
        raise ValueError(complaint("bounce", ", ".join(missing), "one row a sender"))
    ended = {name: ages[0] for name, ages in _by_sender(clocks, list(_ENDS)).items()}
    ends = dict(sorted(ended.items(), key=lambda row: row[1]))
    left = MARGIN + 0.1 + min(max(text_width(name, SMALL) for name in ends), 2.0) + 0.02
    notes = [_told(len(tries.get(name, ())) + (how[name] != "bounce"), end) for name, end in ends.items()]
    right = max(text_width(note, SMALL) for note in notes) + 0.2
    width = WIDTH - left - right - MARGIN
    body = _STEP * len(ends)
    sheet = Sheet(_title(ends, tries, how) if title is None else title, caption, 0.3 + body + 0.5)
    _legend(sheet, left, [end for end in _ENDS if end in how.values()])
    axes = sheet.axes(left, 0.3, width, body)
    positive = [at for at in clocks["age_s"] if at > 0]
    low, high = max(min(positive, default=60.0) / 1.6, _LEAST_S), max([*positive, 120.0]) * 1.15
    time_axis(axes, low, high, width)
    axes.set_ylim(len(ends) - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("time since the message came (log)")
    for row, (name, end) in enumerate(ends.items()):
        later = [at for at in tries.get(name, ()) if at > 0]
        axes.axhline(row, color="#E4E4E4", linewidth=0.8, zorder=0)
        axes.plot(later, [row] * len(later), linestyle="none", **_TRY)
        axes.plot([max(end, low)], [row], zorder=4, clip_on=False, **_ENDS[how[name]])
        y = sheet.top + 0.3 + (row + 0.5) * _STEP
        sheet.text(left - 0.1, y, shorten(name, left - MARGIN - 0.1, SMALL), ha="right", va="center_baseline")
        sheet.text(left + width + 0.12, y, notes[row], va="center_baseline")
    return sheet.chart


def _legend(sheet: Sheet, left: float, ends: list[str]) -> None:
    y, at = 0.12, left + 0.06
    shown = {"a try that fails": _TRY} | {"the bounce" if end == "bounce" else end: _ENDS[end] for end in ends}
    for text, mark in shown.items():
        sheet.mark(at, y, **mark)
        sheet.text(at + 0.12, sheet.top + y, text, va="center_baseline")
        at += 0.12 + text_width(text, SMALL) + 0.3


def _told(tries: int, end_s: float) -> str:
    return f"{'1 try' if tries == 1 else f'{tries} tries'}, {_after(end_s)}"


def _after(end_s: float) -> str:
    return duration(end_s) if end_s else "at once"


def _by_sender(clocks: DataFrame, what: list[str]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    rows = clocks[clocks["what"].isin(what)]
    for name, age_s in zip(rows["sender"].tolist(), rows["age_s"].tolist(), strict=True):
        found.setdefault(name, []).append(age_s)
    return found


def _title(ends: dict[str, float], tries: dict[str, list[float]], how: dict[str, str]) -> str:
    if set(how.values()) != {"bounce"}:
        return _fates_title(ends, how)
    names, times = list(ends), [duration(end) for end in ends.values()]
    if times[0] == times[-1]:
        return f"A message that never passes bounces after {times[0]}"
    low, high = (pick(len(each) for each in tries.values()) for pick in (min, max))
    return (
        f"A message that never passes bounces after {times[0]} ({names[0]}) to {times[-1]} ({names[-1]}), and is tried "
        f"{low if low == high else f'{low} to {high}'} times until then"
    )


def _fates_title(ends: dict[str, float], how: dict[str, str]) -> str:
    parts = []
    for what in (end for end in _ENDS if end in how.values()):
        at: dict[float, list[str]] = {}
        for name, end_s in ends.items():
            if how[name] == what:
                at.setdefault(end_s, []).append(name)
        told = [f"{'after ' if end_s else ''}{_after(end_s)} ({', '.join(names)})" for end_s, names in at.items()]
        verb = "bounces" if what == "bounce" else f"leaves {what}" if what == Fate.IN_CLEAR.label else f"leaves {what},"
        parts.append(f"{verb} {' or '.join(told) if len(told) <= _FEW else f'{told[0]} to {told[-1]}'}")
    return f"The same message {'; it '.join(parts)}"
