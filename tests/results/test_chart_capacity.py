"""The chart of a capacity planner: panels, units, marks, and bytes that repeat."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.text import Text

from sim.results import chart_capacity
from sim.results.chart_style import render
from sim.results.load import RunLoad
from tests.results import rows


def timeline(hours: float = 24.0) -> pd.DataFrame:
    load = RunLoad(rows.messages(800, 2), rows.connections(400, 2), rows.labels(), rows.DAY_US)
    return load.timeline(600.0, round(hours * 3.6e9))


def texts(figure: object) -> str:
    return " | ".join(t.get_text().replace("\n", " ").replace("\N{NO-BREAK SPACE}", " ") for t in figure.findobj(Text))  # type: ignore[attr-defined]


def test_the_panels_share_the_hours_and_name_their_units() -> None:
    figure = chart_capacity.capacity(timeline(), caption="One run.", title="The finding", left="3 messages wait on.")
    assert len(figure.axes) == 5
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    told = texts(figure)
    for words in ("The finding", "messages in the queue", "connections in use", "TLS handshakes per second", "hours",
                  "hours from the start", "the highest in each interval of 10 min", "3 messages wait on."):  # fmt: skip
        assert words in told
    assert min(float(t.get_fontsize()) for t in figure.findobj(Text) if t.get_text()) >= 8


def test_marks_are_named_and_cross_every_panel() -> None:
    plain = chart_capacity.capacity(timeline(), title="x")
    marked = chart_capacity.capacity(timeline(), [(2.0, "outage begins"), (3.0, "outage ends")], title="x")
    assert "outage begins" in texts(marked)
    for before, after in zip(plain.axes, marked.axes, strict=True):
        assert len(after.lines) == len(before.lines) + 2


@pytest.mark.parametrize(("oldest_s", "unit"), [(30.0, "seconds"), (3_000.0, "minutes"), (9_000.0, "hours")])
def test_ages_are_in_the_unit_people_think_in(oldest_s: float, unit: str) -> None:
    frame = timeline().assign(oldest_s=oldest_s)
    assert f"age of the oldest message in the queue, {unit}" in texts(chart_capacity.capacity(frame, title="x"))


def test_what_never_happened_is_said_and_not_drawn() -> None:
    figure = chart_capacity.capacity(timeline().assign(handshakes_per_s=0.0), title="x")
    assert len(figure.axes) == 4
    assert "No TLS handshakes at any time." in texts(figure)


def test_bytes_repeat() -> None:
    first, second = (render(chart_capacity.capacity(timeline(), title="x"), "png") for _ in range(2))
    assert first == second
