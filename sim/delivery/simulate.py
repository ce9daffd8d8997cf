"""simulate(): compile a scenario, run an engine, hand back the result."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sim import jit
from sim.about import __version__
from sim.delivery.compile import compile_world
from sim.delivery.reference import Progress, Reference
from sim.delivery.world import World, expected_messages
from sim.errors import ScenarioError, complaint
from sim.results.result import Result
from sim.results.sinks import Sink
from sim.results.store import kept
from sim.scenario import Scenario

ENGINES = ("auto", "reference", "compiled")
#: Messages for which the compiled engine is worth loading, about a second, and worth compiling, about half a minute.
WORTH_LOADING, _WORTH_COMPILING = 20_000, 500_000


def simulate(
    scenario: Scenario,
    seed: int = 1,
    engine: str = "auto",
    records: bool | str | os.PathLike[str] = False,
    progress: Progress | None = None,
    threads: int | None = None,
) -> Result:
    """Run a scenario and return its result.

    Parameters
    ----------
    scenario : policy, population, mail.
    seed : of all chance in the run; the same World and seed give the same records on any machine.
    engine : ``reference`` (SimPy), ``compiled`` (numba), or ``auto``: the one that is done first. The answer is the
        same.
    records : keep a row per message and per connection, for ``result.messages`` and ``result.connections``: True in
        memory, or a folder to write them to as Parquet while the run goes on (`sim.read_records` reads it).
    progress : called every simulated hour, or some millions of events, with (time in us, messages that arrived,
        messages that have their fate).
    threads : of the compiled engine; None = as many as there are processors. The answer is the same.

    Raises
    ------
    ScenarioError
        When the engine or the threads are none, or a part of the scenario does not fit together.
    OutputError
        When records cannot be written where they were asked for.
    """
    if engine not in ENGINES:
        raise ScenarioError(complaint("engine", engine, ENGINES))
    check_seed(seed)
    check_number("threads", threads)
    world = compile_world(scenario)
    engine = chosen(world, engine)
    meta = describe(scenario, world) | {"seed": seed, "engine": engine}
    with kept(records, world.labels, meta, compiled=engine == "compiled") as sink:
        meta |= run_world(world, seed, sink, progress, engine, threads)
    return Result(world.labels, sink, meta)


def check_seed(seed: object) -> None:
    """Refuse a seed that is no whole number of 63 bits.

    Raises
    ------
    ScenarioError
        Naming the seed and what is allowed.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 1 << 63:
        raise ScenarioError(complaint("seed", seed, "whole numbers, 0..2^63 - 1"))


def check_number(name: str, number: object) -> None:
    """Refuse a number of threads or processes that is none; None = the processors there are.

    Raises
    ------
    ScenarioError
        Naming the number and what is allowed.
    """
    if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
        raise ScenarioError(complaint(name, number, "1 or more"))


def run_world(
    world: World,
    seed: int,
    sink: Sink,
    progress: Progress | None = None,
    engine: str = "auto",
    threads: int | None = None,
) -> dict[str, Any]:
    """Run a World into a sink and return what the run says of itself: end_s, peak_connections, ceiling_reached.

    Parameters
    ----------
    engine, threads : as for `simulate`.
    """
    if chosen(world, engine) == "compiled":
        from sim.delivery.compiled import Compiled

        facts = Compiled(world, seed, sink, threads).run(progress)
    else:
        with _rare_collections():
            facts = Reference(world, seed, sink).run(progress)
    return {
        "end_s": facts.end_us / 1e6,
        "peak_connections": facts.peak_connections,
        "ceiling_reached": facts.ceiling_reached,
    }


def chosen(world: World, engine: str = "auto", runs: int = 1) -> str:
    """Return the engine for so many runs such as this World's: both give the same rows, so the one that is done first.

    The compiled engine starts at once where this process has used it; the first time it has to be loaded, which takes
    about a second; and the first time on a machine compiled, for which a small run does not wait.

    Raises
    ------
    ScenarioError
        When the engine is unknown, or is *compiled* and there is no compiler.
    """
    if engine not in ENGINES:
        raise ScenarioError(complaint("engine", engine, ENGINES))
    if engine == "compiled" and not jit.available():
        raise ScenarioError(
            "engine: compiled, but numba is not installed, or TLSSIM_NO_NUMBA is set; "
            "allowed: reference, or pip install numba"
        )
    if engine != "auto":
        return engine
    if not jit.available():
        return "reference"
    least = 0 if jit.is_loaded() else WORTH_LOADING if jit.is_warm() else _WORTH_COMPILING
    return "compiled" if runs * expected_messages(world).sum() >= least else "reference"


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let Python's cycle collector rest: looking through a run's many live objects would cost a fifth of it."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def describe(scenario: Scenario, world: World) -> dict[str, Any]:
    """Return what a result says of where it came from: hashes, population, horizon, timeline, version."""
    return origin(scenario) | {
        "policy_hash": scenario.policy.hash,
        "world_hash": world.hash,
        "sender": scenario.sender,
        "until_s": scenario.until_s,
        "timeline": [event.row() for event in scenario.timeline],
    }


def origin(scenario: Scenario) -> dict[str, Any]:
    """Return what every result says of where it came from: population, days, version."""
    population = scenario.population
    return {
        "population": population.name,
        "population_seed": population.seed,
        "population_hash": population.hash,
        "weighting": population.weighting,
        "days": scenario.days,
        "version": __version__,
    }
