"""A run's rows as load: held against the engine's own counts, and Little's law without a tolerance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.delivery.reference import Reference
from sim.delivery.world import World
from sim.results.load import RunLoad, busiest_hour
from sim.results.records import CONNECTION_COLUMNS, MESSAGE_COLUMNS
from sim.results.sinks import RecordSink
from sim.terms import Fate, Outcome, Reason
from tests.delivery.worlds import random_world, with_rules
from tests.results import rows

S = 1_000_000
SEEDS = st.integers(0, 2**32 - 1)


def ran(world: World, seed: int = 1) -> tuple[RunLoad, int]:
    sink = RecordSink(world.labels)
    facts = Reference(world, seed, sink).run()
    load = RunLoad(sink.message_rows(), sink.connection_rows(), world.labels, world.rules.window_us)
    return load, facts.peak_connections


@given(SEEDS)
def test_the_peak_of_connections_is_the_engine_s(seed: int) -> None:
    load, peak = ran(random_world(seed))
    assert load.in_use.peak()[0] == peak
    assert load.in_use.level.min(initial=0) >= 0
    assert int(load.in_use.at(load.end_us)) == 0


@given(SEEDS)
def test_the_queue_is_never_negative_and_ends_empty(seed: int) -> None:
    load, _ = ran(random_world(seed))
    assert load.queue.level.min(initial=0) >= 0
    assert int(load.queue.at(load.end_us)) == 0


@given(SEEDS)
def test_littles_law_holds_exactly(seed: int) -> None:
    """The integral of the queue is the sum of the sojourn times, microsecond for microsecond."""
    load, _ = ran(random_world(seed))
    of = load.of_message
    assert load.queue.integral(0, load.end_us) == int((of["done_us"] - of["arrival_us"]).sum())
    assert load.oldest.peak_age_s == (of["done_us"] - of["arrival_us"]).max() / S


@given(SEEDS, st.integers(1, 40))
def test_mail_that_is_left_when_a_run_is_cut_stays_in_the_queue(seed: int, until_s: int) -> None:
    load, _ = ran(with_rules(random_world(seed), until_us=until_s * S))
    left = int((load.of_message["fate"] == Fate.QUEUED).sum())
    assert int(load.queue.at(until_s * S)) == left
    if len(load.messages):
        frame = load.timeline(60.0)
        assert frame["queued_messages"].max() == load.queue.peak()[0]


def test_the_timeline_loses_no_peak_and_no_event() -> None:
    load = RunLoad(rows.messages(3_000, 4, queued=False), rows.connections(800, 4), rows.labels(), rows.DAY_US)
    frame = load.timeline(600.0)
    assert frame["queued_messages"].max() == load.queue.peak()[0]
    assert frame["connections_in_use"].max() == load.in_use.peak()[0]
    assert frame["oldest_s"].max() == pytest.approx(load.oldest.peak_age_s)
    assert frame["openings_per_s"].sum() * 600 == pytest.approx(800)
    assert frame["handshakes_per_s"].sum() * 600 == pytest.approx(load.handshakes_us.size)


def test_a_handshake_is_counted_where_a_row_shows_one() -> None:
    """(established, outcome, reason) of a row, and when its handshake ended."""
    cases = [
        (5, Outcome.DELIVER_ENCRYPTED, Reason.NONE, 5),
        (6, Outcome.DELIVER_VERIFIED, Reason.NONE, 6),
        (7, Outcome.DELIVER_CLEAR, Reason.NONE, None),
        (-1, Outcome.NEXT_HOST, Reason.CERTIFICATE_HOST_MISMATCH, 9),
        (-1, Outcome.NEXT_HOST, Reason.VALIDATION_FAILURE, 9),
        (-1, Outcome.NEXT_HOST, Reason.SESSION_LOST, None),
        (-1, Outcome.NEXT_HOST, Reason.STARTTLS_NOT_SUPPORTED, None),
        (-1, Outcome.RETRY, Reason.DNS_TEMPORARY, None),
    ]
    found = [[0, i, 1, 9, at, 0, 0, outcome, reason] for i, (at, outcome, reason, _) in enumerate(cases)]
    connections = np.array(found, dtype=np.int64)
    load = RunLoad(np.zeros((0, len(MESSAGE_COLUMNS)), dtype=np.int64), connections, rows.labels(), 10)
    assert connections.shape[1] == len(CONNECTION_COLUMNS)
    assert load.handshakes_us.tolist() == sorted(at for *_, at in cases if at is not None)


def test_the_load_of_some_destinations_is_theirs_alone() -> None:
    load = RunLoad(rows.messages(500, 1), rows.connections(300, 1), rows.labels(), rows.DAY_US)
    parts = [load.only(np.array([d])) for d in range(8)]
    assert sum(len(part.messages) for part in parts) == 500
    assert sum(len(part.connections) for part in parts) == 300
    assert all(set(part.of_message["destination"].tolist()) == {d} for d, part in enumerate(parts))


def test_measures_of_a_small_run() -> None:
    """Two messages: 10 s and 30 s in the queue, overlapping from 5 s to 10 s; one connection for 8 s."""
    labels = rows.labels(1)
    message = {"recipients": 2, "size_bytes": 100, "fate": int(Fate.ENCRYPTED)}
    table = [
        {**dict.fromkeys(MESSAGE_COLUMNS, 0), **message, "ordinal": i, "arrival_us": a * S, "done_us": d * S}
        for i, (a, d) in enumerate([(0, 10), (5, 35)])
    ]
    messages = np.array([list(row.values()) for row in table], dtype=np.int64)
    connections = np.array([[0, 1, 2 * S, 10 * S, 3 * S, 0, 2, Outcome.DELIVER_ENCRYPTED, 0]], dtype=np.int64)
    found = {m.name: m for m in RunLoad(messages, connections, labels, 40 * S).measures()}
    assert found["queue_messages_peak"].value == 2
    assert found["queue_messages_peak"].at_h == pytest.approx(5 / 3600)
    assert found["queue_messages_mean"].value == pytest.approx(40 / 40)
    assert found["queue_recipients_peak"].value == 4
    assert found["queue_bytes_peak"].value == 200
    assert found["oldest_age_peak_s"].value == 30
    assert found["connections_mean"].value == pytest.approx(8 / 40)
    assert found["handshakes_peak_per_s"].value == pytest.approx(1 / 60)
    assert (found["delay_p50_s"].value, found["delay_p99_s"].value) == (10, 30)
    assert found["deferred_share"].value == 0


def test_a_backlog_is_told_with_its_level_before_peak_and_end() -> None:
    """One message stays all the time; at 1 h five come, and one leaves every 10 s from then on."""
    labels, hour = rows.labels(1), 3_600
    stays = [(0, 3 * hour)] + [(hour, hour + 10 * (i + 1)) for i in range(5)]
    base = dict.fromkeys(MESSAGE_COLUMNS, 0)
    table = [{**base, "ordinal": i, "arrival_us": a * S, "done_us": d * S} for i, (a, d) in enumerate(stays)]
    messages = np.array([list(row.values()) for row in table], dtype=np.int64)
    connections = np.array([[0, 1, (hour + 1) * S, (hour + 2) * S, -1, 0, 0, 4, 3]], dtype=np.int64)
    load = RunLoad(messages, connections, labels, 3 * hour * S)
    drain = load.drain(hour * S, load.end_us + 1)
    assert (drain.level_before_messages, drain.peak_messages) == (1.0, 6)
    assert (drain.peak_s, drain.back_s, drain.drain_s) == (hour, hour + 50, 50)
    assert drain.departed_per_s == pytest.approx(0.1)
    assert drain.arrived_per_s == 0
    assert drain.opening_peak_per_s == pytest.approx(1 / 60)
    early = load.drain(hour * S, (hour + 30) * S)
    assert np.isnan(early.back_s)


def test_the_busiest_hour_is_a_clock_hour_over_all_runs() -> None:
    hour = 3_600 * S
    first, second = np.array([0, 1, hour]), np.array([hour, hour + 5])
    found, rate_per_s = busiest_hour([first, second])
    assert found == 1
    assert rate_per_s == pytest.approx(3 / 2 / 3_600)
    assert busiest_hour([np.zeros(0, dtype=np.int64)]) == (0, 0.0)
