"""The searches of `point_ops` in operations that ONNX has, used while a network is exported.

All in float64, products and sums as written, so that they decide as the others do.
"""

import torch
from torch import Tensor
from torch._higher_order_ops.scan import scan


def farthest(xyz: Tensor, count: int) -> Tensor:
    """Indices (B, count) of clouds (B, N, 3), float64; see `point_ops.farthest_point_sample`."""
    at = torch.arange(xyz.shape[1], device=xyz.device)

    def step(carry: tuple[Tensor, Tensor], _: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        nearest, last = carry  # (B, N), -1 once chosen; (B, 1)
        point = xyz.gather(1, last[..., None].expand(-1, -1, 3))  # (B, 1, 3)
        x, y, z = (xyz - point).square().unbind(-1)
        nearest = torch.where(at == last, -1.0, torch.minimum(nearest, x + y + z))
        chosen = nearest.argmax(1, keepdim=True)
        return (nearest, chosen), last.clone()

    first = xyz.new_full(xyz.shape[:2], torch.inf), torch.zeros_like(xyz[:, :1, 0], dtype=torch.int64)
    _, found = scan(step, first, torch.zeros(count, device=xyz.device))  # (count, B, 1)
    return found[..., 0].T


def within(radius: float, k: int, xyz: Tensor, centres: Tensor) -> Tensor:
    """Indices (B, S, k) of clouds (B, N, 3) around centres (B, S, 3), float64, no ball being empty; see
    `point_ops.ball_query`."""
    N = xyz.shape[1]
    x, y, z = (xyz[:, None] - centres[:, :, None]).square().unbind(-1)  # (B, S, N)
    at = torch.arange(N, device=xyz.device)
    hits = torch.where(x + y + z <= radius**2, at, N)
    first = hits.topk(min(k, N), largest=False, sorted=True).values
    if k > N:
        first = torch.cat([first, first.new_full((*first.shape[:2], k - N), N)], dim=2)
    return torch.where(first < N, first, first[..., :1])
