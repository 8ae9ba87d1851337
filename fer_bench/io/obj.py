"""Wavefront OBJ meshes, as FaceScape stores them: `v`, `vt` and `f` lines; everything else is passed over."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fer_bench.errors import BrokenScan
from fer_bench.io.file_bytes import REMEDY, read_bytes
from fer_bench.io.numbers import as_bytes, read_float, read_integer, settle
from fer_bench.io.polygons import fan
from fer_bench.records import atomic_write

_LIBRARY = re.compile(rb"(?:\A|[\r\n])[ \t]*mtllib[ \t]+([^\r\n]+)")
_WHERE_LIBRARY_IS = 65_536  # bytes from the beginning
_PROBLEMS = {
    1: "a vertex without three numbers, on",
    2: "a texture coordinate without two numbers, on",
    3: "a face with a corner that is no vertex, on",
    4: "a face of fewer than three corners, on",
}


@dataclass(frozen=True)
class ObjMesh:
    """A mesh in the file's own vertex order.

    Attributes:
        vertices: (V, 3) float32, in the file's unit.
        triangles: (F, 3) int32, polygons fanned from their first corner.
        uv: (U, 2) float32, origin at the texture's bottom left; None unless every corner has one.
        uv_triangles: (F, 3) int32 rows of `uv` for the corners of `triangles`; None likewise.
        material_library: What `mtllib` names, as written; None without one.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    uv: NDArray[np.float32] | None
    uv_triangles: NDArray[np.int32] | None
    material_library: str | None


def read_obj(path: Path | str) -> ObjMesh:
    """Read a mesh; faces may be `a`, `a/t`, `a//n` or `a/t/n`, counted from 1, or backwards from the last by -1.

    Raises:
        BrokenScan: the file is missing, cut off, or not a mesh whose every number and index is valid.
    """
    data = read_bytes(path).removeprefix(b"\xef\xbb\xbf")  # a mark that some editors put before a text
    points, texture, corners, sizes, slow_points, slow_texture, code, place = _scan(as_bytes(data))
    if code:
        raise BrokenScan(path, f"has {_PROBLEMS[code]} line {_line(data, place)}", REMEDY)
    if not len(points) or not len(sizes):
        what = "is empty" if not data.strip() else f"has no {'face' if len(points) else 'vertex'}, so it is no mesh"
        raise BrokenScan(path, what, REMEDY)
    settle(points.reshape(-1), slow_points, data)
    settle(texture.reshape(-1), slow_texture, data)
    vertices = _finite(path, points, "vertex")
    triangles = fan(_checked(path, corners[:, 0], len(points), "vertices"), sizes)
    uv = uv_triangles = None
    if (corners[:, 1] != _NONE).all():
        uv = _finite(path, texture, "texture coordinate")
        uv_triangles = fan(_checked(path, corners[:, 1], len(texture), "texture coordinates"), sizes)
    library = _LIBRARY.search(data, 0, _WHERE_LIBRARY_IS)
    name = library[1].strip().decode("utf-8", errors="replace") if library else None
    return ObjMesh(vertices, triangles, uv, uv_triangles, name)


def _line(data: bytes, place: int) -> int:
    return data[:place].count(b"\n") + 1


