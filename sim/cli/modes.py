"""``tlssim modes``: the same mail under each TLS setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sim.cli.account import account_counts, account_sentence
from sim.cli.caveats import ceiling_caveats, sender_caveats
from sim.cli.options import (
    amount_of,
    json_option,
    mail_options,
    most_option,
    number_option,
    out_option,
    policy_option,
    population_options,
    precision_option,
    profiles_option,
    scenario_argument,
    scenario_of,
    seed_option,
    sender_option,
    sent_by,
    vary_option,
)
from sim.cli.output import Output, progress
from sim.cli.text import Column, counted, rows_of, say, say_json, seconds, share, table, wrapped

if TYPE_CHECKING:
    from sim.formats.scenario_file import ScenarioFile
    from sim.policy.destinations import DestinationControls
    from sim.studies.modes import ModesResult
    from sim.timeline import Event

FATES = (
    Column("in_clear_share", "in clear\n%", share),
    Column("encrypted_share", "encrypted\n%", share),
    Column("verified_share", "verified\n%", share),
    Column("bounced_share", "bounced\n%", share),
    Column("deferred_share", "deferred\n%", share),
    Column("delay_p50_s", "p50\ns", seconds),
    Column("delay_p95_s", "p95\ns", seconds),
    Column("delay_p99_s", "p99\ns", seconds),
)
LEGEND = (
    "Shares are per cent of all messages. encrypted: without verification; deferred: waited for a retry; "
    "p50, p95, p99: delay of delivered mail."
)
_QUEUED = Column("queued_share", "queued\n%", share)
_EXPOSED = Column("exposed_share", "exposed\n%", share)
#: Columns that are there where any mail is, in place of delays that are then the first to go.
_MORE = (
    (_EXPOSED, "delay_p50_s", "exposed: in clear on a path where somebody removes STARTTLS."),
    (_QUEUED, "delay_p95_s", "queued: without a fate when the run ends."),
)
#: Highest over lowest p99 of the replications from which on the table says so.
_WIDE = 2.0


@click.command("modes", short_help="What becomes of the same mail under each TLS setting.")
@scenario_argument
@population_options
@mail_options
@policy_option
@profiles_option
@sender_option
@seed_option
@number_option("--replications", 1, 10_000, "Runs that draw anew what varies.  [default: 5]")
@vary_option
@precision_option
@most_option
@number_option("--jobs", 1, 1_024, "Processes, or threads.  [default: the processors there are]")
@json_option
@out_option
def modes_command(
    sender: str | None,
    replications: int | None,
    vary: str | None,
    precision: float | None,
    most: int | None,
    jobs: int | None,
    as_json: bool,
    out: str | None,
    **world: Any,
) -> None:
    """Show what becomes of the same mail under each TLS setting.

    The settings replace those of the policy, one at a time; its limits and bounce profiles stay. Where the
    documentation can be read in two ways, both are shown. With --sender each setting of another sender.
    """
    with Output(out) as output:
        file = sent_by(scenario_of(**world), sender, every_setting=True)
        from sim.studies.modes import modes

        with progress() as line:
            result = modes(
                file.scenario,
                **amount_of(file, replications, precision, most),
                vary=vary or file.vary,
                seed=file.seed,
                jobs=jobs,
                progress=lambda done, of: line.show(done / of, f"{int(done)} of {of} runs"),
            )
        written = output.write(result.write)
        if as_json:
            say_json(
                {
                    "command": "modes",
                    "title": result.title(),
                    "caption": result.caption(),
                    "meta": result.meta,
                    "policy": {
                        "file": policy_file(file.scenario.policy),
                        "account": account_counts(file.scenario.policy),
                    },
                    "summary": result.summary(),
                    "frame": result.frame(),
                    "delays": result.delays(),
                    "spread": result.spread(),
                    "expected": result.expected(),
                    "notes": _notes(result),
                    "written": [str(path) for path in written],
                }
            )
            return
        _tell(file, result, written)


def _tell(file: ScenarioFile, result: ModesResult, written: list[Path]) -> None:
    say(wrapped(f"{result.title()}."))
    say(wrapped(f"{result.caption()}{_policy_words(file.scenario.policy)}"))
    if sentence := account_sentence(file.scenario.policy):
        say(wrapped(sentence))
    say()
    rows = rows_of(result.summary())
    columns, legend = _columns(rows)
    say(table(by_reading(rows), (Column("name", "TLS setting"), *columns)))
    say()
    say(wrapped(f"{legend} {result.repeated()}"))
    for note in _notes(result):
        say(wrapped(note))
    say(told(written, "--out DIR keeps tables and chart"))


def _columns(rows: Iterable[Mapping[str, Any]]) -> tuple[list[Column], str]:
    """Return the columns of the table and what they are: of mail queued or exposed there are some where there is any.

    Each takes the place of a delay, so that the table is no wider than a terminal.
    """
    rows, columns, left_out, meant = list(rows), list(FATES), [], ""
    for column, delay, words in _MORE:
        if not any((row.get(column.key) or 0.0) > 0 for row in rows):
            continue
        columns = [c for c in columns if c.key != delay]
        columns.insert(4 if column is _QUEUED else len(columns), column)
        left_out.append(delay.split("_")[1])
        meant += f" {words}"
    legend = LEGEND
    for name in left_out:
        legend = legend.replace(f"{name}, ", "")
    if left_out:
        meant += f" {' and '.join(left_out)} {'is' if len(left_out) == 1 else 'are'} in modes.csv."
    return columns, f"{legend}{meant}"


def p99_sentence(result: ModesResult) -> str:
    """Say how far p99 differs between replications, where the largest is a multiple of the smallest."""
    spread = result.p99_range()
    if spread is None or spread[2] < _WIDE * spread[1]:
        return ""
    case, low, high = spread
    reading = f" ({case.reading})" if case.reading else ""
    return (
        f"p99 is of all replications together; in each by itself it is {seconds(low)} to {seconds(high)} s under "
        f"{case.setting.label}{reading}, where it differs most: one long outage can move it."
    )


def _notes(result: ModesResult) -> list[str]:
    found = [sentence for sentence in (timeline_sentence(result), p99_sentence(result)) if sentence]
    runs = [run["ceiling_reached"] for totals in result.totals for run in totals]
    where = f"in {sum(runs):,} of {counted(len(runs), 'run')}" if any(runs) else ""
    found += ceiling_caveats(result.scenario.delivery.max_connections, where)
    return [*found, *sender_caveats(result.scenario)]


def timeline_sentence(result: ModesResult) -> str:
    """Say what of the scenario's timeline each row has, and what none has."""
    events = result.scenario.timeline
    kept, dropped = [e for e in events if e.policy is None], [e for e in events if e.policy is not None]
    until_s = result.scenario.until_s
    parts = [f"Each row has the scenario's timeline: {_spelled(kept, until_s)}."] if kept else []
    if dropped:
        parts.append(f"Left out, since a row has one setting throughout: {_spelled(dropped, until_s)}.")
    return " ".join(parts)


