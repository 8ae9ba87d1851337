"""A suite put through the stress deck: what is predicted, kept, made again and tabulated."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from fer_bench.cells import stress, stress_outcome
from fer_bench.cli.main import app
from fer_bench.commands.options import RunOptions
from fer_bench.commands.run import run
from fer_bench.errors import InvalidSuite, UnknownName
from fer_bench.geometry.alignment import UnusableScan
from fer_bench.geometry.perturbations import DECK, Member, Noise, Severity
from fer_bench.launch import stress_planning, worker
from fer_bench.launch.planning import Plan, _open, make_plan
from fer_bench.leaderboard.html.report import to_html
from fer_bench.leaderboard.pages import formats
from fer_bench.leaderboard.pages.stress_board_page import to_frame, to_markdown, write
from fer_bench.leaderboard.rows import collect
from fer_bench.leaderboard.stress_board import curves
from fer_bench.representations import stressed
from fer_bench.representations.cache import prepare
from fer_bench.suites.reading import read_suite

SUITE = """
protocols: [bu3dfe-s1-cv10@1]
methods:
  views:
    {method: mit, size: nano, pretrained: false, yaws: [0], image_size: 16, patch_size: 8, epochs: 2}
  points: {method: pointnet2, size: nano, points: 128, epochs: 2, learning_rate: 0.01}
reference: points
folds: [0, 1]
trainer: {accelerator: cpu}
"""


class Bench:
    """A place to run one suite in."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.file, self.runs, self.out, self.data = folder / "mine.yaml", folder / "runs", folder / "boards", data
        self.file.write_text(SUITE)

    def run(self, *members: str, only: tuple[str, ...] = (), **options: object) -> bool:
        chosen = RunOptions(**{"jobs": 2, **options})  # type: ignore[arg-type]
        return run(str(self.file), [], [*only], self.runs, self.data, self.out, chosen, members)

    def plan(self, *only: str) -> Plan:
        return make_plan("mine", read_suite(self.file), self.runs, only)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, bu3dfe_root: Path) -> Iterator[Bench]:
    """A suite that was run with two members, once; tests repair what they break."""
    folder = tmp_path_factory.mktemp("stress")
    with pytest.MonkeyPatch.context() as patch:
        for name, mildest in (("holes", 1), ("rotation", 2)):
            patch.setitem(DECK, name, replace(DECK[name], severities=DECK[name].severities[:mildest]))
        # The meshes of the small BU-3DFE are coarse already.
        patch.setitem(DECK, "decimation", Member("deviation (mm)", (Severity(3.0, (Noise(3.0),)),)))
        patch.setenv("FER_BENCH_CACHE", str(folder / "cache"))
        patch.setenv("FER_BENCH_DATA", str(bu3dfe_root.parent))
        patch.chdir(folder)
        _open.cache_clear()
        made = Bench(folder, bu3dfe_root.parent)
        assert made.run("noise,holes")
        yield made
        _open.cache_clear()


def files(bench: Bench) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in bench.runs.rglob("stress/*") if p.suffix in (".json", ".parquet")}


