"""The compiled engine's loop: one destination after another, each from event to event in the published order.

A destination's next event is the earliest of a few times and of two small heaps, so nothing is scheduled but what
really lies ahead. After all events of an instant the destination is dispatched if it was touched.

`advance` returns where it stopped for want of room in a buffer; called again with more, it goes on from there.
"""

from __future__ import annotations

from sim.delivery.kernel.heaps import pop
from sim.delivery.kernel.mail import (
    end_mail,
    expire_waiting,
    find_arrival,
    oldest,
    take_message,
)
from sim.delivery.kernel.opening import RANK_BITS, VERDICT_RANK, go_on_opening
from sim.delivery.kernel.packed import ALIVE, FAR_US, NOWHERE, ROWS, Numbers, Records
from sim.delivery.kernel.queue import (
    become_ready,
    close,
    expiry_due,
    fail,
    fall_idle,
    idle_check,
    is_silent,
    open_more,
    opening_ended,
    record,
    retry_due,
    start,
    timer_due,
    unlink_idle,
    verdict,
    wake_at_window,
    watch_expiry,
    watch_idle,
    window_due,
)
from sim.delivery.rules import Rank, window_admits
from sim.terms import Outcome

_DELIVERS = int(Outcome.DELIVER_VERIFIED)
_VERDICT, _STEP = VERDICT_RANK >> RANK_BITS, int(Rank.CONNECTION_STEP)


def begin(w: Numbers, ats: Records, knowns: Records, keys: Numbers, queues: Records) -> None:
    """Find every destination's first message."""
    at, known = ats[0], knowns[0]
    for d in range(len(queues)):
        find_arrival(w, at, known, keys, queues[d])


def advance(
    w: Numbers, ats: Records, knowns: Records, keys: Numbers, shards: Records, queues: Records, limits: Records,
    ms: Records, mn: Records, cs: Records, cn: Records, out: Numbers, out_c: Numbers, opens: Numbers, closes: Numbers,
    first: int, until_us: int,
) -> int:  # fmt: skip
    """Run destinations from ``first`` on until just before a time; return the one that lacks room, or their number."""
    at, known, shard = ats[0], knowns[0], shards[0]
    for d in range(first, len(queues)):
        q = queues[d]
        while True:
            now = next_us(q, mn, cn)
            ready = q.touched and now > q.now_us
            if not ready and now >= until_us:
                shard.next_us = min(shard.next_us, now)
                break
            if lacks_room(shard, q, out, out_c, opens, closes):
                return d
            if ready:
                dispatch(w, at, known, keys, shard, q, limits, ms, mn, cs, cn, out, opens)
            else:
                q.now_us = now
                handle(w, at, known, keys, shard, q, limits, ms, mn, cs, cn, out, out_c, closes)
    return len(queues)


def next_us(q: Records, mn: Records, cn: Records) -> int:
    """Return when the destination's next event is."""
    due = min(min(q.arrival_us, q.phase_us), min(q.window_us, min(q.expiry_us, q.timer_us)))
    if q.events != NOWHERE:
        due = min(due, cn[q.events].time_us)
    if q.timers != NOWHERE:
        due = min(due, mn[q.timers].time_us)
    return due


def lacks_room(shard: Records, q: Records, out: Numbers, out_c: Numbers, opens: Numbers, closes: Numbers) -> bool:
    """Tell whether the next event, or dispatch, might need more room than there is, or rows are to be sent."""
    openings = min(q.waiting, q.most_connections) + 1
    return (
        shard.free_messages < 1
        or shard.free_connections < openings
        or len(opens) - shard.opens < openings
        or shard.message_rows >= ROWS
        or len(out) - shard.message_rows <= q.mail
        or len(out_c) - shard.connection_rows <= q.live
        or len(closes) - shard.closes <= q.live
    )


# --- events


def handle(
    w: Numbers, at: Records, known: Records, keys: Numbers, shard: Records, q: Records, limits: Records, ms: Records,
    mn: Records, cs: Records, cn: Records, out: Numbers, out_c: Numbers, closes: Numbers,
) -> None:  # fmt: skip
    """Handle the first event of this instant, by rank."""
    now = q.now_us
    if q.phase_us == now:
        change(w, at, shard, q, limits, cs, out_c, closes)
    elif q.window_us == now:
        window_due(q, limits)
    elif q.events != NOWHERE and cn[q.events].time_us == now:
        connection_event(w, at, known, keys, shard, q, limits, ms, mn, cs, cn, out, out_c, closes)
    elif q.expiry_us == now:
        expiry_due(known, shard, q, ms, mn, cs, out)
    elif q.timer_us == now:
        timer_due(known, shard, q, ms, mn, out)
    elif q.timers != NOWHERE and mn[q.timers].time_us == now:
        retry_due(w, at, known, shard, q, ms, mn, out)
    else:
        if not known.retry_by_message and known.new_mail_probes and q.timer_us != FAR_US:
            timer_due(known, shard, q, ms, mn, out)
        i = take_message(w, at, keys, shard, q, ms)
        find_arrival(w, at, known, keys, q)
        become_ready(w, at, known, shard, q, ms, mn, out, i)


