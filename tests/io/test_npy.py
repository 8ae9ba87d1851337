"""Labels in `.npy` files: what numpy writes, what the format allows, and what must be refused."""

import io
import os
import pickle
import signal
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.errors import BrokenScan
from fer_bench.io.npy import read_scalar, read_vector


def npy(descr: str, shape: str, data: bytes, version: int = 1, fortran: bool = False) -> bytes:
    """A file by the format's description, without numpy."""
    header = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    width = 2 if version == 1 else 4
    header += b" " * (-(6 + 2 + width + len(header) + 1) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(width, "little") + header + data


def saved(array: object) -> bytes:
    file = io.BytesIO()
    np.save(file, array)  # type: ignore[arg-type]
    return file.getvalue()


def scalar(tmp_path: Path, data: bytes) -> str | int | float:
    path = tmp_path / "a.npy"
    path.write_bytes(data)
    return read_scalar(str(path))


def vector(tmp_path: Path, data: bytes, length: int, **options: int) -> np.ndarray:
    path = tmp_path / "a.npy"
    path.write_bytes(data)
    return read_vector(path, length, **options)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("shape", ["()", "(1,)", "(1L,)", "(1, 1)"])
@pytest.mark.parametrize(
    ("descr", "data", "value"),
    [
        ("'<i8'", struct.pack("<q", -3), -3),
        ("'>i4'", struct.pack(">i", -3), -3),
        ("'<u2'", b"\x01\x02", 513),
        ("'|u1'", b"\xff", 255),
        ("'|i1'", b"\xff", -1),
        ("'|b1'", b"\x01", 1),
        ("'<f8'", struct.pack("<d", -0.176846), -0.176846),
        ("'>f4'", struct.pack(">f", 0.25), 0.25),
        ("'<f2'", b"\x00\x38", 0.5),
        ("'<U1'", b"3\0\0\0", "3"),
        ("'<U4'", b"7\0\0\0" + bytes(12), "7"),
        ("'>U2'", b"\0\0\x001\0\0\x000", "10"),
        ("'|S9'", b"-0.176846", "-0.176846"),
        ("'|S3'", b"5\0\0", "5"),
    ],
)
def test_scalar(tmp_path: Path, version: int, shape: str, descr: str, data: bytes, value: str | float) -> None:
    read = scalar(tmp_path, npy(descr, shape, data, version))
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize("value", [3, -0.0776398, "3", "-0.0776398", b"12", True, np.float32(0.1), np.uint8(8), "é€😀"])
@pytest.mark.parametrize("wrap", [np.array, lambda value: np.array([value])])
def test_scalar_is_what_numpy_wrote(tmp_path: Path, value: object, wrap) -> None:  # type: ignore[no-untyped-def]
    array = wrap(value)
    expected = array.item().decode() if isinstance(value, bytes) else array.item()
    assert scalar(tmp_path, saved(array)) == expected
    assert scalar(tmp_path, saved(array.astype(array.dtype.newbyteorder(">")))) == expected


def test_scalar_may_be_nan(tmp_path: Path) -> None:
    assert np.isnan(scalar(tmp_path, saved(np.array(np.nan))))


def test_keys_in_any_order(tmp_path: Path) -> None:
    header = b"{'shape':(),'fortran_order':True , 'descr':'<i2'}"
    assert scalar(tmp_path, b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + b"\5\0") == 5


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is empty"),
        (b"3\n", "not an .npy file"),
        (b"\x93NUMPY\1\0\x76", "cut off inside the header"),
        (npy("'<i8'", "()", b"")[:60], "cut off inside the header"),
        (npy("'<i8'", "()", bytes(8)).replace(b"\1\0", b"\4\0", 1), "version 4 of the .npy format"),
        (b"\x93NUMPY\2\0\xff\xff\xff\xff" + bytes(200), "claims a header of 4294967307 bytes"),
        (b"\x93NUMPY\1\0\xff\xff" + bytes(200), "claims a header of 65545 bytes"),
        (npy("'<i8'", "()", bytes(7)), "has 7 bytes of data where its header says 8"),
        (npy("'<i8'", "()", bytes(9)), "has 9 bytes"),
        (npy("'<i8'", "()", bytes(10**5)), "has 1920 or more bytes"),
        (npy("'<i8'", "(2,)", bytes(16)), r"an array of shape \(2,\) instead of one value"),
        (npy("'<i8'", "(9999999999999,)", bytes(16)), "instead of one value"),
        (npy("'<i8'", "(1, 2)", bytes(16)), "instead of one value"),
        (npy("'<c16'", "()", bytes(16)), "'<c16' instead of numbers or a text"),
        (npy("'<f16'", "()", bytes(16)), "'<f16'"),
        (npy("'|V8'", "()", bytes(8)), "'|V8'"),
        (npy("'<M8[s]'", "()", bytes(8)), "instead of numbers"),
        (npy("[('a', '<i8')]", "()", bytes(8)), r"\[\('a', '<i8'\)\]"),
        (npy("'\n\n'", "()", bytes(8)), r"'\\n\\n' instead of numbers"),
        (npy("'<U0'", "()", b""), "'<U0' instead"),
        (npy("'<U65'", "()", bytes(260)), "a text of 65 characters"),
        (npy("'|S999999999'", "()", b"3"), "a text of 999999999 characters"),
        (npy("'<U1'", "()", b"\xff\xff\xff\xff"), "impossible characters"),
        (npy("'|S1'", "()", b"\xff"), "impossible characters"),
        (npy("__import__('os')", "()", bytes(8)), "header that is not one of the .npy format"),
        (npy("'<i8', 'more': 1", "()", bytes(8)), "header that is not one"),
        (npy("'<i8'", "(-1,)", bytes(8)), "header that is not one"),
        (npy("'<i8'", "()", bytes(8)).replace(b"'shape'", b"'sheep'"), "header that is not one"),
        (npy("(" * 500, "()", bytes(8)), "header that is not one"),
    ],
)
def test_broken_scalar(tmp_path: Path, data: bytes, problem: str) -> None:
    with pytest.raises(BrokenScan, match=problem):
        scalar(tmp_path, data)


