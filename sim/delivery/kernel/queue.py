"""The compiled engine's queue: connections open, carry mail, fall idle and close, and passes fail.

The same as :mod:`sim.delivery.queue`, :mod:`sim.delivery.by_destination` and :mod:`sim.delivery.by_message`. Plain
functions of the records of :mod:`sim.delivery.kernel.packed`, which the compiled engine compiles.
"""

from __future__ import annotations

from sim.delivery.kernel.heaps import pop, push
from sim.delivery.kernel.mail import (
    expire_waiting,
    finish,
    has_lapsed,
    leave,
    oldest,
    oldest_uncovered,
    put_off,
    release,
    uncover,
    wait,
)
from sim.delivery.kernel.opening import IDLE_RANK, VERDICT_RANK, accepted_us, begin_opening, begin_pass, route_at
from sim.delivery.kernel.packed import ALIVE, FAR_US, FREE, GONE, IDLE, NONE, NOWHERE, STEP, Numbers, Records
from sim.delivery.mail import ACCEPTED, LATE_REFUSED, PERSISTENT, REFUSED
from sim.delivery.rules import (
    due_us,
    is_aged,
    is_tls_reason,
    refusal_us,
    window_admits,
    window_after,
    window_room,
    window_wakes_us,
)
from sim.terms import Bounce, Fate, Outcome, Reason, Seen

_IN_CLEAR, _BOUNCED = int(Fate.IN_CLEAR), int(Fate.BOUNCED)
_NO_BOUNCE, _BOUNCE_5YZ, _BOUNCE_DNS = int(Bounce.NONE), int(Bounce.REPLY_5YZ), int(Bounce.DNS)
_EXPIRED_TIME = int(Bounce.EXPIRED_TIME)
_BOUNCE_STARTTLS, _BOUNCE_TLS = int(Bounce.STARTTLS_5XX), int(Bounce.TLS_REQUIRED)
_REPLY_4YZ, _REPLY_5YZ = int(Reason.REPLY_4YZ), int(Reason.REPLY_5YZ)
_BOUNCE_MESSAGE, _BOUNCE_NOW = int(Outcome.BOUNCE_MESSAGE), int(Outcome.BOUNCE_NOW)
_BOUNCE_ALL = int(Outcome.BOUNCE_ALL)
_REFUSED_5XX = int(Seen.REFUSED_5XX)


# --- mail gets ready


def become_ready(
    w: Numbers, at: Records, known: Records, shard: Records, q: Records, ms: Records, mn: Records, out: Numbers, i: int
) -> None:
    """A message waits for a connection; at a destination that is dead it is put off without a try."""
    if known.retry_by_message and q.now_us < q.dead_until_us:
        ms[i].reason = q.dead_reason
        put_off(w, at, known, shard, q, ms, mn, out, i, q.now_us)
    else:
        wait(known, q, ms, mn, i)


def retry_due(
    w: Numbers, at: Records, known: Records, shard: Records, q: Records, ms: Records, mn: Records, out: Numbers
) -> None:
    """The timer of a message fell due."""
    i = q.timers // 3
    q.timers = pop(mn, q.timers)
    if not known.retry_by_message and has_lapsed(q, ms[i]):
        finish(shard, q, ms, out, i, _BOUNCED, _EXPIRED_TIME, q.now_us)
    else:
        become_ready(w, at, known, shard, q, ms, mn, out, i)


def accepted(known: Records, q: Records, ms: Records, mn: Records) -> None:
    """A peer has accepted a message: it ends *down* and lets connections open again."""
    if not known.retry_by_message:
        q.held = 0
        if q.down:
            q.down = 0
            q.probe = NOWHERE
            q.timer_us = FAR_US
            q.failures = 0
        if known.success_releases_all:
            while q.timers != NOWHERE:
                i = q.timers // 3
                q.timers = pop(mn, q.timers)
                wait(known, q, ms, mn, i)
    if q.waiting:
        q.touched = 1


# --- connections open


