"""A what-if in one sentence, from its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sim.results.findings import duration, percent

if TYPE_CHECKING:
    from sim.studies.whatif_result import WhatIfResult


def sentence(result: WhatIfResult, *, short: bool = False) -> str:
    """Say what the change does to the mail, without a full stop; plain words where it does nothing.

    Parameters
    ----------
    result : of which it speaks.
    short : leave out what is said beside clear text and bounces, where there are any.
    """
    change = result.meta["change"]
    if not result.injected.sum():
        return f"{change} was not tried: no mail was injected"
    if result.same_worlds:
        return f"{change} changes nothing: every destination is asked for what it is asked for today"
    clauses = _clauses(result)
    main, others = clauses[:4], clauses[4:]
    said = [text for text in main if text]
    if not short or not said:
        said += [text for text in others if text]
    if not said:
        return f"{change} changes no message's way: none bounces, is in clear or waits a minute that did not before"
    return f"{change} {said[0] if len(said) == 1 else ', '.join(said[:-1]) + ' and ' + said[-1]}"


def _clauses(result: WhatIfResult) -> list[str]:
    """Return what is to be said of each kind, empty where there is none: clear text and bounces first."""
    of = {row["kind"]: row for row in result.kinds().to_dict("records")}
    spell = _Spelling(result.meta["days"])

    def some(kind: str, form: str) -> str:
        messages, share = float(of[kind]["messages"]), float(of[kind]["share"])
        return form.format(n=spell.amount(messages), share=f"({percent(share)} %)") if messages else ""

    first = [part.first_bounce_us / 1e6 for part in result.parts if part.first_bounce_us >= 0]
    when = f", the first after {duration(float(np.mean(first)))}" if first else ""
    clear = some("clear_avoided", "keeps {n} out of the clear {share}").replace("%)", "% of all mail)")
    minutes = result.by_provider()[["later_min", "sooner_min"]].sum()
    late, soon = (
        duration(60 * float(minutes[f"{kind}_min"]) / max(float(of[kind]["messages"]), 1e-12))
        for kind in ("later", "sooner")
    )
    return [
        clear,
        some("clear_added", "puts {n} into clear text that are not today {share}"),
        some("newly_bounced", "bounces {n} that are delivered today {share}" + when),
        some("newly_delivered", "delivers {n} that bounce today {share}"),
        some("later", "delays {n} by a minute or more {share}, " + late + " on average"),
        some("sooner", "delivers {n} a minute or more sooner {share}, " + soon + " on average"),
        some("verified_gained", "verifies the peer of {n} more {share}"),
        some("verified_lost", "no longer verifies the peer of {n} {share}"),
    ]


class _Spelling:
    """Numbers of messages: a day where the run has whole days of arrivals, else in all."""

    def __init__(self, days: float) -> None:
        self.days = days if days >= 1 else 1.0
        self.unit = "messages a day" if days >= 1 else "messages"
        self.named = False

    def amount(self, messages: float) -> str:
        """Spell a number; the first one with its unit."""
        value = messages / self.days
        whole = value >= 9.95 or abs(value - round(value)) < 1e-9
        text = f"{value:,.0f}" if whole else f"{value:.1f}" if value >= 0.05 else "fewer than 0.1"
        if self.named:
            return text
        self.named = True
        return f"{text} {self.unit}" if text != "1" else text + " " + self.unit.replace("messages", "message")
