"""The files of the repository, as a clone would have them."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_MADE_HERE = {".venv", "out", "dist", "build", "__pycache__", ".hypothesis", ".ipynb_checkpoints"}
_NO_TEXT = {".png", ".svg", ".gz", ".parquet", ".pdf", ".ico"}


@cache
def files() -> tuple[Path, ...]:
    """Every file that is, or could be, committed; without git, every file outside the folders made here."""
    listing = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        told = subprocess.run(listing, capture_output=True, check=True).stdout.decode()
        found = [ROOT / name for name in told.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        found = [p for p in ROOT.rglob("*") if not _MADE_HERE & set(p.relative_to(ROOT).parts)]
    return tuple(sorted(p for p in found if p.is_file()))


def texts() -> tuple[Path, ...]:
    """The files that people read as text."""
    return tuple(p for p in files() if p.suffix not in _NO_TEXT)


def sources() -> tuple[Path, ...]:
    """The program's own modules."""
    return tuple(p for p in files() if p.suffix == ".py" and p.relative_to(ROOT).parts[0] == "sim")


def name(path: Path) -> str:
    """How a test calls a file: its path from the root."""
    return path.relative_to(ROOT).as_posix()
