"""Verdicts on published values: pure functions of the printed and the measured value, and how it was measured."""

from __future__ import annotations

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
"""`match`: the published value lies within the 95 % interval of the measured one. `below`, `above`: the measured
one is, and the interval leaves the published value out. `published only`: other people's rows, and what is no metric.
`not published`: measured, and nothing is printed to hold it against."""

AS_DISTRIBUTED = "as distributed"

# Settings that change the training. Devices and precision are reported, and leave it comparable.
_RECIPE = ("accumulate_grad_batches", "gradient_clip_val")
_TOLD = ("accelerator", "devices", "num_nodes", "precision")


@dataclass(frozen=True)
class Measured:
    """One number of ours, in the unit of the published one.

    Attributes:
        value: None where it is not complete.
        low, high: Its 95 % interval; None with a single subject.
        n, subjects: Samples and subjects that it is of.
        state: `done`, or what keeps it from being so: `3/10 done, 1 failed, 6 missing`.
        reason: Why it is not done, where something says so.
        data: As distributed, or which twin; empty where nothing is done.
        departures: In what it is not the paper's configuration, so that the two are not comparable.
        remarks: What a reader may want to know besides.
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
        published: None for an entry of a suite of which nothing is printed.
        measured: None for a row that nothing of ours measures.
        faults: By mark, those of the paper that concern the published value.
    """
    if measured is None:
        return "published only", ""
    if measured.value is None:
        return "missing", measured.reason
    if published is None or published.number is None:
        return "not published", ""
    told = [f"{mark}: {fault.incomparable}" for mark, fault in (faults or {}).items() if fault.incomparable]
    reasons = [*measured.departures, *filter(None, [published.incomparable]), *told]
    # Numbers on synthetic faces are never compared with those on real ones.
    if measured.data != AS_DISTRIBUTED and not measured.departures:
        reasons = [f"data: {measured.data or 'unknown'}", *reasons]
    if measured.low is None or measured.high is None:
        reasons.append("no interval: a single subject was tested")
    if reasons:
        return "not comparable", "; ".join(reasons)
    assert measured.low is not None and measured.high is not None
    if measured.low <= published.number <= measured.high:
        return "match", ""
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
    """(in what cells are not the paper's configuration, what else is to be told), each a few words.

    Args:
        cells: Those of one entry on one protocol, and `results`, one each.
        arguments: Of the method's constructor, as the suite that ships asks for.
        trainer: Options of the trainer, likewise.
        seen: Label of the representation that the method asks for, which data that lack views or texture do not give.
        weights: What the suite's entry starts from.
        selection: Which epoch the suite asks for: `best_on_test` where the paper did that.
    """
    found = [f"synthetic data ({data})" for data in _unique(c.provenance for c in cells) if data != AS_DISTRIBUTED]
    faults = _unique(fault for cell in cells for fault in cell.unsound.split("; "))
    found += [fault for fault in faults if fault != CHOSEN_ON_TEST]
    told: list[str] = []
    for rule in _unique(cell.selection for cell in cells) if total_epochs(arguments) else ():
        if rule != selection:
            found.append(CHOSEN_ON_TEST if rule == "best_on_test" else f"epoch chosen by {rule}, not {selection}")
        elif rule == "best_on_test":
            told.append(f"{CHOSEN_ON_TEST}, as in the paper")
    labels = _unique(cell.representation["label"] for cell in cells)
    found += [f"seen as {label}, not {seen}" for label in labels if label != seen]
    trained, asked = sorted({r.epochs for r in results}), total_epochs(arguments)
    if trained != [asked]:
        found.append(f"{'-'.join(map(str, trained))} of {asked} epochs")
    wanted = json.loads(json.dumps(arguments, default=str))  # JSON has no tuples
    for key, value in wanted.items():
        others = _unique(json.dumps(c.arguments[key]) for c in cells if c.arguments.get(key, value) != value)
        if others and key not in ("epochs", "pretrained"):
            found.append(f"{key} {' and '.join(others)}, not {json.dumps(value)}")
    if others := _unique(cell.weights or "random" for cell in cells if cell.weights != weights):
        found.append(f"other weights ({' and '.join(others)})")
    for key in (*_RECIPE, *_TOLD):
        others = _unique(str(c.trainer[key]) for c in cells if c.trainer.get(key, trainer[key]) != trainer[key])
        if others:
            (found if key in _RECIPE else told).append(f"{key} {' and '.join(others)}, not {trainer[key]}")
    if broken := sum(result.broken for result in results):
        told.append(f"{broken} broken scans left out")
    return tuple(found), tuple(told)


def _unique(texts: Any) -> list[str]:
    return [text for text in dict.fromkeys(texts) if text]
