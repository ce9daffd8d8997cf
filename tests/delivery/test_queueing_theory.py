"""The engine against formulas: one destination as M/M/c and M/G/1, Little's law, Poisson arrivals.

A peer one microsecond away that accepts a message in one second (times a distribution) makes a connection a server:
it opens in 3 us, carries 1,000 messages and idles for up to a day. ``max_host_concurrency`` is the number of servers.

Each statistical test compares a mean over independent replications, each from an empty system and without its first
part, with the formula: the bound is Student's t at a false-alarm rate of 1e-6, two-sided, plus ``SLACK_S`` for set-up
times. Seeds are fixed, so a test fails always or never. The sharper tests need no chance: the waits of the very same
arrivals and service times by the recursion of Kiefer and Wolfowitz, to a few microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from heapq import heapreplace
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.special import factorial

from sim.delivery import erlang, rules
from sim.delivery.compile import compile_world
from sim.delivery.mail import Mail
from sim.delivery.reference import Reference
from sim.delivery.rules import HOUR_US, UNIT_BITS
from sim.delivery.simulate import simulate
from sim.policy.destinations import DestinationControls, Entry
from sim.results.sinks import RecordSink
from sim.scenario import DeliverySwitches, Scenario
from sim.terms import Setting
from sim.world.population import Population
from sim.world.shapes import Sample
from sim.world.workload import Workload
from tests.delivery.stories import DOMAIN, QUICK

Float = NDArray[np.float64]
FALSE_ALARM = 1e-6
REPLICATIONS = 12
MESSAGES = 12_000
#: Messages at the start of a replication that are left out: the system starts empty.
WARM_UP = 2_000
#: Opening a connection (3 us, at most once in 1,000 messages) and the round trips of a transfer (4 us).
SLACK_S = 20e-6
#: A message that waited longer than its connection took to open did wait.
NO_WAIT_S = 10e-6


class Hyperexponential:
    """Exponential with mean 0.5 in four cases of five, with mean 3 in the fifth: mean 1, second moment 4."""

    second_moment = 0.8 * 2 * 0.5**2 + 0.2 * 2 * 3.0**2

    def __init__(self) -> None:
        self._x = np.concatenate([np.linspace(0, 10, 200_001), np.linspace(10, 80, 100_001)[1:]])
        self._log_survival = np.log(0.8 * np.exp(-self._x / 0.5) + 0.2 * np.exp(-self._x / 3.0))

    def ppf(self, q: ArrayLike, /) -> Float:
        wanted = np.log1p(-np.asarray(q, dtype=np.float64))
        return np.asarray(np.interp(-wanted, -self._log_survival, self._x))

    def mean(self) -> float:
        return 1.0


#: Service times with mean 1, and their second moments.
SERVICES: dict[str, tuple[Any, float]] = {
    "deterministic": (Sample([1.0]), 1.0),
    "exponential": (stats.expon(), 2.0),
    "lognormal": (stats.lognorm(0.8, scale=np.exp(-0.32)), float(np.exp(0.64))),
    "hyperexponential": (Hyperexponential(), Hyperexponential.second_moment),
}


@dataclass(frozen=True)
class Replication:
    """What one run came to, message by message in the order of arrival, in seconds."""

    arrival: Float
    service: Float
    wait: Float


def scenario_of(service: str, servers: int, load: float) -> Scenario:
    """One destination of so many servers whose share ``load`` of the time is used."""
    per_day = 86_400.0 * servers * load
    return Scenario(
        population=Population.custom([{"domain": DOMAIN, "hosts": [{"host": "mx", **QUICK, "accept_median_s": 1.0}]}]),
        policy=DestinationControls(
            default=Entry(
                domain="DEFAULT", tls=Setting.NO, max_host_concurrency=servers, max_messages_per_connection=1_000
            )
        ),
        workload=Workload.flat(messages_per_day=per_day, recipients=1.0, size_bytes=0.0),
        delivery=DeliverySwitches(idle_timeout_s=86_400.0, dns_s=0.0),
        days=MESSAGES / per_day,
        acceptance=SERVICES[service][0],
    )


@cache
def replications(service: str, servers: int, load: float) -> tuple[Replication, ...]:
    scenario = scenario_of(service, servers, load)
    return tuple(replication(scenario, seed) for seed in range(1, REPLICATIONS + 1))


def replication(scenario: Scenario, seed: int) -> Replication:
    """Run once; the service time of a message is that of its keyed draw, its wait what is left of its delay."""
    world = compile_world(scenario)
    rows = simulate(scenario, seed=seed, records=True).messages
    table = world.tables.accept[0].tolist()
    takes = [
        rules.transfer_us(0, 1, 1, 0, rules.scaled(1_000_000, rules.quantile(table, letter[6]), UNIT_BITS))
        for letter in Mail(world, seed).of(0)
    ]
    service = np.array(takes) / 1e6
    return Replication(rows["arrival_s"].to_numpy(), service, rows["delay_s"].to_numpy() - service)


def holds(values: list[float], formula: float, slack: float = SLACK_S) -> bool:
    """Tell whether a mean over replications agrees with a formula (t-bound at ``FALSE_ALARM``)."""
    bound = stats.t.isf(FALSE_ALARM / 2, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return bool(abs(np.mean(values) - formula) <= bound + slack)


def erlang_c(servers: int, load: float) -> float:
    """P(wait > 0) in M/M/c (Erlang 1917; Kleinrock 1975, volume 1, section 3.5)."""
    offered = servers * load
    k = np.arange(servers)
    last = offered**servers / factorial(servers) / (1 - load)
    return float(last / ((offered**k / factorial(k)).sum() + last))


def waits_by_recursion(run: Replication, servers: int) -> Float:
    """Waits of the same arrivals and service times, first come, first served (Kiefer and Wolfowitz 1955)."""
    free = [0.0] * servers
    waits = []
    for arrival, service in zip(run.arrival.tolist(), run.service.tolist(), strict=True):
        start = max(free[0], arrival)
        heapreplace(free, start + service)
        waits.append(start - arrival)
    return np.array(waits)


# --- waits


@pytest.mark.parametrize(
    ("service", "servers", "load"),
    [
        ("exponential", 1, 0.7),
        ("exponential", 3, 0.8),
        ("exponential", 20, 0.9),
        ("lognormal", 1, 0.6),
        ("deterministic", 1, 0.8),
        ("hyperexponential", 1, 0.5),
        ("hyperexponential", 4, 0.7),
    ],
)
def test_each_message_waits_as_long_as_in_the_recursion(service: str, servers: int, load: float) -> None:
    """No chance: the same mail, message by message. Within 20 us, more only by what set-up times add up to in a row."""
    run = replications(service, servers, load)[0]
    expected = waits_by_recursion(run, servers)
    assert run.wait.min() >= -1e-9
    off = np.abs(run.wait - expected)
    assert np.median(off) <= SLACK_S
    # Each start may be late by an opening: once in a busy period at most for each server, once in 1,000 messages.
    assert off.max() <= SLACK_S * (1 + servers)


@pytest.mark.parametrize(("servers", "load"), [(1, 0.7), (3, 0.8), (20, 0.9)])
def test_waits_of_many_servers_are_erlangs(servers: int, load: float) -> None:
    """M/M/c: P(wait > 0) by Erlang C and the mean wait C / (c - offered load); 1e-6 each."""
    runs = replications("exponential", servers, load)
    c = erlang_c(servers, load)
    assert holds([float((r.wait[WARM_UP:] > NO_WAIT_S).mean()) for r in runs], c, slack=1e-3)
    assert holds([float(r.wait[WARM_UP:].mean()) for r in runs], c / (servers * (1 - load)))


@pytest.mark.parametrize(("servers", "load", "wait_s"), [(1, 0.7, 3.0), (3, 0.8, 1.0), (20, 0.9, 0.3)])
def test_the_tail_of_the_wait_is_erlangs(servers: int, load: float, wait_s: float) -> None:
    """M/M/c: the share that waits longer than a time, by the formulas that capacity planning uses; 1e-6."""
    runs = replications("exponential", servers, load)
    assert erlang.erlang_c(servers, servers * load) == pytest.approx(erlang_c(servers, load))
    formula = erlang.wait_exceeds(servers, servers * load, 1.0, wait_s)
    assert 0.05 < formula < 0.5
    assert holds([float((r.wait[WARM_UP:] > wait_s).mean()) for r in runs], formula, slack=1e-3)


@pytest.mark.parametrize(
    ("service", "load"), [("exponential", 0.7), ("lognormal", 0.6), ("deterministic", 0.8), ("hyperexponential", 0.5)]
)
def test_the_mean_wait_of_one_server_is_pollaczeks_and_khinchines(service: str, load: float) -> None:
    """M/G/1: mean wait = arrival rate x second moment / 2 (1 - load); P(wait > 0) = load; 1e-6 each."""
    runs = replications(service, 1, load)
    second_moment = SERVICES[service][1]
    assert holds([float(r.wait[WARM_UP:].mean()) for r in runs], load * second_moment / (2 * (1 - load)))
    assert holds([float((r.wait[WARM_UP:] > NO_WAIT_S).mean()) for r in runs], load, slack=1e-3)


@pytest.mark.parametrize("service", SERVICES)
def test_service_times_have_their_mean_and_second_moment(service: str) -> None:
    """1e-6 each: the peer's acceptance time, drawn by key from the quantile table."""
    load = {"exponential": 0.7, "lognormal": 0.6, "deterministic": 0.8, "hyperexponential": 0.5}[service]
    runs = replications(service, 1, load)
    second_moment = SERVICES[service][1]
    assert holds([float(r.service.mean()) for r in runs], 1.0)
    assert holds([float((r.service**2).mean()) for r in runs], second_moment, slack=1e-3 * second_moment)


