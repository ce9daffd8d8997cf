"""Halon: ``tls.mode`` of a transport, in the order of its documentation."""

from __future__ import annotations

from sim.policy.profile import Profile, Queueing, Switch
from sim.terms import Outcome, Setting, Term, TlsVersion

SOURCE = "Halon documentation (transports); RFC 5321 section 4.5.4.1 for the retries, which are each site's own"


class Mode(Term):
    """Mode of TLS of a transport."""

    DISABLED = 0, "disabled"
    OPTIONAL = 1, "optional"
    OPTIONAL_VERIFY = 2, "optional_verify"
    REQUIRE = 3, "require"
    REQUIRE_VERIFY = 4, "require_verify"


#: DANE and MTA-STS come through scripted hooks (remembered), none of which is there as shipped. Which name counts is
#: in no source: the MX host's is taken.
DEMANDS = """
    mode                               | DANE option              | DANE           | MTA-STS | MX listed | demand | name rule
    disabled                           | any                      | any            | any     | any | clear                | none
    any                                | opportunistic, mandatory | usable         | any     | any | dane                 | tlsa
    any                                | opportunistic, mandatory | bogus          | any     | any | hold: bogus          | none
    any                                | mandatory                | none, insecure | any     | any | hold: no dane        | none
    mta_sts=true: any                  | any                      | any            | enforce | yes | mta-sts              | mta-sts
    mta_sts=true: any                  | any                      | any            | enforce | no  | hold: unlisted       | none
    optional, optional_verify, require | opportunistic, mandatory | unusable       | any     | any | encrypt              | none
    optional                           | any                      | any            | any     | any | opportunistic        | none
    optional_verify                    | any                      | any            | any     | any | opportunistic-verify | hostname
    require                            | any                      | any            | any     | any | encrypt              | none
    require_verify                     | any                      | any            | any     | any | verify               | hostname
"""  # noqa: E501

#: Whether TLS that fails goes to the next MX host is in no source; RFC 5321 section 5.1 has it so.
OUTCOMES = """
    seen             | clear       | opportunistic                         | encrypt     | opportunistic-verify                  | verify      | dane        | mta-sts
    DNS temporary    | retry later | retry later                           | retry later | retry later                           | retry later | retry later | retry later
    DNS permanent    | bounce all  | bounce all                            | bounce all  | bounce all                            | bounce all  | bounce all  | bounce all
    unreachable      | next host   | next host                             | next host   | next host                             | next host   | next host   | next host
    greeting 4xx     | next host   | next host                             | next host   | next host                             | next host   | next host   | next host
    greeting 5xx     | next host ? | next host ?                           | next host ? | next host ?                           | next host ? | next host ? | next host ?
    not offered      | clear       | clear                                 | next host   | clear                                 | next host   | next host   | next host
    refused 4xx      | clear       | clear                                 | next host   | clear                                 | next host   | next host   | next host
    refused 5xx      | clear       | clear                                 | next host   | clear                                 | next host   | next host   | next host
    lost before 220  | clear       | next host                             | next host   | next host                             | next host   | next host   | next host
    handshake failed | clear       | reconnect in clear ?handshake_failure | next host   | reconnect in clear ?handshake_failure | next host   | next host   | next host
    handshake hangs  | clear       | reconnect in clear ?handshake_failure | next host   | reconnect in clear ?handshake_failure | next host   | next host   | next host
    lost in TLS      | clear       | next host                             | next host   | next host                             | next host   | next host   | next host
    untrusted        | clear       | encrypted                             | encrypted   | reconnect in clear ?failed_check      | next host   | next host   | next host
    expired          | clear       | encrypted                             | encrypted   | reconnect in clear ?failed_check      | next host   | next host   | next host
    name mismatch    | clear       | encrypted                             | encrypted   | reconnect in clear ?failed_check      | next host   | next host   | next host
    verified         | clear       | encrypted                             | encrypted   | verified                              | verified    | verified    | verified
"""  # noqa: E501

PROFILE = Profile(
    key="halon",
    title="Halon",
    source=SOURCE,
    settings=Mode,
    default=Mode.DISABLED,
    nearest={
        Setting.NO: Mode.DISABLED,
        Setting.PREFERRED: Mode.OPTIONAL,
        Setting.REQUIRED: Mode.REQUIRE,
        Setting.PREFERRED_VERIFY: Mode.OPTIONAL_VERIFY,
        Setting.REQUIRED_VERIFY: Mode.REQUIRE_VERIFY,
        Setting.REQUIRED_VERIFY_HOSTED: Mode.REQUIRE_VERIFY,
    },
    demands=DEMANDS,
    outcomes=OUTCOMES,
    minimum_tls=TlsVersion.TLS_1_2,
    switches={
        "handshake_failure": Switch(
            about="a failed handshake under optional and optional_verify",
            outcomes={"clear": None, "defer": Outcome.NEXT_HOST},
        ),
        "failed_check": Switch(
            about="a certificate that is not good under optional_verify: TLS that fails, or less than was asked",
            outcomes={"clear": None, "encrypted": Outcome.DELIVER_ENCRYPTED, "defer": Outcome.NEXT_HOST},
        ),
        "mta_sts": Switch(
            about="whether a hook honours policies of RFC 8461", outcomes={False: None, True: None}, option=True
        ),
    },
    queueing=Queueing(
        waits_s=(1_800.0,),
        lifetime_s=432_000.0,
        connections=20,
        messages_per_connection=1,
        notes="Count and intervals of retries are set per transport and follow no law of the product: what RFC 5321 "
        "advises stands here. No source states connections per destination: 20 are assumed.",
        source=SOURCE,
    ),
)
