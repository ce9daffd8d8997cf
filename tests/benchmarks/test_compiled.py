"""What the compiled engine costs, beside its peers in the same run: ``make bench``; about three minutes.

At the end a table for ``docs/benchmarks.md`` is printed. Rates are medians of rounds in which all models take turns, by
the clock on the wall and by the processor's. On a machine that others use, only ratios within a round mean something.
A target that is missed is told in the table and fails nothing: only what would be a fault at any speed does.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sim import jit
from sim.delivery.compile import compile_world
from sim.delivery.simulate import run_world
from sim.delivery.world import World
from sim.results.result import Result
from sim.results.sinks import CountSink
from tests.benchmarks import instructions
from tests.benchmarks.peers import CIMBA_DOMAINS, Cimba, Loop, compiler
from tests.benchmarks.table import Table, million, thousand
from tests.benchmarks.test_costs import seconds
from tests.benchmarks.test_reference import Bare, Rates, standard
from tests.benchmarks.workloads import A_DAY, every_feature, standard_of

pytestmark = [pytest.mark.bench, pytest.mark.skipif(not jit.available(), reason="not installed: pip install numba")]

ROUNDS = 5
DOMAINS_TRIED = (1_000, 10_000, 100_000, 1_000_000)
MESSAGES_TRIED = 5_000_000


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    made = Table()
    yield made
    print(f"\n\n{made.text()}\n")


def ran(world: World, engine: str = "compiled", threads: int = 1) -> CountSink:
    sink = CountSink(world.labels, compiled=engine == "compiled")
    run_world(world, 1, sink, engine=engine, threads=threads)
    return sink


def messages_of(sink: CountSink) -> int:
    return int(sink.sums["messages"].sum())


def rates_of(world: World, engine: str = "compiled", threads: int = 1) -> Rates:
    """Rates of an engine, after one run to warm up."""
    ran(world, engine, threads)
    return Rates(lambda: messages_of(ran(world, engine, threads)))


def in_turn(rates: list[Rates], rounds: int = ROUNDS) -> None:
    for _ in range(rounds):
        for one in rates:
            one.once()


def ratio(of: list[float], to: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(of, to, strict=True))


# --- the standard workload


def test_the_engine_beside_its_peers(table: Table, tmp_path: Path) -> None:
    world = compile_world(standard_of(A_DAY))
    small = compile_world(standard())
    compiled, reference = rates_of(world), rates_of(small, "reference")
    days = rates_of(compile_world(standard_of(MESSAGES_TRIED)))
    bare = Rates(lambda: Bare(1).run())
    models = [compiled, days, reference, bare]
    c_loop = None
    if compiler():
        loop = Loop(tmp_path)
        c_loop = Rates(lambda: loop.run(world, 1)["messages"])
        models.append(c_loop)
    with Cimba(A_DAY) as cimba:
        peer = CimbaRates(cimba)
        in_turn([*models, *([] if cimba.is_missing else [peer])])
    for name, rates in ((f"{A_DAY:,}", compiled), (f"{MESSAGES_TRIED:,}", days)):
        what, found = f"compiled, one thread, {name} messages", statistics.median(rates.processor)
        table.add(f"{what}, messages/s of processor time", million(rates.processor), "4 million", found >= 4e6)
        table.add("the same by the wall", million(rates.wall))
    table.add("reference, messages/s of processor time", thousand(reference.processor))
    times = ratio(compiled.processor, reference.processor)
    table.add("compiled over reference", f"{times:.0f} times", "100 times", times >= 100)
    table.add("bare SimPy model, messages/s of processor time", thousand(bare.processor))
    table.add("compiled over bare", f"{ratio(compiled.processor, bare.processor):.0f} times")
    if c_loop is None:
        table.add("C loop", "no compiler found: set CC, or install cc")
    else:
        table.add("C loop, messages/s of processor time", million(c_loop.processor))
        table.add("C loop over compiled", f"{ratio(c_loop.processor, compiled.processor):.2f} times")
    if cimba.is_missing:
        table.add("cimba", "not installed: pip install cimba, or CIMBA_PYTHON=path of an interpreter that has it")
    else:
        what = f"cimba, M/G/10 with one retry, {CIMBA_DOMAINS} destinations, messages/s of processor time"
        table.add(what, million(peer.processor))
        table.add("compiled over cimba", f"{ratio(compiled.processor, peer.processor):.1f} times")
    assert times >= 20


class CimbaRates(Rates):
    """Rates that another process measures for itself."""

    def __init__(self, cimba: Cimba) -> None:
        super().__init__(lambda: 0)
        self._cimba = cimba

    def once(self) -> None:
        found = self._cimba.run(len(self.wall) + 1)
        self.wall.append(found["messages"] / found["wall"])
        self.processor.append(found["messages"] / found["processor"])


@pytest.mark.skipif(compiler() is None, reason="no C compiler found")
def test_the_c_loop_carries_the_same_mail(tmp_path: Path) -> None:
    world = compile_world(standard_of(200_000))
    sink = CountSink(world.labels, compiled=True)
    facts = run_world(world, 3, sink, engine="compiled")
    found = Loop(tmp_path).run(world, 3)
    sums = {name: int(values.sum()) for name, values in sink.sums.items()}
    assert found["messages"] == sums["messages"]
    assert found["delivered"] == sums["messages"] - sums["bounces"]
    assert found["connections"] == sums["connections"]
    assert found["carried"] == found["verdicts"] == sums["carried_messages"]
    assert found["delay_us"] == sums["delay_low"] + (sums["delay_high"] << 32)
    assert found["last_us"] == pytest.approx(1e6 * facts["end_s"], abs=1)


def test_where_the_time_goes(table: Table) -> None:
    """The engine without its counts, and without its rows' checks and sums: what a sink costs."""
    world = compile_world(standard_of(A_DAY))

    def silent() -> int:
        sink = Silent()
        run_world(world, 1, sink, engine="compiled", threads=1)
        return sink.rows

    whole, engine = rates_of(world), Rates(silent)
    engine.work()
    in_turn([whole, engine])
    share = 1 - ratio(whole.processor, engine.processor)
    table.add("share of the time that counting takes", f"{share:.0%}")
    assert share < 0.8


