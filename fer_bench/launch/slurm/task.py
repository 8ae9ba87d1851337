"""What runs in a task of Slurm: some cells, each trained alone, or one that the task's processes train together.

Slurm warns a task before its time is over, and before something more urgent takes its place. The task then stops its
cells, which go on from the end of their last epoch, and requests to be requeued. A checkpoint within an epoch would
save part of an epoch's time and cost exactness: the order of samples and the random numbers belong to whole epochs.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from fer_bench.cells import process_ranks
from fer_bench.cells.cell import RETRIABLE, Cell, Status
from fer_bench.errors import FerBenchError
from fer_bench.launch.slurm import queue
from fer_bench.processes import available_cores, fork_server
from fer_bench.records import read_json

WARNING = signal.SIGUSR2
"""The signal that Slurm sends before the time is over; NCCL uses SIGUSR1 itself."""

_EARLY = 60.0  # seconds by which Slurm's warning may come before it is due, as sbatch's manual says
_SETTLING = 10.0  # seconds in which a cell's other processes see that the one that failed first has


@dataclass
class CellsTask:
    """Called in each process of a task; submitit's `checkpoint` makes it one that is queued again.

    Attributes:
        folders: Of the cells; of several, each is trained by one process.
        jobs: Cells at a time.
        limit, warning: Seconds that the task has, and before whose end it is warned.
    """

    folders: Sequence[Path]
    jobs: int
    limit: float
    warning: float
    started: float = 0.0
    progress: float = 0.0
    stopping: str = field(default="", init=False)

    def __call__(self) -> None:
        cells = [Cell.read(folder) for folder in self.folders]
        self.started, self.progress, self.stopping = time.monotonic(), progress(cells), ""
        self._heed_signals()
        left = [cell for cell in cells if cell.status().state not in ("done", *RETRIABLE)]
        print(
            f"{socket.gethostname()}: process {process_ranks.rank()}, {len(left)} of {len(cells)} cells to run",
            flush=True,
        )
        if not left:
            return
        try:
            if left[0].processes > 1:
                self._train_together(left[0])
            else:
                self._run(left)
        finally:
            if self.stopping and process_ranks.rank() == 0:
                self._note(left)

    def checkpoint(self) -> Any:
        """What is to run when the task is queued again; None where that would lead nowhere."""
        from submitit.helpers import DelayedSubmission

        spent = time.monotonic() - self.started
        over = spent + self.warning + _EARLY >= self.limit
        if over and progress([Cell.read(folder) for folder in self.folders]) <= self.progress:
            self.stopping = "stuck"
            return None
        self.stopping = f"its time of {self.limit / 60:.0f} minutes was over" if over else "preempted"
        return DelayedSubmission(self)

    def _run(self, cells: list[Cell]) -> None:
        """One process a cell, as on one machine."""
        from fer_bench.launch.local import launch
        from fer_bench.launch.server import preload_for
        from fer_bench.launch.slots import make_slots

        process_ranks.forget_tasks()
        with ignored(WARNING):  # Slurm sends it to every process of the task; this one alone acts on it
            fork_server(*preload_for(cells))
        gpus = 0
        if any(cell.trainer["accelerator"] != "cpu" for cell in cells):
            import torch

            gpus = torch.cuda.device_count()
        slots = make_slots(self.jobs, len(cells), 1, gpus)
        if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):  # those of the task, which may be any of the node's
            names = visible.split(",")
            for slot in slots:
                if slot.devices is not None:
                    slot.devices = ",".join(names[int(number)] for number in slot.devices.split(","))
        launch(cells, slots, _Log())

    def _train_together(self, cell: Cell) -> None:
        """`fit` as one of several processes, and then, in the first, `score`."""
        rank = process_ranks.rank()
        name = "log.txt" if rank == 0 else f"log-process{rank}.txt"
        threads = available_cores()
        if "SLURM_CPUS_PER_TASK" not in os.environ:  # then all processes of a node share its cores
            threads = max(1, threads // cell.trainer["devices"])
        with (cell.folder / name).open("ab") as log:
            code = self._stage(cell, "fit", threads, log.fileno(), dict(os.environ))
            print(f"{socket.gethostname()}: process {rank}: fit ended with {code}", flush=True)
            if code and rank:
                self._report(cell, rank, code, log.name)
            if code:
                sys.exit(1)  # srun then ends the other processes
            if rank == 0:
                alone = dict(os.environ)
                process_ranks.forget_tasks(alone)
                code = self._stage(cell, "score", threads, log.fileno(), alone)
                print(f"{socket.gethostname()}: process {rank}: score ended with {code}", flush=True)

    def _stage(self, cell: Cell, stage: str, threads: int, log: int, environment: dict[str, str]) -> int:
        environment["OMP_NUM_THREADS"] = str(threads)
        command = [sys.executable, "-m", "fer_bench.launch.worker", str(cell.folder), stage, str(threads)]
        # Slurm signals every process of the task. If a training process received the signal, Lightning would notify the
        # others in the middle of a collective operation.
        with _blocked(signal.SIGTERM, WARNING):
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)  # noqa: S603
        try:
            return process.wait()
        finally:
            process.kill()
            process.wait()

    def _report(self, cell: Cell, rank: int, code: int, log: str) -> None:
        """Report a process that failed alone. If the first process failed too, it has reported why; if the task is
        stopping, it is no failure."""
        time.sleep(_SETTLING)
        if self.stopping:
            self._wait_for_the_end()
        if read_json(cell.folder / "status.json")["state"] == "running":
            ended = f"signal {-code}" if code < 0 else f"exit code {code}"
            where = f"process {rank} on {socket.gethostname()}"
            cell.report("failed", message=f"fit: {where} ended with {ended} (see {Path(log).name})")

    def _heed_signals(self) -> None:
        requeue = signal.getsignal(WARNING)  # submitit's: calls `checkpoint`, requeues the task, and exits

        def stop(number: int, frame: FrameType | None) -> None:
            for each in (WARNING, signal.SIGTERM):
                signal.signal(each, signal.SIG_IGN)  # a second signal would interrupt the stopping
            self.stopping = "asked to stop"
            print(f"{socket.gethostname()}: process {process_ranks.rank()}: {signal.Signals(number).name}", flush=True)
            if process_ranks.rank() > 0:
                self._wait_for_the_end()
            # A task that a user cancels or requeues is signalled after Slurm has changed its state. A task that Slurm
            # still lists as running is near its limit, and has to requeue itself.
            if number == WARNING or _runs():
                assert callable(requeue)
                requeue(number, frame)
            sys.exit(128 + number)

        signal.signal(WARNING, stop)
        signal.signal(signal.SIGTERM, stop)

    def _wait_for_the_end(self) -> None:
        """Of the task, which the first process brings about: had another ended first, srun would end that one."""
        time.sleep(self.warning + _EARLY)
        sys.exit(1)

    def _note(self, cells: list[Cell]) -> None:
        for cell in cells:
            status = cell.status()
            if status.state not in ("running", "interrupted"):
                continue
            if self.stopping == "stuck":
                text = (
                    f"no epoch ended in the {self.limit / 60:.0f} minutes that a task has; give the profile more time"
                )
                cell.report("timeout", message=text)
            else:
                cell.report("interrupted", message=self.stopping)


def progress(cells: Sequence[Cell]) -> float:
    """A number that grows with every epoch, and with every cell that has ended."""
    return sum(_done(cell.status()) for cell in cells)


def _done(status: Status) -> float:
    return status.epoch + (1 if status.state in ("done", *RETRIABLE) else 0) + (0.5 if status.stage == "score" else 0)


def _runs() -> bool:
    number = os.environ.get("SLURM_ARRAY_TASK_ID")
    job = os.environ.get("SLURM_ARRAY_JOB_ID") if number else os.environ.get("SLURM_JOB_ID")
    with suppress(FerBenchError):
        found = queue.ask().tasks.get(f"{job}_{number}" if number else str(job))
        return found is not None and found.state == "RUNNING"
    return False


@contextmanager
def ignored(number: signal.Signals) -> Iterator[None]:
    """Processes started in this block ignore the signal."""
    previous = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, previous)


@contextmanager
def _blocked(*numbers: signal.Signals) -> Iterator[None]:
    """Processes started in this block have these signals blocked."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


class _Log:
    """Prints the events to the task's log."""

    def started(self, cell: Cell) -> None:
        print(f"{time.strftime('%H:%M:%S')} begin {cell.id}", flush=True)

    def progressed(self, cell: Cell, status: Status) -> None:
        pass

    def finished(self, cell: Cell, status: Status) -> None:
        print(f"{time.strftime('%H:%M:%S')} {status.state} {cell.id} {status.message}".rstrip(), flush=True)

    def requeued(self, cell: Cell) -> None:
        pass

    def message(self, message: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)
