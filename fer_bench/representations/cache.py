"""The cache of extracted representations: one memory map an entry, written once, read by any number of processes.

An entry is a folder `<dataset>/<source>/<representation>/` holding `array.npy`, `checksums.npy` (one a sample of the
source), `index.parquet` (of every usable sample its `id`, first `row`, `count` of rows, `place` in the source, and the
representation's measures), `manifest.json`, and arrays that belong to all rows, as a mesh's triangles. It is written
under another name by one process, others waiting, and renamed when whole: a folder with the final name is always
complete. What a process that was killed had done is taken up by the next (`fer_bench.representations.partial`).
"""

import shutil
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray

from fer_bench import __version__
from fer_bench.errors import BrokenScan, FerBenchError
from fer_bench.processes import Progress, map_processes
from fer_bench.records import write_json
from fer_bench.representations.base import Bound, Extract, Representation
from fer_bench.representations.cache_entry import CacheEntry, entry_path
from fer_bench.representations.partial import Partial
from fer_bench.representations.sample_source import Load, Source


def prepare(
    cache: Path,
    source: Source,
    representations: Sequence[Representation],
    load: Load,
    *,
    workers: int = 1,
    skip_broken: bool = False,
    progress: Progress | None = None,
    notify: Callable[[str], None] = lambda text: None,
) -> list[CacheEntry]:
    """Return the cache entries of representations. Missing ones are extracted first; each sample is read once for all.

    Args:
        load: Reads one sample; raises `BrokenScan` for one that cannot be used.
        workers: Processes that extract.
        skip_broken: Leave unusable samples out and name them in the manifest, instead of stopping at the first.
        progress: Called with the progress of the extraction; never called when all entries exist.
        notify: Called with in a sentence what a user should know: that an entry was damaged, or that work is taken up.

    Raises:
        BrokenScan: the first sample that cannot be used, unless skipped, or when none can. What was done is kept for
            the next time, and is no entry.
        FerBenchError: the cache cannot be written, or the disk is too small.
    """
    paths = {entry_path(cache, source, representation): representation for representation in representations}
    with ExitStack() as locks:
        # In one order everywhere, so that two processes cannot wait for each other.
        for path in sorted(path for path in paths if CacheEntry(path).problem()):
            writable(path.parent)
            locks.enter_context(FileLock(path.with_name(f"{path.name}.lock")))
        absent = []
        for path in paths:
            if (problem := CacheEntry(path).problem()) is None:
                continue  # there, or made while this process waited
            if path.exists():
                notify(f"{path}: damaged ({problem.rstrip('.')}); it is extracted again.")
                discard(path)
            absent.append(path)
        if absent:
            _extract({path: paths[path] for path in absent}, source, load, workers, skip_broken, progress, notify)
    return [CacheEntry(path) for path in paths]


def _extract(
    targets: dict[Path, Representation],
    source: Source,
    load: Load,
    workers: int,
    skip_broken: bool,
    progress: Progress | None,
    notify: Callable[[str], None],
) -> None:
    partials, bounds = [], []
    for path, representation in targets.items():
        counts, bound = row_counts(representation, source, load), representation.bind(source, load)
        measures = len(representation.measures)
        partials.append(Partial.open(path, counts, bound.shape, representation.dtype, measures))
        bounds.append(bound)
    done = [partial.done() for partial in partials]
    left = np.flatnonzero(~np.all(done, axis=0)).tolist()
    begun = len(source.ids) - len(left)
    if begun:
        notify(f"{source.dataset}: {begun:,} of {len(source.ids):,} samples were extracted before; going on.")
    work = _Work(source, tuple(partials), tuple(bound.extract for bound in bounds), load)
    broken: dict[str, str] = {}
    for number, error in enumerate(map_processes(work, left, workers), start=1):
        if error and not skip_broken:
            raise BrokenScan(
                error.path,
                error.problem,
                f"{error.remedy} To leave such scans out and have them counted, run "
                f"`fer-bench data prepare {source.dataset} --skip-broken`.",
            )
        if error:
            broken[source.ids[left[number - 1]]] = f"{error.path}: {error.problem}"
        if progress:
            progress(begun + number, len(source.ids))
    if len(broken) == len(source.ids):
        raise BrokenScan(
            source.root, f"none of its {len(broken)} samples can be read", "Run `fer-bench data check` on it."
        )
    for partial, bound, (path, representation) in zip(partials, bounds, targets.items(), strict=True):
        _finish(partial, bound, path, representation, source, broken)


