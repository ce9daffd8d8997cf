"""What holds in every world, whatever its policy, its failures and its mail: the laws of the design.

Random worlds (:mod:`tests.delivery.worlds`) run instant by instant; after each the books are balanced. A failing
world is named by its seed: ``world_of(seed)`` makes it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sim.delivery.by_destination import RetryByDestination
from sim.delivery.by_message import RetryByMessage
from sim.delivery.parts import Connection, Limit, Message
from sim.delivery.queue import Destination
from sim.delivery.reference import Reference
from sim.delivery.world import World
from sim.results.records import CONNECTION_COLUMNS, MESSAGE_COLUMNS
from sim.results.sinks import RecordSink
from sim.terms import Bounce, Fate, Outcome, Reason, Setting
from tests.delivery.worlds import (
    S,
    random_world,
    with_ageing,
    with_ceiling,
    with_lifetime,
    with_other_demands,
    with_random_tables,
    with_retry_by_message,
    with_rules,
)

Columns = dict[str, NDArray[np.int64]]
#: Worlds a test looks at; each runs for some milliseconds.
FEW, MANY = range(150), range(400)
STRICT = [Setting.REQUIRED, Setting.REQUIRED_VERIFY, Setting.REQUIRED_VERIFY_HOSTED]


def world_of(seed: int, *, by_message: bool = False, **options: Any) -> World:
    """A world of mixed features: coarse or fine clock, patience, and now and then a sender nobody has.

    By message, it is of a sender that retries so, whose messages age, and demands differ between MX hosts.
    """
    rng = np.random.default_rng([seed, 2])
    world = random_world(seed, coarse=bool(rng.random() < 0.7), messages=int(rng.choice([5, 20, 60])), **options)
    if rng.random() < 0.3:
        world = with_lifetime(world, times=10)
    if "setting" not in options and rng.random() < 0.3:
        world = with_random_tables(world, seed)
    if by_message:
        world = with_ageing(with_other_demands(with_retry_by_message(world, seed), seed), seed)
    return world


def any_world(seed: int, *, low: bool) -> World:
    """A world of either way to retry, under a low ceiling of connections or under none that is met."""
    world = world_of(seed, by_message=is_by_message(seed))
    return with_ceiling(world, seed) if low else world


def is_by_message(seed: int) -> bool:
    """Which of the two ways to retry a law looks at that holds for both: every second world."""
    return seed % 2 == 1


def without_recipient_limits(world: World) -> World:
    return replace(world, slots=replace(world.slots, recipients=np.zeros_like(world.slots.recipients)))


@dataclass
class Run:
    """A run of one world that is looked at after every instant."""

    world: World
    seed: int
    engine: Reference = field(init=False)
    sink: RecordSink = field(init=False)

    def __post_init__(self) -> None:
        self.sink = RecordSink(self.world.labels)
        self.engine = Reference(self.world, self.seed, self.sink)

    def instants(self) -> Iterator[int]:
        yield from self.engine.instants(self.world.rules.until_us)

    def columns(self) -> tuple[Columns, Columns]:
        """Run what is left and return the message columns and the connection columns."""
        self.engine.run()
        messages, connections = self.sink.message_rows(), self.sink.connection_rows()
        return dict(zip(MESSAGE_COLUMNS, messages.T, strict=True)), dict(
            zip(CONNECTION_COLUMNS, connections.T, strict=True)
        )


def rows_of(world: World, seed: int) -> tuple[Columns, Columns]:
    return Run(world, seed).columns()


@cache
def run_of(seed: int, by_message: bool = False) -> tuple[World, Columns, Columns]:
    """The world of a seed with its rows; several tests look at the same ones."""
    world = world_of(seed, by_message=by_message)
    return (world, *rows_of(world, seed))


def places(destination: Destination) -> tuple[list[Message], list[Message], list[Message]]:
    """Return the mail that waits, that is on its own timer, and that is in transfer."""
    waiting: list[Message] = []
    on_timer: list[Message] = []
    in_transfer: list[Message] = []
    for message in destination.mail.values():
        listed = message.ordinal in destination.on_timer
        assert not (message.waiting and listed), f"message {message.ordinal} waits and is on its timer"
        (waiting if message.waiting else on_timer if listed else in_transfer).append(message)
    return waiting, on_timer, in_transfer


def connections(destination: Destination) -> tuple[list[Connection], list[Connection], list[Connection]]:
    """Return the connections that open, that carry a message, and that are idle."""
    live = list(destination.live.values())
    opening = [c for c in live if c.established_us < 0]
    idle = [c for c in live if c in destination.idle]
    return opening, [c for c in live if c.established_us >= 0 and c not in idle], idle


# --- after every instant


@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize("first", range(0, len(FEW), 50))
def test_every_message_is_in_exactly_one_place_after_every_instant(first: int, low: bool) -> None:
    """Per destination: injected = done + waiting + on timers + in transfer, and one message on each busy connection."""
    for seed in range(first, first + 50):
        run = Run(any_world(seed, low=low), seed)
        for now in run.instants():
            for destination in run.engine.destinations:
                waiting, on_timer, in_transfer = places(destination)
                opening, busy, _ = connections(destination)
                where = f"seed {seed}, {now} us, destination {destination.index}"
                held = len(waiting) + len(on_timer) + len(in_transfer)
                assert destination.injected == destination.done + held, where
                assert (destination.waiting, destination.openings) == (len(waiting), len(opening)), where
                assert len(in_transfer) == len(busy), where
                covered = sum(m.recipients for m in waiting if m.opening is not None)
                assert destination.covered_recipients == covered, where
                assert all(m.timer_us >= now for m in on_timer), where
        assert all(d.injected == d.done for d in run.engine.destinations), seed


@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize("first", range(0, len(FEW), 50))
def test_no_limit_is_exceeded_after_any_instant(first: int, low: bool) -> None:
    """Connections of each limit, messages of each connection, and the count of all connections."""
    for seed in range(first, first + 50):
        run = Run(any_world(seed, low=low), seed)
        engine = run.engine
        for now in run.instants():
            where = f"seed {seed}, {now} us"
            used: Counter[int] = Counter()
            for destination in engine.destinations:
                for connection in destination.live.values():
                    used[id(connection.limit)] += 1
                    assert connection.carried < destination.max_messages, where
            assert engine.open_connections == sum(used.values()) <= run.world.rules.max_connections, where
            for limit in engine.limits:
                assert limit.in_use == used[id(limit)] <= limit.connections, where


@pytest.mark.parametrize("first", range(0, len(FEW), 50))
def test_no_connection_idles_and_no_place_is_free_while_mail_could_use_it(first: int) -> None:
    """Where recipients are not limited: after an instant, what waits is down, held, stood for, or out of places."""
    for seed in range(first, first + 50):
        run = Run(without_recipient_limits(world_of(seed)), seed)
        for now in run.instants():
            for destination in run.engine.destinations:
                waiting, _, _ = places(destination)
                opening, _, idle = connections(destination)
                where = f"seed {seed}, {now} us, destination {destination.index}"
                assert not (idle and waiting), where
                full = all(limit.in_use == limit.connections for limit in destination.own_limits)
                stood_for = len(waiting) <= len(opening) * run.world.rules.messages_per_opening
                alone = all(m.opening is not None for m in waiting)
                assert isinstance(destination, RetryByDestination)
                if not destination.down:
                    assert full or stood_for or alone or destination.held, where
                elif waiting:
                    assert destination.timer_us >= now or destination.probe is not None or alone or full, where


def test_a_hold_has_a_connection_that_can_end_it() -> None:
    """A destination is held only beside an established connection, and never held and down at once."""
    for seed in MANY:
        run = Run(world_of(seed), seed)
        for now in run.instants():
            for destination in run.engine.destinations:
                _, busy, idle = connections(destination)
                assert isinstance(destination, RetryByDestination)
                assert not destination.held or busy or idle, f"seed {seed}, {now} us"
                assert not (destination.held and destination.down), f"seed {seed}, {now} us"


# --- the system-wide ceiling


@pytest.mark.parametrize("first", range(0, len(FEW), 50))
def test_who_could_open_stands_in_line_and_nobody_does_while_a_place_is_free(first: int) -> None:
    """Where recipients are not limited: the ceiling alone may keep a destination from opening, and then it waits."""
    reached = 0
    for seed in range(first, first + 50):
        run = Run(without_recipient_limits(any_world(seed, low=True)), seed)
        engine, ceiling = run.engine, run.world.rules.max_connections
        for now in run.instants():
            where = f"seed {seed}, {now} us"
            assert not engine.line or engine.open_connections == ceiling, where
            assert sorted(d.index for d in engine.line) == [d.index for d in engine.destinations if d.in_line], where
            for destination in engine.destinations:
                uncovered = destination.oldest_uncovered() is not None
                free = any(limit.in_use < limit.connections for limit in destination.own_limits)
                assert destination.in_line or not (destination.may_open() and uncovered and free), where
        assert all(d.injected == d.done for d in engine.destinations), seed
        reached += engine.ceiling_reached
    assert reached > 20


def test_a_ceiling_at_the_peak_changes_no_row_and_one_below_it_holds_mail_back() -> None:
    for seed in FEW:
        world = any_world(seed, low=False)
        free = Run(world, seed)
        rows, peak = free.columns(), free.engine.peak_connections
        for most in (peak, peak + 1):
            run = Run(with_rules(world, max_connections=most), seed)
            for part, same in zip(rows, run.columns(), strict=True):
                assert all(values.tolist() == same[name].tolist() for name, values in part.items()), seed
        assert not run.engine.ceiling_reached, seed
        if peak > 1:
            below = Run(with_rules(world, max_connections=peak - 1), seed)
            below.engine.run()
            assert (below.engine.ceiling_reached, below.engine.peak_connections) == (True, peak - 1), seed


# --- recipients in a window


def starts_of(run: Run, monkeypatch: pytest.MonkeyPatch) -> dict[int, list[tuple[int, int]]]:
    """Run; return for each limit of recipients the (time, recipients) of every message that started under it."""
    limits = run.engine.limits
    number = {id(limit): i for i, limit in enumerate(limits)}
    starts: dict[int, list[tuple[int, int]]] = {i: [] for i in range(len(limits))}
    plain = Destination.start

    def start(self: Destination, message: Message, connection: Connection) -> None:
        starts[number[id(connection.limit)]].append((self.engine.now, message.recipients))
        plain(self, message, connection)

    with monkeypatch.context() as patch:
        patch.setattr(Destination, "start", start)
        run.engine.run()
    return {i: rows for i, rows in starts.items() if limits[i].recipients}


def check_windows(starts: list[tuple[int, int]], limit: Limit, where: str) -> None:
    """Lay fixed windows, each opened by its first recipient, and fill them; what is larger than one fills the next."""
    begins, used = -limit.window_us, 0
    for time, recipients in starts:
        assert time >= begins, f"{where}: a message starts at {time} us, before its window at {begins} us"
        if time >= begins + limit.window_us:
            begins, used = time, 0
        assert used == 0 or used + recipients <= limit.recipients, f"{where}: window of {begins} us is overfull"
        used += recipients
        while used > limit.recipients:
            begins, used = begins + limit.window_us, used - limit.recipients


def test_no_window_takes_more_recipients_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also under limits that apply to each MX host; a message larger than the limit starts in an empty window."""
    limited = 0
    for seed in MANY:
        run = Run(world_of(seed), seed)
        for number, starts in starts_of(run, monkeypatch).items():
            limited += len(starts)
            check_windows(starts, run.engine.limits[number], f"seed {seed}, limit {number}")
    assert limited > 1_000


