"""The World and the state of a run as the compiled engine holds them: few flat arrays, whose records have names.

Compiled functions get these as arguments; each array costs them several registers, so there are few of them. All of
the World that is not one row a destination lies in one array of int64, and a record says where each column begins.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.delivery.draws import RoundKeys
from sim.delivery.world import World

Int64 = NDArray[np.int64]
Numbers = Any  #: an array of integers, which rules take as the sequence of int that it is
Records = Any  #: a structured array or one of its rows, whose fields NumPy's annotations do not know
NONE = -1
#: No place: links, which are unsigned, cannot be negative.
NOWHERE = (1 << 32) - 1
#: Later than any run: a time that is not set, where the earliest of several counts.
FAR_US = 1 << 61

#: Rows that are sent at a time: so few that they stay in a processor's cache until they are counted.
ROWS = 1 << 14

_WHOLE, _SMALL, _PLACE, _TINY = np.int64, np.int32, np.uint32, np.uint8


def _record(whole: str, small: str = "", places: str = "", tiny: str = "") -> np.dtype[Any]:
    kinds = ((whole, _WHOLE), (small, _SMALL), (places, _PLACE), (tiny, _TINY))
    return np.dtype([(name, kind) for names, kind in kinds for name in names.split()], align=True)


#: One destination: what the World says of it, then its queue. Times that are not set are `FAR_US`.
QUEUE = _record(
    "key gap_ticks window_ticks dns_stage dns_temporary persistent_4yz late_5yz first_4yz refused_5yz new_pair"
    " greylist_us max_messages lifetime_us max_retries most_connections"
    " now_us arrival_us arrival_ticks ordinal phase_us window_us expiry_us timer_us dead_until_us"
    " waiting mail covered_recipients connections failures failed_passes downs",
    "index profile wait_start wait_stop route_start route_stop slot_start slot_stop stepwise"
    " phase trace_row trace_stop live openings established touched"
    " down held last_reason dead_reason held_back in_line",
    "oldest uncovered timers events idle_last probe line_next touched_next",
)
#: One set of limits: connections in use, and the window of recipients.
LIMIT = _record("connections recipients window_us in_use begins_us used wakes_us")
#: One message. ``state`` is `FREE`, `ALIVE`, or `GONE` while something still refers to it; then it is free. A hundred
#: million of them may wait at once, so what only a message under way has is with its connection.
MESSAGE = _record(
    "ordinal arrival_us size_bytes first_verdict_us ready_us",
    "destination recipients openings route verdicts retries deferral_events failures_before downs_before",
    places="opening",
    tiny="state refusal new_pair waiting reason exposed deferred tls_failed in_oldest in_uncovered",
)
FREE, ALIVE, GONE = range(3)
#: One connection. ``state`` is `GONE` while only its idle time-out, which does nothing any more, is still to come.
CONNECTION = _record(
    "ordinal opener_ordinal dns_word turn_word opened_us established_us idle_since_us ends_us attempt_us",
    "state destination opening position route phase aged idle_timer carried outcome reason seen asked stage reply",
    "opener slot message before after",
)
#: A place in a pairing heap: the least (time_us, order) is on top.
NODE = _record("time_us order", places="child sibling")
#: The nodes of message i are 3 i + OLDEST, ...; those of connection c are 2 c + STEP, ...
OLDEST, UNCOVERED, TIMER = range(3)
STEP, IDLE = range(2)
#: What all destinations of a shard share.
SHARD = _record(
    "open ceiling held_back arrived finished now_us last_us next_us message_rows connection_rows opens closes"
    " free_messages free_connections",
    "first_destination dispatching",
    "message_head connection_head line_first line_last touched_first touched_last",
)

#: Queues that are filled at a time, field by field: so many stay in a processor's cache.
_BLOCK = 2_048
_BY_DESTINATION = (
    "key", "gap_ticks", "dns_stage", "dns_temporary", "persistent_4yz", "late_5yz", "first_4yz", "refused_5yz",
    "new_pair", "greylist_us", "max_messages", "lifetime_us", "max_retries", "profile", "wait_start", "wait_stop",
)  # fmt: skip


def pack(world: World) -> tuple[Int64, Records, Records]:
    """Return the World's columns in one array, where each begins, and its single values.

    Returns
    -------
    w : all columns but those of one row a destination, one after another.
    at : record of the place in ``w`` at which a column begins. ``gap_cells``, ... are lengths.
    known : record of the single values of `sim.delivery.world.Rules`.
    """
    parts: dict[str, Int64] = {}
    for group in (world.routes, world.hosts, world.backends, world.phases):
        parts |= {f.name: getattr(group, f.name) for f in fields(group)}
    parts["host_key"] = parts.pop("key")
    for field in fields(world.rules):
        if isinstance(value := getattr(world.rules, field.name), np.ndarray):
            parts[field.name] = value
    tables = world.tables
    parts |= {f"table_{f.name}": getattr(tables, f.name) for f in fields(tables)}
    parts |= {"planned": world.planned_outages, "waits_us": world.waits_us, "trace_rows": world.trace}
    begins = np.cumsum([0, *(part.size for part in parts.values())])
    sizes = {
        "destinations": len(world.destinations.key), "routes": len(world.routes.host),
        "backends": len(world.backends.chosen), "members": world.phases.seen_tls.shape[1],
        "phases": len(world.phases.begins_us), "host_waits": len(world.rules.host_waits_us),
        "gap_cells": len(tables.gap), "outage_cells": len(tables.outage), "accept_cells": tables.accept.shape[1],
        "size_cells": len(tables.size_bytes), "recipient_steps": len(tables.recipients_below),
        "knots": len(tables.knots_us), "traced": len(world.trace), "seen_classes": world.rules.reason.shape[1],
    }  # fmt: skip
    at = _one(dict(zip(parts, begins.tolist(), strict=False)) | sizes)
    single = {f.name: v for f in fields(world.rules) if not isinstance(v := getattr(world.rules, f.name), np.ndarray)}
    w = np.concatenate([np.ascontiguousarray(part, dtype=np.int64).reshape(-1) for part in parts.values()])
    return w, at, _one(single)


def keys_of(streams: list[RoundKeys]) -> NDArray[np.uint64]:
    """Return the round keys of several streams, one row each."""
    return np.array(streams, dtype=np.uint64)


def queues_of(world: World) -> Records:
    """Return the queue of every destination before its first message."""
    d, r = world.destinations, world.routes
    start, stop = d.route_start[:-1], d.route_start[1:]
    least, most = np.minimum.reduceat(r.slot, start), np.maximum.reduceat(r.slot, start)
    places = np.concatenate([[0], np.cumsum(np.minimum(world.slots.connections, 1 << 40))])
    columns = {name: getattr(d, name) for name in _BY_DESTINATION} | {
        "index": np.arange(len(d.key)),
        "window_ticks": world.tables.ticks_before[d.profile, -1],
        "route_start": start, "route_stop": stop, "slot_start": least, "slot_stop": most + 1,
        "stepwise": (least != most) | (world.rules.until_us >= 0),
        "most_connections": places[most + 1] - places[least],
        "trace_row": d.trace_start[:-1], "trace_stop": d.trace_start[1:],
    }  # fmt: skip
    begins_us = world.phases.begins_us
    same = dict.fromkeys(("window_us", "expiry_us", "timer_us", "arrival_us"), FAR_US)
    same |= {"phase_us": int(begins_us[1]) if len(begins_us) > 1 else FAR_US, "dead_until_us": NONE}
    same |= dict.fromkeys(("oldest", "uncovered", "timers", "events", "idle_last", "probe", "line_next"), NOWHERE)
    queues = records(QUEUE, len(d.key))
    for first in range(0, len(queues), _BLOCK):
        block = slice(first, first + _BLOCK)
        for name, column in columns.items():
            queues[name][block] = column[block]
        for name, value in same.items():
            queues[name][block] = value
    return queues


def limits_of(world: World) -> Records:
    """Return the limits of every slot, none of them in use."""
    limits = records(LIMIT, len(world.slots.connections))
    for field in fields(world.slots):
        limits[field.name] = getattr(world.slots, field.name)
    limits["wakes_us"] = NONE
    return limits


def records(dtype: np.dtype[Any], count: int) -> Records:
    """Return so many records, all zero, whose fields are attributes with and without a compiler."""
    return np.zeros(count, dtype=dtype).view(np.recarray)


def growing(dtype: np.dtype[Any]) -> Records:
    """Return no records yet, for `grow`."""
    return np.recarray(0, dtype=dtype)


def grow(old: Records, count: int) -> None:
    """Add so many records, all zero, where they are: a system that can move pages copies none.

    Nothing else may refer to ``old``'s memory.
    """
    old.resize(len(old) + count, refcheck=False)


def _one(values: dict[str, int]) -> Records:
    found = records(_record(" ".join(values)), 1)
    for name, value in values.items():
        found[name] = value
    return found
