"""What runs of any size come to: ``python -m tests.benchmarks.scale`` writes docs/scale.md from a few measured figures.

The figures stand in ``scale.toml``; ``python -m tests.benchmarks.scale measure`` measures anew what takes a minute, and
`make bench` the rest.
"""

from __future__ import annotations

import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from sim.delivery.compile import compile_world
from sim.delivery.kernel.packed import MESSAGE, NODE
from sim.delivery.simulate import run_world
from sim.results.records import CONNECTION_COLUMNS
from sim.results.sinks import CountSink, RecordSink
from sim.results.store import ParquetSink
from sim.scenario import Scenario
from sim.world.population import Population
from sim.world.workload import Workload
from tests.benchmarks.test_reference import ZIPF
from tests.benchmarks.workloads import standard_of
from tests.repository.tree import ROOT

FIGURES = Path(__file__).with_name("scale.toml")
TEMPLATE = Path(__file__).with_name("scale-page.txt")
PAGE = ROOT / "docs" / "scale.md"
READINGS, CEILING, DAY_S = 8, 10_000, 86_400
DAYS = ((10**6, 5_000), (10**8, 5_000), (10**8, 10**6), (10**9, 10**6))
MESSAGE_BYTES = MESSAGE.itemsize + 3 * NODE.itemsize


def figures() -> dict[str, float]:
    """The measured figures, by name with their units."""
    found: dict[str, float] = tomllib.loads(FIGURES.read_text())["figures"]
    return found


def measure() -> None:
    """Print figures for ``scale.toml``."""
    messages = 1_000_000
    world = compile_world(standard_of(messages))
    run_world(world, 1, CountSink(world.labels, compiled=True), engine="compiled")
    began = time.process_time()
    for seed in range(1, 6):
        people = Population.preset("2020s-web", domains=5_000, seed=seed)
        compile_world(Scenario(population=people, workload=Workload(messages_per_day=messages)))
    print(f"setup_s = {(time.process_time() - began) / 5:.2f}")
    kept = RecordSink(world.labels)
    run_world(world, 1, kept, engine="compiled")
    row = dict(zip(CONNECTION_COLUMNS, kept.connection_rows().T, strict=True))
    held_us = int((row["closed_us"] - row["opened_us"]).sum()) - world.rules.idle_us * len(row["opened_us"])
    print(f"busy_s_per_message = {held_us / 1e6 / messages:.1f}")
    with TemporaryDirectory() as folder, ParquetSink(world.labels, folder, compiled=True) as files:
        began = time.process_time()
        run_world(world, 1, files, engine="compiled")
        paths = files.finish({})
        print(f"parquet_us_per_message = {(time.process_time() - began) / messages * 1e6:.1f}")
        print(f"parquet_bytes_per_message = {sum(path.stat().st_size for path in paths) / messages:.0f}")
    narrow = replace(world, rules=replace(world.rules, max_connections=100))
    for _ in range(2):  # the first compiles
        began = time.process_time()
        run_world(narrow, 1, CountSink(narrow.labels, compiled=True), engine="compiled", threads=1)
    print(f"ceiling_us_per_message = {(time.process_time() - began) / messages * 1e6:.1f}")


def spelt(seconds: float) -> str:
    """A time as people say it."""
    for unit, length in (("days", DAY_S), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def page(of: dict[str, float]) -> str:
    """The page with all that follows from the figures worked out."""
    message_s = {5_000: of["us_per_message_5_000"] / 1e6, 1_000_000: of["us_per_message_1_000_000"] / 1e6}
    speed_up = of["two_threads"]
    flow = CEILING / of["busy_s_per_message"]
    gateways = -(-1_000_000_000 // int(flow * DAY_S))
    rows = []
    for messages, domains in DAYS:
        core_s = messages * message_s[domains]
        times = (spelt(took_s) for took_s in (core_s, core_s / speed_up, READINGS * core_s / speed_up))
        rows.append(f"| {messages:,} | {domains:,} | {' | '.join(times)} |")
    engine_s, setup_s = 1e10 * message_s[5_000], 1e4 * of["setup_s"]
    replications = "\n".join(
        f"| {what} | {spelt(engine_s / cores)} | {spelt(setup_s / cores)} | {spelt((engine_s + setup_s) / cores)} |"
        for what, cores in (("one core", 1), ("2 cores", 2), ("a cluster of 64 cores", 64))
    )
    return TEMPLATE.read_text().format(
        **of,
        ceiling=CEILING,
        days="\n".join(rows),
        replications=replications,
        flow=flow,
        flow_a_day=flow * DAY_S / 1e6,
        gateways=gateways,
        message_bytes=MESSAGE_BYTES,
        largest=100 / sum(rank**-ZIPF for rank in range(1, 5_001)),
        waiting_gb=1e7 * MESSAGE_BYTES / 1e9,
        million_gb=of["kb_per_destination"],
        parquet_gb=of["parquet_bytes_per_message"],
        parquet_h=of["parquet_us_per_message"] * 1e3 / 3_600,
        cell_s=1e6 * message_s[5_000] + of["setup_s"],
    )


def main(words: list[str]) -> None:
    """Measure, or write the page."""
    if words == ["measure"]:
        measure()
    else:
        PAGE.write_text(page(figures()))


if __name__ == "__main__":
    main(sys.argv[1:])
