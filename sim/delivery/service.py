"""How long mail keeps connections busy: what a queueing formula calls the service time of a message."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.delivery.quantiles import quantiles_of_many
from sim.delivery.rules import UNIT_BITS
from sim.delivery.world import Int64, World
from sim.results.records import CONNECTION_COLUMNS, MESSAGE_COLUMNS, US_PER_S
from sim.terms import Fate

Floats = NDArray[np.float64]
#: Words at which a unit table is read for its moments: the middles of so many equal parts.
_PARTS = 1 << 16


@dataclass(frozen=True, slots=True)
class ServiceTime:
    """How long a message keeps a connection busy.

    Attributes
    ----------
    mean_s : its transfers, refusals, and its share of the openings of connections, failed ones included.
    scv : squared coefficient of variation; 1 for exponential service.
    """

    mean_s: float
    scv: float


def service_time(world: World, messages: Int64, connections: Int64) -> ServiceTime:
    """Return the service time of messages.

    The time a connection idles is left out: it holds a place, but a message that waits gets the connection at once.
    Rows do not hold how long a peer took to accept, so that is the mean and variance of its distribution.

    Parameters
    ----------
    world : the World the rows come from.
    messages, connections : rows of a run, of the destinations asked about.
    """
    if not len(messages):
        return ServiceTime(0.0, 0.0)
    mean_us, variance = _transfers(world, messages)
    of = dict(zip(CONNECTION_COLUMNS, connections.T, strict=True))
    ends_us = np.where(of["established_us"] >= 0, of["established_us"], of["closed_us"])
    opening_us = float((ends_us - of["opened_us"])[ends_us >= 0].sum()) / len(messages)
    mean = float(mean_us.mean()) + opening_us
    spread = float(mean_us.var() + variance.mean())
    return ServiceTime(mean / US_PER_S, spread / mean**2 if mean else 0.0)


def _transfers(world: World, messages: Int64) -> tuple[Floats, Floats]:
    """Return mean (us) and variance (us^2) of the time each message spends in transfer, over all its tries."""
    of = dict(zip(MESSAGE_COLUMNS, messages.T, strict=True))
    met = of["route"] >= 0
    host = world.routes.host[np.where(met, of["route"], 0)]
    accepted = np.where(met, of["fate"] <= Fate.VERIFIED, 0)
    rtt_us = world.hosts.rtt_us[host].astype(np.float64)
    unit_mean, unit_variance = _unit_moments(world)
    table = world.hosts.accept_table[host]
    accept_us = world.hosts.accept_us[host].astype(np.float64)
    body_us = of["size_bytes"] / float(1 << 20) * world.hosts.us_per_mib[host]
    refused = np.where(met, of["verdicts"], 0) - accepted
    transfer_us = (3 + of["recipients"]) * rtt_us + body_us + accept_us * unit_mean[table]
    refusal_us = (1 + of["recipients"]) * rtt_us
    return accepted * transfer_us + refused * refusal_us, accepted * accept_us**2 * unit_variance[table]


def _unit_moments(world: World) -> tuple[Floats, Floats]:
    word = (np.arange(_PARTS, dtype=np.int64) << 16) + (1 << 15)
    units = np.array([quantiles_of_many(table, word) for table in world.tables.accept]) / float(1 << UNIT_BITS)
    return units.mean(axis=1), units.var(axis=1)
