"""Cells of face disentanglement, from meshes to the leaderboard and the paper's page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from fer_bench.cells.face_measures import neutral_of, probe
from fer_bench.cells.fit import build
from fer_bench.io.ply import read_ply
from fer_bench.launch.planning import _open
from fer_bench.leaderboard.pages.csv_table import to_frame
from fer_bench.leaderboard.pages.markdown_page import to_markdown
from fer_bench.leaderboard.rows import collect
from fer_bench.metrics.disentanglement import MEASURES, scatter, spread, vertex_distance
from fer_bench.papers.evidence import Evidence
from fer_bench.papers.figures.faces import (
    _COLUMNS,
    discriminator,
    interpolation,
    reconstructions,
    transfer,
    write_meshes,
)
from fer_bench.papers.published import read_paper
from fer_bench.suites.reading import read_suite
from fer_bench.twins.coma import write_twin

if TYPE_CHECKING:
    from tests.suite_runner import Bench

SUITE = """
protocols: [coma-interpolation@1]
reference: linear
methods:
  ours: {method: face_disentanglement, count: 20, epochs: [1, 2], batch_sizes: [32, 32], learning_rate: 0.001}
  known: {method: face_disentanglement, count: 20, epochs: [0, 1], neutral_truth: true, discriminator: false}
  conv: {method: conv_mesh_ae, count: 20, epochs: 1, batch_size: 64}
  linear: {method: linear_face_model, count: 20}
folds: [0]
trainer: {accelerator: cpu}
"""


@pytest.fixture(scope="module")
def coma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A twin of CoMA with two people, and the first ten meshes of each sequence."""
    root = tmp_path_factory.mktemp("faces") / "coma"
    write_twin(root, subjects=2)
    for mesh in root.rglob("*.ply"):
        if int(mesh.stem.partition(".")[2]) > 10:
            mesh.unlink()
    return root


