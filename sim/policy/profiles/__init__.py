"""The senders: a file each, loaded when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from sim.errors import PolicyError, complaint

if TYPE_CHECKING:
    from sim.policy.profile import Profile

#: Keys of the senders, in the order in which they are shown.
SENDERS = (
    "esa",
    "postfix",
    "exim",
    "opensmtpd",
    "exchange_server",
    "exchange_online",
    "google_workspace",
    "kumomta",
    "sendmail",
    "haraka",
    "stalwart",
    "halon",
    "momentum",
    "powermta",
    "fortimail",
    "proofpoint",
    "mimecast",
)


def profile(sender: str) -> Profile:
    """Return the profile of a sender.

    Raises
    ------
    PolicyError
        When there is none of this name, with those there are and the nearest guess.
    """
    if sender not in SENDERS:
        raise PolicyError(complaint("sender", sender, SENDERS))
    found: Profile = import_module(f"sim.policy.profiles.{sender}").PROFILE
    return found
