"""Representations of perturbed scans, and their entries in the cache."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_bench import registry
from fer_bench.data.bu3dfe import BU3DFE
from fer_bench.errors import BrokenScan, InvalidSuite
from fer_bench.geometry.perturbations import Decimation, Holes, Noise, Rotation, Stress
from fer_bench.representations.cache import prepare
from fer_bench.representations.dynamic_views import DynamicViews
from fer_bench.representations.image import Image
from fer_bench.representations.points import Points
from fer_bench.representations.pruning import remnants
from fer_bench.representations.stressed import Stressed
from fer_bench.representations.vertices import Vertices
from fer_bench.representations.views import Views

POINTS = Points(count=128)
VIEWS = Views(yaws=(0,), size=32, channels=("texture", "depth"))


def test_a_digest_covers_the_representation_and_the_stress(monkeypatch: pytest.MonkeyPatch) -> None:
    variants = [
        Stressed(POINTS, Noise(1.0)),
        Stressed(POINTS, Noise(2.0)),
        Stressed(POINTS, Holes(5.0)),
        Stressed(POINTS, Holes(5.0, count=4)),
        Stressed(POINTS, Rotation("yaw", 20.0)),
        Stressed(POINTS, Rotation("pitch", 20.0)),
        Stressed(replace(POINTS, count=129), Noise(1.0)),
        Stressed(VIEWS, Noise(1.0)),
    ]
    digests = [POINTS.digest, *(variant.digest for variant in variants)]
    assert len(set(digests)) == len(digests)
    assert Stressed(POINTS, Noise(1.0)).digest == digests[1]
    monkeypatch.setattr(Noise, "version", 99)
    assert Stressed(POINTS, Noise(1.0)).digest != digests[1]
    assert variants[0].label == "points-128-noise-1mm"
    assert "stressed" not in registry.representations(), "it is nothing that a suite may ask for"


@pytest.mark.parametrize(
    ("representation", "why"),
    [
        (DynamicViews(), "dynamic_views is made of a sequence or video, and a stress is applied to single meshes"),
        (Image(), "image is made of a photo"),
        (Vertices(), "vertices needs the same vertices of every sample"),
    ],
)
def test_what_cannot_be_stressed_is_refused(representation: DynamicViews, why: str) -> None:
    with pytest.raises(InvalidSuite, match=why):
        Stressed(representation, Noise(1.0))


@pytest.mark.parametrize("stress", [Rotation("yaw", 40.0), Noise(1.0), Holes(15.0), Decimation(0.25)], ids=str)
def test_an_entry_holds_the_perturbed_samples_asked_for(stress: Stress, bu3dfe_root: Path, tmp_path: Path) -> None:
    source = BU3DFE.source(bu3dfe_root)
    part = source.part({source.ids[7], source.ids[3], "nobody"})
    assert part.ids == (source.ids[3], source.ids[7])
    assert part.digest != source.digest
    both = [Stressed(POINTS, stress), Stressed(VIEWS, stress)]
    assert pickle.loads(pickle.dumps(both)) == both
    entries = prepare(tmp_path, part, both, BU3DFE.load, workers=2)
    for stressed, entry in zip(both, entries, strict=True):
        assert list(entry.rows) == list(part.ids)
        for sample, files in zip(part.ids, part.files, strict=True):
            scan = BU3DFE.load(bu3dfe_root, files)
            held = entry.open()[entry.rows[sample][0]]
            np.testing.assert_array_equal(held, stressed.representation.extract(stress(scan)))
            assert not np.array_equal(held, stressed.representation.extract(scan))
        assert stressed.picture(held).ndim == 3
    assert remnants(tmp_path, lambda dataset, root: BU3DFE.source(root).digest) == [], "not of changed files"
    assert len(remnants(tmp_path, lambda dataset, root: "another")) == 2


def test_a_scan_that_a_stress_leaves_nothing_of_is_named(make_bu3dfe: object, tmp_path: Path) -> None:
    root = make_bu3dfe(1)  # type: ignore[operator]
    source = BU3DFE.source(root)
    part = source.part(source.ids[:2])
    with pytest.raises(
        BrokenScan, match=rf"{source.ids[0]}_F3D\.wrl: under holes-500mm: .* leaves nothing of the scan"
    ):
        prepare(tmp_path, part, [Stressed(POINTS, Holes(500.0))], BU3DFE.load)
    assert [path.suffix for path in tmp_path.glob("*/*/points*")] == [".lock"]
