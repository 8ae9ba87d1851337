"""Mean ranks of the entries of a protocol, and the critical difference between them (J. Demsar, "Statistical
comparisons of classifiers over multiple data sets", JMLR 7, 2006, 1-30, section 3.2.2).

Demsar's blocks are data sets. A suite has two or three, some of them of the same people; and folds of one are no
blocks, for they share most of their training samples. So the blocks here are the test subjects of one protocol: every
subject is tested by every entry, and people are independent, given what was trained, as in the intervals. What is
ranked is the mean of a person's samples, which there is of an accuracy and of a distance, and neither of a macro F1 nor
of a correlation. Unlike in the headline, everybody weighs the same, and by order alone.
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
"""The fewest that are ranked: two are a pair, and chi squared needs about ten blocks (Demsar, section 3.2.2)."""


@dataclass(frozen=True)
class Ranking:
    """Mean ranks over subjects, 1 the best, in ascending order.

    Attributes:
        entries, ranks: One each.
        subjects: N, the blocks.
        statistic, p: Of Friedman's test, corrected for ties.
        critical: Nemenyi's critical difference at 5 %, corrected for ties likewise.
        blocks: What the blocks are; samples where nobody knows whose they are.
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
        """First and last of the longest runs of entries that are not told apart; all where Friedman's test says that
        nothing is."""
        last = len(self.ranks) - 1
        if self.p >= 0.05:
            return [(0, last)]
        near = [[j for j in range(i, last + 1) if self.ranks[j] - self.ranks[i] <= self.critical] for i in range(last)]
        ends = [each[-1] for each in near]
        return [(i, end) for i, end in enumerate(ends) if end > i and (i == 0 or end > ends[i - 1])]


def ranking(family: Sequence[Row]) -> Ranking | str:
    """Of rows that are compared (`pairwise.families`), or why there is none."""
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
    unknown = pooled is not None and pooled["subject"].equals(pooled["id"])  # subjects are unknown
    return replace(found, blocks=f"test {plural(protocol.unit)}") if unknown else found


def rank_test(protocol: str, entries: Sequence[str], values: NDArray[np.float64]) -> Ranking:
    """Friedman's test and Nemenyi's critical difference, both corrected for ties, of `(N, k)` values, the lower the
    better; not all of a row may be the same in every row."""
    from scipy.special import chdtrc

    n, k = values.shape
    values = values.round(12)  # rounding is no difference
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
    """Nemenyi's: q sqrt(k (k + 1) (1 - T) / (6 N)), q the quantile of the studentized range of k and infinitely many
    degrees of freedom over the root of 2.

    Args:
        ties: T, the share by which ties make the variance of ranks smaller, as in Friedman's test. Most photographs are
            recognised by all good methods: without it such methods would never be told apart.
    """
    q = range_quantile(1 - level, entries) / 2**0.5
    return float(q * (entries * (entries + 1) * (1 - ties) / (6 * blocks)) ** 0.5)


@cache
def range_quantile(probability: float, count: int) -> float:
    """Quantile of the range of `count` standard normal numbers, whose distribution is

        P(range < q) = count * integral of phi(z) (Phi(z) - Phi(z - q))^(count - 1) dz.

    scipy.stats has it, too, but takes half a second to import, and a leaderboard should not.
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
    """The headline over each subject's own samples and all seeds, `(K,)`; NaN of who has no value."""
    assert row.draws is not None and row.draws.sums is not None
    protocol = registry.find_protocol(row.protocol)
    sums = row.draws.sums
    if protocol.task == "classification":
        return accuracy(sums.reshape(-1, len(protocol.classes), len(protocol.classes)))
    with np.errstate(invalid="ignore"):
        return np.asarray(sums[:, 0] / sums[:, 1])
