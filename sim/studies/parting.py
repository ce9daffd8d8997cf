"""Two runs of the same mail, message by message: where they part ways, in both directions, reduced to counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.delivery.world import World
from sim.errors import ScenarioError, complaint
from sim.results.labels import GATEWAY_SETTINGS, Labels
from sim.results.records import CONNECTION_COLUMNS, MESSAGE_COLUMNS
from sim.studies.notices import Notices, notices_of
from sim.studies.runs import Share
from sim.terms import Bounce, Fate, Reason

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Columns = dict[str, Ints]

#: Less than the first wait before a retry is no delay: a handshake takes longer than none, by a few round trips.
LATER_US = 60_000_000
US_PER_H = 3_600_000_000
_US_PER_MIN = 6e7

#: Ways in which a message can go other than before; each has its mirror. They may overlap.
PAIRS = (
    ("newly_bounced", "newly_delivered"),
    ("clear_avoided", "clear_added"),
    ("verified_gained", "verified_lost"),
    ("later", "sooner"),
)
KINDS = tuple(kind for pair in PAIRS for kind in pair)
#: Mail that is still queued where one run ends and not where the other does: it has no fate yet, so no kind of `PAIRS`.
WAITING = ("newly_waiting", "no_longer_waiting")
#: The main one of a message that parts ways: the first that holds. These are exclusive and add up.
MAIN_KINDS = ("newly_bounced", "newly_delivered", "clear_avoided", "clear_added", "later", "sooner", *WAITING)
COUNTS = (
    "all", "part_ways", *KINDS, *WAITING, "harmed", "later_min", "sooner_min",
    *(f"main_{kind}" for kind in MAIN_KINDS),
)  # fmt: skip
#: What is measured of each run, with its unit.
MEASURES = (
    *((fate.label, "share of injected messages") for fate in Fate),
    ("deferred", "share of injected messages"),
    ("exposed to an attacker", "share of injected messages"),
    ("mean delay of mail delivered in both", "s"),
    ("time in queue of all mail", "min"),
)
#: World arrays that make the mail: equal in both runs, or there is nothing to pair.
MAIL = (
    "destinations.key", "destinations.gap_ticks", "destinations.profile", "destinations.trace_start", "trace",
    "tables.gap", "tables.size_bytes", "tables.recipients_below", "tables.recipients", "tables.knots_us",
    "tables.ticks_before", "rules.window_us", "rules.until_us",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pair:
    """Both Worlds of one replication.

    Attributes
    ----------
    before, after : what is compared.
    seed : of all chance in both runs.
    alerts : whether a failed required TLS negotiation sends an alert mail after the change.
    """

    before: World
    after: World
    seed: int
    alerts: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Parting:
    """What became of one replication's mail in both runs.

    Attributes
    ----------
    differing : messages that differ in anything that is recorded, be it by a microsecond.
    fates : (5, 5, 2) messages and recipients by fate before and fate after.
    measures : (M, 2) `MEASURES` before and after.
    domains, providers, entries : rows by name; a row has `COUNTS`, then the reason by code. Only destinations where
        something differs have one. An entry's name is (entry before, setting, entry after, setting).
    notices : who learns of the harm, and when.
    queue : (H, 4) at the end of each hour: messages that wait before; after; that wait after and have their fate
        before; that have newly bounced so far.
    loss_us : when the first mail that is lost through the change lapses or is refused; -1: none is.
    first_bounce_us : when the first newly bounced message bounces; -1: none does.
    open_messages : messages of which the end of the run leaves open whether the change loses them.
    open_us : when the first of these lapses or is refused; -1: there is none.
    """

    differing: int
    fates: Ints
    measures: Floats
    domains: dict[str, Floats]
    providers: dict[str, Floats]
    entries: dict[tuple[str, str, str, str], Floats]
    notices: Notices
    queue: Ints
    loss_us: int
    first_bounce_us: int
    open_messages: int = 0
    open_us: int = -1


def check_same_mail(before: World, after: World) -> None:
    """Refuse two Worlds whose mail differs.

    Raises
    ------
    ScenarioError
        Naming what differs.
    """
    others = dict(after.arrays())
    for name, array in before.arrays():
        if name in MAIL and not np.array_equal(array, others[name]):
            allowed = "a scenario with the same destinations, mail, days and end; this differs in " + name
            raise ScenarioError(complaint("to", "another workload", allowed))


def part(pair: Pair, share: Share) -> Parting:
    """Run both Worlds with the same chance and compare them message by message."""
    old, _ = _rows_kept(pair.before, pair.seed, share)
    new, connections = _rows(pair.after, pair.seed, share)
    destination = old["destination"]
    is_kind = kinds(old, new)
    counts = counts_of(old, new, is_kind)
    before, after = pair.before.labels, pair.after.labels
    lost, open_ = is_kind["newly_bounced"], _open(old, new)
    lapse_us = new["arrival_us"] + pair.after.destinations.lifetime_us[destination]
    lapses = (new["bounce"] == Bounce.EXPIRED_TIME) | (new["fate"] == Fate.QUEUED)
    loss_us = np.where(lapses, lapse_us, new["done_us"])
    by_domain = _grouped(destination, before.domains, counts)
    return Parting(
        differing=int(np.logical_or.reduce([old[column] != new[column] for column in MESSAGE_COLUMNS]).sum()),
        fates=_fates(old, new),
        measures=np.stack([_measures(run, old, new) for run in (old, new)], axis=1),
        domains={name: row for name, row in by_domain.items() if row[1 : len(COUNTS)].any()},
        providers=_grouped(before.provider_of[destination], before.provider_names, counts),
        entries=_by_entry(destination, before, after, counts),
        notices=notices_of(old, new, is_kind, connections, _settings(pair.after, connections), alerts=pair.alerts),
        queue=_queue(old, new, lost),
        loss_us=_first(loss_us[lost]),
        first_bounce_us=_first(new["done_us"][lost]),
        open_messages=int(open_.sum()),
        open_us=_first(loss_us[open_]),
    )


def _first(times_us: Ints) -> int:
    return int(times_us.min()) if times_us.size else -1


def _open(old: Columns, new: Columns) -> Bools:
    """Tell of which messages it is unknown whether the change loses them: today or then they wait at the end."""
    waits = (new["fate"] == Fate.QUEUED) & (old["fate"] != Fate.BOUNCED)
    found: Bools = waits | ((old["fate"] == Fate.QUEUED) & (new["fate"] == Fate.BOUNCED))
    return found


#: The last days before a change, while they are small: the next question asked of one needs no second run of it.
_kept: dict[tuple[str, int], tuple[Columns, Ints]] = {}
_KEPT_DAYS = 2
_KEPT_MESSAGES = 100_000


def _rows_kept(world: World, seed: int, share: Share) -> tuple[Columns, Ints]:
    key = world.hash, seed
    if key not in _kept:
        rows, connections = _rows(world, seed, share)
        if len(rows["fate"]) > _KEPT_MESSAGES:
            return rows, connections
        while len(_kept) >= _KEPT_DAYS:
            del _kept[next(iter(_kept))]
        for array in (*rows.values(), connections):
            array.flags.writeable = False
        _kept[key] = rows, connections
    return _kept[key]


def _rows(world: World, seed: int, share: Share) -> tuple[Columns, Ints]:
    messages, connections = share.rows(world, seed)
    return dict(zip(MESSAGE_COLUMNS, messages.T.copy(), strict=True)), connections


def _settings(world: World, connections: Ints) -> Ints:
    """Return the setting of the gateway in force when each connection began to open; -1 of another sender."""
    if world.labels.setting_names != GATEWAY_SETTINGS:
        return np.full(len(connections), -1, dtype=np.int64)
    row = dict(zip(CONNECTION_COLUMNS, connections.T, strict=True))
    phase = np.searchsorted(world.phases.begins_us, row["opened_us"], side="right") - 1
    settings: Ints = world.phases.setting[phase, row["destination"]]
    return settings


def kinds(old: Columns, new: Columns) -> dict[str, Bools]:
    """Tell for each message in which ways it parts; turning the runs round swaps each kind with its mirror.

    A message is *later* when it is delivered in both runs, a minute or more later. One that is queued at the end of a
    run has no fate there: it is of the kinds of `WAITING` alone. It is harmed where it is delivered today, and the run
    ends a minute or more later.
    """
    was, is_ = old["fate"], new["fate"]
    gap_us = new["done_us"] - old["done_us"]
    both = (was != Fate.QUEUED) & (is_ != Fate.QUEUED)
    arrives, arrived = is_ <= Fate.VERIFIED, was <= Fate.VERIFIED
    found = {
        "newly_bounced": (is_ == Fate.BOUNCED) & arrived,
        "newly_delivered": (was == Fate.BOUNCED) & arrives,
        "clear_avoided": (was == Fate.IN_CLEAR) & (is_ != Fate.IN_CLEAR) & both,
        "clear_added": (is_ == Fate.IN_CLEAR) & (was != Fate.IN_CLEAR) & both,
        "verified_gained": (is_ == Fate.VERIFIED) & (was != Fate.VERIFIED) & both,
        "verified_lost": (was == Fate.VERIFIED) & (is_ != Fate.VERIFIED) & both,
        "later": (gap_us >= LATER_US) & arrived & arrives,
        "sooner": (gap_us <= -LATER_US) & arrived & arrives,
        "newly_waiting": (is_ == Fate.QUEUED) & (was != Fate.QUEUED),
        "no_longer_waiting": (was == Fate.QUEUED) & (is_ != Fate.QUEUED),
    }
    found["part_ways"] = np.logical_or.reduce([found[kind] for kind in MAIN_KINDS])
    held = found["newly_waiting"] & arrived & (gap_us >= LATER_US)
    found["harmed"] = found["newly_bounced"] | found["later"] | held
    return found


def counts_of(old: Columns, new: Columns, is_kind: dict[str, Bools]) -> list[Floats]:
    """Return the columns that are added up by group: `COUNTS`, then one a reason."""
    gap_min = (new["done_us"] - old["done_us"]) / _US_PER_MIN
    columns = {"all": np.ones(gap_min.size), "later_min": gap_min * is_kind["later"]}
    columns["sooner_min"] = -gap_min * is_kind["sooner"]
    columns |= {kind: flags.astype(np.float64) for kind, flags in is_kind.items()}
    left = is_kind["part_ways"].copy()
    for kind in MAIN_KINDS:
        columns[f"main_{kind}"] = (left & is_kind[kind]).astype(np.float64)
        left &= ~is_kind[kind]
    # What goes better than before had its reason before; mail that only changes its clothes had none.
    eased = is_kind["newly_delivered"] | is_kind["sooner"] | is_kind["no_longer_waiting"]
    reason = np.where(eased, old["reason"], new["reason"])
    held = eased | is_kind["harmed"] | is_kind["newly_waiting"]
    return [*(columns[name] for name in COUNTS), *((held & (reason == r)).astype(np.float64) for r in Reason)]


def _grouped(code: Ints, names: Sequence[str], counts: list[Floats]) -> dict[str, Floats]:
    size = len(names)
    table = np.stack([np.bincount(code, weights=column, minlength=size) for column in counts], axis=1)
    return {names[i]: table[i] for i in np.flatnonzero(table[:, 0]).tolist()}


def _by_entry(
    destination: Ints, before: Labels, after: Labels, counts: list[Floats]
) -> dict[tuple[str, str, str, str], Floats]:
    sides = [(side.entries, side.entry_of, side.setting_of, side.setting_names) for side in (before, after)]
    of_pair = before.entry_of * len(after.entries) + after.entry_of
    used, first, code = np.unique(of_pair, return_index=True, return_inverse=True)
    pairs: list[tuple[str, str, str, str]] = []
    for d in first.tolist():
        one, other = ((entries[entry[d]], names[setting[d]]) for entries, entry, setting, names in sides)
        pairs.append((*one, *other))
    rows = _grouped(code[destination], [str(i) for i in range(used.size)], counts)
    return {pairs[int(i)]: row for i, row in rows.items()}


def _fates(old: Columns, new: Columns) -> Ints:
    table = np.zeros((len(Fate), len(Fate), 2), dtype=np.int64)
    np.add.at(table, (old["fate"], new["fate"]), np.stack([np.ones_like(old["fate"]), old["recipients"]], axis=1))
    return table


def _measures(run: Columns, old: Columns, new: Columns) -> Floats:
    messages = run["fate"].size or np.nan
    delivered = (old["fate"] <= Fate.VERIFIED) & (new["fate"] <= Fate.VERIFIED)
    waited_us = run["done_us"] - run["arrival_us"]
    shares = np.bincount(run["fate"], minlength=len(Fate)) / messages
    delay_s = waited_us[delivered].mean() / 1e6 if delivered.any() else np.nan
    deferred, exposed = (run[column].sum() / messages for column in ("deferred", "exposed"))
    return np.array([*shares, deferred, exposed, delay_s, waited_us.sum() / _US_PER_MIN])


def _queue(old: Columns, new: Columns, lost: Bools) -> Ints:
    """Return at the end of each hour: messages that wait before, after, after but not before; newly bounced ones.

    Mail that is queued at the end of the run leaves at no hour; the last hour is then the one in which the run ends.
    """
    last = max(int(run["done_us"].max(initial=0)) for run in (old, new))
    left, leaves = (run["fate"] != Fate.QUEUED for run in (old, new))
    hours = last // US_PER_H + 1 if left.all() and leaves.all() else max(-(-last // US_PER_H), 1)

    def by(times_us: Ints) -> Ints:
        return np.cumsum(np.bincount(times_us // US_PER_H, minlength=hours))[:hours].astype(np.int64)

    arrived = by(old["arrival_us"])
    longer = new["done_us"] > old["done_us"]
    extra = by(old["done_us"][longer & left]) - by(new["done_us"][longer & leaves])
    waiting = [arrived - by(run["done_us"][gone]) for run, gone in ((old, left), (new, leaves))]
    levels = [*waiting, extra, by(new["done_us"][lost])]
    return np.stack(levels, axis=1)
