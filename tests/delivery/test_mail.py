"""The mail of a World: blocks drawn when they are needed are one stream, as much as expected, all inside the window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sim.delivery import mail as mail_module
from sim.delivery.compile import compile_world
from sim.delivery.draws import NTH_BITS, Stream, name_key, round_keys, words, words_of_many
from sim.delivery.mail import ACCEPTED, LATE_REFUSED, PERSISTENT, REFUSED, TRANSIENT, Letter, Mail
from sim.delivery.quantiles import quantiles_of_many
from sim.delivery.rules import HOUR_US, UNIT_BITS, clock_us, first_above, quantile
from sim.delivery.world import World
from sim.errors import PolicyError, WorkloadError
from sim.policy.destinations import DestinationControls
from sim.policy.retry import BounceProfile
from sim.scenario import Scenario
from sim.world.population import Population
from sim.world.workload import Workload

FALSE_ALARM = 1e-6
WEIGHTS = {"a.example": 3_000.0, "b.example": 700.0, "c.example": 40.0, "d.example": 0.5, "e.example": 0.0}
SILENT_NIGHTS: dict[str, Any] = {"hourly": [0.0] * 6 + [1.0] * 12 + [0.3] * 6, "weekday": [1, 1, 1, 1, 0.5, 0, 0]}


def world_of(days: float = 1.0, specs: list[dict[str, Any]] | None = None, **workload: Any) -> World:
    listed = specs or [{"domain": d, "messages": w} for d, w in WEIGHTS.items()]
    return compile_world(Scenario(population=Population.custom(listed), workload=Workload(**workload), days=days))


def letters(world: World, seed: int = 1) -> list[list[Letter]]:
    drawn = Mail(world, seed)
    return [list(drawn.of(d)) for d in range(len(world.destinations.key))]


@pytest.mark.parametrize(("block", "days"), [(1, 0.3), (2, 0.3), (7, 1.0), (64, 1.0), (64, 9.0), (1_000, 9.0)])
def test_blocks_drawn_on_demand_are_one_big_draw(monkeypatch: pytest.MonkeyPatch, block: int, days: float) -> None:
    """Whatever the size of a block: the same letters; profiles with silent hours too."""
    world = world_of(days, **SILENT_NIGHTS)
    monkeypatch.setattr(mail_module, "_BLOCK", 1 << 20)
    whole = letters(world)
    monkeypatch.setattr(mail_module, "_BLOCK", block)
    assert letters(world) == whole


def test_a_letter_is_what_its_key_draws() -> None:
    """In scalar form: gaps, size, recipients, refusal and pair by (name, ordinal), never by a row number."""
    trouble = {"first_4yz_rate": 0.3, "rescued_share": 0.5, "persistent_4yz_share": 0.4, "refused_5yz_rate": 0.2}
    specs = [{"domain": d, "messages": w, "new_pair_rate": 0.5, **trouble} for d, w in WEIGHTS.items()]
    world, seed = world_of(2.0, specs), 9
    tables, of = world.tables, world.destinations
    arrival, message, verdict = (round_keys(seed, s) for s in (Stream.ARRIVAL, Stream.MESSAGE, Stream.VERDICT))
    for d, stream in enumerate(letters(world, seed)[:4]):
        key, ticks = name_key(list(WEIGHTS)[d]), 0
        for ordinal, at, size, recipients, refusal, new_pair, accept_word in stream:
            nth = ordinal << NTH_BITS
            gap = int(of.gap_ticks[d]) * quantile(tables.gap.tolist(), words(arrival, key, nth)[0]) >> UNIT_BITS
            ticks += max(1, gap)
            assert at == clock_us(ticks, tables.knots_us.tolist(), tables.ticks_before[0].tolist())
            drawn = words(message, key, nth)
            assert size == quantile(tables.size_bytes.tolist(), drawn[0])
            below = tables.recipients_below.tolist()
            assert recipients == tables.recipients[first_above(below, 0, len(below), drawn[1])]
            share = drawn[2] / 2**32
            # 0.3 x 0.5 x 0.4 for good, the rest of 0.15 refused later, the rest of 0.3 once, 0.2 at once.
            kinds = [(0.06, PERSISTENT), (0.15, LATE_REFUSED), (0.3, TRANSIENT), (0.5, REFUSED), (1.0, ACCEPTED)]
            assert refusal == next(kind for upto, kind in kinds if share < upto)
            assert new_pair == (drawn[3] < 1 << 31)
            assert accept_word == words(verdict, key, nth + 1)[0]


def test_a_destination_that_gets_more_mail_than_likely_gets_all_of_it() -> None:
    """Half a message a day: the first block has room for 5. Of 3,000 destinations, 20 times, some get 5 or more."""
    names = [f"d{i}.example" for i in range(3_000)]
    world = world_of(1.0, [{"domain": n, "messages": 0.5} for n in names], hourly=[1.0] * 24, weekday=[1.0] * 7)
    key = np.repeat(world.destinations.key, 20)
    nth = np.tile(np.arange(20, dtype=np.int64) << NTH_BITS, len(names))
    most = 0
    for seed in range(20):
        unit = quantiles_of_many(world.tables.gap, words_of_many(round_keys(seed, Stream.ARRIVAL), key, nth)[0])
        at_day = np.cumsum((0.5**-1 * unit / 2**UNIT_BITS).reshape(-1, 20), axis=1)
        counts = [len(stream) for stream in letters(world, seed)]
        assert counts == (at_day < 1.0).sum(axis=1).tolist()
        most = max(most, *counts)
    assert most > 5


@pytest.mark.parametrize("days", [0.01, 0.3, 1.0, 6.9, 7.0, 30.0])
def test_all_mail_arrives_in_the_window_in_order(days: float) -> None:
    """Ordinals 0, 1, 2, ...; arrivals never fall back, and none at or after the end."""
    world = world_of(days, **SILENT_NIGHTS)
    for stream in letters(world):
        assert [letter[0] for letter in stream] == list(range(len(stream)))
        arrival = [letter[1] for letter in stream]
        assert arrival == sorted(arrival)
        assert not arrival or 0 <= arrival[0] <= arrival[-1] < world.rules.window_us


def test_a_longer_window_only_adds_mail() -> None:
    """The first day of a week is that of a day; mail of the last hours stops where it would go on."""
    day, week = letters(world_of(1.0)), letters(world_of(7.0))
    for short, long in zip(day, week, strict=True):
        assert long[: len(short)] == short
        assert all(letter[1] >= 86_400_000_000 for letter in long[len(short) :])


@pytest.mark.parametrize("flat", [True, False])
def test_as_much_mail_comes_as_expected(flat: bool) -> None:
    """Each destination's count over 14 days is Poisson with mean 14 x its rate: exact two-sided tails, 1e-6 each."""
    workload: dict[str, Any] = {} if not flat else {"hourly": [1.0] * 24, "weekday": [1.0] * 7}
    for rate, stream in zip(WEIGHTS.values(), letters(world_of(14.0, **workload), seed=2), strict=True):
        count, mean = len(stream), 14 * rate
        assert stats.poisson.cdf(count, mean) > FALSE_ALARM / 2
        assert stats.poisson.sf(count - 1, mean) > FALSE_ALARM / 2


