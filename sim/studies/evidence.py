"""What one connection to one MX host shows, as people spell it: the same in code, in files and on the command line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Final

from sim.errors import ScenarioError, complaint, did_you_mean
from sim.policy.identity import rule_holds
from sim.terms import Chain, Dane, MtaSts, NameRule, Stage, Term, TlsVersion

#: What of a certificate a name rule may look at. ``san-other``: there are SAN names, and none of them is one of these.
NAMES: Final = ("san-domain", "cn-domain", "san-mx", "cn-mx", "san-ptr", "cn-ptr", "san-other")
#: What it may look at beside: the MX host's name lies below the e-mail domain; the certificate's digest is listed.
BESIDE: Final = ("mx-below", "fingerprint")
_NO_NAME: Final = "none"
_TERMS: Final[Mapping[str, type[Term]]] = {
    "stage": Stage,
    "tls_version": TlsVersion,
    "chain": Chain,
    "dane": Dane,
    "mta_sts": MtaSts,
}
#: A value of each part of evidence, as a fault shows it.
_EXAMPLES: Final = {
    "stage": "tls",
    "tls_version": "TLSv1.2",
    "chain": "expired",
    "names": "san-mx",
    "dane": "usable-match",
    "mta_sts": "enforce",
    "mx_listed": "no",
    "age_s": "400",
    "attempt": "2",
}
_YES_NO: Final = {"yes": True, "no": False}
_MOST_S, _MOST_TRIES = 1e9, 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one connection to one MX host shows, and what its receiver publishes.

    Attributes
    ----------
    stage : how far it got.
    tls_version : of the peer, where TLS came up.
    chain : state of the certificate chain, likewise.
    names : what of the certificate matches: members of `NAMES` and `BESIDE`.
    dane : the host's TLSA records, held against what it showed.
    mta_sts : mode of the domain's policy.
    mx_listed : whether that policy lists the host.
    age_s : age of the message when it became ready for this try, seconds.
    attempt : which try of the message it is, from 1.

    Raises
    ------
    ScenarioError
        For an age or a try out of its range.

    Examples
    --------
    >>> Evidence.parse("stage=tls chain=expired names=san-mx,cn-mx").chain.label
    'expired'
    """

    stage: Stage = Stage.TLS
    tls_version: TlsVersion = TlsVersion.TLS_1_3
    chain: Chain = Chain.TRUSTED
    names: frozenset[str] = frozenset()
    dane: Dane = Dane.NONE
    mta_sts: MtaSts = MtaSts.NONE
    mx_listed: bool = True
    age_s: float = 0.0
    attempt: int = 1

    def __post_init__(self) -> None:
        for name in sorted(self.names - {*NAMES, *BESIDE}):
            raise ScenarioError(complaint("evidence names", name, [*NAMES, *BESIDE, _NO_NAME]))
        if not 0 <= self.age_s <= _MOST_S:
            raise ScenarioError(complaint("evidence age_s", self.age_s, f"0..{_MOST_S:.0f} s"))
        if not 1 <= self.attempt <= _MOST_TRIES:
            raise ScenarioError(complaint("evidence attempt", self.attempt, f"a whole number, 1..{_MOST_TRIES}"))

    @classmethod
    def parse(cls, text: str) -> Evidence:
        """Read evidence as people type it: ``stage=tls chain=expired names=san-domain,cn-ptr dane=insecure age_s=400``.

        What is not said is the first try of a new message on a TLS 1.3 connection with a trusted chain and no matching
        name, to a receiver that publishes nothing.

        Raises
        ------
        ScenarioError
            Naming the part that cannot be read, what is allowed and the nearest guess.
        """
        known = [f.name for f in fields(cls)]  # those of _EXAMPLES
        given: dict[str, Any] = {}
        for part in text.replace(";", " ").split():
            name, equals, value = part.partition("=")
            if not equals or name not in known:
                raise ScenarioError(_unread(part, name, value))
            if name in given:
                raise ScenarioError(complaint("evidence", part, f"{name} once"))
            given[name] = _value(name, value)
        return cls(**given)

    def text(self) -> str:
        """Spell it as `parse` reads it, without what does not matter at its stage and what is as `parse` takes it."""
        parts = [f"stage={self.stage.label}"]
        if self.stage >= Stage.LOST_IN_TLS:
            parts.append(f"tls_version={self.tls_version.label}")
        if self.stage == Stage.TLS:
            parts += [f"chain={self.chain.label}", f"names={','.join(sorted(self.names)) or _NO_NAME}"]
        if self.dane:
            parts.append(f"dane={self.dane.label}")
        if self.mta_sts:
            parts.append(f"mta_sts={self.mta_sts.label}")
        if not self.mx_listed:
            parts.append("mx_listed=no")
        if self.age_s:
            parts.append(f"age_s={float(self.age_s)!r}".removesuffix(".0"))
        if self.attempt > 1:
            parts.append(f"attempt={self.attempt}")
        return " ".join(parts)

    def holds(self, rule: NameRule) -> bool:
        """Tell whether a name rule holds for the certificate shown; that a TLSA record matches is said by ``dane``."""
        return _holds(rule, self.names, self.dane == Dane.USABLE_MATCH)


