"""The gateway's Destination Controls as its import and export file (AsyncOS user guide 9.1.2, table 24-9).

INI text, one ``[domain]`` a destination and ``[DEFAULT]``. Keys and words are read without case; numbers stand for
words. Unknown keys, comments, order, spelling and line ends survive: what nobody changed is written back byte for byte.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from sim.errors import PolicyError, complaint
from sim.files import decode, read_text, write_text
from sim.formats.account import AccountRow, Kind, account_frame, raise_all
from sim.formats.bounce_profiles import PROFILE_KEYS, BounceProfiles, read_bounce_profiles
from sim.formats.destconfig_csv import looks_like_csv, read_csv
from sim.formats.destconfig_list import looks_like_list, read_list
from sim.formats.destination_keys import KEYS, NEAR_KEY, PROFILE_MISSING, Key, known_key, unused_matters, with_guess
from sim.formats.destination_writer import controls_text, global_value, with_global
from sim.formats.ini_lines import Line, LineKind, Section, parse_lines, sections
from sim.formats.scenario_keys import SECTIONS
from sim.policy.destinations import (
    DEFAULT,
    DOMAIN_FORMS,
    SHIPPED,
    DestinationControls,
    Entry,
    canonical_domain,
    dane_option_of,
    is_default,
)
from sim.policy.retry import BounceProfile
from sim.terms import LimitApply, Setting

if TYPE_CHECKING:
    from pandas import DataFrame

Profiles = BounceProfiles | Mapping[str, BounceProfile] | str | os.PathLike[str] | None
#: How a table is written: the gateway's import and export file, its CSV, or what LIST prints.
Form = Literal["ini", "csv", "list"]


@dataclass(frozen=True, eq=False)
class Policy(DestinationControls):
    r"""Destination Controls read from a file, with the file's own layout and an account of its lines.

    Two policies are equal when their entries, profiles and host timer are; layout and account take no part.

    Attributes
    ----------
    layout : the lines of the file; empty when it came from none.
    rows : the account, one element a line.

    Examples
    --------
    >>> policy = Policy.parse("[DEFAULT]\ntable_tls = on\n[bank.example]\ntable_tls = require\n")
    >>> policy.match(["bank.example", "shop.example"]).tolist()
    [0, -1]
    >>> print(policy.resolved(0).tls)
    Required
    """

    layout: tuple[Line, ...] = field(default=(), repr=False)
    rows: tuple[AccountRow, ...] = field(default=(), repr=False)

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, profiles: Profiles = None, strict: bool = False) -> Self:
        """Read an import or export file, the CSV of it, or a pasted LIST: `form_of` tells which.

        Parameters
        ----------
        path : the file, UTF-8.
        profiles : the bounce profiles it names: a TOML file (`read_bounce_profiles`), what that returns, or a
            mapping by name. ``None`` knows Default alone.
        strict : whether an undefined bounce profile, a key missing from [DEFAULT] and a line that is no
            ``key = value`` are errors; otherwise they are guessed or ignored, and the account says so.

        Returns
        -------
        Policy
            Whose ``account`` tells what became of every line.

        Raises
        ------
        PolicyError
            Naming file, line, section, key, value, what is allowed and the nearest guess. When there is more than
            one fault, the others are its notes.
        """
        return cls.parse(read_text(path, PolicyError), source=str(path), profiles=profiles, strict=strict)

    @classmethod
    def parse(
        cls,
        text: str,
        *,
        source: str = "<text>",
        profiles: Profiles = None,
        strict: bool = False,
        form: Form | None = None,
    ) -> Self:
        """Read the text of such a file. See `read`.

        ``source`` is how errors and the account name it; ``form`` is how it is written, where that is known.
        """
        decode(text.encode("utf-8", "surrogatepass"), source, PolicyError)
        given = given_profiles(profiles, strict)
        known = DestinationControls(profiles=given.profiles)
        form = form_of(text) if form is None else form
        lines: tuple[Line, ...] = ()
        if form == "csv":
            default, entries, rows = read_csv(text, source, known, strict=strict)
        elif form == "list":
            default, entries, rows = read_list(text, source, known, strict=strict)
        else:
            lines = parse_lines(text)
            reader = _Reader(source, strict, known)
            default, entries = reader.read(sections(lines))
            rows = reader.account()
        return cls(default, entries, given.profiles, given.host_retry, lines, (*rows, *given.rows))

    def to_text(self) -> str:
        """Write the table as text; ``Policy.parse`` of it, with the same profiles, equals this policy.

        What a file said and nobody changed is written as it stood. A limit given without its companion keys gets
        them with the values it inherits, since the gateway refuses it otherwise.
        """
        return controls_text(self.default, self.entries, self.layout)

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the table to a file, whole or not at all, and return its path.

        Raises
        ------
        OutputError
            When it cannot be written; a file that stood there is untouched.
        """
        return write_text(path, self.to_text())

    @property
    def tls_alert(self) -> bool | None:
        """Whether the file asks for an alert mail when a required TLS negotiation fails; None where it does not say.

        The switch is global: it belongs in [DEFAULT], and is off as shipped (AsyncOS user guide 9.1.2 ch. 24).
        """
        value = self.global_value("send_tls_req_alert")
        return None if value is None else value.lower() in ("1", "on")

    def global_value(self, name: str) -> str | None:
        """Return what the file's [DEFAULT] says for a global key (``certificate``), ``None`` where it says nothing."""
        return global_value(self.layout, name)

    def with_global(self, name: str, value: str) -> Self:
        """Return this policy with a global key of [DEFAULT] set; entries, comments and order stay.

        The account stays that of the lines that were read.
        """
        return replace(self, layout=with_global(self.layout or parse_lines(self.to_text()), name, value))

    @property
    def account(self) -> DataFrame:
        """What became of each line: file, line, text, kind, reason, changes_answer.

        ``kind`` is understood, ignored (kept, without effect) or guessed (a value was assumed). Comments and blank
        lines have no row; a key missing from [DEFAULT] has one, at the line of that section.
        """
        return account_frame(self.rows)


