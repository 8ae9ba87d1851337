"""What every dataset shares: finding it, and the way from its index to batches."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import lightning.pytorch as L
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from fer_bench.data import index_store
from fer_bench.data.layouts import Tree, describe_other
from fer_bench.data.survey import Survey
from fer_bench.errors import DatasetNotFound, FerBenchError
from fer_bench.geometry.clip import Clip
from fer_bench.geometry.photo import Photo
from fer_bench.geometry.scan import Scan
from fer_bench.protocols import Protocol
from fer_bench.protocols.base import names
from fer_bench.records import Batch, Fold, provenance
from fer_bench.representations.cache import CacheEntry, Source


class FaceDataModule(L.LightningDataModule, ABC):
    """One fold of one protocol on one dataset, in one representation.

    A dataset writes `examine` and `load`, and the class attributes. The docstring of a dataset is its card.

    Args:
        root: The dataset's folder.
        protocol, fold: Which samples, and which of its divisions.
        entry: The cache entry that holds the samples' representation.
        batch_size: Samples a batch and device.
        seed: Seed of the training order; the order of an epoch depends on it and on the epoch alone.

    Attributes:
        modalities: What `load` gives: `mesh`, `sequence` (of meshes), `photo` or `video` (of photographs); and with
            them `texture`, `landmarks`, `topology` (one vertex order for all).
        unit: What is looked for in a folder, in words: `a BU-3DFE scan`.
        expected: What the folder should hold, a sentence part.
        obtain: How to obtain the dataset, a sentence.
        class_counts: Split -> label -> samples in the distribution, where it is known; its shape gives away copies
            whose classes are in another order.
    """

    modalities: ClassVar[frozenset[str]] = frozenset()
    unit: ClassVar[str] = ""
    expected: ClassVar[str] = ""
    obtain: ClassVar[str] = ""
    class_counts: ClassVar[Mapping[str, Mapping[str, int]]] = {}

    def __init__(
        self, root: Path, protocol: Protocol, fold: int, entry: CacheEntry, batch_size: int, seed: int = 0
    ) -> None:
        super().__init__()
        self.root, self.protocol, self.entry = root, protocol, entry
        self.batch_size, self.seed = batch_size, seed
        index = self.index(root)
        self.fold: Fold = protocol.folds(index, entry.broken)[fold]
        self._truth = dict(zip(index["id"], protocol.truth(index), strict=True))

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
        """What the folder holds, read anew and stored for `index`.

        Raises:
            DatasetNotFound: there is no such folder, or no sample in it.
            InvalidFile: a label file that nothing can do without is damaged.
        """
        if not root.is_dir():
            raise cls.not_found(root, "there is no such folder")
        tree = Tree(root)
        index = cls.examine(tree)
        if not len(index):
            raise cls.not_found(root, f"no file here is {cls.unit}" if tree.files else "the folder is empty")
        survey = Survey(index, tuple(tree.findings.all))
        index_store.save(dataset_id(cls), cls, tree, survey)
        return survey

    @classmethod
    def index(cls, root: Path) -> pd.DataFrame:
        """The index, stored or made now; raises what `survey` raises."""
        stored = index_store.load(dataset_id(cls), cls, root)
        return (stored or cls.survey(root)).index

    @classmethod
    def source(cls, root: Path) -> Source:
        """The whole dataset as the cache sees it."""
        index = cls.index(root)
        return Source(dataset_id(cls), root, provenance(root), tuple(index["id"]), tuple(index["files"]))

    @classmethod
    def not_found(cls, root: Path, problem: str) -> DatasetNotFound:
        """The error that says where was looked, what was expected, how to obtain it and how to do without."""
        name = dataset_id(cls)
        other = describe_other(root, name)
        return DatasetNotFound(
            f"{root}: {problem}{f'; it looks like {other}' if other else ''}. Expected {cls.expected} "
            f"Pass the folder with --root, or set FER_BENCH_DATA to the folder that holds {name}/. {cls.obtain} "
            f"To go on without it: fer-bench data twin {name} --out {Path('data') / 'twins' / name}"
        )

    def train_dataloader(self) -> DataLoader[Batch]:
        return self._loader(self.fold.train, labelled=True, shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._loader(self.fold.val, labelled=True)

    def predict_dataloader(self) -> DataLoader[Batch]:
        """The test samples, without their labels."""
        return self._loader(self.fold.test, labelled=False)

    def _loader(self, ids: tuple[str, ...], *, labelled: bool, shuffle: bool = False) -> DataLoader[Batch]:
        targets = _targets(self.protocol, [self._truth[i] for i in ids] if labelled else [None] * len(ids))
        samples = _Samples(self.entry, ids, targets)
        replicas, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        sampler: DistributedSampler[Batch] = DistributedSampler(
            samples, replicas, rank, shuffle=shuffle, seed=self.seed
        )
        # A last batch of one sample has no variance, and batch normalisation cannot train on it.
        alone = shuffle and len(sampler) % self.batch_size == 1 and len(sampler) > 1
        # By keyword: Lightning builds the loader again from its arguments, and only keywords tell it which is which.
        return DataLoader(
            dataset=samples,
            batch_size=self.batch_size,
            sampler=sampler,
            collate_fn=_as_is,
            drop_last=alone,
            # Its own: a loader that draws from the global generator whenever it begins would shift what the method
            # draws, by how often loaders began, and that differs between a continued run and a whole one.
            generator=torch.Generator().manual_seed(self.seed),
            pin_memory=torch.cuda.is_available(),
        )


def _targets(protocol: Protocol, truth: list[Any]) -> NDArray[Any]:
    """Class indices (N,), or float32 (N, 2) valence and arousal, or (N, C) 0 and 1 a class; -1 or NaN for no truth."""
    width = len(protocol.outputs)
    if protocol.task == "valence_arousal":
        return np.array([[np.nan] * width if pair is None else pair for pair in truth], dtype=np.float32)
    if protocol.task == "multilabel":
        rows = [[np.nan] * width if t is None else [c in names(t) for c in protocol.classes] for t in truth]
        return np.array(rows, dtype=np.float32)
    number = {name: position for position, name in enumerate(protocol.classes)}
    return np.array([number.get(label, -1) for label in truth], dtype=np.int64)


class _Samples(Dataset[Batch]):
    """Rows of a cache entry, fetched a batch at a time."""

    def __init__(self, entry: CacheEntry, ids: tuple[str, ...], labels: NDArray[Any]) -> None:
        self.ids, self.labels = ids, torch.from_numpy(labels)
        self.rows = np.array([entry.rows[i] for i in ids], dtype=np.int64)
        self.array = entry.open()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, position: int) -> Batch:
        return self.__getitems__([position])

    def __getitems__(self, positions: list[int]) -> Batch:
        inputs = torch.from_numpy(self.array[self.rows[positions]])  # fancy indexing copies out of the map
        return {"id": [self.ids[p] for p in positions], "input": inputs, "label": self.labels[positions]}


def _as_is(batch: Any) -> Any:
    return batch


def dataset_id(dataset: type[FaceDataModule]) -> str:
    """A dataset's id: the stem of its file."""
    return dataset.__module__.rpartition(".")[2]


def find_root(name: str, root: Path | None = None) -> Path:
    """Where a dataset is: `root`, else `$FER_BENCH_DATA/<name>`, else `data/<name>`.

    Raises:
        FerBenchError: a root was named that is not a folder.
    """
    if root is not None:
        if not root.is_dir():
            raise FerBenchError(f"{root}: there is no such folder; --root takes the folder of the {name} dataset.")
        return root
    return Path(os.environ.get("FER_BENCH_DATA") or "data") / name
