"""Two senders' settings, cell by cell of the evidence: where they do not come to the same.

A cell is a stage, a TLS version that is high enough or not, a chain, the names of a certificate, the state of DANE and
of MTA-STS, and the age of the message. Every cell is looked up in both senders' tables (`sim.policy.decide`), with the
name rule each asks for held against the same names, and cells that differ alike are told in one sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
_HELD = _USABLE - {Dane.USABLE_UNSEEN}
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
        if not isinstance(self.setting, self.profile.settings):
            known = [setting.label for setting in self.profile.settings]
            raise PolicyError(complaint(f"setting of {self.profile.title}", str(self.setting), known))

    @cached_property
    def tables(self) -> Tables:
        """The sender's tables."""
        return self.profile.tables(self.switches)

    @property
    def tells_ages_apart(self) -> bool:
        """Whether any outcome depends on the age of the message."""
        return bool((self.tables.outcome[..., 0] != self.tables.outcome[..., 1]).any())

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
                none = np.zeros_like(found)
                below = columns | {"san_domain": none, "cn_domain": none}
                found |= rule_holds(NameRule.NEXTHOP_OR_BELOW, **below)
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
    unconfirmed : the sides whose outcome there no source settles: ``before``, ``after``, both or empty.
    """

    seen: str
    before: Outcome
    after: Outcome
    cells: int
    age: str = ""
    receiver: str = ""
    unconfirmed: str = ""

    @property
    def text(self) -> str:
        """The change as a sentence: ``handshake failed, message of 300 s or more: not sent (next host) -> ...``."""
        when = "; ".join(filter(None, (self.receiver, self.seen)))
        where = ", ".join(filter(None, (when, self.age)))
        ends = ((OUTCOMES[self.before], "before"), (OUTCOMES[self.after], "after"))
        told = [words + " (unconfirmed)" * (side in self.unconfirmed) for words, side in ends]
        return f"{where}: {' -> '.join(told)}"


#: (DANE state, MTA-STS mode, whether the MX host is listed)
Case = tuple[int, int, int]
_CASES: tuple[Case, ...] = tuple(product(range(len(Dane)), range(len(MtaSts)), range(2)))


@dataclass(frozen=True, slots=True)
class _Spot:
    """What a connection shows, as far as a comparison tells it apart.

    Attributes
    ----------
    group : what stands there before any names.
    rank : its place along the course of a connection.
    kind : whether the rule of the one and of the other sender holds; empty where no certificate is looked at.
    names : what is known of the names at all.
    """

    group: str
    rank: int
    kind: tuple[bool, ...] = ()
    names: _NameRules | None = None


@dataclass(frozen=True, slots=True)
class _NameRules:
    """The two senders' name rules, where certificates are told apart by them.

    Attributes
    ----------
    rules : each as words, empty where it looks at no names.
    possible : which of the two hold, for each kind of certificate there is, and what is an example of the kind.
    """

    rules: tuple[str, str]
    possible: tuple[tuple[tuple[bool, ...], str], ...]

    def words(self, kinds: frozenset[tuple[bool, ...]]) -> str:
        """Say which certificates these kinds are; empty for all."""
        every = frozenset(kind for kind, _ in self.possible)
        if kinds == every:
            return ""
        for rule, i in zip(self.rules, (0, 1), strict=True):
            for holds in (True, False):
                if rule and kinds == {kind for kind in every if kind[i] is holds}:
                    return f"name rule {rule} {'holds' if holds else 'does not hold'}"
        return " or ".join(self._one(kind, example) for kind, example in self.possible if kind in kinds)

    def _one(self, kind: tuple[bool, ...], example: str) -> str:
        told = [
            f"{rule} {'holds' if holds else 'does not'}" for rule, holds in zip(self.rules, kind, strict=True) if rule
        ]
        told.sort(key=lambda text: not text.endswith("holds"))
        return f"name rule {' and '.join(told)}, as when {example}"


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

    Raises
    ------
    PolicyError
        When both senders tell messages apart by age, each its own way: no cell stands for one message then.
    """
    young_and_aged = _ages(before, after)
    by_kind: dict[_Cells, set[Case]] = {}
    known: dict[tuple[object, ...], list[_Cells]] = {}
    unsettled = (_unsettled(before.profile), _unsettled(after.profile))
    for case in _CASES:
        # What differs depends on the demands and on whether TLSA records match, not on why there are these demands.
        alike = (before.asks(*case), after.asks(*case), case[0] == Dane.USABLE_MATCH, case[0] == Dane.USABLE_UNSEEN)
        if alike not in known:
            known[alike] = list(_differing(before, after, case, unsettled))
        for cells in known[alike]:
            by_kind.setdefault(cells, set()).add(case)
    listed = []
    for (old, new, doubt, ages, cases), members in _grouped(by_kind).items():
        change = Change(
            seen=_seen_words(cells.spot for cells in members),
            age="" if len(ages) == 2 else young_and_aged[0][max(ages)],
            receiver=_receiver_words(cases),
            before=old,
            after=new,
            cells=sum(cells.number for cells in members) * len(cases),
            unconfirmed=doubt,
        )
        listed.append((-len(cases), min(cells.spot.rank for cells in members), change.text, change))
    return [change for *_, change in sorted(listed, key=lambda item: item[:3])]


