"""Stories of single messages whose times were computed by hand, to the microsecond.

The first two are the vendor guide's own (AsyncOS user guide 9.1 ch. 24, bounce profiles). In all others the sentence
of docs/model.md that a story shows is in its name or its comments; :mod:`tests.delivery.stories` says what a peer is.
What happens on one connection is in ``test_worked_examples_tls.py``.
"""

from __future__ import annotations

from typing import Any

import pytest

from sim.policy.retry import BounceProfile, HostRetry
from tests.delivery.stories import (
    DOMAIN,
    HALF_SILENT,
    MX,
    QUICK,
    SILENT,
    fails,
    known_pair,
    mx,
    new_pair,
    none_as_nan,
    not_refused,
    peer,
    refused,
    seconds,
    seed_where,
    story,
    tell,
    works,
)

DAY = 86_400.0
LIFETIME = 3 * DAY
ALWAYS_4YZ: dict[str, Any] = {"first_4yz_rate": 1.0, "rescued_share": 0.0}
ONE_AT_A_TIME: dict[str, Any] = {"max_host_concurrency": 1}
AT_LIFETIME: dict[str, Any] = {"expire": "at_lifetime"}
#: Attempts of the shipped schedule: waits of 1, 2, 4, 8, 16, 32 and then 60 minutes, from the start of each attempt.
SCHEDULE = [0, 60, 180, 420, 900, 1_860, 3_780, *(3_780 + 3_600 * k for k in range(1, 71))]


# --- the guide's worked examples


def test_with_two_retries_the_third_attempt_is_the_last() -> None:
    """Wait 60 s at most, 2 retries, always 4yz: attempts at 0, 60, 120, and the bounce right after the third."""
    told = tell(story(peer(**ALWAYS_4YZ), [0], profile={"max_wait_s": 60, "max_retries": 2}))
    assert told.connection("opened_s") == seconds([0, 60, 120])
    # The third connection opens at 120 and takes 3 us; MAIL and RCPT take 2; the refusal at RCPT is the bounce.
    assert told.message("done_s") == seconds([120.000_005])
    assert told.message("bounce") == ["expired: retries"]
    assert (told.message("verdicts"), told.message("retries"), told.message("deferral_events")) == ([3], [2], [3])
    # Each connection idles for 5 s behind its refusal.
    assert told.connection("closed_s") == seconds([5.000_005, 65.000_005, 125.000_005])


def test_with_100_seconds_in_queue_the_bounce_comes_when_the_next_try_falls_due() -> None:
    """Wait 60 s at most, 100 s in queue, always 4yz: attempts at 0 and 60, and the bounce at 120, not at 100."""
    told = tell(story(peer(**ALWAYS_4YZ), [0], profile={"max_wait_s": 60, "max_queue_time_s": 100}))
    assert told.connection("opened_s") == seconds([0, 60])
    assert told.message("done_s") == seconds([120])
    assert told.message("bounce") == ["expired: time in queue"]
    assert told.message("reason") == ["4yz-reply"]


def test_with_expire_at_lifetime_the_bounce_of_the_second_example_comes_at_100() -> None:
    """``expire = at_lifetime``: the message's own timer falls due at its lifetime at the latest."""
    profile = {"max_wait_s": 60, "max_queue_time_s": 100}
    told = tell(story(peer(**ALWAYS_4YZ), [0], profile=profile, delivery=AT_LIFETIME))
    assert told.connection("opened_s") == seconds([0, 60])
    assert told.message("done_s") == seconds([100])


# --- schedules


@pytest.mark.parametrize(("delivery", "bounced_at"), [({}, 259_380), (AT_LIFETIME, 259_200)])
def test_72_hours_of_the_shipped_profile_hold_77_attempts(delivery: dict[str, Any], bounced_at: float) -> None:
    """3,780 s + 70 hours = 255,780 is the last before 259,200; the next would fall due at 259,380."""
    told = tell(story(peer(**ALWAYS_4YZ), [0], delivery=delivery))
    assert len(SCHEDULE) == 77
    assert list(BounceProfile().attempt_times_s()) == SCHEDULE
    assert told.connection("opened_s") == seconds(SCHEDULE)
    assert told.message("done_s") == seconds([bounced_at])
    assert (told.message("bounce"), told.message("retries")) == (["expired: time in queue"], [77])


