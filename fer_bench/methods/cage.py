"""CAGE: valence and arousal of a MaxViT that has learned expressions first (Wagner et al., CVPR Workshops 2024)."""

from pathlib import Path

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from fer_bench.errors import InvalidSuite
from fer_bench.methods.affect_losses import concordant, rated, train_one, with_errors
from fer_bench.methods.base import Method
from fer_bench.methods.objectives import steps_per_epoch
from fer_bench.methods.stages import Stage
from fer_bench.nn.ddamfn import CHOSEN
from fer_bench.nn.maxvit import IMAGENET, MaxViT, Size, head, load_maxvit, trained_on_affect
from fer_bench.nn.photo_augmentation import PhotoAugmentation, Recipe
from fer_bench.nn.weights import find_weights, read_weights, weights_label
from fer_bench.records import Batch, Sampling, Target
from fer_bench.representations.crops import Alignment
from fer_bench.representations.image import Image


class CAGE(Method):
    """MaxViT-T with ten outputs, the eight expressions and valence and arousal, by weighted cross-entropy and squared
    error (Ig3D eq. 2); then with two, by concordance and squared error (eq. 3), on as many photographs of each
    expression as the rarest has. Ig3D's image branch for valence and arousal.

    Eq. 3 adds L_CCC where the code subtracts the coefficient; here 1 - CCC is added, which has the same gradient. The
    code's cosine takes 2,560 steps whatever an epoch has, so that the rate rises again; it does here too, unless
    `cosine_steps` is None. The code keeps the epoch of the lowest loss on the test split; here the validation part of
    the training split chooses, by concordance.

    Cite: Wagner, Mätzler, Vossberg, Schneider, Pavlitska, Zöllner, "CAGE: Circumplex affect guided expression
    inference", CVPR Workshops 2024.

    Args:
        target: Valence and arousal.
        size: `tiny` is MaxViT-T, 30,412,744 parameters with ten outputs and 30,408,648 with two; `nano` is ours, for
            CPUs.
        image_size: Pixels across; 224 for `tiny`.
        alignment: Of the photographs, see `Image`.
        pretrained: True starts from torchvision's ImageNet weights without their classifier, as paper and code do. A
            path starts from that file (`maxvit_t-bc5ab103.pth`), or from a state dict in CAGE's own layout
            (`classifier.5.weight`, `classifier.6.weight`). False starts at random.
        augmentation: See `PhotoAugmentation`.
        learning_rate: Of AdamW. CAGE's paper has 5e-5, its code 4e-5.
        weight_decay: Of all parameters; torch's default.
        cosine_steps: Half a period of the rate's cosine; None takes the whole training.
        dropout: Before the last layer of two outputs.
        sampling: Of the training with two outputs, see `Stage`.
        epochs: With ten outputs, and with two; of ten alone, two of the ten are scored.
        batch_size: Photographs a step and device.

    Raises:
        InvalidSuite: the photographs do not fit the network.
    """

    tasks = ("valence_arousal",)

    def __init__(
        self,
        target: Target,
        size: Size = "tiny",
        image_size: int = 224,
        alignment: Alignment = "given",
        pretrained: bool | str = True,
        augmentation: Recipe = "cage",
        learning_rate: float = 4e-5,
        weight_decay: float = 1e-2,
        cosine_steps: int | None = 2560,
        dropout: float = 0.3,
        sampling: Sampling = "rarest",
        epochs: tuple[int, int] = (20, 20),
        batch_size: int = 128,
    ) -> None:
        stages = (Stage("combined", epochs[0], batch_size), Stage("affect", epochs[1], batch_size, sampling))
        super().__init__(target, (Image(size=image_size, alignment=alignment),), *(stages if epochs[1] else stages[:1]))
        if pretrained is True and size not in IMAGENET:
            raise InvalidSuite(f"cage: no weights are published for size {size}; set pretrained to false.")
        self.published = IMAGENET.get(size)
        self.pretrained, self.weights = pretrained, weights_label(pretrained, self.published)
        self.learning_rate, self.weight_decay, self.cosine_steps = learning_rate, weight_decay, cosine_steps
        self.augmentation = PhotoAugmentation(augmentation)
        try:
            self.network = MaxViT(size, image_size)
        except ValueError as error:
            raise InvalidSuite(f"cage: {error}.") from None
        # Each training has a whole classifier of its own: the code replaces the first one by the second.
        self.combined = head(self.network.width, 10)
        self.affect = head(self.network.width, 2, dropout) if epochs[1] else None

    def fetch(self) -> Path | None:
        path = find_weights(self.pretrained, self.published)
        if path is not None and trained_on_affect(path):
            self.unsound = CHOSEN
        return path

    def initialise(self) -> None:
        if (path := self.fetch()) is not None:
            heads = {10: self.combined} | ({} if self.affect is None else {2: self.affect})
            load_maxvit(self.network, heads, read_weights(path), path)

    def on_stage_start(self, stage: Stage) -> None:
        super().on_stage_start(stage)
        train_one(stage, self.combined, self.affect)

    def forward(self, x: Tensor) -> Tensor:
        """Valence and arousal (B, 2) of uint8 photographs (B, 3, H, W)."""
        return self.predict(x)["output"]

    def predict(self, x: Tensor) -> dict[str, Tensor]:
        found = self.network(self.augmentation(x))
        both = self.combined(found)[:, 8:] if self.affect is None else self.affect(found)
        return {"output": both, "features": found}

    def loss(self, batch: Batch) -> Tensor:
        found = self.network(self.augmentation(batch["input"]))
        if self.affect is not None and self.stage.name == "affect":
            return concordant(*rated(batch, self.affect(found)))
        scores = self.combined(found)
        return with_errors(batch, scores[:, :8], scores[:, 8:])

    def configure_optimizers(self) -> OptimizerLRScheduler:
        parameters = [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=self.learning_rate, weight_decay=self.weight_decay)
        steps = self.cosine_steps or self.stage.epochs * steps_per_epoch(self)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
