"""Fewer vertices for a mesh, chosen among its own, so that one choice serves every mesh of the same topology.

Quadric error metrics (Garland & Heckbert, SIGGRAPH 1997): each vertex carries the squared distance to the planes of all
triangles it stands for, and the merger that adds least to it comes first. The paper moves the merged vertex to the
best place; here a vertex merges into one of its neighbours (a half-edge collapse), so that no position is new.

All sums run in the order of the indices and nothing is left to BLAS, so that the choice is the same on every machine.
"""

from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fer_bench.errors import FerBenchError
from fer_bench.geometry.alignment import UnusableScan
from fer_bench.geometry.corner_lists import MeshCorners, attach, detach, vertex_at
from fer_bench.geometry.surface import border_edges
from fer_bench.geometry.vector_kernels import cross, dot, edge_offset, triangle_normal

# Against moving the border. The paper has "a large penalty factor" and names none. This one holds a border ten
# times as close as the surface; with 1000 a curved border keeps all its vertices, which the surface then lacks.
_BORDER = 100.0
# Of the squared distance to the vertex itself. Where the surface is flat every merger costs nothing, and without this
# the order would be that of rounding errors; with it the vertices that stay are spread evenly.
_SPREAD = 1e-4
_TURN = 0.17364817766693033  # cosine of 80 degrees, the most that a triangle may turn in one merger
_THIN = 0.02  # twice the area by the longest edge squared: 0.87 if equilateral, 0 if the corners lie on a line
_WIDEST = 64  # triangles at a vertex that takes part in a merger; without a bound, hubs would cost quadratic time


@dataclass(frozen=True)
class Simplification:
    """Which vertices stay, and the triangles between them.

    Attributes:
        kept: (K,) int64 rows of the original vertices, ascending.
        triangles: (F, 3) int32 rows of `kept`, oriented as in the original mesh.
        origins: (F,) int64 rows of the original triangles that these come from, corner for corner.
    """

    kept: NDArray[np.int64]
    triangles: NDArray[np.int32]
    origins: NDArray[np.int64]


def simplify(vertices: NDArray[np.floating], triangles: NDArray[np.int32], count: int) -> Simplification:
    """Reduce a mesh to `count` of its vertices; unused vertices go first, then the cheapest mergers, ties by index.

    A merger is refused that would turn a triangle by more than 80 degrees, make it a sliver, change the topology
    (Dey et al., Topology preserving edge contraction, 1999) or take a vertex off the border. If no other is left, more
    than `count` vertices remain. Vertices whose triangles do not form one fan of like orientation always stay, as do
    those of more than 64 triangles. Triangles that name a vertex twice, or the same three as an earlier one, are left
    out.

    Departures from the paper: planes count by the area of their triangles, as in Garland's thesis (1999), so that
    the result does not depend on how densely a flat region was sampled; and pairs without an edge are not merged.

    Args:
        vertices: (V, 3) in any unit.
        triangles: (F, 3).
        count: From 4 to V.

    Raises:
        FerBenchError: `count` is out of its range.
        UnusableScan: a vertex is not finite, or a triangle names one that does not exist.
    """
    if not 4 <= count <= len(vertices):
        raise FerBenchError(f"{len(vertices)} vertices cannot be simplified to {count}; ask for 4 to {len(vertices)}.")
    if not np.isfinite(vertices).all():
        raise UnusableScan("some vertices are not finite")
    if len(triangles) and not (triangles.min() >= 0 and triangles.max() < len(vertices)):
        raise UnusableScan("a triangle names a vertex that does not exist")
    points = vertices.astype(np.float64)
    points /= max(np.abs(points).max(), np.finfo(np.float64).tiny)  # squares neither overflow nor vanish
    distinct = _distinct(triangles)
    corners = triangles[distinct].astype(np.int64)
    alive = _simplify(points, corners, border_edges(corners, len(points)), count)
    kept = np.flatnonzero(alive)
    renumbered = np.cumsum(alive) - 1
    left = corners[:, 0] >= 0
    return Simplification(kept, renumbered[corners[left]].astype(np.int32), distinct[left])


def _distinct(triangles: NDArray[np.int32]) -> NDArray[np.int64]:
    """Rows of those that name three vertices, each three once."""
    ordered = np.sort(triangles, axis=1)
    proper = (ordered[:, 0] < ordered[:, 1]) & (ordered[:, 1] < ordered[:, 2])
    _, first = np.unique(ordered[proper], axis=0, return_index=True)
    return np.flatnonzero(proper)[np.sort(first)]


