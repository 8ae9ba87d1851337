import contextlib
import errno
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fer_bench.data.bu3dfe import BU3DFE
from fer_bench.errors import BrokenScan, FerBenchError, InvalidFile
from fer_bench.geometry.scan import Scan
from fer_bench.representations import partial
from fer_bench.representations.base import Bound, Representation
from fer_bench.representations.cache import prepare
from fer_bench.representations.cache_entry import CacheEntry, entry_path
from fer_bench.representations.points import Points
from fer_bench.representations.sample_source import Source
from fer_bench.representations.views import Views

VIEWS = Views(yaws=(0.0,), size=16, channels=("depth",))
POINTS = Points(count=32)


def fill(cache: Path, root: Path, workers: int = 1, **options: bool) -> CacheEntry:
    (entry,) = prepare(cache, BU3DFE.source(root), [POINTS], BU3DFE.load, workers=workers, **options)
    return entry


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
        row, count = entry.rows[name]
        assert count == 1
        assert np.array_equal(array[row], expected)
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
def test_a_broken_scan_stops_it_and_leaves_no_entry(
    tmp_path: Path, make_bu3dfe: Callable[[int], Path], workers: int
) -> None:
    root = make_bu3dfe(1)
    broken = root / "F0001" / "F0001_HA02WH_F3D.wrl"
    broken.write_bytes(broken.read_bytes()[:2000])
    with pytest.raises(BrokenScan, match=r"F0001_HA02WH_F3D\.wrl.*--skip-broken"):
        fill(tmp_path / "cache", root, workers)
    path = entry_path(tmp_path / "cache", BU3DFE.source(root), POINTS)
    assert not path.exists()
    entry = fill(tmp_path / "cache", root, workers, skip_broken=True)
    assert list(entry.broken) == ["F0001_HA02WH"], "what was done before it is taken up"
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name, f"{path.name}.lock"]


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
    assert not entry_path(tmp_path / "cache", BU3DFE.source(root), POINTS).exists()


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


def files_of(entry: CacheEntry) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in entry.path.iterdir()}


def _fill_slowly(cache: Path, root: Path) -> None:
    prepare(cache, BU3DFE.source(root), [POINTS, VIEWS], _slowly, workers=1)


def _slowly(root: Path, files: tuple[str, ...]) -> object:
    time.sleep(0.02)
    return BU3DFE.load(root, files)


def test_a_killed_process_is_taken_up_and_nothing_differs(tmp_path: Path, make_bu3dfe: Callable[[int], Path]) -> None:
    root = make_bu3dfe(2)
    source = BU3DFE.source(root)
    whole = prepare(tmp_path / "whole", source, [POINTS, VIEWS], BU3DFE.load)
    cache = tmp_path / "killed"
    begun = entry_path(cache, source, VIEWS)
    partial_folder = begun.with_name(f".{begun.name}.partial")
    for enough in (5, 20):  # killed twice, each time a little later
        process = multiprocessing.get_context("fork").Process(target=_fill_slowly, args=(cache, root))
        process.start()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError):
                if (np.load(partial_folder / "checksums.npy") != 0).sum() >= enough:
                    break
            time.sleep(0.01)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert not begun.exists()
    load, told, seen = Counting(tmp_path / "log"), list[str](), list[tuple[int, int]]()
    again = prepare(cache, source, [POINTS, VIEWS], load, notify=told.append, progress=lambda *p: seen.append(p))
    assert len((tmp_path / "log").read_text()) <= 30, "what was done is not read again"
    assert "of 50 samples were extracted before; going on." in told[0]
    assert seen[-1] == (50, 50)
    for one, other in zip(whole, again, strict=True):
        assert files_of(one) == files_of(other)
    assert not list(cache.rglob("*.partial"))


def test_rows_that_never_reached_the_disk_are_extracted_again(
    tmp_path: Path, make_bu3dfe: Callable[[int], Path]
) -> None:
    root = make_bu3dfe(1)
    (root / "F0001" / "F0001_SU04WH_F3D.wrl").write_bytes(b"")
    with pytest.raises(BrokenScan):
        fill(tmp_path, root)
    path = entry_path(tmp_path, BU3DFE.source(root), POINTS)
    array = np.lib.format.open_memmap(path.with_name(f".{path.name}.partial") / "array.npy", mode="r+")
    array[3] = 7.0
    array.flush()
    entry = fill(tmp_path, root, skip_broken=True)
    assert (entry.open()[3] != 7.0).any()
    assert entry.verify() == []


