"""What is trained does not depend on the labels of test samples, and whoever asks for one in training fails."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as L
import pandas as pd
import pytest
import torch

from fer_bench import registry
from fer_bench.cells import fit
from fer_bench.cells.cell import Cell
from fer_bench.data.fold_batches import FoldDataModule
from fer_bench.launch import worker
from fer_bench.launch.local import pending
from fer_bench.launch.planning import _open, make_plan
from fer_bench.methods.base import Method
from fer_bench.records import TrainingSet
from fer_bench.representations.cache import prepare
from fer_bench.representations.joined_entries import JoinedEntry
from fer_bench.suites.reading import read_suite
from tests.trap import set_trap

if TYPE_CHECKING:
    from tests.suite_runner import Bench

# One dataset and two joined; batches alone, stages and what is made of the whole fold, and sampling by class.
SUITES = {
    "views": "bu3dfe-s1-cv10@1",
    "staged": "bu3dfe-drfer60-cv10@1",
    "balanced": "affectnet8@1",
    "joined": "bu4dfe-to-bp4d@1",
}
ENTRIES = """
  views: {method: mit, size: nano, pretrained: false, yaws: [0], image_size: 16, patch_size: 8, epochs: 2}
  staged: {method: drfer, size: nano, points: 128, epochs: [1, 1, 1], batch_sizes: [8, 8, 8]}
  balanced: {method: ddamfn, pretrained: false, sampling: balanced, epochs: 1, batch_size: 8}
  joined: {method: mit, size: nano, pretrained: false, yaws: [0, 20], image_size: 16, patch_size: 8, frames: 3,
           window: 2, epochs: 1, batch_size: 8}
