"""The CSV of a table: one list of rows in both directions, what is wrong told with its cell, and where it is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import example as case
from hypothesis import given
from hypothesis import strategies as st

import sim
from sim.cli import main
from sim.errors import PolicyError
from sim.formats.destconfig_csv import HEADER, csv_text, looks_like_csv, lost_in_csv
from sim.formats.destconfig_list import list_text
from sim.formats.destination_controls import Policy, form_of
from sim.policy.destinations import SHIPPED, Entry, canonical_domain
from sim.policy.retry import BounceProfile
from sim.terms import IpSortPreference, LimitApply, LimitType, Setting
from tests.formats.test_destination_controls import POLICIES, PROFILES, SAMPLE, VALUES, built

HEAD = ",".join(HEADER)
DEFAULT_LINE = "(Default),Off,None,500,50,0,60,host,system,Prefer IPv6,Off,(Default)"
SHORT_LIFE = {"Short_Life": BounceProfile(name="Short_Life")}
#: A row and its entry, both ways.
ROWS = [
    ("a.example,,,,,,,,,,,", Entry(domain="a.example")),
    ("A.example,Off,,,,,,,,,,", Entry(domain="A.example", tls=Setting.NO)),
    (".a.example,On,,,,,,,,,,", Entry(domain=".a.example", tls=Setting.PREFERRED)),
    ("a.example,Req,,,,,,,,,,", Entry(domain="a.example", tls=Setting.REQUIRED)),
    ("a.example,On-Verify,,,,,,,,,,", Entry(domain="a.example", tls=Setting.PREFERRED_VERIFY)),
    ("a.example,Req-Verify,,,,,,,,,,", Entry(domain="a.example", tls=Setting.REQUIRED_VERIFY)),
    ("a.example,Req-Verify-Hosted,,,,,,,,,,", Entry(domain="a.example", tls=Setting.REQUIRED_VERIFY_HOSTED)),
    (
        "[192.0.2.7],,Mandatory,20,1,100,5,MXIP,VG,Require IPv4,On,Short_Life",
        Entry(
            domain="[192.0.2.7]",
            dane_option="mandatory",
            max_host_concurrency=20,
            max_messages_per_connection=1,
            recipient_limit=100,
            recipient_minutes=5,
            limit_type=LimitType.MXIP,
            limit_apply=LimitApply.VG,
            ip_sort_pref=IpSortPreference.REQUIRE_V4,
            bounce_validation=True,
            bounce_profile="Short_Life",
        ),
    ),
    (
        "bücher.example,,None,,,,,,,Prefer IPv6,Off,(Default)",
        Entry(
            domain="bücher.example",
            dane_option="none",
            ip_sort_pref=IpSortPreference.PREFER_V6,
            bounce_validation=False,
            bounce_profile="Default",
        ),
    ),
]


def kept(policy: Policy) -> Policy:
    """Write a table and read it again."""
    return Policy.parse(csv_text(policy), profiles=PROFILES)


@pytest.mark.parametrize(("row", "entry"), ROWS, ids=[row for row, _ in ROWS])
def test_rows_are_read(row: str, entry: Entry) -> None:
    text = f"{HEAD}\n{row}\n{DEFAULT_LINE}\n"
    for changed in (text, "\ufeff" + text.replace("\n", "\r\n"), text.replace(",", ";"), text.replace(",", "\t")):
        policy = Policy.parse(changed, profiles=SHORT_LIFE, strict=True)
        assert (policy.entries, policy.default) == ((entry,), SHIPPED)


@pytest.mark.parametrize(("row", "entry"), ROWS, ids=[row for row, _ in ROWS])
def test_rows_are_written(row: str, entry: Entry) -> None:
    assert csv_text(Policy(entries=(entry,))) == f"{HEAD}\n{row}\n{DEFAULT_LINE}\n"


def test_the_header_is_that_of_the_specification() -> None:
    assert HEAD == (
        "domain,tls,dane,max_connections,max_messages_per_connection,recipient_limit,recipient_minutes,limit_type,"
        "limit_apply,ip_sort_pref,bounce_verification,bounce_profile"
    )


@given(POLICIES)
def test_read_of_write_is_the_same_policy(policy: Policy) -> None:
    assert looks_like_csv(csv_text(policy))
    assert form_of(policy.to_text()) == "ini"
    assert kept(policy) == policy
    assert kept(policy).hash == policy.hash
    assert csv_text(kept(policy)) == csv_text(policy)


DEFAULTS = {"domain": "a.example", "dane_option": "default", "bounce_profile": "DEFAULT"}


@given(VALUES, st.lists(VALUES, max_size=4))
@case({**DEFAULTS, "domain": "x"}, [DEFAULTS])
def test_whatever_can_be_built_is_read_back(of_default: dict[str, Any], given_values: list[dict[str, Any]]) -> None:
    default = built({**of_default, "domain": "DEFAULT"}) or SHIPPED
    entries = {canonical_domain(e.domain): e for e in map(built, given_values) if e and e.domain != "DEFAULT"}
    policy = Policy(default, tuple(entries.values()))
    assert Policy.parse(csv_text(policy)) == policy


LOOSE = [
    ("domain,tls\na.example,require_verify\n", Entry(domain="a.example", tls=Setting.REQUIRED_VERIFY)),
    ("TLS , Domain\nRequired - Verify,a.example\n", Entry(domain="a.example", tls=Setting.REQUIRED_VERIFY)),
    ("domain,tls\na.example,5\n", Entry(domain="a.example", tls=Setting.REQUIRED_VERIFY_HOSTED)),
    ("domain,tls\na.example,Default\n", Entry(domain="a.example")),
    ('"domain","tls",\n"a.example", "on",\n', Entry(domain="a.example", tls=Setting.PREFERRED)),
    ("domain,ip_sort_pref\na.example,prefer_v4\n", Entry(domain="a.example", ip_sort_pref=IpSortPreference.PREFER_V4)),
    ("domain,bounce_verification\na.example,1\n", Entry(domain="a.example", bounce_validation=True)),
    ("domain,bounce_profile\na.example,Default\n", Entry(domain="a.example")),
    ("domain,dane\na.example,OPPORTUNISTIC\n", Entry(domain="a.example", dane_option="opportunistic")),
    (
        "domain,max_connections\na.example,020\n",
        Entry(
            domain="a.example", max_host_concurrency=20, limit_type=LimitType.HOST, limit_apply=LimitApply.SYSTEM
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "entry"), LOOSE, ids=[text for text, _ in LOOSE])
def test_the_reader_is_looser_than_the_writer(text: str, entry: Entry) -> None:
    policy = Policy.parse(f"# of May\n\n{text}")
    assert (policy.entries, policy.default) == ((entry,), SHIPPED)
    assert policy.entries[0].line == 4


def test_every_line_is_accounted_for() -> None:
    rows = ("a.example,,,,,,,,,,,,me,", "b.example,,,,,,,,VG,Require IPv4,,Short_Lif,,", "", "(Default),,,,,,,,,,,,,")
    text = "\n".join(("# ours", f"{HEAD},owner,tsl", *rows))
    policy = Policy.parse(text, source="t.csv", profiles=SHORT_LIFE)
    told = {(row.line, row.kind, row.text, row.reason, row.changes_answer) for row in policy.rows}
    assert told == {
        (2, "understood", f"{HEAD},owner,tsl", "", False),
        (2, "ignored", "owner", "unknown column", True),
        (2, "ignored", "tsl", "unknown column", True),
        (3, "understood", "a.example,,,,,,,,,,,,me,", "", False),
        (
            4,
            "guessed",
            "b.example,,,,,,,,VG,Require IPv4,,Short_Lif,,",
            (
                "limit_apply: one Virtual Gateway is assumed, so it counts as system; ip_sort_pref: the addresses of "
                "an MX host are not told apart by IP version yet; Default profile used: no bounce profile of this name "
                "is given. Did you mean 'Short_Life'?"
            ),
            True,
        ),
        (
            6,
            "guessed",
            "(Default),,,,,,,,,,,,,",
            (
                "empty in (Default): the shipped tls, max_connections, max_messages_per_connection, recipient_limit, "
                "recipient_minutes, limit_type, limit_apply, ip_sort_pref, bounce_verification"
            ),
            True,
        ),
        (0, "guessed", "certificate, alert on failed required TLS", "no column of a CSV: as shipped", False),
    }
    assert (policy.default, len(policy.entries)) == (SHIPPED, 2)


def test_a_table_without_default_is_guessed_and_refused_when_strict() -> None:
    assert [row.reason for row in Policy.parse("domain,tls\na.example,on\n").rows if row.changes_answer] == [
        "no row (Default): DEFAULT as shipped"
    ]
    with pytest.raises(PolicyError, match=r"^t\.csv:1: no row \(Default\); allowed: one, the last$"):
        Policy.parse("domain,tls\na.example,on\n", source="t.csv", strict=True)


BAD = [
    ("domain,tls\na.example,Reqq\n", "2: [a.example] tls = 'Reqq'; allowed: Off, On, Req, On-Verify, Req-Verify, Re"),
    ("domain,tls\na.example,Req-Verfy\n", "Req-Verify-Hosted, or nothing, which inherits. Did you mean 'Req-Verify'?"),
    ("domain,tls\n(Default),x\n", "2: [DEFAULT] tls = 'x'; allowed: Off,"),
    ("domain,tls\na b,on\n", "2: domain = 'a b'; allowed: (Default), example.com"),
    ("domain,tls\na.example,on\nA.example.,off\n", "3: domain = 'A.example.'; allowed: one row a destination; the f"),
    ("domain,tls\n(Default),on\nDEFAULT,off\n", "3: domain = 'DEFAULT'; allowed: one row a destination; the first i"),
    ("domain,max_connections\na.example,0\n", "max_connections = '0'; allowed: a whole number, 1..1000 connections,"),
    ("domain,max_connections\na.example,1001\n", "2: [a.example] max_connections = '1001'; allowed: a whole number"),
    ("domain,recipient_minutes\na.example,61\n", "2: [a.example] recipient_minutes = '61'; allowed: a whole number,"),
    ("domain,recipient_limit\na.example,-1\n", "2: [a.example] recipient_limit = '-1'; allowed: a whole number, 0.."),
    ("domain,limit_type\na.example,mx\n", "2: [a.example] limit_type = 'mx'; allowed: host, MXIP, 0, 1, or nothing"),
    ("domain,ip_sort_pref\na.example,Prefer IPv5\n", "which inherits. Did you mean 'Prefer IPv"),
    ("domain,bounce_profile\na.example,2fast\n", "2: [a.example] bounce_profile = '2fast'; allowed: a name that sta"),
    ("domain,dane\na.example,a b\n", "2: [a.example] dane = 'a b'; allowed: none, opportunistic, mandatory"),
    ("domain,tls\na.example\n", "2: row = '1 cells'; allowed: 2 cells, as in the header"),
    ("\n#\ndomain,tls,TLS\n", "3: column = 'tls'; allowed: each column once"),
    ('domain,tls\na.example,"on\n', "2: no CSV: unexpected end of data"),
    ("domain,messages\na.example,5\n", "1: header = 'domain,messages'; allowed: domain,tls,"),
    ("domain,messages\na.example,5\n", "a list of destinations and their mail is given as --csv"),
    ('"domain,tls"\na.example,5\n', "1: header = '\"domain,tls\"'; allowed: domain,tls,"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), BAD, ids=[text for text, _ in BAD])
def test_what_is_wrong_is_told_with_its_cell(text: str, told: str) -> None:
    with pytest.raises(PolicyError) as fault:
        Policy.parse(text, source="t.csv")
    assert str(fault.value).startswith("t.csv:")
    assert told in str(fault.value)


def test_all_faults_are_told_and_the_first_one_first() -> None:
    with pytest.raises(PolicyError, match=r"^t\.csv:2: \[a\.example\] tls = 'x'") as fault:
        Policy.parse("domain,tls,dane\na.example,x,a b\nb.example\n", source="t.csv")
    assert [note[:8] for note in fault.value.__notes__] == ["t.csv:2:", "t.csv:3:"]


STRICT = [
    (f"{HEAD},tsl\n{DEFAULT_LINE},\n", "t.csv:1: column = 'tsl'; allowed: domain, tls, dane"),
    (f"{HEAD}\na.example,,,,,,,,,,,Short\n{DEFAULT_LINE}\n", "t.csv:2: [a.example] bounce_profile = 'Short'; allowe"),
    (f"{HEAD}\n{DEFAULT_LINE.replace('Off', '', 1)}\n", "t.csv:2: [DEFAULT] tls is empty; allowed: Off, On, Req, "),
    (f"{HEAD}\n{DEFAULT_LINE.replace('host', '')}\n", "limit_type is empty; allowed: host, MXIP, 0, 1 (a shipped ga"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), STRICT, ids=[told for _, told in STRICT])
def test_what_only_a_strict_reader_refuses(text: str, told: str) -> None:
    assert Policy.parse(text).default == SHIPPED
    with pytest.raises(PolicyError) as fault:
        Policy.parse(text, source="t.csv", strict=True)
    assert told in str(fault.value)


CELLS = st.sampled_from([*HEADER, "(Default)", "a.example", "Req", "1", "", "#", '"', "\r", "\x85", "x" * 300, "ſ"])


@given(st.lists(st.lists(CELLS, max_size=4).map(",".join) | st.text(max_size=20), max_size=5).map("\n".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        policy = Policy.parse(text, source="t", form="csv")
    except PolicyError:
        return
    assert looks_like_csv(text)
    assert Policy.parse(csv_text(policy)) == policy


FORMS = [
    (SAMPLE, "ini"),
    ("", "ini"),
    (f"{SAMPLE}\n=====  =====  =====  =====  =====  =====\n", "ini"),
    ("# domain,tls\n[DEFAULT]\n", "ini"),
    (list_text(Policy()), "list"),
    (f"[]> list\n\n{list_text(Policy())}\n[500]> 20\n", "list"),
    (csv_text(Policy()), "csv"),
    ("\ufeff# domains\r\n\r\nTLS;Domain\r\n", "csv"),
    ("domain\n", "ini"),
]


@pytest.mark.parametrize(("text", "form"), FORMS, ids=[f"{form} {i}" for i, (_, form) in enumerate(FORMS)])
def test_the_form_is_told_by_the_content(text: str, form: str) -> None:
    assert form_of(text) == form


def test_what_no_column_says_is_named() -> None:
    policy = Policy.parse(f"{SAMPLE}x_owner = me\n")
    assert lost_in_csv(policy.layout) == ["send_tls_req_alert", "certificate", "x_owner", "comments"]
    assert lost_in_csv(Policy.parse("\ufeff[DEFAULT]\ntable_tls = on\n\n").layout) == []


def run(*arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == status, result.output
    return result.stdout + result.stderr


@pytest.mark.parametrize("form", ["csv", "list"])
def test_every_command_and_scenario_reads_it_where_it_reads_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.chdir(tmp_path)
    policy = Policy(replace(SHIPPED, tls=Setting.REQUIRED), (Entry(domain="a.example", tls=Setting.REQUIRED),))
    text = csv_text(policy) if form == "csv" else list_text(policy)
    Path("table").write_text(text)
    read = Policy.read("table")
    assert (read.default, read.entries) == (policy.default, policy.entries)
    assert "1 entry and DEFAULT." in run("import", "table")
    assert "table: " in run("check", "table")
    assert Policy.parse(run("export", "table"), form="ini") == policy
    assert run("export", "table", "--to", "csv") == csv_text(policy)
    Path("s.toml").write_text('[policy]\nfile = "table"\n\n[population]\ndomains = 20\n\n[workload]\nmessages = 50\n')
    assert sim.read_scenario("s.toml").scenario.policy == policy
    run("run", "s.toml")
    run("expected", "--policy", "table", "--domains", "20")
    later = (
        Path("s.toml").read_text().replace('file = "table"', "")
        + '\n[[timeline]]\nevent = "policy"\nat_h = 1\nfile = "table"\n'
    )
    Path("later.toml").write_text(later)
    [event] = sim.read_scenario("later.toml").scenario.timeline
    assert event.policy == policy
    Path("table").write_text(text.replace("Req", "Reqq", 1))
    if form == "csv":
        with pytest.raises(PolicyError, match=r"^table:2: \[a\.example\] tls = 'Reqq'"):
            sim.read_scenario("s.toml")


def test_export_writes_a_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d.ini").write_text(SAMPLE)
    assert run("export", "d.ini", "--to", "csv", "--out", "t.csv") == "Written: t.csv\n"
    assert Policy.read("t.csv") == Policy.parse(SAMPLE)
    assert "--to = 'cvs'; allowed: destination-controls, csv, postfix-tls-policy. Did you mean 'csv'?" in run(
        "export", "d.ini", "--to", "cvs", status=2
    )