class _Trap:
    def __reduce__(self) -> tuple:
        return pytest.fail, ("a pickle was loaded",)


def test_no_pickle_is_loaded(tmp_path: Path) -> None:
    trap = npy("'|O'", "()", pickle.dumps(_Trap()))
    for read in (lambda: scalar(tmp_path, trap), lambda: vector(tmp_path, trap, 1)):
        with pytest.raises(BrokenScan, match="pickled Python object, which is never loaded"):
            read()
    with pytest.raises(BrokenScan):
        scalar(tmp_path, pickle.dumps(_Trap()))  # without the format's header, which numpy.load takes too


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(BrokenScan, match="No such file"):
        read_scalar(tmp_path / "none.npy")
    with pytest.raises(BrokenScan, match="cannot be read"):
        read_scalar(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("read", [read_scalar, lambda path: read_vector(path, 6)])
def test_a_pipe_is_not_waited_for(tmp_path: Path, read: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "0_exp.npy")
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it is waited for"))
    signal.alarm(3)
    try:
        with pytest.raises(BrokenScan, match="not a regular file"):
            read(tmp_path / "0_exp.npy")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


NUMBERS = np.arange(6) / 4 - 0.5


@pytest.mark.parametrize(
    "array",
    [
        NUMBERS,
        NUMBERS.astype(np.float32),
        NUMBERS.astype(">f8"),
        NUMBERS.astype(np.float16),
        NUMBERS.reshape(3, 2),
        np.asfortranarray(NUMBERS.reshape(3, 2)),
        NUMBERS.astype(str),
        NUMBERS.astype(str).reshape(3, 2),
        NUMBERS.astype("S9"),
        NUMBERS.astype(str).astype(">U9"),
        np.asfortranarray(NUMBERS.astype(str).reshape(3, 2)),
    ],
)
def test_vector(tmp_path: Path, array: np.ndarray) -> None:
    read = vector(tmp_path, saved(array), 6)
    assert read.dtype == np.float64 and read.shape == (6,)
    np.testing.assert_array_equal(read, NUMBERS)


def test_integers_and_rows_of_another_width(tmp_path: Path) -> None:
    assert vector(tmp_path, saved(np.array([[3, -4, 5]])), 3, width=3).tolist() == [3, -4, 5]
    assert vector(tmp_path, saved(np.array([True, False])), 2).tolist() == [1, 0]
    assert vector(tmp_path, saved(np.array([2**63], dtype=np.uint64)), 1).tolist() == [2.0**63]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (saved(NUMBERS[:5]), r"shape \(5,\) instead of \(6,\) or \(3, 2\)"),
        (saved(NUMBERS.reshape(2, 3)), r"shape \(2, 3\) instead of"),
        (saved(NUMBERS.reshape(1, 6)), r"shape \(1, 6\) instead of"),
        (saved(np.array(1.0)), r"shape \(\) instead of"),
        (saved(NUMBERS)[:-1], "47 bytes of data where its header says 48"),
        (saved(NUMBERS) + b"\0", "49 bytes"),
        (saved(np.array([0, 1, np.nan, 0, 0, 0])), "number 2 is not finite"),
        (saved(np.array(["1", "x", "1", "1", "1", "1"])), "'x' is not a number"),
        (saved(np.array(["1", "1", "1", "1", "1", "inf"])), "number 5 is not finite"),
        (npy("'<f8'", "(99999999999999999,)", bytes(48)), "instead of"),
        (saved(NUMBERS.astype(complex)), "'<c16' instead of numbers"),
    ],
)
def test_broken_vector(tmp_path: Path, data: bytes, problem: str) -> None:
    with pytest.raises(BrokenScan, match=problem):
        vector(tmp_path, data, 6)


VALID = [
    saved(np.array("3")),
    saved(np.array([-0.5])),
    saved(NUMBERS.reshape(3, 2)),
    saved(NUMBERS.astype(str)),
    npy("'<i4'", "()", bytes(4), 3),
]


@settings(max_examples=400)
@given(st.sampled_from(VALID), st.data())
def test_no_bytes_do_harm(tmp_path_factory: pytest.TempPathFactory, valid: bytes, data: st.DataObject) -> None:
    mutated = bytearray(valid[: data.draw(st.integers(0, len(valid)))] if data.draw(st.booleans()) else valid)
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(valid) - 1), st.integers(0, 255)), max_size=4)):
        if place < len(mutated):
            mutated[place] = value
    content = data.draw(st.one_of(st.just(bytes(mutated)), st.binary(max_size=200).map(lambda b: b"\x93NUMPY\1\0" + b)))
    tmp_path = tmp_path_factory.getbasetemp()
    for read in (lambda: scalar(tmp_path, content), lambda: vector(tmp_path, content, 6)):
        try:
            read()
        except BrokenScan as error:
            assert "\n" not in str(error)


@given(st.text("{}[]()'\\,: descrfotan_pOUSi8<>|0123456789TueFalL\n", max_size=200), st.integers(1, 3))
def test_no_header_does_harm(tmp_path_factory: pytest.TempPathFactory, header: str, version: int) -> None:
    data = header.encode()
    content = b"\x93NUMPY" + bytes([version, 0]) + len(data).to_bytes(2 if version == 1 else 4, "little") + data
    with pytest.raises(BrokenScan):
        scalar(tmp_path_factory.getbasetemp(), content)
