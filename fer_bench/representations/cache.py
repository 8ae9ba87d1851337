"""The cache of extracted representations: one memory map an entry, written once, read by any number of processes.

An entry is a folder `<dataset>/<source>/<representation>/` holding `array.npy`, `index.parquet` (`id`, `row` of every
usable sample) and `manifest.json`. It is written under a temporary name by one process, others waiting, and renamed
when whole: a folder with the final name is always complete.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray

from fer_bench import __version__
from fer_bench.errors import BrokenScan, FerBenchError, InvalidFile
from fer_bench.processes import map_processes
from fer_bench.records import digest, read_json, write_json
from fer_bench.representations.base import Representation

Load = Callable[[Path, tuple[str, ...]], Any]
"""(root, a sample's files) -> what a representation extracts from. Pickled into worker processes."""

Progress = Callable[[int, int], None]
"""Called with (samples done, samples in all)."""


def default_cache() -> Path:
    """`$FER_BENCH_CACHE`, else `~/.cache/fer_bench` (or below `$XDG_CACHE_HOME`)."""
    if explicit := os.environ.get("FER_BENCH_CACHE"):
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fer_bench"


@dataclass(frozen=True)
class Source:
    """The samples that an entry is made from.

    Attributes:
        dataset: Dataset id.
        root: Folder that `files` are relative to.
        provenance: As distributed, or which twin.
        ids: Sample ids.
        files: The files of each sample.
    """

    dataset: str
    root: Path
    provenance: str
    ids: tuple[str, ...]
    files: tuple[tuple[str, ...], ...]

    @cached_property
    def digest(self) -> str:
        """Changes when a file is added, removed, resized or written again."""

        def state(name: str) -> tuple[str, int, int]:
            try:
                # `training.csv#1234` is a place in a file, for samples that share one.
                stat = (self.root / name.partition("#")[0]).stat()
            except OSError:  # gone since the index was built: extraction will name it
                return name, -1, -1
            return name, stat.st_size, stat.st_mtime_ns

        files = [[state(name) for name in names] for names in self.files]
        return digest({"dataset": self.dataset, "provenance": self.provenance, "ids": self.ids, "files": files})


@dataclass(frozen=True)
class CacheEntry:
    """A complete entry on disk."""

    path: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What was extracted, from what, with which samples left out (`broken`: id -> problem)."""
        return read_json(self.path / "manifest.json")

    @property
    def broken(self) -> dict[str, str]:
        """Samples that could not be read: id -> why."""
        return self.manifest["broken"]

    @cached_property
    def rows(self) -> dict[str, int]:
        """Sample id -> row of the array."""
        index = pd.read_parquet(self.path / "index.parquet")
        return dict(zip(index["id"].tolist(), index["row"].tolist(), strict=True))

    def open(self) -> NDArray[Any]:
        """The array (N, *shape) as a read-only memory map, shared between processes by the operating system."""
        try:
            array = np.load(self.path / "array.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InvalidFile(
                self.path / "array.npy", f"cannot be read ({error})", "Delete its folder; it is then extracted again."
            ) from None
        return array


def entry_path(cache: Path, source: Source, representation: Representation) -> Path:
    """Where the entry of these samples in this representation is, or will be."""
    return cache / source.dataset / source.digest / f"{representation.label}-{representation.digest}"


def prepare(
    cache: Path,
    source: Source,
    representations: Sequence[Representation],
    load: Load,
    *,
    workers: int = 1,
    skip_broken: bool = False,
    progress: Progress | None = None,
) -> list[CacheEntry]:
    """Return the entries of some representations, extracting first what is not there; each sample is read once for all.

    Args:
        load: Reads one sample; raises `BrokenScan` for one that cannot be used.
        workers: Processes that extract.
        skip_broken: Leave unusable samples out and name them in the manifest, instead of stopping at the first.
        progress: Told how far extraction is; never called when all entries are there.

    Raises:
        BrokenScan: the first sample that cannot be used, unless skipped, or when none can. Nothing is kept.
    """
    paths = {entry_path(cache, source, representation): representation for representation in representations}
    with ExitStack() as locks:
        # In one order everywhere, so that two processes cannot wait for each other.
        for path in sorted(path for path in paths if not path.exists()):
            path.parent.mkdir(parents=True, exist_ok=True)
            locks.enter_context(FileLock(path.with_name(f"{path.name}.lock")))
        absent = [path for path in paths if not path.exists()]  # others made some while this process waited
        temporary = {path: path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}") for path in absent}
        try:
            for path, folder in temporary.items():
                for abandoned in path.parent.glob(
                    f".{path.name}.*"
                ):  # the lock is ours: whoever wrote these was killed
                    shutil.rmtree(abandoned, ignore_errors=True)
                folder.mkdir()
            if absent:
                targets = {temporary[path]: paths[path] for path in absent}
                _extract(targets, source, load, workers, skip_broken, progress)
            for path, folder in temporary.items():
                folder.rename(path)
        finally:
            for folder in temporary.values():
                shutil.rmtree(folder, ignore_errors=True)
    return [CacheEntry(path) for path in paths]


def _extract(
    targets: dict[Path, Representation],
    source: Source,
    load: Load,
    workers: int,
    skip_broken: bool,
    progress: Progress | None,
) -> None:
    count = len(source.ids)
    for folder, representation in targets.items():
        # Created at full size first: the workers write their rows in place, so no array travels between processes.
        shape = (count, *representation.shape)
        np.lib.format.open_memmap(folder / "array.npy", mode="w+", dtype=representation.dtype, shape=shape).flush()
    work = _Work(source, targets, load)
    broken: dict[str, str] = {}
    for done, error in enumerate(map_processes(work, range(count), workers), start=1):
        if error and not skip_broken:
            raise BrokenScan(
                error.path,
                error.problem,
                f"{error.remedy} To leave such scans out and have them counted, run "
                f"`fer-bench data prepare {source.dataset} --skip-broken`.",
            )
        if error:
            broken[source.ids[done - 1]] = f"{error.path}: {error.problem}"
        if progress:
            progress(done, count)
    usable = [(name, row) for row, name in enumerate(source.ids) if name not in broken]
    if not usable:
        raise BrokenScan(source.root, f"none of its {count} samples can be read", "Run `fer-bench data check` on it.")
    for folder, representation in targets.items():
        pd.DataFrame(usable, columns=["id", "row"]).to_parquet(folder / "index.parquet", index=False)
        write_json(
            folder / "manifest.json",
            {
                "dataset": source.dataset,
                "root": str(source.root),
                "provenance": source.provenance,
                "source": source.digest,
                "representation": representation.name,
                "version": representation.version,
                "parameters": asdict(representation),
                "digest": representation.digest,
                "shape": [count, *representation.shape],
                "broken": broken,
                "fer_bench": __version__,
            },
        )


@dataclass(frozen=True)
class _Work:
    """Extracts the sample at one position into its rows; returns what was wrong with it, if anything was."""

    source: Source
    targets: dict[Path, Representation]
    load: Load

    @cached_property
    def arrays(self) -> list[tuple[Representation, NDArray[Any]]]:
        """Opened once a process."""
        return [(r, np.lib.format.open_memmap(folder / "array.npy", mode="r+")) for folder, r in self.targets.items()]

    def __call__(self, position: int) -> BrokenScan | None:
        files = self.source.files[position]
        try:
            sample = self.load(self.source.root, files)
            for representation, array in self.arrays:
                array[position] = representation.extract(sample)
        except BrokenScan as error:
            return error
        except FerBenchError as error:  # from the representation, which does not know whose scan it was given
            return BrokenScan(self.source.root / files[0], str(error).rstrip("."), "Repair or replace this scan.")
        return None