def open_more(
    w: Numbers, at: Records, known: Records, keys: Numbers, shard: Records, q: Records, limits: Records, ms: Records,
    mn: Records, cs: Records, cn: Records, opens: Numbers,
) -> None:  # fmt: skip
    """Open a connection for each waiting message that has none, as far as limits allow."""
    while may_open(known, q):
        i = oldest_uncovered(shard, q, ms, mn)
        if i == NOWHERE or not any_free(q, limits):
            return
        if shard.open >= shard.ceiling:
            shard.held_back = q.held_back = 1
            return
        nth = ms[i].openings
        dns_word, turn_word = begin_pass(keys, q, ms[i].ordinal, nth)
        position = 0
        route = route_at(w, at, q, turn_word, 0)
        while True:
            limit = limits[w[at.slot + route]]
            if limit.in_use < limit.connections:
                break
            position += 1
            route = route_at(w, at, q, turn_word, position)
        if limit.recipients and not fits(q, limit, ms[i].recipients):
            return
        c = take_connection(known, shard, q, ms, cs, i)
        connection = cs[c]
        connection.dns_word, connection.turn_word = dns_word, turn_word
        connection.position, connection.route, connection.slot = position, route, w[at.slot + route]
        limit.in_use += 1
        opens[shard.opens] = q.now_us
        shard.opens += 1
        begin_opening(w, at, known, keys, q, limits, ms, cs, cn, c)
        if q.down:
            q.probe = c


def may_open(known: Records, q: Records) -> bool:
    """Tell whether another connection may open, as far as the destination and openings in progress go."""
    if not known.retry_by_message:
        if q.down:
            return q.timer_us == FAR_US and q.probe == NOWHERE
        if q.held:
            return False
    return q.waiting > q.openings * known.messages_per_opening


def any_free(q: Records, limits: Records) -> bool:
    """Tell whether a limit of the destination allows another connection."""
    for slot in range(q.slot_start, q.slot_stop):  # noqa: SIM110 (numba knows no any())
        if limits[slot].in_use < limits[slot].connections:
            return True
    return False


def fits(q: Records, limit: Records, recipients: int) -> bool:
    """Tell whether the window admits a message besides those that connections are being opened for."""
    now = q.now_us
    if not window_admits(now, limit.begins_us, limit.used, limit.window_us, limit.recipients, recipients):
        wake_at_window(q, limit)
        return False
    if not q.covered_recipients:
        return True
    room = window_room(now, limit.begins_us, limit.used, limit.window_us, limit.recipients)
    return q.covered_recipients + recipients <= room


def wake_at_window(q: Records, limit: Records) -> None:
    """Ask for a dispatch when a full window of recipients changes."""
    limit.wakes_us = window_wakes_us(q.now_us, limit.begins_us, limit.window_us)
    q.window_us = min(q.window_us, limit.wakes_us)


def window_due(q: Records, limits: Records) -> None:
    """A window of recipients changes: dispatch, and look for the next that does."""
    q.window_us = FAR_US
    for slot in range(q.slot_start, q.slot_stop):
        if limits[slot].wakes_us > q.now_us:
            q.window_us = min(q.window_us, limits[slot].wakes_us)
    q.touched = 1


def take_connection(known: Records, shard: Records, q: Records, ms: Records, cs: Records, i: int) -> int:
    """Make a connection for a message and return its place."""
    c = shard.connection_head
    connection = cs[c]
    shard.connection_head = connection.before
    shard.free_connections -= 1
    m = ms[i]
    q.connections += 1
    connection.state = ALIVE
    connection.destination = q.index
    connection.ordinal = q.connections
    connection.opener = i
    connection.opener_ordinal = m.ordinal
    connection.opening = m.openings
    connection.opened_us = q.now_us
    connection.established_us = connection.idle_since_us = NONE
    connection.phase = q.phase
    connection.aged = is_aged(
        m.arrival_us, m.ready_us, m.tls_failed, known.aged_after_us, known.aged_after_tls_failure
    )  # fmt: skip
    connection.idle_timer = connection.carried = connection.outcome = connection.reason = connection.seen = 0
    connection.message = connection.before = connection.after = NOWHERE
    m.openings += 1
    m.opening = c
    q.covered_recipients += m.recipients
    q.openings += 1
    q.live += 1
    shard.open += 1
    return c


# --- transfers and verdicts


