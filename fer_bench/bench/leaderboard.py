"""The leaderboard of a suite: a pure function of its result files.

A value is computed from the predictions of all its folds pooled, so that every subject counts once, and stands with a
95 % interval from a bootstrap over subjects. It is given only when every fold and seed that the suite asks for is done:
a mean over the folds that happened to finish is another, easier question.
"""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from fer_bench.bench import registry
from fer_bench.bench.cell import Cell
from fer_bench.bench.statistics import Interval, metric_interval
from fer_bench.bench.suite import Suite, resolve_arguments
from fer_bench.errors import InvalidFile
from fer_bench.metrics import score
from fer_bench.records import OUTPUT, Result, atomic_write

HEADLINE = "accuracy"
_SHOWN = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "UAR",
    "f1_macro": "F1 macro",
    "f1_weighted": "F1 weighted",
}
ESTIMATORS = (
    "Percentages. Values are computed on the predictions of all folds pooled; brackets: 95 % percentile bootstrap over "
    "subjects (2,000 resamples), which covers the choice of test subjects and not the training seed; "
    "Fold SD: standard deviation of the accuracy over folds and seeds (ddof 1). UAR: mean recall over classes. "
    "Checkpoints are chosen by accuracy on validation subjects."
)


@dataclass(frozen=True)
class Row:
    """One method entry on one protocol.

    Attributes:
        cells, states: How many cells the suite asks for, and how many are in each state.
        metrics, interval, fold_sd, n, subjects: Empty or None unless every cell is done.
        reason: Why it was skipped, or the message of the first failure.
        epochs: Fewest and most epochs trained; `recipe_epochs` is what the method's own recipe asks for.
    """

    protocol: str
    entry: str
    method: str
    cells: int
    states: Counter[str]
    reason: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    interval: Interval | None = None
    fold_sd: float | None = None
    n: int | None = None
    broken: int = 0
    protocol_digest: str = ""
    representation: str = ""
    provenance: str = ""
    parameters: int | None = None
    epochs: tuple[int, int] | None = None
    recipe_epochs: int | None = None
    fit_minutes: float | None = None

    @property
    def state(self) -> str:
        """`done`, or what keeps it from being so: `3/10 done, 1 failed, 6 missing`."""
        if self.states["skipped"]:
            return "skipped"
        if self.states["done"] == self.cells:
            return "done"
        others = [f"{count} {state}" for state, count in sorted(self.states.items()) if state != "done" and count]
        return ", ".join([f"{self.states['done']}/{self.cells} done", *others])


def collect(name: str, suite: Suite, runs: Path, skipped: dict[tuple[str, str], str] | None = None) -> list[Row]:
    """Rows of a suite from what is below `runs`, best first within a protocol, rows without a value last."""
    rows = []
    for protocol_id in suite.protocols:
        folds = suite.folds or range(registry.find_protocol(protocol_id).num_folds)
        for entry, options in suite.methods.items():
            folders = [
                runs / name / protocol_id / entry / f"fold{fold:02d}" / f"seed{seed}"
                for fold in folds
                for seed in suite.seeds
            ]
            why = (skipped or {}).get((protocol_id, entry), "")
            rows.append(_row(name, protocol_id, entry, str(options["method"]), folders, why))
    order = {protocol: position for position, protocol in enumerate(suite.protocols)}
    return sorted(rows, key=lambda r: (order[r.protocol], -r.metrics.get(HEADLINE, -1.0), r.entry))


def _row(name: str, protocol_id: str, entry: str, method: str, folders: list[Path], skipped: str) -> Row:
    reason = skipped
    states: Counter[str] = Counter()
    done: list[tuple[Cell, Result, pd.DataFrame]] = []
    for folder in folders:
        if not (folder / "cell.json").exists():
            states["skipped" if skipped else "missing"] += 1
            continue
        cell = Cell.read(folder)
        status = cell.status()
        state = "missing" if status.state == "planned" else status.state
        result = cell.result() if state == "done" else None
        if result is not None:
            done.append((cell, result, _predictions(folder / "predictions.parquet")))
        elif status.message and not reason:
            reason = f"fold {cell.fold}, seed {cell.seed}: {status.message}"
        states[state] += 1
    if not done:
        return Row(protocol_id, entry, method, len(folders), states, reason)
    cell, results = done[0][0], [result for _, result, _ in done]
    row = Row(
        protocol_id,
        entry,
        method,
        len(folders),
        states,
        reason,
        protocol_digest=cell.protocol_digest,
        representation=f"{cell.representation['label']} ({cell.representation['digest']})",
        provenance=cell.provenance,
        parameters=cell.parameters,
        epochs=(min(r.epochs for r in results), max(r.epochs for r in results)),
        recipe_epochs=int(resolve_arguments(entry, {"method": method}, name)[1]["epochs"]),
        fit_minutes=sum(r.fit_seconds for r in results) / 60,
        broken=sum(r.broken for r in results),
    )
    questions = {(r.protocol_digest, r.representation_digest) for r in results}
    if len(done) < len(folders) or len(questions) > 1:
        mixed = f"its folds were run on {len(questions)} different states of the data; run with --overwrite"
        return replace(row, reason=row.reason or (mixed if len(questions) > 1 else ""))
    protocol = registry.find_protocol(protocol_id)
    pooled = pd.concat([table for _, _, table in done], ignore_index=True)
    outputs = pooled[[f"{OUTPUT}{c}" for c in protocol.classes]].to_numpy(dtype=np.float64)
    truth = pooled["label"].to_numpy(dtype=object)
    accuracies = [r.metrics[HEADLINE] for r in results]
    return replace(
        row,
        metrics=score(protocol.task, outputs, truth, protocol.classes, protocol.tested),
        interval=metric_interval(
            protocol.task, HEADLINE, outputs, truth, protocol.classes, pooled["subject"].to_numpy(dtype=object)
        ),
        fold_sd=float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None,
        n=int(pooled["id"].nunique()),
    )


