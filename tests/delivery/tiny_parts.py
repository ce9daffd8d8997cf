"""What the tiny loop keeps: messages, connections, and a heap of events."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from sim.delivery.rules import Rank
from sim.terms import Bounce, Fate, Reason

WAITING, TRANSFER, TIMER, DONE = "waiting", "transfer", "timer", "done"
OPENING, IDLE, BUSY, CLOSED = "opening", "idle", "busy", "closed"


@dataclass(eq=False)
class Message:
    """What is kept of a message; the first six are those of its letter."""

    ordinal: int
    arrival_us: int
    size_bytes: int
    recipients: int
    refusal: int
    new_pair: int
    place: str = WAITING
    openings: int = 0
    verdicts: int = 0
    retries: int = 0
    ready_us: int = -1
    tls_failed: bool = False
    attempt_us: int | None = None
    greylisted_us: int | None = None
    deferral_events: int = 0
    deferred: bool = False
    reason: int = Reason.NONE
    exposed: bool = False
    route: int = -1
    fate: int = Fate.QUEUED
    bounce: int = Bounce.NONE
    done_us: int = -1
    timer: int | None = None


@dataclass(eq=False)
class Connection:
    """One connection, from the start of its opening until it gives its place back."""

    ordinal: int
    message: Message
    opened_us: int
    opening: int
    phase: int
    aged: int
    demand: int
    route: int
    untried: list[int]
    state: str = OPENING
    established_us: int = -1
    closed_us: int = -1
    messages: int = 0
    outcome: int = 0
    reason: int = 0
    fell_idle: int = 0
    timeout: int = -1


class Clock:
    """The heap of events in the model's total order, the count of all connections, and who is dispatched when."""

    def __init__(self, ceiling: int) -> None:
        self.now_us = self.open = 0
        self.ceiling = ceiling
        self.heap: list[tuple[int, int, int, int, int, Callable[[], None]]] = []
        self.tokens = count()
        self.called_off: set[int] = set()
        #: Dispatches by number of the destination: those asked for, and those of the line for a place.
        self.asked: dict[int, Callable[[], None]] = {}
        self.line: dict[int, Callable[[], None]] = {}

    def at(self, time_us: int, rank: Rank, destination: int, ordinal: int, action: Callable[[], None]) -> int:
        """Set an event; return the token that calls it off."""
        token = next(self.tokens)
        heapq.heappush(self.heap, (time_us, rank, destination, ordinal, token, action))
        return token

    def run(self, until_us: int) -> None:
        while self.heap and (until_us < 0 or self.heap[0][0] < until_us):
            time_us, _, _, _, token, action = heapq.heappop(self.heap)
            if token not in self.called_off:
                assert time_us >= self.now_us, "time runs backwards"
                self.now_us = time_us
                action()
            if not self.heap or self.heap[0][0] > self.now_us:
                self.dispatches()

    def dispatches(self) -> None:
        """End an instant: first the line, as far as there are places, then who asked, in order of number."""
        while self.line and self.open < self.ceiling:
            number = next(iter(self.line))
            self.asked.pop(number, None)
            self.line.pop(number)()
        for number in sorted(self.asked):
            self.asked.pop(number)()
        assert not self.asked, "a dispatch asks for another"
