"""What a reader of results has to know about a drawn population, in one sentence each."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.scenario import Scenario
    from sim.world.population import Population

#: Below so many delivered messages a row's delay percentiles are those of a few.
FEW = 100
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
    figure = population.figure(_PARAMETER)
    if figure is not None and figure["status"] == "measured":
        return []
    told = _ABOUT if figure is None else f"{_PARAMETER} = {figure['value']:g} ({_ABOUT}) is {figure['status']}"
    return [f"{' and '.join(resting)} rest on an unmeasured figure: {told}; 'tlssim modes' shows both ends."]


def sender_caveats(scenario: Scenario) -> list[str]:
    """Say what of the policy another sender does not use, and what its queue leaves out."""
    if scenario.is_gateway:
        return []
    known = scenario.profile
    whole = "" if scenario.sender_setting is None else ", here replaced by one setting of its own"
    told = (
        f"The sender is {known.title}: of the policy it takes the TLS settings, each as its nearest{whole}; limits, "
        f"bounce profiles and DANE options are the gateway's and not used. 'tlssim table {known.key}' has its tables."
    )
    found = [told]
    if known.queueing is not None and known.queueing.notes:
        found.append(f"Its queue: {known.queueing.notes}")
    return found


def ceiling_caveats(most: int, where: str) -> list[str]:
    """Say that the system-wide ceiling of connections was reached.

    Parameters
    ----------
    most : the ceiling, connections.
    where : the end of the sentence; empty where it was reached nowhere.
    """
    told = (
        f"The system-wide ceiling, max_connections = {most:,}, was reached {where}: mail waits for a place then, and "
        "who goes first is an assumption (docs/decisions/ceiling.md)."
    )
    return [told] if where else []


def row_caveats(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say that rows of different settings are of different mail, and which rest on few delivered messages.

    Parameters
    ----------
    rows : of `Result.by_setting`.
    """
    from sim.terms import Fate

    found = []
    met = [row for row in rows if row["messages"]]
    if len(met) > 1:
        found.append(
            "Each row is the mail of its own destinations, so rows do not compare the settings; 'tlssim modes' sends "
            "the same mail under each."
        )
    delivered = {
        row["setting"]: sum(row[f"{fate.key}_messages"] for fate in Fate if fate < Fate.BOUNCED) for row in met
    }
    few = [f"{setting} ({number})" for setting, number in delivered.items() if 0 < number < FEW]
    if few:
        found.append(f"p50, p95 and p99 rest on fewer than {FEW} delivered messages under {', '.join(few)}.")
    return found


def drawn_caveats(population: Population) -> list[str]:
    """Name a drawn population, and say that it is drawn."""
    if population.drawn_by is None:
        return []
    named = f"Population {population.name}, seed {population.seed}"
    return [f"{named}: certificates and hosting of these domains are drawn from published figures, not looked up."]
