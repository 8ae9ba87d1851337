"""What follows from a task alone: the plain loss of raw scores, the validation metric, and schedules."""

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any

import lightning.pytorch as L
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassAccuracy, MultilabelF1Score
from torchmetrics.regression import ConcordanceCorrCoef

from fer_bench.records import Target


def prediction_loss(target: Target, outputs: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy of raw scores (B, C) with class indices (B,); of each class for itself with labels (B, C) of 0 and
    1 where several may hold. Squared error of valence and arousal, (B, 2) both."""
    if target.task == "valence_arousal":
        return F.mse_loss(outputs, label)
    if target.task == "multilabel":
        return F.binary_cross_entropy_with_logits(outputs, label.to(outputs.dtype))
    return F.cross_entropy(outputs, label)


def validation_metric(target: Target) -> tuple[str, Metric]:
    """(name, metric) whose maximum selects a checkpoint: accuracy; where several labels may hold, the mean F1 of the
    classes, for an accuracy hardly notices a rare class; the mean concordance of valence and of arousal, for that of
    both in one list, as in Ig3D, is high for two constants. `answers` gives what it takes. Of meshes a mean without a
    name, which selects nothing."""
    count = len(target.outputs)
    if target.task == "disentanglement":
        return "", MeanMetric()
    if target.task == "valence_arousal":
        return "ccc_mean", MeanConcordance(count)
    if target.task == "multilabel":
        return "f1_macro", MultilabelF1Score(count, average="macro")
    return "accuracy", MulticlassAccuracy(count, average="micro")


class MeanConcordance(ConcordanceCorrCoef):
    """Mean over outputs of the concordance of each."""

    def __init__(self, outputs: int) -> None:
        super().__init__(num_outputs=outputs)

    def compute(self) -> Tensor:
        found: Tensor = super().compute()
        return found.mean()


def answers(target: Target, outputs: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Predicted and true classes of raw scores: indices (B,), or presence (B, C), which is a score above 0; valence
    and arousal (B, 2)."""
    if target.task == "valence_arousal":
        return outputs, label
    if target.task == "multilabel":
        return (outputs > 0).int(), label.int()
    return outputs.argmax(-1), label


def cosine_with_warmup(
    optimizer: torch.optim.Optimizer, epochs: int, warmup_epochs: int, warmup_start: float, minimum: float
) -> torch.optim.lr_scheduler.LRScheduler:
    """Per-epoch schedule of timm, as in DeiT: half a cosine from the optimiser's rate at epoch 0 down to `minimum`,
    whose first `warmup_epochs` are replaced by a line from `warmup_start` to that rate.

    Both ends are absolute learning rates, as papers print them. A run shorter than the warm-up never leaves it.
    """
    base = optimizer.param_groups[0]["lr"]
    start, end = min(1.0, warmup_start / base), min(1.0, minimum / base)

    def factor(epoch: int) -> float:
        if epoch < warmup_epochs:
            return start + (1 - start) * epoch / warmup_epochs
        return end + (1 - end) * (1 + math.cos(math.pi * min(1.0, epoch / epochs))) / 2

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def decayed(
    parameters: Iterable[tuple[str, nn.Parameter]], weight_decay: float, spared: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Two groups for an optimiser: matrices, which decay, and biases, norms and what `spared` names, which do not.

    Args:
        parameters: Names and parameters; those without gradient are left out.
        spared: Last parts of names.
    """
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in parameters:
        if parameter.requires_grad:
            plain = parameter.ndim > 1 and name.rpartition(".")[2] not in spared
            (matrices if plain else others).append(parameter)
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def cosine_to_zero(
    optimizer: torch.optim.Optimizer, steps: int, warmup: int, frozen: Collection[int] = (), until: int = 0
) -> torch.optim.lr_scheduler.LRScheduler:
    """Per-step schedule: linear from 0 over `warmup` steps, then half a cosine down to 0 at `steps` (FACET-VLM eq. 27).

    Args:
        frozen: Numbers of the optimiser's groups whose rate is 0 in the first `until` steps.
    """

    def rate(step: int) -> float:
        # The paper counts steps from 1: a first step with a rate of 0 would be lost.
        t = step + 1
        if t <= warmup:
            return t / warmup
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (t - warmup) / max(1, steps - warmup))))

    def after(step: int) -> float:
        return rate(step) if step >= until else 0.0

    rates: list[Callable[[int], float]] = [
        after if number in frozen else rate for number in range(len(optimizer.param_groups))
    ]
    return torch.optim.lr_scheduler.LambdaLR(optimizer, rates)


def steps_per_epoch(module: L.LightningModule) -> int:
    """Optimiser steps an epoch; 1 where no trainer is attached.

    A training that is cut short keeps the schedule of its recipe, whose length is `epochs`.
    """
    try:
        trainer = module.trainer
    except RuntimeError:
        return 1
    return max(1, int(trainer.estimated_stepping_batches) // max(1, trainer.max_epochs or 1))


def cyclic(
    module: L.LightningModule, optimizer: torch.optim.Optimizer, base: float, maximum: float, up: int | None
) -> torch.optim.lr_scheduler.LRScheduler:
    """Per-step schedule: up from `base` to `maximum` in `up` steps, and down again in as many; None takes half an epoch
    (Ig3D Table 1)."""
    up = max(1, steps_per_epoch(module) // 2) if up is None else up
    return torch.optim.lr_scheduler.CyclicLR(optimizer, base, maximum, step_size_up=up, cycle_momentum=False)
