"""The base of representations: a frozen record of parameters that turns a sample into arrays."""

import dataclasses
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import InvalidSuite
from fer_bench.representations.sample_source import Load, Source

Extract = Callable[[int, Any], tuple[NDArray[Any], tuple[float, ...]]]
"""(position of a sample in its source, the sample) -> ((rows, *shape), `measures`). Pickled into worker processes."""


class Bound(NamedTuple):
    """A representation of the samples of one copy of one dataset.

    Attributes:
        extract: What extracts them.
        shape: Of one row.
        shared: Arrays that belong to all rows, by name; the entry holds each as `<name>.npy`.
    """

    extract: Extract
    shape: tuple[int, ...]
    shared: dict[str, NDArray[Any]] = {}  # noqa: RUF012  never changed


@dataclass(frozen=True)
class Representation(ABC):
    """Parameters of a map from a sample to an array; two equal ones give equal arrays on every machine.

    A subclass is a frozen dataclass whose fields are numbers, strings or tuples of them, checked in `__post_init__`.

    Attributes:
        name: file stem and registry name.
        version: raised whenever the algorithm, here or in `geometry`, gives other arrays for the same parameters.
        takes: the modalities it can be extracted from, one of which a dataset must offer.
        many: whether a sample may have several rows; see `rows`.
        same_vertices: whether a row holds the same vertices of every sample, so that none may be missing.
        measures: names of the numbers that say how well a sample was extracted; columns of the entry's index.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    takes: ClassVar[tuple[str, ...]] = ("mesh",)
    many: ClassVar[bool] = False
    same_vertices: ClassVar[bool] = False
    measures: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def extract(self, sample: Any) -> NDArray[Any]:
        """One sample: an array of `shape` and `dtype`, or of (rows, *shape) where `many`.

        Raises:
            BrokenScan: a file of the sample cannot be read.
            UnusableScan: nothing can be extracted; the caller knows the sample's files.
        """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of one row."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Of one row."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Short and readable, of the characters `a-z 0-9 . + -`: it names folders and heads columns."""

    @property
    def digest(self) -> str:
        """12 hexadecimal digits that change with the name, the version or any parameter: the cache's key."""
        record = {"name": self.name, "version": self.version, "parameters": dataclasses.asdict(self)}
        return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:12]

    def resolve(self, modalities: frozenset[str]) -> Self:
        """The representation with every open choice made, given the modalities of a dataset (`"texture"`, ...).

        Raises:
            InvalidSuite: a modality is requested that the dataset does not offer.
        """
        if not modalities.intersection(self.takes):
            wanted, offered = " or a ".join(self.takes), ", ".join(sorted(modalities)) or "nothing"
            raise InvalidSuite(f"{self.name}: needs a dataset with a {wanted}, and this one offers {offered}.")
        return self

    def rows(self, sample: Any) -> int:
        """Number of rows of a sample, without reading its frames."""
        return 1

    def bind(self, source: Source, load: Load) -> Bound:
        """The extractor for one dataset's samples; called once, before the first sample is extracted."""
        return Bound(partial(_extract, self), self.shape)

    def state(self, source: Source) -> Any:
        """Further dependencies of the arrays, besides the samples' files, as JSON; a change makes another entry."""
        return None

    def picture(self, row: NDArray[Any]) -> NDArray[np.uint8]:
        """A picture of a row, (H, W, 3), for visual inspection."""
        planes = row.reshape(-1, *row.shape[-2:]) if row.ndim > 2 else row[None]
        low, high = float(planes.min()), float(planes.max())
        grey = ((planes - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
        return np.repeat(np.hstack(list(grey))[:, :, None], 3, axis=2)

    def notes(self, source: Source) -> dict[str, Any]:
        """Further fields of an entry's manifest."""
        return {}

    def flag(self, measured: dict[str, float]) -> str | None:
        """Why a sample is doubtful, judged by its `measures`; None if it is not."""
        return None


def _extract(representation: Representation, position: int, sample: Any) -> tuple[NDArray[Any], tuple[float, ...]]:
    return representation.extract(sample), ()
