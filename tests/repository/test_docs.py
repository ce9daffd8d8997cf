"""The pages say what is there: links lead somewhere, rooms exist, decisions are indexed, examples run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import sim
from sim.delivery.draws import Stream
from sim.delivery.rules import Rank
from tests.benchmarks import scale
from tests.repository.tree import ROOT, files, name

PAGES = [p for p in files() if p.suffix == ".md"]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)(#[^)]*)?\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def drawn_files(page: str) -> list[str]:
    """The paths that the map of the house draws: indented names belong to the folder above them."""
    plan = next(block for block in FENCED.findall(page) if "sim/__init__.py" in block)
    found, folder = [], ""
    for line in plan.splitlines():
        if match := re.match(r"( *)([\w./]+)(?: {2,}|$)", line):
            folder = folder if match[1] else match[2]
            found.append(folder + match[2] if match[1] else match[2])
    return found


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    targets = [match[1] for match in LINK.finditer(text) if "://" not in match[1]]
    assert not [target for target in targets if not (page.parent / target).exists()]


def test_the_map_draws_rooms_that_exist_and_leaves_none_out() -> None:
    drawn = drawn_files((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))
    assert len(drawn) > 20
    assert not [path for path in drawn if not (ROOT / path).exists()]
    tops = {name(p).split("/")[1] for p in files() if name(p).startswith("sim/")} - {"py.typed"}
    assert tops <= {path.split("/")[1] for path in drawn if path.startswith("sim/")}


def test_files_that_pages_name_exist() -> None:
    named = re.compile(r"`((?:sim|tests|docs|data|figures)/[\w/.-]+)`")
    missing = {
        f"{name(page)}: {match[1]}"
        for page in PAGES
        for match in named.finditer(page.read_text(encoding="utf-8"))
        if not (ROOT / match[1]).exists()
    }
    assert not missing


def test_the_model_names_every_rank_in_order_and_every_stream_of_draws() -> None:
    page = " ".join((ROOT / "docs" / "model.md").read_text(encoding="utf-8").split())
    ranks = page.split("those of `rules.Rank`: ")[1].split(". ")[0]
    spelled = [rank.name.lower().replace("_", " ").replace("timeout", "time-out") for rank in Rank]
    assert re.findall("|".join(spelled), ranks) == spelled
    assert not [stream for stream in Stream if f"| `{stream.name}` |" not in page]


def test_the_page_of_scale_follows_from_its_figures() -> None:
    assert scale.PAGE.read_text() == scale.page(scale.figures()), "python -m tests.benchmarks.scale writes it"


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8").split("## Format")[0]
    missing = [p.name for p in folder.glob("*.md") if p.name != "README.md" and f"({p.name})" not in index]
    assert not missing


def test_the_changelog_has_a_place_for_this_version_or_the_next() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[(Unreleased|{re.escape(sim.__version__)})\]", changelog, re.MULTILINE)


@pytest.mark.slow
def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", blocks[0]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout
