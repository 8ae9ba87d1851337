"""A method of somebody's own, as tests of the launcher need it: quick, and broken in a way that can be chosen."""

import ctypes
import os
import resource
import signal
import time
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from fer_bench.methods.base import Method
from fer_bench.methods.stages import Stage
from fer_bench.records import Batch, Target
from fer_bench.representations.points import Points

Fault = Literal["", "raise", "hang", "memory", "segfault", "kill"]


class Trial(Method):
    """One linear layer on points.

    Args:
        target: The classes.
        fault: What befalls the first step.
        scoring: It befalls the scoring instead.
        once: A file that is made when it does; where it exists, nothing happens any more.
        largest: `memory` befalls batches that are larger.
        pause: Seconds that a step takes longer.
        epochs: Length of training.
        batch_size: Samples a step.
    """

    def __init__(
        self,
        target: Target,
        fault: Fault = "",
        scoring: bool = False,
        once: str = "",
        largest: int = 8,
        pause: float = 0.0,
        epochs: int = 2,
        batch_size: int = 16,
    ) -> None:
        super().__init__(target, (Points(count=16),), Stage("", epochs, batch_size))
        self.fault, self.scoring, self.once, self.largest, self.pause = fault, scoring, once, largest, pause
        self.layer = nn.Linear(48, len(target.outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Scores of points (B, 16, 3)."""
        out: Tensor = self.layer(x.flatten(1))
        return out

    def loss(self, batch: Batch) -> Tensor:
        if self.training and not self.scoring:
            self._break(len(batch["id"]))
        time.sleep(self.pause if self.training else 0.0)
        return nn.functional.cross_entropy(self(batch["input"]), batch["label"])

    def predict_step(self, batch: Batch, number: int) -> dict[str, Any]:
        if self.scoring:
            self._break(len(batch["id"]))
        return super().predict_step(batch, number)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        return torch.optim.Adam(self.parameters())

    def _break(self, samples: int) -> None:
        if not self.fault or (self.once and Path(self.once).exists()):
            return
        if self.fault == "memory" and samples <= self.largest:
            return
        if self.once:
            Path(self.once).touch()
        if self.fault == "raise":
            raise RuntimeError("as asked")
        if self.fault == "hang":
            time.sleep(3600)
        if self.fault == "memory":
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, resource.RLIM_INFINITY))
            torch.zeros(2**30)
        if self.fault == "segfault":
            ctypes.string_at(0)
        os.kill(os.getpid(), signal.SIGKILL)
