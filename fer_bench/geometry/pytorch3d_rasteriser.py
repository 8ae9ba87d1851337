"""pytorch3d's rasteriser in place of our own, where it is installed and selected.

It has no wheel for current Python and torch, so nothing requires it. `FER_BENCH_RASTERISER=pytorch3d` chooses it. The
two agree but for pixels at silhouettes, so one cache entry should be made with one of them.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fer_bench.geometry.rasteriser import SUBPIXEL, Fragments


def rasterise(
    x: NDArray[np.int64], y: NDArray[np.int64], z: NDArray[np.float64], triangles: NDArray[np.int32], size: int
) -> Fragments:
    """As `fer_bench.geometry.rasteriser.rasterise`."""
    from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
    from pytorch3d.structures import Meshes

    # pytorch3d's own frame: +x to the left and +y up in [-1, 1], z growing away from the camera, nothing behind 0.
    # Perspective hands in 1 / distance, whose range is tiny: stretched to 1, for z is kept in float32 there.
    low, extent = z.min(), max(float(np.ptp(z)), 1e-12)
    away = 2 - (z - low) / extent
    points = np.stack([1 - 2 * x / (size * SUBPIXEL), 1 - 2 * y / (size * SUBPIXEL), away], axis=-1).astype(np.float32)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    faces = torch.from_numpy(triangles.astype(np.int64)).to(device)
    meshes: Any = Meshes(list(torch.from_numpy(points).to(device)), [faces] * len(x))
    found = rasterize_meshes(
        meshes, image_size=size, blur_radius=0.0, faces_per_pixel=1, perspective_correct=False, cull_backfaces=False
    )
    triangle, depth, weights = (tensor[:, :, :, 0].cpu().numpy() for tensor in found[:3])
    # Faces of all meshes are counted through.
    triangle = np.where(triangle >= 0, triangle - len(triangles) * np.arange(len(x))[:, None, None], -1)
    seen = triangle >= 0
    nearest = np.where(seen, low + (2 - depth.astype(np.float64)) * extent, -np.inf).astype(np.float32)
    return Fragments(nearest, triangle.astype(np.int32), np.where(seen[..., None], weights, 0).astype(np.float32))
