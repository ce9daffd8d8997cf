"""Haraka: outbound ``enable_tls``, and its lists of hosts, in the order of docs/Outbound.md."""

from __future__ import annotations

from sim.policy.profile import Profile, Queueing, Switch
from sim.terms import Demand, Outcome, Seen, Setting, Term

SOURCE = "Haraka: docs/Outbound.md, outbound/hmail.js, outbound/tls.js, config"


class Hosts(Term):
    """What is set for an MX host or a domain: a list it is on, or none."""

    NO_TLS_HOSTS = 0, "no_tls_hosts"
    ENABLE_TLS = 1, "enable_tls"
    FORCE_TLS_HOSTS = 2, "force_tls_hosts"


#: The MX host's name is checked as Node.js does: the common name counts only without SAN names. The core has neither
#: DANE nor MTA-STS. ``enable_tls`` = false is as *no_tls_hosts* for every host.
DEMANDS = """
    hosts           | DANE option | DANE | MTA-STS | MX listed | demand        | name rule
    no_tls_hosts    | any         | any  | any     | any       | clear         | none
    enable_tls      | any         | any  | any     | any       | opportunistic | none
    force_tls_hosts | any         | any  | any     | any       | verify        | hostname
"""

#: An answer ends the try, whatever command it is to: 4xx puts the message off and 5xx bounces it, with no other MX
#: host. A connection that breaks, hangs or fails its handshake goes to the next one. Not offered to a host of
#: *force_tls_hosts* is put off like a 4xx.
OUTCOMES = """
    seen             | clear       | opportunistic | verify
    DNS temporary    | retry later | retry later   | retry later
    DNS permanent    | bounce all  | bounce all    | bounce all
    unreachable      | next host   | next host     | next host
    greeting 4xx     | retry later | retry later   | retry later
    greeting 5xx     | bounce now  | bounce now    | bounce now
    not offered      | clear       | clear         | retry later
    refused 4xx      | clear       | retry later   | retry later
    refused 5xx      | clear       | bounce now    | bounce now
    lost before 220  | clear       | next host     | next host
    handshake failed | clear       | next host     | next host
    handshake hangs  | clear       | next host     | next host
    lost in TLS      | clear       | next host     | next host
    untrusted        | clear       | encrypted     | next host
    expired          | clear       | encrypted     | next host
    name mismatch    | clear       | encrypted     | next host
    verified         | clear       | encrypted     | verified
"""

#: A marked host is not asked for TLS: whatever it would have come to, the message goes in clear. Haraka marks the
#: host, for 7 days and for all mail; here it is the message that remembers, so that other mail finds out for itself.
AGED = {(seen, Demand.OPPORTUNISTIC): Outcome.DELIVER_CLEAR for seen in Seen if seen >= Seen.NOT_OFFERED}

PROFILE = Profile(
    key="haraka",
    title="Haraka",
    source=SOURCE,
    settings=Hosts,
    default=Hosts.ENABLE_TLS,
    nearest={
        Setting.NO: Hosts.NO_TLS_HOSTS,
        Setting.PREFERRED: Hosts.ENABLE_TLS,
        Setting.REQUIRED: Hosts.FORCE_TLS_HOSTS,
        Setting.PREFERRED_VERIFY: Hosts.ENABLE_TLS,
        Setting.REQUIRED_VERIFY: Hosts.FORCE_TLS_HOSTS,
        Setting.REQUIRED_VERIFY_HOSTED: Hosts.FORCE_TLS_HOSTS,
    },
    demands=DEMANDS,
    outcomes=OUTCOMES,
    aged=AGED,
    aged_if=("disable_for_failed_hosts", True),
    aged_after_tls_failure=True,
    switches={
        "disable_for_failed_hosts": Switch(
            about="redis.disable_for_failed_hosts of tls.ini: later tries go in clear after a failed handshake",
            outcomes={False: None, True: None},
            option=True,
        )
    },
    queueing=Queueing(
        waits_s=tuple(2.0 ** (n + 5) for n in range(1, 13)),
        max_retries=12,
        lifetime_s=604_800.0,
        connections=10_000,
        messages_per_connection=1,
        notes="The number of retries ends a message, not its age, which here cannot reach lifetime_s. "
        "concurrency_max counts over all destinations of a worker. The mark of disable_for_failed_hosts is kept per "
        "message, not per host, and a handshake that hangs sets it too.",
        source=SOURCE,
    ),
)
