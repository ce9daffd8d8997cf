"""Mimecast: encryption of a delivery route, opportunistic or enforced, in the words of its help pages."""

from __future__ import annotations

from sim.policy.profile import Profile, Queueing, Switch
from sim.terms import Outcome, Setting, Term, TlsVersion

SOURCE = "Mimecast help pages; RFC 5321 section 4.5.4.1 for the retries, which they do not state"


class Mode(Term):
    """Mode of encryption, and of the check where it is enforced."""

    OPPORTUNISTIC = 0, "Opportunistic"
    ENFORCED_RELAXED = 1, "Enforced, Relaxed"
    ENFORCED_STRICT = 2, "Enforced, Strict"


#: Strict asks for a trusted CA; no source says that a name counts.
DEMANDS = """
    mode              | DANE option | DANE | MTA-STS | MX listed | demand        | name rule
    Opportunistic     | any         | any  | any     | any       | opportunistic | none
    Enforced, Relaxed | any         | any  | any     | any       | encrypt       | none
    Enforced, Strict  | any         | any  | any     | any       | verify        | chain only
"""

#: Whether TLS that fails goes to the next MX host is in no source; RFC 5321 section 5.1 has it so.
OUTCOMES = """
    seen             | opportunistic                         | encrypt     | verify
    DNS temporary    | retry later                           | retry later | retry later
    DNS permanent    | bounce all                            | bounce all  | bounce all
    unreachable      | next host                             | next host   | next host
    greeting 4xx     | next host                             | next host   | next host
    greeting 5xx     | next host ?                           | next host ? | next host ?
    not offered      | clear                                 | next host   | next host
    refused 4xx      | clear                                 | next host   | next host
    refused 5xx      | clear                                 | next host   | next host
    lost before 220  | next host                             | next host   | next host
    handshake failed | reconnect in clear ?handshake_failure | next host   | next host
    handshake hangs  | reconnect in clear ?handshake_failure | next host   | next host
    lost in TLS      | next host                             | next host   | next host
    untrusted        | encrypted                             | encrypted   | next host
    expired          | encrypted                             | encrypted   | next host
    name mismatch    | encrypted                             | encrypted   | next host
    verified         | encrypted                             | encrypted   | verified
"""

PROFILE = Profile(
    key="mimecast",
    title="Mimecast",
    source=SOURCE,
    settings=Mode,
    default=Mode.OPPORTUNISTIC,
    nearest={
        Setting.NO: Mode.OPPORTUNISTIC,
        Setting.PREFERRED: Mode.OPPORTUNISTIC,
        Setting.REQUIRED: Mode.ENFORCED_RELAXED,
        Setting.PREFERRED_VERIFY: Mode.OPPORTUNISTIC,
        Setting.REQUIRED_VERIFY: Mode.ENFORCED_STRICT,
        Setting.REQUIRED_VERIFY_HOSTED: Mode.ENFORCED_STRICT,
    },
    demands=DEMANDS,
    outcomes=OUTCOMES,
    minimum_tls=TlsVersion.TLS_1_2,
    switches={
        "handshake_failure": Switch(
            about="a failed handshake under Opportunistic", outcomes={"clear": None, "defer": Outcome.NEXT_HOST}
        ),
    },
    queueing=Queueing(
        waits_s=(1_800.0,),
        lifetime_s=432_000.0,
        connections=20,
        messages_per_connection=1,
        notes="No source states its retries or limits: what RFC 5321 advises, and 20 connections, stand here.",
        source=SOURCE,
    ),
)
