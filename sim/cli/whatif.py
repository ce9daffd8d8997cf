"""``tlssim whatif``: the same mail before and after a change of policy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sim.cli.account import account_counts, account_sentence
from sim.cli.caveats import drawn_caveats, sender_caveats, verify_caveats
from sim.cli.modes import policy_file, told
from sim.cli.options import (
    amount_of,
    json_option,
    mail_options,
    minimum_tls_of,
    most_option,
    number_option,
    out_option,
    policy_of,
    policy_option,
    population_options,
    precision_option,
    profiles_option,
    scenario_argument,
    scenario_of,
    seed_option,
    vary_option,
)
from sim.cli.output import Output, progress
from sim.cli.text import WIDTH, Column, count, counted, rows_of, say, say_json, share, table, wrapped
from sim.errors import ScenarioError, complaint

if TYPE_CHECKING:
    from sim.formats.destination_controls import Policy
    from sim.formats.scenario_file import ScenarioFile
    from sim.policy.destinations import DestinationControls
    from sim.studies.whatif_result import WhatIfResult

_MOST = 10


def _messages(value: Any) -> str:
    """Spell a mean number of messages: ``312``, ``0.4``, blank for none."""
    if value is None or value == 0:
        return ""
    return count(value) if value >= 9.95 or value == round(value) else f"{value:.1f}" if value >= 0.05 else "<0.1"


def _hours(value: Any) -> str:
    return "" if value is None else f"{value:.1f}"


def _minutes(value: Any) -> str:
    return "" if not value else count(value) if value >= 0.5 else "<1"


_COUNTS = (
    Column("part_ways_messages", "part\nways", _messages),
    Column("newly_bounced_messages", "newly\nbounced", _messages),
    Column("newly_delivered_messages", "newly\ndelivered", _messages),
    Column("clear_avoided_messages", "clear\navoided", _messages),
    Column("clear_added_messages", "clear\nadded", _messages),
    Column("later_messages", "later\n>= 1 min", _messages),
    Column("later_min", "added\nmin", _minutes),
    Column("sooner_messages", "sooner\n>= 1 min", _messages),
    Column("newly_waiting_messages", "newly\nwaiting", _messages),
    Column("no_longer_waiting_messages", "waiting\nno more", _messages),
    Column("verified_gained_messages", "verified\ngained", _messages),
    Column("main_reason", "main reason"),
)
#: What a table that is too wide does without, first to last.
_SPARE = ("part_ways_messages", "later_min", "sooner_messages", "main_reason", "verified_gained_messages")
_DIRECTIONS = (
    Column("before", "fate today"),
    Column("after", "fate after the change"),
    Column("messages", "messages", _messages),
    Column("share", "mail\n%", share),
    Column("low", "low\n%", share),
    Column("high", "high\n%", share),
)
_NOTICES = (
    Column("channel", "first notice by"),
    Column("tells", "tells"),
    Column("on", "switched on"),
    Column("first_h", "mean\nfirst h", _hours),
    Column("messages", "messages\ncovered", _messages),
    Column("share", "harmed mail\n%", share),
)
_LEGEND = (
    "Messages are means over the replications, per cent are shares of all mail. A message parts ways when it bounces, "
    "is in clear, or is a minute later in one run and not in the other; the most harmed come first. low and high: 95 % "
    "interval."
)
_WAITING_LEGEND = (
    "The run ends early. Mail that is queued then has no fate yet: newly waiting is queued at the end after the change "
    "and not today, waiting no more the other way round, and neither is counted as bounced, delivered, in clear, later "
    "or sooner. It is harmed where it is delivered today, a minute or more before the end."
)
_OTHER_END = "the tables are of this end, and the sentence that begins with If is of the other one"
_NOTICES_LEGEND = (
    "Harmed: bounced by the change, or a minute or more later. Hours count from the change, which is the start of the "
    "run; mean first h: the first notice of each replication, their mean (the sentence on rollback has the earliest of "
    "all). The warning is dated to the earliest it can be, 4 h after arrival."
)


@click.command("whatif", short_help="Where the same mail parts ways when the policy changes.")
@scenario_argument
@click.option("--set", "typed", metavar="PATTERN=SETTING", multiple=True,
              help="Type a TLS setting into the table, as often as you like: '*.gov=required_verify', "
                   "bank.example=required, DEFAULT=preferred, '*=no' (every entry and DEFAULT). Settings: no, "
                   "preferred, required, preferred_verify, required_verify, required_verify_hosted, "
                   "default.")  # fmt: skip
@click.option(
    "--to-policy", metavar="FILE", help="Put this table in place of today's; it has today's profiles, or --profiles."
)
@click.option("--minimum-tls", metavar="VERSION", help="Accept no TLS version below: 1.0, 1.1, 1.2, 1.3.")
@click.option("--sender", metavar="NAME", help="Put this sender in place of today's: postfix, exim, ...")
@population_options
@mail_options
@policy_option
@profiles_option
@seed_option
@number_option("--replications", 1, 10_000, "Pairs of runs that draw anew what varies.  [default: 5]")
@vary_option
@precision_option
@most_option
@number_option("--jobs", 1, 1_024, "Processes, or threads.  [default: the processors there are]")
@json_option
@out_option
def whatif_command(
    typed: Sequence[str],
    to_policy: str | None,
    minimum_tls: str | None,
    sender: str | None,
    replications: int | None,
    vary: str | None,
    precision: float | None,
    most: int | None,
    jobs: int | None,
    as_json: bool,
    out: str | None,
    profiles: str | None,
    **world: Any,
) -> None:
    """Show what a change of policy does to the mail, in both directions, before anybody touches the gateway.

    The same mail meets the same peers today and after the change, message by message. Say at least one change:
    --set, --to-policy, --minimum-tls or --sender.

    \b
    tlssim whatif --set '*.gov.example=required_verify'
    tlssim whatif scenario.toml --set DEFAULT=required --set shop.example=preferred --out out/whatif
    """  # noqa: D301
    with Output(out) as output:
        if not typed and not any((to_policy, minimum_tls, sender)):
            changes = "--set, --to-policy, --minimum-tls, --sender"
            raise ScenarioError(f"no change is given; allowed: at least one of {changes}")
        settings = settings_of(typed)
        # The profiles belong to both tables; without --policy, to the new one alone.
        beside = profiles if world["policy"] is not None or to_policy is None else None
        file = scenario_of(profiles=beside, **world)
        table = None if to_policy is None else _other_table(to_policy, profiles, file.scenario.policy)
        from sim.studies.whatif import whatif

        with progress() as line:
            result = whatif(
                file.scenario,
                set=settings or None,
                policy=table,
                minimum_tls=None if minimum_tls is None else minimum_tls_of(minimum_tls),
                sender=sender,
                **amount_of(file, replications, precision, most),
                vary=vary or file.vary,
                seed=file.seed,
                jobs=jobs,
                progress=lambda done, of: line.show(done / of, f"{int(done)} of {of} pairs of runs"),
            )
        written = output.write(result.write)
        if as_json:
            say_json(_document(file, result, written))
        else:
            _tell(file, result, written)


def _other_table(path: str, profiles: str | None, today: DestinationControls) -> Policy:
    """Read the table of --to-policy, with the bounce profiles given or else today's."""
    if profiles is not None:
        return policy_of(path, profiles)
    from sim.formats.bounce_profiles import BounceProfiles

    return policy_of(path, BounceProfiles(dict(today.profiles), today.host_retry))


