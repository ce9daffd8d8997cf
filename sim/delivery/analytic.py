"""No clock: what one pass over a destination's MX hosts comes to, from probabilities times tables.

Per pass: a message that is deferred tries again. :mod:`sim.delivery.retry_sums` sums over the retries of a message
that is alone; queues and limits only the simulation follows.

Assumptions: hosts fail independently of each other; an outage is met with the share of time a host is down;
the reconnection in clear meets the same host, which is up, afresh; a domain whose equal preferences need more than
5,040 orders to share exactly is averaged over so many; the message's age is one for the whole pass; TLSA records match
by the state of their route, whichever back end answers; no digest is on a list of fingerprints. Where they hold,
simulated first passes agree with these numbers (``tests/delivery/test_expected.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import lcm

import numpy as np
from numpy.typing import NDArray

from sim.delivery.arrays import RATE_COLUMNS, dane_options, names_on_routes, pool_members, row_starts, whole
from sim.policy.decide import REPLACES_CHAIN, Tables
from sim.policy.identity import rule_holds
from sim.scenario import Scenario
from sim.terms import Chain, Demand, Dns, NameRule, Outcome, Seen, Stage, Term

Float = NDArray[np.float64]
Int64 = NDArray[np.int64]

#: What a pass can come to: columns of :func:`pass_probabilities` and of `sim.expected`.
ENDS = ("in_clear", "encrypted", "verified", "bounced", "deferred")
#: What one connection can come to: mail flows, or all of it bounces, or no other host is tried, or the next one is, and
#: if there is none the mail waits, or bounces.
STEPS = (*ENDS, "next_host", "bounced_if_last")
_BOUNCED, _DEFERRED = 3, 4
#: The outcomes of `STEPS`.
_STEPS = [
    int(step)
    for step in (
        Outcome.DELIVER_CLEAR, Outcome.DELIVER_ENCRYPTED, Outcome.DELIVER_VERIFIED, Outcome.BOUNCE_ALL, Outcome.RETRY,
        Outcome.NEXT_HOST, Outcome.BOUNCE_MESSAGE,
    )
]  # fmt: skip
_AFTER = len(ENDS)
_MOST_TURNS = 5_040


def settings_of(scenario: Scenario, settings: Sequence[Term] | None) -> tuple[Term, ...]:
    """Return the settings asked for; all of the sender's where none are given."""
    return tuple(scenario.profile.settings) if settings is None else tuple(settings)


def pass_probabilities(
    scenario: Scenario,
    settings: Sequence[Term] | None = None,
    *,
    outages: bool = True,
    aged: bool = False,
) -> Float:
    """Return the probabilities of each end of a pass, shape (settings, domains, ENDS).

    Parameters
    ----------
    scenario, settings : as for `sim.expected`.
    outages : whether hosts are down their share of the time, or up.
    aged : whether the message counts as aged, where the sender has such a rule.
    """
    asked = settings_of(scenario, settings)
    tables = scenario.tables
    routes = scenario.population.routes
    domain, preference = routes["domain"].to_numpy(), routes["preference"].to_numpy()
    on_route = route_steps(scenario, asked, outages=outages, aged=aged)
    end = np.zeros((len(asked), len(ENDS), len(scenario.population.domains)))
    for rows, orders in _route_orders(domain, preference, end.shape[2]):
        end[:, :, rows] = sum(_over_hosts(on_route, order) for order in orders) / len(orders)
    return np.moveaxis(_with_dns(scenario, end, tables, asked), 2, 1)


def route_steps(
    scenario: Scenario,
    settings: Sequence[Term],
    *,
    outages: bool = True,
    aged: bool = False,
) -> Float:
    """Return what one connection on each route comes to, shape (settings, STEPS, routes); as `pass_probabilities`."""
    tables = scenario.tables
    routes = scenario.population.routes
    evidence = _Evidence(scenario, tables)
    down = scenario.population.hosts["outage_share"].to_numpy(dtype=np.float64)[routes["host"].to_numpy()]
    down = down if outages else np.zeros_like(down)
    cases = _Cases(scenario, tables)
    on_route = np.empty((len(settings), len(_STEPS), len(routes)))
    for row, setting in zip(on_route, settings, strict=True):
        for demand, rule, where in cases.asked(setting):
            seen = evidence.seen(rule, tables)
            if where is None:
                _route_steps(row, seen, down, demand, tables, int(aged))
                continue
            part = np.empty((len(_STEPS), int(where.sum())))
            _route_steps(part, seen[:, where], down[where], demand, tables, int(aged))
            row[:, where] = part
    return on_route


