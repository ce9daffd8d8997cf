"""TLSA records against certificates made here (RFC 6698, 7671, 7672)."""

from __future__ import annotations

import re
from hashlib import sha256, sha512

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import PolicyError
from sim.policy.certificates import Certificate
from sim.policy.dane import Tlsa, considered, dane_failure, dane_state, parse_tlsa
from sim.policy.identity import Peer
from sim.terms import Dane, Dnssec, Reason
from tests.policy.pki import NOW_S, Issued, intermediate, issue, root

SHA256, SHA512 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "ab" * 64
PEER = Peer("example.com", "mx.example.com")
SECURE, INSECURE, BOGUS = Dnssec


def tlsa(usage: int, selector: int, matching: int, of: Issued) -> Tlsa:
    """The record its owner would publish for a certificate."""
    content = of.facts.spki if selector else of.facts.der
    hashed = (content, sha256(content).digest(), sha512(content).digest())
    return Tlsa(usage, selector, matching, hashed[matching])


def facts(*chain: Issued) -> list[Certificate]:
    return [c.facts for c in chain]


# --- records -------------------------------------------------------------------------------------------------------

TEXTS = [
    (f"3 1 1 {SHA256}", "3 1 1", True),
    (f"3 1 1 ( {SHA256[:30]}\n {SHA256[30:].upper()} )", "3 1 1", True),
    (f"2 0 1 {SHA256}", "2 0 1", True),
    (f"3 1 2 {SHA512}", "3 1 2", True),
    (f"0 0 1 {SHA256}", "usage 2 or 3", False),
    (f"1 1 1 {SHA256}", "usage 2 or 3", False),
    (f"4 1 1 {SHA256}", "usage 2 or 3", False),
    (f"3 2 1 {SHA256}", "selector 0 or 1", False),
    (f"3 1 3 {SHA256}", "matching type 0, 1 or 2", False),
    (f"3 1 1 {SHA256[:-2]}", "64 hexadecimal digits, not 62", False),
    (f"3 1 1 {SHA512}", "64 hexadecimal digits, not 128", False),
    (f"3 1 2 {SHA256}", "128 hexadecimal digits, not 64", False),
    ("3 0 0 abcd", "a whole certificate or public key in DER", False),
    ("2 1 0 abcd", "a whole certificate or public key in DER", False),
]


@pytest.mark.parametrize(("text", "told", "usable"), TEXTS, ids=[t[0][:9] + "..." + t[0][-4:] for t in TEXTS])
def test_a_record_reads_and_is_usable_or_says_why_not(text: str, told: str, usable: bool) -> None:
    record = parse_tlsa(text, unusable=True)
    assert record.usable == usable
    if usable:
        assert str(parse_tlsa(text)) == f"{told} {record.data.hex()}"
    else:
        with pytest.raises(PolicyError, match=f"TLSA record = {re.escape(repr(text))}; allowed: {told}"):
            parse_tlsa(text)


@pytest.mark.parametrize(
    "text", ["", "3 1 1", "3 1 1 abc", f"3 1 256 {SHA256}", f"a 1 1 {SHA256}", f"3 1 1 {SHA256}x", "3 1 ² aa"]
)
def test_what_is_no_record_is_told_even_when_unusable_ones_are_asked_for(text: str) -> None:
    with pytest.raises(PolicyError, match="allowed: usage selector matching-type hex"):
        parse_tlsa(text, unusable=True)


@given(st.text(max_size=80) | st.from_regex(r"[0-9]{1,3} [0-9] [0-9] [0-9a-f]{0,70}", fullmatch=True))
def test_any_text_gives_a_record_or_the_one_error(text: str) -> None:
    try:
        record = parse_tlsa(text, unusable=True)
    except PolicyError:
        return
    assert parse_tlsa(str(record), unusable=True) == record


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_a_record_selects_the_certificate_it_was_made_of_and_no_other(selector: int, matching: int) -> None:
    record = tlsa(3, selector, matching, issue("a.example"))
    again, other = issue("a.example"), issue("b.example")
    assert record.usable
    assert not record.selects(other.facts)
    assert record.selects(again.facts) == (selector == 1)  # renewed with the same key


def test_a_whole_key_of_an_algorithm_that_nobody_here_knows_is_a_key() -> None:
    """RFC 7672 asks for a key in DER, not for one of a known kind."""
    elliptic, unknown = bytes.fromhex("2a8648ce3d0201"), bytes.fromhex("2a8648ce3d027f")
    record = Tlsa(3, 1, 0, issue("a.example").facts.spki.replace(elliptic, unknown))
    assert record.usable
    assert not record.selects(issue("a.example").facts)


