"""VRML 2.0 face scans as BU-3DFE and BU-4DFE store them.

Grammar: ISO/IEC 14772-1:1997, of which a scan needs one node, `IndexedFaceSet`. The text is read by tokens, never by
line numbers: BU-3DFE separates indices by spaces and BU-4DFE by commas, and both mean the same in VRML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import BrokenScan
from fer_bench.records import atomic_write

REMEDY = "Copy the file again from the dataset's distribution."

# Possessive quantifiers (`*+`) keep every pattern linear in the size of a hostile file.
_HIDDEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|#[^\r\n]*+', re.DOTALL)
_FACE_SET = re.compile(rb'(?<![^\s,\[\]{}"])IndexedFaceSet[\s,]*+\{')
_TEXTURE = re.compile(rb'(?<![^\s,\[\]{}"])ImageTexture[\s,]*+\{[^{}]*?\burl[\s,\[]*+"([^"]*+)"')
_TOKEN = re.compile(rb'[\[\]{}]|"[^"]*+"?|[^\s,\[\]{}"]++')
_COMMA_TO_SPACE = bytes.maketrans(b",", b" ")
_NUMBER_TOKENS = {
    "float64": re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"),
    "int64": re.compile(rb"[+-]?\d+"),
}
_NUMBER_CHARACTERS = {"float64": b"0123456789+-.eE \t\r\n\v\f", "int64": b"0123456789+- \t\r\n\v\f"}


@dataclass(frozen=True)
class VrmlMesh:
    """The first `IndexedFaceSet` of a file, in the file's own vertex order.

    Attributes:
        vertices: (V, 3) float32, in the file's unit (millimetres in the BU datasets).
        triangles: (F, 3) int32, polygons fanned from their first corner, counter-clockwise seen from outside.
        uv: (U, 2) float32, origin at the texture's bottom left; None without `texCoord`.
        uv_triangles: (F, 3) int32 rows of `uv` for the corners of `triangles`; None without `texCoord`.
        texture_name: the `url` of the `ImageTexture` before the face set, as written; None without one.
        polygon_sizes: (P,) int64, corners of each polygon before it was fanned.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    uv: NDArray[np.float32] | None
    uv_triangles: NDArray[np.int32] | None
    texture_name: str | None
    polygon_sizes: NDArray[np.int64]


