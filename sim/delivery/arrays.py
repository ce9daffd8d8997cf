"""Columns as the World has them: rows grouped by their owners, rates as thresholds, seconds as microseconds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.errors import PolicyError, complaint
from sim.policy.destinations import DestinationControls, dane_option_of
from sim.scenario import Scenario
from sim.terms import Dane, DaneOption, Stage, TlsVersion
from sim.world.population import Population

Int64 = NDArray[np.int64]

US = 1_000_000
WHOLE = 1 << 32
RATE_COLUMNS = (
    "unreachable_rate",
    "greeting_4xx_rate",
    "greeting_5xx_rate",
    "not_offered_rate",
    "refused_4xx_rate",
    "refused_5xx_rate",
    "lost_before_220_rate",
    "handshake_failed_rate",
    "handshake_timeout_rate",
    "lost_in_tls_rate",
)


def row_starts(owner: ArrayLike, count: int) -> Int64:
    """Row offsets of rows grouped by owner: ``start[i]:start[i + 1]`` belong to owner i."""
    return np.searchsorted(np.asarray(owner), np.arange(count + 1)).astype(np.int64)


def pool_members(population: Population, backend_start: Int64) -> tuple[Int64, Int64, Int64]:
    """Return every (route, backend of its host) as two columns, and the row at which each route's begin."""
    host = population.routes["host"].to_numpy()
    pool = np.diff(backend_start)[host]
    start = np.concatenate([[0], np.cumsum(pool)])[:-1].astype(np.int64)
    route = np.repeat(np.arange(len(host)), pool)
    return route, backend_start[host[route]] + np.arange(len(route)) - start[route], start


@dataclass(frozen=True, eq=False)
class Peers:
    """What connections meet at the MX hosts of a population, whatever is asked of them.

    Attributes
    ----------
    route, backend : (n,) every (route, backend of its host).
    seen_start : (R,) the first row of each route there.
    stage : (B, 10) cumulative thresholds of the stages unreachable .. lost-in-tls.
    stripped : (R,) 1 where the path removes STARTTLS.
    """

    route: Int64
    backend: Int64
    seen_start: Int64
    stage: Int64
    stripped: Int64

    @classmethod
    def of(cls, population: Population, lowest_tls: TlsVersion, backend_start: Int64) -> Self:
        """Return the peers of a population for a sender that accepts TLS from a version on."""
        members = pool_members(population, backend_start)
        return cls(*members, _stages(population, lowest_tls), whole(population.routes["stripped"]))

    def under(self, population: Population, lowest_tls: TlsVersion) -> Self:
        """Return them while an event changes what peers and paths do; who is behind which host stays."""
        return replace(self, stage=_stages(population, lowest_tls), stripped=whole(population.routes["stripped"]))


def _stages(population: Population, lowest_tls: TlsVersion) -> Int64:
    backends = population.backends
    stage = np.cumsum(backends[list(RATE_COLUMNS)].to_numpy(dtype=np.float64), axis=1)
    # Below the sender's minimum no handshake completes, so nothing is lost in TLS either.
    too_old = backends["tls_version"].to_numpy() < lowest_tls
    stage[too_old, int(Stage.HANDSHAKE_FAILED) - int(Stage.UNREACHABLE) :] = 1.0
    return threshold(np.minimum(stage, 1.0))


def names_on_routes(
    population: Population, route: Int64, backend: Int64, *, below_domain: bool = False
) -> dict[str, NDArray[np.bool_]]:
    """Return what rules look at for each (route, backend): the keyword arguments of `sim.policy.identity.rule_holds`.

    The population knows no fingerprints, so none is listed. ``below_domain`` adds the one column that takes time.
    """
    of_backend = ("san_present", "san_mx", "cn_mx", "san_ptr", "cn_ptr")
    routes = population.routes
    names = {c: population.backends[c].to_numpy(bool)[backend] for c in of_backend}
    names |= {c: routes[c].to_numpy(bool)[route] for c in ("san_domain", "cn_domain")}
    names["tlsa_matches"] = routes["dane"].to_numpy()[route] == Dane.USABLE_MATCH
    if below_domain:
        hosts = population.hosts["host"].str.lower().to_numpy()[routes["host"].to_numpy()]
        domains = population.domains["domain"].str.lower().to_numpy()[routes["domain"].to_numpy()]
        below = [host.endswith(f".{domain}") for host, domain in zip(hosts, domains, strict=True)]
        names["mx_below_domain"] = np.array(below, dtype=np.bool_)[route]
    return names


def dane_options(scenario: Scenario, policy: DestinationControls) -> Int64:
    """Return how the sender uses DANE for each destination: the gateway as its entry says.

    Raises
    ------
    PolicyError
        When an entry says it in a word that nothing is known of.
    """
    names = scenario.population.names
    if not scenario.is_gateway:
        return np.full(len(names), int(scenario.profile.dane_option))
    found = []
    for entry in (policy.resolved(i) for i in range(-1, len(policy.entries))):
        if (option := dane_option_of(entry.dane_option)) is None:
            allowed = [known.label for known in DaneOption]
            raise PolicyError(complaint(f"[{entry.domain}] dane_option", entry.dane_option, allowed))
        found.append(int(option))
    # No look-up of every destination for an option that no entry has.
    return codes(found)[policy.match(names) + 1] if any(found) else np.zeros(len(names), dtype=np.int64)


def threshold(rate: Any) -> Int64:
    """Return rates as thresholds of a 32-bit word."""
    return np.rint(np.asarray(rate, dtype=np.float64) * WHOLE).astype(np.int64)


def microseconds(seconds: Any) -> Int64:
    """Return seconds as whole microseconds."""
    return np.rint(np.asarray(seconds, dtype=np.float64) * US).astype(np.int64)


def whole(values: Any) -> Int64:
    """Return a column of whole numbers or flags as int64."""
    return np.asarray(values).astype(np.int64)


def codes(values: Any) -> Int64:
    """Return a list of codes as int64."""
    return np.asarray(values, dtype=np.int64)
