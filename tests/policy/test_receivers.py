"""What a receiver publishes goes before what is set, in each sender's own order: an account beside its table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

import pytest

from sim.policy.decide import Tables
from sim.policy.profile import Value
from sim.policy.profiles import profile
from sim.terms import Dane, DaneOption, Demand, MtaSts, Term

USABLE = (Dane.USABLE_MATCH, Dane.USABLE_MISMATCH, Dane.USABLE_UNSEEN)


@dataclass(frozen=True)
class Account:
    """A sender's order.

    ``order``: what is asked first; *off* is a setting that never tries TLS. ``unusable``: settings that demand TLS
    where no record is usable. ``absent``: states that mandatory DANE does not take, and ``held`` what comes of it.
    ``dane_by_setting``: DANE belongs to these settings rather than to an option, to the last one as mandatory.
    ``policy_of``: settings to which a policy for a listed MX host speaks; None = all.
    """

    order: str
    unusable: tuple[str, ...] = ()
    switches: Mapping[str, Value] = field(default_factory=dict)
    absent: tuple[Dane, ...] = (Dane.NONE, Dane.INSECURE)
    held: Demand = Demand.HOLD_NO_DANE
    dane_by_setting: tuple[str, ...] = ()
    policy_of: tuple[str, ...] | None = None
    unlisted_of: tuple[str, ...] | None = None


ACCOUNTS = {
    "esa": Account(
        "off usable bogus mandatory policy unusable",
        unusable=("Preferred", "Required", "Preferred - Verify"),
        switches={"mta_sts": True},
    ),
    "postfix": Account(
        "off usable bogus mandatory policy unusable",
        unusable=("dane",),
        switches={"mta_sts": True},
        absent=(Dane.NONE, Dane.INSECURE, Dane.UNUSABLE),
        dane_by_setting=("dane", "dane-only"),
        policy_of=("may", "dane"),
        unlisted_of=("may", "dane"),
    ),
    "google_workspace": Account("policy", policy_of=("default", "secure transport")),
    "kumomta": Account(
        "usable bogus policy unusable testing",
        unusable=("Disabled", "OpportunisticInsecure", "Opportunistic", "RequiredInsecure", "Required"),
    ),
    "stalwart": Account(
        "off unlisted usable mandatory bogus policy unusable",
        unusable=("optional", "optional allow_invalid_certs", "require allow_invalid_certs"),
        absent=(Dane.NONE, Dane.INSECURE, Dane.UNUSABLE),
        held=Demand.BOUNCE_NO_DANE,
    ),
    "halon": Account(
        "off usable bogus mandatory policy unusable",
        unusable=("optional", "optional_verify", "require"),
        switches={"mta_sts": True},
    ),
    "fortimail": Account(
        "off usable bogus mandatory policy unusable",
        unusable=("preferred",),
        switches={"mtasts_status": "enable"},
    ),
}


def demanded(
    account: Account, tables: Tables, setting: Term, option: DaneOption, dane: Dane, policy: MtaSts, listed: int
) -> Demand:
    own = tables.plain(setting)[0]
    by_setting = account.dane_by_setting
    uses = setting.label in by_setting if by_setting else option is not DaneOption.NONE
    mandatory = setting.label in by_setting[-1:] if by_setting else option is DaneOption.MANDATORY
    enforced = policy is MtaSts.ENFORCE
    unlisted = enforced and not listed and (account.unlisted_of is None or setting.label in account.unlisted_of)
    spoken_to = account.policy_of is None or setting.label in account.policy_of
    answers: dict[str, list[tuple[bool, Demand]]] = {
        "off": [(own is Demand.CLEAR, Demand.CLEAR)],
        "usable": [(uses and dane in USABLE, Demand.DANE)],
        "bogus": [(uses and dane is Dane.BOGUS, Demand.HOLD_BOGUS)],
        "mandatory": [(mandatory and dane in account.absent, account.held)],
        "unusable": [(uses and dane is Dane.UNUSABLE and setting.label in account.unusable, Demand.ENCRYPT)],
        "unlisted": [(unlisted, Demand.HOLD_UNLISTED)],
        "policy": [(unlisted, Demand.HOLD_UNLISTED), (bool(enforced and listed and spoken_to), Demand.MTA_STS)],
        "testing": [(policy is MtaSts.TESTING, Demand.OPPORTUNISTIC)],
    }
    fits = [demand for step in account.order.split() for holds, demand in answers[step] if holds]
    return fits[0] if fits else own


@pytest.mark.parametrize("sender", ACCOUNTS)
def test_every_case_demands_what_the_account_says(sender: str) -> None:
    known, account = profile(sender), ACCOUNTS[sender]
    tables = known.tables(account.switches)
    for case in product(known.settings, DaneOption, Dane, MtaSts, (0, 1)):
        assert tables.asks(*case)[0] is demanded(account, tables, *case), case


#: Switches that leave policies aside.
WITHOUT_POLICIES: dict[str, dict[str, Value]] = {
    "esa": {"mta_sts": False},
    "postfix": {"mta_sts": False},
    "kumomta": {"enable_mta_sts": False},
    "stalwart": {"mta_sts": "disable"},
    "halon": {"mta_sts": False},
    "fortimail": {"mtasts_status": "none"},
}


@pytest.mark.parametrize("sender", WITHOUT_POLICIES)
def test_a_sender_that_looks_up_no_policy_is_moved_by_none(sender: str) -> None:
    tables = profile(sender).tables(WITHOUT_POLICIES[sender])
    for table in (tables.demand, tables.rule):
        assert (table == table[:, :, :, :1, 1:]).all()
