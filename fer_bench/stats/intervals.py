"""Confidence intervals of a statistic, from its draws of clusters (`fer_bench.stats.bootstrap`).

Percentiles of the draws are too narrow where subjects are few: K subjects vary around their own mean by (K - 1) / K of
what they vary around that of all people, and a spread that was seen in K of them is itself uncertain (T. C. Hesterberg,
"What teachers should know about the bootstrap", The American Statistician 69, 2015, 371-386). And a metric near its
limit is skewed. So the bootstrap gives the standard error, times the root of K / (K - 1); the interval is that of
Student's t on the scale on which the metric has no limit (`Scale`), by the delta method. A spread that a few people
make, as where nearly all is solved, is known less well than one that all make: t has K - 1 degrees of freedom where
people differ as normal variables do, and fewer the heavier the tails (`Resampled.degrees`).
`benchmarks/interval_coverage.py` simulates how often the intervals cover, beside percentiles; leaderboards/coverage.md
tells where they do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

BRACKETS = (
    "brackets: 95 % interval over the K subjects, of Student's t with K - 1 degrees of freedom, fewer where few "
    "subjects make most of the spread, and the standard error of the bootstrap that draws subjects (2,000 resamples), "
    "on the logit of shares, Fisher's z of correlations, the logarithm of errors (of an accuracy no wider than Clopper "
    "and Pearson's for so many people all right or all wrong)"
)
"""Explanation of the intervals, for the heads of pages."""

Scale = Literal["share", "score", "correlation", "error", "difference", "plain"]
"""On which scale an interval is symmetric: `share`, the mean over samples of what is in [0, 1], and `score`, anything
else in [0, 1], the logit; `correlation` in [-1, 1], Fisher's z; `error` above 0, the logarithm; `difference` of shares
or scores, as it is, and cut off at -1 and 1; `plain`, what has no limit."""

_NONE = 1e-12  # a difference of shares below this is rounding error


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

    `without` is the statistic of all samples but those of one cluster, `(K,)`, and `sums` the terms of each cluster,
    `(K, D)`, both in the clusters' sorted order; `sums` is None of what is no function of sums. `trials` is how many
    clusters of equal size carry as much information, (sum of n)^2 / sum of n^2 (L. Kish, *Survey Sampling*, 1965).
    """

    value: float
    draws: NDArray[np.float64]
    n_clusters: int
    n: int
    without: NDArray[np.float64]
    trials: float
    scale: Scale = "plain"
    sums: NDArray[np.float64] | None = None

    @cached_property
    def error(self) -> float:
        """Standard error: that of the bootstrap (ddof 1 over draws) times sqrt(K / (K - 1)); needs two clusters."""
        return float(self.draws.std(ddof=1)) * (self.n_clusters / (self.n_clusters - 1)) ** 0.5

    @cached_property
    def degrees(self) -> float:
        """Degrees of freedom of Student's t, at most K - 1; needs two clusters."""
        return _degrees(self.without)

    def minus(self, other: Resampled) -> Resampled:
        """The difference, where both are of the same samples, clusters and seed: then each draw is of the same
        clusters, and the difference is paired."""
        if (self.n_clusters, self.n, len(self.draws)) != (other.n_clusters, other.n, len(other.draws)):
            raise ValueError(f"not of the same draws: {self.n_clusters} and {other.n_clusters} clusters")
        scale: Scale = "difference" if self.scale in ("share", "score") else "plain"
        draws, without = self.draws - other.draws, self.without - other.without
        return Resampled(self.value - other.value, draws, self.n_clusters, self.n, without, self.trials, scale)

    def interval(self, confidence: float = 0.95) -> Interval:
        """Student's t interval on the statistic's scale.

        Shares of people vary no more than if each person were all right or all wrong, so that the interval of a mean is
        no wider than that of Clopper and Pearson for `trials` such people. Where a share or score is 0 or 1,
        which shows no variation and does not mean that there is none, it is that one: after K people without fault, a
        mean share below (alpha / 2)^(1 / K) is refuted.

        Where two methods differ alike in every draw, as where they do not differ at all, the standard error is that of
        one sample of one person on which they differ, the least that could have been seen; and 0 is within the interval
        if the sign test does not refute it.
        """
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must be in (0, 1), not {confidence}")
        if self.n_clusters == 1:
            return Interval(None, None, 1, self.n)
        if self.scale in ("share", "score") and abs(2 * self.value - 1) >= 1:
            low, high = _clopper_pearson(self.value, self.trials, confidence)
        elif self.scale == "difference" and self.error <= _NONE:
            apart = _student(confidence, _degrees(np.eye(self.n_clusters)[0])) / self.n
            low, high = _on_scale(self.value, apart, self.scale)
            if (p := self.p()) is not None and p > 1 - confidence:
                low, high = min(low, 0.0), max(high, 0.0)
        else:
            low, high = _on_scale(self.value, _student(confidence, self.degrees) * self.error, self.scale)
            if self.scale == "share":
                least, most = _clopper_pearson(self.value, self.trials, confidence)
                low, high = max(low, least), min(high, most)
        return Interval(low, high, self.n_clusters, self.n)

    def p(self) -> float | None:
        """Two-sided p of the hypothesis that a difference is 0: `interval(1 - p)` ends there. None with a single
        cluster. Where every draw is alike, but not 0, it is that of the sign test."""
        if self.n_clusters == 1:
            return None
        least = _NONE if self.scale == "difference" else _NONE * abs(self.value)
        if abs(self.value) <= least:
            return 1.0
        if self.error <= least:
            return float(2.0 ** (1 - self.n_clusters))
        from scipy.special import stdtr  # a fifth of a second, which commands that compute nothing do not pay

        return float(2 * stdtr(self.degrees, -abs(self.value) / self.error))


