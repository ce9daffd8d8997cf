"""The story of one message: the connections of its destination while it was in the queue, and what followed each."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from sim.errors import ScenarioError, complaint
from sim.results.findings import duration
from sim.results.result import Result
from sim.terms import Fate, Outcome

if TYPE_CHECKING:
    from pandas import DataFrame, Series

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_CARRIES = tuple(outcome.label for outcome in Outcome if outcome <= Outcome.DELIVER_VERIFIED)


def story(result: Result, domain: str, ordinal: int = 0) -> DataFrame:
    """Tell what one message went through, a row a connection.

    Parameters
    ----------
    result : of a run that kept records.
    domain : where the message goes.
    ordinal : which of the destination's messages, 0 the first.

    Returns
    -------
    DataFrame
        Index ``connection``, from 1. ``clock`` and ``opened_s`` (when it began to open), ``took_s`` (until mail could
        flow or the last MX host had failed; missing for one that was still opening), ``mx_host`` (the last one tried),
        ``outcome`` (clear, encrypted, verified or not sent), ``reason``, ``next``. Connections that other mail to the
        destination opened are told too: the message waits for them and may go on them. No row where it met none.

    Raises
    ------
    ScenarioError
        When the run kept no records, or there is no such message.
    """
    import pandas as pd

    message = _message(result.messages, domain, ordinal)
    rows = result.connections
    met = (rows["domain"] == domain) & (rows["opened_s"] < message["done_s"])
    rows = rows[met & ~(rows["closed_s"] <= message["arrival_s"])].sort_values(["opened_s", "ordinal"])
    opened = rows["opened_s"].tolist()
    columns = {
        "clock": [clock(time_s) for time_s in opened],
        "opened_s": opened,
        "took_s": (rows["established_s"].fillna(rows["closed_s"]) - rows["opened_s"]).tolist(),
        "mx_host": rows["mx_host"].tolist(),
        "outcome": [word if word in _CARRIES else "not sent" for word in rows["outcome"]],
        "reason": rows["reason"].tolist(),
        "next": _followed(opened, message),
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(1, len(rows) + 1, name="connection"))


def clock(time_s: float) -> str:
    """Return a time as people say it; a run begins on a Monday at midnight.

    Examples
    --------
    >>> clock(33_000), clock(8 * 86_400)
    ('Mon 09:10:00', 'Tue 00:00:00 of week 2')
    """
    days, second = divmod(int(time_s), 86_400)
    week = f" of week {days // 7 + 1}" if days >= 7 else ""
    return f"{_DAYS[days % 7]} {second // 3_600:02d}:{second // 60 % 60:02d}:{second % 60:02d}{week}"


def _message(messages: DataFrame, domain: str, ordinal: int) -> Series:
    mine = messages[messages["domain"] == domain]
    if mine.empty:
        raise ScenarioError(complaint("domain", domain, [str(name) for name in messages["domain"].unique()]))
    found = mine[mine["ordinal"] == ordinal]
    if found.empty:
        low, high = mine["ordinal"].min(), mine["ordinal"].max()
        raise ScenarioError(complaint(f"ordinal of a message to {domain}", ordinal, f"{low}..{high}"))
    return found.iloc[0]


def _followed(opened_s: list[float], message: Series) -> list[str]:
    """Say what followed each connection: the next one, and after the last what became of the message."""
    told = [f"again {clock(b)}, after {duration(b - a)}" for a, b in pairwise(opened_s)]
    end, fate = clock(message["done_s"]), message["fate"]
    if fate == Fate.QUEUED.label:
        told.append(f"still queued when the run ended, {end}")
    elif fate == Fate.BOUNCED.label:
        told.append(f"bounced {end} ({message['bounce']})")
    else:
        told.append(f"delivered {end}, {fate}")
    return told[: len(opened_s)]
