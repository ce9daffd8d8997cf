"""Keyed draws: the only source of chance in a run.

A draw depends on what it is for (a stream), on whom it concerns and on which time it is, never on who
drew first. So two policies meet the same world and the same mail, and differ only by the policy.

The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3",
SC 2011): a 64-bit key, a 128-bit counter, four 32-bit words. The key is the hash of seed and stream; the
counter is (name of the thing, which of its times). Words leave this module as non-negative int64.

Written for signed 64-bit arithmetic that wraps, which plain Python, numpy and a compiler all agree on.
"""

from __future__ import annotations

from enum import Enum
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Words = tuple[int, int, int, int]
RoundKeys = tuple[tuple[int, int], ...]

WORD_BITS = 32
_MASK = 0xFFFFFFFF
_MULTIPLY_0, _MULTIPLY_1 = 0xD2511F53, 0xCD9E8D57
_WEYL_0, _WEYL_1 = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10

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
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little", signed=True)


def round_keys(seed: int, stream: Stream) -> RoundKeys:
    """Return the ten pairs of round keys of a stream under a seed."""
    digest = blake2b(f"{seed}/{stream.value}".encode(), digest_size=8).digest()
    return philox_round_keys(int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little"))


def philox_round_keys(key_0: int, key_1: int) -> RoundKeys:
    """Return the key schedule of Philox4x32-10 for one pair of 32-bit key words."""
    return tuple(((key_0 + i * _WEYL_0) & _MASK, (key_1 + i * _WEYL_1) & _MASK) for i in range(_ROUNDS))


def words(keys: RoundKeys, who: int, nth: int) -> Words:
    """Return four 32-bit words for the thing ``who`` (64 bits) at its time ``nth`` (64 bits)."""
    c0, c1 = who & _MASK, (who >> 32) & _MASK
    c2, c3 = nth & _MASK, (nth >> 32) & _MASK
    for k0, k1 in keys:
        p0 = _MULTIPLY_0 * c0
        p1 = _MULTIPLY_1 * c2
        c0, c1, c2, c3 = ((p1 >> 32) & _MASK) ^ c1 ^ k0, p1 & _MASK, ((p0 >> 32) & _MASK) ^ c3 ^ k1, p0 & _MASK
    return c0, c1, c2, c3


def words_of_many(keys: RoundKeys, who: Int64, nth: Int64) -> tuple[Int64, Int64, Int64, Int64]:
    """Return the words of many things at once; the same numbers as :func:`words`, row by row.

    Parameters
    ----------
    who, nth : (n,) int64.

    Returns
    -------
    Four (n,) int64 arrays of values in 0..2**32 - 1.
    """
    mask, half = np.uint64(_MASK), np.uint64(32)
    first, second = who.astype(np.uint64), nth.astype(np.uint64)
    c0, c1 = first & mask, first >> half
    c2, c3 = second & mask, second >> half
    for k0, k1 in keys:
        p0 = c0 * np.uint64(_MULTIPLY_0)
        p1 = c2 * np.uint64(_MULTIPLY_1)
        c0, c1, c2, c3 = (p1 >> half) ^ c1 ^ np.uint64(k0), p1 & mask, (p0 >> half) ^ c3 ^ np.uint64(k1), p0 & mask
    return c0.astype(np.int64), c1.astype(np.int64), c2.astype(np.int64), c3.astype(np.int64)
