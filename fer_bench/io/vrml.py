"""VRML 2.0 face scans as BU-3DFE and BU-4DFE store them.

Grammar: ISO/IEC 14772-1:1997, of which a scan needs one node, `IndexedFaceSet`. The text is read by tokens, never by
line numbers: BU-3DFE separates indices by spaces and BU-4DFE by commas, and both mean the same in VRML.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import BrokenScan
from fer_bench.io.file_bytes import REMEDY, read_bytes
from fer_bench.io.numbers import parse_floats, parse_integers
from fer_bench.io.polygons import fan

# Possessive quantifiers (`*+`) keep every pattern linear in the size of a hostile file.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_COMMENT = re.compile(rb"#[^\r\n]*+")
_FACE_SET = re.compile(rb'(?<![^\s,\[\]{}"])IndexedFaceSet[\s,]*+\{')
_TEXTURE = re.compile(rb'(?<![^\s,\[\]{}"])ImageTexture[\s,]*+\{[^{}]*?\burl[\s,\[]*+"([^"]*+)"')
_TOKEN = re.compile(rb'[\[\]{}]|"[^"]*+"?|[^\s,\[\]{}"]++')


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
    """Read the first `IndexedFaceSet` of a VRML file; the rest (BU-3DFE's six viewpoints) is ignored.

    BU-4DFE may lack `coordIndex`, in which case `texCoordIndex` indexes the vertices as well; without `texCoordIndex`,
    `coordIndex` indexes the texture coordinates, as VRML says.

    Raises:
        BrokenScan: the file is missing, cut off, or not a mesh whose every number and index is valid.
    """
    data = read_bytes(path)
    return _Reader(path, data).mesh()


class _Reader:
    """One file while it is being read. Every position is a byte offset, so that an error can name a line."""

    def __init__(self, path: Path | str, data: bytes) -> None:
        self.path = path
        self.data = data
        # Comments and the insides of strings are overwritten by as many bytes: what remains is structure only, and
        # every offset still holds in the file.
        self.text = _hide(data)

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
        triangles = _wound(fan(*corners), ccw)

        uv_triangles = None
        if uv is not None:
            uv_corners = given[1] or corners
            self._check_sizes(corners[1], uv_corners[1])
            self._check_range(names[1] if given[1] else names[0], uv_corners[0], len(uv), "texture coordinates")
            uv_triangles = _wound(fan(*uv_corners), ccw)
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
        values = self._numbers(name, block, "a number")
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
        values = self._numbers(name, block, "a whole number")
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

    def _numbers(self, name: str, block: tuple[int, int], kind: str) -> NDArray[Any]:
        """All numbers of a list; `kind` is "a number" or "a whole number"."""
        parse = parse_integers if kind == "a whole number" else parse_floats
        values, bad = parse(self.text, *block)
        if bad >= 0:
            match = _TOKEN.match(self.text, bad)
            token = self.data[bad : match.end() if match else bad + 1][:20].decode("latin-1")
            raise self._broken(f"{token!r} in {name} is not {kind}, on", bad)
        return values

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


def _wound(triangles: NDArray[np.int32], ccw: bool) -> NDArray[np.int32]:
    return triangles if ccw else np.ascontiguousarray(triangles[:, ::-1])


def _hide(data: bytes) -> bytes:
    """The text with comments and the insides of strings overwritten."""
    text = bytearray(data)
    quote, mark = data.find(b'"'), data.find(b"#")
    while quote >= 0 or mark >= 0:
        if mark < 0 or 0 <= quote < mark:
            hidden = _STRING.match(data, quote)
            assert hidden is not None  # a quote is always the beginning of a string
            end = hidden.end()
            text[quote + 1 : end] = b"_" * (end - quote - 1)
            if end - quote > 1 and data[end - 1 : end] == b'"':
                text[end - 1] = ord('"')
        else:
            end = _COMMENT.match(data, mark).end()  # type: ignore[union-attr]
            text[mark:end] = b" " * (end - mark)
        quote = data.find(b'"', end) if 0 <= quote < end else quote
        mark = data.find(b"#", end) if 0 <= mark < end else mark
    return bytes(text)
