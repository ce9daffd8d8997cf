"""The two kinds of rows an engine emits: int64 matrices whose columns are named here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.errors import complaint
from sim.terms import Bounce, Fate, Outcome, Reason, Term

if TYPE_CHECKING:
    from pandas import DataFrame

    from sim.results.labels import Labels

Rows = NDArray[np.int64]

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


def messages_frame(rows: Rows, labels: Labels) -> DataFrame:
    """Return message rows for people: names for codes, seconds from the start.

    Columns: domain, provider, entry, setting, ordinal, arrival_s, done_s, delay_s, size_bytes, recipients, fate,
    bounce, reason, mx_host (of the last connection that carried it, or missing), verdicts, retries,
    deferral_events, deferred, exposed (in clear on a path where somebody removes STARTTLS).
    """
    import pandas as pd

    of = dict(zip(MESSAGE_COLUMNS, rows.T, strict=True))
    destination = of["destination"]
    return pd.DataFrame(
        {
            **_destination_columns(destination, labels),
            "entry": _named(labels.entry_of[destination], labels.entries),
            "setting": _named(labels.setting_of[destination], labels.setting_names),
            "ordinal": of["ordinal"],
            "arrival_s": of["arrival_us"] / US_PER_S,
            "done_s": of["done_us"] / US_PER_S,
            "delay_s": (of["done_us"] - of["arrival_us"]) / US_PER_S,
            "size_bytes": of["size_bytes"],
            "recipients": of["recipients"],
            "fate": _terms(of["fate"], Fate),
            "bounce": _terms(of["bounce"], Bounce),
            "reason": _terms(of["reason"], Reason),
            "mx_host": _hosts(of["route"], labels),
            "verdicts": of["verdicts"],
            "retries": of["retries"],
            "deferral_events": of["deferral_events"],
            "deferred": of["deferred"].astype(bool),
            "exposed": of["exposed"].astype(bool),
        }
    )


def connections_frame(rows: Rows, labels: Labels) -> DataFrame:
    """Return connection rows for people.

    Columns: domain, provider, ordinal, opened_s, closed_s, established_s (missing when it failed), mx_host, messages,
    outcome, reason.
    """
    import pandas as pd

    of = dict(zip(CONNECTION_COLUMNS, rows.T, strict=True))
    return pd.DataFrame(
        {
            **_destination_columns(of["destination"], labels),
            "ordinal": of["ordinal"],
            "opened_s": of["opened_us"] / US_PER_S,
            "closed_s": np.where(of["closed_us"] < 0, np.nan, of["closed_us"] / US_PER_S),
            "established_s": np.where(of["established_us"] < 0, np.nan, of["established_us"] / US_PER_S),
            "mx_host": _hosts(of["route"], labels),
            "messages": of["messages"],
            "outcome": _terms(of["outcome"], Outcome),
            "reason": _terms(of["reason"], Reason),
        }
    )


def _destination_columns(destination: Rows, labels: Labels) -> dict[str, object]:
    return {
        "domain": _named(destination, labels.domains),
        "provider": _named(labels.provider_of[destination], labels.provider_names),
    }


def _hosts(routes: Rows, labels: Labels) -> object:
    codes = np.full(routes.size, -1, dtype=np.int64)
    known = routes >= 0
    codes[known] = labels.route_host[routes[known]]
    return _named(codes, labels.hosts)


def _terms(codes: Rows, term: type[Term]) -> object:
    return _named(codes, tuple(member.label for member in term))


def _named(codes: Rows, names: tuple[str, ...]) -> object:
    """Return a categorical where the names allow it; two MX hosts or entries of one name stay plain strings."""
    import pandas as pd

    if len(set(names)) == len(names):
        return pd.Categorical.from_codes(codes, categories=pd.Index(names, dtype=object))
    return np.array([*names, None], dtype=object)[codes]
