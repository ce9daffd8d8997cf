"""The smallest limit of connections that keeps mail in time: bisection on the same mail under each limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.delivery.erlang import mean_wait_s, servers_for
from sim.delivery.service import ServiceTime, service_time
from sim.delivery.world import Int64, World
from sim.errors import ScenarioError, complaint, did_you_mean
from sim.policy.destinations import canonical_domains
from sim.results.findings import counted, duration, percent
from sim.results.labels import Labels
from sim.results.load import HOUR_US, RunLoad, busiest_hour
from sim.results.records import US_PER_S
from sim.results.step_functions import peak_rate_per_s, steps
from sim.terms import Bounce, Fate

if TYPE_CHECKING:
    from pandas import DataFrame

ALL = "all"
#: The largest limit Destination Controls takes (AsyncOS user guide 9.1.2 ch. 24).
MOST_CONNECTIONS = 1_000
#: Bounces that no number of connections could have prevented.
_REFUSED = (Bounce.REPLY_5YZ, Bounce.DNS, Bounce.STARTTLS_5XX)
#: Share of the late mail that was deferred from which on timers are what the late mail waits for.
_MOSTLY = 0.5
#: Shares in time that differ by no more than this are alike: 0.1 percentage points.
_ALIKE = 0.001 + 1e-9

Floats = NDArray[np.float64]
#: Runs (World, seed) pairs and returns their loads, in order.
Run = Callable[[list[tuple[World, int]]], list[RunLoad]]


@dataclass(frozen=True, eq=False)
class Target:
    """Whose limit is sought.

    Attributes
    ----------
    name : a domain, a provider, or ``all``.
    destinations : their codes; each has the limit for itself.
    policy_least, policy_limit : smallest and largest ``max_host_concurrency`` the scenario's policy gives any of them.
    """

    name: str
    destinations: Int64
    policy_least: int
    policy_limit: int

    def allowed(self) -> str:
        """Return what the policy allows: ``500``, ``100 to 500``."""
        most = f"{self.policy_limit:,}"
        return most if self.policy_least == self.policy_limit else f"{self.policy_least:,} to {most}"

    def words(self) -> str:
        """Return how a sentence names it: ``google-mail.example``, ``each of own's 12 domains``."""
        if self.name == ALL:
            return "every destination"
        count = len(self.destinations)
        return self.name if count == 1 else f"each of {self.name}'s {count:,} domains"


def target_of(wanted: str | bool, labels: Labels, messages: Int64) -> tuple[str, Int64]:
    """Return the name and the destinations that a domain, a provider, ``all`` or True (the busiest) mean.

    Raises
    ------
    ScenarioError
        When nobody has this name, or no mail goes there.
    """
    if wanted is True:
        busiest = int(np.argmax(messages))
        name, found = labels.domains[busiest], np.array([busiest])
    elif str(wanted).strip().lower() == ALL:
        name, found = ALL, np.arange(len(labels.domains))
    else:
        name, found = _named(str(wanted).strip().lower(), labels)
        if not found.size:
            allowed = f"all, a provider ({', '.join(labels.provider_names[:12])}), or a domain of the population."
            guess = did_you_mean(name, [*labels.provider_names, *labels.domains])
            raise ScenarioError(complaint("find_concurrency", wanted, allowed + guess))
    if not messages[found].sum():
        raise ScenarioError(complaint("find_concurrency", name, "a destination that mail is sent to in this run"))
    return name, found.astype(np.int64)


def _named(name: str, labels: Labels) -> tuple[str, Int64]:
    """Return a name as the population spells it, and its destinations: a domain's, or else a provider's."""
    [wanted] = canonical_domains([name])
    found = [i for i, domain in enumerate(canonical_domains(labels.domains)) if domain == wanted]
    spelled = labels.domains
    if not found:
        found, spelled = [i for i, p in enumerate(labels.providers) if p.lower() == name], labels.providers
    # A population may leave a provider without a name; no name is nobody's all the same.
    return (spelled[found[0]], np.array(found)) if found and name else (name, np.zeros(0, dtype=np.int64))


