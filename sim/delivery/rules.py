"""The model's arithmetic: int64 in, int64 out. No clock, no chance, no state: plain functions an engine calls.

Every function works on Python integers and lists as on int64 arrays' elements, and none makes a value
above 2**62, so that a compiler may take them as they stand.

The total order of events is published here too: (time, rank of kind, destination, ordinal). The ordinal is
the connection's for connection events and the message's for message events. After all events of an
instant each destination that was touched is dispatched once, those that wait for the system-wide ceiling first.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from sim.jit import bit_length
from sim.terms import Demand, Reason, Stage


class Rank(IntEnum):
    """Order of events that fall on the same microsecond."""

    TIMELINE = 1
    OUTAGE = 2
    RATE_WINDOW = 3
    VERDICT = 4
    CONNECTION_STEP = 5
    IDLE_TIMEOUT = 6
    EXPIRY = 7
    DESTINATION_TIMER = 8
    MESSAGE_TIMER = 9
    ARRIVAL = 10
    DISPATCH = 11


#: Fixed point of unit quantile tables (log-normal with median 1, exponential with mean 1).
UNIT_BITS = 20
#: Cells of a quantile table per halving of the tail probability.
CELL_BITS = 5
#: Ticks of operational time: an hour of mean rate has 2**34 of them, so that a week in one hour is below 2**42.
#: A timeline's load may make it more, up to `MOST_TICKS` between two knots.
HOUR_TICKS = 1 << 34
MOST_TICKS = (1 << 44) - 1
HOUR_US = 3_600_000_000
_CELLS = 1 << CELL_BITS
_HALF = 1 << 31
_TOP = (1 << 32) - 1

_CLEAR = int(Demand.CLEAR)
_UNREACHABLE, _NOT_OFFERED, _TLS = int(Stage.UNREACHABLE), int(Stage.NOT_OFFERED), int(Stage.TLS)
_GREETING_5XX, _LOST_BEFORE_220 = int(Stage.GREETING_5XX), int(Stage.LOST_BEFORE_220)
_HANDSHAKE_FAILED, _HANDSHAKE_TIMEOUT = int(Stage.HANDSHAKE_FAILED), int(Stage.HANDSHAKE_TIMEOUT)
_FIRST_OF_TLS, _LAST_OF_TLS = int(Reason.STARTTLS_NOT_SUPPORTED), int(Reason.CERTIFICATE_HOST_MISMATCH)
_FIRST_OF_DANE = int(Reason.TLSA_INVALID)
_FIRST_HOLD, _LAST_HOLD = int(Demand.HOLD_BOGUS), int(Demand.HOLD_UNLISTED)
_BOUNCE_NO_DANE = int(Demand.BOUNCE_NO_DANE)
#: What the wait of a message's own timer is looked up by: `sim.policy.profile.Queueing.counted` in this order.
COUNTED = ("tries", "age", "arrival")
_BY_AGE, _BY_ARRIVAL = 1, 2


def scaled(value: int, factor: int, bits: int) -> int:
    """Return ``value * factor / 2**bits`` without leaving 62 bits, where the result and ``factor << bits`` do not."""
    return (value >> bits) * factor + (((value & ((1 << bits) - 1)) * factor) >> bits)


def share_of(value: int, word: int) -> int:
    """Return ``value`` times the fraction a 32-bit word stands for (value < 2**46)."""
    return ((value >> 16) * word >> 16) + ((value & 0xFFFF) * word >> 32)


def quantile(table: Sequence[int], word: int) -> int:
    """Return the quantile at probability ``word / 2**32`` (the upper half: one more), interpolated between knots.

    A table holds the knots of the lower half, from the far tail to the median, then those of the upper
    half likewise; cells double in width from either tail, ``2**CELL_BITS`` of them to an octave.
    """
    upper = word >= _HALF
    tail = _TOP - word if upper else word
    if tail < 2 * _CELLS:
        shift, cell = 0, tail
    else:
        shift = bit_length(tail) - CELL_BITS - 1
        cell = (shift << CELL_BITS) + (tail >> shift)
    if upper:
        cell += len(table) >> 1
    low = table[cell]
    return low + ((table[cell + 1] - low) * (tail & ((1 << shift) - 1)) >> shift)


def clock_us(ticks: int, knots_us: Sequence[int], ticks_before: Sequence[int]) -> int:
    """Return the time at which the rate's integral reaches ``ticks``, which is below its last value.

    ``ticks_before`` is the integral before each of the knots, which lie at most an hour apart.
    """
    low, high = 0, len(knots_us) - 1
    while high - low > 1:
        middle = (low + high) >> 1
        if ticks_before[middle] <= ticks:
            low = middle
        else:
            high = middle
    length_us, width = knots_us[low + 1] - knots_us[low], ticks_before[low + 1] - ticks_before[low]
    return knots_us[low] + part_of(length_us, ticks - ticks_before[low], width)


def part_of(length_us: int, ticks: int, width: int) -> int:
    """Return ``length_us * ticks // width`` (length_us < 2**32, ticks < width < 2**44) by a long division."""
    upper = ticks * (length_us >> 16)
    return (upper // width << 16) + ((upper % width << 16) + ticks * (length_us & 0xFFFF)) // width


def first_above(thresholds: Sequence[int], start: int, stop: int, word: int) -> int:
    """Return the first index in start..stop whose threshold exceeds the word; ``stop`` when none does."""
    for i in range(start, stop):
        if word < thresholds[i]:
            return i
    return stop


def is_down(now_us: int, begins_us: int, lasts_us: int) -> bool:
    """Tell whether an outage that begins then and lasts so long covers this instant."""
    return begins_us <= now_us < begins_us + lasts_us


def may_not_connect(demand: int) -> bool:
    """Tell whether a demand leaves an MX host unused: nothing is asked of it (`sim.policy.decide.NOT_USED`)."""
    return _FIRST_HOLD <= demand <= _LAST_HOLD or demand == _BOUNCE_NO_DANE


def opening_us(
    demand: int, stage: int, rtt_us: int, handshake_round_trips: int, unreachable_us: int, handshake_timeout_us: int
) -> int:
    """Return how long one connection attempt takes until its outcome is known.

    Connect 1 round trip, greeting 1, EHLO 1, STARTTLS 1, handshake 1 (TLS 1.3) or 2, EHLO again 1
    (RFC 5321 section 3.1, RFC 3207 section 4.2, RFC 8446 section 2). A handshake that hangs ends with the sender's
    time-out.
    """
    if stage == _UNREACHABLE:
        return max(1, unreachable_us)
    if stage <= _GREETING_5XX:
        return max(1, 2 * rtt_us)
    if stage == _NOT_OFFERED or demand == _CLEAR:
        return max(1, 3 * rtt_us)
    if stage <= _LOST_BEFORE_220:
        return max(1, 4 * rtt_us)
    if stage == _HANDSHAKE_TIMEOUT:
        return max(1, 4 * rtt_us + handshake_timeout_us)
    if stage == _HANDSHAKE_FAILED:
        return max(1, (4 + handshake_round_trips) * rtt_us)
    return max(1, (5 + handshake_round_trips) * rtt_us)


def transfer_us(size_bytes: int, recipients: int, rtt_us: int, us_per_mib: int, accept_us: int) -> int:
    """Return how long an accepted message holds its connection: MAIL, each RCPT, DATA, the body, the final reply."""
    return max(1, (3 + recipients) * rtt_us + (size_bytes * us_per_mib >> 20) + accept_us)


def refusal_us(recipients: int, rtt_us: int) -> int:
    """Return how long a message refused at RCPT holds its connection."""
    return max(1, (1 + recipients) * rtt_us)


def due_us(started_us: int, wait_us: int, now_us: int) -> int:
    """Return when a timer falls due: it runs from the start of the attempt that failed."""
    return max(now_us, started_us + wait_us)


def next_try_us(
    counted: int, waits_us: Sequence[int], tries: int, arrival_us: int, started_us: int, now_us: int, scan_us: int
) -> int:
    """Return when a message is due again whose try number ``tries`` (from 1) began then and has failed now.

    ``counted`` is an index of `COUNTED`. By tries, the n-th wait follows the n-th failed try; by age, the wait is the
    age at the start of the try, between the least and the most of the waits; by arrival, tries fall due at the running
    sums of the waits, the last repeating, after the message came. What falls due waits for the next multiple of
    ``scan_us``, where that is not 0.
    """
    if counted == _BY_AGE:
        low = high = waits_us[0]
        for wait_us in waits_us:
            low, high = min(low, wait_us), max(high, wait_us)
        due = started_us + min(max(started_us - arrival_us, low), high)
    elif counted == _BY_ARRIVAL:
        due, step = arrival_us, 0
        while due <= started_us and step < len(waits_us):
            due += waits_us[step]
            step += 1
        if due <= started_us:
            last = waits_us[len(waits_us) - 1]
            due += ((started_us - due) // last + 1) * last
    else:
        due = started_us + waits_us[min(tries, len(waits_us)) - 1]
    due = max(now_us, due)
    return due if scan_us == 0 else -(-due // scan_us) * scan_us


def is_aged(arrival_us: int, ready_us: int, tls_failed: int, aged_after_us: int, aged_after_tls_failure: int) -> int:
    """Return 1 for a message that counts as aged when a pass begins for it.

    ``ready_us`` is when it last became ready for a try, ``tls_failed`` whether the last pass that failed for it ended
    for a reason of TLS; an ``aged_after_us`` below 0 means that age does not matter.
    """
    old = 0 <= aged_after_us <= ready_us - arrival_us
    return 1 if old or (aged_after_tls_failure != 0 and tls_failed != 0) else 0


def is_tls_reason(reason: int) -> int:
    """Return 1 for a reason that has to do with TLS, DANE or MTA-STS."""
    return 1 if _FIRST_OF_TLS <= reason <= _LAST_OF_TLS or reason >= _FIRST_OF_DANE else 0


def window_room(now_us: int, begins_us: int, used: int, window_us: int, limit: int) -> int:
    """Return how many more recipients the fixed window admits now; an ended window is empty again."""
    if now_us >= begins_us + window_us:
        return limit
    if now_us < begins_us:
        return 0
    return limit - used


def window_admits(now_us: int, begins_us: int, used: int, window_us: int, limit: int, recipients: int) -> bool:
    """Tell whether a message may start now; one larger than the limit needs an empty window."""
    room = window_room(now_us, begins_us, used, window_us, limit)
    return recipients <= room or (recipients > limit and room == limit)


def window_after(
    now_us: int, begins_us: int, used: int, window_us: int, limit: int, recipients: int
) -> tuple[int, int]:
    """Return (begin, recipients used) of the window after a message that was admitted now.

    A message larger than the limit fills as many whole windows as it needs; what is left of it is
    counted in the last, which then lies in the future.
    """
    if now_us >= begins_us + window_us or used == 0:
        begins_us, used = now_us, 0
    used += recipients
    if used > limit:
        whole = (used - 1) // limit
        begins_us, used = begins_us + whole * window_us, used - whole * limit
    return begins_us, used


def window_wakes_us(now_us: int, begins_us: int, window_us: int) -> int:
    """Return when a full window next changes: when it begins, or when it ends."""
    return begins_us if now_us < begins_us else begins_us + window_us
