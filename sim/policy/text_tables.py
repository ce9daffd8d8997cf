"""Tables as text: read as they are written in a sender's document, printed as they are read.

A table is lines of cells between ``|``; the first line is the heading. A cell may end in ``?`` or ``?name``: no source
settles it, and ``name`` is the switch that changes it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sim.errors import PolicyError, complaint
from sim.terms import Chain, Seen, Stage, Term

Codes = NDArray[np.uint8]
T = TypeVar("T", bound=Term)

_VERSION = ("below the minimum", "at least the minimum")
_HOLDS = ("does not hold", "holds")
_ANY = "any"
_EVIDENCE = ("stage", "TLS version", "chain", "name rule", "seen")


@dataclass(frozen=True, eq=False)
class Grid:
    """A table of codes and the places no source settles.

    Attributes
    ----------
    codes : uint8 codes, shape (rows, columns).
    marks : for each mark (the name behind ``?``, empty for a plain one) a boolean array of the same shape.
    """

    codes: Codes
    marks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


def split_table(text: str) -> tuple[list[str], list[list[str]]]:
    """Split a table into its heading and its rows of cells, blanks around a cell removed.

    Raises
    ------
    PolicyError
        When it is empty or a row has another number of cells than the heading.
    """
    lines = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if line.strip()]
    if not lines:
        raise PolicyError("a table has no heading")
    heading, rows = lines[0], lines[1:]
    for row in rows:
        if len(row) != len(heading):
            raise PolicyError(complaint("table row", " | ".join(row), f"{len(heading)} cells"))
    return heading, rows


def term(label: str, terms: type[T]) -> T:
    """Return the member of ``terms`` with this label, read without case.

    Raises
    ------
    PolicyError
        Naming the label, the allowed ones and the nearest guess.
    """
    for member in terms:
        if member.label.lower() == label.strip().lower():
            return member
    raise PolicyError(complaint(f"table cell ({terms.__name__})", label, [m.label for m in terms]))


def read_table(text: str, *, rows: type[Term], columns: type[Term], cells: type[Term]) -> Grid:
    """Read a table whose heading and first cells are the members of two enums, in their order.

    Parameters
    ----------
    text : the table.
    rows : the enum of the first cells.
    columns : the enum of the heading, its first cell left out.
    cells : the enum of the cells.

    Returns
    -------
    Grid
        Codes of ``cells``, shape (members of ``rows``, members of ``columns``).

    Raises
    ------
    PolicyError
        When a row or column is missing, unknown, given twice or out of order, or a cell is unknown.
    """
    heading, body = split_table(text)
    _in_order(heading[1:], columns)
    _in_order([row[0] for row in body], rows)
    codes = np.zeros((len(body), len(heading) - 1), dtype=np.uint8)
    marks: dict[str, NDArray[np.bool_]] = {}
    for i, row in enumerate(body):
        for j, cell in enumerate(row[1:]):
            label, question, mark = cell.partition("?")
            codes[i, j] = term(label, cells)
            if question:
                marks.setdefault(mark.strip(), np.zeros(codes.shape, dtype=np.bool_))[i, j] = True
    return Grid(codes, marks)


def read_columns(text: str, *, rows: type[Term], columns: Sequence[type[Term]]) -> tuple[Codes, ...]:
    """Read a table in which each column has an enum of its own: one code array a column, shape (members of rows,).

    Raises
    ------
    PolicyError
        As for `read_table`.
    """
    heading, body = split_table(text)
    if len(heading) != len(columns) + 1:
        raise PolicyError(complaint("table heading", " | ".join(heading), f"{len(columns) + 1} cells"))
    _in_order([row[0] for row in body], rows)
    return tuple(
        np.array([term(row[j], enum) for row in body], dtype=np.uint8) for j, enum in enumerate(columns, start=1)
    )


def read_evidence(text: str) -> Codes:
    """Read the table that sorts raw evidence into classes: stage, TLS version, chain, name rule, and what is seen.

    A cell holds one spelling, several between commas, or ``any``.

    Returns
    -------
    ndarray of uint8
        Codes of `Seen`, shape (stages, 2 version at least the minimum, chains, 2 name rule holds).

    Raises
    ------
    PolicyError
        When a cell is unknown, or a combination is met by no row or by two.
    """
    seen = np.zeros((len(Stage), 2, len(Chain), 2), dtype=np.uint8)
    times = np.zeros(seen.shape, dtype=np.int64)
    heading, body = split_table(text)
    if len(heading) != len(_EVIDENCE):
        raise PolicyError(complaint("table heading", " | ".join(heading), " | ".join(_EVIDENCE)))
    for stage, version, chain, holds, label in body:
        spots = np.ix_(
            _choices(stage, [s.label for s in Stage]),
            _choices(version, _VERSION),
            _choices(chain, [c.label for c in Chain]),
            _choices(holds, _HOLDS),
        )
        seen[spots] = term(label, Seen)
        times[spots] += 1
    if (times != 1).any():
        s, v, c, h = (int(k) for k in np.argwhere(times != 1)[0])
        what = f"{Stage(s)}, {_VERSION[v]}, {Chain(c)}, {_HOLDS[h]}"
        raise PolicyError(complaint("rows for the evidence", f"{what}: {times[s, v, c, h]}", "1"))
    return seen


def format_table(heading: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Set a table in columns, cells between ``|``, no line ending in blanks.

    Examples
    --------
    >>> print(format_table(["TLS setting", "demand"], [["No", "clear"]]), end="")
    TLS setting | demand
    No          | clear
    """
    lines = [list(heading), *(list(row) for row in rows)]
    widths = [max(len(line[j]) for line in lines) for j in range(len(lines[0]))]
    return "".join(
        indent + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n"
        for line in lines
    )


