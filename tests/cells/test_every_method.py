"""Every method as a cell on a twin, by what each can do, never by name: trained twice, interrupted, and by two."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_origin, get_type_hints

import lightning.pytorch as L
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from fer_bench import registry
from fer_bench.cells import fit
from fer_bench.cells.cell import Cell
from fer_bench.data.fold_batches import FoldDataModule
from fer_bench.launch import worker
from fer_bench.launch.local import pending
from fer_bench.launch.planning import Plan, _open, make_plan
from fer_bench.methods.affect_losses import concordance
from fer_bench.methods.base import Method
from fer_bench.methods.training_faces import neutral_of
from fer_bench.protocols import PROTOCOLS
from fer_bench.records import Batch, TrainingSet
from fer_bench.representations.cache import prepare
from fer_bench.representations.photo_morphable import PhotoMorphable
from fer_bench.suites.reading import read_suite
from tests.small_methods import MADE_FOR, build, small
from tests.trap import set_trap

if TYPE_CHECKING:
    from tests.suite_runner import Bench

# A question of each kind that twins of a few people can ask; micro-expressions would be whole videos.
QUESTIONS = ("bu3dfe-drfer60-cv10@1", "coma-interpolation@1", "affectnet8@1", "affectnet-va@1")
ASKED = [(name, task) for name, task in MADE_FOR if task in {PROTOCOLS[q].task for q in QUESTIONS}]
SIZES = {"train": 19, "val": 7, "test": 7}
"""Samples of a fold, which nothing divides evenly."""
TRAINED = [(name, task) for name, task in ASKED if build(name, task).epochs]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, bu3dfe_root: Path) -> Path:
    """Twins of two people, and a BU-3DFE."""
    folder = tmp_path_factory.mktemp("every")
    for name in ("coma", "affectnet"):
        registry.load_twin(name)(folder / name, subjects=2)
    (folder / "bu3dfe").symlink_to(bu3dfe_root)
    return folder


@pytest.fixture
def every(bench: Bench, data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A place whose folds are small."""
    monkeypatch.setenv("FER_BENCH_DATA", str(data))
    plain = fit.open_fold

    def few(cell: Cell, batch_size: int) -> FoldDataModule:
        found = plain(cell, batch_size)
        # From all over the fold, so that there is more than one person, and more than one expression.
        parts = {name: getattr(found.fold, name) for name in SIZES}
        few = {name: part[:: max(1, len(part) // SIZES[name])][: SIZES[name]] for name, part in parts.items()}
        found.fold = replace(found.fold, **few)
        return found

    monkeypatch.setattr(fit, "open_fold", few)
    _open.cache_clear()
    yield bench


def cell_of(
    bench: Bench, name: str, task: str, batch_size: int, options: Mapping[str, Any] | None = None, **trainer: Any
) -> Cell:
    """A cell of the method at its smallest, ready to be worked on."""
    hints = get_type_hints(registry.load_method(name).__init__)
    chosen: dict[str, Any] = {"method": name, **small(name), **(options or {})}
    chosen |= {
        key: value for key, value in {"image_size": 32, "points": 128, "missing": "zero"}.items() if key in hints
    }
    stages = len(build(name, task).stages)
    sizes: Any = {"batch_size": batch_size} if "batch_size" in hints else {"batch_sizes": [batch_size] * stages}
    suite = {
        "protocols": [question for question in QUESTIONS if PROTOCOLS[question].task == task],
        "methods": {"it": {**chosen, **sizes}},
        "folds": [0],
        "trainer": {"accelerator": "cpu", "max_epochs": 2, **trainer},
    }
    bench.file.write_text(yaml.safe_dump(suite))

    def plan() -> Plan:
        return make_plan("mine", read_suite(bench.file), bench.runs)

    for need in plan().needs:
        prepare(
            Path(os.environ["FER_BENCH_CACHE"]), need.source, need.representations, need.dataset.load, skip_broken=True
        )
    return pending(plan().cells)[0]


def saved(cell: Cell) -> dict[str, Any]:
    """All numbers that a finished cell leaves."""
    state = torch.load(cell.checkpoints / "best.ckpt", weights_only=True)["state_dict"]
    arrays = {path.name: np.load(path) for path in cell.folder.glob("*.npy")}
    table = pd.read_parquet(cell.folder / "predictions.parquet")
    outputs = table[[name for name in table if name.startswith("output_")]].to_numpy()
    return {**{name: value.numpy() for name, value in state.items()}, **arrays, "outputs": outputs}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), ASKED)
def test_a_cell_gives_the_same_bits_again_also_after_an_interruption(
    every: Bench, name: str, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = cell_of(every, name, task, 8)
    every.fit_and_score(whole)
    every.runs = every.runs.with_name("again")
    cell = cell_of(every, name, task, 8)
    if build(name, task).epochs:
        begin = fit.ReseedEachEpoch.on_train_epoch_start

        def interrupted(self: fit.ReseedEachEpoch, trainer: L.Trainer, method: Method) -> None:
            if trainer.current_epoch == 1:
                raise RuntimeError("stopped here")
            begin(self, trainer, method)

        with monkeypatch.context() as patch:
            patch.setattr(fit.ReseedEachEpoch, "on_train_epoch_start", interrupted)
            assert worker.work(cell, "fit", 1) == worker.FAILED
        assert "stopped here" in cell.status().message and cell.begun
        torch.manual_seed(1234)  # whatever was drawn in between
    every.fit_and_score(cell)
    expected, found = saved(whole), saved(cell)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        assert value.tobytes() == found[key].tobytes(), key


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), ASKED)
def test_what_is_trained_does_not_depend_on_the_labels_of_test_samples(
    every: Bench, name: str, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cell_of(every, name, task, 8)
    assert worker.work(cell, "fit", 1) == 0, cell.status()
    every.runs = every.runs.with_name("trapped")
    trapped = cell_of(every, name, task, 8)
    set_trap(monkeypatch, trapped, registry.find_protocol(cell.protocol).folds(_index(cell))[0].test)
    assert worker.work(trapped, "fit", 1) == 0, trapped.status()
    before, after = (torch.load(c.checkpoints / "best.ckpt", weights_only=True)["state_dict"] for c in (cell, trapped))
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert value.numpy().tobytes() == after[key].numpy().tobytes(), key


def _index(cell: Cell) -> pd.DataFrame:
    (part,) = cell.parts
    index: pd.DataFrame = registry.load_dataset(part.dataset).index(Path(part.root))
    return index


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), TRAINED)
def test_two_processes_train_a_cell_as_one(every: Bench, name: str, task: str) -> None:
    from tests.cells.test_distributed import train

    exact = not isinstance(build(name, task).representations[0], PhotoMorphable)  # float32 numbers among its bytes
    expected = train(cell_of(every, name, task, 8), exact, SIZES)
    every.runs = every.runs.with_name("together")
    curves = train(cell_of(every, name, task, 4, devices=2), exact, SIZES)
    columns = [column for column in expected if column.startswith(("train/", "val/"))]
    assert "train/loss" in columns and len(expected) == 2
    pd.testing.assert_frame_equal(curves[columns], expected[columns], rtol=1e-7 if exact else 1e-3)


