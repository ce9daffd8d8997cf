"""Typing TLS settings into a table: what is edited, what is new, what is copied, what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import PolicyError
from sim.policy.destinations import DestinationControls, Entry
from sim.policy.spellings import setting_of
from sim.terms import LimitType, Setting

TABLE = DestinationControls(
    default=Entry(domain="DEFAULT", tls=Setting.PREFERRED),
    entries=(
        Entry(domain=".gov", tls=Setting.REQUIRED, max_host_concurrency=7, limit_type=LimitType.MXIP, line=4),
        Entry(domain="city.gov", tls=Setting.NO, bounce_profile="Short"),
        Entry(domain="x.gov", tls=Setting.NO, max_host_concurrency=3),
        Entry(domain="bank.example"),
    ),
)
NAMES = ["a.gov", "city.gov", "b.city.gov", "x.gov", "bank.example", "shop.example"]


def tls(table: DestinationControls) -> list[Setting | None]:
    return [table.resolved(i).tls for i in table.match(NAMES).tolist()]


def without_tls(table: DestinationControls) -> list[Entry]:
    """What rules each name, all but its TLS setting."""
    ruling = [table.resolved(i) for i in table.match(NAMES).tolist()]
    return [replace(entry, tls=None, domain="a.example") for entry in ruling]


def test_an_existing_entry_is_edited_and_keeps_the_rest() -> None:
    table = TABLE.with_tls({"*.gov": "required_verify"})
    assert table.entries[0] == replace(TABLE.entries[0], tls=Setting.REQUIRED_VERIFY)
    assert table.entries[0].line == 4
    assert table.entries[1:] == TABLE.entries[1:]
    assert TABLE.entries[0].tls is Setting.REQUIRED


def test_a_more_specific_entry_keeps_its_setting() -> None:
    before, after = tls(TABLE), tls(TABLE.with_tls({".gov": "required_verify"}))
    assert [a is not b for a, b in zip(before, after, strict=True)] == [True, False, True, False, False, False]


def test_a_new_entry_copies_what_ruled_the_name_before() -> None:
    new = TABLE.with_tls({"*.city.gov": "no", "a.gov": "preferred", "shop.example": "required"}).entries[4:]
    assert [entry.domain for entry in new] == [".city.gov", "a.gov", "shop.example"]
    # Names below city.gov were ruled by .gov and not by city.gov, whatever the exact entries are called.
    assert [entry.max_host_concurrency for entry in new] == [7, 7, None]
    assert [entry.bounce_profile for entry in new] == [None, None, None]


def test_a_suffix_is_ruled_by_the_suffix_and_not_by_an_exact_entry_below_it() -> None:
    table = DestinationControls(entries=(Entry(domain="x.example", max_host_concurrency=3),))
    assert table.with_tls({"*.example": "required"}).entries[1].max_host_concurrency is None


def test_a_new_entry_stands_on_no_line_of_the_file() -> None:
    assert [entry.line for entry in TABLE.with_tls({"*.city.gov": "no", "a.gov": "no"}).entries[4:]] == [0, 0]


PATTERNS = st.sampled_from(["*", "DEFAULT", "*.gov", "*.city.gov", "a.gov", "city.gov", ".example", "shop.example"])
SETTINGS = st.sampled_from(list(Setting))


@given(st.dictionaries(PATTERNS, SETTINGS, min_size=1))
def test_nothing_but_tls_changes_for_any_name(settings: dict[str, Setting]) -> None:
    assert without_tls(TABLE.with_tls(settings)) == without_tls(TABLE)


@given(st.dictionaries(PATTERNS.filter(lambda p: p not in ("*", "DEFAULT")), SETTINGS | st.none()))
def test_an_entry_says_what_was_typed_for_it(settings: dict[str, Setting | None]) -> None:
    said = {entry.domain: entry.tls for entry in TABLE.with_tls(settings).entries}
    typed = {pattern.removeprefix("*"): setting for pattern, setting in settings.items()}
    assert said == {entry.domain: entry.tls for entry in TABLE.entries} | typed


@given(st.lists(st.tuples(PATTERNS, SETTINGS), min_size=1, unique_by=lambda item: item[0]))
def test_the_order_of_patterns_does_not_matter(items: list[tuple[str, Setting]]) -> None:
    turned = items[::-1]
    assert TABLE.with_tls(dict(items)).hash == TABLE.with_tls(dict(turned)).hash


def test_everything_is_every_entry_and_default_and_others_go_over_it() -> None:
    for setting in Setting:
        assert tls(TABLE.with_tls({"*": setting})) == [setting] * 6
    table = TABLE.with_tls({"*.gov": "required", "*": "no", "DEFAULT": "preferred"})
    assert tls(table) == [Setting.REQUIRED, Setting.NO, Setting.REQUIRED, Setting.NO, Setting.NO, Setting.PREFERRED]


def test_an_entry_can_be_made_to_inherit() -> None:
    table = TABLE.with_tls({"city.gov": "default"})
    assert table.entries[1].tls is None
    assert tls(table)[1] is Setting.PREFERRED
    assert tls(TABLE.with_tls({"*": None})) == [Setting.PREFERRED] * 6


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("Required - Verify", Setting.REQUIRED_VERIFY),
        ("required_verify", Setting.REQUIRED_VERIFY),
        ("REQUIRED-VERIFY", Setting.REQUIRED_VERIFY),
        ("Required - Verify Hosted Domains", Setting.REQUIRED_VERIFY_HOSTED),
        ("required_verify_hosted", Setting.REQUIRED_VERIFY_HOSTED),
        ("preferred - verify", Setting.PREFERRED_VERIFY),
        ("off", Setting.NO),
        ("no", Setting.NO),
        ("require_verify", Setting.REQUIRED_VERIFY),
        ("Default", None),
        (Setting.PREFERRED, Setting.PREFERRED),
        (None, None),
    ],
)
def test_spellings(text: Setting | str | None, setting: Setting | None) -> None:
    assert setting_of("*.gov", text) is setting


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"*.gov": "requird"}, r"\*\.gov = 'requird'; allowed: no, preferred, .*default\. Did you mean 'required'\?"),
        ({"*.gov": ""}, r"\*\.gov = ''; allowed: no"),
        ({"a b": "no"}, r"pattern = 'a b'; allowed: \*\.example, \* \(everything\)"),
        ({"*gov": "no"}, r"pattern = '\*gov'"),
        ({"*.gov": "no", ".GOV": "no"}, r"pattern = '\.GOV'; allowed: each pattern once"),
        ({"default": "default"}, r"DEFAULT = 'default'; allowed: a setting of its own"),
    ],
)
def test_what_is_refused(settings: dict[str, str], told: str) -> None:
    with pytest.raises(PolicyError, match=told):
        TABLE.with_tls(settings)
