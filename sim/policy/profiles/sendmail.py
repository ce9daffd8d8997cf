"""Sendmail: entries of its access map, from none to ``PERM+VERIFY``.

TLS is used where it is offered unless an entry says otherwise. A handshake that fails defers the message, and so does
every retry that meets the same failure; ``Try_TLS`` is the way out host by host.
"""

from __future__ import annotations

from sim.policy.profile import Profile, Queueing, Switch
from sim.terms import Outcome, Setting, Term

SOURCE = (
    "O'Reilly's sendmail book (STARTTLS chapter), guides of two OS vendors, administrators' reports on handshake "
    "failures; proto.m4 of its source for what PERM makes of them"
)


class Entry(Term):
    """Entry of the access map, without the key it is filed under."""

    TRY_TLS_NO = 0, "Try_TLS NO"
    NONE = 1, "none"
    ENCR = 2, "ENCR"
    PERM_ENCR = 3, "PERM+ENCR"
    VERIFY = 4, "VERIFY"
    PERM_VERIFY = 5, "PERM+VERIFY"


#: ``VERIFY`` looks at the chain and at no name, unless ``+CN`` follows it; the name is then the host's own, here as
#: any sender would compare it (Sendmail reads the common name, also beside SAN names). ``TEMP+`` is what stands there
#: without ``PERM+``.
DEMANDS = """
    entry                | DANE option | DANE | MTA-STS | MX listed | demand               | name rule
    Try_TLS NO           | any         | any  | any     | any       | clear                | none
    none                 | any         | any  | any     | any       | opportunistic-verify | chain only
    ENCR                 | any         | any  | any     | any       | encrypt              | none
    PERM+ENCR            | any         | any  | any     | any       | encrypt-or-bounce    | none
    cn=true: VERIFY      | any         | any  | any     | any       | verify               | hostname
    cn=true: PERM+VERIFY | any         | any  | any     | any       | verify-or-bounce     | hostname
    VERIFY               | any         | any  | any     | any       | verify               | chain only
    PERM+VERIFY          | any         | any  | any     | any       | verify-or-bounce     | chain only
"""

#: A failed handshake is ``${verify}`` = SOFTWARE: ``Tls_connection`` gives it the code of the entry, 503 with PERM and
#: 403 else, and 403 without an entry, so that no message goes in clear. A handshake that hangs counts as failed.
OUTCOMES = """
    seen             | clear       | opportunistic-verify              | encrypt         | encrypt-or-bounce        | verify      | verify-or-bounce
    DNS temporary    | retry later | retry later                       | retry later     | retry later              | retry later | retry later
    DNS permanent    | bounce all  | bounce all                        | bounce all      | bounce all               | bounce all  | bounce all
    unreachable      | next host   | next host                         | next host       | next host                | next host   | next host
    greeting 4xx     | next host   | next host                         | next host       | next host                | next host   | next host
    greeting 5xx     | next host ? | next host ?                       | next host ?     | next host ?              | next host ? | next host ?
    not offered      | clear       | clear                             | next host       | bounce now ?perm_next_mx | next host   | bounce now ?perm_next_mx
    refused 4xx      | clear       | clear ?refused                    | next host       | bounce now ?perm_next_mx | next host   | bounce now ?perm_next_mx
    refused 5xx      | clear       | clear ?refused                    | next host       | bounce now ?perm_next_mx | next host   | bounce now ?perm_next_mx
    lost before 220  | clear       | next host                         | next host       | next host                | next host   | next host
    handshake failed | clear       | next host ?tls_fallback_to_clear  | next host       | bounce now ?perm_next_mx | next host   | bounce now ?perm_next_mx
    handshake hangs  | clear       | next host ?tls_fallback_to_clear  | next host       | bounce now ?perm_next_mx | next host   | bounce now ?perm_next_mx
    lost in TLS      | clear       | next host                         | next host       | next host                | next host   | next host
    untrusted        | clear       | encrypted                         | encrypted ?bits | encrypted ?perm_bits     | next host   | bounce now ?perm_next_mx
    expired          | clear       | encrypted                         | encrypted ?bits | encrypted ?perm_bits     | next host   | bounce now ?perm_next_mx
    name mismatch    | clear       | encrypted                         | encrypted ?bits | encrypted ?perm_bits     | next host   | bounce now ?perm_next_mx
    verified         | clear       | verified                          | encrypted ?bits | encrypted ?perm_bits     | verified    | verified
"""  # noqa: E501

PROFILE = Profile(
    key="sendmail",
    title="Sendmail",
    source=SOURCE,
    settings=Entry,
    default=Entry.NONE,
    nearest={
        Setting.NO: Entry.TRY_TLS_NO,
        Setting.PREFERRED: Entry.NONE,
        Setting.REQUIRED: Entry.ENCR,
        Setting.PREFERRED_VERIFY: Entry.NONE,
        Setting.REQUIRED_VERIFY: Entry.VERIFY,
        Setting.REQUIRED_VERIFY_HOSTED: Entry.VERIFY,
    },
    demands=DEMANDS,
    outcomes=OUTCOMES,
    switches={
        "tls_fallback_to_clear": Switch(
            about="TLSFallbacktoClear of newer versions: a failed handshake goes in clear at once; off in the release "
            "notes of one OS vendor",
            outcomes={False: None, True: Outcome.RECONNECT_CLEAR},
            option=True,
        ),
        "refused": Switch(
            about="STARTTLS offered and then refused, without an entry; newer versions defer what they call a protocol "
            "error, and no source says whether a refusal is one",
            outcomes={"clear": None, "defer": Outcome.NEXT_HOST},
        ),
        "perm_next_mx": Switch(
            about="whether the other MX hosts are tried before PERM bounces",
            outcomes={False: None, True: Outcome.BOUNCE_MESSAGE},
        ),
        "cn": Switch(about="VERIFY with +CN: the name counts too", outcomes={False: None, True: None}, option=True),
        "bits": Switch(
            about="whether ciphers have the bits that ENCR asks for, which no evidence shows",
            outcomes={"enough": None, "too few": Outcome.NEXT_HOST},
            option=True,
        ),
        "perm_bits": Switch(
            about="whether ciphers have the bits that PERM+ENCR asks for",
            outcomes={"enough": None, "too few": Outcome.BOUNCE_NOW},
            option=True,
        ),
    },
    queueing=Queueing(
        waits_s=(1.0,),
        scan_s=1_800.0,
        lifetime_s=432_000.0,
        dead_s=1_800.0,
        connections=20,
        messages_per_connection=1,
        warning_s=14_400.0,
        notes="Every run over the queue tries all of it, whatever its age: here each 30 min, between -q15m and -q1h. "
        "Remembered: 5 days, the warning after 4 hours, and a host's failed state kept for 30 min, which is shared "
        "between processes only with HostStatusDirectory. No limit is per destination: 20 connections are assumed. "
        "Runs over the queue reuse a connection.",
        source=SOURCE,
    ),
)
