"""KumoMTA: ``enable_tls`` of an egress path, in the order of the reference of make_egress_path.

Its DANE option is ``enable_dane``: *none* is false, as shipped; both others are true, since it has no mandatory DANE.
"""

from __future__ import annotations

from sim.policy.profile import Profile, Queueing, Switch
from sim.terms import Demand, Outcome, Seen, Setting, Term

SOURCE = "KumoMTA reference (make_egress_path, make_queue_config), source (smtp_dispatcher.rs)"


class EnableTls(Term):
    """``enable_tls``, from none to all."""

    DISABLED = 0, "Disabled"
    OPPORTUNISTIC_INSECURE = 1, "OpportunisticInsecure"
    OPPORTUNISTIC = 2, "Opportunistic"
    REQUIRED_INSECURE = 3, "RequiredInsecure"
    REQUIRED = 4, "Required"


#: What DANE and then MTA-STS find takes the place of ``enable_tls``, whatever that is: usable TLSA records Required,
#: unusable ones RequiredInsecure, which a policy in testing does not relax; a policy in enforce Required, and one in
#: testing OpportunisticInsecure, also where Required or Disabled was set.
DEMANDS = """
    enable_tls                | DANE option              | DANE     | MTA-STS | MX listed | demand | name rule
    any                       | opportunistic, mandatory | usable   | any     | any | dane           | tlsa
    any                       | opportunistic, mandatory | bogus    | any     | any | hold: bogus    | none
    enable_mta_sts=true: any  | any                      | any      | enforce | no  | hold: unlisted | none
    enable_mta_sts=true: any  | any                      | any      | enforce | yes | mta-sts        | mta-sts
    any                       | opportunistic, mandatory | unusable | any     | any | encrypt        | none
    enable_mta_sts=true: any  | any                      | any      | testing | any | opportunistic  | none
    Disabled                  | any | any | any | any | clear                | none
    OpportunisticInsecure     | any | any | any | any | opportunistic        | none
    Opportunistic             | any | any | any | any | opportunistic-verify | hostname
    RequiredInsecure          | any | any | any | any | encrypt              | none
    Required                  | any | any | any | any | verify               | hostname
"""

#: An answer to STARTTLS that is no 220 is an error in every mode, and so is a handshake that hangs. After one that
#: failed, OpportunisticInsecure goes on in clear on the same session if the peer takes a new EHLO. For Opportunistic a
#: bad certificate is a handshake that failed. *Lost in TLS* is the EHLO under TLS left without an answer.
OUTCOMES = """
    seen             | clear       | opportunistic                             | opportunistic-verify | encrypt     | verify      | dane        | mta-sts
    DNS temporary    | retry later | retry later                               | retry later          | retry later | retry later | retry later | retry later
    DNS permanent    | bounce all  | bounce all                                | bounce all           | bounce all  | bounce all  | bounce all  | bounce all
    unreachable      | next host   | next host                                 | next host            | next host   | next host   | next host   | next host
    greeting 4xx     | next host   | next host                                 | next host            | next host   | next host   | next host   | next host
    greeting 5xx     | next host   | next host                                 | next host            | next host   | next host   | next host   | next host
    not offered      | clear       | clear                                     | clear                | next host   | next host   | next host   | next host
    refused 4xx      | clear       | next host                                 | next host            | next host   | next host   | next host   | next host
    refused 5xx      | clear       | next host                                 | next host            | next host   | next host   | next host   | next host
    lost before 220  | clear       | next host                                 | next host            | next host   | next host   | next host   | next host
    handshake failed | clear       | next host ?RECONNECT, peer_takes_new_ehlo | next host ?RECONNECT | next host   | next host   | next host   | next host
    handshake hangs  | clear       | next host                                 | next host            | next host   | next host   | next host   | next host
    lost in TLS      | clear       | next host ?RECONNECT                      | next host ?RECONNECT | next host   | next host   | next host   | next host
    untrusted        | clear       | encrypted                                 | next host ?RECONNECT | encrypted   | next host   | next host   | next host
    expired          | clear       | encrypted                                 | next host ?RECONNECT | encrypted   | next host   | next host   | next host
    name mismatch    | clear       | encrypted                                 | next host ?RECONNECT | encrypted   | next host   | next host   | next host
    verified         | clear       | encrypted                                 | verified             | encrypted   | verified    | verified    | verified
""".replace("RECONNECT", "opportunistic_tls_reconnect_on_failed_handshake")  # noqa: E501

