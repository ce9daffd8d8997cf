"""What a command prints: aligned tables for people, or one JSON document for programs."""

from __future__ import annotations

import json
import math
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

WIDTH = 110


class PipeClosedError(Exception):
    """Whoever read the output has gone: ``tlssim ... | head``."""


def say(text: str = "", *, end: str = "\n") -> None:
    """Print to stdout.

    Raises
    ------
    PipeClosedError
        When nobody reads it any more.
    """
    try:
        click.echo(text + end, nl=False)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise PipeClosedError from None


def say_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document. What is no number (NaN) is null; frames are lists of rows."""
    say(json.dumps(_plain(document), indent=1, ensure_ascii=False, allow_nan=False))


def wrapped(text: str, indent: str = "", first: str | None = None) -> str:
    """Break a text into lines of `WIDTH` characters."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    key : where its values are in a row.
    head : its name; a line break puts the unit below it.
    show : spells a value; text is aligned left where it is ``None``, numbers right.
    """

    key: str
    head: str
    show: Callable[[Any], str] | None = None


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[Column]) -> str:
    """Lay out rows in aligned columns, two blanks apart."""
    heads = [column.head.split("\n") for column in columns]
    depth = max(len(head) for head in heads)
    lines = [[head[i] if i < len(head) else "" for head in heads] for i in range(depth)]
    lines += [[_cell(row.get(column.key), column) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    texts = []
    for line in lines:
        cells = [
            cell.ljust(width) if column.show is None else cell.rjust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        texts.append("  ".join(cells).rstrip())
    texts.insert(depth, "  ".join("-" * width for width in widths))
    return "\n".join(texts)


def count(value: Any) -> str:
    """Spell a whole number: ``12,345``."""
    return "" if _missing(value) else f"{value:,.0f}"


def share(value: Any) -> str:
    """Spell a share as per cent, without the sign, never wrongly 0 or 100: ``43.2``, ``<0.1``."""
    if _missing(value):
        return ""
    if value <= 0 or value >= 1:
        return "0" if value <= 0 else "100"
    return "<0.1" if value < 0.0005 else ">99.9" if value >= 0.9995 else f"{value * 100:.1f}"


def seconds(value: Any) -> str:
    """Spell seconds with the digits that matter: ``0.42``, ``3.1``, ``3,610``."""
    if _missing(value):
        return ""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def rows_of(frame: Any) -> list[dict[str, Any]]:
    """Return a frame as rows of plain values."""
    rows: list[dict[str, Any]] = _plain(frame.to_dict("records"))
    return rows


def counted(number: int, noun: str) -> str:
    """Spell a number of things: ``1 entry``, ``3 entries``."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun[:-1]}ies" if noun.endswith("y") else f"{number:,} {noun}s"


def _cell(value: Any, column: Column) -> str:
    text = ("" if value is None else str(value)) if column.show is None else column.show(value)
    return " ".join(text.split()) if not text.startswith(" ") else text.rstrip()


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _plain(value: Any) -> Any:
    """Return what JSON can say: numbers of numpy as Python's, frames as rows, enums as they are spelled."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return _plain(value.to_dict("records"))
    if hasattr(value, "label"):
        return str(value)
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)
