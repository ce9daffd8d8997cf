"""Figures with a range: where the range comes from, and populations whose figures are drawn in it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from sim.errors import PopulationError
from sim.world.figures import COLUMNS, EXCLUSIVE, RANGE_COLUMNS, RANGES, load, preset_names, read_figures
from sim.world.population import Population

PRESETS = preset_names()
HEADER = ",".join((*COLUMNS, *RANGE_COLUMNS)) + "\n"
#: As docs/decisions/evidence.md says: k of n counts as a sample of no more.
MOST_SAMPLED = 200


@pytest.mark.parametrize("preset", PRESETS)
def test_a_range_holds_its_figure_and_says_what_it_rests_on(preset: str) -> None:
    ranged = [f for f in load(preset).figures.values() if f.low is not None]
    assert len(ranged) >= 15
    for figure in ranged:
        assert (figure.low or 0.0) <= float(figure.value or 0) <= (figure.high or 0.0), figure
        assert figure.range in RANGES


@pytest.mark.parametrize("preset", PRESETS)
def test_a_range_from_a_sample_is_its_jeffreys_interval(preset: str) -> None:
    for figure in load(preset).figures.values():
        if figure.range == "sample":
            assert figure.k is not None
            assert figure.n is not None
            n = min(figure.n, MOST_SAMPLED)
            k = figure.k * n / figure.n
            ends = stats.beta.ppf([0.025, 0.975], k + 0.5, n - k + 0.5)
            assert [figure.low, figure.high] == pytest.approx(ends, abs=5e-5), figure


def test_what_decides_the_outcomes_has_a_range() -> None:
    deciding = {"p_cn_ptr", "handshake_failed_rate", "starttls", "tls_trusted_match", "outage_share", "first_4yz_rate"}
    for preset in PRESETS:
        assert deciding | {"zipf_exponent"} <= {f.parameter for f in load(preset).ranged()}
    [cn_ptr] = [f for f in load("2020s-web").ranged() if f.parameter == "p_cn_ptr"]
    assert (cn_ptr.low, cn_ptr.high) == (0, 1)


@pytest.mark.parametrize("preset", PRESETS)
def test_draws_stay_in_their_ranges_and_exclusive_shares_sum_to_one(preset: str) -> None:
    figures = load(preset)
    values: dict[str, list[float]] = {f.parameter: [] for f in figures.ranged()}
    for seed in range(300):
        drawn = figures.redrawn(seed)
        for parameter, seen in values.items():
            seen.append(drawn.number(parameter))
        for group in EXCLUSIVE:
            shares = [drawn.number(p) for p in group]
            assert math.fsum(shares) == pytest.approx(1, abs=1e-9)
            assert min(shares) >= 0
    for figure in figures.ranged():
        low, high, seen = figure.low or 0.0, figure.high or 0.0, values[figure.parameter]
        assert low <= min(seen) <= max(seen) <= high
        # 300 uniform draws reach into both outer twentieths but for a chance of 4e-7.
        assert min(seen) < low + (high - low) / 20
        assert max(seen) > high - (high - low) / 20


def test_draws_are_uniform_and_do_not_move_each_other() -> None:
    """Kolmogorov-Smirnov and rank correlation, each at a false-alarm rate of 1e-6."""
    figures = load("alexa-2015")
    drawn = [figures.redrawn(seed) for seed in range(400)]
    first, outage = (np.array([d.number(p) for d in drawn]) for p in ("first_4yz_rate", "outage_share"))
    assert stats.kstest(first, stats.uniform(0.02, 0.03).cdf).pvalue > 1e-6
    assert stats.spearmanr(first, outage).pvalue > 1e-6


def test_a_draw_is_the_same_whatever_else_is_drawn() -> None:
    alone = load("alexa-2015").redrawn(5)
    beside = load("alexa-2015").changed({"starttls": 0.5, "tls_untrusted": 0.2}).redrawn(5)
    assert beside.drawn == alone.drawn - {"starttls", "tls_untrusted", "tls_trusted_match"}
    assert all(beside.number(p) == alone.number(p) for p in beside.drawn)
    # A variant of a family differs by what it says, not by its draws.
    country = load("stripped-country").redrawn(5)
    assert country.number("starttls") == alone.number("starttls")


def test_what_the_caller_gives_is_not_drawn_and_neither_is_its_split() -> None:
    given = load("alexa-2015").changed({"tls_untrusted": 0.9, "first_4yz_rate": 0.5})
    drawn = given.redrawn(1)
    kept = ("tls_untrusted", "tls_trusted_match", "tls_trusted_mismatch", "first_4yz_rate")
    assert [drawn.number(p) for p in kept] == [given.number(p) for p in kept]


def test_without_a_word_the_figures_are_as_published() -> None:
    population = Population.preset("2020s-web", domains=80, seed=3)
    assert population.evidence is None
    assert population.redrawn(3).hash == population.hash
    assert "drawn" not in set(population.account.loc[population.account["role"] == "input", "status"])


def test_the_account_shows_the_figures_drawn() -> None:
    population = Population.preset("2020s-web", domains=80, seed=3, first_4yz_rate=0.1)
    drawn = population.redrawn(3, evidence=8)
    assert drawn.hash != population.hash
    assert drawn.hash == population.redrawn(5, evidence=8).redrawn(3).hash
    figures = load("2020s-web").changed({"first_4yz_rate": 0.1}).redrawn(8)
    account = drawn.account[drawn.account["role"] == "input"].set_index("parameter")
    assert set(account.index[account["status"] == "drawn"]) == figures.drawn
    for parameter in figures.drawn:
        row = account.loc[parameter]
        assert row["value"] == figures.number(parameter)
        assert row["low"] <= row["value"] <= row["high"]
        assert row["range"] in RANGES
    assert account.loc["first_4yz_rate", "status"] == "given"
    assert set(drawn.domains["first_4yz_rate"]) == {0.1}
    assert set(drawn.domains["dns_temporary_rate"]) == {figures.number("dns_temporary_rate")}


@pytest.mark.parametrize("preset", PRESETS)
def test_the_account_counts_figures_with_and_without_a_range(preset: str) -> None:
    account = Population.preset(preset, domains=50, first_4yz_rate=0.1).account
    counts = account[account["role"] == "evidence"].set_index("parameter")["value"]
    inputs = account[account["role"] == "input"]
    assert counts["figures with a range"] == inputs["low"].notna().sum()
    assert counts.sum() == len(inputs)


def test_own_destinations_have_drawn_figures_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("domain,messages\na.example,5\nb.example,3\n")
    population = Population.read_csv(path, preset="alexa-2015")
    drawn = population.redrawn(1, evidence=4)
    path.unlink()
    assert drawn.redrawn(2).domains["domain"].tolist() == ["a.example", "b.example"]
    assert set(drawn.domains["first_4yz_rate"]) == {load("alexa-2015").redrawn(4).number("first_4yz_rate")}
    assert drawn.evidence == 4


def test_a_seed_of_the_evidence_is_a_whole_number() -> None:
    with pytest.raises(PopulationError, match="evidence = True; allowed: None, or a seed"):
        Population.preset("alexa-2015", domains=10).redrawn(1, evidence=True)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,0.5,share,,,domain,x,assumed,,0.4,0.6,guessed", "f.csv:2: range = 'guessed'; .*rounding"),
        ("a,0.5,share,,,domain,x,assumed,,0.4,0.6,", "f.csv:2: range = ''"),
        ("a,0.5,share,,,domain,x,assumed,,0.4,,assumed", "f.csv:2: a, range = '0.4 to '; allowed: low <= value"),
        ("a,0.5,share,,,domain,x,assumed,,0.6,0.4,assumed", "f.csv:2: a, range = '0.6 to 0.4'"),
        ("a,0.5,share,,,domain,x,assumed,,0.4,1.1,assumed", r"f.csv:2: a, range = .*0\.\.1"),
        ("a,,share,,,domain,x,assumed,,0.4,0.6,assumed", "f.csv:2: a, range = .*not used"),
        ("a,3,count,,,domain,x,assumed,,2,4,assumed", "f.csv:2: a, range = .*whole number"),
        ("a,0.5,share,,,domain,x,assumed,", "f.csv:2: row = .*allowed: 12 cells"),
    ],
)
def test_a_wrong_range_is_named(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "f.csv"
    path.write_text(HEADER + row + "\n")
    with pytest.raises(PopulationError, match=message):
        read_figures(path)


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"mx_hosts_1": "0.4,0.9", "mx_hosts_2": "0.3,0.5"}, "ranges of mx_hosts_1, .* reach 1.4; allowed: up to 1"),
        ({"mx_hosts_1": "0.4,0.5", "mx_hosts_2": "0.3,0.4", "mx_hosts_3": "0,0.1"}, "one without a range"),
    ],
)
def test_ranges_of_exclusive_shares_leave_a_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranges: dict[str, str], message: str
) -> None:
    real = Path(__file__).parents[2] / "data" / "populations"
    (tmp_path / "populations").mkdir()
    for source in real.glob("*.csv"):
        lines = source.read_text(encoding="utf-8").splitlines()
        if source.name == "common.csv":
            lines = [_with_range(line, ranges) for line in lines]
        (tmp_path / "populations" / source.name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.setattr("sim.world.figures.data_root", lambda: tmp_path)
    with pytest.raises(PopulationError, match=message):
        load.__wrapped__("2020s-web")


def _with_range(line: str, ranges: dict[str, str]) -> str:
    name = line.split(",")[0]
    return f"{line.rsplit(',', 3)[0]},{ranges[name]},assumed" if name in ranges else line
