"""How a sender's queue is counted: what is refused, and when a message is due again."""

from __future__ import annotations

from typing import Any

import pytest

from sim.errors import PolicyError
from sim.policy.profile import Queueing


def queueing(**values: Any) -> Queueing:
    given: dict[str, Any] = {"waits_s": (60.0, 300.0), "lifetime_s": 3_600.0, "source": "a test"}
    return Queueing(**given | values)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"counted": "retries"}, r"counted = 'retries'; allowed: tries, age, arrival\. Did you mean 'tries'\?"),
        ({"waits_s": ()}, "waits_s = "),
        ({"waits_s": (60.0, 0.0)}, "waits_s = "),
        ({"waits_s": (-1.0,)}, "waits_s = "),
        ({"lifetime_s": -1.0}, "waits_s = "),
        ({"connections": 0}, "waits_s = "),
    ],
)
def test_what_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(PolicyError, match=told):
        queueing(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"counted": "tries"},
        {"counted": "age"},
        {"counted": "arrival"},
        {"waits_s": (0.5,)},
        {"lifetime_s": 0.0},
        {"connections": 1},
    ],
)
def test_the_ends_of_the_ranges_are_allowed(values: dict[str, Any]) -> None:
    made = queueing(**values)
    assert {name: getattr(made, name) for name in values} == values


def test_waits_by_tries_follow_the_start_of_the_try_and_the_last_repeats() -> None:
    by_tries = queueing()
    assert [by_tries.next_s(n, 1_000.0, 900.0) for n in (1, 2, 3, 9)] == [1_060, 1_300, 1_300, 1_300]


def test_waits_by_age_are_as_long_as_the_message_is_old_between_the_two() -> None:
    by_age = queueing(counted="age")
    assert [by_age.next_s(1, 1_000.0, arrival) for arrival in (1_000.0, 990.0, 800.0, 0.0)] == [
        1_060,
        1_060,
        1_200,
        1_300,
    ]


def test_waits_by_arrival_are_due_at_their_sums_and_the_last_repeats() -> None:
    by_arrival = queueing(counted="arrival")
    assert [by_arrival.next_s(1, started, 100.0) for started in (100.0, 159.0, 160.0, 460.0, 760.0)] == [
        160,
        160,
        460,
        760,
        1_060,
    ]


def test_what_falls_due_waits_for_the_next_run_over_the_queue() -> None:
    assert [queueing(scan_s=300.0).next_s(1, started) for started in (0.0, 240.0, 241.0)] == [300, 300, 600]
