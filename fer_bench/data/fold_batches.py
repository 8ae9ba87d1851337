"""From a fold to batches: the part of a datamodule that is the same for one dataset and for several joined."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Self

import lightning.pytorch as L
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from fer_bench.data.batches import Samples, batches, targets
from fer_bench.data.samplers import BalancedSampler, OrderedSampler, PartSampler, ShuffledSampler, rarest
from fer_bench.expressions import EXPRESSIONS
from fer_bench.protocols import Protocol
from fer_bench.records import Batch, Fold, Sampling, TrainingSet
from fer_bench.representations.cache_entry import CacheEntry
from fer_bench.representations.joined_entries import JoinedEntry


class FoldDataModule(L.LightningDataModule):
    """One fold of one protocol, in one representation.

    Args:
        samples: The index of all samples; of several datasets, joined.
        protocol, fold: Which of them, and which of the protocol's divisions.
        entry: The cache entry, or entries, that hold the samples' representation.
        batch_size: Samples a batch and device.
        seed: Seed of the training order; the order of an epoch depends on it and on the epoch alone.

    Attributes:
        sampling: Which samples an epoch of training has.
    """

    sampling: Sampling = "all"

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
        self._beside = samples.set_index("id")[["label", "valence", "arousal"]]

    def drop_test_samples(self) -> None:
        """Keep only training and validation samples. Called before a method sees the data; accessing the label of
        another sample fails afterwards."""
        kept = {*self.fold.train, *self.fold.val, *self.fold.auxiliary}
        self.samples = self.samples[self.samples["id"].isin(kept)].reset_index(drop=True)
        self._beside = self._beside[self._beside.index.isin(kept)]
        self._truth = {i: truth for i, truth in self._truth.items() if i in kept}

    def train_dataloader(self) -> DataLoader[Batch]:
        ids = self.fold.train
        if self.sampling == "rarest":
            ids = tuple(ids[place] for place in rarest(self._known(ids)["expression"], self.seed))
        samples = Samples(self.entry, ids, self._known(ids))
        sampler: ShuffledSampler
        if self.sampling == "balanced":
            sampler = BalancedSampler(samples.known["expression"], self.batch_size, *self._process, seed=self.seed)
        elif self.sampling == "by_class":
            sampler = OrderedSampler(samples.known["label"], self.batch_size, *self._process)
        else:
            sampler = ShuffledSampler(len(samples), self.batch_size, *self._process, seed=self.seed)
        return batches(samples, sampler, self.batch_size, self.seed)

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._in_order(Samples(self.entry, self.fold.val, self._known(self.fold.val)))

    def predict_dataloader(self) -> DataLoader[Batch]:
        """The test samples, without their labels."""
        nothing = targets(self.protocol, [None] * len(self.fold.test))
        return self._in_order(Samples(self.entry, self.fold.test, {"label": nothing}))

    def training_set(self) -> TrainingSet:
        """The training samples and the auxiliary ones, to be read as a whole; no other sample can be read."""
        used = {*self.fold.train, *self.fold.auxiliary}

        def read(ids: Sequence[str]) -> torch.Tensor:
            if others := [i for i in ids if i not in used]:
                raise RuntimeError(f"{others[0]} was to be read as a training sample, and is none.")
            return torch.from_numpy(self.read(ids))

        known = self.samples[self.samples["id"].isin(used)]
        return TrainingSet(
            self.fold.train,
            self.fold.auxiliary,
            known.dropna(subset="subject").set_index("id")["subject"].to_dict(),
            known.dropna(subset="label").set_index("id")["label"].to_dict(),
            read,
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

    def _known(self, ids: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        """The fields of a batch for samples, see `Batch`."""
        if others := [i for i in ids if i not in self._truth]:
            raise RuntimeError(f"the label of {others[0]} was requested, which neither trains nor validates.")
        known = self._beside.loc[list(ids)]
        number = {name: place for place, name in enumerate(EXPRESSIONS)}
        expression = [number.get(label, -1) for label in known["label"].fillna("")]
        return {
            "label": targets(self.protocol, [self._truth[i] for i in ids]),
            "expression": np.array(expression, dtype=np.int64),
            "affect": known[["valence", "arousal"]].to_numpy(dtype=np.float32, na_value=np.nan),
        }

    @property
    def _process(self) -> tuple[int, int]:
        """How many processes train together, and which of them this is."""
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)

    def _in_order(self, samples: Samples) -> DataLoader[Batch]:
        return batches(samples, PartSampler(len(samples), *self._process), self.batch_size, self.seed)
