"""``tlssim explain``: why the gateway does what it does with a destination, or with what a connection shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sim.cli.caveats import verify_caveats
from sim.cli.modes import policy_file
from sim.cli.options import (
    json_option,
    minimum_tls_of,
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
    from sim.studies.explain import Evidence, Ruling
    from sim.terms import Setting

#: Attempts of the retry table that are printed from its beginning, and from its end.
_HEAD, _TAIL = 8, 3
_DECISIONS = (
    Column("setting", "TLS setting"),
    Column("seen", "it shows"),
    Column("outcome", "outcome"),
    Column("reason", "reason"),
    Column("open", "open"),
)
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
    help="What one connection shows, in place of a domain: 'stage=tls chain=expired names=san-mx'.",
)
@click.option("--setting", metavar="SETTING", help="One TLS setting alone: required_verify, ...")
@click.option("--minimum-tls", metavar="VERSION", help="Lowest TLS version the sender accepts, beside --evidence.")
@population_options
@policy_option
@profiles_option
@seed_option
@json_option
def explain_command(
    what: str | None,
    scenario: str | None,
    evidence: str | None,
    setting: str | None,
    minimum_tls: str | None,
    as_json: bool,
    **world: Any,
) -> None:
    """Explain what happens to the mail of a destination, or what each setting makes of what a connection shows.

    For a domain: the line of the policy that rules it, what its MX hosts may show, what follows, and the retries with
    their times until the bounce. Evidence has the parts stage, tls_version, chain and names.

    \b
      tlssim explain agency-333.gov.example data/examples/scenario.toml
      tlssim explain --evidence 'stage=tls chain=expired names=san-mx'
    """  # noqa: D301
    if (what is None) == (evidence is None):
        raise ScenarioError(f"say a DOMAIN or --evidence{'' if what is None else ', not both'}")
    wanted = None if setting is None else _setting(setting)
    if evidence is not None:
        _evidence(evidence, wanted, minimum_tls, as_json=as_json)
        return
    if minimum_tls is not None:
        raise ScenarioError(
            complaint("--minimum-tls", minimum_tls, "only beside --evidence; else say it in a scenario")
        )
    assert what is not None
    _domain(scenario_of(scenario, **world), what, wanted, as_json=as_json)


def _setting(spelling: str) -> Setting:
    from sim.policy.spellings import setting_of

    found = setting_of("--setting", spelling)
    if found is None:
        raise ScenarioError(complaint("--setting", spelling, "a setting of its own, such as required"))
    return found


def _evidence(text: str, wanted: Setting | None, minimum_tls: str | None, *, as_json: bool) -> None:
    from sim.scenario import MINIMUM_TLS_SINCE_2020
    from sim.studies.explain import Evidence, explain_evidence
    from sim.terms import Setting

    shown = Evidence.parse(text)
    lowest = MINIMUM_TLS_SINCE_2020 if minimum_tls is None else minimum_tls_of(minimum_tls)
    frame = explain_evidence(shown, tuple(Setting) if wanted is None else (wanted,), minimum_tls=lowest)
    if as_json:
        say_json({"command": "explain", "evidence": shown.text(), "decisions": frame})
        return
    rows = rows_of(frame)
    say(wrapped(f"One connection that shows {shown.text()}:"))
    say()
    say(table([{**row, "open": "" if row["settled"] else row["switches"] or "?"} for row in rows], _DECISIONS))
    say()
    _say_next(rows)
    _say_sources(shown, rows)


def _say_next(rows: list[dict[str, Any]]) -> None:
    told: dict[str, str] = {}
    for row in rows:
        told.setdefault(row["outcome"], row["next"])
    for outcome, text in told.items():
        say(wrapped(f"{outcome}: {text}."))


def _say_sources(shown: Evidence, rows: list[dict[str, Any]]) -> None:
    from sim.terms import Stage

    if shown.stage == Stage.TLS:
        rules = {row["name_rule"]: row["name_rule_holds"] for row in rows if row["name_rule"] != "none"}
        for rule, holds in rules.items():
            say(wrapped(f"The name rule of {rule} {'holds' if holds else 'does not hold'}."))
    say(wrapped(f"Source: {rows[0]['source']}."))
    for name in sorted({name for row in rows for name in row["switches"].split()}):
        page = f"docs/decisions/{name.replace('_', '-')}.md"
        say(wrapped(f"open, {name}: no source settles it; the choice and its switch: {page}."))
    if any(not row["settled"] and not row["switches"] for row in rows):
        say(wrapped("open, ?: no source settles it: docs/decisions/unsettled-cells.md."))


def _domain(file: ScenarioFile, domain: str, wanted: Setting | None, *, as_json: bool) -> None:
    from sim.studies.explain import conclusion, explain_hosts, nearest_domain, retry_table, ruling

    scenario = file.scenario
    ruled = ruling(scenario, domain)
    in_force = ruled.entry.tls
    assert in_force is not None
    setting = in_force if wanted is None else wanted
    hosts = explain_hosts(scenario, domain, setting)
    retries = retry_table(ruled.profile, scenario.policy.host_retry)
    known = not hosts.empty
    concluded = conclusion(scenario, domain, setting) if known else None
    guess = "" if known else nearest_domain(scenario, domain)
    caveats = verify_caveats(scenario.population, [setting.label]) if known else []
    if as_json:
        say_json(
            {
                "command": "explain",
                "domain": domain,
                "policy": {"file": policy_file(scenario.policy), "entry": ruled.entry.domain, "line": ruled.entry.line},
                "tls_in_force": in_force.label,
                "setting": setting.label,
                "bounce_profile": ruled.profile.name,
                "hosts": hosts,
                "retries": retries,
                "conclusion": concluded,
                "notes": [*([guess.strip()] if guess else []), *caveats],
            }
        )
        return
    say(wrapped(_ruled(ruled, policy_file(scenario.policy))))
    if wanted is not None and wanted != in_force:
        say(wrapped(f"What follows is what {wanted.label} would do."))
    say()
    if hosts.empty:
        say(
            wrapped(
                f"{domain} is none of the destinations of {scenario.population.name}: what its hosts show is not "
                f"known.{guess}"
            )
        )
    else:
        rows = rows_of(hosts)
        say(table(rows, _HOSTS))
        say()
        _say_next(rows)
        say(
            wrapped(
                f"Drawn from the figures of {scenario.population.name}, seed {scenario.population.seed}: not looked up."
            )
        )
    say()
    _say_retries(rows_of(retries), ruled)
    for text in (concluded, *caveats):
        if text:
            say(wrapped(text))


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


def _say_retries(rows: list[dict[str, Any]], ruled: Ruling) -> None:
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
    say(
        wrapped(
            f"Failed passes run the destination's own timer; a 4yz answer runs the message's, by {ruled.profile.name}. "
            "How waits grow is in docs/decisions/retry-growth.md."
        )
    )
