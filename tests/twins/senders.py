"""Worlds compiled from random scenarios of every sender, small and on a clock of whole seconds more often than not."""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.policy.destinations import DestinationControls, Entry
from sim.policy.profile import Value
from sim.policy.profiles import SENDERS, profile
from sim.policy.profiles.esa import Switches
from sim.policy.retry import BounceProfile, Growth, HostRetry
from sim.scenario import DeliverySwitches, Scenario
from sim.terms import Chain, Dane, Dns, LimitType, MtaSts, Setting, TlsVersion
from sim.timeline import Event
from sim.world.population import Population
from sim.world.shapes import Sample
from sim.world.states import RATES
from sim.world.workload import Workload
from tests.delivery.stories import trace_of

Rng = np.random.Generator


def random_scenario(rng: Rng) -> Scenario:
    """Return a scenario of any sender: little mail to 1..40 domains that share MX hosts; whatever may go wrong does."""
    coarse, traced = bool(rng.random() < 0.7), bool(rng.random() < 0.6)
    days = 1.0 if traced else float(rng.choice([60, 600, 7_200, 86_400])) / 86_400
    count = int(rng.choice([1, 2, 4, 12, 40]))
    specs = _specs(rng, count, coarse)
    names = [spec["domain"] for spec in specs]
    sender = str(rng.choice(SENDERS)) if rng.random() < 0.7 else "esa"
    policy = _policy(rng, names)
    return Scenario(
        population=Population.custom(specs),
        policy=policy,
        workload=_trace(rng, names) if traced else _stream(rng, days),
        days=days,
        until_s=float(rng.integers(1, 4_000)) if rng.random() < 0.3 else None,
        delivery=_delivery(rng),
        minimum_tls=_maybe(rng, 0.3, TlsVersion),
        timeline=_timeline(rng, specs, policy, None if traced else days),
        acceptance=Sample([1.0]) if coarse else None,
        **_switches(rng, sender),
    )


def _maybe(rng: Rng, chance: float, terms: Any) -> Any:
    return list(terms)[int(rng.integers(len(terms)))] if rng.random() < chance else None


def _specs(rng: Rng, count: int, coarse: bool) -> list[dict[str, Any]]:
    shared = [f"mx{i}.shared.example" for i in range(int(rng.integers(1, 5)))]
    mail = np.sort(rng.integers(1, 20, count))[::-1].tolist()
    described: set[str] = set()
    specs = []
    for i in range(count):
        own = [f"mx{k}.d{i}.example" for k in range(int(rng.integers(0, 3)))]
        hosts = [*own, *rng.permutation(shared)[: int(rng.integers(0 if own else 1, 3))].tolist()]
        listed = []
        for host in hosts:
            about = {} if host in described else _host(rng, coarse)
            described.add(host)
            listed.append({"host": host, **_route(rng), **about})
        specs.append({"domain": f"d{i}.example", "messages": mail[i], "hosts": listed, **_domain(rng)})
    return specs


def _domain(rng: Rng) -> dict[str, Any]:
    return {
        "dns": int(rng.choice(list(Dns))) if rng.random() < 0.1 else int(Dns.OK),
        "dns_temporary_rate": float(rng.choice([0.0, 0.0, 0.2])),
        "first_4yz_rate": float(rng.choice([0.0, 0.3])),
        "rescued_share": float(rng.choice([0.5, 1.0])),
        "persistent_4yz_share": float(rng.choice([0.2, 1.0])),
        "refused_5yz_rate": float(rng.choice([0.0, 0.1])),
        "greylist_s": float(rng.choice([0, 0, 30, 600])),
        "new_pair_rate": float(rng.choice([0.0, 0.5, 1.0])),
        "mta_sts": int(rng.choice(list(MtaSts))),
    }


def _host(rng: Rng, coarse: bool) -> dict[str, Any]:
    return {
        "rtt_s": float(rng.choice([1e-6, 1.0, 2.0]) if coarse else rng.uniform(0, 2)),
        "throughput_bytes_per_s": 1e15 if coarse else float(rng.uniform(1e4, 1e6)),
        "accept_median_s": float(rng.choice([0, 1, 5])),
        "outage_share": float(rng.choice([0.0, 0.0, 0.1])),
        "outage_mean_s": float(rng.choice([20, 600])),
        "unreachable_s": float(rng.choice([1, 30])),
        "backends": [_backend(rng) for _ in range(int(rng.integers(1, 4)))],
    }


def _backend(rng: Rng) -> dict[str, Any]:
    rates = rng.dirichlet(np.full(len(RATES), 0.3)) * rng.choice([0.0, 0.3, 0.9])
    flags = {name: bool(rng.random() < 0.5) for name in ("san_present", "san_mx", "cn_mx", "san_ptr", "cn_ptr")}
    certificate = {"chain": int(rng.choice(list(Chain))), "tls_version": int(rng.choice(list(TlsVersion)))}
    good: dict[str, Any] = {"chain": int(Chain.TRUSTED), "tls_version": int(TlsVersion.TLS_1_3)}
    return dict(zip(RATES, rates.tolist(), strict=True)) | flags | (certificate if rng.random() < 0.5 else good)


def _route(rng: Rng) -> dict[str, Any]:
    flags = {name: bool(rng.random() < 0.3) for name in ("san_domain", "cn_domain", "stripped", "sts_listed")}
    return {"preference": int(rng.choice([10, 10, 20])), "dane": int(rng.choice(list(Dane))), **flags}


