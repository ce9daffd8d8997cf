"""The questions NEW, EDIT and DEFAULT ask about an entry, in the order of tech note 118955.

In brackets stands what the entry has, else what it inherits. No to "specific" inherits; where the entry said nothing
before, it leaves the entry as it was. So an entry whose questions are all answered by Enter in EDIT stays the same.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import Field, fields, replace
from typing import Any, NamedTuple

from sim.cli.dialogue import Dialogue
from sim.cli.text import say
from sim.errors import PolicyError, complaint
from sim.formats.bounce_profiles import PROFILE_KEYS
from sim.formats.destconfig_list import PREFERENCE_CELLS
from sim.formats.destination_controls import Policy
from sim.formats.destination_keys import KEYS
from sim.policy.destinations import DEFAULT, Entry
from sim.policy.params import allowed_range, in_range
from sim.policy.retry import BounceProfile
from sim.terms import LimitApply, LimitType, Setting

_NO_CERTIFICATE = """
You have chosen to enable TLS. Please use the 'certconfig' command to
ensure that there is a valid certificate configured."""
_DANE = {"None": "none", "Opportunistic": "opportunistic", "Mandatory": "mandatory"}


#: What is asked of a new bounce profile, in the order in which the user guide describes its values.
_PROFILE_QUESTIONS = {
    "max_retries": "How many times may {name} try a message again?",
    "max_queue_lifetime": "How many seconds may a message stay in the queue?",
    "initial_retry": "How many seconds pass before the first retry of a message?",
    "max_retry_timeout": "How many seconds may pass between two tries at most?",
}
_PROFILE_FIELDS = {f.name: f for f in fields(BounceProfile)}


class Answered(NamedTuple):
    """What an entry becomes, and the bounce profile that was made for it."""

    entry: Entry
    profile: BounceProfile | None


def ask_entry(dialogue: Dialogue, entry: Entry, policy: Policy, *, new: bool = False, dane: bool = False) -> Answered:
    """Ask about an entry and return what it becomes.

    Parameters
    ----------
    dialogue : whom to ask.
    entry : as it is; DEFAULT is asked for values only, and never for a bounce profile.
    policy : the table it belongs to.
    new : whether the limit of connections is offered first, as NEW does.
    dane : whether DANE is asked for too.
    """
    questions = _Questions(dialogue, entry, policy, new=new, dane=dane)
    return Answered(questions.ask(), questions.made)


def ask_profile(dialogue: Dialogue, name: str) -> BounceProfile:
    """Ask for the values of a new bounce profile; those of a gateway as it ships stand in brackets."""
    values: dict[str, Any] = {}
    for key, question in _PROFILE_QUESTIONS.items():
        known = _PROFILE_FIELDS[PROFILE_KEYS[key]]
        # The longest wait is not below the first, so a long first one cannot have the shipped cap.
        low = values["initial_wait_s"] if key == "max_retry_timeout" else known.metadata["low"]
        offered = max(known.default, low)
        values[known.name] = dialogue.ask(f"{question.format(name=name)}\n", str(offered), _within(key, known, low))
    return BounceProfile(name=name, **values)


class _Questions:
    def __init__(self, dialogue: Dialogue, entry: Entry, policy: Policy, *, new: bool, dane: bool) -> None:
        self.dialogue = dialogue
        self.entry = entry
        self.shown = entry.over(policy.default)
        self.policy = policy
        self.new = new
        self.dane = dane
        self.of_default = entry.domain == DEFAULT
        self.made: BounceProfile | None = None
        self.name = "all destinations" if self.of_default else entry.domain

    def ask(self) -> Entry:
        values = self.limits()
        values["tls"] = self.tls()
        if self.dane:
            values["dane_option"] = self.dane_option()
        if self.wanted("bounce_validation", "bounce verification\naddress tagging setting for"):
            values["bounce_validation"] = self.dialogue.yes(
                "Tag the sender address, so that bounces can be verified?", bool(self.shown.bounce_validation)
            )
        else:
            values["bounce_validation"] = None
        if not self.of_default:
            values["bounce_profile"] = self.profile()
        values["ip_sort_pref"] = self.preference()
        return replace(self.entry, **values)

    def wanted(self, field: str, what: str) -> bool:
        """Ask whether the entry shall have a value of its own. DEFAULT must."""
        if self.of_default:
            return True
        question = f"Do you wish to apply a specific {what} this domain?"
        return self.dialogue.yes(question, getattr(self.entry, field) is not None)

    def limits(self) -> dict[str, Any]:
        had = bool(self.entry.max_host_concurrency or self.entry.recipient_limit)
        values: dict[str, Any] = {"max_host_concurrency": None, "max_messages_per_connection": None}
        own = self.new or self.entry.max_host_concurrency is not None
        if self.of_default or self.dialogue.yes(f"Do you wish to configure a concurrency limit for {self.name}?", own):
            question = f"How many connections to {self.name} may be open at once?"
            values["max_host_concurrency"] = self.number("max_host_concurrency", question)
        own = self.entry.max_messages_per_connection is not None
        question = "Do you wish to apply a messages-per-connection limit to this domain?"
        if self.of_default or self.dialogue.yes(question, own):
            question = "How many messages may one connection carry?"
            values["max_messages_per_connection"] = self.number("max_messages_per_connection", question)
        values |= self.recipients()
        if values["max_host_concurrency"] or values.get("recipient_limit"):
            values |= self.scope()
        elif had:
            values |= {"limit_type": None, "limit_apply": None}
        return values

    def recipients(self) -> dict[str, Any]:
        limit = self.entry.recipient_limit
        had = bool(limit) if self.of_default else limit is not None
        what = "all destinations" if self.of_default else "this domain"
        if self.dialogue.yes(f"Do you wish to apply a recipient limit to {what}?", had):
            minutes = self.number("recipient_minutes", "Over how many minutes are recipients counted?")
            question = f"How many recipients may {self.name} get in {minutes} minutes?"
            return {"recipient_minutes": minutes, "recipient_limit": self.number("recipient_limit", question)}
        if self.of_default:
            return {"recipient_limit": 0}
        return {"recipient_minutes": None, "recipient_limit": None} if had else {}

    def scope(self) -> dict[str, Any]:
        whole = "Each destination as a whole" if self.of_default else f"{self.name} as a whole"
        over = [(whole, LimitType.HOST), ("Each MX address on its own", LimitType.MXIP)]
        where = [("For the whole system", LimitApply.SYSTEM), ("For each Virtual Gateway address", LimitApply.VG)]
        return {
            "limit_type": self.dialogue.choose("What do these limits count over?", over, self.shown.limit_type),
            "limit_apply": self.dialogue.choose("Where do they hold?", where, self.shown.limit_apply),
        }

    def number(self, field: str, question: str) -> int:
        key = KEYS[field]
        current = getattr(self.shown, field)
        # 0 recipients stands for no limit, which is no number to offer to somebody who wants one.
        no_limit = field == "recipient_limit" and not current
        offered = "" if no_limit and (self.of_default or self.entry.recipient_limit is None) else current

        def read(answer: str) -> int:
            value: int | None = key.read(answer)
            if value is None:
                raise PolicyError(complaint(field, answer, key.allowed(answer)))
            return value

        return self.dialogue.ask(f"{question}\n", str(offered), read)

    def tls(self) -> Setting | None:
        if not self.wanted("tls", "TLS setting for"):
            return None
        options = [(setting.label, setting) for setting in Setting]
        setting = self.dialogue.choose("Do you want to use TLS support?", options, self.shown.tls or Setting.NO)
        if setting is not Setting.NO and (self.policy.global_value("certificate") or "demo").lower() == "demo":
            say(_NO_CERTIFICATE)
        return setting

    def dane_option(self) -> str | None:
        if not self.wanted("dane_option", "DANE setting for"):
            return None
        options = list(_DANE.items())
        current = self.shown.dane_option or "none"
        if current not in _DANE.values():
            options.append((current, current))
        return self.dialogue.choose("Which DANE support?", options, current)

    def profile(self) -> str | None:
        if not self.wanted("bounce_profile", "bounce profile to"):
            return None
        used = [entry.bounce_profile for entry in (*self.policy.entries, self.policy.default) if entry.bounce_profile]
        names: dict[str, str] = {}
        for name in (*self.policy.profiles, *used):
            names.setdefault(name.lower(), name)
        options = [(name, name) for name in names.values()]
        current = names[(self.shown.bounce_profile or "Default").lower()]
        chosen = self.dialogue.choose("Which bounce profile?", [*options, ("A new one", "")], current)
        if not chosen:
            chosen = self.dialogue.ask("What is the name of the new bounce profile?\n", "", _profile_name)
            chosen = names.get(chosen.lower(), chosen)
            if self.policy.profile_name(chosen) is None:
                self.made = ask_profile(self.dialogue, chosen)
        elif self.policy.profile_name(chosen) is None:
            say(f"{chosen} retries as Default does, until it is named as a new one, or in a file given as --profiles.")
        return chosen

    def preference(self) -> Any:
        if not self.wanted("ip_sort_pref", "IP sort preference to"):
            return None
        options = [(cell, preference) for preference, cell in PREFERENCE_CELLS.items()]
        return self.dialogue.choose("Which addresses of an MX host?", options, self.shown.ip_sort_pref)


def _profile_name(answer: str) -> str:
    key = KEYS["bounce_profile"]
    if key.read(answer) is None:
        raise PolicyError(complaint("bounce_profile", answer, key.allowed(answer)))
    return answer


def _within(key: str, known: Field[Any], low: float) -> Callable[[str], float]:
    """Return a reader of numbers in the range of a field, from ``low`` on."""

    def read(answer: str) -> float:
        value: float | None = None
        with suppress(ValueError):
            value = int(answer) if answer.isdigit() else float(answer)
        if value is not None and in_range(known, value) and value >= low:
            return value
        allowed = allowed_range(known)
        if low != known.metadata["low"]:
            allowed = f"{allowed}, and not below initial_retry, which is {low:g} s"
        raise PolicyError(complaint(key, answer, allowed))

    return read
