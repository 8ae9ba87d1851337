"""From a face to a scan of it: posed, noisy, cropped, and without correspondence between scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from fer_bench.geometry.scan import Scan
from fer_bench.io.bnd import named_landmarks
from fer_bench.twins.face import DECIMALS, FaceModel
from fer_bench.twins.landmarks import inside_polygon
from fer_bench.twins.sculpt_mesh import EYE, MOUTH, SKIN

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Polygons = list[list[int]]

QUAD_SHARE, PENTAGONS = 0.016, 3
"""Quads per triangle and pentagons per scan; a real BU-3DFE file has 248 and 2 on 15,184 polygons."""

_POSE_DEGREES = (4.0, 4.0, 2.0)  # standard deviations of pitch, yaw and roll: people hold still, but not exactly
# The middle of a real scan's extents lies off the nose, below and behind it.
_SHIFT_MM, _SHIFT_SPREAD_MM = (6.0, -14.0, -45.0), (5.0, 6.0, 8.0)
# How far the oval of the crop reaches beyond landmarks.
_BELOW_CHIN_MM, _ABOVE_BROW_MM, _BESIDE_JAW_MM = 19.0, 56.0, 7.0
_PROTECTED_MM = 6.0
_LIPS_APART_MM = 0.3
_LID_MM = 3.0  # of an eyeball that is kept behind each lid


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

    def split_at_seams(self) -> ScannedMesh:
        """The same surface in triangles with one vertex a texture coordinate, for formats that have one index for both:
        vertices on a seam of the texture are there twice."""
        owner = np.zeros(len(self.uv), dtype=np.int64)
        owner[self.uv_triangles] = self.triangles
        first = np.zeros(len(self.vertices), dtype=np.int64)
        first[owner[::-1]] = np.arange(len(owner))[::-1]
        polygons = self.uv_triangles.tolist()
        return replace(
            self,
            vertices=self.vertices[owner],
            polygons=polygons,
            triangles=self.uv_triangles,
            uv_polygons=polygons,
            landmarks=first[self.landmarks],
            correspondence=self.correspondence[owner],
        )


@dataclass(frozen=True)
class Pose:
    """Where a head is: `points @ rotation.T + shift`, in millimetres."""

    rotation: Floats
    shift: Floats

    @classmethod
    def turned(cls, pitch: float, yaw: float, roll: float, shift: Sequence[float] = (0.0, 0.0, 0.0)) -> Pose:
        """Turned by angles in degrees, rolled last. A positive yaw turns the face to the subject's left (+x), a
        positive pitch down, a positive roll tips the crown to the subject's right."""
        return cls(_rotation(np.radians([pitch, yaw, roll])), np.array(shift, dtype=np.float64))

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Pose:
        """A person facing the scanner, a few degrees off, with the head at the usual place."""
        angles = np.radians(_POSE_DEGREES) * rng.standard_normal(3)
        return cls(_rotation(angles), np.array(_SHIFT_MM) + np.array(_SHIFT_SPREAD_MM) * rng.standard_normal(3))

    def apply(self, points: Floats) -> Floats:
        """(N, 3) moved points."""
        moved: Floats = points @ self.rotation.T + self.shift
        return moved


def _rotation(angles: Floats) -> Floats:
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    rotation: Floats = about_z @ about_y @ about_x
    return rotation


def scan_face(
    model: FaceModel,
    shape: Floats,
    landmarks: Indices,
    rng: np.random.Generator,
    *,
    pose: Pose | None = None,
    cropped: bool = True,
    outline: np.random.Generator | None = None,
    polygons: bool = True,
) -> ScannedMesh:
    """Scan a face.

    The crop and the order of the vertices are drawn for each scan, so that neither the number of a vertex nor how
    many there are says anything about the face.

    Args:
        model: For its triangles and texture coordinates.
        shape: (V, 3) the face, millimetres.
        landmarks: (L,) template vertices that survive the crop.
        rng: Randomness of this scan.
        pose: Of the head; drawn if None.
        cropped: Whether the scan is cut to the face, or holds all that the model has.
        outline: Randomness of the crop alone; frames of a sequence that are given equal ones have the same outline.
        polygons: Whether a few triangles are merged into quads and pentagons.
    """
    noisy = shape + _noise(model, shape, rng)
    kept = _seen(model, shape)
    if cropped:
        kept &= _crop(model, landmarks, outline or rng)
    triangles = model.triangles[kept]
    used = rng.permutation(np.unique(triangles))
    used_uv = rng.permutation(np.unique(model.uv_triangles[kept]))
    row, uv_row = _inverse(used, len(model.template)), _inverse(used_uv, len(model.uv))
    order = rng.permutation(len(triangles))
    faces, uv_faces = row[triangles][order], uv_row[model.uv_triangles[kept]][order]
    corners = _merge(faces, uv_faces, rng) if polygons else (faces.tolist(), uv_faces.tolist())
    vertices = np.round((pose or Pose.draw(rng)).apply(noisy[used]), DECIMALS)
    return ScannedMesh(
        vertices, corners[0], faces, model.uv[used_uv], corners[1], uv_faces, row[landmarks], correspondence=used
    )


