from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from sim.errors import PopulationError
from sim.policy.identity import rule_holds
from sim.terms import Chain, Dns, NameRule, TlsVersion
from sim.world.columns import FRAMES
from sim.world.population import Population

TWO = [
    {"domain": "b.example", "messages": 10, "dns": "null-mx"},
    {
        "domain": "a.example",
        "messages": 100,
        "first_4yz_rate": 0.1,
        "hosts": [
            {"host": "mx2.a.example", "preference": 20, "stripped": True, "rtt_s": 0.2},
            {
                "host": "mx1.a.example",
                "chain": "self-signed",
                "backends": [{"tls_version": "TLSv1.2"}, {"not_offered_rate": 1.0, "tls_version": TlsVersion.TLS_1_0}],
            },
            {"host": "shared.example", "preference": 30},
        ],
    },
    {"domain": "c.example", "messages": 1, "hosts": [{"host": "shared.example", "san_domain": True}]},
]


@pytest.mark.parametrize(("host", "verified"), [({}, False), ({"san_domain": True}, True)])
def test_a_healthy_custom_peer_verifies_as_hosted_and_by_its_domain_only_when_told(
    host: dict[str, Any], verified: bool
) -> None:
    peer = Population.custom([{"domain": "a.example", "hosts": [{"host": "mx", **host}]}])
    names = {c: peer.backends[c] for c in ("san_present", "san_mx", "cn_mx", "san_ptr", "cn_ptr")}
    names |= {c: peer.routes[c] for c in ("san_domain", "cn_domain")}
    assert rule_holds(NameRule.HOSTED, **names).all()
    assert rule_holds(NameRule.VERIFY, **names).all() == verified


