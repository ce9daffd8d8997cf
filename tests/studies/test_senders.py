"""Pages of the senders: every cell, every demand, every switch, and the clock of every retry."""

from __future__ import annotations

import pytest

from sim.policy.profile import Queueing
from sim.policy.profiles import SENDERS, profile
from sim.policy.retry import BounceProfile, HostRetry
from sim.policy.sheets import matrix
from sim.policy.text_tables import read_demands, read_table, split_table
from sim.studies import senders
from sim.studies.explain import queue_times, retry_table
from sim.terms import Demand, Outcome, Seen, Setting


def cells_of(page: str, heading: str) -> list[list[str]]:
    """The cells of the Markdown table below a heading."""
    part = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]


@pytest.mark.parametrize("key", SENDERS)
def test_a_page_has_every_cell_every_demand_and_every_switch(key: str) -> None:
    sender = profile(key)
    page = senders.page(sender, "x.png")
    words, rows, columns = matrix(sender)
    heading, *body = cells_of(page, "What each setting does")
    assert heading[1:] == columns
    assert body == [[row, *cells] for row, cells in zip(rows, words, strict=True)]
    fenced = page.split("```\n")[1]
    for switches in (None, {name: list(s.outcomes)[-1] for name, s in sender.switches.items()}):
        tables = sender.tables(switches)
        demand, rule = read_demands(fenced, sender.settings, sender.resolved(switches))
        assert (demand == tables.demand).all()
        assert (rule == tables.rule).all()
    if sender.switches:
        assert [row[0] for row in cells_of(page, "Switches")[1:]] == list(sender.switches)
    facts = dict(cells_of(page, "Queue and retries")[1:])
    assert f"with {len(senders.attempt_times_s(sender))} tries" in facts["it bounces"]
    assert ("?: no source settles the cell" in page) == any("?" in word for row in words for word in row)
    assert ("young > aged" in page) == any(" > " in word for row in words for word in row)
    assert "![" in page
    assert "![" not in senders.page(sender)


@pytest.mark.parametrize("key", SENDERS)
def test_the_text_is_read_back(key: str) -> None:
    sender = profile(key)
    text = senders.text(sender)
    tables = sender.tables()
    part = text.split("1. What a setting demands: the first row that fits\n\n")[1].split("\n\n")[0]
    demand, _ = read_demands(part, sender.settings, sender.resolved())
    assert (demand == tables.demand).all()
    for aged in (0, 1):
        title = "3. What it comes to" + (f" ({('young', 'aged')[aged]})" if " (young)\n" in text else "")
        grid = read_table(text.split(f"{title}\n\n")[1].split("\n\n")[0], rows=Seen, columns=Demand, cells=Outcome)
        for column in grid.columns:
            assert (grid.codes[:, column] == tables.outcome[column, :, aged]).all()
    for name in sender.switches:
        assert f"\n{name} " in text
    assert f"Source: {sender.source}." in text


@pytest.mark.parametrize("key", SENDERS)
def test_the_frame_has_a_row_a_cell(key: str) -> None:
    sender = profile(key)
    frame = senders.cells_frame(sender)
    assert len(frame) == len(Seen) * len(sender.settings)
    words = [word for row in matrix(sender)[0] for word in row]
    for word, row in zip(words, frame.to_dict("records"), strict=True):
        assert row["settled"] == ("?" not in word.split(" > ")[0])
        assert (row["outcome"] == row["outcome_aged"]) == (" > " not in word)
        delivers = row["outcome"] in ("clear", "encrypted", "verified")
        assert (row["reason"] == "none") == delivers


def test_the_index_sets_the_disputed_cells_side_by_side() -> None:
    page = senders.index("x.png")
    heading, *rows = cells_of(page, "The disputed cells, as shipped")
    assert "handshake failed" in heading
    by_sender = {row[0]: row for row in rows if row[0]}
    assert list(by_sender) == [profile(key).title for key in SENDERS]
    assert by_sender["Postfix"][heading.index("handshake failed")] == "next host > clear, 2nd try"
    assert set(by_sender["Cisco ESA"][2:]) == {"clear"}
    assert rows[1][:3] == ["", "Preferred", "clear"]
    required = {row[0]: row for row in cells_of(page, "The disputed cells, where TLS is required")[1:]}
    assert required["Postfix"][1] == "encrypt"
    assert required["Postfix"][heading.index("refused 5xx")] == "bounce now"
    for key in SENDERS:
        assert f"({key}.md)" in page
    assert [row[0] for row in cells_of(page, "Retry clocks")[1:]] == [profile(key).title for key in SENDERS]


