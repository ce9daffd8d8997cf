"""Intervals over replications: what is known about a mean when the run is repeated with other chance.

A share's interval is Student's t-interval of its mean over the replications, clipped to 0..1. A quantile's is by order
statistics: whatever the distribution, but of independent values, so of one number a replication and never of the
messages of one run, whose delays depend on each other through the queues they share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.errors import complaint
from sim.terms import Fate, Setting

if TYPE_CHECKING:
    from pandas import DataFrame

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: What a replication redraws unless the caller says otherwise.
VARY = "chance and population"
SHARE = (0.0, 1.0)
#: Columns of words that differ between replications: they have no mean.
_REASONS = ("main_reason", "main_bounce_reason")

#: Fates a setting can end in. Source: Cisco tech note 118955 (a Required setting has no delivery in clear, only the
#: settings with Verify look at the certificate, Required - Verify sends to verified peers alone).
_POSSIBLE = {
    Setting.NO: (Fate.IN_CLEAR,),
    Setting.PREFERRED: (Fate.IN_CLEAR, Fate.ENCRYPTED),
    Setting.REQUIRED: (Fate.ENCRYPTED,),
    Setting.PREFERRED_VERIFY: (Fate.IN_CLEAR, Fate.ENCRYPTED, Fate.VERIFIED),
    Setting.REQUIRED_VERIFY: (Fate.VERIFIED,),
    Setting.REQUIRED_VERIFY_HOSTED: (Fate.VERIFIED,),
}


def possible_fates(setting: Setting) -> Bools:
    """Return (5,) flags, by `Fate`: can mail under this setting of the gateway end so? Any mail can bounce or wait."""
    return np.array([fate in _POSSIBLE[setting] or fate in (Fate.BOUNCED, Fate.QUEUED) for fate in Fate])


@dataclass(frozen=True, eq=False)
class Interval:
    """Means over replications with their intervals, all of the shape of one replication.

    Attributes
    ----------
    mean : the mean over the replications in which the quantity exists (NaN: in none).
    low, high : ends of the interval; NaN where there is none: one replication, or an impossible fate.
    n : number of replications.
    level : probability that such an interval covers the mean.
    vary : what the replications redrew.
    """

    mean: Floats
    low: Floats
    high: Floats
    n: int
    level: float
    vary: str

    def text(self) -> str:
        """Say in one sentence what the intervals are, for a caption."""
        if self.n == 1:
            return "one replication: no intervals"
        return f"{self.level * 100:g} % intervals over {self.n} replications; {self.vary} varied"


def across(
    samples: Sequence[ArrayLike],
    *,
    level: float = 0.95,
    clip: tuple[float, float] | None = SHARE,
    possible: ArrayLike | None = None,
    vary: str = VARY,
) -> Interval:
    """Return the mean over replications and its t-interval.

    Parameters
    ----------
    samples : n arrays of one shape, one a replication; NaN where a replication has no such quantity.
    level : coverage, 0 < level < 1.
    clip : ends of the range the quantity lives in (shares: 0..1); None for any other.
    possible : flags of that shape; where False the mean is 0 and there is no interval.
    vary : what the replications redrew.

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        When there are no samples, their shapes differ, or an impossible fate has happened.
    """
    from scipy import stats

    if not len(samples):
        raise ValueError(complaint("replications", 0, ">= 1"))
    if not 0 < level < 1:
        raise ValueError(complaint("level", level, "0 < level < 1"))
    values = np.stack([np.asarray(sample, dtype=np.float64) for sample in samples])
    there = np.isfinite(values)
    n = there.sum(axis=0)
    mean = np.where(there, values, 0).sum(axis=0) / np.where(n, n, np.nan)
    spread = np.where(there, (values - mean) ** 2, 0).sum(axis=0)
    enough = n > 1
    freedom = np.where(enough, n - 1, 1)
    half = stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(spread / freedom / np.maximum(n, 1))
    low, high = (np.where(enough, mean + side * half, np.nan) for side in (-1, 1))
    if clip is not None:
        low, high = np.clip(low, *clip), np.clip(high, *clip)
    if possible is not None:
        never = ~np.broadcast_to(np.asarray(possible, dtype=bool), mean.shape)
        if bool((np.where(there, values, 0)[:, never] != 0).any()):
            raise ValueError(complaint("share of an impossible fate", float(mean[never].max()), "0"))
        mean, low, high = np.where(never, 0.0, mean), np.where(never, np.nan, low), np.where(never, np.nan, high)
    return Interval(mean, low, high, len(samples), level, vary)


def across_frames(
    frames: Sequence[DataFrame],
    *,
    level: float = 0.95,
    possible: DataFrame | None = None,
    vary: str = VARY,
) -> DataFrame:
    """Return one frame for many of the same rows: each number as its mean, ``<name>_low`` and ``<name>_high``.

    Parameters
    ----------
    frames : n frames of equal rows and columns, one a replication, such as ``by_setting()`` of n results.
    level, vary : as in `across`. Columns that end in ``_share`` are clipped to 0..1, others are not.
    possible : flags with the index and any of the columns of the frames; columns not named are possible.

    Returns
    -------
    The text columns as they are, then three columns a number. ``.attrs`` holds n, level and vary.

    Raises
    ------
    ValueError
        When rows or columns differ: replications of different questions have no common mean.
    """
    import pandas as pd

    if not frames:
        raise ValueError(complaint("replications", 0, ">= 1"))
    first = frames[0]
    text = [name for name in first.columns if not pd.api.types.is_numeric_dtype(first[name])]
    text = [name for name in text if name not in _REASONS]
    for frame in frames[1:]:
        if list(frame.columns) != list(first.columns) or not frame[text].equals(first[text]):
            raise ValueError(complaint("rows of a replication", "different", "the rows and columns of the first"))
    columns: dict[str, object] = {name: first[name] for name in text}
    for name in first.columns:
        if name in text or name in _REASONS:
            continue
        flags = possible[name].to_numpy() if possible is not None and name in possible.columns else None
        found = across(
            [frame[name].to_numpy(dtype=float) for frame in frames],
            level=level, clip=SHARE if name.endswith("_share") else None, possible=flags, vary=vary,
        )  # fmt: skip
        columns |= {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}
    combined = pd.DataFrame(columns, index=first.index)
    combined.attrs = {"n": len(frames), "level": level, "vary": vary}
    return combined


@dataclass(frozen=True, slots=True)
class OrderInterval:
    """A quantile of independent values, and a distribution-free interval that ends at two of them.

    Attributes
    ----------
    value : the smallest value that at least a share `q` of the values do not exceed; NaN without values.
    low, high : ends of the interval; NaN where there are too few values.
    level : probability, before the values were seen, that such an interval holds what it is about; at least what was
        asked for, and exact where no two values can be equal. NaN where there is no interval.
    n, needed : number of values, and how many an interval of the level asked for needs.
    """

    value: float
    low: float
    high: float
    level: float
    n: int
    needed: int

    def text(self) -> str:
        """Say in one sentence what the interval is, for a caption."""
        if self.n < self.needed:
            return f"{self.n} values: too few for an interval, which needs {self.needed}"
        return f"{self.level * 100:.3g} % interval by order statistics of {self.n} values"


def order_statistic_interval(values: ArrayLike, q: float, level: float = 0.95) -> OrderInterval:
    """Return a quantile of independent values and an interval between two of them.

    The number of values below the true quantile is binomial, whatever the distribution; so the r-th and the s-th
    smallest value enclose it with a probability that is known (David and Nagaraja, *Order Statistics*, section 7.1).
    Each tail gets at most half of what the level leaves over.

    Parameters
    ----------
    values : (n,) independent and of one distribution; NaN where there is none (left out).
    q : 0 < q < 1.
    level : wanted coverage, 0 < level < 1.

    Raises
    ------
    ValueError
        When `q` or `level` is no probability.
    """
    from scipy import stats

    for name, given in (("q", q), ("level", level)):
        if not 0 < given < 1:
            raise ValueError(complaint(name, given, f"0 < {name} < 1"))
    there = np.asarray(values, dtype=np.float64).ravel()
    there = np.sort(there[np.isfinite(there)])
    n, needed, tail = there.size, values_needed(q, level), (1 - level) / 2
    if not n:
        return OrderInterval(math.nan, math.nan, math.nan, math.nan, 0, needed)
    value = float(there[max(math.ceil(n * q - 1e-9), 1) - 1])
    if n < needed:
        return OrderInterval(value, math.nan, math.nan, math.nan, n, needed)
    below = stats.binom.cdf(np.arange(n), n, q)
    # The r-th smallest is above the quantile when fewer than r values are below it, the s-th below it when s are.
    r = max(int(np.searchsorted(below, tail, side="right")), 1)
    s = min(int(np.searchsorted(below, 1 - tail, side="left")) + 1, n)
    achieved = float(below[s - 1] - below[r - 1])
    return OrderInterval(value, float(there[r - 1]), float(there[s - 1]), achieved, n, needed)


def prediction_interval(values: ArrayLike, level: float = 0.9) -> OrderInterval:
    """Return the median of independent values and the range in which one more of them lies with a known probability.

    One more value falls into each of the n + 1 gaps between n values with the same chance, whatever the distribution
    (David and Nagaraja, *Order Statistics*, section 7.3). Unlike the interval of a mean it does not narrow with n.

    Parameters
    ----------
    values : (n,) independent and of one distribution; NaN where there is none (left out).
    level : wanted probability, 0 < level < 1.

    Raises
    ------
    ValueError
        When `level` is no probability.
    """
    median = order_statistic_interval(values, 0.5, level)
    there = np.asarray(values, dtype=np.float64).ravel()
    there = np.sort(there[np.isfinite(there)])
    n, needed = there.size, math.ceil(2 / (1 - level) - 1e-9) - 1
    if n < needed:
        return OrderInterval(median.value, math.nan, math.nan, math.nan, n, needed)
    r = math.floor((1 - level) * (n + 1) / 2 + 1e-9)
    return OrderInterval(median.value, float(there[r - 1]), float(there[n - r]), 1 - 2 * r / (n + 1), n, needed)


def values_needed(q: float, level: float = 0.95) -> int:
    """Return how many values an interval of a quantile needs: at level 0.95, 6 for a median and 368 for q = 0.99.

    The extremes must lie on either side of the quantile but for a tail of half of what the level leaves over.
    """
    return max(math.ceil(math.log((1 - level) / 2) / math.log(max(q, 1 - q)) - 1e-9), 1)


def share_text(mean: float, low: float = np.nan, high: float = np.nan) -> str:
    """Return a share as people read it: ``4.1 % (3.8 to 4.4)``, without brackets where there is no interval.

    An exact zero prints as ``0``, whatever the interval: nothing happened.
    """
    if np.isnan(mean):
        return "-"
    if mean == 0 and not high > 0:
        return "0"
    if np.isnan(low) or np.isnan(high):
        return f"{mean * 100:.2g} %" if mean < 0.01 else f"{mean * 100:.1f} %"
    digits = 1 if max(high - low, mean) >= 0.01 else 2
    return f"{mean * 100:.{digits}f} % ({low * 100:.{digits}f} to {high * 100:.{digits}f})"
