"""Bosphorus range grids (`.bnt`).

Little-endian: uint16 rows, uint16 columns, float64 background value, uint16 length of the image's name, that name,
uint32 number of values, then that many float64: all x, all y, all z, all u, all v, each row after row.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import BrokenScan
from fer_bench.io.file_bytes import REMEDY, open_regular
from fer_bench.records import atomic_write

BACKGROUND = -1e9
_HEAD = struct.Struct("<HHdH")
_COUNT = struct.Struct("<I")
_FIELDS = 5
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class BntGrid:
    """A range grid as its file holds it; point `row * columns + column`.

    Row 0 is the bottom of the face: y grows with the row and x with the column.

    Attributes:
        rows, columns: Size of the grid.
        image_name: The photograph that was taken with it, as written.
        points: (rows * columns, 5) float64: x, y, z in millimetres, +z to the camera, then u and v, which are the
            1-based pixel counted from the photograph's top left, divided by its width and height: v falls with the row.
        valid: (rows * columns,) bool, the points that were measured. The others have a background value for x, y and z,
            but a u and v like any other, so that only z differs.
    """

    rows: int
    columns: int
    image_name: str
    points: NDArray[np.float64]
    valid: NDArray[np.bool_]


def read_bnt(path: Path | str) -> BntGrid:
    """Read a range grid.

    Raises:
        BrokenScan: the file is missing, not exactly as long as its header says, without a measured point, or with one
            that is not finite.
    """
    try:
        with open_regular(path) as file:
            size = file.seek(0, 2)
            file.seek(0)
            rows, columns, background, name = _head(path, file.read(_HEAD.size + 2**16 + _COUNT.size), size)
            file.seek(_HEAD.size + len(name) + _COUNT.size)
            values = np.fromfile(file, dtype="<f8", count=rows * columns * _FIELDS)
    except OSError as error:
        raise BrokenScan(path, f"cannot be read ({error.strerror or error})", REMEDY) from None
    if len(values) != rows * columns * _FIELDS:
        raise BrokenScan(path, "became shorter while it was read", REMEDY)
    fields = values.reshape(_FIELDS, rows * columns)
    valid = fields[2] != background
    if not valid.any():
        raise BrokenScan(path, "every point of the grid is background", REMEDY)
    wrong = ~(np.abs(fields) <= _LARGEST).all(axis=0) & valid  # what is not a number fails every comparison
    if wrong.any():
        row, column = divmod(int(wrong.argmax()), columns)
        raise BrokenScan(path, f"the point in row {row}, column {column} is not finite", REMEDY)
    return BntGrid(rows, columns, name.decode("utf-8", errors="replace"), fields.T, valid)


def _head(path: Path | str, data: bytes, size: int) -> tuple[int, int, float, bytes]:
    """Rows, columns, background and image name, once they are known to account for every byte of the file."""
    if len(data) < _HEAD.size:
        raise BrokenScan(path, f"is cut off inside the header, after {len(data)} bytes", REMEDY)
    rows, columns, background, length = _HEAD.unpack_from(data)
    if rows == 0 or columns == 0:
        raise BrokenScan(path, f"claims a grid of {rows} x {columns} points", REMEDY)
    needed = _HEAD.size + length + _COUNT.size + 8 * _FIELDS * rows * columns
    if size != needed:
        claim = f"a grid of {rows} x {columns} points and an image name of {length} bytes"
        raise BrokenScan(path, f"claims {claim}, which take {needed} bytes, but has {size}", REMEDY)
    (count,) = _COUNT.unpack_from(data, _HEAD.size + length)
    if count != rows * columns * _FIELDS:
        wanted = f"{rows} x {columns} points of {_FIELDS} numbers"
        raise BrokenScan(path, f"claims {count} numbers, which is not {wanted}", REMEDY)
    if not np.isfinite(background):
        raise BrokenScan(path, "has a background value that is not finite", REMEDY)
    return rows, columns, background, data[_HEAD.size : _HEAD.size + length]


def grid_scan(grid: BntGrid) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
    """The measured points of a grid as a mesh: a cell of four makes two triangles, a cell of three makes one.

    Returns:
        vertices: (V, 3) float32, millimetres, in the grid's order.
        triangles: (F, 3) int32, counter-clockwise seen from the camera.
        uv: (V, 2) float32 for the vertices, origin at the photograph's bottom left.
    """
    x, y, z, u, v = (field[grid.valid].astype(np.float32) for field in grid.points.T)

    valid = grid.valid.reshape(grid.rows, grid.columns)
    number = (np.cumsum(grid.valid, dtype=np.int32) - 1).reshape(valid.shape)
    # The corners of every cell counter-clockwise from its bottom left.
    parts = (np.s_[:-1, :-1], np.s_[:-1, 1:], np.s_[1:, 1:], np.s_[1:, :-1])
    has, corner = [valid[part] for part in parts], [number[part] for part in parts]
    ab, cd = has[0] & has[1], has[2] & has[3]
    cells = {
        (0, 1, 2): ab & has[2],
        (0, 2, 3): cd & has[0],
        (0, 1, 3): ab & has[3] & ~has[2],
        (1, 2, 3): cd & has[1] & ~has[0],
    }
    triangles = [np.stack([corner[i][chosen] for i in order], axis=1) for order, chosen in cells.items()]
    return np.stack([x, y, z], axis=1), np.concatenate(triangles), np.stack([u, 1 - v], axis=1)


def write_bnt(path: Path | str, points: NDArray[np.floating], valid: NDArray[np.bool_], image_name: str) -> None:
    """Write a grid, atomically.

    Args:
        path: The file; its folder is made if need be.
        points: (rows, columns, 5) with row 0 at the bottom, the fields as in `BntGrid.points`.
        valid: (rows, columns) bool; x, y and z of the others become the background value.
        image_name: File name of the photograph.
    """
    rows, columns, _ = points.shape
    fields = points.reshape(-1, _FIELDS).T.astype("<f8", order="C")
    fields[:3, ~valid.ravel()] = BACKGROUND
    name = image_name.encode()
    with atomic_write(Path(path)) as file:
        file.write(_HEAD.pack(rows, columns, BACKGROUND, len(name)) + name + _COUNT.pack(fields.size))
        file.write(fields.tobytes())
