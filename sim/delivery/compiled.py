"""The compiled engine: the reference's twin, which sends the same rows, two orders of magnitude sooner.

Its kernel (:mod:`sim.delivery.kernel`) is plain Python over flat arrays, compiled with the :mod:`sim.delivery.rules`
and :mod:`sim.delivery.draws` that the reference uses. Destinations do not depend on each other, so they are dealt to
shards that threads run, window of time by window; in between rows go to the sink.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import pairwise
from threading import Lock
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim import jit
from sim.delivery import draws, rules
from sim.delivery.draws import Stream, round_keys
from sim.delivery.kernel import heaps, loop, mail, opening, queue, together
from sim.delivery.kernel.packed import (
    CONNECTION,
    FAR_US,
    MESSAGE,
    NODE,
    NOWHERE,
    ROWS,
    SHARD,
    Int64,
    Records,
    grow,
    growing,
    keys_of,
    limits_of,
    pack,
    queues_of,
    records,
)
from sim.delivery.level import OpenConnections
from sim.delivery.reference import Progress, RunFacts
from sim.delivery.world import World, expected_messages
from sim.results.records import CONNECTION_COLUMNS, MESSAGE_COLUMNS
from sim.results.sinks import Sink

_STREAMS = (Stream.ARRIVAL, Stream.MESSAGE, Stream.VERDICT, Stream.PASS, Stream.CONNECTION, Stream.OUTAGE)
#: Rows of a buffer, until a destination has more mail than that.
_ROWS = ROWS
#: Messages, and connections, that a shard has room for at first.
_PLACES = 1 << 10
#: So many are too many to have as many again in reserve.
_MANY = 1 << 16
#: Openings of connections in a window of time that are about right.
_OPENINGS = 1 << 21
#: The same for each destination: one that has little to do in a window costs the fetching of its data all the same.
_OPENINGS_EACH = 16


@cache
def compiled_kernel() -> SimpleNamespace:
    """Compile the kernel, or take what was compiled before."""
    for module in (rules, draws, heaps, mail, opening, queue, loop, together):
        jit.register(*(f for f in _functions(module) if f is not draws.upper_product))
    jit.register_bit_length()
    jit.register_upper_product(draws.upper_product, draws.MULTIPLIER)
    entries = (loop.begin, loop.advance, loop.end, together.plant, together.advance_together)
    return SimpleNamespace(**{f.__name__: jit.compiled(f) for f in entries})


def _functions(module: ModuleType) -> list[Callable[..., Any]]:
    return [f for f in vars(module).values() if callable(f) and getattr(f, "__module__", "") == module.__name__]


class Compiled:
    """Runs a World under a seed and sends a row per message and per connection to a sink.

    Destinations meet only at the system-wide ceiling of connections. So they run by themselves first; should as many
    connections be open at once as the ceiling allows, the sink forgets it all and they run together.

    Parameters
    ----------
    threads : None = as many as there are processors.
    """

    def __init__(self, world: World, seed: int, sink: Sink, threads: int | None = None) -> None:
        self._world, self._seed, self._sink = world, seed, sink
        self._threads = threads or processors()

    def run(self, progress: Progress | None = None) -> RunFacts:
        """Run until every message has its fate, or until the World's ``until``."""
        facts = _Run(self._world, self._seed, self._sink, self._threads).run(progress)
        jit.mark_warm()
        if facts.peak_connections >= self._world.rules.max_connections:
            self._sink.clear()
            facts = _Run(self._world, self._seed, self._sink, together=True).run(progress)
        return facts


