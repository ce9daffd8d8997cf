"""What each destination publishes for senders that ask: a signed zone, TLSA records (DANE), an MTA-STS policy.

Every draw has a purpose of its own, so nothing else of a population moves (``docs/decisions/dane-mta-sts.md``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from sim.terms import Dane, MtaSts
from sim.world.draw import Chance, Float, Int64, quota_walk
from sim.world.figures import Figures
from sim.world.operators import HOSTER, OWN, Bool, Destinations, Operators, flag, summed
from sim.world.states import MATCH, NONE, States

#: Share of broken DANE by who runs mail and DNS.
BROKEN_SHARES: Final = ("dane_broken_hosted", "dane_broken_own_mail", "dane_broken_own_both")
#: What is wrong where DANE is broken, and the share of each.
FAULT_SHARES: Final = {
    Dane.INSECURE: "dane_fault_insecure",
    Dane.BOGUS: "dane_fault_bogus",
    Dane.UNUSABLE: "dane_fault_unusable",
    Dane.USABLE_MISMATCH: "dane_fault_mismatch",
}
#: What a look-up of a published policy gives, and the share of each.
MODE_SHARES: Final = {
    MtaSts.ENFORCE: "mta_sts_enforce",
    MtaSts.TESTING: "mta_sts_testing",
    MtaSts.NONE: "mta_sts_unfetched",
}
#: The columns a user's own list may state, and what it says where it leaves one open.
STATED: Final = ("dane", "mta_sts", "sts_listed")
OPEN: Final = -1
Stated = Mapping[str, Int64]


@dataclass(frozen=True, slots=True, eq=False)
class Standards:
    """What the destinations publish, shape (n,) each.

    Attributes
    ----------
    dane : codes of `Dane`; all MX hosts of a destination alike.
    surveyed : counted as having DANE: TLSA records for its MX hosts, right or broken.
    own_dns : of those with DANE and mail hosts of their own: the DNS is their own too.
    signed : the MX records validate.
    policy : an MTA-STS record stands in the DNS.
    mta_sts : codes of `MtaSts`, the mode found; none where the policy cannot be fetched.
    listed : the policy lists the MX hosts; true where there is none.
    """

    dane: Int64
    surveyed: Bool
    own_dns: Bool
    signed: Bool
    policy: Bool
    mta_sts: Int64
    listed: Bool

    @property
    def broken(self) -> Bool:
        """Counted as having DANE, and no TLSA record matches."""
        return np.asarray(self.surveyed & (self.dane != Dane.USABLE_MATCH))


def draw_standards(
    to: Destinations, ops: Operators, states: States, figures: Figures, chance: Chance, stated: Stated | None = None
) -> Standards:
    """Draw DANE by operator and by the destination's own zone, MTA-STS by destination.

    Parameters
    ----------
    to, ops, states, figures, chance : of the population being drawn.
    stated : columns a user's list gives (`STATED`), `OPEN` where it does not; they replace what is drawn.
    """
    dane, surveyed, own_dns = _dane(to, ops, states, figures, chance)
    signed = surveyed & (dane != Dane.INSECURE)
    able = np.flatnonzero(~ops.consumer & (dane == Dane.NONE))
    wanted = figures.number("dnssec") * len(dane) - float(signed.sum())
    signed[able] = flag(np.ones(len(able)), max(wanted, 0.0), chance.uniform(to.keys[able], "signed zone"))
    policy = _policies(to, ops, states, figures, chance)
    mta_sts, listed = _modes(to, ops, figures, chance, policy)
    drawn = Standards(dane, surveyed, own_dns, signed, policy, mta_sts, listed)
    return _with_stated(drawn, stated) if stated else drawn


def _dane(
    to: Destinations, ops: Operators, states: States, figures: Figures, chance: Chance
) -> tuple[Int64, Bool, Bool]:
    """Return the state of each destination's TLSA records, whether it counts as having DANE, whether its DNS is own."""
    offers = states.joint > NONE
    hoster, own = (ops.kind == HOSTER) & offers, (ops.kind == OWN) & offers
    named = ops.consumer & _named(ops, [int(p.dane) for p in figures.providers]).astype(bool)
    wanted = max(figures.number("dane") * len(to.names) - float(named.sum()), 0.0)
    tlsa = _tlsa_hosters(ops, figures, chance, hoster, wanted, int(own.sum()))
    at_hoster = tlsa[ops.of_domain]
    surveyed = np.zeros(len(to.names), dtype=bool)
    hosted = min(figures.number("dane_hoster_signed") * float(at_hoster.sum()), wanted)
    uniform = chance.uniform(to.keys[at_hoster], "signed zone at a hoster")
    surveyed[at_hoster] = flag(np.ones(int(at_hoster.sum())), hosted, uniform)
    left = max(wanted - float(surveyed.sum()), 0.0)
    tlsa[own] = flag(np.ones(int(own.sum())), left, chance.uniform(ops.keys[own], "TLSA records"))
    surveyed |= (tlsa & own)[ops.of_domain]
    weight = summed(ops.of_domain, surveyed.astype(np.float64), len(ops.kind))
    state, own_dns = _tlsa_states(ops, figures, chance, tlsa, weight)
    dane = np.where(surveyed, state[ops.of_domain], int(Dane.NONE))
    dane[at_hoster & ~surveyed] = Dane.INSECURE
    dane[named] = Dane.USABLE_MATCH
    return dane.astype(np.int64), surveyed | named, own_dns[ops.of_domain] & surveyed


