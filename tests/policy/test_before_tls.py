"""What senders do before TLS can come up, whatever they demand: a page of words."""

from __future__ import annotations

import pytest

from sim.policy.decide import NOT_USED
from sim.policy.profiles import SENDERS, profile
from sim.policy.text_tables import split_table, term
from sim.terms import Demand, Outcome, Seen
from tests.policy.test_profiles import every_state

PAGE = """
    sender           | DNS temporary | DNS permanent | unreachable | greeting 4xx | greeting 5xx
    esa              | retry later   | bounce all    | next host   | next host    | next host
    postfix          | retry later   | bounce all    | next host   | next host    | next host
    exim             | retry later   | bounce all    | next host   | next host    | bounce now
    opensmtpd        | retry later   | bounce all    | next host   | next host    | next host
    exchange_server  | retry later   | bounce all    | next host   | next host    | next host
    exchange_online  | retry later   | bounce all    | next host   | next host    | next host
    google_workspace | retry later   | bounce all    | next host   | next host    | next host
    kumomta          | retry later   | bounce all    | next host   | next host    | next host
    sendmail         | retry later   | bounce all    | next host   | next host    | next host
    haraka           | retry later   | bounce all    | next host   | retry later  | bounce now
    stalwart         | retry later   | bounce all    | next host   | next host    | bounce message
    halon            | retry later   | bounce all    | next host   | next host    | next host
    momentum         | retry later   | bounce all    | next host   | next host    | next host
    powermta         | retry later   | bounce all    | next host   | retry later  | bounce now
    fortimail        | retry later   | bounce all    | next host   | next host    | next host
    proofpoint       | retry later   | bounce all    | next host   | next host    | next host
    mimecast         | retry later   | bounce all    | next host   | next host    | next host
"""
HEADING, ROWS = split_table(PAGE)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_every_demand_at_any_age_says_what_the_page_says(row: list[str]) -> None:
    sender = profile(row[0])
    looked_at = set(NOT_USED)
    for _, tables in every_state(sender):  # the state of the shipped switches comes first
        asked = [demand for demand in tables.demands if demand not in looked_at]
        for seen, said in zip(HEADING[1:], row[1:], strict=True):
            found = {Outcome(int(code)).label for code in tables.outcome[asked, term(seen, Seen)].flat}
            assert found <= {said}
        looked_at |= set(asked)
    assert {term(column, Demand) for column in split_table(sender.outcomes)[0][1:]} <= looked_at


@pytest.mark.parametrize("sender", SENDERS)
def test_before_the_connection_a_host_that_may_not_be_used_comes_to_what_any_other_does(sender: str) -> None:
    built = profile(sender).tables()
    used = [demand for demand in built.demands if demand not in NOT_USED]
    for demand in NOT_USED:
        assert (built.outcome[demand, : Seen.UNREACHABLE] == built.outcome[used[0], : Seen.UNREACHABLE]).all()
