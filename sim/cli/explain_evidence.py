"""The half of ``tlssim explain`` that asks what senders make of evidence: of one connection, or of a whole pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from sim.cli.explain_words import say_next
from sim.cli.options import minimum_tls_of
from sim.cli.text import Column, rows_of, say, say_json, table, wrapped
from sim.errors import PolicyError, ScenarioError, complaint

if TYPE_CHECKING:
    from pandas import DataFrame

    from sim.policy.profile import Profile, Value
    from sim.studies.evidence import Evidence
    from sim.studies.passes import Asked, Step
    from sim.terms import DaneOption, Term, TlsVersion

_DECISIONS = (
    Column("setting", "TLS setting"),
    Column("seen", "it shows"),
    Column("outcome", "outcome"),
    Column("reason", "reason"),
    Column("open", "open"),
)
_DEMANDS = (
    Column("setting", "TLS setting"),
    Column("demand", "demand"),
    Column("name_rule", "name rule"),
    Column("holds", "holds"),
)
_BY_SENDER = (
    Column("sender", "sender"),
    Column("setting", "TLS setting"),
    Column("outcome", "outcome"),
    Column("reason", "reason"),
    Column("open", "open"),
)
_ENDS = {"in_clear": "in clear", "encrypted": "encrypted", "verified": "verified"}


@dataclass(frozen=True)
class Question:
    """Which senders and settings are asked, and how.

    Attributes
    ----------
    asked : each sender with the settings wanted of it.
    alone : whether it is about one sender.
    switches, dane_option, minimum_tls : as for `sim.studies.explain.explain_evidence`.
    """

    asked: tuple[tuple[Profile, tuple[Term, ...]], ...]
    alone: bool
    switches: dict[str, Value]
    dane_option: DaneOption | None
    minimum_tls: TlsVersion | None

    @classmethod
    def of(
        cls,
        sender: str | None,
        setting: str | None,
        switches: Sequence[str],
        dane_option: str | None,
        minimum_tls: str | None,
    ) -> Self:
        """Read the options of the command.

        Raises
        ------
        ScenarioError, PolicyError
            Naming the option that cannot be read.
        """
        from sim.policy.profiles import SENDERS, profile
        from sim.terms import DaneOption

        alone = sender != "all"
        if sender not in (None, "all", *SENDERS):
            raise ScenarioError(complaint("--sender", sender, [*SENDERS, "all"]))
        if not alone and switches:
            raise ScenarioError(complaint("--switch", " ".join(switches), "beside one sender"))
        options = {option.label: option for option in DaneOption}
        if dane_option is not None and dane_option not in options:
            raise ScenarioError(complaint("--dane-option", dane_option, options))
        if dane_option is not None and alone and not profile(sender or SENDERS[0]).has_dane_option:
            title = profile(sender or SENDERS[0]).title
            raise ScenarioError(complaint("--dane-option", dane_option, f"none: {title} has no such option"))
        asked = []
        for key in (sender or SENDERS[0],) if alone else SENDERS:
            known = profile(key)
            settings = tuple(known.settings) if setting is None else _named(setting, known, alone=alone)
            if settings:
                asked.append((known, settings))
        if not asked:
            raise ScenarioError(complaint("--setting", setting, "a setting of the gateway, or of one sender or more"))
        read = dict(_switch(text, asked[0][0]) for text in switches)
        return cls(
            tuple(asked),
            alone,
            read,
            None if dane_option is None else options[dane_option],
            None if minimum_tls is None else minimum_tls_of(minimum_tls),
        )

    def unused(self) -> dict[str, dict[str, list[str]]]:
        """Return which senders do not have an option that is given, for the document; empty where all have it."""
        without = [sender.title for sender, _ in self.asked if not sender.has_dane_option]
        return {"unused": {"--dane-option": without}} if self.dane_option is not None and without else {}

    def say_unused(self) -> None:
        """Say who obeys an option that others do not have."""
        if self.unused():
            obey = [sender.title for sender, _ in self.asked if sender.has_dane_option]
            told = f"only by {', '.join(obey)}; the others have no such option" if obey else "by none of them"
            say(wrapped(f"--dane-option is obeyed {told}."))


def _named(setting: str, sender: Profile, *, alone: bool) -> tuple[Term, ...]:
    """Return the setting that a text spells: of one sender its own first, of all senders the gateway's first.

    None where this is one of several senders and has no such setting.
    """
    from sim.policy.spellings import sender_setting, setting_of

    if alone:
        return (sender_setting("--setting", setting, sender),)
    try:
        gateways = setting_of("--setting", setting)
    except PolicyError:
        gateways = None
    try:
        return (sender_setting("--setting", setting if gateways is None else gateways, sender),)
    except PolicyError:
        return ()


def _switch(text: str, sender: Profile) -> tuple[str, Value]:
    name, equals, word = text.partition("=")
    if not equals:
        raise ScenarioError(complaint("--switch", text, "NAME=VALUE, such as mta_sts=true"))
    known = sender.switches.get(name)
    values = {str(value).lower(): value for value in known.outcomes} if known else {}
    return name, values.get(word.lower(), word)


def explain_connection(evidence: Sequence[str], question: Question, *, as_json: bool) -> None:
    """Answer what each setting makes of what one connection shows."""
    import pandas as pd

    from sim.studies.explain import Evidence, explain_evidence

    shown = Evidence.parse(evidence[0])
    frame = pd.concat(
        [
            explain_evidence(
                shown, settings, sender=sender.key, switches=question.switches,
                minimum_tls=question.minimum_tls, dane_option=question.dane_option,
            )
            for sender, settings in question.asked
        ],
        ignore_index=True,
    )  # fmt: skip
    if as_json:
        say_json({"command": "explain", "evidence": shown.text(), "decisions": frame} | question.unused())
        return
    rows = _marked(frame)
    say(wrapped(f"One connection that shows {shown.text()}:"))
    say()
    if not question.alone:
        say(table(_once(rows), _BY_SENDER))
        say()
        say_next(rows)
        say("?: no source settles it. Sources, demands and queues: tlssim table SENDER.")
        question.say_unused()
        return
    say(table(rows, _DECISIONS))
    say()
    rules = [row | {"holds": _holds(row, shown)} for row in rows]
    say(table(rules, _DEMANDS))
    say()
    say_next(rows)
    _say_sources(question.asked[0][0], rows)


def _marked(frame: DataFrame) -> list[dict[str, Any]]:
    return [{**row, "open": "" if row["settled"] else row["switches"] or "?"} for row in rows_of(frame)]


def _once(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Name each sender in its first row alone; what changes an open cell is for the sender's own table."""
    seen: set[str] = set()
    told = []
    for row in rows:
        first = row["sender"] not in seen
        seen.add(row["sender"])
        told.append(row | {"sender": row["sender"] if first else "", "open": "?" if row.get("open") else ""})
    return told