def test_a_part_of_a_week_holds_the_mail_of_its_hours() -> None:
    """Monday 06:00 to 12:00 of the profile with silent nights: 6 of its 12 + 6 x 0.3 weights of a Monday; 1e-6."""
    streams = letters(world_of(0.5, **SILENT_NIGHTS), seed=4)
    monday = 7 * 1.0 / 4.5
    mean = sum(WEIGHTS.values()) * monday * 6 / (12 + 6 * 0.3)
    count = sum(map(len, streams))
    assert stats.poisson.cdf(count, mean) > FALSE_ALARM / 2
    assert stats.poisson.sf(count - 1, mean) > FALSE_ALARM / 2
    assert min(letter[1] for stream in streams for letter in stream) >= 6 * 3_600_000_000


def test_messages_per_day_scales_all_weights() -> None:
    """Total of 14 flat days, Poisson, 1e-6; a destination without weight gets nothing."""
    streams = letters(world_of(14.0, messages_per_day=5_000.0, hourly=[1.0] * 24, weekday=[1.0] * 7), seed=3)
    total = sum(map(len, streams))
    assert stats.poisson.cdf(total, 70_000) > FALSE_ALARM / 2
    assert stats.poisson.sf(total - 1, 70_000) > FALSE_ALARM / 2
    assert streams[4] == []


def test_refusals_and_pairs_have_their_rates() -> None:
    """Chi-square of the five kinds of refusal, and of new pairs, over 40,000 messages: 1e-6 each."""
    trouble = {"first_4yz_rate": 0.2, "rescued_share": 0.75, "persistent_4yz_share": 0.5, "refused_5yz_rate": 0.1}
    world = world_of(10.0, [{"domain": "a.example", "messages": 4_000.0, "new_pair_rate": 0.3, **trouble}])
    [stream] = letters(world)
    counts = np.bincount([letter[4] for letter in stream], minlength=5)
    # ACCEPTED, TRANSIENT, PERSISTENT, LATE_REFUSED, REFUSED
    expected = np.array([0.7, 0.15, 0.025, 0.025, 0.1]) * len(stream)
    assert stats.chisquare(counts, expected).pvalue > FALSE_ALARM
    pairs = np.bincount([letter[5] for letter in stream], minlength=2)
    assert stats.chisquare(pairs, np.array([0.7, 0.3]) * len(stream)).pvalue > FALSE_ALARM


