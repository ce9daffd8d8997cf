"""Exchange Server's tables against its reference page, cell by cell."""

from __future__ import annotations

from itertools import product

import pytest

from sim.policy.profiles.exchange_server import PROFILE, Connector
from tests.policy.pages import check_page, words_of

PAGE = """
    connector             | NO    | REF4  | REF5  | LOST  | HS    | HANGS | LOST IN TLS | 5XX GREETING
    IgnoreSTARTTLS        | clear | clear | clear | clear | clear | clear | clear       | defer
    RequireTLS false      | clear | clear | clear | defer | defer | defer | defer       | defer
    EncryptionOnly        | defer | defer | defer | defer | defer | defer | defer       | defer
    CertificateValidation | defer | defer | defer | defer | defer | defer | defer       | defer
    DomainValidation      | defer | defer | defer | defer | defer | defer | defer       | defer
"""
#: CertificateValidation delivers on a wrong name.
CERTIFICATES = """
    connector             | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    IgnoreSTARTTLS        | clear     | clear                 | clear    | clear
    RequireTLS false      | unv       | unv                   | unv      | unv
    EncryptionOnly        | unv       | unv                   | unv      | unv
    CertificateValidation | defer     | defer                 | ver      | ver
    DomainValidation      | defer     | defer                 | defer    | ver
"""


@pytest.mark.parametrize("page", [PAGE, CERTIFICATES])
def test_every_cell_says_what_the_page_says(page: str) -> None:
    check_page(PROFILE, page)


def test_it_knows_neither_dane_nor_mta_sts() -> None:
    tables = PROFILE.tables()
    for table in (tables.demand, tables.rule):
        assert (table == table[:, :1, :1, :1, :1]).all()


def test_a_failed_handshake_may_go_clear_where_tls_is_not_required() -> None:
    switches = {"handshake_failed": "clear"}
    for connector, situation in product(Connector, ("HS", "HANGS")):
        never = connector > Connector.NOT_REQUIRED
        assert words_of(PROFILE, connector, situation, switches=switches) == ("defer" if never else "clear")
    assert words_of(PROFILE, Connector.NOT_REQUIRED, "LOST IN TLS", switches=switches) == "defer"


def test_attempts_four_a_minute_apart_then_six_five_minutes_apart_then_each_ten_minutes() -> None:
    assert PROFILE.queueing is not None
    minutes = [time / 60 for time in PROFILE.queueing.attempt_times_s()]
    assert minutes[:13] == [0, 1, 2, 3, 4, 9, 14, 19, 24, 29, 34, 44, 54]
    assert minutes[-2] < 2 * 1_440 <= minutes[-1]
