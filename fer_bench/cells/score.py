"""Scoring one cell: predict its test fold on one device, save the predictions, and measure the saved file."""

import platform
import shutil
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader

from fer_bench import __version__
from fer_bench.cells.cell import Cell
from fer_bench.cells.face_measures import measure_faces, save_meshes
from fer_bench.cells.fit import build, divided, load_checkpoint, make_trainer
from fer_bench.data.fold_batches import FoldDataModule
from fer_bench.errors import FerBenchError
from fer_bench.methods.base import Method
from fer_bench.metrics import score as measure
from fer_bench.predictions.pooling import arrays
from fer_bench.protocols import Protocol
from fer_bench.records import OUTPUT, Batch, Result, atomic_write
from fer_bench.stats.bootstrap import HEADLINE, LOWER_IS_BETTER


def score(cell: Cell) -> Result:
    """Write `predictions.parquet` and `result.json` of a trained cell, and row for row where the method gives them the
    features of samples, `features.npy`, or the meshes that it predicts and their codes, `identity.npy`. Scores of the
    validation samples are left in `validation.parquet`, for fusions to choose their weights by.

    A sample is what the protocol's index has a row of. Where the representation makes several items of one, as of the
    windows of a sequence, the sample's scores are the mean of its items' raw scores; each item counts for itself in
    `items.parquet` and in the metrics `item_*`, which is how MiT's authors scored BU-4DFE.

    Of a cell whose epoch is to be the best on the test samples, `honest.parquet` has the predictions of the epoch that
    would have been chosen without them. The kept epochs are deleted in the end; `best.ckpt` is then the one chosen.

    Raises:
        InvalidFile: a checkpoint is missing or damaged.
        RuntimeError: the predicted ids are not exactly the fold's test ids.
    """
    best, honest = cell.checkpoints / "best.ckpt", None
    data, method = build(cell)
    data.batch_size = divided(data.batch_size, cell)
    trainer, chosen = predictor(cell), best
    if cell.selection == "best_on_test":
        (*_, stage) = (stage for stage in method.stages if stage.epochs)
        epochs = [cell.kept / f"{n:04d}.ckpt" for n in range(cell.trainer["max_epochs"] or stage.epochs)]
        done = cell.result()
        if done is not None and not all(path.exists() for path in epochs):  # it was stopped after all but tidying up
            shutil.rmtree(cell.kept, ignore_errors=True)
            return done
        honest = load_checkpoint(best)
        _write(cell.folder / "honest.parquet", _tested(trainer, data, method, honest))
        chosen = _best_on_test(cell, trainer, data, method, epochs)
    checkpoint = load_checkpoint(chosen)
    method.load_state_dict(checkpoint["state_dict"])
    items, found = predict(trainer, method, data.predict_dataloader())
    meshes = data.protocol.task == "disentanglement"
    outputs, features = measure_faces(data, items, found) if meshes else found["output"], found.get("features")
    ids, means = _one_each(items, outputs)
    if sorted(ids) != sorted(data.fold.test):
        raise RuntimeError(
            f"{cell.id}: predicted {len(ids)} samples that are not the {len(data.fold.test)} of the fold"
        )
    path = cell.folder / "predictions.parquet"
    write_predictions(path, data, ids, means)
    if meshes:
        save_meshes(cell.folder, items, found)
    elif data.fold.val:
        others, chosen_by = predict(trainer, method, data.val_dataloader())
        write_predictions(cell.folder / "validation.parquet", data, *_one_each(others, chosen_by["output"]))
    if features is not None and ids == items:
        with atomic_write(cell.folder / "features.npy") as file:
            np.save(file, features[np.argsort(ids, kind="stable")], allow_pickle=False)
    metrics = measure_file(path, data.protocol)
    if len(items) > len(ids):
        path = cell.folder / "items.parquet"
        write_predictions(path, data, items, outputs)
        metrics |= {f"item_{name}": value for name, value in measure_file(path, data.protocol).items()}
    status = cell.status()
    result = Result(
        metrics=metrics,
        n=len(ids),
        broken=_broken_in_fold(data, cell.fold),
        protocol_digest=cell.protocol_digest,
        representation_digest=cell.representation["digest"],
        provenance=cell.provenance,
        parameters=method.num_parameters if cell.parameters is None else cell.parameters,
        epochs=status.epoch,
        selected_epoch=int(checkpoint["epoch"]),
        fit_seconds=status.fit_seconds,
        epoch_seconds=status.epoch_seconds,
        divided=status.divided,
        versions=versions(),
        honest_epoch=None if honest is None else int(honest["epoch"]),
    )
    result.write(cell.folder / "result.json")
    if honest is not None:
        chosen.replace(best)
        shutil.rmtree(cell.kept)
    return result


