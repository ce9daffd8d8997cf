"""Options that several commands share, and the scenario they describe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sim.errors import ScenarioError, complaint

if TYPE_CHECKING:
    from sim.formats.destination_controls import Policy
    from sim.formats.scenario_file import ScenarioFile
    from sim.world.population import Population

F = TypeVar("F", bound=Callable[..., Any])

POPULATION, DOMAINS, MESSAGES = "2020s-web", 5_000, 20_000


class Number(click.ParamType):
    """A number in a range; a fault names the range as every message of this program does."""

    name = "number"

    def __init__(self, low: float, high: float, *, whole: bool = True) -> None:
        self.low, self.high, self.whole = low, high, whole

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        """Read the number."""
        try:
            number = int(str(value).replace("_", "")) if self.whole else float(value)
        except ValueError:
            number = float("nan")
        if not self.low <= number <= self.high:
            kind = "a whole number, " if self.whole else ""
            name = param.opts[0] if param is not None else "value"
            raise ScenarioError(complaint(name, value, f"{kind}{self.low:,g} to {self.high:,g}"))
        return number


class Word(click.ParamType):
    """One of some words; a fault names them, and the nearest."""

    name = "word"

    def __init__(self, *words: str) -> None:
        self.words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read the word."""
        if value not in self.words:
            raise ScenarioError(complaint(param.opts[0] if param is not None else "value", value, self.words))
        return str(value)


COUNT = Number(1, 10**12)
SEED = Number(0, 2**63 - 1)

seed_option = click.option("--seed", type=SEED, help="Seed of all chance.  [default: the scenario's, or 1]")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
out_option = click.option("--out", metavar="DIR", help="Write tables and charts to this folder.")
strict_option = click.option("--strict", is_flag=True, help="Make an error of what is otherwise guessed or ignored.")
profiles_option = click.option(
    "--profiles", metavar="FILE", help="Bounce profiles that the policy names, TOML.  [default: Default alone]"
)


def several(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Put options together; the first is listed first."""

    def apply(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return apply


population_options = several(
    click.option("--population", metavar="PRESET", help=f"Whose behaviour.  [default: {POPULATION}]"),
    click.option("--domains", type=Number(1, 10_000_000), help=f"Destinations to draw.  [default: {DOMAINS:,}]"),
    click.option("--csv", metavar="FILE", help="Your own destinations instead: columns domain, messages (a day)."),
)

world_options = several(
    click.argument("scenario", required=False, metavar="[SCENARIO.toml]"),
    population_options,
    click.option(
        "--messages",
        type=COUNT,
        help=f"Messages expected in all.  [default: the scenario's, those of --csv, or {MESSAGES:,}]",
    ),
    click.option("--days", type=Number(0.01, 366, whole=False), help="Arrival window in days.  [default: 1]"),
    click.option(
        "--policy", metavar="FILE", help="Destination Controls, for limits and profiles.  [default: as shipped]"
    ),
    profiles_option,
    seed_option,
)


def scenario_of(
    scenario: str | None,
    *,
    population: str | None,
    domains: int | None,
    csv: str | None,
    messages: int | None,
    days: float | None,
    policy: str | None,
    profiles: str | None,
    seed: int | None,
) -> ScenarioFile:
    """Return what a scenario file or flags describe; ``--messages``, ``--days`` and ``--seed`` go with either."""
    from sim.formats.scenario_file import ScenarioFile, read_scenario
    from sim.policy.destinations import DestinationControls
    from sim.scenario import Scenario
    from sim.world.workload import Workload

    if scenario is not None:
        flags = {"--population": population, "--domains": domains, "--csv": csv}
        flags |= {"--policy": policy, "--profiles": profiles}
        given = next((name for name, value in flags.items() if value is not None), None)
        if given is not None:
            raise ScenarioError(complaint(given, flags[given], f"not beside a scenario file; say it in {scenario}"))
        file = read_scenario(scenario)
        asked = file.scenario if days is None else replace(file.scenario, days=days)
    else:
        people = population_of(population, domains, csv, seed)
        table = policy_of(policy, profiles) if policy is not None else DestinationControls.shipped()
        if policy is None and profiles is not None:
            raise ScenarioError(complaint("--profiles", profiles, "only beside --policy, whose entries name them"))
        amount = MESSAGES if messages is None and not people.messages_are_counts else messages
        messages = amount
        asked = Scenario(policy=table, population=people, workload=Workload(), days=1.0 if days is None else days)
        file = ScenarioFile(source="the command line", scenario=asked)
    if messages is not None:
        if asked.workload.trace is not None:
            raise ScenarioError(complaint("--messages", messages, "not for a scenario with a trace"))
        asked = replace(asked, workload=asked.workload.total(messages, asked.days))
    return replace(file, scenario=asked, seed=file.seed if seed is None else seed)


def population_of(population: str | None, domains: int | None, csv: str | None, seed: int | None) -> Population:
    """Return the population that flags describe."""
    from sim.world.population import Population

    preset, seed = population or POPULATION, 1 if seed is None else seed
    if csv is None:
        return Population.preset(preset, domains=domains or DOMAINS, seed=seed)
    if domains is not None:
        raise ScenarioError(complaint("--domains", domains, "not beside --csv, which lists the destinations"))
    return Population.read_csv(csv, preset=preset, seed=seed)


def policy_of(policy: str, profiles: str | None, *, strict: bool = False) -> Policy:
    """Read a table and the bounce profiles it names."""
    from sim.formats.destination_controls import Policy

    return Policy.read(policy, profiles=profiles, strict=strict)


