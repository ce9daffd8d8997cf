"""The shipped examples: read without a fault, rich enough to show every feature, matched by the shipped names."""

from __future__ import annotations

from sim.data import example
from sim.formats.destination_controls import Policy
from sim.policy.destinations import ENTRY_FIELDS
from sim.terms import LimitApply, LimitType, Setting
from sim.world.names import domain_name

POLICY = Policy.read(example("destinations.ini"), profiles=example("bounce_profiles.toml"), strict=True)
FIRST_300 = [domain_name(rank) for rank in range(1, 301)]


def test_they_are_written_back_byte_for_byte() -> None:
    assert POLICY.to_text().encode() == example("destinations.ini").read_bytes()


def test_they_show_every_feature() -> None:
    assert 45 <= len(POLICY.entries) <= 60
    assert {e.tls for e in POLICY.entries} == {None, *Setting}
    assert {e.limit_type for e in POLICY.entries} == {None, *LimitType}
    assert {e.limit_apply for e in POLICY.entries} == {None, *LimitApply}
    assert {e.bounce_profile for e in POLICY.entries} == {None, "Short_Life", "Partner_Patient", "Bulk_Fast"}
    for name in ENTRY_FIELDS:
        assert any(getattr(e, name) is not None for e in POLICY.entries), name
    assert any(e.domain.startswith("[") for e in POLICY.entries)


def test_exact_entries_name_destinations_of_the_populations_but_for_a_few() -> None:
    exact = [e.domain for e in POLICY.entries if not e.domain.startswith((".", "["))]
    assert set(exact) - set(FIRST_300) == {"former-partner.example", "relay.old-company.example"}


def test_suffixes_and_exact_entries_overlap() -> None:
    found = POLICY.match(["agency-37.gov.example", "county-999.gov.example", "gov.example", "soft-64.tech.example"])
    assert [POLICY.resolved(int(i)).tls for i in found] == [
        Setting.REQUIRED_VERIFY_HOSTED,
        Setting.REQUIRED,
        Setting.PREFERRED,
        Setting.PREFERRED,
    ]
    assert found[2] == found[3] == -1


def test_some_entries_match_nobody() -> None:
    met = set(POLICY.match([domain_name(rank) for rank in range(1, 5_001)]).tolist())
    idle = [e.domain for i, e in enumerate(POLICY.entries) if i not in met]
    assert idle == [
        ".capital-228.bank.example",
        ".eu.partners.example",
        "former-partner.example",
        "relay.old-company.example",
        "[192.0.2.7]",
    ]


def test_the_account_shows_what_has_no_effect() -> None:
    account = POLICY.account
    matters = account[account["changes_answer"]]
    assert set(matters["text"]) == {
        "x_owner = mail team",
        "mta_sts = enforce",
        "ip_sort_pref = REQUIRE_V4",
        "limit_apply = VG",
    }
    assert set(account["kind"]) == {"understood", "ignored", "guessed"}


def test_without_the_profiles_each_use_of_one_is_a_guess() -> None:
    alone = Policy.read(example("destinations.ini"))
    guessed = alone.account.query("kind == 'guessed' and text.str.startswith('bounce_profile')")
    assert len(guessed) == sum(e.bounce_profile is not None for e in alone.entries)
