"""The networks of the face disentanglement paper, under the state-dict keys of its public checkpoints."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fer_bench.nn.global_batch import draw
from fer_bench.nn.global_batch_layers import dropped
from fer_bench.nn.max_pooling import pooled


class Faces(NamedTuple):
    """What the autoencoder makes of faces.

    Attributes:
        identity, whole: Offsets from the mean face, (B, V, 3): of the identity, and of identity and expression.
        identity_code, expression_code: The codes that were decoded, (B, L).
        identity_spread, expression_spread: Means and log variances of their distributions, (B, 2, L).
    """

    identity: Tensor
    whole: Tensor
    identity_code: Tensor
    expression_code: Tensor
    identity_spread: Tensor
    expression_spread: Tensor


class FaceAutoencoder(nn.Module):
    """A variational PointNet encoder and two decoders of offsets from a mean face.

    Args:
        vertices: V.
        latent: Lengths of the codes of identity and of expression.
    """

    conv5: nn.Conv1d
    bn5: nn.BatchNorm1d

    def __init__(self, vertices: int, latent: tuple[int, int]) -> None:
        super().__init__()
        widths = (3, 64, 64, 64, 128, 1024)
        for number, (narrow, wide) in enumerate(pairwise(widths), start=1):
            setattr(self, f"conv{number}", nn.Conv1d(narrow, wide, 1))
            setattr(self, f"bn{number}", nn.BatchNorm1d(wide))
        for name, length in zip(("id", "exp"), latent, strict=True):
            setattr(self, f"fc_{name}_mu", nn.Linear(1024, length))
            setattr(self, f"fc_{name}_sigma", nn.Linear(1024, length))
            setattr(self, f"fc1_{name}", nn.Linear(length, 256))
            setattr(self, f"fc2_{name}", nn.Linear(256, 3 * vertices))

    def encode(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log variances (B, 2, L) of the codes of identity and of expression of faces (B, V, 3)."""
        x = faces.flatten(0, 1)
        for number in range(1, 5):
            x = F.relu(self.get_submodule(f"bn{number}")(pointwise(self.get_submodule(f"conv{number}"), x)))
        x = F.relu(pooled(x.view(*faces.shape[:2], -1), self.conv5, self.bn5))
        both = [
            torch.stack([self.get_submodule(f"fc_{name}_{part}")(x) for part in ("mu", "sigma")], dim=1)
            for name in ("id", "exp")
        ]
        return both[0], both[1]

    def decode(self, name: str, code: Tensor) -> Tensor:
        """Offsets (B, V, 3) of codes (B, L); `name` is `id` or `exp`."""
        hidden = F.relu(self.get_submodule(f"fc1_{name}")(code))
        offsets: Tensor = self.get_submodule(f"fc2_{name}")(hidden)
        # The public code reshapes to (3, V) and transposes: the outputs are all x, then all y, then all z.
        return offsets.unflatten(1, (3, -1)).transpose(1, 2)

    def forward(self, faces: Tensor, sampled: bool) -> Faces:
        """Rebuild faces (B, V, 3), from codes drawn from their distributions or from the means of these."""
        spreads = self.encode(faces)
        codes = [sample_code(spread) if sampled else spread[:, 0] for spread in spreads]
        identity = self.decode("id", codes[0])
        return Faces(identity, identity + self.decode("exp", codes[1]), codes[0], codes[1], *spreads)


@contextmanager
def statistics_kept(network: nn.Module) -> Iterator[None]:
    """What passes through the network meanwhile leaves no trace in the running statistics of its batch
    normalisation."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d)]
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def pointwise(layer: nn.Module, x: Tensor) -> Tensor:
    """A convolution of width 1 or a linear layer on points (B V, C), as a product of matrices: the public checkpoints
    have convolutions, which take a multiple of the time."""
    return F.linear(x, layer.weight.flatten(1), layer.bias)  # type: ignore[operator,arg-type]


def sample_code(spread: Tensor) -> Tensor:
    """Codes (B, L) of means and log variances (B, 2, L)."""
    mean, log_variance = spread.unbind(1)
    noise = draw(len(mean), lambda rows: torch.randn(rows, mean.shape[1], dtype=mean.dtype, device=mean.device))
    return mean + noise * (log_variance / 2).exp()


def kl_divergence(spread: Tensor, code: Tensor) -> Tensor:
    """log q(z) - log p(z) of the code itself, summed over its length and averaged over the batch, a scalar: the public
    code's estimate, from one draw, of the divergence from a standard normal that has a closed form."""
    mean, log_variance = spread.unbind(1)
    own = -0.5 * (log_variance + (code - mean) ** 2 / log_variance.exp())
    return (own + 0.5 * code**2).sum(1).mean()


