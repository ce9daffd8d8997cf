"""TOML with the line of every key, which the parser of the standard library does not tell."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from sim.errors import SimError

Path = tuple[str | int, ...]

_AT_LINE = re.compile(r"\s*\(at line (\d+), column \d+\)")
_NAME = r"""(?:[\w-]+|"[^"]*"|'[^']*')"""
_KEY = re.compile(rf"\s*({_NAME}(?:\s*\.\s*{_NAME})*)\s*=")
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_NAME}(?:\s*\.\s*{_NAME})*)\s*\]")
_PART = re.compile(_NAME)
_MULTILINE = re.compile(r"\"\"\"|\'\'\'")


def load_toml(text: str, source: str, error: type[SimError]) -> dict[str, Any]:
    """Parse a TOML text.

    Raises
    ------
    SimError
        Of the class ``error``: one line naming ``source`` and the line that is no TOML.
    """
    bare = text.removeprefix("\ufeff").replace("\r\n", "\n")
    try:
        return tomllib.loads(bare)
    except (ValueError, RecursionError) as fault:  # ValueError too: a number of more digits than Python reads
        at = _AT_LINE.search(str(fault))
        line = int(at[1]) if at else bare.count("\n") + 1
        raise error(f"{source}:{line}: no TOML: {_AT_LINE.sub('', str(fault)).lower()}") from None


def key_lines(text: str) -> Mapping[Path, int]:
    r"""Find the line of each section and key by its looks; a key inside an inline table has none of its own.

    The tables of an array stand under their places in it.

    Examples
    --------
    >>> key_lines('days = 1\n[policy]\nfile = "d.ini"\n')[("policy", "file")]
    3
    >>> key_lines('[[timeline]]\nat_h = 1\n[[timeline]]\nat_h = 2\n')[("timeline", 1, "at_h")]
    4
    """
    found: dict[Path, int] = {}
    seen: dict[Path, int] = {}
    section: Path = ()
    inside = False
    for number, line in enumerate(text.split("\n"), start=1):
        header, key = _HEADER.match(line), _KEY.match(line)
        if not inside and header:
            section = _parts(header[2])
            found.setdefault(section, number)
            if header[1] == "[[":
                seen[section] = seen.get(section, -1) + 1
                section = (*section, seen[section])
                found[section] = number
        elif not inside and key:
            path = section + _parts(key[1])
            for depth in range(len(section) + 1, len(path) + 1):
                found.setdefault(path[:depth], number)
        inside ^= len(_MULTILINE.findall(line)) % 2 == 1
    return found


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """Return the line of a key, else of the nearest section around it, else 1."""
    return next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), 1)


def _parts(name: str) -> Path:
    return tuple(part.strip("\"'") for part in _PART.findall(name))
