"""Read ``data/populations/``: every figure of a preset with its unit, weighting, source and status.

A preset is a chain of files: its own, then the ``base`` it names, down to ``common.csv``. The nearest file wins, so a
figure stands in one place. ``<preset>-providers.csv`` states the named provider types. A figure that is not exactly
known can have a range, `low` to `high`, and `range` says what that rests on (``docs/decisions/evidence.md``).
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

from sim.data import data_root
from sim.errors import PopulationError, complaint
from sim.files import read_text
from sim.terms import Chain, MtaSts, TlsVersion
from sim.world.draw import Chance, name_keys

COLUMNS: Final = ("parameter", "value", "unit", "k", "n", "weighting", "source", "status", "note")
#: Columns that may follow: the range in which the figure is drawn when the evidence varies.
RANGE_COLUMNS: Final = ("low", "high", "range")
#: What a range rests on: a published interval; the rounding of a published figure; sources that disagree; k of n taken
#: as a sample; nothing published.
RANGES: Final = ("published", "rounding", "sources", "sample", "assumed")
PROVIDER_COLUMNS: Final = (
    *("provider", "consumer_domains", "rank", "hosted_share", "starttls", "chain", "names_mx", "mx_preferences"),
    *("backends", "tls_version", "accept_median_s", "first_4yz_rate", "dane", "mta_sts"),
    *("share_source", "share_status", "behaviour_source", "behaviour_status", "standards_source", "standards_status"),
    "note",
)
STATUSES: Final = ("measured", "inferred", "assumed")
WEIGHTINGS: Final = ("message", "domain", "mx", "provider")
#: Unit -> lowest and highest value. Text units take none.
_BOUNDS: Final[dict[str, tuple[float, float]]] = {
    "share": (0.0, 1.0),
    "probability": (0.0, 1.0),
    "ratio": (0.0, math.inf),
    "weight": (0.0, math.inf),
    "factor": (0.0, 10.0),
    "exponent": (0.0, 10.0),
    "count": (1.0, 1e9),
    "s": (0.0, 1e9),
    "ms": (0.001, 1e9),
    "bytes": (1.0, 1e12),
    "bytes/s": (1.0, 1e15),
    "year": (1982.0, 2100.0),
}
_TEXT_UNITS: Final = ("preset", "text", "weighting")
_DIGITS: Final = re.compile(r"[0-9]{1,12}")
_FLAGS: Final = {"0": False, "1": True}
_WHOLE: Final = ("count", "year")
CHECK: Final = "check_"
#: Shares that exclude each other and sum to 1. Changing some rescales the others in proportion.
EXCLUSIVE: Final[tuple[tuple[str, ...], ...]] = (
    ("tls_trusted_match", "tls_trusted_mismatch", "tls_untrusted"),
    ("untrusted_self_signed", "untrusted_unknown_issuer", "untrusted_expired"),
    ("tls_1_3", "tls_1_2", "tls_1_1", "tls_1_0", "ssl_3"),
    ("mx_hosts_1", "mx_hosts_2", "mx_hosts_3"),
    ("dane_hosted", "dane_own_mail", "dane_own_both"),
    ("dane_fault_insecure", "dane_fault_bogus", "dane_fault_unusable", "dane_fault_mismatch"),
    ("mta_sts_enforce", "mta_sts_testing", "mta_sts_unfetched"),
)
_ROUNDING: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of a figures file. ``value`` None means the figure is not used; ``low`` None, that it has no range."""

    parameter: str
    value: float | str | None
    unit: str
    k: int | None
    n: int | None
    weighting: str
    source: str
    status: str
    note: str
    file: str
    line: int
    low: float | None = None
    high: float | None = None
    range: str = ""


@dataclass(frozen=True, slots=True)
class Provider:
    """A named provider type: all-or-nothing behaviour of everything it hosts.

    Attributes
    ----------
    consumer_domains : its own mail domains, by which it is recognised.
    rank : of its consumer domain by falling mail (1-based), or None.
    hosted_share : share of the other destinations it hosts, by the preset's weighting.
    starttls, chain, names_mx : whether it offers STARTTLS, its certificate chain, whether that names its MX hosts.
    preferences : one MX preference a host.
    backends : servers behind each MX host, alike but for the TLS version where that is not stated.
    tls_version, accept_median_s, first_4yz_rate : None = drawn, or as everybody's.
    dane, mta_sts : whether its own mail domains have TLSA records that match; the mode of their MTA-STS policy. The
        domains it hosts for others are drawn like any other.
    """

    provider: str
    consumer_domains: tuple[str, ...]
    rank: int | None
    hosted_share: float
    starttls: bool
    chain: Chain
    names_mx: bool
    preferences: tuple[int, ...]
    backends: int
    tls_version: TlsVersion | None
    accept_median_s: float | None
    first_4yz_rate: float | None
    dane: bool
    mta_sts: MtaSts
    share_source: str
    share_status: str
    behaviour_source: str
    behaviour_status: str
    standards_source: str
    standards_status: str
    note: str


