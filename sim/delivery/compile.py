"""compile(): a Scenario becomes a World. Names turn into keys, rates into thresholds, seconds into microseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.delivery import world as w
from sim.delivery.arrays import US, WHOLE, Int64, codes, microseconds, pool_members, row_starts, threshold, whole
from sim.delivery.changes import arrival_rates, phases_of, planned_outages
from sim.delivery.draws import name_key
from sim.delivery.quantiles import MOST_RECIPIENTS, count_thresholds, quantile_table, unit_table
from sim.delivery.rules import COUNTED, HOUR_TICKS
from sim.errors import PolicyError, ScenarioError, WorkloadError
from sim.policy.decide import Tables as PolicyTables
from sim.policy.destinations import Entry
from sim.policy.profile import Queueing
from sim.results.labels import Labels
from sim.scenario import Scenario
from sim.terms import Dns, LimitType, Stage, TlsVersion
from sim.world.shapes import Shape, as_shape

if TYPE_CHECKING:
    import pandas as pd

#: Beyond, the gap between two arrivals would be a few ticks of the engine's integers, and rounding would show.
MOST_A_DAY_TO_ONE = 2_000_000_000
#: Tries of one message; each takes a number of its 2**20 openings, and one more a reconnection in clear.
MOST_TRIES = 1 << 18
#: Of messages on a connection, retries or connections, where a sender limits none.
NO_LIMIT = 1 << 40
#: A message of this size to the slowest host a population may have still fits the engine's integers.
LARGEST_BYTES = 1 << 31
_DNS_STAGE = {Dns.OK: -1, Dns.NXDOMAIN: int(Stage.NXDOMAIN), Dns.NULL_MX: int(Stage.NULL_MX)}


def compile_world(scenario: Scenario) -> w.World:
    """Return the World of a scenario.

    Raises
    ------
    ScenarioError, WorkloadError, PolicyError
        When a part of the scenario cannot be expressed in the World's integers.
    """
    population, policy = scenario.population, scenario.policy
    tables, queueing = scenario.tables, scenario.profile.queueing
    names: list[str] = population.domains["domain"].tolist()
    entry_of = policy.match(names)
    entries = [policy.resolved(i) for i in range(len(policy.entries))] + [policy.resolved(-1)]
    entry_of = np.where(entry_of < 0, len(entries) - 1, entry_of)
    entry_settings = codes([scenario.own_setting(e.tls) for e in entries if e.tls is not None])
    route_start = row_starts(population.routes["domain"].to_numpy(), len(names))
    backend_start = row_starts(population.backends["host"].to_numpy(), len(population.hosts))
    if queueing is None:
        slots, slot_of_route = _slots(entries, entry_of, route_start)
        waits_us, wait_rows = _schedules(scenario, entries, entry_of)
        _check_openings(scenario, entries)
    else:
        slots, slot_of_route = _own_slots(queueing, route_start)
        waits_us, wait_rows = _own_schedule(queueing, len(names))
    trace, trace_start = _trace(scenario, names)
    planned, planned_start = planned_outages(scenario)
    knots_us, ticks_before, profile = arrival_rates(scenario)
    accept_tables, accept_row = _acceptance(scenario)
    return w.World(
        destinations=_destinations(
            scenario, profile, _limits(scenario, entries, entry_of), route_start, wait_rows, trace_start
        ),
        routes=w.Routes(
            host=whole(population.routes["host"]),
            preference=whole(population.routes["preference"]),
            slot=slot_of_route,
            seen_start=pool_members(population, backend_start)[2],
        ),
        slots=slots,
        hosts=_hosts(population.hosts, accept_row, backend_start, planned_start),
        backends=_backends(population.backends, backend_start),
        phases=phases_of(scenario, tables, backend_start),
        rules=_rules(scenario, tables),
        tables=_tables(scenario, accept_tables, knots_us, ticks_before),
        planned_outages=planned,
        waits_us=waits_us,
        trace=trace,
        labels=Labels(
            domains=tuple(names),
            providers=tuple(population.domains["provider"].tolist()),
            entries=(*(e.domain for e in entries[:-1]), "(Default)"),
            entry_of=entry_of.astype(np.int64),
            setting_of=entry_settings[entry_of],
            hosts=tuple(population.hosts["host"].tolist()),
            route_host=whole(population.routes["host"]),
            entry_settings=entry_settings,
            setting_names=tuple(setting.label for setting in scenario.profile.settings),
        ),
    )


def _destinations(
    scenario: Scenario,
    profile: Int64,
    limits: Mapping[str, Int64],
    route_start: Int64,
    wait_rows: tuple[Int64, Int64],
    trace_start: Int64,
) -> w.Destinations:
    domains = scenario.population.domains
    first, rescued = domains["first_4yz_rate"].to_numpy(), domains["rescued_share"].to_numpy()
    lasting, refused = domains["persistent_4yz_share"].to_numpy(), domains["refused_5yz_rate"].to_numpy()
    return w.Destinations(
        key=_keys(domains["domain"].tolist()),
        gap_ticks=_gaps(scenario),
        trace_start=trace_start,
        profile=profile,
        dns_stage=codes([_DNS_STAGE[Dns(d)] for d in domains["dns"]]),
        dns_temporary=threshold(domains["dns_temporary_rate"]),
        persistent_4yz=threshold(first * (1 - rescued) * lasting),
        late_5yz=threshold(first * (1 - rescued)),
        first_4yz=threshold(first),
        refused_5yz=threshold(np.minimum(first + refused, 1.0)),
        new_pair=threshold(domains["new_pair_rate"]),
        greylist_us=microseconds(domains["greylist_s"]),
        **limits,
        wait_start=wait_rows[0],
        wait_stop=wait_rows[1],
        route_start=route_start,
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


def _gaps(scenario: Scenario) -> Int64:
    """Mean gap between a destination's arrivals, in ticks of operational time (see ``rules.HOUR_TICKS``)."""
    if scenario.workload.trace is not None:
        return np.zeros(len(scenario.population.domains), dtype=np.int64)
    weight = scenario.population.domains["messages"].to_numpy(dtype=np.float64)
    per_day = scenario.workload.messages_per_day
    rate = weight if per_day is None else weight * (per_day / weight.sum())
    if rate.max() > MOST_A_DAY_TO_ONE:
        raise WorkloadError(
            f"messages_per_day: {rate.max():,.0f} of them go to one destination; allowed: up to {MOST_A_DAY_TO_ONE:,}"
        )
    with np.errstate(divide="ignore"):
        gap = np.where(rate > 0, 24.0 * HOUR_TICKS / rate, 0.0)
    return np.rint(np.minimum(gap, 2.0**55)).astype(np.int64)


