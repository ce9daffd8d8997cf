"""Replications: what each draws anew, and how many there are.

Either their number is given, or the precision wanted: then `PILOTS` run first, and a batch at a time until the
t-interval of the measure is narrow enough, or `Plan.most` have run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.delivery.simulate import check_seed
from sim.errors import ScenarioError, complaint
from sim.results import findings
from sim.results.intervals import across
from sim.scenario import Scenario
from sim.studies.runs import replication_seed
from sim.terms import Fate, Vary
from sim.world.population import Population

T = TypeVar("T")

#: Replications before a wanted precision is looked at: with fewer the estimate of the spread is itself too uncertain.
PILOTS: Final = 20
#: Replications between two looks at the precision; a constant, so that the answer does not depend on the processors.
BATCH: Final = 10
MOST: Final = 200
_MANY: Final = 10_000
_DEFAULT: Final = 5


def varied(vary: str | Vary | None, population: Population) -> Vary:
    """Return what replications draw anew.

    Parameters
    ----------
    vary : ``"chance"``, ``"chance and population"``, ``"chance, population and evidence"`` or any other of the three;
        None = chance, and the population where one was drawn.
    population : one that was not drawn from figures has nothing but chance to vary.

    Raises
    ------
    ScenarioError
        For another spelling (with the nearest one), or where nothing of the population was drawn.
    """
    drawn = population.drawn_by is not None
    if vary is None:
        return Vary.CHANCE | Vary.POPULATION if drawn else Vary.CHANCE
    found = vary if isinstance(vary, Vary) else Vary.spellings().get(str(vary))
    if not found:
        raise ScenarioError(complaint("vary", str(vary), Vary.spellings()))
    if not drawn and found != Vary.CHANCE:
        allowed = f"chance; nothing of population {population.name} was drawn from figures"
        raise ScenarioError(complaint("vary", found.label, allowed))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How many replications there are, and what each draws anew.

    Attributes
    ----------
    replications : as many; None = 5, or as many as the precision needs.
    precision : half-width wanted of the interval, in the unit of the measure.
    vary : what each replication draws anew.
    seed : of chance.
    level : of the intervals.
    most : replications at which a precision that was not reached is given up.

    Raises
    ------
    ScenarioError
        When a number is out of range, or both a number of replications and a precision are given.
    """

    replications: int | None = None
    precision: float | None = None
    vary: Vary = Vary.CHANCE | Vary.POPULATION
    seed: int = 1
    level: float = 0.95
    most: int = MOST

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.replications is not None and not _is_whole(self.replications, 1):
            raise ScenarioError(complaint("replications", self.replications, f"1..{_MANY}"))
        if not _is_whole(self.most, PILOTS):
            raise ScenarioError(complaint("most", self.most, f"{PILOTS}..{_MANY}"))
        if not 0 < self.level < 1:
            raise ScenarioError(complaint("level", self.level, "0 < level < 1"))
        if self.precision is None:
            return
        if not _is_positive(self.precision):
            raise ScenarioError(complaint("precision", self.precision, "a number above 0"))
        if self.replications is not None:
            allowed = "one of both: a precision decides how many replications there are"
            raise ScenarioError(complaint("precision, replications", (self.precision, self.replications), allowed))

    @classmethod
    def of(
        cls,
        scenario: Scenario,
        replications: int | None,
        precision_points: float | None,
        vary: str | Vary | None,
        seed: int,
        most: int,
    ) -> Self:
        """Return the plan that the arguments of a study describe; its precision is in percentage points of mail."""
        return cls(
            replications=replications,
            precision=share_of_points(precision_points),
            vary=varied(vary, scenario.population),
            seed=seed,
            most=most,
        )

    @property
    def first(self) -> int:
        """Replications before the first look at the precision; all of them where none is wanted."""
        return PILOTS if self.precision is not None else self.replications or _DEFAULT

    def replication(self, scenario: Scenario, number: int) -> tuple[Scenario, int]:
        """Return the scenario of a replication and its seed of chance.

        Number 0 is the caller's own. Every other is keyed by its number alone, so it is the same whatever else is run.
        """
        if number == 0:
            return scenario, self.seed
        population = scenario.population
        anew = replication_seed(population.seed, number)
        if self.vary & (Vary.POPULATION | Vary.EVIDENCE):
            seed = anew if Vary.POPULATION in self.vary else population.seed
            population = population.redrawn(seed, anew if Vary.EVIDENCE in self.vary else None)
        chance = replication_seed(self.seed, number) if Vary.CHANCE in self.vary else self.seed
        return replace(scenario, population=population), chance


