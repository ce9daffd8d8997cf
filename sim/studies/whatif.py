"""The policy what-if: the same mail before and after a change, and where its messages part ways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sim.delivery.compile import compile_world
from sim.delivery.simulate import check_number, origin
from sim.delivery.world import World
from sim.errors import ScenarioError, complaint
from sim.policy.destinations import DEFAULT, EVERYTHING, DestinationControls, canonical_domain, pattern_name
from sim.policy.spellings import setting_of
from sim.scenario import Scenario
from sim.studies.parting import Pair, Parting, check_same_mail, part
from sim.studies.replications import MOST, Plan, replicate
from sim.studies.runs import RunsProgress, counted_on, each
from sim.studies.whatif_ends import at_end, other_end, rests_on_ptr
from sim.studies.whatif_result import WhatIfResult
from sim.terms import Setting, TlsVersion, Vary
from sim.timeline import Event, concerned, policy_before
from sim.world.population import Population

if TYPE_CHECKING:
    import pandas as pd

Settings = Mapping[str, Setting | str | None]

_ASKED = {
    Setting.NO: "Turning TLS off",
    Setting.PREFERRED: "Preferring TLS",
    Setting.REQUIRED: "Requiring TLS",
    Setting.PREFERRED_VERIFY: "Preferring verified TLS",
    Setting.REQUIRED_VERIFY: "Requiring verified TLS",
    Setting.REQUIRED_VERIFY_HOSTED: "Requiring verified TLS (hosted domains)",
    None: "Leaving TLS to DEFAULT",
}
_MOST_NAMED = 3


def whatif(
    scenario: Scenario,
    *,
    set: Settings | None = None,  # noqa: A002 - the word of the command line
    policy: DestinationControls | None = None,
    minimum_tls: TlsVersion | str | None = None,
    sender: str | None = None,
    to: Scenario | None = None,
    cn_is_ptr: bool | None = None,
    replications: int | None = None,
    precision: float | None = None,
    vary: str | Vary | None = None,
    seed: int = 1,
    most: int = MOST,
    jobs: int | None = None,
    progress: RunsProgress | None = None,
) -> WhatIfResult:
    """Run the same mail before and after a change and compare it message by message.

    Both runs of a replication have the same population and chance, so that a message differs only where the change
    makes it differ. At least one change is given; several are made together.

    Parameters
    ----------
    scenario : what is in force today.
    set : TLS settings to type into the table, pattern to setting (`DestinationControls.with_tls`):
        ``{"*.gov": "required_verify", "DEFAULT": "preferred"}``.
    policy : another table in place of today's, throughout: policy events of the timeline are left out after the change.
    minimum_tls : another lowest TLS version: a `TlsVersion`, ``"1.3"`` or ``"TLSv1.3"``.
    sender : another sender.
    to : another scenario of the same population and mail, for any other change.
    cn_is_ptr : whether every certificate that names its MX host carries the PTR name as its CN, or none does: nobody
        has published how often it is so. None = as the population is drawn; where the answer rests on it,
        `WhatIfResult.other_end` is then the answer at the other end, of as many pairs of runs.
    replications : pairs of runs. The first has the scenario's population and ``seed``; the others draw anew what
        varies. None = 5, or as many as the precision needs.
    precision : half-width wanted of all differences of shares of fates, in percentage points; 20 replications or more.
    vary, most : as for `sim.modes`.
    seed : of chance.
    jobs : processes; None = the processors there are.
    progress : called with (pairs that are done, pairs in all).

    Raises
    ------
    ScenarioError, PolicyError
        When no change is given, an argument is out of range, or ``to`` has another population or other mail.

    Examples
    --------
    >>> from sim.world.population import Population
    >>> clear = {"host": "mx.a.gov", "not_offered_rate": 1.0}
    >>> people = Population.custom([{"domain": "a.gov", "messages": 9, "hosts": [clear]}])
    >>> print(whatif(Scenario(population=people), set={"*.gov": "required"}, replications=1, jobs=1).sentence())
    Requiring TLS for *.gov keeps 8 messages a day out of the clear (100 % of all mail; 8 by bouncing) and bounces 8 ...
    """
    check_number("jobs", jobs)
    plan = Plan.of(scenario, replications, precision, vary, seed, most)
    return _answer(scenario, _Change(set or {}, policy, minimum_tls, sender, to), plan, cn_is_ptr, jobs, progress)


def _answer(
    scenario: Scenario,
    change: _Change,
    plan: Plan,
    cn_is_ptr: bool | None,
    jobs: int | None,
    progress: RunsProgress | None,
) -> WhatIfResult:
    """Run the pairs, and as many at the other end of the unmeasured figure where the answer rests on it."""
    after = change.applied(scenario)
    runs = _Pairs(scenario, after, plan, jobs, progress, change.concerns_all, cn_is_ptr)
    found = replicate(plan, runs, fate_differences)
    told = {"change": change.words(scenario, after)} | change.events(scenario, after)
    patterns = patterns_frame(scenario, after, change.set)
    meta = told | runs.meta() | found.meta()
    end = None if cn_is_ptr is not None or not runs.rest_on_ptr else other_end(scenario.population)
    other = None
    if end is not None:
        count = len(found.results)
        again = _Pairs(scenario, after, plan, jobs, progress, change.concerns_all, end, count)
        parts = tuple(again(range(count)))
        # As many pairs as the answer has: a precision was not asked of them.
        drawn = {key: found.meta()[key] for key in ("seed", "replications", "vary")}
        other = WhatIfResult(scenario, after, parts, patterns, told | again.meta() | drawn)
    return WhatIfResult(scenario, after, found.results, patterns, meta, other)


@dataclass(frozen=True, slots=True)
class _Change:
    """What is asked for, as `whatif` takes it."""

    set: Settings
    policy: DestinationControls | None
    minimum_tls: TlsVersion | str | None
    sender: str | None
    to: Scenario | None

    @property
    def concerns_all(self) -> bool:
        """Whether more than typed settings changes, so that all mail may go otherwise."""
        return any(v is not None for v in (self.policy, self.minimum_tls, self.sender, self.to))

    def applied(self, today: Scenario) -> Scenario:
        """Return the scenario after the change."""
        if not self.set and not self.concerns_all:
            raise ScenarioError(complaint("change", "none", "at least one of set, policy, minimum_tls, sender, to"))
        after = today if self.to is None else self.to
        people, theirs = today.population, after.population
        if theirs.hash != people.hash:
            same = f"a scenario with the population of today, {people.name} ({people.hash})"
            raise ScenarioError(complaint("to", f"{theirs.name} ({theirs.hash})", same))
        if self.set and self.sender is None and after.sender_setting is not None:
            allowed = f"none: sender_setting ({after.sender_setting}) holds for every destination, whatever the table"
            raise ScenarioError(complaint("set", ", ".join(map(str, self.set)), allowed))
        table = (after.policy if self.policy is None else self.policy).with_tls(self.set)
        after = replace(after, policy=table, population=people, timeline=self._timeline(after.timeline))
        if self.sender is not None:
            after = after.sent_by(self.sender)
        return after if self.minimum_tls is None else replace(after, minimum_tls=tls_version_of(self.minimum_tls))

    def _timeline(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        """Type the settings into every table that comes into force later; another table is not changed again."""
        kept = [event for event in events if self.policy is None or event.policy is None]
        if not self.set:
            return tuple(kept)
        # What was typed may be all that an event changes; it is still an event, since it may rule over another one.
        return tuple(
            e if e.policy is None else replace(e, policy=e.policy.with_tls(self.set), may_be_idle=True) for e in kept
        )

    def events(self, today: Scenario, after: Scenario) -> dict[str, list[dict[str, Any]]]:
        """Return the policy events that the other table replaces, and those that change nothing any more."""
        given = today if self.to is None else self.to
        dropped = [e for e in given.timeline if e.policy is not None] if self.policy is not None else []
        idle = [
            e
            for e in after.timeline
            if e.may_be_idle
            and not concerned(e, after.population, policy_before(e, after.timeline, after.policy))[0].any()
        ]
        return {"policy_events_left_out": [e.row() for e in dropped], "policy_events_idle": [e.row() for e in idle]}

    def words(self, before: Scenario, after: Scenario) -> list[str]:
        """Say what changes, each as the subject of a sentence."""
        parts = ["The other scenario"] if self.to is not None else []
        if self.policy is not None:
            rows = getattr(self.policy, "rows", ())
            parts.append(f"The table {Path(rows[0].file).name}" if rows else "The other table")
        groups: dict[Setting | None, list[str]] = {}
        for pattern, spelling in self.set.items():
            named = {EVERYTHING: "all mail", DEFAULT: "DEFAULT"}.get(pattern_name(pattern), pattern.strip())
            groups.setdefault(setting_of(pattern, spelling), []).append(named)
        for setting, names in groups.items():
            rest = len(names) - _MOST_NAMED
            shown = names[:_MOST_NAMED] + ([f"{rest:,} more"] if rest > 0 else [])
            parts.append(f"{_ASKED[setting]} for {_listed(shown)}")
        if self.minimum_tls is not None:
            parts.append(f"Accepting TLS from {after.lowest_tls} on instead of {before.lowest_tls}")
        if self.sender is not None:
            lost = "" if before.sender_setting is None else f" ({before.own_setting(Setting.NO)} for every destination)"
            parts.append(f"{after.profile.title} as the sender in place of {before.profile.title}{lost}")
        return parts


def tls_version_of(spelling: TlsVersion | str) -> TlsVersion:
    """Return the TLS version that a text spells: ``1.3``, ``TLSv1.3``, ``tls_1_3``.

    Raises
    ------
    ScenarioError
        With the versions there are.
    """
    if isinstance(spelling, TlsVersion):
        return spelling
    wanted = str(spelling).strip().lower()
    for version in TlsVersion:
        if wanted in (version.label.lower(), version.label.lower().removeprefix("tlsv"), version.key):
            return version
    raise ScenarioError(complaint("minimum_tls", spelling, [version.label for version in TlsVersion]))


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _alerts(policy: DestinationControls) -> bool:
    """Tell whether the table's file turns the alert on; off as shipped."""
    return bool(getattr(policy, "tls_alert", None))


