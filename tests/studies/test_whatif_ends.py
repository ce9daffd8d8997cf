"""The what-if at both ends of the figure that nobody has measured: whether the CN is the PTR name."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sim.scenario import Scenario
from sim.studies.modes import with_cn_ptr
from sim.studies.whatif import whatif
from sim.studies.whatif_ends import other_end
from sim.studies.whatif_result import WhatIfResult
from sim.world.population import Population
from sim.world.workload import Workload
from tests.studies.test_whatif import GOOD, preset


@cache
def verifying(cn_is_ptr: bool | None = None) -> WhatIfResult:
    return whatif(preset(), set={"*": "required_verify"}, cn_is_ptr=cn_is_ptr, replications=2, jobs=1)


def test_what_rests_on_the_ptr_name_has_both_ends() -> None:
    drawn = verifying()
    other, alone = drawn.other_end, verifying(cn_is_ptr=True)
    assert other is not None
    assert (drawn.meta["cn_is_ptr"], other.meta["cn_is_ptr"], alone.other_end) == (None, True, None)
    assert other.meta["world_hashes"] == alone.meta["world_hashes"]
    pd.testing.assert_frame_equal(other.kinds(), alone.kinds())
    bounced = [r.kinds().set_index("kind")["messages"]["newly_bounced"] for r in (drawn, other)]
    assert bounced[0] > bounced[1]
    told = drawn.other_sentence()
    assert told is not None
    assert told.startswith("If every certificate that names its MX host carried the PTR name as its CN: requiring ver")


def test_the_other_end_of_a_population_at_the_upper_end_is_the_lower_one() -> None:
    people = preset().population
    upper = with_cn_ptr(people)
    at_upper = replace(upper, drawn_by=people.drawn_by)
    assert [other_end(p) for p in (people, upper, at_upper)] == [True, None, False]


def test_the_other_end_is_told_in_meta(tmp_path: Path) -> None:
    verifying().write(tmp_path)
    told = json.loads((tmp_path / "meta.json").read_text())["other_end"]
    assert told["cn_is_ptr"] is True
    assert "newly_bounced" in [row["kind"] for row in told["kinds"]]


def test_the_other_end_is_told_under_the_chart() -> None:
    texts = " ".join(text.get_text() for text in verifying().figure().texts)
    assert "carried the PTR name as its CN: requiring verified TLS" in " ".join(texts.split())


@pytest.mark.parametrize(
    ("scenario", "change"),
    [
        (preset(), {"set": {"*": "required"}}),
        (preset(), {"set": {"*": "required_verify_hosted"}}),
        # The setting by the PTR rule is of mail that the change does not concern.
        (
            replace(preset(), policy=preset().policy.with_tls({"google-mail.example": "required_verify"})),
            {"set": {"yahoo-mail.example": "required"}},
        ),
        (Scenario(population=Population.custom([GOOD]), workload=Workload.flat(50)), {"set": {"*": "required_verify"}}),
    ],
)
def test_what_does_not_rest_on_the_ptr_name_has_no_other_end(scenario: Scenario, change: dict[str, Any]) -> None:
    assert whatif(scenario, **change, replications=1, jobs=1).other_end is None


def test_another_minimum_concerns_all_mail_that_is_verified_by_the_ptr_rule() -> None:
    scenario = replace(preset(), policy=preset().policy.with_tls({"google-mail.example": "required_verify"}))
    assert whatif(scenario, minimum_tls="1.3", replications=1, jobs=1).other_end is not None
