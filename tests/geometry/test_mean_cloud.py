import numpy as np
import pytest

from fer_bench.geometry.mean_cloud import mean_cloud
from fer_bench.geometry.sampling import farthest_point_sample


def dome(points: int, height: float, seed: int, radius: float = 0.8) -> np.ndarray:
    """Points that lie evenly, as those of the representation do."""
    random = np.random.default_rng(seed)
    angle, distance = random.uniform(0, 2 * np.pi, 8 * points), radius * np.sqrt(random.uniform(0, 1, 8 * points))
    x, y = distance * np.cos(angle), distance * np.sin(angle)
    cloud = np.column_stack([x, y, height * (1 - distance**2)]).astype(np.float32)
    return cloud[farthest_point_sample(cloud, points)]


def test_the_mean_of_two_domes_is_the_dome_between() -> None:
    clouds = np.stack([dome(2048, 0.2, 1), dome(2048, 0.6, 2)])
    mean = mean_cloud(clouds)
    assert mean.shape == (2048, 3) and mean.dtype == np.float32
    expected = 0.4 * (1 - (mean[:, :2] ** 2).sum(axis=1))
    assert np.abs(mean[:, 2] - expected).max() < 0.03
    assert np.abs(mean[:, 2] - expected).mean() < 0.004
    assert np.linalg.norm(mean[:, :2], axis=1).max() < 0.8 + 0.06, "it does not reach beyond the faces"
    assert np.linalg.norm(mean[0, :2]) < 0.1, "it begins at the top"
    assert len(np.unique(mean, axis=0)) == 2048


def test_the_order_of_faces_and_points_does_not_matter() -> None:
    random = np.random.default_rng(0)
    clouds = np.stack([dome(300, 0.2 + 0.1 * k, k) for k in range(3)])
    shuffled = np.stack([random.permutation(cloud) for cloud in clouds[[2, 0, 1]]])
    np.testing.assert_allclose(mean_cloud(shuffled), mean_cloud(clouds), atol=1e-6)


def test_a_part_that_few_faces_have_is_left_out() -> None:
    wide, narrow = dome(1000, 0.3, 1, radius=0.9), [dome(1000, 0.3, k, radius=0.5) for k in (2, 3)]
    assert np.linalg.norm(mean_cloud(np.stack([wide, *narrow]))[:, :2], axis=1).max() < 0.56
    assert np.linalg.norm(mean_cloud(np.stack([wide, wide, narrow[0]]))[:, :2], axis=1).max() > 0.8


def test_faces_without_a_common_surface_have_no_mean() -> None:
    shift = np.array([0.5, 0, 0], dtype=np.float32)
    left, right = dome(500, 0.3, 1, radius=0.1), dome(500, 0.3, 2, radius=0.1)
    with pytest.raises(ValueError, match=r"the mean of 3 clouds has \d+ nodes, and 500 points are wanted"):
        mean_cloud(np.stack([left - shift, right + shift, right + shift[[1, 0, 2]]]))