@dataclass(frozen=True, slots=True)
class Figures:
    """All figures of one preset.

    Attributes
    ----------
    preset : its name.
    family : the preset its draws are keyed by: variants of one family share every draw.
    figures : parameter -> figure.
    providers : named provider types.
    given : parameters changed by the caller.
    drawn : parameters drawn in their ranges.
    """

    preset: str
    family: str
    figures: Mapping[str, Figure]
    providers: tuple[Provider, ...]
    given: frozenset[str] = frozenset()
    drawn: frozenset[str] = frozenset()

    def number(self, parameter: str) -> float:
        """Return a figure that must be there."""
        value = self.figures[parameter].value
        if not isinstance(value, float):
            raise PopulationError(complaint(parameter, value, "a number", file=self.figures[parameter].file))
        return value

    def text(self, parameter: str) -> str:
        """Return a figure made of words."""
        return str(self.figures[parameter].value)

    def optional(self, parameter: str) -> float | None:
        """Return a figure, or None where it is not used."""
        figure = self.figures.get(parameter)
        return None if figure is None or figure.value is None else float(figure.value)

    def settable(self) -> list[str]:
        """Return the parameters a caller may change."""
        return [p for p, f in self.figures.items() if f.unit not in _TEXT_UNITS and not p.startswith(CHECK)]

    def checks(self) -> list[Figure]:
        """Return the published figures that are not used as input."""
        return [f for p, f in self.figures.items() if p.startswith(CHECK) and f.value is not None]

    def changed(self, given: Mapping[str, float | None]) -> Figures:
        """Return the figures with some of them replaced; exclusive shares are rescaled to sum to 1.

        Raises
        ------
        PopulationError
            For a parameter that does not exist, a value out of range, or exclusive shares above 1.
        """
        for parameter in given:
            if parameter not in self.settable():
                raise PopulationError(complaint("parameter", parameter, sorted(self.settable())))
        return replace(self, figures=self._with(given), given=frozenset(given))

    def ranged(self) -> list[Figure]:
        """Return the figures to draw when the evidence varies: those with a range that the caller left alone.

        Where the caller has changed one of several exclusive shares, the split is the caller's: none of them is drawn.
        """
        taken = {p for group in EXCLUSIVE if self.given & set(group) for p in group} | self.given
        used = (self.figures[p] for p in self.settable() if p not in taken)
        return [f for f in used if f.value is not None and f.low is not None]

    def redrawn(self, seed: int) -> Figures:
        """Return the figures with every ranged one drawn uniformly in its range; exclusive shares still sum to 1.

        A draw is keyed by the seed, the family of presets and the figure's name: no figure moves another's draw.
        """
        ranged = self.ranged()
        uniform = Chance(seed, self.family).uniform(name_keys([f.parameter for f in ranged]), "evidence")
        values = {
            f.parameter: (f.low or 0.0) + u * ((f.high or 0.0) - (f.low or 0.0))
            for f, u in zip(ranged, uniform.tolist(), strict=True)
        }
        return replace(self, figures=self._with(values), drawn=frozenset(values))

    def _with(self, values: Mapping[str, float | None]) -> dict[str, Figure]:
        figures = dict(self.figures)
        for parameter, value in values.items():
            figures[parameter] = replace(figures[parameter], value=_checked(figures[parameter], value))
        for group in EXCLUSIVE:
            if stated := values.keys() & set(group):
                _rescale(figures, group, stated)
        return figures


def preset_names() -> tuple[str, ...]:
    """Return the names of the presets, in alphabetical order."""
    stems = (p.stem for p in _folder().glob("*.csv"))
    return tuple(sorted(s for s in stems if s not in ("common", "mail") and not s.endswith("-providers")))


