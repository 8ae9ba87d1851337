"""Rigid alignment and vertex normals."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from fer_bench.geometry.alignment import CANONICAL, UnusableScan, align, find_motion, rigid_fit
from fer_bench.geometry.mean_face import mean_face
from fer_bench.geometry.scan import Scan
from fer_bench.geometry.surface import vertex_normals


def landmarks(without: tuple[str, ...] = (), seed: int = 0) -> dict[str, np.ndarray]:
    """A person: the canonical landmarks, each some millimetres off."""
    random = np.random.default_rng(seed)
    people = {name: (np.array(at) + random.normal(0, 3, 3)).astype(np.float32) for name, at in CANONICAL.items()}
    return {name: point for name, point in people.items() if name not in without}


def surface(seed: int = 0) -> np.ndarray:
    """(V, 3): a paraboloid with a nose at the canonical nose tip, in front of the origin."""
    x, y = np.random.default_rng(seed).uniform([-70, -90], [70, 90], (4000, 2)).T
    bump = 25 * np.exp(-((x / 12) ** 2) - (y / 18) ** 2)
    return np.stack([x, y, 15 - (x**2 + y**2 / 2) / 60 + bump], axis=1).astype(np.float32)


def moved(scan: Scan, rotation: np.ndarray, shift: np.ndarray) -> Scan:
    def move(points: np.ndarray) -> np.ndarray:
        return (points @ rotation.T + shift).astype(np.float32)

    return Scan(move(scan.vertices), scan.triangles, landmarks={n: move(p) for n, p in scan.landmarks.items()})


NO_TRIANGLES = np.empty((0, 3), dtype=np.int32)


@given(st.integers(0, 2**32 - 1), st.sampled_from([(), ("subnasale",), ("left_alare", "chin"), ("upper_lip",)]))
@settings(max_examples=25)
def test_with_landmarks_any_rigid_motion_is_undone(seed: int, without: tuple[str, ...]) -> None:
    scan = Scan(surface(), NO_TRIANGLES, landmarks=landmarks(without))
    random = np.random.default_rng(seed)
    other = moved(scan, Rotation.random(rng=random).as_matrix(), random.normal(0, 100, 3))
    expected, actual = align(scan), align(other)
    np.testing.assert_allclose(actual.vertices, expected.vertices, atol=2e-3)
    for name, point in expected.landmarks.items():
        np.testing.assert_allclose(actual.landmarks[name], point, atol=2e-3)


def test_a_canonical_face_stays_where_it_is() -> None:
    exact = {name: np.float32(at) for name, at in CANONICAL.items()}
    scan = Scan(surface(), NO_TRIANGLES, landmarks=exact)
    np.testing.assert_allclose(align(scan).vertices, scan.vertices, atol=1e-4)


def test_nothing_is_scaled() -> None:
    scan = Scan(surface() * 1.3, NO_TRIANGLES, landmarks={n: p * np.float32(1.3) for n, p in landmarks().items()})
    before, after = scan.vertices, align(scan).vertices
    np.testing.assert_allclose(
        np.linalg.norm(after[1:] - after[:-1], axis=1), np.linalg.norm(before[1:] - before[:-1], axis=1), atol=1e-3
    )


def test_an_open_mouth_does_not_tilt_the_head() -> None:
    closed, opened = landmarks(), landmarks()
    for name in ("chin", "lower_lip", "left_mouth_corner", "right_mouth_corner"):
        opened[name] = opened[name] + np.float32([0, -25, -8])
    a, b = (align(Scan(surface(), NO_TRIANGLES, landmarks=points)).vertices for points in (closed, opened))
    np.testing.assert_array_equal(a, b)


def test_the_mouth_stands_in_for_a_nose_that_is_unknown() -> None:
    # The eyes of this person lie in one line, so only the mouth tells how far the head is tilted.
    points = {name: np.float32(at) for name, at in CANONICAL.items() if "eye" in name or "corner" in name}
    for name in ("left_eye_inner", "right_eye_inner"):
        points[name] = points[name] - np.float32([0, 0, 10])
    tilted = Rotation.from_euler("x", 35, degrees=True).as_matrix()
    after = align(moved(Scan(surface(), NO_TRIANGLES, landmarks=points), tilted, np.zeros(3)))
    np.testing.assert_allclose(after.vertices[:, 1], surface()[:, 1], atol=15)  # it would be off by 50 mm


@pytest.mark.parametrize(
    "known",
    [
        {},
        {"left_eye_inner": np.float32([1, 2, 3])},
        landmarks(("right_eye_outer",)),
        landmarks(("subnasale", "left_mouth_corner")),
        landmarks() | {"left_eye_outer": np.float32([np.nan, 0, 0])},
    ],
    ids=["none", "one", "an eye corner missing", "nose and mouth missing", "not finite"],
)
def test_without_landmarks_the_surface_tells(known: dict[str, np.ndarray]) -> None:
    mean = mean_face()
    upside_down = Rotation.from_euler("xyz", [20, -30, 170], degrees=True).as_matrix()
    scan = moved(Scan(mean.vertices, mean.triangles), upside_down, np.array([300, -120, 77]))
    after = align(replace(scan, landmarks=known))
    assert not find_motion(replace(scan, landmarks=known)).by_landmarks
    np.testing.assert_allclose(after.vertices, mean.vertices, atol=0.5)


def test_a_face_in_metres_is_refused() -> None:
    mean = mean_face()
    with pytest.raises(UnusableScan, match="no face, or is not in millimetres"):
        align(Scan(mean.vertices / np.float32(1000), mean.triangles))


@pytest.mark.parametrize("vertices", [np.empty((0, 3)), np.array([[0, 0, np.nan]]), np.array([[0, np.inf, 0]])])
def test_unusable(vertices: np.ndarray) -> None:
    with pytest.raises(UnusableScan):
        align(Scan(vertices.astype(np.float32), NO_TRIANGLES))


def test_fit_never_mirrors() -> None:
    source = np.random.default_rng(1).normal(size=(6, 3))
    rotation, _ = rigid_fit(source, source * [-1, 1, 1])
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_fit_agrees_with_scipy() -> None:
    random = np.random.default_rng(2)
    source, target = random.normal(size=(2, 7, 3))
    rotation, translation = rigid_fit(source, target)
    reference, _ = Rotation.align_vectors(target - target.mean(0), source - source.mean(0))
    np.testing.assert_allclose(rotation, reference.as_matrix(), atol=1e-6)
    np.testing.assert_allclose(source.mean(0) @ rotation.T + translation, target.mean(0))


def test_normals_are_area_weighted_and_never_nan() -> None:
    # Vertex 0 joins a triangle facing +z and one of four times its area facing +x; 5 is isolated, 6-8 on one line.
    vertices = np.float32(
        [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 2, 0], [0, 0, 2], [9, 9, 9], [5, 0, 0], [6, 0, 0], [7, 0, 0]]
    )
    triangles = np.int32([[0, 1, 2], [0, 3, 4], [6, 7, 8]])
    normals = vertex_normals(vertices, triangles)
    np.testing.assert_allclose(normals[0], np.array([4, 0, 1]) / 17**0.5, atol=1e-6)
    np.testing.assert_allclose(normals[[1, 3]], [[0, 0, 1], [1, 0, 0]], atol=1e-6)
    assert not normals[5:].any()
