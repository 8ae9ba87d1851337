"""Triangles from the polygons of mesh files."""

import numpy as np
from numpy.typing import NDArray


def fan(corners: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int32]:
    """(F, 3) int32: each polygon (a, b, c, d, ...) becomes the triangles (a, b, c), (a, c, d), ...

    Args:
        corners: The corners of all polygons, one polygon after the other.
        sizes: (P,) how many corners each has, 3 or more.
    """
    if (sizes == 3).all():  # as in most files, and the fast way through
        return corners.reshape(-1, 3).astype(np.int32)
    counts = sizes - 2
    first = np.repeat(np.cumsum(sizes) - sizes, counts)
    step = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return corners[np.stack([first, first + step + 1, first + step + 2], axis=1)].astype(np.int32)
