"""How sure a number is: confidence intervals that respect subjects.

Scans of one person are alike, so they are not independent samples: an interval that resamples scans is too narrow. The
bootstrap here resamples whole clusters (subjects) with replacement and keeps every sample of each cluster it draws
(C. A. Field, A. H. Welsh, "Bootstrapping clustered data", J. R. Statist. Soc. B 69, 2007, 369-390);
`fer_bench.stats.intervals` makes an interval of that. It covers the choice of test subjects, and neither the training
seed nor the choice of training subjects.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_bench.stats.draws import cluster_codes, draws_of, times_drawn
from fer_bench.stats.intervals import Difference, Interval, Resampled, Scale, difference
from fer_bench.stats.metric_sums import Statistic, metric_terms

HEADLINE = {
    "classification": "accuracy",
    "valence_arousal": "ccc_mean",  # the pooled one of Ig3D can be had for nothing, see `ccc_mean`
    "multilabel": "f1_macro",
    # The two that papers print are each easy to optimise: an identity that is always the mean face never varies, and
    # an expression that is the whole face rebuilds it. To be near the neutral face, it must keep the person, and only
    # that.
    "disentanglement": "neutral_mean",
}
"""The metric of each task that rows are ranked by, and that gets an interval."""

LOWER_IS_BETTER = frozenset({"disentanglement"})
"""Tasks whose headline metric is an error."""


def clustered_bootstrap(
    statistic: Callable[..., float],
    clusters: ArrayLike,
    *arrays: NDArray[Any],
    scale: Scale = "plain",
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of any statistic of samples.

    Args:
        statistic: Called with the resampled `arrays`; returns one finite number.
        clusters: The cluster of each sample, `(N,)`, of any one sortable type without missing values.
        arrays: What the statistic needs, each `(N, ...)`.
        scale: On which the interval is symmetric.
        resamples: How many times the clusters are drawn, at least 2.
        confidence: Nominal coverage, in (0, 1).
        seed: Of the draws; the same seed gives the same interval, in any order of the clusters.

    Raises:
        ValueError: An argument does not fit, or the statistic is not finite on a resample.
    """
    codes, n_clusters = cluster_codes(clusters, resamples, [len(a) for a in arrays])
    order, sizes = np.argsort(codes, kind="stable"), np.bincount(codes)
    starts = np.cumsum(sizes) - sizes

    def values() -> Iterator[float]:
        for block in draws_of(n_clusters, resamples, seed):
            for drawn in block:
                # The members of cluster c are order[starts[c] : starts[c] + sizes[c]]; joined for all clusters drawn.
                size = sizes[drawn]
                first = np.repeat(starts[drawn] - (np.cumsum(size) - size), size)
                rows = order[first + np.arange(len(first))]
                yield statistic(*(array[rows] for array in arrays))

    draws = np.fromiter(values(), dtype=np.float64)
    kept = (codes != each for each in (range(n_clusters) if n_clusters > 1 else ()))
    without = np.array([statistic(*(array[rows] for array in arrays)) for rows in kept])
    return _resampled(float(statistic(*arrays)), draws, codes, without, scale).interval(confidence)


def resample_sums(
    statistic: Statistic,
    clusters: ArrayLike,
    terms: NDArray[Any],
    scale: Scale = "plain",
    resamples: int = 2000,
    seed: int = 0,
) -> Resampled:
    """A statistic of sums over samples, of all of them and of each draw of clusters.

    Args:
        statistic: From the sums of all resamples, `(R, D)`, to their values, `(R,)`.
        terms: What each sample adds to the sums, `(N, D)`. For an accuracy: whether it is correct, and 1.

    The other arguments and the errors are those of `clustered_bootstrap`.
    """
    if terms.ndim != 2:
        raise ValueError(f"terms must be (N, D), not {terms.shape}")
    codes, n_clusters = cluster_codes(clusters, resamples, [len(terms)])
    sums = _sums(terms, codes, n_clusters)
    draws = np.concatenate([statistic(times_drawn(block) @ sums) for block in draws_of(n_clusters, resamples, seed)])
    total = sums.sum(0)
    without = statistic(total - sums) if n_clusters > 1 else np.empty(0)
    value = float(statistic(total[None])[0])
    return replace(_resampled(value, draws, codes, without, scale), sums=sums)


