"""Print the figures of the presets as the tables of ``docs/populations.md``.

The page holds pairs of comments, ``<!-- figures alexa-2015 -->`` and ``<!-- end -->``; what stands between them is made
by `render`, and a test holds the page to it. ``python -m sim.world.describe docs/populations.md`` makes them anew.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from sim.data import data_root
from sim.files import write_text
from sim.world.figures import Figure, load, load_mail, read_figures

_BLOCK: Final = re.compile(r"<!-- (figures|providers|mail) ?(\S*) -->\n.*?<!-- end -->\n", re.DOTALL)


def render(page: str) -> str:
    """Return the page with every block of figures made anew from ``data/populations/``."""
    return _BLOCK.sub(lambda block: _block(block[1], block[2]), page)


def figures_table(figures: Iterable[Figure]) -> str:
    """Return figures as a Markdown table."""
    head = ("parameter", "value", "range", "unit", "k of n", "weighting", "status", "source", "note")
    rows = [
        (
            f"`{f.parameter}`",
            "not used" if f.value is None else f"{f.value:g}" if isinstance(f.value, float) else f.value,
            "" if f.low is None else f"{f.low:g} to {f.high:g} ({f.range})",
            f.unit,
            f"{f.k:,} of {f.n:,}" if f.k is not None and f.n is not None else "",
            f.weighting,
            f.status,
            f.source,
            f.note,
        )
        for f in figures
        if f.unit not in ("text", "preset")
    ]
    return _table(head, rows)


def providers_table(preset: str) -> str:
    """Return the named provider types of a preset as a Markdown table."""
    certificate = ("STARTTLS", "chain", "names MX", "MX preferences")
    head = ("provider", "rank", "hosted share", *certificate, "DANE", "MTA-STS", "why")
    rows = [
        (
            f"`{p.provider}`",
            "" if p.rank is None else str(p.rank),
            f"{p.hosted_share:g} ({p.share_status}: {p.share_source})",
            "yes" if p.starttls else "no",
            str(p.chain) if p.starttls else "",
            ("yes" if p.names_mx else "no") if p.starttls else "",
            " ".join(map(str, p.preferences)),
            "yes" if p.dane else "no",
            f"{p.mta_sts} ({p.standards_status}: {p.standards_source})",
            f"{p.note} ({p.behaviour_status}: {p.behaviour_source})",
        )
        for p in load(preset).providers
    ]
    return _table(head, rows)


def _block(kind: str, preset: str) -> str:
    if kind == "mail":
        text, opening = figures_table(load_mail().values()), "<!-- mail -->"
    elif kind == "providers":
        text, opening = providers_table(preset), f"<!-- providers {preset} -->"
    else:
        text = figures_table(read_figures(data_root() / "populations" / f"{preset}.csv").values())
        opening = f"<!-- figures {preset} -->"
    return f"{opening}\n\n{text}\n<!-- end -->\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        write_text(name, render(Path(name).read_text(encoding="utf-8")))
