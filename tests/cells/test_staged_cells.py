"""Training in stages: what each leaves to the next, and what a kill in the middle does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import torch

from fer_bench.cells.cell import Cell
from fer_bench.cells.fit import build
from fer_bench.launch.local import pending

if TYPE_CHECKING:
    from tests.suite_runner import Bench

STAGED = """
protocols: [bu3dfe-drfer60-cv10@1]
methods:
  whole: {method: drfer, size: nano, points: 128, epochs: [1, 3, 1]}
  first: {method: drfer, size: nano, points: 128, epochs: [2, 0, 0]}
  other: {method: drfer, size: nano, points: 128, epochs: [2, 0, 1], batch_sizes: [24, 24, 11]}
folds: [0]
trainer: {accelerator: cpu}
"""


@pytest.fixture
def staged(bench: Bench) -> Bench:
    bench.file.write_text(STAGED)
    return bench


def weights(path: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


def cell_of(bench: Bench, entry: str, *settings: str) -> Cell:
    return bench.ready(*settings, only=(f"entry={entry}",))[0]


def test_a_fit_killed_in_its_second_stage_ends_as_the_uninterrupted_one(staged: Bench) -> None:
    whole = cell_of(staged, "whole")
    staged.fit_and_score(whole)
    expected = pd.read_parquet(whole.folder / "predictions.parquet")
    result = whole.result()
    assert result is not None and result.epochs == 5 and result.selected_epoch == 0
    left = {p.relative_to(whole.checkpoints).as_posix() for p in whole.checkpoints.rglob("*.ckpt")}
    assert left == {"i/end.ckpt", "ii/end.ckpt", "best.ckpt", "last.ckpt"}
    staged.runs = staged.runs.with_name("again")
    cell = cell_of(staged, "whole")
    staged.kill_fit(cell, 3)
    status = cell.status()
    assert (status.state, status.epochs) == ("interrupted", 5)
    assert status.epoch == 3, "killed in the middle of stage ii, which ends at 4"
    first = (cell.checkpoints / "i" / "end.ckpt").stat().st_mtime_ns
    assert (cell.checkpoints / "ii" / "last.ckpt").exists() and not (cell.checkpoints / "ii" / "end.ckpt").exists()
    assert [c.status().state for c in pending(staged.plan(only=("entry=whole",)).cells)] == ["interrupted"]
    staged.fit_and_score(cell)
    assert (cell.checkpoints / "i" / "end.ckpt").stat().st_mtime_ns == first, "stage i was not trained again"
    resumed = pd.read_csv(cell.folder / "ii" / "csv" / "attempt1" / "metrics.csv")
    assert resumed["epoch"].min() >= 1, "nor was stage ii begun anew"
    pd.testing.assert_frame_equal(pd.read_parquet(cell.folder / "predictions.parquet"), expected, check_exact=True)
    for name in left:
        again = weights(cell.checkpoints / name)
        for key, value in weights(whole.checkpoints / name).items():
            assert torch.equal(value, again[key]), (name, key)


def test_a_stage_without_epochs_is_left_out_and_the_last_one_is_scored(staged: Bench) -> None:
    only = cell_of(staged, "first")
    staged.fit_and_score(only)
    assert sorted(p.name for p in only.checkpoints.rglob("*")) == ["best.ckpt", "last.ckpt"]
    assert only.result().epochs == 2  # type: ignore[union-attr]
    last = weights(only.checkpoints / "last.ckpt")
    other = cell_of(staged, "other")
    staged.fit_and_score(other)
    # One seed, one stage i: what it ends with does not depend on what follows.
    for key, value in weights(other.checkpoints / "i" / "end.ckpt").items():
        assert torch.equal(value, last[key]), key


def test_each_stage_has_its_own_batches_and_optimiser(staged: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = cell_of(staged, "other")
    seen: list[tuple[str, int, float]] = []
    seeds: set[int] = set()
    _, method = build(cell)
    plain = type(method).training_step

    def spy(self: Any, batch: Any, number: int) -> torch.Tensor:
        seen.append((self.stage.name, len(batch["id"]), self.optimizers().param_groups[0]["lr"]))
        seeds.add(torch.initial_seed())
        return plain(self, batch, number)

    monkeypatch.setattr(type(method), "training_step", spy)
    staged.fit_and_score(cell)
    sizes = {name: max(size for stage, size, _ in seen if stage == name) for name in ("i", "iii")}
    assert sizes == {"i": 24, "iii": 11}
    assert {rate for stage, _, rate in seen if stage == "iii"} == {1e-5}
    assert {stage for stage, _, _ in seen} == {"i", "iii"}
    assert len(seeds) == 3, "no two epochs draw the same random numbers, whatever their stages"


def test_shortened_trainings_shorten_every_stage(staged: Bench) -> None:
    cell = cell_of(staged, "whole", "trainer.max_epochs=1")
    staged.fit_and_score(cell)
    assert cell.result().epochs == 3  # type: ignore[union-attr]


def test_a_protocol_without_the_scans_that_training_needs_is_skipped(staged: Bench) -> None:
    staged.file.write_text(STAGED.replace("protocols: [", "protocols: [bu3dfe-s1-cv10@1, "))
    plan = staged.plan()
    assert {cell.protocol for cell in plan.cells} == {"bu3dfe-drfer60-cv10@1"}
    why = plan.skipped["bu3dfe-s1-cv10@1", "whole"]
    assert why.startswith("drfer needs samples of the training subjects besides the classes, and bu3dfe-s1-cv10@1 has")
    assert "bu3dfe-drfer60-cv10@1" in why


def test_a_division_is_one_of_many(staged: Bench) -> None:
    staged.file.write_text(STAGED.replace("folds: [0]\n", ""))
    assert {cell.fold for cell in staged.plan().cells} == set(range(10))
    assert {cell.fold for cell in staged.plan("repeats=3").cells} == set(range(30))
    assert len({cell.fold for cell in staged.plan("repeats=2000", only=("entry=first",)).cells}) == 1000


@pytest.mark.slow
def test_two_processes_train_every_stage_together(staged: Bench) -> None:
    assert staged.run("trainer.devices=2", only=("entry=whole",), jobs=1)
    (cell,) = staged.plan("trainer.devices=2", only=("entry=whole",)).cells
    result = cell.result()
    assert result is not None and (result.n, result.epochs) == (12, 5)
    assert {p.name for p in cell.checkpoints.glob("*/*.ckpt")} == {"end.ckpt"}


def test_a_fit_killed_between_stages_begins_where_the_last_one_ended(staged: Bench) -> None:
    cell = cell_of(staged, "other")
    staged.fit_and_score(cell)
    expected = weights(cell.checkpoints / "last.ckpt")
    for name in ("last.ckpt", "best.ckpt"):
        (cell.checkpoints / name).unlink()
    cell.report("interrupted", stage="fit")
    staged.fit_and_score(cell)
    for key, value in weights(cell.checkpoints / "last.ckpt").items():
        assert torch.equal(value, expected[key]), key
