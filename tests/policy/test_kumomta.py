"""KumoMTA's tables against its reference page, cell by cell."""

from __future__ import annotations

from itertools import product

import pytest

from sim.policy.profiles.kumomta import PROFILE, EnableTls
from sim.terms import Dane, DaneOption, Demand, MtaSts, Outcome, Seen
from tests.policy.pages import check_dane, check_mta_sts, check_page, words_of

RECONNECT = "opportunistic_tls_reconnect_on_failed_handshake"
PAGE = """
    enable_tls            | NO    | REF4  | REF5  | LOST  | HS    | HANGS | LOST IN TLS | 5XX GREETING
    Disabled              | clear | clear | clear | clear | clear | clear | clear       | defer
    OpportunisticInsecure | clear | defer | defer | defer | clear | defer | defer       | defer
    Opportunistic         | clear | defer | defer | defer | defer | defer | defer       | defer
    RequiredInsecure      | defer | defer | defer | defer | defer | defer | defer       | defer
    Required              | defer | defer | defer | defer | defer | defer | defer       | defer
"""
#: Opportunistic checks the certificate: a bad one is a handshake that failed.
CERTIFICATES = """
    enable_tls            | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    Disabled              | clear     | clear                 | clear    | clear
    OpportunisticInsecure | unv       | unv                   | unv      | unv
    Opportunistic         | defer     | defer                 | defer    | ver
    RequiredInsecure      | unv       | unv                   | unv      | unv
    Required              | defer     | defer                 | defer    | ver
"""
#: With opportunistic_tls_reconnect_on_failed_handshake, whether peers take a new EHLO or not.
RECONNECTING = """
    enable_tls            | NO    | REF4  | REF5  | LOST  | HS    | HANGS | LOST IN TLS | BAD CHAIN | BAD NAME | OK
    Disabled              | clear | clear | clear | clear | clear | clear | clear       | clear     | clear    | clear
    OpportunisticInsecure | clear | defer | defer | defer | clear | defer | clear       | unv       | unv      | unv
    Opportunistic         | clear | defer | defer | defer | clear | defer | clear       | clear     | clear    | ver
    RequiredInsecure      | defer | defer | defer | defer | defer | defer | defer       | unv       | unv      | unv
    Required              | defer | defer | defer | defer | defer | defer | defer       | defer     | defer    | ver
"""
#: With remember_broken_tls, of peers that take no new EHLO: the first try, then those that remember it.
REMEMBERING = """
    enable_tls            | NO    | REF4  | REF5  | LOST  | HS            | HANGS | LOST IN TLS   | BAD CHAIN     | BAD NAME      | OK
    Disabled              | clear | clear | clear | clear | clear         | clear | clear         | clear         | clear         | clear
    OpportunisticInsecure | clear | defer | defer | defer | defer > clear | defer | defer > clear | unv           | unv           | unv
    Opportunistic         | clear | defer | defer | defer | defer > clear | defer | defer > clear | defer > clear | defer > clear | ver
    RequiredInsecure      | defer | defer | defer | defer | defer         | defer | defer         | unv           | unv           | unv
    Required              | defer | defer | defer | defer | defer         | defer | defer         | defer         | defer         | ver
"""  # noqa: E501
#: With enable_dane. Where TLSA records are usable the rule is theirs, and no chain is looked at.
DANE = """
    tlsa            | NO    | REF4  | REF5  | LOST  | HS    | HANGS | LOST IN TLS | 5XX GREETING | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    usable-match    | defer | defer | defer | defer | defer | defer | defer       | defer        | defer     | ver                   | defer    | ver
    usable-mismatch | defer | defer | defer | defer | defer | defer | defer       | defer        | defer     | ver                   | defer    | ver
    unusable        | defer | defer | defer | defer | defer | defer | defer       | defer        | unv       | unv                   | unv      | unv
    bogus           | defer | defer | defer | defer | defer | defer | defer       | defer        | defer     | defer                 | defer    | defer
    none            | clear | defer | defer | defer | defer | defer | defer       | defer        | defer     | defer                 | defer    | ver
    insecure        | clear | defer | defer | defer | defer | defer | defer       | defer        | defer     | defer                 | defer    | ver
"""  # noqa: E501
#: As shipped; a policy in testing is OpportunisticInsecure.
MTA_STS = """
    policy   | NO    | REF4  | REF5  | LOST  | HS    | HANGS | LOST IN TLS | 5XX GREETING | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    none     | clear | defer | defer | defer | defer | defer | defer       | defer        | defer     | defer                 | defer    | ver
    testing  | clear | defer | defer | defer | clear | defer | defer       | defer        | unv       | unv                   | unv      | unv
    enforce  | defer | defer | defer | defer | defer | defer | defer       | defer        | defer     | defer                 | defer    | ver
    unlisted | defer | defer | defer | defer | defer | defer | defer       | defer        | defer     | defer                 | defer    | defer
"""  # noqa: E501


