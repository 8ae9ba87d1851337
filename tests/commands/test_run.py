"""A suite from data to leaderboard, and everything that can come between."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from fer_bench.cells.cell import Cell
from fer_bench.commands.evaluate import evaluate
from fer_bench.commands.plan import show_plan
from fer_bench.errors import DatasetNotFound, FerBenchError, InvalidSuite
from fer_bench.launch import worker
from fer_bench.launch.local import pending
from fer_bench.launch.planning import _open
from fer_bench.launch.server import PRELOAD
from fer_bench.launch.slots import Slot, make_slots
from fer_bench.processes import fork_server
from fer_bench.records import OUTPUT, Batch

if TYPE_CHECKING:
    from tests.suite_runner import Bench


def predictions(cell: Cell) -> pd.DataFrame:
    return pd.read_parquet(cell.folder / "predictions.parquet")


def test_a_suite_runs_resumes_and_is_tabulated(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.run()
    told = capsys.readouterr().out
    assert told.count("done    bu3dfe") == 4
    cells = bench.plan().cells
    for cell in cells:
        for name in ("cell.json", "status.json", "result.json", "checkpoints/best.ckpt", "checkpoints/last.ckpt"):
            assert (cell.folder / name).is_file(), name
        assert list((cell.folder / "tensorboard").glob("events*"))
        metrics = pd.read_csv(cell.folder / "csv" / "attempt0" / "metrics.csv")
        assert {"train/loss", "val/loss", "val/accuracy", "epoch"} <= set(metrics.columns)
        assert metrics["val/accuracy"].count() == cell.arguments["epochs"]
        last = torch.load(cell.checkpoints / "last.ckpt", weights_only=True)
        assert last["epoch"] == cell.arguments["epochs"] - 1, "the last epoch is kept, also when it is not the best"
        assert (
            torch.load(cell.checkpoints / "best.ckpt", weights_only=True)["epoch"]
            == metrics.set_index("epoch")["val/accuracy"].idxmax()
        )
        assert len(list(cell.checkpoints.iterdir())) == 2
    board = pd.read_csv(bench.out / "mine.csv")
    assert list(board["state"]) == ["done", "done"]
    for row in board.itertuples():
        own = [c for c in cells if c.entry == row.entry]
        pooled = pd.concat([predictions(c) for c in own])
        outputs = pooled[[c for c in pooled if c.startswith(OUTPUT)]]
        right = outputs.idxmax(axis=1).str.removeprefix(OUTPUT) == pooled["label"]
        assert row.accuracy == pytest.approx(right.mean(), abs=1e-6)
        assert (row.n, row.subjects) == (len(pooled), 2) == (24, pooled["subject"].nunique())
        assert row.accuracy_low <= row.accuracy <= row.accuracy_high
        fold_accuracies = [c.result().metrics["accuracy"] for c in own]  # type: ignore[union-attr]
        assert row.accuracy_fold_sd == pytest.approx(np.std(fold_accuracies, ddof=1), abs=1e-6)
    assert [path.name for path in bench.runs.rglob("question-*")] == [f"question-{cells[0].protocol_digest}.parquet"]
    page = (bench.out / "mine.md").read_text()
    assert "Only folds 0, 1 of 10" in page
    assert "3 of 200" in page, "a shortened training is told"

    before = {path: path.stat().st_mtime_ns for path in bench.runs.rglob("result.json")}
    assert bench.run()
    assert "nothing to run, 4 of 4 cells are done" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in bench.runs.rglob("result.json")} == before


def test_one_failure_is_told_and_the_others_go_on(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    cells = bench.ready(only=("fold=0",))
    broken = cells[0].checkpoints
    broken.mkdir(parents=True)
    (broken / "last.ckpt").write_bytes(b"not a checkpoint")
    assert not bench.run(only=("fold=0",))
    assert cells[0].status().state == "failed"
    assert cells[1].status().state == "done"
    status = bench.status()
    assert "1 failed" in status
    assert "failed       bu3dfe-s1-cv10@1/views/fold00/seed0" in status
    page = (bench.out / "mine.md").read_text()
    assert "0/2 done, 1 failed, 1 missing" in page
    assert "1/2 done, 1 missing" in page
    assert "| views | - |" in page, "no mean over the folds that happened to finish"
    capsys.readouterr()
    assert not bench.run(only=("fold=0",))
    assert "nothing to run" in capsys.readouterr().out, "a failure is not retried unless asked for"
    (broken / "last.ckpt").unlink()
    assert bench.run(only=("fold=0",), retry=["failed"])


@pytest.mark.parametrize("entry", ["views", "points"])
def test_a_killed_fit_continues_and_ends_as_the_uninterrupted_one(bench: Bench, entry: str) -> None:
    settings, only = ("epochs=6",), (f"entry={entry}", "fold=0")
    whole = bench.ready(*settings, only=only)[0]
    bench.fit_and_score(whole)
    expected, expected_weights = predictions(whole), torch.load(whole.checkpoints / "last.ckpt", weights_only=True)
    bench.runs = bench.runs.with_name("again")
    cell = bench.ready(*settings, only=only)[0]
    bench.kill_fit(cell, 3)
    status = cell.status()
    assert status.state == "interrupted"
    assert 3 <= status.epoch < 6, "killed in the middle"
    assert f"interrupted  bu3dfe-s1-cv10@1/{entry}/fold00/seed0  epoch {status.epoch} of 6" in bench.status()
    assert [c.id for c in pending(bench.plan(*settings, only=only).cells)] == [cell.id]
    bench.fit_and_score(cell)
    assert (cell.folder / "csv" / "attempt1" / "metrics.csv").is_file()
    resumed = pd.read_csv(cell.folder / "csv" / "attempt1" / "metrics.csv")
    assert resumed["epoch"].min() >= 2, "it did not start over"
    pd.testing.assert_frame_equal(predictions(cell), expected, check_exact=True)
    weights = torch.load(cell.checkpoints / "last.ckpt", weights_only=True)
    for name, value in expected_weights["state_dict"].items():
        assert torch.equal(value, weights["state_dict"][name]), name
    assert cell.result().selected_epoch == whole.result().selected_epoch  # type: ignore[union-attr]


def test_a_fit_that_was_asked_to_stop_is_not_taken_for_a_finished_one(bench: Bench) -> None:
    only = ("entry=views", "fold=0")
    cell = bench.ready("epochs=60", only=only)[0]
    process = fork_server(*PRELOAD).Process(target=worker.main, args=(cell.folder, "fit", 1, None))
    process.start()
    while cell.status().epoch < 2 and process.is_alive():
        time.sleep(0.02)
    process.terminate()
    process.join()
    assert process.exitcode == -signal.SIGTERM, "as launch expects it, and not 0, after which it would be scored"
    assert cell.status().state == "interrupted"
    assert cell.status().epoch < 60


def test_other_settings_are_refused_or_start_afresh(bench: Bench) -> None:
    only = ("entry=views", "fold=0")
    cell = bench.ready("epochs=1", only=only)[0]
    bench.fit_and_score(cell)
    with pytest.raises(FerBenchError, match=r"was run with another arguments\.epochs.*--overwrite"):
        pending(bench.plan("epochs=2", only=only).cells)
    assert cell.status().state == "done"
    assert len(pending(bench.plan("epochs=2", only=only).cells, overwrite=True)) == 1
    assert not (cell.folder / "result.json").exists()


def test_scoring_refuses_other_ids_than_the_folds(bench: Bench) -> None:
    cell = bench.ready("epochs=1", only=("entry=views", "fold=0"))[0]
    assert worker.work(cell, "fit", 1) == 0
    from fer_bench.data.base import FaceDataModule

    plain = FaceDataModule.predict_dataloader

    def without_the_first(data: FaceDataModule) -> DataLoader[Batch]:
        whole, data.fold = data.fold, replace(data.fold, test=data.fold.test[1:])
        loader = plain(data)
        data.fold = whole
        return loader

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FaceDataModule, "predict_dataloader", without_the_first)
        assert worker.work(cell, "score", 1) == worker.FAILED
    assert "predicted 11 samples that are not the 12 of the fold" in cell.status().message
    assert not (cell.folder / "result.json").exists()


def test_predictions_can_be_evaluated_again(bench: Bench, bu3dfe_root: Path) -> None:
    cell = bench.ready("epochs=1", only=("entry=views", "fold=0"))[0]
    bench.fit_and_score(cell)
    path = cell.folder / "predictions.parquet"
    result = cell.result()
    assert result is not None
    accuracy = f"{result.metrics['accuracy']:.4f}"
    alone = evaluate([path], "classification", None, None, None, None, None)
    asked = evaluate([path], None, "bu3dfe-s1-cv10@1", 0, None, bu3dfe_root, None)
    assert accuracy in alone
    assert accuracy in asked
    with pytest.raises(FerBenchError, match="predictions"):
        evaluate([path], None, "bu3dfe-s1-cv10@1", 1, None, bu3dfe_root, None)


def test_a_cell_that_another_process_works_on_is_left_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = bench.ready("epochs=1", only=("entry=views", "fold=0"))[0]
    cell.report("running", stage="fit")
    script = "import sys, time; from filelock import FileLock\n"
    script += "with FileLock(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", script, str(cell.folder / "cell.lock")], stdout=subprocess.PIPE)
    try:
        assert holder.stdout
        holder.stdout.readline()
        assert cell.status().state == "running"
        monkeypatch.setattr(worker, "LOCK_TIMEOUT_S", 0.1)
        assert worker.work(cell, "fit", 1) == worker.BUSY
    finally:
        holder.kill()
        holder.wait()
    assert cell.status().state == "interrupted"


def test_out_of_memory_has_a_state_of_its_own(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = bench.ready("epochs=1", only=("entry=views", "fold=0"))[0]

    def exhaust(cell: Cell, stage: str) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(worker, "_stage", exhaust)
    assert worker.work(cell, "fit", 1) == worker.FAILED
    assert cell.status().state == "oom"


def test_broken_scans_are_counted_and_change_the_question(
    bench: Bench, make_bu3dfe: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_bu3dfe(10)  # type: ignore[operator]
    honest = bench.plan().cells[0]
    test_subject = next(iter(sorted({i[:5] for i in _fold_zero(bench)})))
    (root / test_subject / f"{test_subject}_HA04WH_F3D.wrl").write_bytes(b"#VRML V2.0 utf8\n")
    monkeypatch.setenv("FER_BENCH_DATA", str(root.parent))
    bench.data = root.parent
    _open.cache_clear()
    only = ("entry=points", "fold=0")
    with pytest.raises(FerBenchError, match=rf"{test_subject}_HA04WH_F3D\.wrl.*--skip-broken"):
        bench.run("epochs=1", only=only)
    assert bench.run("epochs=1", only=only, skip_broken=True)
    cell = bench.plan("epochs=1", only=only).cells[0]
    result = cell.result()
    assert result is not None
    assert (result.n, result.broken) == (11, 1)
    assert result.protocol_digest != honest.protocol_digest
    assert "(1 samples left out)" in (bench.out / "mine.md").read_text()


def _fold_zero(bench: Bench) -> tuple[str, ...]:
    from fer_bench.registry import find_protocol

    return find_protocol("bu3dfe-s1-cv10@1").folds(_open("bu3dfe").index)[0].test


def test_a_plan_names_cells_inputs_and_what_is_missing(bench: Bench, tmp_path: Path) -> None:
    text = show_plan(str(bench.file), [], [], bench.runs, None, probed=False)
    assert text.startswith("mine: 4 cells")
    assert "planned      mine/bu3dfe-s1-cv10@1/points/fold01/seed0  points-128" in text
    assert "expected  bu3dfe-s1-cv10@1  views: 2 cells, unknown until" in text
    assert "and what is unknown: points, views" in text
    _open.cache_clear()
    with pytest.raises(DatasetNotFound, match=r"there is no such folder.*fer-bench data twin bu3dfe"):
        show_plan(str(bench.file), [], [], bench.runs, tmp_path / "nowhere")


def test_a_filter_that_fits_nothing_is_refused(bench: Bench) -> None:
    with pytest.raises(InvalidSuite, match="no cell of mine fits"):
        bench.plan(only=("fold=7",))
    with pytest.raises(InvalidSuite, match="--only folds=1: write protocol=, entry=, fold= or seed="):
        bench.plan(only=("folds=1",))
    assert {c.fold for c in bench.plan(only=("fold=1,entry=views",)).cells} == {1}


def test_the_machine_is_divided() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
        assert [(s.threads, s.devices) for s in make_slots(None, 20, 1, 0)] == [(2, None)] * 4
        assert [(s.threads, s.devices) for s in make_slots(None, 1, 1, 0)] == [(2, None)], "as among others"
        assert [(s.threads, s.devices) for s in make_slots(3, 20, 1, 0)] == [(2, None)] * 3
        assert [s.devices for s in make_slots(None, 20, 1, 4)] == ["0", "1", "2", "3"]
        assert [s.devices for s in make_slots(None, 20, 2, 4)] == ["0,1", "2,3"]
        assert [s.devices for s in make_slots(4, 20, 1, 2)] == ["0", "1", "0", "1"]
        shared = make_slots(None, 20, 1, 2, {("p", "small"): 30, ("p", "large"): 70}, 100)
        assert [s.devices for s in shared] == ["0", "1"] * 4
        with pytest.raises(FerBenchError, match=r"asks for 4 GPUs \(trainer.devices\), and there are 2"):
            make_slots(None, 20, 4, 2)


def test_cells_share_a_gpu_as_far_as_its_memory_goes(bench: Bench) -> None:
    cell = bench.plan().cells[0]
    small, large, unknown = (replace(cell, entry=name) for name in ("small", "large", "unknown"))
    known = {(cell.protocol, "small"): 30, (cell.protocol, "large"): 61}

    def room(new: Cell, *others: Cell, memory: dict[tuple[str, str], int] | None = known) -> bool:
        slots = [Slot(1, "0", memory, 100, other, process=multiprocessing.Process()) for other in others]
        elsewhere = Slot(1, "1", memory, 100, large, process=multiprocessing.Process())
        mine = Slot(1, "0", memory, 100)
        return mine.has_room(new, [*slots, elsewhere, mine])

    assert room(large)
    assert room(unknown), "alone"
    assert room(small, small, small), "90 of 100"
    assert not room(small, small, small, small)
    assert not room(small, large), "91 of 100"
    assert not room(small, unknown)
    assert not room(unknown, small)
    assert room(large, large, memory=None), "the user said how many"


def test_a_cell_is_read_back_as_it_was_written(bench: Bench) -> None:
    cell = bench.plan().cells[0]
    cell.write()
    assert Cell.read(cell.folder).differences(cell) == []
    content = json.loads((cell.folder / "cell.json").read_text())
    assert content["arguments"]["weight_decay"] == 0.05, "defaults are resolved"


@pytest.mark.slow
def test_two_processes_train_together(bench: Bench) -> None:
    facet = (
        "{method: facet_vlm, size: nano, pretrained: false, image_size: 32, yaws: [0], batch_size: 8, warmup_epochs: 1}"
    )
    bench.file.write_text(bench.suite.replace("folds:", f"  language: {facet}\nfolds:"))
    assert bench.run("trainer.devices=2", "epochs=2", only=("fold=0",), jobs=1)
    cells = bench.plan("trainer.devices=2", "epochs=2", only=("fold=0",)).cells
    assert [cell.entry for cell in cells] == ["views", "points", "language"]
    for cell in cells:
        result = cell.result()
        assert result is not None
        assert result.n == 12
