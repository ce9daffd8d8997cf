"""Certificates made here, read as facts; the state of their chains, beside another verifier's verdict."""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import verification
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import PolicyError
from sim.policy.certificates import Certificate, chain_state, fingerprint_listed, read_certificates
from sim.terms import Chain
from tests.policy.pki import CLIENTS, DAY_S, NOW_S, SERVERS, Issued, intermediate, issue, root, version_1

ROOTS = (root().facts,)


def state(*chain: Issued, at_s: float = NOW_S, check_purpose: bool = True) -> Chain:
    return chain_state([c.facts for c in chain], ROOTS, at_s, check_purpose=check_purpose)


# --- facts ---------------------------------------------------------------------------------------------------------


def test_the_facts_are_those_it_was_made_with() -> None:
    address = x509.IPAddress(ipaddress.ip_address("192.0.2.7"))
    made = issue("mx.example.com", "MX.example.com", "*.example.com", by=intermediate(), other_names=(address,))
    facts = made.facts
    assert facts.names.san == ("MX.example.com", "*.example.com")
    assert facts.names.cn == "mx.example.com"
    assert (facts.subject, facts.issuer) == ("CN=mx.example.com", "CN=Test Intermediate")
    assert (facts.not_before_s, facts.not_after_s) == (NOW_S - 30 * DAY_S, NOW_S + 60 * DAY_S)
    assert not facts.self_signed
    assert not facts.ca
    assert (intermediate().facts.ca, intermediate().facts.path_length, root().facts.path_length) == (True, 0, None)
    assert root().facts.self_signed


def test_names_may_be_absent() -> None:
    assert issue("mx.example.com").facts.names.san == ()
    assert issue(None, "mx.example.com").facts.names.cn is None


@pytest.mark.parametrize("key_name", ["ec", "rsa"])
def test_digests_are_over_the_certificate_and_over_its_key(key_name: str) -> None:
    made = issue(key_name=key_name)
    assert made.facts.sha256 == sha256(made.read.public_bytes(Encoding.DER)).hexdigest()
    spki = made.read.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert made.facts.spki == spki
    assert made.facts.spki_sha256 == sha256(spki).hexdigest()


def test_pem_may_hold_a_chain_and_any_text() -> None:
    leaf = issue(by=intermediate())
    pem = b"0 s:CN = mx.example.com\n" + leaf.pem + b"\n1 s:\n" + intermediate().pem + b"---\n"
    assert read_certificates(pem) == read_certificates(pem.decode()) == (leaf.facts, intermediate().facts)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "certificates = ''; allowed: an X.509 certificate"),
        (b"0\x82\x01\x00", "certificates = '0"),
        ("no certificate here", "allowed: PEM with at least one CERTIFICATE"),
        (root().pem + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "certificates no. 2 = "),
        (root().pem[:300], "certificates no. 1 = "),
        (root().read.public_bytes(Encoding.DER) + b"\0", "an X.509 certificate"),
    ],
)
def test_what_does_not_parse_is_told_by_its_number(data: bytes | str, message: str) -> None:
    with pytest.raises(PolicyError, match=re.escape(message)) as told:
        read_certificates(data)
    assert "\n" not in str(told.value)


def test_a_fault_shows_how_the_input_begins_and_the_reason() -> None:
    for size, shown in ((30, "x" * 30), (31, "x" * 30 + "...")):
        with pytest.raises(PolicyError, match=f"^certificates = '{re.escape(shown)}'; allowed: an X.509 cert") as told:
            read_certificates(b"x" * size)
        assert " ".join(str(told.value.__cause__).split())[:60] in str(told.value)


def test_any_text_may_stand_around_a_certificate() -> None:
    assert read_certificates("\ud800 " + GOOD.pem.decode()) == (GOOD.facts,)


@given(st.one_of(st.binary(max_size=400), st.text(max_size=400)), st.booleans())
def test_any_bytes_give_certificates_or_the_one_error(data: bytes | str, framed: bool) -> None:
    if framed and isinstance(data, str):
        data = f"-----BEGIN CERTIFICATE-----\n{data}\n-----END CERTIFICATE-----"
    with pytest.raises(PolicyError):
        read_certificates(data)


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=300)
def test_a_damaged_certificate_is_read_or_is_the_one_error(damage: list[tuple[int, int]]) -> None:
    der = bytearray(GOOD.facts.der)
    for place, value in damage:
        der[place % len(der)] = value
    try:
        [read] = read_certificates(bytes(der))
    except PolicyError:
        return
    assert isinstance(chain_state([read, intermediate().facts], ROOTS, NOW_S), Chain)


# --- state of a chain ----------------------------------------------------------------------------------------------

