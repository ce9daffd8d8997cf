"""The reference is held equal, byte for byte, to the tiny loop, a second engine written from docs/model.md alone.

More worlds than a test run has time for, resumable at any seed:
``python -m tests.delivery.test_reference_against_tiny_loop FIRST_SEED COUNT``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from sim.delivery.reference import Reference
from sim.delivery.world import World
from sim.results.records import CONNECTION_COLUMNS, MESSAGE_COLUMNS
from sim.terms import Outcome, Seen
from tests.delivery import tiny_loop
from tests.delivery.worlds import (
    S,
    ints,
    random_world,
    threshold,
    with_ageing,
    with_ceiling,
    with_lifetime,
    with_narrow_limits,
    with_other_demands,
    with_random_tables,
    with_retry_by_message,
    with_rules,
)

Rows = NDArray[np.int64]
COLUMNS = {"messages": MESSAGE_COLUMNS, "connections": CONNECTION_COLUMNS}
CHUNK = 100
#: First seeds of the chunks that every test run compares, and of those that take longer.
QUICK, SLOW = range(0, 1_000, CHUNK), range(1_000, 3_000, 5 * CHUNK)


class Kept:
    """A sink that keeps the rows as they are."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Rows]] = {kind: [] for kind in COLUMNS}

    def messages(self, rows: Rows) -> None:
        self._rows["messages"].append(rows.copy())

    def connections(self, rows: Rows) -> None:
        self._rows["connections"].append(rows.copy())

    def clear(self) -> None:
        for kept in self._rows.values():
            kept.clear()

    def sorted(self) -> dict[str, Rows]:
        """All rows of either kind by destination and ordinal."""
        result = {}
        for kind, columns in COLUMNS.items():
            rows = np.concatenate([np.empty((0, len(columns)), dtype=np.int64), *self._rows[kind]])
            result[kind] = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
        return result


def reference_rows(world: World, seed: int) -> dict[str, Rows]:
    sink = Kept()
    Reference(world, seed, sink).run()
    return sink.sorted()


def tiny_rows(world: World, seed: int) -> dict[str, Rows]:
    sink = Kept()
    tiny_loop.run(world, seed, sink)
    return sink.sorted()


def world_of(seed: int) -> World:
    """The world that a seed replays: most are coarse, some have patience, narrow limits, drawn tables, an early end.

    Half of them are of a sender that retries by message; in some a low ceiling of connections makes mail wait.
    """
    rng = np.random.default_rng([seed, 1])
    world = random_world(seed, coarse=seed % 5 != 4, messages=int(rng.choice([8, 30, 80])))
    if rng.random() < 0.3:
        world = with_lifetime(world, times=10)
    if rng.random() < 0.3:
        world = with_narrow_limits(world, seed)
    if rng.random() < 0.3:
        world = with_random_tables(world, seed)
    if rng.random() < 0.3:
        world = with_rules(world, until_us=int(rng.integers(1, 120)) * S)
    if rng.random() < 0.5:
        world = with_retry_by_message(world, seed)
    if rng.random() < 0.3:
        world = with_other_demands(world, seed)
    if rng.random() < 0.4:
        world = with_ageing(world, seed)
    if rng.random() < 0.3:
        world = with_ceiling(world, seed)
    return world


def world_that_mostly_fails(seed: int) -> World:
    """A world in which most passes fail beside idle connections that wait for their windows."""
    rng = np.random.default_rng([seed, 7])
    world = with_narrow_limits(with_lifetime(random_world(seed, messages=30), times=1 + seed % 3 * 4), seed)
    outcome, chance = world.rules.outcome.copy(), rng.random(world.rules.outcome.shape[:2])
    often = np.select(
        [chance < 0.25, chance < 0.3, chance < 0.9],
        [Outcome.DELIVER_ENCRYPTED, Outcome.RETRY, Outcome.BOUNCE_MESSAGE],
        Outcome.NEXT_HOST,
    )
    outcome[:, Seen.UNREACHABLE :] = often[:, Seen.UNREACHABLE :, None]
    slots = replace(world.slots, connections=np.full_like(world.slots.connections, 4))
    destinations = replace(world.destinations, dns_stage=np.full_like(world.destinations.dns_stage, -1))
    waits = world.rules.host_waits_us * 5
    world = with_rules(world, outcome=outcome, host_waits_us=waits, expire_at_lifetime=1)
    return replace(world, slots=slots, destinations=destinations)


