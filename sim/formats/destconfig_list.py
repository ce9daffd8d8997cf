"""The table that ``destconfig`` LIST prints (tech note 118955), both ways, and what DETAIL says of an entry.

A LIST shows less than a file: that there are limits and not which, and no certificate. What it lacks is in the account.
Its presumed errata, and how a pasted LIST is read, are in docs/decisions/destconfig-list.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sim.errors import PolicyError, complaint
from sim.formats.account import AccountRow, raise_all
from sim.formats.destination_keys import KEYS, PROFILE_MISSING, with_guess
from sim.policy.destinations import (
    DANE_OPTIONS,
    DEFAULT,
    DOMAIN_FORMS,
    SHIPPED,
    DestinationControls,
    Entry,
    canonical_domain,
    is_default,
)
from sim.policy.retry import PROFILE_NAMES, is_profile_name
from sim.terms import IpSortPreference, Setting

INHERITS = "Default"
#: The name of the last row; under *Bounce Profile* the profile of that name, since *Default* there inherits.
DEFAULT_ROW = "(Default)"

TLS_CELLS = {
    Setting.NO: "Off",
    Setting.PREFERRED: "On",
    Setting.REQUIRED: "Req",
    Setting.PREFERRED_VERIFY: "On-Verify",
    Setting.REQUIRED_VERIFY: "Req-Verify",
    Setting.REQUIRED_VERIFY_HOSTED: "Req-Verify-Hosted",
}
PREFERENCE_CELLS = {p: f"{p.label.split('_')[0].capitalize()} IP{p.label[-2:].lower()}" for p in IpSortPreference}

_LIMITS = (
    "max_host_concurrency",
    "max_messages_per_connection",
    "recipient_minutes",
    "recipient_limit",
    "limit_type",
    "limit_apply",
)
_TLS_STEMS = {
    **dict.fromkeys(("off", "no"), "off"),
    **dict.fromkeys(("on", "preferred"), "on"),
    **dict.fromkeys(("req", "require", "required"), "req"),
}
_ON_OFF = {"on": True, "off": False}


@dataclass(frozen=True, slots=True)
class _Column:
    """A column: the two lines of its head, its least width (that of its widest usual cell), what a cell looks like."""

    key: str
    head: tuple[str, str]
    width: int
    looks: str


_DOMAIN = _Column("domain", ("", "Domain"), len(DEFAULT_ROW), r"\S+")
_RATE = _Column("rate", ("Rate", "Limiting"), 8, r"Default|On|Off")
_TLS = _Column(
    "tls",
    ("", "TLS"),
    7,
    r"(?:Default|Off|No|On|Preferred|Required|Require|Req)(?:\s?[-_]\s?Verify(?:[\s_-]{1,3}Hosted(?:[\s_-]?Domains)?)?)?",
)
_DANE = _Column("dane", ("", "DANE"), 7, r"[a-z0-9_-]+")
_VERIFICATION = _Column("verification", ("Bounce", "Verification"), 12, r"Default|On|Off")
_PROFILE = _Column("profile", ("Bounce", "Profile"), 9, r"\S+(?: \S+)*?")
_PREFERENCE = _Column("preference", ("IP Version", "Preference"), 12, r"Default|(?:Prefer|Require)[\s_](?:IP)?v[46]")

_COLUMNS = (_DOMAIN, _RATE, _TLS, _VERIFICATION, _PROFILE, _PREFERENCE)
_WITH_DANE = (*_COLUMNS[:3], _DANE, *_COLUMNS[3:])
#: Releases before the preference was there.
_WITHOUT_PREFERENCE = _COLUMNS[:5]
_ALLOWED = {
    "domain": DOMAIN_FORMS,
    "rate": "Default, On, Off",
    "tls": f"Default, {', '.join(TLS_CELLS.values())}",
    "dane": DANE_OPTIONS,
    "verification": "Default, On, Off",
    "profile": f"Default, (Default), {PROFILE_NAMES}",
    "preference": f"Default, {', '.join(PREFERENCE_CELLS.values())}",
}


def _row_pattern(columns: tuple[_Column, ...], profile: str) -> re.Pattern[str]:
    looks = {column.key: column.looks for column in columns} | {"profile": profile}
    cells = r"\s+".join(f"(?P<{key}>{looks})" for key, looks in looks.items())
    return re.compile(rf"\s*{cells}\s*", re.IGNORECASE | re.ASCII)


_KNOWN = {len(columns): columns for columns in (_COLUMNS, _WITH_DANE, _WITHOUT_PREFERENCE)}
#: Tried in this order where no head says which it is; two blanks then end the name of a profile.
_HEADLESS = {count: _row_pattern(columns, _PROFILE.looks) for count, columns in _KNOWN.items()}
_HEADED = {count: _row_pattern(columns, r"\S.*?") for count, columns in _KNOWN.items()}
_RULE = re.compile(r"\s*={3,}(?:\s+={3,}){4,6}\s*")
_HEAD = re.compile(r"\s*(?:Rate\s+Bounce|Domain\s+Limiting)\b.*")
_DEFAULT_LINE = re.compile(r"\s*\(Default\)(?:\s+\S+){4,}\s*", re.IGNORECASE)
#: What stands around a LIST that was copied from a terminal.
_DIALOGUE = re.compile(
    r"(- [A-Z]+ - |.*\[[^\[\]]*\]>|.*> *(destconfig|list)\s*$|Choose the oper|There (is|are) curr).*", re.IGNORECASE
)


def list_text(table: DestinationControls) -> str:
    """Return the table that LIST prints: a row a destination in the order of entry, (Default) last.

    Examples
    --------
    >>> print(list_text(DestinationControls(entries=(Entry(domain="example.com", tls=Setting.REQUIRED),))))
                 Rate               Bounce        Bounce     IP Version
    Domain       Limiting  TLS      Verification  Profile    Preference
    ===========  ========  =======  ============  =========  ============
    example.com  Default   Req      Default       Default    Default
    (Default)    On        Off      Off           (Default)  Prefer IPv6
    """
    columns = _WITH_DANE if uses_dane(table) else _COLUMNS
    rows = [_cells(entry) for entry in (*table.entries, table.default)]
    widths = [max(column.width, *(len(row[column.key]) for row in rows)) for column in columns]
    lines = [[column.head[i] for column in columns] for i in (0, 1)]
    lines.append(["=" * width for width in widths])
    lines += [[row[column.key] for column in columns] for row in rows]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def uses_dane(table: DestinationControls) -> bool:
    """Tell whether the table says anything of DANE: a LIST has a column for it only then."""
    return table.default.dane_option != "none" or any(entry.dane_option is not None for entry in table.entries)


def _cells(entry: Entry) -> dict[str, str]:
    limited = any(getattr(entry, name) is not None for name in _LIMITS)
    tagged = entry.bounce_validation
    profile = entry.bounce_profile or INHERITS
    return {
        "domain": DEFAULT_ROW if entry.domain == DEFAULT else entry.domain,
        "rate": "On" if limited else INHERITS,
        "tls": INHERITS if entry.tls is None else TLS_CELLS[entry.tls],
        "dane": (entry.dane_option or INHERITS).capitalize(),
        "verification": INHERITS if tagged is None else "On" if tagged else "Off",
        "profile": DEFAULT_ROW if entry.bounce_profile and profile.lower() == "default" else profile,
        "preference": INHERITS if entry.ip_sort_pref is None else PREFERENCE_CELLS[entry.ip_sort_pref],
    }


#: Field to the name DETAIL gives it, in the order of its lines.
_DETAILS = {
    "tls": "TLS",
    "dane_option": "DANE",
    "max_host_concurrency": "Connections at once",
    "max_messages_per_connection": "Messages per connection",
    "recipient_limit": "Recipients (0: no limit)",
    "recipient_minutes": "Counted over minutes",
    "limit_type": "Limits count over",
    "limit_apply": "Limits apply to",
    "bounce_validation": "Bounce verification",
    "bounce_profile": "Bounce profile",
    "ip_sort_pref": "IP version preference",
}


def detail_text(table: DestinationControls, entry: Entry) -> str:
    """Say every field of an entry, a line each; what it inherits is followed by ``(Default)``.

    Examples
    --------
    >>> print(detail_text(DestinationControls(), Entry(domain="a.example", tls=Setting.REQUIRED)).splitlines()[1:4])
    ['TLS: Required', 'DANE: none (Default)', 'Connections at once: 500 (Default)']
    """
    lines = [f"Domain: {entry.domain}"]
    for name, title in _DETAILS.items():
        own = getattr(entry, name)
        value = getattr(table.default, name) if own is None else own
        lines.append(f"{title}: {_detail(name, value)}{' (Default)' if own is None else ''}")
    return "\n".join(lines)


def _detail(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Setting):
        return value.label
    return PREFERENCE_CELLS[value] if isinstance(value, IpSortPreference) else KEYS[name].write(value)


def looks_like_list(text: str) -> bool:
    """Tell whether a text is a LIST, as pasted from a terminal, and no file: it has the rule or the (Default) row."""
    return any(_RULE.fullmatch(line) or _DEFAULT_LINE.fullmatch(line) for _, line in _lines(text))


def read_list(
    text: str, source: str, known: DestinationControls, *, strict: bool = False
) -> tuple[Entry, tuple[Entry, ...], tuple[AccountRow, ...]]:
    """Read a LIST as it was pasted: with or without its head, and with the dialogue around it.

    Parameters
    ----------
    text : the paste.
    source : how errors and the account name it.
    known : whose bounce profiles it may name.
    strict : whether what could not be read, and what had to be guessed, are errors. A LIST always leaves something
        to guess: it has no numbers of limits.

    Returns
    -------
    tuple
        The DEFAULT entry, the entries in their order, and the account: a row for every line, and one for what no
        LIST shows.

    Raises
    ------
    PolicyError
        When no line is a row of a LIST; when ``strict``, naming the first line that leaves something open.

    Examples
    --------
    >>> row = "a.example  Default  Req  Default  Default  Default"
    >>> default, entries, account = read_list(row, "list.txt", DestinationControls())
    >>> entries[0].tls, default.tls
    (<Setting.REQUIRED: 2>, <Setting.NO: 0>)
    """
    reader = _Reader(source, known)
    default, entries = reader.read(text)
    if strict:
        doubts = (row for row in reader.rows if row.changes_answer)
        raise_all(f"{row.file}:{row.line or 1}: '{row.text}': {row.reason}" for row in doubts)
    return default, entries, tuple(reader.rows)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line that is not blank, with its number."""
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff")), start=1):
        if line.strip():
            yield number, line.rstrip()


