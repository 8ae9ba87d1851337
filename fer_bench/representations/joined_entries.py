"""Cache entries of several datasets in one representation, read as one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.representations.cache_entry import CacheEntry


def left_out(entries: Mapping[str, CacheEntry]) -> dict[str, str]:
    """Samples that could not be read, why, of the entries that are made already: by their ids, or by `dataset/id` where
    there are several datasets."""
    made = {name: entry for name, entry in entries.items() if entry.path.exists()}
    if len(entries) > 1:
        return JoinedEntry(made).broken
    return {i: why for entry in made.values() for i, why in entry.broken.items()}


class JoinedEntry:
    """What a datamodule needs of a `CacheEntry`, of several: samples are named `dataset/id`, as
    `fer_bench.protocols.base.join` names them, and rows are counted on from one entry to the next.

    Args:
        entries: Dataset id -> its entry; all hold rows of one shape and dtype.
    """

    def __init__(self, entries: Mapping[str, CacheEntry]) -> None:
        self.entries = dict(entries)

    @property
    def broken(self) -> dict[str, str]:
        """Samples that could not be read: name -> why."""
        return {f"{name}/{i}": why for name, entry in self.entries.items() for i, why in entry.broken.items()}

    @cached_property
    def rows(self) -> dict[str, tuple[int, int]]:
        """Sample -> its first row, and how many it has."""
        found: dict[str, tuple[int, int]] = {}
        start = 0
        for name, entry in self.entries.items():
            found |= {f"{name}/{i}": (start + first, count) for i, (first, count) in entry.rows.items()}
            start += len(entry.open())
        return found

    def open(self) -> StackedRows:
        """The arrays one after another, as read-only memory maps."""
        return StackedRows([entry.open() for entry in self.entries.values()])


class StackedRows:
    """Arrays of rows of one shape, indexed as one array; rows are read on access."""

    def __init__(self, arrays: list[NDArray[Any]]) -> None:
        self.arrays = arrays
        self.ends = np.cumsum([len(array) for array in arrays])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """A copy of some rows, (len(rows), *shape), in the given order."""
        owner = np.searchsorted(self.ends, rows, side="right")
        found = np.empty((len(rows), *self.arrays[0].shape[1:]), dtype=self.arrays[0].dtype)
        for number in np.unique(owner):
            mine = owner == number
            found[mine] = self.arrays[number][rows[mine] - (self.ends[number] - len(self.arrays[number]))]
        return found
