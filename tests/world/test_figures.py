"""The files of figures are sound, and the page prints them as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sim.data import data_root
from sim.errors import PopulationError
from sim.world.describe import render
from sim.world.figures import COLUMNS, PROVIDER_COLUMNS, load, preset_names, read_figures, read_providers

PAGE = Path(__file__).parents[2] / "docs" / "populations.md"
FIGURE_FILES = sorted(p for p in (data_root() / "populations").glob("*.csv") if not p.stem.endswith("-providers"))
HEADER = ",".join(COLUMNS) + "\n"


def test_the_page_prints_the_figures_as_they_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert render(page) == page, "run: python -m sim.world.describe docs/populations.md"


@pytest.mark.parametrize("file", FIGURE_FILES, ids=lambda path: path.stem)
def test_the_page_prints_every_figure_of_every_file_in_the_file_s_own_table(file: Path) -> None:
    marker = "mail" if file.stem == "mail" else f"figures {file.stem}"
    block = PAGE.read_text(encoding="utf-8").split(f"<!-- {marker} -->")[1].split("<!-- end -->")[0]
    wanted = [f.parameter for f in read_figures(file).values() if f.unit not in ("text", "preset")]
    assert re.findall(r"^\| `(\w+)` \|", block, re.MULTILINE) == wanted


def test_every_file_is_read() -> None:
    stems = {p.stem for p in (data_root() / "populations").glob("*.csv")}
    expected = {"common", "mail", *preset_names()}
    assert expected <= stems
    assert {s for s in stems - expected if s.removesuffix("-providers") not in preset_names()} == set()


def test_figures_without_a_source_are_assumed() -> None:
    for preset in preset_names():
        for figure in load(preset).figures.values():
            assert figure.status != "measured" or "no figure" not in figure.source, figure


def test_a_variant_shares_the_draws_of_its_family() -> None:
    families = {p: load(p).family for p in preset_names()}
    assert families["facebook-2014-08"] == families["facebook-2014-05"] == "facebook-2014-05"
    assert families["stripped-country"] == "alexa-2015"
    assert families["enterprise-partners"] == "2020s-web"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,0.5,share,,,domain,x,known,", "f.csv:2: status = 'known'; .*measured"),
        ("a,0.5,share,,,country,x,assumed,", "f.csv:2: weighting = 'country'"),
        ("a,0.5,furlong,,,domain,x,assumed,", "f.csv:2: unit = 'furlong'"),
        ("a,half,share,,,domain,x,assumed,", "f.csv:2: value = 'half'; allowed: a number"),
        ("a,2,share,,,domain,x,assumed,", "a = 2.0; allowed: a number, 0..1"),
        ("a,0.5,share", "f.csv:2: row = .*allowed: 9 cells"),
        (
            "a,0,share,,,domain,x,assumed,\na,0,share,,,domain,x,assumed,",
            "f.csv:3: parameter = 'a'; allowed: each once",
        ),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "f.csv"
    path.write_text(HEADER + row + "\n")
    with pytest.raises(PopulationError, match=message):
        read_figures(path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("p,,,0.1,1,trust,1,10,1,,,,0,none,x,assumed,x,assumed,x,assumed,", "f.csv:2: p: 'trust' is not understood"),
        ("p,,,much,1,trusted,1,10,1,,,,0,none,x,assumed,x,assumed,x,assumed,", "f.csv:2: p: .*'much'"),
        (
            "p,,,0.1,1,trusted,1,10,1,,,,0,forced,x,assumed,x,assumed,x,assumed,",
            "f.csv:2: p: 'forced' is not understood",
        ),
        ("p,,,0.1,1,trusted,1,10,1,,,,0,none,x,sure,x,assumed,x,assumed,", "share_status = 'sure'"),
        ("p,,,0.1,1,trusted,1,10,1,,,,0,none,x,assumed,x,assumed,x,sure,", "standards_status = 'sure'"),
        ("p,,,1.1,1,trusted,1,10,1,,,,0,none,x,assumed,x,assumed,x,assumed,", "sums to more than 1"),
    ],
)
def test_a_wrong_provider_is_named(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "f.csv"
    path.write_text(",".join(PROVIDER_COLUMNS) + "\n" + row + "\n")
    with pytest.raises(PopulationError, match=message):
        read_providers(path)


def test_a_wrong_header_is_named(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("parameter,value\n")
    with pytest.raises(PopulationError, match=r"f.csv:1: header = 'parameter,value'"):
        read_figures(path)
