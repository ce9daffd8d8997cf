"""What destconfig writes beside a file of the gateway's form: new bounce profiles, a CSV, a file in a LIST's place."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from sim.cli.destconfig import edit
from sim.formats.bounce_profiles import read_bounce_profiles, with_profiles
from sim.formats.destconfig_csv import csv_text
from sim.formats.destination_controls import Policy
from sim.policy.destinations import Entry
from sim.policy.retry import BounceProfile
from sim.terms import Setting
from tests.cli.test_destconfig import NOTE, NOTE_LIST, OURS, PROFILES, TABLE, Typed, typed
from tests.repository.tree import ROOT


@pytest.fixture(name="ours")
def ours_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("ours.ini")
    path.write_text(OURS)
    return path


NEW_PROFILE = ("new", "a.example", *"nnnnny")
VALUES = ("Slow", "20", "14400", "90", "900")
SLOW = BounceProfile(name="Slow", max_retries=20, max_queue_time_s=14_400, initial_wait_s=90, max_wait_s=900)
PROFILE_PROMPTS = """\
What is the name of the new bounce profile?
[]> Slow

How many times may Slow try a message again?
[100]> 20

How many seconds may a message stay in the queue?
[259200]> 14400

How many seconds pass before the first retry of a message?
[60]> 90

