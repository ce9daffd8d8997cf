"""The ground of a World: what no TLS setting, policy or switch changes, compiled once for many Worlds.

A study sends the same mail to the same receivers under many settings. Of a million destinations most of the time, and
most of the memory, would go into the same arrays again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.delivery import world as w
from sim.delivery.arrays import US, WHOLE, Int64, Peers, codes, microseconds, row_starts, threshold, whole
from sim.delivery.changes import arrival_rates, planned_outages
from sim.delivery.quantiles import MOST_RECIPIENTS, count_thresholds, quantile_table, unit_table
from sim.delivery.rules import HOUR_TICKS
from sim.errors import ScenarioError, WorkloadError
from sim.scenario import Scenario
from sim.terms import Dns, Stage, TlsVersion
from sim.timeline import Event
from sim.world.population import Population
from sim.world.shapes import Shape, as_shape
from sim.world.workload import Workload

if TYPE_CHECKING:
    import pandas as pd

#: Beyond, the gap between two arrivals would be a few ticks of the engine's integers, and rounding would show.
MOST_A_DAY_TO_ONE = 2_000_000_000
#: A message of this size to the slowest host a population may have still fits the engine's integers.
LARGEST_BYTES = 1 << 31
_DNS_STAGE = {Dns.OK: -1, Dns.NXDOMAIN: int(Stage.NXDOMAIN), Dns.NULL_MX: int(Stage.NULL_MX)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """Parts of a World, as it has them.

    Attributes
    ----------
    destinations, routes : columns of ``Destinations`` and ``Routes`` by name: those that receivers and mail decide.
    hosts, backends, tables, planned_outages, trace : as in the World.
    peers : what connections meet while no event changes it.
    """

    destinations: Mapping[str, Int64]
    routes: Mapping[str, Int64]
    hosts: w.Hosts
    backends: w.Backends
    tables: w.Tables
    planned_outages: Int64
    trace: Int64
    peers: Peers


@dataclass(frozen=True, eq=False)
class _Asked:
    """What of a scenario, beside its population, its ground depends on."""

    workload: Workload
    acceptance: Shape | None
    days: float
    lowest_tls: TlsVersion
    events: tuple[Event, ...]

    @classmethod
    def of(cls, scenario: Scenario) -> _Asked:
        events = tuple(event for event in scenario.timeline if event.event in ("outage", "load"))
        return cls(scenario.workload, scenario.acceptance, scenario.days, scenario.lowest_tls, events)

    def is_same(self, other: _Asked) -> bool:
        """Tell whether both lead to the same ground; frames and distributions only where they are the same object."""
        mine, theirs = (self.days, self.lowest_tls, self.events), (other.days, other.lowest_tls, other.events)
        return self.workload is other.workload and self.acceptance is other.acceptance and mine == theirs


#: One ground a population, the last that was asked for; gone with the population.
_LAST: WeakKeyDictionary[Population, tuple[_Asked, Ground]] = WeakKeyDictionary()


def ground_of(scenario: Scenario) -> Ground:
    """Return the ground of a scenario's World; the same object while population, mail and days are the same.

    Raises
    ------
    ScenarioError, WorkloadError
        When receivers or mail cannot be expressed in the World's integers.
    """
    asked, last = _Asked.of(scenario), _LAST.get(scenario.population)
    if last is not None and last[0].is_same(asked):
        return last[1]
    ground = _compiled(scenario)
    for column in (*ground.destinations.values(), *ground.routes.values()):
        column.setflags(write=False)
    _LAST[scenario.population] = asked, ground
    return ground


def _compiled(scenario: Scenario) -> Ground:
    population = scenario.population
    backend_start = row_starts(population.backends["host"].to_numpy(), len(population.hosts))
    trace, trace_start = _trace(scenario)
    planned, planned_start = planned_outages(scenario)
    knots_us, ticks_before, profile = arrival_rates(scenario)
    accept_tables, accept_row = _acceptance(scenario)
    peers = Peers.of(population, scenario.lowest_tls, backend_start)
    return Ground(
        destinations=_destinations(scenario, profile, trace_start),
        routes={
            "host": whole(population.routes["host"]),
            "preference": whole(population.routes["preference"]),
            "seen_start": peers.seen_start,
        },
        hosts=_hosts(population, accept_row, backend_start, planned_start),
        backends=_backends(population.backends, backend_start),
        tables=_tables(scenario, accept_tables, knots_us, ticks_before),
        planned_outages=planned,
        trace=trace,
        peers=peers,
    )


def _destinations(scenario: Scenario, profile: Int64, trace_start: Int64) -> dict[str, Int64]:
    population = scenario.population
    domains = population.domains
    first, rescued = domains["first_4yz_rate"].to_numpy(), domains["rescued_share"].to_numpy()
    lasting, refused = domains["persistent_4yz_share"].to_numpy(), domains["refused_5yz_rate"].to_numpy()
    return {
        "key": population.names.keys,
        "gap_ticks": _gaps(scenario),
        "trace_start": trace_start,
        "profile": profile,
        "dns_stage": codes([_DNS_STAGE[dns] for dns in sorted(Dns)])[domains["dns"].to_numpy()],
        "dns_temporary": threshold(domains["dns_temporary_rate"]),
        "persistent_4yz": threshold(first * (1 - rescued) * lasting),
        "late_5yz": threshold(first * (1 - rescued)),
        "first_4yz": threshold(first),
        "refused_5yz": threshold(np.minimum(first + refused, 1.0)),
        "new_pair": threshold(domains["new_pair_rate"]),
        "greylist_us": microseconds(domains["greylist_s"]),
        "route_start": row_starts(population.routes["domain"].to_numpy(), len(domains)),
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


def _trace(scenario: Scenario) -> tuple[Int64, Int64]:
    frame, names = scenario.workload.trace, scenario.population.names
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


def _hosts(population: Population, accept_row: Int64, backend_start: Int64, planned_start: Int64) -> w.Hosts:
    hosts = population.hosts
    down, mean_s = hosts["outage_share"].to_numpy(), hosts["outage_mean_s"].to_numpy()
    cycle = np.where(down > 0, np.rint(mean_s * US / np.where(down > 0, down, 1.0)), 0)
    if (cycle >= 2.0**46).any():
        raise ScenarioError(
            "outage_share: so rare an outage does not fit the clock; allowed: 0, or a cycle below 2 years"
        )
    return w.Hosts(
        key=population.host_names.keys,
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
