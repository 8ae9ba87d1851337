"""Non-rigid registration: the mean face bent onto a scan, so that every scan has the same vertices.

Non-rigid iterated closest points after Amberg, Romdhani & Vetter (CVPR 2007): match each vertex with the scan, solve
for the deformation, soften, repeat. Two things differ. What resists is the bending energy of the displacements, not
the difference of affine maps, so there are three unknowns a vertex instead of twelve. And a vertex is drawn to the
tangent plane of its match instead of to the point, so that it may slide; otherwise each step would nail it to whatever
lies nearest, and correspondence would come from where the iteration began instead of from the landmarks.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csc_array, diags_array
from scipy.sparse.linalg import SuperLU, splu
from scipy.spatial import cKDTree

from fer_bench.geometry.alignment import UnusableScan
from fer_bench.geometry.mean_face import mean_face
from fer_bench.geometry.sampling import resample
from fer_bench.geometry.scan import Scan
from fer_bench.geometry.surface import border_edges, vertex_normals

Floats = NDArray[np.float64]

# Chosen on twins of BU-3DFE, by the distance to the true correspondence, in this order of importance.
_STIFFNESS = np.geomspace(1e5, 10, 8)  # mm^2, one a step
_LANDMARK = 50.0  # the weight of one, where a vertex has 1 in the mean
_SLIDING = 0.01  # the weight of staying where it is on the tangent plane, against that of reaching the plane
_REACH_MM = np.geomspace(20, 5, 8)  # a match must be nearer,
_FACING = 0.5  # and its normal within 60 degrees
_SURFACE_POINTS = 40_000  # that matches are looked for among; 0.8 mm apart on a face
_JUDGED_POINTS = 5_000
_ITERATIONS, _TOLERANCE = 15, 1e-3  # of the conjugate gradients; the next step moves the planes by more


class Registration(NamedTuple):
    """The mean face where a scan has it.

    Attributes:
        vertices: (V, 3) float32 millimetres, in the order of `mean_face`.
        residual_mm: mean distance from the scan to the planes of the registered face, of those points of the scan that
            it covers.
        matched: share of the vertices that found their place on the scan; the others continue the surface smoothly.
    """

    vertices: NDArray[np.float32]
    residual_mm: float
    matched: float


def register(scan: Scan) -> Registration:
    """Bend the mean face onto a scan in the canonical frame; landmarks that both have hold it.

    Raises:
        UnusableScan: there is no surface where the face should be.
    """
    if len(scan.triangles) == 0:
        raise UnusableScan("the scan has no triangles")
    face, surface = mean_face(), _Surface(scan)
    names = [name for name in face.landmarks if name in scan.landmarks and np.isfinite(scan.landmarks[name]).all()]
    marked = np.array([face.landmarks[name] for name in names], dtype=np.int64)
    wanted = np.array([scan.landmarks[name] for name in names], dtype=np.float64).reshape(-1, 3)
    start = _sized(face.vertices.astype(np.float64), marked, wanted)
    areas, bending = _bending()
    held = np.zeros(len(start))
    held[marked] = _LANDMARK
    moved = np.zeros_like(start)
    for stiffness, reach in zip(_STIFFNESS, _REACH_MM, strict=True):
        points, normals, found = surface.match(start + moved, face.triangles, reach)
        if not found.any():
            raise UnusableScan("the scan has no surface where its landmarks, or its shape, say that the face is")
        weights = areas * found
        drawn = weights[:, None] * normals
        at_rest = _SLIDING * weights + 1e-6  # which keeps the system regular where nothing is found
        right = drawn * ((points - start) * normals).sum(axis=1)[:, None] + at_rest[:, None] * moved
        right[marked] += _LANDMARK * (wanted - start[marked])
        moved = _solved(stiffness * bending, weights, normals, at_rest + held, right, moved)
    registered = start + moved
    *_, found = surface.match(registered, face.triangles, _REACH_MM[-1])
    return Registration(
        registered.astype(np.float32), surface.distance(registered, face.triangles), float(found.mean())
    )


class _Surface:
    """A scan as a cloud of points that are near each other, with normals."""

    def __init__(self, scan: Scan) -> None:
        normals = vertex_normals(scan.vertices, scan.triangles)
        edge = _on_border(scan.triangles, len(scan.vertices))
        self.points = resample(scan.vertices, scan.triangles, _SURFACE_POINTS).astype(np.float64)
        nearest = cKDTree(scan.vertices).query(self.points)[1]
        self.normals, self.edge = normals[nearest].astype(np.float64), edge[nearest]
        self.tree = cKDTree(self.points)

    def match(
        self, vertices: Floats, triangles: NDArray[np.int32], reach: float
    ) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """(V, 3) the nearest points, (V, 3) their normals, (V,) which are matches.

        What is nearest to a point on the scan's border need not be its like: the face goes on there, the scan does not.
        """
        distances, nearest = self.tree.query(vertices)
        normals = self.normals[nearest]
        alike = (normals * vertex_normals(vertices, triangles)).sum(axis=1) > _FACING
        return self.points[nearest], normals, (distances < reach) & alike & ~self.edge[nearest]

    def distance(self, vertices: Floats, triangles: NDArray[np.int32]) -> float:
        """`Registration.residual_mm`."""
        judged = self.points[:: len(self.points) // _JUDGED_POINTS]
        nearest = cKDTree(vertices).query(judged)[1]
        covered = ~_on_border(triangles, len(vertices))[nearest]
        gaps = (judged - vertices[nearest]) * vertex_normals(vertices, triangles)[nearest]
        return float(np.abs(gaps.sum(axis=1)[covered]).mean()) if covered.any() else float("inf")


def _sized(vertices: Floats, marked: NDArray[np.int64], wanted: Floats) -> Floats:
    """The vertices scaled and shifted so that the marked ones spread as wide as wanted, about the same middle."""
    if len(marked) < 3:
        return vertices
    here, there = vertices[marked], wanted
    middle, target = here.mean(axis=0), there.mean(axis=0)
    scale = np.linalg.norm(there - target) / np.linalg.norm(here - middle)
    return (vertices - middle) * scale + target


@lru_cache(maxsize=1)
def _bending() -> tuple[Floats, csc_array]:
    """Of the mean face: (V,) each vertex's area, with mean 1, and the (V, V) matrix of the bending energy.

    The energy is the integral of the squared Laplacian, by cotangents (Meyer et al., 2003).
    """
    face = mean_face()
    vertices, count = face.vertices.astype(np.float64), len(face.vertices)
    rows, columns, cotangents = [], [], []
    areas = np.zeros(count)
    for corner in range(3):
        i, j, k = np.roll(face.triangles, -corner, axis=1).T
        one, other = vertices[j] - vertices[i], vertices[k] - vertices[i]
        double = np.linalg.norm(np.cross(one, other), axis=1)
        np.add.at(areas, i, double / 6)
        rows.append(j)
        columns.append(k)
        cotangents.append((one * other).sum(axis=1) / double)
    weights = coo_array((np.concatenate(cotangents), (np.concatenate(rows), np.concatenate(columns))), (count, count))
    weights = ((weights + weights.T) / 2).tocsr()
    weights.data = np.clip(weights.data, 0.02, 5)  # slivers and obtuse corners
    laplacian = diags_array(weights.sum(axis=1)) - weights
    return areas / areas.mean(), (laplacian.T @ diags_array(1 / areas) @ laplacian).tocsc()


def _solved(
    resists: csc_array, weights: Floats, normals: Floats, diagonal: Floats, right: Floats, start: Floats
) -> Floats:
    """(V, 3) the displacements at which the planes' pull, by weight, and all that resists it are in balance."""

    def product(x: Floats) -> Floats:
        pull = weights[:, None] * normals * (normals * x).sum(axis=1)[:, None]
        return pull + diagonal[:, None] * x + resists @ x

    # A third of each plane's pull goes along each axis in the mean, and then the axes do not know each other.
    alike = _factorised(diags_array(weights / 3 + diagonal) + resists)
    return _conjugate_gradients(product, alike, right, start)


def _factorised(matrix: csc_array) -> SuperLU:
    """Of a symmetric positive definite matrix."""
    symmetric = {"SymmetricMode": True}
    return splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=symmetric)


def _conjugate_gradients(product, alike, right, start):  # type: ignore[no-untyped-def]
    """Solve `product(x) = right` from `start`; `alike.solve` undoes something much like the product."""
    x = start
    rest = right - product(x)
    along = better = alike.solve(rest)
    before = first = (rest * better).sum()
    for _ in range(_ITERATIONS):
        if before <= _TOLERANCE**2 * first or before == 0:
            break
        step = product(along)
        length = before / (along * step).sum()
        x, rest = x + length * along, rest - length * step
        better = alike.solve(rest)
        after = (rest * better).sum()
        along = better + after / before * along
        before = after
    return x


def _on_border(triangles: NDArray[np.int32], count: int) -> NDArray[np.bool_]:
    """(V,) vertices on edges that only one triangle has."""
    alone = border_edges(triangles, count)
    found = np.zeros(count, dtype=bool)
    found[triangles[alone]] = found[np.roll(triangles, -1, axis=1)[alone]] = True
    return found
