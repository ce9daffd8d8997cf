"""The keys of a Destination Controls file and their values (AsyncOS user guide 9.1.2, table 24-9)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from sim.policy.destinations import COMPANIONS, DANE_OPTIONS, Entry, read_dane_option
from sim.policy.params import allowed_range, in_range
from sim.policy.retry import PROFILE_NAMES, is_profile_name
from sim.terms import IpSortPreference, LimitApply, LimitType, Setting

#: Spellings no published source confirms: docs/decisions/hosted-spelling.md. A file that gets one is marked by `NOTE`.
HOSTED_WORD = "require_verify_hosted"
NOTE = f"# No published source confirms how this file spells {HOSTED_WORD} and dane_option; check before an import."

#: Why a profile is a guess.
PROFILE_MISSING = "Default profile used: no bounce profile of this name is given"

_ENTRY = {f.name: f for f in fields(Entry)}
#: How alike an unknown key must be to a known one to be taken for a slip of it: ``mta_sts`` is none of ``table_tls``.
NEAR_KEY = 0.75
_DIGITS = re.compile(r"0*([0-9]{1,12})")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Key:
    """One key of the file.

    Attributes
    ----------
    name : as the file spells it.
    entry_field : the field of `Entry` it sets; empty for global keys, which are kept but set nothing.
    words : spelling to value, the first spelling of a value being the one written; empty for other kinds.
    required : whether [DEFAULT] must have it.
    unused : why this model makes no use of it; empty when it does.
    """

    name: str
    entry_field: str = ""
    words: Mapping[str, Any] = field(default_factory=dict)
    required: bool = True
    unused: str = ""

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys of the same section it cannot stand without."""
        return COMPANIONS.get(self.name, ())

    def read(self, text: str) -> Any:
        """Return the value a text stands for, or ``None`` when it stands for none."""
        if self.words:
            wanted = text.lower().replace("-", "_")
            return next((value for word, value in self.words.items() if word.lower() == wanted), None)
        if self.entry_field == "bounce_profile":
            return text if is_profile_name(text) else None
        if self.entry_field == "dane_option":
            return read_dane_option(text)
        digits = _DIGITS.fullmatch(text)
        value = int(digits[1]) if digits else None
        return value if in_range(_ENTRY[self.entry_field], value) else None

    def write(self, value: Any) -> str:
        """Spell a value the way the file does."""
        if self.words:
            return next(word for word, known in self.words.items() if known == value)
        return str(value)

    def allowed(self, text: str) -> str:
        """Say what is allowed, with the nearest guess for a text that is not."""
        if self.words:
            return with_guess(", ".join(self.words), text, self.words)
        if self.entry_field == "bounce_profile":
            return PROFILE_NAMES
        if self.entry_field == "dane_option":
            return DANE_OPTIONS
        return allowed_range(_ENTRY[self.entry_field])


def with_guess(phrase: str, text: str, words: Iterable[str], *, cutoff: float = 0.5) -> str:
    """Add ``. Did you mean 'x'?`` to a phrase: the word nearest to a text, read without case, when one is near.

    ``cutoff`` is how alike they have to be, from 0 to 1: `NEAR_KEY` for a name that may mean something else.

    Examples
    --------
    >>> with_guess("unknown key", "tabel_tls", ["table_tls", "limit_type"])
    "unknown key. Did you mean 'table_tls'?"
    """
    spelled = {word.lower(): word for word in words if not word.isdigit()}
    near = get_close_matches(text.lower().replace("-", "_"), list(spelled), n=1, cutoff=cutoff)
    return f"{phrase}. Did you mean '{spelled[near[0]]}'?" if near else phrase


KEYS: dict[str, Key] = {
    key.name: key
    for key in (
        Key(
            name="ip_sort_pref",
            entry_field="ip_sort_pref",
            words={p.label: p for p in IpSortPreference},
            unused="the addresses of an MX host are not told apart by IP version yet",
        ),
        Key(name="max_host_concurrency", entry_field="max_host_concurrency"),
        Key(name="max_messages_per_connection", entry_field="max_messages_per_connection"),
        Key(name="recipient_minutes", entry_field="recipient_minutes"),
        Key(name="recipient_limit", entry_field="recipient_limit"),
        Key(
            name="limit_type",
            entry_field="limit_type",
            words={"host": LimitType.HOST, "MXIP": LimitType.MXIP, "0": LimitType.HOST, "1": LimitType.MXIP},
        ),
        Key(
            name="limit_apply",
            entry_field="limit_apply",
            words={"system": LimitApply.SYSTEM, "VG": LimitApply.VG, "0": LimitApply.SYSTEM, "1": LimitApply.VG},
        ),
        Key(
            name="bounce_validation",
            entry_field="bounce_validation",
            words={"0": False, "1": True, "off": False, "on": True},
            unused="address tagging of bounces changes no delivery",
        ),
        Key(
            name="table_tls",
            entry_field="tls",
            words={
                "off": Setting.NO,
                "on": Setting.PREFERRED,
                "require": Setting.REQUIRED,
                "on_verify": Setting.PREFERRED_VERIFY,
                "require_verify": Setting.REQUIRED_VERIFY,
                HOSTED_WORD: Setting.REQUIRED_VERIFY_HOSTED,
                "require_hosted_verify": Setting.REQUIRED_VERIFY_HOSTED,
                **{str(s.value): s for s in Setting},
            },
        ),
        Key(name="bounce_profile", entry_field="bounce_profile", required=False),
        Key(name="dane_option", entry_field="dane_option", required=False),
        Key(name="send_tls_req_alert", required=False, unused="an alert mail changes no delivery"),
        Key(
            name="certificate", required=False, unused="peers do not check the gateway's own certificate in this model"
        ),
    )
}

_ALIASES = {"dane": "dane_option"}


def known_key(name: str) -> Key | None:
    """Return the key a file means by a name, read without case, or ``None``."""
    lower = name.lower()
    return KEYS.get(_ALIASES.get(lower, lower))


def means_a_key(name: str) -> bool:
    """Tell whether a name is a key of the file, or so near to one that it looks like a slip."""
    return known_key(name) is not None or with_guess("", name, KEYS, cutoff=NEAR_KEY) != ""


def unused_matters(key: Key, value: Any) -> bool:
    """Tell whether results could change if an unused key were used."""
    return key.name == "ip_sort_pref" and value in (IpSortPreference.REQUIRE_V4, IpSortPreference.REQUIRE_V6)