def scan_of(mesh: ScannedMesh, albedo: NDArray[np.uint8] | None) -> Scan:
    """The scan as a reader would give it, but for the order of its triangles."""
    vertices, uv = mesh.vertices.astype(np.float32), mesh.uv.astype(np.float32)
    triangles, uv_triangles = mesh.triangles.astype(np.int32), mesh.uv_triangles.astype(np.int32)
    known = named_landmarks(vertices[mesh.landmarks]) if len(mesh.landmarks) == 83 else {}
    return Scan(vertices, triangles, uv, uv_triangles, albedo, known)


def _inverse(used: Indices, count: int) -> Indices:
    row = np.full(count, -1, dtype=np.int64)
    row[used] = np.arange(len(used))
    return row


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
    """(F,) triangles inside a wavy oval from the hairline to below the chin, or beside a landmark."""
    marks = model.template[model.landmarks68]
    low, high = marks[8, 1] - _BELOW_CHIN_MM, marks[17:27, 1].max() + _ABOVE_BROW_MM
    x = model.template[:, 0] / (marks[16, 0] + _BESIDE_JAW_MM)
    y = (model.template[:, 1] - (low + high) / 2) / ((high - low) / 2)
    angle = np.arctan2(y, x)
    waves = sum(rng.normal(0.0, 0.01) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(1, 7))
    distance = (np.abs(x) ** 2.6 + np.abs(y) ** 2.6) ** (1 / 2.6)
    inside = (distance < rng.uniform(0.96, 1.06) + waves) | _beside(model, tuple(landmarks.tolist()))
    kept: NDArray[np.bool_] = inside[model.triangles].all(axis=1)
    return kept | np.isin(model.triangles, landmarks).any(axis=1)


@lru_cache(maxsize=1)
def _beside(model: FaceModel, landmarks: tuple[int, ...]) -> NDArray[np.bool_]:
    """(V,) template vertices close to a landmark."""
    marks = model.template[list(landmarks)]
    away = ((model.template[:, None] - marks) ** 2).sum(axis=2).min(axis=1)
    near: NDArray[np.bool_] = away < _PROTECTED_MM**2
    return near


def _seen(model: FaceModel, shape: Floats) -> NDArray[np.bool_]:
    """(F,) triangles that a scanner in front sees: what lids and lips leave of the eyes and the inside of the mouth."""
    marks = shape[model.landmarks68, :2]
    middle = shape[model.triangles, :2].mean(axis=1)
    apart = marks[61:64, 1] - marks[[67, 66, 65], 1]
    seen = (model.parts == SKIN) | ((model.parts == MOUTH) & bool(apart.max() > _LIPS_APART_MM))
    for rim in (marks[36:42], marks[42:48]):
        away = rim - rim.mean(axis=0)
        seen |= (model.parts == EYE) & inside_polygon(middle, rim + 0.2 * away + [0.0, _LID_MM] * np.sign(away))
    return seen


def _merge(faces: Indices, uv_faces: Indices, rng: np.random.Generator) -> tuple[Polygons, Polygons]:
    """Polygons from triangles: here and there two become a quad, and three a pentagon.

    Each starts at the corner that all its triangles share, so that a fan from it gives the same triangles again.
    """
    neighbour = _Neighbours(faces, uv_faces)
    free = np.ones(len(faces), dtype=bool)
    merged: Polygons = []
    uv_merged: Polygons = []
    quads = int(QUAD_SHARE * len(faces)) + 1
    for number in rng.permutation(len(faces)).tolist():
        if len(merged) == quads + PENTAGONS:
            break
        triangles, polygon, uv_polygon = [number], faces[number].tolist(), uv_faces[number].tolist()
        wanted = 5 if len(merged) < PENTAGONS else 4
        # A fan around the first corner grows over its edge to the second.
        while len(polygon) < wanted and (found := neighbour(polygon, uv_polygon)) is not None:
            triangle, opposite = found
            triangles.append(triangle)
            polygon.insert(1, int(faces[triangle, opposite]))
            uv_polygon.insert(1, int(uv_faces[triangle, opposite]))
        if len(set(polygon)) == wanted and free[triangles].all():
            free[triangles] = False
            merged.append(polygon)
            uv_merged.append(uv_polygon)
    return merged + faces[free].tolist(), uv_merged + uv_faces[free].tolist()


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