#: The sender remembers a site (the set of MX hosts) whose TLS broke, and skips STARTTLS there. Here each message
#: remembers, once TLS has put it off, and to the end: mail that comes later finds out for itself.
_REMEMBERED = "next host ?opportunistic_tls_reconnect_on_failed_handshake, remember_broken_tls"
AGED: dict[tuple[Seen, Demand], Outcome | str] = {
    (Seen.HANDSHAKE_FAILED, Demand.OPPORTUNISTIC): f"{_REMEMBERED}, peer_takes_new_ehlo",
    (Seen.LOST_IN_TLS, Demand.OPPORTUNISTIC): _REMEMBERED,
    (Seen.HANDSHAKE_FAILED, Demand.OPPORTUNISTIC_VERIFY): _REMEMBERED,
    (Seen.LOST_IN_TLS, Demand.OPPORTUNISTIC_VERIFY): _REMEMBERED,
    (Seen.UNTRUSTED, Demand.OPPORTUNISTIC_VERIFY): _REMEMBERED,
    (Seen.EXPIRED, Demand.OPPORTUNISTIC_VERIFY): _REMEMBERED,
    (Seen.MISMATCH, Demand.OPPORTUNISTIC_VERIFY): _REMEMBERED,
}

PROFILE = Profile(
    key="kumomta",
    title="KumoMTA",
    source=SOURCE,
    settings=EnableTls,
    default=EnableTls.OPPORTUNISTIC,
    nearest={
        Setting.NO: EnableTls.DISABLED,
        Setting.PREFERRED: EnableTls.OPPORTUNISTIC_INSECURE,
        Setting.REQUIRED: EnableTls.REQUIRED_INSECURE,
        # Opportunistic checks the certificate too, but sends nothing past a bad one.
        Setting.PREFERRED_VERIFY: EnableTls.OPPORTUNISTIC_INSECURE,
        Setting.REQUIRED_VERIFY: EnableTls.REQUIRED,
        Setting.REQUIRED_VERIFY_HOSTED: EnableTls.REQUIRED,
    },
    demands=DEMANDS,
    outcomes=OUTCOMES,
    aged=AGED,
    aged_after_tls_failure=True,
    switches={
        "enable_mta_sts": Switch(
            about="whether policies of RFC 8461 are looked up",
            outcomes={True: None, False: None},
            option=True,
        ),
        "opportunistic_tls_reconnect_on_failed_handshake": Switch(
            about="whether the opportunistic modes connect again, TLS off, when a handshake fails",
            outcomes={False: None, True: Outcome.RECONNECT_CLEAR},
            option=True,
        ),
        "remember_broken_tls": Switch(
            about="whether TLS that broke is remembered, so that later attempts skip it (its time is not modelled)",
            outcomes={False: None, True: Outcome.DELIVER_CLEAR},
            option=True,
        ),
        "peer_takes_new_ehlo": Switch(
            about="whether peers take a new EHLO on the session whose handshake failed: no source counts them",
            outcomes={True: Outcome.DELIVER_CLEAR, False: None},
        ),
    },
    queueing=Queueing(
        waits_s=tuple(1_200.0 * 2**n for n in range(9)),
        lifetime_s=604_800.0,
        connections=32,
        messages_per_connection=1_024,
        notes="After 100 failed connections in a row all mail of a path waits (consecutive_connection_failures_before_"
        "delay). A session that breaks off in the middle of a message goes to the next host only with "
        "try_next_host_on_transport_error. MX hosts of one preference are taken in random order.",
        source=SOURCE,
    ),
)
