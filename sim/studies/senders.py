"""The senders as pages: what each setting does and demands, how the queue retries; and all of them side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from sim.policy.profile import Profile, Queueing
from sim.policy.profiles import SENDERS, profile
from sim.policy.retry import BounceProfile, HostRetry
from sim.policy.sheets import aged_words, cell, matrix, open_marks
from sim.policy.text_tables import format_table, split_table
from sim.results.findings import duration
from sim.studies.evidence import Evidence
from sim.studies.passes import explain_pass
from sim.terms import Demand, Fate, Outcome, Reason, Seen, Setting, Term

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

#: The cells on which senders differ most.
DISPUTED: Final = (
    Seen.NOT_OFFERED, Seen.REFUSED_4XX, Seen.REFUSED_5XX, Seen.LOST_BEFORE_220, Seen.HANDSHAKE_FAILED,
    Seen.HANDSHAKE_TIMEOUT, Seen.UNTRUSTED, Seen.MISMATCH,
)  # fmt: skip
#: What the words of a matrix mean, told where it has them.
_WORDS: Final = {
    "next host": "the next MX host, and when all have failed the message waits",
    "clear, 2nd try": "the same host at once, without STARTTLS",
    "retry later": "no other MX host is tried, the message waits",
    "bounce message": "the next MX host, and when there is none the message bounces",
    "bounce now": "no other MX host is tried",
}
_NAMES_WORDS: Final = "name mismatch, verified: by the setting's own rule of names."
#: Colours of a drawn matrix: enough for its flat areas and the edges of its letters.
COLOURS: Final = 64
_FEW: Final = 6


def text(sender: Profile) -> str:
    """Return the tables as the program reads them, with switches, queue and source."""
    tables = sender.tables()
    rest = tables.text([(seen, demand) for seen, demand, _ in sender.unsettled()]).partition("2. What is seen")
    parts = [
        "1. What a setting demands: the first row that fits\n\n" + demands(sender),
        rest[1] + rest[2] + "\n?: no source settles the cell.\n",
    ]
    if told := aged_words(sender):
        differ = (tables.outcome[..., 0] != tables.outcome[..., 1]).any()
        parts.append(told + ("" if differ else " As shipped no cell differs for it.") + "\n")
    if sender.switches:
        parts.append("5. Switches\n\n" + format_table(["switch", "values", "about"], switch_rows(sender)))
    parts.append("6. Queue\n\n" + format_table(["what", "is"], queue_facts(sender)))
    parts.append(f"Source: {sender.source}.\n")
    return "\n".join(parts)


def demands(sender: Profile) -> str:
    """Return the table of demands in the order of the sender's document, the first row that fits a case holds."""
    heading, rows = split_table(sender.demands)
    return format_table(heading, rows)


def switch_rows(sender: Profile) -> list[list[str]]:
    """Return the switches as rows: name, values with the default first, and what each is about."""
    return [
        [name, ", ".join(str(value).lower() for value in switch.outcomes), switch.about + _kind(sender, name)]
        for name, switch in sender.switches.items()
    ]


def _kind(sender: Profile, name: str) -> str:
    if sender.switches[name].option:
        return " (an option of the sender)"
    cells = sum(name in names for _, _, names in sender.unsettled())
    return f" (no source; {cells} cells)" if cells > 1 else " (no source)"


