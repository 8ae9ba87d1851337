"""Training one cell. It never sees a test label: the datamodule forgets the test samples before the method sees it."""

import random
import statistics
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from fer_bench import registry
from fer_bench.cells.cell import Cell
from fer_bench.cells.distributed import ShareBatches, together
from fer_bench.cells.trackers import trackers
from fer_bench.data.fold_batches import FoldDataModule
from fer_bench.errors import InvalidFile
from fer_bench.methods.base import Method
from fer_bench.nn.weights import why_unreadable
from fer_bench.protocols.base import join
from fer_bench.records import atomic_write, digest
from fer_bench.representations.cache_entry import CacheEntry
from fer_bench.representations.joined_entries import JoinedEntry
from fer_bench.suites.arguments import resolve_arguments


def open_fold(cell: Cell, batch_size: int) -> FoldDataModule:
    """The cell's datamodule, of one dataset or of several joined."""
    protocol = registry.find_protocol(cell.protocol)
    entries = {part.dataset: CacheEntry(Path(part.cache)) for part in cell.parts}
    if len(cell.parts) == 1:
        part = cell.parts[0]
        dataset = registry.load_dataset(part.dataset)
        return dataset(Path(part.root), protocol, cell.fold, entries[part.dataset], batch_size, cell.seed)
    index = join({part.dataset: registry.load_dataset(part.dataset).index(Path(part.root)) for part in cell.parts})
    return FoldDataModule(index, protocol, cell.fold, JoinedEntry(entries), batch_size, cell.seed)


def build(cell: Cell) -> tuple[FoldDataModule, Method]:
    """The cell's datamodule and method, after seeding."""
    # JSON has no tuples: the arguments go through the constructor's own types again.
    _, arguments = resolve_arguments(cell.entry, {"method": cell.method, **cell.arguments}, cell.id)
    L.seed_everything(cell.seed, verbose=False)
    method = registry.load_method(cell.method)(registry.find_protocol(cell.protocol).target, **arguments)
    data = open_fold(cell, method.batch_size)
    if isinstance(data.entry, CacheEntry):
        method.configure_for_input(data.entry.open().shape[1:], data.entry.shared)
    return data, method


def fit(cell: Cell) -> None:
    """Train, from the last checkpoint if there is one. Leaves `checkpoints/best.ckpt`, of the epoch that the cell's
    selection chooses without the test samples, and `last.ckpt`; for `best_on_test` also every epoch, see `Cell.kept`.

    Every stage but the last leaves `checkpoints/<stage>/end.ckpt`, the weights after its last epoch, from which the
    next one starts: no stage but the last is judged by the validation metric.
    """
    data, method = build(cell)
    data.drop_test_samples()
    if not cell.begun:
        method.initialise()
    method.setup_from_training_set(data.training_set())
    if not method.epochs:
        with atomic_write(cell.checkpoints / "best.ckpt") as file:
            torch.save({"state_dict": method.state_dict(), "epoch": -1}, file)
        return
    stages = [stage for stage in method.stages if stage.epochs]
    lengths = [cell.trainer["max_epochs"] or stage.epochs for stage in stages]
    for number, (stage, length) in enumerate(zip(stages, lengths, strict=True)):
        method.on_stage_start(stage)
        data.batch_size, data.sampling = divided(stage.batch_size, cell), stage.sampling
        past = sum(lengths[:number])
        if stage is stages[-1]:
            _train(cell, data, method, "", length, past, sum(lengths))
            return
        end = cell.checkpoints / stage.name / "end.ckpt"
        if end.exists():
            method.load_state_dict(load_checkpoint(end)["state_dict"])
            continue
        trainer = _train(cell, data, method, stage.name, length, past, sum(lengths))
        if trainer.is_global_zero:
            with atomic_write(end) as file:
                torch.save({"state_dict": method.state_dict(), "epoch": length - 1}, file)
            (end.parent / "last.ckpt").unlink()


def _train(
    cell: Cell, data: FoldDataModule, method: Method, place: str, length: int, past: int, total: int
) -> L.Trainer:
    """One stage, from its last checkpoint if there is one.

    Args:
        place: The folder of its checkpoints and logs, in those of the cell.
        length: Its epochs, `past` those of the stages before it, and `total` those of all stages.
    """
    logs, checkpoints = cell.folder / place, cell.checkpoints / place
    attempt = sum(1 for _ in (logs / "csv").glob("attempt*"))
    # After "best", because it contains that callback's state. Not `save_last`, which saves only when the epoch is
    # the best.
    saved: list[Callback] = [_checkpoint(checkpoints, "last")]
    if past + length == total:
        # Without a monitor each epoch replaces the one before.
        monitor = None if cell.selection == "last" else method.monitor or None
        saved.insert(0, _checkpoint(checkpoints, "best", monitor=monitor, mode="max"))
        if cell.selection == "best_on_test":
            saved.insert(0, KeepEpochs(cell.kept))
    trainer = make_trainer(
        cell,
        max_epochs=length,
        logger=[
            TensorBoardLogger(logs, name="", version="tensorboard"),
            # A continued run writes a new file: the logger would truncate the existing one.
            CSVLogger(logs, name="csv", version=f"attempt{attempt}"),
            *trackers(cell, place),
        ],
        callbacks=[
            ReseedEachEpoch(cell.seed, past),
            ShareBatches(),
            *saved,
            LearningRateMonitor("epoch"),
            ReportProgress(cell, past, total),
        ],
        accumulate_grad_batches=cell.trainer["accumulate_grad_batches"] * cell.status().divided,
        **(together(method) if cell.processes > 1 else {}),
    )
    last = checkpoints / "last.ckpt"
    trainer.fit(method, data, ckpt_path=last if last.exists() else None, weights_only=True)
    return trainer


