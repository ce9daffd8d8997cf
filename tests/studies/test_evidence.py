"""Evidence is spelled alike everywhere, and what cannot be read is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import ScenarioError
from sim.policy.profiles import SENDERS
from sim.studies.evidence import BESIDE, NAMES, Evidence
from sim.studies.explain import explain_evidence
from sim.terms import Chain, Dane, MtaSts, NameRule, Stage, TlsVersion

evidence = st.builds(
    Evidence,
    stage=st.sampled_from(Stage),
    tls_version=st.sampled_from(TlsVersion),
    chain=st.sampled_from(Chain),
    names=st.frozensets(st.sampled_from((*NAMES, *BESIDE))),
    dane=st.sampled_from(Dane),
    mta_sts=st.sampled_from(MtaSts),
    mx_listed=st.booleans(),
    age_s=st.one_of(st.just(0.0), st.floats(0, 1e9)),
    attempt=st.integers(1, 1_000),
)


@given(evidence, st.sampled_from(SENDERS))
def test_what_is_spelled_is_read_back_as_far_as_it_matters(shown: Evidence, sender: str) -> None:
    again = Evidence.parse(shown.text())
    assert again.text() == shown.text()
    assert explain_evidence(again, sender=sender).equals(explain_evidence(shown, sender=sender))


def test_every_part_is_read() -> None:
    text = (
        "stage=lost-in-tls; tls_version=tlsv1.2 chain=self-signed names=SAN_MX,mx-below,fingerprint dane=usable-match "
        "mta_sts=enforce mx_listed=no age_s=1e3 attempt=7"
    )
    assert Evidence.parse(text) == Evidence(
        stage=Stage.LOST_IN_TLS,
        tls_version=TlsVersion.TLS_1_2,
        chain=Chain.SELF_SIGNED,
        names=frozenset({"san-mx", "mx-below", "fingerprint"}),
        dane=Dane.USABLE_MATCH,
        mta_sts=MtaSts.ENFORCE,
        mx_listed=False,
        age_s=1_000.0,
        attempt=7,
    )
    assert Evidence.parse(text).text().endswith("dane=usable-match mta_sts=enforce mx_listed=no age_s=1000 attempt=7")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("dane=usabel-match", "evidence dane = 'usabel-match'; allowed: none, insecure, .*Did you mean 'usable-match'"),
        ("mta_sts=enforced", "evidence mta_sts = 'enforced'; allowed: none, testing, enforce. Did you mean 'enforce'"),
        ("mx_listed=maybe", "evidence mx_listed = 'maybe'; allowed: yes, no"),
        ("age_s=young", "evidence age_s = 'young'; allowed: seconds, a number in 0..1000000000"),
        ("age_s=-1", "evidence age_s = -1.0; allowed: 0..1000000000 s"),
        ("age_s=inf", "evidence age_s = inf; allowed"),
        ("attempt=0", "evidence attempt = 0; allowed: a whole number, 1.."),
        ("attempt=1.5", "evidence attempt = '1.5'; allowed: a whole number, 1.."),
        ("ages=400", "evidence = 'ages=400'; allowed: parts such as stage=tls, .*Did you mean 'age_s'"),
        ("names=fingerprnt", "evidence names = 'fingerprnt'.*Did you mean 'fingerprint'"),
        ("usable-match", "Did you mean 'dane=usable-match'"),
        ("enforce", "Did you mean 'mta_sts=enforce'"),
        ("mx-below", "Did you mean 'names=mx-below'"),
    ],
)
def test_a_part_that_cannot_be_read_is_named(text: str, told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        Evidence.parse(text)


def test_python_meets_the_same_limits() -> None:
    with pytest.raises(ScenarioError, match="evidence names = 'san-maxx'"):
        Evidence(names=frozenset({"san-maxx"}))
    with pytest.raises(ScenarioError, match="evidence age_s = nan"):
        Evidence(age_s=float("nan"))
    with pytest.raises(ScenarioError, match="evidence attempt = 0"):
        Evidence(attempt=0)


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("names=san-mx", {NameRule.HOSTED, NameRule.HOSTNAME, NameRule.HOSTNAME_THREE_LABELS, NameRule.MTA_STS}),
        ("names=cn-mx", {NameRule.HOSTED, NameRule.HOSTNAME, NameRule.HOSTNAME_THREE_LABELS}),
        ("names=cn-mx,san-other", set()),
        ("names=cn-ptr,san-other", {NameRule.VERIFY}),
        ("names=san-domain", {NameRule.VERIFY, NameRule.HOSTED, NameRule.NEXTHOP, NameRule.NEXTHOP_OR_BELOW}),
        ("names=mx-below", set()),
        ("names=fingerprint", {NameRule.FINGERPRINT}),
        ("dane=usable-match", {NameRule.TLSA}),
        ("dane=usable-mismatch", set()),
    ],
)
def test_names_hold_for_the_rules_that_look_at_them(text: str, rules: set[NameRule]) -> None:
    shown = Evidence.parse(text)
    assert {rule for rule in NameRule if shown.holds(rule)} - {NameRule.CHAIN_ONLY} == rules
    assert Evidence.parse("names=san-mx,mx-below").holds(NameRule.NEXTHOP_OR_BELOW)