def queue_facts(sender: Profile) -> list[list[str]]:
    """Return how a sender queues and retries as rows: what, and what it is."""
    times = attempt_times_s(sender)
    known = sender.queueing
    shown = [duration(at) if at else "at once" for at in times[: _FEW + 2]]
    facts = [
        ["tries of a message that never passes", ", ".join(shown) + (", ..." if len(times) > len(shown) else "")],
        ["it bounces", f"after {duration(bounce_s(sender))}, with {len(times)} tries"],
    ]
    if known is None:
        facts.append(["queue", "by the bounce profiles and limits of its Destination Controls; here as shipped"])
        return facts
    facts.append(["waits", _waits(known)])
    if known.scan_s:
        facts.append(["runs over the queue", f"one in {duration(known.scan_s)}"])
    facts.append(["lifetime", f"a try that fails when the message is {duration(known.lifetime_s)} old is the last"])
    if known.max_retries is not None:
        facts.append(["retries", f"at most {known.max_retries:,}"])
    if known.dead_s:
        facts.append(["a pass has failed", f"mail of the destination waits {duration(known.dead_s)} without a try"])
    many = known.messages_per_connection
    each = "any number of messages" if not many else "1 message" if many == 1 else f"{many:,} messages"
    facts.append(["connections", f"{known.connections:,} to one destination, {each} on each"])
    if known.warning_s is not None:
        facts.append(["warning to the sender of a message", f"after {duration(known.warning_s)}"])
    if known.notes:
        facts.append(["left out", " ".join(known.notes.split())])
    facts.append(["source", known.source])
    return facts


def _waits(known: Queueing) -> str:
    if known.counted == "age":
        least, most = duration(min(known.waits_s)), duration(max(known.waits_s))
        return f"as long as the message is old, from {least} to {most}"
    waits = [duration(wait) for wait in known.waits_s]
    told = ", ".join(waits[:_FEW]) + (f", ... to {waits[-1]}" if len(waits) > _FEW else "")
    after = "from the arrival on" if known.counted == "arrival" else "from the start of each failed try"
    return f"{told}, {after}" + ("" if len(waits) == 1 else "; the last repeats")


def attempt_times_s(sender: Profile) -> tuple[float, ...]:
    """Return the ages at which a message that always fails at once is tried, of a sender as shipped."""
    if sender.queueing is not None:
        return sender.queueing.attempt_times_s()
    return HostRetry().attempt_times_s(BounceProfile().max_queue_time_s)


def bounce_s(sender: Profile) -> float:
    """Return the age at which such a message bounces: with its last try, or when the gateway's next one falls due."""
    times = attempt_times_s(sender)
    if sender.queueing is not None:
        return times[-1]
    waits = HostRetry().waits_s()
    return times[-1] + waits[min(len(times), len(waits)) - 1]


def cells_frame(sender: Profile) -> DataFrame:
    """Return one row a (class of evidence, setting): what it comes to, why, and whether a source settles it.

    Of receivers that publish neither DANE nor an MTA-STS policy; ``outcome_aged`` is what it comes to for an aged
    message.
    """
    import pandas as pd

    tables = sender.tables()
    rows: list[dict[str, Any]] = []
    for seen in Seen:
        for setting in sender.settings:
            demand, rule = tables.plain(setting)
            known = cell(sender, tables, seen, setting)
            rows.append(
                {
                    "seen": seen.label,
                    "setting": setting.label,
                    "demand": demand.label,
                    "name_rule": rule.label,
                    "outcome": known.young.label,
                    "outcome_aged": known.aged.label,
                    "reason": _reason(known.young, int(tables.reason[demand, seen])).label,
                    "settled": known.young_open is None,
                    "switches": " ".join(known.young_open or ()),
                }
            )
    return pd.DataFrame(rows)


def _reason(outcome: Outcome, code: int) -> Reason:
    return Reason.NONE if outcome <= Outcome.DELIVER_VERIFIED else Reason(code)