@dataclass(frozen=True)
class _Pairs:
    """Both Worlds of every replication; a population that stands still is compiled once."""

    before: Scenario
    after: Scenario
    plan: Plan
    workers: int | None
    progress: RunsProgress | None
    changes_all: bool
    cn_is_ptr: bool | None
    done_before: int = 0
    hashes: list[list[str]] = field(default_factory=list)
    on_ptr: list[bool] = field(default_factory=list)

    @property
    def rest_on_ptr(self) -> bool:
        """Whether the change concerns mail that is verified by the PTR rule."""
        return any(self.on_ptr)

    def __call__(self, numbers: range) -> list[Parting]:
        """Compare the runs of these replications."""
        progress = counted_on(self.progress, self.done_before + numbers.start)
        return each(
            part,
            self._jobs(numbers),
            len(numbers),
            world_of=attrgetter("after"),
            workers=self.workers,
            progress=progress,
        )

    def meta(self) -> dict[str, Any]:
        """Return what a result says of where it came from, once all pairs are made."""
        after = self.after
        return origin(self.before) | {
            "domains": len(self.before.population.domains),
            "until_s": self.before.until_s,
            "policy_hashes": [self.before.policy.hash, after.policy.hash],
            "world_hashes": self.hashes,
            "cn_is_ptr": self.cn_is_ptr,
            "senders": [self.before.sender, after.sender],
            "tls_alert_on": _alerts(after.policy),
            "longest_wait_s": max(after.policy.host_retry.waits_s()),
        }

    def _jobs(self, numbers: range) -> Iterator[Pair]:
        worlds: tuple[World, World] | None = None
        people: Population | None = None
        alerts = _alerts(self.after.policy)
        for number in numbers:
            drawn, seed = self.plan.replication(self.before, number)
            if worlds is None or drawn.population is not people:
                people = drawn.population
                at = at_end(people, self.cn_is_ptr)
                before, after = (compile_world(replace(side, population=at)) for side in (drawn, self.after))
                check_same_mail(before, after)
                self.on_ptr.append(rests_on_ptr(before, after, changes_all=self.changes_all))
                worlds = before, after
            self.hashes.append([world.hash for world in worlds])
            yield Pair(*worlds, seed, alerts)