def test_the_clocks_are_those_of_each_queue() -> None:
    clocks = senders.retry_clocks()
    for key in SENDERS:
        sender = profile(key)
        rows = clocks[clocks["sender"] == sender.title]
        tries = rows[rows["what"] == "try"]["age_s"].tolist()
        (end,) = rows[rows["what"] == "bounce"]["age_s"]
        table = retry_table(BounceProfile(), HostRetry()) if sender.queueing is None else queue_times(sender.queueing)
        assert tries == table["after_s"].tolist()[:-1]
        assert end == table["after_s"].iloc[-1]


@pytest.mark.parametrize("key", SENDERS)
def test_a_message_that_never_passes_has_the_senders_clock(key: str) -> None:
    sender = profile(key)
    followed = senders.message_clock(sender, sender.nearest[Setting.NO], ["stage=unreachable"])
    known = senders.retry_clocks()
    assert followed.to_dict("list") == known[known["sender"] == sender.title].to_dict("list")


def test_a_message_is_followed_until_it_is_delivered_or_bounces() -> None:
    def ends(key: str, setting: Setting, *hosts: str) -> list[tuple[float, str]]:
        sender = profile(key)
        rows = senders.message_clock(sender, sender.nearest[setting], hosts)
        return list(zip(rows["age_s"], rows["what"], strict=True))

    broken = "stage=handshake-failed"
    assert ends("exim", Setting.PREFERRED, broken) == [(0, "in clear")]
    assert ends("postfix", Setting.PREFERRED, broken) == [(0, "try"), (300, "in clear")]
    assert ends("postfix", Setting.PREFERRED, broken, "stage=tls") == [(0, "encrypted, not verified")]
    assert ends("postfix", Setting.REQUIRED, "stage=refused-5xx", "stage=tls") == [(0, "try"), (0, "bounce")]
    assert ends("esa", Setting.PREFERRED, broken)[-1] == (senders.bounce_s(profile("esa")), "bounce")


def test_queue_times_end_with_the_last_try() -> None:
    lapsing = queue_times(Queueing(waits_s=(60.0, 120.0), lifetime_s=200.0, source="none"))
    assert lapsing["after_s"].tolist() == [0, 60, 180, 300, 300]
    assert lapsing["wait_s"].tolist() == [0, 60, 120, 120, 0]
    assert lapsing["what"].tolist()[-1] == "bounce: time in queue"
    few = queue_times(Queueing(waits_s=(60.0,), lifetime_s=1e6, max_retries=1, source="none"))
    assert few["after_s"].tolist() == [0, 60, 60]
    assert few["what"].tolist()[-1] == "bounce: retries used up"


@pytest.mark.parametrize(
    ("queueing", "waits"),
    [
        (Queueing(waits_s=(300.0, 4_000.0), counted="age", lifetime_s=9e4, source="s"), "as long as the message is"),
        (Queueing(waits_s=(600.0,), lifetime_s=9e4, source="s"), "10 min, from the start of each failed try"),
        (Queueing(waits_s=(600.0, 900.0), counted="arrival", lifetime_s=9e4, source="s"),
         "10 min, 15 min, from the arrival on; the last repeats"),
        (Queueing(waits_s=tuple(60.0 * n for n in range(1, 12)), lifetime_s=9e4, source="s"), "... to 11 min"),
    ],
)  # fmt: skip
def test_waits_are_told_as_they_are_counted(queueing: Queueing, waits: str) -> None:
    assert waits in senders._waits(queueing)


def test_every_disputed_cell_is_one_of_the_rows() -> None:
    assert len(set(senders.DISPUTED)) == len(senders.DISPUTED) == 8
    heading, rows = split_table(senders.demands(profile("esa")))
    assert heading[0] == "TLS setting"
    assert {row[0] for row in rows} >= {setting.label for setting in Setting}
