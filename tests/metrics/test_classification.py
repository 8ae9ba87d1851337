import warnings

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.metrics.classification import (
    CLASSIFICATION_METRICS,
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    f1_macro,
    f1_weighted,
    per_class,
    precision_macro,
    precision_weighted,
)

C = 5
labels = st.lists(st.tuples(st.integers(0, C - 1), st.integers(0, C - 1)), min_size=1, max_size=60)


def split(pairs):
    return np.array([t for t, _ in pairs]), np.array([p for _, p in pairs])


@settings(max_examples=60)
@given(labels)
def test_every_metric_equals_scikit_learn(pairs):
    """Small samples of five classes leave classes out of the truth, of the predictions and of both."""
    truth, predicted = split(pairs)
    matrix = confusion_matrix(truth, predicted, C)
    np.testing.assert_array_equal(matrix, reference.confusion_matrix(truth, predicted, labels=range(C)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of classes that only the predictions hold
        recall_over_truth = reference.balanced_accuracy_score(truth, predicted)
    options = {"zero_division": 0}
    expected = {
        accuracy: reference.accuracy_score(truth, predicted),
        balanced_accuracy: recall_over_truth,
        f1_macro: reference.f1_score(truth, predicted, average="macro", **options),
        f1_weighted: reference.f1_score(truth, predicted, average="weighted", **options),
        precision_macro: reference.precision_score(truth, predicted, average="macro", **options),
        precision_weighted: reference.precision_score(truth, predicted, average="weighted", **options),
    }
    for metric, value in expected.items():
        assert metric(matrix) == pytest.approx(value, abs=1e-12)
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        truth, predicted, labels=range(C), **options
    )
    ours = per_class(matrix)
    for mine, theirs in zip(ours, (recall, precision, f1, support), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12)


@given(labels, st.permutations(range(C)), st.integers(1, 7))
def test_metrics_are_bounded_and_depend_on_neither_order_nor_batching_nor_class_order(pairs, renamed, batch):
    truth, predicted = split(pairs)
    matrix = confusion_matrix(truth, predicted, C)
    batches = sum(
        confusion_matrix(truth[i : i + batch], predicted[i : i + batch], C) for i in range(0, len(truth), batch)
    )
    np.testing.assert_array_equal(batches, matrix)
    np.testing.assert_array_equal(confusion_matrix(truth[::-1], predicted[::-1], C), matrix)
    names = np.array(renamed)
    for metric in CLASSIFICATION_METRICS.values():
        assert 0 <= metric(matrix) <= 1 + 1e-12
        assert metric(confusion_matrix(names[truth], names[predicted], C)) == pytest.approx(metric(matrix), abs=1e-12)


@given(labels)
def test_perfect_predictions_score_one(pairs):
    truth, _ = split(pairs)
    for metric in CLASSIFICATION_METRICS.values():
        assert metric(confusion_matrix(truth, truth, C)) == pytest.approx(1, abs=1e-12)


@given(st.lists(labels, min_size=2, max_size=4))
def test_a_stack_of_matrices_gives_the_values_of_each(samples):
    stack = np.stack([confusion_matrix(*split(pairs), C) for pairs in samples])
    for metric in CLASSIFICATION_METRICS.values():
        np.testing.assert_allclose(metric(stack), [metric(matrix) for matrix in stack], rtol=0, atol=1e-15)


def test_absent_classes_by_hand():
    # Class 0: two samples, one found. Class 1: predicted only. Class 2: in the truth only. Class 3: nowhere.
    matrix = confusion_matrix(np.array([0, 0, 2]), np.array([0, 1, 1]), 4)
    assert balanced_accuracy(matrix) == pytest.approx((1 / 2 + 0) / 2)
    assert f1_macro(matrix) == pytest.approx((2 / 3 + 0 + 0) / 3)
    assert f1_weighted(matrix) == pytest.approx(2 / 3 * 2 / 3)
    assert per_class(matrix).f1[3] == 0


def test_rows_are_the_truth():
    assert confusion_matrix(np.array([0]), np.array([1]), 2).tolist() == [[0, 1], [0, 0]]


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        ([0, 1], [0], "must both be"),
        ([[0]], [[0]], "must both be"),
        ([0.0], [0], "integer class indices"),
        ([True], [True], "integer class indices"),
        ([2], [0], r"truth must lie in \[0, 2\)"),
        ([0], [-1], r"predictions must lie in \[0, 2\)"),
    ],
)
def test_confusion_matrix_refuses(truth, predicted, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(np.array(truth), np.array(predicted), 2)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((2, 2)), "without samples"),
        (np.ones((2, 3)), "must be"),
        (np.array([[1, -1], [0, 1]]), "none negative"),
        (np.array([[1, np.nan], [0, 1]]), "all finite"),
    ],
)
def test_metrics_refuse_what_is_no_confusion_matrix(matrix, message):
    for metric in CLASSIFICATION_METRICS.values():
        with pytest.raises(ValueError, match=message):
            metric(matrix)