How many seconds may pass between two tries at most?
[3600]> 900
"""


def test_a_new_profile_is_asked_for_and_written_beside_the_file(ours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    beside = Path("ours.bounce_profiles.toml")
    ours.write_text("[DEFAULT]\n")
    answers = (*NEW_PROFILE, "2", *VALUES, "n")
    edit("ours.ini", None, False, Typed(*answers, "", "y"))
    assert not beside.exists()
    assert typed(ours, *answers, profiles=None).entries[0].bounce_profile == "Slow"
    shown = capsys.readouterr().out
    assert PROFILE_PROMPTS in shown
    assert f"COMMIT writes the bounce profile Slow to {beside}." in shown
    assert f"Written: ours.ini\nWritten: {beside}; to other commands it is --profiles {beside}\n" in shown
    assert read_bounce_profiles(beside, strict=True).profiles == {"Slow": SLOW}
    assert Policy.read(ours, profiles=beside).profile("Slow") == SLOW
    before = beside.read_text()
    policy = typed(ours, "new", "b.example", *"nnnnny", "2", "n", "edit", "a.example", *[""] * 8, profiles=None)
    assert [entry.bounce_profile for entry in policy.entries] == ["Slow", "Slow"]
    assert f"Its bounce profiles are those of {beside}." in capsys.readouterr().out
    assert beside.read_text() == before


def test_a_new_profile_is_added_to_the_file_that_was_given(ours: Path) -> None:
    own = Path(shutil.copy(PROFILES, "own.toml"))
    taken = ("import", str(TABLE), "new", "c.example", *"nnnnnny", "5", "n")
    policy = typed(ours, *NEW_PROFILE, "5", *VALUES, "n", *taken, profiles=str(own))
    assert policy.profiles["Slow"] == SLOW
    assert policy.entries[-1].bounce_profile == "Slow"
    assert own.read_text() == with_profiles(Path(PROFILES).read_text(), [SLOW])
    assert [p.name for p in Path().glob("*.toml")] == ["own.toml"]


def test_a_long_first_wait_is_offered_as_the_longest(ours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed(ours, *NEW_PROFILE, "3", "Slow", "", "", "7200.5", "", "n", profiles=None)
    assert "[7200.5]> \n" in capsys.readouterr().out
    [slow] = read_bounce_profiles("ours.bounce_profiles.toml").profiles.values()
    assert (slow.initial_wait_s, slow.max_wait_s, slow.max_retries) == (7_200.5, 7_200.5, 100)


@pytest.mark.usefixtures("ours")
def test_a_profile_no_entry_names_any_more_is_no_change() -> None:
    edit("ours.ini", None, False, Typed(*NEW_PROFILE, "3", *VALUES, "n", "delete", "a.example", ""))
    assert sorted(p.name for p in Path().iterdir()) == ["ours.ini"]


def test_a_profile_that_was_only_named_gets_values_as_a_new_one(ours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = ("edit", "bank.example", *[""] * 9)
    typed(ours, *same, "", "", "", profiles=None)
    assert "Short_Life retries as Default does, until it is named as a new one" in capsys.readouterr().out
    assert ours.read_text() == OURS
    policy = typed(ours, *same, "", "3", "Short_Life", "1", "", "", "", "", profiles=None)
    assert policy.entries[0].bounce_profile == "Short_Life"
    assert read_bounce_profiles("ours.bounce_profiles.toml").profiles["Short_Life"].max_retries == 1
    assert ours.read_text() == OURS


@pytest.mark.parametrize("fault", ["changed", "folder"])
def test_both_files_are_written_or_none(ours: Path, capsys: pytest.CaptureFixture[str], fault: str) -> None:
    beside = Path("ours.bounce_profiles.toml")

    class Meanwhile(Typed):
        def next(self, prompt: str) -> str:
            answer = super().next(prompt)
            if answer == "commit" and fault == "changed":
                beside.write_text("[Theirs]\n")
            return answer

    if fault == "folder":
        beside.mkdir()
    edit("ours.ini", None, False, Meanwhile(*NEW_PROFILE, "3", *VALUES, "n", "commit", "", "y"))
    assert f"= '{beside}'; allowed: " in capsys.readouterr().out
    assert ours.read_text() == OURS
    assert not list(Path().glob(".*"))
    assert beside.is_dir() or beside.read_text() == "[Theirs]\n"


def test_a_csv_is_edited_and_stays_one(ours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = Path("t.csv")
    table.write_text("# of May\ndomain,tls\nbank.example,req\n")
    policy = typed(table, "new", "a.example", *"nnnnnnn", profiles=None)
    assert [(e.domain, e.tls) for e in policy.entries] == [("bank.example", Setting.REQUIRED), ("a.example", None)]
    assert table.read_text() == csv_text(policy)
    assert "t.csv is a CSV; COMMIT keeps no comments and no columns that it does not know." in capsys.readouterr().out
    before = table.read_text()
    edit("t.csv", None, False, Typed("setup", "own", "y", "commit", "export", "new.ini", "", "y"))
    shown = capsys.readouterr().out
    assert "'t.csv'; allowed: a file that can say certificate, send_tls_req_alert, for which a CSV has no col" in shown
    assert table.read_text() == before
    assert Policy.read("new.ini").global_value("certificate") == "own"
    typed(Path("new.csv"), *NOTE, "import", "ours.ini", "export", "copy.csv", "clear", "y", "import", "t.csv")
    assert Path("new.csv").read_text() == before
    assert Policy.read("copy.csv", profiles=PROFILES) == Policy.read(ours, profiles=PROFILES)
    assert "A CSV has no column for certificate, x_owner, comments." in capsys.readouterr().out


def test_a_list_becomes_a_file_at_commit(ours: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pasted = Path("list.txt")
    pasted.write_text(NOTE_LIST)
    edit("list.txt", None, False, Typed("list", ""))
    assert pasted.read_text() == NOTE_LIST
    policy = typed(pasted, profiles=None)
    assert policy.entries == (Entry(domain="example.com", tls=Setting.REQUIRED),)
    assert pasted.read_text() == policy.to_text()
    assert "list.txt is a LIST; COMMIT writes a Destination Controls file in its place." in capsys.readouterr().out
    assert ours.read_text() == OURS


def test_the_page_shows_the_prompts_and_a_csv_that_is_read() -> None:
    page = (ROOT / "docs" / "destconfig.md").read_text(encoding="utf-8")
    assert f"```text\n{PROFILE_PROMPTS}```" in page
    [shown] = re.findall(r"^```csv\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    policy = Policy.parse(shown, profiles={"Short_Life": BounceProfile(name="Short_Life")}, strict=True)
    assert csv_text(policy) == shown
    assert policy.entries[0].tls is Setting.REQUIRED_VERIFY