def _named(ops: Operators, stated: list[int]) -> Int64:
    """Return what is stated of the named provider that serves each destination, 0 where none does."""
    provider = ops.provider[ops.of_domain]
    return np.array([*stated, 0], dtype=np.int64)[provider]


def _tlsa_hosters(ops: Operators, figures: Figures, chance: Chance, hoster: Bool, wanted: float, own: int) -> Bool:
    """Flag unnamed hosters whose MX hosts have TLSA records; own-run destinations take the rest of ``wanted``."""
    size = ops.domains[hoster].astype(np.float64)
    signed = figures.number("dane_hoster_signed")
    most = signed * float(size.sum())
    target = min(max(wanted * figures.number("dane_hosted"), wanted - own), most)
    flagged = np.zeros(len(hoster), dtype=bool)
    uniform = chance.uniform(ops.keys[hoster], "TLSA records")
    flagged[hoster] = flag(size, target / signed if signed else 0.0, uniform)
    return flagged


def _tlsa_states(ops: Operators, figures: Figures, chance: Chance, tlsa: Bool, weight: Float) -> tuple[Int64, Bool]:
    """Return the state of each operator's TLSA records, and which own-run operators run their DNS too.

    ``weight`` counts the destinations with DANE that an operator serves.
    """
    broken, own_dns = np.zeros(len(tlsa), dtype=bool), np.zeros(len(tlsa), dtype=bool)
    own = np.flatnonzero(tlsa & (ops.kind == OWN))
    mail, both = figures.number("dane_own_mail"), figures.number("dane_own_both")
    wanted = len(own) * both / (mail + both) if mail + both else 0.0
    own_dns[own] = flag(np.ones(len(own)), wanted, chance.uniform(ops.keys[own], "own DNS"))
    groups = (tlsa & (ops.kind == HOSTER), tlsa & (ops.kind == OWN) & ~own_dns, own_dns)
    for group, rate in zip(groups, BROKEN_SHARES, strict=True):
        mine = np.flatnonzero(group)
        wanted = figures.number(rate) * float(weight[mine].sum())
        broken[mine] = flag(weight[mine], wanted, chance.uniform(ops.keys[mine], "broken DANE"))
    state = np.full(len(tlsa), int(Dane.USABLE_MATCH), dtype=np.int64)
    faulty = np.flatnonzero(broken)
    shares = [figures.number(p) for p in FAULT_SHARES.values()]
    walked = quota_walk(weight[faulty], shares, chance.uniform(ops.keys[faulty], "DANE fault"))
    state[faulty] = np.array(list(FAULT_SHARES), dtype=np.int64)[walked]
    return state, own_dns


