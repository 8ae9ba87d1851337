"""Operations on batches of point clouds: sampling, ball query, nearest neighbours and Chamfer distance.

On a CPU they are compiled (`point_kernels`), on a GPU a Triton kernel samples and torch does the rest; other devices
have their clouds taken to the CPU and back. Every choice is made in float64 and without fused arithmetic, so that all
devices make the same.
"""

import importlib.util

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fer_bench.nn import point_kernels

PAIRS = 2**25
"""Distances in GPU memory at once: 256 MB, a few times over."""


@torch.no_grad()
def farthest_point_sample(xyz: Tensor, count: int) -> Tensor:
    """Choose points one by one, each the farthest from all chosen before.

    The first is point 0, always: public code draws it, and its evaluation then varies from run to run. Of equally far
    points the first is taken, and none is taken twice; points that coincide with a chosen one come last.

    Args:
        xyz: Finite clouds (B, N, 3).
        count: Points to choose, at most N.

    Returns:
        Indices (B, count), int64.

    Raises:
        ValueError: more points are requested than exist.
    """
    _check(xyz)
    N = xyz.shape[1]
    if not 1 <= count <= N:
        raise ValueError(f"{count} points cannot be chosen from clouds of {N}")
    xyz = xyz.detach().to(_dtype(xyz))
    if torch.compiler.is_exporting():
        from fer_bench.nn import point_export

        return point_export.farthest(xyz.double(), count)
    if _on_cpu(xyz):
        return torch.from_numpy(point_kernels.farthest(xyz.cpu().contiguous().numpy(), count)).to(xyz.device)
    if _importable("triton"):
        from fer_bench.nn import point_triton

        if N <= point_triton.MOST_POINTS:
            return point_triton.farthest(xyz, count)
    return _farthest(xyz.double(), count)


def _farthest(xyz: Tensor, count: int) -> Tensor:
    x, y, z = (axis.contiguous() for axis in xyz.unbind(-1))  # (B, N)
    chosen = torch.zeros(len(xyz), count, dtype=torch.int64, device=xyz.device)
    nearest = torch.full_like(x, torch.inf)  # squared distance to the chosen points, -1 once chosen
    for i in range(1, count):
        last = chosen[:, i - 1 : i]  # (B, 1)
        dx, dy, dz = (axis - axis.gather(1, last) for axis in (x, y, z))
        torch.minimum(nearest, dx * dx + dy * dy + dz * dz, out=nearest)
        nearest.scatter_(1, last, -1.0)
        chosen[:, i] = nearest.argmax(1)
    return chosen


@torch.no_grad()
def ball_query(radius: float, k: int, xyz: Tensor, centres: Tensor) -> Tensor:
    """The first k points, in the order of their indices, at most `radius` away from each centre.

    Where a ball holds fewer, its first point fills the rest; where it holds more, the later points are left out, near
    or far, so that the result depends on the order of the points.

    Args:
        radius: In the units of the points.
        k: Points a ball, at least 1.
        xyz: Clouds (B, N, 3).
        centres: Points of the same clouds (B, S, 3).

    Returns:
        Indices into N (B, S, k), int64.

    Raises:
        ValueError: a ball is empty: its centre is not a point of the cloud, or not a number, or it is to hold none.
    """
    # Never pytorch3d's: its balls are without their border, and it fills them with -1. Its sampling starts and breaks
    # ties by rules of its own in float32, which is why `farthest_point_sample` does not use it either.
    _check(xyz, centres)
    if k < 1:
        raise ValueError(f"a ball of {k} points is requested; give 1 or more")
    if torch.compiler.is_exporting():
        from fer_bench.nn import point_export

        return point_export.within(radius, k, xyz.detach().double(), centres.detach().double())
    if _on_cpu(xyz):
        found = point_kernels.within(radius, k, _axes(xyz), _axes(centres))
        if found is None:
            raise ValueError(EMPTY)
        return torch.from_numpy(found).to(xyz.device)
    xyz, centres = xyz.detach().double(), centres.detach().double()
    parts = centres.split(_rows(xyz), 1)
    return torch.cat([_first_within(radius, k, xyz, part) for part in parts], 1)


EMPTY = "a ball is empty; centres must be points of the cloud, and coordinates finite"


def _first_within(radius: float, k: int, xyz: Tensor, centres: Tensor) -> Tensor:
    B, S, _ = centres.shape
    within = (_squares(centres, xyz) <= radius**2).flatten(0, 1)  # (B * S, N)
    count = within.sum(1)  # (B * S,)
    if not count.all():
        raise ValueError(EMPTY)
    # All hits come row by row and in the order of their indices; the hits of a row begin where those before it end.
    hits = within.nonzero()[:, 1]
    place = torch.arange(k, device=xyz.device)
    place = torch.where(place < count[:, None], place, 0)  # (B * S, k)
    return hits[place + (count.cumsum(0) - count)[:, None]].view(B, S, k)


