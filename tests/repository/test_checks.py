"""Style, types and floors are held like any other promise: a complaint of the tool is the failure's text."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.repository.tree import ROOT


def complaints(*command: str) -> str:
    """Run a tool of the environment in the root; return what it printed when it failed."""
    ran = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


def test_ruff_has_nothing_to_say() -> None:
    assert not (told := complaints("-m", "ruff", "check", "--no-cache", ".")), told


@pytest.mark.slow
def test_mypy_has_nothing_to_say() -> None:
    assert not (told := complaints("-m", "mypy")), told


def test_no_file_imports_from_a_floor_above() -> None:
    run_it = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"
    assert not (told := complaints("-c", run_it)), told
