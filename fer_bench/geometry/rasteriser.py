"""The nearest surface at every pixel: a compiled z-buffer of our own, and the choice among rasterisers.

Each triangle is scanned over the pixel centres it covers, in integer arithmetic with the top-left fill rule, so that
triangles sharing an edge leave no crack and draw no pixel twice (Pineda, SIGGRAPH 1988).
"""

import importlib
import importlib.util
import os
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fer_bench.errors import FerBenchError

SUBPIXEL = 1 << 10  # positions are rounded to 1/1024 pixel
_LIMIT = float(1 << 30)  # and held within 2**20 pixels, where products of two differences still fit 64 bits

VARIABLE = "FER_BENCH_RASTERISER"
_OTHERS = {"torch": "torch", "pytorch3d": "pytorch3d"}  # rasteriser -> the package it needs


class Fragments(NamedTuple):
    """The visible surface at each pixel of B images.

    Attributes:
        depth: (B, H, W) float32 the surface's z, -inf where nothing is seen.
        triangle: (B, H, W) int32 rows of the triangles, -1 where nothing is seen; of surfaces equally near, the first.
        weights: (B, H, W, 3) float32 of the triangle's corners, linear in the image; 0 where nothing is seen.
    """

    depth: NDArray[np.float32]
    triangle: NDArray[np.int32]
    weights: NDArray[np.float32]


def snap(pixels: NDArray[np.float64]) -> NDArray[np.int64]:
    """Positions in pixels as whole numbers of 1 / `SUBPIXEL`, as `rasterise` takes them."""
    return np.rint(np.clip(pixels * SUBPIXEL, -_LIMIT, _LIMIT)).astype(np.int64)


def rasterise(
    x: NDArray[np.int64], y: NDArray[np.int64], z: NDArray[np.float64], triangles: NDArray[np.int32], size: int
) -> Fragments:
    """Draw one mesh from B cameras, with the rasteriser that `$FER_BENCH_RASTERISER` names: `numba` (our own, the
    default), `torch` (the same arithmetic, on a GPU where there is one) or `pytorch3d`.

    Args:
        x, y: (B, V) from the image's top left corner, x to the right and y down; see `snap`.
        z: (B, V) towards the camera, in any unit; linear over a triangle in the image.
        triangles: (F, 3), every index below V.
        size: Pixels across.

    Raises:
        FerBenchError: there is no such rasteriser, or it is not installed.
    """
    name = os.environ.get(VARIABLE) or "numba"
    if name != "numba":
        return _other(name)(x, y, z, triangles, size)
    shape = (len(x), size, size)
    seen = Fragments(
        np.full(shape, -np.inf, dtype=np.float32),
        np.full(shape, -1, dtype=np.int32),
        np.zeros((*shape, 3), dtype=np.float32),
    )
    for image in range(len(x)):
        _rasterise(x[image], y[image], z[image], triangles, size, *(part[image] for part in seen))
    return seen


def _other(name: str):  # type: ignore[no-untyped-def]
    if name not in _OTHERS:
        raise FerBenchError(f"{VARIABLE}={name}: there is no such rasteriser; use numba, {' or '.join(_OTHERS)}.")
    if importlib.util.find_spec(_OTHERS[name]) is None:
        raise FerBenchError(
            f"{VARIABLE}={name}: {_OTHERS[name]} is not installed; install it, or unset {VARIABLE} for our own."
        )
    return importlib.import_module(f"fer_bench.geometry.{name}_rasteriser").rasterise


@njit(cache=True, nogil=True)
def _rasterise(x, y, z, triangles, size, depth, nearest, weights):  # type: ignore[no-untyped-def]
    half = SUBPIXEL // 2
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        first_column = max(0, -((half - min(x[a], x[b], x[c])) // SUBPIXEL))
        last_column = min(size - 1, (max(x[a], x[b], x[c]) - half) // SUBPIXEL)
        first_row = max(0, -((half - min(y[a], y[b], y[c])) // SUBPIXEL))
        last_row = min(size - 1, (max(y[a], y[b], y[c]) - half) // SUBPIXEL)
        if first_column > last_column or first_row > last_row:
            continue  # most triangles of a dense scan hold no pixel centre
        area = (x[b] - x[a]) * (y[c] - y[a]) - (y[b] - y[a]) * (x[c] - x[a])
        if area == 0:
            continue
        sign = 1 if area > 0 else -1
        # Edge functions: `ea` is positive inside of the edge opposite to a, and its share of the area is a's weight.
        ax, ay = sign * (x[c] - x[b]), sign * (y[c] - y[b])
        bx, by = sign * (x[a] - x[c]), sign * (y[a] - y[c])
        cx, cy = sign * (x[b] - x[a]), sign * (y[b] - y[a])
        # A centre exactly on an edge belongs to the triangle whose top or left edge that is.
        a_bias = 0 if ay < 0 or (ay == 0 and ax > 0) else 1
        b_bias = 0 if by < 0 or (by == 0 and bx > 0) else 1
        c_bias = 0 if cy < 0 or (cy == 0 and cx > 0) else 1
        scale = 1.0 / (sign * area)
        for row in range(first_row, last_row + 1):
            py = row * SUBPIXEL + half
            for column in range(first_column, last_column + 1):
                px = column * SUBPIXEL + half
                ea = ax * (py - y[b]) - ay * (px - x[b])
                eb = bx * (py - y[c]) - by * (px - x[c])
                ec = cx * (py - y[a]) - cy * (px - x[a])
                if ea >= a_bias and eb >= b_bias and ec >= c_bias:
                    wa, wb, wc = ea * scale, eb * scale, ec * scale
                    here = np.float32(wa * z[a] + wb * z[b] + wc * z[c])
                    if here > depth[row, column]:
                        depth[row, column] = here
                        nearest[row, column] = t
                        weights[row, column, 0] = wa
                        weights[row, column, 1] = wb
                        weights[row, column, 2] = wc
