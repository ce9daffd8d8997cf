"""Populations from published measurements: figures in, columns out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import PopulationError, complaint
from sim.terms import Dns, TlsVersion
from sim.world.account import Drawn, account_rows
from sim.world.draw import Chance, Float, Int64, quota_walk
from sim.world.figures import Figures, load
from sim.world.names import domain_names
from sim.world.operators import HOSTER, HOSTER_NAME, OWN, OWN_NAME, Bool, Destinations, Operators, draw_operators, flag
from sim.world.standards import Standards, Stated, draw_standards
from sim.world.states import BEFORE_EHLO, CLASS_CHAIN, CLASS_NAMES_MX, NONE, RATES, States, draw_states

if TYPE_CHECKING:
    import pandas as pd

Columns = dict[str, Any]
_MOST_DOMAINS = 50_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """Frames of a population and the rows of its account."""

    year: int
    weighting: str
    domains: pd.DataFrame
    hosts: pd.DataFrame
    backends: pd.DataFrame
    routes: pd.DataFrame
    account: list[Columns]


def figures_of(preset: str, given: Mapping[str, float | None], evidence: int | None = None) -> Figures:
    """Return a preset's figures, the caller's own put in; with a seed of the evidence the ranged ones drawn."""
    figures = load(preset).changed(given)
    if evidence is None:
        return figures
    if not is_whole(evidence):
        raise PopulationError(complaint("evidence", evidence, "None, or a seed: a whole number"))
    return figures.redrawn(evidence)


def build_preset(
    preset: str, *, domains: int, seed: int, given: Mapping[str, float | None], evidence: int | None = None
) -> Built:
    """Build a preset over its own invented destinations.

    Mail falls by a Zipf law over ranks 1 to ``domains``; the weights sum to 1.

    Raises
    ------
    PopulationError
        For an unknown preset or parameter, a value out of range, or fewer than one domain.
    """
    figures = figures_of(preset, given, evidence)
    if not is_whole(domains) or not 1 <= domains <= _MOST_DOMAINS:
        raise PopulationError(complaint("domains", domains, f"a whole number, 1..{_MOST_DOMAINS}"))
    mail = np.arange(1, domains + 1, dtype=np.float64) ** -figures.number("zipf_exponent")
    names = domain_names(domains, int(figures.number("first_rank")))
    return build(figures, names, mail / mail.sum(), seed=seed)


def is_whole(value: object) -> bool:
    """Tell whether a value is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def build(figures: Figures, names: Sequence[str], messages: Float, *, seed: int, stated: Stated | None = None) -> Built:
    """Build a population with the behaviour of a preset over given destinations.

    Parameters
    ----------
    figures : the preset's figures.
    names : (n,) domains by falling mail. A provider's own mail domains are recognised by name.
    messages : (n,) mail of each, not negative, with a positive sum.
    seed : of the population.
    stated : what a user's list says of DANE and MTA-STS (`sim.world.standards.STATED`).
    """
    if not is_whole(seed):
        raise PopulationError(complaint("seed", seed, "a whole number"))
    chance = Chance(seed, figures.family)
    to = Destinations.of(names, messages, figures.text("weighting"))
    ops = draw_operators(to, figures, chance)
    states = draw_states(ops, figures, chance)
    dns = _dns(to, ops, figures, chance)
    greylists = _greylisting(to, ops, figures, chance)
    standards = draw_standards(to, ops, states, figures, chance, stated)
    return Built(
        year=int(figures.number("year")),
        weighting=figures.text("weighting"),
        domains=_domains(to, ops, figures, dns, greylists, standards),
        hosts=_hosts(ops, states, figures, chance),
        backends=_backends(ops, states, figures),
        routes=_routes(ops, states, standards),
        account=account_rows(figures, Drawn(to, ops, states, dns, greylists, standards)),
    )


def _dns(to: Destinations, ops: Operators, figures: Figures, chance: Chance) -> Int64:
    """Draw the answer to the MX look-up; a provider's own mail domain always has one."""
    dns = np.full(len(to.names), int(Dns.OK), dtype=np.int64)
    shares = np.array([figures.number("nxdomain_share"), figures.number("null_mx_share")]) * len(to.names)
    if shares.sum() > len(to.names) * (1 + 1e-9):
        total = float(shares.sum()) / len(to.names)
        raise PopulationError(complaint("nxdomain_share, null_mx_share", total, "at most 1 together"))
    tail = np.flatnonzero(~ops.consumer)
    targets = [max(len(tail) - float(shares.sum()), 0.0), *shares.tolist()]
    codes = np.array([Dns.OK, Dns.NXDOMAIN, Dns.NULL_MX])
    dns[tail] = codes[quota_walk(np.ones(len(tail)), targets, chance.uniform(to.keys[tail], "DNS"))]
    return dns


def _greylisting(to: Destinations, ops: Operators, figures: Figures, chance: Chance) -> Bool:
    greylists = np.zeros(len(to.names), dtype=bool)
    own = np.flatnonzero(ops.kind[ops.of_domain] == OWN)
    uniform = chance.uniform(to.keys[own], "greylisting")
    greylists[own] = flag(np.ones(len(own)), figures.number("greylist_share") * len(to.names), uniform)
    return greylists


_SAME_EVERYWHERE = (
    "dns_temporary_rate",
    "rescued_share",
    "persistent_4yz_share",
    "refused_5yz_rate",
)


