"""Options that several commands share, and the scenario they describe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sim.errors import ScenarioError, complaint
from sim.terms import TlsVersion, Vary

if TYPE_CHECKING:
    from sim.formats.destination_controls import Policy, Profiles
    from sim.formats.scenario_file import ScenarioFile
    from sim.world.population import Population

F = TypeVar("F", bound=Callable[..., Any])

POPULATION, DOMAINS, MESSAGES = "2020s-web", 5_000, 20_000


Read = Callable[[click.Context, click.Parameter, str | None], Any]


def within(low: float, high: float, *, whole: bool = True) -> Read:
    """Return a callback that reads a number; a fault names the range, as every message of this program does."""

    def read(_: click.Context, param: click.Parameter, value: str | None) -> int | float | None:
        if value is None:
            return None
        try:
            number = int(value.replace("_", "")) if whole else float(value)
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            kind = "a whole number, " if whole else ""
            raise ScenarioError(complaint(param.opts[0], value, f"{kind}{low:,} to {high:,}"))
        return number

    return read


def one_of(*words: str) -> Read:
    """Return a callback that reads one of some words; a fault names them, and the nearest."""

    def read(_: click.Context, param: click.Parameter, value: str | None) -> str | None:
        if value is not None and value not in words:
            raise ScenarioError(complaint(param.opts[0], value, words))
        return value

    return read


def number_option(name: str, low: float, high: float, text: str, *, whole: bool = True) -> Callable[[F], F]:
    """Return an option whose value is a number."""
    return click.option(name, metavar="N", callback=within(low, high, whole=whole), help=text)


seed_option = number_option("--seed", 0, 2**63 - 1, "Seed of all chance.  [default: the scenario's, or 1]")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
out_option = click.option("--out", metavar="DIR", help="Write tables and charts to this folder.")
#: What the other replications of a study draw anew (`sim.studies.replications.varied`).
vary_option = click.option(
    "--vary",
    metavar="WHAT",
    callback=one_of(*Vary.spellings()),
    help='"chance", "chance and population" or "chance, population and evidence".  [default: chance, and the '
    "population where one is drawn]",
)
precision_option = number_option(
    "--precision",
    0.001,
    50,
    "Instead of a number: runs until every share is known to plus or minus N percentage points, 20 at least.",
    whole=False,
)
most_option = number_option("--most", 20, 10_000, "Replications at which --precision gives up.  [default: 200]")
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


csv_option = click.option(
    "--csv",
    metavar="FILE",
    help="Your own destinations instead: columns domain, messages (on a mean day of the week).",
)
population_options = several(
    click.option("--population", metavar="PRESET", help=f"Whose behaviour.  [default: {POPULATION}]"),
    number_option("--domains", 1, 10_000_000, f"Destinations to draw.  [default: {DOMAINS:,}]"),
    csv_option,
)
#: Of a command that asks nobody unless told to.
asked_population_options = several(
    click.option(
        "--population", metavar="PRESET", help=f"Whose behaviour.  [default: none; beside --csv {POPULATION}]"
    ),
    number_option("--domains", 1, 10_000_000, f"Destinations to draw, without --csv.  [default: {DOMAINS:,}]"),
    csv_option,
    number_option("--seed", 0, 2**63 - 1, "Seed of the drawing, beside --population or --csv.  [default: 1]"),
)
scenario_argument = click.argument("scenario", required=False, metavar="[SCENARIO.toml]")
policy_option = click.option("--policy", metavar="FILE", help="Destination Controls.  [default: TLS No]")
mail_options = several(
    number_option(
        "--messages",
        1,
        10**12,
        f"Messages expected in all.  [default: the scenario's, --csv's, or {MESSAGES:,}]",
    ),
    number_option("--days", 0.01, 366, "Arrival window in days.  [default: the scenario's, or 1]", whole=False),
)


sender_option = click.option(
    "--sender", metavar="KEY", help="Another sender: postfix, exim, ...  [default: the scenario's, or esa]"
)
sender_setting_option = click.option(
    "--sender-setting", metavar="SETTING", help="One of that sender's own settings, for every destination."
)


def sent_by(
    file: ScenarioFile, sender: str | None, setting: str | None = None, *, every_setting: bool = False
) -> ScenarioFile:
    """Return the scenario with another sender, as shipped, and one of the sender's own settings where given.

    ``every_setting`` tells that the command asks all settings, so that none of the file's is lost.

    Raises
    ------
    ScenarioError
        With the senders, or the settings, that there are.
    """
    from sim.policy.profiles import SENDERS

    if sender is not None and sender not in SENDERS:
        raise ScenarioError(complaint("--sender", sender, SENDERS))
    changed = file.scenario
    if sender is not None and sender != changed.sender:
        if changed.sender_setting is not None and setting is None and not every_setting:
            allowed = f"beside --sender-setting, since {file.source} has one of {changed.profile.title}'s settings"
            raise ScenarioError(complaint("--sender", sender, allowed))
        changed = changed.sent_by(sender)
    return replace(file, scenario=changed if setting is None else replace(changed, sender_setting=setting))


def minimum_tls_of(spelling: str) -> TlsVersion:
    """Read ``--minimum-tls``.

    Raises
    ------
    ScenarioError
        With the versions that the help names.
    """
    from sim.studies.whatif import tls_version_of

    try:
        return tls_version_of(spelling)
    except ScenarioError:
        raise ScenarioError(complaint("--minimum-tls", spelling, ["1.0", "1.1", "1.2", "1.3"])) from None


def amount_of(
    file: ScenarioFile, replications: int | None, precision: float | None, most: int | None
) -> dict[str, Any]:
    """Return the arguments of a study that say how often it is repeated: what the flags say wins over the file.

    Raises
    ------
    ScenarioError
        When both flags are given, or ``--most`` without a precision.
    """
    if replications is not None and precision is not None:
        raise ScenarioError(complaint("--precision", precision, "not beside --replications, whose number it decides"))
    if replications is None and precision is None:
        replications, precision = file.replications, file.precision
    if most is not None and precision is None:
        raise ScenarioError(complaint("--most", most, "only beside a precision"))
    found: dict[str, Any] = {"replications": replications, "precision": precision}
    return found if most is None else found | {"most": most}


def scenario_of(
    scenario: str | None,
    *,
    messages: int | None = None,
    days: float | None = None,
    seed: int | None = None,
    **flags: Any,
) -> ScenarioFile:
    """Return what a scenario file or flags describe; ``--messages``, ``--days`` and ``--seed`` go with either."""
    if scenario is None:
        return _of_flags(messages=messages, days=days, seed=seed, **flags)
    from sim.formats.scenario_file import read_scenario

    for name, value in flags.items():
        if value is not None:
            raise ScenarioError(complaint(f"--{name}", value, f"not beside a scenario file; say it in {scenario}"))
    file = read_scenario(scenario)
    asked = file.scenario if days is None else replace(file.scenario, days=days)
    if messages is not None:
        if asked.workload.trace is not None:
            raise ScenarioError(complaint("--messages", messages, "not for a scenario with a trace"))
        asked = replace(asked, workload=asked.workload.total(messages, asked.days))
    return replace(file, scenario=asked, seed=file.seed if seed is None else seed)


def _of_flags(
    *,
    messages: int | None,
    days: float | None,
    seed: int | None,
    population: str | None,
    domains: int | None,
    csv: str | None,
    policy: str | None,
    profiles: str | None = None,
) -> ScenarioFile:
    from sim.formats.scenario_file import ScenarioFile
    from sim.policy.destinations import DestinationControls
    from sim.scenario import Scenario
    from sim.world.workload import Workload

    if policy is None and profiles is not None:
        raise ScenarioError(complaint("--profiles", profiles, "only beside --policy, whose entries name them"))
    table = DestinationControls.shipped() if policy is None else policy_of(policy, profiles)
    people = population_of(population, domains, csv, seed)
    window = 1.0 if days is None else days
    amount = MESSAGES if messages is None and not people.messages_are_counts else messages
    mail = Workload() if amount is None else Workload().total(amount, window)
    scenario = Scenario(policy=table, population=people, workload=mail, days=window)
    return ScenarioFile(source="the command line", scenario=scenario, seed=1 if seed is None else seed)


def population_of(population: str | None, domains: int | None, csv: str | None, seed: int | None) -> Population:
    """Return the population that flags describe."""
    from sim.world.population import Population

    preset, seed = population or POPULATION, 1 if seed is None else seed
    if preset not in Population.presets():
        raise ScenarioError(complaint("--population", preset, Population.presets()))
    if csv is None:
        return Population.preset(preset, domains=domains or DOMAINS, seed=seed)
    if domains is not None:
        raise ScenarioError(complaint("--domains", domains, "not beside --csv, which lists the destinations"))
    return Population.read_csv(csv, preset=preset, seed=seed)


def policy_of(policy: str, profiles: Profiles, *, strict: bool = False) -> Policy:
    """Read a table, in whichever form it is written, and the bounce profiles it names."""
    from sim.formats.destination_controls import Policy

    return Policy.read(policy, profiles=profiles, strict=strict)
