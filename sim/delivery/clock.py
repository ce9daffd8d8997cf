"""SimPy's clock with the model's total order of events: (time, rank of kind, destination, ordinal)."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappush
from typing import Any

import simpy

from sim.delivery.rules import Rank

_DESTINATION_BITS = 40


class Occurrence(simpy.Event):
    """An event whose place in the order is given when it is scheduled, never by who asked first."""

    def __lt__(self, other: object) -> bool:
        # Two events at the same place are a live one and a stale one, which does nothing: any order will do.
        return False


class OrderedEnvironment(simpy.Environment):
    """A SimPy environment whose events fall in the published order.

    SimPy's own events (a process begins or ends) keep their priorities, which come before every rank.
    """

    @property
    def now_us(self) -> int:
        """Return the time in microseconds."""
        return self._now  # type: ignore[return-value]

    def following_us(self) -> int | None:
        """Return the time of the next event, or None when there is none."""
        return self._queue[0][0] if self._queue else None  # type: ignore[return-value]

    def turn(self) -> Occurrence:
        """Return an event that is not scheduled yet."""
        return Occurrence(self)

    def at(
        self,
        time_us: int,
        rank: Rank,
        destination: int,
        ordinal: int,
        event: Occurrence | None = None,
        value: object = None,
    ) -> Occurrence:
        """Schedule an event (a new one unless given) at its place in the order, and return it."""
        if event is None:
            event = Occurrence(self)
        event._ok, event._value = True, value
        place: Any = (time_us, rank << _DESTINATION_BITS | destination, ordinal, event)
        heappush(self._queue, place)
        return event

    def call_at(
        self, time_us: int, rank: Rank, destination: int, ordinal: int, call: Callable[[simpy.Event], None]
    ) -> None:
        """Schedule a call at its place in the order."""
        callbacks = self.at(time_us, rank, destination, ordinal).callbacks
        assert callbacks is not None
        callbacks.append(call)
