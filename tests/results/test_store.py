"""Records as Parquet: the rows a RecordSink keeps, the same bytes however they came, whole or not at all."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
from sim.delivery.simulate import simulate
from sim.errors import OutputError, ScenarioError
from sim.results import Labels, RecordSink, Result
from sim.results.records import MESSAGE_COLUMNS, sorted_rows
from sim.results.spill import Spill
from sim.results.store import FILES, ParquetSink, StoredRecords, kept, read_records
from tests.results import rows

pytest.importorskip("pyarrow")

LABELS = rows.labels()
META = {"seed": 3, "world_hash": "abc", "version": "0", "engine": "reference", "until_s": None, "timeline": []}


def write(folder: Path, seed: int, batches: int, n: int = 3_000, meta: dict[str, object] = META) -> ParquetSink:
    """Write the same rows in an order and batches of their own, in groups small enough to be spilled."""
    rng = np.random.default_rng(seed)
    with ParquetSink(LABELS, folder, group_rows=256) as sink:
        for batch in np.array_split(rng.permutation(rows.messages(n, 1)), batches):
            sink.messages(batch)
        for batch in np.array_split(rng.permutation(rows.connections(n // 2, 2)), batches):
            sink.connections(batch)
        sink.finish(meta)
    return sink


@pytest.fixture(scope="module")
def memory() -> Result:
    sink = RecordSink(LABELS)
    sink.messages(rows.messages(3_000, 1))
    sink.connections(rows.connections(1_500, 2))
    return Result(LABELS, sink, META)


def test_what_is_read_is_what_would_have_been_kept(tmp_path: Path, memory: Result) -> None:
    written = Result(LABELS, write(tmp_path / "run", 1, 7), META)
    for stored in (written, read_records(tmp_path / "run")):
        pd.testing.assert_frame_equal(stored.messages, memory.messages)
        pd.testing.assert_frame_equal(stored.connections, memory.connections)
        pd.testing.assert_frame_equal(stored.by_domain(), memory.by_domain())
        pd.testing.assert_frame_equal(stored.by_entry(), memory.by_entry())
        pd.testing.assert_frame_equal(stored.timeline(), memory.timeline())
    assert read_records(tmp_path / "run").labels.matches(LABELS)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 400))
def test_the_same_bytes_in_whatever_order_and_batches(
    tmp_path_factory: pytest.TempPathFactory, seed: int, batches: int
) -> None:
    one, other = (tmp_path_factory.mktemp("run") for _ in range(2))
    write(one, 1, 1)
    write(other, seed, batches, meta=META | {"engine": "another", "threads": 9})
    assert [name for name in FILES if (one / name).read_bytes() != (other / name).read_bytes()] == []


@settings(deadline=None)
@given(st.lists(st.integers(0, 200), max_size=8), st.integers(1, 64), st.integers(0, 2), st.integers(0, 2**32))
def test_a_spill_sorts_ties_and_wide_values_too(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], run_rows: int, spread: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    high = (3, 1 << 20, 1 << 62)[spread]
    batches = [rng.integers(0, high, (size, 4)) for size in sizes]
    spill = Spill(4, tmp_path_factory.mktemp("spill"), "rows", run_rows)
    for batch in batches:
        spill.add(batch)
    together = np.concatenate([*batches, np.zeros((0, 4), dtype=np.int64)])
    expected = together[np.lexsort(together.T[::-1])]
    assert np.array_equal(np.concatenate(list(spill.parts())), expected)
    assert np.array_equal(sorted_rows(together), expected)


def test_parts_stay_small_when_one_destination_has_all_rows(tmp_path: Path) -> None:
    spill = Spill(3, tmp_path, "rows", 1_024)
    for batch in np.array_split(np.random.default_rng(1).permutation(40_000), 9):
        spill.add(np.column_stack([np.full(batch.size, 5), batch, batch]))
    assert max(len(part) for part in spill.parts()) <= 1_024


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    def peak(batches: int) -> int:
        tracemalloc.start()
        with ParquetSink(LABELS, tmp_path / str(batches), group_rows=8_192) as sink:
            for seed in range(batches):
                sink.messages(rows.messages(8_192, seed))
            sink.finish(META)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)
    bytes_more = 20 * 8_192 * len(MESSAGE_COLUMNS) * 8
    assert peak(28) - peak(8) < bytes_more / 10


def test_columns_can_be_chosen_and_are_named_when_they_cannot(tmp_path: Path, memory: Result) -> None:
    write(tmp_path, 1, 3)
    stored = read_records(tmp_path)
    some = ["mx_host", "delay_s", "fate"]
    pd.testing.assert_frame_equal(stored.read_messages(some), memory.messages[some])
    pd.testing.assert_frame_equal(memory.read_messages(some), memory.messages[some])
    assert stored.read_connections(["outcome"]).shape == (1_500, 1)
    with pytest.raises(ScenarioError, match=r"columns = 'fates'; allowed: domain, .* Did you mean 'fate'\?"):
        stored.read_messages(["fates"])


def test_no_rows_and_no_labels_are_records_too(tmp_path: Path) -> None:
    none = np.zeros(0, dtype=np.int64)
    empty = Labels(("a",), ("p",), ("(Default)",), np.array([0]), np.array([0]), (), none)
    with ParquetSink(empty, tmp_path) as sink:
        sink.finish({})
    stored = read_records(tmp_path)
    assert stored.injected == 0
    assert len(stored.messages) == len(stored.connections) == 0
    assert stored.labels.matches(empty)


def test_labels_come_back_with_hosts_nobody_reaches(tmp_path: Path) -> None:
    odd = Labels(
        ("a", "b"), ("p", "q"), ("x", "x", "(Default)"), np.array([2, 0]), np.array([1, 0]),
        ("unused", "mx", "mx", "last"), np.array([2, 1, 2]), np.array([0, 0, 1]),
    )  # fmt: skip
    with ParquetSink(odd, tmp_path) as sink:
        sink.finish({})
    found = StoredRecords(tmp_path).labels
    assert found.matches(odd)
    assert found.settings_of_entries.tolist() == [0, 0, 1]


def spoilt(folder: Path, fault: BaseException) -> None:
    """Begin to write records and fail."""
    with kept(folder, LABELS, META) as sink:
        sink.messages(rows.messages(500, 1))
        raise fault


@pytest.mark.parametrize("fault", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_leaves_nothing(tmp_path: Path, fault: type[BaseException]) -> None:
    with pytest.raises(fault):
        spoilt(tmp_path / "new" / "run", fault())
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_leaves_what_stood_there(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    before = {name: (tmp_path / name).read_bytes() for name in FILES}
    with pytest.raises(RuntimeError, match="no more"):
        spoilt(tmp_path, RuntimeError("no more"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_until_the_end_only_a_scratch_folder_is_there(tmp_path: Path) -> None:
    with ParquetSink(LABELS, tmp_path, group_rows=128) as sink:
        sink.messages(rows.messages(1_000, 1))
        assert [path.name[:9] for path in tmp_path.iterdir()] == [".records."]
        sink.finish(META)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


def test_a_disk_that_is_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Spill, "add", full)
    with pytest.raises(OutputError, match=r"records = .*; allowed: a folder that can be written \(no space left"):
        spoilt(tmp_path / "run", AssertionError("never reached"))
    assert not (tmp_path / "run").exists()


def test_without_pyarrow_one_line_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(OutputError, match=r"pyarrow, which is not installed; .* tls-delivery-sim\[store\]"):
        ParquetSink(LABELS, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_damaged_file_is_told_or_harmless(tmp_path: Path, memory: Result) -> None:
    """One byte is another: pages carry checksums, what is left of a file is its layout."""
    write(tmp_path, 1, 7)
    path = tmp_path / "messages.parquet"
    whole, told = path.read_bytes(), 0
    for place in np.random.default_rng(1).integers(4, len(whole) - 8, 60).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            found = read_records(tmp_path)
            pd.testing.assert_frame_equal(found.messages, memory.messages)
            assert found.by_domain() is not None
        except ScenarioError:
            told += 1
    assert told > 40


def test_rows_of_another_run_in_the_same_folder_are_not_taken_for_ours(tmp_path: Path) -> None:
    ours = Result(LABELS, write(tmp_path, 1, 7), META)
    write(tmp_path, 1, 7)
    assert len(ours.messages) == 3_000
    ours = Result(LABELS, write(tmp_path, 1, 7), META)
    write(tmp_path, 1, 7, meta=META | {"seed": 4})
    with pytest.raises(ScenarioError, match="they are of another one by now"):
        ours.messages  # noqa: B018


def test_what_is_no_folder_of_records_is_told(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"a folder of records, and messages\.parquet is missing"):
        read_records(tmp_path)
    write(tmp_path, 1, 1)
    write(tmp_path / "other", 1, 1, meta=META | {"seed": 4})
    (tmp_path / "other" / "routes.parquet").replace(tmp_path / "routes.parquet")
    with pytest.raises(ScenarioError, match=r"files of one run; routes\.parquet is of another one"):
        read_records(tmp_path)
    (tmp_path / "messages.parquet").write_bytes(b"PAR1")
    with pytest.raises(ScenarioError, match=r"files that can be read; messages\.parquet: "):
        read_records(tmp_path)
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "messages.parquet")
    with pytest.raises(ScenarioError, match=r"records of format 1; messages\.parquet was not written by this"):
        read_records(tmp_path)


def test_a_simulation_writes_what_it_would_have_kept(tmp_path: Path) -> None:
    scenario = sim.Scenario(
        policy=sim.Policy.read(sim.example("destinations.ini")),
        population=sim.Population.preset("2020s-web", domains=20, seed=1),
        workload=sim.Workload(messages_per_day=300),
        until_s=43_200,
    )
    here, there = simulate(scenario, records=True), simulate(scenario, records=tmp_path)
    for result in (there, sim.read_records(tmp_path)):
        pd.testing.assert_frame_equal(result.messages, here.messages)
        pd.testing.assert_frame_equal(result.connections, here.connections)
        assert result.totals() == pytest.approx(here.totals(), nan_ok=True)
    assert there.meta == here.meta
    assert {k: v for k, v in here.meta.items() if k != "engine"} == sim.read_records(tmp_path).meta
    with pytest.raises(ScenarioError, match=r"records = 3; allowed: True, False, or the path of a folder"):
        simulate(scenario, records=3)  # type: ignore[arg-type]
