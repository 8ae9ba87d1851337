"""Ig3D's intermediate fusion of a photograph and its 3D face (Dong et al., ECCV Workshops 2024)."""

from pathlib import Path
from typing import Literal

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from fer_bench.errors import InvalidSuite
from fer_bench.io.morphable_parameters import parts_of
from fer_bench.methods.affect_losses import Concordance, concordant, masked, shaken, train_one, with_errors
from fer_bench.methods.affect_losses import rated as rated_of
from fer_bench.methods.base import Method
from fer_bench.methods.objectives import cyclic
from fer_bench.methods.stages import Stage
from fer_bench.nn.ddamfn import CHOSEN, FACES, FEATURES, DDAMFNetwork, load_ddamfn, spread_of_heads
from fer_bench.nn.global_batch import average, gather
from fer_bench.nn.maxvit import IMAGENET, MaxViT, Size, load_maxvit, neck, trained_on_affect
from fer_bench.nn.photo_augmentation import PhotoAugmentation, Recipe
from fer_bench.nn.weights import find_weights, holds, read_weights, weights_label
from fer_bench.records import Batch, Sampling, Target
from fer_bench.representations.crops import Alignment
from fer_bench.representations.photo_morphable import PhotoMorphable


class Ig3D(Method):
    """An image network's features and a linear map of what EMOCA or SMIRK regressed, side by side, and a classifier on
    both. For expressions the image network is DDAMFN, and the classifier has two hidden layers and also gives valence
    and arousal where photographs have been rated (eq. 1); for valence and arousal alone it is CAGE's MaxViT, with one
    hidden layer, and is trained in two stages: with ten outputs by cross-entropy and squared error (eq. 2, unweighted,
    as in the code), and then with two by concordance and squared error (eq. 3).

    The paper's late fusion needs no training: see `fer-bench fuse`. The defaults are the public code's for expressions
    with EMOCA's parameters on AffectNet. The code also blanks parameters where it chooses the epoch; here that is done
    in training alone. For valence and arousal its optimiser holds the image network only, so that what joins both stays
    as it was drawn; `fusion_trained: false` does that.

    Cite: Dong, Wang, Setlur, Govindaraju, Nwogu, "Ig3D: Integrating 3D face representations in facial expression
    inference", ECCV Workshops 2024.

    Args:
        target: The expressions, or valence and arousal.
        vector: Which parameters, see `Morphable`.
        missing: What becomes of photographs without parameters, see `Morphable`.
        alignment: Of the photographs, see `Image`.
        size: Of MaxViT; DDAMFN has one.
        image_size: Pixels across for MaxViT; DDAMFN takes 112.
        heads: Attention maps of DDAMFN: 1, and 2 with SMIRK on RAF-DB.
        together: Weight of the heads' mean squared difference, which the public code adds where DDAMFN's keeps heads
            apart; of one head it is 0.
        rated: Whether the classifier of expressions gives valence and arousal too; on RAF-DB it does not.
        pretrained: True starts the image network from the weights that paper and code start from: faces of MS-Celeb-1M
            for DDAMFN, ImageNet for MaxViT. A path starts it from a file, as `ddamfn` and `cage` do; False at random.
        augmentation: See `PhotoAugmentation`; None takes DDAMFN's of AffectNet for expressions, on RAF-DB too, as the
            code does, and CAGE's otherwise.
        masking: Probability that a part of a photograph's parameters loses numbers in training, see
            `affect_losses.masked`; the code does so for expressions alone.
        concordance: See `affect_losses.concordance`.
        fusion_trained: Whether, for valence and arousal, the layers that join both are trained.
        optimizer: `adamw` with a rate that goes up and down; or `adam` at the larger rate, divided by ten after each
            epoch whose validation loss is not the lowest, with which the code alone trains SMIRK's on AffectNet.
        learning_rate: Lower and upper rate; for valence and arousal the code has 1e-5 and 5e-4.
        step_size_up: Steps from one to the other: 2,241 for expressions, 234 for valence and arousal; None takes half
            an epoch.
        weight_decay: Of all parameters.
        sampling: See `Stage`; `balanced` for expressions, and `rarest` for valence and arousal.
        epochs: With all outputs, and with two; the latter of valence and arousal alone, where the code has 20 of both.
        batch_size: Photographs a step and device.

    Raises:
        InvalidSuite: the photographs do not fit the network, or expressions have epochs with two outputs.
    """

    tasks = ("classification", "valence_arousal")

    def __init__(
        self,
        target: Target,
        vector: str = "emoca-156",
        missing: Literal["error", "zero"] = "error",
        alignment: Alignment = "given",
        size: Size = "tiny",
        image_size: int = 224,
        heads: int = 1,
        together: float = 0.1,
        rated: bool = True,
        pretrained: bool | str = True,
        augmentation: Recipe | None = None,
        masking: float = 0.1,
        concordance: Concordance = "lin",
        fusion_trained: bool = True,
        optimizer: Literal["adamw", "adam"] = "adamw",
        learning_rate: tuple[float, float] = (1e-6, 1e-4),
        step_size_up: int | None = 2241,
        weight_decay: float = 1e-2,
        sampling: Sampling = "balanced",
        epochs: tuple[int, int] = (80, 0),
        batch_size: int = 64,
    ) -> None:
        expressions = target.task == "classification"
        seen = PhotoMorphable(112 if expressions else image_size, alignment, vector, missing)
        stages = [Stage(name, n, batch_size, sampling) for name, n in zip(("combined", "affect"), epochs, strict=True)]
        super().__init__(target, (seen,), *(stages if epochs[1] else stages[:1]))
        if expressions and epochs[1]:
            raise InvalidSuite(f"ig3d: epochs is {list(epochs)}; expressions are not trained with two outputs.")
        published = FACES if expressions else IMAGENET.get(size)
        if pretrained is True and published is None:
            raise InvalidSuite(f"ig3d: no weights are published for size {size}; set pretrained to false.")
        self.seen, self.pretrained, self.published = seen, pretrained, published
        self.weights = weights_label(pretrained, published)
        self.together, self.masking, self.concordance = together, masking, concordance
        self.sizes = [length for _, length in parts_of(vector)]
        self.optimizer, self.learning_rate = optimizer, learning_rate
        self.step_size_up, self.weight_decay = step_size_up, weight_decay
        self.augmentation = PhotoAugmentation(augmentation or ("ddamfn-affectnet" if expressions else "cage"))
        self.image: DDAMFNetwork | nn.Sequential
        self.affect: nn.Sequential | None = None
        if expressions:
            self.image, width = DDAMFNetwork(len(target.outputs), heads), FEATURES
            # What it ends in by itself is replaced by the classifier of both.
            self.image.fc.requires_grad_(False)
            hidden = [nn.Linear(width + 512, 2048), nn.LeakyReLU(0.2), nn.Linear(2048, 1024), nn.LeakyReLU(0.2)]
            self.classifier = nn.Sequential(*hidden, nn.Linear(1024, len(target.outputs) + 2 * rated))
        else:
            try:
                network = MaxViT(size, image_size)
            except ValueError as error:
                raise InvalidSuite(f"ig3d: {error}.") from None
            self.image, width = nn.Sequential(network, neck(network.width)), network.width
            self.classifier = joined(width, 10)
            self.affect = joined(width, 2) if epochs[1] else None
        self.parameters_of_face = nn.Linear(seen.parameters.shape[0], 512)
        self.fusion_trained = expressions or fusion_trained
        self.on_stage_start(self.stages[-1])

    def on_stage_start(self, stage: Stage) -> None:
        super().on_stage_start(stage)
        train_one(stage, self.classifier, self.affect)
        if not self.fusion_trained:
            for part in (self.classifier, self.affect, self.parameters_of_face):
                if part is not None:
                    part.requires_grad_(False)

    def fetch(self) -> Path | None:
        path = find_weights(self.pretrained, self.published)
        if path is not None and (holds(path, "cat_head0") or trained_on_affect(path)):
            self.unsound = CHOSEN
        return path

    def initialise(self) -> None:
        if (path := self.fetch()) is None:
            return
        if isinstance(self.image, DDAMFNetwork):
            load_ddamfn(self.image, path, self.target.outputs, "new")
        else:
            network, between = self.image
            load_maxvit(network, {0: between}, read_weights(path), path)  # type: ignore[arg-type,dict-item]

    def forward(self, x: Tensor) -> Tensor:
        """Scores (B, C), or valence and arousal (B, 2), of packed rows, see `PhotoMorphable`."""
        return self.predict(x)["output"]

    def predict(self, x: Tensor) -> dict[str, Tensor]:
        both, _ = self._both(x)
        if self.target.task == "classification":
            return {"output": self.classifier(both)[:, : len(self.target.outputs)], "features": both}
        output = self.classifier(both)[:, 8:] if self.affect is None else self.affect(both)
        return {"output": output, "features": both}

    def loss(self, batch: Batch) -> Tensor:
        both, maps = self._both(batch["input"])
        if self.affect is not None and self.stage.name == "affect":
            return concordant(*rated_of(batch, self.affect(both)))
        outputs = self.classifier(both)
        if self.target.task == "valence_arousal":
            return with_errors(batch, outputs[:, :8], outputs[:, 8:], weighted=False)
        classes = len(self.target.outputs)
        loss = F.cross_entropy(gather(outputs[:, :classes]), gather(batch["label"]))
        if len(maps) > 1:
            pairs = len(maps) * (len(maps) - 1) / 2
            loss = loss + self.together / pairs * average(spread_of_heads(maps), len(outputs))
        if outputs.shape[1] == classes:
            return loss
        return loss + shaken(*rated_of(batch, outputs[:, classes:]), self.concordance)

    def join(self, features: Tensor, vectors: Tensor) -> Tensor:
        """Features (B, F) of photographs and parameters (B, P) side by side, (B, F + 512), in the code's order."""
        both = [self.parameters_of_face(vectors), features]
        return torch.cat(both if self.target.task == "classification" else both[::-1], dim=1)

    def _both(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """`join` of photographs and parameters, and the attention maps of DDAMFN."""
        photos, vectors = self.seen.unpack(x)
        pixels = self.augmentation(photos)
        if self.masking and self.training:
            vectors = masked(vectors, self.sizes, self.masking)
        if isinstance(self.image, DDAMFNetwork):
            features, maps = self.image.features_of(pixels)
            return self.join(features, vectors), maps
        return self.join(self.image(pixels), vectors), []

    def configure_optimizers(self) -> OptimizerLRScheduler:
        parameters = [p for p in self.parameters() if p.requires_grad]
        lower, upper = self.learning_rate
        if self.optimizer == "adam":
            adam = torch.optim.Adam(parameters, upper, weight_decay=self.weight_decay)
            plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(adam, factor=0.1, patience=0)
            return {"optimizer": adam, "lr_scheduler": {"scheduler": plateau, "monitor": "val/loss"}}
        optimizer = torch.optim.AdamW(parameters, lr=lower, weight_decay=self.weight_decay)
        schedule = cyclic(self, optimizer, lower, upper, self.step_size_up)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def joined(width: int, outputs: int) -> nn.Sequential:
    """The classifier of MaxViT's features and a face's parameters, (B, width + 512)."""
    return nn.Sequential(nn.Linear(width + 512, 512), nn.Tanh(), nn.Linear(512, outputs, bias=False))
