"""The queue by destination and age, as qshape(1) has it: by hand, ages on the edges of the columns included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim.errors import ScenarioError
from sim.results.qshape import COLUMNS, qshape, qshape_text
from sim.results.records import MESSAGE_COLUMNS
from sim.terms import Fate
from tests.results import rows

S, MINUTE = 1_000_000, 60_000_000
AT_S = 3_000 * 60.0
LABELS = rows.labels(3)


def message(destination: int, age_us: int, left_us: int = 1, **others: Any) -> list[int]:
    """A message of this age that leaves so long after the time looked at."""
    at_us = round(AT_S * S)
    row = dict.fromkeys(MESSAGE_COLUMNS, 0) | {"destination": destination, "recipients": 1}
    return list((row | {"arrival_us": at_us - age_us, "done_us": at_us + left_us} | others).values())


def table(*messages: list[int]) -> Any:
    return np.array(messages, dtype=np.int64)


@pytest.mark.parametrize(
    ("age_us", "column"),
    [
        (0, "5"),
        (5 * MINUTE - 1, "5"),
        (5 * MINUTE, "10"),
        (10 * MINUTE - 1, "10"),
        (10 * MINUTE, "20"),
        (20 * MINUTE, "40"),
        (40 * MINUTE, "80"),
        (80 * MINUTE, "160"),
        (160 * MINUTE, "320"),
        (320 * MINUTE, "640"),
        (640 * MINUTE, "1280"),
        (1280 * MINUTE - 1, "1280"),
        (1280 * MINUTE, "1280+"),
        (2999 * MINUTE, "1280+"),
    ],
)
def test_an_age_on_an_edge_stands_in_the_next_column(age_us: int, column: str) -> None:
    frame = qshape(table(message(0, age_us)), LABELS, AT_S)
    assert list(frame.columns) == ["domain", *COLUMNS]
    [total, own] = frame.to_dict("records")
    assert (total["domain"], own["domain"]) == ("TOTAL", "d0.example")
    assert {name for name in COLUMNS if own[name]} == {"T", column}


MAIL = table(
    message(1, 6 * MINUTE, recipients=3),
    message(1, 7 * MINUTE, deferred=1),
    message(0, 1 * MINUTE),
    message(2, 30 * MINUTE, recipients=9, deferred=1),
    message(0, 9 * MINUTE, left_us=0, recipients=100),
    message(0, -1, recipients=100),
    message(2, 2000 * MINUTE, left_us=-5, fate=int(Fate.QUEUED), recipients=2),
)


def test_recipients_of_mail_that_is_there_by_falling_total() -> None:
    """What leaves at that time has left; what comes later has not come; what is never delivered stays."""
    frame = qshape(MAIL, LABELS, AT_S)
    assert frame["domain"].tolist() == ["TOTAL", "d2.example", "d1.example", "d0.example"]
    assert frame["T"].tolist() == [16, 11, 4, 1]
    assert frame["10"].tolist() == [4, 0, 4, 0]
    assert frame["1280+"].tolist() == [2, 2, 0, 0]
    assert (frame[list(COLUMNS[1:])].sum(axis=1) == frame["T"]).all()


def test_deferred_and_active_are_all() -> None:
    deferred, active = (qshape(MAIL, LABELS, AT_S, what) for what in ("deferred", "active"))
    assert deferred["T"].tolist() == [10, 9, 1]
    assert active["T"].tolist() == [6, 3, 2, 1]


def test_an_empty_queue_has_a_total_all_the_same() -> None:
    frame = qshape(MAIL, LABELS, 0.0)
    assert frame["T"].tolist() == [0]
    assert qshape_text(frame).splitlines()[1].split() == ["TOTAL", *["0"] * 11]


def test_the_text_has_the_layout_of_qshape() -> None:
    lines = qshape_text(qshape(MAIL, LABELS, AT_S)).splitlines()
    assert lines[0].split() == list(COLUMNS)
    assert all(len(line) == 80 for line in lines)
    assert lines[1] == " " * 34 + "TOTAL 16  1  4  0  9  0   0   0   0    0     2"
    assert len(qshape_text(qshape(MAIL, LABELS, AT_S), rows=1).splitlines()) == 3


def test_a_long_name_is_cut_at_its_front() -> None:
    labels = rows.labels(1)
    object.__setattr__(labels, "domains", (f"{'a' * 50}.end.example",))
    line = qshape_text(qshape(table(message(0, 0)), labels, AT_S)).splitlines()[2]
    assert len(line) == 80
    assert line.startswith("+a")
    assert ".end.example  1" in line


def test_another_queue_or_time_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"what = 'defered'; allowed: all, deferred, active\. Did you mean"):
        qshape(MAIL, LABELS, AT_S, "defered")
    with pytest.raises(ScenarioError, match="at_s = -1"):
        qshape(MAIL, LABELS, -1.0)


@pytest.mark.parametrize("at_s", ["x", None, True, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(at_s: object) -> None:
    with pytest.raises(ScenarioError, match=r"at_s = .*; allowed: seconds from the start"):
        qshape(MAIL, LABELS, at_s)  # type: ignore[arg-type]
