"""Pairwise comparison of the entries of a protocol: their differences, and groups that do not differ.

Two tests are used. The paired bootstrap over subjects tests whether the difference generalises to other test subjects,
given the trained networks. The corrected resampled t-test tests whether it also generalises to other training subjects;
its variance allows for the overlap of the training sets of folds (C. Nadeau, Y. Bengio, "Inference for the
generalization error", Machine Learning 52, 2003, 239-281). Groups use the first test, which exists for every protocol.
"""

import string
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from fer_bench import registry
from fer_bench.leaderboard.row import Row
from fer_bench.protocols import Protocol
from fer_bench.stats.bootstrap import HEADLINE
from fer_bench.stats.intervals import Difference
from fer_bench.stats.power import resolved

LEVEL = 0.05
"""Family-wise significance level of all differences of a protocol."""


@dataclass(frozen=True)
class Pair:
    """Two entries on the same samples.

    Attributes:
        metric: The task's headline.
        first, second: Entries; the first ranks higher.
        difference: The first minus the second, with a paired interval that is not corrected for other pairs.
        p, p_holm: Two-sided p of the bootstrap over subjects, uncorrected and by Holm's method over the family; None
            with a single subject.
        family: Number of compared pairs of the protocol.
        fold_p, fold_p_holm: The same of the corrected resampled t-test; None with fewer than two folds.
        folds: Number of folds of the t-test.
        resolved: The difference that is found with 80 % power at 5 % for a single pair; None if the spread cannot be
            estimated: with a single subject, or with equal differences of all subjects.
    """

    protocol: str
    protocol_digest: str
    provenance: str
    metric: str
    first: str
    second: str
    difference: Difference
    p: float | None
    fold_p: float | None
    folds: int
    resolved: float | None = None
    family: int = 1
    p_holm: float | None = None
    fold_p_holm: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the difference is significant."""
        return self.p_holm is not None and self.p_holm < LEVEL


def families(rows: Sequence[Row]) -> list[list[Row]]:
    """Groups of two or more rows that are compared, in their order: complete and sound, with equal protocol, digest,
    data and samples."""
    found: dict[tuple[str, str, str, int | None], list[Row]] = {}
    for row in rows:
        if row.draws is not None and not row.unsound:
            found.setdefault((row.protocol, row.protocol_digest, row.provenance, row.samples), []).append(row)
    return [members for members in found.values() if len(members) > 1]


def pairs(rows: Sequence[Row]) -> list[Pair]:
    """Every pair of every family of rows, in the order of the rows."""
    found: list[Pair] = []
    for family in families(rows):
        raw = [_pair(first, second) for first, second in combinations(family, 2)]
        adjusted = zip(raw, holm([pair.p for pair in raw]), holm([pair.fold_p for pair in raw]), strict=True)
        found += [replace(pair, family=len(raw), p_holm=p, fold_p_holm=fold_p) for pair, p, fold_p in adjusted]
    return found


def groups(rows: Sequence[Row], found: Sequence[Pair]) -> dict[tuple[str, str], str]:
    """(protocol, entry) -> letters of the compared rows: entries that share a letter do not differ significantly."""
    letters: dict[tuple[str, str], str] = {}
    apart = {(pair.protocol, pair.protocol_digest, pair.first, pair.second) for pair in found if pair.significant}
    for family in families(rows):
        names, key = [row.entry for row in family], (family[0].protocol, family[0].protocol_digest)
        different = {(i, j) for i, j in combinations(range(len(names)), 2) if (*key, names[i], names[j]) in apart}
        display = letter_display(len(names), different)
        letters |= {(key[0], name): text for name, text in zip(names, display, strict=True)}
    return letters


def _pair(first: Row, second: Row) -> Pair:
    assert first.draws is not None and second.draws is not None
    protocol = registry.find_protocol(first.protocol)
    draws = first.draws.minus(second.draws)
    folds = sorted(first.by_fold.keys() & second.by_fold.keys())
    return Pair(
        first.protocol,
        first.protocol_digest,
        first.provenance,
        HEADLINE[first.task],
        first.entry,
        second.entry,
        Difference(draws.value, draws.interval()),
        draws.p(),
        resampled_t([first.by_fold[fold] - second.by_fold[fold] for fold in folds], test_to_train(protocol)),
        len(folds),
        resolved(draws.degrees, draws.error) if draws.n_clusters > 1 and draws.error > 0 else None,
    )


def test_to_train(protocol: Protocol) -> float | None:
    """Ratio of test to training samples. A repeat has k groups, of equal size up to one subject: one for testing, one
    for validation and k - 2 for training. None for a protocol that does not divide all its samples."""
    groups = protocol.num_folds // protocol.repeats
    return 1 / (groups - 2) if groups > 2 else None


def resampled_t(differences: ArrayLike, ratio: float | None) -> float | None:
    """Two-sided p of the corrected resampled t-test (Nadeau and Bengio 2003, section 4.3).

    t = mean / sqrt((1 / J + ratio) s^2), with J - 1 degrees of freedom and s^2 of ddof 1.

    Args:
        differences: Differences of two methods, one per fold of all repeats, `(J,)`.
        ratio: Ratio of test to training samples.

    Returns:
        p, or None with fewer than two folds or without a ratio. If all differences are equal, p is 1 if they are 0, and
        otherwise that of the sign test.
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) < 2 or ratio is None:
        return None
    mean, error = float(values.mean()), float(np.sqrt((1 / len(values) + ratio) * values.var(ddof=1)))
    if error <= 1e-12 * abs(mean):
        return 1.0 if mean == 0 else float(2.0 ** (1 - len(values)))
    from scipy.special import stdtr

    return float(2 * stdtr(len(values) - 1, -abs(mean) / error))


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Adjusted p of a family, to be compared with the level (S. Holm, "A simple sequentially rejective multiple
    test procedure", Scand. J. Statist. 6, 1979, 65-70). The i-th smallest of m is multiplied by m + 1 - i, and is no
    smaller than those before it. All are None if any is None, because the family is then incomplete."""
    if any(p is None for p in ps):
        return [None] * len(ps)
    values = np.array(ps, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)), 1.0)
    return [float(p) for p in adjusted]


def letter_display(count: int, apart: Collection[tuple[int, int]]) -> list[str]:
    """Letters of `count` entries: two share one if and only if they are not `apart`.

    The compact letter display of H.-P. Piepho ("An algorithm for a letter-based representation of all-pairwise
    comparisons", J. Comput. Graph. Statist. 13, 2004, 456-466). The relation need not be transitive: a and b may
    share a letter, and b and c, while a and c are apart. A letter is a maximal set of entries no two of which are
    apart. One is grown from each pair that no letter joins yet, which is fast; splitting the set of all entries at each
    pair that is apart could double the number of letters every time. Redundant letters are removed.

    Args:
        apart: Pairs (i, j) with i < j.
    """
    split = {frozenset(pair) for pair in apart}

    def together(i: int, others: Iterable[int]) -> bool:
        return not any(frozenset((i, j)) in split for j in others)

    columns: list[set[int]] = []
    for i in range(count):
        for j in range(i, count):
            if together(i, (j,)) and not any({i, j} <= column for column in columns):
                grown = {i, j}
                for k in range(count):
                    if together(k, grown):
                        grown.add(k)
                columns.append(grown)
    for column in sorted(columns, key=len):
        others = [c for c in columns if c is not column]
        if all(any({i, j} <= c for c in others) for i in column for j in column):
            columns = others
    columns.sort(key=sorted)
    names = [*string.ascii_letters, *(f"({number})" for number in range(53, len(columns) + 1))]
    return ["".join(name for name, column in zip(names, columns, strict=False) if i in column) for i in range(count)]