def _predictions(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InvalidFile(path, f"cannot be read ({error})", "Run the suite with --overwrite.") from None


def to_frame(rows: list[Row]) -> pd.DataFrame:
    """One line a row, numbers as numbers (fractions), for the CSV file."""
    return pd.DataFrame.from_records(
        [
            {
                "protocol": row.protocol,
                "protocol_digest": row.protocol_digest,
                "data": row.provenance,
                "entry": row.entry,
                "method": row.method,
                "state": row.state,
                **{name: row.metrics.get(name) for name in _SHOWN},
                "accuracy_low": row.interval.low if row.interval else None,
                "accuracy_high": row.interval.high if row.interval else None,
                "accuracy_fold_sd": row.fold_sd,
                "n": row.n,
                "subjects": row.interval.n_clusters if row.interval else None,
                "broken": row.broken,
                "cells": row.cells,
                "epochs": "-".join(map(str, sorted(set(row.epochs)))) if row.epochs else None,
                "recipe_epochs": row.recipe_epochs,
                "parameters": row.parameters,
                "representation": row.representation,
                "fit_minutes": round(row.fit_minutes, 2) if row.fit_minutes is not None else None,
                "selection": "validation",
                "reason": row.reason,
            }
            for row in rows
        ]
    ).astype({"n": "Int64", "subjects": "Int64", "parameters": "Int64", "recipe_epochs": "Int64"})


HEADER = ["Entry", *_SHOWN.values(), "Fold SD", "n", "Subjects", "Epochs", "Parameters", "Fit (min)", "State"]


def texts(row: Row) -> list[str]:
    """A row under `HEADER`, as people read it."""
    values = [_percent(row.metrics.get(name)) for name in _SHOWN]
    if row.interval and row.interval.low is not None and row.interval.high is not None:
        values[0] += f" [{100 * row.interval.low:.1f}, {100 * row.interval.high:.1f}]"
    epochs = "-"
    if row.epochs:
        epochs = "-".join(map(str, sorted(set(row.epochs))))
        epochs += f" of {row.recipe_epochs}" if row.epochs != (row.recipe_epochs,) * 2 else ""
    state = row.state + (f" ({row.broken} scans left out)" if row.broken else "")
    return [
        row.entry,
        *values,
        _percent(row.fold_sd),
        str(row.n or "-"),
        str(row.interval.n_clusters) if row.interval else "-",
        epochs,
        f"{row.parameters:,}" if row.parameters else "-",
        f"{row.fit_minutes:.1f}" if row.fit_minutes is not None else "-",
        state,
    ]


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def to_markdown(name: str, suite: Suite, rows: list[Row]) -> str:
    """The leaderboard as a Markdown page."""
    page = io.StringIO()
    page.write(f"# {suite.title or name}\n\n{ESTIMATORS}\n")
    # Results are ranked together only if they answer the same question on the same data.
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.protocol, row.protocol_digest, row.provenance), []).append(row)
    for (protocol, digest, data), members in groups.items():
        page.write(f"\n## {protocol}\n\n")
        if digest:
            page.write(f"Protocol digest `{digest}`. Data: {data}. ")
        if suite.folds:
            total = registry.find_protocol(protocol).num_folds
            page.write(f"Only folds {', '.join(map(str, suite.folds))} of {total}. ")
        if "twin" in data:
            page.write("**Synthetic faces: these numbers compare methods with one another, not with published ones.**")
        page.write(f"\n\n| {' | '.join(HEADER)} |\n|{'|'.join(['---'] + ['---:'] * (len(HEADER) - 2) + ['---'])}|\n")
        for row in members:
            page.write(f"| {' | '.join(_escape(text) for text in texts(row))} |\n")
        for row in members:
            if row.reason:
                page.write(f"\n- {row.entry}: {_escape(row.reason)}")
        page.write("\n\nInput: " + "; ".join(f"{row.entry} {row.representation or '-'}" for row in members) + "\n")
    return page.getvalue()


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def write(name: str, suite: Suite, rows: list[Row], out: Path) -> list[Path]:
    """Write `<out>/<name>.csv` and `.md`; returns the files."""
    csv, markdown = out / f"{name}.csv", out / f"{name}.md"
    with atomic_write(csv) as file:
        file.write(to_frame(rows).to_csv(index=False, float_format="%.6f").encode())
    with atomic_write(markdown) as file:
        file.write(to_markdown(name, suite, rows).encode())
    return [csv, markdown]
