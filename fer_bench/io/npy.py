"""Labels that are kept one `.npy` file each, as AffectNet's 2021 release does for a million of them.

The format is read here rather than by `numpy.load`, which is ten times slower on a file of one number, and which can be
made to allocate what a header claims. What a header may say is in `numpy.lib.format`. Pickles are never loaded.
"""

import errno
import math
import os
import re
import struct
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import BrokenScan
from fer_bench.io.file_bytes import REMEDY

_MAGIC = b"\x93NUMPY"
# A pipe would be waited for; Windows would translate line ends.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_LONGEST_HEADER = 1024  # numpy writes 118 bytes for any array of a plain type
_LONGEST_TEXT = 64  # characters
_SCALAR_FILE = 2048  # more than a header and a text of these lengths
_ENTRY = re.compile(r"\s*'(descr|fortran_order|shape)'\s*:\s*('[^']*'|\[.*\]|True|False|\([\dL, ]*\))\s*,?", re.DOTALL)
_TYPE = re.compile(r"'([<>|])([a-zA-Z])(\d{0,9})'")
_NUMBERS = {  # as numpy and as struct name them
    "b1": "B",
    "i1": "b",
    "i2": "h",
    "i4": "i",
    "i8": "q",
    "u1": "B",
    "u2": "H",
    "u4": "I",
    "u8": "Q",
    "f2": "e",
    "f4": "f",
    "f8": "d",
}

Decode = Callable[[bytes], "int | float | str"]


class _Malformed(Exception):
    """A problem of a file whose name is not known yet."""


class _Layout(NamedTuple):
    """A parsed header: `decode` reads one element of `size` bytes, and `dtype` is None for texts."""

    shape: tuple[int, ...]
    fortran: bool
    size: int
    decode: Decode
    dtype: str | None


def read_scalar(path: Path | str) -> str | int | float:
    """Read an array of one element: a number as int or float (which may be NaN), a text as str.

    Its shape is (), (1,) or (1, 1).

    Raises:
        BrokenScan: the file is missing, not such an array, not of the length its header says, or a pickle.
    """
    data = _read(path, _SCALAR_FILE)
    try:
        end = _header_end(data)
        shape, _, size, decode, _ = _layout(data[6:end])
        if shape not in ((), (1,), (1, 1)):
            raise _Malformed(f"holds an array of shape {shape} instead of one value")
        if len(data) != end + size:
            raise _Malformed(f"has {_so_many(data, end, _SCALAR_FILE)} bytes of data where its header says {size}")
        return decode(data[end:])
    except _Malformed as problem:
        raise BrokenScan(path, str(problem), REMEDY) from None