def _policies(to: Destinations, ops: Operators, states: States, figures: Figures, chance: Chance) -> Bool:
    """Flag the destinations that publish MTA-STS, each kind with its own share of certificates that do not hold.

    What one group rounds up or lacks, the next takes; no policy stands where STARTTLS is not offered.
    """
    joint, own = states.joint[ops.of_domain], (ops.kind == OWN)[ops.of_domain] & ~ops.consumer
    hosted, right, wrong = ~own & ~ops.consumer, joint == MATCH, (joint != MATCH) & (joint != NONE)
    policy = ops.consumer & (_named(ops, [int(p.mta_sts) for p in figures.providers]) > MtaSts.NONE)
    total = figures.number("mta_sts") * len(to.names)
    uniform = chance.uniform(to.keys, "MTA-STS policy")

    def publish(pool: Bool, wanted: float) -> None:
        units = np.flatnonzero(pool & ~policy)
        policy[units] |= flag(np.ones(len(units)), max(wanted, 0.0), uniform[units])

    mine = min(total * figures.number("mta_sts_own"), max(total - float(policy.sum()), 0.0))
    publish(own & wrong, mine * figures.number("mta_sts_invalid_own"))
    publish(own & right, mine - float(policy[own].sum()))
    others = total - float(policy.sum())
    publish(hosted & wrong, (total - mine) * figures.number("mta_sts_invalid_hosted") if others > 0 else 0.0)
    publish(hosted & right, total - float(policy.sum()))
    publish(own & right, total - float(policy.sum()))
    return policy


def _modes(to: Destinations, ops: Operators, figures: Figures, chance: Chance, policy: Bool) -> tuple[Int64, Bool]:
    """Return the mode that a look-up finds, and whether the policy lists the MX hosts; named providers as stated."""
    stated = _named(ops, [int(p.mta_sts) for p in figures.providers])
    modes = np.array(list(MODE_SHARES), dtype=np.int64)
    found = np.where(ops.consumer & policy, stated, int(MtaSts.NONE)).astype(np.int64)
    wanted = np.array([figures.number(p) for p in MODE_SHARES.values()]) * float(policy.sum())
    wanted -= [float((found == mode).sum()) if mode != MtaSts.NONE else 0.0 for mode in modes]
    drawn = np.flatnonzero(policy & ~ops.consumer)
    walked = quota_walk(np.ones(len(drawn)), np.maximum(wanted, 0.0), chance.uniform(to.keys[drawn], "MTA-STS mode"))
    found[drawn] = modes[walked]
    listed = np.ones(len(found), dtype=bool)
    able = np.flatnonzero((found > MtaSts.NONE) & ~ops.consumer)
    unlisted = figures.number("mta_sts_unlisted") * float((found > MtaSts.NONE).sum())
    listed[able] = ~flag(np.ones(len(able)), unlisted, chance.uniform(to.keys[able], "MTA-STS lists"))
    return found, listed


def _with_stated(drawn: Standards, stated: Stated) -> Standards:
    """Put in what the user's list states, and what follows from it for the counts."""
    known = {name: codes != OPEN for name, codes in stated.items()}
    dane = np.where(known["dane"], stated["dane"], drawn.dane)
    mta_sts = np.where(known["mta_sts"], stated["mta_sts"], drawn.mta_sts)
    listed = np.where(known["sts_listed"], stated["sts_listed"] == 1, drawn.listed)
    validates = (dane != Dane.NONE) & (dane != Dane.INSECURE)
    return replace(
        drawn,
        dane=dane,
        surveyed=np.where(known["dane"], validates, drawn.surveyed),
        own_dns=drawn.own_dns & ~known["dane"],
        signed=np.where(known["dane"] & validates, True, drawn.signed),
        policy=np.where(known["mta_sts"], mta_sts > MtaSts.NONE, drawn.policy),
        mta_sts=mta_sts,
        listed=listed,
    )
