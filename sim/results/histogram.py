"""Log-linear histograms of durations: counts that add up exactly, whatever the order they came in.

A value below 128 us has a bin of its own; every octave above is cut into 128 equal bins, so that a bin is never wider
than 1/128 (0.79 %) of its lower bound. The layout is that of Tene's HdrHistogram, with 7 bits of sub-bins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.errors import complaint

Ints = NDArray[np.int64]

SUB_BITS = 7
SUB = 1 << SUB_BITS
OCTAVES = 63 - SUB_BITS + 1
BINS = OCTAVES * SUB

#: Instead of the number of a block: none yet, and none yet but wanted.
UNMET, WANTED = -1, -2

_POWERS = np.array([1 << e for e in range(SUB_BITS, 63)], dtype=np.int64)


class Bounds(NamedTuple):
    """The bin a quantile falls into: ``lower <= value < upper``, microseconds."""

    lower: int
    upper: int

    @property
    def middle(self) -> float:
        """The value to print: within 0.4 % of every value in the bin, exact for bins of width one."""
        return (self.lower + self.upper - 1) / 2


def bin_of(values: Ints) -> Ints:
    """Return the bin of each value (n,), in integer arithmetic only.

    Raises
    ------
    ValueError
        When a value is negative.
    """
    values = np.asarray(values, dtype=np.int64)
    if values.size and int(values.min()) < 0:
        raise ValueError(complaint("duration", int(values.min()), ">= 0 microseconds"))
    octave = np.searchsorted(_POWERS, values, side="right")
    shift = np.maximum(octave - 1, 0)
    # From the second octave on the leading bit is implied by the octave and taken off.
    return octave * SUB + (values >> shift) - np.where(octave > 0, SUB, 0)


def bounds_of(bins: Ints) -> tuple[Ints, Ints]:
    """Return lower bounds (inclusive) and widths of bins, both (n,), microseconds."""
    octave, sub = np.divmod(np.asarray(bins, dtype=np.int64), SUB)
    shift = np.maximum(octave - 1, 0)
    return (sub + np.where(octave > 0, SUB, 0)) << shift, np.int64(1) << shift


def quantile(counts: Ints, q: float) -> Bounds | None:
    """Return the bin of the smallest value that at least a share `q` of all values do not exceed.

    Parameters
    ----------
    counts : (BINS,) counts by bin.
    q : share, 0 < q <= 1.

    Returns
    -------
    Bounds, or None when nothing was counted.
    """
    if not 0 < q <= 1:
        raise ValueError(complaint("q", q, "0 < q <= 1"))
    total = int(counts.sum())
    if not total:
        return None
    exact = Fraction(q).limit_denominator(10**9)
    rank = max(1, -(-total * exact.numerator // exact.denominator))
    index = np.searchsorted(np.cumsum(counts), rank)
    lower, width = bounds_of(np.array([index]))
    return Bounds(int(lower[0]), int(lower[0]) + int(width[0]))


class LogHistogram:
    """Histograms of durations for a fixed number of groups.

    Memory grows with the octaves a group has met (1 KiB each; delays from a second to three days are 18) and a little
    with the groups (228 bytes each), never with the number of values.

    Parameters
    ----------
    groups : number of groups.
    """

    def __init__(self, groups: int) -> None:
        self._block_of = np.full((groups, OCTAVES), UNMET, dtype=np.int32)
        self._blocks = np.zeros((16, SUB), dtype=np.int64)
        self._used = 0

    @property
    def groups(self) -> int:
        """Number of groups."""
        return int(self._block_of.shape[0])

    def add(self, group: Ints, values_us: Ints) -> None:
        """Count values (n,) in microseconds, each into its group (n,)."""
        octave, sub = np.divmod(bin_of(values_us), SUB)
        cell = group * OCTAVES + octave
        blocks = self._block_of.reshape(-1)
        if bool((blocks[cell] < 0).any()):
            self._allocate(np.unique(cell[blocks[cell] < 0]))
        np.add.at(self._blocks.reshape(-1), blocks[cell].astype(np.int64) * SUB + sub, np.int64(1))

    @property
    def room(self) -> tuple[NDArray[np.int32], Ints]:
        """Blocks (groups, OCTAVES), `UNMET` where there is none, and their counts (blocks, SUB), to count into."""
        return self._block_of, self._blocks

    def provide(self, *, wanted: bool) -> None:
        """Give a block to every octave marked `WANTED`, or take the marks away."""
        cells = np.flatnonzero(self._block_of.reshape(-1) == WANTED)
        if wanted:
            self._allocate(cells)
        else:
            self._block_of.reshape(-1)[cells] = UNMET

    def merge(self, other: LogHistogram) -> None:
        """Add the counts of another histogram of the same groups."""
        if other.groups != self.groups:
            raise ValueError(complaint("groups", other.groups, str(self.groups)))
        theirs = other._block_of.reshape(-1)
        cells = np.flatnonzero(theirs >= 0)
        mine = self._block_of.reshape(-1)
        self._allocate(cells[mine[cells] < 0])
        self._blocks[mine[cells]] += other._blocks[theirs[cells]]

    def counts(self, groups: Iterable[int] | None = None) -> Ints:
        """Return (BINS,) counts summed over the given groups, or over all."""
        chosen = self._block_of if groups is None else self._block_of[np.fromiter(groups, np.int64)]
        total = np.zeros((OCTAVES, SUB), dtype=np.int64)
        for octave in range(OCTAVES):
            blocks = chosen[:, octave]
            total[octave] = self._blocks[blocks[blocks >= 0]].sum(axis=0)
        return total.reshape(-1)

    def entries(self) -> Iterator[tuple[int, int, int]]:
        """Yield (group, bin, count) of every bin in use, sorted: the same for the same counts, however they came in."""
        for cell in np.flatnonzero(self._block_of.reshape(-1) >= 0).tolist():
            group, octave = divmod(cell, OCTAVES)
            block = self._blocks[self._block_of[group, octave]]
            for sub in np.flatnonzero(block).tolist():
                yield group, octave * SUB + sub, int(block[sub])

    def _allocate(self, cells: Ints) -> None:
        needed = self._used + cells.size
        if needed > len(self._blocks):
            grown = np.zeros((max(needed, 2 * len(self._blocks)), SUB), dtype=np.int64)
            grown[: self._used] = self._blocks[: self._used]
            self._blocks = grown
        self._block_of.reshape(-1)[cells] = np.arange(self._used, needed)
        self._used = needed
