"""What the compiled engine is measured beside: the same loop in C, and the package cimba on a part of the workload.

Neither is needed to use the program: each says what is missing where it cannot run.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sim.delivery.draws import Stream, round_keys
from sim.delivery.world import World
from tests.benchmarks.test_reference import CONNECTIONS, DAY_S, MEDIAN_S, SIGMA, TRANSIENT, ZIPF

_SOURCE = Path(__file__).with_name("loop.c")
_STREAMS = (Stream.ARRIVAL, Stream.MESSAGE, Stream.VERDICT, Stream.PASS, Stream.CONNECTION)
_TOTALS = ("messages", "delivered", "bounced", "verdicts", "connections", "carried", "delay_us", "last_us")
_COLUMNS = (
    "key", "gap_ticks", "first_4yz", "max_messages", "lifetime_us", "max_retries", "wait_start", "wait_stop",
    "route_start", "host", "preference", "connections", "host_key", "rtt_us", "us_per_mib", "accept_us", "round_trips",
    "fails_below", "gap", "accept", "size_bytes", "recipients_below", "recipients", "knots_us", "ticks_before",
    "waits_us",
)  # fmt: skip


def compiler() -> str | None:
    """A C compiler, if there is one."""
    return os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


class Loop:
    """``loop.c``, compiled into a folder with ``-O3``."""

    def __init__(self, folder: Path) -> None:
        made = folder / "loop.so"
        command = [compiler() or "cc", "-O3", "-std=gnu11", "-shared", "-fPIC", "-o", str(made), str(_SOURCE)]
        subprocess.run(command, check=True, capture_output=True, text=True)
        self._run: Any = ctypes.CDLL(str(made)).run

    def run(self, world: World, seed: int) -> dict[str, int]:
        """Run a World of the standard workload and return its totals by name."""
        totals = (ctypes.c_int64 * len(_TOTALS))()
        given = _Given(world, seed)
        if not self._run(given.pointers, totals):
            raise RuntimeError("loop.c: no memory is left, or a host fails, which it does not know")
        return dict(zip(_TOTALS, totals, strict=True))


class _Given:
    """The struct that ``loop.c`` reads, and what keeps its arrays alive."""

    def __init__(self, world: World, seed: int) -> None:
        d, tables, rules = world.destinations, world.tables, world.rules
        columns: dict[str, Any] = {}
        for group in (world.hosts, world.backends, d, world.routes, world.slots, tables):
            columns |= {field.name: getattr(group, field.name) for field in fields(group)}
        columns |= {
            "key": d.key, "host_key": world.hosts.key, "round_trips": world.backends.handshake_round_trips,
            "fails_below": world.phases.stage[0, :, -1], "gap": tables.gap, "accept": tables.accept[0],
            "waits_us": world.waits_us, "connections": world.slots.connections,
        }  # fmt: skip
        numbers = [
            len(d.key), tables.ticks_before[0, -1], rules.idle_us, rules.dns_us, len(tables.knots_us), len(tables.gap),
            tables.accept.shape[1], len(tables.size_bytes), len(tables.recipients_below),
        ]  # fmt: skip
        self._kept = [np.ascontiguousarray(columns[name], dtype=np.int64) for name in _COLUMNS]
        self._keys = np.array([round_keys(seed, stream) for stream in _STREAMS], dtype=np.uint64)
        places = [array.ctypes.data for array in (*self._kept, self._keys)]
        self._struct: NDArray[np.int64] = np.array([*map(int, numbers), *places], dtype=np.int64)

    @property
    def pointers(self) -> ctypes.c_void_p:
        return ctypes.c_void_p(self._struct.ctypes.data)


#: As many destinations as one run can have: a process each for arrivals and for every connection, and each process
#: has a stack of its own. At 5,000 the system gives no more.
CIMBA_DOMAINS = 500
_CIMBA = """
import json, sys, time
import numpy as np
try:
    import cimba as cb
    from cimba import inputs
except ImportError:
    print(json.dumps({"missing": True}), flush=True)
    raise SystemExit

DOMAINS, ZIPF, MESSAGES, DAY_S, MEDIAN_LOG, SIGMA, TRANSIENT = PARAMETERS

class Destination(cb.Model):
    gap: cb.Input[float]
    acceptance: cb.Input[float]
    chance: cb.Input[float]
    queue: cb.Container
    carried: cb.Output[int]

    @cb.process
    def arrivals(self):
        while True:
            cb.hold(self.gap.next())
            self.queue.put(1)

    @cb.process(copies=CONNECTIONS)
    def connection(self):
        while True:
            self.queue.get(1)
            cb.hold(self.acceptance.next())
            if self.chance.next() < TRANSIENT:
                cb.schedule(self.again, 60.0)
            else:
                self.carried += 1

    @cb.event
    def again(self):
        self.queue.put(1)

class Gateway(cb.Model):
    to: list[Destination]

def destination(rate):
    made = Destination()
    made.gap = inputs.dist.exponential(mean=1 / rate)
    made.acceptance = inputs.dist.lognormal(mean=MEDIAN_LOG, sigma=SIGMA)
    made.chance = inputs.dist.uniform(low=0.0, high=1.0)
    return made

weight = [rank ** -ZIPF for rank in range(1, DOMAINS + 1)]
gateway = Gateway()
gateway.to = [destination(w / sum(weight) * MESSAGES / DAY_S) for w in weight]

def run(seed):
    wall, processor = time.perf_counter(), time.process_time()
    window = cb.Window(warmup=0, duration=DAY_S)
    results = cb.Experiment(gateway, replications=1, window=window, seed=seed).run()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    carried = sum(int(np.ravel(results[to].carried).sum()) for to in gateway.to)
    print(json.dumps({"messages": carried, "wall": wall, "processor": processor}), flush=True)

run(0)
for line in sys.stdin:
    run(int(line))
"""


class Cimba:
    """The package cimba in a process of its own, with the interpreter that ``CIMBA_PYTHON`` names or this one.

    Its model is an M/G/10 a destination, with one retry after 60 s: no connections that open, idle and close, no
    other waits, no MX hosts, no TLS, no queue that is kept in the order of arrival, and one count.
    """

    def __init__(self, messages: int) -> None:
        given = (CIMBA_DOMAINS, ZIPF, messages, DAY_S, float(np.log(MEDIAN_S)), SIGMA, TRANSIENT)
        code = _CIMBA.replace("PARAMETERS", repr(given)).replace("copies=CONNECTIONS", f"copies={CONNECTIONS}")
        # Its compiler reads the source of the model from a file.
        self._folder = TemporaryDirectory()
        model = Path(self._folder.name) / "model.py"
        model.write_text(code, encoding="utf-8")
        interpreter = os.environ.get("CIMBA_PYTHON", sys.executable)
        self._process = subprocess.Popen(
            [interpreter, str(model)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.first = self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        self._folder.cleanup()

    @property
    def is_missing(self) -> bool:
        return "missing" in self.first

    def run(self, seed: int) -> dict[str, float]:
        """Run the model once: messages, seconds by the wall and by the processor."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seed}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        found: dict[str, float] = json.loads(self._process.stdout.readline())
        return found
