"""SimPy's clock with the model's total order of events: (time, rank of kind, destination, ordinal)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from heapq import heappush
from typing import Any

import simpy
from simpy.events import NORMAL, EventPriority

from sim.delivery.rules import Rank

Call = Callable[[simpy.Event], None]
_DESTINATION_BITS = 40


class Occurrence(simpy.Event):
    """An event whose place in the order is given when it is scheduled, never by who asked first."""

    def __init__(self, env: simpy.Environment, call: Call | None = None) -> None:
        self.env = env
        self.callbacks = [] if call is None else [call]
        self._ok = True
        self._value = None

    def __lt__(self, other: object) -> bool:
        # Two events at the same place are a live one and a stale one, which does nothing: any order will do.
        return False


class Started(simpy.Process):
    """A process whose first step is taken at once, as a part of the event that starts it, not as one of its own."""

    def __init__(self, env: OrderedEnvironment, generator: Generator[simpy.Event, Any, Any]) -> None:
        self.env = env
        self.callbacks = []
        self._generator = generator
        self._resume(env.beginning)


class OrderedEnvironment(simpy.Environment):
    """A SimPy environment whose events fall in the published order."""

    _queue: Any

    def __init__(self) -> None:
        super().__init__(0)
        self.beginning = Occurrence(self)

    def following_us(self) -> int | None:
        """Return the time of the next event, or None when there is none."""
        return self._queue[0][0] if self._queue else None

    def schedule(self, event: simpy.Event, priority: EventPriority = NORMAL, delay: float = 0) -> None:
        """Schedule one of SimPy's own events; the end of a process that nobody waits for is none."""
        if not (isinstance(event, Started) and event._ok and not event.callbacks):
            super().schedule(event, priority, delay)

    def turn(self) -> Occurrence:
        """Return an event that is not scheduled yet."""
        return Occurrence(self)

    def at(self, time_us: int, rank: Rank, destination: int, ordinal: int, call: Call | None = None) -> Occurrence:
        """Schedule an event, or a call, at its place in the order."""
        event = Occurrence(self, call)
        heappush(self._queue, (time_us, rank << _DESTINATION_BITS | destination, ordinal, event))
        return event

    def set_off(
        self, event: Occurrence, time_us: int, rank: Rank, destination: int, ordinal: int, value: object
    ) -> None:
        """Schedule an event that somebody waits for already, with the value it brings."""
        event._value = value
        heappush(self._queue, (time_us, rank << _DESTINATION_BITS | destination, ordinal, event))
