"""Non-rigid registration, against the true correspondence of twins."""

from dataclasses import replace

import numpy as np
import pytest

from fer_bench.geometry.alignment import UnusableScan, align
from fer_bench.geometry.mean_face import mean_face
from fer_bench.geometry.nonrigid import register
from fer_bench.geometry.scan import Scan
from fer_bench.twins.face import procedural_face
from fer_bench.twins.landmarks import landmarks83
from fer_bench.twins.scans import scan_face, scan_of
from fer_bench.twins.sculpt_mesh import SKIN


def scanned(person: int, *, opened: float = 0.0) -> tuple[Scan, np.ndarray]:
    """Somebody's scan in the canonical frame, and which of its vertices each of the mean face is, -1 if none."""
    face, rng = procedural_face(), np.random.default_rng(person)
    expression = np.zeros(len(face.expression_names))
    expression[face.expression_names.index("jawOpen")] = opened
    marks = landmarks83(face.template, face.triangles, face.parts == SKIN, face.landmarks68)
    mesh = scan_face(face, face.vertices(rng.standard_normal(len(face.identity)), expression), marks, rng)
    row = np.full(len(face.template), -1)
    row[mesh.correspondence] = np.arange(len(mesh.correspondence))
    return align(scan_of(mesh, None)), row[mean_face().template]


def errors(vertices: np.ndarray, scan: Scan, rows: np.ndarray) -> np.ndarray:
    """Millimetres from the true places."""
    return np.linalg.norm(vertices[rows >= 0] - scan.vertices[rows[rows >= 0]], axis=1)


@pytest.mark.parametrize(("person", "opened"), [(0, 0.0), (1, 0.8)])
def test_vertices_find_their_place(person: int, opened: float) -> None:
    scan, rows = scanned(person, opened=opened)
    found = register(scan)
    before, after = (errors(v, scan, rows) for v in (mean_face().vertices, found.vertices))
    assert after.mean() < 2.6 and np.median(after) < 1.8
    assert after.mean() < 0.5 * before.mean()
    assert found.residual_mm < 0.25 and found.matched > 0.85
    inner = np.abs(mean_face().vertices[:, :2] - [0, 0]).max(axis=1) < 30  # around nose and mouth, where features are
    assert np.median(errors(found.vertices, scan, np.where(inner, rows, -1))) < 1.2
    again = register(scan)
    np.testing.assert_array_equal(again.vertices, found.vertices)


def test_landmarks_are_worth_having() -> None:
    scan, rows = scanned(1, opened=0.8)
    without = register(replace(scan, landmarks={}))
    assert errors(register(scan).vertices, scan, rows).mean() < 0.8 * errors(without.vertices, scan, rows).mean()


def test_a_hole_and_a_stray_landmark_are_bridged() -> None:
    scan, rows = scanned(2)
    cheek = scan.vertices[mean_face_row(scan, (40, -10))]
    whole = np.linalg.norm(scan.vertices[scan.triangles].mean(axis=1) - cheek, axis=1) > 12
    landmarks = scan.landmarks | {"chin": np.full(3, np.nan, dtype=np.float32)}
    torn = register(replace(scan, triangles=scan.triangles[whole], landmarks=landmarks))
    assert errors(torn.vertices, scan, rows).mean() < 2.8
    assert torn.matched < register(scan).matched


def mean_face_row(scan: Scan, place: tuple[float, float]) -> int:
    """The scan's vertex in front of a place."""
    return int(np.linalg.norm(scan.vertices[:, :2] - place, axis=1).argmin())


def test_nothing_beyond_the_edge_of_a_scan_is_taken_for_found() -> None:
    scan, rows = scanned(0)
    half = replace(scan, triangles=scan.triangles[scan.vertices[scan.triangles][:, :, 0].mean(axis=1) < 25])
    there = np.isin(rows, half.triangles)
    found = register(half)
    assert 0.8 * there.mean() < found.matched < there.mean()
    assert errors(found.vertices, scan, np.where(there, rows, -1)).mean() < 1.5


def test_a_scan_of_something_else_stands_out() -> None:
    scan, _ = scanned(0)
    ball = np.random.default_rng(0).normal(size=(3000, 3))
    ball = (60 * ball / np.linalg.norm(ball, axis=1)[:, None]).astype(np.float32)
    bumpy = replace(scan, vertices=scan.vertices + 4 * np.sin(scan.vertices / 3).astype(np.float32))
    assert register(bumpy).residual_mm > 3 * register(scan).residual_mm
    far = replace(scan, vertices=scan.vertices + np.float32([0, 0, 500]), landmarks={})
    with pytest.raises(UnusableScan, match="no surface where"):
        register(far)
    with pytest.raises(UnusableScan, match="no triangles"):
        register(Scan(ball, np.zeros((0, 3), dtype=np.int32)))
