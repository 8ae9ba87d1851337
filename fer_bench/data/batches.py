"""From rows of a cache entry to batches."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from fer_bench.protocols import Protocol
from fer_bench.protocols.base import names
from fer_bench.records import Batch
from fer_bench.representations.cache_entry import CacheEntry
from fer_bench.representations.joined_entries import JoinedEntry


def targets(protocol: Protocol, truth: list[Any]) -> NDArray[Any]:
    """Class indices (N,), or float32 (N, 2) valence and arousal, or (N, C) 0 and 1 a class; -1 or NaN for no truth."""
    width = len(protocol.outputs)
    if protocol.task == "valence_arousal":
        return np.array([[np.nan] * width if pair is None else pair for pair in truth], dtype=np.float32)
    if protocol.task == "multilabel":
        rows = [[np.nan] * width if t is None else [c in names(t) for c in protocol.classes] for t in truth]
        return np.array(rows, dtype=np.float32)
    number = {name: position for position, name in enumerate(protocol.classes)}
    return np.array([number.get(label, -1) for label in truth], dtype=np.int64)


class Samples(Dataset[Batch]):
    """Rows of a cache entry, fetched a batch at a time; a sample that has several rows comes several times.

    Args:
        known: What a `Batch` holds besides, `label` among it: (N, ...), a row an id.
    """

    def __init__(self, entry: CacheEntry | JoinedEntry, ids: tuple[str, ...], known: dict[str, NDArray[Any]]) -> None:
        first, count = np.array([entry.rows[i] for i in ids], dtype=np.int64).reshape(-1, 2).T
        owner = np.repeat(np.arange(len(ids)), count)
        self.rows = first[owner] + np.arange(len(owner)) - (np.cumsum(count) - count)[owner]
        self.ids = [ids[i] for i in owner.tolist()]
        self.known = {name: torch.from_numpy(values[owner]) for name, values in known.items()}
        self.array = entry.open()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, position: int) -> Batch:
        return self.__getitems__([position])

    def __getitems__(self, positions: list[int]) -> Batch:
        inputs = torch.from_numpy(self.array[self.rows[positions]])  # fancy indexing copies out of the map
        known = {name: values[positions] for name, values in self.known.items()}
        return {"id": [self.ids[p] for p in positions], "input": inputs, **known}  # type: ignore[typeddict-item]


def _as_is(batch: Any) -> Any:
    return batch


def batches(samples: Samples, sampler: Sampler[int], batch_size: int, seed: int) -> DataLoader[Batch]:
    """A loader whose batches depend on the sampler alone."""
    # By keyword: Lightning builds the loader again from its arguments, which it matches by keyword.
    return DataLoader(
        dataset=samples,
        batch_size=batch_size,
        sampler=sampler,
        collate_fn=_as_is,
        # Its own: a loader that draws from the global generator whenever it begins would shift what the method
        # draws, by how often loaders began, and that differs between a continued run and a whole one.
        generator=torch.Generator().manual_seed(seed),
        pin_memory=torch.cuda.is_available(),
    )