def _policy(rng: Rng, names: list[str]) -> DestinationControls:
    profiles = {
        name: BounceProfile(
            name=name,
            max_retries=int(rng.choice([0, 1, 3, 100])),
            max_queue_time_s=float(rng.choice([30, 600, 3_600])),
            initial_wait_s=float(rng.choice([5, 60])),
            max_wait_s=float(rng.choice([60, 600])),
            growth=list(Growth)[int(rng.integers(3))],
        )
        for name in ("Default", "Other")
    }
    entries = [_entry(rng, name) for name in names[:5] if rng.random() < 0.5]
    host_retry = HostRetry(initial_wait_s=float(rng.choice([1, 30])), max_wait_s=float(rng.choice([30, 300])))
    default = _entry(rng, "DEFAULT")
    return DestinationControls(default=default, entries=tuple(entries), profiles=profiles, host_retry=host_retry)


def _entry(rng: Rng, domain: str) -> Entry:
    limited = bool(rng.random() < 0.4)
    return Entry(
        domain=domain,
        tls=list(Setting)[int(rng.integers(len(Setting)))],
        max_host_concurrency=int(rng.choice([1, 2, 4, 500])),
        max_messages_per_connection=int(rng.choice([1, 2, 50])),
        recipient_minutes=1 if limited else None,
        recipient_limit=int(rng.integers(1, 8)) if limited else None,
        limit_type=list(LimitType)[int(rng.integers(len(LimitType)))],
        bounce_profile=str(rng.choice(["Default", "Other"])),
        dane_option=str(rng.choice(["none", "opportunistic", "mandatory"])),
    )


def _trace(rng: Rng, names: list[str]) -> Workload:
    span = int(rng.choice([1, 10, 100, 1_000]))
    most = max(2, 60 // len(names))
    mail = {
        name: [(float(t), int(rng.choice([1, 1, 2, 7]))) for t in np.sort(rng.integers(0, span, rng.integers(1, most)))]
        for name in names
    }
    return Workload(trace=trace_of(mail))


def _stream(rng: Rng, days: float) -> Workload:
    hourly = (1.0,) * 24 if rng.random() < 0.5 else tuple(rng.integers(1, 5, 24).astype(float).tolist())
    a_day = float(rng.integers(5, 60)) / days
    if rng.random() < 0.5:
        return Workload(messages_per_day=a_day, hourly=hourly)
    recipients = Sample([1, 1, 2, 7], what="recipients")
    return Workload(messages_per_day=a_day, hourly=hourly, recipients=recipients, size_bytes=1.0)


def _delivery(rng: Rng) -> DeliverySwitches:
    return DeliverySwitches(
        new_mail_probes=bool(rng.random() < 0.3),
        success_releases=str(rng.choice(["down", "all"])),
        expire=str(rng.choice(["when_due", "at_lifetime"])),
        messages_per_opening=int(rng.choice([1, 1, 3])),
        idle_timeout_s=float(rng.choice([0, 1, 5, 60])),
        dns_s=float(rng.choice([0, 0.02, 1])),
        dns_timeout_s=float(rng.choice([1, 30])),
        handshake_timeout_s=float(rng.choice([7, 300])),
        max_connections=int(rng.choice([10_000, 10_000, 1, 2, 5])),
    )


def _switches(rng: Rng, sender: str) -> dict[str, Any]:
    known = profile(sender)
    chosen: dict[str, Value] = {}
    for name, switch in known.switches.items():
        if rng.random() < 0.5:
            chosen[name] = list(switch.outcomes)[int(rng.integers(len(switch.outcomes)))]
    if known.queueing is None:
        return {"sender": sender, "switches": Switches(**chosen)}  # type: ignore[arg-type]
    setting = _maybe(rng, 0.5, known.settings)
    return {
        "sender": sender,
        "sender_switches": chosen,
        "sender_setting": None if setting is None else setting.key,
    }


def _timeline(
    rng: Rng, specs: list[dict[str, Any]], policy: DestinationControls, stream_days: float | None
) -> tuple[Event, ...]:
    events, used = [], set()
    for _ in range(int(rng.choice([0, 0, 1, 2, 4]))):
        spec = specs[int(rng.integers(len(specs)))]
        host = str(spec["hosts"][int(rng.integers(len(spec["hosts"])))]["host"])
        at = int(rng.integers(0, 120))
        when: dict[str, Any] = {"at_h": at / 3_600, "for_h": float(rng.integers(1, 900)) / 3_600}
        kinds = ["outage", "certificate-expires", "starttls-stripped", "share", "tls-turned-on", "policy", "load"]
        kind = str(rng.choice(kinds))
        if kind == "policy" and at not in used:
            used.add(at)
            other = policy.with_setting(list(Setting)[int(rng.integers(len(Setting)))])
            events.append(Event(event="policy", policy=other, may_be_idle=True, **when))
        elif kind == "load" and stream_days is not None and at < stream_days * 86_400:
            events.append(Event(event="load", factor=float(rng.choice([0, 3])), **when))
        elif kind == "share":
            events.append(Event(event="starttls-stripped", share=0.5, **when))
        elif kind not in ("policy", "load"):
            events.append(Event(event=kind, mx_host=host, **when))
    return tuple(events)
