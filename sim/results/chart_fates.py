"""The main chart: fates of the same mail under each TLS setting, with what was deferred and for how long beside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.results import findings
from sim.results.chart_style import (
    ATTACKER_COLOUR,
    DEFERRED_COLOUR,
    FATE_COLOURS,
    INK,
    MARGIN,
    NORMAL,
    SMALL,
    WIDTH,
    Sheet,
    house_style,
    ink_on,
    line_height,
    text_width,
    time_axis,
    whisker,
    wrap,
)
from sim.terms import Fate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

_DEFERRED_WIDTH, _DELAY_WIDTH = 1.25, 1.9
_LABEL_WIDTH = 1.55
_OUTSIDE = 0.5
_BAR = 0.66
#: Height of the strip that marks exposed mail, of a row, and the least width in inches at which it can be seen.
_STRIP, _LEAST_STRIP = 0.16, 0.02
_EXPOSED = "exposed"
#: An interval narrower than this many inches would be hidden by the line that draws it.
_LEAST_WHISKER = 0.03
_MARKS = (
    ("o", {"markerfacecolor": DEFERRED_COLOUR, "markeredgecolor": INK, "markersize": 5.5}, "half"),
    ("|", {"markeredgecolor": INK, "markersize": 9, "markeredgewidth": 1.6}, "95 %"),
    ("D", {"markerfacecolor": "white", "markeredgecolor": INK, "markersize": 4.5}, "99 %"),
)


@dataclass(frozen=True, eq=False)
class _Bar:
    """One row of the chart. Arrays (5,) by fate; deferred: share, low, high; delay_s: 50, 95, 99 %; exposed: share."""

    setting: str
    lines: list[str]
    share: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    deferred: tuple[float, float, float]
    delay_s: NDArray[np.float64]
    exposed: float


@house_style
def fates(frame: DataFrame, *, caption: str = "", title: str | None = None) -> Figure:
    """Draw the fates of injected mail as one bar a setting and reading, intervals at the boundaries.

    Parameters
    ----------
    frame : one row a (setting, reading, fate), in the order of the bars: columns setting, reading, fate, share, low,
        high, deferred_share, deferred_low, deferred_high, delay_p50_s, delay_p95_s, delay_p99_s
        (`sim.results.tables.fates_frame`). Shares of one bar add up to 1; low and high may be missing values.
        exposed_share, where it is there and above 0, is a strip along the segment in clear.
    caption : what varied and how much; what the marks mean is added.
    title : replaces the computed finding.

    Returns
    -------
    A matplotlib figure 9 inches wide.
    """
    bars = _bars(frame)
    lines = max((len(bar.lines) for bar in bars), default=1)
    step = max(0.42, lines * line_height(NORMAL) + 0.08)
    places = _places(bars)
    inner = (places[-1] + 1 if places else 1) * step
    left = MARGIN + 0.12 + max((text_width(line) for bar in bars for line in bar.lines), default=0.5)
    width = WIDTH - left - _OUTSIDE - _DEFERRED_WIDTH - 0.3 - _DELAY_WIDTH - MARGIN - 0.15
    notes = [caption, *_notes(bars, width)]
    sheet = Sheet(title or findings.fates(frame), " ".join(note for note in notes if note), 0.5 + inner + 0.5)
    present = [fate for fate in Fate if any(bar.share[fate] > 0 for bar in bars)]
    swatches = [(fate.label, FATE_COLOURS[fate]) for fate in present]
    if any(bar.exposed > 0 for bar in bars):
        swatches.append((_EXPOSED, ATTACKER_COLOUR))
    sheet.swatches(left, 0.1, swatches)
    y = np.array([place + 0.5 for place in places])
    axes = sheet.axes(left, 0.5, width, inner)
    _draw_fates(axes, bars, y, width)
    deferred = sheet.axes(left + width + _OUTSIDE, 0.5, _DEFERRED_WIDTH, inner)
    _draw_deferred(deferred, bars, y)
    delay_left = left + width + _OUTSIDE + _DEFERRED_WIDTH + 0.3
    delay = sheet.axes(delay_left, 0.5, _DELAY_WIDTH, inner)
    _draw_delay(delay, bars, y)
    _mark_legend(sheet, delay_left)
    for panel in (axes, deferred, delay):
        panel.set_ylim(inner / step, 0)
        panel.tick_params(axis="y", length=0)
    axes.set_yticks(y, ["\n".join(bar.lines) for bar in bars], fontsize=NORMAL, linespacing=1.1)
    for panel in (deferred, delay):
        panel.set_yticks([])
    return sheet.chart


def _bars(frame: DataFrame) -> list[_Bar]:
    bars = []
    for (setting, reading), rows in frame.groupby(["setting", "reading"], sort=False, dropna=False):
        values = np.full((3, len(Fate)), np.nan)
        values[0] = 0
        codes = [int(findings.fate_of(spelling)) for spelling in rows["fate"]]
        values[:, codes] = rows[["share", "low", "high"]].to_numpy(dtype=float).T
        first = rows.iloc[0]
        lines = wrap(str(setting), _LABEL_WIDTH)
        if isinstance(reading, str) and reading:
            lines += wrap(f"({reading})", _LABEL_WIDTH)
        deferred = tuple(float(first[f"deferred_{end}"]) for end in ("share", "low", "high"))
        delay_s = first[["delay_p50_s", "delay_p95_s", "delay_p99_s"]].to_numpy(dtype=float)
        share = np.nan_to_num(values[0])
        exposed = float(np.nan_to_num(first.get("exposed_share", 0.0)))
        bars.append(_Bar(str(setting), lines, share, values[1], values[2], deferred, delay_s, exposed))  # type: ignore[arg-type]
    return bars


def _places(bars: list[_Bar]) -> list[float]:
    """Return the upper edge of each row: readings of one setting stand closer together than settings."""
    places: list[float] = []
    for i, bar in enumerate(bars):
        if i == 0:
            places.append(0.0)
        else:
            places.append(places[-1] + (0.9 if bar.setting == bars[i - 1].setting else 1.1))
    return places


def _boundaries(bar: _Bar) -> list[tuple[float, float, float]]:
    """Return (boundary, low, high) of each inner boundary of a bar that has an interval.

    The first boundary is the first share and the last one the whole less the last share, so both intervals are exact;
    one in between carries the interval of the share to its left.
    """
    present = [fate for fate in Fate if bar.share[fate] > 0]
    ends = np.cumsum(bar.share)
    found = []
    for k, fate in enumerate(present[:-1]):
        last = k == len(present) - 2 and k > 0
        of, sign = (present[-1], -1) if last else (fate, 1)
        offsets = sorted(sign * (edge - bar.share[of]) for edge in (bar.low[of], bar.high[of]))
        if not np.isnan(offsets).any():
            found.append((float(ends[fate]), float(ends[fate] + offsets[0]), float(ends[fate] + offsets[1])))
    return found


def _notes(bars: list[_Bar], width: float) -> list[str]:
    edges = [edge for bar in bars for edge in _boundaries(bar)]
    widths = [(high - low) * width for _, low, high in edges]
    notes = []
    if any(w >= _LEAST_WHISKER for w in widths):
        notes.append(
            "Whiskers: interval of the share that ends there; at the last boundary of a bar, of the share that begins."
        )
    if any(w < _LEAST_WHISKER for w in widths):
        notes.append("Intervals not drawn are narrower than the line that would draw them.")
    if any(bar.exposed > 0 for bar in bars):
        notes.append("Exposed: in clear on a path where somebody removes STARTTLS.")
    if any(_outside(bar, width) for bar in bars):
        notes.append("A number beside a bar is its last share.")
    return notes


def _draw_fates(axes: Axes, bars: list[_Bar], y: NDArray[np.float64], width: float) -> None:
    for bar, middle in zip(bars, y, strict=True):
        start = 0.0
        for fate in Fate:
            share = float(bar.share[fate]) * 100
            if share <= 0:
                continue
            colour = FATE_COLOURS[fate]
            axes.barh(middle, share, left=start, height=_BAR, color=colour, linewidth=0)
            number = findings.percent(share / 100)
            if share / 100 * width >= text_width(number, SMALL) + 0.03:
                axes.text(
                    start + share / 2,
                    middle,
                    number,
                    ha="center",
                    va="center_baseline",
                    fontsize=SMALL,
                    color=ink_on(colour),
                )
            start += share
        if bar.exposed > 0:
            wide = max(bar.exposed * 100, _LEAST_STRIP / width * 100)
            strip = middle + _BAR / 2 - _STRIP / 2
            axes.barh(strip, wide, height=_STRIP, color=ATTACKER_COLOUR, linewidth=0)
        if outside := _outside(bar, width):
            axes.text(100 + 6 / width, middle, outside, ha="left", va="center_baseline", fontsize=SMALL)
        for _, low, high in _boundaries(bar):
            if (high - low) * width >= _LEAST_WHISKER:
                whisker(axes, low * 100, high * 100, middle + _BAR * 0.31, _BAR * 0.09)
    axes.set_xlim(0, 100)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("share of injected mail, %")


def _outside(bar: _Bar, width: float) -> str:
    """Return the number of the last share when its segment has no room for it, else an empty string."""
    present = [fate for fate in Fate if bar.share[fate] > 0]
    if len(present) < 2:
        return ""
    number = findings.percent(float(bar.share[present[-1]]))
    return number if bar.share[present[-1]] * width < text_width(number, SMALL) + 0.03 else ""


def _draw_deferred(axes: Axes, bars: list[_Bar], y: NDArray[np.float64]) -> None:
    from matplotlib.ticker import MaxNLocator

    reach = [
        np.nanmax([share, high]) * 100 if not np.isnan(share) else 0.0 for share, _, high in (b.deferred for b in bars)
    ]
    top = max([*reach, 0.0])
    room = text_width(">99.9", SMALL) + 0.12
    limit = top * _DEFERRED_WIDTH / (_DEFERRED_WIDTH - room) or 1.0
    for bar, middle, end in zip(bars, y, reach, strict=True):
        share, low, high = bar.deferred
        if np.isnan(share):
            continue
        axes.barh(middle, share * 100, height=_BAR, color=DEFERRED_COLOUR, linewidth=0)
        if (high - low) * 100 / limit * _DEFERRED_WIDTH >= _LEAST_WHISKER:
            whisker(axes, low * 100, high * 100, middle + _BAR * 0.31, _BAR * 0.09)
        x = end + limit * 0.05 / _DEFERRED_WIDTH
        axes.text(x, middle, findings.percent(share), ha="left", va="center_baseline", fontsize=SMALL)
    axes.set_xlim(0, limit)
    ticks = MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(0, min(limit, 100.0))
    axes.set_xticks([tick for tick in ticks if 0 <= tick <= min(limit, 100.0)])
    axes.set_xlabel("deferred at least once, %")


def _draw_delay(axes: Axes, bars: list[_Bar], y: NDArray[np.float64]) -> None:
    known = np.array([bar.delay_s for bar in bars if np.isfinite(bar.delay_s).all()]).reshape(-1, 3)
    axes.set_xlabel("delay of delivered mail (log axis)")
    if not known.size:
        axes.set_xticks([])
    else:
        # The widest label stands right of the last mark: the axis reaches on by that many inches.
        label = max(text_width(findings.duration(float(v)), SMALL) for v in known[:, 2]) + 0.15
        first, last = np.log10(np.maximum([known.min(), known.max()], 1e-6))
        decades = max(last - first, 1.0) / (_DELAY_WIDTH - 0.12 - label)
        low = 10 ** (first - 0.12 * decades)
        time_axis(axes, low, low * 10 ** (_DELAY_WIDTH * decades), _DELAY_WIDTH, 10**last * 1.5)
    for bar, middle in zip(bars, y, strict=True):
        if not np.isfinite(bar.delay_s).all():
            axes.text(
                0.04,
                middle,
                "none delivered",
                transform=axes.get_yaxis_transform(),
                va="center_baseline",
                fontsize=SMALL,
            )
            continue
        values = np.maximum(bar.delay_s, 1e-6)
        axes.plot(
            values[[0, 2]], [middle, middle], color=DEFERRED_COLOUR, linewidth=2.4, solid_capstyle="butt", zorder=2
        )
        for value, (marker, style, _) in zip(values, _MARKS, strict=True):
            axes.plot([value], [middle], marker=marker, linestyle="none", zorder=3, **style)  # type: ignore[arg-type]
        axes.annotate(
            findings.duration(float(bar.delay_s[2])), (values[2], middle), xytext=(6, 0), textcoords="offset points",
            va="center_baseline", fontsize=SMALL,
        )  # fmt: skip


def _mark_legend(sheet: Sheet, left: float) -> None:
    x = left + 0.06
    for marker, style, name in _MARKS:
        sheet.mark(x, 0.36, marker, **style)
        sheet.text(x + 0.09, sheet.top + 0.36, name)
        x += 0.09 + text_width(name, SMALL) + 0.2
