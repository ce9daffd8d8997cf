"""Intervals over replications."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sim.results.intervals import across, across_frames, possible_fates, share_text
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
