"""``tlssim capacity``: what the gateway holds and does, which limit keeps mail in time, how a backlog drains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from sim.cli.account import account_counts, account_sentence
from sim.cli.caveats import ceiling_caveats, sender_caveats
from sim.cli.modes import policy_file, told
from sim.cli.options import (
    json_option,
    mail_options,
    number_option,
    out_option,
    policy_option,
    population_options,
    profiles_option,
    scenario_argument,
    scenario_of,
    seed_option,
    sender_option,
    sender_setting_option,
    sent_by,
    vary_option,
)
from sim.cli.output import Output, progress
from sim.cli.text import Column, count, counted, rows_of, say, say_json, seconds, share, table, wrapped
from sim.errors import ScenarioError, complaint

if TYPE_CHECKING:
    from sim.scenario import Scenario
    from sim.studies.capacity import CapacityResult
    from sim.studies.concurrency import Search

#: Measures as people read them, in the order of the frame.
WORDS = {
    "connections_peak": "connections in use, peak",
    "connections_p95": "connections in use, not exceeded 95 % of the time",
    "connections_mean": "connections in use, mean",
    "openings_peak_per_s": "connections opened per second, busiest minute",
    "handshakes_peak_per_s": "TLS handshakes per second, busiest minute",
    "queue_messages_peak": "messages in the queue, peak",
    "queue_messages_p95": "messages in the queue, not exceeded 95 % of the time",
    "queue_messages_mean": "messages in the queue, mean",
    "queue_recipients_peak": "recipients in the queue, peak",
    "queue_bytes_peak": "MB in the queue, peak",
    "oldest_age_peak_s": "age of the oldest message, s, peak",
    "delay_p50_s": "delay of delivered mail, s, median",
    "delay_p95_s": "delay of delivered mail, s, 95th percentile",
    "delay_p99_s": "delay of delivered mail, s, 99th percentile",
    "deferred_share": "mail that was deferred, %",
    "deferral_events_per_message": "deferral events per message",
}
_SCALES = {"queue_bytes_peak": 1e-6, "deferred_share": 100.0}
_BUSIEST = 5

LEGEND = (
    "{means}; 'at h': when, in the first one, hours from the start. Shares of time and "
    "means are those of the arrival window, peaks of the whole run. The queue holds all mail without a fate, "
    "in transfer too."
)
LIMITS_LEGEND = (
    "kept: the percentile of the busiest hour's mail is in time. '-': that mail never arrives, or not before the end. "
    "Erlang C wait: its mean, without a number where the limit is below the offered load."
)


@click.command("capacity", short_help="Connections, queue, handshakes at their busiest; the limit needed.")
@scenario_argument
@population_options
@mail_options
@policy_option
@profiles_option
@sender_option
@sender_setting_option
@seed_option
@number_option("--replications", 1, 10_000, "Runs that draw anew what varies.  [default: 5]")
@vary_option
@click.option(
    "--for",
    "target",
    metavar="NAME",
    help="Whose limit is sought: a domain, a provider, or all.  [default: the domain with the most mail]",
)
@number_option(
    "--percentile", 1, 99.99, "Per cent of the busiest hour's mail to be in time.  [default: 95]", whole=False
)
@number_option("--within-s", 1, 31_622_400, "In time: delivered within so many seconds.  [default: 300]", whole=False)
@click.option("--no-concurrency", is_flag=True, help="Seek no limit, only measure.")
@click.option("--qshape", "shape", is_flag=True, help="Also print the largest backlog by destination and age.")
@number_option("--jobs", 1, 1_024, "Processes, or threads.  [default: the processors there are]")
@json_option
@out_option
def capacity_command(
    sender: str | None,
    sender_setting: str | None,
    replications: int | None,
    vary: str | None,
    target: str | None,
    percentile: float | None,
    within_s: float | None,
    no_concurrency: bool,
    shape: bool,
    jobs: int | None,
    as_json: bool,
    out: str | None,
    **world: Any,
) -> None:
    """Show what the gateway holds and does at its busiest, and how many connections keep mail in time.

    Runs the scenario under its own policy. Then it seeks the smallest max_host_concurrency (connections to one
    destination) that still delivers 95 % of the mail of the destination's busiest hour within 300 s, and compares it
    with Erlang C. docs/capacity.md says what is counted how.

    \b
      tlssim capacity data/examples/scenario.toml --for microsoft-mail --qshape
      tlssim capacity --csv mine.csv --policy destinations.ini --within-s 60 --out out
    """  # noqa: D301
    if no_concurrency and target is not None:
        raise ScenarioError(complaint("--for", target, "not beside --no-concurrency"))
    with Output(out) as output:
        file = sent_by(scenario_of(**world), sender, sender_setting)
        from sim.studies.capacity import capacity

        with progress() as line:
            result = capacity(
                file.scenario,
                replications=replications or file.replications,
                seed=file.seed,
                percentile=0.95 if percentile is None else percentile / 100,
                within_s=300.0 if within_s is None else within_s,
                find_concurrency=False if no_concurrency else True if target is None else target,
                vary=vary or file.vary,
                jobs=jobs,
                progress=lambda done, of: line.show(done / of, f"{int(done)} of at most {of} runs"),
            )
            line.show(1.0, "counting")
            written = output.write(result.write)
        policy = file.scenario.policy
        if as_json:
            facts: dict[str, Any] = {"policy": {"file": policy_file(policy), "account": account_counts(policy)}}
            say_json(
                _document(result, shape=shape)
                | facts
                | {"notes": _notes(result)}
                | {"written": [str(path) for path in written]}
            )
            return
        _say(result, file.scenario, shape=shape)
        say(told(written, "--out DIR keeps tables and chart"))


def _say(result: CapacityResult, scenario: Scenario, *, shape: bool) -> None:
    say(wrapped(f"{result.sentence()}."))
    say(wrapped(result.caption()))
    if sentence := account_sentence(scenario.policy):
        say(wrapped(sentence))
    _tell(result, shape=shape)
    for text in _notes(result):
        say(wrapped(text))


def _notes(result: CapacityResult) -> list[str]:
    """Say where all connections there may be are in use, and what is not used of another sender's policy."""
    scenario, runs = result.scenario, len(result.loads)
    ceiling = scenario.delivery.max_connections
    met = sum(load.in_use.peak()[0] >= ceiling for load in result.loads)
    where = f"in {met:,} of {counted(runs, 'run')}" if met else ""
    return [*ceiling_caveats(ceiling, where), *sender_caveats(scenario)]


