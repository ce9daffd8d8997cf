"""Destination Controls as a Postfix policy map, and back, with everything that changes its meaning on the way.

Settings are compared cell by cell of the evidence (`sim.policy.compare`), once a pair. What the other side has no place
for is counted. Which level stands for which setting, and why: docs/decisions/postfix-levels.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sim.errors import PolicyError, complaint
from sim.formats.destination_controls import Policy
from sim.formats.destination_keys import known_key
from sim.formats.ini_lines import LineKind
from sim.formats.postfix_attributes import DEFAULT_MATCH, LEVELS, level_of, name_and_value, split_value
from sim.formats.postfix_tls_policy import MapEntry, TlsPolicyMap
from sim.policy.compare import MATCH_RULES, Asked, Change, changes
from sim.policy.destinations import (
    DEFAULT,
    ENTRY_FIELDS,
    SHIPPED,
    DestinationControls,
    Entry,
    canonical_domain,
    dane_option_of,
)
from sim.policy.identity import RULES
from sim.policy.profile import Value
from sim.policy.profiles import esa, postfix
from sim.policy.profiles.postfix import Level
from sim.policy.retry import HostRetry
from sim.terms import DaneOption, Identity, Setting

Switches = Mapping[str, Value]

#: The level that comes nearest to a setting, and the names it shall accept. Against the recipient's domain alone where
#: the gateway looks at no MX host: nothing is accepted that the gateway refuses.
_LEVELS: Mapping[Setting, tuple[Level, tuple[str, ...]]] = {
    Setting.NO: (Level.NONE, ()),
    Setting.PREFERRED: (Level.MAY, ()),
    Setting.REQUIRED: (Level.ENCRYPT, ()),
    Setting.PREFERRED_VERIFY: (Level.MAY, ()),
    Setting.REQUIRED_VERIFY: (Level.SECURE, ("nexthop",)),
    Setting.REQUIRED_VERIFY_HOSTED: (Level.SECURE, ("nexthop", "hostname")),
}
_LIMITS_OF_POSTFIX = "Postfix sets it for a whole transport, not in this map"
_UNPLACED_FIELDS: Mapping[str, str] = {
    "max_host_concurrency": _LIMITS_OF_POSTFIX,
    "max_messages_per_connection": _LIMITS_OF_POSTFIX,
    "recipient_minutes": "Postfix counts no recipients in a time",
    "recipient_limit": "Postfix counts no recipients in a time",
    "limit_type": "it belongs to the limits",
    "limit_apply": "it belongs to the limits",
    "ip_sort_pref": _LIMITS_OF_POSTFIX,
    "bounce_validation": "Postfix tags no bounce addresses",
    "bounce_profile": "Postfix has one law of retries and one lifetime for all mail",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PairChange:
    """What changes for entries of one setting.

    Attributes
    ----------
    before, after : the setting there, and what takes its place here.
    entries : those it concerns, DEFAULT or main.cf's level among them.
    changes : classes of cells that come to something else.
    remarks : what the cells do not show.
    """

    before: str
    after: str
    entries: tuple[str, ...]
    changes: tuple[Change, ...]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplaced:
    """What the other side has no place for.

    Attributes
    ----------
    what : a field, an attribute, or a kind of line.
    count : how many there are.
    where : entries or lines it stands at.
    why : why it has no place.
    """

    what: str
    count: int
    where: tuple[str, ...]
    why: str


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A table in the other form, and what that changes.

    Attributes
    ----------
    map, policy : the table in either form: what was given, and what was made of it.
    main_cf : lines for main.cf, where the map was made.
    pairs : what changes, a setting and its counterpart once.
    patterns : what a key means here and there, and what has to hold around the table.
    unplaced : what the other form has no place for.
    """

    map: TlsPolicyMap
    policy: DestinationControls
    main_cf: tuple[str, ...] = ()
    pairs: tuple[PairChange, ...] = ()
    patterns: tuple[str, ...] = ()
    unplaced: tuple[Unplaced, ...] = ()

    @property
    def changed(self) -> tuple[PairChange, ...]:
        """The pairs of which something changes."""
        return tuple(pair for pair in self.pairs if pair.changes)


