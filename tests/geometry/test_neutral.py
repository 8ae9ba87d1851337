import numpy as np

from fer_bench.geometry.neutral import neutral_faces

RANDOM = np.random.default_rng(0)
FACE, MOVE = RANDOM.standard_normal((20, 3)), RANDOM.standard_normal((20, 3))


def found(meshes: dict[str, np.ndarray], subject: dict[str, str], label: dict[str, str]) -> dict[str, np.ndarray]:
    return neutral_faces(list(meshes), subject, label, lambda ids: np.stack([meshes[i] for i in ids]))


def test_labelled_meshes_are_averaged() -> None:
    meshes = {"a1": FACE, "a2": FACE + 1, "a3": FACE + 7, "b1": FACE}
    faces = found(meshes, dict.fromkeys(("a1", "a2", "a3"), "a") | {"b1": "b"}, {"a1": "neutral", "a2": "neutral"})
    assert set(faces) == {"a"}, "b has no neutral mesh, and no sequence"
    np.testing.assert_allclose(faces["a"], FACE + 0.5, atol=1e-6)


def test_frames_that_hardly_move_are_neutral() -> None:
    # Of the greatest movement, 0.5 % still counts and 2 % does not; each sequence by its own.
    shares = {"a/smile/1": 0, "a/smile/2": 0.005, "a/smile/3": 0.02, "a/smile/4": 1, "a/open/1": 0, "a/open/2": 0.005}
    meshes = {i: FACE + share * MOVE + (3 if "open" in i else 0) for i, share in shares.items()}
    faces = found(meshes, dict.fromkeys(meshes, "a"), {})
    expected = np.mean([meshes["a/smile/1"], meshes["a/smile/2"], meshes["a/open/1"]], axis=0)
    np.testing.assert_allclose(faces["a"], expected, atol=1e-6)


def test_people_without_a_name_have_no_face() -> None:
    assert found({"x/1": FACE}, {}, {}) == {}
