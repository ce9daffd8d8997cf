"""The normal form says the same, keeps every line, and is its own normal form."""

from __future__ import annotations

import pytest

from sim.data import example
from sim.formats.destination_controls import Policy
from sim.formats.destination_keys import NOTE
from sim.formats.destination_normal import normalised_text

CASES = [
    ("[default]\nTABLE_TLS=1\n", "[DEFAULT]\ntable_tls = on\n"),
    ("[DEFAULT]\r\n  table_tls =on ; why\r\n", "[DEFAULT]\ntable_tls = on ; why\n"),
    ("# c\n[DEFAULT]\n[ Bank.Example. ] # b\ntable-tls = x\n", "# c\n[DEFAULT]\n[bank.example] # b\ntable-tls = x\n"),
    ("[DEFAULT]\n[192.0.2.7]\nx_y =  1  \n\njunk\n", "[DEFAULT]\n[[192.0.2.7]]\nx_y = 1\n\njunk\n"),
    ("[DEFAULT]\n[[192.0.2.7]];c\ndane = none", "[DEFAULT]\n[[192.0.2.7]] ;c\ndane_option = none"),
    ("[Default.]\n[.a]\ntable_tls = 5\n", f"{NOTE}\n[DEFAULT]\n[.a]\ntable_tls = require_verify_hosted\n"),
    ("\ufeff[DEFAULT]\ntable_tls=5", f"\ufeff{NOTE}\n[DEFAULT]\ntable_tls = require_verify_hosted"),
    ("[DEFAULT]\nrecipient_minutes = 007\ncertificate=x\n", "[DEFAULT]\nrecipient_minutes = 7\ncertificate = x\n"),
]


@pytest.mark.parametrize(("text", "normal"), CASES, ids=[str(i) for i in range(len(CASES))])
def test_normal_form(text: str, normal: str) -> None:
    policy = Policy.parse(text)
    assert normalised_text(policy) == normal
    assert Policy.parse(normal).hash == policy.hash
    assert normalised_text(Policy.parse(normal)) == normal


def test_the_shipped_example_changes_only_in_spelling() -> None:
    path, profiles = example("destinations.ini"), example("bounce_profiles.toml")
    policy = Policy.read(path, profiles=profiles)
    normal = normalised_text(policy)
    assert Policy.parse(normal, profiles=profiles) == policy
    note, *lines = normal.splitlines()
    assert note == NOTE
    changed = [a for a, b in zip(path.read_text().splitlines(), lines, strict=True) if a != b]
    assert "TABLE_TLS=REQUIRE_VERIFY" in changed
    assert all("=" in line for line in changed)
