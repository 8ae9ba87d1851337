"""Scans of faces, and faces with fewer vertices."""

import numpy as np
import pytest

from fer_bench.twins.coarse import coarse
from fer_bench.twins.expression_recipes import prototype
from fer_bench.twins.face import FaceModel, procedural_face
from fer_bench.twins.identity import generator
from fer_bench.twins.landmarks import inside_polygon
from fer_bench.twins.population import Population
from fer_bench.twins.scans import Pose, scan_face, scan_of
from fer_bench.twins.sculpt_mesh import EYE, MOUTH, SKIN


@pytest.fixture(scope="module")
def face() -> FaceModel:
    return coarse(procedural_face(), 900)


def test_a_coarse_face_is_part_of_the_whole(face: FaceModel) -> None:
    whole = procedural_face()
    assert 0.95 * 900 < len(face.template) <= 900
    assert {tuple(point) for point in face.template} <= {tuple(point) for point in whole.template}
    assert (face.template[face.landmarks68] == whole.template[whole.landmarks68]).all()
    weights, identity = prototype("surprise"), generator("coarse").standard_normal(len(whole.identity))
    marks = [m.vertices(identity, weights)[m.landmarks68] for m in (face, whole)]
    np.testing.assert_allclose(*marks, atol=1e-9)
    assert set(np.unique(face.parts)) == {SKIN, EYE, MOUTH}
    assert coarse(whole, 900) is face
    assert face.digest != whole.digest


def test_a_coarse_face_is_a_sound_surface(face: FaceModel) -> None:
    edges = np.concatenate([face.triangles[:, [k, (k + 1) % 3]] for k in range(3)])
    assert len(np.unique(edges, axis=0)) == len(edges), "each edge is run along once in each direction"
    a, b, c = (face.template[face.triangles[:, k]] for k in range(3))
    assert (np.cross(b - a, c - a)[face.parts == SKIN, 2] > 0).mean() > 0.8
    assert len(face.uv) > len(face.template)
    assert face.uv_triangles.max() < len(face.uv)
    whole = procedural_face()
    for rims in (face.landmarks68[36:42], face.landmarks68[60:68]):
        inside = inside_polygon(
            face.template[face.triangles[face.parts == SKIN]].mean(axis=1)[:, :2], face.template[rims, :2]
        )
        assert inside.sum() <= 6, "lids and lips stay apart"
    area = [
        np.linalg.norm(
            np.cross(
                *(
                    m.template[m.triangles[m.parts == SKIN][:, k]] - m.template[m.triangles[m.parts == SKIN][:, 0]]
                    for k in (1, 2)
                )
            ),
            axis=1,
        ).sum()
        for m in (face, whole)
    ]
    assert area[0] / area[1] == pytest.approx(1.0, abs=0.08)


def test_seams_are_split(face: FaceModel) -> None:
    people = Population("test", face, 0, 32)
    mesh = scan_face(
        face, people.shape(people.person("a"), prototype("happy")), people.landmarks83, people.rng("x"), polygons=False
    )
    assert {len(polygon) for polygon in mesh.polygons} == {3}
    split = mesh.split_at_seams()
    assert len(split.vertices) == len(split.uv) == len(mesh.uv) > len(mesh.vertices)
    np.testing.assert_array_equal(split.triangles, split.uv_triangles)
    np.testing.assert_array_equal(split.vertices[split.triangles], mesh.vertices[mesh.triangles])
    np.testing.assert_array_equal(split.vertices[split.landmarks], mesh.vertices[mesh.landmarks])
    np.testing.assert_array_equal(
        face.template[split.correspondence][split.triangles], face.template[mesh.correspondence][mesh.triangles]
    )
    scan = scan_of(split, people.person("a").albedo)
    assert scan.landmarks["left_eye_outer"][0] > 0 > scan.landmarks["right_eye_outer"][0]


def test_poses_turn_the_way_they_say() -> None:
    nose, crown, left = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])[:, None]
    assert Pose.turned(0, 20, 0).apply(nose)[0, 0] == pytest.approx(np.sin(np.radians(20))), "yaw: the subject's left"
    assert Pose.turned(20, 0, 0).apply(nose)[0, 1] == pytest.approx(-np.sin(np.radians(20))), "pitch: down"
    assert Pose.turned(0, 0, 20).apply(crown)[0, 0] == pytest.approx(-np.sin(np.radians(20))), "roll: to the right"
    moved = Pose.turned(10, -30, 5, (1, 2, 3))
    np.testing.assert_allclose(moved.rotation @ moved.rotation.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(moved.apply(0 * left), [[1, 2, 3]])


def test_a_pose_that_is_given_is_taken_and_frames_share_an_outline(face: FaceModel) -> None:
    people = Population("test", face, 0, 32)
    shape = people.person("a").neutral
    still = Pose.turned(0, 0, 0)
    meshes = [
        scan_face(
            face,
            shape,
            people.landmarks83,
            people.rng(frame),
            pose=still,
            outline=people.rng("sequence"),
            polygons=False,
        )
        for frame in range(2)
    ]
    for mesh in meshes:
        assert np.abs(mesh.vertices - shape[mesh.correspondence]).max() < 4, "noise only"
    kept = [np.sort(mesh.correspondence) for mesh in meshes]
    np.testing.assert_array_equal(*kept)
    assert (meshes[0].correspondence != meshes[1].correspondence).any(), "but the order is another one"
    uncropped = scan_face(face, shape, people.landmarks83, people.rng(0), cropped=False)
    assert len(uncropped.vertices) > len(kept[0])
