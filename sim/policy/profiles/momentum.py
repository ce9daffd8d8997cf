"""Momentum: options ``TLS`` and ``TLS_Verify`` of a binding or domain, in the order of its documentation."""

from __future__ import annotations

from sim.policy.profile import Profile, Queueing, Switch
from sim.terms import Outcome, Setting, Term

SOURCE = "Momentum: the vendor's public documentation repository (version 4)"


class Tls(Term):
    """Option ``TLS``, then ``TLS_Verify`` where it is ca or host."""

    NO = 0, "no"
    IFAVAILABLE = 1, "ifavailable"
    IFAVAILABLE_CA = 2, "ifavailable ca"
    IFAVAILABLE_HOST = 3, "ifavailable host"
    REQUIRED = 4, "required"
    REQUIRED_CA = 5, "required ca"
    REQUIRED_HOST = 6, "required host"


#: ``host`` asks that the common name be the domain or the MX host; *hosted* is the nearest of the rules, which also
#: takes SAN names and the PTR name. ``TLS_Verify`` = optional makes that check and stops nothing for it.
DEMANDS = """
    TLS                                              | DANE option | DANE | MTA-STS | MX listed | demand | name rule
    no                                               | any | any | any | any | clear                     | none
    tls_verify_optional=true: ifavailable            | any | any | any | any | opportunistic             | hosted
    tls_verify_optional=true: required               | any | any | any | any | encrypt                   | hosted
    ifavailable                                      | any | any | any | any | opportunistic             | none
    tls_ifavailable_fallback=false: ifavailable ca   | any | any | any | any | opportunistic-no-fallback | chain only
    tls_ifavailable_fallback=false: ifavailable host | any | any | any | any | opportunistic-no-fallback | hosted
    ifavailable ca                                   | any | any | any | any | opportunistic-verify      | chain only
    ifavailable host                                 | any | any | any | any | opportunistic-verify      | hosted
    required                                         | any | any | any | any | encrypt                   | none
    required ca                                      | any | any | any | any | verify                    | chain only
    required host                                    | any | any | any | any | verify                    | hosted
"""

OUTCOMES = """
    seen             | clear       | opportunistic                                | encrypt                         | opportunistic-verify             | verify      | opportunistic-no-fallback
    DNS temporary    | retry later | retry later                                  | retry later                     | retry later                      | retry later | retry later
    DNS permanent    | bounce all  | bounce all                                   | bounce all                      | bounce all                       | bounce all  | bounce all
    unreachable      | next host   | next host                                    | next host                       | next host                        | next host   | next host
    greeting 4xx     | next host   | next host                                    | next host                       | next host                        | next host   | next host
    greeting 5xx     | next host ? | next host ?                                  | next host ?                     | next host ?                      | next host ? | next host ?
    not offered      | clear       | clear                                        | next host                       | clear                            | next host   | clear
    refused 4xx      | clear       | clear                                        | next host                       | clear                            | next host   | clear
    refused 5xx      | clear       | clear                                        | next host                       | clear                            | next host   | clear
    lost before 220  | clear       | next host                                    | next host                       | next host                        | next host   | next host
    handshake failed | clear       | reconnect in clear ?tls_ifavailable_fallback | next host                       | reconnect in clear               | next host   | next host
    handshake hangs  | clear       | reconnect in clear ?tls_ifavailable_fallback | next host                       | reconnect in clear               | next host   | next host
    lost in TLS      | clear       | next host                                    | next host                       | next host                        | next host   | next host
    untrusted        | clear       | encrypted                                    | encrypted                       | reconnect in clear ?failed_check | next host   | next host
    expired          | clear       | encrypted                                    | encrypted                       | reconnect in clear ?failed_check | next host   | next host
    name mismatch    | clear       | encrypted                                    | encrypted                       | reconnect in clear ?failed_check | next host   | next host
    verified         | clear       | encrypted ?tls_verify_optional               | encrypted ?tls_verify_optional  | verified                         | verified    | verified
"""  # noqa: E501

PROFILE = Profile(
    key="momentum",
    title="Momentum",
    source=SOURCE,
    settings=Tls,
    default=Tls.NO,
    nearest={
        Setting.NO: Tls.NO,
        Setting.PREFERRED: Tls.IFAVAILABLE,
        Setting.REQUIRED: Tls.REQUIRED,
        Setting.PREFERRED_VERIFY: Tls.IFAVAILABLE_HOST,
        Setting.REQUIRED_VERIFY: Tls.REQUIRED_HOST,
        Setting.REQUIRED_VERIFY_HOSTED: Tls.REQUIRED_HOST,
    },
    demands=DEMANDS,
    outcomes=OUTCOMES,
    switches={
        "tls_ifavailable_fallback": Switch(
            about="TLS_Ifavailable_fallback, on since it came with 4.1: a failed handshake goes in clear at once; "
            "false is version 4.0 too",
            outcomes={True: None, False: Outcome.NEXT_HOST},
            option=True,
        ),
        "failed_check": Switch(
            about="a certificate that fails ca or host under ifavailable with the fall-back: as a failed handshake",
            outcomes={"clear": None, "defer": Outcome.NEXT_HOST, "encrypted": Outcome.DELIVER_ENCRYPTED},
        ),
        "tls_verify_optional": Switch(
            about="TLS_Verify = optional where it is neither ca nor host: the check of host, needed for nothing",
            outcomes={False: None, True: Outcome.DELIVER_VERIFIED},
            option=True,
        ),
    },
    queueing=Queueing(
        waits_s=(1_200.0, 2_400.0, 4_800.0, 9_600.0, 19_200.0, 38_400.0, 43_200.0),
        lifetime_s=604_800.0,
        connections=32,
        messages_per_connection=1,
        notes="Message_Expiration is 604,800 s in the file that is shipped, 86,400 s in the code. Host_Failure_Retry "
        "leaves an address alone for 120 s that failed to connect; here every message finds out for itself.",
        source=SOURCE,
    ),
)
