"""PointNet++ (Qi et al., NeurIPS 2017), with single-scale grouping the backbone of DrFER.

DrFER names three set abstraction levels and a 1024-d feature; the radii, neighbour counts and widths are those of the
public PyTorch classifier (yanx27/Pointnet_Pointnet2_pytorch), whose other defaults DrFER prints as its own.
"""

import itertools
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fer_bench.nn.point_ops import ball_query, farthest_point_sample, take


class Scale(NamedTuple):
    """How a level looks around its centres.

    Attributes:
        radius: Of a neighbourhood, in the units of the points.
        k: Points a neighbourhood.
        widths: Outputs of the linear maps.
    """

    radius: float
    k: int
    widths: tuple[int, ...]


class SetAbstraction(nn.Module):
    """Sample centres, gather the points around each, and describe each neighbourhood by one vector (their eq. 1).

    A point enters as its offset from the centre with its features; three linear maps with batch normalisation and ReLU
    (a 1x1 convolution each) follow, then the maximum over the neighbours. With several scales, each looks around the
    same centres with maps of its own, and their vectors are concatenated (multi-scale grouping, their section 3.3).

    Args:
        centres: Neighbourhoods a cloud.
        scales: One, or several for multi-scale grouping.
        in_features: Features a point, besides its coordinates.

    Attributes:
        features: Length of a centre's vector.
    """

    def __init__(self, centres: int, scales: Sequence[Scale], in_features: int) -> None:
        super().__init__()
        self.centres, self.scales = centres, tuple(scales)
        self.mlps = nn.ModuleList(_PointwiseMLP(in_features, scale.widths) for scale in scales)
        self.features = sum(scale.widths[-1] for scale in scales)

    def forward(self, xyz: Tensor, features: Tensor | None) -> tuple[Tensor, Tensor]:
        """From points (B, N, 3) and features (B, N, in_features) or None to centres (B, S, 3) and theirs (B, S, C)."""
        B, N, _ = xyz.shape
        centres = take(xyz, farthest_point_sample(xyz, self.centres)[..., None])[:, :, 0]  # (B, S, 3)
        clouds = N * torch.arange(B, device=xyz.device)[:, None, None]
        vectors = []
        for scale, mlp in zip(self.scales, self.mlps, strict=True):
            neighbours = ball_query(scale.radius, scale.k, xyz, centres)  # (B, S, k)
            offsets = take(xyz, neighbours) - centres[:, :, None]  # (B, S, k, 3)
            vectors.append(mlp(offsets, features, (neighbours + clouds).flatten()))
        return centres, torch.cat(vectors, -1)


