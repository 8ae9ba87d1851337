"""From outputs and truth to named numbers; pure functions, on numpy alone.

`score` is what the bench calls. A task is a key of `METRICS`; the formulas are in the modules beside this one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_bench.errors import UnknownName
from fer_bench.metrics.classification import CLASSIFICATION_METRICS, confusion_matrix
from fer_bench.metrics.valence_arousal import valence_arousal_metrics

__all__ = ["METRICS", "class_indices", "classification_scores", "score", "valence_arousal_scores"]


def score(task: str, outputs: ArrayLike, truth: ArrayLike, classes: Sequence[str] = ()) -> dict[str, float]:
    """Every metric of a task.

    Args:
        task: A key of `METRICS`.
        outputs: Raw outputs: class scores `(N, C)`, or valence and arousal `(N, 2)`.
        truth: Class names or class indices `(N,)`, or valence and arousal `(N, 2)`.
        classes: The C class names in the order of the outputs' columns; none for valence and arousal.

    Raises:
        UnknownName: The task is not in `METRICS`.
        ValueError: Shapes, classes or values do not fit, or there is no sample.
    """
    if task not in METRICS:
        raise UnknownName("task", task, METRICS)
    return METRICS[task](outputs, truth, classes)


def classification_scores(outputs: ArrayLike, truth: ArrayLike, classes: Sequence[str]) -> dict[str, float]:
    """`CLASSIFICATION_METRICS` of the class with the greatest score; among equal scores the first class wins."""
    true, predicted = class_indices(outputs, truth, classes)
    matrix = confusion_matrix(true, predicted, len(classes))
    return {name: float(metric(matrix)) for name, metric in CLASSIFICATION_METRICS.items()}


def valence_arousal_scores(outputs: ArrayLike, truth: ArrayLike, classes: Sequence[str] = ()) -> dict[str, float]:
    """`valence_arousal_metrics`, which has no classes."""
    if len(classes):
        raise ValueError(f"valence and arousal have no classes, but {list(classes)} were given")
    return valence_arousal_metrics(outputs, truth)


def class_indices(
    outputs: ArrayLike, truth: ArrayLike, classes: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """True and predicted class indices, each `(N,)`, from raw scores `(N, C)` and names or indices `(N,)`."""
    scores, names = np.asarray(outputs, dtype=np.float64), np.asarray(truth)
    if isinstance(classes, str) or len(set(classes)) != len(classes) or len(classes) < 2:
        raise ValueError(f"classes must be two or more different names, not {classes!r}")
    if scores.ndim != 2 or scores.shape[1] != len(classes) or names.shape != scores.shape[:1]:
        raise ValueError(f"outputs must be (N, {len(classes)}) and truth (N,), not {scores.shape} and {names.shape}")
    if len(scores) == 0:
        raise ValueError("no samples to score")
    if not np.isfinite(scores).all():
        raise ValueError("outputs must be finite")
    predicted = scores.argmax(axis=1).astype(np.int64)
    if np.issubdtype(names.dtype, np.integer):
        if names.min() < 0 or names.max() >= len(classes):
            raise ValueError(f"truth must lie in [0, {len(classes)}), not in [{names.min()}, {names.max()}]")
        return names.astype(np.int64), predicted
    index = {name: i for i, name in enumerate(classes)}
    if unknown := sorted({repr(name) for name in names.tolist() if name not in index}):
        raise ValueError(f"truth holds {', '.join(unknown[:3])}, which is not among the classes {list(classes)}")
    true = np.array([index[name] for name in names.tolist()], dtype=np.int64)
    return true, predicted


METRICS: dict[str, Callable[[ArrayLike, ArrayLike, Sequence[str]], dict[str, float]]] = {
    "classification": classification_scores,
    "valence_arousal": valence_arousal_scores,
}
