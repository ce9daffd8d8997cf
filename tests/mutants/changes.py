"""Every change of one cell, row or number of a sender's tables, in a fixed order: what its tests have to see.

`mutmut` changes code; the senders are text and data of a module, which it leaves alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import ModuleType
from typing import Any

from sim.policy import profile as shared
from sim.policy.decide import NOT_USED
from sim.policy.profile import Profile, Queueing, Switch
from sim.policy.profiles import SENDERS, profile
from sim.policy.text_tables import format_table, split_table, term
from sim.terms import DaneOption, Demand, NameRule, Outcome, Reason, Seen, Term, TlsVersion

#: The name under which the tables go that all senders share.
SHARED = "shared"


@dataclass(frozen=True, eq=False)
class Change:
    """One change: ``field`` of a sender's profile, or of the module of the shared tables, becomes ``value``."""

    sender: str
    group: str
    place: str
    field: str
    value: object

    @property
    def target(self) -> Profile | ModuleType:
        return shared if self.sender == SHARED else profile(self.sender)

    def __str__(self) -> str:
        return f"{self.sender}, {self.group}: {self.place}"


Made = tuple[str, object]

#: What an outcome is changed to: the one a reader would most likely take it for, and one further off.
OTHERS = {
    Outcome.DELIVER_CLEAR: (Outcome.RECONNECT_CLEAR, Outcome.DELIVER_ENCRYPTED),
    Outcome.RECONNECT_CLEAR: (Outcome.DELIVER_CLEAR, Outcome.NEXT_HOST),
    Outcome.DELIVER_ENCRYPTED: (Outcome.DELIVER_VERIFIED, Outcome.DELIVER_CLEAR),
    Outcome.DELIVER_VERIFIED: (Outcome.DELIVER_ENCRYPTED, Outcome.NEXT_HOST),
    Outcome.NEXT_HOST: (Outcome.RETRY, Outcome.DELIVER_CLEAR),
    Outcome.RETRY: (Outcome.NEXT_HOST, Outcome.BOUNCE_ALL),
    Outcome.BOUNCE_ALL: (Outcome.BOUNCE_NOW, Outcome.RETRY),
    Outcome.BOUNCE_NOW: (Outcome.BOUNCE_MESSAGE, Outcome.NEXT_HOST),
    Outcome.BOUNCE_MESSAGE: (Outcome.BOUNCE_NOW, Outcome.NEXT_HOST),
}


def changes(sender: str) -> Iterator[Change]:
    """Yield every change of a sender, or of the shared tables."""
    for group, field, make in SHARED_GROUPS if sender == SHARED else GROUPS:
        known: Any = shared if sender == SHARED else profile(sender)
        for place, value in make(getattr(known, field), known):
            yield Change(sender, group, place, field, value)


def _outcome_cells(text: str, _: Profile) -> Iterator[Made]:
    heading, rows = split_table(text)
    for i, row in enumerate(rows):
        for j, cell in enumerate(row[1:], start=1):
            for other in (*_other_outcomes(cell), *_other_marks(cell)):
                yield f"{row[0]} | {heading[j]}: {cell} -> {other}", _with_cell(heading, rows, i, j, other)


def _other_outcomes(cell: str) -> list[str]:
    label, question, marks = cell.partition("?")
    return [f"{other.label} {question}{marks}".strip() for other in OTHERS[term(label, Outcome)]]


def _other_marks(cell: str) -> list[str]:
    label, question, text = cell.partition("?")
    marks = [mark.strip() for mark in text.split(",") if mark.strip()]
    if not question:
        return [f"{label.strip()} ?"]
    if not marks:
        return [label.strip()]
    others = [marks[:k] + marks[k + 1 :] for k in range(len(marks))] + ([marks[::-1]] if len(marks) > 1 else [])
    return [f"{label}?{', '.join(some)}".strip() for some in others] + [label.strip()]


