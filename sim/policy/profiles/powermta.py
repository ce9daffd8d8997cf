"""PowerMTA: directives ``use-starttls`` and ``require-starttls`` of a domain.

The rows of TLS are read from public configurations alone; all of them are unconfirmed.
"""

from __future__ import annotations

from sim.policy.profile import Profile, Queueing, Switch
from sim.terms import Outcome, Setting, Term

SOURCE = (
    "a public tool that lists PowerMTA's directives with their defaults; public configurations for TLS, unconfirmed"
)


class Starttls(Term):
    """Which of the two directives is on."""

    NO = 0, "no"
    USE_STARTTLS = 1, "use-starttls"
    REQUIRE_STARTTLS = 2, "require-starttls"


#: ``smtp-verify`` options for certificates (remembered) have no row: no source says what they come to.
DEMANDS = """
    directive        | DANE option | DANE | MTA-STS | MX listed | demand        | name rule
    no               | any         | any  | any     | any       | clear         | none
    use-starttls     | any         | any  | any     | any       | opportunistic | none
    require-starttls | any         | any  | any     | any       | encrypt       | none
"""

OUTCOMES = """
    seen             | clear                                       | opportunistic                               | encrypt
    DNS temporary    | retry later                                 | retry later                                 | retry later
    DNS permanent    | bounce all                                  | bounce all                                  | bounce all
    unreachable      | next host                                   | next host                                   | next host
    greeting 4xx     | retry later ?smtp_421_means_mx_unavailable  | retry later ?smtp_421_means_mx_unavailable  | retry later ?smtp_421_means_mx_unavailable
    greeting 5xx     | bounce now ?bounce_upon_5xx_greeting        | bounce now ?bounce_upon_5xx_greeting        | bounce now ?bounce_upon_5xx_greeting
    not offered      | clear                                       | clear ?                                     | next host ?
    refused 4xx      | clear                                       | clear ?                                     | next host ?
    refused 5xx      | clear                                       | clear ?                                     | next host ?
    lost before 220  | clear                                       | next host ?                                 | next host ?
    handshake failed | clear                                       | next host ?handshake_failure                | next host ?
    handshake hangs  | clear                                       | next host ?handshake_failure                | next host ?
    lost in TLS      | clear                                       | next host ?                                 | next host ?
    untrusted        | clear                                       | encrypted ?                                 | encrypted ?
    expired          | clear                                       | encrypted ?                                 | encrypted ?
    name mismatch    | clear                                       | encrypted ?                                 | encrypted ?
    verified         | clear                                       | encrypted ?                                 | encrypted ?
"""  # noqa: E501

PROFILE = Profile(
    key="powermta",
    title="PowerMTA",
    source=SOURCE,
    settings=Starttls,
    default=Starttls.NO,
    nearest={
        Setting.NO: Starttls.NO,
        Setting.PREFERRED: Starttls.USE_STARTTLS,
        Setting.REQUIRED: Starttls.REQUIRE_STARTTLS,
        Setting.PREFERRED_VERIFY: Starttls.USE_STARTTLS,
        Setting.REQUIRED_VERIFY: Starttls.REQUIRE_STARTTLS,
        Setting.REQUIRED_VERIFY_HOSTED: Starttls.REQUIRE_STARTTLS,
    },
    demands=DEMANDS,
    outcomes=OUTCOMES,
    switches={
        "handshake_failure": Switch(
            about="a failed handshake under use-starttls", outcomes={"defer": None, "clear": Outcome.RECONNECT_CLEAR}
        ),
        "smtp_421_means_mx_unavailable": Switch(
            about="smtp-421-means-mx-unavailable: a 421 goes to the next MX host; every 4xx greeting is taken for one",
            outcomes={False: None, True: Outcome.NEXT_HOST},
            option=True,
        ),
        "bounce_upon_5xx_greeting": Switch(
            about="bounce-upon-5xx-greeting", outcomes={True: None, False: Outcome.NEXT_HOST}, option=True
        ),
    },
    queueing=Queueing(
        waits_s=(600.0,),
        lifetime_s=388_800.0,
        dead_s=600.0,
        connections=20,
        messages_per_connection=0,
        notes="Connections are per queue, a domain and a virtual MTA; after a failure the whole queue waits, and new "
        "mail does not wake it. A list of intervals, retry-after-dns-error (1 min) and the backoff mode, which reply "
        "patterns turn on (1 h, 20 connections), are left out.",
        source=SOURCE,
    ),
)
