"""Closed forms of queueing theory beside a simulation: what they ask is Poisson arrivals at a constant rate."""

from __future__ import annotations

from math import exp, inf

from sim.errors import ScenarioError, complaint


def erlang_b(servers: int, offered_erlang: float) -> float:
    """Return the share of arrivals that find all servers busy where nobody waits, M/G/c/c (Erlang 1917).

    Parameters
    ----------
    servers : 0 or more.
    offered_erlang : arrival rate x mean service time.

    Raises
    ------
    ScenarioError
        When an argument is negative.

    Examples
    --------
    >>> round(erlang_b(2, 1.0), 3)
    0.2
    """
    _not_negative(servers=servers, offered_erlang=offered_erlang)
    blocked = 1.0
    for n in range(1, servers + 1):
        blocked = offered_erlang * blocked / (n + offered_erlang * blocked)
    return blocked


def erlang_c(servers: int, offered_erlang: float) -> float:
    """Return the share of arrivals that wait in M/M/c (Erlang 1917); 1 where the load is not below the servers.

    Raises
    ------
    ScenarioError
        When an argument is negative.
    """
    blocked = erlang_b(servers, offered_erlang)
    if offered_erlang >= servers:
        return 1.0
    return servers * blocked / (servers - offered_erlang * (1 - blocked))


def wait_exceeds(servers: int, offered_erlang: float, service_s: float, wait_s: float) -> float:
    """Return the share of arrivals that wait longer than ``wait_s`` in M/M/c, first come, first served."""
    if offered_erlang >= servers:
        return 1.0
    return erlang_c(servers, offered_erlang) * exp(-(servers - offered_erlang) * wait_s / service_s)


def mean_wait_s(
    servers: int, offered_erlang: float, service_s: float, arrival_scv: float = 1.0, service_scv: float = 1.0
) -> float:
    """Return the mean wait in G/G/c by Allen and Cunneen's approximation: exact for M/M/c and for M/G/1.

    Parameters
    ----------
    servers, offered_erlang, service_s : as above; ``service_s`` is the mean.
    arrival_scv, service_scv : squared coefficients of variation of gaps and service times; 1 for exponential.
    """
    _not_negative(service_s=service_s, arrival_scv=arrival_scv, service_scv=service_scv)
    if offered_erlang >= servers:
        return inf
    poisson_s = erlang_c(servers, offered_erlang) * service_s / (servers - offered_erlang)
    return poisson_s * (arrival_scv + service_scv) / 2


def servers_for(
    arrival_rate_per_s: float, service_s: float, *, within_s: float, share: float, most: int = 1_000
) -> int | None:
    """Return the fewest servers with which this share of arrivals has ended its service in time, as M/M/c waits.

    What is left of ``within_s`` after a mean service is the longest wait allowed.

    Returns
    -------
    int or None
        None where ``most`` servers are too few.
    """
    _not_negative(arrival_rate_per_s=arrival_rate_per_s, service_s=service_s, within_s=within_s)
    wait_s, offered = within_s - service_s, arrival_rate_per_s * service_s
    if wait_s < 0:
        return None
    for servers in range(int(offered) + 1, most + 1):
        if service_s == 0 or wait_exceeds(servers, offered, service_s, wait_s) <= 1 - share:
            return servers
    return None


def drain_s(backlog: float, service_rate_per_s: float, arrival_rate_per_s: float = 0.0) -> float:
    """Return how long a backlog takes to drain in a fluid queue: B / (mu - lambda); infinite where it does not.

    Raises
    ------
    ScenarioError
        When an argument is negative.
    """
    _not_negative(backlog=backlog, service_rate_per_s=service_rate_per_s, arrival_rate_per_s=arrival_rate_per_s)
    if backlog == 0:
        return 0.0
    spare_per_s = service_rate_per_s - arrival_rate_per_s
    return backlog / spare_per_s if spare_per_s > 0 else inf


def _not_negative(**values: float) -> None:
    for name, value in values.items():
        if not value >= 0:
            raise ScenarioError(complaint(name, value, "0 or more"))
