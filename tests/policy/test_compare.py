"""What a comparison of two settings lists is what differs: every cell is looked up again, and every sentence read."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from sim.errors import PolicyError
from sim.policy.compare import Asked, Change, _dane_words, _NameRules, certificates, changes, fewest_names
from sim.policy.decide import decide
from sim.policy.identity import rule_holds
from sim.policy.profile import Profile
from sim.policy.profiles import profile
from sim.policy.profiles.postfix import Level
from sim.policy.profiles.stalwart import Strategy
from sim.policy.text_tables import format_table, split_table
from sim.studies.convert import gateway_asks, level_for, postfix_asks, setting_for
from sim.terms import Chain, Dane, DaneOption, Demand, MtaSts, NameRule, Outcome, Seen, Setting, Stage

Mask = NDArray[np.bool_]
CASES = list(product(Dane, MtaSts, (0, 1)))
SHAPE = (len(Stage), 2, len(Chain), 2)
NONE, OPPORTUNISTIC, MANDATORY = DaneOption

TO_POSTFIX = [
    (gateway_asks(setting, option), postfix_asks(*level_for(setting, option)))
    for setting in Setting
    for option in DaneOption
]
MATCHES: list[tuple[Level, tuple[str, ...]]] = [
    *((level, ()) for level in Level),
    (Level.SECURE, ("nexthop",)),
    (Level.SECURE, ("nexthop", "hostname")),
    (Level.VERIFY, ("dot-nexthop",)),
    (Level.VERIFY, ("mx.partner.example", "nexthop")),
    (Level.VERIFY, ("nexthop", "mx.partner.example")),
    (Level.VERIFY, ("hostname", "dot-nexthop")),
]
FROM_POSTFIX = [(postfix_asks(level, match), gateway_asks(*setting_for(level, match))) for level, match in MATCHES]
FAR_APART = [
    (gateway_asks(s, o), postfix_asks(level, match))
    for s, o in product(Setting, DaneOption)
    for level, match in MATCHES
]
ON = {"mta_sts": True}
WITH_MTA_STS = [
    (
        Asked(profile=profile("esa"), setting=setting, dane_option=option, switches=ON),
        Asked(profile=profile("postfix"), setting=level, match=match, switches=ON),
    )
    for setting, option in ((Setting.PREFERRED, NONE), (Setting.REQUIRED_VERIFY, OPPORTUNISTIC))
    for level, match in ((Level.MAY, ()), (Level.DANE, ()), (Level.SECURE, ("hostname",)))
]


def name_of(pair: tuple[Asked, Asked]) -> str:
    return " > ".join(f"{a.setting} {a.dane_option} {':'.join(a.match)}".strip() for a in pair)


def holds(asked: Asked, rule: NameRule, dane: Dane) -> Mask:
    """The senders' rules again, in the words of their documents."""
    names = certificates()
    present, below = names["san_present"], names["mx_below_domain"]
    domain = np.where(present, names["san_domain"], names["cn_domain"])
    mx = np.where(present, names["san_mx"], names["cn_mx"])
    words = {"nexthop": domain, "hostname": mx, "dot-nexthop": mx & below}
    if rule in (NameRule.HOSTNAME, NameRule.NEXTHOP_OR_BELOW) and asked.match:
        listed = [words.get(word, names["fingerprint_listed"]) for word in asked.match]
        return np.asarray(np.any(listed, axis=0), dtype=np.bool_)
    return np.asarray(rule_holds(rule, **names, tlsa_matches=dane is Dane.USABLE_MATCH))


def looked_up(asked: Asked, case: tuple[Dane, MtaSts, int], held: Mask) -> NDArray[np.uint8]:
    dane, mta_sts, listed = case
    stage, version, chain, aged = np.ogrid[: len(Stage), :2, : len(Chain), :2]
    return decide(
        asked.setting, stage, version, chain, held[:, None, None, None, None],
        asked.profile.tables(asked.switches), aged,
        dane_option=asked.dane_option, dane=dane, mta_sts=mta_sts, mx_listed=listed,
    )  # fmt: skip


