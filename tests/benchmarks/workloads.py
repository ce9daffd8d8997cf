"""What the benchmarks send: the standard workload at any number of domains, and one with every feature on."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd

import sim
from sim.policy.destinations import DEFAULT, DestinationControls, Entry
from sim.scenario import Scenario
from sim.terms import LimitType, Setting
from sim.world.population import Population
from sim.world.workload import Workload
from tests.benchmarks.test_reference import (
    CONNECTIONS,
    DOMAINS,
    MESSAGES_PER_CONNECTION,
    SIGMA,
    TRANSIENT,
    ZIPF,
    standard,
)

#: At this rate the busiest of 1,000 to 1,000,000 domains keeps six or seven of its 10 connections busy. More mail is
#: more days of it, for at ten times the rate no gateway's 10 connections would carry it.
A_DAY = 1_000_000


def standard_of(messages: int, domains: int = DOMAINS) -> Scenario:
    """The standard workload, a million messages a day for as many days as it takes, or for part of one."""
    scenario = replace(standard(), workload=Workload.flat(min(messages, A_DAY)), days=max(1.0, messages / A_DAY))
    return scenario if domains == DOMAINS else replace(scenario, population=many(domains))


def many(domains: int) -> Population:
    """The population of the standard workload with any number of domains, made column by column."""
    hosts = [{"host": f"mx{k}.example", "accept_sigma": SIGMA} for k in (1, 2)]
    one = Population.custom([{"domain": "d.example", "messages": 1.0, "first_4yz_rate": TRANSIENT, "hosts": hosts}])
    weight = np.arange(1, domains + 1) ** -ZIPF
    names = [f"d{i}.example" for i in range(domains)]
    first = np.arange(2 * domains)
    return Population(
        name="standard", seed=0, year=2024, weighting="domain",
        domains=_repeated(one.domains, domains).assign(domain=names, messages=weight / weight.sum()),
        hosts=_repeated(one.hosts, domains).assign(host=[f"mx{k}.{name}" for name in names for k in (1, 2)]),
        backends=_repeated(one.backends, domains).assign(host=first),
        routes=_repeated(one.routes, domains).assign(domain=first // 2, host=first),
        account=one.account, messages_are_counts=True,
    )  # fmt: skip


def _repeated(frame: pd.DataFrame, times: int) -> pd.DataFrame:
    return frame.iloc[np.tile(np.arange(len(frame)), times)].reset_index(drop=True)


@cache
def every_feature() -> Scenario:
    """Real-looking peers under Required, a quarter of whose mail fails; 1.4 million messages.

    ``alexa-2015``, whose peers without STARTTLS carry a fifth of the mail, and an attacker who strips it from 3 % more;
    one destination in ten greylists, hosts are down 1 % of the time; limits of connections and of recipients a minute
    for each MX address; a provider's outage, two hours of a stricter policy, and twice the mail for three hours.
    """
    population = sim.Population.preset("alexa-2015", domains=DOMAINS, greylist_share=0.1, outage_share=0.01)
    default = Entry(
        domain=DEFAULT, tls=Setting.REQUIRED, max_host_concurrency=CONNECTIONS,
        max_messages_per_connection=MESSAGES_PER_CONNECTION, recipient_limit=2_000, recipient_minutes=1,
        limit_type=LimitType.MXIP,
    )  # fmt: skip
    stricter = Entry(domain=str(population.domains["domain"].iloc[3]), tls=Setting.REQUIRED_VERIFY)
    changes = (
        sim.Event(event="starttls-stripped", at_h=0, share=0.03),
        sim.Event(event="outage", at_h=8, for_h=2, provider="isp-one"),
        sim.Event(event="load", at_h=10, for_h=3, factor=2.0),
        sim.Event(event="policy", at_h=18, for_h=2, policy=DestinationControls(default=default, entries=(stricter,))),
    )
    return Scenario(
        population=population, policy=DestinationControls(default=default), timeline=changes,
        workload=Workload(messages_per_day=A_DAY),
    )  # fmt: skip