class _Reader:
    """Read lines into entries, one account row a line."""

    def __init__(self, source: str, known: DestinationControls) -> None:
        self.source = source
        self.known = known
        self.rows: list[AccountRow] = []
        self.columns = 0
        self.seen: dict[str, int] = {}

    def read(self, text: str) -> tuple[Entry, tuple[Entry, ...]]:
        default, entries = SHIPPED, []
        for number, line in _lines(text):
            entry = self.line(number, line)
            if entry is not None and entry.domain == DEFAULT:
                default = entry.over(SHIPPED)
            elif entry is not None:
                entries.append(entry)
        if not self.seen:
            raise PolicyError(f"{self.source}:1: no row of a LIST found; allowed: {', '.join(_heads())}")
        self.lacks()
        return default, tuple(entries)

    def line(self, number: int, line: str) -> Entry | None:
        if _RULE.fullmatch(line):
            self.columns = len(line.split())
            self.row(number, line, "understood")
            return None
        if _HEAD.fullmatch(line):
            self.row(number, line, "understood")
            return None
        cells = self.cells(line)
        if cells is None:
            talk = _DIALOGUE.fullmatch(line.strip()) is not None
            self.row(number, line, "ignored", "dialogue around the LIST" if talk else _fault(line), not talk)
            return None
        name = name_of(cells["domain"])
        if name is None or (profile := _profile(cells["profile"])) == "":
            self.row(number, line, "ignored", _fault(line), True)
            return None
        if name in self.seen:
            self.row(number, line, "ignored", f"listed already at line {self.seen[name]}", True)
            return None
        self.seen[name] = number
        values, doubts = self.values(cells, profile, of_default=name == DEFAULT)
        self.row(number, line, "guessed" if doubts else "understood", "; ".join(doubts), bool(doubts))
        return Entry(domain=DEFAULT if name == DEFAULT else cells["domain"], line=number, **values)

    def cells(self, line: str) -> Mapping[str, str] | None:
        patterns = [_HEADED[self.columns]] if self.columns else _HEADLESS.values()
        found = (match for pattern in patterns if (match := pattern.fullmatch(line)))
        good = (match for match in found if tls_of(match["tls"]) is not UNKNOWN)
        return next(({"dane": "", "preference": INHERITS, **match.groupdict()} for match in good), None)

    def values(
        self, cells: Mapping[str, str], profile: str | None, *, of_default: bool
    ) -> tuple[dict[str, Any], list[str]]:
        """Return the fields of an entry, and what about them is a guess."""
        doubts: list[str] = []
        values: dict[str, Any] = {"tls": tls_of(cells["tls"]), "bounce_profile": profile}
        values["bounce_validation"] = _ON_OFF.get(cells["verification"].lower())
        values["ip_sort_pref"] = preference_of(cells["preference"])
        if cells["dane"] and cells["dane"].lower() != INHERITS.lower():
            values["dane_option"] = cells["dane"].lower()
        rate = cells["rate"].lower()
        if rate == "on":
            doubts.append("Rate Limiting On has no numbers: the shipped ones")
            if not of_default:
                values["max_host_concurrency"] = SHIPPED.max_host_concurrency
        elif rate == "off":
            doubts.append("no document has Rate Limiting Off: taken as Default")
        if values["tls"] is Setting.PREFERRED and cells["tls"].lower() == "on":
            doubts.append("TLS On is taken as Preferred; the tech note prints it for an entry set to Required")
        if profile is not None and self.known.profile_name(profile) is None:
            doubts.append(with_guess(PROFILE_MISSING, profile, list(self.known.profiles)))
        inherits = [name for name in ("tls", "bounce_validation", "ip_sort_pref") if values[name] is None]
        if of_default and inherits:
            doubts.append(f"(Default) has nothing to inherit from: the shipped {', '.join(inherits)}")
        return values, doubts

    def lacks(self) -> None:
        """Account for what no LIST shows, and for a (Default) row that was not pasted."""
        if DEFAULT not in self.seen:
            self.row(0, DEFAULT_ROW, "guessed", "not in this paste: DEFAULT as shipped", True)
        hidden = "certificate, alert on failed required TLS" + ("" if self.columns == len(_WITH_DANE) else ", DANE")
        self.row(0, hidden, "guessed", "no column of a LIST: as shipped")

    def row(self, number: int, line: str, kind: Any, reason: str = "", changes_answer: bool = False) -> None:
        self.rows.append(AccountRow(self.source, number, line.strip(), kind, reason, changes_answer))


