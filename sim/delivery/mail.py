"""The mail of a World: each destination's messages as a stream, drawn in blocks, never materialised as a whole."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sim.delivery.draws import NTH_BITS, Stream, round_keys, words_of_many
from sim.delivery.quantiles import quantiles_of_many
from sim.delivery.rules import UNIT_BITS
from sim.delivery.world import World

Int64 = NDArray[np.int64]
#: ordinal, arrival_us, size_bytes, recipients, refusal, new_pair, word of the first verdict
Letter = tuple[int, int, int, int, int, int, int]

#: Refusal of a message, drawn once: accepted; 4yz at its first verdict, then accepted; 4yz at every verdict;
#: 4yz at its first verdict, then 5yz; 5yz.
ACCEPTED, TRANSIENT, PERSISTENT, LATE_REFUSED, REFUSED = range(5)
_BLOCK = 4_096


class Mail:
    """Draws the messages of every destination of a World under a seed.

    The first block of all destinations is drawn at once; a destination with more mail draws further
    blocks when it gets there, so memory does not grow with the mail sent.
    """

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._arrival, self._message, self._verdict = (
            round_keys(seed, s) for s in (Stream.ARRIVAL, Stream.MESSAGE, Stream.VERDICT)
        )
        self._window_ticks = world.tables.ticks_before[world.destinations.profile, -1]
        self._first: list[list[Letter]] = []
        self._next: list[tuple[int, int]] = []
        self._draw_first_blocks()

    def of(self, destination: int) -> Iterator[Letter]:
        """Yield a destination's messages in the order of their arrival."""
        yield from self._first[destination]
        ordinal, ticks = self._next[destination]
        while ordinal >= 0:
            rows, start, after = (np.array([value], dtype=np.int64) for value in (destination, ordinal, ticks))
            [letters], [(ordinal, ticks)] = self._blocks(rows, start, after, self._wanted(rows, after))
            yield from letters

    def _draw_first_blocks(self) -> None:
        world = self._world
        count = len(world.destinations.key)
        if len(world.trace):
            self._first = self._letters_of_trace()
            self._next = [(-1, 0)] * count
            return
        rows, zero = np.arange(count), np.zeros(count, dtype=np.int64)
        self._first, self._next = self._blocks(rows, zero, zero, self._wanted(rows, zero))

    def _wanted(self, rows: Int64, after_ticks: Int64) -> Int64:
        """Return how many messages to draw next: what is expected to come and some more, so that sums stay small."""
        gap = self._world.destinations.gap_ticks[rows]
        expected = np.where(gap > 0, (self._window_ticks[rows] - after_ticks) / np.maximum(gap, 1), 0.0)
        wanted: Int64 = np.minimum(np.ceil(expected + 4 * np.sqrt(expected)) + (gap > 0), _BLOCK).astype(np.int64)
        return wanted

    def _blocks(
        self, rows: Int64, first_ordinal: Int64, after_ticks: Int64, wanted: Int64
    ) -> tuple[list[list[Letter]], list[tuple[int, int]]]:
        """Return, per destination, the letters of its next block and where the block after it starts (-1: nowhere)."""
        world = self._world
        stop = np.cumsum(wanted)
        start = stop - wanted
        owner = np.repeat(np.arange(len(rows)), wanted)
        ordinal = np.arange(len(owner)) - start[owner] + first_ordinal[owner]
        gap = world.destinations.gap_ticks[rows[owner]]
        word = words_of_many(self._arrival, world.destinations.key[rows[owner]], ordinal << NTH_BITS)[0]
        unit = quantiles_of_many(world.tables.gap, word)
        step = (gap >> UNIT_BITS) * unit + ((gap & ((1 << UNIT_BITS) - 1)) * unit >> UNIT_BITS)
        ticks = _running_sum(np.maximum(step, 1), start, wanted, owner) + after_ticks[owner]
        inside = ticks < self._window_ticks[rows[owner]]
        arrival = self._clock(rows[owner[inside]], ticks[inside])
        letters = self._letters(rows[owner[inside]], ordinal[inside], arrival)
        kept = np.bincount(owner[inside], minlength=len(rows))
        last = np.maximum(stop - 1, 0)
        goes_on = (wanted > 0) & (kept == wanted)
        following = [
            (int(o + n), int(ticks[at])) if more else (-1, 0)
            for o, n, at, more in zip(first_ordinal, wanted, last, goes_on, strict=True)
        ]
        return _split(letters, kept), following

    def _clock(self, destination: Int64, ticks: Int64) -> Int64:
        """Return when each destination's profile reaches so many ticks."""
        tables, profile = self._world.tables, self._world.destinations.profile[destination]
        arrival = np.empty(len(ticks), dtype=np.int64)
        for row, ticks_before in enumerate(tables.ticks_before):
            mine = profile == row
            arrival[mine] = _clock_of_many(ticks[mine], tables.knots_us, ticks_before)
        return arrival

    def _letters(
        self,
        destination: Int64,
        ordinal: Int64,
        arrival_us: Int64,
        size_bytes: Int64 | None = None,
        recipients: Int64 | None = None,
    ) -> list[Letter]:
        world = self._world
        d = world.destinations
        key = d.key[destination]
        size_word, recipient_word, refusal_word, pair_word = words_of_many(self._message, key, ordinal << NTH_BITS)
        accept_word = words_of_many(self._verdict, key, (ordinal << NTH_BITS) + 1)[0]
        if size_bytes is None or recipients is None:
            size_bytes = quantiles_of_many(world.tables.size_bytes, size_word)
            recipients = world.tables.recipients[
                np.searchsorted(world.tables.recipients_below, recipient_word, side="right")
            ]
        refusal = np.select(
            [
                refusal_word < d.persistent_4yz[destination],
                refusal_word < d.late_5yz[destination],
                refusal_word < d.first_4yz[destination],
                refusal_word < d.refused_5yz[destination],
            ],
            [PERSISTENT, LATE_REFUSED, TRANSIENT, REFUSED],
            ACCEPTED,
        )
        new_pair = (pair_word < d.new_pair[destination]).astype(np.int64)
        columns = (ordinal, arrival_us, size_bytes, recipients, refusal, new_pair, accept_word)
        return list(zip(*(c.tolist() for c in columns), strict=True))

    def _letters_of_trace(self) -> list[list[Letter]]:
        world = self._world
        count = np.diff(world.destinations.trace_start)
        destination = np.repeat(np.arange(len(count)), count)
        ordinal = np.arange(len(destination)) - world.destinations.trace_start[destination]
        arrival, size, recipients = world.trace.T
        inside = arrival < world.rules.window_us
        rows = (destination[inside], ordinal[inside], arrival[inside], size[inside], recipients[inside])
        return _split(self._letters(*rows), np.bincount(destination[inside], minlength=len(count)))


def _split(letters: list[Letter], counts: Int64) -> list[list[Letter]]:
    ends = np.cumsum(counts).tolist()
    return [letters[end - n : end] for end, n in zip(ends, counts.tolist(), strict=True)]


def _running_sum(step: Int64, start: Int64, wanted: Int64, owner: Int64) -> Int64:
    """Cumulative sum within each block of rows."""
    total = np.cumsum(step)
    before = np.where(wanted > 0, np.concatenate([[0], total])[start], 0)
    return np.asarray(total - before[owner], dtype=np.int64)


def _clock_of_many(ticks: Int64, knots_us: Int64, ticks_before: Int64) -> Int64:
    """Return :func:`sim.delivery.rules.clock_us` of many at once: the same numbers, row by row."""
    knot = np.searchsorted(ticks_before, ticks, side="right") - 1
    length_us, width = np.diff(knots_us)[knot], np.diff(ticks_before)[knot]
    inside = ticks - ticks_before[knot]
    upper, rest = np.divmod(inside * (length_us >> 16), width)
    lower = ((rest << 16) + inside * (length_us & 0xFFFF)) // width
    return np.asarray(knots_us[knot] + (upper << 16) + lower, dtype=np.int64)
