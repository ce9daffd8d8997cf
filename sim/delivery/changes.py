"""What a timeline makes of a World: its phases, its planned outages, and the rates its mail follows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.delivery import world as w
from sim.delivery.arrays import (
    US,
    Int64,
    Peers,
    codes,
    dane_options,
    microseconds,
    names_on_routes,
    row_starts,
    whole,
)
from sim.delivery.rules import HOUR_TICKS, HOUR_US, MOST_TICKS
from sim.errors import ScenarioError, WorkloadError
from sim.policy.decide import REPLACES_CHAIN, Tables
from sim.policy.destinations import DestinationControls
from sim.policy.identity import rule_holds
from sim.scenario import Scenario
from sim.terms import Chain, NameRule, Setting, Stage
from sim.timeline import (
    Event,
    Phase,
    check_event,
    concerned_domains,
    concerned_hosts,
    phases,
    policy_before,
    settings_of,
)

Float = NDArray[np.float64]


def phases_of(scenario: Scenario, tables: Tables, peers: Peers) -> w.Phases:
    """Return what is in force in each phase of a run; ``peers`` are those of the scenario's own population.

    Raises
    ------
    ScenarioError
        When an event of the timeline concerns nobody, or does not fit the scenario in another way.
    """
    for event in scenario.timeline:
        before = policy_before(event, scenario.timeline, scenario.policy)
        check_event(event, scenario.population, before, scenario.days)
    found = list(phases(scenario.timeline, scenario.population, scenario.policy))
    settings = [own_settings(scenario, phase.policy) for phase in found]
    cases = [_cases(scenario, phase, s) for phase, s in zip(found, settings, strict=True)]
    own, lowest = scenario.population, scenario.lowest_tls
    met = [peers if p.population is own else peers.under(p.population, lowest) for p in found]
    return w.Phases(
        begins_us=microseconds([phase.begins_h * 3_600 for phase in found]),
        setting=_rows(settings),
        demand=_rows([codes(tables.demand[case]) for case in cases]),
        stripped=_rows([phase.stripped for phase in met]),
        stage=_rows([phase.stage for phase in met]),
        seen_tls=_rows(
            [_seen_tls(scenario, p, tables, tables.rule[c], peers) for p, c in zip(found, cases, strict=True)]
        ),
    )


def _rows(phases: list[Int64]) -> Int64:
    """Put what each phase has above each other; of a single phase without a copy, which Worlds may share."""
    return phases[0][None] if len(phases) == 1 else np.stack(phases)


def own_settings(scenario: Scenario, policy: DestinationControls) -> Int64:
    """Return the sender's own setting of each destination under a policy, codes of the sender's settings."""
    own = codes([scenario.own_setting(setting) for setting in Setting])
    return own[settings_of(policy, scenario.population.names)]


def _cases(scenario: Scenario, phase: Phase, settings: Int64) -> tuple[Int64, ...]:
    """Return for each route what its demand depends on: setting, DANE option and state, MTA-STS mode, MX listed."""
    routes, domains = phase.population.routes, phase.population.domains
    domain = routes["domain"].to_numpy()
    return (
        settings[domain],
        dane_options(scenario, phase.policy)[domain],
        whole(routes["dane"]),
        whole(domains["mta_sts"])[domain],
        whole(routes["sts_listed"]),
    )


def _seen_tls(
    scenario: Scenario, phase: Phase, tables: Tables, rule_of_route: NDArray[np.uint8], peers: Peers
) -> Int64:
    """Return what a completed handshake shows, per (route, backend): name rules run here, once a phase.

    The population knows no fingerprints, so none is listed.
    """
    backends = phase.population.backends
    route, backend = peers.route, peers.backend
    below = bool((rule_of_route == NameRule.NEXTHOP_OR_BELOW).any())
    columns = names_on_routes(phase.population, route, backend, below_domain=below)
    rule = rule_of_route[route]
    holds = np.zeros(len(route), dtype=bool)
    for name_rule in NameRule:
        wanted = rule == name_rule
        holds[wanted] = rule_holds(name_rule, **{k: v[wanted] for k, v in columns.items()})
    version_ok = backends["tls_version"].to_numpy()[backend] >= scenario.lowest_tls
    chain = np.where(np.isin(rule, REPLACES_CHAIN), int(Chain.TRUSTED), backends["chain"].to_numpy()[backend])
    return codes(tables.seen[int(Stage.TLS), version_ok.astype(int), chain, holds.astype(int)])


def planned_outages(scenario: Scenario) -> tuple[Int64, Int64]:
    """Return (begin, end) of the outages of the timeline by host and begin, and where each host's rows start."""
    rows: list[tuple[int, int, int]] = []
    for event in scenario.timeline:
        if event.event == "outage":
            begins, ends = _span_us(event)
            hosts = np.flatnonzero(concerned_hosts(event, scenario.population))
            rows += [(host, begins, ends) for host in hosts.tolist()]
    table = codes(sorted(rows)).reshape(-1, 3)
    return table[:, 1:].copy(), row_starts(table[:, 0], len(scenario.population.hosts))


