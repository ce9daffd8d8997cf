"""Distributions of sizes and recipients: objects with ``ppf`` and ``mean``, like a frozen ``scipy.stats`` one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.errors import WorkloadError, complaint
from sim.world.figures import load_mail

Float = NDArray[np.float64]


@runtime_checkable
class Shape(Protocol):
    """Quantiles and a mean; any frozen ``scipy.stats`` distribution is one."""

    def ppf(self, q: Any, /) -> Any:
        """Return the quantiles at probabilities in 0..1."""

    def mean(self) -> Any:
        """Return the mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Message sizes in bytes: a log-normal body, a Pareto tail, between a least and a largest size.

    Shapes: Gomes et al. 2007 and others, reported by Boukoros et al. 2020. The values of the parameters are assumed.
    """

    min_bytes: float
    median_bytes: float
    sigma: float
    tail_share: float
    tail_exponent: float
    max_bytes: float

    def ppf(self, q: ArrayLike, /) -> Float:
        """Return the quantiles in bytes, the shape of ``q``."""
        from scipy.special import ndtri

        u = np.asarray(q, dtype=np.float64)
        body_share = 1 - self.tail_share
        with np.errstate(divide="ignore", over="ignore"):
            body = self.median_bytes * np.exp(self.sigma * ndtri(np.minimum(u, body_share)))
            tail = (np.maximum(1 - u, 0.0) / max(self.tail_share, 1e-300)) ** (-1 / self.tail_exponent)
        size = np.where(u < body_share, body, self._joint() * tail)
        return np.clip(size, self.min_bytes, self.max_bytes)

    def mean(self) -> float:
        """Return the mean in bytes, in closed form."""
        from scipy.special import ndtr

        joint, sigma = self._joint(), self.sigma
        low = math.log(self.min_bytes / self.median_bytes) / sigma
        high = math.log(joint / self.median_bytes) / sigma
        whole = self.median_bytes * math.exp(sigma * sigma / 2)
        body = self.min_bytes * ndtr(low) + whole * (ndtr(high - sigma) - ndtr(low - sigma))
        reach, slope = self.max_bytes / joint, 1 - self.tail_exponent
        above = math.log(reach) if slope == 0 else (reach**slope - 1) / slope
        return float(body + self.tail_share * joint * (1 + above))

    def _joint(self) -> float:
        """Size at which the tail takes over from the body."""
        from scipy.special import ndtri

        joint = self.median_bytes * math.exp(self.sigma * float(ndtri(1 - self.tail_share)))
        return min(max(joint, self.min_bytes), self.max_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipients:
    """Recipients of a message: P(n) falls with a power of n, up to a largest number.

    Shape: Gomes et al. 2007, reported by Boukoros et al. 2020. The values of the parameters are assumed.
    """

    exponent: float
    most: int

    def ppf(self, q: ArrayLike, /) -> Float:
        """Return the quantiles, whole numbers from 1, the shape of ``q``."""
        upto = np.cumsum(self._shares())
        place = np.searchsorted(upto[:-1], np.asarray(q, dtype=np.float64), side="left")
        return np.asarray(1 + place, dtype=np.float64)

    def mean(self) -> float:
        """Return the mean."""
        return float(np.arange(1, self.most + 1) @ self._shares())

    def _shares(self) -> Float:
        fall = np.arange(1, self.most + 1, dtype=np.float64) ** -self.exponent
        return np.asarray(fall / fall.sum())


class Sample:
    """Quantiles and mean of a sample: each value is as likely as it is frequent.

    Raises
    ------
    WorkloadError
        When the sample is empty or holds what is no finite number.
    """

    def __init__(self, values: ArrayLike, *, what: str = "sample") -> None:
        try:
            numbers = np.sort(np.asarray(values, dtype=np.float64).ravel())
        except (TypeError, ValueError) as fault:
            raise WorkloadError(complaint(what, values, "a distribution, a number or an array of numbers")) from fault
        if not len(numbers) or not np.isfinite(numbers).all():
            shown = f"{len(numbers)} values" if not len(numbers) else "values that are no numbers"
            raise WorkloadError(complaint(what, shown, "one finite number or more"))
        self._sorted = numbers

    def __repr__(self) -> str:
        return f"Sample({len(self._sorted)} values, mean {self.mean():g})"

    def ppf(self, q: ArrayLike, /) -> Float:
        """Return the least value that a share ``q`` of the sample does not exceed, the shape of ``q``."""
        last = len(self._sorted) - 1
        place = np.ceil(np.asarray(q, dtype=np.float64) * len(self._sorted)) - 1
        return np.asarray(self._sorted[np.clip(place, 0, last).astype(np.int64)])

    def mean(self) -> float:
        """Return the mean."""
        return float(self._sorted.mean())


def as_shape(value: Shape | float | Sequence[float] | NDArray[Any], *, what: str, low: float) -> Shape:
    """Return a distribution: as it is, or made of a number or a sample.

    Parameters
    ----------
    value : a frozen distribution, one number, or a sample.
    what : its name, for messages.
    low : least value allowed.

    Raises
    ------
    WorkloadError
        When it is none of these, or reaches below ``low``.
    """
    shape = value if isinstance(value, Shape) and not isinstance(value, np.ndarray) else Sample(value, what=what)
    least = float(np.asarray(shape.ppf(1e-9)))
    if not least >= low:
        raise WorkloadError(complaint(what, least, f"{low:g} or more throughout"))
    return shape


def default_sizes() -> Sizes:
    """Return the sizes of ``data/populations/mail.csv``."""
    return Sizes(
        min_bytes=_mail("size_min_bytes"),
        median_bytes=_mail("size_median_bytes"),
        sigma=_mail("size_sigma"),
        tail_share=_mail("size_tail_share"),
        tail_exponent=_mail("size_tail_exponent"),
        max_bytes=_mail("size_max_bytes"),
    )


def default_recipients() -> Recipients:
    """Return the recipients of ``data/populations/mail.csv``."""
    return Recipients(exponent=_mail("recipients_exponent"), most=int(_mail("recipients_max")))


def _mail(parameter: str) -> float:
    return float(load_mail()[parameter].value or 0.0)
