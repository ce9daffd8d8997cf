"""Google Workspace's tables against its reference page, cell by cell."""

from __future__ import annotations

from itertools import product

import pytest

from sim.policy.profiles.google_workspace import PROFILE, Transport
from sim.terms import TlsVersion
from tests.policy.pages import check_mta_sts, check_page, words_of

PAGE = """
    transport                                | NO     | REF4   | REF5   | LOST  | HS     | HANGS  | LOST IN TLS | 5XX GREETING
    default                                  | clear  | clear  | clear  | defer | clear  | clear  | defer       | defer
    secure transport                         | bounce | bounce | bounce | defer | bounce | bounce | defer       | defer
    secure transport + CA-signed + host name | bounce | bounce | bounce | defer | bounce | bounce | defer       | defer
"""  # noqa: E501
CERTIFICATES = """
    transport                                | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    default                                  | unv       | unv                   | unv      | unv
    secure transport                         | unv       | unv                   | unv      | unv
    secure transport + CA-signed + host name | bounce    | bounce                | bounce   | ver
"""
#: Where the one attempt under a rule goes on to the other MX hosts.
NEXT_HOST = """
    transport                                | NO    | REF4  | REF5  | HS    | BAD CHAIN | BAD NAME | OK
    default                                  | clear | clear | clear | clear | unv       | unv      | unv
    secure transport                         | last  | last  | last  | last  | unv       | unv      | unv
    secure transport + CA-signed + host name | last  | last  | last  | last  | last      | last     | ver
"""
#: As shipped, and the same under the rule for secure transport where a policy is enforced.
MTA_STS = """
    policy   | NO    | REF4  | REF5  | LOST  | HS    | HANGS | LOST IN TLS | 5XX GREETING | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    none     | clear | clear | clear | defer | clear | clear | defer       | defer        | unv       | unv                   | unv      | unv
    testing  | clear | clear | clear | defer | clear | clear | defer       | defer        | unv       | unv                   | unv      | unv
    enforce  | defer | defer | defer | defer | defer | defer | defer       | defer        | defer     | defer                 | defer    | ver
    unlisted | defer | defer | defer | defer | defer | defer | defer       | defer        | defer     | defer                 | defer    | defer
"""  # noqa: E501


@pytest.mark.parametrize("page", [PAGE, CERTIFICATES])
def test_every_cell_says_what_the_page_says(page: str) -> None:
    check_page(PROFILE, page)


def test_it_uses_no_dane() -> None:
    tables = PROFILE.tables()
    for table in (tables.demand, tables.rule):
        assert (table == table[:, :1, :1]).all()


def test_the_page_of_mta_sts() -> None:
    check_mta_sts(PROFILE, MTA_STS, setting=Transport.DEFAULT)
    enforced = "\n".join(line for line in MTA_STS.splitlines() if "none " not in line and "testing " not in line)
    check_mta_sts(PROFILE, enforced, setting=Transport.SECURE)


def test_a_failed_handshake_may_defer_as_shipped() -> None:
    switches = {"handshake_failed": "defer"}
    for transport, situation in product(Transport, ("HS", "HANGS")):
        wanted = "defer" if transport is Transport.DEFAULT else "bounce"
        assert words_of(PROFILE, transport, situation, switches=switches) == wanted


def test_the_one_attempt_may_go_on_to_the_other_hosts() -> None:
    check_page(PROFILE, NEXT_HOST, switches={"rule_next_host": True})


def test_it_speaks_tls_from_1_0_on() -> None:
    assert PROFILE.minimum_tls is TlsVersion.TLS_1_0


def test_attempts_end_after_three_days() -> None:
    assert PROFILE.queueing is not None
    assert PROFILE.queueing.attempt_times_s()[-1] == 72 * 3_600
