"""PointNet++ with single-scale grouping (Qi et al., NeurIPS 2017), the backbone of DrFER.

DrFER names three set abstraction levels and a 1024-d feature; the radii, neighbour counts and widths are those of the
public PyTorch classifier (yanx27/Pointnet_Pointnet2_pytorch), whose other defaults DrFER prints as its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PAIRS_IN_CACHE = 2**20
PAIRS_ON_DEVICE = 2**26
"""Distances that `ball_query` holds at once: on a CPU a few MB that stay in its cache, elsewhere a bound on memory."""

SERIAL = 2**15
"""Elements from which torch spreads an operation over the cores of a CPU."""


@torch.no_grad()
def farthest_point_sample(xyz: Tensor, count: int) -> Tensor:
    """Choose points one by one, each the farthest from all chosen before.

    The first is point 0, always: public code draws it, and its evaluation then varies from run to run. Of equally far
    points the first is taken; coinciding points are chosen again only when nothing else is left.

    Args:
        xyz: Clouds (B, N, 3).
        count: Points to choose, at most N.

    Returns:
        Indices (B, count), int64.

    Raises:
        ValueError: more points are asked for than there are.
    """
    B, N, _ = xyz.shape
    if count > N:
        raise ValueError(f"{count} points cannot be chosen from clouds of {N}")
    # Thousands of short operations: where other processes use the cores too, waiting for a second thread in each of
    # them takes ten times as long as doing without it.
    clouds = max(1, (SERIAL - 1) // N) if xyz.device.type == "cpu" else B
    return torch.cat([_farthest(part, count) for part in xyz.float().split(clouds)])


def _farthest(xyz: Tensor, count: int) -> Tensor:
    x, y, z = (axis.contiguous() for axis in xyz.unbind(-1))  # (B, N)
    chosen = torch.zeros(len(xyz), count, dtype=torch.int64, device=xyz.device)
    nearest = torch.full_like(x, torch.inf)  # squared distance to the chosen points
    square, offset = torch.empty_like(x), torch.empty_like(x)
    for i in range(1, count):
        last = chosen[:, i - 1 : i]  # (B, 1)
        torch.sub(x, x.gather(1, last), out=square).square_()
        for axis in (y, z):
            torch.sub(axis, axis.gather(1, last), out=offset)
            square.addcmul_(offset, offset)
        torch.minimum(nearest, square, out=nearest)
        chosen[:, i] = nearest.argmax(1)
    return chosen


@torch.no_grad()
def ball_query(radius: float, k: int, xyz: Tensor, centres: Tensor) -> Tensor:
    """The first k points, in the order of their indices, at most `radius` away from each centre.

    Where a ball holds fewer, its first point fills the rest; where it holds more, the later points are left out, near
    or far, so that the result depends on the order of the points.

    Args:
        radius: In the units of the points.
        k: Points a ball.
        xyz: Clouds (B, N, 3).
        centres: Points of the same clouds (B, S, 3).

    Returns:
        Indices into N (B, S, k), int64.

    Raises:
        ValueError: a ball is empty: its centre is not a point of the cloud, or not a number.
    """
    pairs = PAIRS_IN_CACHE if xyz.device.type == "cpu" else PAIRS_ON_DEVICE
    clouds = max(1, pairs // (xyz.shape[1] * centres.shape[1]))
    parts = zip(xyz.float().split(clouds), centres.float().split(clouds), strict=True)
    return torch.cat([_first_within(radius, k, *part) for part in parts])


def _first_within(radius: float, k: int, xyz: Tensor, centres: Tensor) -> Tensor:
    B, N, _ = xyz.shape
    S = centres.shape[1]
    # Differences, not |a|^2 - 2ab + |b|^2: a matrix product would round the border of the balls, coarsely on a GPU.
    square = xyz.new_zeros(B, S, N)
    for axis in range(3):
        offset = xyz[:, None, :, axis] - centres[:, :, None, axis]  # (B, S, N)
        square.addcmul_(offset, offset)
    within = (square <= radius**2).view(B * S, N)
    count = within.sum(1)  # (B * S,)
    if not count.all():
        raise ValueError("a ball is empty; centres must be points of the cloud, and coordinates finite")
    # All hits come row by row and in the order of their indices; the hits of a row begin where those before it end.
    hits = within.nonzero()[:, 1]
    place = torch.arange(k, device=xyz.device)
    place = torch.where(place < count[:, None], place, 0)  # (B * S, k)
    return hits[place + (count.cumsum(0) - count)[:, None]].view(B, S, k)


class SetAbstraction(nn.Module):
    """Sample centres, gather the points around each, and describe each neighbourhood by one vector (their eq. 1).

    A point enters as its offset from the centre with its features; three linear maps with batch normalisation and ReLU
    (a 1x1 convolution each) follow, then the maximum over the neighbours.

    Args:
        centres: Neighbourhoods a cloud.
        radius: Of a neighbourhood, in the units of the points.
        k: Points a neighbourhood.
        in_features: Features a point, besides its coordinates.
        widths: Outputs of the linear maps.
    """

    def __init__(self, centres: int, radius: float, k: int, in_features: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.centres, self.radius, self.k = centres, radius, k
        self.mlp = _PointwiseMLP(in_features, widths)

    def forward(self, xyz: Tensor, features: Tensor | None) -> tuple[Tensor, Tensor]:
        """From points (B, N, 3) and features (B, N, in_features) or None to centres (B, S, 3) and theirs (B, S, C)."""
        B, N, _ = xyz.shape
        centres = _pick(xyz, farthest_point_sample(xyz, self.centres)[..., None])[:, :, 0]  # (B, S, 3)
        neighbours = ball_query(self.radius, self.k, xyz, centres)  # (B, S, k)
        offsets = _pick(xyz, neighbours) - centres[:, :, None]  # (B, S, k, 3)
        rows = (neighbours + N * torch.arange(B, device=xyz.device)[:, None, None]).flatten()
        return centres, self.mlp(offsets, features, rows)


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


def _pick(xyz: Tensor, index: Tensor) -> Tensor:
    """Points (B, S, k, 3) of clouds (B, N, 3) by index (B, S, k)."""
    clouds = torch.arange(len(xyz), device=xyz.device)[:, None, None]
    return xyz[clouds, index]


class Widths(NamedTuple):
    """A size of the network: `SetAbstraction`'s first three arguments and its widths, twice, and the last level's."""

    level1: tuple[int, float, int, tuple[int, ...]]
    level2: tuple[int, float, int, tuple[int, ...]]
    level3: tuple[int, ...]


Size = Literal["ssg", "nano"]
SIZES: dict[Size, Widths] = {
    # The published single-scale grouping.
    "ssg": Widths((512, 0.2, 32, (64, 64, 128)), (128, 0.4, 64, (128, 128, 256)), (256, 512, 1024)),
    # Ours, nobody's paper: for CPUs and the quickstart, about a hundredth of the work.
    "nano": Widths((128, 0.25, 16, (16, 16, 32)), (32, 0.5, 16, (32, 32, 64)), (64, 128, 256)),
}


class PointNet2Encoder(nn.Module):
    """Three set abstraction levels; 807,744 parameters at the published size.

    The feature does not change when the points are reordered as long as point 0 stays first and no ball holds more
    than its k points; beyond that it depends on their order, see `ball_query`. It does change when the cloud is moved,
    for the last level sees coordinates: clouds are expected centred and in the unit ball, the unit of the radii.

    Attributes:
        features: Length of the feature, 1024 at the published size.
        fewest: Fewest points of a cloud.
    """

    def __init__(self, size: Size = "ssg") -> None:
        super().__init__()
        (centres1, radius1, k1, widths1), (centres2, radius2, k2, widths2), widths3 = SIZES[size]
        self.level1 = SetAbstraction(centres1, radius1, k1, 0, widths1)
        self.level2 = SetAbstraction(centres2, radius2, k2, widths1[-1], widths2)
        self.level3 = GlobalAbstraction(widths2[-1], widths3)
        self.features, self.fewest = widths3[-1], centres1

    def forward(self, xyz: Tensor) -> Tensor:
        """The feature (B, features) of clouds (B, N, 3); raises `ValueError` when N < `fewest`."""
        centres1, features1 = self.level1(xyz, None)  # (B, 512, 3), (B, 512, 128) at the published size
        centres2, features2 = self.level2(centres1, features1)  # (B, 128, 3), (B, 128, 256)
        return self.level3(centres2, features2)


class PointNet2Head(nn.Sequential):
    """The classifier on the global feature, 1024-512-256-classes; 659,206 parameters with six classes.

    DrFER prints that it is made of fully connected layers; their widths and the dropout are the public classifier's.
    """

    def __init__(self, num_classes: int, dropout: float = 0.4, features: int = 1024) -> None:
        super().__init__(
            *_dense(features, features // 2, dropout),
            *_dense(features // 2, features // 4, dropout),
            nn.Linear(features // 4, num_classes),
        )


def _dense(inputs: int, outputs: int, dropout: float) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True), nn.Dropout(dropout)]
