"""Stories of runs in which something changes: outages, certificates, attacks, load, and our own policy.

Times were computed by hand; :mod:`tests.delivery.stories` says what a peer is. A quick one's connection opens in 6 us
with TLS and in 3 us without, and carries a message in 4 us. Tries of a destination that is down are 0, 60, 180, 420,
900, 1,860, 3,780 and 7,380 s after the first.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from math import sqrt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sim.delivery.compile import compile_world
from sim.delivery.simulate import simulate
from sim.errors import ScenarioError
from sim.policy.destinations import DestinationControls, Entry
from sim.policy.retry import BounceProfile
from sim.scenario import Scenario
from sim.terms import Setting
from sim.timeline import EVENTS, Event, concerned, marks, policy_before
from sim.world.population import Population
from sim.world.workload import Workload
from tests.delivery.stories import DOMAIN, MX, SLOW, Mail, Told, mx, peer, seconds, story, tell

FALSE_ALARM = 1e-6
HOUR = 3_600.0
TRIES = [0, 60, 180, 420, 900, 1_860]
IN_CLEAR, ENCRYPTED, VERIFIED = "in clear", "encrypted, not verified", "encrypted and verified"
NO_STARTTLS: dict[str, Any] = {"not_offered_rate": 1.0}


def told_of(host: dict[str, Any], mail: Mail, setting: Setting, *events: Event, **others: Any) -> Told:
    return tell(story(peer(DOMAIN, host), mail, setting=setting, timeline=events, **others))


def everywhere(setting: Setting, at_h: float, for_h: float | None = None) -> Event:
    """A change of policy in a story, where DEFAULT is all there is."""
    policy = DestinationControls(default=Entry(domain="DEFAULT", tls=setting), profiles={"Default": BounceProfile()})
    return Event(event="policy", at_h=at_h, for_h=for_h, policy=policy)


@pytest.mark.parametrize("last", [Setting.NO, Setting.REQUIRED])
def test_of_changes_within_a_microsecond_the_last_is_in_force(last: Setting) -> None:
    first = Setting.REQUIRED if last == Setting.NO else Setting.NO
    events = [everywhere((first, last)[number % 2], 1 + number * 1e-14) for number in range(6)]
    told = told_of(mx(), [3_700], Setting.PREFERRED, *events)
    assert told.message("fate") == [IN_CLEAR if last == Setting.NO else ENCRYPTED]


# --- outages


@pytest.mark.parametrize("whom", [{"mx_host": MX}, {"domain": DOMAIN}, {"provider": "own"}])
def test_mail_of_an_outage_flows_at_the_first_timer_after_its_end(whom: dict[str, Any]) -> None:
    """From 3,600 to 7,200. The message of 3,610 is tried for the last time in it at 5,470, and next at 7,390.

    The one that comes when the host is back, at 7,300, waits for that timer too. Then all drain on one connection.
    """
    outage = Event(event="outage", at_h=1, for_h=1, **whom)
    mail = [0, 3_610, 3_700, 7_300]
    host = mx(unreachable_s=30.0)
    specs = peer(DOMAIN, host, provider="own")
    told = tell(story(specs, mail, entry={"max_host_concurrency": 1}, timeline=[outage]))
    assert told.connection("opened_s") == seconds([0, *(3_610 + t for t in TRIES), 7_390])
    assert told.connection("closed_s")[1:-1] == seconds([3_640 + t for t in TRIES])
    assert told.message("done_s") == seconds([0.000_007, 7_390.000_007, 7_390.000_011, 7_390.000_015])
    assert told.message("deferred") == [False, True, True, True]


@pytest.mark.parametrize(("comes", "delivered"), [(3_600, 7_380.000_007), (7_200, 7_200.000_007)])
def test_an_outage_covers_its_first_instant_and_not_its_last(comes: float, delivered: float) -> None:
    """Mail that comes as it begins is tried until 5,460 and next at 7,380; as it ends, the host is there."""
    outage = Event(event="outage", at_h=1, for_h=1, mx_host=MX)
    assert told_of(mx(unreachable_s=30.0), [comes], Setting.NO, outage).message("done_s") == seconds([delivered])


# --- certificates


def test_an_expired_certificate_holds_mail_up_to_the_first_retry_after_it_is_renewed() -> None:
    """Required - Verify; expired from 3,600 to 7,200, noticed at 3,610, tried until 5,470, verified at 7,390."""
    expiry = Event(event="certificate-expires", at_h=1, for_h=1, mx_host=MX)
    told = told_of(mx(san_domain=True), [0, 3_610], Setting.REQUIRED_VERIFY, expiry)
    assert told.connection("opened_s") == seconds([0, *(3_610 + t for t in TRIES), 7_390])
    assert told.message("done_s") == seconds([0.000_010, 7_390.000_010])
    assert told.message("fate") == [VERIFIED, VERIFIED]
    assert told.message("reason") == ["none", "certificate-expired"]


def test_an_expired_certificate_is_not_noticed_under_required() -> None:
    expiry = Event(event="certificate-expires", at_h=1, for_h=1, mx_host=MX)
    told = told_of(mx(san_domain=True), [0, 3_610], Setting.REQUIRED, expiry)
    assert told.message("done_s") == seconds([0.000_010, 3_610.000_010])
    assert (told.message("fate"), told.message("deferred")) == ([ENCRYPTED] * 2, [False] * 2)


# --- STARTTLS, stripped and turned on


def test_what_is_stripped_under_preferred_is_exposed() -> None:
    """From 3,600 on. The connection of 3,598 was opened before, so what it carries at 3,602 is encrypted yet."""
    strip = Event(event="starttls-stripped", at_h=1, domain=DOMAIN)
    told = told_of(mx(), [0, 3_590, 3_598, 3_602, 3_700, 90_000], Setting.PREFERRED, strip, days=2)
    assert told.message("fate") == [ENCRYPTED] * 4 + [IN_CLEAR] * 2
    assert told.message("exposed") == [False] * 4 + [True] * 2
    assert told.message("done_s")[2:5] == seconds([3_598.000_010, 3_602.000_004, 3_700.000_007])
    totals = told.result.totals()
    assert (totals["exposed_messages"], totals["exposed_share"]) == (2, pytest.approx(2 / 6))


def test_mail_that_comes_as_stripping_begins_is_exposed() -> None:
    strip = Event(event="starttls-stripped", at_h=1, domain=DOMAIN)
    assert told_of(mx(), [3_600], Setting.PREFERRED, strip).message("exposed") == [True]


def test_what_is_stripped_under_required_waits_and_nothing_is_exposed() -> None:
    strip = Event(event="starttls-stripped", at_h=1, for_h=1, domain=DOMAIN)
    told = told_of(mx(), [0, 3_610], Setting.REQUIRED, strip)
    assert told.message("done_s") == seconds([0.000_010, 7_390.000_010])
    assert told.message("fate") == [ENCRYPTED] * 2
    assert told.result.totals()["exposed_messages"] == 0


def test_a_stripped_path_is_that_of_one_destination_and_not_of_its_host() -> None:
    strip = Event(event="starttls-stripped", at_h=1, domain=DOMAIN)
    specs = [peer(DOMAIN, mx()), peer("b.example", {"host": MX})]
    told = tell(story(specs, {DOMAIN: [3_700], "b.example": [3_700]}, setting=Setting.PREFERRED, timeline=[strip]))
    assert told.message("fate", DOMAIN) == [IN_CLEAR]
    assert told.message("fate", "b.example") == [ENCRYPTED]


def test_a_peer_that_turns_tls_on_gets_its_mail_at_the_next_retry() -> None:
    """Required, no STARTTLS until 1,800; tried at 900, then at 1,860."""
    on = Event(event="tls-turned-on", at_h=0.5, mx_host=MX)
    told = told_of(mx(**NO_STARTTLS), [0, 2_000], Setting.REQUIRED, on)
    assert told.connection("opened_s") == seconds([*TRIES, 2_000])
    assert told.message("done_s") == seconds([1_860.000_010, 2_000.000_010])


# --- load


def streamed(*events: Event) -> pd.DataFrame:
    """Messages of a flat day, 1,000 an hour to one destination and 10 to another."""
    population = Population.custom([{"domain": "big.example", "messages": 100}, {"domain": "b.example", "messages": 1}])
    scenario = Scenario(population=population, workload=Workload.flat(24_240), timeline=events)
    return simulate(scenario, records=True).messages


def arrivals(frame: pd.DataFrame, from_h: float, to_h: float, domain: str = "big.example") -> pd.DataFrame:
    inside = (frame["arrival_s"] >= from_h * HOUR) & (frame["arrival_s"] < to_h * HOUR) & (frame["domain"] == domain)
    return frame.loc[inside, ["domain", "ordinal", "arrival_s", "size_bytes", "recipients"]].reset_index(drop=True)


def test_a_load_is_so_many_times_the_mail_and_only_while_it_lasts() -> None:
    """Counts are Poisson: each within its 1e-6 interval. What comes before is the same to the byte."""
    usual = streamed()
    loaded = streamed(Event(event="load", at_h=6, for_h=2, domain="big.example", factor=3))
    for from_h, to_h, expected in ((0, 6, 6_000), (6, 8, 6_000), (8, 24, 16_000)):
        low, high = stats.poisson.interval(1 - FALSE_ALARM, expected)
        assert low <= len(arrivals(loaded, from_h, to_h)) <= high
    pd.testing.assert_frame_equal(arrivals(usual, 0, 6), arrivals(loaded, 0, 6))
    pd.testing.assert_frame_equal(arrivals(usual, 0, 24, "b.example"), arrivals(loaded, 0, 24, "b.example"))


def test_loads_at_once_multiply_and_a_load_of_nothing_is_none() -> None:
    both = streamed(Event(event="load", at_h=5.5, for_h=1, factor=2), Event(event="load", at_h=6, for_h=1, factor=0))
    low, high = stats.poisson.interval(1 - FALSE_ALARM, 1_000)
    assert low <= len(arrivals(both, 5.5, 6)) <= high
    assert len(arrivals(both, 6, 7)) == len(arrivals(both, 6, 7, "b.example")) == 0


def test_a_load_is_refused_beside_a_trace_and_after_the_last_arrival() -> None:
    load = Event(event="load", at_h=1, factor=2)
    with pytest.raises(ScenarioError, match="load beside a trace"):
        told_of(mx(), [0], Setting.NO, load)
    with pytest.raises(ScenarioError, match=r"load: at_h = 24; allowed: below 24 h, where arrivals end"):
        streamed(replace(load, at_h=24))


# --- our own policy


def test_mail_that_waits_when_the_policy_is_relaxed_flows_at_its_next_timer() -> None:
    """Required, no STARTTLS; Preferred from 1,800 on: tried at 900, then in clear at 1,860; not at 1,800."""
    told = told_of(mx(**NO_STARTTLS), [0], Setting.REQUIRED, everywhere(Setting.PREFERRED, 0.5))
    assert told.connection("opened_s") == seconds(TRIES)
    assert (told.message("done_s"), told.message("fate")) == (seconds([1_860.000_007]), [IN_CLEAR])


def test_a_policy_with_an_end_is_rolled_back() -> None:
    """Preferred; Required from 1,800 to 3,600. The message of 2,000 is tried until 2,900, and flows at 3,860."""
    told = told_of(mx(**NO_STARTTLS), [0, 2_000, 4_000], Setting.PREFERRED, everywhere(Setting.REQUIRED, 0.5, 0.5))
    assert told.connection("opened_s") == seconds([0, *(2_000 + t for t in TRIES), 4_000])
    assert told.message("done_s") == seconds([0.000_007, 3_860.000_007, 4_000.000_007])


def test_idle_connections_made_under_another_setting_close_when_it_changes() -> None:
    """Idle since 3,598 they would have stayed until 3,603; the message of 3,601 opens one of its own, with TLS."""
    told = told_of(mx(), [3_598, 3_601], Setting.NO, everywhere(Setting.PREFERRED, 1))
    assert told.connection("opened_s") == seconds([3_598, 3_601])
    assert told.connection("closed_s") == seconds([3_600, 3_606.000_010])
    assert told.message("fate") == [IN_CLEAR, ENCRYPTED]


def test_idle_connections_stay_where_the_setting_does() -> None:
    """The new policy has another setting for somebody else only."""
    later = everywhere(Setting.NO, 1).policy
    assert later is not None
    later = replace(later, entries=(Entry(domain="b.example", tls=Setting.REQUIRED),))
    change = Event(event="policy", at_h=1, policy=later)
    told = tell(story([peer(DOMAIN), peer("b.example")], {DOMAIN: [3_598, 3_601]}, timeline=[change]))
    assert told.connection("opened_s") == seconds([3_598])
    assert told.message("done_s")[1] == pytest.approx(3_601.000_004, abs=4e-7)


def test_nothing_starts_in_clear_once_the_policy_is_tightened() -> None:
    """Preferred, then Required at 3,600; a second a round trip: 3 s to open, 4 s a message.

    The transfer that began at 3,598 ends at 3,602, in clear. The connection begun at 3,599 opens at 3,602 and is not
    used; its message opens another, which finds no STARTTLS at 3,605, and waits.
    """
    host = {"host": MX, **SLOW, **NO_STARTTLS}
    told = told_of(host, [3_595, 3_599], Setting.PREFERRED, everywhere(Setting.REQUIRED, 1), until_s=3_650.0)
    assert told.connection("opened_s") == seconds([3_595, 3_599, 3_602])
    assert told.connection("closed_s") == seconds([3_602, 3_602, 3_605])
    assert told.connection("messages") == [1, 0, 0]
    assert told.message("fate") == [IN_CLEAR, "still queued"]
    assert told.message("done_s")[0] == 3_602


def test_the_policy_that_began_last_rules_and_the_one_before_comes_back() -> None:
    """No; Required from 1 h to 4 h, Preferred from 2 h to 3 h."""
    events = [everywhere(Setting.PREFERRED, 2, 1), everywhere(Setting.REQUIRED, 1, 3)]
    world = compile_world(story(peer(), [0], timeline=events))
    assert (world.phases.begins_us / 3.6e9).tolist() == [0, 1, 2, 3, 4]
    assert world.phases.setting[:, 0].tolist() == [Setting.NO, Setting.REQUIRED, Setting.PREFERRED, 2, 0]
    before = policy_before(events[0], events, DestinationControls.shipped())
    assert before is events[1].policy


def test_a_policy_may_change_back_to_what_the_scenario_has() -> None:
    scenario = story(peer(), [0], timeline=[everywhere(Setting.REQUIRED, 1), everywhere(Setting.NO, 2)])
    assert compile_world(scenario).phases.setting[:, 0].tolist() == [Setting.NO, Setting.REQUIRED, Setting.NO]


def test_one_setting_throughout_has_no_change_of_policy() -> None:
    outage = Event(event="outage", at_h=1, mx_host=MX)
    scenario = story(peer(), [0], timeline=[everywhere(Setting.REQUIRED, 1), outage])
    assert scenario.with_setting(Setting.PREFERRED).timeline == (outage,)


# --- the World of a timeline


def test_the_order_in_which_events_are_given_means_nothing() -> None:
    events = [
        everywhere(Setting.REQUIRED, 1, 2),
        everywhere(Setting.PREFERRED, 2),
        Event(event="starttls-stripped", at_h=1, share=0.4),
        Event(event="starttls-stripped", at_h=1, share=0.2),
        Event(event="load", at_h=1, factor=1.1),
        Event(event="load", at_h=1, factor=1.7, for_h=2),
        Event(event="load", at_h=1, factor=0.3),
    ]
    population = Population.preset("2020s-web", domains=30, seed=1)
    scenario = Scenario(population=population, workload=Workload.flat(100))
    rng = np.random.default_rng(1)
    orders = [[events[i] for i in rng.permutation(len(events))] for _ in range(5)] + [events]
    assert len({compile_world(replace(scenario, timeline=tuple(order))).hash for order in orders}) == 1
    pair = [Event(event="outage", at_h=1, provider="own"), Event(event="outage", at_h=1, provider="google-mail")]
    hashes = {compile_world(replace(scenario, timeline=order)).hash for order in permutations(pair)}
    assert len(hashes) == 1
    assert hashes != {compile_world(scenario).hash}


def test_a_timeline_without_events_is_none() -> None:
    scenario = story(peer(), [0])
    assert compile_world(replace(scenario, timeline=())).hash == compile_world(scenario).hash


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_share_of_mail_that_is_stripped_is_met_and_belongs_to_the_seed(share: float) -> None:
    """Domains are walked by falling weight; the last ones are a ten-thousandth of all mail each."""
    population = Population.preset("2020s-web", domains=2_000, seed=3)
    weight = population.domains["messages"].to_numpy()
    strip = Event(event="starttls-stripped", at_h=1, share=share)
    shipped = DestinationControls.shipped()
    stripped, hosts = concerned(strip, population, shipped)
    assert hosts == 0
    assert weight[stripped].sum() / weight.sum() == pytest.approx(share, abs=1e-3)
    assert (concerned(replace(strip, at_h=5), population, shipped)[0] == stripped).all()
    other, _ = concerned(strip, Population.preset("2020s-web", domains=2_000, seed=4), shipped)
    assert (other != stripped).sum() > sqrt(len(stripped))


def test_marks_are_what_begins_and_ends_before_the_horizon() -> None:
    events = [Event(event="outage", at_h=2, for_h=3, mx_host=MX, label="x"), everywhere(Setting.NO, 1)]
    assert marks(events) == [(1, "policy changed"), (2, "x"), (5, "end of x")]
    assert marks(events, horizon_h=5) == [(1, "policy changed"), (2, "x")]


# --- what is refused


BAD = [
    ({"event": "outrage", "at_h": 1}, r"event = 'outrage'; allowed: .* Did you mean 'outage'\?"),
    ({"event": "outage", "at_h": 1}, "outage: whom it concerns = 'nobody'; allowed: one of provider, mx_host, domain$"),
    ({"event": "starttls-stripped", "at_h": 1, "share": 0.1, "domain": "x"}, "whom it concerns = 'domain and share'"),
    ({"event": "outage", "at_h": 1, "provider": "a", "mx_host": "b"}, "whom it concerns = 'provider and mx_host'"),
    ({"event": "outage", "at_h": -1, "provider": "a"}, r"outage: at_h = -1; allowed: 0\.\.9600 h"),
    ({"event": "outage", "at_h": True, "provider": "a"}, "outage: at_h = True; allowed"),
    ({"event": "outage", "at_h": float("nan"), "provider": "a"}, "outage: at_h = nan; allowed"),
    ({"event": "outage", "at_h": 1, "for_h": 0, "provider": "a"}, "outage: for_h = 0; allowed"),
    ({"event": "starttls-stripped", "at_h": 1, "share": 1.5}, r"share = 1.5; allowed: 0\.\.1 of mail"),
    ({"event": "starttls-stripped", "at_h": 1, "share": 0}, "share = 0; allowed: above 0, up to 1 of mail"),
    ({"event": "load", "at_h": 1}, r"load: factor is missing; allowed: 0\.\.1000 times the mail"),
    ({"event": "load", "at_h": 1, "factor": 2, "mx_host": "a"}, "load: mx_host = 'a'; allowed: nothing; load takes"),
    ({"event": "outage", "at_h": 1, "provider": "a", "share": 0.1}, "outage: share = 0.1; allowed: nothing"),
    ({"event": "policy", "at_h": 1}, "policy: policy is missing; allowed: Destination Controls"),
]


@pytest.mark.parametrize(("fields", "told"), BAD, ids=[str(i) for i in range(len(BAD))])
def test_an_event_that_makes_no_sense_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        Event(**fields)


@pytest.mark.parametrize("kind", [k for k, takes in EVENTS.items() if "provider" in takes])
def test_an_event_that_concerns_nobody_is_refused(kind: str) -> None:
    factor: dict[str, Any] = {"factor": 2.0} if kind == "load" else {}
    event = Event(event=kind, at_h=1, provider="a.exmaple", **factor)
    with pytest.raises(ScenarioError, match=rf"{kind}: provider = 'a.exmaple'; allowed: "):
        compile_world(Scenario(population=Population.custom([peer()]), timeline=(event,)))


@pytest.mark.parametrize(
    ("population_s", "event_s"),
    [
        ("größe.example", "größe.example"),
        ("größe.example", "GRÖSSE.example."),
        ("xn--fsq.example", "例.example"),
        ("a.example.", "A.example"),
        ("a.example", "a.EXAMPLE."),
        ("b.a.example.", ".A.example"),
        ("例.größe.example", ".größe.example"),
    ],
)
def test_an_event_reaches_a_domain_in_any_spelling(population_s: str, event_s: str) -> None:
    population = Population.custom([peer(population_s), peer("other.test", mx("mx.other.test"))])
    for kind in ("outage", "starttls-stripped", "load"):
        event = Event(event=kind, at_h=1, domain=event_s, factor=2.0 if kind == "load" else None)
        assert (
            concerned(event, population, DestinationControls())[0].tolist()
            == (population.domains["domain"] == population_s).tolist()
        )


@pytest.mark.parametrize("where", [{"provider": "BIG-Mail"}, {"mx_host": "MX.other.TEST."}])
def test_providers_and_hosts_are_named_without_regard_to_case(where: dict[str, Any]) -> None:
    there = {**peer("other.test", mx("mx.other.test")), "provider": "Big-Mail"}
    population = Population.custom([peer(), there])
    [met] = np.flatnonzero(concerned(Event(event="outage", at_h=1, **where), population, DestinationControls())[0])
    assert population.domains["domain"][met] == "other.test"


def test_the_nearest_name_is_guessed_among_many() -> None:
    population = Population.preset("2020s-web", domains=100, seed=1)
    event = Event(event="outage", at_h=1, mx_host="mx1.microsft-mail.example")
    with pytest.raises(ScenarioError, match=r"one of the population. Did you mean 'mx1.microsoft-mail.example'\?"):
        compile_world(Scenario(population=population, workload=Workload.flat(10), timeline=(event,)))


def test_what_happens_to_a_host_that_gets_no_mail_concerns_nobody() -> None:
    population = Population.custom([peer(DOMAIN, mx(), mx("mx2.a.example", preference=20))])
    population = replace(population, routes=population.routes.iloc[:1])
    event = Event(event="outage", at_h=1, mx_host="mx2.a.example")
    with pytest.raises(ScenarioError, match=r"outage: no mail goes where 'outage mx2.a.example' happens"):
        compile_world(Scenario(population=population, timeline=(event,)))


def test_a_policy_that_changes_no_setting_is_refused() -> None:
    event = Event(event="policy", at_h=1, policy=DestinationControls.shipped())
    with pytest.raises(ScenarioError, match="policy: no destination gets another TLS setting"):
        compile_world(story(peer(), [0], timeline=[event]))


@pytest.mark.parametrize(
    ("later", "told"),
    [
        (DestinationControls(default=Entry(domain="DEFAULT", tls=Setting.REQUIRED, max_host_concurrency=3)), "limits"),
        (
            DestinationControls(
                default=Entry(domain="DEFAULT", tls=Setting.REQUIRED),
                profiles={"Default": BounceProfile(max_retries=3)},
            ),
            "bounce profile Default differs",
        ),
    ],
)
def test_a_policy_with_other_limits_or_schedules_is_refused(later: DestinationControls, told: str) -> None:
    event = Event(event="policy", at_h=1, policy=later)
    with pytest.raises(ScenarioError, match=told):
        compile_world(story(peer(), [0], timeline=[event]))


def test_two_policies_may_not_begin_at_the_same_hour() -> None:
    with pytest.raises(ScenarioError, match=r"policy: at_h = 1; allowed: another hour"):
        story(peer(), [0], timeline=[everywhere(Setting.REQUIRED, 1), everywhere(Setting.PREFERRED, 1, 1)])


def test_a_timeline_is_of_events() -> None:
    with pytest.raises(ScenarioError, match="allowed: a sequence of sim"):
        story(peer(), [0], timeline=["outage"])