@pytest.fixture
def faces(bench: Bench, coma: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("FER_BENCH_DATA", str(coma.parent))
    bench.file.write_text(SUITE)
    bench.data = coma.parent
    _open.cache_clear()
    yield bench


def test_meshes_are_saved_measured_and_tabulated(faces: Bench) -> None:
    assert faces.run(jobs=2)
    truth: dict[str, np.ndarray] = {}
    for cell in faces.plan().cells:
        table = pd.read_parquet(cell.folder / "predictions.parquet")
        data, method = build(cell)
        ids = table["id"].tolist()
        assert ids == sorted(data.fold.test)
        meshes = data.entry.open()[[data.entry.rows[i][0] for i in ids]]
        identity = np.load(cell.folder / "identity.npy")
        assert identity.shape == meshes.shape == (len(ids), 20, 3)
        for person, rows in table.groupby("subject").groups.items():
            own = identity[rows.to_numpy()]
            found = table.loc[rows, ["output_spread", "output_scatter"]].to_numpy()
            np.testing.assert_allclose(found, [[spread(own), scatter(own)]] * len(rows), rtol=1e-5, err_msg=str(person))
        assert table["output_neutral"].notna().all()
        assert table["output_identity"].notna().all(), "a twin knows who its people are"
        rebuilt = cell.folder / "reconstruction.npy"
        assert rebuilt.exists() == (cell.entry != "conv")
        if rebuilt.exists():
            expected = vertex_distance(np.load(rebuilt), meshes)
            np.testing.assert_allclose(table["output_reconstruction"], expected, rtol=1e-5)
        result = cell.result()
        assert result is not None and (result.n, result.parameters) == (len(ids), method.num_parameters)
        assert result.metrics["neutral_mean"] == pytest.approx(table["output_neutral"].mean())
        truth[cell.entry] = identity
    suite = read_suite(faces.file)
    rows = collect("mine", suite, faces.runs)
    assert all(row.state == "done" for row in rows)
    errors = [row.headline for row in rows]
    assert errors == sorted(errors), "the smallest error comes first"  # type: ignore[type-var]
    page = to_markdown("mine", suite, rows)
    assert "| Entry | Neutral | Group | Against linear | median | Rebuilt |" in page
    assert "the difference of the first column on the same samples, in mm" in page
    # No expression was tested of both, so that nobody can say what leaks.
    assert "| Entry | Identity | Expression | Rank-1 | by code | Who leaks |\n" in page
    conv = next(line for line in page.splitlines() if line.startswith("| conv |") and line.count("|") == 7)
    assert conv.split("|")[3].strip() == conv.split("|")[6].strip() == "-", "it has no expression, and no code of one"
    frame = to_frame(rows).set_index("entry")
    assert frame.loc["ours", "neutral_mean"] == pytest.approx(next(r.headline for r in rows if r.entry == "ours"))
    assert frame.loc["conv", "reconstruction_mean"] != frame.loc["conv", "reconstruction_mean"], "it rebuilds nothing"
    assert set(frame["selection"]) == {"last"}
    assert frame.loc["ours", "epochs"] == "3" and frame.loc["linear", "parameters"] == 0


def test_a_fit_killed_in_the_joint_training_ends_as_the_uninterrupted_one(faces: Bench) -> None:
    settings = ("ours.epochs=[1,3]",)
    (whole,) = faces.ready(*settings, only=("entry=ours",))
    faces.fit_and_score(whole)
    faces.runs = faces.runs.with_name("again")
    (cell,) = faces.ready(*settings, only=("entry=ours",))
    faces.kill_fit(cell, 3)
    assert cell.status().state == "interrupted"
    assert (cell.checkpoints / "discriminator" / "end.ckpt").exists()
    assert (cell.checkpoints / "last.ckpt").exists(), "of the epoch before the one that was killed"
    faces.fit_and_score(cell)
    for name in ("identity.npy", "reconstruction.npy"):
        np.testing.assert_array_equal(np.load(cell.folder / name), np.load(whole.folder / name))
    states = [torch.load(c.checkpoints / "last.ckpt", weights_only=True) for c in (whole, cell)]
    assert len(states[0]["optimizer_states"]) == len(states[0]["lr_schedulers"]) == 2
    for key, value in states[0]["state_dict"].items():
        assert torch.equal(value, states[1]["state_dict"][key]), key


@pytest.mark.slow
def test_two_processes_train_both_networks_in_turn(faces: Bench) -> None:
    assert faces.run("trainer.devices=2", only=("entry=ours",), jobs=1)
    (cell,) = faces.plan("trainer.devices=2", only=("entry=ours",)).cells
    result = cell.result()
    assert result is not None and result.epochs == 3


def test_a_probe_finds_what_a_code_holds_and_nothing_else() -> None:
    random = np.random.default_rng(0)
    who = np.repeat(np.array(list("abcd"), dtype=object), 30)
    shown = np.tile(np.array(["smile", "frown", "open", "blink", "kiss"], dtype=object), 24)
    telling = np.eye(4)[np.repeat(np.arange(4), 30)] + 0.1 * random.standard_normal((120, 4))
    assert np.nanmean(probe(telling, who, groups=shown)) == 1
    assert np.nanmean(probe(random.standard_normal((120, 4)), who, groups=shown)) < 0.45
    alone = np.array(["x"] * 120, dtype=object)
    assert np.isnan(probe(telling, who, groups=alone)).all(), "one group has nothing to be fitted on"
    # Nobody is asked for an answer that was in no other fold.
    own = np.array([f"{person}-{number}" for number, person in enumerate(who)], dtype=object)
    assert np.isnan(probe(telling, own, groups=own)).all()


def test_the_columns_are_those_of_the_protocol(faces: Bench) -> None:
    (cell,) = faces.ready(only=("entry=linear",))
    faces.fit_and_score(cell)
    table = pd.read_parquet(cell.folder / "predictions.parquet")
    assert table.columns.tolist() == ["id", "subject", "label", *(f"output_{name}" for name in MEASURES)]


def test_faces_taken_apart_are_drawn_and_written(faces: Bench, tmp_path: Path) -> None:
    faces.file.write_text(SUITE.replace("epochs: [1, 2]", "epochs: [0, 1]"))
    assert faces.run(only=("entry=ours", "entry=linear"), jobs=2)
    rows = collect("mine", read_suite(faces.file), faces.runs)
    evidence = {
        (row.protocol, row.entry): Evidence(row, *zip(*row.finished, strict=True), {}, (), ())  # type: ignore[arg-type]
        for row in rows
        if row.finished
    }
    paper = read_paper("face_disentanglement")
    section = paper.find("I")
    for kind, of_one in ((reconstructions, True), (transfer, True), (interpolation, True), (discriminator, False)):
        for some in (evidence, dict([next(iter(evidence.items()))])):
            figure = Figure()
            assert kind(figure, paper, section, some) == (of_one or len(some) > 1)
        assert not kind(Figure(), paper, section, {}), "nothing was run"
    written = write_meshes(evidence, tmp_path / "meshes")
    assert len(written) == len(set(written)) == 2 * 3 * 2 * 3
    folder = tmp_path / "meshes" / "coma-interpolation" / "linear"
    scanned, predicted = (read_ply(folder / f"worst_{of}_face.ply") for of in ("scanned", "predicted"))
    row = next(row for row in rows if row.entry == "linear")
    assert row.pooled is not None
    far = (row.pooled["output_reconstruction"] + row.pooled["output_neutral"]).to_numpy()
    expected = row.pooled["output_reconstruction"].to_numpy()[far.argmax()]
    assert vertex_distance(predicted.vertices, scanned.vertices) == pytest.approx(expected, abs=1e-4)
    whole, person, mood = (read_ply(folder / f"best_predicted_{part}.ply").vertices for part in _COLUMNS)
    data, _ = build(row.finished[0][0])
    middle = np.mean(list(neutral_of(data, row.pooled["subject"].tolist()).values()), axis=0)
    np.testing.assert_allclose(mood, middle + whole - person, atol=1e-3)
