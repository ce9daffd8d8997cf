"""The main job on small populations: its frame, its repeatability, its readings, its files and its faults.

Nothing here is a statistical test: runs are compared with runs of the same seed, which agree to the byte.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sim.cli.modes import p99_sentence, timeline_sentence
from sim.delivery.analytic import ENDS
from sim.delivery.expected import expected
from sim.delivery.simulate import simulate
from sim.errors import OutputError, ScenarioError, SimError, WorkloadError
from sim.policy.destinations import DestinationControls, Entry
from sim.results.histogram import quantile
from sim.results.intervals import possible_fates
from sim.results.tables import FATES_COLUMNS
from sim.scenario import Scenario
from sim.studies.modes import CASES, ModesResult, case_of, cases_of, modes, with_cn_ptr, without_cn_ptr
from sim.studies.runs import replication_seed
from sim.terms import Fate, Setting
from sim.timeline import Event
from sim.world.columns import FRAMES
from sim.world.population import Population
from sim.world.workload import Workload

FATES = [fate.label for fate in Fate]
SPECS: list[dict[str, Any]] = [
    {"domain": "big.example", "messages": 60, "first_4yz_rate": 0.2},
    {"domain": "clear.example", "messages": 30, "hosts": [{"host": "mx.clear.example", "not_offered_rate": 1.0}]},
    {"domain": "flaky.example", "messages": 30, "hosts": [{"host": "mx.flaky.example", "handshake_failed_rate": 0.5}]},
    {"domain": "self.example", "messages": 20, "hosts": [{"host": "mx.self.example", "chain": "self-signed"}]},
    {"domain": "gone.example", "messages": 10, "dns": "nxdomain"},
]


def custom(**others: Any) -> Scenario:
    return Scenario(population=Population.custom(SPECS), workload=Workload.flat(**others))


def preset(seed: int = 1, **others: Any) -> Scenario:
    population = Population.preset("alexa-2015", domains=40, seed=seed)
    return Scenario(population=population, workload=Workload.flat(150), **others)


@cache
def made(jobs: int = 1, seed: int = 1, replications: int = 2) -> ModesResult:
    return modes(preset(), replications=replications, seed=seed, jobs=jobs)


@cache
def made_of_custom(replications: int = 2) -> ModesResult:
    return modes(custom(), replications=replications, jobs=1)


def csv(result: ModesResult) -> str:
    return str(result.frame().to_csv(index=False))


def share(frame: pd.DataFrame, case: int, fate: Fate) -> float:
    """The share of a fate in the row of a case."""
    rows = frame[(frame["setting"] == CASES[case].setting.label) & (frame["reading"] == CASES[case].reading)]
    [found] = rows.loc[rows["fate"] == fate.label, "share"].tolist()
    return float(found)


# --- the frame


def test_the_cases_are_the_settings_in_order_with_two_readings_of_two_of_them() -> None:
    assert [case.setting for case in CASES] == [*list(Setting)[:3], *[Setting(3)] * 2, *[Setting(4)] * 2, Setting(5)]
    assert len({(case.setting, case.reading) for case in CASES}) == len(CASES) == 8
    assert [case.reading == "" for case in CASES] == [True] * 3 + [False] * 4 + [True]


def test_the_frame_has_a_row_for_each_setting_reading_and_fate() -> None:
    frame = made().frame()
    assert frame.columns.tolist() == FATES_COLUMNS
    wanted = [(case.setting.label, case.reading, fate) for case in CASES for fate in FATES]
    assert list(frame[["setting", "reading", "fate"]].itertuples(index=False, name=None)) == wanted
    assert (frame.attrs["n"], frame.attrs["level"]) == (2, 0.95)


@pytest.mark.parametrize("result", [made, made_of_custom])
def test_shares_of_a_setting_and_reading_sum_to_one(result: Callable[[], ModesResult]) -> None:
    totals = result().frame().groupby(["setting", "reading"], sort=False)["share"].sum()
    assert len(totals) == 8
    assert totals.to_numpy() == pytest.approx(np.ones(8), abs=1e-12)


def test_every_setting_gets_the_same_mail() -> None:
    injected = made().frame().groupby(["setting", "reading"])["messages"].sum()
    assert len(set(injected)) == 1
    assert [[row["size_bytes"] for row in rows] for rows in made().totals] == [
        [row["size_bytes"] for row in made().totals[0]]
    ] * 8


def test_impossible_fates_are_an_exact_zero_without_interval_and_others_have_one() -> None:
    frame = made().frame()
    for setting in Setting:
        rows = frame[frame["setting"] == setting.label]
        possible = rows["fate"].map(dict(zip(FATES, possible_fates(setting), strict=True))).to_numpy(bool)
        assert (rows.loc[~possible, "share"] == 0).all()
        assert rows.loc[~possible, ["low", "high"]].isna().all(axis=None)
        assert rows.loc[possible, ["low", "high"]].notna().all(axis=None)
    inside = frame[frame["low"].notna()]
    assert (inside["low"] <= inside["share"]).all()
    assert (inside["share"] <= inside["high"]).all()


def test_one_replication_has_no_interval() -> None:
    result = made(replications=1)
    assert result.frame()[["low", "high", "deferred_low", "deferred_high"]].isna().all(axis=None)
    assert "One replication, no intervals" in result.caption()


def test_the_summary_repeats_the_frame() -> None:
    frame, summary = made().frame(), made().summary()
    assert summary["reading"].tolist() == [case.reading for case in CASES]
    for i in range(len(CASES)):
        for fate in (Fate.IN_CLEAR, Fate.ENCRYPTED, Fate.VERIFIED, Fate.BOUNCED):
            assert summary[f"{fate.key}_share"].iloc[i] == share(frame, i, fate)


def test_the_summary_of_a_censored_run_accounts_for_all_mail() -> None:
    summary = modes(preset(until_s=43_200.0), replications=1, jobs=1).summary()
    shares = summary[[f"{fate.key}_share" for fate in Fate]]
    assert shares.sum(axis=1).to_numpy() == pytest.approx(np.ones(8))


def test_a_censored_run_shows_what_is_still_queued() -> None:
    frame = modes(preset(until_s=43_200.0), replications=1, jobs=1).frame()
    assert share(frame, 5, Fate.QUEUED) > 0.9
    assert frame.groupby(["setting", "reading"])["share"].sum().to_numpy() == pytest.approx(np.ones(8))


def test_title_caption_and_chart_of_a_censored_run_name_what_is_queued() -> None:
    result = modes(preset(until_s=43_200.0), replications=1, jobs=1)
    assert "still queued" in result.title()
    assert "censored at 12 h" in result.caption()
    assert "censored" not in made().caption()
    assert "still queued" in {text.get_text() for text in result.figure().texts}


# --- a timeline


def stripped() -> Scenario:
    """Everything is stripped from 6 h on; a change of policy and an outage of nobody important besides."""
    events = (
        Event(event="starttls-stripped", at_h=6, share=1.0),
        Event(event="policy", at_h=7, policy=DestinationControls(default=Entry(domain="DEFAULT", tls=Setting(2)))),
        Event(event="outage", at_h=8, for_h=1, domain="gone.example"),
    )
    return replace(custom(), until_s=43_200.0, days=0.5, timeline=events)


@cache
def made_of_stripped() -> ModesResult:
    return modes(stripped(), replications=2, jobs=1)


def test_the_share_that_is_exposed_has_its_columns_at_the_end() -> None:
    frame = made_of_stripped().frame()
    columns = ["exposed_share", "exposed_low", "exposed_high"]
    assert frame.columns[-3:].tolist() == columns
    assert frame[columns].notna().all(axis=None)
    assert (frame["exposed_low"] <= frame["exposed_share"]).all()
    assert (frame["exposed_share"] <= frame["exposed_high"]).all()


def test_preferred_exposes_what_it_sends_in_clear_on_a_stripped_path_and_required_nothing() -> None:
    result = made_of_stripped()
    summary = result.summary()
    assert summary.columns[-1] == "exposed_share"
    exposed = dict(zip([case.setting for case in CASES], summary["exposed_share"], strict=True))
    assert 0 < exposed[Setting.PREFERRED] <= share(result.frame(), 1, Fate.IN_CLEAR)
    assert [exposed[s] for s in (Setting.REQUIRED, Setting.REQUIRED_VERIFY, Setting.REQUIRED_VERIFY_HOSTED)] == [0] * 3
    mean = np.mean([row["exposed_share"] for row in result.totals[1]])
    assert exposed[Setting.PREFERRED] == pytest.approx(mean)


def test_nothing_is_exposed_without_an_attacker() -> None:
    assert (made_of_custom().frame()[["exposed_share", "exposed_low", "exposed_high"]] == 0).all(axis=None)
    one = modes(stripped(), replications=1, jobs=1).frame()
    assert one[["exposed_share", "exposed_low", "exposed_high"]].notna().all(axis=None)


def test_a_setting_is_in_force_throughout_and_the_other_events_happen() -> None:
    result = made_of_stripped()
    assert [row["label"] for row in result.meta["timeline"]] == [
        "starttls stripped 100 % of mail",
        "outage gone.example",
    ]
    assert timeline_sentence(result) == (
        "Each row has the scenario's timeline: starttls stripped 100 % of mail at 6 h, outage gone.example at 8 h. "
        "Left out, since a row has one setting throughout: policy changed at 7 h."
    )
    assert timeline_sentence(made_of_custom()) == ""


# --- the same bytes


def test_a_replication_is_a_direct_run_of_the_same_case() -> None:
    scenario, result = preset(), made()
    for replication in range(2):
        seed = scenario.population.seed
        drawn = scenario.population.redrawn(replication_seed(seed, replication)) if replication else scenario.population
        for case, rows in zip(CASES, result.totals, strict=True):
            population = with_cn_ptr(drawn) if case.cn_is_ptr else drawn
            run = simulate(case_of(replace(scenario, population=population), case), replication_seed(1, replication))
            pd.testing.assert_series_equal(
                pd.Series({k: rows[replication][k] for k in run.totals()}, dtype=object),
                pd.Series(run.totals(), dtype=object),
            )


def test_the_first_replication_has_the_callers_seed_and_the_others_have_their_own() -> None:
    seeds = [replication_seed(7, replication) for replication in range(50)]
    assert seeds[0] == 7
    assert len(set(seeds)) == 50
    assert seeds != [replication_seed(8, replication) for replication in range(50)]


def test_the_same_seed_gives_the_same_bytes_in_one_process_and_in_two() -> None:
    assert csv(made(jobs=1)) == csv(modes(preset(), replications=2, seed=1, jobs=1))
    two = made(jobs=2)
    assert csv(two) == csv(made(jobs=1))
    assert two.meta == made(jobs=1).meta
    assert repr(two.totals) == repr(made(jobs=1).totals)


def test_another_seed_and_another_population_differ() -> None:
    assert csv(made(seed=2)) != csv(made())
    assert csv(modes(preset(seed=2), replications=2, jobs=1)) != csv(made())


def test_more_replications_keep_the_first_ones() -> None:
    assert [repr(rows[:1]) for rows in made().totals] == [repr(rows) for rows in made(replications=1).totals]
    assert made().totals[0][0]["messages"] != made().totals[0][1]["messages"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_progress_counts_every_run(jobs: int) -> None:
    told: list[tuple[float, int]] = []
    modes(custom(), replications=1, jobs=jobs, progress=lambda done, of: told.append((done, of)))
    assert told == [(i, 8) for i in range(1, 9)]


def test_a_script_without_a_main_guard_works(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sim\n"
        "population = sim.Population.preset('alexa-2015', domains=40, seed=1)\n"
        "scenario = sim.Scenario(population=population, workload=sim.Workload.flat(150))\n"
        "print('begins')\n"
        "print(sim.modes(scenario, replications=2, seed=1, jobs=2).frame().to_csv(index=False), end='')\n"
    )
    command = [sys.executable, "-W", "error", str(script)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    # A worker that imported the script would print its first line again.
    assert ran.stdout == "begins\n" + csv(made())


# --- what varied


def test_what_varied_is_chance_and_population_where_one_was_drawn() -> None:
    for told in (made().meta["vary"], made().frame().attrs["vary"]):
        assert told == "chance and population"
    assert "2 replications, chance and population varied, 95 % intervals" in made().caption()


def test_what_varied_is_chance_alone_where_no_population_was_drawn() -> None:
    result = made_of_custom()
    assert result.meta["vary"] == result.frame().attrs["vary"] == "chance"
    assert "2 replications, chance varied, 95 % intervals" in result.caption()
    changed = preset().population.with_(domains={"dns_temporary_rate": 0.0})
    assert modes(replace(preset(), population=changed), replications=1, jobs=1).meta["vary"] == "chance"


def test_the_record_says_what_was_run() -> None:
    meta = made().meta
    assert (meta["seed"], meta["replications"], meta["population"], meta["domains"]) == (1, 2, "alexa-2015", 40)
    assert meta["population_hash"] == preset().population.hash
    assert meta["policy_hash"] == preset().policy.hash
    assert len(meta["world_hashes"]) == 16
    assert json.loads(json.dumps(meta)) == meta


# --- the readings


def test_with_cn_ptr_changes_that_column_alone_and_leaves_the_original() -> None:
    population = Population.preset("facebook-2014-05", domains=200)
    before = population.hash
    changed = with_cn_ptr(population)
    assert population.hash == before
    for frame in FRAMES:
        old, new = getattr(population, frame), getattr(changed, frame)
        pd.testing.assert_frame_equal(
            old.drop(columns="cn_ptr", errors="ignore"), new.drop(columns="cn_ptr", errors="ignore")
        )
    names_mx = (population.backends["san_mx"] | population.backends["cn_mx"]).to_numpy()
    assert (changed.backends["cn_ptr"].to_numpy() == names_mx).all()
    assert names_mx.any()
    assert not population.backends["cn_ptr"].any()


def test_a_case_changes_the_setting_everywhere_and_one_switch() -> None:
    policy = DestinationControls(entries=(Entry(domain="big.example", tls=Setting.NO, max_host_concurrency=3),))
    scenario = replace(custom(), policy=policy)
    for case in CASES:
        asked = case_of(scenario, case)
        assert {asked.policy.resolved(i).tls for i in (-1, 0)} == {case.setting}
        assert asked.policy.resolved(0).max_host_concurrency == 3
        assert asked.switches == replace(scenario.switches, pv_after_220=case.pv_after_220)
        assert asked.population is scenario.population


def of_mail(result: ModesResult, weighting: str = "mail") -> pd.DataFrame:
    frame = result.expected()
    return frame[frame["weighting"] == weighting].reset_index(drop=True)


@pytest.mark.parametrize("weighting", ["mail", "domains"])
@pytest.mark.parametrize("name", Population.presets())
def test_expected_readings_bracket_each_other(name: str, weighting: str) -> None:
    scenario = Scenario(population=Population.preset(name, domains=300), workload=Workload.flat(300))
    found = of_mail(ModesResult(scenario, (), {}), weighting)
    assert found["reading"].tolist() == [case.reading for case in CASES]
    assert found[list(ENDS)].sum(axis=1).to_numpy() == pytest.approx(np.ones(8))
    for lenient, strict in ((3, 4), (5, 6)):
        assert found["in_clear"][lenient] >= found["in_clear"][strict] - 1e-12
        assert found["verified"][lenient] <= found["verified"][strict] + 1e-12
    assert found["verified"][6] > found["verified"][5] + 0.005
    # Where the CN is the PTR name, what counts for Verify has little left over for Hosted to add.
    assert found["verified"][6] <= found["verified"][7] + 1e-12


@pytest.mark.parametrize("sender", ["esa", "postfix"])
def test_expected_is_that_of_each_case_alone(sender: str) -> None:
    """Cases are asked together where they share a population and a reading; the numbers are the same to the bit."""
    scenario = replace(preset(), sender=sender)
    rows = ModesResult(scenario, (), {}).expected().to_dict("records")
    for case, mail, domains in zip(cases_of(scenario), rows[::2], rows[1::2], strict=True):
        population = (with_cn_ptr if case.cn_is_ptr else without_cn_ptr)(scenario.population)
        frame = expected(case_of(replace(scenario, population=population), case), [case.setting])
        ends = frame[list(ENDS)]
        named = {"setting": case.setting.label, "reading": case.reading}
        assert mail == named | {"weighting": "mail"} | ends.mul(frame["mail_share"], axis=0).sum().to_dict()
        assert domains == named | {"weighting": "domains"} | ends.mean().to_dict()


def test_simulated_readings_bracket_each_other() -> None:
    frame = made().frame()
    for lenient, strict in ((3, 4), (5, 6)):
        assert share(frame, lenient, Fate.IN_CLEAR) >= share(frame, strict, Fate.IN_CLEAR)
        assert share(frame, lenient, Fate.VERIFIED) <= share(frame, strict, Fate.VERIFIED)
    assert share(frame, 5, Fate.BOUNCED) > share(frame, 6, Fate.BOUNCED)


def test_readings_bracket_each_other_where_certificates_carry_the_ptr_name_already() -> None:
    specs = [{"domain": "a.example", "hosts": [{"host": "mx.a.example", "san_mx": False, "cn_ptr": True}]}]
    found = of_mail(ModesResult(Scenario(population=Population.custom(specs)), (), {}))
    assert found["verified"][5] <= found["verified"][6]


# --- what differs between replications


def with_p99(*of_case: list[float]) -> ModesResult:
    """A result whose cases have these p99 of the delay, a replication each; the other cases those of the last."""
    rows = [*of_case, *[of_case[-1]] * (len(CASES) - len(of_case))]
    return ModesResult(preset(), tuple(tuple({"delay_p99_s": p99} for p99 in row) for row in rows), {})


def test_the_case_whose_p99_differs_most_between_replications_is_named() -> None:
    nothing = float("nan")
    result = with_p99([60.0, 66.0], [60.0, 1_250.0, 62.0], [nothing, nothing], [nothing, 5.0])
    assert result.p99_range() == (CASES[1], 60.0, 1_250.0)
    assert p99_sentence(result) == (
        "p99 is of all replications together; in each by itself it is 60.0 to 1,250 s under Preferred, where it "
        "differs most: one long outage can move it."
    )
    assert "(CN is no PTR name)" in p99_sentence(with_p99(*[[1.0, 1.0]] * 5, [1.0, 2.0], [1.0, 1.0]))
    assert p99_sentence(with_p99([60.0, 66.0])) == ""
    assert with_p99([60.0]).p99_range() is None
    assert p99_sentence(with_p99([60.0])) == ""


def test_the_range_of_p99_is_that_of_the_replications_histograms() -> None:
    case, low, high = made().p99_range() or (CASES[0], 0.0, 0.0)
    found = [quantile(row["delay_counts"], 0.99) for row in made().totals[CASES.index(case)]]
    assert [low, high] == sorted(bounds.middle / 1e6 for bounds in found if bounds is not None)


# --- files and the chart


def test_the_figure_is_titled_with_the_finding() -> None:
    title = made().figure().get_suptitle().replace("\n", " ").replace("\N{NO-BREAK SPACE}", " ")
    assert title == made().title()
    assert title.startswith("Required")


def test_the_files_are_those_of_the_frames(tmp_path: Path) -> None:
    paths = made_of_custom().write(tmp_path / "new" / "folder")
    assert sorted(p.name for p in paths) == ["expected.csv", "meta.json", "modes.csv", "modes.png"]
    assert sorted(tmp_path.rglob("*.*")) == sorted(paths)
    read = pd.read_csv(
        tmp_path / "new" / "folder" / "modes.csv", keep_default_na=False, na_values={"low": "", "high": ""}
    )
    assert read["reading"].tolist() == made_of_custom().frame()["reading"].tolist()
    assert read["share"].to_numpy() == pytest.approx(made_of_custom().frame()["share"].to_numpy(), rel=1e-9)
    again = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in made_of_custom().write(tmp_path / "new" / "folder")] == again


@pytest.mark.parametrize("tail", ["", "deeper"])
def test_nothing_is_written_where_the_folder_is_bad(tmp_path: Path, tail: str) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="output folder"):
        made_of_custom().write(tmp_path / "out" / tail)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_text() == "a file"


def test_nothing_is_written_where_one_file_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "modes.png").mkdir()
    with pytest.raises(OutputError, match=r"modes\.png"):
        made_of_custom().write(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["modes.png"]


# --- how much mail, and faults


def test_messages_are_those_of_the_population_the_workload_or_the_caller() -> None:
    assert made_of_custom().totals[0][0]["messages"] == pytest.approx(150, abs=60)
    # 900 messages: 5 standard deviations are 150, a false-alarm rate of 6e-7.
    asked = modes(custom(messages_per_day=10.0), messages=900, replications=1, jobs=1)
    assert asked.totals[0][0]["messages"] == pytest.approx(900, abs=150)


@pytest.mark.parametrize(
    ("given", "fault", "message"),
    [
        ({"replications": 0}, ScenarioError, r"^replications = 0; allowed: .*1\.\.10000$"),
        ({"replications": 10_001}, ScenarioError, "^replications = 10001; "),
        ({"jobs": 0}, ScenarioError, "^jobs = 0; allowed: .*1 or more$"),
        ({"messages": -5}, WorkloadError, "^messages = -5; allowed: a number above 0"),
        ({"messages": float("nan")}, WorkloadError, "nan; allowed: "),
        ({"messages": "many"}, WorkloadError, "^messages = 'many'; "),
    ],
)
def test_an_argument_out_of_range_is_one_line(given: dict[str, Any], fault: type[SimError], message: str) -> None:
    with pytest.raises(fault, match=message) as told:
        modes(custom(), **{"jobs": 1, **given})
    assert "\n" not in str(told.value)


def test_shares_of_mail_without_a_number_of_messages_are_refused() -> None:
    with pytest.raises(ScenarioError, match=r"^workload\.messages_per_day is not given, and population 'alexa-2015'"):
        modes(Scenario(population=Population.preset("alexa-2015", domains=40)))


def test_a_number_of_messages_beside_a_trace_is_refused() -> None:
    trace = pd.DataFrame({"domain": ["big.example"], "time_s": 1.0, "size_bytes": 1_000, "recipients": 1})
    with pytest.raises(SimError, match="messages"):
        modes(replace(custom(), workload=Workload(trace=trace)), messages=1_000, replications=1, jobs=1)


@pytest.mark.parametrize("given", [{"replications": 2.5}, {"replications": "2"}, {"jobs": 1.5}])
def test_an_argument_of_another_kind_is_one_line(given: dict[str, Any]) -> None:
    with pytest.raises(SimError, match=next(iter(given))):
        modes(custom(), **{"jobs": 1, **given})
