import dataclasses

import numpy as np
import pytest

from fer_bench.geometry.plausibility import implausible
from fer_bench.geometry.scan import Scan


def dome(size: int = 15) -> Scan:
    """A bulge of 180 mm that looks at the camera."""
    axis = np.linspace(-90, 90, size)
    x, y = (grid.ravel() for grid in np.meshgrid(axis, axis))
    z = 40 - (x**2 + y**2) / 200
    corner = np.arange(size * size).reshape(size, size)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]))
    triangles = np.concatenate([np.column_stack([a, b, c]), np.column_stack([a, c, d])]).astype(np.int32)
    marks = {"left_eye_outer": (45, 33, 20), "right_eye_outer": (-45, 33, 20), "chin": (0, -78, 10)}
    landmarks = {name: np.array(point, dtype=np.float32) for name, point in marks.items()}
    return Scan(np.column_stack([x, y, z]).astype(np.float32), triangles, landmarks=landmarks)


def moved(scale: tuple[float, float, float], *, flip: bool = False, marks: bool = False) -> Scan:
    scan, factor = dome(), np.array(scale, dtype=np.float32)
    return dataclasses.replace(
        scan,
        vertices=scan.vertices * factor,
        triangles=scan.triangles[:, ::-1] if flip else scan.triangles,
        landmarks={name: point * factor for name, point in scan.landmarks.items()} if marks else {},
    )


@pytest.mark.parametrize("marks", [True, False])
def test_a_face_is_a_face(marks: bool) -> None:
    assert implausible(moved((1, 1, 1), marks=marks)) is None
    assert implausible(moved((0.6, 0.6, 0.6), marks=marks)) is None


@pytest.mark.parametrize(
    ("scan", "says"),
    [
        (moved((0.001, 0.001, 0.001), marks=True), "in metres"),
        (moved((0.1, 0.1, 0.1)), "in centimetres"),
        (moved((1000, 1000, 1000)), "no face has"),
        (moved((0, 0, 0)), "no face has"),
        (moved((-1, 1, 1), flip=True, marks=True), "mirrored"),
        (moved((1, -1, 1), flip=True, marks=True), "upside down"),
        (moved((-1, 1, 1)), "inside out"),
        (moved((1, 1, 1), flip=True), "inside out"),
        (moved((1, 1, -1)), "mirrored in depth"),
        (moved((1, 1, -1), flip=True), "turned away"),
    ],
)
def test_what_is_wrong_is_named(scan: Scan, says: str) -> None:
    assert says in (implausible(scan) or "")


def test_a_mesh_of_one_triangle_is_judged_without_a_fault() -> None:
    scan = Scan(np.array([[0, 0, 0], [90, 0, 0], [0, 90, 0]], dtype=np.float32), np.array([[0, 1, 2]], dtype=np.int32))
    assert implausible(scan) is None
