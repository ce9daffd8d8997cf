"""A user's own list of destinations and their mail, and what is known of their DANE and MTA-STS."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from sim.errors import PopulationError, complaint
from sim.files import read_text
from sim.terms import Dane, MtaSts
from sim.world.draw import Float, Int64
from sim.world.standards import OPEN, STATED

_DOMAIN: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*\Z")
_DOMAIN_ALLOWED: Final = "a domain name of letters, digits, '-' and '.' (international names in their xn-- form)"
_REQUIRED: Final = ("domain", "messages")
#: Column -> spelling -> code: each member by its label or its key.
_SPELLINGS: Final[dict[str, dict[str, int]]] = {
    "dane": {spelt: int(term) for term in Dane for spelt in (term.label, term.key)},
    "mta_sts": {spelt: int(term) for term in MtaSts for spelt in (term.label, term.key)},
    "sts_listed": {"yes": 1, "no": 0, "true": 1, "false": 0, "1": 1, "0": 0},
}
_ALLOWED: Final = {
    "dane": [term.label for term in Dane],
    "mta_sts": [term.label for term in MtaSts],
    "sts_listed": ["yes", "no"],
}
_OTHER_SEPARATORS: Final = {";": "semicolons", "\t": "tabs"}


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """Destinations by falling mail, what the file states of them, and what its account says.

    ``stated`` holds the optional columns as codes, `OPEN` where the file leaves one open.
    """

    name: str
    domains: list[str]
    messages: Float
    stated: dict[str, Int64]
    account: list[dict[str, Any]]


def read_destinations(path: str | os.PathLike[str]) -> Listed:
    """Read a CSV of destinations with the columns ``domain`` and ``messages``, and optionally those of `STATED`.

    Domains are lower-cased and lose a final dot. Rows are ordered by falling mail, equal ones by name, so the order of
    the file does not matter.

    Raises
    ------
    PopulationError
        Naming file, line and value of what cannot be read.
    """
    path = Path(path)
    text = read_text(path, PopulationError).removeprefix("\ufeff")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    mail: dict[str, tuple[float, dict[str, int]]] = {}
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        places = _places(header, path)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                domain, messages, codes = _row(cells, header, places, path, reader.line_num)
                if domain in mail:
                    raise PopulationError(complaint("domain", domain, "each once", file=path, line=reader.line_num))
                mail[domain] = messages, codes
    except csv.Error as fault:
        raise PopulationError(f"{path}:{reader.line_num}: no CSV: {fault}") from fault
    if not mail:
        raise PopulationError(f"{path}: no destinations; allowed: one row a domain below the header domain,messages")
    if not any(messages for messages, _ in mail.values()):
        raise PopulationError(complaint("messages", "all 0", "more than 0 in one row at least", file=path))
    if math.isinf(sum(messages for messages, _ in mail.values())):
        raise PopulationError(complaint("messages", "more than can be counted", "a finite sum", file=path))
    ordered = sorted(((domain, *row) for domain, row in mail.items()), key=lambda row: (-row[1], row[0]))
    counts = np.array([m for _, m, _ in ordered], dtype=np.float64)
    stated = {c: np.array([codes[c] for *_, codes in ordered], dtype=np.int64) for c in STATED}
    return Listed(path.stem, [row[0] for row in ordered], counts, stated, _account(path, header, counts, stated))


def _places(header: list[str], path: Path) -> dict[str, int]:
    if not any(header):
        raise PopulationError(f"{path}: empty; allowed: a header domain,messages and one row a domain")
    for separator, name in _OTHER_SEPARATORS.items():
        if len(header) == 1 and separator in header[0]:
            raise PopulationError(f"{path}:1: separated by {name}; allowed: commas, a header domain,messages")
    for column in _REQUIRED:
        if column not in header:
            near = complaint("column", column, [h for h in header if h and h not in _REQUIRED], file=path, line=1)
            raise PopulationError(near.replace("allowed:", "is missing; the header has:"))
    for column in (*_REQUIRED, *STATED):
        if header.count(column) > 1:
            raise PopulationError(complaint("column", column, "each once", file=path, line=1))
    return {column: header.index(column) for column in (*_REQUIRED, *STATED) if column in header}


def _row(
    cells: list[str], header: list[str], places: dict[str, int], path: Path, line: int
) -> tuple[str, float, dict[str, int]]:
    if len(cells) != len(header):
        allowed = f"{len(header)} cells, as in the header"
        raise PopulationError(complaint("row", f"{len(cells)} cells", allowed, file=path, line=line))
    given = {column: cells[place] for column, place in places.items()}
    domain = given["domain"].strip().lower().removesuffix(".")
    if not _DOMAIN.match(domain):
        raise PopulationError(complaint("domain", given["domain"][:80], _DOMAIN_ALLOWED, file=path, line=line))
    spelt = given["messages"].strip()
    try:
        messages = float(spelt)
    except ValueError:
        messages = math.nan
    if not 0 <= messages < math.inf:
        raise PopulationError(complaint("messages", spelt[:80], "a number, 0 or more", file=path, line=line))
    return domain, messages, {column: _code(column, given.get(column, ""), path, line) for column in STATED}


def _code(column: str, cell: str, path: Path, line: int) -> int:
    """Return the code of a spelling; an empty cell leaves it open."""
    spelt = cell.strip().lower()
    if not spelt:
        return OPEN
    if spelt not in _SPELLINGS[column]:
        raise PopulationError(complaint(column, cell.strip()[:80], _ALLOWED[column], file=path, line=line))
    return _SPELLINGS[column][spelt]


def _account(path: Path, header: list[str], messages: Float, stated: dict[str, Int64]) -> list[dict[str, Any]]:
    facts = {"role": "file", "status": "given", "source": path.name, "unit": "count", "weighting": "domain"}
    ignored = [h for h in header if h not in (*_REQUIRED, *STATED)]
    rows: list[dict[str, Any]] = [
        {"parameter": "destinations", "value": float(len(messages)), **facts},
        {"parameter": "messages", "value": float(messages.sum()), **facts, "note": "a day"},
    ]
    for column in STATED:
        if column in header:
            known = float((stated[column] != OPEN).sum())
            note = "destinations whose value the file states; an empty cell is drawn"
            rows.append({"parameter": f"column {column}", "value": known, **facts, "note": note})
    if ignored:
        note = f"not used: {', '.join(ignored)}"
        rows.append({"parameter": "ignored columns", "value": float(len(ignored)), **facts, "note": note})
    return rows
