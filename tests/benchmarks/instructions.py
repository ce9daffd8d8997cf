"""How many instructions a message takes: a count that a busy machine does not change (``make bench-instructions``).

Valgrind counts them, in a process whose start-up is not counted: a run of few messages and one of more, and what one
message more takes is the difference. Numba compiles for a processor without AVX, which Valgrind does not know in all
its forms; so this is not the code that the benchmarks time, but of the same source. The engines run on one thread.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from sim.delivery.compile import compile_world
from sim.delivery.simulate import run_world
from sim.delivery.world import World
from sim.results.sinks import CountSink
from tests.benchmarks.workloads import standard_of

BASELINE = Path(__file__).with_name("instructions.toml")
#: Messages of the small and of the large run.
SIZES = {"compiled": (20_000, 120_000), "reference": (1_000, 4_000)}
#: More than this is a slow-down.
TOLERANCE = 0.03
_ENVIRONMENT = {
    "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_ENABLE_AVX": "0", "PYTHONHASHSEED": "0",
    "OPENBLAS_NUM_THREADS": "1",
}  # fmt: skip
_PACKAGES = ("numba", "llvmlite", "numpy", "simpy")


def needed() -> list[str]:
    """What is missing on this machine."""
    return [name for name in ("valgrind", "vgdb") if shutil.which(name) is None]


def measured() -> dict[str, int]:
    """Count the instructions a message of both engines (about two minutes)."""
    with TemporaryDirectory() as folder:
        environment = os.environ | _ENVIRONMENT | {"NUMBA_CACHE_DIR": folder}
        child = [sys.executable, "-m", "tests.benchmarks.instructions"]
        # Compile first, outside Valgrind, where it takes a fiftieth of the time.
        subprocess.run([*child, "warm"], check=True, env=environment, stdout=subprocess.DEVNULL)
        out = Path(folder) / "counts"
        valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}"]
        ran = subprocess.run(
            [*valgrind, *child, "count"], check=True, env=environment, capture_output=True, text=True
        )  # fmt: skip
        messages = [int(number) for number in ran.stdout.split()]
        counts = [_total(Path(f"{out}.{part}")) for part in range(1, len(messages) + 1)]
    found = {}
    for i, engine in enumerate(SIZES):
        small, large = 2 * i, 2 * i + 1
        found[engine] = round((counts[large] - counts[small]) / (messages[large] - messages[small]))
    return found


def made_with() -> dict[str, str]:
    """What the counts depend on."""
    ran = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True)
    known = {"python": platform.python_version(), "machine": platform.machine(), "valgrind": ran.stdout.strip()}
    return known | {name: version(name) for name in _PACKAGES}


def written(found: dict[str, int]) -> str:
    """The text of the baseline."""
    lines = ["# Instructions a message on the standard workload: `make bench-instructions`, and with WRITE=1 anew."]
    lines += ["", "[instructions]", *(f"{engine} = {count}" for engine, count in found.items())]
    lines += ["", "[made_with] # numba's target is the processor `generic`, without features"]
    lines += [f'{name} = "{value}"' for name, value in made_with().items()]
    return "\n".join(lines) + "\n"


def compared(found: dict[str, int]) -> tuple[bool, str]:
    """Hold counts beside the baseline: whether none is much more, and what there is to say."""
    baseline = tomllib.loads(BASELINE.read_text(encoding="utf-8"))
    good, lines = True, []
    for engine, count in found.items():
        before = baseline["instructions"][engine]
        change = count / before - 1
        verdict = f"more than {TOLERANCE:.0%} more" if change > TOLERANCE else "ok"
        if change < -TOLERANCE:
            verdict = "less: write the baseline anew (WRITE=1)"
        good = good and change <= TOLERANCE
        lines.append(f"{engine}: {count:,} instructions a message, baseline {before:,} ({change:+.1%}): {verdict}")
    for name, value in made_with().items():
        before = baseline["made_with"].get(name)
        if before != value:
            lines.append(f"the baseline was made with {name} {before}, this is {value}: counts may differ for that")
    return good, "\n".join(lines)


def _total(counts: Path) -> int:
    found = re.search(r"^totals: (\d+)", counts.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{counts.name}: no line of totals")
    return int(found[1])


# --- inside the process that is counted


def _run(world: World, engine: str) -> int:
    sink = CountSink(world.labels, compiled=engine == "compiled")
    run_world(world, 1, sink, engine=engine, threads=1)
    return int(sink.sums["messages"].sum())


def _worlds() -> dict[str, tuple[World, World]]:
    return {
        engine: (compile_world(standard_of(small)), compile_world(standard_of(large)))
        for engine, (small, large) in SIZES.items()
    }


def _warm() -> None:
    for engine, (small, _) in _worlds().items():
        _run(small, engine)


def _count() -> None:
    worlds = _worlds()
    for engine, (small, _) in worlds.items():
        _run(small, engine)
    _tell_valgrind("instrumentation", "on")
    for engine, sizes in worlds.items():
        for world in sizes:
            _tell_valgrind("zero")
            messages = _run(world, engine)
            _tell_valgrind("dump")
            print(messages)


def _tell_valgrind(*words: str) -> None:
    subprocess.run(["vgdb", f"--pid={os.getpid()}", *words], check=True, capture_output=True)


def main(words: list[str]) -> int:
    """Compare with the baseline, or ``write`` it."""
    children: dict[str, Callable[[], None]] = {"warm": _warm, "count": _count}
    if words and words[0] in children:
        children[words[0]]()
        return 0
    if missing := needed():
        print(f"skipped: {' and '.join(missing)} not found; instructions are counted with Valgrind")
        return 0
    found = measured()
    if words == ["write"]:
        BASELINE.write_text(written(found), encoding="utf-8")
        print(BASELINE.read_text(encoding="utf-8"))
        return 0
    good, text = compared(found)
    print(text)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
