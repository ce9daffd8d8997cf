"""The account of a population: every figure used, where it comes from, and what the drawn population achieves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.terms import Chain, Dane, Dns, MtaSts, TlsVersion
from sim.world.draw import Float, Int64
from sim.world.figures import CHECK, RANGE_COLUMNS, Figure, Figures
from sim.world.operators import HOSTER, OWN, PROVIDER, Bool, Destinations, Operators
from sim.world.standards import BROKEN_SHARES, FAULT_SHARES, MODE_SHARES, Standards
from sim.world.states import EXPIRED, MATCH, MISMATCH, NONE, SELF_SIGNED, UNKNOWN_ISSUER, VERSION_SHARES, States

ACCOUNT_COLUMNS = (
    *("parameter", "role", "value", "achieved", "unit", "weighting", "status", "source", "note"),
    *("low", "high", "range"),
)
GIVEN, DRAWN = "given", "drawn"
_SHARE_OFF = 0.005


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A drawn population, and how its domains, hosts and TLS back ends are weighed."""

    to: Destinations
    ops: Operators
    states: States
    dns: Int64
    greylists: Bool
    standards: Standards

    @property
    def own(self) -> Bool:
        """Which domains run their own hosts."""
        return np.asarray((self.ops.kind == OWN)[self.ops.of_domain])

    def invalid(self, pool: Bool) -> float:
        """Return the share of a pool of domains whose certificate is not strictly valid."""
        return _mean((self.states.joint != MATCH)[self.ops.of_domain][pool])

    def of_domains(self, flagged: Bool | Float, weight: Float | None = None) -> float:
        """Return the weighted share of domains whose operator is flagged."""
        w = self.to.weight if weight is None else weight
        return _share(w * np.asarray(flagged, dtype=np.float64)[self.ops.of_domain], w)

    def completing(self, *classes: int) -> float:
        """Return the weighted share of connections that complete STARTTLS with one of these joint classes."""
        return self.of_domains(np.isin(self.states.joint, classes) * self.states.completes)

    def given_tls(self, *classes: int) -> float:
        """Return the same, of the connections that complete STARTTLS."""
        tls = self.completing(*_TLS)
        return self.completing(*classes) / tls if tls else float("nan")

    def of_untrusted(self, code: int) -> float:
        """Return the share of one joint class of the untrusted."""
        untrusted = self.completing(SELF_SIGNED, UNKNOWN_ISSUER, EXPIRED)
        return self.completing(code) / untrusted if untrusted else float("nan")

    def of_hosts(self, flagged: Bool | Float) -> float:
        """Return the share of MX hosts whose operator is flagged: one vote a host."""
        return float(np.mean(flagged[self.ops.host_of]))

    def version(self, code: int) -> float:
        """Return the share of a TLS version over what completes STARTTLS."""
        host = self.states.backend_of
        op = self.ops.host_of[host]
        load = self.ops.weight[op] * self.ops.first_share[host] * self.states.backend_weight
        load = load * (self.states.joint > NONE)[op] * ~self.states.odd
        return _share(load * (self.states.version == code), load)

    def own_hosts(self, number: int) -> float:
        """Return the share of own-run domains with so many MX hosts."""
        return _mean(self.ops.host_count[self.ops.kind == OWN] == number)

    def trusted_domains(self, flagged: Bool) -> float:
        """Return the share of flagged domains of those with a trusted chain: one vote a domain."""
        trusted = np.isin(self.states.joint, (MATCH, MISMATCH))
        return _share(self.ops.domains * (flagged & trusted), self.ops.domains * trusted)


_TLS = (MATCH, MISMATCH, SELF_SIGNED, UNKNOWN_ISSUER, EXPIRED)