@pytest.mark.parametrize(("delivery", "bounced_at"), [({}, 259_380), (AT_LIFETIME, 259_200)])
def test_a_silent_host_is_tried_on_the_hosts_own_schedule(delivery: dict[str, Any], bounced_at: float) -> None:
    """Each pass ends after 30 s of silence; the timer runs from its start. It counts no retry of the message."""
    told = tell(story(peer(DOMAIN, mx(**SILENT)), [0], delivery=delivery))
    assert told.connection("opened_s") == seconds(SCHEDULE)
    assert told.connection("closed_s") == seconds([t + 30 for t in SCHEDULE])
    assert told.connection("established_s") == [None] * 77
    assert told.message("done_s") == seconds([bounced_at])
    assert (told.message("bounce"), told.message("reason")) == (["expired: time in queue"], ["unreachable"])
    counts = [told.message(c)[0] for c in ("verdicts", "retries", "deferral_events", "mx_host")]
    assert counts == [0, 0, 77, None]


def test_a_pass_longer_than_the_wait_is_followed_by_the_next_at_once() -> None:
    """90 s of silence against a wait of 60 s: due at 60, known at 90. Then 120 s from 90, and 240 s from 210."""
    told = tell(story(peer(DOMAIN, mx(unreachable_rate=1.0, unreachable_s=90.0)), [0], until_s=500.0, days=0.001))
    assert told.connection("opened_s") == seconds([0, 90, 210, 450])


def test_host_and_message_have_schedules_of_their_own() -> None:
    """Host: every 10 s. Message: 60, 120, ... Passes fail at 0 and 10, mail flows at 20, is refused; next at 80.

    The design: "timers run from the start of the failed attempt". The page lets an attempt start with the first opening
    since the message became waiting, so one refused after an hour of *down* is tried again at once.
    """
    seed = seed_where(fails(0, 0), fails(0, 1), works(0, 2), works(0, 3))
    host = mx(unreachable_rate=0.5, unreachable_s=2.0)
    told = tell(
        story(peer(DOMAIN, host, first_4yz_rate=1.0), [0], host_retry=HostRetry(initial_wait_s=10, max_wait_s=10)), seed
    )
    assert told.connection("opened_s") == seconds([0, 10, 20, 80])
    # Rescued at its second verdict: 80 s + opening 3 us + transfer 4 us.
    assert told.message("done_s") == seconds([80.000_007])
    assert (told.message("fate"), told.message("deferral_events"), told.message("retries")) == (["in clear"], [3], [1])


# --- a destination that is down


def test_a_probe_that_succeeds_releases_the_waiting_mail_at_once() -> None:
    """Down at 30, the probe for the oldest at 60, then all that waited, one after another on the same connection."""
    seed = seed_where(fails(0, 0), works(0, 1))
    told = tell(story(peer(DOMAIN, mx(**HALF_SILENT)), [0, 10, 20, 30], entry=ONE_AT_A_TIME), seed)
    assert told.connection("opened_s") == seconds([0, 60])
    # Open at 60.000003; 4 us a message.
    assert told.message("done_s") == seconds([60.000_007, 60.000_011, 60.000_015, 60.000_019])
    assert told.message("deferred") == [True] * 4
    # The pass failed at 30, before the mail of that instant arrived (steps of connections rank before arrivals).
    assert told.message("deferral_events") == [1, 1, 1, 0]
    assert told.message("reason") == ["unreachable", "unreachable", "unreachable", "none"]


def test_waiting_mail_opens_connections_of_its_own_once_the_probe_was_accepted() -> None:
    """Not before: between 60 and the acceptance at 60.000007 only the probe is open."""
    seed = seed_where(fails(0, 0), works(0, 1), works(2, 0))
    told = tell(story(peer(DOMAIN, mx(**HALF_SILENT)), [0, 40, 50]), seed)
    # At 60.000007 the idle probe takes the second message, and a connection opens for the third (3 + 4 us).
    assert told.connection("opened_s") == seconds([0, 60, 60.000_007])
    assert told.message("done_s") == seconds([60.000_007, 60.000_011, 60.000_014])


