"""Changes that no test of the sender sees and that need none, each group with its reason."""

from __future__ import annotations

import re

#: Pattern of a change as it is printed -> why no test needs to see it.
EXPLAINED: dict[str, str] = {}


def explanation(change: str) -> str | None:
    """Return why a change need not be caught; None when nothing explains it."""
    return next((why for pattern, why in EXPLAINED.items() if re.fullmatch(pattern, change)), None)