class Silent:
    """A sink that only numbers the messages."""

    def __init__(self) -> None:
        self.rows = 0

    def messages(self, rows: object) -> None:
        self.rows += len(rows)  # type: ignore[arg-type]

    def connections(self, rows: object) -> None:
        pass

    def clear(self) -> None:
        self.rows = 0


# --- every feature


def test_every_feature_with_a_quarter_of_mail_failing(table: Table) -> None:
    world = compile_world(every_feature())
    sink = CountSink(world.labels, compiled=True)
    facts = run_world(world, 1, sink, engine="compiled", threads=1)
    result = Result(world.labels, sink)
    share = result.bounced / result.injected
    rates = rates_of(world)
    in_turn([rates])
    what = f"every feature, {share:.1%} of {result.injected:,} messages fail, messages/s of processor time"
    table.add(what, million(rates.processor), "1 million", statistics.median(rates.processor) >= 1e6)
    table.add("the same by the wall", million(rates.wall))
    assert share == pytest.approx(0.25, abs=0.01)
    assert not facts["ceiling_reached"]


# --- domains, threads, memory


@pytest.fixture(scope="module")
def costs() -> dict[int, float]:
    """Microseconds of processor time a message, by the number of domains."""
    return {}


@pytest.mark.parametrize("domains", DOMAINS_TRIED)
def test_domains_and_threads(domains: int, table: Table, costs: dict[int, float]) -> None:
    begun = time.perf_counter()
    scenario = standard_of(MESSAGES_TRIED, domains)
    built = time.perf_counter()
    world = compile_world(scenario)
    apart = f"population {built - begun:.1f} s, compile_world {time.perf_counter() - built:.1f} s"
    one, two = rates_of(world), Rates(lambda: messages_of(ran(world, threads=2)))
    in_turn([one, two])
    costs[domains] = 1e6 / statistics.median(one.processor)
    found = f"{costs[domains]:.3f} us of processor time, {1e6 / statistics.median(one.wall):.3f} by the wall"
    table.add(f"a message, {domains:,} domains, {MESSAGES_TRIED:,} messages, one thread", f"{found} ({apart})")
    times = ratio(two.wall, one.wall)
    goal = "1.7 times" if domains == DOMAINS_TRIED[1] else ""
    table.add(f"two threads over one, {domains:,} domains", f"{times:.2f} times", goal, times >= 1.7 if goal else None)
    if domains == DOMAINS_TRIED[-1]:
        spread = costs[domains] / costs[DOMAINS_TRIED[0]]
        what = f"a message at {domains:,} domains over one at {DOMAINS_TRIED[0]:,}"
        table.add(what, f"{spread:.2f} times", "at most 2 times", spread <= 2)


_PEAK = """
import json, time
from pathlib import Path
from sim.delivery.compile import compile_world
from sim.delivery.simulate import run_world
from sim.results.sinks import CountSink
from tests.benchmarks.workloads import standard_of
world = compile_world(standard_of(MESSAGES))
begun = time.perf_counter()
sink = CountSink(world.labels, compiled=True)
run_world(world, 1, sink, engine="compiled")
taken = time.perf_counter() - begun
fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
peak = int(fields["VmHWM"].split()[0]) / 1024
print(json.dumps({"peak": peak, "wall": taken, "messages": int(sink.sums["messages"].sum())}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("messages", [10_000_000, 100_000_000])
def test_memory_without_records(messages: int, table: Table) -> None:
    code = _PEAK.replace("MESSAGES", str(messages))
    # At most ten minutes: a machine on which others work needs a few.
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600)
    found = json.loads(told.stdout)
    what = f"peak memory, {found['messages']:,} messages, no records"
    table.add(what, f"{found['peak']:,.0f} MB, {found['wall']:.0f} s on all threads", "1,000 MB", found["peak"] < 1_000)
    assert found["peak"] < 1_000


# --- cold starts


_FIRST = """
import sim
from tests.benchmarks.workloads import standard_of
scenario = standard_of(20_000)
import time
begun = time.perf_counter()
sim.simulate(scenario, engine="compiled")
print(time.perf_counter() - begun)
"""


def test_cold_starts(table: Table) -> None:
    def start(code: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

    taken = seconds(start("import sim")) - seconds(start("pass"))
    table.add("import sim", f"{taken:.2f} s", "0.3 s", taken < 0.3)
    first = []
    for _ in range(4):
        told = subprocess.run([sys.executable, "-c", _FIRST], check=True, capture_output=True, text=True)
        first.append(float(told.stdout))
    what = "first compiled result of a new process, 20,000 messages, code compiled before"
    table.add(what, f"{statistics.median(first[1:]):.2f} s")


# --- instructions


def test_instructions_a_message(table: Table) -> None:
    if missing := instructions.needed():
        table.add("instructions a message", f"not counted: {' and '.join(missing)} not found")
        return
    found = instructions.measured()
    good, text = instructions.compared(found)
    print(f"\n{text}")
    for engine, count in found.items():
        table.add(f"instructions a message, {engine}", f"{count:,}")
    table.add("instructions beside the baseline", "within 3 %" if good else "more", "3 % more at most", good)
    assert good, text
