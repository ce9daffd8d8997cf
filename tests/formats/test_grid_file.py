"""Grid files: every combination as a scenario, or one line that says what is wrong, in which of the two files."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.data import example
from sim.errors import SimError
from sim.formats.grid_file import MOST_POINTS, parse_grid, read_grid
from sim.terms import Setting

BASE = "[scenario.population]\ndomains = 5\n[scenario.workload]\nmessages = 10\n"
FILE = 'scenario = "base.toml"\n'
EVENT = '[[scenario.timeline]]\nevent = "load"\nfactor = 2\nat_h = 1\n'
#: What is wrong with a grid, and what is told of it.
WRONG = [
    ("axes = 1\n", "g.toml:1: unknown key = 'axes'; allowed: scenario, replications, seed, vary, grid."),
    (FILE, "g.toml:1: grid is missing; allowed: a section, [grid]"),
    ("[grid]\ndays = [1]\n", "g.toml:1: scenario is missing; allowed: the path of a scenario file, or a table"),
    (f"{FILE}[grid]\n", "g.toml:2: [grid] = {}; allowed: KEY = [VALUE, ...]; keys: setting, max_host"),
    (f"seed = 1.0\n{FILE}[grid]\ndays = [1]\n", "g.toml:1: seed = 1.0; allowed: a whole number"),
    (f"replications = true\n{FILE}[grid]\n", "g.toml:1: replications = True; allowed: a whole number, 1..10000"),
    (f"vary = 'chanc'\n{FILE}[grid]\n", "g.toml:1: vary = 'chanc'; allowed: chance, "),
    (f"{FILE}[grid]\ndays = 1\n", "g.toml:3: [grid] days = 1; allowed: a list of one value or more"),
    (f"{FILE}[grid]\ndays = []\n", "g.toml:3: [grid] days = []; allowed: a list of one value or more"),
    (f"{FILE}[grid]\ndays = [1, 1]\n", "g.toml:3: [grid] days = 1; allowed: each value once"),
    (f"{FILE}[grid]\nsetting = ['No', 'off']\n", "g.toml:3: [grid] setting = 'No'; allowed: each value once"),
    (f"{FILE}[grid]\nsetting = ['default']\n", "g.toml:3: [grid] setting = 'default'; allowed: no, preferred,"),
    (f"{FILE}[grid]\nsetting = ['requird']\n", "Did you mean 'required'?"),
    (f"{FILE}[grid]\nworkload.mesages = [1]\n", "Did you mean 'workload.messages'?"),
    (f"{FILE}[grid]\nseed = [1, 2]\n", "g.toml:3: [grid] unknown key = 'seed'; allowed: no axis: it says how the"),
    (f"{FILE}[grid]\n'workload.messages' = [1]\nworkload.messages = [2]\n", "key = 'workload.messages'; allowed: each"),
    (f"{FILE}[grid]\nsender_setting = ['may']\nsetting = ['no']\n", "one of setting, sender_setting"),
    (f"{FILE}[grid]\nworkload.messages = [1, 'x']\n", "g.toml:3: [workload] messages = 'x'; allowed: more than 0"),
    (f"{FILE}[grid]\nsender = ['esa', 'postfx']\n", "g.toml:3: sender = 'postfx'; allowed: esa, postfix"),
    (f"{FILE}[grid]\nsender = ['postfix']\nsender_setting = ['may', 'secur']\n", "g.toml:4: sender_setting (Postfix)"),
    (
        f"{FILE}[grid]\nmax_host_concurrency = [1, 5000]\n",
        "g.toml:3: max_host_concurrency = 5000; allowed: a whole number, 1..1000 connections",
    ),
    (f"{FILE}[grid]\npolicy.file = ['nope.ini']\n", "g.toml:3: [policy] file = "),
    (f"{FILE}[grid]\ntimeline.1.for_h = [1]\n", "timeline.1.for_h: event = 1; allowed: none: the scenario has no [["),
    (f"{FILE}[grid]\ntimeline.0.for_h = [1]\n", "timeline.0.for_h: event = '0'; allowed: 1, 2, ...: its place"),
    (f"{BASE}{EVENT}[grid]\ntimeline.2.for_h = [1]\n", "timeline.2.for_h: event = 2; allowed: 1..1: events"),
    (f"{BASE}{EVENT}[grid]\ntimeline.1.for_h = [1, -2]\n", "g.toml:10: [[timeline]] for_h = -2; allowed: more than 0"),
    (f"{BASE}snder = 1\n[grid]\ndays = [1]\n", "g.toml:5: [workload] unknown key = 'snder'; allowed:"),
    ("scenario = 'bas.toml'\n[grid]\ndays = [1]\n", "g.toml:1: scenario: file = "),
    ("scenario = 'wrong.toml'\n[grid]\ndays = [1]\n", "wrong.toml:2: [workload] unknown key = 'mesages'"),
    ("scenario = 'precise.toml'\n[grid]\ndays = [1]\n", "precise.toml:1: precision = 0.5; allowed: not in a sweep"),
    (f"{FILE}[grid]\ndays = {list(range(1, 367))}\nuntil_h = {list(range(1, 31))}\n", f"up to {MOST_POINTS:,}"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "base.toml").write_text("[population]\ndomains = 5\n[workload]\nmessages = 10\n")
    (tmp_path / "wrong.toml").write_text("[workload]\nmesages = 10\n")
    (tmp_path / "precise.toml").write_text("precision = 0.5\n[workload]\nmessages = 10\n")
    return tmp_path


@pytest.mark.parametrize(("text", "told"), WRONG)
def test_a_wrong_grid_is_told_with_file_and_line(folder: Path, text: str, told: str) -> None:
    with pytest.raises(SimError) as fault:
        parse_grid(text, source="g.toml", folder=folder)
    assert told in str(fault.value)
    assert str(fault.value).isprintable()


def test_the_last_axis_varies_fastest_and_values_reach_the_scenario(folder: Path) -> None:
    text = f"{FILE}replications = 2\n[grid]\nsetting = ['off', 'Required']\nworkload.messages = [20, 30]\n"
    grid = parse_grid(text, folder=folder)
    assert [tuple(point.labels.values()) for point in grid.points] == [
        ("No", 20), ("No", 30), ("Required", 20), ("Required", 30)
    ]  # fmt: skip
    assert [point.scenario.policy.default.tls for point in grid.points] == [Setting.NO] * 2 + [Setting.REQUIRED] * 2
    rates = [point.scenario.workload.messages_per_day or 0 for point in grid.points]
    assert rates[1] == pytest.approx(1.5 * rates[0])
    assert (grid.replications, grid.seed, grid.vary) == (2, 1, None)
    assert len({id(point.scenario.population) for point in grid.points}) == 1


def test_a_limit_holds_for_default_and_every_entry_that_has_one_of_its_own() -> None:
    text = "scenario = 'scenario.toml'\n[grid]\nmax_host_concurrency = [7]\n"
    [point] = parse_grid(text, folder=example("scenario.toml").parent).points
    policy = point.scenario.policy
    assert policy.default.max_host_concurrency == 7
    assert {entry.max_host_concurrency for entry in policy.entries} == {None, 7}


def test_another_sender_comes_as_shipped_but_for_what_the_grid_says_of_it(folder: Path) -> None:
    text = f"{BASE}[scenario.switches]\npv_after_220 = 'fail'\n[grid]\nsender = ['esa', 'postfix']\n"
    esa, postfix = (point.scenario for point in parse_grid(text, folder=folder).points)
    assert esa.switches.pv_after_220 == "fail"
    assert postfix.sender == "postfix"


def test_how_it_runs_is_said_by_the_grid_or_else_by_the_scenario(folder: Path) -> None:
    (folder / "base.toml").write_text("seed = 4\nreplications = 7\nvary = 'chance'\n[workload]\nmessages = 10\n")
    said, left = (parse_grid(f"{FILE}{own}[grid]\ndays = [1]\n", folder=folder) for own in ("seed = 9\n", ""))
    assert (said.seed, said.replications, said.vary) == (9, 7, "chance")
    assert left.seed == 4


def test_the_example_is_read() -> None:
    grid = read_grid(example("sweep.toml"))
    assert len(grid.points) == 6
