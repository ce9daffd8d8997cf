"""Stories of senders that are no gateway: each message retries by its own timer, may age, and may find a host not used.

Times were computed by hand from Postfix's documents (`sim.policy.profiles.postfix`): the wait is the age of a message,
300 s to 4,000 s, up to the next run over the queue, one in 300 s.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Any

import pytest

from sim.delivery.compile import NO_LIMIT, compile_world
from sim.delivery.simulate import run_world, simulate
from sim.errors import PolicyError, ScenarioError
from sim.policy.destinations import DestinationControls, Entry
from sim.policy.profiles import SENDERS, postfix, profile
from sim.policy.profiles.esa import Switches
from sim.policy.profiles.postfix import Level
from sim.policy.retry import BounceProfile
from sim.results.records import MESSAGE_COLUMNS
from sim.results.sinks import RecordSink
from sim.scenario import Scenario
from sim.terms import Dane, Demand, Fate, MtaSts, Setting, TlsVersion
from sim.timeline import Event
from sim.world.population import Population
from sim.world.workload import Workload
from tests.delivery.stories import (
    DOMAIN,
    MX,
    SILENT,
    Told,
    fails,
    mx,
    peer,
    seconds,
    seed_where,
    story,
    tell,
    works,
)

SECOND = "mx2.a.example"
#: Of a quick peer: connect, greeting and EHLO; STARTTLS; handshake; EHLO again; a message.
CLEAR, STARTTLS, HANDSHAKE, TLS, SENT = 3e-6, 4e-6, 5e-6, 6e-6, 4e-6


def of_postfix(specs: Any, mail: Any, level: Level | None = None, **others: Any) -> Scenario:
    return story(specs, mail, sender="postfix", sender_setting=None if level is None else level.label, **others)


def told_of(host: dict[str, Any], level: Level, mail: Any = (0,), **others: Any) -> Told:
    return tell(of_postfix(peer(DOMAIN, host), mail, level, **others))


def published(population: Population, **columns: Any) -> Population:
    """Return a population that publishes DANE or MTA-STS: columns of its routes, and ``mta_sts`` of its domains."""
    other = copy(population)
    frames = {"domains": {k: v for k, v in columns.items() if k == "mta_sts"}}
    frames["routes"] = {k: v for k, v in columns.items() if k not in frames["domains"]}
    for name, new in frames.items():
        object.__setattr__(other, name, getattr(population, name).assign(**new))
    return other


def fate_of(scenario: Scenario) -> Fate:
    """Return the fate of a scenario's only message."""
    world = compile_world(scenario)
    sink = RecordSink(world.labels)
    run_world(world, 1, sink)
    [row] = sink.message_rows()
    return Fate(int(row[MESSAGE_COLUMNS.index("fate")]))


# --- retries


def test_a_peer_that_never_offers_starttls_under_encrypt() -> None:
    """At 0, 300, 600, 1200, 2400, 4800, 9000 s and so on; the first try past five days is the last."""
    told = told_of(mx(not_offered_rate=1.0), Level.ENCRYPT)
    tries = told.connection("opened_s")
    assert tries[:8] == seconds([0, 300, 600, 1_200, 2_400, 4_800, 9_000, 13_200])
    assert tries[-2] < 432_000 <= tries[-1]
    assert postfix.PROFILE.queueing is not None
    assert tries == seconds(postfix.PROFILE.queueing.attempt_times_s())
    assert told.message("done_s") == seconds([tries[-1] + CLEAR])
    assert told.message("bounce") == ["expired: time in queue"]
    assert told.message("deferral_events") == [len(tries)] == [told.message("retries")[0] + 1]


def test_a_handshake_that_always_fails_under_may() -> None:
    """Deferred at 0; at 300 s the message has age enough to go in clear, on the same host at once."""
    told = told_of(mx(handshake_failed_rate=1.0), Level.MAY)
    assert told.connection("opened_s") == seconds([0, 300])
    assert told.connection("established_s") == [None, pytest.approx(300 + HANDSHAKE + CLEAR, abs=4e-7)]
    assert told.message("done_s") == seconds([300 + HANDSHAKE + CLEAR + SENT])
    assert told.message("fate") == ["in clear"]
    assert (told.message("deferral_events"), told.message("retries")) == ([1], [1])


