"""How often the paired intervals of a what-if cover a difference that is known by arithmetic.

Two destinations of equal mail prefer TLS; a peer of either does not offer it to a known share of connections, and a
connection carries one message. So each message is in clear with that probability, independent of all others. Requiring
TLS at one of the two keeps its messages out of the clear and touches no other: the share of mail in clear falls by
(its share of mail) x (that probability), exactly, while the interval knows only the runs.

    python -m tests.studies.coverage_of_paired_intervals            2,000 studies, some two minutes
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor

from sim.policy.destinations import DestinationControls, Entry
from sim.scenario import Scenario
from sim.studies.whatif import whatif
from sim.terms import Setting
from sim.world.population import Population
from sim.world.workload import Workload

NOT_OFFERED = 0.4
TRUTH = -NOT_OFFERED / 2
REPLICATIONS = 5
SCENARIO = Scenario(
    population=Population.custom(
        [
            {
                "domain": f"{name}.example",
                "messages": 1,
                "hosts": [{"host": f"mx.{name}", "not_offered_rate": NOT_OFFERED}],
            }
            for name in "ab"
        ]
    ),
    policy=DestinationControls(default=Entry(domain="DEFAULT", tls=Setting.PREFERRED, max_messages_per_connection=1)),
    workload=Workload.flat(50, size_bytes=1_000.0, recipients=1.0),
)


def covers(seed: int) -> tuple[bool, float]:
    """Run one study; tell whether its interval covers the truth, and the estimate."""
    result = whatif(
        SCENARIO, set={"a.example": "required"}, replications=REPLICATIONS, seed=seed, vary="chance", jobs=1
    )
    [row] = [r for r in result.measures().to_dict("records") if r["measure"] == "in clear"]
    return bool(row["low"] <= TRUTH <= row["high"]), float(row["difference"])


def main(studies: int = 2_000) -> None:
    """Count the intervals that cover, and print what came of it."""
    begun = time.perf_counter()
    with ProcessPoolExecutor() as pool:
        found = list(pool.map(covers, range(1, studies + 1), chunksize=10))
    share = sum(hit for hit, _ in found) / studies
    mean = sum(estimate for _, estimate in found) / studies
    print(f"{studies:,} studies of {REPLICATIONS} replications: {share:.2%} of the 95 % intervals cover {TRUTH:+.3f};")
    print(f"mean estimate {mean:+.4f}; {time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main(*(int(text.replace("_", "")) for text in sys.argv[1:2]))
