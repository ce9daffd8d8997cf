"""Keyed draws: the published generator, one form equal to the other, and words that look like chance."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from sim.delivery.draws import (
    NTH_BITS,
    Stream,
    name_key,
    philox,
    philox_round_keys,
    round_keys,
    words,
    words_of_many,
)

Int64 = NDArray[np.int64]
ONES = (1 << 64) - 1
LOWEST, HIGHEST = -(1 << 63), (1 << 63) - 1
#: Chance that one statistical test of this file fails though all is well. Seeds are fixed: it fails always or never.
FALSE_ALARM = 1e-7
DRAWS = 1 << 18
BINS = 256

#: Random123, tests/kat_vectors, philox2x64 of 10 rounds: counter, key, result.
KNOWN_ANSWERS = [
    ((0, 0), 0, (0xCA00A0459843D731, 0x66C24222C9A845B5)),
    ((ONES, ONES), ONES, (0x65B021D60CD8310F, 0x4D02F3222F86DF20)),
    ((0x243F6A8885A308D3, 0x13198A2E03707344), 0xA4093822299F31D0, (0x0A5E742C2997341C, 0xB0F883D38000DE5D)),
]

#: BLAKE2b with 8 bytes (``printf example.com | b2sum -l 64``), read low byte first.
KEY_OF_EXAMPLE_COM, KEY_OF_NOTHING = 7_360_799_068_904_473_875, -5_426_141_060_434_712_860
FIRST_ROUND_KEY = 18_419_004_226_521_025_943

int64s = st.one_of(st.integers(LOWEST, HIGHEST), st.sampled_from([LOWEST, -1, 0, 1, HIGHEST, 1 << 32, -(1 << 32)]))
streams = st.sampled_from(Stream)


def signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def many(seed: int, stream: Stream, name: str, count: int = DRAWS) -> tuple[Int64, ...]:
    """The words of the first ``count`` ordinals of a name, as the model numbers them."""
    nth = np.arange(count, dtype=np.int64) << NTH_BITS
    return words_of_many(round_keys(seed, stream), np.full(count, name_key(name), dtype=np.int64), nth)


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN_ANSWERS)
def test_the_generator_gives_the_published_answers(counter: tuple[int, int], key: int, result: tuple[int, int]) -> None:
    """Both forms, bit for bit; the words are the halves, low before high."""
    keys = philox_round_keys(key)
    assert philox(keys, *counter) == result
    halves = [result[0] & 0xFFFFFFFF, result[0] >> 32, result[1] & 0xFFFFFFFF, result[1] >> 32]
    who, nth = map(signed, counter)
    assert list(words(keys, who, nth)) == halves
    assert np.concatenate(words_of_many(keys, np.array([who]), np.array([nth]))).tolist() == halves


@given(st.integers(0, ONES), st.lists(st.tuples(int64s, int64s), min_size=1, max_size=20))
def test_many_words_at_once_are_the_words_one_by_one(key: int, counters: list[tuple[int, int]]) -> None:
    """Over the whole int64 range, negative numbers too; every word fits 32 bits and the columns are int64."""
    keys = philox_round_keys(key)
    who, nth = (np.array(column, dtype=np.int64) for column in zip(*counters, strict=True))
    columns = words_of_many(keys, who, nth)
    assert all(c.dtype == np.int64 and c.min() >= 0 and c.max() < 1 << 32 for c in columns)
    assert list(zip(*(c.tolist() for c in columns), strict=True)) == [words(keys, w, n) for w, n in counters]


@given(st.integers(-(10**9), 10**9), streams, st.text(max_size=20), st.integers(0, HIGHEST))
def test_a_draw_depends_on_seed_stream_name_and_time_only(seed: int, stream: Stream, name: str, nth: int) -> None:
    """Other draws between leave it alone; another seed, stream, name or time gives other words."""
    first = words(round_keys(seed, stream), name_key(name), nth)
    other_stream = next(s for s in Stream if s is not stream)
    others = [
        words(round_keys(seed + 1, stream), name_key(name), nth),
        words(round_keys(seed, other_stream), name_key(name), nth),
        words(round_keys(seed, stream), name_key(name + "."), nth),
        words(round_keys(seed, stream), name_key(name), nth ^ 1),
    ]
    assert words(round_keys(seed, stream), name_key(name), nth) == first
    assert first not in others
    assert len({*others}) == len(others)


def test_keys_are_the_same_in_every_process() -> None:
    """Python's own hash of text differs from process to process; ours must not (known answers, any machine)."""
    assert (name_key("example.com"), name_key("")) == (KEY_OF_EXAMPLE_COM, KEY_OF_NOTHING)
    assert round_keys(7, Stream.MESSAGE)[0] == FIRST_ROUND_KEY
    code = "from sim.delivery.draws import *; print(name_key('example.com'), round_keys(7, Stream.MESSAGE)[0])"
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == [str(KEY_OF_EXAMPLE_COM), str(FIRST_ROUND_KEY)]


def test_streams_do_not_share_a_key() -> None:
    """Under one seed no two streams, and over many seeds no two seeds, have the same key schedule."""
    seen = [round_keys(seed, stream) for seed in range(1_000) for stream in Stream]
    assert len({*seen}) == len(seen)


def chi_square(counts: Int64) -> float:
    """Chance of counts at least as uneven as these, were all cells equally likely."""
    return float(stats.chisquare(counts.ravel()).pvalue)


@pytest.mark.parametrize("stream", Stream)
@pytest.mark.parametrize("word", range(4))
def test_each_word_is_uniform(stream: Stream, word: int) -> None:
    """Chi-square of the highest and of the lowest byte over 2**18 ordinals: 1e-7 each."""
    values = many(11, stream, "uniform.example")[word]
    for byte in (values >> 24, values & 0xFF):
        assert chi_square(np.bincount(byte, minlength=BINS)) > FALSE_ALARM


@pytest.mark.parametrize("word", range(4))
def test_each_word_is_uniform_over_names_and_over_times_of_one_message(word: int) -> None:
    """The other halves of the counter: 2**16 names at one time, and 2**18 times of one message; 1e-7 each."""
    keys = round_keys(12, Stream.VERDICT)
    names = np.array([name_key(f"d{i}.example") for i in range(1 << 16)], dtype=np.int64)
    over_names = words_of_many(keys, names, np.ones(len(names), dtype=np.int64))[word]
    nth = np.arange(DRAWS, dtype=np.int64)
    over_times = words_of_many(keys, np.full(DRAWS, names[0]), nth)[word]
    for values in (over_names, over_times):
        assert chi_square(np.bincount(values >> 24, minlength=BINS)) > FALSE_ALARM


def test_neighbouring_draws_are_independent() -> None:
    """Chi-square of pairs of upper nibbles: two words of one draw, two ordinals, streams, seeds or names; 1e-7 each."""
    base = many(13, Stream.MESSAGE, "a.example")
    pairs = {f"words {i} and {j}": (base[i], base[j]) for i in range(4) for j in range(i)}
    pairs["ordinals"] = (base[0][:-1], base[0][1:])
    pairs["streams"] = (base[0], many(13, Stream.VERDICT, "a.example")[0])
    pairs["seeds"] = (base[0], many(14, Stream.MESSAGE, "a.example")[0])
    pairs["names"] = (base[0], many(13, Stream.MESSAGE, "b.example")[0])
    for what, (one, other) in pairs.items():
        counts = np.bincount((one >> 28) << 4 | other >> 28, minlength=BINS)
        assert chi_square(counts) > FALSE_ALARM, what
