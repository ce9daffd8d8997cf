"""Stories of single connections: what each TLS setting makes of a peer, step by step, MX hosts and look-ups.

Times were computed by hand; :mod:`tests.delivery.stories` says what a peer is. A slow one is a second away.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats

from sim.delivery import rules
from sim.delivery.draws import Stream, name_key, round_keys, words
from sim.delivery.quantiles import unit_table
from sim.policy.profiles.esa import Switches
from sim.terms import Setting
from tests.delivery.stories import (
    DOMAIN,
    HALF_SILENT,
    MX,
    SILENT,
    SLOW,
    fails,
    first_outage,
    mx,
    peer,
    seconds,
    seed_where,
    story,
    tell,
    works,
)

# --- TLS, step by step, at one second a round trip


@pytest.mark.parametrize(("version", "failed_at"), [("TLSv1.3", 5), ("TLSv1.2", 6)])
def test_preferred_verify_reconnects_in_clear_when_the_handshake_fails(version: str, failed_at: float) -> None:
    """``pv_after_220 = clear``: connect, greeting, EHLO, STARTTLS, handshake (1 or 2); then 3 in clear; then 4."""
    host = {"host": MX, **SLOW, "handshake_failed_rate": 1.0, "tls_version": version}
    told = tell(story(peer(DOMAIN, host), [0], setting=Setting.PREFERRED_VERIFY))
    assert told.connection("opened_s") == seconds([0])
    assert told.connection("established_s") == seconds([failed_at + 3])
    assert told.message("done_s") == seconds([failed_at + 7])
    assert (told.message("fate"), told.message("deferred")) == (["in clear"], [False])
    # Message and reconnection used one opening each of the message's own: nothing was counted against its retries.
    assert (told.message("retries"), told.message("deferral_events")) == ([0], [0])


@pytest.mark.parametrize(
    ("setting", "switch"),
    [(Setting.PREFERRED_VERIFY, "fail"), (Setting.PREFERRED, "clear"), (Setting.REQUIRED_VERIFY, "clear")],
)
def test_otherwise_a_failed_handshake_fails_the_pass(setting: Setting, switch: str) -> None:
    """``pv_after_220 = fail``, and the other settings: failed at 5, probes at 60 and 180, 100 s in queue end at 180."""
    host = {"host": MX, **SLOW, "handshake_failed_rate": 1.0}
    scenario = story(
        peer(DOMAIN, host),
        [0],
        setting=setting,
        switches=Switches(pv_after_220=switch),
        profile={"max_queue_time_s": 100},
    )
    told = tell(scenario)
    assert told.connection("opened_s") == seconds([0, 60])
    assert told.connection("closed_s") == seconds([5, 65])
    assert told.message("done_s") == seconds([180])
    assert told.message("reason") == ["validation-failure"]


@pytest.mark.parametrize(
    ("setting", "fate"),
    [
        (Setting.NO, "in clear"),
        (Setting.PREFERRED, "encrypted, not verified"),
        (Setting.REQUIRED, "encrypted, not verified"),
        (Setting.PREFERRED_VERIFY, "encrypted and verified"),
        (Setting.REQUIRED_VERIFY, "encrypted and verified"),
        (Setting.REQUIRED_VERIFY_HOSTED, "encrypted and verified"),
    ],
)
def test_a_peer_that_names_the_domain_under_each_setting(setting: Setting, fate: str) -> None:
    """Connect, greeting, EHLO: 3 s in clear; STARTTLS, handshake, EHLO: 6 s in TLS 1.3; the message 4 s."""
    told = tell(story(peer(DOMAIN, {"host": MX, **SLOW, "san_domain": True}), [0], setting=setting))
    opening = 3 if setting is Setting.NO else 6
    assert told.connection("established_s") == seconds([opening])
    assert told.message("done_s") == seconds([opening + 4])
    assert told.message("fate") == [fate]


@pytest.mark.parametrize(
    ("switch", "bounce", "done"),
    [("bounce", ["5xx to STARTTLS"] * 3, [4, 5, 64]), ("queue", ["expired: time in queue"] * 3, [180, 180, 180])],
)
def test_a_5xx_to_starttls_bounces_the_message_it_opened_for_where_the_switch_says_so(
    switch: str, bounce: list[str], done: list[float]
) -> None:
    """Required. Passes 0-4 and 1-5 bounce their openers; the destination is down, the third waits for a probe at 60."""
    host = {"host": MX, **SLOW, "refused_5xx_rate": 1.0}
    scenario = story(
        peer(DOMAIN, host),
        [0, 1, 6],
        setting=Setting.REQUIRED,
        switches=Switches(starttls_5xx_required=switch),
        profile={"max_queue_time_s": 100},
    )
    told = tell(scenario)
    assert told.message("bounce") == bounce
    assert told.message("done_s") == seconds(done)
    assert told.message("reason") == ["starttls-not-supported"] * 3
    assert told.connection("opened_s") == seconds([0, 1, 60])


def test_a_session_lost_in_tls_below_the_minimum_version_is_a_failed_handshake() -> None:
    """The sender's table: "lost-in-tls | below the minimum | handshake failed"; Preferred - Verify goes on in clear."""
    host = {"host": MX, **SLOW, "lost_in_tls_rate": 1.0, "tls_version": "TLSv1.0"}
    told = tell(story(peer(DOMAIN, host), [0], setting=Setting.PREFERRED_VERIFY, profile={"max_queue_time_s": 100}))
    assert told.message("fate") == ["in clear"]


