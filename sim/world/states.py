"""What each operator shows: STARTTLS, certificate, TLS version, names, and the network its paths cross."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.errors import PopulationError, complaint
from sim.terms import Chain, TlsVersion
from sim.world.draw import Chance, Float, Int64, name_keys, quota_walk
from sim.world.figures import Figures
from sim.world.operators import OWN, PROVIDER, Bool, Operators, flag, summed

#: Exclusive joint classes. An expired certificate is otherwise right (Mayer et al., ARES 2016).
NONE, MATCH, MISMATCH, SELF_SIGNED, UNKNOWN_ISSUER, EXPIRED = range(6)
CLASS_CHAIN: Final = np.array(
    [Chain.TRUSTED, Chain.TRUSTED, Chain.TRUSTED, Chain.SELF_SIGNED, Chain.UNKNOWN_ISSUER, Chain.EXPIRED],
    dtype=np.int64,
)
CLASS_NAMES_MX: Final = np.array([False, True, False, False, False, True])
VERSION_SHARES: Final = {
    TlsVersion.SSL_3: "ssl_3",
    TlsVersion.TLS_1_0: "tls_1_0",
    TlsVersion.TLS_1_1: "tls_1_1",
    TlsVersion.TLS_1_2: "tls_1_2",
    TlsVersion.TLS_1_3: "tls_1_3",
}
RATES: Final = (
    *("unreachable_rate", "greeting_4xx_rate", "greeting_5xx_rate", "not_offered_rate", "refused_4xx_rate"),
    *(
        "refused_5xx_rate",
        "lost_before_220_rate",
        "handshake_failed_rate",
        "handshake_timeout_rate",
        "lost_in_tls_rate",
    ),
)
#: Stages a peer without STARTTLS can still show.
BEFORE_EHLO: Final = ("unreachable_rate", "greeting_4xx_rate", "greeting_5xx_rate")


@dataclass(frozen=True, slots=True, eq=False)
class States:
    """Drawn states. Per operator (m,), host (h,) or back end (b,).

    Attributes
    ----------
    joint : (m,) joint class.
    completes : (m,) P(a connection to the first host that answers completes STARTTLS), were it offered.
    backend_of, odd, version : (b,) host; whether it is the odd one of a pool; TLS version.
    backend_weight : (b,) sums to 1 over a host.
    san_present, own_san, own_cn : (m,) certificate has a SAN; its SAN, its CN names the operator's own domain.
    cn_ptr : (h,) the CN equals the PTR name.
    network, stripped : (m,) network of the path, and whether that removes STARTTLS.
    """

    joint: Int64
    completes: Float
    backend_of: Int64
    odd: Bool
    version: Int64
    backend_weight: Float
    san_present: Bool
    own_san: Bool
    own_cn: Bool
    cn_ptr: Bool
    network: Int64
    stripped: Bool


def draw_states(ops: Operators, figures: Figures, chance: Chance) -> States:
    """Draw every operator's state from the quotas of the preset, named providers first.

    Raises
    ------
    PopulationError
        When the rates of one connection sum to more than 1.
    """
    lossless = 1 - _total(figures, RATES)
    backend_of, odd = _backends(ops, figures)
    weight = 1 / np.bincount(backend_of, minlength=len(ops.host_of))[backend_of]
    works = np.where(odd, 0.0, lossless)
    host_completes = summed(backend_of, weight * works, len(ops.host_of))
    completes = summed(ops.host_of, ops.first_share * host_completes, len(ops.kind))
    joint = _joint(ops, figures, chance, completes)
    tls = (joint > NONE)[ops.host_of]
    versions = _versions(ops, figures, chance, ops.weight * completes * (joint > NONE))
    san_present, own_san, own_cn = _identity(ops, figures, chance, joint)
    names_mx = CLASS_NAMES_MX[joint][ops.host_of]
    network, stripped = _networks(ops, figures, chance)
    return States(
        joint=joint,
        completes=completes,
        backend_of=backend_of,
        odd=odd & tls[backend_of],
        version=versions[ops.host_of[backend_of]],
        backend_weight=weight,
        san_present=san_present,
        own_san=own_san,
        own_cn=own_cn,
        cn_ptr=names_mx & (chance.uniform(ops.host_keys, "CN = PTR") < figures.number("p_cn_ptr")),
        network=network,
        stripped=stripped,
    )


def _total(figures: Figures, rates: tuple[str, ...]) -> float:
    total = sum(figures.number(r) for r in rates)
    if total > 1 + 1e-9:
        raise PopulationError(complaint(", ".join(r for r in rates if figures.number(r)), total, "at most 1 together"))
    return min(total, 1.0)


def _backends(ops: Operators, figures: Figures) -> tuple[Int64, Bool]:
    count = np.where(ops.pool, int(figures.number("pool_backends")), 1)
    stated = np.array([p.backends for p in figures.providers], dtype=np.int64)
    named = ops.provider[ops.host_of] >= 0
    count[named] = stated[ops.provider[ops.host_of[named]]]
    backend_of = np.repeat(np.arange(len(count)), count).astype(np.int64)
    last = np.zeros(len(backend_of), dtype=bool)
    last[np.cumsum(count) - 1] = True
    return backend_of, last & ops.pool[backend_of]


def class_shares(figures: Figures) -> Float:
    """Return the preset's shares of the joint classes, shape (6,), sum 1."""
    tls, untrusted = figures.number("starttls"), figures.number("tls_untrusted")
    given_tls = (
        figures.number("tls_trusted_match"),
        figures.number("tls_trusted_mismatch"),
        untrusted * figures.number("untrusted_self_signed"),
        untrusted * figures.number("untrusted_unknown_issuer"),
        untrusted * figures.number("untrusted_expired"),
    )
    return np.array([1 - tls, *(tls * share / sum(given_tls) for share in given_tls)])