def test_the_formulas_are_the_textbooks() -> None:
    """Erlang C with one server is the load; of two, load 0.75: 9/14 (Kleinrock 1975); the tolerances are not loose."""
    assert erlang_c(1, 0.7) == pytest.approx(0.7)
    assert erlang_c(2, 0.75) == pytest.approx(9 / 14)
    runs = replications("exponential", 3, 0.8)
    mean = [float(r.wait[WARM_UP:].mean()) for r in runs]
    assert not holds(mean, erlang_c(3, 0.8) / (3 * 0.2) * 1.35)
    assert not holds(mean, erlang_c(2, 0.8) / (2 * 0.2))


# --- Little's law


@pytest.mark.parametrize(("service", "servers", "load"), [("exponential", 3, 0.8), ("hyperexponential", 1, 0.5)])
def test_the_mail_in_the_system_over_time_is_the_delays_of_its_messages(
    service: str, servers: int, load: float
) -> None:
    """Little's law, exactly: what the engine holds, integrated from instant to instant, against the rows' delays."""
    world = compile_world(scenario_of(service, servers, load))
    sink = RecordSink(world.labels)
    engine = Reference(world, 1, sink)
    [destination] = engine.destinations
    area = before = held = 0
    for now in engine.instants():
        area += held * (now - before)
        before, held = now, destination.injected - destination.done
    engine.rows.flush()
    rows = sink.message_rows()
    assert held == 0
    assert area == int((rows[:, 3] - rows[:, 2]).sum())


