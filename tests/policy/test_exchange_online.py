"""Exchange Online's tables against its reference page, cell by cell."""

from __future__ import annotations

from itertools import product

import pytest

from sim.policy.profiles.exchange_online import CODES, PROFILE, Connector
from sim.terms import Dane, DaneOption, Demand, MtaSts, Reason, Seen
from tests.policy.pages import check_dane, check_mta_sts, check_page, words_of

PAGE = """
    connector             | NO    | REF4  | REF5  | LOST  | HS    | HANGS | LOST IN TLS | 5XX GREETING
    null                  | clear | clear | clear | defer | defer | defer | defer       | defer
    EncryptionOnly        | defer | defer | defer | defer | defer | defer | defer       | defer
    CertificateValidation | defer | defer | defer | defer | defer | defer | defer       | defer
    DomainValidation      | defer | defer | defer | defer | defer | defer | defer       | defer
"""
#: No name is checked below DomainValidation.
CERTIFICATES = """
    connector             | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    null                  | unv       | unv                   | unv      | unv
    EncryptionOnly        | unv       | unv                   | unv      | unv
    CertificateValidation | defer     | defer                 | ver      | ver
    DomainValidation      | defer     | defer                 | defer    | ver
"""
#: The rule is that of the TLSA records where these are usable, and no chain is looked at. Unusable ones demand TLS.
DANE = """
    tlsa            | NO    | REF4  | REF5  | LOST  | HS    | HANGS | LOST IN TLS | 5XX GREETING | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    usable-match    | defer | defer | defer | defer | defer | defer | defer       | defer        | defer     | ver                   | defer    | ver
    usable-mismatch | defer | defer | defer | defer | defer | defer | defer       | defer        | defer     | ver                   | defer    | ver
    unusable        | last  | last  | last  | defer | last  | last  | defer       | defer        | unv       | unv                   | unv      | unv
    bogus           | defer | defer | defer | defer | defer | defer | defer       | defer        | defer     | defer                 | defer    | defer
    none            | clear | clear | clear | defer | defer | defer | defer       | defer        | unv       | unv                   | unv      | unv
    insecure        | clear | clear | clear | defer | defer | defer | defer       | defer        | unv       | unv                   | unv      | unv
"""  # noqa: E501
MANDATORY = """
    tlsa         | NO     | REF4   | REF5   | HS     | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    usable-match | defer  | defer  | defer  | defer  | defer     | ver                   | defer    | ver
    unusable     | ABSENT | ABSENT | ABSENT | ABSENT | ABSENT    | ABSENT                | ABSENT   | ABSENT
    bogus        | defer  | defer  | defer  | defer  | defer     | defer                 | defer    | defer
    none         | ABSENT | ABSENT | ABSENT | ABSENT | ABSENT    | ABSENT                | ABSENT   | ABSENT
    insecure     | ABSENT | ABSENT | ABSENT | ABSENT | ABSENT    | ABSENT                | ABSENT   | ABSENT
"""
MTA_STS = """
    policy   | NO    | REF4  | REF5  | LOST  | HS    | HANGS | LOST IN TLS | 5XX GREETING | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    none     | clear | clear | clear | defer | defer | defer | defer       | defer        | unv       | unv                   | unv      | unv
    testing  | clear | clear | clear | defer | defer | defer | defer       | defer        | unv       | unv                   | unv      | unv
    enforce  | defer | defer | defer | defer | defer | defer | defer       | defer        | defer     | defer                 | defer    | ver
    unlisted | defer | defer | defer | defer | defer | defer | defer       | defer        | defer     | defer                 | defer    | defer
"""  # noqa: E501


@pytest.mark.parametrize("page", [PAGE, CERTIFICATES])
def test_every_cell_says_what_the_page_says(page: str) -> None:
    check_page(PROFILE, page)
    for state in Dane:
        check_page(PROFILE, page, dane=state, dane_option=DaneOption.NONE)


