"""Pruning the cache."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from fer_bench.representations.cache import discard
from fer_bench.representations.cache_entry import CacheEntry


@dataclass(frozen=True)
class Remnant:
    """Something in the cache that can go.

    Attributes:
        path: The folder.
        why: In words.
        size: Bytes.
    """

    path: Path
    why: str
    size: int


def remnants(cache: Path, current: Callable[[str, Path], str | None], everything: bool = False) -> list[Remnant]:
    """What can be deleted from the cache: entries whose files have changed or are missing, and remnants of killed
    processes.

    Args:
        cache: The cache's folder.
        current: (dataset, root) -> the digest of its source as it is now, None if it is not there any more.
        everything: All entries, made from any input.
    """
    found = []
    for folder in sorted(path for path in cache.glob("*/*/*") if path.is_dir()):
        if folder.name.startswith("."):
            found.append((folder, "left by a process that was stopped"))
        elif everything:
            found.append((folder, "as asked"))
        elif (problem := CacheEntry(folder).problem()) is not None:
            found.append((folder, f"damaged: {problem}"))
        else:
            manifest = CacheEntry(folder).manifest
            now = current(manifest["dataset"], Path(manifest["root"]))
            if now != manifest["source"]:
                found.append((folder, f"{manifest['root']} {'is gone' if now is None else 'has changed since'}"))
    return [Remnant(path, why, _size(path.rglob("*"))) for path, why in found]


def prune(remnant: Remnant) -> bool:
    """Delete a remnant unless a process is writing it; returns whether it was deleted."""
    name = re.sub(r"^\.(.*)\.(partial|[0-9a-f]{8}\.discarded)$", r"\1", remnant.path.name)
    lock = remnant.path.with_name(f"{name}.lock")
    taken = FileLock(lock, timeout=0)
    try:
        taken.acquire()
    except Timeout:
        return False
    try:
        discard(remnant.path)
    finally:
        taken.release()
        lock.unlink(missing_ok=True)
    for folder in (remnant.path.parent, remnant.path.parent.parent):
        if not any(folder.iterdir()):
            folder.rmdir()
    return True


def _size(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_blocks * 512 for path in paths if path.is_file())
