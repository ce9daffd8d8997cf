"""What the tests of the policy core share."""

from __future__ import annotations

import os
import sys

import pytest

from sim.policy import sheets


@pytest.fixture(autouse=True)
def _tables_built_anew() -> None:
    """While code is mutated, no test finds the tables of another: each runs all the code that it depends on."""
    if "MUTANT_UNDER_TEST" in os.environ:
        for name, module in list(sys.modules.items()):
            if name.startswith("sim.policy.profiles."):
                vars(module.PROFILE).pop("_built", None)
        sheets._open_cells.cache_clear()
