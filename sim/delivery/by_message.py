"""Retry by message, as most senders do: a failed pass puts off the message it opened for, and nobody else's mail.

A sender may also call the destination *dead* for a while, and then put off all its mail without a try.
"""

from __future__ import annotations

from sim.delivery import rules
from sim.delivery.parts import NEVER, Connection, Message
from sim.delivery.queue import Destination, Engine
from sim.terms import Outcome

_BOUNCE_NOW = int(Outcome.BOUNCE_NOW)


class RetryByMessage(Destination):
    """A queue in which every message has its own timer, and goes by the sender's own schedule."""

    def __init__(self, index: int, engine: Engine) -> None:
        super().__init__(index, engine)
        self.dead_until_us = NEVER
        self.dead_reason = 0

    def serve_waiting(self) -> None:
        """Let connections open; mail bounces only after a try, however long it waited for one."""
        self.open_more()

    def wait(self, message: Message) -> None:
        """Put a message among those ready for the next connection; at a destination that is dead it is put off."""
        if self.engine.now < self.dead_until_us:
            self._put_off_untried(message)
        else:
            super().wait(message)

    def next_try_us(self, message: Message, started_us: int) -> int:
        """Return when a message is tried again, by the sender's own schedule."""
        known = self.lists.rules
        return rules.next_try_us(
            known.counted, self.waits_us, message.retries, message.arrival_us, started_us, self.engine.now,
            known.scan_us,
        )  # fmt: skip

    def pass_failed(self, connection: Connection) -> None:
        """Every MX host was tried in vain: the message is put off; with no connection left the destination is dead."""
        opener = connection.opener
        self.record(connection)
        if opener.waiting:
            self.leave(opener)
            opener.reason = connection.reason
            self.put_off(opener, connection.opened_us)
        # A message the peer's answer ends at once says nothing of the destination's other mail.
        if self.lists.rules.dead_us and not self.live and connection.outcome != _BOUNCE_NOW:
            self._dies(connection)
        if self.waiting:
            self.want_dispatch()

    def _dies(self, connection: Connection) -> None:
        """Put off what else waits: the sender takes it that another try would fail as well."""
        now = self.engine.now
        self.dead_until_us = rules.due_us(connection.opened_us, self.lists.rules.dead_us, now)
        self.dead_reason = connection.reason
        while now < self.dead_until_us and (message := self.oldest()) is not None:
            self.leave(message)
            self._put_off_untried(message)

    def _put_off_untried(self, message: Message) -> None:
        message.reason = self.dead_reason
        self.put_off(message, self.engine.now)