def test_the_stronger_digest_puts_the_weaker_aside_per_usage_and_selector() -> None:
    leaf = issue("a.example")
    weak, strong, full = (tlsa(3, 1, m, leaf) for m in (1, 2, 0))
    elsewhere = tlsa(2, 1, 1, root())
    assert considered([weak, elsewhere]) == (weak, elsewhere)
    assert considered([weak, strong, full, elsewhere]) == (strong, full, elsewhere)
    wrong = tlsa(3, 1, 2, issue("b.example"))
    assert dane_failure([weak, wrong], facts(leaf), PEER, NOW_S) is Reason.TLSA_INVALID


# --- against a chain -----------------------------------------------------------------------------------------------

NAMED = issue("mx.example.com", "mx.example.com", by=intermediate())
CHAIN = (NAMED, intermediate(), root())
ODD = issue("other.example", days=(-90, -1))
EXPIRED = issue("mx.example.com", by=intermediate(), days=(-90, -1))
OTHER = issue("other.example", "other.example", by=intermediate())
ALONE = issue("mx.example.com")
DOMAIN = issue("example.com", by=intermediate())
MATCHES = [
    ("3 1 1, self-signed, expired, wrong name", tlsa(3, 1, 1, ODD), (ODD,), Reason.NONE),
    ("3 0 1 of the leaf", tlsa(3, 0, 1, NAMED), CHAIN, Reason.NONE),
    ("3 1 1 of another key", tlsa(3, 1, 1, ODD), CHAIN, Reason.TLSA_INVALID),
    ("3 1 1 of the issuer", tlsa(3, 1, 1, intermediate()), CHAIN, Reason.TLSA_INVALID),
    ("2 1 1 of the root, served", tlsa(2, 1, 1, root()), CHAIN, Reason.NONE),
    ("2 0 2 of the intermediate", tlsa(2, 0, 2, intermediate()), CHAIN[:2], Reason.NONE),
    ("2 1 1 of the root, not served", tlsa(2, 1, 1, root()), CHAIN[:2], Reason.TLSA_INVALID),
    ("2 0 0 of the root, not served", tlsa(2, 0, 0, root()), CHAIN[:2], Reason.NONE),
    ("2 1 1 of a stranger served along", tlsa(2, 1, 1, ODD), (*CHAIN, ODD), Reason.TLSA_INVALID),
    ("2 1 1 of the leaf itself", tlsa(2, 1, 1, ODD), (ODD,), Reason.TLSA_INVALID),
    ("2 1 1 of the leaf, served twice", tlsa(2, 1, 1, ALONE), (ALONE, ALONE), Reason.TLSA_INVALID),
    ("2 0 0 of the leaf itself", tlsa(2, 0, 0, ALONE), (ALONE,), Reason.TLSA_INVALID),
    ("2 1 1, expired", tlsa(2, 1, 1, root()), (EXPIRED, *CHAIN[1:]), Reason.CERTIFICATE_EXPIRED),
    ("2 1 1, another name", tlsa(2, 1, 1, root()), (OTHER, *CHAIN[1:]), Reason.CERTIFICATE_HOST_MISMATCH),
    ("2 1 1, the domain as CN", tlsa(2, 1, 1, root()), (DOMAIN, *CHAIN[1:]), Reason.NONE),
]


@pytest.mark.parametrize(("record", "chain", "expected"), [m[1:] for m in MATCHES], ids=[m[0] for m in MATCHES])
def test_a_record_against_a_chain(record: Tlsa, chain: tuple[Issued, ...], expected: Reason) -> None:
    assert dane_failure([record], facts(*chain), PEER, NOW_S) is expected


def test_one_record_that_matches_is_enough() -> None:
    old_and_new = [tlsa(3, 1, 1, ODD), tlsa(2, 1, 1, root())]
    assert dane_failure(old_and_new, facts(*CHAIN), PEER, NOW_S) is Reason.NONE


@given(
    st.integers(-(2**33), 2**36),
    st.sampled_from(["example.com", "other.example", "a.b.example"]),
    st.sampled_from([ODD, NAMED, EXPIRED]),
    st.integers(0, 1),
    st.integers(0, 2),
)
def test_dane_ee_depends_neither_on_name_nor_on_time(
    at_s: int, name: str, leaf: Issued, selector: int, matching: int
) -> None:
    peer = Peer(name, f"mx.{name}")
    assert dane_failure([tlsa(3, selector, matching, leaf)], facts(leaf), peer, at_s) is Reason.NONE


