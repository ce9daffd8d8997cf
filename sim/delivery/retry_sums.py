"""No clock: what becomes of a message alone in its queue, from one pass's probabilities summed over its retries.

Assumptions, beside those of `sim.delivery.analytic`: the message is alone (no other opens connections for it or
releases it); passes fail independently of each other once the state of the hosts is given, so a peer that never offers
STARTTLS never does; a host that is down is up again before the message lapses; passes fail at once, so that their
number is that of the retry schedule, and a sender's rule on old messages holds from the first pass that falls due late
enough; where the rule asks for a TLS failure before, every pass but the first counts as after one. Where they hold,
simulated messages agree (``tests/delivery/test_retry_sums.py``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim.delivery.analytic import ENDS, pass_probabilities
from sim.scenario import Scenario
from sim.terms import Term

Float = NDArray[np.float64]
Int64 = NDArray[np.int64]
_BOUNCED, _DEFERRED = ENDS.index("bounced"), ENDS.index("deferred")


def message_probabilities(scenario: Scenario, settings: Sequence[Term] | None = None) -> Float:
    """Return the probabilities of each fate of a message, and that it is deferred at all.

    Returns
    -------
    ndarray of float64
        Shape (settings, domains, ENDS): the first four sum to 1; the last is the probability of one deferral or more,
        whatever the fate.
    """
    first = pass_probabilities(scenario, settings)
    up = pass_probabilities(scenario, settings, outages=False)
    young, aged = _tries(scenario)
    found, lapses = _summed(up, young)
    if aged.any():
        later = pass_probabilities(scenario, settings, outages=False, aged=True)
        then, last = _summed(later, aged)
        found += lapses[:, :, None] * then
        lapses = lapses * last
    found[:, :, _BOUNCED] += lapses
    domains = scenario.population.domains
    soft = domains["first_4yz_rate"].to_numpy(dtype=np.float64)
    never = soft * (1 - domains["rescued_share"].to_numpy()) + domains["refused_5yz_rate"].to_numpy()
    carried = found[:, :, :_BOUNCED].sum(axis=2)
    found[:, :, _BOUNCED] += carried * never
    found[:, :, :_BOUNCED] *= (1 - never)[:, None]
    greylisted = np.where(domains["greylist_s"] > 0, domains["new_pair_rate"], 0.0) * (
        1 - soft - domains["refused_5yz_rate"]
    )
    reached = first[:, :, :_BOUNCED].sum(axis=2)
    found[:, :, _DEFERRED] = first[:, :, _DEFERRED] + reached * (soft + greylisted.to_numpy())
    return found


def _summed(one: Float, tries: Int64) -> tuple[Float, Float]:
    """Sum the ends of up to so many passes that are all like one; return them and P(all of the passes defer)."""
    again = one[:, :, _DEFERRED]
    lapses = again**tries
    # (1 - q^n) / (1 - q) passes come to an end each, counted from the first; n where no pass ever does.
    with np.errstate(invalid="ignore", divide="ignore"):
        passes = np.where(again < 1, (1 - lapses) / (1 - again), tries)
    return one * passes[:, :, None], lapses


def _tries(scenario: Scenario) -> tuple[Int64, Int64]:
    """Return how many passes each destination's mail has while it is young, and how many once it counts as aged."""
    count, known = len(scenario.population.domains), scenario.profile
    if known.queueing is not None:
        times = np.array(known.queueing.attempt_times_s())
        old = np.zeros(len(times), dtype=np.bool_)
        if known.aged_after_s is not None:
            old |= times >= known.aged_after_s
        if known.aged_after_tls_failure:
            old[1:] = True
        return np.full(count, int((~old).sum())), np.full(count, int(old.sum()))
    policy = scenario.policy
    entries = [policy.resolved(i) for i in range(-1, len(policy.entries))]
    profiles = [policy.profile(entry.bounce_profile or "Default") for entry in entries]
    tries = [len(policy.host_retry.attempt_times_s(profile.max_queue_time_s)) for profile in profiles]
    matched = policy.match(scenario.population.names)
    return np.asarray(tries, dtype=np.int64)[matched + 1], np.zeros(count, dtype=np.int64)
