"""Finished cells in one file: what goes in comes out, and nothing else."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.cells.cell import cell_path
from fer_bench.cells.fused_cells import fused_table
from fer_bench.cells.saved_predictions import PROVENANCE
from fer_bench.errors import InvalidFile
from fer_bench.leaderboard.archive import pack, unpack
from fer_bench.leaderboard.pages import formats
from fer_bench.leaderboard.pages.markdown_page import to_markdown
from fer_bench.leaderboard.rows import collect
from fer_bench.protocols import PROTOCOLS
from fer_bench.registry import suites
from fer_bench.suites.reading import read_suite
from fer_bench.suites.suite import Suite

if TYPE_CHECKING:
    from tests.faked_cells import Faker

SUITE = "drfer/table1"
PROTOCOL = "bu3dfe-drfer60-cv10@1"


@pytest.fixture
def suite() -> Suite:
    return read_suite(suites()[SUITE], ["folds=[0,1]"])


@pytest.fixture
def runs(faker: Faker) -> Path:
    for entry, accuracy in (("drfer", 0.8), ("baseline", 0.7)):
        for fold in (0, 1):
            cell = faker.cell(SUITE, PROTOCOL, entry, fold=fold, accuracy=accuracy)
            faker.log(cell, 0, range(3), lambda epoch: 1 / (1 + epoch))
            shutil.copy(cell.folder / "predictions.parquet", cell.folder / "validation.parquet")
            (cell.folder / "checkpoints").mkdir()
            (cell.folder / "checkpoints" / "best.ckpt").write_bytes(b"weights")
    (cell.folder.parents[2] / f"question-{cell.protocol_digest}.parquet").write_bytes(b"asked")
    return faker.runs


def test_tables_of_what_was_packed_are_the_same(runs: Path, suite: Suite, tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "packed" / "table1.zip", tmp_path / "elsewhere"
    assert pack(SUITE, suite, runs, path) == 4
    assert unpack(path, elsewhere) == 4
    pages = [to_markdown(SUITE, suite, collect(SUITE, suite, place)) for place in (runs, elsewhere)]
    assert pages[0] == pages[1]
    assert "done" in pages[0]
    assert (elsewhere / SUITE / PROTOCOL / "question-0123456789ab.parquet").read_bytes() == b"asked"
    folder = elsewhere / SUITE / PROTOCOL / "drfer" / "fold01" / "seed0"
    assert sorted(p.name for p in folder.rglob("*") if p.is_file()) == [
        *("cell.json", "metrics.csv", "predictions.parquet", "result.json", "status.json", "validation.parquet"),
    ]


def test_what_cells_were_put_through_is_packed(runs: Path, suite: Suite, tmp_path: Path, faker: Faker) -> None:
    for entry in ("drfer", "baseline"):
        for fold in (0, 1):
            cell = faker.cell(SUITE, PROTOCOL, entry, fold=fold, accuracy=0.9)
            faker.turn(cell, lambda stress: 0.9 - abs(stress.degrees) / 100, 10, 12)
            for own in ("cell.json", "asked.json", "status.json"):
                (cell.folder / "stress" / own).write_text("{}")
    pack(SUITE, suite, runs, tmp_path / "a.zip")
    unpack(tmp_path / "a.zip", tmp_path / "elsewhere")
    pages = []
    for place in (runs, tmp_path / "elsewhere"):
        written = formats.write(SUITE, suite, collect(SUITE, suite, place), place, place / "out")
        pages.append({path.name: path.read_bytes() for path in written if "-stress-" in path.name})
    assert set(pages[0]) == {f"table1-stress-rotation.{kind}" for kind in ("csv", "md", "png")}
    assert pages[0]["table1-stress-rotation.csv"] == pages[1]["table1-stress-rotation.csv"]
    assert b"16/16" not in pages[1]["table1-stress-rotation.md"] and b"done" in pages[1]["table1-stress-rotation.md"]
    assert not (tmp_path / "elsewhere" / cell.folder.relative_to(runs) / "stress" / "cell.json").exists()


def test_what_was_packed_can_be_fused(runs: Path, suite: Suite, tmp_path: Path) -> None:
    pack(SUITE, suite, runs, tmp_path / "a.zip")
    unpack(tmp_path / "a.zip", tmp_path / "elsewhere")
    folders = [tmp_path / "elsewhere" / SUITE / cell_path(PROTOCOL, entry, 0, 0) for entry in ("drfer", "baseline")]
    table, weight = fused_table(folders, PROTOCOLS[PROTOCOL], "weighted")
    assert len(table) == 120
    assert weight is not None


def test_where_the_data_were_is_not_told(runs: Path, suite: Suite, tmp_path: Path) -> None:
    pack(SUITE, suite, runs, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        whole = b"".join(archive.read(name) for name in archive.namelist() if name.endswith(".json"))
    assert b"bu3dfe" in whole
    assert b"/data" not in whole
    assert b"/cache" not in whole


def test_the_same_cells_give_the_same_bytes(runs: Path, suite: Suite, tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        pack(SUITE, suite, runs, tmp_path / name)
        for path in runs.rglob("*.json"):
            path.touch()
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_what_is_not_finished_or_not_ours_stays_out(runs: Path, suite: Suite, tmp_path: Path, faker: Faker) -> None:
    faker.cell(SUITE, PROTOCOL, "drfer", fold=1, provenance=PROVENANCE)
    (runs / SUITE / PROTOCOL / "drfer" / "fold00" / "seed0" / "result.json").unlink()
    assert pack(SUITE, suite, runs, tmp_path / "a.zip") == 2
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {name.split("/")[3] for name in archive.namelist()} == {"baseline", "question-0123456789ab.parquet"}


def test_nothing_is_written_of_nothing(suite: Suite, tmp_path: Path) -> None:
    assert pack(SUITE, suite, tmp_path, tmp_path / "a.zip") == 0
    assert not (tmp_path / "a.zip").exists()


def test_cells_that_are_there_are_left_alone(runs: Path, suite: Suite, tmp_path: Path) -> None:
    pack(SUITE, suite, runs, tmp_path / "a.zip")
    mine = runs / SUITE / PROTOCOL / "drfer" / "fold00" / "seed0"
    (mine / "result.json").write_text("mine")
    other = mine.parent.parent / "fold01"
    for path in sorted(other.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    other.rmdir()
    assert unpack(tmp_path / "a.zip", runs) == 1
    assert (mine / "result.json").read_text() == "mine"
    assert (other / "seed0" / "result.json").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../x/a/b/fold00/seed0/cell.json",
        "/a/b/c/fold00/seed0/cell.json",
        "a/b/c/fold00/seed0/../../../../../../cell.json",
        "a/b/c/fold00/seed0/",
        "a/b/c/fold00/cell.json",
        "a/b/c/fold00/seed0/.hidden",
        "a/b/c\\d/fold00/seed0/cell.json",
        "a/b/c/fold00/seed0/cell.json\n",
        "a/b/c/fold00/seed0/checkpoints/best.ckpt",
        "a/b/c/fold00/seed0/stress/metrics.csv",
        "a/b/c/fold00/seed0/stress/cell.json",
    ],
)
def test_a_file_with_anything_else_is_refused_whole(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("suite/protocol/entry/fold00/seed0/cell.json", "{}")
        archive.writestr(name, "{}")
    with pytest.raises(InvalidFile, match="no part of a cell"):
        unpack(tmp_path / "a.zip", tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_damaged_file_is_refused_whole(runs: Path, suite: Suite, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    pack(SUITE, suite, runs, path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        last = archive.infolist()[-1].header_offset
    path.write_bytes(whole[: last + 200] + b"\0\1\2\3" + whole[last + 204 :])
    with pytest.raises(InvalidFile):
        unpack(path, tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


@given(content=st.binary(max_size=200), cut=st.integers(0, 120))
@settings(max_examples=50)
def test_bytes_of_any_kind_end_in_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("suite/protocol/entry/fold00/seed0/cell.json", content)
    (folder / "a.zip").write_bytes((folder / "a.zip").read_bytes()[:cut] + content)
    with pytest.raises(InvalidFile, match=r"Make it again with `fer-bench pack`\.$"):
        unpack(folder / "a.zip", folder / "runs")


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.zip")  # of a device, the end would be looked for until the memory is full
    with pytest.raises(InvalidFile, match="it is not a regular file"):
        unpack(tmp_path / "a.zip", tmp_path / "runs")


def test_where_cells_cannot_be_written_the_file_is_not_blamed(runs: Path, suite: Suite, tmp_path: Path) -> None:
    pack(SUITE, suite, runs, tmp_path / "a.zip")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"file'$"):
        unpack(tmp_path / "a.zip", tmp_path / "file")


def test_a_stopped_unpacking_leaves_whole_cells_alone(
    runs: Path, suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(SUITE, suite, runs, tmp_path / "a.zip")
    replace, moved = Path.replace, []

    def stopped(path: Path, target: Path) -> Path:
        if path.is_dir():
            moved.append(target)
            if len(moved) == 2:
                raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        unpack(tmp_path / "a.zip", tmp_path / "elsewhere")
    assert [path for path in (tmp_path / "elsewhere").rglob("seed*") if path.is_dir()] == moved[:1]
    assert not [*(tmp_path / "elsewhere").rglob(".*")], "nothing half unpacked"
