"""Handing tasks over, and remembering that it was done."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from fer_bench.errors import FerBenchError
from fer_bench.launch.slurm.profile import Profile
from fer_bench.launch.slurm.queue import Queue, seen
from fer_bench.launch.slurm.submission import Submissions, parameters


def nothing() -> None:
    pass


class FakeSlurm:
    """Commands on the path that keep what sbatch is given, and number the jobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("sbatch", f"cp $1 {folder}/script.$$; env > {folder}/env; echo Submitted batch job 12")
        self.write("srun", "")
        self.write("scontrol", "echo 'MaxArraySize            = 4'")

    def write(self, name: str, script: str) -> None:
        (self.folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.folder / name).chmod(0o755)

    @property
    def scripts(self) -> list[str]:
        return sorted(path.read_text() for path in self.folder.glob("script.*"))


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    folder = tmp_path / "commands"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return FakeSlurm(folder)


def tasks(count: int) -> list[tuple[list[str], object]]:
    return [([f"p/e/fold{n:02d}/seed0"], nothing) for n in range(count)]


def test_a_profile_reaches_sbatch(slurm: FakeSlurm, tmp_path: Path) -> None:
    profile = Profile(
        partition="gpu",
        account="faces",
        constraint="a100|h100",
        gres="gpu:a100:2",
        time="4:00:00",
        warning=300,
        memory="16G",
        cpus=8,
        parallel=2,
        setup=["module load cuda"],
        options={"qos": "high", "exclusive": True},
    )
    assert Submissions(tmp_path / "s").submit("mine", tasks(3), profile) == ["12"]  # type: ignore[arg-type]
    (script,) = slurm.scripts
    flags = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", script, re.MULTILINE))
    record = next((tmp_path / "s").glob("*.json"))
    for name, value in {
        "job-name": "fer-bench-mine",
        "comment": record.stem,
        "partition": "gpu",
        "account": "faces",
        "constraint": "'a100|h100'",
        "gres": "gpu:a100:2",
        "time": "240",
        "signal": "USR2@300",
        "mem": "16G",
        "cpus-per-task": "8",
        "array": "0-2%2",
        "nodes": "1",
        "ntasks-per-node": "1",
        "requeue": "",
        "open-mode": "append",
        "qos": "high",
        "exclusive": "",
    }.items():
        assert flags[name] == value, name
    assert script.index("module load cuda") < script.index("srun ")
    assert "--cpus-per-task=8" in script[script.index("srun ") :]


def test_what_is_not_said_is_left_out() -> None:
    asked = parameters(Profile(), "a suite: mine", "x", 1, 1)
    assert asked["job_name"] == "a-suite--mine"
    assert {key for key, value in asked.items() if value is None} == {
        "partition", "account", "constraint", "gres", "gpus_per_node", "mem", "cpus_per_task", "setup",
    }  # fmt: skip
    assert asked["srun_args"] == []


def test_processes_that_train_together_end_together() -> None:
    asked = parameters(Profile(gpus=2), "mine", "x", 2, 3)
    assert (asked["nodes"], asked["ntasks_per_node"], asked["gpus_per_node"]) == (3, 2, 2)
    assert "--kill-on-bad-exit=1" in asked["srun_args"]


def test_more_than_an_array_holds_are_several(slurm: FakeSlurm, tmp_path: Path) -> None:
    record = Submissions(tmp_path / "s")
    assert len(record.submit("mine", tasks(7), Profile())) == 3  # type: ignore[arg-type]
    assert sorted(len(each.tasks) for each in record.read()) == [1, 3, 3]
    assert sum("--array" not in script for script in slurm.scripts) == 1, "of one task, none is made"