def test_the_page_of_dane() -> None:
    check_dane(PROFILE, DANE, setting=Connector.NULL)


def test_usable_records_go_before_every_connector_and_policy() -> None:
    for connector, mode, listed in product(Connector, MtaSts, (True, False)):
        case = {"dane": Dane.USABLE_MATCH, "mta_sts": mode, "mx_listed": listed}
        assert words_of(PROFILE, connector, "BAD CHAIN, RULE HOLDS", **case) == "ver"  # type: ignore[arg-type]
        assert words_of(PROFILE, connector, "NO", **case) == "defer"  # type: ignore[arg-type]


def test_unusable_records_ask_for_no_less_than_the_connector() -> None:
    assert words_of(PROFILE, Connector.ENCRYPTION_ONLY, "NO", dane=Dane.UNUSABLE) == "last"
    for connector in (Connector.CERTIFICATE_VALIDATION, Connector.DOMAIN_VALIDATION):
        assert words_of(PROFILE, connector, "BAD CHAIN", dane=Dane.UNUSABLE) == "defer"
    assert words_of(PROFILE, Connector.NULL, "BAD NAME", dane=Dane.UNUSABLE, mta_sts=MtaSts.ENFORCE) == "defer"


@pytest.mark.parametrize("absent", ["defer", "bounce"])
def test_the_page_of_mandatory_dane(absent: str) -> None:
    for connector in Connector:
        case = {"setting": connector, "dane_option": DaneOption.MANDATORY, "switches": {"dane_absent": absent}}
        check_dane(PROFILE, MANDATORY.replace("ABSENT", absent), **case)


def test_the_page_of_mta_sts() -> None:
    check_mta_sts(PROFILE, MTA_STS, setting=Connector.NULL)
    for mode in MtaSts:
        found = words_of(PROFILE, Connector.ENCRYPTION_ONLY, "BAD NAME", mta_sts=mode, mx_listed=False)
        assert found == "unv"


def test_a_failed_handshake_may_go_clear_without_tls_settings() -> None:
    switches = {"handshake_failed": "clear"}
    for connector, situation in product(Connector, ("HS", "HANGS")):
        wanted = "clear" if connector is Connector.NULL else "defer"
        assert words_of(PROFILE, connector, situation, switches=switches) == wanted


def test_a_failed_handshake_may_defer_where_no_record_is_usable() -> None:
    switches = {"dane_unusable_handshake": "defer"}
    assert words_of(PROFILE, Connector.NULL, "HS", dane=Dane.UNUSABLE, switches=switches) == "defer"
    assert words_of(PROFILE, Connector.NULL, "NO", dane=Dane.UNUSABLE, switches=switches) == "last"


def test_what_fails_under_dane_has_the_code_the_vendor_gives_it() -> None:
    reason = PROFILE.tables().reason
    codes = {seen: CODES.get(Reason(int(reason[Demand.DANE, seen]))) for seen in Seen}
    assert codes[Seen.NOT_OFFERED] == codes[Seen.REFUSED_5XX] == "5.7.321"
    assert codes[Seen.MISMATCH] == "5.7.323"
    assert CODES[Reason(int(reason[Demand.HOLD_BOGUS, Seen.VERIFIED]))] == "5.7.324"
    assert CODES[Reason(int(reason[Demand.MTA_STS, Seen.EXPIRED]))] == "5.7.322"
    assert CODES[Reason(int(reason[Demand.MTA_STS, Seen.MISMATCH]))] == "5.7.325"
    assert codes[Seen.DNS_TEMPORARY] == "5.4.312"


def test_attempts_two_of_a_quarter_of_an_hour_then_hourly_for_a_day() -> None:
    assert PROFILE.queueing is not None
    hours = [time / 3_600 for time in PROFILE.queueing.attempt_times_s()]
    assert hours == [0, 0.25, *(0.5 + n for n in range(25))]
