"""The Destination Controls file: one list of cases read and written, and the account of every line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import OutputError, PolicyError
from sim.files import decode
from sim.formats.bounce_profiles import BounceProfiles
from sim.formats.destination_controls import Policy
from sim.formats.destination_keys import NOTE
from sim.formats.destination_normal import normalised_text
from sim.policy.destinations import SHIPPED, DestinationControls, Entry, canonical_domain
from sim.policy.retry import BounceProfile, HostRetry
from sim.terms import IpSortPreference, LimitApply, LimitType, Setting

DEFAULT_TEXT = """\
[DEFAULT]
ip_sort_pref = PREFER_V6
max_host_concurrency = 500
max_messages_per_connection = 50
recipient_minutes = 60
recipient_limit = 0
limit_type = host
limit_apply = system
bounce_validation = 0
table_tls = off
"""

# The sample of the user guide's shape, as a gateway exports it.
SAMPLE = f"""\
# comment lines start with #
; or with this
{DEFAULT_TEXT}send_tls_req_alert = 0
certificate = outbound-cert

[bank.example]
table_tls = require_verify
max_host_concurrency = 20
limit_type = MXIP
limit_apply = VG
bounce_profile = Short_Life
dane_option = opportunistic
"""

# An entry and its section: the same pairs through the reader and the writer.
CASES = [
    (Entry(domain="a.example"), "[a.example]\n"),
    (Entry(domain="a.example", tls=Setting.NO), "[a.example]\ntable_tls = off\n"),
    (Entry(domain="a.example", tls=Setting.PREFERRED), "[a.example]\ntable_tls = on\n"),
    (Entry(domain="a.example", tls=Setting.REQUIRED), "[a.example]\ntable_tls = require\n"),
    (Entry(domain="a.example", tls=Setting.PREFERRED_VERIFY), "[a.example]\ntable_tls = on_verify\n"),
    (Entry(domain="a.example", tls=Setting.REQUIRED_VERIFY), "[a.example]\ntable_tls = require_verify\n"),
    (
        Entry(domain=".a.example", tls=Setting.REQUIRED_VERIFY_HOSTED),
        "[.a.example]\ntable_tls = require_verify_hosted\n",
    ),
    (Entry(domain="[192.0.2.7]", max_messages_per_connection=1), "[[192.0.2.7]]\nmax_messages_per_connection = 1\n"),
    (
        Entry(
            domain="a.example",
            max_host_concurrency=20,
            recipient_minutes=5,
            recipient_limit=100,
            limit_type=LimitType.MXIP,
            limit_apply=LimitApply.VG,
        ),
        (
            "[a.example]\nmax_host_concurrency = 20\nrecipient_minutes = 5\nrecipient_limit = 100\nlimit_type = MXIP\n"
            "limit_apply = VG\n"
        ),
    ),
    (
        Entry(
            domain="a.example",
            ip_sort_pref=IpSortPreference.REQUIRE_V4,
            bounce_validation=True,
            bounce_profile="Default",
            dane_option="mandatory",
        ),
        (
            "[a.example]\nip_sort_pref = REQUIRE_V4\nbounce_validation = 1\nbounce_profile = Default\n"
            "dane_option = mandatory\n"
        ),
    ),
]


@pytest.mark.parametrize(("entry", "text"), CASES, ids=[text for _, text in CASES])
def test_cases_are_read(entry: Entry, text: str) -> None:
    policy = Policy.parse(DEFAULT_TEXT + text, strict=True)
    assert policy.entries == (entry,)
    assert policy.default == SHIPPED


@pytest.mark.parametrize(("entry", "text"), CASES, ids=[text for _, text in CASES])
def test_cases_are_written(entry: Entry, text: str) -> None:
    written = Policy(entries=(entry,)).to_text()
    assert written.replace(NOTE + "\n", "") == f"{DEFAULT_TEXT}\n{text}"
    assert (NOTE in written) == ("hosted" in text or "dane" in text)


LOOSE = [
    ("TABLE_TLS=REQUIRE", Entry(domain="a.example", tls=Setting.REQUIRED)),
    ("table_tls =3", Entry(domain="a.example", tls=Setting.PREFERRED_VERIFY)),
    ("  table_tls\t=  5  ", Entry(domain="a.example", tls=Setting.REQUIRED_VERIFY_HOSTED)),
    ("table_tls = require_hosted_verify", Entry(domain="a.example", tls=Setting.REQUIRED_VERIFY_HOSTED)),
    ("table_tls = require-verify", Entry(domain="a.example", tls=Setting.REQUIRED_VERIFY)),
    ("table_tls = 1 ; preferred", Entry(domain="a.example", tls=Setting.PREFERRED)),
    ("table_tls = on # preferred", Entry(domain="a.example", tls=Setting.PREFERRED)),
    ("limit_type = 1", Entry(domain="a.example", limit_type=LimitType.MXIP)),
    ("limit_type = mxip", Entry(domain="a.example", limit_type=LimitType.MXIP)),
    ("limit_apply = 0", Entry(domain="a.example", limit_apply=LimitApply.SYSTEM)),
    ("bounce_validation = ON", Entry(domain="a.example", bounce_validation=True)),
    ("bounce_validation = 0", Entry(domain="a.example", bounce_validation=False)),
    ("ip_sort_pref = Prefer_v4", Entry(domain="a.example", ip_sort_pref=IpSortPreference.PREFER_V4)),
    ("max_messages_per_connection = 0050", Entry(domain="a.example", max_messages_per_connection=50)),
    ("dane = Opportunistic", Entry(domain="a.example", dane_option="opportunistic")),
    ("recipient_limit = 0", Entry(domain="a.example", recipient_limit=0)),
]


@pytest.mark.parametrize(("line", "entry"), LOOSE, ids=[line for line, _ in LOOSE])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", ""], ids=["LF", "CRLF", "CR", "no end"])
def test_the_reader_is_looser_than_the_writer_and_changes_nothing(line: str, entry: Entry, end: str) -> None:
    text = "\ufeff" + DEFAULT_TEXT.replace("\n", end or "\n") + f"[ A.Example ] # ours{end or chr(10)}{line}{end}"
    policy = Policy.parse(text)
    assert policy.entries == (replace(entry, domain="A.Example"),)
    assert policy.to_text() == text


def test_the_sample_is_accounted_for_line_by_line() -> None:
    account = Policy.parse(SAMPLE, source="d.ini").account
    assert list(account.columns) == ["file", "line", "text", "kind", "reason", "changes_answer"]
    assert account["line"].tolist() == [n for n, t in enumerate(SAMPLE.splitlines(), 1) if t and t[0] not in "#;"]
    assert set(account["file"]) == {"d.ini"}
    told = {row.text: (row.kind, row.changes_answer) for row in account.itertuples() if row.kind != "understood"}
    assert told == {
        "ip_sort_pref = PREFER_V6": ("ignored", False),
        "bounce_validation = 0": ("ignored", False),
        "send_tls_req_alert = 0": ("ignored", False),
        "certificate = outbound-cert": ("ignored", False),
        "limit_apply = VG": ("guessed", True),
        "bounce_profile = Short_Life": ("guessed", True),
    }


def account_of(text: str) -> dict[str, tuple[str, str, bool]]:
    rows = Policy.parse(text, profiles={"Short_Life": BounceProfile(name="Short_Life")}).account.itertuples()
    return {str(r.text): (str(r.kind), str(r.reason), bool(r.changes_answer)) for r in rows}


def test_what_is_not_used_says_why_and_whether_it_matters() -> None:
    account = account_of(
        f"lost = 1\n{DEFAULT_TEXT}[a.example]\ntabel_tls = on\nno pair\ncertificate = c\ndane_option = none\n"
        "ip_sort_pref = REQUIRE_V6\nbounce_profile = Short_Live\ncolour = blue\ncolour = red\n"
    )
    assert account["lost = 1"] == ("ignored", "stands before any [section]", True)
    assert account["tabel_tls = on"] == ("ignored", "unknown key. Did you mean 'table_tls'?", True)
    assert account["no pair"] == ("ignored", "no 'key = value'", True)
    assert account["certificate = c"][1].endswith("; a global key, it belongs in [DEFAULT]")
    assert account["dane_option = none"] == ("understood", "no source confirms this spelling", False)
    assert account["ip_sort_pref = REQUIRE_V6"][2]
    assert account["bounce_profile = Short_Live"] == (
        "guessed",
        "Default profile used: no bounce profile of this name is given. Did you mean 'Short_Life'?",
        True,
    )
    assert account["colour = red"] == ("ignored", "unknown key", True)


def test_what_default_lacks_is_guessed_unless_strict() -> None:
    text = DEFAULT_TEXT.replace("max_host_concurrency = 500\n", "").replace("recipient_minutes = 60\n", "")
    policy = Policy.parse(text)
    assert policy.default == SHIPPED
    assert policy.to_text() == text
    guessed = policy.account.query("kind == 'guessed'")
    assert guessed[["line", "text", "changes_answer"]].to_numpy().tolist() == [
        [1, "max_host_concurrency = 500", True],
        [1, "recipient_minutes = 60", False],
    ]
    with pytest.raises(PolicyError) as fault:
        Policy.parse(text, source="d.ini", strict=True)
    assert str(fault.value) == (
        "d.ini:1: [DEFAULT] max_host_concurrency: missing; allowed: a whole number, 1..1000 connections "
        "(a shipped gateway has 500)"
    )


def test_without_default_the_shipped_values_hold() -> None:
    policy = Policy.parse("[a.example]\ntable_tls = on\n")
    assert policy.default == SHIPPED
    assert (policy.account["kind"] == "guessed").sum() == 9
    assert policy.to_text() == "[a.example]\ntable_tls = on\n"
    assert Policy.parse(policy.with_setting(Setting.REQUIRED).to_text()).default.tls is Setting.REQUIRED


def test_only_what_changed_is_written_anew() -> None:
    policy = Policy.parse(SAMPLE)
    entry = replace(policy.entries[0], tls=Setting.PREFERRED, bounce_profile=None, max_messages_per_connection=7)
    changed = replace(policy, entries=(Entry(domain=".new.example", tls=Setting.NO), entry))
    expected = (
        SAMPLE.replace("table_tls = require_verify\n", "table_tls = on\n")
        .replace("bounce_profile = Short_Life\n", "")
        .replace("dane_option = opportunistic\n", "dane_option = opportunistic\nmax_messages_per_connection = 7\n")
        .replace("[bank.example]", "[.new.example]\ntable_tls = off\n\n[bank.example]")
    )
    assert changed.to_text() == expected
    assert Policy.parse(expected) == changed


def test_an_entry_that_is_gone_takes_its_lines_along() -> None:
    policy = Policy.parse(f"# top\n[b.example]\nx = 1\n{DEFAULT_TEXT}[a.example]\ntable_tls = on\n")
    assert replace(policy, entries=()).to_text() == f"# top\n{DEFAULT_TEXT}"
    swapped = replace(policy, entries=policy.entries[::-1])
    assert Policy.parse(swapped.to_text()) == swapped


def test_with_setting_keeps_comments_and_limits() -> None:
    strict = Policy.parse(SAMPLE).with_setting(Setting.REQUIRED_VERIFY_HOSTED)
    text = strict.to_text()
    assert text.startswith(f"{NOTE}\n# comment lines start with #\n; or with this\n")
    assert text.count("table_tls = require_verify_hosted") == 2
    assert Policy.parse(text) == strict
    assert Policy.parse(text).to_text() == text


def test_a_limit_without_its_companions_is_written_with_the_inherited_ones() -> None:
    policy = Policy(entries=(Entry(domain="a.example", max_host_concurrency=3, recipient_limit=9),))
    back = Policy.parse(policy.to_text(), strict=True)
    assert back == policy
    assert back.entries[0] == Entry(
        domain="a.example", max_host_concurrency=3, recipient_limit=9, recipient_minutes=60,
        limit_type=LimitType.HOST, limit_apply=LimitApply.SYSTEM,
    )  # fmt: skip


WORDS = st.sampled_from(["a.example", ".a.example", "B.example", "192.0.2.7", "[192.0.2.8]", "bücher.example", "x"])
ENTRIES = st.builds(
    Entry,
    domain=WORDS,
    tls=st.none() | st.sampled_from(Setting),
    max_host_concurrency=st.none() | st.integers(1, 1000),
    max_messages_per_connection=st.none() | st.integers(1, 1000),
    recipient_minutes=st.integers(1, 60),
    recipient_limit=st.none() | st.integers(0, 10**9),
    limit_type=st.sampled_from(LimitType),
    limit_apply=st.sampled_from(LimitApply),
    ip_sort_pref=st.none() | st.sampled_from(IpSortPreference),
    bounce_validation=st.none() | st.booleans(),
    bounce_profile=st.sampled_from([None, "Default", "Short_Life", "Unknown"]),
    dane_option=st.sampled_from([None, "none", "mandatory"]),
)
PROFILES = BounceProfiles({"Short_Life": BounceProfile(name="Short_Life", max_retries=3)}, HostRetry(initial_wait_s=5))
POLICIES = st.builds(
    lambda default, entries: Policy(default, tuple(entries), PROFILES.profiles, PROFILES.host_retry),
    ENTRIES.map(lambda e: replace(e, domain="DEFAULT")),
    st.lists(ENTRIES, max_size=5, unique_by=lambda e: e.domain),
)


@given(POLICIES)
def test_read_of_write_is_the_same_policy(policy: Policy) -> None:
    back = Policy.parse(policy.to_text(), profiles=PROFILES)
    assert back == policy
    assert back.hash == policy.hash
    assert back.to_text() == policy.to_text()


# Spellings that a file could not give back, and some that it can; whatever builds must be read back as it is.
SPELLINGS = st.text(max_size=6) | st.sampled_from(
    ["[192.0.2.7", "192.0.2.7]", "[192.0.2.7].", "[192.0.2.7]", "fe80::1%]", "fe80::1", "[IPv6:2001:DB8::1]",
     "Default.", "a.example", "A.example.", ".ü.example", "1bad", "P\n", "P ", "P.1 -x", "MANDATORY",
     "foo # bar", "#x", "a;b", ""]
)  # fmt: skip
VALUES = st.fixed_dictionaries(
    {"domain": SPELLINGS},
    optional={
        "tls": st.sampled_from(Setting),
        "max_host_concurrency": st.integers(-1, 1001),
        "recipient_minutes": st.integers(0, 61),
        "recipient_limit": st.integers(-1, 10),
        "limit_type": st.sampled_from(LimitType),
        "limit_apply": st.sampled_from(LimitApply),
        "bounce_validation": st.booleans() | st.sampled_from([0, 2, "on"]),
        "bounce_profile": SPELLINGS,
        "dane_option": SPELLINGS,
    },
)


def built(values: dict[str, Any]) -> Entry | None:
    try:
        return Entry(**values)
    except PolicyError:
        return None


@given(VALUES, st.lists(VALUES, max_size=4))
def test_whatever_can_be_built_is_read_back(of_default: dict[str, Any], given_values: list[dict[str, Any]]) -> None:
    default = built({**of_default, "domain": "DEFAULT"}) or SHIPPED
    entries = {canonical_domain(e.domain): e for e in map(built, given_values) if e and e.domain != "DEFAULT"}
    policy = Policy(default, tuple(entries.values()))
    assert Policy.parse(policy.to_text()) == policy
    assert Policy.parse(normalised_text(policy)).hash == policy.hash


def test_a_file_without_default_and_without_its_entries_is_still_one() -> None:
    emptied = replace(Policy.parse("# ours\n[a.example]\ntable_tls = on\n"), entries=())
    assert emptied.to_text() == f"# ours\n\n{DEFAULT_TEXT}"
    assert Policy.parse(emptied.to_text(), strict=True) == emptied


@given(POLICIES, POLICIES, st.sampled_from(["\n", "\r\n"]))
def test_any_change_of_a_file_is_read_back(before: Policy, after: Policy, end: str) -> None:
    text = before.to_text().replace("\n", end).replace("[x]", "[x]" + end + "# kept" + end + "unknown = 1")
    changed = replace(Policy.parse(text, profiles=PROFILES), default=after.default, entries=after.entries)
    assert Policy.parse(changed.to_text(), profiles=PROFILES) == changed


def read_or_refuse(text: str) -> tuple[Policy | None, str]:
    try:
        return Policy.parse(text, source="d.ini"), ""
    except PolicyError as fault:
        return None, str(fault)


LINES = st.sampled_from(
    ["[a.example]", "[b.example]", "[DEFAULT]", "[[192.0.2.7]]", "[", "]", "table_tls = on", "table_tls=off ; x", "= 3",
     "limit_type = host", "max_host_concurrency = 5", "limit_apply = VG", "colour = blue", "junk", "", "  ", "# note",
     "recipient_limit = 7", "dane = x", "bounce_profile = P", "\ufeff", "\x0c", "\u2028", "table_tls", "key=", "ü = ü"]
)  # fmt: skip


@given(st.lists(LINES, max_size=12), st.lists(st.sampled_from(["\n", "\r\n", "\r"]), min_size=12, max_size=12))
def test_a_text_is_accepted_and_kept_or_refused_in_one_line(lines: list[str], ends: list[str]) -> None:
    text = "".join(line + end for line, end in zip(lines, ends, strict=False))
    policy, told = read_or_refuse(text)
    if policy is None:
        assert "\n" not in told
        assert told.startswith("d.ini:")
    else:
        assert policy.to_text() == text
        assert len(policy.account) >= sum(bool(t.strip()) and t.strip()[0] not in "#;" for t in lines)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        text = decode(content, "d.ini", PolicyError)
    except PolicyError as fault:
        text = str(fault)
    assert "\n" not in read_or_refuse(text)[1]


def test_a_file_is_written_whole_and_read_back_byte_for_byte(tmp_path: Path) -> None:
    path, copy = tmp_path / "d.ini", tmp_path / "copy.ini"
    path.write_bytes(b"\xef\xbb\xbf" + SAMPLE.replace("\n", "\r\n").encode())
    assert Policy.read(path).write(copy) == copy
    assert copy.read_bytes() == path.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy.ini", "d.ini"]
    with pytest.raises(OutputError):
        Policy.read(path).write(tmp_path)
    with pytest.raises(OutputError):
        Policy.read(path).write(tmp_path / "none" / "d.ini")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy.ini", "d.ini"]


def test_a_policy_is_destination_controls() -> None:
    policy = Policy.parse(SAMPLE, profiles={"Short_Life": BounceProfile(name="Short_Life", max_retries=1)})
    assert isinstance(policy, DestinationControls)
    assert policy.match(["bank.example", "x.bank.example"]).tolist() == [0, -1]
    assert policy.profile(policy.resolved(0).bounce_profile or "").max_retries == 1
    assert policy.entries[0].line == 16
    assert len({policy, Policy.parse(SAMPLE, profiles=policy.profiles)}) == 1
