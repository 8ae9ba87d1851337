"""Submitting to Slurm, and the records of submissions.

A folder holds one file per submission, written before the call of Slurm, so that no queued task is ever unrecorded: a
submission without a job id is recognised by the comment that its job carries.
"""

import io
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from fer_bench.errors import FerBenchError
from fer_bench.launch.slurm.profile import Profile
from fer_bench.launch.slurm.queue import LIVE, Queue, Seen, run
from fer_bench.records import read_json, write_json


@dataclass
class Submission:
    """One array of tasks, or one task.

    Attributes:
        id: Unique; the comment of the job, and the name of the record.
        time: Of the submission, seconds since 1970.
        user: The numeric id of the jobs' user.
        tasks: Keys of what each task works on: cells' folders below the suite's.
        job: Slurm's job id; empty until Slurm has assigned it.
        seen: Task number -> what Slurm last reported.
    """

    id: str
    time: float
    user: int
    tasks: list[list[str]]
    job: str = ""
    seen: dict[str, Seen] = field(default_factory=dict)

    def name(self, number: int) -> str:
        """Slurm's name of a task: `12_3`, or `12` for a single task."""
        return self.job if len(self.tasks) == 1 else f"{self.job}_{number}"

    @property
    def live(self) -> bool:
        """Whether a task may still be queued or running, by the last report."""
        return any(self.seen.get(str(n), _NEW).phase in LIVE for n in range(len(self.tasks)))

    def learn(self, queue: Queue) -> None:
        """Update from Slurm's report. A task that Slurm no longer lists has ended."""
        if not self.job:
            self.job = next((job for job, comment in queue.comments.items() if comment == self.id), "")
        for number in range(len(self.tasks)):
            before = self.seen.get(str(number), _NEW)
            now = queue.tasks.get(self.name(number))
            if now is not None:
                self.seen[str(number)] = now
            elif before.phase in LIVE:
                self.seen[str(number)] = Seen("forgotten", before.state)


@dataclass(frozen=True)
class Place:
    """A task, and what Slurm last reported of it."""

    task: str
    seen: Seen

    @property
    def live(self) -> bool:
        """Whether the task is queued or running."""
        return self.seen.phase in LIVE


_NEW = Seen("queued", "PENDING")


@dataclass(frozen=True)
class Submissions:
    """A folder of records; the tasks' logs are in its folder `logs`."""

    folder: Path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Only one process at a time may read the queue and submit."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock"):
            yield

    def read(self) -> list[Submission]:
        """All records, the oldest first."""
        found = []
        for path in self.folder.glob("*.json"):
            content = read_json(path)
            found.append(Submission(**{**content, "seen": {n: Seen(**seen) for n, seen in content["seen"].items()}}))
        return sorted(found, key=lambda submission: submission.time)

    def places(self, ask: Callable[[Iterable[str], Iterable[int]], Queue] | None) -> dict[str, Place]:
        """Key -> last task, of everything submitted. The caller holds the lock.

        Args:
            ask: Queries Slurm for jobs and users; None where Slurm cannot be reached, and the last report is used.
        """
        found = self.read()
        live = [submission for submission in found if submission.live]
        if ask is not None and live:
            queue = ask({s.job for s in live if s.job}, {s.user for s in live})
            for submission in live:
                submission.learn(queue)
                self._write(submission)
        return {
            key: Place(submission.name(number), submission.seen.get(str(number), _NEW))
            for submission in found
            for number, keys in enumerate(submission.tasks)
            for key in keys
        }

    def submit(
        self,
        name: str,
        tasks: Sequence[tuple[Sequence[str], Callable[[], Any]]],
        profile: Profile,
        devices: int = 1,
        nodes: int = 1,
    ) -> list[str]:
        """Submit tasks, in as few arrays as Slurm allows; returns the job ids. The caller holds the lock.

        Args:
            name: The job's name in the queue.
            tasks: (keys of what it works on, the function called in each of its processes).
            devices, nodes: Processes a node, and nodes, of each task.

        Raises:
            FerBenchError: Slurm refuses them.
        """
        largest = _largest_array()
        jobs = []
        for start in range(0, len(tasks), largest):
            some = tasks[start : start + largest]
            submission = Submission(uuid.uuid4().hex, time.time(), os.getuid(), [list(keys) for keys, _ in some])
            self._write(submission)
            requested = parameters(profile, f"fer-bench-{name}", submission.id, devices, nodes)
            try:
                submission.job = _hand_over(self.folder / "logs", requested, [call for _, call in some])
            except FerBenchError:  # but not after Ctrl-C, when Slurm may have accepted the tasks
                (self.folder / f"{submission.id}.json").unlink()
                raise
            self._write(submission)
            jobs.append(submission.job)
        return jobs

    def _write(self, submission: Submission) -> None:
        write_json(self.folder / f"{submission.id}.json", asdict(submission))


