"""Erlang's formulas against published tables, identities and a deterministic run; M/M/c is in test_queueing_theory."""

from __future__ import annotations

from math import inf

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import factorial

from sim.delivery.compile import compile_world
from sim.delivery.erlang import drain_s, erlang_b, erlang_c, mean_wait_s, servers_for, wait_exceeds
from sim.delivery.service import service_time
from sim.delivery.simulate import run_world
from sim.errors import ScenarioError
from sim.policy.destinations import DestinationControls, Entry
from sim.results.load import HOUR_US, RunLoad
from sim.results.sinks import RecordSink
from sim.scenario import DeliverySwitches, Scenario
from sim.terms import Setting
from sim.world.population import Population
from sim.world.shapes import Sample
from sim.world.workload import Workload
from tests.delivery.stories import DOMAIN, QUICK

LOADS = st.floats(0.01, 40.0)
SERVERS = st.integers(1, 40)


@pytest.mark.parametrize(
    ("servers", "offered", "blocked"),
    [(5, 1.361, 0.01), (10, 4.461, 0.01), (20, 12.03, 0.01), (100, 84.06, 0.01), (1, 0.0101, 0.01), (10, 7.511, 0.1)],
)
def test_erlang_b_is_the_published_table_s(servers: int, offered: float, blocked: float) -> None:
    assert erlang_b(servers, offered) == pytest.approx(blocked, rel=2e-3)


@given(SERVERS, LOADS)
def test_the_recursion_is_the_formula(servers: int, offered: float) -> None:
    k = np.arange(servers + 1)
    terms = offered**k / factorial(k)
    assert erlang_b(servers, offered) == pytest.approx(terms[-1] / terms.sum(), rel=1e-9)


@given(st.floats(0.0, 0.999))
def test_one_server_is_busy_for_the_share_that_is_its_load(load: float) -> None:
    assert erlang_c(1, load) == pytest.approx(load)
    if load > 0:
        assert mean_wait_s(1, load, 2.0) == pytest.approx(load * 2.0 / (1 - load))


def test_two_servers_and_pollaczek_and_khinchine() -> None:
    """Kleinrock 1975: 9/14 wait at load 0.75 each; M/D/1 waits half as long as M/M/1."""
    assert erlang_c(2, 1.5) == pytest.approx(9 / 14)
    assert mean_wait_s(1, 0.8, 1.0, service_scv=0.0) == pytest.approx(0.8 / (2 * 0.2))


@given(SERVERS, LOADS)
def test_waiting_is_likelier_than_blocking_and_the_tail_integrates_to_the_mean(servers: int, offered: float) -> None:
    assert erlang_c(servers, offered) >= erlang_b(servers, offered)
    if offered < 0.95 * servers:
        steps = np.linspace(0, 60 / (servers - offered), 20_001)
        tail = [wait_exceeds(servers, offered, 1.0, t) for t in steps.tolist()]
        assert np.trapezoid(tail, steps) == pytest.approx(mean_wait_s(servers, offered, 1.0), rel=1e-3)
    if offered >= servers:
        assert erlang_c(servers, offered) == wait_exceeds(servers, offered, 1.0, 9.0) == 1
        assert mean_wait_s(servers, offered, 1.0) == inf


@given(st.floats(0.01, 5.0), st.floats(0.1, 5.0), st.floats(0.0, 30.0), st.floats(0.5, 0.999))
def test_one_server_fewer_does_not_keep_it(rate: float, service_s: float, spare_s: float, share: float) -> None:
    within_s = service_s + spare_s
    servers = servers_for(rate, service_s, within_s=within_s, share=share)
    assert servers is not None
    assert wait_exceeds(servers, rate * service_s, service_s, within_s - service_s) <= 1 - share
    assert wait_exceeds(servers - 1, rate * service_s, service_s, within_s - service_s) > 1 - share


def test_no_number_of_servers_shortens_the_service_itself() -> None:
    assert servers_for(1.0, 5.0, within_s=4.0, share=0.95) is None
    assert servers_for(30.0, 5.0, within_s=9.0, share=0.95, most=149) is None


def test_what_is_negative_is_refused() -> None:
    with pytest.raises(ScenarioError, match="offered_erlang = -1"):
        erlang_b(3, -1.0)
    with pytest.raises(ScenarioError, match="backlog = -1"):
        drain_s(-1, 1.0)


# --- a deterministic queue

SERVERS_OF_RUN, BACKLOG, EACH_S = 4, 600, 1.0


def deterministic() -> tuple[Scenario, list[float]]:
    """One message a second for two hours, each served in a second by one of four; at one hour 600 come at once."""
    times = [t + 0.5 for t in range(7_200)] + [3_600.25] * BACKLOG
    trace = pd.DataFrame({"domain": DOMAIN, "time_s": times, "size_bytes": 0, "recipients": 1})
    entry = Entry(
        domain="DEFAULT", tls=Setting.NO, max_host_concurrency=SERVERS_OF_RUN, max_messages_per_connection=1_000
    )
    scenario = Scenario(
        population=Population.custom(
            [{"domain": DOMAIN, "hosts": [{"host": "mx", **QUICK, "accept_median_s": EACH_S}]}]
        ),
        policy=DestinationControls(default=entry),
        workload=Workload(trace=trace),
        delivery=DeliverySwitches(dns_s=0.0),
        acceptance=Sample([1.0]),
    )
    return scenario, times


def test_a_deterministic_backlog_drains_as_the_fluid_does() -> None:
    """B / (mu - lambda) = 600 / (4 - 1) = 200 s, but for whole messages and services: within two services."""
    scenario, _ = deterministic()
    world = compile_world(scenario)
    sink = RecordSink(world.labels)
    run_world(world, 1, sink)
    load = RunLoad(sink.message_rows(), sink.connection_rows(), world.labels, 7_200_000_000)
    drain = load.drain(HOUR_US, load.end_us + 1)
    assert drain.level_before_messages == pytest.approx(1.0, abs=1e-3)
    expected = drain_s(BACKLOG, SERVERS_OF_RUN / EACH_S, 1.0)
    assert expected == 200.0
    assert abs(drain.drain_s - expected) <= 2 * EACH_S
    assert drain.departed_per_s == pytest.approx(4.0, rel=0.02)
    assert drain.arrived_per_s == pytest.approx(1.0, rel=0.02)
    assert load.in_use.peak()[0] == SERVERS_OF_RUN


def test_the_fluid_never_drains_where_no_capacity_is_spare() -> None:
    assert drain_s(5, 1.0, 1.0) == inf
    assert drain_s(0, 1.0, 2.0) == 0


def test_the_service_time_is_what_a_message_keeps_a_connection_busy() -> None:
    """One second to accept; four round trips of 1 us, and openings of 3 us that are few beside the messages."""
    scenario, times = deterministic()
    world = compile_world(scenario)
    sink = RecordSink(world.labels)
    run_world(world, 1, sink)
    found = service_time(world, sink.message_rows(), sink.connection_rows())
    assert len(sink.message_rows()) == len(times)
    assert found.mean_s == pytest.approx(1.0, abs=1e-5)
    assert found.scv == pytest.approx(0.0, abs=1e-6)
    nobody = service_time(world, sink.message_rows()[:0], sink.connection_rows()[:0])
    assert (nobody.mean_s, nobody.scv) == (0.0, 0.0)
