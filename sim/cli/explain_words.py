"""What several answers of ``tlssim explain`` say alike."""

from __future__ import annotations

from typing import Any

from sim.cli.text import say, wrapped


def say_next(rows: list[dict[str, Any]]) -> None:
    """Say what follows each outcome of the rows, in the order in which they have them."""
    told: dict[str, str] = {}
    for row in rows:
        told.setdefault(row["outcome"], row["next"])
    for outcome, text in told.items():
        say(wrapped(f"{outcome}: {text}."))
