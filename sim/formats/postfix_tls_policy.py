"""The map that Postfix's ``smtp_tls_policy_maps`` names, in its source form (a *texthash* or *hash* table): both ways.

A key is a next hop: ``example.com`` for that domain alone, ``.example.com`` for every name below it, ``[host]``,
``[host]:587`` and ``example.com:587`` for the next hop of a transport or relayhost spelled just so. The most specific
entry holds, whole: nothing is inherited from a parent. Sources: postconf(5), TLS_README, ``smtp_tls_policy.c``; the
rules of the table's lines are those of postmap(1), *remembered*.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sim.errors import PolicyError, complaint, did_you_mean
from sim.files import decode, read_text, write_text
from sim.formats.account import AccountRow, Kind, account_frame
from sim.formats.postfix_attributes import (
    DEFAULT_MATCH,
    LEVELS,
    Pairs,
    complaints,
    level_of,
    name_and_value,
    spell,
    split_value,
)
from sim.policy.destinations import canonical_domain
from sim.policy.profiles.postfix import Level

if TYPE_CHECKING:
    from pandas import DataFrame

KEY_FORMS = "example.com, .example.com (all below it), [host], [host]:port or example.com:port"
_HOP = re.compile(r"\[[^\[\]\s]+\](?::\w+)?|[\w.-]+:\w+", re.ASCII)
# Not `str.splitlines`: a form feed ends no line for Postfix.
_LINE = re.compile(r"([^\r\n]+)(?:\r\n|\n|\r|$)|(?:\r\n|\n|\r)")
_COMMENT = re.compile(r"\s*(?:#.*)?")


@dataclass(frozen=True, slots=True)
class MapEntry:
    """One entry of the map.

    Attributes
    ----------
    key : the next hop, in lower case.
    level : what it demands.
    attributes : name and value of each, in their order; at level *none* they mean nothing.
    line : where it stands in its file, 0 when it comes from none; takes no part in comparisons.

    Raises
    ------
    PolicyError
        When the key matches no next hop, or Postfix could not use an attribute.

    Examples
    --------
    >>> print(MapEntry("example.com", Level.SECURE, (("match", "nexthop"),)).text)
    example.com secure match=nexthop
    """

    key: str
    level: Level
    attributes: Pairs = ()
    line: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if why := never_matches(self.key):
            raise PolicyError(complaint("key", self.key, f"{KEY_FORMS} ({why})"))
        for name, value in self.attributes:
            if name_and_value(spell(name, value)) != (name, value) or len(split_value(spell(name, value))) != 1:
                raise PolicyError(complaint(f"{self.key} {name}", value, "text on one line whose braces match"))
        if faults := complaints(self.level, self.attributes, self.key):
            raise PolicyError(faults[0])
        object.__setattr__(self, "key", self.key.lower())

    @property
    def value(self) -> str:
        """Level and attributes, as the map spells them."""
        return " ".join([self.level.label, *(spell(name, value) for name, value in self.attributes)])

    @property
    def text(self) -> str:
        """The entry as a line."""
        return f"{self.key} {self.value}"

    @property
    def match(self) -> tuple[str, ...]:
        """The words of ``match=``, or those the level has without it; digests at *fingerprint*."""
        between = "|" if self.level is Level.FINGERPRINT else ":"
        given = [word for name, value in self.attributes if name == "match" for word in value.split(between)]
        return tuple(word.lower() for word in given) or DEFAULT_MATCH.get(self.level, ())

    @property
    def domain(self) -> str | None:
        """The destination it means as Destination Controls spell it; ``None`` for the next hop of a transport."""
        return None if _HOP.fullmatch(self.key) and not _is_address(self.key) else canonical_domain(self.key)


def _is_address(key: str) -> bool:
    name = canonical_domain(key)
    return name is not None and name.startswith("[") and key.endswith("]")


def never_matches(key: str) -> str:
    """Say why a key matches no next hop; empty when it may match one."""
    if _HOP.fullmatch(key):
        return ""
    if "*" in key:
        better = key.removeprefix("*") if key.startswith("*.") else ""
        guess = did_you_mean(better, [better]) if better and never_matches(better) == "" else ""
        return f"no pattern is read in a key.{guess}" if guess else "no pattern is read in a key"
    if key.endswith((".", ":")):
        return f"a next hop does not end in '{key[-1]}'"
    try:
        ipaddress.ip_address(key)
    except ValueError:
        return "" if key and canonical_domain(key) is not None and "[" not in key else "no next hop is spelled so"
    return "an address stands in brackets"


@dataclass(frozen=True)
class TlsPolicyMap:
    r"""A policy map, with the file's own comments and an account of its lines.

    Two maps are equal when their entries are; layout and account take no part.

    Attributes
    ----------
    entries : in their order; each key once.
    layout : what the file holds beside its entries, as it stands: before each entry, and lastly after all.
    rows : the account, one element a line.

    Examples
    --------
    >>> policies = TlsPolicyMap.parse("# partners\nExample.com  secure\n  match=nexthop\n.example.com encrypt\n")
    >>> print(policies.to_text(), end="")
    # partners
    example.com secure match=nexthop
    .example.com encrypt
    >>> [policies.match(name) for name in ("example.com", "a.b.example.com", "example")]
    [0, 1, -1]
    """

    entries: tuple[MapEntry, ...] = ()
    layout: tuple[str, ...] = field(default=(), repr=False, compare=False)
    rows: tuple[AccountRow, ...] = field(default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        first: dict[str, MapEntry] = {}
        for entry in self.entries:
            if first.setdefault(entry.key, entry) is not entry:
                raise PolicyError(complaint("key", entry.key, "one entry a next hop"))

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, strict: bool = False) -> Self:
        """Read the source of a map.

        Parameters
        ----------
        path : the file, UTF-8.
        strict : whether lines that Postfix warns about and skips are faults; else they are ignored, and the account
            says so.

        Raises
        ------
        PolicyError
            Naming file, line, key, attribute, value, what is allowed and the nearest guess, for whatever would make
            Postfix put off the mail of a destination. When there is more than one fault, the others are its notes.
        """
        return cls.parse(read_text(path, PolicyError), source=str(path), strict=strict)

    @classmethod
    def parse(cls, text: str, *, source: str = "<text>", strict: bool = False) -> Self:
        """Read the text of such a file; ``source`` is how errors and the account name it. See `read`."""
        decode(text.encode("utf-8", "surrogatepass"), source, PolicyError)
        reader = _Reader(source, strict)
        for logical in logical_lines(text):
            reader.take(logical)
        reader.raise_faults()
        return cls(tuple(reader.entries), (*reader.layout, reader.between), tuple(reader.rows))

    def to_text(self) -> str:
        """Write the map, an entry a line; comments and lines that are not used stand where they stood."""
        fits = len(self.layout) == len(self.entries) + 1
        before = self.layout if fits else ("",) * (len(self.entries) + 1)
        lines = [f"{text}{entry.text}\n" for text, entry in zip(before, self.entries, strict=False)]
        return "".join(lines) + before[-1]

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the map to a file, whole or not at all, and return its path."""
        return write_text(path, self.to_text())

    def match(self, domain: str) -> int:
        """Return the index of the entry for mail to a domain, -1 where that is main.cf's level.

        Parent domains are tried from the longest, with their leading dot, and only for a domain: not for an address.
        """
        name = domain.lower()
        hop = "[" in name or ":" in name
        found = self._index.get(name)
        while found is None and not hop and (dot := name.find(".", 1)) > 0:
            name = name[dot:]
            found = self._index.get(name)
        return -1 if found is None else found

    @property
    def account(self) -> DataFrame:
        """What became of each line: file, line, text, kind, reason, changes_answer. See `Policy.account`."""
        return account_frame(self.rows)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {entry.key: i for i, entry in enumerate(self.entries)}


