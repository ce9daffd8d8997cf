"""The chart of a what-if: both directions of the difference, and where most messages part ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Rectangle

from sim.results import findings
from sim.results.chart_style import (
    DEFERRED_COLOUR,
    FAINT_INK,
    FATE_COLOURS,
    INK,
    MARGIN,
    NORMAL,
    SMALL,
    WIDTH,
    Sheet,
    house_style,
    shorten,
    text_width,
    whisker,
)
from sim.terms import Fate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

Kinds = Mapping[str, Mapping[str, Any]]

#: Rows of the left panel: name, the kind that is better than before, the one that is worse, colour.
_ROWS = (
    ("in clear", "clear_avoided", "clear_added", FATE_COLOURS[Fate.IN_CLEAR]),
    ("bounced", "newly_delivered", "newly_bounced", FATE_COLOURS[Fate.BOUNCED]),
    ("delayed by a\nminute or more", "sooner", "later", DEFERRED_COLOUR),
)
#: Stack of the right panel: kind, name, colour, whether it is a loss of that fate and so drawn hollow.
_STACK = (
    ("newly_bounced", "newly bounced", FATE_COLOURS[Fate.BOUNCED], False),
    ("newly_delivered", "no longer bounced", FATE_COLOURS[Fate.BOUNCED], True),
    ("clear_avoided", "no longer in clear", FATE_COLOURS[Fate.IN_CLEAR], True),
    ("clear_added", "newly in clear", FATE_COLOURS[Fate.IN_CLEAR], False),
    ("later", "later", DEFERRED_COLOUR, False),
    ("sooner", "sooner", DEFERRED_COLOUR, True),
)
_MARKS = (
    "Left: hollow bars are mail that no longer has that fate, solid ones mail that newly has it; mail that bounces "
    "instead of going in clear is in both rows. Right: each message once."
)
_LEAST_WHISKER = 0.03
_BAR = 0.6
_MOST_NAMES = 10
_NAME_WIDTH = 1.9
_LEFT_WIDTH = 2.75
_STEP = 0.27
_HEAD = 0.62


@house_style
def whatif(kinds: DataFrame, where: DataFrame, *, title: str, caption: str = "") -> Figure:
    """Draw both directions of a difference, and the destinations or entries at which most messages part ways.

    Parameters
    ----------
    kinds : kind, messages, share, low, high (`sim.studies.whatif_result.WhatIfResult.kinds`).
    where : name and, for each main kind, messages: exclusive; the order of the bars, of which ten are drawn.
    title : the finding.
    caption : what varied and how much; what the marks mean is added.

    Returns
    -------
    A matplotlib figure 9 inches wide.
    """
    shown = where.head(_MOST_NAMES)
    inner = max(3 * 0.5, len(shown) * _STEP, 1.5)
    notes = [_MARKS]
    rest = len(where) - len(shown)
    notes += [f"{rest:,} more places are not drawn."] if rest > 0 else []
    of: Kinds = {row["kind"]: {str(k): v for k, v in row.items()} for row in kinds.to_dict("records")}
    notes += (
        ["Whiskers: intervals of the shares, where they are wider than their line."]
        if kinds["low"].notna().any()
        else []
    )
    sheet = Sheet(title, " ".join(note for note in (caption, *notes) if note), _HEAD + inner + 0.5)
    label = max(text_width(line) for name, *_ in _ROWS for line in name.split("\n"))
    left = MARGIN + label + 0.1
    _draw_kinds(sheet, of, left, min(inner, 2.2))
    _draw_where(sheet, shown, left + _LEFT_WIDTH + 0.3, inner)
    return sheet.chart


def _draw_kinds(sheet: Sheet, of: Kinds, left: float, height: float) -> None:
    axes = sheet.axes(left, _HEAD, _LEFT_WIDTH, height)
    sides = [("better", -1), ("worse", 1)]
    ends = {side: 0.0 for side, _ in sides}
    rooms = dict(ends)
    for _, better, worse, _ in _ROWS:
        for (side, _), kind in zip(sides, (better, worse), strict=True):
            row = of[kind]
            ends[side] = max(ends[side], _end(row))
            rooms[side] = max(rooms[side], text_width(_number(row), SMALL) + 0.12 if row["messages"] else 0.0)
    # Both directions have their place, whether anything goes there or not.
    rooms = {side: max(room, 0.9) for side, room in rooms.items()}
    per_inch = (sum(ends.values()) or 1.0) / (_LEFT_WIDTH - sum(rooms.values()))
    axes.set_xlim(-ends["better"] - rooms["better"] * per_inch, ends["worse"] + rooms["worse"] * per_inch)
    for y, (_, better, worse, colour) in enumerate(_ROWS):
        for (_, sign), kind in zip(sides, (better, worse), strict=True):
            row = of[kind]
            if not row["messages"]:
                continue
            _bar(axes, y, 0.0, sign * float(row["share"]), colour, hollow=sign < 0)
            low, high = sorted((sign * float(row["low"]), sign * float(row["high"])))
            if (high - low) / per_inch >= _LEAST_WHISKER:
                whisker(axes, low, high, y, 0.12)
            x = sign * (_end(row) + 0.05 * per_inch)
            axes.text(x, y, _number(row), ha="left" if sign > 0 else "right", va="center_baseline", fontsize=SMALL)
        if not any(of[kind]["messages"] for kind in (better, worse)):
            axes.text(0.06 * per_inch, y, "no difference", va="center_baseline", fontsize=SMALL, color=FAINT_INK)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_ylim(len(_ROWS) - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks(range(len(_ROWS)), [name for name, *_ in _ROWS], fontsize=NORMAL, linespacing=1.1)
    axes.tick_params(axis="y", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    sheet.text(
        MARGIN,
        sheet.top + 0.1,
        "Messages of a run, and their share of injected mail",
        size=NORMAL,
        va="center_baseline",
    )
    sheet.text(left, sheet.top + 0.42, "← better than today", va="center_baseline", color=FAINT_INK)
    sheet.text(
        left + _LEFT_WIDTH, sheet.top + 0.42, "worse than today →", va="center_baseline", color=FAINT_INK, ha="right"
    )


def _end(row: Mapping[str, Any]) -> float:
    return float(np.nanmax([row["share"], row["high"]])) if row["messages"] else 0.0


def _number(row: Mapping[str, Any]) -> str:
    messages = float(row["messages"])
    text = f"{messages:,.0f}" if messages >= 9.95 or messages == round(messages) else f"{messages:.1f}"
    return f"{text} ({findings.percent(float(row['share']))} %)"


def _draw_where(sheet: Sheet, shown: DataFrame, left: float, height: float) -> None:
    head = "Where most messages part ways" if len(shown) else "No message parts ways"
    sheet.text(left, sheet.top + 0.1, head, size=NORMAL, va="center_baseline")
    if not len(shown):
        return
    names = [shorten(str(name), _NAME_WIDTH, SMALL) for name in shown["name"]]
    totals = shown[[kind for kind, *_ in _STACK]].sum(axis=1).to_numpy(dtype=float)
    used = [item for item in _STACK if shown[item[0]].sum() > 0]
    _legend(sheet, left, used)
    start = left + max(text_width(name, SMALL) for name in names) + 0.1
    width = WIDTH - MARGIN - start - 0.1
    rows = len(shown)
    axes = sheet.axes(start, _HEAD, width, min(height, rows * _STEP))
    labels = [f"{total:,.0f}" if total >= 9.95 or total == round(total) else f"{total:.1f}" for total in totals]
    room = max(text_width(text, SMALL) for text in labels) + 0.1
    axes.set_xlim(0, totals.max() * width / (width - room))
    for y, total in enumerate(totals):
        at = 0.0
        for kind, _, colour, hollow in used:
            messages = float(shown[kind].iloc[y])
            if messages:
                _bar(axes, y, at, messages, colour, hollow=hollow)
            at += messages
        axes.annotate(labels[y], (total, y), xytext=(4, 0), textcoords="offset points", va="center_baseline",
                      fontsize=SMALL)  # fmt: skip
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_yticks(range(rows), names)
    axes.set_xticks([])
    axes.set_xlabel("messages of a run")
    axes.tick_params(axis="y", length=0)
    axes.spines["bottom"].set_visible(False)


def _legend(sheet: Sheet, left: float, used: list[tuple[str, str, str, bool]]) -> None:
    x, y = left, sheet.top + 0.34
    for _, name, colour, hollow in used:
        wide = 0.18 + text_width(name, SMALL)
        if x + wide > WIDTH - MARGIN:
            x, y = left, y + 0.17
        box = Rectangle((x / WIDTH, 1 - (y + 0.05) / sheet.height), 0.12 / WIDTH, 0.1 / sheet.height,
                        transform=sheet.chart.transFigure, **_fill(colour, hollow=hollow))  # fmt: skip
        sheet.chart.add_artist(box)
        sheet.text(x + 0.18, y, name, va="center_baseline")
        x += wide + 0.2


def _bar(axes: Axes, y: float, start: float, length: float, colour: str, *, hollow: bool) -> None:
    axes.barh(y, length, left=start, height=_BAR, **_fill(colour, hollow=hollow))


def _fill(colour: str, *, hollow: bool) -> dict[str, Any]:
    return {"facecolor": "white" if hollow else colour, "edgecolor": colour, "linewidth": 1.0}