def test_a_refusal_is_told_and_nothing_is_left(
    slurm: FakeSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm.write("sbatch", "echo 'sbatch: error: invalid partition specified: gpu' >&2; exit 1")
    record = Submissions(tmp_path / "s")
    with pytest.raises(FerBenchError, match=r"^Slurm refuses the tasks \(sbatch: error: invalid partition.*\)\.$"):
        record.submit("mine", tasks(2), Profile(partition="gpu"))  # type: ignore[arg-type]
    assert record.read() == []
    assert capsys.readouterr().err == "", "said once, by whoever catches the error"


def test_tasks_do_not_inherit_the_job_they_were_handed_over_from(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "3", "SLURM_CONF": "/etc/slurm.conf", "SBATCH_JOB_NAME": "bash"}
    here |= {"SBATCH_PARTITION": "old", "SBATCH_ACCOUNT": "mine"}
    for name, value in here.items():
        monkeypatch.setenv(name, value)
    Submissions(tmp_path / "s").submit("mine", tasks(1), Profile(partition="gpu"))  # type: ignore[arg-type]
    given = (slurm.folder / "env").read_text()
    assert "SLURM_CONF=/etc/slurm.conf" in given
    assert "SBATCH_ACCOUNT=mine" in given, "the profile says none"
    for name in ("SLURM_JOB_ID", "SLURM_NTASKS", "SBATCH_JOB_NAME", "SBATCH_PARTITION"):
        assert f"{name}=" not in given, name
        assert os.environ[name] == here[name]


class Asked:
    """Answers as Slurm does, and counts."""

    def __init__(self, **tasks: str) -> None:
        self.tasks, self.comments, self.count = tasks, dict[str, str](), 0

    def __call__(self, jobs: Iterable[str], users: Iterable[int]) -> Queue:
        self.count += 1
        return Queue({task.strip("_"): seen(state) for task, state in self.tasks.items()}, self.comments)


def test_tasks_are_followed_to_their_end(slurm: FakeSlurm, tmp_path: Path) -> None:
    record = Submissions(tmp_path / "s")
    record.submit("mine", tasks(3), Profile())  # type: ignore[arg-type]
    ask = Asked(_12_0="RUNNING", _12_1="PENDING", _12_2="COMPLETED")
    places = record.places(ask)
    assert [(key, place.task, place.live) for key, place in places.items()] == [
        ("p/e/fold00/seed0", "12_0", True),
        ("p/e/fold01/seed0", "12_1", True),
        ("p/e/fold02/seed0", "12_2", False),
    ]
    ask.tasks = {"_12_0": "NODE_FAIL"}
    phases = [place.seen.phase for place in record.places(ask).values()]
    assert phases == ["node failure", "forgotten", "completed"], "what was seen stays, when Slurm forgets it"
    record.places(ask)
    assert ask.count == 2, "Slurm is not asked about what is over"
    assert [place.seen.phase for place in record.places(None).values()] == phases


def test_the_last_task_of_a_cell_counts(slurm: FakeSlurm, tmp_path: Path) -> None:
    record = Submissions(tmp_path / "s")
    record.submit("mine", tasks(1), Profile())  # type: ignore[arg-type]
    assert record.places(Asked(_12="CANCELLED"))["p/e/fold00/seed0"].seen.phase == "cancelled"
    slurm.write("sbatch", "echo Submitted batch job 13")
    record.submit("mine", tasks(1), Profile())  # type: ignore[arg-type]
    place = record.places(Asked(_12="CANCELLED", _13="PENDING"))["p/e/fold00/seed0"]
    assert (place.task, place.live) == ("13", True)


def test_a_job_whose_number_never_came_is_known_by_its_comment(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ctrl_c(*args: object) -> str:
        raise KeyboardInterrupt

    record = Submissions(tmp_path / "s")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("fer_bench.launch.slurm.submission._hand_over", ctrl_c)
        record.submit("mine", tasks(2), Profile())  # type: ignore[arg-type]
    (submission,) = record.read()
    ask = Asked(_40_0="RUNNING", _40_1="PENDING")
    ask.comments["40"] = submission.id
    places = record.places(ask)
    assert [place.task for place in places.values()] == ["40_0", "40_1"]
    assert all(place.live for place in places.values())


def test_a_job_that_never_came_to_be_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ctrl_c(*args: object) -> str:
        raise KeyboardInterrupt

    record = Submissions(tmp_path / "s")
    monkeypatch.setattr("fer_bench.launch.slurm.submission._hand_over", ctrl_c)
    record.folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        record.submit("mine", tasks(1), Profile())  # type: ignore[arg-type]
    assert not any(place.live for place in record.places(Asked()).values())
