"""The SimPy engine: the story of a message from its arrival to its fate. It is the specification.

Each destination has a process that brings its mail, and one for each of its connections, which opens,
carries messages one after another and closes. What a destination makes of it stands in
:mod:`sim.delivery.queue`, and how it retries in :mod:`sim.delivery.by_destination` and
:mod:`sim.delivery.by_message`; ``docs/model.md`` tells the same story in words.

No ``simpy.Resource`` is used: equal times are the normal case here, and their order is part of the model
(:mod:`sim.delivery.rules`), while a resource would serve whoever asked first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import simpy

from sim.delivery import rules
from sim.delivery.by_destination import RetryByDestination
from sim.delivery.by_message import RetryByMessage
from sim.delivery.clock import OrderedEnvironment, Started
from sim.delivery.draws import NTH_BITS, Stream, round_keys, words
from sim.delivery.lists import Lists, Outages, Phase, RowBuffer
from sim.delivery.mail import Mail
from sim.delivery.parts import Connection, Limit, Message
from sim.delivery.queue import Destination
from sim.delivery.rules import HOUR_US, UNIT_BITS, Rank
from sim.delivery.world import World
from sim.results.sinks import Sink
from sim.terms import Demand, Outcome, Seen, Stage

#: Called with (simulated time in us, messages that arrived, messages that have their fate).
Progress = Callable[[int, int, int], None]
Steps = Generator[simpy.Event, Any, None]
Opening = Generator[simpy.Event, Any, int]

_CLEAR = int(Demand.CLEAR)
_UNREACHABLE, _NOT_OFFERED = int(Stage.UNREACHABLE), int(Stage.NOT_OFFERED)
_TLS = int(Stage.TLS)
_NOT_ASKED = int(Seen.UNREACHABLE)
_DELIVERS = int(Outcome.DELIVER_VERIFIED)
_RECONNECT_CLEAR, _NEXT_HOST = int(Outcome.RECONNECT_CLEAR), int(Outcome.NEXT_HOST)
_BOUNCE_MESSAGE, _BOUNCE_ALL = int(Outcome.BOUNCE_MESSAGE), int(Outcome.BOUNCE_ALL)

_index = attrgetter("index")


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a run says of itself beside its rows."""

    end_us: int
    arrived: int
    peak_connections: int
    ceiling_reached: bool  #: whether the system-wide ceiling ever held an opening back