def test_openings_in_progress_neither_restart_nor_lengthen_the_wait() -> None:
    """Passes that began at 0 and 5 fail at 30 and 35. The wait runs from 0: probes at 60, 180, not 65 or 185."""
    told = tell(story(peer(DOMAIN, mx(**SILENT)), [0, 5], until_s=400.0, days=0.001))
    assert told.connection("opened_s") == seconds([0, 5, 60, 180])
    # Four failed passes (30, 35, 90, 210), for each of which both were waiting.
    assert told.message("deferral_events") == [4, 4]


def test_a_destination_that_was_up_again_starts_its_waits_anew() -> None:
    """Waits of 60 and 120 s lead to the success at 180. Down again from 1,000: the next wait is 60 s, not 240."""
    seed = seed_where(fails(0, 0), fails(0, 1), works(0, 2), fails(1, 0), works(1, 1))
    told = tell(story(peer(DOMAIN, mx(**HALF_SILENT)), [0, 1_000]), seed)
    assert told.connection("opened_s") == seconds([0, 60, 180, 1_000, 1_060])
    assert told.message("done_s") == seconds([180.000_007, 1_060.000_007])


@pytest.mark.parametrize(("switch", "delivered_at"), [(False, 60.000_007), (True, 40.000_007)])
def test_new_mail_probes_only_where_the_switch_says_so(switch: bool, delivered_at: float) -> None:
    """Down from 30 to 60 unless the message that arrives at 40 opens a probe: for the oldest, not for itself."""
    seed = seed_where(fails(0, 0), works(0, 1))
    mail = [0, 40]
    told = tell(
        story(peer(DOMAIN, mx(**HALF_SILENT)), mail, entry=ONE_AT_A_TIME, delivery={"new_mail_probes": switch}), seed
    )
    assert told.connection("opened_s") == seconds([0, delivered_at - 0.000_007])
    assert told.message("done_s") == seconds([delivered_at, delivered_at + 0.000_004])


def test_a_failed_probe_of_new_mail_lengthens_the_wait_too() -> None:
    """Passes 0-30 and (new mail) 40-70. The second wait of 120 s runs from 40: due at 160."""
    told = tell(
        story(peer(DOMAIN, mx(**SILENT)), [0, 40], delivery={"new_mail_probes": True}, until_s=300.0, days=0.001)
    )
    assert told.connection("opened_s") == seconds([0, 40, 160])


@pytest.mark.parametrize(("delivery", "bounced_at"), [({}, 180), (AT_LIFETIME, 100)])
def test_mail_of_a_destination_that_is_down_expires_when_its_timer_falls_due(
    delivery: dict[str, Any], bounced_at: float
) -> None:
    """100 s in queue. Passes 0-30 and 60-90; the timer falls due at 180 (60 + 120)."""
    told = tell(story(peer(DOMAIN, mx(**SILENT)), [0], profile={"max_queue_time_s": 100}, delivery=delivery))
    assert told.connection("opened_s") == seconds([0, 60])
    assert told.message("done_s") == seconds([bounced_at])


@pytest.mark.parametrize(("delivery", "bounced_at"), [({}, 180), (AT_LIFETIME, 80)])
def test_a_message_may_lapse_while_its_connection_opens(delivery: dict[str, Any], bounced_at: float) -> None:
    """80 s in queue end during the probe (60-90). At once, or when the timer after it falls due (180)."""
    told = tell(story(peer(DOMAIN, mx(**SILENT)), [0], profile={"max_queue_time_s": 80}, delivery=delivery))
    assert told.connection("closed_s") == seconds([30, 90])
    assert told.message("done_s") == seconds([bounced_at])


@pytest.mark.parametrize(("delivery", "bounced_at"), [({}, [180, 180]), (AT_LIFETIME, [75, 85])])
def test_mail_may_lapse_while_a_probe_opens_for_another_message(
    delivery: dict[str, Any], bounced_at: list[float]
) -> None:
    """75 s in queue end at 75 and 85, during the probe for the first message (60-90): mail waits for what it finds."""
    told = tell(story(peer(DOMAIN, mx(**SILENT)), [0, 10], profile={"max_queue_time_s": 75}, delivery=delivery))
    assert told.connection("opened_s") == seconds([0, 10, 60])
    assert told.message("done_s") == seconds(bounced_at)


