"""Where an engine's rows go: reduced to counts, or kept.

Every accumulator is an integer and adding up is all that is done to it, so that neither the order of rows, nor their
split into batches, nor the order of merging can change a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from sim import jit
from sim.errors import complaint
from sim.results.counting import (
    FIRST,
    LIMB_BITS,
    LIMB_MASK,
    MAXIMA,
    REFUSED,
    SUM_ROWS,
    WIDTHS,
    Loops,
    compiled_loops,
)
from sim.results.histogram import LogHistogram
from sim.results.labels import Labels
from sim.results.records import (
    CONNECTION_COLUMNS,
    MESSAGE_COLUMNS,
    Rows,
    check_connections,
    check_messages,
    sorted_rows,
)
from sim.results.timeline import BOUNCED, CLOSED, DELIVERED, INJECTED, OPENED, Minutes
from sim.terms import Fate

Ints = NDArray[np.int64]

#: Rows after which the low limbs are carried: 2^31 rows of 2^32 would overflow, this stays far below.
_CARRY_ROWS = 1 << 24
_LIMBS = (("delay_low", "delay_high"), ("held_low", "held_high"))


class Sink(Protocol):
    """What an engine sends its rows to; a sink copies what it keeps, so the engine may reuse its buffers."""

    def messages(self, rows: Rows) -> None:
        """Take message rows (n, 15), `MESSAGE_COLUMNS`."""

    def connections(self, rows: Rows) -> None:
        """Take connection rows (n, 9), `CONNECTION_COLUMNS`."""

    def clear(self) -> None:
        """Forget all rows: the run begins anew."""


class CountSink:
    """Reduce rows to integer counts: memory grows with destinations and the horizon, not with messages.

    A destination costs 608 bytes at most. The counts of one code lie side by side, so where the system hands out memory
    when it is first written to, a reason that no mail meets costs nothing.

    Parameters
    ----------
    labels : names of the codes; fixes the number of destinations D and the groups of the delay histograms.
    compiled : count in compiled loops where there is a compiler, for which the first batch waits. The counts are the
        same.

    Attributes
    ----------
    delays : histogram of the delay of delivered mail by group of `Labels.groups`.
    provider_delays : the same by provider.
    minutes : counts by minute.
    """

    def __init__(self, labels: Labels, compiled: bool = False) -> None:
        self.labels = labels
        self.compiled = compiled and jit.available()
        self.clear()

    def clear(self) -> None:
        """Forget all that was counted."""
        labels = self.labels
        self.delays = LogHistogram(labels.groups[1].size)
        self.provider_delays = LogHistogram(len(labels.provider_names))
        self.minutes = Minutes()
        self._sums = np.zeros((SUM_ROWS, len(labels.domains)), dtype=np.int64)
        self._maxima = np.zeros((len(MAXIMA), len(labels.domains)), dtype=np.int64)
        self._uncarried = 0

    @property
    def sums(self) -> dict[str, Ints]:
        """The int64 arrays that add up, to be read and written.

        By destination: messages, recipients, size_bytes (D, fate); deferred_messages, deferred_recipients,
        exposed_messages, deferral_events, retries, connections, failed_connections, carried_messages (D,); bounces
        (D, bounce); reasons (D, reason of the last failure) and bounce_reasons, those of bounced mail; delay (of
        delivered mail) and held (time connection slots were held) as two limbs of 32 bits each, microseconds:
        ``delay_low``, ``delay_high`` (D,).
        """
        return {
            name: self._sums[at] if WIDTHS[name] == 1 else self._sums[at : at + WIDTHS[name]].T
            for name, at in FIRST.items()
        }

    @property
    def maxima(self) -> dict[str, Ints]:
        """The int64 arrays by destination whose largest value counts: delay_max, queued_age_max (D,), microseconds."""
        return dict(zip(MAXIMA, self._maxima, strict=True))

    def messages(self, rows: Rows) -> None:
        """Count message rows.

        Raises
        ------
        ValueError
            When a row holds a code or a time an engine must never emit.
        """
        if not (self.compiled and self._loop_messages(compiled_loops(), rows)):
            self._reduce_messages(rows)

    def connections(self, rows: Rows) -> None:
        """Count connection rows; one that is still open has ``closed_us`` -1. Errors as in `messages`."""
        if not (self.compiled and self._loop_connections(compiled_loops(), rows)):
            self._reduce_connections(rows)

    def _reduce_messages(self, rows: Rows) -> None:
        of = check_messages(rows, len(self.labels.domains))
        destination, fate, recipients, size = of["destination"], of["fate"], of["recipients"], of["size_bytes"]
        self._add("messages", destination, np.int64(1), fate)
        self._add("recipients", destination, recipients, fate)
        self._add("size_bytes", destination, size, fate)
        self._add("reasons", destination, np.int64(1), of["reason"])
        self._add("deferral_events", destination, of["deferral_events"])
        self._add("retries", destination, of["retries"])
        self._add("deferred_messages", destination, of["deferred"])
        self._add("exposed_messages", destination, of["exposed"])
        self._add("deferred_recipients", destination, of["deferred"] * recipients)
        bounced = np.flatnonzero(fate == Fate.BOUNCED)
        self._add("bounces", destination[bounced], np.int64(1), of["bounce"][bounced])
        self._add("bounce_reasons", destination[bounced], np.int64(1), of["reason"][bounced])
        self.minutes.add_mail(INJECTED, of["arrival_us"], recipients, size)
        self.minutes.add_mail(BOUNCED, of["done_us"][bounced], recipients[bounced], size[bounced])
        waited_us = of["done_us"] - of["arrival_us"]
        queued = np.flatnonzero(fate == Fate.QUEUED)
        np.maximum.at(self.maxima["queued_age_max"], destination[queued], waited_us[queued])
        delivered = np.flatnonzero(fate <= Fate.VERIFIED)
        self.minutes.add_mail(DELIVERED, of["done_us"][delivered], recipients[delivered], size[delivered])
        self._delivered(destination[delivered], waited_us[delivered])

    def _reduce_connections(self, rows: Rows) -> None:
        of = check_connections(rows, len(self.labels.domains))
        destination = of["destination"]
        self._add("connections", destination, np.int64(1))
        self._add("failed_connections", destination, (of["established_us"] < 0).astype(np.int64))
        self._add("carried_messages", destination, of["messages"])
        closed = np.flatnonzero(of["closed_us"] >= 0)
        self._add_long("held", destination[closed], (of["closed_us"] - of["opened_us"])[closed])
        self.minutes.add_connections(OPENED, of["opened_us"])
        self.minutes.add_connections(CLOSED, of["closed_us"][closed])

    def merge(self, other: CountSink) -> Self:
        """Add the counts of another part of the same run; the order of merging does not matter.

        Raises
        ------
        ValueError
            When the two count different destinations.
        """
        if not self.labels.matches(other.labels):
            raise ValueError(complaint("labels of the merged sink", "different", "the same destinations and entries"))
        self.carry()
        other.carry()
        for mine, theirs in zip(self._sums, other._sums, strict=True):
            if theirs.any():  # what nobody met is not written to, and so costs no memory
                mine += theirs
        np.maximum(self._maxima, other._maxima, out=self._maxima)
        self.delays.merge(other.delays)
        self.provider_delays.merge(other.provider_delays)
        self.minutes.merge(other.minutes)
        self.carry()
        return self

    def carry(self) -> None:
        """Bring the two-limb sums to their one canonical form, 0 <= low < 2^32."""
        for low, high in _LIMBS:
            self._sums[FIRST[high]] += self._sums[FIRST[low]] >> LIMB_BITS
            self._sums[FIRST[low]] &= LIMB_MASK
        self._uncarried = 0

    def state(self) -> dict[str, Ints]:
        """Return all counts in canonical form: equal for equal rows, whatever their order, split or merging."""
        self.carry()
        histograms = {"delays": self.delays, "provider_delays": self.provider_delays}
        return (
            {name: values.copy() for name, values in (self.sums | self.maxima).items()}
            | {n: np.array(list(h.entries()), dtype=np.int64).reshape(-1, 3) for n, h in histograms.items()}
            | {"mail_by_minute": self.minutes.mail.copy(), "connections_by_minute": self.minutes.connections.copy()}
        )

    def _delivered(self, destination: Ints, delay_us: Ints) -> None:
        self._add_long("delay", destination, delay_us)
        np.maximum.at(self.maxima["delay_max"], destination, delay_us)
        self.delays.add(self.labels.groups[0][destination], delay_us)
        self.provider_delays.add(self.labels.provider_of[destination], delay_us)

    def _add(self, name: str, destination: Ints, values: Ints | np.int64, code: Ints | int = 0) -> None:
        row = FIRST[name] + code
        np.add.at(self._sums.reshape(-1), row * self._sums.shape[1] + destination, values)

    def _add_long(self, name: str, index: Ints, values_us: Ints) -> None:
        self._add(f"{name}_low", index, values_us & LIMB_MASK)
        self._add(f"{name}_high", index, values_us >> LIMB_BITS)
        self._uncarry(index.size)

    def _uncarry(self, rows: int) -> None:
        self._uncarried += rows
        if self._uncarried > _CARRY_ROWS:
            self.carry()

    def _loop_messages(self, loops: Loops, rows: Rows) -> bool:
        """Count in loops and tell whether that was done: rows that are wrong are left to `_reduce_messages` to name."""
        if not _is_table(rows, MESSAGE_COLUMNS):
            return False
        rows = np.require(rows, requirements=["C", "W"])
        groups, providers = self.labels.groups[0], self.labels.provider_of
        last, wanted = loops.scan_messages(
            rows, len(self.labels.domains), groups, self.delays.room[0], providers, self.provider_delays.room[0]
        )
        if wanted:
            self.delays.provide(wanted=last != REFUSED)
            self.provider_delays.provide(wanted=last != REFUSED)
        if last == REFUSED:
            return False
        self.minutes.grow(int(last) + 1)
        delivered = loops.add_messages(
            rows, self._sums, self._maxima, self.minutes.room[0],
            groups, *self.delays.room, providers, *self.provider_delays.room,
        )  # fmt: skip
        self._uncarry(int(delivered))
        return True

    def _loop_connections(self, loops: Loops, rows: Rows) -> bool:
        if not _is_table(rows, CONNECTION_COLUMNS):
            return False
        rows = np.require(rows, requirements=["C", "W"])
        last = loops.scan_connections(rows, len(self.labels.domains))
        if last == REFUSED:
            return False
        self.minutes.grow(int(last) + 1)
        self._uncarry(int(loops.add_connections(rows, self._sums, self.minutes.room[1])))
        return True


class Records(Protocol):
    """Rows that were kept and counted, in memory or in files."""

    @property
    def counts(self) -> CountSink:
        """The counts of the same rows."""

    def message_columns(self, names: Sequence[str]) -> dict[str, Rows]:
        """Return columns of all message rows, sorted by destination and ordinal."""

    def connection_columns(self, names: Sequence[str]) -> dict[str, Rows]:
        """Return columns of all connection rows, sorted by destination and ordinal."""


class RecordSink:
    """Keep every row, and count them too. Memory grows with the messages.

    Parameters
    ----------
    labels : names of the codes.
    compiled : as of `CountSink`.

    Attributes
    ----------
    counts : the `CountSink` fed with the same rows.
    """

    def __init__(self, labels: Labels, compiled: bool = False) -> None:
        self.labels = labels
        self.counts = CountSink(labels, compiled)
        self._messages: list[Rows] = []
        self._connections: list[Rows] = []

    def clear(self) -> None:
        """Forget all rows."""
        self.counts.clear()
        self._messages, self._connections = [], []

    def messages(self, rows: Rows) -> None:
        """Keep and count message rows; errors as in `CountSink.messages`."""
        self.counts.messages(rows)
        self._messages.append(rows.copy())

    def connections(self, rows: Rows) -> None:
        """Keep and count connection rows; errors as in `CountSink.messages`."""
        self.counts.connections(rows)
        self._connections.append(rows.copy())

    def merge(self, other: RecordSink) -> Self:
        """Add the rows of another part of the same run; the order of merging does not matter."""
        self.counts.merge(other.counts)
        self._messages.extend(other._messages)
        self._connections.extend(other._connections)
        return self

    def message_rows(self) -> Rows:
        """Return all message rows (n, 15), sorted by destination and ordinal."""
        self._messages = [_sorted(self._messages, len(MESSAGE_COLUMNS))]
        return self._messages[0]

    def connection_rows(self) -> Rows:
        """Return all connection rows (n, 9), sorted by destination and ordinal."""
        self._connections = [_sorted(self._connections, len(CONNECTION_COLUMNS))]
        return self._connections[0]

    def message_columns(self, names: Sequence[str]) -> dict[str, Rows]:
        """Return columns of all message rows, sorted by destination and ordinal."""
        rows = self.message_rows()
        return {name: rows[:, MESSAGE_COLUMNS.index(name)] for name in names}

    def connection_columns(self, names: Sequence[str]) -> dict[str, Rows]:
        """Return columns of all connection rows, sorted by destination and ordinal."""
        rows = self.connection_rows()
        return {name: rows[:, CONNECTION_COLUMNS.index(name)] for name in names}


def _is_table(rows: Rows, names: tuple[str, ...]) -> bool:
    return rows.dtype == np.int64 and rows.ndim == 2 and rows.shape[1] == len(names)


def _sorted(batches: list[Rows], width: int) -> Rows:
    return sorted_rows(np.concatenate(batches) if batches else np.zeros((0, width), dtype=np.int64))
