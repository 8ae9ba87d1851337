"""Cells as tasks: how they are packed, where they stand, and what is not handed over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fer_bench.errors import FerBenchError
from fer_bench.launch.slurm import launcher, queue
from fer_bench.launch.slurm.launcher import check_gpus, stand
from fer_bench.launch.slurm.profile import Profile
from fer_bench.launch.slurm.queue import Queue, seen
from fer_bench.launch.slurm.submission import Place, Submissions
from fer_bench.launch.slurm.task import CellsTask

if TYPE_CHECKING:
    from tests.faked_cells import Faker
    from tests.suite_runner import Bench

Handed = list[tuple[list[list[str]], int, int, list[int]]]


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> Handed:
    """What would be handed to Slurm: (cells a task, devices, nodes, cells at a time)."""
    found: Handed = []

    def submit(
        self: Submissions,
        name: str,
        tasks: Sequence[tuple[Sequence[str], Callable[[], Any]]],
        profile: Profile,
        devices: int = 1,
        nodes: int = 1,
    ) -> list[str]:
        jobs = [call.jobs for _, call in tasks if isinstance(call, CellsTask)]
        found.append(([list(keys) for keys, _ in tasks], devices, nodes, jobs))
        return ["12"]

    monkeypatch.setattr(Submissions, "submit", submit)
    return found


def test_cells_are_packed_but_not_those_that_several_train(faker: Faker, handed: Handed, tmp_path: Path) -> None:
    cells = [faker.cell("quickstart", "bu3dfe-s1-cv10@1", "mit-nano", fold=fold, state="failed") for fold in range(6)]
    wide = [replace(cell, trainer={**cell.trainer, "devices": 2, "num_nodes": 2}) for cell in cells[4:]]
    launcher.submit([*cells[:4], *wide], tmp_path / "s", "s", Profile(pack=3, jobs=2))
    (packed, wide_ones) = handed
    assert [len(keys) for keys in packed[0]] == [3, 1]
    assert packed[0][0][0] == "bu3dfe-s1-cv10@1/mit-nano/fold00/seed0"
    assert packed[1:] == (1, 1, [2, 2])
    assert [len(keys) for keys in wide_ones[0]] == [1, 1]
    assert wide_ones[1:] == (2, 2, [1, 1])


@pytest.mark.parametrize(
    ("trainer", "profile", "fits"),
    [
        ({"devices": 2}, {"gpus": 2}, True),
        ({"devices": 2}, {"gpus": 1}, False),
        ({"devices": 2}, {"gres": "gpu:a100:4"}, False),
        ({"devices": 1}, {"gpus": 4}, True),
        ({"devices": 2, "accelerator": "cpu"}, {"gpus": 1}, True),
        ({"devices": 2}, {}, True),
        ({"devices": 2}, {"gpus": 0}, True),
        ({"devices": 1, "accelerator": "gpu"}, {"gpus": 0}, False),
    ],
)
def test_devices_and_gpus_have_to_agree(
    faker: Faker, trainer: dict[str, Any], profile: dict[str, Any], fits: bool
) -> None:
    chosen = {"accelerator": "auto", **trainer}
    cell = faker.cell("quickstart", "bu3dfe-s1-cv10@1", "mit-nano", trainer=chosen, state="failed")
    if fits:
        check_gpus(cell, Profile(**profile))
        return
    with pytest.raises(FerBenchError, match=r"^mit-nano: trainer\.devices is \d, and the profile asks for \d GPUs"):
        check_gpus(cell, Profile(**profile))


@pytest.mark.parametrize(
    ("own", "state", "shown", "note"),
    [
        ("planned", "PENDING", "queued", "task 12_3: Priority"),
        ("interrupted", "PENDING", "queued", "task 12_3: Priority; it broke"),
        ("running", "RUNNING", "running", "task 12_3"),  # nobody here holds its lock
        ("planned", "RUNNING", "queued", "task 12_3, which runs"),
        ("running", "CANCELLED", "cancelled", "task 12_3: CANCELLED; it broke"),
        ("running", "NODE_FAIL", "node failure", "task 12_3: NODE_FAIL; it broke"),
        ("running", "TIMEOUT", "timeout", "task 12_3: TIMEOUT; it broke"),
        ("running", "PREEMPTED", "preempted", "task 12_3: PREEMPTED; it broke"),
        ("running", "OUT_OF_MEMORY", "oom", "task 12_3: OUT_OF_MEMORY; it broke"),
        ("running", "COMPLETED", "interrupted", "task 12_3 has ended; it broke"),
        ("failed", "COMPLETED", "failed", "it broke"),
        ("failed", "PENDING", "failed", "it broke"),
        ("running", None, "interrupted", "it broke"),
    ],
)
def test_a_cell_stands_where_slurm_and_its_folder_say(
    faker: Faker, own: str, state: str | None, shown: str, note: str
) -> None:
    cell = faker.cell("quickstart", "bu3dfe-s1-cv10@1", "mit-nano", state=own)
    if own == "planned":
        cell.report("planned", message="")
    place = Place("12_3", seen(state, "Priority")) if state else None
    standing = stand(cell.folder, cell.status(), place)
    assert (standing.state, standing.note) == (shown, note)


class FakeCluster:
    """Slurm, as far as the record is concerned: keeps what was handed over, and says what it is told to say."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, runs: Path) -> None:
        self.jobs, self.state, self.runs = 0, "PENDING", runs
        monkeypatch.setattr(queue, "available", lambda: True)
        monkeypatch.setattr(queue, "ask", self.ask)
        monkeypatch.setattr("fer_bench.launch.slurm.submission._hand_over", self.hand_over)
        monkeypatch.setattr("fer_bench.launch.slurm.submission._largest_array", lambda: 1000)

    def hand_over(self, logs: Path, asked: dict[str, Any], calls: Sequence[Callable[[], Any]]) -> str:
        self.jobs += 1
        return str(self.jobs)

    def ask(self, jobs: Sequence[str] = (), users: Sequence[int] = ()) -> Queue:
        tasks = (f"{job}_{number}" for job in range(1, self.jobs + 1) for number in range(4))
        return Queue({task: seen(self.state) for task in tasks}, {})


