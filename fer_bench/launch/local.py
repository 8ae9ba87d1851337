"""The local launcher: one process a cell, several at a time, none able to harm another."""

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
from fer_bench.stats.metric_units import duration

TERMINATE_TIMEOUT_S = 5.0
"""Seconds between SIGTERM and SIGKILL."""

_POLL_OTHER_RUNS_S = 1.0  # seconds between two polls of cells that another process is running


class Observer(Protocol):
    """Receives the events of a run, for a display."""

    def started(self, cell: Cell) -> None: ...
    def progressed(self, cell: Cell, status: Status) -> None: ...
    def finished(self, cell: Cell, status: Status) -> None: ...
    def requeued(self, cell: Cell) -> None: ...
    def message(self, message: str) -> None: ...


def pending(cells: Sequence[Cell], retry: Iterable[str] = (), overwrite: bool = False) -> list[Cell]:
    """The cells that have to run; prepares their folders.

    A finished cell is never run twice, a failed one only if its state is in `retry`. A cell whose folder holds other
    settings is refused, or started again with `overwrite`. A cell that another process is running is skipped and polled
    until it ends.

    Raises:
        FerBenchError: a folder holds a cell with other settings, and `overwrite` is not given; or a cell is to be
            overwritten while another process is running it.
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
    """Prepare the folders of derived cells. They are always scored again: their inputs may have changed."""
    for cell in cells:
        if cell.status().state != "running":
            cell.folder.mkdir(parents=True, exist_ok=True)
            cell.write()
            cell.report("planned", message="")
    return list(cells)


def refuse_other_settings(cells: Iterable[Cell]) -> None:
    """Raise `FerBenchError` when a folder holds a cell that was started with other settings."""
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
    """Run cells in this order, until all have ended. Their states are written to their folders.

    Each cell starts with the stage `first`. `score` follows `fit`, in the same process if one process trained; no stage
    follows the others. A crash or an error ends one cell only. A cell that runs out of memory is run once more, with
    half the batch and gradients accumulated over two. A cell that another process is running is polled until it ends.
    KeyboardInterrupt stops the running cells, which keep their last checkpoint, and is raised again; a second one kills
    them at once.

    Args:
        limit: Seconds that a cell may take, all its stages together; after that its state is `timeout`.

    Raises:
        FerBenchError: the cells' folders cannot be written to.
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
        """Start the first waiting cell that fits into the slot."""
        for cell in list(self.waiting):
            if not slot.has_room(cell, self.slots):
                continue
            self.waiting.remove(cell)
            state = cell.status().state
            if state == "running":
                self.other_runs.append(cell)
                continue
            self.observer.started(cell)
            if state == "done":  # by another process, meanwhile
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
        """Check whether a process has ended or exceeded its limit, and take the next step."""
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
        """Check the cells that another process is running."""
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
                self.waiting.append(cell)  # its process was killed before the cell ended

    def stop(self) -> None:
        """Stop all running processes."""
        _end([slot.process for slot in self.slots if slot.process is not None])


def _end(processes: Sequence[BaseProcess]) -> None:
    """Terminate processes, and kill those that do not end in time; when interrupted, kill them at once."""
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
    """Write the state of a cell whose process, started with `stage`, ended without writing it."""
    if code == 0:
        return
    stage = cell.status().stage or stage
    if code == worker.FAILED:
        if cell.status().state not in RETRIABLE:
            cell.report("failed", message=f"{stage} ended before it could say why; see {cell.folder / 'log.txt'}")
    elif code == -9 and memory_ran_out:
        cell.report("oom", message=f"out of memory in {stage}: the system killed it")
    elif code in (-9, -15):
        # The state stays `running`, and the next run continues from the last checkpoint.
        reason = "killed by a person or a program" if code == -9 else "asked to stop"
        cell.report("running", message=f"{reason} during {stage}; run again to continue")
    else:
        cell.report("failed", message=f"{stage} ended with {f'signal {-code}' if code < 0 else f'exit code {code}'}")


def _can_be_divided(cell: Cell, status: Status) -> bool:
    """Whether a cell that ran out of memory can run with a smaller batch."""
    # Gradients of two alternating optimisers cannot be accumulated.
    return status.divided == 1 and cell.method not in DERIVED and not registry.load_method(cell.method).alternates


def _memory_kills() -> int:
    """How many processes the kernel has killed because memory ran out, since boot; 0 where unknown."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
