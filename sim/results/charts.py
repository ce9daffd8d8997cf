"""Charts from frames. Each function returns a matplotlib figure; `save` writes it; nothing touches pyplot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sim.errors import complaint
from sim.results import findings
from sim.results.chart_fates import fates
from sim.results.chart_style import (
    ATTACKER_COLOUR,
    DEFERRED_COLOUR,
    FAINT_INK,
    FATE_COLOURS,
    INK,
    MARGIN,
    SMALL,
    WIDTH,
    Chart,
    Sheet,
    house_style,
    ink_on,
    line_height,
    render,
    save,
    shorten,
    spread,
    text_width,
    time_axis,
    wrap,
)
from sim.terms import Fate

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = [
    "ATTACKER_COLOUR",
    "DEFERRED_COLOUR",
    "FATE_COLOURS",
    "Chart",
    "decision_matrix",
    "delay",
    "fates",
    "queue",
    "render",
    "save",
]

Events = Sequence[tuple[float, str]]

_HOUR_STEPS = (0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 72, 168, 336, 672)
_PANEL, _PANEL_GAP = 1.0, 0.34
#: Shades and dashes that tell curves apart without the colours of the fates.
_LINES = (
    (INK, "-"), ("#7A7A7A", "-"), (INK, (0, (5, 2))), ("#7A7A7A", (0, (5, 2))), (INK, (0, (1, 1.5))),
    ("#7A7A7A", (0, (1, 1.5))), (INK, (0, (6, 2, 1, 2))), ("#7A7A7A", (0, (6, 2, 1, 2))),
)  # fmt: skip
_DELAY_NOTE = (
    "Shares are of all mail injected under a setting: a curve that ends above zero holds mail that bounced or still "
    "waits. p50, p95 and p99 of the tables are of delivered mail alone."
)
#: How a word in a cell of a decision table shows its fate; the first that fits.
_WORDS = (
    ("clear", Fate.IN_CLEAR.label), ("not verified", Fate.ENCRYPTED.label), ("verified", Fate.VERIFIED.label),
    ("encrypt", Fate.ENCRYPTED.label), ("bounce", Fate.BOUNCED.label), ("queued", Fate.QUEUED.label),
    ("retry", "deferred"), ("next", "deferred"), ("defer", "deferred"), ("wait", "deferred"),
)  # fmt: skip


@house_style
def queue(timeline: DataFrame, events: Events = (), *, caption: str = "", title: str | None = None) -> Figure:
    """Draw queue, flows and openings of connections over clock hours, one panel a quantity.

    Parameters
    ----------
    timeline : frame of `sim.results.timeline.timeline`.
    events : (hour, label) of what happened to the run: an outage begins, the policy changes, the first expiry.
    caption : what varied and how much; what is not drawn because it is zero is added.
    title : replaces the computed finding.

    Returns
    -------
    A matplotlib figure 9 inches wide.
    """
    hours = timeline["time_h"].to_numpy(dtype=float)
    edges = np.concatenate([[0.0], hours])
    end = float(edges[-1]) or 1.0
    step = _step_name(float(hours[0])) if hours.size else "interval"
    panels = [("queued", "messages still queued")]
    panels += [("flow", f"messages injected (line) and delivered (area) per {step}")]
    quiet = []
    for column, label, absent in (
        ("bounced_messages", f"messages bounced per {step}", "No mail bounced."),
        ("connections_opened", f"connections opened per {step}", "No connection was opened."),
    ):
        if column in timeline and timeline[column].any():
            panels.append((column, label))
        else:
            quiet.append(absent)
    left, right = 0.85, 0.2
    width = WIDTH - left - right
    marks = _event_rows(events, end, width)
    head = 0.2 * (1 + max((row for _, _, row, _ in marks), default=-1)) + 0.2
    body = head + len(panels) * (_PANEL + _PANEL_GAP) + 0.25
    sheet = Sheet(title or findings.queue(timeline, events), " ".join([caption, *quiet]).strip(), body)
    for k, (column, label) in enumerate(panels):
        top = head + k * (_PANEL + _PANEL_GAP)
        axes = sheet.axes(left, top, width, _PANEL)
        _draw_flow(axes, column, timeline, edges)
        sheet.text(left, sheet.top + top - 0.11, label, backed=True)
        _hours(axes, end, last=k == len(panels) - 1)
        for hour, _ in events:
            axes.axvline(hour, color=FAINT_INK, linewidth=0.8, linestyle=(0, (4, 2)))
    for x, label, row, align in marks:
        sheet.event(left + x, 0.08 + 0.2 * row, head, label, align)
    return sheet.chart


def _step_name(hours: float) -> str:
    whole = {1 / 60: "minute", 1.0: "hour", 24.0: "day"}
    return whole.get(hours, findings.duration(hours * 3_600))


def _draw_flow(axes: Axes, column: str, timeline: DataFrame, edges: NDArray[np.float64]) -> None:
    if column == "queued":
        level = np.concatenate([[0], timeline["queued_messages"].to_numpy()])
        axes.fill_between(edges, level, color=FATE_COLOURS[Fate.QUEUED], linewidth=0)
    elif column == "flow":
        axes.stairs(timeline["delivered_messages"].to_numpy(), edges, fill=True, color=DEFERRED_COLOUR, linewidth=0)
        axes.stairs(timeline["injected_messages"].to_numpy(), edges, color=INK, linewidth=1.0, baseline=None)
    elif column == "bounced_messages":
        axes.stairs(timeline[column].to_numpy(), edges, fill=True, color=FATE_COLOURS[Fate.BOUNCED], linewidth=0)
    else:
        axes.stairs(timeline[column].to_numpy(), edges, color=INK, linewidth=1.0, baseline=None)


def _hours(axes: Axes, end: float, *, last: bool) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    step = next((s for s in _HOUR_STEPS if end / s <= 12), end)
    axes.set_xlim(0, end)
    ticks = np.arange(0, end + step / 1e6, step)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks] if last else [""] * ticks.size)
    axes.set_ylim(0, max(axes.get_ylim()[1], 1))
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    if last:
        axes.set_xlabel("hours from the start")


def _event_rows(events: Events, end: float, width: float) -> list[tuple[float, str, int, str]]:
    """Return (x in inches, label, row, alignment) of each event, in rows of labels that do not touch."""
    taken: list[float] = []
    found = []
    for hour, label in sorted(events):
        x = hour / end * width
        text = shorten(label, width * 0.6, SMALL)
        wide = text_width(text, SMALL)
        right = x + wide > width
        start = x - wide - 0.05 if right else x
        row = next((r for r, used in enumerate(taken) if used + 0.12 <= start), len(taken))
        taken[row : row + 1] = [start + wide + 0.05]
        found.append((x, text, row, "right" if right else "left"))
    return found


@house_style
def delay(frame: DataFrame, *, caption: str = "", title: str | None = None, log_share: bool = True) -> Figure:
    """Draw the share of injected mail still undelivered after a time, one curve a setting.

    Parameters
    ----------
    frame : curve, time_s, undelivered_share; rows of a curve sorted by time (`sim.results.tables.delay_frame`).
    caption, title : as in `queue`.
    log_share : draw the share on a log axis too (the axis says so), since the mail that waits is a small share of all.

    Returns
    -------
    A matplotlib figure 9 inches wide.
    """
    curves = {str(name): rows for name, rows in frame.groupby("curve", sort=False)}
    left, inner = 0.85, 3.2
    name_width = min(max((text_width(name, SMALL) for name in curves), default=0.5), 2.3)
    width = WIDTH - left - name_width - 0.65
    note = _DELAY_NOTE if len(curves) else ""
    sheet = Sheet(title or findings.delay(frame), f"{caption} {note}".strip(), inner + 0.55)
    axes = sheet.axes(left, 0.05, width, inner)
    positive = frame.loc[frame["undelivered_share"] > 0, "undelivered_share"]
    floor = min(float(positive.min()) / 2 if len(positive) else 1.0, 0.01) * 100 if log_share else 0.0
    times = frame.loc[frame["time_s"] > 0, "time_s"].to_numpy(dtype=float)
    first, last = (float(times.min()), float(times.max())) if times.size else (1.0, 10.0)
    ends = []
    for (_, rows), (colour, dashes) in zip(curves.items(), _cycle(len(curves)), strict=True):
        share = np.append(1.0, rows["undelivered_share"].to_numpy(dtype=float)) * 100
        time = np.append(0.0, rows["time_s"].to_numpy(dtype=float)).clip(first / 1.5)
        if share[-1] > 0:
            share, time = np.append(share, share[-1]), np.append(time, last * 1.3)
        axes.step(time, np.maximum(share, floor), where="post", color=colour, linestyle=dashes, linewidth=1.5)
        ends.append(max(float(share[-1]), floor))
    _share_axis(axes, floor, log_share=log_share)
    time_axis(axes, first / 1.5, max(last * 1.3, first * 2), width)
    axes.set_xlabel("time since the message was injected (log axis)")
    _curve_names(sheet, axes, list(curves), ends, left + width, inner, name_width)
    return sheet.chart


def _cycle(count: int) -> list[tuple[str, object]]:
    return [_LINES[i % len(_LINES)] for i in range(count)]


def _share_axis(axes: Axes, floor: float, *, log_share: bool) -> None:
    axes.set_ylabel("share of injected mail still undelivered, %" + (" (log axis)" if log_share else ""))
    if not log_share:
        axes.set_ylim(0, 102)
        return
    axes.set_yscale("log")
    axes.set_ylim(floor, 115)
    decades = np.arange(np.ceil(np.log10(floor)), 3)
    axes.set_yticks(10.0**decades, [f"{10.0**d:g}" for d in decades])
    axes.set_yticks([], minor=True)


def _curve_names(
    sheet: Sheet, axes: Axes, names: list[str], ends: list[float], right: float, inner: float, name_width: float
) -> None:
    """Write the names at the right ends of the curves, moved apart, each with a sample of its line."""
    if not names:
        return
    pixels = axes.transData.transform([(axes.get_xlim()[1], end) for end in ends])[:, 1]
    low, high = axes.get_window_extent().y0, axes.get_window_extent().y1
    wanted = [inner * (high - p) / (high - low) for p in pixels]
    for name, y, (colour, dashes) in zip(
        names, spread(wanted, line_height(SMALL) * 1.1, 0.05, inner), _cycle(len(names)), strict=True
    ):
        sheet.line(right + 0.08, right + 0.4, 0.05 + y, color=colour, linestyle=dashes, linewidth=1.5)
        sheet.text(right + 0.46, sheet.top + 0.05 + y, shorten(name, name_width, SMALL))


@house_style
def decision_matrix(
    words: Sequence[Sequence[str]],
    rows: Sequence[str],
    columns: Sequence[str],
    colours: Sequence[Sequence[str]] | None = None,
    *,
    title: str,
    caption: str = "",
    transpose: bool | None = None,
) -> Figure:
    """Draw a decision table as a map: words in cells coloured by fate; ``?`` marks what no source settles.

    Parameters
    ----------
    words : (r, c) words of the cells.
    rows, columns : r and c names.
    colours : (r, c) names of fates, ``"deferred"`` or ``""``; computed from the words when left out.
    title : the finding.
    caption : where the table comes from.
    transpose : swap rows and columns; None does so when the cells would be too narrow for their words.

    Returns
    -------
    A matplotlib figure 9 inches wide.

    Raises
    ------
    ValueError
        When shapes differ or a colour is no fate.
    """
    cells = np.array(words, dtype=object)
    fate = np.array([[_fate_of(str(w)) for w in r] for r in words] if colours is None else colours, dtype=object)
    if cells.shape != (len(rows), len(columns)) or fate.shape != cells.shape:
        raise ValueError(complaint("shape of the table", cells.shape, f"({len(rows)}, {len(columns)})"))
    if transpose is None:
        transpose = _needs_turning(cells, rows, columns)
    if transpose:
        cells, fate, rows, columns = cells.T, fate.T, columns, rows
    left = MARGIN + 0.15 + min(max(text_width(name) for name in rows), 2.0)
    cell = (WIDTH - left - MARGIN) / len(columns)
    heads = [wrap(name, cell - 0.06, SMALL) for name in columns]
    wrapped = [[wrap(_bound(str(word)), cell - 0.08, SMALL, _weight(str(word))) for word in row] for row in cells]
    names = [wrap(name, left - MARGIN - 0.1) for name in rows]
    tallest = max(len(lines) for row in [*wrapped, names] for lines in row)
    step = tallest * line_height(SMALL) + 0.14
    head = max(len(lines) for lines in heads) * line_height(SMALL) + 0.08
    sheet = Sheet(title, caption, 0.3 + head + step * len(rows) + 0.05)
    sheet.swatches(left, 0.1, _shown(fate))
    _cells(sheet.axes(left, 0.3 + head, cell * len(columns), step * len(rows)), wrapped, fate)
    for j, lines in enumerate(heads):
        x, y = left + (j + 0.5) * cell, sheet.top + 0.3 + head - len(lines) * line_height(SMALL) / 2 - 0.03
        sheet.text(x, y, "\n".join(lines), va=_middle(lines), ha="center")
    for i, lines in enumerate(names):
        y = sheet.top + 0.3 + head + (i + 0.5) * step
        sheet.text(left - 0.1, y, "\n".join(lines), size=9.0, ha="right", va=_middle(lines))
    return sheet.chart


def _cells(axes: Axes, wrapped: list[list[list[str]]], fate: NDArray[np.object_]) -> None:
    for i, row in enumerate(wrapped):
        for j, lines in enumerate(row):
            _cell(axes, i, j, lines, str(fate[i, j]))
    axes.set_xlim(0, fate.shape[1])
    axes.set_ylim(fate.shape[0], 0)
    axes.set_axis_off()


def _cell(axes: Axes, i: int, j: int, lines: list[str], fate: str) -> None:
    from matplotlib.patches import Rectangle

    colour = _colour(fate)
    weight = _weight(" ".join(lines))
    axes.add_patch(Rectangle((j, i), 1, 1, facecolor=colour, edgecolor="white", linewidth=2))
    text = axes.text(
        j + 0.5, i + 0.5, "\n".join(lines), ha="center", va=_middle(lines), fontsize=SMALL, color=ink_on(colour),
        linespacing=1.15, fontweight=weight,
    )  # fmt: skip
    if weight == "bold":
        axes.add_patch(Rectangle((j, i), 1, 1, facecolor="none", edgecolor="white", linewidth=0, hatch="///"))
        text.set_bbox({"facecolor": colour, "edgecolor": "none", "pad": 1.5})


def _weight(word: str) -> str:
    """Return how heavy a word is drawn, and so must be measured: bold where no source settles the cell."""
    return "bold" if "?" in word else "normal"


def _bound(word: str) -> str:
    """Keep a question mark on the line of what it questions."""
    return word.replace(" ?", "\N{NO-BREAK SPACE}?")


def _middle(lines: list[str]) -> str:
    return "center_baseline" if len(lines) == 1 else "center"


def _needs_turning(cells: NDArray[np.object_], rows: Sequence[str], columns: Sequence[str]) -> bool:
    longest = max(
        text_width(part, SMALL, _weight(word))
        for word in map(str, cells.reshape(-1))
        for part in _bound(word).split(" ")
    )

    def room(side: Sequence[str], top: Sequence[str]) -> float:
        return (WIDTH - min(max(text_width(name) for name in side), 2.0) - 0.4) / len(top) - 0.08

    return room(rows, columns) < longest and room(columns, rows) > room(rows, columns)


def _fate_of(word: str) -> str:
    return next((fate for part, fate in _WORDS if part in word.lower()), "")


def _colour(fate: str) -> str:
    if not fate:
        return "#F0F0F0"
    return DEFERRED_COLOUR if fate == "deferred" else FATE_COLOURS[findings.fate_of(fate)]


def _shown(fate: NDArray[np.object_]) -> list[tuple[str, str]]:
    there = {str(name) for name in fate.reshape(-1)}
    shown = [(f.label, FATE_COLOURS[f]) for f in Fate if f.label in there or f.key in there]
    return shown + ([("not on this connection", DEFERRED_COLOUR)] if "deferred" in there else [])
