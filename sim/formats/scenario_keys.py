"""The keys of a scenario file: what each is, what it may be, and its default; once, for the reader and for the manual.

``python -m sim.formats.scenario_keys docs/scenario-file.md`` makes the tables of the manual anew; a test holds it to
them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from sim.files import write_text
from sim.policy.profiles import SENDERS
from sim.terms import Setting, TlsVersion, Vary
from sim.timeline import EVENTS

_BLOCK: Final = re.compile(r"<!-- keys (\S+) -->\n.*?<!-- end -->\n", re.DOTALL)
_SEED: Final = {"ge": 0, "le": 2**63 - 1}
_TOP: Final = "top"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of a section.

    Attributes
    ----------
    kind : its Python type, as pydantic checks it strictly: no text for a number, no number for a truth value.
    what : what it is, for the manual.
    allowed : in words, or the spellings there are.
    default : in words.
    limits : bounds as pydantic's `Field` spells them: ``ge``, ``gt``, ``le``, ``lt``, ``min_length``, ``max_length``.
    """

    kind: Any
    what: str
    allowed: str | tuple[str, ...]
    default: str
    limits: Mapping[str, float] = field(default_factory=dict)


def _number(what: str, allowed: str, default: str, **limits: float) -> Key:
    return Key(kind=float, what=what, allowed=allowed, default=default, limits=limits)


def _count(what: str, allowed: str, default: str, **limits: float) -> Key:
    return Key(kind=int, what=what, allowed=allowed, default=default, limits=limits)


def _flag(what: str, *, default: bool) -> Key:
    return Key(kind=bool, what=what, allowed="true, false", default=str(default).lower())


def _word(what: str, words: Iterable[str], default: str) -> Key:
    return Key(kind=str, what=what, allowed=tuple(words), default=default)


def _name(what: str) -> Key:
    return Key(kind=str, what=what, allowed="a name", default="none")


def _file(what: str, default: str) -> Key:
    return Key(kind=str, what=what, allowed="a path, from the folder of the scenario file", default=default)


def _seed(what: str, default: str) -> Key:
    return Key(kind=int, what=what, allowed="a whole number, 0 or more", default=default, limits=_SEED)


