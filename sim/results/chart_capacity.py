"""The chart of a capacity planner: what the gateway held over clock hours, one panel a quantity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sim.results import findings
from sim.results.chart_hours import Events, event_rows, hours_axis
from sim.results.chart_style import (
    DEFERRED_COLOUR,
    FAINT_INK,
    FATE_COLOURS,
    INK,
    WIDTH,
    Sheet,
    house_style,
)
from sim.terms import Fate

if TYPE_CHECKING:
    from pandas import DataFrame

_PANEL, _PANEL_GAP = 1.0, 0.34
#: Units of age, and from which highest age on.
_AGES = ((172_800.0, 86_400.0, "days"), (7_200.0, 3_600.0, "hours"), (120.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))


@house_style
def capacity(timeline: DataFrame, events: Events = (), *, caption: str = "", title: str, left: str = "") -> Figure:
    """Draw queue, age of the oldest, connections in use, handshakes and openings, over clock hours.

    Parameters
    ----------
    timeline : frame of `sim.results.load.RunLoad.timeline`.
    events : (hour, label) of what happened to the run.
    caption : what varied and how much; what an interval shows is added.
    title : the finding, as computed.
    left : what waits after the last hour drawn.

    Returns
    -------
    A matplotlib figure 9 inches wide.
    """
    edges = np.concatenate([[0.0], timeline["time_h"].to_numpy(dtype=float)])
    end = float(edges[-1]) or 1.0
    interval = findings.duration(float(edges[1]) * 3_600)
    top_s = float(timeline["oldest_s"].max())
    unit_s, unit = next((size, name) for least, size, name in _AGES if top_s >= least)
    panels = (
        ("queued_messages", 1.0, "messages in the queue", FATE_COLOURS[Fate.QUEUED], True),
        ("oldest_s", unit_s, f"age of the oldest message in the queue, {unit}", DEFERRED_COLOUR, True),
        ("connections_in_use", 1.0, "connections in use", INK, False),
        ("handshakes_per_s", 1.0, "TLS handshakes per second", FATE_COLOURS[Fate.VERIFIED], False),
        ("openings_per_s", 1.0, "connections opened per second", INK, False),
    )
    quiet = [
        f"No {label.removesuffix(' per second')} at any time."
        for column, _, label, _, _ in panels
        if not timeline[column].any()
    ]
    drawn = [panel for panel in panels if timeline[panel[0]].any()] or [panels[0]]
    margin, right = 0.85, 0.2
    width = WIDTH - margin - right
    marks = event_rows(events, end, width)
    head = 0.2 * (1 + max((row for _, _, row, _ in marks), default=-1)) + 0.2
    note = f"Levels are the highest in each interval of {interval}, rates its mean."
    sheet = Sheet(
        title,
        " ".join(part for part in (caption, note, *quiet, left) if part),
        head + len(drawn) * (_PANEL + _PANEL_GAP) + 0.1,
    )
    for k, (column, size, label, colour, filled) in enumerate(drawn):
        top = head + k * (_PANEL + _PANEL_GAP)
        axes = sheet.axes(margin, top, width, _PANEL)
        values = timeline[column].to_numpy(dtype=float) / size
        axes.stairs(values, edges, fill=filled, color=colour, linewidth=0 if filled else 0.9, baseline=0)
        sheet.text(margin, sheet.top + top - 0.11, label, backed=True)
        hours_axis(axes, end, last=k == len(drawn) - 1)
        _small_numbers(axes, values)
        for hour, _ in events:
            axes.axvline(hour, color=FAINT_INK, linewidth=0.8, linestyle=(0, (4, 2)))
    for x, label, row, align in marks:
        sheet.event(margin + x, 0.08 + 0.2 * row, head, label, align)
    return sheet.chart


def _small_numbers(axes: Axes, values: NDArray[np.float64]) -> None:
    """Give an axis whose values stay below a few its own scale: rates are often fractions."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    top = float(values.max(initial=0.0))
    if 0 < top < 3:
        axes.set_ylim(0, top * 1.05)
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