def test_sizes_and_recipients_are_those_of_the_workload() -> None:
    """Kolmogorov-Smirnov of sizes, chi-square of recipients, over 40,000 messages: 1e-6 each."""
    sizes, recipients = stats.lognorm(1.0, scale=1e6), stats.geom(0.6)
    world = world_of(10.0, [{"domain": "a.example", "messages": 4_000.0}], size_bytes=sizes, recipients=recipients)
    [stream] = letters(world)
    assert stats.kstest([letter[2] for letter in stream], sizes.cdf).pvalue > FALSE_ALARM
    counts = np.bincount(np.minimum([letter[3] for letter in stream], 8), minlength=9)[1:]
    expected = np.append(recipients.pmf(np.arange(1, 8)), recipients.sf(7)) * len(stream)
    assert stats.chisquare(counts, expected).pvalue > FALSE_ALARM


def test_a_trace_is_sent_as_it_is() -> None:
    """By destination in the order of time; rows of one instant in the order of the trace."""
    rows = [("b.example", 5.0, 10, 1), ("a.example", 7.5, 20, 2), ("b.example", 5.0, 11, 3), ("b.example", 1.25, 12, 1)]
    trace = pd.DataFrame(rows, columns=["domain", "time_s", "size_bytes", "recipients"])
    world = world_of(1.0, [{"domain": "a.example"}, {"domain": "b.example"}], trace=trace)
    first, second = letters(world)
    assert [letter[:4] for letter in first] == [(0, 7_500_000, 20, 2)]
    assert [letter[:4] for letter in second] == [(0, 1_250_000, 12, 1), (1, 5_000_000, 10, 1), (2, 5_000_000, 11, 3)]


def test_a_trace_that_goes_on_after_the_window_is_refused() -> None:
    """Not what comes at its end or later: it would not be sent, and nothing is dropped in silence."""
    times = [0.0, 43_199.999999, 43_200.0, 50_000.0]
    trace = pd.DataFrame({"domain": "a.example", "time_s": times, "size_bytes": 1, "recipients": 1})
    [stream] = letters(world_of(0.5, [{"domain": "a.example"}], trace=trace[:2]))
    assert [letter[1] for letter in stream] == [0, 43_199_999_999]
    with pytest.raises(WorkloadError, match="trace: 2 of 4 rows lie at or after the end of the arrival window"):
        world_of(0.5, [{"domain": "a.example"}], trace=trace)


def test_a_destination_without_mail_for_a_thousand_years_gets_none_from_the_next_block() -> None:
    """Twice in its first year, by luck (1 in 3 million), at 2 messages in a million days: two letters, and no third."""
    specs = [{"domain": "d607867.example", "messages": 2.0230487285229133e-06}]
    world = world_of(366.0, specs, hourly=[1.0] * 24, weekday=[1.0] * 7)
    [stream] = letters(world, seed=1)
    assert [letter[0] for letter in stream] == [0, 1]
    assert all(0 <= letter[1] < world.rules.window_us for letter in stream)


def test_all_mail_may_come_in_one_hour_of_the_week() -> None:
    """The most peaked profile there is: nothing is refused and nothing leaves its hour."""
    only = [0.0] * 9 + [1.0] + [0.0] * 14
    arrivals = [
        letter[1] for stream in letters(world_of(7.0, hourly=only, weekday=[0, 0, 1, 0, 0, 0, 0])) for letter in stream
    ]
    hours = {arrival_us // HOUR_US for arrival_us in arrivals}
    assert hours == {2 * 24 + 9}
    assert len(arrivals) == pytest.approx(7 * sum(WEIGHTS.values()), abs=5 * (7 * sum(WEIGHTS.values())) ** 0.5)


def test_a_trace_finds_its_domain_whatever_its_case() -> None:
    trace = pd.DataFrame({"domain": ["SHOP.example"], "time_s": [1.0], "size_bytes": [10], "recipients": [1]})
    world = world_of(specs=[{"domain": "Shop.Example", "messages": 1}], trace=trace)
    assert [len(stream) for stream in letters(world)] == [1]


def test_a_schedule_with_more_tries_than_draws_is_refused() -> None:
    endless = BounceProfile(max_queue_time_s=1e9, initial_wait_s=60)
    policy = DestinationControls(profiles={"Default": endless})
    scenario = Scenario(population=Population.custom([{"domain": "a.example", "messages": 1}]), policy=policy)
    with pytest.raises(PolicyError, match=r"max_queue_time_s = 1e\+09: 16,666,667 tries"):
        compile_world(scenario)
