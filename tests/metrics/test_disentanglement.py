import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from fer_bench.metrics import METRICS, score
from fer_bench.metrics.disentanglement import (
    MEASURES,
    disentanglement_metrics,
    mean_terms,
    measure_meshes,
    rank1,
    rigidly_aligned,
    scatter,
    spread,
    vertex_distance,
)

RANDOM = np.random.default_rng(0)
FACE = 50 * RANDOM.standard_normal((40, 3))


def noisy(count: int, sigma: float = 1.0, vertices: int = 2000, seed: int = 1) -> np.ndarray:
    """One subject's identities, which differ by isotropic noise."""
    random = np.random.default_rng(seed)
    return 100 * random.standard_normal((vertices, 3)) + sigma * random.standard_normal((count, vertices, 3))


def test_both_errors_on_isotropic_noise() -> None:
    meshes = noisy(60)
    # The length of isotropic noise follows Maxwell's distribution, whose deviation is sqrt(3 - 8 / pi) sigma; the root
    # of the three variances' sum is sqrt(3) sigma.
    assert spread(meshes) == pytest.approx(np.sqrt(3 - 8 / np.pi), rel=0.02)
    assert scatter(meshes) == pytest.approx(np.sqrt(3), rel=0.02)
    assert scatter(meshes) / spread(meshes) == pytest.approx(2.57, abs=0.03)


@given(st.floats(0.1, 10))
def test_both_errors_are_lengths(factor: float) -> None:
    meshes = noisy(5, vertices=30)
    assert spread(factor * meshes) == pytest.approx(factor * spread(meshes))
    assert scatter(factor * meshes) == pytest.approx(factor * scatter(meshes))


def test_an_identity_that_never_changes_has_no_error() -> None:
    same = np.repeat(FACE[None], 5, axis=0)
    assert spread(same) == pytest.approx(0, abs=1e-12)
    assert scatter(same) == pytest.approx(0, abs=1e-12)


def test_the_papers_error_is_blind_where_all_distances_are_equal() -> None:
    # Half the meshes are moved one way and half the other: every vertex is 3 mm from its mean, always.
    moved = FACE + np.array([-3.0, 3.0, -3.0, 3.0])[:, None, None] * np.array([1.0, 0, 0])
    assert spread(moved) == pytest.approx(0, abs=1e-12)
    assert vertex_distance(moved, moved.mean(0)).mean() == pytest.approx(3)


@given(st.integers(0, 10_000))
def test_alignment_takes_a_rigid_motion_back(seed: int) -> None:
    random = np.random.default_rng(seed)
    turn, move = Rotation.random(random_state=seed).as_matrix(), 100 * random.standard_normal(3)
    found = rigidly_aligned((FACE @ turn.T + move)[None], FACE)
    np.testing.assert_allclose(found[0], FACE, atol=1e-9)


def test_alignment_neither_mirrors_nor_scales() -> None:
    mirrored = FACE * np.array([-1.0, 1, 1])
    assert vertex_distance(rigidly_aligned(mirrored[None], FACE), FACE)[0] > 1
    assert vertex_distance(rigidly_aligned(2 * FACE[None], FACE), FACE)[0] > 1
    turned = rigidly_aligned(mirrored[None], FACE)[0]
    assert np.linalg.det(np.linalg.lstsq(mirrored - mirrored.mean(0), turned - turned.mean(0), rcond=None)[0]) > 0


@given(st.integers(0, 1000))
def test_alignment_is_at_its_best(seed: int) -> None:
    random = np.random.default_rng(seed)
    other = FACE + 5 * random.standard_normal(FACE.shape)
    found = rigidly_aligned(other[None], FACE)[0]
    best = np.square(found - FACE).sum()
    for _ in range(5):
        step = Rotation.from_rotvec(0.02 * random.standard_normal(3)).as_matrix()
        assert np.square(found @ step.T + 0.1 * random.standard_normal(3) - FACE).sum() >= best


