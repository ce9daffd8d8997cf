"""What a reader of results has to know about a drawn population, in one sentence each."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.world.population import Population

_PARAMETER = "p_cn_ptr"
_ABOUT = "share of certificates whose CN is the PTR name"


def verify_caveats(population: Population, settings: Collection[str]) -> list[str]:
    """Say that verification rests on an unmeasured figure, where a setting in use depends on it.

    Parameters
    ----------
    population : one that nobody drew from figures has nothing to say.
    settings : labels of the TLS settings that mail, entries or rows have.
    """
    from sim.terms import Setting

    resting = (Setting.PREFERRED_VERIFY.label, Setting.REQUIRED_VERIFY.label)
    if population.drawn_by is None or not set(resting) & set(settings):
        return []
    account = population.account
    rows = account[(account["parameter"] == _PARAMETER) & (account["role"] == "input")].to_dict("records")
    if rows and rows[0]["status"] == "measured":
        return []
    figure = f"{_PARAMETER} = {rows[0]['value']:g} ({_ABOUT}) is {rows[0]['status']}" if rows else _ABOUT
    return [f"{' and '.join(resting)} rest on an unmeasured figure: {figure}; 'tlssim modes' shows both ends."]


def drawn_caveats(population: Population) -> list[str]:
    """Name a drawn population, and say that it is drawn."""
    if population.drawn_by is None:
        return []
    named = f"Population {population.name}, seed {population.seed}"
    return [f"{named}: certificates and hosting of these domains are drawn from published figures, not looked up."]
