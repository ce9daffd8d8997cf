"""Wrong inputs made of right ones: input NUMBER of a target is the same bytes on every machine."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

#: Bytes of the longest input.
LONGEST = 40_000

TOKENS: tuple[bytes, ...] = (
    *(b'"', b"'", b'"""', b"'''", b"`", b"(", b")", b"[", b"]", b"[[", b"]]", b"{", b"}", b"<", b">", b"]>"),
    *(
        b"=",
        b" = ",
        b":",
        b";",
        b",",
        b"|",
        b"?",
        b"*",
        b"*.",
        b".",
        b"..",
        b"#",
        b" # ",
        b"\\",
        b"\\u0000",
        b"/",
        b"@",
    ),
    *(
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"\t",
        b" ",
        b"    ",
        b"\x00",
        b"\x01",
        b"\x0b",
        b"\x0c",
        b"\x1c",
        b"\x1e",
        b"\x7f",
    ),
    *(b"\x80", b"\xff", b"\xff\xfe", b"\xfe\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"),
    *(c.encode() for c in "\u2028\u2029\x85\xa0\u3000\u200b\u202e\xe9\xdf\u0130\u212a\u0661\u00b2\U0001f4e7\ufeff"),
    *(
        "bücher.example".encode(),
        "。".encode(),
        b"xn--",
        b"xn--a",
        b"[::1]",
        b"[IPv6:::1]",
        b"fe80::1%eth0",
        b"192.0.2.7",
    ),
    *(
        b"0",
        b"-0",
        b"-1",
        b"1",
        b"00",
        b"1_0",
        b"1e999",
        b"-1e999",
        b"1e308",
        b"5e-324",
        b"nan",
        b"inf",
        b"-inf",
        b"0x10",
    ),
    *(b"255", b"256", b"65536", b"2147483648", b"9223372036854775807", b"9223372036854775808", b"1" + b"0" * 30),
    *(b"9" * 5_000, b"0x" + b"f" * 5_000, b"true", b"false", b"null", b"none", b"default", b"DEFAULT", b"[DEFAULT]"),
    *(b"1979-05-27", b"07:32:00", b"2026-13-41", b"%s", b"%(a)s", b"${a}", b"__class__", b"any", b"all"),
)
_WORD = re.compile(rb"[A-Za-z0-9_.-]+")
_NUMBER = re.compile(rb"-?[0-9][0-9_.]*")
_ENDS = (b"\n", b"\r\n", b"\r")

Random = random.Random
Change = Callable[[Random, bytes, Sequence[bytes]], bytes]


def mutated(target: str, number: int, seeds: Sequence[bytes]) -> bytes:
    """Return an input of a target: a seed changed in one to a dozen places, now and then in none, or noise."""
    chance = random.Random(f"{target} {number}")
    kind = chance.random()
    if kind < 0.01:
        return chance.randbytes(chance.randrange(200))
    if kind < 0.03:
        return b"".join(_piece(chance, seeds) for _ in range(chance.randrange(1, 30)))[:LONGEST]
    data = chance.choice(seeds)
    for _ in range(min(12, int(chance.expovariate(0.5)) + (kind > 0.05))):
        data = chance.choice(_CHANGES)(chance, data, seeds)[:LONGEST]
    return data


def _piece(chance: Random, seeds: Sequence[bytes]) -> bytes:
    """Return a token, or a word or a line of a seed."""
    if chance.random() < 0.6:
        return chance.choice(TOKENS)
    seed = chance.choice(seeds)
    found = _WORD.findall(seed) if chance.random() < 0.5 else seed.splitlines()
    return chance.choice(found) if found else b""


def _span(chance: Random, data: bytes) -> tuple[int, int]:
    start = chance.randrange(len(data) + 1)
    return start, min(len(data), start + chance.choice((1, 2, 5, 20, 100)))


def _flip(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


def _byte(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + chance.randbytes(1) + data[at + 1 :]


def _insert(chance: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + _piece(chance, seeds) + data[at:]


def _delete(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, stop = _span(chance, data)
    return data[:start] + data[stop:]


def _double(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, stop = _span(chance, data)
    return data[:stop] + data[start:stop] + data[stop:]


def _cut(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] if chance.random() < 0.7 else data[at:]


def _splice(chance: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    other = chance.choice(seeds)
    return data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other) + 1) :]


def _lines(chance: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    """Delete, double, swap or borrow a line."""
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    what = chance.randrange(4)
    if what == 0:
        del lines[at]
    elif what == 1:
        lines.insert(other, lines[at])
    elif what == 2:
        lines[at], lines[other] = lines[other], lines[at]
    else:
        lines.insert(at, chance.choice(chance.choice(seeds).splitlines(keepends=True) or [b""]))
    return b"".join(lines)


def _replace(chance: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    """Put a token or another word in the place of a word or a number."""
    found = list((_NUMBER if chance.random() < 0.4 else _WORD).finditer(data))
    if not found:
        return data
    spot = chance.choice(found)
    return data[: spot.start()] + _piece(chance, seeds) + data[spot.end() :]


def _case(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, stop = _span(chance, data)
    return data[:start] + data[start:stop].swapcase() + data[stop:]


def _ends(chance: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Give all lines, or one, another end."""
    return data.replace(b"\n", chance.choice(_ENDS), chance.choice((1, -1)))


def _repeat(chance: Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    """Repeat a piece: long lines, many lines, deep nesting."""
    at = chance.randrange(len(data) + 1)
    times = chance.choice((2, 10, 100, 1_200))
    return data[:at] + (_piece(chance, seeds)[:50] + chance.choice((b"", b"", b".a.", b" "))) * times + data[at:]


_CHANGES: tuple[Change, ...] = (
    *(_flip, _byte, _insert, _insert, _insert, _delete, _double, _cut, _splice, _lines, _lines),
    *(_replace, _replace, _replace, _replace, _case, _ends, _repeat),
)
