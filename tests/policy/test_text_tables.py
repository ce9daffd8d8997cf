"""Tables are read as they are printed, and a slip in one is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import PolicyError
from sim.policy.profiles import profile
from sim.policy.profiles.esa import tables
from sim.policy.text_tables import (
    demands_text,
    evidence_text,
    format_table,
    grid_text,
    read_columns,
    read_demands,
    read_evidence,
    read_table,
)
from sim.terms import Chain, Demand, NameRule, Outcome, Seen, Setting, Stage, TlsVersion


@given(st.integers(0, 2**32 - 1))
def test_a_printed_table_is_read_back(seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, len(Outcome), (len(Seen), len(Demand)), dtype=np.uint8)
    text = grid_text("seen", codes, rows=Seen, columns=list(Demand), cells=Outcome)
    assert (read_table(text, rows=Seen, columns=Demand, cells=Outcome).codes == codes).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, len(Seen)))
def test_a_printed_table_of_evidence_is_read_back(seed: int, classes: int) -> None:
    shape = (len(Stage), 2, len(Chain), 2)
    seen = np.random.default_rng(seed).integers(0, classes, shape, dtype=np.uint8)
    assert (read_evidence(evidence_text(seen)) == seen).all()
    assert (read_evidence(evidence_text(tables().seen)) == tables().seen).all()


TEXT = """
    rule   | none        | verify        | hosted
    SSLv3  | clear       | encrypted ?   | verified
    TLSv1.0| clear       | Encrypted ?pv | verified
    TLSv1.1| clear       | encrypted     | verified
    TLSv1.2| retry later | encrypted     | verified
    TLSv1.3| clear       | encrypted     | verified ?pv
