"""Numba, where it is there: the one place that imports it, says where compiled code is kept, and compiles.

Compiled code is kept in a folder named by a hash of all sources that may be part of it. Numba looks at the file of a
function alone, so a change of a function that it calls, in another file, would go unnoticed. A folder that can be
written is always found: the user's ``NUMBA_CACHE_DIR``, the cache folder of the user, or one for temporary files.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_HERE = Path(__file__).parent
#: Folders of the package with sources that are compiled, or that compiled code has constants of.
_SOURCES = (
    "jit.py", "terms.py", "delivery/*.py",
    "results/counting.py", "results/histogram.py", "results/records.py", "results/timeline.py",
)  # fmt: skip
_WARM = "compiled"


@cache
def available() -> bool:
    """Tell whether there is a compiler: numba can be imported and is not switched off by ``TLSSIM_NO_NUMBA``."""
    return not os.environ.get("TLSSIM_NO_NUMBA") and find_spec("numba") is not None


def is_warm() -> bool:
    """Tell whether code of these sources has been compiled before and is kept: a run need not wait for the compiler."""
    return available() and (cache_folder() / _WARM).exists()


def compiles_now() -> bool:
    """Tell whether functions are compiled at all; not where ``NUMBA_DISABLE_JIT`` runs them as plain Python."""
    return not _numba().config.DISABLE_JIT


def mark_warm() -> None:
    """Remember that the code of these sources is compiled."""
    if compiles_now():
        cache_folder().joinpath(_WARM).touch()


@cache
def cache_folder() -> Path:
    """Return the folder of the compiled code of these sources, made if need be."""
    name = f"tlssim-{_sources_hash()}"
    for parent in _places():
        folder = parent / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    return Path(tempfile.mkdtemp(prefix=f"{name}-"))


def compiled(function: F) -> F:
    """Return a function compiled by numba on its first call: without the interpreter's lock, kept for the next process.

    Raises
    ------
    ImportError
        Where there is no numba.
    """
    numba = _numba()
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache_folder())
    try:
        made: F = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    finally:
        numba.config.CACHE_DIR = before
    return made


def register(*functions: Callable[..., Any] | FunctionType) -> None:
    """Let compiled functions call plain ones, which are compiled with them and stay plain for everybody else."""
    from numba.extending import register_jitable

    for function in functions:
        register_jitable(function)


def _numba() -> Any:
    return import_module("numba")


def _sources_hash() -> str:
    digest = blake2b(f"{sys.version}".encode(), digest_size=8)
    for pattern in _SOURCES:
        for path in sorted(_HERE.glob(pattern)):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _places() -> list[Path]:
    own = os.environ.get("NUMBA_CACHE_DIR")
    cached = os.environ.get("XDG_CACHE_HOME")
    places = [Path(own)] if own else []
    places.append(Path(cached) if cached else Path("~").expanduser() / ".cache")
    return [*places, Path(tempfile.gettempdir()) / f"tlssim-{getattr(os, 'getuid', lambda: 'user')()}"]
