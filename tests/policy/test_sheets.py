"""The matrix of words says what the policy core decides, of every sender, and marks what no source settles."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sim.policy.decide import decide
from sim.policy.profiles import SENDERS, esa, profile
from sim.policy.profiles.postfix import Level
from sim.policy.sheets import SHORT, Cell, aged_words, cell, matrix, open_marks
from sim.policy.text_tables import format_table, split_table, term
from sim.terms import Chain, DaneOption, Demand, Outcome, Seen, Stage

#: Evidence that shows each class: stage, chain and whether the name rule holds.
SHOWN = {
    Seen.DNS_TEMPORARY: (Stage.DNS_TEMPORARY, Chain.TRUSTED, False),
    Seen.DNS_PERMANENT: (Stage.NULL_MX, Chain.TRUSTED, False),
    **{
        Seen[stage.name]: (stage, Chain.TRUSTED, False)
        for stage in Stage
        if Stage.UNREACHABLE <= stage <= Stage.LOST_IN_TLS
    },
    Seen.UNTRUSTED: (Stage.TLS, Chain.UNKNOWN_ISSUER, False),
    Seen.EXPIRED: (Stage.TLS, Chain.EXPIRED, False),
    Seen.MISMATCH: (Stage.TLS, Chain.TRUSTED, False),
    Seen.VERIFIED: (Stage.TLS, Chain.TRUSTED, True),
}


@pytest.mark.parametrize("sender", SENDERS)
def test_every_word_is_what_the_core_decides(sender: str) -> None:
    known = profile(sender)
    tables = known.tables()
    words, rows, columns = matrix(known)
    assert rows == [seen.label for seen in Seen]
    assert columns == [setting.label for setting in known.settings]
    for seen in Seen:
        stage, chain, holds = SHOWN[seen]
        for setting, word in zip(known.settings, words[seen], strict=True):
            option = DaneOption.NONE
            found = [
                Outcome(int(decide(setting, stage, True, chain, holds, tables, aged, dane_option=option)))
                for aged in (0, 1)
            ]
            if "fingerprint" in tables.plain(setting)[1].label and seen in (Seen.UNTRUSTED, Seen.EXPIRED):
                continue  # such a rule looks at no chain, so that this class of evidence never shows
            told = [SHORT.get(outcome, outcome.label) for outcome in found]
            assert word.replace(" ?", "") == (told[0] if told[0] == told[1] else " > ".join(told))


def test_the_gateways_matrix_is_that_of_its_profile() -> None:
    assert matrix(profile("esa")) == esa.matrix()
    strict = esa.Switches(pv_after_220="fail", starttls_5xx_required="bounce")
    assert matrix(profile("esa"), strict.values()) == esa.matrix(strict)


@pytest.mark.parametrize("sender", SENDERS)
def test_marks_are_those_of_the_profile(sender: str) -> None:
    known = profile(sender)
    tables = known.tables()
    marks = {(seen, demand): names for seen, demand, names in known.unsettled()}
    for setting in known.settings:
        demand, _ = tables.plain(setting)
        for seen in Seen:
            shown = cell(known, tables, seen, setting)
            if demand < Demand.HOLD_BOGUS:
                assert shown.young_open == marks.get((seen, demand))
            if shown.young == shown.aged:
                assert shown.aged_open == shown.young_open


def test_a_host_that_may_not_be_used_goes_by_another_column_before_it_is_met() -> None:
    known = profile("esa")
    tables = known.tables()
    marks = [open_marks(known, tables, seen, Demand.HOLD_BOGUS, aged=False) for seen in Seen]
    assert marks == [(), (), *([None] * 14)]


def test_a_cell_of_aged_messages_may_be_unsettled_by_itself() -> None:
    postfix = profile("postfix")
    cells = {**postfix.aged, (Seen.HANDSHAKE_FAILED, Demand.OPPORTUNISTIC): "reconnect in clear ?"}
    aged: dict[tuple[Seen, Demand], Outcome] = cells  # type: ignore[assignment]
    open_aged = replace(postfix, aged=aged)
    found = [
        open_marks(open_aged, postfix.tables(), seen, Demand.OPPORTUNISTIC, aged=old)
        for seen in (Seen.HANDSHAKE_FAILED, Seen.LOST_IN_TLS)
        for old in (False, True)
    ]
    assert found == [None, (), None, None]


def test_before_the_connection_a_host_that_may_not_be_used_is_marked_as_mail_in_clear_is_else_as_the_first_column() -> (
    None
):
    for sender, column in (("esa", Demand.CLEAR), ("exchange_online", None)):
        known = profile(sender)
        heading, rows = split_table(known.outcomes)
        at = 1 if column is None else [term(label, Demand) for label in heading[1:]].index(column) + 1
        settled = [[cell.split("?")[0] for cell in row] for row in rows]
        marked = [[cell + " ?" * (i == at) for i, cell in enumerate(row)] for row in settled]
        only = replace(known, outcomes=format_table(heading, marked))
        found = [open_marks(only, known.tables(), seen, Demand.HOLD_UNLISTED, aged=False) for seen in Seen]
        assert found == [() if seen < Seen.UNREACHABLE else None for seen in Seen]


def test_a_cell_keeps_the_marks_of_young_and_aged_messages_apart() -> None:
    postfix = profile("postfix")
    aged: dict[tuple[Seen, Demand], Outcome | str] = {
        (Seen.HANDSHAKE_FAILED, Demand.OPPORTUNISTIC): "reconnect in clear ?"
    }
    open_aged = replace(postfix, aged=aged)
    found = cell(open_aged, open_aged.tables(), Seen.HANDSHAKE_FAILED, Level.MAY)
    assert found == Cell(Outcome.NEXT_HOST, Outcome.RECONNECT_CLEAR, None, ())


def test_words_tell_young_from_aged_and_settled_from_not() -> None:
    assert Cell(Outcome.NEXT_HOST, Outcome.NEXT_HOST, ("a",), ("a",)).word() == "next host ?"
    aged = Cell(Outcome.NEXT_HOST, Outcome.RECONNECT_CLEAR, None, ())
    assert aged.word() == "next host > clear, 2nd try ?"
    assert Cell(Outcome.NEXT_HOST, Outcome.RECONNECT_CLEAR, (), None).word() == "next host ? > clear, 2nd try"
    assert aged_words(profile("esa")) == ""
    assert aged_words(profile("postfix")).startswith("A message counts as aged when it is 300 s old or more")
    both = replace(profile("postfix"), aged_after_tls_failure=True)
    assert aged_words(both).endswith("ready for a try or once a TLS failure has put it off.")
