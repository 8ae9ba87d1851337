"""What finished cells predict of files: the numbers they were scored by, whatever they are given beside them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.special import softmax
from typer.testing import CliRunner, Result

from fer_bench import registry
from fer_bench.cells.cell import Cell, Part
from fer_bench.cells.finished_cell import open_finished
from fer_bench.cells.fit import build
from fer_bench.cli.main import app
from fer_bench.errors import FerBenchError
from fer_bench.inference import predict_inputs
from fer_bench.inference.predict_inputs import find_inputs, natural
from fer_bench.inference.predictor import predict
from fer_bench.io.morphable_parameters import VECTORS, write_table
from fer_bench.io.ply import read_ply
from fer_bench.launch import worker
from fer_bench.launch.planning import _open
from fer_bench.records import OUTPUT, read_json, write_json
from tests.cells.test_every_method import ASKED, cell_of, data, every

if TYPE_CHECKING:
    from tests.suite_runner import Bench

__all__ = ["data", "every"]  # fixtures

CLOSE: dict[str, float] = {"atol": 1e-5, "rtol": 1e-5}


def finish(cell: Cell) -> Cell:
    """Score a cell whose network was never trained: what it predicts of what is the same question."""
    _, method = build(cell)
    if method.epochs:
        cell.checkpoints.mkdir(parents=True)
        torch.save({"state_dict": method.state_dict(), "epoch": 0}, cell.checkpoints / "best.ckpt")
    else:
        assert worker.work(cell, "fit", 1) == 0, cell.status()
    assert worker.work(cell, "score", 1) == 0, cell.status()
    return cell


def rows_of_cell(cell: Cell, count: int = 3) -> tuple[pd.DataFrame, list[tuple[Path, ...]]]:
    """Some rows of the saved predictions, and the files of each."""
    table = pd.read_parquet(cell.folder / "predictions.parquet").head(count)
    (part,) = cell.parts
    index = registry.load_dataset(part.dataset).index(Path(part.root)).set_index("id")
    return table, [tuple(Path(part.root) / name for name in index.loc[i, "files"]) for i in table["id"]]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def listed(content: dict[str, Any]) -> list[list[float]]:
    """The raw scores in what --json gives."""
    return [list(one["outputs"].values()) for one in content["predictions"]]


def outputs(table: pd.DataFrame) -> np.ndarray:
    return table[[name for name in table if name.startswith(OUTPUT)]].to_numpy()


def refusal(*arguments: object) -> str:
    result = call(*arguments)
    assert isinstance(result.exception, FerBenchError), result.output
    assert result.exception.exit_code == 2
    return str(result.exception)


@pytest.mark.parametrize(("name", "task"), ASKED)
def test_every_method_predicts_its_own_samples_as_it_was_scored(
    every: Bench, name: str, task: str, tmp_path: Path
) -> None:
    cell = finish(cell_of(every, name, task, 4))
    table, files = rows_of_cell(cell)
    finished = open_finished(cell.folder)
    inputs, problems = find_inputs([each[0] for each in files], finished.kind, cell, sequence=False)
    assert not problems
    found = predict(finished, inputs)
    assert not found.problems
    assert found.table["id"].tolist() == table["id"].tolist()
    if task == "disentanglement":
        assert found.meshes
        for part, meshes in found.meshes.items():
            np.testing.assert_allclose(meshes, np.load(cell.folder / f"{part}.npy")[: len(table)], atol=1e-4)
        if "reconstruction" in found.meshes:
            np.testing.assert_allclose(found.table["reconstruction"], table["output_reconstruction"], **CLOSE)
    elif task == "valence_arousal":
        np.testing.assert_allclose(found.table[["valence", "arousal"]], outputs(table), **CLOSE)
    else:
        np.testing.assert_allclose(outputs(found.table), outputs(table), **CLOSE)


@pytest.fixture
def points(bench: Bench) -> Cell:
    """A finished cell of PointNet++, on scans with textures and landmarks."""
    return finish(bench.ready(only=("entry=points", "fold=0"))[0])


@pytest.fixture
def views(bench: Bench) -> Cell:
    """One of MiT, which needs the textures."""
    return finish(bench.ready(only=("entry=views", "fold=0"))[0])


def copied(files: list[tuple[Path, ...]], folder: Path) -> list[Path]:
    """The files of samples, under other names, where no dataset is; of each the first."""
    folder.mkdir(exist_ok=True)
    for number, each in enumerate(files):
        for file in each:
            shutil.copy(file, folder / f"face{number}{file.suffix}")
    return [folder / f"face{number}{each[0].suffix}" for number, each in enumerate(files)]


def test_a_scan_of_nobody_is_read_as_those_of_the_dataset(
    points: Cell, views: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, files = rows_of_cell(views)
    given = copied(files, tmp_path / "mine")
    content = read_json(views.folder / "cell.json")
    # Neither the data nor the cache need be there.
    content["parts"] = [{"dataset": "bu3dfe", "root": "/nowhere", "cache": "/nowhere"}]
    write_json(views.folder / "cell.json", content)
    out = tmp_path / "found.csv"
    result = call("--checkpoint", views.folder, *given, "--out", out)
    assert result.exit_code == 0, result.output
    found = pd.read_csv(out)
    assert found["id"].tolist() == ["face0", "face1", "face2"]
    assert found["file"].tolist() == [str(path) for path in given]
    np.testing.assert_allclose(outputs(found), outputs(table), **CLOSE)
    chances = found[[name for name in found if name.startswith("probability_")]].to_numpy()
    np.testing.assert_allclose(chances, softmax(outputs(table).astype(float), axis=1), **CLOSE)
    names = [name.removeprefix(OUTPUT) for name in found if name.startswith(OUTPUT)]
    assert found["prediction"].tolist() == [names[place] for place in outputs(table).argmax(axis=1)]
    # A folder is all scans in it, by their natural order, and neither textures nor landmarks.
    table, files = rows_of_cell(points, 11)
    copied(files, tmp_path / "mine")
    result = call("--checkpoint", points.folder, tmp_path / "mine", "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["cell"] == points.id and content["problems"] == []
    assert [one["id"] for one in content["predictions"]] == [f"face{number}" for number in range(11)]
    np.testing.assert_allclose(listed(content), outputs(table), **CLOSE)


def test_what_was_written_is_what_evaluate_reads(points: Cell, bench: Bench, tmp_path: Path) -> None:
    saved = pd.read_parquet(points.folder / "predictions.parquet")
    _, files = rows_of_cell(points, len(saved))
    out = tmp_path / "found.parquet"
    assert call("--checkpoint", points.folder, *(each[0] for each in files), "--out", out).exit_code == 0
    root = Path(points.parts[0].root)
    asked = ["evaluate", str(out), "--protocol", points.protocol, "--fold", "0", "--root", str(root)]
    told = CliRunner().invoke(app, [*asked, "--out", str(tmp_path / "scores.csv")])
    assert told.exit_code == 0, told.output
    result = points.result()
    assert result is not None
    assert pd.read_csv(tmp_path / "scores.csv")["accuracy"].item() == pytest.approx(result.metrics["accuracy"])


def test_what_fails_is_told_and_the_others_go_on(views: Cell, tmp_path: Path) -> None:
    table, files = rows_of_cell(views)
    mine = tmp_path / "mine"
    good = copied(files, mine)
    (mine / "broken.wrl").write_bytes(good[0].read_bytes()[:300])
    for suffix in (".wrl", ".bnd"):  # its texture has another name, and no file has the one it names
        shutil.copy(good[0].with_suffix(suffix), mine / f"bare{suffix}")
    (mine / "notes.txt").write_text("no scan")
    (mine / "empty").mkdir()
    (mine / "pixels.wrl").write_bytes(good[0].read_bytes())
    (mine / "pixels.bmp").write_text("no image")
    odd = ["broken.wrl", "bare.wrl", "notes.txt", "gone.wrl", "empty", "pixels.wrl"]
    out = tmp_path / "found.json"
    result = call("--checkpoint", views.folder, *(mine / name for name in odd), *good, "--out", out)
    assert result.exit_code == 1
    lines = [line for line in result.output.splitlines() if line.startswith(str(mine))]
    said = {Path(path).name: sentence for path, _, sentence in (line.partition(": ") for line in lines)}
    assert said.keys() == set(odd) and len(lines) == len(odd)
    assert "cut off" in said["broken.wrl"] or "ends" in said["broken.wrl"]
    assert said["bare.wrl"].startswith("it has no texture, and the network was trained on scans in colour; beside it")
    assert said["notes.txt"] == "its name is not a scan's (.bnt, .obj, .ply, .wrl)."
    assert said["gone.wrl"] == "there is no such file or folder."
    assert said["empty"] == "the folder holds no scan (.bnt, .obj, .ply, .wrl)."
    assert said["pixels.wrl"].startswith("pixels.bmp is not a complete image")
    content = json.loads(out.read_text())
    assert [one["id"] for one in content["predictions"]] == ["face0", "face1", "face2"]
    assert len(content["problems"]) == len(odd)
    np.testing.assert_allclose(listed(content), outputs(table), **CLOSE)
    alone = call("--checkpoint", views.folder, mine / "gone.wrl", "--out", tmp_path / "none.csv")
    assert alone.exit_code == 1 and not (tmp_path / "none.csv").exists()


def test_several_processes_predict_the_same(points: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    _, files = rows_of_cell(points, 12)
    finished = open_finished(points.folder)
    inputs, _ = find_inputs([each[0] for each in files], finished.kind, points, sequence=False)
    monkeypatch.setattr("fer_bench.inference.predictor._BLOCK", 5)
    monkeypatch.setattr("fer_bench.inference.predictor._WORTH", 1)
    pd.testing.assert_frame_equal(predict(finished, inputs, workers=2).table, predict(finished, inputs).table)


def test_the_table_shows_probabilities(points: Cell) -> None:
    table, files = rows_of_cell(points, 1)
    result = call("--checkpoint", points.folder, files[0][0])
    assert result.exit_code == 0, result.output
    (row,) = (line.split() for line in result.output.splitlines() if files[0][0].name in line)
    chances = softmax(outputs(table)[0].astype(float))
    assert row[-len(chances) :] == [f"{value:.3f}" for value in chances]


def test_a_mistake_is_one_sentence(points: Cell, bench: Bench, tmp_path: Path) -> None:
    scan = rows_of_cell(points, 1)[1][0][0]
    assert "there is no such folder; give a finished cell's, like runs/" in refusal("--checkpoint", "nowhere", scan)
    file = points.checkpoints / "best.ckpt"
    assert f"is a file, and not a cell's folder; give {points.folder.resolve()}" in refusal("--checkpoint", file, scan)
    assert "is no cell's folder; give one like runs/" in refusal("--checkpoint", tmp_path, scan)
    assert "predict needs inputs" in refusal("--checkpoint", points.folder)
    assert "--sequence: mine/" in refusal("--checkpoint", points.folder, scan, "--sequence")
    assert "is not the name of a table; end it" in refusal("--checkpoint", points.folder, scan, "--out", "x.txt")
    assert "sees points-128, and no parameters" in refusal("--checkpoint", points.folder, scan, "--parameters", "x.csv")
    (unfinished,) = bench.ready(only=("entry=views", "fold=1"))
    assert "is planned, and only what is done can be used" in refusal("--checkpoint", unfinished.folder, scan)
    content = torch.load(file, weights_only=True)
    content["state_dict"].popitem()
    torch.save(content, file)
    assert "best.ckpt: does not fit pointnet2 as cell.json says it is." in refusal("--checkpoint", points.folder, scan)
    file.write_bytes(b"no weights")
    assert "best.ckpt: cannot be loaded" in refusal("--checkpoint", points.folder, scan)
    file.unlink()
    assert "best.ckpt: is missing" in refusal("--checkpoint", points.folder, scan)
    content = read_json(points.folder / "cell.json")
    content["representation"]["digest"] = "0123456789ab"
    write_json(points.folder / "cell.json", content)
    assert "names inputs (points-128) that this version makes otherwise" in refusal("--checkpoint", points.folder, scan)
    content["method"] = "late_fusion"
    write_json(points.folder / "cell.json", content)
    assert "has no network, for it is made of other predictions" in refusal("--checkpoint", points.folder, scan)


@pytest.fixture
def moving(bench: Bench, bu3dfe_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cell:
    """A cell of MiT on sequences, each of three frames in windows of two."""
    codes = {"AN": "Angry", "DI": "Disgust", "FE": "Fear", "HA": "Happy", "SA": "Sad", "SU": "Surprise"}
    data = tmp_path / "moving"
    for number, person in enumerate(sorted(bu3dfe_root.glob("[FM]0*"))):
        for code, name in codes.items():
            folder = data / "bu4dfe" / f"{'FM'[number % 2]}{number + 1:03d}" / name
            folder.mkdir(parents=True)
            for frame in range(3):
                (scan,) = person.glob(f"*_{code}0{frame + 1}WH_F3D.wrl")
                shutil.copy(scan, folder / f"{frame:03d}.wrl")
                shutil.copy(scan.with_suffix(".bnd"), folder / f"{frame:03d}.bnd")
                Image.open(scan.with_suffix(".bmp")).save(folder / f"{frame:03d}.jpg")
    monkeypatch.setenv("FER_BENCH_DATA", str(data))
    bench.file.write_text(
        "protocols: [bu4dfe-cv10@1]\nfolds: [0]\ntrainer: {accelerator: cpu}\nmethods:\n  views: {method: mit, "
        "size: nano, pretrained: false, yaws: [0, 20], image_size: 16, patch_size: 8, window: 2}\n"
    )
    _open.cache_clear()
    return finish(bench.ready()[0])


def test_a_folder_of_frames_is_a_sequence(moving: Cell, tmp_path: Path) -> None:
    table, files = rows_of_cell(moving)
    own = [each[0].parent for each in files]
    result = call("--checkpoint", moving.folder, *own, "--out", tmp_path / "own.csv")
    assert result.exit_code == 0, result.output
    found = pd.read_csv(tmp_path / "own.csv")
    assert found["id"].tolist() == table["id"].tolist()
    np.testing.assert_allclose(outputs(found), outputs(table), **CLOSE)
    # The same frames where no dataset is; 9, 10, 11 are in the order of time, and 10, 11, 9 in that of letters.
    mine = tmp_path / "smile"
    mine.mkdir()
    for file in files[0]:
        shutil.copy(file, mine / f"frame{int(file.stem) + 9}{file.suffix}")
    result = call("--checkpoint", moving.folder, mine, "--json")
    assert result.exit_code == 0, result.output
    (one,) = json.loads(result.stdout)["predictions"]
    assert one["id"] == "smile"
    np.testing.assert_allclose(list(one["outputs"].values()), outputs(table)[0], **CLOSE)
    # What is not numbered may be anything.
    for suffix in ("wrl", "jpg", "bnd"):
        (mine / f"frame9.{suffix}").rename(mine / f"first.{suffix}")
    result = call("--checkpoint", moving.folder, mine, mine / "frame10.wrl")
    assert result.exit_code == 1
    assert "its scans are not called alike but for one number (first.wrl, frame11.wrl), so they may be" in result.output
    assert "is one file, and the cell sees sequences; give a folder of scans." in result.output
    result = call("--checkpoint", moving.folder, mine, "--json", "--sequence")
    assert result.exit_code == 0, result.output
    (one,) = json.loads(result.stdout)["predictions"]
    np.testing.assert_allclose(list(one["outputs"].values()), outputs(table)[0], **CLOSE)


def test_names_are_sorted_as_people_count() -> None:
    names = ["frame10.obj", "frame9.obj", "Frame09.obj", "frame1.obj"]
    assert sorted(names, key=natural) == ["frame1.obj", "Frame09.obj", "frame9.obj", "frame10.obj"]
    assert predict_inputs._numbered(["a1_x.obj", "a20_x.obj", "A3_x.obj"])
    assert not predict_inputs._numbered(["a1_x1.obj", "a2_x2.obj"])
    assert not predict_inputs._numbered(["F0001_AN01WH_F3D.wrl", "F0001_DI01WH_F3D.wrl"])
    assert not predict_inputs._numbered(["a.obj", "a1.obj"])


def test_photographs_are_crops_of_faces(every: Bench, tmp_path: Path) -> None:
    (name,) = (name for name, task in ASKED if name == "ddamfn" and task == "classification")
    cell = finish(cell_of(every, name, "classification", 4))
    table, files = rows_of_cell(cell, 2)
    given = copied(files, tmp_path / "mine")
    Image.fromarray(np.zeros((90, 160, 3), dtype=np.uint8)).save(tmp_path / "mine" / "wide.png")
    result = call("--checkpoint", cell.folder, *given, tmp_path / "mine" / "wide.png", "--json")
    assert result.exit_code == 1
    content = json.loads(result.stdout)
    np.testing.assert_allclose(listed(content), outputs(table), **CLOSE)
    (problem,) = content["problems"]
    assert problem["problem"].startswith("it has 160 x 90 pixels, and a square crop of a face is needed")
    assert "2 photographs were taken whole, as crops of a face like those of affectnet" in result.stderr


def test_parameters_of_faces_come_from_a_table(every: Bench, tmp_path: Path) -> None:
    cell = finish(cell_of(every, "morphable_mlp", "classification", 4))
    finished = open_finished(cell.folder)
    random = np.random.default_rng(0)
    vector: Any = finished.representation.vector  # type: ignore[attr-defined]
    length = sum(size for _, size in VECTORS[vector])
    vectors = {name: random.normal(size=length).astype(np.float32) for name in ("a", "b", "c")}
    write_table(tmp_path / "mine.parquet", vector, vectors)
    with torch.inference_mode():
        expected = finished.method(torch.from_numpy(np.stack(list(vectors.values())))).numpy()
    result = call("--checkpoint", cell.folder, "--parameters", tmp_path / "mine.parquet", "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert [one["id"] for one in content["predictions"]] == ["a", "b", "c"]
    np.testing.assert_allclose(listed(content), expected, **CLOSE)
    # Of some photographs, which need not be there; and of one without a row.
    some = call("--checkpoint", cell.folder, "--parameters", tmp_path / "mine.parquet", "x/b.jpg", "x/d.jpg", "--json")
    assert some.exit_code == 1
    content = json.loads(some.stdout)
    np.testing.assert_allclose(list(content["predictions"][0]["outputs"].values()), expected[1], **CLOSE)
    assert content["problems"] == [{"file": "x/d.jpg", "problem": f"has no {vector} parameters"}]
    nowhere = call("--checkpoint", cell.folder, "x/b.jpg")
    assert nowhere.exit_code == 1 and f"no {vector} parameters; looked for NAME.json" in nowhere.output


def test_predicted_meshes_are_written(every: Bench, tmp_path: Path) -> None:
    cell = finish(cell_of(every, "linear_face_model", "disentanglement", 4))
    table, files = rows_of_cell(cell, 2)
    given = copied(files, tmp_path / "mine")
    assert "predicts meshes; name a folder for them with --out" in refusal("--checkpoint", cell.folder, *given)
    out = tmp_path / "out"
    result = call("--checkpoint", cell.folder, *given, "--out", out)
    assert result.exit_code == 0, result.output
    rebuilt = np.load(cell.folder / "reconstruction.npy")
    for number in range(2):
        mesh = read_ply(out / f"face{number}-reconstruction.ply")
        np.testing.assert_allclose(mesh.vertices, rebuilt[number], atol=1e-4)
        assert len(mesh.triangles) and (out / f"face{number}-identity.ply").exists()
    faces = pd.read_parquet(out / "faces.parquet")
    np.testing.assert_allclose(faces["reconstruction"], table["output_reconstruction"], **CLOSE)
    assert "is there already" in refusal("--checkpoint", cell.folder, *given, "--out", out)
    (part,) = cell.parts
    gone = read_json(cell.folder / "cell.json") | {"parts": [vars(Part(part.dataset, "/nowhere", "/nowhere"))]}
    write_json(cell.folder / "cell.json", gone)
    told = refusal("--checkpoint", cell.folder, *given, "--out", tmp_path / "other")
    assert "its vertices are those of coma's meshes, and there is no folder /nowhere to read one" in told
