"""Read a grid file (TOML): scenarios that differ in a few keys. The manual is ``docs/sweep.md``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Final, TypeVar

from sim.errors import ScenarioError, SimError, complaint
from sim.files import read_text
from sim.formats.bounce_profiles import BounceProfiles
from sim.formats.destination_keys import with_guess
from sim.formats.scenario_file import KeyPath, ScenarioFile, ScenarioReader
from sim.formats.scenario_keys import FIGURES, SECTIONS, TIMELINE
from sim.formats.toml_lines import key_lines, line_of, load_toml
from sim.policy.destinations import DestinationControls
from sim.policy.spellings import setting_of
from sim.scenario import Scenario
from sim.terms import Setting, Vary
from sim.world.population import Population

T = TypeVar("T")

#: Key of a grid file -> what may stand there.
_KEYS: Final[Mapping[str, str]] = {
    "scenario": "the path of a scenario file, or a table [scenario] with the keys of one",
    "replications": "a whole number, 1..10000",
    "seed": "a whole number, 0..2^63 - 1",
    "vary": ", ".join(Vary.spellings()),
    "grid": "a section, [grid]",
}
#: Axes beside the keys of a scenario file: the TLS setting, and limits, of every destination.
EVERYWHERE: Final = ("setting", "max_host_concurrency", "max_messages_per_connection")
#: Keys of a scenario file that say how it is run, and not what.
_OF_THE_SWEEP: Final = ("seed", "replications", "vary", "precision")
_NO_AXIS: Final = (*_OF_THE_SWEEP, "records", "engine")
_REPLICATIONS, _SEEDS = range(1, 10_001), range(1 << 63)
#: More would be a slip of the keyboard.
MOST_POINTS: Final = 10_000
MOST_CELLS: Final = 1_000_000
#: Paths in a scenario file that may vary; of figures and events there are more.
_KNOWN: Final[tuple[KeyPath, ...]] = (
    *((name,) for name in (*EVERYWHERE, *SECTIONS["top"]) if name not in _NO_AXIS),
    *((section, name) for section, keys in SECTIONS.items() if section not in ("top", TIMELINE) for name in keys),
)
_AXES: Final = (
    f"{', '.join(EVERYWHERE)}, or a key of a scenario file: sender, workload.messages, population.figures.NAME, "
    "timeline.1.for_h (of the first event)"
)
_LIST = "a list of one value or more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """What varies along one direction of the grid.

    Attributes
    ----------
    name : as the grid file spells it: ``setting``, ``workload.messages``.
    path : of the key in a scenario file; the name alone where it is one of `EVERYWHERE`.
    values : in the order of the file.
    line : where it stands.
    """

    name: str
    path: KeyPath
    values: tuple[Any, ...]
    line: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One combination of the values: a scenario.

    Attributes
    ----------
    labels : its value on each axis, by name; settings by their label, lists and tables as JSON.
    scenario : what they come to.
    """

    labels: dict[str, Any]
    scenario: Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Scenarios that differ in a few keys, and how often each is run.

    Attributes
    ----------
    source : the file.
    axes : what varies; the last varies fastest from point to point.
    points : every combination.
    replications : runs of each point.
    seed : of chance.
    vary : what the replications draw anew; None = what can be.
    engine : which engine runs.
    """

    source: str
    axes: tuple[Axis, ...]
    points: tuple[Point, ...]
    replications: int = 5
    seed: int = 1
    vary: str | None = None
    engine: str = "auto"


def read_grid(path: str | os.PathLike[str]) -> Grid:
    """Read a grid file.

    Parameters
    ----------
    path : the file, TOML. The scenario file it names is relative to its folder, paths in that one to its own.

    Raises
    ------
    SimError
        Of the class of the fault, naming the file (the grid or its scenario), line, key, value, what is allowed and
        the nearest guess.

    Examples
    --------
    >>> import sim
    >>> grid = read_grid(sim.example("sweep.toml"))
    >>> [axis.name for axis in grid.axes], len(grid.points), grid.replications
    (['setting', 'max_host_concurrency'], 6, 3)
    """
    return parse_grid(read_text(path, ScenarioError), source=str(path), folder=Path(path).parent)


def parse_grid(text: str, *, source: str = "<text>", folder: str | os.PathLike[str] = ".") -> Grid:
    """Read the text of such a file; the path in it is relative to ``folder``. See `read_grid`."""
    return _GridReader(text, source, Path(folder)).read()


class _GridReader:
    def __init__(self, text: str, source: str, folder: Path) -> None:
        self.source = source
        self.folder = folder
        self.document = load_toml(text, source, ScenarioError)
        self.lines = key_lines(text)
        self.kept: dict[str, Any] = {}

    def read(self) -> Grid:
        self.check_keys()
        base = self.base()
        axes = tuple(self.axes())
        if not axes:
            raise self.fault(("grid",), "[grid]", {}, f"KEY = [VALUE, ...]; keys: {_AXES}")
        self.check_number("points", prod(len(axis.values) for axis in axes), MOST_POINTS)
        files = [(values, base.at_point(axes, values)) for values in product(*(axis.values for axis in axes))]
        replications = self.run_key("replications", base, 5)
        self.check_number("cells", len(files) * replications, MOST_CELLS)
        if "replications" not in self.document and (precision := base.common.get("precision")) is not None:
            raise base.fault(("precision",), precision, "not in a sweep, whose grid file says how many replications")
        return Grid(
            source=self.source,
            axes=axes,
            points=tuple(
                Point(labels={a.name: plain(v) for a, v in zip(axes, values, strict=True)}, scenario=file.scenario)
                for values, file in files
            ),
            replications=replications,
            seed=self.run_key("seed", base, 1),
            vary=self.run_key("vary", base, None),
            engine=files[0][1].engine,
        )

    def check_number(self, what: str, number: int, most: int) -> None:
        """Refuse a grid that is too large."""
        if number > most:
            raise self.fault(("grid",), f"{what} of the grid", number, f"up to {most:,}")

    def check_keys(self) -> None:
        """Refuse keys that a grid file does not have, and values they cannot have."""
        for name, value in self.document.items():
            if name not in _KEYS:
                raise self.fault((name,), "unknown key", name, list(_KEYS))
            right = {
                "scenario": isinstance(value, str | dict),
                "replications": _is_in(value, _REPLICATIONS),
                "seed": _is_in(value, _SEEDS),
                "vary": isinstance(value, str) and value in Vary.spellings(),
                "grid": isinstance(value, dict),
            }
            if not right[name]:
                raise self.fault((name,), name, value, list(Vary.spellings()) if name == "vary" else _KEYS[name])
        for name in ("scenario", "grid"):
            if name not in self.document:
                raise ScenarioError(f"{self.source}:1: {name} is missing; allowed: {_KEYS[name]}")

    def run_key(self, name: str, base: _Base, default: Any) -> Any:
        """Return a key of the run: the grid's, the scenario's, or a default."""
        if name in self.document:
            return self.document[name]
        # What is wrong there has been refused with the points.
        given = base.common.get(name)
        return default if given is None else given

    def base(self) -> _Base:
        """Return the scenario that all points have in common, as it is written."""
        given = self.document["scenario"]
        if isinstance(given, dict):
            lines = {path[1:]: line for path, line in self.lines.items() if path[:1] == ("scenario",)}
            return _Base(self, given, lines, self.source, self.folder)
        path = self.folder / given
        try:
            text = read_text(path, ScenarioError)
        except SimError as fault:
            raise ScenarioError(self.placed(("scenario",), f"scenario: {fault}")) from fault
        return _Base(self, load_toml(text, str(path), ScenarioError), key_lines(text), str(path), path.parent)

    def axes(self) -> Iterator[Axis]:
        """Yield the axes of ``[grid]``: ``workload.messages`` may be one quoted key, or a key of a table."""
        seen: set[KeyPath] = set()
        for names, values in _flat(self.document["grid"]):
            at: KeyPath = ("grid", *names)
            name = ".".join(names)
            path = self.checked_path(at, name)
            if not isinstance(values, list) or not values:
                raise self.fault(at, f"[grid] {name}", values, "a list of one value or more")
            if path in seen or (path == ("setting",) and ("sender_setting",) in seen):
                raise self.fault(at, "[grid] key", name, "each key once, and one of setting, sender_setting")
            seen |= {path, ("setting",)} if path == ("sender_setting",) else {path}
            if path == ("setting",):
                values = [self.setting(at, value) for value in values]
            told: set[str] = set()
            for value in values:
                try:
                    spelt = repr(plain(value))
                except (RecursionError, ValueError):
                    raise self.fault(at, f"[grid] {name}", plain(value), "values that can be spelt") from None
                if spelt in told:
                    raise self.fault(at, f"[grid] {name}", plain(value), "each value once")
                told.add(spelt)
            yield Axis(name=name, path=path, values=tuple(values), line=line_of(self.lines, at))

    def checked_path(self, at: KeyPath, name: str) -> KeyPath:
        """Return the path of a key in a scenario file, the number of an event as its place in the timeline."""
        parts = name.split(".")
        if parts[0] in _NO_AXIS:
            raise self.fault(at, "[grid] unknown key", name, "no axis: it says how the sweep runs; before [grid]")
        if tuple(parts) in _KNOWN or (parts[:2] == ["population", FIGURES] and len(parts) == 3):
            return tuple(parts)
        if parts[0] == TIMELINE and len(parts) == 3 and parts[2] in SECTIONS[TIMELINE]:
            if parts[1].isascii() and parts[1].isdecimal() and 0 < len(parts[1]) < 4 and int(parts[1]):
                return TIMELINE, int(parts[1]) - 1, parts[2]
            raise self.fault(
                at, f"[grid] {name}: event", parts[1], "1, 2, ...: its place among the [[timeline]] tables"
            )
        names = [".".join(map(str, path)) for path in _KNOWN]
        raise self.fault(at, "[grid] unknown key", name, with_guess(_AXES, name, names))

    def setting(self, at: KeyPath, value: object) -> Setting:
        """Return the TLS setting that a value spells."""
        try:
            found = setting_of("[grid] setting", str(value))
        except SimError as fault:
            raise ScenarioError(self.placed(at, str(fault).replace(", default", ""))) from None
        if found is None:
            raise self.fault(at, "[grid] setting", value, [s.key for s in Setting])
        return found

    def fault(self, path: KeyPath, name: str, value: object, allowed: str | list[str]) -> ScenarioError:
        return ScenarioError(self.placed(path, complaint(name, value, allowed)))

    def placed(self, path: KeyPath, text: str) -> str:
        return f"{self.source}:{line_of(self.lines, path)}: {text}"


class _Base(ScenarioReader):
    """Reads the scenario of each point; a fault in a value of the grid is told with the line of the grid."""

    def __init__(
        self, grid: _GridReader, document: dict[str, Any], lines: Mapping[KeyPath, int], source: str, folder: Path
    ) -> None:
        super().__init__("", source, folder, document)
        self.lines = lines
        self.sources = (source, grid.source)
        self.grid = grid
        self.common = document
        self.axes: tuple[Axis, ...] = ()

    def at_point(self, axes: tuple[Axis, ...], values: tuple[Any, ...]) -> ScenarioFile:
        """Read the scenario with the values of a point in their places."""
        self.axes, self.strict, self.document = axes, False, dict(self.common)
        for axis, value in zip(axes, values, strict=True):
            if axis.path[0] not in EVERYWHERE:
                self.put(axis, value)
        file = self.read()
        scenario = file.scenario
        for axis, value in zip(axes, values, strict=True):
            if axis.path[0] == "setting":
                scenario = self.build(axis.path, partial(scenario.with_setting, value))
            elif axis.path[0] in EVERYWHERE:
                scenario = self.build(axis.path, partial(with_limit, scenario, axis.name, value))
        return replace(file, scenario=scenario)

    def put(self, axis: Axis, value: Any) -> None:
        """Put a value into the document; another sender comes as it is shipped, as ``--sender`` has it."""
        if axis.path == ("sender",) and value != self.common.get("sender", "esa"):
            asked = {other.path[0] for other in self.axes}
            for name in ("switches", "sender_switches", "sender_setting"):
                if name not in asked:
                    self.document.pop(name, None)
        *sections, last = axis.path
        inside: Any = self.document
        for section in sections:
            if isinstance(inside, dict):
                there = inside.get(section, [] if section == TIMELINE else {})
            else:
                there = self.event_at(axis, inside, section)
            # A section that is none is left as it is, and told when the scenario is read.
            if not isinstance(there, dict | list):
                return
            inside[section] = there.copy()
            inside = inside[section]
        if isinstance(inside, dict):
            inside[last] = value

    def event_at(self, axis: Axis, events: Any, place: Any) -> Any:
        """Return the table of an event of the timeline."""
        if place >= len(events):
            allowed = (
                f"1..{len(events)}: events of the scenario" if events else "none: the scenario has no [[timeline]]"
            )
            raise ScenarioError(self.at(axis.path, complaint(f"[grid] {axis.name}: event", place + 1, allowed))[1])
        return events[place]

    def population(self, keys: Mapping[str, Any]) -> Population:
        """Draw a population once for all points that have it."""
        return self.once(("population", keys), lambda: super(_Base, self).population(keys))

    def profiles(self, keys: Mapping[str, Any]) -> BounceProfiles:
        """Read bounce profiles once."""
        return self.once(("profiles", keys), lambda: super(_Base, self).profiles(keys))

    def controls(self, path: KeyPath, name: str, profiles: BounceProfiles) -> DestinationControls:
        """Read a policy file once with the same profiles."""
        return self.once((name, id(profiles), self.strict), lambda: super(_Base, self).controls(path, name, profiles))

    def once(self, key: object, make: Callable[[], T]) -> T:
        """Return what was made before under the same key, or make it."""
        kept, spelt = self.grid.kept, json.dumps(key, sort_keys=True, default=str)
        if spelt not in kept:
            kept[spelt] = make()
        found: T = kept[spelt]
        return found

    def at(self, path: KeyPath, text: str) -> tuple[int, str]:
        """Return the line of a key in the file where it stands, the grid for its values, and the text placed there."""
        for axis in self.axes:
            if path[: len(axis.path)] == axis.path or (not path and text.startswith(f"{axis.path[-1]} ")):
                return axis.line, f"{self.grid.source}:{axis.line}: {text}"
        return super().at(path, text)


def with_limit(scenario: Scenario, name: str, value: int) -> Scenario:
    """Return the scenario with a limit of the policy for every destination, throughout.

    Raises
    ------
    PolicyError
        When the value is out of range.
    """
    change: dict[str, Any] = {name: value}
    try:
        replace(scenario.policy.default, **change)
    except SimError as fault:
        raise type(fault)(str(fault).removeprefix("[DEFAULT] ")) from None

    def limited(policy: DestinationControls) -> DestinationControls:
        entries = tuple(e if getattr(e, name) is None else replace(e, **change) for e in policy.entries)
        return replace(policy, default=replace(policy.default, **change), entries=entries)

    timeline = tuple(
        event if event.policy is None else replace(event, policy=limited(event.policy)) for event in scenario.timeline
    )
    return replace(scenario, policy=limited(scenario.policy), timeline=timeline)


def plain(value: Any) -> Any:
    """Return a value of an axis as a cell of a table: a setting by its label, lists and tables as JSON."""
    if isinstance(value, Setting):
        return value.label
    return json.dumps(value, sort_keys=True, default=str) if isinstance(value, list | dict) else value


def _flat(tables: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and the value of each key in nested tables; deeper than any key they are left as they are."""
    for name, value in tables.items():
        if not isinstance(value, dict):
            yield (name,), value
            continue
        for inner, below in value.items():
            if not isinstance(below, dict):
                yield (name, inner), below
            else:
                yield from (((name, inner, last), deepest) for last, deepest in below.items())


def _is_in(value: object, numbers: range) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in numbers