def _with_cell(heading: list[str], rows: list[list[str]], i: int, j: int, cell: str) -> str:
    return format_table(heading, [*rows[:i], [*rows[i][:j], cell, *rows[i][j + 1 :]], *rows[i + 1 :]])


def _aged_cells(aged: Mapping[tuple[Seen, Demand], Outcome | str], _: Profile) -> Iterator[Made]:
    for (seen, demand), cell in aged.items():
        place = f"{seen.label} | {demand.label}: {cell}"
        yield f"{place} -> as a young message", {k: v for k, v in aged.items() if k != (seen, demand)}
        others = [*_other_outcomes(cell), *_other_marks(cell)] if isinstance(cell, str) else OTHERS[cell]
        for other in others:
            yield f"{place} -> {other}", {**aged, (seen, demand): other}


def _demand_rows(text: str, known_as: Profile) -> Iterator[Made]:
    heading, rows = split_table(text)
    made = {*NOT_USED, *(term(label, Demand) for label in split_table(known_as.outcomes)[0][1:])}
    for i, row in enumerate(rows):
        place = f"row {i + 1}, {' | '.join(row)}"
        yield f"{place}: deleted", format_table(heading, rows[:i] + rows[i + 1 :])
        if i + 1 < len(rows):
            yield f"{place}: after the next", format_table(heading, [*rows[:i], rows[i + 1], row, *rows[i + 2 :]])
        for j, terms in ((-2, Demand), (-1, NameRule)):
            known: type[Term] = terms
            for other in known:
                if other is not term(row[j], known) and (known is not Demand or other in made):
                    changed = [*row[:j], other.label, *(row[j + 1 :] if j < -1 else [])]
                    yield f"{place}: {other.label}", format_table(heading, [*rows[:i], changed, *rows[i + 1 :]])
        for j, cell in enumerate(row[:-2]):
            for other_cell in _other_conditions(cell):
                wider = _with_cell(heading, rows, i, j, other_cell)
                yield f"{place}: {heading[j]} {other_cell}", wider


def _other_conditions(cell: str) -> list[str]:
    condition, colon, rest = cell.rpartition(":")
    found = []
    if colon:
        name, _, value = condition.partition("=")
        found = [rest.strip(), f"{name}={'false' if value == 'true' else 'true'}: {rest.strip()}"]
    kept = f"{condition}: " if colon else ""
    words = [word.strip() for word in rest.split(",")]
    if words != ["any"]:
        found.append(f"{kept}any")
    if len(words) > 1:
        found += [kept + ", ".join(words[:k] + words[k + 1 :]) for k in range(len(words))]
    return found


def _switches(switches: Mapping[str, Switch], _: Profile) -> Iterator[Made]:
    for name, switch in switches.items():
        for value, outcome in switch.outcomes.items():
            for other in (None, *Outcome):
                if other is not outcome:
                    changed = replace(switch, outcomes={**switch.outcomes, value: other})
                    yield f"{name} = {value}: {outcome} -> {other}", {**switches, name: changed}
        first, *others = switch.outcomes.items()
        turned = replace(switch, outcomes=dict([*others, first]))
        yield f"{name}: another default", {**switches, name: turned}
        yield f"{name}: option {not switch.option}", {**switches, name: replace(switch, option=not switch.option)}


def _nearest(nearest: Mapping[Any, Term], known: Profile) -> Iterator[Made]:
    for setting, near in nearest.items():
        for other in known.settings:
            if other is not near:
                yield f"{setting.label}: {near.label} -> {other.label}", {**nearest, setting: other}


