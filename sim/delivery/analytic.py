"""No clock: what one pass over a destination's MX hosts comes to, from probabilities times tables.

Per pass: a message that is deferred tries again. :mod:`sim.delivery.retry_sums` sums over the retries of a message
that is alone; queues and limits only the simulation follows.

Assumptions: hosts fail independently of each other; an outage is met with the share of time a host is down;
the reconnection in clear meets the same host, which is up, afresh; a domain whose equal preferences need more than
5,040 orders to share exactly is averaged over so many. Where they hold, simulated first passes
agree with these numbers (``tests/delivery/test_expected.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import lcm

import numpy as np
from numpy.typing import NDArray

from sim.delivery.arrays import RATE_COLUMNS, names_on_routes, pool_members, row_starts
from sim.policy.decide import Tables
from sim.policy.identity import rule_holds
from sim.policy.profiles import esa
from sim.scenario import Scenario
from sim.terms import Demand, Dns, NameRule, Outcome, Seen, Setting, Stage

Float = NDArray[np.float64]
Int64 = NDArray[np.int64]

#: What a pass can come to: columns of :func:`pass_probabilities` and of `sim.expected`.
ENDS = ("in_clear", "encrypted", "verified", "bounced", "deferred")
_BOUNCED, _DEFERRED = 3, 4
#: Outcomes that end a pass, in the order of `ENDS`, then the two that go on to the next host.
_STEPS = [
    int(step)
    for step in (
        Outcome.DELIVER_CLEAR, Outcome.DELIVER_ENCRYPTED, Outcome.DELIVER_VERIFIED, Outcome.BOUNCE_ALL, Outcome.RETRY,
        Outcome.NEXT_HOST, Outcome.BOUNCE_MESSAGE,
    )
]  # fmt: skip
_AFTER = len(ENDS)
_MOST_TURNS = 5_040


def pass_probabilities(
    scenario: Scenario, settings: Sequence[Setting] = tuple(Setting), *, outages: bool = True
) -> Float:
    """Return the probabilities of each end of a pass, shape (settings, domains, ENDS).

    Parameters
    ----------
    scenario, settings : as for `sim.expected`.
    outages : whether hosts are down their share of the time, or up.
    """
    tables = esa.tables(scenario.switches)
    routes = scenario.population.routes
    domain, preference = routes["domain"].to_numpy(), routes["preference"].to_numpy()
    evidence = _Evidence(scenario, tables)
    down = scenario.population.hosts["outage_share"].to_numpy(dtype=np.float64)[routes["host"].to_numpy()]
    down = down if outages else np.zeros_like(down)
    seen = {rule: evidence.seen(rule, tables) for rule in {tables.plain(s)[1] for s in settings}}
    on_route = np.empty((len(settings), len(_STEPS), len(domain)))
    for row, s in zip(on_route, settings, strict=True):
        demand, rule = tables.plain(s)
        _route_steps(row, seen[rule], down, demand, tables)
    end = np.zeros((len(settings), len(ENDS), len(scenario.population.domains)))
    for rows, orders in _route_orders(domain, preference, end.shape[2]):
        end[:, :, rows] = sum(_over_hosts(on_route, order) for order in orders) / len(orders)
    return np.moveaxis(_with_dns(scenario, end, tables, settings), 2, 1)


def host_evidence(scenario: Scenario, rule: NameRule) -> Float:
    """Return what each host may show on each route while it is up: P(Seen | route), shape (routes, Seen)."""
    tables = esa.tables(scenario.switches)
    return np.ascontiguousarray(_Evidence(scenario, tables).seen(rule, tables).T)


class _Evidence:
    """P(stage) per (route, backend) while the host is up, and what a completed handshake shows under each rule."""

    def __init__(self, scenario: Scenario, tables: Tables) -> None:
        population = scenario.population
        backends = population.backends
        start = row_starts(backends["host"].to_numpy(), len(population.hosts))
        self.route, self.backend, first = pool_members(population, start)
        rates = backends[list(RATE_COLUMNS)].to_numpy(dtype=np.float64)
        stage = np.zeros((len(backends), len(Stage)))
        stage[:, Stage.UNREACHABLE : Stage.TLS] = rates
        stage[:, Stage.TLS] = 1 - rates.sum(axis=1)
        weight = backends["weight"].to_numpy(dtype=np.float64)
        stage *= (weight / np.add.reduceat(weight, start[:-1])[backends["host"].to_numpy()])[:, None]
        low = backends["tls_version"].to_numpy() < scenario.lowest_tls
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
        self.version_ok = (backends["tls_version"].to_numpy() >= scenario.lowest_tls)[self.backend].astype(int)
        self.chain = backends["chain"].to_numpy()[self.backend]
        self.names = names_on_routes(population, self.route, self.backend)

    def seen(self, rule: NameRule, tables: Tables) -> Float:
        """Return P(Seen | route, host up), shape (Seen, routes)."""
        holds = rule_holds(rule, **self.names).astype(int)
        seen_tls = tables.seen[int(Stage.TLS), self.version_ok, self.chain, holds].astype(np.int64)
        cell = seen_tls * self.before_tls.shape[1] + self.route
        tls = np.bincount(cell, weights=self.tls, minlength=self.before_tls.size)
        return np.asarray(self.before_tls + tls.reshape(self.before_tls.shape))


def _route_steps(out: Float, up: Float, down: Float, demand: int, tables: Tables) -> None:
    """Write P(step | route), shape (steps, routes), with reconnections in clear carried through."""
    outcome = np.zeros((len(Outcome), up.shape[1]))
    for seen in Seen:
        outcome[tables.outcome[demand, seen, 0]] += up[seen]
    again = outcome[Outcome.RECONNECT_CLEAR]
    if again.any():
        for seen in Seen:
            outcome[tables.outcome[int(Demand.CLEAR), seen, 0]] += again * up[seen]
    outcome *= 1 - down
    outcome[tables.outcome[demand, Seen.UNREACHABLE, 0]] += down
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


def _with_dns(scenario: Scenario, end: Float, tables: Tables, settings: Sequence[Setting]) -> Float:
    """Put the look-up before the hosts: a temporary failure defers, NXDOMAIN and null MX bounce."""
    domains = scenario.population.domains
    temporary = domains["dns_temporary_rate"].to_numpy(dtype=np.float64)
    end *= 1 - temporary
    gone = domains["dns"].to_numpy() != Dns.OK
    end[:, :, gone] = 0.0
    for i, setting in enumerate(settings):
        permanent = int(tables.outcome[tables.plain(setting)[0], Seen.DNS_PERMANENT, 0])
        end[i, _BOUNCED if permanent == Outcome.BOUNCE_ALL else _DEFERRED, gone] = 1 - temporary[gone]
    end[:, _DEFERRED] += temporary
    return end
