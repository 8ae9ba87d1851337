"""The launcher `slurm`: submits cells to Slurm, follows them, and reports their states."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fer_bench.cells.cell import RETRIABLE, Cell, State, Status, written_status
from fer_bench.errors import FerBenchError
from fer_bench.launch.slurm import queue
from fer_bench.launch.slurm.profile import Profile, seconds
from fer_bench.launch.slurm.submission import Place, Submissions
from fer_bench.launch.slurm.task import CellsTask

if TYPE_CHECKING:
    from fer_bench.launch.local import Observer

POLL_INTERVAL_S = 5.0
"""Seconds between two queries to Slurm, whose administrators allow no more."""


@dataclass(frozen=True)
class Standing:
    """The state of a cell, from Slurm and from its folder.

    Attributes:
        state: A state of cells, or a phase of tasks: `queued`, `cancelled`, `preempted`, `node failure`.
        note: The task, and the reason.
    """

    state: str
    note: str = ""


def submissions(suite: Path) -> Submissions:
    """The record of a suite's submissions.

    Args:
        suite: The suite's folder below the runs'.
    """
    return Submissions(suite / "slurm")


def key(cell: Cell) -> str:
    """A cell's name in the record, and its folder below the suite's."""
    return cell.id.partition("/")[2]


def submit(cells: Sequence[Cell], suite: Path, name: str, profile: Profile, jobs: int | None = None) -> list[str]:
    """Submit cells, packed into tasks; returns Slurm's job ids. The caller holds the record's lock.

    A task holds `profile.pack` cells that are trained by one process each, or one cell that several processes train.

    Raises:
        FerBenchError: a node lacks the GPUs that a cell's trainer requests, or Slurm refuses.
    """
    groups: dict[tuple[int, int], list[Cell]] = {}
    for cell in cells:
        check_gpus(cell, profile)
        groups.setdefault((cell.trainer["devices"], cell.trainer["num_nodes"]), []).append(cell)
    numbers = []
    for (devices, nodes), members in groups.items():
        size = profile.pack if devices * nodes == 1 else 1
        at_once = min(jobs or profile.jobs or size, size)
        tasks = []
        for start in range(0, len(members), size):
            packed = members[start : start + size]
            limit, warning = float(seconds(profile.time)), float(profile.warning)
            call = CellsTask([cell.folder.resolve() for cell in packed], at_once, limit, warning)
            tasks.append(([key(cell) for cell in packed], call))
        numbers += submissions(suite).submit(name, tasks, profile, devices, nodes)
    return numbers


def check_gpus(cell: Cell, profile: Profile) -> None:
    """Raise `FerBenchError` where the trainer's devices are not those that the profile requests."""
    available, requested = profile.gpus_per_node, cell.trainer["devices"]
    accelerator = cell.trainer["accelerator"]
    if accelerator == "cpu" or available is None:
        return
    if (requested > 1 and available not in (0, requested)) or (accelerator == "gpu" and available == 0):
        raise FerBenchError(
            f"{cell.entry}: trainer.devices is {requested}, and the profile asks for {available} GPUs a node; "
            "they must agree."
        )


def stand(folder: Path, status: Status, place: Place | None) -> Standing:
    """The state of a cell.

    Args:
        folder: The cell's.
        status: The cell's own.
        place: Its last task, if it was submitted.
    """
    if place is None or status.state in ("done", *RETRIABLE):
        return Standing(status.state, status.message)
    phase, task = place.seen.phase, f"task {place.task}"
    if phase == "queued":
        why = f"{task}: {place.seen.reason}" if place.seen.reason else task
        return Standing("queued", f"{why}; {status.message}" if status.message else why)
    if phase == "running":
        # On some cluster file systems, a node does not see the locks of another.
        works = status.state == "running" or written_status(folder).state == "running"
        return Standing("running" if works else "queued", task if works else f"{task}, which runs")
    text = f"; {status.message}" if status.message else ""
    if phase in ("completed", "forgotten"):
        return Standing(status.state, f"{task} has ended{text}")
    return Standing(phase, f"{task}: {place.seen.state}{text}")


def places(suite: Path) -> tuple[dict[str, Place], str]:
    """(cell's key -> its last task, a warning if that may be outdated), read-only."""
    record = submissions(suite)
    if not record.folder.is_dir():
        return {}, ""
    if not queue.available():
        return record.places(None), "Slurm cannot be queried on this machine: tasks are as they were last seen."
    try:
        with record.locked():
            return record.places(queue.ask), ""
    except FerBenchError as error:
        return record.places(None), f"{error} Tasks are as they were seen last."
    except OSError as error:  # the folder belongs to another user
        return record.places(None), f"Tasks are as they were seen last ({error.filename}: {error.strerror})."


def follow(cells: Iterable[Cell], suite: Path, observer: Observer, every: float = POLL_INTERVAL_S) -> None:
    """Notify the observer until all tasks of these cells have ended. Ctrl-C stops following, not the tasks.

    Raises:
        FerBenchError: Slurm did not answer five times in a row.
    """
    record, left, begun = submissions(suite), {key(cell): cell for cell in cells}, set[str]()
    silent = 0
    while left:
        try:
            with record.locked():
                found = record.places(queue.ask)
            silent = 0
        except FerBenchError:
            silent += 1
            if silent == 5:  # a controller that restarts is away for a minute
                raise
            time.sleep(4 * every)
            continue
        for name, cell in list(left.items()):
            place = found.get(name)
            status = cell.status()
            standing = stand(cell.folder, status, place)
            if standing.state == "running" or name in begun:
                if name not in begun:
                    begun.add(name)
                    observer.started(cell)
                observer.progressed(cell, status)
            if status.state in ("done", *RETRIABLE) or place is None or not place.live:
                del left[name]
                if name not in begun:
                    observer.started(cell)
                observer.finished(cell, _told(status, standing))
        if left:
            time.sleep(every)


def _told(status: Status, standing: Standing) -> Status:
    if status.state in ("done", *RETRIABLE):
        return status
    shown: State = standing.state  # type: ignore[assignment]  # a display takes any word
    return Status(**{**vars(status), "state": shown, "message": standing.note})
