"""From outputs and truth to named numbers; pure functions, on numpy alone.

`score` is what the bench calls. A task is a key of `METRICS`; the formulas are in the modules beside this one.
"""

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_bench.errors import UnknownName
from fer_bench.metrics.classification import CLASSIFICATION_METRICS, confusion_matrix
from fer_bench.metrics.disentanglement import disentanglement_metrics
from fer_bench.metrics.multilabel import multilabel_metrics, presence
from fer_bench.metrics.valence_arousal import valence_arousal_metrics

__all__ = [
    "METRICS",
    "accuracy_among_tested",
    "class_indices",
    "classification_scores",
    "disentanglement_scores",
    "multilabel_scores",
    "presence_pairs",
    "score",
    "valence_arousal_scores",
]


def score(
    task: str, outputs: ArrayLike, truth: ArrayLike, classes: Sequence[str] = (), tested: Sequence[str] = ()
) -> dict[str, float]:
    """Every metric of a task.

    Args:
        task: A key of `METRICS`.
        outputs: Raw outputs: class scores `(N, C)`, valence and arousal `(N, 2)`, or what was measured of each mesh
            (`fer_bench.metrics.disentanglement.MEASURES`).
        truth: Class names or class indices `(N,)`; names joined by `+` for several labels; valence and arousal
            `(N, 2)`; or the subjects of the meshes.
        classes: The C class names in the order of the outputs' columns; none for valence and arousal, and of meshes.
        tested: The classes of the truth where it cannot hold all of them; adds `accuracy_among_tested`.

    Raises:
        UnknownName: The task is not in `METRICS`.
        ValueError: Shapes, classes or values do not fit, or there is no sample.
    """
    if task not in METRICS:
        raise UnknownName("task", task, METRICS)
    metrics = METRICS[task](outputs, truth, classes)
    if tested:
        if task != "classification":
            raise ValueError(f"only classification can be restricted to the tested classes, not {task}")
        metrics["accuracy_among_tested"] = accuracy_among_tested(outputs, truth, classes, tested)
    return metrics


def classification_scores(outputs: ArrayLike, truth: ArrayLike, classes: Sequence[str]) -> dict[str, float]:
    """`CLASSIFICATION_METRICS` of the class with the greatest score; among equal scores the first class wins."""
    true, predicted = class_indices(outputs, truth, classes)
    matrix = confusion_matrix(true, predicted, len(classes))
    return {name: float(metric(matrix)) for name, metric in CLASSIFICATION_METRICS.items()}


def accuracy_among_tested(outputs: ArrayLike, truth: ArrayLike, classes: Sequence[str], tested: Sequence[str]) -> float:
    """Accuracy of the class with the greatest score among the tested ones; the scores of the others are ignored.

    Never below the accuracy over all classes: what wins among all wins among fewer. The arguments are those of `score`.

    Raises:
        ValueError: As `score`, or a tested class or the truth's is not among the classes or the tested ones.
    """
    true, _ = class_indices(outputs, truth, classes)
    if unknown := [name for name in tested if name not in set(classes)]:
        raise ValueError(f"the tested classes {unknown} are not among the classes {list(classes)}")
    kept = [i for i, name in enumerate(classes) if name in set(tested)]
    columns = np.asarray(outputs, dtype=np.float64)[:, kept]
    true, predicted = class_indices(columns, np.array(classes, dtype=object)[true], [classes[i] for i in kept])
    return float((true == predicted).mean())


def multilabel_scores(outputs: ArrayLike, truth: ArrayLike, classes: Sequence[str]) -> dict[str, float]:
    """`multilabel_metrics`, each class being predicted present where its raw score, a logit, is above 0."""
    return multilabel_metrics(*presence_pairs(outputs, truth, classes), classes)


def valence_arousal_scores(outputs: ArrayLike, truth: ArrayLike, classes: Sequence[str] = ()) -> dict[str, float]:
    """`valence_arousal_metrics`, which has no classes."""
    if len(classes):
        raise ValueError(f"valence and arousal have no classes, but {list(classes)} were given")
    return valence_arousal_metrics(outputs, truth)


def disentanglement_scores(outputs: ArrayLike, truth: ArrayLike, classes: Sequence[str] = ()) -> dict[str, float]:
    """`disentanglement_metrics` of what was measured of each mesh and of the meshes' subjects, without classes."""
    if len(classes):
        raise ValueError(f"disentanglement has no classes, but {list(classes)} were given")
    return disentanglement_metrics(outputs, truth)


def class_indices(
    outputs: ArrayLike, truth: ArrayLike, classes: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """True and predicted class indices, each `(N,)`, from raw scores `(N, C)` and names or indices `(N,)`."""
    names = np.asarray(truth)
    scores = _scores(outputs, names, classes)
    predicted = scores.argmax(axis=1).astype(np.int64)
    if np.issubdtype(names.dtype, np.integer):
        if names.min() < 0 or names.max() >= len(classes):
            raise ValueError(f"truth must lie in [0, {len(classes)}), not in [{names.min()}, {names.max()}]")
        return names.astype(np.int64), predicted
    index = {name: i for i, name in enumerate(classes)}
    true = np.fromiter(map(index.get, names.tolist(), repeat(-1)), dtype=np.int64, count=len(names))
    if true.min() < 0:
        unknown = sorted({repr(name) for name in names.tolist() if name not in index})
        raise ValueError(f"truth holds {', '.join(unknown[:3])}, which is not among the classes {list(classes)}")
    return true, predicted


def presence_pairs(
    outputs: ArrayLike, truth: ArrayLike, classes: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """True and predicted presence, each `(N, C)`, from raw scores `(N, C)` and labels `(N,)` of names joined by `+`."""
    labels = np.asarray(truth, dtype=object)
    scores = _scores(outputs, labels, classes)
    return presence(labels, classes), scores > 0


def _scores(outputs: ArrayLike, truth: NDArray[Any], classes: Sequence[str]) -> NDArray[np.float64]:
    """The outputs as an array `(N, C)`; raises ValueError where they, the truth and the classes do not fit."""
    scores = np.asarray(outputs, dtype=np.float64)
    if isinstance(classes, str) or len(set(classes)) != len(classes) or len(classes) < 2:
        raise ValueError(f"classes must be two or more different names, not {classes!r}")
    if scores.ndim != 2 or scores.shape[1] != len(classes) or truth.shape != scores.shape[:1]:
        raise ValueError(f"outputs must be (N, {len(classes)}) and truth (N,), not {scores.shape} and {truth.shape}")
    if len(scores) == 0:
        raise ValueError("no samples to score")
    if not np.isfinite(scores).all():
        raise ValueError("outputs must be finite")
    return scores


METRICS: dict[str, Callable[[ArrayLike, ArrayLike, Sequence[str]], dict[str, float]]] = {
    "classification": classification_scores,
    "valence_arousal": valence_arousal_scores,
    "multilabel": multilabel_scores,
    "disentanglement": disentanglement_scores,
}
