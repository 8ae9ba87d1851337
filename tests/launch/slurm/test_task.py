"""What a task does: its cells, and its leaving when Slurm says so."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from fer_bench.cells.cell import Cell
from fer_bench.launch import local
from fer_bench.launch.slurm import task
from fer_bench.launch.slurm.task import WARNING, CellsTask, progress

if TYPE_CHECKING:
    from tests.faked_cells import Faker


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (WARNING, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def cell(faker: Faker) -> Cell:
    cell = faker.cell("quickstart", "bu3dfe-s1-cv10@1", "mit-nano", trainer={"accelerator": "cpu"}, state="failed")
    cell.report("planned", message="", epoch=0)
    return cell


Work = Callable[[Callable[[Cell], None]], None]


@pytest.fixture
def works(monkeypatch: pytest.MonkeyPatch) -> Work:
    """Says what happens in place of training."""

    def become(what: Callable[[Cell], None]) -> None:
        def launch(cells: list[Cell], slots: object, observer: object) -> None:
            for cell in cells:
                what(cell)

        monkeypatch.setattr(local, "launch", launch)
        monkeypatch.setattr(task, "fork_server", lambda *modules: None)

    return become


def submitit(call: CellsTask, asked: list[Any]) -> None:
    """As submitit heeds the warning: asks what to run next, has it queued, and leaves."""

    def leave(number: int, frame: object) -> None:
        asked.append(call.checkpoint())
        raise SystemExit(255)

    signal.signal(WARNING, leave)


def run(cell: Cell, limit: float = 3600) -> CellsTask:
    return CellsTask([cell.folder], 1, limit, 120)


def test_cells_that_have_ended_are_left_alone(cell: Cell, works: Work) -> None:
    begun: list[Cell] = []
    works(begun.append)
    run(cell)()
    assert [each.id for each in begun] == [cell.id]
    for state in ("done", "failed", "oom", "timeout"):
        cell.report(state)  # type: ignore[arg-type]
        run(cell)()
    assert len(begun) == 1


def interrupted_by(number: signal.Signals, epochs: int = 0) -> Callable[[Cell], None]:
    def what(cell: Cell) -> None:
        cell.report("running", stage="fit", epoch=epochs)
        os.kill(os.getpid(), number)
        time.sleep(5)
        pytest.fail("it went on")

    return what


def test_a_warning_queues_the_task_again(cell: Cell, works: Work) -> None:
    works(interrupted_by(WARNING))
    asked: list[Any] = []
    call = run(cell)
    submitit(call, asked)
    with pytest.raises(SystemExit):
        call()
    assert asked[0].function is call
    assert (cell.status().state, cell.status().message) == ("interrupted", "preempted")


def test_a_task_whose_time_is_over_goes_on_if_it_got_anywhere(cell: Cell, works: Work) -> None:
    works(interrupted_by(WARNING, epochs=2))
    asked: list[Any] = []
    call = run(cell, limit=120)
    submitit(call, asked)
    with pytest.raises(SystemExit):
        call()
    assert asked[0].function is call
    assert cell.status().message == "its time of 2 minutes was over"


def test_a_task_that_gets_nowhere_is_not_queued_for_ever(cell: Cell, works: Work) -> None:
    works(interrupted_by(WARNING))
    asked: list[Any] = []
    call = run(cell, limit=120)
    submitit(call, asked)
    with pytest.raises(SystemExit):
        call()
    assert asked == [None]
    assert cell.status().state == "timeout"
    assert cell.status().message == "no epoch ended in the 2 minutes that a task has; give the profile more time"


@pytest.mark.parametrize("runs", [True, False])
def test_asked_to_stop_it_asks_for_more_only_while_it_is_to_run(
    cell: Cell, works: Work, runs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "_runs", lambda: runs)
    works(interrupted_by(signal.SIGTERM))
    asked: list[Any] = []
    call = run(cell)
    submitit(call, asked)
    with pytest.raises(SystemExit):
        call()
    assert bool(asked) == runs
    assert cell.status().message == ("preempted" if runs else "asked to stop")


def test_a_second_signal_does_not_disturb_the_stopping(cell: Cell, works: Work) -> None:
    stopped: list[str] = []

    def what(cell: Cell) -> None:
        try:
            interrupted_by(WARNING)(cell)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), WARNING)
            stopped.append(cell.id)

    works(what)
    call = run(cell)
    submitit(call, [])
    with pytest.raises(SystemExit):
        call()
    assert stopped == [cell.id]


def test_progress_is_epochs_scoring_and_ends(cell: Cell) -> None:
    seen = [progress([cell])]
    for state, changes in (
        ("running", {"epoch": 1, "stage": "fit"}),
        ("running", {"epoch": 3}),
        ("running", {"stage": "score"}),
        ("done", {}),
    ):
        cell.report(state, **changes)  # type: ignore[arg-type]
        seen.append(progress([cell]))
    assert seen == sorted(set(seen)), "it only grows"


def test_of_several_gpus_a_cell_gets_one_of_the_task_s(
    cell: Cell, monkeypatch: pytest.MonkeyPatch, faker: Faker
) -> None:
    import torch

    wide = faker.cell("quickstart", "bu3dfe-s1-cv10@1", "mit-nano", fold=1, trainer={"accelerator": "gpu"})
    for each in (cell, wide):
        each.report("planned")
    given: list[str | None] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    monkeypatch.setattr(local, "launch", lambda cells, slots, observer: given.extend(s.devices for s in slots))
    monkeypatch.setattr(task, "fork_server", lambda *modules: None)
    CellsTask([cell.folder, wide.folder], 2, 3600, 120)()
    assert given == ["5", "7"]
