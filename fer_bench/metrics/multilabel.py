"""Metrics of labels that may hold together, such as 4DME's five kinds of micro-expression: each is present or absent.

Everything but the exact match is a function of one 2 x 2 confusion matrix a class, absent first, and so adds up over
batches, processes and folds. Compute it over all folds together: a rare class is missing from many single ones.

The F1 that FACET-VLM's Table 5 prints is `f1_two_sided`: each of the 20 accuracies of its baseline rows is a number of
hits among 236 clips, and with these hits each of the 20 F1 is, to the fourth decimal, a mean of the F1 of presence and
that of absence, while none is an F1 of presence.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_bench.metrics.classification import Floats, accuracy, confusion_matrix, f1_macro, per_class

_OF_EACH: dict[str, Callable[[ArrayLike], Floats]] = {
    "accuracy": accuracy,
    "f1": lambda matrices: per_class(matrices).f1[..., 1],
    "f1_two_sided": f1_macro,
}
"""`(..., C, 2, 2)` -> `(..., C)`: hits / N; F1 of presence, 0 where it is 0/0; mean of the F1 of presence and that of
absence, or one of them alone where the other is neither true nor predicted."""

MULTILABEL_METRICS: dict[str, Callable[[ArrayLike], Floats]] = {
    "accuracy": lambda matrices: _OF_EACH["accuracy"](matrices).mean(axis=-1),
    "f1_macro": lambda matrices: _OF_EACH["f1"](matrices).mean(axis=-1),
    "f1_two_sided": lambda matrices: _OF_EACH["f1_two_sided"](matrices).mean(axis=-1),
}
"""`(..., C, 2, 2)` -> `(...)`: unweighted means over all C classes, by the name under which results are stored."""


def presence(truth: ArrayLike, classes: Sequence[str]) -> NDArray[np.bool_]:
    """`(N, C)`, whether a class is among the names that each label of `(N,)` joins by `+`.

    Raises:
        ValueError: a label is no text, or names something that is not among the classes.
    """
    known = frozenset(classes)
    names = [set(label.split("+")) if isinstance(label, str) else {label} for label in np.asarray(truth, object)]
    if unknown := sorted({repr(name) for label in names for name in label - known}):
        raise ValueError(f"truth holds {', '.join(unknown[:3])}, which is not among the classes {list(classes)}")
    return np.array([[name in label for name in classes] for label in names], dtype=bool)


def presence_matrices(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Counts `(C, 2, 2)` of `(N, C)` truth and predictions: row = truth, column = prediction, absent first."""
    pairs = zip(truth.T.astype(np.int64), predicted.T.astype(np.int64), strict=True)
    return np.stack([confusion_matrix(t, p, 2) for t, p in pairs])


def multilabel_metrics(
    truth: NDArray[np.bool_], predicted: NDArray[np.bool_], classes: Sequence[str]
) -> dict[str, float]:
    """`MULTILABEL_METRICS`, the same of each class as `f1_positive`, and `exact_match`, the share of the samples all of
    whose C answers are right."""
    matrices = presence_matrices(truth, predicted)
    metrics = {name: float(metric(matrices)) for name, metric in MULTILABEL_METRICS.items()}
    metrics["exact_match"] = float((truth == predicted).all(axis=1).mean())
    for name, metric in _OF_EACH.items():
        metrics |= {f"{name}_{c}": float(v) for c, v in zip(classes, metric(matrices), strict=True)}
    return metrics