def test_what_is_measured_of_each_mesh() -> None:
    truth = np.stack([FACE, FACE + 1, 2 * FACE, 2 * FACE + 1])
    who = ["a", "a", "b", "b"]
    shifted = truth + np.array([3.0, 4.0, 0.0])
    found = measure_meshes(truth, who, {"a": FACE}, reconstruction=shifted, identity=shifted)
    np.testing.assert_allclose(found["reconstruction"], 5)
    np.testing.assert_allclose(found["reconstruction_aligned"], 0, atol=1e-9)
    np.testing.assert_allclose(found["neutral"][:2], [5, np.linalg.norm([4, 5, 1])])
    assert np.isnan(found["neutral"][2:]).all(), "nobody knows the neutral face of b"
    np.testing.assert_allclose(found["spread"], np.repeat([spread(shifted[:2]), spread(shifted[2:])], 2))
    np.testing.assert_allclose(found["scatter"], np.repeat([scatter(shifted[:2]), scatter(shifted[2:])], 2))
    alone = measure_meshes(truth, who, {}, identity=shifted)
    assert np.isnan(alone["reconstruction"]).all() and not np.isnan(alone["spread"]).any()
    assert set(found) == set(MEASURES)


def table(**columns: list[float]) -> np.ndarray:
    size = len(next(iter(columns.values())))
    return np.column_stack([columns.get(name, [np.nan] * size) for name in MEASURES])


def test_metrics_are_over_meshes_and_over_subjects() -> None:
    measures = table(reconstruction=[1, 2, 6, 7], spread=[3, 3, 3, 9], rank1_mesh=[1, np.nan, 0, 1])
    found = score("disentanglement", measures, np.array(["a", "a", "a", "b"], dtype=object))
    assert found == pytest.approx(
        {
            "reconstruction_mean": 4,
            "reconstruction_std": np.std([1, 2, 6, 7]),
            "reconstruction_median": 4,
            "spread_mean": 6,
            "spread_median": 6,
            "rank1_mesh_mean": 2 / 3,
        }
    )
    assert "disentanglement" in METRICS


def test_each_training_counts_for_a_subject() -> None:
    measures = table(spread=[3, 3, 5, 5, 9, 9, 10, 10])
    found = disentanglement_metrics(measures, np.array(list("aaaabbbb"), dtype=object))
    assert found == pytest.approx({"spread_mean": 27 / 4, "spread_median": 7})


def test_sums_give_the_same_means() -> None:
    who = np.array(["a", "a", "a", "b"], dtype=object)
    measures = table(reconstruction=[1, 2, 6, 7], spread=[3, 3, 3, 9], neutral=[1, np.nan, 3, np.nan])
    found = disentanglement_metrics(measures, who)
    for name in ("reconstruction_mean", "spread_mean", "neutral_mean"):
        terms, mean = mean_terms(name, measures, who)
        assert mean(terms.sum(0)[None])[0] == pytest.approx(found[name])
    # Two draws of b and none of a: what both would have been.
    terms, mean = mean_terms("spread_mean", measures, who)
    assert mean(2 * terms[3:].sum(0)[None])[0] == pytest.approx(9)
    for name in ("spread_median", "spread", "mean", "nothing_mean"):
        with pytest.raises(KeyError):
            mean_terms(name, measures, who)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="measures must be"):
        disentanglement_metrics(np.zeros((3, 2)), ["a"] * 3)
    with pytest.raises(ValueError, match="no meshes"):
        disentanglement_metrics(np.zeros((0, len(MEASURES))), [])
    with pytest.raises(ValueError, match="has no classes"):
        score("disentanglement", table(reconstruction=[1]), ["a"], ["happy", "sad"])


def test_the_nearest_of_the_gallery_names_the_probe() -> None:
    far = np.array([[1.0, 2, 3], [3, 2, 1], [2, 1, 2]])
    assert rank1(far, ["a", "b", "c"], ["a", "a", "b"]).tolist() == [1, 0, 1]
