"""Classification metrics, all of them functions of a confusion matrix.

A confusion matrix holds everything these metrics need and adds up over batches, processes and folds, so none of them
can depend on how the samples were batched. Every metric accepts a stack of matrices `(..., C, C)` and returns one value
a matrix, which lets a bootstrap score all of its resamples in one call.

Values are fractions in [0, 1]. The conventions are scikit-learn's (`zero_division=0`), for a class that is missing from

- the truth only: recall 0, precision 0 and F1 0. It counts in the macro means and weighs 0 in the weighted means;
  balanced accuracy leaves it out.
- the predictions only: recall 0, precision 0 (0/0) and F1 0, and it counts everywhere.
- both: all three are 0 in `per_class`, and every mean leaves it out.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class PerClass(NamedTuple):
    """Recall, precision, F1 and support (samples in the truth), each `(..., C)`."""

    recall: Floats
    precision: Floats
    f1: Floats
    support: Floats


def confusion_matrix(truth: ArrayLike, predicted: ArrayLike, num_classes: int) -> NDArray[np.int64]:
    """Counts `(C, C)`: row = true class, column = predicted class.

    Args:
        truth: Class indices, integers `(N,)` in [0, C). N may be 0: the matrix of an empty shard is zero.
        predicted: Class indices, integers `(N,)` in [0, C).
        num_classes: C.

    Raises:
        ValueError: Shapes differ, indices are not integers, or one is outside [0, C).
    """
    true, pred = np.asarray(truth), np.asarray(predicted)
    if true.ndim != 1 or true.shape != pred.shape:
        raise ValueError(f"truth and predictions must both be (N,), not {true.shape} and {pred.shape}")
    for name, values in (("truth", true), ("predictions", pred)):
        if not np.issubdtype(values.dtype, np.integer):
            raise ValueError(f"{name} must be integer class indices, not {values.dtype}")
        if values.size and not (values.min() >= 0 and values.max() < num_classes):
            raise ValueError(f"{name} must lie in [0, {num_classes}), not in [{values.min()}, {values.max()}]")
    cells = true.astype(np.int64) * num_classes + pred.astype(np.int64)
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes).astype(np.int64)


def accuracy(matrix: ArrayLike) -> Floats:
    """Correct / N, `(...)` from `(..., C, C)`."""
    counts = _counts(matrix)
    return np.trace(counts, axis1=-2, axis2=-1) / counts.sum((-2, -1))


def balanced_accuracy(matrix: ArrayLike) -> Floats:
    """Unweighted average recall (UAR): mean of TP / support over the classes that are in the truth."""
    each = per_class(matrix)
    return _mean(each.recall, each.support > 0)


def precision_macro(matrix: ArrayLike) -> Floats:
    """Mean precision, TP / predicted, over the classes that are in the truth or in the predictions."""
    return _mean(per_class(matrix).precision, _observed(matrix))


def f1_macro(matrix: ArrayLike) -> Floats:
    """Mean F1, 2 TP / (support + predicted), over the classes that are in the truth or in the predictions."""
    return _mean(per_class(matrix).f1, _observed(matrix))


def precision_weighted(matrix: ArrayLike) -> Floats:
    """Precision averaged with the classes' shares of the truth as weights."""
    each = per_class(matrix)
    return _mean(each.precision, each.support)


def f1_weighted(matrix: ArrayLike) -> Floats:
    """F1 averaged with the classes' shares of the truth as weights. (Recall averaged so is the accuracy.)"""
    each = per_class(matrix)
    return _mean(each.f1, each.support)


def per_class(matrix: ArrayLike) -> PerClass:
    """Recall TP / support, precision TP / predicted and F1 2 TP / (support + predicted); 0 where that is 0/0."""
    counts = _counts(matrix)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    support, predicted = counts.sum(-1), counts.sum(-2)
    return PerClass(_ratio(hits, support), _ratio(hits, predicted), _ratio(2 * hits, support + predicted), support)


CLASSIFICATION_METRICS: dict[str, Callable[[ArrayLike], Floats]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "f1_macro": f1_macro,
    "f1_weighted": f1_weighted,
    "precision_macro": precision_macro,
    "precision_weighted": precision_weighted,
}
"""Every averaged metric, by the name under which results are stored."""


def _counts(matrix: ArrayLike) -> Floats:
    counts = np.asarray(matrix, dtype=np.float64)
    if counts.ndim < 2 or counts.shape[-1] != counts.shape[-2]:
        raise ValueError(f"a confusion matrix must be (..., C, C), not {counts.shape}")
    if not (np.isfinite(counts).all() and (counts >= 0).all()):
        raise ValueError("a confusion matrix must hold counts, all finite and none negative")
    if not (counts.sum((-2, -1)) > 0).all():
        raise ValueError("a confusion matrix without samples cannot be scored")
    return counts


def _observed(matrix: ArrayLike) -> NDArray[np.bool_]:
    counts = _counts(matrix)
    return counts.sum(-1) + counts.sum(-2) > 0


def _mean(values: Floats, weights: NDArray[Any]) -> Floats:
    return (values * weights).sum(-1) / weights.sum(-1)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
