from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fer_bench.data.facescape import FaceScape
from fer_bench.errors import BrokenScan, DatasetNotFound
from fer_bench.expressions import FACESCAPE_CODES
from fer_bench.geometry.scan import Scan
from fer_bench.records import write_json

CODES = list(FACESCAPE_CODES)
QUAD = (
    b"mtllib 1_neutral.obj.mtl\nv 0 0 0\nv 90 0 1\nv 90 99 2\nv 0 99 3\n"
    b"vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nvt .5 .5\nf 1/1 2/2 3/3 4/5\n"
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def person(subject: int, pattern: str = "{s}/models_reg/{c}") -> list[str]:
    return [f"{pattern.format(s=subject, c=c)}.{suffix}" for c in CODES for suffix in ("obj", "obj.mtl", "jpg")]


def told(root: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {finding.text: (finding.kind, finding.names) for finding in FaceScape.survey(root).findings}


def test_a_row_is_a_mesh_with_its_texture(tmp_path: Path) -> None:
    index = FaceScape.index(make(tmp_path / "root", *person(122), "122/dpmap/1_neutral.png")).set_index("id")
    assert len(index) == 20
    row = index.loc["122_14_sadness"]
    assert (row["subject"], row["label"]) == ("122", "sad")
    assert row["files"] == ("122/models_reg/14_sadness.obj", "122/models_reg/14_sadness.jpg")
    assert index.loc["122_2_smile", "label"] == "smile", "a smile on request is no happiness"
    assert index.loc["122_1_neutral", "label"] == "neutral"


@pytest.mark.parametrize(
    "pattern",
    [
        "{s}/{c}",
        "facescape_trainset_001_100/{s}/models_reg/{c}",
        "a/facescape_trainset_001_100/{s}/models_reg/{c}",
        "FaceScape/{s}/{c}",
    ],
)
def test_each_layout_gives_the_same_index(tmp_path: Path, pattern: str) -> None:
    index = FaceScape.index(make(tmp_path / "root", *person(2, pattern), *person(10, pattern)))
    assert set(index["subject"]) == {"2", "10"}
    assert sorted(index["id"]) == sorted(f"{s}_{c}" for s in (2, 10) for c in CODES)


def test_folders_that_are_no_subject_are_passed_over(tmp_path: Path) -> None:
    root = make(tmp_path / "root", *person(1), *person(1, "007/models_reg/{c}"), *person(1, "x/models_reg/{c}"))
    assert set(FaceScape.index(root)["subject"]) == {"1"}
    (astray,) = (
        names for text, (kind, names) in told(root).items() if kind == "warning" and "not of a subject" in text
    )
    assert astray == ("007/models_reg: 20", "x/models_reg: 20")


def test_a_mesh_has_the_texture_of_its_own_folder(tmp_path: Path) -> None:
    names = ["a/1/1_neutral.obj", "a/1/2_smile.jpg", "b/1/models_reg/1_neutral.obj"]
    names += [f"b/1/models_reg/{name}" for name in ("1_neutral.jpg", "2_smile.obj", "2_smile.jpg")]
    root = make(tmp_path / "root", *names)
    assert FaceScape.index(root)["files"].tolist() == [
        ("b/1/models_reg/1_neutral.obj", "b/1/models_reg/1_neutral.jpg"),
        ("b/1/models_reg/2_smile.obj", "b/1/models_reg/2_smile.jpg"),
    ]
    found = told(root)
    assert set(found["files of scans that were already found elsewhere, left out"][1]) == {
        *("a/1/1_neutral.obj", "a/1/2_smile.jpg")
    }
    assert found["layout of folders"][1] == ("b/<number>/models_reg (2 meshes)",)


def test_names_are_read_in_any_case(tmp_path: Path) -> None:
    index = FaceScape.index(make(tmp_path / "root", "1/Models_Reg/4_Anger.OBJ", "1/Models_Reg/4_Anger.JPG"))
    assert index["id"].tolist() == ["1_4_anger"]
    assert index["label"].tolist() == ["anger"]
    assert index["files"].tolist() == [("1/Models_Reg/4_Anger.OBJ", "1/Models_Reg/4_Anger.JPG")]


def test_a_twin_is_not_blamed_for_being_small(tmp_path: Path) -> None:
    root = make(tmp_path / "root", *person(1), *person(2)[3:])
    write_json(root / "twin.json", {"dataset": "facescape"})
    faults = {text: names for text, (kind, names) in told(root).items() if kind in ("missing", "warning")}
    assert faults == {"meshes": ("2_1_neutral",)}


def test_what_is_missing_or_strange_is_named(tmp_path: Path) -> None:
    names = person(1) + person(2) + ["1/models_reg/4_sad.obj", "copy/2/models_reg/1_neutral.obj"] + person(900)
    names = [n for n in names if n not in ("1/models_reg/3_mouth_stretch.jpg", "2/models_reg/16_grin.obj")]
    found = told(make(tmp_path / "root", *names))
    assert found["textures (.jpg) of meshes that are there"] == ("missing", ("1_3_mouth_stretch",))
    assert found["meshes"] == ("missing", ("2_16_grin",))
    assert found["files whose number and expression do not belong together, left out"][1] == ("1/models_reg/4_sad.obj",)
    assert found["files of scans that were already found elsewhere, left out"][1] == (
        "copy/2/models_reg/1_neutral.obj",
    )
    assert found["subjects that the distribution does not have"] == ("warning", ("900",))
    assert len(found["subjects without any mesh"][1]) == 845


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary() | st.text("0159 ,-mf\n\t\u00b2\u0661").map(str.encode))
def test_no_list_stops_the_reader(tmp_path: Path, content: bytes) -> None:
    root = make(tmp_path / "root", "1/models_reg/1_neutral.obj", "publishable_list_v1.txt")
    (root / "info_list_v2.txt").write_bytes(content)
    assert FaceScape.survey(root).index["id"].tolist() == ["1_1_neutral"]
    assert any("may be shown in print" in text for text in told(root))


@pytest.mark.parametrize("line", [b"1 m 20 00010", b"1,f,-,00010", b"1\tm\t20\t00010\r"])
def test_what_the_list_declares_missing_is_no_fault(tmp_path: Path, line: bytes) -> None:
    root = make(tmp_path / "root", *person(1), *person(2))
    for subject in (1, 2):
        (root / f"{subject}/models_reg/3_mouth_stretch.jpg").unlink()
    (root / "info_list_v2.txt").write_bytes(b"index gender age label\n" + line + b"\n2 f 20 10000\nnonsense\n\xff\n")
    found = told(root)
    assert found["textures (.jpg) of meshes that are there"] == ("missing", ("2_3_mouth_stretch",))
    (declared,) = [names for text, (kind, names) in found.items() if "as info_list_v2.txt says" in text]
    assert declared == ("1_3_mouth_stretch",)
    assert len(found["lines of info_list_v2.txt without a number and five flags, passed over"][1]) == 2


def test_a_full_size_tree_is_indexed(tmp_path: Path) -> None:
    root = make(tmp_path / "root", *(f"{s}/models_reg/{c}.obj" for s in range(1, 848) for c in CODES[:2]))
    index = FaceScape.index(root)
    assert index["subject"].nunique() == 847
    assert "subjects without any mesh" not in told(root)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match="no file here is a registered mesh of FaceScape"):
        FaceScape.index(make(tmp_path / "root", "1/photo.jpg"))