def test_an_old_message_goes_in_clear_although_a_second_host_has_tls() -> None:
    """The second host is away for three minutes; a young message then takes it, the old one does not."""
    hosts = [mx(handshake_failed_rate=1.0, preference=10), mx(SECOND, preference=20)]
    away = Event(event="outage", at_h=0, for_h=0.05, mx_host=SECOND)
    told = tell(of_postfix(peer(DOMAIN, *hosts), [0, 290], Level.MAY, timeline=[away]))
    # Message 1 comes while the destination is dead: at its turn, 600 s, it is old as well, for it waited on a timer.
    assert told.message("fate") == ["in clear", "in clear"]
    assert told.message("mx_host") == [MX, MX]
    young = tell(of_postfix(peer(DOMAIN, *hosts), [0], Level.MAY))
    assert (young.message("fate"), young.message("mx_host")) == (["encrypted, not verified"], [SECOND])


def test_time_in_which_a_message_waits_for_a_connection_does_not_age_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection at once, busy for 400 s: the second message is young when its handshake fails, and is put off."""
    queueing = postfix.PROFILE.queueing
    assert queueing is not None
    monkeypatch.setattr(Scenario, "profile", replace(postfix.PROFILE, queueing=replace(queueing, connections=1)))
    host = mx(accept_median_s=400.0, handshake_failed_rate=0.5)
    told = tell(of_postfix(peer(DOMAIN, host), [0, 1], Level.MAY), seed=seed_where(works(0, 0), fails(1, 0)))
    assert told.connection("opened_s")[:2] == seconds([0, 400 + TLS + SENT])
    # Its age, 399 s, is the wait, up to a run over the queue; on its second try it is old.
    assert told.connection("opened_s")[2] == 900
    assert told.message("deferral_events") == [0, 1]


def test_a_5xx_to_starttls_under_encrypt_bounces_although_a_second_host_is_fine() -> None:
    hosts = [mx(refused_5xx_rate=1.0, preference=10), mx(SECOND, preference=20)]
    told = tell(of_postfix(peer(DOMAIN, *hosts), [0], Level.ENCRYPT))
    assert told.message("bounce") == ["5xx to STARTTLS"]
    assert told.message("done_s") == told.connection("closed_s") == seconds([STARTTLS])
    assert told.connection("mx_host") == [MX]
    assert told.message("deferral_events") == [0]
    soft = tell(of_postfix(peer(DOMAIN, mx(refused_4xx_rate=1.0, preference=10), hosts[1]), [0], Level.ENCRYPT))
    assert (soft.message("fate"), soft.connection("mx_host")) == (["encrypted, not verified"], [SECOND])


def test_a_dead_destination_puts_off_mail_without_a_try() -> None:
    """Silent for 30 s a try: mail of 100 s is put off until 600 s, where both messages find out for themselves."""
    told = tell(of_postfix(peer(DOMAIN, mx(**SILENT)), [0, 100], Level.MAY, until_s=650.0))
    # Message 0 is due at 300 s; message 1, put off at 100 s for 300 s, waits for the next run over the queue.
    assert told.connection("opened_s") == seconds([0, 300, 600, 600])
    assert told.connection("closed_s") == seconds([30, 330, 630, 630])
    assert told.message("deferral_events") == [3, 2]
    assert told.message("reason") == ["unreachable", "unreachable"]


def test_mail_that_waits_is_put_off_with_the_message_whose_pass_failed_last() -> None:
    """Twenty connections fail at one instant; only the last leaves none beside it, and two messages still wait."""
    told = tell(of_postfix(peer(DOMAIN, mx(**SILENT)), [0.0] * 22, Level.MAY, until_s=290.0))
    assert told.connection("opened_s") == seconds([0] * 20)
    assert told.message("deferral_events") == told.message("retries") == [1] * 22
    # Two free connections change that: at 30 s others are open, so the message that waited opens one of its own.
    mail = [0.0] * 19 + [1.0, 2.0]
    told = tell(of_postfix(peer(DOMAIN, mx(**SILENT)), mail, Level.MAY, until_s=290.0))
    assert told.connection("opened_s") == seconds([0] * 19 + [1, 30])


def test_mail_is_spread_over_connections_that_carry_one_message_each() -> None:
    told = tell(of_postfix(peer(), [0.0] * 3, Level.ENCRYPT))
    assert told.connection("messages") == [1, 1, 1]
    assert told.message("done_s") == seconds([TLS + SENT] * 3)


def test_a_4yz_verdict_uses_the_same_schedule() -> None:
    """Every verdict is a 4yz one: the message is tried like one whose passes fail."""
    soft: dict[str, Any] = {"first_4yz_rate": 1.0, "rescued_share": 0.0, "persistent_4yz_share": 1.0}
    told = tell(of_postfix(peer(**soft), [0], Level.MAY))
    assert told.connection("opened_s")[:5] == seconds([0, 300, 600, 1_200, 2_400])
    assert told.message("bounce") == ["expired: time in queue"]
    assert told.message("reason") == ["4yz-reply"]


def test_a_handshake_that_hangs_holds_its_connection_until_the_time_out() -> None:
    """300 s as shipped by Postfix, or as the run says; the gateway waits as long."""
    for sender in SENDERS:
        scenario = story(peer(DOMAIN, mx(handshake_timeout_rate=1.0)), [0], setting=Setting.REQUIRED, sender=sender)
        told = tell(replace(scenario, until_s=310.0))
        assert told.connection("closed_s")[0] == pytest.approx(300 + STARTTLS, abs=4e-7)
        short = replace(scenario, until_s=50.0, delivery=replace(scenario.delivery, handshake_timeout_s=40.0))
        assert tell(short).connection("closed_s") == seconds([40 + STARTTLS])


# --- what the peer publishes


def test_hosts_that_may_not_be_used_cost_no_time() -> None:
    """The first MX host is on no list of the domain's policy: nothing is asked of it, for one microsecond."""
    hosts = [mx(**SILENT, preference=10), mx(SECOND, preference=20)]
    plain = of_postfix(peer(DOMAIN, *hosts), [0], Level.MAY, sender_switches={"mta_sts": True})
    strict = published(plain.population, mta_sts=int(MtaSts.ENFORCE), sts_listed=[False, True])
    told = tell(replace(plain, population=strict))
    assert (told.message("fate"), told.message("mx_host")) == (["encrypted and verified"], [SECOND])
    assert told.message("done_s") == seconds([1e-6 + TLS + SENT])
    nobody = tell(replace(plain, population=published(strict, sts_listed=[False, False]), until_s=100.0))
    assert nobody.connection("closed_s") == seconds([2e-6])
    assert nobody.connection("reason") == ["validation-failure"]


