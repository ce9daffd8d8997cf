"""What many Worlds share: compiled once, and the same bytes as if each had been compiled alone."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import sim
from sim.delivery.compile import compile_world
from sim.delivery.ground import ground_of
from sim.scenario import Scenario
from sim.studies.modes import CASES, case_of, with_cn_ptr, without_cn_ptr
from sim.terms import Setting, TlsVersion
from sim.timeline import Event
from sim.world.population import Population
from sim.world.workload import Workload

MAIL = Workload().total(2_000, 1.0)


def drawn(**others: Any) -> Scenario:
    """A population drawn anew, so that nothing is kept of another one."""
    policy = sim.Policy.read(sim.example("destinations.ini"))
    asked: dict[str, Any] = {"workload": MAIL, "policy": policy} | others
    return Scenario(population=Population.preset("2020s-web", domains=150), **asked)


@pytest.mark.parametrize(
    ("preset", "population", "world"),
    [
        ("2020s-web", "131630a8019fc18b", "d4017f62d726e5d6"),
        ("government-nl", "95b8d7e41066fa0e", "19455514936f0e8d"),
    ],
)
def test_hashes_stand(preset: str, population: str, world: str) -> None:
    """Of this release: a change here moves the numbers of every scenario, and the changelog says so."""
    people = Population.preset(preset, domains=25_000, seed=2)
    scenario = Scenario(population=people, workload=Workload().total(250_000, 1.0))
    assert (people.hash, compile_world(scenario).hash) == (population, world)


def test_settings_share_their_ground() -> None:
    scenario = drawn()
    one, other = (compile_world(scenario.with_setting(s)) for s in (Setting.NO, Setting.REQUIRED_VERIFY))
    assert one.hash != other.hash
    assert one.hosts is other.hosts
    assert one.destinations.key is other.destinations.key
    assert np.shares_memory(one.phases.stage, other.phases.stage)
    assert one.labels.domains is other.labels.domains
    assert not one.destinations.key.flags.writeable


@pytest.mark.parametrize(
    "change",
    [
        {"days": 2.0},
        {"workload": Workload().total(3_000, 1.0)},
        {"minimum_tls": TlsVersion.TLS_1_3},
        {"sender": "postfix"},
        {"timeline": (Event(event="outage", at_h=2.0, for_h=3.0, provider="own"),)},
        {"timeline": (Event(event="load", at_h=2.0, for_h=3.0, factor=3.0),)},
        {"timeline": (Event(event="starttls-stripped", at_h=2.0, for_h=3.0, share=0.3),)},
        {"timeline": (Event(event="certificate-expires", at_h=2.0, for_h=3.0, provider="own"),)},
    ],
    ids=lambda change: "-".join(map(str, change)),
)
def test_a_world_is_the_same_whatever_was_compiled_before(change: dict[str, Any]) -> None:
    """Of the same population: before and after a scenario that differs in one thing, and of a population drawn anew."""
    scenario = drawn()
    plain, changed = compile_world(scenario).hash, compile_world(replace(scenario, **change)).hash
    assert plain != changed
    assert compile_world(scenario).hash == plain
    assert compile_world(drawn(**change)).hash == changed


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.setting.key}-{case.reading}")
def test_each_case_of_modes_is_as_if_it_were_alone(case: Any) -> None:
    end = with_cn_ptr if case.cn_is_ptr else without_cn_ptr
    scenario = drawn()
    shared = replace(scenario, population=end(scenario.population))
    for other in CASES:
        compile_world(case_of(shared, other))
    alone = drawn()
    alone = replace(alone, population=end(alone.population))
    assert compile_world(case_of(shared, case)).hash == compile_world(case_of(alone, case)).hash


def test_the_ground_goes_with_its_population() -> None:
    scenario = drawn()
    ground = weakref.ref(ground_of(scenario))
    assert ground() is ground_of(scenario)
    del scenario
    gc.collect()
    assert ground() is None
