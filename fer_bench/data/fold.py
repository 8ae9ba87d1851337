"""From a fold to batches: the part of a datamodule that is the same for one dataset and for several joined."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Self

import lightning.pytorch as L
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, DistributedSampler

from fer_bench.data.batches import Samples, batches, targets
from fer_bench.protocols import Protocol
from fer_bench.records import Batch, Fold, TrainingSet
from fer_bench.representations.cache import CacheEntry
from fer_bench.representations.joined import JoinedEntry


class FoldDataModule(L.LightningDataModule):
    """One fold of one protocol, in one representation.

    Args:
        samples: The index of all samples; of several datasets, joined.
        protocol, fold: Which of them, and which of the protocol's divisions.
        entry: The cache entry, or entries, that hold the samples' representation.
        batch_size: Samples a batch and device.
        seed: Seed of the training order; the order of an epoch depends on it and on the epoch alone.
    """

    def __init__(
        self,
        samples: pd.DataFrame,
        protocol: Protocol,
        fold: int,
        entry: CacheEntry | JoinedEntry,
        batch_size: int,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.samples, self.protocol, self.entry = samples, protocol, entry
        self.batch_size, self.seed = batch_size, seed
        self.fold: Fold = protocol.folds(samples, entry.broken)[fold]
        self._array = entry.open()
        self._truth = dict(zip(samples["id"], protocol.truth(samples), strict=True))

    def train_dataloader(self) -> DataLoader[Batch]:
        return self._loader(self.fold.train, labelled=True, shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._loader(self.fold.val, labelled=True)

    def predict_dataloader(self) -> DataLoader[Batch]:
        """The test samples, without their labels."""
        return self._loader(self.fold.test, labelled=False)

    def training_set(self) -> TrainingSet:
        """The training samples and the auxiliary ones, to be read as a whole."""
        used = {*self.fold.train, *self.fold.auxiliary}
        known = self.samples[self.samples["id"].isin(used)]
        return TrainingSet(
            self.fold.train,
            self.fold.auxiliary,
            known.dropna(subset="subject").set_index("id")["subject"].to_dict(),
            known.dropna(subset="label").set_index("id")["label"].to_dict(),
            lambda ids: torch.from_numpy(self.read(ids)),
        )

    def read(self, ids: Sequence[str]) -> NDArray[Any]:
        """The representation of samples, (n, ...), of each the first row, copied out of the entry."""
        rows = [self.entry.rows[i][0] for i in ids]
        found: NDArray[Any] = self._array[np.array(rows, dtype=np.int64)]
        return found

    def tested_on(self, entry: CacheEntry | JoinedEntry) -> Self:
        """The same fold with the test samples that another entry holds, as it holds them."""
        other = copy(self)
        other.entry, other._array = entry, entry.open()
        other.fold = replace(self.fold, test=tuple(i for i in self.fold.test if i in entry.rows))
        return other

    def _loader(self, ids: tuple[str, ...], *, labelled: bool, shuffle: bool = False) -> DataLoader[Batch]:
        truth = [self._truth[i] for i in ids] if labelled else [None] * len(ids)
        samples = Samples(self.entry, ids, targets(self.protocol, truth))
        replicas, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        sampler: DistributedSampler[Batch] = DistributedSampler(
            samples, replicas, rank, shuffle=shuffle, seed=self.seed
        )
        return batches(samples, sampler, self.batch_size, self.seed, training=shuffle)
