"""Which vertices a camera in front of a scan sees."""

import numpy as np
from numpy.typing import NDArray

from fer_bench.geometry.rasteriser import rasterise, snap

_PIXELS = 1024  # across a scan of 300 mm: 0.3 mm each
_BEHIND_MM = 1.0  # no farther behind what its pixel shows, a surface counts as seen: it is the same one, bending away


def seen(vertices: NDArray[np.floating], triangles: NDArray[np.int32]) -> NDArray[np.bool_]:
    """(F,) whether a camera that looks along -z, without perspective, sees the front and the middle of a triangle.

    Args:
        vertices: (V, 3) millimetres.
        triangles: (F, 3), F > 0, every index below V.
    """
    corners = vertices[triangles].astype(np.float64)  # (F, 3, 3)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    facing = normals[:, 2] > 0
    left, bottom = corners[..., :2].min(axis=(0, 1))
    right, top = corners[..., :2].max(axis=(0, 1))
    scale = (_PIXELS - 2) / max(right - left, top - bottom, 1e-6)
    x, y = 1 + (vertices[:, 0] - left) * scale, 1 + (top - vertices[:, 1]) * scale
    z = vertices[:, 2].astype(np.float64)
    depth = rasterise(snap(x[None]), snap(y[None]), z[None], triangles, _PIXELS).depth[0]
    middles = corners[facing].mean(axis=1)
    across, down = 1 + (middles[:, 0] - left) * scale, 1 + (top - middles[:, 1]) * scale
    column, row = across.astype(np.int64), down.astype(np.int64)
    # What is compared lies at the pixel's centre: the plane of the triangle goes on to there.
    slopes = normals[facing, :2] / normals[facing, 2:]
    off = np.column_stack([column + 0.5 - across, down - row - 0.5]) / scale
    stays = facing.copy()
    stays[facing] = middles[:, 2] - (slopes * off).sum(axis=1) >= depth[row, column] - _BEHIND_MM
    return stays
