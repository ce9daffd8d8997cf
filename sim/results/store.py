"""Rows kept as Parquet: written while a run goes on, in bounded memory, and read back when asked.

A folder of records holds ``messages.parquet`` and ``connections.parquet``, whose rows are those of
`sim.results.records`, sorted by destination and ordinal, and the names of their codes: ``destinations.parquet`` and
``routes.parquet``. The same run gives the same bytes, whatever the order in which an engine emits its rows.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sim import jit
from sim.errors import OutputError, ScenarioError, complaint
from sim.files import output_folder
from sim.results.labels import Labels
from sim.results.records import CONNECTION_COLUMNS, MESSAGE_COLUMNS, Rows
from sim.results.result import Result
from sim.results.sinks import CountSink, RecordSink
from sim.results.spill import Spill
from sim.terms import Bounce, Fate, Outcome, Reason, Term

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows of a row group, and of what is sorted at once.
GROUP_ROWS = 1 << 20

MESSAGES, CONNECTIONS, DESTINATIONS, ROUTES = FILES = (
    "messages.parquet", "connections.parquet", "destinations.parquet", "routes.parquet",
)  # fmt: skip

_FORMAT = 1
_KEY = b"tlssim"
_COLUMNS = {MESSAGES: MESSAGE_COLUMNS, CONNECTIONS: CONNECTION_COLUMNS}
_TERMS: dict[str, type[Term]] = {"fate": Fate, "bounce": Bounce, "reason": Reason, "outcome": Outcome}
_FLAGS = ("deferred", "exposed")
#: Small counts that repeat: a dictionary of their values is shorter than their differences.
_REPEATED = ("recipients", "verdicts", "retries", "deferral_events", "messages")
#: What a file says of its run: all that the engine, its threads and the machine cannot change.
_META = (
    "version", "sender", "seed", "days", "until_s", "end_s", "peak_connections", "ceiling_reached",
    "world_hash", "policy_hash", "population", "population_seed", "population_hash", "weighting", "timeline",
)  # fmt: skip


class ParquetSink:
    """Write every row to a folder as Parquet, and count them too. Memory does not grow with the messages.

    Rows go to scratch files as they come; `finish` merges them. Nothing has its name before all of it is written: a run
    that fails leaves nothing, one that is killed a folder ``.records.*.part``.

    Parameters
    ----------
    labels : names of the codes.
    folder : where the files go; made where it is missing. Files of an earlier run are replaced.
    compiled : as of `CountSink`.
    group_rows : rows of a row group, and of what is sorted at once.

    Attributes
    ----------
    counts : the `CountSink` fed with the same rows.

    Raises
    ------
    OutputError
        When the folder cannot be written, or pyarrow is not installed.
    """

    def __init__(
        self, labels: Labels, folder: str | os.PathLike[str], compiled: bool = False, group_rows: int = GROUP_ROWS
    ) -> None:
        _parquet()
        self.labels = labels
        self.counts = CountSink(labels, compiled)
        self.folder = Path(folder)
        self._made = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
        output_folder(self.folder)
        self._run: dict[str, Any] = {}
        self._scratch = self.folder / f".records.{secrets.token_hex(6)}.part"
        self._group_rows = group_rows
        with self._told():
            self._scratch.mkdir()
        self._spills = self._new_spills()

    def _new_spills(self) -> dict[str, Spill]:
        return {name: Spill(len(of), self._scratch, name, self._group_rows) for name, of in _COLUMNS.items()}

    def clear(self) -> None:
        """Forget all rows."""
        self.counts.clear()
        for spill in self._spills.values():
            spill.close()
        self._spills = self._new_spills()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abandon()

    def messages(self, rows: Rows) -> None:
        """Keep and count message rows; errors as in `CountSink.messages`, and an `OutputError` for a full disk."""
        self.counts.messages(rows)
        with self._told():
            self._spills[MESSAGES].add(rows)

    def connections(self, rows: Rows) -> None:
        """Keep and count connection rows; errors as in `messages`."""
        self.counts.connections(rows)
        with self._told():
            self._spills[CONNECTIONS].add(rows)

    def finish(self, meta: Mapping[str, Any]) -> list[Path]:
        """Write the files from all rows that came, give them their names, and return their paths.

        Parameters
        ----------
        meta : what was run. Kept are the world's hash, the seed, the version and others that no engine changes.

        Raises
        ------
        OutputError
            When a file cannot be written: what stood there before still does.
        """
        run = {name: meta[name] for name in _META if name in meta}
        with self._told():
            for name, spill in self._spills.items():
                _write_rows(self._scratch / name, spill.parts(), self._group_rows, run)
            _write_labels(self._scratch, self.labels, run)
            for name in FILES:
                (self._scratch / name).replace(self.folder / name)
        self._run = json.loads(json.dumps(run, default=str))
        self._made = []
        self.abandon()
        return [self.folder / name for name in FILES]

    def abandon(self) -> None:
        """Remove all scratch files, and the folder where it was made for them."""
        for spill in self._spills.values():
            spill.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:
                return

    def message_columns(self, names: Sequence[str]) -> dict[str, Rows]:
        """Return columns of all message rows; only after `finish`."""
        return self._stored.message_columns(names)

    def connection_columns(self, names: Sequence[str]) -> dict[str, Rows]:
        """Return columns of all connection rows; only after `finish`."""
        return self._stored.connection_columns(names)

    @cached_property
    def _stored(self) -> StoredRecords:
        stored = StoredRecords(self.folder)
        if stored.meta != self._run:
            why = "the files of this run, and they are of another one by now"
            raise ScenarioError(complaint("records", str(self.folder), why))
        return stored

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as fault:
            why = (fault.strerror or str(fault)).lower()
            allowed = f"a folder that can be written ({why})"
            raise OutputError(complaint("records", str(self.folder), allowed)) from fault


#: What a damaged file makes of pyarrow, and of us.
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, IndexError, NotImplementedError)


class StoredRecords:
    """A folder of records that was written by a `ParquetSink`; rows are read when they are asked for.

    Parameters
    ----------
    folder : where the files are.

    Raises
    ------
    ScenarioError
        When a file is missing, damaged, or not of the same run as the others.
    OutputError
        When pyarrow is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        _parquet()
        facts = {name: self._facts(name) for name in FILES}
        self.meta: dict[str, Any] = facts[MESSAGES]["run"]
        other = next((name for name in FILES if facts[name]["run"] != self.meta), None)
        if other is not None:
            raise ScenarioError(complaint("records", str(self.folder), f"files of one run; {other} is of another one"))
        self._names = facts[DESTINATIONS]["names"]

    @cached_property
    def labels(self) -> Labels:
        """The names of the codes."""
        with self._told(DESTINATIONS):
            return self._labels()

    def _labels(self) -> Labels:
        known, routes = self._read(DESTINATIONS), self._read(ROUTES)
        host = routes["host"].to_numpy()
        hosts = np.empty(int(host.max(initial=-1)) + 1, dtype=object)
        hosts[host] = routes["mx_host"].to_pylist()
        return Labels(
            domains=tuple(known["domain"].to_pylist()),
            providers=tuple(known["provider"].to_pylist()),
            entry_of=known["entry_code"].to_numpy(),
            setting_of=known["setting_code"].to_numpy(),
            hosts=tuple(hosts.tolist()),
            route_host=host[: len(host) - routes["route"].null_count],
            entries=tuple(self._names["entries"]),
            setting_names=tuple(self._names["settings"]),
            entry_settings=None if self._names["entry_settings"] is None else np.array(self._names["entry_settings"]),
        )

    @cached_property
    def counts(self) -> CountSink:
        """The counts of all rows, made by reading them once."""
        counts = CountSink(self.labels, compiled=jit.is_warm())
        for name, count in ((MESSAGES, counts.messages), (CONNECTIONS, counts.connections)):
            for columns in self._groups(name, _COLUMNS[name]):
                with self._told(name):
                    count(np.column_stack(list(columns.values())))
        return counts

    def message_columns(self, names: Sequence[str]) -> dict[str, Rows]:
        """Return columns of all message rows, sorted by destination and ordinal."""
        return self._columns(MESSAGES, names)

    def connection_columns(self, names: Sequence[str]) -> dict[str, Rows]:
        """Return columns of all connection rows, sorted by destination and ordinal."""
        return self._columns(CONNECTIONS, names)

    def _columns(self, name: str, wanted: Sequence[str]) -> dict[str, Rows]:
        with self._told(name):
            rows = _parquet().read_metadata(self.folder / name).num_rows
        found = {column: np.empty(rows, dtype=np.int64) for column in wanted}
        at = 0
        for columns in self._groups(name, wanted) if wanted else ():
            size = len(next(iter(columns.values())))
            for column, values in columns.items():
                found[column][at : at + size] = values
            at += size
        return found

    def _groups(self, name: str, wanted: Sequence[str]) -> Iterator[dict[str, Rows]]:
        with self._told(name), self._open(name) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=list(wanted))
                yield {column: _codes(column, table[column].combine_chunks()) for column in wanted}

    def _open(self, name: str) -> Any:
        return _parquet().ParquetFile(self.folder / name, page_checksum_verification=True)

    def _read(self, name: str) -> pa.Table:
        with self._told(name), self._open(name) as file:
            return file.read()

    def _facts(self, name: str) -> dict[str, Any]:
        with self._told(name):
            said = (_parquet().read_schema(self.folder / name).metadata or {}).get(_KEY)
            facts: dict[str, Any] = {} if said is None else json.loads(said)
        if facts.get("format") != _FORMAT:
            why = f"records of format {_FORMAT}; {name} was not written by this program, or by another version of it"
            raise ScenarioError(complaint("records", str(self.folder), why))
        return facts

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            why = f"a folder of records, and {name} is missing"
            raise ScenarioError(complaint("records", str(self.folder), why)) from None
        except _UNREADABLE as fault:
            why = f"files that can be read; {name}: {str(fault).partition(chr(10))[0]}"
            raise ScenarioError(complaint("records", str(self.folder), why)) from fault