def _holds(row: dict[str, Any], shown: Evidence) -> str:
    from sim.terms import Stage

    if row["name_rule"] == "none" or shown.stage != Stage.TLS:
        return ""
    return "yes" if row["name_rule_holds"] else "no"


def _say_sources(sender: Profile, rows: list[dict[str, Any]]) -> None:
    from sim.policy.sheets import aged_words

    if told := aged_words(sender):
        say(wrapped(f"{told} This one is {'aged' if rows[0]['aged'] else 'young'}."))
    say(wrapped(f"Source: {sender.source}."))
    for name in sorted({name for row in rows for name in row["switches"].split()}):
        say(wrapped(f"open, {name}: no source settles it; {_where(sender, name)}."))
    if any(not row["settled"] and not row["switches"] for row in rows):
        page = ": docs/decisions/unsettled-cells.md" if sender.key == "esa" else ""
        say(wrapped(f"open, ?: no source settles it{page}."))


def _where(sender: Profile, name: str) -> str:
    if sender.key == "esa":
        return f"the choice and its switch: docs/decisions/{name.replace('_', '-')}.md"
    switch = sender.switches[name]
    values = ", ".join(str(value).lower() for value in switch.outcomes)
    return f"the switch is about {switch.about}: {values}"


def explain_hosts_of_a_pass(evidence: Sequence[str], question: Question, *, as_json: bool) -> None:
    """Answer what becomes of one pass over MX hosts that show what is given, in turn."""
    from sim.studies.evidence import Evidence
    from sim.studies.passes import Asked, walk

    shown = [Evidence.parse(text) for text in evidence]
    rows: list[dict[str, Any]] = []
    for sender, settings in question.asked:
        asked = Asked.of(sender, question.switches, question.minimum_tls, question.dane_option)
        aged = asked.is_aged(max(host.age_s for host in shown), max(host.attempt for host in shown))
        for setting in settings:
            end = walk(asked, setting, shown, aged=aged)
            steps = [_step(asked, step) for step in end.steps]
            rows.append(
                {
                    "sender": sender.title,
                    "setting": setting.label,
                    "end": end.outcome,
                    "mx_host": end.host + 1,
                    "reason": end.reason.label,
                    "steps": steps,
                    "source": sender.source,
                }
            )
    if as_json:
        hosts = [host.text() for host in shown]
        say_json({"command": "explain", "evidence": hosts, "passes": rows} | question.unused())
        return
    _say_passes(shown, rows, alone=question.alone)
    question.say_unused()