def _domains(
    to: Destinations, ops: Operators, figures: Figures, dns: Int64, greylists: Bool, standards: Standards
) -> pd.DataFrame:
    import pandas as pd

    labels = np.array(operator_labels(ops, figures), dtype=object)
    same = {p: figures.number(p) for p in _SAME_EVERYWHERE}
    first_4yz = _first_4yz(ops, figures)
    total = float(first_4yz.max()) + same["refused_5yz_rate"]
    if total > 1 + 1e-9:
        raise PopulationError(complaint("first_4yz_rate, refused_5yz_rate", total, "at most 1 together"))
    columns: Columns = {
        "domain": list(to.names),
        "messages": to.messages.astype(np.float64),
        "provider": labels[ops.of_domain],
        "dns": dns,
        "first_4yz_rate": first_4yz,
        **{p: np.full(len(to.names), value) for p, value in same.items()},
        "greylist_s": np.where(greylists, figures.number("greylist_s"), 0.0),
        "new_pair_rate": np.full(len(to.names), figures.number("new_pair_rate")),
        "mta_sts": standards.mta_sts,
    }
    return pd.DataFrame(columns)


def _first_4yz(ops: Operators, figures: Figures) -> Float:
    """Return the rate of each destination: a provider's own where it states one and the caller has given none."""
    common = figures.number("first_4yz_rate")
    stated = [p.first_4yz_rate for p in figures.providers]
    rates = [common if r is None or "first_4yz_rate" in figures.given else r for r in stated]
    return np.array([*rates, common])[ops.provider[ops.of_domain]]


def operator_labels(ops: Operators, figures: Figures) -> list[str]:
    """Return the provider type of each operator: a named provider, ``hoster`` or ``own``."""
    named = [p.provider for p in figures.providers]
    kinds = zip(ops.kind.tolist(), ops.provider.tolist(), strict=True)
    return [OWN_NAME if k == OWN else HOSTER_NAME if k == HOSTER else named[p] for k, p in kinds]


def _hosts(ops: Operators, states: States, figures: Figures, chance: Chance) -> pd.DataFrame:
    import pandas as pd

    hosts = len(ops.host_of)
    labels = np.array(operator_labels(ops, figures), dtype=object)
    median = figures.number("accept_median_s")
    stated = np.array([p.accept_median_s or median for p in figures.providers])
    provider = ops.provider[ops.host_of]
    spread = np.exp(figures.number("rtt_sigma") * chance.normal(ops.host_keys, "round trip"))
    columns: Columns = {
        "host": list(ops.host_names),
        "provider": labels[ops.host_of],
        "rtt_s": figures.number("rtt_median_ms") / 1000 * spread,
        "throughput_bytes_per_s": np.full(hosts, figures.number("throughput_bytes_per_s")),
        "accept_median_s": np.where(provider >= 0, stated[provider], median),
        "accept_sigma": np.full(hosts, figures.number("accept_sigma")),
        "outage_share": np.full(hosts, figures.number("outage_share")),
        "outage_mean_s": np.full(hosts, figures.number("outage_mean_s")),
        "unreachable_s": np.full(hosts, figures.number("unreachable_s")),
        "network": states.network[ops.host_of],
    }
    return pd.DataFrame(columns)


def _backends(ops: Operators, states: States, figures: Figures) -> pd.DataFrame:
    import pandas as pd

    host = states.backend_of
    op = ops.host_of[host]
    rates = _rates(ops.dead[host], (states.joint == NONE)[op], states.odd, figures)
    names_mx = CLASS_NAMES_MX[states.joint][op]
    san_present = states.san_present[op]
    columns: Columns = {
        "host": host,
        "weight": states.backend_weight,
        **rates,
        "tls_version": np.where((states.joint == NONE)[op], int(TlsVersion.TLS_1_2), states.version),
        "chain": CLASS_CHAIN[states.joint][op],
        "san_present": san_present,
        "san_mx": names_mx & san_present,
        "cn_mx": names_mx & ~san_present,
        "san_ptr": np.zeros(len(host), dtype=bool),
        "cn_ptr": states.cn_ptr[host],
    }
    return pd.DataFrame(columns)


def _rates(dead: Bool, none: Bool, odd: Bool, figures: Figures) -> dict[str, NDArray[np.float64]]:
    """Return the stage rates of each back end; what a dead host or one without STARTTLS shows takes the rest."""
    before = sum(figures.number(r) for r in BEFORE_EHLO)
    rates = {}
    for name in RATES:
        rate = np.full(len(dead), figures.number(name))
        if name == "not_offered_rate":
            rate[none | odd] = max(1 - before, 0.0)
        elif name not in BEFORE_EHLO:
            rate[none | odd] = 0.0
        rate[dead] = 1.0 if name == "unreachable_rate" else 0.0
        rates[name] = rate
    return rates


def _routes(ops: Operators, states: States, standards: Standards) -> pd.DataFrame:
    import pandas as pd

    count = ops.host_count[ops.of_domain]
    domain = np.repeat(np.arange(len(count)), count)
    place = np.arange(len(domain)) - (np.cumsum(count) - count)[domain]
    op = ops.of_domain[domain]
    host = ops.first_host[op] + place
    columns: Columns = {
        "domain": domain.astype(np.int64),
        "host": host,
        "preference": ops.preference[host],
        "stripped": states.stripped[op],
        "san_domain": states.own_san[op],
        "cn_domain": states.own_cn[op],
        "dane": standards.dane[domain],
        "sts_listed": standards.listed[domain],
    }
    return pd.DataFrame(columns)
