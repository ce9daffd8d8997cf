"""Bad input ends with one clear line, status 2 and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from sim.cli import main
from sim.cli.output import Output
from sim.data import example
from sim.errors import OutputError

TLSSIM = str(Path(sys.executable).with_name("tlssim"))
SCENARIO = str(example("destinations.ini").parent / "scenario.toml")
FILES: dict[str, bytes] = {
    "tls.ini": b"[DEFAULT]\ntable_tls = on\n[a.example]\ntable_tls = requir\n",
    "short.ini": b"[DEFAULT]\ntable_tls = on\n",
    "twice.ini": b"[DEFAULT]\ntable_tls = on\n[a.example]\n[A.example]\n",
    "range.ini": b"[DEFAULT]\ntable_tls = on\nmax_messages_per_connection = 5000\n",
    "rubbish.ini": bytes(range(256)) * 8,
    "negative.csv": b"domain,messages\na.example,5\nb.example,-3\n",
    "key.toml": b"[workload]\nmesages = 3\n",
    "two.toml": b"dais = 1\nengine = 'x'\n[workload]\nmesages = 3\n",
    "preset.toml": b"[population]\npreset = '2020s-wbe'\n[workload]\nmessages = 10\n",
    "policy.toml": b"[policy]\nfile = 'tls.ini'\n[workload]\nmessages = 10\n",
    "small.toml": b"[population]\ndomains = 5\n[workload]\nmessages = 10\n",
    "other.toml": b"[project]\nname = 'x'\n[[project.authors]]\nname = 'y'\n",
    "profiles.toml": b"[Default]\nmax_retries = 3\n[Short_Life]\nmax_retry_timeout = 900\n",
    "semicolons.csv": b"domain;messages\na.example;5\n",
    "map": b"a.example may\nb.example secur match=nexthop\n",
    "afile": b"",
}
SMALL = ("--domains", "5", "--messages", "10", "--replications", "1", "--jobs", "1")
BAD = [
    (("check", "tls.ini"), "tls.ini:4: [a.example] table_tls = 'requir'; allowed: off,", "Did you mean 'require'?"),
    (("run", "policy.toml"), "tls.ini:4: [a.example] table_tls = 'requir'; allowed: off,", "Did you mean 'require'?"),
    (("check", "short.ini", "--strict"), "short.ini:1: [DEFAULT] ip_sort_pref: missing", "\ntlssim: short.ini:1: ["),
    (("import", "twice.ini"), "twice.ini:4: section = '[A.example]'; allowed: one section a destination", "line 3"),
    (("export", "range.ini"), "range.ini:3: [DEFAULT] max_messages_per_connection = '5000'", "1..1000 messages"),
    (("import", "map"), "map:2: b.example level = 'secur'; allowed: none, may", "Did you mean 'secure'?"),
    (("export", "map", "--out", "new.ini"), "map:2: b.example level = 'secur'", ""),
    (("export", "short.ini", "--to", "postfix"), "--to = 'postfix'; allowed: destination-controls, csv, post", ""),
    (("export", "short.ini", "--default", "may"), "--default = 'may'; allowed: only where a policy map becomes", ""),
    (("export", "afile", "--from", "postfix-tls-policy", "--default", "mai"), "default level = 'mai'", "mean 'may'?"),
    (("import", "map", "--profiles", "profiles.toml"), "--profiles = 'profiles.toml'; allowed: not beside a pol", ""),
    (("export", "short.ini", "--to", "postfix-tls-policy", "--out", "afile/x"), "output file = 'afile/x'", ""),
    (("explain",), "say a DOMAIN or --evidence", ""),
    (("explain", "--evidence", "stage=tsl"), "evidence stage = 'tsl'; allowed:", "Did you mean 'tls'?"),
    (("explain", "no domain"), "domain = 'no domain'; allowed: example.com", ""),
    (("explain", "a.example", "--setting", "requierd"), "--setting = 'requierd'; allowed:", "Did you mean 'required'?"),
    (("explain", "--evidence", "dane=bogos"), "evidence dane = 'bogos'; allowed: none,", "Did you mean 'bogus'?"),
    (("explain", "--evidence", "", "--sender", "postfx"), "--sender = 'postfx'; allowed: esa,", "mean 'postfix'?"),
    (
        ("explain", "--evidence", "", "--sender", "postfix", "--setting", "dane-onli"),
        "--setting = 'dane-onli'",
        "only'",
    ),
    (("explain", "--evidence", "", "--sender", "all", "--setting", "requierd"), "--setting = 'requierd'; allowed:", ""),
    (("explain", "--evidence", "", "--switch", "pv"), "--switch = 'pv'; allowed: NAME=VALUE", ""),
    (
        ("explain", "--evidence", "", "--switch", "pv_after_220=x"),
        "switch pv_after_220 = 'x'; allowed: clear, fail",
        "",
    ),
    (("explain", "--evidence", "", "--sender", "all", "--switch", "a=b"), "--switch = 'a=b'; allowed: beside one", ""),
    (("explain", "--evidence", "", "--dane-option", "mandatry"), "--dane-option = 'mandatry'", "mean 'mandatory'?"),
    (("explain", "a.example", "--sender", "all"), "--sender = 'all'; allowed: one sender, beside a domain", ""),
    (("explain", "a.example", "--switch", "a=b"), "--switch = 'a=b'; allowed: only beside --evidence", ""),
    (("expected", "--sender", "postfx"), "--sender = 'postfx'; allowed: esa,", "Did you mean 'postfix'?"),
    (("expected", "--by", "mx-host"), "--by = 'mx-host'; allowed: domain, mx_host", ""),
    (("expected", "--domains", "5", "--by", "mx_host", "--per", "message"), "per = 'message'; allowed: pass,", ""),
    (("table", "eas"), "sender = 'eas'; allowed: esa", ""),
    (("modes", "--population", "2020s-wbe"), "--population = '2020s-wbe'; allowed:", "Did you mean '2020s-web'?"),
    (("check", "short.ini", "--population", "2020s-wbe"), "--population = '2020s-wbe'; allowed:", ""),
    (("modes", "--csv", "negativ.csv"), "file = 'negativ.csv'; allowed: a file that exists", "'negative.csv'?"),
    (("modes", "--csv", "semicolons.csv"), "semicolons.csv:1: separated by semicolons; allowed: commas", ""),
    (("check", "small.toml"), "small.toml:1: looks like a scenario file", "[policy] file; allowed: [DEFAULT] and"),
    (("import", "policy.toml"), "policy.toml:1: looks like a scenario file", ""),
    (("export", "profiles.toml"), "profiles.toml:1: looks like bounce profiles; they are given beside", ""),
    (("import", "other.toml"), "other.toml:1: looks like another TOML file; allowed: [DEFAULT] and one [domain]", ""),
    (("run", "preset.toml"), "preset.toml:2: [population] preset = '2020s-wbe'", "Did you mean '2020s-web'?"),
    (("modes", "--messages", "-5"), "--messages = '-5'; allowed: a whole number, 1 to 1,000,000,000,000", ""),
    (("modes", "--domains", "-1"), "--domains = '-1'; allowed: a whole number, 1 to 10,000,000", ""),
    (("expected", "--domains", "x"), "--domains = 'x'; allowed: a whole number", ""),
    (("modes", "--csv", "negative.csv"), "negative.csv:3: messages = '-3'; allowed: a number, 0 or more", ""),
    (("run", "preset.toml", "--records-as", "parquet"), "'parquet'; allowed: only beside --out", ""),
    (
        ("run", "preset.toml", "--records-as", "parqet"),
        "--records-as = 'parqet'; allowed:",
        "Did you mean 'parquet'?",
    ),
    (("run", "key.toml"), "key.toml:2: [workload] unknown key = 'mesages'", "Did you mean 'messages'?"),
    (("run", "two.toml"), "two.toml:1: unknown key = 'dais'", "\ntlssim: two.toml:4: [workload] unknown key"),
    (("check", "rubbish.ini"), "rubbish.ini:2: content = 'byte 0x80'", "UTF-8 text"),
    (("import", "afile/d.ini"), "file = 'afile/d.ini'; allowed: a file that can be read", ""),
    (("import", "."), "file = '.'; allowed: a file, and this is a folder", ""),
    (("run", "smal.toml"), "file = 'smal.toml'; allowed: a file that exists", "Did you mean 'small.toml'?"),
    (("run", "small.toml", "--out", "afile/out"), "output folder = 'afile/out'; allowed: a folder that can be", ""),
    (("modes", *SMALL, "--out", "afile"), "output folder = 'afile'; allowed: a folder that can be", ""),
    (("expected", "--out", "afile/x/y"), "output folder = 'afile/x/y'", ""),
    (("export", "short.ini", "--out", "afile/x"), "output file = 'afile/x'; allowed: a file that can be written", ""),
    (("run", "key.toml", "--out", "new/deep"), "key.toml:2: [workload] unknown key", ""),
    (("modes", "small.toml", "--csv", "x.csv"), "--csv = 'x.csv'; allowed: not beside a scenario file", ""),
    (("modes", "--profiles", "x.toml"), "--profiles = 'x.toml'; allowed: only beside --policy", ""),
    (("check", "short.ini", "--messages", "5"), "--messages = 5; allowed: only beside --population or --csv", ""),
    (("check", "short.ini", "--csv", "negative.csv", "--domains", "3"), "--domains = 3; allowed: not beside --csv", ""),
    (("check", "short.ini", "--fail-on", "wrning"), "--fail-on = 'wrning'", "Did you mean 'warning'?"),
    (("capacity", *SMALL, "--for", "gogle-mail"), "find_concurrency = 'gogle-mail'; allowed: all,", "'google-mail'?"),
    (("capacity", *SMALL, "--for", ""), "find_concurrency = ''; allowed: all, a provider (", ""),
    (("capacity", *SMALL, "--for", "all", "--no-concurrency"), "--for = 'all'; allowed: not beside --no-concurr", ""),
    (("capacity", *SMALL, "--percentile", "0.95"), "--percentile = '0.95'; allowed: 1 to 99.99", ""),
    (("capacity", *SMALL, "--within-s", "0"), "--within-s = '0'; allowed: 1 to 31,622,400", ""),
    (("capacity", *SMALL, "--out", "afile"), "output folder = 'afile'; allowed: a folder that can be", ""),
    (("capacity", "small.toml", "--csv", "x.csv"), "--csv = 'x.csv'; allowed: not beside a scenario file", ""),
    (("check",), "Missing argument 'FILE' (see 'tlssim check --help')", ""),
    (("chekc",), "No such command 'chekc'", ""),
    (("modes", "--vary", "evidense"), "--vary = 'evidense'; allowed: chance", "Did you mean 'evidence'?"),
    (("modes", "--precision", "60"), "--precision = '60'; allowed: 0.001 to 50", ""),
    (("modes", "--precision", "1", "--replications", "5"), "--precision = 1.0; allowed: not beside --replications", ""),
    (("modes", "--most", "30"), "--most = 30; allowed: only beside a precision", ""),
    (("modes", "--seeed", "1"), "--seeed", "--seed"),
    ((), "no command; 'tlssim --help' lists them", ""),
]
#: Faults after the first, where there are any.
FURTHER = {("check", "short.ini", "--strict"): 7, ("run", "two.toml"): 2}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("arguments", "told", "more"), BAD, ids=[" ".join(case[0]) or "nothing" for case in BAD])
def test_bad_input(folder: Path, arguments: tuple[str, ...], told: str, more: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    first, *others = result.stderr.splitlines()
    assert len(others) == FURTHER.get(arguments, 0)
    assert all(line.startswith("tlssim: ") for line in (first, *others))
    assert told in first
    assert more in result.stderr
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == FILES


def test_many_faults_are_told_up_to_a_number(folder: Path) -> None:
    entries = "".join(f"[a{i}.example]\ntable_tls = x\n" for i in range(30))
    (folder / "many.ini").write_text(f"[DEFAULT]\ntable_tls = on\n{entries}")
    lines = CliRunner().invoke(main, ("check", "many.ini")).stderr.splitlines()
    assert [line.split(" table")[0] for line in lines[:-1]] == [
        f"tlssim: many.ini:{2 * i + 4}: [a{i}.example]" for i in range(21)
    ]
    assert lines[-1] == "tlssim: (and 9 more)"


def test_an_output_that_is_a_folder_leaves_the_others_as_they_were(folder: Path) -> None:
    (folder / "out" / "by_setting.csv").mkdir(parents=True)
    (folder / "out" / "by_domain.csv").write_text("old")
    result = CliRunner().invoke(main, ("run", "small.toml", "--out", "out"))
    assert result.exit_code == 2
    assert "by_setting.csv" in result.stderr
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["by_domain.csv", "by_setting.csv"]
    assert (folder / "out" / "by_domain.csv").read_text() == "old"


def test_a_write_that_fails_half_way_leaves_nothing(folder: Path) -> None:
    def fill(scratch: Path) -> None:
        (scratch / "a.csv").write_text("a")
        raise OutputError(f"{scratch}/b.csv: the disk is full")

    with pytest.raises(OutputError, match=r"^new/deep/b\.csv: the disk is full"), Output("new/deep") as output:
        output.write(fill)
    assert {p.name for p in folder.iterdir()} == set(FILES)


def test_the_installed_command_ends_the_same_way() -> None:
    ran = subprocess.run([TLSSIM, "check", "tls.ini"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("tlssim: tls.ini:4: ")


def test_a_closed_pipe_is_no_fault() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        ran = subprocess.run([TLSSIM, "import", "short.ini"], stdout=closed, stderr=subprocess.PIPE, text=True)
    assert ran.stderr == ""
    assert ran.returncode == 141


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_behind(folder: Path) -> None:
    command = [TLSSIM, "run", SCENARIO, "--out", "new/deep"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        for _ in range(600):
            if (folder / "new" / "deep").exists():
                break
            time.sleep(0.05)
        time.sleep(0.5)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert out == ""
    assert err.strip() == "tlssim: interrupted; nothing was written"
    assert not (folder / "new").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status", "said"), [("SIGTERM", 143, "terminated"), ("SIGINT", 130, "interrupted")])
@pytest.mark.parametrize("after_s", [0.3, 0.6, 1.5])
def test_a_signal_ends_the_workers_too(folder: Path, number: str, status: int, said: str, after_s: float) -> None:
    """SIGTERM goes to the command alone, as service managers send it, and Ctrl-C to all processes of a terminal.

    The reference has workers, and is not done before the signal comes.
    """
    command = [TLSSIM, "modes", "--domains", "300", "--messages", "300000", "--jobs", "2", "--out", "new/deep"]
    pipe, plain = subprocess.PIPE, os.environ | {"TLSSIM_NO_NUMBA": "1"}
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True, env=plain) as running:
        for _ in range(600):
            if (folder / "new" / "deep").exists():
                break
            time.sleep(0.05)
        time.sleep(after_s)
        send = os.killpg if number == "SIGINT" else os.kill
        send(running.pid, getattr(signal, number))
        # Workers hold both pipes, so this waits for them.
        out, err = running.communicate(timeout=30)
    assert (running.returncode, out) == (status, "")
    assert err.strip() == f"tlssim: {said}; nothing was written"
    assert not (folder / "new").exists()
    for _ in range(200):
        try:
            os.killpg(running.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("a process is left")
