"""Tables in another form: which form a file has, and what a conversion changes, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from sim.cli.options import one_of, policy_of
from sim.cli.text import counted, wrapped
from sim.errors import PolicyError, ScenarioError, complaint

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from sim.formats.destination_controls import Policy
    from sim.formats.postfix_tls_policy import TlsPolicyMap
    from sim.studies.convert import Conversion, PairChange, Unplaced

CONTROLS, CSV, TLS_POLICY = "destination-controls", "csv", "postfix-tls-policy"
_FORMS = (CONTROLS, TLS_POLICY)
_WRITTEN = (CONTROLS, CSV, TLS_POLICY)

from_option = click.option(
    "--from",
    "form",
    metavar="FORM",
    callback=one_of(*_FORMS),
    help=f"What the file is, {' or '.join(_FORMS)}.  [default: as it looks]",
)
to_option = click.option(
    "--to",
    metavar="FORM",
    callback=one_of(*_WRITTEN),
    help=f"What to write, {CONTROLS}, {CSV} or {TLS_POLICY}.  [default: {CONTROLS}]",
)
default_option = click.option(
    "--default",
    "level",
    metavar="LEVEL",
    help="smtp_tls_security_level of main.cf, for the DEFAULT of a map, which has none.  [default: none]",
)


def read_table(file: str, profiles: str | None, *, strict: bool, form: str | None) -> Policy | TlsPolicyMap:
    """Read Destination Controls or a policy map, whichever it is said to be or looks like.

    Raises
    ------
    ScenarioError
        When bounce profiles are given beside a map.
    """
    from sim.files import read_text
    from sim.formats.postfix_tls_policy import TlsPolicyMap, looks_like_map

    if form == TLS_POLICY or (form is None and looks_like_map(read_text(file, PolicyError))):
        if profiles is not None:
            raise ScenarioError(complaint("--profiles", profiles, "not beside a policy map, which names none"))
        return TlsPolicyMap.read(file, strict=strict)
    return policy_of(file, profiles, strict=strict)


def table_text(policy: Policy, to: str) -> str:
    """Return Destination Controls as text: the gateway's file in one spelling, or its CSV."""
    from sim.formats.destconfig_csv import csv_text
    from sim.formats.destination_normal import normalised_text

    return csv_text(policy) if to == CSV else normalised_text(policy)


def is_map(table: Policy | TlsPolicyMap) -> TypeIs[TlsPolicyMap]:
    """Tell whether a table is a policy map."""
    from sim.formats.postfix_tls_policy import TlsPolicyMap

    return isinstance(table, TlsPolicyMap)


def converted(table: Policy | TlsPolicyMap, to: str, level: str | None) -> Conversion | None:
    """Return a table in the form asked for; ``None`` where it has it.

    Raises
    ------
    ScenarioError
        When a level is given for a table that has a DEFAULT, or is none.
    """
    from sim.studies.convert import from_postfix, to_postfix

    if level is not None and (not is_map(table) or to == TLS_POLICY):
        raise ScenarioError(complaint("--default", level, "only where a policy map becomes Destination Controls"))
    if is_map(table) and to == CSV:
        raise ScenarioError(complaint("--to", to, f"of a policy map {CONTROLS}, whose CSV can be written then"))
    if is_map(table):
        return None if to == TLS_POLICY else from_postfix(table, default=level)
    return to_postfix(table) if to == TLS_POLICY else None


def map_text(conversion: Conversion, told: Sequence[str] = ()) -> str:
    """Return the map that was made, what DEFAULT comes to in comments before it, and what else is told."""
    head = ["For main.cf, since a policy map has no DEFAULT:", *(f"  {line}" for line in conversion.main_cf)]
    return commented([*head, *(["", *told] if told else [])]) + "\n" + conversion.map.to_text()


def controls_text(conversion: Conversion, told: Sequence[str] = ()) -> str:
    """Return the Destination Controls that were made, what is told in comments before them."""
    from sim.formats.destination_controls import Policy

    policy = conversion.policy
    text = policy.to_text() if isinstance(policy, Policy) else Policy(policy.default, policy.entries).to_text()
    return (f"{commented(told)}\n" if told else "") + text


def commented(lines: Iterable[str]) -> str:
    """Return lines as comments of either file."""
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)


def report(conversion: Conversion, file: str) -> list[str]:
    """Say what changes: by pair of settings, then what keys mean, then what has no place."""
    changed = conversion.changed
    number = len({name for pair in changed for name in pair.entries})
    total = sum(len(pair.entries) for pair in conversion.pairs)
    text = f"{file}: {counted(total, 'entry')} with the default; of {number:,} something changes."
    lines = wrapped(text).split("\n")
    for pair in changed:
        lines += ["", *_pair(pair)]
    same = [pair for pair in conversion.pairs if not pair.changes]
    if same:
        lines += ["", "Nothing changes:", *(line for pair in same for line in _indented(_heading(pair)))]
    if conversion.patterns:
        lines += ["", "Around the entries:", *(line for text in conversion.patterns for line in _indented(text))]
    if conversion.unplaced:
        lines += ["", "No place for:", *(line for lost in conversion.unplaced for line in _indented(_lost(lost)))]
    return lines


def main_cf_lines(conversion: Conversion) -> list[str]:
    """Return what DEFAULT comes to in main.cf, under a heading."""
    return ["", "For main.cf:", *(f"    {line}" for line in conversion.main_cf)] if conversion.main_cf else []


def _pair(pair: PairChange) -> list[str]:
    lines = wrapped(_heading(pair), "        ", "").split("\n")
    for change in pair.changes:
        lines += _indented(change.text)
    for remark in pair.remarks:
        lines += _indented(f"also: {remark}")
    return lines


def _heading(pair: PairChange) -> str:
    return f"{pair.before} -> {pair.after} ({_some(pair.entries)})"


def _lost(lost: Unplaced) -> str:
    where = f" ({_some(lost.where)})" if lost.where else ""
    return f"{lost.what}: {lost.count:,}{where}; {lost.why}"


def _some(names: Sequence[str]) -> str:
    from sim.studies.finding import some

    return some(names)


def _indented(text: str) -> list[str]:
    return wrapped(text, "        ", "    ").split("\n")


def map_entries(table: TlsPolicyMap) -> list[dict[str, Any]]:
    """Lay out the entries of a map for JSON."""
    return [
        {"key": e.key, "level": e.level, "attributes": [list(pair) for pair in e.attributes], "line": e.line}
        for e in table.entries
    ]
