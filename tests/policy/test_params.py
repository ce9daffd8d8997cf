"""A parameter's default, unit, range and source stand in one place, and its range is told and kept."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import pytest

from sim.errors import PolicyError
from sim.policy.params import allowed_range, check_params, in_range, param


def declared(**rest: Any) -> Any:
    """Return the field that `param` declares."""
    made = param(7, unit="s", source="a test", **rest)

    @dataclass
    class Owner:
        value: Any = made

    return fields(Owner)[0]


def test_a_parameter_carries_all_that_it_was_declared_with() -> None:
    found = declared(low=1, high=9)
    assert found.default == 7
    assert found.metadata == {"unit": "s", "source": "a test", "low": 1, "high": 9, "whole": False}


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ({}, "any number of s"),
        ({"low": 1}, "1 or more s"),
        ({"high": 9}, "at most 9 s"),
        ({"low": 1, "high": 9}, "1..9 s"),
        ({"low": 1, "whole": True}, "a whole number, 1 or more s"),
    ],
)
def test_its_range_is_told(rest: dict[str, Any], told: str) -> None:
    assert allowed_range(declared(**rest)) == told


def test_its_range_is_kept_at_both_ends() -> None:
    bounded, whole = declared(low=1, high=9), declared(whole=True)
    assert [in_range(bounded, value) for value in (0.9, 1, 9, 9.1, True, "5", float("nan"))] == [
        False,
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    assert [in_range(whole, value) for value in (-(10**12), 3, 3.0)] == [True, True, False]


def test_a_value_out_of_range_is_told_with_its_owner() -> None:
    @dataclass
    class Owner:
        wait_s: float = param(7, unit="s", source="a test", low=1)
        limit: int | None = param(None, unit="tries", source="a test", low=1, whole=True)
        note: str = ""

    check_params(Owner(), "[a]")
    with pytest.raises(PolicyError, match=r"^\[a\] wait_s = 0; allowed: 1 or more s"):
        check_params(Owner(wait_s=0), "[a]")
    with pytest.raises(PolicyError, match=r"^\[a\] limit = 0; allowed: a whole number, 1 or more tries"):
        check_params(Owner(limit=0), "[a]")
