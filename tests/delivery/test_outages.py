"""Outages of MX hosts: drawn by the host's name in absolute time, for the share of time that the population says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from sim.delivery.compile import compile_world
from sim.delivery.lists import Lists, Outages
from sim.errors import PopulationError
from sim.scenario import Scenario
from sim.world.population import Population
from sim.world.workload import Workload

FALSE_ALARM = 1e-6
MEAN_S = 600.0
CYCLES = 20_000


def lists_of(share: float, *names: str) -> Lists:
    """Domains with a host each, of these names, that are down for this share of time."""
    specs = [
        {"domain": f"{name}.example", "hosts": [{"host": name, "outage_share": share, "outage_mean_s": MEAN_S}]}
        for name in names
    ]
    return Lists(compile_world(Scenario(population=Population.custom(specs), workload=Workload())))


def spells(lists: Lists, seed: int, cycles: int = CYCLES, host: int = 0) -> list[tuple[int, int]]:
    """Return (begins, ends) of the outage of each cycle."""
    outages = Outages(lists, seed)
    return [(begins, begins + lasts) for begins, lasts in (outages._outage(host, c) for c in range(cycles))]


def achieved_share(share: float, seed: int = 1) -> float:
    """Share of time that outages cover; one that reaches into the next is counted once."""
    lists = lists_of(share, "mx")
    covered = end = 0
    for begins, ends in spells(lists, seed):
        covered += max(0, ends - max(begins, end))
        end = max(end, ends)
    return float(covered / (CYCLES * lists.outage_cycle_us[0]))


def tolerance(share: float) -> float:
    """Lengths are exponential: their mean over cycles has a relative deviation of 1 / sqrt(cycles); 1e-6, two-sided."""
    return share * float(stats.norm.isf(FALSE_ALARM / 2)) / math.sqrt(CYCLES)


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.05, 0.1])
def test_a_host_is_down_for_its_share_of_time(share: float) -> None:
    """Small shares: within 3.5 % of the share (20,000 outages, 1e-6), and 1 % for those that overlap."""
    assert abs(achieved_share(share) - share) <= tolerance(share) + 0.01 * share


@pytest.mark.parametrize("share", [0.11, 1.0])
def test_a_host_cannot_be_down_so_often_that_its_outages_overlap(share: float) -> None:
    """One outage begins in each cycle: beyond a tenth of the time they would cover visibly less than they last."""
    with pytest.raises(PopulationError, match=r"outage_share\[0\] = .*allowed: numbers, 0..0.1"):
        lists_of(share, "mx")


def test_one_outage_begins_in_each_cycle_anywhere_in_it() -> None:
    """Kolmogorov-Smirnov of the beginnings within their cycles, and of the lengths: 1e-6 each."""
    lists = lists_of(0.01, "mx")
    cycle_us = lists.outage_cycle_us[0]
    assert cycle_us == MEAN_S / 0.01 * 1e6
    begins, ends = np.array(spells(lists, 2), dtype=np.int64).T
    assert (begins // cycle_us).tolist() == list(range(CYCLES))
    assert stats.kstest(begins % cycle_us / cycle_us, "uniform").pvalue > FALSE_ALARM
    assert stats.kstest((ends - begins) / (MEAN_S * 1e6), "expon").pvalue > FALSE_ALARM


def test_what_covers_an_instant_does_not_depend_on_when_others_asked() -> None:
    """In order, in any order, on one object or a new one: the same as the list of all outages says."""
    lists = lists_of(0.1, "mx")
    listed = np.array(spells(lists, 3, cycles=400), dtype=np.int64)
    rng = np.random.default_rng(1)
    edges = np.concatenate([listed.ravel(), listed.ravel() - 1, rng.integers(0, listed[-2, 0], 500)])
    times = rng.permutation(edges[edges >= 0])
    times = times[times < 399 * lists.outage_cycle_us[0]]

    def covered(at: NDArray[np.int64]) -> list[bool]:
        return [bool(((listed[:, 0] <= t) & (t < listed[:, 1])).any()) for t in at]

    for order in (times, np.sort(times)):
        outages = Outages(lists, 3)
        assert [outages.covers(0, t) for t in order.tolist()] == covered(order)


def test_outages_belong_to_the_name_of_the_host() -> None:
    """Another host before it in the list changes nothing; another name or seed does."""
    alone, second = lists_of(0.05, "mx-b"), lists_of(0.05, "mx-a", "mx-b")
    assert spells(alone, 4, 50) == spells(second, 4, 50, host=1)
    assert spells(alone, 4, 50) != spells(second, 4, 50, host=0)
    assert spells(alone, 4, 50) != spells(alone, 5, 50)