def _numbers(queueing: Queueing | None, _: Profile) -> Iterator[Made]:
    if queueing is None:
        return
    waits = queueing.waits_s
    for k, wait in enumerate(waits):
        for other in (wait + 1, wait * 2):
            yield f"waits_s[{k}]: {wait:g} -> {other:g}", replace(queueing, waits_s=_put(waits, k, other))
    if len(waits) > 1:
        yield "waits_s: without the last", replace(queueing, waits_s=waits[:-1])
    yield "waits_s: the last once doubled", replace(queueing, waits_s=(*waits, 2 * waits[-1]))
    for name in (
        "lifetime_s",
        "scan_s",
        "max_retries",
        "dead_s",
        "connections",
        "messages_per_connection",
        "warning_s",
    ):
        value = getattr(queueing, name)
        others = [86_400] if value is None else [value + 1, value * 2 or 60]
        for number in others:
            changed: dict[str, Any] = {name: number}
            yield f"{name}: {value} -> {number}", replace(queueing, **changed)
    for counted in ("tries", "age", "arrival"):
        if counted != queueing.counted:
            yield f"counted: {queueing.counted} -> {counted}", replace(queueing, counted=counted)


def _put(waits: tuple[float, ...], k: int, wait: float) -> tuple[float, ...]:
    return (*waits[:k], wait, *waits[k + 1 :])


def _one_of(values: Callable[[Profile], Sequence[object]]) -> Callable[[Any, Profile], Iterator[Made]]:
    def make(value: object, known: Profile) -> Iterator[Made]:
        for other in values(known):
            if other != value or type(other) is not type(value):
                yield f"{value} -> {other}", other

    return make


def _aged_if(value: tuple[str, object] | None, known: Profile) -> Iterator[Made]:
    if value is not None:
        yield f"{value} -> always", None
        name, given = value
        for other in known.switches[name].outcomes:
            if other != given:
                yield f"{given} -> {other}", (name, other)


#: What is changed of each sender: group, field of its profile, and what makes the changes.
GROUPS: tuple[tuple[str, str, Callable[[Any, Profile], Iterator[Made]]], ...] = (
    ("outcome", "outcomes", _outcome_cells),
    ("aged cell", "aged", _aged_cells),
    ("demand", "demands", _demand_rows),
    ("switch", "switches", _switches),
    ("nearest", "nearest", _nearest),
    ("queueing", "queueing", _numbers),
    ("default setting", "default", _one_of(lambda known: list(known.settings))),
    ("DANE option", "dane_option", _one_of(lambda _: list(DaneOption))),
    ("minimum TLS", "minimum_tls", _one_of(lambda _: [None, *TlsVersion])),
    ("aged if", "aged_if", _aged_if),
    ("aged after", "aged_after_s", _one_of(lambda known: [None, (known.aged_after_s or 0) + 1, 3_600.0])),
    ("aged after", "aged_after_tls_failure", _one_of(lambda _: [False, True])),
)


def _last_cells(terms: type[Term]) -> Callable[[str, ModuleType], Iterator[Made]]:
    def make(text: str, _: ModuleType) -> Iterator[Made]:
        heading, rows = split_table(text)
        for i, row in enumerate(rows):
            for other in terms:
                if other is not term(row[-1], terms):
                    changed = _with_cell(heading, rows, i, len(row) - 1, other.label)
                    yield f"{' | '.join(row)} -> {other.label}", changed

    return make


def _reasons_of_demands(reasons: Mapping[object, Reason], _: ModuleType) -> Iterator[Made]:
    for place, reason in reasons.items():
        words = ", ".join(t.label for t in (place if isinstance(place, tuple) else (place,)))
        yield f"{words}: {reason.label} -> as of every demand", {k: v for k, v in reasons.items() if k != place}
        for other in Reason:
            if other is not reason:
                yield f"{words}: {reason.label} -> {other.label}", {**reasons, place: other}


SHARED_GROUPS: tuple[tuple[str, str, Callable[[Any, Any], Iterator[Made]]], ...] = (
    ("reason", "REASONS", _last_cells(Reason)),
    ("reason of a demand", "_REASONS", _reasons_of_demands),
    ("evidence", "EVIDENCE", _last_cells(Seen)),
)
#: Everything there is to change.
ALL = (*SENDERS, SHARED)
#: Fields of a profile that are prose, or of another kind than data.
NOT_CHANGED = {"key", "title", "source", "settings"}
assert {f.name for f in fields(Profile)} == {field for _, field, _ in GROUPS} | NOT_CHANGED
