from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_bench.errors import BrokenScan
from fer_bench.geometry.frames import Clip, group_frames
from fer_bench.io.photo import Photo


def test_frames_are_read_when_they_are_asked_for() -> None:
    read: list[tuple[Path, ...]] = []

    def load(files: tuple[Path, ...]) -> str:
        read.append(files)
        return files[0].stem

    names = ["a/000.wrl", "a/000.jpg", "a/001.wrl", "a/002.wrl", "a/002.jpg", "a/002.bnd"]
    clip = Clip(group_frames(Path("root"), names, lambda name: name.endswith(".wrl")), load)
    assert len(clip) == 3
    assert read == []
    assert clip[2] == "002"
    assert read == [(Path("root/a/002.wrl"), Path("root/a/002.jpg"), Path("root/a/002.bnd"))]
    assert list(clip) == ["000", "001", "002"]
    assert next(iter(clip)) == "000"
    assert len(read) == 5, "an iteration that stops reads no further"


def test_a_photo_reads_its_pixels_late(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    photo = Photo(path, aligned=True)
    with pytest.raises(BrokenScan, match=r"a\.png"):
        photo.pixels()
    Image.fromarray(np.full((4, 6, 3), 7, dtype=np.uint8)).save(path)
    assert photo.pixels().shape == (4, 6, 3)
