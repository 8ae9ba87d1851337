"""What every method shares: the steps, written once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import lightning.pytorch as L
import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy

from fer_bench.records import Batch, Task
from fer_bench.representations.base import Representation


class Method(L.LightningModule, ABC):
    """A system under test.

    A subclass writes `forward`, `loss` and `configure_optimizers`. Its constructor takes `num_classes` first, then its
    recipe with the paper's values as defaults: that signature is its configuration, and a suite may set any of it. The
    steps below log to TensorBoard and CSV and never see a test label: scoring happens elsewhere, on saved predictions.

    Attributes:
        task: The task it is made for; a suite that pairs it with another is refused.
        representation: What it sees of a sample.
        epochs: Length of training.
        batch_size: Samples a step and device.
        monitor: The validation metric, logged each epoch, whose maximum selects the checkpoint.
    """

    task: ClassVar[Task] = "classification"
    monitor: ClassVar[str] = "val/accuracy"

    def __init__(self, num_classes: int, representation: Representation, epochs: int, batch_size: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.representation = representation
        self.epochs = epochs
        self.batch_size = batch_size
        self.val_accuracy = MulticlassAccuracy(num_classes, average="micro")

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Raw scores (B, num_classes) of inputs (B, *representation.shape): what is predicted and scored."""

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Training loss of one batch, a scalar, with augmentation where the paper augments."""

    def training_step(self, batch: Batch, _: int) -> Tensor:
        loss = self.loss(batch)
        self.log("train/loss", loss, on_epoch=True, on_step=False, batch_size=len(batch["id"]), sync_dist=True)
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        outputs = self(batch["input"])
        self.val_accuracy(outputs, batch["label"])
        size = len(batch["id"])
        # The loss of the scored outputs, so that it means the same for every method.
        self.log("val/loss", F.cross_entropy(outputs, batch["label"]), batch_size=size, sync_dist=True)
        self.log("val/accuracy", self.val_accuracy, batch_size=size, prog_bar=True)

    def predict_step(self, batch: Batch, _: int) -> dict[str, Any]:
        return {"id": batch["id"], "output": self(batch["input"]).float().cpu()}

    @property
    def num_parameters(self) -> int:
        """Trainable parameters."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


def cosine_with_warmup(
    optimizer: torch.optim.Optimizer, epochs: int, warmup_epochs: int, warmup_start: float, minimum: float
) -> torch.optim.lr_scheduler.LRScheduler:
    """Per-epoch schedule: linear from `warmup_start` to the optimiser's rate, then half a cosine down to `minimum`.

    Both ends are absolute learning rates, as papers print them. A run shorter than the warm-up never leaves it.
    """
    base = optimizer.param_groups[0]["lr"]
    warmup = torch.optim.lr_scheduler.LinearLR(
        optimizer, start_factor=min(1.0, warmup_start / base), total_iters=max(1, warmup_epochs)
    )
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, T_max=max(1, epochs - warmup_epochs), eta_min=min(minimum, base)
    )
    return torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, cosine], milestones=[warmup_epochs])