def level_for(setting: Setting, option: DaneOption = DaneOption.NONE) -> tuple[Level, tuple[str, ...]]:
    """Return the level that comes nearest to a setting with its DANE option, and the words of its ``match``.

    Level *dane* sends in clear where there are no TLSA records, so a setting that requires TLS keeps its own level.

    Examples
    --------
    >>> level_for(Setting.PREFERRED, DaneOption.OPPORTUNISTIC)[0].label, level_for(Setting.REQUIRED_VERIFY)
    ('dane', (<Level.SECURE: 5>, ('nexthop',)))
    """
    level, match = _LEVELS[setting]
    if option is DaneOption.MANDATORY and level is not Level.NONE:
        return Level.DANE_ONLY, ()
    if option is DaneOption.OPPORTUNISTIC and level is Level.MAY:
        return Level.DANE, ()
    return level, match


def setting_for(level: Level, match: Sequence[str] = ()) -> tuple[Setting, DaneOption]:
    """Return the setting and DANE option that come nearest to a level with the names it accepts.

    Examples
    --------
    >>> setting_for(Level.SECURE, ("nexthop", "hostname"))[0].label
    'Required - Verify Hosted Domains'
    """
    plain = {
        Level.NONE: Setting.NO,
        Level.MAY: Setting.PREFERRED,
        Level.ENCRYPT: Setting.REQUIRED,
        Level.DANE: Setting.PREFERRED,
        Level.DANE_ONLY: Setting.REQUIRED_VERIFY,
    }
    option = {Level.DANE: DaneOption.OPPORTUNISTIC, Level.DANE_ONLY: DaneOption.MANDATORY}.get(level, DaneOption.NONE)
    if level in plain:
        return plain[level], option
    hosted = "hostname" in (match or DEFAULT_MATCH.get(level, ()))
    return (Setting.REQUIRED_VERIFY_HOSTED if hosted else Setting.REQUIRED_VERIFY), option


def gateway_asks(setting: Setting, option: DaneOption, switches: Switches | None = None) -> Asked:
    """Return what a setting asks, to be compared."""
    return Asked(profile=esa.PROFILE, setting=setting, dane_option=option, switches=switches or {})


def postfix_asks(level: Level, match: Sequence[str] = ()) -> Asked:
    """Return what a level asks, to be compared; without ``match`` the names it accepts by itself."""
    return Asked(profile=postfix.PROFILE, setting=level, match=tuple(match) if level in DEFAULT_MATCH else ())


def setting_words(setting: Setting, option: DaneOption) -> str:
    """Name a setting: ``Required, DANE mandatory``."""
    return setting.label if option is DaneOption.NONE else f"{setting.label}, DANE {option.label}"


def level_words(level: Level, match: Sequence[str]) -> str:
    """Name a level: ``secure match=nexthop``."""
    return f"{level.label} match={':'.join(match)}" if match and level in DEFAULT_MATCH else level.label


@dataclass
class _Pairs:
    """Gathers entries by pair, in the order in which the pairs are met."""

    switches: Switches | None
    to_postfix: bool
    found: dict[tuple[Setting, DaneOption, Level, tuple[str, ...]], list[str]] = field(default_factory=dict)

    def add(self, name: str, setting: Setting, option: DaneOption, level: Level, match: Sequence[str]) -> None:
        self.found.setdefault((setting, option, level, tuple(match)), []).append(name)

    def told(self) -> tuple[PairChange, ...]:
        listed = []
        for (setting, option, level, match), names in self.found.items():
            sides = (gateway_asks(setting, option, self.switches), postfix_asks(level, match))
            words = (setting_words(setting, option), level_words(level, match))
            if not self.to_postfix:
                sides, words = (sides[1], sides[0]), (words[1], words[0])
            listed.append(
                PairChange(
                    before=words[0],
                    after=words[1],
                    entries=tuple(names),
                    changes=tuple(changes(*sides)),
                    remarks=tuple(_remarks(setting, option, level, match)),
                )
            )
        return tuple(sorted(listed, key=lambda pair: not pair.changes))


