"""The table of ``destconfig`` as CSV: what LIST prints, and the numbers that it leaves out.

::

    domain,tls,dane,max_connections,max_messages_per_connection,recipient_limit,recipient_minutes,limit_type,...
    bank.example,Req-Verify,,20,,,,MXIP,system,,,Short_Life
    (Default),Off,None,500,50,0,60,host,system,Prefer IPv6,Off,(Default)

A row a destination, (Default) last; an empty cell inherits. The form is this program's own, for spreadsheets: a gateway
imports the file of `sim.formats.destination_controls`. The words are those of a LIST, and of the file for limits.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from sim.errors import PolicyError, complaint
from sim.formats.account import AccountRow, Kind, raise_all
from sim.formats.destconfig_list import (
    DEFAULT_ROW,
    INHERITS,
    PREFERENCE_CELLS,
    TLS_CELLS,
    UNKNOWN,
    name_of,
    preference_of,
    tls_of,
)
from sim.formats.destination_keys import KEYS, NEAR_KEY, PROFILE_MISSING, Key, known_key, unused_matters, with_guess
from sim.formats.ini_lines import Line, LineKind
from sim.policy.destinations import DEFAULT, DOMAIN_FORMS, SHIPPED, DestinationControls, Entry
from sim.terms import LimitApply

DOMAIN = "domain"
#: Column to the field of `Entry` it says, in the order of the header; `DOMAIN` stands before them.
COLUMNS = {
    "tls": "tls",
    "dane": "dane_option",
    "max_connections": "max_host_concurrency",
    "max_messages_per_connection": "max_messages_per_connection",
    "recipient_limit": "recipient_limit",
    "recipient_minutes": "recipient_minutes",
    "limit_type": "limit_type",
    "limit_apply": "limit_apply",
    "ip_sort_pref": "ip_sort_pref",
    "bounce_verification": "bounce_validation",
    "bounce_profile": "bounce_profile",
}
HEADER = (DOMAIN, *COLUMNS)

_KEY_OF = {key.entry_field: key for key in KEYS.values() if key.entry_field}
#: Spreadsheets of some countries write others than the comma.
_SEPARATORS = ",;\t"


def csv_text(table: DestinationControls) -> str:
    """Return the table as CSV; `read_csv` of it gives the same entries.

    Examples
    --------
    >>> print(csv_text(DestinationControls()).splitlines()[1])
    (Default),Off,None,500,50,0,60,host,system,Prefer IPv6,Off,(Default)
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for entry in (*table.entries, table.default):
        name = DEFAULT_ROW if entry.domain == DEFAULT else entry.domain
        writer.writerow([name, *(_cell(field, getattr(entry, field)) for field in COLUMNS.values())])
    return text.getvalue()


def _cell(field: str, value: Any) -> str:
    if value is None:
        return ""
    if field == "tls":
        return TLS_CELLS[value]
    if field == "ip_sort_pref":
        return PREFERENCE_CELLS[value]
    if field == "bounce_validation":
        return "On" if value else "Off"
    text = _KEY_OF[field].write(value)
    if text.lower() == INHERITS.lower():
        return f"({text})"
    return text.capitalize() if field == "dane_option" else text


def lost_in_csv(layout: Sequence[Line]) -> list[str]:
    """Name what the lines of a file say and no column does: global keys, unknown ones, comments."""
    lost: dict[str, None] = {}
    for line in layout:
        if line.kind is LineKind.PAIR:
            key = known_key(line.name)
            lost |= {} if key is not None and key.entry_field else {line.name.lower(): None}
    remarks = any(line.kind is LineKind.BLANK and line.text.strip().strip("\ufeff") for line in layout)
    return [*lost, *(["comments"] if remarks else [])]


def looks_like_csv(text: str) -> bool:
    """Tell whether a text is a table as CSV: its first line that is no comment is a header with a ``domain``."""
    first = next((line for line in _lines(text) if line.strip()), "")
    return _separator(first) != ""