def test_no_connection_opens_for_a_message_that_has_lapsed_while_no_timer_runs() -> None:
    """60 s in queue, probes every 10 s. The first message meets a 5xx greeting each time and bounces at 60.

    The second, a microsecond younger, has been in opening since before the destination went down (2 us): 100 s of
    silence. At 60 there is nobody to probe for; at 100 its pass fails, it lapsed at 60, and it should bounce.
    """
    seed = seed_where(*(works(0, k) for k in range(6)), fails(1, 0), fails(1, 1))
    told = tell(
        story(
            peer(DOMAIN, mx(unreachable_rate=0.5, unreachable_s=100.0, greeting_5xx_rate=0.5)),
            [0, 0.000_001],
            profile={"max_queue_time_s": 60, "max_wait_s": 60},
            host_retry=HostRetry(initial_wait_s=10, max_wait_s=10),
        ),
        seed,
    )
    assert told.connection("opened_s") == seconds([0, 0.000_001, 10, 20, 30, 40, 50])
    assert told.message("done_s") == seconds([60, 100.000_001])


def test_new_mail_does_not_keep_lapsed_mail_in_the_queue() -> None:
    """``new_mail_probes``, a message every 50 s for 2 hours to a silent host, 10 minutes in queue, waits of 60 s.

    A drain lasts at most lifetime + longest wait + one session (600 + 60 + 10 s): no message stays longer.
    """
    told = tell(
        story(
            peer(DOMAIN, mx(unreachable_rate=1.0, unreachable_s=10.0)),
            [50.0 * k for k in range(144)],
            profile={"max_queue_time_s": 600},
            host_retry=HostRetry(initial_wait_s=60, max_wait_s=60),
            delivery={"new_mail_probes": True},
        )
    )
    assert max(told.message("delay_s")) <= 600 + 60 + 10


def test_mail_that_waits_only_for_a_limit_expires_though_its_destination_is_still_down() -> None:
    """100 s in queue, one recipient an hour. Down at 2; the probe of 10 opens and its message is refused for good.

    So nothing was accepted, the destination is still down, its timer does not run, and the window is full until 3,610.
    The second message waits only for that limit: it should bounce at its lifetime, 100 (the design: "mail that waits
    only for a limit expires at its lifetime. So the drain lasts at most lifetime + longest wait + one session").
    """
    seed = seed_where(fails(0, 0), works(0, 1), refused(0), not_refused(1))
    told = tell(
        story(
            peer(DOMAIN, mx(unreachable_rate=0.5, unreachable_s=2.0), refused_5yz_rate=0.5),
            [0, 0],
            entry={"recipient_limit": 1, "recipient_minutes": 60, **ONE_AT_A_TIME},
            profile={"max_queue_time_s": 100, "max_wait_s": 60},
            host_retry=HostRetry(initial_wait_s=10, max_wait_s=10),
        ),
        seed,
    )
    assert told.message("bounce")[0] == "5yz reply"
    assert max(told.message("done_s")) <= 100 + 60 + 3


def test_mail_expires_while_probes_get_through_but_nothing_is_accepted() -> None:
    """50 s in queue, 100 messages, every one refused for now. Down at 2; probes from 10 on carry 20 messages each.

    A session is 3 s to open and 20 refusals of 2 s. No timer runs between them, so what lapsed at 50 is still tried in
    the sessions from 96, 139 and 182 on, while a destination that is not down would have bounced it at 50.
    """
    seed = seed_where(fails(0, 0), works(0, 1), *(works(k, 0) for k in (20, 40, 60, 80)))
    told = tell(
        story(
            peer(DOMAIN, mx(unreachable_rate=0.5, unreachable_s=2.0, rtt_s=1.0), **ALWAYS_4YZ),
            [0] * 100,
            entry={"max_messages_per_connection": 20, **ONE_AT_A_TIME},
            profile={"max_queue_time_s": 50, "max_wait_s": 60},
            host_retry=HostRetry(initial_wait_s=10, max_wait_s=10),
        ),
        seed,
    )
    assert told.connection("opened_s")[:2] == seconds([0, 10])
    assert max(told.message("done_s")) <= 50 + 60 + 43


# --- expiry elsewhere