@cache
def load(preset: str) -> Figures:
    """Return the figures of a preset, its bases merged in.

    Raises
    ------
    PopulationError
        When there is no such preset (it lists those there are) or a file is wrong.
    """
    if preset not in preset_names():
        raise PopulationError(complaint("preset", preset, preset_names()))
    chain, merged = [preset], dict(read_figures(_folder() / f"{preset}.csv"))
    while "base" in merged and (base := str(merged.pop("base").value)) not in chain:
        chain.append(base)
        merged = {**read_figures(_folder() / f"{base}.csv"), **merged}
    providers = next(path for name in chain if (path := _folder() / f"{name}-providers.csv").is_file())
    figures = Figures(preset, chain[-2], merged, read_providers(providers))
    for group in EXCLUSIVE:
        total = math.fsum(figures.number(p) for p in group)
        if abs(total - 1) > _ROUNDING:
            raise PopulationError(f"{preset}: {', '.join(group)} sum to {total:g}; allowed: 1")
        _check_rest(preset, [figures.figures[p] for p in group])
    return figures


@cache
def load_mail() -> Mapping[str, Figure]:
    """Return the figures of the mail itself: hours, weekdays, sizes, recipients."""
    return read_figures(_folder() / "mail.csv")


def read_figures(path: Path) -> dict[str, Figure]:
    """Read a figures file.

    Raises
    ------
    PopulationError
        Naming file and line of a row that is no figure.
    """
    figures: dict[str, Figure] = {}
    for line, row in _rows(path, COLUMNS, RANGE_COLUMNS):
        if row["parameter"] in figures:
            raise PopulationError(complaint("parameter", row["parameter"], "each once", file=path.name, line=line))
        figures[row["parameter"]] = _figure(row, path, line)
    return figures


def read_providers(path: Path) -> tuple[Provider, ...]:
    """Read a file of named provider types.

    Raises
    ------
    PopulationError
        Naming file and line of a row that states no provider.
    """
    providers = []
    for line, row in _rows(path, PROVIDER_COLUMNS):
        try:
            providers.append(_provider(row))
        except (KeyError, ValueError) as fault:
            raise PopulationError(f"{path.name}:{line}: {row['provider']}: {fault} is not understood") from fault
        for column in ("share_status", "behaviour_status", "standards_status"):
            if row[column] not in STATUSES:
                raise PopulationError(complaint(column, row[column], STATUSES, file=path.name, line=line))
    if math.fsum(p.hosted_share for p in providers) > 1:
        raise PopulationError(f"{path.name}: the hosted_share column sums to more than 1")
    return tuple(providers)


def _folder() -> Path:
    return data_root() / "populations"


def _rows(path: Path, columns: tuple[str, ...], more: tuple[str, ...] = ()) -> list[tuple[int, dict[str, str]]]:
    reader = csv.reader(io.StringIO(read_text(path, PopulationError), newline=""), strict=True)
    rows = []
    try:
        header = tuple(next(reader, ()))
        if header not in (columns, columns + more):
            raise PopulationError(complaint("header", ",".join(header), ",".join(columns), file=path.name, line=1))
        for cells in reader:
            if len(cells) != len(header):
                allowed = f"{len(header)} cells"
                raise PopulationError(complaint("row", ",".join(cells), allowed, file=path.name, line=reader.line_num))
            rows.append((reader.line_num, dict(zip(header, cells, strict=True))))
    except csv.Error as fault:
        raise PopulationError(f"{path.name}:{reader.line_num}: no CSV: {fault}") from None
    return rows


def _figure(row: Mapping[str, str], path: Path, line: int) -> Figure:
    unit = row["unit"]
    figure = Figure(
        parameter=row["parameter"],
        value=None,
        unit=unit,
        k=_number_of(row, "k", path, line),
        n=_number_of(row, "n", path, line),
        weighting=row["weighting"],
        source=row["source"],
        status=row["status"],
        note=row["note"],
        file=path.name,
        line=line,
    )
    if unit in _TEXT_UNITS:
        return replace(figure, value=row["value"])
    if unit not in _BOUNDS:
        raise PopulationError(complaint("unit", unit, (*_BOUNDS, *_TEXT_UNITS), file=path.name, line=line))
    if unit != "year":
        for column, allowed in (("status", STATUSES), ("weighting", WEIGHTINGS)):
            if row[column] not in allowed:
                raise PopulationError(complaint(column, row[column], allowed, file=path.name, line=line))
    try:
        value = float(row["value"]) if row["value"] else None
    except ValueError as fault:
        raise PopulationError(complaint("value", row["value"], "a number", file=path.name, line=line)) from fault
    figure = replace(figure, value=_checked(figure, value))
    return _with_range(figure, row) if any(row.get(column) for column in RANGE_COLUMNS) else figure


def _number_of(row: Mapping[str, str], column: str, path: Path, line: int) -> int | None:
    if row[column] and not _DIGITS.fullmatch(row[column]):
        raise PopulationError(complaint(column, row[column], "a whole number, 0 or more", file=path.name, line=line))
    return int(row[column]) if row[column] else None


