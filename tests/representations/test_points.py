"""Point clouds as a representation."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fer_bench.errors import InvalidSuite
from fer_bench.geometry.alignment import CANONICAL, NOSE_TIP, UnusableScan
from fer_bench.geometry.scan import Scan
from fer_bench.representations.points import Points


def face(side: int = 55) -> Scan:
    """A face in the canonical frame, with the nose tip at row 0, and a lock of hair 150 mm above it."""
    x, y = (grid.ravel() for grid in np.meshgrid(np.linspace(-60, 60, side), np.linspace(-80, 80, side)))
    bump = 25 * np.exp(-((x / 12) ** 2) - (y / 18) ** 2)
    vertices = np.stack([x, y, 15 - (x**2 + y**2 / 2) / 60 + bump], axis=1)
    corner = np.arange(side * side).reshape(side, side)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]))
    hair = side * side + np.array([[0, 1, 2]])
    triangles = np.concatenate([np.column_stack([a, b, c]), np.column_stack([a, c, d]), hair])
    vertices = np.concatenate([vertices, [[0, 150, 20], [20, 150, 20], [0, 170, 20]]])
    landmarks = {name: np.float32(at) for name, at in CANONICAL.items()}
    return Scan(vertices.astype(np.float32), triangles.astype(np.int32), landmarks=landmarks)


def test_shape_dtype_and_unit_sphere() -> None:
    points = Points()
    cloud = points.extract(face())
    assert cloud.shape == points.shape == (2048, 3) and cloud.dtype == points.dtype == np.float32
    np.testing.assert_allclose(cloud.mean(axis=0), 0, atol=1e-5)
    assert np.linalg.norm(cloud, axis=1).max() == pytest.approx(1, abs=1e-5)
    assert len(np.unique(cloud, axis=0)) == 2048


def in_millimetres(cloud: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """The unit sphere undone, by the two points that every sample of the vertices holds: the nose tip, and the
    farthest from it."""
    away = np.linalg.norm(vertices - np.array(NOSE_TIP), axis=1)
    scale = away[away <= 110].max() / np.linalg.norm(cloud[1] - cloud[0])
    return (cloud.astype(np.float64) - cloud[0]) * scale + vertices[away.argmin()]


def test_begins_at_the_nose_and_leaves_out_what_is_far() -> None:
    scan = face()
    back = in_millimetres(Points(count=64, resampled=0).extract(scan), scan.vertices)
    distances = np.linalg.norm(back[:, None] - scan.vertices[None], axis=2)
    np.testing.assert_allclose(distances.min(axis=1), 0, atol=1e-2)
    assert len(scan.vertices) - 3 not in distances.argmin(axis=1)


def test_the_density_of_the_scan_does_not_show() -> None:
    scan = face()
    twice = replace(scan, vertices=np.concatenate([scan.vertices, scan.vertices[scan.triangles[:2000]].mean(axis=1)]))
    new = (len(scan.vertices) + np.arange(2000)).astype(np.int32)
    split = [np.column_stack([scan.triangles[:2000, [k, (k + 1) % 3]], new]) for k in range(3)]
    twice = replace(twice, triangles=np.concatenate([*split, scan.triangles[2000:]]))

    def halves(points: Points) -> float:
        """The share of points above the nose."""
        cloud = points.extract(twice)
        return float((cloud[:, 1] > cloud[0, 1]).mean())

    plain = Points(count=1000).extract(scan)
    expected = float((plain[:, 1] > plain[0, 1]).mean())
    assert halves(Points(count=1000)) == pytest.approx(expected, abs=0.02)


def test_a_wider_crop_keeps_the_hair() -> None:
    def spread(crop: float) -> float:
        cloud = Points(count=500, crop_mm=crop).extract(face())
        return float(np.median(np.linalg.norm(cloud, axis=1)))

    assert spread(200) < 0.8 * spread(110)  # one lock of hair shrinks the face


def test_small_scans_repeat_their_vertices_but_have_surface_enough() -> None:
    cloud = Points(count=100, resampled=0).extract(face(5))
    assert cloud.shape == (100, 3) and len(np.unique(cloud, axis=0)) <= 28
    assert len(np.unique(Points(count=100).extract(face(5)), axis=0)) == 100
    np.testing.assert_array_equal(Points(count=100).extract(face(5)), Points(count=100).extract(face(5)))


def test_the_pose_of_the_input_does_not_matter() -> None:
    scan = face()
    rotation, shift = Rotation.from_euler("xyz", [25, -40, 160], degrees=True).as_matrix(), [400, -90, 33]
    moved = replace(
        scan,
        vertices=(scan.vertices @ rotation.T + shift).astype(np.float32),
        landmarks={n: (p @ rotation.T + shift).astype(np.float32) for n, p in scan.landmarks.items()},
    )
    np.testing.assert_allclose(Points(count=50).extract(moved), Points(count=50).extract(scan), atol=2e-3)


def test_digest_and_label() -> None:
    assert Points().label == "points-2048" and Points(count=512, crop_mm=90).label == "points-512-90mm"
    assert Points(resampled=0).label == "points-2048-vertices" and Points(resampled=5000).label == "points-2048-of5000"
    assert Points().digest == Points(crop_mm=110).digest == "e481bb562361"
    assert len({Points().digest, Points(count=512).digest, Points(crop_mm=90).digest}) == 3
    points = Points()
    assert points.resolve(frozenset({"mesh"})) is points
    with pytest.raises(InvalidSuite, match="points: needs a dataset with a mesh, and this one offers image"):
        points.resolve(frozenset({"image"}))


@pytest.mark.parametrize(
    "parameters",
    [
        {"count": 0},
        {"count": -3},
        {"resampled": 2047},
        {"resampled": -1},
        {"crop_mm": 0},
        {"crop_mm": float("nan")},
        {"crop_mm": float("inf")},
    ],
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
