"""The reason given when mail does not flow, in the words of RFC 8460 section 4.3 where it has one: a page."""

from __future__ import annotations

import pytest

from sim.policy.profiles import SENDERS, profile
from sim.policy.text_tables import split_table, term
from sim.terms import Demand, Outcome, Reason, Seen
from tests.policy.test_profiles import every_state

#: By what is seen: under any demand; under the demands of records and of policies where those say more.
PAGE = """
    seen             | any demand                | dane                      | mta-sts
    DNS temporary    | dns-temporary             | dns-temporary             | dns-temporary
    DNS permanent    | dns-permanent             | dns-permanent             | dns-permanent
    unreachable      | unreachable               | unreachable               | unreachable
    greeting 4xx     | unexpected-greeting       | unexpected-greeting       | unexpected-greeting
    greeting 5xx     | unexpected-greeting       | unexpected-greeting       | unexpected-greeting
    not offered      | starttls-not-supported    | starttls-not-supported    | starttls-not-supported
    refused 4xx      | starttls-not-supported    | starttls-not-supported    | starttls-not-supported
    refused 5xx      | starttls-not-supported    | starttls-not-supported    | starttls-not-supported
    lost before 220  | session-lost              | session-lost              | session-lost
    handshake failed | validation-failure        | validation-failure        | validation-failure
    handshake hangs  | validation-failure        | validation-failure        | validation-failure
    lost in TLS      | session-lost              | session-lost              | session-lost
    untrusted        | certificate-not-trusted   | certificate-not-trusted   | sts-webpki-invalid
    expired          | certificate-expired       | certificate-expired       | certificate-expired
    name mismatch    | certificate-host-mismatch | tlsa-invalid              | certificate-host-mismatch
    verified         | validation-failure        | validation-failure        | validation-failure
"""
#: Of MX hosts that may not be used at all, whatever a connection would have shown.
HELD = {
    Demand.HOLD_BOGUS: Reason.DNSSEC_INVALID,
    Demand.HOLD_NO_DANE: Reason.DANE_REQUIRED,
    Demand.BOUNCE_NO_DANE: Reason.DANE_REQUIRED,
    Demand.HOLD_UNLISTED: Reason.VALIDATION_FAILURE,
}
ROWS = {term(row[0], Seen): [term(word, Reason) for word in row[1:]] for row in split_table(PAGE)[1]}
COLUMNS = {Demand.DANE: 1, Demand.MTA_STS: 2}


@pytest.mark.parametrize("sender", SENDERS)
def test_the_reason_is_that_of_the_page_wherever_mail_does_not_flow(sender: str) -> None:
    for switches, tables in every_state(profile(sender)):
        for demand in tables.demands:
            for seen in Seen:
                if (tables.outcome[demand, seen] <= Outcome.DELIVER_VERIFIED).all():
                    continue
                said = ROWS[seen][COLUMNS.get(demand, 0)]
                if demand in HELD and seen >= Seen.UNREACHABLE:
                    said = HELD[demand]
                assert Reason(int(tables.reason[demand, seen])) is said, (switches, demand, seen)
