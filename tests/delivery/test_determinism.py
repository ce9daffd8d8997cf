"""Same World and seed, same bytes; and chance belongs to names, so what does not concern a message leaves it alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sim.delivery.compile import compile_world
from sim.delivery.mail import Mail
from sim.delivery.simulate import run_world, simulate
from sim.delivery.world import World
from sim.policy.destinations import DestinationControls, Entry
from sim.results.sinks import CountSink, RecordSink
from sim.scenario import DeliverySwitches, Scenario
from sim.terms import Setting
from sim.world.population import Population
from sim.world.workload import Workload
from tests.delivery.worlds import random_world

#: Everything that may go wrong does, so that records have something to differ in.
TROUBLE = {
    "dns_temporary_rate": 0.02,
    "first_4yz_rate": 0.2,
    "rescued_share": 0.8,
    "refused_5yz_rate": 0.05,
    "greylist_s": 300.0,
    "new_pair_rate": 0.2,
}
HOST = {
    "outage_share": 0.02,
    "outage_mean_s": 1_800.0,
    "unreachable_rate": 0.05,
    "not_offered_rate": 0.2,
    "handshake_failed_rate": 0.1,
    "lost_in_tls_rate": 0.05,
}
#: What identifies a message or a connection to people; row numbers of destinations and routes are not among it.
BY_NAME = ["domain", "ordinal"]
SHARED_MX = {"host": "mx.shared.example", "preference": 20}


def spec(name: str, messages: float, **changes: Any) -> dict[str, Any]:
    """A domain with an MX host of its own and, as second choice, one that all domains share."""
    own = {"host": f"mx.{name}", "preference": 10, **HOST}
    return {"domain": name, "messages": messages, **TROUBLE, "hosts": [own, dict(SHARED_MX)], **changes}


SPECS = [spec("a.example", 400.0), spec("b.example", 300.0), spec("c.example", 200.0)]


def scenario(
    specs: list[dict[str, Any]] | None = None, settings: Mapping[str, Setting] | None = None, **others: Any
) -> Scenario:
    entries = tuple(Entry(domain=d, tls=s) for d, s in (settings or {}).items())
    policy = DestinationControls(default=Entry(domain="DEFAULT", tls=Setting.PREFERRED), entries=entries)
    return Scenario(population=Population.custom(specs or SPECS), policy=policy, **others)


def frames(run: Scenario, seed: int = 5) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Message and connection rows by name, without what says only where a destination stands in the list."""
    result = simulate(run, seed=seed, records=True)
    both = (result.messages, result.connections)
    messages, connections = (
        f.astype({c: object for c in f.columns if f[c].dtype.name == "category"}).sort_values(
            BY_NAME, ignore_index=True
        )
        for f in both
    )
    return messages, connections


def of(frame: pd.DataFrame, *domains: str) -> pd.DataFrame:
    return frame[frame["domain"].isin(domains)].reset_index(drop=True)


def digest(world: World, seed: int) -> str:
    """A hash of all records of a run."""
    sink = RecordSink(world.labels)
    run_world(world, seed, sink)
    both = (sink.message_rows(), sink.connection_rows())
    return blake2b(b"".join(np.ascontiguousarray(r).astype("<i8").tobytes() for r in both), digest_size=8).hexdigest()


def print_digest() -> None:
    """What the other processes of the test below print."""
    world = compile_world(scenario())
    print(world.hash, digest(world, 5), digest(random_world(3), 3))


# --- same World, same seed


def test_the_same_run_gives_the_same_bytes_twice() -> None:
    """In one process, compiled anew; another seed gives other bytes, and so does the same scenario a day longer."""
    world = compile_world(scenario())
    assert digest(world, 5) == digest(compile_world(scenario()), 5)
    assert digest(world, 5) != digest(world, 6)
    assert world.hash == compile_world(scenario()).hash != compile_world(scenario(days=2.0)).hash


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_the_same_run_gives_the_same_bytes_in_another_process(hash_seed: str) -> None:
    """Under another hash of text (``PYTHONHASHSEED``), which orders sets and dictionaries of names differently."""
    world = compile_world(scenario())
    code = "from tests.delivery.test_determinism import print_digest; print_digest()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [world.hash, digest(world, 5), digest(random_world(3), 3)]


