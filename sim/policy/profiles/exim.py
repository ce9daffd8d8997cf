"""Exim: the host lists of its smtp transport, in the order of its specification.

[lab]: seen on Exim 4.96 with GnuTLS on loopback; where that and a document differ, what was seen stands here.
``hosts_try_dane`` and ``hosts_require_dane`` are the DANE option: *opportunistic* and *mandatory*.
"""

from __future__ import annotations

from sim.policy.profile import Profile, Queueing, Switch
from sim.terms import DaneOption, Setting, Term, TlsVersion

SOURCE = (
    "Exim specification (smtp transport, retry configuration), transports/smtp.c, tls-gnu.c, tls-openssl.c, "
    "configure.default (snapshot of December 2025); runs of 4.96 with GnuTLS"
)


class HostList(Term):
    """The list a host is in, other lists as shipped; *default*: none."""

    AVOID = 0, "hosts_avoid_tls"
    DEFAULT = 1, "default"
    NO_TRYCLEAR = 2, "tls_tempfail_tryclear off"
    REQUIRE = 3, "hosts_require_tls"
    VERIFY = 4, "tls_verify_hosts"
    REQUIRE_VERIFY = 5, "hosts_require_tls + tls_verify_hosts"


#: Where TLS comes up the certificate is checked (``tls_try_verify_hosts`` is ``*``), needed or not. Usable TLSA records
#: go before the lists, and take ``tls_tempfail_tryclear`` away. There is no MTA-STS.
DEMANDS = """
    host list                     | DANE option              | DANE           | MTA-STS | MX listed | demand | name rule
    hosts_avoid_tls               | any                      | any            | any | any | clear           | none
    any                           | opportunistic, mandatory | usable         | any | any | dane            | tlsa
    any                           | opportunistic, mandatory | bogus          | any | any | hold: bogus     | none
    dane_unusable=defer: any      | opportunistic, mandatory | unusable       | any | any | hold: no dane   | none
    any                           | mandatory                | none, insecure | any | any | bounce: no dane | none
    any                           | mandatory                | unusable       | any | any | hold: no dane   | none
    tls_verify_hosts              | opportunistic            | unusable       | any | any | verify  | hostname, wide wildcards do not count
    default                       | opportunistic            | unusable       | any | any | encrypt | hostname, wide wildcards do not count
    tls_tempfail_tryclear off     | opportunistic            | unusable       | any | any | encrypt | hostname, wide wildcards do not count
    default                       | any | any | any | any | opportunistic             | hostname, wide wildcards do not count
    tls_tempfail_tryclear off     | any | any | any | any | opportunistic-no-fallback | hostname, wide wildcards do not count
    hosts_require_tls             | any | any | any | any | encrypt                   | hostname, wide wildcards do not count
    tls_verify_hosts              | any | any | any | any | opportunistic-verify      | hostname, wide wildcards do not count
    hosts_require_tls + tls_verify_hosts | any | any | any | any | verify             | hostname, wide wildcards do not count
"""  # noqa: E501

#: Clear text after TLS has failed is a new connection to the same host, in the same attempt; a certificate that is bad
#: where it is needed counts as TLS that failed, and so does a session lost once TLS is up [lab]. One lost instead of
#: the answer to STARTTLS does not [lab]. A 554 greeting bounces [lab].
OUTCOMES = """
    seen             | clear        | opportunistic      | opportunistic-no-fallback | encrypt      | opportunistic-verify | verify       | dane
    DNS temporary    | retry later  | retry later        | retry later               | retry later  | retry later          | retry later  | retry later
    DNS permanent    | bounce all   | bounce all         | bounce all                | bounce all   | bounce all           | bounce all   | bounce all
    unreachable      | next host    | next host          | next host                 | next host    | next host            | next host    | next host
    greeting 4xx     | next host    | next host          | next host                 | next host    | next host            | next host    | next host
    greeting 5xx     | bounce now   | bounce now         | bounce now                | bounce now   | bounce now           | bounce now   | bounce now
    not offered      | clear        | clear              | clear                     | next host    | clear                | next host    | next host
    refused 4xx      | clear        | clear              | next host                 | next host    | clear                | next host    | next host
    refused 5xx      | clear        | clear              | clear                     | next host    | clear                | next host    | next host
    lost before 220  | clear        | next host          | next host                 | next host    | next host            | next host    | next host
    handshake failed | clear        | reconnect in clear | next host                 | next host    | reconnect in clear   | next host    | next host
    handshake hangs  | clear        | reconnect in clear | next host                 | next host    | reconnect in clear   | next host    | next host
    lost in TLS      | clear        | reconnect in clear | next host                 | next host    | reconnect in clear   | next host    | next host
    untrusted        | clear        | encrypted          | encrypted                 | encrypted    | reconnect in clear   | next host    | next host
    expired          | clear        | encrypted          | encrypted                 | encrypted    | reconnect in clear   | next host    | next host
    name mismatch    | clear        | encrypted          | encrypted                 | encrypted    | reconnect in clear   | next host    | next host
    verified         | clear        | verified           | verified                  | verified     | verified             | verified     | verified
"""  # noqa: E501

PROFILE = Profile(
    key="exim",
    title="Exim",
    source=SOURCE,
    settings=HostList,
    default=HostList.DEFAULT,
    nearest={
        Setting.NO: HostList.AVOID,
        Setting.PREFERRED: HostList.DEFAULT,
        Setting.REQUIRED: HostList.REQUIRE,
        Setting.PREFERRED_VERIFY: HostList.DEFAULT,
        Setting.REQUIRED_VERIFY: HostList.REQUIRE_VERIFY,
        Setting.REQUIRED_VERIFY_HOSTED: HostList.REQUIRE_VERIFY,
    },
    demands=DEMANDS,
    outcomes=OUTCOMES,
    switches={
        "dane_unusable": Switch(
            about="TLSA records of which none is usable: no TLS session starts (tls-gnu.c, tls-openssl.c), or one that "
            "nobody vouches for is demanded (RFC 7672 section 2.2)",
            outcomes={"defer": None, "encrypt": None},
        )
    },
    dane_option=DaneOption.OPPORTUNISTIC,
    minimum_tls=TlsVersion.TLS_1_0,
    queueing=Queueing(
        # F,2h,15m; G,16h,1h,1.5; F,4d,6h: a wait of 15 minutes ends with the next queue run, so four of them fill 2 h.
        waits_s=(900.0, 900.0, 900.0, 900.0, 3_600.0, 5_400.0, 8_100.0, 12_150.0, 18_225.0, 21_600.0),
        scan_s=1_800.0,
        lifetime_s=345_600.0,
        dead_s=900.0,
        connections=500,
        messages_per_connection=500,
        warning_s=86_400.0,
        notes="The waits are those of the shipped rule, which counts from the first failure, under a queue run each 30 "
        "minutes (-q30m, common, not shipped); with another interval another number of them fills 2 and 16 hours. A "
        "failure is kept for host and address and puts all of its mail off by the same rule; here for 15 minutes each "
        "time. Exim limits no connections to a destination (6 for one message, 5 queue runs at once): 500 stands for "
        "no limit. At most 5 hosts are tried in a pass. The warning after 24 h is remembered.",
        source=SOURCE,
    ),
)