STAGES = {
    "dns temporary": Stage.DNS_TEMPORARY, "nxdomain": Stage.NXDOMAIN, "null mx": Stage.NULL_MX,
    "unreachable": Stage.UNREACHABLE, "greeting 4xx": Stage.GREETING_4XX, "greeting 5xx": Stage.GREETING_5XX,
    "STARTTLS not offered": Stage.NOT_OFFERED, "4xx to STARTTLS": Stage.REFUSED_4XX,
    "5xx to STARTTLS": Stage.REFUSED_5XX, "session lost before the 220": Stage.LOST_BEFORE_220,
    "handshake failed": Stage.HANDSHAKE_FAILED, "handshake hangs": Stage.HANDSHAKE_TIMEOUT,
    "session lost in TLS": Stage.LOST_IN_TLS,
}  # fmt: skip
CHAINS = {
    "trusted chain": [Chain.TRUSTED],
    "expired certificate": [Chain.EXPIRED],
    "untrusted chain": [Chain.SELF_SIGNED, Chain.UNKNOWN_ISSUER, Chain.NOT_YET_VALID, Chain.REVOKED],
}
RECORDS = {
    "no TLSA": [Dane.NONE],
    "insecure TLSA": [Dane.INSECURE],
    "usable TLSA": [Dane.USABLE_MATCH, Dane.USABLE_MISMATCH, Dane.USABLE_UNSEEN],
    "TLSA that matches": [Dane.USABLE_MATCH],
    "TLSA that does not match": [Dane.USABLE_MISMATCH],
    "unusable TLSA": [Dane.UNUSABLE],
    "bogus TLSA": [Dane.BOGUS],
}


def says(text: str, phrase: str) -> bool:
    return re.search(rf"\b{re.escape(phrase)}\b", text) is not None


def concerns(receiver: str, case: tuple[Dane, MtaSts, int]) -> bool:
    """Read what a sentence says of the receiver."""
    dane, mta_sts, listed = case
    for part in receiver.split("; or "):
        records = [state for phrase, states in RECORDS.items() if says(part, phrase) for state in states] or list(Dane)
        modes = re.findall("none|testing|enforce", part.partition("MTA-STS ")[2]) or [m.label for m in MtaSts]
        places = [0] if "not listed" in part else [1] if "listed" in part else [0, 1]
        if dane in records and mta_sts.label in modes and listed in places:
            return True
    return False


def meant(change: Change, held: tuple[Mask, Mask], titles: tuple[str, str]) -> Mask:
    """Read what a sentence says of the connection: the cells it means, in a case it concerns."""
    cells = np.zeros((held[0].size, *SHAPE), dtype=np.bool_)
    for part in change.seen.split("; or "):
        head, _, rules = part.partition("name rule ")
        for phrase, stage in STAGES.items():
            if says(head, phrase):
                cells[:, stage] = True
                if stage is Stage.HANDSHAKE_FAILED:
                    cells[:, [Stage.LOST_IN_TLS, Stage.TLS], 0] = True
                if stage is Stage.LOST_IN_TLS:
                    cells[:, stage, 0] = "handshake failed" in head
        if says(head, "TLS") and "session" not in head and "STARTTLS" not in head:
            named = [chain for phrase, chains in CHAINS.items() if says(head, phrase) for chain in chains] or list(
                Chain
            )
            cells[:, Stage.TLS, 1, named] |= certificates_meant(rules, held, titles)[:, None, None]
    ages = [0] if "younger" in change.age else [1] if change.age else [0, 1]
    cells[..., [aged for aged in (0, 1) if aged not in ages]] = False
    return cells


def certificates_meant(rules: str, held: tuple[Mask, Mask], titles: tuple[str, str]) -> Mask:
    if not rules:
        return np.ones(held[0].size, dtype=np.bool_)
    meant = np.zeros(held[0].size, dtype=np.bool_)
    for clause in rules.split(" or name rule "):
        fits = np.ones(held[0].size, dtype=np.bool_)
        told = clause.split(", as when ")[0]
        found = re.findall(r"(\S.*?)'s \([^)]*\) (holds|does not)", told)
        assert found
        for title, word in found:
            side = held[titles.index(title.removeprefix("and "))]
            fits &= side if word == "holds" else ~side
        meant |= fits
    return meant


