"""Halon's tables against its reference page, cell by cell."""

from __future__ import annotations

import pytest

from sim.policy.profiles.halon import PROFILE, Mode
from sim.terms import Dane, DaneOption, Demand, MtaSts, Outcome, Seen, TlsVersion
from tests.policy.pages import check_page, check_rows, words_of
from tests.policy.shown import word_for

PAGE = """
    mode            | NO    | REF4  | REF5  | LOST  | HS    | HANGS | LOST IN TLS | 5XX GREETING
    disabled        | clear | clear | clear | clear | clear | clear | clear       | defer
    optional        | clear | clear | clear | defer | clear | clear | defer       | defer
    optional_verify | clear | clear | clear | defer | clear | clear | defer       | defer
    require         | defer | defer | defer | defer | defer | defer | defer       | defer
    require_verify  | defer | defer | defer | defer | defer | defer | defer       | defer
"""
CERTIFICATES = """
    mode            | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    disabled        | clear     | clear                 | clear    | clear
    optional        | unv       | unv                   | unv      | unv
    optional_verify | CHECK     | CHECK                 | CHECK    | ver
    require         | unv       | unv                   | unv      | unv
    require_verify  | defer     | defer                 | defer    | ver
"""
HANDSHAKE_DEFERS = """
    mode            | NO    | REF4  | REF5  | HS    | HANGS | BAD CHAIN
    disabled        | clear | clear | clear | clear | clear | clear
    optional        | clear | clear | clear | defer | defer | unv
    optional_verify | clear | clear | clear | defer | defer | clear
    require         | defer | defer | defer | defer | defer | unv
    require_verify  | defer | defer | defer | defer | defer | defer
"""
#: Mode optional with a hook for DANE.
DANE = """
    tlsa         | NO    | HS    | BAD CHAIN | BAD CHAIN, RULE HOLDS | OK
    usable-match | defer | defer | defer     | ver                   | ver
    unusable     | defer | defer | unv       | unv                   | unv
    bogus        | defer | defer | defer     | defer                 | defer
    insecure     | clear | clear | unv       | unv                   | unv
"""
#: Mode optional with a hook for policies.
POLICIES = """
    policy            | NO    | HS    | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    enforce, listed   | defer | defer | defer     | defer                 | defer    | ver
    enforce, unlisted | defer | defer | defer     | defer                 | defer    | defer
    testing           | clear | clear | unv       | unv                   | unv      | unv
"""
#: Usable records and a policy in force, where a session breaks or STARTTLS is refused.
BROKEN = """
    asked           | REF4  | REF5  | LOST  | HANGS | LOST IN TLS | 5XX GREETING
    usable-match    | defer | defer | defer | defer | defer       | defer
    enforce, listed | defer | defer | defer | defer | defer       | defer
"""
ENFORCED: dict[str, object] = {"setting": Mode.OPTIONAL, "mta_sts": MtaSts.ENFORCE, "switches": {"mta_sts": True}}


def test_every_cell_says_what_the_page_says() -> None:
    check_page(PROFILE, PAGE)


@pytest.mark.parametrize(("value", "word"), [("clear", "clear"), ("encrypted", "unv"), ("defer", "defer")])
def test_certificates_and_the_readings_of_a_failed_check(value: str, word: str) -> None:
    page = CERTIFICATES.replace("CHECK", word)
    check_page(PROFILE, page, switches={"failed_check": value})
    if value == "clear":
        check_page(PROFILE, page)


def test_the_other_reading_of_a_failed_handshake() -> None:
    check_page(PROFILE, HANDSHAKE_DEFERS, switches={"handshake_failure": "defer"})


def test_clear_text_after_a_failure_takes_a_new_connection_to_the_same_host() -> None:
    outcome = PROFILE.tables().outcome
    for seen in (Seen.HANDSHAKE_FAILED, Seen.UNTRUSTED):
        assert outcome[Demand.OPPORTUNISTIC_VERIFY, seen, 0] == Outcome.RECONNECT_CLEAR


def test_hooks_for_dane_and_for_policies_are_not_there_as_shipped() -> None:
    assert words_of(PROFILE, Mode.OPTIONAL, "NO", dane=Dane.USABLE_MATCH) == "clear"
    assert words_of(PROFILE, Mode.OPTIONAL, "BAD NAME", mta_sts=MtaSts.ENFORCE) == "unv"


def test_a_hook_for_dane_asks_what_rfc_7672_says() -> None:
    states = (Dane.USABLE_MATCH, Dane.UNUSABLE, Dane.BOGUS, Dane.INSECURE)
    asked: dict[str, object] = {"setting": Mode.OPTIONAL, "dane_option": DaneOption.OPPORTUNISTIC}
    check_rows(PROFILE, DANE, [asked | {"dane": state} for state in states])
    mandatory = DaneOption.MANDATORY
    assert words_of(PROFILE, Mode.OPTIONAL, "OK", dane=Dane.NONE, dane_option=mandatory) == "defer"


def test_a_hook_for_policies_asks_what_rfc_8461_says() -> None:
    cases = [ENFORCED, ENFORCED | {"mx_listed": False}, ENFORCED | {"mta_sts": MtaSts.TESTING}]
    check_rows(PROFILE, POLICIES, cases)


def test_hooks_leave_a_broken_session_to_the_next_host() -> None:
    asked: dict[str, object] = {
        "setting": Mode.OPTIONAL,
        "dane_option": DaneOption.OPPORTUNISTIC,
        "dane": Dane.USABLE_MATCH,
    }
    check_rows(PROFILE, BROKEN, [asked, ENFORCED])


def test_the_name_that_counts_is_the_mx_hosts() -> None:
    assert [word_for(PROFILE, Mode.REQUIRE_VERIFY, n) for n in ("the MX host", "another")] == ["ver", "defer"]


def test_peers_below_tls_1_2_fail_the_handshake() -> None:
    assert PROFILE.minimum_tls is TlsVersion.TLS_1_2


def test_retries_are_those_that_rfc_5321_advises() -> None:
    assert PROFILE.queueing is not None
    times = PROFILE.queueing.attempt_times_s()
    assert times[:3] == (0, 1_800, 3_600)
    assert times[-1] == 432_000
