"""What a table alone tells: redundant entries, retry schedules, undefined names, lines nobody used."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from sim.errors import did_you_mean
from sim.formats.destination_controls import Policy
from sim.formats.destination_keys import means_a_key
from sim.policy.destinations import ENTRY_FIELDS, DestinationControls, Entry, canonical_domain, dane_option_of
from sim.policy.retry import BounceProfile
from sim.results.findings import duration
from sim.studies.finding import Finding, about, some
from sim.terms import DaneOption, Setting

REQUIRES = (Setting.REQUIRED, Setting.REQUIRED_VERIFY, Setting.REQUIRED_VERIFY_HOSTED)
#: The finding of a line that looks like a rule of the policy and is none; listed before all others.
DROPPED = "policy-line-dropped"
_NO_EFFECT = (
    "it has no effect here, whatever it was meant to do",
    "read the results knowing that this line has no part in them",
)
_ADVICE = {
    DROPPED: (
        "it looks like a rule of the policy, and nothing here obeys it",
        "mend it: key = value, under the [section] it belongs to, with the key's own spelling",
    ),
    "value-guessed": ("the value is assumed, and results may differ with the real one", "say it in the file"),
    "unknown-key": _NO_EFFECT,
    "line-not-used": _NO_EFFECT,
}
_FEW_RETRIES = 3


def table_findings(policy: DestinationControls) -> list[Finding]:
    """Return what the table alone tells."""
    return [
        *_default(policy),
        *_repeats(policy),
        *_undefined_profiles(policy),
        *_schedules(policy),
        *_dane(policy),
        *_unused_lines(policy),
    ]


def suffixes_of(name: str) -> Iterator[str]:
    """Yield the suffixes that would catch a name, longest first; a suffix is caught by shorter ones only."""
    dot = name.find(".", 1)
    while dot > 0:
        yield name[dot:]
        dot = name.find(".", dot + 1)


def _default(policy: DestinationControls) -> Iterator[Finding]:
    default = policy.default
    if default.tls == Setting.NO:
        yield about(
            default,
            "warning",
            "default-sends-in-clear",
            what="DEFAULT has TLS off, so every destination without an entry gets its mail in clear",
            why="most servers offer STARTTLS, and mail that could be encrypted for nothing is readable on its way",
            todo="set DEFAULT to Preferred (table_tls = on): it encrypts where it can, and delivers where it cannot",
        )
    elif default.tls in REQUIRES:
        yield about(
            default,
            "warning",
            "default-requires-tls",
            what=f"DEFAULT demands {default.tls} of every destination without an entry",
            why="mail to each server without usable TLS waits in the queue until its lifetime ends, then bounces",
            todo="require TLS of named partners and keep DEFAULT at Preferred; tlssim modes shows what it costs",
        )


def _repeats(policy: DestinationControls) -> Iterator[Finding]:
    """Entries that could go and nothing would change: what would catch their mail says the same."""
    at = {canonical_domain(entry.domain) or entry.domain: i for i, entry in enumerate(policy.entries)}
    for key, i in at.items():
        nearest = -1 if key.startswith("[") else next((at[s] for s in suffixes_of(key) if s in at), -1)
        own, other = policy.resolved(i), policy.resolved(nearest)
        if any(getattr(own, name) != getattr(other, name) for name in ENTRY_FIELDS):
            continue
        yield about(
            own,
            "note",
            "repeats-another-entry",
            what=f"it says nothing that {_named(other)} would not say of the same mail",
            why="a change of the one is easily forgotten in the other",
            todo="remove it, unless it stands there to stay as it is when the other changes",
        )


def _undefined_profiles(policy: DestinationControls) -> Iterator[Finding]:
    users: dict[str, list[Entry]] = {}
    for entry in (policy.default, *policy.entries):
        if entry.bounce_profile is not None and policy.profile_name(entry.bounce_profile) is None:
            users.setdefault(entry.bounce_profile, []).append(entry)
    for name, entries in users.items():
        yield about(
            entries[0],
            "warning",
            "undefined-bounce-profile",
            what=f"no bounce profile {name!r} is known; it is named by {some([e.domain for e in entries])}",
            why="the values of Default are used in its place, so mail is kept and tried for another time than meant",
            todo=f"give the file of the bounce profiles (--profiles), or mend the name.{_guess(name, policy)}",
        )


def _guess(name: str, policy: DestinationControls) -> str:
    return did_you_mean(name, policy.profiles)


def _schedules(policy: DestinationControls) -> Iterator[Finding]:
    first: dict[str, Entry] = {}
    for i in range(-1, len(policy.entries)):
        entry = policy.resolved(i)
        first.setdefault(policy.profile_name(entry.bounce_profile or "") or "Default", entry)
    for name, entry in first.items():
        yield from _schedule(policy.profiles[name], entry)


def _schedule(profile: BounceProfile, entry: Entry) -> Iterator[Finding]:
    lifetime = duration(profile.max_queue_time_s)
    possible = retries_within(profile, profile.max_queue_time_s)
    if possible == 0:
        yield about(
            entry,
            "warning",
            "never-tried-again",
            what=f"profile {profile.name}: the lifetime of {lifetime} ends before the first wait of "
            f"{duration(profile.initial_wait_s)}",
            why="a message that meets one temporary refusal bounces without a second try, greylisting included",
            todo=f"let it live for several waits: max_queue_lifetime above {4 * profile.initial_wait_s:.0f} s",
        )
        return
    if profile.max_retries < possible:
        last = retry_time_s(profile, profile.max_retries)
        yield about(
            entry,
            "warning",
            "retries-end-before-the-lifetime",
            what=f"profile {profile.name}: its {profile.max_retries:,} retries are used up {duration(last)} after a "
            f"message came, and its lifetime is {lifetime}",
            why="a server that refuses with 4yz for longer loses mail that was meant to wait",
            todo=f"raise max_retries to {possible:,} or more, or lengthen the waits (growth {profile.growth}, at most "
            f"{duration(profile.max_wait_s)})",
        )
    elif possible < _FEW_RETRIES:
        yield about(
            entry,
            "warning",
            "few-retries",
            what=f"profile {profile.name}: only {possible} {'retry' if possible == 1 else 'retries'} within its "
            f"lifetime of {lifetime}",
            why="a short outage or greylisting is enough to make mail bounce",
            todo="shorten the first wait or lengthen the lifetime; RFC 5321 section 4.5.4.1 asks for 4 to 5 days",
        )


def retries_within(profile: BounceProfile, seconds: float) -> int:
    """Return how many retries fall due before a time, were their number not limited."""
    waits = profile.waits_s()
    due, count = 0.0, 0
    for wait in waits:
        due += wait
        if due >= seconds:
            return count
        count += 1
    return count + max(0, math.ceil((seconds - due) / waits[-1]) - 1)


def retry_time_s(profile: BounceProfile, retries: int) -> float:
    """Return when the n-th retry falls due, in seconds after the message came; each attempt fails at once."""
    waits = profile.waits_s()
    return sum(waits[:retries]) + max(0, retries - len(waits)) * waits[-1]


def _dane(policy: DestinationControls) -> Iterator[Finding]:
    for entry in (policy.default, *policy.entries):
        option, written = dane_option_of(entry.dane_option), f"dane_option = {entry.dane_option}"
        if option is None:
            yield about(
                entry,
                "warning",
                "dane-word-unknown",
                what=f"{written} is a word that no source knows",
                why="what the gateway does with it is not known, so no run takes this table",
                todo=f"write one of {', '.join(known.label for known in DaneOption)}",
            )
        elif option is not DaneOption.NONE and (entry.tls or policy.default.tls or Setting.NO) == Setting.NO:
            yield about(
                entry,
                "warning",
                "dane-beside-no",
                what=f"{written} stands beside TLS No, under which nothing asks for TLS or DANE",
                why="mail goes in clear all the same; the gateway is remembered not to allow the two together",
                todo="give the entry a TLS setting, or take the option away",
            )
        elif option is not DaneOption.NONE:
            also = ", and where a destination has no DANE" if option is DaneOption.MANDATORY else ""
            yield about(
                entry,
                "note",
                "dane-unconfirmed",
                what=f"{written} is obeyed as the gateway's guide is remembered, not confirmed in detail",
                why=f"it holds mail where signed TLSA records contradict the MX host or cannot be trusted{also}",
                todo="make sure of it on the gateway, with one destination, before you rely on the results",
            )


def _unused_lines(policy: DestinationControls) -> Iterator[Finding]:
    if not isinstance(policy, Policy):
        return
    of_line = {entry.line: entry.domain for entry in (policy.default, *policy.entries) if entry.line}
    starts = sorted(of_line)
    for row in policy.rows:
        told_elsewhere = row.reason.startswith("Default profile used")
        if row.kind == "understood" or not row.changes_answer or told_elsewhere:
            continue
        slip = row.kind == "ignored" and _slip(row.text, row.reason)
        start = max((line for line in starts if line <= row.line), default=0)
        unknown = row.reason.startswith("unknown key")
        guessed = row.kind == "guessed"
        finding = "unknown-key" if unknown else "value-guessed" if guessed else "line-not-used"
        severity, finding = ("warning", DROPPED) if slip else ("note", finding)
        why, todo = _ADVICE[finding]
        yield Finding(
            severity=severity,
            line=row.line,
            entry=of_line.get(start, ""),
            finding=finding,
            what=f"{row.text}: {row.reason}",
            why=why,
            todo=todo,
        )


def _slip(text: str, reason: str) -> bool:
    """Tell whether a line that was dropped looks like a rule of the policy: its key is a known one, or nearly."""
    if not reason.startswith(("unknown key", "no 'key = value'", "stands before any")):
        return False
    return "Did you mean" in reason or means_a_key(re.split(r"[\s=:]", text, maxsplit=1)[0])


def _named(entry: Entry) -> str:
    where = f" (line {entry.line})" if entry.line else ""
    return f"{entry.domain}{where}"
