"""The triangles around each vertex of a mesh, as linked lists of corners, compiled."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


class MeshCorners(NamedTuple):
    """A mesh that vertices are removed from. Corner 3 t + k is corner k of triangle t; -1 means none."""

    points: NDArray[np.float64]  # (V, 3)
    triangles: NDArray[np.int64]  # (F, 3), -1 where the triangle is gone
    first: NDArray[np.int64]  # (V,) a corner at each vertex,
    following: NDArray[np.int64]  # (3 F,) and behind each corner the next at the same vertex
    preceding: NDArray[np.int64]  # (3 F,)
    degree: NDArray[np.int64]  # (V,) triangles at each vertex
    # (V, 4, 4) as a function of the offset (x, y, z, 1) from the vertex, where its values are small; about a common
    # origin they would be differences of large numbers.
    quadrics: NDArray[np.float64]


@njit(cache=True, nogil=True)
def vertex_at(mesh, corner, steps):  # type: ignore[no-untyped-def]
    """The vertex a number of steps after a corner, around its triangle."""
    return mesh.triangles[corner // 3, (corner + steps) % 3]


@njit(cache=True, nogil=True)
def attach(mesh, corner, vertex):  # type: ignore[no-untyped-def]
    mesh.triangles[corner // 3, corner % 3] = vertex
    after = mesh.first[vertex]
    mesh.following[corner], mesh.preceding[corner] = after, -1
    if after >= 0:
        mesh.preceding[after] = corner
    mesh.first[vertex] = corner
    mesh.degree[vertex] += 1


@njit(cache=True, nogil=True)
def detach(mesh, corner):  # type: ignore[no-untyped-def]
    vertex = mesh.triangles[corner // 3, corner % 3]
    after, before = mesh.following[corner], mesh.preceding[corner]
    if before >= 0:
        mesh.following[before] = after
    else:
        mesh.first[vertex] = after
    if after >= 0:
        mesh.preceding[after] = before
    mesh.degree[vertex] -= 1
