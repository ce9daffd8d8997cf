"""Shapes become integer tables once, so that no engine ever takes a logarithm.

Continuous quantities get a quantile table (see :func:`sim.delivery.rules.quantile`), counts get thresholds.
Any object with a ``ppf`` will do: a frozen ``scipy.stats`` distribution, or one of the project's own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.delivery.rules import CELL_BITS, UNIT_BITS
from sim.errors import WorkloadError
from sim.world.shapes import Shape

Int64 = NDArray[np.int64]
Float = NDArray[np.float64]

_CELLS = 1 << CELL_BITS
_TOP = (1 << 32) - 1
MOST_RECIPIENTS = 10_000


def tail_knots() -> Int64:
    """Return the tail counts (0..2**31, of 2**32) at which a half table has its knots."""
    first = np.arange(2 * _CELLS, dtype=np.int64)
    octaves = [np.arange(_CELLS, 2 * _CELLS, dtype=np.int64) << shift for shift in range(1, 26)]
    return np.concatenate([first, *octaves, np.array([1 << 31], dtype=np.int64)])


def quantile_table(distribution: Shape, *, scale: float, what: str) -> Int64:
    """Return the knots of a quantile table, lower half then upper half.

    Parameters
    ----------
    distribution : quantiles in any unit.
    scale : multiplies them into the integer unit of the table (1e6 for seconds to microseconds).
    what : the quantity's name, for messages.

    Raises
    ------
    WorkloadError
        When a quantile is negative, not a number or too large for 64-bit interpolation.
    """
    tails = np.maximum(tail_knots().astype(np.float64), 0.5) / 2.0**32
    # Above the median the complement is taken in double precision: 1 - 2**-33 still has 20 bits to spare.
    knots = np.concatenate([_ppf(distribution, tails), _ppf(distribution, 1.0 - tails)]) * scale
    if not np.isfinite(knots).all() or (knots < 0).any():
        raise WorkloadError(
            f"{what}: quantiles must be finite and not negative; lowest {knots.min():g}, highest {knots.max():g}"
        )
    table = np.rint(knots).astype(np.int64) if knots.max() < 2.0**62 else None
    if table is None or (np.abs(np.diff(table)) >= 1 << 37).any():
        raise WorkloadError(f"{what}: the quantiles span too wide a range for integer tables (highest {knots.max():g})")
    return table


def count_thresholds(distribution: Shape, *, what: str, most: int = MOST_RECIPIENTS) -> tuple[Int64, Int64]:
    """Return thresholds (of 2**32) and values of a whole-number quantity: value ``i`` is drawn below threshold ``i``.

    Raises
    ------
    WorkloadError
        When a value is below 1, above ``most`` or not whole.
    """
    grid = np.arange(1 << 16, dtype=np.int64) << 16
    words = np.unique(np.concatenate([tail_knots(), (1 << 32) - tail_knots(), grid]))
    words = words[words < 1 << 32]
    values = _ppf(distribution, (words + 0.5) / 2.0**32)
    if not np.isfinite(values).all() or (values < 1).any() or (values != np.rint(values)).any():
        raise WorkloadError(
            f"{what}: must be whole numbers of at least 1; got quantiles from {values.min():g} to {values.max():g}"
        )
    if values.max() > most:
        raise WorkloadError(f"{what}: quantiles reach {values.max():g}; allowed: up to {most}")
    kept = np.unique(values)
    thresholds = _words_up_to(distribution, kept)
    thresholds[-1] = 1 << 32
    return thresholds, kept.astype(np.int64)


def unit_table(distribution: Shape, *, what: str) -> Int64:
    """Return the table of a dimensionless factor in fixed point (``UNIT_BITS``)."""
    return quantile_table(distribution, scale=float(1 << UNIT_BITS), what=what)


def quantiles_of_many(table: Int64, word: Int64) -> Int64:
    """Return :func:`sim.delivery.rules.quantile` of many words at once: the same numbers, row by row."""
    upper = word >= 1 << 31
    tail = np.where(upper, _TOP - word, word)
    # frexp of an integer below 2**53 is exact: the exponent is its bit length.
    shift = np.maximum(np.frexp(tail.astype(np.float64))[1].astype(np.int64) - CELL_BITS - 1, 0)
    cell = np.where(shift > 0, (shift << CELL_BITS) + (tail >> shift), tail)
    cell = cell + np.where(upper, len(table) >> 1, 0)
    low = table[cell]
    inside = (table[cell + 1] - low) * (tail & ((1 << shift) - 1)) >> shift
    return np.asarray(low + inside, dtype=np.int64)


def _ppf(distribution: Shape, probability: Float) -> Float:
    return np.asarray(distribution.ppf(probability), dtype=np.float64)


def _words_up_to(distribution: Shape, values: Float) -> Int64:
    """Return, for each value, how many words have a quantile of at most that value (one bisection for all)."""
    low, high = np.full(len(values), -1, dtype=np.int64), np.full(len(values), 1 << 32, dtype=np.int64)
    for _ in range(33):
        middle = (low + high) >> 1
        at = np.asarray((middle + 0.5) / 2.0**32, dtype=np.float64)
        inside = _ppf(distribution, at) <= values
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return low + 1
