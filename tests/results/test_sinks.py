"""Sinks: nothing is lost, nothing depends on order, split or merging, nothing grows with the messages."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.results import CountSink, Labels, RecordSink
from sim.results.records import MESSAGE_COLUMNS
from sim.terms import Fate
from tests.results import rows

LABELS = rows.labels()


def filled(*batches: rows.Rows) -> CountSink:
    sink = CountSink(LABELS)
    for batch in batches:
        sink.messages(batch)
    return sink


def same(a: CountSink, b: CountSink) -> bool:
    left, right = a.state(), b.state()
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2**32)), min_size=2, max_size=5))
def test_merging_commutes_and_equals_one_sink(parts: list[tuple[int, int]]) -> None:
    def sink(part: tuple[int, int]) -> CountSink:
        made = filled(rows.messages(*part))
        made.connections(rows.connections(*part))
        return made

    forth, back, whole = CountSink(LABELS), CountSink(LABELS), CountSink(LABELS)
    for part in parts:
        forth.merge(sink(part))
        whole.messages(rows.messages(*part))
        whole.connections(rows.connections(*part))
    for part in reversed(parts):
        back.merge(sink(part))
    assert same(forth, back)
    assert same(forth, whole)


@given(st.lists(st.integers(0, 300), max_size=6), st.integers(0, 1000))
def test_neither_the_split_into_batches_nor_the_order_matters(cuts: list[int], seed: int) -> None:
    whole = rows.messages(300, seed)
    shuffled = np.random.default_rng(seed).permutation(whole)
    assert same(filled(whole), filled(*np.split(shuffled, sorted(cuts))))


def test_every_message_is_in_exactly_one_fate() -> None:
    batch = rows.messages(5_000, 1)
    sink = filled(batch)
    of = dict(zip(MESSAGE_COLUMNS, batch.T, strict=True))
    for fate in Fate:
        for destination in range(8):
            mine = (of["fate"] == fate) & (of["destination"] == destination)
            assert sink.sums["messages"][destination, fate] == mine.sum()
            assert sink.sums["recipients"][destination, fate] == of["recipients"][mine].sum()
    assert sink.sums["messages"].sum() == len(batch)
    assert sink.sums["deferral_events"].sum() == of["deferral_events"].sum()
    assert sink.sums["bounces"].sum() == (of["fate"] == Fate.BOUNCED).sum()
    assert sink.sums["reasons"].sum() == len(batch)
    assert sink.sums["bounce_reasons"].sum() == (of["fate"] == Fate.BOUNCED).sum()


def test_sums_of_delay_do_not_overflow() -> None:
    batch = np.repeat(rows.messages(1, 3), 100_000, axis=0)
    batch[:, MESSAGE_COLUMNS.index("fate")] = Fate.VERIFIED
    batch[:, MESSAGE_COLUMNS.index("arrival_us")] = 0
    delay = 3 * rows.DAY_US * 100
    batch[:, MESSAGE_COLUMNS.index("done_us")] = delay
    sink = CountSink(LABELS)
    sink.messages(batch)
    for _ in range(17):
        sink.merge(filled(*([] if _ else [batch])))
    big = CountSink(LABELS)
    big.merge(sink)
    for _ in range(20):
        copy = CountSink(LABELS)
        copy.merge(big)
        big.merge(copy)
    high, low = (int(big.sums[f"delay_{limb}"].sum()) for limb in ("high", "low"))
    assert (high << 32) + low == delay * 200_000 * 2**20 > 2**63
    assert 0 <= low < 2**32


def test_memory_does_not_grow_with_messages() -> None:
    sink = filled(rows.messages(20_000, 1))
    batches = [rows.messages(20_000, seed) for seed in range(2, 6)]
    sink.messages(batches[0])
    tracemalloc.start()
    for batch in batches * 5:
        sink.messages(batch)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 200_000


@pytest.mark.bench
def test_a_million_rows_a_second() -> None:
    batch = rows.messages(1 << 16, 1)
    sink = CountSink(LABELS)
    sink.messages(batch)
    begun = time.perf_counter()
    for _ in range(16):
        sink.messages(batch)
    assert 16 * len(batch) / (time.perf_counter() - begun) > 1e6


def test_records_come_back_sorted_whatever_the_order() -> None:
    batch = rows.messages(500, 1)
    one, two, other = RecordSink(LABELS), RecordSink(LABELS), RecordSink(LABELS)
    one.messages(batch)
    two.messages(batch[300:])
    other.messages(batch[:300])
    two.merge(other)
    assert np.array_equal(one.message_rows(), two.message_rows())
    assert same(one.counts, two.counts)
    sort = one.message_rows()[:, :2].tolist()
    assert sort == sorted(sort)
    assert one.connection_rows().shape == (0, 9)


def test_a_sink_copies_what_it_keeps() -> None:
    sink = RecordSink(LABELS)
    batch = rows.messages(10, 1)
    sink.messages(batch)
    before = sink.message_rows().copy()
    batch[:] = 0
    assert np.array_equal(sink.message_rows(), before)


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("destination", 8, r"destination = 8; allowed: 0\.\.7"),
        ("fate", 5, r"fate = 5; allowed: 0\.\.4"),
        ("reason", -1, r"reason = -1; allowed: 0\.\.18"),
        ("recipients", -1, r"recipients = -1; allowed: >= 0"),
        ("done_us", -1, r"done_us - arrival_us = 'negative'"),
    ],
)
def test_a_row_an_engine_must_not_emit_is_refused(column: str, value: int, told: str) -> None:
    batch = rows.messages(10, 1)
    batch[4, MESSAGE_COLUMNS.index(column)] = value
    sink = CountSink(LABELS)
    with pytest.raises(ValueError, match=told):
        sink.messages(batch)
    assert same(sink, CountSink(LABELS))


def test_rows_of_another_shape_are_refused() -> None:
    sink = CountSink(LABELS)
    with pytest.raises(ValueError, match=r"connections rows = 'int64 \(3, 15\)'; allowed: int64 \(n, 9\)"):
        sink.connections(rows.messages(3, 1))
    with pytest.raises(ValueError, match=r"messages rows = 'float64"):
        sink.messages(rows.messages(3, 1).astype(float))


def test_sinks_of_other_destinations_do_not_merge() -> None:
    assert CountSink(LABELS).merge(CountSink(rows.labels())) is not None
    with pytest.raises(ValueError, match="labels of the merged sink"):
        CountSink(LABELS).merge(CountSink(rows.labels(9)))


def test_labels_are_checked_and_frozen() -> None:
    with pytest.raises(ValueError, match=r"entry_of\[1\] = 7; allowed: 0\.\.0"):
        Labels(("a", "b"), ("p", "p"), ("(Default)",), np.array([0, 7]), np.array([0, 0]), (), np.array([]))
    with pytest.raises(ValueError, match=r"providers = 1; allowed: one a destination \(2\)"):
        Labels(("a", "b"), ("p",), ("(Default)",), np.array([0, 0]), np.array([0, 0]), (), np.array([]))
    with pytest.raises(ValueError, match="read-only"):
        LABELS.entry_of[0] = 1