def test_the_check_of_windows_finds_faults() -> None:
    """Five in 60 us: one too many; one too early behind seven; and what is right."""
    limit = Limit(connections=1, recipients=5, window_us=60)
    check_windows([(0, 3), (59, 2), (60, 5), (200, 7), (260, 3), (320, 5)], limit, "right")
    for wrong in ([(0, 3), (59, 3)], [(0, 7), (59, 1)], [(0, 7), (60, 4)], [(0, 1), (10, 7)]):
        with pytest.raises(AssertionError, match="window"):
            check_windows(wrong, limit, "wrong")


# --- never in clear


@pytest.mark.parametrize("setting", STRICT)
def test_required_settings_never_deliver_in_clear(setting: Setting) -> None:
    """True whatever the queues do; and under both the verifying ones nothing is delivered without verification."""
    delivered = 0
    for seed in MANY:
        messages, carried = rows_of(world_of(seed, setting=setting), seed)
        assert not (messages["fate"] == Fate.IN_CLEAR).any(), f"seed {seed}"
        assert not (carried["outcome"] == Outcome.DELIVER_CLEAR).any(), f"seed {seed}"
        if setting is not Setting.REQUIRED:
            assert not (messages["fate"] == Fate.ENCRYPTED).any(), f"seed {seed}"
        delivered += int((messages["fate"] <= Fate.VERIFIED).sum())
    assert delivered > 1_000