def _best_on_test(cell: Cell, trainer: L.Trainer, data: FoldDataModule, method: Method, epochs: list[Path]) -> Path:
    """Of some checkpoints the one whose predictions of the test samples are the best by the headline metric; the first
    of those that are."""
    protocol = data.protocol
    metric = HEADLINE[protocol.task]
    values = []
    for path in epochs:
        table = _tested(trainer, data, method, load_checkpoint(path))
        metrics = measure(protocol.task, *arrays(protocol, table), protocol.classes, protocol.tested)
        if metric not in metrics:
            raise FerBenchError(f"{cell.id}: best_on_test chooses by {metric}, which {cell.method} does not give.")
        values.append(metrics[metric])
    return epochs[int(np.argmin(values) if protocol.task in LOWER_IS_BETTER else np.argmax(values))]


def _tested(trainer: L.Trainer, data: FoldDataModule, method: Method, checkpoint: dict[str, Any]) -> pd.DataFrame:
    """The predictions of the test samples by the weights of a checkpoint."""
    method.load_state_dict(checkpoint["state_dict"])
    items, found = predict(trainer, method, data.predict_dataloader())
    outputs = measure_faces(data, items, found) if data.protocol.task == "disentanglement" else found["output"]
    return _table(data, *_one_each(items, outputs))


def predictor(cell: Cell) -> L.Trainer:
    """A trainer that predicts on one device, for any number of calls."""
    return make_trainer(cell, devices=1, num_nodes=1, logger=False, enable_checkpointing=False)


def predict(trainer: L.Trainer, method: Method, loader: DataLoader[Batch]) -> tuple[list[str], dict[str, np.ndarray]]:
    """Ids and outputs of `Method.predict`; a sample with several items occurs once for each."""
    batches: list[Any] = trainer.predict(method, loader) or []
    ids = [i for batch in batches for i in batch["id"]]
    return ids, {name: torch.cat([b[name] for b in batches]).numpy() for name in batches[0] if name != "id"}


def versions() -> dict[str, str]:
    """What a result was made with."""
    return {"fer_bench": __version__, "torch": torch.__version__, "python": platform.python_version()}


def _one_each(ids: list[str], outputs: np.ndarray) -> tuple[list[str], np.ndarray]:
    """A sample of several rows (windows of a sequence) is scored by the mean of their raw outputs."""
    names, owner, counts = np.unique(np.array(ids, dtype=object), return_inverse=True, return_counts=True)
    if len(names) == len(ids):
        return ids, outputs
    total = np.zeros((len(names), *outputs.shape[1:]), dtype=np.float64)
    np.add.at(total, owner, outputs)
    means = total / counts.reshape(-1, *[1] * (outputs.ndim - 1))
    return names.tolist(), means.astype(outputs.dtype)


def write_predictions(path: Path, data: FoldDataModule, ids: list[str], outputs: np.ndarray) -> None:
    """Columns `id`, `subject` (the id where it is unknown), the truth (`label`, or `valence` and `arousal`) and raw
    scores, one an output, sorted by id."""
    _write(path, _table(data, ids, outputs))


def _table(data: FoldDataModule, ids: list[str], outputs: np.ndarray) -> pd.DataFrame:
    truth = ["valence", "arousal"] if data.protocol.task == "valence_arousal" else ["label"]
    table = pd.DataFrame(outputs, columns=[f"{OUTPUT}{name}" for name in data.protocol.outputs])
    table.insert(0, "id", pd.array(ids, dtype="string"))
    samples = data.samples
    known = samples[["id", "subject", *truth]].assign(subject=samples["subject"].fillna(samples["id"]))
    return known.merge(table, on="id", validate="one_to_many").sort_values("id", kind="stable")


def _write(path: Path, table: pd.DataFrame) -> None:
    with atomic_write(path) as file:
        table.to_parquet(file, index=False)


def measure_file(path: Path, protocol: Protocol) -> dict[str, float]:
    """The metrics of a predictions file."""
    table = pd.read_parquet(path)
    return measure(protocol.task, *arrays(protocol, table), protocol.classes, protocol.tested)


def _broken_in_fold(data: FoldDataModule, fold: int) -> int:
    """Test samples of the fold that were left out because their files cannot be read."""
    broken = data.entry.broken
    return sum(i in broken for i in data.protocol.folds(data.samples)[fold].test) if broken else 0
