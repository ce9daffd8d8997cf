"""Explanations say what the tables and the engine do: decisions, rulings, hosts, and retries at the same times."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sim
from sim.delivery.simulate import simulate
from sim.errors import ScenarioError
from sim.policy.decide import decide
from sim.policy.identity import rule_holds
from sim.policy.profiles import esa
from sim.policy.retry import BounceProfile, Growth, HostRetry
from sim.studies.explain import (
    NAMES,
    NEXT,
    Evidence,
    explain_evidence,
    explain_hosts,
    retry_table,
    ruling,
)
from sim.terms import Chain, Outcome, Setting, Stage, TlsVersion
from tests.delivery.stories import peer, story, tell
from tests.repository.tree import ROOT

evidence = st.builds(
    Evidence,
    stage=st.sampled_from(Stage),
    tls_version=st.sampled_from(TlsVersion),
    chain=st.sampled_from(Chain),
    names=st.frozensets(st.sampled_from(NAMES)),
)


@given(evidence)
def test_the_outcome_is_the_one_the_core_decides(shown: Evidence) -> None:
    rows = explain_evidence(shown)
    for setting, row in zip(Setting, rows.to_dict("records"), strict=True):
        rule = esa.tables().plain(setting)[1]
        flags = {name.replace("-", "_"): name in shown.names for name in NAMES if name != "san-other"}
        holds = bool(rule_holds(rule, san_present=any(n.startswith("san") for n in shown.names), **flags))
        enough = shown.tls_version >= TlsVersion.TLS_1_2
        code = decide(setting, shown.stage, enough, shown.chain, holds, esa.tables())
        assert row["outcome"] == Outcome(int(code)).label
        assert row["name_rule_holds"] == (holds and shown.stage == Stage.TLS)
        assert row["next"] == NEXT[Outcome(int(code))]


@given(evidence)
def test_what_is_spelled_is_read_back_as_far_as_it_matters(shown: Evidence) -> None:
    again = Evidence.parse(shown.text())
    assert again.text() == shown.text()
    assert explain_evidence(again).equals(explain_evidence(shown))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stage=handshake_faild", "Did you mean 'handshake-failed'"),
        ("chain=self", "evidence chain = 'self'; allowed: trusted, self-signed"),
        (
            "colour=blue",
            "evidence = 'colour=blue'; allowed: parts such as stage=tls, tls_version=TLSv1.2, chain=expired, ",
        ),
        ("stage=tls stage=tls", "allowed: stage once"),
        ("names=san-domian", "Did you mean 'san-domain'"),
        ("tls", "evidence = 'tls'.*Did you mean 'stage=tls'"),
        ("expired", "chain=expired, names=san-mx, .*Did you mean 'chain=expired'"),
        ("chian=expired", "Did you mean 'chain'"),
    ],
)
def test_evidence_that_cannot_be_read_is_named(text: str, told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        Evidence.parse(text)


def test_open_cells_name_their_switches_and_each_switch_has_its_page() -> None:
    rows = explain_evidence(Evidence(stage=Stage.REFUSED_5XX)).set_index("setting")
    assert rows.loc["Required", "switches"] == "starttls_5xx_required tls_failure_next_mx"
    assert not rows.loc["Required", "settled"]
    assert rows.loc["Preferred", "settled"]
    names = {n for stage in Stage for row in explain_evidence(Evidence(stage=stage))["switches"] for n in row.split()}
    assert len(names) == 3
    for name in names:
        assert (ROOT / "docs" / "decisions" / f"{name.replace('_', '-')}.md").exists()


def test_the_switches_and_the_minimum_version_count() -> None:
    failed = Evidence(stage=Stage.HANDSHAKE_FAILED)
    strict = explain_evidence(failed, [Setting.PREFERRED_VERIFY], switches=esa.Switches(pv_after_220="fail"))
    assert strict["outcome"].tolist() == ["next host"]
    old = Evidence(tls_version=TlsVersion.TLS_1_1)
    assert explain_evidence(old, [Setting.REQUIRED])["seen"].tolist() == ["handshake failed"]
    allowed = explain_evidence(old, [Setting.REQUIRED], minimum_tls=TlsVersion.TLS_1_0)
    assert allowed["outcome"].tolist() == ["encrypted"]


def test_a_ruling_names_entry_line_and_what_is_inherited() -> None:
    scenario = sim.read_scenario(sim.example("scenario.toml")).scenario
    lines = sim.example("destinations.ini").read_text().splitlines()
    found = ruling(scenario, "x.GOV.example.")
    assert found.written is not None
    assert lines[found.written.line - 1] == "[.gov.example]"
    assert (found.entry.tls, found.tls_inherited) == (Setting.REQUIRED, False)
    other = ruling(scenario, "nobody.test")
    assert (other.written, other.entry.domain, other.tls_inherited) == (None, "DEFAULT", True)
    with pytest.raises(ScenarioError, match="domain = 'no domain'"):
        ruling(scenario, "no domain")


def test_hosts_are_told_in_order_with_all_they_may_show() -> None:
    hosts = [
        {"host": "mx2.a.example", "preference": 20, "not_offered_rate": 0.25, "refused_4xx_rate": 0.25},
        {"host": "mx1.a.example", "preference": 10, "chain": "expired"},
    ]
    scenario = sim.Scenario(population=sim.Population.custom([{"domain": "a.example", "hosts": hosts}]))
    rows = explain_hosts(scenario, "A.example", Setting.REQUIRED_VERIFY_HOSTED)
    assert rows[["mx_host", "seen"]].to_numpy().tolist() == [
        ["mx1.a.example", "expired"],
        ["mx2.a.example", "verified"],
        ["mx2.a.example", "not offered"],
        ["mx2.a.example", "refused 4xx"],
    ]
    assert rows["probability"].tolist() == pytest.approx([1, 0.5, 0.25, 0.25])
    assert rows["outcome"].tolist() == ["next host", "verified", "next host", "next host"]
    assert explain_hosts(scenario, "b.example", Setting.NO).empty


@pytest.mark.parametrize(("growth", "queue_time_s"), list(product(Growth, (100.0, 3_600.0, 20_000.0))))
def test_a_message_that_never_passes_is_tried_at_the_times_of_the_table(growth: Growth, queue_time_s: float) -> None:
    """Under Required to a peer without STARTTLS, whose answers take microseconds: every opening and the bounce."""
    retry = HostRetry(initial_wait_s=60, max_wait_s=900, growth=growth)
    profile = BounceProfile(max_queue_time_s=queue_time_s)
    mute = {"host": "mx1.a.example", "rtt_s": 1e-6, "not_offered_rate": 1.0}
    asked = story(
        peer("a.example", mute), [0.0], setting=Setting.REQUIRED, profile={"max_queue_time_s": queue_time_s},
        host_retry=retry,
    )  # fmt: skip
    told = tell(asked)
    rows = retry_table(profile, retry)
    assert told.connection("opened_s") == pytest.approx(rows["after_s"].iloc[:-1].tolist(), abs=1e-3)
    assert told.message("done_s") == pytest.approx([rows["after_s"].iloc[-1]], abs=1e-3)
    assert rows["wait_s"].iloc[0] == 0


@pytest.mark.parametrize(
    ("retries", "queue_time_s", "end"), [(2, 1e6, "retries used up"), (100, 100.0, "time in queue")]
)
def test_a_message_refused_for_ever_is_tried_at_the_times_of_the_guide(
    retries: int, queue_time_s: float, end: str
) -> None:
    """The guide's two worked examples: 0, 60, 120 and the bounce after the third; 0, 60 and the bounce at 120."""
    profile = BounceProfile(max_retries=retries, max_queue_time_s=queue_time_s, initial_wait_s=60, max_wait_s=60)
    rows = retry_table(profile, HostRetry(), own=True)
    assert rows["after_s"].tolist() == ([0, 60, 120, 120] if retries == 2 else [0, 60, 120])
    assert rows["what"].iloc[-1] == f"bounce: {end}"
    refusing = peer("a.example", first_4yz_rate=1.0, rescued_share=0.0, persistent_4yz_share=1.0)
    values = {"max_retries": retries, "max_queue_time_s": queue_time_s, "initial_wait_s": 60, "max_wait_s": 60}
    result = simulate(story(refusing, [0.0], profile=values), records=True)
    assert result.messages["done_s"].tolist() == pytest.approx([120], abs=1e-3)
    assert result.messages["verdicts"].tolist() == [len(rows) - 1]
