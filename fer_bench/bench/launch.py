"""The local launcher: one process a stage of a cell, several at a time, none able to harm another."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Literal, Protocol

from fer_bench.bench import worker
from fer_bench.bench.cell import RETRIABLE, Cell, Status
from fer_bench.errors import FerBenchError
from fer_bench.processes import available_cores, fork_server

PRELOAD = ("fer_bench.bench.worker", "fer_bench.bench.fit", "fer_bench.bench.score", "fer_bench.bench.stress")
"""Imported once by the fork server, torch and Lightning with them: a cell's process then starts in milliseconds."""

Outcome = Literal["done", "failed", "interrupted", "busy"]


class Observer(Protocol):
    """Told what happens, for a display."""

    def started(self, cell: Cell) -> None: ...
    def progressed(self, cell: Cell, status: Status) -> None: ...
    def finished(self, cell: Cell, status: Status) -> None: ...


def pending(cells: Sequence[Cell], retry: Iterable[str] = (), overwrite: bool = False) -> list[Cell]:
    """The cells that are left to run; their folders are made ready.

    A finished cell is never run twice, a failed one only if its state is in `retry`. A cell whose folder holds other
    settings than it is asked for now is refused, or started afresh with `overwrite`.

    Raises:
        FerBenchError: folders hold cells with other settings, and `overwrite` is not given.
    """
    if overwrite:
        for cell in cells:
            shutil.rmtree(cell.folder, ignore_errors=True)
    refuse_other_settings(cells)
    left: list[Cell] = []
    for cell in cells:
        state = cell.status().state
        if state == "done" or (state in RETRIABLE and state not in retry):
            continue
        left.append(cell)
    for cell in left:
        cell.folder.mkdir(parents=True, exist_ok=True)
        cell.write()
        cell.report("interrupted" if cell.begun else "planned", message="")
    return left


def refuse_other_settings(cells: Iterable[Cell]) -> None:
    """Raise `FerBenchError` when a folder holds a cell that was begun with other settings than it is asked for now."""
    changed = [
        (cell, differences)
        for cell in cells
        if (cell.folder / "cell.json").exists()
        and cell.status().state != "planned"
        and (differences := cell.differences(Cell.read(cell.folder)))
    ]
    if changed:
        cell, differences = changed[0]
        raise FerBenchError(
            f"{cell.folder}: was run with another {', '.join(differences)}"
            f"{f' (and {len(changed) - 1} more cells differ)' if len(changed) > 1 else ''}. "
            f"Keep it by giving --runs another folder, or start afresh with --overwrite."
        )


@dataclass
class Slot:
    """A share of the machine: some threads, and some GPUs or none."""

    threads: int
    devices: str | None
    cell: Cell | None = None
    stage: str = ""
    process: BaseProcess | None = field(default=None, repr=False)


def make_slots(jobs: int | None, cells: int, devices_per_cell: int, gpus: int) -> list[Slot]:
    """Divide the machine: a slot for every group of GPUs a cell needs, or the CPU's cores among `jobs` slots.

    A slot's threads follow from the machine and `jobs`, never from how many cells are left: sums depend on the number
    of threads in their last digits, and a cell that is continued alone must end as it would have among others.
    """
    cores = available_cores()
    if gpus:
        groups = [range(g, g + devices_per_cell) for g in range(0, gpus - devices_per_cell + 1, devices_per_cell)]
        if not groups:
            raise FerBenchError(f"a cell asks for {devices_per_cell} GPUs (trainer.devices), and there are {gpus}.")
        share = jobs or len(groups)
        # More jobs than groups share GPUs; the user asked for it by number.
        chosen = [groups[i % len(groups)] for i in range(min(share, cells))]
        return [Slot(max(1, cores // share), ",".join(map(str, group))) for group in chosen]
    # Four small trainings at a time fill any CPU's memory bus; more is the user's choice.
    share = jobs or min(cores, 4)
    return [Slot(max(1, cores // share // devices_per_cell), None) for _ in range(min(share, cells))]


def launch(cells: list[Cell], slots: list[Slot], observer: Observer, first: str = "fit") -> None:
    """Run cells until all have ended, well or not; their states are in their folders.

    They begin with the stage `first`; `score` follows `fit`, and nothing follows the others.

    A crash, a kill or an error ends one cell. On KeyboardInterrupt the running cells are stopped, keep their last
    checkpoint, and the exception goes on.
    """
    context = fork_server(*PRELOAD)
    waiting = deque(cells)

    def start(slot: Slot, cell: Cell, stage: str) -> None:
        slot.cell, slot.stage = cell, stage
        slot.process = context.Process(
            target=worker.main, args=(cell.folder, stage, slot.threads, slot.devices), name=cell.id
        )
        slot.process.start()

    try:
        while True:
            for slot in slots:
                if slot.process is None and waiting:
                    observer.started(waiting[0])
                    start(slot, waiting.popleft(), first)
            busy = [slot for slot in slots if slot.process is not None]
            if not busy:
                return
            connection.wait([slot.process.sentinel for slot in busy if slot.process], timeout=0.25)
            for slot in busy:
                assert slot.cell and slot.process
                cell, process = slot.cell, slot.process
                if process.is_alive():
                    observer.progressed(cell, cell.status())
                    continue
                process.join()
                slot.process = None
                _settle(cell, slot.stage, process.exitcode or 0)
                if process.exitcode == 0 and slot.stage == "fit":
                    start(slot, cell, "score")
                else:
                    observer.finished(cell, cell.status())
    finally:
        alive = [slot.process for slot in slots if slot.process is not None]
        for process in alive:
            process.terminate()
        for process in alive:
            process.join(timeout=5)
            process.kill()
            process.join()


def _settle(cell: Cell, stage: str, code: int) -> None:
    """Write the state of a process that ended without doing so itself."""
    if code in (0, worker.FAILED, worker.BUSY):
        return
    if code in (-9, -15):
        # Left as it was running: the next run continues it from its last checkpoint.
        reason = "by a person, or by the system when memory ran out" if code == -9 else "asked to stop"
        cell.report("running", message=f"killed during {stage} (signal {-code}: {reason}); run again to continue")
        return
    cell.report("failed", message=f"{stage} ended with {f'signal {-code}' if code < 0 else f'exit code {code}'}")