_Group = tuple[Outcome, Outcome, str, frozenset[int], frozenset[Case]]


def _grouped(by_kind: Mapping[_Cells, set[Case]]) -> dict[_Group, list[_Cells]]:
    """Group cells that change alike, for the same receivers and messages of the same ages."""
    together: dict[tuple[object, ...], list[tuple[_Cells, frozenset[Case]]]] = {}
    for cells, cases in by_kind.items():
        what = (cells.spot, cells.before, cells.after, cells.doubt, frozenset(cases))
        together.setdefault(what, []).append((cells, frozenset(cases)))
    groups: dict[_Group, list[_Cells]] = {}
    for alike in together.values():
        ages = frozenset(cells.aged for cells, _ in alike)
        for cells, shared in alike:
            groups.setdefault((cells.before, cells.after, cells.doubt, ages, shared), []).append(cells)
    return groups


def _ages(before: Asked, after: Asked) -> list[tuple[str, str]]:
    """Say which messages are young and which aged, once for each sender that has such a rule."""
    told = [_age_words(asked.profile) for asked in (before, after) if asked.tells_ages_apart]
    if len(set(told)) > 1:
        raise PolicyError(complaint("aged messages of the one and of the other sender", told[1][1], told[0][1]))
    return told


def _age_words(sender: Profile) -> tuple[str, str]:
    young, aged = [], []
    if sender.aged_after_s is not None:
        young.append(f"younger than {sender.aged_after_s:g} s")
        aged.append(f"of {sender.aged_after_s:g} s or more")
    if sender.aged_after_tls_failure:
        young.append("not put off by a TLS failure")
        aged.append("put off by a TLS failure")
    return f"message {' and '.join(young)}", f"message {' or '.join(aged)}"


def _unsettled(profile: Profile) -> frozenset[tuple[Seen, Demand]]:
    """Return the cells whose own outcome no source settles; which host comes next is no such question."""
    open_cells = profile.unsettled()
    return frozenset((seen, demand) for seen, demand, marks in open_cells if marks[:1] != ("tls_failure_next_mx",))


@dataclass(frozen=True, slots=True)
class _Cells:
    """Cells of one case that differ in the same way: what they show, both outcomes, and how many they are."""

    spot: _Spot
    before: Outcome
    after: Outcome
    aged: int
    doubt: str
    number: int


def _differing(
    before: Asked, after: Asked, case: Case, unsettled: Sequence[frozenset[tuple[Seen, Demand]]]
) -> Iterable[_Cells]:
    """Yield what differs in one case, each kind of cells once."""
    numbers: dict[_Cells, int] = {}
    for cells in _differing_places(before, after, case, unsettled):
        one = replace(cells, number=0)
        numbers[one] = numbers.get(one, 0) + cells.number
    return [replace(cells, number=number) for cells, number in numbers.items()]


def _differing_places(
    before: Asked, after: Asked, case: Case, unsettled: Sequence[frozenset[tuple[Seen, Demand]]]
) -> Iterable[_Cells]:
    asked = (before.asks(*case), after.asks(*case))
    held = np.stack([side.holds(rule, case[0]) for side, (_, rule) in zip((before, after), asked, strict=True)], axis=1)
    kinds, counts = np.unique(held, axis=0, return_counts=True)
    old, new = (cells_of(side, case, kinds[:, i]) for i, side in enumerate((before, after)))
    replaced = tuple(int(rule) in REPLACES_CHAIN for _, rule in asked)
    names = _names(before, after, (asked[0][1], asked[1][1]), kinds, held)
    for kind, stage, version, chain, aged in np.argwhere(old != new):
        if case[0] == Dane.USABLE_UNSEEN and stage == Stage.TLS and version:
            continue  # a certificate that is seen is held against the records
        spot = _spot(Stage(int(stage)), bool(version), Chain(int(chain)), tuple(map(bool, kinds[kind])), names)
        doubts = []
        for i, (side, word) in enumerate(((before, "before"), (after, "after"))):
            seen = Seen(int(side.tables.seen[stage, version, 0 if replaced[i] else chain, int(kinds[kind, i])]))
            doubts += [word] * ((seen, asked[i][0]) in unsettled[i])
        a, b = (Outcome(int(codes[kind, stage, version, chain, aged])) for codes in (old, new))
        yield _Cells(spot, a, b, int(aged), " and ".join(doubts), int(counts[kind]))