SELF, STRANGER = issue(), issue("Other Root", ca=True)
GOOD = issue("mx.example.com", "mx.example.com", by=intermediate())
CASES = [
    ("served with its intermediate", (GOOD, intermediate()), Chain.TRUSTED),
    ("with the root as well", (GOOD, intermediate(), root()), Chain.TRUSTED),
    ("in another order", (GOOD, root(), SELF, intermediate()), Chain.TRUSTED),
    ("without its intermediate", (GOOD,), Chain.UNKNOWN_ISSUER),
    ("from the root itself", (issue(by=root()),), Chain.TRUSTED),
    ("the trusted root alone", (root(),), Chain.TRUSTED),
    ("self-signed", (SELF,), Chain.SELF_SIGNED),
    ("self-signed and expired", (issue(days=(-9, -1)),), Chain.SELF_SIGNED),
    ("of a root nobody trusts", (issue(by=STRANGER), STRANGER), Chain.UNKNOWN_ISSUER),
    ("expired", (issue(by=root(), days=(-90, -1)),), Chain.EXPIRED),
    ("not yet valid", (issue(by=root(), days=(1, 90)),), Chain.NOT_YET_VALID),
    ("for clients alone", (issue(by=root(), purposes=(CLIENTS,)),), Chain.UNKNOWN_ISSUER),
    ("for servers and clients", (issue(by=root(), purposes=(SERVERS, CLIENTS)),), Chain.TRUSTED),
    ("with an RSA key of 1,024 bits", (issue(by=root(), key_name="rsa"),), Chain.TRUSTED),
    ("issued by one that may not issue", (issue("a.example", by=GOOD), GOOD, intermediate()), Chain.UNKNOWN_ISSUER),
]


