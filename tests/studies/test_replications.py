"""Replications: what each draws anew, when to stop, and how often the intervals of a stopped run cover."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from sim.delivery.compile import compile_world
from sim.delivery.simulate import simulate
from sim.errors import ScenarioError
from sim.results.tables import fates_frame
from sim.scenario import Scenario
from sim.studies.modes import CASES, case_of, modes, with_cn_ptr, without_cn_ptr
from sim.studies.replications import BATCH, PILOTS, Plan, fate_shares, replicate, varied
from sim.studies.runs import run_all
from sim.terms import Fate, Vary
from sim.world.population import Population
from sim.world.workload import Workload

ALL = Vary.CHANCE | Vary.POPULATION | Vary.EVIDENCE
PAGE = Path(__file__).parents[2] / "docs" / "intervals.md"


def drawn(seed: int = 3) -> Scenario:
    population = Population.preset("2020s-web", domains=60, seed=seed)
    return Scenario(population=population, workload=Workload.flat(40))


def by_hand() -> Scenario:
    spec = {"domain": "a.example", "messages": 20, "refused_5yz_rate": 0.3}
    return Scenario(population=Population.custom([spec]), workload=Workload.flat())


# --- what varies


def test_the_three_spellings() -> None:
    assert Vary.spellings()["chance"] == Vary.CHANCE
    assert Vary.spellings()["chance and population"] == Vary.CHANCE | Vary.POPULATION
    assert Vary.spellings()["chance, population and evidence"] == ALL
    assert all(vary.label == label for label, vary in Vary.spellings().items())


def test_without_a_word_chance_varies_and_the_population_where_one_was_drawn() -> None:
    assert varied(None, drawn().population) == Vary.CHANCE | Vary.POPULATION
    assert varied(None, by_hand().population) == Vary.CHANCE
    assert varied("evidence", drawn().population) == Vary.EVIDENCE


@pytest.mark.parametrize(
    ("vary", "scenario", "told"),
    [
        ("chance and populaton", drawn, "vary = 'chance and populaton'; .*Did you mean 'chance and population'"),
        (Vary(0), drawn, "vary = ''; allowed: chance, "),
        ("chance and population", by_hand, "vary = 'chance and population'; allowed: chance; nothing of .*'?custom"),
        ("evidence", by_hand, "vary = 'evidence'; allowed: chance; nothing of "),
    ],
)
def test_what_cannot_vary_is_refused(vary: str | Vary, scenario: Callable[[], Scenario], told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        varied(vary, scenario().population)


@pytest.mark.parametrize("vary", Vary.spellings().values(), ids=str)
def test_what_is_not_named_stands_still(vary: Vary) -> None:
    scenario = drawn()
    asked, chance = Plan(vary=vary, seed=11).replication(scenario, 4)
    assert (chance != 11) == (Vary.CHANCE in vary)
    assert (asked.population.seed != 3) == (Vary.POPULATION in vary)
    assert (asked.population.evidence is not None) == (Vary.EVIDENCE in vary)
    assert (asked.population.hash != scenario.population.hash) == bool(vary & (Vary.POPULATION | Vary.EVIDENCE))
    assert replace(asked, population=scenario.population) == scenario


def test_a_population_keeps_its_own_evidence_when_only_the_drawing_varies() -> None:
    scenario = replace(drawn(), population=drawn().population.redrawn(3, evidence=9))
    asked, _ = Plan(vary=Vary.CHANCE | Vary.POPULATION).replication(scenario, 2)
    assert asked.population.evidence == 9


def test_the_first_replication_is_the_callers_own() -> None:
    scenario = drawn()
    asked, seed = Plan(vary=ALL, seed=5).replication(scenario, 0)
    assert asked is scenario
    assert seed == 5


def test_a_replication_is_the_same_alone_or_among_others() -> None:
    scenario = drawn()
    alone, seed = Plan(vary=ALL, seed=1).replication(scenario, 2)
    among = modes(scenario, replications=4, vary="chance, population and evidence", jobs=1)
    for place, case in enumerate(CASES):
        end = with_cn_ptr if case.cn_is_ptr else without_cn_ptr
        run = simulate(case_of(replace(alone, population=end(alone.population)), case), seed).totals()
        assert {k: among.totals[place][2][k] for k in run if run[k] == run[k]} == {
            k: v for k, v in run.items() if v == v
        }


# --- how many


def runner(draw: Callable[[int], Any]) -> tuple[Callable[[range], Any], list[range]]:
    asked: list[range] = []

    def run(numbers: range) -> Any:
        asked.append(numbers)
        return draw(len(numbers))

    return run, asked


def normals(seed: int) -> Callable[[int], list[float]]:
    rng = np.random.default_rng(seed)
    return lambda count: rng.normal(0, 1, count).tolist()


def test_a_number_of_replications_is_run_at_once() -> None:
    run, asked = runner(normals(1))
    found = replicate(Plan(replications=7), run, float)
    assert asked == [range(7)]
    assert (len(found.results), found.half_width, found.reached) == (7, None, None)
    assert Plan().first == 5


def test_it_never_stops_before_the_pilots_and_goes_on_by_batches() -> None:
    run, asked = runner(normals(1))
    assert len(replicate(Plan(precision=1e9), run, float).results) == PILOTS == 20
    run, asked = runner(normals(1))
    found = replicate(Plan(precision=0.2), run, float)
    assert asked[0] == range(20)
    assert asked[1:] == [range(at, at + BATCH) for at in range(20, len(found.results), BATCH)]
    assert len(asked) > 2


def test_a_precision_that_is_reached_is_so_by_recomputation_and_was_not_before() -> None:
    run, _ = runner(normals(2))
    found = replicate(Plan(precision=0.25, level=0.9), run, float)

    def half(values: Sequence[float]) -> float:
        return float(stats.t.ppf(0.95, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))

    assert found.reached
    assert found.half_width == pytest.approx(half(found.results))
    assert half(found.results) <= 0.25
    looked = range(PILOTS, len(found.results), BATCH)
    assert len(looked) > 1
    assert all(half(found.results[:n]) > 0.25 for n in looked)


def test_a_precision_that_is_not_reached_is_given_up_and_said() -> None:
    run, asked = runner(normals(3))
    found = replicate(Plan(precision=0.001, most=33), run, float)
    assert len(found.results) == 33
    assert asked[-1] == range(30, 33)
    assert found.reached is False


def test_the_widest_of_all_shares_decides() -> None:
    shares = {f"{fate.key}_share": 0.0 for fate in Fate}
    rng = np.random.default_rng(4)

    def totals(spread: float) -> dict[str, float]:
        bounced = 0.5 + spread * rng.normal()
        return {**shares, "bounced_share": bounced, "verified_share": 1 - bounced}

    found = replicate(Plan(precision=0.01), lambda numbers: [(totals(0.001), totals(0.1)) for _ in numbers])
    wide = [fate_shares(result)[1, Fate.BOUNCED] for result in found.results]
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, len(wide) - 1) * stats.sem(wide))
    assert len(wide) > PILOTS
    assert fate_shares(found.results[0][0]).shape == (5,)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"replications": 0}, r"^replications = 0; allowed: 1\.\.10000$"),
        ({"replications": True}, "^replications = True"),
        ({"precision": 0}, "^precision = 0; allowed: a number above 0$"),
        ({"precision": float("nan")}, "^precision = nan"),
        ({"precision": "0.1"}, "^precision = '0.1'"),
        ({"precision": 0.1, "replications": 5}, "^precision, replications = .*one of both"),
        ({"most": 19}, r"^most = 19; allowed: 20\.\.10000$"),
        ({"level": 95}, "^level = 95; allowed: 0 < level < 1$"),
        ({"seed": -1}, "^seed = -1"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        Plan(**given)


# --- how often the intervals cover


def recorded() -> dict[tuple[str, float], float]:
    """The coverage that the page records, by distribution and wanted precision."""
    rows = re.findall(
        r"^\| (normal|exponential) \| ([\d.]+) \| [\d.]+ \| ([\d.]+) % \|$", PAGE.read_text("utf-8"), re.MULTILINE
    )
    return {(name, float(precision)): float(share) / 100 for name, precision, share in rows}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "precision"), [(n, p) for n in ("normal", "exponential") for p in (0.45, 0.35, 0.25)])
def test_a_stopped_interval_covers_as_often_as_the_page_says(name: str, precision: float) -> None:
    """False-alarm rate 1e-6 a case: 1,500 trials are binomial; the page's own number comes from 20,000."""
    rng, hits, trials = np.random.default_rng(31), 0, 1_500
    for _ in range(trials):
        draw = rng.standard_normal if name == "normal" else rng.standard_exponential
        run, _ = runner(draw)
        found = replicate(Plan(precision=precision, most=10_000), run, float)
        truth = 0 if name == "normal" else 1
        hits += abs(np.mean(found.results) - truth) <= (found.half_width or 0)
    share = recorded()[name, precision]
    assert stats.binom.ppf(5e-7, trials, share - 0.006) <= hits <= stats.binom.ppf(1 - 5e-7, trials, share + 0.006)