def _document(result: CapacityResult, *, shape: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "command": "capacity",
        "title": result.sentence(),
        "caption": result.caption(),
        "meta": result.meta,
        "measures": result.measures(),
        "offered_load": result.offered_load(),
        "drain": result.drain(),
    }
    if result.search is not None:
        found = result.search.found
        document["concurrency"] = {
            "target": result.search.target.name,
            "limit": None if found is None else found.limit,
            "policy_limit": result.search.target.policy_limit,
            "policy_limit_least": result.search.target.policy_least,
            "nothing_improves_from": result.search.enough if found is None else None,
            "erlang_c_limit": result.search.erlang_limit,
            "difference": result.search.difference(),
            "tried": result.concurrency(),
        }
    return document | ({"qshape": result.qshape()} if shape else {})


def _tell(result: CapacityResult, *, shape: bool) -> None:
    say()
    say(table([_measure(row) for row in rows_of(result.measures())], _MEASURES))
    say()
    n = len(result.loads)
    means = f"Means over {n} replications with 95 % intervals" if n > 1 else "One replication, no intervals"
    say(wrapped(LEGEND.format(means=means)))
    say()
    say("Offered load of the destinations with the most mail, in their busiest hours:")
    say()
    say(table(rows_of(result.offered_load(_BUSIEST)), _OFFERED))
    if result.search is not None:
        _tell_limits(result, result.search)
    say()
    for row in rows_of(result.drain()):
        say(wrapped(_drain_words(row, len(result.loads))))
    if shape:
        say()
        say("Recipients in the queue at the largest backlog of the first replication, by age in minutes:")
        say()
        say(result.qshape_text())
    say()


