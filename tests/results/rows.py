"""Synthetic rows of an engine: a small seeded generator, no simulation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.results import Labels
from sim.terms import Bounce, Fate, Outcome, Reason, Setting

Rows = NDArray[np.int64]
DAY_US = 86_400_000_000
SETTINGS = (Setting.PREFERRED, Setting.REQUIRED, Setting.PREFERRED_VERIFY, Setting.NO)


def labels(destinations: int = 8) -> Labels:
    """Three entries in use by turns, one that matches nothing, the default; three providers; two MX hosts."""
    entry_of = np.array([0, 1, 2, 4])[np.arange(destinations) % 4]
    setting = np.array(SETTINGS)[np.arange(destinations) % 4]
    return Labels(
        domains=tuple(f"d{i}.example" for i in range(destinations)),
        providers=tuple(("big", "small", "own")[i % 3] for i in range(destinations)),
        entries=(".a.example", ".b.example", ".c.example", "unused.example", "(Default)"),
        entry_of=entry_of,
        setting_of=setting,
        hosts=("mx1.example", "mx2.example"),
        route_host=np.array([0, 1, 1]),
    )


def messages(n: int, seed: int, destinations: int = 8, queued: bool = True) -> Rows:
    """Return n message rows (n, 15) in order of no column, ordinals unique by destination."""
    rng = np.random.default_rng(seed)
    destination = rng.integers(0, destinations, n)
    arrival = rng.integers(0, DAY_US, n)
    fate = rng.choice(5, n, p=[0.1, 0.5, 0.3, 0.06, 0.04] if queued else [0.1, 0.5, 0.3, 0.1, 0])
    deferred = rng.integers(0, 2, n)
    columns = {
        "destination": destination,
        "ordinal": rng.permutation(n) + seed * 1_000_000,
        "arrival_us": arrival,
        "done_us": arrival + rng.lognormal(15, 3, n).astype(np.int64).clip(1, 3 * DAY_US),
        "size_bytes": rng.integers(500, 10_000_000, n),
        "recipients": rng.integers(1, 6, n),
        "fate": fate,
        "bounce": np.where(fate == Fate.BOUNCED, rng.integers(1, len(Bounce), n), Bounce.NONE),
        "reason": rng.integers(0, len(Reason), n),
        "route": rng.integers(-1, 3, n),
        "verdicts": rng.integers(0, 4, n),
        "retries": deferred * rng.integers(0, 4, n),
        "deferral_events": deferred * rng.integers(1, 9, n),
        "deferred": deferred,
        "exposed": (fate == Fate.IN_CLEAR) * rng.integers(0, 2, n),
    }
    return np.column_stack(list(columns.values())).astype(np.int64)


def connections(n: int, seed: int, destinations: int = 8) -> Rows:
    """Return n connection rows (n, 9); some failed, some still open."""
    rng = np.random.default_rng(seed)
    opened = rng.integers(0, DAY_US, n)
    failed = rng.random(n) < 0.2
    still_open = ~failed & (rng.random(n) < 0.05)
    closed = np.where(still_open, -1, opened + rng.integers(1, 120_000_000, n))
    columns = (
        rng.integers(0, destinations, n),
        rng.permutation(n) + seed * 1_000_000,
        opened,
        closed,
        np.where(failed, -1, opened + 1),
        rng.integers(-1, 3, n),
        np.where(failed, 0, rng.integers(1, 20, n)),
        rng.integers(0, len(Outcome), n),
        rng.integers(0, len(Reason), n),
    )
    return np.column_stack(columns).astype(np.int64)
