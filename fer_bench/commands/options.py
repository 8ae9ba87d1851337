"""What several commands share: the options of a run, and opening a suite."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fer_bench import registry
from fer_bench.suites.reading import read_suite
from fer_bench.suites.suite import Suite


@dataclass(frozen=True)
class RunOptions:
    """How cells are run. None of it changes a result.

    Attributes:
        jobs: Cells at a time; None for the machine's share.
        retry: States of cells to run again.
        time_limit: Seconds that a cell may take on this machine. Tasks of Slurm have the limit of their profile.
        launcher, profile: Where cells run, and the resources that tasks of Slurm request.
        detach: Submit to Slurm and return, without waiting for the tasks.
    """

    jobs: int | None = None
    retry: Sequence[str] = field(default_factory=tuple)
    overwrite: bool = False
    skip_broken: bool = False
    time_limit: float | None = None
    launcher: Literal["local", "slurm"] = "local"
    profile: Path | None = None
    detach: bool = False


def load_suite(
    suite_name: str, settings: list[str], data: Path | None = None, arguments: bool = True
) -> tuple[str, Suite]:
    """Name and content of a suite with settings applied; `data` is the folder of its datasets."""
    if data is not None:
        os.environ["FER_BENCH_DATA"] = str(data)
    name, path = registry.find_suite(suite_name)
    return name, read_suite(path, settings, arguments)
