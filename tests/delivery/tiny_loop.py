"""A second engine, written from docs/model.md alone: a heap of events, lists that are scanned, no SimPy.

It is slow and plain on purpose: where it and `sim.delivery.reference` differ, one of them departs from the page.
"""

from __future__ import annotations

from functools import partial
from itertools import count

import numpy as np

from sim.delivery import rules
from sim.delivery.draws import NTH_BITS, RoundKeys, Stream, round_keys, words
from sim.delivery.mail import LATE_REFUSED, PERSISTENT, REFUSED, TRANSIENT, Letter, Mail
from sim.delivery.rules import Rank
from sim.delivery.world import World
from sim.policy.decide import NOT_USED
from sim.results.records import CONNECTION_COLUMNS, MESSAGE_COLUMNS
from sim.results.sinks import Sink
from sim.terms import Bounce, Demand, Fate, Outcome, Reason, Seen, Stage
from tests.delivery.tiny_parts import (
    BUSY,
    CLOSED,
    DONE,
    IDLE,
    OPENING,
    TIMER,
    TRANSFER,
    WAITING,
    Clock,
    Connection,
    Message,
)

FATE_ON = {
    Outcome.DELIVER_CLEAR: Fate.IN_CLEAR,
    Outcome.DELIVER_ENCRYPTED: Fate.ENCRYPTED,
    Outcome.DELIVER_VERIFIED: Fate.VERIFIED,
}
#: Reasons that have nothing to do with TLS, DANE or MTA-STS.
NOT_OF_TLS = {
    Reason.NONE, Reason.DNS_TEMPORARY, Reason.DNS_PERMANENT, Reason.UNREACHABLE, Reason.GREETING, Reason.SESSION_LOST,
    Reason.REPLY_4YZ, Reason.REPLY_5YZ,
}  # fmt: skip