_MEASURES = (
    Column("measure", "measure"),
    Column("value", "mean", str),
    Column("interval", "95 % interval", str),
    Column("at_h", "at h", str),
)
_OFFERED = (
    Column("domain", "domain"),
    Column("messages", "messages", count),
    Column("busiest_hour", "busiest\nhour", str),
    Column("arrival_rate_per_s", "arrivals\n1/s", lambda value: f"{value:.3g}"),
    Column("service_s", "service\ns", seconds),
    Column("offered_erlang", "offered\nerlangs", seconds),
    Column("connections_mean", "in use\nmean", seconds),
    Column("connections_peak", "in use\npeak", lambda value: f"{value:.1f}"),
)


def _measure(row: Mapping[str, Any]) -> dict[str, str]:
    scale = _SCALES.get(row["measure"], 1.0)
    value, low, high = (None if row[end] is None else row[end] * scale for end in ("value", "low", "high"))
    interval = "" if low is None or high is None else f"{seconds(low)} to {seconds(high)}"
    at_h = "" if row["at_h"] is None else f"{row['at_h']:.1f}"
    return {"measure": WORDS[row["measure"]], "value": seconds(value), "interval": interval, "at_h": at_h}


def _tell_limits(result: CapacityResult, found: Search) -> None:
    rows = rows_of(result.concurrency())
    in_hour, in_run = (key for key in rows[0] if "_delay_" in key or key.startswith("delay_"))
    named = in_run.removeprefix("delay_").removesuffix("_s").replace("_", ".")
    columns = (
        Column("limit", "limit", count),
        Column("kept", "kept", lambda kept: "yes" if kept else "no"),
        Column("in_time_share", "in time\n%", share),
        Column(in_hour, f"{named}, busiest\nhour, s", _or_never),
        Column(in_run, f"{named}, run\ns", _or_never),
        Column("connections_peak", "in use\npeak", lambda value: f"{value:.1f}"),
        Column("queue_messages_peak", "queue\npeak", count),
        Column("erlang_c_mean_wait_s", "Erlang C\nwait s", _or_never),
    )
    say()
    say(wrapped(f"Limits of connections tried for {found.target.words()} (the policy allows "
                f"{found.target.allowed()}), with the same mail:"))  # fmt: skip
    say()
    say(table(rows, columns))
    say()
    say(wrapped(LIMITS_LEGEND))
    say(wrapped(found.difference()))


def _or_never(value: Any) -> str:
    return "-" if value is None or math.isinf(value) else seconds(value)


def _drain_words(row: Mapping[str, Any], replications: int) -> str:
    from sim.results.findings import duration

    if row["event"] != "largest backlog":
        return _event_words(row, replications)
    text = (
        f"The largest backlog grows from {row['event_h']:.1f} h on, above a mean queue of "
        f"{seconds(row['level_before_messages'])} messages, to {row['peak_messages']:,.0f} at {row['peak_h']:.1f} h"
    )
    if row["drain_s"] is None:
        return f"{text}, and is not back before the end."
    return (
        f"{text}, and{_in_some(row, replications)} drains to that mean in {duration(row['drain_s'])}: "
        f"{row['departed_per_s']:.2g} messages per "
        f"second leave while {row['arrived_per_s']:.2g} arrive. Its retries open up to "
        f"{row['opening_peak_per_s']:.2g} connections per second."
    )


def _in_some(row: Mapping[str, Any], replications: int) -> str:
    """Say in how many replications a backlog drained, where it was not all."""
    drained = round(row["drained"] * replications)
    return "" if drained == replications else f" in {drained} of {replications} replications"


def _event_words(row: Mapping[str, Any], replications: int) -> str:
    from sim.results.findings import duration

    text = (
        f"{row['event'][0].upper()}{row['event'][1:]}, at {row['event_h']:.1f} h: until the next event up to "
        f"{row['peak_messages']:,.0f} messages are in the queue, and up to {row['opening_peak_per_s']:.2g} connections "
        f"per second open"
    )
    if row["drain_s"] is None:
        return f"{text}; it is not back at {seconds(row['level_before_messages'])} messages, the level before."
    return (
        f"{text};{_in_some(row, replications)} it is back at {seconds(row['level_before_messages'])} messages, "
        f"the level before, {duration(row['back_h'] * 3_600 - row['event_h'] * 3_600)} after it."
    )
