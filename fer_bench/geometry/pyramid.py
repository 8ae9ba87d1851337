"""Coarser and coarser versions of one mesh, and the way back: what mesh autoencoders pool with.

As CoMA (Ranjan et al., ECCV 2018, section 3.2): each level keeps some of the vertices of the one above, chosen by
quadric error; back up, a kept vertex takes its own value, and any other is projected onto the coarse surface and takes
the mix of a triangle's corners that gives its projection.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from fer_bench.geometry.simplification import simplify

_CANDIDATES = 24  # triangles with the nearest middles; the nearest triangle is among them unless it is a giant


class Level(NamedTuple):
    """One step down.

    Attributes:
        triangles: (F, 3) of the finer level.
        kept: (K,) rows of the finer level that the coarser one has.
        corners, weights: (V, 3) rows of the coarser level and their shares that give the finer one back.
    """

    triangles: NDArray[np.int64]
    kept: NDArray[np.int64]
    corners: NDArray[np.int64]
    weights: NDArray[np.float64]


def pyramid(vertices: NDArray[np.floating], triangles: NDArray[np.integer], factors: Sequence[int]) -> list[Level]:
    """Levels from fine to coarse, each with a `factor`-th of the vertices, rounded up and at least 4, or where the mesh
    allows no more mergers.

    Args:
        vertices: (V, 3).
        triangles: (F, 3).

    Raises:
        UnusableScan: see `simplify`.
    """
    levels = []
    for factor in factors:
        coarse = simplify(vertices, triangles.astype(np.int32), max(4, -(-len(vertices) // factor)))
        corners, weights = project(vertices, vertices[coarse.kept], coarse.triangles)
        corners[coarse.kept], weights[coarse.kept] = 0, 0.0
        corners[coarse.kept, 0], weights[coarse.kept, 0] = np.arange(len(coarse.kept)), 1.0
        levels.append(Level(triangles.astype(np.int64), coarse.kept, corners, weights))
        vertices, triangles = vertices[coarse.kept], coarse.triangles
    return levels


def project(
    points: NDArray[np.floating], vertices: NDArray[np.floating], triangles: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest place on a surface of each point (N, 3): its triangle's corners (N, 3) and their shares (N, 3), which
    add up to 1."""
    faces = triangles.astype(np.int64)
    corners = vertices.astype(np.float64)[faces]  # (F, 3, 3)
    count = min(_CANDIDATES, len(faces))
    near = cKDTree(corners.mean(axis=1)).query(points, k=count)[1].reshape(len(points), count)
    shares = _nearest_shares(points.astype(np.float64)[:, None], corners[near])  # (N, k, 3)
    there = np.einsum("nkc,nkcx->nkx", shares, corners[near])
    best = np.linalg.norm(there - points[:, None], axis=-1).argmin(axis=1)
    rows = np.arange(len(points))
    return faces[near[rows, best]], shares[rows, best]


def _nearest_shares(p: NDArray[np.float64], triangle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Barycentric coordinates (..., 3) of the point of each triangle (..., 3, 3) that is nearest to p (..., 3): inside
    where the projection onto the plane falls into the triangle, else the best of its three edges."""
    a, b, c = np.moveaxis(triangle, -2, 0)
    u, v, w = b - a, c - a, p - a
    uu, uv, vv = (u * u).sum(-1), (u * v).sum(-1), (v * v).sum(-1)
    wu, wv = (w * u).sum(-1), (w * v).sum(-1)
    area = uu * vv - uv * uv
    flat = area <= 1e-12 * np.maximum(uu * vv, 1e-300)
    second, third = (
        np.where(flat, -1.0, d / np.where(flat, 1.0, area)) for d in (vv * wu - uv * wv, uu * wv - uv * wu)
    )
    inside = np.stack([1 - second - third, second, third], axis=-1)
    found, nearest = inside, np.where((inside >= 0).all(-1), 0.0, np.inf)
    for first, other in ((0, 1), (1, 2), (2, 0)):
        start, step = triangle[..., first, :], triangle[..., other, :] - triangle[..., first, :]
        length = (step * step).sum(-1)
        share = np.clip(((p - start) * step).sum(-1) / np.where(length > 0, length, 1.0), 0, 1)
        gap = np.linalg.norm(start + share[..., None] * step - p, axis=-1)
        edge = np.zeros_like(found)
        edge[..., first], edge[..., other] = 1 - share, share
        better = gap < nearest
        found, nearest = np.where(better[..., None], edge, found), np.where(better, gap, nearest)
    return found
