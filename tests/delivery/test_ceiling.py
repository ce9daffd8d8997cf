"""The system-wide ceiling of connections, in stories computed by hand: who waits for a place, and whose turn it is.

A connection to a busy peer lasts 10 s and 7 us (3 to open, 4 and the acceptance for its one message), then closes.
"""

from __future__ import annotations

from typing import Any

from tests.delivery.stories import QUICK, SILENT, Mail, Told, mx, peer, seconds, story, tell

A, B, C = "a.example", "b.example", "c.example"
ONE_EACH: dict[str, Any] = {"max_messages_per_connection": 1}


def busy(name: str, accept_s: float = 10.0) -> dict[str, Any]:
    return peer(name, mx(f"mx.{name}", **QUICK | {"accept_median_s": accept_s}))


def told(ceiling: int, mail: dict[str, Mail], *specs: dict[str, Any], **scenario: Any) -> Told:
    """Run mail to busy peers, or to those given, under a ceiling of connections."""
    given = {"entry": ONE_EACH, "delivery": {"max_connections": ceiling}} | scenario
    return tell(story(specs or [busy(name) for name in mail], mail, **given))


def test_the_line_goes_round() -> None:
    """One place: a, b and c line up; a has its turn, joins behind c, and so on. Order of arrival is not the order."""
    lined = told(1, {A: [0, 0, 0], B: [1], C: [2, 2]})
    # At 10 a opens, and what is left of its mail stands behind c: b, c, a. At 30 c joins behind a: a, c.
    assert lined.connection("opened_s", A) == seconds([0, 10.000_007, 40.000_028])
    assert lined.connection("opened_s", B) == seconds([20.000_014])
    assert lined.connection("opened_s", C) == seconds([30.000_021, 50.000_035])
    assert lined.message("done_s", C) == seconds([40.000_028, 60.000_042])
    assert lined.message("deferred") == [False] * 6
    assert (lined.result.meta["peak_connections"], lined.result.meta["ceiling_reached"]) == (1, True)


def test_the_first_in_line_takes_all_the_places_its_mail_asks_for() -> None:
    """Two places that come free together: both go to a, which stands before b, and then has nothing to line up for."""
    lined = told(2, {A: [0, 0, 0, 0], B: [1], C: [2, 2]})
    assert lined.connection("opened_s", A) == seconds([0, 0, 10.000_007, 10.000_007])
    # At 20 b and c take a place each; c stands in line for the next, which both give back at once.
    assert lined.connection("opened_s", B) == seconds([20.000_014])
    assert lined.connection("opened_s", C) == seconds([20.000_014, 30.000_021])


def test_who_comes_at_the_instant_a_place_comes_free_stands_behind_the_line() -> None:
    """a and c are dispatched at 10.000007, as b is; b stood in line, though it comes after a by number."""
    lined = told(1, {A: [0, 10.000_007], B: [1], C: [10.000_007]})
    assert lined.connection("opened_s", B) == seconds([10.000_007])
    assert lined.connection("opened_s", A) == seconds([0, 20.000_014])
    assert lined.connection("opened_s", C) == seconds([30.000_021])


def test_an_idle_connection_keeps_its_place() -> None:
    """It idles for 5 s behind its message, whoever waits."""
    lined = told(1, {A: [0], B: [1]}, peer(A), peer(B), entry={})
    assert lined.connection("closed_s", A) == seconds([5.000_007])
    assert lined.connection("opened_s", B) == seconds([5.000_007])


def test_mail_that_waits_for_the_ceiling_expires_at_its_lifetime() -> None:
    """As mail that waits for a limit does; the transfer in progress finishes."""
    lined = told(1, {A: [0], B: [1]}, busy(A, 200.0), busy(B), profile={"max_queue_time_s": 100})
    assert lined.message("done_s") == seconds([200.000_007, 101])
    assert lined.message("bounce") == ["none", "expired: time in queue"]
    assert lined.connection("opened_s", B) == []


def test_a_probe_waits_for_a_place_too() -> None:
    """b is silent: down at 30, its timer due at 60, when a has the only place, until 69.000007."""
    silent = peer(B, mx("mx.b", **QUICK | SILENT))
    lined = told(1, {A: [59], B: [0]}, busy(A), silent, until_s=100.0, days=0.001)
    assert lined.connection("opened_s", B) == seconds([0, 69.000_007])
    assert lined.connection("closed_s", B) == seconds([30, 99.000_007])


def test_a_ceiling_that_is_not_reached_is_told_as_such() -> None:
    alone = told(6, {A: [0, 0, 0], B: [1], C: [2, 2]})
    assert alone.connection("opened_s") == seconds([0, 0, 0, 1, 2, 2])
    assert (alone.result.meta["peak_connections"], alone.result.meta["ceiling_reached"]) == (6, False)
    summary = alone.result.summary().set_index("quantity")["value"]
    assert (summary["peak_connections"], summary["ceiling_reached"]) == (6, False)
