"""The numbers and pictures that a reader sees first are those the program gives."""

from __future__ import annotations

import base64
import csv
import io
from pathlib import Path

import pytest
from PIL import Image

from figures import make
from sim.results import charts
from sim.studies import senders
from tests import notebooks


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def title(picture: bytes) -> str:
    """What a picture says it shows."""
    return str(Image.open(io.BytesIO(picture)).info["Title"])


def test_the_numbers_of_the_readme_are_those_of_the_committed_table() -> None:
    page = make.README.read_text(encoding="utf-8")
    assert page == make.with_block(page, make.block(make.FIGURES / "modes.csv")), "run `make figures`"


def test_every_file_of_the_folder_is_made_here() -> None:
    made = {*make.KEPT, *make.DRAWN, *make.DRAWN_FLAT, "make.py"}
    found = {path.relative_to(make.FIGURES).as_posix() for path in make.FIGURES.rglob("*") if path.is_file()}
    assert {name for name in found if not name.startswith("__pycache__/")} == made


def test_the_pages_of_the_senders_are_what_the_program_writes() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in make.SENDER_PAGES.iterdir()}
    assert committed == make.sender_pages(), "run `make figures`"


def test_the_pictures_of_the_senders_are_small() -> None:
    assert {key: (make.FIGURES / key).stat().st_size < 200_000 for key in make.DRAWN_FLAT} == dict.fromkeys(
        make.DRAWN_FLAT, True
    )


@pytest.mark.slow
def test_the_committed_table_is_what_the_program_gives(tmp_path: Path) -> None:
    make.run_modes(tmp_path)
    now, committed = table(tmp_path / "modes.csv"), table(make.FIGURES / "modes.csv")
    for column in ("setting", "reading", "fate"):
        assert [row[column] for row in now] == [row[column] for row in committed]
    for column in ("share", "low", "high", "deferred_share", "deferred_low", "deferred_high"):
        expected = [float(row[column] or "nan") for row in committed]
        found = [float(row[column] or "nan") for row in now]
        assert found == pytest.approx(expected, abs=5e-4, nan_ok=True), f"{column}: run `make figures`"


@pytest.mark.slow
@pytest.mark.parametrize("name", [*make.DRAWN, *make.DRAWN_FLAT])
def test_a_committed_picture_is_what_the_program_draws(name: str) -> None:
    drawn = make.DRAWN[name]() if name in make.DRAWN else make.DRAWN_FLAT[name]()
    colours = senders.COLOURS if name in make.DRAWN_FLAT else None
    committed, now = (make.FIGURES / name).read_bytes(), charts.render(drawn, "png", colours=colours)
    assert title(now) == title(committed), "run `make figures`"
    told = notebooks._unlike("image/png", *(base64.b64encode(picture).decode() for picture in (committed, now)))
    assert not told, f"{told}: run `make figures`"


def test_the_block_has_a_row_a_setting_and_reading_with_intervals(tmp_path: Path) -> None:
    fates = [
        ("in clear", "0,,"),
        ("encrypted, not verified", "0.975,0.97,0.98"),
        ("encrypted and verified", "0,,"),
        ("bounced", "0.025,0.02,0.03"),
        ("still queued", "0,0,0"),
    ]
    lines = ["setting,reading,fate,share,low,high,deferred_share,deferred_low,deferred_high"]
    for setting, reading in (("Required", ""), ("Required - Verify", "CN is no PTR name")):
        lines += [f'{setting},{reading},"{fate}",{share},0.1,,' for fate, share in fates]
    (tmp_path / "modes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = make.block(tmp_path / "modes.csv").splitlines()
    assert rows[2] == "| Required |  | 0 | 97.5 (97.0 to 98.0) | 0 | 2.5 (2.0 to 3.0) | 10.0 |"
    assert rows[3].startswith("| Required - Verify | CN is no PTR name | 0 |")
    assert rows[4:] == ["", make.NOTE]


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(SystemExit, match="lacks the marks"):
        make.with_block("# A page", "text")