@dataclass(frozen=True, slots=True)
class Replicated(Generic[T]):
    """What the replications gave.

    Attributes
    ----------
    results : one a replication, in order.
    plan : how they were run.
    half_width : largest half-width of the measure's intervals; None where no precision was wanted.
    """

    results: tuple[T, ...]
    plan: Plan
    half_width: float | None = None

    def meta(self) -> dict[str, Any]:
        """Return what was varied, how often, and, where a precision was wanted, how precise it came out."""
        found = {"seed": self.plan.seed, "replications": len(self.results), "vary": self.plan.vary.label}
        if self.plan.precision is None or self.half_width is None:
            return found
        points = {"precision_points": round(self.plan.precision * 100, 9), "half_width_points": self.half_width * 100}
        return found | points | {"precision_reached": self.reached}

    @property
    def reached(self) -> bool | None:
        """Whether the wanted precision was reached; None where none was wanted."""
        return None if self.half_width is None else self.half_width <= (self.plan.precision or 0.0)


def replicate(
    plan: Plan, run: Callable[[range], Sequence[T]], measure: Callable[[T], ArrayLike] | None = None
) -> Replicated[T]:
    """Run replications until there are as many as the plan says, or the measure is as precise as it wants.

    The sequential procedure of Law, *Simulation Modeling and Analysis*, chapter 9. Its intervals cover a little less
    often than they say, since it stops when the spread happens to look small (``docs/intervals.md`` has by how much).

    Parameters
    ----------
    plan : how many.
    run : given the numbers of some replications, returns the result of each, in order.
    measure : the numbers of one result whose intervals are to be narrow, always of one shape; None = `fate_shares`.
    """
    sample = fate_shares if measure is None else measure
    results = list(run(range(plan.first)))
    if plan.precision is None:
        return Replicated(tuple(results), plan)
    while (width := half_width([sample(r) for r in results], plan.level)) > plan.precision and len(results) < plan.most:
        results.extend(run(range(len(results), min(len(results) + BATCH, plan.most))))
    return Replicated(tuple(results), plan, width)


def share_of_points(points: float | None) -> float | None:
    """Return a precision in percentage points as a share.

    Raises
    ------
    ScenarioError
        When it is no number above 0 and up to 50.
    """
    if points is None:
        return None
    if not _is_positive(points) or points > 50:
        raise ScenarioError(complaint("precision", points, "a number above 0 and up to 50, percentage points"))
    return points / 100


def told_precision(meta: Mapping[str, Any]) -> str | None:
    """Say how precise the means are; None where no precision was wanted (``meta`` has that of `Replicated`)."""
    if "precision_points" not in meta:
        return None
    wanted, found = meta["precision_points"], meta["half_width_points"]
    return findings.precision(found, wanted, "percentage points", reached=meta["precision_reached"])


def half_width(samples: Sequence[ArrayLike], level: float = 0.95) -> float:
    """Return the largest half-width of the t-intervals of means over replications; what only one has is left out."""
    found = across(samples, level=level, clip=None)
    widths = (found.high - found.low) / 2
    return float(np.max(widths, initial=0.0, where=np.isfinite(widths)))


def fate_shares(totals: Any) -> NDArray[np.float64]:
    """Return the share of each fate in the totals of a run, or of several runs: (5,) or (runs, 5)."""
    runs: Sequence[Mapping[str, Any]] = [totals] if isinstance(totals, Mapping) else totals
    shares = np.array([[run[f"{fate.key}_share"] for fate in Fate] for run in runs], dtype=np.float64)
    return shares[0] if isinstance(totals, Mapping) else shares


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _is_whole(value: object, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= _MANY
