"""Which engine runs: the answer is the same, so only how soon it comes may differ."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sim import jit
from sim.delivery import warm
from sim.delivery.compile import compile_world
from sim.delivery.simulate import chosen, simulate
from sim.delivery.world import World
from sim.errors import ScenarioError
from sim.scenario import Scenario
from sim.world.population import Population
from sim.world.workload import Workload


def world(messages: float) -> World:
    people = Population.custom([{"domain": "a.example", "messages": 1}, {"domain": "b.example", "messages": 3}])
    return compile_world(Scenario(population=people, workload=Workload.flat(messages)))


def state(monkeypatch: pytest.MonkeyPatch, *, available: bool, warm: bool, loaded: bool) -> None:
    for name, value in (("available", available), ("is_warm", warm), ("is_loaded", loaded)):
        monkeypatch.setattr(jit, name, lambda value=value: value)


@pytest.mark.parametrize(
    ("warm", "loaded", "messages", "engine"),
    [
        (False, False, 400_000, "reference"),
        (False, False, 600_000, "compiled"),
        (True, False, 10_000, "reference"),
        (True, False, 30_000, "compiled"),
        (True, True, 10, "compiled"),
    ],
)
def test_a_small_run_waits_neither_for_the_compiler_nor_for_what_it_made(
    monkeypatch: pytest.MonkeyPatch, warm: bool, loaded: bool, messages: float, engine: str
) -> None:
    state(monkeypatch, available=True, warm=warm, loaded=loaded)
    assert chosen(world(messages)) == engine


def test_many_small_runs_count_as_one_large(monkeypatch: pytest.MonkeyPatch) -> None:
    state(monkeypatch, available=True, warm=True, loaded=False)
    assert [chosen(world(5_000), runs=runs) for runs in (1, 3, 5)] == ["reference", "reference", "compiled"]


def test_without_a_compiler_the_reference_runs_and_asking_for_the_other_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state(monkeypatch, available=False, warm=False, loaded=False)
    assert chosen(world(1e7)) == "reference"
    with pytest.raises(
        ScenarioError,
        match=r"^engine: compiled, but numba is not installed, or TLSSIM_NO_NUMBA is set; allowed: reference",
    ):
        chosen(world(1e7), "compiled")
    assert not warm.warm()


@pytest.mark.parametrize("threads", [0, -2, 1.5, True, "2"])
def test_threads_that_are_none_are_refused(threads: object) -> None:
    scenario = Scenario(population=Population.custom([{"domain": "a.example", "messages": 1}]))
    with pytest.raises(ScenarioError, match=r"^threads = .*allowed: 1 or more"):
        simulate(scenario, threads=threads)  # type: ignore[arg-type]


def test_an_engine_that_is_none_is_refused_with_the_nearest() -> None:
    scenario = Scenario(population=Population.preset("2020s-web", domains=5), workload=Workload(messages_per_day=10))
    with pytest.raises(ScenarioError, match=r"engine = 'compield'.*Did you mean 'compiled'"):
        simulate(scenario, engine="compield")


@pytest.mark.parametrize("until_s", [None, 40_000.0])
def test_a_result_is_the_same_from_both_but_for_the_name_of_the_engine(until_s: float | None) -> None:
    scenario = Scenario(
        population=Population.preset("2020s-web", domains=40),
        workload=Workload(messages_per_day=1_500),
        until_s=until_s,
    )
    ours, other = (simulate(scenario, engine=engine) for engine in ("reference", "compiled"))
    assert ours.meta | {"engine": "compiled"} == other.meta
    assert ours.summary().equals(other.summary())
    for name, counts in ours.counts.state().items():
        assert (counts == other.counts.state()[name]).all(), name
    lowered = replace(scenario, delivery=replace(scenario.delivery, max_connections=2))
    narrow = [simulate(lowered, engine=engine, records=True) for engine in ("reference", "compiled")]
    assert narrow[0].meta["ceiling_reached"]
    assert narrow[0].messages.equals(narrow[1].messages)
    assert narrow[0].connections.equals(narrow[1].connections)
