"""A sender's tables in words: the matrix a reader sees, and which of its cells no source settles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from sim.policy.decide import NOT_USED, Tables
from sim.policy.profile import Profile, Value
from sim.policy.text_tables import split_table, term
from sim.terms import Demand, Outcome, Seen, Term

#: The word of a cell where an outcome's own label is too long for one.
SHORT = {Outcome.RECONNECT_CLEAR: "clear, 2nd try"}


@dataclass(frozen=True, slots=True)
class Cell:
    """What a setting does with what one connection shows, to a receiver that publishes nothing.

    Attributes
    ----------
    young, aged : of a message that is young, and one that is aged; equal where age does not matter.
    young_open, aged_open : the switches that change each, none where the choice has none; None where it is settled.
    """

    young: Outcome
    aged: Outcome
    young_open: tuple[str, ...] | None
    aged_open: tuple[str, ...] | None

    def word(self) -> str:
        """Spell it: ``clear``, ``next host ?``, ``next host > clear, 2nd try`` where an aged message differs."""
        told = SHORT.get(self.young, self.young.label) + (" ?" if self.young_open is not None else "")
        if self.aged == self.young:
            return told
        return f"{told} > {SHORT.get(self.aged, self.aged.label)}{' ?' if self.aged_open is not None else ''}"


def open_marks(sender: Profile, tables: Tables, seen: Seen, demand: Demand, *, aged: bool) -> tuple[str, ...] | None:
    """Return the switches that change a cell no source settles, none where the choice has none; None where one does.

    Parameters
    ----------
    sender, tables : whose cell, and its tables with switches applied.
    seen, demand, aged : which cell.
    """
    cells, columns = _open_cells(sender)
    if demand in NOT_USED:
        if seen >= Seen.UNREACHABLE:
            return None
        # Before the connection such a demand goes by another column (`Profile.tables`).
        demand = Demand.CLEAR if Demand.CLEAR in columns else columns[0]
    young, old = tables.outcome[demand, seen]
    if not aged or young == old or (seen, demand) not in sender.aged:
        return cells.get((seen, demand))
    then = sender.aged[seen, demand]
    return sender.open_switches(then) if isinstance(then, str) else None


@cache
def _open_cells(sender: Profile) -> tuple[dict[tuple[Seen, Demand], tuple[str, ...]], list[Demand]]:
    """Return the cells no source settles with their switches, and the columns of the outcome table."""
    cells = {(seen, demand): names for seen, demand, names in sender.unsettled()}
    return cells, [term(label, Demand) for label in split_table(sender.outcomes)[0][1:]]


def cell(sender: Profile, tables: Tables, seen: Seen, setting: Term) -> Cell:
    """Return one cell of the matrix."""
    demand = tables.plain(setting)[0]
    young, aged = (Outcome(int(code)) for code in tables.outcome[demand, seen])
    marks = [open_marks(sender, tables, seen, demand, aged=old) for old in (False, True)]
    return Cell(young, aged, *marks)


def matrix(
    sender: Profile, switches: Mapping[str, Value] | None = None
) -> tuple[list[list[str]], list[str], list[str]]:
    """Return the decision matrix in words: what each setting does with what one connection to one MX host shows.

    Returns
    -------
    words, rows, columns
        Words of the cells (`Cell.word`), one list a class of evidence, the names of these classes, and those of the
        settings. Receivers publish neither DANE nor an MTA-STS policy.
    """
    tables = sender.tables(switches)
    words = [[cell(sender, tables, seen, setting).word() for setting in sender.settings] for seen in Seen]
    return words, [seen.label for seen in Seen], [setting.label for setting in sender.settings]


def aged_words(sender: Profile) -> str:
    """Say when a message counts as aged; empty where the sender has no such rule."""
    rules = []
    if sender.aged_after_s is not None:
        rules.append(f"when it is {sender.aged_after_s:,.0f} s old or more as it becomes ready for a try")
    if sender.aged_after_tls_failure:
        rules.append("once a TLS failure has put it off")
    return f"A message counts as aged {' or '.join(rules)}." if rules else ""
