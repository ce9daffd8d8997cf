"""Random Worlds for property tests: small, and with every feature of the model somewhere among them.

Coarse worlds have a clock of whole seconds, so that events fall on the same instant all the time; fine
ones draw their times from distributions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.delivery import world as w
from sim.delivery.draws import name_key
from sim.delivery.quantiles import quantile_table, tail_knots, unit_table
from sim.delivery.rules import COUNTED, HOUR_TICKS, HOUR_US, UNIT_BITS
from sim.policy.decide import NOT_USED, PLAIN, Tables
from sim.policy.profiles import esa
from sim.results.labels import Labels
from sim.terms import Demand, Outcome, Reason, Seen, Setting, Stage

Int64 = NDArray[np.int64]
S = 1_000_000
WHOLE = 1 << 32
CLEAR, VERIFY = int(Demand.CLEAR), int(Demand.VERIFY)


def ints(values: object) -> Int64:
    return np.asarray(values, dtype=np.int64)


def starts(counts: Int64) -> Int64:
    return ints(np.concatenate([[0], np.cumsum(counts)]))


def threshold(rate: object) -> Int64:
    return np.rint(np.asarray(rate, dtype=np.float64) * WHOLE).astype(np.int64)


def constant_table() -> Int64:
    return np.full(2 * len(tail_knots()), 1 << UNIT_BITS, dtype=np.int64)


class LogNormal:
    def __init__(self, sigma: float) -> None:
        self.sigma = sigma

    def ppf(self, probability: NDArray[np.float64], /) -> NDArray[np.float64]:
        from scipy.special import ndtri

        return np.asarray(np.exp(self.sigma * ndtri(probability)))

    def mean(self) -> float:
        return float(np.exp(self.sigma**2 / 2))


def random_world(seed: int, *, coarse: bool = True, messages: int = 40, setting: Setting | None = None) -> w.World:
    """Return a world of one to four destinations under random policies, limits, failures and switches: a gateway's."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 5))
    hosts = int(rng.integers(1, 6))
    pool = rng.integers(1, 4, hosts)
    routes = rng.integers(1, 4, count)
    by_route = rng.random(count) < 0.3
    switches = esa.Switches(
        pv_after_220=str(rng.choice(["clear", "fail"])),
        starttls_5xx_required=str(rng.choice(["queue", "bounce"])),
        tls_failure_next_mx=bool(rng.random() < 0.8),
    )
    tables = esa.tables(switches)
    settings = rng.integers(0, 6, count) if setting is None else np.full(count, int(setting))
    backends = _backends(rng, pool)
    slot_owner = np.where(by_route, routes, 1)
    slot_start = starts(slot_owner)
    owner = np.repeat(np.arange(count), routes)
    position = np.arange(routes.sum()) - starts(routes)[owner]
    route_host = rng.integers(0, hosts, routes.sum())
    seen_start = starts(pool[route_host])
    profile = rng.integers(1, 4, count)
    waits = [rng.choice([1, 2, 5, 20, 60], n) * S for n in profile]
    trace, trace_start = _trace(rng, count, messages, coarse)
    planned, planned_start = _planned(rng, hosts)
    return w.World(
        destinations=w.Destinations(
            key=ints([name_key(f"d{i}.example") for i in range(count)]),
            gap_ticks=np.zeros(count, dtype=np.int64),
            trace_start=trace_start,
            profile=np.zeros(count, dtype=np.int64),
            dns_stage=ints(rng.choice([-1, -1, -1, -1, -1, -1, int(Stage.NXDOMAIN), int(Stage.NULL_MX)], count)),
            dns_temporary=threshold(rng.choice([0.0, 0.0, 0.2], count)),
            persistent_4yz=threshold(rng.choice([0.0, 0.05], count)),
            late_5yz=threshold(np.full(count, 0.1)),
            first_4yz=threshold(rng.choice([0.1, 0.4], count)),
            refused_5yz=threshold(rng.choice([0.4, 0.5], count)),
            new_pair=threshold(np.full(count, 0.5)),
            greylist_us=ints(rng.choice([0, 0, 3, 40], count) * S),
            max_messages=ints(rng.choice([1, 2, 5, 50], count)),
            lifetime_us=ints(rng.choice([10, 60, 400], count) * S),
            max_retries=ints(rng.choice([0, 1, 3, 100], count)),
            wait_start=starts(profile)[:-1],
            wait_stop=starts(profile)[1:],
            route_start=starts(routes),
        ),
        routes=w.Routes(
            host=ints(route_host),
            preference=ints(np.sort(rng.integers(0, 2, routes.sum())) if rng.random() < 0.5 else position),
            slot=ints(slot_start[owner] + np.where(by_route[owner], position, 0)),
            seen_start=seen_start[:-1],
        ),
        slots=w.Slots(
            connections=ints(rng.choice([1, 2, 4, 50], slot_owner.sum())),
            recipients=ints(rng.choice([0, 0, 2, 5], slot_owner.sum())),
            window_us=ints(rng.choice([5, 30], slot_owner.sum()) * S),
        ),
        hosts=_hosts(rng, hosts, pool, coarse, planned_start),
        backends=backends,
        phases=_phases(rng, settings, setting is None, tables, (owner, int(pool.sum()), int(seen_start[-1]))),
        rules=_rules(rng, tables),
        tables=_tables(coarse),
        planned_outages=planned,
        waits_us=ints(np.concatenate(waits)),
        trace=trace,
        labels=labels_for(count, hosts, settings, route_host),
    )


