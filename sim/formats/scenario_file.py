"""Read a scenario file (TOML): a `Scenario` and how to run it. The manual is ``docs/scenario-file.md``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sim.errors import ScenarioError, SimError, complaint
from sim.files import read_text
from sim.formats.bounce_profiles import BounceProfiles, read_bounce_profiles
from sim.formats.destination_controls import Policy
from sim.formats.destination_keys import with_guess
from sim.formats.scenario_keys import FIGURES, TIMELINE, key_at, model, names_at
from sim.formats.toml_lines import key_lines, line_of, load_toml
from sim.formats.trace_file import read_trace
from sim.policy.destinations import DestinationControls
from sim.policy.profiles import profile
from sim.policy.profiles.esa import Switches
from sim.scenario import DeliverySwitches, Scenario
from sim.terms import Setting, TlsVersion
from sim.timeline import EVENTS, Event, check_event, policy_before
from sim.world.figures import Figures, load
from sim.world.population import DEFAULT_BEHAVIOUR, Population
from sim.world.shapes import Recipients, Sizes, default_recipients, default_sizes
from sim.world.workload import Workload

T = TypeVar("T")
KeyPath = tuple[str | int, ...]

_FIELD = re.compile(r"(?:switch )?(\w+)")
#: What stands before the key in a fault of an event: which kind of event it is.
_EVENT_KEY = re.compile(rf"^(?:{'|'.join(EVENTS)}): (?=\w+ (?:=|is missing))")
_SIZE_KEYS = {
    f"size_{name}": name for name in ("min_bytes", "median_bytes", "sigma", "tail_share", "tail_exponent", "max_bytes")
}
_RECIPIENT_KEYS = {"recipients_exponent": "exponent", "recipients_max": "most"}
_MAIL = ("messages", "messages_per_day", "trace")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioFile:
    """A scenario and how to run it, as a file says.

    Attributes
    ----------
    source : the file.
    scenario : policy, population, mail.
    seed : of all chance in the run.
    replications : runs of a study that repeats them; ``None`` where the file does not say.
    vary : what its replications draw anew; ``None`` likewise.
    precision : half-width wanted instead of a number, percentage points; ``None`` likewise.
    records : whether to keep a row per message and per connection.
    engine : which engine runs.
    """

    source: str
    scenario: Scenario
    seed: int = 1
    replications: int | None = None
    vary: str | None = None
    precision: float | None = None
    records: bool = False
    engine: str = "auto"

    def options(self) -> dict[str, Any]:
        """Return the arguments of `sim.simulate` beside the scenario: seed, engine, records."""
        return {"seed": self.seed, "engine": self.engine, "records": self.records}


def read_scenario(path: str | os.PathLike[str]) -> ScenarioFile:
    """Read a scenario file.

    Parameters
    ----------
    path : the file, TOML; paths in it are relative to its folder.

    Raises
    ------
    SimError
        Of the class of the fault (`ScenarioError`, `PolicyError`, ...), naming file, line, section, key, value, what
        is allowed and the nearest guess. When there is more than one fault in the file, the others are its notes.

    Examples
    --------
    >>> import sim
    >>> file = sim.read_scenario(sim.example("scenario.toml"))
    >>> file.scenario.days, file.options()
    (1.0, {'seed': 1, 'engine': 'auto', 'records': False})
    """
    return parse_scenario(read_text(path, ScenarioError), source=str(path), folder=Path(path).parent)


def parse_scenario(text: str, *, source: str = "<text>", folder: str | os.PathLike[str] = ".") -> ScenarioFile:
    """Read the text of such a file; paths in it are relative to ``folder``. See `read_scenario`."""
    return ScenarioReader(text, source, Path(folder)).read()


class ScenarioReader:
    """Reads a document of sections and keys, and tells a fault with the line of its key.

    Parameters
    ----------
    text, source : the text, and how faults name it.
    folder : that paths in it are relative to.
    document : the text as TOML; None = it is read here.
    """

    def __init__(self, text: str, source: str, folder: Path, document: dict[str, Any] | None = None) -> None:
        self.lines = key_lines(text)
        self.source = source
        #: What faults that have their line already begin with.
        self.sources: tuple[str, ...] = (source,)
        self.folder = folder
        self.document = load_toml(text, source, ScenarioError) if document is None else document
        self.strict = False

    def read(self) -> ScenarioFile:
        """Return what the document says; raises as `read_scenario` does."""
        given = self.checked()
        if None not in (given["until_h"], given["until_s"]):
            raise self.fault(("until_s",), given["until_s"], "once: until_h is given too")
        if None not in (given["replications"], given["precision"]):
            raise self.fault(("precision",), given["precision"], "not beside replications, whose number it decides")
        until_s = given["until_s"] if given["until_h"] is None else given["until_h"] * 3_600
        self.strict = bool(given["policy"]["strict"])
        profiles = self.profiles(given["policy"])
        policy = self.policy(given["policy"], profiles)
        population = self.population(given["population"])
        days = given["days"] or 1.0
        events = [self.event(i, keys, policy, profiles) for i, keys in enumerate(given[TIMELINE])]
        self.check_events(events, population, policy, days)
        sender, switches = given["sender"] or "esa", given["sender_switches"] or {}
        if sender != "esa":
            for name, value in switches.items():
                self.build(("sender_switches", name), partial(profile(sender).resolved, {name: value}))
        scenario = self.build(
            (),
            lambda: Scenario(
                policy=policy,
                population=population,
                workload=self.workload(given["workload"], days, counts=population.messages_are_counts),
                sender=sender,
                sender_setting=given["sender_setting"],
                sender_switches=switches,
                days=days,
                until_s=until_s,
                switches=self.build(("switches",), lambda: Switches(**_set(given["switches"]))),
                delivery=self.build(("delivery",), lambda: DeliverySwitches(**_set(given["delivery"]))),
                minimum_tls=self.minimum_tls(given["minimum_tls"]),
                timeline=tuple(events),
            ),
        )
        run = {name: given[name] for name in ("seed", "replications", "vary", "precision", "records", "engine")}
        return ScenarioFile(source=self.source, scenario=scenario, **_set(run))

    def checked(self) -> dict[str, Any]:
        """Return the document with every key a file may have, ``None`` where it has none."""
        from pydantic import ValidationError

        try:
            given: dict[str, Any] = model().model_validate(self.document).model_dump()
            wrong: set[tuple[int, str]] = set()
        except ValidationError as faults:
            given, wrong = {}, {self.complain(fault) for fault in faults.errors()}
        if not (wrong := wrong | self.wrong_words()):
            return given
        (_, first), *others = sorted(wrong)
        error = ScenarioError(first)
        for _, other in others:
            error.add_note(other)
        raise error

    def complain(self, fault: Mapping[str, Any]) -> tuple[int, str]:
        """Say one fault of the types as this package says it: the line, for the order, and the text."""
        path: KeyPath = tuple(fault["loc"])
        value = fault["input"]
        if fault["type"] == "extra_forbidden":
            kind = "section" if isinstance(value, dict) else "key"
            text = complaint(_in(path[:-1], f"unknown {kind}"), path[-1], names_at(path[:-1]))
        elif (key := key_at(path)) is not None:
            text = complaint(_label(path), value, key.allowed)
        elif FIGURES in path:
            text = complaint(_label(path), value, "a number")
        else:
            section = f"tables, [[{TIMELINE}]]" if path[0] == TIMELINE else f"a section, [{path[0]}]"
            text = complaint(_label(path), value, section)
        return self.at(path, text)

    def wrong_words(self) -> set[tuple[int, str]]:
        """Complain of words that are none of those allowed."""
        found = set()
        for path, value in self.values():
            key = key_at(path)
            if key is not None and isinstance(key.allowed, tuple) and value not in key.allowed:
                found.add(self.at(path, complaint(_label(path), value, key.allowed)))
        return found

    def values(self) -> Iterator[tuple[KeyPath, object]]:
        """Yield the path and the value of each key, in sections, arrays of tables and before them."""
        for section, keys in self.document.items():
            if isinstance(keys, dict):
                yield from (((section, name), value) for name, value in keys.items())
            elif section == TIMELINE and isinstance(keys, list):
                for place, table in enumerate(keys):
                    inside = table if isinstance(table, dict) else {}
                    yield from (((section, place, name), value) for name, value in inside.items())
            else:
                yield (section,), keys

    def profiles(self, keys: Mapping[str, Any]) -> BounceProfiles:
        """Return the bounce profiles that the policy names."""
        if keys["bounce_profiles"] is None:
            return BounceProfiles()
        where = self.folder / keys["bounce_profiles"]
        path = ("policy", "bounce_profiles")
        return self.build(path, lambda: read_bounce_profiles(where, strict=self.strict), where)

    def policy(self, keys: Mapping[str, Any], profiles: BounceProfiles) -> DestinationControls:
        """Return the policy of the section."""
        if keys["file"] is None:
            return DestinationControls(profiles=profiles.profiles, host_retry=profiles.host_retry)
        return self.controls(("policy", "file"), keys["file"], profiles)

    def controls(self, path: KeyPath, name: str, profiles: BounceProfiles) -> DestinationControls:
        """Read the Destination Controls that a key names."""
        where = self.folder / name
        return self.build(path, lambda: Policy.read(where, profiles=profiles, strict=self.strict), where)

    def event(
        self, place: int, keys: Mapping[str, Any], policy: DestinationControls, profiles: BounceProfiles
    ) -> Event:
        """Return the event of the table at a place of the timeline."""
        path: KeyPath = (TIMELINE, place)
        given = _set(keys)
        for name in ("event", "at_h"):
            if name not in given:
                raise ScenarioError(self.at(path, f"{_label((*path, name))} is missing; allowed: {_allowed(name)}")[1])
        later = self.later_policy(path, given, policy, profiles)
        return self.build(path, lambda: Event(**given, policy=later))

    def later_policy(
        self, path: KeyPath, given: dict[str, Any], policy: DestinationControls, profiles: BounceProfiles
    ) -> DestinationControls | None:
        """Take the keys that say a policy out of an event, and return the policy."""
        said = {name: given.pop(name) for name in ("file", "setting", "set") if name in given}
        if given["event"] != "policy":
            for name, value in said.items():
                raise self.fault((*path, name), value, "only beside event = 'policy'")
            return None
        if len(said) != 1:
            text = complaint(f"{_label(path)} policy", " and ".join(said) or "nothing", "one of file, setting, set")
            raise ScenarioError(self.at(path, text)[1])
        if "file" in said:
            given.setdefault("label", f"policy {said['file']}")
            return self.controls((*path, "file"), said["file"], profiles)
        if "set" in said:
            given.setdefault("label", ", ".join(f"{pattern} {setting}" for pattern, setting in said["set"].items()))
            return self.build((*path, "set"), lambda: policy.with_tls(said["set"]))
        setting = next(s for s in Setting if s.key == said["setting"])
        given.setdefault("label", f"{setting.label} everywhere")
        return policy.with_setting(setting)

    def check_events(
        self, events: Sequence[Event], population: Population, policy: DestinationControls, days: float
    ) -> None:
        """Tell an event that does not fit the scenario with the line of its table."""
        hours: set[float] = set()
        for place, event in sorted(enumerate(events), key=lambda pair: pair[1].at_h):
            if event.policy is not None and event.at_h in hours:
                raise self.fault((TIMELINE, place, "at_h"), event.at_h, "another hour than that of any other policy")
            hours |= {event.at_h} if event.policy is not None else set()
            before = policy_before(event, [e for e in events if e.at_h < event.at_h], policy)
            self.build((TIMELINE, place), partial(check_event, event, population, before, days))

    def population(self, keys: Mapping[str, Any]) -> Population:
        """Return who receives."""
        preset, seed = keys["preset"] or DEFAULT_BEHAVIOUR, 1 if keys["seed"] is None else keys["seed"]
        figures: dict[str, float] = keys[FIGURES] or {}
        known = self.build(("population", "preset"), lambda: load(preset))
        for name, value in figures.items():
            self.figure(known, name, value)
        if keys["csv"] is None:
            domains = 5_000 if keys["domains"] is None else keys["domains"]
            return self.build(
                ("population", FIGURES) if figures else ("population",),
                lambda: Population.preset(preset, domains=domains, seed=seed, **figures),
            )
        if keys["domains"] is not None:
            raise self.fault(("population", "domains"), keys["domains"], "not beside csv, which lists the destinations")
        where = self.folder / keys["csv"]
        return self.build(
            ("population", "csv"), lambda: Population.read_csv(where, preset=preset, seed=seed, **figures), where
        )

    def figure(self, known: Figures, name: str, value: float) -> None:
        """Try one override alone, so that a fault can be told with its line."""
        path = ("population", FIGURES, name)
        if name not in known.settable():
            allowed = with_guess("a figure of docs/populations.md", name, known.settable())
            raise ScenarioError(self.at(path, complaint(_in(path[:-1], "unknown key"), name, allowed))[1])
        self.build(path, lambda: known.changed({name: value}))

    def workload(self, keys: Mapping[str, Any], days: float, *, counts: bool) -> Workload:
        """Return what is sent; ``counts`` tells that the population knows its mail."""
        given = _set(keys)
        self.fit_together(given, counts=counts)
        if "trace" in given:
            where = self.folder / given["trace"]
            trace = self.build(("workload", "trace"), lambda: read_trace(where), where)
            return self.build(("workload", "trace"), lambda: Workload(trace=trace))
        shapes: dict[str, Any] = {
            "size_bytes": given.get("size_bytes", self.sizes(given)),
            "recipients": given.get("recipients", self.recipients(given)),
        }
        shapes |= {name: given[name] for name in ("hourly", "weekday", "messages_per_day") if name in given}
        workload = self.build(("workload",), lambda: Workload(**shapes))
        if "messages" not in given:
            return workload
        return self.build(("workload",), lambda: workload.total(given["messages"], days))

    def fit_together(self, given: Mapping[str, Any], *, counts: bool) -> None:
        """Refuse keys that contradict each other, and mail whose amount nobody said."""
        amounts = [name for name in _MAIL if name in given]
        if len(amounts) > 1:
            raise self.fault(("workload", amounts[1]), given[amounts[1]], f"not beside {amounts[0]}")
        if not amounts and not counts:
            text = "[workload] messages is missing; allowed: messages, messages_per_day or trace, or [population] csv"
            raise ScenarioError(self.at(("workload",), text)[1])
        for whole, parts in (
            ("trace", [name for name in given if name != "trace"]),
            ("size_bytes", [*_SIZE_KEYS]),
            ("recipients", [*_RECIPIENT_KEYS]),
        ):
            beside = next((name for name in parts if name in given), None)
            if whole in given and beside is not None:
                raise self.fault(("workload", beside), given[beside], f"not beside {whole}")

    def sizes(self, given: Mapping[str, Any]) -> Sizes:
        """Return the distribution of sizes."""
        shape = _changed(default_sizes(), _SIZE_KEYS, given)
        if shape.min_bytes > shape.max_bytes:
            name = "size_max_bytes" if "size_max_bytes" in given else "size_min_bytes"
            allowed = f"size_min_bytes ({shape.min_bytes:g}) at most size_max_bytes ({shape.max_bytes:g})"
            raise self.fault(("workload", name), given[name], allowed)
        return shape

    def recipients(self, given: Mapping[str, Any]) -> Recipients:
        """Return the distribution of recipients."""
        return _changed(default_recipients(), _RECIPIENT_KEYS, given)

    def minimum_tls(self, label: str | None) -> TlsVersion | None:
        """Return the TLS version of a label."""
        return next((version for version in TlsVersion if version.label == label), None)

    def build(self, path: KeyPath, make: Callable[[], T], file: Path | None = None) -> T:
        """Make a part; a fault in it is told with the line of the key it comes from.

        Parameters
        ----------
        path : the key or section.
        make : makes the part.
        file : a file that the part is read from. A fault inside it names its own line there, and is left alone.
        """
        try:
            return make()
        except SimError as fault:
            text = str(fault)
            told = tuple(f"{source}:" for source in self.sources)
            if text.startswith(told) or (file is not None and text.startswith(str(file))):
                raise
            of_key = _EVENT_KEY.sub("", text) if path[:1] == (TIMELINE,) else text
            field = _FIELD.match(of_key)
            if field is not None and of_key[field.end() :].startswith((" =", "[", " is missing;")):
                deeper = (*path, field[1])
                path = deeper if key_at(path) is None and key_at(deeper) is not None else path
                text = f"{_label(path)}{of_key[field.end() :]}" if path else text
            else:
                text = f"{_label(path)}: {text}" if path else text
            raise type(fault)(self.at(path, text)[1]) from fault

    def fault(self, path: KeyPath, value: object, allowed: str) -> ScenarioError:
        """Return the fault of a key with its line."""
        return ScenarioError(self.at(path, complaint(_label(path), value, allowed))[1])

    def at(self, path: KeyPath, text: str) -> tuple[int, str]:
        """Return the line of a key, and the text with file and line before it."""
        line = line_of(self.lines, path)
        return line, f"{self.source}:{line}: {text}"


def _set(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in keys.items() if value is not None}


def _changed(shape: T, keys: Mapping[str, str], given: Mapping[str, Any]) -> T:
    changes: dict[str, Any] = {field: given[name] for name, field in keys.items() if name in given}
    return replace(shape, **changes)  # type: ignore[type-var]


def _allowed(name: str) -> str:
    key = key_at((TIMELINE, name))
    allowed = key.allowed if key is not None else ""
    return allowed if isinstance(allowed, str) else ", ".join(allowed)


def _in(section: KeyPath, what: str) -> str:
    """Put a section before what is in it: ``[policy] ...``, ``[[timeline]] ...``."""
    names = ".".join(part for part in section if isinstance(part, str))
    if not names:
        return what
    return f"[[{names}]] {what}" if isinstance(section[-1], int) else f"[{names}] {what}"


def _label(path: KeyPath) -> str:
    """Spell a path as people read it: ``[workload] hourly[3]``, ``[[timeline]] at_h``."""
    last = max((i for i, part in enumerate(path) if isinstance(part, str)), default=-1)
    if last < 0:
        return ""
    if path[:1] == (TIMELINE,) and len(path) == 2:
        return f"[[{TIMELINE}]]"
    index = "".join(f"[{part}]" for part in path[last + 1 :])
    return _in(path[:last], f"{path[last]}{index}")
