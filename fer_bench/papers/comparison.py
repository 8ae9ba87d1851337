"""Comparison of published and measured values: a pure function of published rows and of results on disk."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fer_bench import registry
from fer_bench.errors import UnknownName
from fer_bench.metrics import presence_pairs, score
from fer_bench.metrics.disentanglement import PER_SUBJECT, of_values
from fer_bench.papers.evidence import Evidence
from fer_bench.papers.published import Paper, Section
from fer_bench.papers.published_rows import Published
from fer_bench.papers.verdict import Measured, Verdict, judge
from fer_bench.predictions.pooling import arrays
from fer_bench.protocols import Protocol
from fer_bench.stats.bootstrap import clustered_bootstrap, clustered_bootstrap_of_sums, metric_interval, scale_of
from fer_bench.stats.intervals import Interval

HEADLINES = {
    "classification": "accuracy",
    "multilabel": "f1_two_sided",
    "valence_arousal": "ccc",
    "disentanglement": "neutral_mean",
}
"""Task -> the metric shown for an entry without printed values: the one that papers print. For multilabel tasks this is
the two-sided F1, not the F1 of presence that our own tables rank by."""

_ANSWERS = ("absent", "present")
_OF_ONE = {"accuracy": "accuracy", "f1_two_sided": "f1_macro"}


@dataclass(frozen=True)
class Line:
    """A row of a paper's table, with the measured value.

    Attributes:
        published: None for an entry of the suite without a printed value.
        protocol, entry, measure: How it is measured; empty if no suite measures it.
        metric: In words, with its unit.
        measured: None if no suite measures it.
        reason: The reason for the verdict.
        faults: Marks of the paper's known faults that concern the published value.
    """

    published: Published | None
    protocol: str
    entry: str
    measure: str
    metric: str
    measured: Measured | None
    verdict: Verdict
    reason: str
    faults: tuple[str, ...] = ()

    @property
    def difference(self) -> float | None:
        """Measured minus published: in percentage points for shares of samples and F1, else in the metric's unit."""
        if self.published is None or self.measured is None or self.measured.value is None:
            return None
        number = self.published.number
        return None if number is None else (self.measured.value - number) * (1 if self.scale == 100 else self.points)

    @property
    def scale(self) -> float:
        """100 if `metric` is in percent, else 1."""
        return self.published.scale if self.published else 100.0 if self.metric.endswith("(%)") else 1.0

    @property
    def points(self) -> int:
        """100 if a difference is in percentage points, 1 if in the metric's own unit."""
        return 100 if registry.find_protocol(self.protocol).task in ("classification", "multilabel") else 1


def compare(paper: Paper, section: Section, evidence: dict[tuple[str, str], Evidence]) -> list[Line]:
    """Every published row of a section, in order, then the entries of its suites without printed values.

    Raises:
        UnknownName: a published row names an entry that no suite of the section has.
    """
    lines = []
    for published in section.rows:
        measured = None
        if published.entry:
            for entry in (published.entry, *published.minus):
                if (published.protocol, entry) not in evidence:
                    entries = {name for protocol, name in evidence if protocol == published.protocol}
                    where = f"{published.paper}_{section.stem}.csv: {published.method}"
                    raise UnknownName(f"entry on {published.protocol}", entry, entries, where)
            own = evidence[published.protocol, published.entry]
            others = [evidence[published.protocol, entry] for entry in published.minus]
            measured = measure(own, others, published.measure, published.scale)
        faults = paper.faults_of(published)
        lines.append(
            Line(
                published,
                published.protocol,
                published.entry,
                published.measure,
                published.metric,
                measured,
                *judge(published, measured, faults),
                tuple(faults),
            )
        )
    printed = {(row.protocol, row.entry) for row in section.rows if not row.minus}
    for (protocol_id, entry), own in evidence.items():
        if (protocol_id, entry) in printed:
            continue
        task = own.protocol.task
        name = HEADLINES.get(task) or next(iter(own.row.metrics), "")
        metric = f"{name.replace('_', ' ')} (%)" if task == "classification" else name.replace("_", " ")
        measured = measure(own, [], name, 100.0 if task == "classification" else 1.0)
        verdict, reason = judge(None, measured)
        tables = [
            other.heading
            for other in paper.sections
            if any((r.protocol, r.entry, r.measure, r.minus) == (protocol_id, entry, name, ()) for r in other.rows)
        ]
        reason = "; ".join(filter(None, [reason, *(f"printed in {table}" for table in tables)]))
        lines.append(Line(None, protocol_id, entry, name, metric, measured, verdict, reason))
    return lines