#: Base of the shares of a part of the domains: what they are shares of.
_PARTS: dict[str, Callable[[Drawn], Bool]] = {
    **dict.fromkeys(("dane_hosted", "dane_own_mail", "dane_own_both"), lambda d: d.standards.surveyed),
    "dane_hoster_signed": lambda d: (d.ops.kind == HOSTER)[d.ops.of_domain] & (d.standards.dane != Dane.NONE),
    "dane_broken_hosted": lambda d: d.standards.surveyed & ~d.own,
    "dane_broken_own_mail": lambda d: d.standards.surveyed & d.own & ~d.standards.own_dns,
    "dane_broken_own_both": lambda d: d.standards.own_dns,
    **dict.fromkeys(FAULT_SHARES.values(), lambda d: d.standards.broken),
    **dict.fromkeys((*MODE_SHARES.values(), "mta_sts_own"), lambda d: d.standards.policy),
    "mta_sts_invalid_own": lambda d: d.standards.policy & d.own,
    "mta_sts_invalid_hosted": lambda d: d.standards.policy & ~d.own,
    "mta_sts_unlisted": lambda d: d.standards.mta_sts > MtaSts.NONE,
}
#: Those of them that have a property: what is counted.
_COUNTED: dict[str, Callable[[Drawn], Bool]] = {
    "dane_hosted": lambda d: ~d.own,
    "dane_own_mail": lambda d: d.own & ~d.standards.own_dns,
    "dane_own_both": lambda d: d.standards.own_dns,
    "dane_hoster_signed": lambda d: d.standards.surveyed,
    **dict.fromkeys(BROKEN_SHARES, lambda d: d.standards.broken),
    **{name: (lambda d, code=code: d.standards.dane == code) for code, name in FAULT_SHARES.items()},  # type: ignore[misc]
    **{name: (lambda d, code=code: d.standards.mta_sts == code) for code, name in MODE_SHARES.items()},  # type: ignore[misc]
    "mta_sts_own": lambda d: d.own,
    **dict.fromkeys(
        ("mta_sts_invalid_own", "mta_sts_invalid_hosted"), lambda d: (d.states.joint != MATCH)[d.ops.of_domain]
    ),
    "mta_sts_unlisted": lambda d: ~d.standards.listed,
}

_ACHIEVED: dict[str, Callable[[Drawn], float]] = {
    "starttls": lambda d: d.completing(*_TLS),
    "tls_trusted_match": lambda d: d.given_tls(MATCH),
    "tls_trusted_mismatch": lambda d: d.given_tls(MISMATCH),
    "tls_untrusted": lambda d: d.given_tls(SELF_SIGNED, UNKNOWN_ISSUER, EXPIRED),
    "untrusted_self_signed": lambda d: d.of_untrusted(SELF_SIGNED),
    "untrusted_unknown_issuer": lambda d: d.of_untrusted(UNKNOWN_ISSUER),
    "untrusted_expired": lambda d: d.of_untrusted(EXPIRED),
    **{name: (lambda d, code=code: d.version(code)) for code, name in VERSION_SHARES.items()},  # type: ignore[misc]
    "own_strict": lambda d: _mean((d.states.joint == MATCH)[(d.ops.kind == OWN) & (d.states.joint > NONE)]),
    "other_hosted_share": lambda d: _served_share(d, d.ops.kind == HOSTER),
    "own_san_domain": lambda d: d.trusted_domains(d.states.own_san),
    "own_cn_domain": lambda d: d.trusted_domains(d.states.own_cn),
    "p_cn_ptr": lambda d: _mean(d.states.cn_ptr[np.isin(d.states.joint, (MATCH, EXPIRED))[d.ops.host_of]]),
    "san_present": lambda d: _mean(d.states.san_present),
    "mx_hosts_1": lambda d: d.own_hosts(1),
    "mx_hosts_2": lambda d: d.own_hosts(2),
    "mx_hosts_3": lambda d: d.own_hosts(3),
    "pool_share": lambda d: _mean(d.ops.pool[d.ops.kind[d.ops.host_of] != PROVIDER]),
    "dead_first_mx": lambda d: float(d.ops.domains[d.ops.host_of[d.ops.dead]].sum() / d.ops.domains.sum()),
    "stripped_share": lambda d: _share(d.ops.domains * d.states.stripped, d.ops.domains),
    "nxdomain_share": lambda d: _mean(d.dns == Dns.NXDOMAIN),
    "null_mx_share": lambda d: _mean(d.dns == Dns.NULL_MX),
    "greylist_share": lambda d: _mean(d.greylists),
    "dnssec": lambda d: _mean(d.standards.signed),
    "dane": lambda d: _mean(d.standards.surveyed),
    "mta_sts": lambda d: _mean(d.standards.policy),
    **{name: (lambda d, name=name: _mean(_COUNTED[name](d)[_PARTS[name](d)])) for name in _PARTS},  # type: ignore[misc]
}

