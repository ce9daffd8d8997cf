"""Where compiled code is kept, what happens without a compiler, and how a run that is broken off ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import sim
from sim import jit
from tests.delivery.test_reference_against_tiny_loop import world_of
from tests.twins.compare import Both
from tests.twins.worlds import Room, crowd

needs_numba = pytest.mark.skipif(not jit.available(), reason="needs numba")


def python(code: str, **environment: str) -> str:
    """Run code in a process of its own and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def folder_now() -> Path:
    """Return what `sim.jit.cache_folder` finds under the environment of now."""
    return Path(jit.cache_folder.__wrapped__())


@pytest.fixture
def homeless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a home that is a file, so that no folder can be made there, and a folder for temporary files."""
    home = tmp_path / "home"
    home.touch()
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_compiled_code_is_kept_where_the_user_says(homeless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(homeless / "xdg"))
    assert folder_now().parent == homeless / "xdg"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(homeless / "own"))
    assert folder_now().parent == homeless / "own"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(homeless / "home" / "own"))
    assert folder_now().parent == homeless / "xdg"


def test_compiled_code_is_kept_in_the_cache_of_the_user(homeless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(homeless))
    assert folder_now().parent == homeless / ".cache"


def test_a_home_that_cannot_be_written_leaves_the_folder_for_temporary_files(homeless: Path) -> None:
    found = folder_now()
    assert found.is_relative_to(homeless)
    assert found.parent.name.startswith("tlssim-")
    assert folder_now() == found


@pytest.mark.skipif(os.name != "posix", reason="rights of files are POSIX's")
def test_code_that_others_may_have_put_there_is_not_run(homeless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the folder for temporary files is everybody's, ours may have been made by somebody else."""
    somebody = os.getuid() + 1
    (homeless / f"tlssim-{somebody}").mkdir(mode=0o700)
    with monkeypatch.context() as us:
        us.setattr(os, "getuid", lambda: somebody)
        assert folder_now().parent == homeless
    known = folder_now().parent
    assert known.parent == homeless
    known.chmod(0o777)
    assert folder_now().parent == homeless
    known.rename(homeless / "moved")
    (homeless / "moved").chmod(0o700)
    known.symlink_to(homeless / "moved")
    assert folder_now().parent == homeless


def test_where_nothing_can_be_written_a_new_folder_is_made(homeless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "_places", lambda: [homeless / "home"])
    assert folder_now().is_dir()
    assert folder_now().parent == homeless


@needs_numba
def test_nothing_is_written_where_the_package_is(homeless: Path) -> None:
    """An installed package may be read-only; a small function is compiled to see where its code goes."""
    code = (
        "from pathlib import Path; from sim import jit; from sim.delivery import rules\n"
        "assert jit.compiled(rules.due_us)(1, 2, 0) == 3\n"
        "print(jit.cache_folder())"
    )
    folder = Path(python(code, NUMBA_CACHE_DIR=str(homeless / "own")).strip())
    assert folder.parent == homeless / "own"
    assert list(folder.rglob("rules.due_us*.nbi"))
    assert not list(Path(sim.__file__).parent.rglob("*.nbi"))


def test_a_change_of_any_source_takes_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "delivery").mkdir()
    (tmp_path / "delivery" / "rules.py").write_text("A = 1\n")
    before = jit._sources_hash()
    monkeypatch.setattr(jit, "_HERE", tmp_path)
    first = jit._sources_hash()
    (tmp_path / "delivery" / "rules.py").write_text("A = 2\n")
    assert len({before, first, jit._sources_hash()}) == 3


def abs_of(value: int) -> int:
    return -value if value < 0 else value


@needs_numba
def test_code_is_warm_once_it_was_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(jit, "_loaded", [])
    assert (jit.is_warm(), jit.is_loaded()) == (False, False)
    monkeypatch.setattr(jit, "compiles_now", lambda: False)
    jit.mark_warm()
    assert (jit.is_warm(), jit.is_loaded()) == (False, False)
    jit.compiled(abs_of)
    assert (jit.is_warm(), jit.is_loaded()) == (False, False)
    monkeypatch.setattr(jit, "compiles_now", lambda: True)
    jit.compiled(abs_of)
    assert (jit.is_warm(), jit.is_loaded()) == (False, True)
    jit.mark_warm()
    assert jit.is_warm()
    monkeypatch.setattr(jit, "available", lambda: False)
    assert not jit.is_warm()


def test_without_a_compiler_the_reference_runs_and_the_compiled_engine_says_why() -> None:
    code = (
        "import sys, sim\n"
        "from tests.delivery.test_determinism import scenario\n"
        "from sim.errors import ScenarioError\n"
        "result = sim.simulate(scenario(days=0.1))\n"
        "print(result.meta['engine'], result.injected > 0, 'numba' in sys.modules)\n"
        "try: sim.simulate(scenario(days=0.1), engine='compiled')\n"
        "except ScenarioError as error: print(error)\n"
    )
    auto, told = python(code, TLSSIM_NO_NUMBA="1").splitlines()
    assert auto == "reference True False"
    assert told.startswith("engine: compiled, but ")
    assert "allowed: reference" in told


# --- a run that is broken off


@needs_numba
@pytest.mark.parametrize("where", ["progress", "messages", "connections"])
def test_a_run_that_is_broken_off_leaves_no_thread_and_sends_little_more(where: str) -> None:
    from sim.delivery.compiled import Compiled

    world, before, calls = crowd(3), set(threading.enumerate()), []

    def breaks(*_: Any) -> None:
        calls.append(where)
        raise KeyboardInterrupt

    sink = Both(world, compiled=False)
    if where != "progress":
        setattr(sink, where, breaks)
    with Room(rows=2, places=2, openings=2, window_us=1_000_000).given(), pytest.raises(KeyboardInterrupt):
        Compiled(world, 3, sink, 3).run(breaks if where == "progress" else None)
    assert set(threading.enumerate()) == before
    assert 1 <= len(calls) <= 12


@needs_numba
def test_an_interrupt_while_threads_run_ends_them() -> None:
    """In a process of its own, whose main thread waits for the others: Ctrl-C reaches it there."""
    code = (
        "import _thread, threading\n"
        "from sim.delivery.compiled import Compiled\n"
        "from tests.twins.compare import Both\n"
        "from tests.twins.worlds import Room, crowd\n"
        "world, calls = crowd(3), []\n"
        "class Sink(Both):\n"
        "    def messages(self, rows):\n"
        "        calls.append(1)\n"
        "        if len(calls) == 1: _thread.interrupt_main()\n"
        "with Room(2, 2, 2, 1_000_000).given():\n"
        "    try: Compiled(world, 3, Sink(world, compiled=False), 2).run()\n"
        "    except KeyboardInterrupt: print(threading.active_count())\n"
    )
    assert python(code).strip() == "1"


@needs_numba
def test_an_engine_may_run_again_after_it_was_broken_off() -> None:
    from sim.delivery.compiled import Compiled

    world = world_of(2)

    def breaks(*_: Any) -> None:
        raise KeyboardInterrupt

    engine = Compiled(world, 2, both := Both(world, compiled=False), 2)
    with pytest.raises(KeyboardInterrupt):
        engine.run(breaks)
    both.clear()
    assert engine.run().arrived == len(both.kept.sorted()["messages"])
