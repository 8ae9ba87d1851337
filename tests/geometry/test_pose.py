"""Finding a face by its shape."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fer_bench.geometry.alignment import Motion, find_motion
from fer_bench.geometry.pose import find_pose
from fer_bench.geometry.scan import Scan
from fer_bench.twins.face import procedural_face
from fer_bench.twins.landmarks import landmarks83
from fer_bench.twins.scans import scan_face, scan_of
from fer_bench.twins.sculpt_mesh import SKIN


def scanned(person: int) -> Scan:
    """Somebody who grimaces, as a scanner sees it: posed, noisy and cropped."""
    face, rng = procedural_face(), np.random.default_rng(person)
    shape = face.vertices(rng.standard_normal(len(face.identity)), 0.7 * (rng.random(len(face.expression)) > 0.9))
    marks = landmarks83(face.template, face.triangles, face.parts == SKIN, face.landmarks68)
    return scan_of(scan_face(face, shape, marks, rng), None)


def apart(scan: Scan, one: Motion, other: Motion) -> float:
    """Mean distance between two alignments of a scan, mm."""
    return float(np.linalg.norm(one.of(scan.vertices) - other.of(scan.vertices), axis=1).mean())


@pytest.mark.parametrize("person", range(4))
def test_agrees_with_landmarks(person: int) -> None:
    scan = scanned(person)
    pose = find_pose(scan.vertices, scan.triangles)
    # No fit to the whole face puts just these few landmarks where a fit to them alone does.
    assert apart(scan, Motion(pose.rotation, pose.translation, False), find_motion(scan)) < 8
    assert pose.distance < 3


@pytest.mark.parametrize("person", range(2))
@pytest.mark.parametrize("turned", [(0, 0, 180), (0, 180, 0), (180, 0, 0), (90, 0, 0), (35, -50, 100)], ids=str)
def test_whatever_the_orientation(person: int, turned: tuple[int, int, int]) -> None:
    scan = scanned(person)
    rotation, shift = Rotation.from_euler("xyz", turned, degrees=True).as_matrix(), np.array([400.0, -90.0, 33.0])
    other = (scan.vertices @ rotation.T + shift).astype(np.float32)
    upright, found = find_pose(scan.vertices, scan.triangles), find_pose(other, scan.triangles)
    np.testing.assert_allclose(
        other @ found.rotation.T + found.translation,
        scan.vertices @ upright.rotation.T + upright.translation,
        atol=5,
    )
    assert np.linalg.det(found.rotation) == pytest.approx(1)


@pytest.mark.parametrize("size", [0.75, 1.3])
def test_size_does_not_tilt_the_head(size: float) -> None:
    for person in (0, 2):  # without scaling the mean face, they end upside down
        scan = scanned(person)
        before, after = (find_pose(scan.vertices * factor, scan.triangles) for factor in (1.0, size))
        turned = Rotation.from_matrix(before.rotation @ after.rotation.T).magnitude()
        assert np.degrees(turned) < 1.5


def test_few_and_many_points() -> None:
    scan = scanned(1)
    assert np.isfinite(find_pose(np.zeros((1, 3)), np.zeros((0, 3), dtype=np.int32)).distance)
    dense = np.concatenate([scan.vertices + np.float32([0, 0, 1e-3 * k]) for k in range(5)])
    pose, thinned = (find_pose(v, scan.triangles) for v in (scan.vertices, dense))
    np.testing.assert_allclose(pose.translation, thinned.translation, atol=1.5)
