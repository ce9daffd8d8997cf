from __future__ import annotations

import pytest

from sim.errors import PopulationError
from sim.world.figures import load, preset_names
from sim.world.names import HEAD, SECTORS, domain_name, domain_names


def test_names_are_unique_invented_and_carry_their_rank() -> None:
    names = domain_names(20_000)
    assert len(set(names)) == len(names)
    assert names[: len(HEAD)] == list(HEAD)
    for rank, name in enumerate(names[len(HEAD) :], start=len(HEAD) + 1):
        word, sector, top = name.split(".")
        assert (int(word.rsplit("-", 1)[1]), top) == (rank, "example")
        assert sector in SECTORS


def test_sectors_have_the_stated_sizes() -> None:
    assert sum(size for size, _ in SECTORS.values()) == 100
    sectors = [name.split(".")[1] for name in domain_names(20_010)[10:]]
    for sector, (size, _) in SECTORS.items():
        # 20,000 ranks scattered by a hash: five binomial standard errors.
        assert abs(sectors.count(sector) / 20_000 - size / 100) < 5 * (size / 100 / 20_000) ** 0.5


def test_ranks_are_fixed_for_ever() -> None:
    names = [
        "google-mail.example",
        "code-11.tech.example",
        "news-100.media.example",
        "assure-1000000.insurance.example",
    ]
    assert [domain_name(rank) for rank in (1, 11, 100, 1_000_000)] == names
    with pytest.raises(PopulationError, match=r"rank = 0; allowed: 1 or more"):
        domain_name(0)


@pytest.mark.parametrize("preset", preset_names())
def test_consumer_domains_stand_at_their_ranks(preset: str) -> None:
    ranked = {p.rank: p for p in load(preset).providers if p.rank is not None}
    assert sorted(ranked) == list(range(int(load(preset).number("first_rank")), len(HEAD) + 1))
    for rank, provider in ranked.items():
        assert domain_name(rank) in provider.consumer_domains