def among_all(world: World, destinations: Int64, limit: int) -> World:
    """Return the World in which these destinations have this limit of connections each."""
    # A limit over each MX address is one slot a route; every slot of a destination gets the limit.
    owner = np.repeat(np.arange(len(world.destinations.key)), np.diff(world.destinations.route_start))
    connections = world.slots.connections.copy()
    connections[world.routes.slot[np.isin(owner, destinations)]] = limit
    return replace(world, slots=replace(world.slots, connections=connections))


def only(world: World, destinations: Int64, limit: int) -> World:
    """Return the World in which mail goes to these destinations alone, each under this limit of connections.

    Destinations share nothing but the system-wide ceiling: below it, their mail meets what it met among the others.
    """
    count = len(world.destinations.key)
    chosen = np.zeros(count, dtype=bool)
    chosen[destinations] = True
    rows = np.diff(world.destinations.trace_start)
    kept = np.repeat(chosen, rows)
    starts = np.concatenate([[0], np.cumsum(np.where(chosen, rows, 0))]).astype(np.int64)
    gap = np.where(chosen, world.destinations.gap_ticks, 0)
    return replace(
        among_all(world, destinations, limit),
        destinations=replace(world.destinations, gap_ticks=gap, trace_start=starts),
        trace=world.trace[kept],
    )


def room_beside(load: RunLoad, destinations: Int64, ceiling: int) -> int:
    """Return how many connections these destinations may have in use, before they and the others meet the ceiling.

    0 where a run has met it already: what the others would use without it is not known then.
    """
    if load.in_use.peak()[0] >= ceiling:
        return 0
    others = np.setdiff1d(np.arange(len(load.labels.domains)), destinations)
    return ceiling - load.only(others).in_use.peak()[0]


