"""Sweeps: a grid of scenarios with replications, over processes or machines; a run that is done is never lost."""

from __future__ import annotations

import csv
import io
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sim.about import __version__
from sim.delivery.simulate import check_number
from sim.errors import ClusterError, ScenarioError, SimError, complaint
from sim.files import output_folder, write_text, write_together
from sim.formats.grid_file import Grid, read_grid
from sim.results import findings
from sim.results.intervals import across
from sim.scenario import Scenario
from sim.studies import sweep_cells, sweep_cluster
from sim.studies.runs import RunsProgress
from sim.studies.sweep_cells import Cell
from sim.studies.sweep_cluster import Cluster, Done

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]

#: Folder of the cells in the folder of a sweep, and the file that says what ran where.
CELLS: Final = "cells"
REPORT: Final = "report.csv"
#: Columns of a run that say what was run; the others are measures.
_ORIGIN: Final = ("cell", "seed", "population_seed", "population_hash", "policy_hash", "world_hash", "version")
_REPORT_COLUMNS: Final = ("cell", "replication", "status", "worker", "host", "seconds", "workers_lost")
#: Scratch files older than this are of a sweep that was killed while it wrote.
_STALE_S = 600.0


def sweep(
    grid: str | os.PathLike[str] | Grid,
    *,
    out: str | os.PathLike[str],
    scheduler: str | None = None,
    workers: int | None = None,
    progress: RunsProgress | None = None,
) -> SweepResult:
    """Run every scenario of a grid, each several times, and keep every run in a file of its own.

    A sweep that was ended, however it was, goes on where it stopped when it is asked for again with the same folder,
    and ends with the same bytes. A run whose scenario, seed and program are unchanged is never made twice.

    Parameters
    ----------
    grid : a grid file (``docs/sweep.md``), or what `sim.formats.grid_file.read_grid` returns of one.
    out : the folder of the results, made where it is missing: ``cells/`` with a Parquet file for each run,
        ``sweep.parquet`` (one row a run), ``sweep.csv`` (one row a point of the grid, with intervals), ``meta.json``
        and ``report.csv`` (what ran where; the one that differs from time to time).
    scheduler : address of a Dask scheduler that runs; None = processes of this machine.
    workers : processes; None = the processors there are. Not beside ``scheduler``, which has its own.
    progress : called with (runs that are done or kept, runs in all).

    Raises
    ------
    SimError
        Of the class of the fault: when the grid is wrong, a package is missing (``pip install
        'tls-delivery-sim[cluster]'``), the folder cannot be written, the scheduler cannot be reached
        (`sim.errors.ClusterError`), or a run meets a limit that the model does not have. All other runs are made
        first, and kept.
    """
    sweep_cluster.check_packages()
    if scheduler is not None and workers is not None:
        raise ScenarioError(complaint("workers", workers, "not beside a scheduler, which has workers of its own"))
    check_number("workers", workers)
    asked = grid if isinstance(grid, Grid) else read_grid(grid)
    folder = output_folder(out)
    work = _Work(asked, sweep_cells.cells_of(asked), folder, _tell=progress)
    work.look()
    try:
        if work.missing:
            with _cluster(scheduler, workers, len(work.missing)) as cluster:
                work.run(cluster)
    finally:
        if work.rows:
            work.write_report()
    work.check_faults()
    result = work.result()
    write_together(folder, result.files())
    return result


def _cluster(scheduler: str | None, workers: int | None, most: int) -> AbstractContextManager[Cluster]:
    if scheduler is not None:
        return sweep_cluster.remote_cluster(scheduler)
    return sweep_cluster.local_cluster(workers, most)


