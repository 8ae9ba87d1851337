from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.special import expit, logit

from fer_bench.stats.bootstrap import resample_sums
from fer_bench.stats.intervals import Interval, Resampled, Scale


def ratio(sums):
    return sums[:, 0] / sums[:, 1]


def as_normal(clusters):
    """What the statistic is without each cluster, of clusters that lie as normal variables do."""
    return -0.01 * stats.norm.ppf((np.arange(clusters) + 0.5) / clusters)


# Eight people who differ as normal variables do, and eight of whom one makes all of the spread.
@pytest.mark.parametrize("without", [as_normal(8), np.append(np.zeros(7), 0.01)])
@pytest.mark.parametrize(
    ("scale", "to", "back"),
    [("score", logit, expit), ("correlation", np.arctanh, np.tanh), ("error", np.log, np.exp)],
)
def test_intervals_are_symmetric_on_their_scale(scale, to, back, without):
    value, step = 0.9, 1e-6
    found = Resampled(value, value + np.random.default_rng(0).normal(0, 0.05, 500), 8, 80, without, 8, scale)
    slope = (to(value + step) - to(value - step)) / (2 * step)
    kurtosis = stats.kurtosis(without)
    apart = (
        stats.t.ppf(0.95, 7 if kurtosis < 0 else 2 / (2 / 7 + kurtosis / 8))
        * found.draws.std(ddof=1)
        * np.sqrt(8 / 7)
        * slope
    )
    interval = found.interval(confidence=0.9)
    expected = back(to(value) - apart), back(to(value) + apart)
    assert (interval.low, interval.high) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("without", [as_normal(20), np.append(np.zeros(19), 0.01)])
def test_p_is_that_of_the_interval_that_ends_at_zero(without):
    found = Resampled(0.1, 0.1 + np.random.default_rng(0).normal(0, 0.05, 500), 20, 200, without, 20)
    assert found.interval(1 - found.p()).low == pytest.approx(0, abs=1e-9)
    assert Resampled(-0.1, found.draws - 0.2, 20, 200, without, 20).p() == pytest.approx(found.p())


def test_what_does_not_vary():
    assert Resampled(0.0, np.zeros(50), 9, 90, np.zeros(9), 9).p() == 1, "the same answers"
    assert Resampled(0.1, np.full(50, 0.1), 9, 90, np.full(9, 0.1), 9).p() == 2**-8, (
        "every subject says the same: the sign test"
    )
    assert Resampled(0.1, np.full(50, 0.1), 1, 9, np.empty(0), 1).p() is None
    for scale in set(get_args(Scale)) - {"difference"}:
        assert Resampled(0.25, np.full(50, 0.25), 9, 90, np.full(9, 0.25), 9, scale).interval() == Interval(
            0.25, 0.25, 9, 90
        )


@pytest.mark.parametrize("scale", ["share", "score"])
@pytest.mark.parametrize("subjects", [2, 10, 60])
def test_without_a_fault_the_interval_still_has_a_width(subjects, scale):
    alike = np.ones(subjects)
    interval = Resampled(1.0, np.ones(50), subjects, subjects, alike, subjects, scale).interval()
    # The limit of Clopper and Pearson, of as many trials as there are subjects.
    expected = stats.binomtest(subjects, subjects).proportion_ci(0.95, "exact")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    none = Resampled(0.0, np.zeros(50), subjects, subjects, alike, subjects, scale).interval()
    assert (none.low, none.high) == pytest.approx((1 - expected.high, 1 - expected.low))


@given(value=st.floats(0, 1), spread=st.floats(0, 0.5), subjects=st.integers(2, 200), confidence=st.floats(0.01, 0.999))
def test_intervals_hold_the_value_and_stay_within_its_limits(value, spread, subjects, confidence):
    draws = np.clip(value + spread * np.linspace(-1, 1, 9), 0, 1)
    for scale, floor, ceiling in (
        ("share", 0, 1),
        ("score", 0, 1),
        ("correlation", -1, 1),
        ("error", 0, np.inf),
        ("difference", -1, 1),
    ):
        interval = Resampled(value, draws, subjects, subjects, value + as_normal(subjects), subjects, scale).interval(
            confidence
        )
        if scale in ("share", "score", "difference") or 0 < value < 1:
            assert floor <= interval.low <= value + 1e-9 and value - 1e-9 <= interval.high <= ceiling