def test_damage_is_found_and_mended(tmp_path: Path, make_bu3dfe: Callable[[int], Path]) -> None:
    root = make_bu3dfe(1)
    entry = fill(tmp_path, root)
    before = files_of(entry)
    assert entry.problem() is None and entry.verify() == []
    array = np.lib.format.open_memmap(entry.path / "array.npy", mode="r+")
    array[entry.rows["F0001_HA02WH"][0], 5] += 1
    array.flush()
    seen: list[tuple[int, int]] = []
    assert entry.verify(lambda *p: seen.append(p)) == ["F0001_HA02WH"]
    assert seen[-1] == (25, 25)
    assert entry.problem() is None, "sizes alone do not tell"
    for name in ("array.npy", "checksums.npy", "index.parquet", "manifest.json"):
        (entry.path / name).write_bytes(before[name][:60])
        told: list[str] = []
        (mended,) = prepare(tmp_path, BU3DFE.source(root), [POINTS], BU3DFE.load, notify=told.append)
        assert files_of(mended) == before
        assert told[0].startswith(f"{entry.path}: damaged (") and told[0].endswith("; it is extracted again.")
        assert [p.name for p in entry.path.parent.iterdir() if p.is_dir()] == [entry.path.name]


def test_a_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, make_bu3dfe: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    source = BU3DFE.source(make_bu3dfe(1))
    monkeypatch.setattr(partial.os, "posix_fallocate", full)
    with pytest.raises(FerBenchError, match=r"cannot hold .* GB more \(No space left on device\).*FER_BENCH_CACHE"):
        prepare(tmp_path, source, [POINTS], BU3DFE.load)
    assert not [p for p in entry_path(tmp_path, source, POINTS).parent.iterdir() if p.is_dir()]


@dataclass(frozen=True)
class Repeated(Representation):
    """Each sample as often as its id's last digit but one says."""

    name, version, many = "repeated", 1, True

    def rows(self, sample: object) -> int:
        return int(sample.landmarks["chin"][0] > 0) + 1  # type: ignore[attr-defined]

    def extract(self, sample: object) -> np.ndarray:
        return np.arange(self.rows(sample), dtype=np.float32)[:, None] + sample.vertices[0, 0]  # type: ignore[attr-defined]

    shape = property(lambda self: (1,))
    dtype = property(lambda self: np.dtype(np.float32))
    label = property(lambda self: "repeated")


@dataclass(frozen=True)
class Judged(Representation):
    """Tells how wide the scan is, and keeps an array for all."""

    name, version, measures = "judged", 1, ("wide", "high")

    def extract(self, sample: object) -> np.ndarray:
        raise NotImplementedError

    def bind(self, source: Source, load: Callable) -> Bound:
        return Bound(_judge, (2,), {"triangles": np.int32([[0, 1, 2]])})

    def flag(self, measured: dict[str, float]) -> str | None:
        return f"{measured['wide']:.1f} wide" if measured["wide"] > 180 else None

    shape = property(lambda self: (1,))  # what bind says goes before it
    dtype = property(lambda self: np.dtype(np.float32))
    label = property(lambda self: "judged")


def _judge(position: int, sample: Scan) -> tuple[np.ndarray, tuple[float, float]]:
    wide, high, _ = np.ptp(sample.vertices, axis=0).astype(float)
    return np.full(2, position, dtype=np.float32), (wide, high)


def test_measures_flags_and_shared_arrays_are_kept(tmp_path: Path, make_bu3dfe: Callable[[int], Path]) -> None:
    root = make_bu3dfe(1)
    source = BU3DFE.source(root)
    (entry,) = prepare(tmp_path, source, [Judged()], BU3DFE.load)
    np.testing.assert_array_equal(entry.open()[:, 0], np.arange(25))
    expected = [np.ptp(BU3DFE.load(root, files).vertices, axis=0) for files in source.files]
    np.testing.assert_allclose(entry.index[["wide", "high"]], np.array(expected)[:, :2])
    over = {name: f"{size[0]:.1f} wide" for name, size in zip(source.ids, expected, strict=True) if size[0] > 180}
    assert entry.manifest["flagged"] == over
    np.testing.assert_array_equal(entry.shared("triangles"), [[0, 1, 2]])
    assert entry.verify() == []
    index = entry.index.assign(wide=entry.index["wide"] + (entry.index["id"] == source.ids[4]))
    index.to_parquet(entry.path / "index.parquet", index=False)
    assert CacheEntry(entry.path).verify() == [source.ids[4]], "the checksum is of the measures too"
    (entry.path / "triangles.npy").unlink()
    assert "triangles.npy" in CacheEntry(entry.path).problem()


def test_a_sample_may_have_several_rows(tmp_path: Path, make_bu3dfe: Callable[[int], Path]) -> None:
    root = make_bu3dfe(1)
    source = BU3DFE.source(root)
    broken = root / "F0001" / "F0001_HA02WH_F3D.wrl"
    (entry,) = prepare(tmp_path, source, [Repeated()], BU3DFE.load)
    array, total = entry.open(), 0
    for sample, files in zip(source.ids, source.files, strict=True):
        row, count = entry.rows[sample]
        np.testing.assert_array_equal(array[row : row + count], Repeated().extract(BU3DFE.load(root, files)))
        assert row == total
        total += count
    assert total == len(array) > 0
    assert entry.verify() == []
    assert broken.exists()
