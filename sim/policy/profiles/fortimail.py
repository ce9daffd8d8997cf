"""FortiMail: the level of a TLS profile, in the order of its command reference, with its action on failure.

``dane-support`` is the DANE option, under the same three names.
"""

from __future__ import annotations

from sim.policy.profile import Profile, Queueing, Switch
from sim.terms import Outcome, Setting, Term

SOURCE = "FortiMail help pages and CLI references 6.4 to 8.0; an older CLI reference for the queue"


class Level(Term):
    """TLS level, its action on failure ``tempfail`` unless ``fail`` follows; ``encrypt`` in older releases only."""

    NONE = 0, "none"
    PREFERRED = 1, "preferred"
    ENCRYPT = 2, "encrypt"
    ENCRYPT_FAIL = 3, "encrypt fail"
    SECURE = 4, "secure"
    SECURE_FAIL = 5, "secure fail"


#: ``check-cert-subject`` compares with a text of the administrator's: the MX host's name is taken. ``check-ca-name``
#: and ``check-encryption-strength`` ask for what no evidence shows. What DANE or a policy of RFC 8461 stops is
#: deferred, whatever the action: no source says more.
DEMANDS = """
    level                            | DANE option              | DANE           | MTA-STS | MX listed | demand | name rule
    none                             | any                      | any            | any     | any | clear            | none
    any                              | opportunistic, mandatory | usable         | any     | any | dane             | tlsa
    any                              | opportunistic, mandatory | bogus          | any     | any | hold: bogus      | none
    any                              | mandatory                | none, insecure | any     | any | hold: no dane    | none
    mtasts_status=enable: any        | any                      | any            | enforce | yes | mta-sts          | mta-sts
    mtasts_status=enable: any        | any                      | any            | enforce | no  | hold: unlisted   | none
    preferred                        | opportunistic, mandatory | unusable       | any     | any | encrypt          | none
    preferred                        | any                      | any            | any     | any | opportunistic    | none
    encrypt                          | any                      | any            | any     | any | encrypt          | none
    encrypt fail                     | any                      | any            | any     | any | encrypt-or-bounce | none
    check_cert_subject=true: secure  | any                      | any            | any     | any | verify           | hostname
    check_cert_subject=true: secure fail | any                  | any            | any     | any | verify-or-bounce | hostname
    secure                           | any                      | any            | any     | any | verify           | chain only
    secure fail                      | any                      | any            | any     | any | verify-or-bounce | chain only
"""  # noqa: E501

#: A lost session is no failure of the profile: the next MX host is tried.
OUTCOMES = """
    seen             | clear       | opportunistic                         | encrypt     | encrypt-or-bounce        | verify      | verify-or-bounce         | dane        | mta-sts
    DNS temporary    | retry later | retry later                           | retry later | retry later              | retry later | retry later              | retry later | retry later
    DNS permanent    | bounce all  | bounce all                            | bounce all  | bounce all               | bounce all  | bounce all               | bounce all  | bounce all
    unreachable      | next host   | next host                             | next host   | next host                | next host   | next host                | next host   | next host
    greeting 4xx     | next host   | next host                             | next host   | next host                | next host   | next host                | next host   | next host
    greeting 5xx     | next host ? | next host ?                           | next host ? | next host ?              | next host ? | next host ?              | next host ? | next host ?
    not offered      | clear       | clear                                 | next host   | bounce now ?fail_next_mx | next host   | bounce now ?fail_next_mx | next host   | next host
    refused 4xx      | clear       | clear                                 | next host   | bounce now ?fail_next_mx | next host   | bounce now ?fail_next_mx | next host   | next host
    refused 5xx      | clear       | clear                                 | next host   | bounce now ?fail_next_mx | next host   | bounce now ?fail_next_mx | next host   | next host
    lost before 220  | clear       | next host                             | next host   | next host                | next host   | next host                | next host   | next host
    handshake failed | clear       | reconnect in clear ?handshake_failure | next host   | bounce now ?fail_next_mx | next host   | bounce now ?fail_next_mx | next host   | next host
    handshake hangs  | clear       | reconnect in clear ?handshake_failure | next host   | bounce now ?fail_next_mx | next host   | bounce now ?fail_next_mx | next host   | next host
    lost in TLS      | clear       | next host                             | next host   | next host                | next host   | next host                | next host   | next host
    untrusted        | clear       | encrypted                             | encrypted   | encrypted                | next host   | bounce now ?fail_next_mx | next host   | next host
    expired          | clear       | encrypted                             | encrypted   | encrypted                | next host   | bounce now ?fail_next_mx | next host   | next host
    name mismatch    | clear       | encrypted                             | encrypted   | encrypted                | next host   | bounce now ?fail_next_mx | next host   | next host
    verified         | clear       | encrypted                             | encrypted   | encrypted                | verified    | verified                 | verified    | verified
"""  # noqa: E501

PROFILE = Profile(
    key="fortimail",
    title="FortiMail",
    source=SOURCE,
    settings=Level,
    default=Level.PREFERRED,
    nearest={
        Setting.NO: Level.NONE,
        Setting.PREFERRED: Level.PREFERRED,
        Setting.REQUIRED: Level.ENCRYPT,
        Setting.PREFERRED_VERIFY: Level.PREFERRED,
        Setting.REQUIRED_VERIFY: Level.SECURE,
        Setting.REQUIRED_VERIFY_HOSTED: Level.SECURE,
    },
    demands=DEMANDS,
    outcomes=OUTCOMES,
    switches={
        "handshake_failure": Switch(
            about="a failed handshake under preferred", outcomes={"clear": None, "defer": Outcome.NEXT_HOST}
        ),
        "fail_next_mx": Switch(
            about="whether the other MX hosts are tried before the action fail bounces",
            outcomes={False: None, True: Outcome.BOUNCE_MESSAGE},
        ),
        "check_cert_subject": Switch(
            about="check-cert-subject under secure: the name counts too",
            outcomes={False: None, True: None},
            option=True,
        ),
        "mtasts_status": Switch(
            about="mtasts-status: whether policies of RFC 8461 are honoured; monitor only reports: none",
            outcomes={"none": None, "enable": None},
            option=True,
        ),
    },
    queueing=Queueing(
        waits_s=(1_620.0,),
        lifetime_s=432_000.0,
        connections=20,
        messages_per_connection=1,
        warning_s=14_400.0,
        notes="No source states connections per destination: 20 are assumed. Nor which level is in force without a "
        "TLS profile: preferred is taken.",
        source=SOURCE,
    ),
)