def _spelled(events: Sequence[Event], until_s: float | None) -> str:
    parts = []
    for event in events:
        note = after_the_end(event, until_s)
        parts.append(f"{event.label} at {event.at_h:g} h{f' ({note})' if note else ''}")
    return ", ".join(parts)


def after_the_end(event: Event, until_s: float | None) -> str:
    """Say so where a run ends before an event begins; otherwise nothing."""
    return "after the end of the run" if until_s is not None and event.at_h * 3_600 >= until_s else ""


def policy_file(policy: DestinationControls) -> str | None:
    """Return the file a policy was read from."""
    rows = getattr(policy, "rows", ())
    return rows[0].file if rows else None


def _policy_words(policy: DestinationControls) -> str:
    name = policy_file(policy)
    return "" if name is None else f" Policy {name}: its TLS settings are replaced, its limits and profiles stay."


def by_reading(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Put the readings of a setting below its name, indented."""
    found: list[dict[str, Any]] = []
    before = ""
    for row in rows:
        if row["reading"] and row["setting"] != before:
            found.append({"name": row["setting"]})
        before = row["setting"]
        found.append({**row, "name": f"  {row['reading']}" if row["reading"] else row["setting"]})
    return found


def told(written: Sequence[Path], otherwise: str) -> str:
    """Say which files were written."""
    if not written:
        return f"Nothing was written; {otherwise}."
    return wrapped(f"Written to {written[0].parent}: {', '.join(path.name for path in written)}")
