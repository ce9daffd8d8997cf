"""Destination Controls to a Postfix map and back: the table of the page, round trips, and nothing lost in silence."""

from __future__ import annotations

import re

import pytest

import sim
from sim.errors import PolicyError
from sim.formats.destination_controls import Policy
from sim.formats.postfix_tls_policy import TlsPolicyMap
from sim.policy.compare import changes
from sim.policy.destinations import DestinationControls, Entry
from sim.policy.profiles.postfix import Level
from sim.studies.convert import (
    Conversion,
    document,
    from_postfix,
    gateway_asks,
    level_for,
    level_words,
    map_key,
    postfix_asks,
    setting_for,
    setting_words,
    to_postfix,
)
from sim.terms import DaneOption, Setting
from tests.repository.tree import ROOT

PAGE = (ROOT / "docs" / "postfix-tls-policy.md").read_text(encoding="utf-8")
BACK: tuple[tuple[Level, tuple[str, ...]], ...] = (
    *((level, ()) for level in Level),
    (Level.SECURE, ("nexthop",)),
    (Level.SECURE, ("nexthop", "hostname")),
)


def rows(name: str) -> list[str]:
    found = re.search(rf"<!-- changes {name} -->\n\n(.*?)\n\n<!-- end -->", PAGE, re.DOTALL)
    assert found is not None
    return found[1].splitlines()[2:]


def row(before: str, after: str, told: list[str]) -> str:
    return f"| {before} | {after} | {'<br>'.join(told) or 'nothing'} |".replace("->", "→")


def made_rows(name: str) -> list[str]:
    """The table of the page, as the code has it."""
    made = []
    if name == "to":
        for option in DaneOption:
            for setting in Setting:
                if option is DaneOption.NONE or setting is not Setting.NO:
                    level, match = level_for(setting, option)
                    told = changes(gateway_asks(setting, option), postfix_asks(level, match))
                    made.append(row(setting_words(setting, option), level_words(level, match), [c.text for c in told]))
    else:
        for level, match in BACK:
            found = setting_for(level, match)
            told = changes(postfix_asks(level, match), gateway_asks(*found))
            made.append(row(level_words(level, match), setting_words(*found), [c.text for c in told]))
    return made


@pytest.mark.parametrize("name", ["to", "back"])
def test_the_page_lists_what_changes(name: str) -> None:
    assert rows(name) == made_rows(name)


def test_the_example_of_the_page() -> None:
    source, made = (re.search(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) for kind in ("ini", "text"))
    assert source is not None
    assert made is not None
    assert to_postfix(Policy.parse(source[1])).map.to_text() == made[1]


@pytest.mark.parametrize("setting", [s for s in Setting if s is not Setting.PREFERRED_VERIFY], ids=str)
def test_a_setting_without_dane_comes_back(setting: Setting) -> None:
    assert setting_for(*level_for(setting)) == (setting, DaneOption.NONE)


def converted_example() -> Conversion:
    return to_postfix(sim.Policy.read(sim.example("destinations.ini")))


def test_every_entry_is_in_the_map_and_in_one_pair() -> None:
    made = converted_example()
    assert [entry.key for entry in made.map.entries] == [map_key(entry.domain) for entry in made.policy.entries]
    named = [name for pair in made.pairs for name in pair.entries]
    assert sorted(named) == sorted(["DEFAULT", *(entry.domain for entry in made.policy.entries)])
    assert TlsPolicyMap.parse(made.map.to_text()) == made.map
    assert made.main_cf == ("smtp_tls_security_level = may", "smtp_dns_support_level = dnssec")


def test_both_tables_choose_the_same_entry_for_any_name() -> None:
    made = converted_example()
    names = [
        name.lstrip(".") for entry in made.policy.entries for name in (entry.domain, f"x.{entry.domain.lstrip('.')}")
    ]
    assert made.policy.match(names).tolist() == [made.map.match(map_key(name)) for name in names]


