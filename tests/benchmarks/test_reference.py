"""What the reference engine costs, beside a bare SimPy model of the same workload in the same run: ``make bench``.

The figures of ``docs/benchmarks.md`` are printed here. Rates are medians of rounds that take turns, so that a slow
spell of the machine meets both models, by the clock on the wall and by the processor's: on a machine that others use
only the second is ours. Memory and cold starts are measured in processes of their own.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import simpy

from sim.delivery.compile import compile_world
from sim.delivery.simulate import run_world, simulate
from sim.policy.destinations import DEFAULT, DestinationControls, Entry
from sim.results.result import Result
from sim.results.sinks import CountSink
from sim.scenario import Scenario
from sim.studies.modes import CASES, case_of, modes, with_cn_ptr
from sim.terms import Setting
from sim.world.population import Population
from sim.world.workload import Workload
from tests.benchmarks.test_costs import seconds, tell

pytestmark = pytest.mark.bench

# The standard workload: two MX hosts a domain, log-normal acceptance (median 2 s, sigma 0.8), retries that double from
# 60 s to 3,600 s for 72 h, one day of arrivals at an even rate.
MESSAGES, DOMAINS, ZIPF = 20_000, 5_000, 1.17
CONNECTIONS, MESSAGES_PER_CONNECTION = 10, 50
TRANSIENT = 0.02
MEDIAN_S, SIGMA = 2.0, 0.8
FIRST_WAIT_S, LONGEST_WAIT_S, LIFETIME_S = 60.0, 3_600.0, 72 * 3_600.0
DAY_S = 86_400.0
ROUNDS = 5


def mail_of_domains() -> list[float]:
    weight = np.arange(1, DOMAINS + 1) ** -ZIPF
    return [float(w) for w in weight / weight.sum() * MESSAGES]


@cache
def standard(setting: Setting = Setting.PREFERRED) -> Scenario:
    """The standard workload of the project; its bounce profile and host retry are those the gateway ships."""
    specs = [
        {
            "domain": f"d{i}.example",
            "messages": messages,
            "first_4yz_rate": TRANSIENT,
            "hosts": [{"host": f"mx{k}.d{i}.example", "accept_sigma": SIGMA} for k in (1, 2)],
        }
        for i, messages in enumerate(mail_of_domains())
    ]
    default = Entry(
        domain=DEFAULT,
        tls=setting,
        max_host_concurrency=CONNECTIONS,
        max_messages_per_connection=MESSAGES_PER_CONNECTION,
    )
    return Scenario(
        population=Population.custom(specs), policy=DestinationControls(default=default), workload=Workload.flat()
    )


class Bare:
    """A process a message and a resource a destination: what a user of SimPy writes first.

    It draws acceptance and failures and retries with doubling waits; it has no connections, no TLS, no MX hosts, no
    destinations that are down, and keeps only counts.
    """

    def __init__(self, seed: int) -> None:
        self.env = simpy.Environment()
        self.chance = random.Random(seed)
        self.delivered = self.bounced = 0
        self.delay_s = 0.0
        draw = np.random.default_rng(seed)
        weight = np.array(mail_of_domains())
        count = int(draw.poisson(MESSAGES))
        arrival_s = np.sort(draw.uniform(0, DAY_S, count)).tolist()
        domain = draw.choice(DOMAINS, count, p=weight / weight.sum()).tolist()
        slots = [simpy.Resource(self.env, CONNECTIONS) for _ in range(DOMAINS)]
        for at_s, to in zip(arrival_s, domain, strict=True):
            self.env.process(self.message(at_s, slots[to]))

    def message(self, arrival_s: float, slots: simpy.Resource) -> Generator[simpy.Event, Any, None]:
        env, chance = self.env, self.chance
        yield env.timeout(arrival_s)
        wait_s = FIRST_WAIT_S
        while True:
            began_s = env.now
            with slots.request() as slot:
                yield slot
                yield env.timeout(chance.lognormvariate(0.0, SIGMA) * MEDIAN_S)
            if chance.random() >= TRANSIENT:
                self.delivered += 1
                self.delay_s += env.now - arrival_s
                return
            if env.now - arrival_s >= LIFETIME_S:
                self.bounced += 1
                return
            yield env.timeout(max(began_s + wait_s - env.now, 0.0))
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def run(self) -> int:
        self.env.run()
        return self.delivered + self.bounced


class Rates:
    """Messages a second of some work, round by round: by the clock on the wall, and by the processor's."""

    def __init__(self, work: Callable[[], int]) -> None:
        self.work = work
        self.wall: list[float] = []
        self.processor: list[float] = []

    def once(self) -> None:
        wall, processor = time.perf_counter(), time.process_time()
        messages = self.work()
        self.wall.append(messages / (time.perf_counter() - wall))
        self.processor.append(messages / (time.process_time() - processor))

    def tell(self, what: str, allowed: str) -> None:
        tell(f"{what}, messages/s", statistics.median(self.wall), allowed)
        tell(f"{what}, messages/s of processor time", statistics.median(self.processor), allowed)