@njit(cache=True, nogil=True)
def _simplify(points, triangles, border, count):  # type: ignore[no-untyped-def]
    """Mark (V,) the vertices that stay, and change the triangles to theirs; -1 in those that are gone."""
    total, links = len(points), np.empty((2, 3 * len(triangles)), dtype=np.int64)
    degree, quadrics = np.zeros(total, dtype=np.int64), np.zeros((total, 4, 4))
    mesh = MeshCorners(points, triangles, np.full(total, -1), links[0], links[1], degree, quadrics)
    for t in range(len(triangles)):
        for k in range(3):
            attach(mesh, 3 * t + k, triangles[t, k])
        _add_planes(mesh, t, border[t])
    loose = np.flatnonzero(degree == 0)[: total - count]
    alive, left = np.full(total, True), total - len(loose)
    alive[loose] = False
    ring, around = np.empty(_WIDEST + 1, dtype=np.int64), np.empty(_WIDEST + 1, dtype=np.int64)
    costs = np.array([_cheapest(mesh, u, ring)[0] for u in range(total)])
    heap = [(costs[u], u) for u in range(total)]
    heapify(heap)
    while left > count and heap[0][0] < np.inf:
        cost, u = heappop(heap)
        if not alive[u] or cost != costs[u]:
            continue  # an entry that a later one replaced
        # Elsewhere than around a merger, costs only rise and mergers only become forbidden: an entry is never too high.
        costs[u], v = _cheapest(mesh, u, around)
        if costs[u] != cost:
            heappush(heap, (costs[u], u))
            continue
        neighbours = around[: mesh.degree[u] + 1]
        _merge(mesh, u, v)
        alive[u] = False
        left -= 1
        for w in neighbours:
            before = costs[w]
            costs[w] = _cheapest(mesh, w, ring)[0]
            if costs[w] != before:
                heappush(heap, (costs[w], w))
    return alive


@njit(cache=True, nogil=True)
def _cheapest(mesh, u, ring):  # type: ignore[no-untyped-def]
    """The cost of the cheapest merger of `u` that is allowed, infinite without one, and the neighbour to merge into."""
    length, closed = _fan(mesh, u, ring)
    best, into = np.inf, -1
    for i in range(length + (length > 0 and not closed)):
        v = ring[i]
        cost = _quadric(mesh, u, v) + mesh.quadrics[v, 3, 3]
        if (cost < best or (cost == best and v < into)) and _keeps_topology(mesh, ring, length, closed, i):
            for k in range(length):
                a, b = ring[k], ring[k + 1]
                if v not in (a, b) and not _keeps_shape(mesh.points, u, v, a, b):
                    break
            else:
                best, into = cost, v
    return best, into


@njit(cache=True, nogil=True)
def _fan(mesh, u, ring):  # type: ignore[no-untyped-def]
    """Order the neighbours of `u` so that its triangles are (u, ring[i], ring[i + 1]), counter-clockwise.

    Returns:
        The number of triangles, 0 if they form no such fan; and whether it is closed, its last neighbour the first.
    """
    length = mesh.degree[u]
    if length == 0 or length > _WIDEST:
        return 0, False
    corner = mesh.first[u]
    ring[0] = vertex_at(mesh, corner, 1)
    while corner >= 0:
        a = vertex_at(mesh, corner, 1)
        if _sharing(mesh, u, a, u) == 1:
            ring[0] = a  # on the border, where an open fan begins
        corner = mesh.following[corner]
    for i in range(length):  # ends early if two triangles begin alike, or the fan has several parts
        corner = mesh.first[u]
        while corner >= 0 and vertex_at(mesh, corner, 1) != ring[i]:
            corner = mesh.following[corner]
        if corner < 0:
            return 0, False
        ring[i + 1] = vertex_at(mesh, corner, 2)
        for k in range(i + 1):
            if ring[k] == ring[i + 1] and (k > 0 or i + 1 < length):
                return 0, False
    return length, ring[0] == ring[length]