"""


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training folds are small, and test folds whole."""
    plain = fit.open_fold

    def less(cell: Cell, batch_size: int) -> FoldDataModule:
        found = plain(cell, batch_size)
        # In steps that share no factor with the number of scans of a person, so that every class is left.
        train, val = (part[:: 6 * (len(part) // 144) + 5] for part in (found.fold.train, found.fold.val))
        found.fold = replace(found.fold, train=train, val=val)
        return found

    monkeypatch.setattr(fit, "open_fold", less)


Data = Callable[[str], Path]
PEOPLE = {"affectnet": 2, "bu4dfe": 4, "bp4d": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, bu3dfe_root: Path) -> Data:
    """Protocol -> a folder that holds what it asks for, made where it is not there yet."""
    folder = tmp_path_factory.mktemp("firewall")
    (folder / "bu3dfe").symlink_to(bu3dfe_root)

    def of(protocol: str) -> Path:
        for name in registry.find_protocol(protocol).datasets:
            if not (folder / name).exists():
                registry.load_twin(name)(folder / name, subjects=PEOPLE[name])
        return folder

    return of


def cell_of(bench: Bench, data: Data, entry: str, monkeypatch: pytest.MonkeyPatch) -> Cell:
    monkeypatch.setenv("FER_BENCH_DATA", str(data(SUITES[entry])))
    _open.cache_clear()
    line = ENTRIES[ENTRIES.index(f"  {entry}:") :].partition("}")[0] + "}"
    bench.file.write_text(
        f"protocols: [{SUITES[entry]}]\nmethods:\n{line}\nfolds: [0]\ntrainer: {{accelerator: cpu}}\n"
    )
    for need in make_plan("mine", read_suite(bench.file), bench.runs).needs:
        prepare(
            Path(os.environ["FER_BENCH_CACHE"]), need.source, need.representations, need.dataset.load, skip_broken=True
        )
    return pending(make_plan("mine", read_suite(bench.file), bench.runs).cells)[0]


def trained(cell: Cell) -> dict[str, torch.Tensor]:
    """Every number that a training leaves behind."""
    found = {}
    for path in sorted(cell.checkpoints.rglob("*.ckpt")):
        for name, value in torch.load(path, weights_only=True)["state_dict"].items():
            found[f"{path.relative_to(cell.checkpoints)}: {name}"] = value
    for path in sorted(cell.folder.rglob("metrics.csv")):
        curves = pd.read_csv(path).select_dtypes("number").to_numpy()
        found[str(path.relative_to(cell.folder))] = torch.from_numpy(curves)
    return found


@pytest.mark.parametrize("entry", SUITES)
def test_training_never_reads_a_test_label(
    bench: Bench, data: Data, entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cell_of(bench, data, entry, monkeypatch)
    assert worker.work(cell, "fit", 1) == 0, cell.status()
    honest = fit.open_fold(cell, 8)
    assert isinstance(honest.entry, JoinedEntry) == (entry == "joined")
    trapped = replace(cell, folder=tmp_path / "trapped")
    trapped.folder.mkdir()
    trapped.write()
    set_trap(monkeypatch, cell, honest.fold.test)
    lying = fit.open_fold(trapped, 8)
    assert lying.fold == honest.fold, "who trains, validates and is tested does not depend on it either"
    assert not lying._beside.loc[list(honest.fold.test)].equals(honest._beside.loc[list(honest.fold.test)])
    assert worker.work(trapped, "fit", 1) == 0, trapped.status()
    before, after = trained(cell), trained(trapped)
    assert before.keys() == after.keys() and len(before) > 10
    for name, value in before.items():
        assert value.numpy().tobytes() == after[name].numpy().tobytes(), name


def reads_in_observe(method: Method, training: TrainingSet, test: tuple[str, ...]) -> object:
    return training.read(test[:1])


def asks_the_training_set(method: Method, training: TrainingSet, test: tuple[str, ...]) -> object:
    return training.label[test[0]]


def asks_who_it_is(method: Method, training: TrainingSet, test: tuple[str, ...]) -> object:
    return training.subject[test[0]]


@pytest.mark.parametrize("peek", [reads_in_observe, asks_the_training_set, asks_who_it_is])
def test_a_method_that_observes_a_test_sample_fails(
    bench: Bench, data: Data, peek: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cell_of(bench, data, "views", monkeypatch)
    test = fit.open_fold(cell, 8).fold.test
    method = registry.load_method(cell.method)
    monkeypatch.setattr(method, "setup_from_training_set", lambda self, training: peek(self, training, test))
    assert worker.work(cell, "fit", 1) == worker.FAILED
    assert test[0] in cell.status().message
    assert not cell.begun


def in_the_index(data: FoldDataModule, test: tuple[str, ...]) -> object:
    return data.samples.set_index("id").loc[test[0], "label"]


def in_batches(data: FoldDataModule, test: tuple[str, ...]) -> object:
    return data._known(test)


def as_training_samples(data: FoldDataModule, test: tuple[str, ...]) -> object:
    data.fold = replace(data.fold, train=(*data.fold.train, *test))
    return data.train_dataloader()


@pytest.mark.parametrize("peek", [in_the_index, in_batches, as_training_samples])
@pytest.mark.parametrize("stage", ["fit", "probe"])
def test_a_step_that_asks_for_a_test_label_fails(
    bench: Bench, data: Data, peek: Callable[..., object], stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cell_of(bench, data, "views", monkeypatch)
    method = registry.load_method(cell.method)
    plain = method.training_step

    def step(self: L.LightningModule, batch: Any, number: int) -> object:
        module: FoldDataModule = self.trainer.datamodule  # type: ignore[attr-defined]
        peek(module, module.fold.test)
        return plain(self, batch, number)  # type: ignore[arg-type]

    monkeypatch.setattr(method, "training_step", step)
    test = fit.open_fold(cell, 8).fold.test
    assert worker.work(cell, stage, 1) == worker.FAILED
    assert test[0] in cell.status().message


def test_what_is_predicted_comes_without_labels_and_can_be_asked_for_after_withholding(
    bench: Bench, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = fit.open_fold(cell_of(bench, data, "staged", monkeypatch), 8)
    module.drop_test_samples()
    assert set(module.samples["id"]) == {*module.fold.train, *module.fold.val, *module.fold.auxiliary}
    batches = list(module.predict_dataloader())
    assert sorted(i for batch in batches for i in batch["id"]) == sorted(module.fold.test)
    assert all((batch["label"] == -1).all() for batch in batches)
