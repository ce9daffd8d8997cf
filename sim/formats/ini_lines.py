"""The lines of an INI file with nothing lost: joined again, they are the file.

Not `configparser`: there a ``[DEFAULT]`` section leaks into every other, and comments, order and spelling are gone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")
_COMMENT = re.compile(r"\s[#;]")
_BOM = "\ufeff"


class LineKind(Enum):
    """What a line is."""

    BLANK = "blank or comment"
    HEADER = "section"
    BROKEN_HEADER = "a section without its bracket"
    PAIR = "key = value"
    OTHER = "anything else"


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes
    ----------
    number : from 1.
    text : all of it, with its line end.
    kind : what it is.
    name : the section's name or the key, as written; empty otherwise.
    value : the value without a comment behind it; empty otherwise.
    start, stop : where the value stands in ``text``.
    """

    number: int
    text: str
    kind: LineKind
    name: str = ""
    value: str = ""
    start: int = 0
    stop: int = 0

    def with_value(self, value: str) -> str:
        """Return the text with another value, everything around it as it was."""
        return self.text[: self.start] + value + self.text[self.stop :]


def parse_lines(text: str) -> tuple[Line, ...]:
    """Split a text into lines; ``"".join(line.text for line in parse_lines(text)) == text``.

    Line ends may be LF, CRLF or CR. A byte order mark becomes a blank line of its own, numbered 1.
    """
    mark = [Line(1, _BOM, LineKind.BLANK)] if text.startswith(_BOM) else []
    found = _LINE.findall(text.removeprefix(_BOM))
    return tuple(mark + [_line(number, line) for number, line in enumerate(found, start=1)])


def _line(number: int, text: str) -> Line:
    bare = text.strip()
    if not bare or bare[0] in "#;":
        return Line(number, text, LineKind.BLANK)
    if bare[0] == "[":
        name = _header_name(bare)
        kind = LineKind.BROKEN_HEADER if name is None else LineKind.HEADER
        return Line(number, text, kind, name or "")
    key, equals, _ = text.partition("=")
    if not equals or not key.strip():
        return Line(number, text, LineKind.OTHER)
    after = text[len(key) + 1 :].rstrip("\r\n")
    start = len(text) - len(text[len(key) + 1 :].lstrip(" \t"))
    comment = _COMMENT.search(after)
    stop = len(key) + 1 + (comment.start() if comment else len(after))
    start = min(start, stop)  # no value, and a comment in its place
    value = text[start:stop].rstrip()
    return Line(number, text, LineKind.PAIR, key.strip(), value, start, start + len(value))


def _header_name(bare: str) -> str | None:
    """Return what stands between the brackets, those of an address kept; ``None`` when they do not close."""
    inner = bare[1:].lstrip()
    name, close, rest = inner.partition("]")
    if name.startswith("["):
        between, close, rest = rest.partition("]")
        if between.strip():
            return None
        name += "]"
    if not close or "[" in name[1:] or (rest.strip() and rest.strip()[0] not in "#;"):
        return None
    return name.strip()


@dataclass(frozen=True, slots=True)
class Section:
    """A header and the lines under it; the lines before the first header have none."""

    header: Line | None
    lines: tuple[Line, ...]


def sections(lines: Sequence[Line]) -> list[Section]:
    """Group lines under their headers, the headless ones first even when there are none."""
    groups: list[tuple[Line | None, list[Line]]] = [(None, [])]
    for line in lines:
        if line.kind is LineKind.HEADER:
            groups.append((line, []))
        else:
            groups[-1][1].append(line)
    return [Section(header, tuple(body)) for header, body in groups]