def test_intervals_of_modes_cover_a_truth_that_is_known() -> None:
    """A peer refuses 30 % of messages: 200 intervals of five runs of 20 messages; the false-alarm rate is 1e-6.

    A share of 20 messages is a little skewed: 93 % is asked of a nominal 95 %.
    """
    scenario, plan = by_hand(), Plan(vary=Vary.CHANCE, seed=8)
    world = compile_world(case_of(scenario, CASES[0]))
    totals = run_all(((world, plan.replication(scenario, r)[1]) for r in range(1_000)), 1_000, workers=1)
    hits = 0
    for first in range(0, 1_000, 5):
        frame = fates_frame([("No", "", totals[first : first + 5])]).set_index("fate")
        low, high = (float(frame[end].to_dict()[Fate.BOUNCED.label]) for end in ("low", "high"))
        hits += low <= 0.3 <= high
    assert stats.binom.ppf(5e-7, 200, 0.93) <= hits < 200


# --- the study that uses it


def test_modes_runs_to_a_precision_and_says_so() -> None:
    told: list[tuple[float, int]] = []
    result = modes(by_hand(), precision=5, jobs=1, seed=2, progress=lambda done, of: told.append((done, of)))
    n = result.meta["replications"]
    assert n >= PILOTS
    assert len(result.meta["world_hashes"]) == n * len(CASES)
    frame = result.frame()
    widest = float(((frame["high"] - frame["low"]) / 2).max())
    assert widest <= 0.05
    assert result.meta["precision_reached"] is True
    # The frame's intervals are clipped to 0..1, the rule's are not.
    assert widest <= result.meta["half_width_points"] / 100 + 1e-12 <= 0.05 + 1e-12
    assert f"{n} replications, chance varied, 95 % intervals; the widest interval is ±" in result.caption()
    assert result.caption().count("wanted: ±5") == 1
    assert "not reached" not in result.caption()
    assert told[-1] == (n * len(CASES), n * len(CASES))
    assert [done for done, _ in told] == list(range(1, n * len(CASES) + 1))


