"""The compiled engine's openings: which MX host is tried, what it shows, and what the sender makes of it.

The same as :mod:`sim.delivery.reference`: `plan`, `try_hosts`, `_meet`. Plain functions of the records of
:mod:`sim.delivery.kernel.packed`, which the compiled engine compiles.
"""

from __future__ import annotations

from sim.delivery.draws import NTH_BITS, compiled_words
from sim.delivery.kernel.heaps import push
from sim.delivery.kernel.mail import CONNECTION, OUTAGE, PASS, VERDICT
from sim.delivery.kernel.packed import STEP, Numbers, Records
from sim.delivery.rules import (
    UNIT_BITS,
    Rank,
    first_above,
    is_down,
    may_not_connect,
    opening_us,
    quantile,
    scaled,
    share_of,
    transfer_us,
)
from sim.terms import Demand, Outcome, Seen, Stage

#: Events of a connection are in the order of rank, then of the connection's ordinal.
RANK_BITS = 48
VERDICT_RANK, STEP_RANK, IDLE_RANK = (
    int(rank) << RANK_BITS for rank in (Rank.VERDICT, Rank.CONNECTION_STEP, Rank.IDLE_TIMEOUT)
)
_CLEAR = int(Demand.CLEAR)
_DNS_TEMPORARY, _UNREACHABLE = int(Stage.DNS_TEMPORARY), int(Stage.UNREACHABLE)
_NOT_OFFERED, _TLS = int(Stage.NOT_OFFERED), int(Stage.TLS)
_NOT_ASKED = int(Seen.UNREACHABLE)
_RECONNECT_CLEAR, _NEXT_HOST = int(Outcome.RECONNECT_CLEAR), int(Outcome.NEXT_HOST)
_BOUNCE_MESSAGE = int(Outcome.BOUNCE_MESSAGE)
_STAGES_BEFORE_TLS = 10


def begin_pass(keys: Numbers, q: Records, ordinal: int, nth: int) -> tuple[int, int]:
    """Draw a pass for a message: the word of its look-up, and that of the order of its routes."""
    dns_word, turn_word, _, _ = compiled_words(keys, PASS, q.key, ordinal << NTH_BITS | nth)
    return dns_word, turn_word


def route_at(w: Numbers, at: Records, q: Records, turn_word: int, position: int) -> int:
    """Return the route at a position of a pass: by preference, equal ones in turn from one that a draw picks."""
    route = q.route_start + position
    preference = w[at.preference + route]
    first, stop = route, route + 1
    while first > q.route_start and w[at.preference + first - 1] == preference:
        first -= 1
    while stop < q.route_stop and w[at.preference + stop] == preference:
        stop += 1
    count = stop - first
    return first + (route - first + (turn_word * count >> 32)) % count


def begin_opening(
    w: Numbers, at: Records, known: Records, keys: Numbers, q: Records, limits: Records, ms: Records, cs: Records,
    cn: Records, c: int,
) -> None:  # fmt: skip
    """Look the domain up and try the first MX host."""
    connection = cs[c]
    connection.stage = q.dns_stage
    if connection.dns_word < q.dns_temporary:
        connection.stage = _DNS_TEMPORARY
    if connection.stage >= 0:
        temporary = connection.stage == _DNS_TEMPORARY
        ends_us = q.now_us + (known.dns_timeout_us if temporary else max(1, known.dns_us))
        _step(q, cn, connection, c, ends_us)
        return
    connection.ends_us = q.now_us + known.dns_us
    connection.asked = w[at.demand + connection.phase * at.routes + connection.route]
    _try(w, at, known, keys, q, limits, ms, cs, cn, c)


def go_on_opening(
    w: Numbers, at: Records, known: Records, keys: Numbers, q: Records, limits: Records, ms: Records, cs: Records,
    cn: Records, c: int,
) -> bool:  # fmt: skip
    """A step of an opening has ended: try the next MX host, or return whether the pass has ended."""
    connection = cs[c]
    if connection.stage >= 0:
        demand = w[at.demand + connection.phase * at.routes + connection.route]
        _conclude(w, at, connection, demand, w[at.seen_at + connection.stage])
        return True
    if not q.stepwise or _is_over(w, at, q, limits, ms, connection):
        return True
    _try(w, at, known, keys, q, limits, ms, cs, cn, c)
    return False


def _try(
    w: Numbers, at: Records, known: Records, keys: Numbers, q: Records, limits: Records, ms: Records, cs: Records,
    cn: Records, c: int,
) -> None:  # fmt: skip
    """Try MX hosts until the end of one can be seen, or all the pass."""
    connection = cs[c]
    while True:
        connection.seen = _NOT_ASKED
        takes_us = 1
        if not may_not_connect(connection.asked):
            takes_us = _meet(w, at, known, keys, q, connection)
        connection.ends_us += takes_us
        if q.stepwise or _is_over(w, at, q, limits, ms, connection):
            _step(q, cn, connection, c, connection.ends_us)
            return


