"""The local launcher: one process a cell, several at a time, none able to harm another."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Iterable, Sequence
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

from fer_bench import registry
from fer_bench.cells.cell import DERIVED, RETRIABLE, Cell, Status
from fer_bench.errors import FerBenchError
from fer_bench.launch import worker
from fer_bench.launch.server import preload_for
from fer_bench.launch.slots import Slot
from fer_bench.processes import fork_server
from fer_bench.stats.units import duration

TERMINATE_TIMEOUT_S = 5.0
"""Seconds that a process has to end by itself before it is killed."""

_POLL_OTHER_RUNS_S = 1.0  # seconds between two looks at the cells that another run works on


class Observer(Protocol):
    """Told what happens, for a display."""

    def started(self, cell: Cell) -> None: ...
    def progressed(self, cell: Cell, status: Status) -> None: ...
    def finished(self, cell: Cell, status: Status) -> None: ...
    def requeued(self, cell: Cell) -> None: ...
    def message(self, message: str) -> None: ...


def pending(cells: Sequence[Cell], retry: Iterable[str] = (), overwrite: bool = False) -> list[Cell]:
    """The cells that are left to run; their folders are made ready.

    A finished cell is never run twice, a failed one only if its state is in `retry`. A cell whose folder holds other
    settings than it is asked for now is refused, or started afresh with `overwrite`. Cells that another run works on
    are left to it, and waited for.

    Raises:
        FerBenchError: folders hold cells with other settings, and `overwrite` is not given; or they are to be
            overwritten while another run works on them.
    """
    if overwrite:
        for cell in cells:
            if cell.status().state == "running":
                raise FerBenchError(
                    f"{cell.folder}: another run works on it; stop that first, or leave out --overwrite."
                )
        for cell in cells:
            shutil.rmtree(cell.folder, ignore_errors=True)
    refuse_other_settings(cells)
    left: list[Cell] = []
    for cell in cells:
        state = cell.status().state
        if state == "done" or (state in RETRIABLE and state not in retry):
            continue
        left.append(cell)
        if state == "running":
            continue
        cell.folder.mkdir(parents=True, exist_ok=True)
        cell.write()
        cell.report("interrupted" if cell.begun else "planned", message="")
    return left


def derived(cells: Sequence[Cell]) -> list[Cell]:
    """Cells that are made of others, ready to be made anew: it takes no training, and what they are of may differ."""
    for cell in cells:
        if cell.status().state != "running":
            cell.folder.mkdir(parents=True, exist_ok=True)
            cell.write()
            cell.report("planned", message="")
    return list(cells)


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
            f"{f', one of {len(changed)} cells that were run otherwise' if len(changed) > 1 else ''}. "
            f"Keep it by giving --runs another folder, or start afresh with --overwrite."
        )


def launch(
    cells: Sequence[Cell], slots: Sequence[Slot], observer: Observer, first: str = "fit", limit: float | None = None
) -> None:
    """Run cells, in this order, until all have ended, well or not; their states are in their folders.

    They begin with the stage `first`; `score` follows `fit`, in the same process where it trained alone, and nothing
    follows the others. A crash, a kill or an error ends one cell. One that runs out of memory is run again, once, with
    half the batch and the gradients of two added up. A cell that another run works on is waited for. On
    KeyboardInterrupt the running cells are stopped, keep their last checkpoint, and the exception goes on; a second one
    kills them at once.

    Args:
        limit: Seconds that a cell may take, all its stages together; then it is stopped and `timeout`.

    Raises:
        FerBenchError: nothing can be written where the cells are.
    """
    _Launch(cells, slots, observer, first, limit).run()


class _Launch:
    def __init__(
        self, cells: Sequence[Cell], slots: Sequence[Slot], observer: Observer, first: str, limit: float | None
    ) -> None:
        self.waiting, self.slots, self.observer = deque(cells), slots, observer
        self.first, self.limit = first, limit
        self.other_runs: list[Cell] = []
        self.polled = 0.0
        self.context = fork_server(*preload_for(cells))

    def run(self) -> None:
        try:
            while True:
                self.poll_other_runs()
                for slot in self.slots:
                    if slot.process is None:
                        self.fill(slot)
                busy = [slot for slot in self.slots if slot.process is not None]
                if not busy and not self.waiting and not self.other_runs:
                    return
                if busy:
                    connection.wait([slot.process.sentinel for slot in busy if slot.process], timeout=0.25)
                else:
                    time.sleep(0.25)
                for slot in busy:
                    self.poll(slot)
        except KeyboardInterrupt:
            self.observer.message("stopping; Ctrl-C again stops at once")
            raise
        except OSError as error:
            raise FerBenchError(
                f"{error.filename or 'a file'}: cannot be written ({error.strerror}); nothing that is done is "
                "lost. Mend that, and run again to continue."
            ) from None
        finally:
            self.stop()

    def fill(self, slot: Slot) -> None:
        """Start the first waiting cell that there is room for."""
        for cell in list(self.waiting):
            if not slot.has_room(cell, self.slots):
                continue
            self.waiting.remove(cell)
            state = cell.status().state
            if state == "running":
                self.other_runs.append(cell)
                continue
            self.observer.started(cell)
            if state == "done":  # another run was faster
                self.observer.finished(cell, cell.status())
                continue
            slot.deadline = None if self.limit is None else time.monotonic() + self.limit
            self.start(slot, cell, self.first)
            return

    def start(self, slot: Slot, cell: Cell, stage: str) -> None:
        slot.cell, slot.stage, slot.memory_kills = cell, stage, _memory_kills()
        slot.process = self.context.Process(
            target=worker.main, args=(cell.folder, stage, slot.threads, slot.devices), name=cell.id
        )
        slot.process.start()

    def poll(self, slot: Slot) -> None:
        """See whether a process has ended, or is past its time, and what is to be done next."""
        assert slot.cell
        assert slot.process
        cell, process = slot.cell, slot.process
        late = slot.deadline is not None and time.monotonic() > slot.deadline
        if process.is_alive() and not late:
            self.observer.progressed(cell, cell.status())
            return
        if late := late and process.is_alive():
            _end([process])
        process.join()
        slot.process = None
        if late:
            status = cell.status()
            stage = status.stage or slot.stage
            where = (
                f"{stage}, epoch {status.epoch + 1} of {status.epochs}" if stage == "fit" and status.epochs else stage
            )
            cell.report("timeout", message=f"past its limit of {duration(self.limit or 0)} in {where}")
        elif process.exitcode == worker.BUSY:
            self.observer.requeued(cell)
            self.other_runs.append(cell)
            return
        else:
            _report_abnormal_end(cell, slot.stage, process.exitcode or 0, _memory_kills() > slot.memory_kills)
            if process.exitcode == 0 and slot.stage == "fit" and cell.processes > 1:
                self.start(slot, cell, "score")
                return
        status = cell.status()
        if status.state == "oom" and slot.stage in ("fit", "score") and _can_be_divided(cell, status):
            shutil.rmtree(cell.checkpoints, ignore_errors=True)  # one training has one size of batch
            text = "memory ran out; it is run again with half the batch and the gradients of two added up"
            cell.report("planned", stage="", divided=2, message=text)
            self.observer.message(f"{cell.id}: {text}")
            self.observer.requeued(cell)
            self.waiting.appendleft(cell)
            return
        self.observer.finished(cell, status)

    def poll_other_runs(self) -> None:
        """See what has become of the cells that another run works on."""
        if not self.other_runs or time.monotonic() < self.polled + _POLL_OTHER_RUNS_S:
            return
        self.polled = time.monotonic()
        for cell in list(self.other_runs):
            status = cell.status()
            if status.state == "running":
                continue
            self.other_runs.remove(cell)
            if status.state in ("done", *RETRIABLE):
                self.observer.started(cell)
                self.observer.finished(cell, status)
            else:
                self.waiting.append(cell)  # its process is gone, and has not ended it

    def stop(self) -> None:
        """End what still runs."""
        _end([slot.process for slot in self.slots if slot.process is not None])


def _end(processes: Sequence[BaseProcess]) -> None:
    """Ask processes to end, and kill those that do not; at once, when interrupted meanwhile."""
    try:
        for process in processes:
            process.terminate()
        end = time.monotonic() + TERMINATE_TIMEOUT_S
        for process in processes:
            process.join(max(0.0, end - time.monotonic()))
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.join()


def _report_abnormal_end(cell: Cell, stage: str, code: int, memory_ran_out: bool) -> None:
    """Write the state of a process that ended without doing so itself, begun with this stage."""
    if code == 0:
        return
    stage = cell.status().stage or stage
    if code == worker.FAILED:
        if cell.status().state not in RETRIABLE:
            cell.report("failed", message=f"{stage} ended before it could say why; see {cell.folder / 'log.txt'}")
    elif code == -9 and memory_ran_out:
        cell.report("oom", message=f"out of memory in {stage}: the system killed it")
    elif code in (-9, -15):
        # Left as it was running: the next run continues it from its last checkpoint.
        reason = "killed by a person or a program" if code == -9 else "asked to stop"
        cell.report("running", message=f"{reason} during {stage}; run again to continue")
    else:
        cell.report("failed", message=f"{stage} ended with {f'signal {-code}' if code < 0 else f'exit code {code}'}")


def _can_be_divided(cell: Cell, status: Status) -> bool:
    """Whether there is another way to run a cell that ran out of memory."""
    # Two optimisers that take turns do not add gradients up.
    return status.divided == 1 and cell.method not in DERIVED and not registry.load_method(cell.method).alternates


def _memory_kills() -> int:
    """How many processes the system has killed for want of memory, since it started; 0 where it does not say."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