def test_an_empty_chain_is_told() -> None:
    with pytest.raises(PolicyError, match=r"chain = \[\]"):
        dane_failure([tlsa(3, 1, 1, ODD)], [], PEER, NOW_S)


# --- state of the RRset --------------------------------------------------------------------------------------------

GOOD, WRONG, PKIX = tlsa(3, 1, 1, NAMED), tlsa(3, 1, 1, ODD), tlsa(1, 1, 1, NAMED)
STATES = [
    ((SECURE, SECURE, SECURE), [], CHAIN, Dane.NONE),
    ((SECURE, SECURE, SECURE), [GOOD], CHAIN, Dane.USABLE_MATCH),
    ((SECURE, SECURE, SECURE), [WRONG, GOOD], CHAIN, Dane.USABLE_MATCH),
    ((SECURE, SECURE, SECURE), [WRONG], CHAIN, Dane.USABLE_MISMATCH),
    ((SECURE, SECURE, SECURE), [WRONG], None, Dane.USABLE_UNSEEN),
    ((SECURE, SECURE, SECURE), [PKIX], CHAIN, Dane.UNUSABLE),
    ((SECURE, SECURE, SECURE), [PKIX], None, Dane.UNUSABLE),
    ((SECURE, SECURE, SECURE), [PKIX, WRONG], CHAIN, Dane.USABLE_MISMATCH),
    ((SECURE, SECURE, INSECURE), [GOOD], CHAIN, Dane.INSECURE),
    ((SECURE, INSECURE, BOGUS), [], CHAIN, Dane.INSECURE),
    ((INSECURE, SECURE, SECURE), [GOOD], CHAIN, Dane.INSECURE),
    ((INSECURE, SECURE, BOGUS), [], CHAIN, Dane.INSECURE),
    ((SECURE, SECURE, BOGUS), [], CHAIN, Dane.BOGUS),
    ((SECURE, BOGUS, SECURE), [GOOD], CHAIN, Dane.BOGUS),
    ((BOGUS, SECURE, SECURE), [GOOD], CHAIN, Dane.BOGUS),
]


@pytest.mark.parametrize(("answers", "records", "chain", "expected"), STATES)
def test_the_state_of_an_mx_hosts_records(
    answers: tuple[Dnssec, Dnssec, Dnssec], records: list[Tlsa], chain: tuple[Issued, ...] | None, expected: Dane
) -> None:
    mx, address, of_tlsa = answers
    served = None if chain is None else facts(*chain)
    given_ = {"records": records, "chain": served, "peer": PEER, "at_s": NOW_S}
    assert dane_state(mx=mx, address=address, tlsa=of_tlsa, **given_) is expected  # type: ignore[arg-type]


def test_postfix_keeps_to_secure_records_of_a_host_that_an_insecure_mx_names() -> None:
    def state(address: Dnssec) -> Dane:
        return dane_state(
            mx=INSECURE, address=address, tlsa=SECURE, records=[GOOD], chain=facts(*CHAIN), peer=PEER, at_s=NOW_S,
            secure_mx=False,
        )  # fmt: skip

    assert state(SECURE) is Dane.USABLE_MATCH
    assert state(INSECURE) is Dane.INSECURE


def test_a_number_of_a_record_is_one_byte() -> None:
    assert parse_tlsa(f"255 1 1 {SHA256}", unusable=True).usage == 255
    with pytest.raises(PolicyError, match="usage selector matching-type hex"):
        parse_tlsa(f"256 1 1 {SHA256}", unusable=True)


def test_the_state_of_an_issuers_records_depends_on_the_names_and_on_the_time() -> None:
    chain = facts(issue("mx.example.com", by=root()), root())
    records = [tlsa(2, 0, 1, root())]

    def state(peer: Peer, at_s: float) -> Dane:
        return dane_state(mx=SECURE, address=SECURE, tlsa=SECURE, records=records, chain=chain, peer=peer, at_s=at_s)

    assert state(PEER, NOW_S) is Dane.USABLE_MATCH
    assert state(Peer("else.example", "mx.else.example"), NOW_S) is Dane.USABLE_MISMATCH
    assert state(PEER, NOW_S + 100 * 366 * 86_400) is Dane.USABLE_MISMATCH
