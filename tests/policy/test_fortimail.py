"""FortiMail's tables against its reference page, cell by cell."""

from __future__ import annotations

import pytest

from sim.policy.profiles.fortimail import PROFILE, Level
from sim.terms import Chain, Dane, DaneOption, MtaSts
from tests.policy.pages import check_page, check_rows, words_of
from tests.policy.shown import word_for

PAGE = """
    level        | NO     | REF4   | REF5   | LOST  | HS     | HANGS  | LOST IN TLS | 5XX GREETING
    none         | clear  | clear  | clear  | clear | clear  | clear  | clear       | defer
    preferred    | clear  | clear  | clear  | defer | clear  | clear  | defer       | defer
    encrypt      | defer  | defer  | defer  | defer | defer  | defer  | defer       | defer
    encrypt fail | bounce | bounce | bounce | defer | bounce | bounce | defer       | defer
    secure       | defer  | defer  | defer  | defer | defer  | defer  | defer       | defer
    secure fail  | bounce | bounce | bounce | defer | bounce | bounce | defer       | defer
"""
#: BAD NAME is what check-cert-subject alone can meet: see the test of names.
CERTIFICATES = """
    level        | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    none         | clear     | clear                 | clear    | clear
    preferred    | unv       | unv                   | unv      | unv
    encrypt      | unv       | unv                   | unv      | unv
    encrypt fail | unv       | unv                   | unv      | unv
    secure       | defer     | defer                 | ver      | ver
    secure fail  | bounce    | bounce                | ver      | ver
"""
#: dane-support = opportunistic over level preferred.
OPPORTUNISTIC = """
    tlsa            | NO    | REF4  | REF5  | LOST  | HS    | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    usable-match    | defer | defer | defer | defer | defer | defer     | ver                   | defer    | ver
    usable-mismatch | defer | defer | defer | defer | defer | defer     | ver                   | defer    | ver
    usable-unseen   | defer | defer | defer | defer | defer | defer     | ver                   | defer    | ver
    unusable        | defer | defer | defer | defer | defer | unv       | unv                   | unv      | unv
    bogus           | defer | defer | defer | defer | defer | defer     | defer                 | defer    | defer
    none            | clear | clear | clear | defer | clear | unv       | unv                   | unv      | unv
    insecure        | clear | clear | clear | defer | clear | unv       | unv                   | unv      | unv
"""
#: dane-support = mandatory differs where there is no record to hold the certificate against.
MANDATORY = """
    tlsa            | NO    | REF4  | REF5  | LOST  | HS    | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    usable-match    | defer | defer | defer | defer | defer | defer     | ver                   | defer    | ver
    usable-mismatch | defer | defer | defer | defer | defer | defer     | ver                   | defer    | ver
    usable-unseen   | defer | defer | defer | defer | defer | defer     | ver                   | defer    | ver
    unusable        | defer | defer | defer | defer | defer | unv       | unv                   | unv      | unv
    bogus           | defer | defer | defer | defer | defer | defer     | defer                 | defer    | defer
    none            | defer | defer | defer | defer | defer | defer     | defer                 | defer    | defer
    insecure        | defer | defer | defer | defer | defer | defer     | defer                 | defer    | defer
"""
STATES = (
    Dane.USABLE_MATCH, Dane.USABLE_MISMATCH, Dane.USABLE_UNSEEN, Dane.UNUSABLE, Dane.BOGUS, Dane.NONE, Dane.INSECURE
)  # fmt: skip
#: Usable records and a policy in force, where a session breaks.
BROKEN = """
    asked           | LOST  | HANGS | LOST IN TLS | 5XX GREETING
    usable-match    | defer | defer | defer       | defer
    enforce, listed | defer | defer | defer       | defer
"""
#: mtasts-status over a policy in mode enforce, level preferred.
POLICIES = """
    mtasts-status    | NO    | REF4  | REF5  | LOST  | HS    | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    none             | clear | clear | clear | defer | clear | unv       | unv                   | unv      | unv
    enable           | defer | defer | defer | defer | defer | defer     | defer                 | defer    | ver
    enable, unlisted | defer | defer | defer | defer | defer | defer     | defer                 | defer    | defer
    enable, testing  | clear | clear | clear | defer | clear | unv       | unv                   | unv      | unv
"""


