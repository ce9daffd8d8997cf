"""``tlssim run``: one scenario, and what became of its mail."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sim.cli.account import account_counts, account_sentence
from sim.cli.caveats import ceiling_caveats, row_caveats, sender_caveats, verify_caveats
from sim.cli.modes import FATES, LEGEND, after_the_end, told
from sim.cli.options import json_option, one_of, out_option, seed_option, sender_option, sender_setting_option, sent_by
from sim.cli.output import Output, Progress, progress
from sim.cli.text import Column, count, counted, rows_of, say, say_json, share, table, wrapped
from sim.errors import ScenarioError, complaint

if TYPE_CHECKING:
    from sim.formats.scenario_file import ScenarioFile
    from sim.results.result import Result
    from sim.scenario import Scenario

_MOST_ENTRIES = 12


def _hour(value: Any) -> str:
    return "" if value is None else f"{value:g}"


@click.command("run", short_help="One scenario, and what became of its mail.")
@click.argument("scenario", metavar="SCENARIO.toml")
@sender_option
@sender_setting_option
@seed_option
@click.option("--records", is_flag=True, help="Keep a row per message and per connection, and write them as CSV.")
@click.option(
    "--records-as",
    metavar="csv|parquet",
    callback=one_of("csv", "parquet"),
    help="The same, in this form. Parquet is written while the run goes on, so rows take no memory of their own.",
)
@json_option
@out_option
def run_command(
    scenario: str,
    sender: str | None,
    sender_setting: str | None,
    seed: int | None,
    records: bool,
    records_as: str | None,
    as_json: bool,
    out: str | None,
) -> None:
    """Run one scenario and tell what became of its mail.

    Examples are data/examples/scenario.toml and outage.toml, in which a provider is down; docs/scenario-file.md lists
    the keys.
    """
    if records_as == "parquet" and out is None:
        raise ScenarioError(complaint("--records-as", records_as, "only beside --out, where the files go"))
    with Output(out) as output:
        from sim.formats.scenario_file import read_scenario

        file = sent_by(read_scenario(scenario), sender, sender_setting)
        from sim.delivery.simulate import simulate

        options = file.options() | ({} if seed is None else {"seed": seed})
        if records or records_as is not None:
            options["records"] = out if records_as == "parquet" else True
        with progress() as line:
            result = simulate(file.scenario, progress=_shown(line, file.scenario), **options)
            line.show(1.0, "writing" if out else "counting")
            written = output.write(lambda folder: _fill(result, folder))
        if out is not None and records_as == "parquet":
            from sim.results.store import FILES

            written = sorted([*written, *(Path(out) / name for name in FILES)])
        if as_json:
            say_json(_document(file, result, written))
        else:
            _tell(file, result, written)


def _shown(line: Progress, scenario: Scenario) -> Any:
    workload, weights = scenario.workload, scenario.population.domains["messages"]
    if workload.trace is not None:
        total = float(len(workload.trace))
    else:
        per_day = float(weights.sum()) if workload.messages_per_day is None else workload.messages_per_day
        total = per_day * workload.mean_days(scenario.days)

    def show(now_us: int, arrived: int, finished: int) -> None:
        line.show(
            (arrived + finished) / (2 * max(total, arrived, 1)),
            f"{now_us / 3.6e9:.0f} h simulated, {arrived:,} messages arrived, {finished:,} have their fate",
        )

    return show


def _fill(result: Result, folder: Path) -> None:
    from sim.results import charts

    result.write(folder)
    for name, draw in (("fates", result.plot.fates), ("queue", result.plot.queue), ("delay", result.plot.delay)):
        charts.save(draw(), folder / f"{name}.png")


def _matched(result: Result) -> dict[str, Any]:
    """Return which entries met mail: rows of `by_entry`, most mail first, DEFAULT apart."""
    entries = rows_of(result.by_entry())
    default, own = entries[-1], entries[:-1]
    met = sorted((e for e in own if e["domains"]), key=lambda e: -(e["mail_share"] or 0.0))
    return {
        "entries": len(own),
        "matched": met,
        "matched_mail_share": sum(e["mail_share"] or 0.0 for e in met),
        "default": default,
        "unmatched": [e["entry"] for e in own if not e["domains"]],
    }


def _tell(file: ScenarioFile, result: Result, written: list[Path]) -> None:
    from sim.results import findings
    from sim.timeline import marks

    matched = _matched(result)
    say(wrapped(f"{file.source}: {result.plot.caption()}"))
    say()
    say(wrapped(_policy_sentence(matched)))
    if matched["unmatched"]:
        say(wrapped(f"No destination matches {', '.join(matched['unmatched'])}."))
    if sentence := account_sentence(file.scenario.policy):
        say(wrapped(sentence))
    asked = {"replications": file.replications, "precision": file.precision, "vary": file.vary}
    for name, value in asked.items():
        if value not in (None, 1):
            say(wrapped(f"This is one run; {name} = {value} is for 'tlssim modes {file.source}'."))
    if file.scenario.timeline:
        say()
        say("Timeline:")
        rows = timeline_rows(file.scenario)
        say(table(rows, _TIMELINE if any(row["note"] for row in rows) else _TIMELINE[:-1]))
    say()
    say(wrapped(_mail_sentence(result)))
    say(wrapped(f"{findings.queue(result.timeline('5min'), marks(file.scenario.timeline))}."))
    say()
    say(
        table(_settings(result), (Column("setting", "TLS setting"), Column("domains", "domains", count), _MAIL, *FATES))
    )
    say()
    if matched["matched"]:
        say(
            table(
                _entries(matched),
                (Column("entry", "policy entry"), Column("setting", "TLS setting"), _MAIL, *FATES[:5]),
            )
        )
        say()
    say(wrapped(LEGEND))
    for caveat in _caveats(file, result):
        say(wrapped(caveat))
    say(told(written, "--out DIR keeps tables and charts"))
    if left := _left_over(written):
        say(wrapped(f"Rows of an earlier run were left there: {', '.join(path.name for path in left)}."))


def _left_over(written: list[Path]) -> list[Path]:
    """Return the files of rows beside what was written that this run did not write."""
    from sim.results.store import FILES

    names = ("messages.csv", "connections.csv", *FILES)
    rows = {path.parent / name for path in written for name in names}
    return sorted(path for path in rows - set(written) if path.exists())


_MAIL = Column("mail_share", "mail\n%", share)
_TIMELINE = (
    Column("at_h", "from\nh", _hour),
    Column("until_h", "to\nh", _hour),
    Column("label", "what happens"),
    Column("domains", "domains", count),
    Column("hosts", "MX hosts", count),
    Column("mail_share", "mail\n%", share),
    Column("note", "note"),
)


def timeline_rows(scenario: Scenario) -> list[dict[str, Any]]:
    """Return a row an event: when, what, and whom it concerns.

    ``mail_share`` is that of a day without events; ``note`` says where the run ends before it begins.
    """
    from sim.timeline import concerned, policy_before

    weight = scenario.population.domains["messages"].to_numpy(dtype=float)
    rows = []
    for event in scenario.timeline:
        before = policy_before(event, scenario.timeline, scenario.policy)
        domains, hosts = concerned(event, scenario.population, before)
        whom = {"domains": int(domains.sum()), "mail_share": float(weight[domains].sum() / weight.sum())}
        ends = {"until_h": None if event.for_h is None else event.ends_h}
        note = after_the_end(event, scenario.until_s)
        rows.append({**event.row(), **ends, **whom, "hosts": hosts or None, "note": note})
    return rows


def _policy_sentence(matched: Mapping[str, Any]) -> str:
    default = matched["default"]
    rest = share(default["mail_share"] or 0.0)
    if not matched["entries"]:
        return f"The policy is DEFAULT alone ({default['setting']})."
    return (
        f"{len(matched['matched'])} of {counted(matched['entries'], 'entry')} match destinations and rule "
        f"{share(matched['matched_mail_share'])} % of the mail; DEFAULT ({default['setting']}) rules {rest} %, "
        f"{counted(default['domains'], 'destination')}."
    )


def _mail_sentence(result: Result) -> str:
    from sim.results.findings import duration

    totals = result.totals()
    parts = [f"{result.injected:,} messages to {totals['recipients']:,} recipients"]
    parts += [f"{result.delivered:,} delivered", f"{result.bounced:,} bounced"]
    parts += [f"{result.queued:,} still queued"] if result.queued else []
    text = f"{parts[0]}: {', '.join(parts[1:])}. {totals['deferred_messages']:,} were deferred"
    if totals["main_reason"] != "none":
        text += f", most often for {totals['main_reason']}"
    text += (
        f". {totals['connections']:,} connections, {totals['failed_connections']:,} of them without use, "
        f"{result.meta.get('peak_connections', 0):,} at once at most."
    )
    if totals["exposed_messages"]:
        exposed = f"{totals['exposed_messages']:,} ({share(totals['exposed_share'])} %)"
        text += f" {exposed} went in clear on a path where somebody removes STARTTLS."
    end = result.meta.get("end_s")
    return text if end is None else f"{text} The last event came {duration(end)} after the start."


def _settings(result: Result) -> list[dict[str, Any]]:
    rows = rows_of(result.by_setting())
    domains = sum(row["domains"] for row in rows)
    everything = {"setting": "all mail", "domains": domains, "mail_share": 1.0, **result.totals()}
    return [*rows, everything] if len(rows) > 1 else rows


def _entries(matched: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = list(matched["matched"])
    shown, rest = rows[:_MOST_ENTRIES], rows[_MOST_ENTRIES:]
    if rest:
        mail = sum(row["mail_share"] or 0.0 for row in rest)
        shown.append({"entry": f"{counted(len(rest), 'more entry')} (by_entry.csv)", "setting": "", "mail_share": mail})
    return [*shown, {**matched["default"], "entry": "DEFAULT"}]


def _caveats(file: ScenarioFile, result: Result) -> list[str]:
    rows = rows_of(result.by_setting())
    in_force = {row["setting"] for row in rows if row["messages"]}
    found = [*sender_caveats(file.scenario), *row_caveats(rows)]
    found += verify_caveats(file.scenario.population, in_force) if file.scenario.is_gateway else []
    where = "at times" if result.meta["ceiling_reached"] else ""
    found += ceiling_caveats(file.scenario.delivery.max_connections, where)
    if any(event.policy is not None for event in file.scenario.timeline):
        found.append("The policy changes during the run: tables name entries and settings as they were at its start.")
    return found


def _document(file: ScenarioFile, result: Result, written: list[Path]) -> dict[str, Any]:
    matched = _matched(result)
    return {
        "command": "run",
        "scenario": file.source,
        "meta": result.meta,
        "policy": {
            "entries": matched["entries"],
            "matched_entries": len(matched["matched"]),
            "matched_mail_share": matched["matched_mail_share"],
            "default_mail_share": matched["default"]["mail_share"],
            "unmatched": matched["unmatched"],
            "account": account_counts(file.scenario.policy),
        },
        "timeline": timeline_rows(file.scenario),
        "summary": result.totals(),
        "by_setting": result.by_setting(),
        "by_entry": result.by_entry(),
        "notes": _caveats(file, result),
        "written": [str(path) for path in written],
        "left_over": [str(path) for path in _left_over(written)],
    }
