"""What changes while a run goes on: outages, certificates, attacks, load, and our own policy changed at an hour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from sim.errors import ScenarioError, complaint, did_you_mean
from sim.policy.destinations import DEFAULT, DestinationControls, canonical_domains
from sim.results import timeline as results
from sim.terms import Chain
from sim.world.draw import Chance, quota_walk
from sim.world.population import Population

if TYPE_CHECKING:
    import pandas as pd

Mask = NDArray[np.bool_]

_WHERE = ("provider", "mx_host", "domain")
#: What each kind of event takes beside ``at_h``, ``for_h`` and ``label``.
EVENTS: Final[dict[str, tuple[str, ...]]] = {
    "outage": _WHERE,
    "certificate-expires": _WHERE,
    "starttls-stripped": (*_WHERE, "share"),
    "tls-turned-on": _WHERE,
    "load": ("provider", "domain", "factor"),
    "policy": ("policy",),
}
_MOST_H = 400 * 24.0
_MOST_FACTOR = 1_000.0
_RATES_WITHOUT_TLS = ("not_offered_rate", "refused_4xx_rate", "refused_5xx_rate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change, from an hour on, for some hours or for good.

    Attributes
    ----------
    event : ``outage`` (no connection is answered), ``certificate-expires`` (trusted certificates are expired until they
        are renewed), ``starttls-stripped`` (an attacker removes STARTTLS on the path), ``tls-turned-on`` (a peer
        offers STARTTLS from now on), ``load`` (``factor`` times the mail), ``policy`` (our own TLS settings change).
    at_h : hours from the start of the run.
    for_h : for how long; None = for good. A policy with a ``for_h`` is rolled back.
    provider, mx_host, domain : whom it concerns, one of them: a provider's name, an MX host, or a destination
        (``example.com``, or ``.example.com`` for all below it). ``load`` may concern everybody.
    share : of the mail whose paths are stripped, in place of the three; the population's seed draws which domains, and
        the same share is always the same domains.
    factor : how many times the usual rate of mail, 0..1000.
    policy : Destination Controls in force from then on; only their TLS settings may differ. Of several policies in
        force the one that began last rules.
    label : what charts call it; made from the rest where it is empty.
    may_be_idle : whether a policy may give no destination another setting, as where a what-if has typed the same
        setting into all tables.

    Raises
    ------
    ScenarioError
        When a field is missing, out of range, or none that this event takes.
    """

    event: str
    at_h: float
    for_h: float | None = None
    provider: str | None = None
    mx_host: str | None = None
    domain: str | None = None
    share: float | None = None
    factor: float | None = None
    policy: DestinationControls | None = None
    label: str = ""
    may_be_idle: bool = False

    def __post_init__(self) -> None:
        if self.event not in EVENTS:
            raise ScenarioError(complaint("event", self.event, EVENTS))
        self._check_number("at_h", self.at_h, 0.0, _MOST_H, "h")
        if self.for_h is not None:
            self._check_number("for_h", self.for_h, 1e-6, _MOST_H, "h")
        takes = EVENTS[self.event]
        for name in (*_WHERE, "share", "factor", "policy"):
            if getattr(self, name) is not None and name not in takes:
                allowed = f"nothing; {self.event} takes {', '.join(takes)}"
                raise ScenarioError(complaint(f"{self.event}: {name}", getattr(self, name), allowed))
        where = [name for name in (*_WHERE, "share") if getattr(self, name) is not None]
        if len(where) > 1 or (not where and self.event not in ("load", "policy")):
            allowed = f"one of {', '.join(n for n in takes if n in (*_WHERE, 'share'))}"
            raise ScenarioError(complaint(f"{self.event}: whom it concerns", " and ".join(where) or "nobody", allowed))
        if self.share is not None:
            self._check_number("share", self.share, 0.0, 1.0, "of mail")
            if self.share == 0:
                raise ScenarioError(complaint(f"{self.event}: share", self.share, "above 0, up to 1 of mail"))
        if self.event == "load":
            self._check_number("factor", self.factor, 0.0, _MOST_FACTOR, "times the mail")
        if self.event == "policy" and not isinstance(self.policy, DestinationControls):
            raise ScenarioError(_wanted("policy: policy", self.policy, "Destination Controls"))
        if not self.label:
            object.__setattr__(self, "label", self._told(where))

    def _check_number(self, name: str, value: object, low: float, high: float, unit: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ScenarioError(_wanted(f"{self.event}: {name}", value, f"{low:g}..{high:g} {unit}"))

    def _told(self, where: Sequence[str]) -> str:
        who = getattr(self, where[0]) if where else ""
        if "share" in where:
            who = f"{who * 100:g} % of mail"
        what = {"load": f"load x {self.factor:g}" if self.factor is not None else "", "policy": "policy changed"}
        return f"{what.get(self.event, self.event.replace('-', ' '))} {who}".strip()

    @property
    def ends_h(self) -> float:
        """When it is over, hours from the start; infinity where it stays."""
        return np.inf if self.for_h is None else self.at_h + self.for_h

    def covers(self, time_h: float) -> bool:
        """Tell whether it is in force at this hour."""
        return self.at_h <= time_h < self.ends_h

    def row(self) -> dict[str, Any]:
        """Return label, at_h, for_h: what a result says of it."""
        return {"label": self.label, "at_h": self.at_h, "for_h": self.for_h}


def in_order(events: Iterable[Event]) -> tuple[Event, ...]:
    """Return events by the hour they begin, then by all that tells them apart: their given order means nothing.

    Raises
    ------
    ScenarioError
        When two policies begin at the same hour, so that none of them began last.
    """
    found = sorted(events, key=lambda e: (e.at_h, e.ends_h, e.event, e.factor or 0.0, e.share or 0.0, e.label))
    hours = [e.at_h for e in found if e.event == "policy"]
    twice = [hour for hour, following in pairwise(hours) if hour == following]
    if twice:
        raise ScenarioError(complaint("policy: at_h", twice[0], "another hour than that of any other policy"))
    return tuple(found)


def _wanted(field: str, value: object, allowed: str) -> str:
    return f"{field} is missing; allowed: {allowed}" if value is None else complaint(field, value, allowed)


@dataclass(frozen=True, slots=True)
class Phase:
    """What is in force from a time on."""

    begins_h: float
    population: Population
    policy: DestinationControls


def phases(events: Sequence[Event], population: Population, policy: DestinationControls) -> Iterator[Phase]:
    """Yield the phases of a run: the first begins at 0, and each where one of the events changes evidence or policy."""
    lasting = [e for e in in_order(events) if e.event not in ("outage", "load")]
    times = {time for e in lasting for time in (e.at_h, e.ends_h) if time < _MOST_H}
    for begins_h in sorted({0.0} | times):
        now = [e for e in lasting if e.covers(begins_h)]
        ruled = [e.policy for e in now if e.policy is not None]
        yield Phase(begins_h, _changed(population, now), ruled[-1] if ruled else policy)


def marks(events: Iterable[Event], horizon_h: float = np.inf) -> list[tuple[float, str]]:
    """Return (hour, label) of what begins and ends, in order of time, for charts."""
    return results.marks([event.row() for event in events], horizon_h)


def policy_before(event: Event, events: Iterable[Event], policy: DestinationControls) -> DestinationControls:
    """Return the policy in force when an event begins; ``policy`` is the one of the scenario."""
    ruled = [e.policy for e in in_order(events) if e.policy is not None and e.at_h < event.at_h < e.ends_h]
    return ruled[-1] if ruled else policy


def check_event(event: Event, population: Population, policy: DestinationControls, days: float) -> None:
    """Refuse an event that does not fit the scenario it is part of.

    Parameters
    ----------
    event, population : the event, and who receives.
    policy : in force before the event (`policy_before`).
    days : the arrival window.

    Raises
    ------
    ScenarioError
        When it concerns nobody in the population, a policy changes more than TLS settings, or a load begins when no
        mail arrives any more.
    """
    if event.event == "load" and event.at_h >= days * 24:
        raise ScenarioError(complaint("load: at_h", event.at_h, f"below {days * 24:g} h, where arrivals end"))
    if event.policy is not None:
        _check_policy(event.policy, population, policy, may_be_idle=event.may_be_idle)
    elif event.share is None and not concerned(event, population, policy)[0].any():
        raise ScenarioError(f"{event.event}: no mail goes where {event.label!r} happens; allowed: whom mail is sent to")


def concerned(event: Event, population: Population, policy: DestinationControls) -> tuple[Mask, int]:
    """Return which destinations an event concerns, shape (domains,), and how many MX hosts (0 where it is not them).

    A policy concerns those whose TLS setting differs from the one they had under ``policy`` (`policy_before`); what
    happens to a host concerns those whose mail may go to it.
    """
    domains = np.zeros(len(population.domains), dtype=bool)
    if event.event == "load":
        return concerned_domains(event, population), 0
    if event.policy is not None:
        names = population.names
        return settings_of(event.policy, names) != settings_of(policy, names), 0
    routes = population.routes
    met = _concerned_routes(event, population)
    domains[routes["domain"].to_numpy()[met]] = True
    return domains, 0 if event.event == "starttls-stripped" else len(np.unique(routes["host"].to_numpy()[met]))


def concerned_hosts(event: Event, population: Population) -> Mask:
    """Return which MX hosts an event concerns, shape (hosts,)."""
    hosts = np.zeros(len(population.hosts), dtype=bool)
    if event.mx_host is not None:
        return _found(event, event.mx_host, population.hosts["host"])
    if event.provider is not None:
        return _found(event, event.provider, population.hosts["provider"])
    domains = concerned_domains(event, population)
    hosts[population.routes["host"].to_numpy()[domains[population.routes["domain"].to_numpy()]]] = True
    return hosts


def concerned_domains(event: Event, population: Population) -> Mask:
    """Return which destinations an event concerns, shape (domains,); all where it names nobody."""
    domains = population.domains
    if event.provider is not None:
        return _found(event, event.provider, domains["provider"])
    if event.domain is None:
        return np.ones(len(domains), dtype=bool)
    return _found(event, event.domain, domains["domain"])


def _concerned_routes(event: Event, population: Population) -> Mask:
    domain = population.routes["domain"].to_numpy()
    if event.share is not None:
        weight = population.domains["messages"].to_numpy(dtype=np.float64)
        keys = population.names.keys.view(np.uint64)
        uniform = Chance(population.seed, "timeline").uniform(keys, event.event)
        chosen = quota_walk(weight, [1.0 - event.share, event.share], uniform) == 1
        return np.asarray(chosen[domain])
    if event.domain is not None and event.event == "starttls-stripped":
        return np.asarray(concerned_domains(event, population)[domain])
    return np.asarray(concerned_hosts(event, population)[population.routes["host"].to_numpy()])


def _found(event: Event, value: str, names: pd.Series) -> Mask:
    """Return where a name stands among others, in any spelling of it; ``.example`` stands for all names below it."""
    field = next(name for name in _WHERE if getattr(event, name) is not None)
    codes, spellings = names.factorize()
    # A provider's name is a word of the population's own: only its case may differ.
    if field == "provider":
        wanted, known = value.strip().lower(), [str(name).lower() for name in spellings]
    else:
        [wanted], known = canonical_domains([value]), canonical_domains(str(name) for name in spellings)
    below = field == "domain" and wanted.startswith(".")
    met = np.array([name.endswith(wanted) if below else name == wanted for name in known], dtype=bool)
    if not met.any():
        few = len(known) <= 30
        spelled = [str(name) for name in spellings]
        allowed = spelled if few else f"one of the population.{did_you_mean(value, spelled)}"
        raise ScenarioError(complaint(f"{event.event}: {field}", value, allowed))
    return np.asarray(met[codes], dtype=bool)


def _changed(population: Population, events: Sequence[Event]) -> Population:
    """Return the population with what these events do to peers and paths."""
    host_of = population.backends["host"].to_numpy()
    chain = population.backends["chain"].to_numpy().copy()
    stripped = population.routes["stripped"].to_numpy(dtype=bool).copy()
    rates = {name: population.backends[name].to_numpy().copy() for name in _RATES_WITHOUT_TLS}
    for event in events:
        if event.event == "certificate-expires":
            chain[concerned_hosts(event, population)[host_of] & (chain == Chain.TRUSTED)] = Chain.EXPIRED
        elif event.event == "tls-turned-on":
            for rate in rates.values():
                rate[concerned_hosts(event, population)[host_of]] = 0.0
        elif event.event == "starttls-stripped":
            stripped |= _concerned_routes(event, population)
    if all(event.event == "policy" for event in events):
        return population
    return population.with_(backends={"chain": chain, **rates}, routes={"stripped": stripped})


def _check_policy(
    later: DestinationControls, population: Population, policy: DestinationControls, *, may_be_idle: bool
) -> None:
    names = population.names
    before, after = policy.match(names), later.match(names)
    for old, new in sorted(set(zip(before.tolist(), after.tolist(), strict=True))):
        _check_limits(policy, later, old, new)
    if not may_be_idle and (settings_of(later, names) == settings_of(policy, names)).all():
        raise ScenarioError("policy: no destination gets another TLS setting; allowed: a policy that changes one")


def _check_limits(policy: DestinationControls, other: DestinationControls, old: int, new: int) -> None:
    """Refuse a second policy whose limits or retries differ for a destination: only TLS settings change in a run."""
    first, second = policy.resolved(old), other.resolved(new)
    if replace(first, domain=DEFAULT, tls=None) != replace(second, domain=DEFAULT, tls=None):
        raise ScenarioError(
            f"policy: [{second.domain}] has other limits or options than [{first.domain}] had; "
            "allowed: the same ones, since only TLS settings change during a run"
        )
    name = first.bounce_profile or "Default"
    if policy.profile(name) != other.profile(name) or policy.host_retry != other.host_retry:
        raise ScenarioError(f"policy: bounce profile {name} differs; allowed: the same retry schedules during a run")


def settings_of(policy: DestinationControls, names: Sequence[str]) -> NDArray[np.int64]:
    """Return the TLS setting of each destination, codes of `sim.terms.Setting`."""
    resolved = [policy.resolved(i).tls for i in range(-1, len(policy.entries))]
    return np.asarray(resolved, dtype=np.int64)[policy.match(names) + 1]
