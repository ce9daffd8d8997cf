"""X.509 certificates as facts, and the state of a chain (RFC 5280, as far as mail servers' libraries check it).

Time is an argument: seconds since 1970 (UTC), as a `Certificate` states its own dates.
docs/decisions/chain-state.md says what is checked here, what is not, and how senders differ.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar

from sim.errors import PolicyError, complaint
from sim.policy.identity import Names
from sim.terms import Chain

if TYPE_CHECKING:
    from cryptography import x509

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.*?(?:-----END CERTIFICATE-----|\Z)", re.DOTALL)
_DIGEST = re.compile(r"[0-9a-f]{64}")
#: Certificates from the peer's own to the trusted one; OpenSSL allows 100, real chains have two to four.
_MAX_PATH = 16


@dataclass(frozen=True)
class Certificate:
    """What one certificate says; two are equal when their bytes are.

    Attributes
    ----------
    der : its bytes.
    names : its SAN DNS names and its CN.
    subject, issuer : distinguished names, as RFC 4514 spells them.
    not_before_s, not_after_s : its dates, seconds since 1970 (UTC), both included (RFC 5280 section 4.1.2.5).
    spki : the bytes of its SubjectPublicKeyInfo, as they stand in it.
    ca : whether it may issue others: by basic constraints and key usage, or as a self-signed one of version 1.
    path_length : issuing certificates that may stand below it; ``None`` without a limit.
    for_servers : whether its extended key usage, if it has one, names TLS servers (RFC 5280 section 4.2.1.12).
    self_signed : whether it is its own issuer, and no other key than its own can have signed it. Where that cannot be
        checked (SHA-1, MD5) the name is enough, as it is for OpenSSL.
    """

    der: bytes = field(repr=False)
    names: Names = field(compare=False)
    subject: str = field(compare=False)
    issuer: str = field(compare=False)
    not_before_s: int = field(compare=False)
    not_after_s: int = field(compare=False)
    spki: bytes = field(compare=False, repr=False)
    ca: bool = field(compare=False)
    path_length: int | None = field(compare=False)
    for_servers: bool = field(compare=False)
    self_signed: bool = field(compare=False)

    @cached_property
    def sha256(self) -> str:
        """Digest of the whole certificate, 64 hexadecimal digits."""
        return sha256(self.der).hexdigest()

    @cached_property
    def spki_sha256(self) -> str:
        """Digest of the public key, 64 hexadecimal digits: what a TLSA record ``3 1 1`` holds."""
        return sha256(self.spki).hexdigest()

    def issued(self, other: Certificate) -> bool:
        """Tell whether this is the other's issuer: by name, and by a signature that its key made.

        A signature that cannot be checked (SHA-1, MD5, a key of an unknown kind) counts as none.
        """
        return _signed(self.der, other.der) is True


def read_certificates(data: bytes | str, source: str = "certificates") -> tuple[Certificate, ...]:
    """Read certificates: PEM with one or more and any text around them, or DER with exactly one.

    Parameters
    ----------
    data : the bytes; a string is PEM.
    source : what an error calls them.

    Returns
    -------
    tuple of Certificate
        In the order they stand in: of a served chain the peer's own comes first.

    Raises
    ------
    PolicyError
        When there is none, or naming the first that does not parse, by its number.
    """
    is_text = isinstance(data, str)
    raw = data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data
    if not is_text and b"-----BEGIN" not in raw:
        return (_read_one(raw, source, pem=False),)
    blocks = _BLOCK.findall(raw)
    if not blocks:
        raise PolicyError(complaint(source, _beginning(raw), "PEM with at least one CERTIFICATE, or DER"))
    return tuple(_read_one(block, f"{source} no. {i}", pem=True) for i, block in enumerate(blocks, start=1))


def _beginning(raw: bytes) -> str:
    text = raw[:30].decode("ascii", "backslashreplace")
    return text + "..." if len(raw) > 30 else text


def _read_one(raw: bytes, source: str, *, pem: bool) -> Certificate:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    broken = (x509.DuplicateExtension, x509.UnsupportedGeneralNameType, x509.InvalidVersion, UnsupportedAlgorithm)
    try:
        with warnings.catch_warnings():  # odd serial numbers and the like are facts of the peer
            warnings.simplefilter("ignore")
            load = x509.load_pem_x509_certificate if pem else x509.load_der_x509_certificate
            return _facts(load(raw))
    except (ValueError, TypeError, OverflowError, *broken) as fault:
        reason = " ".join(str(fault).split())[:200] or type(fault).__name__
        raise PolicyError(complaint(source, _beginning(raw), f"an X.509 certificate ({reason})")) from fault


def _facts(read: x509.Certificate) -> Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    der = read.public_bytes(Encoding.DER)
    constraints, usage = _extension(read, x509.BasicConstraints), _extension(read, x509.KeyUsage)
    purposes, alternative = _extension(read, x509.ExtendedKeyUsage), _extension(read, x509.SubjectAlternativeName)
    servers = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    common = [name.value for name in read.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    self_signed = read.subject == read.issuer and _signed(der, der) is not False
    old_root = read.version is x509.Version.v1 and self_signed
    return Certificate(
        der=der,
        names=Names(
            san=tuple(alternative.get_values_for_type(x509.DNSName)) if alternative else (),
            cn=common[-1] if common and isinstance(common[-1], str) else None,
        ),
        subject=read.subject.rfc4514_string(),
        issuer=read.issuer.rfc4514_string(),
        not_before_s=int(read.not_valid_before_utc.timestamp()),
        not_after_s=int(read.not_valid_after_utc.timestamp()),
        spki=_spki(read.tbs_certificate_bytes),
        ca=(constraints.ca if constraints else old_root) and (usage is None or usage.key_cert_sign),
        path_length=constraints.path_length if constraints else None,
        for_servers=purposes is None or not servers.isdisjoint(purposes),
        self_signed=self_signed,
    )


_Extension = TypeVar("_Extension", bound="x509.ExtensionType")


def _extension(read: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    from cryptography import x509

    try:
        return read.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _spki(tbs: bytes) -> bytes:
    """Cut the SubjectPublicKeyInfo out of a TBSCertificate (RFC 5280 section 4.1), byte for byte.

    Its digest must be over the bytes as served; a key that is read and written again may come out otherwise.
    """
    at, _ = _der_value(tbs, 0)
    # [0] version (absent in version 1), serial number, signature, issuer, validity, subject, key.
    for _ in range(6 if tbs[at] == 0xA0 else 5):
        start, length = _der_value(tbs, at)
        at = start + length
    start, length = _der_value(tbs, at)
    return tbs[at : start + length]


def _der_value(data: bytes, at: int) -> tuple[int, int]:
    """Return where the value of the DER element at ``at`` starts and how long it is; the parser has checked it."""
    length = data[at + 1]
    if length < 0x80:
        return at + 2, length
    start = at + 2 + (length & 0x7F)
    return start, int.from_bytes(data[at + 2 : start], "big")


@lru_cache(maxsize=4_096)
def _loaded(der: bytes) -> x509.Certificate:
    from cryptography import x509

    return x509.load_der_x509_certificate(der)


@lru_cache(maxsize=16_384)
def _signed(issuer: bytes, subject: bytes) -> bool | None:
    """Tell whether one certificate is the other's issuer by name and signature, ``None`` when nobody can check."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    child, parent = _loaded(subject), _loaded(issuer)
    if child.issuer != parent.subject:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            child.verify_directly_issued_by(parent)
    except InvalidSignature:
        return False
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return True


