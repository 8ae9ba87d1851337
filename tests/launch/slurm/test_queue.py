"""What Slurm prints, and what is made of it."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_bench.errors import FerBenchError
from fer_bench.launch.slurm import queue
from fer_bench.launch.slurm.queue import LIVE, read_accounts, read_queue, seen

LISTING = """\
12|0|RUNNING|None|4f2a
12|1|PENDING|JobArrayTaskLimit|4f2a
12|2|COMPLETING|None|4f2a
13|N/A|NODE_FAIL|NodeDown|(null)
14|0|CANCELLED|None|a|b
"""


def test_a_listing_is_read() -> None:
    found = read_queue(LISTING)
    phases = {task: (each.phase, each.reason) for task, each in found.tasks.items()}
    assert phases == {
        "12_0": ("running", ""),
        "12_1": ("queued", "JobArrayTaskLimit"),
        "12_2": ("running", ""),
        "13": ("node failure", "NodeDown"),
        "14_0": ("cancelled", ""),
    }
    assert found.comments == {"12": "4f2a", "13": "(null)", "14": "a|b"}


def test_accounts_are_read() -> None:
    told = "12_0|COMPLETED\n12_1|CANCELLED by 1000\n12_0.batch|COMPLETED\n13|OUT_OF_MEMORY\n12_[4-6]|PENDING\n"
    assert {task: each.phase for task, each in read_accounts(told).items()} == {
        "12_0": "completed",
        "12_1": "cancelled",
        "13": "oom",
    }


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        ("PENDING", "queued"),
        ("REQUEUE_HOLD", "queued"),
        ("RUNNING", "running"),
        ("COMPLETING", "running"),
        ("SUSPENDED", "running"),
        ("A_STATE_OF_TOMORROW", "running"),
        ("COMPLETED", "completed"),
        ("CANCELLED+", "cancelled"),
        ("PREEMPTED", "preempted"),
        ("NODE_FAIL", "node failure"),
        ("BOOT_FAIL", "node failure"),
        ("TIMEOUT", "timeout"),
        ("DEADLINE", "timeout"),
        ("OUT_OF_MEMORY", "oom"),
        ("FAILED", "failed"),
    ],
)
def test_every_state_comes_to_something(state: str, phase: str) -> None:
    assert seen(state).phase == phase
    assert (phase in LIVE) == (phase in ("queued", "running"))


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Puts commands of that name on the path; the file `asked` tells what they were given."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def make(name: str, script: str) -> Path:
        path = tmp_path / name
        path.write_text(f'#!/bin/sh\necho "$0 $@" >> {tmp_path}/asked\n{script}\n')
        path.chmod(0o755)
        return tmp_path / "asked"

    return make


def test_slurm_is_asked_once(fake: Callable[[str, str], Path]) -> None:
    asked = fake("squeue", f"cat <<'END'\n{LISTING}END")
    fake("sacct", "echo '9_0|COMPLETED'")
    found = queue.ask(["12", "9"], [1000, 7])
    assert (found.tasks["12_1"].phase, found.tasks["9_0"].phase) == ("queued", "completed")
    told = asked.read_text()
    assert "--user=7,1000 " in told
    assert "--jobs=9 " in told, "accounts are asked only for what the queue has forgotten"
    queue.ask(["12"])
    assert f"--user={os.getuid()} " in asked.read_text()
    assert asked.read_text().count("sacct") == 1


def test_where_no_accounts_are_kept_the_queue_has_to_do(fake: Callable[[str, str], Path]) -> None:
    fake("squeue", "echo '12|0|RUNNING|None|x'")
    fake("sacct", "echo Slurm accounting storage is disabled >&2; exit 1")
    assert set(queue.ask(["9"]).tasks) == {"12_0"}


def test_a_slurm_that_does_not_answer_is_told(fake: Callable[[str, str], Path]) -> None:
    fake("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(FerBenchError, match=r"^Slurm does not answer \(slurm_load_jobs error: Unable to contact"):
        queue.ask()


def test_a_slurm_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*args: object, **options: object) -> None:
        raise subprocess.TimeoutExpired("squeue", 60)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(FerBenchError, match=r"^Slurm does not answer \(squeue took more than 60 s\)\.$"):
        queue.ask()


def test_a_machine_without_slurm_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FerBenchError, match="this machine has no Slurm"):
        queue.require()
