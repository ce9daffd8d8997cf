"""The compiled engine's loop where a system-wide ceiling makes destinations wait for each other.

All destinations run instant by instant: the events of the instant, then dispatches, those in line for a connection
first. A tournament tree knows which destination's next event comes first (Knuth, The Art of Computer Programming,
volume 3, section 5.4.1).
"""

from __future__ import annotations

from sim.delivery.kernel.loop import dispatch, handle, lacks_room, next_us
from sim.delivery.kernel.packed import FAR_US, NOWHERE, Numbers, Records


def plant(queues: Records, mn: Records, cn: Records, due_us: Numbers, tree: Numbers) -> None:
    """Build the tree of the destinations' next events; ``due_us`` has as many places as the tree has leaves."""
    leaves = len(due_us)
    for d in range(leaves):
        due_us[d] = next_us(queues[d], mn, cn) if d < len(queues) else FAR_US
        tree[leaves + d] = d
    for i in range(leaves - 1, 0, -1):
        _play(due_us, tree, i)


def advance_together(
    w: Numbers, ats: Records, knowns: Records, keys: Numbers, shards: Records, queues: Records, limits: Records,
    ms: Records, mn: Records, cs: Records, cn: Records, out: Numbers, out_c: Numbers, opens: Numbers, closes: Numbers,
    due_us: Numbers, tree: Numbers, until_us: int,
) -> int:  # fmt: skip
    """Run all destinations until just before a time; return one that lacks room, or their number."""
    at, known, shard = ats[0], knowns[0], shards[0]
    while True:
        if not shard.dispatching:
            shard.now_us = due_us[tree[1]]
            if shard.now_us >= until_us:
                shard.next_us = shard.now_us
                return len(queues)
            d = _handle_instant(
                w, at, known, keys, shard, queues, limits, ms, mn, cs, cn, out, out_c, opens, closes, due_us, tree
            )  # fmt: skip
            if d != NOWHERE:
                return d
            shard.dispatching = 1
        d = _dispatch_instant(
            w, at, known, keys, shard, queues, limits, ms, mn, cs, cn, out, out_c, opens, closes, due_us, tree
        )  # fmt: skip
        if d != NOWHERE:
            return d
        shard.dispatching = 0


def _handle_instant(
    w: Numbers, at: Records, known: Records, keys: Numbers, shard: Records, queues: Records, limits: Records,
    ms: Records, mn: Records, cs: Records, cn: Records, out: Numbers, out_c: Numbers, opens: Numbers, closes: Numbers,
    due_us: Numbers, tree: Numbers,
) -> int:  # fmt: skip
    """Handle all events of an instant, destination by destination; return one that lacks room."""
    while due_us[tree[1]] == shard.now_us:
        d = tree[1]
        q = queues[d]
        while next_us(q, mn, cn) == shard.now_us:
            if lacks_room(shard, q, out, out_c, opens, closes):
                return d
            q.now_us = shard.now_us
            handle(w, at, known, keys, shard, q, limits, ms, mn, cs, cn, out, out_c, closes)
        if q.touched:
            _append_touched(shard, queues, d)
        _settle(q, mn, cn, due_us, tree, d)
    return NOWHERE


def _dispatch_instant(
    w: Numbers, at: Records, known: Records, keys: Numbers, shard: Records, queues: Records, limits: Records,
    ms: Records, mn: Records, cs: Records, cn: Records, out: Numbers, out_c: Numbers, opens: Numbers, closes: Numbers,
    due_us: Numbers, tree: Numbers,
) -> int:  # fmt: skip
    """Dispatch those in line while a connection is free, then those that were touched; return one that lacks room."""
    while True:
        in_line = shard.line_first != NOWHERE and shard.open < shard.ceiling
        d = shard.line_first if in_line else shard.touched_first
        if d == NOWHERE:
            return NOWHERE
        q = queues[d]
        if lacks_room(shard, q, out, out_c, opens, closes):
            return d
        if in_line:
            shard.line_first = q.line_next
            q.in_line = 0
        else:
            shard.touched_first = q.touched_next
        if in_line or q.touched:
            q.now_us = shard.now_us
            dispatch(w, at, known, keys, shard, q, limits, ms, mn, cs, cn, out, opens)
            _stand_in_line(shard, queues, d)
            _settle(q, mn, cn, due_us, tree, d)


def _append_touched(shard: Records, queues: Records, d: int) -> None:
    queues[d].touched_next = NOWHERE
    if shard.touched_first == NOWHERE:
        shard.touched_first = d
    else:
        queues[shard.touched_last].touched_next = d
    shard.touched_last = d


def _stand_in_line(shard: Records, queues: Records, d: int) -> None:
    """Put a destination that the ceiling holds back at the end of the line, unless it stands there already."""
    q = queues[d]
    if q.held_back and not q.in_line:
        q.in_line = 1
        q.line_next = NOWHERE
        if shard.line_first == NOWHERE:
            shard.line_first = d
        else:
            queues[shard.line_last].line_next = d
        shard.line_last = d
    q.held_back = 0


def _settle(q: Records, mn: Records, cn: Records, due_us: Numbers, tree: Numbers, d: int) -> None:
    """Play a destination's matches again, all the way up."""
    due_us[d] = next_us(q, mn, cn)
    i = (len(due_us) + d) // 2
    while i:
        _play(due_us, tree, i)
        i //= 2


def _play(due_us: Numbers, tree: Numbers, i: int) -> None:
    """Let the earlier of two destinations win; of equal ones the one with the lower number."""
    left, right = tree[2 * i], tree[2 * i + 1]
    tree[i] = left if due_us[left] <= due_us[right] else right
