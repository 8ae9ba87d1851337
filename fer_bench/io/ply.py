"""PLY meshes (Turk, 1994), as CoMA stores them: ascii, or binary in either byte order.

Of all that a file may hold, the positions of `vertex` and the polygons of `face` are read; other properties and
elements are passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import BrokenScan
from fer_bench.io.file_bytes import REMEDY, read_bytes
from fer_bench.io.numbers import parse_floats
from fer_bench.io.ply_header import Element, Malformed, read_header
from fer_bench.io.polygons import fan
from fer_bench.records import atomic_write

Format = Literal["ascii", "binary_little_endian", "binary_big_endian"]

_ORDER: dict[str, str] = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass(frozen=True)
class PlyMesh:
    """A mesh in the file's own vertex order.

    Attributes:
        vertices: (V, 3) float32, in the file's unit.
        triangles: (F, 3) int32, polygons fanned from their first corner; (0, 3) where the file has no faces.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]


def read_ply(path: Path | str) -> PlyMesh:
    """Read a mesh.

    Raises:
        BrokenScan: the file is missing, cut off, or not a mesh whose every number and index is valid.
    """
    data = read_bytes(path)
    try:
        layout, elements, body = read_header(data)
        reader = _Ascii(data, body) if layout == "ascii" else _Binary(data, body, _ORDER[layout])
        return _mesh(elements, reader)
    except Malformed as problem:
        raise BrokenScan(path, str(problem), REMEDY) from None


class _Binary:
    """Values of a binary file, taken from a position onwards."""

    def __init__(self, data: bytes, position: int, order: str) -> None:
        self.data, self.position, self.order = data, position, order

    def take(self, element: Element) -> tuple[dict[str, _Values], dict[str, _Lists]]:
        """The numbers (N,) and the lists of an element, by property."""
        if all(p.length_dtype is None for p in element.properties):
            rows = self._rows(element, {})
            return {p.name: rows[p.name] for p in element.properties}, {}
        # Nearly always all lists are of one length, and then the whole element is one table.
        lengths = self._lengths_of_first_row(element) if element.count else {}
        if element.count and lengths is not None:
            rows = self._rows(element, lengths)
            if all((rows[f"length of {name}"] == length).all() for name, length in lengths.items()):
                numbers = {n: rows[n] for n in rows.dtype.names or () if rows[n].ndim == 1}
                counts = {n: np.full(element.count, length, dtype=np.int64) for n, length in lengths.items()}
                return numbers, {n: (counts[n], rows[n].ravel()) for n in lengths}
            self.position -= rows.nbytes
        return self._row_by_row(element)

    def _rows(self, element: Element, lengths: dict[str, int]) -> NDArray[np.void]:
        fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = []
        for p in element.properties:
            if p.length_dtype:
                fields.append((f"length of {p.name}", self.order + p.length_dtype))
                fields.append((p.name, self.order + p.dtype, (lengths[p.name],)))
            else:
                fields.append((p.name, self.order + p.dtype))
        try:
            dtype = np.dtype(fields)
        except ValueError:
            raise Malformed(f"the element {element.name} has two properties of one name") from None
        if dtype.itemsize * element.count > len(self.data) - self.position:
            raise self._cut_off(element)
        rows = np.frombuffer(self.data, dtype=dtype, count=element.count, offset=self.position)
        self.position += rows.nbytes
        return rows

    def _lengths_of_first_row(self, element: Element) -> dict[str, int] | None:
        """Length of each list in the first row; None where no table of such rows could lie in the file."""
        lengths, place, size = {}, self.position, 0
        for p in element.properties:
            count = 1
            if p.length_dtype:
                count = self._length(element, p.length_dtype, place)
                lengths[p.name] = count
                place += np.dtype(p.length_dtype).itemsize
            place += count * np.dtype(p.dtype).itemsize
        size = place - self.position
        return lengths if size * element.count <= len(self.data) - self.position else None

    def _row_by_row(self, element: Element) -> tuple[dict[str, _Values], dict[str, _Lists]]:
        numbers: dict[str, list[_Values]] = {p.name: [] for p in element.properties}
        counts: dict[str, list[int]] = {p.name: [] for p in element.properties if p.length_dtype}
        for _ in range(element.count):
            before = self.position
            for p in element.properties:
                count = 1
                if p.length_dtype:
                    count = self._length(element, p.length_dtype, self.position)
                    counts[p.name].append(count)
                    self.position += np.dtype(p.length_dtype).itemsize
                dtype = np.dtype(self.order + p.dtype)
                if self.position + count * dtype.itemsize > len(self.data):
                    raise self._cut_off(element)
                values = np.frombuffer(self.data, dtype=dtype, count=count, offset=self.position)
                numbers[p.name].append(values.astype(np.float64))
                self.position += values.nbytes
            if self.position == before:  # rows of nothing need no file, however many are claimed
                break
        joined = {name: np.concatenate([np.empty(0), *parts]) for name, parts in numbers.items()}
        lists = {name: (np.array(c, dtype=np.int64), joined.pop(name)) for name, c in counts.items()}
        return joined, lists

    def _length(self, element: Element, dtype: str, position: int) -> int:
        typed = np.dtype(self.order + dtype)
        if position + typed.itemsize > len(self.data):
            raise self._cut_off(element)
        return _as_length(element, float(np.frombuffer(self.data, dtype=typed, count=1, offset=position)[0]))

    def _cut_off(self, element: Element) -> Malformed:
        left = len(self.data) - self.position
        return Malformed(f"claims {element.count} rows of {element.name}, for which its {left} bytes are too few")


