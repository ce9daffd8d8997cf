"""What is sent: how much, when, how large, to how many; or a trace of real mail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from sim.errors import WorkloadError, complaint
from sim.world.figures import load_mail
from sim.world.shapes import Shape, as_shape, default_recipients, default_sizes

if TYPE_CHECKING:
    import pandas as pd

HOURS: Final = tuple(f"hour_{h:02d}" for h in range(24))
WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
TRACE_COLUMNS: Final = ("domain", "time_s", "size_bytes", "recipients")
_MOST_A_DAY = 1e12
Weights = Sequence[float] | NDArray[np.float64]


def office_hours() -> tuple[float, ...]:
    """Return the 24 hourly weights of an office day. Assumed: no source with numbers was found."""
    return tuple(float(load_mail()[h].value or 0.0) for h in HOURS)


def working_week() -> tuple[float, ...]:
    """Return the 7 weights of the week, Monday first: 50,000 messages on a weekday, 27,000 on a weekend day."""
    return tuple(float(load_mail()[d].value or 0.0) for d in WEEKDAYS)


@dataclass(frozen=True, kw_only=True, eq=False)
class Workload:
    """The mail of one run. Figures and their sources: ``data/populations/mail.csv``.

    Attributes
    ----------
    messages_per_day : over the whole population, mean of the seven days of the week; None = the population's own
        ``messages`` column, where these are counts a day.
    hourly : 24 relative weights from midnight, local time. Assumed: an office day.
    weekday : 7 relative weights, Monday first. A run begins on a Monday at 00:00.
    size_bytes : frozen ``scipy.stats`` distribution, one number, or a sample. Default `sim.world.shapes.Sizes`.
    recipients : likewise, whole numbers from 1. Default `sim.world.shapes.Recipients`.
    trace : frame with columns domain, time_s (from the start), size_bytes, recipients, which replaces all of this.

    Raises
    ------
    WorkloadError
        Naming the field that is wrong.

    Examples
    --------
    >>> Workload.flat(messages_per_day=86_400).hourly[0]
    1.0
    """

    messages_per_day: float | None = None
    hourly: Weights = field(default_factory=office_hours)
    weekday: Weights = field(default_factory=working_week)
    size_bytes: Shape | float | Sequence[float] | NDArray[Any] = field(default_factory=default_sizes)
    recipients: Shape | float | Sequence[float] | NDArray[Any] = field(default_factory=default_recipients)
    trace: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        per_day = self.messages_per_day
        if per_day is not None and (not _is_number(per_day) or not 0 < per_day <= _MOST_A_DAY):
            raise WorkloadError(complaint("messages_per_day", per_day, f"more than 0, up to {_MOST_A_DAY:g}"))
        object.__setattr__(self, "hourly", _weights("hourly", self.hourly, 24))
        object.__setattr__(self, "weekday", _weights("weekday", self.weekday, 7))
        object.__setattr__(self, "size_bytes", as_shape(self.size_bytes, what="size_bytes", low=0.0))
        object.__setattr__(self, "recipients", as_shape(self.recipients, what="recipients", low=1.0))
        if self.trace is not None:
            object.__setattr__(self, "trace", _checked_trace(self.trace))

    @classmethod
    def flat(cls, messages_per_day: float | None = None, **others: Any) -> Self:
        """Return a workload of constant rate, day and night, all week: what queueing formulas assume.

        Parameters
        ----------
        messages_per_day, **others : as for the class.
        """
        return cls(messages_per_day=messages_per_day, hourly=(1.0,) * 24, weekday=(1.0,) * 7, **others)

    def mean_days(self, days: float) -> float:
        """Return how many days of mean rate the first ``days`` of the run hold: a Monday holds more than a Sunday."""
        hours = np.outer(np.asarray(self.weekday), np.asarray(self.hourly)).ravel()
        whole, rest = divmod(days * 24.0, 1.0)
        mass = np.resize(hours, int(whole) + 1)
        return float((mass[:-1].sum() + mass[-1] * rest) / (hours.mean() * 24.0))

    def total(self, messages: float, days: float) -> Self:
        """Return the workload at the rate that brings so many messages, expected, in the first ``days`` of the run.

        Raises
        ------
        WorkloadError
            When ``messages`` is not a positive number, or no mail comes in these days.
        """
        mass = self.mean_days(days)
        if not _is_number(messages) or messages <= 0 or mass <= 0:
            raise WorkloadError(complaint("messages", messages, "a number above 0, and mail at some hour"))
        return replace(self, messages_per_day=messages / mass)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _weights(name: str, values: Weights, count: int) -> tuple[float, ...]:
    allowed = f"{count} weights, not negative, with a positive sum"
    try:
        weights = tuple(float(v) for v in values)
    except (TypeError, ValueError) as fault:
        raise WorkloadError(complaint(name, values, allowed)) from fault
    if len(weights) != count:
        raise WorkloadError(complaint(name, f"{len(weights)} weights", allowed))
    # Weights of days and hours are multiplied.
    wrong = [i for i, w in enumerate(weights) if not 0 <= w < 1e100]
    if wrong:
        raise WorkloadError(complaint(f"{name}[{wrong[0]}]", weights[wrong[0]], allowed))
    if not sum(weights) > 0:
        raise WorkloadError(complaint(name, "a sum of 0", allowed))
    return weights


def _checked_trace(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the trace with its columns in order and of one type each."""
    for column in TRACE_COLUMNS:
        if column not in frame.columns:
            found = ", ".join(map(str, frame.columns)) or "none"
            allowed = f"{', '.join(TRACE_COLUMNS)} among them"
            raise WorkloadError(complaint("trace columns", found, allowed))
    if not len(frame):
        raise WorkloadError(complaint("trace", "no rows", "one message a row"))
    trace = frame[list(TRACE_COLUMNS)].reset_index(drop=True)
    # Whole sizes and recipients, since the engines count in integers.
    for column, low, whole in (("time_s", 0.0, False), ("size_bytes", 0.0, True), ("recipients", 1.0, True)):
        trace[column] = _checked_numbers(trace[column], column, low, whole=whole)
    trace["domain"] = _checked_domains(trace["domain"])
    return trace


def _checked_numbers(values: pd.Series, column: str, low: float, *, whole: bool) -> pd.Series:
    allowed = f"{'whole numbers' if whole else 'numbers'}, {low:g} or more"
    try:
        numbers = values.to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as fault:
        raise WorkloadError(complaint(f"trace.{column}", "what is no number", allowed)) from fault
    wrong = ~np.isfinite(numbers) | (numbers < low)
    if whole:
        wrong |= numbers != np.rint(numbers)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise WorkloadError(complaint(f"trace.{column}[{row}]", float(numbers[row]), allowed))
    return values.astype(np.int64 if whole else np.float64)


def _checked_domains(values: pd.Series) -> pd.Series:
    names = values.astype(str).str.strip().str.lower()
    wrong = (values.isna() | (names == "")).to_numpy()
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise WorkloadError(complaint(f"trace.domain[{row}]", values.iloc[row], "the domain a message goes to"))
    return names