def labels_for(count: int, hosts: int, settings: Int64, route_host: Int64) -> Labels:
    return Labels(
        domains=tuple(f"d{i}.example" for i in range(count)),
        providers=("none",) * count,
        entries=("(Default)",),
        entry_of=np.zeros(count, dtype=np.int64),
        setting_of=ints(settings),
        hosts=tuple(f"mx{i}.example" for i in range(hosts)),
        route_host=ints(route_host),
    )


def with_rules(world: w.World, **changes: Any) -> w.World:
    """Return a world with other switches."""
    return replace(world, rules=replace(world.rules, **changes))


def with_lifetime(world: w.World, *, times: int) -> w.World:
    """Return a world whose mail may stay in the queue so many times as long."""
    lifetime_us = ints(world.destinations.lifetime_us * times)
    return replace(world, destinations=replace(world.destinations, lifetime_us=lifetime_us))


def with_narrow_limits(world: w.World, seed: int) -> w.World:
    """Return a world whose windows hold up most mail, with room for connections that then wait for them."""
    rng = np.random.default_rng(seed)
    count = len(world.slots.connections)
    limits = replace(
        world.slots, recipients=ints(rng.integers(1, 6, count)), connections=ints(rng.integers(2, 5, count))
    )
    return replace(world, slots=limits)


def with_random_tables(world: w.World, seed: int) -> w.World:
    """Return a world of a sender nobody has: any outcome may follow any evidence, as far as the model allows.

    A look-up that failed neither delivers nor reconnects, and a connection in clear never reconnects.
    """
    rng = np.random.default_rng(seed)
    outcome = rng.integers(0, len(Outcome), (len(Demand), len(Seen), 2))
    outcome[rng.random(outcome.shape[:2]) < 0.5, 1] = Outcome.RECONNECT_CLEAR
    look_up = slice(Seen.UNREACHABLE)
    outcome[:, look_up] = rng.integers(Outcome.NEXT_HOST, len(Outcome), outcome[:, look_up].shape)
    outcome[CLEAR][outcome[CLEAR] == Outcome.RECONNECT_CLEAR] = Outcome.NEXT_HOST
    reason = rng.integers(0, len(Reason), outcome.shape[:2])
    return replace(world, rules=replace(world.rules, outcome=ints(outcome), reason=ints(reason)))


def with_other_demands(world: w.World, seed: int) -> w.World:
    """Return a world in which some MX hosts publish something, so that demands differ between routes of a destination.

    Among them are demands under which an MX host is not used at all.
    """
    rng = np.random.default_rng([seed, 4])
    demand = world.phases.demand.copy()
    drawn = rng.random(demand.shape) < 0.5
    demand[drawn] = rng.choice([*NOT_USED, Demand.DANE, Demand.MTA_STS, CLEAR], int(drawn.sum()))
    return replace(world, phases=replace(world.phases, demand=ints(demand)))


def with_ceiling(world: w.World, seed: int) -> w.World:
    """Return a world in which few connections may be open at once, whatever destination they go to."""
    return with_rules(world, max_connections=int(np.random.default_rng([seed, 8]).choice([1, 2, 3, 5])))


def with_retry_by_message(world: w.World, seed: int) -> w.World:
    """Return a world of a sender that retries message by message, by one of the ways to count, dead hosts or none."""
    rng = np.random.default_rng([seed, 5])
    destinations = world.destinations
    retries = rng.choice([0, 1, 3, 1 << 40], len(destinations.key))
    often = rng.choice([1, 2, 1 << 40], len(destinations.key))
    world = replace(world, destinations=replace(destinations, max_retries=ints(retries), max_messages=ints(often)))
    return with_rules(
        world,
        retry_by_message=1,
        counted=int(rng.integers(len(COUNTED))),
        scan_us=int(rng.choice([0, 0, 3, 10])) * S,
        dead_us=int(rng.choice([0, 0, 2, 15])) * S,
    )


def with_ageing(world: w.World, seed: int) -> w.World:
    """Return a world whose messages age, by their age or by a failure of TLS, and then may go in clear."""
    rng = np.random.default_rng([seed, 6])
    outcome = world.rules.outcome.copy()
    in_clear = rng.random(outcome.shape[:2]) < 0.5
    in_clear[CLEAR] = in_clear[:, : Seen.NOT_OFFERED] = False
    outcome[in_clear, 1] = Outcome.RECONNECT_CLEAR
    aged_after = int(rng.choice([-1, 0, 5, 20]))
    return with_rules(
        world,
        outcome=ints(outcome),
        aged_after_us=aged_after if aged_after < 0 else aged_after * S,
        aged_after_tls_failure=int(aged_after < 0 or rng.random() < 0.3),
    )


