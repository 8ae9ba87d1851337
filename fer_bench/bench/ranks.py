"""Mean ranks of the entries of a protocol, and the critical difference between them (J. Demsar, "Statistical
comparisons of classifiers over multiple data sets", JMLR 7, 2006, 1-30, section 3.2.2).

Demsar's blocks are data sets. A suite has two or three, some of them of the same people; and folds of one are no
blocks, for they share most of their training samples. So the blocks here are the test subjects of one protocol: every
subject is tested by every entry, and people are independent, given what was trained, as in the intervals. What is
ranked is the mean of a person's samples, which there is of an accuracy and of a distance, and neither of a macro F1 nor
of a correlation. Unlike in the headline, everybody weighs the same, and by order alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_bench.bench import registry
from fer_bench.bench.leaderboard import Row, arrays
from fer_bench.bench.metric_sums import metric_terms
from fer_bench.bench.statistics import HEADLINE, LOWER_IS_BETTER

ENTRIES, SUBJECTS = 3, 10
"""The fewest that are ranked: two are a pair, and chi squared needs about ten blocks (Demsar, section 3.2.2)."""


@dataclass(frozen=True)
class Ranking:
    """Mean ranks over subjects, 1 the best, in ascending order.

    Attributes:
        entries, ranks: One each.
        subjects: N, the blocks.
        statistic, p: Of Friedman's test, corrected for ties.
        critical: Nemenyi's critical difference at 5 %.
    """

    protocol: str
    entries: tuple[str, ...]
    ranks: tuple[float, ...]
    subjects: int
    statistic: float
    p: float
    critical: float

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
    """Of rows that are compared (`comparison.families`), or why there is none."""
    if len(family) < ENTRIES:
        return f"{len(family)} entries are compared, and ranks need {ENTRIES}"
    protocol = registry.find_protocol(family[0].protocol)
    if protocol.task not in ("classification", "disentanglement"):
        return f"one person has no {HEADLINE[protocol.task]} of their own to be ranked by"
    columns = [subject_means(row) for row in family]
    if any(set(column) != set(columns[0]) for column in columns):
        return "not every entry has a value for every subject"
    if len(columns[0]) < SUBJECTS:
        return f"{len(columns[0])} subjects are tested, and ranks need {SUBJECTS}"
    people = sorted(columns[0])
    sign = 1 if protocol.task in LOWER_IS_BETTER else -1
    values = sign * np.array([[column[who] for column in columns] for who in people])  # (N, k), the lower the better
    if (values == values[:, :1]).all():
        return "every subject says the same of all entries"
    return rank_test(protocol.id, [row.entry for row in family], values)


def rank_test(protocol: str, entries: Sequence[str], values: NDArray[np.float64]) -> Ranking:
    """Friedman's test and Nemenyi's critical difference of `(N, k)` values, the lower the better."""
    from scipy import stats

    n, k = values.shape
    # Rounding is no difference: means of the same answers tie.
    means = stats.rankdata(values.round(12), axis=1).mean(axis=0)
    friedman = stats.friedmanchisquare(*values.round(12).T)
    order = np.argsort(means, kind="stable")
    return Ranking(
        protocol,
        tuple(entries[i] for i in order),
        tuple(float(means[i]) for i in order),
        n,
        float(friedman.statistic),
        float(friedman.pvalue),
        critical_difference(k, n),
    )


def critical_difference(entries: int, blocks: int, level: float = 0.05) -> float:
    """Nemenyi's: q sqrt(k (k + 1) / (6 N)), q the quantile of the studentized range of k and infinitely many degrees of
    freedom over the root of 2."""
    from scipy import stats

    q = stats.studentized_range.ppf(1 - level, entries, np.inf) / 2**0.5
    return float(q * (entries * (entries + 1) / (6 * blocks)) ** 0.5)


def subject_means(row: Row) -> dict[str, float]:
    """Subject -> the headline over their own samples and all seeds; who has no value is not in it."""
    assert row.pooled is not None
    protocol = registry.find_protocol(row.protocol)
    outputs, truth = arrays(protocol, row.pooled)
    terms, statistic = metric_terms(protocol.task, HEADLINE[protocol.task], outputs, truth, protocol.classes)
    people, owner = np.unique(row.pooled["subject"].to_numpy(dtype=str), return_inverse=True)
    sums = np.zeros((len(people), terms.shape[1]))
    np.add.at(sums, owner, terms)
    known = sums.sum(axis=1) > 0 if protocol.task == "classification" else sums[:, 1] > 0
    return dict(zip(people[known].tolist(), statistic(sums[known]).tolist(), strict=True))