def test_tlsa_records_take_the_place_of_the_chain() -> None:
    """Under dane a self-signed certificate that its TLSA record matches is verified; one that does not match is not."""
    host = mx(chain="self-signed")
    plain = of_postfix(peer(DOMAIN, host), [0], Level.DANE, until_s=100.0)
    fates = {}
    for state in Dane:
        fates[state] = fate_of(replace(plain, population=published(plain.population, dane=int(state))))
    assert fates == {
        Dane.NONE: Fate.ENCRYPTED,
        Dane.INSECURE: Fate.ENCRYPTED,
        Dane.USABLE_MATCH: Fate.VERIFIED,
        Dane.USABLE_MISMATCH: Fate.QUEUED,
        Dane.USABLE_UNSEEN: Fate.QUEUED,
        Dane.UNUSABLE: Fate.ENCRYPTED,
        Dane.BOGUS: Fate.QUEUED,
    }


def test_the_gateway_uses_dane_where_its_entry_says_so() -> None:
    """*Mandatory* holds mail for a domain without records; *opportunistic* takes a record, and a plain host as ever."""
    for option, fate in ((None, "encrypted, not verified"), ("off", "encrypted, not verified"),
                         ("opportunistic", "encrypted, not verified"), ("mandatory", "still queued")):  # fmt: skip
        plain = story(peer(), [0], setting=Setting.PREFERRED, entry={"dane_option": option}, until_s=100.0)
        assert tell(plain).message("fate") == [fate]
        matched = tell(replace(plain, population=published(plain.population, dane=int(Dane.USABLE_MATCH))))
        assert matched.message("fate") == [
            "encrypted, not verified" if option in (None, "off") else "encrypted and verified"
        ]
    with pytest.raises(PolicyError, match=r"\[DEFAULT\] dane_option = 'maybe'; allowed: none, opportunistic, manda"):
        tell(story(peer(), [0], entry={"dane_option": "maybe"}))


def test_a_host_below_the_domain_passes_secure_and_others_do_not() -> None:
    """``nexthop, dot-nexthop``: the certificate names the MX host, which lies below the domain, or does not."""
    hosts = {MX: "encrypted and verified", "mx1.provider.example": "still queued", "mx1aa.example": "still queued"}
    for name, fate in hosts.items():
        told = tell(of_postfix(peer(DOMAIN, mx(name)), [0], Level.SECURE, until_s=100.0))
        assert told.message("fate") == [fate], name


# --- the scenario


def test_settings_of_the_policy_become_the_nearest_of_the_sender() -> None:
    """And a policy that changes to one with the same nearest setting changes nothing."""
    policies = [
        DestinationControls(default=Entry(domain="DEFAULT", tls=setting), profiles={"Default": BounceProfile()})
        for setting in (Setting.REQUIRED, Setting.PREFERRED)
    ]
    events = [Event(event="policy", at_h=hour, policy=policy) for hour, policy in enumerate(policies, start=1)]
    world = compile_world(of_postfix(peer(), [0], setting=Setting.PREFERRED_VERIFY, timeline=events))
    assert world.phases.setting[:, 0].tolist() == [Level.MAY, Level.ENCRYPT, Level.MAY]
    assert world.phases.demand[:, 0].tolist() == [Demand.OPPORTUNISTIC, Demand.ENCRYPT, Demand.OPPORTUNISTIC]
    assert world.labels.setting_names == tuple(level.label for level in Level)
    assert world.labels.setting_of.tolist() == [Level.MAY]


