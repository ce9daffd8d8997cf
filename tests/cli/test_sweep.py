"""``tlssim sweep``: what it prints, how it ends, and what it leaves when it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from sim.cli import main
from sim.studies import sweep_cluster

TLSSIM = str(Path(sys.executable).with_name("tlssim"))
GRID = """
replications = 4
[scenario.population]
domains = 100
[scenario.workload]
messages = 2_000
[grid]
sender = ["esa", "postfix"]
max_host_concurrency = [1, 20]
"""
BAD = [
    (("g.toml",), "--out is missing; allowed: a folder, where the runs that are done are kept"),
    (("no.toml", "--out", "new"), "file = 'no.toml'; allowed: a file that exists"),
    (("bad.toml", "--out", "new"), "bad.toml:7: [grid] setting = 'requird'; allowed: no,"),
    (("g.toml", "--out", "g.toml"), "output folder = 'g.toml'; allowed: a folder that can be made"),
    (("g.toml", "--out", "new", "--workers", "0"), "--workers = '0'; allowed: a whole number, 1 to 1,024"),
    (("g.toml", "--out", "new", "--scheduler", "here"), "scheduler = 'here'; allowed: the address of a Dask scheduler"),
    (("g.toml", "--out", "new", "--scheduler", "tcp://127.0.0.1:9"), "a Dask scheduler that runs, such as tcp://192."),
    (("g.toml", "--out", "new", "--scheduler", "tcp://a:1", "--workers", "2"), "workers = 2; allowed: not beside a s"),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "g.toml").write_text(GRID)
    (tmp_path / "bad.toml").write_text(GRID.split("sender")[0].lstrip() + "setting = ['requird']\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweep_cluster, "_CONNECT_S", 0.5)
    return tmp_path


@pytest.mark.parametrize(("arguments", "told"), BAD)
def test_bad_input(folder: Path, arguments: tuple[str, ...], told: str) -> None:
    result = CliRunner().invoke(main, ("sweep", *arguments))
    assert (result.exit_code, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert line.startswith("tlssim: ")
    assert told in line
    assert {path.name for path in folder.iterdir()} == {"g.toml", "bad.toml"}


@pytest.mark.slow
def test_interrupted_it_keeps_what_is_done_and_goes_on(folder: Path) -> None:
    cells = folder / "out" / "cells"
    command = [TLSSIM, "sweep", "g.toml", "--out", "out", "--workers", "2"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as running:
        for _ in range(3_000):
            if [*cells.glob("[!.]*")]:
                break
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert (running.returncode, out) == (130, "")
    kept = {path.name: path.stat().st_mtime_ns for path in cells.iterdir()}
    assert 1 <= len(kept) < 16
    lines = err.strip().splitlines()
    assert lines[-1] == (
        f"tlssim: ended early; {len(kept)} of 16 runs are kept in out, and the same command goes on from there"
    )
    assert {path.name for path in (folder / "out").iterdir()} == {"cells", "report.csv"}
    for _ in range(200):
        try:
            os.killpg(running.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("a process is left")

    result = CliRunner().invoke(main, ("sweep", "g.toml", "--out", "out", "--workers", "2"))
    assert result.exit_code == 0, result.stderr
    text = " ".join(result.stdout.split())
    assert f"16 runs: {len(kept)} kept from before, {16 - len(kept)} made now." in text
    assert "esa 1 " in text
    assert "postfix 20 " in text
    assert "1 point is the very same as another one, run for run" in text
    assert text.endswith("Written to out: meta.json, report.csv, sweep.csv, sweep.parquet")
    assert {name: (cells / name).stat().st_mtime_ns for name in kept} == kept

    told = CliRunner().invoke(main, ("sweep", "g.toml", "--out", "out", "--json"))
    document = json.loads(told.stdout)
    assert document["runs"] == {"all": 16, "kept": 16, "left_over": 0}
    assert [row["sender"] for row in document["summary"]] == ["esa", "esa", "postfix", "postfix"]
    assert document["workers"] == []