def read_vrml(path: Path | str) -> VrmlMesh:
    """Read the first `IndexedFaceSet` of a VRML file; whatever follows it (BU-3DFE's six viewpoints) is ignored.

    BU-4DFE may lack `coordIndex`, in which case `texCoordIndex` indexes the vertices as well; without `texCoordIndex`,
    `coordIndex` indexes the texture coordinates, as VRML says.

    Raises:
        BrokenScan: the file is missing, cut off, or not a mesh whose every number and index is valid.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise BrokenScan(path, f"cannot be read ({error.strerror or error})", REMEDY) from None
    return _Reader(path, data).mesh()


class _Reader:
    """One file while it is being read. Every position is a byte offset, so that an error can name a line."""

    def __init__(self, path: Path | str, data: bytes) -> None:
        self.path = path
        self.data = data
        # Comments and the insides of strings are overwritten by as many bytes: what remains is structure only, and
        # every offset still holds in the file.
        self.text = _HIDDEN.sub(_blank, data)

    def mesh(self) -> VrmlMesh:
        if not self.data.strip():
            raise self._broken("the file is empty")
        face_set = _FACE_SET.search(self.text)
        if face_set is None:
            raise self._broken("there is no IndexedFaceSet in it, so it is not a VRML mesh or is cut off before it")
        blocks, ccw = self._blocks(face_set)

        vertices = self._points("coord", 3, blocks.get((b"Coordinate", b"point")))
        if vertices is None:
            raise self._broken("the IndexedFaceSet has no coord point list")
        uv = self._points("texCoord", 2, blocks.get((b"TextureCoordinate", b"point")))
        names = ("coordIndex", "texCoordIndex")
        given = [self._polygons(name, blocks.get((b"IndexedFaceSet", name.encode()))) for name in names]
        corners = given[0] or given[1]
        if corners is None:
            raise self._broken("the IndexedFaceSet has neither coordIndex nor texCoordIndex")
        self._check_range(names[0] if given[0] else names[1], corners[0], len(vertices), "vertices")
        triangles = _fan(*corners, ccw)

        uv_triangles = None
        if uv is not None:
            uv_corners = given[1] or corners
            self._check_sizes(corners[1], uv_corners[1])
            self._check_range(names[1] if given[1] else names[0], uv_corners[0], len(uv), "texture coordinates")
            uv_triangles = _fan(*uv_corners, ccw)
        return VrmlMesh(vertices, triangles, uv, uv_triangles, self._texture_name(face_set.start()), corners[1])

    def _blocks(self, face_set: re.Match[bytes]) -> tuple[dict[tuple[bytes, bytes], tuple[int, int]], bool]:
        """(node, field) -> (start, end) of each bracketed list in the face set, and whether its order is `ccw`."""
        blocks: dict[tuple[bytes, bytes], tuple[int, int]] = {}
        nodes, previous, position, ccw = [b"IndexedFaceSet"], b"", face_set.end(), True
        while nodes:
            match = _TOKEN.search(self.text, position)
            if match is None:
                raise self._broken("the file is cut off inside the IndexedFaceSet, whose closing brace is missing")
            token, position = match[0], match.end()
            if token == b"{":
                nodes.append(previous)
            elif token == b"}":
                nodes.pop()
            elif token == b"[":
                name = previous.decode("latin-1")[:40]
                end = self.text.find(b"]", position)
                if end < 0:
                    raise self._broken(f"the file is cut off inside the list {name!r} that begins on", position)
                if blocks.setdefault((nodes[-1], previous), (position, end)) != (position, end):
                    raise self._broken(f"the list {name!r} is given a second time on", position)
                position = end + 1
            elif token == b"]":
                raise self._broken("a list ends that never began, on", match.start())
            elif previous == b"ccw" and len(nodes) == 1:
                ccw = token != b"FALSE"
            previous = token
        return blocks, ccw

    def _points(self, name: str, width: int, block: tuple[int, int] | None) -> NDArray[np.float32] | None:
        if block is None:
            return None
        values = self._numbers(name, block, "float64")
        if len(values) == 0 or len(values) % width:
            wanted = f"a positive multiple of {width}"
            raise self._broken(f"the {name} point list has {len(values)} numbers instead of {wanted}")
        with np.errstate(over="ignore"):  # what overflows is reported below
            points = values.reshape(-1, width).astype(np.float32)
        bad = ~np.isfinite(points).all(axis=1)
        if bad.any():
            raise self._broken(f"{name} point {int(bad.argmax())} is not finite")
        return points

    def _polygons(self, name: str, block: tuple[int, int] | None) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """The corners of all polygons in a row, and how many corners each polygon has."""
        if block is None:
            return None
        values = self._numbers(name, block, "int64")
        if len(values) == 0:
            raise self._broken(f"{name} holds no polygon")
        if values[-1] != -1:  # VRML lets the last polygon go unterminated
            values = np.append(values, -1)
        if values.min() < -1:
            worst = int((values < -1).argmax())
            raise self._broken(f"number {worst} of {name} is {values[worst]}, but no index is below -1")
        sizes = np.diff(np.flatnonzero(values == -1), prepend=-1) - 1
        if sizes.min() < 3:
            worst = int((sizes < 3).argmax())
            raise self._broken(f"polygon {worst} of {name} has {sizes[worst]} corners instead of 3 or more")
        return values[values >= 0], sizes

    def _numbers(self, name: str, block: tuple[int, int], dtype: str) -> NDArray[Any]:
        start, end = block
        text = self.text[start:end].translate(_COMMA_TO_SPACE)
        if not text.translate(None, _NUMBER_CHARACTERS[dtype]):
            inked = np.frombuffer(text, dtype=np.uint8) > ord(" ")
            count = np.count_nonzero(inked[1:] & ~inked[:-1]) + int(inked[:1].any())
            # fromstring stops at, or splits, a token such as "1-2" that is no number. The 0 added at the end makes
            # both show as a wrong count; releases of numpy differ in whether they raise besides.
            try:
                values = np.fromstring(text + b" 0", dtype=dtype, sep=" ")
            except (ValueError, DeprecationWarning):
                values = np.empty(0, dtype=dtype)
            if len(values) == count + 1:
                return values[:-1]
        kind = "a number" if dtype == "float64" else "a whole number"
        for match in _TOKEN.finditer(self.text, start, end):
            if not _NUMBER_TOKENS[dtype].fullmatch(match[0]):
                token = self.data[match.start() : match.end()][:20].decode("latin-1")
                raise self._broken(f"{token!r} in {name} is not {kind}, on", match.start())
        raise self._broken(f"{name} holds something that is not {kind}")

    def _check_range(self, name: str, corners: NDArray[np.int64], count: int, what: str) -> None:
        if corners.max() >= count:
            worst = int((corners >= count).argmax())
            raise self._broken(f"{name} names index {corners[worst]}, but there are only {count} {what}")

    def _check_sizes(self, sizes: NDArray[np.int64], uv_sizes: NDArray[np.int64]) -> None:
        if len(sizes) != len(uv_sizes):
            raise self._broken(f"coordIndex has {len(sizes)} polygons, but texCoordIndex has {len(uv_sizes)}")
        if (sizes != uv_sizes).any():
            worst = int((sizes != uv_sizes).argmax())
            both = f"{sizes[worst]} corners in coordIndex, but {uv_sizes[worst]} in texCoordIndex"
            raise self._broken(f"polygon {worst} has {both}")

    def _texture_name(self, end: int) -> str | None:
        names = [match.span(1) for match in _TEXTURE.finditer(self.text, 0, end)]
        return self.data[slice(*names[-1])].decode("utf-8", errors="replace") if names else None

    def _broken(self, problem: str, position: int | None = None) -> BrokenScan:
        if position is not None:
            problem += f" line {self.data[:position].count(10) + 1}"  # 10 is the line feed
        return BrokenScan(self.path, problem, REMEDY)


def _blank(match: re.Match[bytes]) -> bytes:
    hidden = match[0]
    if hidden[:1] == b"#":
        return b" " * len(hidden)
    return b'"' + b"_" * (len(hidden) - 2) + hidden[-1:] if len(hidden) > 1 and hidden[-1:] == b'"' else b'"'


def _fan(corners: NDArray[np.int64], sizes: NDArray[np.int64], ccw: bool) -> NDArray[np.int32]:
    """(F, 3) int32: each polygon (a, b, c, d, ...) becomes the triangles (a, b, c), (a, c, d), ..."""
    counts = sizes - 2
    first = np.repeat(np.cumsum(sizes) - sizes, counts)
    step = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = [first, first + step + 1, first + step + 2]
    return corners[np.stack(columns if ccw else columns[::-1], axis=1)].astype(np.int32)


_APPEARANCE = """            appearance Appearance {
                texture ImageTexture {
                    url "%s"
                    repeatS FALSE
                    repeatT FALSE
                }
            }
