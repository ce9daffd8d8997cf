"""Each finding of the check is made where it should be, and not where it should not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sim.data import example
from sim.formats.destination_controls import Policy
from sim.policy.destinations import DestinationControls, Entry
from sim.policy.retry import BounceProfile, Growth
from sim.studies.check import NO_MAIL, NO_POPULATION, CheckResult, check
from sim.studies.check_table import DROPPED, retries_within, retry_time_s, suffixes_of
from sim.terms import Setting
from sim.world.population import Population
from sim.world.workload import Workload

#: A complete [DEFAULT] of ten lines, so that nothing is guessed.
ON = """[DEFAULT]
ip_sort_pref = PREFER_V6
max_host_concurrency = 500
max_messages_per_connection = 50
recipient_minutes = 60
recipient_limit = 0
limit_type = host
limit_apply = system
bounce_validation = 0
table_tls = on
"""


def kinds(result: CheckResult) -> list[str]:
    return [f.finding for f in result.findings if f.finding != "value-guessed"]


def of_text(text: str, **others: Any) -> CheckResult:
    return check(Policy.parse(text, source="d.ini", **others))


def met(text: str, *specs: dict[str, Any], messages: float = 1_000) -> CheckResult:
    population = Population.custom([{"messages": 1.0, **spec} for spec in specs])
    return check(Policy.parse(text), population=population, workload=Workload.flat(messages_per_day=messages))


def host(**columns: Any) -> dict[str, Any]:
    return {"hosts": [{"host": "mx.provider.example", **columns}]}


def test_a_sound_table_has_no_finding() -> None:
    result = of_text(ON + "[bank.example]\ntable_tls = require\n")
    assert kinds(result) == []
    assert result.not_checked == (NO_POPULATION,)
    assert len(result.frame()) == len(result.findings)


@pytest.mark.parametrize(
    ("value", "finding"),
    [
        ("off", ["default-sends-in-clear"]),
        ("on", []),
        ("on_verify", []),
        ("require", ["default-requires-tls"]),
        ("require_verify", ["default-requires-tls"]),
    ],
)
def test_default(value: str, finding: list[str]) -> None:
    assert kinds(of_text(f"[DEFAULT]\ntable_tls = {value}\n")) == finding


def test_an_entry_that_says_what_its_suffix_says_is_told_with_both_lines() -> None:
    text = ON + "[.gov.example]\ntable_tls = require\n[tax.gov.example]\ntable_tls = 2\n[a.tax.gov.example]\n"
    (finding, *others) = [f for f in of_text(text).findings if f.finding == "repeats-another-entry"]
    assert others == []
    assert finding.entry == "tax.gov.example"
    assert finding.line == 13
    assert ".gov.example (line 11)" in finding.what


def test_an_entry_that_says_what_default_says_is_told_and_addresses_have_no_suffix() -> None:
    text = (
        ON + "[.2.7]\ntable_tls = off\n[[192.0.2.7]]\ntable_tls = on\n"
        "[.example]\ntable_tls = require\n[b.example]\ntable_tls = on\n"
    )
    assert [f.entry for f in of_text(text).findings if f.finding == "repeats-another-entry"] == ["[192.0.2.7]"]


def test_a_longer_suffix_that_repeats_a_shorter_one() -> None:
    text = ON + "[.example]\ntable_tls = require\n[.gov.example]\ntable_tls = require\n"
    assert kinds(of_text(text)) == ["repeats-another-entry"]
    assert list(suffixes_of(".a.gov.example")) == [".gov.example", ".example"]
    assert list(suffixes_of("gov.example")) == [".example"]


def test_undefined_profiles_are_told_once_a_name_with_a_guess() -> None:
    text = ON + "[a.example]\nbounce_profile = Shrot\n[b.example]\nbounce_profile = Shrot\n"
    (finding,) = [f for f in of_text(text, profiles={"Short": BounceProfile(name="Short")}).findings if f.line]
    assert finding.finding == "undefined-bounce-profile"
    assert "a.example, b.example" in finding.what
    assert "Did you mean 'Short'?" in finding.todo


@pytest.mark.parametrize(
    ("profile", "finding"),
    [
        (BounceProfile(name="P"), None),
        (BounceProfile(name="P", max_retries=3), "retries-end-before-the-lifetime"),
        (BounceProfile(name="P", growth=Growth.CONSTANT), "retries-end-before-the-lifetime"),
        (BounceProfile(name="P", max_queue_time_s=60), "never-tried-again"),
        (BounceProfile(name="P", max_queue_time_s=61), "few-retries"),
        (BounceProfile(name="P", max_retries=0), "retries-end-before-the-lifetime"),
        (BounceProfile(name="P", max_retries=10**9, max_queue_time_s=10**9, initial_wait_s=1, max_wait_s=1), None),
    ],
)
def test_schedules(profile: BounceProfile, finding: str | None) -> None:
    default = Entry(domain="DEFAULT", tls=Setting.PREFERRED)
    table = DestinationControls(default, (Entry(domain="a.example", bounce_profile="P"),), {"P": profile})
    told = [f for f in check(table).findings if f.finding != "repeats-another-entry"]
    assert [f.finding for f in told] == ([] if finding is None else [finding])
    assert all("profile P" in f.what and f.entry == "a.example" for f in told)


def test_a_profile_nobody_uses_is_not_judged() -> None:
    default = Entry(domain="DEFAULT", tls=Setting.PREFERRED)
    assert check(DestinationControls(default, (), {"P": BounceProfile(name="P", max_retries=1)})).findings == ()


@pytest.mark.parametrize("growth", list(Growth))
@pytest.mark.parametrize("lifetime_s", [1, 60, 61, 1_000, 3_600, 50_000, 259_200])
def test_retries_are_counted_as_the_schedule_has_them(growth: Growth, lifetime_s: float) -> None:
    endless = BounceProfile(max_retries=10**6, max_queue_time_s=lifetime_s, growth=growth)
    times = endless.attempt_times_s()
    assert retries_within(endless, lifetime_s) == len(times) - 1
    assert retry_time_s(endless, len(times) - 1) == times[-1]


def test_what_is_read_and_not_used_is_told() -> None:
    text = ON + "x_owner = us\n[a.example]\ndane_option = mandatory\nip_sort_pref = REQUIRE_V4\ndane_optoin = none\n"
    told = {f.finding: f for f in of_text(text).findings}
    assert told["dane-unconfirmed"].line == 12
    assert "no DANE" in told["dane-unconfirmed"].why
    assert told["unknown-key"].severity == told["line-not-used"].severity == "note"
    assert [(f.line, f.entry) for f in of_text(text).findings if f.finding == "unknown-key"] == [
        (11, "DEFAULT"),
    ]
    assert (told[DROPPED].line, told[DROPPED].entry) == (15, "a.example")
    assert "Did you mean 'dane_option'?" in told[DROPPED].what


def test_dane_is_said_to_be_obeyed_and_a_word_nobody_knows_to_stop_a_run() -> None:
    text = (
        ON
        + "[a.example]\ndane_option = opportunistic\n[b.example]\ndane_option = off\n[c.example]\ndane_option = maybe\n"
    )
    told = {f.entry: f for f in of_text(text).findings if f.finding.startswith("dane-")}
    assert {entry: (f.severity, f.finding) for entry, f in told.items()} == {
        "a.example": ("note", "dane-unconfirmed"),
        "c.example": ("warning", "dane-word-unknown"),
    }
    assert "no DANE" not in told["a.example"].why
    account = Policy.parse(text).account
    kinds_of = account[account["text"].str.startswith("dane_option")].set_index("text")["kind"]
    assert kinds_of.tolist() == ["understood", "understood", "ignored"]


@pytest.mark.parametrize("line", ["table_tls on", "tabel_tls=off", "TABLE-TLS: off", "max_concurrency = 4"])
@pytest.mark.parametrize("at_the_top", [False, True])
def test_a_dropped_line_that_looks_like_a_rule_is_a_warning_and_comes_first(line: str, at_the_top: bool) -> None:
    off = ON.replace("= on", "= off") + "[a.example]\ntable_tls = require\n"
    first, second, *_ = of_text(f"{line}\n{off}" if at_the_top else f"{off}{line}\n").findings
    assert (first.severity, first.finding) == ("warning", DROPPED)
    assert first.what.startswith(f"{line}: ")
    assert second.finding == "default-sends-in-clear"


@pytest.mark.parametrize("line", ["mta_sts = enforce", "x_owner = us", "no pair", "tls = on"])
def test_a_line_that_is_near_to_no_key_is_a_note_without_a_guess(line: str) -> None:
    (finding,) = of_text(f"{ON}[a.example]\ntable_tls = require\n{line}\n").findings
    assert finding.severity == "note"
    assert "Did you mean" not in finding.what
    assert "spelling" not in finding.todo


def test_a_slip_in_the_bounce_profiles_is_a_warning_too(tmp_path: Path) -> None:
    path = tmp_path / "b.toml"
    path.write_text("[Default]\nmax_retires = 3\ncolour = 1\n")
    told = {f.what.split(" = ")[0]: f.finding for f in of_text(ON, profiles=path).findings}
    assert (told["max_retires"], told["colour"]) == (DROPPED, "unknown-key")


def test_what_is_drawn_is_worded_as_drawn(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("domain,messages\n" + "".join(f"d{i}.example.net,900000\n" for i in range(60)))
    text = f"{ON.replace('= on', '= require_verify')}[.net]\nmax_host_concurrency = 1\n{LIMITS}"
    for population, whose in (
        (Population.read_csv(path, seed=3), "as drawn from 2020s-web, seed 3, "),
        (Population.preset("2020s-web", domains=300), "as drawn from 2020s-web, seed 1, "),
    ):
        found = check(Policy.parse(text), population=population, workload=Workload(messages_per_day=1e8)).findings
        of_peers = [f for f in found if "certificate" in f.what or "TLS: " in f.what or "connections at" in f.what]
        assert len({f.finding for f in of_peers}) >= 2
        assert all(whose in f.what for f in of_peers)
    made = met(text, {"domain": "a.example", **host(chain="expired")})
    assert not any("as drawn" in f.what for f in made.findings)


def test_entries_without_mail() -> None:
    text = ON + "[gone.example]\ntable_tls = require\n[[192.0.2.7]]\ntable_tls = off\n"
    assert kinds(met(text, {"domain": "a.example"})) == ["no-mail", "no-mail"]


def test_a_suffix_that_only_ever_loses() -> None:
    text = ON + "[.gov.example]\ntable_tls = require\n[tax.gov.example]\ntable_tls = off\n"
    (finding,) = met(text, {"domain": "tax.gov.example"}, {"domain": "b.example"}).findings[-1:]
    assert (finding.finding, finding.entry) == ("suffix-always-loses", ".gov.example")


def test_a_suffix_that_leaves_its_own_name_to_default() -> None:
    text = ON + "[.bank.example]\ntable_tls = require\n"
    specs = ({"domain": "bank.example", "hosts": [{"host": "mx", "san_domain": True}]}, {"domain": "a.bank.example"})
    (finding,) = met(text, *specs).findings
    assert finding.finding == "suffix-misses-its-own-name"
    assert "[bank.example]" in finding.todo
    assert kinds(met(text + "[bank.example]\ntable_tls = on_verify\n", *specs)) == []


@pytest.mark.parametrize(
    ("value", "columns", "finding"),
    [
        ("require", {"not_offered_rate": 1.0}, "required-without-starttls"),
        ("require_verify", {"stripped": True}, "required-without-starttls"),
        ("require_verify_hosted", {"tls_version": "TLSv1.0"}, "required-without-starttls"),
        ("on", {"not_offered_rate": 1.0}, None),
        ("require", {"not_offered_rate": 0.5}, None),
        ("require_verify", {"san_mx": True}, "verify-needs-hosted"),
        ("require_verify", {"san_domain": True}, None),
        ("require_verify", {"chain": "self-signed", "san_domain": True}, "certificate-never-verifies"),
        ("require_verify_hosted", {"san_mx": True}, None),
        ("require_verify_hosted", {"chain": "expired", "san_mx": True}, "certificate-never-verifies"),
        ("on_verify", {"san_mx": True}, "verification-never-succeeds"),
        ("require", {"chain": "expired"}, None),
    ],
)
def test_tls_that_a_peer_cannot_give(value: str, columns: dict[str, Any], finding: str | None) -> None:
    names = {"san_present": True, "san_mx": False, "san_domain": False, "cn_mx": False, "cn_domain": False}
    result = met(f"{ON}[a.example]\ntable_tls = {value}\n", {"domain": "a.example", **host(**{**names, **columns})})
    told = [f for f in result.findings if f.finding != "repeats-another-entry"]
    assert [f.finding for f in told] == ([] if finding is None else [finding])
    assert all("a.example (100 % of the mail)" in f.what and f.line == 11 for f in told)


def test_peers_that_are_gone_are_not_blamed_on_tls() -> None:
    text = ON + "[a.example]\ntable_tls = require\n"
    assert kinds(met(text, {"domain": "a.example", "dns": "nxdomain"})) == []
    assert kinds(met(text, {"domain": "a.example", **host(unreachable_rate=1.0)})) == []


def test_many_destinations_of_one_entry_are_one_finding() -> None:
    specs = [{"domain": f"a{i}.bank.example", "hosts": [{"host": f"mx{i}", "not_offered_rate": 1.0}]} for i in range(7)]
    (finding,) = met(ON + "[.bank.example]\ntable_tls = require\n", *specs).findings
    assert "and 4 more" in finding.what


LIMITS = "limit_type = host\nlimit_apply = system\n"


def test_recipients_below_the_load() -> None:
    text = f"{ON}[a.example]\nrecipient_minutes = 60\nrecipient_limit = 100\n{LIMITS}"
    quiet, busy = met(text, {"domain": "a.example"}, messages=500), met(text, {"domain": "a.example"}, messages=24_000)
    assert kinds(quiet) == []
    (finding,) = [f for f in busy.findings if f.severity == "warning"]
    assert finding.finding == "recipients-below-the-load"
    assert "may have 100" in finding.what
    assert finding.line == 11
    need = float(finding.what.split(" needs ")[1].split()[0].replace(",", ""))
    raised = float(finding.todo.split("recipient_limit ")[1].split()[0])
    assert f"(the need is {need / 100:.2f} times the limit; a quarter is added)" in finding.todo
    assert need / 100 * 1.25 <= raised <= need / 100 * 1.25 + 0.11


def test_connections_below_the_load_and_close_to_it() -> None:
    text = f"{ON}[a.example]\nmax_host_concurrency = 1\n{LIMITS}"
    slow = {"domain": "a.example", **host(accept_median_s=2.0, accept_sigma=0.01, rtt_s=0.001)}
    assert kinds(met(text, slow, messages=10_000)) == []
    close = met(text, slow, messages=40_000)
    assert kinds(close) == ["connections-close-to-the-load"]
    assert "raise max_host_concurrency by a quarter" in close.findings[0].todo
    assert kinds(met(text, slow, messages=50_000)) == ["connections-below-the-load"]


def test_limits_of_each_address_add_up() -> None:
    slow = {"accept_median_s": 2.0, "accept_sigma": 0.01, "rtt_s": 0.001}
    spec = {"domain": "a.example", "hosts": [{"host": f"mx{i}.a.example", **slow} for i in range(3)]}
    text = f"{ON}[a.example]\nmax_host_concurrency = 1\n{LIMITS}"
    assert kinds(met(text, spec, messages=50_000)) == ["connections-below-the-load"]
    assert kinds(met(text.replace("= host", "= MXIP"), spec, messages=50_000)) == []


def test_limits_need_an_amount_of_mail() -> None:
    population = Population.preset("2020s-web", domains=30)
    result = check(Policy.parse(ON), population=population)
    assert result.not_checked == (NO_MAIL,)
    assert not check(Policy.parse(ON), population=population, workload=Workload(messages_per_day=10)).not_checked


def test_the_shipped_example_gives_a_postmaster_something_to_say() -> None:
    policy = Policy.read(example("destinations.ini"), profiles=example("bounce_profiles.toml"))
    result = check(
        policy, population=Population.preset("2020s-web", domains=300), workload=Workload(messages_per_day=1e6)
    )
    assert {
        "retries-end-before-the-lifetime",
        "repeats-another-entry",
        "verify-needs-hosted",
        "no-mail",
        "dane-unconfirmed",
        "unknown-key",
    } <= set(kinds(result))
    severities = [f.severity for f in result.findings]
    assert severities == sorted(severities, reverse=True)
    assert result.count("warning") + result.count("note") == len(result.findings)
    assert all(f.what and f.why and f.todo and "\n" not in f.what for f in result.findings)


def test_dane_beside_tls_no_is_warned_of() -> None:
    table = DestinationControls(entries=(Entry(domain="a.example", tls=Setting.NO, dane_option="mandatory"),))
    found = [f for f in check(table).findings if f.finding == "dane-beside-no"]
    assert [(f.severity, f.entry) for f in found] == [("warning", "a.example")]
