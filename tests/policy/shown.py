"""What a sender makes of a certificate with real names: its own name rule decides whether they count."""

from __future__ import annotations

import numpy as np

from sim.policy.decide import decide
from sim.policy.identity import Names, Peer, flag_columns, rule_holds
from sim.policy.profile import Profile, Value
from sim.terms import Chain, Outcome, Stage
from tests.policy.pages import WORDS

PEER = Peer("example.com", "mx1.mail.example", "ptr.host.example")
#: Certificates by what they name.
CERTIFICATES = {
    "the MX host": Names(("mx1.mail.example",)),
    "the domain": Names(("example.com",)),
    "a host below the domain": Names(("mx.example.com",)),
    "any host of the domain": Names(("*.example.com",)),
    "another": Names(("else.example",)),
}


def word_for(profile: Profile, setting: int, named: str, chain: Chain = Chain.TRUSTED, **switches: Value) -> str:
    """Return the word of a page for a certificate that names ``named``, at a young message."""

    built = profile.tables(switches)
    rule = built.plain(setting)[1]
    holds = rule_holds(rule, **flag_columns([CERTIFICATES[named]], [PEER], rule))
    (code,) = np.atleast_1d(decide(setting, Stage.TLS, True, chain, holds, built))
    return WORDS[Outcome(int(code))]
