"""Parameters of a 3D morphable model, the input of Ig3D's morphable branch."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import InvalidSuite
from fer_bench.io.morphable_parameters import VECTORS, parts_of
from fer_bench.io.parameter_source import ParameterSource, find_parameters
from fer_bench.representations.base import Bound, Extract, Representation
from fer_bench.representations.sample_source import Load, Source, file_state


@dataclass(frozen=True)
class Morphable(Representation):
    """What EMOCA or SMIRK regressed from a photograph: (P,) float32, parts in the order that `vector` names.

    Attributes:
        vector: a key of `geometry.morphable.VECTORS`.
        missing: `error` makes a photograph without parameters a broken sample; `zero` takes a vector of zeros, as
            Ig3D's public code does, and the entry names them.
    """

    name: ClassVar[str] = "morphable"
    version: ClassVar[int] = 1
    takes: ClassVar[tuple[str, ...]] = ("photo",)

    vector: str = "emoca-334"
    missing: Literal["error", "zero"] = "error"

    def __post_init__(self) -> None:
        if self.vector not in VECTORS:
            raise InvalidSuite(f"morphable: vector is {self.vector}; give {', '.join(VECTORS)}.")
        if self.missing not in ("error", "zero"):
            raise InvalidSuite(f"morphable: missing is {self.missing}; give error or zero.")

    def extract(self, sample: Any) -> NDArray[np.float32]:
        raise TypeError("parameters are not in the photograph; bind finds them for a whole dataset")

    def bind(self, source: Source, load: Load) -> Bound:
        return Bound(self.reader(source, self._found(source)), self.shape)

    def reader(self, source: Source, parameters: ParameterSource) -> Extract:
        """The function that reads the samples' vectors from known parameters."""
        return _Read(parameters, source.ids, _images(source))

    def state(self, source: Source) -> Any:
        found = self._found(source)
        return [found.kind, [file_state(path) for path in found.files(_images(source))]]

    def notes(self, source: Source) -> dict[str, Any]:
        absent = self._found(source).without(zip(source.ids, _images(source), strict=True))
        return {"zeros": absent} if self.missing == "zero" else {}

    def _found(self, source: Source) -> ParameterSource:
        return find_parameters(source.root, _images(source), self.vector, self.missing)

    def picture(self, row: NDArray[Any]) -> NDArray[np.uint8]:
        """A bar a number, the parts in turn dark and bright, the largest as high as the picture is."""
        height = 100
        image = np.zeros((height, 2 * len(row), 3), dtype=np.uint8)
        bars = np.repeat(np.abs(row) / max(float(np.abs(row).max()), 1e-12) * height, 2)
        part = np.repeat(np.repeat(range(len(parts_of(self.vector))), [s for _, s in parts_of(self.vector)]), 2)
        image[:] = (np.arange(height)[::-1, None] < bars)[:, :, None] * np.where(part % 2, 255, 140)[None, :, None]
        return image

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(size for _, size in parts_of(self.vector)),)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32)

    @property
    def label(self) -> str:
        return f"morphable-{self.vector}" + ("" if self.missing == "error" else f"-{self.missing}")


@dataclass(frozen=True)
class _Read:
    parameters: ParameterSource
    ids: tuple[str, ...]
    images: list[str]

    def __call__(self, position: int, sample: Any) -> tuple[NDArray[np.float32], tuple[float, ...]]:
        return self.parameters.read(self.ids[position], self.images[position]), ()


def _images(source: Source) -> list[str]:
    return [files[0] for files in source.files]
