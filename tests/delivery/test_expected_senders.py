"""Expected rates of any sender: what receivers publish, aged messages, MX hosts, sums over a sender's own retries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sim.delivery.analytic import ENDS, STEPS, pass_probabilities
from sim.delivery.expected import expected
from sim.delivery.retry_sums import message_probabilities
from sim.errors import ScenarioError
from sim.policy.destinations import DestinationControls, Entry
from sim.policy.profiles import SENDERS, profile
from sim.policy.profiles.postfix import Level
from sim.scenario import Scenario
from sim.terms import Dane, MtaSts, Setting, TlsVersion
from sim.world.population import Population
from sim.world.workload import Workload


def scenario(*specs: dict[str, Any], **changes: Any) -> Scenario:
    return Scenario(population=Population.custom(list(specs)), workload=Workload.flat(10), **changes)


def one(**host: Any) -> dict[str, Any]:
    return {"domain": "a.example", "hosts": [{"host": "mx.test", **host}]}


def published(
    asked: Scenario, dane: list[Dane] | None = None, mta_sts: MtaSts = MtaSts.NONE, listed: bool = True
) -> Scenario:
    """The scenario with TLSA records by route, and one policy for all of its domains."""
    population = asked.population
    states = dane or [Dane.NONE] * len(population.routes)
    population = replace(
        population,
        domains=population.domains.assign(mta_sts=int(mta_sts)),
        routes=population.routes.assign(dane=[int(d) for d in states], sts_listed=listed),
    )
    return replace(asked, population=population)


def row(asked: Scenario, setting: str, **how: Any) -> dict[str, Any]:
    frame = expected(asked, sender="postfix", **how)
    return dict(zip(frame.columns, frame[frame["setting"] == setting].iloc[0], strict=True))


def test_a_young_pass_waits_where_an_aged_one_goes_in_clear() -> None:
    asked = scenario(one(handshake_failed_rate=0.25))
    young, aged = (
        pass_probabilities(asked.sent_by("postfix"), [Level.MAY, Level.ENCRYPT], aged=old)[:, 0]
        for old in (False, True)
    )
    assert dict(zip(ENDS, young[0], strict=True)) == pytest.approx(
        {"in_clear": 0, "encrypted": 0.75, "verified": 0, "bounced": 0, "deferred": 0.25}
    )
    assert aged[0].tolist() == pytest.approx([0.25, 0.75, 0, 0, 0])
    assert aged[1].tolist() == young[1].tolist()


def test_a_message_is_young_in_its_first_pass_alone() -> None:
    """Postfix tries at 0 and 300 s, and at 300 s a message is old: its second failed handshake sends it in clear."""
    asked = scenario(one(handshake_failed_rate=0.25))
    assert row(asked, "may", per="message")["in_clear"] == pytest.approx(0.25**2)
    assert row(asked, "may", per="message")["encrypted"] == pytest.approx(1 - 0.25**2)
    assert row(asked, "may", per="message")["deferred"] == pytest.approx(0.25)
    assert row(asked, "encrypt", per="message")["encrypted"] == pytest.approx(1)


def test_tries_are_those_of_the_senders_queue() -> None:
    queueing = profile("postfix").queueing
    assert queueing is not None
    tries = len(queueing.attempt_times_s())
    asked = scenario(one(not_offered_rate=0.99))
    assert row(asked, "encrypt", per="message")["bounced"] == pytest.approx(0.99**tries)
    assert expected(asked, per="message").set_index("setting").loc["Required", "bounced"] != pytest.approx(0.99**tries)


def test_a_bounce_at_once_ends_the_pass_at_its_host() -> None:
    hosts = [{"host": "mx1.test", "refused_5xx_rate": 0.4}, {"host": "mx2.test"}]
    asked = scenario({"domain": "a.example", "hosts": hosts})
    assert row(asked, "encrypt")["bounced"] == pytest.approx(0.4)
    assert row(asked, "encrypt")["encrypted"] == pytest.approx(0.6)
    assert row(asked, "may")["in_clear"] == pytest.approx(0.4)
    assert row(asked, "encrypt", per="message")["bounced"] == pytest.approx(0.4)


def test_each_route_is_asked_by_what_it_publishes() -> None:
    hosts = [{"host": "mx1.test", "chain": "self-signed"}, {"host": "mx2.test", "not_offered_rate": 0.5}]
    asked = scenario({"domain": "a.example", "hosts": hosts})
    matches = published(asked, [Dane.USABLE_MATCH, Dane.NONE])
    assert row(matches, "dane")["verified"] == pytest.approx(1)
    assert row(matches, "may")["encrypted"] == pytest.approx(1)
    differs = published(asked, [Dane.USABLE_MISMATCH, Dane.NONE])
    assert row(differs, "dane")["encrypted"] == pytest.approx(0.5)
    assert row(differs, "dane")["in_clear"] == pytest.approx(0.5)
    assert row(differs, "dane-only")["deferred"] == pytest.approx(1)
    bogus = published(asked, [Dane.BOGUS, Dane.BOGUS])
    assert row(bogus, "dane")["deferred"] == pytest.approx(1)
    assert row(bogus, "dane", per="message")["bounced"] == pytest.approx(1)


def test_a_host_that_may_not_be_used_is_passed_over_up_or_down() -> None:
    asked = published(scenario(one(outage_share=0.1, unreachable_rate=0.2)), [Dane.BOGUS])
    frame = expected(asked, by="mx_host", sender="postfix").set_index("setting")
    assert frame.loc["dane-only", "next_host"] == pytest.approx(1)
    assert frame.loc["may", "next_host"] == pytest.approx(1 - 0.9 * 0.8)


def test_policies_of_rfc_8461_bind_the_senders_that_honour_them() -> None:
    asked = published(scenario(one(chain="expired")), mta_sts=MtaSts.ENFORCE)
    unlisted = published(scenario(one()), mta_sts=MtaSts.ENFORCE, listed=False)
    assert row(asked, "may")["encrypted"] == pytest.approx(1)
    frame = expected(replace(asked, switches=replace(asked.switches, mta_sts=True))).set_index("setting")
    assert frame.loc["Preferred", "deferred"] == pytest.approx(1)
    frame = expected(replace(unlisted, switches=replace(asked.switches, mta_sts=True))).set_index("setting")
    assert frame["deferred"].tolist() == pytest.approx([0, 1, 1, 1, 1, 1])


def test_the_gateway_asks_for_nothing_it_is_not_told_to() -> None:
    plain = scenario(one(chain="self-signed", not_offered_rate=0.3))
    told = published(plain, [Dane.USABLE_MATCH], MtaSts.ENFORCE)
    pd.testing.assert_frame_equal(expected(told), expected(plain))


@pytest.mark.parametrize(
    ("mx", "end"), [("mx.a.example", "verified"), ("mx.b.example", "deferred"), ("mxa.example", "deferred")]
)
def test_the_name_of_a_host_below_the_domain_counts_for_secure(mx: str, end: str) -> None:
    asked = scenario({"domain": "a.example", "hosts": [{"host": mx}]})
    assert row(asked, "secure")[end] == pytest.approx(1)
    assert row(asked, "verify")["verified"] == pytest.approx(1)


def test_the_lowest_version_is_the_scenarios_then_the_senders_then_the_eras() -> None:
    old = scenario(one(tls_version=TlsVersion.TLS_1_1))
    assert row(old, "encrypt")["deferred"] == pytest.approx(1)
    lower = replace(old, minimum_tls=TlsVersion.TLS_1_0)
    assert row(lower, "encrypt")["encrypted"] == pytest.approx(1)


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("per", ["pass", "message"])
def test_ends_of_every_sender_sum_to_one(sender: str, per: str) -> None:
    population = Population.preset("2020s-web", domains=150)
    draw = np.random.default_rng(5)
    asked = Scenario(population=population, workload=Workload.flat(100))
    asked = published(asked, [Dane(d) for d in draw.integers(0, len(Dane), len(population.routes))], MtaSts.ENFORCE)
    frame = expected(asked, per=per, sender=sender)
    ends = list(ENDS) if per == "pass" else list(ENDS[:4])
    np.testing.assert_allclose(frame[ends].sum(axis=1), 1.0, atol=1e-9)
    assert frame[list(ENDS)].to_numpy().min() >= -1e-12
    assert frame.groupby("setting", sort=False).size().index.tolist() == [s.label for s in profile(sender).settings]
    assert frame["in_force"].sum() == len(population.domains)
    hosts = expected(asked, by="mx_host", sender=sender)
    np.testing.assert_allclose(hosts[list(STEPS)].sum(axis=1), 1.0, atol=1e-9)


def test_in_force_is_the_setting_nearest_to_the_policys() -> None:
    policy = DestinationControls(entries=(Entry(domain="a.example", tls=Setting.REQUIRED),))
    asked = scenario(one(), {"domain": "b.example"}, policy=policy)
    frame = expected(asked, sender="postfix")
    assert frame[frame["in_force"]][["domain", "setting"]].to_numpy().tolist() == [
        ["b.example", "none"],
        ["a.example", "encrypt"],
    ]


def test_rates_by_mx_host_are_those_of_one_connection() -> None:
    hosts = [
        {"host": "mx1.test", "preference": 20, "refused_5xx_rate": 0.5, "handshake_failed_rate": 0.25},
        {"host": "mx2.test", "preference": 10, "not_offered_rate": 1.0},
    ]
    asked = scenario({"domain": "a.example", "hosts": hosts})
    frame = expected(asked, by="mx_host", sender="postfix")
    assert frame.columns.tolist() == [
        "domain", "mx_host", "preference", "setting", *STEPS, "mail_share", "in_force"
    ]  # fmt: skip
    rows = frame[frame["setting"] == "encrypt"].to_dict("records")
    assert [(r["mx_host"], r["preference"]) for r in rows] == [("mx2.test", 10), ("mx1.test", 20)]
    assert rows[0]["next_host"] == 1
    assert (rows[1]["bounced"], rows[1]["next_host"], rows[1]["encrypted"]) == pytest.approx((0.5, 0.25, 0.25))
    strict = replace(asked, switches=replace(asked.switches, starttls_5xx_required="bounce"))
    gateway = expected(strict, [Setting.REQUIRED], by="mx_host").set_index("mx_host")
    assert gateway.loc["mx1.test", "bounced_if_last"] == pytest.approx(0.5)


def test_an_mx_host_is_asked_for_a_pass_and_other_units_are_refused() -> None:
    with pytest.raises(ScenarioError, match=r"per = 'message'; allowed: pass, beside by='mx_host'"):
        expected(scenario(one()), per="message", by="mx_host")
    with pytest.raises(ScenarioError, match=r"by = 'host'; allowed: domain, mx_host. Did you mean 'mx_host'"):
        expected(scenario(one()), by="host")


def test_tries_after_a_tls_failure_are_aged_where_the_sender_has_that_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = replace(profile("postfix"), aged_after_s=None, aged_after_tls_failure=True)
    monkeypatch.setattr("sim.scenario.profile", lambda _: rule)
    asked = scenario(one(handshake_failed_rate=0.5))
    found = message_probabilities(asked.sent_by("postfix"), [Level.MAY])[0, 0]
    assert found.tolist() == pytest.approx([0.25, 0.75, 0, 0, 0.5])
