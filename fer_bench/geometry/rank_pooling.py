"""Dynamic images: a sequence of images as one, by approximate rank pooling (Bilen et al., CVPR 2016 and TPAMI 2018)."""

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Pooling = Literal["averaged", "plain"]


def coefficients(frames: int, pooling: Pooling = "averaged") -> NDArray[np.float64]:
    """(T,) weight of each frame in the dynamic image of T frames.

    Args:
        frames: T, 1 or more.
        pooling: `averaged` ranks the running means of the frames, as the paper derives it:
            2 (T - t + 1) - (T + 1) (H_T - H_{t-1}) with the harmonic numbers H, for t from 1 to T. `plain` ranks the
            frames themselves: 2 t - T - 1. Either sums to 0, but for a single frame, whose image is itself.
    """
    if frames == 1:
        return np.ones(1)
    t = np.arange(1, frames + 1, dtype=np.float64)
    if pooling == "plain":
        return 2 * t - frames - 1
    rest = np.cumsum(1 / t[::-1])[::-1]  # H_T - H_{t-1}, from the small terms to the large ones
    return 2 * (frames - t + 1) - (frames + 1) * rest


def windows(frames: int, window: int | None = None, stride: int | None = None) -> list[tuple[int, int]]:
    """(first, end) of the frames of each dynamic image of a sequence.

    Args:
        frames: How many the sequence has, 1 or more.
        window: Frames an image; None, or as many as there are or more, takes the whole sequence as one.
        stride: Frames between the starts of two windows; None for `window`. What is left at the end is covered by a
            last window that ends with the sequence.
    """
    if window is None or window >= frames:
        return [(0, frames)]
    starts = list(range(0, frames - window + 1, stride or window))
    if starts[-1] != frames - window:
        starts.append(frames - window)
    return [(start, start + window) for start in starts]


def dynamic_images(
    frames: Iterable[NDArray[np.generic]], spans: list[tuple[int, int]], pooling: Pooling = "averaged"
) -> Iterator[NDArray[np.float32]]:
    """The dynamic image of each span, in the frames' shape; a frame is read once and not kept.

    Args:
        frames: Images of one shape, in order; read until the last span ends.
        spans: As `windows` gives them.
        pooling: See `coefficients`.
    """
    waiting, pools = list(spans), list[_Pool]()
    for number, frame in enumerate(frames):
        while waiting and waiting[0][0] == number:
            first, end = waiting.pop(0)
            pools.append(_Pool(end, coefficients(end - first, pooling), frame))
        for pool in pools:
            pool.add(frame)
        while pools and pools[0].end == number + 1:
            yield pools.pop(0).total
        if not waiting and not pools:
            return


class _Pool:
    """One dynamic image in the making."""

    def __init__(self, end: int, weights: NDArray[np.float64], first: NDArray[np.generic]) -> None:
        self.end, self.weights = end, iter(weights.astype(np.float32))
        self.total = np.zeros(first.shape, dtype=np.float32)
        # Weights that sum to 0 do not see what all frames share. Taken off before, it leaves no trace of rounding,
        # which `to_bytes` would stretch to a picture where nothing moves; a single frame keeps itself.
        self.base = np.float32(0) if len(weights) == 1 else first.astype(np.float32)

    def add(self, frame: NDArray[np.generic]) -> None:
        self.total += next(self.weights) * (frame.astype(np.float32) - self.base)


def to_bytes(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Stretch an image from its least to its greatest value, over all channels together, to 0..255; 0 if constant."""
    low, high = float(image.min()), float(image.max())
    if not high > low:
        return np.zeros(image.shape, dtype=np.uint8)
    return np.rint((image - low) * (255 / (high - low))).astype(np.uint8)
