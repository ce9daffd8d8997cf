"""Every parser with the promise it keeps: an input is read, or refused in one line by the project's own error.

What was read is written and read again where there is a writer, and judged where there is something to judge it by.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import re
import signal
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from shutil import copy
from types import FrameType
from typing import Any, Literal, TypeVar

import numpy as np

from sim.cli.destconfig import edit
from sim.cli.dialogue import EndOfAnswersError
from sim.cli.whatif import settings_of
from sim.data import example
from sim.errors import PolicyError, PopulationError, ScenarioError, SimError, WorkloadError
from sim.files import read_text
from sim.formats.account import AccountRow
from sim.formats.bounce_profiles import parse_bounce_profiles, read_bounce_profiles
from sim.formats.destconfig_csv import csv_text, looks_like_csv
from sim.formats.destconfig_list import list_text, looks_like_list
from sim.formats.destination_controls import Policy
from sim.formats.destination_normal import normalised_text
from sim.formats.grid_file import parse_grid
from sim.formats.scenario_file import parse_scenario
from sim.formats.toml_lines import key_lines, load_toml
from sim.formats.trace_file import read_trace
from sim.policy.certificates import chain_state, fingerprint_listed, read_certificates
from sim.policy.dane import considered, dane_failure, parse_tlsa
from sim.policy.destinations import DestinationControls, canonical_domain, is_default, pattern_name
from sim.policy.identity import Peer
from sim.policy.mta_sts import parse_policy, parse_txt, record_id
from sim.policy.spellings import setting_of
from sim.policy.text_tables import (
    demands_text,
    evidence_text,
    grid_text,
    read_columns,
    read_demands,
    read_evidence,
    read_table,
)
from sim.studies import sweep_cells
from sim.studies.explain import Evidence
from sim.studies.whatif import tls_version_of
from sim.terms import Demand, NameRule, Outcome, Reason, Seen, Setting
from sim.world.destinations_csv import read_destinations
from sim.world.figures import read_figures, read_providers
from tests.fuzz import seeds

T = TypeVar("T")

SOURCE = "fuzz.input"
#: Seconds one input may take: far above any, and far below what people take for a hang.
LIMIT_S = 10.0
#: Destinations of the largest population a scenario is read for; more is slow and no other code.
MOST_DOMAINS = 300


class HangError(Exception):
    """An input took longer than `LIMIT_S`."""


@dataclass(frozen=True)
class Target:
    """A parser under test.

    Attributes
    ----------
    run : holds one input to the promise; raises whatever breaks it.
    seeds : right inputs that wrong ones are made of.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]


@contextlib.contextmanager
def bounded(limit_s: float = LIMIT_S) -> Iterator[None]:
    """Raise `HangError` when the block takes longer; where there are no timers, after it has ended."""

    def ring(_: int, __: FrameType | None) -> None:
        raise HangError(f"more than {limit_s:g} s")

    began = time.perf_counter()
    timer = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGALRM, ring) if timer else None
    try:
        if timer:
            signal.setitimer(signal.ITIMER_REAL, limit_s)
        yield
    finally:
        if timer:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    if time.perf_counter() - began > limit_s:
        raise HangError(f"more than {limit_s:g} s")


def attempt(read: Callable[[], T], error: type[SimError], text: str | bytes = "") -> T | None:
    """Return what was read, or ``None`` when it was refused as it must be: this class, one line, a line of the text."""
    try:
        return read()
    except SimError as fault:
        refusal = fault
    if not isinstance(refusal, error):
        raise refusal
    for told in (str(refusal), *getattr(refusal, "__notes__", ())):
        assert told.strip(), "an empty message"
        assert told.isprintable(), f"more than one line: {told!r}"
        placed = re.match(rf"{re.escape(SOURCE)}:(\d+): ", told)
        if placed and text:
            assert 1 <= int(placed[1]) <= len(text.splitlines()) + 1, f"no such line: {told}"
    return None


