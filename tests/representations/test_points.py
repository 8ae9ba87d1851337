"""Point clouds as a representation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fer_bench.errors import InvalidSuite
from fer_bench.geometry.alignment import CANONICAL, NOSE_TIP, UnusableScan
from fer_bench.geometry.scan import Scan
from fer_bench.representations.points import Points


def face(count: int = 3000) -> Scan:
    """A face in the canonical frame; row 5 is the nose tip, and the last row a lock of hair 150 mm off."""
    x, y = np.random.default_rng(0).uniform([-60, -80], [60, 80], (count, 2)).T
    vertices = np.stack([x, y, 15 - (x**2 + y**2 / 2) / 60], axis=1)
    vertices[5], vertices[-1] = NOSE_TIP, [0, 150, 20]
    landmarks = {name: np.float32(at) for name, at in CANONICAL.items()}
    return Scan(vertices.astype(np.float32), np.int32([[0, 1, 2]]), landmarks=landmarks)


def test_shape_dtype_and_unit_sphere() -> None:
    points = Points()
    cloud = points.extract(face())
    assert cloud.shape == points.shape == (2048, 3) and cloud.dtype == points.dtype == np.float32
    np.testing.assert_allclose(cloud.mean(axis=0), 0, atol=1e-5)
    assert np.linalg.norm(cloud, axis=1).max() == pytest.approx(1, abs=1e-5)
    assert len(np.unique(cloud, axis=0)) == 2048


def test_begins_at_the_nose_and_leaves_out_what_is_far() -> None:
    scan = face()
    cloud = Points(count=64).extract(scan).astype(np.float64)
    # The unit sphere is undone by two points that every sample holds: the first, and the one farthest from it.
    near = scan.vertices[np.linalg.norm(scan.vertices - np.array(NOSE_TIP), axis=1) <= 110]
    assert len(near) < len(scan.vertices)
    farthest = near[np.linalg.norm(near - np.array(NOSE_TIP), axis=1).argmax()]
    scale = np.linalg.norm(farthest - np.array(NOSE_TIP)) / np.linalg.norm(cloud[1] - cloud[0])
    back = (cloud - cloud[0]) * scale + NOSE_TIP
    distances = np.linalg.norm(back[:, None] - near[None], axis=2).min(axis=1)
    np.testing.assert_allclose(distances, 0, atol=1e-2)


def test_a_wider_crop_keeps_the_hair() -> None:
    def spread(crop: float) -> float:
        cloud = Points(count=500, crop_mm=crop).extract(face())
        return float(np.median(np.linalg.norm(cloud, axis=1)))

    assert spread(200) < 0.8 * spread(110)  # one lock of hair shrinks the face


def test_small_scans_repeat_their_points() -> None:
    cloud = Points(count=100).extract(face(31))
    assert cloud.shape == (100, 3) and len(np.unique(cloud, axis=0)) <= 30
    np.testing.assert_array_equal(Points(count=100).extract(face(31)), cloud)


def test_the_pose_of_the_input_does_not_matter() -> None:
    scan = face()
    rotation, shift = Rotation.from_euler("xyz", [25, -40, 160], degrees=True).as_matrix(), [400, -90, 33]
    moved = replace(
        scan,
        vertices=(scan.vertices @ rotation.T + shift).astype(np.float32),
        landmarks={n: (p @ rotation.T + shift).astype(np.float32) for n, p in scan.landmarks.items()},
    )
    np.testing.assert_allclose(Points(count=50).extract(moved), Points(count=50).extract(scan), atol=1e-4)


def test_digest_and_label() -> None:
    assert Points().label == "points-2048" and Points(count=512, crop_mm=90).label == "points-512-90mm"
    assert Points().digest == Points(crop_mm=110).digest == "9096237d97dd"
    assert len({Points().digest, Points(count=512).digest, Points(crop_mm=90).digest}) == 3
    points = Points()
    assert points.resolve(frozenset({"mesh"})) is points
    with pytest.raises(InvalidSuite, match="points: needs a dataset with a mesh, and this one offers image"):
        points.resolve(frozenset({"image"}))


@pytest.mark.parametrize(
    "parameters", [{"count": 0}, {"count": -3}, {"crop_mm": 0}, {"crop_mm": float("nan")}, {"crop_mm": float("inf")}]
)
def test_parameters_are_checked(parameters: dict) -> None:
    with pytest.raises(InvalidSuite, match=next(iter(parameters))):
        Points(**parameters)


@pytest.mark.parametrize(
    ("vertices", "problem"),
    [
        (np.full((5, 3), np.nan), "not finite"),
        (np.empty((0, 3)), "no vertices"),
        (face().vertices + 5000, "within 110 mm of the nose"),  # landmarks of another scan
    ],
)
def test_unusable_scans(vertices: np.ndarray, problem: str) -> None:
    with pytest.raises(UnusableScan, match=problem):
        Points().extract(replace(face(), vertices=vertices.astype(np.float32)))
