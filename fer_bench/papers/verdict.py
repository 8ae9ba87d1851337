"""Verdicts on published values: pure functions of the printed and the measured value, and how it was measured."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fer_bench.cells.cell import Cell
from fer_bench.papers.notes import Fault
from fer_bench.papers.published_rows import Published
from fer_bench.records import Result
from fer_bench.suites.arguments import total_epochs
from fer_bench.suites.selection import CHOSEN_ON_TEST

Verdict = Literal["match", "below", "above", "not comparable", "missing", "published only", "not published"]
"""`match`: the published value lies within the 95 % interval of the measured one, which says no more than that the two
differ by less than the interval is wide: an inflation of that size is not seen. `below`, `above`: the measured
one is, and the interval excludes the published value. `published only`: rows of other work, or without a metric.
`not published`: measured, and the paper prints no value for it."""

AS_DISTRIBUTED = "as distributed"

# Settings that change the training. Those in _REPORTED are reported but keep the result comparable.
_RECIPE = ("accumulate_grad_batches", "gradient_clip_val")
_REPORTED = ("accelerator", "devices", "num_nodes", "precision")


@dataclass(frozen=True)
class Measured:
    """One number of ours, in the unit of the published one.

    Attributes:
        value: None if incomplete.
        low, high: Its 95 % interval; None with a single subject.
        n, subjects: Numbers of samples and subjects.
        state: `done`, or the progress: `3/10 done, 1 failed, 6 missing`.
        reason: Why it is not done, if known.
        data: As distributed, or which twin; empty if no cell is done.
        departures: Differences from the paper's configuration that make the two values not comparable.
        remarks: Further notes for the reader.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    subjects: int | None = None
    state: str = "missing"
    reason: str = ""
    data: str = ""
    departures: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def as_run(self) -> str:
        """Departures from the paper, or else its state."""
        if self.state != "done":
            return "; ".join(filter(None, (self.state, self.reason, *self.departures)))
        return "; ".join((*self.departures, *self.remarks))


def judge(
    published: Published | None, measured: Measured | None, faults: Mapping[str, Fault] | None = None
) -> tuple[Verdict, str]:
    """The verdict on a row, and its reason where it needs one.

    Args:
        published: None for an entry of a suite without a printed value.
        measured: None for a row that no suite measures.
        faults: Known faults of the paper that concern the published value, by mark.
    """
    if measured is None:
        return "published only", ""
    if measured.value is None:
        return "missing", measured.reason
    if published is None or published.number is None:
        return "not published", ""
    reasons = [*measured.departures, *filter(None, [published.incomparable])]
    reasons += [f"{mark}: {fault.incomparable}" for mark, fault in (faults or {}).items() if fault.incomparable]
    # Numbers on synthetic faces are never compared with those on real ones.
    if measured.data != AS_DISTRIBUTED and not measured.departures:
        reasons = [f"data: {measured.data or 'unknown'}", *reasons]
    if measured.low is None or measured.high is None:
        reasons.append("no interval: a single subject was tested")
    if reasons:
        return "not comparable", "; ".join(reasons)
    assert measured.low is not None and measured.high is not None
    if measured.low <= published.number <= measured.high:
        below, above = measured.low - measured.value, measured.high - measured.value
        return "match", f"differences from {below:+.3g} to {above:+.3g} are not resolved"
    return ("below", "") if measured.high < published.number else ("above", "")


def departures(
    cells: Sequence[Cell],
    results: Sequence[Result],
    arguments: dict[str, Any],
    trainer: dict[str, Any],
    seen: str,
    weights: str,
    selection: str,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(departures from the paper's configuration, further remarks), each a few words.

    Args:
        cells: The cells of one entry on one protocol, with one result each in `results`.
        arguments: Arguments of the method's constructor in the shipped suite.
        trainer: Options of the trainer in the shipped suite.
        seen: Label of the representation that the method requests; data without views or texture do not provide it.
        weights: Initial weights of the suite's entry.
        selection: The suite's rule for choosing the epoch: `best_on_test` where the paper did that.
    """
    found = [f"synthetic data ({data})" for data in _unique(c.provenance for c in cells) if data != AS_DISTRIBUTED]
    faults = _unique(fault for cell in cells for fault in cell.unsound.split("; "))
    found += [fault for fault in faults if fault != CHOSEN_ON_TEST]
    remarks: list[str] = []
    for rule in _unique(cell.selection for cell in cells) if total_epochs(arguments) else ():
        if rule != selection:
            found.append(CHOSEN_ON_TEST if rule == "best_on_test" else f"epoch chosen by {rule}, not {selection}")
        elif rule == "best_on_test":
            remarks.append(f"{CHOSEN_ON_TEST}, as in the paper")
    labels = _unique(cell.representation["label"] for cell in cells)
    found += [f"seen as {label}, not {seen}" for label in labels if label != seen]
    trained, requested = sorted({r.epochs for r in results}), total_epochs(arguments)
    if trained != [requested]:
        found.append(f"{'-'.join(map(str, trained))} of {requested} epochs")
    for key, value in json.loads(json.dumps(arguments, default=str)).items():  # JSON has no tuples
        others = _unique(json.dumps(c.arguments[key]) for c in cells if c.arguments.get(key, value) != value)
        if others and key not in ("epochs", "pretrained"):
            found.append(f"{key} {' and '.join(others)}, not {json.dumps(value)}")
    if others := _unique(cell.weights or "random" for cell in cells if cell.weights != weights):
        found.append(f"other weights ({' and '.join(others)})")
    for key in (*_RECIPE, *_REPORTED):
        others = _unique(str(c.trainer[key]) for c in cells if c.trainer.get(key, trainer[key]) != trainer[key])
        if others:
            (found if key in _RECIPE else remarks).append(f"{key} {' and '.join(others)}, not {trainer[key]}")
    if unreadable := sum(result.broken for result in results):
        remarks.append(f"{unreadable} broken scans left out")
    return tuple(found), tuple(remarks)


def _unique(texts: Any) -> list[str]:
    return [text for text in dict.fromkeys(texts) if text]