def connection_event(
    w: Numbers, at: Records, known: Records, keys: Numbers, shard: Records, q: Records, limits: Records, ms: Records,
    mn: Records, cs: Records, cn: Records, out: Numbers, out_c: Numbers, closes: Numbers,
) -> None:  # fmt: skip
    """A verdict falls, a step of an opening ends, or an idle time-out is over."""
    c = q.events // 2
    rank = cn[q.events].order >> RANK_BITS
    q.events = pop(cn, q.events)
    connection = cs[c]
    if rank == _VERDICT:
        verdict(w, at, known, shard, q, ms, mn, connection, out)
    elif rank == _STEP:
        if not go_on_opening(w, at, known, keys, q, limits, ms, cs, cn, c):
            return
        if connection.outcome > _DELIVERS:
            fail(w, at, known, shard, q, limits, ms, mn, cs, out, out_c, closes, c)
            return
        connection.established_us = q.now_us
        opening_ended(shard, q, ms, mn, connection, c)
        q.established += 1
    else:
        idle_check(known, shard, q, limits, cs, cn, out_c, closes, c)
        return
    if connection.carried < q.max_messages and keeps(w, at, q, connection):
        fall_idle(q, cs, cn, known, c)
    else:
        close(shard, q, limits, cs, out_c, closes, c)


def keeps(w: Numbers, at: Records, q: Records, connection: Records) -> bool:
    """Tell whether a connection may carry another message: only while the setting it was made under holds."""
    then, now = connection.phase * at.destinations, q.phase * at.destinations
    return then == now or w[at.setting + then + q.index] == w[at.setting + now + q.index]


def change(
    w: Numbers, at: Records, shard: Records, q: Records, limits: Records, cs: Records, out_c: Numbers, closes: Numbers
) -> None:
    """A phase of the timeline begins: connections made under another setting carry no more mail."""
    setting = at.setting + q.phase * at.destinations + q.index
    q.phase += 1
    q.phase_us = w[at.begins_us + q.phase + 1] if q.phase + 1 < at.phases else FAR_US
    if w[setting] != w[setting + at.destinations]:
        while q.idle_last != NOWHERE:
            c = q.idle_last
            unlink_idle(q, cs, c)
            close(shard, q, limits, cs, out_c, closes, c)


# --- one dispatch after all events of an instant


def dispatch(
    w: Numbers, at: Records, known: Records, keys: Numbers, shard: Records, q: Records, limits: Records, ms: Records,
    mn: Records, cs: Records, cn: Records, out: Numbers, opens: Numbers,
) -> None:  # fmt: skip
    """Give waiting mail to idle connections, open new ones, set the timers."""
    q.touched = 0
    while q.idle_last != NOWHERE and q.waiting:
        i = oldest(shard, q, ms, mn)
        c = idle_for(q, limits, cs, ms[i].recipients)
        if c == NOWHERE:
            break
        unlink_idle(q, cs, c)
        start(w, at, known, keys, q, limits, ms, cs, cn, i, c)
    if q.waiting:
        if known.retry_by_message:
            open_more(w, at, known, keys, shard, q, limits, ms, mn, cs, cn, opens)
        else:
            serve_waiting(w, at, known, keys, shard, q, limits, ms, mn, cs, cn, out, opens)
    c = q.idle_last
    while c != NOWHERE and cs[c].idle_since_us == q.now_us:
        watch_idle(q, cn, known, cs[c], c)
        c = cs[c].before


def idle_for(q: Records, limits: Records, cs: Records, recipients: int) -> int:
    """Return the connection that fell idle last and whose window admits so many recipients, or NOWHERE."""
    now, c = q.now_us, q.idle_last
    while c != NOWHERE:
        limit = limits[cs[c].slot]
        if not limit.recipients or window_admits(
            now, limit.begins_us, limit.used, limit.window_us, limit.recipients, recipients
        ):
            return c
        wake_at_window(q, limit)
        c = cs[c].before
    return NOWHERE


def serve_waiting(
    w: Numbers, at: Records, known: Records, keys: Numbers, shard: Records, q: Records, limits: Records, ms: Records,
    mn: Records, cs: Records, cn: Records, out: Numbers, opens: Numbers,
) -> None:  # fmt: skip
    """Let lapsed mail go and connections open; a probe opens for no mail that has lapsed."""
    if q.down and not is_silent(q, cs):
        expire_waiting(known, shard, q, ms, mn, out, False)
    open_more(w, at, known, keys, shard, q, limits, ms, mn, cs, cn, opens)
    if not is_silent(q, cs):
        expire_waiting(known, shard, q, ms, mn, out, False)
    watch_expiry(known, shard, q, ms, mn, cs)


# --- the end of a censored run


def end(
    knowns: Records, shards: Records, queues: Records, limits: Records, ms: Records, cs: Records, out: Numbers,
    out_c: Numbers, closes: Numbers, until_us: int,
) -> None:  # fmt: skip
    """End a run that is cut off: mail that is left is *queued*, connections that are left close."""
    known, shard = knowns[0], shards[0]
    end_mail(known, shard, queues, ms, out, until_us)
    for c in range(len(cs)):
        if cs[c].state == ALIVE:
            record(shard, queues[cs[c].destination - shard.first_destination], limits, cs, out_c, closes, c, until_us)