def tell_load() -> None:
    if hasattr(os, "getloadavg"):
        print(f"\nload of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


def apart(code: str, **environment: str) -> dict[str, float]:
    """Run code in a process of its own; it prints one JSON document."""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, timeout=280, env=os.environ | environment,
    )  # fmt: skip
    found: dict[str, float] = json.loads(ran.stdout)
    return found


def test_the_reference_beside_a_bare_simpy_model() -> None:
    world = compile_world(standard())

    def reference() -> int:
        sink = CountSink(world.labels)
        run_world(world, 1, sink, engine="reference")
        return Result(world.labels, sink).injected

    ours, bare = Rates(reference), Rates(lambda: Bare(1).run())
    reference()
    for _ in range(ROUNDS):
        ours.once()
        bare.once()
    tell_load()
    ours.tell("standard workload, reference", "target: at least 15,000")
    bare.tell("standard workload, bare SimPy model", "beside it, same run")
    ratio = statistics.median(a / b for a, b in zip(ours.processor, bare.processor, strict=True))
    tell("reference over bare, processor time", ratio, "never below 0.5")
    tell("reference over bare, wall", statistics.median(ours.wall) / statistics.median(bare.wall), "never below 0.5")
    assert ratio >= 0.5
    assert statistics.median(ours.processor) >= 15_000


def test_the_bare_model_and_the_reference_carry_the_same_mail() -> None:
    totals = simulate(standard(), seed=1).totals()
    model = Bare(1)
    carried = model.run()
    tell("messages: reference", totals["messages"], f"bare: {carried:,}")
    assert totals["messages"] == pytest.approx(MESSAGES, abs=5 * MESSAGES**0.5)
    assert carried == pytest.approx(MESSAGES, abs=5 * MESSAGES**0.5)
    assert totals["encrypted_share"] == 1
    assert totals["deferred_share"] == pytest.approx(TRANSIENT, abs=0.005)
    tell("mean delay, s: reference", totals["delay_mean_s"], f"bare: {model.delay_s / carried:.2f}")


def test_what_comes_before_and_after_the_engine() -> None:
    scenario = standard()
    result = simulate(scenario, seed=1, engine="reference")
    made = seconds(lambda: compile_world(standard()), 3)
    tell("population and World of the standard workload, s", made, "no target")
    tell("totals of a result, s", seconds(result.totals, 3), "no target")
    taken = seconds(lambda: simulate(scenario, seed=1, engine="reference"), 3)
    tell("all of simulate(), reference, messages/s", result.injected / taken, "no target")


def test_every_feature_under_required() -> None:
    population = Population.preset("alexa-2015", domains=DOMAINS)
    scenario = Scenario(population=population, workload=Workload(messages_per_day=MESSAGES))
    world = compile_world(scenario.with_setting(Setting.REQUIRED))

    def run() -> int:
        sink = CountSink(world.labels)
        run_world(world, 1, sink, engine="reference")
        return Result(world.labels, sink).injected

    rates = Rates(run)
    for _ in range(3):
        rates.once()
    rates.tell("alexa-2015 under Required (a fifth of the mail waits for days)", "no target")


def main_job() -> Scenario:
    """What ``tlssim modes`` runs without arguments, but for its number of replications."""
    return Scenario(population=Population.preset("2020s-web", domains=DOMAINS), workload=Workload().total(MESSAGES, 1))


