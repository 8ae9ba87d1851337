"""The leaderboard of a suite: a pure function of its result files.

A value is computed from the predictions of all its folds pooled, so that every subject counts once, and stands with a
95 % interval from a bootstrap over subjects. It is given only when every fold and seed that the suite asks for is done:
a mean over the folds that happened to finish is another, easier question.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.parquet import ParquetFile

from fer_bench.bench import registry
from fer_bench.bench.cell import DERIVED, LATE_FUSION, SAVED, Cell, cell_path
from fer_bench.bench.statistics import (
    HEADLINE,
    LOWER_IS_BETTER,
    Difference,
    Interval,
    Resampled,
    difference,
    resample_metric,
)
from fer_bench.bench.suite import Suite
from fer_bench.errors import InvalidFile
from fer_bench.metrics import score
from fer_bench.protocols import Protocol
from fer_bench.records import OUTPUT, Result, Task


@dataclass(frozen=True)
class Row:
    """One method entry on one protocol.

    Attributes:
        cells, states: How many cells the suite asks for, and how many are in each state.
        metrics, interval, fold_sd, n: Empty or None unless every cell is done. The interval and the standard deviation
            over folds and seeds are those of the task's headline metric; `item_*` are metrics of the items of samples
            that have several.
        difference: From the suite's reference on the same samples, with its interval; None where there is none.
        reason: Why it was skipped, or the message of the first failure.
        epochs: Fewest and most epochs trained; `recipe_epochs` is what the method's own recipe asks for.
        weights: What it started from; empty for random weights.
        unsound: Why its numbers may not be compared with others.
        selection: Which epoch is scored, see `fer_bench.bench.selection`; empty where nothing is done.
        finished: The cells that are done, with their results.
        pooled: Predictions of all folds and seeds.
        draws: The headline metric on every draw of subjects: that of rows with the same samples is of the same draws.
        samples: A number that two rows share if and only if they are of the same samples, subjects and seeds.
    """

    protocol: str
    entry: str
    method: str
    cells: int
    states: Counter[str]
    reason: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    interval: Interval | None = None
    difference: Difference | None = None
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
    weights: str = ""
    unsound: str = ""
    selection: str = ""
    finished: tuple[tuple[Cell, Result], ...] = field(default=(), repr=False, compare=False)
    pooled: pd.DataFrame | None = field(default=None, repr=False, compare=False)
    draws: Resampled | None = field(default=None, repr=False, compare=False)
    samples: int | None = None

    @property
    def task(self) -> Task:
        """Of its protocol."""
        return registry.find_protocol(self.protocol).task

    @property
    def question(self) -> tuple[str, str, str]:
        """Only rows of one question may be ranked, compared or averaged with one another."""
        return self.protocol, self.protocol_digest, self.provenance

    @property
    def headline(self) -> float | None:
        """The metric that rows are ranked by."""
        return self.metrics.get(HEADLINE[self.task])

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
    """Rows of a suite from what is below `runs`: those that answer one question together, best first, and those without
    a value last."""
    rows = []
    derived = {**dict.fromkeys(suite.predictions, SAVED), **dict.fromkeys(suite.fusions, LATE_FUSION)}
    for protocol_id in suite.protocols:
        folds = suite.folds_of(registry.find_protocol(protocol_id))
        for entry in suite.entries:
            cells = [cell_path(protocol_id, entry, fold, seed) for fold in folds for seed in suite.seeds]
            folders = [runs / name / path for path in cells]
            why = (skipped or {}).get((protocol_id, entry), "")
            method = derived.get(entry) or str(suite.methods[entry]["method"])
            rows.append(_row(name, protocol_id, entry, method, folders, why))
    if suite.reference is not None:
        references = {row.protocol: row for row in rows if row.entry == suite.reference}
        rows = [_compared(row, references[row.protocol]) for row in rows]
    order = {protocol: position for position, protocol in enumerate(suite.protocols)}
    questions = {row.question: position for position, row in reversed([*enumerate(rows)]) if row.protocol_digest}

    def rank(row: Row) -> tuple[int, int, float, str]:
        better = 1 if row.task in LOWER_IS_BETTER else -1
        value = np.inf if row.headline is None else better * row.headline
        return order[row.protocol], questions.get(row.question, len(rows)), value, row.entry

    return sorted(rows, key=rank)


def _compared(row: Row, reference: Row) -> Row:
    """The row with its difference from the reference, where both have answered the same question."""
    if row.draws is None or reference.draws is None or row.entry == reference.entry:
        return row
    if (row.protocol_digest, row.samples) != (reference.protocol_digest, reference.samples):
        return row
    return replace(row, difference=difference(row.draws, reference.draws))


def _fingerprint(pooled: pd.DataFrame) -> int:
    """Of samples, subjects and seeds, in whatever order."""
    return int(pd.util.hash_pandas_object(pooled[["id", "subject", "seed"]], index=False).sum())


def _row(name: str, protocol_id: str, entry: str, method: str, folders: list[Path], skipped: str) -> Row:
    reason = skipped
    states: Counter[str] = Counter()
    done: list[tuple[Cell, Result]] = []
    for folder in folders:
        if not (folder / "cell.json").exists():
            states["skipped" if skipped else "missing"] += 1
            continue
        try:
            cell = Cell.read(folder)
        except InvalidFile as error:
            states["missing"] += 1
            reason = reason or str(error)
            continue
        status = cell.status()
        state = "missing" if status.state == "planned" else status.state
        result = cell.result() if state == "done" else None
        if result is not None:
            done.append((cell, result))
        elif status.message and not reason:
            reason = f"fold {cell.fold}, seed {cell.seed}: {status.message}"
        states[state] += 1
    if not done:
        return Row(protocol_id, entry, method, len(folders), states, reason)
    cell, results = done[0][0], [result for _, result in done]
    if reason == skipped and len(done) == len(folders):
        reason = ""  # it ran when it could
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
        parameters=results[0].parameters,
        epochs=(min(r.epochs for r in results), max(r.epochs for r in results)),
        recipe_epochs=0 if method in DERIVED else registry.recipe_epochs(method),
        fit_minutes=sum(r.fit_seconds for r in results) / 60,
        broken=sum(r.broken for r in results),
        weights=cell.weights,
        unsound=cell.unsound,
        selection=" and ".join(dict.fromkeys(cell.selection for cell, _ in done)),
        finished=tuple(done),
    )
    questions = {(r.protocol_digest, r.representation_digest) for r in results}
    mixed = ""
    if len(questions) > 1:
        mixed = f"its folds were run on {len(questions)} different states of the data; run with --overwrite"
    elif len({cell.selection for cell, _ in done}) > 1:
        mixed = f"the epochs of its folds were chosen by different rules ({row.selection}); run with --overwrite"
    if len(done) < len(folders) or mixed:
        return replace(row, reason=row.reason or mixed)
    protocol = registry.find_protocol(protocol_id)
    pooled = read_tables([cell.folder / "predictions.parquet" for cell, _ in done], [r.n for r in results])
    pooled["seed"] = np.repeat([cell.seed for cell, _ in done], [r.n for r in results])
    outputs, truth = arrays(protocol, pooled)
    headline = HEADLINE[protocol.task]
    each = [r.metrics[headline] for r in results if headline in r.metrics]
    metrics = score(protocol.task, outputs, truth, protocol.classes, protocol.tested) | _item_metrics(protocol, done)
    subjects = pooled["subject"].to_numpy(dtype=object)
    draws = (
        resample_metric(protocol.task, headline, outputs, truth, protocol.classes, subjects)
        if headline in metrics
        else None
    )
    return replace(
        row,
        metrics=metrics,
        interval=draws.interval() if draws else None,
        fold_sd=float(np.std(each, ddof=1)) if len(each) > 1 else None,
        n=int(pooled["id"].nunique()),
        pooled=pooled,
        draws=draws,
        samples=_fingerprint(pooled),
    )


def _item_metrics(protocol: Protocol, done: list[tuple[Cell, Result]]) -> dict[str, float]:
    """Metrics of the items, where samples have several, as `item_<name>`."""
    files = [cell.folder / "items.parquet" for cell, _ in done]
    if not all(file.exists() for file in files):
        return {}
    outputs, truth = arrays(protocol, pd.concat([read_table(file) for file in files], ignore_index=True))
    found = score(protocol.task, outputs, truth, protocol.classes, protocol.tested)
    return {f"item_{name}": value for name, value in found.items()}


def arrays(protocol: Protocol, table: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Raw outputs (N, outputs) and truth, of meshes the subjects, as `score` takes them, of a table of predictions."""
    outputs = table[[f"{OUTPUT}{name}" for name in protocol.outputs]].to_numpy(dtype=np.float64)
    if protocol.task == "disentanglement":
        return outputs, table["subject"].to_numpy(dtype=object)
    return outputs, np.array(protocol.truth(table), dtype=float if protocol.task == "valence_arousal" else object)


def read_tables(paths: list[Path], lengths: list[int]) -> pd.DataFrame:
    """Tables of predictions of so many rows, one below the other; raises `InvalidFile`.

    Arrow alone reads many small files in a tenth of the time that pandas takes one by one. Whatever it does not like is
    left to pandas, which tells which file it is.
    """
    try:
        read = [ParquetFile(pa.BufferReader(path.read_bytes())).read(use_threads=False) for path in paths]
        if [table.num_rows for table in read] == lengths:
            found: pd.DataFrame = pa.concat_tables(read).to_pandas()
            return found.reset_index(drop=True)
    except (OSError, ValueError, pa.ArrowException):
        pass
    tables = [read_table(path) for path in paths]
    for path, each, length in zip(paths, tables, lengths, strict=True):
        if len(each) != length:
            raise InvalidFile(path, f"holds {len(each)} predictions, not {length}", "Run the suite with --overwrite.")
    return pd.concat(tables, ignore_index=True)


def read_table(path: Path) -> pd.DataFrame:
    """A table of predictions as `score` wrote it; raises `InvalidFile`."""
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InvalidFile(path, f"cannot be read ({error})", "Run the suite with --overwrite.") from None