@pytest.mark.parametrize("page", [PAGE, CERTIFICATES])
def test_every_cell_says_what_the_page_says(page: str) -> None:
    check_page(PROFILE, page)


@pytest.mark.parametrize(
    ("option", "page"), [(DaneOption.OPPORTUNISTIC, OPPORTUNISTIC), (DaneOption.MANDATORY, MANDATORY)]
)
def test_the_pages_of_dane_support(option: DaneOption, page: str) -> None:
    check_rows(PROFILE, page, [{"setting": Level.PREFERRED, "dane": s, "dane_option": option} for s in STATES])


@pytest.mark.parametrize("state", list(Dane))
def test_no_records_are_asked_for_without_dane_support_or_without_tls(state: Dane) -> None:
    assert words_of(PROFILE, Level.PREFERRED, "NO", dane=state) == "clear"
    assert words_of(PROFILE, Level.NONE, "OK", dane=state, dane_option=DaneOption.MANDATORY) == "clear"


def test_the_page_of_mtasts_status() -> None:
    def case(status: str, **more: object) -> dict[str, object]:
        plain: dict[str, object] = {"setting": Level.PREFERRED, "mta_sts": MtaSts.ENFORCE}
        return plain | {"switches": {"mtasts_status": status}} | more

    cases = [
        case("none"),
        case("enable"),
        case("enable", mx_listed=False),
        case("enable", mta_sts=MtaSts.TESTING),
    ]
    check_rows(PROFILE, POLICIES, cases)
    usable: dict[str, object] = {
        "setting": Level.PREFERRED,
        "dane": Dane.USABLE_MATCH,
        "dane_option": DaneOption.OPPORTUNISTIC,
    }
    check_rows(PROFILE, BROKEN, [usable, case("enable")])


def test_the_other_reading_of_a_failed_handshake() -> None:
    words = [words_of(PROFILE, level, "HS", switches={"handshake_failure": "defer"}) for level in Level]
    assert words == ["clear", "defer", "defer", "bounce", "defer", "bounce"]


def test_fail_may_try_the_other_mx_hosts_first() -> None:
    tried = {"fail_next_mx": True}
    for situation in ("NO", "REF4", "REF5", "HS", "HANGS"):
        words = [words_of(PROFILE, s, situation, switches=tried) for s in (Level.ENCRYPT_FAIL, Level.SECURE_FAIL)]
        assert words == ["last", "last"]
    assert words_of(PROFILE, Level.SECURE_FAIL, "BAD CHAIN", switches=tried) == "last"


def test_secure_looks_at_the_chain_and_with_check_cert_subject_at_the_name_too() -> None:
    assert word_for(PROFILE, Level.SECURE, "another") == "ver"
    assert word_for(PROFILE, Level.SECURE, "another", Chain.EXPIRED) == "defer"
    assert word_for(PROFILE, Level.SECURE, "another", check_cert_subject=True) == "defer"
    assert word_for(PROFILE, Level.SECURE, "the MX host", check_cert_subject=True) == "ver"
    assert word_for(PROFILE, Level.SECURE_FAIL, "another", check_cert_subject=True) == "bounce"


def test_every_27_minutes_for_five_days_with_a_warning_after_four_hours() -> None:
    assert PROFILE.queueing is not None
    times = PROFILE.queueing.attempt_times_s()
    assert times[:3] == (0, 1_620, 3_240)
    assert times[-2] < 432_000 <= times[-1]
    assert PROFILE.queueing.warning_s == 14_400
