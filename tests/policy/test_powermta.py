"""PowerMTA's tables against its reference page, cell by cell."""

from __future__ import annotations

import pytest

from sim.policy.profiles.powermta import PROFILE, Starttls
from sim.terms import Demand, Outcome, Seen
from tests.policy.pages import check_page, words_of

PAGE = """
    directive        | NO    | REF4  | REF5  | LOST  | HS    | HANGS | LOST IN TLS | 5XX GREETING
    no               | clear | clear | clear | clear | clear | clear | clear       | bounce
    use-starttls     | clear | clear | clear | defer | READ  | READ  | defer       | bounce
    require-starttls | defer | defer | defer | defer | defer | defer | defer       | bounce
"""
CERTIFICATES = """
    directive        | BAD CHAIN | BAD CHAIN, RULE HOLDS | BAD NAME | OK
    no               | clear     | clear                 | clear    | clear
    use-starttls     | unv       | unv                   | unv      | unv
    require-starttls | unv       | unv                   | unv      | unv
"""


@pytest.mark.parametrize("value", ["defer", "clear"])
def test_every_cell_says_what_the_page_says(value: str) -> None:
    check_page(PROFILE, PAGE.replace("READ ", value), switches={"handshake_failure": value})


def test_certificates_and_defaults() -> None:
    check_page(PROFILE, CERTIFICATES)
    check_page(PROFILE, PAGE.replace("READ ", "defer"))


def test_a_4xx_greeting_waits_and_goes_to_the_next_mx_where_421_means_unavailable() -> None:
    outcome = PROFILE.tables().outcome[:, Seen.GREETING_4XX, 0]
    other = PROFILE.tables({"smtp_421_means_mx_unavailable": True}).outcome[:, Seen.GREETING_4XX, 0]
    for demand in (Demand.CLEAR, Demand.OPPORTUNISTIC, Demand.ENCRYPT):
        assert (outcome[demand], other[demand]) == (Outcome.RETRY, Outcome.NEXT_HOST)


def test_a_5xx_greeting_need_not_bounce() -> None:
    kept = {"bounce_upon_5xx_greeting": False}
    assert [words_of(PROFILE, s, "5XX GREETING", switches=kept) for s in Starttls] == ["defer"] * 3


def test_every_row_of_tls_is_unconfirmed() -> None:
    found = {(seen, demand) for seen, demand, _ in PROFILE.unsettled()}
    tls = [seen for seen in Seen if seen >= Seen.NOT_OFFERED]
    assert found == {(seen, demand) for seen in tls for demand in (Demand.OPPORTUNISTIC, Demand.ENCRYPT)}


def test_one_interval_until_four_and_a_half_days_and_the_whole_queue_waits() -> None:
    assert PROFILE.queueing is not None
    times = PROFILE.queueing.attempt_times_s()
    assert times[:4] == (0, 600, 1_200, 1_800)
    assert times[-1] == 4.5 * 86_400
    assert PROFILE.queueing.dead_s == 600
