"""MTA-STS records, policies and how long they are in force (RFC 8461), with its own examples."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import PolicyError
from sim.policy.mta_sts import (
    MAX_AGE_S,
    Cached,
    StsPolicy,
    discovery_failure,
    needs_fetch,
    parse_policy,
    parse_txt,
    record_id,
    refreshed,
    sts_state,
)
from sim.terms import MtaSts, Reason

# RFC 8461 section 3.2 and appendix A.
EXAMPLE = """version: STSv1
mode: enforce
mx: mail.example.com
mx: *.example.net
mx: backupmx.example.com
max_age: 604800
"""
POLICY = StsPolicy(MtaSts.ENFORCE, 604_800, ("mail.example.com", "*.example.net", "backupmx.example.com"))

# --- TXT record ----------------------------------------------------------------------------------------------------

TXT = [
    ("v=STSv1; id=20160831085700Z;", "20160831085700Z"),
    ("v=STSv1;id=1", "1"),
    ("v=STSv1 ; id=1 ;", "1"),
    ("v=STSv1; x=y; id=1; id=2;", "1"),
    ("v=STSv1; id=1; id=not/this", "1"),
    ("v=STSv1; id=" + "a" * 32, "a" * 32),
]
NO_TXT = [
    "", "v=STSv1", "v=STSv1;", "v=STSv2; id=1;", "V=STSv1; id=1;", "v=stsv1; id=1;", " v=STSv1; id=1;",
    "id=1; v=STSv1;", "v=STSv1; id=;", "v=STSv1; id=a-b;", "v=STSv1; id=" + "a" * 33, "v=STSv1; id=1; novalue;",
    "v=STSv1;; id=1", "v=STSv1; id=1; a=b c", "v=STSv1; id=é",
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), TXT)
def test_a_record_gives_its_id(text: str, expected: str) -> None:
    assert parse_txt(text) == expected


@pytest.mark.parametrize("text", NO_TXT)
def test_a_record_that_does_not_read_is_named(text: str) -> None:
    with pytest.raises(PolicyError, match=rf"MTA-STS TXT record.*{re.escape(repr(text))}"):
        parse_txt(text)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], None),
        (["v=spf1 -all", "v=STSv1; id=1;"], "1"),
        (["v=STSv1; id=1;", "v=STSv1; id=1;"], None),
        (["v=STSv2; id=2;", "v=STSv1; id=1;"], "1"),
        (["v=STSv1; id=bad id;"], None),
        (["v=STSv1; id=bad id;", "v=STSv1; id=1;"], None),
    ],
)
def test_just_one_record_must_be_of_this_version_and_read(records: list[str], expected: str | None) -> None:
    assert record_id(records) == expected


@given(st.text(max_size=60) | st.from_regex(r"v=STSv1(; ?[a-z]{1,4}=[ -~]{0,8}){0,4};?", fullmatch=True))
def test_any_record_gives_an_id_or_the_one_error(text: str) -> None:
    try:
        found = parse_txt(text)
    except PolicyError:
        assert record_id([text]) is None
        return
    assert re.fullmatch(r"[A-Za-z0-9]{1,32}", found)


# --- policy --------------------------------------------------------------------------------------------------------


def policy_text(**changed: str | None) -> str:
    lines = {"version": "STSv1", "mode": "enforce", "mx": "mx.example.com", "max_age": "86400", **changed}
    return "".join(f"{key}: {value}\r\n" for key, value in lines.items() if value is not None)


@pytest.mark.parametrize("body", [EXAMPLE, EXAMPLE.replace("\n", "\r\n"), EXAMPLE.encode(), EXAMPLE.strip()])
def test_the_example_of_the_rfc_reads_with_either_end_of_line(body: str | bytes) -> None:
    assert parse_policy(body) == POLICY


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (policy_text(), StsPolicy(MtaSts.ENFORCE, 86_400, ("mx.example.com",))),
        (policy_text(mode="testing", max_age="0"), StsPolicy(MtaSts.TESTING, 0, ("mx.example.com",))),
        (policy_text(mode="none", mx=None), StsPolicy(MtaSts.NONE, 86_400)),
        (policy_text(max_age=str(MAX_AGE_S)), StsPolicy(MtaSts.ENFORCE, MAX_AGE_S, ("mx.example.com",))),
        (policy_text(extension="any: thing"), StsPolicy(MtaSts.ENFORCE, 86_400, ("mx.example.com",))),
        (
            policy_text() + "mode: none\nmax_age: x\nversion: 2\n",
            StsPolicy(MtaSts.ENFORCE, 86_400, ("mx.example.com",)),
        ),
        (policy_text(mx="*.Bücher.example"), StsPolicy(MtaSts.ENFORCE, 86_400, ("*.xn--bcher-kva.example",))),
        ("max_age:1\nmx:a.example  \nmode:testing\nversion:STSv1", StsPolicy(MtaSts.TESTING, 1, ("a.example",))),
    ],
)
def test_a_policy_reads(text: str, expected: StsPolicy) -> None:
    assert parse_policy(text) == expected


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("", "p.txt: policy = []; allowed: a line 'version'"),
        (policy_text(mode=None), "a line 'mode' among them"),
        (policy_text(version="STSv2"), "p.txt:1: version = 'STSv2'; allowed: STSv1"),
        (policy_text(mode="enforced"), "p.txt:2: mode = 'enforced'; allowed: none, testing, enforce. Did"),
        (policy_text(mode="Enforce"), "p.txt:2: mode = 'Enforce'"),
        (policy_text(mx=None), "mode enforce with at least one mx"),
        (policy_text(mx="mx.*.example"), "p.txt:3: mx = 'mx.*.example'; allowed: an MX host name, or *. and a name"),
        (policy_text(mx="*"), "p.txt:3: mx = '*'"),
        (policy_text(mx="*."), "p.txt:3: mx = '*.'"),
        (policy_text(mx=".example.com"), "p.txt:3: mx = '.example.com'"),
        (policy_text(max_age="31557601"), "p.txt:4: max_age = '31557601'; allowed: 0..31557600 s"),
        (policy_text(max_age="-1"), "p.txt:4: max_age = '-1'"),
        (policy_text(max_age="1 day"), "p.txt:4: max_age = '1 day'"),
        (policy_text(max_age="٣"), "p.txt:4: max_age = "),
        (policy_text() + "<html>", "p.txt:5: policy line = '<html>'; allowed: key: value"),
        ("mode : none", "p.txt:1: policy line = 'mode : none'"),
        (b"version: STSv1\xff", "p.txt: policy = 'byte 14'; allowed: UTF-8"),
        (b"a: b\n" * 20_000, "p.txt: size of the policy = '100000 bytes'; allowed: at most 65536"),
    ],
)  # fmt: skip
def test_a_policy_that_does_not_read_is_told_by_its_line(body: str | bytes, told: str) -> None:
    with pytest.raises(PolicyError, match=re.escape(told)):
        parse_policy(body, "p.txt")


LINES = st.sampled_from(
    ["version: STSv1", "mode: none", "mode: testing", "max_age: 1", "mx: a.b", "mx: *", "a", ": b", ""]
)


@given(st.text(max_size=80) | st.binary(max_size=80) | st.lists(LINES | st.text(max_size=9), max_size=7).map("\n".join))
def test_any_policy_reads_or_is_the_one_error(body: str | bytes) -> None:
    try:
        policy = parse_policy(body)
    except PolicyError:
        return
    assert policy.mx or policy.mode is MtaSts.NONE


@pytest.mark.parametrize(
    ("mx_host", "listed"),
    [
        ("mail.example.com", True),
        ("MAIL.example.com.", True),
        ("a.example.net", True),
        ("a.b.example.net", False),
        ("example.net", False),
        ("mx.example.com", False),
    ],
)
def test_a_pattern_covers_one_left_most_label(mx_host: str, listed: bool) -> None:
    assert POLICY.lists(mx_host) == listed


# --- in force ------------------------------------------------------------------------------------------------------

TESTING = StsPolicy(MtaSts.TESTING, 100, ("*.example.net",))
OFF = StsPolicy(MtaSts.NONE, 100)
KEPT = Cached(TESTING, "1", 1_000)
NEXT = StsPolicy(MtaSts.ENFORCE, 50, ("mail.example.com",))

# kept | id announced | fetched | at, s | asked | kept then
LOOKUPS = [
    (None, None, None, 1_000, False, None),
    (None, "1", TESTING, 1_000, True, KEPT),
    (None, "1", None, 1_000, True, None),
    (KEPT, "1", None, 1_099, False, KEPT),
    (KEPT, "1", None, 1_100, True, None),
    (KEPT, "1", TESTING, 1_100, True, Cached(TESTING, "1", 1_100)),
    (KEPT, "2", NEXT, 1_050, True, Cached(NEXT, "2", 1_050)),
    (KEPT, "2", None, 1_050, True, KEPT),
    (KEPT, None, None, 1_050, False, KEPT),
    (KEPT, None, None, 1_100, False, None),
    (KEPT, "2", OFF, 1_050, True, Cached(OFF, "2", 1_050)),
]


@pytest.mark.parametrize(("kept", "announced", "fetched", "at_s", "asked", "then"), LOOKUPS)
def test_what_a_sender_keeps_after_a_look_up(
    kept: Cached | None, announced: str | None, fetched: StsPolicy | None, at_s: int, asked: bool, then: Cached | None
) -> None:
    assert needs_fetch(kept, announced, at_s) == asked
    assert refreshed(kept, announced, fetched, at_s) == then


def test_a_life_of_no_seconds_is_over_at_once() -> None:
    assert not Cached(StsPolicy(MtaSts.ENFORCE, 0, ("a.example",)), "1", 5).in_force(5)


@pytest.mark.parametrize(
    ("kept", "mx_host", "at_s", "expected"),
    [
        (None, "a.example.net", 1_000, (MtaSts.NONE, True)),
        (KEPT, "a.example.net", 1_000, (MtaSts.TESTING, True)),
        (KEPT, "mail.example.com", 1_000, (MtaSts.TESTING, False)),
        (KEPT, "mail.example.com", 1_100, (MtaSts.NONE, True)),
        (Cached(POLICY, "1", 0), "mail.example.com", 604_799, (MtaSts.ENFORCE, True)),
        (Cached(POLICY, "1", 0), "mx.example.com", 604_799, (MtaSts.ENFORCE, False)),
        (Cached(OFF, "1", 1_000), "mx.example.com", 1_000, (MtaSts.NONE, True)),
    ],
)
def test_the_mode_in_force_and_whether_the_host_is_listed(
    kept: Cached | None, mx_host: str, at_s: int, expected: tuple[MtaSts, bool]
) -> None:
    assert sts_state(kept, mx_host, at_s) == expected


@pytest.mark.parametrize(
    ("announced", "answered", "certificate_valid", "policy", "expected"),
    [
        (None, False, False, None, Reason.NONE),
        ("1", True, True, POLICY, Reason.NONE),
        ("1", False, True, None, Reason.STS_POLICY_FETCH_ERROR),
        ("1", False, False, None, Reason.STS_WEBPKI_INVALID),
        ("1", True, True, None, Reason.STS_POLICY_INVALID),
    ],
)
def test_what_failed_is_spelled_as_in_reports(
    announced: str | None, answered: bool, certificate_valid: bool, policy: StsPolicy | None, expected: Reason
) -> None:
    got = discovery_failure(announced, answered=answered, certificate_valid=certificate_valid, policy=policy)
    assert got is expected


# --- only blanks and tabs are blank (RFC 8461 sections 3.1 and 3.2), and limits are counted in bytes ------------------


@pytest.mark.parametrize(
    "text", ["v=STSv1\v; id=1;", "v=STSv1;\vid=1;", "v=STSv1; id=1\u00a0;", "v=STSv1X; id=1;", "v=STSv1; id=1; \v"]
)
def test_a_record_with_another_white_space_is_refused(text: str) -> None:
    with pytest.raises(PolicyError, match="MTA-STS TXT record"):
        parse_txt(text)


def test_the_form_of_a_record_is_told() -> None:
    with pytest.raises(PolicyError, match=r"v=STSv1; id=1 to 32 letters and digits$"):
        parse_txt("v=STSv1; id=")
    with pytest.raises(PolicyError, match=r"allowed: v=STSv1; id=1 to 32 letters and digits$"):
        parse_txt("v=STSv1;")


def test_letters_at_the_ends_of_an_id_or_a_value_are_part_of_it() -> None:
    assert parse_txt("v=STSv1; id=XaX;") == "XaX"
    with pytest.raises(PolicyError, match="mode = 'noneX'"):
        parse_policy("version: STSv1\nmode: noneX\nmax_age: 1\n")


def test_empty_lines_of_blanks_and_tabs_alone_are_passed_over() -> None:
    assert parse_policy(EXAMPLE.replace("mode:", " \t\n\nmode:")) == POLICY
    for other in ("\v\n", "X\n"):
        with pytest.raises(PolicyError, match="policy line"):
            parse_policy(EXAMPLE.replace("mode:", f"{other}mode:"))
    with pytest.raises(PolicyError, match="mode = 'enforce"):
        parse_policy(EXAMPLE.replace("enforce", "enforce\v"))


def test_a_fault_of_a_policy_without_a_name_is_told_as_one_of_the_policy() -> None:
    with pytest.raises(PolicyError, match=r"^MTA-STS policy:3: "):
        parse_policy("version: STSv1\nmode: none\nmax_age: x\n")


def test_a_policy_is_as_large_as_its_bytes() -> None:
    filler = "x: " + "a" * (65_536 - len(EXAMPLE) - 3)
    assert parse_policy(EXAMPLE + filler) == POLICY
    assert parse_policy((EXAMPLE + filler).encode()) == POLICY
    for larger in (EXAMPLE + filler + "a", EXAMPLE + filler[:-1] + "\u00e9"):
        with pytest.raises(PolicyError, match="65537 bytes"):
            parse_policy(larger)
