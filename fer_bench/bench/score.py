"""Scoring one cell: predict its test fold on one device, save the predictions, and measure the saved file."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from fer_bench import __version__
from fer_bench.bench import registry
from fer_bench.bench.cell import Cell
from fer_bench.bench.fit import build, make_trainer
from fer_bench.errors import InvalidFile
from fer_bench.metrics import score as measure
from fer_bench.records import OUTPUT, Result, atomic_write
from fer_bench.representations.cache import CacheEntry


def score(cell: Cell) -> Result:
    """Write `predictions.parquet` and `result.json` of a trained cell.

    Raises:
        InvalidFile: the checkpoint is missing or damaged.
        RuntimeError: the predicted ids are not exactly the fold's test ids.
    """
    data, method = build(cell)
    checkpoint = _load_checkpoint(cell.checkpoints / "best.ckpt")
    method.load_state_dict(checkpoint["state_dict"])
    trainer = make_trainer(cell, devices=1, num_nodes=1, logger=False, enable_checkpointing=False)
    batches: list[Any] = trainer.predict(method, data) or []
    outputs = torch.cat([batch["output"] for batch in batches]).numpy()
    ids, outputs = _one_each([i for batch in batches for i in batch["id"]], outputs)
    if sorted(ids) != sorted(data.fold.test):
        raise RuntimeError(
            f"{cell.id}: predicted {len(ids)} samples that are not the {len(data.fold.test)} of the fold"
        )
    path = cell.folder / "predictions.parquet"
    _write_predictions(path, cell, data.index(data.root), ids, outputs)
    status = cell.status()
    result = Result(
        metrics=_measure_file(path, cell),
        n=len(ids),
        broken=_broken_in_fold(cell),
        protocol_digest=cell.protocol_digest,
        representation_digest=cell.representation["digest"],
        provenance=cell.provenance,
        parameters=cell.parameters,
        epochs=status.epoch,
        selected_epoch=int(checkpoint["epoch"]),
        fit_seconds=status.fit_seconds,
        versions={"fer_bench": __version__, "torch": torch.__version__, "python": platform.python_version()},
    )
    result.write(cell.folder / "result.json")
    return result


def _one_each(ids: list[str], outputs: np.ndarray) -> tuple[list[str], np.ndarray]:
    """A sample of several rows (windows of a sequence) is scored by the mean of their raw outputs."""
    names, owner, counts = np.unique(np.array(ids, dtype=object), return_inverse=True, return_counts=True)
    if len(names) == len(ids):
        return ids, outputs
    total = np.zeros((len(names), *outputs.shape[1:]), dtype=np.float64)
    np.add.at(total, owner, outputs)
    means = total / counts.reshape(-1, *[1] * (outputs.ndim - 1))
    return names.tolist(), means.astype(outputs.dtype)


def _load_checkpoint(path: Path) -> dict[str, Any]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InvalidFile(path, "is missing", "Run the suite with --overwrite to train the cell again.") from None
    except Exception as error:  # torch raises many kinds for a damaged file
        raise InvalidFile(
            path, f"cannot be loaded ({error})", "Run the suite with --overwrite to train the cell again."
        ) from None


def _write_predictions(path: Path, cell: Cell, index: pd.DataFrame, ids: list[str], outputs: np.ndarray) -> None:
    """Columns `id`, `subject` (the id where nobody knows it), the truth (`label`, or `valence` and `arousal`) and raw
    scores, one an output, sorted by id."""
    protocol = registry.find_protocol(cell.protocol)
    names = protocol.outputs
    truth = ["valence", "arousal"] if protocol.task == "valence_arousal" else ["label"]
    table = pd.DataFrame(outputs, columns=[f"{OUTPUT}{name}" for name in names])
    table.insert(0, "id", pd.array(ids, dtype="string"))
    known = index[["id", "subject", *truth]].assign(subject=index["subject"].fillna(index["id"]))
    table = known.merge(table, on="id", validate="one_to_one")
    with atomic_write(path) as file:
        table.sort_values("id").to_parquet(file, index=False)


def _measure_file(path: Path, cell: Cell) -> dict[str, float]:
    protocol = registry.find_protocol(cell.protocol)
    table = pd.read_parquet(path)
    outputs = table[[f"{OUTPUT}{name}" for name in protocol.outputs]].to_numpy(dtype=np.float64)
    dtype = float if protocol.task == "valence_arousal" else object
    truth = np.array(protocol.truth(table), dtype=dtype)
    return measure(protocol.task, outputs, truth, protocol.classes, protocol.tested)


def _broken_in_fold(cell: Cell) -> int:
    """Test samples of the fold that were left out because their files cannot be read."""
    protocol = registry.find_protocol(cell.protocol)
    broken = CacheEntry(Path(cell.cache)).broken
    if not broken:
        return 0
    whole = protocol.folds(registry.load_dataset(cell.dataset).index(Path(cell.root)))[cell.fold]
    return sum(i in broken for i in whole.test)
