"""How FACET-VLM and its baselines tune CLIP: what they start from, what stays frozen, and the schedule."""

from collections.abc import Collection, Iterable

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn

from fer_bench.errors import InvalidSuite
from fer_bench.methods.base import Method
from fer_bench.methods.objectives import cosine_to_zero, decayed, steps_per_epoch
from fer_bench.nn.clip import SIZES, ClipImageTower


def check_size(method: str, size: str, image_size: int, pretrained: bool | str) -> None:
    """Raise `InvalidSuite` where the images do not fit the tower, or its weights the images."""
    if pretrained is True and size != "base":
        raise InvalidSuite(f"{method}: no weights are published for size {size}; set pretrained to false.")
    if pretrained and size == "base" and image_size != 224:
        raise InvalidSuite(f"{method}: image_size is {image_size}, and CLIP's weights were trained on 224 pixels.")
    patch = SIZES[size].patch
    if image_size % patch or image_size < patch:
        raise InvalidSuite(f"{method}: image_size is {image_size}; give a multiple of {patch}.")


def tune(
    method: Method,
    tower: ClipImageTower,
    head: Iterable[tuple[str, nn.Parameter]],
    *,
    spared: Collection[str] = (),
    learning_rate: float,
    tower_factor: float,
    weight_decay: float,
    warmup_epochs: int,
    freeze_epochs: int,
) -> OptimizerLRScheduler:
    """AdamW with the printed rate, betas and decay (FACET-VLM section 3.5), the decay of matrices alone; the tower's
    rate is a part of the head's, and 0 while it is frozen.

    A frozen tower still computes its gradients, which are then multiplied by 0: its parameters must belong to every
    step from the first on, or the processes of a distributed training would never average them.

    A random tower is neither frozen nor slowed: there is nothing in it to preserve.
    """
    pretrained = bool(method.weights)
    factor = tower_factor if pretrained else 1.0
    groups = [
        *({**group, "lr": learning_rate} for group in decayed(head, weight_decay, spared)),
        *(
            {**group, "lr": learning_rate * factor}
            for group in decayed(
                tower.named_parameters(), weight_decay, {"class_embedding", "positional_embedding", "proj"}
            )
        ),
    ]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.999), eps=1e-8)
    steps = steps_per_epoch(method)
    schedule = cosine_to_zero(
        optimizer,
        method.epochs * steps,
        warmup_epochs * steps,
        frozen=(2, 3),
        until=freeze_epochs * steps if pretrained else 0,
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