class GlobalAbstraction(nn.Module):
    """The last level: one neighbourhood that holds the whole cloud, around the origin.

    Args:
        in_features: Features a point, besides its coordinates.
        widths: Outputs of the linear maps.
    """

    def __init__(self, in_features: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.mlp = _PointwiseMLP(in_features, widths)

    def forward(self, xyz: Tensor, features: Tensor) -> Tensor:
        """From points (B, N, 3) and features (B, N, in_features) to features (B, C)."""
        B, N, _ = xyz.shape
        rows = torch.arange(B * N, device=xyz.device)
        return self.mlp(xyz[:, None], features, rows)[:, 0]


class _PointwiseMLP(nn.Module):
    """Linear maps with batch normalisation and ReLU on each neighbour, then the maximum over the neighbours.

    Neighbours are rows of a matrix: on a CPU several times as fast as a 1x1 convolution over (B, C, S, k).
    """

    def __init__(self, in_features: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.first = nn.Linear(3 + in_features, widths[0])
        self.others = nn.ModuleList(nn.Linear(i, o) for i, o in itertools.pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths)

    def forward(self, offsets: Tensor, features: Tensor | None, rows: Tensor) -> Tensor:
        """Offsets (B, S, k, 3), features (B, N, F) or None, and which of their B*N rows (B*S*k,) -> (B, S, C)."""
        B, S, k, _ = offsets.shape
        x = offsets.reshape(-1, 3)  # (B*S*k, 3)
        if features is None:
            x = self.first(x)
        else:
            # The map of [offset; features] is the sum of two maps. That of the features is the same for a point in
            # every neighbourhood it belongs to: it is applied once, before gathering.
            mapped = F.linear(features.flatten(0, 1), self.first.weight[:, 3:], self.first.bias)  # (B*N, C)
            x = mapped.index_select(0, rows) + F.linear(x, self.first.weight[:, :3])
        x = self.norms[0](x)
        for linear, norm in zip(self.others, self.norms[1:], strict=True):
            x = norm(linear(F.relu(x, inplace=True)))
        # The last ReLU comes after the maximum: the same result, on k times fewer numbers.
        return F.relu(x.view(B, S, k, -1).max(2).values)


class Widths(NamedTuple):
    """A size of the network: how many centres the first two levels have, their scales, and the last level's widths."""

    centres1: int
    scales1: tuple[Scale, ...]
    centres2: int
    scales2: tuple[Scale, ...]
    widths3: tuple[int, ...]


Size = Literal["ssg", "msg", "nano"]
SIZES: dict[Size, Widths] = {
    # The published single-scale grouping.
    "ssg": Widths(
        512,
        (Scale(0.2, 32, (64, 64, 128)),),
        128,
        (Scale(0.4, 64, (128, 128, 256)),),
        (256, 512, 1024),
    ),
    # The published multi-scale grouping.
    "msg": Widths(
        512,
        (Scale(0.1, 16, (32, 32, 64)), Scale(0.2, 32, (64, 64, 128)), Scale(0.4, 128, (64, 96, 128))),
        128,
        (Scale(0.2, 32, (64, 64, 128)), Scale(0.4, 64, (128, 128, 256)), Scale(0.8, 128, (128, 128, 256))),
        (256, 512, 1024),
    ),
    # Of no paper: for CPUs and the quickstart, about a hundredth of the work of ssg.
    "nano": Widths(
        128,
        (Scale(0.25, 16, (16, 16, 32)),),
        32,
        (Scale(0.5, 16, (32, 32, 64)),),
        (64, 128, 256),
    ),
}


class PointNet2Encoder(nn.Module):
    """Three set abstraction levels; 807,744 parameters with single-scale grouping, 1,079,424 with multi-scale grouping.

    The feature does not change when the points are reordered as long as point 0 stays first and no ball holds more
    than its k points; beyond that it depends on their order, see `ball_query`. It does change when the cloud is moved,
    for the last level sees coordinates: clouds are expected centred and in the unit ball, the unit of the radii.

    Attributes:
        features: Length of the feature, 1024 at the published sizes.
        level_features: Lengths of what `levels` returns; (128, 256, 1024) with single-scale grouping.
        fewest: Fewest points of a cloud.
    """

    def __init__(self, size: Size = "ssg") -> None:
        super().__init__()
        centres1, scales1, centres2, scales2, widths3 = SIZES[size]
        self.level1 = SetAbstraction(centres1, scales1, 0)
        self.level2 = SetAbstraction(centres2, scales2, self.level1.features)
        self.level3 = GlobalAbstraction(self.level2.features, widths3)
        self.features, self.fewest = widths3[-1], centres1
        self.level_features = (self.level1.features, self.level2.features, self.features)

    def forward(self, xyz: Tensor) -> Tensor:
        """The feature (B, features) of clouds (B, N, 3); raises `ValueError` when N < `fewest`."""
        return self.levels(xyz)[-1]

    def levels(self, xyz: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What each level finds in clouds (B, N, 3), as `level_features`: the maximum over the first level's centres
        (B, C1), over the second's (B, C2), and the feature (B, features). Raises `ValueError` when N < `fewest`."""
        centres1, features1 = self.level1(xyz, None)  # (B, 512, 3), (B, 512, 128) with single-scale grouping
        centres2, features2 = self.level2(centres1, features1)  # (B, 128, 3), (B, 128, 256)
        return features1.max(1).values, features2.max(1).values, self.level3(centres2, features2)


class PointNet2Head(nn.Sequential):
    """The classifier on the global feature, 1024-512-256-classes; 659,206 parameters with six classes.

    DrFER prints that it is made of fully connected layers; their widths and the dropout are the public classifier's.

    Args:
        dropout: Of both hidden layers: 0.4 twice in the public code, and 0.4 and 0.5 with multi-scale grouping (`msg`),
            where the second's is 1.25 times as large here too.
    """

    def __init__(self, num_classes: int, dropout: float = 0.4, features: int = 1024, msg: bool = False) -> None:
        super().__init__(
            *_dense(features, features // 2, dropout),
            *_dense(features // 2, features // 4, 1.25 * dropout if msg else dropout),
            nn.Linear(features // 4, num_classes),
        )


def _dense(inputs: int, outputs: int, dropout: float) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True), nn.Dropout(dropout)]