@pytest.mark.parametrize("page", [PAGE, CERTIFICATES])
def test_every_cell_says_what_the_page_says(page: str) -> None:
    check_page(PROFILE, page)


@pytest.mark.parametrize("takes_ehlo", [True, False])
def test_the_page_of_the_reconnect_option(takes_ehlo: bool) -> None:
    check_page(PROFILE, RECONNECTING, switches={RECONNECT: True, "peer_takes_new_ehlo": takes_ehlo})


def test_the_page_of_the_memory_of_broken_tls() -> None:
    check_page(PROFILE, REMEMBERING, switches={"remember_broken_tls": True, "peer_takes_new_ehlo": False})


def test_opportunistic_insecure_goes_on_only_with_a_peer_that_takes_a_new_ehlo() -> None:
    switches = {"peer_takes_new_ehlo": False}
    assert words_of(PROFILE, EnableTls.OPPORTUNISTIC_INSECURE, "HS", switches=switches) == "defer"


def test_the_page_of_enable_dane() -> None:
    check_dane(PROFILE, DANE, setting=EnableTls.OPPORTUNISTIC, dane_option=DaneOption.OPPORTUNISTIC)


def test_as_shipped_no_tlsa_record_is_looked_up() -> None:
    for state in Dane:
        check_page(PROFILE, PAGE, dane=state)


@pytest.mark.parametrize("setting", list(EnableTls))
def test_usable_records_go_before_a_policy_and_a_policy_before_what_is_set(setting: EnableTls) -> None:
    dane = {"dane_option": DaneOption.OPPORTUNISTIC, "dane": Dane.USABLE_MATCH}
    for mode, listed in product(MtaSts, (True, False)):
        held = words_of(PROFILE, setting, "BAD CHAIN, RULE HOLDS", mta_sts=mode, mx_listed=listed, **dane)  # type: ignore[arg-type]
        assert held == "ver"
    replaced = "\n".join(line for line in MTA_STS.splitlines() if "none " not in line)
    check_mta_sts(PROFILE, replaced, setting=setting)


def test_a_policy_in_testing_does_not_relax_what_unusable_records_demand() -> None:
    case = {"dane_option": DaneOption.OPPORTUNISTIC, "dane": Dane.UNUSABLE}
    for setting in EnableTls:
        assert words_of(PROFILE, setting, "NO", mta_sts=MtaSts.TESTING, **case) == "defer"  # type: ignore[arg-type]
        assert words_of(PROFILE, setting, "BAD NAME", mta_sts=MtaSts.ENFORCE, **case) == "defer"  # type: ignore[arg-type]


def test_without_enable_mta_sts_no_policy_counts() -> None:
    for mode, listed in product(MtaSts, (True, False)):
        check_page(PROFILE, CERTIFICATES, mta_sts=mode, mx_listed=listed, switches={"enable_mta_sts": False})


def test_attempts_double_their_distance_for_a_week() -> None:
    assert PROFILE.queueing is not None
    times = PROFILE.queueing.attempt_times_s()
    assert times == tuple(1_200 * (2**n - 1) for n in range(10))
    assert times[-2] < 7 * 86_400 <= times[-1]


def kinds(seen: Seen, **switches: bool) -> list[str]:
    """Return the outcomes of Opportunistic's and OpportunisticInsecure's demands, young then aged."""
    outcome = PROFILE.tables(switches).outcome
    return [
        " > ".join(Outcome(int(code)).label for code in outcome[demand, seen])
        for demand in (Demand.OPPORTUNISTIC_VERIFY, Demand.OPPORTUNISTIC)
    ]


def test_the_reconnect_is_a_new_connection_and_goes_before_what_is_remembered() -> None:
    for remembers in (False, True):
        switches = {RECONNECT: True, "remember_broken_tls": remembers}
        assert kinds(Seen.LOST_IN_TLS, **switches) == ["reconnect in clear > reconnect in clear"] * 2
        assert kinds(Seen.HANDSHAKE_FAILED, **switches) == ["reconnect in clear > reconnect in clear"] * 2
        for seen in (Seen.UNTRUSTED, Seen.EXPIRED, Seen.MISMATCH):
            assert kinds(seen, **switches)[0] == "reconnect in clear > reconnect in clear"


def test_what_is_remembered_and_a_new_ehlo_are_clear_on_the_session_there_is() -> None:
    assert kinds(Seen.HANDSHAKE_FAILED) == ["next host > next host", "clear > clear"]
    remembered = kinds(Seen.HANDSHAKE_FAILED, remember_broken_tls=True, peer_takes_new_ehlo=False)
    assert remembered == ["next host > clear"] * 2
