"""How people spell a TLS setting: by its label, by its key, by what stands in the gateway's file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sim.errors import PolicyError, complaint
from sim.terms import Setting, Term

if TYPE_CHECKING:
    from sim.policy.profile import Profile

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


def sender_setting(field: str, spelling: Term | str, sender: Profile) -> Term:
    """Return the setting of a sender that a text spells.

    Parameters
    ----------
    field : what the setting is for, as the user spells it; named in the error.
    spelling : one of its settings, by label or key; else one of the gateway's, which stands for the nearest it has.
    sender : whose.

    Raises
    ------
    PolicyError
        With the settings there are and the nearest guess.

    Examples
    --------
    >>> from sim.policy.profiles import profile
    >>> [sender_setting("--setting", word, profile("postfix")).label for word in ("dane-only", "required_verify")]
    ['dane-only', 'secure']
    """
    if isinstance(spelling, sender.settings):
        return spelling
    if isinstance(spelling, Setting):
        return sender.nearest[spelling]
    word = _plain(str(spelling))
    own = {s.key: s for s in sender.settings} | {_plain(s.label): s for s in sender.settings}
    if word in own:
        return own[word]
    gateway = {_plain(s.label): s for s in Setting} | {s.key: s for s in Setting}
    gateway |= {other: s for other, s in _OTHERS.items() if s is not None}
    if word in gateway:
        return sender.nearest[gateway[word]]
    raise PolicyError(complaint(field, spelling, own_words(sender)))


def own_words(sender: Profile) -> list[str]:
    """List a sender's settings as they are typed: the gateway's long labels by their keys, all others as they are."""
    return [s.label if s.label == s.label.lower() and " " not in s.label else s.key for s in sender.settings]
