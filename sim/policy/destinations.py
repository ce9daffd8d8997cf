"""Destination Controls: entries, DEFAULT, suffix look-up, limits and bounce profiles (AsyncOS guide 9.1.2 ch. 24)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sim.errors import PolicyError, complaint
from sim.names import Names
from sim.policy.params import check_params, param
from sim.policy.retry import PROFILE_NAMES, BounceProfile, HostRetry, is_profile_name
from sim.policy.spellings import setting_of
from sim.terms import DaneOption, IpSortPreference, LimitApply, LimitType, Setting, Term

DEFAULT = "DEFAULT"
#: The pattern of every entry and DEFAULT.
EVERYTHING = "*"
DOMAIN_FORMS = "example.com, .example.com (all below it), [192.0.2.7] or DEFAULT"
DANE_OPTIONS = "none, opportunistic, mandatory (no source confirms them: any other word is kept)"

#: Limits that the gateway takes only beside others of the same entry.
COMPANIONS: dict[str, tuple[str, ...]] = {
    "max_host_concurrency": ("limit_type", "limit_apply"),
    "recipient_limit": ("recipient_minutes", "limit_type", "limit_apply"),
}

_GUIDE = "AsyncOS user guide 9.1.2 ch. 24"
_HOST_NAME = re.compile(r"\.?[\w-]+(\.[\w-]+)*", re.ASCII)
_DANE_OPTION = re.compile(r"[a-z0-9_-]+")
_WORDS_OF_NO_DANE = ("none", "off", "no", "0")
_ENDS_OF_OTHER_FORMS = frozenset("].0123456789")


def canonical_domain(name: str) -> str | None:
    """Spell a domain, suffix or address in the one way look-ups use; ``None`` when it is none of these.

    Lower case, no final dot, non-ASCII names as IDNA spells them, addresses in brackets.

    Examples
    --------
    >>> canonical_domain("Example.COM."), canonical_domain("192.0.2.7"), canonical_domain("[IPv6:2001:DB8::1]")
    ('example.com', '[192.0.2.7]', '[2001:db8::1]')
    """
    key = name.strip().lower()
    in_brackets = key.startswith("[") and key.endswith("]")
    key = key[1:-1] if in_brackets else key.removesuffix(".")
    # A zone (fe80::1%eth0) names a link of one machine and could hold anything.
    if "%" not in key:
        try:
            return f"[{ipaddress.ip_address(key.removeprefix('ipv6:'))}]"
        except ValueError:
            pass
    if in_brackets:
        return None
    try:
        key = key if key.isascii() else "." * key.startswith(".") + key.lstrip(".").encode("idna").decode("ascii")
    except UnicodeError:
        return None
    return key if _HOST_NAME.fullmatch(key) else None


def canonical_domains(names: Iterable[str]) -> list[str]:
    """Spell many names as `canonical_domain` does; what is none of its forms comes back in lower case."""
    found = []
    for name in names:
        key = name.strip().lower()
        if key[-1:] in _ENDS_OF_OTHER_FORMS or ":" in key or not key.isascii():
            key = canonical_domain(key) or key
        found.append(key)
    return found


def is_default(name: str) -> bool:
    """Tell whether a name means the DEFAULT entry, in any spelling of it: ``Default.`` too."""
    return canonical_domain(name) == DEFAULT.lower()


def read_dane_option(value: object) -> str | None:
    """Return a DANE option in lower case, ``None`` when it is no single word."""
    word = value.lower() if isinstance(value, str) else ""
    return word if _DANE_OPTION.fullmatch(word) else None


def dane_option_of(word: str | None) -> DaneOption | None:
    """Return the DANE option a word of Destination Controls means; ``None`` for a word that no source knows."""
    if word is None or word in _WORDS_OF_NO_DANE:
        return DaneOption.NONE
    return next((option for option in DaneOption if option.label == word), None)


def pattern_name(pattern: str) -> str:
    """Return the name a pattern has in the table: ``*.example`` is ``.example``; ``*`` and DEFAULT are themselves.

    Raises
    ------
    PolicyError
        When the pattern is no destination, no suffix and neither of these.
    """
    text = str(pattern).strip()
    if text == EVERYTHING:
        return EVERYTHING
    if is_default(text):
        return DEFAULT
    name = canonical_domain(text.removeprefix("*") if text.startswith("*.") else text)
    if name is None:
        raise PolicyError(complaint("pattern", pattern, f"*.example, * (everything), {DOMAIN_FORMS}"))
    return name


def _names_a_destination(name: object) -> bool:
    return isinstance(name, str) and canonical_domain(name) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of Destination Controls. ``None`` inherits from DEFAULT.

    Attributes
    ----------
    domain : ``example.com``; ``.example.com`` for every name below it; an address, ``192.0.2.7`` or
        ``[192.0.2.7]``; or ``DEFAULT``.
    tls : TLS setting.
    max_host_concurrency : connections open at once.
    max_messages_per_connection : messages before a connection is closed and another opened.
    recipient_minutes, recipient_limit : at most so many recipients in so many minutes; a limit of 0 is none.
    limit_type : limits count over the domain, or over each MX address.
    limit_apply : limits hold for the system, or for each Virtual Gateway.
    ip_sort_pref, bounce_validation : kept and written back; not used by this model yet.
    dane_option : how DANE is used: none, opportunistic or mandatory; any other word is kept and written back.
    bounce_profile : name of the retry schedule.
    line : where it stands in its file, 0 when it comes from none; takes no part in comparisons.

    Raises
    ------
    PolicyError
        When the domain has no such form, or a value is out of its range or no member of its enum.
    """

    domain: str
    tls: Setting | None = None
    max_host_concurrency: int | None = param(None, unit="connections", low=1, high=1000, whole=True, source=_GUIDE)
    max_messages_per_connection: int | None = param(None, unit="messages", low=1, high=1000, whole=True, source=_GUIDE)
    recipient_minutes: int | None = param(None, unit="minutes", low=1, high=60, whole=True, source=_GUIDE)
    recipient_limit: int | None = param(None, unit="recipients", low=0, high=10**9, whole=True, source=_GUIDE)
    limit_type: LimitType | None = None
    limit_apply: LimitApply | None = None
    ip_sort_pref: IpSortPreference | None = None
    bounce_validation: bool | None = None
    bounce_profile: str | None = None
    dane_option: str | None = None
    line: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if not _names_a_destination(self.domain):
            raise PolicyError(complaint("domain", self.domain, DOMAIN_FORMS))
        object.__setattr__(self, "domain", DEFAULT if is_default(self.domain) else self.domain.strip())
        check_params(self, f"[{self.domain}]")
        for name, terms in _TERMS.items():
            self._coerce(name, terms)
        self._check_words()

    def _coerce(self, name: str, terms: type[Term]) -> None:
        value = getattr(self, name)
        if value is None:
            return
        try:
            object.__setattr__(self, name, terms(value))
        except ValueError:
            raise PolicyError(complaint(f"[{self.domain}] {name}", value, [t.label for t in terms])) from None

    def _check_words(self) -> None:
        """Refuse what a file could not say: it would not be read back as it was written."""
        if self.bounce_validation is not None and not isinstance(self.bounce_validation, bool):
            raise PolicyError(complaint(f"[{self.domain}] bounce_validation", self.bounce_validation, "true, false"))
        if self.bounce_profile is not None and not is_profile_name(self.bounce_profile):
            raise PolicyError(complaint(f"[{self.domain}] bounce_profile", self.bounce_profile, PROFILE_NAMES))
        if self.dane_option is not None:
            word = read_dane_option(self.dane_option)
            if word is None:
                raise PolicyError(complaint(f"[{self.domain}] dane_option", self.dane_option, DANE_OPTIONS))
            object.__setattr__(self, "dane_option", word)

    def over(self, default: Entry, names: Iterable[str] | None = None) -> Entry:
        """Return this entry with what it inherits filled in from ``default``: all of it, or these fields."""
        names = ENTRY_FIELDS if names is None else names
        inherited = {name: getattr(default, name) for name in names if getattr(self, name) is None}
        return replace(self, **inherited) if inherited else self

    def with_companions(self, default: Entry) -> Entry:
        """Return this entry with the fields its limits cannot stand without, those it lacks as ``default`` has them."""
        limits = [limit for limit in COMPANIONS if getattr(self, limit)]
        return self.over(default, [name for limit in limits for name in COMPANIONS[limit]])


