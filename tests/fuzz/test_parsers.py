"""Wrong inputs end in one line of the project's own, for every parser; a fault that was found stays here by name."""

from __future__ import annotations

import time
import warnings
from functools import partial
from pathlib import Path

import pytest

from sim.errors import PolicyError, PopulationError, ScenarioError, SimError, WorkloadError, complaint
from sim.formats.bounce_profiles import parse_bounce_profiles
from sim.formats.destination_controls import Policy
from sim.formats.destination_normal import normalised_text
from sim.formats.grid_file import parse_grid
from sim.formats.scenario_file import parse_scenario
from sim.formats.toml_lines import key_lines
from sim.formats.trace_file import read_trace
from sim.policy.text_tables import read_evidence
from sim.world.destinations_csv import read_destinations
from sim.world.figures import COLUMNS, PROVIDER_COLUMNS, read_figures, read_providers
from tests.fuzz.__main__ import fuzz, main
from tests.fuzz.mutator import mutated
from tests.fuzz.targets import TARGETS, HangError, attempt, bounded

#: Inputs of each target in `make test`; `make fuzz-parsers` runs more.
INPUTS = {"scenario": 100, "grid": 100, "dialogue": 150}
FEW = 300


@pytest.mark.parametrize("name", TARGETS)
def test_wrong_inputs_are_read_or_refused_in_one_line(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, failures = fuzz(name, 0, INPUTS.get(name, FEW))
    assert not failures, failures[0]


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_of_a_target_are_read(name: str) -> None:
    for seed in TARGETS[name].seeds():
        TARGETS[name].run(seed)


def test_an_input_is_its_number() -> None:
    seeds = TARGETS["certificates"].seeds()
    assert [mutated("certificates", n, seeds) for n in range(50)] == [
        mutated("certificates", n, seeds) for n in range(50)
    ]
    assert len({mutated("evidence", n, TARGETS["evidence"].seeds()) for n in range(200)}) > 150


def test_a_failure_is_told_with_its_replay(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(_: bytes) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(TARGETS, "toml", type(TARGETS["toml"])(fails, TARGETS["toml"].seeds))
    with warnings.catch_warnings():
        assert main(["toml", "7", "1"]) == 1
    told = capsys.readouterr().out
    assert "ZeroDivisionError" in told
    assert "replay: python -m tests.fuzz toml 7 1" in told
    assert "toml: 1 inputs from 7 on, 1 failed" in told


def test_an_input_that_takes_too_long_is_a_failure() -> None:
    began = time.perf_counter()
    with pytest.raises(HangError), bounded(0.01):  # noqa: PT012 - the loop is what is waited for
        while time.perf_counter() < began + 5:
            pass


# --- faults that were found ------------------------------------------------------------------------------------------

HUGE = ["9" * 5_000, "0x" + "f" * 5_000, "[" * 2_000, "{a=" * 2_000]


@pytest.mark.parametrize("value", HUGE, ids=["digits", "hexadecimal", "brackets", "braces"])
def test_a_number_or_nest_too_large_for_python_is_refused(value: str) -> None:
    assert attempt(lambda: parse_bounce_profiles(f"[Default]\nmax_retries = {value}"), PolicyError) is None
    assert attempt(lambda: parse_scenario(f"days = {value}"), ScenarioError) is None


def test_a_value_of_a_grid_too_large_to_spell_is_refused() -> None:
    grid = "[scenario.population]\ndomains = 5\n[grid]\nworkload.messages = [0x{}, 5]"
    assert attempt(lambda: parse_grid(grid.format("f" * 5_000)), ScenarioError) is None


@pytest.mark.parametrize("weight", ["1e308", "1e-310"])
def test_weights_of_hours_whose_products_are_no_numbers_are_refused(weight: str) -> None:
    hours = ", ".join(["1"] * 23 + [weight])
    text = f"[population]\ndomains = 5\n[workload]\nmessages = 10\nhourly = [{hours}]"
    assert attempt(lambda: parse_scenario(text), SimError) is None


def test_a_key_nested_too_deep_to_spell_is_refused() -> None:
    deep = ".a" * 2_000
    for key in ("max_retries", "growth", "x_owner"):
        text = f"[Default]\n{key}{deep} = 1"
        assert (attempt(partial(parse_bounce_profiles, text), PolicyError) is None) is (key != "x_owner")
    assert attempt(lambda: parse_scenario(f"days{deep} = 1"), ScenarioError) is None
    assert attempt(lambda: parse_bounce_profiles(f"Default{deep} = 1", strict=True), PolicyError) is None


def test_a_long_value_is_shown_by_its_beginning() -> None:
    told = complaint("table_tls", "x" * 10_000, ["off", "on"])
    assert told.startswith("table_tls = 'xxx")
    assert len(told) < 300


def test_a_line_break_in_a_name_is_escaped_in_every_message() -> None:
    with pytest.raises(PolicyError) as caught:
        parse_bounce_profiles('[Default]\n"max\\nretries" = 1', strict=True)
    assert r"[Default] max\nretries = 1" in str(caught.value)
    error = SimError("a\u2028b")
    error.add_note("c\x85d")
    assert (str(error), error.__notes__) == (r"a\u2028b", [r"c\x85d"])


def test_what_a_list_has_between_its_cells_cannot_break_the_message() -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.parse(
            "a.example  Default  Req  Default  Default  Default\nb\u2028c\x85d  Req\n", strict=True, form="list"
        )
    assert all(told.isprintable() for told in (str(caught.value), *caught.value.__notes__))


def test_lines_of_toml_end_where_its_parser_ends_them() -> None:
    assert key_lines("# a\u2028b\x85c\n[policy]\nfile = 1")[("policy", "file")] == 3


def test_a_key_of_a_bounce_profile_is_told_with_its_own_line() -> None:
    with pytest.raises(PolicyError, match=r"^<text>:5: \[Default\] max_retries = -1"):
        parse_bounce_profiles('[Default]\nnote = """\nmax_retries = 1\n"""\nmax_retries = -1')


def test_time_grows_with_the_text_and_not_with_its_square() -> None:
    with bounded(5.0):
        for line in ("[" * 200_000, " " * 200_000 + "!"):
            attempt(partial(Policy.parse, line, form="list"), PolicyError)
        parse_bounce_profiles("[Default]\n" + "".join(f"k{n} = 1\n" for n in range(5_000)))


@pytest.mark.parametrize("table", ["stage | seen\ntls | verified", "a\nb", "a | b | c | d | e | f"])
def test_a_table_of_evidence_with_other_columns_is_refused(table: str) -> None:
    with pytest.raises(PolicyError, match="table heading"):
        read_evidence(table)


def test_a_form_feed_in_a_header_is_no_part_of_the_normal_form() -> None:
    policy = Policy.parse("[bank.example\x0c]\ntable_tls = on\n[DEFAULT]\n")
    assert normalised_text(policy) == "[bank.example]\ntable_tls = on\n[DEFAULT]\n"


def test_an_entry_behind_a_stray_byte_order_mark_begins_a_line_of_its_own() -> None:
    policy = Policy.parse("[DEFAULT]\ntable_tls = on\n\ufeff").with_tls({"new.example": "off"})
    assert Policy.parse(policy.to_text()) == policy


def test_a_global_key_without_value_takes_one_before_its_comment() -> None:
    policy = Policy.parse("[DEFAULT]\ntable_tls = on\ncertificate = # demo\n")
    named = Policy.parse(policy.with_global("certificate", "outbound").to_text())
    assert named.global_value("certificate") == "outbound"
    assert "# demo" in named.to_text()


def test_mail_whose_sum_is_no_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("domain,messages\na.example,1e308\nb.example,1e308\n")
    with pytest.raises(PopulationError, match="a finite sum"):
        read_destinations(path)


@pytest.mark.parametrize("end", ["\u2028", "\x85", "\x0c"])
def test_only_a_line_end_ends_a_row(tmp_path: Path, end: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(f"domain,messages,note\na.example,1,x{end}b.example,2,y\n".encode())
    with pytest.raises(PopulationError, match=r"mine\.csv:2: row = '5 cells'"):
        read_destinations(path)
    path.write_bytes(f"note,time_s,size_bytes,recipients,domain\nx,1,2,1,a.example{end}y,1,2,1,b.example\n".encode())
    with pytest.raises(WorkloadError, match=r"mine\.csv:2: row = '9 cells'"):
        read_trace(path)


@pytest.mark.parametrize(
    "row",
    [
        b"x,1,share,domain,,,,,",
        b"x,1,share,5,1e3,domain,s,measured,",
        b"x,inf,weight,,,domain,s,measured,",
        b"\xff,1",
        b'x,"1',
    ],
)
def test_a_row_that_is_no_figure_is_refused(tmp_path: Path, row: bytes) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(",".join(COLUMNS).encode() + b"\n" + row + b"\n")
    assert attempt(lambda: read_figures(path), PopulationError) is None


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("hosted_share", "nan"),
        ("rank", "0"),
        ("backends", "0"),
        ("starttls", "7"),
        ("accept_median_s", "inf"),
        ("mx_preferences", "-1"),
        ("provider", '"a\nb'),
    ],
)
def test_a_provider_with_a_value_out_of_range_is_refused(tmp_path: Path, column: str, value: str) -> None:
    said = {"provider": "p", "rank": "1", "hosted_share": "0.1", "starttls": "1", "chain": "trusted", "names_mx": "1"}
    said |= {"mx_preferences": "10", "backends": "1", "accept_median_s": "2.5", "dane": "0", "mta_sts": "none"}
    right = {
        c: said.get(c, {"source": "x", "status": "assumed"}.get(c.rpartition("_")[2], "")) for c in PROVIDER_COLUMNS
    }
    path = tmp_path / "f.csv"
    for row, read in (({**right, column: value}, False), (right, True)):
        path.write_text(",".join(PROVIDER_COLUMNS) + "\n" + ",".join(row.values()) + "\n")
        assert (attempt(lambda: read_providers(path), PopulationError) is not None) is read
