"""An entry during extraction: workers write their rows in place, and finished rows survive a killed worker.

Beside the final folder lies `.<name>.partial` with the array at its full size, the samples' measures, and a checksum a
sample, which is written after them. A killed process leaves rows without a checksum; after a power cut there may also
be checksums of rows that never reached the disk. So what is taken up is compared with its checksum first.
"""

from __future__ import annotations

import os
import shutil
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import FerBenchError

_DONE = np.uint64(1 << 32)  # added to a checksum, so that 0 means an absent sample


def checksum(rows: NDArray[Any], measures: NDArray[np.float64]) -> np.uint64:
    """CRC-32 of a sample's rows and then its measures, never 0."""
    begun = zlib.crc32(np.ascontiguousarray(rows).data)
    return _DONE + np.uint64(zlib.crc32(np.ascontiguousarray(measures).data, begun))


@dataclass(frozen=True)
class Partial:
    """The folder of an entry that is not complete; pickled into worker processes.

    Attributes:
        folder: Where it is.
        counts: (S,) rows of each sample.
    """

    folder: Path
    counts: NDArray[np.int64]

    def __reduce__(self) -> tuple[type[Partial], tuple[Path, NDArray[np.int64]]]:
        return Partial, (self.folder, self.counts)  # not the maps, which would travel as copies of their contents

    @classmethod
    def open(
        cls, entry: Path, counts: NDArray[np.int64], shape: tuple[int, ...], dtype: np.dtype[Any], measures: int = 0
    ) -> Partial:
        """Continue an extraction, or start one.

        Args:
            entry: The final folder, whose lock the caller holds.
            counts: (S,) rows of each sample.
            shape, dtype: Of one row.
            measures: Numbers measured on a sample.

        Raises:
            FerBenchError: the disk is too small, or cannot be written.
        """
        partial = cls(entry.with_name(f".{entry.name}.partial"), counts)
        wanted = (int(counts.sum()), *shape)
        try:
            if partial._fits(wanted, dtype, measures):
                partial._recheck()
            else:
                shutil.rmtree(partial.folder, ignore_errors=True)
                partial.folder.mkdir()
                _create(partial.folder / "array.npy", wanted, dtype)
                _create(partial.folder / "measures.npy", (len(counts), measures), np.dtype(np.float64))
                _create(partial.folder / "checksums.npy", (len(counts),), np.dtype(np.uint64))
        except OSError as error:
            shutil.rmtree(partial.folder, ignore_errors=True)
            size = int(np.prod(wanted)) * dtype.itemsize / 1e9
            raise FerBenchError(
                f"{entry.parent}: cannot hold {size:.1f} GB more ({error.strerror or error}); make room (`fer-bench "
                "data prune`), or set FER_BENCH_CACHE to a folder on a larger disk."
            ) from None
        return partial

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """(S,) the first row of each sample."""
        return np.cumsum(self.counts) - self.counts

    def done(self) -> NDArray[np.bool_]:
        """(S,) which samples are there."""
        return np.asarray(self._checksums) != 0

    def has(self, place: int) -> bool:
        """Whether a sample was extracted."""
        return bool(self._checksums[place])

    def write(self, place: int, rows: NDArray[Any], measures: tuple[float, ...] = ()) -> None:
        """Write a sample's rows and measures, and then that they are there."""
        target = self.rows(place)
        target[...] = rows.reshape(target.shape)
        self.measures[place] = measures
        self._checksums[place] = checksum(target, self.measures[place])

    def intact(self, place: int) -> bool:
        """Whether a sample matches its checksum."""
        return bool(self._checksums[place] == checksum(self.rows(place), self.measures[place]))

    def settle(self) -> None:
        """Return when everything is on the disk."""
        for path in self.folder.iterdir():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    @cached_property
    def _array(self) -> NDArray[Any]:
        return np.lib.format.open_memmap(self.folder / "array.npy", mode="r+")

    @cached_property
    def measures(self) -> NDArray[np.float64]:
        """(S, M) measures of each sample."""
        return np.lib.format.open_memmap(self.folder / "measures.npy", mode="r+")

    @cached_property
    def _checksums(self) -> NDArray[np.uint64]:
        return np.lib.format.open_memmap(self.folder / "checksums.npy", mode="r+")

    def rows(self, place: int) -> NDArray[Any]:
        """A sample's rows, in place."""
        return self._array[self.starts[place] : self.starts[place] + self.counts[place]]

    def _fits(self, shape: tuple[int, ...], dtype: np.dtype[Any], measures: int) -> bool:
        """Whether the existing extraction is of the same array."""
        try:
            return (
                self._array.shape == shape
                and self._array.dtype == dtype
                and self.measures.shape == (len(self.counts), measures)
                and self.measures.dtype == np.float64
                and self._checksums.shape == self.counts.shape
                and self._checksums.dtype == np.uint64
            )
        except (OSError, ValueError):  # nothing there, or cut off before it had its size
            return False

    def _recheck(self) -> None:
        for place in np.flatnonzero(self.done()).tolist():
            if not self.intact(place):
                self._checksums[place] = 0


def _create(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """An array of zeros whose room on the disk is taken now: a map that runs out of it later kills the process."""
    np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape).flush()
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
