"""`fer-bench repeat CELL`: whether a finished cell gives the same predictions again."""

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fer_bench import registry
from fer_bench.cells.cell import Cell, last_run
from fer_bench.cells.finished_cell import finished_cell
from fer_bench.cells.manifest import FILE
from fer_bench.errors import FerBenchError, InvalidFile
from fer_bench.launch import worker
from fer_bench.launch.server import preload_for
from fer_bench.predictions.pooling import read_table
from fer_bench.processes import fork_server
from fer_bench.protocols import Protocol
from fer_bench.protocols.base import join
from fer_bench.records import OUTPUT, read_json
from fer_bench.representations.cache_entry import CacheEntry
from fer_bench.representations.joined_entries import left_out
from fer_bench.stats.bootstrap import HEADLINE
from fer_bench.terminal import console

_AGAIN = "Run the suite with --overwrite."


@dataclass(frozen=True)
class Drift:
    """The differences between two runs of a cell.

    Attributes:
        identical: Whether every saved number is the same, bit for bit.
        samples: Number of predicted samples.
        changed: Samples with another predicted class, or set of classes; None for tasks without classes.
        largest, mean: Absolute difference of the outputs.
        metric, before, after: The task's headline metric.
        differences: Entries that differ between the manifests: `fit.versions.torch: 2.11.0, now 2.12.0`.
    """

    identical: bool
    samples: int
    changed: int | None
    largest: float
    mean: float
    metric: str
    before: float
    after: float
    differences: tuple[str, ...]


def repeat(folder: Path, times: int = 1) -> bool:
    """Run a finished cell again `times` times, each in a temporary folder next to it, and print the drift; True when
    every run gave the same bits.

    Raises:
        FerBenchError: the folder holds no finished cell of a method, its data are missing or changed, or it failed.
    """
    cell = finished_cell(folder)
    protocol = registry.find_protocol(cell.protocol)
    _check_data(cell, protocol)
    threads = _threads(cell)
    same = True
    for number in range(times):
        start = time.monotonic()
        with _beside(cell) as again:
            with console.status(f"running {cell.id} again ..."):
                _run(again, "fit", threads)
                if again.processes > 1:
                    _run(again, "score", threads)
            found = compare(cell, again, protocol)
        same &= found.identical
        of = f" ({number + 1} of {times})" if times > 1 else ""
        console.print(f"{cell.id}: run again in {time.monotonic() - start:.0f} s{of}", highlight=False)
        for line in _told(found):
            console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
    return same


def compare(first: Cell, second: Cell, protocol: Protocol) -> Drift:
    """The drift between two finished runs of a cell; raises `InvalidFile`."""
    (ids, outputs), (other_ids, others) = (_outputs(cell, protocol) for cell in (first, second))
    if ids != other_ids:
        raise InvalidFile(first.folder / "predictions.parquet", "is not of the fold's samples", _AGAIN)
    distances = np.abs(outputs - others)[~(np.isnan(outputs) & np.isnan(others))]
    changed = None
    if protocol.task == "classification":
        changed = int((outputs.argmax(1) != others.argmax(1)).sum())
    elif protocol.task == "multilabel":
        changed = int(((outputs > 0) != (others > 0)).any(1).sum())
    metric = HEADLINE[protocol.task]
    results = [cell.result() for cell in (first, second)]
    before, after = (float("nan") if result is None else result.metrics.get(metric, float("nan")) for result in results)
    return Drift(
        identical=outputs.tobytes() == others.tobytes() and _arrays(first) == _arrays(second),
        samples=len(outputs),
        changed=changed,
        largest=float(distances.max(initial=0.0)),
        mean=float(distances.mean()) if distances.size else 0.0,
        metric=metric,
        before=before,
        after=after,
        differences=tuple(_differences(_manifest(first), _manifest(second))),
    )


def _told(drift: Drift) -> Iterator[str]:
    if drift.identical:
        yield f"predictions of {drift.samples} samples: identical, bit for bit"
    else:
        classes = "" if drift.changed is None else f"{drift.changed} change class, and "
        apart = f"outputs differ by {drift.largest:.3g} at most and {drift.mean:.3g} on average"
        yield f"predictions of {drift.samples} samples: different; {classes}{apart}"
    yield f"{drift.metric}: {drift.before:.6g}, now {drift.after:.6g}"
    yield "code, versions, hardware: " + ("different" if drift.differences else "the same")
    for difference in drift.differences:
        yield f"  {difference}"