def parameters(profile: Profile, name: str, comment: str, devices: int, nodes: int) -> dict[str, Any]:
    """Parameters of the tasks for submitit; None leaves the choice to Slurm."""
    # Since 22.05 srun does not inherit this number from the job.
    srun = [f"--cpus-per-task={profile.cpus}"] if profile.cpus else []
    if devices * nodes > 1:
        # A process must not wait for another that has died; one that is done waits for none.
        srun += ["--kill-on-bad-exit=1", "--wait=0"]
    return {
        "job_name": re.sub(r"[^A-Za-z0-9_.@+-]", "-", name),
        "comment": comment,
        "partition": profile.partition,
        "account": profile.account,
        "constraint": profile.constraint,
        "gres": profile.gres,
        "gpus_per_node": profile.gpus or None,
        "mem": profile.memory,
        "time": profile.minutes,
        "signal_delay_s": profile.warning,
        "cpus_per_task": profile.cpus,
        "nodes": nodes,
        "ntasks_per_node": devices,
        "array_parallelism": profile.parallel,
        "setup": profile.setup or None,
        "srun_args": srun,
        "stderr_to_stdout": True,
        "additional_parameters": {
            "requeue": True,
            **{key.lstrip("-").replace("_", "-"): value for key, value in profile.options.items()},
        },
    }


def _hand_over(logs: Path, requested: dict[str, Any], calls: Sequence[Callable[[], Any]]) -> str:
    import submitit
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    # A task may be requeued any number of times: it ends itself when it makes no progress.
    executor = submitit.SlurmExecutor(logs, max_num_timeout=10_000)
    executor.update_parameters(**{key: value for key, value in requested.items() if value is not None})
    try:
        # sbatch's output is part of the error.
        with _outside_of_jobs(requested), redirect_stderr(io.StringIO()):
            handed = executor.submit_array(calls)
    except (FailedJobError, FailedSubmissionError, OSError) as error:
        message = " ".join(line for line in str(error).splitlines() if line.strip())
        raise FerBenchError(f"Slurm refuses the tasks ({' '.join(message.split())}).") from None
    return str(handed[0].job_id).partition("_")[0]


@contextmanager
def _outside_of_jobs(requested: dict[str, Any]) -> Iterator[None]:
    """Without the variables of a job that this process may run in, which the tasks would inherit, and without those
    that sbatch prefers to the script's."""
    said = ["JOB_NAME", "COMMENT", "SIGNAL", "REQUEUE", "NO_REQUEUE", "OPEN_MODE", "TIMELIMIT", "ARRAY_INX", "OUTPUT"]
    names = {"partition": "PARTITION", "account": "ACCOUNT", "constraint": "CONSTRAINT", "gres": "GRES"}
    names |= {"gpus_per_node": "GPUS_PER_NODE", "mem": "MEM_PER_NODE"}
    said += [variable for key, variable in names.items() if requested[key] is not None]
    gone = {f"SBATCH_{variable}" for variable in said}
    if "SLURM_JOB_ID" in os.environ:
        gone |= {key for key in os.environ if key.startswith(("SLURM_", "SRUN_")) and key != "SLURM_CONF"}
    kept = {key: os.environ.pop(key) for key in gone if key in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def _largest_array() -> int:
    """Maximum number of tasks in an array on this cluster."""
    try:
        output = run("scontrol", "show", "config")
    except FerBenchError:
        output = ""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", output, re.MULTILINE)
    return max(1, int(found[1]) - 1 if found else 1000)