def read_records(folder: str | os.PathLike[str]) -> Result:
    """Return the result of a run whose records were kept as Parquet: ``sim.simulate(..., records=folder)``.

    Rows are read when they are asked for; tables and charts need all of them to be counted once.

    Parameters
    ----------
    folder : where they were written to.

    Raises
    ------
    ScenarioError
        When a file is missing, damaged, or not of the same run as the others.
    OutputError
        When pyarrow is not installed.
    """
    stored = StoredRecords(folder)
    return Result(stored.labels, stored, stored.meta)


@contextmanager
def kept(
    records: bool | str | os.PathLike[str], labels: Labels, meta: Mapping[str, Any], compiled: bool = False
) -> Iterator[CountSink | RecordSink | ParquetSink]:
    """Yield the sink for what a run shall keep; when the block ends well, files are written and have their names.

    Parameters
    ----------
    records : False for counts alone, True for every row in memory, or a folder for every row as Parquet.
    labels : names of the codes.
    meta : what was run, as it is when the block ends.
    compiled : as of `CountSink`.

    Raises
    ------
    ScenarioError
        When ``records`` is anything else.
    OutputError
        When the folder cannot be written, or pyarrow is not installed.
    """
    if isinstance(records, bool):
        yield RecordSink(labels, compiled) if records else CountSink(labels, compiled)
        return
    with ParquetSink(labels, _folder(records), compiled) as sink:
        yield sink
        sink.finish(meta)