def test_reconnecting_is_one_more_opening_and_may_meet_something_else() -> None:
    """Half of all connections meet silence, the others lose the handshake. At 0: handshake lost (5), then silence (30).

    The pass has failed; the probe at 60 is the third opening: handshake lost (65), the fourth goes on in clear (68).
    """
    host = {"host": MX, **SLOW, **HALF_SILENT, "handshake_failed_rate": 0.5}
    seed = seed_where(works(0, 0), fails(0, 1), works(0, 2), works(0, 3))
    told = tell(story(peer(DOMAIN, host), [0], setting=Setting.PREFERRED_VERIFY), seed)
    assert told.connection("opened_s") == seconds([0, 60])
    assert told.connection("closed_s")[0] == 35
    assert told.connection("reason")[0] == "unreachable"
    assert told.message("done_s") == seconds([72])


@pytest.mark.parametrize(("setting", "fate"), [(Setting.PREFERRED, "in clear"), (Setting.REQUIRED, "bounced")])
def test_a_stripped_path_never_offers_starttls(setting: Setting, fate: str) -> None:
    """Whatever the peer would do with it: known after 3 s, as if it had not offered any."""
    host = {"host": MX, **SLOW, "refused_4xx_rate": 0.5, "handshake_failed_rate": 0.5, "stripped": True}
    told = tell(story(peer(DOMAIN, host), [0], setting=setting, profile={"max_queue_time_s": 100}))
    assert told.message("fate") == [fate]
    # Delivered 4 s later, or tried again at 60 and given up at 180.
    assert told.message("done_s") == seconds([7 if fate == "in clear" else 180])
    assert fate == "in clear" or told.message("reason") == ["starttls-not-supported"]


def test_the_peers_time_to_accept_is_drawn_for_each_verdict() -> None:
    """Refused for now at 0; the acceptance of the second verdict, at 60, has its own quantile."""
    acceptance, seed = stats.lognorm(0.8), 7
    scenario = replace(story(peer(DOMAIN, mx(accept_median_s=10.0), first_4yz_rate=1.0), [0]), acceptance=acceptance)
    told = tell(scenario, seed)
    word = words(round_keys(seed, Stream.VERDICT), name_key(DOMAIN), 2)[0]
    takes = rules.scaled(10_000_000, rules.quantile(unit_table(acceptance, what="").tolist(), word), rules.UNIT_BITS)
    assert told.message("done_s") == seconds([60.000_007 + takes / 1e6])
    assert takes / 1e6 == pytest.approx(10 * acceptance.ppf(word / 2**32), rel=1e-3)


# --- MX hosts


