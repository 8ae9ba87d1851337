"""Filling the cache, on this machine and by tasks of Slurm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from fer_bench.launch.slurm import queue
from fer_bench.launch.slurm.profile import Profile, read_profile
from fer_bench.terminal import console

if TYPE_CHECKING:
    from fer_bench.launch.planning import Need
    from fer_bench.representations.cache_entry import CacheEntry


def extract(need: Need, workers: int, skip_broken: bool) -> list[CacheEntry]:
    """Fill the cache, and print which samples were left out and which are doubtful."""
    from fer_bench.commands import display
    from fer_bench.representations.cache import prepare
    from fer_bench.representations.cache_entry import default_cache

    labels = ", ".join(representation.label for representation in need.representations[:3])
    labels += f" and {len(need.representations) - 3} more" if len(need.representations) > 3 else ""
    with display.reported(console, f"extracting {labels}") as report:
        entries = prepare(
            default_cache(),
            need.source,
            need.representations,
            need.dataset.load,
            workers=workers,
            skip_broken=skip_broken,
            progress=report,
            notify=lambda text: console.print(f"[yellow]{escape(text)}[/]", highlight=False, soft_wrap=True),
        )
    for entry in entries:
        if entry.broken:
            console.print(f"[yellow]{len(entry.broken)} samples are left out[/] (see {entry.path / 'manifest.json'})")
        if flagged := entry.manifest.get("flagged"):
            name, doubt = next(iter(flagged.items()))
            message = f"[yellow]{len(flagged)} samples are doubtful[/], the first {name}: {escape(doubt)}"
            console.print(f"{message} (see {entry.path / 'manifest.json'})", highlight=False, soft_wrap=True)
        if zeros := entry.manifest.get("zeros"):
            console.print(f"[yellow]{len(zeros)} samples are zeros[/] (see {entry.path / 'manifest.json'})")
    return entries


def read_slurm_profile(path: Path | None) -> Profile:
    """The profile of a file, or the default one; raises `FerBenchError` where Slurm's commands are not found."""
    profile = read_profile(path) if path else Profile()
    queue.require()
    return profile


def extract_on_slurm(need: Need, profile: Profile, shards: int | None = None, detach: bool = False) -> bool:
    """Extract by tasks of Slurm; False where they were not waited for.

    Args:
        shards: Number of tasks; by default one for every 500 samples, and at most eight.
    """
    from fer_bench.launch.slurm import preparation

    # A task takes seconds to start, in which one process extracts some hundred scans.
    count = shards or min(8, 1 + len(need.source.ids) // 500)

    def notify(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    return preparation.extract_on_slurm(need, profile, count, notify, not detach)
