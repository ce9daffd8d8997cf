"""``python -m tests.twins FIRST COUNT [JOBS]``: run worlds FIRST, FIRST + 1, ... in both engines and compare all rows.

A failure names its world; ``python -m tests.twins NUMBER 1`` shows it again. Resumable: each line says where to go on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence

from tests.twins.compare import differences

#: Worlds of a task, and of a line of progress.
TASK, CHUNK = 50, 1_000
#: Differences after which no more worlds are compared.
MOST_FAILURES = 10


def found_in_tasks(first: int, count: int, jobs: int) -> Iterator[tuple[int, list[str]]]:
    """Yield after each task, in order: the next world, and the differences found."""
    tasks = [(start, min(TASK, first + count - start)) for start in range(first, first + count, TASK)]
    if jobs == 1:
        for task in tasks:
            yield sum(task), differences(*task)
        return
    import loky

    differences(first, 1)  # compiles where need be, once and not in each process
    with loky.get_reusable_executor(max_workers=jobs) as pool:
        futures = [pool.submit(differences, *task) for task in tasks]
        try:
            for task, future in zip(tasks, futures, strict=True):
                try:
                    yield sum(task), future.result()
                except loky.process_executor.TerminatedWorkerError:
                    start = task[0]
                    yield (
                        sum(task),
                        [f"a process died after world {start}\nreplay: python -m tests.twins {start} {TASK}"],
                    )
                    return
        finally:
            pool.shutdown(kill_workers=True)


def main(words: Sequence[str]) -> int:
    if len(words) not in (2, 3) or not all(w.isdecimal() for w in words):
        print("usage: python -m tests.twins FIRST COUNT [JOBS]", file=sys.stderr)
        return 2
    first, count, jobs = *map(int, words[:2]), max(1, int(words[2]) if len(words) == 3 else 1)
    began, wrong, upto = time.perf_counter(), 0, first
    for upto, failures in found_in_tasks(first, count, jobs):
        for failure in failures:
            print(f"\n{failure}", flush=True)
        wrong += len(failures)
        if (upto - first) % CHUNK == 0:
            print(f"next world {upto}: {wrong} differ, {time.perf_counter() - began:.0f} s", flush=True)
        if wrong >= MOST_FAILURES:
            break
    seconds = time.perf_counter() - began
    print(f"{upto - first:,} worlds from {first} on: {wrong} differ, {seconds:.0f} s")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