@pytest.mark.parametrize("pair", [*TO_POSTFIX, *FROM_POSTFIX, *WITH_MTA_STS, *FAR_APART[::23]], ids=name_of)
def test_the_sentences_mean_exactly_the_cells_that_differ(pair: tuple[Asked, Asked]) -> None:
    before, after = pair
    told = changes(before, after)
    titles = (before.profile.title, after.profile.title)
    total = 0
    for case in CASES:
        held = tuple(
            holds(a, NameRule(int(a.tables.rule[(a.setting, a.dane_option, *case)])), case[0]) for a in (before, after)
        )
        old, new = (looked_up(a, case, h) for a, h in zip(pair, held, strict=True))
        differs = old != new
        if case[0] is Dane.USABLE_UNSEEN:
            differs[:, Stage.TLS, 1] = False
        times = np.zeros(differs.shape, dtype=np.int64)
        for change in told:
            if concerns(change.receiver, case):
                cells = meant(change, (held[0], held[1]), titles)
                if case[0] is Dane.USABLE_UNSEEN:
                    cells[:, Stage.TLS, 1] = False
                assert (old[cells] == change.before).all(), change.text
                assert (new[cells] == change.after).all(), change.text
                times += cells
        assert (times == differs).all(), [change.text for change in told]
        total += int(differs.sum())
    assert total == sum(change.cells for change in told)


def test_the_sentences_of_the_main_pairs() -> None:
    told = {name_of(pair): [change.text for change in changes(*pair)] for pair in TO_POSTFIX}
    assert told["No none > none none"] == []
    [aged] = told["Preferred none > may none"]
    assert aged == (
        "handshake failed, handshake hangs or session lost in TLS, message of 300 s or more: not sent (next host) -> "
        "in clear, on a second connection"
    )
    assert told["Required none > encrypt none"] == [
        "5xx to STARTTLS: not sent (next host) (unconfirmed) -> bounced at once"
    ]
    assert (
        "TLS, trusted chain, name rule Cisco ESA's (verify) holds: verified -> encrypted, not verified"
        in (told["Preferred - Verify none > may none"])
    )
    [_, names] = told["Required - Verify Hosted Domains none > secure none nexthop:hostname"]
    assert "SAN names the PTR name or CN names the PTR name without SAN names: verified -> not sent" in names


#: Sentences told of one setting in the place of another, whole.
SENTENCES = """
may > Preferred
    handshake failed, handshake hangs or session lost in TLS, message of 300 s or more: in clear, on a second connection
    -> not sent (next host)
fingerprint > Required - Verify
    5xx to STARTTLS: bounced at once -> not sent (next host) (unconfirmed)
    TLS, trusted chain, name rule Cisco ESA's (verify) holds and Postfix's (fingerprint) does not, as when SAN names the
    domain or CN names the domain or CN names the PTR name: not sent (next host) -> verified
    TLS, trusted chain, name rule Postfix's (fingerprint) holds and Cisco ESA's (verify) does not, as when the sender
    lists it; or TLS, expired certificate or untrusted chain, name rule Postfix's (fingerprint) holds: verified -> not
    sent (next host)
Preferred > secure hostname
    MTA-STS none or testing; STARTTLS not offered or 4xx to STARTTLS: in clear -> not sent (next host)
    MTA-STS none or testing; 5xx to STARTTLS: in clear -> bounced at once
    MTA-STS none or testing; TLS, trusted chain, name rule Postfix's (hostname) does not hold; or TLS, expired
    certificate or untrusted chain: encrypted, not verified -> not sent (next host)
    MTA-STS none or testing; TLS, trusted chain, name rule Postfix's (hostname) holds: encrypted, not verified ->
    verified
    MTA-STS enforce; 5xx to STARTTLS: not sent (next host) -> bounced at once
    MTA-STS enforce, MX host listed; TLS, trusted chain, name rule Postfix's (hostname) holds and Cisco ESA's (mta-sts)
    does not, as when CN names the MX host without SAN names: not sent (next host) -> verified
    MTA-STS enforce, MX host not listed; TLS, trusted chain, name rule Postfix's (hostname) holds: not sent (next host)
    -> verified
Required opportunistic > encrypt
    usable TLSA or bogus TLSA; 5xx to STARTTLS: not sent (next host) -> bounced at once
    no TLSA, insecure TLSA or unusable TLSA; 5xx to STARTTLS: not sent (next host) (unconfirmed) -> bounced at once
    TLSA that does not match or bogus TLSA; TLS: not sent (next host) -> encrypted, not verified
    TLSA that matches; TLS: verified -> encrypted, not verified
"""
TOLD: dict[str, tuple[Asked, Asked]] = {
    "may > Preferred": FROM_POSTFIX[list(Level).index(Level.MAY)],
    "fingerprint > Required - Verify": FROM_POSTFIX[list(Level).index(Level.FINGERPRINT)],
    "Preferred > secure hostname": WITH_MTA_STS[2],
    "Required opportunistic > encrypt": (gateway_asks(Setting.REQUIRED, OPPORTUNISTIC), postfix_asks(Level.ENCRYPT)),
}


