"""Point clouds of a fixed size."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

_RUN = 16  # points in a leaf of the tree


def farthest_point_sample(points: NDArray[np.float32], count: int, start: int = 0) -> NDArray[np.int64]:
    """Greedy farthest-point sampling: each index names the point farthest from all those before it.

    Exact and the same everywhere: of points equally far the one with the lowest index is taken, and no index is taken
    twice. With fewer points than `count`, the whole order is repeated from its beginning.

    Our own, because fpsample 1.0.2 cannot do this fast: its bucket variants read `start_idx` in an order of their own,
    so that they begin at another point than the given one, and its plain variant takes twenty times as long.

    Args:
        points: (N, 3), finite, N > 0.
        count: how many indices.
        start: the first index; fixed, because a random start makes an evaluation differ from run to run.

    Returns:
        (count,) int64 rows of `points`.
    """
    assert count > 0 and 0 <= start < len(points)
    order = np.argsort(_codes(points), kind="stable")
    chosen = np.empty(min(count, len(points)), dtype=np.int64)
    x, y, z = np.ascontiguousarray(points[order].astype(np.float64).T)
    _sample(x, y, z, order, int(np.flatnonzero(order == start)[0]), chosen)
    return np.resize(chosen, count)


@njit(cache=True, nogil=True)
def _codes(points):  # type: ignore[no-untyped-def]
    """(N,) places on a Morton curve through 32 cells a side: what is near on it is near in space.

    Of 16 bits, because numpy sorts those in linear time.
    """
    low, extent = np.empty(3), 1e-9
    for i in range(3):
        low[i] = points[:, i].min()
        extent = max(extent, points[:, i].max() - low[i])
    codes = np.zeros(len(points), dtype=np.uint16)
    for p in range(len(points)):
        for i in range(3):
            cell = min(int((points[p, i] - low[i]) / extent * 32), 31)
            for bit in range(5):
                codes[p] |= (cell >> bit & 1) << (3 * bit + i)
    return codes


@njit(cache=True, nogil=True)
def _boxes(x, y, z):  # type: ignore[no-untyped-def]
    """(2 L, 3) the least and the largest coordinates of each node's points, inf and -inf where there are none."""
    leaves = 1
    while leaves * _RUN < len(x):
        leaves *= 2
    low, high = np.full((2 * leaves, 3), np.inf), np.full((2 * leaves, 3), -np.inf)
    for p in range(len(x)):
        leaf = leaves + p // _RUN
        for i, value in enumerate((x[p], y[p], z[p])):
            low[leaf, i], high[leaf, i] = min(low[leaf, i], value), max(high[leaf, i], value)
    for node in range(leaves - 1, 0, -1):
        for i in range(3):
            low[node, i] = min(low[2 * node, i], low[2 * node + 1, i])
            high[node, i] = max(high[2 * node, i], high[2 * node + 1, i])
    return low, high


