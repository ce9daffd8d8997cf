"""Retry by destination, as the gateway does: a failed pass puts off all waiting mail, and one timer probes for it."""

from __future__ import annotations

from sim.delivery import rules
from sim.delivery.mail import Letter
from sim.delivery.parts import NEVER, Connection, Limit, Message
from sim.delivery.queue import BOUNCED, Destination, Engine
from sim.delivery.rules import Rank
from sim.terms import Bounce


class RetryByDestination(Destination):
    """A queue whose destination may be *down*, with one timer, or *held* beside connections that are open."""

    def __init__(self, index: int, engine: Engine) -> None:
        super().__init__(index, engine)
        self.down = self.held = False
        self.probe: Connection | None = None
        self.timer_us = self.expiry_us = NEVER
        self.failures = 0
        self.failed_passes = self.downs = self.last_reason = 0

    # --- mail comes, waits and goes

    def receive(self, letter: Letter) -> None:
        """Take new mail into the queue; where it probes, the destination's timer falls due at once."""
        if self.timer_us != NEVER and self.lists.rules.new_mail_probes:
            self.timer_due(self.timer_us)
        super().receive(letter)

    def wait(self, message: Message) -> None:
        """Put a message among those ready for the next connection; at a destination that is down that defers it."""
        message.failures_before, message.downs_before = self.failed_passes, self.downs
        if self.down:
            message.deferred = 1
        super().wait(message)

    def leave(self, message: Message) -> None:
        """Take a message out of the waiting mail and settle what failed passes did to it."""
        super().leave(message)
        if self.failed_passes > message.failures_before:
            message.deferral_events += self.failed_passes - message.failures_before
            message.reason = self.last_reason
        if self.downs > message.downs_before:
            message.deferred = 1

    def next_try_us(self, message: Message, started_us: int) -> int:
        """Return when a message refused for now is tried again: its bounce profile's wait after the start of the try.

        With ``expire = at_lifetime`` its timer falls due at its lifetime at the latest.
        """
        now = self.engine.now
        wait_us = self.waits_us[min(message.retries, len(self.waits_us)) - 1]
        due = rules.due_us(started_us, wait_us, now)
        if self.lists.rules.expire_at_lifetime:
            due = min(due, max(now, message.arrival_us + self.lifetime_us))
        return due

    def wait_again(self, message: Message) -> None:
        """A message whose timer fell due waits for a connection again, or has lapsed."""
        if self.has_lapsed(message):
            self.finish(message, BOUNCED, Bounce.EXPIRED_TIME)
        else:
            self.wait(message)

    def accepted(self) -> None:
        """An accepted message ends *down* and lets connections open again."""
        self.held = False
        if self.down:
            self.down, self.probe = False, None
            self.timer_us, self.failures = NEVER, 0
        if self.lists.rules.success_releases_all and self.on_timer:
            for ordinal in sorted(self.on_timer):
                self.wait(self.mail[ordinal])
            self.on_timer.clear()
        super().accepted()

    # --- connections

    def serve_waiting(self) -> None:
        """Let lapsed mail go and connections open; a probe opens for no mail that has lapsed."""
        if self.down and not self.is_silent():
            self.expire_waiting(covered=False)
        self.open_more()
        if not self.is_silent():
            self.expire_waiting(covered=False)
        self.watch_expiry()

    def is_silent(self) -> bool:
        """Tell whether mail waits for the destination itself: for its timer, or for what its probe will find."""
        opening = self.probe is not None and self.probe.established_us == NEVER
        return self.down and (opening or self.timer_us != NEVER)

    def may_open(self) -> bool:
        """Tell whether a connection may open: a probe, or as many as mail wants unless the destination is held."""
        if self.down:
            return self.timer_us == NEVER and self.probe is None
        return not self.held and super().may_open()

    def open_for(self, message: Message, dns_word: int, routes: list[int], limit: Limit) -> Connection:
        """Let a connection open for a message: the probe, while the destination is down."""
        connection = super().open_for(message, dns_word, routes, limit)
        if self.down:
            self.probe = connection
        return connection

    def close(self, connection: Connection) -> None:
        """Close an established connection; what was held back may open now."""
        self.held = False
        if self.probe is connection:
            self.probe = None
        super().close(connection)

    def bounce_all(self, connection: Connection) -> None:
        """All that waits bounces; the connection is no probe any more."""
        if self.probe is connection:
            self.probe = None
        super().bounce_all(connection)

    def pass_failed(self, connection: Connection) -> None:
        """Every MX host was tried in vain: the destination is down, or waits for its open connections."""
        self.failed_passes += 1
        self.last_reason = connection.reason
        if self.down:
            if self.probe is connection:
                self.probe = None
                self._start_timer(connection)
        elif self.established:
            self.held = True
        else:
            self.down = True
            self.downs += 1
            self._start_timer(connection)
        self.record(connection)
        if self.idle or not self.is_silent():
            self.want_dispatch()

    # --- the destination's timer

    def _start_timer(self, connection: Connection) -> None:
        lists = self.lists
        wait_us = lists.host_waits_us[min(self.failures, len(lists.host_waits_us) - 1)]
        self.failures += 1
        self.timer_us = due = rules.due_us(connection.opened_us, wait_us, self.engine.now)
        self.env.at(due, Rank.DESTINATION_TIMER, self.index, 0, lambda _: self.timer_due(due))

    def timer_due(self, due_us: int) -> None:
        """The destination's timer fell due: lapsed mail bounces, then one probe may open."""
        if self.timer_us == due_us:
            self.timer_us = NEVER
            self.expire_waiting(covered=True)
            self.want_dispatch()

    # --- mail whose time in queue is over

    def expire_waiting(self, *, covered: bool) -> None:
        """Bounce lapsed mail; that for which a connection is being opened only when ``covered``."""
        first = self.oldest if covered else self.oldest_uncovered
        while (message := first()) is not None and self.has_lapsed(message):
            self.leave(message)
            self.finish(message, BOUNCED, Bounce.EXPIRED_TIME)

    def watch_expiry(self) -> None:
        """Mail that waits only for a limit expires at its lifetime: watch the oldest."""
        at_lifetime = self.lists.rules.expire_at_lifetime
        message = self.oldest() if at_lifetime else None if self.is_silent() else self.oldest_uncovered()
        if message is None:
            return
        due = max(self.engine.now, message.arrival_us + self.lifetime_us)
        if self.expiry_us == NEVER or due < self.expiry_us:
            self.expiry_us = due
            self.env.at(due, Rank.EXPIRY, self.index, 0, lambda _: self.expiry_due(due))

    def expiry_due(self, due_us: int) -> None:
        """Bounce what lapsed while it waited for a limit."""
        if self.expiry_us == due_us:
            self.expiry_us = NEVER
            at_lifetime = bool(self.lists.rules.expire_at_lifetime)
            if at_lifetime or not self.is_silent():
                self.expire_waiting(covered=at_lifetime)
            self.watch_expiry()
            if self.waiting:
                self.want_dispatch()