def _check_data(cell: Cell, protocol: Protocol) -> None:
    """Raise `FerBenchError` where the data or the folds are not those of the first run."""
    entries = {part.dataset: CacheEntry(Path(part.cache)) for part in cell.parts}
    indices, origins = {}, []
    for part in cell.parts:
        root, entry = Path(part.root), entries[part.dataset]
        if not root.is_dir():
            raise FerBenchError(f"{cell.id}: its data are gone; there is no folder {root}.")
        if not entry.path.is_dir():
            raise FerBenchError(
                f"{cell.id}: its inputs are no longer in the cache ({entry.path}); extract them with "
                f"`fer-bench run {cell.suite}`, which runs no finished cell again."
            )
        dataset = registry.load_dataset(part.dataset)
        source = dataset.source(root)
        if source.digest != entry.manifest["source"]:
            raise FerBenchError(f"{cell.id}: its data have changed; files in {root} are not those it was run on.")
        indices[part.dataset] = dataset.index(root)
        origins.append(source.provenance)
    index = next(iter(indices.values())) if len(indices) == 1 else join(indices)
    digest = protocol.digest(index, " and ".join(dict.fromkeys(origins)), left_out(entries))
    if digest != cell.protocol_digest:
        raise FerBenchError(
            f"{cell.id}: {protocol.id} has another snapshot of these data now (its digest is {digest}, and was "
            f"{cell.protocol_digest})."
        )


def _threads(cell: Cell) -> int:
    """Threads of the first run: sums depend on their number in the last digits; 1 where it is unknown."""
    known = last_run(_manifest(cell), "fit").get("threads")
    return known if isinstance(known, int) and known > 0 else 1


@contextmanager
def _beside(cell: Cell) -> Iterator[Cell]:
    """The cell in a temporary folder next to its own."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{cell.folder.name}.repeat-", dir=cell.folder.resolve().parent))
    except OSError as error:
        raise FerBenchError(f"{cell.folder.parent}: no folder can be made there ({error.strerror}).") from None
    try:
        again = replace(cell, folder=folder, loggers=())
        again.write()
        again.report("planned", divided=cell.status().divided)  # of the batch that it was trained with
        yield again
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(cell: Cell, stage: str, threads: int) -> None:
    """Run a stage in a process, as the launcher does."""
    process = fork_server(*preload_for([cell])).Process(
        target=worker.main, args=(cell.folder, stage, threads, None), name=cell.id
    )
    process.start()
    try:
        process.join()
    finally:  # after Ctrl-C, which the process itself ignores
        process.terminate()
        process.join(timeout=5)
        process.kill()
        process.join()
    if process.exitcode != 0:
        text = cell.status().message or f"{stage} ended with exit code {process.exitcode}"
        raise FerBenchError(f"{cell.id}: failed this time; {text.rstrip('.')}.")


def _outputs(cell: Cell, protocol: Protocol) -> tuple[list[str], np.ndarray]:
    """Sorted ids, and outputs (N, outputs)."""
    path = cell.folder / "predictions.parquet"
    table = read_table(path).sort_values("id", ignore_index=True)
    columns = [f"{OUTPUT}{name}" for name in protocol.outputs]
    if missing := [name for name in columns if name not in table]:
        raise InvalidFile(path, f"has no column {missing[0]}", _AGAIN)
    return table["id"].tolist(), table[columns].to_numpy()


def _arrays(cell: Cell) -> dict[str, bytes]:
    """Name -> content of the saved arrays."""
    return {path.name: path.read_bytes() for path in cell.folder.glob("*.npy")}


def _manifest(cell: Cell) -> dict[str, Any]:
    """The cell's manifest; empty where it is missing or damaged."""
    try:
        return read_json(cell.folder / FILE)
    except InvalidFile:
        return {}


def _differences(first: dict[str, Any], second: dict[str, Any]) -> Iterator[str]:
    """Entries of the manifests that differ, without times and memory."""
    for stage in ("fit", "score"):
        before, after = (dict(_flat(last_run(each, stage))) for each in (first, second))
        if not before:
            yield f"{stage}: not known of the first run"
            continue
        for name in sorted(before.keys() | after.keys()):
            decides = name.partition(".")[0] in ("code", "versions", "hardware", "threads", "processes")
            if decides and before.get(name) != after.get(name):
                yield f"{stage}.{name}: {before.get(name)}, now {after.get(name)}"


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