def fingerprint_listed(certificate: Certificate, digests: Iterable[str]) -> bool:
    """Tell whether a list holds the digest of a certificate or of its key (Postfix level *fingerprint*, TLS_README).

    Chain, dates and names do not count.

    Parameters
    ----------
    certificate : the peer's own.
    digests : SHA-256, as 64 hexadecimal digits in either case, with or without colons.

    Raises
    ------
    PolicyError
        Naming the first digest that is none.
    """
    wanted = set()
    for digest in digests:
        key = digest.replace(":", "").lower()
        if not _DIGEST.fullmatch(key):
            raise PolicyError(complaint("fingerprint", digest, "a SHA-256 digest: 64 hexadecimal digits"))
        wanted.add(key)
    return not wanted.isdisjoint({certificate.sha256, certificate.spki_sha256})


def chain_state(
    chain: Sequence[Certificate],
    roots: Collection[Certificate],
    at_s: float,
    *,
    revoked: Collection[str] = (),
    check_purpose: bool = True,
) -> Chain:
    """State of the chain a peer served.

    A path leads from the peer's own certificate over issuers, served in any order, to a trusted one. The state is
    what the best path lacks, in the order OpenSSL asks: to be trusted at all, then to be unrevoked, then its dates.

    Parameters
    ----------
    chain : as served, the peer's own first.
    roots : the trusted certificates. One that is no root is trusted as well (RFC 7671 section 5.2 needs that).
    at_s : the time, seconds since 1970 (UTC).
    revoked : SHA-256 digests of certificates that count as revoked.
    check_purpose : whether an extended key usage must name TLS servers. Postfix asks that; Exim with GnuTLS takes a
        certificate for clients alone. One for another purpose has no trusted path: ``UNKNOWN_ISSUER``.

    Raises
    ------
    PolicyError
        When the chain is empty.

    Notes
    -----
    Sources: RFC 5280 section 6.1 for signatures, dates, basic constraints and key usage. Not checked: name
    constraints, certificate policies, key sizes, critical extensions that are not known.
    """
    if not chain:
        raise PolicyError(complaint("chain", [], "at least the peer's own certificate"))

    def reached(fits: Callable[[Certificate], bool]) -> bool:
        return _reaches_root(chain, roots, fits)

    def purpose(c: Certificate) -> bool:
        return c.for_servers or not check_purpose

    def kept(c: Certificate) -> bool:
        return purpose(c) and c.sha256 not in revoked

    def begun(c: Certificate) -> bool:
        return c.not_before_s <= at_s

    def not_over(c: Certificate) -> bool:
        return at_s < c.not_after_s + 1

    if not reached(purpose):
        return Chain.SELF_SIGNED if chain[0].self_signed else Chain.UNKNOWN_ISSUER
    if not reached(kept):
        return Chain.REVOKED
    if not reached(lambda c: kept(c) and not_over(c)):
        return Chain.EXPIRED
    if not reached(lambda c: kept(c) and not_over(c) and begun(c)):
        return Chain.NOT_YET_VALID
    return Chain.TRUSTED


def _reaches_root(
    chain: Sequence[Certificate], roots: Collection[Certificate], fits: Callable[[Certificate], bool]
) -> bool:
    """Walk from the peer's own certificate to its issuers, step by step, over such as fit, until one is trusted.

    The fewest steps come first, so a path length that is exceeded here is exceeded on every path.
    """
    trusted = frozenset(roots)
    level = {c for c in chain[:1] if fits(c)}
    seen = set(level)
    for below in range(_MAX_PATH):
        if level & trusted:
            return True
        candidates = [c for c in {*chain[1:], *trusted} if c not in seen and c.ca and fits(c)]
        roomy = [c for c in candidates if c.path_length is None or c.path_length >= below]
        level = {c for c in roomy if any(c.issued(child) for child in level)}
        seen |= level
    return False