def test_only_the_same_draws_are_subtracted():
    with pytest.raises(ValueError, match="not of the same draws"):
        Resampled(0.5, np.ones(4), 3, 9, np.ones(3), 3).minus(Resampled(0.5, np.ones(4), 4, 9, np.ones(4), 4))


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
    found = Resampled(0.9, np.ones(9), k, k, own, k).degrees
    assert found == pytest.approx(2 / (2 / (k - 1) + stats.kurtosis(own) / k))


@pytest.mark.parametrize(("share", "trials"), [(23 / 24, 24), (1 / 24, 24), (0.5, 24), (0.75, 8)])
def test_shares_vary_no_more_than_those_of_people_all_right_or_all_wrong(share, trials):
    wild = Resampled(
        share, share + np.linspace(-0.5, 0.5, 9), 24, 72, np.append(np.full(23, share), 0.5), trials, "share"
    )
    interval = wild.interval()
    expected = stats.binomtest(round(share * trials), trials).proportion_ci(0.95, "exact")
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_one_person_who_makes_all_of_the_spread_leaves_two_degrees_of_freedom():
    without = np.append(np.full(59, 0.99), 1.0)
    assert 2 < Resampled(0.99, np.ones(9), 60, 600, without, 60).degrees < 2.2
    assert Resampled(0.99, np.ones(9), 60, 600, without * 1e-90, 60).degrees == pytest.approx(
        Resampled(0.99, np.ones(9), 60, 600, without, 60).degrees
    )


@given(arrays(np.float64, st.integers(2, 80), elements=st.floats(-1e6, 1e6)))
def test_degrees_of_freedom_are_between_those_of_one_and_all(without):
    k = len(without)
    degrees = Resampled(0.5, np.ones(9), k, k, without, k).degrees
    assert min(k - 1, 2) * (1 - 1e-12) <= degrees <= (k - 1) * (1 + 1e-12)


@pytest.mark.parametrize("scale", ["share", "score"])
@pytest.mark.parametrize(("people", "each"), [(5, 12), (12, 24), (60, 12)])
def test_two_methods_that_never_differ_may_still_differ_on_others(people, each, scale):
    # Never, but for what rounding leaves of it.
    mine = Resampled(0.5, np.full(9, 0.5), people, people * each, as_normal(people), people, scale)
    theirs = replace(mine, value=0.5 - 1e-16, draws=mine.draws - 1e-16)
    same = mine.minus(theirs).interval()
    assert mine.minus(theirs).p() == 1 and same.low == pytest.approx(-same.high)
    # As wide as where they differ on one sample of one person: one such sample more does not make it narrower.
    right = np.zeros((people * each, 2))
    right[0, 0], right[:, 1] = 1, 1
    once = resample_sums(ratio, np.repeat(np.arange(people), each), right, "difference", resamples=20_000).interval()
    assert same.high - same.low == pytest.approx(once.high - once.low, rel=0.05)


def test_two_methods_that_are_as_good_on_different_people_have_an_interval_of_their_own():
    draws = np.random.default_rng(0).normal(0, 0.05, 500)
    found = Resampled(0.0, draws, 20, 200, as_normal(20), 20, "difference")
    assert found.p() == 1
    assert found.interval().high == pytest.approx(stats.t.ppf(0.975, 19) * draws.std(ddof=1) * np.sqrt(20 / 19))


def test_a_difference_that_all_people_show_alike_holds_zero_where_the_sign_test_does_not_refute_it():
    def interval(people, sign=1):
        value = sign / 12
        return Resampled(value, np.full(9, value), people, 12 * people, np.full(people, value), people, "difference")

    few, many = interval(5), interval(6)
    assert few.p() > 0.05 > many.p()
    assert few.interval().low == 0 and interval(5, sign=-1).interval().high == 0
    assert 0 < many.interval().low < 1 / 12 < many.interval().high


def test_people_of_unequal_numbers_tell_as_much_as_fewer():
    # One of 40 people has most of the samples: that all are right tells little more of people than that one is.
    clusters = np.repeat(np.arange(40), [361, *[1] * 39])
    terms = np.ones((400, 2))
    equal = resample_sums(ratio, np.arange(400) // 10, terms, "share")
    found = resample_sums(ratio, clusters, terms, "share")
    assert equal.trials == 40 and found.trials == pytest.approx(400**2 / (361**2 + 39))
    assert found.interval().low < 0.1 < 0.9 < equal.interval().low
