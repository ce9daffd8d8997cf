"""One class per kind of fault; a message names file, line, field, value, what is allowed, the nearest guess."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class SimError(Exception):
    """Any fault the user can mend. The command line prints it as one line and exits with status 2."""


class PolicyError(SimError):
    """A Destination Controls table, a bounce profile or a decision table is wrong."""


class PopulationError(SimError):
    """A population, a preset or a list of destinations is wrong."""


class WorkloadError(SimError):
    """A workload (rates, sizes, recipients, a trace) is wrong."""


class ScenarioError(SimError):
    """A scenario file or an option is wrong."""


class OutputError(SimError):
    """A result cannot be written where it was asked for."""


class LimitError(SimError):
    """A run met a limit this program does not model yet: the answer would be wrong, so there is none."""


def did_you_mean(value: object, allowed: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest allowed spelling, or an empty string."""
    spelling = {str(a).lower(): str(a) for a in allowed}
    near = get_close_matches(str(value).lower(), spelling, n=1, cutoff=0.5)
    return f" Did you mean '{spelling[near[0]]}'?" if near else ""


def complaint(
    field: str,
    value: object,
    allowed: str | Iterable[str],
    *,
    file: object = None,
    line: int | None = None,
) -> str:
    """Compose the one-line text every error of this package uses.

    Parameters
    ----------
    field : the name of the setting, as the user spells it.
    value : what was given.
    allowed : either a phrase (``"1..1000"``) or the list of allowed spellings (a guess is added).
    file, line : where it stands, when it stands in a file.

    Examples
    --------
    >>> complaint("table_tls", "requir", ["off", "on", "require"], file="d.ini", line=4)
    "d.ini:4: table_tls = 'requir'; allowed: off, on, require. Did you mean 'require'?"
    """
    where = "" if file is None else f"{file}: " if line is None else f"{file}:{line}: "
    if isinstance(allowed, str):
        return f"{where}{field} = {value!r}; allowed: {allowed}"
    allowed = list(allowed)
    return f"{where}{field} = {value!r}; allowed: {', '.join(allowed)}.{did_you_mean(value, allowed)}"
