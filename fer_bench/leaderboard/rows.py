"""The leaderboard of a suite: a pure function of its result files.

A value is computed from the pooled predictions of all its folds, so that every subject counts once, with a 95 %
interval from a bootstrap over subjects. It is given only when every fold and seed of the suite is done, because a mean
over some of the folds would not be comparable.
"""

import gc
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from fer_bench import registry
from fer_bench.cells.cell import DERIVED, LATE_FUSION, SAVED, Cell, cell_path
from fer_bench.errors import InvalidFile
from fer_bench.leaderboard.optimism import optimism
from fer_bench.leaderboard.row import Row
from fer_bench.metrics import class_indices, score
from fer_bench.predictions.pooling import arrays, read_table, read_tables
from fer_bench.protocols import Protocol
from fer_bench.records import Result
from fer_bench.stats.bootstrap import HEADLINE, LOWER_IS_BETTER, resample_metric
from fer_bench.stats.intervals import difference
from fer_bench.suites.suite import Suite


def collect(name: str, suite: Suite, runs: Path, skipped: dict[tuple[str, str], str] | None = None) -> list[Row]:
    """Rows of a suite from the results below `runs`: grouped by comparison key, best first, rows without a value
    last."""
    rows: list[Row] = []
    below = runs / name
    derived = {**dict.fromkeys(suite.predictions, SAVED), **dict.fromkeys(suite.fusions, LATE_FUSION)}
    for protocol_id in suite.protocols:
        folds = suite.folds_of(registry.find_protocol(protocol_id))
        for entry in suite.entries:
            cells = [cell_path(protocol_id, entry, fold, seed) for fold in folds for seed in suite.seeds]
            folders = [below / path for path in cells]
            why = (skipped or {}).get((protocol_id, entry), "")
            method = derived.get(entry) or str(suite.methods[entry]["method"])
            with uncollected():
                rows.append(_row(rows, protocol_id, entry, method, folders, why))
    if suite.reference is not None:
        references = {row.protocol: row for row in rows if row.entry == suite.reference}
        rows = [_compared(row, references[row.protocol]) for row in rows]
    order = {protocol: position for position, protocol in enumerate(suite.protocols)}
    groups = {row.comparison_key: position for position, row in reversed([*enumerate(rows)]) if row.protocol_digest}

    def rank(row: Row) -> tuple[int, int, float, str]:
        better = 1 if row.task in LOWER_IS_BETTER else -1
        value = np.inf if row.headline is None else better * row.headline
        return order[row.protocol], groups.get(row.comparison_key, len(rows)), value, row.entry

    return sorted(rows, key=rank)


def _compared(row: Row, reference: Row) -> Row:
    """The row with its difference from the reference, if both have the same protocol digest and samples."""
    if row.draws is None or reference.draws is None or row.entry == reference.entry:
        return row
    if (row.protocol_digest, row.samples) != (reference.protocol_digest, reference.samples):
        return row
    return replace(row, difference=difference(row.draws, reference.draws))


@contextmanager
def uncollected() -> Iterator[None]:
    """Disable the cyclic garbage collector, which is slow with thousands of nested results and finds no cycles."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _counted(pooled: pd.DataFrame, others: Sequence[Row]) -> tuple[int, int]:
    """`samples` and `n` of predictions: those of another row with equal samples in the same order, which is fast to
    compare, or else from a hash of samples, subjects and seeds in any order."""
    names = ["id", "subject", "seed"]
    for row in others:
        if row.pooled is None or row.samples is None or row.n is None:
            continue
        if all(pooled[name].equals(row.pooled[name]) for name in names):
            return row.samples, row.n
    return int(pd.util.hash_pandas_object(pooled[names], index=False).sum()), int(pooled["id"].nunique())


def _row(others: Sequence[Row], protocol_id: str, entry: str, method: str, folders: list[Path], skipped: str) -> Row:
    reason = skipped
    states: Counter[str] = Counter()
    done: list[tuple[Cell, Result]] = []
    for folder in folders:
        try:
            cell = Cell.read(folder)
        except InvalidFile as error:
            exists = (folder / "cell.json").exists()
            states["missing" if exists or not skipped else "skipped"] += 1
            reason = reason or (str(error) if exists else "")
            continue
        status = cell.status()
        state = "missing" if status.state == "planned" else status.state
        result = cell.result() if state == "done" else None
        if result is not None:
            done.append((cell, result))
        elif status.message and not reason:
            where = "" if state == "skipped" else f"fold {cell.fold}, seed {cell.seed}: "
            reason = f"{where}{status.message}"
        states[state] += 1
    if not done:
        return Row(protocol_id, entry, method, len(folders), states, reason)
    cell, results = done[0][0], [result for _, result in done]
    if reason == skipped and len(done) == len(folders):
        reason = ""  # it ran before it was skipped
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
    digests = {(r.protocol_digest, r.representation_digest) for r in results}
    mixed = ""
    if len(digests) > 1:
        mixed = f"its folds were run on {len(digests)} different states of the data; run with --overwrite"
    elif len({cell.selection for cell, _ in done}) > 1:
        mixed = f"the epochs of its folds were chosen by different rules ({row.selection}); run with --overwrite"
    if len(done) < len(folders) or mixed:
        return replace(row, reason=row.reason or mixed)
    protocol = registry.find_protocol(protocol_id)
    pooled = read_tables(protocol, [cell.folder / "predictions.parquet" for cell, _ in done], [r.n for r in results])
    pooled["seed"] = np.repeat([cell.seed for cell, _ in done], [r.n for r in results])
    outputs, truth = arrays(protocol, pooled)
    if protocol.task == "classification":
        truth, _ = class_indices(outputs, truth, protocol.classes)  # names are looked up once
    headline = HEADLINE[protocol.task]
    each = [r.metrics[headline] for r in results if headline in r.metrics]
    metrics = score(protocol.task, outputs, truth, protocol.classes, protocol.tested) | _item_metrics(protocol, done)
    subjects = pooled["subject"].to_numpy(dtype=object)
    draws = (
        resample_metric(protocol.task, headline, outputs, truth, protocol.classes, subjects)
        if headline in metrics
        else None
    )
    samples, n = _counted(pooled, others)
    row = replace(
        row,
        metrics=metrics,
        interval=draws.interval() if draws else None,
        fold_sd=float(np.std(each, ddof=1)) if len(each) > 1 else None,
        n=n,
        pooled=pooled,
        scored=(outputs, truth),
        draws=draws,
        samples=samples,
    )
    return replace(row, optimism=optimism(row))


def _item_metrics(protocol: Protocol, done: list[tuple[Cell, Result]]) -> dict[str, float]:
    """Metrics of single items, for samples of several items, as `item_<name>`."""
    files = [cell.folder / "items.parquet" for cell, _ in done]
    if not all(file.exists() for file in files):
        return {}
    outputs, truth = arrays(protocol, pd.concat([read_table(file) for file in files], ignore_index=True))
    found = score(protocol.task, outputs, truth, protocol.classes, protocol.tested)
    return {f"item_{name}": value for name, value in found.items()}
