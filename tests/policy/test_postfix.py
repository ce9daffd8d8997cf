"""Postfix's tables against its reference page, cell by cell."""

from __future__ import annotations

import pytest

from sim.policy.profiles.postfix import PROFILE, Level
from sim.terms import Dane, Demand, MtaSts
from tests.policy.pages import check_page, check_rows, words_of

#: Levels over what a peer does that publishes nothing.
PAGE = """
    level       | NO    | REF4  | REF5   | LOST  | HS            | HANGS         | LOST IN TLS   | 5XX GREETING
    none        | clear | clear | clear  | clear | clear         | clear         | clear         | defer
    may         | clear | clear | clear  | defer | defer > clear | defer > clear | defer > clear | defer
    encrypt     | defer | defer | bounce | defer | defer         | defer         | defer         | defer
    fingerprint | defer | defer | bounce | defer | defer         | defer         | defer         | defer
    verify      | defer | defer | bounce | defer | defer         | defer         | defer         | defer
    secure      | defer | defer | bounce | defer | defer         | defer         | defer         | defer
    dane        | clear | clear | clear  | defer | defer > clear | defer > clear | defer > clear | defer
    dane-only   | defer | defer | defer  | defer | defer         | defer         | defer         | defer
"""
CERTIFICATES = """
    level       | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    none        | clear     | clear                 | clear    | clear
    may         | unv       | unv                   | unv      | unv
    encrypt     | unv       | unv                   | unv      | unv
    fingerprint | defer     | ver                   | defer    | ver
    verify      | defer     | defer                 | defer    | ver
    secure      | defer     | defer                 | defer    | ver
    dane        | unv       | unv                   | unv      | unv
    dane-only   | defer     | defer                 | defer    | defer
"""
#: Level dane over TLSA records. D+ holds whatever the chain: 3 1 1 needs neither chain, date nor name.
DANE = """
    tlsa             | NO    | REF4  | REF5   | HS            | BAD CHAIN | BAD CHAIN, RULE HOLDS | OK
    usable-match     | defer | defer | bounce | defer         | defer     | ver                   | ver
    unusable         | defer | defer | bounce | defer         | unv       | unv                   | unv
    bogus            | defer | defer | defer  | defer         | defer     | defer                 | defer
    insecure         | clear | clear | clear  | defer > clear | unv       | unv                   | unv
"""


@pytest.mark.parametrize("page", [PAGE, CERTIFICATES])
def test_every_cell_says_what_the_page_says(page: str) -> None:
    check_page(PROFILE, page)


def test_the_page_of_dane() -> None:
    states = (Dane.USABLE_MATCH, Dane.UNUSABLE, Dane.BOGUS, Dane.INSECURE)
    check_rows(PROFILE, DANE, [{"setting": Level.DANE, "dane": state} for state in states])


def test_dane_only_asks_for_usable_records() -> None:
    for state in Dane:
        wanted = "ver" if state.label.startswith("usable") else "defer"
        assert words_of(PROFILE, Level.DANE_ONLY, "BAD CHAIN, RULE HOLDS", dane=state) == wanted


def test_a_policy_of_rfc_8461_binds_where_the_socketmap_is_set_up_and_never_over_usable_tlsa() -> None:
    on, enforced = {"mta_sts": True}, MtaSts.ENFORCE
    for level in (Level.MAY, Level.DANE):
        assert words_of(PROFILE, level, "BAD NAME", mta_sts=enforced) == "unv"
        assert words_of(PROFILE, level, "BAD NAME", mta_sts=enforced, switches=on) == "defer"
        assert words_of(PROFILE, level, "OK", mta_sts=enforced, switches=on, mx_listed=False) == "defer"
        assert words_of(PROFILE, level, "BAD NAME", mta_sts=MtaSts.TESTING, switches=on) == "unv"
    held = words_of(PROFILE, Level.DANE, "BAD CHAIN, RULE HOLDS", mta_sts=enforced, switches=on, dane=Dane.USABLE_MATCH)
    assert held == "ver"


def test_attempts_fall_where_the_manual_puts_them() -> None:
    assert PROFILE.queueing is not None
    assert PROFILE.queueing.attempt_times_s()[:8] == (0, 300, 600, 1_200, 2_400, 4_800, 9_000, 13_200)


def test_records_and_policies_are_held_to_like_a_level_that_verifies() -> None:
    outcome = PROFILE.tables({"mta_sts": True}).outcome
    assert (outcome[Demand.MTA_STS] == outcome[Demand.VERIFY]).all()
    assert (outcome[Demand.DANE] == outcome[Demand.VERIFY]).all()