@dataclass
class _Work:
    """What is done of a sweep and what is not."""

    grid: Grid
    cells: list[Cell]
    folder: Path
    _tell: RunsProgress | None = None
    rows: dict[str, Row] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    told: dict[str, Row] = field(default_factory=dict)
    faults: list[tuple[Cell, SimError]] = field(default_factory=list)
    missing: list[Cell] = field(default_factory=list)
    left_over: int = 0

    @property
    def home(self) -> Path:
        """Where the cells are."""
        return self.folder / CELLS

    def look(self) -> None:
        """Find the cells that are kept, and those to run: of equal cells the first."""
        by_name = {cell.name: cell for cell in reversed(self.cells)}
        there = {path.stem for path in self.home.glob("*.parquet")}
        self.left_over = len(there - set(by_name))
        for name in sorted(there & set(by_name)):
            row = sweep_cells.read_cell(self.home, name)
            if row is not None:
                self.rows[name] = row
        self.kept = set(self.rows)
        self.missing = [
            cell for cell in dict.fromkeys(by_name[cell.name] for cell in self.cells) if cell.name not in self.kept
        ]
        self.told = _read_report(self.folder / REPORT)
        for path in self.home.glob(".*.part.parquet"):
            if time.time() - path.stat().st_mtime > _STALE_S:
                path.unlink(missing_ok=True)
        self._progress()

    def run(self, cluster: Cluster) -> None:
        """Run what is missing, and write each cell when it is there."""
        for done in sweep_cluster.run(cluster, self.missing, _Submit(self.grid)):
            self._take(done)
            self._progress()

    def _take(self, done: Done[Cell]) -> None:
        found = done.answer.value
        if isinstance(found, ClusterError):
            raise found
        if isinstance(found, SimError):
            self.faults.append((done.job, found))
            return
        name = done.job.name
        output_folder(self.home)
        sweep_cells.write_cell(self.home, found)
        self.rows[name] = found
        self.told[name] = {
            "worker": done.answer.worker,
            "host": done.answer.host,
            "seconds": f"{done.answer.seconds:.3f}",
            "workers_lost": str(done.workers_lost),
        }

    def _progress(self) -> None:
        if self._tell is not None:
            faulty = {cell.name for cell, _ in self.faults}
            self._tell(sum(c.name in self.rows or c.name in faulty for c in self.cells), len(self.cells))

    def report(self) -> list[Row]:
        """Return what ran where, cell by cell; empty where an earlier sweep ended before it could say so."""
        found = []
        for cell in self.cells:
            status = "missing" if cell.name not in self.rows else "kept" if cell.name in self.kept else "run"
            told = self.told.get(cell.name, {}) if status != "missing" else {}
            row = {"cell": cell.name, **self.grid.points[cell.point].labels, "replication": cell.replication}
            found.append(row | {"status": status} | {name: told.get(name, "") for name in _REPORT_COLUMNS[3:]})
        return found

    def write_report(self) -> None:
        """Write what ran where."""
        rows = self.report()
        buffer = io.StringIO()
        table = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        write_text(self.folder / REPORT, buffer.getvalue())

    def check_faults(self) -> None:
        """Raise the faults that runs met, the first by its place in the grid; the others are its notes."""
        told = []
        for cell, fault in sorted(self.faults, key=lambda found: (found[0].point, found[0].replication)):
            at = ", ".join(f"{name} = {value}" for name, value in self.grid.points[cell.point].labels.items())
            told.append((type(fault), f"{self.grid.source}: {at}, replication {cell.replication}: {fault}"))
        if not told:
            return
        (kind, text), *others = told
        error = kind(text)
        for _, other in others:
            error.add_note(other)
        raise error

    def result(self) -> SweepResult:
        """Return the result of a sweep whose cells are all there."""
        rows = [
            self.grid.points[cell.point].labels | {"replication": cell.replication} | self.rows[cell.name]
            for cell in self.cells
        ]
        return SweepResult(
            grid=self.grid,
            rows=tuple(rows),
            folder=self.folder,
            meta=_described(self.grid, self.cells),
            reported=tuple(self.report()),
            left_over=self.left_over,
        )


def _described(grid: Grid, cells: Sequence[Cell]) -> Row:
    plan = cells[0].plan
    return {
        "axes": {axis.name: list(dict.fromkeys(p.labels[axis.name] for p in grid.points)) for axis in grid.axes},
        "points": len(grid.points),
        "replications": grid.replications,
        "seed": grid.seed,
        "vary": plan.vary.label,
        "policy_hashes": [point.scenario.policy.hash for point in grid.points],
        "population_hashes": [point.scenario.population.hash for point in grid.points],
        "version": __version__,
        "program": sweep_cells.program(),
    }


def _read_report(path: Path) -> dict[str, Row]:
    """Return what an earlier sweep said of its cells; nothing where there is no such file."""
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error):
        return {}
    return {row["cell"]: {name: row.get(name) or "" for name in _REPORT_COLUMNS[3:]} for row in rows if "cell" in row}


class _Submit:
    """Hands cells out; the scenario of a point, and its population, travel once, and stay while they are needed."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.populations: dict[str, Any] = {}
        self.points: dict[int, Any] = {}

    def __call__(self, client: Any, cell: Cell) -> Any:
        """Submit one cell."""
        if cell.point not in self.points:
            # Cells come point by point: Dask keeps what those before still need.
            self.points = {cell.point: self._point(client, self.grid.points[cell.point].scenario)}
        return client.submit(
            sweep_cluster.answer,
            run_or_fault,
            self.points[cell.point],
            cell,
            self.grid.engine,
            sweep_cells.program(),
            key=f"tlssim-{cell.name}-{self.grid.engine}",
            retries=sweep_cluster.RETRIES,
        )

    def _point(self, client: Any, scenario: Scenario) -> Any:
        of = sweep_cells.fingerprint(scenario.population)
        if of not in self.populations:
            packed = sweep_cells.pack(scenario.population)
            self.populations = {of: client.submit(sweep_cells.unpack, packed, key=f"tlssim-population-{of}")}
        key = f"tlssim-scenario-{sweep_cells.fingerprint(scenario)}"
        return client.submit(sweep_cells.unpack, sweep_cells.pack(scenario), self.populations[of], key=key)


def run_or_fault(scenario: Scenario, cell: Cell, engine: str, made_by: str) -> Row | SimError:
    """Run a cell; a fault of the user's is returned, since to try again would not mend it."""
    try:
        return sweep_cells.run_cell(scenario, cell, engine, made_by)
    except SimError as fault:
        return fault