def _folder(records: object) -> str | os.PathLike[str]:
    if not isinstance(records, str | os.PathLike) or not os.fspath(records):
        raise ScenarioError(complaint("records", records, "True, False, or the path of a folder for Parquet files"))
    return records


def _write_rows(path: Path, parts: Iterable[Rows], group_rows: int, run: Mapping[str, Any]) -> None:
    import pyarrow as pa

    names = _COLUMNS[path.name]
    dictionaries = [name for name in names if name in _TERMS or name in _REPEATED]
    differences = {n: "DELTA_BINARY_PACKED" for n in names if n not in dictionaries and n not in _FLAGS}
    schema = pa.schema([(name, _type(name)) for name in names], metadata=_metadata(path.name, run))
    with _parquet().ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=dictionaries,
        column_encoding=differences,
        write_page_checksum=True,
    ) as writer:
        for rows in _groups_of(parts, group_rows, len(names)):
            arrays = [_array(name, np.ascontiguousarray(rows[:, i])) for i, name in enumerate(names)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=group_rows)


def _groups_of(parts: Iterable[Rows], group_rows: int, width: int) -> Iterator[Rows]:
    """Yield the rows of all parts in groups of the same size, the last one aside; each is overwritten by the next."""
    group = np.empty((group_rows, width), dtype=np.int64)
    filled = 0
    for part in parts:
        while len(part):
            taken = part[: group_rows - filled]
            group[filled : filled + len(taken)] = taken
            filled += len(taken)
            part = part[len(taken) :]
            if filled == group_rows:
                yield group
                filled = 0
    if filled:
        yield group[:filled]


