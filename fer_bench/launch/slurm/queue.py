"""What Slurm says of tasks: of those that wait, run or ended lately, and, where it keeps accounts, of all."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fer_bench.errors import FerBenchError

Phase = Literal[
    "queued", "running", "completed", "cancelled", "preempted", "node failure", "timeout", "oom", "failed", "forgotten"
]
"""Phases of Slurm's states; `forgotten`: the task has ended, and Slurm no longer knows how."""

LIVE: tuple[Phase, ...] = ("queued", "running")
"""Phases of a task that will work, or works, on its cells."""

_PHASES: dict[str, Phase] = {
    "PENDING": "queued",
    "CONFIGURING": "queued",
    "REQUEUED": "queued",
    "REQUEUE_FED": "queued",
    "REQUEUE_HOLD": "queued",
    "RESV_DEL_HOLD": "queued",
    "SPECIAL_EXIT": "queued",
    "RUNNING": "running",
    "RESIZING": "running",
    "SIGNALING": "running",
    "STAGE_OUT": "running",
    "STOPPED": "running",
    "SUSPENDED": "running",
    "COMPLETED": "completed",
    "CANCELLED": "cancelled",
    "REVOKED": "cancelled",
    "PREEMPTED": "preempted",
    "BOOT_FAIL": "node failure",
    "NODE_FAIL": "node failure",
    "DEADLINE": "timeout",
    "TIMEOUT": "timeout",
    "OUT_OF_MEMORY": "oom",
    "FAILED": "failed",
}

_SECONDS = 60  # that a command of Slurm may take: a busy controller has been seen to need half of it


@dataclass(frozen=True)
class Seen:
    """A task, as Slurm reported it.

    Attributes:
        phase: Of its state; a task that is ending is `running` until it has ended.
        state: Slurm's own word.
        reason: Why it waits, or what ended it, in Slurm's words; may be empty.
    """

    phase: Phase
    state: str
    reason: str = ""


@dataclass(frozen=True)
class Queue:
    """Tasks that Slurm knows of.

    Attributes:
        tasks: Task id (`12_3`, or `12` of a job that is no array) -> what was seen of it.
        comments: Job id -> its comment.
    """

    tasks: dict[str, Seen]
    comments: dict[str, str]


def available() -> bool:
    """Whether Slurm's commands are on this machine."""
    return all(shutil.which(command) for command in ("sbatch", "squeue", "scontrol"))


def require() -> None:
    """Raise `FerBenchError` where Slurm's commands are not on this machine, or submitit is not installed."""
    if not available():
        raise FerBenchError(
            "--launcher slurm: this machine has no Slurm (sbatch, squeue and scontrol are not found); run on a login "
            "node of a cluster, or with --launcher local."
        )
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise FerBenchError(
            "--launcher slurm needs submitit, which is not installed; pip install 'fer_bench[slurm]'."
        ) from None


def ask(jobs: Iterable[str] = (), users: Iterable[int] = ()) -> Queue:
    """What Slurm says of users' tasks.

    Args:
        jobs: Job ids that are looked up in Slurm's accounts when the queue no longer lists them.
        users: Their numbers; this process's by default.

    Raises:
        FerBenchError: Slurm does not answer.
    """
    whose = f"--user={','.join(map(str, sorted(users))) or os.getuid()}"
    listing = run("squeue", "--noheader", "--array", "--states=all", whose, "--format=%F|%K|%T|%r|%k")
    queue = read_queue(listing)
    known = {task.partition("_")[0] for task in queue.tasks}
    if (forgotten := set(jobs) - known) and shutil.which("sacct"):
        which = f"--jobs={','.join(sorted(forgotten))}"
        try:
            output = run(
                "sacct", "--noheader", "--parsable2", "--allocations", "--array", which, "--format=JobID,State"
            )
        except FerBenchError:  # no accounts are kept here
            return queue
        return Queue({**read_accounts(output), **queue.tasks}, queue.comments)
    return queue


def read_queue(listing: str) -> Queue:
    """Read what `squeue --format=%F|%K|%T|%r|%k` printed."""
    tasks, comments = {}, {}
    for line in listing.splitlines():
        job, number, state, reason, comment = line.strip().split("|", 4)
        comments[job] = comment
        tasks[job if number == "N/A" else f"{job}_{number}"] = seen(state, reason)
    return Queue(tasks, comments)


def read_accounts(listing: str) -> dict[str, Seen]:
    """Read what `sacct --parsable2 --format=JobID,State` printed."""
    lines = (line.strip().split("|") for line in listing.splitlines() if line.strip())
    return {task: seen(state) for task, state in lines if re.fullmatch(r"\d+(_\d+)?", task)}


def seen(state: str, reason: str = "") -> Seen:
    """A task in one of Slurm's states, which may be spelt `CANCELLED by 1000`."""
    word = state.split(maxsplit=1)[0].rstrip("+") if state.split() else ""
    # COMPLETING, and any transitional state of newer versions: the task has not ended.
    phase = _PHASES.get(word, "running")
    return Seen(phase, word, "" if reason in ("None", "(null)") else reason)


def run(*command: str) -> str:
    """What one of Slurm's commands prints; raises `FerBenchError` where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise FerBenchError(f"Slurm does not answer ({command[0]} took more than {_SECONDS} s).") from None
    except OSError as error:
        raise FerBenchError(f"Slurm cannot be queried ({command[0]}: {error.strerror}).") from None
    if done.returncode:
        raise FerBenchError(f"Slurm does not answer ({' '.join(done.stderr.split()) or command[0]}).")
    return done.stdout
