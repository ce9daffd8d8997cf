"""Write a Destination Controls file: the lines it was read from, with only what changed written anew."""

from __future__ import annotations

from collections.abc import Sequence

from sim.formats.destination_keys import HOSTED_WORD, KEYS, NOTE, Key, known_key
from sim.formats.ini_lines import Line, LineKind, Section, parse_lines, sections
from sim.policy.destinations import DEFAULT, SHIPPED, Entry, canonical_domain, is_default


def controls_text(default: Entry, entries: Sequence[Entry], layout: Sequence[Line]) -> str:
    """Compose the file.

    Parameters
    ----------
    default : the DEFAULT entry.
    entries : the entries in their order.
    layout : the lines of the file they came from; empty for none.

    Returns
    -------
    str
        Lines of ``layout`` that still hold as they were; a section whose entry is gone is left out with its
        comments, a new one stands at the place of its entry.
    """
    writer = _Writer(default, layout, may_lack_default=bool(layout and entries))
    head, *blocks = sections(layout)
    of_entry: dict[str, Section] = {}
    anchor: str | None = None
    place_of_default: str | None = None
    for block in blocks:
        name = _name(block)
        if name == DEFAULT:
            place_of_default = anchor
        of_entry[name] = block
        anchor = name

    order = [_key(entry) for entry in entries]
    pieces = [(key in of_entry, writer.entry(e, of_entry.get(key))) for key, e in zip(order, entries, strict=True)]
    at = order.index(place_of_default) + 1 if place_of_default in order else 0
    pieces.insert(at, (DEFAULT in of_entry, writer.default(of_entry.get(DEFAULT))))

    start = "".join(line.text for line in head.lines)
    text = start + writer.join([(old, text) for old, text in pieces if text], start)
    return with_note(text, writer.newline) if writer.unconfirmed else text


def with_note(text: str, newline: str) -> str:
    """Begin a file with the remark that some of its spellings are presumed, unless it has it already."""
    if NOTE in text:
        return text
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    return mark + NOTE + newline + text.removeprefix(mark)


def global_value(layout: Sequence[Line], name: str) -> str | None:
    """Return the value of a key in [DEFAULT], read without case; ``None`` when it is not there."""
    line = _global_line(layout, name)
    return None if line is None else line.value


def with_global(layout: Sequence[Line], name: str, value: str) -> tuple[Line, ...]:
    """Return the lines of a file with a key of [DEFAULT] set: in its line, else in a new one at the section's end.

    A file without [DEFAULT] gets one before its first section.
    """
    texts = [line.text for line in layout]
    newline = _newline(layout)
    line = _global_line(layout, name)
    if line is not None:
        texts[layout.index(line)] = line.with_value(value)
        return parse_lines("".join(texts))
    pair = f"{name} = {value}{newline}"
    head, *blocks = sections(layout)
    block = next((block for block in blocks if _name(block) == DEFAULT), None)
    if block is None or block.header is None:
        texts.insert(len(head.lines), f"[{DEFAULT}]{newline}{pair}{newline if blocks else ''}")
    else:
        last = next((line for line in reversed(block.lines) if line.kind is LineKind.PAIR), block.header)
        at = layout.index(last)
        texts[at] += "" if texts[at].endswith(("\n", "\r")) else newline
        texts.insert(at + 1, pair)
    return parse_lines("".join(texts))


def _global_line(layout: Sequence[Line], name: str) -> Line | None:
    pairs = (
        line
        for block in sections(layout)
        if _name(block) == DEFAULT
        for line in block.lines
        if line.kind is LineKind.PAIR and line.name.lower() == name
    )
    return next(pairs, None)


def _newline(layout: Sequence[Line]) -> str:
    return next((end for line in layout for end in ("\r\n", "\n", "\r") if line.text.endswith(end)), "\n")


class _Writer:
    def __init__(self, default: Entry, layout: Sequence[Line], *, may_lack_default: bool) -> None:
        self.of_default = default
        self.newline = _newline(layout)
        self.may_lack_default = may_lack_default
        self.unconfirmed = False

    def join(self, blocks: Sequence[tuple[bool, str]], start: str) -> str:
        """Put sections one behind the other, a blank line on either side of those the file did not have."""
        text, after_old = start, True
        for old, block in blocks:
            begun = text not in ("", "\ufeff")
            if begun and not text.endswith(("\n", "\r")):
                text += self.newline
            if begun and not (old and after_old) and not text.endswith(self.newline * 2):
                text += self.newline
            text += block
            after_old = old
        return text[len(start) :]

    def default(self, block: Section | None) -> str:
        if block is None and self.may_lack_default and self.of_default == SHIPPED:
            return ""
        values = {key: getattr(self.of_default, key.entry_field) for key in KEYS.values() if key.entry_field}
        # What a file leaves out of [DEFAULT] was read as the shipped value, and is left out again.
        optional = {key for key, value in values.items() if value == getattr(SHIPPED, key.entry_field)}
        if block is None:
            optional = {key for key in optional if not key.required}
        return self.section(DEFAULT, block, values, optional)

    def entry(self, entry: Entry, block: Section | None) -> str:
        values = {key: getattr(entry, key.entry_field) for key in KEYS.values() if key.entry_field}
        return self.section(entry.domain, block, values, set())

    def section(self, name: str, block: Section | None, values: dict[Key, object], optional: set[Key]) -> str:
        texts: list[str] = []
        end = 0
        written: set[Key] = set()
        for line in (block.header, *block.lines) if block is not None and block.header is not None else ():
            text, key = self.line(line, values)
            written |= {key} if key is not None else set()
            if text:
                texts.append(text)
            if line.kind in (LineKind.HEADER, LineKind.PAIR):
                end = len(texts)
        if block is None:
            texts = [f"[{name}]{self.newline}"]
            end = 1
        new = [
            self.pair(key, value)
            for key, value in values.items()
            if value is not None and key not in written and key not in optional
        ]
        if new and end and not texts[end - 1].endswith(("\n", "\r")):
            texts[end - 1] += self.newline
        return "".join([*texts[:end], *new, *texts[end:]])

    def line(self, line: Line, values: dict[Key, object]) -> tuple[str, Key | None]:
        key = known_key(line.name) if line.kind is LineKind.PAIR else None
        if key is None or key not in values:
            return line.text, None
        value = values[key]
        if value is None:
            return "", key
        if key.read(line.value) == value:
            return line.text, key
        self.note(key, value)
        return line.with_value(key.write(value)), key

    def pair(self, key: Key, value: object) -> str:
        self.note(key, value)
        return f"{key.name} = {key.write(value)}{self.newline}"

    def note(self, key: Key, value: object) -> None:
        self.unconfirmed |= key.name == "dane_option" or key.write(value) == HOSTED_WORD


def _key(entry: Entry) -> str:
    return canonical_domain(entry.domain) or entry.domain


def _name(block: Section) -> str:
    given = block.header.name if block.header is not None else ""
    return DEFAULT if is_default(given) else canonical_domain(given) or given
