"""Count a batch of rows in one loop over them: plain functions of integers, which numba can compile.

`CountSink` reduces rows with numpy, a pass a count, and that is the specification. These loops read each row twice:
*scan* looks whether all rows are as an engine may emit them, how far they reach in time and which blocks of the
histograms of delay they need; *add* counts, once there is room.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim import jit
from sim.results.histogram import SUB, SUB_BITS, UNMET, WANTED
from sim.results.records import CONNECTION_COLUMNS, MESSAGE_COLUMNS
from sim.results.timeline import BOUNCED, CLOSED, DELIVERED, INJECTED, MINUTE_US, MOST_MINUTES, OPENED
from sim.terms import Bounce, Fate, Outcome, Reason

Ints = NDArray[np.int64]

#: The counts of a destination and the codes each has a column for. Times in microseconds, as two limbs of 32 bits.
WIDTHS = {
    "deferred_messages": 1, "deferred_recipients": 1, "exposed_messages": 1, "deferral_events": 1, "retries": 1,
    "delay_low": 1, "delay_high": 1,
    "connections": 1, "failed_connections": 1, "carried_messages": 1, "held_low": 1, "held_high": 1,
    "messages": len(Fate), "recipients": len(Fate), "size_bytes": len(Fate), "bounces": len(Bounce),
    "reasons": len(Reason), "bounce_reasons": len(Reason),
}  # fmt: skip
#: Row of the table (`SUM_ROWS`, D) at which each begins.
FIRST = dict(zip(WIDTHS, accumulate(WIDTHS.values(), initial=0), strict=False))
SUM_ROWS = sum(WIDTHS.values())
#: Rows of the table (2, D) of largest values.
MAXIMA = ("delay_max", "queued_age_max")

LIMB_BITS = 32
LIMB_MASK = (1 << LIMB_BITS) - 1

#: What a scan returns for the last minute when a row is one that no engine may emit.
REFUSED = -2

_FATES, _BOUNCES, _REASONS, _OUTCOMES = len(Fate), len(Bounce), len(Reason), len(Outcome)
_BOUNCED, _QUEUED = int(Fate.BOUNCED), int(Fate.QUEUED)
_DELAY_MAX, _QUEUED_AGE_MAX = range(2)

_DESTINATION, _ARRIVAL, _DONE, _SIZE, _RECIPIENTS, _FATE, _BOUNCE, _REASON, _RETRIES, _EVENTS, _DEFERRED, _EXPOSED = (
    MESSAGE_COLUMNS.index(name)
    for name in ("destination", "arrival_us", "done_us", "size_bytes", "recipients", "fate", "bounce", "reason",
                 "retries", "deferral_events", "deferred", "exposed")
)  # fmt: skip
_C_DESTINATION, _C_OPENED, _C_CLOSED, _C_ESTABLISHED, _C_MESSAGES, _C_OUTCOME, _C_REASON = (
    CONNECTION_COLUMNS.index(name)
    for name in ("destination", "opened_us", "closed_us", "established_us", "messages", "outcome", "reason")
)

_AT_MESSAGES, _AT_RECIPIENTS, _AT_SIZE = FIRST["messages"], FIRST["recipients"], FIRST["size_bytes"]
_AT_REASONS, _AT_BOUNCES, _AT_BOUNCE_REASONS = FIRST["reasons"], FIRST["bounces"], FIRST["bounce_reasons"]
_AT_EVENTS, _AT_RETRIES, _AT_EXPOSED = FIRST["deferral_events"], FIRST["retries"], FIRST["exposed_messages"]
_AT_DEFERRED, _AT_DEFERRED_RECIPIENTS = FIRST["deferred_messages"], FIRST["deferred_recipients"]
_AT_DELAY_LOW, _AT_DELAY_HIGH = FIRST["delay_low"], FIRST["delay_high"]
_AT_CONNECTIONS, _AT_FAILED, _AT_CARRIED = FIRST["connections"], FIRST["failed_connections"], FIRST["carried_messages"]
_AT_HELD_LOW, _AT_HELD_HIGH = FIRST["held_low"], FIRST["held_high"]


def octave_of(value_us: int) -> int:
    """Return the octave of a duration, 0 or more, in a histogram: the bits it has beyond those of a sub-bin."""
    return jit.bit_length(value_us >> SUB_BITS)


def scan_messages(
    rows: Ints, destinations: int, group_of: Ints, group_blocks: Ints, provider_of: Ints, provider_blocks: Ints
) -> tuple[int, int]:
    """Look at message rows (n, 15) before they are counted.

    Parameters
    ----------
    rows : the rows.
    destinations : their number D.
    group_of, provider_of : (D,) groups of the two histograms of delay.
    group_blocks, provider_blocks : (groups, OCTAVES) blocks of the histograms; those missing are set to `WANTED`.

    Returns
    -------
    last, wanted : the last minute rows reach, -1 where there is none, `REFUSED` where one is wrong; blocks missing.
    """
    last = -1
    wanted = 0
    for i in range(rows.shape[0]):
        destination, fate, bounce, reason = rows[i, _DESTINATION], rows[i, _FATE], rows[i, _BOUNCE], rows[i, _REASON]
        arrival, done, deferred, exposed = rows[i, _ARRIVAL], rows[i, _DONE], rows[i, _DEFERRED], rows[i, _EXPOSED]
        # Negative as soon as one of them is: a value, or what is left to its limit.
        sign = destination | (destinations - 1 - destination) | fate | (_FATES - 1 - fate)
        sign |= bounce | (_BOUNCES - 1 - bounce) | reason | (_REASONS - 1 - reason)
        sign |= deferred | (1 - deferred) | exposed | (1 - exposed) | rows[i, _SIZE] | rows[i, _RECIPIENTS]
        sign |= rows[i, _EVENTS] | rows[i, _RETRIES] | arrival | done | (done - arrival)
        if sign < 0:
            return REFUSED, wanted
        last = max(last, arrival if fate == _QUEUED else done)
        if fate < _BOUNCED:
            octave = octave_of(done - arrival)
            group, provider = group_of[destination], provider_of[destination]
            if group_blocks[group, octave] == UNMET:
                group_blocks[group, octave] = WANTED
                wanted += 1
            if provider_blocks[provider, octave] == UNMET:
                provider_blocks[provider, octave] = WANTED
                wanted += 1
    last = last // MINUTE_US if last >= 0 else -1
    return (last if last <= MOST_MINUTES else REFUSED), wanted


def add_messages(
    rows: Ints, sums: Ints, maxima: Ints, minutes: Ints,
    group_of: Ints, group_blocks: Ints, group_counts: Ints,
    provider_of: Ints, provider_blocks: Ints, provider_counts: Ints,
) -> int:  # fmt: skip
    """Count message rows (n, 15) that were scanned, where there is room for them; return how many were delivered.

    Parameters
    ----------
    rows : the rows.
    sums : (SUM_ROWS, D) counts by destination.
    maxima : (2, D) largest values by destination, microseconds.
    minutes : (minutes, 3, 3) counts by minute, flow, unit.
    group_of, group_blocks, group_counts : a histogram's groups (D,), blocks (groups, OCTAVES) and counts (blocks, SUB).
    provider_of, provider_blocks, provider_counts : the same by provider.
    """
    delivered = 0
    for i in range(rows.shape[0]):
        destination, fate, reason = rows[i, _DESTINATION], rows[i, _FATE], rows[i, _REASON]
        arrival, done, recipients, size = rows[i, _ARRIVAL], rows[i, _DONE], rows[i, _RECIPIENTS], rows[i, _SIZE]
        sums[_AT_MESSAGES + fate, destination] += 1
        sums[_AT_RECIPIENTS + fate, destination] += recipients
        sums[_AT_SIZE + fate, destination] += size
        sums[_AT_REASONS + reason, destination] += 1
        if rows[i, _EVENTS]:
            sums[_AT_EVENTS, destination] += rows[i, _EVENTS]
        if rows[i, _RETRIES]:
            sums[_AT_RETRIES, destination] += rows[i, _RETRIES]
        if rows[i, _DEFERRED]:
            sums[_AT_DEFERRED, destination] += 1
            sums[_AT_DEFERRED_RECIPIENTS, destination] += recipients
        if rows[i, _EXPOSED]:
            sums[_AT_EXPOSED, destination] += 1
        minute = arrival // MINUTE_US
        minutes[minute, INJECTED, 0] += 1
        minutes[minute, INJECTED, 1] += recipients
        minutes[minute, INJECTED, 2] += size
        waited = done - arrival
        if fate == _QUEUED:
            maxima[_QUEUED_AGE_MAX, destination] = max(maxima[_QUEUED_AGE_MAX, destination], waited)
            continue
        minute = done // MINUTE_US
        flow = BOUNCED if fate == _BOUNCED else DELIVERED
        minutes[minute, flow, 0] += 1
        minutes[minute, flow, 1] += recipients
        minutes[minute, flow, 2] += size
        if fate == _BOUNCED:
            sums[_AT_BOUNCES + rows[i, _BOUNCE], destination] += 1
            sums[_AT_BOUNCE_REASONS + reason, destination] += 1
            continue
        delivered += 1
        sums[_AT_DELAY_LOW, destination] += waited & LIMB_MASK
        sums[_AT_DELAY_HIGH, destination] += waited >> LIMB_BITS
        maxima[_DELAY_MAX, destination] = max(maxima[_DELAY_MAX, destination], waited)
        octave = octave_of(waited)
        sub = (waited >> max(octave - 1, 0)) & (SUB - 1)
        group_counts[group_blocks[group_of[destination], octave], sub] += 1
        provider_counts[provider_blocks[provider_of[destination], octave], sub] += 1
    return delivered


def scan_connections(rows: Ints, destinations: int) -> int:
    """Look at connection rows (n, 9); return the last minute they reach, -1 for none, `REFUSED` where one is wrong."""
    last = -1
    for i in range(rows.shape[0]):
        destination, opened = rows[i, _C_DESTINATION], rows[i, _C_OPENED]
        outcome, reason = rows[i, _C_OUTCOME], rows[i, _C_REASON]
        sign = destination | (destinations - 1 - destination) | opened
        sign |= outcome | (_OUTCOMES - 1 - outcome) | reason | (_REASONS - 1 - reason)
        if sign < 0:
            return REFUSED
        last = max(last, opened, rows[i, _C_CLOSED])
    last = last // MINUTE_US if last >= 0 else -1
    return last if last <= MOST_MINUTES else REFUSED


def add_connections(rows: Ints, sums: Ints, minutes: Ints) -> int:
    """Count connection rows (n, 9) that were scanned; return how many are closed.

    Parameters
    ----------
    rows : the rows.
    sums : (SUM_ROWS, D) counts by destination.
    minutes : (minutes, 2) connections opened, closed.
    """
    ended = 0
    for i in range(rows.shape[0]):
        destination, opened, closed = rows[i, _C_DESTINATION], rows[i, _C_OPENED], rows[i, _C_CLOSED]
        sums[_AT_CONNECTIONS, destination] += 1
        sums[_AT_CARRIED, destination] += rows[i, _C_MESSAGES]
        if rows[i, _C_ESTABLISHED] < 0:
            sums[_AT_FAILED, destination] += 1
        minutes[opened // MINUTE_US, OPENED] += 1
        if closed >= 0:
            ended += 1
            held = closed - opened
            sums[_AT_HELD_LOW, destination] += held & LIMB_MASK
            sums[_AT_HELD_HIGH, destination] += held >> LIMB_BITS
            minutes[closed // MINUTE_US, CLOSED] += 1
    return ended


class Loops(NamedTuple):
    """The four loops, plain or compiled."""

    scan_messages: Callable[..., tuple[int, int]]
    add_messages: Callable[..., int]
    scan_connections: Callable[..., int]
    add_connections: Callable[..., int]


PLAIN = Loops(scan_messages, add_messages, scan_connections, add_connections)


@cache
def compiled_loops() -> Loops:
    """Return the loops compiled, which happens when each is first called.

    Raises
    ------
    ImportError
        Where there is no numba.
    """
    jit.register_bit_length()
    jit.register(octave_of)
    return Loops(
        jit.compiled(scan_messages),
        jit.compiled(add_messages),
        jit.compiled(scan_connections),
        jit.compiled(add_connections),
    )
