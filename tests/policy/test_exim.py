"""Exim's tables against its reference page, cell by cell."""

from __future__ import annotations

import pytest

from sim.policy.profiles.exim import PROFILE, HostList
from sim.terms import Dane, DaneOption, MtaSts
from tests.policy.pages import check_dane, check_page, words_of

#: Lists over what a peer does that publishes nothing.
PAGE = """
    host list                            | NO    | REF4  | REF5  | LOST  | HS    | HANGS | LOST IN TLS | 5XX GREETING
    hosts_avoid_tls                      | clear | clear | clear | clear | clear | clear | clear       | bounce
    default                              | clear | clear | clear | defer | clear | clear | clear       | bounce
    tls_tempfail_tryclear off            | clear | defer | clear | defer | defer | defer | defer       | bounce
    hosts_require_tls                    | defer | defer | defer | defer | defer | defer | defer       | bounce
    tls_verify_hosts                     | clear | clear | clear | defer | clear | clear | clear       | bounce
    hosts_require_tls + tls_verify_hosts | defer | defer | defer | defer | defer | defer | defer       | bounce
"""
CERTIFICATES = """
    host list                            | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    hosts_avoid_tls                      | clear     | clear                 | clear    | clear
    default                              | unv       | unv                   | unv      | ver
    tls_tempfail_tryclear off            | unv       | unv                   | unv      | ver
    hosts_require_tls                    | unv       | unv                   | unv      | ver
    tls_verify_hosts                     | clear     | clear                 | clear    | ver
    hosts_require_tls + tls_verify_hosts | defer     | defer                 | defer    | ver
"""
#: A host in no list, under hosts_try_dane. Where TLSA records are usable the rule is theirs, and no chain is looked at.
TRY_DANE = """
    tlsa            | NO    | REF4  | REF5  | LOST  | HS    | HANGS | LOST IN TLS | 5XX GREETING | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    usable-match    | defer | defer | defer | defer | defer | defer | defer       | bounce       | defer     | ver                   | defer    | ver
    usable-mismatch | defer | defer | defer | defer | defer | defer | defer       | bounce       | defer     | ver                   | defer    | ver
    unusable        | defer | defer | defer | defer | defer | defer | defer       | defer        | defer     | defer                 | defer    | defer
    bogus           | defer | defer | defer | defer | defer | defer | defer       | defer        | defer     | defer                 | defer    | defer
    none            | clear | clear | clear | defer | clear | clear | clear       | bounce       | unv       | unv                   | unv      | ver
    insecure        | clear | clear | clear | defer | clear | clear | clear       | bounce       | unv       | unv                   | unv      | ver
"""  # noqa: E501
REQUIRE_DANE = """
    tlsa         | NO     | REF4   | REF5   | LOST   | HS     | HANGS  | LOST IN TLS | 5XX GREETING | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    usable-match | defer  | defer  | defer  | defer  | defer  | defer  | defer       | bounce       | defer     | ver                   | defer    | ver
    unusable     | defer  | defer  | defer  | defer  | defer  | defer  | defer       | defer        | defer     | defer                 | defer    | defer
    bogus        | defer  | defer  | defer  | defer  | defer  | defer  | defer       | defer        | defer     | defer                 | defer    | defer
    none         | bounce | bounce | bounce | bounce | bounce | bounce | bounce      | bounce       | bounce    | bounce                | bounce   | bounce
    insecure     | bounce | bounce | bounce | bounce | bounce | bounce | bounce      | bounce       | bounce    | bounce                | bounce   | bounce
"""  # noqa: E501
#: Records of which none is usable, where TLS that nobody vouches for is demanded instead.
UNUSABLE_ENCRYPT = """
    host list                            | NO    | REF4  | REF5  | HS    | BAD CHAIN | BAD NAME | OK
    hosts_avoid_tls                      | clear | clear | clear | clear | clear     | clear    | clear
    default                              | defer | defer | defer | defer | unv       | unv      | ver
    tls_tempfail_tryclear off            | defer | defer | defer | defer | unv       | unv      | ver
    hosts_require_tls                    | defer | defer | defer | defer | unv       | unv      | ver
    tls_verify_hosts                     | defer | defer | defer | defer | defer     | defer    | ver
    hosts_require_tls + tls_verify_hosts | defer | defer | defer | defer | defer     | defer    | ver
"""


@pytest.mark.parametrize("page", [PAGE, CERTIFICATES])
def test_every_cell_says_what_the_page_says(page: str) -> None:
    check_page(PROFILE, page)
    for mode in MtaSts:
        check_page(PROFILE, page, mta_sts=mode, mx_listed=False)


def test_the_page_of_hosts_try_dane() -> None:
    check_dane(PROFILE, TRY_DANE, setting=HostList.DEFAULT)


def test_usable_records_take_tryclear_away_from_every_list_that_tries_tls() -> None:
    for host_list in HostList:
        wanted = "clear" if host_list is HostList.AVOID else "defer"
        assert words_of(PROFILE, host_list, "HS", dane=Dane.USABLE_UNSEEN) == wanted


def test_the_page_of_hosts_require_dane() -> None:
    for value in PROFILE.switches["dane_unusable"].outcomes:
        case = {"setting": HostList.DEFAULT, "dane_option": DaneOption.MANDATORY, "switches": {"dane_unusable": value}}
        check_dane(PROFILE, REQUIRE_DANE, **case)


def test_the_page_of_records_none_of_which_is_usable() -> None:
    check_page(PROFILE, UNUSABLE_ENCRYPT, dane=Dane.UNUSABLE, switches={"dane_unusable": "encrypt"})


def test_records_none_of_which_is_usable_leave_the_name_that_is_asked_for() -> None:
    tables = PROFILE.tables({"dane_unusable": "encrypt"})
    for host_list in HostList:
        rule = tables.asks(host_list, DaneOption.OPPORTUNISTIC, Dane.UNUSABLE, MtaSts.NONE, 1)[1]
        assert rule is tables.plain(host_list)[1]


def test_nothing_is_looked_up_where_hosts_try_dane_is_empty() -> None:
    for state in Dane:
        check_page(PROFILE, PAGE, dane=state, dane_option=DaneOption.NONE)


def test_attempts_fall_where_the_shipped_rule_and_queue_runs_put_them() -> None:
    assert PROFILE.queueing is not None
    hours = [time / 3_600 for time in PROFILE.queueing.attempt_times_s()]
    assert hours[:10] == [0, 0.5, 1, 1.5, 2, 3, 4.5, 7, 10.5, 16]
    assert hours[10:12] == [22, 28]
    assert hours[-2] < 96 <= hours[-1]
