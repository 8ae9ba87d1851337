"""pytorch3d's rasteriser in place of our own, where it is installed and asked for.

It has no wheel for current Python and torch, so nothing requires it. `FER_BENCH_RASTERISER=pytorch3d` chooses it. The
two agree but for pixels at silhouettes, so one cache entry should be made with one of them.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import FerBenchError

VARIABLE = "FER_BENCH_RASTERISER"
_KNOWN = ("numba", "pytorch3d")


def chosen() -> bool:
    """Whether pytorch3d is asked for; raises `FerBenchError` when it is and is not installed."""
    name = os.environ.get(VARIABLE) or "numba"
    if name not in _KNOWN:
        raise FerBenchError(f"{VARIABLE}={name}: there is no such rasteriser; use {' or '.join(_KNOWN)}.")
    if name == "pytorch3d" and importlib.util.find_spec("pytorch3d") is None:
        raise FerBenchError(
            f"{VARIABLE}=pytorch3d: pytorch3d is not installed; build it from source, or unset {VARIABLE} for our own."
        )
    return name == "pytorch3d"


def rasterise(
    x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64], triangles: NDArray[np.int32], size: int
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
    """Of the nearest surface at each pixel centre: z (H, W), triangle or -1 (H, W), corner weights (H, W, 3).

    Args:
        x, y: (V,) pixels from the image's top left corner, x to the right and y down.
        z: (V,) towards the camera, in any unit.
        triangles: (F, 3).
        size: Pixels across.
    """
    import torch
    from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
    from pytorch3d.structures import Meshes

    # pytorch3d's own frame: +x to the left and +y up in [-1, 1], z growing away from the camera, nothing behind 0.
    away = z.max() - z + 1.0
    points = torch.from_numpy(np.column_stack([1 - 2 * x / size, 1 - 2 * y / size, away]).astype(np.float32))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    meshes: Any = Meshes([points.to(device)], [torch.from_numpy(triangles.astype(np.int64)).to(device)])
    found = rasterize_meshes(
        meshes, image_size=size, blur_radius=0.0, faces_per_pixel=1, perspective_correct=False, cull_backfaces=False
    )
    triangle, depth, weights = (tensor[0, :, :, 0].cpu().numpy() for tensor in found[:3])
    seen = triangle >= 0
    nearest = np.where(seen, z.max() + 1.0 - depth, -np.inf).astype(np.float32)
    return nearest, triangle.astype(np.int32), np.where(seen[..., None], weights, 0).astype(np.float32)
