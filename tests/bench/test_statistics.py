import numpy as np
import pytest

from fer_bench.bench.statistics import (
    Interval,
    clustered_bootstrap,
    clustered_bootstrap_of_sums,
    metric_difference,
    metric_interval,
)
from fer_bench.errors import UnknownName
from fer_bench.metrics import score


def ratio(sums):
    return sums[:, 0] / sums[:, 1]


def simulate(generator, subjects, mean=0.7):
    """Correctness of samples whose subjects differ in difficulty: clusters `(N,)` and terms `(N, 2)`."""
    difficulty = generator.beta(4 * mean, 4 * (1 - mean), size=subjects)
    clusters = np.repeat(np.arange(subjects), generator.integers(6, 21, size=subjects))
    correct = generator.random(len(clusters)) < difficulty[clusters]
    return clusters, np.stack([correct, np.ones_like(correct)], axis=1)


def coverage(by_subject, simulations=300, subjects=60, mean=0.7):
    generator = np.random.default_rng(1)
    hits = 0
    for seed in range(simulations):
        clusters, terms = simulate(generator, subjects, mean)
        units = clusters if by_subject else np.arange(len(clusters))
        interval = clustered_bootstrap_of_sums(ratio, units, terms, resamples=500, seed=seed)
        hits += interval.low <= mean <= interval.high
    return hits / simulations


def test_intervals_over_subjects_cover_as_promised():
    # 2000 simulations give 0.940 at 60 subjects. With 300 the standard error is sqrt(0.94 * 0.06 / 300) = 0.014, so
    # three of them either way make a band that a sound interval leaves once in four hundred, were the seed not fixed.
    assert 0.90 <= coverage(by_subject=True) <= 0.98


def test_intervals_over_samples_would_be_too_narrow():
    # The same data; the nominal 95 % interval that takes scans for independent covers about 70 %.
    assert coverage(by_subject=False, simulations=60) < 0.85


def test_both_paths_give_the_same_interval():
    clusters, terms = simulate(np.random.default_rng(0), 20)
    fast = clustered_bootstrap_of_sums(ratio, clusters, terms, resamples=200, seed=3)
    slow = clustered_bootstrap(lambda correct: correct.mean(), clusters, terms[:, 0], resamples=200, seed=3)
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), abs=1e-12)
    assert (fast.n_clusters, fast.n) == (slow.n_clusters, slow.n) == (20, len(clusters))


def test_memory_blocks_do_not_change_the_interval(monkeypatch):
    clusters, terms = simulate(np.random.default_rng(0), 20)
    whole = clustered_bootstrap_of_sums(ratio, clusters, terms, resamples=100)
    monkeypatch.setattr("fer_bench.bench.statistics._BLOCK", 140)
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


def test_the_bounds_are_the_percentiles_of_the_resampled_means():
    # Two clusters with the values 0 and 1: the means are 0, 1/2 and 1 with probabilities 1/4, 1/2 and 1/4.
    for confidence, expected in ((0.95, (0.0, 1.0)), (0.4, (0.5, 0.5))):
        interval = clustered_bootstrap(np.mean, [0, 1], np.array([0.0, 1.0]), resamples=500, confidence=confidence)
        assert (interval.low, interval.high) == expected


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
        ([0, 1], [1.0, 2.0], {"resamples": 0}, "resamples must be positive"),
        ([0, 1], [1.0, 2.0], {"confidence": 95}, "confidence in"),
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
        lambda o, t: score("classification", o, t, CLASSES)[metric], clusters, outputs, names, resamples=100
    )
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), abs=1e-12)
    assert fast.low < score("classification", outputs, names, CLASSES)[metric] < fast.high


def test_metric_intervals_of_valence_and_arousal():
    generator = np.random.default_rng(0)
    truth = generator.uniform(-1, 1, size=(80, 2))
    outputs = truth + 0.3 * generator.normal(size=(80, 2))
    interval = metric_interval("valence_arousal", "ccc_valence", outputs, truth, (), np.arange(80) // 4, resamples=200)
    assert interval.low < score("valence_arousal", outputs, truth)["ccc_valence"] < interval.high
    assert (interval.n_clusters, interval.n) == (20, 80)


@pytest.mark.parametrize("metric", ["accuracy", "f1_macro", "f1_two_sided"])
def test_metric_intervals_of_several_labels_equal_those_by_index_resampling(metric):
    generator = np.random.default_rng(0)
    truth = np.array(["happy", "sad", "happy+fear", "sad+fear"])[generator.integers(4, size=120)]
    there = np.array([[name in label.split("+") for name in CLASSES] for label in truth])
    outputs, clusters = generator.normal(size=(120, 3)) + there - 0.5, np.arange(120) // 10
    fast = metric_interval("multilabel", metric, outputs, truth, CLASSES, clusters, resamples=100)
    slow = clustered_bootstrap(
        lambda o, t: score("multilabel", o, t, CLASSES)[metric], clusters, outputs, truth, resamples=100
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
    assert (nothing.value, nothing.interval.low, nothing.interval.high) == (0, 0, 0)
