"""The policy core: three tables and one look-up. No draws, no clock; nothing else decides.

1. A TLS setting, with what the receiver publishes (DANE, MTA-STS), makes a **demand** and names the rule a certificate
   has to satisfy.
2. Raw evidence of a connection is sorted into about a dozen classes of what was **seen**.
3. Demand and class give the **outcome**: deliver in clear, encrypted or verified, or the next step and its reason.

Each sender's tables are in `sim.policy.profiles`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import blake2b
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim import jit
from sim.errors import PolicyError, complaint
from sim.policy.text_tables import DEMAND_AXES, Codes, demands_text, evidence_text, grid_text
from sim.terms import Chain, Dane, DaneOption, Demand, MtaSts, NameRule, Outcome, Reason, Seen, Setting, Stage, Term

_CASES = tuple(len(labels) for _, labels in DEMAND_AXES)
_SHAPES: dict[str, tuple[tuple[int, ...], type[Term]]] = {
    "demand": (_CASES, Demand),
    "rule": (_CASES, NameRule),
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
    Outcome.BOUNCE_NOW: 3,
}
#: What happens to an MX host that may not be used at all: nothing is asked of it.
NOT_USED: Mapping[Demand, Outcome] = MappingProxyType(
    {
        Demand.HOLD_BOGUS: Outcome.NEXT_HOST,
        Demand.HOLD_NO_DANE: Outcome.NEXT_HOST,
        Demand.HOLD_UNLISTED: Outcome.NEXT_HOST,
        Demand.BOUNCE_NO_DANE: Outcome.BOUNCE_NOW,
    }
)
#: Rules that take the place of the chain: it is as good as trusted where they are asked.
REPLACES_CHAIN = (int(NameRule.FINGERPRINT), int(NameRule.TLSA))
#: A receiver that publishes neither DANE nor an MTA-STS policy, to a sender that is not told to use DANE.
PLAIN = (int(DaneOption.NONE), int(Dane.NONE), int(MtaSts.NONE), 1)


@dataclass(frozen=True, eq=False)
class Tables:
    """One sender's tables, as read-only uint8 arrays.

    Attributes
    ----------
    settings : the sender's TLS settings, under its own names.
    demand : codes of `Demand`, shape (settings, DANE options, DANE states, MTA-STS modes, 2 MX host is listed).
    rule : codes of `NameRule`, of the same shape.
    seen : codes of `Seen`, shape (stages, 2 TLS version at least the sender's minimum, chains, 2 name rule holds).
    outcome : codes of `Outcome`, shape (demands, seen, 2 message is aged); of demands nobody makes, no meaning.
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
    settings: type[Term] = Setting

    def __post_init__(self) -> None:
        for name, (rest, terms) in _SHAPES.items():
            given = np.asarray(getattr(self, name))
            shape = (len(self.settings), *rest) if name in ("demand", "rule") else rest
            if given.shape != shape:
                raise PolicyError(complaint(f"shape of table {name}", given.shape, str(shape)))
            table = _codes(f"table {name}", terms, given).copy()
            table.setflags(write=False)
            object.__setattr__(self, name, table)

    @cached_property
    def demands(self) -> tuple[Demand, ...]:
        """The demands this sender makes in any case: the columns of its outcome table."""
        return tuple(Demand(int(code)) for code in np.unique(self.demand))

    @cached_property
    def combined(self) -> Codes:
        """The three tables as one, for receivers that publish nothing: codes of `Outcome`, then aged.

        Shape (settings, stages, 2, chains, 2, 2). Flat, it is the table that `decide` gathers from.
        """
        return self._by(self.demand[(slice(None), *PLAIN)])

    @cached_property
    def combined_by_demand(self) -> Codes:
        """Evidence and outcome as one table, shape (demands, stages, 2, chains, 2, 2)."""
        return self._by(np.arange(len(Demand)))

    @cached_property
    def rule_may_replace_chain(self) -> bool:
        """Whether a rule looks at no chain although the receiver publishes nothing: a fingerprint."""
        return bool(np.isin(self.rule[(slice(None), *PLAIN)], REPLACES_CHAIN).any())

    def _by(self, demand: NDArray[np.integer]) -> Codes:
        table: Codes = np.ascontiguousarray(self.outcome[demand[:, None, None, None, None], self.seen[None]])
        table.setflags(write=False)
        return table

    def plain(self, setting: int) -> tuple[Demand, NameRule]:
        """Return what a setting asks of a receiver that publishes neither DANE nor an MTA-STS policy."""
        return self.asks(setting, *PLAIN)

    def asks(self, setting: int, option: int, dane: int, mta_sts: int, listed: int) -> tuple[Demand, NameRule]:
        """Return demand and name rule of a setting in one case; codes as in `demand`."""
        case = (setting, option, dane, mta_sts, listed)
        return Demand(int(self.demand[case])), NameRule(int(self.rule[case]))

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that change when any cell changes."""
        return blake2b(b"".join(getattr(self, name).tobytes() for name in _SHAPES), digest_size=8).hexdigest()

    def text(self, unsettled: Collection[tuple[Seen, Demand]] = ()) -> str:
        """Print the tables for people: demand, seen, outcome and reason, each under its title.

        Where no outcome depends on the age of the message, the outcome is printed once. Outcomes of the cells given as
        unsettled end in ``?``.
        """
        parts = [
            "1. What a setting demands\n\n" + demands_text(self.demand, self.rule, self.settings),
            "2. What is seen of a connection\n\n" + evidence_text(self.seen),
        ]
        columns = [demand for demand in self.demands if demand not in NOT_USED]
        ages = ("", "") if (self.outcome[..., 0] == self.outcome[..., 1]).all() else (" (young)", " (aged)")
        for aged in range(2 if ages[0] else 1):
            by_seen = self.outcome[..., aged].T
            title = f"3. What it comes to{ages[aged]}\n\n"
            grid = grid_text("seen", by_seen, rows=Seen, columns=columns, cells=Outcome, unsettled=unsettled)
            parts.append(title + grid)
        reasons = grid_text("seen", self.reason.T, rows=Seen, columns=columns, cells=Reason)
        parts.append("4. The reason given when mail does not flow\n\n" + reasons)
        return "\n".join(parts)


#: Arguments of `decide` but the setting: name, and the enum of their codes (None: yes or no).
_ARGUMENTS: tuple[tuple[str, type[Term] | None], ...] = (
    ("stage", Stage),
    ("version_ok", None),
    ("chain", Chain),
    ("rule_holds", None),
    ("aged", None),
    ("dane_option", DaneOption),
    ("dane", Dane),
    ("mta_sts", MtaSts),
    ("mx_listed", None),
)


def decide(
    setting: ArrayLike,
    stage: ArrayLike,
    version_ok: ArrayLike,
    chain: ArrayLike,
    rule_holds: ArrayLike,
    tables: Tables,
    aged: ArrayLike = 0,
    *,
    dane_option: ArrayLike = DaneOption.NONE,
    dane: ArrayLike = Dane.NONE,
    mta_sts: ArrayLike = MtaSts.NONE,
    mx_listed: ArrayLike = 1,
) -> Codes:
    """Outcome of one connection per row. A look-up: no draws, no clock.

    Parameters
    ----------
    setting : codes of the sender's settings (``tables.settings``), shape (n,) or any shape that broadcasts with the
        others. Arrays of uint8 (or bool for the yes-or-no columns) are used as they are; other whole numbers are
        converted.
    stage : codes of `Stage`.
    version_ok : whether the peer's TLS version is at least the sender's minimum.
    chain : codes of `Chain`.
    rule_holds : whether the name rule *of the demand* holds for the certificate (`sim.policy.identity`). Rules that
        look at no chain (TLSA records, fingerprints) take the place of ``chain`` too.
    tables : the sender's tables.
    aged : whether the message is aged, for senders that have such a rule.
    dane_option : codes of `DaneOption`: how the sender is told to use DANE.
    dane : codes of `Dane`: the MX host's TLSA records.
    mta_sts : codes of `MtaSts`: the mode of the domain's policy.
    mx_listed : whether that policy lists the MX host.

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
    given = (stage, version_ok, chain, rule_holds, aged, dane_option, dane, mta_sts, mx_listed)
    checked = [_codes(*known, column) for known, column in zip(_ARGUMENTS, given, strict=True)]
    return _decided(_codes("setting", tables.settings, setting), checked[:5], checked[5:], tables)


def _decided(settings: Codes, evidence: list[Codes], case: list[Codes], tables: Tables) -> Codes:
    if not tables.rule_may_replace_chain and tuple(int(c) if c.ndim == 0 else -1 for c in case) == PLAIN:
        return _look_up([settings, *evidence], tables.combined)
    rule = _look_up([settings, *case], tables.rule)
    evidence[2] = np.where(np.isin(rule, REPLACES_CHAIN), np.uint8(Chain.TRUSTED), evidence[2])
    return _look_up([_look_up([settings, *case], tables.demand), *evidence], tables.combined_by_demand)


def _look_up(columns: list[Codes], table: Codes) -> Codes:
    shape = np.broadcast_shapes(*(c.shape for c in columns))
    flat = [c if c.ndim == 0 else np.broadcast_to(c, shape).reshape(-1) for c in columns]
    return _gather(flat, table, int(np.prod(shape))).reshape(shape)


def _gather(columns: list[Codes], table: Codes, n: int) -> Codes:
    out = np.empty(n, dtype=np.uint8)
    cells = table.reshape(-1)
    index = np.empty(min(n, _BLOCK), dtype=np.uint16)
    place = np.empty(len(index), dtype=np.intp)
    compiled = _compiled_take() if jit.is_loaded() and n > _BLOCK else None
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        block = index[: stop - start]
        block[...] = 0
        for column, size in zip(columns, table.shape, strict=True):
            block *= np.uint16(size)
            block += column if column.ndim == 0 else column[start:stop]
        if compiled is not None:
            compiled(cells, block, out[start:stop])
            continue
        spots = place[: stop - start]
        spots[...] = block
        # The codes were checked; "clip" spares the second check and lets take write in place.
        np.take(cells, spots, out=out[start:stop], mode="clip")
    return out


def _take(cells: Codes, places: NDArray[np.uint16], out: Codes) -> None:
    """Do what `np.take` does, compiled, where a compiler is in use already: all of `decide` takes a fifth less time."""
    for i in range(len(out)):
        out[i] = cells[places[i]]


@cache
def _compiled_take() -> Callable[[Codes, NDArray[np.uint16], Codes], None]:
    return jit.compiled(_take)


def _codes(name: str, terms: type[Term] | None, values: ArrayLike) -> Codes:
    array, size = np.asarray(values), 2 if terms is None else len(terms)
    if array.dtype == np.bool_:
        return array.view(np.uint8)
    allowed = [f"{t.value} ({t.label})" for t in terms] if terms else ["0", "1"]
    if array.dtype.kind not in "ui" and array.size:
        raise PolicyError(complaint(f"{name} codes", array.dtype.name, f"whole numbers: {', '.join(allowed)}"))
    if array.size and (array.max() >= size or (array.dtype.kind == "i" and array.min() < 0)):
        bad = int(np.flatnonzero((array < 0) | (array >= size))[0])
        raise PolicyError(complaint(f"row {bad}: {name}", int(array.flat[bad]), ", ".join(allowed)))
    return array.astype(np.uint8, copy=False)


def never_clear(tables: Tables, setting: int) -> bool:
    """Tell whether a setting sends nothing in clear, whatever a receiver shows or publishes."""
    demands = np.unique(tables.demand[setting])
    return not np.isin(tables.outcome[demands], (Outcome.DELIVER_CLEAR, Outcome.RECONNECT_CLEAR)).any()


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
    rank = np.array([_PROTECTION[o] for o in Outcome], dtype=np.int64)[tables.combined]
    rank = rank.reshape(len(tables.settings), -1)
    return np.asarray((rank[:, None, :] <= rank[None, :, :]).all(axis=2), dtype=np.bool_)


def order_text(tables: Tables) -> str:
    """Print the partial order of settings: one line for each pair with nothing between, equals first met.

    Two settings are equal here when they differ at most in their name rule.
    """
    le = at_least_as_strict(tables)
    lt = le & ~le.T
    known = list(tables.settings)
    lines = [f"{s} = {t}" for s in known for t in known if s < t and le[s, t] and le[t, s]]
    twins = {t for s in known for t in known if s < t and le[s, t] and le[t, s]}
    kept = [s for s in known if s not in twins]
    lines += [f"{s} < {t}" for s in kept for t in kept if lt[s, t] and not any(lt[s, m] and lt[m, t] for m in kept)]
    return "\n".join(lines) + "\n"
