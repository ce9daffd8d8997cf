"""A Markdown table of what a benchmark found beside its targets, ready for ``docs/benchmarks.md``."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence

Row = tuple[str, str, str, str]


class Table:
    """Rows as they are measured; `text` is the whole."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._loads = [_load()]

    def add(self, what: str, found: str, target: str = "", met: bool | None = None) -> None:
        """Note what was found, and say it at once."""
        verdict = "" if met is None else "met" if met else "missed"
        self.rows.append((what, target, found, verdict))
        self._loads.append(_load())
        print(f"\n{what}: {found}{f' (target: {target}: {verdict})' if target else ''}", flush=True)

    def text(self) -> str:
        """Return the table, with the load of the machine under it."""
        lines = ["| what | target | found | |", "| --- | --- | --- | --- |"]
        lines += [f"| {' | '.join(row)} |" for row in self.rows]
        load = f"load {min(self._loads):.1f} to {max(self._loads):.1f} on {os.cpu_count()} processors, ours included"
        return "\n".join([*lines, "", load])


def million(rates: Sequence[float]) -> str:
    """Say the median of rates a second in millions, with the least and the most."""
    return f"{statistics.median(rates) / 1e6:.2f} million ({min(rates) / 1e6:.2f} to {max(rates) / 1e6:.2f})"


def thousand(rates: Sequence[float]) -> str:
    """Say the median of rates a second, with the least and the most."""
    return f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})"


def _load() -> float:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
