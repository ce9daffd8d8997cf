"""Files are written whole or not at all (`sim.files`)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sim.errors import OutputError
from sim.files import beside, output_folder, write_bytes, write_text


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_text_is_written_as_utf8_with_its_own_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "mode.txt"
    assert write_text(path, "Größe\nzwei\r\n") == path
    assert path.read_bytes() == "Größe\nzwei\r\n".encode()
    assert names(tmp_path) == ["mode.txt"]


def test_bytes_replace_what_stood_there(tmp_path: Path) -> None:
    path = tmp_path / "counts.bin"
    path.write_bytes(b"before")
    write_bytes(path, b"after")
    assert path.read_bytes() == b"after"
    assert names(tmp_path) == ["counts.bin"]


@pytest.mark.parametrize("fault", [ValueError("half way"), KeyboardInterrupt()])
def test_a_writer_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, fault: BaseException) -> None:
    path = tmp_path / "fates.svg"
    path.write_text("before")

    def write_half() -> None:
        with beside(path) as scratch:
            scratch.write_text("hal")
            raise fault

    with pytest.raises(type(fault)):
        write_half()
    assert path.read_text() == "before"
    assert names(tmp_path) == ["fates.svg"]


def test_the_scratch_name_keeps_the_ending_and_the_folder(tmp_path: Path) -> None:
    with beside(tmp_path / "chart.svg") as scratch:
        assert scratch.suffix == ".svg"
        assert scratch.parent == tmp_path.resolve()
        scratch.write_text("<svg/>")
    assert names(tmp_path) == ["chart.svg"]


def test_a_long_file_name_can_be_written(tmp_path: Path) -> None:
    name = "d" * 240 + ".csv"
    write_text(tmp_path / name, "domain\n")
    assert names(tmp_path) == [name]


def test_permissions_follow_the_umask_and_an_existing_file_keeps_its_own(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        new = write_text(tmp_path / "new.txt", "x")
    finally:
        os.umask(old)
    assert new.stat().st_mode & 0o777 == 0o640
    new.chmod(0o600)
    write_text(new, "y")
    assert new.stat().st_mode & 0o777 == 0o600


def test_a_link_is_followed(tmp_path: Path) -> None:
    real = tmp_path / "real.txt"
    real.write_text("before")
    link = tmp_path / "link.txt"
    link.symlink_to(real)
    write_text(link, "after")
    assert link.is_symlink()
    assert real.read_text() == "after"


def test_a_device_is_written_to_and_not_replaced() -> None:
    write_text(os.devnull, "gone")
    assert not Path(os.devnull).is_file()


def test_a_folder_in_place_of_a_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"^output file = '.*'; allowed: a file, and this is a folder$"):
        write_text(tmp_path, "x")


def test_a_missing_folder_is_one_line_naming_the_file(tmp_path: Path) -> None:
    complaint = r"nowhere/out\.csv'; allowed: a file that can be written \(no such file"
    with pytest.raises(OutputError, match=complaint) as told:
        write_text(tmp_path / "nowhere" / "out.csv", "x")
    assert "\n" not in str(told.value)


def test_an_output_folder_is_made_with_its_parents_and_left_empty(tmp_path: Path) -> None:
    folder = output_folder(tmp_path / "a" / "b")
    assert folder == tmp_path / "a" / "b"
    assert names(folder) == []
    assert output_folder(folder) == folder


@pytest.mark.parametrize("tail", ["", "deeper"])
def test_an_output_folder_that_is_a_file_is_one_line(tmp_path: Path, tail: str) -> None:
    (tmp_path / "out").write_text("a file")
    complaint = r"^output folder = '.*'; allowed: a folder that can be made and written \("
    with pytest.raises(OutputError, match=complaint) as told:
        output_folder(tmp_path / "out" / tail)
    assert "\n" not in str(told.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_folder_without_permission_is_refused_before_the_run(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="permission denied"):
        output_folder(tmp_path)
