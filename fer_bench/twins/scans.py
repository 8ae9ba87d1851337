"""From a face to a scan of it: posed, noisy, cropped, and without correspondence between scans."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from fer_bench.twins.face import DECIMALS, FaceModel

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Polygons = list[list[int]]

QUAD_SHARE, PENTAGONS = 0.016, 3
"""Quads per triangle and pentagons per scan; a real BU-3DFE file has 248 and 2 on 15,184 polygons."""

_POSE_DEGREES = (4.0, 4.0, 2.0)  # standard deviations of pitch, yaw and roll: people hold still, but not exactly
# The middle of a real scan's extents lies off the nose, below and behind it.
_SHIFT_MM, _SHIFT_SPREAD_MM = (6.0, -14.0, -45.0), (5.0, 6.0, 8.0)
_CROP_MM = (86.0, 112.0)  # half axes of the crop around the nose
_PROTECTED_MM = 6.0


@dataclass(frozen=True)
class ScannedMesh:
    """A scan as a file holds it.

    Attributes:
        vertices: (N, 3) millimetres.
        polygons: Corners as rows of `vertices`; triangles, some quads, a few pentagons.
        triangles: (F, 3) the same surface in triangles.
        uv: (U, 2), U > N.
        uv_polygons: Corners as rows of `uv`, polygon for polygon.
        uv_triangles: (F, 3), triangle for triangle.
        landmarks: (L,) rows of `vertices`.
        correspondence: (N,) the template vertex that each vertex is.
    """

    vertices: Floats
    polygons: Polygons
    triangles: Indices
    uv: Floats
    uv_polygons: Polygons
    uv_triangles: Indices
    landmarks: Indices
    correspondence: Indices


def scan_face(model: FaceModel, shape: Floats, landmarks: Indices, rng: np.random.Generator) -> ScannedMesh:
    """Scan a face.

    The crop and the order of the vertices are drawn anew for each scan, so that neither the number of a vertex nor how
    many there are says anything about the face.

    Args:
        model: For its triangles and texture coordinates.
        shape: (V, 3) the face, millimetres.
        landmarks: (L,) template vertices that survive the crop.
        rng: Randomness of this scan.
    """
    noisy = shape + _noise(model, shape, rng)
    kept = _crop(model, landmarks, rng)
    triangles = model.triangles[kept]
    used = rng.permutation(np.unique(triangles))
    used_uv = rng.permutation(np.unique(model.uv_triangles[kept]))
    row, uv_row = _inverse(used, len(model.template)), _inverse(used_uv, len(model.uv))
    order = rng.permutation(len(triangles))
    faces, uv_faces = row[triangles][order], uv_row[model.uv_triangles[kept]][order]
    polygons, uv_polygons = _merge(faces, uv_faces, rng)
    rotation, shift = _pose(rng)
    vertices = np.round(noisy[used] @ rotation.T + shift, DECIMALS)
    return ScannedMesh(
        vertices, polygons, faces, model.uv[used_uv], uv_polygons, uv_faces, row[landmarks], correspondence=used
    )


def _inverse(used: Indices, count: int) -> Indices:
    row = np.full(count, -1, dtype=np.int64)
    row[used] = np.arange(len(used))
    return row


def _pose(rng: np.random.Generator) -> tuple[Floats, Floats]:
    pitch, yaw, roll = np.radians(_POSE_DEGREES) * rng.standard_normal(3)
    (cx, cy, cz), (sx, sy, sz) = np.cos([pitch, yaw, roll]), np.sin([pitch, yaw, roll])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x, np.array(_SHIFT_MM) + np.array(_SHIFT_SPREAD_MM) * rng.standard_normal(3)


def _noise(model: FaceModel, shape: Floats, rng: np.random.Generator) -> Floats:
    """(V, 3): sensor noise along the viewing direction, a little smoothed, and a few small bumps."""
    count = len(shape)
    depth = rng.uniform(0.15, 0.4) * rng.standard_normal(count)
    depth = 0.5 * depth + 0.5 * (_neighbour_mean(model) @ depth)
    for _ in range(int(rng.poisson(3))):
        centre = shape[int(rng.integers(count))]
        radius, height = rng.uniform(3.0, 8.0), rng.normal(0.0, 0.8)
        depth += height * np.exp(-((shape - centre) ** 2).sum(axis=1) / (2 * radius**2))
    sideways = 0.05 * rng.standard_normal((count, 2))
    return np.column_stack([sideways, depth])


@lru_cache(maxsize=1)
def _neighbour_mean(model: FaceModel) -> csr_array:
    """Maps a value a vertex to the mean of its neighbours'."""
    triangles, count = model.triangles, len(model.template)
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)
    degree = np.bincount(edges[:, 0], minlength=count)
    return coo_array((1.0 / degree[edges[:, 0]], (edges[:, 0], edges[:, 1])), shape=(count, count)).tocsr()