def form_of(text: str) -> Form:
    r"""Tell by its content how a table is written. A text that is nothing of the kind counts as ``"ini"``.

    Examples
    --------
    >>> form_of("domain,tls\n"), form_of("(Default)  On  Off  Off  (Default)  Prefer IPv6\n"), form_of("[DEFAULT]\n")
    ('csv', 'list', 'ini')
    """
    if looks_like_csv(text):
        return "csv"
    if not looks_like_list(text):
        return "ini"
    # A rule somebody drew between the sections of a file makes no LIST of it.
    pairs = (line for line in parse_lines(text) if line.kind is LineKind.PAIR)
    return "ini" if any(known_key(line.name) for line in pairs) else "list"


def given_profiles(profiles: Profiles, strict: bool) -> BounceProfiles:
    """Return bounce profiles in whatever form they were given."""
    if profiles is None:
        return BounceProfiles()
    if isinstance(profiles, BounceProfiles):
        return profiles
    if isinstance(profiles, Mapping):
        return BounceProfiles(dict(profiles))
    return read_bounce_profiles(profiles, strict=strict)


def _another_kind(found: list[Section], source: str) -> str:
    """Say what a text looks like that has keys, and not one of Destination Controls; empty when it may be one."""
    pairs = [(s.header.name, line.name) for s in found if s.header for line in s.lines if line.kind is LineKind.PAIR]
    if not pairs or any(known_key(name) for _, name in pairs):
        return ""
    if any(name in SECTIONS.get(section, ()) for section, name in pairs):
        return "a scenario file; it names its Destination Controls under [policy] file"
    if any(name in PROFILE_KEYS for _, name in pairs):
        return "bounce profiles; they are given beside Destination Controls"
    return "another TOML file" if source.lower().endswith(".toml") else ""


