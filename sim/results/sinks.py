"""Where an engine's rows go: reduced to counts, or kept.

Every accumulator is an integer and adding up is all that is done to it, so that neither the order of rows, nor their
split into batches, nor the order of merging can change a result.
"""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from sim.errors import complaint
from sim.results.histogram import LogHistogram
from sim.results.labels import Labels
from sim.results.records import CONNECTION_COLUMNS, MESSAGE_COLUMNS, Rows, check_connections, check_messages
from sim.results.timeline import BOUNCED, CLOSED, DELIVERED, INJECTED, OPENED, Minutes
from sim.terms import Bounce, Fate, Reason

Ints = NDArray[np.int64]

_LIMB_BITS = 32
_LIMB_MASK = (1 << _LIMB_BITS) - 1
#: Rows after which the low limbs are carried: 2^31 rows of 2^32 would overflow, this stays far below.
_CARRY_ROWS = 1 << 24
_LIMBS = (("delay_low", "delay_high"), ("held_low", "held_high"))


class Sink(Protocol):
    """What an engine sends its rows to; a sink copies what it keeps, so the engine may reuse its buffers."""

    def messages(self, rows: Rows) -> None:
        """Take message rows (n, 15), `MESSAGE_COLUMNS`."""

    def connections(self, rows: Rows) -> None:
        """Take connection rows (n, 9), `CONNECTION_COLUMNS`."""


class CountSink:
    """Reduce rows to integer counts: memory grows with destinations and the horizon, not with messages.

    Parameters
    ----------
    labels : names of the codes; fixes the number of destinations D and the groups of the delay histograms.

    Attributes
    ----------
    sums : int64 arrays that add up. By destination: messages, recipients, size_bytes (D, fate); deferred_messages,
        deferred_recipients, exposed_messages, deferral_events, retries, connections, failed_connections,
        carried_messages (D,); bounces (D, bounce); reasons (D, reason of the last failure) and bounce_reasons, those of
        bounced mail; delay (of delivered mail) and held (time connection slots were held) as two limbs of 32 bits
        each, microseconds: ``delay_low``, ``delay_high`` (D,).
    maxima : int64 arrays by destination whose largest value counts: delay_max, queued_age_max (D,), microseconds.
    delays : histogram of the delay of delivered mail by group of `Labels.groups`.
    provider_delays : the same by provider.
    minutes : counts by minute.
    """

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        d = len(labels.domains)
        plain = ("deferred_messages", "deferred_recipients", "exposed_messages", "deferral_events", "retries",
                 "delay_low", "delay_high",
                 "connections", "failed_connections", "carried_messages", "held_low", "held_high")  # fmt: skip
        wide = {"messages": Fate, "recipients": Fate, "size_bytes": Fate, "bounces": Bounce, "reasons": Reason,
                "bounce_reasons": Reason}  # fmt: skip
        self.sums: dict[str, Ints] = {name: np.zeros(d, dtype=np.int64) for name in plain}
        self.sums |= {name: np.zeros((d, len(term)), dtype=np.int64) for name, term in wide.items()}
        self.maxima: dict[str, Ints] = {n: np.zeros(d, dtype=np.int64) for n in ("delay_max", "queued_age_max")}
        self.delays = LogHistogram(labels.groups[1].size)
        self.provider_delays = LogHistogram(len(labels.provider_names))
        self.minutes = Minutes()
        self._uncarried = 0

    def messages(self, rows: Rows) -> None:
        """Count message rows.

        Raises
        ------
        ValueError
            When a row holds a code or a time an engine must never emit.
        """
        of = check_messages(rows, len(self.labels.domains))
        destination, fate, recipients, size = of["destination"], of["fate"], of["recipients"], of["size_bytes"]
        cell = destination * len(Fate) + fate
        self._add("messages", cell, np.int64(1))
        self._add("recipients", cell, recipients)
        self._add("size_bytes", cell, size)
        self._add("reasons", destination * len(Reason) + of["reason"], np.int64(1))
        self._add("deferral_events", destination, of["deferral_events"])
        self._add("retries", destination, of["retries"])
        self._add("deferred_messages", destination, of["deferred"])
        self._add("exposed_messages", destination, of["exposed"])
        self._add("deferred_recipients", destination, of["deferred"] * recipients)
        bounced = np.flatnonzero(fate == Fate.BOUNCED)
        self._add("bounces", destination[bounced] * len(Bounce) + of["bounce"][bounced], np.int64(1))
        self._add("bounce_reasons", destination[bounced] * len(Reason) + of["reason"][bounced], np.int64(1))
        self.minutes.add_mail(INJECTED, of["arrival_us"], recipients, size)
        self.minutes.add_mail(BOUNCED, of["done_us"][bounced], recipients[bounced], size[bounced])
        waited_us = of["done_us"] - of["arrival_us"]
        queued = np.flatnonzero(fate == Fate.QUEUED)
        np.maximum.at(self.maxima["queued_age_max"], destination[queued], waited_us[queued])
        delivered = np.flatnonzero(fate <= Fate.VERIFIED)
        self.minutes.add_mail(DELIVERED, of["done_us"][delivered], recipients[delivered], size[delivered])
        self._delivered(destination[delivered], waited_us[delivered])

    def connections(self, rows: Rows) -> None:
        """Count connection rows; one that is still open has ``closed_us`` -1. Errors as in `messages`."""
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
        for name, values in other.sums.items():
            self.sums[name] += values
        for name, values in other.maxima.items():
            np.maximum(self.maxima[name], values, out=self.maxima[name])
        self.delays.merge(other.delays)
        self.provider_delays.merge(other.provider_delays)
        self.minutes.merge(other.minutes)
        self.carry()
        return self

    def carry(self) -> None:
        """Bring the two-limb sums to their one canonical form, 0 <= low < 2^32."""
        for low, high in _LIMBS:
            self.sums[high] += self.sums[low] >> _LIMB_BITS
            self.sums[low] &= _LIMB_MASK
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

    def _add(self, name: str, index: Ints, values: Ints | np.int64) -> None:
        np.add.at(self.sums[name].reshape(-1), index, values)

    def _add_long(self, name: str, index: Ints, values_us: Ints) -> None:
        self._add(f"{name}_low", index, values_us & _LIMB_MASK)
        self._add(f"{name}_high", index, values_us >> _LIMB_BITS)
        self._uncarried += index.size
        if self._uncarried > _CARRY_ROWS:
            self.carry()


class RecordSink:
    """Keep every row, and count them too. Memory grows with the messages.

    Parameters
    ----------
    labels : names of the codes.

    Attributes
    ----------
    counts : the `CountSink` fed with the same rows.
    """

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.counts = CountSink(labels)
        self._messages: list[Rows] = []
        self._connections: list[Rows] = []

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
        """Return all connection rows (n, 9), sorted by destination, ordinal and times."""
        self._connections = [_sorted(self._connections, len(CONNECTION_COLUMNS))]
        return self._connections[0]


def _sorted(batches: list[Rows], width: int) -> Rows:
    rows = np.concatenate(batches) if batches else np.zeros((0, width), dtype=np.int64)
    order = np.lexsort(tuple(rows[:, column] for column in (5, 4, 3, 2, 1, 0)))
    return rows[order]
