"""The mean face, which is the procedural face's mean."""

import numpy as np

from fer_bench.geometry.alignment import CANONICAL
from fer_bench.geometry.mean_face import FILE, mean_face
from fer_bench.twins.make_mean_face import mean_face_arrays


def test_the_file_is_what_its_maker_makes() -> None:
    with np.load(FILE, allow_pickle=False) as file:
        made = mean_face_arrays()
        assert set(file.files) == set(made)
        np.testing.assert_allclose(file["vertices"], made["vertices"], atol=2e-3)  # a rotation's last bits may differ
        for name in set(made) - {"vertices"}:
            np.testing.assert_array_equal(file[name], made[name])


def test_it_is_a_face_in_the_canonical_frame() -> None:
    mean = mean_face()
    assert mean.landmarks.keys() == CANONICAL.keys() | {"nose_tip"}
    for name, place in CANONICAL.items():
        np.testing.assert_allclose(mean.vertices[mean.landmarks[name]], place, atol=12, err_msg=name)
    a, b, c = (mean.vertices[mean.triangles[:, k]] for k in range(3))
    assert (np.cross(b - a, c - a)[:, 2] > 0).mean() > 0.9  # the skin looks forward
    assert len(np.unique(mean.triangles)) == len(mean.vertices)
