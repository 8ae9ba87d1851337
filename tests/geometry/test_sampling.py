"""Farthest-point sampling against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fer_bench.geometry.sampling import farthest_point_sample, unit_sphere


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
@settings(max_examples=60, deadline=None)
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