def _write_labels(folder: Path, labels: Labels, run: Mapping[str, Any]) -> None:
    import pyarrow as pa

    def write(name: str, columns: dict[str, pa.Array], **more: Any) -> None:
        table = pa.table(columns).replace_schema_metadata(_metadata(name, run, **more))
        _parquet().write_table(
            table, folder / name, compression="zstd", row_group_size=GROUP_ROWS, write_page_checksum=True
        )

    def named(codes: Rows, names: Sequence[str]) -> pa.Array:
        return pa.array(names, pa.string()).take(pa.array(codes))

    write(
        DESTINATIONS,
        {
            "destination": pa.array(np.arange(len(labels.domains))),
            "domain": pa.array(labels.domains, pa.string()),
            "provider": pa.array(labels.providers, pa.string()),
            "entry": named(labels.entry_of, labels.entries),
            "setting": named(labels.setting_of, labels.setting_names),
            "entry_code": pa.array(labels.entry_of),
            "setting_code": pa.array(labels.setting_of),
        },
        names={
            "entries": list(labels.entries),
            "settings": list(labels.setting_names),
            "entry_settings": None if labels.entry_settings is None else labels.entry_settings.tolist(),
        },
    )
    idle = np.setdiff1d(np.arange(len(labels.hosts)), labels.route_host)
    host = np.concatenate([labels.route_host, idle])
    route = pa.array([*range(len(labels.route_host)), *[None] * len(idle)], pa.int64())
    write(ROUTES, {"route": route, "mx_host": named(host, labels.hosts), "host": pa.array(host)})


def _metadata(name: str, run: Mapping[str, Any], **more: Any) -> dict[bytes, bytes]:
    units = {c: unit for c in _COLUMNS.get(name, ()) for end, unit in _UNITS.items() if c.endswith(end)}
    facts = {"format": _FORMAT, "table": name.removesuffix(".parquet"), "units": units, "run": run, **more}
    return {_KEY: json.dumps(facts, sort_keys=True, default=str).encode()}


_UNITS = {"_us": "microseconds from the start of the run, -1: never", "_bytes": "bytes"}


def _type(name: str) -> pa.DataType:
    import pyarrow as pa

    if name in _TERMS:
        return pa.dictionary(pa.int8(), pa.string())
    return pa.bool_() if name in _FLAGS else pa.int64()


def _array(name: str, values: Rows) -> pa.Array:
    import pyarrow as pa

    if name in _TERMS:
        labels = pa.array([member.label for member in _TERMS[name]], pa.string())
        return pa.DictionaryArray.from_arrays(pa.array(values.astype(np.int8)), labels)
    return pa.array(values.astype(bool) if name in _FLAGS else values)


def _codes(name: str, values: pa.Array) -> Rows:
    if name in _TERMS:
        code = {member.label: int(member) for member in _TERMS[name]}
        of = np.array([code[label] for label in values.dictionary.to_pylist()], dtype=np.int64)
        found: Rows = of[values.indices.to_numpy()]
        return found
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.int64)


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as fault:
        needed = "Parquet needs pyarrow, which is not installed; install the extra store: tls-delivery-sim[store]"
        raise OutputError(needed) from fault
    return pyarrow.parquet