def nearest(points: Tensor, among: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
    """The k nearest neighbours of each point, the nearest first; of equally near ones the first.

    On a GPU where pytorch3d is installed it does the search, in the dtype of the distances: there neighbours that
    are equally near but for rounding may change places.

    Args:
        points: (B, S, 3).
        among: Finite clouds (B, N, 3).
        k: Neighbours a point, at most N.

    Returns:
        Squared distances (B, S, k), differentiable, in float32 or, where an input is, in float64; and indices into N
        (B, S, k), int64.

    Raises:
        ValueError: more neighbours are requested than there are points.
    """
    _check(points, among)
    N = among.shape[1]
    if not 1 <= k <= N:
        raise ValueError(f"{k} nearest neighbours cannot be found among clouds of {N}")
    device = points.device
    if _on_cpu(points):
        points, among = points.cpu(), among.cpu()
    with torch.no_grad():
        index = _search(points.detach(), among.detach(), k)
    # Like the search in float64, so that distances stay in its order when they are rounded.
    x, y, z = (points.double()[:, :, None] - take(among.double(), index)).unbind(-1)  # (B, S, k)
    return (x * x + y * y + z * z).to(_dtype(points, among)).to(device), index.to(device)


def _search(points: Tensor, among: Tensor, k: int) -> Tensor:
    if _on_cpu(points):
        return torch.from_numpy(point_kernels.nearest(_axes(points), _axes(among), k))
    if _importable("pytorch3d"):
        from pytorch3d.ops import knn_points

        dtype = _dtype(points, among)
        index: Tensor = knn_points(points.to(dtype), among.to(dtype), K=k).idx
        return index
    points, among = points.double(), among.double()
    return torch.cat([_nearest(part, among, k) for part in points.split(_rows(among), 1)], 1)


def _nearest(points: Tensor, among: Tensor, k: int) -> Tensor:
    squares = _squares(points, among)
    if k == 1:
        return squares.argmin(-1, keepdim=True)
    return squares.sort(stable=True).indices[..., :k]  # topk promises nothing about ties


def chamfer(a: Tensor, b: Tensor) -> Tensor:
    """Chamfer distance (Fan et al., CVPR 2017): squared distances to the nearest point of the other cloud, either way.

    Their sum over a cloud is a mean here, so that it does not grow with the points; DrFER does not print which it took.
    Memory grows with N + M, not with their product.

    Args:
        a: Finite clouds (B, N, 3).
        b: Finite clouds (B, M, 3).

    Returns:
        (B,), in the squared unit of the points, differentiable in both clouds; in float32 or, where an input is, in
        float64, also under autocast.

    Raises:
        ValueError: a cloud has no points.
    """
    return nearest(a, b)[0].mean((1, 2)) + nearest(b, a)[0].mean((1, 2))


def take(clouds: Tensor, index: Tensor) -> Tensor:
    """Points (B, S, k, C) of clouds (B, N, C) by index (B, S, k)."""
    return clouds[torch.arange(len(clouds), device=clouds.device)[:, None, None], index]


def _squares(points: Tensor, among: Tensor) -> Tensor:
    """Squared distances (B, S, N) between (B, S, 3) and (B, N, 3)."""
    # Differences, not |a|^2 - 2ab + |b|^2: a matrix product would round what is near, coarsely on a GPU. And products
    # apart from sums, for addcmul may round both at once.
    squares = (points[:, :, None, 0] - among[:, None, :, 0]).square_()
    for axis in (1, 2):
        squares += (points[:, :, None, axis] - among[:, None, :, axis]).square_()
    return squares


def _rows(clouds: Tensor) -> int:
    """How many points of each of B clouds may be paired at once with all of (B, N, 3)."""
    return max(1, PAIRS // (len(clouds) * clouds.shape[1]))


def _check(*clouds: Tensor) -> None:
    shapes = [tuple(cloud.shape) for cloud in clouds]
    if any(len(shape) != 3 or shape[2] != 3 or shape[0] != shapes[0][0] for shape in shapes):
        raise ValueError(f"clouds must be (B, N, 3) with one B, not {' and '.join(map(str, shapes))}")


def _dtype(*clouds: Tensor) -> torch.dtype:
    """float64 where a cloud is, else float32."""
    return torch.float64 if any(cloud.dtype == torch.float64 for cloud in clouds) else torch.float32


def _axes(clouds: Tensor) -> NDArray[np.float64]:
    """Clouds (B, N, 3) as an array (B, 3, N)."""
    return clouds.detach().cpu().double().transpose(1, 2).contiguous().numpy()


def _on_cpu(cloud: Tensor) -> bool:
    """Whether the compiled kernels do the work: all devices but GPUs that torch calls CUDA."""
    return cloud.device.type != "cuda"


def _importable(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
