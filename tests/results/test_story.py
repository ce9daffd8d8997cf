"""The story of one message, told from its records."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import sim
from sim.errors import ScenarioError
from sim.policy.retry import HostRetry
from sim.results import CountSink, Labels, RecordSink, Result
from sim.results.story import clock, story
from sim.terms import Bounce, Fate, Outcome, Reason, Setting

NINE = 9 * 3_600
DAY = 86_400


def message(ordinal: int, arrival_s: float, done_s: float, fate: Fate, bounce: Bounce = Bounce.NONE) -> list[float]:
    return [0, ordinal, arrival_s * 1e6, done_s * 1e6, 1_000, 1, fate, bounce, Reason.NONE, 0, 1, 0, 0, 0, 0]


def connection(
    ordinal: int, opened_s: float, closed_s: float, established_s: float | None, outcome: Outcome, route: int = 0
) -> list[float]:
    established_us = -1 if established_s is None else established_s * 1e6
    reason = Reason.NONE if established_s is not None else Reason.STARTTLS_NOT_SUPPORTED
    carried = int(established_s is not None)
    return [0, ordinal, opened_s * 1e6, closed_s * 1e6, established_us, route, carried, outcome, reason]


def result(messages: list[list[float]], connections: list[list[float]]) -> Result:
    labels = Labels(
        domains=("a.example",), providers=("own",), entries=("(Default)",), entry_of=np.array([0]),
        setting_of=np.array([Setting.REQUIRED]), hosts=("mx1.a.example", "mx2.a.example"), route_host=np.array([0, 1]),
    )  # fmt: skip
    sink = RecordSink(labels)
    sink.messages(np.array(messages).astype(np.int64))
    sink.connections(np.array(connections).astype(np.int64).reshape(-1, 9))
    return Result(labels, sink)


def test_a_message_that_is_tried_again_and_delivered() -> None:
    failed = connection(1, NINE, NINE + 0.5, None, Outcome.NEXT_HOST, route=1)
    passed = connection(2, NINE + 60, NINE + 70, NINE + 60.25, Outcome.DELIVER_ENCRYPTED)
    told = story(result([message(0, NINE, NINE + 62, Fate.ENCRYPTED)], [passed, failed]), "a.example")
    assert told.reset_index().to_dict("records") == [
        {
            "connection": 1, "clock": "Mon 09:00:00", "opened_s": NINE, "took_s": 0.5, "mx_host": "mx2.a.example",
            "outcome": "not sent", "reason": "starttls-not-supported", "next": "again Mon 09:01:00, after 1 min",
        },
        {
            "connection": 2, "clock": "Mon 09:01:00", "opened_s": NINE + 60, "took_s": 0.25, "mx_host": "mx1.a.example",
            "outcome": "encrypted", "reason": "none", "next": "delivered Mon 09:01:02, encrypted, not verified",
        },
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fate", "bounce", "end"),
    [
        (Fate.BOUNCED, Bounce.EXPIRED_TIME, "bounced Thu 09:00:00 (expired: time in queue)"),
        (Fate.QUEUED, Bounce.NONE, "still queued when the run ended, Thu 09:00:00"),
        (Fate.IN_CLEAR, Bounce.NONE, "delivered Thu 09:00:00, in clear"),
    ],
)
def test_the_last_connection_is_followed_by_the_fate(fate: Fate, bounce: Bounce, end: str) -> None:
    failed = connection(1, NINE, NINE + 0.5, None, Outcome.NEXT_HOST)
    told = story(result([message(0, NINE, NINE + 3 * DAY, fate, bounce)], [failed]), "a.example")
    assert told["next"].tolist() == [end]


def test_only_connections_of_its_time_in_the_queue_are_told() -> None:
    """The one before, the one that opens at the instant it bounces, and those of other mail in between."""
    opened = (NINE - 60, NINE - 10, NINE + 5, NINE + 60)
    rows = [connection(i, at, at + 20, at + 1, Outcome.DELIVER_VERIFIED) for i, at in enumerate(opened, 1)]
    mail = [message(0, NINE - 60, NINE - 50, Fate.VERIFIED), message(1, NINE, NINE + 60, Fate.BOUNCED, Bounce.DNS)]
    told = story(result(mail, rows), "a.example", ordinal=1)
    assert told["opened_s"].tolist() == [NINE - 10, NINE + 5]


def test_a_message_that_met_no_connection_has_no_rows() -> None:
    told = story(result([message(0, 5, 6, Fate.QUEUED)], []), "a.example")
    assert told.empty
    assert list(told.columns) == ["clock", "opened_s", "took_s", "mx_host", "outcome", "reason", "next"]


def test_what_is_not_there_is_named() -> None:
    one = result([message(0, 5, 6, Fate.QUEUED)], [])
    with pytest.raises(ScenarioError, match=r"domain = 'b\.example'; allowed: a\.example\. Did you mean"):
        story(one, "b.example")
    with pytest.raises(ScenarioError, match=r"ordinal of a message to a\.example = 3; allowed: 0\.\.0"):
        story(one, "a.example", ordinal=3)
    with pytest.raises(ScenarioError, match="records=True"):
        story(Result(one.labels, CountSink(one.labels)), "a.example")


def test_clock_times() -> None:
    assert [clock(t) for t in (0, 59.999, DAY - 1, 7 * DAY)] == [
        "Mon 00:00:00", "Mon 00:00:59", "Mon 23:59:59", "Mon 00:00:00 of week 2",
    ]  # fmt: skip


def test_the_waits_of_a_simulated_message_are_those_of_the_schedule() -> None:
    population = sim.Population.custom([{"domain": "a.example", "hosts": [{"host": "mx", "not_offered_rate": 1.0}]}])
    mail = pd.DataFrame({"domain": ["a.example"], "time_s": NINE, "size_bytes": 1_000, "recipients": 1})
    scenario = sim.Scenario(population=population, workload=sim.Workload(trace=mail)).with_setting(Setting.REQUIRED)
    told = story(sim.simulate(scenario, records=True), "a.example")
    waits = HostRetry().waits_s()
    assert np.diff(told["opened_s"]).tolist() == [*waits, *[waits[-1]] * (len(told) - 1 - len(waits))]
    assert set(told["outcome"]) == {"not sent"}
    assert told["next"].iloc[-1] == "bounced Thu 09:03:00 (expired: time in queue)"
