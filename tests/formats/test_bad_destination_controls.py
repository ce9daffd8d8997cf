"""What cannot be read: one line naming file, line, section, key, value, what is allowed and the nearest guess."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.errors import PolicyError
from sim.formats.destination_controls import Policy
from sim.policy.retry import PROFILE_NAMES
from tests.formats.test_destination_controls import DEFAULT_TEXT

WORDS = "off, on, require, on_verify, require_verify, require_verify_hosted, require_hosted_verify, 0, 1, 2, 3, 4, 5"

# The text below [DEFAULT], which ends at line 10, and what is told of it.
BAD = [
    (
        "[a.example]\ntable_tls = requir\n",
        (f"d.ini:12: [a.example] table_tls = 'requir'; allowed: {WORDS}. Did you mean 'require'?"),
    ),
    ("[a.example]\ntable_tls =\n", f"d.ini:12: [a.example] table_tls = ''; allowed: {WORDS}"),
    ("[a.example]\ntable_tls = 6\n", f"d.ini:12: [a.example] table_tls = '6'; allowed: {WORDS}"),
    (
        "[a.example]\nip_sort_pref = PREFR_V4\n",
        (
            "d.ini:12: [a.example] ip_sort_pref = 'PREFR_V4'; allowed: PREFER_V6, "
            "REQUIRE_V6, PREFER_V4, REQUIRE_V4. Did you mean 'PREFER_V4'?"
        ),
    ),
    (
        "[a.example]\nlimit_type = MXP\n",
        ("d.ini:12: [a.example] limit_type = 'MXP'; allowed: host, MXIP, 0, 1. Did you mean 'MXIP'?"),
    ),
    (
        "[a.example]\nmax_messages_per_connection = 1001\n",
        ("d.ini:12: [a.example] max_messages_per_connection = '1001'; allowed: a whole number, 1..1000 messages"),
    ),
    (
        "[a.example]\nmax_messages_per_connection = 1e3\n",
        ("d.ini:12: [a.example] max_messages_per_connection = '1e3'; allowed: a whole number, 1..1000 messages"),
    ),
    (
        "[a.example]\nrecipient_minutes = 0\n",
        ("d.ini:12: [a.example] recipient_minutes = '0'; allowed: a whole number, 1..60 minutes"),
    ),
    (
        "[a.example]\nrecipient_limit = 99999999999999999999\n",
        (
            "d.ini:12: [a.example] recipient_limit = "
            "'99999999999999999999'; allowed: a whole number, 0..1000000000 recipients"
        ),
    ),
    (
        "[a.example]\nmax_host_concurrency = 5\nlimit_type = 0\n",
        (
            "d.ini:12: [a.example] max_host_concurrency = '5'; "
            "allowed: only beside limit_type, limit_apply; missing here: limit_apply"
        ),
    ),
    (
        "[a.example]\nrecipient_limit = 5\nlimit_type = 0\nlimit_apply = 0\n",
        (
            "d.ini:12: [a.example] recipient_limit = "
            "'5'; allowed: only beside recipient_minutes, limit_type, limit_apply; missing here: recipient_minutes"
        ),
    ),
    (
        "[a.example]\n[b.example]\n\n[A.Example]\n",
        ("d.ini:14: section = '[A.Example]'; allowed: one section a destination; the first is at line 11"),
    ),
    ("[default]\n", "d.ini:11: section = '[default]'; allowed: one section a destination; the first is at line 1"),
    (
        "[192.0.2.7]\n[[192.0.2.7]]\n",
        ("d.ini:12: section = '[[192.0.2.7]]'; allowed: one section a destination; the first is at line 11"),
    ),
    (
        "[a.example]\ntable_tls = on\n\nTable_TLS = off\n",
        ("d.ini:14: [a.example] table_tls = 'off'; allowed: once a section; the first is at line 12"),
    ),
    (
        "[a.example]\ndane = none\ndane_option = none\n",
        ("d.ini:13: [a.example] dane_option = 'none'; allowed: once a section; the first is at line 12"),
    ),
    ("[a.example\ntable_tls = on\n", "d.ini:11: section = '[a.example'; allowed: [domain], alone on its line"),
    (
        "[a.example] table_tls = on\n",
        ("d.ini:11: section = '[a.example] table_tls = on'; allowed: [domain], alone on its line"),
    ),
    ("[]\n", "d.ini:11: section = '[]'; allowed: example.com, .example.com (all below it), [192.0.2.7] or DEFAULT"),
    (
        "[*.a.example]\n",
        (
            "d.ini:11: section = '[*.a.example]'; "
            "allowed: example.com, .example.com (all below it), [192.0.2.7] or DEFAULT"
        ),
    ),
    (
        "[a.example]\nbounce_profile = 7up\n",
        f"d.ini:12: [a.example] bounce_profile = '7up'; allowed: {PROFILE_NAMES}",
    ),
    ("[a.example]\n\x00\x01\n", "d.ini:12: content = 'byte 0x00'; allowed: UTF-8 text"),
]


@pytest.mark.parametrize(("text", "told"), BAD, ids=[text for text, _ in BAD])
def test_what_is_wrong_is_told_in_one_line(text: str, told: str) -> None:
    with pytest.raises(PolicyError) as fault:
        Policy.parse(DEFAULT_TEXT + text, source="d.ini")
    assert str(fault.value) == told


def test_all_faults_are_told_the_first_of_them_first() -> None:
    with pytest.raises(PolicyError) as fault:
        Policy.parse(f"{DEFAULT_TEXT}[a b]\n[b.example]\ntable_tls = x\nlimit_apply = x\n", source="d.ini")
    assert str(fault.value).startswith("d.ini:11: section")
    assert [note.split(" ", 1)[0] for note in fault.value.__notes__] == ["d.ini:13:", "d.ini:14:"]


STRICT = [
    ("[a.example]\nbounce_profile = Short\n", "d.ini:12: [a.example] bounce_profile = 'Short'; allowed: Default"),
    (
        "[a.example]\nbounce_profile = Defalt\n",
        ("d.ini:12: [a.example] bounce_profile = 'Defalt'; allowed: Default. Did you mean 'Default'?"),
    ),
    ("[a.example]\njunk\n", "d.ini:12: line = 'junk'; allowed: key = value, under a [section]"),
]


@pytest.mark.parametrize(("text", "told"), STRICT, ids=[text for text, _ in STRICT])
def test_what_only_a_strict_reader_refuses(text: str, told: str) -> None:
    assert Policy.parse(DEFAULT_TEXT + text).entries
    with pytest.raises(PolicyError) as fault:
        Policy.parse(DEFAULT_TEXT + text, source="d.ini", strict=True)
    assert str(fault.value) == told


def test_a_strict_reader_wants_default() -> None:
    with pytest.raises(PolicyError, match=r"d.ini:1: no \[DEFAULT\] section; allowed: one with ip_sort_pref, max_host"):
        Policy.parse("[a.example]\n", source="d.ini", strict=True)


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "hello\n", "name,tls\na.example,on\n", '{"a": 1}'])
def test_other_files_are_not_mistaken_for_one(text: str) -> None:
    with pytest.raises(PolicyError, match=r"d.ini:1: no \[section\] found; allowed: \[DEFAULT\] and one \[domain\]"):
        Policy.parse(text, source="d.ini")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "destinations.ini").write_text(DEFAULT_TEXT)
    with pytest.raises(PolicyError, match=r"destination.ini'; allowed: .*exists. Did you mean 'destinations.ini'\?$"):
        Policy.read(tmp_path / "destination.ini")
    with pytest.raises(PolicyError, match="a file, and this is a folder"):
        Policy.read(tmp_path)
    with pytest.raises(PolicyError, match="a file that exists"):
        Policy.read(tmp_path / "no" / "d.ini")
    with pytest.raises(PolicyError, match="a file that can be read"):
        Policy.read("a\0b")

    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(PolicyError, match=r"a file that can be read \(permission denied\)"):
        Policy.read(tmp_path / "destinations.ini")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\x7fELF\x02\x01\x01\x00", ":1: content = 'byte 0x7f'; allowed: UTF-8 text"),
        (b"[DEFAULT]\n# caf\xe9\n", ":2: content = 'byte 0xe9'; allowed: UTF-8 text"),
        ("[DEFAULT]\n".encode("utf-16"), ":1: content = 'UTF-16'; allowed: UTF-8 text"),
        (bytes(range(256)) * 100, ":2: content = 'byte 0x80'; allowed: UTF-8 text"),
    ],
)
def test_binary_rubbish_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "d.ini"
    path.write_bytes(content)
    with pytest.raises(PolicyError) as fault:
        Policy.read(path)
    assert str(fault.value) == f"{path}{told}"