def test_one_of_the_senders_own_settings_holds_everywhere_and_throughout() -> None:
    scenario = of_postfix(peer(), [0], setting=Setting.NO)
    for given in ("dane-only", "DANE_ONLY", " Dane-Only "):
        assert replace(scenario, sender_setting=given) == scenario.with_setting(Level.DANE_ONLY)
    assert compile_world(scenario.with_setting(Level.DANE_ONLY)).phases.setting.tolist() == [[Level.DANE_ONLY]]
    # A setting of the gateway's means the nearest again, whatever was asked for before.
    again = scenario.with_setting(Level.DANE_ONLY).with_setting(Setting.REQUIRED)
    assert compile_world(again).phases.setting.tolist() == [[Level.ENCRYPT]]


def test_limits_and_retries_of_the_policy_are_the_gateways() -> None:
    entry = {"max_host_concurrency": 1, "recipient_limit": 1, "recipient_minutes": 1}
    world = compile_world(of_postfix(peer(), [0], entry=entry, profile={"max_queue_time_s": 60}))
    assert world.slots.connections.tolist() == [20]
    assert world.slots.recipients.tolist() == [0]
    assert world.destinations.lifetime_us.tolist() == [432_000_000_000]
    assert world.destinations.max_retries.tolist() == [NO_LIMIT]
    assert (world.rules.retry_by_message, compile_world(story(peer(), [0])).rules.retry_by_message) == (1, 0)


def test_the_lowest_version_is_the_runs_the_senders_or_the_eras(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = of_postfix(peer(), [0])
    found = [scenario.lowest_tls]
    monkeypatch.setattr(Scenario, "profile", replace(postfix.PROFILE, minimum_tls=TlsVersion.TLS_1_0))
    found += [scenario.lowest_tls, replace(scenario, minimum_tls=TlsVersion.TLS_1_3).lowest_tls]
    assert found == [TlsVersion.TLS_1_2, TlsVersion.TLS_1_0, TlsVersion.TLS_1_3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sender": "postfx"}, "sender = 'postfx'; allowed: esa, postfix.* Did you mean 'postfix'"),
        (
            {"sender_setting": "encrypted"},
            r"sender_setting \(Postfix\) = 'encrypted'; allowed: none, may, encrypt.*Did",
        ),
        ({"sender_switches": {"mta_st": True}}, "switch of Postfix = 'mta_st'; allowed: mta_sts"),
        ({"sender_switches": {"mta_sts": "yes"}}, "switch mta_sts = 'yes'; allowed: false, true"),
        (
            {"sender": "esa", "sender_setting": "may"},
            "sender_setting = 'may'; allowed: none: the settings of Cisco ESA",
        ),
        ({"sender": "esa", "sender_switches": {"mta_sts": True}}, "sender_switches = 'mta_sts'; allowed: none: those"),
    ],
)
def test_what_a_sender_does_not_have_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((ScenarioError, PolicyError), match=message):
        replace(of_postfix(peer(), [0]), **changes)


def test_a_setting_of_another_sender_is_refused() -> None:
    with pytest.raises(ScenarioError, match="setting of Cisco ESA = 'encrypt'; allowed: No, Preferred"):
        story(peer(), [0]).with_setting(Level.ENCRYPT)
    assert story(peer(), [0]).with_setting(Setting.REQUIRED).policy.default.tls == Setting.REQUIRED


def test_tables_are_built_in_one_place() -> None:
    gateway = story(peer(), [0], switches=Switches(pv_after_220="fail"))
    assert gateway.tables is profile("esa").tables({"pv_after_220": "fail"})
    assert of_postfix(peer(), [0], sender_switches={"mta_sts": True}).tables is postfix.PROFILE.tables(
        {"mta_sts": True}
    )


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("setting", Setting)
def test_every_sender_delivers_a_preset_under_every_setting(sender: str, setting: Setting) -> None:
    """All mail has its fate; under what each takes for Required nothing is in clear."""
    population = Population.preset("2020s-web", domains=60)
    scenario = Scenario(population=population, workload=Workload.flat(400), sender=sender).with_setting(setting)
    fates = simulate(scenario, seed=2, records=True).messages["fate"]
    assert not (fates == "still queued").any()
    if setting in (Setting.REQUIRED, Setting.REQUIRED_VERIFY, Setting.REQUIRED_VERIFY_HOSTED):
        assert not (fates == "in clear").any()
