"""The dialogue of destconfig: the tech note's own, every command, every answer, and every way to leave."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given

from sim.cli import main
from sim.cli.destconfig import edit
from sim.cli.destconfig_commands import COMMANDS, open_session
from sim.cli.dialogue import EndOfAnswersError
from sim.data import example
from sim.errors import PolicyError
from sim.formats.destination_controls import Policy
from sim.formats.destination_keys import NOTE as NOTE_OF_SPELLINGS
from sim.policy.destinations import SHIPPED, Entry
from sim.terms import IpSortPreference, LimitApply, LimitType, Setting
from tests.formats.test_destination_controls import POLICIES
from tests.repository.tree import ROOT

TABLE, PROFILES = example("destinations.ini"), str(example("bounce_profiles.toml"))
OURS = """\
# ours
[DEFAULT]
table_tls = on   ; since May
certificate = outbound
x_owner = mail team

# the bank
[bank.example]
table_tls = require_verify
max_host_concurrency = 20
limit_type = MXIP
limit_apply = system
bounce_profile = Short_Life
"""
#: The answers of tech note 118955 behind its prompts, in order; its paste has the menu and NEW twice.
NOTE_PASTED_TWICE = ("new", "example.com")
NOTE = ("new", "example.com", "N", "N", "N", "Y", "3", "N", "N", "N", "list")
NOTE_PROMPTS = """\
Enter the domain you wish to configure.
[]> example.com

Do you wish to configure a concurrency limit for example.com? [Y]> N

Do you wish to apply a messages-per-connection limit to this domain? [N]> N

Do you wish to apply a recipient limit to this domain? [N]> N

Do you wish to apply a specific TLS setting for this domain? [N]> Y

Do you want to use TLS support?
1. No
2. Preferred
3. Required
4. Preferred - Verify
5. Required - Verify
6. Required - Verify Hosted Domains
[1]> 3

You have chosen to enable TLS. Please use the 'certconfig' command to
ensure that there is a valid certificate configured.

Do you wish to apply a specific bounce verification
address tagging setting for this domain? [N]> N

Do you wish to apply a specific bounce profile to this domain? [N]> N

Do you wish to apply a specific IP sort preference to this domain? [N]> N

There are currently 2 entries configured.

Choose the operation you want to perform:
- SETUP - Change global settings.
- NEW - Create a new entry.
- EDIT - Modify an entry.
- DELETE - Remove an entry.
- DEFAULT - Change the default.
- LIST - Display a summary list of all entries.
- DETAIL - Display details for one destination or all entries.
- CLEAR - Remove all entries.
- IMPORT - Import tables from a file.
- EXPORT - Export tables to a file.
"""
NOTE_LIST = """\
             Rate               Bounce        Bounce     IP Version