def test_sentences_read_along_the_course_of_a_connection_and_name_rules_and_receivers_in_words() -> None:
    wanted = dict(re.findall(r"^(\S.*)\n((?:    .*\n)+)", SENTENCES, re.MULTILINE))
    assert wanted.keys() == TOLD.keys()
    for name, pair in TOLD.items():
        assert " ".join(change.text for change in changes(*pair)) == " ".join(wanted[name].split())


def test_a_rule_is_named_by_the_words_that_stand_in_its_place() -> None:
    asked = postfix_asks(Level.SECURE, ("nexthop", "hostname"))
    assert asked.rule_words(NameRule.NEXTHOP_OR_BELOW) == "nexthop:hostname"
    for rule in (NameRule.TLSA, NameRule.MTA_STS, NameRule.FINGERPRINT):
        assert asked.rule_words(rule) == rule.label
    assert postfix_asks(Level.VERIFY).rule_words(NameRule.HOSTNAME) == "hostname"


def test_the_order_of_words_in_a_match_does_not_matter() -> None:
    for one, other in (("nexthop", "mx.partner.example"), ("hostname", "dot-nexthop")):
        first = postfix_asks(Level.VERIFY, (one, other)).holds(NameRule.HOSTNAME, Dane.NONE).tolist()
        assert first == postfix_asks(Level.VERIFY, (other, one)).holds(NameRule.HOSTNAME, Dane.NONE).tolist()


def test_a_side_is_unconfirmed_by_its_name() -> None:
    pairs = (TO_POSTFIX[6], FROM_POSTFIX[list(Level).index(Level.ENCRYPT)])
    assert [{change.unconfirmed for change in changes(*pair)} for pair in pairs] == [{"before"}, {"after"}]


def unsettled_at(sender: str, seen: Seen, demand: Demand) -> Profile:
    """Return a sender of which no source settles this cell, where it was settled."""
    known = profile(sender)
    heading, rows = split_table(known.outcomes)
    [row] = (row for row in rows if row[0] == seen.label)
    row[heading.index(demand.label)] += " ?"
    return replace(known, outcomes=format_table(heading, rows))


def test_both_sides_are_unconfirmed_where_no_source_settles_either() -> None:
    bounces = gateway_asks(Setting.REQUIRED, NONE, {"starttls_5xx_required": "bounce"})
    [change] = changes(bounces, gateway_asks(Setting.REQUIRED, NONE))
    assert change.unconfirmed == "before and after"
    assert change.text == (
        "5xx to STARTTLS: bounced after the last host (unconfirmed) -> not sent (next host) (unconfirmed)"
    )


def test_what_is_unconfirmed_of_matching_tlsa_records_is_so_for_every_chain() -> None:
    doubtful = Asked(profile=unsettled_at("postfix", Seen.VERIFIED, Demand.DANE), setting=Level.DANE_ONLY)
    told = [change.text for change in changes(postfix_asks(Level.ENCRYPT), doubtful)]
    assert [text for text in told if "(unconfirmed)" in text] == [
        "TLSA that matches; TLS: encrypted, not verified -> verified (unconfirmed)"
    ]


def test_what_is_unconfirmed_of_an_untrusted_chain_is_so_for_no_other() -> None:
    doubtful = Asked(profile=unsettled_at("postfix", Seen.UNTRUSTED, Demand.VERIFY), setting=Level.VERIFY)
    told = [change.text for change in changes(postfix_asks(Level.ENCRYPT), doubtful)]
    assert [text for text in told if "(unconfirmed)" in text] == [
        "TLS, untrusted chain: encrypted, not verified -> not sent (next host) (unconfirmed)"
    ]


def test_messages_are_told_apart_as_the_sender_does() -> None:
    by_age, by_failure = profile("postfix"), profile("stalwart")
    by_both = replace(by_failure, aged_after_s=90.0)
    for sender, young, aged in (
        (by_failure, "message not put off by a TLS failure", "message put off by a TLS failure"),
        (
            by_both,
            "message younger than 90 s and not put off by a TLS failure",
            "message of 90 s or more or put off by a TLS failure",
        ),
    ):
        asked = Asked(profile=sender, setting=Strategy.OPTIONAL)
        for pair in ((gateway_asks(Setting.NO, NONE), asked), (asked, gateway_asks(Setting.NO, NONE))):
            assert {change.age for change in changes(*pair)} == {"", young, aged}
    never = Asked(profile=by_age, setting=Level.NONE)
    with pytest.raises(PolicyError) as fault:
        changes(never, Asked(profile=by_failure, setting=Strategy.OPTIONAL))
    assert str(fault.value) == (
        "aged messages of the one and of the other sender = 'message put off by a TLS failure'; "
        "allowed: message of 300 s or more"
    )
    assert changes(never, never) == []