class _Run:
    """One run: destinations by themselves, in shards that threads share, or all together in one."""

    def __init__(self, world: World, seed: int, sink: Sink, threads: int = 1, *, together: bool = False) -> None:
        self._sink = sink
        self._kernel = compiled_kernel()
        self._threads = threads
        self._ceiling = world.rules.max_connections
        w, at, self._known = pack(world)
        self._packed = (w, at, self._known, keys_of([round_keys(seed, stream) for stream in _STREAMS]))
        self._limits = limits_of(world)
        queues = queues_of(world)
        load = expected_messages(world)
        self._openings = _OPENINGS if together else max(_OPENINGS, _OPENINGS_EACH * len(queues))
        self._window_us = _first_window_us(world, load.sum(), self._openings)
        cuts = [0, len(queues)] if together else _cuts(load, 4 * threads)
        self._shards = [_Shard(queues[a:b], a, self._ceiling if together else FAR_US) for a, b in pairwise(cuts)]
        self._together = together
        self._tree: tuple[Int64, ...] = ()
        self._lock = Lock()
        self._stopped = False
        self._open = OpenConnections()

    def run(self, progress: Progress | None) -> RunFacts:
        until_us = int(self._known.until_us[0])
        with ThreadPoolExecutor(self._threads) as pool:
            self._each(pool, self._begin)
            self._run_windows(pool, FAR_US if until_us < 0 else until_us, progress)
            if until_us >= 0 and not self._met_ceiling():
                self._each(pool, partial(self._end, until_us=until_us))
        left = sum(int(shard.queues.mail.sum() + shard.queues.live.sum()) for shard in self._shards)
        if left and not self._met_ceiling():
            raise RuntimeError(f"{left} messages and connections are left, but no event is")
        return RunFacts(self._last_us(), self._sum("arrived"), self._open.peak, bool(self._sum("held_back")))

    def _run_windows(self, pool: ThreadPoolExecutor, stop_us: int, progress: Progress | None) -> None:
        now = 0
        while now < stop_us and not self._met_ceiling():
            ends_us = min(now + self._window_us, stop_us)
            self._each(pool, partial(self._advance, until_us=ends_us))
            self._merge_connections()
            now = min(int(shard.state.next_us[0]) for shard in self._shards)
            if progress is not None:
                now_us = self._last_us() if now == FAR_US else min(now, ends_us)
                progress(now_us, self._sum("arrived"), self._sum("finished"))

    def _met_ceiling(self) -> bool:
        return not self._together and self._open.peak >= self._ceiling

    def _each(self, pool: ThreadPoolExecutor, work: Callable[[_Shard], None]) -> None:
        """Do a piece of work for every shard; Ctrl-C ends it at the next full buffer."""
        try:
            for future in [pool.submit(_quietly, work, shard) for shard in self._shards]:
                future.result()
        except BaseException:
            self._stopped = True
            raise

    def _begin(self, shard: _Shard) -> None:
        self._kernel.begin(*self._packed, shard.queues)
        if self._together:
            leaves = 1 << max(1, (len(shard.queues) - 1).bit_length())
            self._tree = np.empty(leaves, dtype=np.int64), np.empty(2 * leaves, dtype=np.int64)
            self._kernel.plant(shard.queues, shard.message_nodes, shard.connection_nodes, *self._tree)

    def _advance(self, shard: _Shard, until_us: int) -> None:
        shard.state.next_us = FAR_US
        first = 0
        while first < len(shard.queues) and not self._stopped:
            arrays = (*self._packed, *shard.arrays(self._limits))
            if self._together:
                first = self._kernel.advance_together(*arrays, *self._tree, until_us)
            else:
                first = self._kernel.advance(*arrays, first, until_us)
            self._send(shard)
            if first < len(shard.queues):
                shard.make_room(first)

    def _end(self, shard: _Shard, until_us: int) -> None:
        shard.room_for_all()
        self._kernel.end(*shard.ending(self._known, self._limits), until_us)
        self._send(shard)

    def _send(self, shard: _Shard) -> None:
        messages, connections = shard.rows()
        with self._lock:
            if len(messages):
                self._sink.messages(messages)
            if len(connections):
                self._sink.connections(connections)

    def _merge_connections(self) -> None:
        """Follow how many connections are open at once, and adapt the window to how many there were."""
        opens, closes = (np.concatenate(times) for times in zip(*(s.times() for s in self._shards), strict=True))
        self._open.add(opens, closes)
        if len(opens) < self._openings // 2:
            self._window_us = min(2 * self._window_us, FAR_US)
        elif len(opens) > 2 * self._openings:
            self._window_us = max(self._window_us // 2, 1)

    def _last_us(self) -> int:
        return max(int(shard.state.last_us[0]) for shard in self._shards)

    def _sum(self, name: str) -> int:
        return sum(int(shard.state[name][0]) for shard in self._shards)


def _quietly(work: Callable[[_Shard], None], shard: _Shard) -> None:
    """Do the work of a thread; products of draws overflow on purpose, which plain Python's NumPy would warn of."""
    with np.errstate(over="ignore"):
        work(shard)


def processors() -> int:
    """Return the number of processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _first_window_us(world: World, messages: float, openings: int) -> int:
    share = min(1.0, openings / max(messages, 1.0))
    return FAR_US if share == 1.0 else max(1, int(world.tables.knots_us[-1] * share))


def _cuts(load: NDArray[np.float64], shards: int) -> list[int]:
    """Return where to cut destinations into runs of about the same load."""
    total = np.cumsum(load + load.sum() / max(len(load), 1) + 1e-9)
    inner = np.searchsorted(total, total[-1] * np.arange(1, shards) / shards)
    return sorted({0, *inner.tolist(), len(load)})


class _Shard:
    """Some destinations, and room for their mail, their connections and the rows they send."""

    def __init__(self, queues: Records, first: int, ceiling: int) -> None:
        self.queues = queues
        self.state = records(SHARD, 1)
        self.state.first_destination = first
        self.state.ceiling = ceiling
        self.state.message_head = self.state.connection_head = NOWHERE
        self.state.line_first = self.state.touched_first = NOWHERE
        self.messages, self.message_nodes = growing(MESSAGE), growing(NODE)
        self.connections, self.connection_nodes = growing(CONNECTION), growing(NODE)
        self.out = np.empty((_ROWS, len(MESSAGE_COLUMNS)), dtype=np.int64)
        self.out_connections = np.empty((_ROWS, len(CONNECTION_COLUMNS)), dtype=np.int64)
        self.opens, self.closes = np.empty(_ROWS, dtype=np.int64), np.empty(_ROWS, dtype=np.int64)
        self._more_messages(_PLACES)
        self._more_connections(_PLACES)

    def arrays(self, limits: Records) -> tuple[Any, ...]:
        """Return what `sim.delivery.kernel.loop.advance` takes of a shard, in its order."""
        return (
            self.state, self.queues, limits, self.messages, self.message_nodes, self.connections,
            self.connection_nodes, self.out, self.out_connections, self.opens, self.closes,
        )  # fmt: skip

    def ending(self, known: Records, limits: Records) -> tuple[Any, ...]:
        """Return what `sim.delivery.kernel.loop.end` takes."""
        return (
            known, self.state, self.queues, limits, self.messages, self.connections, self.out, self.out_connections,
            self.closes,
        )  # fmt: skip

    def rows(self) -> tuple[Int64, Int64]:
        """Return the rows of messages and of connections since the last time."""
        found = self.out[: self.state.message_rows[0]], self.out_connections[: self.state.connection_rows[0]]
        self.state.message_rows = self.state.connection_rows = 0
        return found

    def times(self) -> tuple[Int64, Int64]:
        """Return when connections opened and closed since the last time."""
        found = self.opens[: self.state.opens[0]], self.closes[: self.state.closes[0]]
        self.state.opens = self.state.closes = 0
        return found

    def make_room(self, destination: int) -> None:
        """Make the room that a destination lacks."""
        q, state = self.queues[destination], self.state
        openings = int(min(q.waiting, q.most_connections)) + 1
        if state.free_messages[0] < 1:
            self._more_messages(_step(len(self.messages)))
        if state.free_connections[0] < openings:
            self._more_connections(max(_step(len(self.connections)), openings))
        if len(self.opens) - state.opens[0] < openings:
            self.opens = _longer(self.opens, openings)
        if len(self.closes) - state.closes[0] <= q.live:
            self.closes = _longer(self.closes, int(q.live) + 1)
        if len(self.out) <= 2 * q.mail:
            self.out = np.empty((3 * int(q.mail), self.out.shape[1]), dtype=np.int64)
        if len(self.out_connections) <= 2 * q.live:
            self.out_connections = np.empty((3 * int(q.live), self.out_connections.shape[1]), dtype=np.int64)

    def room_for_all(self) -> None:
        """Make room for the rows of all mail and all connections there are."""
        mail, live = int(self.queues.mail.sum()), int(self.queues.live.sum())
        self.out = np.empty((mail, self.out.shape[1]), dtype=np.int64)
        self.out_connections = np.empty((live, self.out_connections.shape[1]), dtype=np.int64)
        self.closes = _longer(self.closes, live)

    def _more_messages(self, count: int) -> None:
        before = len(self.messages)
        grow(self.messages, count)
        grow(self.message_nodes, 3 * count)
        self.messages["opening"][before:] = self._links(before, count, "message_head")
        self.state.free_messages += count

    def _more_connections(self, count: int) -> None:
        before = len(self.connections)
        grow(self.connections, count)
        grow(self.connection_nodes, 2 * count)
        self.connections["before"][before:] = self._links(before, count, "connection_head")
        self.state.free_connections += count

    def _links(self, first: int, count: int, head: str) -> Int64:
        """Chain new places before those that are free already."""
        links = np.arange(first + 1, first + count + 1)
        links[-1] = self.state[head][0]
        self.state[head] = first
        return links


def _step(places: int) -> int:
    """Return how many places are added to so many: as many while they are few, then a sixteenth."""
    return places if places < _MANY else places >> 4


def _longer(old: Int64, by: int) -> Int64:
    new = np.empty((len(old) + max(len(old), by), *old.shape[1:]), dtype=np.int64)
    new[: len(old)] = old
    return new
