"""The global switch of the alert on failed required TLS, as the file says it."""

from __future__ import annotations

import pytest

from sim.data import example
from sim.formats.destination_controls import Policy


@pytest.mark.parametrize(
    ("text", "on"),
    [
        ("[DEFAULT]\nsend_tls_req_alert = 1\n", True),
        ("[default]\nSEND_TLS_REQ_ALERT=0\n", False),
        ("[DEFAULT]\ntable_tls = on\n", None),
        # The switch is global: an entry cannot turn it on.
        ("[DEFAULT]\ntable_tls = on\n[a.example]\nsend_tls_req_alert = 1\n", None),
    ],
)
def test_the_alert_is_what_default_says(text: str, on: bool | None) -> None:
    assert Policy.parse(text).tls_alert is on


def test_an_edited_table_still_knows_its_alert() -> None:
    policy = Policy.read(example("destinations.ini"))
    assert policy.tls_alert is True
    assert policy.with_tls({"*": "required"}).tls_alert is True
