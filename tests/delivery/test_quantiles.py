"""Integer tables are held to the distributions they stand for, and the vectorised look-up to the scalar one."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from sim.delivery.quantiles import count_thresholds, quantile_table, quantiles_of_many, tail_knots, unit_table
from sim.delivery.rules import CELL_BITS, UNIT_BITS, quantile
from sim.errors import WorkloadError
from sim.world.shapes import Sample, default_recipients, default_sizes

Int64 = NDArray[np.int64]
WHOLE, HALF = 1 << 32, 1 << 31
#: The design's promise: mean and q(1 - 1e-6) within 0.1 %.
WITHIN = 1e-3
SCALE = 1e6
SHAPES: dict[str, Any] = {
    "lognormal 0.8": stats.lognorm(0.8),
    "lognormal 1.5": stats.lognorm(1.5),
    "exponential": stats.expon(),
    "uniform": stats.uniform(),
}
COUNTS: dict[str, Any] = {
    "geometric": stats.geom(0.4),
    "truncated zipf": stats.zipfian(2.0, 60),
    "recipients of mail.csv": default_recipients(),
}
#: Every cell of either far tail, and both sides of every change of cell width and of the median.
EDGES = sorted(
    {w for e in range(33) for w in range((1 << e) - 2, (1 << e) + 3)}
    | {WHOLE - 1 - w for e in range(33) for w in range((1 << e) - 2, (1 << e) + 3)}
    | set(range(200))
    | set(range(WHOLE - 200, WHOLE))
    | set(range(HALF - 100, HALF + 100))
)
EDGES = [w for w in EDGES if 0 <= w < WHOLE]

every_word = st.one_of(
    st.integers(0, WHOLE - 1),
    st.sampled_from(EDGES),
    st.builds(lambda bits, word: word >> bits, st.integers(0, 31), st.integers(0, WHOLE - 1)),
    st.builds(lambda bits, word: WHOLE - 1 - (word >> bits), st.integers(0, 31), st.integers(0, WHOLE - 1)),
)


@cache
def table_of(name: str) -> Int64:
    return quantile_table(SHAPES[name], scale=SCALE, what=name)


def mean_of(table: Int64) -> float:
    """Mean over all 2**32 words, from the knots: within a cell the values run evenly, rounded down by less than one."""
    width = np.diff(tail_knots()).astype(np.float64)
    total = 0.0
    for half in np.split(table.astype(np.float64), 2):
        total += float((width * half[:-1] + np.diff(half) * (width - 1) / 2).sum())
    return total / WHOLE


class Pareto:
    """A tail too heavy for integers: q(1 - 2**-33) is 2**66."""

    def ppf(self, q: ArrayLike, /) -> NDArray[np.float64]:
        return (1.0 - np.asarray(q, dtype=np.float64)) ** -2.0

    def mean(self) -> float:
        return float("inf")


# --- the look-up and its twin


@pytest.mark.parametrize("name", SHAPES)
def test_the_vectorised_quantile_is_the_scalar_one(name: str) -> None:
    """All edges of cells, both far tails and 20,000 words from everywhere."""
    table = table_of(name)
    everywhere = np.random.default_rng(1).integers(0, WHOLE, 20_000)
    word = np.concatenate([np.array(EDGES), everywhere]).astype(np.int64)
    plain = table.tolist()
    assert quantiles_of_many(table, word).tolist() == [quantile(plain, w) for w in word.tolist()]


@given(
    st.lists(st.integers(0, 1 << 36), min_size=2 * len(tail_knots()), max_size=2 * len(tail_knots())),
    st.lists(every_word, min_size=1, max_size=50),
)
def test_the_two_forms_agree_on_any_table(knots: list[int], word: list[int]) -> None:
    """Tables of no distribution too: falling cells, and steps up to the widest allowed."""
    many = quantiles_of_many(np.array(knots, dtype=np.int64), np.array(word, dtype=np.int64))
    assert many.tolist() == [quantile(knots, w) for w in word]


@given(st.sampled_from(sorted(SHAPES)), every_word)
def test_a_quantile_lies_between_the_knots_of_its_cell_and_never_falls(name: str, word: int) -> None:
    table = table_of(name).tolist()
    here, after = quantile(table, word), quantile(table, min(word + 1, WHOLE - 1))
    assert table[0] <= here <= after <= table[len(table) // 2]


def test_the_knots_are_where_the_cells_change() -> None:
    """``2**CELL_BITS`` cells an octave, each octave twice as wide, from single words up to the median."""
    knots = tail_knots()
    assert (knots[0], knots[-1], len(knots)) == (0, HALF, 2**CELL_BITS * 27 + 1)
    width = np.diff(knots)
    cells = 2**CELL_BITS
    assert width[: 2 * cells].tolist() == [1] * (2 * cells)
    for octave in range(1, 26):
        start = (octave + 1) * cells
        assert width[start : start + cells].tolist() == [1 << octave] * cells


# --- the table and its distribution


@pytest.mark.parametrize("name", SHAPES)
def test_mean_and_far_quantile_are_those_of_the_distribution(name: str) -> None:
    """Tolerance 0.1 %, no chance involved: the mean is that over all 2**32 words."""
    table, shape = table_of(name), SHAPES[name]
    assert mean_of(table) == pytest.approx(SCALE * float(shape.mean()), rel=WITHIN)
    far = quantile(table.tolist(), round((1 - 1e-6) * WHOLE) - 1)
    assert far == pytest.approx(SCALE * float(shape.ppf(1 - 1e-6)), rel=WITHIN)


@pytest.mark.parametrize("name", SHAPES)
def test_every_quantile_is_near(name: str) -> None:
    """0.1 % of the quantile plus two units (rounding), at 2,000 probabilities from 1e-6 to 1 - 1e-6."""
    lower = np.geomspace(1e-6, 0.5, 1_000)
    probability = np.concatenate([lower, 1 - lower])
    word = np.floor(probability * WHOLE).astype(np.int64)
    exact = SCALE * SHAPES[name].ppf((word + 0.5) / WHOLE)
    assert (np.abs(quantiles_of_many(table_of(name), word) - exact) <= WITHIN * exact + 2.0).all()


def test_the_sum_over_knots_is_the_sum_over_words() -> None:
    """What :func:`mean_of` rests on, checked word by word where the cells are narrow."""
    table = table_of("exponential")
    upto = 1 << 16
    word = np.arange(upto, dtype=np.int64)
    half = table[: len(table) // 2].astype(np.float64)
    inside = tail_knots() <= upto
    width, low = np.diff(tail_knots()[inside]), half[inside]
    by_knots = float((width * low[:-1] + np.diff(low) * (width - 1) / 2).sum())
    assert float(quantiles_of_many(table, word).sum()) == pytest.approx(by_knots, abs=upto)


def test_unit_tables_have_the_fixed_point_of_the_rules() -> None:
    """The exponential's mean and the log-normal's median are ``2**UNIT_BITS``; the mean within 0.1 %."""
    assert mean_of(unit_table(stats.expon(), what="gap")) == pytest.approx(1 << UNIT_BITS, rel=WITHIN)
    lognormal = unit_table(stats.lognorm(1.0), what="acceptance").tolist()
    assert (quantile(lognormal, HALF - 1), quantile(lognormal, HALF)) == pytest.approx([1 << UNIT_BITS] * 2, abs=1)


def test_the_sizes_of_the_shipped_workload_keep_their_mean() -> None:
    """Tolerance 0.1 %: body and Pareto tail of ``data/populations/mail.csv``."""
    sizes = default_sizes()
    assert mean_of(quantile_table(sizes, scale=1.0, what="size_bytes")) == pytest.approx(sizes.mean(), rel=WITHIN)


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        (stats.norm(), "lowest -"),
        (Pareto(), "span too wide a range"),
        (stats.pareto(0.1), "span too wide a range"),
    ],
)
def test_a_distribution_that_fits_no_table_is_told(shape: Any, told: str) -> None:
    with pytest.raises(WorkloadError, match=told) as fault:
        quantile_table(shape, scale=SCALE, what="size_bytes")
    assert str(fault.value).startswith("size_bytes: ")


# --- counts


def words_of(shape: Any, what: str) -> dict[int, int]:
    """How many of the 2**32 words draw each value."""
    below, values = count_thresholds(shape, what=what)
    assert below[-1] == WHOLE
    assert (np.diff(below) > 0).all()
    assert (np.diff(values) > 0).all()
    return dict(zip(values.tolist(), np.diff(below, prepend=0).tolist(), strict=True))


@pytest.mark.parametrize("name", COUNTS)
def test_counts_have_the_frequencies_of_their_distribution(name: str) -> None:
    """Each value by as many words as its probability has, give or take one (rounding): no value is lost."""
    shape = COUNTS[name]
    drawn = words_of(shape, name)
    top = max(drawn)
    middle = (np.arange(64, dtype=np.float64) + 0.5) / 64
    assert {int(v) for v in shape.ppf(middle)} <= set(drawn)
    if hasattr(shape, "pmf"):
        exact = {v: float(shape.cdf(v) - shape.cdf(v - 1)) * WHOLE for v in range(1, top)}
        exact[top] = float(1 - shape.cdf(top - 1)) * WHOLE
    else:
        fall = np.arange(1, shape.most + 1) ** -float(shape.exponent)
        exact = dict(zip(range(1, shape.most + 1), (fall / fall.sum() * WHOLE).tolist(), strict=True))
    assert {v for v, n in exact.items() if n >= 2} <= set(drawn)
    assert all(abs(n - exact[v]) <= 2 for v, n in drawn.items())


def test_a_sample_is_drawn_as_often_as_it_holds_each_value() -> None:
    """Exactly: quarters of 2**32."""
    assert words_of(Sample([1, 1, 2, 5]), "recipients") == {1: 1 << 31, 2: 1 << 30, 5: 1 << 30}
    assert words_of(Sample([3]), "recipients") == {3: WHOLE}


def test_a_wide_sample_keeps_every_value() -> None:
    """A list of 300 mailing-list sizes, each once: each is drawn by its 300th of the words, give or take one."""
    drawn = words_of(Sample(range(1, 301)), "recipients")
    assert set(drawn) == set(range(1, 301))
    assert all(abs(n - WHOLE / 300) <= 1 for n in drawn.values())


def test_counts_above_the_most_are_refused_and_never_clamped() -> None:
    """The largest quantile of geom(0.5) over 2**32 words is 33."""
    with pytest.raises(WorkloadError, match="recipients: quantiles reach 33; allowed: up to 3"):
        count_thresholds(stats.geom(0.5), what="recipients", most=3)


@pytest.mark.parametrize("shape", [stats.poisson(2.0), stats.uniform(1.0, 3.0), Sample([1.5]), Sample([0])])
def test_what_is_no_count_is_told(shape: Any) -> None:
    with pytest.raises(WorkloadError, match="recipients: must be whole numbers of at least 1"):
        count_thresholds(shape, what="recipients")
