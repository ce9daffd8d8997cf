"""docs/destination-controls.md says what the readers read: keys, words, ranges, defaults; its example is read."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest

from sim.formats.bounce_profiles import HOST_KEYS, PROFILE_KEYS, UNUSED_KEYS, parse_bounce_profiles
from sim.formats.destination_controls import Policy
from sim.formats.destination_keys import KEYS, Key
from sim.policy.destinations import DANE_OPTIONS, SHIPPED
from sim.policy.params import allowed_range
from sim.policy.retry import BounceProfile, Growth, HostRetry
from sim.terms import Setting
from tests.repository.tree import ROOT

PAGE = (ROOT / "docs" / "destination-controls.md").read_text(encoding="utf-8")


def rows(name: str) -> list[list[str]]:
    """The cells of a table of the page, without backticks round the first."""
    found = re.search(rf"<!-- keys {name} -->(.*?)<!-- end -->", PAGE, re.DOTALL)
    assert found is not None
    lines = [line for line in found[1].splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def coded(words: Any) -> str:
    return ", ".join(f"`{word}`" for word in words)


def values(key: Key) -> str:
    if key.name == "table_tls":
        return "see below"
    if key.name == "dane_option":
        return f"{coded(re.findall(r'[a-z]+', DANE_OPTIONS.split(' (')[0]))}, or another word"
    if key.words:
        return coded(key.words)
    if key.name in ("bounce_profile", "certificate"):
        return "a name"
    return "`0`, `1`" if not key.entry_field else key.allowed("").removeprefix("a whole number, ")


def test_the_table_has_every_key_with_its_words_and_companions() -> None:
    table = {row[0].strip("`"): row for row in rows("entry")}
    assert list(table) == list(KEYS)
    for name, (_, what, words, needed, ships, beside) in table.items():
        key = KEYS[name]
        assert what
        assert (words, needed, beside) == (values(key), "needed" if key.required else "", coded(key.needs))
        shipped = getattr(SHIPPED, key.entry_field) if key.entry_field else None
        if shipped is not None:
            assert ships == f"`{key.write(shipped)}`"
        if key.unused:
            assert re.search("no effect|not modelled|alert mail", what)


def test_every_tls_setting_has_its_word_and_number() -> None:
    words = KEYS["table_tls"].words
    found = [(words[word.strip("`")], words[number], label) for word, number, label, _ in rows("tls")]
    assert found == [(s, s, s.label) for s in Setting]
    assert all(f"`{word}`" in PAGE for word in words if not word.isdigit())


@pytest.mark.parametrize(("keys", "owner"), [(PROFILE_KEYS, BounceProfile), (HOST_KEYS, HostRetry)])
def test_every_key_of_a_bounce_profile_has_unit_range_and_default(keys: dict[str, str], owner: type) -> None:
    table = {row[0].strip("`"): row for row in rows("profile")}
    assert list(table) == [*PROFILE_KEYS, *HOST_KEYS]
    known = {f.name: f for f in fields(owner)}
    for name, entry_field in keys.items():
        _, _, allowed, ships = table[name]
        if entry_field == "growth":
            assert allowed == ", ".join(f'`"{g.label}"`' for g in Growth)
            assert ships == (BounceProfile().growth.label if name == "growth" else "as `growth`")
        else:
            assert (allowed, ships) == (allowed_range(known[entry_field]), str(known[entry_field].default))
    assert all(f"`{name}`" in PAGE for name in UNUSED_KEYS)


def test_the_examples_are_read_strictly_and_nothing_is_guessed() -> None:
    profiles = parse_bounce_profiles(block("toml"), strict=True)
    policy = Policy.parse(block("ini"), profiles=profiles, strict=True)
    assert [policy.resolved(i).tls for i in range(-1, 4)] == [
        Setting.PREFERRED,
        Setting.NO,
        Setting.REQUIRED,
        Setting.REQUIRED_VERIFY,
        Setting.REQUIRED_VERIFY_HOSTED,
    ]
    assert len(policy.entries) == 4
    assert set(policy.account["kind"]) == {"understood", "ignored"}
    assert not policy.account["changes_answer"].any()
    assert policy.profile("Short_Life").max_queue_time_s == 14_400