def measure(own: Evidence, others: Sequence[Evidence], name: str, scale: float = 1.0) -> Measured:
    """One metric of an entry; with others, its difference from their mean on the same samples.

    Args:
        name: A metric of `fer_bench.metrics.score`; with others, `accuracy`.
        scale: Factor by which the metric is multiplied.
    """
    everything = [own, *others]
    departures = tuple(dict.fromkeys(text for each in everything for text in each.departures))
    remarks = tuple(dict.fromkeys(text for each in everything for text in each.remarks))
    data = " and ".join(dict.fromkeys(cell.provenance for each in everything for cell in each.cells))
    digests = dict.fromkeys(each.row.protocol_digest for each in everything if each.complete)
    if len(digests) > 1:
        other = f"fer-bench protocol diff {' '.join([*digests][:2])}"
        state = f"answers another question than what it is compared with: {other}"
        return Measured(state=state, data=data, departures=departures, remarks=remarks)
    tables = [each.row.pooled for each in everything if each.row.pooled is not None]
    if len(tables) < len(everything):
        unfinished = next(each for each in everything if not each.complete).row
        state = unfinished.state
        if state == "done":
            state = "cannot be put together"
        elif len(everything) > 1:
            state = f"{unfinished.entry}: {state}"
        return Measured(state=state, reason=unfinished.reason, data=data, departures=departures, remarks=remarks)
    table, *rest = tables
    if not rest and name not in own.row.metrics:
        return Measured(state=f"{own.row.method} gives no {name}", data=data, departures=departures, remarks=remarks)
    if rest:
        gain = _gain(table, rest, own.protocol)
        if gain is None:
            return Measured(
                state="predicted other samples than what it is compared with", data=data, departures=departures
            )
        value, interval = gain
    else:
        value, interval = own.row.metrics[name], bootstrap_interval(own.protocol, name, table)
    return Measured(
        value=scale * value,
        low=None if interval.low is None else scale * interval.low,
        high=None if interval.high is None else scale * interval.high,
        n=int(table["id"].nunique()),
        subjects=interval.n_clusters,
        state="done",
        data=data,
        departures=departures,
        remarks=remarks,
    )


def bootstrap_interval(protocol: Protocol, name: str, table: pd.DataFrame) -> Interval:
    """95 % bootstrap interval over subjects of any metric of `score`."""
    outputs, truth = arrays(protocol, table)
    subjects = table["subject"].to_numpy(dtype=object)
    metric, _, one = name.rpartition("_")
    if protocol.task == "multilabel" and one in protocol.classes and metric in _OF_ONE:
        # A single class is a binary classification, and resampling its counts is a hundred times faster.
        column = protocol.classes.index(one)
        present, predicted = (
            each[:, column].astype(np.int64) for each in presence_pairs(outputs, truth, protocol.classes)
        )
        return metric_interval("classification", _OF_ONE[metric], np.eye(2)[predicted], present, _ANSWERS, subjects)
    if protocol.task == "disentanglement" and one != "mean":
        if metric in PER_SUBJECT:
            # One value per subject and training; the value of a subject that is drawn twice counts twice.
            once = table.groupby(["subject", "seed"], sort=False).head(1).index
            outputs, subjects = outputs[once], subjects[once]
        column, statistic = of_values(name)
        values = outputs[:, column]
        valid = ~np.isnan(values)
        scale = scale_of(protocol.task, name)
        return clustered_bootstrap(lambda v: float(statistic(v)), subjects[valid], values[valid], scale=scale)
    try:
        return metric_interval(protocol.task, name, outputs, truth, protocol.classes, subjects)
    except UnknownName:  # not a function of counts
        return clustered_bootstrap(
            lambda o, t: score(protocol.task, o, t, protocol.classes, protocol.tested)[name],
            subjects,
            outputs,
            truth,
            scale=scale_of(protocol.task, name),
        )


def _gain(own: pd.DataFrame, others: Sequence[pd.DataFrame], protocol: Protocol) -> tuple[float, Interval] | None:
    """Accuracy minus the mean accuracy of others, paired by sample; None if the samples differ."""
    right = _right(own, protocol)
    rest = [_right(other, protocol) for other in others]
    if any(not each.index.equals(right.index) for each in rest):
        return None
    gains = (right - sum(rest) / len(rest)).to_numpy(dtype=np.float64)
    subjects = own.drop_duplicates("id").set_index("id")["subject"].loc[right.index].to_numpy(dtype=object)
    terms = np.column_stack([gains, np.ones_like(gains)])
    return float(gains.mean()), clustered_bootstrap_of_sums(
        lambda sums: sums[:, 0] / sums[:, 1], subjects, terms, scale="difference"
    )


def _right(table: pd.DataFrame, protocol: Protocol) -> pd.Series:
    """Share of seeds that classify each sample correctly, by id, sorted."""
    outputs, truth = arrays(protocol, table)
    right = np.array(protocol.classes, dtype=object)[outputs.argmax(axis=1)] == truth
    return pd.Series(right.astype(np.float64), index=table["id"]).groupby(level=0).mean()