#: Section -> key -> what it is. ``top`` stands before any section.
SECTIONS: Final[Mapping[str, Mapping[str, Key]]] = {
    _TOP: {
        "sender": _word("whose decision tables, queue and retries apply (docs/senders)", SENDERS, "esa"),
        "sender_setting": _name("of another sender: one of its own settings, for every destination"),
        "sender_switches": Key(
            kind=dict[str, str | bool],
            what="of another sender: its options, and readings of what no source settles",
            allowed="a table of name = value, those of `tlssim table SENDER`",
            default="as shipped",
        ),
        "days": _number("arrival window in days, from a Monday 00:00", "more than 0, up to 366", "1", gt=0, le=366),
        "until_h": _number(
            "ends the run early, hours from its start", "more than 0, up to 9600", "drain", gt=0, le=9_600
        ),
        "until_s": _number("the same in seconds", "more than 0, up to 34560000", "drain", gt=0, le=400 * 86_400),
        "minimum_tls": _word(
            "lowest TLS version the sender accepts", (v.label for v in TlsVersion), "by the era of the population"
        ),
        "seed": _seed("all chance of the run", "1"),
        "replications": _count("runs that draw anew what varies, for `tlssim modes`", "1..1000", "5", ge=1, le=1_000),
        "vary": _word(
            "what they draw anew (docs/intervals.md)", Vary.spellings(), "chance and population, where one is drawn"
        ),
        "precision": _number(
            "instead of a number: half-width wanted of the shares' intervals, percentage points",
            "more than 0, up to 50",
            "none",
            gt=0,
            le=50,
        ),
        "records": _flag("keep a row per message and per connection", default=False),
        "engine": _word("which engine runs", ("auto", "reference", "compiled"), "auto"),
    },
    "policy": {
        "file": _file(
            "Destination Controls: the gateway's file, a CSV, or a pasted LIST", "the gateway's default: TLS No"
        ),
        "bounce_profiles": _file("the bounce profiles it names, TOML", "Default alone"),
        "strict": _flag("whether what would be guessed or ignored is an error", default=False),
    },
    "population": {
        "preset": Key(
            kind=str, what="whose behaviour", allowed="a population of docs/populations.md", default="2020s-web"
        ),
        "domains": _count("destinations to draw", "a whole number, 1 or more", "5000", ge=1, le=10_000_000),
        "csv": _file(
            "your own destinations: columns domain, messages (on a mean day of the week)", "drawn from the preset"
        ),
        "seed": _seed("the drawing of the population", "1"),
    },
    "workload": {
        "messages": _number(
            "mail expected over the whole arrival window", "more than 0, up to 1e12", "see below", gt=0, le=1e12
        ),
        "messages_per_day": _number(
            "mail of a mean day of the week", "more than 0, up to 1e12", "see below", gt=0, le=1e12
        ),
        "hourly": Key(
            kind=list[float],
            what="weights of the hours, from midnight",
            allowed="24 weights, each 0 or 1e-9..1e9, with a positive sum",
            default="an office day",
            limits={"min_length": 24, "max_length": 24},
        ),
        "weekday": Key(
            kind=list[float],
            what="weights of the days, Monday first",
            allowed="7 weights, each 0 or 1e-9..1e9, with a positive sum",
            default="a working week",
            limits={"min_length": 7, "max_length": 7},
        ),
        "size_bytes": _number("one size for all messages", "0..1e12 bytes", "a distribution", ge=0, le=1e12),
        "size_min_bytes": _number("smallest size", "1..1e12 bytes", "500", ge=1, le=1e12),
        "size_median_bytes": _number("median of the log-normal body", "1..1e12 bytes", "20000", ge=1, le=1e12),
        "size_sigma": _number("spread of the body, of the logarithm", "more than 0, up to 10", "1.5", gt=0, le=10),
        "size_tail_share": _number("share of messages in the Pareto tail", "0 or more, below 1", "0.05", ge=0, lt=1),
        "size_tail_exponent": _number("fall of the tail", "more than 0, up to 100", "1.3", gt=0, le=100),
        "size_max_bytes": _number("largest size", "1..1e12 bytes", "26214400", ge=1, le=1e12),
        "recipients": _count("recipients of every message", "1..1000000", "a distribution", ge=1, le=1_000_000),
        "recipients_exponent": _number(
            "P(n recipients) falls with this power of n", "more than 0, up to 100", "2.5", gt=0, le=100
        ),
        "recipients_max": _count("most recipients of a message", "1..1000000", "100", ge=1, le=1_000_000),
        "trace": _file("real mail: columns domain, time_s, size_bytes, recipients", "a stream is drawn"),
    },
    "switches": {
        "pv_after_220": _word("Preferred - Verify when the handshake fails after the 220", ("clear", "fail"), "clear"),
        "starttls_5xx_required": _word("5xx to STARTTLS where TLS is required", ("queue", "bounce"), "queue"),
        "tls_failure_next_mx": _flag("whether a TLS failure goes to the next MX host", default=True),
        "mta_sts": _flag("whether policies of RFC 8461 are honoured", default=False),
    },
    "delivery": {
        "new_mail_probes": _flag("new mail to a destination that is down opens a connection", default=False),
        "success_releases": _word("what an accepted message releases", ("down", "all"), "down"),
        "expire": _word("when lapsed mail bounces", ("when_due", "at_lifetime"), "when_due"),
        "messages_per_opening": _count(
            "one connection opens for so many waiting messages", "1..1000000", "1", ge=1, le=1_000_000
        ),
        "idle_timeout_s": _number("how long an idle connection stays open", "0..86400 s", "5", ge=0, le=86_400),
        "dns_s": _number("a look-up", "0..86400 s", "0.02", ge=0, le=86_400),
        "dns_timeout_s": _number("until a temporary failure is known", "0..86400 s", "30", ge=0, le=86_400),
        "handshake_timeout_s": _number("until a hanging handshake is given up", "0..86400 s", "300", ge=0, le=86_400),
        "max_connections": _count(
            "connections at once over all destinations; mail waits for a place",
            "1..1000000",
            "10000",
            ge=1,
            le=1_000_000,
        ),
    },
    "timeline": {
        "event": _word("what happens", EVENTS, "needed"),
        "at_h": _number("when, hours from the start", "0..9600 h", "needed", ge=0, le=9_600),
        "for_h": _number("for how long", "more than 0, up to 9600 h", "for good", gt=0, le=9_600),
        "provider": _name("a provider of the population"),
        "mx_host": _name("an MX host of the population"),
        "domain": _name("a destination of the population, or `.name` for all below a name"),
        "share": _number("of mail, whose paths are stripped", "0..1", "none", ge=0, le=1),
        "factor": _number("of `load`: how many times the mail", "0..1000", "none", ge=0, le=1_000),
        "label": Key(kind=str, what="its name in charts", allowed="a text", default="made from the rest"),
        "file": _file("of `policy`: the Destination Controls from then on", "none"),
        "setting": _word("of `policy`: one TLS setting for every entry and DEFAULT", (s.key for s in Setting), "none"),
        "set": Key(
            kind=dict[str, str],
            what="of `policy`: TLS settings typed into the table in force at the start",
            allowed="a table of pattern = setting, as `tlssim whatif --set` takes them",
            default="none",
        ),
    },
}

