"""Capacity planning: what a policy asks of the gateway, which limit keeps mail in time, how a backlog drains."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.delivery.compile import compile_world
from sim.delivery.simulate import check_number, origin
from sim.delivery.world import World
from sim.errors import ScenarioError, complaint
from sim.files import write_together
from sim.results import findings
from sim.results.findings import counted
from sim.results.intervals import across
from sim.results.load import HOUR_US, Drain, RunLoad
from sim.results.qshape import qshape, qshape_text
from sim.results.records import US_PER_S
from sim.scenario import Scenario
from sim.studies.concurrency import Search, offered_load, search
from sim.studies.replications import Plan, varied
from sim.studies.runs import RunsProgress, records_of_all
from sim.terms import Vary
from sim.timeline import marks

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

Events = Sequence[tuple[float, str]]

#: Limits tried at most: the largest, then a search of 1..1000 from a guess.
_MOST_TRIED = 20
#: Messages of a search's batch from which on processes of their own are worth starting.
_WORTH_PROCESSES = 50_000
_MOST_INTERVALS = 1_500
_INTERVALS_S = (60, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 86_400)
_POSITIVE = (0.0, np.inf)


def capacity(
    scenario: Scenario,
    *,
    replications: int | None = None,
    seed: int = 1,
    percentile: float = 0.95,
    within_s: float = 300.0,
    find_concurrency: bool | str = True,
    vary: str | Vary | None = None,
    jobs: int | None = None,
    progress: RunsProgress | None = None,
) -> CapacityResult:
    """Tell what a scenario asks of the gateway, and the smallest limit of connections that keeps mail in time.

    Every row of every run is kept, so memory grows with the messages times the replications.

    Parameters
    ----------
    scenario : run under its own policy.
    replications : runs, 5 where nothing is said; the first has the scenario's population and ``seed``.
    seed : of chance.
    percentile, within_s : this share of the mail that arrives in a destination's busiest hour is to be delivered
        within this time; mail the peer refuses for good is left out, mail that lapses is late.
    find_concurrency : whose ``max_host_concurrency`` is sought: True, the destination with the most mail; a domain; a
        provider (each of its domains under the same limit); ``all``; False, nobody's.
    vary : as for `sim.modes`.
    jobs : processes; None = the processors there are.
    progress : called with (runs that are done, runs in all at most).

    Raises
    ------
    ScenarioError
        When an argument is out of range.
    """
    _check(percentile, within_s)
    check_number("jobs", jobs)
    plan = Plan(replications=replications, vary=varied(vary, scenario.population), seed=seed)
    worlds = list(_worlds(scenario, plan))
    most = plan.first * (1 if find_concurrency is False else 1 + _MOST_TRIED)
    runner = _Runner(_window_us(scenario), jobs, most, progress)
    loads = runner.run(worlds)
    if not all(len(load.messages) for load in loads):
        raise ScenarioError(complaint("messages", 0, "a scenario that sends mail in every replication"))
    found = None
    if find_concurrency is not False:
        judged = {"share": percentile, "within_s": float(within_s)}
        found = search(worlds, loads, find_concurrency, **judged, until_s=scenario.until_s, run=runner.run)
    meta = {
        "seed": seed,
        "replications": plan.first,
        "vary": plan.vary.label,
        "percentile": percentile,
        "within_s": within_s,
        "target": None if found is None else found.target.name,
    }
    ran = tuple(world for world, _ in worlds)
    return CapacityResult(scenario, tuple(loads), ran, found, meta | _described(scenario, ran))


def _described(scenario: Scenario, worlds: Sequence[World]) -> dict[str, Any]:
    return origin(scenario) | {
        "domains": len(scenario.population.domains),
        "until_s": scenario.until_s,
        "policy_hash": scenario.policy.hash,
        "world_hashes": [world.hash for world in worlds],
        "sender": scenario.sender,
    }


def _check(percentile: object, within_s: object) -> None:
    if not isinstance(percentile, int | float) or not 0 < percentile < 1:
        raise ScenarioError(complaint("percentile", percentile, "a share above 0 and below 1, such as 0.95"))
    if not isinstance(within_s, int | float) or not 0 < within_s <= 366 * 86_400:
        raise ScenarioError(complaint("within_s", within_s, "seconds, more than 0, up to 366 days"))


def _window_us(scenario: Scenario) -> int:
    window_us = round(scenario.days * 86_400 * US_PER_S)
    return window_us if scenario.until_s is None else min(window_us, round(scenario.until_s * US_PER_S))


def _worlds(scenario: Scenario, plan: Plan) -> Iterator[tuple[World, int]]:
    world, people = compile_world(scenario), scenario.population
    for number in range(plan.first):
        drawn, seed = plan.replication(scenario, number)
        if drawn.population is not people:
            world, people = compile_world(drawn), drawn.population
        yield world, seed


@dataclass
class _Runner:
    """Runs batches of Worlds and counts their runs."""

    window_us: int
    jobs: int | None
    most: int
    progress: RunsProgress | None
    done: int = 0
    batches: list[int] = field(default_factory=list)

    def run(self, worlds: list[tuple[World, int]]) -> list[RunLoad]:
        """Run Worlds; the first batch tells how much mail there is, and so whether the next are worth processes."""
        workers = 1 if self.batches and max(self.batches) < _WORTH_PROCESSES else self.jobs
        rows = records_of_all(worlds, len(worlds), workers=workers, progress=self._tell)
        self.done += len(worlds)
        self.batches.append(sum(len(messages) for messages, _ in rows))
        return [
            RunLoad(messages, connections, world.labels, self.window_us)
            for (messages, connections), (world, _) in zip(rows, worlds, strict=True)
        ]

    def _tell(self, done: float, _: int) -> None:
        if self.progress is not None:
            self.progress(self.done + done, max(self.most, math.ceil(self.done + done)))


@dataclass(frozen=True, eq=False)
class CapacityResult:
    """What the gateway holds and does under a scenario, and what a limit of connections would change.

    Attributes
    ----------
    scenario : what was asked.
    loads : the rows of each replication as load over time; the first has the scenario's own population and seed.
    worlds : the World of each replication.
    search : what was found about the limit of connections; None: nobody asked.
    meta : seeds, hashes, population, version.
    """

    scenario: Scenario
    loads: tuple[RunLoad, ...]
    worlds: tuple[World, ...]
    search: Search | None
    meta: dict[str, Any]

    @cached_property
    def _measures(self) -> DataFrame:
        import pandas as pd

        by_run = [load.measures() for load in self.loads]
        rows = []
        for same in zip(*by_run, strict=True):
            clip = (0.0, 1.0) if same[0].name.endswith("_share") else _POSITIVE
            found = across([m.value for m in same], clip=clip, vary=self.meta["vary"])
            rows.append(
                {
                    "measure": same[0].name,
                    "unit": same[0].unit,
                    "value": float(found.mean),
                    "low": float(found.low),
                    "high": float(found.high),
                    "at_h": same[0].at_h,
                }
            )
        return pd.DataFrame(rows)

    def measures(self) -> DataFrame:
        """Return measure, unit, value, low, high, at_h: means over the replications with their 95 % intervals.

        Peaks are over the whole run, rates those of the busiest 60 seconds, percentiles of time and means over the
        arrival window. ``at_h`` is when a peak is reached in the first replication, hours from the start.
        """
        return self._measures

    def offered_load(self, most: int = 10) -> DataFrame:
        """Return the busiest destinations' load: arrival rate x mean service time, in their busiest hours.

        Columns: domain, provider, messages (mean over the replications), busiest_hour, arrival_rate_per_s (in it),
        service_s (connection time of a message, openings and refusals included, idling not), offered_erlang,
        connections_mean (in use in that hour, idling ones included), connections_peak.
        """
        import pandas as pd

        labels = self.loads[0].labels
        counts = np.zeros(len(labels.domains), dtype=np.int64)
        for load in self.loads:
            counts += np.bincount(load.of_message["destination"], minlength=counts.size)
        order = np.argsort(-counts, kind="stable")[:most]
        rows = [self._offered(int(d), float(counts[d]) / len(self.loads)) for d in order if counts[d]]
        return pd.DataFrame(rows)

    def _offered(self, destination: int, messages: float) -> dict[str, Any]:
        offered = offered_load(self.worlds, self.loads, destination)
        span = offered.hour * HOUR_US, (offered.hour + 1) * HOUR_US
        return {
            "domain": offered.domain,
            "provider": self.loads[0].labels.providers[destination],
            "messages": messages,
            "busiest_hour": offered.hour,
            "arrival_rate_per_s": offered.rate_per_s,
            "service_s": offered.service.mean_s,
            "offered_erlang": offered.erlang,
            "connections_mean": float(np.mean([load.in_use.mean(*span) for load in offered.loads])),
            "connections_peak": float(np.mean([load.in_use.peak()[0] for load in offered.loads])),
        }

    def concurrency(self) -> DataFrame:
        """Return one row a limit tried, by rising limit; the answer is the first that is ``kept``.

        Columns: limit; kept; in_time_share of the busiest hour's mail; the percentile of its delay, and of all the
        run's (infinite: that mail never arrives); connections_peak and queue_messages_peak of the target (mean over
        the replications); erlang_c_mean_wait_s of M/M/c with that limit (infinite: it is overloaded).

        Raises
        ------
        ScenarioError
            When no limit was sought.
        """
        return self._sought().frame()

    def _sought(self) -> Search:
        if self.search is None:
            raise ScenarioError("concurrency: no limit was sought; allowed: capacity(..., find_concurrency=True)")
        return self.search

    def drain(self, events: Events | None = None) -> DataFrame:
        """Return how the backlog after each event came and went, means over the replications with intervals.

        Parameters
        ----------
        events : (hour from the start, label); None = beginnings and ends of the scenario's own timeline, an end being
            over when the queue is back at the level before its beginning. Without any, the largest backlog of each
            run, from when the queue last rose above its mean.

        Returns
        -------
        One row an event: event, event_h, level_before_messages (mean queue of the hour before; of an end of the
        scenario's own timeline: before its beginning), peak_messages, peak_h,
        back_h (at that level again, rounded), drain_s (peak to back), opening_peak_per_s (connections, busiest
        minute from the event until back: the retry herd), arrived_per_s and departed_per_s (messages, peak to back),
        drained (share of the replications in which it was back before the next later event and the end). Where it was
        back in some, peak_h to drain_s, arrived_per_s and departed_per_s are of these. Numbers come with _low and
        _high.

        Raises
        ------
        ScenarioError
            When an hour is negative or after the end of the run.
        """
        import pandas as pd

        end_us = max(load.end_us for load in self.loads)
        given = self._marks(events)
        for hour, label in given:
            if not 0 <= hour * HOUR_US <= end_us:
                raise ScenarioError(complaint(f"hour of event {label!r}", hour, f"0..{end_us / HOUR_US:.1f} h"))
        if not given:
            found = [load.drain_of_peak() for load in self.loads]
            begins_h = float(np.mean([start for start, _ in found])) / HOUR_US
            return pd.DataFrame([self._drained("largest backlog", begins_h, [drain for _, drain in found])])
        starts = [round(hour * HOUR_US) for hour, _ in given]
        ended = {} if events is not None else {(e.ends_h, f"end of {e.label}"): e.at_h for e in self.scenario.timeline}
        rows = []
        for (hour, label), start_us in zip(given, starts, strict=True):
            # Events of one hour are told of the same time: what follows them follows each of them.
            stop_us = min((other for other in starts if other > start_us), default=end_us + 1)
            before_us = round(ended.get((hour, label), hour) * HOUR_US)
            drains = [load.drain(start_us, stop_us, before_us) for load in self.loads]
            rows.append(self._drained(label, hour, drains))
        return pd.DataFrame(rows)

    def _marks(self, events: Events | None) -> list[tuple[float, str]]:
        """Return the events given, by hour, or where none were, those of the scenario's timeline within the run."""
        if events is None:
            return marks(self.scenario.timeline, max(load.end_us for load in self.loads) / HOUR_US)
        return sorted((float(hour), str(label)) for hour, label in events)

    def _drained(self, label: str, hour: float, drains: Sequence[Drain]) -> dict[str, Any]:
        row: dict[str, Any] = {"event": label, "event_h": hour}
        back = [d for d in drains if np.isfinite(d.back_s)]
        # Means of different replications do not belong in one sentence: the peak that was drained, and its drain.
        told = back or drains
        quantities = {
            "level_before_messages": [d.level_before_messages for d in drains],
            "peak_messages": [float(d.peak_messages) for d in drains],
            "peak_h": [d.peak_s / 3_600 for d in told],
            "back_h": [d.back_s / 3_600 for d in told],
            "drain_s": [d.drain_s for d in told],
            "opening_peak_per_s": [d.opening_peak_per_s for d in drains],
            "arrived_per_s": [d.arrived_per_s for d in told],
            "departed_per_s": [d.departed_per_s for d in told],
        }
        for name, values in quantities.items():
            found = across(values, clip=_POSITIVE, vary=self.meta["vary"])
            row |= {name: float(found.mean), f"{name}_low": float(found.low), f"{name}_high": float(found.high)}
        return row | {"drained": len(back) / len(drains)}

    def qshape(self, at_s: float | None = None, what: str = "all") -> DataFrame:
        """Return the queue of the first replication by destination and age, at the largest backlog or another time.

        Parameters and errors as in `sim.results.qshape.qshape`.
        """
        load = self.loads[0]
        at_s = load.queue.peak()[1] / US_PER_S if at_s is None else at_s
        return qshape(load.messages, load.labels, at_s, what)

    def qshape_text(self, at_s: float | None = None, what: str = "all", rows: int | None = 20) -> str:
        """Return `qshape` in the layout in which qshape(1) prints it, so many destinations."""
        return qshape_text(self.qshape(at_s, what), rows)

    def timeline(self) -> DataFrame:
        """Return the first replication over time (see `sim.results.load.RunLoad.timeline`), to the end of the run."""
        load = self.loads[0]
        return self._timeline(max(load.end_us, load.window_us))

    def _timeline(self, end_us: int) -> DataFrame:
        end_s = end_us / US_PER_S
        interval_s = next((s for s in _INTERVALS_S if end_s / s <= _MOST_INTERVALS), _INTERVALS_S[-1])
        return self.loads[0].timeline(interval_s, end_us)

    def sentence(self) -> str:
        """Return the finding in one sentence, without its full stop: means over the replications."""
        return self._sentence({str(row["measure"]): row["value"] for row in self.measures().to_dict("records")})

    def _sentence(self, value: Mapping[str, float], when: str = "At its busiest") -> str:
        connections, queue = round(value["connections_peak"]), round(value["queue_messages_peak"])
        text = (
            f"{when} the gateway holds {counted(connections, 'connection')} and {counted(queue, 'message')} in "
            f"its queue, the oldest {findings.duration(value['oldest_age_peak_s'])}"
        )
        return text if self.search is None else f"{text}; {self.search.answer()}"

    def caption(self) -> str:
        """Return what varied and how much, and what stood still."""
        return self._caption(self.meta["replications"])

    def _caption(self, replications: int | None) -> str:
        meta = self.meta
        return findings.caption(
            n=replications,
            vary=meta["vary"],
            seed=meta["seed"],
            population=meta["population"],
            weighting=meta["weighting"],
            messages=round(sum(len(load.messages) for load in self.loads) / len(self.loads)),
            domains=meta["domains"],
            until_s=meta["until_s"],
        )

    def figure(self, events: Events | None = None) -> Figure:
        """Draw queue, age of the oldest, connections and handshakes of the first replication over clock hours.

        Parameters
        ----------
        events : (hour from the start, label) to mark; None = those of the scenario's own timeline.
        """
        from sim.results import chart_capacity

        drawn = {m.name: m.value for m in self.loads[0].measures()}
        words, when = [self._caption(None)], "At its busiest"
        if (n := len(self.loads)) > 1:
            mean: dict[str, float] = dict(self.measures()[["measure", "value"]].itertuples(index=False))
            when = "At its busiest, in the run drawn,"
            words.append(
                f"The first of {n} replications is drawn; over all, the peaks have means of "
                f"{mean['connections_peak']:,.0f} connections and {mean['queue_messages_peak']:,.0f} messages."
            )
        return chart_capacity.capacity(
            self._timeline(self._shown_us()),
            [(hour, label) for hour, label in self._marks(events) if hour * HOUR_US <= self._shown_us()],
            caption=" ".join(words),
            title=self._sentence(drawn, when),
            left=self._left(),
        )

    def _shown_us(self) -> int:
        """Return until when something is to be seen: the arrival window, and while a twentieth of the peak waits."""
        load = self.loads[0]
        few = max(load.queue.peak()[0] // 20, 1)
        until_us = load.queue.last_fall_us(few)
        return max(load.window_us, until_us)

    def _left(self) -> str:
        load = self.loads[0]
        count = int(load.queue.at(self._shown_us()))
        if not count or load.end_us - self._shown_us() < HOUR_US:
            return ""
        if self.scenario.until_s is not None:
            return f"{count:,} messages still wait at the end."
        return f"{count:,} messages wait longer than shown, the last until {load.end_us / HOUR_US:.0f} h."

    def write(self, folder: str | Path) -> list[Path]:
        """Write all tables, the chart and what was run; return their paths.

        ``measures.csv``, ``offered_load.csv``, ``concurrency.csv`` (when a limit was sought), ``drain.csv``,
        ``qshape.csv``, ``timeline.csv``, ``capacity.png``, ``meta.json``.

        Raises
        ------
        OutputError
            When the folder cannot be written.
        """
        from sim.results.chart_style import render

        tables = {
            "measures": self.measures(), "offered_load": self.offered_load(), "drain": self.drain(),
            "qshape": self.qshape(), "timeline": self.timeline(),
        }  # fmt: skip
        if self.search is not None:
            tables["concurrency"] = self.concurrency()
        files: dict[str, str | bytes] = {
            f"{name}.csv": frame.to_csv(index=False, lineterminator="\n", float_format="%.10g")
            for name, frame in tables.items()
        }
        files["meta.json"] = json.dumps(self.meta, indent=2, sort_keys=True) + "\n"
        files["capacity.png"] = render(self.figure(), "png")
        return write_together(folder, files)