def divided(batch_size: int, cell: Cell) -> int:
    """Batch size of a cell whose full batches did not fit into memory."""
    return -(-batch_size // cell.status().divided)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds; raises `InvalidFile`."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InvalidFile(path, "is missing", "Run the suite with --overwrite to train the cell again.") from None
    except Exception as error:  # torch raises many kinds for a damaged file
        raise InvalidFile(
            path,
            f"cannot be loaded ({why_unreadable(error)})",
            "Run the suite with --overwrite to train the cell again.",
        ) from None


def _checkpoint(folder: Path, name: str, **options: Any) -> ModelCheckpoint:
    return ModelCheckpoint(folder, filename=name, save_on_train_epoch_end=True, enable_version_counter=False, **options)


def make_trainer(cell: Cell, **options: Any) -> L.Trainer:
    """A trainer with the cell's options and the suite's defaults."""
    chosen = {key: value for key, value in cell.trainer.items() if key != "max_epochs"}
    return L.Trainer(
        **{
            **chosen,
            # Operations without a deterministic kernel warn instead of failing: some GPU scatters have none.
            "deterministic": "warn",
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
            "log_every_n_steps": 1,
            # The datamodule's own sampler divides samples between processes.
            "use_distributed_sampler": False,
            **options,
        }
    )


class ReseedEachEpoch(Callback):
    """Makes an epoch's random numbers a function of seed and epoch, so that a run continued from the checkpoint of an
    epoch draws what the uninterrupted run drew. Processes that train together draw the same numbers, see
    `fer_bench.nn.global_batch`."""

    def __init__(self, seed: int, past: int = 0) -> None:
        self.seed, self.past = seed, past

    def on_train_epoch_start(self, trainer: L.Trainer, method: L.LightningModule) -> None:
        number = int(digest({"seed": self.seed, "epoch": self.past + trainer.current_epoch, "rank": 0}, 8), 16)
        torch.manual_seed(number)
        np.random.seed(number)
        random.seed(number)


class KeepEpochs(Callback):
    """Keeps the weights of each epoch as `<folder>/<epoch>.ckpt`. An epoch that is in `last.ckpt` is kept: Lightning
    saves its checkpoints after all other callbacks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_epoch_end(self, trainer: L.Trainer, method: L.LightningModule) -> None:
        if trainer.is_global_zero:
            with atomic_write(self.folder / f"{trainer.current_epoch:04d}.ckpt") as file:
                torch.save({"state_dict": method.state_dict(), "epoch": trainer.current_epoch}, file)


class ReportProgress(Callback):
    """Writes epoch, of all stages, validation metric and training time to the cell's status."""

    def __init__(self, cell: Cell, past: int, total: int) -> None:
        self.cell, self.past, self.total = cell, past, total
        self.before = cell.status().fit_seconds
        self.start = self.last = 0.0
        self.epochs: list[float] = []

    def on_train_start(self, trainer: L.Trainer, method: L.LightningModule) -> None:
        # Not before: until here the processes of a distributed training import and find each other.
        self.start = self.last = time.monotonic()
        self._report(trainer, trainer.current_epoch)

    def on_train_epoch_end(self, trainer: L.Trainer, method: Method) -> None:  # type: ignore[override]
        now = time.monotonic()
        self.epochs.append(now - self.last)
        self.last = now
        value = trainer.callback_metrics.get(method.monitor)
        self._report(trainer, trainer.current_epoch + 1, None if value is None else float(value))

    def _report(self, trainer: L.Trainer, epoch: int, value: float | None = None) -> None:
        if trainer.is_global_zero:
            seconds = self.before + time.monotonic() - self.start
            # The first epoch fills caches and compiles.
            typical = statistics.median(self.epochs[1:] or self.epochs) if self.epochs else None
            self.cell.report(
                "running",
                epoch=self.past + epoch,
                epochs=self.total,
                monitor=value,
                fit_seconds=round(seconds, 3),
                epoch_seconds=typical,
            )
