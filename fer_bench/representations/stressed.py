"""A representation of perturbed scans."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import InvalidSuite
from fer_bench.geometry.alignment import UnusableScan
from fer_bench.geometry.perturbations import Stress
from fer_bench.records import digest
from fer_bench.representations import base
from fer_bench.representations.sample_source import Load, Source


# The base is not named alone: what names `Representation` so is offered to suites and to the command line.
@dataclass(frozen=True)
class Stressed(base.Representation):
    """Another representation, of scans to which a stress was applied first.

    Attributes:
        representation: with nothing left open, of meshes.
        stress: one condition of the deck.

    Raises:
        InvalidSuite: the representation is not made of single meshes, or needs all their vertices.
    """

    name: ClassVar[str] = "stressed"
    version: ClassVar[int] = 1

    representation: base.Representation
    stress: Stress

    def __post_init__(self) -> None:
        if why := refusal(self.representation):
            raise InvalidSuite(f"{why}.")

    def extract(self, sample: Any) -> NDArray[Any]:
        return self.representation.extract(self.stress(sample))

    def bind(self, source: Source, load: Load) -> base.Bound:
        bound = self.representation.bind(source, load)
        return base.Bound(_Extract(self.stress, bound.extract), bound.shape, bound.shared)

    def state(self, source: Source) -> Any:
        return self.representation.state(source)

    def picture(self, row: NDArray[Any]) -> NDArray[np.uint8]:
        return self.representation.picture(row)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.representation.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.representation.dtype

    @property
    def label(self) -> str:
        return f"{self.representation.label}-{self.stress.label}"

    @property
    def digest(self) -> str:
        return stressed_digest(self.representation.digest, self.stress)


def refusal(representation: base.Representation | type[base.Representation]) -> str:
    """Why a representation cannot be had of perturbed scans, a sentence without its stop; empty if it can."""
    if "mesh" not in representation.takes:
        made_of = " or ".join(representation.takes)
        return f"{representation.name} is made of a {made_of}, and a stress is applied to single meshes"
    if representation.same_vertices:
        return f"{representation.name} needs the same vertices of every sample, and a stressed scan has others"
    return ""


def stressed_digest(representation: str, stress: Stress) -> str:
    """The digest of a representation, given by its own, under a stress."""
    return digest({"stressed": Stressed.version, "representation": representation, "stress": stress.record})


@dataclass(frozen=True)
class _Extract:
    """Pickled into worker processes."""

    stress: Stress
    extract: base.Extract

    def __call__(self, position: int, sample: Any) -> tuple[NDArray[Any], tuple[float, ...]]:
        try:
            return self.extract(position, self.stress(sample))
        except UnusableScan as error:
            raise UnusableScan(f"under {self.stress.label}: {error}") from None
