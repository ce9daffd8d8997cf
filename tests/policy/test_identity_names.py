"""Real names against each sender's rule: a table of cases a rule, laws, and another matcher as the referee."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_identity import exceptions, hazmat

from sim.errors import PolicyError
from sim.policy.identity import RULES, Names, Peer, covers, flag_columns, host_name, identity_holds, rule_holds
from sim.terms import Identity, NameRule

# Rows: SAN | CN | rules that hold for mail to example.com by the MX host mx1.mail.example at ptr.host.example.
PEER = Peer("example.com", "mx1.mail.example", "ptr.host.example")
SHORT = {
    "V": Identity.ESA_VERIFY,
    "H": Identity.ESA_HOSTED,
    "h": Identity.POSTFIX_HOSTNAME,
    "n": Identity.POSTFIX_NEXTHOP,
    "d": Identity.POSTFIX_DOT_NEXTHOP,
    "e": Identity.EXIM,
    "o": Identity.OPENSMTPD,
    "x": Identity.EXCHANGE_DOMAIN,
    "t": Identity.DANE_TA,
    "s": Identity.MTA_STS,
}
CERTIFICATES = """
    SAN                          | CN                 | holds
    example.com                  |                    | V H n x t
    EXAMPLE.com                  |                    | V H n x t
    mx1.mail.example             |                    | H h e o t s
    *.mail.example               |                    | H h e o t s
    ptr.host.example             |                    | H
    *.com                        |                    | V H n x t
    *.example                    |                    |
    *.example.com                |                    | d
    a.b.example.com              |                    | d
    notexample.com               |                    |
    .example.com                 |                    |
    example.com.                 |                    |
    mx*.mail.example             |                    |
    *1.mail.example              |                    |
    mx1.*.example                |                    |
    *.*.example                  |                    |
    *                            |                    |
    **.mail.example              |                    |
                                 | example.com        | V H n x t
                                 | mx1.mail.example   | H h e o t
                                 | *.mail.example     | H h e o t
                                 | ptr.host.example   | V H
                                 | *.host.example     | H
                                 | *.com              | H n x t
                                 | *.example.com      | d
    other.example                | example.com        | V
    other.example                | ptr.host.example   | V
    other.example                | mx1.mail.example   |
    other.example, example.com   |                    | V H n x t
    other.example                | *.com              |
                                 |                    |