def test_a_sender_whose_switch_lets_no_age_matter_is_compared_with_any() -> None:
    forgets, minds = (
        Asked(
            profile=profile("haraka"),
            setting=profile("haraka").default,
            switches={"disable_for_failed_hosts": minds},
        )
        for minds in (False, True)
    )
    assert (forgets.tells_ages_apart, minds.tells_ages_apart) == (False, True)
    assert changes(postfix_asks(Level.MAY), forgets)
    with pytest.raises(PolicyError, match="aged messages"):
        changes(postfix_asks(Level.MAY), minds)


def test_stages_and_certificates_that_change_alike_stand_in_parts_of_their_own() -> None:
    relaxed = Asked(profile=profile("stalwart"), setting=Strategy.REQUIRE, dane_option=MANDATORY)
    told = [change.seen for change in changes(gateway_asks(Setting.PREFERRED, MANDATORY, ON), relaxed)]
    assert "greeting 5xx; or TLS" in told


def test_kinds_of_certificates_that_no_one_rule_tells_apart_are_joined() -> None:
    kinds = (
        ((False, False), "no name matches"),
        ((False, True), "B's"),
        ((True, False), "A's"),
        ((True, True), "both"),
    )
    rules = _NameRules(("A (verify)", "B (hosted)"), kinds)
    assert rules.words(frozenset({(False, True), (True, False)})) == (
        "name rule B (hosted) holds and A (verify) does not, as when B's or "
        "name rule A (verify) holds and B (hosted) does not, as when A's"
    )


def test_records_that_a_certificate_is_held_against_are_usable_seen_or_not() -> None:
    held = [Dane.USABLE_MATCH, Dane.USABLE_MISMATCH]
    assert _dane_words(held) == _dane_words([*held, Dane.USABLE_UNSEEN]) == "usable TLSA"
    assert _dane_words([*held, Dane.BOGUS]) == "usable TLSA or bogus TLSA"


def test_what_required_never_sends_in_clear_is_never_sent_in_clear() -> None:
    clear = (Outcome.DELIVER_CLEAR, Outcome.RECONNECT_CLEAR)
    for before, after in TO_POSTFIX:
        if before.setting not in (Setting.NO, Setting.PREFERRED, Setting.PREFERRED_VERIFY):
            assert not [change.text for change in changes(before, after) if change.after in clear]


def test_switches_change_what_changes() -> None:
    bounces = gateway_asks(Setting.REQUIRED, NONE, {"starttls_5xx_required": "bounce"})
    [change] = changes(bounces, postfix_asks(Level.ENCRYPT))
    assert (change.before, change.after) == (Outcome.BOUNCE_MESSAGE, Outcome.BOUNCE_NOW)


def test_a_setting_of_another_sender_is_named() -> None:
    with pytest.raises(PolicyError, match=r"setting of Postfix = 'Preferred - Verify'; allowed: none, may"):
        Asked(profile=profile("postfix"), setting=Setting.PREFERRED_VERIFY)


def test_examples_of_certificates() -> None:
    names = certificates()
    assert fewest_names(names["cn_ptr"] & ~names["san_present"]) == "CN names the PTR name without SAN names"
    assert fewest_names(names["san_present"] & ~names["san_domain"] & names["cn_domain"]) == (
        "CN names the domain beside SAN names that do not"
    )
    assert fewest_names(names["fingerprint_listed"]) == "the sender lists it"
    assert fewest_names(names["san_present"]) == "no name matches"
    assert fewest_names(~names["san_present"]) == "no SAN names"
    assert fewest_names(names["san_domain"] & names["san_mx"]) == "SAN names the domain and SAN names the MX host"
    assert fewest_names(names["fingerprint_listed"] & names["cn_mx"]) == "CN names the MX host and the sender lists it"
    below = fewest_names(names["san_mx"] & names["mx_below_domain"])
    assert below == "SAN names the MX host, the MX host lying below the domain"


def test_three_examples_of_certificates_are_enough() -> None:
    names = certificates()
    many = names["san_domain"] | names["san_mx"] | names["san_ptr"] | names["cn_domain"]
    assert fewest_names(many) == "SAN names the domain or SAN names the MX host or SAN names the PTR name"
