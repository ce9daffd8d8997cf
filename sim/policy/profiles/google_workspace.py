"""Google Workspace: outbound mail, as shipped and under its rule for secure transport.

It uses no DANE, and honours MTA-STS; both are remembered.
"""

from __future__ import annotations

from sim.policy.profile import Profile, Queueing, Switch
from sim.terms import Outcome, Setting, Term, TlsVersion

SOURCE = "Google Workspace Admin Help 2520500 (required secure transport); MTA-STS, DANE and retries remembered"


class Transport(Term):
    """What is set for the recipient's domain; the last with the rule's options on, *CA-signed* and *host name*."""

    DEFAULT = 0, "default"
    SECURE = 1, "secure transport"
    SECURE_VERIFIED = 2, "secure transport + CA-signed + host name"


#: The host name of the option is read as the MX host's. A policy of RFC 8461 is not looked at for a domain whose rule
#: asks for a good certificate anyway, but for the hosts it lists; no source says so.
DEMANDS = """
    transport                 | DANE option | DANE | MTA-STS | MX listed | demand         | name rule
    any                       | any         | any  | enforce | no        | hold: unlisted | none
    default, secure transport | any         | any  | enforce | yes       | mta-sts        | mta-sts
    default                   | any         | any  | any     | any       | opportunistic     | none
    secure transport          | any         | any  | any     | any       | encrypt-or-bounce | none
    secure transport + CA-signed + host name | any | any | any | any     | verify-or-bounce  | hostname
"""

#: A rule that is not met bounces: one attempt, none later.
OUTCOMES = """
    seen             | opportunistic                        | encrypt-or-bounce          | verify-or-bounce           | mta-sts
    DNS temporary    | retry later                          | retry later                | retry later                | retry later
    DNS permanent    | bounce all                           | bounce all                 | bounce all                 | bounce all
    unreachable      | next host                            | next host                  | next host                  | next host
    greeting 4xx     | next host                            | next host                  | next host                  | next host
    greeting 5xx     | next host ?                          | next host ?                | next host ?                | next host ?
    not offered      | clear                                | bounce now ?rule_next_host | bounce now ?rule_next_host | next host
    refused 4xx      | clear                                | bounce now ?rule_next_host | bounce now ?rule_next_host | next host
    refused 5xx      | clear                                | bounce now ?rule_next_host | bounce now ?rule_next_host | next host
    lost before 220  | next host ?                          | next host ?                | next host ?                | next host
    handshake failed | reconnect in clear ?handshake_failed | bounce now ?rule_next_host | bounce now ?rule_next_host | next host
    handshake hangs  | reconnect in clear ?handshake_failed | bounce now ?rule_next_host | bounce now ?rule_next_host | next host
    lost in TLS      | next host ?                          | next host ?                | next host ?                | next host
    untrusted        | encrypted                            | encrypted                  | bounce now ?rule_next_host | next host
    expired          | encrypted                            | encrypted                  | bounce now ?rule_next_host | next host
    name mismatch    | encrypted                            | encrypted                  | bounce now ?rule_next_host | next host
    verified         | encrypted                            | encrypted                  | verified                   | verified
"""  # noqa: E501

PROFILE = Profile(
    key="google_workspace",
    title="Google Workspace",
    source=SOURCE,
    settings=Transport,
    default=Transport.DEFAULT,
    nearest={
        # It has no setting that never tries TLS.
        Setting.NO: Transport.DEFAULT,
        Setting.PREFERRED: Transport.DEFAULT,
        Setting.REQUIRED: Transport.SECURE,
        Setting.PREFERRED_VERIFY: Transport.DEFAULT,
        Setting.REQUIRED_VERIFY: Transport.SECURE_VERIFIED,
        Setting.REQUIRED_VERIFY_HOSTED: Transport.SECURE_VERIFIED,
    },
    demands=DEMANDS,
    outcomes=OUTCOMES,
    switches={
        "handshake_failed": Switch(
            about="as shipped, when the handshake fails or hangs",
            outcomes={"clear": None, "defer": Outcome.NEXT_HOST},
        ),
        "rule_next_host": Switch(
            about="whether the one attempt under the rule goes on to the other MX hosts",
            outcomes={False: None, True: Outcome.BOUNCE_MESSAGE},
        ),
    },
    minimum_tls=TlsVersion.TLS_1_0,
    queueing=Queueing(
        waits_s=(1_800.0,),
        lifetime_s=259_200.0,
        notes="Retries go on for up to a few days: 72 h are taken (remembered). No source has the waits or the numbers "
        "of connections and messages: the 30 minutes of RFC 5321 section 4.5.4.1, and assumed.",
        source=SOURCE,
    ),
)
