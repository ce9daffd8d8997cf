"""A pass told by `explain_pass`: against the policy core walked by another hand, known cases, and expected rates."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
from sim.delivery.analytic import ENDS
from sim.delivery.expected import expected
from sim.errors import PolicyError, ScenarioError
from sim.policy.decide import decide
from sim.policy.profile import Profile
from sim.policy.profiles import SENDERS, profile
from sim.studies.evidence import Evidence
from sim.studies.explain import explain_pass
from sim.studies.passes import Asked
from sim.terms import Chain, Dane, DaneOption, Demand, MtaSts, Outcome, Reason, Setting, Stage, Term, TlsVersion
from tests.studies.test_evidence import evidence


def decided(sender: Profile, setting: Term, shown: Evidence, option: DaneOption, aged: bool) -> Outcome:
    """What the policy core makes of one connection."""
    tables = sender.tables()
    _, rule = tables.asks(setting, option, shown.dane, shown.mta_sts, int(shown.mx_listed))
    lowest = sender.minimum_tls or TlsVersion.TLS_1_2
    code = decide(
        setting, shown.stage, shown.tls_version >= lowest, shown.chain, shown.holds(rule), tables, aged,
        dane_option=option, dane=shown.dane, mta_sts=shown.mta_sts, mx_listed=shown.mx_listed,
    )  # fmt: skip
    return Outcome(int(code))


def walked(sender: Profile, setting: Term, hosts: list[Evidence], option: DaneOption, aged: bool) -> tuple[str, int]:
    """The end of a pass and the host it ended with, from `decide` alone."""
    for n, shown in enumerate(hosts):
        outcome = decided(sender, setting, shown, option, aged)
        if outcome == Outcome.RECONNECT_CLEAR:
            outcome = Outcome.DELIVER_CLEAR  # the host has just answered, so nothing but mail in clear can follow
        if outcome <= Outcome.DELIVER_VERIFIED:
            return ENDS[outcome], n
        if outcome in (Outcome.BOUNCE_ALL, Outcome.BOUNCE_NOW):
            return "bounced", n
        if outcome == Outcome.RETRY:
            return "deferred", n
        if n == len(hosts) - 1:
            return ("bounced" if outcome == Outcome.BOUNCE_MESSAGE else "deferred"), n
    raise AssertionError


@given(st.data())
@settings(max_examples=400)
def test_a_pass_ends_as_the_core_decides(data: st.DataObject) -> None:
    sender = profile(data.draw(st.sampled_from(SENDERS)))
    setting = data.draw(st.sampled_from(list(sender.settings)))
    hosts = data.draw(st.lists(evidence, min_size=1, max_size=3))
    option = data.draw(st.sampled_from(DaneOption))
    age = max(host.age_s for host in hosts)
    aged = sender.aged_after_s is not None and age >= sender.aged_after_s
    aged = aged or (sender.aged_after_tls_failure and max(host.attempt for host in hosts) > 1)
    end = explain_pass(sender, setting, hosts, dane_option=option)
    assert (end.outcome, end.host) == walked(sender, setting, hosts, option, aged)
    assert (end.reason == Reason.NONE) == (end.outcome not in ("bounced", "deferred"))
    assert [step.host for step in end.steps] == sorted(step.host for step in end.steps)


@pytest.mark.parametrize(
    ("level", "hosts", "age_s", "end"),
    [
        # runs of Postfix 3.7.11: an old message goes in clear to the first host, a young one to the next
        ("may", ["stage=handshake-failed", "stage=tls"], 400, ("in_clear", 0)),
        ("may", ["stage=handshake-failed", "stage=tls"], 299, ("encrypted", 1)),
        ("may", ["stage=handshake-failed"], 299, ("deferred", 0)),
        ("may", ["stage=lost-in-tls", "stage=tls"], 300, ("in_clear", 0)),
        ("may", ["stage=lost-before-220", "stage=not-offered"], 400, ("in_clear", 1)),
        # a 5xx to STARTTLS bounces at once at a mandatory level; a 4xx goes on
        ("encrypt", ["stage=refused-5xx", "stage=tls"], 0, ("bounced", 0)),
        ("encrypt", ["stage=refused-4xx", "stage=tls"], 0, ("encrypted", 1)),
        ("encrypt", ["stage=greeting-5xx", "stage=refused-5xx"], 0, ("bounced", 1)),
        ("encrypt", ["stage=unreachable", "stage=not-offered"], 0, ("deferred", 1)),
        ("encrypt", ["stage=dns-temporary"], 0, ("deferred", 0)),
        ("encrypt", ["stage=null-mx"], 0, ("bounced", 0)),
        ("secure", ["names=san-mx", "names=san-domain"], 0, ("verified", 1)),
        ("secure", ["names=san-mx,mx-below"], 0, ("verified", 0)),
        ("fingerprint", ["chain=expired names=fingerprint"], 0, ("verified", 0)),
        # TLSA records that match take the place of chain and name; a host without any is not used at dane-only
        ("dane", ["chain=self-signed dane=usable-match"], 0, ("verified", 0)),
        ("dane", ["chain=trusted names=san-mx dane=usable-mismatch", "stage=tls"], 0, ("encrypted", 1)),
        ("dane", ["stage=not-offered dane=bogus", "stage=not-offered dane=insecure"], 0, ("in_clear", 1)),
        ("dane-only", ["stage=refused-5xx", "dane=usable-match"], 0, ("verified", 1)),
        ("dane-only", ["stage=refused-5xx dane=usable-match", "dane=usable-match"], 0, ("bounced", 0)),
        ("dane-only", ["stage=tls"], 0, ("deferred", 0)),
    ],
)
def test_postfix_as_its_runs_and_source_have_it(
    level: str, hosts: list[str], age_s: float, end: tuple[str, int]
) -> None:
    found = explain_pass("postfix", level, hosts, age_s=age_s)
    assert (found.outcome, found.host) == end


def test_a_reconnection_is_a_step_of_its_own() -> None:
    end = explain_pass("esa", Setting.PREFERRED_VERIFY, "stage=handshake-failed")
    assert [(step.host, step.demand, step.outcome) for step in end.steps] == [
        (0, Demand.OPPORTUNISTIC_VERIFY, Outcome.RECONNECT_CLEAR),
        (0, Demand.CLEAR, Outcome.DELIVER_CLEAR),
    ]
    assert (end.outcome, end.reason) == ("in_clear", Reason.NONE)


def test_bounce_message_bounces_where_no_later_host_follows() -> None:
    strict = {"starttls_5xx_required": "bounce"}
    refused = "stage=refused-5xx"
    found = [
        explain_pass("esa", "required", hosts, switches=strict)
        for hosts in ([refused], [refused, "stage=tls"], [refused, "stage=unreachable"], ["stage=unreachable", refused])
    ]
    assert [end.outcome for end in found] == ["bounced", "encrypted", "deferred", "bounced"]


def test_switches_options_and_age_are_taken() -> None:
    enforced = Evidence(mta_sts=MtaSts.ENFORCE, names=frozenset({"san-domain"}))
    unlisted = replace(enforced, mx_listed=False)
    on = {"mta_sts": True}
    assert explain_pass("postfix", "may", enforced).outcome == "encrypted"
    found = explain_pass("postfix", "may", [enforced, unlisted], switches=on)
    assert (found.outcome, found.host) == ("deferred", 1)
    assert [step.asked for step in found.steps] == [True, False]
    matched = Evidence(dane=Dane.USABLE_MATCH, chain=Chain.EXPIRED)
    assert explain_pass("esa", "required", matched).outcome == "encrypted"
    assert explain_pass("esa", "required", matched, dane_option=DaneOption.OPPORTUNISTIC).outcome == "verified"
    old = Evidence(tls_version=TlsVersion.TLS_1_1)
    assert explain_pass("postfix", "encrypt", old).outcome == "deferred"
    assert explain_pass("postfix", "encrypt", old, minimum_tls=TlsVersion.TLS_1_0).outcome == "encrypted"
    failed = Evidence(stage=Stage.HANDSHAKE_FAILED, age_s=301.0)
    assert explain_pass("postfix", "may", failed).outcome == "in_clear"
    assert explain_pass("postfix", "may", failed, age_s=0).outcome == "deferred"


def test_a_rule_on_tries_after_a_tls_failure_counts_from_the_second() -> None:
    rule = replace(profile("postfix"), aged_after_s=None, aged_after_tls_failure=True)
    asked = Asked.of(rule)
    assert [asked.is_aged(1e6, attempt) for attempt in (1, 2, 9)] == [False, True, True]
    assert explain_pass(rule, "may", "stage=handshake-failed attempt=2").outcome == "in_clear"
    assert explain_pass(rule, "may", "stage=handshake-failed age_s=1e6").outcome == "deferred"


@pytest.mark.parametrize("sender", SENDERS)
def test_certain_hosts_end_as_expected_rates_say(sender: str) -> None:
    """Two hosts that always do the same, in every pair of behaviours, with and without DANE and MTA-STS."""
    behaviours: dict[str, dict[str, Any]] = {
        "stage=unreachable": {"unreachable_rate": 1.0},
        "stage=greeting-5xx": {"greeting_5xx_rate": 1.0},
        "stage=not-offered": {"not_offered_rate": 1.0},
        "stage=refused-5xx": {"refused_5xx_rate": 1.0},
        "stage=handshake-failed": {"handshake_failed_rate": 1.0},
        "stage=lost-in-tls": {"lost_in_tls_rate": 1.0},
        "stage=tls chain=expired names=san-mx": {"chain": "expired"},
        "stage=tls names=san-mx": {},
    }
    published = [
        (Dane.NONE, MtaSts.NONE, True),
        (Dane.USABLE_MATCH, MtaSts.NONE, True),
        (Dane.BOGUS, MtaSts.TESTING, True),
        (Dane.UNUSABLE, MtaSts.ENFORCE, True),
        (Dane.NONE, MtaSts.ENFORCE, False),
    ]
    cases = [(*pair, told) for pair in product(behaviours, behaviours) for told in published]
    specs = [
        {
            "domain": f"d{i}.example",
            "hosts": [
                {"host": f"a.mx{i}.test", **behaviours[one]},
                {"host": f"b.mx{i}.test", **behaviours[two]},
            ],
        }
        for i, (one, two, _) in enumerate(cases)
    ]
    population = sim.Population.custom(specs)
    told = [case[2] for case in cases]
    population = replace(
        population,
        domains=population.domains.assign(mta_sts=[int(t[1]) for t in told]),
        routes=population.routes.assign(
            dane=[int(told[d][0]) if p == 10 else 0 for d, p in population.routes[["domain", "preference"]].to_numpy()],
            sts_listed=[told[d][2] for d in population.routes["domain"]],
        ),
    )
    frame = expected(sim.Scenario(population=population), sender=sender)
    known = profile(sender)
    for setting, rows in frame.groupby("setting", sort=False):
        for (one, two, (dane, mode, listed)), row in zip(cases, rows.to_dict("records"), strict=True):
            shown = [
                replace(Evidence.parse(text), dane=state, mta_sts=mode, mx_listed=listed)
                for text, state in ((one, dane), (two, Dane.NONE))
            ]
            end = explain_pass(known, str(setting), shown)
            assert row[end.outcome] == pytest.approx(1), (setting, one, two, dane, mode, listed)


def test_what_is_none_is_named() -> None:
    with pytest.raises(PolicyError, match=r"setting = 'dan-only'; allowed: none, .*Did you mean 'dane-only'"):
        explain_pass("postfix", "dan-only", "stage=tls")
    with pytest.raises(PolicyError, match=r"sender = 'postfx'; allowed: esa.*Did you mean 'postfix'"):
        explain_pass("postfx", "may", "stage=tls")
    with pytest.raises(PolicyError, match=r"switch of Postfix = 'mta-sts'.*Did you mean 'mta_sts'"):
        explain_pass("postfix", "may", "stage=tls", switches={"mta-sts": True})
    with pytest.raises(ScenarioError, match=r"hosts = 0; allowed: evidence of 1\.\."):
        explain_pass("postfix", "may", [])
