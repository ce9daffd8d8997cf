"""What senders do before TLS can come up, whatever they demand: a page of words."""

from __future__ import annotations

import pytest

from sim.policy.decide import NOT_USED
from sim.policy.profiles import profile
from sim.policy.text_tables import split_table, term
from sim.terms import Outcome, Seen

PAGE = """
    sender     | DNS temporary | DNS permanent | unreachable | greeting 4xx | greeting 5xx
    sendmail   | retry later   | bounce all    | next host   | next host    | next host
    haraka     | retry later   | bounce all    | next host   | retry later  | bounce now
    stalwart   | retry later   | bounce all    | next host   | next host    | bounce message
    halon      | retry later   | bounce all    | next host   | next host    | next host
    momentum   | retry later   | bounce all    | next host   | next host    | next host
    powermta   | retry later   | bounce all    | next host   | retry later  | bounce now
    fortimail  | retry later   | bounce all    | next host   | next host    | next host
    proofpoint | retry later   | bounce all    | next host   | next host    | next host
    mimecast   | retry later   | bounce all    | next host   | next host    | next host
"""
HEADING, ROWS = split_table(PAGE)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_every_demand_at_any_age_says_what_the_page_says(row: list[str]) -> None:
    tables = profile(row[0]).tables()
    asked = [demand for demand in tables.demands if demand not in NOT_USED]
    for seen, said in zip(HEADING[1:], row[1:], strict=True):
        found = {Outcome(int(code)).label for code in tables.outcome[asked, term(seen, Seen)].flat}
        assert found == {said}