#: No setting, where ``None`` is one that inherits.
UNKNOWN = object()


def tls_of(cell: str) -> Any:
    """Return the setting a cell spells, ``None`` for Default, `UNKNOWN` where it spells none."""
    stem, *rest = re.split(r"[\s_-]+", cell.lower())
    if stem == INHERITS.lower() and not rest:
        return None
    word = "-".join([_TLS_STEMS.get(stem, stem), *rest]).removesuffix("-domains")
    return next((setting for setting, known in TLS_CELLS.items() if known.lower() == word), UNKNOWN)


def preference_of(cell: str) -> IpSortPreference | None:
    """Return the preference a cell spells, ``None`` where it spells none."""
    label = re.sub(r"[\s_]+(IP)?", "_", cell.upper())
    return next((preference for preference in IpSortPreference if preference.label == label), None)


def name_of(cell: str) -> str | None:
    """Return the destination a cell names as look-ups spell it, or DEFAULT; ``None`` for what is neither."""
    if cell.lower() == DEFAULT_ROW.lower() or is_default(cell):
        return DEFAULT
    return canonical_domain(cell)


def _profile(cell: str) -> str | None:
    """Return the profile a cell names, ``None`` for Default, an empty text for what is no name."""
    if cell.lower() == INHERITS.lower():
        return None
    name = INHERITS if cell.lower() == DEFAULT_ROW.lower() else cell
    return name if is_profile_name(name) else ""


def _heads() -> list[str]:
    return [" ".join(filter(None, column.head)) for column in _COLUMNS]


def _fault(line: str) -> str:
    """Say why a line is no row: which cell, where its cells can be told apart."""
    cells = re.split(r"\s{2,}|\t", line.strip())
    columns = _KNOWN.get(len(cells), ())
    for column, cell in zip(columns, cells, strict=True) if columns else ():
        good = re.fullmatch(column.looks, cell, re.IGNORECASE | re.ASCII) is not None
        if column is _DOMAIN:
            good = name_of(cell) is not None
        elif column is _PROFILE:
            good = _profile(cell) != ""
        elif column is _TLS:
            good = good and tls_of(cell) is not UNKNOWN
        if not good:
            return complaint(" ".join(filter(None, column.head)), cell, _ALLOWED[column.key])
    return f"no row of a LIST, which has the cells {', '.join(_heads())}"
