"""Three training steps of a cell, to estimate its time and memory."""

import resource
import statistics
import sys
import time
from dataclasses import asdict
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback

from fer_bench.cells.cell import Cell
from fer_bench.cells.fit import build, make_trainer
from fer_bench.cells.forecast import Probe
from fer_bench.records import write_json

STEPS = 3
"""Steps of each stage; the first is not counted: it fills caches and compiles."""


def probe(cell: Cell) -> None:
    """Write `probe.json`. Nothing is kept of the training."""
    begun = time.monotonic()
    data, method = build(cell)
    data.drop_test_samples()
    method.setup_from_training_set(data.training_set())
    built = time.monotonic() - begun
    training = validation = 0.0  # of all epochs; of a batch
    validated = length = 0
    for stage in (stage for stage in method.stages if stage.epochs):
        method.on_stage_start(stage)
        data.batch_size, data.sampling = stage.batch_size, stage.sampling
        watch = _Watch()
        trainer = make_trainer(
            cell,
            devices=1,
            num_nodes=1,
            max_epochs=1,
            limit_train_batches=STEPS,
            limit_val_batches=STEPS,
            logger=False,
            enable_checkpointing=False,
            callbacks=[watch],
        )
        trainer.fit(method, data)
        steps = len(data.train_dataloader())
        validated = len(data.val_dataloader())
        length = cell.trainer["max_epochs"] or stage.epochs
        validation = watch.typical(watch.validated)
        # Processes that train together share the steps of an epoch.
        training += length * (steps * watch.typical(watch.trained) + validated * validation) / cell.processes
    # The test fold and the validation samples are predicted once more; the test fold also by every epoch that was kept.
    predicted = 1 + (length + 1 if cell.selection == "best_on_test" else 0)
    scored = validation * (validated + predicted * len(data.predict_dataloader()))
    gpu = torch.cuda.is_available() and cell.trainer["accelerator"] != "cpu"
    measured = Probe(
        seconds=round(2 * built + training + scored, 3),  # to train and to score are two processes
        memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        device_memory=int(torch.cuda.max_memory_reserved()) if gpu else 0,
        threads=torch.get_num_threads(),
        device=torch.cuda.get_device_name() if gpu else "CPU",
    )
    write_json(cell.folder / "probe.json", asdict(measured))


class _Watch(Callback):
    """How long steps take, from the end of one to the end of the next."""

    def __init__(self) -> None:
        self.trained: list[float] = []
        self.validated: list[float] = []
        self.last = 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        self.last = time.monotonic()

    def on_validation_epoch_start(self, *_: Any) -> None:
        self.last = time.monotonic()

    def on_train_batch_end(self, *_: Any) -> None:
        self._ended(self.trained)

    def on_validation_batch_end(self, *_: Any) -> None:
        self._ended(self.validated)

    def _ended(self, steps: list[float]) -> None:
        now = time.monotonic()
        steps.append(now - self.last)
        self.last = now

    @staticmethod
    def typical(steps: list[float]) -> float:
        """Median seconds, without the first step unless it is the only one."""
        return statistics.median(steps[1:] or steps) if steps else 0.0