def text_of(data: bytes) -> str:
    """Return bytes as Python hands over what people type: what is no UTF-8 becomes surrogates."""
    return data.decode("utf-8", "surrogateescape")


@cache
def _folder() -> Path:
    """A folder for inputs that are read as files, with the files that scenarios name."""
    folder = Path(_KEPT.name)
    for name in ("destinations.ini", "bounce_profiles.toml"):
        copy(example(name), folder / name)
    (folder / "scenario.toml").write_bytes(seeds.SCENARIOS[0])
    (folder / "mine.csv").write_bytes(seeds.DESTINATIONS[0])
    (folder / "trace.csv").write_bytes(seeds.TRACES[0])
    return folder


_KEPT = tempfile.TemporaryDirectory(prefix="fuzz-")
atexit.register(_KEPT.cleanup)


def _file(data: bytes) -> Path:
    path = _folder() / SOURCE
    path.write_bytes(data)
    return path


def _lines(data: bytes) -> int:
    """Count lines as a CSV file has them, an empty one behind the last line end too."""
    return len(re.split(rb"\r\n|\n|\r", data))


def _accounted(text: str, rows: Sequence[AccountRow]) -> None:
    """Hold an account to its promise: a row for every line but blank ones and comments."""
    told = {row.line for row in rows if row.file == SOURCE}
    lines = re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff"))
    missing = [n for n, line in enumerate(lines, 1) if line.strip() and line.strip()[0] not in "#;" and n not in told]
    assert not missing, f"lines without a row: {missing}"
    assert told <= set(range(len(lines) + 1))


@cache
def _profiles() -> Any:
    return read_bounce_profiles(example("bounce_profiles.toml"))


def destination_controls(data: bytes) -> None:
    text = attempt(lambda: read_text(_file(data), PolicyError), PolicyError)
    if text is None:
        assert attempt(lambda: Policy.parse(text_of(data), source=SOURCE), PolicyError) is None
        return
    strict, policy = (
        attempt(partial(Policy.parse, text, source=SOURCE, profiles=_profiles(), strict=s), PolicyError, text)
        for s in (True, False)
    )
    assert strict is None or strict == policy
    if policy is None:
        return
    _accounted(text, policy.rows)
    assert policy.to_text() == text, "not written back byte for byte"
    normal = normalised_text(policy)
    again = Policy.parse(normal, profiles=_profiles())
    assert again.hash == policy.hash
    assert normalised_text(again) == normal
    for changed in (policy.with_setting(Setting.REQUIRED), policy.with_tls({"new.example": "off", "DEFAULT": "on"})):
        assert Policy.parse(changed.to_text(), profiles=_profiles()) == changed
    named = policy.with_global("certificate", "fuzz")
    assert Policy.parse(named.to_text(), profiles=_profiles()).global_value("certificate") == "fuzz"


def destconfig_list(data: bytes) -> None:
    looks_like_list(text_of(data))
    policy = _destconfig(text_of(data), "list")
    if policy is not None:
        listed = list_text(policy)
        assert looks_like_list(listed)
        again = Policy.parse(listed, form="list")
        assert again == policy
        assert list_text(again) == listed
        assert Policy.parse(policy.to_text(), form="ini") == policy


def destconfig_csv(data: bytes) -> None:
    looks_like_csv(text_of(data))
    policy = _destconfig(text_of(data), "csv")
    if policy is not None:
        written = csv_text(policy)
        assert looks_like_csv(written)
        again = Policy.parse(written, form="csv")
        assert again == policy
        assert csv_text(again) == written


def _destconfig(text: str, form: Literal["list", "csv"]) -> Policy | None:
    """Read what the gateway's dialogue lists: strict as lenient, and an account row for every line."""
    strict, policy = (
        attempt(partial(Policy.parse, text, source=SOURCE, strict=s, form=form), PolicyError, text)
        for s in (True, False)
    )
    assert strict is None or strict == policy
    if policy is not None and form == "list":
        told = {row.line for row in policy.rows}
        lines = re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff"))
        assert told - {0} == {n for n, line in enumerate(lines, 1) if line.strip()}
    return policy


