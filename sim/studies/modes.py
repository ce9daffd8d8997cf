"""The main job: one population, the same mail under each TLS setting, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.delivery.analytic import ENDS, pass_probabilities
from sim.delivery.compile import compile_world
from sim.delivery.simulate import check_number, origin
from sim.errors import ScenarioError, complaint
from sim.files import write_together
from sim.policy.decide import never_clear
from sim.results import findings
from sim.results.intervals import OrderInterval, order_statistic_interval, prediction_interval
from sim.results.tables import DELAYS, fates_frame
from sim.scenario import Scenario
from sim.studies.replications import MOST, Plan, Replicated, replicate, told_precision
from sim.studies.runs import Job, RunsProgress, counted_on, run_all
from sim.terms import Fate, Setting, Term, Vary
from sim.world.population import Population

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

#: Settings whose expected rates are worked out at once.
_AT_ONCE = 3
Totals = tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the answer: a setting under one reading of what its documents leave open.

    Attributes
    ----------
    setting, reading : as they are shown; ``""`` where one reading is all there is.
    pv_after_220 : what setting 4 does when the handshake fails (``docs/decisions/pv-after-220.md``).
    cn_is_ptr : whether every certificate that names its MX host carries the PTR name as CN: settings 4 and 5
        accept that name, and nobody has published how often it is so (``docs/decisions/cn-ptr-range.md``).
    """

    setting: Term
    reading: str = ""
    pv_after_220: str = "clear"
    cn_is_ptr: bool = False


#: In the order of the gateway's list. The two readings of a setting are the ends of its range.
CASES = (
    Case(Setting.NO),
    Case(Setting.PREFERRED),
    Case(Setting.REQUIRED),
    Case(Setting.PREFERRED_VERIFY, "clear after the 220, CN is no PTR name", "clear", False),
    Case(Setting.PREFERRED_VERIFY, "fails after the 220, CN is the PTR name", "fail", True),
    Case(Setting.REQUIRED_VERIFY, "CN is no PTR name", "clear", False),
    Case(Setting.REQUIRED_VERIFY, "CN is the PTR name", "clear", True),
    Case(Setting.REQUIRED_VERIFY_HOSTED),
)


def cases_of(scenario: Scenario) -> tuple[Case, ...]:
    """Return the rows of the answer: the gateway's `CASES`, or one for each setting of another sender."""
    return CASES if scenario.is_gateway else tuple(Case(setting) for setting in scenario.profile.settings)


def _run_order(cases: Sequence[Case]) -> tuple[Case, ...]:
    """Put the strict settings first: mail that waits is tried again and again, so they take longest."""
    return tuple(cases[::-1])


def modes(
    scenario: Scenario,
    *,
    messages: float | None = None,
    replications: int | None = None,
    precision: float | None = None,
    vary: str | Vary | None = None,
    seed: int = 1,
    most: int = MOST,
    jobs: int | None = None,
    progress: RunsProgress | None = None,
) -> ModesResult:
    """Run the same mail under each TLS setting.

    Parameters
    ----------
    scenario : whose limits, profiles, population, mail and timeline are used; its TLS settings are replaced, one at a
        time and throughout: events that change them are left out.
    messages : expected in the arrival window over all destinations; None = what the workload says.
    replications : runs of each setting. The first has the scenario's population and ``seed``; the others draw anew
        what varies. None = 5, or as many as the precision needs.
    precision : half-width wanted of the widest interval of all shares of fates, in percentage points, up to 50; at
        least 20 replications run (`sim.studies.replications.replicate`).
    vary : ``"chance"``, ``"chance and population"`` (the default where a population was drawn), ``"chance, population
        and evidence"``: what the intervals are about (``docs/intervals.md``).
    seed : of chance.
    most : replications at which a precision is given up; the caption says so.
    jobs : processes; None = the processors there are.
    progress : called with (runs that are done, runs in all).

    Raises
    ------
    ScenarioError
        When an argument is out of range.
    """
    check_number("jobs", jobs)
    plan = Plan.of(scenario, replications, precision, vary, seed, most)
    if messages is not None and scenario.workload.trace is not None:
        raise ScenarioError(complaint("messages", messages, "none beside a trace, which says what is sent"))
    if messages is not None:
        scenario = replace(scenario, workload=scenario.workload.total(messages, scenario.days))
    runs = _Runs(scenario, plan, jobs, progress)
    found = replicate(plan, runs)
    cases = cases_of(scenario)
    places = [_run_order(cases).index(case) for case in cases]
    by_case = tuple(tuple(totals[i] for totals in found.results) for i in places)
    hashes = [runs.hashes[r * len(cases) + i] for r in range(len(found.results)) for i in places]
    return ModesResult(scenario, by_case, _record(scenario, found, hashes))


