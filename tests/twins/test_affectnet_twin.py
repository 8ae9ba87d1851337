import hashlib
from pathlib import Path

import numpy as np
import pytest

from fer_bench.data.affectnet import AffectNet
from fer_bench.data.doctor import Diagnosis, diagnose
from fer_bench.errors import FerBenchError
from fer_bench.io.parameter_source import find_parameters
from fer_bench.records import read_json
from fer_bench.twins.affectnet import plan, write_twin
from fer_bench.twins.face import procedural_face
from fer_bench.twins.population import Population


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


def said(diagnosis: Diagnosis, kind: str) -> str:
    return "\n".join(f"{f.text}: {', '.join(f.names)}" for f in diagnosis.findings if f.kind == kind)


def test_classes_have_the_distributions_shares() -> None:
    shots = plan(Population("affectnet", procedural_face(), 0), 20, "2021")
    codes = {split: [shot.code for shot in shots if shot.split == split] for split in ("train", "val")}
    assert [codes["train"].count(code) for code in range(8)] == [312, 561, 106, 59, 26, 16, 104, 16]
    assert [codes["val"].count(code) for code in range(8)] == [10] * 8
    numbers = [int(shot.sample.split("_")[1]) for shot in shots if shot.split == "train"]
    assert numbers[0] == 0
    assert numbers == sorted(set(numbers))
    assert numbers[-1] > 2 * len(numbers), "there are gaps"


def test_bytes_depend_on_the_seed_alone(roots: dict[str, Path], tmp_path: Path) -> None:
    write_twin(tmp_path / "again", subjects=1, seed=5, workers=2)
    assert fingerprint(tmp_path / "again") == fingerprint(roots["2021"])


def test_too_many_people_and_other_layouts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FerBenchError, match="ask for 1 to 1000"):
        write_twin(tmp_path / "a", subjects=1001)
    with pytest.raises(FerBenchError, match="2021, 2017"):
        write_twin(tmp_path / "a", layout="2019")


@pytest.mark.parametrize("layout", write_twin.layouts)
def test_the_doctor_reports_each_fault_and_nothing_else(roots: dict[str, Path], layout: str) -> None:
    root = roots[layout]
    diagnosis = diagnose(AffectNet, root)
    assert not diagnosis.broken
    assert diagnosis.exit_code == 1
    assert not said(diagnosis, "error")
    quirks = read_json(root / "twin.json")["quirks"]
    if layout == "2021":
        missing = said(diagnosis, "missing").split("\n")
        assert len(missing) == len(quirks) == 5
        for quirk, sentence in zip(quirks, missing, strict=True):
            assert quirk.split()[0] in sentence
        assert not said(diagnosis, "warning")
        assert not said(diagnosis, "assumed")
    else:
        box, absent, outside, ungiven = quirks
        assert box.split()[3] in said(diagnosis, "assumed")
        assert "outside" in outside
        assert "../../outside.jpg" in said(diagnosis, "warning")
        assert "validation.csv has no header" in said(diagnosis, "assumed")
        first, second = said(diagnosis, "missing").split("\n")
        assert second.split()[-1] == ungiven.split()[0]
        assert absent.split()[2].rstrip(",") in first
        assert len(said(diagnosis, "warning").split("\n")) == 1


def test_of_2021(roots: dict[str, Path]) -> None:
    index = AffectNet.index(roots["2021"])
    assert dict(index["split"].value_counts()) == {"train": 59, "val": 16}
    assert index["valence"].isna().sum() == 1
    sizes, descriptions = set(), set()
    for files in index["files"][::9]:
        photo = AffectNet.load(roots["2021"], files)
        sizes.add(photo.pixels().shape)
        if photo.landmarks is not None:
            eyes = photo.landmarks[36:42].mean(axis=0), photo.landmarks[42:48].mean(axis=0)
            assert np.abs(np.array(eyes) - [[0.325 * 224, 0.4 * 224], [0.675 * 224, 0.4 * 224]]).max() < 40
        exp = np.load(roots["2021"] / files[0].replace("images", "annotations").replace(".jpg", "_exp.npy"))
        descriptions.add(exp.dtype.str)
    assert sizes == {(224, 224, 3)}
    assert descriptions == {"<U1", "<i8"}
    happy, sad = (index.loc[index["label"] == label, "valence"].mean() for label in ("happy", "sad"))
    assert happy > 0.3 > -0.1 > sad


def test_of_2017(roots: dict[str, Path]) -> None:
    root = roots["2017"]
    index = AffectNet.index(root)
    assert {"none", "uncertain", "no_face"} < set(index["label"])
    assert index.loc[index["label"].isin(["uncertain", "no_face"]), "valence"].isna().all()
    assert {name.rpartition(".")[2] for name, _ in index["files"]} == {"jpg", "JPG", "png"}
    for row in index[index["label"] == "happy"].iloc[::7].itertuples():
        photo = AffectNet.load(root, row.files)
        height, width, _ = photo.pixels().shape
        assert photo.landmarks is not None
        if photo.box:
            x, y, wide, high = photo.box
            assert 0 <= x < x + wide <= width + 1
            assert 0 <= y < y + high <= height + 1
    empty = AffectNet.load(root, index.loc[index["label"] == "no_face", "files"].iloc[0])
    assert (empty.box, empty.landmarks) == (None, None)


@pytest.mark.parametrize("layout", write_twin.layouts)
def test_the_morphable_models_parameters_are_found(roots: dict[str, Path], layout: str) -> None:
    index = AffectNet.index(roots[layout])
    images = [files[0] for files in index["files"]]
    pairs = list(zip(index["id"], images, strict=True))
    emoca = find_parameters(roots[layout], images, "emoca-334")
    gap = emoca.without(pairs)
    assert [f"{sample} has no EMOCA parameters." for sample in gap] == [
        quirk for quirk in read_json(roots[layout] / "twin.json")["quirks"] if "EMOCA" in quirk
    ]
    smirk = find_parameters(roots[layout], images, "smirk-358")
    assert not smirk.without(pairs)
    shapes = {source.read(*pair).shape for source in (emoca, smirk) for pair in pairs[1::20] if pair[0] not in gap}
    assert shapes == {(334,), (358,)}