def settings_of(typed: Sequence[str]) -> dict[str, str]:
    """Read PATTERN=SETTING, as often as it stands.

    Raises
    ------
    ScenarioError
        When there is no ``=``, or a pattern comes twice.
    """
    found: dict[str, str] = {}
    for text in typed:
        pattern, equals, setting = text.partition("=")
        if not equals or not pattern.strip() or not setting.strip():
            raise ScenarioError(complaint("--set", text, "PATTERN=SETTING, such as '*.gov=required_verify'"))
        if pattern in found:
            raise ScenarioError(complaint("--set", text, f"each pattern once, and {pattern}={found[pattern]} is given"))
        found[pattern] = setting
    return found


def _tell(file: ScenarioFile, result: WhatIfResult, written: list[Path]) -> None:
    say(wrapped(f"{result.sentence()}."))
    if other := result.other_sentence():
        say(wrapped(f"{other}."))
    say(wrapped(f"{file.source}: {result.caption()}"))
    for text in (*_pattern_sentences(result), *_event_sentences(result)):
        say(wrapped(text))
    tables = {policy_file(policy): policy for policy in (result.before.policy, result.after.policy)}
    for name, policy in tables.items():
        if sentence := account_sentence(policy):
            say(wrapped(f"{name}: {sentence[0].lower()}{sentence[1:]}"))
    say()
    say(table([row for row in rows_of(result.directions()) if row["messages"]], _DIRECTIONS))
    _tell_ranked(result)
    _tell_notices(result)
    say()
    say(wrapped(_LEGEND))
    for text in (_pairing_sentence(result), *_caveats(file, result)):
        if text:
            say(wrapped(text))
    say(told(written, "--out DIR keeps all tables and the chart"))