def markdown_table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [list(heading), ["---"] * len(heading), *(list(row) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def page(sender: Profile, picture: str | None = None) -> str:
    """Return everything known of a sender as a Markdown page; ``picture`` is a link to its drawn matrix."""
    words, rows, columns = matrix(sender)
    drawn = f"![What each setting of {sender.title} does with what a connection shows]({picture})\n\n"
    cells = markdown_table(["a connection shows", *columns], [[r, *w] for r, w in zip(rows, words, strict=True)])
    made = f"Made by `tlssim table {sender.key}`, from `sim/policy/profiles/{sender.key}.py`. Source: {sender.source}."
    shipped = (
        f"The first row that fits holds. Setting as shipped: {sender.default}; DANE option: {sender.dane_option}; "
        f"lowest TLS version: {sender.minimum_tls or 'as the run says'}."
    )
    parts = [
        f"# {sender.title}\n\n{made}\n",
        f"## What each setting does\n\n{drawn if picture else ''}{cells}\n{_legend(sender)}\n",
        f"## What each setting demands\n\n{shipped}\n\n```\n{demands(sender)}```\n",
    ]
    if sender.switches:
        heading = ["switch", "values, the default first", "about"]
        parts.append("## Switches\n\n" + markdown_table(heading, switch_rows(sender)))
    parts.append("## Queue and retries\n\n" + markdown_table(["what", "is"], queue_facts(sender)))
    if sender.settings is not Setting:
        nearest = [[s.label, sender.nearest[s].label] for s in Setting]
        heading = ["setting of the gateway", f"nearest of {sender.title}"]
        parts.append("## In place of the gateway's settings\n\n" + markdown_table(heading, nearest))
    return "\n".join(parts)


def _legend(sender: Profile) -> str:
    words = [word for row in matrix(sender)[0] for word in row]
    marked = _marks(sender)
    doubt = f" ?: no source settles the cell ({marked} of {len(Seen) * len(sender.settings)})." if marked else ""
    aged = f" {aged_words(sender)} young > aged: the two differ." if any(" > " in word for word in words) else ""
    return f"Rows: what one connection to one MX host shows. {_told(words)}{aged}{doubt} {_NAMES_WORDS}"


def _told(words: Sequence[str]) -> str:
    used = [part.removesuffix(" ?") for word in words for part in word.split(" > ")]
    return " ".join(f"{word}: {meaning}." for word, meaning in _WORDS.items() if word in used)


def _marks(sender: Profile) -> int:
    tables = sender.tables()
    plain = Counter(tables.plain(setting)[0] for setting in sender.settings)
    return sum(
        count
        for demand, count in plain.items()
        for seen in Seen
        if open_marks(sender, tables, seen, Demand(demand), aged=False) is not None
    )


def picture(sender: Profile) -> Figure:
    """Draw the decision matrix of a sender."""
    from sim.results import charts

    words, rows, columns = matrix(sender)
    never = [name for j, name in enumerate(columns) if not any("clear" in row[j] for row in words)]
    found = "each setting may send in clear"
    if never:
        found = f"{_joined(never)} never {'send' if len(never) > 1 else 'sends'} in clear"
    return charts.decision_matrix(
        words,
        rows,
        columns,
        title=f"{sender.title}: {found}",
        caption=f"{_legend(sender)} Source: {sender.source}.",
        transpose=False,
    )


def _joined(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


# --- all senders


def index(picture: str | None = None) -> str:
    """Return the page that lists the senders and sets the disputed cells and the retry clocks of all side by side.

    Parameters
    ----------
    picture : link to the figure of the retry clocks.
    """
    senders = [profile(key) for key in SENDERS]
    listed = [[f"[{s.title}]({s.key}.md)", f"`{s.key}`", str(len(s.settings)), s.default.label] for s in senders]
    clocks = [
        [s.title, str(len(times)), ", ".join(duration(at) for at in times[1:5]) or "none", duration(bounce_s(s))]
        for s, times in ((s, attempt_times_s(s)) for s in senders)
    ]
    drawn = f"![When each sender tries a message that never passes]({picture})\n\n" if picture else ""
    heading = ["sender", "setting", *(seen.label for seen in DISPUTED)]
    shipped = (
        "Where the setting as shipped never tries TLS, the one that comes nearest to the gateway's *Preferred* stands "
        "below it."
    )
    tables = [_cells(senders, _shipped), _cells(senders, _required)]
    words = [word for rows in tables for row in rows for word in row]
    legend = (
        f"Columns: what one connection to one MX host shows. {_told(words)} "
        "young > aged: what an old message meets, by the sender's own rule. ?: no source settles the cell."
    )
    parts = [
        "# Senders\n\nA page for each; made by `tlssim table all`.\n\n"
        + markdown_table(["sender", "key", "settings", "as shipped"], listed),
        f"## The disputed cells, as shipped\n\n{shipped}\n\n{markdown_table(heading, tables[0])}",
        "## The disputed cells, where TLS is required\n\nThe setting nearest to the gateway's *Required*.\n\n"
        + markdown_table(heading, tables[1]),
        f"{legend}\n",
        f"## Retry clocks\n\n{drawn}"
        + markdown_table(["sender", "tries", "first retries after", "bounce after"], clocks)
        + f"\n{_clock_note(senders)}\n",
    ]
    return "\n".join(parts)


def _cells(senders: Sequence[Profile], settings: Callable[[Profile], list[Term]]) -> list[list[str]]:
    rows = []
    for sender in senders:
        tables = sender.tables()
        for n, setting in enumerate(settings(sender)):
            words = [cell(sender, tables, seen, setting).word() for seen in DISPUTED]
            rows.append(["" if n else sender.title, setting.label, *words])
    return rows


def _shipped(sender: Profile) -> list[Term]:
    shipped = sender.default
    if sender.tables().plain(shipped)[0] != Demand.CLEAR:
        return [shipped]
    return [shipped, sender.nearest[Setting.PREFERRED]]


def _required(sender: Profile) -> list[Term]:
    return [sender.nearest[Setting.REQUIRED]]


def _clock_note(senders: Sequence[Profile]) -> str:
    own = [s.title for s in senders if s.queueing is None]
    shipped = f" {_joined(own)}: the Default bounce profile, waits that double." if own else ""
    return f"A message alone in its queue, under the sender as shipped, whose tries fail at once.{shipped}"


def retry_clocks() -> DataFrame:
    """Return when each sender tries a message that never passes: rows sender, age_s, what (try or bounce)."""
    import pandas as pd

    rows = []
    for sender in (profile(key) for key in SENDERS):
        rows += [{"sender": sender.title, "age_s": at, "what": "try"} for at in attempt_times_s(sender)]
        rows.append({"sender": sender.title, "age_s": bounce_s(sender), "what": "bounce"})
    return pd.DataFrame(rows)


def message_clock(sender: Profile, setting: Term, hosts: Sequence[Evidence | str]) -> DataFrame:
    """Follow a message, alone in its queue, to its fate, each of its tries shown the same.

    Parameters
    ----------
    sender, setting : the sender as shipped, and one of its settings.
    hosts : what each MX host shows, in the order they are tried (`sim.studies.passes.explain_pass`). Each try is taken
        to end at once.

    Returns
    -------
    DataFrame
        Rows sender, age_s, what, as `retry_clocks`, in the order of time: ``try`` for each that ends in nothing, then
        ``bounce``, or the fate of a message that is delivered.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for attempt, age_s in enumerate(attempt_times_s(sender), 1):
        ended = explain_pass(sender, setting, hosts, age_s=age_s, attempt=attempt).outcome
        delivered = ended not in ("deferred", "bounced")
        rows.append({"age_s": age_s, "what": Fate[ended.upper()].label if delivered else "try"})
        if ended != "deferred":
            break
    if not delivered:
        rows.append({"age_s": age_s if ended == "bounced" else bounce_s(sender), "what": "bounce"})
    return pd.DataFrame([{"sender": sender.title} | row for row in rows])


def clocks_picture() -> Figure:
    """Draw the retry clocks of all senders."""
    from sim.results import chart_retries

    note = (
        _clock_note([profile(key) for key in SENDERS]) + " The first try, at once, is not drawn. Sources: docs/senders."
    )
    return chart_retries.retry_clocks(retry_clocks(), caption=note)
