"""The mesh of the neutral procedural face: a grid with slits for the eyes and the mouth.

The vertices along a slit are doubled, so that upper and lower lids and lips are separate. Short strips continue the
lips into a mouth cavity and the lids towards the eyeballs.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fer_bench.twins.sculpture import EYE_HALF, EYE_X, MOUTH_HALF, MOUTH_Q, Floats, eye_surface, surface

SKIN, EYE, MOUTH = 0, 1, 2
"""What a triangle is part of: skin, an eyeball, the inside of the mouth."""

EYEBALL_RADIUS = 12.5
_COLUMN_STEP = 2.4
EYE_COLUMNS = (7, 20)
"""The inner and outer corners of an eye, counted from the midline."""
MOUTH_COLUMNS = 12
"""A corner of the mouth, likewise."""
_LIP_DEPTHS = (1.5, 5.0, 12.0)  # of the rows that continue a lip inwards
_LID_DEPTH = 3.0

Indices = NDArray[np.int64]


@dataclass
class SculptMesh:
    """The neutral face, and what its construction knows about each vertex.

    Attributes:
        vertices: (V, 3) millimetres.
        flat: (V, 2) flat coordinates p, q; a vertex inside the mouth has those of the rim it continues.
        below: (V,) bool, on the lower side of its slit.
        inward: (V,) depth behind the rim of a lip or lid (mm), 0 on the outside.
        eyeball: (V,) bool.
        triangles: (F, 3), counter-clockwise from outside.
        parts: (F,) `SKIN`, `EYE` or `MOUTH`.
        columns: (C,) p of the grid's columns; rows: (R,) q of its rows.
        grid: (R, C) vertices; on a slit, those of its upper side.
        lower: (row, column) -> vertex on the lower side of a slit.
    """

    columns: Floats
    rows: Floats
    grid: Indices
    vertices: Floats = field(default_factory=lambda: np.zeros((0, 3)))
    flat: Floats = field(default_factory=lambda: np.zeros((0, 2)))
    below: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    inward: Floats = field(default_factory=lambda: np.zeros(0))
    eyeball: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    triangles: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 3), dtype=np.int32))
    parts: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, dtype=np.uint8))
    lower: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(
        self,
        vertices: Floats,
        flat: Floats,
        below: bool | NDArray[np.bool_],
        inward: float = 0.0,
        eyeball: bool = False,
    ) -> Indices:
        """Append vertices and return their numbers."""
        count = len(vertices)
        self.vertices = np.concatenate([self.vertices, vertices])
        self.flat = np.concatenate([self.flat, flat])
        self.below = np.concatenate([self.below, np.broadcast_to(below, count)])
        self.inward = np.concatenate([self.inward, np.full(count, inward)])
        self.eyeball = np.concatenate([self.eyeball, np.full(count, eyeball)])
        return np.arange(len(self.vertices) - count, len(self.vertices))

    def add_strip(self, upper: Indices, lower: Indices, part: int) -> None:
        """Append the triangles between two rows of vertices, left to right; equal ends make a single triangle."""
        a, b, c, d = upper[:-1], lower[:-1], lower[1:], upper[1:]
        # Mirrored diagonals: a symmetric face needs a symmetric mesh.
        left = (self.flat[a, 0] + self.flat[d, 0] < 0)[:, None, None]
        one = np.stack([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)], axis=1)
        two = np.stack([np.stack([a, b, d], axis=1), np.stack([b, c, d], axis=1)], axis=1)
        faces = np.where(left, one, two).reshape(-1, 3)
        x, y, z = faces.T
        faces = faces[(x != y) & (y != z) & (z != x)]
        self.triangles = np.concatenate([self.triangles, faces.astype(np.int32)])
        self.parts = np.concatenate([self.parts, np.full(len(faces), part, dtype=np.uint8)])

    def lower_row(self, row: int) -> Indices:
        """The vertices of a grid row, taking the lower ones where it is slit."""
        line = self.grid[row].copy()
        for (slit, column), vertex in self.lower.items():
            if slit == row:
                line[column] = vertex
        return line


def _grid_lines() -> tuple[Floats, Floats]:
    """q of the rows and p of the columns: close together at the eyes, the nose and the mouth."""
    rows = [np.linspace(78, 24.2, 9)[:-1], 2.2 * np.arange(11, -6, -1), np.linspace(-13.2, -45.2, 15)[:-1]]
    rows += [MOUTH_Q + 1.68 * np.arange(10, -11, -1), np.linspace(MOUTH_Q - 19.5, -114, 8)]
    near = _COLUMN_STEP * np.arange(22)
    half = np.concatenate([near, near[-1] + np.cumsum(np.linspace(3.4, 11.0, 7))])
    return np.concatenate(rows), np.concatenate([-half[:0:-1], half])


def _slits(middle: int) -> list[tuple[float, Indices]]:
    """(q, columns) of each slit, without its two corners."""
    inner, outer = EYE_COLUMNS
    return [
        (0.0, np.arange(middle - outer + 1, middle - inner)),
        (0.0, np.arange(middle + inner + 1, middle + outer)),
        (MOUTH_Q, np.arange(middle - MOUTH_COLUMNS + 1, middle + MOUTH_COLUMNS)),
    ]


def sculpt() -> SculptMesh:
    """The neutral procedural face: about 4,300 vertices."""
    rows, columns = _grid_lines()
    mesh = SculptMesh(columns, rows, np.arange(len(rows) * len(columns)).reshape(len(rows), len(columns)))
    q, p = (a.ravel() for a in np.meshgrid(rows, columns, indexing="ij"))
    below = np.where(np.abs(q) < 40, q < 0, q < MOUTH_Q)
    mesh.add(surface(p, q, ~below), np.stack([p, q], axis=1), below)
    slits = [(int(np.argmin(np.abs(rows - at))), cut) for at, cut in _slits(len(columns) // 2)]
    for row, cut in slits:
        flat = mesh.flat[mesh.grid[row, cut]]
        new = mesh.add(surface(flat[:, 0], flat[:, 1], np.zeros(len(cut), dtype=bool)), flat, True)
        mesh.lower |= {(row, int(column)): int(vertex) for column, vertex in zip(cut, new, strict=True)}
    for row in range(len(rows) - 1):
        mesh.add_strip(mesh.lower_row(row), mesh.grid[row + 1], SKIN)
    for row, cut in slits:
        reach = np.arange(cut[0] - 1, cut[-1] + 2)
        rims = mesh.grid[row, reach], mesh.lower_row(row)[reach]
        _line_mouth(mesh, *rims) if rows[row] < -40 else _line_lids(mesh, *rims)
    for side in (-1.0, 1.0):
        _add_eyeball(mesh, side)
    return mesh


def _line_mouth(mesh: SculptMesh, upper: Indices, lower: Indices) -> None:
    """A cavity behind the lips: its rows run from the upper rim inwards, and back out to the lower one."""
    linings = []
    for rim, sign in ((upper, 1.0), (lower, -1.0)):
        lining = [rim]
        for depth in _LIP_DEPTHS:
            start = mesh.vertices[rim[1:-1]]
            across = start[:, :1] / MOUTH_HALF
            shift = depth * np.array([0.0, sign * 0.3, -1.0]) * np.clip(1.0 - across**4, 0.1, 1.0)
            inner = mesh.add(start + shift, mesh.flat[rim[1:-1]], sign < 0, depth)
            lining.append(np.concatenate([rim[:1], inner, rim[-1:]]))
        linings.append(lining)
    lines = linings[0] + linings[1][::-1]
    for a, b in pairwise(lines):
        mesh.add_strip(a, b, MOUTH)


def _line_lids(mesh: SculptMesh, upper: Indices, lower: Indices) -> None:
    """The thickness of the lids, from their rims back to the eyeball."""
    for rim, is_lower in ((upper, False), (lower, True)):
        start = mesh.vertices[rim[1:-1]]
        across = (np.abs(start[:, 0]) - EYE_X) / EYE_HALF
        shift = np.zeros_like(start)
        shift[:, 0] = -0.12 * EYE_HALF * across * np.sign(start[:, 0])
        shift[:, 2] = -_LID_DEPTH * np.clip(1.0 - across**4, 0.2, 1.0)
        inner = mesh.add(start + shift, mesh.flat[rim[1:-1]], is_lower, _LID_DEPTH)
        line = np.concatenate([rim[:1], inner, rim[-1:]])
        first, second = (line, rim) if is_lower else (rim, line)
        mesh.add_strip(first, second, SKIN)


def _add_eyeball(mesh: SculptMesh, side: float) -> None:
    """The front of an eyeball, with the bulge of its cornea."""
    # Less far round on the temple's side, where the lids lie closer.
    across, up = np.radians(np.linspace(-80, 68, 13) * side), np.radians(np.linspace(54, -54, 9))
    across.sort()
    b, a = (v.ravel() for v in np.meshgrid(up, across, indexing="ij"))
    out = np.stack([1.16 * np.sin(a) * np.cos(b), np.sin(b), np.cos(a) * np.cos(b)], axis=1)
    apex = float(eye_surface(np.array([EYE_X]), np.array([0.0]))[0]) - 1.0
    centre = np.array([side * EYE_X, 0.3, apex - EYEBALL_RADIUS])
    cornea = 0.9 * np.exp(-((np.hypot(out[:, 0], out[:, 1]) / 0.42) ** 4))
    points = centre + out * (EYEBALL_RADIUS + cornea[:, None])
    ball = mesh.add(points, points[:, :2], False, eyeball=True).reshape(len(up), len(across))
    for one, two in pairwise(ball):
        mesh.add_strip(one, two, EYE)
