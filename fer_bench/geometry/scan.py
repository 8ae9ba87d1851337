"""A 3D face scan in memory."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scan:
    """A triangle mesh of one face, as its file orders it.

    Vertices are never merged or reordered: landmarks and correspondence are vertex indices. Axes are +x to the
    image's right (the subject's left), +y up, +z out of the face towards the camera.

    Attributes:
        vertices: (V, 3) float32, millimetres.
        triangles: (F, 3) int32, vertex indices, counter-clockwise seen from outside.
        uv: (U, 2) float32 texture coordinates, origin at the texture's bottom left; None without a texture.
        uv_triangles: (F, 3) int32 rows of `uv` for each triangle's corners; None without a texture.
        texture: (H, W, 3) uint8, first row at the top; None without a texture.
        landmarks: name -> (3,) float32 position in millimetres, for the landmarks that are known.
    """

    vertices: NDArray[np.float32]
    triangles: NDArray[np.int32]
    uv: NDArray[np.float32] | None = None
    uv_triangles: NDArray[np.int32] | None = None
    texture: NDArray[np.uint8] | None = None
    landmarks: dict[str, NDArray[np.float32]] = field(default_factory=dict)
