"""Bounce profiles as TOML: read, accounted for, refused with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import PolicyError
from sim.formats.bounce_profiles import parse_bounce_profiles, read_bounce_profiles, with_profiles
from sim.formats.destination_controls import Policy
from sim.policy.retry import BounceProfile, Growth, HostRetry

TEXT = """\
# seconds throughout
[Default]
max_retries = 100
max_queue_lifetime = 259_200
initial_retry = 60
max_retry_timeout = 3600
host_initial_retry = 30
host_max_retry_timeout = 1800
send_bounces = true

["Short Life"]
MAX_RETRIES = 3
max_queue_lifetime = 600
initial_retry = 2.5
growth = "1.5x"
colour = "blue"
"""


def test_profiles_and_the_host_timer_are_read() -> None:
    found = parse_bounce_profiles(TEXT, source="b.toml")
    assert found.profiles == {
        "Default": BounceProfile(),
        "Short Life": BounceProfile(
            name="Short Life", max_retries=3, max_queue_time_s=600, initial_wait_s=2.5, growth=Growth.ONE_AND_A_HALF
        ),
    }
    assert found.host_retry == HostRetry(initial_wait_s=30, max_wait_s=1_800)


def test_every_line_is_accounted_for() -> None:
    account = parse_bounce_profiles(TEXT, source="b.toml").account
    told = {row.text: (row.line, row.kind, row.reason) for row in account.itertuples() if row.kind != "understood"}
    assert told == {
        "send_bounces = true": (9, "ignored", "what a bounce looks like changes no delivery"),
        'colour = "blue"': (16, "ignored", "unknown key"),
        "max_retry_timeout = 3600": (11, "guessed", "missing: the shipped value"),
    }
    assert account.query("kind == 'understood'")["line"].tolist() == [2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15]


def test_growth_of_the_host_timer_follows_default_unless_it_has_its_own() -> None:
    assert parse_bounce_profiles('[Default]\ngrowth = "constant"\n').host_retry.growth is Growth.CONSTANT
    own = parse_bounce_profiles('[default]\ngrowth = "constant"\nhost_growth = "DOUBLING"\n')
    assert own.host_retry.growth is Growth.DOUBLING
    assert own.profiles["Default"].growth is Growth.CONSTANT


def test_a_policy_takes_them_in_every_form(tmp_path: Path) -> None:
    path = tmp_path / "b.toml"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    text = "[DEFAULT]\n[a.example]\nbounce_profile = short life\n"
    found = read_bounce_profiles(path)
    for profiles in (path, str(path), found):
        policy = Policy.parse(text, profiles=profiles)
        assert policy.profile(policy.resolved(0).bounce_profile or "").max_retries == 3
        assert policy.host_retry.initial_wait_s == 30
        assert str(path) in set(policy.account["file"])
    assert Policy.parse(text, profiles=found.profiles).host_retry == HostRetry()


BAD = [
    ("[Default]\nmax_retries = \n", "b.toml:2: no TOML: invalid value"),
    ("[Default\n", "b.toml:1: no TOML: expected ']' at the end of a table declaration"),
    ("[A]\n[A]\n", "b.toml:2: no TOML: cannot declare ('a',) twice"),
    ("[A]\nx = 1\nx = 2\n", "b.toml:3: no TOML: cannot overwrite a value"),
    ("max_retries = 3\n", "b.toml:1: max_retries = 3; allowed: a [section] named after the bounce profile"),
    ("[A]\nmax_retries = -1\n", "b.toml:2: [A] max_retries = -1; allowed: a whole number, 0..1000000000 retries"),
    ("[A]\n[B]\nmax_retries = 2.5\n", "b.toml:3: [B] max_retries = 2.5; allowed: a whole number, 0..1000000000 retr"),
    ('[A]\n\nmax_queue_lifetime = "72h"\n', "b.toml:3: [A] max_queue_lifetime = '72h'; allowed: 0..1000000000 s"),
    ("[A]\ninitial_retry = nan\n", "b.toml:2: [A] initial_retry = nan; allowed: 1..1000000000 s"),
    (
        "[A]\ninitial_retry = 9999\n",
        "b.toml:2: [A] initial_retry = 9999; allowed: at most max_retry_timeout, which is ",
    ),
    ("[Default]\nhost_initial_retry = 0\n", "b.toml:2: [Default] host_initial_retry = 0; allowed: 1..1000000000 s"),
    ("[Default]\nhost_initial_retry = 4000\n", "b.toml:2: [Default] host_initial_retry = 4000; allowed: at most host_"),
    ('[A]\ngrowth = "dubling"\n', "b.toml:2: [A] growth = 'dubling'; allowed: doubling, 1.5x, constant. Did you mean"),
    ("[7up]\n", "b.toml:1: section = '7up'; allowed: a name that starts with a letter or _"),
    ("[Abc]\n[abc]\n", "b.toml:2: section = 'abc'; allowed: one section a bounce profile, read without case"),
    ("A = { max_retries = true }\n", "b.toml:1: [A] max_retries = True; allowed: a whole number"),
]


@pytest.mark.parametrize(("text", "told"), BAD, ids=[text for text, _ in BAD])
def test_what_is_wrong_is_told_in_one_line(text: str, told: str) -> None:
    with pytest.raises(PolicyError) as fault:
        parse_bounce_profiles(text, source="b.toml")
    assert str(fault.value).startswith(told)
    assert "\n" not in str(fault.value)


STRICT = [
    (
        "[A]\nmax_retry = 3\n",
        ("b.toml:2: [A] max_retry = 3; allowed: max_retries, max_queue_lifetime, .*Did you mean 'max_retries'?"),
    ),
    (
        "[A]\nhost_initial_retry = 3\n",
        ("b.toml:2: [A] host_initial_retry = 3; allowed: one for the whole system.*belongs in [Default]"),
    ),
    ("\n[A]\n", "b.toml:2: [A] max_retries is missing.*(a shipped gateway has 100)"),
]


@pytest.mark.parametrize(("text", "told"), STRICT, ids=[text for text, _ in STRICT])
def test_what_only_a_strict_reader_refuses(text: str, told: str) -> None:
    assert parse_bounce_profiles(text).profiles["A"] == BounceProfile(name="A")
    with pytest.raises(PolicyError) as fault:
        parse_bounce_profiles(text, source="b.toml", strict=True)
    begin, _, end = told.partition(".*")
    assert str(fault.value).startswith(begin)
    assert str(fault.value).endswith(end)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="a file that exists"):
        Policy.parse("[DEFAULT]\n", profiles=tmp_path / "none.toml")


PROFILES = st.builds(
    lambda name, first, more, **values: BounceProfile(
        name=name, initial_wait_s=first, max_wait_s=first + more, **values
    ),
    name=st.sampled_from(["Default", "Short_Life", "a b", "_x.y", "Ärger", "7".join("ab"), "x-"]),
    first=st.integers(1, 10**8) | st.floats(1, 1e8),
    more=st.integers(0, 10**8),
    max_retries=st.integers(0, 10**9),
    max_queue_time_s=st.integers(0, 10**9) | st.floats(0, 1e9),
    growth=st.sampled_from(Growth),
)


@given(st.lists(PROFILES, max_size=4, unique_by=lambda p: p.name), st.integers(0, 4), st.sampled_from(["\n", "\r\n"]))
def test_read_of_write_is_the_same_profiles(profiles: list[BounceProfile], some: int, end: str) -> None:
    first = with_profiles(f"# ours{end}", profiles[:some])
    both = with_profiles(first, profiles[some:])
    assert both.startswith(first)
    assert (end == "\n") == ("\r" not in both)
    assert parse_bounce_profiles(both, strict=True).profiles == {p.name: p for p in profiles}


@pytest.mark.parametrize("text", [TEXT, TEXT.rstrip("\n"), "\ufeff" + TEXT, "A = {max_retries = 3}"])
def test_a_profile_is_added_behind_what_the_file_said(text: str) -> None:
    added = BounceProfile(name="Long", max_queue_time_s=10**6)
    after = with_profiles(text, [added])
    assert after.startswith(text)
    before = parse_bounce_profiles(text)
    assert parse_bounce_profiles(after).profiles == {**before.profiles, "Long": added}
    assert parse_bounce_profiles(after).host_retry == before.host_retry