def _names(before: Asked, after: Asked, rules: tuple[NameRule, NameRule], kinds: Flags, held: Flags) -> _NameRules:
    """Say how certificates are told apart; TLSA records are told by the case."""
    sides = zip((before, after), rules, strict=True)
    blind = (NameRule.NONE, NameRule.TLSA)
    words = ["" if rule in blind else f"{side.profile.title}'s ({side.rule_words(rule)})" for side, rule in sides]
    possible = [(tuple(map(bool, kind)), fewest_names((held == kind).all(axis=1))) for kind in kinds]
    return _NameRules((words[0], words[1]), tuple(possible))


def _spot(stage: Stage, version_ok: bool, chain: Chain, kind: tuple[bool, ...], names: _NameRules) -> _Spot:
    """Say what a cell shows."""
    if stage < Stage.LOST_IN_TLS or not version_ok:
        shown = Stage.HANDSHAKE_FAILED if stage >= Stage.LOST_IN_TLS else stage
        return _Spot(_STAGES[shown], int(shown))
    if stage == Stage.LOST_IN_TLS:
        return _Spot(_STAGES[stage], int(stage))
    trust = {Chain.TRUSTED: 0, Chain.EXPIRED: 1}.get(chain, 2)
    return _Spot(_CHAINS[trust], int(stage) + trust, kind, names)


_CHAINS = ("TLS, trusted chain", "TLS, expired certificate", "TLS, untrusted chain")
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


def _seen_words(spots: Iterable[_Spot]) -> str:
    """Join what is seen, stages first; names are left out where every certificate of a chain changes alike."""
    by_group: dict[tuple[str, _NameRules | None], set[tuple[bool, ...]]] = {}
    for spot in sorted(spots, key=lambda s: (s.rank, s.kind)):
        by_group.setdefault((spot.group, spot.names), set()).add(spot.kind)
    texts: dict[str | None, list[str]] = {}
    for (group, names), kinds in by_group.items():
        key = None if names is None else names.words(frozenset(kinds))
        texts.setdefault(key, []).append(group)
    parts = []
    for names_text, groups in texts.items():
        heads = [groups[0], *(group.removeprefix("TLS, ") for group in groups[1:])]
        shown = "TLS" if tuple(groups) == _CHAINS else _listed(heads)
        parts.append(", ".join(filter(None, (shown, names_text))))
    return "; or ".join(parts)


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _receiver_words(cases: frozenset[Case]) -> str:
    """Say what the receiver publishes in these cases."""
    by_policy: dict[frozenset[Case], list[Dane]] = {}
    for dane in Dane:
        policies = frozenset((0, mode, listed) for d, mode, listed in cases if d == dane)
        if policies:
            by_policy.setdefault(policies, []).append(dane)
    texts = []
    for policies, states in by_policy.items():
        parts = _policy_words(policies)
        texts += [", ".join(filter(None, (_dane_words(states), part))) for part in parts]
    return "; or ".join(filter(None, texts))


def _dane_words(states: Sequence[Dane]) -> str:
    known = set(states)
    if known >= set(Dane) - {Dane.USABLE_UNSEEN}:
        return ""
    usable = known >= _HELD
    words = ["usable TLSA"] if usable else []
    rest = [_DANE_SAID[state] for state in states if not (usable and state in _USABLE)]
    return _listed([*words, *rest])


def _policy_words(policies: frozenset[Case]) -> list[str]:
    modes = [frozenset(mode for _, mode, listed in policies if listed == where) for where in (0, 1)]
    wheres = (
        [("", modes[0])] if modes[0] == modes[1] else [("MX host not listed", modes[0]), ("MX host listed", modes[1])]
    )
    texts = []
    for where, some in wheres:
        if some:
            labels = [MtaSts(mode).label for mode in sorted(some)]
            mode_words = "" if len(some) == len(MtaSts) else f"MTA-STS {_listed(labels)}"
            texts.append(", ".join(filter(None, (mode_words, where))))
    return texts
