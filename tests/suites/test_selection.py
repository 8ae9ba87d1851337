"""Which epoch is scored: by validation, the last, or, to measure what that buys, the best on the test samples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import lightning.pytorch as L
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from fer_bench import registry
from fer_bench.cells import fit
from fer_bench.cells import score as scoring
from fer_bench.cells.cell import Cell
from fer_bench.commands.plan import show_plan
from fer_bench.errors import FerBenchError, InvalidSuite, UnknownName
from fer_bench.launch import worker
from fer_bench.metrics import score
from fer_bench.predictions.pooling import arrays
from fer_bench.protocols import PROTOCOLS
from fer_bench.suites.reading import read_suite
from fer_bench.suites.selection import CHOSEN_ON_TEST
from tests.conftest import OWN_METHODS

if TYPE_CHECKING:
    from tests.suite_runner import Bench

EPOCHS = 12
SUITE = f"""
protocols: [bu3dfe-s1-cv10@1]
methods:
  by-validation: &trial {{method: trial, epochs: {EPOCHS}}}
  by-last: {{<<: *trial, selection: last}}
  by-test: {{<<: *trial, selection: best_on_test}}
folds: [0]
trainer: {{accelerator: cpu}}
"""


@pytest.fixture
def rules(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("FER_BENCH_METHODS", str(OWN_METHODS))
    registry._docstrings.cache_clear()  # which methods there are
    bench.file.write_text(SUITE)
    yield bench
    registry._docstrings.cache_clear()


def cell_of(bench: Bench, entry: str) -> Cell:
    return bench.ready(only=(f"entry={entry}",))[0]


def table_of(cell: Cell, name: str = "predictions") -> pd.DataFrame:
    return pd.read_parquet(cell.folder / f"{name}.parquet")


def accuracy(table: pd.DataFrame) -> float:
    protocol = PROTOCOLS["bu3dfe-s1-cv10@1"]
    return score(protocol.task, *arrays(protocol, table), protocol.classes)["accuracy"]


def by_hand(cell: Cell) -> list[pd.DataFrame]:
    """What each kept epoch predicts of the test samples."""
    data, method = fit.build(cell)
    tables = []
    for path in sorted(cell.kept.iterdir()):
        method.load_state_dict(torch.load(path, weights_only=True)["state_dict"])
        ids, found = scoring.predict(scoring.predictor(cell), method, data.predict_dataloader())
        table = pd.DataFrame(found["output"], columns=[f"output_{name}" for name in data.protocol.classes])
        tables.append(table.assign(id=ids, label=data.samples.set_index("id").loc[ids, "label"].to_numpy()))
    return tables


def test_each_rule_scores_its_epoch_of_one_and_the_same_training(rules: Bench) -> None:
    cells = {entry: cell_of(rules, entry) for entry in ("by-validation", "by-last", "by-test")}
    for cell in cells.values():
        assert worker.work(cell, "fit", 1) == 0, cell.status()
    peeked = cells["by-test"]
    assert [path.name for path in sorted(peeked.kept.iterdir())] == [f"{n:04d}.ckpt" for n in range(EPOCHS)]
    assert not cells["by-validation"].kept.exists() and not cells["by-last"].kept.exists()
    last = torch.load(peeked.checkpoints / "last.ckpt", weights_only=True)["state_dict"]
    kept = torch.load(peeked.kept / f"{EPOCHS - 1:04d}.ckpt", weights_only=True)
    assert set(kept) == {"state_dict", "epoch"}, "weights alone"
    assert all(torch.equal(value, last[name]) for name, value in kept["state_dict"].items())
    tables = by_hand(peeked)
    values = [accuracy(table) for table in tables]
    assert len(set(values)) > 2, "epochs differ"
    for cell in cells.values():
        assert worker.work(cell, "score", 1) == 0, cell.status()
    honest, final, best = (cell.result() for cell in cells.values())
    assert honest and final and best
    assert final.selected_epoch == EPOCHS - 1 and final.metrics["accuracy"] == pytest.approx(values[-1])
    assert best.selected_epoch == int(np.argmax(values)) and best.metrics["accuracy"] == pytest.approx(max(values))
    assert best.honest_epoch == honest.selected_epoch and honest.honest_epoch is None
    pd.testing.assert_frame_equal(table_of(peeked, "honest"), table_of(cells["by-validation"]), check_exact=True)
    chosen = tables[best.selected_epoch].set_index("id").loc[table_of(peeked)["id"]]
    columns = [name for name in chosen if name.startswith("output_")]
    assert np.array_equal(chosen[columns].to_numpy(), table_of(peeked)[columns].to_numpy())
    assert not peeked.kept.exists(), "a finished cell takes no more disk than another"
    for cell, result in zip(cells.values(), (honest, final, best), strict=True):
        assert torch.load(cell.checkpoints / "best.ckpt", weights_only=True)["epoch"] == result.selected_epoch
    assert (peeked.unsound, cells["by-last"].unsound) == (CHOSEN_ON_TEST, "")


@pytest.mark.parametrize("stopped", ["before the network is moved", "before the others are deleted"])
def test_a_score_that_is_stopped_at_its_end_comes_to_the_same(
    rules: Bench, stopped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = cell_of(rules, "by-test")
    assert worker.work(cell, "fit", 1) == 0

    def stop(*_: object, **__: object) -> None:
        raise RuntimeError("stopped here")

    with monkeypatch.context() as patch:
        if stopped == "before the network is moved":
            patch.setattr(Path, "replace", lambda self, to: stop() if to.name == "best.ckpt" else self.rename(to))
        else:
            patch.setattr(scoring.shutil, "rmtree", stop)
        assert worker.work(cell, "score", 1) == worker.FAILED
    first = cell.result()
    assert first is not None and "stopped here" in cell.status().message
    assert worker.work(cell, "score", 1) == 0, cell.status()
    assert cell.result() == first and not cell.kept.exists()
    assert torch.load(cell.checkpoints / "best.ckpt", weights_only=True)["epoch"] == first.selected_epoch


def test_a_fit_that_was_interrupted_has_kept_every_epoch(rules: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cell_of(rules, "by-test")
    rules.fit_and_score(whole)
    rules.runs = rules.runs.with_name("again")
    cell = cell_of(rules, "by-test")
    begin = fit.ReseedEachEpoch.on_train_epoch_start

    def interrupted(self: fit.ReseedEachEpoch, trainer: L.Trainer, method: L.LightningModule) -> None:
        if trainer.current_epoch == 3:
            raise RuntimeError("stopped here")
        begin(self, trainer, method)

    with monkeypatch.context() as patch:
        patch.setattr(fit.ReseedEachEpoch, "on_train_epoch_start", interrupted)
        assert worker.work(cell, "fit", 1) == worker.FAILED
    assert cell.begun and len(list(cell.kept.iterdir())) == 3
    rules.fit_and_score(cell)
    for name in ("predictions", "honest"):
        pd.testing.assert_frame_equal(table_of(cell, name), table_of(whole, name), check_exact=True)


def test_a_fit_that_left_nothing_to_go_on_from_begins_anew(rules: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = cell_of(rules, "by-test")

    def stop(*_: object) -> None:
        raise RuntimeError("stopped here")

    with monkeypatch.context() as patch:
        patch.setattr(fit.ReportProgress, "on_train_epoch_end", stop)  # before Lightning has saved anything
        assert worker.work(cell, "fit", 1) == worker.FAILED
    assert list(cell.kept.iterdir()) and not (cell.checkpoints / "last.ckpt").exists()
    begun: list[str] = []
    monkeypatch.setattr(registry.load_method("trial"), "initialise", lambda _: begun.append("anew"))
    assert worker.work(cell, "fit", 1) == 0
    assert begun == ["anew"], "or published weights would not be loaded"


def test_a_missing_epoch_is_not_passed_over(rules: Bench) -> None:
    cell = cell_of(rules, "by-test")
    assert worker.work(cell, "fit", 1) == 0
    (cell.kept / "0001.ckpt").unlink()
    assert worker.work(cell, "score", 1) == worker.FAILED
    assert "0001.ckpt: is missing. Run the suite with --overwrite" in cell.status().message


def test_the_rule_is_part_of_what_a_cell_is(rules: Bench) -> None:
    cell = cell_of(rules, "by-validation")
    rules.fit_and_score(cell)
    with pytest.raises(FerBenchError, match="was run with another selection"):
        rules.ready("selection=last", only=("entry=by-validation",))
    path = cell.folder / "cell.json"
    content = json.loads(path.read_text())
    assert content.pop("selection") == "validation"
    path.write_text(json.dumps(content))
    assert Cell.read(cell.folder).differences(cell) == [], "cells of before there was a choice"
    meshes = {**content, "protocol": "coma-identity@1"}
    path.write_text(json.dumps(meshes))
    assert Cell.read(cell.folder).selection == "last"


@pytest.mark.parametrize(
    ("top", "own", "protocol", "expected"),
    [
        (None, None, "bu3dfe-s1-cv10@1", "validation"),
        (None, None, "coma-identity@1", "last"),
        ("last", None, "bu3dfe-s1-cv10@1", "last"),
        ("last", "best_on_test", "bu3dfe-s1-cv10@1", "best_on_test"),
        (None, "best_on_test", "coma-identity@1", "best_on_test"),
    ],
)
def test_an_entry_may_differ_from_its_suite(
    tmp_path: Path, top: str | None, own: str | None, protocol: str, expected: str
) -> None:
    options = {"method": "pointnet2" if "bu3dfe" in protocol else "conv_mesh_ae", **({"selection": own} if own else {})}
    content = {"protocols": [protocol], "methods": {"it": options}, **({"selection": top} if top else {})}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    assert read_suite(path).selection_of("it", registry.find_protocol(protocol)) == expected
    assert read_suite(path, ["it.selection=last"]).selection_of("it", registry.find_protocol(protocol)) == "last"


def test_what_cannot_be_chosen_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("protocols: [bu3dfe-s1-cv10@1]\nmethods:\n  it: {method: pointnet2, selection: best}\n")
    with pytest.raises(UnknownName, match="it: unknown selection 'best'; did you mean 'last' or 'best_on_test'"):
        read_suite(path)
    path.write_text("protocols: [bu3dfe-s1-cv10@1]\nselection: first\nmethods:\n  it: {method: pointnet2}\n")
    with pytest.raises(InvalidSuite, match="selection: input should be 'validation', 'last' or 'best_on_test'"):
        read_suite(path)
    path.write_text(
        "protocols: [coma-identity@1]\nselection: validation\nmethods:\n  it: {method: linear_face_model}\n"
    )
    with pytest.raises(InvalidSuite, match="coma-identity@1 asks for meshes, of which there is no validation metric"):
        read_suite(path)


def test_a_plan_tells_the_disk_that_kept_epochs_take(bench: Bench) -> None:
    network = "{method: pointnet2, size: nano, points: 128, epochs: 7}"
    bench.file.write_text(f"protocols: [bu3dfe-s1-cv10@1]\nmethods:\n  plain: {network}\n  peeked: {network}\n")
    settings = ["peeked.selection=best_on_test"]
    lines = show_plan(str(bench.file), settings, [], bench.runs, None, probed=False).splitlines()
    (line,) = (line for line in lines if line.startswith("disk"))
    method = registry.load_method("pointnet2")(PROTOCOLS["bu3dfe-s1-cv10@1"].target, size="nano", points=128)
    torch.save({"state_dict": method.state_dict(), "epoch": 0}, bench.file.with_name("0000.ckpt"))
    each = sum(value.numel() * value.element_size() for value in method.state_dict().values()) / 2**20
    assert each == pytest.approx(bench.file.with_name("0000.ckpt").stat().st_size / 2**20, rel=0.1)
    told = f"7 epochs of {each:,.1f} MiB a cell, {7 * each:,.0f} MiB until it is scored"
    assert each > 0.1 and line == f"disk      bu3dfe-s1-cv10@1  peeked: {told}"


def test_what_does_not_train_has_no_epoch_to_choose(bench: Bench) -> None:
    zero = "{method: clip_zero_shot, size: nano, pretrained: false, image_size: 32, yaws: [0]}"
    bench.file.write_text(
        f"protocols: [bu3dfe-s1-cv10@1]\nselection: best_on_test\nmethods:\n  it: {zero}\nfolds: [0]\n"
    )
    cell = bench.plan().cells[0]
    assert (cell.selection, cell.unsound) == ("validation", "")