@pytest.mark.parametrize("delivery", [{}, AT_LIFETIME])
def test_mail_that_waits_only_for_a_limit_expires_at_its_lifetime(delivery: dict[str, Any]) -> None:
    """One connection is busy for 200 s; 100 s in queue: the message of 10 bounces at 110 and was never deferred."""
    told = tell(
        story(
            peer(DOMAIN, mx(accept_median_s=200.0)),
            [0, 10],
            entry=ONE_AT_A_TIME,
            profile={"max_queue_time_s": 100},
            delivery=delivery,
        )
    )
    # The first lapsed at 100, but a transfer in progress always finishes: 3 us + 4 us + 200 s.
    assert told.message("done_s") == seconds([200.000_007, 110])
    assert told.message("bounce") == ["none", "expired: time in queue"]
    assert told.message("deferred") == [False, False]


def test_a_message_refused_after_its_lifetime_bounces_at_the_verdict() -> None:
    """An own timer with 0 s in queue never starts: one attempt, one verdict, the bounce says time and not retries."""
    told = tell(story(peer(**ALWAYS_4YZ), [0], profile={"max_queue_time_s": 0, "max_retries": 0}))
    assert told.message("done_s") == seconds([0.000_005])
    assert (told.message("bounce"), told.message("verdicts")) == (["expired: time in queue"], [1])


# --- what a success releases; greylisting


@pytest.mark.parametrize(
    ("releases", "delivered_at", "opened"),
    [
        # Own timer: tries at 0, 60, 180 and 420; the peer lets it pass 300 s after the first.
        ("down", 420.000_007, [0, 30, 60, 180, 420]),
        # Released at 30.000007 by the other's success, onto its connection; 120 s later; 240 s later.
        ("all", 390.000_014, [0, 30, 150.000_007, 390.000_007]),
    ],
)
def test_a_success_releases_mail_on_own_timers_only_where_the_switch_says_so(
    releases: str, delivered_at: float, opened: list[float]
) -> None:
    """The message of 0 is greylisted for 300 s; that of 30 is accepted at once (connection 3 us, transfer 4 us)."""
    seed = seed_where(new_pair(0), known_pair(1))
    told = tell(
        story(peer(greylist_s=300.0, new_pair_rate=0.5), [0, 30], delivery={"success_releases": releases}), seed
    )
    assert told.connection("opened_s") == seconds(opened)
    assert told.message("done_s") == seconds([delivered_at, 30.000_007])
    assert told.message("verdicts") == [4, 1]
    assert told.message("deferred") == [True, False]


@pytest.mark.parametrize(("threshold", "tries"), [(59.0, 2), (60.0, 2), (60.1, 3), (180.0, 3), (181.0, 4)])
def test_greylisting_lets_a_message_pass_once_its_threshold_is_over(threshold: float, tries: int) -> None:
    """Tries at 0, 60, 180, 420, each 3 us after its connection began; counted from the start of the first verdict."""
    told = tell(story(peer(greylist_s=threshold, new_pair_rate=1.0), [0]))
    assert told.message("verdicts") == [tries]
    assert told.message("done_s") == seconds([SCHEDULE[tries - 1] + 0.000_007])


# --- refusals


def test_a_5yz_reply_bounces_at_once_and_the_connection_goes_on() -> None:
    """Two messages at once on one connection: refused 3 + 2 us, accepted 4 us later."""
    seed = seed_where(refused(0), not_refused(1))
    told = tell(story(peer(refused_5yz_rate=0.5), [0, 0], entry=ONE_AT_A_TIME), seed)
    assert told.message("bounce") == ["5yz reply", "none"]
    assert told.message("done_s") == seconds([0.000_005, 0.000_009])
    assert told.connection("messages") == [2]


def test_a_message_refused_later_bounces_at_its_second_verdict() -> None:
    """``persistent_4yz_share = 0``: who is not rescued gets 4yz at 0 and 5yz at 60."""
    told = tell(story(peer(**ALWAYS_4YZ, persistent_4yz_share=0.0), [0]))
    assert told.message("done_s") == seconds([60.000_005])
    assert (told.message("bounce"), told.message("verdicts"), told.message("retries")) == (["5yz reply"], [2], [1])


