"""Trackers that a suite names: told of every training, and without a say in it."""

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from fer_bench.cells import trackers
from fer_bench.cells.cell import Cell
from fer_bench.cells.fit import ReportProgress, fit
from fer_bench.errors import FerBenchError, InvalidSuite
from fer_bench.records import read_json
from fer_bench.suites.reading import read_suite
from tests.conftest import OWN_METHODS
from tests.suite_runner import Bench


class StandIn(Logger):
    """Counts what a tracker is told, by run."""

    told: ClassVar[dict[str, list[tuple[Any, ...]]]] = {}
    broken: ClassVar[str] = ""

    def __init__(self, run: str, stage: str) -> None:
        super().__init__()
        self.calls, self.stage = self.told.setdefault(run, []), stage
        self.calls.append(("open", stage))

    @property
    def name(self) -> str:
        return "stand-in"

    @property
    def version(self) -> str:
        return ""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if self.broken:
            raise ConnectionError(self.broken)
        self.calls.append(("metrics", self.stage, frozenset(metrics), step))

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        self.calls.append(("params", params))

    def finalize(self, status: str) -> None:
        self.calls.append(("end", status))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[tuple[Any, ...]]]]:
    """What trackers are told; their packages are not needed."""
    StandIn.told, StandIn.broken = {}, ""

    def opened(cell: Cell, stage: str, runs: Path, run: str | None) -> tuple[Logger, str]:
        run = run or f"run{len(StandIn.told)}"
        return StandIn(run, stage), run

    monkeypatch.setattr(trackers, "_OPEN", {"mlflow": opened, "wandb": opened})
    yield StandIn.told


@pytest.fixture
def tracked(bench: Bench, see_methods: Callable[[Path], None]) -> Bench:
    see_methods(OWN_METHODS)
    bench.file.write_text(
        "protocols: [bu3dfe-s1-cv10@1]\nmethods:\n  trial: {method: trial, epochs: 3}\nfolds: [0]\n"
        "trainer: {accelerator: cpu}\n"
    )
    return bench


def results(cell: Cell) -> dict[str, bytes]:
    """What a finished cell is measured by."""
    kept = read_json(cell.folder / "result.json")
    timed = {key: value for key, value in kept.items() if "seconds" not in key}
    return {"result": repr(timed).encode(), "predictions": (cell.folder / "predictions.parquet").read_bytes()}


def stop_after_an_epoch(cell: Cell) -> None:
    """Train in this process until the second epoch ends."""

    def stop(self: ReportProgress, trainer: Trainer, *_: Any) -> None:
        if trainer.current_epoch == 1:  # the first has left its checkpoint
            raise RuntimeError("stopped")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ReportProgress, "on_train_epoch_end", stop)
        with pytest.raises(RuntimeError, match="stopped"):
            fit(cell)
    assert cell.begun


def test_a_training_is_told_and_is_the_same(tracked: Bench, told: dict[str, list[tuple[Any, ...]]]) -> None:
    (plain,) = tracked.ready()
    tracked.fit_and_score(plain)
    assert told == {}
    assert read_json(plain.folder / "cell.json")["loggers"] == []
    expected = results(plain)
    tracked.runs = tracked.runs.parent / "again"
    (cell,) = tracked.ready("loggers=[mlflow]")
    tracked.fit_and_score(cell)
    assert results(cell) == expected
    (calls,) = told.values()
    (params,) = [call[1] for call in calls if call[0] == "params"]
    assert params["cell"] == cell.id == "mine/bu3dfe-s1-cv10@1/trial/fold00/seed0"
    assert (params["protocol"], params["entry"], params["fold"], params["seed"]) == (cell.protocol, "trial", 0, 0)
    assert params["argument"]["epochs"] == 3
    # What the CSV log holds, the tracker was told.
    log = pd.read_csv(cell.folder / "csv" / "attempt0" / "metrics.csv")
    names = set().union(*(call[2] for call in calls if call[0] == "metrics"))
    assert names >= set(log.columns) - {"step"}
    assert "val/accuracy" in names
    assert len({call[3] for call in calls if call[0] == "metrics" and "val/accuracy" in call[2]}) == 3
    assert calls[-1] == ("end", "success")


def test_trackers_are_no_part_of_a_cell(tracked: Bench, told: dict[str, list[tuple[Any, ...]]]) -> None:
    (cell,) = tracked.ready()
    assert Cell.read(cell.folder).loggers == ()
    (tracked_cell,) = tracked.ready("loggers=[mlflow, wandb]")  # the same folder, not refused
    assert tracked_cell == cell
    assert tracked_cell.differences(cell) == []
    assert Cell.read(cell.folder).loggers == ("mlflow", "wandb")


