"""Step functions against counting by hand, at every instant."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sim.results.step_functions import oldest_waiting, peak_rate_per_s, steps

Ints = NDArray[np.int64]
END = 60
#: (comes, how long it stays, weight): few distinct times, so that equal ones are the normal case.
THINGS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 15), st.integers(0, 4)), max_size=25)


def arrays(things: list[tuple[int, int, int]]) -> tuple[Ints, Ints, Ints]:
    rows = np.array(things, dtype=np.int64).reshape(-1, 3)
    return rows[:, 0], rows[:, 0] + rows[:, 1], rows[:, 2]


def by_hand(things: list[tuple[int, int, int]]) -> list[int]:
    """The level in [t, t + 1) for each t: all times are whole, so nothing changes in between."""
    return [sum(weight for up, stay, weight in things if up <= t < up + stay) for t in range(END)]


@given(THINGS)
def test_levels_peak_and_integral_are_those_counted_at_every_instant(things: list[tuple[int, int, int]]) -> None:
    level, expected = steps(*arrays(things)), by_hand(things)
    assert [int(level.at(t)) for t in range(END)] == expected
    assert np.all(np.diff(level.time_us) > 0)
    assert level.peak() == ((max(expected), expected.index(max(expected))) if max(expected) else (0, 0))
    assert level.integral(0, END) == sum(expected) == sum(stay * weight for _, stay, weight in things)
    assert level.integral(7, 19) == sum(expected[7:19])
    assert level.mean(7, 19) == pytest.approx(sum(expected[7:19]) / 12)


@given(THINGS, st.floats(0.01, 1.0))
def test_a_quantile_of_time_is_the_lowest_level_not_exceeded_for_so_long(
    things: list[tuple[int, int, int]], share: float
) -> None:
    expected = np.array(by_hand(things))
    found = steps(*arrays(things)).quantile(share, 0, END)
    assert (expected <= found).mean() >= share - 1e-12
    assert found == 0 or (expected < found).mean() < share


@given(THINGS, st.lists(st.integers(0, END - 1), min_size=1, max_size=6, unique=True))
def test_the_highest_level_of_an_interval_loses_no_peak(things: list[tuple[int, int, int]], cuts: list[int]) -> None:
    expected, edges = by_hand(things), [*sorted(cuts), END]
    found = steps(*arrays(things)).highest(np.array(edges))
    assert found.tolist() == [max(expected[a:b]) for a, b in pairwise(edges)]


@given(THINGS, st.integers(0, 8), st.integers(0, END - 1))
def test_first_and_last_times_at_a_level_are_those_of_a_search(
    things: list[tuple[int, int, int]], height: int, start: int
) -> None:
    level, expected = steps(*arrays(things)), by_hand(things)
    assert level.first_at_most(height, start) == next(t for t in range(start, END) if expected[t] <= height)
    falls = [t for t in range(1, END) if expected[t] <= height < expected[t - 1]]
    assert level.last_fall_us(height) == (falls[-1] if falls else 0)
    if expected[start] > height:
        rises = [t for t in range(start + 1) if expected[t] > height and (t == 0 or expected[t - 1] <= height)]
        assert level.last_at_most(height, start) == rises[-1]


def test_what_never_goes_stays() -> None:
    level = steps(np.array([1, 2]), np.array([-1, 5]))
    assert level.at(np.array([0, 1, 3, 9])).tolist() == [0, 1, 2, 1]


@given(THINGS)
def test_the_oldest_is_the_first_that_came_of_those_there(things: list[tuple[int, int, int]]) -> None:
    up, down, _ = arrays(things)
    found = oldest_waiting(up, down)
    for t in range(END):
        there = [a for a, d in zip(up.tolist(), down.tolist(), strict=True) if a <= t < d]
        assert int(found.since_us.at(t)) == (min(there) if there else -1)
    ages = [max((t + 1 - a for a, d in zip(up, down, strict=True) if a <= t < d), default=0) for t in range(END)]
    edges = np.array([0, 3, 10, 11, END])
    expected = [max(ages[a:b]) / 1e6 for a, b in pairwise(edges)]
    assert found.highest_age_s(edges) == pytest.approx(expected)
    assert found.peak_age_s == pytest.approx(max(ages) / 1e6)


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(1, 9))
def test_the_busiest_window_slides(times: list[int], width: int) -> None:
    rate, begins = peak_rate_per_s(np.array(times, dtype=np.int64) * 1_000_000, float(width))
    counts = [sum(t <= x < t + width for x in times) for t in range(41)]
    assert rate == pytest.approx(max(counts) / width)
    assert not times or counts[begins // 1_000_000] == max(counts)