# Without NaN a run's maximum is found eight points at a time; products and sums stay as written.
@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _sample(x, y, z, order, new, chosen):  # type: ignore[no-untyped-def]
    """Fill `chosen`; `new` is the first, in the order of the curve, as the points are.

    A binary tree stands on runs of points. Node n has the children 2 n and 2 n + 1, and knows the box around its
    points, and how far the farthest is from those chosen so far. A choice reaches only into boxes that are nearer to it
    than that.
    """
    low, high = _boxes(x, y, z)
    leaves = len(low) // 2
    farthest = np.where(low[:, 0] < np.inf, np.inf, -2.0)  # squared; -2 where there are no points
    distance = np.full(len(x), np.inf)  # squared, to the nearest chosen point; -1 once chosen
    visited = np.empty(2 * leaves, dtype=np.int64)
    for k in range(len(chosen)):
        chosen[k] = order[new]
        distance[new] = -1.0
        ax, ay, az = x[new], y[new], z[new]
        visited[0], count, done = 1, 1, 0
        while done < count:  # breadth first, so that every node follows its parent
            node = visited[done]
            done += 1
            if node >= leaves:
                first = (node - leaves) * _RUN
                most = -2.0
                for p in range(first, min(first + _RUN, len(x))):
                    dx, dy, dz = x[p] - ax, y[p] - ay, z[p] - az
                    distance[p] = min(distance[p], dx * dx + dy * dy + dz * dz)
                    most = max(most, distance[p])
                farthest[node] = most
                continue
            for child in (2 * node, 2 * node + 1):
                dx = max(low[child, 0] - ax, ax - high[child, 0], 0.0)
                dy = max(low[child, 1] - ay, ay - high[child, 1], 0.0)
                dz = max(low[child, 2] - az, az - high[child, 2], 0.0)
                gap = dx * dx + dy * dy + dz * dz
                # The point's own leaf is visited even if all its points coincide: one of them is none any more.
                if gap < farthest[child] or gap == farthest[child] == 0.0:
                    visited[count] = child
                    count += 1
        for place in range(count - 1, -1, -1):
            node = visited[place]
            if node < leaves:
                farthest[node] = max(farthest[2 * node], farthest[2 * node + 1])
        new = _first_farthest(farthest, distance, order, visited)


@njit(cache=True, nogil=True)
def _first_farthest(farthest, distance, order, stack):  # type: ignore[no-untyped-def]
    """The point of the root's distance that has the lowest index."""
    leaves, best = len(farthest) // 2, -1
    stack[0], count = 1, 1
    while count:
        count -= 1
        node = stack[count]
        if node < leaves:
            for child in (2 * node, 2 * node + 1):
                if farthest[child] == farthest[1]:
                    stack[count] = child
                    count += 1
            continue
        for p in range((node - leaves) * _RUN, min((node - leaves + 1) * _RUN, len(distance))):
            if distance[p] == farthest[1] and (best < 0 or order[p] < order[best]):
                best = p
    return best


def resample(vertices: NDArray[np.floating], triangles: NDArray[np.int32], count: int) -> NDArray[np.float32]:
    """Spread points over a surface, as many on each square millimetre: (count, 3) float32.

    Nothing is drawn at random: the points follow the triangles at even steps of area, and lie in them as the terms of
    the R2 sequence (Roberts, 2018), which covers a triangle more evenly than chance does.

    Args:
        vertices: (V, 3) finite.
        triangles: (F, 3), every index below V, not all without area.
        count: how many points.
    """
    points = np.empty((count, 3), dtype=np.float32)
    _resample(vertices.astype(np.float64), triangles, points)
    return points


@njit(cache=True, nogil=True)
def _resample(vertices, triangles, points):  # type: ignore[no-untyped-def]
    ends = np.empty(len(triangles))  # of the area up to each triangle
    total = 0.0
    for t in range(len(triangles)):
        a, b, c = vertices[triangles[t, 0]], vertices[triangles[t, 1]], vertices[triangles[t, 2]]
        px, py, pz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        qx, qy, qz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
        x, y, z = py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx
        total += np.sqrt(x * x + y * y + z * z)
        ends[t] = total
    t = 0
    for k in range(len(points)):
        while t < len(triangles) - 1 and ends[t] <= (k + 0.5) / len(points) * total:
            t += 1
        u, v = (0.5 + k * 0.7548776662466927) % 1.0, (0.5 + k * 0.5698402909980532) % 1.0
        if u + v > 1.0:  # the other half of the parallelogram, folded back
            u, v = 1.0 - u, 1.0 - v
        for i in range(3):
            a, b, c = vertices[triangles[t, 0], i], vertices[triangles[t, 1], i], vertices[triangles[t, 2], i]
            points[k, i] = a + u * (b - a) + v * (c - a)


def unit_sphere(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 3) shifted to mean zero and scaled so that the farthest point has length 1; zeros if all points coincide."""
    centred = points - points.mean(axis=0, dtype=np.float64)
    radius = np.sqrt((centred**2).sum(axis=1)).max()
    return (centred / radius if radius > 0 else centred).astype(np.float32)
