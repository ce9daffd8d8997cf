"""What the plain-Python engine keeps at hand: the World's arrays as lists, outages it has drawn, rows it will send."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from sim.delivery.draws import Stream, round_keys, words
from sim.delivery.rules import UNIT_BITS, is_down, may_not_connect, quantile, scaled, share_of
from sim.delivery.world import World
from sim.results.records import CONNECTION_COLUMNS, MESSAGE_COLUMNS
from sim.results.sinks import Sink
from sim.terms import Demand

_BATCH = 8_192
_DONE, _CLOSED = MESSAGE_COLUMNS.index("done_us"), CONNECTION_COLUMNS.index("closed_us")


class Lists:
    """A World's arrays as Python lists, whose elements are read several times faster one by one."""

    key: list[int]
    dns_stage: list[int]
    dns_temporary: list[int]
    greylist_us: list[int]
    max_messages: list[int]
    lifetime_us: list[int]
    max_retries: list[int]
    wait_start: list[int]
    wait_stop: list[int]
    route_start: list[int]
    route_host: list[int]
    preference: list[int]
    slot: list[int]
    seen_start: list[int]
    slot_columns: tuple[list[int], list[int], list[int]]
    host_key: list[int]
    rtt_us: list[int]
    us_per_mib: list[int]
    accept_us: list[int]
    accept_table: list[int]
    outage_us: list[int]
    outage_cycle_us: list[int]
    unreachable_us: list[int]
    backend_start: list[int]
    planned: list[list[list[int]]]
    chosen: list[int]
    handshake_round_trips: list[int]
    waits_us: list[int]
    seen_at: list[int]
    outcome: list[list[list[int]]]
    reason: list[list[int]]
    host_waits_us: list[int]
    accept_tables: list[list[int]]
    outage_table: list[int]

    def __init__(self, world: World) -> None:
        self.world = world
        d, r, s, h, b = world.destinations, world.routes, world.slots, world.hosts, world.backends
        self.key = d.key.tolist()
        self.dns_stage, self.dns_temporary = d.dns_stage.tolist(), d.dns_temporary.tolist()
        self.greylist_us, self.max_messages = d.greylist_us.tolist(), d.max_messages.tolist()
        self.lifetime_us, self.max_retries = d.lifetime_us.tolist(), d.max_retries.tolist()
        self.wait_start, self.wait_stop = d.wait_start.tolist(), d.wait_stop.tolist()
        self.route_start = d.route_start.tolist()
        self.route_host, self.preference = r.host.tolist(), r.preference.tolist()
        self.slot, self.seen_start = r.slot.tolist(), r.seen_start.tolist()
        self.slot_columns = s.connections.tolist(), s.recipients.tolist(), s.window_us.tolist()
        self.host_key, self.rtt_us, self.us_per_mib = h.key.tolist(), h.rtt_us.tolist(), h.us_per_mib.tolist()
        self.accept_us, self.accept_table = h.accept_us.tolist(), h.accept_table.tolist()
        self.outage_us, self.outage_cycle_us = h.outage_us.tolist(), h.outage_cycle_us.tolist()
        self.unreachable_us, self.backend_start = h.unreachable_us.tolist(), h.backend_start.tolist()
        planned, start = world.planned_outages.tolist(), h.planned_start.tolist()
        self.planned = [planned[a:b] for a, b in pairwise(start)]
        self.chosen = b.chosen.tolist()
        self.handshake_round_trips = b.handshake_round_trips.tolist()
        self.waits_us = world.waits_us.tolist()
        self.seen_at = world.rules.seen_at.tolist()
        self.outcome, self.reason = world.rules.outcome.tolist(), world.rules.reason.tolist()
        self.host_waits_us = world.rules.host_waits_us.tolist()
        self.accept_tables, self.outage_table = world.tables.accept.tolist(), world.tables.outage.tolist()
        self.may_not_connect = [may_not_connect(demand) for demand in Demand]
        self.handshake_timeout_us = world.rules.handshake_timeout_us
        self.rules = world.rules


class Phase:
    """What is in force in one phase of the timeline, as lists."""

    __slots__ = ("begins_us", "demand", "seen_tls", "setting", "stage", "stripped")

    def __init__(self, world: World, row: int) -> None:
        phases = world.phases
        self.begins_us = int(phases.begins_us[row])
        self.setting: list[int] = phases.setting[row].tolist()
        self.demand: list[int] = phases.demand[row].tolist()
        self.stripped: list[int] = phases.stripped[row].tolist()
        self.stage: list[list[int]] = phases.stage[row].tolist()
        self.seen_tls: list[int] = phases.seen_tls[row].tolist()


class Outages:
    """Tells whether an MX host is down at an instant: planned, or since one outage begins in each of its cycles.

    Where in its cycle an outage begins, and how long it lasts, a draw says.
    """

    def __init__(self, lists: Lists, seed: int) -> None:
        self._lists = lists
        self._keys = round_keys(seed, Stream.OUTAGE)
        #: Per host: the cycle drawn last, then the beginning and length of its outage and of the one before.
        self._drawn: list[tuple[int, int, int, int, int]] = [(-1, 0, 0, 0, 0)] * len(lists.host_key)
        #: Whether a host has outages at all.
        self.has = [bool(cycle or planned) for cycle, planned in zip(lists.outage_cycle_us, lists.planned, strict=True)]

    def covers(self, host: int, now_us: int) -> bool:
        """Tell whether a host is down now; an outage may reach into the cycle after its own."""
        for begins, ends in self._lists.planned[host]:
            if begins <= now_us < ends:
                return True
        if not self._lists.outage_cycle_us[host]:
            return False
        cycle = now_us // self._lists.outage_cycle_us[host]
        drawn = self._drawn[host]
        if drawn[0] != cycle:
            drawn = self._drawn[host] = (cycle, *self._outage(host, cycle), *self._outage(host, cycle - 1))
        _, begins, lasts, began, lasted = drawn
        return is_down(now_us, begins, lasts) or is_down(now_us, began, lasted)

    def _outage(self, host: int, cycle: int) -> tuple[int, int]:
        lists = self._lists
        at, length, _, _ = words(self._keys, lists.host_key[host], cycle)
        cycle_us = lists.outage_cycle_us[host]
        lasts_us = scaled(lists.outage_us[host], quantile(lists.outage_table, length), UNIT_BITS)
        return cycle * cycle_us + share_of(cycle_us, at), min(lasts_us, cycle_us)


class RowBuffer:
    """Collects rows and sends them to a sink in batches."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._messages: list[tuple[int, ...]] = []
        self._connections: list[tuple[int, ...]] = []
        self.finished = 0
        self.last_us = 0

    def message(self, row: tuple[int, ...]) -> None:
        """Take the row of a message that has its fate."""
        self.finished += 1
        self.last_us = max(self.last_us, row[_DONE])
        self._messages.append(row)
        if len(self._messages) >= _BATCH:
            self._sink.messages(np.array(self._messages, dtype=np.int64))
            self._messages.clear()

    def connection(self, row: tuple[int, ...]) -> None:
        """Take the row of a connection that closed, or whose pass failed."""
        self.last_us = max(self.last_us, row[_CLOSED])
        self._connections.append(row)
        if len(self._connections) >= _BATCH:
            self._sink.connections(np.array(self._connections, dtype=np.int64))
            self._connections.clear()

    def flush(self) -> None:
        """Send what is left."""
        if self._messages:
            self._sink.messages(np.array(self._messages, dtype=np.int64))
        if self._connections:
            self._sink.connections(np.array(self._connections, dtype=np.int64))
        self._messages.clear()
        self._connections.clear()