class Reference:
    """Runs a World under a seed and sends a row per message and per connection to a sink."""

    def __init__(self, world: World, seed: int, sink: Sink) -> None:
        self.lists = Lists(world)
        self.env = OrderedEnvironment()
        self.rows = RowBuffer(sink)
        self.limits = [Limit(*row) for row in zip(*self.lists.slot_columns, strict=True)]
        self.open_connections = self.peak_connections = self.arrived = 0
        self.touched: list[Destination] = []
        self.line: deque[Destination] = deque()
        self.ceiling_reached = False
        self.now = 0
        self._outages = Outages(self.lists, seed)
        self._pass, self._connection, self._verdict = (
            round_keys(seed, s) for s in (Stream.PASS, Stream.CONNECTION, Stream.VERDICT)
        )
        self._mail = Mail(world, seed)
        first, *later = [Phase(world, row) for row in range(len(world.phases.begins_us))]
        self.phase = first
        kind = RetryByMessage if world.rules.retry_by_message else RetryByDestination
        self.destinations: list[Destination] = [kind(i, self) for i in range(len(self.lists.key))]
        for destination in self.destinations:
            Started(self.env, self.bring_mail(destination))
        for number, phase in enumerate(later):
            Started(self.env, self.change(phase, number))

    def run(self, progress: Progress | None = None) -> RunFacts:
        """Run until every message has its fate, or until the World's ``until``."""
        until, hour = self.lists.rules.until_us, HOUR_US
        for now in self.instants(until):
            if now >= hour:
                hour = (now // HOUR_US + 1) * HOUR_US
                if progress is not None:
                    progress(now, self.arrived, self.rows.finished)
        return self._finished(until)

    def instants(self, until_us: int = -1) -> Iterator[int]:
        """Run instant by instant: yield the time of each after all of its events and dispatches."""
        env, touched, line = self.env, self.touched, self.line
        ceiling = self.lists.rules.max_connections
        now = env.following_us()
        while now is not None and (until_us < 0 or now < until_us):
            self.now = now
            env.step()
            following = env.following_us()
            if (touched or (line and self.open_connections < ceiling)) and following != now:
                due = sorted(touched, key=_index) if len(touched) > 1 else touched.copy()
                touched.clear()
                if line:
                    self._serve_line()
                for destination in due:
                    if destination.dispatch_due:
                        destination.dispatch()
                following = env.following_us()
            if following != now:
                yield now
            now = following

    def _serve_line(self) -> None:
        """Dispatch who waits for a place below the ceiling, first come, first served, as long as there is one."""
        while self.line and self.open_connections < self.lists.rules.max_connections:
            destination = self.line.popleft()
            destination.in_line = False
            destination.dispatch()

    def line_up(self, destination: Destination) -> None:
        """Let a destination that the ceiling stops wait at the end of the line, unless it stands there already."""
        self.ceiling_reached = True
        if not destination.in_line:
            destination.in_line = True
            self.line.append(destination)

    def _finished(self, until: int) -> RunFacts:
        for destination in self.destinations:
            if until < 0 and (destination.mail or destination.live):
                raise RuntimeError(
                    f"destination {destination.index}: {len(destination.mail)} messages and "
                    f"{len(destination.live)} connections are left, but no event is"
                )
            destination.end(self.now if until < 0 else until)
        self.rows.flush()
        return RunFacts(self.rows.last_us, self.arrived, self.peak_connections, self.ceiling_reached)

    # --- processes

    def bring_mail(self, destination: Destination) -> Steps:
        """Bring a destination its messages, each at its time."""
        for letter in self._mail.of(destination.index):
            ordinal, arrival_us = letter[:2]
            yield self.env.at(arrival_us, Rank.ARRIVAL, destination.index, ordinal)
            self.arrived += 1
            destination.receive(letter)

    def change(self, phase: Phase, number: int) -> Steps:
        """Let a phase of the timeline begin: connections made under another setting of ours carry no more mail.

        Of phases that begin at the same microsecond the last is in force.
        """
        yield self.env.at(phase.begins_us, Rank.TIMELINE, 0, number)
        before, self.phase = self.phase, phase
        for destination in self.destinations:
            if phase.setting[destination.index] != before.setting[destination.index]:
                destination.setting_changed()

    def begin(self, destination: Destination, connection: Connection) -> None:
        """Let a connection open."""
        Started(self.env, self.carry(destination, connection))

    def carry(self, destination: Destination, connection: Connection) -> Steps:
        """Open a connection and carry messages on it, one after another, until its limit or its time-out.

        A connection that idles out is closed by its destination, and this process simply never goes on.
        """
        outcome = yield from self.try_hosts(destination, connection)
        if outcome > _DELIVERS:
            destination.failed(connection, outcome)
            return
        connection.established_us = self.now
        destination.opened(connection)
        while connection.carried < destination.max_messages and destination.keeps(connection):
            destination.fell_idle(connection)
            message: Message = yield connection.turn
            connection.turn = self.env.turn()
            destination.verdict(message, connection)
        destination.close(connection)

    def try_hosts(self, destination: Destination, connection: Connection) -> Opening:
        """Try the MX hosts in order until mail may flow on one; return the last outcome (RFC 5321 section 5.1).

        The end of each try is an event of its own only where it can be seen: where it may move the connection from one
        limit to another, and where the run may end in between.
        """
        lists, demand = self.lists, connection.phase.demand
        begins_us = self.now + lists.rules.dns_us
        stage = self._look_up(destination, connection)
        if stage >= 0:
            takes_us = lists.rules.dns_timeout_us if stage == Stage.DNS_TEMPORARY else max(1, lists.rules.dns_us)
            yield self._step(destination, connection, self.now + takes_us)
            return self._conclude(connection, demand[connection.route], lists.seen_at[stage])
        outcome, ends_us = _NEXT_HOST, begins_us
        for route in connection.routes:
            if route != connection.route and not destination.moves_to(connection, route):
                continue
            asked = demand[route]
            while True:
                seen, takes_us = _NOT_ASKED, 1
                if not lists.may_not_connect[asked]:
                    seen, takes_us = self._meet(destination, connection, route, asked, ends_us)
                ends_us += takes_us
                if destination.stepwise:
                    yield self._step(destination, connection, ends_us)
                outcome = self._conclude(connection, asked, seen)
                if outcome != _RECONNECT_CLEAR:
                    break
                asked = _CLEAR
                connection.opening = connection.opener.openings
                connection.opener.openings += 1
            if outcome != _NEXT_HOST and outcome != _BOUNCE_MESSAGE:
                break
        if not destination.stepwise:
            yield self._step(destination, connection, ends_us)
        return outcome

    # --- what a connection meets

    def _step(self, destination: Destination, connection: Connection, time_us: int) -> simpy.Event:
        return self.env.at(time_us, Rank.CONNECTION_STEP, destination.index, connection.ordinal)

    def _conclude(self, connection: Connection, demand: int, seen: int) -> int:
        connection.seen = seen
        connection.reason = self.lists.reason[demand][seen]
        connection.outcome = outcome = self.lists.outcome[demand][seen][connection.aged]
        return outcome

    def plan(self, destination: Destination, message: Message) -> tuple[int, list[int]]:
        """Draw a pass for a message: the word of its DNS look-up, and the order of the routes.

        Routes of equal preference are taken in turn from one that the draw picks, so that they share the mail.
        """
        lists = self.lists
        nth = message.ordinal << NTH_BITS | message.openings
        dns_word, turn, _, _ = words(self._pass, lists.key[destination.index], nth)
        if destination.order is not None:
            return dns_word, destination.order.copy()
        order: list[int] = []
        for group in destination.preference_groups:
            first = turn * len(group) >> 32
            order += group[first:] + group[:first]
        return dns_word, order

    def _look_up(self, destination: Destination, connection: Connection) -> int:
        if connection.dns_word < self.lists.dns_temporary[destination.index]:
            return int(Stage.DNS_TEMPORARY)
        return self.lists.dns_stage[destination.index]

    def _meet(
        self, destination: Destination, connection: Connection, route: int, demand: int, begins_us: int
    ) -> tuple[int, int]:
        """Meet an MX host: return the class of evidence seen and how long it took (at least 1 us)."""
        lists, phase, opener = self.lists, connection.phase, connection.opener
        host = lists.route_host[route]
        who = lists.key[destination.index] ^ lists.host_key[host]
        pool_word, stage_word, _, _ = words(self._connection, who, opener.ordinal << NTH_BITS | connection.opening)
        start, stop = lists.backend_start[host], lists.backend_start[host + 1]
        backend = rules.first_above(lists.chosen, start, stop - 1, pool_word)
        stages = phase.stage[backend]
        stage = _TLS if stage_word >= stages[-1] else _UNREACHABLE + rules.first_above(stages, 0, 9, stage_word)
        if self._outages.has[host] and self._outages.covers(host, begins_us):
            stage = _UNREACHABLE
        elif stage > _NOT_OFFERED and phase.stripped[route]:
            stage = _NOT_OFFERED
        seen = phase.seen_tls[lists.seen_start[route] + backend - start] if stage == _TLS else lists.seen_at[stage]
        takes_us = rules.opening_us(
            demand, stage, lists.rtt_us[host], lists.handshake_round_trips[backend], lists.unreachable_us[host],
            lists.handshake_timeout_us,
        )  # fmt: skip
        return seen, takes_us

    def transfer_us(self, destination: Destination, message: Message, host: int) -> int:
        """Return how long an accepted message takes; the peer's acceptance time is drawn per verdict."""
        lists = self.lists
        word = message.accept_word
        if message.verdicts > 1:
            nth = message.ordinal << NTH_BITS | message.verdicts
            word = words(self._verdict, lists.key[destination.index], nth)[0]
        unit = rules.quantile(lists.accept_tables[lists.accept_table[host]], word)
        accept_us = rules.scaled(lists.accept_us[host], unit, UNIT_BITS)
        return rules.transfer_us(
            message.size_bytes, message.recipients, lists.rtt_us[host], lists.us_per_mib[host], accept_us
        )

    def connection_opened(self) -> None:
        """Count one more open connection."""
        self.open_connections += 1
        if self.open_connections > self.peak_connections:
            self.peak_connections = self.open_connections