def _sums(terms: NDArray[Any], codes: NDArray[np.intp], n_clusters: int) -> NDArray[np.float64]:
    """Sums of the terms of each cluster, `(K, D)`; no cluster is empty."""
    if terms.dtype == bool:  # counts, which need no order
        sample, term = np.nonzero(terms)
        d = terms.shape[1]
        return np.bincount(codes[sample] * d + term, minlength=n_clusters * d).reshape(n_clusters, d).astype(np.float64)
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    return np.asarray(np.add.reduceat(terms[order].astype(np.float64), starts, axis=0))


def clustered_bootstrap_of_sums(
    statistic: Statistic,
    clusters: ArrayLike,
    terms: NDArray[Any],
    scale: Scale = "plain",
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of a statistic of sums over samples, as of `resample_sums`: the interval of `clustered_bootstrap`, much
    faster."""
    return resample_sums(statistic, clusters, terms, scale, resamples, seed).interval(confidence)


def resample_metric(
    task: str,
    metric: str,
    outputs: ArrayLike,
    truth: ArrayLike,
    classes: Sequence[str],
    clusters: ArrayLike,
    resamples: int = 2000,
    seed: int = 0,
) -> Resampled:
    """One metric of `fer_bench.metrics.score`, whose first arguments these are, of each draw of clusters.

    Raises:
        UnknownName: The task, or the metric among those of the task.
        ValueError: As `score` and `clustered_bootstrap`.
    """
    terms, statistic = metric_terms(task, metric, outputs, truth, classes)
    return resample_sums(statistic, clusters, terms, scale_of(task, metric), resamples, seed)


def metric_interval(
    task: str,
    metric: str,
    outputs: ArrayLike,
    truth: ArrayLike,
    classes: Sequence[str],
    clusters: ArrayLike,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of one metric, on its scale; arguments and errors are those of `resample_metric`."""
    return resample_metric(task, metric, outputs, truth, classes, clusters, resamples, seed).interval(confidence)


def metric_difference(
    task: str,
    metric: str,
    outputs: ArrayLike,
    other: ArrayLike,
    truth: ArrayLike,
    classes: Sequence[str],
    clusters: ArrayLike,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Difference:
    """The metric of `outputs` minus that of `other`, paired: both are resampled by the same draws of clusters.

    Two methods fail on the same difficult people, so that the interval of the difference is narrower than the two
    intervals suggest. The arguments are otherwise those of `metric_interval`, and so are the errors.
    """
    mine, theirs = (
        resample_metric(task, metric, each, truth, classes, clusters, resamples, seed) for each in (outputs, other)
    )
    return difference(mine, theirs, confidence)


def scale_of(task: str, metric: str) -> Scale:
    """On which scale the interval of a metric of `fer_bench.metrics.score` is symmetric."""
    if task == "valence_arousal":
        return "correlation" if metric.startswith(("ccc", "pcc")) else "error"
    if task == "disentanglement":
        return "share" if metric.startswith(("rank1_", "leak_")) else "error"
    return "share" if metric == "accuracy" else "score"


def _resampled(
    value: float, draws: NDArray[np.float64], codes: NDArray[np.intp], without: NDArray[np.float64], scale: Scale
) -> Resampled:
    if not (np.isfinite(draws).all() and np.isfinite(value)):
        raise ValueError("the statistic is not finite on every resample")
    sizes = np.bincount(codes)
    trials = float(sizes.sum() ** 2 / (sizes**2).sum())
    return Resampled(value, draws, len(sizes), len(codes), without, trials, scale)
