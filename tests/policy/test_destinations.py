"""Destination Controls: which entry a domain takes, what it inherits, what is refused."""

from __future__ import annotations

import pickle
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import PolicyError
from sim.policy.destinations import (
    SHIPPED,
    DestinationControls,
    Entry,
    canonical_domain,
    canonical_domains,
    dane_option_of,
    is_default,
)
from sim.policy.retry import PROFILE_NAMES, BounceProfile
from sim.terms import DaneOption, LimitApply, LimitType, Setting

TABLE = DestinationControls(
    entries=(
        Entry(domain="bank.example", tls=Setting.REQUIRED),
        Entry(domain=".bank.example", tls=Setting.PREFERRED),
        Entry(domain=".eu.bank.example", bounce_profile="Short_Life"),
        Entry(domain="192.0.2.7", max_host_concurrency=5),
        Entry(domain="Bücher.example"),
        Entry(domain=".example"),
    ),
    profiles={"Short_Life": BounceProfile(name="Short_Life", max_retries=3)},
)


@pytest.mark.parametrize(
    ("domain", "index"),
    [
        ("bank.example", 0),
        ("BANK.Example", 0),
        ("bank.example.", 0),
        ("www.bank.example", 1),
        ("eu.bank.example", 1),
        ("a.b.eu.bank.example", 2),
        ("192.0.2.7", 3),
        ("[192.0.2.7]", 3),
        ("[192.0.2.8]", -1),
        ("bücher.example", 4),
        ("xn--bcher-kva.example", 4),
        ("notbank.example", 5),
        ("example", -1),
        ("bank.example.org", -1),
        ("", -1),
    ],
)
def test_exact_beats_suffix_and_the_longest_suffix_wins(domain: str, index: int) -> None:
    assert TABLE.match([domain]).tolist() == [index]


LABELS = st.sampled_from(["a", "b", "Bank", "eu"])
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)


@given(st.lists(st.tuples(st.booleans(), NAMES), max_size=6), st.lists(NAMES, max_size=8))
def test_the_look_up_agrees_with_trying_every_entry(given_entries: list[tuple[bool, str]], domains: list[str]) -> None:
    names = {f"{'.' if suffix else ''}{name}".lower() for suffix, name in given_entries}
    table = DestinationControls(entries=tuple(Entry(domain=n) for n in sorted(names)))
    for domain, index in zip(domains, table.match(domains).tolist(), strict=True):
        name = domain.lower()
        fitting = [e.domain for e in table.entries if e.domain == name or name.endswith("." + e.domain.lstrip("."))]
        fitting = [d for d in fitting if d == name or d.startswith(".")]
        best = max(fitting, key=lambda d: (d == name, len(d)), default=None)
        assert (table.entries[index].domain if index >= 0 else None) == best


def test_what_is_not_text_is_named() -> None:
    for table in (TABLE, DestinationControls.shipped()):
        with pytest.raises(PolicyError, match=r"domains\[1\] = None; allowed: the name of a domain"):
            table.match(["a.example", None])  # type: ignore[list-item]


def test_an_entry_inherits_what_it_does_not_set() -> None:
    first = TABLE.resolved(0)
    assert (first.tls, first.max_host_concurrency, first.bounce_profile) == (Setting.REQUIRED, 500, "Default")
    assert TABLE.resolved(3).max_host_concurrency == 5
    assert TABLE.resolved(-1) == SHIPPED
    with pytest.raises(PolicyError, match=r"entry index = 6; allowed: -1..5"):
        TABLE.resolved(6)


@pytest.mark.parametrize("name", ["default", " Default. ", "DEFAULT.", "\uff24efault"])
def test_default_in_any_spelling_is_default(name: str) -> None:
    assert is_default(name)
    assert Entry(domain=name).domain == "DEFAULT"


def test_a_limit_brings_the_fields_it_cannot_stand_without() -> None:
    assert TABLE.entries[3].limit_type is LimitType.HOST
    per_mx = Entry(domain="DEFAULT", limit_type=LimitType.MXIP)
    table = DestinationControls(per_mx, (Entry(domain="a.example", recipient_limit=9), Entry(domain="b.example")))
    assert table.entries[0] == Entry(
        domain="a.example", recipient_limit=9, recipient_minutes=60, limit_type=LimitType.MXIP,
        limit_apply=LimitApply.SYSTEM,
    )  # fmt: skip
    assert table.entries[1] == Entry(domain="b.example")


def test_dane_is_read_without_case() -> None:
    assert Entry(domain="a.example", dane_option="MANDATORY").dane_option == "mandatory"


