"""The commands of the destconfig dialogue, as plain functions over a session: a file, its table, and who answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from sim.cli.account import account_counts, account_sentence
from sim.cli.destconfig_entry import ask_entry
from sim.cli.dialogue import Answers, Dialogue
from sim.cli.output import uninterrupted
from sim.cli.text import counted, say, wrapped
from sim.errors import PolicyError, SimError, complaint
from sim.files import read_text, write_all, write_text
from sim.formats.bounce_profiles import BounceProfiles, parse_bounce_profiles, with_profiles
from sim.formats.destconfig_csv import csv_text, lost_in_csv
from sim.formats.destconfig_list import detail_text, list_text, uses_dane
from sim.formats.destination_controls import Form, Policy, form_of
from sim.formats.destination_keys import with_guess
from sim.policy.destinations import DEFAULT, DOMAIN_FORMS, Entry, canonical_domain, is_default
from sim.policy.retry import BounceProfile

_BACK = "or nothing, to go back"
#: What a bounce profile is written to that nobody gave a file for: ``mine.ini`` has ``mine.bounce_profiles.toml``.
PROFILES_BESIDE = ".bounce_profiles.toml"
_CERTIFICATE = re.compile(r"\w([\w.@ -]*[\w.@-])?")


@dataclass
class ProfilesFile:
    """The file of the bounce profiles that the entries may name.

    Attributes
    ----------
    path : where it is, or will be when a profile is made.
    saved : its text; ``None`` while there is none.
    found : what it says.
    given : whether somebody gave it as ``--profiles``.
    """

    path: Path
    saved: str | None
    found: BounceProfiles
    given: bool

    def take(self, text: str) -> None:
        """Remember what was written."""
        self.saved, self.found = text, parse_bounce_profiles(text, source=str(self.path))


@dataclass
class Session:
    """One dialogue.

    Attributes
    ----------
    dialogue : whom to ask.
    file : the file that COMMIT writes.
    form : how it is written.
    profiles : the file of the bounce profiles its entries may name.
    dane : whether DANE is asked for even where the table does not use it.
    policy : the table as it stands now; set by `put`.
    saved : the text of the file; ``None`` while there is none.
    changed : whether the table would be written otherwise than it was read.
    command : the command that is being answered; empty at the menu.
    written : the files that were written.
    """

    dialogue: Dialogue
    file: Path
    form: Form
    profiles: ProfilesFile
    dane: bool
    policy: Policy
    saved: str | None
    changed: bool = False
    command: str = ""
    written: list[str] = field(default_factory=list)
    _start: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self._start = self.policy.to_text()

    def put(self, policy: Policy) -> None:
        """Take another table in the place of this one."""
        self.policy = policy
        self.changed = policy.to_text() != self._start or bool(self.made())

    def made(self) -> list[BounceProfile]:
        """Return the bounce profiles that were made here and that an entry names."""
        known = ("Default", *self.profiles.found.profiles)
        used = {(entry.bounce_profile or "").lower() for entry in (*self.policy.entries, self.policy.default)}
        return [p for name, p in self.policy.profiles.items() if name not in known and name.lower() in used]

    @property
    def to_commit(self) -> bool:
        """Whether COMMIT has something to write: a change, a new file, or a file in the place of a LIST."""
        return self.changed or self.saved is None or self.form == "list"

    def text(self) -> str:
        """Return the table in the form of its file; of a LIST a file is made.

        Raises
        ------
        PolicyError
            When it says more than a CSV can.
        """
        if self.form != "csv":
            return self.policy.to_text()
        if lost := lost_in_csv(self.policy.layout):
            wanted = f"a file that can say {', '.join(lost)}, for which a CSV has no column; EXPORT writes one"
            raise PolicyError(complaint("file", str(self.file), wanted))
        return csv_text(self.policy)

    def run(self) -> None:
        """Ask for commands and carry them out until somebody leaves."""
        while True:
            rows = 1 + len(self.policy.entries)
            say(f"\nThere {'is' if rows == 1 else 'are'} currently {counted(rows, 'entry')} configured.")
            menu = [f"- {name} - {told}\n" for name, (told, _) in COMMANDS.items()]
            if self.to_commit:
                menu.append(f"- COMMIT - Write the changes to {self.file.name}.\n")
            chosen = self.dialogue.ask(f"Choose the operation you want to perform:\n{''.join(menu)}", "", _command)
            if chosen:
                self.carry_out(chosen)
            elif not self.changed or self.dialogue.yes("There are changes without COMMIT. Leave without them?", False):
                return

    def carry_out(self, command: str) -> None:
        """Carry out a command. What cannot be done is told, and changes nothing."""
        self.command = command
        try:
            (commit if command == "COMMIT" else COMMANDS[command][1])(self)
        except SimError as fault:
            # `ask` has placed what a pipe answered wrongly.
            if not self.dialogue.answers.again:
                raise
            self.dialogue.take(fault)
        self.command = ""

    def commit(self) -> None:
        """Write the file, and the bounce profiles that were made, all or none.

        Raises
        ------
        PolicyError
            When a file is not what it was when the dialogue began: somebody else's change would be lost; or when the
            table says more than the file's form can.
        OutputError
            When one cannot be written.
        """
        text, made = self.text(), self.made()
        files: dict[Path, str | bytes] = {self.file: text}
        _as_it_was(self.file, self.saved)
        if made:
            _as_it_was(self.profiles.path, self.profiles.saved)
            begin = f"# Bounce profiles of {self.file.name}. Times are seconds.\n"
            files[self.profiles.path] = profiles = with_profiles(self.profiles.saved or begin, made)
        with uninterrupted():
            write_all(files)
            for path in files:
                self.note(path)
        if made:
            self.profiles.take(profiles)
        self.form = "csv" if self.form == "csv" else "ini"
        self.saved = text
        self.policy = Policy.parse(text, source=str(self.file), profiles=self.profiles.found, form=self.form)
        self._start = self.policy.to_text()
        self.put(self.policy)

    def note(self, path: Path) -> None:
        """Remember that a file was written."""
        if str(path) not in self.written:
            self.written.append(str(path))


def open_session(file: Path, profiles: str | None, dane: bool, answers: Answers) -> Session:
    """Read the file, or begin with the table as it ships, and say which.

    Raises
    ------
    PolicyError
        When the file or the bounce profiles cannot be read, or there is no folder for the file.
    """
    text = read_text(file, PolicyError) if file.exists() else None
    if text is None and not file.parent.is_dir():
        raise PolicyError(complaint("file", str(file), "a file in a folder that exists"))
    known = _profiles_file(file, profiles)
    if text is None:
        form: Form = "csv" if _is_csv(file) else "ini"
        policy = Policy(profiles=known.found.profiles, host_retry=known.found.host_retry)
        say(f"There is no {file} yet: this is the table as a gateway ships; COMMIT creates it.")
    else:
        form = form_of(text)
        policy = Policy.parse(text, source=str(file), profiles=known.found, form=form)
        if account_counts(policy)["changes_answer"]:
            say(wrapped(account_sentence(policy)))
        if form == "list":
            say(f"{file} is a LIST; COMMIT writes a Destination Controls file in its place.")
        elif form == "csv" and ("#" in text or any(row.kind == "ignored" for row in policy.rows)):
            say(f"{file} is a CSV; COMMIT keeps no comments and no columns that it does not know.")
    if known.saved is not None and not known.given:
        say(f"Its bounce profiles are those of {known.path}.")
    return Session(Dialogue(answers), file, form, known, dane, policy, text)


def _profiles_file(file: Path, given: str | None) -> ProfilesFile:
    path = file.parent / f"{file.stem}{PROFILES_BESIDE}" if given is None else Path(given)
    found = ProfilesFile(path, None, BounceProfiles(), given is not None)
    if given is not None or path.is_file():
        found.take(read_text(path, PolicyError))
    return found


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _as_it_was(path: Path, saved: str | None) -> None:
    now = read_text(path, PolicyError) if path.exists() else None
    if now != saved:
        wanted = "a file as it was when it was read; EXPORT writes the changes to another"
        raise PolicyError(complaint("file", str(path), wanted))


def setup(session: Session) -> None:
    """Change what is global: the certificate, and the alert."""
    policy = session.policy
    current = policy.global_value("certificate") or ""
    question = f"Which certificate shall outbound TLS show?{'' if current else ' (nothing: the demo certificate)'}\n"
    certificate = session.dialogue.ask(question, current, _certificate)
    alert = session.dialogue.yes("Send an alert when required TLS fails?", bool(policy.tls_alert))
    if certificate != current:
        policy = policy.with_global("certificate", certificate)
    if alert != bool(policy.tls_alert):
        policy = policy.with_global("send_tls_req_alert", str(int(alert)))
    session.put(policy)


def new(session: Session) -> None:
    """Create an entry."""

    def read(answer: str) -> str:
        name = canonical_domain(answer)
        if not answer:
            return ""
        if name is None:
            raise PolicyError(complaint("domain", answer, f"{DOMAIN_FORMS}, {_BACK}"))
        if is_default(name) or name in _names(session.policy):
            other = "DEFAULT" if is_default(name) else "EDIT"
            raise PolicyError(complaint("domain", answer, f"one without an entry, {_BACK}; {other} changes this one"))
        return name

    domain = session.dialogue.ask("Enter the domain you wish to configure.\n", "", read)
    if domain:
        entry = _ask(session, Entry(domain=domain), new=True)
        session.put(replace(session.policy, entries=(*session.policy.entries, entry)))


def edit(session: Session) -> None:
    """Modify an entry."""
    at = _which(session, "Enter the domain you wish to edit.\n")
    if at is not None:
        entries = list(session.policy.entries)
        entries[at] = _ask(session, entries[at])
        session.put(replace(session.policy, entries=tuple(entries)))


def delete(session: Session) -> None:
    """Remove an entry."""
    at = _which(session, "Enter the domain you wish to delete.\n")
    if at is not None:
        entries = session.policy.entries
        session.put(replace(session.policy, entries=entries[:at] + entries[at + 1 :]))
        say(f"\n{entries[at].domain} is removed.")


def default(session: Session) -> None:
    """Change the DEFAULT entry."""
    asked = _ask(session, session.policy.default)
    session.put(replace(session.policy, default=asked))


def list_(session: Session) -> None:
    """Display a summary of all entries."""
    say(f"\n{list_text(session.policy)}")


def detail(session: Session) -> None:
    """Display one entry, or all."""
    policy = session.policy

    def read(answer: str) -> tuple[Entry, ...]:
        if answer.upper() == "ALL":
            return (*policy.entries, policy.default)
        if is_default(answer):
            return (policy.default,)
        at = _names(policy).get(canonical_domain(answer) or "")
        if at is None:
            raise PolicyError(complaint("domain", answer, _listed(policy, answer, "ALL, DEFAULT")))
        return (policy.entries[at],)

    for entry in session.dialogue.ask("Enter a domain, DEFAULT, or ALL.\n", "ALL", read):
        say(f"\n{detail_text(policy, entry)}")
        if entry is policy.default:
            say(f"Certificate: {policy.global_value('certificate') or 'Demo'}")
            say(f"Alert when required TLS fails: {'on' if policy.tls_alert else 'off'}")


def clear(session: Session) -> None:
    """Remove every entry but DEFAULT."""
    number = len(session.policy.entries)
    if not number:
        say("\nThere is no entry but DEFAULT.")
    elif session.dialogue.yes(f"Remove {counted(number, 'entry')}? DEFAULT stays.", False):
        session.put(replace(session.policy, entries=()))


def import_(session: Session) -> None:
    """Replace the table by that of a file."""

    def read(answer: str) -> Policy | None:
        known = replace(session.profiles.found, profiles=session.policy.profiles)
        return Policy.read(answer, profiles=known) if answer else None

    policy = session.dialogue.ask("Enter the name of the file to import. It replaces the table.\n", "", read)
    if policy is not None:
        session.put(policy)
        say(f"\n{counted(len(policy.entries), 'entry')} and DEFAULT are imported.")
        say(wrapped(account_sentence(policy)))


def export(session: Session) -> None:
    """Write the table to another file."""

    def read(answer: str) -> Path | None:
        if answer and Path(answer).resolve() == session.file.resolve():
            raise PolicyError(complaint("file", answer, f"another file, {_BACK}; COMMIT writes this one"))
        return Path(answer) if answer else None

    path = session.dialogue.ask("Enter the name of the file to write.\n", "", read)
    if path is None or (path.is_file() and not session.dialogue.yes(f"{path} exists. Replace it?", False)):
        return
    with uninterrupted():
        write_text(path, csv_text(session.policy) if _is_csv(path) else session.policy.to_text())
        session.note(path)
    say(f"\nWritten: {path}")
    if _is_csv(path) and (lost := lost_in_csv(session.policy.layout)):
        say(f"A CSV has no column for {', '.join(lost)}.")


def commit(session: Session) -> None:
    """Write the changes to the session's files."""
    if not session.to_commit:
        say("\nThere is nothing to commit.")
        return
    made = session.made()
    session.commit()
    say(f"\nWritten: {session.file}")
    if made:
        hint = "" if session.profiles.given else f"; to other commands it is --profiles {session.profiles.path}"
        say(f"Written: {session.profiles.path}{hint}")


