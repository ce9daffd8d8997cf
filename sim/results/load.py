"""What one run asked of the gateway: queue, connections, handshakes over time, exactly, from the rows it kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.results.labels import Labels
from sim.results.records import CONNECTION_COLUMNS, MESSAGE_COLUMNS, US_PER_S, Rows
from sim.results.step_functions import Ints, OldestWaiting, StepFunction, oldest_waiting, peak_rate_per_s, steps
from sim.terms import Fate, Outcome, Reason

if TYPE_CHECKING:
    from pandas import DataFrame

HOUR_US = 3_600 * US_PER_S
#: Reasons of a connection that has made a TLS handshake and was of no use all the same.
_AFTER_HANDSHAKE = (
    Reason.VALIDATION_FAILURE, Reason.CERTIFICATE_NOT_TRUSTED, Reason.CERTIFICATE_EXPIRED,
    Reason.CERTIFICATE_HOST_MISMATCH,
)  # fmt: skip
_DELAYS = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Measured:
    """One measure of one run; ``at_h`` is when a peak is reached, NaN where that is no question."""

    name: str
    unit: str
    value: float
    at_h: float = np.nan


@dataclass(frozen=True)
class Drain:
    """How a backlog came and went, in one run. Times in seconds from the start; NaN: not before the end."""

    level_before_messages: float
    peak_messages: float
    peak_s: float
    back_s: float
    opening_peak_per_s: float
    arrived_per_s: float
    departed_per_s: float

    @property
    def drain_s(self) -> float:
        """How long it took from the peak until the queue was back at the level before."""
        return self.back_s - self.peak_s


@dataclass(frozen=True, eq=False)
class RunLoad:
    """The rows of one run, seen as load.

    Attributes
    ----------
    messages, connections : rows, sorted by destination and ordinal.
    labels : names of their codes.
    window_us : mail arrived in 0..window; means and percentiles of time are taken over it, peaks over the whole run.
    """

    messages: Rows
    connections: Rows
    labels: Labels
    window_us: int

    @cached_property
    def of_message(self) -> dict[str, Ints]:
        """Return the message rows by column name."""
        return dict(zip(MESSAGE_COLUMNS, np.ascontiguousarray(self.messages.T), strict=True))

    @cached_property
    def of_connection(self) -> dict[str, Ints]:
        """Return the connection rows by column name."""
        return dict(zip(CONNECTION_COLUMNS, np.ascontiguousarray(self.connections.T), strict=True))

    def only(self, destinations: Ints) -> RunLoad:
        """Return the load of some destinations alone."""
        mine, theirs = (np.isin(rows[:, 0], destinations) for rows in (self.messages, self.connections))
        return RunLoad(self.messages[mine], self.connections[theirs], self.labels, self.window_us)

    def _queue(self, weight: Ints | int) -> StepFunction:
        of = self.of_message
        return steps(of["arrival_us"], np.where(of["fate"] == Fate.QUEUED, -1, of["done_us"]), weight)

    @cached_property
    def queue(self) -> StepFunction:
        """Return the messages that have no fate yet, those in transfer included."""
        return self._queue(1)

    @cached_property
    def oldest(self) -> OldestWaiting:
        """Return the oldest message in the queue."""
        return oldest_waiting(self.of_message["arrival_us"], self.of_message["done_us"])

    @cached_property
    def in_use(self) -> StepFunction:
        """Return the connections in use, from the beginning of their opening until they close or fail."""
        return steps(self.of_connection["opened_us"], self.of_connection["closed_us"])

    @cached_property
    def handshakes_us(self) -> Ints:
        """Return when TLS handshakes ended, as far as rows show them: one a connection whose last try made one."""
        of = self.of_connection
        made = np.isin(of["outcome"], (Outcome.DELIVER_ENCRYPTED, Outcome.DELIVER_VERIFIED))
        made |= np.isin(of["reason"], _AFTER_HANDSHAKE)
        ends_us = np.where(of["established_us"] >= 0, of["established_us"], of["closed_us"])
        return np.sort(ends_us[made & (ends_us >= 0)])

    @cached_property
    def end_us(self) -> int:
        """Return when the last thing happened."""
        ends = (self.of_message["done_us"], self.of_connection["closed_us"])
        return max(int(part.max(initial=0)) for part in ends)

    def measures(self) -> list[Measured]:
        """Return the measures of `sim.capacity` for this run."""
        of, window = self.of_message, self.window_us
        found = [Measured("connections_peak", "connections", *_hours(self.in_use.peak()))]
        found.append(Measured("connections_p95", "connections", self.in_use.quantile(0.95, 0, window)))
        found.append(Measured("connections_mean", "connections", self.in_use.mean(0, window)))
        for name, times in (("openings", self.of_connection["opened_us"]), ("handshakes", self.handshakes_us)):
            found.append(Measured(f"{name}_peak_per_s", "1/s", *_hours(peak_rate_per_s(times))))
        found.append(Measured("queue_messages_peak", "messages", *_hours(self.queue.peak())))
        found.append(Measured("queue_messages_p95", "messages", self.queue.quantile(0.95, 0, window)))
        found.append(Measured("queue_messages_mean", "messages", self.queue.mean(0, window)))
        for unit, column in (("recipients", "recipients"), ("bytes", "size_bytes")):
            peak = self._queue(of[column]).peak()
            found.append(Measured(f"queue_{unit}_peak", unit, *_hours(peak)))
        found.append(Measured("oldest_age_peak_s", "s", self.oldest.peak_age_s, self.oldest.peak_us / HOUR_US))
        delivered = of["fate"] <= Fate.VERIFIED
        delays = _quantiles((of["done_us"] - of["arrival_us"])[delivered] / US_PER_S, _DELAYS)
        found += [Measured(f"delay_p{q * 100:.0f}_s", "s", value) for q, value in zip(_DELAYS, delays, strict=True)]
        count = max(len(self.messages), 1)
        found.append(Measured("deferred_share", "of messages", float(of["deferred"].sum()) / count))
        found.append(Measured("deferral_events_per_message", "1", float(of["deferral_events"].sum()) / count))
        return found

    def drain(self, start_us: int, stop_us: int, before_us: int | None = None) -> Drain:
        """Return how the largest backlog of a time came and went.

        The level before is the mean queue of the hour before the start, or before another time; back there is at most
        that, rounded to messages.
        """
        before_us = start_us if before_us is None else before_us
        before = self.queue.mean(max(0, before_us - HOUR_US), before_us)
        level, peak_us = _peak_within(self.queue, start_us, stop_us)
        return self._drain(before, level, start_us, peak_us, stop_us)

    def drain_of_peak(self) -> tuple[int, Drain]:
        """Return when the largest backlog began to grow, and how it went: above the mean queue of the window."""
        mean = self.queue.mean(0, self.window_us)
        level, peak_us = self.queue.peak()
        start_us = self.queue.last_at_most(mean, peak_us)
        return start_us, self._drain(mean, level, start_us, peak_us, self.end_us + 1)

    def _drain(self, before: float, level: int, start_us: int, peak_us: int, stop_us: int) -> Drain:
        back_us = self.queue.first_at_most(round(before), peak_us)
        back_us = None if back_us is None or back_us >= stop_us else back_us
        until_us = stop_us if back_us is None else back_us
        of, opened = self.of_message, self.of_connection["opened_us"]
        herd, _ = peak_rate_per_s(opened[(opened >= start_us) & (opened < until_us)])
        width_s = (until_us - peak_us) / US_PER_S
        gone = np.where(of["fate"] == Fate.QUEUED, -1, of["done_us"])
        rates = [
            float(((t > peak_us) & (t <= until_us)).sum()) / width_s if width_s > 0 else np.nan
            for t in (of["arrival_us"], gone)
        ]
        back_s = np.nan if back_us is None else back_us / US_PER_S
        return Drain(before, level, peak_us / US_PER_S, back_s, herd, *rates)

    def timeline(self, interval_s: float, end_us: int | None = None) -> DataFrame:
        """Return the run over time, one row an interval.

        Columns: time_h (its end); queued_messages, oldest_s, connections_in_use: the highest in the interval, so that
        no peak is lost; openings_per_s, handshakes_per_s: the mean rate in it.
        """
        import pandas as pd

        step_us = round(interval_s * US_PER_S)
        count = max(-(-max(self.end_us if end_us is None else end_us, self.window_us) // step_us), 1)
        edges = np.arange(count + 1, dtype=np.int64) * step_us
        rates = {
            name: np.histogram(times, edges)[0] / interval_s
            for name, times in (("openings", self.of_connection["opened_us"]), ("handshakes", self.handshakes_us))
        }
        return pd.DataFrame(
            {
                "time_h": edges[1:] / HOUR_US,
                "queued_messages": self.queue.highest(edges),
                "oldest_s": self.oldest.highest_age_s(edges),
                "connections_in_use": self.in_use.highest(edges),
                **{f"{name}_per_s": values for name, values in rates.items()},
            }
        )


def busiest_hour(arrivals_us: Sequence[Ints]) -> tuple[int, float]:
    """Return the clock hour in which most mail arrives, from 0, and its mean rate per second over the runs."""
    hours = np.concatenate([*arrivals_us, np.zeros(0, dtype=np.int64)]) // HOUR_US
    if not hours.size:
        return 0, 0.0
    counts = np.bincount(hours)
    return int(counts.argmax()), float(counts.max()) / len(arrivals_us) / 3_600


def _hours(peak: tuple[float, int]) -> tuple[float, float]:
    value, at_us = peak
    return float(value), at_us / HOUR_US


def _quantiles(values: NDArray[np.float64], shares: Sequence[float]) -> list[float]:
    if not values.size:
        return [np.nan] * len(shares)
    return [float(q) for q in np.quantile(values, shares, method="inverted_cdf")]


def _peak_within(level: StepFunction, start_us: int, stop_us: int) -> tuple[int, int]:
    inside = np.flatnonzero((level.time_us > start_us) & (level.time_us < stop_us))
    first = int(level.at(start_us))
    if not inside.size or int(level.level[inside].max()) <= first:
        return first, start_us
    top = inside[level.level[inside].argmax()]
    return int(level.level[top]), int(level.time_us[top])
