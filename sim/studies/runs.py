"""Many runs: Worlds one after another in the compiled engine, which uses all processors, or over processes.

Workers are `loky`'s, which need no guard in the user's script and work in a notebook.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import chain, islice
from typing import Any, TypeVar

from sim.delivery.compiled import compiled_kernel, processors
from sim.delivery.simulate import chosen, run_world
from sim.delivery.world import World, expected_messages
from sim.results.records import Rows
from sim.results.result import Result
from sim.results.sinks import CountSink, RecordSink, Sink

#: Called with (runs that are done, of the one that goes on a part, and runs in all).
RunsProgress = Callable[[float, int], None]
Job = tuple[World, int]
#: So long do workers stay for the next study: starting them anew costs more than many a study.
IDLE_S = 5
#: Messages a run must expect for word of its progress.
_LONG = 200_000
J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Share:
    """What a run has of the machine.

    Attributes
    ----------
    threads : of the compiled engine.
    tell : called, during a long run, with the part of it that is done.
    """

    threads: int
    tell: Callable[[float], None] | None = None

    def run(self, world: World, seed: int, sink: Sink) -> dict[str, Any]:
        """Run a World into a sink and return what the run says of itself (`sim.delivery.simulate.run_world`)."""
        load = expected_messages(world)
        if self.tell is None or load.sum() < _LONG:
            return run_world(world, seed, sink, threads=self.threads)
        tell, expected, window_us = self.tell, float(load.sum()), int(world.tables.knots_us[-1])
        lifetime_us = max(1, int(world.destinations.lifetime_us.max(where=load > 0, initial=0)))

        def progress(now_us: int, arrived: int, finished: int) -> None:
            waiting = (arrived - finished) * part_waited(now_us, window_us, lifetime_us)
            tell(min(1.0, (arrived + finished + waiting) / (2 * max(expected, arrived))))

        return run_world(world, seed, sink, progress, threads=self.threads)

    def rows(self, world: World, seed: int) -> tuple[Rows, Rows]:
        """Run a World and return its message rows and its connection rows."""
        sink = RecordSink(world.labels, _counts_compiled(world))
        self.run(world, seed, sink)
        return sink.message_rows(), sink.connection_rows()


def part_waited(now_us: int, window_us: int, lifetime_us: int) -> float:
    """Return how much of its lifetime mail has waited that came evenly over a window and has no fate yet: 0 to 1.

    In progress this counts for that part of a fate, since strict settings keep mail for days. What is older than its
    lifetime is gone.
    """
    first_us, last_us = min(window_us, max(0, now_us - lifetime_us)), min(now_us, window_us)
    return min(1.0, (now_us - (first_us + last_us) / 2) / lifetime_us)


def replication_seed(seed: int, replication: int) -> int:
    """Return the seed of a replication: the first is the caller's own, the others are hashed from it."""
    if replication == 0:
        return seed
    return int.from_bytes(blake2b(f"{seed}/{replication}".encode(), digest_size=6).digest(), "little")


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
    workers : processes, or threads of the compiled engine; None = the processors there are, 1 = this process alone.
    progress : called after each run, and during long ones.
    """
    return each(_totals, jobs, count, world_of=_world, workers=workers, progress=progress)


def records_of_all(
    jobs: Iterable[Job], count: int, *, workers: int | None = None, progress: RunsProgress | None = None
) -> list[tuple[Rows, Rows]]:
    """Run every (World, seed) and return message rows and connection rows of each; parameters as in `run_all`."""
    return each(_records, jobs, count, world_of=_world, workers=workers, progress=progress)


def each(
    work: Callable[[J, Share], R],
    jobs: Iterable[J],
    count: int,
    *,
    world_of: Callable[[J], World],
    workers: int | None = None,
    progress: RunsProgress | None = None,
) -> list[R]:
    """Do a piece of work for every job and return what comes of each, in the order given.

    Parameters
    ----------
    work : a function of a module, so that a process can be told to call it; given the job, and its `Share`.
    jobs : taken one by one, so that making them goes on while others are worked on.
    world_of : returns a World of a job: whether so many such runs are worth the compiled engine, the first one tells.
    count, workers, progress : as for `run_all`.
    """
    workers = processors() if workers is None else workers
    jobs = iter(jobs)
    first = list(islice(jobs, 1))
    jobs = chain(first, jobs)
    compiled = bool(first) and chosen(world_of(first[0]), runs=count) == "compiled"
    if compiled:
        compiled_kernel()  # from now on it takes runs of any size here
    here = compiled or workers == 1 or count == 1
    found = _here(work, jobs, count, workers, progress) if here else _in_processes(work, jobs, min(workers, count))
    results: list[R] = []
    for result in found:
        results.append(result)
        if progress is not None:
            progress(len(results), count)
    return results


def _here(
    work: Callable[[J, Share], R], jobs: Iterable[J], count: int, threads: int, progress: RunsProgress | None
) -> Iterator[R]:
    for done, job in enumerate(jobs):
        yield work(job, Share(threads, None if progress is None else partial(_tell, progress, done, count)))


def _tell(progress: RunsProgress, done: int, count: int, part: float) -> None:
    progress(done + part, count)


def _in_processes(work: Callable[[J, Share], R], jobs: Iterable[J], workers: int) -> Iterator[R]:
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
                waiting.append(pool.submit(work, job, Share(1)))
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


def _counts_compiled(world: World) -> bool:
    """Tell whether rows are counted in compiled loops: where the engine is compiled as well."""
    return chosen(world) == "compiled"


def _world(job: Job) -> World:
    return job[0]


def _totals(job: Job, share: Share) -> dict[str, Any]:
    world, seed = job
    sink = CountSink(world.labels, _counts_compiled(world))
    facts = share.run(world, seed, sink)
    return Result(world.labels, sink).totals() | facts | {"delay_counts": sink.delays.counts()}


def _records(job: Job, share: Share) -> tuple[Rows, Rows]:
    world, seed = job
    return share.rows(world, seed)
