"""What the frames of a population must look like, and the hash of their bytes."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from sim.errors import PopulationError, complaint
from sim.terms import Chain, Dane, Dns, MtaSts, TlsVersion
from sim.world.states import RATES

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Column:
    """Kind of a column (``text``, ``number``, ``whole`` or ``flag``) and its range."""

    kind: str
    low: float = 0.0
    high: float = float("inf")
    default: object = None


DOMAINS: Final[dict[str, Column]] = {
    "domain": Column("text"),
    "messages": Column("number", default=1.0),
    "provider": Column("text", default="own"),
    "dns": Column("whole", high=max(Dns), default=Dns.OK),
    "dns_temporary_rate": Column("number", high=1.0, default=0.0),
    "first_4yz_rate": Column("number", high=1.0, default=0.0),
    "rescued_share": Column("number", high=1.0, default=1.0),
    "persistent_4yz_share": Column("number", high=1.0, default=1.0),
    "refused_5yz_rate": Column("number", high=1.0, default=0.0),
    "greylist_s": Column("number", default=0.0),
    "new_pair_rate": Column("number", high=1.0, default=0.0),
    "mta_sts": Column("whole", high=max(MtaSts), default=MtaSts.NONE),
}
HOSTS: Final[dict[str, Column]] = {
    "host": Column("text"),
    "provider": Column("text", default="own"),
    "rtt_s": Column("number", default=0.04),
    "throughput_bytes_per_s": Column("number", low=1_000.0, default=2e6),
    "accept_median_s": Column("number", default=2.0),
    "accept_sigma": Column("number", default=0.8),
    "outage_share": Column("number", high=0.1, default=0.0),
    "outage_mean_s": Column("number", default=7200.0),
    "unreachable_s": Column("number", default=30.0),
}
BACKENDS: Final[dict[str, Column]] = {
    "host": Column("whole"),
    "weight": Column("number", high=1.0, default=1.0),
    **{rate: Column("number", high=1.0, default=0.0) for rate in RATES},
    "tls_version": Column("whole", high=max(TlsVersion), default=TlsVersion.TLS_1_3),
    "chain": Column("whole", high=max(Chain), default=Chain.TRUSTED),
    "san_present": Column("flag", default=True),
    "san_mx": Column("flag", default=True),
    "cn_mx": Column("flag", default=False),
    "san_ptr": Column("flag", default=False),
    "cn_ptr": Column("flag", default=False),
}
ROUTES: Final[dict[str, Column]] = {
    "domain": Column("whole"),
    "host": Column("whole"),
    "preference": Column("whole", high=65_535, default=10),
    "stripped": Column("flag", default=False),
    "san_domain": Column("flag", default=False),
    "cn_domain": Column("flag", default=False),
    "dane": Column("whole", high=max(Dane), default=Dane.NONE),
    "sts_listed": Column("flag", default=True),
}
FRAMES: Final = {"domains": DOMAINS, "hosts": HOSTS, "backends": BACKENDS, "routes": ROUTES}
_SLACK = 1e-9


def checked(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the frame with its columns in order and of one type each; extra columns stay behind them.

    Raises
    ------
    PopulationError
        For a missing column, or the first row whose value is of the wrong kind or out of range.
    """
    wanted = FRAMES[name]
    for column in wanted:
        if column not in frame.columns:
            raise PopulationError(complaint(f"{name} column", column, f"all of {', '.join(wanted)}"))
    extra = [c for c in frame.columns if c not in wanted]
    frame = frame[[*wanted, *extra]].reset_index(drop=True)
    for column, spec in wanted.items():
        frame[column] = _checked_column(frame[column], spec, f"{name}.{column}")
    return frame


def _checked_column(values: pd.Series, spec: Column, name: str) -> pd.Series:
    if spec.kind == "text":
        return values.astype(str)
    try:
        if spec.kind == "flag":
            numbers = values.to_numpy(dtype=np.float64)
            _range_checked(numbers, 0, 1, whole=True, name=name)
            return values.astype(bool)
        numbers = values.to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as fault:
        raise PopulationError(complaint(name, values.iloc[0] if len(values) else None, "numbers")) from fault
    _range_checked(numbers, spec.low, spec.high, whole=spec.kind == "whole", name=name)
    return values.astype(np.int64 if spec.kind == "whole" else np.float64)


