"""Levels over time, exactly: a queue or the connections in use as the step function that their rows make."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

_NOBODY = _BEFORE_ALL_US = -1


@dataclass(frozen=True, eq=False)
class StepFunction:
    """A level that jumps: 0 before the first jump, and from each jump on until the next.

    Changes of one instant are one jump, so a level is that of the end of the instant.

    Attributes
    ----------
    time_us : (k,) times of the jumps, ascending and distinct.
    level : (k,) level from each jump on.
    """

    time_us: Ints
    level: Ints

    def at(self, time_us: Ints | int) -> Ints:
        """Return the level at times, what happens at them included."""
        return self._levels(np.searchsorted(self.time_us, time_us, side="right"))

    def peak(self) -> tuple[int, int]:
        """Return the highest level and when it is reached first, in microseconds; (0, 0) where there is none."""
        if not self.level.size or self.level.max() <= 0:
            return 0, 0
        top = int(self.level.argmax())
        return int(self.level[top]), int(self.time_us[top])

    def integral(self, start_us: int, end_us: int) -> int:
        """Return the exact integral of the level over a time, in level x microseconds."""
        level, width_us = self._pieces(start_us, end_us)
        return sum(map(int.__mul__, level.tolist(), width_us.tolist()))

    def mean(self, start_us: int, end_us: int) -> float:
        """Return the mean level over a time."""
        return self.integral(start_us, end_us) / (end_us - start_us) if end_us > start_us else 0.0

    def quantile(self, share: float, start_us: int, end_us: int) -> int:
        """Return the lowest level that is not exceeded for this share of a time."""
        level, width_us = self._pieces(start_us, end_us)
        if not level.size:
            return 0
        order = np.argsort(level, kind="stable")
        below_us = np.cumsum(width_us[order])
        return int(level[order[np.searchsorted(below_us, share * (end_us - start_us), side="left")]])

    def highest(self, edges_us: Ints) -> Ints:
        """Return the highest level in each interval between neighbouring edges (n + 1,), the left one included."""
        time_us = np.union1d(self.time_us, edges_us)
        first = np.searchsorted(time_us, edges_us)
        highest: Ints = np.maximum.reduceat(self.at(time_us)[: first[-1]], first[:-1])
        return highest

    def first_at_most(self, level: float, start_us: int) -> int | None:
        """Return the first time, not before a start, at which the level is not above this one; None: there is none."""
        if int(self.at(start_us)) <= level:
            return start_us
        later = np.flatnonzero((self.time_us >= start_us) & (self.level <= level))
        return int(self.time_us[later[0]]) if later.size else None

    def last_at_most(self, level: float, end_us: int) -> int:
        """Return when the level last rose above this one, before an end at which it is above; 0: it always was."""
        above = np.flatnonzero((self.time_us <= end_us) & (self.level <= level))
        last = int(above[-1]) + 1 if above.size else 0
        return int(self.time_us[last]) if last < self.time_us.size else end_us

    def last_fall_us(self, level: float) -> int:
        """Return when the level last fell to this one or below from above it; 0: it never did."""
        above = np.flatnonzero(self.level > level)
        falls = above[above + 1 < self.level.size] + 1
        return int(self.time_us[falls[-1]]) if falls.size else 0

    def _levels(self, after: NDArray[np.intp] | np.intp) -> Ints:
        padded = np.concatenate([np.zeros(1, dtype=np.int64), self.level])
        return np.asarray(padded[after], dtype=np.int64)

    def _pieces(self, start_us: int, end_us: int) -> tuple[Ints, Ints]:
        inside = self.time_us[(self.time_us > start_us) & (self.time_us < end_us)]
        begins = np.concatenate([[start_us], inside]).astype(np.int64)
        return self.at(begins), np.diff(np.append(begins, max(end_us, start_us)))


def steps(up_us: Ints, down_us: Ints, weight: Ints | int = 1) -> StepFunction:
    """Return how much is there at any time.

    Parameters
    ----------
    up_us, down_us : (n,) when each thing comes and goes; a negative time of going: it stays.
    weight : (n,) how much each counts, or one number for all.
    """
    counts = np.broadcast_to(np.asarray(weight, dtype=np.int64), up_us.shape)
    goes = down_us >= 0
    time_us, jump_of = np.unique(np.concatenate([up_us, down_us[goes]]), return_inverse=True)
    change = np.zeros(time_us.size, dtype=np.int64)
    np.add.at(change, jump_of, np.concatenate([counts, -counts[goes]]))
    jumps = change != 0
    return StepFunction(time_us[jumps], np.cumsum(change)[jumps])


@dataclass(frozen=True, eq=False)
class OldestWaiting:
    """Who has waited longest, at any time.

    Attributes
    ----------
    since_us : the arrival of the oldest that waits, as a step function; -1 while nobody does.
    peak_age_s, peak_us : the highest age, and when it is reached: just before its bearer leaves.
    """

    since_us: StepFunction
    peak_age_s: float
    peak_us: int

    def highest_age_s(self, edges_us: Ints) -> NDArray[np.float64]:
        """Return the highest age of the oldest in each interval between neighbouring edges (n + 1,)."""
        time_us = np.union1d(self.since_us.time_us, edges_us)
        first = np.searchsorted(time_us, edges_us)
        since = self.since_us.at(time_us[:-1])
        age_us = np.where(since == _NOBODY, 0, time_us[1:] - since)
        return np.asarray(np.maximum.reduceat(age_us[: first[-1]], first[:-1]) / 1e6, dtype=np.float64)


def oldest_waiting(arrival_us: Ints, done_us: Ints) -> OldestWaiting:
    """Return the arrival of the oldest that waits at any time, of things that come and go."""
    order = np.argsort(arrival_us, kind="stable")
    arrival, done = arrival_us[order], done_us[order]
    before = np.concatenate([[_NOBODY], np.maximum.accumulate(done)[:-1]]) if done.size else done
    begins = np.maximum(arrival, before)
    oldest = done > begins
    begins, ends, arrival = begins[oldest], done[oldest], arrival[oldest]
    empty = ends[:-1] < begins[1:]
    left = np.concatenate([ends[:-1][empty], ends[-1:]])
    time_us = np.concatenate([[_BEFORE_ALL_US], begins, left]).astype(np.int64)
    level = np.concatenate([[_NOBODY], arrival, np.full(left.size, _NOBODY)]).astype(np.int64)
    by_time = np.argsort(time_us, kind="stable")
    age_us = ends - arrival
    top = int(age_us.argmax()) if age_us.size else -1
    peak_s, peak_us = (float(age_us[top]) / 1e6, int(ends[top])) if top >= 0 else (0.0, 0)
    return OldestWaiting(StepFunction(time_us[by_time], level[by_time]), peak_s, peak_us)


def peak_rate_per_s(times_us: Ints, window_s: float = 60.0) -> tuple[float, int]:
    """Return the highest rate over any window of this length, and when that window begins (us); (0, 0) for none.

    The window slides: it begins at an event, not at a full minute.
    """
    if not times_us.size:
        return 0.0, 0
    times_us = np.sort(times_us)
    inside = np.searchsorted(times_us, times_us + round(window_s * 1e6), side="left") - np.arange(times_us.size)
    top = int(inside.argmax())
    return float(inside[top]) / window_s, int(times_us[top])