def _with_range(figure: Figure, row: Mapping[str, str]) -> Figure:
    """Return a figure with its range, which holds its value; a number of things has none."""
    if row["range"] not in RANGES:
        raise PopulationError(complaint("range", row["range"], RANGES, file=figure.file, line=figure.line))
    lowest, highest = _BOUNDS[figure.unit]
    try:
        low, high = float(row["low"]), float(row["high"])
    except ValueError:
        low, high = math.nan, math.nan
    value = math.nan if figure.value is None else float(figure.value)
    if figure.unit in _WHOLE or not lowest <= low <= value <= high <= highest:
        field, wrong = f"{figure.parameter}, range", f"{row['low']} to {row['high']}"
        allowed = f"low <= value <= high, {lowest:g}..{highest:g}; none for a figure that is not used or a whole number"
        raise PopulationError(complaint(field, wrong, allowed, file=figure.file, line=figure.line))
    return replace(figure, low=low, high=high, range=row["range"])


def _check_rest(preset: str, group: list[Figure]) -> None:
    """Refuse ranges of exclusive shares that leave nothing, or nobody, to take the rest."""
    highest = math.fsum(f.high for f in group if f.high is not None)
    rest = math.fsum(float(f.value or 0) for f in group if f.high is None)
    if any(f.high is not None for f in group) and (highest > 1 or not rest):
        names = ", ".join(f.parameter for f in group)
        raise PopulationError(f"{preset}: ranges of {names} reach {highest:g}; allowed: up to 1, one without a range")


def _checked(figure: Figure, value: float | None) -> float | None:
    if value is None:
        return None
    low, high = _BOUNDS[figure.unit]
    allowed = f"a number, {low:g}..{high:g} ({figure.unit})"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PopulationError(complaint(figure.parameter, value, allowed))
    whole = figure.unit in _WHOLE
    if not low <= value <= high or math.isinf(value) or (whole and value != int(value)):
        raise PopulationError(complaint(figure.parameter, value, f"{allowed}{', whole' if whole else ''}"))
    return float(value)


def _rescale(figures: dict[str, Figure], group: tuple[str, ...], given: set[str]) -> None:
    stated = math.fsum(float(figures[p].value or 0) for p in given)
    rest = [p for p in group if p not in given]
    before = math.fsum(float(figures[p].value or 0) for p in rest)
    if stated > 1 + _ROUNDING or (abs(stated - 1) > _ROUNDING and not before):
        names = ", ".join(p for p in group if p in given)
        nothing_left = f"1 together, since {', '.join(rest) or 'no other'} is 0"
        allowed = "at most 1 together" if before or stated > 1 else nothing_left
        raise PopulationError(complaint(names, stated, allowed))
    for parameter in rest:
        scale = max(1 - stated, 0.0) / before if before else 0.0
        figures[parameter] = replace(figures[parameter], value=float(figures[parameter].value or 0) * scale)


def _provider(row: Mapping[str, str]) -> Provider:
    chains, versions = {c.label: c for c in Chain}, {v.label: v for v in TlsVersion}
    modes = {m.label: m for m in MtaSts}
    median_s = _within(row["accept_median_s"], 1e-9, 1e9) if row["accept_median_s"] else None
    return Provider(
        provider=row["provider"],
        consumer_domains=tuple(row["consumer_domains"].split()),
        rank=int(_within(row["rank"], 1, 1e9, whole=True)) if row["rank"] else None,
        hosted_share=_within(row["hosted_share"], 0, math.inf),
        starttls=_FLAGS[row["starttls"]],
        chain=chains[row["chain"]],
        names_mx=_FLAGS[row["names_mx"]],
        preferences=tuple(int(_within(p, 0, 65_535, whole=True)) for p in row["mx_preferences"].split()),
        backends=int(_within(row["backends"], 1, 1e6, whole=True)),
        tls_version=versions[row["tls_version"]] if row["tls_version"] else None,
        accept_median_s=median_s,
        first_4yz_rate=_within(row["first_4yz_rate"], 0, 1) if row["first_4yz_rate"] else None,
        dane=_FLAGS[row["dane"]],
        mta_sts=modes[row["mta_sts"]],
        share_source=row["share_source"],
        share_status=row["share_status"],
        behaviour_source=row["behaviour_source"],
        behaviour_status=row["behaviour_status"],
        standards_source=row["standards_source"],
        standards_status=row["standards_status"],
        note=row["note"],
    )


def _within(text: str, low: float, high: float, *, whole: bool = False) -> float:
    value = float(text)
    if not low <= value <= high or (whole and not value.is_integer()):
        raise ValueError(f"{text!r}, which is not within {low:g}..{high:g},")
    return value