def test_a_dane_option_is_what_its_word_says_and_an_unknown_word_is_none_of_them() -> None:
    assert {dane_option_of(word) for word in (None, "none", "off", "no", "0")} == {DaneOption.NONE}
    assert [dane_option_of(option.label) for option in DaneOption] == list(DaneOption)
    assert dane_option_of("always") is None


def test_shipped_is_tls_off_and_no_rate_limit() -> None:
    shipped = DestinationControls.shipped()
    assert shipped.entries == ()
    assert shipped.default == Entry(
        domain="DEFAULT", tls=Setting.NO, max_host_concurrency=500, max_messages_per_connection=50,
        recipient_minutes=60, recipient_limit=0, limit_type=LimitType.HOST, limit_apply=LimitApply.SYSTEM,
        ip_sort_pref=SHIPPED.ip_sort_pref, bounce_validation=False, bounce_profile="Default", dane_option="none",
    )  # fmt: skip
    assert shipped.match(["a.example"]).tolist() == [-1]


def test_bounce_profiles_are_found_without_case_and_undefined_ones_are_the_default() -> None:
    assert TABLE.profile("short_life").max_retries == 3
    assert TABLE.profile("Nobody") == BounceProfile()
    assert TABLE.profile_name("Nobody") is None
    assert DestinationControls.shipped().profile("Nobody") == BounceProfile()


def test_with_setting_changes_tls_and_nothing_else() -> None:
    strict = TABLE.with_setting(Setting.REQUIRED_VERIFY)
    assert {strict.resolved(i).tls for i in range(-1, 6)} == {Setting.REQUIRED_VERIFY}
    assert [replace(e, tls=None) for e in strict.entries] == [replace(e, tls=None) for e in TABLE.entries]
    assert (strict.profiles, strict.host_retry) == (TABLE.profiles, TABLE.host_retry)


def test_the_hash_follows_the_content_and_not_its_order_or_lines() -> None:
    moved = replace(TABLE, entries=tuple(replace(e, line=9) for e in reversed(TABLE.entries)))
    assert moved.hash == TABLE.hash
    assert len(TABLE.hash) == 16
    other = {
        TABLE.with_setting(Setting.NO).hash,
        replace(TABLE, profiles={}).hash,
        replace(TABLE, entries=TABLE.entries[:-1]).hash,
        replace(TABLE, default=replace(TABLE.default, max_host_concurrency=499)).hash,
    }
    assert len(other | {TABLE.hash}) == 5
    spelled = [replace(e, domain=f"{e.domain.upper()}.") if e.domain.isascii() else e for e in TABLE.entries]
    short = BounceProfile(name="Short_Life", max_retries=3, initial_wait_s=60.0)
    assert replace(TABLE, entries=tuple(spelled), profiles={"Short_Life": short}).hash == TABLE.hash
    assert hash(replace(TABLE)) == hash(TABLE)
    assert replace(TABLE) == TABLE


def test_it_travels_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(TABLE)) == TABLE


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            {"domain": "a b"},
            "domain = 'a b'; allowed: example.com, .example.com (all below it), [192.0.2.7] or DEFAULT",
        ),
        ({"domain": "*.bank.example"}, "domain = '*.bank.example'; allowed: example.com, .example.com"),
        ({"domain": 7}, "domain = 7; allowed: example.com"),
        ({"domain": "[192.0.2.7"}, "domain = '[192.0.2.7'; allowed: example.com"),
        ({"domain": "192.0.2.7]"}, "domain = '192.0.2.7]'; allowed: example.com"),
        ({"domain": "fe80::1%eth0"}, "domain = 'fe80::1%eth0'; allowed: example.com"),
        ({"bounce_profile": "1bad"}, f"[a.example] bounce_profile = '1bad'; allowed: {PROFILE_NAMES}"),
        ({"bounce_profile": "a\nb"}, "[a.example] bounce_profile = 'a\\nb'; allowed: a name"),
        ({"bounce_profile": "Short "}, "[a.example] bounce_profile = 'Short '; allowed: a name"),
        ({"dane_option": "foo # bar"}, "[a.example] dane_option = 'foo # bar'; allowed: none, opportunistic"),
        ({"dane_option": 7}, "[a.example] dane_option = 7; allowed: none, opportunistic"),
        ({"bounce_validation": "on"}, "[a.example] bounce_validation = 'on'; allowed: true, false"),
        ({"tls": 9}, "[a.example] tls = 9; allowed: No, Preferred"),
        ({"max_host_concurrency": 0}, "[a.example] max_host_concurrency = 0; allowed: a whole number, 1..1000 conn"),
        ({"recipient_minutes": 61}, "[a.example] recipient_minutes = 61; allowed: a whole number, 1..60 minutes"),
        ({"recipient_limit": 10**9 + 1}, "[a.example] recipient_limit = 1000000001; allowed: a whole number, 0..10000"),
    ],
)
def test_a_wrong_entry_is_told(values: dict[str, Any], told: str) -> None:
    with pytest.raises(PolicyError) as fault:
        Entry(**{"domain": "a.example", **values})
    assert str(fault.value).startswith(told)


