"""The parts of the compiled engine, each against something plainer: a heap, a level, a tree, draws."""

from __future__ import annotations

import heapq
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim import jit
from sim.delivery import draws, level
from sim.delivery.draws import Stream, round_keys
from sim.delivery.kernel import heaps
from sim.delivery.kernel.packed import FAR_US, NODE, NOWHERE, QUEUE, keys_of, records
from sim.delivery.kernel.together import _settle, plant
from sim.delivery.level import OpenConnections
from sim.results import counting
from sim.results.histogram import SUB_BITS

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
COMPILED = pytest.param(True, marks=pytest.mark.skipif(not jit.available(), reason="needs numba"), id="compiled")
MODES = pytest.mark.parametrize("compiled", [pytest.param(False, id="plain"), COMPILED])
_made: dict[str, Any] = {}


def function(module: Any, name: str, *, compiled: bool) -> Any:
    """Return a function as it is, or compiled with all it calls."""
    if not compiled:
        return getattr(module, name)
    if name not in _made:
        from sim.delivery.compiled import compiled_kernel

        compiled_kernel()  # registers what it calls
        _made[name] = jit.compiled(getattr(module, name))
    return _made[name]


# --- heaps

STEP = st.one_of(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 2)), st.integers(0, 2))


@MODES
@given(st.lists(STEP, max_size=80))
def test_pairing_heaps_give_what_heapq_gives(compiled: bool, steps: list[Any]) -> None:
    """Three heaps share their nodes, which are used again; a step pushes (time, order) to a heap, or pops one."""
    push, pop = (function(heaps, name, compiled=compiled) for name in ("push", "pop"))
    nodes = records(NODE, len(steps) + 1)
    roots, plain = [NOWHERE] * 3, [[] for _ in range(3)]  # type: tuple[list[int], list[list[tuple[int, int, int]]]]
    free = list(range(len(steps)))
    for step in steps:
        if isinstance(step, tuple):
            time_us, order, heap = step
            node = free.pop()
            # Orders differ within a heap, as ordinals do.
            order = order * len(nodes) + node
            roots[heap] = push(nodes, roots[heap], node, time_us, order)
            heapq.heappush(plain[heap], (time_us, order, node))
        elif plain[step]:
            time_us, order, node = heapq.heappop(plain[step])
            top = nodes[roots[step]]
            assert (top.time_us, top.order, roots[step]) == (time_us, order, node)
            roots[step] = pop(nodes, roots[step])
            free.append(node)
        assert [root == NOWHERE for root in roots] == [not heap for heap in plain]


# --- numbers


@MODES
@given(st.integers(0, (1 << 63) - 1) | st.integers(0, 1 << 10))
def test_an_octave_is_the_bits_beyond_those_of_a_sub_bin(compiled: bool, value_us: int) -> None:
    assert function(counting, "octave_of", compiled=compiled)(value_us) == (value_us >> SUB_BITS).bit_length()


# --- draws


@MODES
@given(st.integers(0, (1 << 63) - 1), st.sampled_from(list(Stream)), INT64, INT64)
def test_compiled_words_are_those_of_the_reference(
    compiled: bool, seed: int, stream: Stream, who: int, nth: int
) -> None:
    streams = [round_keys(seed, each) for each in Stream]
    number = list(Stream).index(stream)
    drawn = function(draws, "compiled_words", compiled=compiled)
    with np.errstate(over="ignore"):
        found = drawn(keys_of(streams), number, np.int64(who), np.int64(nth))
    assert tuple(map(int, found)) == draws.words(streams[number], who, nth)


# --- connections that are open at once


def most_at_once(windows: list[list[tuple[int, int]]]) -> tuple[int, int]:
    """Return the peak and the last level: what closes at an instant is closed before what opens at it."""
    open_now = peak = 0
    for window in windows:
        for _, change in sorted(window):
            open_now += change
            peak = max(peak, open_now)
    return peak, open_now


@given(
    st.integers(0, 10_000), st.sampled_from([1, 5, 300, 1 << 40]), st.integers(1, 6), st.sampled_from([1, 4, 1 << 12])
)
def test_the_most_open_connections_are_those_of_a_count_one_by_one(
    seed: int, span_us: int, count: int, a_part: int
) -> None:
    """Connections in windows of time, many of which open and close at one instant, in any order within a window."""
    rng = np.random.default_rng(seed)
    opened = rng.integers(0, span_us, int(rng.integers(0, 60)))
    # A connection is open for at least a microsecond, or it would close before it opens.
    closed = opened + rng.integers(1, 1 + max(1, span_us // 2), len(opened))
    edges = np.linspace(0, 2 * span_us + 2, count + 1).astype(np.int64)
    followed = OpenConnections()
    windows = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(level, "_OPENINGS_A_PART", a_part)
        for begins, ends in pairwise(edges.tolist()):
            opens, closes = (t[(t >= begins) & (t < ends)] for t in (opened, closed))
            followed.add(rng.permutation(opens), rng.permutation(closes))
            windows.append([*((t, 1) for t in opens.tolist()), *((t, -1) for t in closes.tolist())])
            assert (followed.peak, followed.level) == most_at_once(windows)


# --- the tournament of destinations


@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.lists(st.tuples(st.integers(0, 19), st.integers(0, 9))))
def test_the_earliest_destination_wins_and_of_equal_ones_the_first(
    times: list[int], later: list[tuple[int, int]]
) -> None:
    queues = records(QUEUE, len(times))
    for name in ("phase_us", "window_us", "expiry_us", "timer_us"):
        queues[name] = FAR_US
    queues["events"] = queues["timers"] = NOWHERE
    queues["arrival_us"] = times
    leaves = 1 << max(1, (len(times) - 1).bit_length())
    due_us, tree = np.empty(leaves, dtype=np.int64), np.empty(2 * leaves, dtype=np.int64)
    nodes = SimpleNamespace()  # no queue has one
    plant(queues, nodes, nodes, due_us, tree)
    assert tree[1] == np.argmin(queues["arrival_us"])
    for d, time_us in later:
        place = d % len(times)
        queues[place].arrival_us = time_us
        _settle(queues[place], nodes, nodes, due_us, tree, place)
        assert tree[1] == np.argmin(queues["arrival_us"])