class _Ascii:
    """Values of a text, all of them read at once."""

    def __init__(self, data: bytes, position: int) -> None:
        self.values, bad = parse_floats(data, position)
        if bad >= 0:
            token = data[bad : bad + 20].split()[0].decode("latin-1")
            raise Malformed(f"{token!r} on line {data[:bad].count(10) + 1} is not a number")
        self.position = 0

    def take(self, element: Element) -> tuple[dict[str, _Values], dict[str, _Lists]]:
        """The numbers (N,) and the lists of an element, by property."""
        if all(p.length_dtype is None for p in element.properties):
            width = len(element.properties)
            rows = self._next(element, width * element.count).reshape(element.count if width else 0, width)
            return {p.name: rows[:, i] for i, p in enumerate(element.properties)}, {}
        if len(element.properties) == 1 and (table := self._table(element)) is not None:
            lengths = np.full(element.count, table.shape[1], dtype=np.int64)
            return {}, {element.properties[0].name: (lengths, table.ravel())}
        numbers: dict[str, list[float]] = {p.name: [] for p in element.properties if not p.length_dtype}
        parts: dict[str, list[NDArray[np.float64]]] = {p.name: [] for p in element.properties if p.length_dtype}
        for _ in range(element.count):
            for p in element.properties:
                first = float(self._next(element, 1)[0])
                if p.length_dtype:
                    parts[p.name].append(self._next(element, _as_length(element, first)))
                else:
                    numbers[p.name].append(first)
        lists = {
            name: (np.array(list(map(len, each)), dtype=np.int64), np.concatenate([np.empty(0), *each]))
            for name, each in parts.items()
        }
        return {name: np.array(values) for name, values in numbers.items()}, lists

    def _table(self, element: Element) -> NDArray[np.float64] | None:
        """(N, L) the lists of an element that is nothing but one list, if all have one length; else None."""
        if not element.count or self.position == len(self.values):
            return None
        width = 1 + _as_length(element, float(self.values[self.position]))
        end = self.position + width * element.count
        if end > len(self.values):
            return None
        table = self.values[self.position : end].reshape(element.count, width)
        if (table[:, 0] != width - 1).any():
            return None
        self.position = end
        return table[:, 1:]

    def _next(self, element: Element, count: int) -> NDArray[np.float64]:
        if count > len(self.values) - self.position:
            raise Malformed(f"claims {element.count} rows of {element.name}, for which it has too few numbers")
        self.position += count
        return self.values[self.position - count : self.position]


_Values = NDArray[np.integer] | NDArray[np.floating]
_Lists = tuple[NDArray[np.int64], _Values]
"""Lengths (N,) of lists, and their values one after the other."""


def _as_length(element: Element, value: float) -> int:
    if not (0 <= value < 2**32 and value == int(value)):
        raise Malformed(f"a list of {element.name} has the length {value:g}")
    return int(value)


def _mesh(elements: list[Element], reader: _Ascii | _Binary) -> PlyMesh:
    vertices: NDArray[np.float32] | None = None
    faces: _Lists = np.empty(0, dtype=np.int64), np.empty(0)
    for element in elements:
        numbers, lists = reader.take(element)
        if element.name == "vertex":
            if not {"x", "y", "z"} <= numbers.keys():
                raise Malformed("the vertices have no x, y and z")
            with np.errstate(over="ignore"):  # what overflows is reported below
                vertices = np.stack([numbers[axis] for axis in "xyz"], axis=1).astype(np.float32)
        elif element.name == "face":
            name = next((name for name in ("vertex_indices", "vertex_index") if name in lists), None)
            if name is None:
                raise Malformed("the faces have no list vertex_indices")
            faces = lists[name]
    if vertices is None or not len(vertices):
        raise Malformed("there is no vertex in it")
    bad = ~np.isfinite(vertices).all(axis=1)
    if bad.any():
        raise Malformed(f"vertex {int(bad.argmax())} is not finite")
    return PlyMesh(vertices, _triangles(*faces, len(vertices)))


def _triangles(sizes: NDArray[np.int64], corners: _Values, count: int) -> NDArray[np.int32]:
    if len(sizes) and sizes.min() < 3:
        worst = int((sizes < 3).argmax())
        raise Malformed(f"face {worst} has {sizes[worst]} corners instead of 3 or more")
    right = (corners >= 0) & (corners < count)
    wrong = ~(right if corners.dtype.kind in "iu" else right & (corners == np.floor(corners)))
    if wrong.any():
        raise Malformed(f"a face names vertex {corners[wrong][0]:g}, but there are only {count} vertices")
    return fan(corners.astype(np.int64), sizes)


def write_ply(
    path: Path | str,
    vertices: NDArray[np.floating],
    triangles: NDArray[np.integer],
    *,
    format: Format = "binary_little_endian",
) -> None:
    """Write a mesh, atomically: float32 positions and `list uchar int vertex_indices`.

    Args:
        path: The file; its folder is made if need be.
        vertices: (V, 3).
        triangles: (F, 3).
        format: As the header spells it.
    """
    header = (
        f"ply\nformat {format} 1.0\nelement vertex {len(vertices)}\nproperty float x\nproperty float y\n"
        f"property float z\nelement face {len(triangles)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    points = np.asarray(vertices, dtype=np.float32)
    if format == "ascii":
        rows = [" ".join(f"{value:.9g}" for value in point) for point in points.tolist()]
        rows += [f"3 {a} {b} {c}" for a, b, c in np.asarray(triangles).tolist()]
        body = "".join(f"{row}\n" for row in rows).encode()
    else:
        order = _ORDER[format]
        faces = np.empty(len(triangles), dtype=[("length", "u1"), ("corners", f"{order}i4", (3,))])
        faces["length"], faces["corners"] = 3, triangles
        body = points.astype(f"{order}f4").tobytes() + faces.tobytes()
    with atomic_write(Path(path)) as file:
        file.write(header.encode() + body)
