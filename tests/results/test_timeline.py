"""The timeline: levels follow from flows, whatever the interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import ScenarioError
from sim.results import CountSink
from sim.results.records import CONNECTION_COLUMNS, MESSAGE_COLUMNS
from sim.results.timeline import interval_minutes, timeline
from sim.terms import Fate
from tests.results import rows

LABELS = rows.labels()


@pytest.mark.parametrize(
    ("interval", "minutes"),
    [("5min", 5), ("1h", 60), ("1 day", 1440), ("h", 60), ("90 s", None), (300, 5), (3600.0, 60), ("0.5h", 30),
     ("0min", None), (61, None), ("-5min", None), ("soon", None), ("", None), (float("nan"), None), ("600", 10)],
)  # fmt: skip
def test_intervals_are_whole_minutes_or_an_error(interval: str | float, minutes: int | None) -> None:
    if minutes is not None:
        assert interval_minutes(interval) == minutes
        return
    with pytest.raises(ScenarioError, match=r"interval = .*; allowed: a positive multiple of 1 min"):
        interval_minutes(interval)


@given(st.integers(0, 200), st.integers(0, 10**6), st.sampled_from([1, 5, 60, 7, 1440]))
def test_the_queue_is_what_came_and_has_not_left(n: int, seed: int, step: int) -> None:
    batch = rows.messages(n, seed)
    sink = CountSink(LABELS)
    sink.messages(batch)
    frame = timeline(sink.minutes, step * 60)
    of = dict(zip(MESSAGE_COLUMNS, batch.T, strict=True))
    left_us = np.where(of["fate"] == Fate.QUEUED, np.iinfo(np.int64).max, of["done_us"])
    for end_h, messages, size in zip(frame["time_h"], frame["queued_messages"], frame["queued_bytes"], strict=True):
        end_us = round(end_h * 3600e6)
        waits = (of["arrival_us"] < end_us) & (left_us >= end_us)
        assert waits.sum() == messages
        assert of["size_bytes"][waits].sum() == size
    total = frame[["injected_messages", "delivered_messages", "bounced_messages"]].sum()
    assert total["injected_messages"] == n
    assert n == total["delivered_messages"] + total["bounced_messages"] + (of["fate"] == Fate.QUEUED).sum()


def test_connections_open_counts_openings_less_closings() -> None:
    batch = rows.connections(500, 2)
    sink = CountSink(LABELS)
    sink.connections(batch)
    frame = timeline(sink.minutes, "1h", horizon_s=30 * 3600)
    of = dict(zip(CONNECTION_COLUMNS, batch.T, strict=True))
    assert len(frame) == 30
    assert frame["connections_open"].iloc[-1] == (of["closed_us"] < 0).sum() > 0
    assert frame["connections_opened"].sum() == 500


def test_an_event_at_a_full_minute_belongs_to_the_minute_that_begins() -> None:
    batch = rows.messages(1, 1)
    batch[0, MESSAGE_COLUMNS.index("arrival_us")] = 60_000_000
    batch[0, MESSAGE_COLUMNS.index("done_us")] = 60_000_000
    sink = CountSink(LABELS)
    sink.messages(batch)
    assert timeline(sink.minutes, "1min")["injected_messages"].tolist() == [0, 1]


def test_a_time_out_of_this_world_is_refused_and_asks_for_no_memory() -> None:
    batch = rows.messages(1, 1)
    batch[0, 2] = batch[0, 3] = 2**62
    with pytest.raises(ValueError, match=r"time = .*allowed: 0\.\."):
        CountSink(LABELS).messages(batch)


def test_an_empty_run_has_an_empty_timeline_of_the_horizon() -> None:
    assert len(timeline(CountSink(LABELS).minutes, "1h")) == 0
    assert timeline(CountSink(LABELS).minutes, "1h", 7200)["queued_messages"].tolist() == [0, 0]
