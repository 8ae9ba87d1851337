import os
from pathlib import Path

import pytest

from fer_bench.errors import BrokenScan
from fer_bench.io.file_bytes import MAX_BYTES, read_bytes


def test_bytes_are_the_files(tmp_path: Path) -> None:
    for content in (b"", b"\r\n\x00\xff" * 100_000):
        (tmp_path / "file").write_bytes(content)
        assert read_bytes(tmp_path / "file") == content
        assert read_bytes(str(tmp_path / "file")) == content


def test_what_is_no_file_of_a_dataset_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    for name, problem in (
        ("absent", "cannot be read .No such file"),
        (".", "regular file"),
        ("pipe", "cannot be read .it is not a regular file"),
        ("huge", "has 1,073,741,825 bytes, more than"),
    ):
        with pytest.raises(BrokenScan, match=f"{name}.*{problem}"):
            read_bytes(tmp_path / name)
