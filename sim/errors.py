"""One class per kind of fault; a message names file, line, field, value, what is allowed, the nearest guess."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches

#: Characters of a value that a message shows.
_SHOWN = 200


def one_line(text: str) -> str:
    r"""Return a text as it can stand in one line: what cannot be printed as Python escapes it.

    Examples
    --------
    >>> one_line("max\nretries")
    'max\\nretries'
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _spelt(value: object, spell: Callable[[object], str]) -> str:
    """Spell a value, shortened where it is long; some numbers and nests are too large for Python to spell."""
    try:
        text = spell(value)
    except (RecursionError, ValueError):
        return f"({type(value).__name__} too large to show)"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


class SimError(Exception):
    """Any fault the user can mend. The command line prints it as one line and exits with status 2."""

    def __init__(self, text: str = "") -> None:
        super().__init__(one_line(text))

    def add_note(self, note: str, /) -> None:
        """Add another fault of the same input, one line as well."""
        super().add_note(one_line(note))


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


class ClusterError(SimError):
    """The processes or machines of a sweep cannot be started or reached, or are lost again and again."""


def did_you_mean(value: object, allowed: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest allowed spelling, or an empty string."""
    spelling = {str(a).lower(): str(a) for a in allowed}
    near = get_close_matches(_spelt(value, str).lower(), spelling, n=1, cutoff=0.5)
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
    told = f"{where}{field} = {_spelt(value, repr)}"
    if isinstance(allowed, str):
        return one_line(f"{told}; allowed: {allowed}")
    allowed = list(allowed)
    return one_line(f"{told}; allowed: {', '.join(allowed)}.{did_you_mean(value, allowed)}")
