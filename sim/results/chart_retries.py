"""When senders try a message that never passes: one row a sender, on a log axis of time."""

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
_TRY: dict[str, Any] = {
    "color": DEFERRED_COLOUR, "markeredgecolor": INK, "markeredgewidth": 0.3, "markersize": 4.2
}  # fmt: skip
_BOUNCE: dict[str, Any] = {"color": FATE_COLOURS[Fate.BOUNCED], "markeredgecolor": "white", "markersize": 8.0}


@house_style
def retry_clocks(clocks: DataFrame, *, title: str | None = None, caption: str = "") -> Figure:
    """Draw the tries of a message that never passes, and its bounce, of each sender.

    Parameters
    ----------
    clocks : rows ``sender``, ``age_s`` (seconds since the message came), ``what`` (``try`` or ``bounce``); the first
        try, at 0, is not drawn.
    title : the finding; None = who bounces first and last.
    caption : where the clocks come from.

    Returns
    -------
    A matplotlib figure 9 inches wide; the sender that bounces first is at the top.

    Raises
    ------
    ValueError
        When a sender has no bounce.
    """
    bounces, tries = _by_sender(clocks, "bounce"), _by_sender(clocks, "try")
    if missing := sorted(set(tries) - set(bounces)):
        raise ValueError(complaint("bounce", ", ".join(missing), "one row a sender"))
    ends = dict(sorted(((name, ages[0]) for name, ages in bounces.items()), key=lambda row: row[1]))
    left = MARGIN + 0.1 + min(max(text_width(name, SMALL) for name in ends), 2.0) + 0.02
    notes = [_told(len(tries.get(name, ())), end) for name, end in ends.items()]
    right = max(text_width(note, SMALL) for note in notes) + 0.2
    width = WIDTH - left - right - MARGIN
    body = _STEP * len(ends)
    sheet = Sheet(_title(ends, tries) if title is None else title, caption, 0.3 + body + 0.5)
    _legend(sheet, left)
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
        axes.plot(
            later, [row] * len(later), "o", color=DEFERRED_COLOUR, markeredgecolor=INK, markeredgewidth=0.3, ms=4.2
        )
        bounced = FATE_COLOURS[Fate.BOUNCED]
        axes.plot([max(end, low)], [row], "X", color=bounced, markeredgecolor="white", ms=8, zorder=4, clip_on=False)
        y = sheet.top + 0.3 + (row + 0.5) * _STEP
        sheet.text(left - 0.1, y, shorten(name, left - MARGIN - 0.1, SMALL), ha="right", va="center_baseline")
        sheet.text(left + width + 0.12, y, notes[row], va="center_baseline")
    return sheet.chart


def _legend(sheet: Sheet, left: float) -> None:
    y = 0.12
    sheet.mark(left + 0.06, y, "o", **_TRY)
    sheet.text(left + 0.18, sheet.top + y, "a try that fails", va="center_baseline")
    at = left + 0.18 + text_width("a try that fails", SMALL) + 0.3
    sheet.mark(at, y, "X", **_BOUNCE)
    sheet.text(at + 0.12, sheet.top + y, "the bounce", va="center_baseline")


def _told(tries: int, end_s: float) -> str:
    return f"{'1 try' if tries == 1 else f'{tries} tries'}, {duration(end_s)}"


def _by_sender(clocks: DataFrame, what: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    rows = clocks[clocks["what"] == what]
    for name, age_s in zip(rows["sender"].tolist(), rows["age_s"].tolist(), strict=True):
        found.setdefault(name, []).append(age_s)
    return found


def _title(ends: dict[str, float], tries: dict[str, list[float]]) -> str:
    names, times = list(ends), [duration(end) for end in ends.values()]
    if times[0] == times[-1]:
        return f"A message that never passes bounces after {times[0]}"
    low, high = (pick(len(each) for each in tries.values()) for pick in (min, max))
    return (
        f"A message that never passes bounces after {times[0]} ({names[0]}) to {times[-1]} ({names[-1]}), and is tried "
        f"{low if low == high else f'{low} to {high}'} times until then"
    )