def _crop(model: FaceModel, landmarks: Indices, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(F,) triangles inside a wavy ellipse around the nose, or beside a landmark."""
    nose = model.template[model.landmarks68[30]]
    x, y = ((model.template - nose)[:, :2] / _CROP_MM).T
    angle = np.arctan2(y, x)
    waves = sum(rng.normal(0.0, 0.02) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(1, 7))
    inside = np.hypot(x, y) < rng.uniform(0.93, 1.05) + waves
    for landmark in landmarks:
        inside |= ((model.template - model.template[landmark]) ** 2).sum(axis=1) < _PROTECTED_MM**2
    kept: NDArray[np.bool_] = inside[model.triangles].all(axis=1)
    return kept


def _merge(faces: Indices, uv_faces: Indices, rng: np.random.Generator) -> tuple[Polygons, Polygons]:
    """Polygons from triangles: here and there two become a quad, and three a pentagon.

    Each starts at the corner that all its triangles share, so that a fan from it gives the same triangles again.
    """
    neighbour = _Neighbours(faces, uv_faces)
    corners, uv_corners = faces.tolist(), uv_faces.tolist()
    gone: set[int] = set()
    merged: Polygons = []
    uv_merged: Polygons = []
    quads = int(QUAD_SHARE * len(corners)) + 1
    for number in rng.permutation(len(corners)).tolist():
        if len(merged) == quads + PENTAGONS:
            break
        triangles, polygon, uv_polygon = [number], corners[number], uv_corners[number]
        wanted = 5 if len(merged) < PENTAGONS else 4
        # A fan around the first corner grows over its edge to the second.
        while len(polygon) < wanted and (found := neighbour(polygon, uv_polygon)) is not None:
            triangle, opposite = found
            triangles.append(triangle)
            polygon = [polygon[0], corners[triangle][opposite], *polygon[1:]]
            uv_polygon = [uv_polygon[0], uv_corners[triangle][opposite], *uv_polygon[1:]]
        if len(set(polygon)) == wanted and gone.isdisjoint(triangles):
            gone.update(triangles)
            merged.append(polygon)
            uv_merged.append(uv_polygon)
    rest = [number for number in range(len(corners)) if number not in gone]
    return merged + [corners[n] for n in rest], uv_merged + [uv_corners[n] for n in rest]


class _Neighbours:
    """Finds the triangle across an edge, if the texture goes on across it too."""

    def __init__(self, faces: Indices, uv_faces: Indices) -> None:
        self.uv_faces = uv_faces
        self.span = int(faces.max()) + 1
        keys = (faces * self.span + np.roll(faces, -1, axis=1)).ravel()  # directed edges, three a triangle
        self.order = np.argsort(keys)
        self.keys = keys[self.order]

    def __call__(self, polygon: list[int], uv_polygon: list[int]) -> tuple[int, int] | None:
        """(triangle, its corner opposite to the edge) across the edge from the second corner to the first."""
        key = polygon[1] * self.span + polygon[0]
        place = int(np.searchsorted(self.keys, key))
        if place == len(self.keys) or self.keys[place] != key:
            return None
        triangle, start = divmod(int(self.order[place]), 3)
        uv_edge = [int(self.uv_faces[triangle, k % 3]) for k in (start, start + 1)]
        return (triangle, (start + 2) % 3) if uv_edge == [uv_polygon[1], uv_polygon[0]] else None