def bounce_profiles(data: bytes) -> None:
    text = attempt(lambda: read_text(_file(data), PolicyError), PolicyError)
    if text is None:
        return
    strict, lenient = (
        attempt(partial(parse_bounce_profiles, text, source=SOURCE, strict=s), PolicyError, text) for s in (True, False)
    )
    assert strict is None or strict == lenient
    if lenient is not None:
        assert all(1 <= row.line <= text.count("\n") + 1 for row in lenient.rows)
        for profile in lenient.profiles.values():
            assert profile.waits_s()


def scenario(data: bytes) -> None:
    text = attempt(lambda: read_text(_file(data), ScenarioError), ScenarioError)
    if text is None:
        return
    document = attempt(lambda: load_toml(text, SOURCE, ScenarioError), ScenarioError, text)
    population = (document or {}).get("population")
    domains = population.get("domains", 0) if isinstance(population, dict) else 0
    if isinstance(domains, int) and domains > MOST_DOMAINS:
        return
    attempt(lambda: parse_scenario(text, source=SOURCE, folder=_folder()), SimError, text)


def grid(data: bytes) -> None:
    text = attempt(lambda: read_text(_file(data), ScenarioError), ScenarioError)
    if text is None:
        return
    document = attempt(lambda: load_toml(text, SOURCE, ScenarioError), ScenarioError, text)
    numbers = [int(digits.replace("_", "")[:9]) for digits in re.findall(r"domains[^\n]*?=[^\n\d]*(\d[\d_]*)", text)]
    if document is None or any(number > MOST_DOMAINS for number in numbers):
        return
    found = attempt(lambda: parse_grid(text, source=SOURCE, folder=_folder()), SimError, text)
    if found is not None:
        assert len(found.points) == np.prod([len(axis.values) for axis in found.axes])
        assert len({repr(point.labels) for point in found.points}) == len(found.points)
        assert all(len(sweep_cells.fingerprint(point.scenario)) == 32 for point in found.points[:2])


def toml(data: bytes) -> None:
    text = text_of(data)
    document = attempt(lambda: load_toml(text, SOURCE, ScenarioError), ScenarioError, text)
    lines = key_lines(text)
    if document is not None:
        assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())


def trace(data: bytes) -> None:
    frame = attempt(lambda: read_trace(_file(data)), WorkloadError)
    if frame is not None:
        assert 1 <= len(frame) < _lines(data)
        assert np.isfinite(frame[["time_s", "size_bytes", "recipients"]].to_numpy(float)).all()


def destinations(data: bytes) -> None:
    listed = attempt(lambda: read_destinations(_file(data)), PopulationError)
    if listed is not None:
        assert len(listed.domains) < _lines(data)
        assert len(listed.domains) == len(set(listed.domains)) == len(listed.messages)
        assert (np.diff(listed.messages) <= 0).all()
        assert np.isfinite(listed.messages.sum())


def figures(data: bytes) -> None:
    found = attempt(lambda: read_figures(_file(data)), PopulationError)
    assert found is None or len(found) < _lines(data)
    for figure in (found or {}).values():
        assert figure.value is None or isinstance(figure.value, str) or np.isfinite(figure.value)


def providers(data: bytes) -> None:
    found = attempt(lambda: read_providers(_file(data)), PopulationError)
    assert found is None or len(found) < _lines(data)
    for provider in found or ():
        assert 0 <= provider.hosted_share <= 1
        assert provider.backends >= 1
        assert provider.accept_median_s is None or 0 < provider.accept_median_s < np.inf


