"""``tlssim check | import | export``: a Destination Controls file, what is wrong with it, and what was understood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sim.cli.account import account_counts, account_sentence
from sim.cli.caveats import drawn_caveats, verify_caveats
from sim.cli.options import (
    asked_population_options,
    json_option,
    number_option,
    one_of,
    policy_of,
    population_of,
    profiles_option,
    strict_option,
)
from sim.cli.text import Column, counted, rows_of, say, say_json, table, wrapped
from sim.errors import ScenarioError, complaint

if TYPE_CHECKING:
    from sim.policy.destinations import DestinationControls
    from sim.studies.check import CheckResult
    from sim.studies.finding import Finding
    from sim.world.population import Population

_FOUND = 1


@click.command("check", short_help="What is wrong with a Destination Controls file.")
@click.argument("file", metavar="FILE")
@profiles_option
@asked_population_options
@number_option("--messages", 1, 10**12, "Messages a day, to compare limits with.  [default: those of --csv]")
@strict_option
@click.option(
    "--fail-on",
    metavar="warning|note",
    callback=one_of("warning", "note"),
    help="Exit with status 1 when there is such a finding.",
)
@json_option
def check_command(
    file: str,
    profiles: str | None,
    population: str | None,
    domains: int | None,
    csv: str | None,
    messages: int | None,
    seed: int | None,
    strict: bool,
    fail_on: str | None,
    as_json: bool,
) -> int:
    """Say what an experienced postmaster would say about a Destination Controls file.

    Without a population only what the table alone tells: redundant entries, retries, undefined names. With
    --population or --csv also what its entries meet: certificates, missing STARTTLS, limits below the load.
    docs/destination-controls.md describes the file, key by key.
    """
    policy = policy_of(file, profiles, strict=strict)
    asked = population is not None or csv is not None
    if not asked:
        given = next((f for f, v in (("--domains", domains), ("--messages", messages), ("--seed", seed)) if v), None)
        if given is not None:
            raise ScenarioError(complaint(given, domains or messages or seed, "only beside --population or --csv"))
    from sim.studies.check import check
    from sim.world.workload import Workload

    people = population_of(population, domains, csv, seed) if asked else None
    workload = Workload().total(messages, 1.0) if messages is not None else None
    result = check(policy, population=people, workload=workload)
    caveats = [] if people is None else _caveats(policy, people)
    if as_json:
        say_json(
            {
                "command": "check",
                "file": file,
                "policy_hash": policy.hash,
                "population": None if people is None else people.name,
                "warnings": result.count("warning"),
                "notes": result.count("note"),
                "findings": result.frame(),
                "not_checked": result.not_checked,
                "caveats": caveats,
            }
        )
    else:
        _tell(file, result, caveats)
    severe = result.count("warning") + (result.count("note") if fail_on == "note" else 0)
    return _FOUND if fail_on is not None and severe else 0


def _caveats(policy: DestinationControls, people: Population) -> list[str]:
    in_force = {str(policy.resolved(i).tls) for i in range(-1, len(policy.entries))}
    return [*drawn_caveats(people), *verify_caveats(people, in_force)]


def _tell(file: str, result: CheckResult, caveats: list[str]) -> None:
    for finding in result.findings:
        say(_heading(finding))
        say(wrapped(_sentence(finding.what), "    "))
        say(wrapped(_sentence(finding.why), "         ", "    why: "))
        say(wrapped(_sentence(finding.todo), "         ", "    do:  "))
        say()
    say(f"{file}: {counted(result.count('warning'), 'warning')}, {counted(result.count('note'), 'note')}.")
    for question in result.not_checked:
        say(f"Not checked: {question}.")
    for caveat in caveats:
        say(wrapped(caveat))


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?")) else f"{text}."


def _heading(finding: Finding) -> str:
    line = f"line {finding.line}" if finding.line else ""
    entry = f"[{finding.entry}]" if finding.entry else ""
    return ": ".join(filter(None, (finding.severity, ", ".join(filter(None, (line, entry))), finding.finding)))


@click.command("import", short_help="What was understood of a Destination Controls file.")
@click.argument("file", metavar="FILE")
@profiles_option
@strict_option
@json_option
def import_command(file: str, profiles: str | None, strict: bool, as_json: bool) -> None:
    """Read a Destination Controls file, a CSV or a pasted LIST, and account for every line.

    Each was understood, ignored or guessed: nothing is dropped in silence, and 'tlssim export' writes every line
    back. docs/destination-controls.md describes the file, key by key.
    """
    policy = policy_of(file, profiles, strict=strict)
    rows = rows_of(policy.account)
    if as_json:
        entries = [policy.default, *policy.entries]
        say_json(
            {
                "command": "import",
                "file": file,
                "policy_hash": policy.hash,
                "counts": account_counts(policy),
                "account": rows,
                "entries": [_entry(entry) for entry in entries],
            }
        )
        return
    say(f"{file}: {counted(len(policy.entries), 'entry')} and DEFAULT.")
    say(wrapped(account_sentence(policy, hint="")))
    for kind in ("guessed", "ignored", "understood"):
        for source in dict.fromkeys(row["file"] for row in rows):
            lines = [_account_row(row) for row in rows if row["kind"] == kind and row["file"] == source]
            remarks = any(row["reason"] for row in lines)
            if lines:
                say()
                say(f"{kind.capitalize()}{'' if source == file else f' in {source}'}:")
                say(table(lines, _ACCOUNT if remarks else _ACCOUNT[:2]))
    if any(row["changes_answer"] for row in rows):
        say()
        say("* could change the answer")


_ACCOUNT = (Column("at", "line", str), Column("text", "text"), Column("reason", "remark"))


def _account_row(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "at": f"{'* ' if row['changes_answer'] else ''}{row['line']}"}


def _entry(entry: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(entry)


@click.command("export", short_help="The same file back in one spelling.")
@click.argument("file", metavar="FILE")
@profiles_option
@strict_option
@click.option(
    "--format",
    "form",
    metavar="ini|csv",
    default="ini",
    callback=one_of("ini", "csv"),
    help="The gateway's file, or a CSV of it, without comments and global keys.  [default: ini]",
)
@click.option("--out", metavar="FILE", help="Write it there.  [default: stdout]")
def export_command(file: str, profiles: str | None, strict: bool, form: str, out: str | None) -> None:
    """Write a Destination Controls file back in one spelling, with every comment and unknown key kept."""
    policy = policy_of(file, profiles, strict=strict)
    from sim.files import write_text
    from sim.formats.destconfig_csv import csv_text
    from sim.formats.destination_normal import normalised_text

    text = csv_text(policy) if form == "csv" else normalised_text(policy)
    if out is None:
        say(text.removesuffix("\n"))
    else:
        write_text(out, text)
        say(f"Written: {out}")
