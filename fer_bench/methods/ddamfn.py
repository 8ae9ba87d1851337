"""DDAMFN, a mixed feature network with dual-direction attention (Zhang et al., Electronics 12, 2023)."""

import sys
from pathlib import Path
from typing import Literal

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional as F

from fer_bench.methods.base import Method
from fer_bench.methods.stages import Stage
from fer_bench.nn.ddamfn import CHOSEN, FACES, DDAMFNetwork, load_ddamfn, spread_of_heads
from fer_bench.nn.global_batch import average, gather
from fer_bench.nn.photo_augmentation import PhotoAugmentation, Recipe
from fer_bench.nn.weights import find_weights, holds, weights_label
from fer_bench.records import Batch, Sampling, Target
from fer_bench.representations.crops import Alignment
from fer_bench.representations.image import Image


class DDAMFN(Method):
    """Mixed depthwise convolutions of several widths, and attention maps by row and column, of which the largest counts
    at each place; cross-entropy, and a term that keeps the maps of the heads apart. Ig3D's image branch.

    The defaults are the public code's for AffectNet; on RAF-DB it has SGD (`optimizer: sgd`, `learning_rate: 0.01`,
    `weight_decay: 1.0e-4`, `gamma: 0.1`, `step_epochs: 10`, `augmentation: ddamfn-rafdb`, `sampling: all`). It keeps
    the best epoch on the test set; here validation chooses. Its users reach 90 to 91 % on RAF-DB with it, not the
    printed 92.34 %, and much less with photographs that were aligned otherwise.

    Cite: Zhang, Zhang, Zhang, Wang, Song, "A dual-direction attention mixed feature network for facial expression
    recognition", Electronics 12(17), 2023.

    Args:
        target: The expressions.
        heads: Attention maps. Ig3D's intermediate fusion has one.
        alignment: Of the photographs, see `Image`.
        pretrained: True starts from the backbone trained on faces of MS-Celeb-1M (`MFN_msceleb.pth`), as paper and code
            do; it is distributed as a pickled module and must be converted once. A path starts from a state dict of the
            backbone alone or from a trained checkpoint of the public code (`model_state_dict`). False starts at random.
        head: `new` starts the classifier at random. `affectnet` or `rafdb` takes that of the checkpoint, whose classes
            are in that order.
        apart: Weight of the term that keeps heads apart, pairs / (sum of their mean squared differences).
        augmentation: See `PhotoAugmentation`.
        optimizer: `adam`, or `sgd` with a momentum of 0.9.
        learning_rate: Its rate.
        weight_decay: Of all parameters.
        gamma: The rate is multiplied by it every `step_epochs` epochs.
        step_epochs: See `gamma`.
        sampling: See `Stage`. Class-balanced on AffectNet.
        epochs: Length of training.
        batch_size: Samples a step and device.
    """

    def __init__(
        self,
        target: Target,
        heads: int = 2,
        alignment: Alignment = "given",
        pretrained: bool | str = True,
        head: Literal["new", "affectnet", "rafdb"] = "new",
        apart: float = 0.1,
        augmentation: Recipe = "ddamfn-affectnet",
        optimizer: Literal["adam", "sgd"] = "adam",
        learning_rate: float = 1e-4,
        weight_decay: float = 0.0,
        gamma: float = 0.6,
        step_epochs: int = 1,
        sampling: Sampling = "balanced",
        epochs: int = 40,
        batch_size: int = 256,
    ) -> None:
        super().__init__(target, (Image(size=112, alignment=alignment),), Stage("", epochs, batch_size, sampling))
        self.pretrained, self.head, self.apart = pretrained, head, apart
        self.optimizer, self.learning_rate, self.weight_decay = optimizer, learning_rate, weight_decay
        self.gamma, self.step_epochs = gamma, step_epochs
        self.weights = weights_label(pretrained, FACES)
        self.augmentation = PhotoAugmentation(augmentation)
        self.network = DDAMFNetwork(len(target.outputs), heads)

    def fetch(self) -> Path | None:
        path = find_weights(self.pretrained, FACES)
        if path is not None and holds(path, "cat_head0"):
            self.unsound = CHOSEN
        return path

    def initialise(self) -> None:
        if (path := self.fetch()) is not None:
            load_ddamfn(self.network, path, self.target.outputs, self.head)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, C) of uint8 photographs (B, 3, 112, 112)."""
        return self.predict(x)["output"]

    def predict(self, x: Tensor) -> dict[str, Tensor]:
        found, _ = self.network.features_of(self.augmentation(x))
        return {"output": self.network.fc(found), "features": found}

    def loss(self, batch: Batch) -> Tensor:
        logits, maps = self.network(self.augmentation(batch["input"]))
        loss = F.cross_entropy(gather(logits), gather(batch["label"]))
        if self.apart and len(maps) > 1:
            loss = loss + self.apart * heads_apart(average(spread_of_heads(maps), len(logits)), len(maps))
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        optimizer: torch.optim.Optimizer
        if self.optimizer == "sgd":
            optimizer = torch.optim.SGD(parameters, self.learning_rate, 0.9, weight_decay=self.weight_decay)
        else:
            optimizer = torch.optim.Adam(parameters, self.learning_rate, weight_decay=self.weight_decay)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, self.step_epochs, self.gamma)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "epoch"}}


def heads_apart(spread: Tensor, heads: int) -> Tensor:
    """The public code's term that keeps attention maps apart, a scalar: pairs / (`spread` + eps), the sum of their mean
    squared differences and the smallest relative step of a double."""
    return heads * (heads - 1) / 2 / (spread + sys.float_info.epsilon)
