"""The worlds on which the two engines are compared: number n is the same case on every machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from sim.delivery import compiled
from sim.delivery.compile import compile_world
from sim.delivery.kernel.packed import FAR_US
from sim.delivery.quantiles import unit_table
from sim.delivery.rules import HOUR_TICKS
from sim.delivery.world import World
from tests.delivery.test_reference_against_tiny_loop import (
    world_of,
    world_that_mostly_fails,
    world_that_mostly_refuses,
    world_with_a_ceiling,
)
from tests.delivery.worlds import (
    LogNormal,
    S,
    ints,
    random_world,
    threshold,
    with_ageing,
    with_ceiling,
    with_narrow_limits,
    with_retry_by_message,
    with_rules,
)
from tests.twins.senders import random_scenario

#: Numbers in a row whose worlds of senders are of one scenario.
NEIGHBOURS = 20


@dataclass(frozen=True)
class Room:
    """How little room the compiled engine begins with, so that it stops, grows and goes on all the time.

    Attributes
    ----------
    rows, places : rows of a buffer; messages, and connections, of a shard.
    openings : of a window of time that is about right.
    window_us : the first window of time.
    """

    rows: int
    places: int
    openings: int
    window_us: int

    @contextmanager
    def given(self) -> Iterator[None]:
        """Let the compiled engine begin with this."""
        names = ("_ROWS", "_PLACES", "_OPENINGS", "_OPENINGS_EACH", "_first_window_us")
        before = {name: getattr(compiled, name) for name in names}
        wanted = (self.rows, self.places, self.openings, 0, lambda *_: self.window_us)
        try:
            for name, value in zip(names, wanted, strict=True):
                setattr(compiled, name, value)
            yield
        finally:
            for name, value in before.items():
                setattr(compiled, name, value)


@dataclass(frozen=True)
class Case:
    """A world, the seed of its chance, and how the compiled engine runs it."""

    kind: str
    world: World
    seed: int
    threads: int
    room: Room

    def told(self) -> str:
        """Say what it is in a line."""
        return f"world {self.seed}: {self.kind}, {self.threads} threads, {self.room}"


def crowd(number: int) -> World:
    """Return a world of up to a thousand messages to each of a few destinations, most within a minute."""
    rng = np.random.default_rng([number, 21])
    world = random_world(number, messages=8)
    if rng.random() < 0.3:
        world = with_retry_by_message(world, number)
    count = len(world.destinations.key)
    mail = rng.choice([1, 20, 300, 1_000], count, p=[0.3, 0.3, 0.3, 0.1])
    rows = [
        np.stack([np.sort(rng.integers(0, 60, n)) * S, rng.integers(0, 50_000, n), rng.choice([1, 2], n)], axis=1)
        for n in mail
    ]
    slots = replace(world.slots, connections=ints(rng.choice([1, 8, 100, 1_000], len(world.slots.connections))))
    starts = ints(np.concatenate([[0], np.cumsum(mail)]))
    destinations = replace(world.destinations, trace_start=starts)
    return replace(world, trace=ints(np.concatenate(rows)), slots=slots, destinations=destinations)


@lru_cache(maxsize=1)
def _compiled_scenario(number: int) -> World:
    return compile_world(random_scenario(np.random.default_rng([number, 22])))


def of_a_sender(number: int) -> World:
    """Return the world of a random scenario of one of the senders, with changes that no scenario has.

    Neighbours have their scenario in common, since compiling one takes longer than to run it.
    """
    world, rng = _compiled_scenario(number // NEIGHBOURS), np.random.default_rng([number, 23])
    if rng.random() < 0.2:
        world = with_ceiling(world, number)
    if rng.random() < 0.2:
        world = with_narrow_limits(world, number)
        world = replace(world, slots=replace(world.slots, window_us=np.maximum(world.slots.window_us, 30 * S)))
    if rng.random() < 0.2:
        world = with_ageing(world, number)
    if rng.random() < 0.2:
        world = with_rules(world, until_us=int(rng.integers(1, 600)) * S)
    return world


def cut_short(number: int) -> World:
    """Return a world whose mail, and run, end while much is going on."""
    return with_rules(world_of(number), until_us=1 + number % 40 * S, window_us=1 + number % 7 * 8 * S)


def stream(number: int) -> World:
    """Return a world whose mail is a stream of two minutes at varying rates, in some by ticks as long as gaps."""
    world, rng = world_of(number), np.random.default_rng([number, 24])
    unit = int(rng.choice([HOUR_TICKS, 1]))
    rates = np.concatenate([[0], np.cumsum(rng.integers(0, 3, 24))]) * unit
    tables = replace(world.tables, knots_us=ints(np.arange(25) * 5 * S), ticks_before=ints([rates]))
    if rng.random() < 0.5:
        steps = {"recipients_below": threshold([0.5, 0.8, 1.0]), "recipients": ints([1, 2, 7])}
        tables = replace(tables, **steps, gap=unit_table(LogNormal(1.0), what="gap"))
    count = len(world.destinations.key)
    gaps = ints(rng.choice([0, 1, 2, 8], count, p=[0.1, 0.3, 0.3, 0.3]) * unit)
    destinations = replace(world.destinations, gap_ticks=gaps, trace_start=np.zeros(count + 1, dtype=np.int64))
    return replace(world, tables=tables, destinations=destinations, trace=np.empty((0, 3), dtype=np.int64))


def with_mail(world: World, most: int) -> World:
    """Return a world without the mail of a trace that comes to a destination after its first ``most`` messages."""
    starts = world.destinations.trace_start
    nth = np.arange(len(world.trace)) - np.repeat(starts[:-1], np.diff(starts))
    kept = ints(np.concatenate([[0], np.cumsum(np.minimum(np.diff(starts), most))]))
    return replace(world, trace=world.trace[nth < most], destinations=replace(world.destinations, trace_start=kept))


KINDS: dict[str, tuple[Callable[[int], World], float]] = {
    "mixed": (world_of, 0.3),
    "failing": (world_that_mostly_fails, 0.1),
    "refusing": (world_that_mostly_refuses, 0.05),
    "ceiling": (world_with_a_ceiling, 0.15),
    "cut short": (cut_short, 0.05),
    "stream": (stream, 0.08),
    "sender": (of_a_sender, 0.25),
    "crowd": (crowd, 0.02),
}

#: Kinds that are slow where nothing is compiled.
LARGE = ("sender", "crowd")


def room_of(rng: np.random.Generator) -> Room:
    """Return any room: from none to speak of to the engine's own."""
    return Room(
        rows=int(rng.choice([1, 2, 3, 8, 64])),
        places=int(rng.choice([1, 2, 3, 8, 64])),
        openings=int(rng.choice([2, 4, 16, 1 << 21])),
        window_us=int(rng.choice([1, 1 * S, 7 * S, 60 * S, 3_600 * S, FAR_US])),
    )


def case(number: int, *, small: bool = False) -> Case:
    """Return the case of a number; a small one has little mail to few destinations, for the kernel as plain Python."""
    rng = np.random.default_rng([number, 20])
    shares = np.array([share * (not small or kind not in LARGE) for kind, (_, share) in KINDS.items()])
    kind = str(rng.choice(list(KINDS), p=shares / shares.sum()))
    world = KINDS[kind][0](number)
    if small and len(world.trace):
        world = with_mail(world, 6)
    return Case(kind, world, number, int(rng.integers(1, 5)), room_of(rng))