@dataclass(frozen=True, slots=True)
class LogicalLine:
    """An entry's lines.

    Attributes
    ----------
    number : of the first.
    text : the lines joined, comments between them left out; empty for comments and blank lines.
    raw : all of it, as it stands.
    """

    number: int
    text: str
    raw: str


def logical_lines(text: str) -> Iterator[LogicalLine]:
    """Join the lines of a table: one that begins with a blank continues the one before, comments do not end it."""
    number, parts, raw, loose = 0, [""][:0], [""][:0], [""][:0]
    for at, line in enumerate(_LINE.findall(text.removeprefix("\ufeff")), start=1):
        if _COMMENT.fullmatch(line):
            loose.append(f"{line}\n")
        elif line[0].isspace() and parts:
            # What stood between the parts goes in front of them, so that the entry can be written as one line.
            parts.append(line.strip())
            raw = [*loose, *raw, f"{line}\n"]
            loose = []
        else:
            if parts:
                yield LogicalLine(number, " ".join(parts), "".join(raw))
            if loose:
                yield LogicalLine(0, "", "".join(loose))
            number, parts, raw, loose = at, [line.rstrip()], [f"{line}\n"], []
    if parts:
        yield LogicalLine(number, " ".join(parts), "".join(raw))
    if loose:
        yield LogicalLine(0, "", "".join(loose))


