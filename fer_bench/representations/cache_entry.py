"""One entry of the cache: where it is, and reading it."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.errors import FerBenchError, InvalidFile
from fer_bench.processes import Progress
from fer_bench.records import digest, read_json
from fer_bench.representations.base import Representation
from fer_bench.representations.partial import checksum
from fer_bench.representations.sample_source import Source


def default_cache() -> Path:
    """`$FER_BENCH_CACHE`, else `~/.cache/fer_bench` (or below `$XDG_CACHE_HOME`)."""
    if explicit := os.environ.get("FER_BENCH_CACHE"):
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fer_bench"


@dataclass(frozen=True)
class CacheEntry:
    """A complete entry on disk."""

    path: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The entry's source and representation, and the samples left out (`broken`: id -> problem)."""
        return read_json(self.path / "manifest.json")

    @property
    def broken(self) -> dict[str, str]:
        """Samples that could not be read: id -> why."""
        return self.manifest["broken"]

    @cached_property
    def index(self) -> pd.DataFrame:
        """One row per usable sample: `id`, first `row`, `count` of rows, `place` in the source, and the measures."""
        return pd.read_parquet(self.path / "index.parquet")

    @cached_property
    def rows(self) -> dict[str, tuple[int, int]]:
        """Sample id -> its first row of the array, and how many it has."""
        columns = (self.index[name].tolist() for name in ("id", "row", "count"))
        return {sample: (row, count) for sample, row, count in zip(*columns, strict=True)}

    def open(self) -> NDArray[Any]:
        """The array (N, *shape) as a read-only memory map, shared between processes by the operating system."""
        return self._map("array.npy")

    def shared(self, name: str) -> NDArray[Any]:
        """An array that belongs to all rows; see `Bound.shared`."""
        return self._map(f"{name}.npy")

    def problem(self) -> str | None:
        """The entry's problem, judged by the sizes of its files; None if there is none."""
        try:
            shape, dtype = self.manifest["shape"], np.dtype(self.manifest["dtype"])
            array, samples = self.open(), self._map("checksums.npy")
            for name in self.manifest.get("shared", []):
                self.shared(name)
            if list(array.shape) != shape or array.dtype != dtype:
                return f"array.npy is {array.shape} of {array.dtype} and not {tuple(shape)} of {dtype}"
            if len(samples) != self.manifest["samples"] or len(self.index) != len(samples) - len(self.broken):
                return "its files do not belong together"
        except (FerBenchError, KeyError, TypeError, ValueError, OSError) as error:
            return " ".join(str(error).split())
        return None

    def verify(self, progress: Progress | None = None) -> list[str]:
        """Ids of the samples whose rows do not match their checksums."""
        array, sums = self.open(), self._map("checksums.npy")
        damaged = []
        named = self.index[["id", "row", "count", "place"]].itertuples(index=False)
        measures = self.index[self.manifest.get("measures", [])].to_numpy(np.float64)
        for done, ((sample, row, count, place), message) in enumerate(zip(named, measures, strict=True), start=1):
            if sums[place] != checksum(array[row : row + count], message):
                damaged.append(sample)
            if progress:
                progress(done, len(self.index))
        return damaged

    def _map(self, name: str) -> NDArray[Any]:
        try:
            array: NDArray[Any] = np.load(self.path / name, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InvalidFile(
                self.path / name, f"cannot be read ({error})", "Delete its folder; it is then extracted again."
            ) from None
        return array


def entry_path(cache: Path, source: Source, representation: Representation) -> Path:
    """The folder of the entry of these samples in this representation."""
    state = representation.state(source)
    name = f"{representation.label}-{representation.digest}" + ("" if state is None else f"-{digest(state, 8)}")
    return cache / source.dataset / source.digest / name