@njit(cache=True, nogil=True)
def _keeps_topology(mesh, ring, length, closed, i):  # type: ignore[no-untyped-def]
    """Whether merging the fan's vertex into `ring[i]` leaves a surface of the same kind: the link condition."""
    v = ring[i]
    if mesh.degree[v] > _WIDEST or (not closed and 0 < i < length):
        return False  # from the border, only along the border
    if length == 1:
        return _sharing(mesh, v, ring[1 - i], v) > 1  # else nothing would be left of a lone triangle
    if closed and length == 3:
        return _sharing(mesh, v, ring[(i + 1) % 3], ring[(i + 2) % 3]) == 0  # a tetrahedron would fold flat
    # A third vertex joined to both must be one of the triangles that vanish, else two surfaces meet at an edge.
    for k in range(length if closed else length + 1):
        apart = min(abs(k - i), length - abs(k - i)) if closed else abs(k - i)
        if apart > 1 and _sharing(mesh, v, ring[k], v) > 0:
            return False
    return True


@njit(cache=True, nogil=True)
def _sharing(mesh, v, a, b):  # type: ignore[no-untyped-def]
    """How many triangles at `v` have the corners `a` and `b`, of which one may be `v` itself."""
    found = 0
    vertex = v if mesh.degree[v] <= mesh.degree[a] else a
    corner = mesh.first[vertex]
    while corner >= 0:
        p, q, r = mesh.triangles[corner // 3]
        found += v in (p, q, r) and a in (p, q, r) and b in (p, q, r)
        corner = mesh.following[corner]
    return found


@njit(cache=True, nogil=True)
def _keeps_shape(points, u, v, a, b):  # type: ignore[no-untyped-def]
    """Whether the triangle (u, a, b) neither turns over nor becomes a sliver with `v` in the place of `u`."""
    normal, size, longest = triangle_normal(points, u, a, b)
    new_normal, new_size, new_longest = triangle_normal(points, v, a, b)
    if new_size <= _THIN * new_longest and new_size * longest <= size * new_longest:
        return False  # a sliver, unless it already was a worse one
    return dot(normal, new_normal) >= _TURN * size * new_size


@njit(cache=True, nogil=True)
def _add_planes(mesh, t, border):  # type: ignore[no-untyped-def]
    """Give the corners of triangle `t` the quadric of its plane, and of a plane upright on each border edge."""
    corners = mesh.triangles[t]
    normal, size, _ = triangle_normal(mesh.points, corners[0], corners[1], corners[2])
    if size < 1e-60:
        return  # no plane, and squares of squares would vanish
    for k in range(3):
        a, b = corners[k], corners[(k + 1) % 3]
        edge = edge_offset(mesh.points, a, b)
        upright = cross(edge, normal)
        weight = _BORDER * dot(edge, edge) / dot(upright, upright) if border[k] else 0.0
        for i in range(3):  # the planes hold both ends, so that only the second powers change
            mesh.quadrics[a, i, i] += 0.5 * size * _SPREAD
            for j in range(3):
                mesh.quadrics[a, i, j] += 0.5 * normal[i] * normal[j] / size + weight * upright[i] * upright[j]
                mesh.quadrics[b, i, j] += weight * upright[i] * upright[j]


@njit(cache=True, nogil=True)
def _quadric(mesh, u, v):  # type: ignore[no-untyped-def]
    """The quadric of `u` at the place of `v`."""
    offset, value = edge_offset(mesh.points, u, v), 0.0
    for i in range(4):
        for k in range(4):
            value += mesh.quadrics[u, i, k] * offset[i] * offset[k]
    return max(0.0, value)


@njit(cache=True, nogil=True)
def _merge(mesh, u, v):  # type: ignore[no-untyped-def]
    """Put `v` in the place of `u`; the triangles that have both vanish."""
    offset, value = edge_offset(mesh.points, u, v), _quadric(mesh, u, v)
    for i in range(3):
        slope = 0.0
        for k in range(4):
            slope += mesh.quadrics[u, i, k] * offset[k]
        mesh.quadrics[v, i, 3] += slope
        mesh.quadrics[v, 3, i] += slope
        for k in range(3):
            mesh.quadrics[v, i, k] += mesh.quadrics[u, i, k]
    mesh.quadrics[v, 3, 3] += value
    corner = mesh.first[u]
    while corner >= 0:
        after = mesh.following[corner]
        t = corner // 3
        if v in (vertex_at(mesh, corner, 1), vertex_at(mesh, corner, 2)):
            for k in range(3):
                detach(mesh, 3 * t + k)
            mesh.triangles[t] = -1
        else:
            detach(mesh, corner)
            attach(mesh, corner, v)
        corner = after
