"""Figures: what they draw of, and that they are no blank sheets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from fer_bench.cells.training_logs import published_log, training_log
from fer_bench.errors import InvalidFile, UnknownName
from fer_bench.papers.evidence import gather
from fer_bench.papers.figures import drawing
from fer_bench.papers.figures.drawing import KINDS, draw
from fer_bench.papers.figures.titles import title
from fer_bench.papers.published import Paper, Section, papers, published_folder, read_paper
from fer_bench.plots import DPI

if TYPE_CHECKING:
    from tests.faked_cells import Faker

S1, S2, SIXTY, BU4DFE = "bu3dfe-s1-cv10@1", "bu3dfe-s2-cv10@1", "bu3dfe-drfer60-cv10@1", "bu4dfe-cv10@1"
TWIN = "twin-r1-procedural-7a920106a643-s0-n20"


# Figures whose numbers no paper prints, or of which a bar more is printed than of what.
SILENT = {
    ("mit", "Fig. 4"),
    ("mit", "Fig. 5"),
    ("drfer", "Fig. 5"),
    ("drfer", "Fig. 6"),
    *(("face_disentanglement", f"Fig. {n}") for n in (1, 5, 6, 7, 8, 9, 10, 11)),
}


def drawn(paper: str, table: str, runs: Path, out: Path) -> dict[str, Path]:
    read = read_paper(paper)
    section = read.find(table)
    paths = draw(read, section, gather(section, runs), out)
    return {path.stem.rpartition("_")[2]: path for path in paths}


def looked_at(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"))
    assert min(pixels.shape) > 400
    assert pixels.std() > 5, "not blank"
    return pixels


def figure_of(kind: str, paper: str, table: str, runs: Path) -> Figure:
    read = read_paper(paper)
    section = read.find(table)
    figure = Figure()
    assert KINDS[kind](figure, read, section, gather(section, runs))
    return figure


def words(figure: Figure) -> str:
    assert figure._suptitle is not None  # type: ignore[attr-defined]
    return str(figure._suptitle.get_text())  # type: ignore[attr-defined]


def test_without_runs_what_is_published_is_drawn_alone(tmp_path: Path) -> None:
    for name in papers():
        paper = read_paper(name)
        for section in paper.sections:
            paths = drawn(name, section.table, tmp_path / "runs", tmp_path / "out")
            silent = (name, section.table) in SILENT
            assert set(paths) == (set() if silent else set(section.notes.figures))
            for path in paths.values():
                looked_at(path)
    assert "nothing was measured" in words(figure_of("bars", "facet_vlm", "Fig. 3", tmp_path))


def test_curves_are_those_of_the_cells_and_of_the_authors(faker: Faker, tmp_path: Path) -> None:
    for entry in ("mit-tiny", "independent-tiny"):
        cell = faker.cell("mit/figure3", BU4DFE, entry, subjects=2, each=6, provenance=TWIN)
        faker.log(cell, 0, range(0, 4), lambda epoch: 1.0)
        faker.log(cell, 1, range(2, 6), lambda epoch: 0.5)
    log = training_log(cell)
    assert list(log.index) == [0, 1, 2, 3, 4, 5]
    assert list(log["val/loss"]) == [1, 1, 0.5, 0.5, 0.5, 0.5], "a later attempt counts"
    assert list(log["val/accuracy"]) == [0.5, 0.5, 0.75, 0.75, 0.75, 0.75]
    assert log["train/loss"].notna().all()
    figure = figure_of("curves", "mit", "Fig. 3", faker.runs)
    tiny, accuracy = figure.axes[0], figure.axes[1]
    assert [len(ax.lines) for ax in figure.axes] == [3, 3, 1, 1, 1, 1]
    assert list(tiny.lines[1].get_ydata()) == list(log["val/loss"])
    assert list(accuracy.lines[1].get_ydata()) == [100 * value for value in log["val/accuracy"]]
    authors = accuracy.lines[0].get_ydata()
    assert (len(authors), authors[0], authors[-1]) == (200, 22.589, 97.229)
    assert f"synthetic faces ({TWIN})" in words(figure)
    looked_at(drawn("mit", "Fig. 3", faker.runs, tmp_path)["curves"])


def test_attempts_are_in_the_order_of_their_numbers(faker: Faker) -> None:
    cell = faker.cell("mit/figure3", BU4DFE, "mit-tiny", subjects=2, each=6)
    for attempt in (10, 9, 2):
        faker.log(cell, attempt, range(0, 2), lambda epoch, a=attempt: float(a))
    assert list(training_log(cell)["val/loss"]) == [10, 10]


def test_bars_are_the_measured_accuracies_with_their_intervals(faker: Faker, tmp_path: Path) -> None:
    asked = {"facet-vlm": 0.95, "without-cvsa": 0.8, "without-mtgf": 0.85, "without-consistency": 0.9}
    for entry, accuracy in asked.items():
        faker.folds("facet_vlm/figure3", S1, entry, accuracy=accuracy, subjects=3, each=8)
    figure = figure_of("bars", "facet_vlm", "Fig. 3", faker.runs)
    ax = figure.axes[0]
    heights = [bar.get_height() for bar in ax.patches]
    assert heights == pytest.approx([100 * a for a in asked.values()], abs=6)
    assert ax.get_ylim()[0] == 0, "a bar's length is its value"
    assert len(ax.collections) >= 4, "intervals"
    markers = [line.get_ydata()[0] for line in ax.lines if line.get_marker() == "D"]
    assert {93.21, 81.56, 90.06, 99.41, 86.12, 84.35} < set(markers)
    assert len(markers) == 17
    assert ax.get_xlabel() and "%" in ax.get_ylabel()
    assert "data as distributed" in words(figure)
    looked_at(drawn("facet_vlm", "Fig. 3", faker.runs, tmp_path)["bars"])


def test_a_heat_map_subtracts_measured_from_measured_alone(faker: Faker, tmp_path: Path) -> None:
    full = faker.folds("facet_vlm/figure3", S1, "facet-vlm", accuracy=0.95, subjects=3, each=8)
    less = faker.folds("facet_vlm/figure3", S1, "without-cvsa", accuracy=0.8, subjects=3, each=8)
    figure = figure_of("heatmap", "facet_vlm", "Fig. 3", faker.runs)
    panels = {ax.get_title(): ax for ax in figure.axes if ax.get_title()}
    assert [title.endswith("(measured)") for title in panels] == [True, *[False] * 5]
    table = np.ma.filled(panels["bu3dfe-s1-cv10 (measured)"].images[0].get_array().astype(float), np.nan)
    means = [np.mean([c.result().metrics["accuracy"] for c in cells]) for cells in (full, less)]  # type: ignore[union-attr]
    assert table[0, 1] == pytest.approx(100 * (means[0] - means[1]))
    assert table[1, 0] == pytest.approx(-table[0, 1])
    assert np.isnan(table[2:]).all()
    published = panels["bp4d-8class-cv10 (published)"]
    assert {t.get_text() for t in published.texts} >= {"+11.92", "-11.92", "+8.33", "+3.03", "0"}
    looked_at(drawn("facet_vlm", "Fig. 3", faker.runs, tmp_path)["heatmap"])


def test_an_embedding_is_of_the_first_fold_of_each_entry(faker: Faker, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for entry, spread in (("drfer", 0.1), ("baseline", 3.0)):
        for fold in (0, 1):
            cell = faker.cell("drfer/table1", SIXTY, entry, fold=fold, subjects=6, each=12)
            table = pd.read_parquet(cell.folder / "predictions.parquet")
            centres = table["label"].astype("category").cat.codes.to_numpy()[:, None] * np.ones(8)
            np.save(cell.folder / "features.npy", centres + random.normal(0, spread, (len(table), 8)))
    figure = figure_of("embedding", "drfer", "Fig. 6", faker.runs)
    before, after = figure.axes
    assert [ax.get_title() for ax in figure.axes] == ["baseline: bu3dfe-drfer60-cv10", "drfer: bu3dfe-drfer60-cv10"]
    for ax in figure.axes:
        assert sum(len(group.get_offsets()) for group in ax.collections) == 72
        assert ax.get_xlabel() == "fold 0: 72 test samples of 6 people"
    spread_out, together = (
        np.mean([np.asarray(group.get_offsets()).std(axis=0).mean() for group in ax.collections])
        / np.concatenate([np.asarray(group.get_offsets()) for group in ax.collections]).std()
        for ax in (before, after)
    )
    assert together < 0.5 * spread_out, "colours are the true classes of the rows"
    looked_at(drawn("drfer", "Fig. 6", faker.runs, tmp_path)["embedding"])
    first = faker.runs / "drfer/table1" / SIXTY / "drfer" / "fold00" / "seed0" / "features.npy"
    first.write_bytes(b"no array")
    with pytest.raises(InvalidFile, match=r"features\.npy: cannot be read"):
        figure_of("embedding", "drfer", "Fig. 6", faker.runs)


def test_a_turned_face_is_recognised_less_the_farther_it_turns(faker: Faker, tmp_path: Path) -> None:
    cells = {e: faker.folds("drfer/table1", SIXTY, e, accuracy=0.9, subjects=6) for e in ("drfer", "baseline")}
    for cell in cells["drfer"]:
        faker.turn(cell, lambda stress: 0.9 - abs(stress.degrees) / (200 if stress.axis == "yaw" else 100), 6, 12)
    for cell in cells["baseline"][:-1]:
        faker.turn(cell, lambda _: 0.5, 6, 12)
    figure = figure_of("rotation", "drfer", "Fig. 5", faker.runs)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["drfer"], "the baseline lacks a fold"
    yaw, pitch = figure.axes
    assert (yaw.get_title(), pitch.get_title()) == ("yaw", "pitch")
    for ax, slope in ((yaw, 0.5), (pitch, 1.0)):
        line = ax.lines[0]
        assert list(line.get_xdata()) == [-80, -60, -40, -20, -10, 0, 10, 20, 40, 60, 80]
        assert line.get_ydata() == pytest.approx([90 - slope * abs(x) for x in line.get_xdata()], abs=3)
        low, high = ax.collections[0].get_paths()[0].get_extents().get_points()[:, 1]
        assert low < min(line.get_ydata()) and high > max(line.get_ydata()), "a band of intervals"
    looked_at(drawn("drfer", "Fig. 5", faker.runs, tmp_path)["rotation"])


def test_scaling_is_against_processes_and_the_ideal(faker: Faker, tmp_path: Path) -> None:
    for processes, seconds in ((1, 20.0), (4, 8.0)):
        entry = f"processes-{processes}"
        faker.cell("mit/figure5", BU4DFE, entry, subjects=2, each=6, epoch_seconds=seconds, epochs=5)
    faker.cell("mit/figure5", BU4DFE, "processes-8", state="failed")
    figure = figure_of("scaling", "mit", "Fig. 5", faker.runs)
    measured, ideal = figure.axes[0].lines
    assert list(measured.get_xdata()) == [1, 4]
    assert list(measured.get_ydata()) == [20, 8]
    assert list(ideal.get_ydata()) == [20, 5]
    looked_at(drawn("mit", "Fig. 5", faker.runs, tmp_path)["scaling"])


def test_a_figure_is_replaced_by_the_next(faker: Faker, tmp_path: Path) -> None:
    seen = []
    for entry in ("all-views", "front"):
        faker.folds("mit/figure4", S2, entry, subjects=2, each=6)
        path = drawn("mit", "Fig. 4", faker.runs, tmp_path)["bars"]
        assert [*tmp_path.glob("*.png")] == [path]
        seen.append(looked_at(path))
    assert not np.array_equal(*seen)


def test_a_damaged_log_and_an_unknown_kind_are_told(faker: Faker, tmp_path: Path) -> None:
    cell = faker.cell("mit/figure3", BU4DFE, "mit-tiny", subjects=2, each=6)
    path = cell.folder / "csv" / "attempt0" / "metrics.csv"
    path.parent.mkdir(parents=True)
    path.write_text("step,val/loss\n1,2\n")
    with pytest.raises(InvalidFile, match="has no column epoch"):
        training_log(cell)
    path.write_text("")
    with pytest.raises(InvalidFile, match="cannot be read as CSV"):
        training_log(cell)
    assert published_log(tmp_path / "none.csv") == {}
    paper = read_paper("mit")
    section: Section = paper.find("Fig. 4")
    object.__setattr__(section, "notes", section.notes.model_copy(update={"figures": ["bar"]}))
    with pytest.raises(UnknownName, match=r"mit_notes\.yaml: Fig\. 4: unknown kind of figure 'bar'; did"):
        draw(paper, section, {}, tmp_path)


def test_the_authors_logs_are_whole() -> None:
    logs = published_log(published_folder() / "mit_figure3_logs.csv")
    assert {name: len(log) for name, log in logs.items()} == {"tiny": 200, "small": 200, "base": 200}
    assert [log["test_acc1"].iloc[-1] for log in logs.values()] == [97.229, 99.487, 99.658]


@pytest.mark.parametrize("inches", [3.0, 6.2, 12.0])
def test_a_title_is_no_wider_than_its_figure(inches: float) -> None:
    paper = read_paper("face_disentanglement")
    for section in paper.sections:
        figure = Figure(figsize=(inches, 4), dpi=DPI)
        title(figure, paper, section, [])
        drawn = FigureCanvasAgg(figure)
        extent = figure.texts[0].get_window_extent(drawn.get_renderer())
        assert extent.x0 >= 0 and extent.x1 <= DPI * inches, section.heading


def test_all_figures_that_notes_name_exist() -> None:
    named = {kind for name in papers() for s in read_paper(name).sections for kind in s.notes.figures}
    assert named == set(drawing.KINDS)
    assert isinstance(read_paper("mit"), Paper)
