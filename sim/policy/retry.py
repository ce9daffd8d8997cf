"""When a waiting message is tried again, as data (RFC 5321 section 4.5.4.1; AsyncOS user guide, bounce profiles)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sim.errors import PolicyError, complaint
from sim.policy.params import check_params, param
from sim.terms import Term

_GUIDE = "AsyncOS user guide 9.1 ch. 24, 10.0 ch. 26"
_PROFILE_NAME = re.compile(r"[^\W\d]([\w .-]*[\w.-])?")

PROFILE_NAMES = "a name that starts with a letter or _, of letters, digits, _ . - and blanks inside"


class Growth(Term):
    """How the wait grows towards its cap. No source states the law: docs/decisions/retry-growth.md."""

    DOUBLING = 0, "doubling"
    ONE_AND_A_HALF = 1, "1.5x"
    CONSTANT = 2, "constant"

    @property
    def factor(self) -> float:
        """What one wait is multiplied by to give the next."""
        return (2.0, 1.5, 1.0)[self]


def is_profile_name(name: object) -> bool:
    """Tell whether a name may be a bounce profile's: `PROFILE_NAMES`."""
    return isinstance(name, str) and _PROFILE_NAME.fullmatch(name) is not None


def growing_waits_s(initial_wait_s: float, max_wait_s: float, growth: Growth) -> tuple[float, ...]:
    """Successive waits until the cap is reached; the last one repeats for ever.

    Parameters
    ----------
    initial_wait_s : the first wait, seconds.
    max_wait_s : the cap, seconds; not below the first wait.
    growth : the law of growth.

    Returns
    -------
    tuple of float
        Seconds, rising; one element when the wait never changes.

    Examples
    --------
    >>> growing_waits_s(60, 300, Growth.DOUBLING)
    (60.0, 120.0, 240.0, 300.0)
    """
    waits = [float(initial_wait_s)]
    while growth.factor > 1 and waits[-1] < max_wait_s:
        waits.append(min(waits[-1] * growth.factor, float(max_wait_s)))
    return tuple(waits)


def _check_waits(schedule: Any, owner: str) -> None:
    check_params(schedule, owner)
    if schedule.initial_wait_s > schedule.max_wait_s:
        allowed = f"at most max_wait_s, which is {schedule.max_wait_s:g} s"
        raise PolicyError(complaint(f"{owner} initial_wait_s", schedule.initial_wait_s, allowed))
    try:
        object.__setattr__(schedule, "growth", Growth(schedule.growth))
    except ValueError:
        raise PolicyError(complaint(f"{owner} growth", schedule.growth, [g.label for g in Growth])) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class BounceProfile:
    """Retry schedule of a queued message (RFC 5321 section 4.5.4.1).

    Attributes
    ----------
    name : as Destination Controls spell it; starts with a letter or an underscore.
    max_retries : tries after the first one.
    max_queue_time_s : seconds in queue after which a message lapses.
    initial_wait_s, max_wait_s : first and longest wait before a message is tried again, seconds from the start
        of the attempt that failed.
    growth : how one wait leads to the next; no source, see docs/decisions/retry-growth.md.

    Raises
    ------
    PolicyError
        When a value is out of its range or the first wait exceeds the longest.
    """

    name: str = "Default"
    max_retries: int = param(100, unit="retries", low=0, high=10**9, whole=True, source=_GUIDE)
    max_queue_time_s: float = param(259_200, unit="s", low=0, high=10**9, source=_GUIDE)
    initial_wait_s: float = param(60, unit="s", low=1, high=10**9, source=_GUIDE)
    max_wait_s: float = param(3_600, unit="s", low=1, high=10**9, source=_GUIDE)
    growth: Growth = Growth.DOUBLING

    def __post_init__(self) -> None:
        if not is_profile_name(self.name):
            raise PolicyError(complaint("bounce profile name", self.name, PROFILE_NAMES))
        _check_waits(self, f"[{self.name}]")

    def waits_s(self) -> tuple[float, ...]:
        """Successive waits in seconds until the cap is reached; the last one repeats for ever."""
        return growing_waits_s(self.initial_wait_s, self.max_wait_s, self.growth)

    def attempt_times_s(self) -> tuple[float, ...]:
        """Times of the attempts of a message that always fails at once, seconds after it was queued.

        The first is 0. The list ends with the last attempt the retries allow, or the last one due before the time
        in queue has passed, whichever comes first.

        Returns
        -------
        tuple of float
            Seconds, rising; at most ``max_retries + 1`` of them.
        """
        waits = self.waits_s()
        times = [0.0]
        while len(times) <= self.max_retries:
            due = times[-1] + waits[min(len(times), len(waits)) - 1]
            if due >= self.max_queue_time_s:
                break
            times.append(due)
        return tuple(times)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRetry:
    """Timer of a destination that cannot be reached: one for the whole system, asked with the Default profile.

    Attributes
    ----------
    initial_wait_s, max_wait_s : first and longest wait before the next probe, seconds from the start of the
        attempt that failed.
    growth : how one wait leads to the next; no source, see docs/decisions/retry-growth.md.

    Raises
    ------
    PolicyError
        When a value is out of its range or the first wait exceeds the longest.
    """

    initial_wait_s: float = param(60, unit="s", low=1, high=10**9, source="remembered, no document found")
    max_wait_s: float = param(3_600, unit="s", low=1, high=10**9, source="remembered, no document found")
    growth: Growth = Growth.DOUBLING

    def __post_init__(self) -> None:
        _check_waits(self, "unreachable host")

    def waits_s(self) -> tuple[float, ...]:
        """Successive waits in seconds until the cap is reached; the last one repeats for ever."""
        return growing_waits_s(self.initial_wait_s, self.max_wait_s, self.growth)

    def attempt_times_s(self, max_queue_time_s: float) -> tuple[float, ...]:
        """Times of the passes of a message that no host takes, seconds after it came, as far as its time in queue goes.

        The first is 0; passes are taken to fail at once. The message bounces when the next one falls due.
        """
        waits, times = self.waits_s(), [0.0]
        while (due := times[-1] + waits[min(len(times), len(waits)) - 1]) < max_queue_time_s:
            times.append(due)
        return tuple(times)
