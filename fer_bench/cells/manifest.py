"""The settings, versions and hardware of a training, and its cost: `manifest.json` in the cell's folder.

No result depends on it. The names of machine, user and folders are left out.
"""

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import fer_bench
from fer_bench.cells.cell import Cell
from fer_bench.errors import InvalidFile
from fer_bench.processes import available_cores
from fer_bench.records import read_json, write_json
from fer_bench.representations.cache_entry import CacheEntry

FILE = "manifest.json"

PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "timm", "open_clip_torch", "numpy", "pandas")

RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
"""Where launchers say which of a training's processes this is."""


@contextmanager
def recorded(cell: Cell, stage: str) -> Iterator[None]:
    """Record a stage: its environment at the start, and its cost at the end, also after an error.

    A stage that was killed stays without an end. Of processes that train together the first one writes, of itself.
    """
    if cell.processes > 1 and stage == "fit" and any(os.environ.get(name, "0") != "0" for name in RANKS):
        yield
        return
    path = cell.folder / FILE
    try:
        runs = list(read_json(path)["runs"]) if path.exists() else []
    except (InvalidFile, KeyError, TypeError):
        runs = []  # damaged: earlier runs are lost, and this run does not need them
    run = {"stage": stage, "started": _now(), "ended": None, "completed": False, **_environment(cell, stage)}
    requested = _asked(cell)
    write_json(path, {**requested, "runs": [*runs, run]})
    start = time.monotonic()
    try:
        yield
        run["completed"] = True
    finally:
        run |= {"ended": _now(), "seconds": round(time.monotonic() - start, 3), **_peaks()}
        write_json(path, {**requested, "runs": [*runs, run]})


def _asked(cell: Cell) -> dict[str, Any]:
    """What determines the result, and is the same on every machine."""
    return {
        "cell": cell.id,
        "seed": cell.seed,
        "protocol_digest": cell.protocol_digest,
        "representation_digest": cell.representation["digest"],
        "data": [_fingerprint(part.dataset, CacheEntry(Path(part.cache))) for part in cell.parts],
    }


def _fingerprint(dataset: str, entry: CacheEntry) -> dict[str, Any]:
    """Of the samples that were extracted: `source` is a digest of their ids and of their files' sizes and times."""
    known = entry.manifest
    return {
        "dataset": dataset,
        "provenance": known["provenance"],
        "source": known["source"],
        "samples": known["samples"],
        "broken": len(known["broken"]),
        "extracted_by": known["fer_bench"],
    }


def _environment(cell: Cell, stage: str) -> dict[str, Any]:
    return {
        "processes": cell.processes if stage == "fit" else 1,
        "threads": torch.get_num_threads(),
        **made_with(),
        "hardware": _hardware(cell.trainer["accelerator"]),
    }


@cache
def made_with() -> dict[str, Any]:
    """`code` and `versions`. Read once a process: what is imported stays as it was, even if files change."""
    return {
        "code": _checkout(Path(fer_bench.__file__).parent),
        "versions": {
            "fer_bench": fer_bench.__version__,
            "python": platform.python_version(),
            **{name: _version(name) for name in PACKAGES},
            "torch": torch.__version__,  # with its build, as in 2.11.0+cu130
        },
    }


def _checkout(package: Path) -> dict[str, Any] | None:
    """`commit`, and `dirty` where its files have been changed since; None where the package lies in no checkout."""
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None  # no git, or an installation below another checkout
    commit, changed = _git(package, "rev-parse", "HEAD"), _git(package, "status", "--porcelain", "--", ".")
    return {"commit": commit, "dirty": bool(changed)}


def _git(folder: Path, *arguments: str) -> str | None:
    # A hook or a tool may have set GIT_DIR; and reading must not take locks.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    try:
        done = subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _hardware(accelerator: str) -> dict[str, Any]:
    # To read their names takes some of their memory, which a cell on the CPU has no use for.
    count = 0 if accelerator == "cpu" else torch.cuda.device_count()
    gpus = [torch.cuda.get_device_name(number) for number in range(count)]
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "cpu": _line("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": available_cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpus": gpus,
        "driver": _line("/proc/driver/nvidia/version", "NVRM version") if gpus else None,
    }


def _line(path: str, key: str) -> str | None:
    """What follows a key and a colon in a file of the system."""
    try:
        lines = Path(path).read_text(errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), None)


def _peaks() -> dict[str, int | None]:
    """Peak memory of this process: resident, and allocated tensors on a GPU."""
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else None
    # Bytes on macOS, and kibibytes elsewhere.
    return {"peak_memory_bytes": resident * (1 if sys.platform == "darwin" else 1024), "peak_gpu_memory_bytes": gpu}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
