"""The searches of `point_ops` on a CPU: compiled, without the interpreter's lock, spread over torch's threads.

All in float64, products and sums as written, so that they decide as the torch versions do.

Loops come in pairs: one writes squared distances, one compares them as integers, which orders numbers that are not
negative as they are. Only so does the compiler do several points in one instruction: a minimum of floats it keeps in
order, for the sake of NaN.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from fer_bench.geometry.sampling import farthest_point_sample

Result = TypeVar("Result")

_RUN = 64  # points compared at once; most runs contain no candidate
_MOST = np.iinfo(np.int64).max


def spread(work: Callable[[int, int], Result], total: int) -> list[Result]:
    """`work(first, last)` on as many shares of `total` as torch has threads."""
    shares = max(1, min(torch.get_num_threads(), total))
    ends = [total * share // shares for share in range(shares + 1)]
    if shares == 1:
        return [work(0, total)]
    # Created at each call, which takes a fraction of a millisecond: a forked process would inherit one without threads.
    with ThreadPoolExecutor(shares) as pool:
        return list(pool.map(work, ends[:-1], ends[1:]))


def farthest(clouds: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """Indices (B, count) of clouds (B, N, 3), beginning with 0; see `point_ops.farthest_point_sample`."""
    chosen = np.empty((len(clouds), count), dtype=np.int64)

    def sample(first: int, last: int) -> None:
        for cloud in range(first, last):
            chosen[cloud] = farthest_point_sample(clouds[cloud], count)

    spread(sample, len(clouds))
    return chosen


def within(radius: float, k: int, axes: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """Indices (B, S, k) of clouds (B, 3, N) around centres (B, 3, S); None if a ball is empty."""
    limit = float(radius) ** 2  # an integer would be compiled as one
    found = np.empty((len(centres), centres.shape[2], k), dtype=np.int64)
    rows = len(centres) * centres.shape[2]
    filled = spread(lambda first, last: _within(axes, centres, limit, found, first, last), rows)
    return found if all(filled) else None


def nearest(points: NDArray[np.float64], axes: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Indices (B, S, k) into clouds (B, 3, N), k <= N, for points (B, 3, S), the nearest first."""
    found = np.empty((len(points), points.shape[2], k), dtype=np.int64)
    spread(lambda first, last: _nearest(points, axes, found, first, last), len(points) * points.shape[2])
    return found


@njit(cache=True, nogil=True)
def _within(axes, centres, limit, found, first, last):  # type: ignore[no-untyped-def]
    """Fill rows `first` to `last` of the B * S; false if a ball is empty."""
    points, k = axes.shape[2], found.shape[2]
    square = np.empty(_RUN)
    bits = square.view(np.int64)
    bits_of_limit = np.array([limit]).view(np.int64)[0]
    for row in range(first, last):
        b, s = divmod(row, centres.shape[2])
        ax, ay, az = centres[b, 0, s], centres[b, 1, s], centres[b, 2, s]
        hits = 0
        for start in range(0, points, _RUN):
            end = start + _RUN
            x, y, z = axes[b, 0, start:end], axes[b, 1, start:end], axes[b, 2, start:end]
            for p in range(len(x)):
                dx, dy, dz = x[p] - ax, y[p] - ay, z[p] - az
                square[p] = dx * dx + dy * dy + dz * dz
            some = 0
            for p in range(len(x)):
                some += bits[p] <= bits_of_limit
            if some:
                for p in range(len(x)):
                    if square[p] <= limit and hits < k:  # no NaN of any bit pattern gets through
                        found[b, s, hits] = start + p
                        hits += 1
                if hits == k:
                    break
        if hits == 0:
            return False
        found[b, s, hits:] = found[b, s, 0]
    return True


@njit(cache=True, nogil=True)
def _nearest(points, axes, found, first, last):  # type: ignore[no-untyped-def]
    """Fill rows `first` to `last` of the B * S."""
    k = found.shape[2]
    square = np.empty(axes.shape[2])
    bits = square.view(np.int64)
    best = np.empty(k, dtype=np.int64)  # the k least bits so far, in order
    for row in range(first, last):
        b, s = divmod(row, points.shape[2])
        ax, ay, az = points[b, 0, s], points[b, 1, s], points[b, 2, s]
        x, y, z = axes[b, 0], axes[b, 1], axes[b, 2]
        for p in range(len(x)):
            dx, dy, dz = x[p] - ax, y[p] - ay, z[p] - az
            square[p] = dx * dx + dy * dy + dz * dz
        best[:] = _MOST
        for start in range(0, len(x), _RUN):
            run = bits[start : start + _RUN]
            least = run[0]
            for p in range(len(run)):
                least = min(least, run[p])
            if least >= best[k - 1]:
                continue
            for p in range(len(run)):
                if run[p] < best[k - 1]:
                    place = k - 1
                    while place > 0 and run[p] < best[place - 1]:
                        best[place] = best[place - 1]
                        found[b, s, place] = found[b, s, place - 1]
                        place -= 1
                    best[place] = run[p]
                    found[b, s, place] = start + p
