"""A linear face model: the floor that any network of face disentanglement must beat."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from numpy.typing import NDArray
from torch import Tensor

from fer_bench.errors import InvalidSuite
from fer_bench.methods.base import Method
from fer_bench.methods.stages import Stage
from fer_bench.methods.training_faces import neutral_of
from fer_bench.records import Batch, Target, TrainingSet
from fer_bench.representations.vertices import Vertices

_SAMPLE = 2000  # faces that the components of expressions are made from; more change nothing that matters


class LinearFaceModel(Method):
    """Principal components of the training subjects' neutral faces and of the differences of their other faces from
    these; a face is split by least squares over both at once.

    It is the classic model of identity and expression (Blanz and Vetter, SIGGRAPH 1999; FaceWarehouse, Cao et al.,
    TVCG 2014, has the expressions as differences). It sees the neutral faces of its training subjects, has no
    parameter that is trained, and is fitted in closed form. Identity has at most as many components as there are
    training subjects but one.

    Cite: Blanz, Vetter, "A morphable model for the synthesis of 3D faces", SIGGRAPH 1999.

    Args:
        target: Of disentanglement.
        latent: Components of identity and of expression, as many as the network that it is held against has.
        count: Vertices to keep of each mesh; None keeps all.
        noise: Standard deviation of a vertex's coordinates that the components do not explain, in millimetres. The
            larger, the more a split keeps to what is usual: components are drawn towards 0 as their variance in
            training tells. 0 for plain least squares.
        epochs: 0: nothing is trained in epochs.
        batch_size: Faces a step, in prediction.

    Raises:
        InvalidSuite: epochs are asked for, or no component.
    """

    tasks = ("disentanglement",)
    shaped_by_data: ClassVar[bool] = True

    mean_face: Tensor
    components: Tensor
    scales: Tensor

    def __init__(
        self,
        target: Target,
        latent: tuple[int, int] = (4, 4),
        count: int | None = None,
        noise: float = 1.0,
        epochs: int = 0,
        batch_size: int = 32,
    ) -> None:
        super().__init__(target, (Vertices(count=count),), Stage("", epochs, batch_size))
        if epochs or min(latent) < 1 or noise < 0:
            given = f"epochs is {epochs}, latent {list(latent)} and noise {noise}"
            raise InvalidSuite(
                f"linear_face_model: {given}; give 0 epochs, one component or more, and no negative noise."
            )
        self.latent, self.noise = latent, noise
        self.settled: Tensor | None = None

    def configure_for_input(self, shape: tuple[int, ...], shared: Callable[[str], NDArray[Any]]) -> None:
        size = 3 * shape[0]
        self.register_buffer("mean_face", torch.zeros(shape))
        self.register_buffer("components", torch.zeros(sum(self.latent), size))  # of length 1; those not there are 0
        self.register_buffer("scales", torch.zeros(sum(self.latent)))  # deviations in training, mm

    def setup_from_training_set(self, training: TrainingSet) -> None:
        """Fit it to the training fold."""
        neutral = neutral_of(training)
        if not neutral:
            raise InvalidSuite(
                "linear_face_model: no training subject has a neutral face; it cannot be fitted to these."
            )
        plain = torch.stack(list(neutral.values()))
        self.mean_face = plain.mean(0)
        known = [i for i in training.train if training.subject[i] in neutral]
        known = known[:: -(-len(known) // _SAMPLE)]
        moved = training.read(known) - torch.stack([neutral[training.subject[i]] for i in known])
        parts = [
            _principal((plain - self.mean_face).flatten(1), self.latent[0]),
            _principal(moved.flatten(1), self.latent[1]),
        ]
        self.components, self.scales = (torch.cat(both) for both in zip(*parts, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """Rebuilt faces of faces, (B, V, 3) in millimetres."""
        return self.predict(x)["reconstruction"]

    def predict(self, x: Tensor) -> dict[str, Tensor]:
        scaled = self._scaled()
        inverse = self._inverse(scaled) if self.settled is None else self.settled
        code = (x - self.mean_face).flatten(1) @ scaled.T @ inverse
        own, other = code.split(self.latent, dim=1)
        return {
            "reconstruction": self.compose(own, other),
            "identity": self.compose(own, torch.zeros_like(other)),
            "identity_code": own,
            "expression_code": other,
        }

    def prepare_for_export(self) -> None:
        self.settled = self._inverse(self._scaled())

    def _inverse(self, scaled: Tensor) -> Tensor:
        """(L, L) of the components; where one is not there, or nothing holds it, its code is 0."""
        precision = scaled @ scaled.T + self.noise**2 * torch.eye(len(scaled), device=scaled.device)
        inverse: Tensor = torch.linalg.pinv(precision, hermitian=True)
        return inverse

    def compose(self, identity_code: Tensor, expression_code: Tensor) -> Tensor:
        offsets = torch.cat([identity_code, expression_code], dim=1) @ self._scaled()
        return self.mean_face + offsets.view(-1, *self.mean_face.shape)

    def _scaled(self) -> Tensor:
        """The components (L, 3 V) in millimetres, one deviation long, so that a code is standard normal."""
        return self.components * self.scales[:, None]

    def loss(self, batch: Batch) -> Tensor:
        raise NotImplementedError("it is fitted by observe")

    def configure_optimizers(self) -> OptimizerLRScheduler:
        return None


def _principal(rows: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The first principal directions (count, D), of length 1, of rows (N, D) about 0, and their deviations (count,);
    0 where the rows have none left."""
    directions, scales = torch.zeros(count, rows.shape[1]), torch.zeros(count)
    exact = rows.double()
    values, mixtures = torch.linalg.eigh(exact @ exact.T)  # ascending; there are fewer rows than numbers in each
    for place in range(min(count, len(rows))):
        value = float(values[-1 - place])
        if value > 1e-10 * float(values[-1]):
            directions[place] = (mixtures[:, -1 - place] @ exact / value**0.5).float()
            scales[place] = (value / max(1, len(rows) - 1)) ** 0.5
    return directions, scales
