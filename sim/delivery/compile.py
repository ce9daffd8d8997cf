"""compile(): a Scenario becomes a World. Names turn into keys, rates into thresholds, seconds into microseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.delivery import world as w
from sim.delivery.draws import name_key
from sim.delivery.quantiles import MOST_RECIPIENTS, count_thresholds, quantile_table, unit_table
from sim.delivery.rules import HOUR_TICKS
from sim.errors import PolicyError, ScenarioError, WorkloadError
from sim.policy.decide import Tables as PolicyTables
from sim.policy.destinations import Entry
from sim.policy.identity import rule_holds
from sim.policy.profiles import esa
from sim.results.labels import Labels
from sim.scenario import Scenario
from sim.terms import Dns, LimitType, NameRule, Stage, TlsVersion
from sim.world.population import Population
from sim.world.shapes import Shape, as_shape

if TYPE_CHECKING:
    import pandas as pd

Int64 = NDArray[np.int64]

US = 1_000_000
#: Beyond, the gap between two arrivals would be a few ticks of the engine's integers, and rounding would show.
MOST_A_DAY_TO_ONE = 2_000_000_000
#: Tries of one message; each takes a number of its 2**20 openings, and one more a reconnection in clear.
MOST_TRIES = 1 << 18
#: A message of this size to the slowest host a population may have still fits the engine's integers.
LARGEST_BYTES = 1 << 31
_WHOLE = 1 << 32
RATE_COLUMNS = (
    "unreachable_rate",
    "greeting_4xx_rate",
    "greeting_5xx_rate",
    "not_offered_rate",
    "refused_4xx_rate",
    "refused_5xx_rate",
    "lost_before_220_rate",
    "handshake_failed_rate",
    "lost_in_tls_rate",
)
_DNS_STAGE = {Dns.OK: -1, Dns.NXDOMAIN: int(Stage.NXDOMAIN), Dns.NULL_MX: int(Stage.NULL_MX)}


def compile_world(scenario: Scenario) -> w.World:
    """Return the World of a scenario.

    Raises
    ------
    ScenarioError, WorkloadError, PolicyError
        When a part of the scenario cannot be expressed in the World's integers.
    """
    population, policy = scenario.population, scenario.policy
    tables = esa.tables(scenario.switches)
    names: list[str] = population.domains["domain"].tolist()
    entry_of = policy.match(names)
    entries = [policy.resolved(i) for i in range(len(policy.entries))] + [policy.resolved(-1)]
    entry_of = np.where(entry_of < 0, len(entries) - 1, entry_of)
    settings = _column([e.tls for e in entries])[entry_of]
    route_start = row_starts(population.routes["domain"].to_numpy(), len(names))
    backend_start = row_starts(population.backends["host"].to_numpy(), len(population.hosts))
    slots, slot_of_route = _slots(entries, entry_of, route_start)
    waits_us, wait_start = _schedules(scenario, entries)
    _check_openings(scenario, entries)
    trace, trace_start = _trace(scenario, names)
    seen_tls, seen_start = _seen_tls(scenario, tables, settings, backend_start)
    accept_tables, accept_row = _acceptance(scenario)
    return w.World(
        destinations=_destinations(
            scenario, tables, settings, entries, entry_of, route_start, _wait_rows(wait_start, entry_of), trace_start
        ),
        routes=w.Routes(
            host=_int(population.routes["host"]),
            preference=_int(population.routes["preference"]),
            stripped=_int(population.routes["stripped"]),
            slot=slot_of_route,
            seen_start=seen_start,
        ),
        slots=slots,
        hosts=_hosts(population.hosts, accept_row, backend_start),
        backends=_backends(population.backends, backend_start, scenario.lowest_tls),
        rules=_rules(scenario, tables),
        tables=_tables(scenario, accept_tables),
        seen_tls=seen_tls,
        waits_us=waits_us,
        trace=trace,
        labels=Labels(
            domains=tuple(names),
            providers=tuple(population.domains["provider"].tolist()),
            entries=(*(e.domain for e in entries[:-1]), "(Default)"),
            entry_of=entry_of.astype(np.int64),
            setting_of=settings,
            hosts=tuple(population.hosts["host"].tolist()),
            route_host=_int(population.routes["host"]),
            entry_settings=_column([e.tls for e in entries]),
        ),
    )


def _destinations(
    scenario: Scenario,
    tables: PolicyTables,
    settings: Int64,
    entries: Sequence[Entry],
    entry_of: Int64,
    route_start: Int64,
    wait_rows: tuple[Int64, Int64],
    trace_start: Int64,
) -> w.Destinations:
    domains = scenario.population.domains
    profiles = [scenario.policy.profile(e.bounce_profile or "Default") for e in entries]
    first, rescued = domains["first_4yz_rate"].to_numpy(), domains["rescued_share"].to_numpy()
    lasting, refused = domains["persistent_4yz_share"].to_numpy(), domains["refused_5yz_rate"].to_numpy()
    return w.Destinations(
        key=_keys(domains["domain"].tolist()),
        gap_ticks=_gaps(scenario),
        trace_start=trace_start,
        demand=_column(tables.demand[settings]),
        dns_stage=_column([_DNS_STAGE[Dns(d)] for d in domains["dns"]]),
        dns_temporary=_threshold(domains["dns_temporary_rate"]),
        persistent_4yz=_threshold(first * (1 - rescued) * lasting),
        late_5yz=_threshold(first * (1 - rescued)),
        first_4yz=_threshold(first),
        refused_5yz=_threshold(np.minimum(first + refused, 1.0)),
        new_pair=_threshold(domains["new_pair_rate"]),
        greylist_us=_us(domains["greylist_s"]),
        max_messages=_column([e.max_messages_per_connection for e in entries])[entry_of],
        lifetime_us=_us([p.max_queue_time_s for p in profiles])[entry_of],
        max_retries=_column([p.max_retries for p in profiles])[entry_of],
        wait_start=wait_rows[0],
        wait_stop=wait_rows[1],
        route_start=route_start,
    )


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
    arrival = _us(frame["time_s"])
    order = np.lexsort((arrival, row))
    columns = (arrival, _int(frame["size_bytes"]), _int(frame["recipients"]))
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
    minutes = _column([e.recipient_minutes or 0 for e in entries])
    limit = _column([e.recipient_limit or 0 for e in entries])
    return w.Slots(
        connections=_column([e.max_host_concurrency for e in entries])[entry_of_slot],
        recipients=np.where(minutes > 0, limit, 0)[entry_of_slot],
        window_us=(minutes * 60 * US)[entry_of_slot],
    ), (first_slot[owner] + np.where(by_route[owner], position, 0)).astype(np.int64)


def _schedules(scenario: Scenario, entries: Sequence[Entry]) -> tuple[Int64, Int64]:
    waits = [_us(scenario.policy.profile(e.bounce_profile or "Default").waits_s()) for e in entries]
    return np.concatenate(waits), np.cumsum([0, *map(len, waits)]).astype(np.int64)


def _check_openings(scenario: Scenario, entries: Sequence[Entry]) -> None:
    """Refuse schedules under which a message could open more connections than its draws have numbers for."""
    host_waits_s = scenario.policy.host_retry.waits_s()
    for name in {e.bounce_profile or "Default" for e in entries}:
        profile = scenario.policy.profile(name)
        tries = profile.max_queue_time_s / min(*host_waits_s, *profile.waits_s())
        if tries > MOST_TRIES:
            raise PolicyError(
                f"[{profile.name}] max_queue_time_s = {profile.max_queue_time_s:g}: {tries:,.0f} tries at the shortest "
                f"wait; allowed: up to {MOST_TRIES:,}, so a shorter time in queue or a longer first wait"
            )


def _wait_rows(wait_start: Int64, entry_of: Int64) -> tuple[Int64, Int64]:
    return wait_start[entry_of], wait_start[entry_of + 1]


def _seen_tls(scenario: Scenario, tables: PolicyTables, settings: Int64, backend_start: Int64) -> tuple[Int64, Int64]:
    """What a completed handshake shows, per (route, backend): name rules run here, once."""
    population = scenario.population
    routes, backends = population.routes, population.backends
    route, backend, start = pool_members(population, backend_start)
    names = names_on_routes(population, route, backend)
    rule = tables.rule[settings[routes["domain"].to_numpy()[route]]]
    holds = np.zeros(len(route), dtype=bool)
    for name_rule in NameRule:
        wanted = rule == name_rule
        holds[wanted] = rule_holds(name_rule, **{k: v[wanted] for k, v in names.items()})
    version_ok = backends["tls_version"].to_numpy()[backend] >= scenario.lowest_tls
    chain = backends["chain"].to_numpy()[backend]
    return _column(tables.seen[int(Stage.TLS), version_ok.astype(int), chain, holds.astype(int)]), start


def pool_members(population: Population, backend_start: Int64) -> tuple[Int64, Int64, Int64]:
    """Return every (route, backend of its host) as two columns, and the row at which each route's begin."""
    host = population.routes["host"].to_numpy()
    pool = np.diff(backend_start)[host]
    start = np.concatenate([[0], np.cumsum(pool)])[:-1].astype(np.int64)
    route = np.repeat(np.arange(len(host)), pool)
    return route, backend_start[host[route]] + np.arange(len(route)) - start[route], start


