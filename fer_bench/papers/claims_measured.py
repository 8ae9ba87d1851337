"""Tests of a paper's claims: a pure function of the claims and of the results below the runs folder.

Differences are paired by sample, with the 95 % interval of a bootstrap over subjects. A claim of several comparisons
holds if each of them holds (an intersection-union test, whose level is that of one comparison; R. L. Berger,
Technometrics 24, 1982, 295-300). It fails if one of m comparisons contradicts it at confidence 1 - 0.05 / m
(Bonferroni), because one of many is likely to be on the wrong side by chance.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from fer_bench import registry
from fer_bench.cells.stress_outcome import outcome, predictions_path
from fer_bench.errors import UnknownName
from fer_bench.geometry.perturbations import DECK, Rotation, Stress
from fer_bench.metrics import score
from fer_bench.papers.claims import Claim, Comparison, Stressed
from fer_bench.papers.evidence import Evidence, Reader
from fer_bench.predictions.pooling import arrays, read_table
from fer_bench.records import OUTPUT
from fer_bench.stats.bootstrap import metric_difference, metric_interval
from fer_bench.stats.intervals import Difference
from fer_bench.stats.metric_units import Unit, unit

Answer = Literal["holds", "fails", "unresolved", "not measured"]
"""`holds`: the interval lies on the claimed side of 0. `fails`: on the other. `unresolved`: it contains 0, or one of
the entries guesses, or the claim would hold with an unsound entry."""

_GUESSED = {"classification": "balanced_accuracy", "valence_arousal": "ccc_mean"}

_KEY = ["turn", "seed", "id"]


@dataclass(frozen=True)
class Compared:
    """The result of one comparison of a claim.

    Attributes:
        comparison: The comparison, as claimed.
        question: In words: `mit-base above mit-small on bu3dfe-s1-cv10@1`.
        answer: `holds` or `fails` by the 95 % interval.
        reason: Why it has no answer, or no interval.
        difference: The entry minus what it is compared with, in the unit of `metric`.
        contradicts: Whether it fails after correction for the claim's other comparisons.
        n, subjects, data: Numbers of samples and subjects, and the data.
        departures: Differences from the paper's configuration; prefixed by the entry if not all entries have them.
    """

    comparison: Comparison
    question: str
    answer: Answer
    reason: str = ""
    difference: Difference | None = None
    contradicts: bool = False
    n: int | None = None
    subjects: int | None = None
    data: str = ""
    departures: tuple[str, ...] = ()

    @property
    def unit(self) -> Unit:
        """The unit in which the metric is written."""
        return _unit(self.comparison)

    @property
    def size_agrees(self) -> bool | None:
        """Whether the printed size lies in the interval; None without a printed size or an interval."""
        size = self.comparison.size
        if size is None or self.difference is None or self.difference.interval.low is None:
            return None
        low, high = self.difference.interval.low, self.difference.interval.high
        assert high is not None
        return low <= (-1 if self.comparison.lower else 1) * size / self.unit.factor <= high


@dataclass(frozen=True)
class Answered:
    """A claim with the results of its comparisons."""

    claim: Claim
    compared: tuple[Compared, ...]

    @property
    def answer(self) -> Answer:
        """`fails` if one contradicts the claim; else `not measured` if one is not; else `holds` if all hold."""
        answers = {each.answer for each in self.compared}
        if any(each.contradicts for each in self.compared):
            return "fails"
        if not answers or "not measured" in answers:
            return "not measured"
        return "holds" if answers == {"holds"} else "unresolved"


def answer(claims: Sequence[Claim], reader: Reader) -> list[Answered]:
    """Test every claim with the results below a runs folder.

    Raises:
        UnknownName: a comparison names an entry, or a protocol of a suite, that does not exist.
    """
    found = []
    for claim in claims:
        splits = [split for comparison in claim.comparisons for split in _split(comparison)]
        compared = (_compare(*split, len(splits), reader, claim.id) for split in splits)
        found.append(Answered(claim, tuple(compared)))
    return found


def _split(comparison: Comparison) -> Iterator[tuple[Comparison, tuple[str, ...], tuple[Stress, ...]]]:
    """(comparison, entries that it is compared with, conditions) for each part that is tested separately."""
    requested = comparison.stress
    groups: list[tuple[Stress, ...]] = [()]
    if requested is not None:
        conditions = _conditions(requested, requested.axis)
        groups = [(condition,) for condition in conditions] if requested.each else [conditions]
    for group in groups:
        if comparison.mean or not comparison.over:
            yield comparison, tuple(comparison.over), group
        else:
            yield from ((comparison, (other,), group) for other in comparison.over)


def _conditions(requested: Stressed, axis: str) -> tuple[Stress, ...]:
    """The conditions of the severities; with an axis, only rotations about it."""
    severities = DECK[requested.member].severities
    chosen = [severities[number - 1] for number in requested.severities or range(1, len(severities) + 1)]
    found = tuple(condition for _, conditions in chosen for condition in conditions)
    return tuple(c for c in found if not axis or (isinstance(c, Rotation) and c.axis == axis))


def _compare(
    comparison: Comparison,
    others: tuple[str, ...],
    conditions: tuple[Stress, ...],
    comparisons: int,
    reader: Reader,
    claim: str,
) -> Compared:
    """Test one of the `comparisons` comparisons of a claim."""
    if comparison.protocol not in reader.suite(comparison.suite).protocols:
        known = reader.suite(comparison.suite).protocols
        raise UnknownName(f"protocol of {comparison.suite}", comparison.protocol, known, f"claim {claim}")
    names = (comparison.entry, *others)
    entries = [reader.evidence(comparison.suite, comparison.protocol, name) for name in names]
    question = _describe(comparison, others, conditions)
    departures = _departures(entries)
    data = " and ".join(dict.fromkeys(cell.provenance for each in entries for cell in each.cells))

    def unanswered(reason: str) -> Compared:
        return Compared(comparison, question, "not measured", reason, data=data, departures=departures)

    for each in entries:
        if not each.complete:
            return unanswered(": ".join(filter(None, [each.row.entry, each.row.state, each.row.reason])))
        if comparison.metric not in each.row.metrics:
            return unanswered(f"{each.row.entry} gives no {comparison.metric}")
    stress, sets = comparison.stress, [(each, conditions) for each in entries]
    by_turn = stress is not None and bool(stress.over_axis)
    if stress is not None and stress.over_axis:
        sets.append((entries[0], _conditions(stress, stress.over_axis)))
    tables = [_table(each, chosen, by_turn) for each, chosen in sets]
    for (each, _), table in zip(sets, tables, strict=True):
        if table is None and stress is not None:
            run = f"fer-bench run {comparison.suite} --stress {stress.member}"
            return unanswered(f"{each.row.entry}: not all of its stress stage is there ({run})")
    own, *rest = [table for table in tables if table is not None]
    if any(e.row.protocol_digest != entries[0].row.protocol_digest for e in entries) or any(
        not table[[*_KEY, "subject"]].equals(own[[*_KEY, "subject"]]) for table in rest
    ):
        return unanswered("predicted other samples than what it is compared with")
    found = _difference(comparison, entries[0], own, rest, 0.95)
    side = _side(comparison, found)
    contradicts = side == "fails" and (
        comparisons == 1
        or _side(comparison, _difference(comparison, entries[0], own, rest, 1 - 0.05 / comparisons)) == "fails"
    )
    reason = "a single subject was tested, so that there is no interval" if found.interval.low is None else ""
    if guessing := [each.row.entry for each in entries if _guesses(each)]:
        # A network that has learned nothing does not allow a comparison of methods.
        side, contradicts = "unresolved", False
        reason = f"{' and '.join(guessing)} cannot be told from guessing"
    if side == "holds" and (unsound := [each.row for each in entries if each.row.unsound]):
        side, reason = "unresolved", "; ".join(f"{row.entry} is unsound: {row.unsound}" for row in unsound)
    n, subjects = int(own["id"].nunique()), int(own["subject"].nunique())
    return Compared(comparison, question, side, reason, found, contradicts, n, subjects, data, departures)


def _guesses(own: Evidence) -> bool:
    """Whether the 95 % interval of the mean recall over classes includes chance, or that of the mean concordance 0:
    the scores of a prediction that does not depend on the sample."""
    protocol, metric = own.protocol, _GUESSED.get(own.protocol.task)
    if metric is None or own.row.pooled is None:
        return False
    outputs, truth = arrays(protocol, own.row.pooled)
    subjects = own.row.pooled["subject"].to_numpy(dtype=object)
    low = metric_interval(protocol.task, metric, outputs, truth, protocol.classes, subjects).low
    chance = protocol.chance if protocol.task == "classification" else 0.0
    return low is not None and low <= chance


def _departures(entries: Sequence[Evidence]) -> tuple[str, ...]:
    """Differences from the paper's configuration. One that not all entries share names its entry, because it may
    explain the difference between them."""
    of_all = set.intersection(*(set(each.departures) for each in entries))
    remarks = []
    for each in entries:
        for text in each.departures:
            shared = text in of_all or text.startswith("synthetic data")  # the Data column shows it
            remarks.append(text if shared else f"{each.row.entry}: {text}")
    return tuple(dict.fromkeys(remarks))


def _table(own: Evidence, conditions: tuple[Stress, ...], by_turn: bool) -> pd.DataFrame | None:
    """Predictions with the column `turn`, in the order of `_KEY`; None if a condition of a cell is missing.

    Args:
        by_turn: Identify a rotation by its angle only, so that rotations about two axes are paired.
    """
    assert own.row.pooled is not None
    if not conditions:
        return own.row.pooled.assign(turn="").sort_values(_KEY, ignore_index=True)
    tables = []
    for cell in own.cells:
        for condition in conditions:
            if outcome(cell, condition) is None:
                return None
            turn = str(condition.degrees) if by_turn and isinstance(condition, Rotation) else condition.label
            tables.append(read_table(predictions_path(cell, condition)).assign(seed=cell.seed, turn=turn))
    return pd.concat(tables, ignore_index=True).sort_values(_KEY, ignore_index=True)


def _difference(
    comparison: Comparison, own: Evidence, table: pd.DataFrame, rest: Sequence[pd.DataFrame], confidence: float
) -> Difference:
    """Difference of a metric, in its raw unit, from that of the others on the same samples, or from the number."""
    protocol, metric = own.protocol, comparison.metric
    # The mean accuracy of k entries is the accuracy of their pooled predictions, paired with k copies of this entry's.
    copies = pd.concat([table] * max(1, len(rest)), ignore_index=True)
    outputs, truth = arrays(protocol, copies)
    subjects = copies["subject"].to_numpy(dtype=object)
    requested = protocol.task, metric, outputs
    if comparison.value is None:
        pooled = pd.concat(rest, ignore_index=True)
        other = pooled[[f"{OUTPUT}{name}" for name in protocol.outputs]].to_numpy(dtype=np.float64)
        return metric_difference(*requested, other, truth, protocol.classes, subjects, confidence=confidence)
    number = comparison.value / _unit(comparison).factor
    found = metric_interval(*requested, truth, protocol.classes, subjects, confidence=confidence)
    low, high = (None if end is None else end - number for end in (found.low, found.high))
    above = score(protocol.task, outputs, truth, protocol.classes, protocol.tested)[metric] - number
    return Difference(above, type(found)(low, high, found.n_clusters, found.n))


def _side(comparison: Comparison, found: Difference) -> Answer:
    low, high = found.interval.low, found.interval.high
    if low is None or high is None or low <= 0 <= high:
        return "unresolved"
    return "holds" if (high < 0) == comparison.lower else "fails"


def _describe(comparison: Comparison, others: tuple[str, ...], conditions: tuple[Stress, ...]) -> str:
    requested, where = comparison.stress, ""
    if requested is not None:
        what = conditions[0].label if len(conditions) == 1 else f"{requested.axis} {requested.member}".strip()
        where = f" under {what}"
    if comparison.value is not None:
        other = f"{comparison.value:g} {_unit(comparison).name}".strip()
    elif requested is not None and requested.over_axis:
        other = f"itself under {requested.over_axis} {requested.member}"
    else:
        other = ("the mean of " if comparison.mean else "") + " and ".join(others)
    return f"{comparison.entry}{where} {'below' if comparison.lower else 'above'} {other} on {comparison.protocol}"


def _unit(comparison: Comparison) -> Unit:
    return unit(registry.find_protocol(comparison.protocol).task, comparison.metric)