def test_the_timeline_counts_the_mail_that_littles_law_asks_for() -> None:
    """Queued at the end of each minute, on average, is rate x delay: t-bound over replications, 1e-6."""
    scenario = scenario_of("exponential", 20, 0.9)
    differences = []
    for seed in range(1, REPLICATIONS + 1):
        result = simulate(scenario, seed=seed, records=True)
        minutes = result.timeline("1min")
        inside = minutes[minutes["injected_messages"] > 0].iloc[2:-1]
        per_s = float(inside["injected_messages"].sum()) / (60.0 * len(inside))
        differences.append(float(inside["queued_messages"].mean()) - per_s * float(result.messages["delay_s"].mean()))
    assert holds(differences, 0.0)


# --- arrivals


def arrivals_of(workload: Workload, days: float, seed: int = 1) -> Float:
    """Arrival times in seconds of one destination."""
    population = Population.custom([{"domain": DOMAIN}])
    world = compile_world(Scenario(population=population, workload=workload, days=days))
    return np.array([letter[1] for letter in Mail(world, seed).of(0)]) / 1e6


def test_the_gaps_between_arrivals_are_exponential_and_independent() -> None:
    """Flat rate, 100,000 messages: Kolmogorov-Smirnov 1e-6; neighbouring gaps in 8 x 8 equal cells, chi-square 1e-6."""
    arrival = arrivals_of(Workload.flat(messages_per_day=100_000.0), days=1.0)
    gaps = np.diff(arrival) * 100_000.0 / 86_400.0
    assert stats.kstest(gaps, "expon").pvalue > FALSE_ALARM
    cell = np.minimum((-np.expm1(-gaps) * 8).astype(np.int64), 7)
    counts = np.bincount(cell[:-1:2] * 8 + cell[1::2], minlength=64)
    assert stats.chisquare(counts).pvalue > FALSE_ALARM