def names_on_routes(population: Population, route: Int64, backend: Int64) -> dict[str, NDArray[np.bool_]]:
    """Return the certificate's name columns of each (route, backend), as `sim.policy.identity` takes them."""
    of_backend = ("san_present", "san_mx", "cn_mx", "san_ptr", "cn_ptr")
    names = {c: population.backends[c].to_numpy(bool)[backend] for c in of_backend}
    return names | {c: population.routes[c].to_numpy(bool)[route] for c in ("san_domain", "cn_domain")}


def _hosts(hosts: pd.DataFrame, accept_row: Int64, backend_start: Int64) -> w.Hosts:
    down, mean_s = hosts["outage_share"].to_numpy(), hosts["outage_mean_s"].to_numpy()
    cycle = np.where(down > 0, np.rint(mean_s * US / np.where(down > 0, down, 1.0)), 0)
    if (cycle >= 2.0**46).any():
        raise ScenarioError(
            "outage_share: so rare an outage does not fit the clock; allowed: 0, or a cycle below 2 years"
        )
    return w.Hosts(
        key=_keys(hosts["host"].tolist()),
        rtt_us=np.maximum(_us(hosts["rtt_s"]), 1),
        us_per_mib=np.rint(US * 2.0**20 / hosts["throughput_bytes_per_s"].to_numpy()).astype(np.int64),
        accept_us=_us(hosts["accept_median_s"]),
        accept_table=accept_row,
        outage_us=np.where(down > 0, _us(mean_s), 0),
        outage_cycle_us=cycle.astype(np.int64),
        unreachable_us=_us(hosts["unreachable_s"]),
        backend_start=backend_start,
    )