def _step(asked: Asked, step: Step) -> dict[str, Any]:
    from sim.policy.sheets import open_marks

    marks = open_marks(asked.sender, asked.tables, step.seen, step.demand, aged=step.aged)
    return {
        "mx_host": step.host + 1,
        "demand": step.demand.label,
        "name_rule": step.rule.label,
        "name_rule_holds": step.holds,
        "seen": step.seen.label if step.asked else "(not asked)",
        "outcome": step.outcome.label,
        "reason": step.reason.label,
        "settled": marks is None,
        "switches": " ".join(marks or ()),
    }


def _say_passes(shown: Sequence[Evidence], rows: list[dict[str, Any]], *, alone: bool) -> None:
    say("One pass over MX hosts that show, in turn:")
    for number, host in enumerate(shown, 1):
        say(wrapped(host.text(), indent="   ", first=f"{number}. "))
    say()
    told = [row | _by_host(row, len(shown)) | {"told": _end(row)} for row in rows]
    hosts = [Column(f"host{number}", f"MX host {number}") for number in range(1, len(shown) + 1)]
    setting, end = Column("setting", "TLS setting"), Column("told", "the message is")
    say(
        table(told, [setting, *hosts, end]) if alone else table(_once(told), [Column("sender", "sender"), setting, end])
    )
    say()
    say(wrapped("With what is not delivered stands why the last connection failed; deferred mail is tried again."))
    if alone:
        say(wrapped(f"Source: {rows[0]['source']}."))


def _by_host(row: dict[str, Any], hosts: int) -> dict[str, str]:
    """Spell what each host comes to; one that is tried again in clear is told once."""
    from sim.policy.sheets import SHORT

    short = {outcome.label: word for outcome, word in SHORT.items()}
    first = {step["mx_host"]: step["outcome"] for step in reversed(row["steps"])}
    return {f"host{n}": short.get(first.get(n, ""), first.get(n, "")) for n in range(1, hosts + 1)}


def _end(row: dict[str, Any]) -> str:
    if row["end"] in _ENDS:
        return f"{_ENDS[row['end']]}, by MX host {row['mx_host']}"
    return f"{row['end']}: {row['reason']}"
