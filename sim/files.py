"""Read text files, or say in one line why not; write files whole or not at all.

Every file is written beside its place and then renamed into it.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sim.errors import OutputError, SimError, complaint, did_you_mean

_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read_text(path: str | os.PathLike[str], error: type[SimError]) -> str:
    """Return the text of a file, its byte order mark and line ends as they are.

    Parameters
    ----------
    path : the file.
    error : the class of fault to raise.

    Raises
    ------
    SimError
        Of the class ``error``: when the file is missing (with the nearest name beside it), is a folder, cannot be
        read, or is not UTF-8 text (naming the line of the first byte that is not).
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise error(complaint("file", str(path), f"a file that exists.{_near(Path(path))}")) from None
    except IsADirectoryError:
        raise error(complaint("file", str(path), "a file, and this is a folder")) from None
    except (OSError, ValueError) as fault:
        why = getattr(fault, "strerror", None) or str(fault)
        raise error(complaint("file", str(path), f"a file that can be read ({why.lower()})")) from None
    return decode(content, str(path), error)


def decode(content: bytes, source: str, error: type[SimError]) -> str:
    """Decode UTF-8 text that may hold no control characters but tabs and line ends.

    Raises
    ------
    SimError
        Of the class ``error``, naming the line and the byte.
    """
    if content.startswith(_UTF_16):
        raise error(complaint("content", "UTF-16", "UTF-8 text", file=source, line=1))
    try:
        text = content.decode("utf-8")
        control = _CONTROL.search(content)
        if control is None:
            return text
        spot = control.start()
    except UnicodeDecodeError as fault:
        spot = fault.start
    line = content.count(b"\n", 0, spot) + 1
    raise error(complaint("content", f"byte 0x{content[spot]:02x}", "UTF-8 text", file=source, line=line))


def _near(path: Path) -> str:
    try:
        return did_you_mean(path.name, sorted(p.name for p in path.parent.iterdir() if p.is_file()))
    except OSError:
        return ""


@contextmanager
def beside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a scratch path in the folder of ``path``; when the block ends well it becomes ``path``.

    For writers that insist on a path of their own (a chart, a table). The scratch name ends like ``path``, so a
    format chosen by the ending is still right. A link is followed, an existing file keeps its permissions, and a
    device or pipe is written to directly, since it cannot be replaced.

    Parameters
    ----------
    path : where the file shall be. Its folder must exist (see `output_folder`).

    Yields
    ------
    Path
        The path to write to.

    Raises
    ------
    OutputError
        When ``path`` cannot be written: one line naming it and why. Whatever stood there before still does.
    """
    target = Path(os.path.realpath(path))
    try:
        if target.is_dir():
            raise OutputError(complaint("output file", str(path), "a file, and this is a folder"))
        if target.exists() and not target.is_file():
            yield target
            return
        scratch = target.with_name(f".{target.stem[:100]}.{secrets.token_hex(6)}.part{target.suffix}")
        try:
            yield scratch
            if target.exists():
                scratch.chmod(target.stat().st_mode & 0o7777)
            scratch.replace(target)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise
    except OSError as fault:
        raise OutputError(complaint("output file", str(path), f"a file that can be written ({_why(fault)})")) from fault


def write_bytes(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write ``content`` to ``path``, whole or not at all, and return ``path``.

    Raises
    ------
    OutputError
        When it cannot be written; the file that stood there before is untouched.
    """
    with beside(path) as scratch:
        scratch.write_bytes(content)
    return Path(path)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write ``text`` to ``path`` as UTF-8 with its line ends as they are, whole or not at all, and return ``path``.

    Raises
    ------
    OutputError
        When it cannot be written; the file that stood there before is untouched.
    """
    return write_bytes(path, text.encode("utf-8"))


def output_folder(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` as a folder that results can be written to, made with its parents where it is missing.

    Ask before a long run, so that a folder nobody can write to is known at once and not at the end.

    Raises
    ------
    OutputError
        When it is a file, or cannot be made or written: one line naming it and why.
    """
    folder = Path(path)
    probe = folder / f".{secrets.token_hex(6)}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as fault:
        raise OutputError(
            complaint("output folder", str(path), f"a folder that can be made and written ({_why(fault)})")
        ) from fault
    return folder


def write_together(folder: str | os.PathLike[str], files: Mapping[str, str | bytes]) -> list[Path]:
    """Write several files into a folder, all or none, and return their paths.

    Each is written beside its place first; they are renamed when the last is complete.

    Raises
    ------
    OutputError
        When the folder or one of the files cannot be written; a folder that was made for them is removed again.
    """
    made = not Path(folder).exists()
    home = output_folder(folder)
    try:
        return write_all({home / name: content for name, content in files.items()})
    except OutputError:
        if made and not any(home.iterdir()):
            home.rmdir()
        raise


def write_all(files: Mapping[Path, str | bytes]) -> list[Path]:
    """Write several files, wherever they are, and return their paths: none is renamed before the last is complete.

    Raises
    ------
    OutputError
        When one of them cannot be written.
    """
    with ExitStack() as stack:
        scratches = [stack.enter_context(beside(path)) for path in files]
        for scratch, content in zip(scratches, files.values(), strict=True):
            scratch.write_bytes(content.encode() if isinstance(content, str) else content)
    return [*files]


def _why(fault: OSError) -> str:
    return (fault.strerror or str(fault)).lower()
