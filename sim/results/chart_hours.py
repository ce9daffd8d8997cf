"""Clock hours that the panels of a chart share, and the events marked along them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from sim.results.chart_style import SMALL, shorten, text_width

Events = Sequence[tuple[float, str]]

_HOUR_STEPS = (0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 72, 168, 336, 672)


def hours_axis(axes: Axes, end: float, *, last: bool) -> None:
    """Make x clock hours from the start up to an end, named on the last of several panels; y counts from 0."""
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


def event_rows(events: Events, end: float, width: float) -> list[tuple[float, str, int, str]]:
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