def test_modes_says_that_a_precision_was_not_reached() -> None:
    result = modes(by_hand(), precision=0.01, most=20, jobs=1)
    assert result.meta["precision_reached"] is False
    assert "wanted: ±0.01, which was not reached" in result.caption()
    assert "which was not reached" in result.repeated()
    spread = result.spread()
    assert len(spread) == len(CASES) * len(Fate)
    rows = [row for row in spread.to_dict("records") if row["setting"] == "No" and row["fate"] == Fate.BOUNCED.label]
    shares = sorted(totals["bounced_share"] for totals in result.totals[0])
    assert [(row["low"], row["high"]) for row in rows] == [(shares[0], shares[-1])]
    assert rows[0]["level"] == pytest.approx(19 / 21)
    assert "Single replications lie further apart, most of all" in result.repeated()
    assert result.repeated().endswith("with probability 90 %.")


def test_few_replications_say_nothing_of_their_spread() -> None:
    result = modes(by_hand(), replications=2, jobs=1)
    assert result.spread()["low"].isna().all()
    assert result.repeated() == "2 replications, chance varied, 95 % intervals."


@pytest.mark.parametrize("precision", [0, 51, -1, "0.5", float("nan"), True])
def test_a_precision_is_in_percentage_points(precision: Any) -> None:
    with pytest.raises(ScenarioError, match=r"^precision = .*up to 50, percentage points$"):
        modes(by_hand(), precision=precision, jobs=1)


def test_delays_have_intervals_where_there_are_enough_replications() -> None:
    few, enough = (modes(by_hand(), replications=n, jobs=1).delays() for n in (5, 6))
    assert few["low_s"].isna().all()
    assert set(few["needed"]) == {6}
    assert len(enough) == 3 * len(CASES)
    # Where nothing is delivered there is no delay.
    enough = enough[enough["replications"] > 0]
    assert len(enough) >= 3 * 6
    assert (enough["low_s"] <= enough["median_s"]).all()
    assert (enough["median_s"] <= enough["high_s"]).all()
    assert enough["level"].to_numpy() == pytest.approx(1 - 2 * 0.5**6)