def test_custom_says_only_what_differs_from_a_healthy_peer() -> None:
    p = Population.custom(TWO)
    assert p.domains["domain"].tolist() == ["a.example", "b.example", "c.example"]
    assert p.domains["dns"].tolist() == [Dns.OK, Dns.NULL_MX, Dns.OK]
    assert p.messages_are_counts
    names = p.hosts["host"].to_numpy()[p.routes["host"]].tolist()
    # mx1 stands second and takes preference 20 like mx2 before it: the order of the list decides.
    assert names == ["mx2.a.example", "mx1.a.example", "shared.example", "mx1.b.example", "shared.example"]
    assert p.routes["stripped"].tolist() == [True, False, False, False, False]
    assert p.routes["san_domain"].tolist() == [False] * 4 + [True]
    pool = p.backends[p.backends["host"] == p.hosts["host"].tolist().index("mx1.a.example")]
    assert pool["weight"].tolist() == [0.5, 0.5]
    assert pool["chain"].tolist() == [Chain.SELF_SIGNED] * 2
    assert pool["tls_version"].tolist() == [TlsVersion.TLS_1_2, TlsVersion.TLS_1_0]
    healthy = p.backends.iloc[-1]
    assert (healthy["chain"], healthy["tls_version"]) == (Chain.TRUSTED, TlsVersion.TLS_1_3)


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ([], "specs = 'none'"),
        ([{"messages": 1}], r"\[\?\] keys = 'messages'; allowed: domain among them"),
        ([{"domain": "a.example", "mesages": 1}], "'mesages'; .*Did you mean 'messages'"),
        ([{"domain": "a.example", "hosts": [{"host": "m", "chains": "trusted"}]}], "Did you mean 'chain'"),
        ([{"domain": "a.example", "hosts": [{"host": "m", "chain": "trust"}]}], "chain = 'trust'; .*'trusted'"),
        ([{"domain": "a.example", "hosts": [{"host": "m", "rtt_s": -1}]}], r"hosts.rtt_s\[0\] = -1"),
        (
            [{"domain": "a.example", "hosts": [{"host": "m", "rtt_s": "slow"}]}],
            "hosts.rtt_s = 'slow'; allowed: numbers",
        ),
        ([{"domain": "a.example", "hosts": [{"host": "m", "not_offered_rate": 1.5}]}], "backends.not_offered_rate"),
        ([{"domain": "a.example"}, {"domain": "a.example"}], "domain = 'a.example'; allowed: each name once"),
        (
            [{"domain": "a.example", "hosts": [{"host": "m", "not_offered_rate": 0.6, "refused_4xx_rate": 0.6}]}],
            "m: not_offered_rate, refused_4xx_rate = 1.2; allowed: at most 1 together",
        ),
        (
            [{"domain": "a.example", "hosts": [{"host": "m", "backends": [{"weight": 0.4}, {"weight": 0.4}]}]}],
            "backends.weight of m = 0.8",
        ),
        (
            [{"domain": "a.example", "hosts": [{"host": "m", "backends": [{"wait": 1}]}]}],
            "host m: backends key = 'wait'",
        ),
        ([{"domain": "a.example", "hosts": [{"host": "m", "backends": []}]}], "host m: backends = 'none'"),
        ([{"domain": "a.example", "messages": 0}], "domains.messages = 0"),
        (
            [
                {"domain": "a.example", "hosts": [{"host": "m"}]},
                {"domain": "b.example", "hosts": [{"host": "m", "rtt_s": 1.0}]},
            ],
            "host m = 'rtt_s'; allowed: described once",
        ),
    ],
)
def test_custom_errors(specs: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(PopulationError, match=message):
        Population.custom(specs)


def test_with_replaces_columns_and_leaves_the_original() -> None:
    p = Population.preset("alexa-2015", domains=200)
    changed = p.with_(domains={"dns_temporary_rate": 0.5}, backends={"tls_version": TlsVersion.TLS_1_2})
    assert set(changed.domains["dns_temporary_rate"]) == {0.5}
    assert set(p.domains["dns_temporary_rate"]) == {0.001}
    assert changed.hash != p.hash
    assert p.with_().hash == p.hash
    assert changed.account["parameter"].tolist()[-2:] == ["domains.dns_temporary_rate", "backends.tls_version"]
    assert changed.account["status"].tolist()[-1] == "given"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"host": {"rtt_s": 1.0}}, "frame = 'host'; .*Did you mean 'hosts'"),
        ({"hosts": {"rtt": 1.0}}, "hosts column = 'rtt'; .*Did you mean 'rtt_s'"),
        ({"hosts": {"rtt_s": [1.0, 2.0]}}, "hosts.rtt_s = '2 values'"),
        ({"domains": {"first_4yz_rate": 2.0}}, r"domains.first_4yz_rate\[0\] = 2.0; allowed: numbers, 0..1"),
        ({"backends": {"chain": 17}}, r"backends.chain\[0\] = 17"),
        ({"backends": {"host": 0}}, "backends.host"),
        ({"routes": {"host": 100_000}}, "routes.host"),
        ({"routes": {"stripped": 3}}, r"routes.stripped\[0\] = 3"),
    ],
)
def test_with_errors(changes: dict[str, dict[str, Any]], message: str) -> None:
    p = Population.preset("alexa-2015", domains=50)
    with pytest.raises(PopulationError, match=message):
        p.with_(**changes)


def test_frames_have_the_promised_columns_and_order() -> None:
    p = Population.preset("2020s-web", domains=500)
    for frame, wanted in FRAMES.items():
        assert list(getattr(p, frame).columns)[: len(wanted)] == list(wanted)
    assert (np.diff(p.domains["messages"]) <= 0).all()
    assert p.domains["messages"].sum() == pytest.approx(1)
    assert (np.diff(p.routes["domain"]) >= 0).all()
    assert (np.diff(p.backends["host"]) >= 0).all()
    assert p.routes.groupby("domain")["preference"].apply(lambda s: s.is_monotonic_increasing).all()
    assert p.backends.groupby("host")["weight"].sum().to_numpy() == pytest.approx(1)


def test_a_missing_column_is_named() -> None:
    p = Population.preset("2020s-web", domains=20)
    parts = {f: getattr(p, f) for f in FRAMES} | {"hosts": p.hosts.drop(columns="rtt_s")}
    with pytest.raises(PopulationError, match="hosts column = 'rtt_s'"):
        Population("x", 0, 2024, "domain", **parts, account=pd.DataFrame())
