"""The source of a policy map: what is read of it, what Postfix could not use, and that it is written as it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.errors import PolicyError
from sim.formats.postfix_tls_policy import MapEntry, TlsPolicyMap, looks_like_map
from sim.policy.profiles.postfix import Level

MAP = """\
# Partners, agreed in 2026.
Example.com            secure
# (a comment inside an entry)
    match=nexthop:dot-nexthop
.example.com           encrypt protocols=>=TLSv1.2, ciphers=HIGH

[relay.example.net]:587 verify match=hostname
fp.example             fingerprint match=0a:1b:ff|2C:3D:EE match=aa:bb
dane.example           Dane
legacy.example         none protocols=!SSLv2
[192.0.2.7]            may
[ipv6:2001:db8::1]     may connection_reuse=no connection_reuse=yes
sts.example            secure match=.mx.example servername=hostname policy_type=sts policy_ttl=86400
 { policy_string = mode: enforce } {mx_host_pattern=*.mx.example, b.example}
# the end"""
FIRST = [
    ("example.com", Level.SECURE, (("match", "nexthop:dot-nexthop"),)),
    (".example.com", Level.ENCRYPT, (("protocols", ">=TLSv1.2"), ("ciphers", "HIGH"))),
    ("[relay.example.net]:587", Level.VERIFY, (("match", "hostname"),)),
    ("fp.example", Level.FINGERPRINT, (("match", "0a:1b:ff|2C:3D:EE"), ("match", "aa:bb"))),
    ("dane.example", Level.DANE, ()),
    ("legacy.example", Level.NONE, (("protocols", "!SSLv2"),)),
]


def test_entries_levels_and_attributes() -> None:
    entries = TlsPolicyMap.parse(MAP).entries
    assert [(e.key, e.level, e.attributes) for e in entries[:6]] == FIRST
    assert [e.line for e in entries] == [2, 5, 7, 8, 9, 10, 11, 12, 13]
    assert entries[-1].attributes[-2:] == (
        ("policy_string", "mode: enforce"),
        ("mx_host_pattern", "*.mx.example, b.example"),
    )


def test_what_is_written_is_read_back_and_keeps_every_comment() -> None:
    policies = TlsPolicyMap.parse(MAP)
    text = policies.to_text()
    again = TlsPolicyMap.parse(text)
    assert again == policies
    assert again.to_text() == text
    assert TlsPolicyMap.parse(TlsPolicyMap(policies.entries).to_text()) == policies
    for comment in ("# Partners, agreed in 2026.", "# (a comment inside an entry)", "# the end"):
        assert comment in text


@pytest.mark.parametrize("value", ["", "a b", "a,b", "{x}", ">=TLSv1.2, <=TLSv1.3", "=", "a=b"])
def test_any_value_on_one_line_is_read_back(value: str) -> None:
    entry = MapEntry("a.example", Level.ENCRYPT, (("exclude", value), ("policy_type", "sts"), ("policy_string", value)))
    assert TlsPolicyMap.parse(TlsPolicyMap((entry,)).to_text()).entries == (entry,)


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_any_line_end_and_a_byte_order_mark_are_read(end: str) -> None:
    text = "\ufeff" + MAP.replace("\n", end)
    assert TlsPolicyMap.parse(text) == TlsPolicyMap.parse(MAP)
    assert [e.line for e in TlsPolicyMap.parse(text).entries] == [e.line for e in TlsPolicyMap.parse(MAP).entries]


def test_a_form_feed_ends_no_line() -> None:
    [entry] = TlsPolicyMap.parse("a.example\x0cmay\x0cciphers=high\n").entries
    assert (entry.key, entry.attributes) == ("a.example", (("ciphers", "high"),))


def test_words_of_match() -> None:
    entries = {e.key: e for e in TlsPolicyMap.parse(MAP).entries}
    assert entries["example.com"].match == ("nexthop", "dot-nexthop")
    assert entries["fp.example"].match == ("0a:1b:ff", "2c:3d:ee", "aa:bb")
    assert MapEntry("a.example", Level.SECURE).match == ("nexthop", "dot-nexthop")
    assert MapEntry("a.example", Level.VERIFY).match == ("hostname",)
    assert MapEntry("a.example", Level.DANE).match == ()


def test_the_most_specific_entry_holds_and_a_parent_stands_for_what_is_below_it_alone() -> None:
    policies = TlsPolicyMap.parse("example.com may\n.example.com encrypt\n.b.example.com none\n[192.0.2.7] may\n")
    names = ["EXAMPLE.com", "a.example.com", "x.b.example.com", "b.example.com", "example", "badexample.com"]
    assert [policies.match(name) for name in names] == [0, 1, 2, 1, -1, -1]
    assert [policies.match(name) for name in ("[192.0.2.7]", "[x.example.com]", "x.example.com:25")] == [3, -1, -1]


#: Lines Postfix warns about and skips, or that nothing ever looks up; the reason; whether it changes an answer.
SKIPPED = [
    (" may\n", "a first line that begins with a blank continues none", True),
    ("foo.example\n", "no level: Postfix warns and skips it", True),
    ("*.example.com may\n", "matches no next hop: no pattern is read in a key. Did you mean '.example.com'?", True),
    ("* may\n", "matches no next hop: no pattern is read in a key", True),
    ("example.com. may\n", "matches no next hop: a next hop does not end in '.'", True),
    ("example.com: may\n", "matches no next hop: a next hop does not end in ':'", True),
    ("192.0.2.7 may\n", "matches no next hop: an address stands in brackets", True),
    ("a..example may\n", "matches no next hop: no next hop is spelled so", True),
]