def grid_text(
    corner: str,
    codes: Codes,
    *,
    rows: type[Term],
    columns: type[Term],
    cells: type[Term],
    unsettled: Collection[tuple[int, int]] = (),
) -> str:
    """Print a table of codes so that `read_table` reads it back; a (row, column) of ``unsettled`` ends in ``?``."""
    body = [
        [row.label, *(cells(int(code)).label + " ?" * ((row, j) in unsettled) for j, code in enumerate(codes[row]))]
        for row in rows
    ]
    return format_table([corner, *(c.label for c in columns)], body)


def evidence_text(seen: Codes) -> str:
    """Print the table of evidence, rows that agree joined, so that `read_evidence` reads it back."""
    body: list[list[str]] = []
    for stage in Stage:
        block = seen[stage]
        if (block == block.flat[0]).all():
            body.append([stage.label, _ANY, _ANY, _ANY, Seen(int(block.flat[0])).label])
            continue
        for v in range(2):
            if (block[v] == block[v].flat[0]).all():
                body.append([stage.label, _VERSION[v], _ANY, _ANY, Seen(int(block[v].flat[0])).label])
                continue
            body += [[stage.label, _VERSION[v], *cells] for cells in _chain_rows(block[v])]
    return format_table(_EVIDENCE, body)


def _chain_rows(block: Codes) -> list[list[str]]:
    rows: list[list[str]] = []
    joined: dict[int, list[str]] = {}
    for chain in Chain:
        without, with_rule = (int(code) for code in block[chain])
        if without == with_rule:
            joined.setdefault(without, []).append(chain.label)
        else:
            rows += [[chain.label, _HOLDS[h], Seen(int(block[chain, h])).label] for h in range(2)]
    return rows + [[", ".join(labels), _ANY, Seen(code).label] for code, labels in joined.items()]


def _choices(cell: str, spellings: Sequence[str]) -> list[int]:
    if cell == _ANY:
        return list(range(len(spellings)))
    wanted = [part.strip().lower() for part in cell.split(",")]
    for part in wanted:
        if part not in spellings:
            raise PolicyError(complaint("table cell", part, [_ANY, *spellings]))
    return [spellings.index(part) for part in wanted]


def _in_order(labels: Sequence[str], terms: type[Term]) -> None:
    expected = [m.label for m in terms]
    given = [term(label, terms).label for label in labels]
    if given != expected:
        raise PolicyError(complaint(f"table order ({terms.__name__})", ", ".join(given), ", ".join(expected)))