def _tell_ranked(result: WhatIfResult) -> None:
    used = result.by_provider()
    columns = [c for c in _COUNTS if c.show is None or (c.key in used and used[c.key].any())]
    for frame, name, heads in (
        (result.by_domain(), "destination", [Column("domain", "destination")]),
        (
            result.by_entry(),
            "policy entry",
            [
                Column("entry_after", "policy entry"),
                Column("setting_before", "TLS today"),
                Column("setting_after", "TLS after"),
            ],
        ),
    ):
        parting = frame[frame["part_ways_messages"] + frame["verified_gained_messages"] > 0]
        if parting.empty:
            continue
        # Whom a change harms is asked first, and might be lost among those it serves.
        parting = parting.sort_values(
            ["harmed_messages", "part_ways_messages"], ascending=False, kind="stable", ignore_index=True
        )
        say()
        say(_fitting(rows_of(parting.head(_MOST)), heads, columns))
        if len(parting) > _MOST:
            rest = counted(len(parting) - _MOST, f"more {name}")
            say(f"{rest}: by_{'domain' if name == 'destination' else 'entry'}.csv of --out DIR.")


def _fitting(rows: list[dict[str, Any]], heads: Sequence[Column], columns: Sequence[Column]) -> str:
    """Lay out a table without the columns that matter least, where all are wider than a line."""
    shown = list(columns)
    spare = [column for key in _SPARE for column in columns if column.key == key]
    while True:
        text = table(rows, (*heads, *shown))
        if not spare or max(map(len, text.splitlines())) <= WIDTH:
            return text
        shown.remove(spare.pop(0))


def _tell_notices(result: WhatIfResult) -> None:
    notices = rows_of(result.notices())
    noticed = any(row["messages"] for row in notices)
    if noticed:
        shown = [row | {"on": {True: "yes", False: "no", None: ""}[row["switched_on"]]} for row in notices]
        say()
        say(table(shown, _NOTICES))
    if noticed or (result.deadline().get("newly_waiting_messages") or 0) > 0:
        say(wrapped(rollback_sentence(result)))


def rollback_sentence(result: WhatIfResult) -> str:
    """Say until when the change can be undone without losing mail."""
    at = result.deadline()
    if at.get("censored"):
        return _no_verdict(result)
    if at["loss_begins_h"] is None or at["roll_back_by_h"] is None or at["first_bounce_h"] is None:
        return "Rollback: no mail is lost through the change, whenever it is undone."
    queue = result.rollback()
    row = queue.iloc[min(int(at["roll_back_by_h"]), len(queue) - 1)]
    if at["roll_back_by_h"] < 0.05:
        return "Rollback: mail is lost at once; undoing the change saves only what still waits."
    window_h = 24 * result.meta["days"]
    stops = f" (mail stops arriving at hour {window_h:.3g}; with more days more would wait)"
    return (
        f"Rollback: undone by hour {at['roll_back_by_h']:.1f} the change loses no mail; about then "
        f"{_messages(float(row['extra_waiting_messages'])) or 'no'} messages wait that would not today"
        f"{stops if window_h < at['roll_back_by_h'] else ''}. The first "
        f"lapse at hour {at['loss_begins_h']:.1f}, the first bounce comes at hour {at['first_bounce_h']:.1f}, the "
        "earliest of all replications."
    )


def _no_verdict(result: WhatIfResult) -> str:
    """Say why a run that ended early tells no hour until which the change can be undone."""
    at = result.deadline()
    waits, opens = (_messages(at[key]) or "no" for key in ("newly_waiting_messages", "open_messages"))
    end_h = f"{result.meta['until_s'] / 3_600:.3g}"
    text = (
        f"Rollback: no verdict. The run ends at hour {end_h}, before all mail could lapse: {waits} messages still wait "
        f"because of the change, and of {opens} that wait it is open whether they are lost through it; a run without "
        "an early end (until_h) tells."
    )
    if at["loss_begins_h"] is None or at["first_bounce_h"] is None:
        return text
    return (
        f"{text} Of the mail that is lost by then the first lapses at hour {at['loss_begins_h']:.1f}, and the first "
        f"bounce comes at hour {at['first_bounce_h']:.1f}."
    )


def _pairing_sentence(result: WhatIfResult) -> str:
    """Say how much surer the differences are for the runs being paired."""
    rows = [row for row in rows_of(result.measures()) if row["variance_saved"] is not None]
    saved = [(100 * row["variance_saved"], row["measure"]) for row in rows if abs(row["variance_saved"]) >= 0.005]
    less = ", ".join(f"{part:.0f} % ({name})" for part, name in saved if part > 0)
    more = ", ".join(f"{-part:.0f} % ({name})" for part, name in saved if part < 0)
    texts = [f"of the variance of a difference this saves {less}"] if less else []
    texts += [f"where pairing does not help, the variance is larger: by {more}"] if more else []
    return f"Both runs have the same chance; {'; '.join(texts)}." if texts else ""