@pytest.mark.parametrize(("chain", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_the_state_of_a_chain(chain: tuple[Issued, ...], expected: Chain) -> None:
    assert state(*chain) is expected


def test_an_intermediate_counts_with_its_dates_its_length_and_its_right_to_sign() -> None:
    old = issue("Old", by=root(), ca=True, days=(-90, -1))
    assert state(issue(by=old), old) is Chain.EXPIRED
    below = issue("Below", by=intermediate(), ca=True)
    assert state(issue(by=below), below, intermediate()) is Chain.UNKNOWN_ISSUER
    mute = issue("Mute", by=root(), ca=True, signs=False)
    assert state(issue(by=mute), mute) is Chain.UNKNOWN_ISSUER


def test_the_best_path_counts_when_there_are_several() -> None:
    old = issue("Cross", by=root(), ca=True, days=(-90, -1), key_name="cross")
    new = issue("Cross", by=root(), ca=True, key_name="cross")
    leaf = issue(by=old)
    assert state(leaf, old) is Chain.EXPIRED
    assert state(leaf, old, new) is Chain.TRUSTED


def test_the_name_of_an_issuer_is_not_enough() -> None:
    impostor = issue("Test Root", ca=True, key_name="impostor")
    assert state(issue(by=impostor)) is Chain.UNKNOWN_ISSUER


def test_a_signature_that_nobody_checks_any_more_is_none_but_a_self_signed_one_stays_self_signed() -> None:
    def with_sha1(made: Issued) -> Certificate:
        """The same certificate that says its RSA signature is over SHA-1 (RFC 8017 appendix A.2.4)."""
        rsa = bytes.fromhex("2a864886f70d0101")
        [read] = read_certificates(made.facts.der.replace(rsa + b"\x0b", rsa + b"\x05"))
        assert read != made.facts
        return read

    old_root = issue("Old Root", ca=True, key_name="rsa old")
    assert with_sha1(issue(key_name="rsa")).self_signed
    assert chain_state([with_sha1(issue(key_name="rsa"))], ROOTS, NOW_S) is Chain.SELF_SIGNED
    assert chain_state([issue(by=old_root).facts], [with_sha1(old_root)], NOW_S) is Chain.TRUSTED
    assert chain_state([with_sha1(issue(by=old_root))], [old_root.facts], NOW_S) is Chain.UNKNOWN_ISSUER


def test_its_own_name_as_issuer_is_not_enough_to_be_self_signed() -> None:
    namesake = issue("mx.example.com", by=issue("mx.example.com", key_name="another"), key_name="own")
    assert namesake.facts.subject == namesake.facts.issuer
    assert not namesake.facts.self_signed


def test_both_dates_are_included() -> None:
    leaf = issue(by=root(), days=(0, 1))
    at = {s: state(leaf, at_s=NOW_S + s) for s in (-1, 0, DAY_S, DAY_S + 0.5, DAY_S + 1)}
    assert list(at.values()) == [Chain.NOT_YET_VALID, *[Chain.TRUSTED] * 3, Chain.EXPIRED]


def test_revocation_comes_before_dates_and_after_trust() -> None:
    leaf = issue(by=root(), days=(-90, -1)).facts
    assert chain_state([leaf], ROOTS, NOW_S, revoked={leaf.sha256}) is Chain.REVOKED
    assert chain_state([leaf], (), NOW_S, revoked={leaf.sha256}) is Chain.UNKNOWN_ISSUER
    good = [GOOD.facts, intermediate().facts]
    assert chain_state(good, ROOTS, NOW_S, revoked={intermediate().facts.sha256}) is Chain.REVOKED


def test_a_sender_may_take_certificates_for_clients() -> None:
    clients = issue(by=root(), purposes=(CLIENTS,))
    assert state(clients, check_purpose=False) is Chain.TRUSTED
    assert chain_state([clients.facts], ROOTS, NOW_S) is Chain.UNKNOWN_ISSUER


def test_no_certificate_at_all_is_told() -> None:
    with pytest.raises(PolicyError, match=r"chain = \[\]; allowed: at least the peer's own certificate"):
        chain_state([], ROOTS, NOW_S)


@pytest.mark.parametrize(("chain", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_the_library_s_own_verifier_agrees_when_it_asks_no_more(chain: tuple[Issued, ...], expected: Chain) -> None:
    def for_servers(_: object, __: object, usage: x509.ExtendedKeyUsage | None) -> None:
        if usage is not None and SERVERS not in usage:
            raise ValueError("not for servers")

    extension, either = verification.ExtensionPolicy, verification.Criticality.AGNOSTIC
    builder = verification.PolicyBuilder().store(verification.Store([root().read]))
    verifier = (
        builder.time(datetime.fromtimestamp(NOW_S, UTC))
        .extension_policies(
            ca_policy=extension.webpki_defaults_ca(),
            ee_policy=extension.permit_all().may_be_present(x509.ExtendedKeyUsage, either, for_servers),
        )
        .build_client_verifier()
    )
    try:
        verifier.verify(chain[0].read, [c.read for c in chain[1:]])
        accepted = True
    except verification.VerificationError:
        accepted = False
    assert accepted == (expected is Chain.TRUSTED)


@pytest.mark.parametrize(
    ("leaf", "accepted"),
    [
        (issue(None, "mx.example.com", by=root(), purposes=(SERVERS,)), True),
        (issue("mx.example.com", by=root(), purposes=(SERVERS,)), False),
        (issue("mx.example.com", "*.example", by=root(), purposes=(SERVERS,)), False),
    ],
    ids=["SAN", "SAN-less", "wildcard of two labels"],
)
def test_its_profile_for_the_web_refuses_what_mail_servers_take(leaf: Issued, accepted: bool) -> None:
    builder = verification.PolicyBuilder().store(verification.Store([root().read]))
    verifier = builder.time(datetime.fromtimestamp(NOW_S, UTC)).build_server_verifier(x509.DNSName("mx.example.com"))
    try:
        verifier.verify(leaf.read, [])
        taken = True
    except verification.VerificationError:
        taken = False
    assert taken == accepted
    assert state(leaf) is Chain.TRUSTED


def test_a_self_signed_certificate_of_version_1_may_issue_and_no_other_of_that_version() -> None:
    old_root = version_1(issue("Old Root", key_name="v1 root"))
    assert old_root.read.version is x509.Version.v1
    spki = old_root.read.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert old_root.facts.spki == spki
    assert chain_state([issue(by=old_root).facts], [old_root.facts], NOW_S) is Chain.TRUSTED
    below = version_1(issue("Below", by=root(), key_name="v1 below"), by=root())
    assert chain_state([issue(by=below).facts, below.facts], ROOTS, NOW_S) is Chain.UNKNOWN_ISSUER


def test_of_version_3_one_without_basic_constraints_may_not_issue() -> None:
    plain = issue("Plain", key_name="plain", constraints=False)
    assert plain.facts.self_signed
    assert not plain.facts.ca


# --- fingerprints (Postfix) ----------------------------------------------------------------------------------------


def test_a_fingerprint_is_of_the_certificate_or_of_its_key_and_nothing_else_counts() -> None:
    expired = issue(days=(-9, -1)).facts
    for digest in (expired.sha256, expired.spki_sha256):
        with_colons = ":".join(re.findall("..", digest.upper()))
        assert fingerprint_listed(expired, ["0" * 64, with_colons])
    assert not fingerprint_listed(expired, [GOOD.facts.sha256])
    assert not fingerprint_listed(expired, [])


def test_a_fingerprint_of_another_length_is_told() -> None:
    with pytest.raises(PolicyError, match="fingerprint = 'ab:cd'; allowed: a SHA-256 digest"):
        fingerprint_listed(GOOD.facts, ["ab:cd"])
