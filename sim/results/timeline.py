"""What happened minute by minute, and its resampling to any interval."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import ScenarioError, complaint

if TYPE_CHECKING:
    from pandas import DataFrame

Ints = NDArray[np.int64]

INJECTED, DELIVERED, BOUNCED = range(3)
MESSAGES, RECIPIENTS, BYTES = range(3)
OPENED, CLOSED = range(2)

MINUTE_S = 60
MINUTE_US = 60_000_000
#: 100 years: a later time is no time but a fault in an engine, and must not ask for memory.
MOST_MINUTES = 52_560_000
_UNITS_S = {
    "s": 1, "sec": 1, "second": 1, "seconds": 1,
    "min": 60, "mins": 60, "minute": 60, "minutes": 60,
    "h": 3_600, "hour": 3_600, "hours": 3_600,
    "d": 86_400, "day": 86_400, "days": 86_400,
}  # fmt: skip


def interval_minutes(interval: str | float) -> int:
    """Return the whole minutes of an interval such as ``"5min"``, ``"1h"``, ``"1 day"`` or a number of seconds.

    Raises
    ------
    ScenarioError
        When it cannot be read, or is no positive multiple of a minute.
    """
    allowed = "a positive multiple of 1 min, such as 5min, 1h, 1day or a number of seconds"
    if isinstance(interval, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)?\s*([a-z]*)\s*", interval.lower())
        if match is None or not any(match.groups()) or (match[2] and match[2] not in _UNITS_S):
            raise ScenarioError(complaint("interval", interval, allowed))
        seconds = float(match[1] or 1) * _UNITS_S.get(match[2], 1)
    else:
        seconds = float(interval)
    if not np.isfinite(seconds) or seconds < MINUTE_S or seconds % MINUTE_S:
        raise ScenarioError(complaint("interval", interval, allowed))
    return int(seconds) // MINUTE_S


class Minutes:
    """Counts by minute from the start: mail injected, delivered, bounced; connections opened, closed.

    Arrays grow with the horizon. An event at a full minute belongs to the minute that begins.
    """

    def __init__(self) -> None:
        self._mail = np.zeros((64, 3, 3), dtype=np.int64)
        self._connections = np.zeros((64, 2), dtype=np.int64)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def mail(self) -> Ints:
        """(minutes, flow, unit) counts; flows injected, delivered, bounced; units messages, recipients, bytes."""
        return self._mail[: self._length]

    @property
    def connections(self) -> Ints:
        """(minutes, 2) connections opened, closed."""
        return self._connections[: self._length]

    def add_mail(self, flow: int, time_us: Ints, recipients: Ints, size_bytes: Ints) -> None:
        """Count messages (n,) into the minutes of their times."""
        minute = self._minutes(time_us)
        flat = self._mail.reshape(-1)
        at = minute * 9 + flow * 3
        np.add.at(flat, at + MESSAGES, np.int64(1))
        np.add.at(flat, at + RECIPIENTS, recipients)
        np.add.at(flat, at + BYTES, size_bytes)

    def add_connections(self, flow: int, time_us: Ints) -> None:
        """Count connections (n,) opened or closed into the minutes of their times."""
        minute = self._minutes(time_us)
        np.add.at(self._connections.reshape(-1), minute * 2 + flow, np.int64(1))

    @property
    def room(self) -> tuple[Ints, Ints]:
        """The arrays of `mail` and `connections` with all they have room for, to count into."""
        return self._mail, self._connections

    def merge(self, other: Minutes) -> None:
        """Add the counts of another run part."""
        self.grow(other._length)
        self._mail[: other._length] += other.mail
        self._connections[: other._length] += other.connections

    def _minutes(self, time_us: Ints) -> Ints:
        minute = time_us // MINUTE_US
        if minute.size:
            last = int(minute.max())
            if last > MOST_MINUTES or int(minute.min()) < 0:
                raise ValueError(complaint("time", f"{last} min", f"0..{MOST_MINUTES} min"))
            self.grow(last + 1)
        return minute

    def grow(self, length: int) -> None:
        """Make room for a number of minutes."""
        self._length = max(self._length, length)
        if length > len(self._mail):
            extra = max(length, 2 * len(self._mail)) - len(self._mail)
            self._mail = np.concatenate([self._mail, np.zeros((extra, 3, 3), dtype=np.int64)])
            self._connections = np.concatenate([self._connections, np.zeros((extra, 2), dtype=np.int64)])


def timeline(minutes: Minutes, interval: str | float, horizon_s: float = 0) -> DataFrame:
    """Resample to an interval.

    Parameters
    ----------
    minutes : counts by minute.
    interval : as in `interval_minutes`.
    horizon_s : the frame covers at least this time.

    Returns
    -------
    One row an interval: time_h (its end, hours from the start); injected_messages, delivered_messages,
    bounced_messages, connections_opened (during it); queued_messages, queued_recipients,
    queued_bytes, connections_open (at its end).
    """
    import pandas as pd

    step = interval_minutes(interval)
    rows = max(-(-len(minutes) // step), int(-(-horizon_s // (step * MINUTE_S))))
    mail = _resample(minutes.mail, rows, step)
    connections = _resample(minutes.connections, rows, step)
    queued = np.cumsum(mail[:, INJECTED] - mail[:, DELIVERED] - mail[:, BOUNCED], axis=0)
    return pd.DataFrame(
        {
            "time_h": np.arange(1, rows + 1) * step / 60,
            "injected_messages": mail[:, INJECTED, MESSAGES],
            "delivered_messages": mail[:, DELIVERED, MESSAGES],
            "bounced_messages": mail[:, BOUNCED, MESSAGES],
            "queued_messages": queued[:, MESSAGES],
            "queued_recipients": queued[:, RECIPIENTS],
            "queued_bytes": queued[:, BYTES],
            "connections_opened": connections[:, OPENED],
            "connections_open": np.cumsum(connections[:, OPENED] - connections[:, CLOSED]),
        }
    )


def marks(events: Sequence[Mapping[str, Any]], horizon_h: float = np.inf) -> list[tuple[float, str]]:
    """Return (hour, label) of what begins and ends before a horizon, in order of time.

    Parameters
    ----------
    events : label, at_h, for_h (None: for good) of each.
    """
    found = [(float(event["at_h"]), str(event["label"])) for event in events]
    found += [(e["at_h"] + e["for_h"], f"end of {e['label']}") for e in events if e["for_h"] is not None]
    return sorted((hour, label) for hour, label in found if hour < horizon_h)


def _resample(counts: Ints, rows: int, step: int) -> Ints:
    padded = np.zeros((rows * step, *counts.shape[1:]), dtype=np.int64)
    padded[: len(counts)] = counts
    total: Ints = padded.reshape(rows, step, *counts.shape[1:]).sum(axis=1)
    return total
