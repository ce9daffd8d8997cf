"""Two senders' settings, cell by cell of the evidence: where they do not come to the same.

A cell is a stage, a TLS version that is high enough or not, a chain, the names of a certificate, the state of DANE and
of MTA-STS, and the age of the message. Every cell is looked up in both senders' tables (`sim.policy.decide`), with the
name rule each asks for held against the same names, and the cells that differ are told in as few sentences as they take.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from sim.errors import PolicyError, complaint
from sim.policy.decide import REPLACES_CHAIN, Tables, decide
from sim.policy.identity import rule_holds
from sim.policy.profile import Profile, Value
from sim.policy.text_tables import Codes
from sim.terms import Chain, Dane, DaneOption, Demand, MtaSts, NameRule, Outcome, Seen, Stage, Term

Flags = NDArray[np.bool_]

_NAMES = ("san_domain", "san_mx", "san_ptr", "cn_domain", "cn_mx", "cn_ptr")
#: What stands in a certificate, in words.
_SAID = {
    "san_domain": "SAN names the domain",
    "san_mx": "SAN names the MX host",
    "san_ptr": "SAN names the PTR name",
    "cn_domain": "CN names the domain",
    "cn_mx": "CN names the MX host",
    "cn_ptr": "CN names the PTR name",
}
#: What becomes of mail, in the words of a comparison.
OUTCOMES: Mapping[Outcome, str] = {
    Outcome.DELIVER_CLEAR: "in clear",
    Outcome.DELIVER_ENCRYPTED: "encrypted, not verified",
    Outcome.DELIVER_VERIFIED: "verified",
    Outcome.RECONNECT_CLEAR: "in clear, on a second connection",
    Outcome.NEXT_HOST: "not sent (next host)",
    Outcome.RETRY: "not sent (retried later)",
    Outcome.BOUNCE_MESSAGE: "bounced after the last host",
    Outcome.BOUNCE_ALL: "bounced with all waiting mail",
    Outcome.BOUNCE_NOW: "bounced at once",
}
_DANE_SAID = {
    Dane.NONE: "no TLSA",
    Dane.INSECURE: "insecure TLSA",
    Dane.USABLE_MATCH: "TLSA that matches",
    Dane.USABLE_MISMATCH: "TLSA that does not match",
    Dane.USABLE_UNSEEN: "TLSA not yet held against a certificate",
    Dane.UNUSABLE: "unusable TLSA",
    Dane.BOGUS: "bogus TLSA",
}
_USABLE = frozenset({Dane.USABLE_MATCH, Dane.USABLE_MISMATCH, Dane.USABLE_UNSEEN})
#: The words of a list of names (Postfix ``match=``), each as a rule on the columns of flags.
MATCH_RULES: Mapping[str, NameRule] = {
    "hostname": NameRule.HOSTNAME,
    "nexthop": NameRule.NEXTHOP,
    "dot-nexthop": NameRule.NEXTHOP_OR_BELOW,
}


@cache
def certificates() -> Mapping[str, Flags]:
    """Return every combination of what a certificate's names may match: the keyword arguments of `rule_holds`.

    ``fingerprint_listed`` stands for whatever the sender lists by itself: a digest, or a name spelled out.
    """
    columns = ("san_present", *_NAMES, "mx_below_domain", "fingerprint_listed")
    rows = np.array(list(product((False, True), repeat=len(columns))), dtype=np.bool_)
    possible = rows[rows[:, 0] | ~rows[:, 1:4].any(axis=1)]
    return {name: possible[:, i] for i, name in enumerate(columns)}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What one sender is told to ask of a destination.

    Attributes
    ----------
    profile : the sender.
    setting : one of its settings.
    dane_option : how it is told to use DANE, where that is an option of its own.
    match : names that stand in the place of those the setting asks for: words of `MATCH_RULES`, or names spelled out.
    switches : of the profile.

    Raises
    ------
    PolicyError
        When the sender has no such setting.
    """

    profile: Profile
    setting: Term
    dane_option: DaneOption = DaneOption.NONE
    match: tuple[str, ...] = ()
    switches: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.setting not in list(self.profile.settings):
            known = [setting.label for setting in self.profile.settings]
            raise PolicyError(complaint(f"setting of {self.profile.title}", str(self.setting), known))

    @cached_property
    def tables(self) -> Tables:
        """The sender's tables."""
        return self.profile.tables(self.switches)

    def asks(self, dane: int, mta_sts: int, listed: int) -> tuple[Demand, NameRule]:
        """Return demand and name rule in one case."""
        return self.tables.asks(self.setting, self.dane_option, dane, mta_sts, listed)

    def holds(self, rule: NameRule, dane: int) -> Flags:
        """Tell for each of `certificates` whether the names asked for are there."""
        columns = dict(certificates())
        if rule in (NameRule.NONE, NameRule.TLSA, NameRule.MTA_STS, NameRule.FINGERPRINT) or not self.match:
            return rule_holds(rule, **columns, tlsa_matches=dane == Dane.USABLE_MATCH)
        found = np.zeros(columns["san_present"].shape, dtype=np.bool_)
        for word in self.match:
            if word not in MATCH_RULES:
                found |= columns["fingerprint_listed"]
            elif word == "dot-nexthop":
                none = {"san_domain": False, "cn_domain": False}
                found |= rule_holds(NameRule.NEXTHOP_OR_BELOW, **{**columns, **none})
            else:
                found |= rule_holds(MATCH_RULES[word], **columns)
        return found

    def rule_words(self, rule: NameRule) -> str:
        """Name the rule: the words of ``match`` where these hold."""
        plain = rule in (NameRule.TLSA, NameRule.MTA_STS, NameRule.FINGERPRINT)
        return rule.label if plain or not self.match else ":".join(self.match)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Cells that change in the same way.

    Attributes
    ----------
    seen : what the connection shows.
    age : which messages it concerns, empty for all.
    receiver : what the receiver publishes, empty where that does not matter.
    before, after : what becomes of the message on this connection.
    cells : how many cells that is.
    unconfirmed : whether no source settles what the first sender does there.
    """

    seen: str
    before: Outcome
    after: Outcome
    cells: int
    age: str = ""
    receiver: str = ""
    unconfirmed: bool = False

    @property
    def text(self) -> str:
        """The change as a sentence: ``handshake failed, message of 300 s or more: not sent (next host) -> ...``."""
        when = "; ".join(filter(None, (self.receiver, self.seen)))
        where = ", ".join(filter(None, (when, self.age)))
        doubt = " (unconfirmed)" if self.unconfirmed else ""
        return f"{where}: {OUTCOMES[self.before]}{doubt} -> {OUTCOMES[self.after]}"


#: (DANE state, MTA-STS mode, whether the MX host is listed)
Case = tuple[int, int, int]
_CASES: tuple[Case, ...] = tuple(product(range(len(Dane)), range(len(MtaSts)), range(2)))


@dataclass(frozen=True, slots=True)
class _Spot:
    """What a connection shows, as far as a comparison tells it apart.

    ``group`` is what stands there before any names; ``names`` says which rules hold, and ``every`` all that can.
    """

    group: str
    names: str = ""
    every: frozenset[str] = frozenset()
    rank: int = 0


def cells_of(asked: Asked, case: Case, holds: Flags) -> Codes:
    """Return the outcomes of one case, shape (certificates given, stages, 2, chains, 2 message is aged)."""
    dane, mta_sts, listed = case
    stage, version, chain, aged = np.ogrid[: len(Stage), :2, : len(Chain), :2]
    return decide(
        asked.setting,
        stage[None],
        version[None],
        chain[None],
        holds[:, None, None, None, None],
        asked.tables,
        aged[None],
        dane_option=asked.dane_option,
        dane=dane,
        mta_sts=mta_sts,
        mx_listed=listed,
    )


def changes(before: Asked, after: Asked) -> list[Change]:
    """List what changes when one sender's setting takes the place of another's.

    Every cell that differs is in exactly one of the list.

    Returns
    -------
    list of Change
        Along the course of a connection; what holds for every receiver first.
    """
    found: dict[tuple[_Spot, Outcome, Outcome, bool, int], dict[Case, int]] = {}
    unsettled = _unsettled(before.profile)
    for case in _CASES:
        for spot, old, new, aged, cells, doubt in _differing(before, after, case, unsettled):
            by_case = found.setdefault((spot, old, new, doubt, aged), {})
            by_case[case] = by_case.get(case, 0) + cells
    ages: dict[tuple[_Spot, Outcome, Outcome, bool, frozenset[Case]], list[tuple[int, int]]] = {}
    for (spot, old, new, doubt, aged), by_case in found.items():
        together = (spot, old, new, doubt, frozenset(by_case))
        ages.setdefault(together, []).append((aged, sum(by_case.values())))
    groups: dict[tuple[Outcome, Outcome, frozenset[Case], frozenset[int], bool], list[tuple[_Spot, int]]] = {}
    for (spot, old, new, doubt, cases), told in ages.items():
        kinds = frozenset(aged for aged, _ in told)
        groups.setdefault((old, new, cases, kinds, doubt), []).append((spot, sum(cells for _, cells in told)))
    limit = after.profile.aged_after_s if after.profile.aged_after_s is not None else before.profile.aged_after_s
    listed = [
        (min(spot.rank for spot, _ in spots), len(cases), _change(group, spots, limit))
        for group, spots in groups.items()
        for cases in [group[2]]
    ]
    ordered = sorted(listed, key=lambda item: (-item[1], item[0], item[2].text))
    return [change for _, _, change in ordered]


def _change(
    group: tuple[Outcome, Outcome, frozenset[Case], frozenset[int], bool],
    spots: Sequence[tuple[_Spot, int]],
    aged_after_s: float | None,
) -> Change:
    old, new, cases, kinds, doubt = group
    age = "" if len(kinds) == 2 else _age(max(kinds), aged_after_s)
    return Change(
        seen=_seen_words([spot for spot, _ in spots]),
        age=age,
        receiver=_receiver_words(cases),
        before=old,
        after=new,
        cells=sum(cells for _, cells in spots),
        unconfirmed=doubt,
    )


def _age(aged: int, after_s: float | None) -> str:
    limit = "" if after_s is None else f"{after_s:g} s"
    return f"message of {limit} or more" if aged else f"message younger than {limit}"


def _unsettled(profile: Profile) -> frozenset[tuple[Seen, Demand]]:
    """Return the cells whose own outcome no source settles; which host comes next is no such question."""
    open_cells = profile.unsettled()
    return frozenset((seen, demand) for seen, demand, marks in open_cells if marks[:1] != ("tls_failure_next_mx",))


def _differing(
    before: Asked, after: Asked, case: Case, unsettled: frozenset[tuple[Seen, Demand]]
) -> Iterable[tuple[_Spot, Outcome, Outcome, int, int, bool]]:
    """Yield (what is seen, outcomes, whether aged, cells, whether unconfirmed) where one case differs."""
    demand, rule_before = before.asks(*case)
    _, rule_after = after.asks(*case)
    held = np.stack([before.holds(rule_before, case[0]), after.holds(rule_after, case[0])], axis=1)
    kinds, counts = np.unique(held, axis=0, return_counts=True)
    old, new = (cells_of(asked, case, kinds[:, i]) for i, asked in enumerate((before, after)))
    words = _NameWords(before, after, rule_before, rule_after, kinds, held)
    replaced = tuple(int(rule) in REPLACES_CHAIN for rule in (rule_before, rule_after))
    for kind, stage, version, chain, aged in np.argwhere(old != new):
        spot = words.spot(Stage(int(stage)), bool(version), Chain(int(chain)), int(kind), replaced)
        seen = before.tables.seen[stage, version, 0 if replaced[0] else chain, int(kinds[kind, 0])]
        a, b = (Outcome(int(codes[kind, stage, version, chain, aged])) for codes in (old, new))
        yield spot, a, b, int(aged), int(counts[kind]), (Seen(int(seen)), demand) in unsettled


class _NameWords:
    """Says of a certificate which of the two rules hold."""

    def __init__(
        self, before: Asked, after: Asked, rule_before: NameRule, rule_after: NameRule, kinds: Flags, held: Flags
    ) -> None:
        titles = (before.profile.title, after.profile.title)
        rules = (before.rule_words(rule_before), after.rule_words(rule_after))
        told = [r not in (NameRule.NONE, NameRule.TLSA) for r in (rule_before, rule_after)]
        self.phrases = [self._phrase(kind, titles, rules, told, held) for kind in kinds]
        self.every = frozenset(self.phrases)

    @staticmethod
    def _phrase(
        kind: Flags, titles: tuple[str, str], rules: tuple[str, str], told: list[bool], held: Flags
    ) -> str:
        yes, no = ([i for i in (0, 1) if told[i] and bool(kind[i]) is wanted] for wanted in (True, False))

        def name(which: list[int]) -> str:
            return " and ".join(f"{titles[i]}'s ({rules[i]})" for i in which)

        if not yes and not no:
            return ""
        if not no or not yes:
            return f"name rule {name(yes or no)} {'holds' if yes else 'does not hold'}"
        as_when = fewest_names((held == kind).all(axis=1))
        return f"name rule {name(yes)} holds and {name(no)} does not, as when {as_when}"

    def spot(self, stage: Stage, version_ok: bool, chain: Chain, kind: int, replaced: tuple[bool, ...]) -> _Spot:
        """Say what a cell shows."""
        if stage < Stage.LOST_IN_TLS or not version_ok:
            shown = Stage.HANDSHAKE_FAILED if stage >= Stage.LOST_IN_TLS else stage
            return _Spot(_STAGES[shown], rank=int(shown))
        if stage == Stage.LOST_IN_TLS:
            return _Spot(_STAGES[stage], rank=int(stage))
        trust = {Chain.TRUSTED: 0, Chain.EXPIRED: 1}.get(chain, 2)
        group = "" if all(replaced) else ("trusted chain", "expired certificate", "untrusted chain")[trust]
        rank = int(stage) + trust
        return _Spot(f"TLS, {group}" if group else "TLS", self.phrases[kind], self.every, rank)


_STAGES: Mapping[Stage, str] = {
    **{stage: stage.label.replace("-", " ") for stage in Stage},
    Stage.NOT_OFFERED: "STARTTLS not offered",
    Stage.REFUSED_4XX: "4xx to STARTTLS",
    Stage.REFUSED_5XX: "5xx to STARTTLS",
    Stage.LOST_BEFORE_220: "session lost before the 220",
    Stage.HANDSHAKE_TIMEOUT: "handshake hangs",
    Stage.LOST_IN_TLS: "session lost in TLS",
}


def fewest_names(chosen: Flags) -> str:
    """Say by examples which certificates are meant: those that match as few names as any of their kind."""
    columns = certificates()
    examples: dict[frozenset[str], set[tuple[bool, bool]]] = {}
    for i in np.flatnonzero(chosen):
        names = frozenset(name for name in (*_NAMES, "fingerprint_listed") if columns[name][i])
        context = (bool(columns["san_present"][i]), bool(columns["mx_below_domain"][i]))
        examples.setdefault(names, set()).add(context)
    least = [names for names in examples if not any(other < names for other in examples)]
    said = [_example(names, examples[names]) for names in sorted(least, key=lambda n: (len(n), _order(n)))]
    return " or ".join(said[:3])


def _order(names: frozenset[str]) -> list[int]:
    known = (*_NAMES, "fingerprint_listed")
    return sorted(known.index(name) for name in names)


def _example(names: frozenset[str], contexts: set[tuple[bool, bool]]) -> str:
    said = " and ".join(_SAID[name] for name in _NAMES if name in names)
    if "fingerprint_listed" in names:
        said = " and ".join(filter(None, (said, "the sender lists it")))
    san = {present for present, _ in contexts}
    below = {place for _, place in contexts}
    if san == {True} and names and not any(name.startswith("san") for name in names):
        said += " beside SAN names that do not"
    elif san == {False}:
        said += " without SAN names" if said else "no SAN names"
    if below == {True}:
        said += ", the MX host lying below the domain"
    return said or "no name matches"


def _seen_words(spots: Sequence[_Spot]) -> str:
    """Join what is seen; names are left out where every certificate of a chain changes alike."""
    by_group: dict[str, list[_Spot]] = {}
    for spot in sorted(spots, key=lambda s: (s.rank, s.names)):
        by_group.setdefault(spot.group, []).append(spot)
    texts: dict[str, list[str]] = {}
    for group, members in by_group.items():
        names = {spot.names for spot in members}
        every = all(names >= spot.every for spot in members)
        texts.setdefault("" if every else " or ".join(sorted(names)), []).append(group)
    parts = []
    for names_text, groups in texts.items():
        heads = [groups[0], *(group.removeprefix("TLS, ") if groups[0].startswith("TLS") else group for group in groups[1:])]
        shown = "TLS" if _CHAINS <= set(groups) and len(groups) == len(_CHAINS) else _listed(heads)
        parts.append(", ".join(filter(None, (shown, names_text))))
    return "; or ".join(parts)


_CHAINS = {"TLS, trusted chain", "TLS, expired certificate", "TLS, untrusted chain"}


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _receiver_words(cases: frozenset[Case]) -> str:
    """Say what the receiver publishes in these cases."""
    by_policy: dict[frozenset[tuple[int, int]], list[Dane]] = {}
    for dane in Dane:
        policies = frozenset((mode, listed) for d, mode, listed in cases if d == dane)
        if policies:
            by_policy.setdefault(policies, []).append(dane)
    texts = []
    for policies, states in by_policy.items():
        parts = [_dane_words(states), _policy_words(policies)]
        texts.append(", ".join(filter(None, parts)))
    return " or ".join(filter(None, texts))


def _dane_words(states: Sequence[Dane]) -> str:
    known = set(states)
    if len(known) == len(Dane):
        return ""
    words = ["usable TLSA"] if known >= _USABLE else []
    rest = [_DANE_SAID[state] for state in states if not (known >= _USABLE and state in _USABLE)]
    return _listed([*words, *rest])


def _policy_words(policies: frozenset[tuple[int, int]]) -> str:
    modes = {mode for mode, _ in policies}
    listed = {where for _, where in policies}
    mode_words = "" if len(modes) == len(MtaSts) else f"MTA-STS {_listed([MtaSts(m).label for m in sorted(modes)])}"
    listed_words = "" if len(listed) == 2 else f"MX host {'listed' if 1 in listed else 'not listed'}"
    return ", ".join(filter(None, (mode_words, listed_words)))


def differing_cells(before: Asked, after: Asked) -> int:
    """Count the cells that differ; the sum of ``cells`` over `changes`."""
    return sum(change.cells for change in changes(before, after))
