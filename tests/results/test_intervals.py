"""Intervals over replications."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sim.results.intervals import (
    across,
    across_frames,
    order_statistic_interval,
    possible_fates,
    prediction_interval,
    share_text,
    values_needed,
)
from sim.terms import Fate, Setting


def covered(samples: np.ndarray, truth: float, level: float) -> int:
    found = across(list(samples), level=level)
    return int(((found.low <= truth) & (truth <= found.high)).sum())


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("replications", [2, 5, 20])
def test_intervals_cover_as_often_as_they_say(replications: int, level: float) -> None:
    """False-alarm rate 1e-6 a case: the number of 20,000 normal samples that cover is binomial."""
    rng = np.random.default_rng(11)
    hits = covered(rng.normal(0.5, 0.01, (replications, 20_000)), 0.5, level)
    assert stats.binom.ppf(5e-7, 20_000, level) <= hits <= stats.binom.ppf(1 - 5e-7, 20_000, level)


def test_intervals_of_binomial_shares_cover_nearly_as_often() -> None:
    """Shares of 2,000 messages are nearly normal: 95 % nominal is at least 94 % true, at a false-alarm rate of 1e-6."""
    rng = np.random.default_rng(12)
    hits = covered(rng.binomial(2_000, 0.1, (5, 20_000)) / 2_000, 0.1, 0.95)
    assert hits >= stats.binom.ppf(1e-6, 20_000, 0.94)


def test_an_interval_is_student_s() -> None:
    values = [0.1, 0.2, 0.4]
    found = across(values)
    half = stats.t.ppf(0.975, 2) * np.std(values, ddof=1) / np.sqrt(3)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.low == max(np.mean(values) - half, 0)
    assert found.high == pytest.approx(np.mean(values) + half)
    assert found.text() == "95 % intervals over 3 replications; chance and population varied"


def test_shares_stay_between_0_and_1_and_other_quantities_do_not() -> None:
    assert across([0.0, 0.02]).low == 0
    assert across([1.0, 0.98]).high == 1
    assert across([0.0, 0.02], clip=None).low < 0


def test_one_replication_has_no_interval() -> None:
    found = across([[0.3, 0.7]])
    assert np.isnan(found.low).all()
    assert np.isnan(found.high).all()
    assert found.mean.tolist() == [0.3, 0.7]
    assert found.text() == "one replication: no intervals"


def test_impossible_fates_are_zero_without_interval() -> None:
    possible = possible_fates(Setting.REQUIRED)
    found = across([[0, 0.9, 0, 0.1, 0], [0, 0.8, 0, 0.2, 0]], possible=possible)
    assert found.mean[Fate.IN_CLEAR] == 0
    assert np.isnan(found.high[Fate.IN_CLEAR])
    assert found.high[Fate.QUEUED] == 0
    with pytest.raises(ValueError, match="share of an impossible fate"):
        across([[0.5, 0.4, 0, 0.1, 0]], possible=possible)


@pytest.mark.parametrize(
    ("setting", "fates"),
    [
        (Setting.NO, {Fate.IN_CLEAR}),
        (Setting.PREFERRED, {Fate.IN_CLEAR, Fate.ENCRYPTED}),
        (Setting.REQUIRED, {Fate.ENCRYPTED}),
        (Setting.PREFERRED_VERIFY, {Fate.IN_CLEAR, Fate.ENCRYPTED, Fate.VERIFIED}),
        (Setting.REQUIRED_VERIFY, {Fate.VERIFIED}),
        (Setting.REQUIRED_VERIFY_HOSTED, {Fate.VERIFIED}),
    ],
)
def test_the_fates_a_setting_can_end_in(setting: Setting, fates: set[Fate]) -> None:
    assert {fate for fate in Fate if possible_fates(setting)[fate]} == fates | {Fate.BOUNCED, Fate.QUEUED}


def test_replications_without_the_quantity_are_left_out() -> None:
    found = across([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]], clip=None)
    assert found.mean[0] == 2
    assert found.low[0] == pytest.approx(2 - stats.t.ppf(0.975, 1))
    assert np.isnan(found.mean[1])


def test_reasons_that_differ_between_replications_are_left_out() -> None:
    columns = {"setting": ["No"], "main_reason": ["none"], "main_bounce_reason": ["none"], "n": [1]}
    other = columns | {"main_reason": ["4yz-reply"], "main_bounce_reason": ["5yz-reply"], "n": [3]}
    found = across_frames([pd.DataFrame(columns), pd.DataFrame(other)])
    assert found.columns.tolist() == ["setting", "n", "n_low", "n_high"]


def test_frames_become_means_with_low_and_high() -> None:
    frames = [pd.DataFrame({"setting": ["No", "Preferred"], "a_share": [0.0, s], "n": [1, 2]}) for s in (0.1, 0.3)]
    found = across_frames(frames, vary="chance")
    assert found["a_share"].tolist() == [0, pytest.approx(0.2)]
    assert found["a_share_low"].tolist() == [0, 0]
    assert found["a_share_high"].tolist() == [0, 1]
    assert found["n_low"].tolist() == [1, 2]
    assert found.attrs == {"n": 2, "level": 0.95, "vary": "chance"}
    with pytest.raises(ValueError, match="rows of a replication"):
        across_frames([frames[0], frames[1].iloc[::-1].reset_index(drop=True)])


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.041, 0.038, 0.044), "4.1 % (3.8 to 4.4)"),
        ((0.0, np.nan, np.nan), "0"),
        ((0.0, 0.0, 0.0), "0"),
        ((0.041, np.nan, np.nan), "4.1 %"),
        ((0.0004, np.nan, np.nan), "0.04 %"),
        ((0.0004, 0.0002, 0.0006), "0.04 % (0.02 to 0.06)"),
        ((np.nan, np.nan, np.nan), "-"),
    ],
)
def test_shares_as_people_read_them(numbers: tuple[float, float, float], text: str) -> None:
    assert share_text(*numbers) == text


@pytest.mark.parametrize("level", [0, 1, 95])
def test_a_level_is_a_probability(level: float) -> None:
    with pytest.raises(ValueError, match="level = "):
        across([0.1, 0.2], level=level)
    with pytest.raises(ValueError, match="replications = 0"):
        across([])


@pytest.mark.parametrize(("n", "q"), [(6, 0.5), (25, 0.5), (80, 0.95), (400, 0.99), (30, 0.2)])
@pytest.mark.parametrize("shape", ["exponential", "normal", "rounded"])
def test_order_statistics_cover_as_often_as_they_say(n: int, q: float, shape: str) -> None:
    """False-alarm rate 1e-6 a case: of 4,000 intervals those that cover are binomial, whatever the distribution.

    The achieved level is exact for a continuous distribution; where values are equal it is exceeded.
    """
    rng = np.random.default_rng(21)
    draw = rng.normal if shape == "normal" else rng.exponential
    values = draw(size=(4_000, n))
    truth = float(stats.norm.ppf(q) if shape == "normal" else stats.expon.ppf(q))
    if shape == "rounded":
        values, truth = np.ceil(values * 2) / 2, float(np.ceil(truth * 2) / 2)
    found = [order_statistic_interval(row, q) for row in values]
    [level] = {f.level for f in found}
    assert level >= 0.95
    hits = sum(f.low <= truth <= f.high for f in found)
    assert hits >= stats.binom.ppf(5e-7, 4_000, level)
    if shape != "rounded":
        assert hits <= stats.binom.ppf(1 - 5e-7, 4_000, level)


def test_an_interval_by_order_statistics_is_no_wider_than_it_must_be() -> None:
    found = order_statistic_interval(np.arange(1, 26), 0.5)
    assert (found.low, found.value, found.high) == (8, 13, 18)
    assert found.level == pytest.approx(stats.binom.cdf(17, 25, 0.5) - stats.binom.cdf(7, 25, 0.5))
    assert stats.binom.cdf(8, 25, 0.5) > 0.025


@pytest.mark.parametrize(("q", "needed"), [(0.5, 6), (0.95, 72), (0.99, 368), (0.01, 368)])
def test_too_few_values_have_no_interval_and_say_how_many_would(q: float, needed: int) -> None:
    assert values_needed(q) == needed
    few = order_statistic_interval(np.arange(needed - 1), q)
    assert np.isnan([few.low, few.high, few.level]).all()
    assert few.value == np.quantile(np.arange(needed - 1), q, method="inverted_cdf")
    assert few.text() == f"{needed - 1} values: too few for an interval, which needs {needed}"
    enough = order_statistic_interval(np.arange(needed), q)
    assert enough.level >= 0.95
    assert enough.low == 0 or enough.high == needed - 1
    assert enough.text().startswith(f"{enough.level * 100:.3g} % interval by order statistics of {needed} values")


@pytest.mark.parametrize(("n", "level"), [(19, 0.9), (50, 0.9), (39, 0.95), (7, 0.5)])
@pytest.mark.parametrize("shape", ["exponential", "normal"])
def test_one_more_value_lies_in_the_prediction_interval_as_often_as_it_says(n: int, level: float, shape: str) -> None:
    """False-alarm rate 1e-6 a case: of 4,000 further values those inside are binomial."""
    rng = np.random.default_rng(22)
    values = (rng.normal if shape == "normal" else rng.exponential)(size=(4_000, n + 1))
    found = [prediction_interval(row[:-1], level) for row in values]
    [achieved] = {f.level for f in found}
    assert level - 1e-12 <= achieved < level + 2 / (n + 1)
    hits = sum(f.low <= more <= f.high for f, more in zip(found, values[:, -1], strict=True))
    assert stats.binom.ppf(5e-7, 4_000, achieved) <= hits <= stats.binom.ppf(1 - 5e-7, 4_000, achieved)


def test_a_prediction_needs_enough_values() -> None:
    few = prediction_interval(np.arange(18))
    assert np.isnan([few.low, few.high, few.level]).all()
    assert (few.n, few.needed) == (18, 19)
    enough = prediction_interval(np.arange(19))
    assert (enough.low, enough.value, enough.high) == (0, 9, 18)
    assert enough.level == pytest.approx(0.9)
    with pytest.raises(ValueError, match=r"^level = 1;"):
        prediction_interval([1, 2], 1)


def test_order_statistics_without_values_and_with_holes() -> None:
    assert np.isnan(order_statistic_interval([], 0.5).value)
    holes = order_statistic_interval([np.nan, 3, 1, 2, np.nan], 0.5)
    assert (holes.value, holes.n) == (2, 3)
    for q, level in ((0, 0.95), (1, 0.95), (0.5, 1), (0.5, 95)):
        with pytest.raises(ValueError, match="allowed: 0 < "):
            order_statistic_interval([1, 2], q, level)


@pytest.mark.parametrize(("replications", "covers"), [(5, 0.88), (20, 0.919), (100, 0.943)])
def test_t_intervals_of_a_skewed_quantity_cover_less_often_than_they_say(replications: int, covers: float) -> None:
    """An exponential quantity (skewness 2) at a nominal 95 %, as docs/intervals.md records; false-alarm rate 1e-6."""
    rng = np.random.default_rng(13)
    found = across(list(rng.exponential(1, (replications, 20_000))), clip=None)
    hits = int(((found.low <= 1) & (found.high >= 1)).sum())
    assert stats.binom.ppf(5e-7, 20_000, covers - 0.002) <= hits <= stats.binom.ppf(1 - 5e-7, 20_000, covers + 0.002)
    assert covers < 0.95
