"""PointNet++ as a classifier: the baseline of DrFER (paper drfer, tables I and II)."""

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn import functional as F

from fer_bench.errors import InvalidSuite
from fer_bench.methods.base import Method
from fer_bench.methods.stages import Stage
from fer_bench.nn.global_batch import gather
from fer_bench.nn.point_augmentation import drop_points, scale_points
from fer_bench.nn.pointnet2 import PointNet2Encoder, PointNet2Head, Size
from fer_bench.records import Batch, Target
from fer_bench.representations.points import Points


class PointNet2(Method):
    """DrFER's expression branch with its classifier, trained with cross-entropy as in stage i (eq. 1).

    The paper's baseline may have been trained together with the identity branch and the fusion module of stage i, which
    it does not say; here the branch is trained alone.

    The paper prints 2,048 points, batches of 24, Adam with betas 0.9 and 0.999 at 1e-3 in stage i, and names two
    augmentations, random dropout and random scale. All these are defaults of the public PointNet++ classifier
    (yanx27/Pointnet_Pointnet2_pytorch), so what the paper leaves out is taken from there: both ranges, the dropout of
    the classifier, 200 epochs, the weight decay, and the rate's decay by 0.7 every 20 epochs.

    Cite: Qi, Yi, Su, Guibas, "PointNet++: Deep hierarchical feature learning on point sets in a metric space", NeurIPS
    2017; as the baseline of DrFER (arXiv:2403.08318), Tables I and II.

    Args:
        target: The expressions.
        size: `ssg` is the published network; `msg` has multi-scale grouping; `nano` is ours, for CPUs and quick trials.
        points: Points a scan, at least 512 (nano: 128).
        dropout: Of both hidden layers of the classifier; see `PointNet2Head`.
        learning_rate: Of Adam, times `gamma` every `step_epochs` epochs.
        weight_decay: Added to the gradient, as Adam does, not decoupled from it.
        step_epochs: See `learning_rate`.
        gamma: See `learning_rate`.
        max_point_dropout: Largest share of points that a cloud loses in training; 0 turns this off.
        scale: Smallest and largest factor of a cloud in training.
        epochs: Length of training.
        batch_size: Scans a step and device; batch normalisation cannot train on one.

    Raises:
        InvalidSuite: fewer points than the first level has centres.
    """

    def __init__(
        self,
        target: Target,
        size: Size = "ssg",
        points: int = 2048,
        dropout: float = 0.4,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-4,
        step_epochs: int = 20,
        gamma: float = 0.7,
        max_point_dropout: float = 0.875,
        scale: tuple[float, float] = (0.8, 1.25),
        epochs: int = 200,
        batch_size: int = 24,
    ) -> None:
        super().__init__(target, (Points(count=points),), Stage("", epochs, batch_size))
        self.encoder = PointNet2Encoder(size)
        if points < self.encoder.fewest:
            raise InvalidSuite(f"pointnet2: points is {points}; give {self.encoder.fewest} or more.")
        self.head = PointNet2Head(len(target.outputs), dropout, self.encoder.features, size == "msg")
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.step_epochs, self.gamma = step_epochs, gamma
        self.max_point_dropout, self.scale = max_point_dropout, scale

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, C) of clouds (B, N, 3)."""
        return self.predict(x)["output"]

    def predict(self, x: Tensor) -> dict[str, Tensor]:
        features = self.encoder(x)
        return {"output": self.head(features), "features": features}

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the logits, in training of augmented clouds."""
        x = batch["input"]  # (B, N, 3)
        if self.training:
            x = scale_points(drop_points(x, self.max_point_dropout), *self.scale)
        return F.cross_entropy(gather(self(x)), gather(batch["label"]))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = torch.optim.Adam(
            self.parameters(), self.learning_rate, betas=(0.9, 0.999), weight_decay=self.weight_decay
        )
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, self.step_epochs, self.gamma)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "epoch"}}
