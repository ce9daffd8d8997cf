"""The chart of retry clocks: a row a sender, every try, the bounce, texts that stay apart."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sim.results import charts
from sim.results.chart_retries import retry_clocks
from sim.results.chart_style import FATE_COLOURS, WIDTH
from sim.terms import Fate
from tests.results.test_charts import texts

LONG = "A sender whose name goes on and on until there is no room for it"


def clocks(**tries: list[float]) -> pd.DataFrame:
    rows = [
        {"sender": name.replace("_", " "), "age_s": at, "what": "try"} for name, ages in tries.items() for at in ages
    ]
    ends = [{"sender": name.replace("_", " "), "age_s": ages[-1], "what": "bounce"} for name, ages in tries.items()]
    return pd.DataFrame([*rows, *ends])


MANY = clocks(
    **{f"sender_{n}": [0.0, *(60.0 * (n + 1) * 2**k for k in range(12))] for n in range(16)},
    once=[0.0],
    **{LONG.replace(" ", "_"): [0.0, 300.0]},
)

#: Messages that are delivered in the end.
ENDED = pd.DataFrame(
    [("soon", 0.0, "in clear"), ("late", 0.0, "try"), ("late", 60.0, "try"), ("late", 300.0, "in clear"),
     ("well", 0.0, "encrypted, not verified")],
    columns=["sender", "age_s", "what"],
)  # fmt: skip


def test_rows_go_by_their_bounce_and_have_every_try_but_the_first() -> None:
    figure = retry_clocks(clocks(late=[0, 100, 1e6], early=[0, 60, 600]))
    lines = [line.get_xydata() for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [np.asarray(xy)[:, 0].tolist() for xy in lines] == [[60, 600], [100, 1e6]]
    title = figure.get_suptitle().replace("\n", " ").replace("\N{NO-BREAK SPACE}", " ")
    found = "A message that never passes bounces after 10 min (early) to 12 days (late), and is tried"
    assert title == f"{found} 3 times until then"
    more = retry_clocks(clocks(late=[0, 100, 1e6], early=[0, 600])).get_suptitle().replace("\n", " ")
    assert more.replace("\N{NO-BREAK SPACE}", " ") == f"{found} 2 to 3 times until then"


def test_senders_that_bounce_alike_are_told_once() -> None:
    title = retry_clocks(clocks(one=[0, 600], two=[0, 60, 600])).get_suptitle()
    assert title.replace("\N{NO-BREAK SPACE}", " ") == "A message that never passes bounces after 10 min"


@pytest.mark.parametrize("frame", [MANY, clocks(only=[0.0]), ENDED], ids=["many", "one try", "delivered"])
def test_texts_are_large_enough_inside_the_sheet_and_apart(frame: pd.DataFrame) -> None:
    figure = retry_clocks(frame, caption="A caption.")
    assert figure.get_figwidth() == WIDTH
    boxes = [(item.get_text(), item.get_window_extent()) for item in texts(figure)]
    for n, (text, box) in enumerate(boxes):
        assert figure.bbox.x0 - 1 <= box.x0, text
        assert box.x1 <= figure.bbox.x1 + 1, text
        for other, there in boxes[n + 1 :]:
            over_x = min(box.x1, there.x1) - max(box.x0, there.x0)
            over_y = min(box.y1, there.y1) - max(box.y0, there.y0)
            assert over_x <= 1 or over_y <= 2, (text, other)
    assert all(float(item.get_fontsize()) >= 8 for item in texts(figure))


def test_a_sender_without_its_bounce_is_named() -> None:
    frame = clocks(one=[0, 60], two=[0, 60])
    with pytest.raises(ValueError, match="bounce = 'two'"):
        retry_clocks(frame[(frame["sender"] != "two") | (frame["what"] == "try")])


def test_mail_that_is_delivered_in_the_end_has_the_mark_of_its_fate() -> None:
    frame = pd.concat([clocks(back=[0.0, 60.0]), ENDED], ignore_index=True)
    figure = retry_clocks(frame)
    marks = {line.get_marker(): line.get_color() for line in figure.axes[0].lines if str(line.get_marker()) in "DsX"}
    fates = {"D": Fate.IN_CLEAR, "s": Fate.ENCRYPTED, "X": Fate.BOUNCED}
    assert marks == {marker: FATE_COLOURS[fate] for marker, fate in fates.items()}
    title = figure.get_suptitle().replace("\n", " ").replace("\N{NO-BREAK SPACE}", " ")
    assert title == (
        "The same message leaves in clear at once (soon) or after 5 min (late); it leaves encrypted, not verified, at "
        "once (well); it bounces after 1 min (back)"
    )
    told = {item.get_text().replace("\N{NO-BREAK SPACE}", " ") for item in texts(figure)}
    assert {"1 try, at once", "3 tries, 5 min", "2 tries, 1 min", "the bounce", "in clear"} <= told


def test_an_end_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="what = 'lost'; allowed: try, in clear"):
        retry_clocks(ENDED.assign(what="lost"))


def test_few_colours_make_a_small_file_with_its_title() -> None:
    figure = retry_clocks(MANY)
    flat, full = charts.render(figure, "png", colours=64), charts.render(figure, "png")
    assert len(flat) < len(full) / 2
    assert flat == charts.render(figure, "png", colours=64)
    picture = Image.open(io.BytesIO(flat))
    assert picture.size == Image.open(io.BytesIO(full)).size
    assert picture.info["Title"] == figure.get_suptitle().replace("\n", " ")
    assert charts.render(figure, "svg", colours=64) == charts.render(figure, "svg")
