"""What every dataset shares: finding it, and the way from its index to batches."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import lightning.pytorch as L
import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from fer_bench.data.layouts import describe_other
from fer_bench.errors import DatasetNotFound, FerBenchError
from fer_bench.protocols import Protocol
from fer_bench.records import Batch, Fold, provenance
from fer_bench.representations.cache import CacheEntry, Source


class FaceDataModule(L.LightningDataModule, ABC):
    """One fold of one protocol on one dataset, in one representation.

    A dataset writes `index` and `load`, and the class attributes. The docstring of a dataset is its card.

    Args:
        root: The dataset's folder.
        protocol, fold: Which samples, and which of its divisions.
        entry: The cache entry that holds the samples' representation.
        batch_size: Samples a batch and device.
        seed: Seed of the training order; the order of an epoch depends on it and on the epoch alone.
    """

    modalities: ClassVar[frozenset[str]] = frozenset()
    expected: ClassVar[str] = ""
    obtain: ClassVar[str] = ""

    def __init__(
        self, root: Path, protocol: Protocol, fold: int, entry: CacheEntry, batch_size: int, seed: int = 0
    ) -> None:
        super().__init__()
        self.root, self.protocol, self.entry = root, protocol, entry
        self.batch_size, self.seed = batch_size, seed
        index = self.index(root)
        self.fold: Fold = protocol.folds(index, entry.broken)[fold]
        self._label = dict(zip(index["id"], index["label"], strict=True))

    @classmethod
    @abstractmethod
    def index(cls, root: Path) -> pd.DataFrame:
        """The index of the dataset at `root`, from names and label files alone; raises `DatasetNotFound`."""

    @classmethod
    @abstractmethod
    def load(cls, root: Path, files: tuple[str, ...]) -> Any:
        """One sample from its files; raises `BrokenScan`."""

    @classmethod
    @abstractmethod
    def findings(cls, index: pd.DataFrame) -> list[str]:
        """What differs from the distribution, and what had to be assumed, a sentence each."""

    @classmethod
    def source(cls, root: Path) -> Source:
        """The whole dataset as the cache sees it."""
        index = cls.index(root)
        files = tuple(tuple(names) for names in index["files"])
        return Source(dataset_id(cls), root, provenance(root), tuple(index["id"]), files)

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
        number = {name: position for position, name in enumerate(self.protocol.classes)}
        labels = np.array([number[self._label[i]] if labelled else -1 for i in ids], dtype=np.int64)
        samples = _Samples(self.entry, ids, labels)
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


class _Samples(Dataset[Batch]):
    """Rows of a cache entry, fetched a batch at a time."""

    def __init__(self, entry: CacheEntry, ids: tuple[str, ...], labels: np.ndarray) -> None:
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
