"""OpenSMTPD's tables against its reference page, cell by cell."""

from __future__ import annotations

import pytest

from sim.policy.profiles.opensmtpd import PROFILE, Relay
from sim.terms import TlsVersion
from tests.policy.pages import check_page, words_of

PAGE = """
    relay         | NO    | REF4  | REF5  | LOST  | HS    | HANGS | LOST IN TLS | 5XX GREETING
    default       | clear | clear | clear | defer | clear | defer | defer       | defer
    tls no-verify | defer | defer | defer | defer | defer | defer | defer       | defer
    tls           | defer | defer | defer | defer | defer | defer | defer       | defer
    smtp+notls    | clear | clear | clear | clear | clear | clear | clear       | defer
"""
CERTIFICATES = """
    relay         | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    default       | unv       | unv                   | unv      | ver
    tls no-verify | unv       | unv                   | unv      | ver
    tls           | defer     | defer                 | defer    | ver
    smtp+notls    | clear     | clear                 | clear    | clear
"""


@pytest.mark.parametrize("page", [PAGE, CERTIFICATES])
def test_every_cell_says_what_the_page_says(page: str) -> None:
    check_page(PROFILE, page)


def test_it_knows_neither_dane_nor_mta_sts() -> None:
    tables = PROFILE.tables()
    for table in (tables.demand, tables.rule):
        assert (table == table[:, :1, :1, :1, :1]).all()


def test_a_handshake_that_hangs_may_be_read_as_one_that_failed() -> None:
    for relay in Relay:
        found = words_of(PROFILE, relay, "HANGS", switches={"handshake_hangs": "clear"})
        assert found == words_of(PROFILE, relay, "HS")


def test_it_speaks_tls_from_1_2_on() -> None:
    assert PROFILE.minimum_tls is TlsVersion.TLS_1_2


def test_attempts_fall_due_at_400_n_squared_seconds_until_four_days_have_passed() -> None:
    assert PROFILE.queueing is not None
    times = PROFILE.queueing.attempt_times_s()
    assert times == tuple(400 * n**2 for n in range(31))
    assert times[-2] < 4 * 86_400 <= times[-1]
