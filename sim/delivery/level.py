"""How many connections are open at once, over all destinations: exactly, window of time by window of time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.delivery.world import Int64

#: When connections opened or closed, and in which part of the window.
Times = tuple[Int64, Int64]

#: A window has so many parts that there are about so many openings in each; only parts that might hold a new peak are
#: looked at instant by instant.
_OPENINGS_A_PART = 4


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
        bits = max(0, int(ends_us - begins_us).bit_length() - (len(opens_us) // _OPENINGS_A_PART).bit_length())
        open_part, close_part = (opens_us - begins_us) >> bits, (closes_us - begins_us) >> bits
        parts = ((ends_us - begins_us) >> bits) + 1
        opened = np.bincount(open_part, minlength=parts)
        change = opened - np.bincount(close_part, minlength=parts)
        after = level + np.cumsum(change)
        before = after - change
        # What is open at the end of a part was reached, so most parts need no look.
        self.peak = max(self.peak, int(after.max()))
        wanted = before + opened > self.peak
        self._look(before, wanted, (opens_us, open_part), (closes_us, close_part))

    def _look(self, before: Int64, wanted: NDArray[np.bool_], opens: Times, closes: Times) -> None:
        """Find the peak within the parts that are wanted: the level before a part, and what happens in it."""
        open_us, open_part = _those(wanted, opens)
        close_us, close_part = _those(wanted, closes)
        place = np.searchsorted(open_part, open_part, side="left")
        opened = np.arange(1, len(open_us) + 1) - place
        closed = np.searchsorted(close_us, open_us, side="right") - np.searchsorted(close_part, open_part, side="left")
        self.peak = max(self.peak, int((before[open_part] + opened - closed).max(initial=0)))


def _those(wanted: NDArray[np.bool_], times: Times) -> Times:
    """Return the times of the wanted parts, in order, and their parts."""
    time_us, part = times
    chosen = wanted[part]
    return np.sort(time_us[chosen]), np.sort(part[chosen])