def row_counts(representation: Representation, source: Source, load: Load) -> NDArray[np.int64]:
    """How many rows each sample has."""
    if not representation.many:
        return np.ones(len(source.ids), dtype=np.int64)
    return np.array([representation.rows(load(source.root, files)) for files in source.files], dtype=np.int64)


def _finish(
    partial: Partial,
    bound: Bound,
    path: Path,
    representation: Representation,
    source: Source,
    broken: dict[str, str],
) -> None:
    usable = [place for place, name in enumerate(source.ids) if name not in broken]
    ids = [source.ids[place] for place in usable]
    measures = dict(zip(representation.measures, np.asarray(partial.measures)[usable].T, strict=True))
    rows = {"id": ids, "row": partial.starts[usable], "count": partial.counts[usable], "place": usable}
    pd.DataFrame(rows | measures).to_parquet(partial.folder / "index.parquet", index=False)
    for name, array in bound.shared.items():
        np.save(partial.folder / f"{name}.npy", array, allow_pickle=False)
    each = pd.DataFrame(measures).to_dict("records")
    doubts = {name: representation.flag(measured) for name, measured in zip(ids, each, strict=False)}
    write_json(
        partial.folder / "manifest.json",
        {
            "dataset": source.dataset,
            "root": str(source.root),
            "provenance": source.provenance,
            "source": source.whole or source.digest,
            "representation": representation.name,
            "version": representation.version,
            "parameters": asdict(representation),
            "digest": representation.digest,
            "shape": [int(partial.counts.sum()), *bound.shape],
            "dtype": representation.dtype.str,
            "samples": len(source.ids),
            "broken": broken,
            "measures": list(representation.measures),
            "shared": sorted(bound.shared),
            "flagged": {name: doubt for name, doubt in doubts.items() if doubt},
            **representation.notes(source),
            "fer_bench": __version__,
        },
    )
    partial.settle()
    # Last, because without it an extraction that is killed before the renaming would have to start again.
    (partial.folder / "measures.npy").unlink()
    partial.folder.rename(path)


@dataclass(frozen=True)
class _Work:
    """Extracts the sample at one position into its rows; returns its error, if any."""

    source: Source
    partials: tuple[Partial, ...]
    extracts: tuple[Extract, ...]
    load: Load

    def __call__(self, position: int) -> BrokenScan | None:
        files = self.source.files[position]
        try:
            sample = self.load(self.source.root, files)
            for partial, extract in zip(self.partials, self.extracts, strict=True):
                if not partial.has(position):
                    partial.write(position, *extract(position, sample))
        except BrokenScan as error:
            return error
        except FerBenchError as error:  # from the representation, which does not know the scan's file
            return BrokenScan(self.source.root / files[0], str(error).rstrip("."), "Repair or replace this scan.")
        return None


def writable(folder: Path) -> None:
    """Make a folder of the cache; raises `FerBenchError` where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FerBenchError(
            f"{folder}: cannot be made ({error.strerror}); set FER_BENCH_CACHE to a folder that can be written."
        ) from None


def discard(path: Path) -> None:
    """Delete a folder, renamed first so that it is never seen half-deleted."""
    away = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.discarded")
    path.rename(away)
    shutil.rmtree(away, ignore_errors=True)
