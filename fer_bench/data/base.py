"""The base of datasets: finding the folder, and the way from its index to batches."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd

from fer_bench.data import index_store
from fer_bench.data.fold_batches import FoldDataModule
from fer_bench.data.layouts import Tree, describe_other
from fer_bench.data.survey import Survey
from fer_bench.errors import DatasetNotFound
from fer_bench.geometry.frames import Clip
from fer_bench.geometry.scan import Scan
from fer_bench.io.parameter_source import ParameterSource, find_parameters
from fer_bench.io.photo import Photo
from fer_bench.protocols import Protocol
from fer_bench.records import provenance
from fer_bench.representations.cache_entry import CacheEntry
from fer_bench.representations.sample_source import Source


class FaceDataModule(FoldDataModule, ABC):
    """One fold of one protocol on one dataset, in one representation.

    A dataset writes `examine` and `load`, and the class attributes. The docstring of a dataset is its card.

    Args:
        root: The dataset's folder. The other arguments are those of `FoldDataModule`.

    Attributes:
        modalities: What `load` gives of a usual copy (`offers` says it of any): `mesh`, `sequence` (of meshes), `photo`
            or `video` (of photographs); and with them `texture`, `landmarks`, `topology` (one vertex order for all).
        unit: What is looked for in a folder, in words: `a BU-3DFE scan`.
        expected: What the folder should hold, a sentence part.
        obtain: How to obtain the dataset, a sentence.
        class_counts: Split -> label -> samples in the distribution, where it is known; its shape gives away copies
            whose classes are in another order.
        vertices: How many each mesh of the distribution has, in any of its releases, where that is known.
    """

    modalities: ClassVar[frozenset[str]] = frozenset()
    unit: ClassVar[str] = ""
    expected: ClassVar[str] = ""
    obtain: ClassVar[str] = ""
    class_counts: ClassVar[Mapping[str, Mapping[str, int]]] = {}
    vertices: ClassVar[tuple[int, ...]] = ()

    def __init__(
        self, root: Path, protocol: Protocol, fold: int, entry: CacheEntry, batch_size: int, seed: int = 0
    ) -> None:
        super().__init__(self.index(root), protocol, fold, entry, batch_size, seed)
        self.root = root

    @classmethod
    @abstractmethod
    def examine(cls, tree: Tree) -> pd.DataFrame:
        """The index of the dataset below a root, from names and label files alone; one without rows means that the
        folder holds something else. What is to be said about the folder goes to `tree.findings`.

        Raises:
            InvalidFile: a label file that nothing can do without is damaged.
        """

    @classmethod
    @abstractmethod
    def load(cls, root: Path, files: tuple[str, ...]) -> Scan | Photo | Clip[Any]:
        """One sample from its files, vertices in millimetres; raises `BrokenScan`."""

    @classmethod
    def survey(cls, root: Path) -> Survey:
        """The content of the folder, read again and stored for `index`.

        Raises:
            DatasetNotFound: there is no such folder, or no sample in it.
            InvalidFile: a label file that nothing can do without is damaged.
        """
        if not root.is_dir():
            raise cls.not_found(root, "there is no such folder")
        if not os.access(root, os.R_OK | os.X_OK):
            raise cls.not_found(root, "the folder may not be read; check its permissions")
        tree = Tree(root)
        index = cls.examine(tree)
        if not len(index):
            raise cls.not_found(root, f"no file here is {cls.unit}" if tree.files else "the folder is empty")
        survey = Survey(index, tuple(tree.findings.all))
        index_store.save(dataset_id(cls), cls, tree, survey)
        return survey

    @classmethod
    def index(cls, root: Path) -> pd.DataFrame:
        """The index, from the store or made now; raises the errors of `survey`."""
        stored = index_store.load(dataset_id(cls), cls, root)
        return (stored or cls.survey(root)).index

    @classmethod
    def source(cls, root: Path) -> Source:
        """The whole dataset as the cache sees it."""
        index = cls.index(root)
        return Source(dataset_id(cls), root, _provenance(root, index), tuple(index["id"]), tuple(index["files"]))

    @classmethod
    def offers(cls, root: Path) -> frozenset[str]:
        """The modalities of this copy, where copies differ in them; raises the errors of `survey`."""
        return cls.modalities

    @classmethod
    def parameters(cls, root: Path, vector: str, missing: Literal["error", "zero"] = "error") -> ParameterSource:
        """The 3D morphable model parameters of the photographs, by a key of `morphable.VECTORS`.

        Args:
            missing: What a photograph without any gets; `ParameterSource.without` counts them.

        Raises:
            DatasetNotFound: the dataset, or any parameters, are not there.
            InvalidFile: the table of parameters is damaged.
        """
        return find_parameters(root, [files[0] for files in cls.index(root)["files"]], vector, missing)

    @classmethod
    def not_found(cls, root: Path, problem: str) -> DatasetNotFound:
        """The error that names the searched folder, what was expected, and how to obtain the data or make a twin."""
        name = dataset_id(cls)
        other = describe_other(root, name)
        return DatasetNotFound(
            f"{root}: {problem}{f'; it looks like {other}' if other else ''}. Expected {cls.expected} "
            f"Pass the folder with --root, or set FER_BENCH_DATA to the folder that holds {name}/. {cls.obtain} "
            f"To go on without it: fer-bench data twin {name} --out {Path('data') / 'twins' / name}"
        )


def _provenance(root: Path, index: pd.DataFrame) -> str:
    return provenance(root, (name for files in index["files"] for name in files))


def dataset_id(dataset: type[FaceDataModule]) -> str:
    """A dataset's id: the stem of its file."""
    return dataset.__module__.rpartition(".")[2]