def test_the_way_there_and_back_keeps_entries_and_what_it_may_of_tls() -> None:
    there = converted_example()
    back = from_postfix(there.map, default="may")
    assert [e.domain for e in back.policy.entries] == [e.domain for e in there.policy.entries]
    for index in range(-1, len(there.policy.entries)):
        before, after = there.policy.resolved(index), back.policy.resolved(index)
        if before.tls is not Setting.PREFERRED_VERIFY and before.dane_option == "none":
            assert after.tls is before.tls
    assert Policy.parse(Policy(back.policy.default, back.policy.entries).to_text()) == back.policy


def test_an_entry_that_inherits_is_written_out() -> None:
    table = DestinationControls(
        default=Entry(domain="DEFAULT", tls=Setting.REQUIRED_VERIFY_HOSTED),
        entries=(Entry(domain=".example"), Entry(domain="[2001:db8::1]", tls=Setting.NO, dane_option="mandatory")),
    )
    made = to_postfix(table)
    assert [e.text for e in made.map.entries] == [".example secure match=nexthop:hostname", "[ipv6:2001:db8::1] none"]
    assert made.main_cf == (
        "smtp_tls_security_level = secure",
        "smtp_tls_secure_cert_match = nexthop, hostname",
    )
    assert any("1 entry without its own TLS" in text for text in made.patterns)
    assert any("1 IPv6 address:" in text for text in made.patterns)
    assert any("smtp_tls_CAfile" in text for text in made.patterns)


def test_what_a_map_has_no_place_for_is_counted() -> None:
    lost = {item.what: item for item in converted_example().unplaced}
    assert lost["max_host_concurrency"].count == len(lost["max_host_concurrency"].where) == 10
    assert {"bounce_profile", "recipient_limit", "certificate", "send_tls_req_alert", "comments"} <= set(lost)
    assert lost["unknown keys"].count == 2
    odd = to_postfix(DestinationControls(entries=(Entry(domain="a.example", dane_option="sometimes"),)))
    assert [(item.what, item.where) for item in odd.unplaced] == [("dane_option", ("a.example (sometimes)",))]


def test_what_destination_controls_have_no_place_for_is_counted() -> None:
    text = (
        "# note\na.example secure match=nexthop:mx.b.example protocols=>=TLSv1.2\n[relay.example]:25 encrypt\n"
        "*.c.example may\n[192.0.2.7] may\nf.example fingerprint match=aa:bb\n"
        "[ipv6:2001:db8::1] may\n[2001:db8::1] none\n"
    )
    made = from_postfix(TlsPolicyMap.parse(text))
    lost = {item.what: item.where for item in made.unplaced}
    assert lost == {
        "next hops of transports": ("[relay.example]:25",),
        "other spellings of a destination": ("[2001:db8::1]",),
        "match=": ("a.example", "f.example"),
        "protocols=": ("a.example",),
        "lines without effect": ("line 4",),
        "comments": (),
    }
    assert [entry.domain for entry in made.policy.entries] == ["a.example", "[192.0.2.7]", "f.example", "[2001:db8::1]"]
    assert made.policy.default.tls is Setting.NO
    assert any("level none is assumed" in text for text in made.patterns)
    remarks = [remark for pair in made.pairs for remark in pair.remarks]
    assert any("names spelled out are lost: mx.b.example" in remark for remark in remarks)
    assert any("digests are lost" in remark for remark in remarks)


@pytest.mark.parametrize(
    ("default", "told"),
    [
        ("secur", "default level = 'secur'.*Did you mean 'secure'"),
        ("may x", "default level = 'may x'; allowed: a level"),
    ],
)
def test_a_level_that_is_none_is_a_fault(default: str, told: str) -> None:
    with pytest.raises(PolicyError, match=told):
        from_postfix(TlsPolicyMap(), default=default)


def test_the_document_has_all_of_it() -> None:
    made = converted_example()
    told = document(made)
    assert len(told["pairs"]) == len(made.pairs)
    assert sum(change["cells"] for pair in told["pairs"] for change in pair["changes"]) > 0
    assert [item["count"] for item in told["unplaced"]] == [item.count for item in made.unplaced]