def start(
    w: Numbers, at: Records, known: Records, keys: Numbers, q: Records, limits: Records, ms: Records, cs: Records,
    cn: Records, i: int, c: int,
) -> None:  # fmt: skip
    """Put a message on a connection; its verdict falls when the transfer ends."""
    m, connection = ms[i], cs[c]
    now = q.now_us
    leave(known, q, m)
    own = connection.opener_ordinal == m.ordinal and connection.carried == 0
    connection.attempt_us = connection.opened_us if own else now
    limit = limits[connection.slot]
    if limit.recipients:
        begins_us, used = window_after(
            now, limit.begins_us, limit.used, limit.window_us, limit.recipients, m.recipients
        )
        limit.begins_us, limit.used = begins_us, used
    m.verdicts += 1
    m.route = connection.route
    connection.reply = reply_to(q, m)
    host = w[at.host + connection.route]
    rtt_us = w[at.rtt_us + host]
    takes_us = accepted_us(w, at, keys, q, m, host) if connection.reply == 0 else refusal_us(m.recipients, rtt_us)
    connection.idle_since_us = NONE
    connection.message = i
    q.events = push(cn, q.events, 2 * c + STEP, now + takes_us, VERDICT_RANK | connection.ordinal)


def reply_to(q: Records, m: Records) -> int:
    """Return the peer's answer to RCPT: 0 accepted, else the reason of the refusal."""
    if m.refusal == REFUSED or (m.refusal == LATE_REFUSED and m.verdicts > 1):
        return _REPLY_5YZ
    if m.refusal != ACCEPTED and (m.refusal == PERSISTENT or m.verdicts == 1):
        return _REPLY_4YZ
    if q.greylist_us and m.new_pair:
        if m.first_verdict_us == NONE:
            m.first_verdict_us = q.now_us
        if q.now_us < m.first_verdict_us + q.greylist_us:
            return _REPLY_4YZ
    return 0


def verdict(
    w: Numbers, at: Records, known: Records, shard: Records, q: Records, ms: Records, mn: Records, connection: Records,
    out: Numbers,
) -> None:  # fmt: skip
    """Act on the peer's final answer."""
    connection.carried += 1
    i = connection.message
    m = ms[i]
    if connection.reply == 0:
        m.exposed = 0
        if connection.outcome == _IN_CLEAR:
            m.exposed = w[at.stripped + connection.phase * at.routes + connection.route]
        finish(shard, q, ms, out, i, connection.outcome, _NO_BOUNCE, q.now_us)
        accepted(known, q, ms, mn)
        return
    m.reason = connection.reply
    if connection.reply == _REPLY_5YZ:
        finish(shard, q, ms, out, i, _BOUNCED, _BOUNCE_5YZ, q.now_us)
        return
    put_off(w, at, known, shard, q, ms, mn, out, i, connection.attempt_us)


# --- connections fall idle and close; passes fail


def opening_ended(shard: Records, q: Records, ms: Records, mn: Records, connection: Records, c: int) -> None:
    """A pass is over, well or not."""
    q.openings -= 1
    i = connection.opener
    m = ms[i]
    if m.opening == c:
        m.opening = NOWHERE
        if m.waiting:
            q.covered_recipients -= m.recipients
            uncover(q, ms, mn, i)
        release(shard, ms, i)


def fall_idle(q: Records, cs: Records, cn: Records, known: Records, c: int) -> None:
    """A connection has nothing to carry: it takes waiting mail at the end of this instant, or idles."""
    connection = cs[c]
    connection.idle_since_us = q.now_us
    connection.before = q.idle_last
    connection.after = NOWHERE
    if q.idle_last != NOWHERE:
        cs[q.idle_last].after = c
    q.idle_last = c
    if q.waiting:
        q.touched = 1
    else:
        watch_idle(q, cn, known, connection, c)


def unlink_idle(q: Records, cs: Records, c: int) -> None:
    """Take a connection out of the list of those that are idle."""
    before, after = cs[c].before, cs[c].after
    if before != NOWHERE:
        cs[before].after = after
    if after != NOWHERE:
        cs[after].before = before
    else:
        q.idle_last = before


