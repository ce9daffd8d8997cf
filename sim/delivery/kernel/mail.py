"""The compiled engine's mail: when it comes, what it is, which of it waits, and how it leaves.

The same as :mod:`sim.delivery.mail` and the first half of :mod:`sim.delivery.queue`. Plain functions of the records of
:mod:`sim.delivery.kernel.packed`, which the compiled engine compiles.
"""

from __future__ import annotations

from sim.delivery.draws import NTH_BITS, compiled_words
from sim.delivery.kernel.heaps import pop, push
from sim.delivery.kernel.packed import (
    ALIVE,
    FAR_US,
    FREE,
    GONE,
    NONE,
    NOWHERE,
    OLDEST,
    TIMER,
    UNCOVERED,
    Numbers,
    Records,
)
from sim.delivery.mail import ACCEPTED, LATE_REFUSED, PERSISTENT, REFUSED, TRANSIENT
from sim.delivery.rules import UNIT_BITS, clock_us, due_us, first_above, next_try_us, quantile, scaled
from sim.terms import Bounce, Fate

#: Rows of the round keys.
ARRIVAL, MESSAGE, VERDICT, PASS, CONNECTION, OUTAGE = range(6)

_BOUNCED, _QUEUED = int(Fate.BOUNCED), int(Fate.QUEUED)
_NO_BOUNCE = int(Bounce.NONE)
_EXPIRED_TIME, _EXPIRED_RETRIES = int(Bounce.EXPIRED_TIME), int(Bounce.EXPIRED_RETRIES)


# --- the stream of arrivals


def find_arrival(w: Numbers, at: Records, known: Records, keys: Numbers, q: Records) -> None:
    """Find when the destination's next message comes."""
    q.arrival_us = FAR_US
    if at.traced:
        if q.trace_row < q.trace_stop and w[at.trace_rows + 3 * q.trace_row] < known.window_us:
            q.arrival_us = w[at.trace_rows + 3 * q.trace_row]
        return
    if q.gap_ticks == 0:
        return
    word = compiled_words(keys, ARRIVAL, q.key, q.ordinal << NTH_BITS)[0]
    unit = quantile(w[at.table_gap : at.table_gap + at.gap_cells], word)
    q.arrival_ticks += max(1, scaled(q.gap_ticks, unit, UNIT_BITS))
    if q.arrival_ticks < q.window_ticks:
        before = at.table_ticks_before + q.profile * at.knots
        knots = w[at.table_knots_us : at.table_knots_us + at.knots]
        q.arrival_us = clock_us(q.arrival_ticks, knots, w[before : before + at.knots])


def take_message(w: Numbers, at: Records, keys: Numbers, shard: Records, q: Records, ms: Records) -> int:
    """Make a message of the arrival that is due now, and return its place."""
    i = shard.message_head
    m = ms[i]
    shard.message_head = m.opening
    shard.free_messages -= 1
    m.state = ALIVE
    m.destination = q.index
    m.ordinal = q.ordinal
    m.arrival_us = q.arrival_us
    size, recipient, refusal, pair = compiled_words(keys, MESSAGE, q.key, q.ordinal << NTH_BITS)
    if at.traced:
        row = at.trace_rows + 3 * (q.trace_row)
        m.size_bytes, m.recipients = w[row + 1], w[row + 2]
        q.trace_row += 1
    else:
        m.size_bytes = quantile(w[at.table_size_bytes : at.table_size_bytes + at.size_cells], size)
        below = at.table_recipients_below
        step = first_above(w, below, below + at.recipient_steps, recipient) - below
        m.recipients = w[at.table_recipients + step]
    m.refusal = refusal_of(q, refusal)
    m.new_pair = 1 if pair < q.new_pair else 0
    m.waiting = m.openings = m.verdicts = m.retries = m.deferral_events = m.deferred = 0
    m.opening = NOWHERE
    m.route = NONE
    m.first_verdict_us = m.ready_us = NONE
    m.reason = m.exposed = m.tls_failed = m.in_oldest = m.in_uncovered = 0
    m.failures_before = m.downs_before = 0
    q.ordinal += 1
    q.mail += 1
    shard.arrived += 1
    return i


def refusal_of(q: Records, word: int) -> int:
    """Return how the peer refuses a message, drawn once."""
    if word < q.persistent_4yz:
        return PERSISTENT
    if word < q.late_5yz:
        return LATE_REFUSED
    if word < q.first_4yz:
        return TRANSIENT
    return REFUSED if word < q.refused_5yz else ACCEPTED


# --- mail that waits


def wait(known: Records, q: Records, ms: Records, mn: Records, i: int) -> None:
    """Put a message among those ready for the next connection; at a destination that is down that defers it."""
    m = ms[i]
    if not known.retry_by_message:
        m.failures_before, m.downs_before = q.failed_passes, q.downs
        if q.down:
            m.deferred = 1
    m.waiting = 1
    m.ready_us = q.now_us
    q.waiting += 1
    if not m.in_oldest:
        m.in_oldest = 1
        q.oldest = push(mn, q.oldest, 3 * i + OLDEST, 0, m.ordinal)
    if m.opening == NOWHERE:
        uncover(q, ms, mn, i)
    else:
        q.covered_recipients += m.recipients
    q.touched = 1


def uncover(q: Records, ms: Records, mn: Records, i: int) -> None:
    """Put a message among those that no connection is being opened for."""
    m = ms[i]
    if not m.in_uncovered:
        m.in_uncovered = 1
        q.uncovered = push(mn, q.uncovered, 3 * i + UNCOVERED, 0, m.ordinal)


