"""The main job: one population, the same mail under each TLS setting, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.about import __version__
from sim.delivery.analytic import ENDS
from sim.delivery.analytic import expected as expected_passes
from sim.delivery.compile import compile_world
from sim.delivery.simulate import check_seed
from sim.errors import ScenarioError, complaint
from sim.files import write_together
from sim.results import findings
from sim.results.tables import fates_frame
from sim.scenario import Scenario
from sim.studies.runs import Job, RunsProgress, replication_seed, run_all
from sim.terms import Fate, Setting
from sim.world.population import Population

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

CHANCE_AND_POPULATION = "chance and population"
CHANCE = "chance"


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

    setting: Setting
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

#: The strict settings take longest (mail that waits is tried again and again), so they go first: no processor is left
#: with a long run at the end.
_RUN_ORDER = CASES[::-1]


def modes(
    scenario: Scenario,
    *,
    messages: float | None = None,
    replications: int = 5,
    seed: int = 1,
    jobs: int | None = None,
    progress: RunsProgress | None = None,
) -> ModesResult:
    """Run the same mail under each TLS setting.

    Parameters
    ----------
    scenario : whose limits, profiles, population, mail and timeline are used; its TLS settings are replaced, one at a
        time and throughout: events that change them are left out.
    messages : expected in the arrival window over all destinations; None = what the workload says.
    replications : runs of each setting. The first has the scenario's population and ``seed``; the others redraw both.
    seed : of chance.
    jobs : processes; None = the processors there are.
    progress : called with (runs that are done, runs in all).

    Raises
    ------
    ScenarioError, LimitError
        When an argument is out of range, or a run meets a limit the model does not have.
    """
    if not _is_whole(replications) or not 1 <= replications <= 10_000:
        raise ScenarioError(complaint("replications", replications, "1..10000"))
    if jobs is not None and (not _is_whole(jobs) or jobs < 1):
        raise ScenarioError(complaint("jobs", jobs, "1 or more"))
    check_seed(seed)
    if messages is not None and scenario.workload.trace is not None:
        raise ScenarioError(complaint("messages", messages, "none beside a trace, which says what is sent"))
    if messages is not None:
        scenario = replace(scenario, workload=scenario.workload.total(messages, scenario.days))
    runs = _Runs(scenario, seed, replications)
    totals = run_all(runs.jobs(), len(CASES) * replications, workers=jobs, progress=progress)
    places = [_RUN_ORDER.index(case) for case in CASES]
    by_case = [totals[i :: len(CASES)] for i in places]
    vary = CHANCE if scenario.population.drawn_by is None else CHANCE_AND_POPULATION
    meta = {
        "seed": seed,
        "replications": replications,
        "vary": vary,
        "population": scenario.population.name,
        "population_seed": scenario.population.seed,
        "population_hash": scenario.population.hash,
        "weighting": scenario.population.weighting,
        "domains": len(scenario.population.domains),
        "days": scenario.days,
        "timeline": [event.row() for event in scenario.with_setting(Setting.NO).timeline],
        "policy_hash": scenario.policy.hash,
        "world_hashes": [runs.hashes[r * len(CASES) + i] for r in range(replications) for i in places],
        "sender": scenario.sender,
        "version": __version__,
    }
    return ModesResult(scenario, tuple(tuple(rows) for rows in by_case), meta)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True)
class _Runs:
    """Every World of the study: replication by replication, so that each population is drawn once."""

    scenario: Scenario
    seed: int
    replications: int
    hashes: list[str] = field(default_factory=list)

    def jobs(self) -> Iterator[Job]:
        for replication in range(self.replications):
            drawn = self.scenario.population
            if replication:
                drawn = drawn.redrawn(replication_seed(drawn.seed, replication))
            population = {False: without_cn_ptr(drawn), True: with_cn_ptr(drawn)}
            for case in _RUN_ORDER:
                world = compile_world(case_of(replace(self.scenario, population=population[case.cn_is_ptr]), case))
                self.hashes.append(world.hash)
                yield world, replication_seed(self.seed, replication)


def case_of(scenario: Scenario, case: Case) -> Scenario:
    """Return the scenario with the case's setting everywhere and its reading of setting 4."""
    switches = replace(scenario.switches, pv_after_220=case.pv_after_220)
    return replace(scenario.with_setting(case.setting), switches=switches)


def with_cn_ptr(population: Population) -> Population:
    """Return the population with every certificate that names its MX host carrying the PTR name as its CN as well."""
    backends = population.backends
    named = backends["san_mx"] | backends["cn_mx"] | backends["cn_ptr"]
    return population.with_(backends={"cn_ptr": named.to_numpy()})


def without_cn_ptr(population: Population) -> Population:
    """Return the population with no certificate carrying the PTR name as its CN."""
    return population.with_(backends={"cn_ptr": False}) if population.backends["cn_ptr"].any() else population


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
    totals: tuple[tuple[dict[str, Any], ...], ...]
    meta: dict[str, Any]

    @cached_property
    def _frame(self) -> pd.DataFrame:
        cases = [(c.setting.label, c.reading, rows) for c, rows in zip(CASES, self.totals, strict=True)]
        return fates_frame(cases, vary=self.meta["vary"])

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

    def expected(self) -> pd.DataFrame:
        """Return what one pass comes to, without a clock: by setting and reading, of mail and of domains.

        Of the first replication's population. ``weighting`` says whether rows are shares of mail or of domains: they
        are different things, and neither is the other's estimate.
        """
        import pandas as pd

        parts = []
        for case in CASES:
            population = self.scenario.population
            end = with_cn_ptr if case.cn_is_ptr else without_cn_ptr
            scenario = replace(self.scenario, population=end(population))
            frame = expected_passes(case_of(scenario, case), [case.setting])
            shares = {
                "mail": frame[list(ENDS)].mul(frame["mail_share"], axis=0).sum(),
                "domains": frame[list(ENDS)].mean(),
            }
            for weighting, share in shares.items():
                named = {"setting": case.setting.label, "reading": case.reading, "weighting": weighting}
                parts.append(named | share.to_dict())
        return pd.DataFrame(parts)

    def p99_range(self) -> tuple[Case, float, float] | None:
        """Return the case whose p99 of the delay differs most between replications, with its lowest and highest, s.

        None where no case has two replications that delivered mail. The percentiles of the frame are of the mail of
        all replications together, and a single long outage of a large destination can move them.
        """
        found = []
        for case, rows in zip(CASES, self.totals, strict=True):
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
            seed=meta["seed"],
            population=meta["population"],
            weighting=meta["weighting"],
            messages=round(sum(injected) / len(injected)),
            domains=meta["domains"],
        )

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