def watch_idle(q: Records, cn: Records, known: Records, connection: Records, c: int) -> None:
    """Start the idle time-out of a connection unless one is running; one timer serves all its idle spells."""
    if not connection.idle_timer:
        connection.idle_timer = 1
        due = connection.idle_since_us + known.idle_us
        q.events = push(cn, q.events, 2 * c + IDLE, due, IDLE_RANK | connection.ordinal)


def idle_check(
    known: Records, shard: Records, q: Records, limits: Records, cs: Records, cn: Records, out: Numbers,
    closes: Numbers, c: int,
) -> None:  # fmt: skip
    """Close a connection that has been idle for the whole time-out."""
    connection = cs[c]
    connection.idle_timer = 0
    if connection.state == GONE:
        free_connection(shard, connection, c)
    elif connection.idle_since_us != NONE:
        if connection.idle_since_us + known.idle_us > q.now_us:
            watch_idle(q, cn, known, connection, c)
        else:
            unlink_idle(q, cs, c)
            close(shard, q, limits, cs, out, closes, c)


def close(shard: Records, q: Records, limits: Records, cs: Records, out: Numbers, closes: Numbers, c: int) -> None:
    """Close an established connection; what was held back may open now."""
    q.held = 0
    if q.probe == c:
        q.probe = NOWHERE
    q.established -= 1
    record(shard, q, limits, cs, out, closes, c, q.now_us)
    if q.waiting:
        q.touched = 1


def record(
    shard: Records, q: Records, limits: Records, cs: Records, out: Numbers, closes: Numbers, c: int, now_us: int
) -> None:
    """Give a connection's place back and write its row."""
    connection = cs[c]
    limits[connection.slot].in_use -= 1
    q.live -= 1
    shard.open -= 1
    closes[shard.closes] = now_us
    shard.closes += 1
    row = shard.connection_rows
    out[row, 0] = q.index
    out[row, 1] = connection.ordinal
    out[row, 2] = connection.opened_us
    out[row, 3] = now_us
    out[row, 4] = connection.established_us
    out[row, 5] = connection.route
    out[row, 6] = connection.carried
    out[row, 7] = connection.outcome
    out[row, 8] = connection.reason
    shard.connection_rows = row + 1
    shard.last_us = max(shard.last_us, now_us)
    connection.state = GONE
    connection.idle_since_us = NONE
    if not connection.idle_timer:
        free_connection(shard, connection, c)


def free_connection(shard: Records, connection: Records, c: int) -> None:
    """Free the place of a connection that nothing refers to."""
    connection.state = FREE
    connection.before = shard.connection_head
    shard.connection_head = c
    shard.free_connections += 1


def fail(
    w: Numbers, at: Records, known: Records, shard: Records, q: Records, limits: Records, ms: Records, mn: Records,
    cs: Records, out: Numbers, out_c: Numbers, closes: Numbers, c: int,
) -> None:  # fmt: skip
    """A pass ended without a connection that mail may flow on."""
    connection = cs[c]
    i = connection.opener
    opener = ms[i]
    if connection.outcome == _BOUNCE_ALL:
        if q.probe == c:
            q.probe = NOWHERE
        opening_ended(shard, q, ms, mn, connection, c)
        while True:
            i = oldest(shard, q, ms, mn)
            if i == NOWHERE:
                break
            bounce(known, shard, q, ms, out, i, connection.reason, _BOUNCE_DNS)
        record(shard, q, limits, cs, out_c, closes, c, q.now_us)
        return
    opener.tls_failed = is_tls_reason(connection.reason)
    if (connection.outcome == _BOUNCE_MESSAGE or connection.outcome == _BOUNCE_NOW) and opener.waiting:
        why = _BOUNCE_STARTTLS if connection.seen == _REFUSED_5XX else _BOUNCE_TLS
        bounce(known, shard, q, ms, out, i, connection.reason, why)
    opening_ended(shard, q, ms, mn, connection, c)
    if known.retry_by_message:
        _put_off_opener(w, at, known, shard, q, limits, ms, mn, cs, out, out_c, closes, c)
    else:
        _hold_or_go_down(w, at, shard, q, limits, cs, out_c, closes, c)


def bounce(
    known: Records, shard: Records, q: Records, ms: Records, out: Numbers, i: int, reason: int, why: int
) -> None:
    """Bounce a waiting message for what its pass met."""
    leave(known, q, ms[i])
    ms[i].reason = reason
    finish(shard, q, ms, out, i, _BOUNCED, why, q.now_us)


