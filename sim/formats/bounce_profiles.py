"""Bounce profiles as a TOML file: a section a profile, keys as the gateway's batch command names them.

::

    [Short_Life]
    max_retries = 20
    max_queue_lifetime = 14_400     # seconds, as are all times here
    initial_retry = 60
    max_retry_timeout = 900
    growth = "doubling"             # doubling | 1.5x | constant; this program's own key

``host_initial_retry``, ``host_max_retry_timeout`` and ``host_growth`` stand in ``[Default]`` only: the timer of an
unreachable destination is one for the whole system. Names: AsyncOS user guide 10.0 ch. 26.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from sim.errors import PolicyError, complaint
from sim.files import read_text
from sim.formats.account import AccountRow, account_frame
from sim.formats.destination_keys import NEAR_KEY, with_guess
from sim.formats.toml_lines import key_lines, line_of, load_toml
from sim.policy.params import allowed_range, in_range
from sim.policy.retry import PROFILE_NAMES, BounceProfile, Growth, HostRetry, is_profile_name

if TYPE_CHECKING:
    from pandas import DataFrame

PROFILE_KEYS = {
    "max_retries": "max_retries",
    "max_queue_lifetime": "max_queue_time_s",
    "initial_retry": "initial_wait_s",
    "max_retry_timeout": "max_wait_s",
    "growth": "growth",
}
HOST_KEYS = {
    "host_initial_retry": "initial_wait_s",
    "host_max_retry_timeout": "max_wait_s",
    "host_growth": "growth",
}
#: What a bounce looks like, not when: these change no delivery.
UNUSED_KEYS = (
    "send_bounces",
    "use_dsn_bounce_format",
    "bounce_subject",
    "bounce_template",
    "send_warnings",
    "send_warnings_interval",
    "send_warnings_count",
    "max_bounce_copy",
)

_BARE_NAME = re.compile(r"[A-Za-z0-9_-]+")
_GROWTHS = {g.label: g for g in Growth}


@dataclass(frozen=True)
class BounceProfiles:
    """Bounce profiles by name, the timer of unreachable destinations, and the account of the file they came from."""

    profiles: Mapping[str, BounceProfile] = field(default_factory=dict)
    host_retry: HostRetry = field(default_factory=HostRetry)
    rows: tuple[AccountRow, ...] = field(default=(), repr=False, compare=False)

    @property
    def account(self) -> DataFrame:
        """One row a line of the file and for each value assumed: file, line, text, kind, reason, changes_answer."""
        return account_frame(self.rows)


def read_bounce_profiles(path: str | os.PathLike[str], *, strict: bool = False) -> BounceProfiles:
    """Read a TOML file of bounce profiles.

    Parameters
    ----------
    path : the file.
    strict : whether an unknown or missing key is an error; otherwise an unknown one is ignored, a missing one takes
        the value of a shipped gateway, and the account says so.

    Raises
    ------
    PolicyError
        When the file cannot be read, is no TOML, or a value is out of its range: file, line, section and key.
    """
    return parse_bounce_profiles(read_text(path, PolicyError), source=str(path), strict=strict)


def parse_bounce_profiles(text: str, *, source: str = "<text>", strict: bool = False) -> BounceProfiles:
    """Read bounce profiles from a text; see `read_bounce_profiles`."""
    bare = text.removeprefix("\ufeff")
    return _Reader(bare, source, strict).read(load_toml(bare, source, PolicyError))


def with_profiles(text: str, profiles: Iterable[BounceProfile]) -> str:
    r"""Return the text of a file with a section for each of these profiles at its end; what it said stays as it was.

    Parameters
    ----------
    text : the file; empty for a new one.
    profiles : profiles it does not define yet.

    Examples
    --------
    >>> print(with_profiles("", [BounceProfile(name="Short_Life", max_retries=3)]), end="")
    [Short_Life]
    max_retries = 3
    max_queue_lifetime = 259200
    initial_retry = 60
    max_retry_timeout = 3600
    """
    end = "\r\n" if "\r\n" in text else "\n"
    for profile in profiles:
        name = profile.name if _BARE_NAME.fullmatch(profile.name) else f'"{profile.name}"'
        values = {key: getattr(profile, known) for key, known in PROFILE_KEYS.items() if known != "growth"}
        pairs = [f"{key} = {value!r}" for key, value in values.items()]
        if profile.growth is not _shipped("growth"):
            pairs.append(f'growth = "{profile.growth.label}"')
        if text.strip("\ufeff"):
            text += end if text.endswith("\n") else end * 2
        text += end.join([f"[{name}]", *pairs, ""])
    return text


class _Reader:
    def __init__(self, text: str, source: str, strict: bool) -> None:
        self.lines = text.split("\n")
        self.places = key_lines(text)
        self.source = source
        self.strict = strict
        self.rows: list[AccountRow] = []

    def read(self, document: Mapping[str, Any]) -> BounceProfiles:
        profiles: dict[str, BounceProfile] = {}
        host: dict[str, Any] = {}
        for given, table in document.items():
            line = self.line_of(given)
            name = "Default" if given.lower() == "default" else given
            if not isinstance(table, dict):
                raise self.fault(given, table, "a [section] named after the bounce profile", line)
            if not is_profile_name(name):
                raise self.fault("section", given, PROFILE_NAMES, line)
            if name.lower() in (other.lower() for other in profiles):
                raise self.fault("section", given, "one section a bounce profile, read without case", line)
            self.account(line, "understood")
            profiles[name] = self.profile(name, given, table)
            if name == "Default":
                host = {HOST_KEYS[key.lower()]: value for key, value in table.items() if key.lower() in HOST_KEYS}
                host = {"growth": profiles[name].growth, **host, **self.growth_of(host)}
        return BounceProfiles(profiles, self.host(host), tuple(sorted(self.rows, key=lambda row: row.line)))

    def profile(self, name: str, section: str, table: Mapping[str, Any]) -> BounceProfile:
        values: dict[str, Any] = {}
        for given, value in table.items():
            key, line = given.lower(), self.line_of(section, given)
            if key in PROFILE_KEYS:
                values[PROFILE_KEYS[key]] = self.value(
                    BounceProfile, PROFILE_KEYS[key], f"[{name}] {given}", value, line
                )
                self.account(line, "understood")
            elif key in HOST_KEYS and name == "Default":
                self.value(HostRetry, HOST_KEYS[key], f"[{name}] {given}", value, line)
                self.account(line, "understood")
            else:
                self.unused(name, given, value, line)
        self.missing(name, section, values)
        self.order(name, values, self.line_of(section, "initial_retry"), ("initial_retry", "max_retry_timeout"))
        return BounceProfile(name=name, **values)

    def host(self, values: dict[str, Any]) -> HostRetry:
        self.order("Default", values, self.line_of("Default", "host_initial_retry"), tuple(HOST_KEYS)[:2])
        return HostRetry(**values)

    def growth_of(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {"growth": _GROWTHS[str(values["growth"]).lower()]} if "growth" in values else {}

    def value(self, owner: type, name: str, label: str, value: object, line: int) -> object:
        if name == "growth":
            word = value.lower() if isinstance(value, str) else ""
            if word in _GROWTHS:
                return _GROWTHS[word]
            raise self.fault(label, value, with_guess(", ".join(_GROWTHS), word, _GROWTHS), line)
        known: Field[Any] = next(f for f in fields(owner) if f.name == name)
        if not in_range(known, value):
            raise self.fault(label, value, allowed_range(known), line)
        return value

    def unused(self, name: str, given: str, value: object, line: int) -> None:
        key = given.lower()
        if key in UNUSED_KEYS:
            self.account(line, "ignored", "what a bounce looks like changes no delivery")
            return
        known = [*PROFILE_KEYS, *HOST_KEYS, *UNUSED_KEYS]
        reason = "one for the whole system: belongs in [Default]"
        if key not in HOST_KEYS:
            reason = with_guess("unknown key", given, known, cutoff=NEAR_KEY)
        if self.strict:
            allowed = reason if key in HOST_KEYS else with_guess(", ".join(known), given, known)
            raise self.fault(f"[{name}] {given}", value, allowed, line)
        self.account(line, "ignored", reason, True)

    def missing(self, name: str, section: str, values: Mapping[str, Any]) -> None:
        line = self.line_of(section)
        for key, known in PROFILE_KEYS.items():
            if known in values or key == "growth":
                continue
            default = _shipped(known)
            if self.strict:
                raise PolicyError(f"{self.source}:{line}: [{name}] {key} is missing (a shipped gateway has {default})")
            self.rows.append(
                AccountRow(self.source, line, f"{key} = {default}", "guessed", "missing: the shipped value", True)
            )

    def order(self, name: str, values: Mapping[str, Any], line: int, keys: tuple[str, ...]) -> None:
        first = values.get("initial_wait_s", _shipped("initial_wait_s"))
        longest = values.get("max_wait_s", _shipped("max_wait_s"))
        if first > longest:
            raise self.fault(f"[{name}] {keys[0]}", first, f"at most {keys[1]}, which is {longest} s", line)

    def line_of(self, section: str, key: str = "") -> int:
        """Return the line of a key, else that of its section, else 1."""
        return line_of(self.places, (section, key) if key else (section,))

    def account(self, line: int, kind: Any, reason: str = "", changes_answer: bool = False) -> None:
        text = self.lines[line - 1].strip() if line <= len(self.lines) else ""
        self.rows.append(AccountRow(self.source, line, text, kind, reason, changes_answer))

    def fault(self, label: str, value: object, allowed: str, line: int) -> PolicyError:
        return PolicyError(complaint(label, value, allowed, file=self.source, line=line))


def _shipped(name: str) -> Any:
    return next(f.default for f in fields(BounceProfile) if f.name == name)
