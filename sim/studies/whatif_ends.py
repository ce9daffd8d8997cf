"""The unmeasured figure under a what-if: whether certificates carry the PTR name as their CN, and its other end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.delivery.world import World
from sim.results.labels import GATEWAY_SETTINGS
from sim.studies.modes import with_cn_ptr, without_cn_ptr
from sim.terms import Setting
from sim.world.population import Population

#: Settings whose name rule accepts the PTR name: ``docs/decisions/cn-ptr-range.md``.
BY_PTR: Final = (Setting.PREFERRED_VERIFY, Setting.REQUIRED_VERIFY)
_PARAMETER = "p_cn_ptr"
#: How a sentence about an end begins.
IF: Final = {
    True: "If every certificate that names its MX host carried the PTR name as its CN",
    False: "If no certificate carried the PTR name as its CN",
}


def other_end(population: Population) -> bool | None:
    """Return the end of the figure at which the population is not; None where the figure is measured or not drawn."""
    figure = population.figure(_PARAMETER)
    if population.drawn_by is None or (figure is not None and figure["status"] == "measured"):
        return None
    every = with_cn_ptr(population).backends["cn_ptr"].equals(population.backends["cn_ptr"])
    return not (every and bool(population.backends["cn_ptr"].any()))


def at_end(population: Population, cn_is_ptr: bool | None) -> Population:
    """Return the population at an end of the figure; as it is drawn for None."""
    ends: dict[bool | None, Callable[[Population], Population]] = {True: with_cn_ptr, False: without_cn_ptr}
    return ends[cn_is_ptr](population) if cn_is_ptr is not None else population


def rests_on_ptr(old: World, new: World, *, changes_all: bool) -> bool:
    """Tell whether a change concerns a destination whose peers are verified by the PTR rule, today or then.

    Parameters
    ----------
    old, new : before and after the change.
    changes_all : whether more than settings change, so that every destination is concerned.
    """
    before, after = old.phases, new.phases
    same = before.begins_us.shape == after.begins_us.shape and np.array_equal(before.begins_us, after.begins_us)
    verifies = _by_ptr(old) | _by_ptr(new)
    if not changes_all and same:
        verifies &= (before.setting != after.setting).any(axis=0)
    return bool(verifies.any())


def _by_ptr(world: World) -> NDArray[np.bool_]:
    if world.labels.setting_names != GATEWAY_SETTINGS:
        return np.zeros(len(world.labels.domains), dtype=np.bool_)
    found: NDArray[np.bool_] = np.logical_or.reduce(np.isin(world.phases.setting, BY_PTR), axis=0)
    return found
