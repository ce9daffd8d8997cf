"""What things cost, printed beside what they may cost; for a quiet machine: ``make bench``."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest

from sim import jit
from sim.policy.decide import decide
from sim.policy.profiles.esa import tables
from sim.terms import Chain, Setting, Stage

pytestmark = pytest.mark.bench
needs_numba = pytest.mark.skipif(not jit.available(), reason="needs numba")


def seconds(work: Callable[[], object], times: int = 5) -> float:
    """The median time of some work, after one run to warm up."""
    work()
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def tell(what: str, found: float, allowed: str) -> None:
    print(f"\n{what}: {found:,.3g} ({allowed})")


@pytest.mark.parametrize(("compiled", "least"), [(False, 150e6), pytest.param(True, 500e6, marks=needs_numba)])
def test_the_policy_core_decides_so_many_rows_a_second(
    compiled: bool, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jit, "_loaded", [True] if compiled else [])
    rows = 1_000_000
    draw = np.random.Generator(np.random.Philox(key=1))
    setting, stage, chain = (draw.integers(0, len(term), rows, dtype=np.uint8) for term in (Setting, Stage, Chain))
    version_ok, holds = (draw.integers(0, 2, rows, dtype=np.uint8).astype(bool) for _ in range(2))
    rate = rows / seconds(lambda: decide(setting, stage, version_ok, chain, holds, tables()))
    tell(f"decisions/s, million, {'compiled' if compiled else 'numpy'}", rate / 1e6, f"at least {least / 1e6:.0f}")
    assert rate > least


@pytest.mark.parametrize(("code", "allowed_s"), [("import sim", 0.3), ("import sim.cli", 0.3)])
def test_a_cold_start_is_quick(code: str, allowed_s: float) -> None:
    def run(text: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, "-c", text], check=True)

    found = seconds(run(code)) - seconds(run("pass"))
    tell(f"{code}, s", found, f"below {allowed_s}")
    assert found < allowed_s