#: A section that is an array of tables, ``[[timeline]]``: one table an event.
TIMELINE: Final = "timeline"
#: A section whose keys are the figures of the preset, not known here.
FIGURES: Final = "figures"


@cache
def model() -> Any:
    """Build the pydantic model of a file from `SECTIONS`: strict types, no unknown keys, ``None`` where absent."""
    from pydantic import ConfigDict, Field, create_model

    config = ConfigDict(extra="forbid", strict=True)

    def fields_of(section: str) -> dict[str, Any]:
        return {name: (key.kind | None, Field(default=None, **_bounds(key))) for name, key in SECTIONS[section].items()}

    parts: dict[str, Any] = {}
    for section in SECTIONS:
        fields = fields_of(section)
        if section == "population":
            fields[FIGURES] = (dict[str, float] | None, None)
        if section != _TOP:
            part: Any = create_model(section, __config__=config, **fields)
            several = section == TIMELINE
            parts[section] = (list[part] if several else part, Field(default_factory=list if several else part))
    return create_model("scenario", __config__=config, **fields_of(_TOP), **parts)


def _bounds(key: Key) -> dict[str, Any]:
    return {**key.limits, **({"allow_inf_nan": False} if key.kind is float else {})}


def key_at(path: tuple[str | int, ...]) -> Key | None:
    """Return the key at a path such as ``("workload", "hourly", 3)``, or ``None`` where a section or nothing is."""
    names = [part for part in path if isinstance(part, str)]
    if not names:
        return None
    section, name = (_TOP, names[0]) if names[0] in SECTIONS[_TOP] else (names[0], "".join(names[1:2]))
    return SECTIONS.get(section, {}).get(name)


def names_at(path: tuple[str | int, ...]) -> list[str]:
    """Return the names that may stand in the section at a path."""
    if not path:
        return [*SECTIONS[_TOP], *(s for s in SECTIONS if s != _TOP)]
    return [*SECTIONS.get(str(path[0]), {}), *([FIGURES] if path[0] == "population" else [])]


def render(page: str) -> str:
    """Return the manual with its tables of keys made anew."""
    return _BLOCK.sub(lambda block: f"<!-- keys {block[1]} -->\n\n{_table(block[1])}\n<!-- end -->\n", page)


def _table(section: str) -> str:
    lines = ["| key | what | allowed | default |", "| --- | --- | --- | --- |"]
    for name, key in SECTIONS[section].items():
        allowed = key.allowed if isinstance(key.allowed, str) else ", ".join(f'`"{word}"`' for word in key.allowed)
        lines.append(f"| `{name}` | {key.what} | {allowed} | {key.default} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for page_name in sys.argv[1:]:
        write_text(page_name, render(Path(page_name).read_text(encoding="utf-8")))