def test_counts_do_not_depend_on_whether_rows_are_kept() -> None:
    """The same run into either sink."""
    world = compile_world(scenario())
    counts, records = CountSink(world.labels), RecordSink(world.labels)
    facts = [run_world(world, 5, sink) for sink in (counts, records)]
    assert facts[0] == facts[1]
    one, other = counts.state(), records.counts.state()
    assert one.keys() == other.keys()
    assert all((one[name] == other[name]).all() for name in one)


def test_a_run_does_not_change_its_world() -> None:
    world = compile_world(scenario())
    before = world.hash
    digest(world, 5)
    assert world.hash == before


# --- chance belongs to names


def test_another_destination_leaves_the_records_of_the_others_alone() -> None:
    """One with the most mail, which becomes the first row, and one with the least; they share an MX host with all."""
    more = [spec("new.example", 500.0), *SPECS, spec("z.example", 1.0)]
    for before, after in zip(frames(scenario()), frames(scenario(more)), strict=True):
        pd.testing.assert_frame_equal(before, of(after, "a.example", "b.example", "c.example"))


def test_the_order_of_hosts_and_domains_in_the_population_is_no_matter() -> None:
    """The same destinations, their weights and with them their rows in another order: the same mail, the same fates.

    The rate of a destination is its weight; all have the same here, so that only the order differs.
    """
    names = ["a.example", "b.example", "c.example"]
    one, other = (frames(scenario([spec(n, 300.0) for n in order])) for order in (names, names[::-1]))
    for before, after in zip(one, other, strict=True):
        pd.testing.assert_frame_equal(before, after)


def trace(*extra: tuple[str, float]) -> Workload:
    rng = np.random.default_rng(1)
    rows = [(d, float(t)) for d in ("a.example", "b.example") for t in np.sort(rng.uniform(0, 80_000, 300)).round(3)]
    table = pd.DataFrame([*rows, *extra], columns=["domain", "time_s"])
    return Workload(trace=table.assign(size_bytes=20_000, recipients=1))


def test_another_message_leaves_other_destinations_and_earlier_mail_alone() -> None:
    """Added to the end of one destination's mail: the same rows for all that was done before it came."""
    late = 84_000.0
    one, other = (frames(scenario(SPECS[:2], workload=w)) for w in (trace(), trace(("b.example", late))))
    for before, after in zip(one, other, strict=True):
        pd.testing.assert_frame_equal(of(before, "a.example"), of(after, "a.example"))
    messages = [of(f, "b.example") for f in (one[0], other[0])]
    assert len(messages[1]) == len(messages[0]) + 1
    before, after = (m[m["done_s"] < late].reset_index(drop=True) for m in messages)
    pd.testing.assert_frame_equal(before, after)


# --- two policies, one world


def test_two_policies_meet_the_same_mail() -> None:
    """Whatever the settings, limits and retries: the same arrivals, sizes and recipients; only fates differ."""
    loose = frames(scenario())[0]
    policy = DestinationControls(
        default=Entry(domain="DEFAULT", tls=Setting.REQUIRED_VERIFY, max_host_concurrency=1, bounce_profile="short")
    )
    strict = frames(replace(scenario(), policy=policy, delivery=DeliverySwitches(expire="at_lifetime")))[0]
    mail = [*BY_NAME, "arrival_s", "size_bytes", "recipients"]
    pd.testing.assert_frame_equal(loose[mail], strict[mail])
    assert (loose["fate"] != strict["fate"]).any()


