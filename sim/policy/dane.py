"""DANE for SMTP: TLSA records, whether they are usable, and what they say of a chain (RFC 6698, 7671, 7672).

A record names a certificate or a key. Usage 3 (DANE-EE) is the peer's own: neither its names, nor its dates, nor its
chain count (RFC 7672 section 3.1.1). Usage 2 (DANE-TA) is an issuer that the peer serves: chain, dates and names
count (section 3.1.2). Usages 0 and 1 cannot be used for SMTP (section 3.1.3).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from sim.errors import PolicyError, complaint
from sim.policy.certificates import Certificate, chain_state, read_certificates
from sim.policy.identity import Peer, identity_holds
from sim.terms import Chain, Dane, Dnssec, Identity, Reason

DANE_TA, DANE_EE = 2, 3
FULL_CERTIFICATE, PUBLIC_KEY = 0, 1

#: Matching type -> name and length of its digest in bytes (RFC 6698 section 2.1.3), the strongest last.
_DIGESTS = {1: ("sha256", 32), 2: ("sha512", 64)}
_FORM = "usage selector matching-type hex, such as 3 1 1 and 64 hexadecimal digits"
_NUMBER = re.compile(r"[0-9]{1,3}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")


@dataclass(frozen=True)
class Tlsa:
    """One TLSA record, as it was published: any values, usable or not.

    Attributes
    ----------
    usage : 2 DANE-TA, 3 DANE-EE; 0 and 1 (PKIX) and others are unusable for SMTP.
    selector : 0 the whole certificate, 1 its public key.
    matching : 0 the bytes themselves, 1 their SHA-256, 2 their SHA-512.
    data : certificate association data.
    """

    usage: int
    selector: int
    matching: int
    data: bytes = field(repr=False)

    def __str__(self) -> str:
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex()}"

    @cached_property
    def fault(self) -> str | None:
        """Why the record is unusable, ``None`` when it is usable (RFC 7672 sections 2.2 and 3.1.3)."""
        if self.usage not in (DANE_TA, DANE_EE):
            return "usage 2 or 3 (RFC 7672 section 3.1.3)"
        if self.selector not in (FULL_CERTIFICATE, PUBLIC_KEY):
            return "selector 0 or 1"
        if self.matching in _DIGESTS:
            length = _DIGESTS[self.matching][1]
            return None if len(self.data) == length else f"{2 * length} hexadecimal digits, not {2 * len(self.data)}"
        if self.matching != 0:
            return "matching type 0, 1 or 2"
        return None if self._holds_der() else "a whole certificate or public key in DER"

    @property
    def usable(self) -> bool:
        """Whether the record can be used for SMTP; one that is not is ignored."""
        return self.fault is None

    def _holds_der(self) -> bool:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        try:
            if self.selector == FULL_CERTIFICATE:
                return bool(read_certificates(self.data))
            return bool(load_der_public_key(self.data))
        except UnsupportedAlgorithm:
            return True
        except (PolicyError, ValueError, TypeError):
            return False

    def selects(self, certificate: Certificate) -> bool:
        """Tell whether a certificate is the one that a usable record names (RFC 6698 section 2.1)."""
        content = certificate.der if self.selector == FULL_CERTIFICATE else certificate.spki
        if self.matching in _DIGESTS:
            content = hashlib.new(_DIGESTS[self.matching][0], content).digest()
        return content == self.data


def parse_tlsa(text: str, *, unusable: bool = False) -> Tlsa:
    """Read the presentation form of a record's data (RFC 6698 section 2.2): ``3 1 1 9f86d081...``.

    Parameters
    ----------
    text : usage, selector and matching type as numbers, then hexadecimal digits, which blanks, ends of lines and
        parentheses may divide.
    unusable : whether a record that reads well and cannot be used is returned rather than refused. Ask so for what
        others publish: unusable records have a meaning of their own (`Dane.UNUSABLE`).

    Raises
    ------
    PolicyError
        Naming the record and what is wrong: its form, a value from no registry, a length that is not the digest's.

    Examples
    --------
    >>> parse_tlsa("3 1 1 ( 9f86d081884c7d659a2feaa0c55ad015 a3bf4f1b2b0b822cd15d6c15b0f00a08 )").usable
    True
    """
    words = text.replace("(", " ").replace(")", " ").split()
    numbers, data = words[:3], "".join(words[3:])
    if len(numbers) < 3 or not all(_NUMBER.fullmatch(n) and int(n) <= 255 for n in numbers) or not _HEX.fullmatch(data):
        raise PolicyError(complaint("TLSA record", text, _FORM))
    usage, selector, matching = map(int, numbers)
    record = Tlsa(usage, selector, matching, bytes.fromhex(data))
    if record.fault and not unusable:
        raise PolicyError(complaint("TLSA record", text, record.fault))
    return record


def considered(records: Iterable[Tlsa]) -> tuple[Tlsa, ...]:
    """Return the records that count: the usable ones, of digests the strongest (RFC 7671 section 9).

    Per usage and selector a SHA-512 puts SHA-256 aside; matching type 0 always counts.
    """
    usable = [record for record in records if record.usable]
    strongest: dict[tuple[int, int], int] = {}
    for record in usable:
        key = (record.usage, record.selector)
        strongest[key] = max(strongest.get(key, 0), record.matching)
    return tuple(r for r in usable if r.matching in (0, strongest[r.usage, r.selector]))


def dane_failure(records: Iterable[Tlsa], chain: Sequence[Certificate], peer: Peer, at_s: float) -> Reason:
    """Hold a chain against usable records: why none matches, or `Reason.NONE` when one does.

    Parameters
    ----------
    records : the RRset.
    chain : as served, the peer's own certificate first.
    peer : the names DANE-TA accepts: next-hop domain and MX host (RFC 7672 section 3.2.3).
    at_s : the time, seconds since 1970 (UTC). It and ``peer`` do not matter to DANE-EE.

    Returns
    -------
    Reason
        In the words of RFC 8460: of an issuer that was found the date or the name, else *tlsa-invalid*.

    Raises
    ------
    PolicyError
        When the chain is empty.
    """
    if not chain:
        raise PolicyError(complaint("chain", [], "at least the peer's own certificate"))
    counted = considered(records)
    if any(r.usage == DANE_EE and r.selects(chain[0]) for r in counted):
        return Reason.NONE
    anchors = _anchors([r for r in counted if r.usage == DANE_TA], chain)
    state = chain_state(chain, anchors, at_s)
    if state in (Chain.EXPIRED, Chain.NOT_YET_VALID):
        return Reason.CERTIFICATE_EXPIRED
    if state is not Chain.TRUSTED:
        return Reason.TLSA_INVALID
    holds = identity_holds(Identity.DANE_TA, chain[0].names, peer)
    return Reason.NONE if holds else Reason.CERTIFICATE_HOST_MISMATCH


def _anchors(records: Sequence[Tlsa], chain: Sequence[Certificate]) -> set[Certificate]:
    """Certificates DANE-TA records name: served above the peer's own, or whole in the record (RFC 7671 section 5.2)."""
    served = {c for c in chain[1:] if c != chain[0] and any(r.selects(c) for r in records)}
    whole = [r for r in records if r.selector == FULL_CERTIFICATE and r.matching == 0]
    return served | {c for r in whole for c in read_certificates(r.data) if c != chain[0]}


