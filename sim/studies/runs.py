"""Many runs at once: Worlds over processes, one result of plain numbers each.

Workers are `loky`'s, which need no guard in the user's script and work in a notebook.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, TypeVar

from sim.delivery.simulate import run_world
from sim.delivery.world import World
from sim.errors import ScenarioError, complaint
from sim.results.records import Rows
from sim.results.result import Result
from sim.results.sinks import CountSink, RecordSink

#: Called with (runs that are done, runs in all).
RunsProgress = Callable[[int, int], None]
Job = tuple[World, int]
#: So long do workers stay for the next study: starting them anew costs more than many a study.
IDLE_S = 5
J = TypeVar("J")
R = TypeVar("R")


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


def check_jobs(jobs: object) -> None:
    """Refuse a number of processes that is none; None = the processors there are.

    Raises
    ------
    ScenarioError
        Naming the number and what is allowed.
    """
    if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1):
        raise ScenarioError(complaint("jobs", jobs, "1 or more"))


def counted_on(progress: RunsProgress | None, before: int) -> RunsProgress | None:
    """Return the progress of a batch that comes after so many runs; None where nobody listens."""
    return None if progress is None else lambda done, of: progress(before + done, before + of)


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
    return each(_totals, jobs, count, workers=workers, progress=progress)


def records_of_all(
    jobs: Iterable[Job], count: int, *, workers: int | None = None, progress: RunsProgress | None = None
) -> list[tuple[Rows, Rows]]:
    """Run every (World, seed) and return message rows and connection rows of each; parameters as in `run_all`."""
    return each(_records, jobs, count, workers=workers, progress=progress)


def each(
    work: Callable[[J], R],
    jobs: Iterable[J],
    count: int,
    *,
    workers: int | None = None,
    progress: RunsProgress | None = None,
) -> list[R]:
    """Do a piece of work for every job and return what comes of each, in the order given.

    Parameters
    ----------
    work : a function of a module, so that a process can be told to call it.
    jobs : taken one by one, so that making them goes on while others are worked on.
    count, workers, progress : as for `run_all`.
    """
    workers = min(default_jobs() if workers is None else workers, count)
    results: list[R] = []
    for result in map(work, jobs) if workers <= 1 else _in_processes(work, jobs, workers):
        results.append(result)
        if progress is not None:
            progress(len(results), count)
    return results


def _in_processes(work: Callable[[J], R], jobs: Iterable[J], workers: int) -> Iterator[R]:
    from collections import deque
    from concurrent.futures import Future

    from loky import get_reusable_executor

    with signals_held():
        pool = get_reusable_executor(max_workers=workers, timeout=IDLE_S, initializer=_let_terminate)
    waiting: deque[Future[R]] = deque()
    try:
        for job in jobs:
            # Processes start here.
            with signals_held():
                waiting.append(pool.submit(work, job))
            # Some ahead keep the others busy while one run is long; all at once would keep every World in memory.
            if len(waiting) > 8 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BaseException:
        pool.shutdown(wait=True, kill_workers=True)
        raise


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back while processes start, which inherit that.

    Ctrl-C reaches every process of a terminal. To end workers is this process's task; one that was interrupted while it
    starts would print a traceback, and one whose start was interrupted here would stay behind.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing.resource_tracker import ensure_running

    # Some versions of Python let both signals through again when they start this helper: it goes before the others.
    ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _let_terminate() -> None:
    """Let a worker that has started be terminated by others again; Ctrl-C stays held back."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))


def _totals(job: Job) -> dict[str, Any]:
    world, seed = job
    sink = CountSink(world.labels)
    facts = run_world(world, seed, sink)
    return Result(world.labels, sink).totals() | facts | {"delay_counts": sink.delays.counts()}


def _records(job: Job) -> tuple[Rows, Rows]:
    world, seed = job
    sink = RecordSink(world.labels)
    run_world(world, seed, sink)
    return sink.message_rows(), sink.connection_rows()