def read_csv(
    text: str, source: str, known: DestinationControls, *, strict: bool = False
) -> tuple[Entry, tuple[Entry, ...], tuple[AccountRow, ...]]:
    r"""Read a table from CSV: columns in any order, those that are missing empty; lines that begin with # are comments.

    Parameters
    ----------
    text : the CSV; separated by commas, semicolons or tabs.
    source : how errors and the account name it.
    known : whose bounce profiles it may name.
    strict : whether an unknown column, an undefined bounce profile and an empty cell of (Default) are errors;
        otherwise they are ignored or guessed, and the account says so.

    Returns
    -------
    tuple
        The DEFAULT entry, the entries in their order, and the account: one row a line, and one for what no CSV says.

    Raises
    ------
    PolicyError
        Naming file, line, destination, column, value, what is allowed and the nearest guess. When there is more than
        one fault, the others are its notes.

    Examples
    --------
    >>> default, entries, account = read_csv("domain,tls\na.example,Req\n", "mine.csv", DestinationControls())
    >>> entries[0].tls, default.tls
    (<Setting.REQUIRED: 2>, <Setting.NO: 0>)
    """
    reader = _Reader(source, known, strict=strict)
    default, entries = reader.read(text)
    return default, entries, tuple(reader.rows)


def _lines(text: str) -> Iterator[str]:
    """Yield the lines with their ends, comments as empty ones."""
    for line in io.StringIO(text.removeprefix("\ufeff"), newline=""):
        yield "\n" if line.lstrip().startswith("#") else line


def _separator(header: str) -> str:
    """Return what separates the cells of a header, an empty text for a line that is none."""
    for separator in _SEPARATORS:
        cells = [cell.strip(' "\t\r\n').lower() for cell in header.split(separator)]
        if len(cells) > 1 and DOMAIN in cells:
            return separator
    return ""