@dataclass(frozen=True, eq=False)
class Offered:
    """The load that one destination's mail offers in its busiest hour.

    Attributes
    ----------
    domain : its name.
    loads : its rows, one a replication.
    hour, rate_per_s : the clock hour in which most of its mail arrives, and the mean rate in it.
    service : how long a message keeps a connection busy; mean over the replications.
    """

    domain: str
    loads: tuple[RunLoad, ...]
    hour: int
    rate_per_s: float
    service: ServiceTime

    @property
    def erlang(self) -> float:
        """Offered load: arrival rate x mean service time."""
        return self.rate_per_s * self.service.mean_s

    def left_out(self, limit: int, under_limit: Sequence[RunLoad]) -> list[str]:
        """Say what this mail has that Erlang C leaves out; the loads are those under a limit that was tried."""
        arrivals = [load.of_message["arrival_us"] for load in self.loads]
        minute = float(np.mean([peak_rate_per_s(a[a // HOUR_US == self.hour])[0] for a in arrivals]))
        deferred = sum(int(load.of_message["deferred"].sum()) for load in self.loads)
        messages = sum(len(load.messages) for load in self.loads)
        carried = f"{_carried(self.loads):.1f} messages under the policy's limit and {_carried(under_limit):.1f} under"
        return [
            f"within that hour the busiest minute has {minute / self.rate_per_s:.1f} times the hour's mean rate",
            f"{percent(deferred / messages)} % of the mail is deferred, waits for a timer and comes again",
            f"a connection carries {carried} one of {limit:,}: the more, the less of its time goes into openings",
            f"service times have a squared coefficient of variation of {self.service.scv:.2g} where Erlang takes 1",
        ]


def _carried(loads: Sequence[RunLoad]) -> float:
    """Return the messages, or their tries, that an established connection carries."""
    useful = sum(int((load.of_connection["established_us"] >= 0).sum()) for load in loads)
    return sum(int(load.of_connection["messages"].sum()) for load in loads) / max(useful, 1)


def offered_load(worlds: Sequence[World], loads: Sequence[RunLoad], destination: int) -> Offered:
    """Return the load that a destination's mail offers; some mail must go there in some replication."""
    own = tuple(load.only(np.array([destination])) for load in loads)
    hour, rate_per_s = busiest_hour([load.of_message["arrival_us"] for load in own])
    services = [
        service_time(world, load.messages, load.connections)
        for world, load in zip(worlds, own, strict=True)
        if len(load.messages)
    ]
    service = ServiceTime(float(np.mean([s.mean_s for s in services])), float(np.mean([s.scv for s in services])))
    return Offered(loads[0].labels.domains[destination], own, hour, rate_per_s, service)


@dataclass(frozen=True, eq=False)
class Tried:
    """One limit that was tried, with its loads, one a replication.

    ``until_s`` ends the runs, None = they drain; ``ceiling_met`` says whether all connections that the system-wide
    ceiling allows were in use at times.
    """

    limit: int
    loads: tuple[RunLoad, ...]
    hour: int
    share: float
    within_s: float
    until_s: float | None = None
    ceiling_met: bool = False

    @cached_property
    def _asked(self) -> dict[str, Int64]:
        """Return the message rows of all replications by column, without what was refused for good."""
        of = {n: np.concatenate([load.of_message[n] for load in self.loads]) for n in self.loads[0].of_message}
        asked = ~((of["fate"] == Fate.BOUNCED) & np.isin(of["bounce"], _REFUSED))
        return {name: values[asked] for name, values in of.items()}

    @cached_property
    def _waits(self) -> tuple[Floats, Int64, Int64]:
        """Return delay (s), hour and deferred flag of the mail that is judged; mail that never arrives: infinite.

        Left out is what arrives so late that the run ends before its time is up.
        """
        of, up = self._asked, np.ones(len(self._asked["fate"]), dtype=bool)
        if self.until_s is not None:
            # By arrival, whatever came of it: to keep what was delivered meanwhile would favour what is in time.
            up = of["arrival_us"] <= (self.until_s - self.within_s) * US_PER_S
        delay = np.where(of["fate"] <= Fate.VERIFIED, (of["done_us"] - of["arrival_us"]) / US_PER_S, np.inf)
        return delay[up], of["arrival_us"][up] // HOUR_US, of["deferred"][up]

    def delay_s(self, *, busiest: bool) -> float:
        """Return the percentile of the delay, in the busiest hour or over the run; infinite: never; NaN: no mail."""
        delay, hour, _ = self._waits
        delay = delay[hour == self.hour] if busiest else delay
        return float(np.quantile(delay, self.share, method="inverted_cdf")) if delay.size else np.nan

    @property
    def judged(self) -> bool:
        """Whether any of the busiest hour's mail is in time or late: not refused for good, nor cut by the end."""
        return bool((self._waits[1] == self.hour).any())

    @property
    def censored(self) -> bool:
        """Whether nothing is judged because the run ends before the time of the busiest hour's mail is up."""
        return not self.judged and bool((self._asked["arrival_us"] // HOUR_US == self.hour).any())

    def in_time(self) -> float:
        """Return the share of the busiest hour's mail that is delivered in time."""
        delay, hour, _ = self._waits
        delay = delay[hour == self.hour]
        return float((delay <= self.within_s).mean()) if delay.size else np.nan

    def late_deferred(self) -> float:
        """Return the share deferred of what arrives in the busiest hour and is late: it waited for a timer."""
        delay, hour, deferred = self._waits
        late = (hour == self.hour) & (delay > self.within_s)
        return float(deferred[late].mean()) if late.any() else 0.0

    @property
    def kept(self) -> bool:
        """Whether the percentile is within the time; where no mail is judged, no limit keeps it."""
        return self.delay_s(busiest=True) <= self.within_s


@dataclass(frozen=True, eq=False)
class Search:
    """What was found about a target's limit.

    Attributes
    ----------
    target : whose limit.
    tried : by rising limit. Where the largest is kept, the largest that is not and the smallest that is are neighbours;
        else the smallest that has as much in time as the largest, and the largest that has less.
    offered : the load of the target's destination with the most mail, under the scenario's own policy.
    """

    target: Target
    tried: tuple[Tried, ...]
    offered: Offered

    @property
    def found(self) -> Tried | None:
        """The smallest limit that keeps the mail in time, None when even the largest does not."""
        return next((t for t in self.tried if t.kept), None)

    @property
    def enough(self) -> int:
        """The smallest limit tried that has as much mail in time as the largest, within 0.1 percentage points."""
        last = self.tried[-1]
        return next((t.limit for t in self.tried if t.in_time() >= last.in_time() - _ALIKE), last.limit)

    @property
    def erlang_limit(self) -> int | None:
        """Erlang C's answer for the busiest destination; None: no limit allowed does."""
        last = self.tried[-1]
        return _erlang_limit(self.offered, last.share, last.within_s)

    def frame(self) -> DataFrame:
        """Return one row a limit tried (see `sim.studies.capacity.CapacityResult.concurrency`)."""
        import pandas as pd

        percentile = f"p{self.tried[0].share * 100:g}".replace(".", "_")
        rows = [
            {
                "limit": t.limit,
                "kept": t.kept,
                "in_time_share": t.in_time(),
                f"busiest_hour_delay_{percentile}_s": t.delay_s(busiest=True),
                f"delay_{percentile}_s": t.delay_s(busiest=False),
                "connections_peak": float(np.mean([load.in_use.peak()[0] for load in t.loads])),
                "queue_messages_peak": float(np.mean([load.queue.peak()[0] for load in t.loads])),
                "erlang_c_mean_wait_s": mean_wait_s(t.limit, self.offered.erlang, self.offered.service.mean_s),
            }
            for t in self.tried
        ]
        return pd.DataFrame(rows)

    def answer(self) -> str:
        """Return the answer in one sentence, without its full stop."""
        last, found = self.tried[-1], self.found
        if last.censored:
            return (
                f"no limit is told for {self.target.words()}: the run ends before {duration(last.within_s)} are up for "
                "the mail of its busiest hour"
            )
        if not last.judged:
            return f"the mail of {self.target.words()} is refused for good whatever the limit"
        wanted = f"{percent(last.share)} % of its busiest hour's mail within {duration(last.within_s)}"
        if found is None:
            best = f"{percent(last.in_time())} % is in time, and {self._why_late(last)}"
            if self.enough < last.limit:
                best = f"from {counted(self.enough, 'connection')} on nothing improves; at best {best}"
            return f"not even {last.limit:,} connections to {self.target.words()} keep {wanted}: {best}"
        erlang = "no limit does" if self.erlang_limit is None else f"{self.erlang_limit:,}"
        keep = "keeps" if found.limit == 1 else "keep"
        held = counted(found.limit, "connection")
        return f"{held} to {self.target.words()} {keep} {wanted} (Erlang C says {erlang})"

    def _why_late(self, tried: Tried) -> str:
        """Say what the late mail waits for under a limit that does not keep the rest in time."""
        deferred = tried.late_deferred()
        text = f"{percent(deferred)} % of the late mail was deferred"
        if deferred >= _MOSTLY:
            return f"{text}: it waits for timers, not for connections"
        other = "it" if deferred == 0 else "the other"
        if max(_peak_of_any(load) for load in tried.loads) >= tried.limit:
            return f"{text}: {other} waits for connections, all of which are in use at times"
        if tried.ceiling_met:
            return f"{text}: {other} waits for connections, since those of the system-wide ceiling are in use at times"
        mean = duration(self.offered.service.mean_s)
        needs = f"a message to {self.offered.domain} needs {mean} of a connection's time on average"
        return f"{text}: {other} takes longer than that by itself, since {needs}"

    def difference(self) -> str:
        """Say what Erlang C was asked, and what the simulated mail has that it leaves out."""
        offered, told = self.offered, self.found or self.tried[-1]
        asked = (
            f"Erlang C was asked for {offered.domain} in its busiest hour, from {offered.hour} h on: "
            f"{offered.rate_per_s:.3g} messages per second, each {duration(offered.service.mean_s)} of a connection's "
            f"time, {offered.erlang:.3g} erlangs."
        )
        return f"{asked} It leaves out: {'; '.join(offered.left_out(told.limit, told.loads))}."


def _erlang_limit(offered: Offered, share: float, within_s: float) -> int | None:
    return servers_for(
        offered.rate_per_s, offered.service.mean_s, within_s=within_s, share=share, most=MOST_CONNECTIONS
    )


def search(
    worlds: Sequence[tuple[World, int]],
    loads: Sequence[RunLoad],
    wanted: str | bool,
    *,
    share: float,
    within_s: float,
    run: Run,
    until_s: float | None = None,
) -> Search:
    """Find the smallest limit under which this share of the busiest hour's mail is delivered in time.

    Every limit meets the same mail and the same peers. The largest limit goes first: what it uses at most bounds the
    answer, since a limit that is never reached changes nothing. Then bisection, which looks around Erlang C's answer
    first. Where even the largest does not do, bisection for the smallest that has as much mail in time. Mail of the
    others is run again only where it could matter: where all together meet the system-wide ceiling.

    Parameters
    ----------
    worlds, loads : (World, seed) of each replication under the scenario's own policy, and what it came to.
    wanted : as `target_of` reads it.
    share, within_s : what has to be kept.
    run : runs Worlds.
    until_s : when the runs end; None = they drain.
    """
    labels = worlds[0][0].labels
    counts = np.zeros(len(labels.domains), dtype=np.int64)
    for load in loads:
        counts += np.bincount(load.of_message["destination"], minlength=counts.size)
    name, destinations = target_of(wanted, labels, counts)
    own = [load.only(destinations) for load in loads]
    hour, _ = busiest_hour([load.of_message["arrival_us"] for load in own])
    tried: dict[int, Tried] = {}
    ceiling = worlds[0][0].rules.max_connections
    room = [room_beside(load, destinations, ceiling) for load in loads]

    def keeps(limit: int) -> bool:
        ran = _ran_under(limit, worlds, destinations, room, run)
        met = any(load.in_use.peak()[0] >= ceiling for load in ran)
        own = tuple(load.only(destinations) for load in ran)
        tried[limit] = Tried(limit, own, hour, share, within_s, until_s, met)
        return tried[limit].kept

    busiest = int(destinations[np.argmax(counts[destinations])])
    offered = offered_load([world for world, _ in worlds], loads, busiest)
    kept = keeps(MOST_CONNECTIONS)
    most = tried[MOST_CONNECTIONS]
    high = max(1, *(_peak_of_any(load) for load in most.loads))
    if kept:
        tried[high] = replace(tried.pop(MOST_CONNECTIONS), limit=high)
        _bisect(keeps, high, _erlang_limit(offered, share, within_s))
    elif most.judged:
        enough = _bisect(lambda limit: keeps(limit) or tried[limit].in_time() >= most.in_time() - _ALIKE, high)
        tried.setdefault(enough, replace(most, limit=enough))
    limits = np.concatenate([_policy_limits(world, destinations) for world, _ in worlds])
    target = Target(name, destinations, int(limits.min()), int(limits.max()))
    return Search(target, tuple(tried[n] for n in sorted(tried)), offered)


def _ran_under(
    limit: int, worlds: Sequence[tuple[World, int]], destinations: Int64, room: Sequence[int], run: Run
) -> Sequence[RunLoad]:
    """Run a limit with the mail of these destinations alone, or with all where there is no room beside the others."""
    if min(room) > 0:
        alone = run([(only(world, destinations, limit), seed) for world, seed in worlds])
        if all(load.in_use.peak()[0] <= most for load, most in zip(alone, room, strict=True)):
            return alone
    return run([(among_all(world, destinations, limit), seed) for world, seed in worlds])


def _bisect(does: Callable[[int], bool], high: int, guess: int | None = None) -> int:
    """Return the smallest limit that does, where ``high`` is known to; look around a guess first, if there is one."""
    low, step, near = 0, 1, guess
    while high - low > 1:
        middle = near if near is not None and low < near < high else (low + high) // 2
        found = does(middle)
        low, high = (low, middle) if found else (middle, high)
        near = None if guess is None else middle - step if found else middle + step
        step *= 2
    return high


def _peak_of_any(load: RunLoad) -> int:
    """Return the most connections that any one destination had in use at once."""
    of = load.of_connection
    starts = np.flatnonzero(np.diff(of["destination"])) + 1
    parts = zip(np.split(of["opened_us"], starts), np.split(of["closed_us"], starts), strict=True)
    return max(steps(opened, closed).peak()[0] for opened, closed in parts)


def _policy_limits(world: World, destinations: Int64) -> Int64:
    owner = np.repeat(np.arange(len(world.destinations.key)), np.diff(world.destinations.route_start))
    return world.slots.connections[world.routes.slot[np.isin(owner, destinations)]]
