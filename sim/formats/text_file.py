"""Read a text file, or say in one line why it cannot be read."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sim.errors import SimError, complaint, did_you_mean

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
