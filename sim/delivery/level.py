"""How many connections are open at once, over all destinations: exactly, window of time by window of time."""

from __future__ import annotations

import numpy as np

from sim.delivery.world import Int64

#: Parts of a window; only those that might hold a new peak are looked at instant by instant.
_PARTS = 1 << 12


class OpenConnections:
    """Follows the number of open connections from the times at which they open and close.

    Attributes
    ----------
    level : connections open at the end of the last window.
    peak : the most there ever were. What closes at an instant is closed before what opens at it.
    """

    def __init__(self) -> None:
        self.level = self.peak = 0

    def add(self, opens_us: Int64, closes_us: Int64) -> None:
        """Take all openings and closings, in any order, of the window of time after those taken before."""
        level = self.level
        self.level += len(opens_us) - len(closes_us)
        if level + len(opens_us) <= self.peak:
            return
        begins_us = int(min(opens_us.min(), closes_us.min(initial=opens_us[0])))
        ends_us = int(max(opens_us.max(), closes_us.max(initial=0)))
        shift = max(0, int(ends_us - begins_us).bit_length() - _PARTS.bit_length() + 1)
        open_part, close_part = (opens_us - begins_us) >> shift, (closes_us - begins_us) >> shift
        opened = np.bincount(open_part, minlength=_PARTS)
        change = opened - np.bincount(close_part, minlength=_PARTS)
        before = level + np.cumsum(change) - change
        wanted = before + opened > self.peak
        self._look(before, wanted, (opens_us, open_part), (closes_us, close_part))

    def _look(self, before: Int64, wanted: Int64, opens: tuple[Int64, Int64], closes: tuple[Int64, Int64]) -> None:
        opens_us, closes_us = (np.sort(times[wanted[part]]) for times, part in (opens, closes))
        open_part = np.sort(opens[1][wanted[opens[1]]])
        # Openings and closings of wanted parts alone: what was closed before a part began is in its level already.
        first_open = np.concatenate([[0], np.cumsum(np.bincount(open_part, minlength=_PARTS))])
        close_counts = np.bincount(closes[1][wanted[closes[1]]], minlength=_PARTS)
        first_close = np.concatenate([[0], np.cumsum(close_counts)])
        opened = np.arange(1, len(opens_us) + 1) - first_open[open_part]
        closed = np.searchsorted(closes_us, opens_us, side="right") - first_close[open_part]
        self.peak = max(self.peak, int((before[open_part] + opened - closed).max(initial=0)))
