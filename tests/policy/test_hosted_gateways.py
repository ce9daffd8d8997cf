"""Proofpoint's and Mimecast's tables against their reference pages, cell by cell."""

from __future__ import annotations

import pytest

from sim.policy.profile import Profile
from sim.policy.profiles import mimecast, proofpoint
from sim.terms import Chain, TlsVersion
from tests.policy.pages import check_page
from tests.policy.shown import CERTIFICATES, word_for

PROOFPOINT = """
    setting                        | NO    | REF4  | REF5  | LOST  | HS    | HANGS | LOST IN TLS | 5XX GREETING
    default                        | clear | clear | clear | defer | READ  | READ  | defer       | defer
    enforce only TLS               | defer | defer | defer | defer | defer | defer | defer       | defer
    enforce completely secure SMTP | defer | defer | defer | defer | defer | defer | defer       | defer
"""
PROOFPOINT_CERTIFICATES = """
    setting                        | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    default                        | unv       | unv                   | unv      | unv
    enforce only TLS               | unv       | unv                   | unv      | unv
    enforce completely secure SMTP | defer     | defer                 | defer    | ver
"""
MIMECAST = """
    mode              | NO    | REF4  | REF5  | LOST  | HS    | HANGS | LOST IN TLS | 5XX GREETING
    Opportunistic     | clear | clear | clear | defer | READ  | READ  | defer       | defer
    Enforced, Relaxed | defer | defer | defer | defer | defer | defer | defer       | defer
    Enforced, Strict  | defer | defer | defer | defer | defer | defer | defer       | defer
"""
#: BAD NAME never comes up: Strict asks for no name.
MIMECAST_CERTIFICATES = """
    mode              | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    Opportunistic     | unv       | unv                   | unv      | unv
    Enforced, Relaxed | unv       | unv                   | unv      | unv
    Enforced, Strict  | defer     | defer                 | ver      | ver
"""
BOTH = [
    (proofpoint.PROFILE, PROOFPOINT, PROOFPOINT_CERTIFICATES),
    (mimecast.PROFILE, MIMECAST, MIMECAST_CERTIFICATES),
]


@pytest.mark.parametrize(("profile", "page", "certificates"), BOTH)
def test_every_cell_says_what_the_page_says(profile: Profile, page: str, certificates: str) -> None:
    check_page(profile, page.replace("READ ", "clear"))
    check_page(profile, certificates)


@pytest.mark.parametrize(("profile", "page", "certificates"), BOTH)
@pytest.mark.parametrize("value", ["clear", "defer"])
def test_the_readings_of_a_failed_handshake(profile: Profile, page: str, certificates: str, value: str) -> None:
    switches = {"handshake_failure": value}
    check_page(profile, page.replace("READ ", value), switches=switches)
    check_page(profile, certificates, switches=switches)


def test_completely_secure_asks_for_the_recipients_domain() -> None:
    words = {name: word_for(proofpoint.PROFILE, proofpoint.Enforce.SECURE_SMTP, name) for name in CERTIFICATES}
    assert {name for name, word in words.items() if word == "ver"} == {"the domain"}
    assert set(words.values()) == {"ver", "defer"}


def test_strict_asks_for_a_trusted_chain_and_no_name() -> None:
    strict = mimecast.Mode.ENFORCED_STRICT
    assert {word_for(mimecast.PROFILE, strict, name) for name in CERTIFICATES} == {"ver"}
    assert {word_for(mimecast.PROFILE, strict, "the MX host", c) for c in Chain if c} == {"defer"}


@pytest.mark.parametrize("profile", [proofpoint.PROFILE, mimecast.PROFILE])
def test_older_peers_than_tls_1_2_and_the_retries_of_rfc_5321(profile: Profile) -> None:
    assert profile.minimum_tls is TlsVersion.TLS_1_2
    assert profile.queueing is not None
    times = profile.queueing.attempt_times_s()
    assert times[:3] == (0, 1_800, 3_600)
    assert times[-1] == 432_000