def certificates(data: bytes) -> None:
    wrapped = b"-----BEGIN CERTIFICATE-----\n" + b64encode(data) + b"\n-----END CERTIFICATE-----\n"
    for given in (data, text_of(data), wrapped):
        found = attempt(partial(read_certificates, given), PolicyError)
        if found is None:
            continue
        for certificate in found[:5]:
            (again,) = read_certificates(certificate.der)
            assert again == certificate
            assert vars(again).items() >= {k: v for k, v in vars(certificate).items() if k in _FACTS}.items()
            assert certificate.spki in certificate.der
        chain_state(found[:5], found[-1:], 1_780_000_000)
        dane_failure([parse_tlsa(f"3 1 1 {found[0].spki_sha256}")], found[:5], Peer("example.com", "mx.example.com"), 0)


_FACTS = ("names", "subject", "issuer", "not_before_s", "not_after_s", "spki", "ca", "path_length", "for_servers")


def tlsa(data: bytes) -> None:
    text = text_of(data)
    strict, record = (attempt(partial(parse_tlsa, text, unusable=u), PolicyError) for u in (False, True))
    assert strict is None or (strict == record and strict.usable)
    if record is not None:
        assert parse_tlsa(str(record), unusable=True) == record
        assert (strict is not None) == record.usable
        assert len(considered([record])) == record.usable


def mta_sts_policy(data: bytes) -> None:
    for body in (data, text_of(data)):
        policy = attempt(partial(parse_policy, body, SOURCE), PolicyError, body)
        if policy is not None:
            spelt = [
                f"mode: {policy.mode.label}",
                f"max_age: {policy.max_age_s}",
                *(f"mx: {name}" for name in policy.mx),
            ]
            assert parse_policy("\n".join(["version: STSv1", *spelt])) == policy
            policy.lists("mx.example.com")


def mta_sts_txt(data: bytes) -> None:
    text = text_of(data)
    found = attempt(lambda: parse_txt(text), PolicyError)
    if found is not None:
        assert parse_txt(f"v=STSv1; id={found};") == found
    record_id(text.split("\n"))


def decision_table(data: bytes) -> None:
    def read(text: str) -> Any:
        return read_table(text, rows=Seen, columns=Demand, cells=Outcome)

    grid = attempt(lambda: read(text_of(data)), PolicyError)
    if grid is not None:
        again = read(grid_text("seen", grid.codes, rows=Seen, columns=list(Demand), cells=Outcome))
        assert (again.codes == grid.codes).all()


def column_table(data: bytes) -> None:
    found = attempt(lambda: read_columns(text_of(data), rows=Seen, columns=(Reason,)), PolicyError)
    assert found is None or [len(codes) for codes in found] == [len(Seen)]


def demand_table(data: bytes) -> None:
    def read(text: str) -> Any:
        return read_demands(text, Setting, {"mta_sts": True})

    found = attempt(lambda: read(text_of(data)), PolicyError)
    if found is not None:
        again = read(demands_text(found[0], found[1], Setting))
        assert all((a == b).all() for a, b in zip(found, again, strict=True))


def evidence_table(data: bytes) -> None:
    seen = attempt(lambda: read_evidence(text_of(data)), PolicyError)
    assert seen is None or (read_evidence(evidence_text(seen)) == seen).all()


def evidence(data: bytes) -> None:
    found = attempt(lambda: Evidence.parse(text_of(data)), ScenarioError)
    if found is not None:
        assert Evidence.parse(found.text()).text() == found.text()
        found.holds(NameRule.VERIFY)


def setting(data: bytes) -> None:
    found = attempt(lambda: setting_of("fuzz", text_of(data)), PolicyError)
    assert found is None or setting_of("fuzz", found.label) is setting_of("fuzz", found.key) is found


def pattern(data: bytes) -> None:
    text = text_of(data)
    found = attempt(lambda: pattern_name(text), PolicyError)
    assert found is None or pattern_name(found) == found
    name = canonical_domain(text)
    assert name is None or canonical_domain(name) == name
    is_default(text)