@lru_cache(maxsize=4096)
def _holds(rule: NameRule, names: frozenset[str], tlsa_matches: bool) -> bool:
    flags = {name.replace("-", "_"): name in names for name in NAMES if name != "san-other"}
    return bool(
        rule_holds(
            rule,
            san_present=any(n.startswith("san") for n in names),
            mx_below_domain="mx-below" in names,
            fingerprint_listed="fingerprint" in names,
            tlsa_matches=tlsa_matches,
            **flags,
        )
    )


def _unread(part: str, name: str, value: str) -> str:
    """Compose the complaint about a part that is none: a value that stands alone is told the name it belongs to."""
    allowed = f"parts such as {', '.join(f'{key}={example}' for key, example in _EXAMPLES.items())}"
    owners: dict[str, str] = dict.fromkeys((*NAMES, *BESIDE), "names")
    for key, terms in reversed(list(_TERMS.items())):
        owners |= {member.label.lower(): key for member in terms}
    guess = did_you_mean(name, _EXAMPLES) if value else ""
    if part.lower() in owners:
        guess = f" Did you mean '{owners[part.lower()]}={part}'?"
    return f"{complaint('evidence', part, allowed)}{'.' if guess else ''}{guess}"


def _value(name: str, value: str) -> object:
    if name in _TERMS:
        return _term(name, value)
    if name == "names":
        return _names(value)
    if name == "mx_listed":
        if value.lower() not in _YES_NO:
            raise ScenarioError(complaint("evidence mx_listed", value, _YES_NO))
        return _YES_NO[value.lower()]
    return _number(name, value)


def _number(name: str, value: str) -> float | int:
    whole = name == "attempt"
    try:
        number = int(value.replace("_", "")) if whole else float(value)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        allowed = f"a whole number, 1..{_MOST_TRIES}" if whole else f"seconds, a number in 0..{_MOST_S:.0f}"
        raise ScenarioError(complaint(f"evidence {name}", value, allowed))
    return number


def _term(name: str, value: str) -> Term:
    terms = _TERMS[name]
    for member in terms:
        if value.lower() in (member.label.lower(), member.key):
            return member
    raise ScenarioError(complaint(f"evidence {name}", value, [member.label for member in terms]))


def _names(value: str) -> frozenset[str]:
    found = frozenset(part.strip().lower().replace("_", "-") for part in value.split(",")) - {_NO_NAME, ""}
    for name in sorted(found - {*NAMES, *BESIDE}):
        raise ScenarioError(complaint("evidence names", name, [*NAMES, *BESIDE, _NO_NAME]))
    return found
