"""The queue by destination and age, as Postfix's qshape(1) prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sim.errors import ScenarioError, complaint
from sim.results.records import MESSAGE_COLUMNS, US_PER_S, Rows
from sim.terms import Fate

if TYPE_CHECKING:
    from pandas import DataFrame

    from sim.results.labels import Labels

#: Ages in minutes at which columns end; mail of just that age stands in the next one, as qshape(1) has it.
LIMITS_MIN = (5, 10, 20, 40, 80, 160, 320, 640, 1280)
COLUMNS = ("T", *(str(limit) for limit in LIMITS_MIN), "1280+")
QUEUES = ("all", "deferred", "active")
TOTAL = "TOTAL"
_WIDTH, _LEAST_NAME = 80, 18


def qshape(messages: Rows, labels: Labels, at_s: float, what: str = "all") -> DataFrame:
    """Return recipients in the queue at a time, by destination and age.

    Parameters
    ----------
    messages : message rows of a run.
    labels : names of its destinations.
    at_s : when, seconds from the start; what happens at that time has happened.
    what : ``all``; ``deferred``, the mail that was deferred at some time of its life (rows do not say when, so it
        counts from its arrival); or ``active``, all other.

    Returns
    -------
    domain, T (all ages), then a column an age: ``5`` counts recipients of mail younger than 5 minutes, ``10`` the
    others younger than 10, ... First row TOTAL, then destinations by falling total. Recipients, as qshape(1) counts.

    Raises
    ------
    ScenarioError
        When ``what`` is another word, or the time is no number from 0 on.
    """
    import pandas as pd

    if what not in QUEUES:
        raise ScenarioError(complaint("what", what, QUEUES))
    if not _is_time(at_s):
        raise ScenarioError(complaint("at_s", at_s, "seconds from the start, 0 or more"))
    at_us = round(at_s * US_PER_S)
    of = dict(zip(MESSAGE_COLUMNS, messages.T, strict=True))
    here = (of["arrival_us"] <= at_us) & ((of["done_us"] > at_us) | (of["fate"] == Fate.QUEUED))
    if what != "all":
        here &= of["deferred"] == (what == "deferred")
    age_us = at_us - of["arrival_us"][here]
    column = np.searchsorted(np.array(LIMITS_MIN) * 60 * US_PER_S, age_us, side="right")
    counts = np.zeros((len(labels.domains), len(LIMITS_MIN) + 1), dtype=np.int64)
    np.add.at(counts, (of["destination"][here], column), of["recipients"][here])
    total = counts.sum(axis=1)
    order = np.argsort(-total, kind="stable")
    order = order[total[order] > 0]
    table = np.column_stack([total, counts])[order]
    frame = pd.DataFrame(np.vstack([table.sum(axis=0), table]), columns=list(COLUMNS))
    frame.insert(0, "domain", [TOTAL, *(labels.domains[i] for i in order.tolist())])
    return frame


def _is_time(value: object) -> bool:
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return number and bool(0 <= value < float("inf"))  # type: ignore[operator]


def qshape_text(frame: DataFrame, rows: int | None = None) -> str:
    """Return the table in the layout of qshape(1): 80 columns, names to the right, long ones cut at their front.

    Parameters
    ----------
    frame : of `qshape`.
    rows : destinations shown at most; None = all.
    """
    shown = frame if rows is None else frame.head(rows + 1)
    totals = [str(value) for value in frame.iloc[0, 1:]]
    widths = [max(len(head) + 1, len(total) + 1, 3) for head, total in zip(COLUMNS, totals, strict=True)]
    room = max(_WIDTH - sum(widths), _LEAST_NAME)

    def line(name: str, cells: list[str]) -> str:
        name = name if len(name) <= room else f"+{name[1 - room :]}"
        return name.rjust(room) + "".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))

    lines = [line("", list(COLUMNS))]
    lines += [line(str(row[0]), [str(cell) for cell in row[1:]]) for row in shown.itertuples(index=False)]
    return "\n".join(lines)
