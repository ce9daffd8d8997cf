"""What is known of one sender: its settings, its tables, how it queues and retries. Facts alone; no clock, no chance.

Each sender is a file of `sim.policy.profiles`, in the order of its own documents, whose ``PROFILE`` is one of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import numpy as np

from sim.errors import PolicyError, complaint
from sim.policy.decide import NOT_USED, Tables
from sim.policy.text_tables import Codes, read_columns, read_demands, read_evidence, read_table, split_table, term
from sim.terms import DaneOption, Demand, Outcome, Reason, Seen, Setting, Term, TlsVersion

#: Result types of RFC 8460 section 4.3 that a demand has whatever is seen, or for what is seen.
_REASONS: Mapping[Demand | tuple[Demand, Seen], Reason] = MappingProxyType(
    {
        Demand.HOLD_BOGUS: Reason.DNSSEC_INVALID,
        Demand.HOLD_NO_DANE: Reason.DANE_REQUIRED,
        Demand.HOLD_UNLISTED: Reason.VALIDATION_FAILURE,
        Demand.BOUNCE_NO_DANE: Reason.DANE_REQUIRED,
        (Demand.DANE, Seen.MISMATCH): Reason.TLSA_INVALID,
        (Demand.MTA_STS, Seen.UNTRUSTED): Reason.STS_WEBPKI_INVALID,
    }
)
#: The reason for each class of evidence; a sender whose documents say otherwise has its own.
REASONS = """
    seen             | reason
    DNS temporary    | dns-temporary
    DNS permanent    | dns-permanent
    unreachable      | unreachable
    greeting 4xx     | unexpected-greeting
    greeting 5xx     | unexpected-greeting
    not offered      | starttls-not-supported
    refused 4xx      | starttls-not-supported
    refused 5xx      | starttls-not-supported
    lost before 220  | session-lost
    handshake failed | validation-failure
    handshake hangs  | validation-failure
    lost in TLS      | session-lost
    untrusted        | certificate-not-trusted
    expired          | certificate-expired
    name mismatch    | certificate-host-mismatch
    verified         | none
"""
#: How raw evidence is sorted, in the order a connection meets it; the same for every sender but its minimum version,
#: below which a handshake ends, so that TLS never comes up.
EVIDENCE = """
    stage             | TLS version          | chain         | name rule     | seen
    dns-temporary     | any                  | any           | any           | DNS temporary
    nxdomain, null-mx | any                  | any           | any           | DNS permanent
    unreachable       | any                  | any           | any           | unreachable
    greeting-4xx      | any                  | any           | any           | greeting 4xx
    greeting-5xx      | any                  | any           | any           | greeting 5xx
    not-offered       | any                  | any           | any           | not offered
    refused-4xx       | any                  | any           | any           | refused 4xx
    refused-5xx       | any                  | any           | any           | refused 5xx
    lost-before-220   | any                  | any           | any           | lost before 220
    handshake-failed  | any                  | any           | any           | handshake failed
    handshake-timeout | any                  | any           | any           | handshake hangs
    lost-in-tls, tls  | below the minimum    | any           | any           | handshake failed
    lost-in-tls       | at least the minimum | any           | any           | lost in TLS
    tls               | at least the minimum | self-signed, unknown-issuer, not-yet-valid, revoked | any | untrusted
    tls               | at least the minimum | expired       | any           | expired
    tls               | at least the minimum | trusted       | does not hold | name mismatch
    tls               | at least the minimum | trusted       | holds         | verified
