"""Name rules over every certificate there can be (tech notes 118583 and 200537)."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from sim.errors import PolicyError
from sim.policy.identity import rule_holds
from sim.terms import NameRule

NAMES = ("san_present", "san_domain", "cn_domain", "san_mx", "cn_mx", "san_ptr", "cn_ptr")
ALL = np.array(list(product([False, True], repeat=len(NAMES))))
COLUMNS = {name: ALL[:, i] for i, name in enumerate(NAMES)}


def holds(rule: NameRule, **names: bool) -> bool:
    return bool(rule_holds(rule, **{name: names.get(name, False) for name in NAMES}))


def test_every_certificate() -> None:
    got = {rule: rule_holds(rule, **COLUMNS) for rule in NameRule}
    assert not got[NameRule.NONE].any()
    for i, row in enumerate(ALL):
        c = dict(zip(NAMES, row.tolist(), strict=True))
        assert got[NameRule.VERIFY][i] == ((c["san_present"] and c["san_domain"]) or c["cn_domain"] or c["cn_ptr"])
        counts = "san" if c["san_present"] else "cn"
        assert got[NameRule.HOSTED][i] == any(c[f"{counts}_{what}"] for what in ("domain", "mx", "ptr"))


def test_every_rule_reads_these_columns_and_answers_in_flags() -> None:
    others = ("mx_below_domain", "fingerprint_listed", "tlsa_matches")
    rows = np.array(list(product([False, True], repeat=len(NAMES + others))))
    c = dict(zip(NAMES + others, rows.T, strict=True))
    domain, mx, ptr = (
        np.where(c["san_present"], c[f"san_{what}"], c[f"cn_{what}"]) for what in ("domain", "mx", "ptr")
    )
    never = np.zeros(len(rows), dtype=np.bool_)
    wanted = {
        NameRule.NONE: never,
        NameRule.CHAIN_ONLY: ~never,
        NameRule.VERIFY: (c["san_present"] & c["san_domain"]) | c["cn_domain"] | c["cn_ptr"],
        NameRule.HOSTED: domain | mx | ptr,
        NameRule.HOSTNAME: mx,
        NameRule.HOSTNAME_THREE_LABELS: mx,
        NameRule.NEXTHOP: domain,
        NameRule.NEXTHOP_OR_BELOW: domain | (mx & c["mx_below_domain"]),
        NameRule.MTA_STS: c["san_present"] & c["san_mx"],
        NameRule.FINGERPRINT: c["fingerprint_listed"],
        NameRule.TLSA: c["tlsa_matches"],
    }
    assert wanted.keys() == set(NameRule)
    for rule, expected in wanted.items():
        for given in (c, {name: column.astype(int) for name, column in c.items()}):
            got = rule_holds(rule, **given)
            assert got.dtype == np.bool_
            assert got.tolist() == expected.tolist(), rule


def test_what_is_not_said_of_a_certificate_is_not_so() -> None:
    assert not holds(NameRule.NEXTHOP_OR_BELOW, san_present=True, san_mx=True)
    assert not holds(NameRule.NEXTHOP_OR_BELOW, cn_mx=True)
    assert not holds(NameRule.FINGERPRINT, san_present=True)
    assert not holds(NameRule.TLSA, san_present=True)


def test_a_mail_providers_certificate_passes_hosted_and_fails_verify() -> None:
    assert not holds(NameRule.VERIFY, san_present=True, san_mx=True, cn_mx=True)
    assert holds(NameRule.HOSTED, san_present=True, san_mx=True, cn_mx=True)


def test_the_domain_in_the_cn_beside_other_san_names_passes_verify_and_fails_hosted() -> None:
    assert holds(NameRule.VERIFY, san_present=True, cn_domain=True)
    assert not holds(NameRule.HOSTED, san_present=True, cn_domain=True)


def test_without_san_names_the_common_name_counts() -> None:
    assert holds(NameRule.VERIFY, cn_ptr=True)
    assert not holds(NameRule.VERIFY, cn_mx=True)
    assert holds(NameRule.HOSTED, cn_mx=True)


def test_columns_broadcast() -> None:
    columns = {**{name: np.array(False) for name in NAMES}, "cn_mx": np.array([True, False])}
    got = rule_holds(NameRule.HOSTED, **columns)
    assert got.tolist() == [True, False]


def test_an_unknown_rule_is_told() -> None:
    with pytest.raises(PolicyError, match="name rule = 11; allowed: none, verify, hosted"):
        rule_holds(11, **COLUMNS)
