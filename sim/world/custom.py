"""Small populations made by hand, for tests and notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from sim.errors import PopulationError, complaint
from sim.terms import Chain, Dane, Dns, MtaSts, Term, TlsVersion
from sim.world.columns import BACKENDS, DOMAINS, HOSTS, ROUTES, Column

if TYPE_CHECKING:
    import pandas as pd

Spec = Mapping[str, Any]
_CODES: Final[dict[str, type[Term]]] = {
    "dns": Dns,
    "mta_sts": MtaSts,
    "chain": Chain,
    "tls_version": TlsVersion,
    "dane": Dane,
}
_ROUTE_KEYS: Final = tuple(c for c in ROUTES if c not in ("domain", "host"))
_HOST_KEYS: Final = tuple(HOSTS)
_BACKEND_KEYS: Final = tuple(c for c in BACKENDS if c != "host")
_MX_KEYS: Final = (*_HOST_KEYS, *_ROUTE_KEYS, *_BACKEND_KEYS, "backends")


def custom_frames(specs: Sequence[Spec]) -> dict[str, pd.DataFrame]:
    """Return the four frames of a population described by one mapping a domain (see `Population.custom`).

    Raises
    ------
    PopulationError
        For an unknown key, an unknown code, or a host described twice.
    """
    import pandas as pd

    if not specs:
        raise PopulationError(complaint("specs", "none", "one mapping a domain"))
    ordered = sorted(specs, key=lambda s: -float(s.get("messages", 1.0)))
    domains, routes = [], []
    hosts: dict[str, dict[str, Any]] = {}
    backends: dict[str, list[dict[str, Any]]] = {}
    for row, spec in enumerate(ordered):
        owner = f"[{spec.get('domain', '?')}]"
        _known(spec, (*DOMAINS, "hosts"), owner, needs="domain")
        domains.append(_filled(spec, DOMAINS))
        listed = spec.get("hosts") or [{"host": f"mx1.{spec['domain']}"}]
        for place, host in enumerate(listed):
            _known(host, _MX_KEYS, f"{owner} hosts", needs="host")
            _describe(host, spec, hosts, backends)
            route = {"preference": 10 * (place + 1), **_part(host, _ROUTE_KEYS)}
            routes.append(_filled({**route, "domain": row, "host": host["host"]}, ROUTES))
    number = {host: i for i, host in enumerate(hosts)}
    routes = [{**r, "host": number[r["host"]]} for r in routes]
    routes.sort(key=lambda r: (r["domain"], r["preference"]))
    servers = [{**_filled(b, BACKENDS), "host": number[host]} for host in hosts for b in backends[host]]
    return {
        "domains": pd.DataFrame(domains),
        "hosts": pd.DataFrame(list(hosts.values())),
        "backends": pd.DataFrame(servers),
        "routes": pd.DataFrame(routes),
    }


def _describe(
    host: Spec, domain: Spec, hosts: dict[str, dict[str, Any]], backends: dict[str, list[dict[str, Any]]]
) -> None:
    name = str(host["host"])
    own = {k: v for k, v in host.items() if k not in ("host", *_ROUTE_KEYS)}
    if name in hosts:
        if own:
            allowed = f"described once: a later mention takes only {', '.join(_ROUTE_KEYS)}"
            raise PopulationError(complaint(f"host {name}", ", ".join(own), allowed))
        return
    provider = {"provider": domain.get("provider", "own")}
    hosts[name] = _filled({**provider, **_part(host, _HOST_KEYS)}, HOSTS)
    shared = _part(host, _BACKEND_KEYS)
    members = [dict(b) for b in host.get("backends", [{}])]
    if not members:
        raise PopulationError(complaint(f"host {name}: backends", "none", "one mapping a server, or no such key"))
    for member in members:
        _known(member, _BACKEND_KEYS, f"host {name}: backends")
    if not any("weight" in m for m in members):
        shared = {**shared, "weight": 1 / len(members)}
    backends[name] = [{**shared, **m} for m in members]


def _known(spec: Spec, allowed: tuple[str, ...], owner: str, *, needs: str | None = None) -> None:
    for key in spec:
        if key not in allowed:
            raise PopulationError(complaint(f"{owner} key", key, allowed))
    if needs is not None and needs not in spec:
        raise PopulationError(complaint(f"{owner} keys", ", ".join(spec), f"{needs} among them"))


def _part(spec: Spec, keys: tuple[str, ...]) -> dict[str, Any]:
    return {k: v for k, v in spec.items() if k in keys}


def _filled(spec: Spec, columns: Mapping[str, Column]) -> dict[str, Any]:
    return {c: _code(c, spec[c]) if c in spec else _plain(column.default) for c, column in columns.items()}


def _plain(value: object) -> object:
    return int(value) if isinstance(value, Term) else value


def _code(column: str, value: object) -> object:
    terms = _CODES.get(column)
    if terms is None or not isinstance(value, str):
        return _plain(value)
    for term in terms:
        if value.lower() in (term.label.lower(), term.key):
            return int(term)
    raise PopulationError(complaint(column, value, [t.label for t in terms]))