def _joint(ops: Operators, figures: Figures, chance: Chance, completes: Float) -> Int64:
    """Fix the named providers, then walk the rest with what the marginals leave over.

    A unit counts with the mail it would carry over TLS, so that the share that *completes* STARTTLS meets its figure.
    """
    joint = np.zeros(len(ops.kind), dtype=np.int64)
    named = ops.kind == PROVIDER
    stated = np.array([_stated_class(figures, i) for i in range(len(figures.providers))], dtype=np.int64)
    joint[named] = stated[ops.provider[named]]
    load = ops.weight * completes
    wanted = class_shares(figures) * ops.weight.sum()
    wanted -= np.bincount(joint[named], weights=load[named], minlength=6)
    uniform = chance.uniform(ops.keys, "certificate")
    rest = np.flatnonzero(~named)
    left = _fitted(wanted, float(load[rest].sum()))
    own_strict = figures.optional("own_strict")
    if own_strict is not None:
        own = np.flatnonzero(ops.kind == OWN)
        targets = _own_targets(left, own_strict) * load[own].sum()
        joint[own] = quota_walk(load[own], targets, uniform[own])
        rest = np.flatnonzero(~named & (ops.kind != OWN))
        left = _fitted(left - np.bincount(joint[own], weights=load[own], minlength=6), float(load[rest].sum()))
    joint[rest] = quota_walk(load[rest], left, uniform[rest])
    return joint


def _stated_class(figures: Figures, index: int) -> int:
    provider = figures.providers[index]
    if not provider.starttls:
        return NONE
    by_chain = {Chain.SELF_SIGNED: SELF_SIGNED, Chain.UNKNOWN_ISSUER: UNKNOWN_ISSUER, Chain.EXPIRED: EXPIRED}
    return by_chain.get(provider.chain, MATCH if provider.names_mx else MISMATCH)


def _fitted(wanted: Float, available: float) -> Float:
    """Fit what the classes still lack to the units there are; what is over or under is *none*."""
    left = np.maximum(wanted, 0.0)
    tls = float(left[1:].sum())
    if tls > available:
        left[1:] *= available / tls
    left[NONE] = max(available - float(left[1:].sum()), 0.0)
    return left


def _own_targets(left: Float, strict: float) -> Float:
    shares = left / left.sum() if left.sum() > 0 else np.array([1.0, 0, 0, 0, 0, 0])
    others = float(shares[MISMATCH:].sum())
    spread = shares[MISMATCH:] / others if others > 0 else np.array([1.0, 0, 0, 0])
    tls = 1 - shares[NONE]
    return np.concatenate([[shares[NONE], tls * strict], tls * (1 - strict) * spread])


def _versions(ops: Operators, figures: Figures, chance: Chance, load: Float) -> Int64:
    """Draw a TLS version an operator; ``load`` is the preset's weight of what it carries over TLS.

    One draw an operator and not a back end: units lighter than one domain would come last in the quota walk and take
    what rounding leaves of the rarest versions, and the lightest by domain (an ISP's pool) are the heaviest by mail.
    """
    versions = np.array(list(VERSION_SHARES), dtype=np.int64)
    shares = np.array([figures.number(p) for p in VERSION_SHARES.values()])
    stated_by = np.array([-1 if p.tls_version is None else p.tls_version for p in figures.providers], dtype=np.int64)
    version = np.where(ops.provider >= 0, stated_by[ops.provider], -1)
    stated = version >= 0
    fixed = np.bincount(np.maximum(version, 0), weights=np.where(stated, load, 0.0), minlength=len(versions))
    left = np.maximum(shares / shares.sum() * load.sum() - fixed[versions], 0.0)
    uniform = chance.uniform(ops.keys[~stated], "TLS version")
    version[~stated] = versions[quota_walk(load[~stated], left if left.sum() > 0 else shares, uniform)]
    return version


def _identity(ops: Operators, figures: Figures, chance: Chance, joint: Int64) -> tuple[Bool, Bool, Bool]:
    """Draw which certificates have a SAN, and which name their own mail domain: only own-run hosts' can."""
    san_present = chance.uniform(ops.keys, "SAN present") < figures.number("san_present")
    trusted = (joint == MATCH) | (joint == MISMATCH)
    own = np.flatnonzero(trusted & (ops.kind == OWN))
    domains = float(ops.domains[trusted].sum())
    named: list[NDArray[np.bool_]] = []
    for parameter in ("own_san_domain", "own_cn_domain"):
        flagged = np.zeros(len(joint), dtype=bool)
        uniform = chance.uniform(ops.keys[own], parameter)
        flagged[own] = flag(np.ones(len(own)), figures.number(parameter) * domains, uniform)
        named.append(flagged)
    return san_present, named[0] & san_present, named[1] | (named[0] & ~san_present)


def _networks(ops: Operators, figures: Figures, chance: Chance) -> tuple[Int64, Bool]:
    """Lay operators on networks and draw once a network whether it strips; each provider or hoster is one."""
    own = ops.kind == OWN
    shared = max(round(int(own.sum()) / figures.number("domains_per_network")), 1)
    network = np.zeros(len(own), dtype=np.int64)
    network[own] = (chance.uniform(ops.keys[own], "network") * shared).astype(np.int64)
    network[~own] = shared + np.arange(int((~own).sum()))
    names = [f"network {i + 1}" for i in range(shared)]
    names += [ops.names[i] for i in np.flatnonzero(~own).tolist()]
    size = summed(network, ops.domains.astype(np.float64), len(names))
    uniform = chance.uniform(name_keys(names), "stripping")
    strips = flag(size, figures.number("stripped_share") * float(size.sum()), uniform)
    return network, strips[network]
