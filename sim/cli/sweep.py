"""``tlssim sweep``: a grid of scenarios, each run several times, over processes or machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from sim.cli.modes import FATES, LEGEND, told
from sim.cli.options import json_option, number_option
from sim.cli.output import Output, progress
from sim.cli.text import Column, count, counted, rows_of, say, say_json, seconds, share, table, wrapped
from sim.errors import ScenarioError

if TYPE_CHECKING:
    from sim.studies.sweep import SweepResult

#: Those of `modes` but p99, for want of room.
_MEASURES = (
    *FATES[:-1],
    Column("peak_connections", "peak\nconn.", count),
)
_QUEUED = Column("queued_share", "queued\n%", share)
#: Points that are printed; all are in sweep.csv.
_MOST = 60


@click.command("sweep", short_help="A grid of scenarios, each run several times; killed, it goes on where it was.")
@click.argument("grid", metavar="GRID.toml")
@click.option("--out", metavar="DIR", help="Folder of the results, where every run that is done is kept.  [needed]")
@click.option("--scheduler", metavar="ADDRESS", help="A Dask scheduler that runs, such as tcp://192.0.2.1:8786.")
@number_option("--workers", 1, 1_024, "Processes of this machine.  [default: the processors there are]")
@json_option
def sweep_command(grid: str, out: str | None, scheduler: str | None, workers: int | None, as_json: bool) -> None:
    """Run every scenario of a grid, each several times, and keep each run in a file of its own.

    What varies is in the grid file: settings, limits, senders, any key of a scenario file. Ended at any time, however
    it was, the same command goes on from there and ends with the same bytes; runs that a changed grid still has are
    kept too. docs/sweep.md describes the file; data/examples/sweep.toml is one.

    \b
    tlssim sweep data/examples/sweep.toml --out out/sweep
    """  # noqa: D301
    if out is None:
        raise ScenarioError("--out is missing; allowed: a folder, where the runs that are done are kept")
    with Output(out):
        from sim.studies.sweep import sweep

        done = [0.0, 0.0]

        def show(finished: float, of: int) -> None:
            if not done[1]:
                line.start(finished / of)  # kept from another time
            done[:] = finished, of
            line.show(finished / of, f"{finished:.0f} of {of} runs")

        try:
            with progress() as line:
                result = sweep(grid, out=out, scheduler=scheduler, workers=workers, progress=show)
        except KeyboardInterrupt:
            if not done[0]:
                raise
            kept = f"{done[0]:.0f} of {done[1]:.0f} runs are kept in {out}"
            text = f"ended early; {kept}, and the same command goes on from there"
            raise click.Abort(text) from None
        written = sorted(result.folder / name for name in (*result.files(), "report.csv"))
        if as_json:
            say_json(
                {
                    "command": "sweep",
                    "caption": result.caption(),
                    "meta": result.meta,
                    "runs": {"all": len(result.rows), "kept": result.kept, "left_over": result.left_over},
                    "summary": result.summary(),
                    "workers": result.by_worker(),
                    "notes": _notes(result),
                    "written": [str(path) for path in written],
                }
            )
            return
        _tell(result)
        say(told(written, ""))


def _tell(result: SweepResult) -> None:
    say(wrapped(f"{result.grid.source}: {result.caption()}"))
    say()
    rows = rows_of(result.summary().head(_MOST))
    axes = [Column(f"axis {i}", _head(name)) for i, name in enumerate(result.axes)]
    shown = [row | {f"axis {i}": _value(row[name]) for i, name in enumerate(result.axes)} for row in rows]
    say(table(shown, (*axes, *_columns(rows))))
    if len(result.grid.points) > _MOST:
        say(f"{counted(len(result.grid.points) - _MOST, 'more point')}: sweep.csv.")
    say()
    legend = LEGEND.replace("p50, p95, p99", "p50, p95")
    say(wrapped(f"{legend} peak conn.: most connections at once. Means over the runs; intervals are in sweep.csv."))
    for note in _notes(result):
        say(wrapped(note))


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Return the columns of the table: mail is queued only where a run ends early."""
    queued = any((row["queued_share"] or 0.0) > 0 for row in rows)
    return [*_MEASURES[:4], *([_QUEUED] if queued else []), *_MEASURES[4:]]


def _head(name: str) -> str:
    """Break the name of an axis at its section, so that its column is narrow."""
    return name.replace("max_", "max_\n", 1) if name.startswith("max_") else ".\n".join(name.rsplit(".", 1))


def _value(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _notes(result: SweepResult) -> list[str]:
    ran = len(result.rows) - result.kept
    texts = [f"{counted(len(result.rows), 'run')}: {result.kept} kept from before, {ran} made now."]
    if result.left_over:
        texts.append(
            f"{counted(result.left_over, 'run')} in the folder {'is' if result.left_over == 1 else 'are'} not of this "
            "grid or of another version of the program; nothing was done with them."
        )
    workers = rows_of(result.by_worker())
    if workers:
        hosts = {row["host"] for row in workers}
        lost = int(result.report().query("status == 'run'")["workers_lost"].sum())
        again = f" {counted(lost, 'time')} a worker was lost and its run made again." if lost else ""
        spent = sum(row["seconds"] for row in workers)
        texts.append(
            f"{counted(len(workers), 'worker')} on {counted(len(hosts), 'machine')} took {seconds(spent)} s in all; "
            f"report.csv says what ran where.{again}"
        )
    if same := result.same_worlds():
        texts.append(
            f"{counted(same, 'point')} {'is' if same == 1 else 'are'} the very same as another one, run for run: what "
            "differs there has no effect, such as a limit of the gateway beside another sender."
        )
    return texts
