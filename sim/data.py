"""Find shipped data, in a clone as in an installed wheel."""

from __future__ import annotations

from pathlib import Path

from sim.errors import SimError, did_you_mean

_PACKAGE = Path(__file__).resolve().parent


def data_root() -> Path:
    """Return the folder of shipped data: ``data/`` beside the package in a clone, ``sim/_data`` in a wheel."""
    installed = _PACKAGE / "_data"
    return installed if installed.is_dir() else _PACKAGE.parent / "data"


def example(name: str) -> Path:
    """Return the path of a shipped example, such as ``destinations.ini``.

    Raises
    ------
    SimError
        When there is no such example; it lists those there are.
    """
    folder = data_root() / "examples"
    path = folder / name
    if not path.is_file():
        there = sorted(p.name for p in folder.glob("*") if p.is_file())
        raise SimError(f"no example {name!r}; there are: {', '.join(there)}.{did_you_mean(name, there)}")
    return path
