"""Vector arithmetic on vertices, compiled."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def triangle_normal(points, a, b, c):  # type: ignore[no-untyped-def]
    """A triangle's normal, its length, which is twice the area, and the square of the longest edge."""
    u, v, w = edge_offset(points, a, b), edge_offset(points, a, c), edge_offset(points, b, c)
    normal = cross(u, v)
    return normal, np.sqrt(dot(normal, normal)), max(dot(u, u), dot(v, v), dot(w, w))


@njit(cache=True, nogil=True)
def edge_offset(points, a, b):  # type: ignore[no-untyped-def]
    return points[b, 0] - points[a, 0], points[b, 1] - points[a, 1], points[b, 2] - points[a, 2], 1.0


@njit(cache=True, nogil=True)
def dot(u, v):  # type: ignore[no-untyped-def]
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2]


@njit(cache=True, nogil=True)
def cross(u, v):  # type: ignore[no-untyped-def]
    return u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]