def test_no_message_starts_under_a_setting_that_is_no_longer_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timeline that changes our policy: what starts after the change goes by the new setting, on any connection."""
    late: Counter[bool] = Counter()
    plain = Destination.start

    def start(self: Destination, message: Message, connection: Connection) -> None:
        now = np.searchsorted(run.world.phases.begins_us, self.engine.now, side="right") - 1
        setting = run.world.phases.setting[now, self.index]
        assert setting == connection.phase.setting[self.index], f"seed {seed}, {self.engine.now} us"
        assert setting not in STRICT or connection.outcome != Outcome.DELIVER_CLEAR, f"seed {seed}"
        late[bool(now) and message.arrival_us < run.world.phases.begins_us[now]] += 1
        plain(self, message, connection)

    monkeypatch.setattr(Destination, "start", start)
    for seed in MANY:
        run = Run(random_world(seed), seed)
        run.engine.run()
    assert late[True] > 1_000


def test_only_mail_in_clear_on_a_stripped_path_is_exposed() -> None:
    exposed = 0
    for seed in MANY:
        world, of, _ = run_of(seed, is_by_message(seed))
        mine = of["exposed"] == 1
        assert (of["fate"][mine] == Fate.IN_CLEAR).all(), seed
        assert world.phases.stripped[:, of["route"][mine]].any(axis=0).all(), seed
        always = np.asarray(world.phases.stripped.all(axis=0))
        clear = of["fate"] == Fate.IN_CLEAR
        assert mine[clear & always[of["route"]]].all(), seed
        exposed += int(mine.sum())
    assert exposed > 100


def test_no_delivers_in_clear_and_preferred_does_both() -> None:
    """The other side: the worlds above would show clear text if a setting let it through."""
    fates: dict[Setting, Counter[int]] = {}
    for setting in (Setting.NO, Setting.PREFERRED, Setting.PREFERRED_VERIFY):
        counted = fates[setting] = Counter()
        for seed in FEW:
            counted.update(rows_of(world_of(seed, setting=setting), seed)[0]["fate"].tolist())
    assert {f for f, n in fates[Setting.NO].items() if n} == {Fate.IN_CLEAR, Fate.BOUNCED}
    assert {f for f, n in fates[Setting.PREFERRED].items() if n} == {Fate.IN_CLEAR, Fate.ENCRYPTED, Fate.BOUNCED}
    assert fates[Setting.PREFERRED_VERIFY][Fate.VERIFIED] > 0


# --- what the rows say


def test_every_message_has_exactly_one_fate() -> None:
    """One row each, with the arrival, size and recipients of the mail that came; every bounce has its rule."""
    for seed in MANY:
        world, of, _ = run_of(seed, is_by_message(seed))
        count = np.diff(world.destinations.trace_start)
        owner = np.repeat(np.arange(len(count)), count)
        assert of["destination"].tolist() == owner.tolist(), seed
        assert of["ordinal"].tolist() == np.concatenate([np.arange(n) for n in count]).tolist(), seed
        mail = np.stack([of["arrival_us"], of["size_bytes"], of["recipients"]], axis=1)
        assert mail.tolist() == world.trace.tolist(), seed
        assert not (of["fate"] == Fate.QUEUED).any(), seed
        assert ((of["bounce"] == Bounce.NONE) == (of["fate"] != Fate.BOUNCED)).all(), seed


def test_bounces_come_not_before_they_are_due() -> None:
    """Time in queue not before the lifetime, retries when they are used up, replies at a verdict, and their reasons."""
    seen: Counter[int] = Counter()
    for seed in MANY:
        world, of, _ = run_of(seed)
        lifetime, retries = (
            column[of["destination"]] for column in (world.destinations.lifetime_us, world.destinations.max_retries)
        )
        age, bounce = of["done_us"] - of["arrival_us"], of["bounce"]
        lapsed, used_up, refused = (
            bounce == b for b in (Bounce.EXPIRED_TIME, Bounce.EXPIRED_RETRIES, Bounce.REPLY_5YZ)
        )
        assert (age[lapsed] >= lifetime[lapsed]).all(), seed
        assert (age[used_up] < lifetime[used_up]).all(), seed
        assert (of["retries"] <= retries).all(), seed
        assert (of["retries"][used_up] == retries[used_up]).all(), seed
        assert (of["verdicts"][used_up] == retries[used_up] + 1).all(), seed
        assert (of["reason"][used_up] == Reason.REPLY_4YZ).all(), seed
        assert (of["verdicts"][refused] >= 1).all(), seed
        assert (of["reason"][refused] == Reason.REPLY_5YZ).all(), seed
        seen.update(bounce.tolist())
    assert all(seen[b] > 50 for b in Bounce)


def test_by_message_every_time_a_message_is_put_off_is_a_retry_or_its_end() -> None:
    """Deferral events are retries and expiries; these come when lifetime or retries are used up, never without."""
    seen: Counter[int] = Counter()
    for seed in MANY:
        world, of, _ = run_of(seed, True)
        number, bounce = of["destination"], of["bounce"]
        lapsed, used_up = bounce == Bounce.EXPIRED_TIME, bounce == Bounce.EXPIRED_RETRIES
        assert (of["deferral_events"] == of["retries"] + (lapsed | used_up)).all(), seed
        assert ((of["retries"] > 0) == (of["deferred"] == 1)).all(), seed
        age, lifetime = of["done_us"] - of["arrival_us"], world.destinations.lifetime_us[number]
        assert (age[lapsed] >= lifetime[lapsed]).all(), seed
        assert (age[used_up] < lifetime[used_up]).all(), seed
        assert (of["retries"] <= world.destinations.max_retries[number]).all(), seed
        assert (of["retries"][used_up] == world.destinations.max_retries[number][used_up]).all(), seed
        seen.update(bounce.tolist())
    assert min(seen[b] for b in (Bounce.NONE, Bounce.EXPIRED_TIME, Bounce.EXPIRED_RETRIES, Bounce.TLS_REQUIRED)) > 50


def test_a_dead_destination_has_no_connection_and_no_mail_that_waits() -> None:
    dead = 0
    for seed in FEW:
        run = Run(world_of(seed, by_message=True), seed)
        for now in run.instants():
            for destination in run.engine.destinations:
                assert isinstance(destination, RetryByMessage)
                if now < destination.dead_until_us:
                    assert (destination.live, destination.waiting) == ({}, 0), f"seed {seed}, {now} us"
                    dead += 1
    assert dead > 100


def test_counts_of_a_message_fit_together() -> None:
    """Deferral events cover its own refusals; a retry is deferred; what reached a verdict has a route."""
    for seed in MANY:
        _, of, _ = run_of(seed)
        delivered = of["fate"] <= Fate.VERIFIED
        assert (of["deferral_events"] >= of["retries"]).all(), seed
        assert (of["deferred"][of["retries"] > 0] == 1).all(), seed
        assert ((of["route"] >= 0) == (of["verdicts"] > 0)).all(), seed
        assert (of["verdicts"][delivered] == of["retries"][delivered] + 1).all(), seed
        untouched = (of["deferral_events"] == 0) & (of["fate"] != Fate.BOUNCED)
        assert (of["reason"][untouched] == Reason.NONE).all(), seed


def test_times_and_counts_of_connections_fit_together() -> None:
    """Opened, established, closed in this order; one message or more a verdict; failed ones carried nothing."""
    for seed in MANY:
        world, messages, of = run_of(seed, is_by_message(seed))
        works = of["established_us"] >= 0
        assert (of["outcome"] <= Outcome.DELIVER_VERIFIED).tolist() == works.tolist(), seed
        assert (of["opened_us"] < of["closed_us"]).all(), seed
        assert (of["opened_us"][works] < of["established_us"][works]).all(), seed
        used = works & (of["messages"] > 0)
        assert (of["established_us"][works] <= of["closed_us"][works]).all(), seed
        assert (of["established_us"][used] < of["closed_us"][used]).all(), seed
        assert (of["messages"][~works] == 0).all(), seed
        assert (of["messages"] <= world.destinations.max_messages[of["destination"]]).all(), seed
        carried = np.zeros(len(world.destinations.key), dtype=np.int64)
        np.add.at(carried, of["destination"], of["messages"])
        np.subtract.at(carried, messages["destination"], messages["verdicts"])
        assert not carried.any(), seed
        assert (messages["arrival_us"] <= messages["done_us"]).all(), seed


def test_a_delivered_message_was_carried_by_a_connection_of_its_kind() -> None:
    """Its fate is the outcome of an established connection on its route that was open when the message was done."""
    for seed in FEW:
        _, messages, carried = run_of(seed, is_by_message(seed))
        works = carried["established_us"] >= 0
        for row in zip(*(messages[c].tolist() for c in ("destination", "route", "fate", "done_us")), strict=True):
            number, route, fate, done = row
            if fate <= Fate.VERIFIED:
                fits = works & (carried["destination"] == number) & (carried["route"] == route)
                fits &= (
                    (carried["outcome"] == fate) & (carried["established_us"] < done) & (done <= carried["closed_us"])
                )
                assert fits.any(), f"seed {seed}, destination {number}, done at {done} us"


# --- how long it may take


def longest_session(world: World, messages: Columns) -> NDArray[np.int64]:
    """Return, for each destination, the longest pass and the longest transfer behind it."""
    hosts, tables = world.hosts, world.tables
    # A route may be tried twice: a sender nobody has reconnects in clear after any evidence, silence too.
    one_try = 2 * max(int(hosts.unreachable_us.max()), (5 + 2) * int(hosts.rtt_us.max()))
    routes = np.diff(world.destinations.route_start)
    a_pass = np.maximum(world.rules.dns_timeout_us, world.rules.dns_us + routes * one_try)
    accept = int(hosts.accept_us.max()) * int(tables.accept.max()) >> 20
    body = int(messages["size_bytes"].max()) * int(hosts.us_per_mib.max()) >> 20
    transfer = (3 + int(messages["recipients"].max())) * int(hosts.rtt_us.max()) + body + accept
    return np.asarray(a_pass + transfer, dtype=np.int64)


@pytest.mark.parametrize("low", [False, True])
def test_no_message_outstays_lifetime_longest_wait_and_one_session(low: bool) -> None:
    """Whatever waits for what: a limit, the ceiling, a timer of either kind; the session is a pass and one transfer."""
    for seed in MANY:
        world, of, _ = run_of(seed)
        if low:
            of, _ = rows_of(with_ceiling(world, seed), seed)
        wait = max(int(world.waits_us.max()), int(world.rules.host_waits_us.max()))
        bound = (world.destinations.lifetime_us + wait + longest_session(world, of))[of["destination"]]
        assert (of["done_us"] - of["arrival_us"] <= bound).all(), f"seed {seed}"


def test_a_lapsed_message_is_delivered_only_by_what_began_before_it_lapsed() -> None:
    """``expire = at_lifetime``: after its lifetime a message is done only by the transfer it was in."""
    for seed in MANY:
        world = with_rules(world_of(seed), expire_at_lifetime=1)
        of, _ = rows_of(world, seed)
        hosts, lifetime = world.hosts, world.destinations.lifetime_us[of["destination"]]
        accept = int(hosts.accept_us.max()) * int(world.tables.accept.max()) >> 20
        body = of["size_bytes"] * int(hosts.us_per_mib.max()) >> 20
        transfer = (3 + of["recipients"]) * int(hosts.rtt_us.max()) + body + accept
        assert (of["done_us"] - of["arrival_us"] <= lifetime + transfer).all(), f"seed {seed}"


# --- runs that end early


def test_a_censored_run_conserves_its_mail_and_is_the_beginning_of_the_whole_one() -> None:
    """What has its fate before the end has the same row as in the run that drains; all else is queued at the end."""
    for seed in MANY:
        world, whole, lines = run_of(seed, is_by_message(seed))
        until = int(np.random.default_rng([seed, 3]).integers(1, 150)) * S
        part, cut = rows_of(with_rules(world, until_us=until), seed)
        early = whole["done_us"] < until
        done = part["fate"] != Fate.QUEUED
        assert (part["done_us"][~done] == until).all(), seed
        assert int((whole["arrival_us"] < until).sum()) == len(part["fate"]), seed
        for column in MESSAGE_COLUMNS:
            assert whole[column][early].tolist() == part[column][done].tolist(), f"seed {seed}, {column}"
        closed = lines["closed_us"] < until
        kept = cut["closed_us"] < until
        for column in CONNECTION_COLUMNS:
            assert lines[column][closed].tolist() == cut[column][kept].tolist(), f"seed {seed}, {column}"
        assert int((lines["opened_us"] < until).sum()) == len(cut["opened_us"]), seed
        assert (cut["closed_us"] <= until).all(), seed


def test_no_event_is_left_when_a_run_ends() -> None:
    """A run that drains ends with an empty calendar, no connection open, no place taken."""
    for seed in FEW:
        run = Run(world_of(seed, by_message=is_by_message(seed)), seed)
        run.engine.run()
        assert run.engine.env.following_us() is None, seed
        assert run.engine.open_connections == 0, seed
        assert not any(d.live or d.mail or d.on_timer for d in run.engine.destinations), seed
        assert not any(limit.in_use for limit in run.engine.limits), seed
