"""Small scenarios told message by message: peers made by hand, mail at stated times, chance planned through its keys.

A quick peer's round trip is one microsecond and it accepts at once, so that times stay whole seconds but for a few
microseconds: a connection in clear opens in 3 (connect, greeting, EHLO), an accepted message to one recipient takes
4 (MAIL, RCPT, DATA, final reply), a refused one 2 (MAIL, RCPT).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import expon

from sim.delivery import rules
from sim.delivery.draws import NTH_BITS, Stream, Words, name_key, round_keys, words
from sim.delivery.quantiles import unit_table
from sim.delivery.simulate import simulate
from sim.policy.destinations import DestinationControls, Entry
from sim.policy.profiles.esa import Switches
from sim.policy.retry import BounceProfile, HostRetry
from sim.results.result import Result
from sim.scenario import DeliverySwitches, Scenario
from sim.terms import Setting
from sim.world.population import Population
from sim.world.shapes import Sample
from sim.world.workload import Workload

DOMAIN, MX = "a.example", "mx1.a.example"
QUICK: dict[str, Any] = {"rtt_s": 1e-6, "throughput_bytes_per_s": 1e15, "accept_median_s": 0.0}
#: A peer whose steps can be counted on a clock: one second a round trip.
SLOW: dict[str, Any] = {**QUICK, "rtt_s": 1.0}
#: A host that never answers, and one that does not answer every second connection: 30 s until it is given up.
SILENT: dict[str, Any] = {"unreachable_rate": 1.0, "unreachable_s": 30.0}
HALF_SILENT: dict[str, Any] = {**SILENT, "unreachable_rate": 0.5}
HALF = 1 << 31
Mail = Sequence[float | tuple[float, int]]
Condition = Callable[[int], bool]


def peer(name: str = DOMAIN, *hosts: Mapping[str, Any], **domain: Any) -> dict[str, Any]:
    """Return the description of a domain; without hosts it has one quick one, ``mx1.`` and its name."""
    return {"domain": name, **domain, "hosts": list(hosts) or [{"host": f"mx1.{name}", **QUICK}]}


def mx(name: str = MX, **changes: Any) -> dict[str, Any]:
    """Return the description of a quick MX host with changes."""
    return {"host": name, **QUICK, **changes}


def trace_of(mail: Mapping[str, Mail]) -> pd.DataFrame:
    """Return the trace of mail: for each domain times in seconds, or (time, recipients)."""
    rows = [
        (domain, *(entry if isinstance(entry, tuple) else (entry, 1)))
        for domain, times in mail.items()
        for entry in times
    ]
    frame = pd.DataFrame(rows, columns=["domain", "time_s", "recipients"])
    return frame.assign(size_bytes=0)


def story(
    specs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    mail: Mail | Mapping[str, Mail],
    *,
    setting: Setting = Setting.NO,
    profile: Mapping[str, Any] | None = None,
    host_retry: HostRetry | None = None,
    entry: Mapping[str, Any] | None = None,
    delivery: Mapping[str, Any] | None = None,
    switches: Switches | None = None,
    **scenario: Any,
) -> Scenario:
    """Return the scenario of a story: mail by domain (or to the one domain), look-ups that take no time."""
    listed = [specs] if isinstance(specs, Mapping) else list(specs)
    by_domain = mail if isinstance(mail, Mapping) else {listed[0]["domain"]: mail}
    policy = DestinationControls(
        default=Entry(domain="DEFAULT", tls=setting, **(entry or {})),
        profiles={"Default": BounceProfile(**(profile or {}))},
        host_retry=host_retry or HostRetry(),
    )
    return Scenario(
        population=Population.custom(listed),
        policy=policy,
        workload=Workload(trace=trace_of(by_domain)),
        switches=switches or Switches(),
        delivery=DeliverySwitches(**{"dns_s": 0.0, **(delivery or {})}),
        acceptance=Sample([1.0]),
        **scenario,
    )


class Told:
    """What a story came to, column by column: lists in the order of ordinals, times in seconds."""

    def __init__(self, result: Result) -> None:
        self.result = result
        self._messages, self._connections = result.messages, result.connections

    def message(self, column: str, domain: str | None = None) -> list[Any]:
        """Return a column of the messages."""
        return _column(self._messages, column, domain)

    def connection(self, column: str, domain: str | None = None) -> list[Any]:
        """Return a column of the connections; what is missing is None."""
        return _column(self._connections, column, domain)


def _column(frame: pd.DataFrame, column: str, domain: str | None) -> list[Any]:
    rows = frame if domain is None else frame[frame["domain"] == domain]
    values = rows[column]
    return [None if pd.isna(v) else v for v in values.tolist()]


def tell(scenario: Scenario, seed: int = 1) -> Told:
    """Run a story."""
    return Told(simulate(scenario, seed=seed, records=True))


def seconds(values: Sequence[float | None]) -> Any:
    """Compare times to the microsecond."""
    return pytest.approx([np.nan if v is None else v for v in values], abs=4e-7, nan_ok=True)


def none_as_nan(values: Sequence[float | None]) -> list[float]:
    return [np.nan if v is None else v for v in values]


# --- chance, planned


def connection_words(seed: int, ordinal: int, opening: int, domain: str = DOMAIN, host: str = MX) -> Words:
    """Return what an opening of a message draws at an MX host: back end, stage, and two words not used."""
    who = name_key(domain) ^ name_key(host)
    return words(round_keys(seed, Stream.CONNECTION), who, ordinal << NTH_BITS | opening)


def message_words(seed: int, ordinal: int, domain: str = DOMAIN) -> Words:
    """Return what a message draws once: size, recipients, refusal, whether its pair is new."""
    return words(round_keys(seed, Stream.MESSAGE), name_key(domain), ordinal << NTH_BITS)


def fails(ordinal: int, opening: int) -> Condition:
    """Condition on a seed: where half of all connections fail, this opening of this message does."""
    return lambda seed: connection_words(seed, ordinal, opening)[1] < HALF


def works(ordinal: int, opening: int) -> Condition:
    """Condition on a seed: where half of all connections fail, this opening of this message does not."""
    return lambda seed: connection_words(seed, ordinal, opening)[1] >= HALF


def refused(ordinal: int) -> Condition:
    """Condition on a seed: where half of all messages are refused, this one is."""
    return lambda seed: message_words(seed, ordinal)[2] < HALF


def not_refused(ordinal: int) -> Condition:
    """Condition on a seed: where half of all messages are refused, this one is not."""
    return lambda seed: message_words(seed, ordinal)[2] >= HALF


def new_pair(ordinal: int) -> Condition:
    """Condition on a seed: where half of all pairs are new to a greylisting peer, this message's is."""
    return lambda seed: message_words(seed, ordinal)[3] < HALF


def known_pair(ordinal: int) -> Condition:
    """Condition on a seed: where half of all pairs are new to a greylisting peer, this message's is not."""
    return lambda seed: message_words(seed, ordinal)[3] >= HALF


def first_outage(seed: int, cycle_s: float, mean_s: float, host: str = MX) -> tuple[float, float]:
    """Return when the first outage of a host begins and how long it lasts, in seconds to the microsecond."""
    when, length, _, _ = words(round_keys(seed, Stream.OUTAGE), name_key(host), 0)
    unit = rules.quantile(unit_table(expon(), what="outage").tolist(), length)
    begins = rules.share_of(round(cycle_s * 1e6), when)
    return begins / 1e6, rules.scaled(round(mean_s * 1e6), unit, rules.UNIT_BITS) / 1e6


def seed_where(*conditions: Condition) -> int:
    """Return the first seed under which all of this happens."""
    return next(seed for seed in count(1) if all(holds(seed) for holds in conditions))
