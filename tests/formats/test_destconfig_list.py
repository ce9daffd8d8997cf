"""A LIST: one list of rows in both directions, the tech note's sample, pastes of every kind, and their account."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import example as case
from hypothesis import given
from hypothesis import strategies as st

from sim.cli import main
from sim.errors import PolicyError
from sim.formats.destconfig_list import list_text, looks_like_list
from sim.formats.destination_controls import Policy
from sim.policy.destinations import SHIPPED, Entry
from sim.terms import IpSortPreference, Setting
from tests.formats.test_destination_controls import POLICIES, SAMPLE

parse_list = partial(Policy.parse, form="list")

# The sample of tech note 118955 as it stands there: trailing blanks, and On for an entry set to 3 (Required).
NOTE = (
    "[]> list\n\n"
    "             Rate               Bounce        Bounce     IP Version  \n"
    "Domain       Limiting  TLS      Verification  Profile    Preference  \n"
    "===========  ========  =======  ============  =========  ============\n"
    "example.com  Default   On       Default       Default    Default     \n"
    "(Default)    On        Off      Off           (Default)  Prefer IPv6\n"
)
HEAD = NOTE.split("\n\n")[1].split("example.com")[0]
#: A row and its entry, both ways.
ROWS = [
    ("a.example    Default   Default  Default       Default    Default", Entry(domain="a.example")),
    ("a.example    Default   Off      Default       Default    Default", Entry(domain="a.example", tls=Setting.NO)),
    (
        "a.example    Default   On       Default       Default    Default",
        Entry(domain="a.example", tls=Setting.PREFERRED),
    ),
    (
        "a.example    Default   Req      Default       Default    Default",
        Entry(domain="a.example", tls=Setting.REQUIRED),
    ),
    (
        "a.example  Default   On-Verify  Default       Default    Default",
        Entry(domain="a.example", tls=Setting.PREFERRED_VERIFY),
    ),
    (
        "a.example  Default   Req-Verify  Default       Default    Default",
        Entry(domain="a.example", tls=Setting.REQUIRED_VERIFY),
    ),
    (
        ".a.example  Default   Req-Verify-Hosted  Default       Default    Default",
        Entry(domain=".a.example", tls=Setting.REQUIRED_VERIFY_HOSTED),
    ),
    (
        "[192.0.2.7]  Default   Default  On            Short_Life  Require IPv4",
        Entry(
            domain="[192.0.2.7]",
            bounce_validation=True,
            bounce_profile="Short_Life",
            ip_sort_pref=IpSortPreference.REQUIRE_V4,
        ),
    ),
    (
        "a.example  Default   Default  Off           My own  Prefer IPv6",
        Entry(
            domain="a.example",
            bounce_validation=False,
            bounce_profile="My own",
            ip_sort_pref=IpSortPreference.PREFER_V6,
        ),
    ),
    (
        "a.example  Default   Default  Default       (Default)  Default",
        Entry(domain="a.example", bounce_profile="Default"),
    ),
]


@pytest.mark.parametrize(("row", "entry"), ROWS, ids=[row for row, _ in ROWS])
def test_rows_are_read_with_and_without_their_head(row: str, entry: Entry) -> None:
    for text in (row, HEAD + row, f"\ufeff{HEAD}{row}\r\n".replace("\n", "\r\n")):
        policy = parse_list(text)
        assert (policy.entries, policy.default) == ((entry,), SHIPPED)


@pytest.mark.parametrize(("row", "entry"), ROWS, ids=[row for row, _ in ROWS])
def test_rows_are_written(row: str, entry: Entry) -> None:
    written = list_text(Policy(entries=(entry,))).splitlines()[3]
    assert written.split() == row.split()


def test_the_notes_sample_is_read_and_accounted_for() -> None:
    policy = parse_list(NOTE, source="list.txt")
    assert policy.entries == (Entry(domain="example.com", tls=Setting.PREFERRED),)
    assert policy.default == SHIPPED
    kinds = [(row.line, row.kind, row.changes_answer) for row in policy.rows]
    assert kinds == [
        (1, "ignored", False),
        (3, "understood", False),
        (4, "understood", False),
        (5, "understood", False),
        (6, "guessed", True),
        (7, "guessed", True),
        (0, "guessed", False),
    ]
    assert "taken as Preferred; the tech note prints it for an entry set to Required" in policy.rows[4].reason
    assert "has no numbers" in policy.rows[5].reason
    assert policy.rows[6].text == "certificate, alert on failed required TLS, DANE"
    assert list_text(policy) == "\n".join(line.rstrip() for line in NOTE.splitlines()[2:])


def test_a_whole_dialogue_may_be_pasted() -> None:
    count = "There are currently 3 entries configured."
    menu = f"ESA> destconfig\n\n{count}\nChoose the operation you want to perform:\n- SETUP - Change.\n"
    policy = parse_list(f"{menu}{NOTE}\n{menu}[]> \n")
    assert [entry.domain for entry in policy.entries] == ["example.com"]
    assert {row.reason for row in policy.rows if row.kind == "ignored"} == {"dialogue around the LIST"}


LOOSE = [
    ("required", Setting.REQUIRED),
    ("REQ", Setting.REQUIRED),
    ("Preferred", Setting.PREFERRED),
    ("No", Setting.NO),
    ("On - Verify", Setting.PREFERRED_VERIFY),
    ("Preferred_Verify", Setting.PREFERRED_VERIFY),
    ("Required - Verify", Setting.REQUIRED_VERIFY),
    ("req_verify", Setting.REQUIRED_VERIFY),
    ("Req - Verify - Hosted", Setting.REQUIRED_VERIFY_HOSTED),
    ("Required - Verify Hosted Domains", Setting.REQUIRED_VERIFY_HOSTED),
    ("Req_Verify_Hosted_Domains", Setting.REQUIRED_VERIFY_HOSTED),
]


@pytest.mark.parametrize(("cell", "setting"), LOOSE)
@pytest.mark.parametrize("head", ["", HEAD], ids=["no head", "head"])
def test_the_reader_is_looser_than_the_writer(head: str, cell: str, setting: Setting) -> None:
    policy = parse_list(f"{head}a.example {cell and 'default'} {cell}  default  DEFAULT  default\n")
    assert policy.entries == (Entry(domain="a.example", tls=setting),)


def test_older_and_newer_lists_have_other_columns() -> None:
    policy = parse_list("a.example  Default  Req  Off  Short_Life\n(Default)  On  Off  Off  (Default)\n")
    assert policy.entries == (
        Entry(domain="a.example", tls=Setting.REQUIRED, bounce_validation=False, bounce_profile="Short_Life"),
    )
    dane = Policy(entries=(Entry(domain="a.example", tls=Setting.REQUIRED, dane_option="mandatory"),))
    shown = list_text(dane)
    assert shown.splitlines()[1].split()[2:4] == ["TLS", "DANE"]
    assert shown.splitlines()[4].split()[3] == "None"
    for text in (shown, "\n".join(shown.splitlines()[3:])):
        policy = parse_list(text)
        assert policy.entries == dane.entries
        assert policy.default == SHIPPED


FAULTS = [
    ("a.example  Default  Reqq  Default  Default  Default", "TLS = 'Reqq'; allowed: Default, Off, On, Req"),
    ("a.example  Default  On-Hosted  Default  Default  Default", "TLS = 'On-Hosted'; allowed:"),
    ("a b  Default  Req  Default  Default  Default", "Domain = 'a b'; allowed: example.com"),
    ("a.example  Some  Req  Default  Default  Default", "Rate Limiting = 'Some'; allowed: Default, On, Off"),
    ("a.example  Default  Req  Maybe  Default  Default", "Bounce Verification = 'Maybe'; allowed: Default, On, Off"),
    (
        "a.example  Default  Req  Default  2fast  Default",
        "Bounce Profile = '2fast'; allowed: Default, (Default), a nam",
    ),
    ("a.example  Default  Req  Default  Default  IPv5", "IP Version Preference = 'IPv5'; allowed: Default, Prefer IP"),
    ("a.example  Default  Req", "no row of a LIST, which has the cells Domain, Rate Limiting, TLS"),
    ("example.com  Default  Off  Default  Default  Default", "listed already at line 6"),
]


@pytest.mark.parametrize(("line", "told"), FAULTS, ids=[line for line, _ in FAULTS])
def test_a_line_that_is_no_row_is_accounted_for_and_does_not_stop_the_rest(line: str, told: str) -> None:
    policy = parse_list(f"{NOTE}{line}\n", source="l.txt")
    assert [entry.domain for entry in policy.entries] == ["example.com"]
    [row] = [row for row in policy.rows if row.line == 8]
    assert (row.kind, row.changes_answer) == ("ignored", True)
    assert told in row.reason
    with pytest.raises(PolicyError, match=r"^l\.txt:6: 'example\.com .*: TLS On is taken") as fault:
        parse_list(f"{NOTE}{line}\n", source="l.txt", strict=True)
    assert told in fault.value.__notes__[-1]


def test_what_a_list_does_not_say_is_guessed_and_said() -> None:
    text = "a.example  On  Req  Default  Gone  Default\nb.example  Off  Default  Default  Default  Default\n"
    policy = parse_list(text)
    assert policy.entries[0].max_host_concurrency == 500
    assert policy.entries[1] == Entry(domain="b.example")
    first, second, default, hidden = policy.rows
    assert "has no numbers" in first.reason
    assert "Default profile used" in first.reason
    assert "Off: taken as Default" in second.reason
    assert (default.text, default.changes_answer) == ("(Default)", True)
    assert "not in this paste" in default.reason
    assert hidden.kind == "guessed"
    [row] = parse_list("(Default)  On  Default  Off  Slow  Default", profiles=None).rows[:1]
    assert "nothing to inherit from: the shipped tls, ip_sort_pref" in row.reason


@given(POLICIES)
@case(
    Policy(SHIPPED, (Entry(domain="a.example", bounce_profile="Default Prefer"), Entry(domain="b", dane_option="on")))
)
@case(Policy(SHIPPED, (Entry(domain="a.example", bounce_profile="a  b"), Entry(domain="b", bounce_profile="default"))))
@case(Policy(SHIPPED, (Entry(domain="a.example", bounce_profile="On On Default Prefer IPv6 x"),)))
def test_the_list_of_any_table_is_read_back_to_the_cells_it_shows(policy: Policy) -> None:
    shown = list_text(policy)
    again = parse_list(shown)
    assert list_text(again) == shown
    assert [entry.domain for entry in again.entries] == [entry.domain for entry in policy.entries]
    assert [entry.tls for entry in again.entries] == [entry.tls for entry in policy.entries]
    assert not [row for row in again.rows if row.kind == "ignored"]
    assert looks_like_list(shown)
    assert not looks_like_list(policy.to_text())


CELLS = st.sampled_from(
    ["a.example", "(Default)", "Default", "DEFAULT", "On", "Off", "Req", "Req - Verify", "Prefer IPv6", "None", "===",
     "Kelvin", "ſ", "[::1]", "a%b", "x" * 300, "2", "\t", "\xa0", "- LIST - "]
)  # fmt: skip


@given(st.lists(st.lists(CELLS, max_size=8).map("  ".join) | st.text(max_size=20), max_size=6).map("\n".join))
def test_any_text_is_read_or_refused_with_a_reason(text: str) -> None:
    try:
        policy = parse_list(text)
    except PolicyError:
        return
    lines = [line for line in text.replace("\r", "\n").split("\n") if line.removeprefix("\ufeff").strip()]
    assert len([row for row in policy.rows if row.line]) == len(lines)


@pytest.mark.parametrize("text", ["", "\n \n", "[DEFAULT]\ntable_tls = on\n", HEAD, "a,b,c\n"])
def test_a_text_without_a_row_is_no_list(text: str) -> None:
    with pytest.raises(PolicyError, match=r"^x:1: no row of a LIST found"):
        parse_list(text, source="x")


def test_commands_read_a_list_where_they_read_a_file(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(NOTE)
    assert Policy.read(path) == parse_list(NOTE)
    file = tmp_path / "d.ini"
    file.write_text(SAMPLE)
    assert Policy.read(file) == Policy.parse(SAMPLE)
    told = CliRunner().invoke(main, ("import", str(path)))
    assert told.exit_code == 0
    assert "1 entry and DEFAULT." in told.stdout
    assert "* 6  example.com Default On " in told.stdout
    made = CliRunner().invoke(main, ("export", str(path), "--out", str(tmp_path / "new.ini")))
    assert made.exit_code == 0
    assert Policy.read(tmp_path / "new.ini") == parse_list(NOTE)
    refused = CliRunner().invoke(main, ("import", str(path), "--strict"))
    assert refused.exit_code == 2
    assert "list.txt:6: 'example.com" in refused.stderr
