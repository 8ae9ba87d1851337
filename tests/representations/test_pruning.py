"""Clearing the cache."""

from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from fer_bench.data.bu3dfe import BU3DFE
from fer_bench.representations.cache import prepare
from fer_bench.representations.points import Points
from fer_bench.representations.pruning import prune, remnants


def test_what_is_no_longer_of_use_can_be_pruned(tmp_path: Path, make_bu3dfe: Callable[[int], Path]) -> None:
    root = make_bu3dfe(1)
    source = BU3DFE.source(root)
    (entry,) = prepare(tmp_path / "cache", source, [Points(count=32)], BU3DFE.load)
    digest = source.digest

    def told(now: str | None, everything: bool = False) -> list[str]:
        return [r.why for r in remnants(tmp_path / "cache", lambda name, folder: now, everything)]

    assert told(digest) == []
    assert told(digest, everything=True) == ["as asked"]
    assert told("other") == [f"{root} has changed since"]
    assert told(None) == [f"{root} is gone"]
    left = entry.path.with_name(f".{entry.path.name}.partial")
    left.mkdir()
    (remnant,) = remnants(tmp_path / "cache", lambda name, folder: digest)
    assert (remnant.path, remnant.why) == (left, "left by a process that was stopped")
    with FileLock(entry.path.with_name(f"{entry.path.name}.lock")):
        assert not prune(remnant), "somebody is at it"
    assert left.exists()
    assert prune(remnant)
    assert not left.exists() and entry.problem() is None
    (remnant,) = remnants(tmp_path / "cache", lambda name, folder: None)
    assert remnant.size > 0
    assert prune(remnant)
    assert not entry.path.parent.exists(), "an empty folder goes with it"
