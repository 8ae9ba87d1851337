"""Extraction in shards: every so-and-so-many-th sample by a process of its own, perhaps on another machine.

A shard is written to a folder of its own beside the entry, `.<entry>.shard3of8.partial`, for no two machines may write
to one mapped file. What the shards hold is then taken into the entry in the making, as if its own extraction had been
stopped there; samples that no shard could read are left to that extraction, which names them.
"""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from fer_bench.errors import FerBenchError
from fer_bench.processes import Progress, map_processes
from fer_bench.representations.base import Extract, Representation
from fer_bench.representations.cache import row_counts, writable
from fer_bench.representations.cache_entry import CacheEntry, entry_path
from fer_bench.representations.partial import Partial
from fer_bench.representations.sample_source import Load, Source


@dataclass(frozen=True)
class Shard:
    """The samples of a source at `number`, `number` + `of`, ..."""

    number: int
    of: int

    def name(self, entry: Path) -> Path:
        """The path of a shard of an entry."""
        return entry.with_name(f"{entry.name}.shard{self.number}of{self.of}")

    def places(self, samples: int) -> NDArray[np.int64]:
        """Positions in the source."""
        return np.arange(self.number, samples, self.of)


def missing(cache: Path, source: Source, representations: Sequence[Representation]) -> list[Representation]:
    """Representations whose entry is missing or damaged."""
    return [each for each in representations if CacheEntry(entry_path(cache, source, each)).problem()]


def extract_shard(
    cache: Path,
    source: Source,
    representations: Sequence[Representation],
    load: Load,
    shard: Shard,
    workers: int = 1,
    progress: Progress | None = None,
) -> None:
    """Extract a shard of missing entries. A started shard is continued; unreadable samples are left out."""
    wanted = missing(cache, source, representations)
    places = shard.places(len(source.ids))
    with ExitStack() as locks:
        targets = {entry_path(cache, source, each): each for each in wanted}
        for entry in sorted(targets):
            writable(entry.parent)
            locks.enter_context(FileLock(shard.name(entry).with_name(f"{shard.name(entry).name}.lock")))
        partials, extracts = [], []
        for entry, each in targets.items():
            bound = each.bind(source, load)
            counts = row_counts(each, source.pick(places.tolist()), load)
            partials.append(Partial.open(shard.name(entry), counts, bound.shape, each.dtype, len(each.measures)))
            extracts.append(bound.extract)
        if not partials:
            return
        left = np.flatnonzero(~np.all([partial.done() for partial in partials], axis=0)).tolist()
        work = _Work(source, tuple(partials), tuple(extracts), load, shard)
        begun = len(places) - len(left)
        for number, _ in enumerate(map_processes(work, left, workers), start=1):
            if progress:
                progress(begun + number, len(places))
        for partial in partials:
            partial.settle()


def merge_shards(cache: Path, source: Source, representations: Sequence[Representation], load: Load) -> int:
    """Merge shards into their entries and delete them; returns their number."""
    taken = 0
    for each in missing(cache, source, representations):
        entry = entry_path(cache, source, each)
        found = sorted(entry.parent.glob(f".{entry.name}.shard*of*.partial"))
        if not found:
            continue
        with FileLock(entry.with_name(f"{entry.name}.lock")):
            counts = row_counts(each, source, load)
            whole = Partial.open(entry, counts, each.bind(source, load).shape, each.dtype, len(each.measures))
            for folder in found:
                name = folder.name.removeprefix(".").removesuffix(".partial")
                number, of = map(int, name.rpartition(".shard")[2].split("of"))
                lock = folder.with_name(f"{name}.lock")
                with FileLock(lock):  # held while a process is writing it
                    _take(whole, Partial(folder, counts[Shard(number, of).places(len(counts))]), Shard(number, of))
                    shutil.rmtree(folder)
                lock.unlink(missing_ok=True)
                taken += 1
            whole.settle()
    return taken


def _take(whole: Partial, part: Partial, shard: Shard) -> None:
    done = part.done()
    for local, place in enumerate(shard.places(len(whole.counts)).tolist()):
        if done[local] and part.intact(local):
            whole.write(place, part.rows(local), tuple(part.measures[local]))


@dataclass(frozen=True)
class _Work:
    """Extracts the sample at one position of the shard."""

    source: Source
    partials: tuple[Partial, ...]
    extracts: tuple[Extract, ...]
    load: Load
    shard: Shard

    def __call__(self, local: int) -> None:
        place = self.shard.number + local * self.shard.of
        try:
            sample = self.load(self.source.root, self.source.files[place])
            for partial, extract in zip(self.partials, self.extracts, strict=True):
                if not partial.has(local):
                    partial.write(local, *extract(place, sample))
        except FerBenchError:
            return  # the entry's own extraction meets the error again, and reports it
