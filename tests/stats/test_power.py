import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fer_bench.stats.bootstrap import resample_sums
from fer_bench.stats.power import Assumed, describe_power, smallest_difference, standard_error


def two_methods(generator, subjects, better=(0.0, 0.0), sets=1):
    """Whether two methods are right, `(sets, subjects, 12, 2)`: normal terms of person, person and method, scan, and
    scan and method are above a threshold."""
    shape = (sets, subjects)
    shared = generator.normal(0, 0.5, (*shape, 1, 1)) + generator.normal(0, 0.8, (*shape, 12, 1))
    own = generator.normal(0, 0.4, (*shape, 1, 2)) + generator.normal(0, 0.6, (*shape, 12, 2))
    return shared + own > -0.9 - np.array(better)


@pytest.fixture(scope="module")
def measured() -> Assumed:
    """What the formula assumes, of very many people."""
    right = two_methods(np.random.default_rng(0), 40_000)[0].astype(float)
    apart = right[..., 0] - right[..., 1]
    samples = np.corrcoef(right.reshape(-1, 2).T)[0, 1]
    within = (np.square(apart.sum(1)).mean() - np.square(apart).sum(1).mean()) / (12 * 11 * np.square(apart).mean())
    return Assumed(accuracy=float(right.mean()), between=float(samples), within=float(within))


@pytest.mark.parametrize("subjects", [10, 60])
def test_the_standard_error_is_that_of_simulated_sets(measured, subjects):
    right = two_methods(np.random.default_rng(1), subjects, sets=2000).mean(axis=(1, 2))
    simulated = float((right[:, 0] - right[:, 1]).std(ddof=1))
    # That of a standard deviation of 2000 is 1.6 %.
    assert standard_error(subjects, 12 * subjects, measured) == pytest.approx(simulated, rel=0.05)
    # Scans of one person are not independent, and a formula that takes them for so is off by more than that.
    independent = Assumed(measured.accuracy, measured.between, 0.0)
    assert standard_error(subjects, 12 * subjects, independent) < 0.93 * simulated


def test_the_smallest_difference_is_found_with_the_power_that_is_promised(measured):
    subjects = 30
    smallest = smallest_difference(subjects, 12 * subjects, measured)
    # The thresholds of a method that is better by half of that than what was assumed, and of one that is worse.
    spread = np.sqrt(0.5**2 + 0.8**2 + 0.4**2 + 0.6**2)
    better = spread * stats.norm.ppf(stats.norm.cdf(0.9 / spread) + np.array([0.5, -0.5]) * smallest) - 0.9
    found = 0
    for number, right in enumerate(two_methods(np.random.default_rng(2), subjects, better, sets=400)):
        apart = right[..., 0].astype(float) - right[..., 1]
        terms = np.stack([apart.ravel(), np.ones(apart.size)], axis=1)
        drawn = resample_sums(
            lambda sums: sums[:, 0] / sums[:, 1], np.repeat(np.arange(subjects), 12), terms, resamples=300, seed=number
        )
        found += drawn.p() < 0.05
    assert 0.74 <= found / 400 <= 0.86, "80 %, with a standard error of 2"


@given(st.integers(2, 300), st.integers(1, 30))
def test_more_people_resolve_more(subjects, each):
    few, many = (smallest_difference(k, k * each) or 1.0 for k in (subjects, subjects + 20))
    assert many < few or few == 1
    # And so do more scans of the same people, but never more than the people allow.
    assert (smallest_difference(subjects, 2 * subjects * each) or 1.0) <= few
    bound = smallest_difference(subjects, 10**6 * subjects)
    assert bound is None or bound > 0


def test_what_nothing_can_be_said_of():
    assert smallest_difference(1, 100) is None
    assert smallest_difference(2, 2) is None, "it would be more than everything"
    with pytest.raises(ValueError, match="each needs one"):
        smallest_difference(3, 2)


def test_in_words():
    assert describe_power(60, 720, "scans", "classification") == (
        f"tested on 720 scans of 60 subjects; resolves a difference of accuracy of "
        f"{100 * smallest_difference(60, 720):.1f} points"
    )
    assert describe_power(1, 12, "scans", "classification").endswith("of 1 subject, too few to resolve any difference")
    assert describe_power(40, 250, "clips", "multilabel") == "tested on 250 clips of 40 subjects"
    assert "whom the data do not name" in describe_power(3068, 3068, "images", "classification", by_name=False)
    assert "80 % power at 5 %" in str(Assumed()) and "right on 80 %" in str(Assumed())