def test_mx_hosts_are_tried_in_order_of_preference_within_one_pass() -> None:
    """Look-up 0.5 s; 30 s of silence; a 5xx greeting after 2 s; EHLO answered after 3 s; the message takes 4 s."""
    hosts = [
        {"host": "mx3.a.example", "preference": 30, **SLOW},
        {"host": "mx1.a.example", "preference": 10, **SLOW, **SILENT},
        {"host": "mx2.a.example", "preference": 20, **SLOW, "greeting_5xx_rate": 1.0},
    ]
    told = tell(story(peer(DOMAIN, *hosts), [0], delivery={"dns_s": 0.5}))
    assert told.connection("established_s") == seconds([35.5])
    assert told.connection("mx_host") == told.message("mx_host") == ["mx3.a.example"]
    assert told.message("done_s") == seconds([39.5])
    assert (told.message("deferred"), told.message("deferral_events")) == ([False], [0])


@pytest.mark.parametrize(("next_mx", "fate"), [(True, "encrypted, not verified"), (False, "bounced")])
def test_a_tls_failure_goes_to_the_next_host_only_where_the_switch_says_so(next_mx: bool, fate: str) -> None:
    """Required; the first host does not offer STARTTLS (3 s), the second does (6 s), the message takes 4 s."""
    hosts = [
        {"host": "mx1.a.example", "preference": 10, **SLOW, "not_offered_rate": 1.0},
        {"host": "mx2.a.example", "preference": 20, **SLOW},
    ]
    scenario = story(
        peer(DOMAIN, *hosts),
        [0],
        setting=Setting.REQUIRED,
        switches=Switches(tls_failure_next_mx=next_mx),
        profile={"max_queue_time_s": 100},
    )
    told = tell(scenario)
    assert told.message("fate") == [fate]
    assert told.message("done_s") == seconds([13 if next_mx else 180])
    assert set(told.connection("mx_host")) == {"mx2.a.example" if next_mx else "mx1.a.example"}


def test_a_5xx_to_starttls_of_one_host_is_no_bounce_while_there_is_another() -> None:
    """``starttls_5xx_required = bounce``: as next host (4 s); only the last try decides; the second is fine (6 + 4)."""
    hosts = [
        {"host": "mx1.a.example", "preference": 10, **SLOW, "refused_5xx_rate": 1.0},
        {"host": "mx2.a.example", "preference": 20, **SLOW},
    ]
    switches = Switches(starttls_5xx_required="bounce")
    told = tell(story(peer(DOMAIN, *hosts), [0], setting=Setting.REQUIRED, switches=switches))
    assert (told.message("fate"), told.message("done_s")) == (["encrypted, not verified"], seconds([14]))


def test_a_host_in_an_outage_is_silent_for_connections_that_begin_in_it() -> None:
    """Seed 1: the first outage is from 4,260.4 to 4,791.6. Messages come 10 s before, as it begins, as it ends.

    The second waits 30 s for an answer, and its schedule (60, 180, 420 and 900 s) leads past the end; the third waits
    for that probe too, since the destination is down.
    """
    begins, lasts = first_outage(seed=1, cycle_s=6_000.0, mean_s=600.0)
    assert (round(begins, 1), round(begins + lasts, 1)) == (4_260.4, 4_791.6)
    host = mx(unreachable_s=30.0, outage_share=0.1, outage_mean_s=600.0)
    told = tell(story(peer(DOMAIN, host), [begins - 10, begins, begins + lasts]), 1)
    tries = [begins + t for t in (0, 60, 180, 420)]
    probe = begins + 900
    assert told.connection("opened_s") == seconds([begins - 10, *tries, probe])
    assert told.connection("closed_s")[1:-1] == seconds([t + 30 for t in tries])
    assert told.message("done_s") == seconds([begins - 10 + 0.000_007, probe + 0.000_007, probe + 0.000_011])
    assert told.message("deferred") == [False, True, True]