def dane_state(
    *,
    mx: Dnssec,
    address: Dnssec,
    tlsa: Dnssec,
    records: Iterable[Tlsa],
    chain: Sequence[Certificate] | None,
    peer: Peer,
    at_s: float,
    secure_mx: bool = True,
) -> Dane:
    """State of one MX host's TLSA records (RFC 7672 sections 2.1 and 2.2).

    Parameters
    ----------
    mx, address, tlsa : what validation says of the answers for the MX records, the host's addresses and its TLSA
        records. An answer that cannot be judged (time-out, SERVFAIL) is bogus.
    records : the TLSA records; empty when a signed answer says that there are none.
    chain : as served, or ``None`` when no TLS was seen.
    peer, at_s : as `dane_failure` takes them.
    secure_mx : whether an insecure MX answer puts DANE aside. Postfix keeps to the host's secure TLSA records then
        (``smtp_tls_dane_insecure_mx_policy = dane``): say False.

    Returns
    -------
    Dane
        *Bogus* before *insecure* at each step, and the TLSA answer only where the steps before it allow a look-up.
    """
    for answer, needed in ((mx, secure_mx), (address, True), (tlsa, True)):
        if answer is Dnssec.BOGUS:
            return Dane.BOGUS
        if answer is Dnssec.INSECURE and needed:
            return Dane.INSECURE
    published = list(records)
    if not published:
        return Dane.NONE
    if not considered(published):
        return Dane.UNUSABLE
    if chain is None:
        return Dane.USABLE_UNSEEN
    matches = dane_failure(published, chain, peer, at_s) is Reason.NONE
    return Dane.USABLE_MATCH if matches else Dane.USABLE_MISMATCH
