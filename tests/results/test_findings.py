"""What charts say, computed from frames."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sim.results import findings
from sim.terms import Fate

Shares = tuple[float, float, float, float, float]
NO: Shares = (0.98, 0, 0, 0.02, 0)
PREFERRED: Shares = (0.032, 0.949, 0, 0.019, 0)
REQUIRED: Shares = (0, 0.96, 0, 0.04, 0)


def frame(*bars: tuple[str, str, Shares]) -> pd.DataFrame:
    rows = [(s, r, fate.label, shares[fate]) for s, r, shares in bars for fate in Fate]
    return pd.DataFrame(rows, columns=["setting", "reading", "fate", "share"])


def test_what_required_bounces_stands_beside_what_bounces_without_tls() -> None:
    told = findings.fates(frame(("No", "", NO), ("Preferred", "", PREFERRED), ("Required", "", REQUIRED)))
    assert told == (
        "Required keeps all mail out of the clear and bounces 4.0 %, against 2.0 % under No;"
        " Preferred leaves 3.2 % in clear"
    )


@pytest.mark.parametrize(
    ("no", "required", "said"),
    [
        ([0.02], [0.02], "bounces 2.0 %, as under No"),
        ([0.0201], [0.0202], "bounces 2.0 %, as under No"),
        ([0.03], [0.02], "bounces 2.0 %, against 3.0 % under No"),
        ([0], [0], "bounces none, as under No"),
        ([0], [0.04], "bounces 4.0 %, against none under No"),
        ([0.02], [0], "bounces none, against 2.0 % under No"),
        ([0.02], [0.01, 0.04], "bounces 1.0 to 4.0 %, against 2.0 % under No"),
        ([0.01, 0.02], [0.04], "bounces 4.0 %, against 1.0 to 2.0 % under No"),
        ([0, 0.02], [0, 0.02], "bounces 0 to 2.0 %, as under No"),
    ],
)
@pytest.mark.parametrize("preferred", [True, False])
def test_the_comparison_with_no_holds_in_every_case(
    no: list[float], required: list[float], said: str, preferred: bool
) -> None:
    bars: list[tuple[str, str, Shares]] = [("No", f"{b}", (1 - b, 0, 0, b, 0)) for b in no]
    bars += [("Preferred", "", PREFERRED)] if preferred else []
    bars += [("Required", f"{b}", (0, 1 - b, 0, b, 0)) for b in required]
    told = findings.fates(frame(*bars))
    assert told.startswith(f"Required keeps all mail out of the clear and {said}; ")
    if preferred:
        assert told.endswith("; Preferred leaves 3.2 % in clear")
    else:
        assert told.split("; ")[1].startswith("No leaves ")


def test_readings_of_a_setting_become_a_range() -> None:
    other: Shares = (0.032, 0.9, 0, 0.068, 0)
    told = findings.fates(frame(("Preferred", "a", PREFERRED), ("Preferred", "b", other), ("Required", "", REQUIRED)))
    assert told.endswith("Preferred leaves 3.2 % in clear and bounces 1.9 to 6.8 %")
    assert "Required keeps all mail out of the clear and bounces 4.0 %" in told


def test_without_a_row_of_no_both_settings_say_what_they_bounce() -> None:
    told = findings.fates(frame(("Preferred", "", PREFERRED), ("Required", "", (0, 1, 0, 0, 0))))
    assert told == (
        "Required keeps all mail out of the clear and bounces none; Preferred leaves 3.2 % in clear and bounces 1.9 %"
    )
    told = findings.fates(frame(("Preferred", "", (0.1, 0.9, 0, 0, 0)), ("Required", "", REQUIRED)))
    assert told.endswith("and bounces 4.0 %; Preferred leaves 10 % in clear and bounces none")


def test_mail_that_is_still_queued_is_told_beside_what_bounces() -> None:
    """A run that ends early has not bounced yet what it cannot deliver."""
    queued: Shares = (0, 0.521, 0, 0, 0.479)
    no: Shares = (0.98, 0, 0, 0, 0.02)
    strict = ("Required", "", queued)
    told = findings.fates(frame(("No", "", no), ("Preferred", "", PREFERRED), strict))
    assert told == (
        "Required keeps all mail out of the clear, bounces none and leaves 48 % still queued, against none and 2.0 % "
        "under No; Preferred leaves 3.2 % in clear"
    )
    told = findings.fates(frame(("No", "", (0.521, 0, 0, 0, 0.479)), ("Preferred", "", PREFERRED), strict))
    assert "leaves 48 % still queued, as under No; " in told
    told = findings.fates(frame(("Preferred", "", PREFERRED), strict))
    assert told.endswith("; Preferred leaves 3.2 % in clear, bounces 1.9 % and leaves none still queued")
    # What bounces nothing since it delivers nothing is no answer.
    told = findings.fates(frame(("No", "", no), ("Required - Verify", "", (0, 0, 0, 0, 1)), ("Required", "", REQUIRED)))
    assert told.startswith("Required keeps all mail out of the clear, bounces 4.0 % and leaves none still queued")


def test_clear_text_under_a_strict_setting_is_never_called_kept() -> None:
    told = findings.fates(frame(("Preferred", "", PREFERRED), ("Required", "", (0.01, 0.95, 0, 0.04, 0))))
    assert "keeps" not in told


def test_the_strict_setting_that_bounces_least_speaks() -> None:
    told = findings.fates(
        frame(("Preferred", "", PREFERRED), ("Required - Verify", "", (0, 0, 0.6, 0.4, 0)), ("Required", "", REQUIRED))
    )
    assert told.startswith("Required keeps")


def test_one_bar_names_its_fates() -> None:
    assert findings.fates(frame(("Required", "", REQUIRED))) == "Required: 96 % encrypted; 4.0 % bounced"
    told = findings.fates(frame(("All mail", "", (0.1, 0.2, 0.6, 0.1, 0)), ("No", "5 % of mail", NO)))
    assert told == "All mail: 10 % in clear; 20 % encrypted, not verified; 60 % encrypted and verified; 10 % bounced"
    assert findings.fates(frame()) == "No mail was injected"


def test_an_unknown_fate_is_refused() -> None:
    with pytest.raises(ValueError, match=r"fate = 'bouncd'.*Did you mean 'bounced'"):
        findings.fate_of("bouncd")
    assert findings.fate_of("in_clear") is findings.fate_of("in clear") is Fate.IN_CLEAR


def queue(*queued: int) -> pd.DataFrame:
    return pd.DataFrame({"time_h": np.arange(1, len(queued) + 1) / 2, "queued_messages": queued})


def test_the_queue_s_peak_and_end() -> None:
    events = [(0.5, "outage begins"), (2.0, "outage ends")]
    assert findings.queue(queue(0, 10, 1200, 3, 0)) == (
        "The queue peaks at 1,200 messages 1.5 h after the start and is empty at 2.5 h"
    )
    assert "1.0 h after “outage begins”" in findings.queue(queue(0, 10, 1200, 3, 0), events)
    assert "at “outage ends”" in findings.queue(queue(0, 10, 12, 30, 0), events)
    assert findings.queue(queue(0, 9, 3)).endswith("is at 3 at the end")
    assert findings.queue(queue(0, 9, 30)) == "The queue grows to 30 messages until the end, 1.5 h after the start"
    assert findings.queue(queue(0, 0)) == "No mail waits at the end of any interval"


def delay(**curves: list[tuple[float, float]]) -> pd.DataFrame:
    rows = [(name, *point) for name, points in curves.items() for point in points]
    return pd.DataFrame(rows, columns=["curve", "time_s", "undelivered_share"])


def test_when_half_and_nearly_all_has_left() -> None:
    fast, slow = [(0, 1), (1.2, 0.4), (600, 0.0)], [(0, 1), (1.2, 0.45), (600, 0.041)]
    assert findings.delay(delay(No=fast)) == "Half of all mail is delivered within 1.2 s, 99 % within 10 min"
    assert findings.delay(delay(No=fast, Required=slow)) == (
        "Under No half of its mail is delivered within 1.2 s, 99 % within 10 min; under Required 4.1 % is undelivered"
        " at the end"
    )
    assert findings.delay(delay(Required=slow)).endswith("within 1.2 s; 4.1 % is undelivered at the end")
    assert findings.delay(delay(No=[(0, 1), (5, 0.6)], Required=[(0, 1)])) == (
        "Under No 60 % of its mail is undelivered at the end; under Required 100 %"
    )
    assert findings.delay(delay(Required=[(0, 1)])) == "100 % of all mail is undelivered at the end"
    assert findings.delay(delay()) == "No mail was delivered"


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0"), (1e-5, "<0.1"), (0.0949, "9.5"), (0.0996, "10"), (0.43, "43"), (0.996, "99.6"), (0.99999, ">99.9"),
     (1, "100"), (0.001, "0.1")],
)  # fmt: skip
def test_percentages_are_short_and_never_wrongly_none_or_all(share: float, text: str) -> None:
    assert findings.percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.35, "350 ms"), (1.24, "1.2 s"), (600, "10 min"), (5400, "1.5 h"), (86_400, "24 h"),
     (259_200, "3 days")],
)  # fmt: skip
def test_durations_in_units_people_think_in(seconds: float, text: str) -> None:
    assert findings.duration(seconds) == text


def test_captions_say_what_varied_and_leave_out_what_is_not_known() -> None:
    told = findings.caption(n=5, seed=1, population="alexa-2015", weighting="message", messages=200_000, domains=5_000)
    assert told == (
        "5 replications, chance and population varied, 95 % intervals; 200,000 messages;"
        " population alexa-2015, whose figures are by message; 5,000 destinations; seed 1."
    )
    assert findings.caption(n=1, until_s=7200) == "One replication, no intervals; censored at 2 h."
    assert findings.caption() == ""
