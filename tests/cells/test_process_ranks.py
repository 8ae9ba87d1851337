"""Processes that are not those that a cell is trained by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fer_bench.cells.process_ranks import check_ranks, forget_tasks, rank
from fer_bench.errors import FerBenchError
from fer_bench.launch import worker

if TYPE_CHECKING:
    from tests.faked_cells import Faker

TWO_NODES = {
    "SLURM_NTASKS": "2",
    "SLURM_NTASKS_PER_NODE": "1",
    "SLURM_NNODES": "2",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
    "SLURM_JOB_NAME": "fer-bench-mine",
}


def test_what_fits_is_let_through() -> None:
    check_ranks(1, 2, TWO_NODES)
    check_ranks(2, 1, {**TWO_NODES, "SLURM_NNODES": "1", "SLURM_NTASKS_PER_NODE": "2"})
    check_ranks(2, 1, {})  # Lightning starts them
    check_ranks(1, 1, {"SLURM_JOB_NAME": "bash"})  # no task of srun's


@pytest.mark.parametrize(
    ("devices", "nodes", "changed", "says"),
    [
        (1, 1, {}, "Slurm gave 2 nodes for 2 processes, and the trainer asks for 1 on each of 1"),
        (2, 2, {}, "Slurm started 2 processes on 2 nodes"),
        (1, 2, {"SLURM_NTASKS": "4"}, "Slurm started 4 processes on 2 nodes"),
        (1, 2, {"SLURM_NTASKS_PER_NODE": "2"}, "Slurm started 2 processes a node"),
        (1, 2, {"SLURM_JOB_NAME": "bash"}, "the Slurm job is named 'bash', which Lightning takes for a terminal"),
        (1, 2, {"SLURM_JOB_NAME": "interactive"}, "is named 'interactive'"),
    ],
)
def test_what_does_not_fit_is_told(devices: int, nodes: int, changed: dict[str, str], says: str) -> None:
    with pytest.raises(FerBenchError) as raised:
        check_ranks(devices, nodes, {**TWO_NODES, **changed})
    assert says in str(raised.value)


def test_several_nodes_need_somebody_to_start_them() -> None:
    with pytest.raises(FerBenchError, match=r"trainer\.num_nodes is 2, and nothing starts processes on other nodes"):
        check_ranks(1, 2, {})


def test_the_rank_is_among_all_nodes() -> None:
    assert rank(TWO_NODES) == 1
    assert rank({"LOCAL_RANK": "1"}) == 1
    assert rank({"SLURM_PROCID": "3"}) == 0, "a process of a job that is no task of srun's"
    assert rank({}) == 0


def test_a_process_that_forgets_its_task_trains_alone() -> None:
    environment = dict(TWO_NODES)
    forget_tasks(environment)
    assert rank(environment) == 0
    check_ranks(1, 1, environment)


@pytest.mark.parametrize("number", ["0", "1"])
def test_no_rank_works_on_a_cell_that_is_done(faker: Faker, monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    """The first one leaves it alone; a further one that trained would wait for it for ever."""
    monkeypatch.setattr(worker, "_stage", lambda cell, stage: worked.append(stage))
    monkeypatch.setenv("LOCAL_RANK", number)
    worked: list[str] = []
    done = faker.cell("drfer/table1", "bu3dfe-drfer60-cv10@1", "drfer")
    failed = faker.cell("drfer/table1", "bu3dfe-drfer60-cv10@1", "baseline", state="failed")
    assert [worker.work(cell, "fit", 1) for cell in (done, failed)] == [0, 0]
    assert worked == ["fit"]
