"""Tables as text: read as they are written in a sender's document, printed as they are read.

A table is lines of cells between ``|``; the first line is the heading. A cell may end in ``?`` or ``?name``: no source
settles it, and ``name`` is the switch that changes it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sim.errors import PolicyError, complaint
from sim.terms import Chain, Dane, DaneOption, Demand, MtaSts, NameRule, Seen, Stage, Term

Codes = NDArray[np.uint8]
T = TypeVar("T", bound=Term)

_VERSION = ("below the minimum", "at least the minimum")
_HOLDS = ("does not hold", "holds")
_ANY = "any"


@dataclass(frozen=True, eq=False)
class Grid:
    """A table of codes and the places no source settles.

    Attributes
    ----------
    codes : uint8 codes, shape (rows, columns).
    columns : the members of the columns' enum that the table has, in its order.
    marks : for each mark (the name behind ``?``, empty for a plain one) a boolean array of the same shape.
    """

    codes: Codes
    columns: tuple[int, ...]
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
    """Read a table whose first cells are the members of an enum in their order, and its heading members of another.

    Parameters
    ----------
    text : the table.
    rows : the enum of the first cells.
    columns : the enum of the heading, its first cell left out; those a sender knows, in the order of its document.
    cells : the enum of the cells; a column that is not there holds its first member.

    Returns
    -------
    Grid
        Codes of ``cells``, shape (members of ``rows``, members of ``columns``).

    Raises
    ------
    PolicyError
        When a row is missing or out of order, a row or column is unknown or given twice, or a cell is unknown.
    """
    heading, body = split_table(text)
    _in_order([row[0] for row in body], rows)
    places = [term(label, columns) for label in heading[1:]]
    if len(set(places)) != len(places):
        raise PolicyError(complaint(f"table heading ({columns.__name__})", " | ".join(heading[1:]), "each once"))
    codes = np.zeros((len(body), len(columns)), dtype=np.uint8)
    marks: dict[str, NDArray[np.bool_]] = {}
    for i, row in enumerate(body):
        for j, cell in zip(places, row[1:], strict=True):
            label, question, mark = cell.partition("?")
            codes[i, j] = term(label, cells)
            if question:
                marks.setdefault(mark.strip(), np.zeros(codes.shape, dtype=np.bool_))[i, j] = True
    return Grid(codes, tuple(places), marks)


#: What a demand may depend on beside the setting, in the order of its table's columns.
DEMAND_AXES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("DANE option", tuple(t.label for t in DaneOption)),
    ("DANE", tuple(t.label for t in Dane)),
    ("MTA-STS", tuple(t.label for t in MtaSts)),
    ("MX listed", ("no", "yes")),
)
_ALL_USABLE = re.compile(r"\busable\b(?!-)")
_USABLE = tuple(t.label for t in Dane if t.label.startswith("usable"))


def read_demands(text: str, settings: type[Term], switches: Mapping[str, object] | None = None) -> tuple[Codes, Codes]:
    """Read the table of demands: the first row that fits a case holds, so that rows stand in order of precedence.

    A cell holds one spelling, several between commas, ``any``, or ``usable`` for the three states of usable TLSA
    records. A row that begins with ``name=value:`` stands there only while the switch has this value.

    Parameters
    ----------
    text : columns setting, then `DEMAND_AXES`, then demand and name rule.
    settings : the sender's settings.
    switches : its switches.

    Returns
    -------
    demand, rule : uint8 codes of `Demand` and `NameRule`, shape (settings, 3, 7, 3, 2).

    Raises
    ------
    PolicyError
        When a cell is unknown, or a case is met by no row.
    """
    shape = (len(settings), *(len(known) for _, known in DEMAND_AXES))
    demand, rule = np.zeros(shape, dtype=np.uint8), np.zeros(shape, dtype=np.uint8)
    open_cases = np.ones(shape, dtype=np.bool_)
    for first, *cells in split_table(text)[1]:
        condition, colon, setting = first.rpartition(":")
        if colon and not _switched_on(condition, switches or {}):
            continue
        axes = [_choices(setting.strip(), [s.label.lower() for s in settings])]
        for cell, (_, labels) in zip(cells[:-2], DEMAND_AXES, strict=True):
            axes.append(_choices(_ALL_USABLE.sub(", ".join(_USABLE), cell), labels))
        fits = np.zeros(shape, dtype=np.bool_)
        fits[np.ix_(*axes)] = True
        fits &= open_cases
        demand[fits], rule[fits] = term(cells[-2], Demand), term(cells[-1], NameRule)
        open_cases &= ~fits
    if open_cases.any():
        setting_code, *case = (int(k) for k in np.argwhere(open_cases)[0])
        words = [known[k] for (_, known), k in zip(DEMAND_AXES, case, strict=True)]
        raise PolicyError(complaint("rows for", ", ".join([list(settings)[setting_code].label, *words]), "1 or more"))
    return demand, rule


def _switched_on(condition: str, switches: Mapping[str, object]) -> bool:
    name, _, value = (part.strip() for part in condition.partition("="))
    if name not in switches:
        raise PolicyError(complaint("switch of a row", name, list(switches)))
    return str(switches[name]).lower() == value.lower()


def demands_text(demand: Codes, rule: Codes, settings: type[Term]) -> str:
    """Print the table of demands, cases that agree joined, so that `read_demands` reads it back."""
    both = demand.astype(np.int64) * len(NameRule) + rule
    body = [
        [setting.label, *cells, Demand(code // len(NameRule)).label, NameRule(code % len(NameRule)).label]
        for setting in settings
        for cells, code in _joined(both[setting], [labels for _, labels in DEMAND_AXES])
    ]
    return format_table(["setting", *(name for name, _ in DEMAND_AXES), "demand", "name rule"], body)


def _joined(block: NDArray[np.int64], axes: Sequence[Sequence[str]]) -> list[tuple[list[str], int]]:
    """List (cells, code) of a block, values of each axis joined where what is below them agrees."""
    if not axes:
        return [([], int(block))]
    groups: dict[bytes, list[int]] = {}
    for k in range(len(axes[0])):
        groups.setdefault(block[k].tobytes(), []).append(k)
    rows: list[tuple[list[str], int]] = []
    for members in groups.values():
        labels = [axes[0][k] for k in members]
        cell = _ANY if len(members) == len(axes[0]) else ", ".join(labels).replace(", ".join(_USABLE), "usable")
        rows += [([cell, *cells], code) for cells, code in _joined(block[members[0]], axes[1:])]
    return rows


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
    for stage, version, chain, holds, label in split_table(text)[1]:
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
    columns: Collection[Term],
    cells: type[Term],
    unsettled: Collection[tuple[int, int]] = (),
) -> str:
    """Print a table of codes so that `read_table` reads it back; a (row, column) of ``unsettled`` ends in ``?``."""
    body = [
        [row.label, *(cells(int(codes[row, j])).label + " ?" * ((row, j) in unsettled) for j in columns)]
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
    return format_table(["stage", "TLS version", "chain", "name rule", "seen"], body)


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
    if cell.lower() in spellings:
        return [spellings.index(cell.lower())]
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
