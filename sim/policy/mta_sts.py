"""MTA-STS: the TXT record, the policy, which MX hosts it lists, and how long it is in force (RFC 8461).

Nothing here fetches. A caller hands over what DNS and the policy host answered, and the time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sim.errors import PolicyError, complaint
from sim.policy.identity import covers, host_name
from sim.terms import MtaSts, Reason

#: Longest life of a policy in seconds, about a year (RFC 8461 section 3.2).
MAX_AGE_S = 31_557_600
#: Largest policy that is read, in bytes: RFC 8461 section 3.3 asks for a limit and suggests this one.
MAX_BYTES = 65_536

_VERSION = "STSv1"
_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_TXT_VALUE = re.compile(r"[\x21-\x3a\x3c\x3e-\x7e]+")
_SECONDS = re.compile(r"[0-9]{1,10}")
_LINE = re.compile(r"\r?\n")


@dataclass(frozen=True)
class StsPolicy:
    """A policy as it was served (RFC 8461 section 3.2).

    Attributes
    ----------
    mode : what is asked of senders.
    max_age_s : seconds for which it stays in force once fetched, 0 to 31,557,600.
    mx : patterns of the MX hosts, as `covers` matches them; may be empty with mode *none* alone.
    """

    mode: MtaSts
    max_age_s: int
    mx: tuple[str, ...] = ()

    def lists(self, mx_host: str) -> bool:
        """Tell whether a pattern names an MX host: itself, or ``*.`` for one left-most label (section 4.1)."""
        return covers(self.mx, mx_host)


def parse_txt(text: str) -> str:
    """Read one TXT record of ``_mta-sts.DOMAIN`` and return its id (RFC 8461 section 3.1).

    Unknown fields are ignored, and so is every repetition of a known one.

    Parameters
    ----------
    text : the record's strings, joined without anything between them.

    Raises
    ------
    PolicyError
        Naming the record, when it is no ``STSv1`` record or a field does not read.

    Examples
    --------
    >>> parse_txt("v=STSv1; id=20160831085700Z;")
    '20160831085700Z'
    """
    form = "v=STSv1; id=1 to 32 letters and digits"
    version, *fields = text.split(";")
    fields = [part.strip(" \t") for part in fields]
    if fields and not fields[-1]:
        fields.pop()
    found = []
    for part in fields:
        key, equals, value = part.partition("=")
        if not (equals and _KEY.fullmatch(key) and _TXT_VALUE.fullmatch(value)):
            raise PolicyError(complaint(f"MTA-STS TXT record field {part!r} of record", text, f"name=value in {form}"))
        found += [value] if key == "id" else []
    if version.rstrip(" \t") != f"v={_VERSION}" or not found or not _ID.fullmatch(found[0]):
        raise PolicyError(complaint("MTA-STS TXT record", text, form))
    return found[0]


def record_id(records: Iterable[str]) -> str | None:
    """Return the id a domain announces: of its TXT records just one must be MTA-STS, and read (section 3.1).

    ``None`` means that no policy may be looked for. It does not end one that is already in force.

    Examples
    --------
    >>> record_id(["v=spf1 -all", "v=STSv1; id=1;"]), record_id(["v=STSv1; id=1;", "v=STSv1; id=2;"])
    ('1', None)
    """
    ours = [text for text in records if text.startswith(f"v={_VERSION};")]
    if len(ours) != 1:
        return None
    try:
        return parse_txt(ours[0])
    except PolicyError:
        return None


def parse_policy(body: bytes | str, source: str = "MTA-STS policy") -> StsPolicy:
    """Read a policy (RFC 8461 section 3.2): lines ``key: value``, ended by CRLF or LF, in any order.

    Unknown keys are ignored. Of a key that repeats the first counts; ``mx`` may repeat. Empty lines are passed over.

    Parameters
    ----------
    body : what the policy host served; bytes are UTF-8.
    source : what an error calls it.

    Raises
    ------
    PolicyError
        Naming the line, the field and the value; *sts-policy-invalid* in a report (RFC 8460 section 4.3.2.2).
    """
    size = len(body.encode("utf-8", "replace")) if isinstance(body, str) else len(body)
    if size > MAX_BYTES:
        raise PolicyError(complaint("size of the policy", f"{size} bytes", f"at most {MAX_BYTES}", file=source))
    try:
        text = body.decode("utf-8") if isinstance(body, bytes) else body
    except UnicodeDecodeError as fault:
        raise PolicyError(complaint("policy", f"byte {fault.start}", "UTF-8", file=source)) from fault
    mx: list[str] = []
    found: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(_LINE.split(text), start=1):
        key, colon, value = line.partition(":")
        value = value.strip(" \t")
        if not line.strip(" \t"):
            continue
        if not (colon and _KEY.fullmatch(key) and value):
            raise PolicyError(complaint("policy line", line, "key: value", file=source, line=number))
        if key == "mx":
            mx.append(_mx_pattern(value, source, number))
        else:
            found.setdefault(key, (value, number))
    return _policy(found, tuple(mx), source)


def _mx_pattern(value: str, source: str, line: int) -> str:
    try:
        below = value.removeprefix("*.")
        return value[: len(value) - len(below)] + host_name(below)
    except PolicyError:
        allowed = "an MX host name, or *. and a name"
        raise PolicyError(complaint("mx", value, allowed, file=source, line=line)) from None


def _policy(found: dict[str, tuple[str, int]], mx: tuple[str, ...], source: str) -> StsPolicy:
    modes = {mode.label: mode for mode in MtaSts}
    for key in ("version", "mode", "max_age"):
        if key not in found:
            raise PolicyError(complaint("policy", sorted(found), f"a line {key!r} among them", file=source))
    (version, line), (mode, mode_line), (age, age_line) = (found[k] for k in ("version", "mode", "max_age"))
    if version != _VERSION:
        raise PolicyError(complaint("version", version, [_VERSION], file=source, line=line))
    if mode not in modes:
        raise PolicyError(complaint("mode", mode, modes, file=source, line=mode_line))
    if not _SECONDS.fullmatch(age) or int(age) > MAX_AGE_S:
        raise PolicyError(complaint("max_age", age, f"0..{MAX_AGE_S} s", file=source, line=age_line))
    if not mx and modes[mode] is not MtaSts.NONE:
        raise PolicyError(complaint("policy", mode, f"mode {mode} with at least one mx", file=source))
    return StsPolicy(modes[mode], int(age), mx)


@dataclass(frozen=True)
class Cached:
    """A policy as a sender keeps it.

    Attributes
    ----------
    policy : as it was served.
    record_id : the id its domain announced then.
    fetched_s : when it was fetched, seconds on whatever clock the caller uses.
    """

    policy: StsPolicy
    record_id: str
    fetched_s: float

    def in_force(self, at_s: float) -> bool:
        """Tell whether the policy is still in force: ``max_age`` has not passed (RFC 8461 section 3.2)."""
        return at_s < self.fetched_s + self.policy.max_age_s


def needs_fetch(cached: Cached | None, announced: str | None, at_s: float) -> bool:
    """Tell whether a sender asks the policy host: an id is announced, and it is not that of a policy in force.

    Parameters
    ----------
    cached : what the sender keeps, if anything.
    announced : what `record_id` gives.
    at_s : the time, seconds on the clock of ``cached``.

    Notes
    -----
    Source: RFC 8461 sections 3.1 and 3.3.
    """
    return announced is not None and not (cached and cached.in_force(at_s) and cached.record_id == announced)


def refreshed(cached: Cached | None, announced: str | None, fetched: StsPolicy | None, at_s: float) -> Cached | None:
    """Return what a sender keeps after a look-up (RFC 8461 sections 3.1, 3.3 and 5.1).

    A policy that was fetched replaces the one before, mode *none* too. Without one, because none is announced or
    the fetch failed, the one before stays until its ``max_age`` has passed; a failure is no reason to drop it.

    Parameters
    ----------
    cached, announced, at_s : as `needs_fetch` takes them.
    fetched : the policy, or ``None`` when it was not fetched over verified HTTPS or does not read.
    """
    if announced is not None and fetched is not None:
        return Cached(fetched, announced, at_s)
    return cached if cached and cached.in_force(at_s) else None


def sts_state(cached: Cached | None, mx_host: str, at_s: float) -> tuple[MtaSts, bool]:
    """Return the mode in force and whether the MX host is listed; without a policy in force *none*, and listed.

    With *none* the list does not matter (RFC 8461 section 5), so every host is taken as listed.
    """
    if cached is None or not cached.in_force(at_s) or cached.policy.mode is MtaSts.NONE:
        return MtaSts.NONE, True
    return cached.policy.mode, cached.policy.lists(mx_host)


def discovery_failure(
    announced: str | None, *, answered: bool, certificate_valid: bool, policy: StsPolicy | None
) -> Reason:
    """Name what kept an announced policy from being used, as RFC 8460 section 4.3.2.2 spells it.

    Parameters
    ----------
    announced : what `record_id` gives; without an id nothing has failed.
    answered : whether the policy host answered with the file (HTTP status 200, in time).
    certificate_valid : whether its own certificate was good for ``mta-sts.DOMAIN``.
    policy : the policy, or ``None`` when the file does not read (`parse_policy`).
    """
    if announced is None:
        return Reason.NONE
    if not certificate_valid:
        return Reason.STS_WEBPKI_INVALID
    if not answered:
        return Reason.STS_POLICY_FETCH_ERROR
    return Reason.STS_POLICY_INVALID if policy is None else Reason.NONE
