"""Microsoft Exchange Server: the TLS of a send connector, in the order of the reference of Set-SendConnector.

``DomainSecureEnabled`` (mutual TLS) and ``ErrorPolicies`` (temporary for permanent replies and the reverse) are not
here. It knows neither DANE nor MTA-STS.
"""

from __future__ import annotations

from sim.policy.profile import Profile, Queueing, Switch
from sim.terms import Outcome, Setting, Term

SOURCE = "Exchange Server documentation: Set-SendConnector; message retry, resubmit, and expiration; transport limits"


class Connector(Term):
    """TLS of a send connector: ``IgnoreSTARTTLS``, ``RequireTLS`` false, or true with this ``TlsAuthLevel``."""

    IGNORE_STARTTLS = 0, "IgnoreSTARTTLS"
    NOT_REQUIRED = 1, "RequireTLS false"
    ENCRYPTION_ONLY = 2, "EncryptionOnly"
    CERTIFICATE_VALIDATION = 3, "CertificateValidation"
    DOMAIN_VALIDATION = 4, "DomainValidation"


#: CertificateValidation asks for a good chain, revocation included, of whatever name. DomainValidation asks for
#: ``TlsDomain``; here that is empty, and the recipient's domain takes its place.
DEMANDS = """
    connector             | DANE option | DANE | MTA-STS | MX listed | demand        | name rule
    IgnoreSTARTTLS        | any         | any  | any     | any       | clear         | none
    RequireTLS false      | any         | any  | any     | any       | opportunistic | none
    EncryptionOnly        | any         | any  | any     | any       | encrypt       | none
    CertificateValidation | any         | any  | any     | any       | verify        | chain only
    DomainValidation      | any         | any  | any     | any       | verify        | nexthop
"""

#: No source says what a failed handshake does where TLS is not required, nor how lost sessions and a 5xx greeting end.
OUTCOMES = """
    seen             | clear       | opportunistic               | encrypt     | verify
    DNS temporary    | retry later | retry later                 | retry later | retry later
    DNS permanent    | bounce all  | bounce all                  | bounce all  | bounce all
    unreachable      | next host   | next host                   | next host   | next host
    greeting 4xx     | next host   | next host                   | next host   | next host
    greeting 5xx     | next host ? | next host ?                 | next host ? | next host ?
    not offered      | clear       | clear                       | next host   | next host
    refused 4xx      | clear       | clear                       | next host   | next host
    refused 5xx      | clear       | clear                       | next host   | next host
    lost before 220  | clear       | next host ?                 | next host   | next host
    handshake failed | clear       | next host ?handshake_failed | next host   | next host
    handshake hangs  | clear       | next host ?handshake_failed | next host   | next host
    lost in TLS      | clear       | next host ?                 | next host   | next host
    untrusted        | clear       | encrypted                   | encrypted   | next host
    expired          | clear       | encrypted                   | encrypted   | next host
    name mismatch    | clear       | encrypted                   | encrypted   | next host
    verified         | clear       | encrypted                   | encrypted   | verified
"""

PROFILE = Profile(
    key="exchange_server",
    title="Microsoft Exchange Server",
    source=SOURCE,
    settings=Connector,
    default=Connector.NOT_REQUIRED,
    nearest={
        Setting.NO: Connector.IGNORE_STARTTLS,
        Setting.PREFERRED: Connector.NOT_REQUIRED,
        Setting.REQUIRED: Connector.ENCRYPTION_ONLY,
        Setting.PREFERRED_VERIFY: Connector.NOT_REQUIRED,
        Setting.REQUIRED_VERIFY: Connector.DOMAIN_VALIDATION,
        # A hosted domain's certificate names the provider, which DomainValidation refuses.
        Setting.REQUIRED_VERIFY_HOSTED: Connector.CERTIFICATE_VALIDATION,
    },
    demands=DEMANDS,
    outcomes=OUTCOMES,
    switches={
        "handshake_failed": Switch(
            about="RequireTLS false when the handshake fails or hangs",
            outcomes={"defer": None, "clear": Outcome.RECONNECT_CLEAR},
        )
    },
    queueing=Queueing(
        waits_s=(*[60.0] * 4, *[300.0] * 6, 600.0),
        lifetime_s=172_800.0,
        dead_s=60.0,
        connections=20,
        messages_per_connection=20,
        warning_s=14_400.0,
        notes="The waits are those of a mailbox server after a connection fails (glitch, transient failure, then every "
        "10 minutes; an Edge server 10 and 30 minutes for the last two), and belong to the queue of a destination; "
        "here to each message, and the queue stands still for 1 minute. A message with a 4xx of its own is tried each "
        "15 minutes instead. 20 connections to a domain (1,000 in all) and 20 messages each are remembered.",
        source=SOURCE,
    ),
)
