"""Our z-buffer in torch, for a GPU: every triangle of every image at once, with the same arithmetic.

`FER_BENCH_RASTERISER=torch` chooses it. It runs on the CPU too, where the compiled one is much faster.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fer_bench.geometry.rasteriser import SUBPIXEL, Fragments

_HALF = SUBPIXEL // 2
# Pairs of a triangle and a pixel that are tested at once: some hundred bytes each.
_PAIRS = 1 << 22
_LAST = (1 << 32) - 1


def rasterise(
    x: NDArray[np.int64], y: NDArray[np.int64], z: NDArray[np.float64], triangles: NDArray[np.int32], size: int
) -> Fragments:
    """As `fer_bench.geometry.rasteriser.rasterise`."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    mesh = _Mesh([torch.from_numpy(part).to(device) for part in (x, y, z, triangles.astype(np.int64))], size)
    # The nearest of a pixel's triangles, and of equally near ones the first, is the greatest of one number: the depth's
    # bits, in an order that grows with it, before the triangle's number counted from the end.
    best = torch.full((len(x) * size * size,), torch.iinfo(torch.int64).min, device=device)
    for image, triangle, box in mesh.parts():
        mesh.draw(best, image, triangle, box)
    pixel = torch.nonzero(best != torch.iinfo(torch.int64).min).squeeze(1)
    triangle = _LAST - (best[pixel] & _LAST)
    image, place = pixel // (size * size), pixel % (size * size)
    weights, depth = mesh.weights(image, triangle, place // size, place % size)[1:]

    shape = (len(x), size, size)
    seen = Fragments(
        np.full(shape, -np.inf, dtype=np.float32),
        np.full(shape, -1, dtype=np.int32),
        np.zeros((*shape, 3), dtype=np.float32),
    )
    at = pixel.cpu().numpy()
    seen.depth.reshape(-1)[at] = depth.cpu().numpy()
    seen.triangle.reshape(-1)[at] = triangle.cpu().numpy()
    seen.weights.reshape(-1, 3)[at] = weights.float().cpu().numpy()
    return seen


class _Mesh:
    """One mesh in B images; positions and triangles as `rasterise` takes them."""

    def __init__(self, tensors: list[Tensor], size: int) -> None:
        self.x, self.y, self.z, self.triangles = tensors
        self.size = size

    def parts(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """(image, triangle, (first column, columns, first row, rows)) of all that may cover a pixel, some at a time."""
        boxes = []
        for position in (self.x, self.y):
            corners = position[:, self.triangles]  # (B, F, 3)
            first = -torch.div(_HALF - corners.amin(2), SUBPIXEL, rounding_mode="floor")
            last = torch.div(corners.amax(2) - _HALF, SUBPIXEL, rounding_mode="floor")
            first, last = first.clamp(min=0), last.clamp(max=self.size - 1)
            boxes += [first, (last - first + 1).clamp(min=0)]
        image, triangle = torch.nonzero((boxes[1] > 0) & (boxes[3] > 0), as_tuple=True)
        box = torch.stack([part[image, triangle] for part in boxes])
        ends = (box[1] * box[3]).cumsum(0)
        start = 0
        while start < len(image):
            taken = _PAIRS + (ends[start - 1] if start else 0)
            stop = max(start + 1, int(torch.searchsorted(ends, taken, right=True)))
            yield image[start:stop], triangle[start:stop], box[:, start:stop]
            start = stop

    def draw(self, best: Tensor, image: Tensor, triangle: Tensor, box: Tensor) -> None:
        counts = box[1] * box[3]
        owner = torch.repeat_interleave(counts)
        number = torch.arange(len(owner), device=owner.device) - (counts.cumsum(0) - counts)[owner]
        column = box[0, owner] + number % box[1, owner]
        row = box[2, owner] + number // box[1, owner]
        image, triangle = image[owner], triangle[owner]
        inside, _, depth = self.weights(image, triangle, row, column)
        bits = depth.view(torch.int32)
        order = torch.where(bits >= 0, bits, bits ^ 0x7FFFFFFF).to(torch.int64)
        key = (order << 32) | (_LAST - triangle)
        pixel = (image * self.size + row) * self.size + column
        best.scatter_reduce_(0, pixel[inside], key[inside], "amax")

    def weights(self, image: Tensor, triangle: Tensor, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Whether a pixel's centre is inside, the corners' weights (N, 3) float64, and the depth (N,) float32."""
        corners = self.triangles[triangle].unbind(1)
        (xa, xb, xc), (ya, yb, yc), z = ([part[image, c] for c in corners] for part in (self.x, self.y, self.z))
        area = (xb - xa) * (yc - ya) - (yb - ya) * (xc - xa)
        sign = torch.where(area > 0, 1, -1)
        px, py = column * SUBPIXEL + _HALF, row * SUBPIXEL + _HALF
        inside, weights = area != 0, []
        scale = 1.0 / (sign * area).double()
        for x1, y1, x2, y2 in ((xb, yb, xc, yc), (xc, yc, xa, ya), (xa, ya, xb, yb)):
            ex, ey = sign * (x2 - x1), sign * (y2 - y1)
            # A centre exactly on an edge belongs to the triangle whose top or left edge that is.
            bias = torch.where((ey < 0) | ((ey == 0) & (ex > 0)), 0, 1)
            edge = ex * (py - y1) - ey * (px - x1)
            inside = inside & (edge >= bias)
            weights.append(edge * scale)
        depth = (weights[0] * z[0] + weights[1] * z[1] + weights[2] * z[2]).float()
        return inside, torch.stack(weights, dim=1), depth
