"""One case in both engines: rows, what the run says of itself, and what each counted."""

from __future__ import annotations

import traceback

import numpy as np

from sim.delivery.compiled import Compiled
from sim.delivery.reference import Reference, RunFacts
from sim.delivery.world import World
from sim.results.records import Rows
from sim.results.sinks import CountSink
from tests.delivery.test_reference_against_tiny_loop import Kept, first_difference
from tests.twins.worlds import Case, case


class Both:
    """A sink that keeps rows and counts them."""

    def __init__(self, world: World, *, compiled: bool) -> None:
        self.kept, self.counted = Kept(), CountSink(world.labels, compiled=compiled)

    def messages(self, rows: Rows) -> None:
        for sink in (self.kept, self.counted):
            sink.messages(rows)

    def connections(self, rows: Rows) -> None:
        for sink in (self.kept, self.counted):
            sink.connections(rows)

    def clear(self) -> None:
        for sink in (self.kept, self.counted):
            sink.clear()


def told(facts: RunFacts) -> tuple[int, int, int, bool]:
    return facts.end_us, facts.arrived, facts.peak_connections, facts.ceiling_reached


def difference_of(given: Case) -> str:
    """Run a case in both engines; return the first difference, empty when there is none."""
    world, seed = given.world, given.seed
    ours, other = Both(world, compiled=False), Both(world, compiled=True)
    try:
        reference = told(Reference(world, seed, ours).run())
        with given.room.given():
            twin = told(Compiled(world, seed, other, given.threads).run())
    except Exception:  # whatever an engine ends with is a finding
        return f"seed {seed}: {traceback.format_exc(limit=-6)[-3_000:]}"
    if found := first_difference(ours.kept.sorted(), other.kept.sorted(), seed, "compiled"):
        return found
    if reference != twin:
        return (
            f"seed {seed}: end_us, arrived, peak_connections, ceiling_reached: reference {reference}, compiled {twin}"
        )
    counts, loops = ours.counted.state(), other.counted.state()
    differ = [name for name in counts if not np.array_equal(counts[name], loops[name])]
    return f"seed {seed}: counts that differ: {', '.join(differ)}" if differ else ""


def difference(number: int) -> str:
    """Compare a number's case; return the first difference with the command that replays it."""
    found = difference_of(given := case(number))
    return f"{found}\n{given.told()}\nreplay: python -m tests.twins {number} 1" if found else ""


def differences(first: int, count: int) -> list[str]:
    return [found for number in range(first, first + count) if (found := difference(number))]
