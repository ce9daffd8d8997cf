"""Fates of a message that is alone in its queue: sums over retries against simulated messages, and by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sim.delivery.analytic import ENDS
from sim.delivery.expected import expected
from sim.delivery.retry_sums import message_probabilities
from sim.delivery.simulate import simulate
from sim.errors import ScenarioError
from sim.policy.destinations import DestinationControls, Entry
from sim.policy.profiles import SENDERS
from sim.policy.retry import BounceProfile, HostRetry
from sim.scenario import Scenario
from sim.terms import Fate, Setting
from sim.world.population import Population
from sim.world.workload import Workload

FALSE_ALARM = 1e-6
#: Four passes: at 0, 60, 180 and 420 s; the bounce when the fifth would fall due, at 900 s.
SHORT = DestinationControls(
    profiles={"Default": BounceProfile(max_queue_time_s=500.0, initial_wait_s=60, max_wait_s=60)},
    host_retry=HostRetry(initial_wait_s=60, max_wait_s=480),
)


def alone(count: int, **peer: Any) -> Scenario:
    """A scenario of many destinations that behave alike, one message each, so that no message helps another."""
    hosts = peer.pop("hosts", [{"host": "mx1", **peer.pop("host", {})}])
    specs = [
        {"domain": f"d{i}.example", **peer, "hosts": [{**h, "host": f"{h['host']}.d{i}.example"} for h in hosts]}
        for i in range(count)
    ]
    population = Population.custom(specs)
    trace = pd.DataFrame({"domain": population.domains["domain"], "time_s": 0.0, "size_bytes": 1_000, "recipients": 1})
    return Scenario(population=population, policy=SHORT, workload=Workload(trace=trace))


@pytest.mark.parametrize(
    "peer",
    [
        {"host": {"not_offered_rate": 0.6}},
        {"host": {"handshake_failed_rate": 0.5, "refused_5xx_rate": 0.2}},
        {"hosts": [{"host": "mx1", "preference": 10, "unreachable_rate": 0.7, "unreachable_s": 1.0},
                   {"host": "mx2", "preference": 20, "handshake_failed_rate": 0.6, "chain": "self-signed"}]},
        {"host": {"handshake_failed_rate": 0.3}, "first_4yz_rate": 0.4, "rescued_share": 0.5, "refused_5yz_rate": 0.1},
        {"host": {"not_offered_rate": 1.0}},
        {"dns_temporary_rate": 0.6},
    ],
    ids=["not offered", "handshake", "two hosts", "refusals", "never", "dns"],
)  # fmt: skip
def test_simulated_messages_agree(peer: dict[str, Any]) -> None:
    """400 messages under each setting; each fate's count against its binomial distribution."""
    scenario = alone(400, **peer)
    found = message_probabilities(scenario)[:, 0]
    count = len(scenario.population.domains)
    for setting in Setting:
        fates = simulate(scenario.with_setting(setting), seed=3, records=True).messages["fate"]
        for fate, probability in zip(list(Fate)[:4], found[setting], strict=False):
            seen = int((fates == fate.label).sum())
            low, high = stats.binom.interval(1 - FALSE_ALARM, count, min(max(probability, 0.0), 1.0))
            assert low <= seen <= high, f"{setting}, {fate}: {seen} of {count}, expected {probability:.3f}"


@pytest.mark.parametrize("sender", [key for key in SENDERS if key != "esa"])
def test_simulated_messages_of_other_senders_agree(sender: str) -> None:
    """300 messages under each of a sender's own settings, two MX hosts of which either may fail; as above."""
    hosts = [
        {"host": "mx1", "preference": 10, "handshake_failed_rate": 0.5, "refused_5xx_rate": 0.2},
        {"host": "mx2", "preference": 20, "not_offered_rate": 0.3, "handshake_failed_rate": 0.4, "chain": "expired"},
    ]
    scenario = replace(alone(300, hosts=hosts), sender=sender)
    settings = tuple(scenario.profile.settings)
    found = message_probabilities(scenario)[:, 0]
    assert found.shape == (len(settings), len(ENDS))
    for setting in settings:
        fates = simulate(scenario.with_setting(setting), seed=5, records=True).messages["fate"]
        for fate, probability in zip(list(Fate)[:4], found[setting], strict=False):
            seen = int((fates == fate.label).sum())
            low, high = stats.binom.interval(1 - FALSE_ALARM, 300, min(max(probability, 0.0), 1.0))
            assert low <= seen <= high, f"{setting}, {fate}: {seen} of 300, expected {probability:.3f}"


def test_deferred_is_one_deferral_or_more() -> None:
    scenario = alone(2_000, host={"handshake_failed_rate": 0.3}, first_4yz_rate=0.2, greylist_s=30.0, new_pair_rate=0.5)
    found = message_probabilities(scenario, [Setting.REQUIRED])[0, 0, ENDS.index("deferred")]
    assert found == pytest.approx(0.3 + 0.7 * (0.2 + 0.8 * 0.5))
    seen = int(simulate(scenario.with_setting(Setting.REQUIRED), records=True).messages["deferred"].sum())
    low, high = stats.binom.interval(1 - FALSE_ALARM, 2_000, found)
    assert low <= seen <= high


def test_the_sum_by_hand() -> None:
    """Half of the passes fail: of four, one in sixteen never gets through; a peer without TLS never does."""
    frame = expected(alone(1, host={"handshake_failed_rate": 0.5}), [Setting.REQUIRED], per="message")
    assert frame[["encrypted", "bounced", "deferred"]].iloc[0].tolist() == pytest.approx([15 / 16, 1 / 16, 0.5])
    never = expected(alone(1, host={"not_offered_rate": 1.0}), [Setting.PREFERRED, Setting.REQUIRED], per="message")
    assert never["in_clear"].tolist() == [1, 0]
    assert never["bounced"].tolist() == [0, 1]


def test_an_outage_defers_and_loses_nothing() -> None:
    scenario = alone(1, host={"outage_share": 0.1})
    frame = expected(scenario, [Setting.PREFERRED], per="message")
    assert frame["encrypted"].tolist() == [1]
    assert frame["deferred"].tolist() == pytest.approx([0.1])


@pytest.mark.parametrize("name", Population.presets())
def test_fates_of_a_message_sum_to_one(name: str) -> None:
    scenario = Scenario(population=Population.preset(name, domains=300), workload=Workload.flat(300))
    found = message_probabilities(scenario)
    np.testing.assert_allclose(found[:, :, :4].sum(axis=2), 1.0, atol=1e-9)
    assert ((found >= -1e-12) & (found <= 1 + 1e-12)).all()
    strict = (Setting.REQUIRED, Setting.REQUIRED_VERIFY, Setting.REQUIRED_VERIFY_HOSTED)
    assert (found[list(strict)][:, :, 0] == 0).all()


def test_each_entry_has_the_tries_of_its_profile() -> None:
    policy = replace(
        SHORT,
        entries=(Entry(domain="d1.example", bounce_profile="Once"),),
        profiles={**SHORT.profiles, "Once": BounceProfile(name="Once", max_queue_time_s=1.0)},
    )
    scenario = replace(alone(2, host={"handshake_failed_rate": 0.5}), policy=policy)
    frame = expected(scenario, [Setting.REQUIRED], per="message").set_index("domain")
    assert frame.loc["d0.example", "bounced"] == pytest.approx(1 / 16)
    assert frame.loc["d1.example", "bounced"] == pytest.approx(1 / 2)


def test_another_unit_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"per = 'mesage'; allowed: pass, message. Did you mean 'message'"):
        expected(alone(1), per="mesage")
