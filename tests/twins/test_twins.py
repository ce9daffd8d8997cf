"""Both engines return the same rows: on fresh worlds each run, on worlds that shrink, on any number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sim
from sim import jit
from sim.delivery.world import World
from sim.results.store import FILES
from sim.scenario import Scenario
from tests.delivery.test_reference_against_tiny_loop import Kept, world_of, world_that_mostly_refuses
from tests.delivery.worlds import (
    random_world,
    with_ageing,
    with_ceiling,
    with_lifetime,
    with_narrow_limits,
    with_other_demands,
    with_random_tables,
    with_retry_by_message,
    with_rules,
)
from tests.twins import __main__ as command
from tests.twins import compare
from tests.twins.compare import Both, difference_of, differences
from tests.twins.worlds import KINDS, Case, Room, case, crowd, with_mail

pytestmark = pytest.mark.skipif(not jit.available(), reason="needs numba")

#: Worlds of every test run, in chunks that may run side by side.
CHUNK, CHUNKS = 50, 6
#: Small worlds that reach every line of the kernel.
SMALL = 136
S = 1_000_000
TIGHT = Room(rows=1, places=1, openings=2, window_us=7 * S)


@cache
def first_fresh() -> int:
    """Return the first number of this run's fresh worlds: `TWINS_FIRST`, or one for each run; far from `make fuzz`."""
    if given := os.environ.get("TWINS_FIRST"):
        return int(given)
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", "")
    return 10**9 + (int(run[:8], 16) if run else time.time_ns() // 10**9 % 2**32)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_fresh_worlds_give_the_same_rows_and_counts(chunk: int) -> None:
    found = differences(first_fresh() + chunk * CHUNK, CHUNK)
    assert not found, "\n\n".join(found)


def test_a_failed_pass_of_a_destination_that_is_down_lets_idle_connections_take_mail() -> None:
    """Seed 543 is the first at which that can be seen; the tiny loop is compared on it as well."""
    found = difference_of(Case("refusing", world_that_mostly_refuses(543), 543, 2, TIGHT))
    assert not found, found


CHANGES: dict[str, Any] = {
    "ageing": with_ageing,
    "ceiling": with_ceiling,
    "patience": lambda world, _: with_lifetime(world, times=10),
    "narrow limits": with_narrow_limits,
    "other demands": with_other_demands,
    "random tables": with_random_tables,
    "retry by message": with_retry_by_message,
    "cut off": lambda world, seed: with_rules(world, until_us=(1 + seed % 40) * S),
    "at lifetime": lambda world, _: with_rules(world, expire_at_lifetime=1),
    "new mail probes": lambda world, _: with_rules(world, new_mail_probes=1),
    "success releases all": lambda world, _: with_rules(world, success_releases_all=1),
}


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 1 << 16),
    coarse=st.booleans(),
    changes=st.sets(st.sampled_from(sorted(CHANGES))),
    most=st.integers(1, 40),
    threads=st.integers(1, 3),
    rows=st.sampled_from([64, 1, 3]),
)
def test_a_world_that_shrinks_gives_the_same_rows(
    seed: int, coarse: bool, changes: set[str], most: int, threads: int, rows: int
) -> None:
    """A failure shrinks to few changes and little mail."""
    world = random_world(seed, coarse=coarse)
    for name in sorted(changes):
        world = CHANGES[name](world, seed)
    found = difference_of(Case("drawn", with_mail(world, most), seed, threads, Room(rows, rows, 4, 7 * S)))
    assert not found, found


@pytest.mark.parametrize("build", [world_of, crowd, KINDS["ceiling"][0]])
def test_any_number_of_threads_gives_the_same_rows(build: Any) -> None:
    from sim.delivery.compiled import Compiled

    world = build(11)
    runs = []
    for threads in (1, 2, 3, 5, None):
        sink = Kept()
        facts = Compiled(world, 11, sink, threads).run()
        runs.append((compare.told(facts), {kind: rows.tobytes() for kind, rows in sink.sorted().items()}))
    assert runs[1:] == runs[:-1]
    assert runs[0][0][1] > 0


