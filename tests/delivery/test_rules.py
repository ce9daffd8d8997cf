"""The model's integer arithmetic: exact, equal to its vectorised twins, within 62 bits, and the laws of its windows."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from sim.delivery import rules
from sim.delivery.ground import LARGEST_BYTES
from sim.delivery.mail import _clock_of_many
from sim.delivery.quantiles import tail_knots
from sim.delivery.rules import HOUR_TICKS, HOUR_US, MOST_TICKS, UNIT_BITS, Rank
from sim.policy.decide import NOT_USED
from sim.policy.profile import Queueing
from sim.terms import Demand, Reason, Stage

WHOLE = 1 << 32
LARGEST = 1 << 62
Rate = tuple[list[int], list[int]]

word32 = st.integers(0, WHOLE - 1)
pieces = st.tuples(st.integers(1, HOUR_US), st.one_of(st.integers(0, MOST_TICKS), st.just(0), st.just(HOUR_TICKS)))
rtts = st.integers(1, 1 << 40)
#: Now, limit, window and the recipients of messages that come one after another, so many microseconds apart.
window_lengths = st.integers(1, 60 * 60_000_000)


@st.composite
def drawn_rates(draw: st.DrawFn) -> Rate:
    """Draw knots at most an hour apart, and the integral of a rate before each of them."""
    lengths, ticks = zip(*draw(st.lists(pieces, min_size=1, max_size=60)), strict=True)
    assume(any(ticks))
    return [0, *accumulate(lengths)], [0, *accumulate(ticks)]


rates = drawn_rates()


# --- fixed point


@given(st.integers(0, (1 << 57) - 1), st.integers(0, (1 << 26) - 1), st.integers(0, 20))
def test_scaled_is_the_product_without_its_low_bits(value: int, factor: int, bits: int) -> None:
    assert rules.scaled(value, factor, bits) == value * factor >> bits


@given(st.integers(0, (1 << 46) - 1), word32)
@example((1 << 46) - 1, WHOLE - 1)
def test_a_share_is_at_most_one_below_the_exact_product(value: int, word: int) -> None:
    exact = value * word >> 32
    assert exact - 1 <= rules.share_of(value, word) <= exact
    assert value == 0 or rules.share_of(value, word) < value


@given(st.lists(word32, max_size=8), word32, st.data())
def test_first_above_is_the_first_or_the_end(thresholds: list[int], word: int, data: st.DataObject) -> None:
    stop = data.draw(st.integers(0, len(thresholds)))
    start = data.draw(st.integers(0, stop))
    found = [i for i in range(start, stop) if thresholds[i] > word]
    assert rules.first_above(thresholds, start, stop, word) == (found[0] if found else stop)


# --- the clock of arrivals


@given(rates)
def test_the_vectorised_clock_is_the_scalar_one(rate: Rate) -> None:
    """Any profile, pieces without mail too, at every knot and between."""
    knots, before = rate
    ticks = sorted({t + d for t in before for d in (-1, 0, 1) if 0 <= t + d < before[-1]} | {before[-1] // 3})
    many = _clock_of_many(np.array(ticks), np.array(knots), np.array(before))
    assert many.tolist() == [rules.clock_us(t, knots, before) for t in ticks]


@given(rates, st.data())
def test_the_clock_never_turns_back_and_skips_pieces_without_mail(rate: Rate, data: st.DataObject) -> None:
    knots, before = rate
    ticks = data.draw(st.integers(0, before[-1] - 1))
    here = rules.clock_us(ticks, knots, before)
    piece = bisect_right(knots, here) - 1
    assert before[piece] <= ticks < before[piece + 1]
    assert ticks + 1 == before[-1] or here <= rules.clock_us(ticks + 1, knots, before)
    assert 0 <= here < knots[-1]


@given(st.integers(1, HOUR_US), st.integers(1, MOST_TICKS), st.data())
def test_a_part_is_exact(length_us: int, width: int, data: st.DataObject) -> None:
    ticks = data.draw(st.integers(0, width - 1))
    assert rules.part_of(length_us, ticks, width) == length_us * ticks // width


@given(st.integers(0, 1_000 * HOUR_TICKS - 1))
def test_at_a_flat_rate_an_hour_of_ticks_is_an_hour(ticks: int) -> None:
    hours = range(1_001)
    knots, before = [h * HOUR_US for h in hours], [h * HOUR_TICKS for h in hours]
    assert rules.clock_us(ticks, knots, before) == ticks * HOUR_US // HOUR_TICKS


# --- nothing above 2**62, so that a compiler may take the functions as they stand


class Watched(int):
    """An integer that remembers, for all of them, the largest value any operation gave."""

    largest = 0

    @classmethod
    def of(cls, value: int) -> Watched:
        cls.largest = max(cls.largest, abs(value))
        return cls(value)


def _watching(name: str) -> Callable[[Watched, int], Watched]:
    plain = getattr(int, name)
    return lambda self, other: Watched.of(plain(self, int(other)))


for _name in ("add", "sub", "mul", "floordiv", "mod", "lshift", "rshift", "and", "or"):
    for _full in (f"__{_name}__", f"__r{_name}__"):
        setattr(Watched, _full, _watching(_full))


def largest_of(rule: Callable[..., object], *arguments: int | list[int]) -> int:
    """Return the largest intermediate value of a rule."""
    Watched.largest = 0
    rule(*([Watched(v) for v in a] if isinstance(a, list) else Watched(a) for a in arguments))
    return Watched.largest


def test_the_watch_sees_values_that_are_thrown_away() -> None:
    assert largest_of(lambda a, b: (a * b) >> 3, 1 << 40, 1 << 30) == 1 << 70


def test_scaled_stays_within_62_bits_over_its_stated_ranges() -> None:
    assert largest_of(rules.scaled, (1 << 56) - 1, (1 << 26) - 1, 20) <= LARGEST


def test_scaled_stays_within_62_bits_where_the_engines_use_it() -> None:
    """A median of up to 50 days by a factor of up to 2**20: a log-normal of sigma 1.5 reaches 13,800."""
    assert largest_of(rules.scaled, (1 << 42) - 1, (1 << 40) - 1, UNIT_BITS) <= LARGEST


@given(st.integers(0, (1 << 46) - 1), word32)
@example((1 << 46) - 1, WHOLE - 1)
def test_a_share_stays_within_62_bits(value: int, word: int) -> None:
    assert largest_of(rules.share_of, value, word) <= LARGEST


@pytest.mark.parametrize("word", [0, 63, 64, (1 << 31) - 1, 1 << 31, (1 << 31) + 1, WHOLE - 1])
def test_a_quantile_stays_within_62_bits(word: int) -> None:
    """Knots as far apart as the maker of tables allows, high and low in turn."""
    knots = [0, (1 << 37) - 1] * len(tail_knots())
    assert largest_of(rules.quantile, knots, word) <= LARGEST


@given(rates)
@example(([0, HOUR_US], [0, MOST_TICKS]))
def test_the_clock_stays_within_62_bits(rate: Rate) -> None:
    knots, before = rate
    assert largest_of(rules.clock_us, before[-1] - 1, knots, before) <= LARGEST


@pytest.mark.parametrize(
    ("rule", "arguments"),
    [
        # A year of silence, a round trip of 12 days: far beyond any peer.
        (rules.opening_us, (int(Demand.ENCRYPT), int(Stage.TLS), 1 << 40, 2, 1 << 45, 1 << 37)),
        (rules.opening_us, (int(Demand.ENCRYPT), int(Stage.HANDSHAKE_TIMEOUT), 1 << 40, 2, 1 << 45, 1 << 37)),
        # 1 GB at 1 kB/s to 1,000 recipients.
        (rules.transfer_us, (1 << 30, 1_000, 1 << 40, 1 << 30, 1 << 45)),
        (rules.refusal_us, (1_000, 1 << 40)),
        # A billion seconds, the longest wait a bounce profile takes, after 400 days.
        (rules.due_us, (1 << 45, 10**15, 1 << 45)),
        # The same wait, after 400 days, by each way to count, up to a scan of a billion seconds.
        *((rules.next_try_us, (way, [1, 10**15], 9, 0, 1 << 45, 1 << 45, 10**15)) for way in range(3)),
        (rules.window_after, (1 << 45, 1 << 44, 999, 60 * 60_000_000, 1, 1_000_000)),
        (rules.window_after, (1 << 45, 1 << 44, 10**9 - 1, 60 * 60_000_000, 10**9, 1_000_000)),
    ],
)
def test_times_stay_within_62_bits(rule: Callable[..., object], arguments: tuple[int, ...]) -> None:
    assert largest_of(rule, *arguments) <= LARGEST


def test_the_largest_message_to_the_slowest_host_stays_within_62_bits() -> None:
    """Sizes end at `LARGEST_BYTES`; the columns of hosts allow 1,000 byte/s."""
    largest, us_per_mib = LARGEST_BYTES, (1_000_000 << 20) // 1_000
    assert largest_of(rules.transfer_us, largest, 1, 40_000, us_per_mib, 2_000_000) <= LARGEST


# --- how long a connection takes to open


@given(st.sampled_from(Demand), rtts, st.integers(1, 2))
def test_an_opening_lasts_longer_the_further_it_gets(demand: Demand, rtt_us: int, trips: int) -> None:
    """From the greeting on, in the order of the stages; time-outs stand apart."""
    answers = [s for s in Stage if s > Stage.UNREACHABLE and s != Stage.HANDSHAKE_TIMEOUT]
    times = [rules.opening_us(demand, s, rtt_us, trips, 7, 9) for s in answers]
    assert all(a <= b for a, b in pairwise(times))
    assert times[0] == 2 * rtt_us
    assert times[-1] == (3 if demand is Demand.CLEAR else 5 + trips) * rtt_us
    assert rules.opening_us(demand, Stage.UNREACHABLE, rtt_us, trips, 7, 9) == 7
    hangs = rules.opening_us(demand, Stage.HANDSHAKE_TIMEOUT, rtt_us, trips, 7, 9)
    assert hangs == (3 * rtt_us if demand is Demand.CLEAR else 4 * rtt_us + 9)


@given(st.sampled_from([d for d in Demand if d is not Demand.CLEAR]), rtts)
def test_the_round_trips_of_an_opening(demand: Demand, rtt_us: int) -> None:
    """Connect, greeting, EHLO, STARTTLS, handshake (1 in TLS 1.3, else 2), EHLO again (RFC 5321, 3207, 8446)."""
    expected = {Stage.GREETING_4XX: 2, Stage.GREETING_5XX: 2, Stage.NOT_OFFERED: 3, Stage.REFUSED_4XX: 4,
                Stage.REFUSED_5XX: 4, Stage.LOST_BEFORE_220: 4}  # fmt: skip
    for trips in (1, 2):
        late = {Stage.HANDSHAKE_FAILED: 4 + trips, Stage.LOST_IN_TLS: 5 + trips, Stage.TLS: 5 + trips}
        for stage, count in (expected | late).items():
            assert rules.opening_us(demand, stage, rtt_us, trips, 7, 9) == count * rtt_us


# --- when a message is tried again


def queueing(counted: str, waits_s: list[int], scan_s: int) -> Queueing:
    return Queueing(counted=counted, waits_s=tuple(map(float, waits_s)), scan_s=scan_s, lifetime_s=0.0, source="a test")


@given(
    st.sampled_from(rules.COUNTED),
    st.lists(st.integers(1, 5_000), min_size=1, max_size=5),
    st.integers(1, 9),
    st.integers(0, 10_000),
    st.integers(0, 100_000),
    st.sampled_from([0, 1, 60, 300]),
)
def test_a_message_is_due_when_its_senders_documents_say(
    counted: str, waits_s: list[int], tries: int, arrival_s: int, age_s: int, scan_s: int
) -> None:
    """`Queueing.next_s`, of a try that fails at once, in whole microseconds."""
    us, started_s = 1_000_000, arrival_s + age_s
    expected_s = queueing(counted, waits_s, scan_s).next_s(tries, started_s, arrival_s)
    waits_us = [wait * us for wait in waits_s]
    way = rules.COUNTED.index(counted)
    started_us = started_s * us
    due = rules.next_try_us(way, waits_us, tries, arrival_s * us, started_us, started_us, scan_s * us)
    assert due == expected_s * us > started_us
    # A try that took longer than its wait: due at once, or at the next run over the queue.
    late_us = due + 7
    again = rules.next_try_us(way, waits_us, tries, arrival_s * us, started_us, late_us, scan_s * us)
    assert again == (late_us if not scan_s else (late_us // (scan_s * us) + 1) * scan_s * us)


def test_a_message_is_aged_by_its_age_or_by_a_failure_of_tls() -> None:
    """300 s from arrival to when it was ready; the other rule; both; none."""
    assert [rules.is_aged(5, ready, 1, 300, 0) for ready in (5, 304, 305)] == [0, 0, 1]
    assert [rules.is_aged(5, 5, failed, -1, 1) for failed in (0, 1)] == [0, 1]
    assert [rules.is_aged(5, ready, failed, 300, 1) for ready, failed in ((5, 1), (305, 0))] == [1, 1]
    assert rules.is_aged(0, 1 << 45, 1, -1, 0) == 0


def test_reasons_of_tls_and_demands_without_a_connection() -> None:
    others = {Reason.NONE, Reason.DNS_TEMPORARY, Reason.DNS_PERMANENT, Reason.UNREACHABLE, Reason.GREETING,
              Reason.SESSION_LOST, Reason.REPLY_4YZ, Reason.REPLY_5YZ}  # fmt: skip
    assert {reason for reason in Reason if not rules.is_tls_reason(reason)} == others
    assert {demand for demand in Demand if rules.may_not_connect(demand)} == set(NOT_USED)


@given(st.integers(0, 1 << 30), st.integers(1, 1_000), st.integers(0, 1 << 30), st.integers(0, 1 << 30), rtts)
def test_a_refusal_is_shorter_than_a_transfer(size: int, recipients: int, per_mib: int, accept: int, rtt: int) -> None:
    """MAIL and RCPT against MAIL, RCPT, DATA, the body and the final reply; both at least one microsecond."""
    transfer = rules.transfer_us(size, recipients, rtt, per_mib, accept)
    assert 1 <= rules.refusal_us(recipients, rtt) < transfer
    assert transfer <= rules.transfer_us(size + 1, recipients + 1, rtt, per_mib, accept + 1)


@given(st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_a_timer_runs_from_the_start_of_the_attempt_and_not_into_the_past(start: int, wait: int, later: int) -> None:
    due = rules.due_us(start, wait, start + later)
    assert due >= start + later
    assert due == start + wait or later > wait


def test_an_outage_covers_its_beginning_and_not_its_end() -> None:
    assert [rules.is_down(t, 10, 5) for t in (9, 10, 14, 15)] == [False, True, True, False]
    assert not rules.is_down(10, 10, 0)


def test_the_ranks_are_those_of_the_page() -> None:
    told = "TIMELINE OUTAGE RATE_WINDOW VERDICT CONNECTION_STEP IDLE_TIMEOUT EXPIRY DESTINATION_TIMER MESSAGE_TIMER"
    assert [r.name for r in sorted(Rank)] == [*told.split(), "ARRIVAL", "DISPATCH"]


# --- recipients in N minutes


@dataclass
class Window:
    """A limit that takes each message as soon as the rules admit it, and the windows that this has counted."""

    limit: int
    window_us: int
    now_us: int = 0
    begins_us: int = 0
    used: int = 0
    #: Recipients by the beginning of the window that counts them; those of oversize messages by themselves.
    counted: Counter[int] = field(default_factory=Counter)
    spilt: Counter[int] = field(default_factory=Counter)
    began: list[tuple[int, int]] = field(default_factory=list)

    def admits(self, recipients: int) -> bool:
        return rules.window_admits(self.now_us, self.begins_us, self.used, self.window_us, self.limit, recipients)

    def take(self, recipients: int) -> None:
        """Wait, as an engine does, until the rules admit a message; then count it."""
        waits = 0
        while not self.admits(recipients):
            self.now_us = rules.window_wakes_us(self.now_us, self.begins_us, self.window_us)
            waits += 1
            assert waits <= 2, "a message needs at most: the window begins, the window ends"
        opens = self.now_us >= self.begins_us + self.window_us or self.used == 0
        first = self.now_us if opens else self.begins_us
        self.begins_us, self.used = rules.window_after(
            self.now_us, self.begins_us, self.used, self.window_us, self.limit, recipients
        )
        self.began.append((self.now_us, recipients))
        for at in range(recipients):
            whole = at // self.limit if recipients > self.limit else 0
            place = self.spilt if recipients > self.limit else self.counted
            place[first + whole * self.window_us] += 1
        assert self.used == self.counted[self.begins_us] + self.spilt[self.begins_us]


messages = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 12)), min_size=1, max_size=40)


@given(st.integers(1, 6), st.integers(1, 30), messages)
def test_no_window_counts_more_recipients_than_the_limit(
    limit: int, window_us: int, mail: list[tuple[int, int]]
) -> None:
    """Also where a message larger than the limit fills the windows that follow; windows do not overlap."""
    window = Window(limit, window_us)
    for gap, recipients in mail:
        window.now_us += gap
        window.take(recipients)
    counted = window.counted + window.spilt
    assert max(counted.values()) <= limit
    assert sum(counted.values()) == sum(recipients for _, recipients in mail)
    assert all(b - a >= window_us for a, b in pairwise(sorted(counted)))


@given(st.integers(1, 6), st.integers(1, 30), messages)
def test_no_stretch_of_time_starts_more_than_two_windows_allow(
    limit: int, window_us: int, mail: list[tuple[int, int]]
) -> None:
    """Windows are fixed: a stretch as long as one touches two, so what starts in it may reach twice the limit."""
    window = Window(limit, window_us)
    for gap, recipients in mail:
        window.now_us += gap
        window.take(recipients)
    small = [(t, n) for t, n in window.began if n <= limit]
    for start, _ in small:
        assert sum(n for t, n in small if start <= t < start + window_us) <= 2 * limit


def test_the_first_recipient_opens_the_window() -> None:
    """60 s, 5 recipients. 3 at t = 7 open 7..67; 2 more fit at 66; the next waits for 67 and opens 67..127."""
    window = Window(limit=5, window_us=60)
    for now, recipients in ((7, 3), (66, 2)):
        window.now_us = now
        window.take(recipients)
        assert (window.now_us, window.begins_us) == (now, 7)
    window.take(1)
    assert (window.now_us, window.begins_us, window.used) == (67, 67, 1)
    # Nothing for a long time: the next window begins with the next message, not on a grid of 60.
    window.now_us = 1_000
    window.take(1)
    assert window.begins_us == 1_000


def test_a_message_larger_than_the_limit_waits_for_an_empty_window_and_fills_the_next_ones() -> None:
    """60 s, 5 recipients. 2 at t = 0; 12 must wait for 60, fill 60..120 and 120..180 and leave 3 places from 180 on."""
    window = Window(limit=5, window_us=60)
    window.take(2)
    assert not window.admits(12)
    window.take(12)
    assert (window.began[-1], window.begins_us, window.used) == ((60, 12), 180, 2)
    for now in (61, 120, 179):
        assert rules.window_room(now, 180, 2, 60, 5) == 0
    window.take(4)
    assert window.now_us == 240
    # A multiple of the limit fills its last window to the brim: 240..300 is left when 10 come.
    window.take(10)
    assert (window.began[-1], window.begins_us, window.used) == ((300, 10), 360, 5)
    window.take(1)
    assert window.now_us == 420
