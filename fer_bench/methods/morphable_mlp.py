"""Ig3D's classifier of morphable-model parameters (Dong et al., ECCV Workshops 2024)."""

from typing import Literal

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from fer_bench.errors import InvalidSuite
from fer_bench.expressions import EXPRESSIONS
from fer_bench.io.morphable_parameters import parts_of
from fer_bench.methods.affect_losses import Concordance, concordant, masked, rated, shaken, train_one, with_errors
from fer_bench.methods.base import Method
from fer_bench.methods.objectives import cyclic
from fer_bench.methods.stages import Stage
from fer_bench.nn.global_batch import gather
from fer_bench.records import Batch, Sampling, Target
from fer_bench.representations.morphable import Morphable

VALENCE_AROUSAL = (9, 8)
"""Where the public networks have both among their ten outputs; the first eight are the expressions."""


class MorphableMLP(Method):
    """Four layers of 2,048 on what EMOCA or SMIRK regressed from a photograph, with ten outputs: eight expressions,
    arousal and valence. Where photographs have been rated, both are learned together (eq. 1); else the first outputs
    alone, by cross-entropy. For valence and arousal it is trained in two stages, with ten outputs by weighted
    cross-entropy and squared error (eq. 2), and then with two outputs by concordance and squared error (eq. 3).

    The paper takes the layers from Toisoul et al., whose code has none such; they are those of EMOCA's emotion head.
    Paper and code disagree: the paper drops half of the first layer's outputs and 40 % of the second's, the code only
    the former, and nothing for valence and arousal; the paper trains 100 epochs and stops early, by the test set, and
    so does the code choose its epoch; here validation does. The paper is followed. The code also doubles the
    cross-entropy for EMOCA's short vector on AffectNet (`expression_weight`) and begins its cycle again each epoch, and
    never moves the rate of SMIRK's full vector there from 1e-6, with which it steps twice a batch.

    Cite: Dong, Wang, Setlur, Govindaraju, Nwogu, "Ig3D: Integrating 3D face representations in facial expression
    inference", ECCV Workshops 2024.

    Args:
        target: The expressions, or valence and arousal.
        vector: Which parameters, see `Morphable`; of the four, 13,312,010, 12,947,466, 13,361,162 and 13,350,922
            weights and biases.
        missing: What becomes of photographs without parameters, see `Morphable`.
        network: `mlp`; or `residual`, two residual blocks of 512, with which the public code alone trains SMIRK's short
            vector on AffectNet (1,761,802 parameters).
        dropout: After the first and the second layer.
        masking: Probability that a part of a photograph's parameters loses numbers in training, see
            `affect_losses.masked`.
        objective: Of expressions with ratings: `mixture` is eq. 1; `errors` adds the squared errors of valence and of
            arousal to the cross-entropy, with which the public code alone trains SMIRK's short vector on AffectNet.
        expression_weight: Of the cross-entropy beside the mixture.
        concordance: See `affect_losses.concordance`.
        learning_rate: Rates between which AdamW's goes up and down; for valence and arousal the code has 1e-5 and 5e-4.
        step_size_up: Steps of its way up, and of that down; None takes half an epoch, as the paper's Table 1. The code
            has 2,241 on AffectNet.
        weight_decay: Of all parameters. The code has 1e-5 on RAF-DB alone, and elsewhere torch's 1e-2.
        sampling: See `Stage`. The code's is balanced, which the paper does not mention; for valence and arousal only in
            the second stage.
        epochs: With ten outputs, and with two; the latter of valence and arousal alone.
        batch_size: Photographs a step and device.

    Raises:
        InvalidSuite: epochs with two outputs are asked for where expressions are wanted.
    """

    tasks = ("classification", "valence_arousal")

    def __init__(
        self,
        target: Target,
        vector: str = "emoca-334",
        missing: Literal["error", "zero"] = "error",
        network: Literal["mlp", "residual"] = "mlp",
        dropout: tuple[float, float] = (0.5, 0.4),
        masking: float = 0.0,
        objective: Literal["mixture", "errors"] = "mixture",
        expression_weight: float = 1.0,
        concordance: Concordance = "lin",
        learning_rate: tuple[float, float] = (1e-6, 1e-4),
        step_size_up: int | None = None,
        weight_decay: float = 1e-5,
        sampling: Sampling = "balanced",
        epochs: tuple[int, int] = (100, 0),
        batch_size: int = 64,
    ) -> None:
        first: Sampling = "all" if target.task == "valence_arousal" else sampling
        stages = (Stage("combined", epochs[0], batch_size, first), Stage("affect", epochs[1], batch_size, sampling))
        representation = Morphable(vector=vector, missing=missing)
        super().__init__(target, (representation,), *(stages if epochs[1] else stages[:1]))
        if target.task == "classification" and epochs[1]:
            raise InvalidSuite(
                f"morphable_mlp: epochs is {list(epochs)}; expressions are not trained with two outputs."
            )
        self.masking, self.sizes = masking, [size for _, size in parts_of(vector)]
        self.objective, self.expression_weight, self.concordance = objective, expression_weight, concordance
        self.learning_rate, self.step_size_up, self.weight_decay = learning_rate, step_size_up, weight_decay
        inputs = representation.shape[0]
        self.trunk, width = residual(inputs) if network == "residual" else layers(inputs, dropout)
        self.combined = nn.Linear(width, 10)
        self.affect = nn.Linear(width, 2) if epochs[1] else None

    def on_stage_start(self, stage: Stage) -> None:
        super().on_stage_start(stage)
        train_one(stage, self.combined, self.affect)

    def forward(self, x: Tensor) -> Tensor:
        """Scores (B, C), or valence and arousal (B, 2), of vectors (B, P)."""
        return self.predict(x)["output"]

    def predict(self, x: Tensor) -> dict[str, Tensor]:
        found = self.trunk(x)
        if self.target.task == "classification":
            return {"output": self.combined(found)[:, : len(self.target.outputs)], "features": found}
        both = self.combined(found)[:, VALENCE_AROUSAL] if self.affect is None else self.affect(found)
        return {"output": both, "features": found}

    def loss(self, batch: Batch) -> Tensor:
        x = batch["input"]
        if self.masking and self.training:
            x = masked(x, self.sizes, self.masking)
        if self.stage.name == "affect" and self.affect is not None:
            return concordant(*rated(batch, self.affect(self.trunk(x))))
        scores = self.combined(self.trunk(x))
        affect = scores[:, VALENCE_AROUSAL]
        if self.target.task == "valence_arousal":
            return with_errors(batch, scores[:, : len(EXPRESSIONS)], affect)
        loss = F.cross_entropy(gather(scores[:, : len(self.target.outputs)]), gather(batch["label"]))
        predicted, truth = rated(batch, affect)
        if self.objective == "errors":
            return loss + (predicted - truth).square().sum() / max(1, len(predicted))
        return self.expression_weight * loss + shaken(predicted, truth, self.concordance)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        parameters = [p for p in self.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=self.learning_rate[0], weight_decay=self.weight_decay)
        schedule = cyclic(self, optimizer, *self.learning_rate, self.step_size_up)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def layers(inputs: int, dropout: tuple[float, float], width: int = 2048, count: int = 4) -> tuple[nn.Sequential, int]:
    """Linear layers, each with batch normalisation and LeakyReLU of slope 0.2, and what they give."""
    parts: list[nn.Module] = []
    for number in range(count):
        parts += [nn.Linear(width if number else inputs, width), nn.BatchNorm1d(width), nn.LeakyReLU(0.2)]
        if number < len(dropout) and dropout[number]:
            parts.append(nn.Dropout(dropout[number]))
    return nn.Sequential(*parts), width


def residual(inputs: int) -> tuple[nn.Sequential, int]:
    """A layer and two residual blocks of 512, and what they give."""
    return nn.Sequential(nn.Linear(inputs, 512), _Block(1024), _Block(512)), 512


class _Block(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(512, hidden), nn.ReLU(), nn.Dropout(0.5), nn.Linear(hidden, 512))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.inner(x)
        return out
