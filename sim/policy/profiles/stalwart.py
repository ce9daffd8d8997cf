"""Stalwart: the strategies ``starttls`` and ``allow_invalid_certs``, ``dane`` and ``mta-sts``.

``dane`` is the DANE option: disable = none, optional = opportunistic, require = mandatory. ``mta-sts`` is a switch.
"""

from __future__ import annotations

from sim.policy.profile import Profile, Queueing, Switch
from sim.terms import DaneOption, Demand, Outcome, Seen, Setting, Term

SOURCE = "Stalwart: source of outbound delivery and configuration reference"


class Strategy(Term):
    """Strategy ``starttls``, and whether ``allow_invalid_certs`` is on."""

    DISABLE = 0, "disable"
    OPTIONAL_INVALID = 1, "optional allow_invalid_certs"
    OPTIONAL = 2, "optional"
    REQUIRE_INVALID = 3, "require allow_invalid_certs"
    REQUIRE = 4, "require"


#: The certificate has to name the MX host in its SAN (remembered of rustls). A policy in force is checked for the MX
#: host before its TLSA records are looked up. A host that a policy does not list, or that has no TLSA records where
#: ``dane`` = require, is a permanent failure of that host: held here in the first case, bounced at once in the second.
#: ``mta-sts`` = require, which asks for a policy, has no row.
DEMANDS = """
    strategy                       | DANE option              | DANE                     | MTA-STS | MX listed | demand | name rule
    disable                        | any                      | any                      | any     | any | clear                | none
    mta_sts=optional: any          | any                      | any                      | enforce | no  | hold: unlisted       | none
    any                            | opportunistic, mandatory | usable                   | any     | any | dane                 | tlsa
    any                            | mandatory                | none, insecure, unusable | any     | any | bounce: no dane      | none
    any                            | mandatory                | bogus                    | any     | any | hold: bogus          | none
    bogus_tlsa=defer: any          | opportunistic            | bogus                    | any     | any | hold: bogus          | none
    mta_sts=optional: any          | any                      | any                      | enforce | yes | mta-sts              | mta-sts
    require                        | any                      | any                      | any     | any | verify               | mta-sts
    unusable_tlsa=encrypt: any     | opportunistic            | unusable                 | any     | any | encrypt              | none
    optional                       | any                      | any                      | any     | any | opportunistic-verify | mta-sts
    optional allow_invalid_certs   | any                      | any                      | any     | any | opportunistic        | none
    require allow_invalid_certs    | any                      | any                      | any     | any | encrypt              | none
"""  # noqa: E501

#: Where TLS has to be, STARTTLS that is not offered, or refused with a 5xx, is a permanent failure of that host: the
#: message bounces if no other host takes it. So is a 5xx greeting.
OUTCOMES = """
    seen             | clear          | opportunistic  | encrypt        | opportunistic-verify | verify         | dane           | mta-sts
    DNS temporary    | retry later    | retry later    | retry later    | retry later          | retry later    | retry later    | retry later
    DNS permanent    | bounce all     | bounce all     | bounce all     | bounce all           | bounce all     | bounce all     | bounce all
    unreachable      | next host      | next host      | next host      | next host            | next host      | next host      | next host
    greeting 4xx     | next host      | next host      | next host      | next host            | next host      | next host      | next host
    greeting 5xx     | bounce message | bounce message | bounce message | bounce message       | bounce message | bounce message | bounce message
    not offered      | clear          | clear          | bounce message | clear                | bounce message | bounce message | bounce message
    refused 4xx      | clear          | clear          | next host      | clear                | next host      | next host      | next host
    refused 5xx      | clear          | clear          | bounce message | clear                | bounce message | bounce message | bounce message
    lost before 220  | clear          | next host      | next host      | next host            | next host      | next host      | next host
    handshake failed | clear          | next host      | next host      | next host            | next host      | next host      | next host
    handshake hangs  | clear          | next host      | next host      | next host            | next host      | next host      | next host
    lost in TLS      | clear          | next host      | next host      | next host            | next host      | next host      | next host
    untrusted        | clear          | encrypted      | encrypted      | next host            | next host      | next host      | next host
    expired          | clear          | encrypted      | encrypted      | next host            | next host      | next host      | next host
    name mismatch    | clear          | encrypted      | encrypted      | next host            | next host      | next host      | next host
    verified         | clear          | encrypted      | encrypted      | verified             | verified       | verified       | verified
"""  # noqa: E501

#: A message put off for its TLS ("invalid-tls") is tried again without a check of the certificate.
AGED = {
    (seen, Demand.OPPORTUNISTIC_VERIFY): Outcome.DELIVER_ENCRYPTED
    for seen in (Seen.UNTRUSTED, Seen.EXPIRED, Seen.MISMATCH, Seen.VERIFIED)
}

PROFILE = Profile(
    key="stalwart",
    title="Stalwart",
    source=SOURCE,
    settings=Strategy,
    default=Strategy.OPTIONAL,
    nearest={
        Setting.NO: Strategy.DISABLE,
        Setting.PREFERRED: Strategy.OPTIONAL_INVALID,
        Setting.REQUIRED: Strategy.REQUIRE_INVALID,
        Setting.PREFERRED_VERIFY: Strategy.OPTIONAL,
        Setting.REQUIRED_VERIFY: Strategy.REQUIRE,
        Setting.REQUIRED_VERIFY_HOSTED: Strategy.REQUIRE,
    },
    demands=DEMANDS,
    outcomes=OUTCOMES,
    aged=AGED,
    aged_after_tls_failure=True,
    dane_option=DaneOption.OPPORTUNISTIC,
    switches={
        "mta_sts": Switch(
            about="strategy mta-sts: whether policies of RFC 8461 are honoured",
            outcomes={"optional": None, "disable": None},
            option=True,
        ),
        "bogus_tlsa": Switch(
            about="TLSA records that cannot be trusted or fetched, with dane = optional: RFC 7672 skips the host, one "
            "version of the source goes on as without them",
            outcomes={"defer": None, "ignore": None},
        ),
        "unusable_tlsa": Switch(
            about="TLSA records none of which is usable, with dane = optional: RFC 7672 asks for TLS, one version of "
            "the source goes on as without them",
            outcomes={"encrypt": None, "ignore": None},
        ),
    },
    queueing=Queueing(
        waits_s=(120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0),
        lifetime_s=259_200.0,
        connections=20,
        messages_per_connection=1,
        notes="The list of waits is an example of the reference; versions give up after 3 to 5 days. No source states "
        "connections per destination: 20 are assumed.",
        source=SOURCE,
    ),
)
