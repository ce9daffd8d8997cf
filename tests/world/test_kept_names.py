"""Names of a population: read once, with their keys and look-ups kept while they are the same."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from sim.delivery.draws import name_key
from sim.names import Names
from sim.policy.destinations import DestinationControls, Entry
from sim.world.draw import name_keys
from sim.world.names import SECTORS, domain_name, domain_names
from sim.world.population import Population


def test_names_are_a_sequence() -> None:
    names = Names(domain_names(30))
    assert list(names) == domain_names(30)
    assert (len(names), names[3], names[-1]) == (30, domain_name(4), domain_name(30))
    assert names[2:4] == (domain_name(3), domain_name(4))
    assert pickle.loads(pickle.dumps(names)).texts == names.texts


def test_keys_are_those_of_single_names() -> None:
    """The engine's, signed, and the population's, unsigned: the same bits."""
    names = Names(["example.com", "", "bücher.example", *domain_names(500)])
    assert names.keys.tolist() == [name_key(name) for name in names]
    assert (names.keys.view(np.uint64) == name_keys(names.texts)).all()
    with pytest.raises(ValueError, match="read-only"):
        names.keys[0] = 0


def test_what_is_made_of_names_is_made_once_and_the_last_few_are_kept() -> None:
    names, made = Names(["a.example"]), list[tuple[str, ...]]()

    def find(texts: tuple[str, ...]) -> int:
        made.append(texts)
        return len(made)

    found = [names.once(what, find) for what in [*range(8), *range(8), 8, 8, 0]]
    assert found == [*range(1, 9), *range(1, 9), 9, 9, 10]
    assert set(made) == {("a.example",)}


def test_a_policy_finds_the_same_entries_for_kept_names() -> None:
    names = Names([*domain_names(2_000), "X.Gov.Example", "[192.0.2.7]"])
    one = DestinationControls(entries=(Entry(domain=".gov.example"), Entry(domain="192.0.2.7")))
    other = DestinationControls(entries=(Entry(domain="192.0.2.7"), Entry(domain=".gov.example")))
    for policy in (one, other, DestinationControls()):
        assert policy.match(names).tolist() == policy.match(list(names)).tolist()
    assert one.match(names) is one.match(names)
    assert one.match(names)[-1] != other.match(names)[-1]
    with pytest.raises(ValueError, match="read-only"):
        one.match(names)[0] = 5


def test_a_changed_column_keeps_what_was_made_of_other_frames() -> None:
    population = Population.preset("2020s-web", domains=50)
    names, hosts, before = population.names, population.host_names, population.hash
    changed = population.with_(backends={"cn_ptr": True})
    assert changed.names is names
    assert changed.host_names is hosts
    assert changed.hash != before == population.hash
    renamed = population.with_(domains={"domain": [f"x{i}.example" for i in range(50)], "provider": "other"})
    assert renamed.names.texts == tuple(renamed.domains["domain"])
    assert set(renamed.providers) == {"other"}
    assert renamed.host_names is hosts
    rehosted = population.with_(hosts={"host": [f"mx{i}.example" for i in range(len(population.hosts))]})
    assert rehosted.host_names.texts == tuple(rehosted.hosts["host"])
    assert rehosted.names is names


def test_many_names_are_those_of_a_plain_loop() -> None:
    """The finaliser of MurmurHash3 in whole numbers of Python, beside the one in arrays, up to its 32 bits."""
    slots = [(sector, words) for sector, (size, words) in SECTORS.items() for _ in range(size)]
    for first in (11, 999_990, 2**32 - 40):
        for rank, name in enumerate(domain_names(80, first), start=first):
            h = rank & 0xFFFFFFFF
            h = ((h ^ (h >> 16)) * 0x85EBCA6B) & 0xFFFFFFFF
            h = ((h ^ (h >> 13)) * 0xC2B2AE35) & 0xFFFFFFFF
            h ^= h >> 16
            sector, words = slots[h % 100]
            assert name == f"{words[(h // 100) % len(words)]}-{rank}.{sector}.example"
    assert domain_names(3, 9) == [domain_name(9), domain_name(10), domain_name(11)]
