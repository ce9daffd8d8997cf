"""The numbers and pictures that a reader sees first are those the program gives."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from figures import make


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_numbers_of_the_readme_are_those_of_the_committed_table() -> None:
    page = make.README.read_text(encoding="utf-8")
    assert page == make.with_block(page, make.block(make.FIGURES / "modes.csv")), "run `make figures`"


@pytest.mark.slow
def test_the_committed_table_is_what_the_program_gives(tmp_path: Path) -> None:
    make.run_modes(tmp_path)
    now, committed = table(tmp_path / "modes.csv"), table(make.FIGURES / "modes.csv")
    assert [row["setting"] for row in now] == [row["setting"] for row in committed]
    for column in list(make.SHOWN)[1:]:
        expected = [float(row[column]) for row in committed]
        assert [float(row[column]) for row in now] == pytest.approx(expected, abs=5e-4), f"{column}: run `make figures`"


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(SystemExit, match="lacks the marks"):
        make.with_block("# A page", "text")
