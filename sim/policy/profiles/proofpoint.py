"""Proofpoint Essentials: what a domain's outbound TLS may enforce, in the words of its help pages."""

from __future__ import annotations

from sim.policy.profile import Profile, Queueing, Switch
from sim.terms import Outcome, Setting, Term, TlsVersion

SOURCE = "Proofpoint Essentials help pages; RFC 5321 section 4.5.4.1 for the retries, which they do not state"


class Enforce(Term):
    """What is enforced for a domain."""

    DEFAULT = 0, "default"
    ONLY_TLS = 1, "enforce only TLS"
    SECURE_SMTP = 2, "enforce completely secure SMTP"


DEMANDS = """
    setting                        | DANE option | DANE | MTA-STS | MX listed | demand        | name rule
    default                        | any         | any  | any     | any       | opportunistic | none
    enforce only TLS               | any         | any  | any     | any       | encrypt       | none
    enforce completely secure SMTP | any         | any  | any     | any       | verify        | nexthop
"""

#: "Not delivered" is taken as deferred, to bounce with the end of the time in queue; the next MX host as RFC 5321
#: section 5.1 has it.
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
    key="proofpoint",
    title="Proofpoint Essentials",
    source=SOURCE,
    settings=Enforce,
    default=Enforce.DEFAULT,
    nearest={
        Setting.NO: Enforce.DEFAULT,
        Setting.PREFERRED: Enforce.DEFAULT,
        Setting.REQUIRED: Enforce.ONLY_TLS,
        Setting.PREFERRED_VERIFY: Enforce.DEFAULT,
        Setting.REQUIRED_VERIFY: Enforce.SECURE_SMTP,
        Setting.REQUIRED_VERIFY_HOSTED: Enforce.SECURE_SMTP,
    },
    demands=DEMANDS,
    outcomes=OUTCOMES,
    minimum_tls=TlsVersion.TLS_1_2,
    switches={
        "handshake_failure": Switch(
            about="a failed handshake where nothing is enforced", outcomes={"clear": None, "defer": Outcome.NEXT_HOST}
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
