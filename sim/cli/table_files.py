"""``tlssim check | import | export``: a Destination Controls file, what is wrong with it, and what was understood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sim.cli.account import account_counts, account_sentence
from sim.cli.caveats import drawn_caveats, verify_caveats
from sim.cli.conversion import (
    CONTROLS,
    TLS_POLICY,
    controls_text,
    converted,
    default_option,
    from_option,
    is_map,
    main_cf_lines,
    map_entries,
    map_text,
    read_table,
    report,
    table_text,
    to_option,
)
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
    from sim.formats.destination_controls import Policy
    from sim.formats.postfix_tls_policy import TlsPolicyMap
    from sim.policy.destinations import DestinationControls
    from sim.studies.check import CheckResult
    from sim.studies.convert import Conversion
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
@from_option
@profiles_option
@strict_option
@json_option
def import_command(file: str, form: str | None, profiles: str | None, strict: bool, as_json: bool) -> None:
    """Read a Destination Controls file, a CSV, a pasted LIST or a Postfix policy map; account for every line.

    Lines are understood, ignored or guessed; nothing is dropped in silence, and 'tlssim export' writes every line
    back. docs/destination-controls.md describes the file, key by key, docs/postfix-tls-policy.md the map.
    """
    table_read = read_table(file, profiles, strict=strict, form=form)
    rows = rows_of(table_read.account)
    if as_json:
        found = {"command": "import", "file": file, **_form(table_read), "counts": account_counts(table_read)}
        say_json({**found, "account": rows, "entries": _entries(table_read)})
        return
    kind = " of a Postfix policy map" if is_map(table_read) else " and DEFAULT"
    say(f"{file}: {counted(len(table_read.entries), 'entry')}{kind}.")
    if sentence := account_sentence(table_read, hint=""):
        say(wrapped(sentence))
    _tell_account(file, rows)


def _tell_account(file: str, rows: list[dict[str, Any]]) -> None:
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


def _form(read: Policy | TlsPolicyMap) -> dict[str, str]:
    return {"form": TLS_POLICY} if is_map(read) else {"form": CONTROLS, "policy_hash": read.hash}


def _entries(read: Policy | TlsPolicyMap) -> list[dict[str, Any]]:
    from dataclasses import asdict

    return map_entries(read) if is_map(read) else [asdict(entry) for entry in (read.default, *read.entries)]


@click.command("export", short_help="The same file back in one spelling, or as a Postfix policy map.")
@click.argument("file", metavar="FILE")
@to_option
@from_option
@default_option
@profiles_option
@strict_option
@click.option("--out", metavar="FILE", help="Write it there.  [default: stdout]")
@json_option
def export_command(
    file: str,
    to: str | None,
    form: str | None,
    level: str | None,
    profiles: str | None,
    strict: bool,
    out: str | None,
    as_json: bool,
) -> None:
    """Write a Destination Controls file back in one spelling, with every comment and unknown key kept.

    --to csv writes its entries as the gateway's CSV, without comments and global keys. --to postfix-tls-policy makes
    the map of Postfix's smtp_tls_policy_maps of it, and a map becomes Destination Controls, with a list of everything
    that changes its meaning: beside the file, or as comments at its head where it goes to stdout.
    docs/postfix-tls-policy.md.
    """
    read = read_table(file, profiles, strict=strict, form=form)
    to = to or CONTROLS
    change = converted(read, to, level)
    told = [] if change is None else report(change, file)
    beside = told if out is None and not as_json else []
    if change is not None:
        text = map_text(change, beside) if to == TLS_POLICY else controls_text(change, beside)
    else:
        text = read.to_text() if is_map(read) else table_text(read, to)
    if out is not None:
        from sim.files import write_text

        write_text(out, text)
    if as_json:
        _say_export(file, to, text, out, change)
    elif out is None:
        say(text.removesuffix("\n"))
    else:
        if change is not None:
            say("\n".join([*told, *main_cf_lines(change), ""]))
        say(f"Written: {out}")


def _say_export(file: str, to: str, text: str, out: str | None, change: Conversion | None) -> None:
    from sim.studies.convert import document

    say_json(
        {
            "command": "export",
            "file": file,
            "to": to,
            "text": text,
            "written": out,
            **({} if change is None else document(change)),
        }
    )