"""
ROWS = [[cell.strip() for cell in line.split("|")] for line in CERTIFICATES.strip().splitlines()[1:]]


def names_of(san: str, cn: str) -> Names:
    return Names(tuple(name.strip() for name in san.split(",") if name.strip()), cn or None)


@pytest.mark.parametrize(("san", "cn", "holds"), ROWS, ids=[f"{san}|{cn}" for san, cn, _ in ROWS])
def test_a_certificate_satisfies_these_rules_and_no_other(san: str, cn: str, holds: str) -> None:
    got = {rule for rule in Identity if identity_holds(rule, names_of(san, cn), PEER)}
    assert got == {SHORT[letter] for letter in holds.split()}


def test_every_rule_has_a_row_of_its_own() -> None:
    assert set(RULES) == set(Identity) == set(SHORT.values())
    assert not [
        rule for rule, letter in zip(SHORT.values(), SHORT, strict=True) if not any(letter in r[2] for r in ROWS)
    ]


def test_a_wildcard_of_two_labels_counts_for_postfix_and_not_for_exim_and_opensmtpd() -> None:
    peer = Peer("example.com", "mx.example")
    got = {rule for rule in Identity if identity_holds(rule, Names(("*.example",)), peer)}
    assert got == {Identity.ESA_HOSTED, Identity.POSTFIX_HOSTNAME, Identity.DANE_TA, Identity.MTA_STS}


def test_without_a_ptr_name_none_is_matched() -> None:
    peer = Peer("example.com", "mx1.mail.example")
    for cn in ("", "ptr.host.example"):
        assert not identity_holds(Identity.ESA_VERIFY, Names((), cn), peer)


def test_postfix_secure_passes_a_wildcard_below_the_domain_and_verify_does_not() -> None:
    peer = Peer("example.com", "mx.elsewhere.example")
    below, parent = Names(("*.example.com",)), Names(("*.elsewhere.example",))
    secure = (Identity.POSTFIX_NEXTHOP, Identity.POSTFIX_DOT_NEXTHOP)
    assert any(identity_holds(rule, below, peer) for rule in secure)
    assert not identity_holds(Identity.POSTFIX_HOSTNAME, below, peer)
    assert not any(identity_holds(rule, parent, peer) for rule in secure)
    assert identity_holds(Identity.POSTFIX_HOSTNAME, parent, peer)


# --- spelling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("MX.Example.COM", "mx.example.com"),
        ("mx.example.com.", "mx.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("_dmarc.example.com", "_dmarc.example.com"),
        ("localhost", "localhost"),
    ],
)
def test_reference_names_have_one_spelling(name: str, spelled: str) -> None:
    assert host_name(name) == spelled
    assert covers([spelled], name)


@pytest.mark.parametrize("name", ["", ".", ".example.com", "a..b", "192.0.2.7", "[192.0.2.7]", "*.a.example", "a b"])
def test_what_is_no_host_name_is_told(name: str) -> None:
    with pytest.raises(PolicyError, match="allowed: a host name"):
        host_name(name)


@pytest.mark.parametrize(
    ("domain", "mx", "ptr", "field"), [("", "a", "", "domain"), ("a", "", "", "mx"), ("a", "a", ".", "ptr")]
)
def test_a_peer_says_which_name_is_wrong(domain: str, mx: str, ptr: str, field: str) -> None:
    with pytest.raises(PolicyError, match=f"^{field} = "):
        Peer(domain, mx, ptr)


def test_u_labels_in_a_certificate_cover_nothing_and_a_wildcard_covers_an_a_label() -> None:
    assert not covers(["bücher.example", "mK.example".replace("K", "\u212a")], "mk.example")
    assert not covers(["bücher.example"], "bücher.example")
    assert covers(["*.example.com"], "bücher.example.com")
    assert covers(["*.example"], "mx.example")


# --- laws ----------------------------------------------------------------------------------------------------------

LABELS = st.sampled_from(["a", "b", "mx", "*", "m*", "xn--bcher-kva", "Example", "com"])
PRESENTED = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
REFERENCE = st.lists(st.sampled_from(["a", "b", "mx", "xn--bcher-kva", "example", "com"]), min_size=1, max_size=4)
NAMES = st.builds(Names, st.lists(PRESENTED, max_size=3).map(tuple), st.none() | PRESENTED)
HOSTS = REFERENCE.map(".".join)
PEERS = st.builds(Peer, HOSTS, HOSTS, HOSTS | st.just(""))


@given(st.lists(st.tuples(NAMES, PEERS), max_size=8))
def test_columns_of_flags_and_names_agree(rows: list[tuple[Names, Peer]]) -> None:
    names, peers = [n for n, _ in rows], [p for _, p in rows]
    for rule, identity in ((NameRule.VERIFY, Identity.ESA_VERIFY), (NameRule.HOSTED, Identity.ESA_HOSTED)):
        columns = flag_columns(names, peers, rule)
        assert rule_holds(rule, **columns).tolist() == [identity_holds(identity, n, p) for n, p in rows]


@given(NAMES, PEERS)
def test_the_two_readings_of_the_columns_differ_in_wildcards_of_the_cn_alone(names: Names, peer: Peer) -> None:
    verify, hosted = (flag_columns([names], [peer], rule) for rule in (NameRule.VERIFY, NameRule.HOSTED))
    differing = {name for name in hosted if verify[name][0] != hosted[name][0]}
    assert not differing or (names.cn or "").startswith("*.")
    assert all(name.startswith("cn_") for name in differing)


def test_a_wildcard_in_a_cn_counts_unless_it_is_said_whose_reading_the_columns_take() -> None:
    assert flag_columns([Names(cn="*.mail.example")], [PEER])["cn_mx"].tolist() == [True]
    assert flag_columns([Names(cn="*.mail.example")], [PEER], NameRule.VERIFY)["cn_mx"].tolist() == [False]


def test_columns_are_yes_or_no_even_of_no_certificate() -> None:
    assert {str(column.dtype) for column in flag_columns([], []).values()} == {"bool"}


def test_a_name_that_is_no_host_name_is_told_as_one() -> None:
    with pytest.raises(PolicyError, match=r"^host name = '\[192.0.2.7\]'; allowed: a host name, such as"):
        host_name("[192.0.2.7]")


def test_columns_need_a_peer_for_each_certificate() -> None:
    with pytest.raises(PolicyError, match="number of peers = 0; allowed: 1, one a certificate"):
        flag_columns([Names()], [])


@given(PRESENTED, HOSTS)
def test_another_matcher_says_the_same(presented: str, host: str) -> None:
    """Two differences: it refuses a wildcard of two labels, and one over an A-label, which RFC 6125 allows."""
    over_a_label = presented.startswith("*.") and host.startswith("xn--")
    try:
        pattern = hazmat.DNSPattern.from_bytes(presented.encode())
        found = bool(hazmat.verify_service_identity([pattern], [hazmat.DNS_ID(host)], []))
    except (exceptions.VerificationError, exceptions.CertificateError):
        found = False
    assert found == (covers([presented], host, wildcard_labels=3) and not over_a_label)


@given(st.lists(st.text(max_size=20), max_size=4), HOSTS)
def test_what_a_certificate_presents_is_never_an_error(presented: list[str], host: str) -> None:
    assert covers(presented, host) == covers([name for name in presented if name.isascii()], host)


@given(st.text(max_size=40))
def test_any_reference_is_a_host_name_or_the_one_error(name: str) -> None:
    try:
        spelled = host_name(name)
    except PolicyError:
        return
    assert host_name(spelled) == spelled
