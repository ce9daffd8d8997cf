"""``python -m tests.mutants [SENDER ...]``: change each cell of the senders' tables and see whether their tests fail.

Prints how many changes of each group were caught, how many leave every decision as it was, and those that no test of
the sender saw, which make it end with 1. `docs/mutation-testing.md` has what it found.
"""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product

import numpy as np
import pytest

from sim.errors import PolicyError
from sim.policy import sheets
from sim.policy.decide import REPLACES_CHAIN
from sim.policy.profile import Profile
from sim.policy.profiles import SENDERS, profile
from sim.terms import NameRule, Seen
from tests.mutants.changes import ALL, SHARED, Change, changes

#: Files of tests of a sender that are not called ``test_SENDER.py``.
FILES = {
    "esa": ("test_esa_tables.py",),
    "proofpoint": ("test_hosted_gateways.py",),
    "mimecast": ("test_hosted_gateways.py",),
    SHARED: ("test_esa_tables.py", "test_reasons.py"),
}
#: Groups whose changes may leave every decision as it was.
COMPARED = ("outcome", "aged cell", "demand", "switch", "reason", "reason of a demand", "evidence")
VERDICTS = ("caught", "same decisions", "not caught")


def forget() -> None:
    """Drop every table that was built."""
    for sender in SENDERS:
        vars(profile(sender)).pop("_built", None)
    sheets._open_cells.cache_clear()


@contextmanager
def changed(change: Change) -> Iterator[None]:
    """Make a change in place, so that every module that holds the profile sees it, and undo it."""
    target, before = change.target, getattr(change.target, change.field)
    put = object.__setattr__ if isinstance(target, Profile) else setattr
    put(target, change.field, change.value)
    forget()
    try:
        yield
    finally:
        put(target, change.field, before)
        forget()


def behaviour(sender: str) -> object:
    """Return all that a sender's tables say under every state of its switches, of what can be asked and shown."""
    known = profile(sender)
    said: list[object] = [known.unsettled()]
    for values in product(*(switch.outcomes for switch in known.switches.values())):
        tables = known.tables(dict(zip(known.switches, values, strict=True)))
        shown = np.zeros(tables.reason.shape, dtype=np.bool_)
        for demand in tables.demands:
            shown[demand, _shown(set(tables.rule[tables.demand == demand].tolist()))] = True
        parts = (tables.demand, tables.rule, tables.seen, tables.outcome[shown], tables.reason[shown])
        said.append((values, tuple(part.tobytes() for part in parts)))
    return said


def _shown(rules: set[int]) -> list[Seen]:
    """List what may be seen under a demand whose cases ask by these rules."""
    never = {Seen.UNTRUSTED, Seen.EXPIRED} if rules <= set(REPLACES_CHAIN) else set()
    if rules <= {int(NameRule.CHAIN_ONLY)}:
        never = {Seen.MISMATCH}
    return [seen for seen in Seen if seen not in never]


def alike(change: Change, before: Sequence[object]) -> bool:
    """Tell whether every decision is as it was; of a number or a setting there is nothing to compare."""
    if change.group not in COMPARED:
        return False
    with changed(change):
        try:
            return [behaviour(s) for s in _senders(change.sender)] == before
        except PolicyError:
            return False


def _senders(sender: str) -> Sequence[str]:
    return SENDERS if sender == SHARED else (sender,)


def is_about(item: pytest.Item, sender: str) -> bool:
    """Tell whether a test is of this sender: in a file of its own, or with its key as its parameter."""
    if item.path.name in FILES.get(sender, (f"test_{sender}.py",)):
        return True
    return sender in re.split(r"[\[\]-]", item.name)[1:]


class Driver:
    """A plugin that takes the place of pytest's loop over the tests it collected."""

    def __init__(self, senders: Sequence[str]) -> None:
        self.senders = senders
        self.wrong: list[str] = []
        self.counts: Counter[tuple[str, str]] = Counter()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        for sender in self.senders:
            began = time.perf_counter()
            tests = [item for item in session.items if is_about(item, sender)]
            failing = [item.nodeid for item in tests if fails(item)]
            tests.sort(key=_seconds)
            if failing or not tests:
                self.wrong.append(f"{sender}: tests fail before anything is changed, or there is none: {failing}")
                continue
            before, counts = [behaviour(s) for s in _senders(sender)], Counter[str]()
            for change in changes(sender):
                verdict = self.verdict(change, tests, before)
                counts[verdict] += 1
                self.counts[change.group, verdict] += 1
            told = ", ".join(f"{counts[verdict]:,} {verdict}" for verdict in VERDICTS)
            print(f"{sender}: {told}, by {len(tests)} tests, {time.perf_counter() - began:.0f} s", flush=True)
        return True

    def verdict(self, change: Change, tests: list[pytest.Item], before: Sequence[object]) -> str:
        with changed(change):
            for k, item in enumerate(tests):
                if fails(item):
                    tests.insert(0, tests.pop(k))  # it likely sees the next change too
                    return "caught"
        if alike(change, before):
            return "same decisions"
        self.wrong.append(str(change))
        return "not caught"


def _seconds(item: pytest.Item) -> float:
    began = time.perf_counter()
    fails(item)
    return time.perf_counter() - began


def fails(item: pytest.Item) -> bool:
    """Run a test once more, without a report: to word one costs many times what the test does."""
    state = item.session._setupstate
    item._initrequest()  # type: ignore[attr-defined]
    try:
        state.setup(item)
        item.runtest()
    except (Exception, pytest.fail.Exception):
        return True
    finally:
        state.teardown_exact(None)
    return False


def main(words: Sequence[str]) -> int:
    unknown = [word for word in words if word not in ALL]
    if unknown:
        print(f"usage: python -m tests.mutants [SENDER ...]\nsenders: {', '.join(ALL)}", file=sys.stderr)
        return 2
    driver = Driver(words or ALL)
    options = ["-q", "-s", "-p", "no:cacheprovider", "-m", "not bench and not slow"]
    code = pytest.main([*options, "tests/policy"], plugins=[driver])
    print()
    for group in dict.fromkeys(group for group, _ in driver.counts):
        told = ", ".join(f"{driver.counts[group, verdict]:,} {verdict}" for verdict in VERDICTS)
        print(f"{group}: {told}")
    total = ", ".join(f"{sum(n for (_, v), n in driver.counts.items() if v == w):,} {w}" for w in VERDICTS)
    print(f"all: {total}")
    for line in driver.wrong:
        print(f"not caught: {line}")
    return 1 if driver.wrong or code not in (0, 5) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