def _remarks(setting: Setting, option: DaneOption, level: Level, match: Sequence[str]) -> list[str]:
    """Say what flags of a certificate cannot: names that only one side's rule knows."""
    remarks = []
    if option is not DaneOption.NONE and setting is not Setting.NO:
        remarks.append("what the gateway does with DANE is remembered from its guide, and unconfirmed in detail")
    if level in DEFAULT_MATCH:
        if setting is Setting.REQUIRED_VERIFY and not RULES[Identity.ESA_VERIFY].cn_wildcard:
            remarks.append(
                "a wildcard in the CN, where there are no SAN names, counts for Postfix and not for the gateway"
            )
        if "dot-nexthop" in (match or DEFAULT_MATCH[level]):
            remarks.append("dot-nexthop accepts any name below the domain, the gateway none but the MX host's")
        if named := [word for word in match if word not in MATCH_RULES]:
            remarks.append(
                f"names spelled out are lost: {', '.join(named)}; in the cells they are 'the sender lists it'"
            )
    if level is Level.FINGERPRINT:
        remarks.append("the digests are lost: the gateway compares names and needs a trusted chain")
    return remarks


def to_postfix(policy: DestinationControls, *, switches: Switches | None = None) -> Conversion:
    """Make a policy map of Destination Controls.

    Parameters
    ----------
    policy : the table, from a file or not.
    switches : the gateway's, where no source settles a cell; its defaults where not given.

    Returns
    -------
    Conversion
        Whose ``map`` has an entry for each of the table's, in its order, and ``main_cf`` what DEFAULT comes to.

    Examples
    --------
    >>> from sim.policy.destinations import Entry
    >>> table = DestinationControls(entries=(Entry(domain="bank.example", tls=Setting.REQUIRED),))
    >>> made = to_postfix(table)
    >>> made.map.entries[0].text, made.main_cf, made.changed[0].changes[0].text
    ... # doctest: +NORMALIZE_WHITESPACE
    ('bank.example encrypt', ('smtp_tls_security_level = none',),
     '5xx to STARTTLS: not sent (next host) (unconfirmed) -> bounced at once')
    """
    pairs = _Pairs(switches, to_postfix=True)
    made: list[MapEntry] = []
    for index, entry in enumerate(policy.entries):
        level, match = _place(pairs, entry.domain, policy.resolved(index))
        attributes = (("match", ":".join(match)),) if match else ()
        made.append(MapEntry(map_key(entry.domain), level, attributes))
    level, match = _place(pairs, DEFAULT, policy.default)
    main_cf = [f"smtp_tls_security_level = {level.label}"]
    if match:
        main_cf.append(f"smtp_tls_secure_cert_match = {', '.join(match)}")
    used = {level, *(entry.level for entry in made)}
    if used & {Level.DANE, Level.DANE_ONLY}:
        main_cf.append("smtp_dns_support_level = dnssec")
    return Conversion(
        map=TlsPolicyMap(tuple(made)),
        policy=policy,
        main_cf=tuple(main_cf),
        pairs=pairs.told(),
        patterns=tuple(_patterns_to(policy, used)),
        unplaced=tuple(_unplaced_of_controls(policy)),
    )


def _place(pairs: _Pairs, name: str, entry: Entry) -> tuple[Level, tuple[str, ...]]:
    setting = Setting.NO if entry.tls is None else entry.tls
    option = dane_option_of(entry.dane_option) or DaneOption.NONE
    level, match = level_for(setting, option)
    pairs.add(name, setting, option, level, match)
    return level, match


def map_key(domain: str) -> str:
    """Spell a destination as a map does; an IPv6 address as the address literal of a recipient (RFC 5321 4.1.3)."""
    name = canonical_domain(domain) or domain
    return f"[ipv6:{name[1:]}" if name.startswith("[") and ":" in name else name


def _patterns_to(policy: DestinationControls, used: set[Level]) -> Iterable[str]:
    names = [canonical_domain(entry.domain) or "" for entry in policy.entries]
    if count := sum(name.startswith(".") for name in names):
        yield (
            f"{_number(count, 'suffix', 'es')} (.example.com) read alike: every name below, "
            "not the name itself, the longest first (unconfirmed for the gateway)"
        )
    if count := sum(entry.tls is None for entry in policy.entries):
        yield (
            "written with DEFAULT's level, since a parent's entry would hold otherwise: "
            f"{_number(count, 'entr', 'ies', 'y')} without its own TLS; main.cf's level does not reach it"
        )
    if count := sum(name.startswith("[") and ":" in name for name in names):
        yield f"{_number(count, 'IPv6 address', 'es')}: only for recipients spelled as in the map, [ipv6:...]"
    if count := sum(not entry.domain.isascii() for entry in policy.entries):
        yield f"{_number(count, 'name')} beyond ASCII, as A-labels; Postfix looks names up as recipients spell them"
    if policy.entries:
        yield (
            "a key is a next hop: where transport_maps or relayhost name one, Postfix looks that up and not the "
            "recipient's domain"
        )
    if used & {Level.VERIFY, Level.SECURE}:
        yield "Postfix trusts no CA until smtp_tls_CAfile or smtp_tls_CApath names some (remembered)"
    yield "the lowest TLS version is not in either table: each sender is compared at its own"


