"""Reading the bytes of a dataset's file, of any kind."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from fer_bench.errors import BrokenScan

REMEDY = "Copy the file again from the dataset's distribution."

MAX_BYTES = 1 << 30
"""No mesh, photograph or list of one sample comes near it: BU-4DFE's largest files have some ten megabytes."""


def open_regular(path: Path | str) -> BinaryIO:
    """Open a regular file to read its bytes; raises OSError for others: reading a pipe would block."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a regular file")
    return os.fdopen(handle, "rb")


def read_bytes(path: Path | str) -> bytes:
    """All bytes of a file.

    Raises:
        BrokenScan: the file is missing, may not be read, is not a regular file, or has more than `MAX_BYTES`.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise BrokenScan(path, f"has {size:,} bytes, more than any file of its kind", REMEDY)
            return file.read()
    except OSError as error:
        raise BrokenScan(path, f"cannot be read ({error.strerror or error})", REMEDY) from None
