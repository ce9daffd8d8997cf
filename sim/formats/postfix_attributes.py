"""The attributes of an entry of ``smtp_tls_policy_maps`` and their values (Postfix ``smtp_tls_policy.c``, postconf(5)).

A value that Postfix cannot read makes it put off all mail of the destination (4.7.5), so it is a fault here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sim.errors import complaint
from sim.policy.destinations import canonical_domain
from sim.policy.profiles.postfix import Level
from sim.terms import Reason

Pairs = tuple[tuple[str, str], ...]

#: Levels that take names in ``match``, and what they take without one.
DEFAULT_MATCH: Mapping[Level, tuple[str, ...]] = {
    Level.VERIFY: ("hostname",),
    Level.SECURE: ("nexthop", "dot-nexthop"),
}
LEVELS = tuple(level.label for level in Level)
_PKIX = tuple(DEFAULT_MATCH)
_VERSIONS = ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_VERSION = re.compile(rf"(?:!|[<>]=)?(?:{'|'.join(map(re.escape, _VERSIONS))}|0[0-7]+|0x[0-9a-f]+)", re.IGNORECASE)
_DIGESTS = re.compile(r"[0-9a-f]{2}(?::?[0-9a-f]{2})+(?:\|[0-9a-f]{2}(?::?[0-9a-f]{2})+)*", re.IGNORECASE)
_NAME = re.compile(r"\.?[\w-]+(?:\.[\w-]+)*", re.ASCII)
_RESULT_TYPES = tuple(r.label for r in Reason if r >= Reason.TLSA_INVALID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute.

    Attributes
    ----------
    allowed : what its value may be, for people.
    good : whether a value is one of these.
    levels : the levels it may stand at; none where all.
    several : whether it may stand more than once: its values add up, or the last one holds.
    external : whether it is told only of a policy that came from elsewhere, beside ``policy_type``.
    """

    allowed: str | Sequence[str]
    good: Callable[[str], bool]
    levels: tuple[Level, ...] = ()
    several: bool = False
    external: bool = False


def _words(*words: str, several: bool = False, external: bool = False) -> Attribute:
    return Attribute(allowed=words, good=lambda v: v.lower() in words, several=several, external=external)


def _versions(value: str) -> bool:
    return all(_VERSION.fullmatch(part) for part in re.split(r"[:,\s]+", value) if part)


def _host(value: str) -> bool:
    return _NAME.fullmatch(value) is not None and not value.startswith(".") and canonical_domain(value) is not None


def _names(value: str) -> bool:
    return all(_NAME.fullmatch(part) for part in value.split(":"))


def _some(value: str) -> bool:
    return bool(value)


def _any(value: str) -> bool:
    del value
    return True


ATTRIBUTES: Mapping[str, Attribute] = {
    "match": Attribute(
        allowed="nexthop, dot-nexthop, hostname, a name or .name, ':' between them",
        good=_names,
        levels=(*_PKIX, Level.FINGERPRINT),
        several=True,
    ),
    "protocols": Attribute(allowed=f">=, <=, ! or nothing before {', '.join(_VERSIONS)}, ':' between", good=_versions),
    "ciphers": _words("export", "low", "medium", "high", "null"),
    "exclude": Attribute(allowed="names of ciphers, ':' between", good=_any),
    "servername": Attribute(allowed="a host name, hostname or nexthop", good=_host),
    "tafile": Attribute(allowed="the path of a file", good=_some, levels=_PKIX, several=True),
    "connection_reuse": _words("yes", "no", several=True),
    "enable_rpk": _words("yes", "no", several=True),
    "policy_type": _words("sts", "tlsa", "no-policy-found"),
    "policy_ttl": Attribute(
        allowed="a whole number of seconds", good=lambda v: v.isascii() and v.isdigit(), external=True
    ),
    "policy_domain": Attribute(allowed="a domain", good=_host, external=True),
    "policy_string": Attribute(allowed="a line of the policy", good=_any, several=True, external=True),
    "mx_host_pattern": Attribute(allowed="a pattern of MX hosts", good=_any, several=True, external=True),
    "policy_failure": _words(*_RESULT_TYPES, external=True),
}


def attribute_faults(level: Level, attributes: Sequence[tuple[str, str]]) -> list[tuple[str, str, str | Sequence[str]]]:
    """Say what is wrong with the attributes of an entry, as the arguments of `sim.errors.complaint`.

    At level *none* Postfix ignores attributes, so nothing is wrong with any.
    """
    if level is Level.NONE:
        return []
    faults: list[tuple[str, str, str | Sequence[str]]] = []
    seen: set[str] = set()
    for name, value in attributes:
        known = ATTRIBUTES.get(name)
        if known is None:
            faults.append(("attribute", name, list(ATTRIBUTES)))
            continue
        digests = name == "match" and level is Level.FINGERPRINT
        if known.levels and level not in known.levels:
            faults.append((name, value, f"only at {', '.join(at.label for at in known.levels)}, and this is {level}"))
        elif digests and not _DIGESTS.fullmatch(value):
            faults.append((name, value, "digests in hexadecimal digits, '|' between them"))
        elif not digests and not known.good(value):
            faults.append((name, value, known.allowed))
        elif name in seen and not known.several:
            faults.append((name, value, "once an entry"))
        elif known.external and not any(given == "policy_type" for given, _ in attributes):
            faults.append((name, value, "only beside policy_type"))
        seen.add(name)
    return faults


def level_of(word: str) -> Level | None:
    """Return the level a word spells, read without case."""
    return next((level for level in Level if level.label == word.lower()), None)


def split_value(text: str) -> list[str]:
    """Split the value of an entry into its level and attributes, at blanks and commas outside braces.

    Braces round an attribute are kept, so that `name_and_value` knows that it may hold blanks.

    Examples
    --------
    >>> split_value("secure match=nexthop, { protocols = >=TLSv1.2, <=TLSv1.3 }")
    ['secure', 'match=nexthop', '{ protocols = >=TLSv1.2, <=TLSv1.3 }']
    """
    parts, depth, start = [], 0, None
    for at, char in enumerate(text):
        if depth == 0 and (char.isspace() or char == ","):
            if start is not None:
                parts.append(text[start:at])
            start = None
            continue
        start = at if start is None else start
        depth += (char == "{") - (char == "}" and depth > 0)
    return parts if start is None else [*parts, text[start:]]


def _balanced(text: str) -> bool:
    depth = 0
    for char in text:
        depth += (char == "{") - (char == "}")
        if depth < 0:
            return False
    return depth == 0


def name_and_value(part: str) -> tuple[str, str] | None:
    """Split ``name=value`` or ``{ name = value }``, the name in lower case; ``None`` for what is neither."""
    if part.startswith("{"):
        if not part.endswith("}") or not _balanced(part[1:-1]):
            return None
        part = " ".join(part[1:-1].split())
    name, equals, value = part.partition("=")
    return (name.strip().lower(), value.strip()) if equals and name.strip() else None


def spell(name: str, value: str) -> str:
    """Write an attribute so that it is read back."""
    if re.search(r"[\s,{}]", value):
        return f"{{ {name} = {value} }}"
    return f"{name}={value}"


def complaints(level: Level, attributes: Pairs, key: str, **where: object) -> list[str]:
    """Compose the complaints about an entry's attributes, its key in front of the name."""
    file, line = where.get("file"), where.get("line")
    number = line if isinstance(line, int) else None
    return [
        complaint(f"{key} {field}", value, allowed, file=file, line=number)
        for field, value, allowed in attribute_faults(level, attributes)
    ]
