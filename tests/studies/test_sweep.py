"""Sweeps: the same bytes whatever dies, and no run made twice."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest

import sim
from sim.data import data_root
from sim.delivery.simulate import simulate
from sim.errors import ClusterError, ScenarioError, WorkloadError
from sim.formats.grid_file import parse_grid, read_grid
from sim.scenario import Scenario
from sim.studies import sweep_cells, sweep_cluster
from sim.studies.replications import Plan
from sim.studies.sweep import SweepResult, sweep
from sim.world.population import Population
from sim.world.workload import Workload
from tests.repository.tree import ROOT

GRID = """
replications = 2
[scenario.population]
domains = 20
[scenario.workload]
messages = 200
[grid]
setting = ["preferred", "required"]
max_host_concurrency = [1, 20]
"""
SAME = ("sweep.parquet", "sweep.csv", "meta.json")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


def bytes_of(folder: Path) -> dict[str, bytes]:
    cells = {f"cells/{path.name}": path.read_bytes() for path in (folder / "cells").iterdir()}
    return cells | {name: (folder / name).read_bytes() for name in SAME}


def times_of(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    told: list[tuple[float, int]] = []
    result = sweep(
        parse_grid(GRID), out=tmp_path_factory.mktemp("sweep"), workers=2, progress=lambda *of: told.append(of)
    )
    assert told == [(number, 8) for number in range(9)]
    return result


def test_a_run_is_the_one_that_simulate_makes(done: SweepResult) -> None:
    frame = done.frame()
    assert list(frame.columns[:3]) == ["setting", "max_host_concurrency", "replication"]
    row = frame.query("setting == 'Required' and max_host_concurrency == 20 and replication == 2").iloc[0]
    scenario, seed = Plan(replications=2).replication(done.grid.points[3].scenario, 1)
    run = simulate(scenario, seed)
    assert {name: row[name] for name in ("world_hash", "policy_hash", "population_hash", "seed")} == {
        name: run.meta[name] for name in ("world_hash", "policy_hash", "population_hash", "seed")
    }
    for name in ("messages", "in_clear_share", "bounced_share", "delay_p95_s", "connections"):
        assert row[name] == run.totals()[name]
    assert row["peak_connections"] == run.meta["peak_connections"]


def test_the_summary_has_means_and_their_intervals(done: SweepResult) -> None:
    summary, frame = done.summary(), done.frame()
    assert len(summary) == 4
    runs = frame[(frame["setting"] == "Preferred") & (frame["max_host_concurrency"] == 1)]["encrypted_share"]
    row = summary.iloc[0]
    assert row["encrypted_share"] == pytest.approx(runs.mean())
    assert row["encrypted_share_low"] <= row["encrypted_share"] <= row["encrypted_share_high"]
    csv = pd.read_csv(done.folder / "sweep.csv")
    assert np.allclose(csv["delay_mean_s"], summary["delay_mean_s"])
    pd.testing.assert_frame_equal(pd.read_parquet(done.folder / "sweep.parquet"), frame)


def test_the_report_says_what_ran_where(done: SweepResult) -> None:
    report = done.report()
    assert set(report["status"]) == {"run"}
    assert set(report["worker"]) <= {"local-1", "local-2"}
    assert (report["seconds"] > 0).all()
    assert done.by_worker()["cells"].sum() == 8


def test_asked_again_nothing_runs_and_nothing_changes(done: SweepResult, monkeypatch: pytest.MonkeyPatch) -> None:
    before, times = bytes_of(done.folder), times_of(done.folder)
    monkeypatch.setattr(sweep_cluster, "local_cluster", None)
    again = sweep(parse_grid(GRID), out=done.folder)
    assert again.kept == 8
    assert times_of(done.folder) == times
    assert bytes_of(done.folder) == before
    assert set(again.report()["worker"]) == set(done.report()["worker"])


@pytest.mark.slow
def test_a_changed_grid_keeps_the_cells_it_still_has(done: SweepResult, tmp_path: Path) -> None:
    """Of one folder: cells lost, one broken, an axis with another value; what one point may not have stops no other."""
    cells = tmp_path / "cells"
    cells.mkdir()
    for path in (done.folder / "cells").iterdir():
        (cells / path.name).write_bytes(path.read_bytes())
    first, broken = sorted(cells.iterdir())[:2]
    first.unlink()
    broken.write_bytes(broken.read_bytes()[:100])
    times = times_of(tmp_path)
    wrong = GRID.replace("[1, 20]", "[1, 20]\nworkload.messages = [1e12, 200]")
    with pytest.raises(WorkloadError, match=r"<text>: setting = .*, workload\.messages = .*, replication 1: ") as met:
        sweep(parse_grid(wrong), out=tmp_path, workers=1)
    assert len(met.value.__notes__) == 7
    after = times_of(tmp_path)
    assert len(after) == 8
    assert {name for name in times if after[name] == times[name]} == set(times) - {broken.name}
    another = sweep(parse_grid(GRID.replace('"required"]', '"required"]\nsender = ["esa"]')), out=tmp_path)
    assert another.kept == 8
    fewer = sweep(parse_grid(GRID.replace("[1, 20]", "[20]")), out=tmp_path)
    assert (fewer.kept, len(fewer.rows), fewer.left_over) == (4, 4, 4)
    assert sweep(parse_grid(GRID), out=tmp_path).left_over == 0
    assert bytes_of(tmp_path) == bytes_of(done.folder)


def test_a_cell_is_named_after_all_that_it_depends_on() -> None:
    scenario = Scenario(
        population=Population.preset("2020s-web", domains=5), workload=Workload(messages_per_day=10, size_bytes=1_000)
    )
    own = sweep_cells.fingerprint(scenario)
    assert own == sweep_cells.fingerprint(replace(scenario))
    assert own == sweep_cells.fingerprint(sweep_cells.unpack(sweep_cells.pack(scenario), scenario.population))
    people = scenario.population
    others = [
        replace(scenario, days=2.0),
        replace(scenario, sender="postfix"),
        replace(scenario, population=people.redrawn(2)),
        replace(scenario, population=Population.preset("alexa-2015", domains=5)),
        replace(scenario, workload=Workload(messages_per_day=10, size_bytes=1_001)),
        replace(scenario, workload=Workload(messages_per_day=11, size_bytes=1_000)),
        replace(scenario, delivery=replace(scenario.delivery, idle_timeout_s=4.0)),
    ]
    assert len({own, *map(sweep_cells.fingerprint, others)}) == 8
    names = [sweep_cells.cells_of(parse_grid(text)) for text in (GRID, GRID.replace("= 2\n", "= 3\n"))]
    assert {cell.name for cell in names[0]} < {cell.name for cell in names[1]}
    seeded = sweep_cells.cells_of(parse_grid(f"seed = 5\n{GRID}"))
    assert not {cell.name for cell in seeded} & {cell.name for cell in names[0]}


def test_points_that_come_to_the_same_runs_are_counted(done: SweepResult) -> None:
    assert done.same_worlds() == 0
    row = {"world_hash": "a", "seed": 1}
    twice = SweepResult(done.grid, (row,) * 8, done.folder, done.meta, done.reported, 0)
    assert twice.same_worlds() == 3


@dataclass(frozen=True)
class Task:
    name: str


def die_once(folder: str, name: str) -> str:
    """Kill the own process the first time."""
    if name == "2":
        mark = Path(folder) / "died"
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return name


def die(folder: str, name: str) -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return folder + name


@pytest.fixture
def by_value() -> Iterator[None]:
    """Let functions of this file travel to workers that do not import it."""
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


def submit(work: Any, folder: Path) -> Any:
    return lambda client, task: client.submit(sweep_cluster.answer, work, str(folder), task.name, key=f"t-{task.name}")


@pytest.mark.slow
@pytest.mark.usefixtures("by_value")
def test_a_worker_that_dies_is_replaced_and_its_job_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_cluster, "RETRIES", 1)
    tasks = [Task(str(number)) for number in range(6)]
    with sweep_cluster.local_cluster(1, 6) as cluster:
        found = list(sweep_cluster.run(cluster, tasks, submit(die_once, tmp_path)))
        assert {done.answer.value for done in found} == {task.name for task in tasks}
        assert {done.job.name: done.workers_lost for done in found}["2"] == 1
        assert cluster.started == 2
        assert "local-2" in {done.answer.worker for done in found}
        with pytest.raises(ClusterError, match=r"^x: 2 workers were lost one after another while they had it"):
            list(sweep_cluster.run(cluster, [Task("x")], submit(die, tmp_path)))
        assert cluster.started == 3


@pytest.mark.slow
def test_a_scheduler_that_runs_is_used(done: SweepResult, tmp_path: Path) -> None:
    where = tmp_path / "scheduler.json"
    common = ["--no-dashboard", "--scheduler-file", str(where)]
    commands = (
        ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *common],
        ["distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", "--name", "far", *common],
    )
    running = []
    try:
        for module, *options in commands:
            command = [sys.executable, "-m", module, *options]
            running.append(
                subprocess.Popen(
                    command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            )
            for _ in range(600):
                if where.exists():
                    break
                time.sleep(0.05)
        found = re.search(r'"address": "([^"]+)"', where.read_text())
        assert found is not None
        result = sweep(parse_grid(GRID), out=tmp_path / "out", scheduler=found[1])
    finally:
        for process in reversed(running):
            process.kill()
            process.wait()
    assert set(result.report()["worker"]) == {"far"}
    assert bytes_of(tmp_path / "out") == bytes_of(done.folder)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (
            ModuleNotFoundError("No module named 'sim'", name="sim"),
            "a worker cannot import sim; allowed: tls-delivery-s",
        ),
        (OSError("closed"), "the connection to the scheduler was lost; runs that are done are kept"),
        (CancelledError(), "the connection to the scheduler was lost; runs that are done are kept"),
        (asyncio.CancelledError(), "the connection to the scheduler was lost; runs that are done are kept"),
    ],
)
def test_what_befalls_a_cluster_is_one_line(fault: BaseException, told: str) -> None:
    with pytest.raises(ClusterError, match=f"^{re.escape(told)}"), sweep_cluster.faults_told("a"):
        raise fault


def test_a_worker_of_another_version_is_refused() -> None:
    [cell, *_] = sweep_cells.cells_of(parse_grid(GRID))
    with pytest.raises(ClusterError, match="a worker has another version of tls-delivery-sim"):
        sweep_cells.run_cell(parse_grid(GRID).points[0].scenario, cell, "auto", "0" * 16)


@pytest.mark.parametrize("package", ["distributed", "pyarrow"])
def test_a_missing_package_is_told_with_its_extra(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_cluster, "_is_there", lambda name: name != package)
    extra = {"distributed": "cluster", "pyarrow": "store"}[package]
    told = rf"^a sweep needs the package {package}, .*; allowed: pip install 'tls-delivery-sim\[{extra}\]'$"
    with pytest.raises(ClusterError, match=told):
        sweep(parse_grid(GRID), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_somebody_who_listens_and_never_answers_is_no_scheduler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_cluster, "_CONNECT_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ClusterError, match=rf"^scheduler = '{address}'; allowed: the address of a Dask scheduler"):
            sweep(parse_grid(GRID), out=tmp_path, scheduler=address)


def test_workers_are_not_beside_a_scheduler(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"^workers = 2; allowed: not beside a scheduler"):
        sweep(parse_grid(GRID), out=tmp_path, scheduler="tcp://127.0.0.1:9", workers=2)


@pytest.mark.parametrize("address", ["", "nonsense", "foo://a:1", "tcp://a"])
def test_what_is_no_address_is_told(address: str, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=rf"^scheduler = '{address}'; allowed: the address of a Dask scheduler"):
        sweep(parse_grid(GRID), out=tmp_path, scheduler=address)


@pytest.mark.slow
def test_a_script_without_a_guard_killed_half_way_goes_on_where_it_was(done: SweepResult, tmp_path: Path) -> None:
    grid = tmp_path / "grid.toml"
    grid.write_text(GRID)
    script = tmp_path / "script.py"
    script.write_text(f"import sim\nprint('begun', flush=True)\nsim.sweep({str(grid)!r}, out='out', workers=1)\n")
    cells = tmp_path / "out" / "cells"
    command = [sys.executable, str(script)]
    with subprocess.Popen(
        command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        for _ in range(3_000):
            if [*cells.glob("[!.]*")]:
                break
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGKILL)
        told, _ = running.communicate(timeout=30)
    assert told == "begun\n"
    before = {name: at for name, at in times_of(tmp_path / "out").items() if not name.startswith(".")}
    assert 1 <= len(before) < 8
    assert not (tmp_path / "out" / "sweep.csv").exists()
    for scratch in cells.glob(".*"):
        os.utime(scratch, (0, 0))
    result = sim.sweep(grid, out=tmp_path / "out", workers=1)
    after = times_of(tmp_path / "out")
    assert {name for name in before if after[name] == before[name]} == set(before)
    assert result.kept == len(before)
    assert bytes_of(tmp_path / "out") == bytes_of(done.folder)


def test_scratch_files_of_a_sweep_that_was_killed_go_when_they_are_old(done: SweepResult) -> None:
    new, old = (done.folder / "cells" / f".{name}.part.parquet" for name in ("new", "old"))
    for path in (new, old):
        path.touch()
    os.utime(old, (0, 0))
    sweep(parse_grid(GRID), out=done.folder)
    assert (new.exists(), old.exists()) == (True, False)
    new.unlink()


def test_the_example_is_small() -> None:
    grid = read_grid(data_root() / "examples" / "sweep.toml")
    assert len(grid.points) * grid.replications <= 20