"""
#: A switch may take these values.
Value = str | bool


@dataclass(frozen=True, kw_only=True)
class Switch:
    """A choice where no source settles a cell, or an option of the sender that changes its tables.

    Attributes
    ----------
    about : what it is about, in a few words, with its source where it is an option.
    outcomes : for each value, the default first, the outcome of the cells marked ``?name``; None where the value
        leaves them as they stand (rows of the table of demands may name it). A cell may have several marks, ``?a, b``.
    option : whether it is an option of the sender rather than a cell without a source.
    """

    about: str
    outcomes: Mapping[Value, Outcome | None]
    option: bool = False

    @property
    def default(self) -> Value:
        """The value the sender has as shipped, or the likeliest reading."""
        return next(iter(self.outcomes))


@dataclass(frozen=True, kw_only=True)
class Queueing:
    """How a sender queues and retries, as its documents say.

    Attributes
    ----------
    waits_s : waits before a message is tried again, seconds; the last one repeats.
    counted : what a wait is looked up by. ``tries``: the n-th wait follows the n-th failed try, from its start.
        ``age``: as long as the message is old when it fails, between the smallest and the largest of ``waits_s``.
        ``arrival``: tries fall due at the running sums of ``waits_s`` after the message came.
    scan_s : tries that fall due wait for the next run over the queue, one in so many seconds; 0 = at once.
    lifetime_s : a try that fails when the message is older is the last.
    max_retries : so many retries at most; None = no limit.
    dead_s : when a pass over all MX hosts has failed and no other connection to the destination is open, its mail is
        put off without a try for so long; 0 = every message finds out for itself.
    connections : to one destination at once.
    messages_per_connection : 0 = no limit.
    warning_s : age at which the sender of a message is told that it waits; None = never.
    notes : what the numbers leave out.
    source : of all of these.
    """

    waits_s: tuple[float, ...]
    lifetime_s: float
    source: str
    counted: str = "tries"
    scan_s: float = 0.0
    max_retries: int | None = None
    dead_s: float = 0.0
    connections: int = 20
    messages_per_connection: int = 1
    warning_s: float | None = None
    notes: str = ""

    def __post_init__(self) -> None:
        if self.counted not in ("tries", "age", "arrival"):
            raise PolicyError(complaint("counted", self.counted, ("tries", "age", "arrival")))
        if not self.waits_s or min(self.waits_s) <= 0 or self.lifetime_s < 0 or self.connections < 1:
            raise PolicyError(complaint("waits_s", self.waits_s, "one or more, each above 0 s"))

    def next_s(self, tries: int, started_s: float, arrival_s: float = 0.0) -> float:
        """Return when a message is due again whose try number ``tries`` (from 1) began then and failed at once."""
        if self.counted == "age":
            due = started_s + min(max(started_s - arrival_s, min(self.waits_s)), max(self.waits_s))
        elif self.counted == "tries":
            due = started_s + self.waits_s[min(tries, len(self.waits_s)) - 1]
        else:
            due, step = arrival_s, 0
            while due <= started_s:
                due += self.waits_s[min(step, len(self.waits_s) - 1)]
                step += 1
        return due if not self.scan_s else -(-due // self.scan_s) * self.scan_s

    def attempt_times_s(self) -> tuple[float, ...]:
        """Return the ages at which a message that always fails at once is tried; with the last of them it bounces."""
        times = [0.0]
        while times[-1] < self.lifetime_s and (self.max_retries is None or len(times) <= self.max_retries):
            times.append(self.next_s(len(times), times[-1]))
        return tuple(times)


@dataclass(frozen=True, eq=False, kw_only=True)
class Profile:
    """One sender.

    Attributes
    ----------
    key, title : how files and people name it.
    source : its documents.
    settings : its TLS settings, an enum of its own words.
    default : the setting it has as shipped.
    nearest : its setting that comes nearest to each of the gateway's.
    demands : text of the table of demands (`read_demands`).
    outcomes : text of the outcome table; demands of `NOT_USED` have no column.
    aged : the cells that differ for an aged message, where the sender has such a rule: an outcome, or a cell as the
        outcome table has it, with marks of switches.
    aged_if : a switch and its value under which alone they do; None = always.
    switches : by name; a mark ``?name`` of a cell names the one that changes it, a bare ``?`` none.
    dane_option : how it uses DANE as shipped.
    minimum_tls : the lowest TLS version it accepts as shipped; None: as the run says.
    aged_after_s : a message so old when it becomes ready for a try counts as aged; None = age never matters.
    aged_after_tls_failure : whether a message counts as aged once a TLS failure has put it off.
    queueing : its queue; None: it is in the gateway's own bounce profiles and limits.
    """

    key: str
    title: str
    source: str
    settings: type[Term]
    default: Term
    nearest: Mapping[Setting, Term]
    demands: str
    outcomes: str
    queueing: Queueing | None
    aged: Mapping[tuple[Seen, Demand], Outcome | str] = field(default_factory=dict)
    aged_if: tuple[str, Value] | None = None
    switches: Mapping[str, Switch] = field(default_factory=dict)
    dane_option: DaneOption = DaneOption.NONE
    minimum_tls: TlsVersion | None = None
    aged_after_s: float | None = None
    aged_after_tls_failure: bool = False

    def __post_init__(self) -> None:
        if set(self.nearest) != set(Setting):
            raise PolicyError(complaint(f"{self.key}: nearest", sorted(self.nearest), "every setting of the gateway"))
        if self.aged and self.aged_after_s is None and not self.aged_after_tls_failure:
            raise PolicyError(complaint(f"{self.key}: aged", f"{len(self.aged)} cells", "none without an age"))

    @cached_property
    def _built(self) -> dict[tuple[tuple[str, Value], ...], Tables]:
        return {}

    def resolved(self, switches: Mapping[str, Value] | None = None) -> Mapping[str, Value]:
        """Return the value of every switch, those not given at their defaults.

        Raises
        ------
        PolicyError
            Naming a switch or a value that is none, what is allowed and the nearest guess.
        """
        values = {name: switch.default for name, switch in self.switches.items()}
        for name, value in (switches or {}).items():
            if name not in self.switches:
                raise PolicyError(complaint(f"switch of {self.title}", name, list(self.switches) or "none"))
            allowed = list(self.switches[name].outcomes)
            fits = [a for a in allowed if a == value and isinstance(a, bool) == isinstance(value, bool)]
            if not fits:
                raise PolicyError(complaint(f"switch {name}", value, [str(a).lower() for a in allowed]))
            values[name] = fits[0]
        return MappingProxyType(values)

    def tables(self, switches: Mapping[str, Value] | None = None) -> Tables:
        """Build its tables; the same switches give the same object."""
        values = self.resolved(switches)
        key = tuple(values.items())
        if key not in self._built:
            self._built[key] = self._build(values)
        return self._built[key]

    def _build(self, switches: Mapping[str, Value]) -> Tables:
        demand, rule = read_demands(self.demands, self.settings, switches)
        young = self._outcome(switches)
        outcome = np.stack([young.T, young.T], axis=2)
        if self.aged_if is None or switches[self.aged_if[0]] == self.aged_if[1]:
            for (seen, wanted), then in self.aged.items():
                outcome[wanted, seen, 1] = self._aged_outcome(then, switches) if isinstance(then, str) else then
        reason = np.repeat(read_columns(REASONS, rows=Seen, columns=(Reason,))[0][None], len(Demand), axis=0)
        for place, why in _REASONS.items():
            reason[place if isinstance(place, tuple) else (place, slice(Seen.UNREACHABLE, None))] = why
        delivers = (outcome <= Outcome.DELIVER_VERIFIED).all(axis=2)
        # TLS that came up and was good, and is still not good enough: RFC 8460 has the general failure for it.
        reason[reason == Reason.NONE] = Reason.VALIDATION_FAILURE
        return Tables(
            settings=self.settings,
            demand=demand,
            rule=rule,
            seen=read_evidence(EVIDENCE),
            outcome=outcome,
            reason=np.where(delivers, np.uint8(Reason.NONE), reason),
        )

    def _outcome(self, switches: Mapping[str, Value]) -> Codes:
        grid = read_table(self.outcomes, rows=Seen, columns=Demand, cells=Outcome)
        codes = grid.codes.copy()
        for marks, places in grid.marks.items():
            for outcome in np.unique(grid.codes[places]):
                same = places & (grid.codes == outcome)
                codes[same] = self._switched(Outcome(int(outcome)), marks, switches)
        before = slice(Seen.UNREACHABLE)
        for demand, outcome in NOT_USED.items():
            codes[before, demand] = codes[before, Demand.CLEAR if Demand.CLEAR in grid.columns else grid.columns[0]]
            codes[Seen.UNREACHABLE :, demand] = outcome
        return codes

    def _aged_outcome(self, cell: str, switches: Mapping[str, Value]) -> Outcome:
        label, _, marks = cell.partition("?")
        return self._switched(term(label, Outcome), marks, switches)

    def _switched(self, outcome: Outcome, marks: str, switches: Mapping[str, Value]) -> Outcome:
        """Return what a cell says under the switches: its first mark may change it, a later one while it says next."""
        for n, mark in enumerate(_split(marks)):
            chosen = self.switches[mark].outcomes[switches[mark]]
            if chosen is not None and (outcome == Outcome.NEXT_HOST or n == 0):
                outcome = chosen
        return outcome

    @property
    def has_dane_option(self) -> bool:
        """Whether what it demands depends on such an option, rather than on its settings alone."""
        return bool((self.tables().demand != self.tables().demand[:, :1]).any())

    def unsettled(self) -> list[tuple[Seen, Demand, tuple[str, ...]]]:
        """List the cells of the outcome table that no source settles.

        Returns
        -------
        list of (Seen, Demand, tuple of str)
            In the order of the table; the switches that change each, none where the choice has none. The first is
            about the cell; a later one changes it where it says *next host*.
        """
        heading, rows = split_table(self.outcomes)
        found: list[tuple[Seen, Demand, tuple[str, ...]]] = []
        for row in rows:
            for column, cell in zip(heading[1:], row[1:], strict=True):
                if (names := self.open_switches(cell)) is not None:
                    found.append((term(row[0], Seen), term(column, Demand), names))
        return found

    def open_switches(self, cell: str) -> tuple[str, ...] | None:
        """Return the switches that change a cell no source settles, none where the choice has none; None: settled."""
        label, question, marks = cell.partition("?")
        names = _split(marks)
        if term(label, Outcome) != Outcome.NEXT_HOST:
            names = names[:1]
        settled = not question or (names and all(self.switches[name].option for name in names))
        return None if settled else names


def _split(marks: str) -> tuple[str, ...]:
    return tuple(mark.strip() for mark in marks.split(",") if mark.strip())