def fate_differences(parting: Parting) -> NDArray[np.float64]:
    """Return by how much the share of each fate differs after the change, shape (fates,)."""
    messages = parting.fates[..., 0]
    gone: NDArray[np.float64] = (messages.sum(axis=0) - messages.sum(axis=1)) / max(int(messages.sum()), 1)
    return gone


def patterns_frame(before: Scenario, after: Scenario, settings: Settings) -> pd.DataFrame:
    """Return one row a pattern that was set: what it reaches, and what a more specific entry still rules.

    Columns: pattern, setting, entry (edited, new), destinations, mail_share (of the mail that the pattern decides
    about, of all mail), kept_destinations, kept_mail_share, kept_by (entries that keep destinations of the pattern).
    """
    import pandas as pd

    domains = after.population.domains
    names = [canonical_domain(name) or name for name in domains["domain"]]
    mail = domains["messages"].to_numpy(dtype=np.float64)
    mail = mail / (mail.sum() or 1.0)

    def share(which: NDArray[np.bool_]) -> float:
        # Added up in floating point, all mail may be a hair less than all.
        return 1.0 if mail.any() and not mail[~which].any() else float(mail[which].sum())

    entries = [canonical_domain(entry.domain) or "" for entry in after.policy.entries]
    ruled_by = np.array([*entries, DEFAULT])[after.policy.match(names)]
    known = {canonical_domain(entry.domain) for entry in before.policy.entries} | {DEFAULT, EVERYTHING}
    own = {name: entry.tls is not None for name, entry in zip(entries, after.policy.entries, strict=True)}
    typed = {pattern_name(pattern) for pattern in settings} - {EVERYTHING}
    rows = []
    for pattern, spelling in settings.items():
        name = pattern_name(pattern)
        if name == EVERYTHING:
            covered, ruled = np.ones(len(names), dtype=bool), ~np.isin(ruled_by, list(typed))
        elif name == DEFAULT:
            ruled = np.array([not own.get(entry, False) for entry in ruled_by.tolist()], dtype=bool)
            covered = ruled
        else:
            suffix = name.startswith(".")
            covered = np.array([n.endswith(name) if suffix else n == name for n in names], dtype=bool)
            ruled = ruled_by == name
        kept = covered & ~ruled
        setting = setting_of(pattern, spelling)
        rows.append(
            {
                "pattern": pattern,
                "setting": "Default" if setting is None else setting.label,
                "entry": "edited" if name in known else "new",
                "destinations": int(ruled.sum()),
                "mail_share": share(ruled),
                "kept_destinations": int(kept.sum()),
                "kept_mail_share": share(kept),
                "kept_by": " ".join(sorted(np.unique(ruled_by[kept]).tolist())),
            }
        )
    columns = ["pattern", "setting", "entry", "destinations", "mail_share", "kept_destinations", "kept_mail_share",
               "kept_by"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)