def _backends(backends: pd.DataFrame, backend_start: Int64, lowest_tls: TlsVersion) -> w.Backends:
    weight = backends["weight"].to_numpy(dtype=np.float64)
    total = np.cumsum(weight)
    before = np.concatenate([[0.0], total])[backend_start[backends["host"].to_numpy()]]
    chosen = _threshold(np.minimum(total - before, 1.0))
    chosen[backend_start[1:] - 1] = _WHOLE
    stage = np.cumsum(backends[list(RATE_COLUMNS)].to_numpy(dtype=np.float64), axis=1)
    version = backends["tls_version"].to_numpy()
    # Below the sender's minimum no handshake completes, so nothing is lost in TLS either.
    stage[version < lowest_tls, int(Stage.HANDSHAKE_FAILED) - int(Stage.UNREACHABLE) :] = 1.0
    return w.Backends(
        chosen=chosen,
        stage=_threshold(np.minimum(stage, 1.0)),
        handshake_round_trips=np.where(version < TlsVersion.TLS_1_3, 2, 1).astype(np.int64),
    )


def _rules(scenario: Scenario, tables: PolicyTables) -> w.Rules:
    switches = scenario.delivery
    return w.Rules(
        seen_at=_column(tables.seen[:, 1, 0, 0]),
        outcome=_column(tables.outcome[:, :, 0]),
        reason=_column(tables.reason),
        host_waits_us=_us(scenario.policy.host_retry.waits_s()),
        idle_us=max(1, round(switches.idle_timeout_s * US)),
        dns_us=round(switches.dns_s * US),
        dns_timeout_us=max(1, round(switches.dns_timeout_s * US)),
        window_us=round(scenario.days * 86_400 * US),
        until_us=-1 if scenario.until_s is None else round(scenario.until_s * US),
        messages_per_opening=switches.messages_per_opening,
        max_connections=switches.max_connections,
        new_mail_probes=int(switches.new_mail_probes),
        success_releases_all=int(switches.success_releases == "all"),
        expire_at_lifetime=int(switches.expire == "at_lifetime"),
    )


def _tables(scenario: Scenario, accept_tables: Int64) -> w.Tables:
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
        ticks_before_hour=_ticks_before_hour(np.asarray(workload.hourly), np.asarray(workload.weekday)),
    )


def _sizes(shape: Shape) -> Int64:
    table = quantile_table(shape, scale=1.0, what="size_bytes")
    if table.max() > LARGEST_BYTES:
        raise WorkloadError(f"size_bytes: quantiles reach {table.max():,}; allowed: up to {LARGEST_BYTES:,} bytes")
    return table


def _ticks_before_hour(hourly: NDArray[np.float64], weekday: NDArray[np.float64]) -> Int64:
    """Integrate the weekly profile; an hour of mean rate has ``HOUR_TICKS`` ticks."""
    rate = np.outer(weekday / weekday.mean(), hourly / hourly.mean()).ravel()
    ticks = np.rint(rate * HOUR_TICKS).astype(np.int64)
    return np.concatenate([[0], np.cumsum(ticks)]).astype(np.int64)


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


def row_starts(owner: ArrayLike, count: int) -> Int64:
    """Row offsets of rows grouped by owner: ``start[i]:start[i + 1]`` belong to owner i."""
    return np.searchsorted(np.asarray(owner), np.arange(count + 1)).astype(np.int64)


def _keys(names: Sequence[str]) -> Int64:
    return np.array([name_key(n) for n in names], dtype=np.int64)


def _threshold(rate: Any) -> Int64:
    return np.rint(np.asarray(rate, dtype=np.float64) * _WHOLE).astype(np.int64)


def _us(seconds: Any) -> Int64:
    return np.rint(np.asarray(seconds, dtype=np.float64) * US).astype(np.int64)


def _int(values: Any) -> Int64:
    return np.asarray(values).astype(np.int64)


def _column(values: Any) -> Int64:
    return np.asarray(values, dtype=np.int64)
