"""The log-linear histogram against sorting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.results.histogram import BINS, LogHistogram, bin_of, bounds_of, quantile

DURATIONS = st.integers(0, 2**63 - 1)


@given(DURATIONS)
def test_a_value_lies_in_its_bin_and_the_bin_is_narrow(value: int) -> None:
    bins = bin_of(np.array([value]))
    lower, width = (int(a[0]) for a in bounds_of(bins))
    assert lower <= value < lower + width
    assert 0 <= bins[0] < BINS
    assert width == 1 or width / lower < 0.01


def test_bins_follow_each_other_without_gap_or_overlap() -> None:
    lower, width = bounds_of(np.arange(BINS - 1))
    assert lower[0] == 0
    assert np.array_equal(lower[1:], (lower + width)[:-1])


def test_powers_of_two_and_their_neighbours_fall_into_different_bins() -> None:
    powers = 2 ** np.arange(1, 62)
    assert (bin_of(powers) == bin_of(powers - 1) + 1).all()
    assert int(bin_of(np.array([2**63 - 1]))[0]) == BINS - 1


def test_a_negative_duration_is_refused() -> None:
    with pytest.raises(ValueError, match="duration = -5; allowed: >= 0 microseconds"):
        bin_of(np.array([3, -5]))


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200), st.sampled_from([0.001, 0.5, 0.95, 0.99, 1.0]))
def test_quantiles_hold_the_exact_one_between_their_bounds(values: list[int], q: float) -> None:
    histogram = LogHistogram(1)
    histogram.add(np.zeros(len(values), dtype=np.int64), np.array(values))
    found = quantile(histogram.counts(), q)
    rank = next(k for k in range(1, len(values) + 1) if k * 1000 >= round(q * 1000) * len(values))
    exact = sorted(values)[rank - 1]
    assert found is not None
    assert found.lower <= exact < found.upper
    assert abs(found.middle - exact) <= 0.004 * exact


def test_nothing_counted_has_no_quantile() -> None:
    assert quantile(LogHistogram(2).counts(), 0.5) is None
    with pytest.raises(ValueError, match=r"q = 1\.5"):
        quantile(LogHistogram(2).counts(), 1.5)


PAIRS = st.lists(st.tuples(st.integers(0, 4), DURATIONS), max_size=100)


def histogram_of(pairs: list[tuple[int, int]]) -> LogHistogram:
    histogram = LogHistogram(5)
    group, value = (np.array([p[k] for p in pairs], dtype=np.int64) for k in (0, 1))
    histogram.add(group, value)
    return histogram


@given(PAIRS, PAIRS)
def test_merging_is_adding_in_any_order(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    left, right = histogram_of(a), histogram_of(b)
    left.merge(histogram_of(b))
    right.merge(histogram_of(a))
    whole = list(histogram_of(a + b).entries())
    assert list(left.entries()) == list(right.entries()) == whole
    assert sum(count for _, _, count in whole) == len(a) + len(b) == int(left.counts().sum())


def test_counts_of_some_groups_add_up() -> None:
    histogram = histogram_of([(0, 5), (1, 5), (1, 7_000_000), (4, 5)])
    assert int(histogram.counts([0, 1])[5]) == 2
    assert int(histogram.counts([2]).sum()) == 0
    with pytest.raises(ValueError, match="groups = 3; allowed: 5"):
        histogram.merge(LogHistogram(3))