def _record(scenario: Scenario, found: Replicated[Totals], hashes: list[str]) -> dict[str, Any]:
    """Return what was run, and how precise it is where a precision was wanted."""
    meta = found.meta() | origin(scenario)
    meta |= {
        "domains": len(scenario.population.domains),
        "timeline": [event.row() for event in scenario.with_setting(Setting.NO).timeline],
        "policy_hash": scenario.policy.hash,
        "world_hashes": hashes,
        "sender": scenario.sender,
    }
    if scenario.population.evidence is not None:
        meta["population_evidence"] = scenario.population.evidence
    return meta


@dataclass(frozen=True)
class _Runs:
    """Every World of the study: replication by replication, so that each population is drawn once."""

    scenario: Scenario
    plan: Plan
    workers: int | None
    progress: RunsProgress | None
    hashes: list[str] = field(default_factory=list)

    def __call__(self, numbers: Sequence[int]) -> list[Totals]:
        """Return the totals of each replication, by case in the order of `_run_order`."""
        cases = len(cases_of(self.scenario))
        before, count = len(self.hashes), len(numbers) * cases
        progress = counted_on(self.progress, before)
        totals = run_all(self._jobs(numbers), count, workers=self.workers, progress=progress)
        return [tuple(totals[i : i + cases]) for i in range(0, count, cases)]

    def _jobs(self, numbers: Sequence[int]) -> Iterator[Job]:
        for number in numbers:
            scenario, seed = self.plan.replication(self.scenario, number)
            cases = cases_of(scenario)
            ends = _ends(scenario, cases)
            for case in _run_order(cases):
                world = compile_world(case_of(ends[case.cn_is_ptr], case))
                self.hashes.append(world.hash)
                yield world, seed


def case_of(scenario: Scenario, case: Case) -> Scenario:
    """Return the scenario with the case's setting everywhere and, of the gateway, its reading of setting 4."""
    if not scenario.is_gateway:
        return scenario.with_setting(case.setting)
    switches = replace(scenario.switches, pv_after_220=case.pv_after_220)
    return replace(scenario.with_setting(case.setting), switches=switches)


def _ends(scenario: Scenario, cases: Sequence[Case]) -> dict[bool, Scenario]:
    """Return the scenario with each population the cases ask for; cases that ask for the same one get the same."""
    ends = {False: without_cn_ptr, True: with_cn_ptr}
    wanted = sorted({case.cn_is_ptr for case in cases})
    return {end: replace(scenario, population=ends[end](scenario.population)) for end in wanted}


def with_cn_ptr(population: Population) -> Population:
    """Return the population with every certificate that names its MX host carrying the PTR name as its CN as well."""
    backends = population.backends
    named = backends["san_mx"] | backends["cn_mx"] | backends["cn_ptr"]
    return population.with_(backends={"cn_ptr": named.to_numpy()})


def without_cn_ptr(population: Population) -> Population:
    """Return the population with no certificate carrying the PTR name as its CN."""
    return population.with_(backends={"cn_ptr": False}) if population.backends["cn_ptr"].any() else population


def _told(found: OrderInterval) -> tuple[float, ...]:
    return found.value, found.low, found.high, found.level, found.n, found.needed


