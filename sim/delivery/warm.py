"""``python -m sim.delivery.warm``: compile the compiled engine now, so that no run waits for it later."""

from __future__ import annotations

from sim import jit


def warm() -> bool:
    """Compile the engine by a small run of everything but the ceiling; return whether there was anything to compile."""
    if not jit.available() or jit.is_warm():
        return False
    print("compiling the engine (once, about half a minute)", flush=True)  # noqa: T201 (it is run as a command)
    from sim.delivery.simulate import simulate
    from sim.scenario import Scenario
    from sim.world.population import Population
    from sim.world.workload import Workload

    people = Population.custom([{"domain": "a.example", "messages": 20}])
    simulate(Scenario(population=people, workload=Workload.flat(), until_s=80_000.0), engine="compiled", threads=1)
    return True


if __name__ == "__main__":
    warm()
