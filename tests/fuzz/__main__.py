"""``python -m tests.fuzz TARGET FIRST COUNT``: hold a parser, or all, to its promise on inputs FIRST, FIRST + 1, ...

A failure names its number; ``python -m tests.fuzz TARGET NUMBER 1`` shows it again.
"""

from __future__ import annotations

import sys
import time
import traceback
import warnings
from collections.abc import Sequence

from tests.fuzz.mutator import mutated
from tests.fuzz.targets import TARGETS, bounded

#: Failures of one target after which it is left.
MOST_FAILURES = 10


def fuzz(name: str, first: int, count: int) -> tuple[int, list[str]]:
    """Run ``count`` inputs of a target from ``first`` on; return how many were run, and each failure as text."""
    target = TARGETS[name]
    seeds = target.seeds()
    failures: list[str] = []
    for number in range(first, first + count):
        data = mutated(name, number, seeds)
        try:
            with bounded():
                target.run(data)
        except KeyboardInterrupt:
            raise
        except BaseException:  # a panic of a library is no Exception
            told = traceback.format_exc(limit=-6)
            failures.append(f"{told[-3_000:]}input {data[:2_000]!r}\nreplay: python -m tests.fuzz {name} {number} 1")
            if len(failures) == MOST_FAILURES:
                return number + 1 - first, failures
    return count, failures


def main(words: Sequence[str]) -> int:
    if len(words) != 3 or words[0] not in (*TARGETS, "all") or not all(w.isdecimal() for w in words[1:]):
        print(f"usage: python -m tests.fuzz TARGET FIRST COUNT\ntargets: all, {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    warnings.simplefilter("error")
    first, count = map(int, words[1:])
    wrong = 0
    for name in TARGETS if words[0] == "all" else words[:1]:
        began = time.perf_counter()
        done, failures = fuzz(name, first, count)
        for failure in failures:
            print(f"\n{failure}")
        seconds = time.perf_counter() - began
        print(f"{name}: {done:,} inputs from {first:,} on, {len(failures)} failed, {seconds:.0f} s", flush=True)
        wrong += len(failures)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
