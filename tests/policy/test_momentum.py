"""Momentum's tables against its reference page, cell by cell."""

from __future__ import annotations

import pytest

from sim.policy.profiles.momentum import PROFILE, Tls
from sim.terms import Chain, Demand, Outcome, Seen
from tests.policy.pages import check_page
from tests.policy.shown import word_for

PAGE = """
    TLS              | NO    | REF4  | REF5  | LOST  | HS    | HANGS | LOST IN TLS | 5XX GREETING
    no               | clear | clear | clear | clear | clear | clear | clear       | defer
    ifavailable      | clear | clear | clear | defer | clear | clear | defer       | defer
    ifavailable ca   | clear | clear | clear | defer | clear | clear | defer       | defer
    ifavailable host | clear | clear | clear | defer | clear | clear | defer       | defer
    required         | defer | defer | defer | defer | defer | defer | defer       | defer
    required ca      | defer | defer | defer | defer | defer | defer | defer       | defer
    required host    | defer | defer | defer | defer | defer | defer | defer       | defer
"""
#: BAD NAME is what ``host`` alone can meet: see the test of names.
CERTIFICATES = """
    TLS              | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    no               | clear     | clear                 | clear    | clear
    ifavailable      | unv       | unv                   | unv      | unv
    ifavailable ca   | clear     | clear                 | ver      | ver
    ifavailable host | clear     | clear                 | clear    | ver
    required         | unv       | unv                   | unv      | unv
    required ca      | defer     | defer                 | ver      | ver
    required host    | defer     | defer                 | defer    | ver
"""
#: TLS_Ifavailable_fallback = false, as 4.0: each retry asks for TLS again.
NO_FALLBACK = """
    TLS              | NO    | REF4  | REF5  | LOST  | HS    | HANGS | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    no               | clear | clear | clear | clear | clear | clear | clear     | clear                 | clear    | clear
    ifavailable      | clear | clear | clear | defer | defer | defer | unv       | unv                   | unv      | unv
    ifavailable ca   | clear | clear | clear | defer | defer | defer | defer     | defer                 | ver      | ver
    ifavailable host | clear | clear | clear | defer | defer | defer | defer     | defer                 | defer    | ver
    required         | defer | defer | defer | defer | defer | defer | unv       | unv                   | unv      | unv
    required ca      | defer | defer | defer | defer | defer | defer | defer     | defer                 | ver      | ver
    required host    | defer | defer | defer | defer | defer | defer | defer     | defer                 | defer    | ver
"""  # noqa: E501
NO_FALLBACK_BROKEN = """
    TLS              | LOST IN TLS | 5XX GREETING
    no               | clear       | defer
    ifavailable      | defer       | defer
    ifavailable ca   | defer       | defer
    ifavailable host | defer       | defer
    required         | defer       | defer
    required ca      | defer       | defer
    required host    | defer       | defer
"""
#: TLS_Verify = optional where it is neither ca nor host.
OPTIONAL = """
    TLS              | NO    | HS    | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    no               | clear | clear | clear     | clear                 | clear    | clear
    ifavailable      | clear | clear | unv       | unv                   | unv      | ver
    ifavailable ca   | clear | clear | clear     | clear                 | ver      | ver
    ifavailable host | clear | clear | clear     | clear                 | clear    | ver
    required         | defer | defer | unv       | unv                   | unv      | ver
    required ca      | defer | defer | defer     | defer                 | ver      | ver
    required host    | defer | defer | defer     | defer                 | defer    | ver
"""
CHECKING = """
    TLS              | NO    | HS    | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    no               | clear | clear | clear     | clear                 | clear    | clear
    ifavailable      | clear | clear | unv       | unv                   | unv      | unv
    ifavailable ca   | clear | clear | READ      | READ                  | ver      | ver
    ifavailable host | clear | clear | READ      | READ                  | READ     | ver
    required         | defer | defer | unv       | unv                   | unv      | unv
    required ca      | defer | defer | defer     | defer                 | ver      | ver
    required host    | defer | defer | defer     | defer                 | defer    | ver
"""


@pytest.mark.parametrize("page", [PAGE, CERTIFICATES])
def test_every_cell_says_what_the_page_says(page: str) -> None:
    check_page(PROFILE, page)


@pytest.mark.parametrize("page", [NO_FALLBACK, NO_FALLBACK_BROKEN])
def test_every_cell_without_the_fall_back(page: str) -> None:
    check_page(PROFILE, page, switches={"tls_ifavailable_fallback": False})


def test_every_cell_with_a_check_that_stops_nothing() -> None:
    check_page(PROFILE, OPTIONAL, switches={"tls_verify_optional": True})


@pytest.mark.parametrize(("value", "word"), [("clear", "clear"), ("defer", "defer"), ("encrypted", "unv")])
def test_the_readings_of_a_failed_check(value: str, word: str) -> None:
    check_page(PROFILE, CHECKING.replace("READ", word), switches={"failed_check": value})


def test_the_fall_back_goes_to_the_same_host_at_once() -> None:
    outcome = PROFILE.tables().outcome
    for demand in (Demand.OPPORTUNISTIC, Demand.OPPORTUNISTIC_VERIFY):
        assert outcome[demand, Seen.HANDSHAKE_FAILED, 0] == Outcome.RECONNECT_CLEAR


def test_ca_looks_at_no_name_and_host_at_the_domain_or_the_mx_host() -> None:
    named = ("the MX host", "the domain", "another")
    assert [word_for(PROFILE, Tls.REQUIRED_CA, n) for n in named] == ["ver", "ver", "ver"]
    assert [word_for(PROFILE, Tls.REQUIRED_HOST, n) for n in named] == ["ver", "ver", "defer"]
    assert word_for(PROFILE, Tls.REQUIRED_CA, "the MX host", Chain.EXPIRED) == "defer"
    assert [word_for(PROFILE, Tls.REQUIRED, n, tls_verify_optional=True) for n in named] == ["ver", "ver", "unv"]


def test_waits_double_up_to_half_a_day() -> None:
    assert PROFILE.queueing is not None
    times = PROFILE.queueing.attempt_times_s()
    assert times[:9] == (0, 1_200, 3_600, 8_400, 18_000, 37_200, 75_600, 118_800, 162_000)
    assert times[-2] < 604_800 <= times[-1]