def test_an_outage_does_not_break_a_connection_that_is_open() -> None:
    """Opened a second before the outage, it carries the message that comes 3 s into it (4 us)."""
    begins, _ = first_outage(seed=1, cycle_s=6_000.0, mean_s=600.0)
    host = mx(unreachable_s=30.0, outage_share=0.1, outage_mean_s=600.0)
    told = tell(story(peer(DOMAIN, host), [begins - 1, begins + 3]), 1)
    assert told.message("done_s")[1] == pytest.approx(begins + 3.000_004, abs=4e-7)
    assert told.connection("messages") == [2]


def test_hosts_of_equal_preference_share_the_mail_and_a_later_one_stands_by() -> None:
    """900 messages, a connection each: a third for each of three hosts. Chi-square, 1e-6; the fourth is never used."""
    hosts = [mx(f"mx{i}.a.example", preference=10) for i in (1, 2, 3)] + [mx("mx4.a.example", preference=20)]
    entry = {"max_messages_per_connection": 1}
    told = tell(story(peer(DOMAIN, *hosts), [10.0 * k for k in range(900)], entry=entry))
    used = told.connection("mx_host")
    counts = [used.count(f"mx{i}.a.example") for i in (1, 2, 3, 4)]
    assert counts[3] == 0
    assert stats.chisquare(counts[:3]).pvalue > 1e-6


def test_the_host_after_a_failed_one_of_equal_preference_is_the_next_of_the_rotation() -> None:
    """Two of three are silent: the pass begins anywhere, goes round, and always ends at the third, 0, 30 or 60 s on."""
    hosts = [mx(f"mx{i}.a.example", preference=10, **(SILENT if i < 3 else {})) for i in (1, 2, 3)]
    told = tell(story(peer(DOMAIN, *hosts), [100.0 * k for k in range(50)], entry={"max_messages_per_connection": 1}))
    waited = {round(delay - 0.000_007, 6) for delay in told.message("delay_s")}
    assert waited == {0, 30, 60}
    assert set(told.connection("mx_host")) == {"mx3.a.example"}


def test_a_pool_shows_each_of_its_servers_by_its_weight() -> None:
    """Of a host's pool one server in four offers no STARTTLS: 800 connections, chi-square, 1e-6."""
    servers = [{"weight": 0.25, "not_offered_rate": 1.0}, {"weight": 0.75}]
    told = tell(
        story(
            peer(DOMAIN, mx(backends=servers)),
            [10.0 * k for k in range(800)],
            setting=Setting.PREFERRED,
            entry={"max_messages_per_connection": 1},
        )
    )
    fates = told.message("fate")
    counts = [fates.count("in clear"), fates.count("encrypted, not verified")]
    assert sum(counts) == 800
    assert stats.chisquare(counts, [200, 600]).pvalue > 1e-6


# --- look-ups


@pytest.mark.parametrize("answer", ["nxdomain", "null-mx"])
def test_a_domain_without_mail_bounces_all_that_waits_and_is_never_down(answer: str) -> None:
    """The look-up takes 20 ms. It bounces what arrived meanwhile; a message 10 s later meets the same, at once."""
    told = tell(story(peer(dns=answer), [0, 0.01, 10], delivery={"dns_s": 0.02}))
    assert told.message("done_s") == seconds([0.02, 0.02, 10.02])
    assert told.message("bounce") == ["DNS hard error"] * 3
    assert told.message("reason") == ["dns-permanent"] * 3
    assert (told.message("deferral_events"), told.message("deferred")) == ([0] * 3, [False] * 3)
    # The second message's own connection, opened at 0.01, ends at 0.03 with nothing left to bounce.
    assert told.connection("closed_s") == seconds([0.02, 0.03, 10.02])


def test_a_temporary_dns_failure_takes_the_destination_down() -> None:
    """Known after 30 s; probes at 60 and, 120 s later, 180, where 100 s in queue are over."""
    told = tell(story(peer(dns_temporary_rate=1.0), [0], profile={"max_queue_time_s": 100}))
    assert told.connection("opened_s") == seconds([0, 60])
    assert told.connection("closed_s") == seconds([30, 90])
    assert (told.message("done_s"), told.message("reason")) == (seconds([180]), ["dns-temporary"])
