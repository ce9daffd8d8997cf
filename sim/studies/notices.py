"""Who learns that a change harms mail, and when: the alert, the delay warning, the bounce, or nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.results.records import CONNECTION_COLUMNS
from sim.terms import Bounce, Fate, Reason, Setting

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: The interval of the delay warning (esa.md: 14,400 s, remembered; off as shipped).
WARNING_S = 14_400
REQUIRING = (Setting.REQUIRED, Setting.REQUIRED_VERIFY, Setting.REQUIRED_VERIFY_HOSTED)
TLS_REASONS = (
    Reason.STARTTLS_NOT_SUPPORTED, Reason.VALIDATION_FAILURE, Reason.CERTIFICATE_NOT_TRUSTED,
    Reason.CERTIFICATE_EXPIRED, Reason.CERTIFICATE_HOST_MISMATCH,
)  # fmt: skip

ALERT, WARNING, BOUNCE, NOBODY = "TLS alert", "delay warning", "bounce", "nobody"
#: Channel, whom it tells, what it rests on.
CHANNELS = (
    (ALERT, "the administrator", "a failed required TLS negotiation while the message waits; a global switch"),
    (WARNING, "the sender", "a 4yz answer to the second or a later attempt, 4 h after arrival at the earliest"),
    (BOUNCE, "the sender", "the message bounces, and does not today"),
    (NOBODY, "nobody", "no channel that is on: delivered, but later than today"),
)


@dataclass(frozen=True, slots=True)
class Notices:
    """Notices of one replication.

    Attributes
    ----------
    harmed : messages that the change bounces, or delays by a minute or more; some may wait at the end of the run.
    messages : by channel, in the order of `CHANNELS`: harmed messages it tells of, were it on.
    first_us : by channel: the first notice, from the start; -1 where there is none. For *nobody*, when the first such
        message would have been there without the change.
    """

    harmed: int
    messages: tuple[int, ...]
    first_us: tuple[int, ...]


def notices_of(
    old: Mapping[str, Ints],
    new: Mapping[str, Ints],
    is_kind: Mapping[str, Bools],
    connections: Ints,
    settings: Ints,
    *,
    alerts: bool,
) -> Notices:
    """Find the first notice of each channel for the mail that a change harms.

    Records do not hold when a 4yz was answered. So a warning is dated to the earliest it can be: four hours after the
    arrival of a message that met two or more of them and was in the queue so long; its attempt falls up to one wait
    (an hour, as shipped) later.

    Parameters
    ----------
    old, new : message columns before and after the change, row for row the same messages.
    is_kind : flags of `sim.studies.parting.kinds`.
    connections : connection rows after the change.
    settings : (n,) setting in force at each of these connections.
    alerts : whether the alert is on.
    """
    harmed = np.flatnonzero(is_kind["harmed"])
    bounced = is_kind["newly_bounced"][harmed]
    of = {name: new[name][harmed] for name in ("destination", "arrival_us", "done_us", "verdicts", "fate", "bounce")}
    alert_us = _alerts(of, connections, settings)
    answers_4yz = of["verdicts"] - ((of["fate"] <= Fate.VERIFIED) | (of["bounce"] == Bounce.REPLY_5YZ))
    warning_us = of["arrival_us"] + WARNING_S * 1_000_000
    warned = (answers_4yz >= 2) & (of["done_us"] >= warning_us)
    # Of mail that is queued at the end of the run a bounce may still tell.
    told = bounced | ((alert_us >= 0) & alerts) | (of["fate"] == Fate.QUEUED)
    dates = (
        alert_us[alert_us >= 0],
        warning_us[warned],
        of["done_us"][bounced],
        old["done_us"][harmed][~told],
    )
    first = tuple(int(us.min()) if us.size else -1 for us in dates)
    return Notices(int(harmed.size), tuple(int(us.size) for us in dates), first)


def _alerts(of: Mapping[str, Ints], connections: Ints, settings: Ints) -> Ints:
    """Return for each harmed message the first failed required negotiation while it waited, -1 where there was none."""
    row = dict(zip(CONNECTION_COLUMNS, connections.T, strict=True))
    failed = (row["established_us"] < 0) & (row["closed_us"] >= 0) & np.isin(row["reason"], TLS_REASONS)
    failed &= np.isin(settings, REQUIRING)
    destination, closed_us = row["destination"][failed], row["closed_us"][failed]
    order = np.lexsort((closed_us, destination))
    destination, closed_us = destination[order], closed_us[order]
    found = np.full(of["arrival_us"].size, -1, dtype=np.int64)
    for d in np.unique(of["destination"]).tolist():
        mine = np.flatnonzero(of["destination"] == d)
        times = closed_us[np.searchsorted(destination, d) : np.searchsorted(destination, d, side="right")]
        next_one = np.searchsorted(times, of["arrival_us"][mine])
        there = np.flatnonzero(next_one < times.size)
        when = times[next_one[there]]
        in_time = when <= of["done_us"][mine[there]]
        found[mine[there[in_time]]] = when[in_time]
    return found
