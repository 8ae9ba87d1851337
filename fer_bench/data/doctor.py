"""Reading every sample of a dataset, to name the ones that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fer_bench.data.base import FaceDataModule
from fer_bench.errors import BrokenScan
from fer_bench.processes import map_processes
from fer_bench.representations.cache import Source


def broken_samples(
    dataset: type[FaceDataModule], source: Source, workers: int, progress: Callable[[int, int], None]
) -> dict[str, BrokenScan]:
    """Sample id -> why it cannot be read."""
    work = _Read(dataset, source.root)
    broken = {}
    for done, error in enumerate(map_processes(work, source.files, workers), start=1):
        if error is not None:
            broken[source.ids[done - 1]] = error
        progress(done, len(source.files))
    return broken


@dataclass(frozen=True)
class _Read:
    dataset: type[FaceDataModule]
    root: Path

    def __call__(self, files: tuple[str, ...]) -> BrokenScan | None:
        try:
            self.dataset.load(self.root, files)
        except BrokenScan as error:
            return error
        return None