@dataclass(frozen=True, eq=False)
class SweepResult:
    """What became of the mail at every point of a grid.

    Attributes
    ----------
    grid : what was asked.
    rows : one a run, point by point: values of the axes, what was run, measures.
    folder : where everything is kept.
    meta : seed, hashes, version.
    reported : what ran where.
    left_over : cells in the folder that this grid does not have: of another grid, or another version.
    """

    grid: Grid
    rows: tuple[Row, ...]
    folder: Path
    meta: Row
    reported: tuple[Row, ...]
    left_over: int

    def __repr__(self) -> str:
        return f"<SweepResult: {self.caption()}>"

    @property
    def axes(self) -> list[str]:
        """Names of what varies."""
        return [axis.name for axis in self.grid.axes]

    @property
    def kept(self) -> int:
        """Runs that were there already."""
        return sum(row["status"] == "kept" for row in self.reported)

    @property
    def measures(self) -> list[str]:
        """Names of the measures of a run."""
        beside = {*self.axes, "replication", *_ORIGIN}
        return [name for name in self.rows[0] if name not in beside]

    def frame(self) -> pd.DataFrame:
        """Return one row a run: values of the axes, replication, what was run (seeds, hashes), then the measures.

        The measures are those of `sim.results.result.Result.totals` that are numbers, and ``end_s`` (when the last
        message had its fate) and ``peak_connections``.
        """
        frame: pd.DataFrame = sweep_cells.columns(self.rows).to_pandas()
        return frame

    @cached_property
    def _summary(self) -> pd.DataFrame:
        import pandas as pd

        times = self.grid.replications
        found = []
        for place, point in enumerate(self.grid.points):
            runs = self.rows[place * times : (place + 1) * times]
            row: Row = dict(point.labels) | {"replications": times}
            for name in self.measures:
                clip = (0.0, 1.0) if name.endswith("_share") else (0.0, np.inf)
                of = across([run[name] for run in runs], clip=clip, vary=self.meta["vary"])
                row |= {name: float(of.mean), f"{name}_low": float(of.low), f"{name}_high": float(of.high)}
            found.append(row)
        return pd.DataFrame(found)

    def summary(self) -> pd.DataFrame:
        """Return one row a point: values of the axes, replications, and each measure as its mean, _low and _high.

        Means over the replications with their 95 % t-intervals; NaN where there is one replication. Delay percentiles
        are means of the runs' own.
        """
        return self._summary

    def report(self) -> pd.DataFrame:
        """Return what ran where, one row a run.

        Columns: cell, the axes, replication, status (``run``, or ``kept`` from an earlier sweep), worker, host,
        seconds, workers_lost (workers that died while they had it or were to have it next). Of a kept cell whose sweep
        was killed nobody knows where it ran.
        """
        import pandas as pd

        frame = pd.DataFrame(list(self.reported))
        for name in ("seconds", "workers_lost"):
            frame[name] = pd.to_numeric(frame[name])
        return frame

    def by_worker(self) -> pd.DataFrame:
        """Return worker, host, cells, seconds: what each worker did this time."""
        ran = self.report().query("status == 'run'").drop_duplicates("cell")
        grouped = ran.groupby(["worker", "host"], sort=True)["seconds"]
        return grouped.agg(cells="count", seconds="sum").reset_index()

    def same_worlds(self) -> int:
        """Return how many points have the very runs of another one before them: what varies there changes nothing."""
        times = self.grid.replications
        runs = [
            tuple((row["world_hash"], row["seed"]) for row in self.rows[place * times : (place + 1) * times])
            for place in range(len(self.grid.points))
        ]
        return len(runs) - len(set(runs))

    def caption(self) -> str:
        """Return what was run, how often, and what varied between the runs of a point."""
        points = findings.counted(len(self.grid.points), "point")
        told = findings.caption(n=self.grid.replications, vary=self.meta["vary"], seed=self.grid.seed)
        return f"{points} of the grid ({' x '.join(self.axes)}). {told}"

    def files(self) -> Mapping[str, str | bytes]:
        """Return the files that are the same however the sweep was run, by name."""
        summary = self.summary().to_csv(index=False, lineterminator="\n", float_format="%.10g")
        meta = json.dumps(self.meta, indent=2, sort_keys=True) + "\n"
        return {
            "sweep.parquet": sweep_cells.parquet(self.rows, self.meta),
            "sweep.csv": summary,
            "meta.json": meta,
        }
