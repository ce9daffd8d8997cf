"""``tlssim whatif``: what it prints, writes and refuses, at a small size."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pandas as pd
import pytest

from sim.cli.whatif import _pairing_sentence
from tests.cli.test_commands import SMALL, TABLE, document, printed, run

if TYPE_CHECKING:
    from sim.studies.whatif_result import WhatIfResult

ONE = (*SMALL, "--replications", "1", "--jobs", "1")
FILES = {"directions.csv", "kinds.csv", "measures.csv", "by_domain.csv", "by_entry.csv", "by_provider.csv",
         "notices.csv", "rollback.csv", "patterns.csv", "whatif.png", "meta.json"}  # fmt: skip


def test_the_first_line_is_the_sentence_and_the_files_hold_the_tables(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    told = printed("whatif", *ONE, "--set", "*=required", "--out", str(out))
    assert told.startswith("Requiring TLS for all mail keeps ")
    assert {p.name for p in out.iterdir()} == FILES
    with (out / "directions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    shown = [row for row in rows if float(row["messages"])]
    assert sum(line.startswith(("in clear  ", "bounced  ")) for line in told.splitlines()) == len(shown)


def test_one_document_has_every_table() -> None:
    told = document("whatif", *ONE, "--set", "*=required")
    assert told["sentence"].startswith("Requiring TLS for all mail")
    assert {"directions", "measures", "by_domain", "by_entry", "notices", "rollback", "deadline"} <= set(told)
    assert sum(row["share"] for row in told["directions"]) == pytest.approx(1)
    [alert] = [row for row in told["notices"] if row["channel"] == "TLS alert"]
    assert alert["switched_on"] is False


def test_the_other_end_of_the_unmeasured_figure_is_the_second_sentence() -> None:
    told = " ".join(printed("whatif", *ONE, "--set", "*=required_verify").split())
    first, second = told.split(" If every certificate that names its MX host carried the PTR name as its CN: ")
    assert first.startswith("Requiring verified TLS for all mail")
    assert first.count(". ") == 0
    assert second.startswith("requiring verified TLS for all mail")
    assert "'tlssim modes'" not in told
    answer = document("whatif", *ONE, "--set", "*=required_verify")["other_end"]
    assert answer["cn_is_ptr"] is True
    assert answer["sentence"].startswith("Requiring verified TLS")
    assert document("whatif", *ONE, "--set", "*=required")["other_end"] is None


def test_an_alert_that_the_table_turns_on_is_on() -> None:
    told = document("whatif", *ONE, "--policy", TABLE, "--set", "*=required_verify")
    assert [row["switched_on"] for row in told["notices"]] == [True, False, True, None]


def test_a_table_against_another_one() -> None:
    told = printed("whatif", *ONE, "--to-policy", TABLE)
    assert told.startswith("The table destinations.ini keeps ")
    assert "yahoo-mail.example" in told


def test_what_changes_nothing_says_so() -> None:
    told = printed("whatif", *ONE, "--set", "*.gov=required_verify")
    assert told.startswith("Requiring verified TLS for *.gov changes nothing: every message goes exactly as it goes")
    assert "*.gov (new entry) matches none of the 40 destinations." in told
    assert "Rollback" not in told


def test_a_pattern_names_the_entries_that_keep_out_of_it() -> None:
    told = printed("whatif", *ONE, "--policy", TABLE, "--set", "*.gov.example=required_verify")
    assert "more specific entries still rule 1 destination of it (" in " ".join(told.split())
    assert "): agency-37.gov.example." in " ".join(told.split())


def test_the_same_command_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        printed("whatif", *ONE, "--set", "*=required", "--out", str(tmp_path / name))
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def scenario_file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "s.toml"
    path.write_text(f"[population]\ndomains = 40\n[workload]\nmessages = 200\n{text}")
    return str(path)


JOBS = ("--replications", "1", "--jobs", "1")
LATER = '[[timeline]]\nevent = "policy"\nsetting = "required"\nat_h = 4\n'


def test_a_run_that_ends_early_gives_no_verdict_on_rollback(tmp_path: Path) -> None:
    path = scenario_file(tmp_path, "")
    Path(path).write_text(f"until_h = 24\n{Path(path).read_text()}")
    told = " ".join(printed("whatif", path, *JOBS, "--set", "*=required_verify").split())
    assert "no mail is lost" not in told
    assert "Rollback: no verdict. The run ends at hour 24, before all mail could lapse: " in told
    assert "messages still wait because of the change" in told
    assert "Mail that is queued then has no fate yet" in told
    answer = document("whatif", path, *JOBS, "--set", "*=required_verify")
    assert answer["deadline"]["censored"] is True
    assert answer["deadline"]["newly_waiting_messages"] > 0


def test_a_rollback_after_the_arrival_window_says_that_mail_has_stopped() -> None:
    told = " ".join(printed("whatif", *ONE, "--set", "*=required_verify").split())
    assert "that would not today (mail stops arriving at hour 24; with more days more would wait). The first" in told
    long = " ".join(printed("whatif", *ONE, "--days", "4", "--set", "*=required_verify").split())
    assert "that would not today. The first lapse at hour" in long


SILENT = """[Default]
max_retries = 100
[Quiet]
send_bounces = false
[Loud]
send_bounces = true
"""


def test_a_profile_that_sends_no_bounces_is_named_where_harmed_mail_uses_it(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(SILENT)
    for profile, told in (
        ("Quiet", "Bounce profile Quiet has send_bounces = false: its bounces of mail"),
        ("Loud", ""),
    ):
        table = tmp_path / "d.ini"
        table.write_text(f"[DEFAULT]\nbounce_profile = {profile}\n")
        flags = ("--policy", str(table), "--profiles", str(tmp_path / "p.toml"), "--set", "*=required_verify")
        notes = " ".join(document("whatif", *ONE, *flags)["notes"])
        assert (told in notes) if told else ("send_bounces" not in notes)


def test_the_notices_say_that_their_hour_is_a_mean() -> None:
    told = printed("whatif", *ONE, "--set", "*=required_verify")
    assert "mean first h: the first notice of each replication" in " ".join(told.split())
    assert "their mean (the sentence on rollback has the earliest of all)" in " ".join(told.split())


def test_a_run_to_the_end_is_not_censored() -> None:
    assert document("whatif", *ONE, "--set", "*=required")["deadline"]["censored"] is False


def test_a_policy_event_that_the_change_makes_idle_is_told(tmp_path: Path) -> None:
    path = scenario_file(tmp_path, LATER)
    told = " ".join(printed("whatif", path, *JOBS, "--set", "*=required").split())
    assert "after the change some change nothing (Required everywhere at 4 h)." in told
    answer = document("whatif", path, *JOBS, "--set", "*=required")
    assert [event["at_h"] for event in answer["meta"]["policy_events_idle"]] == [4]


def test_policy_events_that_another_table_replaces_are_told(tmp_path: Path) -> None:
    path = scenario_file(tmp_path, LATER)
    told = " ".join(printed("whatif", path, *JOBS, "--to-policy", TABLE).split())
    assert "policy events of the timeline are left out after the change (Required everywhere at 4 h)." in told
    answer = document("whatif", path, *JOBS, "--to-policy", TABLE)
    assert [event["label"] for event in answer["meta"]["policy_events_left_out"]] == ["Required everywhere"]
    assert any("left out" in note for note in answer["notes"])


def test_all_mail_is_all_mail() -> None:
    assert "* rules 40 destinations, all mail (100 %)." in printed("whatif", *ONE, "--set", "*=required")


def test_pairing_that_does_not_help_is_said_in_words() -> None:
    measures = pd.DataFrame({"measure": ["bounced", "deferred"], "variance_saved": [0.25, -0.39]})
    told = _pairing_sentence(cast("WhatIfResult", SimpleNamespace(measures=lambda: measures)))
    assert told == (
        "Both runs have the same chance; of the variance of a difference this saves 25 % (bounced); where pairing does "
        "not help, the variance is larger: by 39 % (deferred)."
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "no change is given; allowed: at least one of --set, --to-policy, --minimum-tls, --sender"),
        (("--set", "gov"), "--set = 'gov'; allowed: PATTERN=SETTING, such as"),
        (("--set", "=no"), "--set = '=no'; allowed: PATTERN=SETTING"),
        (("--set", "*.gov=requird"), "*.gov = 'requird'; allowed: no, preferred,"),
        (("--set", "a b=no"), "pattern = 'a b'; allowed: *.example"),
        (
            ("--set", "*=no", "--set", "*=required"),
            "--set = '*=required'; allowed: each pattern once, and *=no is given",
        ),
        (("--set", "DEFAULT=default"), "DEFAULT = 'default'; allowed: a setting of its own"),
        (("--minimum-tls", "1.5"), "--minimum-tls = '1.5'; allowed: 1.0, 1.1, 1.2, 1.3"),
        (("--sender", "esaa"), "sender = 'esaa'; allowed: esa, "),
        (("--set", "*=no", "--vary", "chanse"), "--vary = 'chanse'; allowed: chance, population,"),
        (("--to-policy", "none.ini"), "file = 'none.ini'; allowed: a file that exists"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], told: str) -> None:
    result = run("whatif", *ONE, *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1
