"""Many runs at once: Worlds over processes, one result of plain numbers each.

Workers are `loky`'s, which need no guard in the user's script and work in a notebook.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Any, TypeVar

from sim.delivery.simulate import run_world
from sim.delivery.world import World
from sim.results.records import Rows
from sim.results.result import Result
from sim.results.sinks import CountSink, RecordSink

#: Called with (runs that are done, runs in all).
RunsProgress = Callable[[int, int], None]
Job = tuple[World, int]
T = TypeVar("T")


def replication_seed(seed: int, replication: int) -> int:
    """Return the seed of a replication: the first is the caller's own, the others are hashed from it."""
    if replication == 0:
        return seed
    return int.from_bytes(blake2b(f"{seed}/{replication}".encode(), digest_size=6).digest(), "little")


def default_jobs() -> int:
    """Return the number of processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def run_all(
    jobs: Iterable[Job], count: int, *, workers: int | None = None, progress: RunsProgress | None = None
) -> list[dict[str, Any]]:
    """Run every (World, seed) and return the totals of each, and its delay histogram, in the order given.

    Parameters
    ----------
    jobs : Worlds with their seeds; taken one by one, so that compiling them goes on while others run.
    count : how many there are.
    workers : processes; None = the processors there are, 1 = this process alone.
    progress : called after each run.
    """
    return _run_each(_totals, jobs, count, workers, progress)


def records_of_all(
    jobs: Iterable[Job], count: int, *, workers: int | None = None, progress: RunsProgress | None = None
) -> list[tuple[Rows, Rows]]:
    """Run every (World, seed) and return message rows and connection rows of each; parameters as in `run_all`."""
    return _run_each(_records, jobs, count, workers, progress)


def _run_each(
    run: Callable[[World, int], T],
    jobs: Iterable[Job],
    count: int,
    workers: int | None,
    progress: RunsProgress | None,
) -> list[T]:
    workers = min(default_jobs() if workers is None else workers, count)
    results: list[T] = []
    for result in _one_by_one(run, jobs) if workers <= 1 else _in_processes(run, jobs, workers):
        results.append(result)
        if progress is not None:
            progress(len(results), count)
    return results


def _one_by_one(run: Callable[[World, int], T], jobs: Iterable[Job]) -> Iterator[T]:
    for world, seed in jobs:
        yield run(world, seed)


def _in_processes(run: Callable[[World, int], T], jobs: Iterable[Job], workers: int) -> Iterator[T]:
    from collections import deque
    from concurrent.futures import Future

    from loky import ProcessPoolExecutor

    pool = ProcessPoolExecutor(max_workers=workers, timeout=60)
    waiting: deque[Future[T]] = deque()
    try:
        for world, seed in jobs:
            waiting.append(pool.submit(run, world, seed))
            # Some ahead keep the others busy while one run is long; all at once would keep every World in memory.
            if len(waiting) > 8 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, kill_workers=True)


def _totals(world: World, seed: int) -> dict[str, Any]:
    sink = CountSink(world.labels)
    facts = run_world(world, seed, sink)
    return Result(world.labels, sink).totals() | facts | {"delay_counts": sink.delays.counts()}


def _records(world: World, seed: int) -> tuple[Rows, Rows]:
    sink = RecordSink(world.labels)
    run_world(world, seed, sink)
    return sink.message_rows(), sink.connection_rows()