# What is sampled or varied at random in training keeps a network from fitting a few samples; it is left out.
CALM = {
    **{"augmentation": "none", "dropout": 0.0, "masking": 0.0, "max_point_dropout": 0.0, "drop_path": 0.0},
    "statistics": "faces",  # predicted identities beside the faces change what the encoder normalises by
}
STEPS = {"disentanglement": 1200}
"""Of the last stage at most, 400 unless named; earlier stages have a quarter of it."""


def fitted(method: Method, batch: Batch, training: TrainingSet) -> float:
    """How well the outputs that would be scored fit the batch: accuracy, mean concordance, or minus the error in mm."""
    method.eval()
    with torch.no_grad():
        made = method.predict(batch["input"])
    if method.target.task == "classification":
        return float((made["output"].argmax(1) == batch["label"]).double().mean())
    if method.target.task == "valence_arousal":
        return float(concordance(made["output"].double(), batch["label"].double()).mean())
    if "reconstruction" in made:
        return -float((made["reconstruction"] - batch["input"]).norm(dim=-1).mean())
    subjects = [training.subject[i] for i in batch["id"]]
    neutral = neutral_of(training)
    return -float((made["identity"] - torch.stack([neutral[s] for s in subjects])).norm(dim=-1).mean())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), TRAINED)
def test_a_few_samples_can_be_fitted_as_they_are_scored(every: Bench, name: str, task: str) -> None:
    """A network that cannot be fitted to 19 samples of a twin, in the mode that it is scored in, cannot learn."""
    hints = get_type_hints(registry.load_method(name).__init__)
    calm = {key: value for key, value in CALM.items() if key in hints}
    if get_origin(hints.get("dropout")) is tuple:
        calm["dropout"] = (0.0, 0.0)
    cell = cell_of(every, name, task, SIZES["train"], options=calm)
    data, method = fit.build(cell)
    method.initialise()
    training = data.training_set()
    method.setup_from_training_set(training)
    batch = next(iter(data.train_dataloader()))
    wanted = 0.98 if task == "classification" else 0.95
    if task == "disentanglement":
        # A few meshes of two people lie in as many dimensions as the codes have: one of each is the bar.
        linear = registry.load_method("linear_face_model")(method.target, (1, 1), count=cell.arguments["count"])
        linear.configure_for_input(batch["input"].shape[1:], data.entry.shared)
        linear.setup_from_training_set(training)
        wanted = fitted(linear, batch, training) if "reconstruction" in method.predict(batch["input"]) else -0.5
    most, step, score = STEPS.get(task, 400), 0, -np.inf
    for stage in method.stages:
        method.on_stage_start(stage)
        optimizer = torch.optim.Adam([p for p in method.parameters() if p.requires_grad], 1e-3)
        fade = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, most)
        for step in range(1, (most if stage is method.stages[-1] else most // 4) + 1):
            method.train()
            optimizer.zero_grad()
            method.loss(batch).backward()
            optimizer.step()
            fade.step()
            if stage is method.stages[-1] and step % 20 == 0 and (score := fitted(method, batch, training)) >= wanted:
                break
    print(f"OVERFIT {name} {task}: {step} steps, {score:.3f} of {wanted:.3f}")
    assert score >= wanted, f"{score:.3f} after {step} steps"