"""


def test_marks_say_which_cells_no_source_settles() -> None:
    grid = read_table(TEXT, rows=TlsVersion, columns=NameRule, cells=Outcome)
    assert grid.codes[3, grid.columns].tolist() == [Outcome.RETRY, Outcome.DELIVER_ENCRYPTED, Outcome.DELIVER_VERIFIED]
    assert np.argwhere(grid.marks["pv"]).tolist() == [[1, 1], [4, 2]]
    assert np.argwhere(grid.marks[""]).tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("retry later", "retry latr", "table cell (Outcome) = 'retry latr'; .*Did you mean 'retry later'?"),
        ("TLSv1.2", "TLSv1.3", "table order (TlsVersion) = 'SSLv3, TLSv1.0, TLSv1.1, TLSv1.3, TLSv1.3'"),
        ("verify        | hosted", "hosted | hosted", "table heading (NameRule) = 'none | hosted | hosted'"),
        ("| verified\n    TLSv1.0", "\n    TLSv1.0", "table row = 'SSLv3 | clear | encrypted ?'; allowed: 4 cells"),
    ],
)  # fmt: skip
def test_a_slip_is_told(old: str, new: str, told: str) -> None:
    with pytest.raises(PolicyError) as fault:
        read_table(TEXT.replace(old, new), rows=TlsVersion, columns=NameRule, cells=Outcome)
    begin, _, end = told.partition(".*")
    assert str(fault.value).startswith(begin)
    assert str(fault.value).endswith(end)


def test_other_slips_are_told() -> None:
    with pytest.raises(PolicyError, match=r"^a table has no heading$"):
        read_table(" \n", rows=Seen, columns=Demand, cells=Outcome)
    with pytest.raises(PolicyError, match="table heading"):
        read_columns("a | b | c\n", rows=Setting, columns=(Demand,))
    printed = evidence_text(tables().seen)
    with pytest.raises(PolicyError, match=r"= 'null-mx, below the minimum, trusted, does not hold: 0'; allowed: 1"):
        read_evidence("\n".join(line for line in printed.splitlines() if not line.startswith("null-mx")))
    with pytest.raises(PolicyError, match=r"rows for the evidence = 'null-mx, .*: 2'; allowed: 1"):
        read_evidence(printed + "null-mx | any | any | any | verified\n")
    with pytest.raises(PolicyError, match=r"table cell = 'nul-mx'.*Did you mean 'null-mx'"):
        read_evidence(printed.replace("null-mx", "nul-mx"))


def test_a_case_that_no_row_of_demands_meets_is_named() -> None:
    text = """
        setting | DANE option | DANE | MTA-STS | MX listed | demand | name rule
        no      | any         | any  | any     | any       | clear  | none
        any     | none        | any  | any     | no        | clear  | none
    """
    with pytest.raises(PolicyError, match=r"^rows for = 'Preferred, none, none, none, yes'; allowed: 1 or more$"):
        read_demands(text, Setting)


def test_columns_are_codes_in_one_byte_each() -> None:
    text = "setting | demand\n" + "".join(f"{s.label} | clear\n" for s in Setting)
    (read,) = read_columns(text, rows=Setting, columns=(Demand,))
    assert read.dtype == np.uint8
    assert read.tolist() == [Demand.CLEAR] * len(Setting)


def test_a_table_ends_no_line_in_blanks() -> None:
    assert format_table(["a", "long heading"], [["x", "y"]], indent="  ") == "  a | long heading\n  x | y\n"


def test_tables_print_each_under_its_title_and_ages_apart_where_they_differ() -> None:
    titles = ["1. What a setting demands", "2. What is seen of a connection", "3. What it comes to"]
    titles.append("4. The reason given when mail does not flow")
    text = tables().text()
    assert [line for line in text.splitlines() if line[:1].isdigit()] == titles
    assert all(f"{title}\n\n" in text for title in titles)
    aged = profile("postfix").tables().text()
    wanted = [*titles[:2], f"{titles[2]} (young)", f"{titles[2]} (aged)", titles[3]]
    assert [line for line in aged.splitlines() if line[:1].isdigit()] == wanted
    young, old = (aged.split(f"({age})\n\n")[1].split("\n\n")[0] for age in ("young", "aged"))
    assert young.startswith("seen  ")
    assert "reconnect in clear" in old
    assert "reconnect in clear" not in young
    assert text.split(f"{titles[3]}\n\n")[1].startswith("seen  ")


def test_cells_given_as_unsettled_end_in_a_mark() -> None:
    marked = tables().text([(Seen.VERIFIED, Demand.CLEAR)]).splitlines()
    plain = tables().text().splitlines()
    (changed,) = [(a, b) for a, b in zip(plain, marked, strict=True) if a.replace(" ", "") != b.replace(" ", "")]
    assert [part.split(" | ")[1].strip() for part in changed] == ["clear", "clear ?"]


def test_the_table_of_demands_joins_what_agrees() -> None:
    printed = demands_text(tables().demand, tables().rule, Setting).splitlines()
    cells = [[cell.strip() for cell in line.split("|")] for line in printed]
    assert cells[0] == ["setting", "DANE option", "DANE", "MTA-STS", "MX listed", "demand", "name rule"]
    assert cells[1] == ["No", "any", "any", "any", "any", "clear", "none"]
    assert ["Preferred", "opportunistic", "usable", "any", "any", "dane", "tlsa"] in cells


def test_the_table_of_evidence_joins_what_agrees() -> None:
    rows = [[cell.strip() for cell in line.split("|")] for line in evidence_text(tables().seen).splitlines()[1:]]
    by_stage = {stage.label: [row[1:] for row in rows if row[0] == stage.label] for stage in Stage}
    assert {stage: len(found) for stage, found in by_stage.items() if len(found) > 1} == {"lost-in-tls": 2, "tls": 5}
    assert by_stage["null-mx"] == [["any", "any", "any", "DNS permanent"]]
    assert by_stage["tls"][0] == ["below the minimum", "any", "any", "handshake failed"]
    assert [row[1] for row in by_stage["tls"][3:]] == ["self-signed, unknown-issuer, not-yet-valid, revoked", "expired"]
