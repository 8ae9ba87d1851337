"""Image files, whole and damaged."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image

from fer_bench.errors import BrokenScan
from fer_bench.io.images import read_image, write_image


def bmp(width: int, height: int, pixels: bytes) -> bytes:
    """A 24-bit bitmap as BU-3DFE has them: rows from the bottom, blue first, padded to four bytes."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(pixels), 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(pixels), 0, 0, 54) + header + pixels


def encoded(suffix: str) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (24, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, format=suffix)
    return buffer.getvalue()


def test_bitmap_rows_and_colours(tmp_path: Path) -> None:
    path = tmp_path / "a.bmp"
    bottom, top = b"\x01\x02\x03\x04\x05\x06\0\0", b"\x07\x08\x09\x0a\x0b\x0c\0\0"
    path.write_bytes(bmp(2, 2, bottom + top))
    assert read_image(path).tolist() == [[[9, 8, 7], [12, 11, 10]], [[3, 2, 1], [6, 5, 4]]]


@pytest.mark.parametrize("suffix", [".bmp", ".png"])
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    write_image(tmp_path / f"a{suffix}", image)
    np.testing.assert_array_equal(read_image(tmp_path / f"a{suffix}"), image)
    assert [p.name for p in tmp_path.iterdir()] == [f"a{suffix}"]


def test_grey_is_repeated_and_alpha_dropped(tmp_path: Path) -> None:
    Image.new("L", (3, 2), 77).save(tmp_path / "g.png")
    Image.new("RGBA", (3, 2), (1, 2, 3, 4)).save(tmp_path / "a.png")
    assert np.unique(read_image(tmp_path / "g.png")).tolist() == [77]
    assert read_image(tmp_path / "a.png")[0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("suffix", ["gif", "tiff", "mpo"])
def test_further_formats(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(suffix))
    assert read_image(tmp_path / "a.jpg").shape == (24, 30, 3)


def test_grey_of_16_bits_is_scaled(tmp_path: Path) -> None:
    grey = np.array([[0, 128, 129, 257], [25700, 32896, 65407, 65535]], dtype=np.uint16)
    expected = [[0, 0, 1, 1], [100, 128, 255, 255]]
    for name in ("a.png", "a.tiff"):
        Image.fromarray(grey).save(tmp_path / name)
        image = read_image(tmp_path / name)
        assert image.dtype == np.uint8 and image.shape == (2, 4, 3)
        assert all(image[:, :, channel].tolist() == expected for channel in range(3))


def test_no_program_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: Image.new("RGB", (2, 2)).im)
    (tmp_path / "a.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 2 2\n%%EndComments\n(%pipe%touch x) (w) file\n%%EOF\n"
    )
    with pytest.raises(BrokenScan, match="not a complete image of any known format"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", ["bmp", "png", "jpeg"])
def test_cut_off(tmp_path: Path, suffix: str) -> None:
    path, data = tmp_path / f"a.{suffix}", encoded(suffix)
    for end in (0, 1, 10, len(data) // 2, len(data) - 200):
        path.write_bytes(data[:end])
        with pytest.raises(BrokenScan, match="not a complete image"):
            read_image(path)


def test_absurd_size_is_refused_before_it_is_believed(tmp_path: Path) -> None:
    (tmp_path / "a.bmp").write_bytes(bmp(10_000, 8_000, b"\0" * 64))
    with pytest.raises(BrokenScan, match="claims 10000 x 8000 pixels"):
        read_image(tmp_path / "a.bmp")
    (tmp_path / "b.bmp").write_bytes(bmp(60_000, 60_000, b"\0" * 64))
    with pytest.raises(BrokenScan):
        read_image(tmp_path / "b.bmp")


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(BrokenScan, match="No such file"):
        read_image(tmp_path / "none.bmp")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@given(st.sampled_from(["bmp", "png", "jpeg"]), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=5))
@settings(max_examples=150)
def test_damaged_bytes_give_an_image_or_an_error(folder: Path, suffix: str, damage: list[tuple[float, int]]) -> None:
    data = bytearray(encoded(suffix))
    for where, value in damage:
        data[int(where * (len(data) - 1))] = value
    (folder / "a").write_bytes(bytes(data))
    try:
        image = read_image(folder / "a")
    except BrokenScan as error:
        assert "\n" not in str(error)
    else:
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