@pytest.mark.parametrize(("text", "reason", "matters"), SKIPPED, ids=[case[0].strip() for case in SKIPPED])
def test_lines_without_effect_are_kept_and_accounted_for(text: str, reason: str, matters: bool) -> None:
    policies = TlsPolicyMap.parse(f"{text}ok.example may\n")
    [row] = [row for row in policies.rows if row.kind == "ignored"]
    assert (row.line, row.reason, row.changes_answer) == (1, reason, matters)
    assert policies.to_text() == f"{text}ok.example may\n"
    with pytest.raises(PolicyError, match=r"^m:1: line = "):
        TlsPolicyMap.parse(f"{text}ok.example may\n", source="m", strict=True)


def test_the_first_of_two_entries_holds() -> None:
    policies = TlsPolicyMap.parse("a.example may\nA.example none\na.example  may\n")
    assert [e.level for e in policies.entries] == [Level.MAY]
    assert [(row.line, row.changes_answer) for row in policies.rows if row.kind == "ignored"] == [(2, True), (3, False)]
    assert TlsPolicyMap.parse(policies.to_text()).rows == policies.rows


def test_attributes_at_level_none_are_ignored_as_postfix_ignores_them() -> None:
    policies = TlsPolicyMap.parse("a.example none rubbish=1\n")
    assert [(row.kind, row.reason) for row in policies.rows] == [("ignored", "level none takes no attributes")]
    assert policies.account["kind"].tolist() == ["ignored"]


BAD = [
    ("secur", "m:1: a.example level = 'secur'; allowed: none, may, encrypt", "Did you mean 'secure'?"),
    ("may protocols=TLSv1.2,TLSv1.3", "m:1: a.example attribute = 'TLSv1.3'; allowed: name=value", "':' between"),
    ("may protocols=>=TLSv1.4", "m:1: a.example protocols = '>=TLSv1.4'; allowed: >=, <=, !", "TLSv1.3"),
    ("may matsch=x", "m:1: a.example attribute = 'matsch'; allowed: match, protocols", "Did you mean 'match'?"),
    ("may failure_reason=x", "m:1: a.example attribute = 'failure_reason'; allowed:", "'policy_failure'?"),
    ("may match=nexthop", "m:1: a.example match = 'nexthop'; allowed: only at verify, secure, fingerprint", "is may"),
    ("secure match=*.x.example", "m:1: a.example match = '*.x.example'; allowed: nexthop, dot-nexthop", "hostname"),
    ("secure match=", "m:1: a.example match = ''; allowed: nexthop", ""),
    ("fingerprint match=xyz", "m:1: a.example match = 'xyz'; allowed: digests", "'|' between"),
    ("may tafile=/x", "m:1: a.example tafile = '/x'; allowed: only at verify, secure", ""),
    ("may ciphers=hihg", "m:1: a.example ciphers = 'hihg'; allowed: export", "Did you mean 'high'?"),
    ("may ciphers=low ciphers=high", "m:1: a.example ciphers = 'high'; allowed: once an entry", ""),
    ("may servername=*.x", "m:1: a.example servername = '*.x'; allowed: a host name", ""),
    ("may enable_rpk=maybe", "m:1: a.example enable_rpk = 'maybe'; allowed: yes, no", ""),
    ("may policy_ttl=5", "m:1: a.example policy_ttl = '5'; allowed: only beside policy_type", ""),
    ("may policy_type=sts policy_ttl=-5", "m:1: a.example policy_ttl = '-5'; allowed: a whole number", ""),
    ("may { ciphers = high", "m:1: a.example attribute = '{ ciphers = high'; allowed: name=value", ""),
]


@pytest.mark.parametrize(("value", "told", "more"), BAD, ids=[case[0] for case in BAD])
def test_what_would_put_off_all_mail_of_a_destination_is_a_fault(value: str, told: str, more: str) -> None:
    with pytest.raises(PolicyError) as fault:
        TlsPolicyMap.parse(f"a.example {value}\n", source="m")
    assert str(fault.value).startswith(told)
    assert more in str(fault.value)


def test_every_fault_is_told() -> None:
    with pytest.raises(PolicyError) as fault:
        TlsPolicyMap.parse("a.example mya\nb.example may x=1 y=2\n", source="m")
    assert [note[:13] for note in fault.value.__notes__] == ["m:2: b.exampl"] * 2


@pytest.mark.parametrize(
    ("key", "value"),
    [("a b", "x"), ("*.a", "x"), ("#a", "x"), ("a.example", "{"), ("a.example", "}{"), ("a.example", "a\nb")],
)
def test_an_entry_that_could_not_be_read_back_is_refused(key: str, value: str) -> None:
    with pytest.raises(PolicyError):
        MapEntry(key, Level.MAY, (("exclude", value),))


def test_two_entries_of_one_key_are_refused() -> None:
    with pytest.raises(PolicyError, match="one entry a next hop"):
        TlsPolicyMap((MapEntry("a.example", Level.MAY), MapEntry("A.example", Level.NONE)))


def test_read_and_write(tmp_path: Path) -> None:
    policies = TlsPolicyMap.parse(MAP)
    assert TlsPolicyMap.read(policies.write(tmp_path / "map")) == policies


@pytest.mark.parametrize(
    ("text", "is_map"),
    [
        (MAP, True),
        ("a.example none", True),
        ("[a.example]:25 secure match=nexthop", True),
        ("[DEFAULT]\ntable_tls = on\n", False),
        ("[DEFAULT]\nfoo none\n", False),
        ("[a.example]\n", False),
        ("", False),
        ("example.com  Default  On  Default  Default  Default\n", False),
    ],
)
def test_a_map_is_told_by_its_lines(text: str, is_map: bool) -> None:
    assert looks_like_map(text) is is_map
