"""What each command prints and writes, at a small size."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import sim
from sim.cli import main
from sim.cli.output import Progress
from sim.data import example
from sim.formats.destination_controls import Policy
from sim.formats.postfix_tls_policy import TlsPolicyMap
from sim.studies.convert import to_postfix
from sim.terms import Setting

TABLE, PROFILES = str(example("destinations.ini")), str(example("bounce_profiles.toml"))
SMALL = ("--domains", "40", "--messages", "300")
SCENARIO = """
seed = 3
[policy]
file = "d.ini"
[population]
domains = 60
[workload]
messages = 300
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def printed(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert all(len(line) <= 120 for line in result.stdout.splitlines())
    return result.stdout


def document(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout, parse_constant=pytest.fail)
    assert told["command"] == arguments[0]
    return told


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    (tmp_path / "d.ini").write_text(Path(TABLE).read_text() + "x_new = 1\n")
    path = tmp_path / "s.toml"
    path.write_text(SCENARIO)
    return path


def test_modes_shows_every_setting_and_its_readings(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    text = printed("modes", *SMALL, "--replications", "1", "--jobs", "1", "--out", str(out))
    for setting in Setting:
        assert f"\n{setting.label}" in text
    assert "  clear after the 220" in text
    assert "in clear  encrypted  verified  bounced  deferred" in text
    assert {p.name for p in out.iterdir()} == {"modes.csv", "modes.png", "expected.csv", "meta.json"}
    assert "modes.png" in text
    with (out / "modes.csv").open(newline="") as stream:
        assert next(csv.reader(stream))[:5] == ["setting", "reading", "fate", "messages", "share"]


def test_modes_as_json_is_one_document_with_the_frames(scenario: Path) -> None:
    told = document("modes", str(scenario), "--messages", "100", "--replications", "1", "--jobs", "1")
    assert told["meta"]["domains"] == 60
    assert told["meta"]["seed"] == 3
    assert told["written"] == []
    assert {row["setting"] for row in told["summary"]} == {s.label for s in Setting}
    assert {row["fate"] for row in told["frame"]} > {"in clear", "bounced"}


def test_modes_runs_to_a_precision_over_what_varies(tmp_path: Path) -> None:
    scenario = tmp_path / "s.toml"
    scenario.write_text('vary = "chance"\nprecision = 0.001\n[population]\ndomains = 5\n[workload]\nmessages = 10\n')
    asked = ("--jobs", "1")
    evidence = ("--vary", "chance, population and evidence", "--precision", "20")
    text = flat(printed("modes", str(scenario), *asked, *evidence))
    once = "20 replications, chance, population and evidence varied, 95 % intervals; the widest interval is ±"
    assert text.count(once) == 2
    assert text.count("percentage points, wanted: ±20") == 2
    told = document("modes", str(scenario), *asked, "--most", "20")
    assert "20 replications, chance varied" in told["caption"]
    assert "wanted: ±0.001, which was not reached" in told["caption"]
    assert told["meta"]["precision_reached"] is False
    assert {row["delay"] for row in told["delays"]} == {"delay_p50_s", "delay_p95_s", "delay_p99_s"}
    told = document("modes", str(scenario), *asked, "--replications", "2")
    assert told["meta"]["replications"] == 2
    assert told["meta"]["vary"] == "chance"


def test_modes_takes_own_destinations_and_a_policy(tmp_path: Path) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text("domain,messages\na.example,30\nb.example,20\n")
    told = document("modes", "--csv", str(mine), "--policy", TABLE, "--profiles", PROFILES, "--replications", "1",
                    "--jobs", "1")  # fmt: skip
    assert told["meta"]["domains"] == 2
    assert told["meta"]["policy_hash"] == Policy.read(TABLE, profiles=PROFILES).hash


def test_run_says_what_was_matched_and_writes_everything(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    text = printed("run", str(scenario), "--out", str(out))
    assert " of 52 entries match destinations and rule " in text
    assert "DEFAULT (Preferred) rules" in text
    assert "No destination matches " in text
    assert "former-partner.example" in text
    assert "ignored, " in text
    assert "could change the answer" in text
    assert "all mail" in text
    assert {p.name for p in out.iterdir()} >= {"summary.csv", "by_setting.csv", "queue.png", "delay.png", "fates.png"}
    assert not (out / "messages.csv").exists()


def test_run_says_which_rows_do_not_compare_or_rest_on_few_messages(scenario: Path, tmp_path: Path) -> None:
    different = "rows do not compare the settings; 'tlssim modes' sends the same mail under each."
    told = document("run", str(scenario))
    rows = {row["setting"]: row for row in told["by_setting"] if row["messages"]}
    few = {
        name: sum(row[f"{fate}_messages"] for fate in ("in_clear", "encrypted", "verified"))
        for name, row in rows.items()
    }
    few = {name: delivered for name, delivered in few.items() if 0 < delivered < 100}
    assert few
    assert len(rows) > 1
    named = ", ".join(f"{name} ({delivered})" for name, delivered in few.items())
    assert told["notes"][0].endswith(different)
    assert told["notes"][1] == f"p50, p95 and p99 rest on fewer than 100 delivered messages under {named}."
    assert different in flat(printed("run", str(scenario)))
    (tmp_path / "d.ini").write_text("[DEFAULT]\ntable_tls = on\n")
    assert document("run", str(scenario))["notes"] == []


def test_a_ceiling_that_holds_mail_back_is_told(scenario: Path) -> None:
    """By three commands, as text and as JSON; none says so of a ceiling that is not reached."""
    one = ("--replications", "1", "--jobs", "1")
    asked = {"run": (), "modes": one, "capacity": (*one, "--no-concurrency")}
    where = {"run": "at times", "modes": "in 8 of 8 runs", "capacity": "in 1 of 1 run"}

    def told(command: str) -> list[str]:
        notes: list[str] = document(command, str(scenario), *asked[command])["notes"]
        return [note for note in notes if "ceiling" in note]

    assert not any(map(told, asked))
    scenario.write_text(SCENARIO + "[delivery]\nmax_connections = 1\n")
    for command, options in asked.items():
        begins = f"The system-wide ceiling, max_connections = 1, was reached {where[command]}: mail waits for a place"
        [note] = told(command)
        assert note.startswith(begins)
        assert note in flat(printed(command, str(scenario), *options))
    meta = document("run", str(scenario))["meta"]
    assert (meta["peak_connections"], meta["ceiling_reached"]) == (1, True)


def test_modes_says_how_far_p99_differs_between_replications() -> None:
    some = (*SMALL, "--replications", "3", "--jobs", "1")
    [note] = document("modes", *some)["notes"]
    assert note.startswith("p99 is of all replications together; in each by itself it is ")
    assert note in flat(printed("modes", *some))
    assert document("modes", *some[:-4], "--replications", "1", "--jobs", "1")["notes"] == []


EVENTS = """
[[timeline]]
event = "outage"
provider = "microsoft-mail"
at_h = 9
for_h = 4
[[timeline]]
event = "policy"
setting = "preferred"
at_h = 8
[[timeline]]
event = "starttls-stripped"
share = 0.5
at_h = 1.5
"""


def test_run_tells_its_timeline_and_what_was_exposed(scenario: Path, tmp_path: Path) -> None:
    scenario.write_text(SCENARIO + EVENTS)
    told = document("run", str(scenario))
    assert [(row["at_h"], row["label"]) for row in told["timeline"]] == [
        (1.5, "starttls stripped 50 % of mail"),
        (8, "Preferred everywhere"),
        (9, "outage microsoft-mail"),
    ]
    strip, policy, outage = told["timeline"]
    assert strip["mail_share"] == pytest.approx(0.5, abs=0.05)
    assert (outage["hosts"], outage["until_h"], outage["domains"] > 1) == (1, 13, True)
    assert 0 < policy["domains"] < 60
    assert told["meta"]["timeline"][2] == {"label": "outage microsoft-mail", "at_h": 9, "for_h": 4}
    text = flat(printed("run", str(scenario), "--out", str(tmp_path / "out")))
    exposed = told["summary"]["exposed_messages"]
    assert exposed > 0
    percent = f"{told['summary']['exposed_share'] * 100:.1f} %"
    assert f"{exposed:,} ({percent}) went in clear on a path where somebody removes STARTTLS." in text
    assert f"9 13 outage microsoft-mail {outage['domains']} 1 " in text
    assert "The policy changes during the run: tables name entries and settings as they were at its start." in text


def test_events_after_the_end_of_the_run_are_told_as_such(scenario: Path) -> None:
    scenario.write_text("until_h = 8.5\n" + SCENARIO + EVENTS)
    assert [row["note"] for row in document("run", str(scenario))["timeline"]] == ["", "", "after the end of the run"]
    assert "after the end of the run" in printed("run", str(scenario))
    assert "outage microsoft-mail at 9 h (after the end of the run)." in flat(printed("modes", str(scenario)))
    scenario.write_text(SCENARIO + EVENTS)
    assert "note\n" not in printed("run", str(scenario))


def test_modes_shows_what_is_still_queued_where_a_run_ends_early(scenario: Path) -> None:
    text = printed("modes", str(scenario))
    assert "queued" not in text.split("Shares are")[0]
    scenario.write_text("until_h = 12\n" + SCENARIO)
    text = printed("modes", str(scenario))
    assert "censored at 12 h" in text
    assert "  bounced  queued  deferred  " in text
    assert "still queued" in text.split("\n\n")[0]
    assert "queued: without a fate when the run ends. p95 is in modes.csv." in flat(text)


def test_run_says_nothing_of_events_where_there_are_none(scenario: Path) -> None:
    text = printed("run", str(scenario))
    assert "Timeline" not in text
    assert "removes STARTTLS" not in text
    assert document("run", str(scenario))["timeline"] == []


def test_expected_per_message_has_fates_that_sum_to_one() -> None:
    told = document("expected", "--domains", "40", "--per", "message")
    assert told["per"] == "message"
    for row in told["by_setting"]["mail"]:
        assert sum(row[end] for end in ("in_clear", "encrypted", "verified", "bounced")) == pytest.approx(1)
    assert "What a message that is alone comes to" in printed("expected", "--domains", "40", "--per", "message")


def test_expected_says_that_a_timeline_is_not_used() -> None:
    outage = str(example("outage.toml"))
    assert "The timeline is not used (1 event)" in " ".join(printed("expected", outage).split())
    assert not any("timeline" in note for note in document("expected", "--domains", "40")["notes"])


def test_modes_shows_what_is_exposed_only_where_there_is_any(scenario: Path) -> None:
    some = ("--replications", "1", "--jobs", "1")
    assert "exposed" not in printed("modes", str(scenario), *some)
    scenario.write_text(SCENARIO + EVENTS)
    text = printed("modes", str(scenario), *some)
    assert "exposed: in clear on a path where somebody removes STARTTLS." in flat(text)
    assert "Left out, since a row has one setting throughout: Preferred everywhere at 8 h." in flat(text)
    [head] = [line.split() for line in text.splitlines() if line.startswith("TLS setting  ")]
    assert head[-3:] == ["p95", "p99", "exposed"]


def test_run_keeps_records_when_asked(scenario: Path, tmp_path: Path) -> None:
    told = document("run", str(scenario), "--records", "--seed", "4", "--out", str(tmp_path / "out"))
    assert told["meta"]["seed"] == 4
    with (tmp_path / "out" / "messages.csv").open() as stream:
        assert sum(1 for _ in stream) == told["summary"]["messages"] + 1
    assert told["policy"]["entries"] == 52
    assert told["policy"]["account"]["ignored"] == 10
    shares = told["policy"]["matched_mail_share"], told["policy"]["default_mail_share"]
    assert sum(shares) == pytest.approx(1)


def test_run_writes_records_as_parquet_when_asked(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told = document("run", str(scenario), "--records-as", "parquet", "--out", str(out))
    result = sim.read_records(out)
    assert result.injected == told["summary"]["messages"] == len(result.messages)
    assert {str(out / "messages.parquet"), str(out / "routes.parquet")} <= set(told["written"])
    assert not (out / "messages.csv").exists()
    assert told["left_over"] == []
    again = document("run", str(scenario), "--seed", "8", "--out", str(out))
    assert str(out / "messages.parquet") in again["left_over"]
    told = document("run", str(scenario), "--records-as", "csv", "--out", str(tmp_path / "csv"))
    assert (tmp_path / "csv" / "messages.csv").exists()


def test_run_says_that_replications_are_for_modes(scenario: Path) -> None:
    scenario.write_text("replications = 4\n" + SCENARIO.replace('[policy]\nfile = "d.ini"\n', ""))
    text = printed("run", str(scenario))
    assert "replications = 4 is for" in text
    assert "DEFAULT alone" in text
    assert "Nothing was written" in text


def test_run_writes_the_same_bytes_again(scenario: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        printed("run", str(scenario), "--out", str(tmp_path / name))
    files = {p.name for p in (tmp_path / "a").iterdir()}
    assert all((tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes() for n in files)


def test_expected_needs_no_clock(tmp_path: Path, scenario: Path) -> None:
    text = printed("expected", "--domains", "40", "--out", str(tmp_path / "out"))
    assert "Per cent of the mail" in text
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["expected.csv"]
    told = document("expected", str(scenario))
    rows = {row["setting"]: row for row in told["by_setting"]["mail"]}
    assert list(rows) == [*(s.label for s in Setting), "this policy"]
    assert all(sum(v for v in row.values() if isinstance(v, float)) == pytest.approx(1) for row in rows.values())


def test_check_without_a_population_gives_what_the_table_tells() -> None:
    text = printed("check", TABLE, "--profiles", PROFILES)
    assert "warning: line 37, [yahoo-mail.example]: retries-end-before-the-lifetime" in text
    assert "    why: " in text
    assert "    do:  " in text
    assert "Not checked: " in text
    assert "no-mail" not in text


def test_check_with_a_population_also_tells_what_the_entries_meet() -> None:
    told = document("check", TABLE, "--profiles", PROFILES, "--population", "2020s-web", "--domains", "300",
                    "--messages", "10000000")  # fmt: skip
    kinds = {row["finding"] for row in told["findings"]}
    assert {"verify-needs-hosted", "no-mail", "recipients-below-the-load"} <= kinds
    assert told["not_checked"] == []
    assert told["warnings"] + told["notes"] == len(told["findings"])


@pytest.mark.parametrize(("level", "status"), [(None, 0), ("warning", 0), ("note", 1)])
def test_check_fails_when_asked_to(tmp_path: Path, level: str | None, status: int) -> None:
    path = tmp_path / "d.ini"
    path.write_text("[DEFAULT]\ntable_tls = on\n[a.example]\ndane_option = mandatory\n")
    assert run("check", str(path), *(() if level is None else ("--fail-on", level))).exit_code == status


@pytest.mark.parametrize("line", ["table_tls on", "tabel_tls=off"])
def test_check_fails_on_a_policy_line_that_was_dropped(tmp_path: Path, line: str) -> None:
    path = tmp_path / "mine.ini"
    path.write_text(f"[DEFAULT]\ntable_tls = on\n[a.example]\n{line}\n")
    assert run("check", str(path), "--fail-on", "warning").exit_code == 1
    assert printed("check", str(path)).startswith("warning: line 4, [a.example]: policy-line-dropped")


CAVEAT = (
    "Preferred - Verify and Required - Verify rest on an unmeasured figure: p_cn_ptr = 0 (share of certificates whose "
    "CN is the PTR name) is assumed; 'tlssim modes' shows both ends."
)
DRAWN = "certificates and hosting of these domains are drawn from published figures, not looked up."


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_unmeasured_figure_is_told_where_a_setting_in_force_rests_on_it(scenario: Path, tmp_path: Path) -> None:
    verify = SCENARIO.replace("[population]", "[population]\npreset = '2020s-web'")
    (tmp_path / "d.ini").write_text("[DEFAULT]\ntable_tls = require_verify\n")
    scenario.write_text(verify)
    assert CAVEAT in flat(printed("run", str(scenario)))
    assert document("run", str(scenario))["notes"][-1] == CAVEAT
    assert CAVEAT in flat(printed("expected", str(scenario)))
    assert document("expected", str(scenario))["notes"] == [CAVEAT]
    scenario.write_text(f"{verify}[population.figures]\np_cn_ptr = 0.5\n")
    assert "p_cn_ptr = 0.5 (" in document("run", str(scenario))["notes"][-1]
    assert "is given;" in document("run", str(scenario))["notes"][-1]
    (tmp_path / "d.ini").write_text("[DEFAULT]\ntable_tls = on\n")
    assert document("run", str(scenario))["notes"] == []


def test_check_says_that_its_population_is_drawn(tmp_path: Path) -> None:
    table, mine = tmp_path / "d.ini", tmp_path / "mine.csv"
    mine.write_text("domain,messages\na.example,30\nb.example,20\n")
    table.write_text("[DEFAULT]\ntable_tls = on\n[a.example]\ntable_tls = on_verify\n")
    text = flat(printed("check", str(table), "--csv", str(mine), "--seed", "7"))
    assert f"Population mine (peers as 2020s-web), seed 7: {DRAWN} {CAVEAT}" in text
    table.write_text("[DEFAULT]\ntable_tls = on\n")
    told = document("check", str(table), "--population", "alexa-2015", "--domains", "20")
    assert told["caveats"] == [f"Population alexa-2015, seed 1: {DRAWN}"]
    assert document("check", str(table))["caveats"] == []


def test_check_ends_each_sentence_once(tmp_path: Path) -> None:
    path = tmp_path / "d.ini"
    path.write_text("[DEFAULT]\ntabel_tls = on\n")
    assert "Did you mean 'table_tls'?\n" in printed("check", str(path))


def test_a_line_of_no_entry_is_told_without_one(tmp_path: Path) -> None:
    (tmp_path / "d.ini").write_text("stray = 1\n[DEFAULT]\ntable_tls = on\n")
    text = printed("check", str(tmp_path / "d.ini"))
    assert "note: line 1: line-not-used\n" in text
    assert "[]" not in text


@pytest.mark.parametrize("command", [(), ("modes",), ("check",), ("export",)])
def test_help_names_every_exit_status(command: tuple[str, ...]) -> None:
    text = " ".join(printed(*command, "--help").split())
    assert text.endswith(
        "0; 1 when check --fail-on finds something; 2 for bad input; 130 when interrupted, 143 by SIGTERM."
    )


def test_check_help_claims_no_default_that_does_not_hold() -> None:
    text = flat(printed("check", "--help"))
    assert "[default: none; beside --csv 2020s-web]" in text
    assert "messages (on a mean day of the week)" in text
    assert "the scenario's" not in text


def test_modes_names_the_policy_and_accounts_for_its_lines() -> None:
    some = (*SMALL, "--replications", "1", "--jobs", "1")
    text = flat(printed("modes", *some, "--policy", TABLE, "--profiles", PROFILES))
    assert f"Policy {TABLE}: its TLS settings are replaced" in text
    assert "Lines of the policy's files: " in text
    told = document("modes", *some, "--policy", TABLE, "--profiles", PROFILES)["policy"]
    assert told["file"] == TABLE
    assert told["account"]["ignored"] > 10
    assert "Policy" not in printed("modes", *some)


def test_import_accounts_for_every_line() -> None:
    text = printed("import", TABLE, "--profiles", PROFILES)
    for heading in ("Guessed:", "Ignored:", "Understood:"):
        assert f"\n{heading}\n" in text
    assert "* 196  mta_sts = enforce" in text
    assert "Ignored in " in text
    assert "bounce_profiles.toml:\n" in text
    told = document("import", TABLE, "--profiles", PROFILES)
    assert len(told["account"]) == sum(told["counts"][k] for k in ("understood", "ignored", "guessed"))
    assert len(told["entries"]) == 53
    assert told["entries"][1]["tls"] == "Required"


def test_export_gives_the_file_back_in_one_spelling(tmp_path: Path) -> None:
    policy = Policy.read(TABLE, profiles=PROFILES)
    text = printed("export", TABLE, "--profiles", PROFILES)
    assert Policy.parse(text, profiles=PROFILES) == policy
    assert "mta_sts = enforce" in text
    assert "# --- Old entries" in text
    assert "Written: " in printed("export", TABLE, "--out", str(tmp_path / "new.ini"))
    assert (tmp_path / "new.ini").read_text() == text


def test_export_makes_a_policy_map_and_tells_what_changes(tmp_path: Path) -> None:
    out = tmp_path / "tls_policy"
    to = ("--to", "postfix-tls-policy")
    told = printed("export", TABLE, "--profiles", PROFILES, *to, "--out", str(out))
    for words in (
        "53 entries with the default; of 48 something changes.",
        "Preferred -> may (aol-mail.example, ",
        "message of 300 s or more: not sent (next host)",
        "max_host_concurrency: 10 (google-mail.example",
        "    smtp_tls_security_level = may\n",
        f"Written: {out}",
    ):
        assert words in told
    made = to_postfix(Policy.read(TABLE, profiles=PROFILES)).map
    assert TlsPolicyMap.read(out) == made
    text = printed("export", TABLE, *to)
    assert TlsPolicyMap.parse(text) == made
    assert "# Nothing changes:\n#     No -> none (isp-two.example" in text
    found = document("export", TABLE, *to)
    assert TlsPolicyMap.parse(found["text"]) == made
    assert found["pairs"][0]["changes"][0]["after"] == "bounce now"


def test_a_policy_map_is_told_by_its_lines_and_becomes_destination_controls(tmp_path: Path) -> None:
    source = tmp_path / "tls_policy"
    source.write_text("# ours\nbank.example secure match=nexthop\n*.shop.example may\n[relay.example]:25 encrypt\n")
    text = printed("import", str(source))
    assert "2 entries of a Postfix policy map." in text
    assert "* 3  *.shop.example may  matches no next hop" in text
    found = document("import", str(source), "--from", "postfix-tls-policy")
    assert found["form"] == "postfix-tls-policy"
    assert found["entries"][0] == {
        "key": "bank.example",
        "level": "secure",
        "attributes": [["match", "nexthop"]],
        "line": 2,
    }
    made = printed("export", str(source), "--default", "may")
    policy = Policy.parse(made)
    assert [(e.domain, e.tls) for e in policy.entries] == [("bank.example", Setting.REQUIRED_VERIFY)]
    assert policy.default.tls is Setting.PREFERRED
    assert "# No place for:\n#     next hops of transports: 1 ([relay.example]:25)" in made
    assert printed("export", str(source), "--to", "postfix-tls-policy") == source.read_text()
    assert document("import", TABLE)["form"] == "destination-controls"


def test_help_lists_the_commands_in_the_order_one_meets_them() -> None:
    text = printed("--help")
    listed = [
        line.split()[0]
        for line in text.split("Commands:\n")[1].splitlines()
        if line.startswith("  ") and line[2] != " "
    ]
    asked = ["modes", "run", "whatif", "capacity", "sweep", "expected", "explain", "table", "check"]
    assert listed[: len(asked) + 3] == [*asked, "destconfig", "import", "export"]
    assert printed("-h") == text
    assert printed("--version").startswith("tlssim ")


def test_capacity_tells_peaks_limits_and_the_backlog(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    text = printed("capacity", str(scenario), "--replications", "2", "--jobs", "1", "--qshape", "--out", str(out))
    assert text.startswith("At its busiest the gateway holds ")
    for words in (
        "connections in use, peak", "TLS handshakes per second, busiest minute", "Erlang C was asked for google-mail.",
        "(the policy allows ", "The largest backlog grows from ", " TOTAL ", "capacity.png",
    ):  # fmt: skip
        assert words in " ".join(text.split())
    assert {p.name for p in out.iterdir()} >= {"measures.csv", "concurrency.csv", "qshape.csv", "capacity.png"}


def test_capacity_tells_the_events_of_a_timeline() -> None:
    from sim.cli.capacity import _drain_words
    from sim.cli.text import rows_of

    outage = sim.Event(event="outage", domain="a.example", at_h=1.0, for_h=1.0)
    asked = sim.Scenario(
        population=sim.Population.custom([{"domain": "a.example"}]),
        workload=sim.Workload.flat(messages_per_day=4_800),
        timeline=(outage,),
        days=1 / 6,
    )
    drained = sim.capacity(asked, replications=1, find_concurrency=False, jobs=1).drain()
    begins, ends = (_drain_words(row, 1) for row in rows_of(drained))
    assert begins.startswith("Outage a.example, at 1.0 h: until the next event up to ")
    assert "it is not back at " in begins
    assert ends.startswith("End of outage a.example, at 2.0 h: until the next event up to 2")
    assert "the level before, " in ends
    assert ends.endswith("min after it.")
    some = _drain_words(rows_of(drained)[1] | {"drained": 1 / 3}, 3)
    assert "open; in 1 of 3 replications it is back at " in some
    largest = _drain_words(rows_of(drained)[1] | {"drained": 1 / 3, "event": "largest backlog"}, 3)
    assert ", and in 1 of 3 replications drains to that mean in " in largest


def test_capacity_names_every_measure() -> None:
    from sim.cli.capacity import WORDS

    told = document("capacity", *SMALL, "--replications", "1", "--jobs", "1", "--no-concurrency")
    assert [row["measure"] for row in told["measures"]] == list(WORDS)
    assert "concurrency" not in told
    assert "qshape" not in told


def test_capacity_as_json_has_the_limit_asked_for(tmp_path: Path) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text("domain,messages\na.example,300\nb.example,200\n")
    told = document("capacity", "--csv", str(mine), "--for", "b.example", "--percentile", "90", "--within-s", "600",
                    "--vary", "chance", "--replications", "2", "--jobs", "1", "--qshape")  # fmt: skip
    assert told["concurrency"]["target"] == "b.example"
    assert told["concurrency"]["policy_limit"] == 500
    assert told["meta"]["percentile"] == 0.9
    assert told["meta"]["within_s"] == 600
    assert len(set(told["meta"]["world_hashes"])) == 1
    kept = [row["limit"] for row in told["concurrency"]["tried"] if row["kept"]]
    assert told["concurrency"]["limit"] == (min(kept) if kept else None)
    assert told["qshape"][0]["domain"] == "TOTAL"
    assert set(told["drain"][0]) >= {"peak_messages", "drain_s", "opening_peak_per_s"}


def test_the_time_that_is_left_is_told_at_the_rate_since_a_run_began_anew(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 10.0, 11.0, 11.5, 12.0, 14.0])
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("sim.cli.output.time.monotonic", lambda: next(clock))
    line = Progress()
    for done in (0.1, 0.0, 0.04, 0.05):  # at 10 s; anew at 11 s; at 12 s, too soon to tell; at 14 s
        line.show(done, "0 of 2 runs")
    told = capsys.readouterr().err.replace("\033[K", "").split("\r")
    assert told[1:] == [
        " 10%  0 of 2 runs, about 90 s left",
        "  0%  0 of 2 runs",
        "  4%  0 of 2 runs",
        "  5%  0 of 2 runs, about 57 s left",
    ]
