"""Meshes of one topology as a representation."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_bench.errors import BrokenScan, InvalidSuite
from fer_bench.geometry.alignment import UnusableScan
from fer_bench.geometry.mean_face import mean_face
from fer_bench.geometry.scan import Scan
from fer_bench.representations.cache import prepare
from fer_bench.representations.sample_source import Source
from fer_bench.representations.vertices import Vertices

OWN, MEAN = frozenset({"mesh", "topology"}), frozenset({"mesh", "landmarks"})
SOURCE = Source("meshes", Path("/nowhere"), "made here", ("a", "b", "c", "d"), (("a",), ("b",), ("c",), ("d",)))


def load(root: Path, files: tuple[str, ...]) -> Scan:
    """Four meshes: the first cannot be read, the last has another topology."""
    if files == ("a",):
        raise BrokenScan(root / "a", "is torn", "Mend it.")
    mean = mean_face()
    shift = np.float32([500, 0, 10 * ord(files[0])])
    scan = Scan(mean.vertices + shift, mean.triangles)
    return replace(scan, vertices=scan.vertices[:-1]) if files == ("d",) else scan


def test_a_topology_passes_through_untouched(tmp_path: Path) -> None:
    (entry,) = prepare(tmp_path, SOURCE, [Vertices().resolve(OWN)], load, skip_broken=True)
    assert list(entry.rows) == ["b", "c"]
    assert "has 3970 vertices, and the first of the dataset has 3971" in entry.broken["d"]
    for name in ("b", "c"):
        np.testing.assert_array_equal(entry.open()[entry.rows[name][0]], load(Path(), (name,)).vertices)
    np.testing.assert_array_equal(entry.shared("triangles"), mean_face().triangles)
    assert entry.manifest["flagged"] == {}


def test_simplification_keeps_the_same_rows_of_all(tmp_path: Path) -> None:
    (entry,) = prepare(tmp_path, SOURCE, [Vertices(count=500).resolve(OWN)], load, skip_broken=True)
    array = entry.open()
    assert array.shape == (4, 500, 3)
    one, other = (array[entry.rows[name][0]] for name in ("b", "c"))
    np.testing.assert_allclose(other - one, np.tile(np.float32([0, 0, 10]), (500, 1)), atol=1e-3)
    everything = {tuple(point) for point in load(Path(), ("b",)).vertices.tolist()}
    assert everything.issuperset(map(tuple, one.tolist()))
    triangles = entry.shared("triangles")
    assert triangles.max() == 499 and 800 < len(triangles) < 1000


def test_scans_are_registered_to_the_mean_face(tmp_path: Path) -> None:
    meshes = replace(SOURCE, ids=("b", "c"), files=(("b",), ("c",)))
    whole, fewer = Vertices().resolve(MEAN), Vertices(count=800).resolve(MEAN)
    entry, small = prepare(tmp_path, meshes, [whole, fewer], load)
    assert entry.open().shape == (2, *whole.shape) and small.open().shape == (2, 800, 3)
    mean = mean_face()
    np.testing.assert_allclose(entry.open()[0], mean.vertices, atol=3)
    assert np.linalg.norm(entry.open()[0] - mean.vertices, axis=1).mean() < 0.5
    assert entry.index["residual_mm"].max() < 0.1 and entry.index["matched"].min() > 0.85
    for representation, made in ((whole, entry), (fewer, small)):
        picture = representation.picture(made.open()[0])
        assert picture.shape == (200, 400, 3) and (picture > 0).mean() > 0.2


def test_what_is_doubtful_is_flagged() -> None:
    vertices = Vertices()
    assert vertices.flag({"residual_mm": 0.2, "matched": 0.9}) is None
    assert "2.50 mm" in vertices.flag({"residual_mm": 2.5, "matched": 0.9})
    both = vertices.flag({"residual_mm": float("inf"), "matched": 0.21})
    assert "inf mm" in both and "only 21%" in both


def test_parameters_and_labels() -> None:
    assert Vertices().resolve(OWN) == Vertices(topology="own")
    assert Vertices().resolve(MEAN).label == "vertices-meanface"
    assert Vertices(topology="mean_face", count=900).resolve(OWN).label == "vertices-meanface-900"
    for wrong, word in (({"topology": "flame"}, "topology"), ({"count": 3}, "count")):
        with pytest.raises(InvalidSuite, match=word):
            Vertices(**wrong)
    with pytest.raises(InvalidSuite, match="use mean_face"):
        Vertices(topology="own").resolve(MEAN)
    with pytest.raises(InvalidSuite, match="call resolve"):
        Vertices().bind(SOURCE, load)
    with pytest.raises(InvalidSuite, match="has 3971 vertices"):
        Vertices(count=5000).resolve(OWN).bind(SOURCE, load)
    with pytest.raises(InvalidSuite, match="ask the entry"):
        _ = Vertices(topology="own").shape


def test_what_cannot_be_used() -> None:
    with pytest.raises(BrokenScan, match="none of its 1 meshes"):
        Vertices().resolve(OWN).bind(replace(SOURCE, ids=("a",), files=(("a",),)), load)
    extract = Vertices().resolve(OWN).bind(SOURCE, load).extract
    scan = load(Path(), ("b",))
    torn = replace(scan, vertices=np.where(np.arange(3) == 1, np.float32(np.nan), scan.vertices))
    with pytest.raises(UnusableScan, match="not finite"):
        extract(1, torn)
