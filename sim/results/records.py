"""The two kinds of rows an engine emits: int64 matrices whose columns are named here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.errors import ScenarioError, complaint
from sim.terms import Bounce, Fate, Outcome, Reason, Term

if TYPE_CHECKING:
    from pandas import DataFrame

    from sim.results.labels import Labels

Rows = NDArray[np.int64]
#: Columns of rows (n,) by name.
Columns = Mapping[str, Rows]
#: How a column of a frame is made: of which columns of the rows, and from the labels and those.
Maker = tuple[tuple[str, ...], Callable[..., object]]

#: One row a message, once it has its fate (or when a censored run ends). Times in microseconds from the start.
MESSAGE_COLUMNS = (
    "destination",
    "ordinal",
    "arrival_us",
    "done_us",
    "size_bytes",
    "recipients",
    "fate",
    "bounce",
    "reason",
    "route",
    "verdicts",
    "retries",
    "deferral_events",
    "deferred",
    "exposed",
)

#: One row a connection slot, held from opened to closed. ``established_us`` is -1 when the pass failed.
CONNECTION_COLUMNS = (
    "destination",
    "ordinal",
    "opened_us",
    "closed_us",
    "established_us",
    "route",
    "messages",
    "outcome",
    "reason",
)

US_PER_S = 1_000_000


def check_messages(rows: Rows, destinations: int) -> dict[str, Rows]:
    """Return the columns of message rows (each contiguous, (n,) int64) after checking shape and codes.

    Raises
    ------
    ValueError
        Naming the first column that holds a value an engine must never emit.
    """
    columns = _columns("messages", rows, MESSAGE_COLUMNS)
    _within("destination", columns["destination"], destinations)
    for field, term in (("fate", Fate), ("bounce", Bounce), ("reason", Reason)):
        _within(field, columns[field], len(term))
    _within("deferred", columns["deferred"], 2)
    _within("exposed", columns["exposed"], 2)
    for field in ("arrival_us", "size_bytes", "recipients", "deferral_events", "retries"):
        _within(field, columns[field], None)
    if bool((columns["done_us"] < columns["arrival_us"]).any()):
        raise ValueError(complaint("done_us - arrival_us", "negative", ">= 0"))
    return columns


def check_connections(rows: Rows, destinations: int) -> dict[str, Rows]:
    """Return the columns of connection rows after checking shape and codes; errors as in `check_messages`."""
    columns = _columns("connections", rows, CONNECTION_COLUMNS)
    _within("destination", columns["destination"], destinations)
    _within("opened_us", columns["opened_us"], None)
    _within("outcome", columns["outcome"], len(Outcome))
    _within("reason", columns["reason"], len(Reason))
    return columns


def sorted_rows(rows: Rows) -> Rows:
    """Return rows sorted by destination and ordinal; where two share both, by the columns that follow, in order."""
    if not len(rows):
        return rows
    destination, ordinal = np.ascontiguousarray(rows[:, 0]), np.ascontiguousarray(rows[:, 1])
    low = int(ordinal.min())
    span = int(ordinal.max()) - low + 1
    # One key sorts several times faster than two; it is used where it fits into 64 bits.
    if int(destination.min()) >= 0 and (int(destination.max()) + 1) * span < 1 << 63:
        key = destination * span + (ordinal - low)
        order = np.argsort(key)
        key = key[order]
        if bool((key[1:] != key[:-1]).all()):
            return rows[order]
    return rows[np.lexsort(tuple(rows[:, column] for column in range(rows.shape[1] - 1, -1, -1)))]


def _columns(kind: str, rows: Rows, names: tuple[str, ...]) -> dict[str, Rows]:
    if rows.dtype != np.int64 or rows.ndim != 2 or rows.shape[1] != len(names):
        raise ValueError(complaint(f"{kind} rows", f"{rows.dtype} {rows.shape}", f"int64 (n, {len(names)})"))
    return dict(zip(names, np.ascontiguousarray(rows.T), strict=True))


def _within(field: str, values: Rows, codes: int | None) -> None:
    if not values.size:
        return
    low, high = int(values.min()), int(values.max())
    if low < 0 or (codes is not None and high >= codes):
        allowed = ">= 0" if codes is None else f"0..{codes - 1}"
        raise ValueError(complaint(field, low if low < 0 else high, allowed))


def messages_frame(rows: Rows | Columns, labels: Labels, columns: Sequence[str] | None = None) -> DataFrame:
    """Return message rows for people: names for codes, seconds from the start.

    Columns: domain, provider, entry, setting, ordinal, arrival_s, done_s, delay_s, size_bytes, recipients, fate,
    bounce, reason, mx_host (of the last connection that carried it, or missing), verdicts, retries,
    deferral_events, deferred, exposed (in clear on a path where somebody removes STARTTLS).

    Parameters
    ----------
    rows : rows (n, 15), or those columns of them that `needed_of_messages` names.
    labels : names of the codes.
    columns : columns of the frame wanted, in order; all where None.
    """
    return _frame(_MESSAGES_FRAME, MESSAGE_COLUMNS, rows, labels, columns)


def connections_frame(rows: Rows | Columns, labels: Labels, columns: Sequence[str] | None = None) -> DataFrame:
    """Return connection rows for people; parameters as of `messages_frame`.

    Columns: domain, provider, ordinal, opened_s, closed_s, established_s (missing when it failed), mx_host, messages,
    outcome, reason.
    """
    return _frame(_CONNECTIONS_FRAME, CONNECTION_COLUMNS, rows, labels, columns)


def needed_of_messages(columns: Sequence[str] | None) -> list[str]:
    """Return the columns of message rows that columns of `messages_frame` are made of, in order.

    Raises
    ------
    ScenarioError
        When there is no such column: it names those there are.
    """
    return _needed(_MESSAGES_FRAME, MESSAGE_COLUMNS, columns)


def needed_of_connections(columns: Sequence[str] | None) -> list[str]:
    """Return the columns of connection rows that columns of `connections_frame` are made of; errors as for messages."""
    return _needed(_CONNECTIONS_FRAME, CONNECTION_COLUMNS, columns)


def _needed(makers: Mapping[str, Maker], raw: Sequence[str], columns: Sequence[str] | None) -> list[str]:
    wanted = makers if columns is None else columns
    unknown = next((name for name in wanted if name not in makers), None)
    if unknown is not None:
        raise ScenarioError(complaint("columns", unknown, makers))
    used = {name for column in wanted for name in makers[column][0]}
    return [name for name in raw if name in used]


def _frame(
    makers: Mapping[str, Maker], raw: Sequence[str], rows: Rows | Columns, labels: Labels, columns: Sequence[str] | None
) -> DataFrame:
    import pandas as pd

    needed = _needed(makers, raw, columns)
    of = rows if isinstance(rows, Mapping) else {name: rows[:, raw.index(name)] for name in needed}
    wanted = makers if columns is None else columns
    return pd.DataFrame({name: makers[name][1](labels, *(of[n] for n in makers[name][0])) for name in wanted})


def _as_is(name: str) -> Maker:
    return (name,), lambda _, values: values


def _flag(name: str) -> Maker:
    return (name,), lambda _, values: values.astype(bool)


def _seconds(name: str) -> Maker:
    return (name,), lambda _, values: values / US_PER_S


def _seconds_if(name: str) -> Maker:
    return (name,), lambda _, values: np.where(values < 0, np.nan, values / US_PER_S)


def _term(name: str, term: type[Term]) -> Maker:
    return (name,), lambda _, codes: _named(codes, tuple(member.label for member in term))


_DESTINATION = ("destination",)
_OF_DESTINATION: dict[str, Maker] = {
    "domain": (_DESTINATION, lambda labels, d: _named(d, labels.domains)),
    "provider": (_DESTINATION, lambda labels, d: _named(labels.provider_of[d], labels.provider_names)),
}
_MX_HOST: Maker = (("route",), lambda labels, routes: _hosts(routes, labels))

_MESSAGES_FRAME: dict[str, Maker] = {
    **_OF_DESTINATION,
    "entry": (_DESTINATION, lambda labels, d: _named(labels.entry_of[d], labels.entries)),
    "setting": (_DESTINATION, lambda labels, d: _named(labels.setting_of[d], labels.setting_names)),
    "ordinal": _as_is("ordinal"),
    "arrival_s": _seconds("arrival_us"),
    "done_s": _seconds("done_us"),
    "delay_s": (("arrival_us", "done_us"), lambda _, arrival, done: (done - arrival) / US_PER_S),
    "size_bytes": _as_is("size_bytes"),
    "recipients": _as_is("recipients"),
    "fate": _term("fate", Fate),
    "bounce": _term("bounce", Bounce),
    "reason": _term("reason", Reason),
    "mx_host": _MX_HOST,
    "verdicts": _as_is("verdicts"),
    "retries": _as_is("retries"),
    "deferral_events": _as_is("deferral_events"),
    "deferred": _flag("deferred"),
    "exposed": _flag("exposed"),
}

_CONNECTIONS_FRAME: dict[str, Maker] = {
    **_OF_DESTINATION,
    "ordinal": _as_is("ordinal"),
    "opened_s": _seconds("opened_us"),
    "closed_s": _seconds_if("closed_us"),
    "established_s": _seconds_if("established_us"),
    "mx_host": _MX_HOST,
    "messages": _as_is("messages"),
    "outcome": _term("outcome", Outcome),
    "reason": _term("reason", Reason),
}


def _hosts(routes: Rows, labels: Labels) -> object:
    codes = np.full(routes.size, -1, dtype=np.int64)
    known = routes >= 0
    codes[known] = labels.route_host[routes[known]]
    return _named(codes, labels.hosts)


def _named(codes: Rows, names: tuple[str, ...]) -> object:
    """Return a categorical where the names allow it; two MX hosts or entries of one name stay plain strings."""
    import pandas as pd

    if len(set(names)) == len(names):
        return pd.Categorical.from_codes(codes, categories=pd.Index(names, dtype=object))
    return np.array([*names, None], dtype=object)[codes]
