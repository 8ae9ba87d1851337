"""The stress deck: units, what is removed, and what stays as it was."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation as Turn

from fer_bench.geometry.alignment import NOSE_TIP, Motion, UnusableScan, align, move, rigid_fit
from fer_bench.geometry.mean_face import mean_face
from fer_bench.geometry.perturbations import DECK, Decimation, Holes, Noise, Rotation, Stress
from fer_bench.geometry.scan import Scan
from fer_bench.geometry.visibility import seen

ALL = [stress for member in DECK.values() for severity in member.severities for stress in severity.conditions]


def face() -> Scan:
    """The mean face with landmarks and a texture in two charts, left and right: row v or V + v of `uv` is vertex v."""
    mean = mean_face()
    vertices, triangles = mean.vertices.copy(), mean.triangles
    left = (vertices[triangles][..., 0].mean(axis=1) > 0).astype(np.int32)
    plain = ((vertices[:, :2] / 300 + 0.5) * np.array([0.4, 1.0])).astype(np.float32)
    return Scan(
        vertices,
        triangles,
        uv=np.concatenate([plain, plain + np.float32([0.6, 0.0])]),
        uv_triangles=triangles + left[:, None] * np.int32(len(vertices)),
        texture=np.zeros((4, 4, 3), dtype=np.uint8),
        landmarks={name: vertices[row] for name, row in mean.landmarks.items()},
    )


def area(scan: Scan) -> float:
    a, b, c = scan.vertices[scan.triangles].astype(np.float64).transpose(1, 0, 2)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def sources(scan: Scan) -> np.ndarray:
    """(F, 3) the vertices of `face` that the corners of the triangles were, told by the texture."""
    assert scan.uv_triangles is not None
    return scan.uv_triangles % len(mean_face().vertices)


def test_the_deck() -> None:
    labels = [stress.label for stress in ALL]
    assert len(set(labels)) == len(labels)
    for member, of in DECK.items():
        assert len(of.severities) == 5
        for severity in of.severities:
            for stress in severity.conditions:
                assert stress.name == member
                assert re.fullmatch(r"[a-z0-9.+-]+", stress.label)
                assert json.loads(json.dumps(stress.record)) == stress.record
                assert severity.value == abs([*stress.record["parameters"].values()][member == "rotation"])
    poses = {stress.label for severity in DECK["rotation"].severities[1:] for stress in severity.conditions}
    assert poses == {f"{axis}{sign}{angle}" for axis in ("yaw", "pitch") for sign in "+-" for angle in (20, 40, 60, 80)}


@pytest.mark.parametrize("stress", ALL, ids=lambda stress: stress.label)
def test_a_stressed_scan_is_aligned_whole_and_the_same_each_time(stress: Stress) -> None:
    scan = face()
    before = scan.vertices.copy()
    stressed = stress(scan)
    np.testing.assert_array_equal(scan.vertices, before)
    np.testing.assert_allclose(align(stressed).vertices, stressed.vertices, atol=1e-4)
    assert np.unique(stressed.triangles).tolist() == list(range(len(stressed.vertices)))
    assert stressed.uv_triangles is not None
    assert stressed.uv_triangles.shape == stressed.triangles.shape
    assert (stressed.triangles.dtype, stressed.uv_triangles.dtype, stressed.vertices.dtype) == (
        np.int32,
        np.int32,
        np.float32,
    )
    again = stress(face())
    np.testing.assert_array_equal(again.vertices, stressed.vertices)
    np.testing.assert_array_equal(again.triangles, stressed.triangles)


def test_a_scan_without_landmarks_stays_turned_too() -> None:
    bare = replace(face(), landmarks={})
    stressed = Rotation("yaw", 60.0)(bare)
    np.testing.assert_allclose(align(stressed).vertices, stressed.vertices, atol=1e-4)


@pytest.mark.parametrize("stress", [Rotation("yaw", 40), Holes(20), Decimation(0.25)], ids=lambda stress: stress.label)
def test_corners_keep_their_place_on_the_texture(stress: Stress) -> None:
    stressed = stress(face())
    mine, before = stressed.vertices[stressed.triangles], align(face()).vertices[sources(stressed)]
    if isinstance(stress, Rotation):  # which leaves distances as they are
        mine, before = (np.linalg.norm(corners - corners[:, [1, 2, 0]], axis=2) for corners in (mine, before))
    np.testing.assert_allclose(mine, before, atol=1e-4)


@pytest.mark.parametrize("kept", [0.5, 0.1])
def test_decimation_keeps_a_share_of_the_vertices_and_the_charts(kept: float) -> None:
    scan = face()
    stressed = Decimation(kept)(scan)
    assert len(stressed.vertices) == round(kept * len(np.unique(scan.triangles)))
    assert scan.uv_triangles is not None and stressed.uv_triangles is not None
    total = len(scan.vertices)
    rows = scan.uv_triangles.ravel()
    seam = np.intersect1d(rows[rows < total], rows[rows >= total] - total)
    on_seam, right = np.isin(sources(stressed), seam), stressed.uv_triangles < total
    # Where a triangle touches the seam and its other corners lie in one chart, it lies in that one.
    one = (
        (on_seam.any(axis=1))
        & (~on_seam).any(axis=1)
        & ((right | on_seam).all(axis=1) | (~right | on_seam).all(axis=1))
    )
    assert one.sum() > 10
    assert (right[one].all(axis=1) | ~right[one].any(axis=1)).all()


@given(st.sampled_from(["yaw", "pitch"]), st.floats(-85, 85), st.integers(0, 2**32 - 1))
@settings(max_examples=15)
def test_the_head_turns_by_the_angle_wherever_it_was(axis: str, degrees: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    scan = face()
    lying = move(scan, Motion(Turn.random(random_state=seed).as_matrix(), random.normal(0, 200, 3), True))
    stressed = Rotation(axis, degrees)(lying)  # type: ignore[arg-type]
    corners, before = (
        stressed.vertices[stressed.triangles].reshape(-1, 3),
        align(scan).vertices[sources(stressed).ravel()],
    )
    turn, _ = rigid_fit(before.astype(np.float64), corners.astype(np.float64))
    assert np.degrees(Turn.from_matrix(turn).magnitude()) == pytest.approx(abs(degrees), abs=0.01)
    np.testing.assert_allclose(turn @ (before - NOSE_TIP).T, (corners - NOSE_TIP).T, atol=0.01)
    around = Turn.from_matrix(turn).as_rotvec(degrees=True)
    # A positive yaw turns the nose towards -x, a positive pitch towards -y.
    expected = [0.0, -degrees, 0.0] if axis == "yaw" else [degrees, 0.0, 0.0]
    np.testing.assert_allclose(around, expected, atol=0.05)


@pytest.mark.parametrize(("axis", "sign"), [("yaw", 1), ("yaw", -1), ("pitch", 1), ("pitch", -1)])
def test_the_far_side_of_a_turned_head_is_gone(axis: str, sign: int) -> None:
    aligned = align(face())
    left = [Rotation(axis, sign * degrees)(face()) for degrees in (20, 40, 60, 80)]  # type: ignore[arg-type]
    areas = [area(scan) for scan in left]
    assert areas == sorted(areas, reverse=True)
    kept = np.unique(sources(left[1]))
    x, y, z = aligned.vertices.T
    if axis == "yaw":  # a positive one shows the subject's left
        near = np.flatnonzero((sign * x > 40) & (np.abs(y) < 40))
        far = np.flatnonzero((-sign * x > 60) & (np.abs(y) < 40))
    else:  # a positive one shows the forehead
        brow, chin = np.flatnonzero((y > 55) & (z > 0)), np.flatnonzero((y < -75) & (z < 0))
        crown = np.flatnonzero((y > 85) & (z < -20))
        near, far = (brow, chin) if sign > 0 else (chin, crown)
    assert len(near) > 20 and len(far) > 5
    assert np.isin(near, kept).mean() > 0.95
    assert np.isin(far, np.unique(sources(left[2]))).mean() < 0.1


def plate(z: float, half: float, steps: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """A square that faces the camera."""
    line = np.linspace(-half, half, steps + 1)
    x, y = (grid.ravel() for grid in np.meshgrid(line, line))
    corner = np.arange((steps + 1) ** 2).reshape(steps + 1, steps + 1)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]))
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]).astype(np.int32)
    return np.stack([x, y, np.full_like(x, z)], axis=1), triangles


@pytest.mark.parametrize(("gap", "hides"), [(3.0, True), (0.5, False)])
def test_what_lies_behind_is_hidden(gap: float, hides: bool) -> None:
    (near, first), (back, second) = plate(0.0, 20.0), plate(-gap, 60.0)
    vertices, triangles = np.concatenate([near, back]), np.concatenate([first, second + np.int32(len(near))])
    found = seen(vertices, triangles)
    assert found[: len(first)].all()
    middles = vertices[triangles].mean(axis=1)[len(first) :]
    covered = (np.abs(middles[:, :2]) < 20.0).all(axis=1)
    np.testing.assert_array_equal(found[len(first) :], ~covered | (not hides))
    assert not seen(vertices, triangles[:, [0, 2, 1]]).any(), "nothing is seen from behind"


@given(st.integers(0, 2**32 - 1), st.floats(0, 84))
@settings(max_examples=25)
def test_a_surface_does_not_hide_itself_where_it_slopes(seed: int, degrees: float) -> None:
    vertices, triangles = plate(0.0, 300.0, 60)
    vertices = vertices @ Turn.from_euler("y", degrees, degrees=True).as_matrix().T
    vertices[:, 2] += np.random.default_rng(seed).normal(0, 30, 3) @ [1, 0, 0]
    assert seen(vertices, triangles).all()


def test_noise_is_gaussian_in_depth() -> None:
    aligned = align(face())
    moved = {s: Noise(s)(face()).vertices.astype(np.float64) - aligned.vertices for s in (0.25, 1.0, 4.0)}
    for sigma, change in moved.items():
        assert np.abs(change[:, :2]).max() == 0
        assert change[:, 2].std() == pytest.approx(sigma, rel=0.05)
        assert abs(change[:, 2].mean()) < 4 * sigma / np.sqrt(len(change))
        kurtosis = (change[:, 2] ** 4).mean() / change[:, 2].var() ** 2
        assert kurtosis == pytest.approx(3, abs=0.3)
    np.testing.assert_allclose(16 * moved[0.25], moved[4.0], atol=1e-3)
    other = face()
    other.vertices[0] += np.float32(0.001)
    apart = Noise(1.0)(other).vertices - Noise(1.0)(face()).vertices
    assert np.abs(apart[:, 2]).mean() > 0.5, "another scan, other noise"


def test_what_is_drawn_is_the_same_on_every_machine() -> None:
    vertices, triangles = plate(10.0, 60.0, 4)
    scan = Scan(vertices.astype(np.float32), triangles, landmarks=face().landmarks)
    drawn = (Noise(1.0)(scan).vertices - align(scan).vertices)[:3, 2]
    np.testing.assert_allclose(drawn, [-0.39249, 0.75651, -1.09078], atol=1e-4)


@given(st.floats(5, 25))
@settings(max_examples=10)
def test_a_hole_is_a_disc_of_its_radius(radius: float) -> None:
    vertices, triangles = plate(40.0, 120.0, 160)
    frame = Noise(0.0)(face()).landmarks
    scan = Scan(vertices.astype(np.float32), triangles, landmarks=frame)
    one = Holes(radius, count=1)(scan)
    assert area(scan) - area(one) == pytest.approx(np.pi * radius**2, rel=0.15)
    border = np.setdiff1d(scan.vertices[:, :2], one.vertices[:, :2])
    assert border.size == 0 or radius > 1


def test_larger_holes_hold_the_smaller_ones_and_lie_on_the_face() -> None:
    aligned, whole = align(face()), area(align(face()))
    before: set[tuple[int, ...]] = set(map(tuple, np.sort(sources(replace(aligned)), axis=1).tolist()))
    every, shares = before, []
    for radius in (5.0, 10.0, 15.0, 20.0, 25.0):
        stressed = Holes(radius)(face())
        left = set(map(tuple, np.sort(sources(stressed), axis=1).tolist()))
        assert left < before
        before = left
        shares.append(1 - area(stressed) / whole)
    assert shares[0] < 0.05 and 0.1 < shares[-1] < 0.5
    gone = aligned.vertices[np.array(sorted(every - before))].mean(axis=1)
    assert np.linalg.norm(gone - NOSE_TIP, axis=1).max() <= 85 + 25


def test_what_cannot_be_stressed_says_so() -> None:
    scan = face()
    with pytest.raises(UnusableScan, match="no triangles"):
        Noise(1.0)(replace(scan, triangles=np.empty((0, 3), dtype=np.int32)))
    with pytest.raises(UnusableScan, match="vertices it lacks"):
        Holes(5.0)(replace(scan, triangles=scan.triangles + np.int32(9)))
    with pytest.raises(UnusableScan, match="with texture coordinates"):
        Noise(1.0)(replace(scan, uv_triangles=scan.triangles[1:]))
    with pytest.raises(UnusableScan, match=r"yaw\+20 leaves nothing of the scan; are its triangles clockwise"):
        Rotation("yaw", 20.0)(Scan(*plate_clockwise(), landmarks=scan.landmarks))


def plate_clockwise() -> tuple[np.ndarray, np.ndarray]:
    vertices, triangles = plate(10.0, 60.0, 4)
    return vertices.astype(np.float32), triangles[:, [0, 2, 1]]
