"""Fusions in a suite, and of any cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from fer_bench.cells.cell import Cell
from fer_bench.cells.fused_cells import compare_fused, fused_cells, fused_table, score_fused
from fer_bench.errors import FerBenchError, InvalidSuite, UnknownName
from fer_bench.launch.planning import _open
from fer_bench.predictions.fusion import Fusion, choose_weight, first_of_each_batch, fuse
from fer_bench.protocols import PROTOCOLS
from fer_bench.records import OUTPUT
from fer_bench.suites.reading import read_suite
from fer_bench.suites.selection import CHOSEN_ON_TEST, faults

if TYPE_CHECKING:
    from tests.suite_runner import Bench

PROTOCOL = PROTOCOLS["bu3dfe-s1-cv10@1"]
FUSIONS = """
fusions:
  mean: {of: [views, points]}
  chosen: {of: [views, points], rule: weighted}
  fault: {of: [views, points], broadcast: 3}
reference: mean
"""


def table(cell: Cell, name: str = "predictions") -> pd.DataFrame:
    return pd.read_parquet(cell.folder / f"{name}.parquet")


def scores(found: pd.DataFrame) -> np.ndarray:
    return found[[f"{OUTPUT}{name}" for name in PROTOCOL.classes]].to_numpy()


@pytest.fixture(scope="module")
def ran(
    tmp_path_factory: pytest.TempPathFactory, bu3dfe_root: Path, shared_cache: Path
) -> Iterator[tuple[Bench, dict[str, Cell]]]:
    """A suite with fusions of what it trains, run on one fold; entry -> cell."""
    from tests.suite_runner import SUITE, Bench

    class WithFusions(Bench):
        suite = SUITE.replace("epochs: 3", "epochs: 1").replace("epochs: 2", "epochs: 1") + FUSIONS

    folder = tmp_path_factory.mktemp("fused")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FER_BENCH_CACHE", str(shared_cache))
        patch.setenv("FER_BENCH_DATA", str(bu3dfe_root.parent))
        patch.chdir(folder)
        _open.cache_clear()
        bench = WithFusions(folder, bu3dfe_root.parent)
        assert bench.run(only=("fold=0",))
        yield bench, {cell.entry: cell for cell in bench.plan(only=("fold=0",)).cells}
        _open.cache_clear()


def test_scores_are_joined_by_sample(ran: tuple[Bench, dict[str, Cell]]) -> None:
    _, cells = ran
    both = [table(cells[name]) for name in ("views", "points")]
    for entry, expected in {
        "mean": fuse([scores(each) for each in both], "mean"),
        "fault": None,
    }.items():
        found = table(cells[entry])
        assert found[["id", "subject", "label"]].equals(both[0][["id", "subject", "label"]])
        if expected is not None:
            np.testing.assert_allclose(scores(found), expected, rtol=1e-6)
    listed = both[0].assign(place=[PROTOCOL.classes.index(label) for label in both[0]["label"]])
    order = listed.sort_values(["place", "id"]).index.to_numpy()
    spread = first_of_each_batch(scores(both[1])[order], 3)
    np.testing.assert_allclose(
        scores(table(cells["fault"]))[order], fuse([scores(both[0])[order], spread], "mean"), rtol=1e-6
    )
    assert cells["mean"].unsound == ""
    assert "which tells the class" in cells["fault"].unsound


def test_a_weight_is_chosen_on_validation_samples(ran: tuple[Bench, dict[str, Cell]]) -> None:
    _, cells = ran
    aside = [table(cells[name], "validation") for name in ("views", "points")]
    tested = set(table(cells["views"])["subject"])
    assert not tested & set(aside[0]["subject"]), "nobody who is tested"
    true = aside[0]["label"].to_numpy()
    names = np.array(PROTOCOL.classes, dtype=object)
    expected = choose_weight(
        [scores(each) for each in aside], lambda fused: float((names[fused.argmax(1)] == true).mean())
    )
    result = cells["chosen"].result()
    assert result is not None
    assert result.weight == expected
    both = [scores(table(cells[name])) for name in ("views", "points")]
    np.testing.assert_allclose(scores(table(cells["chosen"])), fuse(both, "weighted", expected), rtol=1e-6)


def test_fusions_are_tabulated_like_the_others(ran: tuple[Bench, dict[str, Cell]]) -> None:
    bench, cells = ran
    board = pd.read_csv(bench.out / "mine.csv").set_index("entry")
    assert set(board.index) == set(cells) == {"views", "points", "mean", "chosen", "fault"}
    parts = [cells[name].result() for name in ("views", "points")]
    result = cells["mean"].result()
    assert result is not None
    assert result.parameters == sum(part.parameters for part in parts if part)
    assert (result.epochs, result.selected_epoch, result.fit_seconds) == (0, -1, 0)
    page = (bench.out / "mine.md").read_text()
    assert "- fault is unsound: in batches of 3 test samples" in page
    chosen = cells["chosen"].result()
    assert chosen is not None
    assert f"- chosen gives the first of the two that it fuses a weight of {chosen.weight:.2f}." in page


def test_they_are_fused_anew_whenever_the_suite_runs(ran: tuple[Bench, dict[str, Cell]]) -> None:
    bench, cells = ran
    path = cells["points"].folder / "predictions.parquet"
    kept = path.read_bytes()
    before = scores(table(cells["mean"]))
    changed = table(cells["points"])
    changed[f"{OUTPUT}happy"] += 5
    changed.to_parquet(path, index=False)
    try:
        # Named alone, with what they are fused from left as it is.
        assert bench.run(only=("fold=0", "entry=mean"))
        assert not np.allclose(scores(table(cells["mean"])), before)
    finally:
        path.write_bytes(kept)
        assert bench.run(only=("fold=0", "entry=mean"))
    np.testing.assert_array_equal(scores(table(cells["mean"])), before)


def test_any_cells_can_be_fused(ran: tuple[Bench, dict[str, Cell]]) -> None:
    _, cells = ran
    folders = [cells[name].folder for name in ("points", "views", "mean")]
    found, fused = compare_fused(folders, "max")
    assert [row.name for row in found.rows] == [*(cells[n].id for n in ("points", "views", "mean")), "max of 3 cells"]
    np.testing.assert_array_equal(
        scores(fused), fuse([scores(table(cells[n])) for n in ("points", "views", "mean")], "max")
    )
    assert all(row.interval for row in found.rows)
    found, _ = compare_fused(folders[:2], "weighted")
    assert any("chosen on the validation samples" in note for note in found.notes)
    found, _ = compare_fused(folders[:2], "weighted:0.2", 4)
    assert any("weight of the first cell: 0.20, as given" in note for note in found.notes)
    assert any(note.startswith("unsound: in batches of 4") for note in found.notes)


def test_what_cannot_be_fused_says_why(ran: tuple[Bench, dict[str, Cell]], tmp_path: Path) -> None:
    bench, cells = ran
    folders = [cells[name].folder for name in ("points", "views")]
    with pytest.raises(FerBenchError, match="two models or more"):
        compare_fused(folders[:1], "mean")
    with pytest.raises(FerBenchError, match="nowhere: is no cell's folder; give some like runs/SUITE"):
        compare_fused([folders[0], tmp_path / "nowhere"], "mean")
    with pytest.raises(FerBenchError, match=r"no scores of validation samples.*weighted:0\.5"):
        fused_table([folders[0], cells["mean"].folder], PROTOCOL, "weighted")  # a fusion has no validation samples
    short = tmp_path / "short"
    short.mkdir()
    table(cells["points"])[1:].to_parquet(short / "predictions.parquet")
    with pytest.raises(FerBenchError, match="not of the same samples: 0 are in the first alone, and 1 in the second"):
        fused_table([short, folders[1]], PROTOCOL, "mean")
    other = tmp_path / "other"
    replace(cells["views"], folder=other, protocol_digest="0123456789ab").write()
    for path in ("result.json", "predictions.parquet"):
        (other / path).write_bytes((folders[1] / path).read_bytes())
    told = f"questions of one protocol; what differs: fer-bench protocol diff {cells['points'].protocol_digest} 01"
    with pytest.raises(FerBenchError, match=told):
        compare_fused([folders[0], other], "mean")
    (undone,) = (c for c in bench.plan(only=("fold=1", "entry=mean")).cells)
    undone.folder.mkdir(parents=True)
    for member in bench.plan(only=("fold=1", "entry=views,entry=points")).cells:
        member.folder.mkdir(parents=True)
        member.write()
    with pytest.raises(FerBenchError, match="views, which it fuses, is not done"):
        score_fused(undone)


def test_what_answers_different_questions_is_not_fused(ran: tuple[Bench, dict[str, Cell]]) -> None:
    _, cells = ran
    members = [cells["views"], replace(cells["points"], protocol_digest="0123456789ab")]
    made, without = fused_cells("mean", Fusion(of=["views", "points"]), members)
    digest = cells["views"].protocol_digest
    assert not made
    assert without[PROTOCOL.id] == (
        f"what it fuses answers different questions: fer-bench protocol diff {digest} 0123456789ab"
    )
    peeked = [replace(cells["views"], selection="best_on_test", unsound=faults("", "best_on_test")), cells["points"]]
    (cell,), _ = fused_cells("mean", Fusion(of=["views", "points"]), peeked)
    assert (cell.selection, cell.unsound) == ("best_on_test and validation", CHOSEN_ON_TEST)


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("mean: {of: [views]}", InvalidSuite, "at least 2"),
        ("mean: {of: [views, point]}", UnknownName, "mean: of: unknown entry 'point'; did you mean 'points'"),
        ("views: {of: [views, points]}", InvalidSuite, "views names two things"),
        ("mean: {of: [views, points], rule: median}", UnknownName, "median"),
        ("mean: {of: [views, points], rule: 'weighted:3'}", FerBenchError, "from 0 to 1"),
        ("mean: {of: [views, points], weight: 3}", InvalidSuite, "weight"),
    ],
)
def test_a_wrong_fusion_in_a_suite_is_refused(
    line: str, error: type[FerBenchError], message: str, tmp_path: Path
) -> None:
    from tests.suite_runner import SUITE

    path = tmp_path / "mine.yaml"
    path.write_text(f"{SUITE}\nfusions:\n  {line}\n")
    with pytest.raises(error, match=message):
        read_suite(path)


def test_a_fusion_can_be_set_on_the_command_line(tmp_path: Path) -> None:
    from tests.suite_runner import SUITE

    path = tmp_path / "mine.yaml"
    path.write_text(SUITE + FUSIONS)
    assert read_suite(path, ["mean.rule=max"]).fusions["mean"].rule == "max"
