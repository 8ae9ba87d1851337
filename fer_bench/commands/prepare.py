"""The commands about the cache: filling it, looking at what is in it, checking it and clearing it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rich.markup import escape

from fer_bench import registry
from fer_bench.commands.extraction import extract, extract_on_slurm, read_slurm_profile
from fer_bench.data.layouts import find_root
from fer_bench.errors import FerBenchError
from fer_bench.io.images import writable_image, write_image
from fer_bench.processes import fork_server
from fer_bench.terminal import console

if TYPE_CHECKING:
    from fer_bench.representations.base import Representation
    from fer_bench.representations.cache_entry import CacheEntry


@dataclass(frozen=True)
class SlurmOptions:
    """How tasks of Slurm extract."""

    profile: Path | None
    shards: int | None
    detach: bool


_USUAL = ("views", "points", "dynamic_views", "image")
_PREVIEWED = 21


def prepare(
    name: str,
    root: Path | None,
    representations: Sequence[str],
    workers: int,
    skip_broken: bool,
    preview: Path | None,
    slurm: SlurmOptions | None = None,
) -> None:
    """Extract representations of a dataset into the cache, and draw some of their rows if `preview` is given.

    Args:
        slurm: Let tasks of Slurm do it.
    """
    profile = read_slurm_profile(slurm.profile) if slurm else None
    module, folder = registry.dataset_module(name), find_root(name, root)
    chosen = [registry.load_representation(text) for text in representations]
    if preview is not None:
        writable_image(preview)
    if workers > 1:
        fork_server(module)
    from fer_bench.launch.planning import Need

    dataset = registry.load_dataset(name)
    offered = dataset.offers(folder)
    wanted = tuple(r.resolve(offered) for r in chosen) or tuple(_usual(offered))
    need = Need(dataset, dataset.source(folder), wanted)
    if slurm and profile and not extract_on_slurm(need, profile, slurm.shards, slurm.detach):
        console.print("They run without this command; run it again to take in what they extract", highlight=False)
        return
    entries = extract(need, workers, skip_broken)
    for representation, entry in zip(wanted, entries, strict=True):
        console.print(f"{representation.label} of {name}: {entry.path}", highlight=False, soft_wrap=True)
        for measure in representation.measures:
            values = entry.index[measure]
            message = f"median {values.median():.3g}, from {values.min():.3g} to {values.max():.3g}"
            console.print(f"  {measure}: {message}", highlight=False)
    if preview is not None:
        from fer_bench.geometry.contact_sheet import sheet

        index = dataset.index(folder)
        cells = [cell for r, e in zip(wanted, entries, strict=True) for cell in _cells(r, e, index)]
        write_image(preview, sheet(cells, columns=3, pixels=420))
        console.print(f"wrote {preview}: check it before trusting what was extracted", highlight=False)


def _usual(offered: frozenset[str]) -> Iterator[Representation]:
    """What a dataset that offers these modalities can be extracted to without further choice."""
    found = False
    for name in _USUAL:
        representation = registry.load_representation(name)
        if offered.intersection(representation.takes):
            found = True
            yield representation.resolve(offered)
    if not found:
        named = ", ".join(sorted(offered))
        raise FerBenchError(f"no representation is made of {named}; name one with --representation.")


def _cells(
    representation: Representation, entry: CacheEntry, index: pd.DataFrame
) -> Iterator[tuple[str, np.ndarray[Any, np.dtype[np.uint8]]]]:
    """Some rows with their ids and labels: of each label as many, spread over the dataset."""
    array, known = entry.open(), index[index["id"].isin(entry.rows.keys())]
    groups = [group["id"].tolist() for _, group in known.groupby(known["label"].fillna("-"), sort=True)]
    each = max(1, _PREVIEWED // len(groups))
    labels = dict(zip(known["id"], known["label"].fillna("-"), strict=True))
    for ids in groups[:_PREVIEWED]:
        for place in np.unique(np.linspace(0, len(ids) - 1, each).astype(int)):
            first, count = entry.rows[ids[place]]
            windows = f" (1 of {count} windows)" if count > 1 else ""
            yield (
                f"{representation.name} {ids[place]} {labels[ids[place]]}{windows}",
                representation.picture(array[first]),
            )


def check_cache(name: str) -> int:
    """Compare every entry of a dataset with its checksums; returns the exit code."""
    from fer_bench.commands import display
    from fer_bench.representations.cache_entry import CacheEntry, default_cache

    registry.dataset_module(name)
    folders = [path for path in sorted((default_cache() / name).glob("*/*")) if path.is_dir()]
    entries = [CacheEntry(path) for path in folders if not path.name.startswith(".")]
    worst = 0
    for entry in entries:
        problem = entry.problem()
        if problem is None:
            with display.reported(console, f"reading {entry.path.name}") as report:
                damaged = entry.verify(report)
            message = f"{len(damaged)} of {len(entry.rows)} samples are not what was written: {', '.join(damaged[:8])}"
            problem = message + (" ..." if len(damaged) > 8 else "") if damaged else None
        state = "[green]whole[/]  " if problem is None else "[red]damaged[/]"
        console.print(f"{state} {entry.path}" + (f": {escape(problem)}" if problem else ""), soft_wrap=True)
        worst = max(worst, problem is not None)
    if not entries:
        console.print(f"the cache {default_cache()} has nothing of {name}", highlight=False, soft_wrap=True)
    if worst:
        console.print("Delete the folders that are damaged; what was in them is extracted again when it is needed.")
    return worst


def prune(everything: bool, dry_run: bool) -> None:
    """Delete what is no longer of use from the cache."""
    from fer_bench.representations.cache_entry import default_cache
    from fer_bench.representations.pruning import prune, remnants

    freed = 0
    for remnant in remnants(default_cache(), _current, everything):
        gone = dry_run or prune(remnant)
        freed += remnant.size if gone else 0
        verb = ("would delete" if dry_run else "deleted") if gone else "in use, kept"
        message = f"{verb}  {remnant.size / 1e6:,.1f} MB  {remnant.path} ({remnant.why})"
        console.print(message, highlight=False, soft_wrap=True)
    console.print(f"{freed / 1e6:,.1f} MB {'could be ' if dry_run else ''}freed in {default_cache()}", highlight=False)


def _current(name: str, root: Path) -> str | None:
    try:
        return registry.load_dataset(name).source(root).digest
    except FerBenchError:
        return None
