"""``tlssim expected``: what one try comes to, from probabilities alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sim.cli.caveats import verify_caveats
from sim.cli.modes import told
from sim.cli.options import (
    json_option,
    one_of,
    out_option,
    policy_option,
    population_options,
    scenario_argument,
    scenario_of,
    seed_option,
)
from sim.cli.output import Output
from sim.cli.text import Column, count, counted, rows_of, say, say_json, share, table, wrapped
from sim.errors import ScenarioError, complaint

if TYPE_CHECKING:
    from pandas import DataFrame

    from sim.formats.scenario_file import ScenarioFile

_ENDS = (
    Column("in_clear", "in clear\n%", share),
    Column("encrypted", "encrypted\n%", share),
    Column("verified", "verified\n%", share),
    Column("bounced", "bounced\n%", share),
    Column("deferred", "deferred\n%", share),
)
COLUMNS = (Column("setting", "TLS setting"), *_ENDS)
_STEPS = (
    *_ENDS[:3],
    Column("next_host", "next host\n%", share),
    Column("bounced_if_last", "or bounce\n%", share),
    *_ENDS[3:],
)
HOSTS = (Column("mx_host", "MX host"), Column("domains", "domains", count), *_STEPS)
#: MX hosts that are printed, those of the most mail.
_SHOWN = 15


@click.command("expected", short_help="What one try at delivery comes to, without a simulation.")
@scenario_argument
@population_options
@policy_option
@seed_option
@click.option(
    "--per",
    metavar="UNIT",
    callback=one_of("pass", "message"),
    help="pass: one try; message: with all its retries, alone in the queue.  [default: pass]",
)
@click.option(
    "--by",
    metavar="UNIT",
    callback=one_of("domain", "mx_host"),
    help="domain, or mx_host: what one connection to each MX host comes to.  [default: domain]",
)
@click.option("--sender", metavar="KEY", help="Another sender, as shipped: postfix, ...  [default: the scenario's]")
@json_option
@out_option
def expected_command(
    per: str | None, by: str | None, sender: str | None, as_json: bool, out: str | None, **world: Any
) -> None:
    """Tell what one try at delivery comes to under each TLS setting, without a simulation.

    Probabilities of the population times the tables of the sender; with --per message summed over the retries of a
    message that is alone. Queues and limits have no part in it; 'tlssim modes' has them. With --out, expected.csv has a
    row for each destination and setting; with --by mx_host, for each of its MX hosts.
    """
    if sender is not None:
        from sim.policy.profiles import SENDERS

        if sender not in SENDERS:
            raise ScenarioError(complaint("--sender", sender, SENDERS))
    with Output(out) as output:
        file = scenario_of(**world)
        from sim.delivery.expected import expected

        unit = per or "pass"
        frame = expected(file.scenario, per=unit, by=by or "domain", sender=sender)
        if by == "mx_host":
            written = output.write(lambda folder: _fill(frame, folder))
            _say_hosts(frame, file, written, as_json=as_json)
            return
        mail, domains = _rows(frame, "mail"), _rows(frame, "domains")
        written = output.write(lambda folder: _fill(frame, folder))
        population = file.scenario.population
        caveats = verify_caveats(population, [row["setting"] for row in mail])
        if file.scenario.timeline:
            told_of = counted(len(file.scenario.timeline), "event")
            caveats.append(f"The timeline is not used ({told_of}): without a clock all is as it is at the start.")
        if as_json:
            say_json(
                {
                    "command": "expected",
                    "per": unit,
                    "sender": sender or file.scenario.sender,
                    "population": population.name,
                    "population_hash": population.hash,
                    "policy_hash": file.scenario.policy.hash,
                    "by_setting": {"mail": mail, "domains": domains},
                    "notes": caveats,
                    "written": [str(path) for path in written],
                }
            )
            return
        what_of = {
            "pass": "What one try comes to: {}, no clock, no retries; deferred mail would be tried again.",
            "message": "What a message that is alone comes to: {}, no clock; deferred stands beside the fates.",
        }
        say(wrapped(what_of[unit].format(f"{len(population.domains):,} destinations of {population.name}")))
        for rows, what in ((mail, "Per cent of the mail"), (domains, "Per cent of the destinations")):
            say()
            say(f"{what}:")
            say(table(rows, COLUMNS))
        say()
        for caveat in caveats:
            say(wrapped(caveat))
        say(told(written, "--out DIR keeps a row for each destination and setting"))


def _say_hosts(frame: DataFrame, file: ScenarioFile, written: list[Path], *, as_json: bool) -> None:
    """Print what a connection to each MX host comes to, under the setting of its domain."""
    population = file.scenario.population
    if as_json:
        say_json(
            {
                "command": "expected",
                "by": "mx_host",
                "population": population.name,
                "population_hash": population.hash,
                "policy_hash": file.scenario.policy.hash,
                "hosts": frame,
                "written": [str(path) for path in written],
            }
        )
        return
    rows = _host_rows(frame)
    say(wrapped("What one connection to an MX host comes to, under the settings in force, by falling mail:"))
    say()
    say(table(rows[:_SHOWN], HOSTS))
    say()
    say(wrapped("next host: when there is none the message waits; or bounce: it bounces. The rest ends the pass."))
    say(told(written, "--out DIR keeps a row for each MX host of each destination and setting"))


def _host_rows(frame: DataFrame) -> list[dict[str, Any]]:
    """Return the shares by MX host, each domain with its mail, under the settings in force."""
    ends = [column.key for column in _STEPS]
    force = frame[frame["in_force"]]
    weighted = force[ends].mul(force["mail_share"], axis=0).assign(weight=force["mail_share"], domains=1)
    sums = weighted.groupby(force["mx_host"], sort=False).sum().sort_values("weight", ascending=False, kind="stable")
    shares = sums[ends].div(sums["weight"].where(sums["weight"] > 0, 1.0), axis=0)
    rows: list[dict[str, Any]] = rows_of(shares.assign(domains=sums["domains"]).reset_index())
    return rows


def _rows(frame: DataFrame, weighting: str) -> list[dict[str, Any]]:
    """Return the shares by setting, of mail or of destinations; last what the policy has in force."""
    ends = [column.key for column in COLUMNS[1:]]
    weight = frame["mail_share"] if weighting == "mail" else frame["mail_share"] * 0 + 1
    weighted = frame[ends].mul(weight, axis=0)
    sums = (
        weighted.groupby(frame["setting"], sort=False)
        .sum()
        .div(weight.groupby(frame["setting"], sort=False).sum(), axis=0)
    )
    rows: list[dict[str, Any]] = rows_of(sums.reset_index())
    force = frame["in_force"]
    if len(set(frame.loc[force, "setting"])) > 1:
        in_force = weighted[force].sum() / weight[force].sum()
        rows.append({"setting": "this policy", **{end: float(in_force[end]) for end in ends}})
    return rows


def _fill(frame: DataFrame, folder: Path) -> None:
    from sim.files import write_text

    text = frame.to_csv(index=False, lineterminator="\n", float_format="%.10g")
    write_text(folder / "expected.csv", text)
