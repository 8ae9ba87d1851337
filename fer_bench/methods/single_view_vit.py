"""One view alone: CLIP's image tower with a linear classifier, what FACET-VLM has to beat."""

from pathlib import Path

from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from fer_bench.methods import clip_tuning
from fer_bench.methods.base import Method
from fer_bench.methods.objectives import prediction_loss
from fer_bench.methods.stages import Stage
from fer_bench.nn.clip import OPENAI, SIZES, ClipImageTower, Size
from fer_bench.nn.global_batch import gather
from fer_bench.nn.weights import find_weights, read_weights, weights_label
from fer_bench.records import Batch, Target
from fer_bench.representations.dynamic_views import DynamicViews
from fer_bench.representations.views import Views


class SingleViewViT(Method):
    """CLIP's image tower on one view and a linear layer on its class token, trained with cross-entropy.

    A baseline of ours: the tower, the weights, the views and the recipe of `facet_vlm`, without other views, attention
    and texts.

    Cite: Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021, for the
    tower and its weights; the baseline itself is ours.

    Args:
        target: Expressions, or micro-expressions of which several can hold at once.
        size: `base` is CLIP ViT-B/16; `nano` is ours, for CPUs.
        pretrained: True starts from OpenAI's weights, False at random, a path from a file under open_clip's keys.
        yaw: Of the camera in degrees.
        image_size: Pixels across.
        window: Frames a dynamic image; None takes the whole sequence as one.
        stride: Frames between the starts of two windows; None for `window`.
        frames: So many frames of a sequence are used, evenly spread; None uses all.
        learning_rate: Of the linear layer.
        tower_factor: Times that, of the tower.
        weight_decay: Of all matrices.
        warmup_epochs: Linear from 0, step by step, then a cosine to 0.
        freeze_epochs: At the start, the tower does not learn.
        unfrozen_blocks: How many of the tower's last blocks learn after that.
        epochs: Length of training.
        batch_size: Samples a step and device.

    Raises:
        InvalidSuite: the images do not fit the tower.
    """

    tasks = ("classification", "multilabel")

    def __init__(
        self,
        target: Target,
        size: Size = "base",
        pretrained: bool | str = True,
        yaw: float = 0.0,
        image_size: int = 224,
        window: int | None = None,
        stride: int | None = None,
        frames: int | None = None,
        learning_rate: float = 1e-4,
        tower_factor: float = 0.1,
        weight_decay: float = 0.01,
        warmup_epochs: int = 5,
        freeze_epochs: int = 5,
        unfrozen_blocks: int = 4,
        epochs: int = 50,
        batch_size: int = 32,
    ) -> None:
        clip_tuning.check_size("single_view_vit", size, image_size, pretrained)
        moving = DynamicViews(yaws=(yaw,), size=image_size, window=window, stride=stride, frames=frames)
        super().__init__(target, (Views(yaws=(yaw,), size=image_size), moving), Stage("", epochs, batch_size))
        self.pretrained, self.yaw = pretrained, yaw
        self.learning_rate, self.tower_factor, self.weight_decay = learning_rate, tower_factor, weight_decay
        self.warmup_epochs, self.freeze_epochs = warmup_epochs, freeze_epochs
        self.weights = weights_label(pretrained, OPENAI)
        self.tower = ClipImageTower(size, image_size)
        if pretrained:
            self.tower.freeze_below(unfrozen_blocks)
        self.head = nn.Linear(SIZES[size].shared, len(target.outputs))

    def fetch(self) -> Path | None:
        return find_weights(self.pretrained, OPENAI)

    def initialise(self) -> None:
        path = self.fetch()
        state = read_weights(path) if path else None
        if path is not None and state is not None:
            self.tower.load(state, path)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, C) of uint8 images (B, 1, 3, H, W)."""
        pooled, _ = self.tower(x[:, 0])
        logits: Tensor = self.head(pooled)
        return logits

    def loss(self, batch: Batch) -> Tensor:
        return prediction_loss(self.target, gather(self(batch["input"])), gather(batch["label"]))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        return clip_tuning.tune(
            self,
            self.tower,
            self.head.named_parameters(),
            learning_rate=self.learning_rate,
            tower_factor=self.tower_factor,
            weight_decay=self.weight_decay,
            warmup_epochs=self.warmup_epochs,
            freeze_epochs=self.freeze_epochs,
        )
