"""Chance in a population: uniforms keyed by names, and classes drawn from a quota carried forward.

A draw belongs to a name and a purpose, never to a row or to whoever drew before, so a domain keeps its state when the
list around it changes; only a quota looks at its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from sim.names import keys_of

Float = NDArray[np.float64]
Int64 = NDArray[np.int64]
Keys = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
#: Units walked one by one; beyond, each weighs so little that a systematic sample is as good.
_WALKED = 20_000


def name_keys(names: Sequence[str]) -> Keys:
    """Return one 64-bit key a name (BLAKE2b), shape (n,)."""
    return keys_of(names).view(np.uint64)


def splitmix64(state: Keys) -> Keys:
    """Return the output of SplitMix64 (Steele, Lea, Flood 2014) for each state: state -> well-mixed 64 bits."""
    with np.errstate(over="ignore"):
        z = state + _GOLDEN
        z = (z ^ (z >> np.uint64(30))) * _FIRST
        z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))


class Chance:
    """Uniform numbers keyed by (seed, family of presets, purpose, name)."""

    def __init__(self, seed: int, family: str) -> None:
        self._prefix = f"{seed}\0{family}\0"

    def uniform(self, keys: Keys, purpose: str) -> Float:
        """Return one number in 0..1 (1 excluded) a key, shape (n,)."""
        purpose_key = np.frombuffer(blake2b(f"{self._prefix}{purpose}".encode(), digest_size=8).digest(), dtype="<u8")
        bits = splitmix64(splitmix64(keys) ^ purpose_key.astype(np.uint64))
        return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def normal(self, keys: Keys, purpose: str) -> Float:
        """Return one standard normal number a key (Box-Muller), shape (n,)."""
        radius = np.sqrt(-2.0 * np.log1p(-self.uniform(keys, f"{purpose}: radius")))
        return np.asarray(radius * np.cos(2.0 * math.pi * self.uniform(keys, f"{purpose}: angle")))


def quota_walk(weights: Float, targets: Sequence[float] | Float, uniform: Float) -> Int64:
    """Draw one class a unit so that the classes' total weights meet their targets.

    Units are walked by falling weight. Each takes a class with probability proportional to what that class still
    lacks, among those that lack at least the unit's weight (the neediest, where none does). So a class's share of a
    heavy-tailed total is met to about the weight of the last unit, while each unit's own class stays random. From the
    first unit on from which all weigh the same, or after the first 20,000, a systematic sample in random order does
    the same at once.

    Parameters
    ----------
    weights : (n,) not negative. Units of weight 0 take classes at the rates of the targets.
    targets : (k,) not negative; scaled to the sum of the weights.
    uniform : (n,) one number in 0..1 a unit.

    Returns
    -------
    (n,) int64, class of each unit in input order.
    """
    codes = np.zeros(len(weights), dtype=np.int64)
    wanted = np.asarray(targets, dtype=np.float64)
    total = float(weights.sum())
    if not len(weights) or wanted.sum() <= 0:
        return codes
    lacking: list[float] = (wanted / wanted.sum() * total).tolist()
    order = np.lexsort((uniform, -weights))
    weighed = order[: np.count_nonzero(weights)]
    walked = weighed[: _walked(weights[weighed])]
    left = _walk(weights, walked, lacking, uniform, codes)
    rest = weighed[len(walked) :]
    _systematic(weights, rest[np.argsort(uniform[rest], kind="stable")], left, codes)
    idle = order[len(weighed) :]
    codes[idle] = np.searchsorted(_ends(wanted), uniform[idle], side="right")
    return codes


def _walked(falling: Float) -> int:
    if not len(falling):
        return 0
    return min(int(np.searchsorted(-falling, -falling[-1] * (1 + 1e-12))), _WALKED)


def _walk(weights: Float, order: Int64, left: list[float], uniform: Float, codes: Int64) -> list[float]:
    classes = range(len(left))
    for unit, weight, u in zip(order.tolist(), weights[order].tolist(), uniform[order].tolist(), strict=True):
        room = [x if x >= weight else 0.0 for x in left]
        point = u * sum(room)
        chosen = -1
        if point > 0:
            for c in classes:
                point -= room[c]
                if point < 0:
                    chosen = c
                    break
        if chosen < 0:
            chosen = max(classes, key=left.__getitem__)
        left[chosen] -= weight
        codes[unit] = chosen
    return left


def _systematic(weights: Float, order: Int64, left: list[float], codes: Int64) -> None:
    """Lay the units in random order along what each class still lacks; a unit goes where its middle falls."""
    ends = _ends(np.maximum(left, 0.0))
    if not len(order):
        return
    upto = np.cumsum(weights[order])
    middle = (upto - weights[order] / 2) / upto[-1]
    codes[order] = np.searchsorted(ends, middle, side="right")


def _ends(weights: Float) -> Float:
    """Return where each class but the last ends on the line from 0 to 1."""
    total = weights.sum()
    if total <= 0:
        return np.zeros(len(weights) - 1)
    return np.asarray(np.cumsum(weights)[:-1] / total)
