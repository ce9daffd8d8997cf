"""Read a trace of real mail: a CSV file with the columns domain, time_s, size_bytes, recipients."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sim.errors import WorkloadError, complaint
from sim.files import read_text
from sim.world.workload import TRACE_COLUMNS

if TYPE_CHECKING:
    from pandas import DataFrame

_NUMBERS = {"time_s": (0, False), "size_bytes": (0, True), "recipients": (1, True)}


def read_trace(path: str | os.PathLike[str]) -> DataFrame:
    """Read a trace.

    Parameters
    ----------
    path : CSV with a header; other columns are left alone.

    Returns
    -------
    DataFrame
        One row a message: domain, time_s (from the start of the run), size_bytes, recipients.

    Raises
    ------
    WorkloadError
        Naming file, line, column and value.
    """
    import pandas as pd

    source = str(path)
    text = read_text(path, WorkloadError).removeprefix("\ufeff")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    found: dict[str, list[str | float]] = {name: [] for name in TRACE_COLUMNS}
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        for name in TRACE_COLUMNS:
            if header.count(name) != 1:
                allowed = f"{', '.join(TRACE_COLUMNS)}, each once"
                raise WorkloadError(complaint("header", ",".join(header), allowed, file=source, line=1))
        places = [header.index(name) for name in TRACE_COLUMNS]
        for cells in reader:
            if any(cell.strip() for cell in cells):
                row = _row(cells, len(header), places, source, reader.line_num)
                for name, value in zip(TRACE_COLUMNS, row, strict=True):
                    found[name].append(value)
    except csv.Error as fault:
        raise WorkloadError(f"{source}:{reader.line_num}: no CSV: {fault}") from None
    if not found["domain"]:
        raise WorkloadError(complaint("trace", "no rows", "one message a row", file=source, line=1))
    return pd.DataFrame(found)


def _row(cells: Sequence[str], width: int, places: Sequence[int], source: str, line: int) -> list[str | float]:
    if len(cells) != width:
        allowed = f"{width} cells, as in the header"
        raise WorkloadError(complaint("row", f"{len(cells)} cells", allowed, file=source, line=line))
    domain, *texts = (cells[place].strip() for place in places)
    if not domain:
        raise WorkloadError(complaint("domain", domain, "the domain a message goes to", file=source, line=line))
    row: list[str | float] = [domain]
    for (name, (least, whole)), text in zip(_NUMBERS.items(), texts, strict=True):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value < math.inf or (whole and value != round(value)):
            allowed = f"{'a whole number' if whole else 'a number'}, {least} or more"
            raise WorkloadError(complaint(name, text[:80], allowed, file=source, line=line))
        row.append(value)
    return row
