"""Cells of a sweep: one run of one scenario, by a name that says all it depends on, and kept in a file of its own."""

from __future__ import annotations

import io
import json
import pickle
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cache, partial
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np

from sim import jit
from sim.about import __version__
from sim.data import data_root
from sim.delivery.simulate import WORTH_LOADING, simulate
from sim.errors import ClusterError
from sim.files import beside
from sim.formats.grid_file import Grid
from sim.policy.destinations import DestinationControls
from sim.scenario import Scenario
from sim.studies.replications import Plan, varied
from sim.world.population import Population
from sim.world.shapes import Sample

_PACKAGE = Path(__file__).resolve().parents[1]
#: Of the package, what cannot change a result.
_OUTSIDE = ("cli", "app")
_NAME_BYTES = 10
_METADATA = b"tlssim"


@dataclass(frozen=True, slots=True)
class Cell:
    """One run.

    Attributes
    ----------
    name : 20 hexadecimal digits of all that its result depends on; cells of the same name are the same run.
    point : place of its scenario in the grid.
    replication : number of the run among those of the point, from 1.
    plan : how replications are drawn.
    """

    name: str
    point: int
    replication: int
    plan: Plan


@cache
def program() -> str:
    """Return 16 hexadecimal digits of the sources, the shipped figures and the libraries that a result depends on."""
    digest = blake2b(digest_size=8)
    for package in ("numpy", "scipy"):
        digest.update(f"{package} {version(package)}\n".encode())
    for root, pattern in ((_PACKAGE, "**/*.py"), (data_root() / "populations", "*.csv")):
        for path in sorted(root.glob(pattern)):
            inside = path.relative_to(root)
            if inside.parts[0] not in _OUTSIDE:
                digest.update(f"{inside.as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def cells_of(grid: Grid) -> list[Cell]:
    """Return every run of a grid, point by point.

    Raises
    ------
    ScenarioError
        When a population cannot vary as the grid asks.
    """
    found = []
    for place, point in enumerate(grid.points):
        vary = varied(grid.vary, point.scenario.population)
        plan = Plan(replications=grid.replications, vary=vary, seed=grid.seed)
        asked = f"{program()} {fingerprint(point.scenario)} {vary.label} {grid.seed}"
        found += [
            Cell(blake2b(f"{asked} {n}".encode(), digest_size=_NAME_BYTES).hexdigest(), place, n + 1, plan)
            for n in range(plan.first)
        ]
    return found


def fingerprint(value: Any) -> str:
    """Return 32 hexadecimal digits of a scenario, or any part of one: the same in every process and on every machine.

    Raises
    ------
    TypeError
        For a part that has no spelling of its own, such as a distribution of scipy.
    """
    digest = blake2b(digest_size=16)
    stack = [value]
    while stack:
        part = stack.pop()
        spelt, inside = _spelt(part)
        digest.update(f"{len(spelt)}:".encode() + spelt + f"[{len(inside)}".encode())
        stack += inside
    return digest.hexdigest()


def _spelt(part: Any) -> tuple[bytes, list[Any]]:
    """Return what a part says by itself, and the parts inside it."""
    kind = type(part).__qualname__
    if isinstance(part, Enum):
        return f"{kind}.{part.name}".encode(), []
    if part is None or isinstance(part, bool | int | float | str):
        return f"{kind} {part!r}".encode(), []
    if isinstance(part, DestinationControls):
        return f"policy {part.hash}".encode(), []
    if isinstance(part, Population):
        told = f"population {part.hash} {part.seed} {part.evidence} {part.messages_are_counts}"
        return told.encode(), [part.drawn_by]
    if isinstance(part, np.ndarray):
        return f"{part.dtype} {part.shape}".encode() + np.ascontiguousarray(part).tobytes(), []
    if isinstance(part, MethodType):
        return part.__qualname__.encode(), []
    if hasattr(part, "to_csv"):
        return part.to_csv(index=False).encode(), []
    return kind.encode(), _inside(part, kind)


def _inside(part: Any, kind: str) -> list[Any]:
    if isinstance(part, Mapping):
        return [*sorted(part), *(part[key] for key in sorted(part))]
    if isinstance(part, list | tuple):
        return [*part]
    if isinstance(part, partial):
        return [part.func, *part.args, part.keywords]
    if isinstance(part, Sample):
        return [*vars(part).values()]
    if is_dataclass(part):
        return [getattr(part, field.name) for field in fields(part) if field.compare]
    raise TypeError(f"{kind} in a scenario has no spelling that is the same everywhere")


class _Packer(pickle.Pickler):
    """Leaves the population out of a scenario: most points of a grid have the same one."""

    def persistent_id(self, obj: Any) -> str | None:
        return "population" if isinstance(obj, Population) else None


class _Unpacker(pickle.Unpickler):
    def __init__(self, packed: bytes, population: Population | None) -> None:
        super().__init__(io.BytesIO(packed))
        self.population = population

    def persistent_load(self, pid: Any) -> Any:
        del pid
        return self.population


def pack(value: Scenario | Population) -> bytes:
    """Return a population, or a scenario without its own, as it travels to a worker."""
    if isinstance(value, Population):
        return zlib.compress(pickle.dumps(value), 1)
    buffer = io.BytesIO()
    _Packer(buffer).dump(value)
    return zlib.compress(buffer.getvalue(), 1)


def unpack(packed: bytes, population: Population | None = None) -> Any:
    """Return what was packed, a scenario with a population in its place."""
    return _Unpacker(zlib.decompress(packed), population).load()


#: Messages of the cells that this process has run.
_carried: list[int] = []


def _engine(engine: str) -> str:
    """Take the compiled engine for small cells too, once as much mail came as makes loading it worthwhile."""
    worth = engine == "auto" and jit.is_warm() and sum(_carried) >= WORTH_LOADING
    return "compiled" if worth else engine


def run_cell(scenario: Scenario, cell: Cell, engine: str, made_by: str) -> dict[str, Any]:
    """Run one cell and return its row: what was run, then the measures of all mail that are numbers.

    Parameters
    ----------
    scenario : of the point.
    cell : which run.
    engine : which engine runs it.
    made_by : `program` of whoever asks.

    Raises
    ------
    ClusterError
        When this process has another version of the program, whose result might be another.
    """
    if program() != made_by:
        raise ClusterError(
            "a worker has another version of tls-delivery-sim, numpy or scipy than this process; "
            "allowed: the same on every machine"
        )
    drawn, seed = cell.plan.replication(scenario, cell.replication - 1)
    result = simulate(drawn, seed, _engine(engine), threads=1)
    _carried.append(result.injected)
    meta = result.meta
    return {
        "cell": cell.name,
        "seed": seed,
        "population_seed": drawn.population.seed,
        **{name: meta[name] for name in ("population_hash", "policy_hash", "world_hash", "version")},
        **{name: value for name, value in result.totals().items() if not isinstance(value, str)},
        "end_s": meta["end_s"],
        "peak_connections": meta["peak_connections"],
    }


def columns(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return rows as an Arrow table: whole numbers, numbers, truth values or text, a column one of them."""
    import pyarrow as pa

    found = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        kinds = {type(value) for value in values}
        if kinds <= {int, float} and float in kinds:
            values, kind = [float(value) for value in values], pa.float64()
        elif len(kinds) == 1 and kinds <= {int, bool}:
            kind = pa.int64() if int in kinds else pa.bool_()
        else:
            values, kind = [value if isinstance(value, str) else json.dumps(value) for value in values], pa.string()
        found[name] = pa.array(values, kind)
    return pa.table(found)


def parquet(rows: Sequence[Mapping[str, Any]], note: Mapping[str, Any]) -> bytes:
    """Return rows as a Parquet file with a note beside them: the same rows give the same bytes."""
    import pyarrow.parquet as pq

    table = columns(rows).replace_schema_metadata({_METADATA: json.dumps(note, sort_keys=True).encode()})
    buffer = io.BytesIO()
    # Of a row of many columns most bytes would be statistics and dictionaries.
    pq.write_table(table, buffer, compression="zstd", use_dictionary=False, write_statistics=False, store_schema=False)
    return buffer.getvalue()


def write_cell(folder: Path, row: Mapping[str, Any]) -> Path:
    """Write the row of a cell to its file, whole or not at all.

    Raises
    ------
    OutputError
        When it cannot be written.
    """
    content = parquet([row], {"cell": row["cell"], "version": __version__})
    path = cell_file(folder, row["cell"])
    with beside(path) as scratch:
        scratch.write_bytes(content)
    return path


def read_cell(folder: Path, name: str) -> dict[str, Any] | None:
    """Return the row of a cell that is kept; None where there is none, or what is there is no whole one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        [row] = pq.read_table(cell_file(folder, name), partitioning=None).to_pylist()
    except (OSError, ValueError, pa.ArrowException):
        return None
    return row if row.get("cell") == name else None


def cell_file(folder: Path, name: str) -> Path:
    """Return the file of a cell."""
    return folder / f"{name}.parquet"
