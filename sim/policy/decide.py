"""The policy core: three tables and one look-up. No draws, no clock; nothing else decides.

1. A TLS setting makes a **demand** and names the certificate rule that goes with it.
2. Raw evidence of a connection is sorted into about a dozen classes of what was **seen**.
3. Demand and class give the **outcome**: deliver in clear, encrypted or verified, or the next step and its reason.

Each sender's tables are in `sim.policy.profiles`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.errors import PolicyError, complaint
from sim.policy.text_tables import Codes, evidence_text, format_table, grid_text
from sim.terms import Chain, Demand, NameRule, Outcome, Reason, Seen, Setting, Stage, Term

_SHAPES: dict[str, tuple[tuple[int, ...], type[Term]]] = {
    "demand": ((len(Setting),), Demand),
    "rule": ((len(Setting),), NameRule),
    "seen": ((len(Stage), 2, len(Chain), 2), Seen),
    "outcome": ((len(Demand), len(Seen), 2), Outcome),
    "reason": ((len(Demand), len(Seen)), Reason),
}

# Large enough to hide the cost of a step, small enough that its scratch stays in the cache.
_BLOCK = 32_768

#: How far an outcome keeps a message from being read on its way or handed to an impostor.
_PROTECTION = {
    Outcome.DELIVER_CLEAR: 0,
    Outcome.RECONNECT_CLEAR: 0,
    Outcome.DELIVER_ENCRYPTED: 1,
    Outcome.DELIVER_VERIFIED: 2,
    Outcome.NEXT_HOST: 3,
    Outcome.RETRY: 3,
    Outcome.BOUNCE_MESSAGE: 3,
    Outcome.BOUNCE_ALL: 3,
}


@dataclass(frozen=True, eq=False)
class Tables:
    """One sender's tables, as read-only uint8 arrays.

    Attributes
    ----------
    demand : codes of `Demand`, shape (settings,).
    rule : codes of `NameRule`, shape (settings,).
    seen : codes of `Seen`, shape (stages, 2 TLS version at least the sender's minimum, chains, 2 name rule holds).
    outcome : codes of `Outcome`, shape (demands, seen, 2 message is aged).
    reason : codes of `Reason`, shape (demands, seen); ``NONE`` where mail is delivered.

    Raises
    ------
    PolicyError
        When an array has another shape or a code its enum does not have.
    """

    demand: Codes
    rule: Codes
    seen: Codes
    outcome: Codes
    reason: Codes

    def __post_init__(self) -> None:
        for name, (shape, terms) in _SHAPES.items():
            given = np.asarray(getattr(self, name))
            if given.shape != shape:
                raise PolicyError(complaint(f"shape of table {name}", given.shape, str(shape)))
            table = _codes(f"table {name}", given, len(terms), terms).copy()
            table.setflags(write=False)
            object.__setattr__(self, name, table)

    @cached_property
    def combined(self) -> Codes:
        """The three tables as one: codes of `Outcome`, axes as the arguments of `decide`, then aged.

        Shape (settings, stages, 2, chains, 2, 2). Flat, it is the table that `decide` gathers from.
        """
        table: Codes = np.ascontiguousarray(self.outcome[self.demand[:, None, None, None, None], self.seen[None]])
        table.setflags(write=False)
        return table

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that change when any cell changes."""
        return blake2b(b"".join(getattr(self, name).tobytes() for name in _SHAPES), digest_size=8).hexdigest()

    def text(self, unsettled: Collection[tuple[Seen, Demand]] = ()) -> str:
        """Print the tables for people: demand, seen, outcome and reason, each under its title.

        Where no outcome depends on the age of the message, the outcome is printed once. Outcomes of the cells given as
        unsettled end in ``?``.
        """
        demands = [[s.label, Demand(int(d)).label, NameRule(int(r)).label] for s, d, r in self._rows()]
        parts = [
            "1. What a setting demands\n\n" + format_table(["TLS setting", "demand", "name rule"], demands),
            "2. What is seen of a connection\n\n" + evidence_text(self.seen),
        ]
        ages = ("", "") if (self.outcome[..., 0] == self.outcome[..., 1]).all() else (" (young)", " (aged)")
        for aged in range(2 if ages[0] else 1):
            by_seen = self.outcome[..., aged].T
            title = f"3. What it comes to{ages[aged]}\n\n"
            grid = grid_text("seen", by_seen, rows=Seen, columns=Demand, cells=Outcome, unsettled=unsettled)
            parts.append(title + grid)
        reasons = grid_text("seen", self.reason.T, rows=Seen, columns=Demand, cells=Reason)
        parts.append("4. The reason given when mail does not flow\n\n" + reasons)
        return "\n".join(parts)

    def _rows(self) -> list[tuple[Setting, int, int]]:
        return [(s, int(self.demand[s]), int(self.rule[s])) for s in Setting]


def decide(
    setting: ArrayLike,
    stage: ArrayLike,
    version_ok: ArrayLike,
    chain: ArrayLike,
    rule_holds: ArrayLike,
    tables: Tables,
    aged: ArrayLike = 0,
) -> Codes:
    """Outcome of one connection per row. A look-up: no draws, no clock.

    Parameters
    ----------
    setting : codes of `Setting`, shape (n,) or any shape that broadcasts with the others. Arrays of uint8 (or bool
        for the yes-or-no columns) are used as they are; other whole numbers are converted.
    stage : codes of `Stage`.
    version_ok : whether the peer's TLS version is at least the sender's minimum.
    chain : codes of `Chain`.
    rule_holds : whether the name rule *of the setting* holds for the certificate (`sim.policy.identity`).
    tables : the sender's tables.
    aged : whether the message is aged, for senders that have such a rule.

    Returns
    -------
    ndarray of uint8
        Codes of `Outcome`, rows in input order.

    Raises
    ------
    PolicyError
        Naming the first row whose code is not a member of its enum.

    Examples
    --------
    >>> from sim.policy.profiles.esa import tables
    >>> codes = decide([Setting.PREFERRED, Setting.REQUIRED], Stage.NOT_OFFERED, True, Chain.TRUSTED, False, tables())
    >>> [Outcome(code).label for code in codes]
    ['clear', 'next host']

    Notes
    -----
    Sources: those of the tables; RFC 3207 section 4 for the replies to STARTTLS (220, 454, 501).
    """
    columns = [
        _codes("setting", setting, len(Setting), Setting),
        _codes("stage", stage, len(Stage), Stage),
        _codes("version_ok", version_ok, 2),
        _codes("chain", chain, len(Chain), Chain),
        _codes("rule_holds", rule_holds, 2),
        _codes("aged", aged, 2),
    ]
    shape = np.broadcast_shapes(*(c.shape for c in columns))
    flat = [c if c.ndim == 0 else np.broadcast_to(c, shape).reshape(-1) for c in columns]
    return _gather(flat, tables.combined, int(np.prod(shape))).reshape(shape)


def _gather(columns: list[Codes], table: Codes, n: int) -> Codes:
    out = np.empty(n, dtype=np.uint8)
    cells = table.reshape(-1)
    index = np.empty(min(n, _BLOCK), dtype=np.uint16)
    place = np.empty(min(n, _BLOCK), dtype=np.intp)
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        block, spots = index[: stop - start], place[: stop - start]
        block[...] = 0
        for column, size in zip(columns, table.shape, strict=True):
            block *= np.uint16(size)
            block += column if column.ndim == 0 else column[start:stop]
        spots[...] = block
        # The codes were checked; "clip" spares the second check and lets take write in place.
        np.take(cells, spots, out=out[start:stop], mode="clip")
    return out


def _codes(name: str, values: ArrayLike, size: int, terms: type[Term] | None = None) -> Codes:
    array = np.asarray(values)
    if array.dtype == np.bool_:
        return array.view(np.uint8)
    allowed = [f"{t.value} ({t.label})" for t in terms] if terms else ["0", "1"]
    if array.dtype.kind not in "ui" and array.size:
        raise PolicyError(complaint(f"{name} codes", array.dtype.name, f"whole numbers: {', '.join(allowed)}"))
    if array.size and (array.max() >= size or (array.dtype.kind == "i" and array.min() < 0)):
        bad = int(np.flatnonzero((array < 0) | (array >= size))[0])
        raise PolicyError(complaint(f"row {bad}: {name}", int(array.flat[bad]), ", ".join(allowed)))
    return array.astype(np.uint8, copy=False)


def at_least_as_strict(tables: Tables) -> NDArray[np.bool_]:
    """Compare settings cell by cell of the evidence.

    A setting is at least as strict as another when in *every* cell it keeps a message at least as far from being
    read or misdirected on that connection: clear < encrypted < verified < not sent. A connection made again in
    clear counts as clear. The order is partial, and it is about one connection: in total, stricter can mean more
    clear text elsewhere (queues, fall-back to other MX hosts).

    Returns
    -------
    ndarray of bool
        Shape (settings, settings): ``[s, t]`` is true when ``t`` is at least as strict as ``s``.
    """
    rank = np.array([_PROTECTION[o] for o in Outcome], dtype=np.int64)[tables.combined].reshape(len(Setting), -1)
    return np.asarray((rank[:, None, :] <= rank[None, :, :]).all(axis=2), dtype=np.bool_)


def order_text(tables: Tables) -> str:
    """Print the partial order of settings: one line for each pair with nothing between, equals first met.

    Two settings are equal here when they differ at most in their name rule.
    """
    le = at_least_as_strict(tables)
    lt = le & ~le.T
    lines = [f"{s} = {t}" for s in Setting for t in Setting if s < t and le[s, t] and le[t, s]]
    twins = {t for s in Setting for t in Setting if s < t and le[s, t] and le[t, s]}
    kept = [s for s in Setting if s not in twins]
    lines += [f"{s} < {t}" for s in kept for t in kept if lt[s, t] and not any(lt[s, m] and lt[m, t] for m in kept)]
    return "\n".join(lines) + "\n"
