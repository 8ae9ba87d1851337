"""Networks as ONNX: every method, by what it gives beside torch, and the file that a cell leaves."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from fer_bench.cells.cell import Cell
from fer_bench.cli.main import app
from fer_bench.errors import FerBenchError
from fer_bench.inference import export as exporting
from fer_bench.inference.export import CannotExport, export_method, random_samples
from fer_bench.nn import point_export, point_ops
from tests.inference.test_predictor import finish
from tests.small_methods import MADE_FOR, TARGETS, batch_for, build

if TYPE_CHECKING:
    from tests.suite_runner import Bench

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def quick_or_slow(name: str, task: str) -> Any:
    """Networks of photographs are large, and torch takes its time over them."""
    seen = build(name, task).representations[0]
    photos = "photo" in seen.takes and seen.dtype == np.uint8
    return pytest.param(name, task, marks=[pytest.mark.slow] if photos else [])


@pytest.mark.parametrize(("name", "task"), [quick_or_slow(*each) for each in MADE_FOR])
def test_every_method_gives_what_torch_gives(name: str, task: str) -> None:
    method = copy.deepcopy(build(name, task))
    inputs = batch_for(method, 5)["input"]
    for buffer in method.buffers():  # what training fills: zeros would hide that it is used
        if buffer.is_floating_point() and not buffer.any():
            buffer.uniform_(0.1, 1.0)
    found = export_method(method, method.representations[0], inputs, False, {"cell": name})
    assert found.checked == 5 and found.relative <= 1e-5
    wanted = set(method.eval().predict(inputs)) - {"features"}
    assert set(found.outputs) == wanted
    model = onnx.load_from_string(found.content)
    onnx.checker.check_model(model)
    assert {prop.key: prop.value for prop in model.metadata_props}["cell"] == name
    session = onnxruntime.InferenceSession(found.content, providers=["CPUExecutionProvider"])
    first = [session.get_outputs()[0].shape[0], session.get_inputs()[0].shape[0]]
    assert all(isinstance(size, str) for size in first), "any number of samples goes in"


@pytest.fixture
def cell(bench: Bench) -> Cell:
    return finish(bench.ready(only=("entry=views", "fold=0"))[0])


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def test_a_cell_becomes_a_file(cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = call(cell.folder)
    assert result.exit_code == 0, result.output
    path = cell.folder / "network.onnx"
    assert f"wrote {path}: " in result.output
    assert "input   input (batch, 1, 3, 16, 16)" in result.output
    assert "on 8 inputs of the cell" in result.output
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    assert told["cell"] == cell.id and told["method"] == "mit"
    classes = json.loads(told["outputs"])
    assert len(classes) == 6 and "happy" in classes
    assert json.loads(told["representation_parameters"])["digest"] == cell.representation["digest"]
    assert told["licence"].startswith("Trained on bu3dfe, which is free for research, by agreement with Binghamton")
    assert str(tmp_path) not in " ".join(told.values()), "no path of this machine is in it"
    # Without the data, the inputs are made up.
    content = json.loads((cell.folder / "cell.json").read_text())
    content["parts"] = [{"dataset": "bu3dfe", "root": "/nowhere", "cache": "/nowhere"}]
    (cell.folder / "cell.json").write_text(json.dumps(content))
    result = call(cell.folder, "--out", tmp_path / "mine.onnx")
    assert result.exit_code == 0 and "on 8 random inputs" in result.output
    # What differs is not written.
    monkeypatch.setattr(exporting, "TOLERANCE", -1.0)
    result = call(cell.folder, "--out", tmp_path / "other.onnx")
    assert isinstance(result.exception, CannotExport)
    assert "what was exported differs from torch by" in str(result.exception)
    assert not (tmp_path / "other.onnx").exists()


def test_a_mistake_is_one_sentence(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusal(*arguments: object) -> str:
        result = call(*arguments)
        assert isinstance(result.exception, FerBenchError), result.output
        assert not list(cell.folder.glob("*.onnx"))
        return str(result.exception)

    assert "nowhere: there is no such folder" in refusal("nowhere")
    assert "--format: unknown format 'onx'; did you mean 'onnx'?" in refusal(cell.folder, "--format", "onx")
    assert "is not the name of an ONNX file; end it with .onnx" in refusal(cell.folder, "--out", "x.pt")
    monkeypatch.setattr(exporting, "NEEDED", ("onnx", "onnxnothing"))
    assert "--format onnx needs onnxnothing; install them with `pip install 'fer_bench[export]'`" in refusal(
        cell.folder
    )


def test_what_cannot_be_exported_says_why() -> None:
    method = build("single_view_vit", "classification")
    rows = batch_for(method, 4)["input"]
    broken = type("Broken", (type(method),), {"forward": lambda self, x: torch.linalg.eigvalsh(x[:, 0, 0].double())})
    method = broken(TARGETS["classification"], size="nano", image_size=32, pretrained=False)
    with pytest.raises(CannotExport, match=r"^torch cannot export Broken: No ONNX function found .*\.$"):
        export_method(method, method.representations[0], rows, False, {})


def test_what_cannot_be_run_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    method = build("single_view_vit", "classification")
    monkeypatch.setattr(exporting, "_convert", lambda *_: b"no network")
    with pytest.raises(CannotExport, match=r"^ONNX Runtime cannot run what was exported on 4 inputs: "):
        export_method(method, method.representations[0], batch_for(method, 4)["input"], False, {})


@pytest.mark.parametrize("points", [40, 64])
def test_searches_for_export_choose_the_same_points(points: int) -> None:
    generator = torch.Generator().manual_seed(0)
    clouds = torch.rand(3, points, 3, generator=generator).round(decimals=1)  # on a grid, so that there are ties
    chosen = point_ops.farthest_point_sample(clouds, 32)
    assert torch.equal(point_export.farthest(clouds.double(), 32), chosen)
    centres = point_ops.take(clouds, chosen[..., None])[:, :, 0]
    for k in (5, 48):  # fewer and more than there are points
        expected = point_ops.ball_query(0.3, k, clouds, centres)
        assert torch.equal(point_export.within(0.3, k, clouds.double(), centres.double()), expected)


def test_made_up_inputs_are_of_the_right_kind() -> None:
    for name, task in MADE_FOR:
        method = build(name, task)
        seen = batch_for(method, 1)["input"]
        representation = method.representations[0]
        if representation.takes == ("mesh",) and not representation.same_vertices and seen.dtype == torch.uint8:
            representation = representation.resolve(frozenset({"mesh", "texture"}))
        made = random_samples(representation, np.zeros(seen.shape[1:]) if representation.same_vertices else None)
        assert made.shape[1:] == seen.shape[1:] and made.dtype == seen.dtype
        outputs = method(made)
        assert torch.isfinite(outputs).all()
