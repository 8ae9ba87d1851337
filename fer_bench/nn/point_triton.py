"""Farthest-point sampling as one Triton kernel; imported only for tensors on a GPU."""

import torch
import triton
import triton.language as tl
from torch import Tensor

MOST_POINTS = 2**16
"""A cloud is kept in the registers of one multiprocessor; beyond 2^13 points they spill over, slowly but rightly."""


def farthest(xyz: Tensor, count: int) -> Tensor:
    """Indices (B, count) of clouds (B, N, 3), float32 or float64, N <= `MOST_POINTS`."""
    B, N, _ = xyz.shape
    axes = xyz.transpose(1, 2).contiguous()  # (B, 3, N)
    chosen = torch.empty(B, count, dtype=torch.int64, device=xyz.device)
    block = triton.next_power_of_2(N)
    warps = min(32, max(4, block // 256))
    with torch.cuda.device_of(xyz):  # Triton launches on the current device
        # A product and a sum rounded once, a GPU's default, would select other points than a CPU.
        _farthest[(B,)](axes, chosen, N, count, BLOCK=block, num_warps=warps, enable_fp_fusion=False)
    return chosen


@triton.jit
def _farthest(axes, chosen, N, count, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """A program samples a whole cloud."""
    cloud = tl.program_id(0).to(tl.int64)
    axes += cloud * 3 * N
    chosen += cloud * count
    at = tl.arange(0, BLOCK)
    inside = at < N
    x = tl.load(axes + at, mask=inside, other=0.0)
    y = tl.load(axes + N + at, mask=inside, other=0.0)
    z = tl.load(axes + 2 * N + at, mask=inside, other=0.0)
    # Squared distance to the chosen points: -1 once chosen, -2 where there is no point.
    nearest = tl.where(inside, float("inf"), -2.0).to(tl.float64)
    new = 0
    for i in range(count):
        tl.store(chosen + i, new)
        dx = x.to(tl.float64) - tl.load(axes + new).to(tl.float64)
        dy = y.to(tl.float64) - tl.load(axes + N + new).to(tl.float64)
        dz = z.to(tl.float64) - tl.load(axes + 2 * N + new).to(tl.float64)
        nearest = tl.minimum(nearest, dx * dx + dy * dy + dz * dz)
        nearest = tl.where(at == new, -1.0, nearest)
        new = tl.argmax(nearest, 0)  # of equals the first