def read_vector(path: Path | str, length: int, width: int = 2) -> NDArray[np.float64]:
    """Read `length` finite numbers, as a flat array or as rows of `width` (68 landmarks: 136 numbers, or 68 x 2).

    Returns:
        (length,) float64, row after row. Texts are read as the numbers they spell.

    Raises:
        BrokenScan: the file is missing, not such an array, not of the length its header says, or a pickle.
    """
    limit = _SCALAR_FILE + 4 * _LONGEST_TEXT * length
    data = _read(path, limit)
    try:
        end = _header_end(data)
        shape, fortran, size, decode, dtype = _layout(data[6:end])
        if shape not in ((length,), (length // width, width)) or math.prod(shape) != length:
            wanted = f"{(length,)} or {(length // width, width)}"
            raise _Malformed(f"holds an array of shape {shape} instead of {wanted}")
        if len(data) != end + size * length:
            there = _so_many(data, end, limit)
            raise _Malformed(f"has {there} bytes of data where its header says {size * length}")
        if dtype is not None:
            values = np.frombuffer(data, dtype=dtype, offset=end).astype(np.float64)
        else:
            values = np.array([_number(decode(data[i : i + size])) for i in range(end, len(data), size)])
        if not np.isfinite(values).all():
            raise _Malformed(f"number {int((~np.isfinite(values)).argmax())} is not finite")
        return values.reshape(shape, order="F").ravel() if fortran else values
    except _Malformed as problem:
        raise BrokenScan(path, str(problem), REMEDY) from None


def _read(path: Path | str, limit: int) -> bytes:
    """The first `limit` bytes: one byte more than any valid file has, so that a longer one shows as too long."""
    try:
        handle = os.open(path, _FLAGS)
        try:
            os.lseek(handle, 0, os.SEEK_CUR)  # fails for a pipe, in a fifth of the time that fstat takes
            return os.read(handle, limit)
        finally:
            os.close(handle)
    except OSError as error:
        problem = "it is not a regular file" if error.errno == errno.ESPIPE else error.strerror or error
        raise BrokenScan(path, f"cannot be read ({problem})", REMEDY) from None


def _header_end(data: bytes) -> int:
    """Where the data begins."""
    if data[:6] != _MAGIC or len(data) < 12:
        raise _Malformed("is empty" if not data else "is not an .npy file, or is cut off inside the header")
    if data[6] == 1:
        end = 10 + data[8] + 256 * data[9]
    elif data[6] in (2, 3):
        end = 12 + int.from_bytes(data[8:12], "little")
    else:
        raise _Malformed(f"is of version {data[6]} of the .npy format, of which versions 1 to 3 are known")
    if end > _LONGEST_HEADER:
        raise _Malformed(f"claims a header of {end} bytes, more than the {_LONGEST_HEADER} allowed")
    if end > len(data):
        raise _Malformed("is cut off inside the header")
    return end


@lru_cache(maxsize=256)
def _layout(head: bytes) -> _Layout:
    """The header of a file, from its version on; the files of one dataset share a handful."""
    text = head[4 if head[0] == 1 else 6 :].decode("latin-1").strip()
    entries = dict(_ENTRY.findall(text[1:-1]))
    if text[:1] + text[-1:] != "{}" or len(entries) < 3 or _ENTRY.sub("", text[1:-1]).strip():
        raise _Malformed("has a header that is not one of the .npy format")
    shape = tuple(int(number) for number in re.findall(r"\d+", entries["shape"]))
    size, decode, dtype = _element(entries["descr"])
    return _Layout(shape, entries["fortran_order"] == "True", size, decode, dtype)


def _element(descr: str) -> tuple[int, Decode, str | None]:
    match = _TYPE.fullmatch(descr)
    order, kind, digits = match.groups() if match else ("", "", "")
    if kind == "O":
        raise _Malformed("holds a pickled Python object, which is never loaded, because doing so can run any program")
    if kind + digits in _NUMBERS:
        endian = ">" if order == ">" else "<"
        unpack = struct.Struct(endian + _NUMBERS[kind + digits]).unpack
        return int(digits), lambda data: unpack(data)[0], endian + kind + digits
    if kind not in ("U", "S") or not digits.strip("0"):
        raise _Malformed(f"""holds {descr.strip("'")[:40]!r} instead of numbers or a text""")
    if int(digits) > _LONGEST_TEXT:
        raise _Malformed(f"holds a text of {digits} characters, more than the {_LONGEST_TEXT} allowed")
    encoding = "ascii" if kind == "S" else "utf-32-be" if order == ">" else "utf-32-le"
    return int(digits) * (4 if kind == "U" else 1), lambda data: _text(data, encoding), None


def _text(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding).rstrip("\0")
    except UnicodeDecodeError:
        raise _Malformed("holds a text of impossible characters") from None


def _number(text: str | int | float) -> float:
    try:
        return float(text)
    except ValueError:
        raise _Malformed(f"{text!r} is not a number") from None


def _so_many(data: bytes, end: int, limit: int) -> str:
    return f"{len(data) - end}{' or more' if len(data) == limit else ''}"
