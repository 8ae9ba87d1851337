"""Files are written whole or not at all, and what cannot be written is named."""

import errno
from pathlib import Path

import pytest

from fer_bench.records import atomic_write, refuse_unwritable


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / "a.csv") as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert (tmp_path / "a.csv").read_bytes() == b"old"


def test_an_error_names_the_file_and_not_its_temporary_name(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(IsADirectoryError) as error, atomic_write(tmp_path / "folder.csv") as file:
        file.write(b"new")
    assert error.value.filename == str(tmp_path / "folder.csv")
    with pytest.raises(FileNotFoundError) as error, atomic_write(Path("/proc/x.csv")):
        pass
    assert error.value.filename == "/proc/x.csv"
    with pytest.raises(OSError, match="No space") as full, atomic_write(tmp_path / "a.csv"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert full.value.filename == str(tmp_path / "a.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.csv"]


def test_an_error_of_another_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error, atomic_write(tmp_path / "a.csv"):
        (tmp_path / "other").read_bytes()
    assert error.value.filename == str(tmp_path / "other")


def test_where_nothing_can_be_written_is_told_and_nothing_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refuse_unwritable(tmp_path / "new" / "deep")
    with pytest.raises(NotADirectoryError) as error:
        refuse_unwritable(tmp_path / "file" / "deep")
    assert error.value.filename == str(tmp_path / "file")
    with pytest.raises(FileNotFoundError) as error:
        refuse_unwritable(Path("/proc/x/deep"))
    assert error.value.filename == "/proc/x/deep"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
