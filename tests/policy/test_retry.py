"""Schedules: how waits grow, where attempts fall, what is refused."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import PolicyError
from sim.policy.retry import BounceProfile, Growth, HostRetry, growing_waits_s

SCHEDULES = st.tuples(st.integers(1, 10_000), st.integers(1, 100_000), st.sampled_from(Growth)).filter(
    lambda s: s[0] <= s[1]
)


def test_the_shipped_profile_doubles_to_an_hour() -> None:
    assert BounceProfile().waits_s() == (60, 120, 240, 480, 960, 1_920, 3_600)
    assert HostRetry().waits_s() == BounceProfile().waits_s()


def test_the_other_laws_of_growth() -> None:
    assert growing_waits_s(60, 3_600, Growth.CONSTANT) == (60,)
    assert growing_waits_s(60, 200, Growth.ONE_AND_A_HALF) == (60, 90, 135, 200)
    assert growing_waits_s(60, 60, Growth.DOUBLING) == (60,)


def test_72_hours_hold_about_77_attempts_so_time_ends_it() -> None:
    times = BounceProfile().attempt_times_s()
    assert len(times) == 77
    assert times[:4] == (0, 60, 180, 420)
    assert times[-1] < 259_200


def test_with_a_constant_wait_the_retries_end_it_after_100_minutes() -> None:
    times = BounceProfile(growth=Growth.CONSTANT).attempt_times_s()
    assert (len(times), times[-1]) == (101, 6_000)


def test_the_guides_two_examples() -> None:
    assert BounceProfile(initial_wait_s=60, max_wait_s=60, max_retries=2).attempt_times_s() == (0, 60, 120)
    assert BounceProfile(initial_wait_s=60, max_wait_s=60, max_queue_time_s=100).attempt_times_s() == (0, 60)


@given(SCHEDULES)
def test_waits_rise_to_the_cap_and_no_further(schedule: tuple[int, int, Growth]) -> None:
    initial, longest, growth = schedule
    waits = growing_waits_s(initial, longest, growth)
    assert waits[0] == initial
    assert max(waits) <= longest
    assert all(a < b <= a * growth.factor for a, b in pairwise(waits))
    assert growth is Growth.CONSTANT or waits[-1] == longest


@given(SCHEDULES, st.integers(0, 50), st.integers(0, 100_000))
def test_attempts_keep_to_retries_and_time(schedule: tuple[int, int, Growth], retries: int, queue: int) -> None:
    initial, longest, growth = schedule
    profile = BounceProfile(
        initial_wait_s=initial, max_wait_s=longest, growth=growth, max_retries=retries, max_queue_time_s=queue
    )
    times = profile.attempt_times_s()
    assert times[0] == 0
    assert len(times) <= retries + 1
    assert all(t < queue for t in times[1:])
    assert len(times) == retries + 1 or times[-1] + longest >= queue


@pytest.mark.parametrize(
    ("given_values", "told"),
    [
        ({"max_retries": -1}, "[Default] max_retries = -1; allowed: a whole number, 0..1000000000 retries"),
        ({"max_retries": 1.5}, "[Default] max_retries = 1.5; allowed: a whole number, 0..1000000000 retries"),
        ({"max_retries": True}, "[Default] max_retries = True; allowed: a whole number, 0..1000000000 retries"),
        ({"initial_wait_s": float("nan")}, "[Default] initial_wait_s = nan; allowed: 1..1000000000 s"),
        ({"initial_wait_s": "60"}, "[Default] initial_wait_s = '60'; allowed: 1..1000000000 s"),
        ({"max_queue_time_s": 10**400}, "[Default] max_queue_time_s = 1000"),
        ({"initial_wait_s": 7_200}, "[Default] initial_wait_s = 7200; allowed: at most max_wait_s, which is 3600 s"),
        ({"growth": 7}, "[Default] growth = 7; allowed: doubling, 1.5x, constant."),
        ({"name": "7up"}, "bounce profile name = '7up'; allowed: a name that starts with a letter or _"),
    ],
)
def test_a_wrong_value_is_told(given_values: dict[str, Any], told: str) -> None:
    with pytest.raises(PolicyError) as fault:
        BounceProfile(**given_values)
    assert str(fault.value).startswith(told)


def test_every_number_carries_its_unit_and_source() -> None:
    for owner in (BounceProfile, HostRetry):
        numbers = [f for f in fields(owner) if f.name not in ("name", "growth")]
        assert all(f.metadata["unit"] and f.metadata["source"] for f in numbers)


def test_a_timer_of_unreachable_hosts_says_whose_it_is() -> None:
    with pytest.raises(PolicyError, match=r"^unreachable host initial_wait_s = 120; allowed: at most max_wait_s"):
        HostRetry(initial_wait_s=120, max_wait_s=60)


def test_passes_that_no_host_takes_fall_at_the_sums_of_the_waits() -> None:
    timer = HostRetry(initial_wait_s=60, max_wait_s=120)
    assert timer.attempt_times_s(300) == (0, 60, 180)
    assert timer.attempt_times_s(301) == (0, 60, 180, 300)
    assert timer.attempt_times_s(0) == (0,)