def _finite(path: Path | str, values: NDArray[np.float64], what: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what overflows is reported below
        found = values.astype(np.float32)
    bad = ~np.isfinite(found).all(axis=1)
    if bad.any():
        raise BrokenScan(path, f"{what} {int(bad.argmax()) + 1} is not finite", REMEDY)
    return found


def _checked(path: Path | str, corners: NDArray[np.int64], count: int, what: str) -> NDArray[np.int64]:
    """Corners counted from 0, all of them below `count`."""
    wrong = (corners < 0) | (corners >= count)
    if wrong.any():
        worst = int(corners[wrong][0]) + 1
        raise BrokenScan(path, f"a face names number {worst} of the {what}, but there are only {count}", REMEDY)
    return corners


_NONE = -(1 << 62)  # no texture coordinate
_LINE_FEED, _RETURN, _SLASH, _F, _T, _V = 10, 13, 47, 102, 116, 118


@njit(cache=True, nogil=True)
def _is_end(character):  # type: ignore[no-untyped-def]
    return character == _LINE_FEED or character == _RETURN  # noqa: PLR1714 - numba compares faster than it searches


@njit(cache=True, nogil=True)
def _is_blank(character):  # type: ignore[no-untyped-def]
    return character == 32 or character == 9  # noqa: PLR1714


@njit(cache=True, nogil=True)
def _read_row(text, position, end, row, slow, slow_count):  # type: ignore[no-untyped-def]
    """Fill a row with a line's numbers; where it ends, -1 if there are too few, and how many are left to Python."""
    for column in range(len(row)):
        while position < end and _is_blank(text[position]):
            position += 1
        if position >= end or _is_end(text[position]):
            return -1, slow_count
        value, after = read_float(text, position, end)
        if after < 0 or (after < end and not (_is_blank(text[after]) or _is_end(text[after]))):
            return -1, slow_count
        if np.isnan(value):
            slow[slow_count] = position
            slow_count += 1
        row[column] = value
        position = after
    return position, slow_count


@njit(cache=True, nogil=True)
def _read_corner(text, position, end, vertices, texture):  # type: ignore[no-untyped-def]
    """Vertex and texture coordinate of a corner, counted from 0; and where it ends, -1 if it is none."""
    number, after = read_integer(text, position, end)
    if after < 0 or number == 0:
        return 0, 0, -1
    vertex, uv = (number - 1 if number > 0 else vertices + number), _NONE
    for part in range(2):
        if after >= end or text[after] != _SLASH:
            break
        after += 1
        if after < end and text[after] != _SLASH and not (_is_blank(text[after]) or _is_end(text[after])):
            number, after = read_integer(text, after, end)
            if after < 0 or (part == 0 and number == 0):
                return 0, 0, -1
            if part == 0:
                uv = number - 1 if number > 0 else texture + number
    if after < end and not (_is_blank(text[after]) or _is_end(text[after])):
        return 0, 0, -1
    return vertex, uv, after


@njit(cache=True, nogil=True)
def _scan(text):  # type: ignore[no-untyped-def]
    """Vertices, texture coordinates, corners (vertex, uv), sizes of the faces, the offsets of the numbers of vertices
    and texture coordinates that Python must settle, a problem's code and where it is."""
    end = len(text)
    # The shortest lines are `v 0 0 0`, `vt 0 0` and, for a corner, ` 1`; memory that is not written to is not taken.
    points, texture = np.empty((end // 7 + 1, 3)), np.empty((end // 6 + 1, 2))
    corners, sizes = np.empty((end // 2 + 1, 2), dtype=np.int64), np.empty(end // 6 + 1, dtype=np.int64)
    slow_points, slow_texture = np.empty(end // 2 + 1, dtype=np.int64), np.empty(end // 2 + 1, dtype=np.int64)
    v = t = c = f = slow_v = slow_t = problem = place = position = 0
    while position < end and problem == 0:
        while position < end and (_is_blank(text[position]) or _is_end(text[position])):
            position += 1
        place = position
        if position + 1 < end and text[position] == _V and _is_blank(text[position + 1]):
            position, slow_v = _read_row(text, position + 1, end, points[v], slow_points, slow_v)
            v += 1
            problem = 1 if position < 0 else 0
        elif position + 2 < end and text[position] == _V and text[position + 1] == _T and _is_blank(text[position + 2]):
            position, slow_t = _read_row(text, position + 2, end, texture[t], slow_texture, slow_t)
            t += 1
            problem = 2 if position < 0 else 0
        elif position + 1 < end and text[position] == _F and _is_blank(text[position + 1]):
            position, before = position + 1, c
            while problem == 0:
                while position < end and _is_blank(text[position]):
                    position += 1
                if position >= end or _is_end(text[position]):
                    break
                corners[c, 0], corners[c, 1], position = _read_corner(text, position, end, v, t)
                c += 1
                problem = 3 if position < 0 else 0
            if problem == 0 and c - before < 3:
                problem = 4
            sizes[f] = c - before
            f += 1
        while problem == 0 and position < end and not _is_end(text[position]):
            position += 1
    return (
        points[:v],
        texture[:t],
        corners[:c],
        sizes[:f],
        slow_points[:slow_v],
        slow_texture[:slow_t],
        problem,
        place,
    )


def write_obj(
    path: Path | str,
    vertices: NDArray[np.floating],
    polygons: Sequence[Sequence[int]] | NDArray[np.integer],
    uv: NDArray[np.floating] | None = None,
    uv_polygons: Sequence[Sequence[int]] | NDArray[np.integer] | None = None,
    material_library: str | None = None,
    material: str | None = None,
) -> None:
    """Write a mesh, atomically; numbers keep seven significant digits.

    Args:
        path: The file; its folder is made if need be.
        vertices: (V, 3).
        polygons: Rows of `vertices`, 3 or more a polygon, counted from 0.
        uv: (U, 2), origin at the bottom left.
        uv_polygons: Rows of `uv` for the corners of `polygons`, of the same sizes.
        material_library, material: For `mtllib` and `usemtl`.
    """
    lines = [f"mtllib {material_library}"] if material_library else []
    lines += [f"v {x:.7g} {y:.7g} {z:.7g}" for x, y, z in np.asarray(vertices).tolist()]
    if uv is not None:
        lines += [f"vt {u:.7g} {v:.7g}" for u, v in np.asarray(uv).tolist()]
    lines += [f"usemtl {material}"] if material else []
    faces = polygons.tolist() if isinstance(polygons, np.ndarray) else polygons
    if uv_polygons is None:
        lines += ["f " + " ".join(str(a + 1) for a in face) for face in faces]
    else:
        uv_faces = uv_polygons.tolist() if isinstance(uv_polygons, np.ndarray) else uv_polygons
        lines += [
            "f " + " ".join(f"{a + 1}/{b + 1}" for a, b in zip(face, uv_face, strict=True))
            for face, uv_face in zip(faces, uv_faces, strict=True)
        ]
    with atomic_write(Path(path)) as file:
        file.write("".join(f"{line}\n" for line in lines).encode())