class _Reader:
    """Read rows into entries, one account row a line; faults are gathered, and raised at the end."""

    def __init__(self, source: str, known: DestinationControls, *, strict: bool) -> None:
        self.source = source
        self.known = known
        self.strict = strict
        self.rows: list[AccountRow] = []
        self.faults: list[str] = []
        self.seen: dict[str, int] = {}

    def read(self, text: str) -> tuple[Entry, tuple[Entry, ...]]:
        lines = [*_lines(text)]
        start = next((number for number, line in enumerate(lines) if line.strip()), 0)
        separator = _separator(lines[start]) if lines else ""
        if not separator:
            raise PolicyError(f"{self.source}:{start + 1}: no header of a CSV; allowed: {','.join(HEADER)}")
        reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
        header: list[str] = []
        default, entries, number = SHIPPED, [], 1
        try:
            for cells in reader:
                shown = "".join(lines[number - 1 : reader.line_num]).strip()
                if not any(cell.strip() for cell in cells):
                    pass
                elif not header:
                    header = self.header(number, shown, cells)
                elif (entry := self.entry(number, shown, header, cells)) is not None and entry.domain == DEFAULT:
                    default = entry.over(SHIPPED)
                elif entry is not None:
                    entries.append(entry)
                number = reader.line_num + 1
        except csv.Error as fault:
            raise PolicyError(f"{self.source}:{reader.line_num}: no CSV: {fault}") from None
        self.lacks(start + 1)
        raise_all(self.faults)
        return default, tuple(entries)

    def header(self, number: int, shown: str, cells: list[str]) -> list[str]:
        """Read the names of the columns; an unknown one becomes an empty name, and is not read."""
        names = [cell.strip().lower() for cell in cells]
        self.row(number, shown, "understood")
        if DOMAIN not in names or not any(name in COLUMNS for name in names):
            text = complaint("header", shown, f"{','.join(HEADER)}, or some of these", file=self.source, line=number)
            raise PolicyError(f"{text}; a list of destinations and their mail is given as --csv")
        for place, name in enumerate(names):
            if name in HEADER and name in names[:place]:
                self.bad(number, "column", name, "each column once")
            elif name and name not in HEADER:
                if self.strict:
                    self.bad(number, "column", name, with_guess(", ".join(HEADER), name, HEADER))
                slip = with_guess("unknown column", name, HEADER, cutoff=NEAR_KEY)
                self.row(number, name, "ignored", slip, True)
        raise_all(self.faults)
        return [name if name in HEADER else "" for name in names]

    def entry(self, number: int, shown: str, header: list[str], cells: list[str]) -> Entry | None:
        if len(cells) != len(header):
            self.bad(number, "row", f"{len(cells)} cells", f"{len(header)} cells, as in the header")
            return None
        given = {name: cell.strip() for name, cell in zip(header, cells, strict=True) if name}
        domain = given.pop(DOMAIN)
        name = name_of(domain)
        if name is None:
            self.bad(number, DOMAIN, domain, f"{DEFAULT_ROW}, {DOMAIN_FORMS}")
        elif name in self.seen:
            self.bad(number, DOMAIN, domain, f"one row a destination; the first is at line {self.seen[name]}")
        label = f"[{domain if name is None else name}]"
        doubts: list[str] = []
        values: dict[str, Any] = {}
        for column, cell in given.items():
            values[COLUMNS[column]] = self.value(number, f"{label} {column}", COLUMNS[column], cell, doubts)
        if name == DEFAULT:
            doubts += self.empty(number, values)
        self.row(number, shown, "guessed" if doubts else "understood", "; ".join(doubts), bool(doubts))
        if name is None or name in self.seen:
            return None
        self.seen[name] = number
        return Entry(domain=DEFAULT if name == DEFAULT else domain, line=number, **values)

    def value(self, number: int, label: str, field: str, cell: str, doubts: list[str]) -> Any:
        """Return what a cell says, ``None`` where it inherits or is wrong; add what about it is a guess."""
        key = _KEY_OF[field]
        value = _value(key, cell)
        if value is UNKNOWN:
            phrase = f"{_allowed(key)}, or nothing, which inherits"
            self.bad(number, label, cell, with_guess(phrase, cell, _words(key)))
            return None
        if value is None:
            return None
        if field == "bounce_profile" and self.known.profile_name(value) is None:
            names = list(self.known.profiles)
            if self.strict:
                self.bad(number, label, cell, with_guess(", ".join(names), value, names))
            doubts.append(with_guess(PROFILE_MISSING, value, names))
        elif value is LimitApply.VG:
            doubts.append("limit_apply: one Virtual Gateway is assumed, so it counts as system")
        elif key.unused and unused_matters(key, value):
            doubts.append(f"{label.split()[-1]}: {key.unused}")
        return value

    def empty(self, number: int, values: dict[str, Any]) -> list[str]:
        """Say which cells of (Default) are empty that have to say something."""
        columns = [c for c, field in COLUMNS.items() if _KEY_OF[field].required and values.get(field) is None]
        for column in columns if self.strict else ():
            key = _KEY_OF[COLUMNS[column]]
            shipped = _cell(key.entry_field, getattr(SHIPPED, key.entry_field))
            self.fault(
                number, f"[{DEFAULT}] {column} is empty; allowed: {_allowed(key)} (a shipped gateway has {shipped})"
            )
        return [f"empty in {DEFAULT_ROW}: the shipped {', '.join(columns)}"] if columns else []

    def lacks(self, number: int) -> None:
        """Account for what no CSV says, and for a (Default) that is not there."""
        if DEFAULT not in self.seen:
            if self.strict:
                self.fault(number, f"no row {DEFAULT_ROW}; allowed: one, the last")
            self.row(0, DEFAULT_ROW, "guessed", f"no row {DEFAULT_ROW}: DEFAULT as shipped", True)
        self.row(0, "certificate, alert on failed required TLS", "guessed", "no column of a CSV: as shipped")

    def row(self, number: int, text: str, kind: Kind, reason: str = "", changes_answer: bool = False) -> None:
        self.rows.append(AccountRow(self.source, number, text, kind, reason, changes_answer))

    def bad(self, number: int, label: str, value: object, allowed: str) -> None:
        self.faults.append(complaint(label, value, allowed, file=self.source, line=number))

    def fault(self, number: int, text: str) -> None:
        self.faults.append(f"{self.source}:{number}: {text}")


def _value(key: Key, cell: str) -> Any:
    """Return what a cell says, ``None`` where it inherits, `UNKNOWN` where it says nothing that can be read."""
    if cell.lower() in ("", INHERITS.lower()):
        return None
    value: Any = None
    if key.entry_field == "tls" and (value := tls_of(cell)) is UNKNOWN:
        value = None
    if key.entry_field == "ip_sort_pref":
        value = preference_of(cell)
    if value is None:
        own = cell[1:-1] if cell.lower() == DEFAULT_ROW.lower() else cell
        value = key.read(own)
    return UNKNOWN if value is None else value


def _words(key: Key) -> list[str]:
    """Return the words a cell may hold as they are written; none where it holds a number or a name."""
    cells: dict[str, list[str]] = {"tls": [*TLS_CELLS.values()], "ip_sort_pref": [*PREFERENCE_CELLS.values()]}
    return cells.get(key.entry_field, [*key.words])


def _allowed(key: Key) -> str:
    return ", ".join(_words(key)) or key.allowed("")
