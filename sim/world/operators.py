"""Who runs the receiving side: named providers, unnamed hosters, and domains with hosts of their own.

An operator is all-or-nothing: everything it hosts shares its MX hosts, certificate and behaviour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.errors import PopulationError, complaint
from sim.world.draw import Chance, Float, Int64, Keys, name_keys, quota_walk
from sim.world.figures import Figures, Provider

Bool = NDArray[np.bool_]

PROVIDER, HOSTER, OWN = 0, 1, 2
OWN_NAME, HOSTER_NAME = "own", "hoster"
_OWN_CLASS, _HOSTER_CLASS, _FIRST_PROVIDER = 0, 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class Destinations:
    """The destinations of a population being drawn, by falling mail, shape (n,) each.

    ``weight`` is what the preset's weighting gives each: its share of the mail, or 1 / n.
    """

    names: Sequence[str]
    keys: Keys
    messages: Float
    weight: Float

    @classmethod
    def of(cls, names: Sequence[str], messages: Float, weighting: str) -> Destinations:
        """Weigh the destinations as the preset does."""
        weight = messages / messages.sum() if weighting == "message" else np.full(len(names), 1 / len(names))
        return cls(names, name_keys(names), messages, weight)


@dataclass(frozen=True, slots=True, eq=False)
class Operators:
    """The operators (m,), their hosts (h,), and who serves each destination (n,).

    Attributes
    ----------
    of_domain, consumer : (n,) operator; whether the destination is a provider's own mail domain.
    names, keys, kind, provider : (m,) its name, key, PROVIDER | HOSTER | OWN, index of the provider or -1.
    weight, domains : (m,) sum of the destinations' weights, and their number.
    first_host, host_count : (m,) its block of hosts.
    host_of, preference, dead, pool : (h,) operator; MX preference; never answers; one back end of a pool is odd.
    host_names, host_keys : (h,).
    first_share : (h,) share of its operator's connections that open to this host first.
    """

    of_domain: Int64
    consumer: Bool
    names: Sequence[str]
    keys: Keys
    kind: Int64
    provider: Int64
    weight: Float
    domains: Int64
    first_host: Int64
    host_count: Int64
    host_of: Int64
    preference: Int64
    dead: Bool
    pool: Bool
    host_names: Sequence[str]
    host_keys: Keys
    first_share: Float


def draw_operators(to: Destinations, figures: Figures, chance: Chance) -> Operators:
    """Draw who serves each destination, and with which MX hosts.

    Raises
    ------
    PopulationError
        When the hosted shares sum to more than 1.
    """
    providers = figures.providers
    consumer_of = {d: i for i, p in enumerate(providers) for d in p.consumer_domains}
    recognised = np.array([consumer_of.get(name, -1) for name in to.names], dtype=np.int64)
    served = _served(to, figures, chance, recognised)
    of_domain, kind, number = _numbered(to, figures, chance, served)
    provider = np.where(kind == PROVIDER, number, -1)
    names = _operator_names(to, providers, kind, number)
    keys = name_keys(names)
    count, preference = _preferences(to, figures, chance, kind, provider, number)
    host_of = np.repeat(np.arange(len(kind)), count)
    first_host = (np.cumsum(count) - count).astype(np.int64)
    place = np.arange(len(host_of)) - first_host[host_of] + 1
    dead = _dead_first(len(to.names), figures, chance, kind, count, keys)[host_of] & (place == 1)
    host_names = [f"mx{j}.{names[op]}" for j, op in zip(place.tolist(), host_of.tolist(), strict=True)]
    host_keys = name_keys(host_names)
    return Operators(
        of_domain=of_domain,
        consumer=recognised >= 0,
        names=names,
        keys=keys,
        kind=kind,
        provider=provider,
        weight=summed(of_domain, to.weight, len(kind)),
        domains=np.bincount(of_domain, minlength=len(kind)).astype(np.int64),
        first_host=first_host,
        host_count=count,
        host_of=host_of.astype(np.int64),
        preference=preference,
        dead=dead,
        pool=_pools(figures, chance, kind[host_of] != PROVIDER, host_keys),
        host_names=host_names,
        host_keys=host_keys,
        first_share=_first_share(host_of, preference, dead, len(kind)),
    )


def _served(to: Destinations, figures: Figures, chance: Chance, recognised: Int64) -> Int64:
    """Class of each destination: own, unnamed hoster, or 2 + the provider's index."""
    shares = [p.hosted_share for p in figures.providers]
    other = figures.number("other_hosted_share")
    own = 1 - other - sum(shares)
    if own < -1e-9:
        allowed = f"at most {1 - sum(shares):g} beside the named providers"
        raise PopulationError(complaint("other_hosted_share", other, allowed))
    served = recognised + _FIRST_PROVIDER
    tail = np.flatnonzero(recognised < 0)
    uniform = chance.uniform(to.keys[tail], "hosting")
    served[tail] = quota_walk(to.weight[tail], [max(own, 0.0), other, *shares], uniform)
    return served