def _hold_or_go_down(
    w: Numbers, at: Records, shard: Records, q: Records, limits: Records, cs: Records, out_c: Numbers, closes: Numbers,
    c: int,
) -> None:  # fmt: skip
    """Every MX host was tried in vain: the destination is down, or waits for its open connections."""
    connection = cs[c]
    q.failed_passes += 1
    q.last_reason = connection.reason
    if q.down:
        if q.probe == c:
            q.probe = NOWHERE
            _start_timer(w, at, q, connection.opened_us)
    elif q.established:
        q.held = 1
    else:
        q.down = 1
        q.downs += 1
        _start_timer(w, at, q, connection.opened_us)
    record(shard, q, limits, cs, out_c, closes, c, q.now_us)
    if q.idle_last != NOWHERE or not is_silent(q, cs):
        q.touched = 1


def _start_timer(w: Numbers, at: Records, q: Records, started_us: int) -> None:
    wait_us = w[at.host_waits_us + min(q.failures, at.host_waits - 1)]
    q.failures += 1
    q.timer_us = due_us(started_us, wait_us, q.now_us)


def is_silent(q: Records, cs: Records) -> bool:
    """Tell whether mail waits for the destination itself: for its timer, or for what its probe will find."""
    opening = q.probe != NOWHERE and cs[q.probe].established_us == NONE
    return q.down != 0 and (opening or q.timer_us != FAR_US)


def _put_off_opener(
    w: Numbers, at: Records, known: Records, shard: Records, q: Records, limits: Records, ms: Records, mn: Records,
    cs: Records, out: Numbers, out_c: Numbers, closes: Numbers, c: int,
) -> None:  # fmt: skip
    """The message is put off; with no connection left the destination is dead, and all its mail is put off untried."""
    connection = cs[c]
    reason, opened_us, outcome, i = connection.reason, connection.opened_us, connection.outcome, connection.opener
    record(shard, q, limits, cs, out_c, closes, c, q.now_us)
    if ms[i].waiting:
        leave(known, q, ms[i])
        ms[i].reason = reason
        put_off(w, at, known, shard, q, ms, mn, out, i, opened_us)
    if known.dead_us and not q.live and outcome != _BOUNCE_NOW:
        q.dead_until_us = due_us(opened_us, known.dead_us, q.now_us)
        q.dead_reason = reason
        while q.now_us < q.dead_until_us:
            i = oldest(shard, q, ms, mn)
            if i == NOWHERE:
                break
            leave(known, q, ms[i])
            ms[i].reason = reason
            put_off(w, at, known, shard, q, ms, mn, out, i, q.now_us)
    if q.waiting:
        q.touched = 1


# --- the destination's timers


def timer_due(known: Records, shard: Records, q: Records, ms: Records, mn: Records, out: Numbers) -> None:
    """The destination's timer fell due: lapsed mail bounces, then one probe may open."""
    q.timer_us = FAR_US
    expire_waiting(known, shard, q, ms, mn, out, True)
    q.touched = 1


def watch_expiry(known: Records, shard: Records, q: Records, ms: Records, mn: Records, cs: Records) -> None:
    """Mail that waits only for a limit expires at its lifetime: watch the oldest."""
    if known.expire_at_lifetime:
        i = oldest(shard, q, ms, mn)
    elif is_silent(q, cs):
        return
    else:
        i = oldest_uncovered(shard, q, ms, mn)
    if i != NOWHERE:
        q.expiry_us = min(q.expiry_us, max(q.now_us, ms[i].arrival_us + q.lifetime_us))


def expiry_due(known: Records, shard: Records, q: Records, ms: Records, mn: Records, cs: Records, out: Numbers) -> None:
    """Bounce what lapsed while it waited for a limit."""
    q.expiry_us = FAR_US
    at_lifetime = known.expire_at_lifetime != 0
    if at_lifetime or not is_silent(q, cs):
        expire_waiting(known, shard, q, ms, mn, out, at_lifetime)
    watch_expiry(known, shard, q, ms, mn, cs)
    if q.waiting:
        q.touched = 1