@dataclass(frozen=True)
class Difference:
    """How far a metric of one set of predictions is above that of another, on the same samples."""

    value: float
    interval: Interval


def difference(mine: Resampled, theirs: Resampled, confidence: float = 0.95) -> Difference:
    """How far one statistic is above another, of the same draws."""
    apart = mine.minus(theirs)
    return Difference(apart.value, apart.interval(confidence))


def _degrees(values: NDArray[np.float64]) -> float:
    """Degrees of freedom of the variance estimated from K values.

    The variance of K values of this kurtosis varies, for its size, as much as a chi-squared variable of
    2 / (2 / (K - 1) + excess / K) degrees does (L. H. Shoemaker, "Fixing the F test for equal variances", The American
    Statistician 57, 2003, 105-114). Tails lighter than normal do not add any: of few values that is mostly chance.
    """
    k, moved = len(values), values - values.mean()
    largest = np.abs(moved).max()
    if largest == 0:
        return k - 1.0
    moved = moved / largest  # its fourth power would underflow
    excess = float((moved**4).mean() / (moved**2).mean() ** 2 - 3)
    return 2 / (2 / (k - 1) + max(excess, 0.0) / k)


def _student(confidence: float, degrees: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + confidence) / 2))


def _clopper_pearson(share: float, trials: float, confidence: float) -> tuple[float, float]:
    """Limits of the probability of which so large a share of trials came true; neither number need be whole."""
    from scipy.special import betaincinv

    true, false, level = trials * share, trials * (1 - share), (1 - confidence) / 2
    low = float(betaincinv(true, false + 1, level)) if true > 0 else 0.0
    return low, float(betaincinv(true + 1, false, 1 - level)) if false > 0 else 1.0


def _on_scale(value: float, apart: float, scale: Scale) -> tuple[float, float]:
    """The limits at this distance from a value, on the scale and back by the delta method."""
    if apart == 0:
        return value, value
    if scale == "error" and value > 0:
        with np.errstate(over="ignore"):  # two subjects may not bound it from above
            return float(value * np.exp(-apart / value)), float(value * np.exp(apart / value))
    # A share s is a correlation of 2 s - 1: its logit is twice Fisher's z of that.
    share = scale in ("share", "score")
    z = 2 * value - 1 if share else value
    if (share or scale == "correlation") and abs(z) < 1:
        factor = 2 if share else 1
        low, high = np.tanh(np.arctanh(z) + np.array([-1, 1]) * factor * apart / (1 - z * z)).tolist()
        return ((1 + low) / 2, (1 + high) / 2) if share else (low, high)
    low, high = value - apart, value + apart
    return (max(low, -1.0), min(high, 1.0)) if scale == "difference" else (low, high)
