"""Suites on a real Slurm: two nodes, tasks that are cancelled, warned, preempted and lost, and one cell on both."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from fer_bench import registry
from fer_bench.cells.cell import Cell
from fer_bench.commands import prepare
from fer_bench.launch import worker
from fer_bench.launch.local import pending
from fer_bench.representations.cache_entry import entry_path
from tests.slurm.conftest import told

if TYPE_CHECKING:
    from tests.slurm.conftest import Place

pytestmark = pytest.mark.slurm

VIEWS = "{method: mit, size: nano, pretrained: false, yaws: [0], image_size: 16, patch_size: 8, epochs: 3}"
SUITE = f"""
protocols: [bu3dfe-s1-cv10@1]
methods:
  views: {VIEWS}
  other: {VIEWS}
folds: [0, 1]
trainer: {{accelerator: cpu}}
"""
LONG = """
protocols: [bu3dfe-s1-cv10@1]
methods:
  points: {method: pointnet2, size: nano, points: 128, epochs: 40}
folds: [0]
trainer: {accelerator: cpu}
"""


def predictions(cell: Cell) -> pd.DataFrame:
    return pd.read_parquet(cell.folder / "predictions.parquet")


def trained_here(place: Place, *settings: str) -> Cell:
    """The suite's first cell, trained by this process and never interrupted."""
    place.runs = place.runs.with_name("here")
    cell = pending(place.cells(*settings)[:1])[0]
    for stage in ("fit", "score"):
        assert worker.work(cell, stage, 1) == 0, cell.status()
    return cell


