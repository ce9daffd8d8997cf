"""The field's words, once: every code in an array, a file or a table is a member of one of these.

Sources: RFC 5321 (replies, retries), RFC 3207 (STARTTLS), RFC 8460 section 4.3 (result types),
Cisco tech note 118955 (TLS settings of a destination).
"""

from __future__ import annotations

from enum import Flag, IntEnum, auto
from typing import Self


class Term(IntEnum):
    """An integer code with the spelling people read."""

    label: str

    def __new__(cls, code: int, label: str = "") -> Self:
        member = int.__new__(cls, code)
        member._value_ = code
        member.label = label
        return member

    @property
    def key(self) -> str:
        """The spelling used in frames, files and on the command line: ``required_verify``."""
        return self.name.lower()

    def __str__(self) -> str:
        return self.label


class Setting(Term):
    """TLS setting of a destination, in the order of the gateway's own list (tech note 118955).

    *Default* is not a seventh setting but the absence of one: an entry whose ``tls`` is ``None``
    takes the setting of the DEFAULT entry.
    """

    NO = 0, "No"
    PREFERRED = 1, "Preferred"
    REQUIRED = 2, "Required"
    PREFERRED_VERIFY = 3, "Preferred - Verify"
    REQUIRED_VERIFY = 4, "Required - Verify"
    REQUIRED_VERIFY_HOSTED = 5, "Required - Verify Hosted Domains"


class Stage(Term):
    """How far one connection to one MX host got: the raw evidence of a connection."""

    DNS_TEMPORARY = 0, "dns-temporary"
    NXDOMAIN = 1, "nxdomain"
    NULL_MX = 2, "null-mx"
    UNREACHABLE = 3, "unreachable"
    GREETING_4XX = 4, "greeting-4xx"
    GREETING_5XX = 5, "greeting-5xx"
    NOT_OFFERED = 6, "not-offered"
    REFUSED_4XX = 7, "refused-4xx"
    REFUSED_5XX = 8, "refused-5xx"
    LOST_BEFORE_220 = 9, "lost-before-220"
    HANDSHAKE_FAILED = 10, "handshake-failed"
    HANDSHAKE_TIMEOUT = 11, "handshake-timeout"
    LOST_IN_TLS = 12, "lost-in-tls"
    TLS = 13, "tls"


class Chain(Term):
    """State of the certificate chain a peer presented."""

    TRUSTED = 0, "trusted"
    SELF_SIGNED = 1, "self-signed"
    UNKNOWN_ISSUER = 2, "unknown-issuer"
    EXPIRED = 3, "expired"
    NOT_YET_VALID = 4, "not-yet-valid"
    REVOKED = 5, "revoked"


class TlsVersion(Term):
    """TLS version a peer speaks at best."""

    SSL_3 = 0, "SSLv3"
    TLS_1_0 = 1, "TLSv1.0"
    TLS_1_1 = 2, "TLSv1.1"
    TLS_1_2 = 3, "TLSv1.2"
    TLS_1_3 = 4, "TLSv1.3"


class NameRule(Term):
    """What has to hold of a certificate before a connection counts as verified."""

    NONE = 0, "none"
    VERIFY = 1, "verify"
    HOSTED = 2, "hosted"
    HOSTNAME = 3, "hostname"
    HOSTNAME_THREE_LABELS = 4, "hostname, wide wildcards do not count"
    NEXTHOP = 5, "nexthop"
    NEXTHOP_OR_BELOW = 6, "nexthop, dot-nexthop"
    CHAIN_ONLY = 7, "chain only"
    MTA_STS = 8, "mta-sts"
    FINGERPRINT = 9, "fingerprint"
    TLSA = 10, "tlsa"


