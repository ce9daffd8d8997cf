"""Numba, where it is there: the one place that imports it, says where compiled code is kept, and compiles.

Compiled code is kept in a folder named by a hash of all sources that may be part of it. Numba looks at the file of a
function alone, so a change of a function that it calls, in another file, would go unnoticed. A folder that can be
written is always found: the user's ``NUMBA_CACHE_DIR``, the cache folder of the user, or one for temporary files.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_HERE = Path(__file__).parent
#: Folders of the package with sources that are compiled, or that compiled code has constants of.
_SOURCES = (
    "jit.py", "terms.py", "policy/decide.py", "delivery/*.py", "delivery/kernel/*.py",
    "results/counting.py", "results/histogram.py", "results/records.py", "results/timeline.py",
)  # fmt: skip
_WARM = "compiled"
_loaded: list[bool] = []
#: Compiled code makes no arrays, so it need not count who refers to one: counting took three quarters of the time, and
#: threads that count the same references wait for each other.
_OPTIONS = {"_nrt": False, "error_model": "numpy"}


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


def is_loaded() -> bool:
    """Tell whether compiled functions, of any kind, are in use in this process."""
    return bool(_loaded)


@cache
def cache_folder() -> Path:
    """Return the folder of the compiled code of these sources, made if need be."""
    name = f"tlssim-{_sources_hash()}"
    for parent in _places():
        folder = parent / name
        try:
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if parent == _temporary() and not _is_ours(parent):
                continue
            folder.mkdir(exist_ok=True)
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
        if compiles_now():
            _loaded.append(True)
        made: F = numba.njit(cache=True, nogil=True, **_OPTIONS)(function)
    finally:
        numba.config.CACHE_DIR = before
    return made


def register(*functions: Callable[..., Any]) -> None:
    """Let compiled functions call plain ones, which are compiled into them and stay plain for everybody else."""
    from numba.extending import register_jitable

    for function in functions:
        # Else every call would hand over all arrays, seven numbers each, on the stack.
        register_jitable(**_OPTIONS, forceinline=True)(function)


def register_upper_product(function: Callable[..., Any], multiplier: int) -> None:
    """Let compiled functions take the upper half of a product with a constant from the processor's own instruction.

    Parameters
    ----------
    function : takes a uint64 ``value`` and returns the same by other means.
    """
    from llvmlite import ir
    from numba.core import types

    def generate(builder: Any, value: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(value, wide), ir.Constant(wide, multiplier))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    _replace(function, types.uint64, generate)


def bit_length(value: int) -> int:
    """Return the number of bits of 0 <= value < 2**63."""
    return int(value).bit_length()


@cache
def register_bit_length() -> None:
    """Let compiled functions call `bit_length`, which is then the processor's own count of leading zeros."""
    from llvmlite import ir
    from numba.core import types

    def generate(builder: Any, value: Any) -> Any:
        zeros = builder.ctlz(value, ir.Constant(ir.IntType(1), 0))
        return builder.sub(ir.Constant(ir.IntType(64), 64), zeros)

    _replace(bit_length, types.int64, generate)


def _replace(function: Callable[..., Any], kind: Any, generate: Callable[[Any, Any], Any]) -> None:
    """Where compiled functions call ``function`` of one ``value``, put the instructions that ``generate`` builds."""
    extending: Any = import_module("numba.extending")

    @extending.intrinsic  # type: ignore[untyped-decorator]
    def built(_: Any, __: Any) -> Any:
        return kind(kind), lambda _, builder, __, arguments: generate(builder, arguments[0])

    @extending.overload(function, jit_options=_OPTIONS | {"forceinline": True})  # type: ignore[untyped-decorator]
    def choose(value: Any) -> Any:  # noqa: ARG001 (numba wants the names that the function has)
        def implementation(value: Any) -> Any:
            return built(value)

        return implementation


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
    return [*places, _temporary()]


def _temporary() -> Path:
    return Path(tempfile.gettempdir()) / f"tlssim-{getattr(os, 'getuid', lambda: 'user')()}"


def _is_ours(folder: Path) -> bool:
    """Tell whether nobody but us can write to a folder whose name anybody can guess."""
    found = folder.lstat()
    if not hasattr(os, "getuid"):
        return True
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
