"""Sendmail's tables against its reference page, cell by cell."""

from __future__ import annotations

import pytest

from sim.policy.profile import Value
from sim.policy.profiles.sendmail import PROFILE, Entry
from sim.terms import Chain, Demand, Outcome, Seen
from tests.policy.pages import check_page, check_rows, words_of
from tests.policy.shown import word_for

#: Entries over what a peer does. PERM turns what fails for TLS into a bounce, a session that is lost never.
PAGE = """
    entry       | NO     | REF4   | REF5   | LOST  | HS     | HANGS  | LOST IN TLS | 5XX GREETING
    Try_TLS NO  | clear  | clear  | clear  | clear | clear  | clear  | clear       | defer
    none        | clear  | clear  | clear  | defer | defer  | defer  | defer       | defer
    ENCR        | defer  | defer  | defer  | defer | defer  | defer  | defer       | defer
    PERM+ENCR   | bounce | bounce | bounce | defer | bounce | bounce | defer       | defer
    VERIFY      | defer  | defer  | defer  | defer | defer  | defer  | defer       | defer
    PERM+VERIFY | bounce | bounce | bounce | defer | bounce | bounce | defer       | defer
"""
#: BAD NAME is what +CN alone can meet: see the test of names.
CERTIFICATES = """
    entry       | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    Try_TLS NO  | clear     | clear                 | clear    | clear
    none        | unv       | unv                   | ver      | ver
    ENCR        | unv       | unv                   | unv      | unv
    PERM+ENCR   | unv       | unv                   | unv      | unv
    VERIFY      | defer     | defer                 | ver      | ver
    PERM+VERIFY | bounce    | bounce                | ver      | ver
"""
#: The same with the other values of the switches.
SWITCHED = """
    switch                      | NO    | REF4   | REF5   | LOST  | HS    | BAD CHAIN | OK
    none, TLSFallbacktoClear    | clear | clear  | clear  | defer | clear | unv       | ver
    ENCR, TLSFallbacktoClear    | defer | defer  | defer  | defer | defer | unv       | unv
    none, refused=defer         | clear | defer  | defer  | defer | defer | unv       | ver
    PERM+ENCR, other MX first   | last  | last   | last   | defer | last  | unv       | unv
    PERM+VERIFY, other MX first | last  | last   | last   | defer | last  | last      | ver
    ENCR, too few bits          | defer | defer  | defer  | defer | defer | defer     | defer
    PERM+ENCR, too few bits     | bounce | bounce | bounce | defer | bounce | bounce  | bounce
    VERIFY, too few bits        | defer | defer  | defer  | defer | defer | defer     | ver
"""
CASES: list[tuple[Entry, dict[str, Value]]] = [
    (Entry.NONE, {"tls_fallback_to_clear": True}),
    (Entry.ENCR, {"tls_fallback_to_clear": True}),
    (Entry.NONE, {"refused": "defer"}),
    (Entry.PERM_ENCR, {"perm_next_mx": True}),
    (Entry.PERM_VERIFY, {"perm_next_mx": True}),
    (Entry.ENCR, {"bits": "too few"}),
    (Entry.PERM_ENCR, {"perm_bits": "too few"}),
    (Entry.VERIFY, {"bits": "too few", "perm_bits": "too few"}),
]


@pytest.mark.parametrize("page", [PAGE, CERTIFICATES])
def test_every_cell_says_what_the_page_says(page: str) -> None:
    check_page(PROFILE, page)


def test_the_switches_change_what_they_name() -> None:
    check_rows(PROFILE, SWITCHED, [{"setting": entry, "switches": switches} for entry, switches in CASES])


def test_the_fall_back_goes_to_the_same_host_at_once() -> None:
    outcome = PROFILE.tables({"tls_fallback_to_clear": True}).outcome
    assert outcome[Demand.OPPORTUNISTIC_VERIFY, Seen.HANDSHAKE_FAILED, 0] == Outcome.RECONNECT_CLEAR


@pytest.mark.parametrize("entry", [Entry.VERIFY, Entry.PERM_VERIFY])
def test_verify_looks_at_the_chain_and_with_cn_at_the_name_too(entry: Entry) -> None:
    refused = "bounce" if entry is Entry.PERM_VERIFY else "defer"
    assert word_for(PROFILE, entry, "another") == "ver"
    assert word_for(PROFILE, entry, "the MX host", Chain.SELF_SIGNED) == refused
    assert word_for(PROFILE, entry, "another", cn=True) == refused
    assert word_for(PROFILE, entry, "the MX host", cn=True) == "ver"


def test_no_message_goes_in_clear_after_a_failed_handshake_however_old() -> None:
    assert words_of(PROFILE, Entry.NONE, "HS") == "defer"
    assert PROFILE.aged_after_s is None
    assert not PROFILE.aged


def test_every_run_over_the_queue_tries_all_of_it_for_five_days() -> None:
    assert PROFILE.queueing is not None
    times = PROFILE.queueing.attempt_times_s()
    assert times[:4] == (0, 1_800, 3_600, 5_400)
    assert times[-1] == 432_000
    assert PROFILE.queueing.next_s(1, 100.0) == 1_800


def test_open_cells_are_the_refusal_the_greeting_and_what_perm_tries_first() -> None:
    found = {(seen, names) for seen, _, names in PROFILE.unsettled()}
    assert {names for _, names in found} == {(), ("refused",), ("perm_next_mx",)}
    assert {seen for seen, names in found if names == ("refused",)} == {Seen.REFUSED_4XX, Seen.REFUSED_5XX}
    assert {seen for seen, names in found if not names} == {Seen.GREETING_5XX}


def test_too_few_bits_count_whatever_the_certificate_is() -> None:
    outcome = PROFILE.tables({"bits": "too few", "perm_bits": "too few"}).outcome
    assert (outcome[Demand.ENCRYPT, Seen.UNTRUSTED :] == Outcome.NEXT_HOST).all()
    assert (outcome[Demand.ENCRYPT_OR_BOUNCE, Seen.UNTRUSTED :] == Outcome.BOUNCE_NOW).all()


def test_the_fall_back_takes_a_handshake_that_hangs_like_one_that_fails() -> None:
    outcome = PROFILE.tables({"tls_fallback_to_clear": True}).outcome[Demand.OPPORTUNISTIC_VERIFY]
    assert (outcome[Seen.HANDSHAKE_TIMEOUT] == outcome[Seen.HANDSHAKE_FAILED]).all()
    assert (outcome[Seen.HANDSHAKE_TIMEOUT] == Outcome.RECONNECT_CLEAR).all()
