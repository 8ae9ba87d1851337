"""What was asked of cells is kept beside them, and two of them can be compared later."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from fer_bench.cells.cell import Cell
from fer_bench.cells.snapshots import compare, keep
from fer_bench.cli.protocol import protocol_app
from fer_bench.errors import FerBenchError, InvalidFile
from fer_bench.launch.planning import Plan, _open

if TYPE_CHECKING:
    from tests.suite_runner import Bench

PROTOCOL = "bu3dfe-s1-cv10@1"


def written(plan: Plan) -> list[Cell]:
    """The cells of a plan, as `run` leaves them before any is trained."""
    for cell in plan.cells:
        cell.folder.mkdir(parents=True, exist_ok=True)
        cell.write()
    keep(plan.cells, plan.snapshots)
    return plan.cells


@pytest.fixture
def two(bench: Bench, make_bu3dfe: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch) -> tuple[Cell, Cell, Path]:
    """A cell of ten people, one of eleven, and the folder that the data of the second are in."""
    first = written(bench.plan())[0]
    root = make_bu3dfe(11)
    monkeypatch.setenv("FER_BENCH_DATA", str(root.parent))
    _open.cache_clear()
    bench.runs = bench.runs.with_name("others")
    return first, written(bench.plan())[0], root.parent


def test_one_small_file_a_question_is_kept(bench: Bench) -> None:
    cells = written(bench.plan())
    (path,) = bench.runs.rglob("question-*.parquet")
    assert path.parent == bench.runs / "mine" / PROTOCOL
    assert path.name == f"question-{cells[0].protocol_digest}.parquet" and path.stat().st_size < 20_000
    same, told = compare(str(cells[0].folder), str(cells[-1].folder), bench.runs, [])
    assert same and told.endswith("The question is the same: results may be ranked together.")


def test_the_difference_is_told_however_the_two_are_named(
    two: tuple[Cell, Cell, Path], bench: Bench, bu3dfe_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, other = two
    runs = first.folder.parents[5]
    expected = "Only B has 1 subject (F0006), with 12 samples."
    ways = (
        (str(first.folder), str(second.folder), []),
        (str(first.folder.parents[3]), str(second.folder.parents[2]), []),
        (first.protocol_digest, second.protocol_digest, []),
        (first.protocol_digest, PROTOCOL, [other]),
        (PROTOCOL, PROTOCOL, [bu3dfe_root.parent, other]),
    )
    for a, b, data in ways:
        same, told = compare(a, b, runs, data)
        assert not same and f"- {expected}" in told.splitlines(), (a, b)
        assert first.protocol_digest in told and second.protocol_digest in told
    assert compare(PROTOCOL, first.protocol_digest, runs, [bu3dfe_root.parent])[0]
    assert expected.replace("B has", "A has") in compare(second.protocol_digest, str(first.folder), runs, [])[1]


def test_the_kept_file_outlives_the_data_and_without_either_nothing_is_made_up(two: tuple[Cell, Cell, Path]) -> None:
    first, second, other = two
    runs = first.folder.parents[5]
    (kept,) = second.folder.parents[2].glob("question-*.parquet")
    moved = kept.rename(kept.with_suffix(".away"))
    assert "F0006" in compare(str(first.folder), str(second.folder), runs, [])[1], "made again from the data"
    (other / "bu3dfe" / "F0001" / "F0001_AN03WH_F3D.wrl").unlink()
    with pytest.raises(FerBenchError, match=f"is the digest {second.protocol_digest}, and its data ask another one"):
        compare(str(first.folder), str(second.folder), runs, [])
    shutil.rmtree(other / "bu3dfe")
    with pytest.raises(FerBenchError, match=r"cannot be made again .*there is no such folder.*runs no finished cell"):
        compare(str(first.folder), str(second.folder), runs, [])
    moved.rename(kept)
    assert "F0006" in compare(str(first.folder), str(second.folder), runs, [])[1]
    kept.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InvalidFile, match=f"is not the snapshot {second.protocol_digest}"):
        compare(str(first.folder), str(second.folder), runs, [])


def test_what_is_not_there_is_a_sentence(two: tuple[Cell, Cell, Path], tmp_path: Path) -> None:
    first, second, _ = two
    runs, whole = first.folder.parents[5], str(first.folder)
    (tmp_path / "empty").mkdir()
    for text, why in (
        ("0123456789ab", "no cell below .* has this digest"),
        ("runs/mine/nothing", "there is no such folder; give a cell's, a protocol's id, or a digest"),
        ("bu3dfe-s1-cv1@1", "unknown protocol 'bu3dfe-s1-cv1@1'; did you mean"),
        (str(tmp_path / "empty"), "holds no cell"),
    ):
        with pytest.raises(FerBenchError, match=why):
            compare(whole, text, runs, [])
    content = json.loads((second.folder / "cell.json").read_text())
    (first.folder.parent / "seed1").mkdir()
    (first.folder.parent / "seed1" / "cell.json").write_text(json.dumps(content))
    with pytest.raises(FerBenchError, match=r"its cells answer 2 questions .* give one of them"):
        compare(str(first.folder.parent), whole, runs, [])
    with pytest.raises(FerBenchError, match="--data: give it once"):
        compare(whole, whole, runs, [tmp_path] * 3)


def test_the_exit_code_tells_it(two: tuple[Cell, Cell, Path]) -> None:
    first, second, _ = two
    run = CliRunner().invoke
    equal = run(protocol_app, ["diff", str(first.folder), str(first.folder)])
    assert (equal.exit_code, equal.output.count("\n")) == (0, 3)
    other = run(protocol_app, ["diff", str(first.folder), str(second.folder)])
    assert other.exit_code == 1 and "- Only B has 1 subject (F0006), with 12 samples." in other.output
