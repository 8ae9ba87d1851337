"""Extraction in shards ends with the bytes of one process's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_bench.data.bu3dfe import BU3DFE
from fer_bench.errors import BrokenScan
from fer_bench.representations.cache import prepare
from fer_bench.representations.cache_entry import CacheEntry, entry_path
from fer_bench.representations.points import Points
from fer_bench.representations.shards import Shard, extract_shard, merge_shards, missing
from fer_bench.representations.views import Views

WANTED = [Points(count=32), Views(yaws=(0.0,), size=16, channels=("depth",))]


def files(entry: CacheEntry) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in entry.path.iterdir()}


def extract(cache: Path, root: Path, numbers: range, of: int, load: Callable[..., Any] = BU3DFE.load) -> None:
    for number in numbers:
        extract_shard(cache, BU3DFE.source(root), WANTED, load, Shard(number, of))


def test_shards_make_the_same_entries(tmp_path: Path, make_bu3dfe: Callable[[int], Path]) -> None:
    root = make_bu3dfe(2)
    source = BU3DFE.source(root)
    whole = prepare(tmp_path / "whole", source, WANTED, BU3DFE.load)
    extract(tmp_path / "parts", root, range(3), 3)
    assert missing(tmp_path / "parts", source, WANTED) == WANTED, "a shard is no entry"
    assert merge_shards(tmp_path / "parts", source, WANTED, BU3DFE.load) == 6

    def refuse(*_: object) -> None:
        raise AssertionError("extracted again")

    entries = prepare(tmp_path / "parts", source, WANTED, refuse)
    assert missing(tmp_path / "parts", source, WANTED) == []
    for one, other in zip(whole, entries, strict=True):
        assert files(one) == files(other)
        assert not [path for path in other.path.parent.iterdir() if "shard" in path.name]


def test_what_a_shard_lacks_is_extracted_afterwards(tmp_path: Path, make_bu3dfe: Callable[[int], Path]) -> None:
    root = make_bu3dfe(2)
    source = BU3DFE.source(root)
    source.root.joinpath(source.files[4][0]).write_text("no scan")
    source = BU3DFE.source(root)
    extract(tmp_path, root, range(1, 3), 3)  # the first never ran
    shard = entry_path(tmp_path, source, WANTED[0])
    damaged = np.load(shard.with_name(f".{shard.name}.shard1of3.partial") / "array.npy", mmap_mode="r+")
    damaged[2] += 1  # sample 7
    damaged.flush()
    read: list[tuple[str, ...]] = []

    def load(root: Path, names: tuple[str, ...]) -> Any:
        read.append(names)
        return BU3DFE.load(root, names)

    merge_shards(tmp_path, source, WANTED, BU3DFE.load)
    with pytest.raises(BrokenScan, match=source.files[4][0]):
        prepare(tmp_path, source, WANTED, load)
    read.clear()
    entries = prepare(tmp_path, source, WANTED, load, skip_broken=True)
    assert list(entries[0].broken) == [source.ids[4]]
    fresh = prepare(tmp_path / "fresh", source, WANTED, BU3DFE.load, skip_broken=True)
    assert files(fresh[0]) == files(entries[0])


def test_a_shard_goes_on_where_it_was(tmp_path: Path, make_bu3dfe: Callable[[int], Path]) -> None:
    root = make_bu3dfe(2)
    read: list[tuple[str, ...]] = []

    def load(root: Path, names: tuple[str, ...]) -> Any:
        if len(read) == 5:
            raise KeyboardInterrupt
        read.append(names)
        return BU3DFE.load(root, names)

    with pytest.raises(KeyboardInterrupt):
        extract(tmp_path, root, range(1), 2, load)
    begun = set(read)
    read[:] = [("none",)] * 6
    extract(tmp_path, root, range(1), 2, load)
    assert not begun & set(read[6:])
    assert len(read[6:]) == 25 - 5


def test_places_of_shards_are_all_places() -> None:
    places = [Shard(number, 4).places(10).tolist() for number in range(4)]
    assert sorted(place for each in places for place in each) == list(range(10))
