from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fer_bench.data.bu3dfe import BU3DFE
from fer_bench.errors import BrokenScan, InvalidFile
from fer_bench.representations.cache import CacheEntry, Source, entry_path, prepare
from fer_bench.representations.points import Points
from fer_bench.representations.views import Views

VIEWS = Views(yaws=(0.0,), size=16, channels=("depth",))
POINTS = Points(count=32)


def fill(cache: Path, root: Path, workers: int = 1, **options: bool) -> CacheEntry:
    (entry,) = prepare(cache, BU3DFE.source(root), [POINTS], BU3DFE.load, workers=workers, **options)
    return entry


def leftovers(cache: Path) -> list[str]:
    return sorted(p.name for p in cache.rglob("*") if p.is_file() and not p.name.endswith(".lock"))


def test_an_entry_holds_what_was_extracted(tmp_path: Path, bu3dfe_root: Path) -> None:
    source = BU3DFE.source(bu3dfe_root)
    seen: list[tuple[int, int]] = []
    (entry,) = prepare(tmp_path, source, [VIEWS], BU3DFE.load, progress=lambda *p: seen.append(p))
    assert seen[-1] == (250, 250)
    array = entry.open()
    assert array.shape == (250, 1, 1, 16, 16)
    assert isinstance(array, np.memmap)
    assert not array.flags.writeable
    for name in (source.ids[0], source.ids[137]):
        expected = VIEWS.extract(BU3DFE.load(bu3dfe_root, source.files[source.ids.index(name)]))
        assert np.array_equal(array[entry.rows[name]], expected)
    assert len({array[i].tobytes() for i in range(250)}) > 200, "rows are the samples' own"
    assert entry.manifest["provenance"] == "as distributed"
    assert entry.path == entry_path(tmp_path, source, VIEWS)


def test_workers_do_not_change_it_and_a_second_call_extracts_nothing(tmp_path: Path, bu3dfe_root: Path) -> None:
    one, two = fill(tmp_path / "one", bu3dfe_root), fill(tmp_path / "two", bu3dfe_root, workers=2)
    assert np.array_equal(one.open(), two.open())
    assert one.rows == two.rows

    def refuse(*_: object) -> None:
        raise AssertionError("extracted again")

    (again,) = prepare(tmp_path / "one", BU3DFE.source(bu3dfe_root), [POINTS], refuse)
    assert again.path == one.path


def test_parameters_and_files_are_its_key(tmp_path: Path, make_bu3dfe: Callable[[int], Path]) -> None:
    root = make_bu3dfe(1)
    source = BU3DFE.source(root)
    assert entry_path(tmp_path, source, POINTS) != entry_path(tmp_path, source, Points(count=33))
    path = root / source.files[0][0]
    os.utime(path, ns=(0, 0))
    assert entry_path(tmp_path, BU3DFE.source(root), POINTS) != entry_path(tmp_path, source, POINTS)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_broken_scan_stops_it_and_leaves_nothing(
    tmp_path: Path, make_bu3dfe: Callable[[int], Path], workers: int
) -> None:
    root = make_bu3dfe(1)
    broken = root / "F0001" / "F0001_HA02WH_F3D.wrl"
    broken.write_bytes(broken.read_bytes()[:2000])
    with pytest.raises(BrokenScan, match=r"F0001_HA02WH_F3D\.wrl.*--skip-broken"):
        fill(tmp_path / "cache", root, workers)
    assert leftovers(tmp_path / "cache") == []


def test_skipped_scans_are_counted_and_named(tmp_path: Path, make_bu3dfe: Callable[[int], Path]) -> None:
    root = make_bu3dfe(1)
    (root / "F0001" / "F0001_HA02WH_F3D.wrl").write_bytes(b"")
    entry = fill(tmp_path / "cache", root, skip_broken=True)
    assert list(entry.broken) == ["F0001_HA02WH"]
    assert "F0001_HA02WH_F3D.wrl" in entry.broken["F0001_HA02WH"]
    assert len(entry.rows) == 24
    assert "F0001_HA02WH" not in entry.rows


def test_when_nothing_can_be_read_nothing_is_kept(tmp_path: Path, make_bu3dfe: Callable[[int], Path]) -> None:
    root = make_bu3dfe(1)
    for path in root.rglob("*.wrl"):
        path.write_bytes(b"")
    with pytest.raises(BrokenScan, match="none of its 25 samples"):
        fill(tmp_path / "cache", root, skip_broken=True)
    assert leftovers(tmp_path / "cache") == []


def test_what_a_representation_refuses_names_the_file(tmp_path: Path, make_bu3dfe: Callable[[int], Path]) -> None:
    root = make_bu3dfe(1)
    (root / "F0001" / "F0001_HA02WH_F3D.bmp").unlink()
    views = Views(yaws=(0.0,), size=8, channels=("texture",))
    with pytest.raises(BrokenScan, match=r"F0001_HA02WH_F3D\.wrl"):
        prepare(tmp_path, BU3DFE.source(root), [views], BU3DFE.load)


def test_a_damaged_array_is_named(tmp_path: Path, make_bu3dfe: Callable[[int], Path]) -> None:
    entry = fill(tmp_path, make_bu3dfe(1))
    (entry.path / "array.npy").write_bytes(b"damaged")
    with pytest.raises(InvalidFile, match=r"array\.npy.*Delete its folder"):
        entry.open()


@dataclass(frozen=True)
class Counting:
    """Notes every read in a file, so that reads in several processes can be counted."""

    log: Path

    def __call__(self, root: Path, files: tuple[str, ...]) -> object:
        with self.log.open("a") as file:
            file.write("x")
        return BU3DFE.load(root, files)


def _fill_once(cache: Path, source: Source, load: Counting) -> None:
    prepare(cache, source, [POINTS], load)


def test_two_processes_make_one_entry(tmp_path: Path, make_bu3dfe: Callable[[int], Path]) -> None:
    source = BU3DFE.source(make_bu3dfe(1))
    load = Counting(tmp_path / "log")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_fill_once, args=(tmp_path / "cache", source, load)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert (tmp_path / "log").read_text() == "x" * 25


def test_each_sample_is_read_once_for_all_representations(tmp_path: Path, make_bu3dfe: Callable[[int], Path]) -> None:
    source, load = BU3DFE.source(make_bu3dfe(1)), Counting(tmp_path / "log")
    points, views = prepare(tmp_path / "both", source, [POINTS, VIEWS], load)
    assert (tmp_path / "log").read_text() == "x" * 25
    assert points.open().shape == (25, 32, 3)
    assert views.open().shape == (25, 1, 1, 16, 16)
    (alone,) = prepare(tmp_path / "alone", source, [VIEWS], load)
    assert np.array_equal(alone.open(), views.open())
    prepare(tmp_path / "both", source, [VIEWS, Points(count=8)], load)
    assert (tmp_path / "log").read_text() == "x" * 75, "only what is absent is extracted"


def test_what_a_killed_process_left_is_cleared(tmp_path: Path, make_bu3dfe: Callable[[int], Path]) -> None:
    source = BU3DFE.source(make_bu3dfe(1))
    path = entry_path(tmp_path, source, POINTS)
    abandoned = path.with_name(f".{path.name}.deadbeef")
    abandoned.mkdir(parents=True)
    (abandoned / "array.npy").write_bytes(b"half")
    prepare(tmp_path, source, [POINTS], BU3DFE.load)
    assert not abandoned.exists()