@dataclass(frozen=True, eq=False)
class ModesResult:
    """What became of the mail under each setting.

    Attributes
    ----------
    scenario : what was asked.
    totals : for each case, the measures of each replication (:meth:`sim.results.result.Result.totals`).
    meta : seeds, hashes, population, version.
    """

    scenario: Scenario
    totals: tuple[Totals, ...]
    meta: dict[str, Any]

    @property
    def cases(self) -> tuple[Case, ...]:
        """Return the rows of the answer."""
        return cases_of(self.scenario)

    @cached_property
    def _frame(self) -> pd.DataFrame:
        rows = [(c.setting.label, c.reading, runs) for c, runs in zip(self.cases, self.totals, strict=True)]
        if self.scenario.is_gateway:
            return fates_frame(rows, vary=self.meta["vary"])
        names = [case.setting.label for case in self.cases]
        strict = [s.label for s in self.scenario.profile.settings if never_clear(self.scenario.tables, s)]
        return fates_frame(rows, vary=self.meta["vary"], settings=names, never_clear=strict)

    def frame(self) -> pd.DataFrame:
        """Return one row a (setting, reading, fate): the frame of ``modes.csv`` and of the chart."""
        return self._frame

    def summary(self) -> pd.DataFrame:
        """Return one row a (setting, reading): share of each fate, share deferred, delay percentiles, share exposed."""
        import pandas as pd

        frame = self.frame()
        fates = [f for f in Fate if f != Fate.QUEUED or self.scenario.until_s is not None]
        rows = []
        for (setting, reading), part in frame.groupby(["setting", "reading"], sort=False):
            by_fate = part.set_index("fate")
            row: dict[str, Any] = {"setting": setting, "reading": reading, "messages": part["messages"].sum()}
            row |= {f"{fate.key}_share": by_fate.loc[fate.label, "share"] for fate in fates}
            beside = ["deferred_share", "delay_p50_s", "delay_p95_s", "delay_p99_s", "exposed_share"]
            rows.append(row | part.iloc[0][beside].to_dict())
        return pd.DataFrame(rows)

    def delays(self, level: float = 0.95) -> pd.DataFrame:
        """Return the median over replications of each run's delay percentiles, with an interval by order statistics.

        The percentiles of `frame` are those of all mail together. Delays within a run depend on each other, so no
        interval comes from one run; runs do not, so these are the runs' own percentiles. ``low`` and ``high`` are NaN
        where there are too few replications, fewer than ``needed``; ``level`` is the achieved one.
        """
        import pandas as pd

        columns = ("setting", "reading", "delay", "median_s", "low_s", "high_s", "level", "replications", "needed")
        rows = [
            (case.setting.label, case.reading, delay, *_told(order_statistic_interval(values, 0.5, level)))
            for case, runs in zip(self.cases, self.totals, strict=True)
            for delay in DELAYS[1:4]
            for values in [[run[delay] for run in runs]]
        ]
        return pd.DataFrame(rows, columns=columns)

    def spread(self, level: float = 0.9) -> pd.DataFrame:
        """Return how far single replications lie apart: the range in which one more would lie, share by share.

        The intervals of `frame` are those of means, and narrow as replications are added; this range does not. With
        ``vary`` it is what another day, population or reading of the evidence could bring. NaN with fewer than
        ``needed`` replications.
        """
        import pandas as pd

        columns = ("setting", "reading", "fate", "median", "low", "high", "level", "replications", "needed")
        rows = [
            (case.setting.label, case.reading, fate.label, *_told(prediction_interval(values, level)))
            for case, runs in zip(self.cases, self.totals, strict=True)
            for fate in Fate
            for values in [[run[f"{fate.key}_share"] for run in runs]]
        ]
        return pd.DataFrame(rows, columns=columns)

    def expected(self) -> pd.DataFrame:
        """Return what one pass comes to, without a clock: by setting and reading, of mail and of domains.

        Of the first replication's population. ``weighting`` says whether rows are shares of mail or of domains: they
        are different things, and neither is the other's estimate.
        """
        return self._expected

    @cached_property
    def _expected(self) -> pd.DataFrame:
        import pandas as pd

        weight = self.scenario.population.domains["messages"].to_numpy(dtype=np.float64)
        weight = weight / weight.sum()
        found: dict[Case, list[dict[str, Any]]] = {}
        for scenario, cases in self._asked_together():
            for case, chance in zip(cases, pass_probabilities(scenario, [c.setting for c in cases]), strict=True):
                frame = pd.DataFrame(chance, columns=list(ENDS))
                shares = {"mail": frame.mul(weight, axis=0).sum(), "domains": frame.mean()}
                named = {"setting": case.setting.label, "reading": case.reading}
                found[case] = [
                    named | {"weighting": of} | dict(zip(ENDS, share.tolist(), strict=True))
                    for of, share in shares.items()
                ]
        return pd.DataFrame([row for case in self.cases for row in found[case]])

    def _asked_together(self) -> Iterator[tuple[Scenario, list[Case]]]:
        """Yield scenarios with the cases that are asked of them at once: what hosts may show is then worked out once.

        Few at once, since each takes memory by the destination.
        """
        ends = _ends(self.scenario, self.cases)
        groups: dict[tuple[bool, str], list[Case]] = {}
        for case in self.cases:
            groups.setdefault((case.cn_is_ptr, case.pv_after_220), []).append(case)
        for group in groups.values():
            for some in range(0, len(group), _AT_ONCE):
                cases = group[some : some + _AT_ONCE]
                yield case_of(ends[cases[0].cn_is_ptr], cases[0]), cases

    def p99_range(self) -> tuple[Case, float, float] | None:
        """Return the case whose p99 of the delay differs most between replications, with its lowest and highest, s.

        None where no case has two replications that delivered mail. The percentiles of the frame are of the mail of
        all replications together, and a single long outage of a large destination can move them.
        """
        found = []
        for case, rows in zip(self.cases, self.totals, strict=True):
            p99 = [row["delay_p99_s"] for row in rows if row["delay_p99_s"] > 0]
            if len(p99) > 1:
                found.append((case, min(p99), max(p99)))
        return max(found, key=lambda of: of[2] / of[1], default=None)

    def title(self) -> str:
        """Return the finding in one sentence."""
        return findings.fates(self.frame())

    def caption(self) -> str:
        """Return what varied and how much, and what stood still."""
        meta = self.meta
        injected = [row["messages"] for rows in self.totals for row in rows]
        return findings.caption(
            n=meta["replications"],
            vary=meta["vary"],
            precise=told_precision(meta),
            seed=meta["seed"],
            population=meta["population"],
            weighting=meta["weighting"],
            messages=round(sum(injected) / len(injected)),
            domains=meta["domains"],
            until_s=self.scenario.until_s,
        )

    def repeated(self) -> str:
        """Return how often it was repeated, what varied, how precise the means are, how far single runs lie apart."""
        meta = self.meta
        told = findings.caption(n=meta["replications"], vary=meta["vary"], precise=told_precision(meta))
        return f"{told} {findings.spread(self.spread())}".strip()

    def figure(self) -> Figure:
        """Draw the main chart."""
        from sim.results import charts

        return charts.fates(self.frame(), caption=self.caption())

    def write(self, folder: str | Path) -> list[Path]:
        """Write ``modes.csv``, ``expected.csv``, ``modes.png`` and ``meta.json``; return their paths.

        Raises
        ------
        OutputError
            When the folder cannot be written.
        """
        from sim.results import charts

        tables = {"modes.csv": self.frame(), "expected.csv": self.expected()}
        files: dict[str, str | bytes] = {
            name: frame.to_csv(index=False, lineterminator="\n", float_format="%.10g") for name, frame in tables.items()
        }
        files["meta.json"] = json.dumps(self.meta, indent=2, sort_keys=True) + "\n"
        files["modes.png"] = charts.render(self.figure(), "png")
        return write_together(folder, files)