def test_every_condition_is_predicted_and_tabulated(bench: Bench) -> None:
    cells = bench.plan().cells
    for cell in cells:
        clean = pd.read_parquet(cell.folder / "predictions.parquet")
        assert cell.status().state == "done" and cell.status().stage == "score", "the cell is as it was"
        for one in [*stress.conditions("noise"), *stress.conditions("holes")]:
            found = stress_outcome.outcome(cell, one)
            assert found is not None and (found.n, found.broken) == (12, 0)
            table = pd.read_parquet(stress_outcome.predictions_path(cell, one))
            assert table.columns.tolist() == clean.columns.tolist()
            pd.testing.assert_frame_equal(table[["id", "subject", "label"]], clean[["id", "subject", "label"]])
            guessed = table.filter(like="output_").to_numpy().argmax(1)
            names = table.filter(like="output_").columns.str.removeprefix("output_")
            assert found.metrics["accuracy"] == pytest.approx((names[guessed] == table["label"]).mean())
            if cell.entry == "points":  # noise in depth is not seen from the front
                assert not np.allclose(table.filter(like="output_"), clean.filter(like="output_"), atol=1e-6)
    board = pd.read_csv(bench.out / "mine-stress-noise.csv")
    assert board["severity"].tolist() == 2 * [0, 1, 2, 3, 4, 5]
    assert board["value"].dropna().tolist() == 2 * [0.25, 0.5, 1.0, 2.0, 4.0]
    assert set(board["state"]) == {"done"} and set(board["n"]) == {24}
    one = board[(board["entry"] == "views") & (board["condition"] == "noise-2mm")].iloc[0]
    own = [stress_outcome.outcome(c, Noise(2.0)).metrics["accuracy"] for c in cells if c.entry == "views"]  # type: ignore[union-attr]
    rest = board[(board["entry"] == "views") & (board["severity"] == 0)].iloc[0]
    other = board[(board["entry"] == "points") & (board["condition"] == "noise-2mm")].iloc[0]
    assert one["accuracy"] == pytest.approx(np.mean(own), abs=1e-6)
    assert one["difference"] == pytest.approx(one["accuracy"] - rest["accuracy"], abs=2e-6)
    assert one["against_reference"] == pytest.approx(one["accuracy"] - other["accuracy"], abs=2e-6)
    assert one["accuracy_low"] <= one["accuracy"] <= one["accuracy_high"]
    assert np.isnan(other["against_reference"])
    rows = collect("mine", read_suite(bench.file), bench.runs)
    rows = [replace(row, protocol_digest="another") if row.entry == "points" else row for row in rows]
    assert all(level.against is None for curve in curves("noise", rows, "points") for level in curve.levels)
    page = (bench.out / "mine-stress-noise.md").read_text()
    assert "Accuracy by standard deviation of depth (mm)" in page
    assert "| Entry | as it is | 0.25 | 0.5 | 1 | 2 | 4 | n | State |" in page
    assert "Difference from points under the same conditions" in page
    assert "Only folds 0, 1 of 10" in page
    assert (bench.out / "mine-stress-holes.png").read_bytes().startswith(b"\x89PNG")


def on_page(text: str) -> list[dict[str, dict[int, list[list[float]]]]]:
    """Of each table of an HTML page, by member of the deck and place of a row, what the page's script draws."""
    data = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.DOTALL)
    assert data is not None
    return [
        {each["member"]: {line["row"]: line["points"] for line in each["lines"]} for each in group["stress"]}
        for group in json.loads(data[1])["groups"]
    ]