class _Transform(nn.Module):
    """PointNet's transformer: points (B, V, K) to a matrix (B, K, K)."""

    bn3: nn.BatchNorm1d

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.conv1, self.conv2, self.conv3 = nn.Conv1d(width, 64, 1), nn.Conv1d(64, 128, 1), nn.Conv1d(128, 1024, 1)
        self.fc1, self.fc2, self.fc3 = nn.Linear(1024, 512), nn.Linear(512, 256), nn.Linear(256, width * width)
        for number, features in enumerate((64, 128, 1024, 512, 256), start=1):
            setattr(self, f"bn{number}", nn.BatchNorm1d(features))

    def forward(self, x: Tensor, use_bn: bool) -> Tensor:
        flat = _layers(self, x.flatten(0, 1), ("conv1", "conv2"), ("bn1", "bn2"), use_bn)
        x = F.relu(pooled(flat.view(*x.shape[:2], -1), self.conv3, self.bn3 if use_bn else None))
        x = self.fc3(_layers(self, x, ("fc1", "fc2"), ("bn4", "bn5"), use_bn))
        return x.view(-1, self.width, self.width) + torch.eye(self.width, device=x.device, dtype=x.dtype)


class _PairFeatures(nn.Module):
    """PointNet's features (B, 1024) of vertices (B, V, 6), turned by its transformer first."""

    bn3: nn.BatchNorm1d

    def __init__(self) -> None:
        super().__init__()
        self.stn = _Transform(6)
        self.conv1, self.conv2, self.conv3 = nn.Conv1d(6, 64, 1), nn.Conv1d(64, 128, 1), nn.Conv1d(128, 1024, 1)
        for number, features in enumerate((64, 128, 1024), start=1):
            setattr(self, f"bn{number}", nn.BatchNorm1d(features))

    def forward(self, x: Tensor, use_bn: bool) -> Tensor:
        turned = (x @ self.stn(x, use_bn)).flatten(0, 1)
        flat = _layers(self, turned, ("conv1", "conv2"), ("bn1", "bn2"), use_bn)
        return F.relu(pooled(flat.view(*x.shape[:2], -1), self.conv3, self.bn3 if use_bn else None))


class IdentityDiscriminator(nn.Module):
    """Whether two meshes of one topology are of one person: the logits (B, 2) of no and yes.

    Paper and code disagree on batch normalisation: the text has it, and the public code turns it and the dropout off in
    the joint training of most settings. Its layers are there either way, as in the public checkpoints.
    """

    def __init__(self) -> None:
        super().__init__()
        self.feature_network = _PairFeatures()
        self.fc1, self.fc2, self.fc3 = nn.Linear(1024, 512), nn.Linear(512, 256), nn.Linear(256, 2)
        self.bn4, self.bn5 = nn.BatchNorm1d(512), nn.BatchNorm1d(256)

    def forward(self, faces: Tensor, others: Tensor, use_bn: bool) -> Tensor:
        """Of pairs of faces (B, V, 3)."""
        x = self.feature_network(torch.cat([faces, others], dim=2), use_bn)
        x = F.relu(self.bn4(self.fc1(x)) if use_bn else self.fc1(x))
        x = self.fc2(x)
        if use_bn:
            x = self.bn5(dropped(x, 0.5, self.training))
        logits: Tensor = self.fc3(F.relu(x))
        return logits


def _layers(module: nn.Module, x: Tensor, layers: tuple[str, ...], norms: tuple[str, ...], use_bn: bool) -> Tensor:
    for layer, norm in zip(layers, norms, strict=True):
        x = pointwise(module.get_submodule(layer), x)
        x = F.relu(module.get_submodule(norm)(x) if use_bn else x)
    return x
