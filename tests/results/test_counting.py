"""Counting in loops: the same counts, and the same words about rows that are wrong, as reducing with numpy."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sim import jit
from sim.results import CountSink, LogHistogram, RecordSink, counting, sinks
from sim.results.histogram import bin_of
from sim.results.records import CONNECTION_COLUMNS, MESSAGE_COLUMNS
from tests.results import rows

LABELS = rows.labels()
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
ODD = st.sampled_from([-(1 << 63), -1, 0, 1, 4, 5, 8, 100, 60_000_000 * 52_560_001, (1 << 63) - 1])

needs_numba = pytest.mark.skipif(not jit.available(), reason="needs numba")


def looping() -> CountSink:
    """Return a sink that counts in loops even where there is no compiler."""
    sink = CountSink(LABELS)
    sink.compiled = True
    return sink


def fault(sink: CountSink, kind: str, batch: rows.Rows) -> str | None:
    try:
        getattr(sink, kind)(batch)
    except ValueError as told:
        return str(told)
    return None


def assert_same(a: CountSink, b: CountSink) -> None:
    left, right = a.state(), b.state()
    assert left.keys() == right.keys()
    assert [name for name in left if not np.array_equal(left[name], right[name])] == []


def test_plain_loops_count_what_numpy_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "compiled_loops", lambda: counting.PLAIN)
    reduced, looped = CountSink(LABELS), looping()
    for seed in range(3):
        for sink in (reduced, looped):
            sink.messages(rows.messages(700, seed))
            sink.connections(rows.connections(300, seed))
    assert_same(reduced, looped)


@needs_numba
@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 2**32), st.booleans()), max_size=5))
def test_compiled_loops_count_what_numpy_counts(parts: list[tuple[int, int, bool]]) -> None:
    reduced, looped, merged = CountSink(LABELS), looping(), looping()
    for n, seed, queued in parts:
        other = looping()
        for sink in (reduced, looped, other):
            sink.messages(rows.messages(n, seed, queued=queued))
            sink.connections(rows.connections(n, seed))
        merged.merge(other)
    assert_same(reduced, looped)
    assert_same(reduced, merged)


@needs_numba
@settings(deadline=None, max_examples=300)
@given(st.data(), st.integers(0, 2**32))
def test_wrong_rows_are_refused_in_the_same_words(data: st.DataObject, seed: int) -> None:
    kind = data.draw(st.sampled_from(["messages", "connections"]))
    columns = MESSAGE_COLUMNS if kind == "messages" else CONNECTION_COLUMNS
    good = getattr(rows, kind)(20, seed)
    batch = good.copy()
    cells = st.tuples(st.integers(0, 19), st.integers(0, len(columns) - 1), ODD | INT64)
    for row, column, value in data.draw(st.lists(cells, min_size=1, max_size=3)):
        batch[row, column] = value
    reduced, looped = CountSink(LABELS), looping()
    with np.errstate(over="ignore"):
        assert fault(reduced, kind, batch) == fault(looped, kind, batch)
        assert_same(reduced, looped)
        # What a refused row was about to need leaves no trace.
        assert fault(reduced, kind, good) == fault(looped, kind, good)
        assert_same(reduced, looped)


@needs_numba
@pytest.mark.parametrize("column", MESSAGE_COLUMNS)
@pytest.mark.parametrize("value", [-(1 << 63), -1, (1 << 63) - 1])
def test_every_column_at_its_ends_is_taken_or_refused_alike(column: str, value: int) -> None:
    batch = rows.messages(10, 1)
    batch[4, MESSAGE_COLUMNS.index(column)] = value
    reduced, looped = CountSink(LABELS), looping()
    assert fault(reduced, "messages", batch) == fault(looped, "messages", batch)
    assert_same(reduced, looped)


@needs_numba
def test_rows_of_another_shape_or_layout() -> None:
    looped = looping()
    with pytest.raises(ValueError, match=r"messages rows = 'float64"):
        looped.messages(rows.messages(3, 1).astype(float))
    with pytest.raises(ValueError, match=r"connections rows = 'int64 \(3, 15\)'"):
        looped.connections(rows.messages(3, 1))
    batch = rows.messages(60, 1)
    frozen = batch[::2].copy()
    frozen.flags.writeable = False
    strided, reduced = looping(), CountSink(LABELS)
    looped.messages(frozen)
    strided.messages(np.asfortranarray(batch)[::2])
    reduced.messages(batch[::2])
    assert_same(looped, reduced)
    assert_same(strided, reduced)


@given(st.integers(0, (1 << 63) - 1))
@example(0)
@example(127)
@example(128)
@example((1 << 63) - 1)
def test_the_octave_of_a_duration_is_that_of_its_bin(value: int) -> None:
    octave = counting.octave_of(value)
    sub = (value >> max(octave - 1, 0)) & 127
    assert octave * 128 + sub == int(bin_of(np.array([value]))[0])


def test_without_a_compiler_counting_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "available", lambda: False)
    asked, reduced = CountSink(LABELS, compiled=True), CountSink(LABELS)
    for sink in (asked, reduced):
        sink.messages(rows.messages(50, 2))
    assert not asked.compiled
    assert_same(asked, reduced)


def test_counts_survive_a_process_boundary() -> None:
    sink = CountSink(LABELS)
    sink.messages(rows.messages(50, 2))
    copy: CountSink = pickle.loads(pickle.dumps(sink))
    copy.messages(rows.messages(50, 3))
    sink.messages(rows.messages(50, 3))
    assert_same(copy, sink)
    assert int(copy.sums["messages"].sum()) == 100


@needs_numba
def test_a_record_sink_counts_the_same_way() -> None:
    reduced, compiled = RecordSink(LABELS), RecordSink(LABELS, compiled=True)
    for sink in (reduced, compiled):
        sink.messages(rows.messages(80, 4))
    assert compiled.counts.compiled
    assert_same(reduced.counts, compiled.counts)


def test_a_destination_costs_about_600_bytes() -> None:
    sink = CountSink(rows.labels(1_000))
    assert (sink._sums.nbytes + sink._maxima.nbytes) / 1_000 <= 608


def test_a_histogram_of_many_groups_is_as_large_as_what_it_met() -> None:
    many = LogHistogram(10_000)
    many.add(np.arange(10_000), np.full(10_000, 5_000_000))
    blocks, counts = many.room
    assert blocks.nbytes <= 10_000 * 228
    assert counts.nbytes <= 2 * 10_000 * 1024