"""
_FACES = """            geometry IndexedFaceSet {
                ccw TRUE
                solid FALSE
                convex TRUE
                creaseAngle 1.57
"""
_POINTS = """                %s {
                    point [
%s
                    ]
                }
"""
_INDICES = """                %s [
%s
                ]
"""
_VIEWPOINT = """DEF Tricorder_Camera_%s Viewpoint {
    position %s
    orientation %s
    fieldOfView 0.5
    description "Tricorder %s"
}
"""
_VIEWPOINTS = (
    ("Front", "0 0 214.7", "0 1 0 0"),
    ("Back", "0 0 -214.7", "0 1 0 3.14159"),
    ("Left", "-214.7 0 0", "0 1 0 -1.5708"),
    ("Right", "214.7 0 0", "0 1 0 1.5708"),
    ("Top", "0 214.7 0", "1 0 0 -1.5708"),
    ("Bottom", "0 -214.7 0", "1 0 0 1.5708"),
)


def write_vrml(
    path: Path | str,
    vertices: NDArray[np.floating],
    polygons: Sequence[Sequence[int]],
    uv: NDArray[np.floating] | None = None,
    uv_polygons: Sequence[Sequence[int]] | None = None,
    texture_name: str | None = None,
) -> None:
    """Write a mesh in BU-3DFE's own grammar, atomically. Numbers keep six significant digits, as theirs do.

    Args:
        path: The file; its folder is made if need be.
        vertices: (V, 3), millimetres.
        polygons: Vertex indices of each polygon, 3 or more.
        uv: (U, 2), origin at the bottom left.
        uv_polygons: Rows of `uv` for the corners of `polygons`, of the same sizes.
        texture_name: File name of the texture image.
    """
    parts = ["#VRML V2.0 utf8\n#Tricorder Technology plc - 2000\n"]
    parts.append("DEF Tricorder_object Transform {\n    children [\n        Shape {\n")
    if texture_name is not None:
        parts.append(_APPEARANCE % texture_name)
    parts.append(_FACES)
    parts.append(_POINTS % ("coord Coordinate", _point_rows(vertices)))
    parts.append(_INDICES % ("coordIndex", _index_rows(polygons)))
    if uv is not None and uv_polygons is not None:
        parts.append(_POINTS % ("texCoord TextureCoordinate", _point_rows(uv)))
        parts.append(_INDICES % ("texCoordIndex", _index_rows(uv_polygons)))
    parts.append("            }\n        }\n    ]\n}\n")
    parts += [_VIEWPOINT % (name, position, turn, name) for name, position, turn in _VIEWPOINTS]
    with atomic_write(Path(path)) as file:
        file.write("".join(parts).encode())


def _point_rows(points: NDArray[np.floating]) -> str:
    count, width = points.shape
    row = " " * 48 + " ".join(["%g"] * width)
    return ",\n".join([row] * count) % tuple(points.ravel().tolist())


def _index_rows(polygons: Iterable[Sequence[int]]) -> str:
    indent = " " * 40
    return ",\n".join([f"{indent}{' '.join(map(str, polygon))} -1" for polygon in polygons])