def test_counts_of_equal_intervals_are_poisson() -> None:
    """Mean 4 in each of 20,000 intervals: chi-square of 0, 1, ... 11 and more against Poisson, 1e-6."""
    per_day, count = 80_000.0, 20_000
    arrival = arrivals_of(Workload.flat(messages_per_day=per_day), days=1.0)
    in_each = np.bincount((arrival * count / 86_400.0).astype(np.int64), minlength=count)
    seen = np.bincount(np.minimum(in_each, 11), minlength=12)
    expected = stats.poisson(4.0).pmf(np.arange(12))
    expected[11] = 1 - expected[:11].sum()
    assert stats.chisquare(seen, expected * count).pvalue > FALSE_ALARM


def test_every_hour_of_the_week_has_its_share_of_the_mail() -> None:
    """A week with silent hours, twice, 70,000 a day: chi-square of the week's hours, 1e-6; none in a silent hour."""
    hourly = [0.0, 0.0, *np.arange(1.0, 23.0)]
    weekday = (50.0, 50.0, 40.0, 50.0, 45.0, 27.0, 0.0)
    arrival = arrivals_of(Workload(messages_per_day=70_000.0, hourly=hourly, weekday=weekday), days=14.0)
    counts = np.bincount((arrival * 1e6).astype(np.int64) // HOUR_US % 168, minlength=168)
    weight = np.outer(weekday, hourly).ravel()
    assert counts[weight == 0].sum() == 0
    mail = weight > 0
    # The total is Poisson about 14 x 70,000; given the total, the hours are multinomial.
    assert abs(counts.sum() - 980_000) <= stats.norm.isf(FALSE_ALARM / 2) * np.sqrt(980_000)
    assert stats.chisquare(counts[mail], weight[mail] / weight.sum() * counts.sum()).pvalue > FALSE_ALARM


def test_destinations_share_the_mail_by_their_weights() -> None:
    """Chi-square of three destinations' counts, 1e-6."""
    specs = [{"domain": f"{name}.example", "messages": weight} for name, weight in (("a", 6.0), ("b", 3.0), ("c", 1.0))]
    world = compile_world(
        Scenario(population=Population.custom(specs), workload=Workload.flat(messages_per_day=50_000.0), days=1.0)
    )
    mail = Mail(world, 3)
    counts = np.array([sum(1 for _ in mail.of(d)) for d in range(3)])
    assert abs(counts.sum() - 50_000) <= stats.norm.isf(FALSE_ALARM / 2) * np.sqrt(50_000)
    assert stats.chisquare(counts, np.array([0.6, 0.3, 0.1]) * counts.sum()).pvalue > FALSE_ALARM
