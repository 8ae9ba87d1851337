"""A photograph and its morphable-model parameters, the input of Ig3D's intermediate fusion."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fer_bench.io.parameter_source import ParameterSource
from fer_bench.representations.base import Bound, Extract, Representation
from fer_bench.representations.crops import Alignment
from fer_bench.representations.image import Image
from fer_bench.representations.morphable import Morphable
from fer_bench.representations.sample_source import Load, Source


@dataclass(frozen=True)
class PhotoMorphable(Representation):
    """The bytes of `Image` and then those of `Morphable`, one row of uint8, so that both come in one batch; `unpack`
    takes them apart.

    Attributes:
        size, alignment: See `Image`.
        vector, missing: See `Morphable`.
    """

    name: ClassVar[str] = "photo_morphable"
    version: ClassVar[int] = 1000 * Image.version + Morphable.version
    takes: ClassVar[tuple[str, ...]] = ("photo",)

    size: int = 112
    alignment: Alignment = "given"
    vector: str = "emoca-156"
    missing: Literal["error", "zero"] = "error"

    def __post_init__(self) -> None:
        _ = self.photo, self.parameters  # which check what they are given

    @property
    def photo(self) -> Image:
        """The first part."""
        return Image(self.size, self.alignment)

    @property
    def parameters(self) -> Morphable:
        """The second part."""
        return Morphable(self.vector, self.missing)

    def extract(self, sample: Any) -> NDArray[np.uint8]:
        raise TypeError("parameters are not in the photograph; bind finds them for a whole dataset")

    def bind(self, source: Source, load: Load) -> Bound:
        return Bound(_Both(self.photo, self.parameters.bind(source, load).extract), self.shape)

    def reader(self, source: Source, parameters: ParameterSource) -> Extract:
        """See `Morphable.reader`."""
        return _Both(self.photo, self.parameters.reader(source, parameters))

    def state(self, source: Source) -> Any:
        return self.parameters.state(source)

    def notes(self, source: Source) -> dict[str, Any]:
        return self.parameters.notes(source)

    def picture(self, row: NDArray[Any]) -> NDArray[np.uint8]:
        """The photograph, and below it the parameters."""
        photos, vectors = self.unpack(torch.from_numpy(np.array(row))[None])
        above = self.photo.picture(photos[0].numpy())
        below = self.parameters.picture(vectors[0].numpy())
        width = max(above.shape[1], below.shape[1])
        return np.vstack([np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0))) for part in (above, below)])

    def unpack(self, rows: Tensor | tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Photographs (B, 3, size, size) uint8 and vectors (B, P) float32, of rows (B, bytes); what is taken apart
        already, as where an exported network gets them, stays so."""
        if isinstance(rows, tuple):
            return rows
        photos, vectors = rows.split([int(np.prod(self.photo.shape)), 4 * self.parameters.shape[0]], dim=1)
        return photos.reshape(-1, *self.photo.shape), vectors.contiguous().view(torch.float32)

    def pack(self, photos: Tensor, vectors: Tensor) -> Tensor:
        """The rows of which `unpack` makes these."""
        return torch.cat([photos.flatten(1), vectors.contiguous().view(torch.uint8)], dim=1)

    @property
    def shape(self) -> tuple[int, ...]:
        return (int(np.prod(self.photo.shape)) + 4 * self.parameters.shape[0],)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8)

    @property
    def label(self) -> str:
        return f"{self.photo.label}-{self.parameters.label}"


@dataclass(frozen=True)
class _Both:
    photo: Image
    parameters: Extract

    def __call__(self, position: int, sample: Any) -> tuple[NDArray[np.uint8], tuple[float, ...]]:
        vector, measured = self.parameters(position, sample)
        pixels = self.photo.extract(sample)
        row = np.concatenate([pixels.ravel(), np.ascontiguousarray(vector, dtype=np.float32).view(np.uint8)])
        return row, measured
