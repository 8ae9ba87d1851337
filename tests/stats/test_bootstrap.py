import numpy as np
import pytest
from scipy import stats

from fer_bench.errors import UnknownName
from fer_bench.metrics import score
from fer_bench.metrics.valence_arousal import VALENCE_AROUSAL_METRICS
from fer_bench.stats.bootstrap import (
    clustered_bootstrap,
    clustered_bootstrap_of_sums,
    metric_difference,
    metric_interval,
    resample_sums,
    scale_of,
)
from fer_bench.stats.intervals import Interval
from fer_bench.stats.metric_sums import metric_terms


def ratio(sums):
    return sums[:, 0] / sums[:, 1]


def simulate(generator, subjects, mean=0.7):
    """Correctness of samples whose subjects differ in difficulty: clusters `(N,)` and terms `(N, 2)`."""
    difficulty = generator.beta(4 * mean, 4 * (1 - mean), size=subjects)
    clusters = np.repeat(np.arange(subjects), generator.integers(6, 21, size=subjects))
    correct = generator.random(len(clusters)) < difficulty[clusters]
    return clusters, np.stack([correct, np.ones_like(correct)], axis=1)


def test_intervals_over_samples_would_be_too_narrow():
    # The nominal 95 % interval that takes scans for independent covers about 70 %; the one over subjects is simulated
    # in test_coverage.py.
    generator, hits = np.random.default_rng(1), 0
    for seed in range(60):
        clusters, terms = simulate(generator, 60)
        interval = clustered_bootstrap_of_sums(ratio, np.arange(len(clusters)), terms, resamples=200, seed=seed)
        hits += interval.low <= 0.7 <= interval.high
    assert hits / 60 < 0.85


def test_both_paths_give_the_same_interval():
    clusters, terms = simulate(np.random.default_rng(0), 20)
    fast = clustered_bootstrap_of_sums(ratio, clusters, terms, resamples=200, seed=3)
    slow = clustered_bootstrap(lambda correct: correct.mean(), clusters, terms[:, 0], resamples=200, seed=3)
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), abs=1e-12)
    assert (fast.n_clusters, fast.n) == (slow.n_clusters, slow.n) == (20, len(clusters))


def test_memory_blocks_do_not_change_the_interval(monkeypatch):
    clusters, terms = simulate(np.random.default_rng(0), 20)
    whole = clustered_bootstrap_of_sums(ratio, clusters, terms, resamples=100)
    monkeypatch.setattr("fer_bench.stats.draws._BLOCK", 140)
    assert clustered_bootstrap_of_sums(ratio, clusters, terms, resamples=100) == whole


def test_deterministic_and_blind_to_the_order_and_names_of_samples():
    clusters, terms = simulate(np.random.default_rng(0), 20)
    names = np.array([f"F{c:04d}" for c in clusters], dtype=object)
    order = np.random.default_rng(1).permutation(len(clusters))
    first = clustered_bootstrap_of_sums(ratio, clusters, terms, seed=5)
    assert clustered_bootstrap_of_sums(ratio, names[order], terms[order], seed=5) == first
    assert clustered_bootstrap_of_sums(ratio, clusters, terms, seed=6) != first


def test_whole_clusters_are_drawn():
    # Within a cluster the signs cancel, so a resample of whole clusters always sums to zero.
    values, clusters = np.tile([1.0, -1.0], 10), np.repeat(np.arange(10), 2)
    interval = clustered_bootstrap(np.sum, clusters, values, resamples=50)
    assert (interval.low, interval.high) == (0, 0)


def test_on_means_the_interval_is_that_of_the_t_test():
    # Of one value a cluster the standard error is that of the mean, but for the draws: 1 / sqrt(2 R) of it.
    values = np.random.default_rng(0).normal(0.4, 1, 12)
    found = resample_sums(ratio, np.arange(12), np.stack([values, np.ones(12)], axis=1), resamples=40_000)
    assert found.error == pytest.approx(stats.sem(values), rel=0.02)
    expected = stats.ttest_1samp(values, 0)
    interval = found.interval()
    low, high = expected.confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.02)
    assert found.p() == pytest.approx(expected.pvalue, abs=0.01)


