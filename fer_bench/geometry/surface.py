"""Normals and curvature of a triangle mesh at its vertices."""

import numpy as np
from numba import njit
from numpy.typing import NDArray


def vertex_normals(vertices: NDArray[np.floating], triangles: NDArray[np.int32]) -> NDArray[np.float32]:
    """(V, 3) float32 unit normals, triangles weighted by their area; zero where no triangle gives a direction.

    Args:
        vertices: (V, 3).
        triangles: (F, 3), every index below V.
    """
    return _vertex_normals(vertices, triangles)


@njit(cache=True, nogil=True)
def _vertex_normals(vertices, triangles):  # type: ignore[no-untyped-def]
    total = np.zeros((len(vertices), 3))
    edge, other = np.empty(3), np.empty(3)
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        for i in range(3):
            edge[i] = np.float64(vertices[b, i]) - vertices[a, i]
            other[i] = np.float64(vertices[c, i]) - vertices[a, i]
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            area = edge[j] * other[k] - edge[k] * other[j]  # twice the area, seen along axis i
            total[a, i] += area
            total[b, i] += area
            total[c, i] += area
    normals = np.zeros((len(vertices), 3), dtype=np.float32)
    for v in range(len(vertices)):
        length = np.sqrt(total[v, 0] ** 2 + total[v, 1] ** 2 + total[v, 2] ** 2)
        if length > 0:
            for i in range(3):
                normals[v, i] = total[v, i] / length
    return normals


def border_edges(triangles: NDArray[np.integer], count: int) -> NDArray[np.bool_]:
    """(F, 3) whether no other triangle has the edge from this corner to the next; `count` vertices there are."""
    corners = triangles.astype(np.int64)
    ends = np.stack([corners, np.roll(corners, -1, axis=1)])
    _, edge, users = np.unique(ends.min(axis=0) * count + ends.max(axis=0), return_inverse=True, return_counts=True)
    return users[edge].reshape(-1, 3) == 1


def mean_curvature(
    vertices: NDArray[np.floating], triangles: NDArray[np.int32], normals: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(V,) float32, one over millimetres: positive where the surface is convex, as at the nose, 0 where it has no edge.

    The mean over a vertex's edges of the normal curvature along each, (n_j - n_i) . (p_j - p_i) / |p_j - p_i|^2: a
    sphere of radius r gives 1 / r everywhere.

    Args:
        vertices: (V, 3) millimetres.
        triangles: (F, 3), every index below V.
        normals: (V, 3) as `vertex_normals` gives them.
    """
    return _mean_curvature(vertices, triangles, normals)


@njit(cache=True, nogil=True)
def _mean_curvature(vertices, triangles, normals):  # type: ignore[no-untyped-def]
    total, count = np.zeros(len(vertices)), np.zeros(len(vertices))
    for t in range(len(triangles)):
        for corner in range(3):
            i, j = triangles[t, corner], triangles[t, (corner + 1) % 3]
            along, squared = 0.0, 0.0
            for axis in range(3):
                step = np.float64(vertices[j, axis]) - vertices[i, axis]
                along += (np.float64(normals[j, axis]) - normals[i, axis]) * step
                squared += step * step
            if squared > 0:
                for end in (i, j):
                    total[end] += along / squared
                    count[end] += 1
    return (total / np.maximum(count, 1)).astype(np.float32)