def test_a_suite_is_packed_left_alone_and_attached(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.suite.write_text(SUITE)
    place.profile.write_text(f"{place.profile.read_text()}\npack: 2\njobs: 1\nparallel: 1\n")
    assert place.run(detach=True)
    assert "mine: 4 of 4 cells handed to Slurm (job " in capsys.readouterr().out
    cells = place.cells()
    assert [len(each["tasks"]) for each in read_record(place)] == [2], "an array of two tasks of two cells"
    assert place.status().count("  queued ") + place.status().count("  running ") == 4
    place.run(detach=True)
    assert "mine: 0 of 4 cells handed to Slurm, 4 were there already" in capsys.readouterr().out
    place.wait(lambda: "  running " in place.status())
    assert place.run(), place.logs()
    out = capsys.readouterr().out
    assert out.count("done    bu3dfe") == 4
    assert len(read_record(place)) == 1, "nothing was submitted twice"
    assert place.status().startswith("mine: 4 done\n")
    for cell in cells:
        for name in ("result.json", "log.txt", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "csv/attempt0"):
            assert (cell.folder / name).exists(), name
    assert (place.out / "mine.md").is_file()
    pd.testing.assert_frame_equal(predictions(cells[0]), predictions(trained_here(place)), check_exact=True)


def read_record(place: Place) -> list[dict[str, list[list[str]]]]:
    return [json.loads(path.read_text()) for path in (place.runs / "mine" / "slurm").glob("*.json")]


def test_a_cell_survives_everything_and_ends_as_if_nothing_had_been(place: Place) -> None:
    place.suite.write_text(LONG)
    assert place.run(detach=True)
    (cell,) = place.cells()
    task = place.task(cell)

    def goes_on(epochs: int) -> None:
        before = cell.status().epoch
        place.wait(lambda: place.status().count("  running ") == 1 and cell.status().epoch >= before + epochs)

    goes_on(2)
    subprocess.run(["scancel", task], check=True)
    place.wait_for(task, "CANCELLED")
    assert "1 cancelled" in place.status()
    assert f"task {task}: CANCELLED; asked to stop" in place.status()
    before = cell.status().epoch

    assert place.run(detach=True), "what was cancelled is handed over again"
    second = place.task(cell)
    assert second != task
    goes_on(2)
    assert cell.status().epoch > before

    # As Slurm warns before a task's time is over; this one still has most of it.
    subprocess.run(["scancel", "--signal=USR2", second], check=True)
    place.wait_for(second, "PENDING")
    assert "1 queued" in place.status()
    assert "; preempted" in place.status()
    goes_on(2)

    urgent = subprocess.Popen(["srun", "--partition=urgent", "--nodes=2", "--exclusive", "sleep", "1"])
    place.wait_for(second, "PENDING")
    assert urgent.wait(timeout=60) == 0
    goes_on(2)

    node = told("squeue", "--noheader", f"--job={second}", "--format=%N").strip()
    processes = told("pgrep", "-f", rf"slurmstepd: \[{second}").split()
    subprocess.run(["scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test"], check=True)
    place.wait_for(second, "PENDING", "CONFIGURING")
    # A node that is handed a task of which it still has processes is drained by Slurm ("Duplicate jobid").
    place.wait(lambda: not any(Path(f"/proc/{process}").exists() for process in processes))
    subprocess.run(["scontrol", "update", f"NodeName={node}", "State=RESUME"], check=True)
    goes_on(1)

    assert place.run(), (place.status(), place.logs())
    attempts = sorted((cell.folder / "csv").glob("attempt*"))
    assert len(attempts) == 5, "a warning, a preemption, a lost node and a cancellation"
    epochs = [pd.read_csv(path / "metrics.csv")["epoch"] for path in attempts]
    assert all(later.min() >= earlier.max() for earlier, later in pairwise(epochs)), "no attempt began anew"
    assert cell.result().epochs == 40  # type: ignore[union-attr]
    pd.testing.assert_frame_equal(predictions(cell), predictions(trained_here(place)), check_exact=True)


def test_two_nodes_train_one_cell(place: Place) -> None:
    place.suite.write_text(SUITE)
    settings = ("trainer.num_nodes=2", "folds=[0]", "methods={views: " + VIEWS + "}")
    assert place.run(*settings), place.logs()
    (cell,) = place.cells(*settings)
    logs = place.logs()
    print(logs)
    assert "node=0(2), global_rank=0(2)" in logs
    assert "node=1(2), global_rank=1(2)" in logs
    assert "GLOBAL_RANK: 0, MEMBER: 1/2" in (cell.folder / "log.txt").read_text()
    assert "GLOBAL_RANK: 1, MEMBER: 2/2" in (cell.folder / "log-process1.txt").read_text()
    table = predictions(cell)
    assert len(table) == table["id"].nunique() == 12
    assert place.status(*settings).startswith("mine: 1 done\n")

    # The same two processes, under a name by which Lightning would take each for the only one.
    command = [sys.executable, "-m", "fer_bench.launch.worker", str(cell.folder), "fit", "1"]
    (cell.folder / "checkpoints" / "last.ckpt").unlink()
    cell.report("interrupted", stage="fit")
    done = subprocess.run(
        ["srun", "--job-name=bash", "--nodes=2", "--ntasks-per-node=1", *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode != 0
    assert "the Slurm job is named 'bash', which Lightning takes for a terminal" in cell.status().message
    assert not (cell.folder / "checkpoints" / "last.ckpt").exists(), "no step was made"


def test_a_dataset_is_prepared_in_shards(
    place: Place, bu3dfe_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = registry.load_dataset("bu3dfe")
    points = registry.load_representation("points:count=64").resolve(dataset.offers(bu3dfe_root))
    paths = []
    for name in ("one", "shards"):
        monkeypatch.setenv("FER_BENCH_CACHE", str(place.folder / name))
        slurm = prepare.SlurmOptions(place.profile, 3, False) if name == "shards" else None
        prepare.prepare("bu3dfe", bu3dfe_root, ["points:count=64"], 1, False, None, slurm)
        paths.append(entry_path(place.folder / name, dataset.source(bu3dfe_root), points))
    out = capsys.readouterr().out
    assert "bu3dfe: 3 shards handed to Slurm (job " in out
    assert out.count(" completed (task ") == 3
    assert "250 of 250 samples were extracted before" in out
    one, shards = paths
    assert np.array_equal(np.load(one / "array.npy"), np.load(shards / "array.npy"))
    for name in ("array.npy", "checksums.npy", "manifest.json"):
        assert (one / name).read_bytes() == (shards / name).read_bytes(), name
    assert not list(shards.parent.glob(".*")), "no shard is left"
