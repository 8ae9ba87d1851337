"""What every representation is: a frozen record of parameters that turns a scan into one array."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import InvalidSuite
from fer_bench.geometry.scan import Scan


@dataclass(frozen=True)
class Representation(ABC):
    """Parameters of a map from `Scan` to an array; two equal ones give equal arrays on every machine.

    A subclass is a frozen dataclass whose fields are numbers, strings or tuples of them, checked in `__post_init__`.

    Attributes:
        name: file stem and registry name.
        version: raised whenever the algorithm, here or in `geometry`, gives other arrays for the same parameters.
    """

    name: ClassVar[str]
    version: ClassVar[int]

    @abstractmethod
    def extract(self, scan: Scan) -> NDArray[Any]:
        """One item, of `shape` and `dtype`.

        Raises:
            UnusableScan: nothing can be extracted; the caller knows the scan's file.
        """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of one item."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Of one item."""

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
        """The representation with nothing left open, given what a dataset offers (`"texture"`, ...).

        Raises:
            InvalidSuite: a modality is asked for that the dataset does not offer.
        """
        return self


def needs(name: str, modality: str, modalities: frozenset[str]) -> None:
    """Refuse a dataset that does not offer a modality; raises `InvalidSuite`."""
    if modality not in modalities:
        offered = ", ".join(sorted(modalities)) or "nothing"
        raise InvalidSuite(f"{name}: needs a dataset with a {modality}, and this one offers {offered}.")
