from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sim.errors import WorkloadError
from sim.world.shapes import Recipients, Sample, Sizes, default_recipients, default_sizes
from sim.world.workload import Workload

TRACE = pd.DataFrame(
    {"domain": ["A.example", "b.example"], "time_s": [0.5, 2], "size_bytes": [10, 20], "recipients": [1, 3]}
)


def middles(n: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return (np.arange(n) + 0.5) / n


def test_the_default_week_has_its_source() -> None:
    w = Workload(messages_per_day=1_000)
    assert (len(w.hourly), len(w.weekday)) == (24, 7)
    assert w.weekday[5] / w.weekday[0] == pytest.approx(27_000 / 50_000)
    assert max(w.hourly) == w.hourly[10]


def test_flat_is_flat() -> None:
    w = Workload.flat(messages_per_day=10, size_bytes=1_000)
    assert set(w.hourly) | set(w.weekday) == {1.0}
    assert w.size_bytes.ppf(0.3) == 1_000  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "sizes",
    [
        default_sizes(),
        Sizes(min_bytes=500, median_bytes=3_000, sigma=1, tail_share=0.01, tail_exponent=1.0, max_bytes=1e7),
        Sizes(min_bytes=500, median_bytes=3_000, sigma=1, tail_share=0.0, tail_exponent=2.0, max_bytes=1e9),
    ],
)
def test_mean_and_quantiles_of_sizes_agree(sizes: Sizes) -> None:
    # The midpoint rule over two million cells; the tail is bounded, so its error is far below the tolerance.
    q = sizes.ppf(middles(2_000_000))
    assert q.mean() == pytest.approx(sizes.mean(), rel=2e-3)
    assert (np.diff(q) >= 0).all()
    assert sizes.ppf([0.0, 1.0]).tolist() == [sizes.min_bytes, sizes.max_bytes]


def test_the_tail_of_sizes_is_pareto() -> None:
    sizes = default_sizes()
    # Ten times rarer is ten ** (1 / exponent) times larger.
    ratio = float(sizes.ppf(0.999) / sizes.ppf(0.99))
    assert ratio == pytest.approx(10 ** (1 / sizes.tail_exponent), rel=1e-9)


def test_recipients_are_whole_and_zipf_like() -> None:
    recipients = default_recipients()
    q = recipients.ppf(middles(1_000_000))
    assert q.mean() == pytest.approx(recipients.mean(), rel=1e-3)
    assert (q == np.rint(q)).all()
    assert [float(q.min()), float(recipients.ppf(1.0))] == [1, recipients.most]
    ones, twos = (q == 1).mean(), (q == 2).mean()
    assert ones / twos == pytest.approx(2**recipients.exponent, rel=1e-2)
    assert Recipients(exponent=3.0, most=1).mean() == 1


def test_a_sample_is_its_own_distribution() -> None:
    sample = Sample([30, 10, 20, 10])
    assert sample.ppf([0.0, 0.5, 0.51, 0.75, 1.0]).tolist() == [10, 10, 20, 20, 30]
    assert sample.mean() == 17.5
    assert "4 values" in repr(sample)


def test_distributions_samples_and_numbers_are_taken() -> None:
    for size in (stats.lognorm(s=1, scale=1e4), np.array([1_000, 2_000]), [5, 6], 7):
        w = Workload(size_bytes=size, recipients=stats.randint(1, 4))
        assert float(w.size_bytes.ppf(0.5)) > 0  # type: ignore[union-attr]
        assert float(w.recipients.mean()) == 2  # type: ignore[union-attr]


def test_a_trace_is_put_in_order_of_columns() -> None:
    trace = Workload(trace=TRACE.iloc[:, ::-1]).trace
    assert trace is not None
    assert list(trace.columns) == ["domain", "time_s", "size_bytes", "recipients"]
    assert trace["domain"].tolist() == ["a.example", "b.example"]
    assert trace["time_s"].dtype == np.float64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"messages_per_day": 0}, "messages_per_day = 0; allowed: more than 0"),
        ({"messages_per_day": -5}, "messages_per_day = -5"),
        ({"messages_per_day": float("nan")}, "messages_per_day = nan"),
        ({"messages_per_day": "many"}, "messages_per_day = 'many'"),
        ({"hourly": [1.0] * 23}, "hourly = '23 weights'; allowed: 24 weights"),
        ({"hourly": [0.0] * 24}, "hourly = 'a sum of 0'"),
        ({"hourly": 3}, "hourly = 3"),
        ({"weekday": [1, 1, 1, -1, 1, 1, 1]}, r"weekday\[3\] = -1"),
        ({"weekday": ["x"] * 7}, "weekday"),
        ({"size_bytes": []}, "size_bytes = '0 values'"),
        ({"size_bytes": [1, float("nan")]}, "size_bytes = 'values that are no numbers'"),
        ({"size_bytes": [-1, 5]}, "size_bytes = -1.0; allowed: 0 or more"),
        ({"size_bytes": stats.norm(0, 1)}, "size_bytes = -"),
        ({"size_bytes": "large"}, "size_bytes = 'large'"),
        ({"recipients": 0}, "recipients = 0.0; allowed: 1 or more"),
        ({"trace": TRACE.drop(columns="time_s")}, "trace columns = .*time_s"),
        ({"trace": TRACE.iloc[:0]}, "trace = 'no rows'"),
        ({"trace": TRACE.assign(time_s=[1, -1])}, r"trace.time_s\[1\] = -1.0; allowed: numbers, 0 or more"),
        ({"trace": TRACE.assign(time_s=["now", "then"])}, "trace.time_s = 'what is no number'"),
        ({"trace": TRACE.assign(recipients=[1, 0])}, r"trace.recipients\[1\] = 0"),
        ({"trace": TRACE.assign(recipients=[1, 1.5])}, r"trace.recipients\[1\] = 1.5; allowed: whole"),
        ({"trace": TRACE.assign(domain=["a.example", np.nan])}, r"trace.domain\[1\]"),
        ({"trace": TRACE.assign(domain=["", "a.example"])}, r"trace.domain\[0\]"),
    ],
)
def test_errors_name_the_field(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        Workload(**arguments)
