"""``tlssim whatif``: what it prints, writes and refuses, at a small size."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.cli.test_commands import SMALL, TABLE, document, printed, run

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


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "change = 'none'; allowed: at least one --set, --to-policy, --minimum-tls, --sender"),
        (("--set", "gov"), "--set = 'gov'; allowed: PATTERN=SETTING, such as"),
        (("--set", "=no"), "--set = '=no'; allowed: PATTERN=SETTING"),
        (("--set", "*.gov=requird"), "*.gov = 'requird'; allowed: no, preferred,"),
        (("--set", "a b=no"), "pattern = 'a b'; allowed: *.example"),
        (
            ("--set", "*=no", "--set", "*=required"),
            "--set = '*=required'; allowed: each pattern once, and *=no is given",
        ),
        (("--set", "DEFAULT=default"), "DEFAULT = 'default'; allowed: a setting of its own"),
        (("--minimum-tls", "1.5"), "minimum_tls = '1.5'; allowed: SSLv3"),
        (("--sender", "esaa"), "sender = 'esaa'; allowed: esa. Did you mean 'esa'?"),
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
