"""What a queue holds: messages, connections, and the counters of their limits."""

from __future__ import annotations

from dataclasses import dataclass

from sim.delivery import rules
from sim.delivery.clock import Occurrence
from sim.delivery.lists import Phase
from sim.delivery.mail import Letter

NEVER = -1


class Message:
    """One envelope to one domain, with what it has been through."""

    __slots__ = (
        "accept_word",
        "arrival_us",
        "attempt_us",
        "deferral_events",
        "deferred",
        "downs_before",
        "exposed",
        "failures_before",
        "first_verdict_us",
        "new_pair",
        "opening",
        "openings",
        "ordinal",
        "ready_us",
        "reason",
        "recipients",
        "refusal",
        "reply",
        "retries",
        "route",
        "size_bytes",
        "timer_us",
        "tls_failed",
        "verdicts",
        "waiting",
    )  # fmt: skip

    def __init__(self, letter: Letter) -> None:
        self.ordinal, self.arrival_us, self.size_bytes, self.recipients = letter[:4]
        self.refusal, self.new_pair, self.accept_word = letter[4:]
        self.waiting = False
        self.opening: Connection | None = None
        self.openings = self.verdicts = self.retries = self.deferral_events = self.deferred = 0
        self.attempt_us = self.first_verdict_us = self.timer_us = self.ready_us = self.route = NEVER
        self.reason = self.reply = self.failures_before = self.downs_before = self.exposed = 0
        self.tls_failed = 0


@dataclass(eq=False, slots=True)
class Limit:
    """The counters of one slot: connections in use, and the window of recipients."""

    connections: int
    recipients: int
    window_us: int
    in_use: int = 0
    begins_us: int = 0
    used: int = 0
    wakes_us: int = NEVER

    def admits(self, now_us: int, recipients: int) -> bool:
        """Tell whether a message with so many recipients may start now (where recipients are limited)."""
        return rules.window_admits(now_us, self.begins_us, self.used, self.window_us, self.recipients, recipients)

    def has_room(self, now_us: int, recipients: int) -> bool:
        """Tell whether so many recipients fit into the window that stands now."""
        return recipients <= rules.window_room(now_us, self.begins_us, self.used, self.window_us, self.recipients)


@dataclass(eq=False, slots=True)
class Connection:
    """One connection to a destination, from the moment it takes a slot until it gives it back."""

    ordinal: int
    opener: Message
    opening: int  #: the opener's n-th
    dns_word: int
    routes: list[int]
    route: int
    limit: Limit
    opened_us: int
    turn: Occurrence
    phase: Phase
    aged: int  #: whether the opener counted as aged when the pass began
    established_us: int = NEVER
    idle_since_us: int = NEVER
    idle_timer: bool = False
    carried: int = 0
    outcome: int = 0
    reason: int = 0
    seen: int = 0