def test_bytes_are_read_in_their_order(tmp_path: Path) -> None:
    root = make(tmp_path / "root", "1/models_reg/1_neutral.obj", "1/models_reg/2_smile.obj")
    (root / "1/models_reg/1_neutral.obj").write_bytes(QUAD)
    Image.fromarray(np.zeros((8, 8, 3), dtype=np.uint8)).save(root / "1/models_reg/1_neutral.jpg")
    index = FaceScape.index(root).set_index("id")
    scan = FaceScape.load(root, index.loc["1_1_neutral", "files"])
    assert isinstance(scan, Scan)
    assert scan.vertices.tolist() == [[0, 0, 0], [90, 0, 1], [90, 99, 2], [0, 99, 3]]
    assert scan.triangles.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert scan.uv_triangles is not None
    assert scan.uv_triangles.tolist() == [[0, 1, 2], [0, 2, 4]]
    assert scan.texture is not None
    assert scan.texture.shape == (8, 8, 3)
    (root / "1/models_reg/1_neutral.obj").write_bytes(QUAD.replace(b"1/1 2/2 3/3 4/5", b"1 2 3 4"))
    with pytest.raises(BrokenScan, match="no texture coordinates"):
        FaceScape.load(root, index.loc["1_1_neutral", "files"])
    with pytest.raises(BrokenScan, match=r"2_smile\.obj: is empty"):
        FaceScape.load(root, index.loc["1_2_smile", "files"])


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.sampled_from(["obj", "jpg"]), data=st.data())
def test_damaged_files_are_broken_and_nothing_else(tmp_path: Path, which: str, data: st.DataObject) -> None:
    files = {"obj": tmp_path / "1_neutral.obj", "jpg": tmp_path / "1_neutral.jpg"}
    files["obj"].write_bytes(QUAD)
    Image.fromarray(np.zeros((8, 8, 3), dtype=np.uint8)).save(files["jpg"])
    whole = files[which].read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    flipped = whole[:place] + data.draw(st.binary(min_size=1, max_size=4)) + whole[place + 1 :]
    files[which].write_bytes(data.draw(st.sampled_from([whole[:place], whole[place:], flipped]) | st.binary()))
    try:
        assert np.isfinite(FaceScape.load(tmp_path, ("1_neutral.obj", "1_neutral.jpg")).vertices).all()
    except BrokenScan as error:
        assert "\n" not in str(error)