def _number(count: int, noun: str, more: str = "s", one: str = "") -> str:
    return f"{count:,} {noun}{one if count == 1 else more}"


def _unplaced_of_controls(policy: DestinationControls) -> Iterable[Unplaced]:
    for name in ENTRY_FIELDS:
        if name in ("tls", "dane_option"):
            continue
        where = [entry.domain for entry in policy.entries if getattr(entry, name) is not None]
        if getattr(policy.default, name) != getattr(SHIPPED, name):
            where.append(DEFAULT)
        if where:
            yield Unplaced(what=name, count=len(where), where=tuple(where), why=_UNPLACED_FIELDS[name])
    words = [e for e in (*policy.entries, policy.default) if dane_option_of(e.dane_option) is None]
    if words:
        where = [f"{entry.domain} ({entry.dane_option})" for entry in words]
        yield Unplaced(what="dane_option", count=len(where), where=tuple(where), why="no source knows the word: none")
    profiles = [
        name for name, profile in policy.profiles.items() if profile != DestinationControls().profiles["Default"]
    ]
    if profiles:
        why = _UNPLACED_FIELDS["bounce_profile"]
        yield Unplaced(what="bounce profiles", count=len(profiles), where=tuple(profiles), why=why)
    if policy.host_retry != HostRetry():
        yield Unplaced(
            what="retries of a destination that is down", count=1, where=(), why="Postfix has a law of its own"
        )
    if isinstance(policy, Policy):
        yield from _unplaced_lines(policy)


def _unplaced_lines(policy: Policy) -> Iterable[Unplaced]:
    for name, why in (
        ("send_tls_req_alert", "Postfix mails no alert; its log has the failures"),
        ("certificate", "smtp_tls_cert_file is its place, in main.cf"),
    ):
        if (value := policy.global_value(name)) is not None:
            yield Unplaced(what=name, count=1, where=(f"{DEFAULT} ({value})",), why=why)
    pairs = [line for line in policy.layout if line.kind is LineKind.PAIR and known_key(line.name) is None]
    other = [line for line in policy.layout if line.kind in (LineKind.OTHER, LineKind.BROKEN_HEADER)]
    comments = [line for line in policy.layout if line.kind is LineKind.BLANK and line.text.strip()[:1] in ("#", ";")]
    for what, lines, why in (
        ("unknown keys", pairs, "nobody knows what they mean"),
        ("lines that are no 'key = value'", other, "nobody knows what they mean"),
        ("comments", comments, "they stay in the file they are in"),
    ):
        if lines:
            where = tuple(f"line {line.number}" for line in lines)
            yield Unplaced(what=what, count=len(lines), where=where, why=why)


def from_postfix(policies: TlsPolicyMap, *, default: str | None = None, switches: Switches | None = None) -> Conversion:
    """Make Destination Controls of a policy map.

    Parameters
    ----------
    policies : the map.
    default : ``smtp_tls_security_level`` of main.cf, which DEFAULT is made of, ``match=`` behind it where it verifies;
        ``None`` takes *none*, as Postfix ships, and says so.
    switches : as for `to_postfix`.

    Returns
    -------
    Conversion
        Whose ``policy`` has limits and bounce profile as a gateway ships.

    Raises
    ------
    PolicyError
        When ``default`` is no level.
    """
    pairs = _Pairs(switches, to_postfix=False)
    main = _default_entry(default)
    setting, option = setting_for(main.level, main.match)
    pairs.add("main.cf", setting, option, main.level, _given_match(main))
    made: dict[str, Entry] = {}
    lost: list[Unplaced] = []
    hops: list[str] = []
    twice: list[str] = []
    for entry in policies.entries:
        name = entry.domain
        if name is None or name in made:
            (hops if name is None else twice).append(entry.key)
            continue
        setting_here, option_here = setting_for(entry.level, entry.match)
        pairs.add(entry.key, setting_here, option_here, entry.level, _given_match(entry))
        # An entry is whole in itself in a map; here the DANE option is inherited, and said where it is another.
        dane_option = None if option_here is option else option_here.label
        made[name] = Entry(domain=name, tls=setting_here, dane_option=dane_option, line=entry.line)
    for what, keys, why in (
        ("next hops of transports", hops, "Destination Controls know the recipient's domain alone"),
        ("other spellings of a destination", twice, "one entry a destination, the first"),
    ):
        if keys:
            lost.append(Unplaced(what=what, count=len(keys), where=tuple(keys), why=why))
    table = Policy(replace(SHIPPED, tls=setting, dane_option=option.label), tuple(made.values()))
    return Conversion(
        map=policies,
        policy=table,
        pairs=pairs.told(),
        patterns=tuple(_patterns_from(policies, default)),
        unplaced=(*lost, *_unplaced_of_map(policies)),
    )


