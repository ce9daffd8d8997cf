"""Holds a sender's tables to its reference page, written as a table of words.

A page has a row for each setting and a column for each thing a peer may do. Words: ``clear``, ``unv`` (encrypted, not
verified), ``ver`` (encrypted and verified), ``defer`` (the other MX hosts, then kept), ``retry`` (kept, no other MX
host), ``bounce`` (at once, no other MX host), ``last`` (bounced unless another MX host takes it). ``defer > clear``:
the first for a young message, the second for an aged one.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np

from sim.policy.decide import decide
from sim.policy.profile import Profile, Value
from sim.policy.text_tables import split_table, term
from sim.terms import Chain, Dane, DaneOption, MtaSts, NameRule, Outcome, Stage

WORDS = {
    Outcome.DELIVER_CLEAR: "clear",
    Outcome.RECONNECT_CLEAR: "clear",
    Outcome.DELIVER_ENCRYPTED: "unv",
    Outcome.DELIVER_VERIFIED: "ver",
    Outcome.NEXT_HOST: "defer",
    Outcome.RETRY: "retry",
    Outcome.BOUNCE_NOW: "bounce",
    Outcome.BOUNCE_MESSAGE: "last",
    Outcome.BOUNCE_ALL: "bounce",
}
UNTRUSTED = [c for c in Chain if c is not Chain.TRUSTED]
#: What a peer does -> the evidence it shows: (stage, version is high enough, chain, rule holds).
SITUATIONS: dict[str, list[tuple[Stage, bool, Chain, bool]]] = {
    "NO": [(Stage.NOT_OFFERED, True, Chain.TRUSTED, False)],
    "REF4": [(Stage.REFUSED_4XX, True, Chain.TRUSTED, False)],
    "REF5": [(Stage.REFUSED_5XX, True, Chain.TRUSTED, False)],
    "LOST": [(Stage.LOST_BEFORE_220, True, Chain.TRUSTED, False)],
    "HS": [(Stage.HANDSHAKE_FAILED, True, Chain.TRUSTED, False), *product([Stage.TLS], [False], Chain, [False, True])],
    "HANGS": [(Stage.HANDSHAKE_TIMEOUT, True, Chain.TRUSTED, False)],
    "LOST IN TLS": [(Stage.LOST_IN_TLS, True, Chain.TRUSTED, False)],
    "BAD CHAIN": list(product([Stage.TLS], [True], UNTRUSTED, [False])),
    "BAD CHAIN, RULE HOLDS": list(product([Stage.TLS], [True], UNTRUSTED, [True])),
    "BAD NAME": [(Stage.TLS, True, Chain.TRUSTED, False)],
    "OK": [(Stage.TLS, True, Chain.TRUSTED, True)],
    "5XX GREETING": [(Stage.GREETING_5XX, True, Chain.TRUSTED, False)],
}


def words_of(
    profile: Profile,
    setting: int,
    situation: str,
    *,
    switches: Mapping[str, Value] | None = None,
    dane: Dane = Dane.NONE,
    mta_sts: MtaSts = MtaSts.NONE,
    mx_listed: bool = True,
    dane_option: DaneOption | None = None,
) -> str:
    """Return what a sender makes of a situation; an error when evidence of one situation is not treated alike."""
    option = profile.dane_option if dane_option is None else dane_option
    stage, version, chain, holds = (np.array(column) for column in zip(*SITUATIONS[situation], strict=True))
    tables = profile.tables(switches)
    if tables.asks(setting, option, dane, mta_sts, int(mx_listed))[1] is NameRule.CHAIN_ONLY:
        holds[:] = True  # no name can fail a rule that asks for none
    found = []
    for aged in (0, 1):
        outcome = decide(
            setting, stage, version, chain, holds, tables, aged, dane_option=option, dane=dane, mta_sts=mta_sts,
            mx_listed=mx_listed,
        )  # fmt: skip
        (word,) = {WORDS[Outcome(int(code))] for code in np.unique(outcome)}
        found.append(word)
    return found[0] if found[0] == found[1] else " > ".join(found)


def check_page(profile: Profile, page: str, **case: object) -> None:
    """Assert that every cell of a page is what the tables say; a page has every setting, in order.

    ``case`` are keyword arguments of `words_of`.
    """
    assert [row[0] for row in split_table(page)[1]] == [setting.label for setting in profile.settings]
    check_rows(profile, page, [({"setting": setting} | case) for setting in profile.settings])


def check_rows(profile: Profile, page: str, cases: list[dict[str, object]]) -> None:
    """Assert that every cell of a page is what the tables say in the case of its row: arguments of `words_of`."""
    heading, rows = split_table(page)
    wrong = []
    for case, row in zip(cases, rows, strict=True):
        for situation, said in zip(heading[1:], row[1:], strict=True):
            found = words_of(profile, situation=situation, **case)  # type: ignore[arg-type]
            if found != said:
                wrong.append(f"{row[0]}, {situation}: the page says {said}, the tables {found}")
    assert not wrong, "\n".join(wrong)


def check_dane(profile: Profile, page: str, **case: object) -> None:
    """Assert that every cell of a page is what the tables say whose rows are states of the MX host's TLSA records."""
    states = [term(row[0], Dane) for row in split_table(page)[1]]
    check_rows(profile, page, [{"dane": state} | case for state in states])


def check_mta_sts(profile: Profile, page: str, **case: object) -> None:
    """Assert that every cell of a page is what the tables say whose rows are modes of a policy.

    ``unlisted`` is the mode *enforce* for an MX host the policy does not list.
    """
    for row in split_table(page)[1]:
        listed = row[0] != "unlisted"
        mode = term(row[0], MtaSts) if listed else MtaSts.ENFORCE
        heading = page.strip().splitlines()[0]
        check_rows(profile, f"{heading}\n{' | '.join(row)}", [{"mta_sts": mode, "mx_listed": listed} | case])