def _is_over(w: Numbers, at: Records, q: Records, limits: Records, ms: Records, connection: Records) -> bool:
    """Conclude from what an MX host showed; unless the pass is over, say what is tried next."""
    _conclude(w, at, connection, connection.asked, connection.seen)
    if connection.outcome == _RECONNECT_CLEAR:
        opener = ms[connection.opener]
        connection.asked = _CLEAR
        connection.opening = opener.openings
        opener.openings += 1
        return False
    if connection.outcome != _NEXT_HOST and connection.outcome != _BOUNCE_MESSAGE:
        return True
    while q.route_start + connection.position + 1 < q.route_stop:
        connection.position += 1
        route = route_at(w, at, q, connection.turn_word, connection.position)
        if _moves_to(w, at, q, limits, connection, route):
            connection.asked = w[at.demand + connection.phase * at.routes + route]
            return False
    return True


def _moves_to(w: Numbers, at: Records, q: Records, limits: Records, connection: Records, route: int) -> bool:
    """Let a connection in opening go on to another route, unless that one's limit is reached."""
    slot = w[at.slot + route]
    if slot != connection.slot:
        other = limits[slot]
        if other.in_use >= other.connections:
            return False
        limits[connection.slot].in_use -= 1
        other.in_use += 1
        connection.slot = slot
        q.touched = 1
    connection.route = route
    return True


def _step(q: Records, cn: Records, connection: Records, c: int, time_us: int) -> None:
    q.events = push(cn, q.events, 2 * c + STEP, time_us, STEP_RANK | connection.ordinal)


def _conclude(w: Numbers, at: Records, connection: Records, demand: int, seen: int) -> None:
    cell = demand * at.seen_classes + seen
    connection.seen = seen
    connection.reason = w[at.reason + cell]
    connection.outcome = w[at.outcome + 2 * cell + connection.aged]


def _meet(w: Numbers, at: Records, known: Records, keys: Numbers, q: Records, connection: Records) -> int:
    """Meet an MX host: note the class of evidence seen and return how long it took (at least 1 us)."""
    route = connection.route
    host = w[at.host + route]
    nth = connection.opener_ordinal << NTH_BITS | connection.opening
    pool_word, stage_word, _, _ = compiled_words(keys, CONNECTION, q.key ^ w[at.host_key + host], nth)
    start, stop = w[at.backend_start + host], w[at.backend_start + host + 1]
    backend = first_above(w, at.chosen + start, at.chosen + stop - 1, pool_word) - at.chosen
    stages = at.stage + (connection.phase * at.backends + backend) * _STAGES_BEFORE_TLS
    stage = _TLS
    if stage_word < w[stages + _STAGES_BEFORE_TLS - 1]:
        stage = _UNREACHABLE + first_above(w, stages, stages + _STAGES_BEFORE_TLS - 1, stage_word) - stages
    if _has_outages(w, at, host) and _is_out(w, at, keys, host, connection.ends_us):
        stage = _UNREACHABLE
    elif stage > _NOT_OFFERED and w[at.stripped + connection.phase * at.routes + route]:
        stage = _NOT_OFFERED
    if stage == _TLS:
        member = w[at.seen_start + route] + backend - start
        connection.seen = w[at.seen_tls + connection.phase * at.members + member]
    else:
        connection.seen = w[at.seen_at + stage]
    return opening_us(
        connection.asked, stage, w[at.rtt_us + host], w[at.handshake_round_trips + backend],
        w[at.unreachable_us + host], known.handshake_timeout_us,
    )  # fmt: skip


# --- outages of hosts


def _has_outages(w: Numbers, at: Records, host: int) -> bool:
    planned = w[at.planned_start + host + 1] - w[at.planned_start + host]
    return w[at.outage_cycle_us + host] != 0 or planned != 0


def _is_out(w: Numbers, at: Records, keys: Numbers, host: int, now_us: int) -> bool:
    """Tell whether a host is down now; an outage may reach into the cycle after its own."""
    for row in range(w[at.planned_start + host], w[at.planned_start + host + 1]):
        if w[at.planned + 2 * row] <= now_us < w[at.planned + 2 * row + 1]:
            return True
    cycle_us = w[at.outage_cycle_us + host]
    if cycle_us == 0:
        return False
    cycle = now_us // cycle_us
    return _is_out_of(w, at, keys, host, cycle, now_us) or _is_out_of(w, at, keys, host, cycle - 1, now_us)


def _is_out_of(w: Numbers, at: Records, keys: Numbers, host: int, cycle: int, now_us: int) -> bool:
    """Tell whether the outage that begins in a cycle covers this instant."""
    starts, length, _, _ = compiled_words(keys, OUTAGE, w[at.host_key + host], cycle)
    cycle_us = w[at.outage_cycle_us + host]
    unit = quantile(w[at.table_outage : at.table_outage + at.outage_cells], length)
    lasts_us = min(scaled(w[at.outage_us + host], unit, UNIT_BITS), cycle_us)
    return is_down(now_us, cycle * cycle_us + share_of(cycle_us, starts), lasts_us)


# --- transfers


def accepted_us(w: Numbers, at: Records, keys: Numbers, q: Records, m: Records, host: int) -> int:
    """Return how long an accepted message takes; the peer's acceptance time is drawn per verdict."""
    word = compiled_words(keys, VERDICT, q.key, m.ordinal << NTH_BITS | m.verdicts)[0]
    table = at.table_accept + w[at.accept_table + host] * at.accept_cells
    unit = quantile(w[table : table + at.accept_cells], word)
    accept_us = scaled(w[at.accept_us + host], unit, UNIT_BITS)
    return transfer_us(m.size_bytes, m.recipients, w[at.rtt_us + host], w[at.us_per_mib + host], accept_us)
