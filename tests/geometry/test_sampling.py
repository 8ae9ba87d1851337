"""Farthest-point sampling against its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fer_bench.geometry.sampling import farthest_point_sample, resample, unit_sphere


def by_definition(points: np.ndarray, count: int, start: int) -> list[int]:
    points = points.astype(np.float64)
    nearest, chosen = np.full(len(points), np.inf), [start]
    while len(chosen) < count:
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
        nearest[chosen] = -1
        chosen.append(int(nearest.argmax()))
    return chosen


# Few values on a lattice: many points coincide, and many more are equally far.
clouds = st.integers(1, 300).flatmap(lambda n: arrays(np.float32, (n, 3), elements=st.sampled_from([0, 1, 2, 5.5])))


@given(clouds, st.data())
@settings(max_examples=60)
def test_equals_the_definition_also_with_ties(points: np.ndarray, data: st.DataObject) -> None:
    count, start = (data.draw(st.integers(low, len(points) - 1 + low)) for low in (1, 0))
    assert farthest_point_sample(points, count, start).tolist() == by_definition(points, count, start)


@pytest.mark.parametrize("scale", [1, 1e-3, 1e5])
@pytest.mark.parametrize("outlier", [False, True])
def test_equals_the_definition_on_a_surface(scale: float, outlier: bool) -> None:
    x, y = np.random.default_rng(0).normal(0, 40, (2, 2000))
    points = (np.stack([x, y, -(x**2 + y**2) / 200], axis=1) * scale).astype(np.float32)
    if outlier:  # leaves all others in one cell of the grid
        points[7] = [1e4 * scale, 0, 0]
    chosen = farthest_point_sample(points, 1900, start=11)
    assert chosen.dtype == np.int64 and chosen.tolist() == by_definition(points, 1900, 11)


def test_a_small_cloud_is_repeated() -> None:
    points = np.float32([[0, 0, 0], [1, 0, 0], [5, 0, 0]])
    assert farthest_point_sample(points, 8, start=1).tolist() == [1, 2, 0, 1, 2, 0, 1, 2]


def test_unit_sphere() -> None:
    points = np.random.default_rng(0).normal(3, 2, (100, 3)).astype(np.float32)
    scaled = unit_sphere(points)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-6)
    assert np.linalg.norm(scaled, axis=1).max() == pytest.approx(1, abs=1e-6)
    ratio = np.linalg.norm(scaled[1:] - scaled[:-1], axis=1) / np.linalg.norm(points[1:] - points[:-1], axis=1)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    assert not unit_sphere(np.ones((4, 3), dtype=np.float32)).any()


def test_resampled_points_lie_on_the_surface_as_densely_everywhere() -> None:
    # Two coplanar strips of one width, the second cut into many triangles; a triangle without area between them.
    x = np.concatenate([[0, 6], np.linspace(6, 10, 41)])
    vertices = np.float32([[a, b, 2 * a] for a in x for b in (0, 1)])
    quads = np.array([[2 * k, 2 * k + 2, 2 * k + 3, 2 * k + 1] for k in range(len(x) - 1)])
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
    points = resample(vertices, triangles, 10_000)
    assert points.shape == (10_000, 3) and points.dtype == np.float32
    np.testing.assert_allclose(points[:, 2], 2 * points[:, 0], atol=1e-5)
    counts, _, _ = np.histogram2d(points[:, 0], points[:, 1], bins=(10, 4), range=[[0, 10], [0, 1]])
    assert counts.sum() == 10_000 and counts.min() > 230 and counts.max() < 270  # 250 by area, 203..297 by chance
    np.testing.assert_array_equal(resample(vertices, triangles, 10_000), points)


def test_more_triangles_than_points_are_stepped_over() -> None:
    vertices = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    triangles = np.arange(300, dtype=np.int32).reshape(100, 3)
    points = resample(vertices, triangles, 3)
    normals = np.cross(*(vertices[triangles[:, k]] - vertices[triangles[:, 0]] for k in (1, 2)))
    off = np.einsum("pti,ti->pt", points[:, None] - vertices[triangles[:, 0]], normals)
    assert (np.abs(off).min(axis=1) < 1e-4).all()