class Demand(Term):
    """What a setting asks of one connection."""

    CLEAR = 0, "clear"
    OPPORTUNISTIC = 1, "opportunistic"
    ENCRYPT = 2, "encrypt"
    OPPORTUNISTIC_VERIFY = 3, "opportunistic-verify"
    VERIFY = 4, "verify"
    DANE = 5, "dane"
    MTA_STS = 6, "mta-sts"
    HOLD_BOGUS = 7, "hold: bogus"
    HOLD_NO_DANE = 8, "hold: no dane"
    HOLD_UNLISTED = 9, "hold: unlisted"
    OPPORTUNISTIC_NO_FALLBACK = 10, "opportunistic-no-fallback"
    ENCRYPT_OR_BOUNCE = 11, "encrypt-or-bounce"
    VERIFY_OR_BOUNCE = 12, "verify-or-bounce"
    BOUNCE_NO_DANE = 13, "bounce: no dane"


class Seen(Term):
    """A class of evidence the outcome may depend on: the columns of the outcome table."""

    DNS_TEMPORARY = 0, "DNS temporary"
    DNS_PERMANENT = 1, "DNS permanent"
    UNREACHABLE = 2, "unreachable"
    GREETING_4XX = 3, "greeting 4xx"
    GREETING_5XX = 4, "greeting 5xx"
    NOT_OFFERED = 5, "not offered"
    REFUSED_4XX = 6, "refused 4xx"
    REFUSED_5XX = 7, "refused 5xx"
    LOST_BEFORE_220 = 8, "lost before 220"
    HANDSHAKE_FAILED = 9, "handshake failed"
    HANDSHAKE_TIMEOUT = 10, "handshake hangs"
    LOST_IN_TLS = 11, "lost in TLS"
    UNTRUSTED = 12, "untrusted"
    EXPIRED = 13, "expired"
    MISMATCH = 14, "name mismatch"
    VERIFIED = 15, "verified"


class Outcome(Term):
    """What one connection comes to: mail flows on it, or the next step when it does not."""

    DELIVER_CLEAR = 0, "clear"
    DELIVER_ENCRYPTED = 1, "encrypted"
    DELIVER_VERIFIED = 2, "verified"
    RECONNECT_CLEAR = 3, "reconnect in clear"
    NEXT_HOST = 4, "next host"
    RETRY = 5, "retry later"
    BOUNCE_MESSAGE = 6, "bounce message"
    BOUNCE_ALL = 7, "bounce all"
    BOUNCE_NOW = 8, "bounce now"


class Reason(Term):
    """Why a connection or a verdict failed; RFC 8460 spells those it has a result type for."""

    NONE = 0, "none"
    DNS_TEMPORARY = 1, "dns-temporary"
    DNS_PERMANENT = 2, "dns-permanent"
    UNREACHABLE = 3, "unreachable"
    GREETING = 4, "unexpected-greeting"
    SESSION_LOST = 5, "session-lost"
    STARTTLS_NOT_SUPPORTED = 6, "starttls-not-supported"
    VALIDATION_FAILURE = 7, "validation-failure"
    CERTIFICATE_NOT_TRUSTED = 8, "certificate-not-trusted"
    CERTIFICATE_EXPIRED = 9, "certificate-expired"
    CERTIFICATE_HOST_MISMATCH = 10, "certificate-host-mismatch"
    REPLY_4YZ = 11, "4yz-reply"
    REPLY_5YZ = 12, "5yz-reply"
    TLSA_INVALID = 13, "tlsa-invalid"
    DNSSEC_INVALID = 14, "dnssec-invalid"
    DANE_REQUIRED = 15, "dane-required"
    STS_POLICY_FETCH_ERROR = 16, "sts-policy-fetch-error"
    STS_POLICY_INVALID = 17, "sts-policy-invalid"
    STS_WEBPKI_INVALID = 18, "sts-webpki-invalid"


class Fate(Term):
    """What became of a message: exclusive, and the whole of the mail."""

    IN_CLEAR = 0, "in clear"
    ENCRYPTED = 1, "encrypted, not verified"
    VERIFIED = 2, "encrypted and verified"
    BOUNCED = 3, "bounced"
    QUEUED = 4, "still queued"


