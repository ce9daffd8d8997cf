"""Postfix: the levels of ``smtp_tls_security_level``, in the order of its TLS_README.

[lab]: seen on Postfix 3.7.11 on loopback; where that and a document differ, what was seen stands here.
"""

from __future__ import annotations

from sim.policy.profile import Profile, Queueing, Switch
from sim.terms import Demand, Outcome, Seen, Setting, Term

SOURCE = (
    "Postfix source (smtp_proto.c, smtp_connect.c, smtp_tls_policy.c, smtp_trouble.c; 3.12 snapshot of 2026), "
    "TLS_README, SCHEDULER_README, postconf(5); runs of 3.7.11"
)


class Level(Term):
    """TLS security level."""

    NONE = 0, "none"
    MAY = 1, "may"
    ENCRYPT = 2, "encrypt"
    FINGERPRINT = 3, "fingerprint"
    VERIFY = 4, "verify"
    SECURE = 5, "secure"
    DANE = 6, "dane"
    DANE_ONLY = 7, "dane-only"


#: Policies of RFC 8461 come through a socketmap from another program, which answers with level ``secure`` and the MX
#: patterns as names; none is there as shipped. Usable TLSA records go before it. An MX host that is insecure while its
#: TLSA records are secure (``smtp_tls_dane_insecure_mx_policy``) is taken for insecure altogether.
DEMANDS = """
    level                     | DANE option | DANE                     | MTA-STS | MX listed | demand | name rule
    none                      | any | any                      | any     | any | clear          | none
    dane, dane-only           | any | usable                   | any     | any | dane           | tlsa
    dane, dane-only           | any | bogus                    | any     | any | hold: bogus    | none
    dane-only                 | any | none, insecure, unusable | any     | any | hold: no dane  | none
    mta_sts=true: may, dane   | any | any                      | enforce | yes | mta-sts        | mta-sts
    mta_sts=true: may, dane   | any | any                      | enforce | no  | hold: unlisted | none
    dane                      | any | unusable                 | any     | any | encrypt        | none
    may, dane                 | any | any                      | any     | any | opportunistic  | none
    encrypt                   | any | any                      | any     | any | encrypt        | none
    fingerprint               | any | any                      | any     | any | verify         | fingerprint
    verify                    | any | any                      | any     | any | verify         | hostname
    secure                    | any | any                      | any     | any | verify         | nexthop, dot-nexthop
"""

#: A 5xx to STARTTLS at a mandatory level bounces with no try of the other MX hosts [source, lab]; a 554 greeting goes
#: to the next one [lab].
OUTCOMES = """
    seen             | clear        | opportunistic | encrypt     | verify      | dane        | mta-sts
    DNS temporary    | retry later  | retry later   | retry later | retry later | retry later | retry later
    DNS permanent    | bounce all   | bounce all    | bounce all  | bounce all  | bounce all  | bounce all
    unreachable      | next host    | next host     | next host   | next host   | next host   | next host
    greeting 4xx     | next host    | next host     | next host   | next host   | next host   | next host
    greeting 5xx     | next host    | next host     | next host   | next host   | next host   | next host
    not offered      | clear        | clear         | next host   | next host   | next host   | next host
    refused 4xx      | clear        | clear         | next host   | next host   | next host   | next host
    refused 5xx      | clear        | clear         | bounce now  | bounce now  | bounce now  | bounce now
    lost before 220  | clear        | next host     | next host   | next host   | next host   | next host
    handshake failed | clear        | next host     | next host   | next host   | next host   | next host
    handshake hangs  | clear        | next host     | next host   | next host   | next host   | next host
    lost in TLS      | clear        | next host     | next host   | next host   | next host   | next host
    untrusted        | clear        | encrypted     | encrypted   | next host   | next host   | next host
    expired          | clear        | encrypted     | encrypted   | next host   | next host   | next host
    name mismatch    | clear        | encrypted     | encrypted   | next host   | next host   | next host
    verified         | clear        | encrypted     | encrypted   | verified    | verified    | verified
"""

#: A message of 300 s (``minimal_backoff_time``) or more goes in clear to the same host at once, even when a second MX
#: host has good TLS [lab].
AGED = {
    (seen, Demand.OPPORTUNISTIC): Outcome.RECONNECT_CLEAR
    for seen in (Seen.HANDSHAKE_FAILED, Seen.HANDSHAKE_TIMEOUT, Seen.LOST_IN_TLS)
}

PROFILE = Profile(
    key="postfix",
    title="Postfix",
    source=SOURCE,
    settings=Level,
    default=Level.MAY,
    nearest={
        Setting.NO: Level.NONE,
        Setting.PREFERRED: Level.MAY,
        Setting.REQUIRED: Level.ENCRYPT,
        Setting.PREFERRED_VERIFY: Level.MAY,
        Setting.REQUIRED_VERIFY: Level.SECURE,
        Setting.REQUIRED_VERIFY_HOSTED: Level.VERIFY,
    },
    demands=DEMANDS,
    outcomes=OUTCOMES,
    aged=AGED,
    aged_after_s=300.0,
    switches={
        "mta_sts": Switch(
            about="whether a socketmap with policies of RFC 8461 is set up",
            outcomes={False: None, True: None},
            option=True,
        )
    },
    queueing=Queueing(
        waits_s=(300.0, 4_000.0),
        counted="age",
        scan_s=300.0,
        lifetime_s=432_000.0,
        dead_s=300.0,
        connections=20,
        messages_per_connection=1,
        notes="The window of connections starts at 5 and moves by one with each success or failure; here its ceiling "
        "holds from the start. TLS sessions carry one message unless smtp_tls_connection_reuse is on. At most 5 "
        "addresses are tried in a pass, and 2 beyond their greeting.",
        source=SOURCE,
    ),
)
