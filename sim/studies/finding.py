"""One thing worth saying about a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.policy.destinations import Entry

#: Gravest first. ``warning``: mail will not go as the table seems to mean; ``note``: worth knowing, or dead weight.
SEVERITIES = ("warning", "note")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding.

    Attributes
    ----------
    severity : ``warning`` or ``note``.
    line : of the entry in its file, 0 when it comes from none.
    entry : the entry's destination, or the name of a bounce profile.
    finding : its kind, a word to search for: ``verify-needs-hosted``.
    what : what stands there.
    why : why it matters.
    todo : what to do.
    """

    severity: str
    line: int
    entry: str
    finding: str
    what: str
    why: str
    todo: str


def about(entry: Entry, severity: str, finding: str, *, what: str, why: str, todo: str) -> Finding:
    """Return a finding about an entry, with its line and its name."""
    return Finding(
        severity=severity, line=entry.line, entry=entry.domain, finding=finding, what=what, why=why, todo=todo
    )


def some(names: Sequence[str], most: int = 3) -> str:
    """Name the first few: ``a, b, c and 4 more``."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")
