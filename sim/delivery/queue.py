"""The queue of one destination: its mail, its connections, its limits, and each message's own timer.

The processes of :mod:`sim.delivery.reference` tell a destination what happened; it decides what follows. What a failed
pass means differs between senders: :mod:`sim.delivery.by_destination`, :mod:`sim.delivery.by_message`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from heapq import heappop, heappush
from itertools import groupby
from typing import Protocol

from sim.delivery import rules
from sim.delivery.clock import OrderedEnvironment
from sim.delivery.lists import Lists, Phase, RowBuffer
from sim.delivery.mail import ACCEPTED, LATE_REFUSED, PERSISTENT, REFUSED, Letter
from sim.delivery.parts import NEVER, Connection, Limit, Message
from sim.delivery.rules import Rank
from sim.terms import Bounce, Fate, Outcome, Reason, Seen

_IN_CLEAR, BOUNCED, _QUEUED = int(Fate.IN_CLEAR), int(Fate.BOUNCED), int(Fate.QUEUED)
_REPLY_4YZ, _REPLY_5YZ = int(Reason.REPLY_4YZ), int(Reason.REPLY_5YZ)


class Engine(Protocol):
    """What a destination asks of the engine it is part of."""

    lists: Lists
    env: OrderedEnvironment
    rows: RowBuffer
    limits: list[Limit]
    touched: list[Destination]
    now: int
    open_connections: int
    phase: Phase

    def plan(self, destination: Destination, message: Message) -> tuple[int, list[int]]:
        """Draw a pass for a message: the word of its look-up, and the order of its routes."""

    def begin(self, destination: Destination, connection: Connection) -> None:
        """Let a connection open."""

    def connection_opened(self) -> None:
        """Count one more open connection."""

    def line_up(self, destination: Destination) -> None:
        """Let a destination wait for a place below the system-wide ceiling of connections."""

    def transfer_us(self, destination: Destination, message: Message, host: int) -> int:
        """Return how long an accepted message takes."""


class Destination(ABC):
    """The queue of one domain (RFC 5321 section 4.5.4.1), as ``docs/model.md`` describes it."""

    def __init__(self, index: int, engine: Engine) -> None:
        lists = engine.lists
        self.index, self.engine = index, engine
        self.env, self.lists = engine.env, lists
        routes = range(lists.route_start[index], lists.route_start[index + 1])
        self.preference_groups = [list(g) for _, g in groupby(routes, key=lists.preference.__getitem__)]
        self.limits = engine.limits
        self.order = list(routes) if all(len(g) == 1 for g in self.preference_groups) else None
        self.stepwise = len({lists.slot[r] for r in routes}) > 1 or lists.rules.until_us >= 0
        self.own_limits = [engine.limits[s] for s in sorted({lists.slot[r] for r in routes})]
        self.waits_us = lists.waits_us[lists.wait_start[index] : lists.wait_stop[index]]
        self.lifetime_us, self.max_retries = lists.lifetime_us[index], lists.max_retries[index]
        self.max_messages = lists.max_messages[index]
        self.idle_us, self.eagerness = lists.rules.idle_us, lists.rules.messages_per_opening
        self.ceiling = lists.rules.max_connections
        self.ages = lists.rules.aged_after_us >= 0 or bool(lists.rules.aged_after_tls_failure)
        self.mail: dict[int, Message] = {}
        self.on_timer: set[int] = set()
        self.waiting = 0
        self.covered_recipients = 0
        self._oldest: list[int] = []
        self._uncovered: list[int] = []
        self.live: dict[int, Connection] = {}
        self.idle: list[Connection] = []
        self.connections = 0
        self.openings = 0
        self.established = 0
        self.dispatch_due = self.in_line = False
        self.injected = self.done = 0

    # --- mail comes, waits and goes

    def receive(self, letter: Letter) -> None:
        """Take new mail into the queue."""
        message = Message(letter)
        self.injected += 1
        self.mail[message.ordinal] = message
        self.wait(message)

    def wait(self, message: Message) -> None:
        """Put a message among those ready for the next connection; the oldest goes first."""
        message.waiting = True
        message.timer_us = NEVER
        message.ready_us = self.engine.now
        self.waiting += 1
        heappush(self._oldest, message.ordinal)
        if message.opening is None:
            heappush(self._uncovered, message.ordinal)
        else:
            self.covered_recipients += message.recipients
        self.want_dispatch()

    def leave(self, message: Message) -> None:
        """Take a message out of the waiting mail."""
        message.waiting = False
        self.waiting -= 1
        if message.opening is not None:
            self.covered_recipients -= message.recipients

    def oldest(self) -> Message | None:
        """Return the oldest waiting message."""
        heap = self._oldest
        while heap:
            message = self.mail.get(heap[0])
            if message is not None and message.waiting:
                return message
            heappop(heap)
        return None

    def oldest_uncovered(self) -> Message | None:
        """Return the oldest waiting message no connection is being opened for."""
        heap = self._uncovered
        while heap:
            message = self.mail.get(heap[0])
            if message is not None and message.waiting and message.opening is None:
                return message
            heappop(heap)
        return None

    def finish(self, message: Message, fate: int, bounce: int = Bounce.NONE, now_us: int | None = None) -> None:
        """Give a message its fate."""
        del self.mail[message.ordinal]
        self.done += 1
        now = self.engine.now if now_us is None else now_us
        self.engine.rows.message(
            (self.index, message.ordinal, message.arrival_us, now, message.size_bytes, message.recipients, int(fate),
             int(bounce), message.reason, message.route, message.verdicts, message.retries, message.deferral_events,
             message.deferred, message.exposed)
        )  # fmt: skip

    def has_lapsed(self, message: Message) -> bool:
        """Tell whether a message has been in the queue for its whole lifetime."""
        return self.engine.now >= message.arrival_us + self.lifetime_us

    # --- one dispatch after all events of an instant

    def want_dispatch(self) -> None:
        """Ask for a dispatch at the end of this instant."""
        if not self.dispatch_due:
            self.dispatch_due = True
            self.engine.touched.append(self)

    def dispatch(self) -> None:
        """Give waiting mail to idle connections, open new ones, set the timers."""
        self.dispatch_due = False
        if self.idle and self.waiting:
            self.hand_out()
        if self.waiting:
            self.serve_waiting()
        for connection in self.idle:
            if not connection.idle_timer:
                self.watch_idle(connection)

    @abstractmethod
    def serve_waiting(self) -> None:
        """Do what there is to do for mail that no idle connection takes: open connections, above all."""

    def hand_out(self) -> None:
        """Give the oldest waiting mail to the connections that fell idle last."""
        while self.idle and (message := self.oldest()) is not None:
            connection = self._idle_for(message)
            if connection is None:
                return
            self.idle.remove(connection)
            self.start(message, connection)

    def _idle_for(self, message: Message) -> Connection | None:
        now = self.engine.now
        for connection in reversed(self.idle):
            limit = connection.limit
            if not limit.recipients or limit.admits(now, message.recipients):
                return connection
            self.wake_at_window(limit)
        return None

    def open_more(self) -> None:
        """Open a connection for each waiting message that has none, as far as limits and the ceiling allow."""
        now = self.engine.now
        while self.may_open() and (message := self.oldest_uncovered()) is not None:
            if not any(limit.in_use < limit.connections for limit in self.own_limits):
                return
            if self.engine.open_connections >= self.ceiling:
                self.engine.line_up(self)
                return
            dns_word, routes = self.engine.plan(self, message)
            limit = self._first_free(routes)
            if limit.recipients and not self._fits(message, limit, now):
                return
            self.open_for(message, dns_word, routes, limit)

    def _fits(self, message: Message, limit: Limit, now_us: int) -> bool:
        """Tell whether the window admits a message besides those that connections are being opened for."""
        if not limit.admits(now_us, message.recipients):
            self.wake_at_window(limit)
            return False
        promised = self.covered_recipients
        return not promised or limit.has_room(now_us, promised + message.recipients)

    def may_open(self) -> bool:
        """Tell whether another connection may open, as far as openings in progress go."""
        return self.waiting > self.openings * self.eagerness

    def _first_free(self, routes: list[int]) -> Limit:
        """Drop routes whose limit is reached from the head of the list; return the limit of the first left."""
        while (limit := self.limit_of(routes[0])).in_use >= limit.connections:
            del routes[0]
        return limit

    def open_for(self, message: Message, dns_word: int, routes: list[int], limit: Limit) -> Connection:
        """Take a slot and let a connection open for a message."""
        engine = self.engine
        now = self.engine.now
        self.connections += 1
        connection = Connection(
            self.connections, message, message.openings, dns_word, routes, routes[0], limit, now, self.env.turn(),
            engine.phase, self._is_aged(message) if self.ages else 0,
        )  # fmt: skip
        self.live[connection.ordinal] = connection
        message.openings += 1
        message.opening = connection
        self.covered_recipients += message.recipients
        self.openings += 1
        limit.in_use += 1
        engine.connection_opened()
        engine.begin(self, connection)
        return connection

    def _is_aged(self, message: Message) -> int:
        known = self.lists.rules
        return rules.is_aged(
            message.arrival_us, message.ready_us, message.tls_failed, known.aged_after_us, known.aged_after_tls_failure
        )

    def limit_of(self, route: int) -> Limit:
        """Return the counters a route uses: the destination's, or its own where limits apply to each MX address."""
        return self.limits[self.lists.slot[route]]

    def moves_to(self, connection: Connection, route: int) -> bool:
        """Let a connection in opening go on to another route, unless that one's limit is reached."""
        other = self.limit_of(route)
        if other is not connection.limit:
            if other.in_use >= other.connections:
                return False
            connection.limit.in_use -= 1
            other.in_use += 1
            connection.limit = other
            self.want_dispatch()
        connection.route = route
        return True

    def wake_at_window(self, limit: Limit) -> None:
        """Ask for a dispatch when a full window of recipients changes."""
        env = self.env
        due = rules.window_wakes_us(self.engine.now, limit.begins_us, limit.window_us)
        if limit.wakes_us != due:
            limit.wakes_us = due
            env.at(due, Rank.RATE_WINDOW, self.index, 0, lambda _: self.want_dispatch())

    # --- transfers and verdicts

    def start(self, message: Message, connection: Connection) -> None:
        """Put a message on a connection; its verdict falls when the transfer ends."""
        engine, lists, env = self.engine, self.lists, self.env
        now = self.engine.now
        self.leave(message)
        own = connection.opener is message and connection.carried == 0
        message.attempt_us = connection.opened_us if own else now
        limit = connection.limit
        if limit.recipients:
            limit.begins_us, limit.used = rules.window_after(
                now, limit.begins_us, limit.used, limit.window_us, limit.recipients, message.recipients
            )
        message.verdicts += 1
        message.route = connection.route
        message.reply = self.reply_to(message, now)
        host = lists.route_host[connection.route]
        if message.reply == 0:
            takes = engine.transfer_us(self, message, host)
        else:
            takes = rules.refusal_us(message.recipients, lists.rtt_us[host])
        connection.idle_since_us = NEVER
        env.set_off(connection.turn, now + takes, Rank.VERDICT, self.index, connection.ordinal, message)

    def reply_to(self, message: Message, now_us: int) -> int:
        """Return the peer's answer to RCPT: 0 accepted, else the reason of the refusal."""
        refusal = message.refusal
        if refusal == REFUSED or (refusal == LATE_REFUSED and message.verdicts > 1):
            return _REPLY_5YZ
        if refusal != ACCEPTED and (refusal == PERSISTENT or message.verdicts == 1):
            return _REPLY_4YZ
        greylist_us = self.lists.greylist_us[self.index]
        if greylist_us and message.new_pair:
            if message.first_verdict_us == NEVER:
                message.first_verdict_us = now_us
            if now_us < message.first_verdict_us + greylist_us:
                return _REPLY_4YZ
        return 0

    def verdict(self, message: Message, connection: Connection) -> None:
        """Act on the peer's final answer."""
        connection.carried += 1
        if message.reply == 0:
            in_clear = connection.outcome == _IN_CLEAR
            message.exposed = connection.phase.stripped[connection.route] if in_clear else 0
            self.finish(message, connection.outcome)
            self.accepted()
            return
        message.reason = message.reply
        if message.reply == _REPLY_5YZ:
            self.finish(message, BOUNCED, Bounce.REPLY_5YZ)
            return
        self.put_off(message, message.attempt_us)

    def accepted(self) -> None:
        """A peer has accepted a message."""
        if self.waiting:
            self.want_dispatch()

    # --- each message's own timer

    def put_off(self, message: Message, started_us: int) -> None:
        """A message is not sent for now, after a try that began then: it bounces, or starts its own timer."""
        message.deferral_events += 1
        if self.has_lapsed(message):
            self.finish(message, BOUNCED, Bounce.EXPIRED_TIME)
        elif message.retries >= self.max_retries:
            self.finish(message, BOUNCED, Bounce.EXPIRED_RETRIES)
        else:
            message.retries += 1
            message.deferred = 1
            message.timer_us = due = self.next_try_us(message, started_us)
            self.on_timer.add(message.ordinal)
            self.env.at(due, Rank.MESSAGE_TIMER, self.index, message.ordinal, lambda _: self.retry_due(message, due))

    @abstractmethod
    def next_try_us(self, message: Message, started_us: int) -> int:
        """Return when a message is tried again whose try, the ``retries``-th that failed, began then."""

    def retry_due(self, message: Message, due_us: int) -> None:
        """The message's timer fell due."""
        if message.timer_us == due_us:
            message.timer_us = NEVER
            self.on_timer.discard(message.ordinal)
            self.wait_again(message)

    def wait_again(self, message: Message) -> None:
        """A message whose timer fell due waits for a connection again."""
        self.wait(message)

    # --- connections open, fall idle, close; passes fail

    def opened(self, connection: Connection) -> None:
        """A pass found an MX host that mail may go to."""
        self._opening_ended(connection)
        self.established += 1

    def _opening_ended(self, connection: Connection) -> None:
        self.openings -= 1
        opener = connection.opener
        if opener.opening is connection:
            opener.opening = None
            if opener.waiting:
                self.covered_recipients -= opener.recipients
                heappush(self._uncovered, opener.ordinal)

    def keeps(self, connection: Connection) -> bool:
        """Tell whether a connection may carry another message: only while the setting it was made under holds."""
        phase = self.engine.phase
        return phase is connection.phase or phase.setting[self.index] == connection.phase.setting[self.index]

    def setting_changed(self) -> None:
        """Close the connections that are idle: what starts from now on goes by the new setting."""
        for connection in sorted(self.idle, key=lambda c: c.ordinal):
            connection.idle_since_us = NEVER
            self.close(connection)
        self.idle.clear()

    def fell_idle(self, connection: Connection) -> None:
        """A connection has nothing to carry: it takes waiting mail at the end of this instant, or idles."""
        connection.idle_since_us = self.engine.now
        self.idle.append(connection)
        if self.waiting:
            self.want_dispatch()
        else:
            self.watch_idle(connection)

    def watch_idle(self, connection: Connection) -> None:
        """Start the idle time-out of a connection unless one is running; one timer serves all its idle spells."""
        if not connection.idle_timer:
            connection.idle_timer = True
            due = connection.idle_since_us + self.idle_us
            self.env.at(
                due, Rank.IDLE_TIMEOUT, self.index, connection.ordinal, lambda _: self.idle_check(connection, due)
            )

    def idle_check(self, connection: Connection, now_us: int) -> None:
        """Close a connection that has been idle for the whole time-out."""
        connection.idle_timer = False
        if connection.idle_since_us == NEVER:
            return
        if connection.idle_since_us + self.idle_us > now_us:
            self.watch_idle(connection)
            return
        self.idle.remove(connection)
        self.close(connection)

    def close(self, connection: Connection) -> None:
        """Close an established connection; another may open now."""
        self.established -= 1
        self.record(connection)
        if self.waiting:
            self.want_dispatch()

    def failed(self, connection: Connection, outcome: int) -> None:
        """A pass ended without a connection that mail may flow on."""
        if outcome == Outcome.BOUNCE_ALL:
            self.bounce_all(connection)
            return
        opener = connection.opener
        opener.tls_failed = rules.is_tls_reason(connection.reason)
        if outcome in (Outcome.BOUNCE_MESSAGE, Outcome.BOUNCE_NOW) and opener.waiting:
            refused = connection.seen == Seen.REFUSED_5XX
            self._bounce(opener, connection, Bounce.STARTTLS_5XX if refused else Bounce.TLS_REQUIRED)
        self._opening_ended(connection)
        self.pass_failed(connection)

    def bounce_all(self, connection: Connection) -> None:
        """The look-up says that there is nobody to send mail to: all that waits bounces."""
        self._opening_ended(connection)
        while (message := self.oldest()) is not None:
            self._bounce(message, connection, Bounce.DNS)
        self.record(connection)

    def _bounce(self, message: Message, connection: Connection, bounce: Bounce) -> None:
        self.leave(message)
        message.reason = connection.reason
        self.finish(message, BOUNCED, bounce)

    @abstractmethod
    def pass_failed(self, connection: Connection) -> None:
        """No MX host took mail: send the row of the connection, and do what this sender does."""

    def record(self, connection: Connection, now_us: int | None = None) -> None:
        """Give a connection's place back and send its row."""
        now = self.engine.now if now_us is None else now_us
        connection.limit.in_use -= 1
        self.engine.open_connections -= 1
        del self.live[connection.ordinal]
        self.engine.rows.connection(
            (self.index, connection.ordinal, connection.opened_us, now, connection.established_us,
             connection.route, connection.carried, connection.outcome, connection.reason)
        )  # fmt: skip

    def end(self, now_us: int) -> None:
        """End a censored run: mail that is left is *queued*, connections that are left close."""
        for message in sorted(self.mail.values(), key=lambda m: m.ordinal):
            if message.waiting:
                self.leave(message)
            self.finish(message, _QUEUED, now_us=now_us)
        for connection in list(self.live.values()):
            self.record(connection, now_us)