def _pattern_sentences(result: WhatIfResult) -> list[str]:
    texts = []
    for row in rows_of(result.patterns):
        kept = row["kept_destinations"]
        what = f"{row['pattern']} ({row['entry']} entry)" if row["pattern"] != "*" else "*"
        if not row["destinations"] and not kept:
            texts.append(f"{what} matches none of the {result.meta['domains']:,} destinations.")
            continue
        mail = "all mail (100 %)" if row["mail_share"] == 1 else f"{share(row['mail_share'])} % of mail"
        text = f"{what} rules {counted(row['destinations'], 'destination')}, {mail}"
        if kept:
            names = row["kept_by"].split()
            some = ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
            text += (
                f"; more specific entries still rule {counted(kept, 'destination')} of it "
                f"({share(row['kept_mail_share'])} %): {some}"
            )
        texts.append(f"{text}.")
    return texts


def _event_sentences(result: WhatIfResult) -> list[str]:
    """Say which policy events of the timeline another table replaces, and which change nothing any more."""
    left_out, idle = (
        ", ".join(f"{row['label']} at {row['at_h']:g} h" for row in result.meta[key])
        for key in ("policy_events_left_out", "policy_events_idle")
    )
    told = (
        (
            left_out,
            "The other table is in force throughout: policy events of the timeline are left out after the change",
        ),
        (idle, "What is set is typed into policy events of the timeline, too; after the change some change nothing"),
    )
    return [f"{text} ({events})." for events, text in told if events]


def _some_wait(result: WhatIfResult) -> bool:
    kinds = result.kinds().set_index("kind")["messages"]
    return bool(kinds.reindex(["newly_waiting", "no_longer_waiting"]).fillna(0).any())


def _caveats(file: ScenarioFile, result: WhatIfResult) -> list[str]:
    entries = result.by_entry()
    settings = {*entries["setting_before"], *entries["setting_after"]}
    texts = [_WAITING_LEGEND] if _some_wait(result) else []
    texts += [_NOTICES_LEGEND] if any(row["messages"] for row in rows_of(result.notices())) else []
    if silent := _silent_profiles(result):
        one = len(silent) == 1
        texts.append(
            f"Bounce profile{'' if one else 's'} {', '.join(silent)} {'has' if one else 'have'} send_bounces = false: "
            f"{'its' if one else 'their'} bounces of mail the change harms, counted here, reach nobody."
        )
    population = file.scenario.population
    unmeasured = verify_caveats(population, settings)
    if result.other_end is not None:
        unmeasured = [text.replace("'tlssim modes' shows both ends", _OTHER_END) for text in unmeasured]
    return [*texts, *sender_caveats(result.after), *unmeasured, *drawn_caveats(population)]


def _silent_profiles(result: WhatIfResult) -> list[str]:
    """Return the bounce profiles that send no bounces and by which mail bounces that is delivered today."""
    policy, entries = result.after.policy, result.by_entry()
    bounced = {str(name).lower() for name in entries.loc[entries["newly_bounced_messages"] > 0, "entry_after"]}
    names = ["(default)", *(entry.domain.lower() for entry in policy.entries)]
    used = {
        (policy.resolved(place).bounce_profile or "Default").lower()
        for place, name in enumerate(names, start=-1)
        if name in bounced
    }
    silent: dict[str, None] = {}
    section: dict[str, str] = {}
    for row in getattr(policy, "rows", ()):
        text = row.text.strip()
        if text.startswith("["):
            section[row.file] = text[1:].partition("]")[0].strip().strip("\"'")
        elif text.replace(" ", "").lower().startswith("send_bounces=false") and row.file in section:
            silent[section[row.file]] = None
    return [name for name in silent if name.lower() in used]


def _document(file: ScenarioFile, result: WhatIfResult, written: list[Path]) -> dict[str, Any]:
    return {
        "command": "whatif",
        "sentence": result.sentence(),
        "other_end": None if result.other_end is None else result.other_end.document(),
        "caption": result.caption(),
        "meta": result.meta,
        "policy": {"file": policy_file(file.scenario.policy), "account": account_counts(file.scenario.policy)},
        **result.frames(),
        "deadline": {"censored": False} | result.deadline(),
        "notes": [*_pattern_sentences(result), *_event_sentences(result), *_caveats(file, result)],
        "written": [str(path) for path in written],
    }