def _given_match(entry: MapEntry) -> tuple[str, ...]:
    return entry.match if any(name == "match" for name, _ in entry.attributes) else ()


def _default_entry(default: str | None) -> MapEntry:
    word, *parts = split_value(default or Level.NONE.label) or [""]
    level = level_of(word)
    if level is None:
        raise PolicyError(complaint("default level", word, LEVELS))
    pairs = [name_and_value(part) for part in parts]
    if None in pairs:
        raise PolicyError(complaint("default level", default, "a level, and match=... behind it"))
    return MapEntry("main.cf", level, tuple(pair for pair in pairs if pair is not None))


def _patterns_from(policies: TlsPolicyMap, default: str | None) -> Iterable[str]:
    if default is None:
        yield "a map has no DEFAULT: level none is assumed, as Postfix ships; the level of main.cf can be given"
    if count := sum(entry.key.startswith(".") for entry in policies.entries):
        yield f"{_number(count, 'suffix', 'es')} (.example.com) read alike (unconfirmed for the gateway)"
    addresses = [entry.key for entry in policies.entries if entry.domain is not None and entry.key.startswith("[")]
    if addresses:
        yield f"taken for the address of a recipient (user@[192.0.2.7]), not of a relay: {', '.join(addresses)}"
    yield "limits, retries and lifetimes are those of a gateway as shipped; Postfix has its own in main.cf"


def _unplaced_of_map(policies: TlsPolicyMap) -> Iterable[Unplaced]:
    by_name: dict[str, list[str]] = {}
    for entry in policies.entries:
        for name, value in entry.attributes:
            words = value.split(":") if entry.level in DEFAULT_MATCH else [""]
            if name != "match" or any(word.lower() not in MATCH_RULES for word in words):
                by_name.setdefault(name, []).append(entry.key)
    for name, keys in by_name.items():
        why = (
            "the gateway's rules name no names and no digests" if name == "match" else "the gateway has no such setting"
        )
        yield Unplaced(what=f"{name}=", count=len(keys), where=tuple(keys), why=why)
    ignored = [f"line {row.line}" for row in policies.rows if row.kind == "ignored" and row.changes_answer]
    if ignored:
        yield Unplaced(
            what="lines without effect", count=len(ignored), where=tuple(ignored), why="Postfix skips them too"
        )
    comments = sum(line.lstrip().startswith("#") for text in policies.layout for line in text.splitlines())
    if comments:
        yield Unplaced(what="comments", count=comments, where=(), why="they stay in the file they are in")


def document(conversion: Conversion) -> dict[str, Any]:
    """Lay out what changes as plain values, for JSON."""
    return {
        "pairs": [
            {
                "before": pair.before,
                "after": pair.after,
                "entries": list(pair.entries),
                "changes": [
                    {
                        "text": change.text,
                        "receiver": change.receiver,
                        "seen": change.seen,
                        "age": change.age,
                        "before": change.before,
                        "after": change.after,
                        "unconfirmed": change.unconfirmed,
                        "cells": change.cells,
                    }
                    for change in pair.changes
                ],
                "remarks": list(pair.remarks),
            }
            for pair in conversion.pairs
        ],
        "patterns": list(conversion.patterns),
        "unplaced": [
            {"what": lost.what, "count": lost.count, "where": list(lost.where), "why": lost.why}
            for lost in conversion.unplaced
        ],
        "main_cf": list(conversion.main_cf),
    }
