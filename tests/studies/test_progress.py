"""How far a long run says it is: half of it while mail comes, and on through the days in which mail waits."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sim import jit
from sim.delivery import compiled
from sim.delivery.compile import compile_world
from sim.results.sinks import CountSink
from sim.scenario import Scenario
from sim.studies import runs
from sim.studies.runs import Share
from sim.world.population import Population
from sim.world.workload import Workload


def told(monkeypatch: pytest.MonkeyPatch, spec: dict[str, object], days: float = 1.0) -> list[float]:
    """Return what a run of 20,000 messages a day to one destination tells of itself, in small windows of time."""
    monkeypatch.setattr(runs, "_LONG", 10_000)
    monkeypatch.setattr(compiled, "_OPENINGS", 8)
    monkeypatch.setattr(compiled, "_OPENINGS_EACH", 8)
    monkeypatch.setattr("sim.delivery.simulate.chosen", lambda *_, **__: "compiled")
    population = Population.custom([{"domain": "a.example", "messages": 20_000, **spec}])
    world = compile_world(Scenario(population=population, workload=Workload.flat(), days=days))
    parts: list[float] = []
    Share(1, parts.append).run(world, 1, CountSink(world.labels, compiled=True))
    return parts


@pytest.mark.parametrize("days", [1.0, 7.0])
@pytest.mark.skipif(not jit.available(), reason="not installed: pip install numba")
def test_a_run_that_waits_for_days_goes_on_all_the_time(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    """Nothing gets through and all mail bounces after 72 h: no stretch stands still, nor is it done early."""
    parts = told(monkeypatch, {"hosts": [{"host": "mx.a.example", "unreachable_rate": 1.0}]}, days)
    assert all(a < b for a, b in pairwise(parts[:-1]))
    assert sum(part > 0.99 for part in parts) <= len(parts) / 8
    assert parts[-1] == pytest.approx(1.0, abs=0.02)
    assert max(b - a for a, b in pairwise(parts)) < 0.2


@pytest.mark.skipif(not jit.available(), reason="not installed: pip install numba")
def test_mail_that_gets_through_at_once_is_done_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = told(monkeypatch, {})
    assert parts == sorted(parts)
    assert len(parts) > 20
    assert parts[-1] == pytest.approx(1.0, abs=0.02)