#: The menu: what each command does, in the order and words of tech note 118955.
COMMANDS: dict[str, tuple[str, Callable[[Session], None]]] = {
    "SETUP": ("Change global settings.", setup),
    "NEW": ("Create a new entry.", new),
    "EDIT": ("Modify an entry.", edit),
    "DELETE": ("Remove an entry.", delete),
    "DEFAULT": ("Change the default.", default),
    "LIST": ("Display a summary list of all entries.", list_),
    "DETAIL": ("Display details for one destination or all entries.", detail),
    "CLEAR": ("Remove all entries.", clear),
    "IMPORT": ("Import tables from a file.", import_),
    "EXPORT": ("Export tables to a file.", export),
}


def _command(answer: str) -> str:
    if answer and answer.upper() not in (*COMMANDS, "COMMIT"):
        raise PolicyError(complaint("operation", answer, [*COMMANDS, "COMMIT", "nothing, to leave"]))
    return answer.upper()


def _certificate(answer: str) -> str:
    if answer and not _CERTIFICATE.fullmatch(answer):
        raise PolicyError(complaint("certificate", answer, "a name of letters, digits, _ . @ - and blanks inside"))
    return answer


def _which(session: Session, question: str) -> int | None:
    """Ask for a domain that has an entry; ``None`` to go back."""
    policy = session.policy

    def read(answer: str) -> int | None:
        if not answer:
            return None
        at = _names(policy).get(canonical_domain(answer) or "")
        if at is None:
            raise PolicyError(complaint("domain", answer, _listed(policy, answer, _BACK)))
        return at

    return session.dialogue.ask(question, "", read)


def _ask(session: Session, entry: Entry, *, new: bool = False) -> Entry:
    """Ask about an entry; a bounce profile that is made for it becomes known to the table."""
    asked = ask_entry(session.dialogue, entry, session.policy, new=new, dane=_asks_for_dane(session))
    if asked.profile is not None:
        profiles = {**session.policy.profiles, asked.profile.name: asked.profile}
        session.policy = replace(session.policy, profiles=profiles)
        say(f"\nCOMMIT writes the bounce profile {asked.profile.name} to {session.profiles.path}.")
    return asked.entry


def _names(policy: Policy) -> dict[str, int]:
    return {canonical_domain(entry.domain) or "": i for i, entry in enumerate(policy.entries)}


def _listed(policy: Policy, answer: str, others: str) -> str:
    if is_default(answer):
        return f"a destination with an entry, {others}; the operation {DEFAULT} changes {DEFAULT}"
    return with_guess(f"a destination with an entry, {others}", answer, [entry.domain for entry in policy.entries])


def _asks_for_dane(session: Session) -> bool:
    return session.dane or uses_dane(session.policy)
