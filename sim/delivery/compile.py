"""compile(): a Scenario becomes a World. Names turn into keys, rates into thresholds, seconds into microseconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim.delivery import world as w
from sim.delivery.arrays import US, Int64, codes, microseconds, row_starts
from sim.delivery.changes import phases_of
from sim.delivery.ground import ground_of
from sim.delivery.rules import COUNTED
from sim.errors import PolicyError
from sim.policy.decide import Tables as PolicyTables
from sim.policy.destinations import Entry
from sim.policy.profile import Queueing
from sim.results.labels import Labels
from sim.scenario import Scenario
from sim.terms import LimitType

#: Tries of one message; each takes a number of its 2**20 openings, and one more a reconnection in clear.
MOST_TRIES = 1 << 18
#: Of messages on a connection, retries or connections, where a sender limits none.
NO_LIMIT = 1 << 40


def compile_world(scenario: Scenario) -> w.World:
    """Return the World of a scenario.

    Raises
    ------
    ScenarioError, WorkloadError, PolicyError
        When a part of the scenario cannot be expressed in the World's integers.
    """
    population, policy = scenario.population, scenario.policy
    tables, queueing = scenario.tables, scenario.profile.queueing
    names = population.names
    entry_of = policy.match(names)
    entries = [policy.resolved(i) for i in range(len(policy.entries))] + [policy.resolved(-1)]
    entry_of = np.where(entry_of < 0, len(entries) - 1, entry_of)
    entry_settings = codes([scenario.own_setting(e.tls) for e in entries if e.tls is not None])
    route_start = row_starts(population.routes["domain"].to_numpy(), len(names))
    if queueing is None:
        slots, slot_of_route = _slots(entries, entry_of, route_start)
        waits_us, wait_rows = _schedules(scenario, entries, entry_of)
        _check_openings(scenario, entries)
    else:
        slots, slot_of_route = _own_slots(queueing, route_start)
        waits_us, wait_rows = _own_schedule(queueing, len(names))
    ground = ground_of(scenario)
    return w.World(
        destinations=w.Destinations(
            **ground.destinations,
            **_limits(scenario, entries, entry_of),
            wait_start=wait_rows[0],
            wait_stop=wait_rows[1],
        ),
        routes=w.Routes(**ground.routes, slot=slot_of_route),
        slots=slots,
        hosts=ground.hosts,
        backends=ground.backends,
        phases=phases_of(scenario, tables, ground.peers),
        rules=_rules(scenario, tables),
        tables=ground.tables,
        planned_outages=ground.planned_outages,
        waits_us=waits_us,
        trace=ground.trace,
        labels=Labels(
            domains=names.texts,
            providers=population.providers,
            entries=(*(e.domain for e in entries[:-1]), "(Default)"),
            entry_of=entry_of.astype(np.int64),
            setting_of=entry_settings[entry_of],
            hosts=population.host_names.texts,
            route_host=ground.routes["host"],
            entry_settings=entry_settings,
            setting_names=tuple(setting.label for setting in scenario.profile.settings),
        ),
    )


def _limits(scenario: Scenario, entries: Sequence[Entry], entry_of: Int64) -> dict[str, Int64]:
    """Return messages on one connection, time in queue and retries of each destination's mail."""
    queueing = scenario.profile.queueing
    if queueing is not None:
        own = {
            "max_messages": queueing.messages_per_connection or NO_LIMIT,
            "lifetime_us": round(queueing.lifetime_s * US),
            "max_retries": NO_LIMIT if queueing.max_retries is None else queueing.max_retries,
        }
        return {name: np.full(len(entry_of), value, dtype=np.int64) for name, value in own.items()}
    profiles = [scenario.policy.profile(e.bounce_profile or "Default") for e in entries]
    return {
        "max_messages": codes([e.max_messages_per_connection for e in entries])[entry_of],
        "lifetime_us": microseconds([p.max_queue_time_s for p in profiles])[entry_of],
        "max_retries": codes([p.max_retries for p in profiles])[entry_of],
    }


