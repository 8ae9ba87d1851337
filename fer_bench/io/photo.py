"""A photograph of a face, as a dataset hands it out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_bench.io.images import read_image


@dataclass(frozen=True, eq=False)
class Photo:
    """One photograph and its annotations. The pixels are read on access.

    Attributes:
        path: The image file.
        aligned: The dataset has already cropped and turned it so that eyes and mouth have fixed places.
        landmarks: (L, 2) float64 pixels, x to the right and y down, or None; 68 in AffectNet, 5 in RAF-DB.
        box: x, y, width, height of the face in pixels, or None where the whole image is to be taken.
        original: Of an aligned photograph, gives the one that it was cut from, or None where it is not known.
    """

    path: Path
    aligned: bool
    landmarks: NDArray[np.float64] | None = None
    box: tuple[float, float, float, float] | None = None
    original: Callable[[], "Photo | None"] | None = None

    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB; raises `BrokenScan`."""
        return read_image(self.path)
