"""``python -m sim.delivery.warm``: compile the compiled engine now, so that no run waits for it later."""

from __future__ import annotations

from sim import jit


def warm() -> bool:
    """Compile the engine, but for the ceiling, and the policy core, by using them.

    Returns whether there was anything to compile.
    """
    if not jit.available() or jit.is_warm():
        return False
    print("compiling the engine (once, about half a minute)", flush=True)  # noqa: T201 (it is run as a command)
    import numpy as np

    from sim.delivery.simulate import simulate
    from sim.policy.decide import decide
    from sim.policy.profiles.esa import tables
    from sim.scenario import Scenario
    from sim.world.population import Population
    from sim.world.workload import Workload

    people = Population.custom([{"domain": "a.example", "messages": 20}])
    simulate(Scenario(population=people, workload=Workload.flat(), until_s=80_000.0), engine="compiled", threads=1)
    decide(np.zeros(1 << 16, dtype=np.uint8), 0, 0, 0, 0, tables())
    return True


if __name__ == "__main__":
    warm()
