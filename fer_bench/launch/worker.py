"""The process that works on one cell: runs a stage, `fit`, `score`, `stress` or `probe`, and reports its state."""

import gc
import os
import signal
import sys
import threading
import time
import traceback
from multiprocessing import connection, parent_process
from pathlib import Path

import torch
from filelock import Timeout
from lightning.pytorch.utilities.exceptions import SIGTERMException

from fer_bench.cells import process_ranks
from fer_bench.cells.cell import LATE_FUSION, SAVED, Cell, State, written_status
from fer_bench.cells.manifest import recorded
from fer_bench.errors import FerBenchError

FAILED, BUSY = 1, 3
"""Exit codes: the stage failed and the status says why; another process works on the cell."""

LOCK_TIMEOUT_S = 10.0
"""Seconds to wait for a cell's lock. The lock of a killed process is released within moments."""


def main(folder: Path, stage: str, threads: int, devices: str | None) -> None:
    """Entry of a process started by the launcher.

    Args:
        folder: The cell's folder, with `cell.json`; of `stress` and `probe` a folder of that name.
        stage: `fit`, which `score` follows where one process trains; `score`, `stress` or `probe`.
        threads: CPU threads it may use.
        devices: GPUs it may use, as in CUDA_VISIBLE_DEVICES; None leaves the environment as it is.
    """
    # Ctrl-C in a terminal reaches every process; only the launcher reacts.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A garbage collection visits every object, which takes a third of a second and copies the memory that this process
    # shares with its parent.
    gc.freeze()
    if devices is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices
    os.environ["OMP_NUM_THREADS"] = str(threads)
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    cell = Cell.read(folder)
    process_ranks.forget_tasks()  # the launcher, wherever it runs, says which processes there are
    if stage == "fit" and cell.processes > 1:
        # Lightning starts the other ranks by running this process's own command again, so it must be a command of its
        # own and not a fork of the launcher.
        os.execv(sys.executable, [sys.executable, "-m", "fer_bench.launch.worker", str(folder), stage, str(threads)])  # noqa: S606
    if (parent := parent_process()) is not None:
        threading.Thread(target=_leave_with, args=(parent.sentinel,), daemon=True).start()
    code = work(cell, stage, threads)
    if stage == "fit" and code == 0:
        if torch.cuda.is_initialized():
            gc.collect()  # the training's objects refer to each other, and hold GPU memory
        code = work(cell, "score", threads)
    sys.exit(code)


def work(cell: Cell, stage: str, threads: int) -> int:
    """Run one stage; returns the exit code."""
    torch.set_num_threads(threads)
    if process_ranks.rank() > 0:  # a further rank: the first one holds the lock and reports
        # It finds what the first one finds: nothing changes before all of them train.
        if not _ended(cell, stage):
            _stage(cell, stage)
        return 0
    try:
        with cell.lock().acquire(timeout=LOCK_TIMEOUT_S):
            if _ended(cell, stage):
                return 0  # done by an earlier attempt, or by another process meanwhile
            status = cell.status()
            cell.report("running", stage=stage, message="")
            start = time.monotonic()
            try:
                _stage(cell, stage)
            except SIGTERMException:
                # Lightning stops between two steps and exits with code 0, as if training were complete. End by the
                # signal that was sent instead.
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.raise_signal(signal.SIGTERM)
            except Exception as error:  # any error ends this cell only, and is reported
                traceback.print_exc()
                state, message, code = _told(error, stage)
            else:
                state, message, code = ("running" if stage == "fit" else "done"), "", 0
                stage = "score" if stage == "fit" else stage  # what comes next
            seconds = round(status.seconds + time.monotonic() - start, 3)
            cell.report(state, stage=stage, message=message, seconds=seconds)
            return code
    except Timeout:
        return BUSY


def _ended(cell: Cell, stage: str) -> bool:
    """Whether the stage is complete."""
    status = written_status(cell.folder)
    trained = stage == "fit" and status.stage == "score" and (cell.checkpoints / "best.ckpt").exists()
    return trained or (status.state == "done" and stage in ("fit", "score"))


def _told(error: Exception, stage: str) -> tuple[State, str, int]:
    """State, message and exit code for an error."""
    # torch raises the last one for the CPU.
    memory = isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or "can't allocate memory" in str(error)
    if memory:
        return "oom", f"out of memory in {stage}: {_sentence(error)}", FAILED
    return "failed", f"{stage}: {_sentence(error)}", FAILED


def _stage(cell: Cell, stage: str) -> None:
    if stage == "fit":
        from fer_bench.cells.fit import fit

        process_ranks.check_ranks(cell.trainer["devices"], cell.trainer["num_nodes"])
        with recorded(cell, stage):
            fit(cell)
    elif stage == "score" and cell.method == LATE_FUSION:
        from fer_bench.cells.fused_cells import score_fused

        score_fused(cell)
    elif stage == "score" and cell.method == SAVED:
        from fer_bench import registry
        from fer_bench.cells.saved_predictions import score_saved

        score_saved(cell, registry.find_protocol(cell.protocol))
    elif stage == "score":
        from fer_bench.cells.score import score

        with recorded(cell, stage):
            score(cell)
    elif stage == "probe":
        from fer_bench.cells.probe import probe

        probe(cell)
    else:
        from fer_bench.cells.stress import examine

        examine(cell)


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, FerBenchError) else f"{type(error).__name__}: {text[:300]}"


def _leave_with(sentinel: int) -> None:
    """End this process when the launcher ends: a cell must not train unobserved and be started twice."""
    connection.wait([sentinel])
    os._exit(1)


def _leave_with_parent() -> None:
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    sys.exit(work(Cell.read(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])))