class Destination:
    """One destination: its mail, its connections, its limits, its state."""

    def __init__(
        self, world: World, number: int, letters: list[Letter], clock: Clock, keys: dict[Stream, RoundKeys]
    ) -> None:
        self.world, self.rules, self.number, self.clock, self.keys = world, world.rules, number, clock, keys
        self.of = {name: int(column[number]) for name, column in vars(world.destinations).items()}
        self.routes = range(self.of["route_start"], int(world.destinations.route_start[number + 1]))
        self.outage_table, self.accept_tables = world.tables.outage.tolist(), world.tables.accept.tolist()
        self.messages: list[Message] = []
        self.connections: list[Connection] = []
        self.windows = {self.slot(route): (0, 0) for route in self.routes}
        self.down = self.held = False
        self.probe: Connection | None = None
        self.timer: int | None = None
        self.timer_starts = 0
        self.watch_us: int | None = None
        self.by_message = bool(self.rules.retry_by_message)
        self.dead_until_us, self.dead_reason = 0, 0
        self.falls = count()
        for phase in range(1, len(world.phases.begins_us)):
            begins_us = int(world.phases.begins_us[phase])
            clock.at(begins_us, Rank.TIMELINE, number, phase, partial(self.phase_begins, phase))
        for letter in letters:
            clock.at(letter[1], Rank.ARRIVAL, number, letter[0], partial(self.arrives, Message(*letter[:6])))

    # --- what the timeline changes

    def phase(self) -> int:
        """Return the phase that is in force now."""
        return int(np.searchsorted(self.world.phases.begins_us, self.clock.now_us, side="right")) - 1

    def setting(self, phase: int) -> int:
        return int(self.world.phases.setting[phase, self.number])

    def demand(self, phase: int, route: int) -> int:
        return int(self.world.phases.demand[phase, route])

    def phase_begins(self, phase: int) -> None:
        """Close every idle connection when the setting changes."""
        if self.setting(phase) != self.setting(phase - 1):
            for c in [c for c in self.connections if c.state == IDLE]:
                self.clock.called_off.add(c.timeout)
                self.closes(c)

    # --- what is where

    def slot(self, route: int) -> int:
        return int(self.world.routes.slot[route])

    def waiting(self) -> list[Message]:
        return sorted((m for m in self.messages if m.place == WAITING), key=lambda m: m.ordinal)

    def opening(self) -> list[Connection]:
        return [c for c in self.connections if c.state == OPENING]

    def covered(self) -> set[int]:
        """Return the ordinals of the messages that have an opening in progress."""
        return {c.message.ordinal for c in self.opening()}

    def without_opening(self) -> list[Message]:
        covered = self.covered()
        return [m for m in self.waiting() if m.ordinal not in covered]

    def has_place(self, route: int) -> bool:
        held = [c for c in self.connections if c.state != CLOSED and self.slot(c.route) == self.slot(route)]
        return len(held) < int(self.world.slots.connections[self.slot(route)])

    def lapsed(self, m: Message) -> bool:
        return self.clock.now_us - m.arrival_us >= self.of["lifetime_us"]

    # --- a message

    def arrives(self, m: Message) -> None:
        self.messages.append(m)
        if self.timer is not None and self.rules.new_mail_probes:
            self.stop_timer()
            self.timer_due()
        self.becomes_waiting(m)

    def becomes_waiting(self, m: Message) -> None:
        m.timer = None
        if self.clock.now_us < self.dead_until_us:
            self.put_off_untried(m)
            return
        m.place, m.ready_us = WAITING, self.clock.now_us
        m.deferred |= self.down
        self.ask_for_dispatch()

    def ends(self, m: Message, fate: Fate, bounce: Bounce = Bounce.NONE) -> None:
        m.place, m.fate, m.bounce, m.done_us = DONE, fate, bounce, self.clock.now_us

    def bounce_lapsed(self, oldest_first: list[Message]) -> None:
        for m in oldest_first:
            if not self.lapsed(m):
                break
            self.ends(m, Fate.BOUNCED, Bounce.EXPIRED_TIME)

    def refused_for_now(self, m: Message) -> None:
        assert m.attempt_us is not None
        m.reason = Reason.REPLY_4YZ
        self.put_off(m, m.attempt_us)

    def put_off_untried(self, m: Message) -> None:
        m.reason = self.dead_reason
        self.put_off(m, self.clock.now_us)

    def put_off(self, m: Message, started_us: int) -> None:
        """Bounce a message, or start its own timer after an attempt that began then."""
        m.deferral_events += 1
        if self.lapsed(m):
            self.ends(m, Fate.BOUNCED, Bounce.EXPIRED_TIME)
        elif m.retries >= self.of["max_retries"]:
            self.ends(m, Fate.BOUNCED, Bounce.EXPIRED_RETRIES)
        else:
            waits = self.world.waits_us[self.of["wait_start"] : self.of["wait_stop"]].tolist()
            m.place, m.deferred, m.retries = TIMER, True, m.retries + 1
            now, r = self.clock.now_us, self.rules
            if self.by_message:
                due = rules.next_try_us(r.counted, waits, m.retries, m.arrival_us, started_us, now, r.scan_us)
            else:
                due = rules.due_us(started_us, waits[min(m.retries, len(waits)) - 1], now)
                if r.expire_at_lifetime:
                    due = min(due, m.arrival_us + self.of["lifetime_us"])
            m.timer = self.clock.at(due, Rank.MESSAGE_TIMER, self.number, m.ordinal, lambda: self.message_due(m))

    def message_due(self, m: Message) -> None:
        if self.lapsed(m) and not self.by_message:
            self.ends(m, Fate.BOUNCED, Bounce.EXPIRED_TIME)
        else:
            self.becomes_waiting(m)

    # --- a connection opens

    def order(self, m: Message) -> tuple[int, list[int]]:
        """Return word 0 of the pass that would begin for a message now, and the order of its routes."""
        word_0, word_1, _, _ = words(self.keys[Stream.PASS], self.of["key"], m.ordinal << NTH_BITS | m.openings)
        preference, order = self.world.routes.preference.tolist(), []
        for level in sorted({preference[r] for r in self.routes}):
            equal = [r for r in self.routes if preference[r] == level]
            begin = word_1 * len(equal) >> 32
            order += equal[begin:] + equal[:begin]
        return word_0, order

    def open_for(self, m: Message, dns_word: int, order: list[int]) -> Connection:
        """Let a connection open whose pass begins at the first of these routes."""
        now = self.clock.now_us
        phase, aged = self.phase(), int(self.is_aged(m))
        demand = self.demand(phase, order[0])
        c = Connection(len(self.connections) + 1, m, now, m.openings, phase, aged, demand, order[0], order[1:])
        self.connections.append(c)
        self.clock.open += 1
        m.openings += 1
        if dns_word < self.of["dns_temporary"]:
            self.step(c, now + self.rules.dns_timeout_us, Stage.DNS_TEMPORARY)
        elif self.of["dns_stage"] >= 0:
            stage = Stage(self.of["dns_stage"])
            self.step(c, now + max(1, self.rules.dns_us), stage)
        else:
            self.try_route(c, now + self.rules.dns_us)
        return c

    def is_aged(self, m: Message) -> bool:
        age_us, limit_us = m.ready_us - m.arrival_us, self.rules.aged_after_us
        return (limit_us >= 0 and age_us >= limit_us) or bool(self.rules.aged_after_tls_failure and m.tls_failed)

    def try_route(self, c: Connection, start_us: int) -> None:
        if Demand(c.demand) in NOT_USED:
            self.step(c, start_us + 1, Stage.UNREACHABLE)
            return
        routes, hosts, backends = self.world.routes, self.world.hosts, self.world.backends
        host, nth = int(routes.host[c.route]), c.message.ordinal << NTH_BITS | c.opening
        word_0, word_1, _, _ = words(self.keys[Stream.CONNECTION], self.of["key"] ^ int(hosts.key[host]), nth)
        first, stop = int(hosts.backend_start[host]), int(hosts.backend_start[host + 1])
        backend = rules.first_above(backends.chosen.tolist(), first, stop, word_0)
        phases = self.world.phases
        thresholds = phases.stage[c.phase, backend].tolist()
        stage = Stage(Stage.UNREACHABLE + rules.first_above(thresholds, 0, len(thresholds), word_1))
        if self.outage(host, start_us):
            stage = Stage.UNREACHABLE
        elif phases.stripped[c.phase, c.route]:
            stage = min(stage, Stage.NOT_OFFERED)
        certificate = phases.seen_tls[c.phase, routes.seen_start[c.route] + backend - first]
        seen = int(certificate) if stage == Stage.TLS else None
        trips, rtt_us = int(backends.handshake_round_trips[backend]), int(hosts.rtt_us[host])
        silent_us, hangs_us = int(hosts.unreachable_us[host]), self.rules.handshake_timeout_us
        lasts_us = rules.opening_us(c.demand, stage, rtt_us, trips, silent_us, hangs_us)
        self.step(c, start_us + lasts_us, stage, seen)

    def outage(self, host: int, now_us: int) -> bool:
        """Tell whether a planned outage, or one that begins in this cycle or in the one before, covers an instant."""
        hosts = self.world.hosts
        for begins, ends in self.world.planned_outages[hosts.planned_start[host] : hosts.planned_start[host + 1]]:
            if begins <= now_us < ends:
                return True
        cycle_us, mean_us, key = (int(a[host]) for a in (hosts.outage_cycle_us, hosts.outage_us, hosts.key))
        for cycle in (now_us // cycle_us, now_us // cycle_us - 1) if cycle_us else ():
            word_0, word_1, _, _ = words(self.keys[Stream.OUTAGE], key, cycle)
            begins_us = cycle * cycle_us + rules.share_of(cycle_us, word_0)
            unit = rules.quantile(self.outage_table, word_1)
            lasts_us = min(rules.scaled(mean_us, unit, rules.UNIT_BITS), cycle_us)
            if rules.is_down(now_us, begins_us, lasts_us):
                return True
        return False

    def step(self, c: Connection, time_us: int, stage: Stage, shown: int | None = None) -> None:
        seen = int(self.rules.seen_at[stage]) if shown is None else shown
        self.clock.at(time_us, Rank.CONNECTION_STEP, self.number, c.ordinal, lambda: self.stepped(c, stage, seen))

    def stepped(self, c: Connection, stage: Stage, seen: int) -> None:
        c.outcome = int(self.rules.outcome[c.demand, seen, c.aged])
        c.reason = int(self.rules.reason[c.demand, seen])
        if c.outcome in FATE_ON:
            c.established_us = self.clock.now_us
            self.goes_on(c)
        elif c.outcome == Outcome.RECONNECT_CLEAR:
            c.demand, c.opening = Demand.CLEAR, c.message.openings
            c.message.openings += 1
            self.try_route(c, self.clock.now_us)
        elif c.outcome == Outcome.BOUNCE_ALL:
            for m in self.waiting():
                m.reason = c.reason
                self.ends(m, Fate.BOUNCED, Bounce.DNS)
            self.gives_back(c)
        elif c.outcome in (Outcome.RETRY, Outcome.BOUNCE_NOW) or stage < Stage.UNREACHABLE or not self.moves_on(c):
            if c.outcome in (Outcome.BOUNCE_MESSAGE, Outcome.BOUNCE_NOW) and c.message.place == WAITING:
                c.message.reason = c.reason
                rule = Bounce.STARTTLS_5XX if seen == Seen.REFUSED_5XX else Bounce.TLS_REQUIRED
                self.ends(c.message, Fate.BOUNCED, rule)
            self.pass_failed(c)

    def moves_on(self, c: Connection) -> bool:
        """Try the next route whose limit has a place, its own place counted as free; tell whether there was one."""
        while c.untried:
            route, moves = c.untried.pop(0), False
            if self.slot(route) != self.slot(c.route):
                if not self.has_place(route):
                    continue
                moves = True
            c.route, c.demand = route, self.demand(c.phase, route)
            self.try_route(c, self.clock.now_us)
            if moves:
                self.ask_for_dispatch()
            return True
        return False

    # --- a connection carries

    def goes_on(self, c: Connection) -> None:
        """Fall idle, or close where the limit is reached or the setting has changed since."""
        if c.messages < self.of["max_messages"] and self.setting(self.phase()) == self.setting(c.phase):
            self.falls_idle(c)
        else:
            self.closes(c)

    def falls_idle(self, c: Connection) -> None:
        c.state, c.fell_idle = IDLE, next(self.falls)
        due = self.clock.now_us + self.rules.idle_us
        c.timeout = self.clock.at(due, Rank.IDLE_TIMEOUT, self.number, c.ordinal, lambda: self.closes(c))
        self.ask_while_mail_waits()

    def gives_back(self, c: Connection) -> None:
        c.state, c.closed_us = CLOSED, self.clock.now_us
        self.clock.open -= 1
        if self.probe is c:
            self.probe = None

    def closes(self, c: Connection) -> None:
        self.gives_back(c)
        self.held = False
        self.ask_while_mail_waits()

    def transfer(self, m: Message, c: Connection) -> None:
        now, hosts, slot = self.clock.now_us, self.world.hosts, self.slot(c.route)
        host, limit = int(self.world.routes.host[c.route]), int(self.world.slots.recipients[slot])
        self.clock.called_off.add(c.timeout)
        c.state, m.place, m.route, m.verdicts = BUSY, TRANSFER, c.route, m.verdicts + 1
        m.attempt_us = c.opened_us if c.message is m and c.messages == 0 else now
        if limit:
            window_us = int(self.world.slots.window_us[slot])
            self.windows[slot] = rules.window_after(now, *self.windows[slot], window_us, limit, m.recipients)
        answer, rtt_us = self.answer(m), int(hosts.rtt_us[host])
        lasts_us = rules.refusal_us(m.recipients, rtt_us)
        if answer == 2:
            word = words(self.keys[Stream.VERDICT], self.of["key"], m.ordinal << NTH_BITS | m.verdicts)[0]
            unit = rules.quantile(self.accept_tables[int(hosts.accept_table[host])], word)
            accept_us = rules.scaled(int(hosts.accept_us[host]), unit, rules.UNIT_BITS)
            lasts_us = rules.transfer_us(m.size_bytes, m.recipients, rtt_us, int(hosts.us_per_mib[host]), accept_us)
        self.clock.at(now + lasts_us, Rank.VERDICT, self.number, c.ordinal, lambda: self.verdict(m, c, answer))

    def answer(self, m: Message) -> int:
        """Return the first digit of the peer's reply, known when the transfer starts."""
        if m.refusal == REFUSED or (m.refusal == LATE_REFUSED and m.verdicts > 1):
            return 5
        if m.refusal == PERSISTENT or (m.refusal in (TRANSIENT, LATE_REFUSED) and m.verdicts == 1):
            return 4
        if self.of["greylist_us"] and m.new_pair:
            if m.greylisted_us is None:
                m.greylisted_us = self.clock.now_us
            if self.clock.now_us < m.greylisted_us + self.of["greylist_us"]:
                return 4
        return 2

    def verdict(self, m: Message, c: Connection, answer: int) -> None:
        c.messages += 1
        if answer == 2:
            in_clear = c.outcome == Outcome.DELIVER_CLEAR
            m.exposed = in_clear and bool(self.world.phases.stripped[c.phase, c.route])
            self.ends(m, FATE_ON[Outcome(c.outcome)])
            self.accepted()
        elif answer == 4:
            self.refused_for_now(m)
        else:
            m.reason = Reason.REPLY_5YZ
            self.ends(m, Fate.BOUNCED, Bounce.REPLY_5YZ)
        self.goes_on(c)

    def accepted(self) -> None:
        self.down = self.held = False
        self.probe, self.timer_starts = None, 0
        self.stop_timer()
        if self.rules.success_releases_all and not self.by_message:
            for m in [m for m in self.messages if m.place == TIMER]:
                assert m.timer is not None
                self.clock.called_off.add(m.timer)
                self.becomes_waiting(m)
        self.ask_while_mail_waits()

    # --- a pass fails

    def pass_failed(self, c: Connection) -> None:
        was_probe = self.probe is c
        self.gives_back(c)
        c.message.tls_failed = c.reason not in NOT_OF_TLS
        if self.by_message:
            self.message_put_off(c)
            return
        for m in self.waiting():
            m.deferral_events += 1
            m.reason = c.reason
        if self.down:
            if was_probe:
                self.start_timer(c.opened_us)
        elif any(other.state in (IDLE, BUSY) for other in self.connections):
            self.held = True
        else:
            self.down = True
            for m in self.waiting():
                m.deferred = True
            self.start_timer(c.opened_us)
        self.ask_for_dispatch()

    def message_put_off(self, c: Connection) -> None:
        """Put off the message a failed pass was for; where no connection is left, the destination is dead."""
        if c.message.place == WAITING:
            c.message.reason = c.reason
            self.put_off(c.message, c.opened_us)
        ends_alone = c.outcome == Outcome.BOUNCE_NOW
        if self.rules.dead_us and not ends_alone and all(other.state == CLOSED for other in self.connections):
            self.dead_until_us, self.dead_reason = c.opened_us + self.rules.dead_us, c.reason
            if self.dead_until_us > self.clock.now_us:
                for m in self.waiting():
                    self.put_off_untried(m)
        self.ask_for_dispatch()

    def start_timer(self, started_us: int) -> None:
        waits = self.rules.host_waits_us.tolist()
        due = rules.due_us(started_us, waits[min(self.timer_starts, len(waits) - 1)], self.clock.now_us)
        self.timer_starts += 1
        self.timer = self.clock.at(due, Rank.DESTINATION_TIMER, self.number, 0, self.timer_due)

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.clock.called_off.add(self.timer)
            self.timer = None

    def timer_due(self) -> None:
        self.timer = None
        self.bounce_lapsed(self.waiting())
        self.ask_for_dispatch()

    # --- dispatch

    def ask_for_dispatch(self) -> None:
        self.clock.asked[self.number] = self.dispatch

    def ask_while_mail_waits(self) -> None:
        if self.waiting():
            self.ask_for_dispatch()

    def dispatch(self) -> None:
        while self.hands_out():
            pass
        if self.by_message:
            while self.opens():
                pass
            return
        if self.down and not self.silent():
            self.bounce_lapsed(self.without_opening())
        while self.opens():
            pass
        if not self.silent():
            self.bounce_lapsed(self.without_opening())
        self.set_watch()

    def hands_out(self) -> bool:
        """Do step 1 once; tell whether a message went onto a connection."""
        idle, mail = [c for c in self.connections if c.state == IDLE], self.waiting()
        if not idle or not mail:
            return False
        for c in sorted(idle, key=lambda c: -c.fell_idle):
            if self.admits(self.slot(c.route), mail[0]):
                self.transfer(mail[0], c)
                return True
            self.wake_with(self.slot(c.route))
        return False

    def opens(self) -> bool:
        """Do step 2 once; tell whether a connection began to open."""
        mail, without = self.waiting(), self.without_opening()
        if not without:
            return False
        if self.down:
            if self.timer is not None or self.probe is not None:
                return False
        elif self.held or len(mail) <= self.rules.messages_per_opening * len(self.opening()):
            return False
        dns_word, order = self.order(without[0])
        while order and not self.has_place(order[0]):
            order.pop(0)
        if not order:
            return False
        if self.clock.open >= self.clock.ceiling:
            self.clock.line.setdefault(self.number, self.dispatch)
            return False
        slot = self.slot(order[0])
        if not self.admits(slot, without[0]):
            self.wake_with(slot)
            return False
        promised = sum(m.recipients for m in mail) - sum(m.recipients for m in without)
        if promised and not self.has_room(slot, promised + without[0].recipients):
            return False
        c = self.open_for(without[0], dns_word, order)
        if self.down:
            self.probe = c
        return True

    def admits(self, slot: int, m: Message) -> bool:
        limit, window_us = int(self.world.slots.recipients[slot]), int(self.world.slots.window_us[slot])
        return not limit or rules.window_admits(self.clock.now_us, *self.windows[slot], window_us, limit, m.recipients)

    def has_room(self, slot: int, recipients: int) -> bool:
        limit, window_us = int(self.world.slots.recipients[slot]), int(self.world.slots.window_us[slot])
        return not limit or recipients <= rules.window_room(self.clock.now_us, *self.windows[slot], window_us, limit)

    def wake_with(self, slot: int) -> None:
        window_us = int(self.world.slots.window_us[slot])
        when = rules.window_wakes_us(self.clock.now_us, self.windows[slot][0], window_us)
        self.clock.at(when, Rank.RATE_WINDOW, self.number, 0, self.window_changes)

    def window_changes(self) -> None:
        self.ask_for_dispatch()

    def watched(self) -> list[Message]:
        if self.rules.expire_at_lifetime:
            return self.waiting()
        return [] if self.silent() else self.without_opening()

    def silent(self) -> bool:
        return self.down and (self.timer is not None or (self.probe is not None and self.probe.state == OPENING))

    def set_watch(self) -> None:
        """Watch the oldest; a watch that is set is never called off, only moved to an earlier time."""
        for m in self.watched()[:1]:
            when = max(self.clock.now_us, m.arrival_us + self.of["lifetime_us"])
            if self.watch_us is None or when < self.watch_us:
                self.watch_us = when
                self.clock.at(when, Rank.EXPIRY, self.number, 0, partial(self.expires, when))

    def expires(self, when: int) -> None:
        if self.watch_us == when:
            self.watch_us = None
            self.bounce_lapsed(self.watched())
            self.set_watch()
            self.ask_while_mail_waits()


def run(world: World, seed: int, sink: Sink, kind: type[Destination] = Destination) -> None:
    """Deliver the mail of a world and send all its rows to the sink."""
    clock, mail, until_us = Clock(world.rules.max_connections), Mail(world, seed), world.rules.until_us
    keys = {stream: round_keys(seed, stream) for stream in Stream}
    numbers = range(len(world.destinations.key))
    destinations = [kind(world, d, list(mail.of(d)), clock, keys) for d in numbers]
    clock.run(until_us)
    messages, connections = [], []
    for d in destinations:
        for m in d.messages:
            of = {"destination": d.number, **vars(m), "done_us": m.done_us if m.place == DONE else until_us}
            messages.append([int(of[name]) for name in MESSAGE_COLUMNS])
        for c in d.connections:
            of = {"destination": d.number, **vars(c), "closed_us": c.closed_us if c.state == CLOSED else until_us}
            connections.append([int(of[name]) for name in CONNECTION_COLUMNS])
    sink.messages(np.array(messages, dtype=np.int64).reshape(-1, len(MESSAGE_COLUMNS)))
    sink.connections(np.array(connections, dtype=np.int64).reshape(-1, len(CONNECTION_COLUMNS)))
