"""Random changes of point clouds in training: the two that DrFER names, random dropout and random scale.

DrFER prints no ranges; the defaults of the methods are those of the public PointNet++ classifier
(yanx27/Pointnet_Pointnet2_pytorch). It also shifts clouds, which DrFER does not mention and we leave out.
"""

import torch
from torch import Tensor

from fer_bench.nn.global_batch import draw


def drop_points(xyz: Tensor, maximum: float) -> Tensor:
    """Replace a random part of each cloud by its point 0, so that the number of points stays.

    Args:
        xyz: Clouds (B, N, 3).
        maximum: Each cloud loses a share drawn uniformly from [0, maximum] of its points, in expectation.
    """
    B, N, _ = xyz.shape
    share = maximum * draw(B, lambda rows: torch.rand(rows, 1, device=xyz.device))
    dropped = draw(B, lambda rows: torch.rand(rows, N, device=xyz.device)) < share  # (B, N)
    return torch.where(dropped[..., None], xyz[:, :1], xyz)


def scale_points(xyz: Tensor, low: float, high: float) -> Tensor:
    """Multiply each cloud (B, N, 3) by one factor drawn uniformly from [low, high]."""
    factor = draw(len(xyz), lambda rows: torch.empty(rows, 1, 1, device=xyz.device).uniform_(low, high))
    return xyz * factor
