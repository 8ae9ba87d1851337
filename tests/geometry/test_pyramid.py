import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.geometry.mean_face import mean_face
from fer_bench.geometry.pyramid import project, pyramid

FACE = mean_face()


def test_each_level_has_a_quarter_and_gives_the_finer_one_back() -> None:
    levels = pyramid(FACE.vertices, FACE.triangles, (4, 4, 4))
    sizes = [len(FACE.vertices), *(len(level.kept) for level in levels)]
    assert sizes == [3971, 993, 249, 63]
    here = FACE.vertices.astype(np.float64)
    for level in levels:
        coarse = here[level.kept]
        np.testing.assert_allclose(level.weights.sum(1), 1)
        assert (level.weights >= 0).all()
        back = np.einsum("vc,vcx->vx", level.weights, coarse[level.corners])
        np.testing.assert_array_equal(back[level.kept], coarse)
        # A projection is nearer than any vertex that stayed.
        gap = np.linalg.norm(back - here, axis=1)
        nearest = np.linalg.norm(coarse[None] - here[:, None], axis=-1).min(1)
        assert (gap <= nearest + 1e-9).all()
        here = coarse
    assert gap.max() < 20


def test_a_mesh_never_has_fewer_than_four_vertices() -> None:
    (first, second) = pyramid(FACE.vertices, FACE.triangles, (900, 900))
    assert len(first.kept) >= len(second.kept) >= 4


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_the_nearest_place_is_the_nearest_of_many(seed: int) -> None:
    random = np.random.default_rng(seed)
    vertices, triangles = random.standard_normal((9, 3)), np.arange(9).reshape(3, 3)
    if seed % 3 == 0:
        vertices[2] = 0.3 * vertices[0] + 0.7 * vertices[1]  # a triangle without area
    points = 2 * random.standard_normal((20, 3))
    corners, shares = project(points, vertices, triangles)
    found = np.einsum("nc,ncx->nx", shares, vertices[corners])
    np.testing.assert_allclose(shares.sum(1), 1)
    assert shares.min() >= -1e-12
    many = random.dirichlet((0.4, 0.4, 0.4), (400, 3))
    places = np.einsum("mfc,fcx->mfx", many, vertices[triangles]).reshape(-1, 3)
    best = np.linalg.norm(places[None] - points[:, None], axis=-1).min(1)
    assert (np.linalg.norm(found - points, axis=1) <= best + 1e-9).all()


def test_a_point_of_the_surface_is_its_own_place() -> None:
    triangles = FACE.triangles[::500]
    shares = np.tile([0.2, 0.3, 0.5], (len(triangles), 1))
    points = np.einsum("fc,fcx->fx", shares, FACE.vertices[triangles].astype(np.float64))
    corners, found = project(points, FACE.vertices, FACE.triangles)
    back = np.einsum("nc,ncx->nx", found, FACE.vertices[corners].astype(np.float64))
    assert back == pytest.approx(points, abs=1e-5)