def test_the_html_page_draws_the_curves(bench: Bench) -> None:
    suite = read_suite(bench.file)
    rows = sorted(collect("mine", suite, bench.runs), key=lambda row: row.entry)
    board = pd.read_csv(bench.out / "mine-stress-noise.csv").set_index("entry")
    assert [list(group) for group in on_page((bench.out / "mine.html").read_text())] == [["noise", "holes"]]
    # Two questions are two tables, whose rows are counted on.
    apart = [replace(row, protocol_digest="another") if row.entry == "views" else row for row in rows]
    found = {member: curves(member, apart, None) for member in ("noise", "holes")}
    both = on_page(to_html("mine", suite, apart, found, bench.runs))
    assert [list(group["noise"]) for group in both] == [[0], [1]]
    for group, place, entry in ((both[0], 0, "points"), (both[1], 1, "views")):
        numbers = np.array(group["noise"][place])
        assert numbers[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
        expected = board.loc[entry, ["accuracy", "accuracy_low", "accuracy_high"]].to_numpy(dtype=float)
        np.testing.assert_allclose(numbers[:, 1:], expected, atol=1e-6)


def test_a_second_run_does_nothing(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(bench)
    assert len(before) == 4 * (2 * 6 + 3)  # cell, status and what was asked, of each cell
    assert bench.run("noise", "holes")
    assert "nothing to put through noise, holes" in capsys.readouterr().out
    assert files(bench) == before


def test_only_what_is_stale_or_damaged_is_made_again(bench: Bench) -> None:
    cell = bench.plan("entry=points", "fold=0").cells[0]
    one, two, three, four, _ = (stress_outcome.predictions_path(cell, s) for s in stress.conditions("noise"))
    content = {p: p.read_bytes() for p in (one, two, three, four)}
    stale = json.loads(one.with_suffix(".json").read_text())
    stale["stress"]["version"] -= 1
    one.with_suffix(".json").write_text(json.dumps(stale))
    two.unlink()
    three.with_suffix(".json").write_text("{")
    times = files(bench)
    assert bench.run("noise")
    again = {Path(p) for p, time in files(bench).items() if times.get(p) != time and Path(p).suffix == ".parquet"}
    assert again == {one, two, three}
    assert {p: p.read_bytes() for p in content} == content, "the same bytes again"


def test_a_failure_leaves_the_cell_done_and_is_tried_again(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    cell = bench.plan("entry=points", "fold=1").cells[0]
    lost = stress_outcome.predictions_path(cell, Noise(1.0))
    lost.unlink()
    best = cell.checkpoints / "best.ckpt"
    whole = best.read_bytes()
    best.write_bytes(b"not a checkpoint")
    try:
        assert not bench.run("noise")
        assert "best.ckpt: cannot be loaded" in " ".join(capsys.readouterr().out.split())
        assert cell.status().state == "done"
        page = (bench.out / "mine-stress-noise.md").read_text()
        assert "9/10 runs done" in page
        board = pd.read_csv(bench.out / "mine-stress-noise.csv").set_index(["entry", "severity"])
        assert np.isnan(board.loc[("points", 3), "accuracy"]), "no mean over the folds that happened to be there"
        assert board.loc[("points", 3), "missing"] == 1
        assert not board.drop(index=("points", 3))["accuracy"].isna().any()
        assert np.isnan(board.loc[("views", 3), "against_reference"])
    finally:
        best.write_bytes(whole)
    assert bench.run("noise")
    assert lost.exists()


def test_cells_that_are_not_done_are_missing(bench: Bench, tmp_path: Path) -> None:
    suite = read_suite(bench.file, ["folds=[0,1,2]"])
    rows = collect("mine", suite, bench.runs)
    found = curves("noise", rows, suite.reference)
    assert [curve.state for curve in found] == ["2/3 done, 1 missing"] * 2
    assert to_frame("noise", found)["accuracy"].isna().all()
    page = to_markdown("noise", "mine", suite, found, "")
    assert "| points | - | - | - | - | - | - | - | 2/3 done, 1 missing |" in page
    assert [path.suffix for path in write("noise", "mine", suite, found, tmp_path)] == [".csv", ".md"]


def test_rotations_are_kept_by_pose(bench: Bench) -> None:
    bench.run("rotation", only=("entry=points",))
    board = pd.read_csv(bench.out / "mine-stress-rotation.csv")
    points = board[board["entry"] == "points"]
    poses = points[points["condition"].notna()]
    assert len(poses) == 8 and {"yaw+20", "pitch-10"} <= set(poses["condition"])
    for severity, each in poses.groupby("severity"):
        whole = points[(points["severity"] == severity) & points["condition"].isna()].iloc[0]
        assert whole["pooled_conditions"] == 4
        assert whole["accuracy"] == pytest.approx(each["accuracy"].mean(), abs=1e-6)
        assert whole["n"] == 24
    assert board[board["entry"] == "views"]["state"].unique().tolist() == ["0/16 runs done"]


def test_what_cannot_be_put_through_the_deck(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName, match="--stress: unknown stress 'occlusion'; known: decimation, holes, noise"):
        bench.run("noise,occlusion")
    with pytest.raises(UnknownName, match="did you mean 'rotation'"):
        stress_planning.chosen_members(["rotations"])
    assert stress_planning.chosen_members(["holes,noise", "holes"]) == ["holes", "noise"]
    monkeypatch.setattr(stressed, "refusal", lambda r: "it is flat" if r.name == "views" else "")
    found, refused = stress_planning.find_inputs(bench.plan())
    assert [entry for _, entry in found] == ["points"]
    assert refused == {("bu3dfe-s1-cv10@1", "views"): "it is flat"}
    with pytest.raises(InvalidSuite, match="--stress: nothing in mine can be put through it; it is flat"):
        stress_planning.find_inputs(bench.plan("entry=views"))
    # A page says so whichever command writes it.
    suite = read_suite(bench.file)
    rows = collect("mine", suite, bench.runs)
    written = [formats.write_stress(["noise"], "mine", suite, rows, bench.runs, bench.out)[1].read_text()]
    pages = [(bench.out / "mine.html").read_text()]
    formats.write("mine", suite, rows, bench.runs, bench.out)
    written.append((bench.out / "mine-stress-noise.md").read_text())
    pages.append((bench.out / "mine.html").read_text())
    assert written[0] == written[1] and pages[0] == pages[1]
    assert "- views: it is flat" in written[0]
    assert "| refused |" in written[0]


def test_the_help_names_the_deck() -> None:
    told = " ".join(CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"}).output.split())
    assert all(name in told for name in DECK), told


def test_samples_left_out_of_a_condition_are_counted(bench: Bench) -> None:
    cell = bench.plan("entry=points", "fold=0").cells[0]
    (trial,) = stress_planning.trials([cell], stress_planning.find_inputs(bench.plan())[0], ["decimation"])
    need = trial.needs(stress_planning.tested_ids(trial))
    unlucky = need.source.ids[0]
    honest = need.dataset.load

    def load(root: Path, names: tuple[str, ...]) -> object:
        scan = honest(root, names)
        if names == need.source.files[0]:
            raise UnusableScan("lost")
        return scan

    prepare(Path(os.environ["FER_BENCH_CACHE"]), need.source, need.representations, load, skip_broken=True)
    staged = trial.ready(need)
    assert worker.work(staged, "stress", 1) == 0, staged.status()
    found = stress_outcome.outcome(cell, stress.conditions("decimation")[0])
    assert found is not None and (found.n, found.broken) == (11, 1)
    table = pd.read_parquet(stress_outcome.predictions_path(cell, stress.conditions("decimation")[0]))
    assert unlucky not in set(table["id"])
    suite = read_suite(bench.file, ["folds=[0]"])
    curve = next(c for c in curves("decimation", collect("mine", suite, bench.runs), None) if c.row.entry == "points")
    assert curve.broken == 1 and curve.severities[1].n == 11 and curve.severities[1].drop is not None
    assert "points: 1 samples left out" in to_markdown("decimation", "mine", suite, [curve], "")


def test_predictions_that_are_not_the_folds_are_refused(bench: Bench) -> None:
    plan = bench.plan("entry=points", "fold=1")
    (trial,) = stress_planning.trials(plan.cells, stress_planning.find_inputs(plan)[0], ["decimation"])
    other = stress_planning.tested_ids(
        stress_planning.Trial(bench.plan("fold=0").cells[0], trial.inputs, trial.stresses)
    )
    need = trial.needs([*other, *stress_planning.tested_ids(trial)[1:]])
    prepare(Path(os.environ["FER_BENCH_CACHE"]), need.source, need.representations, need.dataset.load)
    assert worker.work(trial.ready(need), "stress", 1) == worker.FAILED
    assert stress_outcome.outcome(trial.cell, stress.conditions("decimation")[0]) is None


def test_joined_datasets_and_predictions_of_predictions_are_refused(bench: Bench) -> None:
    cell = bench.plan("entry=points", "fold=0").cells[0]
    assert stress_outcome.refusal(cell) == ""
    joined = replace(cell, parts=cell.parts * 2)
    assert stress_outcome.refusal(joined) == "bu3dfe-s1-cv10@1 joins datasets, and the deck takes one at a time"
    fused = replace(cell, method="late_fusion")
    assert stress_outcome.refusal(fused) == "it is predictions, and has no network to give other scans to"
    older = replace(cell, representation={**cell.representation, "name": "gone"})
    assert stress_outcome.refusal(older) == "", "a packed cell's pages are still written"
