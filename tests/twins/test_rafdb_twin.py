import hashlib
from pathlib import Path

import numpy as np
import pytest

from fer_bench.data.doctor import diagnose
from fer_bench.data.rafdb import RAFDB, read_attributes
from fer_bench.io.parameter_source import find_parameters
from fer_bench.records import read_json
from fer_bench.twins.face import procedural_face
from fer_bench.twins.population import Population
from fer_bench.twins.rafdb import plan, write_twin


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("twin")
    for layout in write_twin.layouts:
        write_twin(folder / layout, subjects=1, seed=5, layout=layout)
    return {layout: folder / layout for layout in write_twin.layouts}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))


def fingerprint(root: Path) -> dict[str, str]:
    return {
        p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in root.rglob("*")
        if p.is_file()
    }


def test_classes_have_the_distributions_shares() -> None:
    shots = plan(Population("rafdb", procedural_face(), 0), 20)
    train, test = ([s.code for s in shots if s.name.startswith(split)] for split in ("train", "test"))
    assert [train.count(code) for code in range(1, 8)] == [63, 14, 35, 233, 97, 35, 123]
    assert [test.count(code) for code in range(1, 8)] == [16, 4, 8, 58, 23, 8, 33]
    assert (shots[0].name, shots[-1].name) == ("train_00001", "test_0150")


def test_bytes_depend_on_the_seed_alone(roots: dict[str, Path], tmp_path: Path) -> None:
    write_twin(tmp_path / "again", subjects=1, seed=5, workers=2)
    assert fingerprint(tmp_path / "again") == fingerprint(roots["basic"])


def test_the_doctor_reports_each_fault_and_nothing_else(roots: dict[str, Path]) -> None:
    root = roots["basic"]
    diagnosis = diagnose(RAFDB, root)
    assert not diagnosis.broken
    told = {kind: [f for f in diagnosis.findings if f.kind == kind] for kind in ("missing", "warning", "error")}
    undetected, absent, unaligned, ungiven, unlisted = read_json(root / "twin.json")["quirks"]
    assert [(f.names[0], len(f.names)) for f in told["missing"][:3]] == [
        (absent.split()[3].rstrip(",").removesuffix(".jpg") + ".jpg", 1),
        (unaligned.split(".")[0], 1),
        (ungiven.split(".")[0], 1),
    ]
    assert "emoca" in told["missing"][2].text
    assert f"no row for {len(told['missing'][3].names)} photographs" in undetected
    assert len(told["missing"]) == 4
    (spare,) = told["warning"]
    assert (spare.text, len(spare.names)) == ("photographs below Image that the list does not name, left out", 1)
    assert "not in the list" in unlisted
    assert not told["error"]
    (only,) = [f for f in diagnose(RAFDB, roots["folders"]).findings if f.kind not in ("found", "assumed")]
    assert "smirk" in only.text


def test_both_layouts_show_the_same_faces(roots: dict[str, Path]) -> None:
    basic, folders = (RAFDB.index(roots[layout]).set_index("id") for layout in write_twin.layouts)
    assert set(basic.index) < set(folders.index)
    assert (basic["label"] == folders.loc[basic.index, "label"]).all()
    aligned = 0
    for row in basic.itertuples():
        photo = RAFDB.load(roots["basic"], row.files)
        if photo.aligned:
            aligned += 1
            other = RAFDB.load(roots["folders"], folders.loc[row.Index, "files"])
            assert np.array_equal(photo.pixels(), other.pixels())
            assert photo.pixels().shape == (100, 100, 3)
        else:
            assert photo.landmarks is not None
            assert photo.landmarks.shape == (5, 2)
    assert aligned == len(basic) - 1


def test_attributes_are_of_the_original(roots: dict[str, Path]) -> None:
    paths = sorted((roots["basic"] / "basic/Annotation/manual").iterdir())
    notes = [read_attributes(path) for path in paths]
    assert len({(note.gender, note.race, note.age) for note in notes}) == 1, "there is one person"
    for note in notes:
        left, right, _, left_corner, right_corner = note.landmarks
        assert left[0] < right[0]
        assert left_corner[0] < right_corner[0]
    upright = [note.landmarks[:2, 1].mean() < note.landmarks[3:, 1].mean() for note in notes]
    assert all(upright)


@pytest.mark.parametrize("layout", write_twin.layouts)
def test_the_morphable_models_parameters_are_found(roots: dict[str, Path], layout: str) -> None:
    index = RAFDB.index(roots[layout])
    images = [files[0] for files in index["files"]]
    pairs = list(zip(index["id"], images, strict=True))
    emoca, smirk = (find_parameters(roots[layout], images, vector) for vector in ("emoca-334", "smirk-358"))
    assert len(emoca.without(pairs)) == (layout == "basic")
    undetected = smirk.without(pairs)
    assert 0 < len(undetected) < len(pairs) / 4
    seen = next(pair for pair in pairs if pair[0] not in undetected)
    assert smirk.read(*seen).shape == (358,)