def _range_checked(numbers: NDArray[np.float64], low: float, high: float, *, whole: bool, name: str) -> None:
    bad = ~np.isfinite(numbers) | (numbers < low) | (numbers > high + _SLACK)
    if whole:
        bad |= numbers != np.rint(numbers)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        top = "" if high == float("inf") else f"..{high:g}"
        allowed = f"{'whole numbers' if whole else 'numbers'}, {low:g}{top or ' or more'}"
        raise PopulationError(complaint(f"{name}[{row}]", float(numbers[row]), allowed))


def check_together(domains: pd.DataFrame, hosts: pd.DataFrame, backends: pd.DataFrame, routes: pd.DataFrame) -> None:
    """Hold the frames to each other: order, references, weights that sum to 1, rates that sum to at most 1.

    Raises
    ------
    PopulationError
        Naming the first row at fault.
    """
    mail = domains["messages"].to_numpy()
    _first(mail.sum() <= 0 or not len(mail), "domains.messages", float(mail.sum()), "a positive sum")
    _first(bool((np.diff(mail) > 0).any()), "domains", "out of order", "rows sorted by falling messages")
    for frame, column in ((domains, "domain"), (hosts, "host")):
        twice = frame[column].duplicated().to_numpy()
        if twice.any():
            name = frame[column].iloc[int(np.flatnonzero(twice)[0])]
            raise PopulationError(complaint(column, name, "each name once"))
    _grouped(routes["domain"].to_numpy(), len(domains), "routes.domain")
    _grouped(backends["host"].to_numpy(), len(hosts), "backends.host")
    _first(bool((routes["host"] >= len(hosts)).any()), "routes.host", "out of range", f"0..{len(hosts) - 1}")
    same = np.diff(routes["domain"].to_numpy()) == 0
    falling = same & (np.diff(routes["preference"].to_numpy()) < 0)
    _first(bool(falling.any()), "routes.preference", "falling within a domain", "ascending within a domain")
    total = np.bincount(backends["host"].to_numpy(), weights=backends["weight"].to_numpy(), minlength=len(hosts))
    off = np.abs(total - 1) > 1e-6
    if off.any():
        row = int(np.flatnonzero(off)[0])
        field = f"backends.weight of {hosts['host'].iloc[row]}"
        raise PopulationError(complaint(field, float(total[row]), "weights that sum to 1 a host"))
    _sum_within_one(backends, RATES, hosts["host"].to_numpy()[backends["host"].to_numpy()])
    _sum_within_one(domains, ("first_4yz_rate", "refused_5yz_rate"), domains["domain"].to_numpy())


def _sum_within_one(frame: pd.DataFrame, columns: tuple[str, ...], owner: NDArray[Any]) -> None:
    total = np.sum([frame[c].to_numpy() for c in columns], axis=0)
    if (total > 1 + 1e-6).any():
        row = int(np.flatnonzero(total > 1 + 1e-6)[0])
        used = ", ".join(c for c in columns if frame[c].iloc[row])
        raise PopulationError(complaint(f"{owner[row]}: {used}", float(total[row]), "at most 1 together"))


def _grouped(owner: NDArray[np.int64], owners: int, name: str) -> None:
    _first(bool((np.diff(owner) < 0).any()), name, "out of order", "rows grouped in order")
    counts = np.bincount(owner, minlength=owners)
    allowed = f"one row or more for each of 0..{owners - 1}"
    _first(len(counts) > owners or bool((counts == 0).any()), name, "a gap", allowed)


def _first(wrong: bool, name: str, value: object, allowed: str) -> None:
    if wrong:
        raise PopulationError(complaint(name, value, allowed))


def hash_frames(frames: dict[str, pd.DataFrame], *facts: object) -> str:
    """Return BLAKE2b over the bytes of every column, 16 hexadecimal digits."""
    digest = blake2b("\0".join(map(str, facts)).encode(), digest_size=8)
    for name, frame in frames.items():
        for column in frame.columns:
            values = frame[column]
            digest.update(f"\0{name}.{column}\0".encode())
            if values.dtype.kind in "fiub":
                little = values.to_numpy()
                digest.update(np.ascontiguousarray(little.astype(little.dtype.newbyteorder("<"))).tobytes())
            else:
                digest.update("\0".join(values.astype(str).tolist()).encode())
    return digest.hexdigest()