def test_a_continued_training_continues_its_run(tracked: Bench, told: dict[str, list[tuple[Any, ...]]]) -> None:
    (cell,) = tracked.ready("loggers=[mlflow]")
    stop_after_an_epoch(cell)
    tracked.fit_and_score(cell)
    assert list(told) == ["run0"]
    assert [call[1] for call in told["run0"] if call[0] == "end"] == ["failed", "success"]
    assert sum(call[0] == "params" for call in told["run0"]) == 1


def test_stages_are_one_run_and_say_which_they_are(tracked: Bench, told: dict[str, list[tuple[Any, ...]]]) -> None:
    (cell,) = tracked.ready("loggers=[wandb]")
    for stage in ("i", ""):
        for logger in trackers.trackers(cell, stage):
            logger.log_metrics({"train/loss": 1.0}, 0)
    assert [call for call in told["run0"] if call[0] == "open"] == [("open", "i"), ("open", "")]


def test_a_tracker_that_fails_is_left_aside(tracked: Bench, told: dict[str, list[tuple[Any, ...]]]) -> None:
    StandIn.broken = "no route\nto host"
    (cell,) = tracked.ready("loggers=[wandb]")
    with pytest.warns(UserWarning, match=r"trial/fold00/seed0: wandb takes nothing \(no route to host\)") as warned:
        tracked.fit_and_score(cell)
    assert sum("takes nothing" in str(each.message) for each in warned) == 1
    assert cell.status().state == "done"


def test_only_the_first_process_has_trackers(
    tracked: Bench, told: dict[str, list[tuple[Any, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (cell,) = tracked.ready("loggers=[mlflow]")
    monkeypatch.setattr(trackers.process_ranks, "rank", lambda: 1)
    assert trackers.trackers(cell, "") == []
    monkeypatch.setattr(trackers.process_ranks, "rank", lambda: 0)
    (logger,) = trackers.trackers(cell, "")
    monkeypatch.setattr(rank_zero_only, "rank", 1, raising=False)
    logger.log_metrics({"x": 1.0}, 0)
    logger.finalize("success")
    assert told == {}


def test_a_missing_package_is_told_before_anything_runs(tracked: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "mlflow" else there(name, *a))
    with pytest.raises(
        FerBenchError, match=r"^loggers: mlflow is not installed; install it with .*fer_bench\[mlflow\]"
    ):
        tracked.run("loggers=[mlflow]")
    assert not tracked.runs.exists()
    assert tracked.plan("loggers=[mlflow]").cells, "a plan needs no tracker"


@pytest.mark.parametrize("value", ["[mlflo]", "mlflow", "[wandb, wandb]", "[tensorboard]"])
def test_a_wrong_tracker_is_told(tracked: Bench, value: str) -> None:
    with pytest.raises(InvalidSuite, match="loggers"):
        read_suite(tracked.file, [f"loggers={value}"])


def test_mlflow_keeps_what_it_is_told(tracked: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="needs the extra mlflow: pip install 'fer_bench[mlflow]'")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_ALLOW_FILE_STORE"):
        monkeypatch.delenv(name, raising=False)
    from mlflow.tracking import MlflowClient

    (cell,) = tracked.ready("loggers=[mlflow]")
    stop_after_an_epoch(cell)
    tracked.fit_and_score(cell)
    run = read_json(cell.folder / trackers.FILE)["mlflow"]
    assert os.environ["MLFLOW_ALLOW_FILE_STORE"] == "true"
    client = MlflowClient((tracked.runs.resolve() / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("mine")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_id == run
    assert found.info.status == "FINISHED"
    assert found.data.tags["cell"] == cell.id
    assert found.data.params["protocol"] == cell.protocol
    assert found.data.params["argument/epochs"] == "3"
    history = client.get_metric_history(run, "val/accuracy")
    assert len({point.step for point in history}) == 3


def test_wandb_writes_below_the_runs_and_stays_offline(tracked: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb", reason="needs the extra wandb: pip install 'fer_bench[wandb]'")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    (cell,) = tracked.ready("loggers=[wandb]", "epochs=1")
    tracked.fit_and_score(cell)
    wandb.finish()
    run = read_json(cell.folder / trackers.FILE)["wandb"]
    assert [path.name for path in (tracked.runs / "wandb").glob(f"offline-run-*-{run}")]
