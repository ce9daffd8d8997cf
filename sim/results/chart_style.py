"""One hand for all charts: colours, type sizes, measuring of text, time ticks, files whose bytes repeat."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, wraps
from math import inf, log10
from pathlib import Path
from threading import RLock
from typing import ParamSpec, TypeVar

import matplotlib.style as mpl_style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from sim.errors import OutputError, complaint
from sim.files import write_bytes
from sim.terms import Fate

P = ParamSpec("P")
R = TypeVar("R")

#: Okabe and Ito's palette, safe for colour-blind readers: one colour per fate everywhere.
FATE_COLOURS = {
    Fate.IN_CLEAR: "#D55E00",
    Fate.ENCRYPTED: "#56B4E9",
    Fate.VERIFIED: "#0072B2",
    Fate.BOUNCED: "#3C3C3C",
    Fate.QUEUED: "#CC79A7",
}
DEFERRED_COLOUR = "#999999"
ATTACKER_COLOUR = "#E69F00"
INK = "#1A1A1A"
FAINT_INK = "#555555"

#: Inches; 900 px at 100 dots an inch, so that sizes in points are those a reader at 900 px sees.
WIDTH = 9.0
MARGIN = 0.12
SMALL, NORMAL, TITLE = 8.0, 9.0, 11.5
PNG_DPI = 150

_HOUSE = {
    "font.family": ["DejaVu Sans"],
    "font.size": NORMAL,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": SMALL,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "axes.axisbelow": True,
    "hatch.linewidth": 0.6,
    "svg.hashsalt": "tls-delivery-sim",
    "svg.fonttype": "path",
    "figure.dpi": 100,
}
#: Settings of matplotlib are global to the process; a served page draws in several threads.
_LOCK = RLock()

#: Tick times in the order they are worth showing.
_TIME_TICKS = (
    (1, "1 s"), (3_600, "1 h"), (259_200, "3 days"), (60, "1 min"), (86_400, "1 day"), (10, "10 s"), (600, "10 min"),
    (0.1, "0.1 s"), (21_600, "6 h"), (864_000, "10 days"), (0.01, "10 ms"), (0.001, "1 ms"), (2_592_000, "30 days"),
    (1e-4, "0.1 ms"), (2, "2 s"), (5, "5 s"), (30, "30 s"), (120, "2 min"), (300, "5 min"), (1_800, "30 min"),
    (0.2, "0.2 s"), (0.5, "0.5 s"), (7_200, "2 h"), (43_200, "12 h"), (172_800, "2 days"), (1e-5, "10 µs"),
)  # fmt: skip


class Chart(Figure):
    """A matplotlib figure that shows itself in a notebook without pyplot."""

    def _repr_png_(self) -> bytes:
        return render(self, "png")


@contextmanager
def _house() -> Iterator[None]:
    with _LOCK, mpl_style.context(["default", _HOUSE]):
        yield


def house_style(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw in the house style, whatever the process has set for its own charts."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with _house():
            return draw(*args, **kwargs)

    return drawn


def render(figure: Figure, kind: str, *, colours: int | None = None) -> bytes:
    """Return a figure as ``png`` or ``svg``; the same figure gives the same bytes on the same matplotlib.

    Parameters
    ----------
    figure, kind : what, and as what.
    colours : of a png, a palette of so many, which makes the file of flat areas several times smaller; None = all.
    """
    buffer = io.BytesIO()
    title = figure.get_suptitle().replace("\n", " ")
    blank = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    with _house():
        FigureCanvasAgg(figure)
        figure.savefig(buffer, format=kind, dpi=PNG_DPI, metadata={**blank, "Title": title}, facecolor="white")
    return buffer.getvalue() if colours is None or kind != "png" else _with_palette(buffer, colours, title)


def _with_palette(picture: io.BytesIO, colours: int, title: str) -> bytes:
    from PIL import Image, PngImagePlugin

    buffer, told = io.BytesIO(), PngImagePlugin.PngInfo()
    told.add_text("Title", title)
    flat = Image.open(picture).convert("RGB").quantize(colours, dither=Image.Dither.NONE)
    flat.save(buffer, format="png", optimize=True, pnginfo=told, dpi=(PNG_DPI, PNG_DPI))
    return buffer.getvalue()


def save(figure: Figure, path: str | Path, *, colours: int | None = None) -> Path:
    """Write a figure as PNG or SVG, by the ending of `path`; whole or not at all, with repeatable bytes.

    Raises
    ------
    OutputError
        When the ending is another one, or the file cannot be written.
    """
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in ("png", "svg"):
        raise OutputError(complaint("chart file", str(path), "a name that ends in .png or .svg"))
    return write_bytes(path, render(figure, kind, colours=colours))


@lru_cache(maxsize=4096)
def text_width(text: str, size: float = NORMAL, weight: str = "normal") -> float:
    """Return the width of one line of text in inches."""
    font = FontProperties(family=["DejaVu Sans"], size=size, weight=weight)
    renderer = RendererAgg(1, 1, 72)  # type: ignore[no-untyped-call]
    width = renderer.get_text_width_height_descent(text, font, False)[0]  # type: ignore[no-untyped-call]
    return float(width) / 72


def wrap(text: str, width: float, size: float = NORMAL, weight: str = "normal") -> list[str]:
    """Break text into lines no wider than `width` inches; a word that is wider by itself ends in an ellipsis.

    A number stays on one line with its unit.
    """
    lines: list[str] = []
    for word in re.sub(r"(?<=\d) (?=(?:%|s|ms|min|h|days)(?:\W|$))", "\N{NO-BREAK SPACE}", text).split(" "):
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(joined, size, weight) <= width:
            lines[-1] = joined
        else:
            lines.append(shorten(word, width, size, weight))
    return lines or [""]


def shorten(text: str, width: float, size: float = NORMAL, weight: str = "normal") -> str:
    """Cut text to `width` inches, marked by an ellipsis."""
    if text_width(text, size, weight) <= width:
        return text
    while len(text) > 1 and text_width(text + "…", size, weight) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def line_height(size: float) -> float:
    """Return the distance of lines in inches."""
    return size * 1.25 / 72


class Sheet:
    """A chart under construction: a title at the top, a caption at the bottom, positions in inches from the top left.

    Parameters
    ----------
    title : the finding.
    caption : what varied and how much; may be empty.
    body : height in inches of all between title and caption.
    """

    def __init__(self, title: str, caption: str, body: float) -> None:
        inner = WIDTH - 2 * MARGIN
        heads = wrap(title, inner, TITLE, "bold")
        notes = wrap(caption, inner, SMALL) if caption else []
        self.top = MARGIN + len(heads) * line_height(TITLE) + 0.1
        foot = len(notes) * line_height(SMALL) + (0.08 if notes else 0)
        self.height = self.top + body + foot + MARGIN
        self.chart = Chart(figsize=(WIDTH, self.height))
        FigureCanvasAgg(self.chart)
        self.chart.suptitle(
            "\n".join(heads), x=MARGIN / WIDTH, y=1 - MARGIN / self.height, ha="left", va="top",
            fontsize=TITLE, fontweight="bold", linespacing=1.2,
        )  # fmt: skip
        if notes:
            self.text(MARGIN, self.height - MARGIN, "\n".join(notes), va="bottom", color=FAINT_INK)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes; `top` is measured from the end of the title."""
        y = self.height - self.top - top - height
        return self.chart.add_axes((left / WIDTH, y / self.height, width / WIDTH, height / self.height))

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = SMALL,
        va: str = "center",
        color: str = INK,
        ha: str = "left",
        backed: bool = False,
    ) -> None:
        """Write text at inches from the left and from the upper edge of the whole sheet, on white where `backed`."""
        self.chart.text(
            x / WIDTH, 1 - y / self.height, text, fontsize=size, ha=ha, va=va, color=color, linespacing=1.2,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8} if backed else None, zorder=2,
        )  # fmt: skip

    def event(self, x: float, top: float, bottom: float, label: str, align: str) -> None:
        """Write the label of an event beside a line that leads down to the panels; tops from the end of the title."""
        ys = [1 - (self.top + at) / self.height for at in (top - 0.06, bottom)]
        line = Line2D([x / WIDTH] * 2, ys, color=FAINT_INK, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
        line.set_transform(self.chart.transFigure)
        self.chart.add_artist(line)
        shift = 0.05 if align == "left" else -0.05
        self.text(x + shift, self.top + top, label, va="center_baseline", color=FAINT_INK, ha=align, backed=True)

    def swatches(self, left: float, top: float, items: Sequence[tuple[str, str]]) -> None:
        """Draw a row of coloured squares with their names; `top` is measured from the end of the title."""
        y = self.top + top
        for name, colour in items:
            self.chart.add_artist(
                Rectangle(
                    (left / WIDTH, 1 - (y + 0.05) / self.height),
                    0.12 / WIDTH,
                    0.1 / self.height,
                    facecolor=colour,
                    edgecolor="none",
                    transform=self.chart.transFigure,
                )
            )
            self.text(left + 0.18, y, name, va="center_baseline")
            left += 0.18 + text_width(name, SMALL) + 0.28

    def mark(self, x: float, top: float, marker: str, **style: object) -> None:
        """Draw one marker at inches; `top` is measured from the end of the title."""
        position = [x / WIDTH], [1 - (self.top + top) / self.height]
        line = Line2D(*position, marker=marker, linestyle="none", transform=self.chart.transFigure, **style)  # type: ignore[arg-type]
        self.chart.add_artist(line)

    def line(self, left: float, right: float, top: float, **style: object) -> None:
        """Draw a level line between inches; `top` is measured from the end of the title."""
        y = 1 - (self.top + top) / self.height
        line = Line2D([left / WIDTH, right / WIDTH], [y, y], transform=self.chart.transFigure, **style)  # type: ignore[arg-type]
        self.chart.add_artist(line)


def time_axis(axes: Axes, low_s: float, high_s: float, width: float, last_tick_s: float = inf) -> None:
    """Make x a log axis of time from `low_s` to `high_s`, with as many human ticks as `width` inches have room for."""
    axes.set_xscale("log")
    axes.set_xlim(low_s, high_s)
    per_decade = width / log10(high_s / low_s)
    placed: list[tuple[float, float, float, str]] = []
    for seconds, label in _TIME_TICKS:
        if not low_s <= seconds <= min(high_s, last_tick_s):
            continue
        centre, half = log10(seconds / low_s) * per_decade, text_width(label, SMALL) / 2 + 0.05
        if all(centre + half <= left or centre - half >= right for left, right, _, _ in placed):
            placed.append((centre - half, centre + half, seconds, label))
    placed.sort()
    axes.set_xticks([seconds for _, _, seconds, _ in placed], [label for _, _, _, label in placed])
    axes.set_xticks([], minor=True)


def whisker(axes: Axes, low: float, high: float, y: float, cap: float) -> None:
    """Draw an interval: dark with a light rim, so that it shows on every colour."""
    x = [low, low, low, high, high, high]
    ys = [y - cap, y + cap, y, y, y - cap, y + cap]
    for width, colour in ((2.6, "white"), (1.0, "black")):
        axes.plot(x, ys, color=colour, linewidth=width, solid_capstyle="butt", clip_on=False, zorder=5)


def ink_on(colour: str) -> str:
    """Return black or white, whichever reads better on a colour (relative luminance of WCAG 2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"


def spread(wanted: Iterable[float], distance: float, low: float, high: float) -> list[float]:
    """Move positions apart to at least `distance`, within low..high where they fit, keeping their order."""
    values = list(wanted)
    order = sorted(range(len(values)), key=lambda i: values[i])
    placed: list[float] = []
    for i in order:
        placed.append(max(values[i], low, placed[-1] + distance if placed else low))
    limit = high
    for k in reversed(range(len(placed))):
        placed[k] = min(placed[k], limit)
        limit = placed[k] - distance
    found = [0.0] * len(values)
    for i, value in zip(order, placed, strict=True):
        found[i] = value
    return found