_CHECKS: dict[str, Callable[[Drawn], float]] = {
    "check_mail_strict": lambda d: d.of_domains((d.states.joint == MATCH) * d.states.completes, d.to.messages),
    "check_mx_offering": lambda d: d.of_hosts(d.states.joint > NONE),
    "check_mx_strict": lambda d: d.of_hosts(d.states.joint == MATCH),
    "check_domain_strict": lambda d: _mean((d.states.joint == MATCH)[d.ops.of_domain]),
    "check_top29_mail": lambda d: _share(d.to.messages[:29], d.to.messages),
    "check_hosted": lambda d: d.completing(MATCH),
    "check_trusted": lambda d: d.given_tls(MATCH, MISMATCH),
    "check_own_name": lambda d: _mean(d.states.own_san[d.ops.of_domain]),
    "check_own_run": lambda d: _mean((d.ops.kind == OWN)[d.ops.of_domain]),
    "check_hosts_per_domain": lambda d: len(d.ops.host_of) / len(d.to.names),
    "check_own_invalid": lambda d: d.invalid(d.own & (d.states.joint > NONE)[d.ops.of_domain]),
    "check_hosted_invalid": lambda d: d.invalid(~d.own & (d.states.joint > NONE)[d.ops.of_domain]),
    "check_tls_1_2": lambda d: d.completing(*_TLS) * (d.version(TlsVersion.TLS_1_2) + d.version(TlsVersion.TLS_1_3)),
    "check_no_standard": lambda d: _mean((d.standards.dane == Dane.NONE) & ~d.standards.policy),
}


def account_rows(figures: Figures, drawn: Drawn) -> list[dict[str, Any]]:
    """Return one row a figure: input figures, named providers, figures that serve as checks, views by weighting.

    ``achieved`` is what the drawn population has where the figure is a share of it; a marginal that the named head
    makes unreachable says so in ``note``.
    """
    rows = []
    for parameter, figure in figures.figures.items():
        if parameter.startswith(CHECK) or figure.unit in ("text", "weighting") or figure.value is None:
            continue
        achieved = _ACHIEVED[parameter](drawn) if parameter in _ACHIEVED else float("nan")
        status = GIVEN if parameter in figures.given else DRAWN if parameter in figures.drawn else figure.status
        # A share of few domains is met to the one domain that rounding moves.
        part = int(_PARTS[parameter](drawn).sum()) if parameter in _PARTS else 0
        rows.append(_row(figure, "input", achieved, status, slack=max(_SHARE_OFF, 1 / part if part else 0.0)))
    inputs = len(rows)
    rows += _provider_rows(figures, drawn)
    rows += [_row(f, "check", _CHECKS[f.parameter](drawn), f.status) for f in figures.checks()]
    return rows + _evidence(figures, inputs) + _views(drawn)


def _evidence(figures: Figures, inputs: int) -> list[dict[str, Any]]:
    """Count the input figures that a redrawn evidence would move, and those it takes as exactly known."""
    ranged = len(figures.ranged())
    common = {"role": "evidence", "unit": "count", "source": "data/populations"}
    counts = (("figures with a range", ranged), ("figures without a range", inputs - ranged))
    return [{"parameter": name, "value": float(value), **common} for name, value in counts]


