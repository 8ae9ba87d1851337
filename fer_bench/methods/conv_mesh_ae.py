"""The convolutional mesh autoencoder (CoMA; Ranjan et al., ECCV 2018), trained to take expressions off faces."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, ClassVar

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from fer_bench.errors import InvalidSuite
from fer_bench.geometry.pyramid import pyramid
from fer_bench.methods.base import Method
from fer_bench.methods.stages import Stage
from fer_bench.methods.training_faces import chunks, neutral_of
from fer_bench.nn.global_batch import average
from fer_bench.nn.mesh_operators import ChebyshevConvolution, SparseMap
from fer_bench.records import Batch, Target, TrainingSet
from fer_bench.representations.vertices import Vertices


class ConvMeshAE(Method):
    """Chebyshev convolutions over ever coarser meshes to a short code, and back to a mesh: the person's neutral face.

    The face disentanglement paper uses it so, after Kacem et al.: faces in, neutral faces out, and no reconstruction
    of the expression. Recipe of the known reimplementation in PyTorch (sw-gong/coma): order 6, 16, 16, 16 and 32
    channels, a quarter of the vertices at each of four levels, ELU, L1 loss, Adam at 8e-3 with a decay of 0.99 an
    epoch; 30,059 parameters on CoMA's 5,023 vertices. Vertices are normalised one by one, as the original does. Neutral
    faces are those of the training fold; a subject without one is left out of the loss. The last epoch is scored.

    Cite: Ranjan, Bolkart, Sanyal, Black, "Generating 3D faces using convolutional mesh autoencoders", ECCV 2018.

    Args:
        target: Of disentanglement.
        latent: Length of the code: 8 on CoMA, 80 on BU-3DFE, 128 on FaceScape, to match both codes of the paper's.
        count: Vertices to keep of each mesh; None keeps all.
        channels: Of the levels, fine to coarse.
        factors: Each level has one vertex where the finer one has so many.
        order: Chebyshev polynomials of a convolution.
        learning_rate: Of Adam.
        decay: Of the learning rate, an epoch.
        epochs: Length of the training.
        batch_size: Faces a step and device.

    Raises:
        InvalidSuite: channels and factors are not as many.
    """

    tasks = ("disentanglement",)
    shaped_by_data: ClassVar[bool] = True

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        target: Target,
        latent: int = 8,
        count: int | None = None,
        channels: tuple[int, ...] = (16, 16, 16, 32),
        factors: tuple[int, ...] = (4, 4, 4, 4),
        order: int = 6,
        learning_rate: float = 8e-3,
        decay: float = 0.99,
        epochs: int = 300,
        batch_size: int = 16,
    ) -> None:
        super().__init__(target, (Vertices(count=count),), Stage("", epochs, batch_size))
        if len(channels) != len(factors):
            raise InvalidSuite(
                f"conv_mesh_ae: {len(channels)} channels and {len(factors)} factors; give as many of both."
            )
        self.latent, self.channels, self.factors, self.order = latent, channels, factors, order
        self.learning_rate, self.decay = learning_rate, decay
        self.neutral: dict[str, Tensor] = {}

    def configure_for_input(self, shape: tuple[int, ...], shared: Callable[[str], NDArray[Any]]) -> None:
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("deviation", torch.ones(shape))
        levels = pyramid(shared("template"), shared("triangles"), self.factors)
        sizes = [shape[0], *(len(level.kept) for level in levels)]
        meshes = [torch.tensor(level.triangles) for level in levels]
        widths = (3, *self.channels)
        self.encoder = nn.ModuleList(
            ChebyshevConvolution(a, b, self.order, mesh, size)
            for (a, b), mesh, size in zip(pairwise(widths), meshes, sizes, strict=False)
        )
        back = (self.channels[-1], *reversed(self.channels))
        self.decoder = nn.ModuleList(
            ChebyshevConvolution(a, b, self.order, mesh, size)
            for (a, b), mesh, size in zip(pairwise(back), reversed(meshes), reversed(sizes[:-1]), strict=True)
        )
        self.last = ChebyshevConvolution(self.channels[0], 3, self.order, meshes[0], sizes[0])
        for number, level in enumerate(levels):  # buffers, which move to a GPU once and not at every step
            self.register_buffer(f"kept{number}", torch.tensor(level.kept), persistent=False)
        self.up = nn.ModuleList(
            SparseMap(
                torch.arange(fine).repeat_interleave(3),
                torch.tensor(level.corners).flatten(),
                torch.tensor(level.weights).flatten(),
                (fine, coarse),
            )
            for level, (fine, coarse) in zip(levels, pairwise(sizes), strict=True)
        )
        self.coarsest = (sizes[-1], self.channels[-1])
        flat = sizes[-1] * self.channels[-1]
        self.to_code, self.from_code = nn.Linear(flat, self.latent), nn.Linear(self.latent, flat)

    def setup_from_training_set(self, training: TrainingSet) -> None:
        """Find each vertex's mean and deviation, and the neutral faces of the training subjects."""
        total = torch.zeros(2, *self.mean.shape, dtype=torch.float64)
        for faces in chunks(training):
            exact = faces.double()
            total += torch.stack([exact.sum(0), exact.square().sum(0)])
        mean, square = total / len(training.train)
        self.mean = mean.float()
        self.deviation = (square - mean**2).clamp(min=1e-12).sqrt().float()
        faces_of = {subject: (face - self.mean) / self.deviation for subject, face in neutral_of(training).items()}
        if not faces_of:
            raise InvalidSuite("conv_mesh_ae: it needs neutral faces, and no training subject has one.")
        self.neutral = {i: faces_of[s] for i in training.train if (s := training.subject[i]) in faces_of}

    @property
    def kept(self) -> list[Tensor]:
        """Of each level the rows that the coarser one keeps."""
        return [self.get_buffer(f"kept{number}") for number in range(len(self.factors))]

    def encode(self, x: Tensor) -> Tensor:
        """Codes (B, latent) of normalised faces (B, V, 3)."""
        for convolution, kept in zip(self.encoder, self.kept, strict=True):
            x = F.elu(convolution(x))[:, kept]
        code: Tensor = self.to_code(x.flatten(1))
        return code

    def decode(self, code: Tensor) -> Tensor:
        """Normalised faces (B, V, 3) of codes (B, latent)."""
        x = self.from_code(code).view(-1, *self.coarsest)
        for convolution, up in zip(self.decoder, reversed(self.up), strict=True):
            x = F.elu(convolution(up(x)))
        face: Tensor = self.last(x)
        return face

    def forward(self, x: Tensor) -> Tensor:
        """Neutral faces of faces, (B, V, 3) in millimetres."""
        return self.predict(x)["identity"]

    def predict(self, x: Tensor) -> dict[str, Tensor]:
        code = self.encode((x - self.mean) / self.deviation)
        return {"identity": self.decode(code) * self.deviation + self.mean, "identity_code": code}

    def loss(self, batch: Batch) -> Tensor:
        """Mean absolute error of the normalised neutral face."""
        known = [number for number, i in enumerate(batch["id"]) if i in self.neutral]
        made = self.decode(self.encode((batch["input"] - self.mean) / self.deviation))
        if not known:
            return average(0 * made.sum(), 0)
        wanted = torch.stack([self.neutral[batch["id"][number]] for number in known]).to(made)
        return average(F.l1_loss(made[known], wanted), len(known))

    def validation_step(self, batch: Batch, _: int) -> None:
        """Nothing is chosen by it: the neutral faces of validation subjects are not known here."""

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = torch.optim.Adam(self.parameters(), self.learning_rate)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, self.decay)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "epoch"}}