def _slots(entries: Sequence[Entry], entry_of: Int64, route_start: Int64) -> tuple[w.Slots, Int64]:
    """One limit counter a destination, or one a route where limits apply to each MX address."""
    by_route = np.array([e.limit_type == LimitType.MXIP for e in entries])[entry_of]
    routes = np.diff(route_start)
    per_destination = np.where(by_route, np.maximum(routes, 1), 1)
    first_slot = np.concatenate([[0], np.cumsum(per_destination)[:-1]]).astype(np.int64)
    owner = np.repeat(np.arange(len(entry_of)), routes)
    position = np.arange(route_start[-1]) - route_start[owner]
    entry_of_slot = entry_of[np.repeat(np.arange(len(entry_of)), per_destination)]
    minutes = codes([e.recipient_minutes or 0 for e in entries])
    limit = codes([e.recipient_limit or 0 for e in entries])
    return w.Slots(
        connections=codes([e.max_host_concurrency for e in entries])[entry_of_slot],
        recipients=np.where(minutes > 0, limit, 0)[entry_of_slot],
        window_us=(minutes * 60 * US)[entry_of_slot],
    ), (first_slot[owner] + np.where(by_route[owner], position, 0)).astype(np.int64)


def _own_slots(queueing: Queueing, route_start: Int64) -> tuple[w.Slots, Int64]:
    """One limit counter a destination; recipients are not limited."""
    count = len(route_start) - 1
    return w.Slots(
        connections=np.full(count, queueing.connections or NO_LIMIT, dtype=np.int64),
        recipients=np.zeros(count, dtype=np.int64),
        window_us=np.zeros(count, dtype=np.int64),
    ), np.repeat(np.arange(count), np.diff(route_start)).astype(np.int64)


def _schedules(scenario: Scenario, entries: Sequence[Entry], entry_of: Int64) -> tuple[Int64, tuple[Int64, Int64]]:
    waits = [microseconds(scenario.policy.profile(e.bounce_profile or "Default").waits_s()) for e in entries]
    start = np.cumsum([0, *map(len, waits)]).astype(np.int64)
    return np.concatenate(waits), (start[entry_of], start[entry_of + 1])


def _own_schedule(queueing: Queueing, count: int) -> tuple[Int64, tuple[Int64, Int64]]:
    """Return the one schedule all destinations share.

    Raises
    ------
    PolicyError
        When a message could open more connections than its draws have numbers for.
    """
    waits_us = microseconds(queueing.waits_s)
    _check_tries("lifetime_s", queueing.lifetime_s, max(min(queueing.waits_s), queueing.scan_s))
    return waits_us, (np.zeros(count, dtype=np.int64), np.full(count, len(waits_us), dtype=np.int64))


def _check_openings(scenario: Scenario, entries: Sequence[Entry]) -> None:
    """Refuse schedules under which a message could open more connections than its draws have numbers for."""
    host_waits_s = scenario.policy.host_retry.waits_s()
    for name in {e.bounce_profile or "Default" for e in entries}:
        profile = scenario.policy.profile(name)
        least_s = min(*host_waits_s, *profile.waits_s())
        _check_tries(f"[{profile.name}] max_queue_time_s", profile.max_queue_time_s, least_s)


def _check_tries(field: str, lifetime_s: float, least_wait_s: float) -> None:
    if (tries := lifetime_s / least_wait_s) > MOST_TRIES:
        raise PolicyError(
            f"{field} = {lifetime_s:g}: {tries:,.0f} tries at the shortest wait; allowed: up to {MOST_TRIES:,}, so a "
            "shorter time in queue or a longer first wait"
        )


def _rules(scenario: Scenario, tables: PolicyTables) -> w.Rules:
    switches, profile = scenario.delivery, scenario.profile
    queueing = profile.queueing
    return w.Rules(
        seen_at=codes(tables.seen[:, 1, 0, 0]),
        outcome=codes(tables.outcome),
        reason=codes(tables.reason),
        host_waits_us=microseconds(scenario.policy.host_retry.waits_s()),
        idle_us=max(1, round(switches.idle_timeout_s * US)),
        dns_us=round(switches.dns_s * US),
        dns_timeout_us=max(1, round(switches.dns_timeout_s * US)),
        handshake_timeout_us=round(switches.handshake_timeout_s * US),
        window_us=round(scenario.days * 86_400 * US),
        until_us=-1 if scenario.until_s is None else round(scenario.until_s * US),
        messages_per_opening=switches.messages_per_opening,
        max_connections=switches.max_connections,
        new_mail_probes=int(switches.new_mail_probes),
        success_releases_all=int(switches.success_releases == "all"),
        expire_at_lifetime=int(switches.expire == "at_lifetime"),
        retry_by_message=int(queueing is not None),
        counted=COUNTED.index(queueing.counted) if queueing else 0,
        scan_us=round(queueing.scan_s * US) if queueing else 0,
        dead_us=round(queueing.dead_s * US) if queueing else 0,
        aged_after_us=-1 if profile.aged_after_s is None else round(profile.aged_after_s * US),
        aged_after_tls_failure=int(profile.aged_after_tls_failure),
    )