def test_an_attempt_on_an_open_connection_starts_when_the_message_goes_onto_it() -> None:
    """Refused for now at 2 on the connection that has been open since 0: next try at 62, not at 60."""
    seed = seed_where(not_refused(0), refused(1))
    told = tell(story(peer(first_4yz_rate=0.5), [0, 2]), seed)
    assert told.connection("opened_s") == seconds([0, 62])
    assert told.message("done_s") == seconds([0.000_007, 62.000_007])


def test_a_message_that_comes_back_to_the_connection_it_opened_starts_a_new_attempt() -> None:
    """One connection, always open: tries at 0, 60, 180, 420. Each wait runs from when the message goes onto it."""
    told = tell(
        story(peer(**ALWAYS_4YZ), [0], profile={"max_retries": 3}, delivery={"idle_timeout_s": 1_000.0}),
    )
    assert told.connection("opened_s") == seconds([0])
    assert told.connection("messages") == [4]
    # The last goes onto it at 420, and is refused 2 us later.
    assert told.message("done_s") == seconds([420.000_002])


# --- several connections


def test_a_destination_is_held_when_a_pass_fails_beside_an_open_connection() -> None:
    """Nothing new opens from 40, when the second pass failed, until a message is accepted at 100; it is not down."""
    seed = seed_where(works(0, 0), fails(1, 0), works(2, 0))
    told = tell(story(peer(DOMAIN, mx(**HALF_SILENT, accept_median_s=100.0)), [0, 10, 50]), seed)
    # Accepted at 3 + 4 us + 100 s: the idle connection takes the oldest, and one opens for the other.
    assert told.connection("opened_s") == seconds([0, 10, 100.000_007])
    assert told.message("done_s") == seconds([100.000_007, 200.000_011, 200.000_014])
    assert none_as_nan(told.connection("established_s")) == seconds([0.000_003, None, 100.000_010])
    # A failed pass counts an event for what was waiting; held mail was on no timer, so it is not deferred.
    assert told.message("deferral_events") == [0, 1, 0]
    assert told.message("deferred") == [False] * 3


def test_a_closing_connection_ends_the_hold_as_well() -> None:
    """Nothing is accepted and a connection carries one message: refused at 5 s, it closes, and the next may open."""
    seed = seed_where(works(0, 0), fails(1, 0), works(1, 1))
    host = mx(unreachable_rate=0.5, unreachable_s=4.0, rtt_s=1.0)
    entry = {"max_messages_per_connection": 1}
    told = tell(story(peer(DOMAIN, host, **ALWAYS_4YZ), [0, 0], profile={"max_retries": 0}, entry=entry), seed)
    # Passes begin at 0: the first opens at 3, the other fails at 4 beside it: held. 5: refused, closed, the second
    # message's second opening; open at 8, refused at 10.
    assert told.connection("opened_s") == seconds([0, 0, 5])
    assert told.connection("closed_s") == seconds([5, 4, 10])
    assert told.message("done_s") == seconds([5, 10])
    assert told.message("deferral_events") == [1, 2]


@pytest.mark.parametrize(("eagerness", "opened"), [(1, 10), (3, 4), (9, 2), (10, 1)])
def test_connections_open_while_more_messages_wait_than_those_in_opening_stand_for(eagerness: int, opened: int) -> None:
    """Ten messages at once: one more opens while 10 exceeds ``messages_per_opening`` times those in progress."""
    told = tell(story(peer(), [0] * 10, delivery={"messages_per_opening": eagerness}))
    assert told.connection("opened_s").count(0) == opened
    assert told.message("fate") == ["in clear"] * 10


def test_the_connection_that_fell_idle_last_takes_the_next_message() -> None:
    """Two connections of one instant fall idle at 0.000007, the second last: it carries the mail of 1 and 2 as well."""
    told = tell(story(peer(), [0, 0, 1, 2]))
    assert told.connection("messages") == [1, 3]
    # The other has idled for 5 s by then.
    assert told.connection("closed_s") == seconds([5.000_007, 7.000_004])


