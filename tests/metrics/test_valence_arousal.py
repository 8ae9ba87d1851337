import warnings

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from fer_bench.metrics.valence_arousal import ccc, mae, mse, pcc, rmse, valence_arousal_metrics

# Multiples of 1e-6: with arbitrary floats the rounding of differences, not the formula, would be tested.
value = st.integers(-(10**6), 10**6).map(lambda i: i / 10**6)
pairs = st.lists(st.tuples(value, value), min_size=2, max_size=40).map(lambda rows: np.array(rows).T)
anything = st.floats(-1e100, 1e100, allow_nan=False)


@given(pairs)
def test_errors_equal_scikit_learn(both):
    p, t = both
    assert mse(p, t) == pytest.approx(sklearn.metrics.mean_squared_error(t, p), abs=1e-12)
    assert mae(p, t) == pytest.approx(sklearn.metrics.mean_absolute_error(t, p), abs=1e-12)
    assert rmse(p, t) == pytest.approx(sklearn.metrics.root_mean_squared_error(t, p), abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(3, 200))
def test_correlations_equal_scipy_and_numpy(seed, n):
    generator = np.random.default_rng(seed)
    p, t = generator.normal(size=(2, n))
    moments = np.cov(p, t, ddof=0)
    denominator = moments[0, 0] + moments[1, 1] + (p.mean() - t.mean()) ** 2
    assert pcc(p, t) == pytest.approx(scipy.stats.pearsonr(p, t).statistic, abs=1e-12)
    assert ccc(p, t) == pytest.approx(2 * moments[0, 1] / denominator, abs=1e-12)
    published = 2 * np.cov(p, t, ddof=1)[0, 1] / denominator
    assert ccc(p, t, estimator="published") == pytest.approx(published, abs=1e-12)


def test_ccc_of_a_worked_example():
    # Means 2 and 3, variances 2/3 and 2/3, covariance 2/3: 2 (2/3) / (2/3 + 2/3 + 1) = 4/7.
    p, t = np.array([1.0, 2, 3]), np.array([2.0, 3, 4])
    assert ccc(p, t) == pytest.approx(4 / 7, abs=1e-15)
    assert ccc(p, t, estimator="published") == pytest.approx(6 / 7, abs=1e-15)
    assert pcc(p, t) == pytest.approx(1)


@given(pairs)
def test_ccc_is_symmetric_and_bounded_by_the_correlation(both):
    p, t = both
    assert ccc(p, t) == pytest.approx(ccc(t, p), abs=1e-12)
    assert abs(ccc(p, t)) <= abs(pcc(p, t)) + 1e-9
    assert abs(pcc(p, t)) <= 1
    assert ccc(p, t, estimator="published") == pytest.approx(ccc(p, t) * p.size / (p.size - 1), abs=1e-12)


@given(pairs, st.randoms())
def test_the_order_of_the_samples_does_not_matter(both, random):
    order = list(range(both.shape[1]))
    random.shuffle(order)
    for metric in (mse, mae, rmse, ccc, pcc):
        assert metric(*both[:, order]) == pytest.approx(metric(*both), abs=1e-12)


@given(pairs)
def test_perfect_agreement(both):
    p, _ = both
    varied = p.min() < p.max()
    assert ccc(p, p) == pytest.approx(1.0 if varied else 0.0, abs=1e-12)
    assert pcc(p, p) == pytest.approx(1.0 if varied else 0.0, abs=1e-12)
    assert mse(p, p) == mae(p, p) == rmse(p, p) == 0


@given(st.lists(st.tuples(anything, anything), min_size=1, max_size=10))
def test_nothing_finite_gives_nan_or_a_warning(rows):
    p, t = np.array(rows).T
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = [metric(p, t) for metric in (mse, mae, rmse, ccc, pcc)]
        values.append(ccc(p, t, estimator="published"))
    assert np.isfinite(values).all()


@pytest.mark.parametrize("constant", [0.0, 0.1, -0.7])
def test_constant_inputs_have_no_correlation(constant):
    # The mean of these 49 tenths is not the tenth: without a rule of its own, a constant would correlate with anything.
    flat, varied = np.full(49, constant), np.linspace(-1, 1, 49)
    for metric in (ccc, pcc):
        assert metric(flat, varied) == metric(varied, flat) == metric(flat, flat) == 0
    assert ccc(flat, varied, estimator="published") == 0
    assert ccc(np.array([0.5]), np.array([0.5]), estimator="published") == 0


def test_pooling_is_not_averaging():
    generator = np.random.default_rng(0)
    truth = generator.uniform(-1, 1, size=(50, 2)) * 0.2 + [0.7, -0.7]
    predicted = truth + generator.normal(size=(50, 2)) * 0.3
    metrics = valence_arousal_metrics(predicted, truth)
    assert metrics["ccc"] == ccc(predicted.ravel(), truth.ravel())
    assert metrics["ccc_valence"] == ccc(predicted[:, 0], truth[:, 0])
    assert metrics["ccc_published_arousal"] == ccc(predicted[:, 1], truth[:, 1], estimator="published")
    assert metrics["mse"] == pytest.approx((metrics["mse_valence"] + metrics["mse_arousal"]) / 2, abs=1e-15)
    assert metrics["ccc"] > max(metrics["ccc_valence"], metrics["ccc_arousal"]) + 0.3
    names = {"mse", "mae", "rmse", "ccc", "pcc", "ccc_published"}
    assert set(metrics) == {name + suffix for name in names for suffix in ("", "_valence", "_arousal")} | {"ccc_mean"}


@pytest.mark.parametrize(
    ("p", "t", "message"),
    [
        ([1.0], [1.0, 2.0], "must both be"),
        ([[1.0]], [[1.0]], "must both be"),
        ([], [], "no samples"),
        ([np.nan], [0.0], "finite"),
        ([0.0], [np.inf], "finite"),
    ],
)
def test_metrics_refuse(p, t, message):
    for metric in (mse, mae, rmse, ccc, pcc):
        with pytest.raises(ValueError, match=message):
            metric(np.array(p), np.array(t))


def test_unknown_estimator_and_wrong_shape():
    with pytest.raises(ValueError, match="estimator must be one of"):
        ccc(np.zeros(3), np.zeros(3), estimator="unbiased")
    with pytest.raises(ValueError, match=r"\(N, 2\)"):
        valence_arousal_metrics(np.zeros((4, 3)), np.zeros((4, 3)))


def test_constants_agree_with_nothing_but_the_pooled_list() -> None:
    """Two means that lie apart are most of the variation of a pooled list."""
    rng = np.random.default_rng(0)
    truth = np.column_stack([rng.normal(-0.5, 0.2, 400), rng.normal(0.5, 0.2, 400)])
    constants = np.tile(truth.mean(0), (400, 1)) + rng.normal(0, 1e-3, (400, 2))
    found = valence_arousal_metrics(constants, truth)
    assert found["ccc"] > 0.9
    assert abs(found["ccc_mean"]) < 0.01
    other = valence_arousal_metrics(truth[::-1] * 0.7, truth)
    assert other["ccc_mean"] == pytest.approx((other["ccc_valence"] + other["ccc_arousal"]) / 2)