@pytest.fixture
def cluster(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    bench.ready()
    return FakeCluster(monkeypatch, bench.runs)


def test_what_slurm_has_is_not_handed_over_again(
    bench: Bench, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> str:
        assert bench.run(launcher="slurm", detach=True, jobs=None)
        return capsys.readouterr().out

    assert "4 of 4 cells handed to Slurm (job 1), 0 are done" in run()
    assert "0 of 4 cells handed to Slurm, 4 were there already" in run()
    assert bench.status().startswith("mine: 4 queued\n")
    with pytest.raises(
        FerBenchError, match=r"^--overwrite: 4 of the cells are queued or running in Slurm; .*scancel 1_0"
    ):
        bench.run(launcher="slurm", detach=True, overwrite=True)
    bench.run()
    assert "4 cells are queued or running in Slurm, and left to it" in capsys.readouterr().out
    cluster.state = "NODE_FAIL"
    assert bench.status().startswith("mine: 4 node failure\n")
    cluster.state = "CANCELLED"
    assert bench.status().startswith("mine: 4 node failure\n"), "what is over is not asked about again"
    assert "4 of 4 cells handed to Slurm (job 2)" in run()


def test_following_ends_with_the_tasks(bench: Bench, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.state = "CANCELLED"
    assert not bench.run(launcher="slurm", jobs=None)
    assert capsys.readouterr().out.count("cancelled  bu3dfe") == 4


def test_where_slurm_cannot_be_asked_status_tells_what_was_seen(
    bench: Bench, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.run(launcher="slurm", detach=True, jobs=None)
    monkeypatch.setattr(queue, "available", lambda: False)
    shown = bench.status().splitlines()
    assert shown[0] == "mine: 4 queued"
    assert shown[-1] == "Slurm cannot be queried on this machine: tasks are as they were last seen."
    capsys.readouterr()
    bench.run()
    assert f"Where they are known to be over, delete {bench.runs / 'mine' / 'slurm'}." in capsys.readouterr().out


def test_several_nodes_take_slurm(bench: Bench) -> None:
    with pytest.raises(FerBenchError, match=r"trainer\.num_nodes is 2, which takes --launcher slurm"):
        bench.run("trainer.num_nodes=2")


def test_without_slurm_nothing_is_begun(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FerBenchError, match="this machine has no Slurm"):
        bench.run(launcher="slurm")
    assert not bench.runs.exists()


def test_a_display_is_told_what_slurm_says(faker: Faker) -> None:
    cell = faker.cell("quickstart", "bu3dfe-s1-cv10@1", "mit-nano", state="running")
    told = launcher._told(cell.status(), stand(cell.folder, cell.status(), Place("1", seen("NODE_FAIL"))))
    assert (told.state, told.message) == ("node failure", "task 1: NODE_FAIL; it broke")
