"""``tlssim explain``, ``tlssim table`` and the senders of ``tlssim expected``: what each prints and writes."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from sim.data import example
from sim.policy.profiles import SENDERS, profile
from sim.policy.profiles.esa import unsettled
from sim.policy.text_tables import read_table
from sim.terms import Demand, Outcome, Seen, Setting
from tests.cli.test_commands import document, printed, run


def test_explain_tells_line_hosts_and_retries() -> None:
    shipped = str(example("scenario.toml"))
    text = " ".join(printed("explain", "agency-333.gov.example", shipped).split())
    lines = example("destinations.ini").read_text().splitlines()
    assert f"destinations.ini:{lines.index('[.gov.example]') + 1}: TLS Required" in text
    assert "bounce: time in queue" in text
    told = document("explain", "agency-333.gov.example", shipped, "--setting", "required_verify")
    assert (told["tls_in_force"], told["setting"]) == ("Required", "Required - Verify")
    assert told["retries"][-1]["after_s"] >= 72 * 3_600


def test_explain_ends_in_what_becomes_of_the_mail() -> None:
    flags = ("--domains", "20", "--setting")
    told = " ".join(printed("explain", "google-mail.example", *flags, "required_verify").split())
    assert "No pass gets through: this mail bounces after 72:" in told
    assert "rest on an unmeasured figure: p_cn_ptr = 0" in told
    clear = " ".join(printed("explain", "google-mail.example", *flags, "no").split())
    assert "So of this mail, with all its retries, " in clear
    assert "% is delivered in clear and " in clear
    assert "unmeasured" not in clear
    answer = document("explain", "google-mail.example", *flags, "required")
    assert answer["conclusion"].startswith("So of this mail, ")
    assert answer["notes"] == []


def test_explain_guesses_at_a_destination_that_is_none() -> None:
    told = " ".join(printed("explain", "gogle-mail.example", "--domains", "20").split())
    assert "is not known. Did you mean 'google-mail.example'?" in told
    assert "So of this mail" not in told
    answer = document("explain", "gogle-mail.example", "--domains", "20")
    assert (answer["conclusion"], answer["notes"]) == (None, ["Did you mean 'google-mail.example'?"])


def test_explain_tells_each_setting_of_evidence() -> None:
    told = document("explain", "--evidence", "stage=tls chain=expired")
    assert [row["setting"] for row in told["decisions"]] == [s.label for s in Setting]
    assert told["evidence"] == "stage=tls tls_version=TLSv1.3 chain=expired names=none"
    text = printed("explain", "--evidence", "stage=handshake-failed")
    assert "docs/decisions/pv-after-220.md" in text
    old = document("explain", "--evidence", "tls_version=TLSv1.2", "--minimum-tls", "1.3", "--setting", "required")
    assert [row["seen"] for row in old["decisions"]] == ["handshake failed"]


def test_the_designs_example_tells_what_an_old_message_meets() -> None:
    text = printed("explain", "--evidence", "stage=handshake-failed age_s=400", "--sender", "postfix")
    (may,) = [line.split("  ") for line in text.splitlines() if line.startswith("may ") and "failed" in line]
    assert [cell.strip() for cell in may if cell.strip()] == [
        "may", "handshake failed", "reconnect in clear", "validation-failure"
    ]  # fmt: skip
    assert "This one is aged." in text
    assert "Source: Postfix source" in text
    young = printed("explain", "--evidence", "stage=handshake-failed", "--sender", "postfix", "--setting", "may")
    assert "This one is young." in young
    assert "reconnect in clear" not in young


def test_all_senders_stand_side_by_side() -> None:
    told = document("explain", "--evidence", "stage=refused-5xx", "--sender", "all")
    settings = sum(len(profile(key).settings) for key in SENDERS)
    assert len(told["decisions"]) == settings
    assert {row["sender"] for row in told["decisions"]} == {profile(key).title for key in SENDERS}
    one = document("explain", "--evidence", "stage=refused-5xx", "--sender", "all", "--setting", "required")
    assert [row["setting"] for row in one["decisions"]] == [profile(k).nearest[Setting.REQUIRED].label for k in SENDERS]
    own = document("explain", "--evidence", "stage=refused-5xx", "--sender", "all", "--setting", "dane-only")
    assert "Postfix" in [row["sender"] for row in own["decisions"]]
    text = printed("explain", "--evidence", "stage=refused-5xx", "--sender", "all")
    assert all(profile(key).title in text for key in SENDERS)


def test_two_hosts_make_a_pass() -> None:
    hosts = ("--evidence", "stage=refused-5xx", "--evidence", "stage=tls names=san-mx")
    told = document("explain", *hosts, "--sender", "postfix")
    ends = {row["setting"]: (row["end"], row["mx_host"]) for row in told["passes"]}
    assert ends["may"] == ("in_clear", 1)
    assert ends["encrypt"] == ("bounced", 1)
    assert ends["dane-only"] == ("deferred", 2)
    assert told["evidence"] == ["stage=refused-5xx", "stage=tls tls_version=TLSv1.3 chain=trusted names=san-mx"]
    steps = next(row["steps"] for row in told["passes"] if row["setting"] == "dane-only")
    assert [(step["mx_host"], step["seen"], step["outcome"]) for step in steps] == [
        (1, "(not asked)", "next host"),
        (2, "(not asked)", "next host"),
    ]
    text = printed("explain", *hosts, "--sender", "all", "--setting", "required")
    assert "encrypted, by MX host 2" in text
    assert "bounced: starttls-not-supported" in text
    again = printed("explain", "--evidence", "stage=handshake-failed", *hosts, "--setting", "preferred_verify")
    assert "clear, 2nd try" in again
    assert "in clear, by MX host 1" in again
    alone = printed("explain", *hosts, "--setting", "required")
    assert "Source: Cisco tech note" in alone


def test_switches_and_options_of_a_sender_are_taken() -> None:
    asked = ("explain", "--evidence", "stage=tls mta_sts=enforce", "--sender", "postfix", "--setting", "may")
    assert document(*asked)["decisions"][0]["outcome"] == "encrypted"
    assert document(*asked, "--switch", "mta_sts=true")["decisions"][0]["outcome"] == "next host"
    dane = ("explain", "--evidence", "dane=usable-match chain=expired", "--setting", "required")
    assert document(*dane)["decisions"][0]["outcome"] == "encrypted"
    assert document(*dane, "--dane-option", "opportunistic")["decisions"][0]["outcome"] == "verified"


def test_a_domain_is_told_for_another_sender() -> None:
    shipped = str(example("scenario.toml"))
    asked = ("explain", "agency-333.gov.example", shipped, "--sender", "postfix")
    text = " ".join(printed(*asked).split())
    assert "what Postfix would do with encrypt, its setting nearest to Required." in text
    assert "bounce: time in queue" in text
    assert "Postfix's own queue, as shipped." in text
    assert "These rows are of a young one." in text
    told = document(*asked)
    assert (told["sender"], told["tls_in_force"], told["setting"]) == ("postfix", "Required", "encrypt")
    assert [row["after_s"] for row in told["retries"]][:4] == [0, 300, 600, 1_200]
    assert told["conclusion"].startswith("So of this mail")
    other = " ".join(printed(*asked, "--setting", "dane-only").split())
    assert "what Postfix would do with dane-only." in other
    assert "No pass gets through: this mail bounces after 120:20:00 h." in other


@pytest.mark.parametrize("per", ["pass", "message"])
def test_expected_takes_another_sender(per: str) -> None:
    told = document("expected", "--domains", "30", "--sender", "postfix", "--per", per)
    rows = {row["setting"]: row for row in told["by_setting"]["mail"]}
    assert list(rows) == [setting.label for setting in profile("postfix").settings]
    assert rows["none"]["in_clear"] > 0.9
    assert rows["dane-only"]["encrypted"] == 0
    assert told["sender"] == "postfix"


def test_expected_by_mx_host(tmp_path: Path) -> None:
    out = tmp_path / "out"
    text = printed("expected", "--domains", "30", "--by", "mx_host", "--out", str(out))
    assert "mx1.google-mail.example" in text
    with (out / "expected.csv").open() as file:
        rows = list(csv.DictReader(file))
    told = document("expected", "--domains", "30", "--by", "mx_host")["hosts"]
    assert len(rows) == len(told)
    assert {row["setting"] for row in told} == {s.label for s in Setting}
    ends = ("in_clear", "encrypted", "verified", "bounced", "deferred", "next_host", "bounced_if_last")
    assert all(sum(row[end] for end in ends) == pytest.approx(1) for row in told)


def test_table_has_every_cell_in_every_form(tmp_path: Path) -> None:
    out = tmp_path / "out"
    printed("table", "esa", "--out", str(out))
    assert {path.name for path in out.iterdir()} == {"esa.txt", "esa.md", "esa.csv", "esa.png"}
    with (out / "esa.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(Seen) * len(Setting)
    page = (out / "esa.md").read_text()
    assert "![" in page
    printed_page = run("table", "--format", "markdown").stdout
    assert printed_page == page.replace(page[page.index("![") : page.index("| a connection shows")], "")
    lines = printed_page[printed_page.index("| a connection shows") :].split("\n\n")[0].splitlines()
    assert len(lines) == len(Seen) + 2
    cells = {(row["seen"], row["setting"]): (row["outcome"], row["settled"]) for row in rows}
    for line in lines[2:]:
        seen, *words = [cell.strip() for cell in line.strip("|").split("|")]
        for setting, word in zip(Setting, words, strict=True):
            outcome, settled = cells[seen, setting.label]
            shown = outcome.replace("reconnect in clear", "clear, 2nd try")
            assert word == shown + ("" if settled == "True" else " ?")
    text = run("table").stdout
    assert text.startswith("1. What a setting demands")
    assert "?: no source settles the cell." in text
    marks = read_table(
        text.split("3. What it comes to\n\n")[1].split("\n\n")[0], rows=Seen, columns=Demand, cells=Outcome
    )
    assert {(Seen(i), Demand(j)) for i, j in zip(*marks.marks[""].nonzero(), strict=True)} == {
        (seen, demand) for seen, demand, _ in unsettled() if demand in marks.columns
    }
    assert Demand.MTA_STS not in marks.columns  # no setting makes it, unless a switch says so


def test_table_of_every_sender(tmp_path: Path) -> None:
    out = tmp_path / "out"
    printed("table", "all", "--out", str(out))
    forms = {f"{key}.{form}" for key in SENDERS for form in ("txt", "md", "csv", "png")}
    assert {path.name for path in out.iterdir()} == forms | {"README.md", "retry-clocks.png"}
    assert all(path.stat().st_size < 200_000 for path in out.iterdir())
    assert run("table", "all").stdout.startswith("# Senders\n")
    postfix = run("table", "postfix").stdout
    assert "3. What it comes to (aged)" in postfix
    assert "mta_sts | false, true" in postfix
    together = pd.read_csv(StringIO(run("table", "all", "--format", "csv").stdout))
    assert list(together["sender"].drop_duplicates()) == list(SENDERS)


def test_a_destination_is_explained_under_the_senders_own_setting_of_the_scenario(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(
        'sender = "kumomta"\nsender_setting = "Required"\n[population]\ndomains = 20\n[workload]\nmessages = 40\n'
    )
    told = " ".join(run("explain", "google-mail.example", str(path)).stdout.split())
    assert "what KumoMTA would do with Required." in told


def test_an_option_the_sender_does_not_have_is_refused() -> None:
    told = run("explain", "--sender", "haraka", "--dane-option", "mandatory", "--evidence", "stage=tls")
    assert told.exit_code == 2
    assert "--dane-option = 'mandatory'; allowed: none: Haraka has no such option" in told.stderr


@pytest.mark.parametrize("hosts", [1, 2])
def test_of_all_senders_those_without_an_option_that_is_given_are_told(hosts: int) -> None:
    asked = ["explain", "--sender", "all", *["--evidence", "stage=tls"] * hosts]
    given = [*asked, "--dane-option", "mandatory"]
    without = [profile(key).title for key in SENDERS if not profile(key).has_dane_option]
    assert document(*given)["unused"] == {"--dane-option": without}
    told = " ".join(printed(*given).split())
    assert "--dane-option is obeyed only by Cisco ESA, Exim, " in told
    assert "unused" not in document(*asked)
    assert "obeyed" not in printed(*asked)
