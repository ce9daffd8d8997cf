"""Capacity planning at a small size: the limit found against runs of its own, drains, frames, files, faults."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

import sim
from sim.delivery.compile import compile_world
from sim.delivery.simulate import simulate
from sim.errors import ScenarioError
from sim.policy.destinations import DestinationControls, Entry
from sim.results.load import Drain
from sim.results.sinks import RecordSink
from sim.scenario import DeliverySwitches, Scenario
from sim.studies.capacity import CapacityResult, capacity
from sim.studies.concurrency import only
from sim.studies.runs import records_of_all, replication_seed
from sim.terms import Fate, LimitType, Setting
from sim.timeline import Event
from sim.world.population import Population
from sim.world.shapes import Sample
from sim.world.workload import Workload

QUICK: dict[str, Any] = {"rtt_s": 1e-6, "throughput_bytes_per_s": 1e15}
SPECS: list[dict[str, Any]] = [
    {"domain": "busy.example", "provider": "big", "messages": 80_000,
     "hosts": [{"host": "mx.busy", **QUICK, "accept_median_s": 4.0}]},
    {"domain": "calm.example", "provider": "big", "messages": 8_000, "first_4yz_rate": 0.3, "persistent_4yz_share": 0.1,
     "hosts": [{"host": "mx.calm", **QUICK, "accept_median_s": 2.0}]},
    {"domain": "gone.example", "provider": "none", "messages": 2_000, "dns": "nxdomain"},
    {"domain": "grey.example", "provider": "own", "messages": 8_000, "greylist_s": 900.0, "new_pair_rate": 1.0},
]  # fmt: skip
WITHIN_S, SHARE = 12.0, 0.9


def scenario(**others: Any) -> Scenario:
    """Two hours of mail at a constant rate; a connection to busy.example carries up to a thousand messages."""
    given: dict[str, Any] = {
        "population": Population.custom(SPECS),
        "policy": DestinationControls(
            default=Entry(domain="DEFAULT", tls=Setting.PREFERRED, max_messages_per_connection=1_000)
        ),
        "workload": Workload.flat(recipients=1.0, size_bytes=0.0),
        "days": 1 / 12,
    }
    return Scenario(**given | others)


@cache
def made(find: str | bool = True) -> CapacityResult:
    return capacity(
        scenario(), replications=2, seed=4, percentile=SHARE, within_s=WITHIN_S, find_concurrency=find, jobs=1
    )


def in_time(limit: int, domain: str, hour: int, asked: Scenario | None = None) -> float:
    """The share in time of an hour's mail, by a policy with an entry for the domain: all mail runs, no short cut."""
    entry = Entry(domain=domain, max_host_concurrency=limit)
    asked = scenario() if asked is None else asked
    asked = replace(asked, policy=replace(asked.policy, entries=(entry,)))
    delays = []
    for replication in range(2):
        frame = simulate(asked, seed=replication_seed(4, replication), records=True).messages
        mine = frame[(frame["domain"] == domain) & (frame["arrival_s"] // 3_600 == hour)]
        assert (mine["fate"] != "bounced").all()
        delays.append(mine["delay_s"].to_numpy())
    return float((np.concatenate(delays) <= WITHIN_S).mean())


def test_the_limit_found_keeps_the_mail_in_time_and_the_one_below_does_not() -> None:
    found = made().search
    assert found is not None
    assert found.found is not None
    limit, hour = found.found.limit, found.found.hour
    assert limit > 1
    assert in_time(limit, "busy.example", hour) == found.found.in_time() >= SHARE
    assert in_time(limit - 1, "busy.example", hour) < SHARE


def test_the_table_has_both_neighbours_and_rises() -> None:
    frame = made().concurrency()
    assert frame["limit"].is_monotonic_increasing
    assert frame["kept"].is_monotonic_increasing
    first = int(frame["kept"].to_numpy().argmax())
    assert frame["limit"][first] - frame["limit"][first - 1] == 1
    assert (frame["connections_peak"] <= frame["limit"]).all()
    assert (frame["busiest_hour_delay_p90_s"] <= WITHIN_S).tolist() == frame["kept"].tolist()


def test_erlang_is_near_where_its_assumptions_hold() -> None:
    """Poisson arrivals, no deferral; the services are log-normal, less variable than exponential ones."""
    found = made().search
    assert found is not None
    assert found.found is not None
    assert found.erlang_limit is not None
    assert abs(found.found.limit - found.erlang_limit) <= 1
    assert found.offered.erlang == pytest.approx(80_000 / 86_400 * 4.0 * np.exp(0.5 * 0.8**2), rel=0.25)
    assert "0 % of the mail is deferred" in found.difference()


def test_where_mail_waits_for_timers_the_answer_says_so() -> None:
    result = made("grey.example")
    assert result.search is not None
    assert result.search.found is None
    assert (
        "not even 1,000 connections to grey.example keep 90 % of its busiest hour's mail within 12 s"
        in result.sentence()
    )
    assert "100 % of the late mail was deferred" in result.sentence()
    assert "waits for timers, not for connections" in result.sentence()
    assert not result.concurrency()["kept"].any()


def test_where_no_limit_does_the_smallest_that_does_as_well_is_told() -> None:
    """A twelfth of the mail takes longer by itself; the shares are held to runs of their own."""
    asked = capacity(scenario(), replications=2, seed=4, percentile=0.99, within_s=WITHIN_S, jobs=1)
    found = asked.search
    assert found is not None
    assert found.found is None
    best, enough, hour = found.tried[-1].in_time(), found.enough, found.tried[0].hour
    assert found.tried[-1].limit == 1_000
    assert best == in_time(1_000, "busy.example", hour)
    assert in_time(enough, "busy.example", hour) >= best - 0.001 > in_time(enough - 1, "busy.example", hour)
    assert f": from {enough} connections on nothing improves; at best {best * 100:.0f} % is in time" in asked.sentence()
    assert {enough - 1, enough, 1_000} <= set(asked.concurrency()["limit"])


def test_the_limits_of_a_policy_are_told_as_a_range_over_the_domains() -> None:
    policy = DestinationControls(entries=(Entry(domain="calm.example", max_host_concurrency=100),))
    asked = scenario(policy=policy, population=Population.custom([s | {"messages": 240} for s in SPECS[:2]]))
    one, both = (capacity(asked, replications=1, find_concurrency=n, jobs=1).search for n in ("calm.example", "big"))
    assert one is not None
    assert both is not None
    assert (one.target.allowed(), both.target.allowed()) == ("100", "100 to 500")


def one_peer(accept_s: float, per_day: float, **others: Any) -> CapacityResult:
    """Mail to one peer that takes the same time for each message."""
    host = {"host": "mx", **QUICK, "accept_median_s": accept_s, "accept_sigma": 0.0}
    asked = scenario(population=Population.custom([{"domain": "a.example", "messages": per_day, "hosts": [host]}]))
    return capacity(replace(asked, **others), replications=2, jobs=1)


def test_late_mail_that_was_never_deferred_does_not_wait_for_timers() -> None:
    told = one_peer(400.0, 2_400).sentence()
    assert "0 % is in time, and 0 % of the late mail was deferred: it takes longer than that by itself" in told
    assert "a message to a.example needs 6.7 min of a connection's time" in told
    assert "timers" not in told
    crowded = one_peer(250.0, 960_000, days=1 / 24).sentence()
    assert "0 % of the late mail was deferred: it waits for connections, all of which are in use at times" in crowded


def test_mail_whose_time_is_not_up_when_the_run_ends_is_neither_in_time_nor_late() -> None:
    result = one_peer(100.0, 24_000, until_s=900.0)
    queued = [int((load.of_message["fate"] == Fate.QUEUED).sum()) for load in result.loads]
    assert min(queued) > 10
    assert result.search is not None
    assert result.search.found is not None
    assert result.search.found.in_time() == 1.0
    early = one_peer(100.0, 24_000, until_s=240.0)
    assert early.sentence().endswith(
        "; no limit is told for a.example: the run ends before 5 min are up for the mail of its busiest hour"
    )
    assert early.search is not None
    assert early.search.found is None
    assert early.concurrency()["limit"].tolist() == [1_000]
    assert early.concurrency()["in_time_share"].isna().all()


def test_where_all_mail_is_refused_no_limit_is_told() -> None:
    assert made("gone.example").sentence().endswith("; the mail of gone.example is refused for good whatever the limit")


def test_a_provider_and_all_put_every_domain_under_the_limit() -> None:
    provider = made("big").search
    assert provider is not None
    assert provider.target.words() == "each of big's 2 domains"
    assert sorted(provider.target.destinations.tolist()) == [0, 1]
    everything = capacity(scenario(), replications=1, percentile=0.5, find_concurrency="all", jobs=1).search
    assert everything is not None
    assert everything.target.destinations.tolist() == [0, 1, 2, 3]
    assert everything.offered.domain == "busy.example"


@pytest.mark.parametrize("limit_type", LimitType)
def test_mail_of_some_destinations_meets_what_it_met_among_all(limit_type: LimitType) -> None:
    """The short cut of the search: the rows of a World with their mail alone are those of the whole World."""
    asked = scenario()
    asked = replace(asked, policy=replace(asked.policy, default=replace(asked.policy.default, limit_type=limit_type)))
    limited = replace(
        asked, policy=replace(asked.policy, default=replace(asked.policy.default, max_host_concurrency=4))
    )
    chosen = np.array([0, 3])
    [alone, whole] = records_of_all(
        [(only(compile_world(asked), chosen, 4), 7), (compile_world(limited), 7)], 2, workers=1
    )
    for mine, everybody in zip(alone, whole, strict=True):
        assert np.array_equal(mine, everybody[np.isin(everybody[:, 0], chosen)])
        assert len(mine)


@pytest.mark.parametrize(
    ("own", "ceiling", "at_first", "met"), [(500, 10, True, True), (2, 10, False, True), (500, 30, False, False)]
)
def test_shares_are_of_all_mail_where_all_together_meet_the_ceiling(
    own: int, ceiling: int, at_first: bool, met: bool
) -> None:
    """Met under the policy's own limits; only under higher ones; never. Held to runs of all mail."""
    default = Entry(domain="DEFAULT", tls=Setting.NO, max_messages_per_connection=1_000, max_host_concurrency=own)
    asked = scenario(policy=DestinationControls(default=default), delivery=DeliverySwitches(max_connections=ceiling))
    result = capacity(asked, replications=2, seed=4, percentile=SHARE, within_s=WITHIN_S, jobs=1)
    found = result.search
    assert found is not None
    assert found.found is not None
    assert any(load.in_use.peak()[0] == ceiling for load in result.loads) == at_first
    assert found.found.ceiling_met == met
    for tried in found.tried:
        assert tried.in_time() == in_time(tried.limit, "busy.example", tried.hour, asked)


def test_what_late_mail_waits_for_is_the_ceiling_where_that_is_all_in_use() -> None:
    asked = replace(scenario(), delivery=DeliverySwitches(max_connections=6))
    result = capacity(asked, replications=1, seed=4, percentile=SHARE, within_s=WITHIN_S, jobs=1)
    assert result.sentence().endswith(
        "waits for connections, since those of the system-wide ceiling are in use at times"
    )


def test_a_trace_is_cut_to_the_destinations_asked_for() -> None:
    times = [(d["domain"], float(t)) for d in SPECS for t in range(20)]
    trace = pd.DataFrame(times, columns=["domain", "time_s"]).assign(size_bytes=10, recipients=1)
    world = compile_world(scenario(workload=Workload(trace=trace)))
    [(alone, _), (whole, _)] = records_of_all([(only(world, np.array([1]), 500), 1), (world, 1)], 2, workers=1)
    assert np.array_equal(alone, whole[whole[:, 0] == 1])
    assert len(alone) == 20


# --- measures


def test_measures_are_means_with_intervals() -> None:
    frame = made().measures().set_index("measure")
    peaks = [load.in_use.peak()[0] for load in made().loads]
    assert frame.loc["connections_peak", "value"] == pytest.approx(np.mean(peaks))
    assert (frame["low"] <= frame["value"]).all()
    assert (frame["value"] <= frame["high"]).all()
    assert frame.loc["queue_messages_peak", "at_h"] == made().loads[0].queue.peak()[1] / 3.6e9
    assert made().meta["vary"] == "chance"
    assert capacity(scenario(), replications=1, find_concurrency=False, jobs=1).measures()["low"].isna().all()


def test_measures_are_those_of_the_result_of_the_same_run() -> None:
    result = simulate(scenario(), seed=4, records=True)
    load = made().loads[0]
    found = {m.name: m.value for m in load.measures()}
    assert found["connections_peak"] == result.meta["peak_connections"]
    assert found["deferred_share"] == pytest.approx(result.totals()["deferred_share"])
    assert len(load.messages) == result.injected


def test_offered_load_is_rate_times_service_and_littles_law_bounds_it() -> None:
    frame = made().offered_load()
    assert frame["domain"].iloc[0] == "busy.example"
    assert frame["messages"].is_monotonic_decreasing
    assert np.allclose(frame["offered_erlang"], frame["arrival_rate_per_s"] * frame["service_s"])
    busy = frame.iloc[0]
    # In use beside what is busy: idling connections.
    assert busy["connections_mean"] >= 0.9 * busy["offered_erlang"]


def test_runs_do_not_depend_on_the_number_of_processes() -> None:
    one = capacity(scenario(), replications=2, seed=4, find_concurrency=False, jobs=1)
    two = capacity(scenario(), replications=2, seed=4, find_concurrency=False, jobs=2)
    pd.testing.assert_frame_equal(one.measures(), two.measures())
    pd.testing.assert_frame_equal(one.drain(), two.drain())


def test_the_population_varies_only_where_it_was_drawn_and_is_asked_to() -> None:
    drawn = Scenario(population=Population.preset("2020s-web", domains=20), workload=Workload.flat(200.0))
    both = capacity(drawn, replications=2, find_concurrency=False, jobs=1)
    chance = capacity(drawn, replications=2, find_concurrency=False, vary="chance", jobs=1)
    assert len(set(both.meta["world_hashes"])) == 2
    assert len(set(chance.meta["world_hashes"])) == 1
    assert np.array_equal(both.loads[0].messages, chance.loads[0].messages)


# --- backlogs


@cache
def flood() -> CapacityResult:
    """A message every two seconds for two hours, served in a second by one connection; at one hour 300 at once."""
    times = [2.0 * t + 0.5 for t in range(3_600)] + [3_600.25] * 300
    trace = pd.DataFrame({"domain": "busy.example", "time_s": times, "size_bytes": 0, "recipients": 1})
    asked = Scenario(
        population=Population.custom(
            [{"domain": "busy.example", "hosts": [{"host": "mx", **QUICK, "accept_median_s": 1.0}]}]
        ),
        policy=DestinationControls(
            default=Entry(domain="DEFAULT", max_host_concurrency=1, max_messages_per_connection=1_000)
        ),
        workload=Workload(trace=trace),
        delivery=DeliverySwitches(dns_s=0.0),
        acceptance=Sample([1.0]),
        days=0.25,
    )
    return capacity(asked, replications=1, find_concurrency=False, jobs=1)


def test_a_backlog_drains_from_its_event_on() -> None:
    """300 / (1 - 0.5) = 600 s."""
    [row] = flood().drain([(1.0, "flood")]).to_dict("records")
    assert row["event"] == "flood"
    assert row["level_before_messages"] == pytest.approx(0.5, abs=0.01)
    assert row["peak_messages"] == 301
    assert row["drain_s"] == pytest.approx(600, abs=3)
    assert row["departed_per_s"] == pytest.approx(1.0, abs=0.02)
    assert row["drained"] == 1


def test_without_events_the_largest_backlog_is_told() -> None:
    [row] = flood().drain().to_dict("records")
    assert row["event"] == "largest backlog"
    assert row["event_h"] == pytest.approx(1.0, abs=0.01)
    assert row["peak_messages"] == 301


def test_a_backlog_of_one_message_lasts_as_long_as_it_stays() -> None:
    """A lone message in service for a second: the mean queue is near 0, which is where it is back."""
    asked = replace(flood().scenario, workload=Workload(trace=flood().scenario.workload.trace.iloc[[0]]))  # type: ignore[union-attr]
    [row] = capacity(asked, replications=1, find_concurrency=False, jobs=1).drain().to_dict("records")
    assert row["peak_messages"] == 1
    assert row["drain_s"] == pytest.approx(1.0, abs=1e-4)


def test_an_event_ends_the_backlog_of_the_one_before() -> None:
    first, second = flood().drain([(1.05, "later"), (1.0, "flood")]).to_dict("records")
    assert (first["event"], second["event"]) == ("flood", "later")
    assert np.isnan(first["drain_s"])
    assert first["drained"] == 0
    assert second["level_before_messages"] < second["peak_messages"] < 301


def test_events_of_one_hour_share_the_time_until_the_next_later_one() -> None:
    alone, last = flood().drain([(1.0, "b"), (1.5, "later")]).to_dict("records")
    assert alone["drained"] == 1
    first, second, third = flood().drain([(1.0, "b"), (1.0, "a"), (1.5, "later")]).to_dict("records")
    assert first == alone | {"event": "a"} or pd.Series(first).equals(pd.Series(alone | {"event": "a"}))
    assert pd.Series(second).equals(pd.Series(alone))
    assert pd.Series(third).equals(pd.Series(last))


def test_a_drain_of_some_replications_is_told_of_these_alone() -> None:
    drains = [Drain(1.0, 9, 3_600.0, 7_200.0, 1.0, 1.0, 2.0), Drain(1.0, 30, 36_000.0, np.nan, 1.0, 5.0, 1.0)]
    row = made()._drained("x", 0.5, drains)
    assert (row["peak_h"], row["back_h"], row["drain_s"], row["drained"]) == (1.0, 2.0, 3_600.0, 0.5)
    assert (row["arrived_per_s"], row["departed_per_s"]) == (1.0, 2.0)
    assert row["peak_messages"] == 19.5
    none = made()._drained("x", 0.5, drains[1:])
    assert (none["peak_h"], none["drained"]) == (10.0, 0.0)
    assert np.isnan(none["back_h"])


def test_an_event_outside_the_run_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"hour of event 'outage' = 99.0; allowed: 0..2.0 h"):
        flood().drain([(99.0, "outage")])


@cache
def broken_down() -> CapacityResult:
    """Half an hour without an answer, from one hour on, and another long after the last mail."""
    outage = Event(event="outage", domain="busy.example", at_h=1.0, for_h=0.5)
    later = Event(event="outage", domain="busy.example", at_h=300.0)
    asked = scenario(timeline=(later, outage), days=1 / 6, population=Population.custom([SPECS[0] | {"messages": 2e4}]))
    return capacity(asked, replications=2, find_concurrency=False, jobs=1)


def test_a_timeline_gives_the_events_of_drains_chart_and_files(tmp_path: Path) -> None:
    result = broken_down()
    begins, ends = result.drain().to_dict("records")
    assert (begins["event"], begins["event_h"]) == ("outage busy.example", 1.0)
    assert (ends["event"], ends["event_h"]) == ("end of outage busy.example", 1.5)
    assert begins["drained"] == 0
    assert begins["peak_messages"] == pytest.approx(2e4 / 48, rel=0.15)
    assert ends["drained"] == 1
    assert ends["level_before_messages"] == begins["level_before_messages"] < 5
    assert 1.5 < ends["peak_h"] < ends["back_h"] < 2.6
    words = {text.get_text() for text in result.figure().texts}
    assert {"outage busy.example", "end of outage busy.example"} <= words
    assert not {"outage busy.example"} & {text.get_text() for text in result.figure(()).texts}
    result.write(tmp_path)
    assert pd.read_csv(tmp_path / "drain.csv")["event"].tolist() == [begins["event"], ends["event"]]


def test_events_that_are_given_take_the_place_of_the_timeline() -> None:
    [row] = broken_down().drain([(1.5, "end")]).to_dict("records")
    assert row["level_before_messages"] > 50, "the mean queue of the hour before, most of it in the outage"
    assert broken_down().drain(()).iloc[0]["event"] == "largest backlog"


def test_qshape_is_that_of_the_largest_backlog() -> None:
    frame = flood().qshape()
    assert frame.iloc[0]["T"] == flood().loads[0].queue.peak()[0]
    assert frame["domain"].tolist() == ["TOTAL", "busy.example"]
    assert flood().qshape(0.0)["T"].tolist() == [0]
    with pytest.raises(ScenarioError, match="at_s = 'x'; allowed: seconds from the start"):
        flood().qshape("x")  # type: ignore[arg-type]
    assert flood().qshape_text().splitlines()[0].split()[0] == "T"


# --- words and files


def test_the_sentence_tells_the_peaks_and_the_limit() -> None:
    result = made()
    assert result.search is not None
    assert result.search.found is not None
    mean = {row["measure"]: float(row["value"]) for row in result.measures().to_dict("records")}
    told = result.sentence()
    assert told.startswith(f"At its busiest the gateway holds {mean['connections_peak']:,.0f} connections")
    assert f"{mean['queue_messages_peak']:,.0f} messages in its queue" in told
    assert (
        f"; {result.search.found.limit} connections to busy.example keep 90 % of its busiest hour's mail within 12 s"
        in told
    )
    assert f"(Erlang C says {result.search.erlang_limit})" in told


def test_the_title_of_the_chart_says_whose_peaks_it_tells() -> None:
    """The text tells means, the chart the first replication."""
    figure, drawn = made().figure(), {m.name: m.value for m in made().loads[0].measures()}
    words = " ".join(" ".join(text.get_text() for text in figure.findobj(Text)).split())
    told = f"At its busiest, in the run drawn, the gateway holds {drawn['connections_peak']:,.0f} connections"
    assert told in words
    assert "The first of 2 replications is drawn" in words


def test_files_are_written_together_and_repeat(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        made().write(tmp_path / folder)
    names = {p.name for p in (tmp_path / "a").iterdir()}
    assert names == {
        "measures.csv", "offered_load.csv", "concurrency.csv", "drain.csv", "qshape.csv", "timeline.csv",
        "capacity.png", "meta.json",
    }  # fmt: skip
    assert all((tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes() for n in names)
    assert json.loads((tmp_path / "a" / "meta.json").read_text())["target"] == "busy.example"
    flood().write(tmp_path / "c")
    assert not (tmp_path / "c" / "concurrency.csv").exists()


def test_records_are_those_of_a_sink() -> None:
    world = compile_world(scenario())
    [(messages, connections)] = records_of_all([(world, 3)], 1, workers=1)
    result = simulate(scenario(), seed=3, records=True)
    assert isinstance(result._records, RecordSink)
    assert np.array_equal(messages, result._records.message_rows())
    assert np.array_equal(connections, result._records.connection_rows())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"replications": 0}, r"replications = 0; allowed: 1..10000"),
        ({"percentile": 95}, r"percentile = 95; allowed: a share above 0 and below 1, such as 0.95"),
        ({"within_s": 0}, r"within_s = 0; allowed: seconds, more than 0"),
        ({"jobs": 0}, r"jobs = 0; allowed: 1 or more"),
        ({"seed": -1}, r"seed = -1"),
        ({"vary": "chanc"}, r"vary = 'chanc'; allowed: chance, population, .*Did you mean 'chance'"),
        ({"vary": "chance and population"}, r"allowed: chance; nothing of population"),
        ({"find_concurrency": ""}, r"find_concurrency = ''; allowed: all, a provider"),
        ({"find_concurrency": "bussy.example"}, r"allowed: all, a provider \(big, none, own\).*Did you mean 'busy.ex"),
    ],
)
def test_faults(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        capacity(scenario(), **{"replications": 1, "jobs": 1} | arguments)


def test_names_are_read_in_any_spelling() -> None:
    people = Population.custom([SPECS[2] | {"domain": "größe.example", "provider": "Big"}, SPECS[1] | {"messages": 9}])
    for name in ("größe.example", "GRÖSSE.example."):
        found = capacity(scenario(population=people), replications=1, find_concurrency=name, jobs=1).search
        assert found is not None
        assert found.target.words() == "größe.example"
    for name, destinations in (("ALL", [0, 1]), ("bIG", [0, 1])):
        found = capacity(scenario(population=people), replications=1, find_concurrency=name, jobs=1).search
        assert found is not None
        assert sorted(found.target.destinations.tolist()) == destinations


def test_a_destination_without_mail_and_a_limit_nobody_sought() -> None:
    quiet = [*SPECS, {"domain": "quiet.example", "messages": 0}]
    asked = scenario(population=Population.custom(quiet))
    with pytest.raises(ScenarioError, match=r"'quiet.example'; allowed: a destination that mail is sent to"):
        capacity(asked, replications=1, find_concurrency="quiet.example", jobs=1)
    with pytest.raises(ScenarioError, match=r"no limit was sought"):
        flood().concurrency()


def test_it_is_a_public_name() -> None:
    assert sim.capacity is capacity