def _numbered(to: Destinations, figures: Figures, chance: Chance, served: Int64) -> tuple[Int64, Int64, Int64]:
    """Number the operators that serve somebody: providers, hosters, then own-run domains, each in order."""
    named = len(figures.providers)
    hosters = int(figures.number("other_hosters"))
    # Unnamed hosters continue the rank-size law of the named ones.
    size = np.arange(named + 1, named + hosters + 1, dtype=np.float64) ** -figures.number("provider_slope")
    upto = np.cumsum(size)[:-1] / size.sum()
    raw = served - _FIRST_PROVIDER
    at_hoster = served == _HOSTER_CLASS
    raw[at_hoster] = named + np.searchsorted(upto, chance.uniform(to.keys[at_hoster], "which hoster"), side="right")
    own = np.flatnonzero(served == _OWN_CLASS)
    raw[own] = named + hosters + own
    used, of_domain = np.unique(raw, return_inverse=True)
    kind = np.where(used < named, PROVIDER, np.where(used < named + hosters, HOSTER, OWN)).astype(np.int64)
    number = used - np.array([0, named, named + hosters])[kind]
    return of_domain.astype(np.int64), kind, number


def _operator_names(to: Destinations, providers: Sequence[Provider], kind: Int64, number: Int64) -> list[str]:
    names = []
    for k, i in zip(kind.tolist(), number.tolist(), strict=True):
        if k == OWN:
            names.append(to.names[i])
        else:
            names.append(f"{providers[i].provider}.example" if k == PROVIDER else f"hoster-{i + 1}.example")
    return names


def _preferences(
    to: Destinations, figures: Figures, chance: Chance, kind: Int64, provider: Int64, number: Int64
) -> tuple[Int64, Int64]:
    """Return the number of MX hosts an operator, and the preference of each host."""
    count = np.full(len(kind), int(figures.number("hoster_mx_hosts")), dtype=np.int64)
    own = np.flatnonzero(kind == OWN)
    shares = [figures.number(f"mx_hosts_{i}") for i in (1, 2, 3)]
    count[own] = 1 + quota_walk(np.ones(len(own)), shares, chance.uniform(to.keys[number[own]], "MX hosts"))
    named = np.flatnonzero(kind == PROVIDER)
    stated = [figures.providers[p].preferences for p in provider[named].tolist()]
    count[named] = [len(s) for s in stated]
    first = np.cumsum(count) - count
    preference = 10 * (np.arange(count.sum()) - np.repeat(first, count) + 1)
    # Named providers come first in the numbering, so their hosts do.
    flat = np.array([p for s in stated for p in s], dtype=np.int64)
    preference[: len(flat)] = flat
    return count, preference.astype(np.int64)


def _dead_first(destinations: int, figures: Figures, chance: Chance, kind: Int64, count: Int64, keys: Keys) -> Bool:
    """Flag own-run operators whose first of several hosts never answers."""
    flagged = np.zeros(len(kind), dtype=bool)
    able = np.flatnonzero((kind == OWN) & (count > 1))
    wanted = figures.number("dead_first_mx") * destinations
    uniform = chance.uniform(keys[able], "dead first MX host")
    flagged[able] = flag(np.ones(len(able)), wanted, uniform)
    return flagged


def _pools(figures: Figures, chance: Chance, able: Bool, keys: Keys) -> Bool:
    pool = np.zeros(len(able), dtype=bool)
    if figures.number("pool_backends") >= 2:
        wanted = figures.number("pool_share") * int(able.sum())
        pool[able] = flag(np.ones(int(able.sum())), wanted, chance.uniform(keys[able], "pool"))
    return pool


def flag(weights: Float, wanted: float, uniform: Float) -> Bool:
    """Flag units until their weights sum to ``wanted`` (or all are flagged)."""
    wanted = min(wanted, float(weights.sum()))
    return np.asarray(quota_walk(weights, [max(float(weights.sum()) - wanted, 0.0), wanted], uniform) == 1)


def summed(owner: Int64, values: Float, owners: int) -> Float:
    """Return the sum of the values of each owner, shape (owners,)."""
    return np.bincount(owner, weights=values, minlength=owners).astype(np.float64)


def _first_share(host_of: Int64, preference: Int64, dead: Bool, operators: int) -> Float:
    best = np.full(operators, np.iinfo(np.int64).max)
    np.minimum.at(best, host_of[~dead], preference[~dead])
    first = (preference == best[host_of]) & ~dead
    equal = np.bincount(host_of[first], minlength=operators)
    return np.where(first, 1 / np.maximum(equal, 1)[host_of], 0.0)
