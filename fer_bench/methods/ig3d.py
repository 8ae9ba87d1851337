"""Ig3D's intermediate fusion of a photograph and its 3D face (Dong et al., ECCV Workshops 2024)."""

from pathlib import Path
from typing import Literal

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from fer_bench.errors import InvalidSuite
from fer_bench.methods.affect_losses import Concordance, concordant, masked, rated, shaken
from fer_bench.methods.base import Method
from fer_bench.methods.objectives import cyclic
from fer_bench.methods.stages import Stage
from fer_bench.nn.ddamfn import FEATURES, DDAMFNetwork, load_ddamfn, spread_of_heads
from fer_bench.nn.global_batch import average, gather
from fer_bench.nn.maxvit import MaxViT, Size, load_maxvit
from fer_bench.nn.photo_augmentation import PhotoAugmentation, Recipe
from fer_bench.nn.weights import find_weights, read_weights, weights_label
from fer_bench.records import Batch, Sampling, Target
from fer_bench.representations.crops import Alignment
from fer_bench.representations.photo_morphable import PhotoMorphable


class Ig3D(Method):
    """An image network's features and a linear map of what EMOCA or SMIRK regressed, side by side, and a classifier on
    both. For expressions the image network is DDAMFN, and the classifier has two hidden layers and also gives valence
    and arousal where photographs have been rated (eq. 1); for valence and arousal alone it is CAGE's MaxViT, with one
    hidden layer (eq. 3).

    The paper's late fusion needs no training: see `fer-bench fuse`. The public code also blanks a tenth of the
    parameters where it chooses the epoch; here that is done in training alone. For valence and arousal its optimiser
    holds the image network only, so that what joins both stays as it was drawn; `fusion_trained: false` does that.

    Cite: Dong, Wang, Setlur, Govindaraju, Nwogu, "Ig3D: Integrating 3D face representations in facial expression
    inference", ECCV Workshops 2024.

    Args:
        target: The expressions, or valence and arousal.
        vector: Which parameters, see `Morphable`.
        missing: What becomes of photographs without parameters, see `Morphable`.
        alignment: Of the photographs, see `Image`.
        size: Of MaxViT; DDAMFN has one.
        image_size: Pixels across for MaxViT; DDAMFN takes 112.
        heads: Attention maps of DDAMFN.
        together: Weight of the heads' mean squared difference, which the public code adds where DDAMFN's keeps heads
            apart; of one head it is 0.
        pretrained: A file that the image network starts from, as those of `ddamfn` and `cage`.
        augmentation: See `PhotoAugmentation`; None takes DDAMFN's for expressions and CAGE's otherwise.
        masking: So large a share of the parameters is set to 0 in training, anew for each photograph.
        concordance: See `affect_losses.concordance`.
        fusion_trained: Whether, for valence and arousal, the layers that join both are trained.
        learning_rate: Rates between which AdamW's goes up and down once an epoch; for valence and arousal the code has
            1e-5 and 5e-4.
        weight_decay: Of all parameters.
        sampling: See `Stage`.
        epochs: Length of training; for valence and arousal the code has 20.
        batch_size: Photographs a step and device.

    Raises:
        InvalidSuite: the photographs do not fit the network.
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
        together: float = 1.0,
        pretrained: str | Literal[False] = False,
        augmentation: Recipe | None = None,
        masking: float = 0.1,
        concordance: Concordance = "lin",
        fusion_trained: bool = True,
        learning_rate: tuple[float, float] = (1e-6, 1e-4),
        weight_decay: float = 1e-2,
        sampling: Sampling = "balanced",
        epochs: int = 80,
        batch_size: int = 64,
    ) -> None:
        expressions = target.task == "classification"
        seen = PhotoMorphable(112 if expressions else image_size, alignment, vector, missing)
        super().__init__(target, (seen,), Stage("", epochs, batch_size, sampling))
        self.seen, self.pretrained, self.weights = seen, pretrained, weights_label(pretrained, None)
        self.together, self.masking, self.concordance = together, masking, concordance
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.augmentation = PhotoAugmentation(augmentation or ("ddamfn-affectnet" if expressions else "cage"))
        self.image: DDAMFNetwork | MaxViT
        if expressions:
            self.image, width = DDAMFNetwork(len(target.outputs), heads), FEATURES
            # What it ends in by itself is replaced by the classifier of both.
            self.image.fc.requires_grad_(False)
            hidden = [nn.Linear(width + 512, 2048), nn.LeakyReLU(0.2), nn.Linear(2048, 1024), nn.LeakyReLU(0.2)]
            self.classifier = nn.Sequential(*hidden, nn.Linear(1024, len(target.outputs) + 2))
        else:
            try:
                self.image = MaxViT(size, image_size)
            except ValueError as error:
                raise InvalidSuite(f"ig3d: {error}.") from None
            hidden = [nn.Linear(self.image.width + 512, 512), nn.Tanh()]
            self.classifier = nn.Sequential(*hidden, nn.Linear(512, 2, bias=False))
        self.parameters_of_face = nn.Linear(seen.parameters.shape[0], 512)
        if not expressions and not fusion_trained:
            self.classifier.requires_grad_(False)
            self.parameters_of_face.requires_grad_(False)

    def fetch(self) -> Path | None:
        return find_weights(self.pretrained, None)

    def initialise(self) -> None:
        if (path := self.fetch()) is None:
            return
        if isinstance(self.image, DDAMFNetwork):
            load_ddamfn(self.image, path, self.target.outputs, "new")
        else:
            load_maxvit(self.image, {}, read_weights(path), path)

    def forward(self, x: Tensor) -> Tensor:
        """Scores (B, C), or valence and arousal (B, 2), of packed rows, see `PhotoMorphable`."""
        return self.predict(x)["output"]

    def predict(self, x: Tensor) -> dict[str, Tensor]:
        both, _ = self._both(x)
        return {"output": self.classifier(both)[:, : len(self.target.outputs)], "features": both}

    def loss(self, batch: Batch) -> Tensor:
        both, maps = self._both(batch["input"])
        outputs = self.classifier(both)
        if self.target.task == "valence_arousal":
            return concordant(*rated(batch, outputs))
        loss = F.cross_entropy(gather(outputs[:, :-2]), gather(batch["label"]))
        loss = loss + self.together * average(spread_of_heads(maps), len(outputs))
        return loss + shaken(*rated(batch, outputs[:, -2:]), self.concordance)

    def _both(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Features of photographs and parameters (B, 1024), and the attention maps of DDAMFN."""
        photos, vectors = self.seen.unpack(x)
        pixels = self.augmentation(photos)
        if self.masking and self.training:
            vectors = masked(vectors, self.masking)
        maps: list[Tensor] = []
        if isinstance(self.image, DDAMFNetwork):
            found, maps = self.image.features_of(pixels)
        else:
            found = self.image(pixels)
        return torch.cat([found, self.parameters_of_face(vectors)], dim=1), maps

    def configure_optimizers(self) -> OptimizerLRScheduler:
        parameters = [p for p in self.parameters() if p.requires_grad]
        base, maximum = self.learning_rate
        optimizer = torch.optim.AdamW(parameters, lr=base, weight_decay=self.weight_decay)
        schedule = cyclic(self, optimizer, base, maximum)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