def _trace(scenario: Scenario, names: Sequence[str]) -> tuple[Int64, Int64]:
    frame = scenario.workload.trace
    if frame is None:
        return np.zeros((0, 3), dtype=np.int64), np.zeros(len(names) + 1, dtype=np.int64)
    row_of = {name.lower(): i for i, name in enumerate(names)}
    unknown = sorted(set(frame["domain"]) - set(row_of))
    if unknown:
        raise ScenarioError(f"trace: {len(unknown)} of its domains are not in the population, such as {unknown[0]!r}")
    _check_trace(frame, scenario.days)
    row = np.array([row_of[d] for d in frame["domain"]], dtype=np.int64)
    arrival = microseconds(frame["time_s"])
    order = np.lexsort((arrival, row))
    columns = (arrival, whole(frame["size_bytes"]), whole(frame["recipients"]))
    return np.stack([c[order] for c in columns], axis=1), row_starts(row[order], len(names))


def _check_trace(frame: pd.DataFrame, days: float) -> None:
    """Refuse rows that would not be sent as they stand."""
    late = int((frame["time_s"] >= days * 86_400).sum())
    if late:
        raise WorkloadError(
            f"trace: {late} of {len(frame)} rows lie at or after the end of the arrival window; allowed: time_s below "
            f"{days * 86_400:g} (days = {days:g}), or more days"
        )
    for column, most in (("size_bytes", LARGEST_BYTES), ("recipients", MOST_RECIPIENTS)):
        if len(frame) and frame[column].max() > most:
            raise WorkloadError(f"trace: {column} = {frame[column].max()}; allowed: up to {most}")


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


