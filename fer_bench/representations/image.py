"""Photographs as squares, the input of DDAMFN, CAGE and Ig3D's image branch."""

from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import InvalidSuite
from fer_bench.io.photo import Photo
from fer_bench.records import digest
from fer_bench.representations.base import Representation
from fer_bench.representations.crops import Alignment, crop


@dataclass(frozen=True)
class Image(Representation):
    """The face on a photograph: (3, size, size) uint8 RGB.

    Attributes:
        size: pixels across; DDAMFN takes 112, CAGE and Ig3D's other networks 224.
        alignment: see `representations.crops.crop`. `given` is the dataset's own, where it has one (AffectNet of 2021,
            RAF-DB's aligned photographs), as the papers' public code takes them.
    """

    name: ClassVar[str] = "image"
    version: ClassVar[int] = 1
    takes: ClassVar[tuple[str, ...]] = ("photo",)

    size: int = 224
    alignment: Alignment = "given"

    def __post_init__(self) -> None:
        if not 1 <= self.size <= 4096:
            raise InvalidSuite(f"image: size is {self.size}; give 1 to 4096 pixels.")
        if self.alignment not in get_args(Alignment):
            raise InvalidSuite(f"image: alignment is {self.alignment}; give one of {', '.join(get_args(Alignment))}.")

    def extract(self, photo: Photo) -> NDArray[np.uint8]:
        return crop(photo, self.size, self.alignment)

    def picture(self, row: NDArray[Any]) -> NDArray[np.uint8]:
        """The photograph."""
        return np.ascontiguousarray(row.transpose(1, 2, 0))

    @property
    def digest(self) -> str:
        # Since version 2 of these two, five landmarks give the square, and an aligned photograph its original.
        return digest([super().digest, 2]) if self.alignment in ("emoca", "smirk") else super().digest

    @property
    def shape(self) -> tuple[int, ...]:
        return 3, self.size, self.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8)

    @property
    def label(self) -> str:
        return f"image-{self.size}-{self.alignment.replace('_', '')}"
