"""An installed wheel works like a clone: the shipped data is in it and is found."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sim.data import data_root, example
from sim.errors import SimError
from tests.repository.tree import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the backend that is installed here: no network, no isolated environment."""
    made = tmp_path_factory.mktemp("wheel")
    ran = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(made)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return next(made.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site folder that holds the wheel's files and nothing of the clone."""
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def run_installed(site: Path, code: str) -> str:
    """Run code in a fresh interpreter that finds `sim` in the site folder, far from the clone."""
    ran = subprocess.run(
        [sys.executable, "-c", f"import sim; assert sim.__file__.startswith({str(site)!r}), sim.__file__\n{code}"],
        cwd=site.parent,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_the_wheel_has_the_data_the_types_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry = next(n for n in names if n.endswith("entry_points.txt"))
        assert "tlssim = sim.cli:main" in archive.read(entry).decode()
    data = {f"sim/_data/{p.relative_to(ROOT / 'data').as_posix()}" for p in (ROOT / "data").rglob("*") if p.is_file()}
    assert data <= names
    assert "sim/py.typed" in names
    assert any(n.endswith("licenses/LICENSE") for n in names)
    assert {n.split("/")[0] for n in names if ".dist-info/" not in n} == {"sim"}
    assert not [n for n in names if "__pycache__" in n]


def test_an_example_is_found_in_the_installed_wheel(installed: Path) -> None:
    found = run_installed(installed, "print(sim.example('destinations.ini'))")
    assert Path(found) == installed / "sim" / "_data" / "examples" / "destinations.ini"
    code = "print(len(sim.Policy.read(sim.example('destinations.ini')).entries) > 0)"
    assert run_installed(installed, code) == "True"


def test_a_preset_is_found_in_the_installed_wheel(installed: Path) -> None:
    code = "print(len(sim.Population.preset('alexa-2015', domains=50, seed=1).domains))"
    assert run_installed(installed, code) == "50"


def test_an_example_is_found_in_the_clone() -> None:
    assert data_root() == ROOT / "data"
    assert example("destinations.ini").is_file()


def test_an_unknown_example_lists_those_there_are() -> None:
    with pytest.raises(SimError, match=r"there are: .*destinations\.ini.* Did you mean 'destinations\.ini'\?"):
        example("destination.ini")
