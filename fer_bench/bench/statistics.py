"""How sure a number is: confidence intervals that respect subjects.

Scans of one person are alike, so they are not independent samples: an interval that resamples scans is too narrow. The
bootstrap here resamples whole clusters (subjects) with replacement and keeps every sample of each cluster it draws
(C. A. Field, A. H. Welsh, "Bootstrapping clustered data", J. R. Statist. Soc. B 69, 2007, 369-390).

Its percentiles are too narrow where subjects are few: K subjects vary around their own mean by (K - 1) / K of what they
vary around that of all people, and a spread that was seen in K of them is itself uncertain (T. C. Hesterberg, "What
teachers should know about the bootstrap", The American Statistician 69, 2015, 371-386). And a metric near its limit is
skewed. So the bootstrap gives the standard error, times the root of K / (K - 1); the interval is that of Student's t
with K - 1 degrees of freedom, on the scale on which the metric has no limit (`Scale`), by the delta method.
`benchmarks/interval_coverage.py` simulates how often it covers, beside percentiles; leaderboards/coverage.md tells
where it does not. It covers the choice of test subjects, and neither the training seed nor the choice of training
subjects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_bench.bench.draws import cluster_codes, draws_of, times_drawn
from fer_bench.bench.metric_sums import Statistic, metric_terms

HEADLINE = {
    "classification": "accuracy",
    "valence_arousal": "ccc_mean",  # the pooled one of Ig3D can be had for nothing, see `ccc_mean`
    "multilabel": "f1_macro",
    # The two that papers print can each be had for nothing: an identity that is always the mean face never varies, and
    # an expression that is the whole face rebuilds it. Who comes near the neutral face must keep the person, and only
    # that.
    "disentanglement": "neutral_mean",
}
"""The metric of each task that rows are ranked by, and that gets an interval."""

LOWER_IS_BETTER = frozenset({"disentanglement"})
"""Tasks whose headline is an error."""

BRACKETS = (
    "brackets: 95 % interval over the K subjects, of Student's t with K - 1 degrees of freedom and the standard error "
    "of the bootstrap that draws subjects (2,000 resamples), on the logit of shares, Fisher's z of correlations, the "
    "logarithm of errors"
)
"""What intervals are, as the heads of pages say it."""

Scale = Literal["share", "correlation", "error", "difference", "plain"]
"""On which scale an interval is symmetric: `share` in [0, 1], the logit; `correlation` in [-1, 1], Fisher's z; `error`
above 0, the logarithm; `difference` of shares, as it is, and cut off at -1 and 1; `plain`, what has no limit."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval, in the statistic's unit.

    `low` and `high` are None when there is a single cluster, whose variation between clusters cannot be seen.
    """

    low: float | None
    high: float | None
    n_clusters: int
    n: int


@dataclass(frozen=True)
class Resampled:
    """A statistic of all samples, and of every draw of clusters, `draws` `(R,)`.

    `sums` are the terms of each cluster, `(K, D)`, in the clusters' sorted order; None of what is no function of sums.
    """

    value: float
    draws: NDArray[np.float64]
    n_clusters: int
    n: int
    scale: Scale = "plain"
    sums: NDArray[np.float64] | None = None

    @property
    def error(self) -> float:
        """Standard error: that of the bootstrap (ddof 1 over draws) times sqrt(K / (K - 1)); needs two clusters."""
        return float(self.draws.std(ddof=1)) * (self.n_clusters / (self.n_clusters - 1)) ** 0.5

    def minus(self, other: Resampled) -> Resampled:
        """The difference, where both are of the same samples, clusters and seed: then each draw is of the same
        clusters, and the difference is paired."""
        if (self.n_clusters, self.n, len(self.draws)) != (other.n_clusters, other.n, len(other.draws)):
            raise ValueError(f"not of the same draws: {self.n_clusters} and {other.n_clusters} clusters")
        scale: Scale = "difference" if self.scale == "share" else "plain"
        return Resampled(self.value - other.value, self.draws - other.draws, self.n_clusters, self.n, scale)

    def interval(self, confidence: float = 0.95) -> Interval:
        """Student's t interval on the statistic's scale.

        A share of 0 or 1 shows no variation at all, which does not mean that there is none. If K people in a row answer
        everything rightly, a mean share below (alpha / 2)^(1 / K) is refuted: no more than that share of people can be
        without fault where the mean is below it. That is the other limit.
        """
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must be in (0, 1), not {confidence}")
        if self.n_clusters == 1:
            return Interval(None, None, 1, self.n)
        if self.scale == "share" and abs(2 * self.value - 1) >= 1:
            apart = ((1 - confidence) / 2) ** (1 / self.n_clusters)
            low, high = (apart, 1.0) if self.value > 0.5 else (0.0, 1 - apart)
        else:
            low, high = _on_scale(self.value, _student(confidence, self.n_clusters) * self.error, self.scale)
        return Interval(low, high, self.n_clusters, self.n)

    def p(self) -> float | None:
        """Two-sided p of the hypothesis that a difference is 0: `interval(1 - p)` ends there. None with a single
        cluster. Where every draw is alike, but not 0, it is that of the sign test."""
        if self.n_clusters == 1:
            return None
        if self.value == 0:
            return 1.0
        if self.error <= 1e-12 * abs(self.value):
            return float(2.0 ** (1 - self.n_clusters))
        from scipy.special import stdtr  # a fifth of a second, which commands that compute nothing do not pay

        return float(2 * stdtr(self.n_clusters - 1, -abs(self.value) / self.error))


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
        seed: Of the draws; the same seed gives the same interval, in whatever order the clusters come.

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
    return _resampled(float(statistic(*arrays)), draws, n_clusters, len(codes), scale).interval(confidence)


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
    value = float(statistic(sums.sum(0)[None])[0])
    return replace(_resampled(value, draws, n_clusters, len(codes), scale), sums=sums)


def _sums(terms: NDArray[Any], codes: NDArray[np.intp], n_clusters: int) -> NDArray[np.float64]:
    """Of the terms of each cluster, `(K, D)`; every cluster has some."""
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


@dataclass(frozen=True)
class Difference:
    """How far a metric of one set of predictions is above that of another, on the same samples."""

    value: float
    interval: Interval


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


def difference(mine: Resampled, theirs: Resampled, confidence: float = 0.95) -> Difference:
    """How far one statistic is above another, of the same draws."""
    apart = mine.minus(theirs)
    return Difference(apart.value, apart.interval(confidence))


def scale_of(task: str, metric: str) -> Scale:
    """On which scale the interval of a metric of `fer_bench.metrics.score` is symmetric."""
    if task == "valence_arousal":
        return "correlation" if metric.startswith(("ccc", "pcc")) else "error"
    if task == "disentanglement":
        return "share" if metric.startswith(("rank1_", "leak_")) else "error"
    return "share"


def _resampled(value: float, draws: NDArray[np.float64], n_clusters: int, n: int, scale: Scale) -> Resampled:
    if not (np.isfinite(draws).all() and np.isfinite(value)):
        raise ValueError("the statistic is not finite on every resample")
    return Resampled(value, draws, n_clusters, n, scale)


def _student(confidence: float, n_clusters: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(n_clusters - 1, (1 + confidence) / 2))


def _on_scale(value: float, apart: float, scale: Scale) -> tuple[float, float]:
    """The limits so far apart from a value, taken over to the scale and back by the delta method."""
    if apart == 0:
        return value, value
    if scale == "error" and value > 0:
        with np.errstate(over="ignore"):  # two subjects may tell nothing of how far up it goes
            return float(value * np.exp(-apart / value)), float(value * np.exp(apart / value))
    # A share s is a correlation of 2 s - 1: its logit is twice Fisher's z of that.
    z = 2 * value - 1 if scale == "share" else value
    if scale in ("share", "correlation") and abs(z) < 1:
        factor = 2 if scale == "share" else 1
        low, high = np.tanh(np.arctanh(z) + np.array([-1, 1]) * factor * apart / (1 - z * z)).tolist()
        return ((1 + low) / 2, (1 + high) / 2) if scale == "share" else (low, high)
    low, high = value - apart, value + apart
    return (max(low, -1.0), min(high, 1.0)) if scale == "difference" else (low, high)
