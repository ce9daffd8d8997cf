"""A user's own list of destinations and their mail: ``domain,messages``."""

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
from sim.world.draw import Float

_DOMAIN: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*\Z")
_DOMAIN_ALLOWED: Final = "a domain name of letters, digits, '-' and '.' (international names in their xn-- form)"
_REQUIRED: Final = ("domain", "messages")
_OTHER_SEPARATORS: Final = {";": "semicolons", "\t": "tabs"}


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """Destinations by falling mail, and what the file's account says."""

    name: str
    domains: list[str]
    messages: Float
    account: list[dict[str, Any]]


def read_destinations(path: str | os.PathLike[str]) -> Listed:
    """Read a CSV of destinations with the columns ``domain`` and ``messages``.

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
    mail: dict[str, float] = {}
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        places = _places(header, path)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                domain, messages = _row(cells, header, places, path, reader.line_num)
                if domain in mail:
                    raise PopulationError(complaint("domain", domain, "each once", file=path, line=reader.line_num))
                mail[domain] = messages
    except csv.Error as fault:
        raise PopulationError(f"{path}:{reader.line_num}: no CSV: {fault}") from fault
    if not mail:
        raise PopulationError(f"{path}: no destinations; allowed: one row a domain below the header domain,messages")
    if not any(mail.values()):
        raise PopulationError(complaint("messages", "all 0", "more than 0 in one row at least", file=path))
    if math.isinf(sum(mail.values())):
        raise PopulationError(complaint("messages", "more than can be counted", "a finite sum", file=path))
    ordered = sorted(mail.items(), key=lambda item: (-item[1], item[0]))
    counts = np.array([m for _, m in ordered], dtype=np.float64)
    return Listed(path.stem, [d for d, _ in ordered], counts, _account(path, header, counts))


def _places(header: list[str], path: Path) -> tuple[int, int]:
    if not any(header):
        raise PopulationError(f"{path}: empty; allowed: a header domain,messages and one row a domain")
    for separator, name in _OTHER_SEPARATORS.items():
        if len(header) == 1 and separator in header[0]:
            raise PopulationError(f"{path}:1: separated by {name}; allowed: commas, a header domain,messages")
    for column in _REQUIRED:
        if column not in header:
            near = complaint("column", column, [h for h in header if h and h not in _REQUIRED], file=path, line=1)
            raise PopulationError(near.replace("allowed:", "is missing; the header has:"))
        if header.count(column) > 1:
            raise PopulationError(complaint("column", column, "each once", file=path, line=1))
    return header.index("domain"), header.index("messages")


def _row(cells: list[str], header: list[str], places: tuple[int, int], path: Path, line: int) -> tuple[str, float]:
    if len(cells) != len(header):
        allowed = f"{len(header)} cells, as in the header"
        raise PopulationError(complaint("row", f"{len(cells)} cells", allowed, file=path, line=line))
    domain = cells[places[0]].strip().lower().removesuffix(".")
    if not _DOMAIN.match(domain):
        raise PopulationError(complaint("domain", cells[places[0]][:80], _DOMAIN_ALLOWED, file=path, line=line))
    spelt = cells[places[1]].strip()
    try:
        messages = float(spelt)
    except ValueError:
        messages = math.nan
    if not 0 <= messages < math.inf:
        raise PopulationError(complaint("messages", spelt[:80], "a number, 0 or more", file=path, line=line))
    return domain, messages


def _account(path: Path, header: list[str], messages: Float) -> list[dict[str, Any]]:
    facts = {"role": "file", "status": "given", "source": path.name, "unit": "count", "weighting": "domain"}
    ignored = [h for h in header if h not in _REQUIRED]
    rows: list[dict[str, Any]] = [
        {"parameter": "destinations", "value": float(len(messages)), **facts},
        {"parameter": "messages", "value": float(messages.sum()), **facts, "note": "a day"},
    ]
    if ignored:
        note = f"not used: {', '.join(ignored)}"
        rows.append({"parameter": "ignored columns", "value": float(len(ignored)), **facts, "note": note})
    return rows
