"""The policy what-if: laws of the difference, and small worlds whose answer is known by construction.

Nothing here is a statistical test but the last: runs are compared with runs of the same seed.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from itertools import accumulate, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from sim.delivery.compile import compile_world
from sim.delivery.simulate import run_world, simulate
from sim.delivery.world import World
from sim.errors import PolicyError, ScenarioError
from sim.formats.destination_controls import Policy
from sim.policy.destinations import DestinationControls, Entry
from sim.policy.retry import BounceProfile, HostRetry
from sim.scenario import Scenario
from sim.studies import parting, runs
from sim.studies.parting import KINDS, MAIL, PAIRS, WAITING
from sim.studies.runs import replication_seed
from sim.studies.whatif import patterns_frame, whatif
from sim.studies.whatif_result import WhatIfResult
from sim.terms import Fate, Setting, TlsVersion
from sim.timeline import Event
from sim.world.population import Population
from sim.world.workload import Workload
from tests.delivery.stories import fails, mx, peer, seed_where, story, works
from tests.studies import coverage_of_paired_intervals as coverage

MIRROR = {kind: other for pair in (*PAIRS, WAITING) for kind, other in (pair, pair[::-1])}
CLEAR = peer("clear.example", mx("mx.clear.example", not_offered_rate=1.0))
GOOD = peer("good.example")
HOUR_S = 3_600.0


def preset(seed: int = 1, **others: Any) -> Scenario:
    population = Population.preset("alexa-2015", domains=60, seed=seed)
    policy = DestinationControls(
        default=Entry(domain="DEFAULT", tls=Setting.PREFERRED),
        entries=(Entry(domain="google-mail.example", tls=Setting.REQUIRED),),
    )
    return Scenario(population=population, policy=policy, workload=Workload.flat(200), **others)


@cache
def stricter(replications: int = 3, jobs: int = 1, vary: str = "chance and population") -> WhatIfResult:
    return whatif(preset(), set={"*": "required"}, replications=replications, jobs=jobs, vary=vary)


@cache
def looser() -> WhatIfResult:
    strict = replace(preset(), policy=preset().policy.with_tls({"*": "required"}))
    return whatif(strict, to=preset(), replications=3, jobs=1)


def row(frame: pd.DataFrame, **key: object) -> dict[str, Any]:
    [found] = [r for r in frame.to_dict("records") if all(r[k] == v for k, v in key.items())]
    return {str(name): value for name, value in found.items()}


def messages(result: WhatIfResult) -> dict[str, float]:
    frame = result.kinds()
    return dict(zip(frame["kind"], frame["messages"], strict=True))


# --- laws


@pytest.mark.parametrize("change", [{"to": preset()}, {"set": {"google-mail.example": "required"}}])
def test_no_change_is_no_difference_anywhere(change: dict[str, Any]) -> None:
    result = whatif(preset(), replications=2, jobs=1, **change)
    assert result.sentence().endswith("changes nothing: every message goes exactly as it goes today")
    directions = result.directions()
    apart = directions[directions["before"] != directions["after"]]
    assert (apart[["messages", "recipients", "share"]] == 0).all(axis=None)
    assert (result.kinds()["messages"] == 0).all()
    measures = result.measures()
    assert (measures[["difference", "low", "high"]] == 0).all(axis=None)
    assert result.by_domain().empty
    assert (result.by_entry().filter(regex="_messages|_min") == 0).all(axis=None)
    assert (result.notices()["messages"] == 0).all()
    assert (result.rollback()["extra_waiting_messages"] == 0).all()
    assert set(result.deadline().values()) == {None}


def test_there_and_back_mirror_each_other_exactly() -> None:
    there, back = stricter(), looser()
    assert messages(there)["newly_bounced"] > 0
    assert messages(there)["clear_avoided"] > 0
    turned = back.directions().rename(columns={"before": "after", "after": "before"})
    merged = there.directions().merge(turned, on=["before", "after"], suffixes=("", "_back"))
    assert len(merged) == 16
    for column in ("messages", "recipients", "share", "low", "high", "recipients_share"):
        assert merged[column].tolist() == merged[f"{column}_back"].tolist()
    for kind in KINDS:
        assert messages(there)[kind] == messages(back)[MIRROR[kind]]
    one, other = there.measures(), back.measures()
    assert one["before"].tolist() == other["after"].tolist()
    assert one["difference"].tolist() == (-other["difference"]).tolist()
    assert one["low"].to_numpy() == pytest.approx(-other["high"].to_numpy(), abs=1e-12)
    assert one["variance_saved"].notna().sum() >= 4
    pd.testing.assert_series_equal(one["variance_saved"], other["variance_saved"])
    assert there.by_domain()["domain"].tolist() == back.by_domain()["domain"].tolist()
    assert there.by_domain()["later_min"].tolist() == back.by_domain()["sooner_min"].tolist()
    for kind in KINDS:
        mirrored = back.by_domain()[f"{MIRROR[kind]}_messages"].tolist()
        assert there.by_domain()[f"{kind}_messages"].tolist() == mirrored


def test_directions_conserve_the_mail_of_both_runs() -> None:
    result = stricter()
    directions = result.directions()
    assert directions["messages"].sum() == pytest.approx(result.injected.mean(), rel=1e-12)
    assert directions["share"].sum() == pytest.approx(1, abs=1e-12)
    assert directions["recipients_share"].sum() == pytest.approx(1, abs=1e-12)
    for scenario, side in ((result.before, "before"), (result.after, "after")):
        totals = []
        for replication in range(3):
            people = scenario.population
            people = people.redrawn(replication_seed(people.seed, replication)) if replication else people
            totals.append(simulate(replace(scenario, population=people), replication_seed(1, replication)).totals())
        for fate in (Fate.IN_CLEAR, Fate.ENCRYPTED, Fate.VERIFIED, Fate.BOUNCED):
            counted = np.mean([t[f"{fate.key}_messages"] for t in totals])
            assert directions.loc[directions[side] == fate.label, "messages"].sum() == pytest.approx(counted)
        deferred = row(result.measures(), measure="deferred")[side]
        assert deferred == pytest.approx(np.mean([t["deferred_share"] for t in totals]))


@pytest.mark.parametrize("which", ["by_domain", "by_entry", "by_provider"])
def test_each_table_adds_up_to_all_mail(which: str) -> None:
    frame, whole = getattr(stricter(), which)(), messages(stricter())
    for kind in (*KINDS, "part_ways", "harmed"):
        assert frame[f"{kind}_messages"].sum() == pytest.approx(whole[kind])
    assert frame["part_ways_messages"].is_monotonic_decreasing


def test_a_censored_run_has_mail_that_still_waits() -> None:
    result = whatif(preset(until_s=40 * HOUR_S), set={"*": "required"}, replications=1, jobs=1)
    directions = result.directions()
    assert len(directions) == 25
    assert row(directions, before="in clear", after="still queued")["messages"] > 0
    assert row(result.measures(), measure="still queued")["difference"] > 0
    assert messages(result)["newly_bounced"] == 0
    # It waits to the end of the run, and has no fate there yet.
    assert messages(result)["newly_waiting"] > 0
    assert messages(result)["later"] == messages(result)["clear_avoided"] == 0


@cache
def censored(there: bool, until_h: float = 24.0) -> WhatIfResult:
    today = preset(until_s=until_h * HOUR_S)
    strict = replace(today, policy=today.policy.with_tls({"*": "required"}))
    one, other = (today, strict) if there else (strict, today)
    return whatif(one, to=other, replications=2, jobs=1)


def test_censored_runs_mirror_each_other_too() -> None:
    there, back = censored(there=True), censored(there=False)
    assert messages(there)["newly_waiting"] > 0
    for kind in (*KINDS, *WAITING):
        assert messages(there)[kind] == messages(back)[MIRROR[kind]]
        mirrored = back.by_domain()[f"{MIRROR[kind]}_messages"].tolist()
        assert there.by_domain()[f"{kind}_messages"].tolist() == mirrored
        assert there.by_provider()[f"{kind}_messages"].sum() == pytest.approx(messages(there)[kind])
    assert there.by_domain()["main_reason"].tolist() == back.by_domain()["main_reason"].tolist()


@pytest.mark.parametrize("until_h", [24.0, 74.0, 90.0])
@pytest.mark.parametrize("there", [True, False])
def test_the_kinds_are_sums_of_directions_and_what_is_queued_is_in_none_but_its_own(
    there: bool, until_h: float
) -> None:
    result = censored(there, until_h)
    fates = np.mean([part.fates[..., 0] for part in result.parts], axis=0)
    delivered = slice(Fate.IN_CLEAR, Fate.BOUNCED)
    truth = {
        "newly_bounced": fates[delivered, Fate.BOUNCED].sum(),
        "newly_delivered": fates[Fate.BOUNCED, delivered].sum(),
        "clear_avoided": fates[Fate.IN_CLEAR, Fate.ENCRYPTED : Fate.QUEUED].sum(),
        "clear_added": fates[Fate.ENCRYPTED : Fate.QUEUED, Fate.IN_CLEAR].sum(),
        "newly_waiting": fates[: Fate.QUEUED, Fate.QUEUED].sum(),
        "no_longer_waiting": fates[Fate.QUEUED, : Fate.QUEUED].sum(),
    }
    assert {kind: messages(result)[kind] for kind in truth} == pytest.approx(truth)


def test_mail_that_waits_at_the_end_is_no_all_clear() -> None:
    """Two messages lapse at 72 h and later; a run of 24 h cannot tell that they are lost, nor that they are not."""
    scenario = replace(clear_world([600.0, 7_200.0]), until_s=24 * HOUR_S)
    result = whatif(scenario, set={"*": "required"}, replications=1, jobs=1)
    assert result.sentence() == (
        "Requiring TLS for all mail keeps 2 messages queued at the end of the run that leave by then today (50 %; all "
        "in clear)"
    )
    assert result.deadline() == {
        "loss_begins_h": None, "first_bounce_h": None, "roll_back_by_h": None, "censored": True, "open_messages": 2,
        "newly_waiting_messages": 2,
    }  # fmt: skip
    assert result.notices()["messages"].tolist() == [2, 0, 0, 0]
    assert messages(result)["harmed"] == 2
    queue = result.rollback().set_index("hour_h")
    assert queue.index[-1] == 24
    assert queue["waiting_after_messages"].iloc[-1] == queue["extra_waiting_messages"].iloc[-1] == 2
    back = whatif(result.after, to=result.before, replications=1, jobs=1)
    assert back.sentence() == (
        "The other scenario lets 2 messages leave that are queued at the end of the run today (50 %; all in clear)"
    )
    assert back.deadline()["censored"] is False
    assert back.notices()["messages"].sum() == 0


def test_a_censored_run_that_saw_the_first_loss_tells_the_hour() -> None:
    """The second message waits at the end, but lapses after the first one: the hour is that of the whole run."""
    whole = clear_world([600.0, 20 * HOUR_S])
    results = [
        whatif(replace(whole, until_s=until_s), set={"*": "required"}, replications=1, jobs=1)
        for until_s in (None, 80 * HOUR_S)
    ]
    seen, cut = (result.deadline() for result in results)
    assert cut == seen | {"censored": False, "open_messages": 1, "newly_waiting_messages": 1}
    assert (messages(results[1])["newly_bounced"], messages(results[1])["newly_waiting"]) == (1, 1)
    assert results[1].sentence() == (
        "Requiring TLS for all mail keeps 1 message a day out of the clear (25 % of all mail; 1 by bouncing), bounces "
        "1 that are delivered today (25 %), the first after 3 days, and keeps 1 message queued at the end of the run "
        "that leave by then today (25 %; all in clear)"
    )


def test_mail_delayed_by_less_than_a_minute_at_the_end_of_the_run_is_not_harmed() -> None:
    scenario = replace(clear_world([600.0]), until_s=630.0)
    result = whatif(scenario, set={"*": "required"}, replications=1, jobs=1)
    assert (messages(result)["newly_waiting"], messages(result)["harmed"]) == (1, 0)


def test_the_chart_of_a_censored_run_shows_what_waits() -> None:
    chart = censored(there=True).figure()
    told = " ".join(text.get_text().replace("\n", " ") for text in chart.texts)
    assert "No message parts ways" not in told
    assert "queued at the end" in " ".join(told.replace("\N{NO-BREAK SPACE}", " ").split())


def test_the_same_seed_gives_the_same_tables_in_one_process_and_in_two() -> None:
    one, two = stricter(), stricter(jobs=2)
    for name, frame in one.frames().items():
        pd.testing.assert_frame_equal(frame, two.frames()[name])
    assert one.meta == two.meta


def test_the_day_before_a_change_is_run_once_and_answers_stay_what_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parting, "_kept", {})
    worlds: list[str] = []

    def counted(world: World, *arguments: Any, **others: Any) -> dict[str, Any]:
        worlds.append(world.hash)
        return run_world(world, *arguments, **others)

    monkeypatch.setattr(runs, "run_world", counted)
    changes = [{"*": "required"}, {"*": "no"}, {"*": "required"}]
    first, _, again = (
        whatif(preset(), set=change, vary="chance", replications=1, jobs=1, seed=77) for change in changes
    )
    assert worlds.count(first.meta["world_hashes"][0][0]) == 1
    assert len(worlds) == 4
    pd.testing.assert_frame_equal(first.measures(), again.measures())


def test_what_varies() -> None:
    population, chance = stricter(), stricter(vary="chance")
    assert len({before for before, _ in population.meta["world_hashes"]}) == 3
    assert len({before for before, _ in chance.meta["world_hashes"]}) == 1
    assert (population.meta["vary"], chance.meta["vary"]) == ("chance and population", "chance")
    assert len(set(chance.injected)) == 3


def test_one_replication_has_no_intervals() -> None:
    result = stricter(replications=1)
    assert result.directions()[["low", "high"]].isna().all(axis=None)
    assert result.measures()[["low", "high", "variance_saved"]].isna().all(axis=None)


def test_pairing_saves_variance() -> None:
    measures = stricter().measures()
    assert row(measures, measure="mean delay of mail delivered in both")["variance_saved"] > 0
    saved = whatif(preset(), set={"*": "required"}, replications=4, vary="chance", jobs=1).measures()
    assert row(saved, measure="bounced")["variance_saved"] > 0


# --- truths by construction


def waits_until(lapse_s: float, waits_s: tuple[float, ...]) -> float:
    """When the first timer falls due at or after a lapse, from the first attempt; the last wait repeats."""
    endless = (*waits_s, *repeat(waits_s[-1], 1_000))
    return next(due for due in accumulate(endless) if due >= lapse_s)


def clear_world(times_s: list[float]) -> Scenario:
    return story([CLEAR, GOOD], {"clear.example": times_s, "good.example": [100.0, 200.0]}, setting=Setting.PREFERRED)


def test_required_bounces_exactly_the_mail_of_a_domain_without_starttls() -> None:
    result = whatif(clear_world([600.0, 7_200.0]), set={"*": "required"}, replications=2, jobs=1)
    directions = result.directions()
    assert row(directions, before="in clear", after="bounced")["messages"] == 2
    assert row(directions, before="encrypted, not verified", after="encrypted, not verified")["messages"] == 2
    assert directions["messages"].sum() == 4
    assert result.by_domain()["domain"].tolist() == ["clear.example"]
    assert result.by_domain()["main_reason"].tolist() == ["starttls-not-supported"]
    assert result.sentence() == (
        "Requiring TLS for all mail keeps 2 messages a day out of the clear (50 % of all mail; 2 by bouncing) and "
        "bounces 2 that are delivered today (50 %), the first after 3 days"
    )
    # The first message meets a failed negotiation at once; each lapses 72 h after it came and bounces when a probe
    # falls due.
    first_s = 600 + waits_until(72 * HOUR_S, HostRetry().waits_s())
    notices = result.notices().set_index("channel")
    assert notices["messages"].tolist() == [2, 0, 2, 0]
    assert notices["first_h"].to_numpy() == pytest.approx(
        [600 / HOUR_S, np.nan, first_s / HOUR_S, np.nan], abs=1e-6, nan_ok=True
    )
    at = result.deadline()
    assert at["loss_begins_h"] == pytest.approx(600 / HOUR_S + 72, abs=1e-9)
    assert at["first_bounce_h"] == pytest.approx(first_s / HOUR_S, abs=1e-6)
    assert at["roll_back_by_h"] == pytest.approx(600 / HOUR_S + 71, abs=1e-9)
    queue = result.rollback().set_index("hour_h")
    assert queue["extra_waiting_messages"].loc[[1, 2, 3, 72]].tolist() == [1, 1, 2, 2]
    assert queue["newly_bounced_messages"].loc[[72, 73]].tolist() == [0, 1]
    assert queue["newly_bounced_messages"].iloc[-1] == 2


def test_mail_that_waits_no_more_does_not_hide_mail_that_newly_waits() -> None:
    """One domain without STARTTLS is let go, another is held: as many wait as before, and one waits anew."""
    other = peer("other.example", mx("mx.other.example", not_offered_rate=1.0))
    scenario = story([CLEAR, other], {"clear.example": [600.0], "other.example": [600.0]}, setting=Setting.PREFERRED)
    scenario = replace(scenario, policy=scenario.policy.with_tls({"other.example": "required"}))
    change = {"clear.example": "required", "other.example": "preferred"}
    result = whatif(scenario, set=change, replications=1, jobs=1)
    hour = row(result.rollback(), hour_h=2)
    assert hour["waiting_before_messages"] == hour["waiting_after_messages"] == 1
    assert hour["extra_waiting_messages"] == 1
    assert (messages(result)["newly_bounced"], messages(result)["newly_delivered"]) == (1, 1)


def test_undone_by_the_stated_hour_no_mail_is_lost_and_after_the_first_bounce_some_is() -> None:
    """The rollback hour against its own meaning: the old table comes back into force at that hour."""
    scenario = clear_world([600.0, 7_200.0])
    strict = scenario.policy.with_tls({"*": "required"})
    at = whatif(scenario, set={"*": "required"}, replications=1, jobs=1).deadline()
    assert at["roll_back_by_h"] is not None
    assert at["first_bounce_h"] is not None
    for hour, lost in ((at["roll_back_by_h"], 0), (at["first_bounce_h"] + 0.01, 1)):
        undone = Event(event="policy", at_h=hour, policy=scenario.policy)
        result = whatif(scenario, to=replace(scenario, policy=strict, timeline=(undone,)), replications=1, jobs=1)
        assert messages(result)["newly_bounced"] == lost


@pytest.mark.parametrize("alert", [False, True])
def test_mail_that_is_delayed_without_a_word_is_nobodys(alert: bool) -> None:
    flaky = peer("a.example", mx(handshake_failed_rate=0.5))
    seed = seed_where(fails(0, 0), works(0, 1))
    table = Policy.parse(f"[DEFAULT]\ntable_tls = off\nsend_tls_req_alert = {int(alert)}\n")
    scenario = replace(story(flaky, [50.0]), policy=table)
    result = whatif(scenario, set={"DEFAULT": "required"}, replications=1, seed=seed, jobs=1)
    assert messages(result)["later"] == 1
    assert messages(result)["newly_bounced"] == 0
    assert result.by_domain()["later_min"].tolist() == pytest.approx([1], abs=1e-3)
    notices = result.notices().set_index("channel")
    assert notices["messages"].tolist() == [1, 0, 0, 0 if alert else 1]
    assert notices["switched_on"].tolist() == [alert, False, True, None]
    assert notices["first_h"].loc["TLS alert"] == pytest.approx(50 / HOUR_S, abs=1e-6)
    if not alert:
        assert notices["first_h"].loc["nobody"] == pytest.approx(50 / HOUR_S, abs=1e-6)
    assert result.sentence() == (
        "Requiring TLS for DEFAULT keeps 1 message a day out of the clear (100 % of all mail) and delays 1 by a minute "
        "or more (100 %), 1 min on average"
    )
    assert set(result.deadline().values()) == {None}


def test_a_delay_warning_needs_answers_and_four_hours() -> None:
    """A peer that greylists for ten hours delivers in three days and not in five hours."""
    greylisting = peer("a.example", new_pair_rate=1.0, greylist_s=10 * HOUR_S)
    scenario = story(greylisting, [60.0, 20 * HOUR_S])
    short = replace(scenario.policy, profiles={"Default": BounceProfile(max_queue_time_s=5 * HOUR_S)})
    result = whatif(scenario, policy=short, replications=1, jobs=1)
    assert messages(result)["newly_bounced"] == 2
    bounce_h = (60 + waits_until(5 * HOUR_S, BounceProfile().waits_s())) / HOUR_S
    notices = result.notices().set_index("channel")
    assert notices["messages"].tolist() == [0, 2, 2, 0]
    assert notices["first_h"].loc["delay warning"] == pytest.approx(60 / HOUR_S + 4)
    assert notices["first_h"].loc["bounce"] == pytest.approx(bounce_h, abs=1e-6)
    assert result.deadline()["loss_begins_h"] == pytest.approx(60 / HOUR_S + 5)
    assert result.sentence() == (
        "The other table keeps 2 messages a day out of the clear (100 % of all mail; 2 by bouncing) and bounces 2 that "
        "are delivered today (100 %), the first after 5.1 h"
    )


def test_no_warning_where_mail_lives_less_than_four_hours() -> None:
    greylisting = peer("a.example", new_pair_rate=1.0, greylist_s=10 * HOUR_S)
    scenario = story(greylisting, [60.0])
    short = replace(scenario.policy, profiles={"Default": BounceProfile(max_queue_time_s=2 * HOUR_S)})
    notices = whatif(scenario, policy=short, replications=1, jobs=1).notices().set_index("channel")
    assert notices["messages"].tolist() == [0, 0, 1, 0]


def test_the_direction_nobody_expects_is_told() -> None:
    result = whatif(clear_world([600.0]), set={"good.example": "no"}, replications=1, jobs=1)
    assert row(result.directions(), before="encrypted, not verified", after="in clear")["messages"] == 2
    assert result.sentence() == (
        "Turning TLS off for good.example puts 2 messages a day into clear text that are not today (67 %)"
    )


def test_another_minimum_of_tls() -> None:
    old = peer("old.example", mx("mx.old.example", tls_version="TLSv1.2"))
    scenario = story([old, GOOD], {"old.example": [10.0], "good.example": [10.0]}, setting=Setting.REQUIRED)
    result = whatif(scenario, minimum_tls="1.3", replications=1, jobs=1)
    assert result.after.minimum_tls is TlsVersion.TLS_1_3
    assert result.by_domain()["domain"].tolist() == ["old.example"]
    assert result.sentence().startswith("Accepting TLS from TLSv1.3 on instead of TLSv1.2 bounces 1 message a day")


def test_a_change_holds_through_the_timeline() -> None:
    """A table that comes into force later has the settings typed into it, too; another table is not replaced again."""
    scenario = clear_world([600.0, 7_200.0])
    later = Event(event="policy", at_h=1, policy=scenario.policy.with_tls({"good.example": "no"}))
    scenario = replace(scenario, timeline=(later,))
    result = whatif(scenario, set={"clear.example": "required"}, replications=1, jobs=1)
    assert messages(result)["newly_bounced"] == 2
    assert messages(result)["clear_added"] == 0
    assert result.meta["policy_events_left_out"] == result.meta["policy_events_idle"] == []
    replaced = whatif(scenario, policy=scenario.policy, replications=1, jobs=1)
    assert replaced.after.timeline == ()
    assert replaced.meta["policy_events_left_out"] == [later.row()]


def test_what_an_event_would_do_anyhow_may_be_set_from_the_start() -> None:
    """Required comes into force at 1 h today: set from the start, only the mail of the first hour parts ways."""
    scenario = clear_world([600.0, 7_200.0])
    later = Event(event="policy", at_h=1, policy=scenario.policy.with_tls({"clear.example": "required"}))
    scenario = replace(scenario, timeline=(later,))
    result = whatif(scenario, set={"clear.example": "required"}, replications=1, jobs=1)
    assert row(result.directions(), before="in clear", after="bounced")["messages"] == 1
    assert row(result.directions(), before="bounced", after="bounced")["messages"] == 1
    assert result.meta["policy_events_idle"] == [later.row()]


def test_an_idle_event_still_rules_when_another_ends() -> None:
    """What is set makes the event at 2 h equal to the one from 1 h to 3 h; after 3 h it still turns TLS off."""
    scenario = story([CLEAR, GOOD], {"clear.example": [600.0], "good.example": [14_400.0]}, setting=Setting.PREFERRED)
    off = scenario.policy.with_tls({"good.example": "no"})
    events = (
        Event(event="policy", at_h=1, for_h=2, policy=off),
        Event(event="policy", at_h=2, policy=off.with_tls({"clear.example": "no"})),
    )
    scenario = replace(scenario, timeline=events)
    result = whatif(scenario, set={"clear.example": "required"}, replications=1, jobs=1)
    assert result.meta["policy_events_idle"] == [events[1].row()]
    assert row(result.directions(), before="in clear", after="in clear")["messages"] == 1
    assert row(result.directions(), before="in clear", after="bounced")["messages"] == 1


def test_an_alert_follows_the_setting_in_force() -> None:
    scenario = clear_world([600.0, 7_200.0])
    strict = Event(event="policy", at_h=1, policy=scenario.policy.with_tls({"*": "required"}))
    result = whatif(scenario, to=replace(scenario, timeline=(strict,)), replications=1, jobs=1)
    assert messages(result)["newly_bounced"] == 1
    alert = row(result.notices(), channel="TLS alert")
    assert (alert["messages"], alert["first_h"]) == (1, pytest.approx(2, abs=1e-6))


def test_what_must_be_equal_is_there_to_compare() -> None:
    assert set(MAIL) <= {name for name, _ in compile_world(preset()).arrays()}


def test_a_pattern_says_what_it_reaches_and_what_keeps_out() -> None:
    specs = [peer(name, messages=m) for name, m in (("a.gov", 6), ("b.gov", 3), ("gov", 1))]
    policy = DestinationControls(entries=(Entry(domain="b.gov", tls=Setting.NO),))
    scenario = Scenario(population=Population.custom(specs), policy=policy)
    settings = {"*.gov": "required", "*.com": "required", "b.gov": "preferred", "DEFAULT": "no"}
    result = whatif(scenario, set=settings, replications=1, jobs=1)
    told = result.patterns.set_index("pattern")
    assert told["entry"].tolist() == ["new", "new", "edited", "edited"]
    assert told["destinations"].tolist() == [1, 0, 1, 1]
    assert told["mail_share"].tolist() == pytest.approx([0.6, 0, 0.3, 0.1])
    assert told["kept_destinations"].tolist() == [1, 0, 0, 0]
    assert told["kept_by"].tolist() == ["b.gov", "", "", ""]
    assert result.sentence().startswith(
        "Requiring TLS for *.gov and *.com, preferring TLS for b.gov, turning TLS off for DEFAULT: this keeps "
    )


def test_a_pattern_that_rules_all_mail_has_all_of_it() -> None:
    """Shares that do not add up to 1 in floating point."""
    for n in range(1, 40):
        people = Population.custom([peer(f"d{i}.example", messages=i * n / 7 + 0.1) for i in range(5)])
        frame = patterns_frame(Scenario(population=people), Scenario(population=people), {"*": "required"})
        assert frame["mail_share"].tolist() == [1.0]


# --- faults


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "change = 'none'; allowed: at least one of set, policy"),
        ({"set": {}}, "change = 'none'"),
        ({"set": {"*": "no"}, "replications": 0}, r"replications = 0; allowed: 1\.\.10000"),
        ({"set": {"*": "no"}, "jobs": 0}, "jobs = 0"),
        ({"set": {"*": "no"}, "seed": -1}, "seed = -1"),
        ({"set": {"*": "no"}, "vary": "chanse"}, "vary = 'chanse'; allowed: .* Did you mean 'chance'"),
        ({"minimum_tls": "1.4"}, "minimum_tls = '1.4'; allowed: SSLv3, TLSv1.0"),
        ({"sender": "esaa"}, "sender = 'esaa'; allowed: .*Did you mean 'esa'"),
        ({"to": preset(seed=2)}, "to = 'alexa-2015 .*'; allowed: a scenario with the population of today"),
        ({"to": replace(preset(), workload=Workload.flat(201))}, "to = 'another workload'.*gap_ticks"),
        ({"to": replace(preset(), days=2.0)}, "to = 'another workload'.*window_us"),
    ],
)
def test_what_is_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        whatif(preset(), **{"jobs": 1, **arguments})


def test_a_bad_setting_has_a_guess() -> None:
    with pytest.raises(PolicyError, match=r"\*\.gov = 'requred'; .* Did you mean 'required'"):
        whatif(preset(), set={"*.gov": "requred"})


# --- files and the chart


def test_the_files_are_those_of_the_frames(tmp_path: Path) -> None:
    result = stricter()
    paths = result.write(tmp_path / "out")
    assert {p.name for p in paths} == {*(f"{name}.csv" for name in result.frames()), "whatif.png", "meta.json"}
    read = pd.read_csv(tmp_path / "out" / "directions.csv")
    assert read["messages"].to_numpy() == pytest.approx(result.directions()["messages"].to_numpy())
    told = json.loads((tmp_path / "out" / "meta.json").read_text())
    assert told["sentence"] == result.sentence()
    assert told["policy_hashes"] == [result.before.policy.hash, result.after.policy.hash]
    assert len(told["world_hashes"]) == 3
    again = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in result.write(tmp_path / "out")] == again


def test_the_chart_is_titled_with_the_finding() -> None:
    for result in (stricter(), looser(), whatif(preset(), to=preset(), replications=1, jobs=1)):
        title = result.figure().get_suptitle().replace("\n", " ").replace("\N{NO-BREAK SPACE}", " ")
        assert title == result.title()
        assert result.sentence().startswith(result.title()[:40])


# --- the intervals


@pytest.mark.slow
def test_paired_intervals_cover_a_known_difference() -> None:
    """False-alarm rate 1e-3: of 80 intervals of 95 %, the count that cover lies in the binomial's 99.9 % range.

    The full number of studies is run by `python -m tests.studies.coverage_of_paired_intervals` (docs/whatif.md).
    """
    studies = 80
    hits = sum(coverage.covers(seed)[0] for seed in range(10_001, 10_001 + studies))
    low, high = binom.interval(0.999, studies, 0.95)
    assert low <= hits <= high


def test_what_an_attacker_reads_before_and_after() -> None:
    """Somebody strips STARTTLS of all mail from noon on: Preferred shows the afternoon's mail, Required none of it."""
    event = Event(event="starttls-stripped", at_h=12.0, share=1.0)
    today = replace(preset(), timeline=(event,)).with_setting(Setting.PREFERRED)
    rows = whatif(today, set={"*": "required"}, replications=2, jobs=1).measures().set_index("measure")
    exposed = rows.loc["exposed to an attacker"]
    assert 0.3 < exposed["before"] < 0.8
    assert exposed["after"] == 0
    assert exposed["difference"] == pytest.approx(-exposed["before"])