_TERMS: dict[str, type[Term]] = {
    "tls": Setting,
    "limit_type": LimitType,
    "limit_apply": LimitApply,
    "ip_sort_pref": IpSortPreference,
}

#: The fields an entry can inherit, in the order of its declaration.
ENTRY_FIELDS = tuple(f.name for f in fields(Entry) if f.name not in ("domain", "line"))

#: DEFAULT as it ships: TLS off [UG 9.1.2 ch. 24]; `recipient_minutes` is the value the dialogue offers, with no limit.
SHIPPED = Entry(
    domain=DEFAULT,
    tls=Setting.NO,
    max_host_concurrency=500,
    max_messages_per_connection=50,
    recipient_minutes=60,
    recipient_limit=0,
    limit_type=LimitType.HOST,
    limit_apply=LimitApply.SYSTEM,
    ip_sort_pref=IpSortPreference.PREFER_V6,
    bounce_validation=False,
    bounce_profile="Default",
    dane_option="none",
)


@dataclass(frozen=True)
class DestinationControls:
    """What the gateway demands of, and allows to, each destination.

    Attributes
    ----------
    default : the DEFAULT entry; a field left ``None`` takes the shipped value.
    entries : in their order. A limit without the fields the gateway wants beside it (`COMPANIONS`) gets them as
        DEFAULT has them.
    profiles : bounce profiles by name; always has ``Default``.
    host_retry : the timer of destinations that cannot be reached.

    Raises
    ------
    PolicyError
        When two entries are for the same destination, ``default`` is not DEFAULT, or a profile stands under
        another's name.
    """

    default: Entry = SHIPPED
    entries: tuple[Entry, ...] = ()
    profiles: Mapping[str, BounceProfile] = field(default_factory=dict)
    host_retry: HostRetry = field(default_factory=HostRetry)

    def __hash__(self) -> int:
        return int(self.hash, 16)

    def __post_init__(self) -> None:
        if self.default.domain != DEFAULT:
            raise PolicyError(complaint("default entry", self.default.domain, DEFAULT))
        first: dict[str | None, Entry] = {}
        for entry in self.entries:
            if entry.domain == DEFAULT:
                raise PolicyError(complaint("entry", DEFAULT, "a destination; DEFAULT is given as default="))
            other = first.setdefault(canonical_domain(entry.domain), entry)
            if other is not entry:
                raise PolicyError(complaint("entry", entry.domain, f"one entry a destination, and [{other.domain}] is"))
        for name, profile in self.profiles.items():
            if name != profile.name:
                raise PolicyError(complaint("bounce profile", name, f"its own name, {profile.name}"))
        object.__setattr__(self, "default", self.default.over(SHIPPED))
        object.__setattr__(self, "entries", tuple(entry.with_companions(self.default) for entry in self.entries))
        object.__setattr__(self, "profiles", {"Default": BounceProfile(), **self.profiles})

    @classmethod
    def shipped(cls) -> Self:
        """Return the table as it ships: DEFAULT alone, TLS off."""
        return cls()

    def match(self, domains: Sequence[str] | Iterable[str]) -> NDArray[np.int64]:
        """Find the entry of each domain.

        An exact entry beats every suffix; of several suffixes the longest wins (no source settles it, see
        docs/decisions/suffix-longest-match.md). A suffix does not match its own name. Case does not matter.

        Parameters
        ----------
        domains : destination names, n of them. Of `sim.names.Names` the answer is kept, and is read only.

        Returns
        -------
        ndarray of int64
            Index into ``entries``, shape (n,); -1 is DEFAULT.

        Raises
        ------
        PolicyError
            Naming the first element that is not text.

        Examples
        --------
        >>> table = DestinationControls(entries=(Entry(domain=".example"), Entry(domain="shop.example")))
        >>> table.match(["shop.example", "www.shop.example", "example"]).tolist()
        [1, 0, -1]
        """
        if isinstance(domains, Names):
            return domains.once(("entry", *self._index[0]), lambda names: _read_only(self._matched(names)))
        return self._matched(list(domains))

    def _matched(self, names: Sequence[str]) -> NDArray[np.int64]:
        exact, suffixes = self._index
        found = np.full(len(names), -1, dtype=np.int64)
        if not exact:
            _check_text(names)
            return found
        try:
            for i, name in enumerate(names):
                key = name.lower()
                if key[-1:] in _ENDS_OF_OTHER_FORMS or ":" in key or not key.isascii():
                    key = canonical_domain(key) or key
                entry = exact.get(key)
                if entry is None and suffixes:
                    dot = key.find(".")
                    while dot >= 0 and entry is None:
                        entry = exact.get(key[dot:])
                        dot = key.find(".", dot + 1)
                if entry is not None:
                    found[i] = entry
        except AttributeError:
            _check_text(names)
            raise
        return found

    def resolved(self, index: int) -> Entry:
        """Return an entry with nothing left to inherit.

        Parameters
        ----------
        index : position in ``entries``; -1 is DEFAULT.

        Raises
        ------
        PolicyError
            When there is no such entry.
        """
        if not -1 <= index < len(self.entries):
            raise PolicyError(complaint("entry index", index, f"-1..{len(self.entries) - 1}"))
        return self.default if index == -1 else self.entries[index].over(self.default)

    def profile(self, name: str) -> BounceProfile:
        """Return the bounce profile of this name, read without case; an undefined one has Default's values."""
        return self.profiles[self.profile_name(name) or "Default"]

    def profile_name(self, name: str) -> str | None:
        """Return the defined spelling of a bounce profile's name, ``None`` when it is not defined."""
        if name in self.profiles:
            return name
        return next((known for known in self.profiles if known.lower() == name.lower()), None)

    def with_setting(self, setting: Setting) -> Self:
        """Return this table with every entry and DEFAULT demanding ``setting``; limits and profiles are kept."""
        entries = tuple(replace(entry, tls=setting) for entry in self.entries)
        return replace(self, default=replace(self.default, tls=setting), entries=entries)

    def with_tls(self, settings: Mapping[str, Setting | str | None]) -> Self:
        """Return this table as if a postmaster had typed these TLS settings into it; nothing but TLS changes.

        An entry of that name is edited. Otherwise there is a new one, which copies limits and profile of the entry
        that ruled the name (for a suffix: a name below it) before. Entries that are more specific than a suffix keep
        their setting, as they do on the gateway.

        Parameters
        ----------
        settings : pattern to setting. A pattern is a destination, ``*.example`` or ``.example`` for every name below
            it, ``DEFAULT``, or ``*`` for every entry and DEFAULT; whatever their order, ``*`` is applied first. A
            setting is spelled as `sim.policy.spellings.setting_of` reads it; ``None`` inherits from DEFAULT.

        Raises
        ------
        PolicyError
            When a pattern is none of these or comes twice, a setting is unknown, or DEFAULT is to inherit.

        Examples
        --------
        >>> table = DestinationControls(entries=(Entry(domain=".example", max_host_concurrency=5),))
        >>> table.with_tls({"*.shop.example": "required"}).entries[1].max_host_concurrency
        5
        """
        typed: dict[str, Setting | None] = {}
        for pattern, spelling in settings.items():
            name = pattern_name(pattern)
            if name in typed:
                raise PolicyError(complaint("pattern", pattern, "each pattern once"))
            typed[name] = setting_of(pattern, spelling)
        default, entries = self.default, list(self.entries)
        if EVERYTHING in typed:
            setting = typed.pop(EVERYTHING)
            entries = [replace(entry, tls=setting) for entry in entries]
            default = default if setting is None else replace(default, tls=setting)
        for name, setting in typed.items():
            if name != DEFAULT:
                self._type(entries, name, setting)
            elif setting is None:
                raise PolicyError(complaint(DEFAULT, "default", "a setting of its own: it has nothing to inherit from"))
            else:
                default = replace(default, tls=setting)
        return replace(self, default=default, entries=tuple(entries))

    def _type(self, entries: list[Entry], name: str, setting: Setting | None) -> None:
        """Edit the entry of this name, or add one that copies what ruled it; ``entries`` begins with this table's."""
        index = self._index[0]
        if name in index:
            entries[index[name]] = replace(entries[index[name]], tls=setting)
            return
        [ruling] = self.match([name]).tolist()  # of a suffix without an entry: what rules every name below it
        before = Entry(domain=DEFAULT) if ruling < 0 else self.entries[ruling]
        entries.append(replace(before, domain=name, tls=setting, line=0))

    @property
    def hash(self) -> str:
        """16 hexadecimal digits of all that the table says; order, comments and spelling do not matter."""
        entries = sorted((canonical_domain(e.domain) or "", _values(e)) for e in self.entries)
        profiles = sorted((name, _values(p)) for name, p in self.profiles.items())
        text = repr((_values(self.default), entries, profiles, _values(self.host_retry)))
        return blake2b(text.encode(), digest_size=8).hexdigest()

    @cached_property
    def _index(self) -> tuple[dict[str, int], bool]:
        exact = {canonical_domain(entry.domain) or "": i for i, entry in enumerate(self.entries)}
        return exact, any(key.startswith(".") for key in exact)


def _values(instance: Any) -> tuple[str, ...]:
    """Spell the fields that take part in comparisons, numbers alike whether whole or not (60 and 60.0)."""
    return tuple(
        f"{f.name}={float(value)!r}" if isinstance(value, int | float) else f"{f.name}={value!r}"
        for f in fields(instance)
        if f.compare and f.name != "domain"
        for value in [getattr(instance, f.name)]
    )


def _read_only(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    codes.setflags(write=False)
    return codes


def _check_text(names: Sequence[object]) -> None:
    for i, name in enumerate(names):
        if not isinstance(name, str):
            raise PolicyError(complaint(f"domains[{i}]", name, "the name of a domain"))