def test_the_main_job() -> None:
    scenario = main_job()
    tell_load()
    for case in CASES:
        population = with_cn_ptr(scenario.population) if case.cn_is_ptr else scenario.population
        world = compile_world(case_of(replace(scenario, population=population), case))
        sink = CountSink(world.labels)
        begun = time.process_time()
        run_world(world, 1, sink, engine="reference")
        name = f"{case.setting}{f' ({case.reading})' if case.reading else ''}"
        connections = int(sink.sums["connections"].sum())
        tell(
            f"main job, {name}, reference, s of processor time",
            time.process_time() - begun,
            f"{connections:,} connections",
        )
    for replications, jobs in ((1, 1), (2, 2)):
        begun = time.perf_counter()
        modes(scenario, replications=replications, jobs=jobs)
        runs = f"{replications * len(CASES)} runs of {MESSAGES:,} messages"
        tell(f"main job, {replications} replication(s), {jobs} process(es), s", time.perf_counter() - begun, runs)


FIRST_CHART = """
import json, os, tempfile, time
begun = time.perf_counter()
import sim
population = sim.Population.preset("2020s-web", domains=5_000, seed=1)
scenario = sim.Scenario(population=population, workload=sim.Workload(messages_per_day=20_000))
result = sim.modes(scenario, messages=MESSAGES, replications=1)
with tempfile.TemporaryDirectory() as folder:
    result.write(folder)
print(json.dumps({"wall": time.perf_counter() - begun, "processor": sum(os.times()[:4])}))
"""


@pytest.mark.parametrize("messages", [2_000, MESSAGES])
def test_the_first_chart_from_a_cold_start(messages: int) -> None:
    tell_load()
    found = apart(FIRST_CHART.replace("MESSAGES", str(messages)))
    what = f"first chart of the main job, {messages:,} messages, one replication"
    tell(f"{what}, s", found["wall"], "target: under 5")
    tell(f"{what}, s of processor time, all processes", found["processor"], "no target")


EXPECTED = """
import json, statistics, time
import sim
from sim.delivery.analytic import pass_probabilities
from sim.delivery.expected import expected
population = sim.Population.preset("alexa-2015", domains=10_000, seed=1)
scenario = sim.Scenario(population=population, workload=sim.Workload(messages_per_day=20_000))
rounds = []
for _ in range(16):
    begun = time.perf_counter(), time.process_time()
    pass_probabilities(scenario)
    rounds.append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
wall, processor = zip(*rounds[1:])
begun = time.perf_counter()
expected(scenario)
frame = time.perf_counter() - begun
found = {"wall": statistics.median(wall), "processor": statistics.median(processor), "frame": frame}
print(json.dumps({name: 1_000 * value for name, value in found.items()}))
"""


def test_expected_rates_of_ten_thousand_domains() -> None:
    tell_load()
    for threads in (None, "1"):
        found = apart(EXPECTED, **({} if threads is None else {"OPENBLAS_NUM_THREADS": threads}))
        what = f"expected rates of 10,000 domains x 6 settings, {threads or 'all'} BLAS thread(s)"
        tell(f"{what}, ms", found["wall"], "target: 10")
        tell(f"{what}, ms of processor time", found["processor"], "target: 10")
        tell(f"{what}, with the frame, ms", found["frame"], "no target")
    # With one thread processor time is steady; a tenfold miss of the target would be a fault of its own.
    assert found["processor"] < 100


#: `ru_maxrss` of a new process begins at its parent's (Linux), so the peaks are read where they are kept per process:
#: "VmHWM" of this one and of each worker, asked after every run.
PEAK = """
import json, os
from pathlib import Path
import sim

def peak(pid):
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["PPid"]), int(fields.get("VmHWM", "0 kB").split()[0]) / 1024

workers = {}

def ask(done, of):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            parent, found = peak(pid)
        except (OSError, KeyError):
            continue
        if parent == os.getpid():
            workers[pid] = max(found, workers.get(pid, 0))

population = sim.Population.preset("2020s-web", domains=5_000, seed=1)
scenario = sim.Scenario(population=population, workload=sim.Workload(messages_per_day=20_000))
before = peak(os.getpid())[1]
sim.modes(scenario, messages=MESSAGES, replications=1, jobs=JOBS, progress=ask).figure()
print(json.dumps({"before": before, "caller": peak(os.getpid())[1], "workers": sum(workers.values())}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("messages", "jobs"), [(MESSAGES // 4, 1), (MESSAGES, 1), (MESSAGES, 2)])
def test_the_peak_memory_of_the_main_job(messages: int, jobs: int) -> None:
    found = apart(PEAK.replace("MESSAGES", str(messages)).replace("JOBS", str(jobs)))
    total = found["caller"] + found["workers"]
    tell(f"peak memory, main job, {messages:,} messages, {jobs} process(es), MB", total, "target: below 1,000")
    print({name: round(value) for name, value in found.items()})
    assert total < 1_000
