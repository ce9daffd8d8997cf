"""Which names of a certificate count: real names against each sender's rule, and the engine's columns of flags.

A rule compares what a certificate presents, the DNS names of its subject alternative names (SAN) and its common name
(CN), with reference names: the recipient's e-mail domain, the MX host, the PTR name of the address connected to.
`identity_holds` does so on names. `flag_columns` answers the single comparisons as columns, and `rule_holds` reads
those for the gateway's two rules; both ways agree.

Sources: RFC 6125 section 6.4 and RFC 9525 section 6.3 (matching), tech notes 118583 and 200537 and user guide 8.5
ch. 21 (the gateway), and those of `RULES`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.errors import PolicyError, complaint
from sim.policy.destinations import canonical_domain
from sim.terms import Identity, NameRule

Flags = NDArray[np.bool_]


def host_name(name: str, field: str = "host name") -> str:
    """Spell a reference name as it is compared: lower case, no final dot, non-ASCII labels as A-labels.

    Raises
    ------
    PolicyError
        When it is no host name; ``field`` says which.

    Examples
    --------
    >>> host_name("MX.Bücher.Example.")
    'mx.xn--bcher-kva.example'
    """
    key = canonical_domain(name)
    if key is None or key[0] in ".[":
        raise PolicyError(complaint(field, name, "a host name, such as mx.example.com"))
    return key


@dataclass(frozen=True)
class Names:
    """The names a certificate presents, as it spells them.

    Attributes
    ----------
    san : its SAN DNS names; other kinds (addresses, e-mail) are no names here (RFC 6125 section 6.4.4).
    cn : the most specific CN of its subject, if any.
    """

    san: tuple[str, ...] = ()
    cn: str | None = None

    @cached_property
    def _spelled(self) -> dict[bool, frozenset[str]]:
        """What is compared: SAN names under True, the CN under False."""
        return {True: frozenset(map(_lower, self.san)), False: frozenset(map(_lower, [self.cn] if self.cn else []))}


def _lower(name: str) -> str:
    """Lower the case of ASCII alone: ``str.lower`` makes a plain *k* of the Kelvin sign."""
    return name.lower() if name.isascii() else ""


def covers(presented: Iterable[str], name: str, *, wildcard_labels: int = 2) -> bool:
    """Tell whether one of the presented names is, or covers, a reference name (RFC 6125 section 6.4).

    Case does not matter. ``*`` stands for exactly one whole left-most label; a name with a ``*`` anywhere else
    covers nothing (RFC 9525 section 6.3), and neither do U-labels, which no certificate may present.

    Parameters
    ----------
    presented : names as a certificate or an MTA-STS policy spells them.
    name : the reference name; brought to one spelling by `host_name`.
    wildcard_labels : labels a wildcard name must have, ``*`` included; 0 where wildcards do not count.

    Raises
    ------
    PolicyError
        When ``name`` is no host name. What a certificate presents is never an error: it covers nothing.

    Examples
    --------
    >>> covers(["*.Example.com"], "mx.example.com."), covers(["*.example.com"], "a.mx.example.com")
    (True, False)
    >>> covers(["*.example"], "mx.example"), covers(["*.example"], "mx.example", wildcard_labels=3)
    (True, False)
    """
    return _covers(frozenset(map(_lower, presented)), host_name(name), wildcard_labels)


def _covers(presented: frozenset[str], name: str, wildcard_labels: int) -> bool:
    if name in presented:
        return True
    _, dot, parent = name.partition(".")
    wide_enough = wildcard_labels and parent.count(".") + 2 >= wildcard_labels
    return bool(dot and wide_enough) and f"*.{parent}" in presented


@dataclass(frozen=True)
class Peer:
    """The names a sender may expect of a peer, each brought to one spelling.

    Attributes
    ----------
    domain : the recipient's e-mail domain; Postfix calls it nexthop, Exchange lets ``TlsDomain`` replace it.
    mx : the MX host, or the host of an SMTP route.
    ptr : the PTR name of the address connected to; empty when there is none.

    Raises
    ------
    PolicyError
        Naming the one that is no host name.
    """

    domain: str
    mx: str
    ptr: str = ""

    def __post_init__(self) -> None:
        for field in ("domain", "mx", "ptr"):
            name = getattr(self, field)
            if name or field != "ptr":
                object.__setattr__(self, field, host_name(name, field))


@dataclass(frozen=True)
class Rule:
    """One sender's rule.

    Attributes
    ----------
    san : the names of a `Peer` that SAN names are compared with; ``below domain`` takes any name under the domain.
    cn : those that the CN is compared with; empty where it never counts.
    cn_beside_san : whether the CN counts also beside SAN names; else only in their absence.
    san_wildcard, cn_wildcard : labels a wildcard must have, 0 where none counts (`covers`).
    """

    san: tuple[str, ...]
    cn: tuple[str, ...] = ()
    cn_beside_san: bool = False
    san_wildcard: int = 2
    cn_wildcard: int = 2


#: Rules by sender. Sources: tech notes 118583 (Verify) and 200537 (Hosted Verify); Postfix TLS_README and
#: ``match_servername`` of its TLS client; the Exim specification; OpenSMTPD's ``tls_match_name``; the vendor's
#: reference of Set-SendConnector; RFC 7672 section 3.2.3; RFC 8461 section 4.2. What they leave open is in
#: docs/decisions/certificate-names.md.
RULES: Mapping[Identity, Rule] = MappingProxyType(
    {
        Identity.ESA_VERIFY: Rule(("domain",), ("domain", "ptr"), cn_beside_san=True, cn_wildcard=0),
        Identity.ESA_HOSTED: Rule(("domain", "mx", "ptr"), ("domain", "mx", "ptr")),
        Identity.POSTFIX_HOSTNAME: Rule(("mx",), ("mx",)),
        Identity.POSTFIX_NEXTHOP: Rule(("domain",), ("domain",)),
        Identity.POSTFIX_DOT_NEXTHOP: Rule(("below domain",), ("below domain",)),
        Identity.EXIM: Rule(("mx",), ("mx",), san_wildcard=3, cn_wildcard=3),
        Identity.OPENSMTPD: Rule(("mx",), ("mx",), san_wildcard=3, cn_wildcard=3),
        Identity.EXCHANGE_DOMAIN: Rule(("domain",), ("domain",)),
        Identity.DANE_TA: Rule(("domain", "mx"), ("domain", "mx")),
        Identity.MTA_STS: Rule(("mx",)),
    }
)


def identity_holds(rule: Identity, names: Names, peer: Peer) -> bool:
    """Tell whether a certificate's names satisfy a sender's rule for a peer.

    Postfix's ``match=`` lists hold when one of their words does: *verify* is ``POSTFIX_HOSTNAME``; *secure* is
    ``POSTFIX_NEXTHOP`` or ``POSTFIX_DOT_NEXTHOP``. Its ``fingerprint`` looks at no name:
    `sim.policy.certificates.fingerprint_listed`.

    Examples
    --------
    A provider's certificate names its MX hosts: *hosted* holds, *verify* does not.

    >>> names, peer = Names(san=("*.mail.example",)), Peer("example.com", "mx1.mail.example")
    >>> identity_holds(Identity.ESA_HOSTED, names, peer), identity_holds(Identity.ESA_VERIFY, names, peer)
    (True, False)
    """
    known = RULES[rule]
    if any(_one_holds(names, True, what, peer, known.san_wildcard) for what in known.san):
        return True
    if names.san and not known.cn_beside_san:
        return False
    return any(_one_holds(names, False, what, peer, known.cn_wildcard) for what in known.cn)


def _one_holds(names: Names, in_san: bool, what: str, peer: Peer, wildcard_labels: int) -> bool:
    presented = names._spelled[in_san]
    if what == "below domain":
        # As Postfix does: a suffix, so that `*.domain` and names any number of labels below it count.
        return any(name.endswith(f".{peer.domain}") and name[0] != "." for name in presented)
    reference: str = getattr(peer, what)
    return bool(reference) and _covers(presented, reference, wildcard_labels)


def flag_columns(names: Sequence[Names], peers: Sequence[Peer], rule: NameRule = NameRule.HOSTED) -> dict[str, Flags]:
    """Turn certificates' names into the columns that `rule_holds` reads.

    Parameters
    ----------
    names : of n certificates.
    peers : the names expected of each, n of them.
    rule : whose reading of a wildcard in a CN the columns take: it counts for ``HOSTED``, not for ``VERIFY``. No
        other cell differs.

    Returns
    -------
    dict of ndarray of bool
        The keyword arguments of `rule_holds`, each of shape (n,).

    Raises
    ------
    PolicyError
        When the two sequences differ in length.

    Examples
    --------
    >>> columns = flag_columns([Names(("mx.mail.example",))], [Peer("example.com", "mx.mail.example")])
    >>> [name for name, column in columns.items() if column[0]]
    ['san_present', 'san_mx']
    """
    if len(names) != len(peers):
        raise PolicyError(complaint("number of peers", len(peers), f"{len(names)}, one a certificate"))
    known = RULES[Identity.ESA_VERIFY if rule is NameRule.VERIFY else Identity.ESA_HOSTED]
    columns = {"san_present": np.array([bool(n.san) for n in names], dtype=np.bool_)}
    for what in ("domain", "mx", "ptr"):
        for prefix, in_san, labels in (("san", True, known.san_wildcard), ("cn", False, known.cn_wildcard)):
            holds = [_one_holds(n, in_san, what, p, labels) for n, p in zip(names, peers, strict=True)]
            columns[f"{prefix}_{what}"] = np.array(holds, dtype=np.bool_)
    return columns


#: What each rule asks of real names (`identity_holds`): one of these has to hold. The others look at no name.
IDENTITIES: Mapping[NameRule, tuple[Identity, ...]] = MappingProxyType(
    {
        NameRule.VERIFY: (Identity.ESA_VERIFY,),
        NameRule.HOSTED: (Identity.ESA_HOSTED,),
        NameRule.HOSTNAME: (Identity.POSTFIX_HOSTNAME,),
        NameRule.HOSTNAME_THREE_LABELS: (Identity.EXIM,),
        NameRule.NEXTHOP: (Identity.POSTFIX_NEXTHOP,),
        NameRule.NEXTHOP_OR_BELOW: (Identity.POSTFIX_NEXTHOP, Identity.POSTFIX_DOT_NEXTHOP),
        NameRule.MTA_STS: (Identity.MTA_STS,),
    }
)


def rule_holds(
    rule: NameRule | int,
    *,
    san_present: ArrayLike,
    san_domain: ArrayLike,
    cn_domain: ArrayLike,
    san_mx: ArrayLike,
    cn_mx: ArrayLike,
    san_ptr: ArrayLike,
    cn_ptr: ArrayLike,
    mx_below_domain: ArrayLike = False,
    fingerprint_listed: ArrayLike = False,
    tlsa_matches: ArrayLike = False,
) -> Flags:
    """Tell for each certificate whether a rule holds.

    Parameters
    ----------
    rule : ``NONE`` never holds, ``CHAIN_ONLY`` always. ``VERIFY`` (settings 4 and 5 of the gateway): a SAN or the CN
        names the e-mail domain, or the CN names the address's PTR name; MX names do not count. Elsewhere, when there
        are SAN names only they count, else the CN: ``HOSTED`` (setting 6) takes the e-mail domain, the MX host or the
        PTR name; ``HOSTNAME`` the MX host, ``NEXTHOP`` the domain, ``NEXTHOP_OR_BELOW`` the domain or an MX host below
        it; ``MTA_STS`` the MX host in the SAN alone. ``FINGERPRINT`` and ``TLSA`` look at no name.
    san_present : whether the certificate has SAN names at all, boolean, shape (n,) or any that broadcasts with it.
    san_domain, cn_domain, san_mx, cn_mx, san_ptr, cn_ptr : what the SAN or CN matches, boolean, likewise.
        A SAN match without SAN names does not count.
    mx_below_domain : whether the MX host's name lies below the e-mail domain.
    fingerprint_listed : whether the certificate's digest is on the sender's list.
    tlsa_matches : whether a usable TLSA record matches.

    Returns
    -------
    ndarray of bool
        The shape the columns broadcast to.

    Raises
    ------
    PolicyError
        When ``rule`` is no `NameRule`.

    Examples
    --------
    A provider's MX name in the SAN alone satisfies *hosted* and not *verify*:

    >>> names = dict(san_present=True, san_domain=False, cn_domain=False, san_mx=True, cn_mx=False, san_ptr=False,
    ...              cn_ptr=False)
    >>> bool(rule_holds(NameRule.VERIFY, **names)), bool(rule_holds(NameRule.HOSTED, **names))
    (False, True)
    """
    try:
        known = NameRule(rule)
    except ValueError:
        raise PolicyError(complaint("name rule", rule, [r.label for r in NameRule])) from None
    named = (san_present, san_domain, cn_domain, san_mx, cn_mx, san_ptr, cn_ptr)
    others = (mx_below_domain, fingerprint_listed, tlsa_matches)
    return _holds(known, *(np.asarray(c, dtype=np.bool_) for c in np.broadcast_arrays(*named, *others)))


def _holds(
    rule: NameRule,
    present: Flags,
    s_domain: Flags,
    c_domain: Flags,
    s_mx: Flags,
    c_mx: Flags,
    s_ptr: Flags,
    c_ptr: Flags,
    below: Flags,
    listed: Flags,
    matches: Flags,
) -> Flags:
    if rule is NameRule.VERIFY:
        return (present & s_domain) | c_domain | c_ptr
    no, yes = np.zeros(present.shape, dtype=np.bool_), np.ones(present.shape, dtype=np.bool_)
    in_san, in_cn = {
        NameRule.NONE: (no, no),
        NameRule.CHAIN_ONLY: (yes, yes),
        NameRule.HOSTED: (s_domain | s_mx | s_ptr, c_domain | c_mx | c_ptr),
        NameRule.HOSTNAME: (s_mx, c_mx),
        NameRule.HOSTNAME_THREE_LABELS: (s_mx, c_mx),
        NameRule.NEXTHOP: (s_domain, c_domain),
        NameRule.NEXTHOP_OR_BELOW: (s_domain | (s_mx & below), c_domain | (c_mx & below)),
        NameRule.MTA_STS: (s_mx, no),
        NameRule.FINGERPRINT: (listed, listed),
        NameRule.TLSA: (matches, matches),
    }[rule]
    return np.where(present, in_san, in_cn)
