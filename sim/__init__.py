"""Simulate a mail gateway's outbound delivery under each TLS setting of its Destination Controls.

The names below are the public surface. Each is loaded when it is first used, so that ``import sim`` needs
neither pandas nor a plotting library. The field's words (`Setting`, `Fate`, ...) are in `sim.terms`, the
faults a user can mend in `sim.errors`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from sim.about import __version__

if TYPE_CHECKING:
    from sim.about import versions
    from sim.data import example
    from sim.delivery.expected import expected
    from sim.delivery.simulate import simulate
    from sim.formats.destination_controls import Policy
    from sim.formats.scenario_file import read_scenario
    from sim.results.store import read_records
    from sim.scenario import Scenario
    from sim.studies.capacity import capacity
    from sim.studies.modes import modes
    from sim.studies.sweep import sweep
    from sim.studies.whatif import whatif
    from sim.timeline import Event
    from sim.world.population import Population
    from sim.world.workload import Workload

__all__ = [
    "Event",
    "Policy",
    "Population",
    "Scenario",
    "Workload",
    "__version__",
    "capacity",
    "example",
    "expected",
    "modes",
    "read_records",
    "read_scenario",
    "simulate",
    "sweep",
    "versions",
    "whatif",
]

_HOME = {
    "Event": "sim.timeline",
    "Policy": "sim.formats.destination_controls",
    "Population": "sim.world.population",
    "Scenario": "sim.scenario",
    "Workload": "sim.world.workload",
    "capacity": "sim.studies.capacity",
    "example": "sim.data",
    "expected": "sim.delivery.expected",
    "modes": "sim.studies.modes",
    "read_records": "sim.results.store",
    "read_scenario": "sim.formats.scenario_file",
    "simulate": "sim.delivery.simulate",
    "sweep": "sim.studies.sweep",
    "versions": "sim.about",
    "whatif": "sim.studies.whatif",
}


def __getattr__(name: str) -> object:
    """Load a public name from the module it lives in (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
