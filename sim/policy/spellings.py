"""How people spell a TLS setting: by its label, by its key, by what stands in the gateway's file."""

from __future__ import annotations

import re

from sim.errors import PolicyError, complaint
from sim.terms import Setting

#: Spellings beside label and key; ``None`` inherits from DEFAULT.
_OTHERS: dict[str, Setting | None] = {
    "off": Setting.NO,
    "on": Setting.PREFERRED,
    "require": Setting.REQUIRED,
    "on_verify": Setting.PREFERRED_VERIFY,
    "require_verify": Setting.REQUIRED_VERIFY,
    "require_verify_hosted": Setting.REQUIRED_VERIFY_HOSTED,
    "default": None,
    "inherit": None,
}


def _plain(text: str) -> str:
    """Return letters and digits in lower case, everything between them as one underscore."""
    return re.sub(r"[^a-z0-9]+", "_", text.strip().lower()).strip("_")


def setting_of(field: str, spelling: Setting | str | None) -> Setting | None:
    """Return the setting that a text spells, ``None`` for *default*: what the DEFAULT entry says.

    Parameters
    ----------
    field : what the setting is for, as the user spells it; named in the error.
    spelling : a setting, ``None``, a label (``Required - Verify``), a key (``required_verify``) or a word of the
        gateway's file (``off``, ``require_verify``); case, blanks and dashes do not matter.

    Raises
    ------
    PolicyError
        With the settings there are and the nearest guess.

    Examples
    --------
    >>> setting_of("*.gov", "Required - Verify"), setting_of("*.gov", "default")
    (<Setting.REQUIRED_VERIFY: 4>, None)
    """
    if spelling is None or isinstance(spelling, Setting):
        return spelling
    known = _OTHERS | {_plain(s.label): s for s in Setting} | {s.key: s for s in Setting}
    word = _plain(str(spelling))
    if word in known:
        return known[word]
    raise PolicyError(complaint(field, spelling, [*(s.key for s in Setting), "default"]))
