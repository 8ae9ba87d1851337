"""Point clouds of a fixed size."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


def farthest_point_sample(points: NDArray[np.float32], count: int, start: int = 0) -> NDArray[np.int64]:
    """Greedy farthest-point sampling: each index names the point farthest from all those before it.

    Exact and the same everywhere: of points equally far the one with the lowest index is taken, and no index is taken
    twice. With fewer points than `count`, the whole order is repeated from its beginning.

    Our own, because fpsample 1.0.2 cannot do this fast: its bucket variants read `start_idx` in an order of their own,
    so that they begin at another point than the one asked for, and its plain variant takes twenty times as long.

    Args:
        points: (N, 3), finite, N > 0.
        count: how many indices.
        start: the first index; fixed, because a random start makes an evaluation differ from run to run.

    Returns:
        (count,) int64 rows of `points`.
    """
    assert count > 0 and 0 <= start < len(points)
    order, begins = _buckets(points)
    return np.resize(_sample(points.astype(np.float64), order, begins, min(count, len(points)), start), count)


def _buckets(points: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sort points into the cells of a grid: (N,) their rows, cell by cell, and (B + 1,) where each cell begins."""
    low = points.min(axis=0).astype(np.float64)
    extent = max(float((points - low).max()), 1e-9)
    side = max(1, round((len(points) / 64) ** 0.5))  # on a surface, about 64 points in each of side**2 cells
    cells = np.minimum((points - low) / extent * side, side - 1).astype(np.int64)
    keys = (cells[:, 0] * side + cells[:, 1]) * side + cells[:, 2]
    order = np.argsort(keys, kind="stable")
    begins = np.flatnonzero(np.diff(keys[order])) + 1
    return order, np.concatenate([[0], begins, [len(points)]])


@njit(cache=True, nogil=True)
def _sample(points, order, begins, count, start):  # type: ignore[no-untyped-def]
    buckets = len(begins) - 1
    points = points[order]  # neighbours in space become neighbours in memory
    low, high = np.empty((buckets, 3)), np.empty((buckets, 3))
    for b in range(buckets):
        for i in range(3):
            low[b, i] = points[begins[b] : begins[b + 1], i].min()
            high[b, i] = points[begins[b] : begins[b + 1], i].max()
    distance = np.full(len(points), np.inf)  # squared, to the nearest chosen point; -1 once chosen
    farthest = np.full(buckets, np.inf)  # the largest distance in each bucket,
    candidate = begins[:-1].copy()  # and where it is
    chosen = np.empty(count, dtype=np.int64)
    new = np.flatnonzero(order == start)[0]
    for k in range(count):
        chosen[k] = order[new]
        distance[new] = -1.0
        x, y, z = points[new]
        best = -1
        for b in range(buckets):
            dx = max(low[b, 0] - x, x - high[b, 0], 0.0)
            dy = max(low[b, 1] - y, y - high[b, 1], 0.0)
            dz = max(low[b, 2] - z, z - high[b, 2], 0.0)
            # No point of a bucket that lies farther off than its own farthest point can come nearer by this choice.
            if dx * dx + dy * dy + dz * dz < farthest[b] or begins[b] <= new < begins[b + 1]:
                farthest[b] = -2.0
                for p in range(begins[b], begins[b + 1]):
                    ex, ey, ez = points[p, 0] - x, points[p, 1] - y, points[p, 2] - z
                    distance[p] = min(distance[p], ex * ex + ey * ey + ez * ez)
                    if distance[p] > farthest[b]:
                        farthest[b], candidate[b] = distance[p], p
            if (
                best < 0
                or farthest[b] > farthest[best]
                or (farthest[b] == farthest[best] and order[candidate[b]] < order[candidate[best]])
            ):
                best = b
        new = candidate[best]
    return chosen


def unit_sphere(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 3) shifted to mean zero and scaled so that the farthest point has length 1; zeros if all points coincide."""
    centred = points - points.mean(axis=0, dtype=np.float64)
    radius = np.sqrt((centred**2).sum(axis=1)).max()
    return (centred / radius if radius > 0 else centred).astype(np.float32)