def typed_settings(data: bytes) -> None:
    typed = attempt(lambda: settings_of(text_of(data).split("\n")), ScenarioError)
    if typed is not None:
        table = attempt(lambda: DestinationControls.shipped().with_tls(typed), PolicyError)
        assert table is None or len(table.entries) <= len(typed)


def tls_version(data: bytes) -> None:
    found = attempt(lambda: tls_version_of(text_of(data)), ScenarioError)
    assert found is None or tls_version_of(found.label) is found


@cache
def _leaf() -> Any:
    return read_certificates(seeds.certificates()[2])[0]


def fingerprint(data: bytes) -> None:
    attempt(lambda: fingerprint_listed(_leaf(), text_of(data).split(",")), PolicyError)


class _Typed:
    """Answers typed by a person; names of files stay in the folder of the test."""

    def __init__(self, lines: Sequence[str], *, again: bool) -> None:
        self.again = again
        self.lines = list(lines)

    def next(self, prompt: str) -> str:
        if not self.lines:
            raise EndOfAnswersError
        answer = self.lines.pop(0)
        if "name of the file" in prompt and answer.strip():
            return str(_folder() / f"named-{re.sub('[^a-z]', '', answer)[:20]}")
        return answer

    def where(self) -> str:
        return "the answers"


def dialogue(data: bytes) -> None:
    for old in _folder().glob("named-*"):
        old.unlink()
    path = _folder() / "edited.ini"
    before = seeds.DESTINATION_CONTROLS[1]
    path.write_bytes(before)
    lines = text_of(data).split("\n")

    def whole(answers: _Typed) -> bool:
        edit(str(path), None, False, answers)
        return True

    for again in (True, False):
        with contextlib.redirect_stdout(io.StringIO()):
            done = attempt(partial(whole, _Typed(lines, again=again)), PolicyError)
        Policy.read(path)
        assert done or b"commit" in data.lower() or path.read_bytes() == before


TARGETS: dict[str, Target] = {
    "destination-controls": Target(destination_controls, lambda: seeds.DESTINATION_CONTROLS),
    "destconfig-list": Target(destconfig_list, lambda: seeds.LISTS),
    "destconfig-csv": Target(destconfig_csv, lambda: seeds.CSV_TABLES),
    "bounce-profiles": Target(bounce_profiles, lambda: seeds.BOUNCE_PROFILES),
    "scenario": Target(scenario, lambda: seeds.SCENARIOS),
    "grid": Target(grid, lambda: seeds.GRIDS),
    "toml": Target(toml, lambda: seeds.TOML),
    "trace": Target(trace, lambda: seeds.TRACES),
    "destinations": Target(destinations, lambda: seeds.DESTINATIONS),
    "figures": Target(figures, lambda: seeds.FIGURES),
    "providers": Target(providers, lambda: seeds.PROVIDERS),
    "certificates": Target(certificates, seeds.certificates),
    "tlsa": Target(tlsa, seeds.tlsa),
    "mta-sts-policy": Target(mta_sts_policy, lambda: seeds.POLICIES),
    "mta-sts-txt": Target(mta_sts_txt, lambda: seeds.TXT),
    "decision-table": Target(decision_table, lambda: seeds.DECISIONS),
    "column-table": Target(column_table, lambda: seeds.COLUMNS),
    "demand-table": Target(demand_table, lambda: seeds.DEMANDS),
    "evidence-table": Target(evidence_table, lambda: seeds.SORTED_EVIDENCE),
    "evidence": Target(evidence, lambda: seeds.EVIDENCE),
    "setting": Target(setting, lambda: seeds.SETTINGS),
    "pattern": Target(pattern, lambda: seeds.PATTERNS),
    "typed-settings": Target(typed_settings, lambda: seeds.TYPED),
    "tls-version": Target(tls_version, lambda: seeds.VERSIONS),
    "fingerprint": Target(fingerprint, seeds.digests),
    "dialogue": Target(dialogue, lambda: seeds.DIALOGUES),
}
