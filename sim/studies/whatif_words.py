"""A what-if in one sentence, from its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sim.results.findings import duration, percent
from sim.terms import Fate


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the sentence speaks of.

    Attributes
    ----------
    changes : each the subject of a sentence.
    days : arrival window; from one day on, messages are told a day.
    injected : messages injected in all replications.
    differing : messages that differ in anything, in all replications.
    messages, share : by kind of difference there may be, messages of a run and their share of those injected.
    clear_bounced : messages of a run that bounce instead of travelling in clear.
    waiting : by kind of mail that waits at the end of one run only: messages of a run by their fate in the other.
    minutes : by kind, minutes that *later* and *sooner* mail gains or loses in a run.
    first_bounce_s : mean time of the first newly bounced message, where there is one.
    """

    changes: Sequence[str]
    days: float
    injected: float
    differing: int
    messages: Mapping[str, float]
    share: Mapping[str, float]
    clear_bounced: float
    waiting: Mapping[str, Mapping[Fate, float]]
    minutes: Mapping[str, float]
    first_bounce_s: float | None


def sentence(facts: Facts, *, short: bool = False) -> str:
    """Say what the change does to the mail, without a full stop; plain words where it does nothing.

    Parameters
    ----------
    facts : of which it speaks.
    short : leave out what is said beside clear text and bounces, where there are any.
    """
    first, *others = facts.changes
    change = ", ".join([first, *(text[0].lower() + text[1:] for text in others)]) + (": this" if others else "")
    if not facts.injected:
        return f"{change} was not tried: no mail was injected"
    if not facts.differing:
        return f"{change} changes nothing: every message goes exactly as it goes today"
    said = _clauses(facts, _MAIN) if short else []
    said = said or _clauses(facts, (*_MAIN, *_BESIDE))
    if not said:
        return f"{change} moves no message: none bounces, is in clear or waits a minute that does not today"
    *clauses, last = said
    comma = "," if len(clauses) > 1 or any(", " in clause for clause in clauses) else ""
    return f"{change} {', '.join(clauses)}{comma} and {last}" if clauses else f"{change} {last}"


_MAIN = (
    ("clear_avoided", "keeps {n} out of the clear ({share} of all mail{bounced})"),
    ("clear_added", "puts {n} into clear text that are not today ({share})"),
    ("newly_bounced", "bounces {n} that are delivered today ({share}), the first after {first}"),
    ("newly_delivered", "delivers {n} that bounce today ({share})"),
    ("newly_waiting", "keeps {n} queued at the end of the run that leave by then today ({share}{fates})"),
    ("no_longer_waiting", "lets {n} leave that are queued at the end of the run today ({share}{fates})"),
)
_BESIDE = (
    ("later", "delays {n} by a minute or more ({share}), {mean} on average"),
    ("sooner", "delivers {n} a minute or more sooner ({share}), {mean} on average"),
    ("verified_gained", "verifies the peer of {n} more ({share})"),
    ("verified_lost", "no longer verifies the peer of {n} ({share})"),
)


def _clauses(facts: Facts, forms: tuple[tuple[str, str], ...]) -> list[str]:
    """Return what is to be said of each kind that there is; the first number carries the unit."""
    clauses: list[str] = []
    daily_told: bool | None = None
    for kind, form in forms:
        messages = facts.messages.get(kind, 0.0)
        if not messages:
            continue
        # What waits at the end of the run is a level, and no flow that could be told a day.
        daily = facts.days >= 1 and kind not in facts.waiting
        days = facts.days if daily else 1.0
        number = _number(messages / days)
        unit = f"message{'' if number == '1' else 's'}{' a day' if daily else ''}"
        named = number if daily == daily_told else f"{number} {unit}"
        daily_told = daily
        clauses.append(
            form.format(
                n=named,
                share=f"{percent(facts.share[kind])} %",
                bounced=f"; {_number(facts.clear_bounced / days)} by bouncing" if facts.clear_bounced else "",
                first=duration(facts.first_bounce_s or 0.0),
                mean=duration(60 * facts.minutes.get(kind, 0.0) / messages),
                fates=_fates(facts.waiting.get(kind, {}), messages),
            )
        )
    return clauses


def _fates(of: Mapping[Fate, float], messages: float) -> str:
    """Say of mail that waits at the end of one run what is of note about its fate in the other."""
    words = ((Fate.IN_CLEAR, "in clear"), (Fate.BOUNCED, "by bouncing"))
    told = [
        f"{'all' if of[fate] == messages else _number(of[fate])} {word}" for fate, word in words if of.get(fate, 0.0)
    ]
    return f"; {', '.join(told)}" if told else ""


def _number(value: float) -> str:
    if value >= 9.95 or abs(value - round(value)) < 1e-9:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 0.05 else "fewer than 0.1"
