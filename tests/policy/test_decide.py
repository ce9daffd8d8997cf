"""The look-up: one gather equals three, whatever the shapes and types, and wrong codes are named."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim import jit
from sim.errors import PolicyError
from sim.policy.decide import PLAIN, Tables, _compiled_take, decide, never_clear
from sim.policy.profiles import SENDERS, profile
from sim.policy.profiles.esa import tables
from sim.policy.profiles.postfix import Level
from sim.policy.text_tables import Codes
from sim.terms import Chain, Dane, DaneOption, MtaSts, Outcome, Setting, Stage

needs_numba = pytest.mark.skipif(not jit.available(), reason="needs numba")
SIZES = (len(Setting), len(Stage), 2, len(Chain), 2)


def look_up(columns: Sequence[Any]) -> Codes:
    setting, stage, version_ok, chain, rule_holds = columns
    return decide(setting, stage, version_ok, chain, rule_holds, tables())


def one_by_one(columns: list[Codes]) -> list[int]:
    rows, built = np.broadcast_arrays(*columns), tables()
    return [
        int(built.outcome[built.plain(s)[0], built.seen[g, v, c, h], 0])
        for s, g, v, c, h in zip(*(r.reshape(-1).tolist() for r in rows), strict=True)
    ]


@given(st.integers(0, 2**32 - 1), st.integers(0, 200), st.sampled_from(["uint8", "int64", "bool where it fits"]))
def test_one_gather_equals_three(seed: int, n: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    columns = [rng.integers(0, size, n, dtype=np.uint8) for size in SIZES]
    dtypes = [np.int64] * 5 if kind == "int64" else [np.uint8] * 5
    given_columns = [c.astype(d) for c, d in zip(columns, dtypes, strict=True)]
    if kind.startswith("bool"):
        given_columns[2], given_columns[4] = columns[2].astype(bool), columns[4].astype(bool)
    got = look_up(given_columns)
    assert got.dtype == np.uint8
    assert got.tolist() == one_by_one(columns)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=needs_numba)])
def test_blocks_meet_without_a_seam(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "_loaded", [True] if compiled else [])
    asked = []

    def asking() -> Any:
        asked.append(True)
        return _compiled_take()

    monkeypatch.setattr("sim.policy.decide._compiled_take", asking)
    rng = np.random.default_rng(1)
    columns = [rng.integers(0, size, 100_001, dtype=np.uint8) for size in SIZES]
    built = tables()
    expected = built.outcome[built.demand[(slice(None), *PLAIN)][columns[0]], built.seen[tuple(columns[1:])], 0]
    assert (look_up(columns) == expected).all()
    assert asked == [True] * compiled


def test_arguments_broadcast_and_keep_their_shape() -> None:
    settings = np.arange(6, dtype=np.uint8)[:, None]
    stages = np.arange(14, dtype=np.uint8)[None, :]
    got = decide(settings, stages, True, Chain.TRUSTED, True, tables())
    assert got.shape == (6, 14)
    assert (decide(settings, stages[0], True, Chain.TRUSTED, True, tables()) == got).all()
    assert got[Setting.PREFERRED, Stage.NOT_OFFERED] == Outcome.DELIVER_CLEAR
    assert decide(Setting.NO, Stage.TLS, True, Chain.TRUSTED, True, tables()).shape == ()
    assert decide([], [], [], [], [], tables()).tolist() == []


def test_hosts_listed_by_a_policy_or_not_are_rows_of_their_own_where_nothing_else_is_published() -> None:
    got = decide(Setting.REQUIRED, Stage.NOT_OFFERED, True, Chain.TRUSTED, False, tables(), mx_listed=[0, 1])
    assert got.tolist() == [Outcome.NEXT_HOST, Outcome.NEXT_HOST]


def test_a_message_is_young_where_nothing_is_said() -> None:
    shown = (Level.MAY, Stage.HANDSHAKE_FAILED, True, Chain.TRUSTED, False, profile("postfix").tables())
    assert decide(*shown) == decide(*shown, aged=0) == Outcome.NEXT_HOST
    assert decide(*shown, aged=1) == Outcome.RECONNECT_CLEAR


def test_the_combined_table_is_the_three_in_one() -> None:
    combined = tables().combined
    assert combined.shape == (6, 14, 2, 6, 2, 2)
    got = look_up(list(np.indices(combined.shape[:5]).astype(np.uint8)))
    assert (got == combined[..., 0]).all()


@pytest.mark.parametrize(
    ("at", "bad", "told"),
    [
        (0, [1, 6], "row 1: setting = 6; allowed: 0 (No), 1 (Preferred), 2 (Required), "),
        (1, [-1, 2], "row 0: stage = -1; allowed: 0 (dns-temporary), "),
        (2, [0, 2], "row 1: version_ok = 2; allowed: 0, 1"),
        (3, [0.0, 1.0], "chain codes = 'float64'; allowed: whole numbers: 0 (trusted), "),
        (4, ["yes", "no"], "rule_holds codes = 'str"),
    ],
)
def test_the_first_row_with_a_wrong_code_is_named(at: int, bad: list[object], told: str) -> None:
    columns: list[object] = [[0, 1]] * 5
    columns[at] = bad
    with pytest.raises(PolicyError) as fault:
        look_up(columns)
    assert str(fault.value).startswith(told)


def test_tables_refuse_other_shapes_and_codes_and_cannot_be_changed() -> None:
    built = tables()
    with pytest.raises(PolicyError, match="shape of table demand"):
        Tables(demand=built.demand[:5], rule=built.rule, seen=built.seen, outcome=built.outcome, reason=built.reason)
    wrong = built.outcome.copy()
    wrong[0, 0, 0] = 99
    with pytest.raises(PolicyError, match="table outcome = 99"):
        Tables(demand=built.demand, rule=built.rule, seen=built.seen, outcome=wrong, reason=built.reason)
    for array in (
        built.demand,
        built.rule,
        built.seen,
        built.outcome,
        built.reason,
        built.combined,
        built.combined_by_demand,
    ):
        assert not array.flags.writeable


@pytest.mark.parametrize("sender", SENDERS)
def test_a_setting_never_sends_in_clear_when_nothing_shown_or_published_makes_it(sender: str) -> None:
    built = profile(sender).tables()
    every = np.ogrid[: len(Stage), :2, : len(Chain), :2, :2, : len(DaneOption), : len(Dane), : len(MtaSts), :2]
    stage, version_ok, chain, holds, aged, option, dane, mode, listed = every
    for setting in built.settings:
        found = decide(
            setting, stage, version_ok, chain, holds, built, aged,
            dane_option=option, dane=dane, mta_sts=mode, mx_listed=listed,
        )  # fmt: skip
        in_clear = np.isin(found, (Outcome.DELIVER_CLEAR, Outcome.RECONNECT_CLEAR)).any()
        assert never_clear(built, setting) == (not in_clear)


@pytest.mark.bench
def test_150_million_decisions_a_second() -> None:
    n = 4_000_000
    rng = np.random.default_rng(0)
    columns = [rng.integers(0, size, n, dtype=np.uint8) for size in SIZES]
    seconds = []
    for _ in range(7):
        start = perf_counter()
        look_up(columns)
        seconds.append(perf_counter() - start)
    rate = n / min(seconds)
    print(f"{rate / 1e6:.0f} million decisions/s")
    assert rate > 150e6
