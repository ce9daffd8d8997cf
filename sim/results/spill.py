"""Sort more rows than fit into memory: full buffers go sorted to scratch files, which are merged part by part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.results.records import Rows, sorted_rows

Ints = NDArray[np.int64]

#: Samples of a full run. With them no part is much longer than half a run, for up to 64 runs; for more it grows slowly.
_SAMPLES = 256
_ALIGNED = 8
_TYPES = (np.int8, np.int16, np.int32, np.int64)


class _Run(NamedTuple):
    """Sorted rows: columns (n,), each of the narrowest type, in memory or in a mapped file; and every n-th key."""

    columns: Sequence[NDArray[np.signedinteger]]
    sample: Ints

    def cuts(self, keys: Ints) -> list[int]:
        """Return the rows before each (destination, ordinal) of `keys` (k, 2)."""
        destination, ordinal = (np.asarray(self.columns[i], dtype=np.int64) for i in (0, 1))
        first = np.searchsorted(destination, keys[:, 0], side="left").tolist()
        end = np.searchsorted(destination, keys[:, 0], side="right").tolist()
        return [
            low + int(np.searchsorted(ordinal[low:high], key))
            for low, high, key in zip(first, end, keys[:, 1], strict=True)
        ]


class Spill:
    """Rows come in any order and batches, and go out sorted by `sorted_rows`, in memory of a few runs.

    Parameters
    ----------
    width : columns of a row.
    folder : where scratch files go; whoever made it removes it.
    name : what their names begin with.
    run_rows : rows of a run.
    """

    def __init__(self, width: int, folder: Path, name: str, run_rows: int) -> None:
        self._folder, self._name = folder, name
        self._buffer = np.empty((run_rows, width), dtype=np.int64)
        self._filled = 0
        self._runs: list[_Run] = []
        self.rows = 0

    def add(self, rows: Rows) -> None:
        """Take rows (n, width); they are copied."""
        self.rows += len(rows)
        while len(rows):
            taken = rows[: len(self._buffer) - self._filled]
            self._buffer[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            rows = rows[len(taken) :]
            if self._filled == len(self._buffer):
                self._runs.append(self._written(sorted_rows(self._buffer)))
                self._filled = 0

    def parts(self) -> Iterator[Rows]:
        """Yield all rows in order, in parts; nothing can be added from then on."""
        width, sample_step = self._buffer.shape[1], self._sample_step()
        rest = sorted_rows(self._buffer[: self._filled])
        self._buffer = np.empty((0, width), dtype=np.int64)
        if not self._runs:
            yield rest
            return
        runs = [*self._runs, _Run([*rest.T], self._sampled(rest, sample_step))]
        keys = _splitters([run.sample for run in runs])
        cuts = [[0, *run.cuts(keys), len(run.columns[0])] for run in runs]
        for ends in zip(*(pairwise(cut) for cut in cuts), strict=True):
            part = np.empty((sum(end - begin for begin, end in ends), width), dtype=np.int64)
            at = 0
            for run, (begin, end) in zip(runs, ends, strict=True):
                for column, values in enumerate(run.columns):
                    part[at : at + end - begin, column] = values[begin:end]
                at += end - begin
            yield sorted_rows(part)

    def close(self) -> None:
        """Let go of memory and scratch files."""
        self._buffer = self._buffer[:0].copy()
        self._runs.clear()

    def _sample_step(self) -> int:
        return max(1, len(self._buffer) // _SAMPLES)

    @staticmethod
    def _sampled(rows: Rows, step: int) -> Ints:
        return rows[step - 1 :: step, :2].copy()

    def _written(self, rows: Rows) -> _Run:
        path = self._folder / f"{self._name}-{len(self._runs)}.rows"
        types = [_narrowest(column) for column in rows.T]
        sizes = [-(-len(rows) * np.dtype(kind).itemsize // _ALIGNED) * _ALIGNED for kind in types]
        with path.open("wb") as file:
            for column, kind, size in zip(rows.T, types, sizes, strict=True):
                written = file.write(np.ascontiguousarray(column, dtype=kind).data)
                file.write(bytes(size - written))
        mapped = np.memmap(path, dtype=np.uint8, mode="r")
        begins = accumulate(sizes, initial=0)
        columns = [
            mapped[begin : begin + len(rows) * np.dtype(kind).itemsize].view(kind)
            for begin, kind in zip(begins, types, strict=False)
        ]
        return _Run(columns, self._sampled(rows, self._sample_step()))


def _splitters(samples: Sequence[Ints]) -> Ints:
    """Return the keys (k, 2) that part the rows: of m samples and k runs a part holds at most m + k sampling steps."""
    together = np.concatenate(samples)
    together = together[np.lexsort((together[:, 1], together[:, 0]))]
    each = max(_SAMPLES // 2 - len(samples), _SAMPLES // 4)
    return together[each::each]


def _narrowest(column: Ints) -> type[np.signedinteger]:
    low, high = int(column.min()), int(column.max())
    return next(kind for kind in _TYPES if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