def test_progress_is_told_in_order() -> None:
    from sim.delivery.compiled import Compiled

    world, told = world_of(4), []
    with TIGHT.given():
        facts = Compiled(world, 4, Both(world, compiled=False), 2).run(lambda *at: told.append(at))
    assert len(told) > 5
    assert told == sorted(told)
    assert told[-1][1:] == (facts.arrived, facts.arrived)


# --- the fuzzer itself


def test_a_number_is_one_case_and_all_kinds_come() -> None:
    assert case(17).world.hash == case(17).world.hash
    assert case(17).room == case(17).room
    assert {case(number, small=number % 2 == 0).kind for number in range(150)} == set(KINDS)


def _off_by_one(world: World, seed: int, sink: Any, threads: int) -> Any:
    """Stand for a compiled engine that delivers one message a microsecond late."""
    from sim.delivery.compiled import Compiled

    class Late(Both):
        def messages(self, rows: Any) -> None:
            rows[:, 3] += (rows[:, 1] == 0) & (rows[:, 0] == 0)
            sink.messages(rows)

    late = Late(world, compiled=False)
    late.connections = sink.connections  # type: ignore[method-assign]
    return Compiled(world, seed, late, threads)


def test_a_difference_is_told_with_its_replay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    number = next(n for n in range(100) if case(n).kind == "mixed")
    assert command.main([str(number), "1"]) == 0
    monkeypatch.setattr(compare, "Compiled", _off_by_one)
    assert command.main([str(number), "1"]) == 1
    told = capsys.readouterr().out
    assert "messages: destination 0, ordinal 0, done_us: reference" in told
    assert f"replay: python -m tests.twins {number} 1" in told
    assert f"1 worlds from {number} on: 1 differ" in told
    assert command.main(["a", "1"]) == 2


def test_an_engine_that_breaks_is_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(compare, "Compiled", breaks)
    [found] = differences(3, 1)
    assert "ZeroDivisionError" in found
    assert "replay: python -m tests.twins 3 1" in found


def test_the_kernel_as_plain_python_gives_the_same_rows_and_worlds_reach_all_of_it() -> None:
    """In a process of its own: without a compiler, and with every line of the kernel watched."""
    words = [sys.executable, "-m", "tests.twins.reach", "0", str(SMALL)]
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- a scenario by either engine


def outage_day() -> Scenario:
    """Return the example of an outage with a tenth of its mail."""
    scenario = sim.read_scenario(sim.example("outage.toml")).scenario
    return replace(scenario, workload=replace(scenario.workload, messages_per_day=2_000.0))


@pytest.mark.parametrize("records", [False, True, "folder"])
def test_a_scenario_has_the_same_results_by_either_engine(records: bool | str, tmp_path: Path) -> None:
    scenario = outage_day()
    results = {}
    for engine in ("reference", "compiled"):
        kept = tmp_path / engine if records == "folder" else bool(records)
        results[engine] = sim.simulate(scenario, seed=3, engine=engine, records=kept)
    ours, other = results["reference"], results["compiled"]
    for result in (ours, other):
        assert result.meta.pop("engine") == ("reference" if result is ours else "compiled")
    assert ours.meta == other.meta
    assert ours.summary().equals(other.summary())
    assert ours.by_domain().equals(other.by_domain())
    counts, loops = ours.counts.state(), other.counts.state()
    assert [name for name in counts if not np.array_equal(counts[name], loops[name])] == []
    if records:
        assert ours.messages.equals(other.messages)
        assert ours.connections.equals(other.connections)
    if records == "folder":
        for name in FILES:
            assert (tmp_path / "reference" / name).read_bytes() == (tmp_path / "compiled" / name).read_bytes()
