"""`sim` gives what it promises, documented, and costs little to import."""

from __future__ import annotations

import ast
import inspect
import json
import re
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

import sim
from tests.repository.tree import ROOT

HEAVY = {"numpy", "matplotlib", "numba", "pandas", "pydantic", "rich", "scipy", "simpy"}
HELP = """
import sys
from sim.cli import main
sys.argv = ["tlssim", "--help"]
try:
    main()
except SystemExit:
    pass
"""
NAMES = sorted(set(sim.__all__) - {"__version__"})


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_there_and_documented(name: str) -> None:
    thing = getattr(sim, name)
    assert (inspect.getdoc(thing) or "").strip()
    assert inspect.signature(thing) is not None
    assert name in dir(sim)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_stands_in_the_map_of_the_house(name: str) -> None:
    assert f"`sim.{name}`" in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_an_unknown_name_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match="module 'sim' has no attribute 'Polcy'"):
        sim.Polcy  # noqa: B018


def test_type_checkers_see_the_names_that_are_loaded() -> None:
    module = ast.parse(Path(sim.__file__).read_text(encoding="utf-8"))
    guarded = next(node for node in module.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == sim._HOME
    assert sorted([*sim._HOME, "__version__"]) == sorted(sim.__all__)


def test_the_version_is_the_distribution_s() -> None:
    assert sim.__version__ == version("tls-delivery-sim")
    assert set(sim.versions()) == {"sim", "python", "numpy", "simpy", "pandas", "scipy"}
    assert sim.versions()["sim"] == sim.__version__
    assert re.search(rf"^version: {re.escape(sim.__version__)}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    "code",
    [
        "import sim",
        "import sim; sim.example('scenario.toml')",
        "import sim.cli",
        HELP,
    ],
)
def test_looking_at_the_program_loads_nothing_heavy(code: str) -> None:
    ran = run("-c", f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))")
    assert ran.returncode == 0, ran.stderr
    loaded = {name.partition(".")[0] for name in json.loads(ran.stdout.splitlines()[-1])}
    assert not loaded & HEAVY


def test_import_is_quick() -> None:
    """The median of seven fresh interpreters, less that of an empty one, is below 0.3 s."""

    def seconds(code: str) -> float:
        begun = time.perf_counter()
        assert run("-c", code).returncode == 0
        return time.perf_counter() - begun

    seconds("import sim")
    empty = statistics.median(seconds("pass") for _ in range(7))
    assert statistics.median(seconds("import sim") for _ in range(7)) - empty < 0.3


def test_the_command_explains_itself() -> None:
    ran = subprocess.run([Path(sys.executable).with_name("tlssim"), "--help"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "modes" in ran.stdout
    assert "run" in ran.stdout
    assert not ran.stderr