def _hosts(hosts: pd.DataFrame, accept_row: Int64, backend_start: Int64, planned_start: Int64) -> w.Hosts:
    down, mean_s = hosts["outage_share"].to_numpy(), hosts["outage_mean_s"].to_numpy()
    cycle = np.where(down > 0, np.rint(mean_s * US / np.where(down > 0, down, 1.0)), 0)
    if (cycle >= 2.0**46).any():
        raise ScenarioError(
            "outage_share: so rare an outage does not fit the clock; allowed: 0, or a cycle below 2 years"
        )
    return w.Hosts(
        key=_keys(hosts["host"].tolist()),
        rtt_us=np.maximum(microseconds(hosts["rtt_s"]), 1),
        us_per_mib=np.rint(US * 2.0**20 / hosts["throughput_bytes_per_s"].to_numpy()).astype(np.int64),
        accept_us=microseconds(hosts["accept_median_s"]),
        accept_table=accept_row,
        outage_us=np.where(down > 0, microseconds(mean_s), 0),
        outage_cycle_us=cycle.astype(np.int64),
        unreachable_us=microseconds(hosts["unreachable_s"]),
        backend_start=backend_start,
        planned_start=planned_start,
    )


def _backends(backends: pd.DataFrame, backend_start: Int64) -> w.Backends:
    weight = backends["weight"].to_numpy(dtype=np.float64)
    total = np.cumsum(weight)
    before = np.concatenate([[0.0], total])[backend_start[backends["host"].to_numpy()]]
    chosen = threshold(np.minimum(total - before, 1.0))
    chosen[backend_start[1:] - 1] = WHOLE
    version = backends["tls_version"].to_numpy()
    return w.Backends(
        chosen=chosen,
        handshake_round_trips=np.where(version < TlsVersion.TLS_1_3, 2, 1).astype(np.int64),
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


def _tables(scenario: Scenario, accept_tables: Int64, knots_us: Int64, ticks_before: Int64) -> w.Tables:
    from scipy.stats import expon

    workload = scenario.workload
    recipient_shape = as_shape(workload.recipients, what="recipients", low=1.0)
    size_shape = as_shape(workload.size_bytes, what="size_bytes", low=0.0)
    below, recipients = count_thresholds(recipient_shape, what="recipients")
    exponential = unit_table(expon(), what="gap between arrivals")
    return w.Tables(
        gap=exponential,
        outage=exponential,
        accept=accept_tables,
        size_bytes=_sizes(size_shape),
        recipients_below=below,
        recipients=recipients,
        knots_us=knots_us,
        ticks_before=ticks_before,
    )


def _sizes(shape: Shape) -> Int64:
    table = quantile_table(shape, scale=1.0, what="size_bytes")
    if table.max() > LARGEST_BYTES:
        raise WorkloadError(f"size_bytes: quantiles reach {table.max():,}; allowed: up to {LARGEST_BYTES:,} bytes")
    return table


class _LogNormal:
    """Quantiles of a log-normal with median 1, by scipy's inverse normal."""

    def __init__(self, sigma: float) -> None:
        self.sigma = sigma

    def ppf(self, probability: NDArray[np.float64], /) -> ArrayLike:
        from scipy.special import ndtri

        return np.exp(self.sigma * ndtri(probability))

    def mean(self) -> float:
        return float(np.exp(self.sigma**2 / 2))


def _acceptance(scenario: Scenario) -> tuple[Int64, Int64]:
    sigma = scenario.population.hosts["accept_sigma"].to_numpy(dtype=np.float64)
    if scenario.acceptance is not None:
        return unit_table(scenario.acceptance, what="acceptance")[None, :], np.zeros(len(sigma), dtype=np.int64)
    different, row = np.unique(sigma, return_inverse=True)
    shapes: list[Shape] = [_LogNormal(float(s)) for s in different]
    return np.stack([unit_table(s, what="acceptance") for s in shapes]), row.astype(np.int64)


def _keys(names: Sequence[str]) -> Int64:
    return np.array([name_key(n) for n in names], dtype=np.int64)
