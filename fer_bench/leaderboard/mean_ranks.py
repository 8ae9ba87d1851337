"""Mean ranks of the entries of a protocol, and the critical difference between them (J. Demsar, "Statistical
comparisons of classifiers over multiple data sets", JMLR 7, 2006, 1-30, section 3.2.2).

Demsar's blocks are data sets. A suite has only two or three, some of the same people, and folds are not independent
blocks because they share most of their training samples. The blocks here are therefore the test subjects of one
protocol: every entry is tested on every subject, and subjects are independent given the trained networks, as in the
intervals. Entries are ranked by the mean over a subject's samples. Such a mean exists for an accuracy and a distance,
but not for a macro F1 or a correlation. Unlike in the headline metric, all subjects have the same weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from fer_bench import registry
from fer_bench.leaderboard.row import Row
from fer_bench.metrics.classification import accuracy
from fer_bench.stats.bootstrap import HEADLINE, LOWER_IS_BETTER
from fer_bench.stats.metric_units import plural

ENTRIES, SUBJECTS = 3, 10
"""The minimum for a ranking: two entries are a pair, and chi squared needs about ten blocks (Demsar, section 3.2.2)."""


@dataclass(frozen=True)
class Ranking:
    """Mean ranks over subjects, 1 the best, in ascending order.

    Attributes:
        entries, ranks: The entries and their mean ranks.
        subjects: N, the number of blocks.
        statistic, p: Friedman's test, corrected for ties.
        critical: Nemenyi's critical difference at 5 %, corrected for ties likewise.
        blocks: The kind of block; samples if the subjects are unknown.
    """

    protocol: str
    entries: tuple[str, ...]
    ranks: tuple[float, ...]
    subjects: int
    statistic: float
    p: float
    critical: float
    blocks: str = "test subjects"

    @property
    def bars(self) -> list[tuple[int, int]]:
        """First and last entry of each longest run without significant differences; all entries if Friedman's test is
        not significant."""
        last = len(self.ranks) - 1
        if self.p >= 0.05:
            return [(0, last)]
        near = [[j for j in range(i, last + 1) if self.ranks[j] - self.ranks[i] <= self.critical] for i in range(last)]
        ends = [run[-1] for run in near]
        return [(i, end) for i, end in enumerate(ends) if end > i and (i == 0 or end > ends[i - 1])]


def ranking(family: Sequence[Row]) -> Ranking | str:
    """The ranking of rows that are compared (`pairwise.families`), or why there is none."""
    if len(family) < ENTRIES:
        return f"{len(family)} entries are compared, and ranks need {ENTRIES}"
    protocol = registry.find_protocol(family[0].protocol)
    if protocol.task not in ("classification", "disentanglement"):
        return f"one person has no {HEADLINE[protocol.task]} of their own to be ranked by"
    means = np.stack([subject_means(row) for row in family], axis=1)  # (K, k)
    means = means[~np.isnan(means).all(axis=1)]
    if np.isnan(means).any():
        return "not every entry has a value for every subject"
    if len(means) < SUBJECTS:
        return f"{len(means)} subjects are tested, and ranks need {SUBJECTS}"
    values = means if protocol.task in LOWER_IS_BETTER else -means
    if (values == values[:, :1]).all():
        return "every subject says the same of all entries"
    found = rank_test(protocol.id, [row.entry for row in family], values)
    pooled = family[0].pooled
    subjects_unknown = pooled is not None and pooled["subject"].equals(pooled["id"])
    return replace(found, blocks=f"test {plural(protocol.unit)}") if subjects_unknown else found


def rank_test(protocol: str, entries: Sequence[str], values: NDArray[np.float64]) -> Ranking:
    """Friedman's test and Nemenyi's critical difference, both corrected for ties, on `(N, k)` values; lower is better.
    At least one row must contain different values."""
    from scipy.special import chdtrc

    n, k = values.shape
    values = values.round(12)  # rounding errors are ties
    below = (values[:, None, :] < values[:, :, None]).sum(axis=2)
    alike = (values[:, None, :] == values[:, :, None]).sum(axis=2)
    ranks = below + (alike + 1) / 2  # ties share the mean of their ranks
    means = ranks.mean(axis=0)
    # A tie of t adds t^3 - t, which is t^2 - 1 for each of its t.
    ties = float((alike**2 - 1).sum()) / (n * (k**3 - k))
    statistic = (12 * n / (k * (k + 1)) * float(((means - (k + 1) / 2) ** 2).sum())) / (1 - ties)
    order = np.argsort(means, kind="stable")
    return Ranking(
        protocol,
        tuple(entries[i] for i in order),
        tuple(float(means[i]) for i in order),
        n,
        statistic,
        float(chdtrc(k - 1, statistic)),
        critical_difference(k, n, ties),
    )


def critical_difference(entries: int, blocks: int, ties: float = 0.0, level: float = 0.05) -> float:
    """Nemenyi's critical difference q sqrt(k (k + 1) (1 - T) / (6 N)), where q is the quantile of the studentized range
    for k groups and infinitely many degrees of freedom, divided by sqrt(2).

    Args:
        ties: T, the share by which ties reduce the variance of ranks, as in Friedman's test. Good methods recognise
            most photographs alike; without this correction they would never differ significantly.
    """
    q = range_quantile(1 - level, entries) / 2**0.5
    return float(q * (entries * (entries + 1) * (1 - ties) / (6 * blocks)) ** 0.5)


@cache
def range_quantile(probability: float, count: int) -> float:
    """Quantile of the range of `count` standard normal numbers, whose distribution is

        P(range < q) = count * integral of phi(z) (Phi(z) - Phi(z - q))^(count - 1) dz.

    scipy.stats provides it too, but takes half a second to import.
    """
    from scipy.special import ndtr

    z = np.linspace(-9, 9, 3601)
    weight = count * np.exp(-(z**2) / 2) / (2 * np.pi) ** 0.5 * (z[1] - z[0])
    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        if float(weight @ (ndtr(z) - ndtr(z - middle)) ** (count - 1)) < probability:
            low = middle
        else:
            high = middle
    return high


def subject_means(row: Row) -> NDArray[np.float64]:
    """The headline metric of each subject over its samples and all seeds, `(K,)`; NaN without a value."""
    assert row.draws is not None and row.draws.sums is not None
    protocol = registry.find_protocol(row.protocol)
    sums = row.draws.sums
    if protocol.task == "classification":
        return accuracy(sums.reshape(-1, len(protocol.classes), len(protocol.classes)))
    with np.errstate(invalid="ignore"):
        return np.asarray(sums[:, 0] / sums[:, 1])
