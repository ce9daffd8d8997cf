"""A private certification authority for tests: every certificate is made anew, none is committed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from sim.policy.certificates import Certificate, read_certificates

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

DAY_S = 86_400
#: The time the tests take for now: 24 November 2026.
NOW_S = int(datetime(2026, 11, 24, tzinfo=UTC).timestamp())
SERVERS, CLIENTS = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


@cache
def key(name: str) -> Key:
    """One key a name; a name that starts with rsa gives RSA with 1,024 bits."""
    if name.startswith("rsa"):
        return rsa.generate_private_key(public_exponent=65_537, key_size=1_024)
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Issued:
    """A certificate with its key, so that it can issue others."""

    read: x509.Certificate
    key: Key

    @property
    def facts(self) -> Certificate:
        [certificate] = read_certificates(self.read.public_bytes(Encoding.DER))
        return certificate

    @property
    def pem(self) -> bytes:
        return self.read.public_bytes(Encoding.PEM)


def issue(
    cn: str | None = "mx.example.com",
    *san: str,
    by: Issued | None = None,
    days: tuple[float, float] = (-30, 60),
    ca: bool = False,
    path_length: int | None = None,
    purposes: tuple[ObjectIdentifier, ...] = (),
    signs: bool = True,
    key_name: str = "",
    other_names: tuple[x509.GeneralName, ...] = (),
    constraints: bool = True,
) -> Issued:
    """Make a certificate valid from and to ``days`` from now; self-signed unless ``by`` another."""
    own = key(key_name or f"{cn} {ca}")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)] if cn else [])
    begin, end = (datetime.fromtimestamp(NOW_S + d * DAY_S, UTC) for d in days)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(by.read.subject if by else subject)
    builder = builder.public_key(own.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(begin).not_valid_after(end)
    if constraints:
        builder = builder.add_extension(x509.BasicConstraints(ca, path_length), critical=True)
    if san or other_names:
        names = [*map(x509.DNSName, san), *other_names]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not cn)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if ca:
        usage = x509.KeyUsage(True, False, False, False, False, signs, True, False, False)
        builder = builder.add_extension(usage, critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
    issuer_key = by.key if by else own
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = builder.add_extension(identifier, critical=False)
    return Issued(builder.sign(issuer_key, hashes.SHA256()), own)


def _element(tag: int, value: bytes) -> bytes:
    size = len(value)
    long = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, size] if size < 0x80 else [tag, 0x80 + len(long), *long]) + value


def _start(der: bytes) -> int:
    """Where the value of its first element begins."""
    return 2 if der[1] < 0x80 else 2 + (der[1] & 0x7F)


def _elements(der: bytes) -> list[bytes]:
    """Cut DER into the elements that stand side by side in it."""
    found = []
    while der:
        start = _start(der)
        size = der[1] if start == 2 else int.from_bytes(der[2:start], "big")
        found.append(der[: start + size])
        der = der[start + size :]
    return found


def version_1(made: Issued, by: Issued | None = None) -> Issued:
    """The same certificate in version 1, which has no extensions (RFC 5280 section 4.1.2.1), with an EC key."""
    tbs = made.read.tbs_certificate_bytes
    kept = [field for field in _elements(tbs[_start(tbs) :]) if field[0] not in (0xA0, 0xA3)]
    body, signer = _element(0x30, b"".join(kept)), (by or made).key
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    signature = _element(0x03, b"\0" + signer.sign(body, ec.ECDSA(hashes.SHA256())))
    return Issued(x509.load_der_x509_certificate(_element(0x30, body + kept[1] + signature)), made.key)


@cache
def root() -> Issued:
    return issue("Test Root", ca=True, days=(-3_000, 3_000))


@cache
def intermediate() -> Issued:
    return issue("Test Intermediate", by=root(), ca=True, path_length=0, days=(-1_000, 1_000))