def _trace(rng: np.random.Generator, count: int, messages: int, coarse: bool) -> tuple[Int64, Int64]:
    per_destination = rng.integers(1, messages + 1, count)
    span = int(rng.choice([3, 30, 300]))
    rows = []
    for n in per_destination:
        times = np.sort(rng.integers(0, span, n) * S if coarse else rng.integers(0, span * S, n))
        rows.append(np.stack([times, rng.integers(0, 50_000, n), rng.choice([1, 1, 2, 3, 7], n)], axis=1))
    return ints(np.concatenate(rows)), starts(per_destination)


def _planned(rng: np.random.Generator, hosts: int) -> tuple[Int64, Int64]:
    counts = rng.choice([0, 0, 0, 1, 2], hosts)
    begins = rng.integers(0, 60, counts.sum()) * S
    return np.stack([begins, begins + rng.integers(1, 60, counts.sum()) * S], axis=1), starts(counts)


def _phases(
    rng: np.random.Generator, settings: Int64, policies: bool, tables: Tables, rows: tuple[Int64, int, int]
) -> w.Phases:
    """Return one phase, or up to three that differ in everything a phase may differ in."""
    owner, backends, members = rows
    routes = len(owner)
    count = int(rng.choice([1, 1, 2, 3]))
    changed = rng.random((count, len(settings))) < 0.5
    changed[0] = False
    changed &= policies
    stage = np.cumsum(rng.dirichlet(np.full(11, 0.3), (count, backends))[:, :, :10], axis=2)
    stage[rng.random((count, backends)) < 0.5] *= 0.1
    seen = [Seen.UNTRUSTED, Seen.EXPIRED, Seen.MISMATCH, Seen.VERIFIED]
    begins_us = ints(np.concatenate([[0], np.sort(rng.choice(40, count - 1, replace=False) + 1)]) * S)
    setting = np.where(changed, rng.integers(0, 6, changed.shape), settings)
    return w.Phases(
        begins_us=begins_us,
        setting=ints(setting),
        demand=ints(tables.demand[(slice(None), *PLAIN)][setting[:, owner]]),
        stripped=ints(rng.random((count, routes)) < 0.15),
        stage=threshold(stage),
        seen_tls=ints(rng.choice(seen, (count, members))),
    )


def _hosts(rng: np.random.Generator, hosts: int, pool: Int64, coarse: bool, planned_start: Int64) -> w.Hosts:
    return w.Hosts(
        key=ints([name_key(f"mx{i}.example") for i in range(hosts)]),
        rtt_us=ints(rng.choice([1, 2], hosts) * S if coarse else rng.integers(1, 2 * S, hosts)),
        us_per_mib=ints(np.zeros(hosts) if coarse else rng.integers(0, 4 * S, hosts)),
        accept_us=ints(rng.choice([0, 1, 5], hosts) * S),
        accept_table=np.zeros(hosts, dtype=np.int64),
        outage_us=ints(rng.choice([20, 60], hosts) * S),
        outage_cycle_us=ints(rng.choice([0, 0, 200], hosts) * S),
        unreachable_us=ints(rng.choice([1, 10, 90], hosts) * S),
        backend_start=starts(pool),
        planned_start=planned_start,
    )


def _backends(rng: np.random.Generator, pool: Int64) -> w.Backends:
    total = int(pool.sum())
    chosen = np.concatenate([threshold(np.arange(1, n + 1) / n) for n in pool])
    return w.Backends(chosen=chosen, handshake_round_trips=ints(rng.integers(1, 3, total)))


def _rules(rng: np.random.Generator, tables: Tables) -> w.Rules:
    return w.Rules(
        seen_at=ints(tables.seen[:, 1, 0, 0]),
        outcome=ints(tables.outcome),
        reason=ints(tables.reason),
        host_waits_us=ints(rng.choice([1, 4, 20], int(rng.integers(1, 4))) * S),
        idle_us=int(rng.choice([1, 5, 30])) * S,
        dns_us=int(rng.choice([0, 1])) * S,
        dns_timeout_us=int(rng.choice([1, 5])) * S,
        handshake_timeout_us=7 * S,
        window_us=86_400 * S,
        until_us=-1,
        messages_per_opening=int(rng.choice([1, 1, 3])),
        max_connections=10_000,
        new_mail_probes=int(rng.random() < 0.3),
        success_releases_all=int(rng.random() < 0.3),
        expire_at_lifetime=int(rng.random() < 0.3),
        retry_by_message=0,
        counted=0,
        scan_us=0,
        dead_us=0,
        aged_after_us=-1,
        aged_after_tls_failure=0,
    )


def _tables(coarse: bool) -> w.Tables:
    accept = constant_table() if coarse else unit_table(LogNormal(0.8), what="acceptance")
    return w.Tables(
        gap=constant_table(),
        outage=constant_table(),
        accept=accept[None, :],
        size_bytes=quantile_table(LogNormal(1.0), scale=20_000.0, what="size"),
        recipients_below=ints([WHOLE]),
        recipients=ints([1]),
        knots_us=ints(np.arange(25) * HOUR_US),
        ticks_before=ints([np.arange(25) * HOUR_TICKS]),
    )