Domain       Limiting  TLS      Verification  Profile    Preference
===========  ========  =======  ============  =========  ============
example.com  Default   Req      Default       Default    Default
(Default)    On        Off      Off           (Default)  Prefer IPv6
"""


class Typed:
    """Somebody who types these answers and then leaves, with Ctrl-D, or with Ctrl-C in the place of one of them."""

    def __init__(self, *answers: str, again: bool = True, interrupt_at: int = -1) -> None:
        self.answers = answers
        self.again = again
        self.interrupt_at = interrupt_at
        self.given = 0

    def next(self, prompt: str) -> str:
        if self.given == self.interrupt_at:
            raise KeyboardInterrupt
        if self.given == len(self.answers):
            raise EndOfAnswersError
        self.given += 1
        print(prompt + self.answers[self.given - 1])
        return self.answers[self.given - 1]

    def where(self) -> str:
        return f"answer {self.given}"


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("ours.ini")
    path.write_text(OURS)
    return path


def typed(path: Path, *answers: str, dane: bool = False, profiles: str | None = PROFILES) -> Policy:
    """Type answers and COMMIT, and read what was written."""
    edit(str(path), profiles, dane, Typed(*answers, "commit", ""))
    return Policy.read(path, profiles=profiles)


def piped(*arguments: str, answers: str) -> Result:
    return CliRunner().invoke(main, ("destconfig", *arguments), input=answers)


def test_the_dialogue_of_the_tech_note_gives_its_entry_and_its_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.ini"
    policy = typed(path, *NOTE)
    assert policy.default == SHIPPED
    assert policy.entries == (Entry(domain="example.com", tls=Setting.REQUIRED),)
    shown = capsys.readouterr().out
    assert NOTE_PROMPTS in shown
    assert f"\n[]> list\n\n{NOTE_LIST}\n" in shown


def test_the_tech_note_typed_as_it_was_pasted_gives_the_same(tmp_path: Path) -> None:
    assert typed(tmp_path / "twice.ini", *NOTE_PASTED_TWICE, *NOTE) == typed(tmp_path / "once.ini", *NOTE)


def test_a_pipe_gives_the_same_and_shows_what_was_answered(tmp_path: Path) -> None:
    result = piped(str(tmp_path / "x.ini"), answers="\n".join([*NOTE, "COMMIT"]) + "\n")
    assert result.exit_code == 0, result.output
    assert NOTE_PROMPTS in result.stdout
    assert NOTE_LIST in result.stdout
    assert Policy.read(tmp_path / "x.ini") == typed(tmp_path / "y.ini", *NOTE, profiles=None)


def test_a_table_that_was_not_there_is_the_shipped_one_and_created_at_commit_only(tmp_path: Path) -> None:
    path = tmp_path / "x.ini"
    edit(str(path), None, False, Typed("list", ""))
    assert not path.exists()
    assert typed(path, profiles=None) == Policy.shipped()


# What somebody types to NEW example.com, and the fields it gets; "" takes what stands in brackets.
ANSWERS: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    (
        ("", "", "", "", "", "", "", "", "", ""),
        {"max_host_concurrency": 500, "limit_type": LimitType.HOST, "limit_apply": LimitApply.SYSTEM},
    ),
    (
        ("y", "1000", "y", "1", "y", "1", "1000000000", "2", "2", "n", "n", "n", "n"),
        {
            "max_host_concurrency": 1000,
            "max_messages_per_connection": 1,
            "recipient_minutes": 1,
            "recipient_limit": 10**9,
            "limit_type": LimitType.MXIP,
            "limit_apply": LimitApply.VG,
        },
    ),
    (
        ("n", "yes", "", "no", "n", "n", "n", "n"),
        {"max_messages_per_connection": 50},
    ),
    (
        ("n", "n", "y", "", "7", "", "", "n", "n", "n", "n"),
        {
            "recipient_minutes": 60,
            "recipient_limit": 7,
            "limit_type": LimitType.HOST,
            "limit_apply": LimitApply.SYSTEM,
        },
    ),
    (("n", "n", "n", "y", "", "n", "n", "n"), {"tls": Setting.PREFERRED}),
    *[((*"nnny", str(s.value + 1), *"nnn"), {"tls": s}) for s in Setting],
    (("n", "n", "n", "n", "y", "", "n", "n"), {"bounce_validation": False}),
    (("n", "n", "n", "n", "y", "y", "n", "n"), {"bounce_validation": True}),
    (("n", "n", "n", "n", "n", "y", "", "n"), {"bounce_profile": "Default"}),
    (("n", "n", "n", "n", "n", "y", "2", "n"), {"bounce_profile": "Short_Life"}),
    (("n", "n", "n", "n", "n", "y", "5", "_New", "", "", "", "", "n"), {"bounce_profile": "_New"}),
    (("n", "n", "n", "n", "n", "y", "5", "short_life", "n"), {"bounce_profile": "Short_Life"}),
    (("n", "n", "n", "n", "n", "n", "y", ""), {"ip_sort_pref": IpSortPreference.PREFER_V6}),
    *[((*"nnnnnny", str(p.value + 1)), {"ip_sort_pref": p}) for p in IpSortPreference],
]


@pytest.mark.parametrize(("answers", "fields"), ANSWERS, ids=[" ".join(a).strip() or "enter" for a, _ in ANSWERS])
def test_new_asks_in_order_and_takes_what_stands_in_brackets(
    ours: Path, answers: tuple[str, ...], fields: dict[str, Any]
) -> None:
    # A new profile is written to the file of profiles.
    copied = shutil.copy(PROFILES, "own.toml")
    policy = typed(ours, "new", "Example.COM", *answers, profiles=copied)
    assert policy.entries[1] == Entry(domain="example.com", **fields)
    assert ours.read_text().removeprefix(f"{NOTE_OF_SPELLINGS}\n").startswith(OURS)


def test_dane_is_asked_where_it_is_wanted_or_in_use(ours: Path) -> None:
    with_dane = ("n", "n", "n", "y", "3", "y", "3", "n", "n", "n")
    policy = typed(ours, "new", "a.example", *with_dane, dane=True)
    assert (policy.entries[1].tls, policy.entries[1].dane_option) == (Setting.REQUIRED, "mandatory")
    policy = typed(ours, "edit", "a.example", "", "", "", "", "", "", "2", "", "", "")
    assert (policy.entries[1].tls, policy.entries[1].dane_option) == (Setting.REQUIRED, "opportunistic")


def test_edit_offers_what_the_entry_has_and_keeps_the_rest_of_the_file(
    ours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(ours, "edit", "BANK.example", "", "30", "", "", "", "", "", "6", "", "", "", "")
    after = OURS.replace("= 20", "= 30").replace("= require_verify", "= require_verify_hosted")
    assert ours.read_text().endswith(after)
    shown = capsys.readouterr().out
    assert "bank.example? [Y]> \n" in shown
    assert "[20]> 30" in shown
    assert "[5]> 6" in shown
    assert "certconfig" not in shown


@given(POLICIES)
def test_edit_with_enter_alone_changes_nothing(tmp_path_factory: pytest.TempPathFactory, policy: Policy) -> None:
    path = tmp_path_factory.mktemp("edit") / "d.ini"
    path.write_text(policy.to_text(), encoding="utf-8", newline="")
    before = path.read_bytes()
    for command in (*(("edit", entry.domain) for entry in policy.entries), ("default",)):
        session = open_session(path, None, True, Typed(*command, *[""] * 30))
        session.run()
        assert session.policy == Policy.read(path)
        assert not session.changed
    assert path.read_bytes() == before


def test_no_takes_an_own_value_away(ours: Path) -> None:
    policy = typed(ours, "edit", "bank.example", "n", "n", "n", "n", "n", "n", "n")
    assert policy.entries == (Entry(domain="bank.example"),)
    assert ours.read_text() == OURS.split("table_tls = require")[0]


def test_default_is_asked_for_values_alone(ours: Path) -> None:
    answers = ("400", "", "y", "5", "100", "2", "", "3", "y", "4")
    policy = typed(ours, "default", *answers)
    assert policy.default == replace(
        SHIPPED, tls=Setting.REQUIRED, max_host_concurrency=400, recipient_minutes=5, recipient_limit=100,
        limit_type=LimitType.MXIP, bounce_validation=True, ip_sort_pref=IpSortPreference.REQUIRE_V4,
    )  # fmt: skip
    assert "table_tls = require   ; since May\n" in ours.read_text()
    assert typed(ours, "default", "", "", "n", *[""] * 5).default.recipient_limit == 0


@pytest.mark.parametrize("text", [OURS, "", OURS.replace("\n", "\r\n"), "[a.example]\ntable_tls = on\n"])
def test_setup_changes_the_global_keys_and_nothing_else(tmp_path: Path, text: str) -> None:
    path = tmp_path / "d.ini"
    if text:
        path.write_bytes(text.encode())
    policy = typed(path, "setup", "own-2027", "y")
    assert (policy.global_value("certificate"), policy.tls_alert) == ("own-2027", True)
    assert policy == Policy.parse(text or Policy().to_text(), profiles=PROFILES)
    lines = path.read_bytes().splitlines()
    assert not set(text.encode().splitlines()) - set(lines) - {b"certificate = outbound"}
    before = path.read_bytes()
    assert typed(path, "setup", "", "").global_value("certificate") == "own-2027"
    assert path.read_bytes() == before


@pytest.mark.parametrize(("certificate", "warned"), [("", True), ("demo", True), ("own", False)])
def test_who_has_no_certificate_of_his_own_is_warned(
    ours: Path, capsys: pytest.CaptureFixture[str], certificate: str, warned: bool
) -> None:
    ours.write_text(OURS.replace("certificate = outbound", f"certificate = {certificate}"))
    typed(ours, "default", "", "", "", "", "", "2", "", "")
    assert ("'certconfig'" in capsys.readouterr().out) == warned
    typed(ours, "default", "", "", "", "", "", "1", "", "")
    assert "'certconfig'" not in capsys.readouterr().out


def test_delete_and_clear_take_entries_away(ours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours.write_text(f"{OURS}[a.example]\n[b.example]\n")
    assert [e.domain for e in typed(ours, "delete", "A.EXAMPLE").entries] == ["bank.example", "b.example"]
    assert len(typed(ours, "clear", "").entries) == 2
    policy = typed(ours, "clear", "y")
    assert (policy.entries, policy.default.tls) == ((), Setting.PREFERRED)
    capsys.readouterr()
    typed(ours, "clear")
    assert "There is no entry but DEFAULT" in capsys.readouterr().out


def test_detail_tells_every_field_and_what_is_inherited(ours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed(ours, "detail", "bank.example", "detail", "default", "detail", "")
    shown = capsys.readouterr().out
    assert shown.count("TLS: Required - Verify\nDANE: none (Default)\nConnections at once: 20\n") == 2
    assert shown.count("Domain: DEFAULT\nTLS: Preferred\n") == 2
    assert shown.count("IP version preference: Prefer IPv6\nCertificate: outbound\n") == 2
    assert "Limits count over: MXIP\n" in shown


def test_import_replaces_the_table_and_export_writes_it(ours: Path) -> None:
    policy = typed(ours, "import", str(TABLE), "export", "copy.ini")
    assert policy == Policy.read(TABLE, profiles=PROFILES)
    assert Path("copy.ini").read_bytes() == ours.read_bytes() == TABLE.read_bytes()
    typed(ours, "clear", "y", "export", "copy.ini", "n", "export", "other.ini", "export", "", "import", "")
    assert Path("copy.ini").read_bytes() == TABLE.read_bytes()
    assert Policy.read("other.ini").entries == ()
    typed(ours, "export", "copy.ini", "y")
    assert Path("copy.ini").read_bytes() == ours.read_bytes()


def test_a_pasted_list_is_imported_and_says_what_it_lacks(ours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("list.txt").write_text(NOTE_LIST)
    policy = typed(ours, "import", "list.txt")
    assert policy.entries == (Entry(domain="example.com", tls=Setting.REQUIRED),)
    assert "2 guessed; 1 of these could change the answer" in capsys.readouterr().out


# A wrong answer where a command leads to, and what is told; the next answer is taken.
WRONG: list[tuple[tuple[str, ...], str]] = [
    (("lst",), "operation = 'lst'; allowed: SETUP, NEW, EDIT, DELETE, DEFAULT, LIST, DETAIL, CLEAR, IMPORT, EXPORT"),
    (("new", "not a domain"), "domain = 'not a domain'; allowed: example.com, .example.com"),
    (("new", "Bank.example"), "domain = 'Bank.example'; allowed: one without an entry, or nothing, to go back; EDIT"),
    (("new", "default"), "domain = 'default'; allowed: one without an entry, or nothing, to go back; DEFAULT"),
    (("edit", "bnk.example"), "or nothing, to go back. Did you mean 'bank.example'?"),
    (("delete", "none.example.net"), "domain = 'none.example.net'; allowed: a destination with an entry"),
    (("delete", "default"), "domain = 'default'; allowed: a destination with an entry"),
    (("detail", "c.example"), "domain = 'c.example'; allowed: a destination with an entry, ALL, DEFAULT"),
    (("import", "none.ini"), "file = 'none.ini'; allowed: a file that exists"),
    (("import", "wrong.ini"), "wrong.ini:2: [DEFAULT] table_tls = 'x'; allowed: off, on"),
    (("export", "./ours.ini"), "file = './ours.ini'; allowed: another file"),
    (("setup", "a=b"), "certificate = 'a=b'; allowed: a name of letters"),
    (("setup", "", "maybe"), "answer = 'maybe'; allowed: Y, N"),
    (("clear", "2"), "answer = '2'; allowed: Y, N"),
    (("new", "a.example", "y", "0"), "max_host_concurrency = '0'; allowed: a whole number, 1..1000 connections"),
    (("new", "a.example", "y", "1001"), "max_host_concurrency = '1001'; allowed:"),
    (("new", "a.example", "n", "y", "-1"), "max_messages_per_connection = '-1'; allowed: a whole number, 1..1000 mess"),
    (("new", "a.example", "n", "y", "1e2"), "max_messages_per_connection = '1e2'; allowed:"),
    (("new", "a.example", "n", "n", "y", "61"), "recipient_minutes = '61'; allowed: a whole number, 1..60 minutes"),
    (("new", "a.example", "n", "n", "y", "", ""), "recipient_limit = ''; allowed: a whole number, 0..1000000000 recip"),
    (("new", "a.example", "n", "n", "y", "", "1000000001"), "recipient_limit = '1000000001'; allowed:"),
    (("new", "a.example", "n", "n", "n", "y", "7"), "answer = '7'; allowed: a number, 1 to 6"),
    (("new", "a.example", "n", "n", "n", "y", "0"), "answer = '0'; allowed: a number, 1 to 6"),
    (("new", "a.example", "n", "n", "n", "y", "²"), "answer = '²'; allowed: a number, 1 to 6"),
    (
        ("new", "a.example", *"nnnnny", "5", "2fast"),
        "bounce_profile = '2fast'; allowed: a name that starts with a lett",
    ),
    (("new", "a.example", *"nnnnny", "5", ""), "bounce_profile = ''; allowed: a name that starts with a letter"),
    (
        ("new", "a.example", *"nnnnny", "5", "P", "-1"),
        "max_retries = '-1'; allowed: a whole number, 0..1000000000 retr",
    ),
    (("new", "a.example", *"nnnnny", "5", "P", "2.5"), "max_retries = '2.5'; allowed: a whole number, 0..1000000000"),
    (("new", "a.example", *"nnnnny", "5", "P", "", "3d"), "max_queue_lifetime = '3d'; allowed: 0..1000000000 s"),
    (("new", "a.example", *"nnnnny", "5", "P", "", "", "0"), "initial_retry = '0'; allowed: 1..1000000000 s"),
    (("new", "a.example", *"nnnnny", "5", "P", "", "", "", "nan"), "max_retry_timeout = 'nan'; allowed: 1..1000000000"),
    (
        ("new", "a.example", *"nnnnny", "5", "P", "", "", "90", "60"),
        "max_retry_timeout = '60'; allowed: 1..1000000000 s, and not below initial_retry, which is 90 s",
    ),
    (("new", "a.example", *"nnnnnny", "5"), "answer = '5'; allowed: a number, 1 to 4"),
]


@pytest.mark.parametrize(("answers", "told"), WRONG, ids=[" ".join(a) for a, _ in WRONG])
def test_a_wrong_answer_is_asked_again_at_a_terminal_and_ends_a_pipe(
    ours: Path, capsys: pytest.CaptureFixture[str], answers: tuple[str, ...], told: str
) -> None:
    Path("wrong.ini").write_text("[DEFAULT]\ntable_tls = x\n")
    asked = [_last_prompt(capsys, *answers[:-1]), _last_prompt(capsys, *answers)]
    assert asked[0] == asked[1]
    result = piped("ours.ini", "--profiles", PROFILES, answers="\n".join(answers) + "\n" * 99)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"tlssim: standard input, line {len(answers)}: ")
    assert told in result.stderr
    assert ours.read_text() == OURS


def _last_prompt(capsys: pytest.CaptureFixture[str], *answers: str) -> str:
    """Type answers and then one that fits nowhere; return what it was an answer to."""
    with suppress(PolicyError):
        edit("ours.ini", PROFILES, False, Typed(*answers, "!"))
    [*_, last] = [line for line in capsys.readouterr().out.splitlines() if line.endswith("]> !")]
    return last


def test_what_cannot_be_written_is_told_and_the_dialogue_goes_on(
    ours: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(ours, "export", "none/x.ini", "delete", "bank.example")
    assert "output file = 'none/x.ini'; allowed: a file that can be written" in capsys.readouterr().out
    result = piped("ours.ini", answers="export\nnone/x.ini\n")
    assert result.exit_code == 2
    assert "output file = 'none/x.ini'" in result.stderr


def test_a_file_somebody_else_changed_is_not_overwritten(ours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Meanwhile(Typed):
        def next(self, prompt: str) -> str:
            answer = super().next(prompt)
            if answer == "commit":
                ours.write_text(f"{OURS}# theirs\n")
            return answer

    edit("ours.ini", None, False, Meanwhile("clear", "y", "commit", "", "y"))
    assert "file = 'ours.ini'; allowed: a file as it was when it was read" in capsys.readouterr().out
    assert ours.read_text() == f"{OURS}# theirs\n"


def test_leaving_with_changes_is_asked_and_no_stays(ours: Path) -> None:
    edit("ours.ini", None, False, Typed("clear", "y", "", "y"))
    assert ours.read_text() == OURS
    edit("ours.ini", None, False, Typed("clear", "y", "", "", "COMMIT", ""))
    assert "[bank" not in ours.read_text()


def test_what_was_undone_is_no_change(ours: Path) -> None:
    edit("ours.ini", None, False, Typed("new", "a.example", *"nnnnnnn", "delete", "a.example", ""))
    edit("ours.ini", None, False, Typed("commit", "commit"))
    assert ours.read_text() == OURS


@pytest.mark.parametrize(
    ("answers", "status", "told"),
    [
        ("", 0, ""),
        ("list\ndetail\n\n", 0, ""),
        ("clear\ny\ncommit\n", 0, ""),
        ("clear\ny\n", 2, "the answers ended without COMMIT; ours.ini is as it was"),
        ("clear\ny\n\n", 2, "the answers ended without COMMIT; ours.ini is as it was"),
        ("new\na.example\nn\n", 2, "the answers ended in the middle of NEW; ours.ini is as it was"),
        ("setup\n", 2, "the answers ended in the middle of SETUP; ours.ini is as it was"),
        ("clear\ny\ncommit\nnew\na.example\n", 2, "what was changed since the last COMMIT is lost"),
    ],
)
def test_a_pipe_may_end_where_nothing_is_lost(ours: Path, answers: str, status: int, told: str) -> None:
    result = piped("ours.ini", answers=answers)
    assert result.exit_code == status
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == bool(status)
    assert ("[bank" not in ours.read_text()) == ("commit" in answers)


EVERY_COMMAND = (
    *("setup", "own", "y"),
    *("new", "a.example", "y", "5", "y", "6", "y", "7", "8", "1", "1", "y", "3", "y", "1"),
    *("y", "y", "y", "5", "Own", "3", "600", "60", "120", "y", "2"),
    *("edit", "bank.example", *[""] * 13, "delete", "a.example", "default", *[""] * 9),
    *("list", "detail", "all", "clear", "y", "import", "other.ini", "export"),
)


def test_ctrl_c_at_each_prompt_leaves_the_file_as_it_was(ours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("other.ini").write_text("[DEFAULT]\ntable_tls = on\n")
    before = sorted(p.name for p in Path().iterdir())
    for at in range(len(EVERY_COMMAND) + 1):
        with pytest.raises(KeyboardInterrupt):
            edit("ours.ini", PROFILES, True, Typed(*EVERY_COMMAND, interrupt_at=at))
        assert ours.read_text() == OURS
    shown = capsys.readouterr().out
    assert "allowed" not in shown
    assert {name.lower() for name in COMMANDS} <= set(re.findall(r"^\[\]> (\w+)$", shown, re.MULTILINE))
    assert sorted(p.name for p in Path().iterdir()) == before


def test_ctrl_c_after_a_commit_says_what_was_written(ours: Path) -> None:
    answers = ("clear", "y", "commit", "export", "copy.ini", "new")
    with pytest.raises(click.Abort, match=r"^interrupted; written before that: ours\.ini, copy\.ini$"):
        edit("ours.ini", None, False, Typed(*answers, interrupt_at=6))
    assert ours.read_text() == Path("copy.ini").read_text()


def test_at_a_real_terminal_answers_are_typed_and_ctrl_c_ends_with_130(ours: Path) -> None:
    main_end, their_end = pty.openpty()
    tlssim = str(Path(sys.executable).with_name("tlssim"))
    command = [tlssim, "destconfig", "ours.ini"]
    with subprocess.Popen(
        command, stdin=their_end, stdout=their_end, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=_take_terminal(their_end), text=True,
    ) as running:  # fmt: skip
        os.close(their_end)
        _until(main_end, "[]> ")
        os.write(main_end, b"lst\n")
        assert "Did you mean 'LIST'?" in _until(main_end, "[]> ")
        os.write(main_end, b"delete\n")
        _until(main_end, "[]> ")
        os.write(main_end, b"bank.example\n")
        assert "COMMIT" in _until(main_end, "[]> ")
        # Between its prompt and its read Python's input() does not see the signal; nobody types that fast.
        for _ in range(20):
            time.sleep(0.5)
            os.write(main_end, b"\x03")
            with suppress(subprocess.TimeoutExpired):
                running.wait(1)
                break
        _, err = running.communicate(timeout=30)
    os.close(main_end)
    assert running.returncode == 130
    assert err.strip() == "tlssim: interrupted; nothing was written"
    assert ours.read_text() == OURS


def _take_terminal(terminal: int) -> Callable[[], object]:
    import fcntl
    import termios

    return lambda: fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def _until(terminal: int, end: str) -> str:
    shown = ""
    while not shown.endswith(end):
        shown += os.read(terminal, 1).decode()
    return shown


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("wrong.csv", "domain,tls\na.example,x\n", "wrong.csv:2: [a.example] tls = 'x'; allowed: Off, On"),
        ("wrong.ini", "[DEFAULT]\ntable_tls = x\n", "wrong.ini:2: [DEFAULT] table_tls = 'x'"),
        ("none/new.ini", None, "file = 'none/new.ini'; allowed: a file in a folder that exists"),
        (".", None, "file = '.'; allowed: a file, and this is a folder"),
    ],
)
def test_what_is_no_table_is_refused_before_anything_is_asked(
    ours: Path, name: str, text: str | None, told: str
) -> None:
    if text is not None:
        Path(name).write_text(text)
    result = piped(name, answers="commit\n")
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
    assert ours.read_text() == OURS


@pytest.mark.usefixtures("ours")
def test_a_pipe_with_bytes_that_are_no_text_is_refused() -> None:
    result = CliRunner().invoke(main, ("destconfig", "ours.ini"), input=b"list\nnew\n\xff\xfe\n")
    assert result.exit_code == 2
    assert "standard input, line 3" in result.stderr


@pytest.mark.usefixtures("ours")
def test_a_table_with_lines_that_were_guessed_says_so_first() -> None:
    assert "could change the answer" in piped("ours.ini", answers="").stdout.splitlines()[0]


@pytest.mark.usefixtures("ours")
def test_the_page_shows_what_the_code_prints() -> None:
    page = (ROOT / "docs" / "destconfig.md").read_text(encoding="utf-8")
    [command] = re.findall(r"^printf '(.*?)' \| tlssim destconfig (\S+)$", page, re.MULTILINE | re.DOTALL)
    answers = command[0].replace("\\n", "\n").replace("\\\n", "")
    [shown] = re.findall(r"^```text\n(There is no .*?)^```$", page, re.MULTILINE | re.DOTALL)
    result = piped(command[1], answers=answers)
    assert result.exit_code == 0, result.output
    menu = re.compile(r"(?<=perform:\n)(?:- .*\n)+")
    first, *others = menu.findall(result.stdout)
    printed = result.stdout.replace(first, "@", 1)
    printed = menu.sub("...\n", printed).replace("@", first, 1)
    assert len(others) >= 3
    assert printed.rstrip() == shown.rstrip()