class _Reader:
    """Read sections into entries, one account row a line; faults are gathered, and the first is raised at the end."""

    def __init__(self, source: str, strict: bool, known: DestinationControls) -> None:
        self.source = source
        self.strict = strict
        self.known = known
        self.faults: list[tuple[int, str]] = []
        self.rows: list[AccountRow] = []

    def read(self, found: list[Section]) -> tuple[Entry, tuple[Entry, ...]]:
        if kind := _another_kind(found, self.source):
            raise PolicyError(f"{self.source}:1: looks like {kind}; allowed: [DEFAULT] and one [domain] a destination")
        self.loose(found[0].lines)
        entries: dict[str, Entry] = {}
        for section in found[1:]:
            if section.header is not None:
                name = self.name(section.header, entries)
                values = self.values(name or section.header.name, section)
                if name is not None:
                    entries[name] = self.entry(section.header, values)
        if len(found) == 1:
            self.fault(1, f"{self.source}:1: no [section] found; allowed: [DEFAULT] and one [domain] a destination")
        elif DEFAULT not in entries and self.strict:
            needed = ", ".join(key.name for key in KEYS.values() if key.required)
            self.fault(0, f"{self.source}:1: no [DEFAULT] section; allowed: one with {needed}")
        elif DEFAULT not in entries:
            self.missing(0, {}, "no [DEFAULT] section")
        raise_all(text for _, text in sorted(self.faults, key=lambda fault: fault[0]))
        default = entries.pop(DEFAULT, SHIPPED)
        return default, tuple(entries.values())

    def account(self) -> tuple[AccountRow, ...]:
        return tuple(sorted(self.rows, key=lambda row: row.line))

    def name(self, header: Line, entries: Mapping[str, Entry]) -> str | None:
        name = DEFAULT if is_default(header.name) else canonical_domain(header.name)
        if name is None:
            self.bad(header, "section", f"[{header.name}]", DOMAIN_FORMS)
        elif name in entries:
            first = entries[name].line
            self.bad(header, "section", f"[{header.name}]", f"one section a destination; the first is at line {first}")
            return None
        self.row(header, "understood")
        return name

    def values(self, domain: str, section: Section) -> dict[str, tuple[Line, Any]]:
        """Read the pairs of a section: by key, the line and the value."""
        values: dict[str, tuple[Line, Any]] = {}
        for line in section.lines:
            if line.kind is LineKind.BROKEN_HEADER:
                self.bad(line, "section", line.text.strip(), "[domain], alone on its line")
            elif line.kind is LineKind.OTHER:
                self.unreadable(line, "no 'key = value'")
            elif line.kind is LineKind.PAIR:
                key = known_key(line.name)
                if key is None:
                    self.row(line, "ignored", with_guess("unknown key", line.name, KEYS, cutoff=NEAR_KEY), True)
                elif key.name in values:
                    first = values[key.name][0].number
                    self.bad(
                        line, f"[{domain}] {key.name}", line.value, f"once a section; the first is at line {first}"
                    )
                else:
                    values[key.name] = (line, self.value(domain, key, line))
        if domain == DEFAULT and section.header is not None:
            self.missing(section.header.number, values, "missing")
        elif domain != DEFAULT:
            self.companions(domain, values)
        return values

    def value(self, domain: str, key: Key, line: Line) -> Any:
        if not key.entry_field:
            place = "" if domain == DEFAULT else "; a global key, it belongs in [DEFAULT]"
            self.row(line, "ignored", key.unused + place)
            return line.value
        value = key.read(line.value)
        if value is None:
            self.bad(line, f"[{domain}] {key.name}", line.value, key.allowed(line.value))
        elif key.unused:
            self.row(line, "ignored", key.unused, unused_matters(key, value))
        elif key.entry_field == "bounce_profile" and self.known.profile_name(value) is None:
            names = list(self.known.profiles)
            if self.strict:
                self.bad(line, f"[{domain}] {key.name}", value, with_guess(", ".join(names), value, names))
            self.row(line, "guessed", with_guess(PROFILE_MISSING, value, names), True)
        elif key.name == "dane_option" and dane_option_of(value) is None:
            self.row(line, "ignored", "no source knows this DANE option", True)
        elif value is LimitApply.VG:
            self.row(line, "guessed", "one Virtual Gateway is assumed, so it counts as system", True)
        else:
            unconfirmed = value is Setting.REQUIRED_VERIFY_HOSTED or key.name == "dane_option"
            self.row(line, "understood", "no source confirms this spelling" if unconfirmed else "")
        return value

    def companions(self, domain: str, values: Mapping[str, tuple[Line, Any]]) -> None:
        for name, (line, value) in values.items():
            lacking = [need for need in KEYS[name].needs if need not in values]
            if lacking and value:
                needs = ", ".join(KEYS[name].needs)
                self.bad(
                    line,
                    f"[{domain}] {name}",
                    line.value,
                    f"only beside {needs}; missing here: {', '.join(lacking)}",
                )

    def missing(self, number: int, values: Mapping[str, tuple[Line, Any]], why: str) -> None:
        """Account for the keys [DEFAULT] lacks: errors when strict, the shipped values otherwise."""
        no_limit = not values.get("recipient_limit", (None, 0))[1]
        for key in KEYS.values():
            if not key.required or key.name in values:
                continue
            shipped = key.write(getattr(SHIPPED, key.entry_field))
            if self.strict:
                text = f"{self.source}:{number or 1}: [DEFAULT] {key.name}: {why}; allowed: {key.allowed('')}"
                self.fault(number, f"{text.rstrip('.')} (a shipped gateway has {shipped})")
            matters = not key.unused and not (key.name == "recipient_minutes" and no_limit)
            text = f"{key.name} = {shipped}"
            self.rows.append(AccountRow(self.source, number, text, "guessed", f"{why}: the shipped value", matters))

    def entry(self, header: Line, values: Mapping[str, tuple[Line, Any]]) -> Entry:
        known = {KEYS[name].entry_field: value for name, (_, value) in values.items() if KEYS[name].entry_field}
        return Entry(domain=header.name, line=header.number, **known)

    def loose(self, lines: tuple[Line, ...]) -> None:
        for line in lines:
            if line.kind is LineKind.BROKEN_HEADER:
                self.bad(line, "section", line.text.strip(), "[domain], alone on its line")
            elif line.kind is not LineKind.BLANK:
                self.unreadable(line, "stands before any [section]")

    def unreadable(self, line: Line, why: str) -> None:
        if self.strict:
            self.bad(line, "line", line.text.strip(), "key = value, under a [section]")
        self.row(line, "ignored", why, True)

    def row(self, line: Line, kind: Kind, reason: str = "", changes_answer: bool = False) -> None:
        self.rows.append(AccountRow(self.source, line.number, line.text.strip(), kind, reason, changes_answer))

    def bad(self, line: Line, label: str, value: object, allowed: str) -> None:
        self.fault(line.number, complaint(label, value, allowed, file=self.source, line=line.number))

    def fault(self, number: int, text: str) -> None:
        self.faults.append((number, text))
