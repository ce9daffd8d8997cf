"""The World: everything an engine sees, as frozen int64 arrays (made by `sim.delivery.compile`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from sim.results.labels import Labels

Int64 = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Destinations:
    """One row a destination domain (D rows); names are keys, never row numbers."""

    key: Int64  #: 64-bit name key
    gap_ticks: Int64  #: mean gap between arrivals in operational time; 0 = no stream
    trace_start: Int64  #: (D + 1,) rows of the trace that belong to a destination
    profile: Int64  #: row of ``ticks_before`` its arrivals follow
    dns_stage: Int64  #: Stage code the look-up ends at, or -1 when it answers
    dns_temporary: Int64  #: threshold (of 2**32) of a temporary DNS failure, per pass
    persistent_4yz: Int64  #: refusal thresholds, cumulative, of the word drawn once per message
    late_5yz: Int64
    first_4yz: Int64
    refused_5yz: Int64
    new_pair: Int64  #: threshold of a sender-recipient pair not known to a greylisting peer
    greylist_us: Int64  #: how long the peer makes an unknown pair wait; 0 = no greylisting
    max_messages: Int64  #: per connection
    lifetime_us: Int64  #: longest time in queue
    max_retries: Int64
    wait_start: Int64  #: first row of ``waits_us`` of its retry schedule
    wait_stop: Int64  #: row after its last
    route_start: Int64  #: (D + 1,) rows of Routes


@dataclass(frozen=True, kw_only=True)
class Routes:
    """One row a (destination, MX host) pair (R rows), in order of preference."""

    host: Int64
    preference: Int64
    slot: Int64  #: the limit counter this route uses: one a destination, or one a route (MXIP)
    seen_start: Int64  #: first column of ``phases.seen_tls``, one a backend of the host


@dataclass(frozen=True, kw_only=True)
class Slots:
    """One row a set of limits (S rows): connections at once, recipients per window."""

    connections: Int64
    recipients: Int64  #: 0 = no limit
    window_us: Int64


@dataclass(frozen=True, kw_only=True)
class Hosts:
    """One row an MX host (H rows)."""

    key: Int64
    rtt_us: Int64
    us_per_mib: Int64
    accept_us: Int64  #: median (or mean) the unit table multiplies
    accept_table: Int64  #: row of ``accept_tables``
    outage_us: Int64  #: mean length of an outage
    outage_cycle_us: Int64  #: one outage begins in each cycle; 0 = never down
    unreachable_us: Int64
    backend_start: Int64  #: (H + 1,) rows of Backends
    planned_start: Int64  #: (H + 1,) rows of ``planned_outages`` of the timeline


@dataclass(frozen=True, kw_only=True)
class Backends:
    """One row a member of a host's pool (B rows)."""

    chosen: Int64  #: cumulative thresholds within the host
    handshake_round_trips: Int64


@dataclass(frozen=True, kw_only=True)
class Phases:
    """What the timeline changes: one row a phase (P rows), and one phase where nothing changes.

    A pass and the connection it opens belong to the phase in which the pass begins.
    """

    begins_us: Int64  #: (P,) the first is 0
    setting: Int64  #: (P, D) code of each destination's setting, one of the sender's own
    demand: Int64  #: (P, R) Demand code of each route
    stripped: Int64  #: (P, R) 1 when something on this path removes STARTTLS
    stage: Int64  #: (P, B, 10) cumulative thresholds of the stages unreachable .. lost-in-tls
    seen_tls: Int64  #: (P, n) Seen code of a completed handshake, per (route, backend)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The sender's tables and the switches of the delivery model, as single values."""

    seen_at: Int64  #: (Stage,) Seen code of each stage but *tls*, where it depends on the certificate (``seen_tls``)
    outcome: Int64  #: (Demand, Seen, 2 message is aged) Outcome codes
    reason: Int64  #: (Demand, Seen) Reason codes
    host_waits_us: Int64  #: retry schedule of a destination that is down
    idle_us: int
    dns_us: int
    dns_timeout_us: int
    handshake_timeout_us: int
    window_us: int  #: mail arrives in 0..window
    until_us: int  #: -1 = run until every message has its fate
    messages_per_opening: int
    max_connections: int  #: system-wide ceiling, for which mail waits
    new_mail_probes: int
    success_releases_all: int
    expire_at_lifetime: int
    retry_by_message: int  #: 1: a failed pass concerns its message alone; 0: it concerns the destination
    counted: int  #: by message: index of ``rules.COUNTED``
    scan_us: int  #: by message: timers wait for a multiple of this; 0 = they do not
    dead_us: int  #: by message: how long a destination is dead after a failed pass; 0 = never
    aged_after_us: int  #: a message so old when it becomes ready is aged; -1 = age does not matter
    aged_after_tls_failure: int


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Distributions and profiles as integers."""

    gap: Int64  #: unit quantiles of the gap between arrivals (exponential)
    outage: Int64  #: unit quantiles of an outage's length
    accept: Int64  #: (K, n) unit quantiles of the peer's acceptance time
    size_bytes: Int64  #: quantiles of a message's size
    recipients_below: Int64  #: thresholds of the number of recipients
    recipients: Int64
    knots_us: Int64  #: (n,) times at which a rate may change, at most an hour apart, from 0 to the end of arrivals
    ticks_before: Int64  #: (K, n) integral of each profile's rate before each knot


@dataclass(frozen=True, kw_only=True)
class World:
    """A population, its mail and the sender's policy, compiled: "same seed, same bytes" is promised per hash."""

    destinations: Destinations
    routes: Routes
    slots: Slots
    hosts: Hosts
    backends: Backends
    phases: Phases
    rules: Rules
    tables: Tables
    planned_outages: Int64  #: (n, 2) begin and end in microseconds, by host and begin
    waits_us: Int64  #: retry schedules, one after another; the last wait of each repeats
    trace: Int64  #: (n, 3) arrival_us, size_bytes, recipients of a trace, by destination and time
    labels: Labels = field(compare=False)

    def __post_init__(self) -> None:
        for _, array in self.arrays():
            array.setflags(write=False)

    def arrays(self) -> Iterator[tuple[str, Int64]]:
        """Yield every array with its dotted name, in declaration order."""
        for part in fields(self):
            value = getattr(self, part.name)
            if part.name == "labels":
                continue
            if isinstance(value, np.ndarray):
                yield part.name, value
                continue
            for column in fields(value):
                yield (
                    f"{part.name}.{column.name}",
                    np.atleast_1d(np.asarray(getattr(value, column.name), dtype=np.int64)),
                )

    @property
    def hash(self) -> str:
        """Return 16 hex digits over all arrays: equal hashes and equal seeds give equal records."""
        digest = blake2b(digest_size=8)
        for name, array in self.arrays():
            digest.update(f"{name}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array.astype("<i8")).tobytes())
        return digest.hexdigest()


def expected_messages(world: World) -> NDArray[np.float64]:
    """Return how many messages each destination is expected to get, (D,)."""
    d = world.destinations
    if len(world.trace):
        return np.diff(d.trace_start).astype(np.float64)
    ticks = world.tables.ticks_before[d.profile, -1]
    return np.where(d.gap_ticks > 0, ticks / np.maximum(d.gap_ticks, 1), 0.0)
