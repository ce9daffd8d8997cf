"""Haraka's tables against its reference page, cell by cell."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sim.policy.profiles.haraka import PROFILE, Hosts
from sim.terms import Demand, Outcome, Seen
from tests.policy.pages import check_page, words_of
from tests.policy.shown import word_for

#: Lists over what a peer does: ``retry`` and ``bounce`` try no other MX host.
PAGE = """
    hosts           | NO    | REF4  | REF5   | LOST  | HS    | HANGS | LOST IN TLS | 5XX GREETING
    no_tls_hosts    | clear | clear | clear  | clear | clear | clear | clear       | bounce
    enable_tls      | clear | retry | bounce | defer | defer | defer | defer       | bounce
    force_tls_hosts | retry | retry | bounce | defer | defer | defer | defer       | bounce
"""
CERTIFICATES = """
    hosts           | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    no_tls_hosts    | clear     | clear                 | clear    | clear
    enable_tls      | unv       | unv                   | unv      | unv
    force_tls_hosts | defer     | defer                 | defer    | ver
"""
#: With redis.disable_for_failed_hosts: a message that a TLS failure has put off asks for no TLS any more.
MARKED = """
    hosts           | NO    | REF4          | REF5           | LOST          | HS            | HANGS         | LOST IN TLS
    no_tls_hosts    | clear | clear         | clear          | clear         | clear         | clear         | clear
    enable_tls      | clear | retry > clear | bounce > clear | defer > clear | defer > clear | defer > clear | defer > clear
    force_tls_hosts | retry | retry         | bounce         | defer         | defer         | defer         | defer
"""  # noqa: E501
MARKED_CERTIFICATES = """
    hosts           | BAD CHAIN   | BAD CHAIN, RULE HOLDS | BAD NAME    | OK          | 5XX GREETING
    no_tls_hosts    | clear       | clear                 | clear       | clear       | bounce
    enable_tls      | unv > clear | unv > clear           | unv > clear | unv > clear | bounce
    force_tls_hosts | defer       | defer                 | defer       | ver         | bounce
"""


@pytest.mark.parametrize("page", [PAGE, CERTIFICATES])
def test_every_cell_says_what_the_page_says(page: str) -> None:
    check_page(PROFILE, page)


@pytest.mark.parametrize("page", [MARKED, MARKED_CERTIFICATES])
def test_every_cell_with_the_mark_of_failed_hosts(page: str) -> None:
    check_page(PROFILE, page, switches={"disable_for_failed_hosts": True})


def test_without_the_option_no_message_ever_goes_in_clear_after_a_failed_handshake() -> None:
    tables = PROFILE.tables()
    assert (tables.outcome[..., 0] == tables.outcome[..., 1]).all()
    assert words_of(PROFILE, Hosts.ENABLE_TLS, "HS") == "defer"


def test_a_message_remembers_a_tls_failure_and_not_its_age() -> None:
    assert PROFILE.aged_after_tls_failure
    assert PROFILE.aged_after_s is None


def test_a_4xx_greeting_is_put_off_like_any_4xx() -> None:
    assert PROFILE.tables().outcome[Demand.OPPORTUNISTIC, Seen.GREETING_4XX, 0] == Outcome.RETRY


def test_forced_hosts_have_to_show_the_name_of_the_mx_host() -> None:
    words = {name: word_for(PROFILE, Hosts.FORCE_TLS_HOSTS, name) for name in ("the MX host", "the domain", "another")}
    assert words == {"the MX host": "ver", "the domain": "defer", "another": "defer"}


def test_twelve_retries_each_wait_twice_the_last() -> None:
    assert PROFILE.queueing is not None
    times = PROFILE.queueing.attempt_times_s()
    assert len(times) == 13
    waits = [after - before for before, after in pairwise(times)]
    assert waits == [64, 128, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536, 131_072]
    assert times[-1] < PROFILE.queueing.lifetime_s


def test_the_source_settles_every_cell() -> None:
    assert PROFILE.unsettled() == []


def test_where_a_tls_failure_is_remembered_starttls_is_not_tried_again() -> None:
    tables = PROFILE.tables({"disable_for_failed_hosts": True})
    assert (tables.outcome[Demand.OPPORTUNISTIC, Seen.NOT_OFFERED :, 1] == Outcome.DELIVER_CLEAR).all()
