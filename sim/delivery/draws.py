"""Keyed draws: the only source of chance in a run.

A draw depends on what it is for (a stream), on whom it concerns and on which time it is, never on who
drew first. So two policies meet the same world and the same mail, and differ only by the policy.

The generator is Philox2x64-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3",
SC 2011): a 64-bit key, a 128-bit counter, 128 bits out. The key is the hash of seed and stream; the counter is
(name of the thing, which of its times). Of Philox's forms it is the quickest in plain Python. Its words leave
this module as four int64 of 32 bits each; unsigned arithmetic stays inside.
"""

from __future__ import annotations

from enum import Enum
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.names import keys_of

Int64 = NDArray[np.int64]
Words = tuple[int, int, int, int]
RoundKeys = tuple[int, ...]

_MASK = (1 << 64) - 1
_WORD = (1 << 32) - 1
MULTIPLIER = 0xD2B74407B1CE6E93
_WEYL = 0x9E3779B97F4A7C15
_ROUNDS = 10
_MULTIPLIER_64, _WORD_64, _HALF_64 = np.uint64(MULTIPLIER), np.uint64(_WORD), np.uint64(32)
_LOW_MULTIPLIER, _HIGH_MULTIPLIER = np.uint64(MULTIPLIER & _WORD), np.uint64(MULTIPLIER >> 32)

#: Which of its times: a message's verdicts, or its openings, share the low bits of the counter's second half.
NTH_BITS = 20


class Stream(Enum):
    """What a draw is for. Its name is part of the key, so members may be added in any order."""

    ARRIVAL = "arrival"
    MESSAGE = "message"
    VERDICT = "verdict"
    PASS = "pass"
    CONNECTION = "connection"
    OUTAGE = "outage"


def name_key(name: str) -> int:
    """Return the signed 64-bit key of a name (a domain, an MX host)."""
    return int(keys_of([name])[0])


def round_keys(seed: int, stream: Stream) -> RoundKeys:
    """Return the ten pairs of round keys of a stream under a seed."""
    digest = blake2b(f"{seed}/{stream.value}".encode(), digest_size=8).digest()
    return philox_round_keys(int.from_bytes(digest, "little"))


def philox_round_keys(key: int) -> RoundKeys:
    """Return the key schedule of Philox2x64-10 for a 64-bit key."""
    return tuple((key + i * _WEYL) & _MASK for i in range(_ROUNDS))


def philox(keys: RoundKeys, first: int, second: int) -> tuple[int, int]:
    """Return Philox2x64-10 of a counter's two unsigned halves."""
    for key in keys:
        product = MULTIPLIER * first
        first, second = (product >> 64) ^ second ^ key, product & _MASK
    return first, second


def words(keys: RoundKeys, who: int, nth: int) -> Words:
    """Return four 32-bit words for the thing ``who`` (64 bits, signed) at its time ``nth`` (64 bits, signed)."""
    first, second = philox(keys, who & _MASK, nth & _MASK)
    return first & _WORD, first >> 32, second & _WORD, second >> 32


def words_of_many(keys: RoundKeys, who: Int64, nth: Int64) -> tuple[Int64, Int64, Int64, Int64]:
    """Return the words of many things at once; the same numbers as :func:`words`, row by row.

    Parameters
    ----------
    who, nth : (n,) int64.

    Returns
    -------
    Four (n,) int64 arrays of values in 0..2**32 - 1.
    """
    first, second = who.astype(np.uint64), nth.astype(np.uint64)
    for key in keys:
        first, second = upper_product(first) ^ second ^ np.uint64(key), first * _MULTIPLIER_64
    return (
        (first & _WORD_64).astype(np.int64),
        (first >> _HALF_64).astype(np.int64),
        (second & _WORD_64).astype(np.int64),
        (second >> _HALF_64).astype(np.int64),
    )


def upper_product(value: Any) -> Any:
    """Return the upper half of the product of uint64 (one or many) with the multiplier, from four products of 32 bits.

    Hacker's Delight, section 8-2.
    """
    low, high = value & _WORD_64, value >> _HALF_64
    cross = high * _LOW_MULTIPLIER + (low * _LOW_MULTIPLIER >> _HALF_64)
    middle = low * _HIGH_MULTIPLIER + (cross & _WORD_64)
    return high * _HIGH_MULTIPLIER + (cross >> _HALF_64) + (middle >> _HALF_64)


def compiled_words(keys: NDArray[np.uint64], stream: int, who: int, nth: int) -> Any:
    """Return the four words of one thing, :func:`words` for a compiler: machine integers throughout.

    Parameters
    ----------
    keys : (streams, 10) round keys.
    stream : the row of ``keys`` that is used.
    """
    first, second = np.uint64(who), np.uint64(nth)
    for i in range(_ROUNDS):
        first, second = upper_product(first) ^ second ^ keys[stream, i], first * _MULTIPLIER_64
    return (
        np.int64(first & _WORD_64),
        np.int64(first >> _HALF_64),
        np.int64(second & _WORD_64),
        np.int64(second >> _HALF_64),
    )
