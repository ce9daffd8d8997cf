"""Stalwart's tables against its reference page, cell by cell."""

from __future__ import annotations

import pytest

from sim.policy.profiles.stalwart import PROFILE, Strategy
from sim.terms import Dane, DaneOption, MtaSts
from tests.policy.pages import check_page, check_rows, words_of
from tests.policy.shown import word_for

#: Strategies over what a peer does that publishes nothing; ``last`` bounces where no other MX host takes it.
PAGE = """
    strategy                     | NO    | REF4  | REF5  | LOST  | HS    | HANGS | LOST IN TLS | 5XX GREETING
    disable                      | clear | clear | clear | clear | clear | clear | clear       | last
    optional allow_invalid_certs | clear | clear | clear | defer | defer | defer | defer       | last
    optional                     | clear | clear | clear | defer | defer | defer | defer       | last
    require allow_invalid_certs  | last  | defer | last  | defer | defer | defer | defer       | last
    require                      | last  | defer | last  | defer | defer | defer | defer       | last
"""
#: Before and after an invalid-tls error: under *optional* a retry checks nothing.
CERTIFICATES = """
    strategy                     | BAD CHAIN   | BAD CHAIN, RULE HOLDS | BAD NAME    | OK
    disable                      | clear       | clear                 | clear       | clear
    optional allow_invalid_certs | unv         | unv                   | unv         | unv
    optional                     | defer > unv | defer > unv           | defer > unv | ver > unv
    require allow_invalid_certs  | unv         | unv                   | unv         | unv
    require                      | defer       | defer                 | defer       | ver
"""
#: Strategy optional over TLSA records, dane = optional as shipped. Usable ones are strict.
DANE = """
    tlsa             | NO    | REF4  | REF5  | LOST  | HS    | HANGS | BAD CHAIN   | BAD CHAIN, RULE HOLDS | BAD NAME    | OK
    usable-match     | last  | defer | last  | defer | defer | defer | defer       | ver                   | defer       | ver
    usable-mismatch  | last  | defer | last  | defer | defer | defer | defer       | ver                   | defer       | ver
    usable-unseen    | last  | defer | last  | defer | defer | defer | defer       | ver                   | defer       | ver
    unusable         | last  | defer | last  | defer | defer | defer | unv         | unv                   | unv         | unv
    bogus            | defer | defer | defer | defer | defer | defer | defer       | defer                 | defer       | defer
    none             | clear | clear | clear | defer | defer | defer | defer > unv | defer > unv           | defer > unv | ver > unv
    insecure         | clear | clear | clear | defer | defer | defer | defer > unv | defer > unv           | defer > unv | ver > unv
"""  # noqa: E501
STATES = (
    Dane.USABLE_MATCH, Dane.USABLE_MISMATCH, Dane.USABLE_UNSEEN, Dane.UNUSABLE, Dane.BOGUS, Dane.NONE, Dane.INSECURE
)  # fmt: skip
#: Usable records and a policy in force, where a session breaks.
BROKEN = """
    asked           | LOST  | HANGS | LOST IN TLS | 5XX GREETING
    usable-match    | defer | defer | defer       | last
    enforce, listed | defer | defer | defer       | last
"""
#: A policy of RFC 8461 over the strategy optional.
POLICIES = """
    policy            | NO    | REF4  | REF5  | HS    | BAD CHAIN   | BAD CHAIN, RULE HOLDS | BAD NAME    | OK
    enforce, listed   | last  | defer | last  | defer | defer       | defer                 | defer       | ver
    enforce, unlisted | defer | defer | defer | defer | defer       | defer                 | defer       | defer
    testing           | clear | clear | clear | defer | defer > unv | defer > unv           | defer > unv | ver > unv
    enforce, disabled | clear | clear | clear | defer | defer > unv | defer > unv           | defer > unv | ver > unv
"""


@pytest.mark.parametrize("page", [PAGE, CERTIFICATES])
def test_every_cell_says_what_the_page_says(page: str) -> None:
    check_page(PROFILE, page)


def test_the_page_of_dane() -> None:
    check_rows(PROFILE, DANE, [{"setting": Strategy.OPTIONAL, "dane": state} for state in STATES])


def test_the_page_of_policies() -> None:
    enforced: dict[str, object] = {"setting": Strategy.OPTIONAL, "mta_sts": MtaSts.ENFORCE}
    cases = [
        enforced,
        enforced | {"mx_listed": False},
        enforced | {"mta_sts": MtaSts.TESTING},
        enforced | {"switches": {"mta_sts": "disable"}},
    ]
    check_rows(PROFILE, POLICIES, cases)
    check_rows(PROFILE, BROKEN, [{"setting": Strategy.OPTIONAL, "dane": Dane.USABLE_MATCH}, enforced])


@pytest.mark.parametrize("state", list(Dane))
def test_dane_required_bounces_without_usable_records_and_waits_for_an_answer(state: Dane) -> None:
    usable = state.label.startswith("usable")
    wanted = "ver" if usable else "defer" if state is Dane.BOGUS else "bounce"
    asked = DaneOption.MANDATORY
    for strategy in Strategy:
        found = words_of(PROFILE, strategy, "BAD CHAIN, RULE HOLDS", dane=state, dane_option=asked)
        assert found == ("clear" if strategy is Strategy.DISABLE else wanted)


def test_no_record_is_looked_up_with_dane_disabled_or_starttls_disabled() -> None:
    for state in Dane:
        plain = words_of(PROFILE, Strategy.REQUIRE, "OK", dane=state, dane_option=DaneOption.NONE)
        assert (plain, words_of(PROFILE, Strategy.DISABLE, "OK", dane=state)) == ("ver", "clear")


def test_usable_records_go_before_a_listed_policy() -> None:
    case = {"dane": Dane.USABLE_MATCH, "mta_sts": MtaSts.ENFORCE}
    found = words_of(PROFILE, Strategy.OPTIONAL, "BAD CHAIN, RULE HOLDS", **case)  # type: ignore[arg-type]
    assert found == "ver"


def test_the_other_reading_of_records_that_do_not_count_goes_on_without_them() -> None:
    for switch, state in (("bogus_tlsa", Dane.BOGUS), ("unusable_tlsa", Dane.UNUSABLE)):
        read = {switch: "ignore"}
        assert words_of(PROFILE, Strategy.OPTIONAL, "NO", dane=state, switches=read) == "clear"
        assert words_of(PROFILE, Strategy.OPTIONAL, "OK", dane=state, switches=read) == "ver > unv"


def test_the_name_of_the_mx_host_has_to_be_in_the_certificate() -> None:
    assert [word_for(PROFILE, Strategy.REQUIRE, n) for n in ("the MX host", "the domain")] == ["ver", "defer"]


def test_what_a_message_remembers_is_its_tls_failure() -> None:
    assert PROFILE.aged_after_tls_failure
    assert PROFILE.aged_after_s is None


def test_attempts_follow_the_list_whose_last_wait_repeats() -> None:
    assert PROFILE.queueing is not None
    minutes = [t / 60 for t in PROFILE.queueing.attempt_times_s()]
    assert minutes[:9] == [0, 2, 7, 17, 32, 62, 122, 242, 362]
    assert 3 * 1_440 <= minutes[-1] < 3 * 1_440 + 120