def test_wider_with_more_confidence():
    clusters, terms = simulate(np.random.default_rng(0), 30)
    narrow = clustered_bootstrap_of_sums(ratio, clusters, terms, confidence=0.8)
    wide = clustered_bootstrap_of_sums(ratio, clusters, terms, confidence=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_one_cluster_has_no_interval():
    assert clustered_bootstrap(np.mean, ["a"] * 5, np.arange(5.0)) == Interval(None, None, 1, 5)
    assert clustered_bootstrap_of_sums(ratio, ["a"] * 5, np.ones((5, 2))) == Interval(None, None, 1, 5)


@pytest.mark.parametrize(
    ("clusters", "values", "options", "message"),
    [
        ([], [], {}, "same length, above 0"),
        ([0, 1], [1.0], {}, "same length"),
        (["a", None], [1.0, 2.0], {}, "every sample needs a cluster"),
        ([0, 1], [1.0, 2.0], {"resamples": 1}, "two resamples or more"),
        ([0, 1], [1.0, 2.0], {"confidence": 95}, "confidence must be in"),
        ([0, 1], [1.0, np.nan], {}, "not finite"),
    ],
)
def test_refuses(clusters, values, options, message):
    with pytest.raises(ValueError, match=message):
        clustered_bootstrap(np.mean, np.array(clusters, dtype=object), np.array(values), **options)


CLASSES = ("happy", "sad", "fear")


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "f1_macro", "f1_weighted", "precision_macro"])
def test_metric_intervals_of_classification_equal_those_by_index_resampling(metric):
    generator = np.random.default_rng(0)
    truth = generator.integers(3, size=120)
    outputs = generator.normal(size=(120, 3)) + np.eye(3)[truth]
    names, clusters = np.array(CLASSES)[truth], np.arange(120) // 10
    fast = metric_interval("classification", metric, outputs, names, CLASSES, clusters, resamples=100)
    slow = clustered_bootstrap(
        lambda o, t: score("classification", o, t, CLASSES)[metric],
        clusters,
        outputs,
        names,
        scale=scale_of("classification", metric),
        resamples=100,
    )
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), abs=1e-12)
    assert fast.low < score("classification", outputs, names, CLASSES)[metric] < fast.high


@pytest.mark.parametrize("metric", VALENCE_AROUSAL_METRICS)
def test_metric_intervals_of_valence_and_arousal_equal_those_by_index_resampling(metric):
    generator = np.random.default_rng(0)
    truth = generator.uniform(-1, 1, size=(80, 2))
    outputs, clusters = truth + 0.3 * generator.normal(size=(80, 2)), np.arange(80) // 4
    fast = metric_interval("valence_arousal", metric, outputs, truth, (), clusters, resamples=100)
    slow = clustered_bootstrap(
        VALENCE_AROUSAL_METRICS[metric],
        clusters,
        outputs,
        truth,
        scale=scale_of("valence_arousal", metric),
        resamples=100,
    )
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), abs=1e-9)
    assert fast.low < VALENCE_AROUSAL_METRICS[metric](outputs, truth) < fast.high
    assert (fast.n_clusters, fast.n) == (20, 80)