class Bounce(Term):
    """Which rule ended a message that hard-bounced."""

    NONE = 0, "none"
    EXPIRED_TIME = 1, "expired: time in queue"
    EXPIRED_RETRIES = 2, "expired: retries"
    REPLY_5YZ = 3, "5yz reply"
    DNS = 4, "DNS hard error"
    STARTTLS_5XX = 5, "5xx to STARTTLS"
    TLS_REQUIRED = 6, "TLS demanded and not met"


class LimitType(Term):
    """What a limit of a destination counts over (esa.md: "apply limits to")."""

    HOST = 0, "host"
    MXIP = 1, "MXIP"


class LimitApply(Term):
    """Where a limit of a destination is enforced."""

    SYSTEM = 0, "system"
    VG = 1, "VG"


class IpSortPreference(Term):
    """Order of addresses within one MX preference."""

    PREFER_V6 = 0, "PREFER_V6"
    REQUIRE_V6 = 1, "REQUIRE_V6"
    PREFER_V4 = 2, "PREFER_V4"
    REQUIRE_V4 = 3, "REQUIRE_V4"


class Dns(Term):
    """What the look-up of a domain's MX records answers, apart from temporary failures."""

    OK = 0, "ok"
    NXDOMAIN = 1, "nxdomain"
    NULL_MX = 2, "null-mx"


class DaneOption(Term):
    """How a sender is told to use DANE for a destination, where that is an option beside its TLS setting."""

    NONE = 0, "none"
    OPPORTUNISTIC = 1, "opportunistic"
    MANDATORY = 2, "mandatory"


class Dnssec(Term):
    """What validation says of one DNS answer (RFC 4035 section 4.3); no answer that can be judged is bogus too."""

    SECURE = 0, "secure"
    INSECURE = 1, "insecure"
    BOGUS = 2, "bogus"


class Dane(Term):
    """State of an MX host's TLSA records, held against what the host showed (RFC 7672 section 2)."""

    NONE = 0, "none"
    INSECURE = 1, "insecure"
    USABLE_MATCH = 2, "usable-match"
    USABLE_MISMATCH = 3, "usable-mismatch"
    USABLE_UNSEEN = 4, "usable-unseen"
    UNUSABLE = 5, "unusable"
    BOGUS = 6, "bogus"


class MtaSts(Term):
    """Mode of the MTA-STS policy in force for a domain (RFC 8461 section 5); no policy is none."""

    NONE = 0, "none"
    TESTING = 1, "testing"
    ENFORCE = 2, "enforce"


class Identity(Term):
    """A sender's rule for the names of a certificate, on real names (`sim.policy.identity`)."""

    ESA_VERIFY = 0, "ESA Verify"
    ESA_HOSTED = 1, "ESA Hosted Verify"
    POSTFIX_HOSTNAME = 2, "Postfix hostname"
    POSTFIX_NEXTHOP = 3, "Postfix nexthop"
    POSTFIX_DOT_NEXTHOP = 4, "Postfix dot-nexthop"
    EXIM = 5, "Exim"
    OPENSMTPD = 6, "OpenSMTPD"
    EXCHANGE_DOMAIN = 7, "Exchange DomainValidation"
    DANE_TA = 8, "DANE-TA"
    MTA_STS = 9, "MTA-STS"


class Vary(Flag):
    """What the replications of a study draw anew: any of the three, and whatever is not named stands still."""

    CHANCE = auto()
    POPULATION = auto()
    EVIDENCE = auto()

    @property
    def label(self) -> str:
        """The spelling people read: ``chance, population and evidence``."""
        names = [str(part.name).lower() for part in self]
        return " and ".join([*([", ".join(names[:-1])] if len(names) > 1 else []), *names[-1:]])

    @classmethod
    def spellings(cls) -> dict[str, Vary]:
        """Return every set of them by its label."""
        return {cls(code).label: cls(code) for code in (1, 2, 3, 4, 5, 6, 7)}

    def __str__(self) -> str:
        return self.label