class _Reader:
    """Read logical lines into entries, one account row each; faults are gathered, and raised at the end."""

    def __init__(self, source: str, strict: bool) -> None:
        self.source = source
        self.strict = strict
        self.entries: list[MapEntry] = []
        self.layout: list[str] = []
        self.between = ""
        self.rows: list[AccountRow] = []
        self.faults: list[str] = []
        self.known: dict[str, MapEntry] = {}

    def take(self, logical: LogicalLine) -> None:
        if not logical.text:
            self.between += logical.raw
        elif logical.text[0].isspace():
            self.skip(logical, "a first line that begins with a blank continues none")
        else:
            key, *value = logical.text.split(maxsplit=1)
            self.entry(logical, key, value[0].strip() if value else "")

    def entry(self, logical: LogicalLine, key: str, value: str) -> None:
        first = self.known.get(key.lower())
        if why := never_matches(key):
            self.skip(logical, f"matches no next hop: {why}")
        elif first is not None:
            same = value.split() == first.value.split()
            self.skip(logical, f"the entry of line {first.line} holds, being the first", matters=not same)
        elif not value:
            self.skip(logical, "no level: Postfix warns and skips it")
        elif (entry := self.read(logical.number, key, value)) is not None:
            self.known[entry.key] = entry
            self.entries.append(entry)
            comments = "".join(x for x in logical.raw.splitlines(keepends=True) if _COMMENT.fullmatch(x.rstrip("\n")))
            self.layout.append(self.between + comments)
            self.between = ""
            unread = entry.level is Level.NONE and entry.attributes
            self.row(logical, "ignored" if unread else "understood", "level none takes no attributes" if unread else "")

    def read(self, number: int, key: str, value: str) -> MapEntry | None:
        word, *parts = split_value(value) or [value]
        level = level_of(word)
        if level is None:
            self.fault(complaint(f"{key} level", word, LEVELS, file=self.source, line=number))
            return None
        pairs = [(part, name_and_value(part)) for part in parts]
        faults = [
            complaint(f"{key} attribute", part, "name=value, ':' between values", file=self.source, line=number)
            for part, pair in pairs
            if pair is None and level is not Level.NONE
        ]
        attributes = tuple(pair for _, pair in pairs if pair is not None)
        faults += complaints(level, attributes, key, file=self.source, line=number)
        for text in faults:
            self.fault(text)
        return None if faults else MapEntry(key, level, attributes, number)

    def skip(self, logical: LogicalLine, why: str, *, matters: bool = True) -> None:
        if self.strict:
            shown = " ".join(logical.text.split())
            self.fault(
                f"{complaint('line', shown, 'key level attributes', file=self.source, line=logical.number)} ({why})"
            )
        self.between += logical.raw
        self.row(logical, "ignored", why, matters)

    def row(self, logical: LogicalLine, kind: Kind, reason: str, matters: bool = False) -> None:
        text = " ".join(logical.text.split())
        self.rows.append(AccountRow(self.source, logical.number, text, kind, reason, matters))

    def fault(self, text: str) -> None:
        self.faults.append(text)

    def raise_faults(self) -> None:
        if self.faults:
            error = PolicyError(self.faults[0])
            for other in self.faults[1:]:
                error.add_note(other)
            raise error


def looks_like_map(text: str) -> bool:
    """Tell whether a text is a policy map rather than Destination Controls: more of its lines are entries of one."""
    lines = [logical.text for logical in logical_lines(text) if logical.text]
    of_controls = sum(line.rstrip().endswith("]") or line.split()[1:2] == ["="] for line in lines)
    return sum(map(_is_entry, lines)) > of_controls


def _is_entry(text: str) -> bool:
    key, *value = text.split(maxsplit=1)[:2] if text else [""]
    words = split_value(value[0]) if value else []
    return bool(words) and not key.startswith("=") and level_of(words[0]) is not None and _rest(words[1:])


def _rest(parts: Iterable[str]) -> bool:
    return all(name_and_value(part) is not None for part in parts)