@pytest.mark.parametrize("metric", VALENCE_AROUSAL_METRICS)
def test_constant_valence_and_arousal_agree_with_nothing(metric):
    truth = np.random.default_rng(0).uniform(-1, 1, size=(30, 2))
    for outputs, true in ((np.full((30, 2), 0.1), truth), (truth, np.full((30, 2), 0.1)), (truth[:1], truth[:1])):
        terms, statistic = metric_terms("valence_arousal", metric, outputs, true, ())
        if metric.startswith("ccc_published") and len(true) == 1:
            continue  # N - 1 is 0
        expected = VALENCE_AROUSAL_METRICS[metric](outputs, true)
        assert statistic(terms.sum(0)[None])[0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro", "f1_two_sided"])
def test_metric_intervals_of_several_labels_equal_those_by_index_resampling(metric):
    generator = np.random.default_rng(0)
    truth = np.array(["happy", "sad", "happy+fear", "sad+fear"])[generator.integers(4, size=120)]
    there = np.array([[name in label.split("+") for name in CLASSES] for label in truth])
    outputs, clusters = generator.normal(size=(120, 3)) + there - 0.5, np.arange(120) // 10
    fast = metric_interval("multilabel", metric, outputs, truth, CLASSES, clusters, resamples=100)
    slow = clustered_bootstrap(
        lambda o, t: score("multilabel", o, t, CLASSES)[metric],
        clusters,
        outputs,
        truth,
        scale=scale_of("multilabel", metric),
        resamples=100,
    )
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), abs=1e-12)
    assert fast.low < score("multilabel", outputs, truth, CLASSES)[metric] < fast.high


def test_unknown_metrics_and_tasks_are_named():
    with pytest.raises(UnknownName, match="f1_macro"):
        metric_interval("classification", "f1_makro", np.zeros((2, 3)), ["sad", "sad"], CLASSES, [0, 1])
    with pytest.raises(UnknownName, match="unknown metric 'accuracy'"):
        metric_interval("valence_arousal", "accuracy", np.zeros((2, 2)), np.zeros((2, 2)), (), [0, 1])
    with pytest.raises(UnknownName, match="unknown task"):
        metric_interval("regression", "mse", np.zeros((2, 2)), np.zeros((2, 2)), (), [0, 1])


def two_methods(task):
    """Outputs of two methods that fail on the same samples more often than not, truth, classes and subjects."""
    generator = np.random.default_rng(3)
    n, classes = 240, ("a", "b", "c")
    subjects = np.repeat(np.arange(24), 10)
    if task == "valence_arousal":
        truth = generator.uniform(-1, 1, (n, 2))
        noise = generator.normal(0, 0.4, (n, 2))
        return truth + noise, truth + 1.3 * noise + generator.normal(0, 0.1, (n, 2)), truth, (), subjects
    if task == "multilabel":
        truth = np.array(["a", "b", "a+c"], dtype=object)[generator.integers(0, 3, n)]
        signal = np.array([[name in label.split("+") for name in classes] for label in truth]) - 0.5
    else:
        truth = np.array(classes, dtype=object)[generator.integers(0, 3, n)]
        signal = np.array([[name == label for name in classes] for label in truth], dtype=float)
    noise = generator.normal(0, 0.7, (n, 3))
    return signal + noise, signal + noise + generator.normal(0, 0.3, (n, 3)), truth, classes, subjects


@pytest.mark.parametrize(
    ("task", "metric"), [("classification", "f1_macro"), ("multilabel", "f1_two_sided"), ("valence_arousal", "ccc")]
)
def test_differences_are_those_of_the_same_draws_of_subjects(task, metric):
    first, second, truth, classes, subjects = two_methods(task)
    found = metric_difference(task, metric, first, second, truth, classes, subjects, resamples=200)

    def value(outputs, true):
        return score(task, outputs, true, classes)[metric]

    assert found.value == pytest.approx(value(first, truth) - value(second, truth), abs=1e-12)
    slow = clustered_bootstrap(
        lambda a, b, t: value(a, t) - value(b, t), subjects, first, second, truth, resamples=200, seed=0
    )
    assert (found.interval.low, found.interval.high) == pytest.approx((slow.low, slow.high), abs=1e-12)
    # Paired: far narrower than what two independent intervals would make of it.
    alone = [metric_interval(task, metric, o, truth, classes, subjects, resamples=200) for o in (first, second)]
    assert found.interval.high - found.interval.low < 0.8 * np.hypot(*(each.high - each.low for each in alone))
    nothing = metric_difference(task, metric, first, first, truth, classes, subjects, resamples=50)
    assert nothing.value == 0 and nothing.interval.low == -nothing.interval.high
    assert (nothing.interval.high > 0) == (task != "valence_arousal"), "of shares it is told what was not seen"
