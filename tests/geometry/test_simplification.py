"""Simplification: against its definition step by step, and what every result must be like."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fer_bench.errors import FerBenchError
from fer_bench.geometry.alignment import UnusableScan
from fer_bench.geometry.simplification import Simplification, simplify


def sphere(subdivisions: int = 3) -> tuple[np.ndarray, np.ndarray]:
    mesh = trimesh.creation.icosphere(subdivisions, radius=80.0)
    return np.array(mesh.vertices), np.array(mesh.faces, dtype=np.int32)


def height_field(side: int, z: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:side, :side].astype(np.float64)
    vertices = np.stack([x, y, np.broadcast_to(z, x.shape)], axis=-1).reshape(-1, 3)
    row = np.arange(side * side).reshape(side, side)
    a, b, c, d = (part.ravel() for part in (row[:-1, :-1], row[:-1, 1:], row[1:, 1:], row[1:, :-1]))
    return vertices, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)


def dome(side: int = 25) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return height_field(side, -(x**2 + y**2) / (2 * side))


def edges(triangles: np.ndarray) -> Counter[tuple[int, int]]:
    return Counter((a, b) for t in triangles.tolist() for a, b in zip(t, t[1:] + t[:1], strict=True))


def undirected(triangles: np.ndarray) -> Counter[frozenset[int]]:
    return Counter(frozenset(pair) for t in triangles.tolist() for pair in combinations(t, 2))


def normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b, c = np.moveaxis(vertices[triangles], 1, 0)
    return np.cross(b - a, c - a)


def valid(result: Simplification, vertices: np.ndarray) -> None:
    kept, triangles = result.kept, result.triangles
    assert kept.dtype == np.int64 and (np.diff(kept) > 0).all()
    assert len(kept) == 0 or (kept[0] >= 0 and kept[-1] < len(vertices))
    assert triangles.dtype == np.int32 and triangles.shape[1:] == (3,)
    assert len(triangles) == 0 or (triangles.min() >= 0 and triangles.max() < len(kept))
    sets = [frozenset(t) for t in triangles.tolist()]
    assert all(len(t) == 3 for t in sets) and len(set(sets)) == len(sets)


def manifold(triangles: np.ndarray) -> None:
    assert max(edges(triangles).values()) == 1  # so that no edge has three, and neighbours agree in orientation
    for vertex in range(triangles.max() + 1):
        follows = {t[i - 2]: t[i - 1] for t in triangles.tolist() for i in range(3) if t[i] == vertex}
        start = next(iter(set(follows) - set(follows.values())), next(iter(follows)))
        for _ in range(len(follows)):  # one fan, not two that touch in a point
            start = follows.pop(start)
        assert not follows


def border_loops(triangles: np.ndarray) -> list[list[int]]:
    directed = edges(triangles)
    follows = dict(edge for edge in directed if edge[::-1] not in directed)
    loops = []
    while follows:
        loops.append([next(iter(follows))])
        while loops[-1][-1] in follows:
            loops[-1].append(follows.pop(loops[-1][-1]))
        assert loops[-1][0] == loops[-1].pop()
    return loops


def farthest(result: Simplification, vertices: np.ndarray) -> float:
    """The largest distance of an original vertex to the simplified surface."""
    mesh = trimesh.Trimesh(vertices[result.kept], result.triangles, process=False)
    return float(trimesh.proximity.closest_point_naive(mesh, vertices)[1].max())


def by_definition(vertices: np.ndarray, triangles: np.ndarray, count: int) -> Simplification:
    """The cheapest allowed merger of all, each time anew, with quadrics about the origin."""
    vertices = vertices / np.abs(vertices).max()
    mesh, origins = [tuple(t) for t in triangles.tolist()], np.arange(len(triangles))
    quadrics = np.zeros((len(vertices), 4, 4))
    users = undirected(triangles)
    for t in mesh:
        normal = np.cross(vertices[t[1]] - vertices[t[0]], vertices[t[2]] - vertices[t[0]])
        area = np.linalg.norm(normal) / 2
        for i in range(3):
            a, b = t[i], t[i - 2]
            add_plane(quadrics, [a], vertices[a], normal, area)
            for axis in np.eye(3):
                add_plane(quadrics, [a], vertices[a], axis, 1e-4 * area)
            if users[frozenset((a, b))] == 1:
                edge = vertices[b] - vertices[a]
                add_plane(quadrics, [a, b], vertices[a], np.cross(edge, normal), 100 * edge @ edge)
    while True:
        used = {vertex for t in mesh for vertex in t}
        ends = {(a, b) for t in mesh for a, b in combinations(t, 2)}
        mergers = []
        for u, v in ends | {(b, a) for a, b in ends}:
            p = np.append(vertices[v], 1)
            mergers.append((p @ (quadrics[u] + quadrics[v]) @ p, u, v))
        choice = next(((u, v) for _, u, v in sorted(mergers) if allowed(vertices, mesh, u, v)), None)
        if len(used) <= count or choice is None:
            kept = np.array(sorted(used))
            return Simplification(kept, np.searchsorted(kept, np.array(mesh)).astype(np.int32), origins)
        u, v = choice
        quadrics[v] += quadrics[u]
        origins = origins[[not {u, v} <= set(t) for t in mesh]]
        mesh = [tuple(v if w == u else w for w in t) for t in mesh if not {u, v} <= set(t)]


def add_plane(quadrics: np.ndarray, rows: list[int], point: np.ndarray, normal: np.ndarray, weight: float) -> None:
    plane = np.append(normal, -normal @ point) / np.linalg.norm(normal)
    quadrics[rows] += weight * np.outer(plane, plane)


def allowed(vertices: np.ndarray, mesh: list[tuple[int, ...]], u: int, v: int) -> bool:
    # A vertex -1 joined to each border edge makes every surface closed; then the link condition is one equation.
    users = Counter(frozenset(pair) for t in mesh for pair in combinations(t, 2))
    closed = {frozenset(t) for t in mesh} | {edge | {-1} for edge, n in users.items() if n == 1}

    def link(*face: int) -> set[frozenset[int]]:
        star = [t - set(face) for t in closed if t >= set(face)]
        return {frozenset(part) for t in star for k in (1, 2) for part in combinations(t, k)}

    if link(u) & link(v) != link(u, v) or (frozenset([-1]) in link(u) and frozenset([-1]) not in link(u, v)):
        return False
    for t in mesh:
        if u in t and v not in t:
            old, new = vertices[list(t)], vertices[[v if w == u else w for w in t]]
            (size, normal, thin), (new_size, new_normal, new_thin) = map(form, (old, new))
            if new_thin <= min(0.02, thin):
                return False
            if normal @ new_normal < np.cos(np.radians(80)) * size * new_size:
                return False
    return True


def form(corners: np.ndarray) -> tuple[float, np.ndarray, float]:
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    longest = max(float((a - b) @ (a - b)) for a, b in combinations(corners, 2))
    return float(np.linalg.norm(normal)), normal, float(np.linalg.norm(normal)) / longest


def random_surfaces() -> list[tuple[np.ndarray, np.ndarray]]:
    chance = np.random.default_rng(3)
    rough, (ball, faces) = height_field(7, chance.normal(0, 0.7, (7, 7))), sphere(1)
    vertices, triangles = height_field(8, chance.normal(0, 0.3, (8, 8)))
    pierced = triangles[[not {18, 19, 27, 44} & set(t) for t in triangles.tolist()]]
    scattered = ball * chance.uniform(0.7, 1.0, (len(ball), 1))
    return [rough, (scattered, faces), (vertices + chance.normal(0, 0.05, vertices.shape), pierced)]


@pytest.mark.parametrize("surface", range(3))
def test_equals_the_definition(surface: int) -> None:
    vertices, triangles = random_surfaces()[surface]
    for count in (len(vertices) - 9, 20, 4):
        ours, theirs = simplify(vertices, triangles, count), by_definition(vertices, triangles, count)
        assert ours.kept.tolist() == theirs.kept.tolist()
        assert sorted(map(sorted, ours.triangles.tolist())) == sorted(map(sorted, theirs.triangles.tolist()))
        assert edges(ours.triangles) == edges(theirs.triangles)  # in the same orientation


def test_a_sphere_stays_a_sphere() -> None:
    vertices, triangles = sphere()
    # Of the hulls of as many random vertices: 3.0 and 6.7.
    for count, distance in ((320, 2.0), (160, 4.0), (30, 18.0)):
        result = simplify(vertices, triangles, count)
        valid(result, vertices)
        manifold(result.triangles)
        assert len(result.kept) == count and len(result.triangles) == 2 * count - 4
        assert count - len(undirected(result.triangles)) + len(result.triangles) == 2
        kept = vertices[result.kept]
        assert ((normals(kept, result.triangles) * kept[result.triangles].sum(axis=1)).sum(axis=1) > 0).all()
        assert farthest(result, vertices) < distance


def test_an_open_surface_keeps_its_border() -> None:
    vertices, triangles = dome()
    for count, distance in ((200, 0.1), (60, 0.35)):
        result = simplify(vertices, triangles, count)
        valid(result, vertices)
        manifold(result.triangles)
        assert len(result.kept) == count
        kept = vertices[result.kept]
        assert (normals(kept, result.triangles)[:, 2] > 0).all()
        (loop,) = border_loops(result.triangles)
        for bound in (np.min, np.max):
            assert bound(kept[loop, :2], axis=0).tolist() == bound(vertices[:, :2], axis=0).tolist()
        on_border = ((vertices == 0) | (vertices == 24))[:, :2].any(axis=1)
        assert on_border[result.kept[loop]].all() and on_border[result.kept].sum() == len(loop)
        assert farthest(result, vertices) < distance


def test_is_nearer_to_the_surface_than_a_regular_choice() -> None:
    y, x = np.mgrid[:21, :21] - 10.0
    vertices, triangles = height_field(21, 6 * np.exp(-(x**2 + y**2) / 10))
    every_second = np.flatnonzero((vertices[:, :2] % 2 == 0).all(axis=1))
    regular = Simplification(every_second, height_field(11, 0)[1], np.empty(0, dtype=np.int64))
    assert farthest(simplify(vertices, triangles, len(every_second)), vertices) < 0.15 * farthest(regular, vertices)


def test_flat_parts_go_before_curved_ones() -> None:
    y, x = np.mgrid[:30, :30].astype(np.float64)
    vertices, triangles = height_field(30, np.where(x > 15, np.sin(x - 15) * np.cos(y), 0))
    kept = simplify(vertices, triangles, 250).kept
    inside = ((vertices[:, :2] > 0) & (vertices[:, :2] < 29)).all(axis=1)
    flat, curved = (inside & (vertices[:, 0] < 15)), (inside & (vertices[:, 0] > 15))
    assert flat[kept].sum() < 10 and curved[kept].sum() > 150


@pytest.mark.parametrize("count", [4, 5, 9, 40])
def test_a_square_keeps_its_corners(count: int) -> None:
    vertices, triangles = height_field(20, 0)
    result = simplify(vertices, triangles, count)
    assert len(result.kept) == count and {0, 19, 380, 399} <= set(result.kept.tolist())
    assert normals(vertices[result.kept], result.triangles)[:, 2].sum() == 2 * 19 * 19
    assert (normals(vertices[result.kept], result.triangles)[:, 2] > 0).all()


def test_a_flat_part_is_thinned_evenly() -> None:
    vertices, triangles = height_field(40, 0)
    result = simplify(vertices, triangles, 120)
    corners = vertices[result.kept][result.triangles]
    assert np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max() < 20
    assert all(form(triangle)[2] > 0.02 for triangle in corners)


def test_density_does_not_matter() -> None:
    # Two halves alike, one of them sampled four times as densely.
    x = np.concatenate([np.arange(0, 20, 0.25), np.arange(20, 41, 1.0)])
    vertices, triangles = height_field(len(x), 0)
    vertices[:, :2] = np.stack([x[vertices[:, 0].astype(int)], vertices[:, 1] * 0.4], axis=1)
    vertices[:, 2] = 3 * np.cos(vertices[:, 0] * np.pi / 10) * np.cos(vertices[:, 1] * np.pi / 10)
    for count in (100, 400):
        kept = vertices[simplify(vertices, triangles, count).kept]
        assert 0.7 < (kept[:, 0] < 20).sum() / (kept[:, 0] > 20).sum() < 1.3


def test_no_slivers() -> None:
    chance = np.random.default_rng(0)
    for _ in range(30):
        vertices, triangles = height_field(10, chance.normal(0, 0.3, (10, 10)))
        vertices[:, 0] *= 6
        result = simplify(vertices, triangles, 30)
        assert min(form(corners)[2] for corners in vertices[result.kept][result.triangles]) > 0.02


def test_unused_vertices_go_first() -> None:
    vertices, triangles = sphere(1)
    loose = np.concatenate([vertices[:10], [[1e6, 0, 0], [0, 1e6, 0]], vertices[10:]])
    moved = np.where(triangles >= 10, triangles + 2, triangles)
    assert simplify(loose, moved, 44).kept.tolist() == list(range(44))
    assert simplify(loose, moved, 43).kept.tolist() == [*range(10), *range(11, 44)]
    assert simplify(loose, moved, 42).kept.tolist() == [*range(10), *range(12, 44)]
    assert simplify(np.zeros((9, 3)), np.empty((0, 3), dtype=np.int32), 4).kept.tolist() == [5, 6, 7, 8]


def test_separate_parts_and_small_ones_stay() -> None:
    vertices, triangles = sphere(1)
    lone = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    points = np.concatenate([lone, vertices + 200, vertices + 400])
    result = simplify(points, np.concatenate([[[0, 1, 2]], triangles + 3, triangles + 45]).astype(np.int32), 4)
    assert result.kept[:3].tolist() == [0, 1, 2] and result.triangles[0].tolist() == [0, 1, 2]
    sizes = [((result.kept >= low) & (result.kept < low + 42)).sum() for low in (3, 45)]
    assert min(sizes) >= 4  # more than was asked for, but nothing is torn or folded flat
    manifold(result.triangles)


@pytest.mark.parametrize("place", [0, 3, 14])  # at a corner, at a border, inside
def test_a_vertex_where_two_sheets_touch_stays(place: int) -> None:
    vertices, triangles = height_field(6, np.random.default_rng(0).normal(0, 0.1, (6, 6)))
    both = np.concatenate([vertices, vertices + np.array([0, 0, 9.0])])
    second = np.where(triangles == place, place - 36, triangles) + 36
    result = simplify(both, np.concatenate([triangles, second]).astype(np.int32), 4)
    valid(result, both)
    assert place in result.kept and len(result.kept) < 15


def test_an_edge_where_three_sheets_meet_stays() -> None:
    page, triangles = height_field(6, np.random.default_rng(0).normal(0, 0.1, (6, 6)))
    angle = np.array([0, 2, 4])[:, None]
    x, y, z = page.T
    pages = np.stack([x * np.cos(angle) - z * np.sin(angle), 0 * angle + y, x * np.sin(angle) + z * np.cos(angle)], 2)
    spine = np.flatnonzero(x == 0)
    rows = np.arange(108).reshape(3, 36)
    rows[:, spine] = spine
    result = simplify(pages.reshape(-1, 3), np.concatenate([row[triangles] for row in rows]).astype(np.int32), 4 + 30)
    valid(result, pages.reshape(-1, 3))
    assert set(spine) < set(result.kept) and len(result.kept) == 34  # of which 15 were spare, and still count
    assert Counter(undirected(result.triangles).values())[3] == 5


def test_triangles_without_area_or_named_twice() -> None:
    vertices, triangles = height_field(5, 0)
    extra = [triangles[3], triangles[3][::-1], [4, 4, 9], [7, 7, 7]]
    whole = simplify(vertices, np.concatenate([triangles, extra]).astype(np.int32), 25)
    assert whole.kept.tolist() == list(range(25)) and whole.triangles.tolist() == triangles.tolist()
    vertices[12] = vertices[13]  # an edge without length: the two triangles beside it have no area
    result = simplify(vertices, triangles, 8)
    valid(result, vertices)
    assert (normals(vertices[result.kept], result.triangles)[:, 2] > 0).all()
    assert len(simplify(np.zeros((25, 3)), triangles, 4).kept) >= 4


@pytest.mark.parametrize("scale", [1e-300, 1e307])
def test_the_unit_does_not_matter(scale: float) -> None:
    vertices, triangles = dome(15)
    expected = simplify(vertices, triangles, 50)
    result = simplify(vertices * 2.0 ** np.round(np.log2(scale)), triangles, 50)
    assert result.kept.tolist() == expected.kept.tolist()


def test_the_same_on_every_machine_and_in_every_thread() -> None:
    x, y = np.arange(144) % 12, np.arange(144) // 12
    vertices, triangles = height_field(12, ((x * x + 3 * x * y + 5 * y * y) % 17 / 16).reshape(12, 12))
    before = vertices.copy(), triangles.copy()
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: simplify(vertices, triangles, 24), range(8)))
    expected = [0, 2, 6, 7, 11, 24, 35, 41, 52, 58, 62, 69, 72, 89, 91, 95, 96, 110, 132, 135, 139, 140, 142, 143]
    for result in results:
        assert result.kept.tolist() == expected
        assert result.triangles.tolist() == results[0].triangles.tolist()
    assert (vertices == before[0]).all() and (triangles == before[1]).all()
    single = simplify(vertices.astype(np.float32), triangles, 24)
    assert single.kept.tolist() == expected  # the sixteenths are exact in both


def test_hubs_take_no_quadratic_time() -> None:
    angle = np.linspace(0, 2 * np.pi, 20_001)[:-1]
    rim = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    one = np.arange(20_000)
    sides = [np.stack([0 * one + hub, one + 2, (one + 1) % 20_000 + 2][:: 1 - 2 * hub], axis=1) for hub in (0, 1)]
    vertices = np.concatenate([[[0, 0, 1.0], [0, 0, -1.0]], rim])
    result = simplify(vertices, np.concatenate(sides).astype(np.int32), 200)  # hours, if each merger saw all of a hub
    assert len(result.kept) == 200 and {0, 1} <= set(result.kept.tolist())
    manifold(result.triangles)


@pytest.mark.parametrize("count", [-1, 0, 3, 43])
def test_an_impossible_number(count: int) -> None:
    with pytest.raises(FerBenchError, match=f"42 vertices cannot be simplified to {count}; ask for 4 to 42"):
        simplify(*sphere(1), count)


@pytest.mark.parametrize("index", [-1, 42, 2**31 - 1])
def test_an_index_without_a_vertex(index: int) -> None:
    vertices, triangles = sphere(1)
    triangles[5, 1] = index
    with pytest.raises(UnusableScan, match="names a vertex that does not exist"):
        simplify(vertices, triangles, 20)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_vertex_that_is_not_finite(value: float) -> None:
    vertices, triangles = sphere(1)
    vertices[7, 2] = value
    with pytest.raises(UnusableScan, match="not finite"):
        simplify(vertices, triangles, 20)


# Few places and few vertices: most edges have many triangles, and most triangles no area.
soups = st.integers(4, 14).flatmap(
    lambda n: st.tuples(
        arrays(np.float64, (n, 3), elements=st.sampled_from([0.0, 1.0, 2.0, 5.5, -1e-170, 1e200])),
        st.integers(0, 40).flatmap(lambda f: arrays(np.int32, (f, 3), elements=st.integers(0, n - 1))),
        st.integers(4, n),
    )
)


@given(soups)
@settings(max_examples=120)
def test_any_triangles_give_a_valid_result(soup: tuple[np.ndarray, np.ndarray, int]) -> None:
    vertices, triangles, count = soup
    result = simplify(vertices, triangles, count)
    valid(result, vertices)
    assert count <= len(result.kept)
    before = undirected(simplify(vertices, triangles, len(vertices)).triangles)
    after = undirected(result.triangles)
    assert max(after.values(), default=0) <= max(2, max(before.values(), default=0))
    if not after:
        assert len(result.kept) == count or not before


@given(st.integers(0, 2**32 - 1), st.integers(3, 8), st.integers(4, 64))
@settings(max_examples=40)
def test_any_rough_surface_stays_a_surface(seed: int, side: int, count: int) -> None:
    chance = np.random.default_rng(seed)
    vertices, triangles = height_field(side, chance.normal(0, 1, (side, side)))
    triangles = triangles[chance.permutation(len(triangles))]
    result = simplify(vertices, triangles, min(count, side * side))
    valid(result, vertices)
    manifold(result.triangles)
    assert len(border_loops(result.triangles)) == 1
    assert len(result.kept) - len(undirected(result.triangles)) + len(result.triangles) == 1
