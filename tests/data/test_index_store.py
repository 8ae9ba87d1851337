import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fer_bench.data import index_store
from fer_bench.data.bu3dfe import BU3DFE
from fer_bench.data.layouts import Tree
from fer_bench.records import make_index

Make = Callable[[int], Path]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def settled(make_bu3dfe: Make) -> Path:
    """A dataset that nobody has touched for an hour."""
    root = make_bu3dfe(2)
    settle(root)
    return root


def settle(root: Path) -> None:
    before = time.time() - 3600
    for path in (root, *(p for p in root.rglob("*") if p.is_dir())):
        os.utime(path, (before, before))


def stored(root: Path) -> bool:
    return index_store.load("bu3dfe", BU3DFE, root) is not None


def test_what_was_stored_is_what_was_read(settled: Path) -> None:
    first = BU3DFE.survey(settled)
    again = index_store.load("bu3dfe", BU3DFE, settled)
    assert again is not None
    assert again.index.equals(first.index)
    assert dict(again.index.dtypes) == dict(first.index.dtypes)
    assert again.findings == first.findings
    assert all(isinstance(files, tuple) for files in again.index["files"])


def test_a_stored_index_is_used(settled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = BU3DFE.index(settled)
    monkeypatch.setattr(BU3DFE, "examine", None)
    assert BU3DFE.index(settled).equals(first)


@pytest.mark.parametrize("change", ["a file more", "a file less", "a name changed", "a folder more", "a folder less"])
def test_a_tree_that_changed_is_read_again(settled: Path, change: str) -> None:
    BU3DFE.index(settled)
    assert stored(settled)
    scan = settled / "F0001" / "F0001_AN01WH_F3D.wrl"
    match change:
        case "a file more":
            (scan.parent / "F0001_NE00WH_RAW.wrl").touch()
        case "a file less":
            scan.unlink()
        case "a name changed":
            scan.rename(scan.with_name("F0001_AN01BL_F3D.wrl"))
        case "a folder more":
            (settled / "F0009").mkdir()
        case "a folder less":
            for path in scan.parent.iterdir():
                path.unlink()
            scan.parent.rmdir()
    assert not stored(settled)


def test_what_could_not_be_read_is_not_kept(settled: Path) -> None:
    (settled / "F0003").symlink_to(settled.parent / "a disk that is not there")
    settle(settled)
    BU3DFE.index(settled)
    assert not stored(settled), "no time of a folder would tell that the disk is back"


def test_new_label_codes_make_a_new_index(settled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    BU3DFE.index(settled)
    assert stored(settled)
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda p: read(p) + (b"# new" if p.name == "expressions.py" else b""))
    index_store._code.cache_clear()
    assert not stored(settled)
    monkeypatch.undo()
    index_store._code.cache_clear()


def test_a_label_file_that_was_written_is_read_again(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "labels.csv").write_text("1,2")
    settle(root)
    tree = Tree(root)
    tree.read("labels.csv")
    from fer_bench.data.survey import Survey

    index = make_index([{"id": "a", "files": ("a.jpg", "a.npy")}, {"id": "b", "files": ()}])
    index_store.save("bu3dfe", BU3DFE, tree, Survey(index, ()))
    found = index_store.load("bu3dfe", BU3DFE, root)
    assert found is not None
    assert found.index["files"].tolist() == [("a.jpg", "a.npy"), ()]
    with (root / "labels.csv").open("a") as file:  # in place: the folder's time stays
        file.write("3")
    assert not stored(root)


def test_a_tree_that_was_just_touched_is_not_trusted(settled: Path) -> None:
    (settled / "F0001" / "new").touch()
    BU3DFE.survey(settled)
    assert not stored(settled)


def test_another_reader_another_root_and_damage_are_not_trusted(settled: Path, own_cache: Path) -> None:
    BU3DFE.index(settled)
    assert index_store.load("bu3dfe", Tree, settled) is None, "another reader's source"
    assert index_store.load("bu3dfe", BU3DFE, settled / "F0001") is None
    (path,) = own_cache.rglob("index-*.parquet")
    for damage in (b"", b"PAR1", path.read_bytes()[:-20]):
        path.write_bytes(damage)
        assert not stored(settled)
        assert len(BU3DFE.index(settled)) == 50


def test_a_cache_that_cannot_be_written_costs_time_only(settled: Path, own_cache: Path) -> None:
    own_cache.write_text("a file where the folder should be")
    assert len(BU3DFE.index(settled)) == 50
