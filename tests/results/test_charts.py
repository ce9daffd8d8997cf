"""Charts: what they must show, and bytes that repeat. How they look is for eyes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text

from sim.errors import OutputError
from sim.results import CountSink, Result, charts
from sim.results.chart_style import WIDTH, spread, text_width, wrap
from sim.results.tables import fates_frame
from sim.terms import Fate, Outcome
from tests.results import rows

LONG = "Donaudampfschifffahrtsgesellschaftskapitaenssetting"
EXTREMES: list[tuple[str, str, list[float]]] = [
    ("No", "", [0.999, 0, 0, 0.001, 0]),
    ("Preferred", "", [0.001, 0.998, 0, 0.001, 0]),
    ("Preferred - Verify", "literal", [0.05, 0.001, 0.9, 0.03, 0.019]),
    ("Preferred - Verify", "a failed handshake waits for the next attempt", [0.001, 0.05, 0.9, 0.03, 0.019]),
    ("Required - Verify Hosted Domains", "", [0, 0, 0, 0.6, 0.4]),
    (LONG, "", [0, 0, 0.0004, 0.9996, 0]),
]


def fates(replications: int = 5, spread_by: float = 0.004) -> pd.DataFrame:
    rng = np.random.default_rng(3)

    def totals(share: list[float]) -> dict[str, float]:
        moved = np.array(share) * (1 + rng.normal(0, spread_by, 5))
        moved /= moved.sum()
        counted = {f"{fate.key}_share": float(moved[fate]) for fate in Fate}
        counted |= {f"{fate.key}_messages": float(moved[fate]) * 1000 for fate in Fate}
        delays = [np.nan] * 3 if share[:3] == [0, 0, 0] else [1.3, 9.0, 5_000 * share[3] + 1]
        deferred = abs(rng.normal(share[3], spread_by))
        return (
            counted
            | dict(zip(["delay_p50_s", "delay_p95_s", "delay_p99_s"], delays, strict=True))
            | {"deferred_share": deferred}
        )

    return fates_frame([(s, r, [totals(share) for _ in range(replications)]) for s, r, share in EXTREMES])


@pytest.fixture(scope="module")
def result() -> Result:
    labels = rows.labels()
    sink = CountSink(labels)
    sink.messages(rows.messages(5_000, 5))
    sink.connections(rows.connections(500, 5))
    return Result(labels, sink, {"seed": 4, "days": 1, "population": "made up"})


def texts(figure: Figure) -> list[Text]:
    """Every text that is drawn: matplotlib keeps labels of ticks outside the view and draws none of them."""
    figure.draw_without_rendering()
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            hidden |= {id(tick.label1) for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    return [item for item in figure.findobj(Text) if item.get_visible() and id(item) not in hidden and item.get_text()]


def all_charts(result: Result) -> dict[str, Figure]:
    events = [(9.0, "outage begins"), (9.1, "policy changed: Required"), (23.0, "the first message expires here")]
    one_curve = pd.DataFrame({"curve": "a", "time_s": [0, 1], "undelivered_share": [1, 0.1]})
    return {
        "fates": charts.fates(fates(), caption="c"),
        "one": charts.fates(fates(1)),
        "run": result.plot.fates(),
        "queue": result.plot.queue("1h", events),
        "delay": result.plot.delay(),
        "linear": charts.delay(one_curve, log_share=False),
        "matrix": charts.decision_matrix([["clear", "retry later?"]], ["No"], ["offered", "not"], title="t"),
    }  # fmt: skip


def test_text_is_large_enough_and_inside_the_sheet(result: Result) -> None:
    for name, figure in all_charts(result).items():
        assert figure.get_figwidth() == WIDTH
        box = figure.bbox
        for item in texts(figure):
            assert float(item.get_fontsize()) >= 8, (name, item.get_text())
            extent = item.get_window_extent()
            assert extent.x0 >= box.x0 - 1, (name, item.get_text())
            assert extent.x1 <= box.x1 + 1, (name, item.get_text())
            assert extent.y0 >= box.y0 - 1, (name, item.get_text())


def test_no_two_texts_overlap(result: Result) -> None:
    for name, figure in all_charts(result).items():
        boxes = [(item.get_text(), item.get_window_extent()) for item in texts(figure)]
        for i, (text, box) in enumerate(boxes):
            for other, there in boxes[i + 1 :]:
                over_x = min(box.x1, there.x1) - max(box.x0, there.x0)
                over_y = min(box.y1, there.y1) - max(box.y0, there.y0)
                assert over_x <= 1 or over_y <= 2, (name, text, other)


def test_titles_stand_left_and_state_the_finding(result: Result) -> None:
    for figure in all_charts(result).values():
        assert figure._suptitle is not None  # type: ignore[attr-defined]
        assert figure._suptitle.get_ha() == "left"  # type: ignore[attr-defined]
    title = result.plot.fates().get_suptitle().replace("\N{NO-BREAK SPACE}", " ")
    assert title.startswith("All mail: 9.8 % in clear; ")


def test_fates_add_up_and_have_their_colours() -> None:
    axes = charts.fates(fates()).axes[0]
    by_row: dict[float, float] = {}
    for bar in axes.patches:
        by_row[bar.get_y()] = by_row.get(bar.get_y(), 0) + bar.get_width()  # type: ignore[attr-defined]
    assert len(by_row) == len(EXTREMES)
    assert list(by_row.values()) == pytest.approx([100] * len(EXTREMES))
    colours = {mpl.colors.to_hex(bar.get_facecolor()).upper() for bar in axes.patches}
    assert colours == {colour.upper() for colour in charts.FATE_COLOURS.values()}


def test_whiskers_are_drawn_for_intervals_that_show_and_noted_where_they_do_not() -> None:
    def note(figure: Figure) -> str:
        return " ".join(item.get_text().replace("\n", " ") for item in figure.texts)

    wide = charts.fates(fates(spread_by=0.2))
    assert wide.axes[0].lines
    assert "Whiskers: interval" in note(wide)
    one = charts.fates(fates(1))
    assert not one.axes[0].lines
    assert "Whiskers" not in note(one)
    narrow = charts.fates(fates(spread_by=1e-6))
    assert not narrow.axes[0].lines
    assert "narrower than the line" in note(narrow)


def test_the_chart_of_the_delay_says_that_the_tables_speak_of_delivered_mail_alone(result: Result) -> None:
    figure = result.plot.delay()
    note = " ".join(item.get_text().replace("\n", " ") for item in figure.texts)
    assert "p50, p95 and p99 of the tables are of delivered mail alone" in note
    assert figure.axes[0].get_ylabel().startswith("share of injected mail still undelivered")


def test_nothing_delivered_has_no_delay() -> None:
    assert "none delivered" in [item.get_text() for item in charts.fates(fates()).axes[2].texts]


def test_settings_with_readings_have_a_bar_each() -> None:
    labels = [label.get_text().replace("\n", " ") for label in charts.fates(fates()).axes[0].get_yticklabels()]
    assert labels[2] == "Preferred - Verify (literal)"
    assert labels[3].startswith("Preferred - Verify (a failed")
    assert labels[5].endswith("…")


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_bytes_repeat_and_do_not_depend_on_the_process(result: Result, kind: str, tmp_path: Path) -> None:
    first = charts.save(result.plot.fates(), tmp_path / f"a.{kind}").read_bytes()
    with mpl.rc_context({"font.size": 20, "svg.hashsalt": "other", "axes.grid": True, "savefig.bbox": "tight"}):
        second = charts.save(result.plot.fates(), tmp_path / f"b.{kind}").read_bytes()
    figure = result.plot.fates()
    charts.render(figure, "png")
    third = charts.render(figure, kind)
    assert first == second == third
    assert b"Date" not in first
    assert {path.name for path in tmp_path.iterdir()} == {f"a.{kind}", f"b.{kind}"}


def test_a_chart_shows_itself_in_a_notebook(result: Result) -> None:
    figure = result.plot.queue("1h")
    assert isinstance(figure, charts.Chart)
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_other_files_than_png_and_svg_are_refused(result: Result, tmp_path: Path) -> None:
    figure = result.plot.delay()
    with pytest.raises(OutputError, match=r"a name that ends in \.png or \.svg"):
        charts.save(figure, tmp_path / "chart.jpeg")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"file.*chart\.png"):
        charts.save(figure, tmp_path / "file" / "chart.png")


def test_charts_leave_pyplot_and_its_settings_alone() -> None:
    code = (
        "import sys, matplotlib as m; before = dict(m.rcParams)\n"
        "from sim.results import charts\n"
        "f = charts.decision_matrix([['clear']], ['No'], ['x'], title='t'); charts.render(f, 'svg')\n"
        "assert 'matplotlib.pyplot' not in sys.modules and dict(m.rcParams) == before"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert ran.returncode == 0, ran.stderr


def test_a_wide_table_is_turned_and_unsettled_cells_are_marked() -> None:
    words = [["reconnect in clear"] * 15, ["verified?"] * 15]
    figure = charts.decision_matrix(words, ["r1", "r2"], [f"column {i}" for i in range(15)], title="t")
    cells = figure.axes[0].texts
    assert len(cells) == 30
    assert figure.axes[0].get_xlim() == (0, 2)
    assert sum(cell.get_fontweight() == "bold" for cell in cells) == 15
    with pytest.raises(ValueError, match="shape of the table"):
        charts.decision_matrix(words, ["r1"], ["c"], title="t")
    with pytest.raises(ValueError, match="fate = 'purple'"):
        charts.decision_matrix([["x"]], ["r"], ["c"], [["purple"]], title="t")


@pytest.mark.parametrize(
    ("word", "fate"),
    [
        ("clear", Fate.IN_CLEAR),
        ("in clear", Fate.IN_CLEAR),
        ("reconnect in clear ?", Fate.IN_CLEAR),
        ("encrypted, not verified", Fate.ENCRYPTED),
        ("encrypted, not verified ?", Fate.ENCRYPTED),
        ("encrypted and verified", Fate.VERIFIED),
        ("verified", Fate.VERIFIED),
        ("bounce all ?", Fate.BOUNCED),
        ("still queued", Fate.QUEUED),
    ],
)
def test_a_word_has_the_colour_of_its_fate(word: str, fate: Fate) -> None:
    (cell,) = charts.decision_matrix([[word]], ["r"], ["c"], title="t").axes[0].patches[:1]
    assert mpl.colors.to_hex(cell.get_facecolor()).upper() == charts.FATE_COLOURS[fate].upper()


@pytest.mark.parametrize("label", [*(outcome.label for outcome in Outcome), *(fate.label for fate in Fate)])
@pytest.mark.parametrize("columns", [6, 8])
def test_a_word_with_a_question_mark_stays_inside_its_cell(label: str, columns: int) -> None:
    """A bold word is wider than the same word in normal weight; its mark never stands alone on a line."""
    words = [[f"{label} ?"] * columns]
    figure = charts.decision_matrix(words, ["handshake failed"], ["c"] * columns, title="t", transpose=False)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    for text, cell in zip(axes.texts, axes.patches[::2], strict=True):
        assert "\n?" not in text.get_text()
        assert "…" not in text.get_text()
        inside, around = text.get_window_extent(), cell.get_window_extent()
        assert around.x0 < inside.x0
        assert inside.x1 < around.x1
        assert around.y0 < inside.y0
        assert inside.y1 < around.y1


def drawn(figure: Figure) -> set[str]:
    return {item.get_text() for item in texts(figure)}


def test_the_queue_chart_marks_the_timeline_of_the_run_unless_told_otherwise(result: Result) -> None:
    events = [
        {"label": "outage of x", "at_h": 2.0, "for_h": 3.0},
        {"label": "after the end", "at_h": 9e4, "for_h": None},
    ]
    marked = Result(result.labels, result.counts, result.meta | {"timeline": events})
    told = drawn(marked.plot.queue("1h"))
    assert {"outage of x", "end of outage of x"} < told
    assert "after the end" not in told
    assert not {"outage of x", "end of outage of x"} & drawn(marked.plot.queue("1h", events=()))


def test_exposed_mail_is_a_strip_of_its_share_in_the_attackers_colour() -> None:
    half = {f"{fate.key}_{what}": 0.5 * (fate < 2) for fate in Fate for what in ("share", "messages")}
    half |= {"deferred_share": 0.0, "delay_p50_s": 1.0, "delay_p95_s": 2.0, "delay_p99_s": 3.0}

    def strips(exposed: float) -> list[float]:
        case = ("Preferred", "", [half | {"exposed_share": exposed}])
        figure = charts.fates(fates_frame([case]))
        assert ("exposed" in drawn(figure)) == (exposed > 0)
        colour = to_rgba(charts.ATTACKER_COLOUR)
        return [patch.get_width() for patch in figure.axes[0].patches if patch.get_facecolor() == colour]  # type: ignore[attr-defined]

    assert strips(0.0) == []
    assert strips(0.25) == [pytest.approx(25)]
    # So thin that it could not be seen: as wide as can be.
    [thin] = strips(1e-6)
    assert 1e-4 < thin < 1.5


def test_the_queue_chart_shows_connections_opened_not_those_that_happen_to_be_open(result: Result) -> None:
    timeline = result.timeline("1h")
    figure = charts.queue(timeline)
    assert "connections opened per hour" in [item.get_text() for item in figure.texts]
    (steps,) = figure.axes[-1].patches
    assert steps.get_data()[0].tolist() == timeline["connections_opened"].tolist()  # type: ignore[attr-defined]
    assert timeline["connections_opened"].sum() == 500
    none = charts.queue(timeline.assign(connections_opened=0))
    assert len(none.axes) == len(figure.axes) - 1
    assert any("No connection was opened." in item.get_text() for item in none.texts)


def test_lines_wrap_within_their_width_and_keep_a_number_with_its_unit() -> None:
    lines = wrap("Required keeps all mail out of the clear and bounces 9.8 %, against 9.1 % under No", 1.5)
    assert all(text_width(line) <= 1.5 for line in lines)
    assert not any(line.startswith("%") for line in lines)
    assert wrap(LONG, 1.0)[0].endswith("…")


def test_labels_are_moved_apart() -> None:
    assert spread([1.0, 1.0, 1.05], 0.2, 0, 10) == pytest.approx([1.0, 1.2, 1.4])
    assert spread([9.9, 10.0], 0.2, 0, 10) == pytest.approx([9.8, 10.0])
