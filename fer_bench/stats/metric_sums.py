"""Metrics as functions of sums over samples, so that a bootstrap scores all of its resamples in one call."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_bench.errors import UnknownName
from fer_bench.metrics import class_indices, presence_pairs
from fer_bench.metrics.classification import CLASSIFICATION_METRICS
from fer_bench.metrics.disentanglement import MEASURES, mean_terms
from fer_bench.metrics.multilabel import MULTILABEL_METRICS
from fer_bench.metrics.valence_arousal import VALENCE_AROUSAL_METRICS

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From the sums of all resamples, `(R, D)`, to their values, `(R,)`."""

_TINY = 1e-12  # below this share of the squares, a variance is rounding error


def metric_terms(
    task: str, metric: str, outputs: ArrayLike, truth: ArrayLike, classes: Sequence[str]
) -> tuple[NDArray[np.bool_] | NDArray[np.float64], Statistic]:
    """What each sample adds to the sums that a metric of `fer_bench.metrics.score` is a function of, `(N, D)`, and that
    function.

    Raises:
        UnknownName: The task, or the metric among those that are functions of sums.
        ValueError: As `score`.
    """
    c = len(classes)
    if task == "classification":
        if metric not in CLASSIFICATION_METRICS:
            raise UnknownName("metric", metric, CLASSIFICATION_METRICS)
        true, predicted = class_indices(outputs, truth, classes)
        # Each sample adds one to one cell of the confusion matrix.
        cells = np.zeros((len(true), c * c), dtype=bool)
        cells[np.arange(len(true)), true * c + predicted] = True
        score = CLASSIFICATION_METRICS[metric]
        return cells, lambda sums: score(sums.reshape(-1, c, c))
    if task == "multilabel":
        if metric not in MULTILABEL_METRICS:
            raise UnknownName("metric", metric, MULTILABEL_METRICS)
        there, found = presence_pairs(outputs, truth, classes)
        # Each sample adds one to one cell of each class's 2 x 2 matrix.
        several = MULTILABEL_METRICS[metric]
        answers = np.eye(4, dtype=bool)[2 * there + found].reshape(len(there), -1)  # (N, C * 4)
        return answers, lambda sums: several(sums.reshape(-1, c, 2, 2))
    if task == "disentanglement":
        try:
            return mean_terms(metric, outputs, truth)
        except KeyError:
            raise UnknownName("metric", metric, [f"{name}_mean" for name in MEASURES]) from None
    if task == "valence_arousal":
        if metric not in VALENCE_AROUSAL_METRICS:
            raise UnknownName("metric", metric, VALENCE_AROUSAL_METRICS)
        return _moments(metric, np.asarray(outputs, dtype=np.float64), np.asarray(truth, dtype=np.float64))
    raise UnknownName("task", task, ["classification", "disentanglement", "multilabel", "valence_arousal"])


def _moments(
    metric: str, predicted: NDArray[np.float64], truth: NDArray[np.float64]
) -> tuple[NDArray[np.float64], Statistic]:
    """The formulas are those of `fer_bench.metrics.valence_arousal`, from 1, p, t, p^2, t^2, p t and |p - t|, summed
    over the columns that the metric uses."""
    VALENCE_AROUSAL_METRICS[metric](predicted, truth)  # refuses what is not (N, 2), finite and of one shape
    if metric == "ccc_mean":
        parts = [_moments(f"ccc_{column}", predicted, truth) for column in ("valence", "arousal")]
        (first, of_valence), (second, of_arousal) = parts
        width = first.shape[1]
        return np.hstack([first, second]), lambda sums: (of_valence(sums[:, :width]) + of_arousal(sums[:, width:])) / 2
    column = next((c for c in ("valence", "arousal") if metric.endswith(f"_{c}")), "")
    name = metric.removesuffix(f"_{column}")
    chosen = {"valence": [0], "arousal": [1]}.get(column, [0, 1])
    p, t = predicted[:, chosen], truth[:, chosen]
    # No metric here changes if both are shifted by the same; near 0, less of a variance is lost to rounding.
    centre = t.mean()
    p, t = p - centre, t - centre
    terms = np.stack([np.ones_like(p), p, t, p * p, t * t, p * t, np.abs(p - t)], axis=-1).sum(axis=1)  # (N, 7)

    def statistic(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        n = sums[:, 0]
        mean_p, mean_t, pp, tt, pt, absolute = (sums[:, 1:] / n[:, None]).T
        if name == "mae":
            return np.asarray(absolute)
        squared = np.maximum(pp + tt - 2 * pt, 0.0)
        if name in ("mse", "rmse"):
            return squared if name == "mse" else np.sqrt(squared)
        var_p, var_t, cov = pp - mean_p**2, tt - mean_t**2, pt - mean_p * mean_t
        constant = (var_p <= _TINY * pp) | (var_t <= _TINY * tt)
        if name == "pcc":
            scale = np.sqrt(np.where(constant, 1.0, var_p * var_t))
            return np.where(constant, 0.0, np.clip(cov / scale, -1.0, 1.0))
        correction = n / (n - 1) if name == "ccc_published" else 1.0
        denominator = np.where(constant, 1.0, var_p + var_t + (mean_p - mean_t) ** 2)
        return np.where(constant, 0.0, 2 * correction * cov / denominator)

    return terms, statistic
