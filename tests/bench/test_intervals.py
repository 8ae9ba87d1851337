from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.special import expit, logit

from fer_bench.bench.intervals import Interval, Resampled, Scale


def as_normal(clusters):
    """What the statistic is without each cluster, of clusters that lie as normal variables do."""
    return -0.01 * stats.norm.ppf((np.arange(clusters) + 0.5) / clusters)


@pytest.mark.parametrize(
    ("scale", "to", "back"),
    [("share", logit, expit), ("correlation", np.arctanh, np.tanh), ("error", np.log, np.exp)],
)
def test_intervals_are_symmetric_on_their_scale(scale, to, back):
    value, step = 0.9, 1e-6
    found = Resampled(value, value + np.random.default_rng(0).normal(0, 0.05, 500), 8, 80, as_normal(8), scale)
    slope = (to(value + step) - to(value - step)) / (2 * step)
    apart = stats.t.ppf(0.95, 7) * found.draws.std(ddof=1) * np.sqrt(8 / 7) * slope
    interval = found.interval(confidence=0.9)
    expected = back(to(value) - apart), back(to(value) + apart)
    assert (interval.low, interval.high) == pytest.approx(expected, rel=1e-6)


def test_p_is_that_of_the_interval_that_ends_at_zero():
    found = Resampled(0.1, 0.1 + np.random.default_rng(0).normal(0, 0.05, 500), 20, 200, as_normal(20))
    assert found.interval(1 - found.p()).low == pytest.approx(0, abs=1e-9)
    assert Resampled(-0.1, found.draws - 0.2, 20, 200, found.without).p() == pytest.approx(found.p())


def test_what_does_not_vary():
    assert Resampled(0.0, np.zeros(50), 9, 90, np.zeros(9)).p() == 1, "the same answers"
    assert Resampled(0.1, np.full(50, 0.1), 9, 90, np.full(9, 0.1)).p() == 2**-8, (
        "every subject says the same: the sign test"
    )
    assert Resampled(0.1, np.full(50, 0.1), 1, 9, np.empty(0)).p() is None
    for scale in get_args(Scale):
        assert Resampled(0.25, np.full(50, 0.25), 9, 90, np.full(9, 0.25), scale).interval() == Interval(
            0.25, 0.25, 9, 90
        )


@pytest.mark.parametrize("subjects", [2, 10, 60])
def test_without_a_fault_the_interval_still_has_a_width(subjects):
    alike = np.ones(subjects)
    interval = Resampled(1.0, np.ones(50), subjects, subjects, alike, "share").interval()
    # The limit of Clopper and Pearson, of as many trials as there are subjects.
    expected = stats.binomtest(subjects, subjects).proportion_ci(0.95, "exact")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    none = Resampled(0.0, np.zeros(50), subjects, subjects, alike, "share").interval()
    assert (none.low, none.high) == pytest.approx((1 - expected.high, 1 - expected.low))


@given(value=st.floats(0, 1), spread=st.floats(0, 0.5), subjects=st.integers(2, 200), confidence=st.floats(0.01, 0.999))
def test_intervals_hold_the_value_and_stay_within_its_limits(value, spread, subjects, confidence):
    draws = np.clip(value + spread * np.linspace(-1, 1, 9), 0, 1)
    for scale, floor, ceiling in (("share", 0, 1), ("correlation", -1, 1), ("error", 0, np.inf), ("difference", -1, 1)):
        interval = Resampled(value, draws, subjects, subjects, value + as_normal(subjects), scale).interval(confidence)
        if scale in ("share", "difference") or 0 < value < 1:
            assert floor <= interval.low <= value + 1e-9 and value - 1e-9 <= interval.high <= ceiling


def test_only_the_same_draws_are_subtracted():
    with pytest.raises(ValueError, match="not of the same draws"):
        Resampled(0.5, np.ones(4), 3, 9, np.ones(3)).minus(Resampled(0.5, np.ones(4), 4, 9, np.ones(4)))


def test_degrees_of_freedom_are_those_of_a_variance_that_varies_as_much():
    # Of many sets of K exponential variables (excess kurtosis 6) the variance of s^2 is that of a chi-squared variable
    # of so many degrees of freedom, scaled to the same mean.
    k, generator = 50, np.random.default_rng(0)
    variances = generator.exponential(size=(100_000, k)).var(axis=1, ddof=1)
    simulated = 2 * variances.mean() ** 2 / variances.var()
    many = stats.expon.ppf((np.arange(200_000) + 0.5) / 200_000)  # their kurtosis, which 50 do not show
    excess = stats.kurtosis(many)
    assert 2 / (2 / (k - 1) + excess / k) == pytest.approx(simulated, rel=0.05)
    own = generator.exponential(size=k)
    found = Resampled(0.9, np.ones(9), k, k, own).degrees
    assert found == pytest.approx(2 / (2 / (k - 1) + stats.kurtosis(own) / k))


@pytest.mark.parametrize(("value", "heads"), [(23 / 24, 23), (1 / 24, 1), (0.5, 12)])
def test_shares_vary_no_more_than_those_of_people_all_right_or_all_wrong(value, heads):
    wild = Resampled(value, value + np.linspace(-0.5, 0.5, 9), 24, 72, np.append(np.full(23, value), 0.5), "share")
    interval = wild.interval()
    expected = stats.binomtest(heads, 24).proportion_ci(0.95, "exact")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_one_person_who_makes_all_of_the_spread_leaves_two_degrees_of_freedom():
    without = np.append(np.full(59, 0.99), 1.0)
    assert 2 < Resampled(0.99, np.ones(9), 60, 600, without).degrees < 2.2
    assert Resampled(0.99, np.ones(9), 60, 600, without * 1e-90).degrees == pytest.approx(
        Resampled(0.99, np.ones(9), 60, 600, without).degrees
    )


@given(arrays(np.float64, st.integers(2, 80), elements=st.floats(-1e6, 1e6)))
def test_degrees_of_freedom_are_between_those_of_one_and_all(without):
    k = len(without)
    degrees = Resampled(0.5, np.ones(9), k, k, without).degrees
    assert min(k - 1, 1.3) <= degrees <= (k - 1) * (1 + 1e-12)


def test_two_methods_that_never_differ_may_still_differ_on_others():
    k, ones = 12, np.full(9, 0.5)
    mine = Resampled(0.5, ones, k, 240, as_normal(k), "share")
    interval = mine.minus(mine).interval()
    # As many people as Clopper and Pearson let differ, of whom none of 12 was seen, and by 1 at most.
    limit = stats.binomtest(0, k).proportion_ci(0.95, "exact").high
    assert (interval.low, interval.high) == pytest.approx((-limit, limit))
    assert mine.minus(mine).p() == 1
