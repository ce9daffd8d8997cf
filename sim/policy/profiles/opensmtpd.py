"""OpenSMTPD: what an action says of TLS, in the order of smtpd.conf(5).

[lab]: seen on OpenSMTPD 6.8.0p2 on loopback. It knows neither DANE nor MTA-STS.
"""

from __future__ import annotations

from sim.policy.profile import Profile, Queueing, Switch
from sim.terms import Outcome, Setting, Term, TlsVersion

SOURCE = "OpenSMTPD source (mta_session.c, limit.c, scheduler_ramqueue.c), smtpd.conf(5); runs of 6.8.0p2"


class Relay(Term):
    """TLS of a relay action."""

    DEFAULT = 0, "default"
    TLS_NO_VERIFY = 1, "tls no-verify"
    TLS = 2, "tls"
    NO_TLS = 3, "smtp+notls"


#: Where TLS comes up the certificate is checked and the result logged, needed or not.
DEMANDS = """
    relay         | DANE option | DANE | MTA-STS | MX listed | demand        | name rule
    default       | any         | any  | any     | any       | opportunistic | hostname, wide wildcards do not count
    tls no-verify | any         | any  | any     | any       | encrypt       | hostname, wide wildcards do not count
    tls           | any         | any  | any     | any       | verify        | hostname, wide wildcards do not count
    smtp+notls    | any         | any  | any     | any       | clear         | none
"""

#: Clear text is a new connection to the same host at once, after a handshake that failed and not after a session that
#: was lost [lab]. One that hangs ends as a time-out, which opens no way for clear text in mta_session.c; under a
#: mandatory setting the host was tried over and over [lab], here once a pass. A bad greeting is a temporary failure.
OUTCOMES = """
    seen             | opportunistic              | encrypt     | verify      | clear
    DNS temporary    | retry later                | retry later | retry later | retry later
    DNS permanent    | bounce all                 | bounce all  | bounce all  | bounce all
    unreachable      | next host                  | next host   | next host   | next host
    greeting 4xx     | next host                  | next host   | next host   | next host
    greeting 5xx     | next host                  | next host   | next host   | next host
    not offered      | clear                      | next host   | next host   | clear
    refused 4xx      | clear                      | next host   | next host   | clear
    refused 5xx      | clear                      | next host   | next host   | clear
    lost before 220  | next host                  | next host   | next host   | clear
    handshake failed | reconnect in clear         | next host   | next host   | clear
    handshake hangs  | next host ?handshake_hangs | next host   | next host   | clear
    lost in TLS      | next host                  | next host   | next host   | clear
    untrusted        | encrypted                  | encrypted   | next host   | clear
    expired          | encrypted                  | encrypted   | next host   | clear
    name mismatch    | encrypted                  | encrypted   | next host   | clear
    verified         | verified                   | verified    | verified    | clear
"""

PROFILE = Profile(
    key="opensmtpd",
    title="OpenSMTPD",
    source=SOURCE,
    settings=Relay,
    default=Relay.DEFAULT,
    nearest={
        Setting.NO: Relay.NO_TLS,
        Setting.PREFERRED: Relay.DEFAULT,
        Setting.REQUIRED: Relay.TLS_NO_VERIFY,
        Setting.PREFERRED_VERIFY: Relay.DEFAULT,
        Setting.REQUIRED_VERIFY: Relay.TLS,
        Setting.REQUIRED_VERIFY_HOSTED: Relay.TLS,
    },
    demands=DEMANDS,
    outcomes=OUTCOMES,
    switches={
        "handshake_hangs": Switch(
            about="the default relay when a handshake hangs: read from mta_session.c, not run",
            outcomes={"defer": None, "clear": Outcome.RECONNECT_CLEAR},
        )
    },
    minimum_tls=TlsVersion.TLS_1_2,
    queueing=Queueing(
        # The n-th retry is due 400 n^2 seconds after the message came.
        waits_s=tuple(400.0 * (2 * n - 1) for n in range(1, 31)),
        counted="arrival",
        lifetime_s=345_600.0,
        dead_s=15.0,
        connections=5,
        messages_per_connection=100,
        warning_s=14_400.0,
        notes="5 connections to one host from one address (a route), 10 to one host, 100 to one domain: here 5. A "
        "route that fails is put aside 15 n^2 s, at most 1 h, by its failures in a row; here 15 s each time. The "
        "warning after 4 h is remembered.",
        source=SOURCE,
    ),
)
