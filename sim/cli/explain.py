"""``tlssim explain``: why a sender does what it does with a destination, or with what connections show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sim.cli.caveats import verify_caveats
from sim.cli.explain_evidence import Question, explain_connection, explain_hosts_of_a_pass
from sim.cli.explain_words import say_next
from sim.cli.modes import policy_file
from sim.cli.options import (
    json_option,
    policy_option,
    population_options,
    profiles_option,
    scenario_of,
    seed_option,
)
from sim.cli.text import Column, rows_of, say, say_json, share, table, wrapped
from sim.errors import ScenarioError, complaint

if TYPE_CHECKING:
    from sim.formats.scenario_file import ScenarioFile
    from sim.policy.profile import Profile
    from sim.studies.explain import Ruling
    from sim.terms import Setting, Term
    from sim.world.population import Population

#: Attempts of the retry table that are printed from its beginning, and from its end.
_HEAD, _TAIL = 8, 3
_HOSTS = (
    Column("mx_host", "MX host, in order"),
    Column("seen", "it may show"),
    Column("probability", "how often\n%", share),
    Column("outcome", "outcome"),
    Column("reason", "reason"),
)
_RETRIES = (Column("name", ""), Column("after", "after"), Column("wait", "waited"))


@click.command("explain", short_help="Why: the decision, its rule and source, and what happens next and when.")
@click.argument("what", required=False, metavar="[DOMAIN]")
@click.argument("scenario", required=False, metavar="[SCENARIO.toml]")
@click.option(
    "--evidence",
    metavar="TEXT",
    multiple=True,
    help="What one connection shows, in place of a domain: 'stage=tls chain=expired names=san-mx'. Given again: the "
    "next MX host of the same pass.",
)
@click.option("--sender", metavar="KEY", help="Whose tables: esa, postfix, ...; beside --evidence all.  [default: esa]")
@click.option("--setting", metavar="SETTING", help="One TLS setting alone: required_verify, dane-only, ...")
@click.option("--switch", "switches", metavar="NAME=VALUE", multiple=True, help="A switch of the sender: mta_sts=true.")
@click.option("--dane-option", metavar="HOW", help="How the sender uses DANE: none, opportunistic, mandatory.")
@click.option("--minimum-tls", metavar="VERSION", help="Lowest TLS version the sender accepts, beside --evidence.")
@population_options
@policy_option
@profiles_option
@seed_option
@json_option
def explain_command(
    what: str | None,
    scenario: str | None,
    evidence: tuple[str, ...],
    sender: str | None,
    setting: str | None,
    switches: tuple[str, ...],
    dane_option: str | None,
    minimum_tls: str | None,
    as_json: bool,
    **world: Any,
) -> None:
    """Explain what happens to the mail of a destination, or what each setting makes of what connections show.

    For a domain: the line of the policy that rules it, what its MX hosts may show, what follows, and the retries with
    their times until the bounce. Evidence has the parts stage, tls_version, chain, names, dane, mta_sts, mx_listed,
    age_s and attempt (docs/explain.md).

    \b
      tlssim explain agency-333.gov.example data/examples/scenario.toml
      tlssim explain --evidence 'stage=tls chain=expired names=san-mx'
      tlssim explain --evidence 'stage=handshake-failed age_s=400' --sender postfix
      tlssim explain --evidence stage=refused-5xx --evidence 'stage=tls names=san-mx' --sender all --setting required
    """  # noqa: D301
    if (what is None) == (not evidence):
        raise ScenarioError(f"say a DOMAIN or --evidence{'' if what is None else ', not both'}")
    if evidence:
        question = Question.of(sender, setting, switches, dane_option, minimum_tls)
        answer = explain_connection if len(evidence) == 1 else explain_hosts_of_a_pass
        answer(evidence, question, as_json=as_json)
        return
    given = {"--minimum-tls": minimum_tls, "--dane-option": dane_option, "--switch": " ".join(switches) or None}
    for name, value in given.items():
        if value is not None:
            raise ScenarioError(complaint(name, value, "only beside --evidence; else say it in a scenario"))
    assert what is not None
    if sender == "all":
        raise ScenarioError(complaint("--sender", sender, "one sender, beside a domain"))
    _domain(scenario_of(scenario, **world), what, sender, setting, as_json=as_json)


def _domain(file: ScenarioFile, domain: str, key: str | None, wanted: str | None, *, as_json: bool) -> None:
    from sim.policy.spellings import sender_setting
    from sim.studies.explain import conclusion, explain_hosts, nearest_domain, retries_of, ruling

    scenario = file.scenario.sent_by(key)
    sender = scenario.profile
    ruled = ruling(scenario, domain)
    in_force = ruled.entry.tls
    assert in_force is not None
    setting = scenario.own_setting(in_force)
    if wanted is not None:
        setting = sender_setting("--setting", wanted, sender)
    hosts = explain_hosts(scenario, domain, setting)
    retries = retries_of(scenario, domain)
    known = not hosts.empty
    concluded = conclusion(scenario, domain, setting) if known else None
    guess = "" if known else nearest_domain(scenario, domain)
    caveats = verify_caveats(scenario.population, [setting.label]) if known else []
    if as_json:
        say_json(
            {
                "command": "explain",
                "domain": domain,
                "sender": sender.key,
                "policy": {"file": policy_file(scenario.policy), "entry": ruled.entry.domain, "line": ruled.entry.line},
                "tls_in_force": in_force.label,
                "setting": setting.label,
                "bounce_profile": ruled.profile.name if sender.queueing is None else None,
                "hosts": hosts,
                "retries": retries,
                "conclusion": concluded,
                "notes": [*([guess.strip()] if guess else []), *caveats],
                "source": sender.source,
            }
        )
        return
    say(wrapped(_ruled(ruled, policy_file(scenario.policy))))
    if told := _asked(sender, in_force, setting):
        say(wrapped(told))
    say()
    _say_hosts(rows_of(hosts), domain, scenario.population, sender, guess)
    say()
    _say_retries(rows_of(retries), ruled, sender)
    for text in (concluded, *caveats):
        if text:
            say(wrapped(text))


def _say_hosts(rows: list[dict[str, Any]], domain: str, population: Population, sender: Profile, guess: str) -> None:
    from sim.policy.sheets import aged_words

    if not rows:
        unknown = f"{domain} is none of the destinations of {population.name}: what its hosts show is not known."
        say(wrapped(f"{unknown}{guess}"))
        return
    say(table(rows, _HOSTS))
    say()
    say_next(rows)
    if told := aged_words(sender):
        say(wrapped(f"{told} These rows are of a young one."))
    say(wrapped(f"Drawn from the figures of {population.name}, seed {population.seed}: not looked up."))


def _ruled(ruled: Ruling, file: str | None) -> str:
    setting = ruled.entry.tls
    assert setting is not None
    where = "the policy" if file is None else file
    if ruled.written is None:
        text = f"{ruled.domain} matches no entry of {where}: DEFAULT rules it"
    else:
        line = f":{ruled.written.line}" if ruled.written.line and file is not None else ""
        text = f"{ruled.domain} is ruled by [{ruled.written.domain}] of {where}{line}"
    inherited = " (inherited from DEFAULT)" if ruled.written is not None and ruled.tls_inherited else ""
    limits = (
        f"{ruled.entry.max_host_concurrency:,} connections, {ruled.entry.max_messages_per_connection:,} messages each"
    )
    return f"{text}: TLS {setting.label}{inherited}; {limits}; bounce profile {ruled.profile.name}."


def _asked(sender: Profile, in_force: Setting, setting: Term) -> str:
    """Say whose setting what follows is of, where it is not the one in force."""
    if sender.settings is type(in_force):
        return f"What follows is what {setting.label} would do." if setting != in_force else ""
    if setting != sender.nearest[in_force]:
        return f"What follows is what {sender.title} would do with {setting.label}."
    return (
        f"What follows is what {sender.title} would do with {setting.label}, its setting nearest to {in_force.label}."
    )


def _say_retries(rows: list[dict[str, Any]], ruled: Ruling, sender: Profile) -> None:
    from sim.results.findings import duration
    from sim.studies.explain import clock

    shown = [
        {
            "name": row["what"] if not row["attempt"] else f"attempt {row['attempt']}",
            "after": clock(row["after_s"]),
            "wait": duration(row["wait_s"]) if row["wait_s"] else "",
        }
        for row in rows
    ]
    if len(shown) > _HEAD + _TAIL + 1:
        shown = [*shown[:_HEAD], {"name": "...", "after": "", "wait": ""}, *shown[-_TAIL:]]
    say(wrapped("A message that no host will take, alone in the queue, is tried so (attempts that fail at once):"))
    say()
    say(table(shown, _RETRIES))
    say()
    if sender.queueing is not None:
        say(wrapped(f"{sender.title}'s own queue, as shipped. Source: {sender.queueing.source}."))
        return
    say(
        wrapped(
            f"Failed passes run the destination's own timer; a 4yz answer runs the message's, by {ruled.profile.name}. "
            "How waits grow is in docs/decisions/retry-growth.md."
        )
    )