def test_a_wrong_table_is_told() -> None:
    with pytest.raises(PolicyError, match=r"entry = 'A.example.'; allowed: one entry a destination, and \[a.example\]"):
        DestinationControls(entries=(Entry(domain="a.example"), Entry(domain="A.example.")))
    with pytest.raises(PolicyError, match="entry = 'DEFAULT'"):
        DestinationControls(entries=(Entry(domain="default"),))
    with pytest.raises(PolicyError, match=r"default entry = 'a.example'; allowed: DEFAULT"):
        DestinationControls(default=Entry(domain="a.example"))
    with pytest.raises(PolicyError, match="bounce profile = 'x'; allowed: its own name, Default"):
        DestinationControls(profiles={"x": BounceProfile()})


def test_addresses_and_foreign_names_have_one_spelling() -> None:
    assert canonical_domain("[IPv6:2001:DB8:0::1]") == canonical_domain("2001:db8::1") == "[2001:db8::1]"
    assert canonical_domain(".BÜCHER.example") == ".xn--bcher-kva.example"
    assert [canonical_domain(n) for n in ("", ".", "a..b", "-", "ü" * 100, "a\nb")] == [
        None,
        None,
        None,
        "-",
        None,
        None,
    ]


def test_an_ascii_name_stands_as_it_is_however_long_a_label() -> None:
    name = f"{'a' * 64}.example"
    assert canonical_domain(name.upper()) == name
    assert canonical_domain(f"ü.{name}") is None


SPELLED = ["A.Example.", "a.example", "192.0.2.7", "[192.0.2.7]", "2001:DB8:0::A", "[IPv6:2001:db8::1]", "Bü.example"]


@given(st.lists(st.sampled_from([*SPELLED, "fe80::1%eth0", "a..b.", "7", ""]) | st.text(max_size=9), max_size=5))
def test_many_names_are_spelled_as_each_of_them_is(names: list[str]) -> None:
    assert canonical_domains(names) == [canonical_domain(name) or name.strip().lower() for name in names]


def test_an_entry_is_found_by_every_spelling_of_its_name() -> None:
    table = DestinationControls(entries=tuple(Entry(domain=name) for name in sorted(set(canonical_domains(SPELLED)))))
    for name, index in zip(SPELLED, table.match(SPELLED).tolist(), strict=True):
        assert table.entries[index].domain == canonical_domain(name)


def test_names_in_many_spellings_are_one_name() -> None:
    assert canonical_domains(SPELLED) == [
        "a.example", "a.example", "[192.0.2.7]", "[192.0.2.7]", "[2001:db8::a]", "[2001:db8::1]",
        "xn--b-eha.example",
    ]  # fmt: skip


@pytest.mark.bench
def test_a_million_names_within_three_seconds() -> None:
    rng = np.random.default_rng(0)
    sectors = ["bank", "shop", "gov", "tech"]
    names = [f"w{i}.{sectors[int(k)]}.example" for i, k in enumerate(rng.integers(0, 4, 1_000_000))]
    table = DestinationControls(
        entries=(Entry(domain=".gov.example"), *(Entry(domain=n) for n in names[:200] if ".gov." not in n))
    )
    start = perf_counter()
    table.match(names)
    seconds = perf_counter() - start
    print(f"{seconds:.2f} s")
    assert seconds < 3


def test_every_entry_takes_the_setting_of_the_whole_table_and_keeps_the_rest() -> None:
    table = DestinationControls(entries=(Entry(domain="a.example", tls=Setting.NO, max_host_concurrency=3),))
    turned = table.with_setting(Setting.REQUIRED)
    assert turned.default.tls is Setting.REQUIRED
    assert [(e.domain, e.tls, e.max_host_concurrency) for e in turned.entries] == [("a.example", Setting.REQUIRED, 3)]
    assert hash(turned) != hash(table)


def test_there_is_no_entry_before_default_or_after_the_last() -> None:
    table = DestinationControls(entries=(Entry(domain="a.example"),))
    for index in (-2, 1):
        with pytest.raises(PolicyError, match=r"entry index = -?\d; allowed: -1\.\.0"):
            table.resolved(index)