def test_messages_per_connection_are_limited() -> None:
    """Two a connection, one connection at a time: for the third message one opens the instant the first closes."""
    told = tell(story(peer(), [0] * 3, entry={"max_messages_per_connection": 2, **ONE_AT_A_TIME}))
    assert told.connection("messages") == [2, 1]
    # 3 us + two transfers of 4; 3 us + 4.
    assert told.connection("closed_s")[0] == pytest.approx(told.connection("opened_s")[1]) == pytest.approx(0.000_011)
    assert told.message("done_s") == seconds([0.000_007, 0.000_011, 0.000_018])


@pytest.mark.parametrize(
    ("idle_s", "starts"),
    [
        # The connection is closed when the window of 0.000003 ends at 60.000003: a new one needs 3 us to open,
        # and that window begins with its first message.
        (5.0, [0.000_003, 60.000_006, 120.000_009]),
        # It idles all the while, so the first recipient of the next window goes out at once.
        (100.0, [0.000_003, 60.000_003, 120.000_003]),
    ],
)
def test_recipients_are_limited_in_windows_opened_by_their_first(idle_s: float, starts: list[float]) -> None:
    """Two recipients a minute, five messages at once, one connection at a time."""
    entry = {"recipient_limit": 2, "recipient_minutes": 1, **ONE_AT_A_TIME}
    told = tell(story(peer(), [0] * 5, entry=entry, delivery={"idle_timeout_s": idle_s}))
    expected = [starts[0] + 4e-6, starts[0] + 8e-6, starts[1] + 4e-6, starts[1] + 8e-6, starts[2] + 4e-6]
    assert told.message("done_s") == seconds(expected)
    assert told.message("deferred") == [False] * 5


def test_connections_open_only_for_mail_that_their_window_has_room_for() -> None:
    """Three recipients a minute, messages to 1, 2 and 1 at once: at 0 one opens for each of the first two: full."""
    told = tell(story(peer(), [(0, 1), (0, 2), (0, 1)], entry={"recipient_limit": 3, "recipient_minutes": 1}))
    assert told.connection("opened_s") == seconds([0, 0, 60.000_003])
    # Both open at 3 us. The second, idle last, takes the first message (4 us), the first the other (RCPT twice: 5 us).
    assert told.message("done_s")[:2] == seconds([0.000_007, 0.000_008])
    assert told.message("done_s")[2] == pytest.approx(60.000_010, abs=4e-7)


# --- a run that ends early


def test_a_censored_run_leaves_mail_queued_and_closes_what_is_open() -> None:
    """Until 50: a message on its own timer, one in transfer since 10, one that has its fate."""
    seed = seed_where(refused(0), not_refused(1), not_refused(2))
    told = tell(story(peer(DOMAIN, mx(accept_median_s=30.0), first_4yz_rate=0.5), [0, 1, 31], until_s=50.0), seed)
    assert told.message("fate") == ["still queued", "in clear", "still queued"]
    assert told.message("done_s") == seconds([50, 31.000_004, 50])
    assert told.message("deferred") == [True, False, False]
    # The first connection was busy when the third message came, so that has its own, still busy at 50.
    assert told.connection("closed_s") == seconds([36.000_004, 50])
    assert told.result.queued == 2


def test_a_connection_cut_off_in_its_opening_knows_only_what_it_has_met() -> None:
    """Until 10, in the middle of the 30 s of silence of the first host: the second host was not tried yet."""
    hosts = [mx("mx1.a.example", preference=10, **SILENT), mx("mx2.a.example", preference=20)]
    told = tell(story(peer(DOMAIN, *hosts), [0], until_s=10.0))
    assert told.connection("mx_host") == ["mx1.a.example"]
    assert (told.connection("reason"), told.connection("closed_s")) == (["none"], seconds([10]))


def test_the_end_of_a_run_is_the_end_of_its_last_message_or_connection() -> None:
    """Two messages at once on one connection: over after 5 s of idling, not after the 72 h that the second may wait."""
    told = tell(story(peer(), [0, 0], entry=ONE_AT_A_TIME))
    assert told.connection("closed_s") == seconds([5.000_011])
    assert told.result.meta["end_s"] == pytest.approx(5.000_011)


def test_quick_peers_are_quick() -> None:
    """What the hand-made times above rest on."""
    told = tell(story(peer(DOMAIN, {"host": MX, **QUICK}), [0]))
    assert told.connection("established_s") == seconds([0.000_003])
    assert told.message("done_s") == seconds([0.000_007])