def host_evidence(scenario: Scenario, setting: Term) -> tuple[Float, NDArray[np.uint8], NDArray[np.uint8]]:
    """Return what each host may show on each route while it is up, and what the setting asks there.

    Returns
    -------
    seen, demand, rule
        P(Seen | route), shape (routes, Seen); codes of `Demand` and `NameRule`, shape (routes,).
    """
    tables = scenario.tables
    evidence = _Evidence(scenario, tables)
    routes = len(scenario.population.routes)
    seen = np.empty((routes, len(Seen)))
    demands, rules = np.empty(routes, dtype=np.uint8), np.empty(routes, dtype=np.uint8)
    for demand, rule, where in _Cases(scenario, tables).asked(setting):
        place = slice(None) if where is None else where
        seen[place], demands[place], rules[place] = evidence.seen(rule, tables).T[place], demand, rule
    return seen, demands, rules


class _Cases:
    """What each setting asks on each route, by what receivers publish."""

    def __init__(self, scenario: Scenario, tables: Tables) -> None:
        population = scenario.population
        routes, domains = population.routes, population.domains
        self.tables = tables
        self.option = dane_options(scenario, scenario.policy)[routes["domain"].to_numpy()]
        self.dane, self.listed = routes["dane"].to_numpy(), whole(routes["sts_listed"])
        self.mta_sts = domains["mta_sts"].to_numpy()[routes["domain"].to_numpy()]

    def asked(self, setting: Term) -> Iterator[tuple[Demand, NameRule, NDArray[np.bool_] | None]]:
        """Yield each demand and rule with the routes it is made on; None = all of them."""
        demand, rule = self.tables.demand[setting], self.tables.rule[setting]
        both = demand.astype(np.int64) * len(NameRule) + rule
        if (both == both.flat[0]).all():
            yield Demand(int(demand.flat[0])), NameRule(int(rule.flat[0])), None
            return
        found = both[self.option, self.dane, self.mta_sts, self.listed]
        for code in np.unique(found).tolist():
            where = None if (found == code).all() else found == code
            yield Demand(code // len(NameRule)), NameRule(code % len(NameRule)), where


class _Evidence:
    """P(stage) per (route, backend) while the host is up, and what a completed handshake shows under each rule."""

    def __init__(self, scenario: Scenario, tables: Tables) -> None:
        population, lowest_tls = scenario.population, scenario.lowest_tls
        backends = population.backends
        start = row_starts(backends["host"].to_numpy(), len(population.hosts))
        self.route, self.backend, first = pool_members(population, start)
        rates = backends[list(RATE_COLUMNS)].to_numpy(dtype=np.float64)
        stage = np.zeros((len(backends), len(Stage)))
        stage[:, Stage.UNREACHABLE : Stage.TLS] = rates
        stage[:, Stage.TLS] = 1 - rates.sum(axis=1)
        weight = backends["weight"].to_numpy(dtype=np.float64)
        stage *= (weight / np.add.reduceat(weight, start[:-1])[backends["host"].to_numpy()])[:, None]
        low = backends["tls_version"].to_numpy() < lowest_tls
        stage[low, Stage.HANDSHAKE_FAILED] += stage[low, Stage.LOST_IN_TLS] + stage[low, Stage.TLS]
        stage[low, Stage.LOST_IN_TLS :] = 0.0
        before_tls = np.eye(len(Seen))[:, tables.seen[: int(Stage.TLS), 1, 0, 0]] @ stage[:, : int(Stage.TLS)].T
        pool = np.take(before_tls, self.backend, axis=1)
        self.tls = stage[self.backend, Stage.TLS]
        stripped = population.routes["stripped"].to_numpy(bool)[self.route]
        if stripped.any():
            beyond = slice(Seen.REFUSED_4XX, Seen.UNTRUSTED)
            pool[Seen.NOT_OFFERED, stripped] += pool[beyond, stripped].sum(axis=0) + self.tls[stripped]
            pool[beyond, stripped] = 0.0
            self.tls[stripped] = 0.0
        self.before_tls = pool if len(first) == pool.shape[1] else np.add.reduceat(pool, first, axis=1)
        self.version_ok = (backends["tls_version"].to_numpy() >= lowest_tls)[self.backend].astype(int)
        self.chain = backends["chain"].to_numpy()[self.backend]
        self.names = names_on_routes(population, self.route, self.backend)
        self.population = population
        self.known: dict[NameRule, Float] = {}

    def seen(self, rule: NameRule, tables: Tables) -> Float:
        """Return P(Seen | route, host up), shape (Seen, routes)."""
        if rule not in self.known:
            if rule == NameRule.NEXTHOP_OR_BELOW:
                self.names = names_on_routes(self.population, self.route, self.backend, below_domain=True)
            holds = rule_holds(rule, **self.names).astype(int)
            chain = Chain.TRUSTED if rule in REPLACES_CHAIN else self.chain
            seen_tls = tables.seen[int(Stage.TLS), self.version_ok, chain, holds].astype(np.int64)
            cell = seen_tls * self.before_tls.shape[1] + self.route
            tls = np.bincount(cell, weights=self.tls, minlength=self.before_tls.size)
            self.known[rule] = np.asarray(self.before_tls + tls.reshape(self.before_tls.shape))
        return self.known[rule]


def _route_steps(out: Float, up: Float, down: Float, demand: Demand, tables: Tables, aged: int) -> None:
    """Write P(step | route), shape (steps, routes), with reconnections in clear carried through."""
    outcome = np.zeros((len(Outcome), up.shape[1]))
    for seen in Seen:
        outcome[tables.outcome[demand, seen, aged]] += up[seen]
    again = outcome[Outcome.RECONNECT_CLEAR]
    if again.any():
        # Of a sender that never demands clear text the tables have no such column; before STARTTLS all are alike.
        column = Demand.CLEAR if Demand.CLEAR in tables.demands else demand
        for seen in Seen:
            then = tables.outcome[column, seen, aged]
            listed = column == Demand.CLEAR or seen < Seen.NOT_OFFERED
            outcome[then if listed else Outcome.DELIVER_CLEAR] += again * up[seen]
    outcome *= 1 - down
    outcome[tables.outcome[demand, Seen.UNREACHABLE, aged]] += down
    outcome[Outcome.BOUNCE_ALL] += outcome[Outcome.BOUNCE_NOW]
    out[...] = outcome[_STEPS]


def _route_orders(domain: Int64, preference: Int64, domains: int) -> Iterator[tuple[Int64, list[Int64]]]:
    """Yield rows of domains with the orders their routes are tried in: (rows, routes) matrices, all equally likely.

    Domains go by their number of routes, and apart when some of these share a preference: then there is an order a
    turn, in which routes of equal preference are rotated, and together the turns are every rotation of each group.
    """
    start = row_starts(domain, domains)
    count = np.diff(start)
    begins = np.concatenate([[True], (np.diff(domain) != 0) | (np.diff(preference) != 0)])
    first = np.flatnonzero(begins)
    size = np.diff(np.append(first, len(domain)))
    group = np.cumsum(begins) - 1
    shares = np.zeros(domains, dtype=bool)
    shares[domain[first[size > 1]]] = True
    for routes in np.unique(count).tolist():
        plain = np.flatnonzero((count == routes) & ~shares)
        yield plain, [start[plain, None] + np.arange(routes)]
        if not ((count == routes) & shares).any():
            continue
        rows = np.flatnonzero((count == routes) & shares)
        place = start[rows, None] + np.arange(routes)
        turns = min(lcm(*np.unique(size[group[place]]).tolist()), _MOST_TURNS)
        begin, length = first[group[place]], size[group[place]]
        yield rows, [begin + (place - begin + turn * length // turns) % length for turn in range(turns)]


def _over_hosts(on_route: Float, order: Int64) -> Float:
    """Carry the probability of getting there from host to host; return (settings, ENDS, rows)."""
    end = np.zeros((len(on_route), len(ENDS), len(order)))
    reach = np.ones((len(on_route), len(order)))
    for column in range(order.shape[1]):
        here = np.take(on_route, order[:, column], axis=2)
        here *= reach[:, None]
        end[:, :_AFTER] += here[:, :_AFTER]
        reach = here[:, _AFTER]
        if column == order.shape[1] - 1:
            end[:, _BOUNCED] += here[:, _AFTER + 1]
        else:
            reach = reach + here[:, _AFTER + 1]
    end[:, _DEFERRED] += reach
    return end


def _with_dns(scenario: Scenario, end: Float, tables: Tables, settings: Sequence[Term]) -> Float:
    """Put the look-up before the hosts: a temporary failure, NXDOMAIN and null MX end the pass as the tables say."""
    domains = scenario.population.domains
    temporary = domains["dns_temporary_rate"].to_numpy(dtype=np.float64)
    end *= 1 - temporary
    gone = domains["dns"].to_numpy() != Dns.OK
    end[:, :, gone] = 0.0
    for i, setting in enumerate(settings):
        demand = tables.plain(setting)[0]
        end[i, _unsent(tables, demand, Seen.DNS_PERMANENT), gone] = 1 - temporary[gone]
        end[i, _unsent(tables, demand, Seen.DNS_TEMPORARY)] += temporary
    return end


def _unsent(tables: Tables, demand: Demand, seen: Seen) -> int:
    bounces = tables.outcome[demand, seen, 0] in (Outcome.BOUNCE_ALL, Outcome.BOUNCE_NOW, Outcome.BOUNCE_MESSAGE)
    return _BOUNCED if bounces else _DEFERRED