def arrival_rates(scenario: Scenario) -> tuple[Int64, Int64, Int64]:
    """Return knots, the integral of each profile's rate before each of them, and the profile of each destination.

    Raises
    ------
    WorkloadError, ScenarioError
        When an hour holds more than the engines' integers do, or a load is set beside a trace.
    """
    loads = [event for event in scenario.timeline if event.event == "load"]
    if loads and scenario.workload.trace is not None:
        raise ScenarioError("timeline: load beside a trace; allowed: none, since the trace says what is sent")
    window_us = round(scenario.days * 86_400 * US)
    edges = [edge for event in loads for edge in _span_us(event) if edge < window_us]
    knots_us = np.unique(codes([*range(0, window_us, HOUR_US), *edges, window_us]))
    concerned = np.array([concerned_domains(e, scenario.population) for e in loads], dtype=bool)
    concerned = concerned.reshape(len(loads), len(scenario.population.domains))
    groups, profile = np.unique(concerned, axis=1, return_inverse=True)
    rows = [_ticks_before(scenario, knots_us, [e for e, on in zip(loads, row, strict=True) if on]) for row in groups.T]
    return knots_us, np.stack(rows), profile.reshape(-1).astype(np.int64)


def _ticks_before(scenario: Scenario, knots_us: Int64, loads: list[Event]) -> Int64:
    """Integrate a rate; an hour of mean rate has ``HOUR_TICKS`` ticks."""
    hourly, weekday = np.asarray(scenario.workload.hourly), np.asarray(scenario.workload.weekday)
    rate = np.outer(weekday / weekday.mean(), hourly / hourly.mean()).ravel()
    begins_us, length_us = knots_us[:-1], np.diff(knots_us)
    ticks = np.rint(rate * HOUR_TICKS)[begins_us // HOUR_US % 168] * (length_us / HOUR_US)
    for event in loads:
        begins, ends = _span_us(event)
        ticks[(begins <= begins_us) & (begins_us < ends)] *= event.factor or 0.0
    if ticks.max() > MOST_TICKS:
        raise WorkloadError(
            f"the busiest hour holds {ticks.max() / (HOUR_TICKS * 168):,.1f} times the mail of a mean week; "
            f"allowed: up to {MOST_TICKS / (HOUR_TICKS * 168):,.1f}"
        )
    return np.concatenate([[0], np.cumsum(np.rint(ticks).astype(np.int64))]).astype(np.int64)


def _span_us(event: Event) -> tuple[int, int]:
    """Return when an event begins and ends; one that stays ends beyond any run."""
    begins = round(event.at_h * HOUR_US)
    return begins, 1 << 60 if event.for_h is None else begins + max(1, round(event.for_h * HOUR_US))