def test_destinations_whose_setting_is_unchanged_have_the_same_records() -> None:
    """Common random numbers: enforcing TLS for one destination moves no other message, not by a microsecond."""
    loose, strict = frames(scenario()), frames(scenario(settings={"b.example": Setting.REQUIRED_VERIFY}))
    columns = [c for c in loose[0].columns if c != "entry"]
    pd.testing.assert_frame_equal(
        of(loose[0], "a.example", "c.example")[columns], of(strict[0], "a.example", "c.example")[columns]
    )
    pd.testing.assert_frame_equal(of(loose[1], "a.example", "c.example"), of(strict[1], "a.example", "c.example"))
    assert not of(loose[0], "b.example")["fate"].equals(of(strict[0], "b.example")["fate"])


def test_a_message_meets_the_same_refusal_under_every_setting() -> None:
    """Refusal is drawn once a message: who gets 5yz under No gets it under Required - Verify too."""
    quiet = {**SPECS[0], "hosts": [{"host": "mx.a.example", "san_domain": True}]}
    fates = {}
    for setting in (Setting.NO, Setting.PREFERRED, Setting.REQUIRED_VERIFY):
        messages, _ = frames(scenario([quiet], settings={"a.example": setting}))
        fates[setting] = messages["bounce"].tolist()
    assert fates[Setting.NO] == fates[Setting.PREFERRED] == fates[Setting.REQUIRED_VERIFY]
    assert "5yz reply" in fates[Setting.NO]


# --- the World


def parts(world: World) -> Iterator[tuple[str, str, Any]]:
    """Yield (part, column, value) of every array and number of a World."""
    for part in fields(world):
        value = getattr(world, part.name)
        if part.name == "labels":
            continue
        if not is_dataclass(value):
            yield part.name, "", value
            continue
        for column in fields(value):
            yield part.name, column.name, getattr(value, column.name)


def changed(world: World, part: str, column: str, value: Any) -> World:
    if not column:
        return replace(world, **{part: value})
    return replace(world, **{part: replace(getattr(world, part), **{column: value})})


def test_the_hash_of_a_world_changes_with_any_value_of_it() -> None:
    """Each array's first and last element, each number, and each array's length; and with no label."""
    world = random_world(1)
    seen = {world.hash: "the world itself"}
    for part, column, value in parts(world):
        variants: list[Any] = []
        if isinstance(value, np.ndarray):
            for at in (0, -1):
                other = value.copy()
                other.flat[at] += 1
                variants.append(other)
            variants = [v for i, v in enumerate(variants) if not any((v == w).all() for w in variants[:i])]
            variants.append(np.concatenate([value, value[-1:]]))
        else:
            variants.append(value + 1)
        for other in variants:
            told = changed(world, part, column, other).hash
            assert told not in seen, f"{part}.{column} and {seen[told]} have the same hash"
            seen[told] = f"{part}.{column}"
    assert (
        replace(world, labels=replace(world.labels, domains=tuple("abcdef"[: len(world.labels.domains)]))).hash in seen
    )


def test_the_hash_tells_equal_bytes_of_another_shape_apart() -> None:
    world = random_world(1)
    flat = world.tables.accept.reshape(-1, 1)
    assert changed(world, "tables", "accept", flat).hash != world.hash


@pytest.mark.parametrize("world", [random_world(1), compile_world(scenario())], ids=["random", "compiled"])
def test_a_world_is_frozen(world: World) -> None:
    """No array can be written to, no attribute set."""
    for part, column, value in parts(world):
        owner = getattr(world, part) if column else world
        with pytest.raises(AttributeError):
            setattr(owner, column or part, value)
        if isinstance(value, np.ndarray):
            assert not value.flags.writeable, f"{part}.{column}"
            assert value.dtype == np.int64, f"{part}.{column}"
    with pytest.raises(ValueError, match="read-only"):
        world.waits_us[0] = 1


def test_worlds_of_two_policies_have_two_hashes_and_the_same_mail() -> None:
    """A change of one setting changes the hash, and no letter of the mail."""
    one, other = (compile_world(scenario(settings=s)) for s in ({}, {"a.example": Setting.REQUIRED}))
    assert one.hash != other.hash
    assert all(list(Mail(one, 5).of(d)) == list(Mail(other, 5).of(d)) for d in range(len(SPECS)))
