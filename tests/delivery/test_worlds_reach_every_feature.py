"""The worlds the two engines are compared on reach every part of the model, and ties of all kinds of events."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import Any

from sim.delivery.mail import ACCEPTED, LATE_REFUSED, PERSISTENT, REFUSED, TRANSIENT
from sim.delivery.rules import COUNTED as WAYS
from sim.delivery.rules import Rank
from sim.policy.decide import NOT_USED
from sim.terms import Bounce, Demand, Fate, Outcome, Seen, Stage
from tests.delivery import tiny_loop
from tests.delivery.test_reference_against_tiny_loop import CHUNK, QUICK, Kept, world_of
from tests.delivery.tiny_parts import BUSY, CLOSED, DONE, IDLE, OPENING, TIMER, TRANSFER, WAITING, Connection, Message

COUNTED: Counter[str] = Counter()
ALL: list[Watched] = []
RANKS = [rank for rank in Rank if rank != Rank.OUTAGE]


class Watched(tiny_loop.Destination):
    """A destination that counts what happens to it."""

    def __init__(self, *given: Any) -> None:
        self.at_this_instant: tuple[int, dict[Rank, set[int]]] = (-1, {})
        super().__init__(*given)
        ALL.append(self)

    def tell(self, *features: str) -> None:
        COUNTED.update(features)

    def ties(self, rank: Rank, ordinal: int = 0) -> None:
        """Count each pair of kinds of events that fell on one instant of one destination."""
        now = self.clock.now_us
        if self.at_this_instant[0] != now:
            self.at_this_instant = now, {}
        here = self.at_this_instant[1]
        self.tell(*(f"tie: {other.name}, {rank.name}" for other in here if other < rank))
        self.tell(*(f"tie: {rank.name}, again" for other in here.get(rank, set()) if other != ordinal))
        here.setdefault(rank, set()).add(ordinal)

    def switch(self, name: str) -> str:
        return f"{name}={int(getattr(self.rules, name))}"

    # --- the timeline

    def phase_begins(self, phase: int) -> None:
        self.ties(Rank.TIMELINE)
        idle = [c for c in self.connections if c.state == IDLE]
        super().phase_begins(phase)
        self.tell(*(["a changed setting closes an idle connection"] if any(c.state == CLOSED for c in idle) else []))
        self.tell(*(["a phase begins while down"] if self.down else []))

    def goes_on(self, c: Connection) -> None:
        changed = self.setting(self.phase()) != self.setting(c.phase)
        super().goes_on(c)
        if changed:
            self.tell("a changed setting ends a connection " + ("after a message" if c.messages else "as it is made"))

    # --- messages

    def arrives(self, m: Message) -> None:
        self.ties(Rank.ARRIVAL, m.ordinal)
        ran = self.timer is not None
        super().arrives(m)
        self.tell(*(["new mail stops the timer"] if ran and self.timer is None else []))
        self.tell(*(["new mail finds it down, timer goes on"] if ran and self.timer is not None else []))

    def becomes_waiting(self, m: Message) -> None:
        if m.ordinal in self.covered():
            self.tell("waits again while its old opening goes on")
        if self.rules.dead_us and self.clock.now_us == self.dead_until_us:
            self.tell("becomes ready at the instant a destination is dead no more")
        super().becomes_waiting(m)

    def ends(self, m: Message, fate: Fate, bounce: Bounce = Bounce.NONE) -> None:
        self.tell(f"fate {fate.name}", f"bounce {bounce.name}")
        if m.verdicts > 1 and fate <= Fate.VERIFIED:
            self.tell("accepted at a later verdict")
        if self.lapsed(m) and fate <= Fate.VERIFIED:
            self.tell("a transfer in progress finishes after the lifetime")
        if self.clock.now_us == m.arrival_us + self.of["lifetime_us"]:
            self.tell(f"ends at the instant it lapses, {fate.name}")
        super().ends(m, fate, bounce)

    def refused_for_now(self, m: Message) -> None:
        super().refused_for_now(m)
        self.tell(f"after a 4yz verdict: {Bounce(m.bounce).name}")
        if m.timer is not None and self.rules.expire_at_lifetime:
            at_most = m.arrival_us + self.of["lifetime_us"]
            due = next(time_us for time_us, *_, token, _ in self.clock.heap if token == m.timer)
            self.tell("own timer cut to the lifetime" if due == at_most else "own timer within the lifetime")

    def message_due(self, m: Message) -> None:
        self.ties(Rank.MESSAGE_TIMER, m.ordinal)
        super().message_due(m)
        self.tell(f"own timer due: {m.place}, {self.switch('expire_at_lifetime')}")

    def answer(self, m: Message) -> int:
        new, answer = m.greylisted_us is None, super().answer(m)
        if m.greylisted_us is not None:
            self.tell(f"greylisting: {'first' if new else 'later'} verdict {answer}")
            if m.refusal:
                self.tell("greylisting after a transient refusal")
        self.tell(f"answer {answer}, refusal {m.refusal}")
        return answer

    # --- connections

    def open_for(self, m: Message, dns_word: int, order: list[int]) -> Connection:
        c = super().open_for(m, dns_word, order)
        if len(order) < len(self.routes):
            self.tell("MXIP: passed over when the pass begins")
        plain = sorted(self.routes, key=lambda r: (int(self.world.routes.preference[r]), r))
        if len(order) == len(plain) and order != plain:
            self.tell("equal preferences rotated")
        return c

    def outage(self, host: int, now_us: int) -> bool:
        covered = super().outage(host, now_us)
        first, stop = self.world.hosts.planned_start[host : host + 2]
        if any(begins <= now_us < ends for begins, ends in self.world.planned_outages[first:stop]):
            self.tell("a planned outage covers a try")
        self.tell(*(["outage covers a try"] if covered else []))
        return covered

    def try_route(self, c: Connection, start_us: int) -> None:
        if self.world.phases.stripped[c.phase, c.route]:
            self.tell("a try on a stripped path")
        super().try_route(c, start_us)

    def stepped(self, c: Connection, stage: Stage, seen: int) -> None:
        self.ties(Rank.CONNECTION_STEP, c.ordinal)
        self.tell(f"stage {stage.name}", f"seen {Seen(seen).name}")
        in_clear_again, was_probe = (
            c.opening > 0 and c.demand == 0 and self.demand(c.phase, c.route) > 0,
            self.probe is c,
        )
        self.look_at(c, seen)
        super().stepped(c, stage, seen)
        self.tell(f"outcome {Outcome(c.outcome).name}")
        if in_clear_again:
            self.tell(f"after reconnecting: {c.state}")
        if c.outcome == Outcome.BOUNCE_MESSAGE:
            self.tell(
                "bounce message: not the last try" if c.state == OPENING else f"bounce message: {c.message.place}"
            )
        if c.outcome == Outcome.BOUNCE_NOW:
            self.tell(f"bounce now: {c.message.place}", *(["bounce now: hosts left"] if c.untried else []))
        if c.outcome == Outcome.BOUNCE_ALL:
            self.tell("bounce all, by the probe" if was_probe else "bounce all")
            self.tell(*(["bounce all while held"] if self.held else []))

    def look_at(self, c: Connection, seen: int) -> None:
        """Count what demand and age make of what a try saw."""
        if Demand(c.demand) in NOT_USED:
            self.tell(f"not used: {Demand(c.demand)}")
        young, aged = self.rules.outcome[c.demand, seen].tolist()
        if young != aged:
            self.tell("an outcome that differs: " + ("aged" if c.aged else "young"))

    def is_aged(self, m: Message) -> bool:
        aged, limit_us = super().is_aged(m), self.rules.aged_after_us
        by_age = limit_us >= 0 and m.ready_us - m.arrival_us >= limit_us
        if aged:
            self.tell("aged by its age" if by_age else "aged by a failure of TLS")
        elif 0 <= limit_us <= self.clock.now_us - m.arrival_us:
            self.tell("young although it waited long for a connection")
        return aged

    # --- retry by message

    def put_off(self, m: Message, started_us: int) -> None:
        super().put_off(m, started_us)
        if self.by_message:
            self.tell(f"by message: {Bounce(m.bounce).name}, counted by {WAYS[self.rules.counted]}")
            if m.timer is not None and self.rules.scan_us:
                self.tell("by message: a timer waits for a scan")

    def put_off_untried(self, m: Message) -> None:
        new = m.ready_us < 0 and not m.retries
        self.tell("dead: " + ("new mail comes" if new else "a timer falls due" if m.place == TIMER else "mail waits"))
        super().put_off_untried(m)

    def message_put_off(self, c: Connection) -> None:
        self.tell(f"by message: pass fails for a message {c.message.place}")
        before = self.dead_until_us
        super().message_put_off(c)
        if self.rules.dead_us:
            if self.dead_until_us == before:
                self.tell("not dead beside another connection")
            else:
                self.tell(
                    "dead begins" if self.clock.now_us < self.dead_until_us else "the pass outlasts its being dead"
                )

    def moves_on(self, c: Connection) -> bool:
        before, untried, demand = c.route, len(c.untried), c.demand
        moved = super().moves_on(c)
        if moved and self.slot(before) != self.slot(c.route):
            self.tell("MXIP: the place moves on")
        if moved and c.demand != demand:
            self.tell("another demand at the next host" + (" after one not used" if Demand(demand) in NOT_USED else ""))
        if untried - len(c.untried) > moved:
            self.tell("MXIP: passed over when the pass moves on" if moved else "MXIP: nowhere to move on to")
        return moved

    def transfer(self, m: Message, c: Connection) -> None:
        slot = self.slot(c.route)
        if 0 < self.world.slots.recipients[slot] < m.recipients:
            self.tell("window: oversize message")
        if any(other.state == IDLE and other.fell_idle > c.fell_idle for other in self.connections):
            self.tell("window: an older idle connection takes the mail")
        if self.down:
            self.tell("carries while down: " + ("the probe" if self.probe is c else "another"))
        super().transfer(m, c)
        if self.windows[slot][0] > self.clock.now_us:
            self.tell("window: the last one filled lies in the future")

    def verdict(self, m: Message, c: Connection, answer: int) -> None:
        self.ties(Rank.VERDICT, c.ordinal)
        down, held, was_probe = self.down, self.held, self.probe is c
        released = sum(o.place == TIMER for o in self.messages)
        super().verdict(m, c, answer)
        if down and answer == 2:
            self.tell("down ends by the probe" if was_probe else "down ends by another connection")
        if held and answer == 2:
            self.tell("held ends by an accepted message")
        if answer == 2 and released:
            self.tell(f"others on timers at an accepted message, {self.switch('success_releases_all')}")
        if c.state == CLOSED:
            self.tell(
                "a changed setting closes an idle connection",
                "a changed setting ends a connection after a message",
                "a changed setting ends a connection as it is made",
                "a phase begins while down",
                "a planned outage covers a try",
                "closes at its limit of messages",
                *(["the probe closes unaccepted"] if was_probe and answer != 2 else []),
            )

    def closes(self, c: Connection) -> None:
        held = self.held
        if c.state == IDLE:
            self.ties(Rank.IDLE_TIMEOUT, c.ordinal)
            self.tell("idle time-out", *(["idle time-out while mail waits"] if self.waiting() else []))
        super().closes(c)
        self.tell(*(["held ends by a close"] if held else []))

    def pass_failed(self, c: Connection) -> None:
        down, was_probe = self.down, self.probe is c
        self.tell(f"pass fails for a message {c.message.place}")
        super().pass_failed(c)
        if self.by_message:
            return
        if down:
            self.tell("the probe fails" if was_probe else "another pass fails while down")
        else:
            self.tell("goes down" if self.down else "held")

    def start_timer(self, started_us: int) -> None:
        super().start_timer(started_us)
        self.tell(f"destination timer, wait {min(self.timer_starts, 3)}")

    def timer_due(self) -> None:
        self.ties(Rank.DESTINATION_TIMER)
        before = len(self.waiting())
        super().timer_due()
        self.tell(*(["lapsed mail bounces at the destination's timer"] if len(self.waiting()) < before else []))

    # --- dispatch

    def dispatch(self) -> None:
        self.ties(Rank.DISPATCH)
        down, lines_up, before = self.down, self.number in self.clock.line, len(self.opening())
        super().dispatch()
        if not lines_up and self.number in self.clock.line and len(self.opening()) > before:
            self.tell("ceiling: opens and joins again")
        self.tell(*(["a probe opens"] if down and self.probe is not None else []))

    def bounce_lapsed(self, oldest_first: list[Message]) -> None:
        super().bounce_lapsed(oldest_first)
        if any(m.place == DONE for m in oldest_first):
            self.tell(f"lapsed mail bounces, {self.switch('expire_at_lifetime')}{', down' if self.down else ''}")

    def opens(self) -> bool:
        mail, begun = self.waiting(), len(self.opening())
        stood = self.number in self.clock.line
        opened = super().opens()
        if self.number in self.clock.line:
            self.tell("ceiling: " + ("asks while in line" if stood else "joins the line"))
            self.tell(*(["ceiling: a probe joins the line"] if self.down and not stood else []))
        if not opened and self.without_opening():
            if not self.down and not self.held and len(mail) > begun > 0:
                self.tell(
                    "not one opening per message" if len(mail) <= self.rules.messages_per_opening * begun else "full"
                )
            self.tell(*(["held back while held"] if self.held else []))
        return opened

    def has_room(self, slot: int, recipients: int) -> bool:
        room = super().has_room(slot, recipients)
        self.tell(
            "window: room for all mail with an opening" if room else "window: no room beside mail with an opening"
        )
        return room

    def wake_with(self, slot: int) -> None:
        if any(c.state == IDLE and self.slot(c.route) == slot for c in self.connections):
            self.tell("window: closed to an idle connection")
        else:
            self.tell("window: closed to an opening")
        super().wake_with(slot)

    def window_changes(self) -> None:
        self.ties(Rank.RATE_WINDOW)
        super().window_changes()

    def left(self) -> None:
        """Count what an early end met."""
        self.tell(*(f"until: a message {m.place}" for m in self.messages if m.place != DONE))
        self.tell(*(f"until: a connection {c.state}" for c in self.connections if c.state != CLOSED))

    def expires(self, when: int) -> None:
        live, before = self.watch_us == when, len(self.waiting())
        stands = self.number in self.clock.line
        if live:
            self.ties(Rank.EXPIRY)
        super().expires(when)
        if live:
            what = "nothing" if len(self.waiting()) == before else "mail"
            self.tell(*(["ceiling: mail in line expires"] if stands and what == "mail" else []))
            self.tell(f"the watch finds {what}, {self.switch('expire_at_lifetime')}{', down' if self.down else ''}")


def expected() -> set[str]:
    """Name every feature that must be met."""
    switches = ("expire_at_lifetime=0", "expire_at_lifetime=1")
    ordinals = (Rank.VERDICT, Rank.CONNECTION_STEP, Rank.IDLE_TIMEOUT, Rank.MESSAGE_TIMER, Rank.ARRIVAL)
    return {
        *(f"tie: {first.name}, {second.name}" for first, second in combinations(RANKS, 2)),
        *(f"tie: {rank.name}, again" for rank in ordinals),
        *(f"outcome {outcome.name}" for outcome in Outcome),
        *(f"stage {stage.name}" for stage in Stage),
        *(f"seen {seen.name}" for seen in Seen),
        *(f"fate {fate.name}" for fate in Fate if fate != Fate.QUEUED),
        *(f"bounce {bounce.name}" for bounce in Bounce),
        *(f"until: a message {place}" for place in (WAITING, TRANSFER, TIMER)),
        *(f"until: a connection {state}" for state in (OPENING, IDLE, BUSY)),
        *(f"after a 4yz verdict: {end}" for end in ("NONE", "EXPIRED_TIME", "EXPIRED_RETRIES")),
        *(f"lapsed mail bounces, {switch}" for switch in switches),
        *(f"the watch finds mail, {switch}" for switch in switches),
        *(f"own timer due: {place}, {switch}" for place in (WAITING, DONE) for switch in switches),
        *(f"others on timers at an accepted message, success_releases_all={switch}" for switch in (0, 1)),
        *(f"after reconnecting: {state}" for state in (IDLE, OPENING, CLOSED)),
        *(f"pass fails for a message {place}" for place in (WAITING, TRANSFER, TIMER, DONE)),
        *(f"bounce message: {place}" for place in ("not the last try", TRANSFER, DONE)),
        *(f"bounce now: {place}" for place in ("hosts left", TRANSFER, DONE)),
        *(f"by message: pass fails for a message {place}" for place in (WAITING, TRANSFER, TIMER, DONE)),
        *(
            f"by message: {end}, counted by {way}"
            for end in ("NONE", "EXPIRED_TIME", "EXPIRED_RETRIES")
            for way in WAYS
        ),
        *(f"not used: {demand}" for demand in NOT_USED),
        *(f"an outcome that differs: {age}" for age in ("young", "aged")),
        *(f"destination timer, wait {n}" for n in (1, 2, 3)),
        *(f"ends at the instant it lapses, {fate.name}" for fate in (Fate.IN_CLEAR, Fate.BOUNCED)),
        *(f"answer {answer}, refusal {refusal}" for answer, refusals in ANSWERS.items() for refusal in refusals),
        *FEATURES,
    } - UNMET


ANSWERS = {2: (ACCEPTED, TRANSIENT), 4: (ACCEPTED, TRANSIENT, PERSISTENT, LATE_REFUSED), 5: (LATE_REFUSED, REFUSED)}
FEATURES = (
    "MXIP: nowhere to move on to", "MXIP: passed over when the pass begins",
    "MXIP: passed over when the pass moves on", "MXIP: the place moves on",
    "window: an older idle connection takes the mail", "window: closed to an idle connection",
    "window: closed to an opening", "window: no room beside mail with an opening", "window: oversize message",
    "window: room for all mail with an opening", "window: the last one filled lies in the future",
    "goes down", "a probe opens", "the probe fails", "the probe closes unaccepted", "down ends by the probe",
    "down ends by another connection", "carries while down: the probe", "carries while down: another",
    "another pass fails while down", "new mail stops the timer", "new mail finds it down, timer goes on",
    "lapsed mail bounces at the destination's timer", "the watch finds mail, expire_at_lifetime=1, down",
    "held", "held back while held", "held ends by a close", "held ends by an accepted message",
    "greylisting: first verdict 4", "greylisting: later verdict 4", "greylisting: later verdict 2",
    "greylisting after a transient refusal", "accepted at a later verdict",
    "a transfer in progress finishes after the lifetime", "waits again while its old opening goes on",
    "own timer cut to the lifetime", "own timer within the lifetime",
    "outage covers a try", "a try on a stripped path", "equal preferences rotated", "not one opening per message",
    "bounce all", "bounce all, by the probe", "bounce all while held",
    "closes at its limit of messages", "idle time-out", "idle time-out while mail waits",
    "aged by its age", "aged by a failure of TLS", "young although it waited long for a connection",
    "another demand at the next host", "another demand at the next host after one not used",
    "by message: a timer waits for a scan", "dead begins", "not dead beside another connection",
    "the pass outlasts its being dead", "dead: mail waits", "dead: a timer falls due", "dead: new mail comes",
    "becomes ready at the instant a destination is dead no more",
    "ceiling: joins the line", "ceiling: asks while in line", "ceiling: opens and joins again",
    "ceiling: a probe joins the line", "ceiling: mail in line expires",
)  # fmt: skip
#: An established connection idles while its destination is down, at the instant its timer falls due: too rare.
UNMET = {"tie: IDLE_TIMEOUT, DESTINATION_TIMER", "tie: RATE_WINDOW, DESTINATION_TIMER"}


def test_the_worlds_of_a_test_run_reach_every_feature() -> None:
    COUNTED.clear()
    for first in QUICK:
        for seed in range(first, first + CHUNK):
            ALL.clear()
            tiny_loop.run(world_of(seed), seed, Kept(), Watched)
            for destination in ALL:
                destination.left()
    assert not (missing := sorted(expected() - COUNTED.keys())), missing