def world_that_mostly_refuses(seed: int) -> World:
    """A world in which most passes fail and most mail is refused, so that windows fill while a destination is down."""
    world, rng = world_that_mostly_fails(seed), np.random.default_rng([seed, 9])
    count, slots = len(world.destinations.key), len(world.slots.connections)
    columns = {"persistent_4yz": 0.0, "late_5yz": 0.0, "first_4yz": 0.1, "refused_5yz": 0.85}
    destinations = replace(
        world.destinations,
        **{name: threshold(np.full(count, rate)) for name, rate in columns.items()},
        max_messages=np.full(count, 50),
        lifetime_us=np.full(count, 4_000 * S),
    )
    trace = world.trace.copy()
    trace[:, 2] = rng.choice([1, 1, 2, 3, 4], len(trace))
    trace[:, 0] = trace[:, 0] // S % 20 * S
    for first, stop in pairwise(world.destinations.trace_start.tolist()):
        trace[first:stop, 0].sort()
    recipients = ints(rng.integers(3, 6, slots))
    limits = replace(
        world.slots, recipients=recipients, window_us=np.full(slots, 60 * S), connections=np.full(slots, 6)
    )
    world = replace(world, destinations=destinations, trace=trace, slots=limits)
    return with_rules(world, idle_us=30 * S, expire_at_lifetime=0)


def first_difference(
    reference: dict[str, Rows], twin: dict[str, Rows], seed: int, name_of_twin: str = "tiny loop"
) -> str:
    """Name the first row and column in which two runs differ, and the seed that replays it; empty when none does."""
    for kind, columns in COLUMNS.items():
        ours, other = reference[kind], twin[kind]
        for a, b in zip(ours, other, strict=False):
            for name, x, y in zip(columns, a.tolist(), b.tolist(), strict=True):
                if x != y:
                    where = f"destination {a[0]}, ordinal {a[1]}, {name}"
                    return f"seed {seed}: {kind}: {where}: reference {x}, {name_of_twin} {y}"
        if len(ours) != len(other):
            return f"seed {seed}: {kind}: reference has {len(ours)} rows, {name_of_twin} {len(other)}"
        assert ours.tobytes() == other.tobytes()
    return ""


def compare(seed: int, build: Callable[[int], World] = world_of) -> str:
    """Run a seed's world in both engines; return the first difference."""
    world = build(seed)
    try:
        reference = reference_rows(world, seed)
    except (AssertionError, RuntimeError) as error:
        return f"seed {seed}: the reference ends with {type(error).__name__}: {error}"
    return first_difference(reference, tiny_rows(world, seed), seed)


def differences(seeds: range) -> str:
    return "\n".join(filter(None, map(compare, seeds)))


@pytest.mark.parametrize("first", QUICK)
def test_both_engines_send_the_same_rows(first: int) -> None:
    assert not (found := differences(range(first, first + CHUNK))), found


@pytest.mark.slow
@pytest.mark.parametrize("first", SLOW)
def test_both_engines_send_the_same_rows_of_many_more_worlds(first: int) -> None:
    assert not (found := differences(range(first, first + SLOW.step))), found


def test_a_failed_pass_is_followed_by_a_dispatch_even_while_the_destination_is_down() -> None:
    """Seed 543: the oldest message, too large for the window, bounces as its pass fails; the next fits and goes."""
    found = [compare(seed, world_that_mostly_refuses) for seed in range(540, 550)]
    found += [compare(seed, world_that_mostly_fails) for seed in range(50, 100)]
    assert not (different := list(filter(None, found))), different


def world_with_a_ceiling(seed: int) -> World:
    """A seed's world under a low ceiling, whatever it has else."""
    return with_ceiling(world_of(seed), seed)


@pytest.mark.parametrize("first", range(5_000, 5_400, CHUNK))
def test_both_engines_let_mail_wait_for_the_same_ceiling(first: int) -> None:
    found = [compare(seed, world_with_a_ceiling) for seed in range(first, first + CHUNK)]
    assert not (different := list(filter(None, found))), different


def test_a_difference_names_row_column_values_and_seed() -> None:
    rows = tiny_rows(random_world(1), 1)
    assert first_difference(rows, rows, 1) == ""
    changed = {kind: values.copy() for kind, values in rows.items()}
    changed["connections"][-1, 3] += 5
    number, ordinal, _, closed = rows["connections"][-1, :4].tolist()
    told = f"destination {number}, ordinal {ordinal}, closed_us: reference {closed}, tiny loop {closed + 5}"
    assert first_difference(rows, changed, 1) == f"seed 1: connections: {told}"
    fewer = {"messages": rows["messages"][:-1], "connections": rows["connections"]}
    count = len(rows["messages"])
    assert first_difference(rows, fewer, 1) == f"seed 1: messages: reference has {count} rows, tiny loop {count - 1}"


def main(first: int, count: int) -> int:
    """Compare many worlds; print every difference, and where to go on."""
    found, began = 0, time.monotonic()
    for seed in range(first, first + count):
        if difference := compare(seed):
            found += 1
            print(difference, flush=True)
        if (seed + 1 - first) % 1_000 == 0:
            print(f"next seed {seed + 1}: {found} differ, {time.monotonic() - began:.0f} s", flush=True)
    print(f"{count} worlds from seed {first}: {found} differ")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
