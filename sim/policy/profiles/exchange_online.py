"""Microsoft Exchange Online: ``TlsSettings`` of an outbound connector, in the order of Set-OutboundConnector.

DANE and MTA-STS are on for every tenant where no connector says otherwise. Its DANE option is the connector's:
None, Opportunistic (as shipped), Mandatory.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sim.policy.profile import Profile, Queueing, Switch
from sim.terms import DaneOption, Outcome, Reason, Setting, Term

SOURCE = (
    "Exchange Online documentation: Set-OutboundConnector, SMTP DANE and MTA-STS, mail flow intelligence; "
    "Exchange team blog, February 2022"
)

#: Enhanced status codes it gives (a 4 for the first figure while the message is kept), by the reason they stand for.
CODES: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.STARTTLS_NOT_SUPPORTED: "5.7.321",
        Reason.CERTIFICATE_EXPIRED: "5.7.322",
        Reason.TLSA_INVALID: "5.7.323",
        Reason.DNSSEC_INVALID: "5.7.324",
        Reason.CERTIFICATE_HOST_MISMATCH: "5.7.325",
        Reason.DNS_TEMPORARY: "5.4.312",
    }
)


class Connector(Term):
    """``TlsSettings``; *null*, also without a connector: opportunistic."""

    NULL = 0, "null"
    ENCRYPTION_ONLY = 1, "EncryptionOnly"
    CERTIFICATE_VALIDATION = 2, "CertificateValidation"
    DOMAIN_VALIDATION = 3, "DomainValidation"


#: Usable TLSA records go before a policy of RFC 8461 and before the connector; records of which none is usable (also
#: usages 0 and 1) demand TLS that nobody vouches for, and bounce without. What a connector with TlsSettings makes of a
#: policy is in no source: here it says otherwise, so the policy does not count. No name is checked below
#: DomainValidation, which asks for ``TlsDomain``; here the recipient's domain takes its place.
DEMANDS = """
    connector                  | DANE option              | DANE                     | MTA-STS | MX listed | demand | name rule
    any                        | opportunistic, mandatory | usable                   | any     | any | dane              | tlsa
    any                        | opportunistic, mandatory | bogus                    | any     | any | hold: bogus       | none
    dane_absent=defer: any     | mandatory                | none, insecure, unusable | any     | any | hold: no dane     | none
    dane_absent=bounce: any    | mandatory                | none, insecure, unusable | any     | any | bounce: no dane   | none
    null                       | any                      | any                      | enforce | yes | mta-sts           | mta-sts
    null                       | any                      | any                      | enforce | no  | hold: unlisted    | none
    null, EncryptionOnly       | opportunistic            | unusable                 | any     | any | encrypt-or-bounce | none
    null                       | any                      | any                      | any     | any | opportunistic     | none
    EncryptionOnly             | any                      | any                      | any     | any | encrypt           | none
    CertificateValidation      | any                      | any                      | any     | any | verify            | chain only
    DomainValidation           | any                      | any                      | any     | any | verify            | nexthop
"""  # noqa: E501

#: The vendor's text for unusable TLSA records names no TLS as what bounces; a handshake that fails is read as that. It
#: also says that mail stops only when no MX host works: the others are tried before anything bounces.
OUTCOMES = """
    seen             | opportunistic               | encrypt     | verify      | encrypt-or-bounce                       | dane        | mta-sts
    DNS temporary    | retry later                 | retry later | retry later | retry later                             | retry later | retry later
    DNS permanent    | bounce all                  | bounce all  | bounce all  | bounce all                              | bounce all  | bounce all
    unreachable      | next host                   | next host   | next host   | next host                               | next host   | next host
    greeting 4xx     | next host                   | next host   | next host   | next host                               | next host   | next host
    greeting 5xx     | next host ?                 | next host ? | next host ? | next host ?                             | next host ? | next host ?
    not offered      | clear                       | next host   | next host   | bounce message                          | next host   | next host
    refused 4xx      | clear                       | next host   | next host   | bounce message                          | next host   | next host
    refused 5xx      | clear                       | next host   | next host   | bounce message                          | next host   | next host
    lost before 220  | next host ?                 | next host   | next host   | next host ?                             | next host   | next host
    handshake failed | next host ?handshake_failed | next host   | next host   | bounce message ?dane_unusable_handshake | next host   | next host
    handshake hangs  | next host ?handshake_failed | next host   | next host   | bounce message ?dane_unusable_handshake | next host   | next host
    lost in TLS      | next host ?                 | next host   | next host   | next host ?                             | next host   | next host
    untrusted        | encrypted                   | encrypted   | next host   | encrypted                               | next host   | next host
    expired          | encrypted                   | encrypted   | next host   | encrypted                               | next host   | next host
    name mismatch    | encrypted                   | encrypted   | next host   | encrypted                               | next host   | next host
    verified         | encrypted                   | encrypted   | verified    | encrypted                               | verified    | verified
"""  # noqa: E501

PROFILE = Profile(
    key="exchange_online",
    title="Microsoft Exchange Online",
    source=SOURCE,
    settings=Connector,
    default=Connector.NULL,
    nearest={
        # It has no setting that never tries TLS.
        Setting.NO: Connector.NULL,
        Setting.PREFERRED: Connector.NULL,
        Setting.REQUIRED: Connector.ENCRYPTION_ONLY,
        Setting.PREFERRED_VERIFY: Connector.NULL,
        Setting.REQUIRED_VERIFY: Connector.DOMAIN_VALIDATION,
        Setting.REQUIRED_VERIFY_HOSTED: Connector.CERTIFICATE_VALIDATION,
    },
    demands=DEMANDS,
    outcomes=OUTCOMES,
    switches={
        "handshake_failed": Switch(
            about="without TlsSettings, when the handshake fails or hangs",
            outcomes={"defer": None, "clear": Outcome.RECONNECT_CLEAR},
        ),
        "dane_unusable_handshake": Switch(
            about="TLSA records of which none is usable, when the handshake fails or hangs",
            outcomes={"bounce": None, "defer": Outcome.NEXT_HOST},
        ),
        "dane_absent": Switch(
            about="Mandatory DANE and no usable TLSA records",
            outcomes={"defer": None, "bounce": None},
        ),
    },
    dane_option=DaneOption.OPPORTUNISTIC,
    queueing=Queueing(
        waits_s=(900.0, 900.0, 3_600.0),
        lifetime_s=86_400.0,
        notes="The waits and the 24 hours are those told for DANE failures; the 24 hours also for mail that waits for "
        "a connector. Here all mail has them. Numbers of connections and of messages in one are in no source: assumed.",
        source=SOURCE,
    ),
)
