"""``NUMBA_DISABLE_JIT=1 python -m tests.twins.reach FIRST COUNT``: which lines of the kernel do so many worlds reach?

The kernel runs as the plain Python that it is, is compared as ever, and the lines that no world reached are printed.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from sim.delivery.kernel import loop, mail, opening, queue, together
from tests.twins.compare import difference_of
from tests.twins.worlds import case

MODULES = (loop, together, mail, opening, queue)
Line = tuple[str, int]
#: Reached lines; an entry is removed from no set, so threads need no lock.
REACHED: set[Line] = set()
FILES = {str(module.__file__) for module in MODULES}


def codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of every function that is in some code."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and not constant.co_name.startswith("<"):
            yield constant
            yield from codes(constant)


def lines() -> set[Line]:
    """Return every line of a function that does something."""
    found = set()
    for file in FILES:
        for code in codes(compile(Path(file).read_text(encoding="utf-8"), file, "exec")):
            found |= {(file, n) for *_, n in code.co_lines() if n is not None and n != code.co_firstlineno}
    return found


def watch(frame: FrameType, event: str, _: Any) -> Any:
    """Note the lines of the kernel; look at no other function's."""
    file = frame.f_code.co_filename
    if file not in FILES:
        return None
    if event == "line":
        REACHED.add((file, frame.f_lineno))
    return watch


def main(first: int, count: int) -> int:
    """Compare so many small worlds; print differences and the lines that were not reached."""
    threading.settrace(watch)
    wrong = 0
    for number in range(first, first + count):
        given = case(number, small=True)
        if found := difference_of(given):
            wrong += 1
            print(f"{found}\n{given.told()}\nreplay: NUMBA_DISABLE_JIT=1 python -m tests.twins.reach {number} 1")
    missed = sorted(lines() - REACHED)
    for file, number in missed:
        text = Path(file).read_text(encoding="utf-8").splitlines()[number - 1]
        print(f"not reached: {Path(file).name}:{number}: {text.strip()}")
    return int(wrong + len(missed) > 0)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