def leave(known: Records, q: Records, m: Records) -> None:
    """Take a message out of the waiting mail and settle what failed passes did to it."""
    m.waiting = 0
    q.waiting -= 1
    if m.opening != NOWHERE:
        q.covered_recipients -= m.recipients
    if not known.retry_by_message:
        if q.failed_passes > m.failures_before:
            m.deferral_events += q.failed_passes - m.failures_before
            m.reason = q.last_reason
        if q.downs > m.downs_before:
            m.deferred = 1


def oldest(shard: Records, q: Records, ms: Records, mn: Records) -> int:
    """Return the oldest waiting message, or NOWHERE."""
    while q.oldest != NOWHERE:
        i = q.oldest // 3
        m = ms[i]
        if m.waiting:
            return i
        m.in_oldest = 0
        q.oldest = pop(mn, q.oldest)
        release(shard, ms, i)
    return NOWHERE


def oldest_uncovered(shard: Records, q: Records, ms: Records, mn: Records) -> int:
    """Return the oldest waiting message that no connection is being opened for, or NOWHERE."""
    while q.uncovered != NOWHERE:
        i = q.uncovered // 3
        m = ms[i]
        if m.waiting and m.opening == NOWHERE:
            return i
        m.in_uncovered = 0
        q.uncovered = pop(mn, q.uncovered)
        release(shard, ms, i)
    return NOWHERE


# --- mail that leaves


def finish(shard: Records, q: Records, ms: Records, out: Numbers, i: int, fate: int, bounce: int, now_us: int) -> None:
    """Give a message its fate and write its row."""
    m = ms[i]
    row = shard.message_rows
    out[row, 0] = q.index
    out[row, 1] = m.ordinal
    out[row, 2] = m.arrival_us
    out[row, 3] = now_us
    out[row, 4] = m.size_bytes
    out[row, 5] = m.recipients
    out[row, 6] = fate
    out[row, 7] = bounce
    out[row, 8] = m.reason
    out[row, 9] = m.route
    out[row, 10] = m.verdicts
    out[row, 11] = m.retries
    out[row, 12] = m.deferral_events
    out[row, 13] = m.deferred
    out[row, 14] = m.exposed
    shard.message_rows = row + 1
    shard.finished += 1
    shard.last_us = max(shard.last_us, now_us)
    q.mail -= 1
    m.state = GONE
    release(shard, ms, i)


def release(shard: Records, ms: Records, i: int) -> None:
    """Free the place of a message that is gone once nothing refers to it."""
    m = ms[i]
    if m.state == GONE and m.opening == NOWHERE and not m.in_oldest and not m.in_uncovered:
        m.state = FREE
        m.opening = shard.message_head
        shard.message_head = i
        shard.free_messages += 1


def has_lapsed(q: Records, m: Records) -> bool:
    """Tell whether a message has been in the queue for its whole lifetime."""
    return q.now_us >= m.arrival_us + q.lifetime_us


def put_off(
    w: Numbers, at: Records, known: Records, shard: Records, q: Records, ms: Records, mn: Records, out: Numbers, i: int,
    started_us: int,
) -> None:  # fmt: skip
    """A message is not sent for now, after a try that began then: it bounces, or starts its own timer."""
    m = ms[i]
    m.deferral_events += 1
    if has_lapsed(q, m):
        finish(shard, q, ms, out, i, _BOUNCED, _EXPIRED_TIME, q.now_us)
    elif m.retries >= q.max_retries:
        finish(shard, q, ms, out, i, _BOUNCED, _EXPIRED_RETRIES, q.now_us)
    else:
        m.retries += 1
        m.deferred = 1
        due = try_again_us(w, at, known, q, m, started_us)
        q.timers = push(mn, q.timers, 3 * i + TIMER, due, m.ordinal)


def try_again_us(w: Numbers, at: Records, known: Records, q: Records, m: Records, started_us: int) -> int:
    """Return when a message is tried again whose try began then and has failed now."""
    first = at.waits_us + q.wait_start
    if known.retry_by_message:
        waits_us = w[first : at.waits_us + q.wait_stop]
        return next_try_us(known.counted, waits_us, m.retries, m.arrival_us, started_us, q.now_us, known.scan_us)
    wait_us = w[first + min(m.retries, q.wait_stop - q.wait_start) - 1]
    due = due_us(started_us, wait_us, q.now_us)
    if known.expire_at_lifetime:
        due = min(due, max(q.now_us, m.arrival_us + q.lifetime_us))
    return due


def expire_waiting(
    known: Records, shard: Records, q: Records, ms: Records, mn: Records, out: Numbers, covered: bool
) -> None:
    """Bounce lapsed mail; that for which a connection is being opened only when ``covered``."""
    while True:
        i = oldest(shard, q, ms, mn) if covered else oldest_uncovered(shard, q, ms, mn)
        if i == NOWHERE or not has_lapsed(q, ms[i]):
            return
        leave(known, q, ms[i])
        finish(shard, q, ms, out, i, _BOUNCED, _EXPIRED_TIME, q.now_us)


def end_mail(known: Records, shard: Records, queues: Records, ms: Records, out: Numbers, until_us: int) -> None:
    """End a censored run: mail that is left is *queued*."""
    for i in range(len(ms)):
        m = ms[i]
        if m.state == ALIVE:
            q = queues[m.destination - shard.first_destination]
            if m.waiting:
                leave(known, q, m)
            finish(shard, q, ms, out, i, _QUEUED, _NO_BOUNCE, until_us)
