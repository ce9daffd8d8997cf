"""The result of one run against counting rows with pandas."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sim.errors import OutputError, ScenarioError
from sim.results import CountSink, RecordSink, Result
from sim.results.records import MESSAGE_COLUMNS
from sim.terms import Bounce, Fate, Reason, Setting
from tests.results import rows

META = {"seed": 4, "days": 1, "population": "made up", "policy_hash": "abc", "peak_connections": 7, "until_s": None}


@pytest.fixture(scope="module")
def result() -> Result:
    labels = rows.labels()
    sink = RecordSink(labels)
    sink.messages(rows.messages(20_000, 5))
    sink.connections(rows.connections(3_000, 5))
    return Result(labels, sink, META)


def test_injected_is_delivered_and_bounced_and_queued(result: Result) -> None:
    assert result.injected == 20_000 == result.delivered + result.bounced + result.queued
    assert repr(result).startswith("<Result: 20,000 messages injected = ")


@pytest.mark.parametrize(("method", "key"), [("by_setting", "setting"), ("by_entry", "entry"), ("by_domain", "domain"),
                                             ("by_provider", "provider")])  # fmt: skip
def test_frames_agree_with_the_records(result: Result, method: str, key: str) -> None:
    messages = result.messages
    frame: pd.DataFrame = getattr(result, method)()
    assert frame["messages"].sum() == len(messages)
    for row in frame.to_dict("records"):
        mine = messages[messages[key] == row[key]]
        assert row["messages"] == len(mine)
        assert row["recipients"] == mine["recipients"].sum()
        for fate in Fate:
            so = mine["fate"] == fate.label
            assert row[f"{fate.key}_messages"] == so.sum()
            assert row[f"{fate.key}_recipients"] == mine.loc[so, "recipients"].sum()
        if not len(mine):
            continue
        delivered = mine.loc[~mine["fate"].isin(["bounced", "still queued"]), "delay_s"]
        assert sum(row[f"{fate.key}_share"] for fate in Fate) == pytest.approx(1)
        assert row["deferred_share"] == pytest.approx(mine["deferred"].mean())
        assert row["exposed_messages"] == mine["exposed"].sum()
        assert row["exposed_share"] == pytest.approx(mine["exposed"].mean())
        assert row["deferral_events"] == mine["deferral_events"].sum()
        failed = mine[mine["reason"] != "none"]
        for name, some in (("main_reason", failed), ("main_bounce_reason", failed[failed["fate"] == "bounced"])):
            met = some["reason"].astype(str).value_counts()
            assert row[name] in met[met == met.max()].index
        assert row["delay_mean_s"] == pytest.approx(delivered.mean())
        assert row["delay_max_s"] == delivered.max()
        if key == "domain":
            assert "delay_p50_s" not in row
            continue
        for q in (50, 95, 99):
            exact = np.quantile(delivered, q / 100, method="inverted_cdf")
            assert row[f"delay_p{q}_s"] == pytest.approx(exact, rel=0.004)


def test_why_mail_of_a_destination_bounces_is_told_apart_from_what_all_its_mail_met() -> None:
    labels = rows.labels(1)
    batch = rows.messages(10, 1, destinations=1)
    of = {name: MESSAGE_COLUMNS.index(name) for name in ("fate", "bounce", "reason")}
    batch[:, of["fate"]] = [Fate.VERIFIED] * 7 + [Fate.BOUNCED] * 3
    batch[:, of["bounce"]] = [Bounce.NONE] * 7 + [Bounce.EXPIRED_TIME] * 3
    batch[:, of["reason"]] = [Reason.REPLY_4YZ] * 7 + [Reason.NONE] + [Reason.STARTTLS_NOT_SUPPORTED] * 2
    sink = CountSink(labels)
    sink.messages(batch)
    [row] = Result(labels, sink).by_domain().to_dict("records")
    assert row["bounced_messages"] == 3
    assert row["main_reason"] == "4yz-reply"
    assert row["main_bounce_reason"] == "starttls-not-supported"
    assert Result(labels, CountSink(labels)).by_domain()["main_bounce_reason"].tolist() == ["none"]


def test_settings_stand_in_the_order_of_the_gateway(result: Result) -> None:
    order = [setting.label for setting in Setting if setting in rows.SETTINGS]
    assert result.by_setting()["setting"].tolist() == order


def test_providers_stand_in_the_order_of_their_mail(result: Result) -> None:
    assert result.by_provider()["messages"].is_monotonic_decreasing


def test_entries_that_match_no_mail_are_listed_with_0(result: Result) -> None:
    frame = result.by_entry()
    unused = frame[frame["entry"] == "unused.example"].to_dict("records")[0]
    assert [unused[name] for name in ("domains", "messages", "mail_share", "bounced_messages")] == [0, 0, 0, 0]
    assert unused["setting"] == ""
    assert np.isnan(unused["bounced_share"])
    assert frame["mail_share"].sum() == pytest.approx(1)
    assert frame["domains"].sum() == 8


def test_labels_can_name_the_setting_of_an_unused_entry() -> None:
    from dataclasses import replace

    settings = np.array([1, 2, 3, Setting.REQUIRED_VERIFY, 0])
    labels = replace(rows.labels(), entry_settings=settings)
    frame = Result(labels, CountSink(labels)).by_entry()
    assert frame["setting"].iloc[3] == "Required - Verify"


def test_the_summary_is_the_whole_and_what_was_run(result: Result) -> None:
    frame = result.summary()
    value = dict(zip(frame["quantity"], frame["value"], strict=True))
    assert value["messages"] == 20_000
    assert value["bounced_share"] == result.bounced / 20_000
    assert value["connections"] == 3_000
    assert (value["peak_connections"], value["seed"], value["policy_hash"]) == (7, 4, "abc")
    assert list(result.totals()) == frame["quantity"].tolist()[: len(result.totals())]
    assert json.dumps(result.totals())


def test_records_are_frames_with_names_and_units(result: Result) -> None:
    messages, connections = result.messages, result.connections
    assert {"arrival_s", "done_s", "size_bytes", "mx_host", "fate"} <= set(messages.columns)
    assert set(messages["mx_host"].dropna()) == {"mx1.example", "mx2.example"}
    assert messages["mx_host"].isna().any()
    assert connections["established_s"].isna().any()
    assert connections["closed_s"].isna().any()
    assert len(connections) == 3_000


def test_without_records_there_are_no_messages_and_the_error_says_why() -> None:
    labels = rows.labels()
    counted = Result(labels, CountSink(labels))
    with pytest.raises(ScenarioError, match=r"result\.messages: .*records=True"):
        _ = counted.messages
    with pytest.raises(ScenarioError, match=r"result\.connections: .*records=True"):
        _ = counted.connections


def test_an_empty_run_has_frames_of_zeros() -> None:
    labels = rows.labels()
    empty = Result(labels, CountSink(labels), {"days": 1})
    assert empty.injected == 0
    assert empty.by_setting()["messages"].tolist() == [0] * 4
    assert np.isnan(empty.totals()["bounced_share"])
    assert len(empty.timeline("1h")) == 24
    for chart in (empty.plot.fates, empty.plot.queue, empty.plot.delay):
        assert chart().get_suptitle().startswith("No mail")


def test_a_result_is_written_whole_and_reads_back(result: Result, tmp_path: Path) -> None:
    paths = result.write(tmp_path / "new" / "run")
    names = {path.name for path in paths}
    assert names == {"summary.csv", "by_setting.csv", "by_entry.csv", "by_domain.csv", "by_provider.csv",
                     "timeline.csv", "messages.csv", "connections.csv", "meta.json"}  # fmt: skip
    assert {path.name for path in (tmp_path / "new" / "run").iterdir()} == names
    back = pd.read_csv(tmp_path / "new" / "run" / "by_setting.csv")
    assert back["messages"].tolist() == result.by_setting()["messages"].tolist()
    assert json.loads((tmp_path / "new" / "run" / "meta.json").read_text(encoding="utf-8"))["seed"] == 4


def test_the_same_result_gives_the_same_bytes(result: Result, tmp_path: Path) -> None:
    one, two = (result.write(tmp_path / name) for name in ("a", "b"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_a_folder_that_cannot_be_written_is_named(result: Result, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"output folder = .*file.*inside"):
        result.write(tmp_path / "file" / "inside")


def test_a_failure_half_way_leaves_nothing_partial(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if "by_provider" in self.name:
            raise OSError(28, "No space left on device")
        return written(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="no space left on device"):
        result.write(tmp_path / "run")
    assert not (tmp_path / "run").exists()