def _views(drawn: Drawn) -> list[dict[str, Any]]:
    """Return the same two shares under three weightings: they differ, and none is wrong."""
    states, mail = drawn.states, drawn.to.messages
    once = np.ones(len(mail))
    rows = []
    for fact, flagged in (("completes STARTTLS", states.joint > NONE), ("strictly valid", states.joint == MATCH)):
        by_operator = flagged * states.completes
        shares = (
            ("message", drawn.of_domains(by_operator, mail)),
            ("domain", drawn.of_domains(by_operator, once)),
            ("mx", drawn.of_hosts(by_operator)),
        )
        common = {"role": "view", "unit": "share", "status": DRAWN, "source": "this population"}
        rows += [{"parameter": fact, "weighting": w, "achieved": share, **common} for w, share in shares]
    return rows


def _row(figure: Figure, role: str, achieved: float, status: str, slack: float = _SHARE_OFF) -> dict[str, Any]:
    note, source = figure.note, figure.source
    value = float(figure.value or 0.0)
    if status == GIVEN:
        note, source = f"given by the caller; the preset's own: {figure.status}, {figure.source}", "the caller"
    if status == DRAWN:
        note, source = f"drawn in its range; the preset's own: {figure.status}, {figure.source}", "this population"
    if role == "input" and figure.unit == "share" and abs(achieved - value) > slack:
        note = f"not reached: the named head, what was given, or too few domains leave no room. {note}"
    return {
        "parameter": figure.parameter,
        "role": role,
        "value": value,
        "achieved": achieved,
        "unit": figure.unit,
        "weighting": figure.weighting,
        "status": status,
        "source": source,
        "note": note,
        **({} if status == GIVEN or figure.low is None else {name: getattr(figure, name) for name in RANGE_COLUMNS}),
    }


def _provider_rows(figures: Figures, drawn: Drawn) -> list[dict[str, Any]]:
    weighting = figures.text("weighting")
    states, dane = drawn.states, drawn.standards.dane == Dane.USABLE_MATCH
    rows: list[dict[str, Any]] = []
    for index, p in enumerate(figures.providers):
        mine = drawn.ops.provider == index
        its = mine[drawn.ops.of_domain] & drawn.ops.consumer
        common = {"role": "provider", "weighting": weighting, "note": p.note}
        share = {"unit": "share", "status": p.share_status, "source": p.share_source}
        behaviour = {"unit": "yes = 1", "status": p.behaviour_status, "source": p.behaviour_source}
        standards = {"unit": "yes = 1", "status": p.standards_status, "source": p.standards_source}
        served = _served_share(drawn, mine)
        starttls = float((states.joint[mine] > NONE).mean()) if mine.any() else float("nan")
        names = float((states.joint[mine] == MATCH).mean()) if mine.any() else float("nan")
        strict = float(p.starttls and p.chain is Chain.TRUSTED and p.names_mx)
        facts = (
            ("hosted_share", p.hosted_share, served, share),
            ("starttls", float(p.starttls), starttls, behaviour),
            ("strictly valid certificate", strict, names, behaviour),
            ("own domains with DANE", float(p.dane), _mean(dane[its]), standards),
            ("own domains with MTA-STS", float(p.mta_sts > MtaSts.NONE), _mean(drawn.standards.policy[its]), standards),
        )
        rows += [
            {"parameter": f"{p.provider}: {fact}", "value": value, "achieved": achieved, **common, **kind}
            for fact, value, achieved, kind in facts
        ]
    return rows


def _served_share(drawn: Drawn, flagged: Bool) -> float:
    """Return the share of the destinations that are no consumer domain, by the preset's weighting."""
    others = drawn.to.weight * ~drawn.ops.consumer
    return drawn.of_domains(flagged, others)


def _share(part: Float | Int64, whole: Float | Int64) -> float:
    total = float(whole.sum())
    return float(part.sum()) / total if total else float("nan")


def _mean(flagged: Bool) -> float:
    return float(flagged.mean()) if len(flagged) else float("nan")
