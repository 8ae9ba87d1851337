import pickle
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fer_bench.data.bp4d import BP4D, read_frame
from fer_bench.data.survey import Survey
from fer_bench.errors import BrokenScan, DatasetNotFound, FerBenchError, InvalidFile
from fer_bench.records import write_json

LABELS = ("happy", "sad", "surprise", "embarrassment", "fear", "pain", "anger", "disgust")
OBJ = b"""mtllib 2440.mtl
v -60 -80 -118
v 60 -80 -118
v 0 90 -100
v 0 0 -60
vt 0 0
vt 1 0
vt 0.5 1
vt 0.5 0.5
usemtl face
f 1/1 2/2 4/4
f 2/2 3/3 4/4
f 3/3 1/1 4/4
"""
WRL = b"""#VRML V2.0 utf8
Shape { geometry IndexedFaceSet {
\tcoord Coordinate { point [
\t\t-60 -80 -118,
\t\t60 -80 -118,
\t\t0 90 -100,
\t\t0 0 -60,
\t] }
\ttexCoord TextureCoordinate { point [
\t\t0 0,
\t\t1 0,
\t\t0.5 1,
\t\t0.5 0.5,
\t] }
\ttexCoordIndex [
\t\t0, 1, 3, -1,
\t\t1, 2, 3, -1,
\t\t2, 0, 3, -1,
\t]
} }
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "bp4d").mkdir()
    return tmp_path / "bp4d"


def touch(root: Path, names: Iterable[str]) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def frames(place: str, stems: Iterable[str], suffixes: Iterable[str] = ("obj", "jpg")) -> list[str]:
    return [f"{place}/{stem}.{suffix}" for stem in stems for suffix in suffixes]


def subject(name: str, place: str = "") -> list[str]:
    return [file for task in range(1, 9) for file in frames(f"{place}{name}/T{task}", ["2440", "2441"])]


def told(survey: Survey, kind: str) -> dict[str, tuple[str, ...]]:
    return {finding.text: finding.names for finding in survey.findings if finding.kind == kind}


def about(survey: Survey, kind: str, words: str) -> tuple[str, ...]:
    (names,) = (names for text, names in told(survey, kind).items() if words in text)
    return names


@pytest.mark.parametrize(
    "place", ["", "BP4D/Sequences/", "Sequences_2D+3D/", "BP4D-training/", "BP4D-data/", "a/b/c/Sequences(2D+3D)/"]
)
def test_tasks_are_found_under_any_wrapper(root: Path, place: str) -> None:
    touch(root, [*subject("F001", place), *subject("M018", place)])
    survey = BP4D.survey(root)
    assert list(survey.index["id"]) == [f"{s}_T{n}" for s in ("F001", "M018") for n in range(1, 9)]
    assert list(survey.index["label"]) == [*LABELS, *LABELS]
    assert list(survey.index["subject"]) == ["F001"] * 8 + ["M018"] * 8
    assert survey.index["files"][0] == tuple(frames(f"{place}F001/T1", ["2440", "2441"]))
    assert told(survey, "error") == told(survey, "warning") == {}
    assert any(place.rstrip("/") in text for text in told(survey, "found"))


@pytest.mark.parametrize(
    ("stems", "digits"),
    [
        (["0099", "0100", "0101", "2440"], "4"),
        (["099", "100", "101"], "3"),
        (["9", "10", "99", "100", "1000"], "1, 2, 3, 4"),
        (["09", "10", "11"], "2"),
    ],
)
def test_frames_are_in_the_order_of_their_numbers(root: Path, stems: list[str], digits: str) -> None:
    touch(root, frames("F001/T1", stems, ("jpg", "obj", "mtl")))
    survey = BP4D.survey(root)
    assert survey.index["files"][0] == tuple(frames("F001/T1", stems))
    assert any(f"digits in frame numbers: {digits}" in text for text in told(survey, "found"))


def test_the_other_flavour_case_and_other_files(root: Path) -> None:
    others = ["2440.mat", "x2440.obj", "2440 .jpg", "٢.obj", "1234567890.obj", "notes", ".jpg"]
    touch(root, ["f001/t1/2440.WRL", "f001/t1/2440.JPG", *(f"f001/t1/{name}" for name in others)])
    survey = BP4D.survey(root)
    assert survey.index["files"].tolist() == [("f001/t1/2440.WRL", "f001/t1/2440.JPG")]
    assert survey.index["id"].tolist() == ["F001_T1"]
    assert about(survey, "found", "other files") == ("f001/t1: 6",), "hidden files are not even seen"


def test_one_number_with_several_files_is_decided_and_told(root: Path) -> None:
    touch(root, frames("F001/T1", ["2440", "02440"]))
    touch(root, [*frames("F001/T2", ["7"]), "F001/T2/07.jpg", "F001/T2/7.wrl"])
    touch(root, [*frames("F001/T3", ["7"], ("wrl",)), "F001/T3/07.jpg"])
    survey = BP4D.survey(root)
    assert survey.index["files"].tolist() == [
        ("F001/T1/02440.obj", "F001/T1/02440.jpg"),
        ("F001/T2/7.obj", "F001/T2/7.jpg"),
        ("F001/T3/7.wrl", "F001/T3/07.jpg"),
    ]
    assert about(survey, "warning", "several files") == ("F001_T1: 2440", "F001_T2: 7")


def test_meshes_and_photographs_in_two_folders_belong_together(root: Path) -> None:
    touch(root, frames("3D/F001/T1", ["001", "002"], ("obj",)))
    touch(root, frames("2D/F001/T1", ["1", "2"], ("jpg",)))
    survey = BP4D.survey(root)
    assert survey.index["files"][0] == (
        *("3D/F001/T1/001.obj", "2D/F001/T1/1.jpg"),
        *("3D/F001/T1/002.obj", "2D/F001/T1/2.jpg"),
    )
    assert any("2 textures belong to meshes" in text for text in told(survey, "assumed"))


def test_missing_textures_meshes_and_gaps_are_told(root: Path) -> None:
    touch(root, frames("F001/T1", ["3", "4", "5", "9"]))
    (root / "F001/T1/4.jpg").unlink()
    (root / "F001/T1/5.jpg").unlink()
    touch(root, ["F001/T1/10.jpg", "F001/T1/11.jpg", "F001/T3/1.jpg"])
    survey = BP4D.survey(root)
    assert survey.index["id"].tolist() == ["F001_T1"]
    assert len(survey.index["files"][0]) == 6
    assert about(survey, "missing", "textures") == ("F001_T1: 4-5",)
    assert about(survey, "warning", "no mesh") == ("F001_T1: 10-11",)
    assert about(survey, "warning", "gaps") == ("F001_T1: 6-8",)
    assert about(survey, "missing", "photographs only") == ("F001_T3",)
    assert told(survey, "missing")["sequences"] == tuple(f"F001_T{n}" for n in (2, 4, 5, 6, 7, 8))


def test_a_complete_distribution_is_complete(root: Path) -> None:
    names = [f"{sex}{n:03d}" for sex, count in (("F", 23), ("M", 18)) for n in range(1, count + 1)]
    touch(root, [file for name in names for file in subject(name, "Sequences/")])
    survey = BP4D.survey(root)
    assert len(survey.index) == 328
    assert not {kind for kind in ("missing", "warning", "error") if told(survey, kind)}
    assert any("328 sequences of 41 subjects, 23 women and 18 men, 656 frames" in t for t in told(survey, "found"))
    (root / "Sequences/M018/T8/2440.obj").rename(root / "Sequences/M018/T8/2440.txt")
    (root / "Sequences/M018/T8/2441.obj").unlink()
    assert len(BP4D.survey(root).index) == 327


def test_a_part_names_what_is_missing_unless_it_is_a_twin(root: Path) -> None:
    touch(root, subject("F001")[4:])
    assert len(about(BP4D.survey(root), "missing", "subjects")) == 40
    write_json(root / "twin.json", {"dataset": "bp4d"})
    assert list(told(BP4D.survey(root), "missing").items()) == [("sequences", ("F001_T1",))]


def test_what_no_source_settles_is_said(root: Path) -> None:
    touch(root, subject("F001"))
    assumed = " ".join(told(BP4D.survey(root), "assumed"))
    for words in ("task 4 is embarrassment and task 5 fear", "unit of each mesh", "a frame is a mesh (.obj or .wrl)"):
        assert words in assumed


PLUS = ["2D+3D/F001.zip", "IRFeatures/F001_T1.txt", "Physiology/F001/T1/BP.txt", "Thermal/F001/T1.mv"]
PLUS += ["BND/F001_T1_0001.bndplus", "F001/T9/1.obj", "F001/T10/1.obj", "F024/T1/1.obj", "M019/T1/1.jpg"]


@pytest.mark.parametrize("sign", PLUS)
def test_bp4d_plus_is_recognised(root: Path, sign: str) -> None:
    touch(root, ["BP4D+/" + sign])
    if not sign.startswith("F024"):  # whose sequence is one by its name
        with pytest.raises(DatasetNotFound, match=r"this is BP4D\+ and not BP4D-Spontaneous"):
            BP4D.survey(root)
    touch(root, subject("F001"))
    (sentence,) = told(BP4D.survey(root), "error")
    assert "BP4D+" in sentence
    assert "labels of BP4D do not hold" in sentence


def test_features_beside_unpacked_sequences_are_bp4d_plus(root: Path) -> None:
    touch(root, subject("F001", "2D+3D/"))
    assert not told(BP4D.survey(root), "error"), "one name alone says nothing"
    touch(root, ["2DFeatures/F001_T1.mat"])
    assert about(BP4D.survey(root), "error", "BP4D+") == ("2D+3D", "2DFeatures")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (["notes.txt"], "no file here is a mesh of BP4D"),
        (["F001/Angry/000.wrl"], "looks like BU-4DFE"),
        (["BP4D-training/F001/T1/187.jpg"], "has photographs of BP4D but no mesh"),
    ],
)
def test_a_folder_without_meshes_says_why(root: Path, files: list[str], says: str) -> None:
    touch(root, files)
    with pytest.raises(DatasetNotFound, match=says) as caught:
        BP4D.index(root)
    assert "fer-bench data twin bp4d" in str(caught.value)


def write(root: Path, name: str, mesh: bytes) -> tuple[Path, ...]:
    path = root / "F001" / "T1" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(mesh)
    Image.new("RGB", (6, 8), (250, 10, 10)).save(path.with_suffix(".jpg"))
    return path, path.with_suffix(".jpg")


@pytest.mark.parametrize(("name", "mesh"), [("2440.obj", OBJ), ("2440.wrl", WRL)])
def test_a_sequence_is_read_frame_by_frame(root: Path, name: str, mesh: bytes) -> None:
    write(root, name, mesh)
    write(root, name.replace("0", "1"), b"nothing")
    clip = pickle.loads(pickle.dumps(BP4D.load(root, BP4D.index(root)["files"][0])))
    assert len(clip) == 2
    scan = clip[0]
    assert scan.vertices.tolist() == [[-60, -80, -118], [60, -80, -118], [0, 90, -100], [0, 0, -60]]
    assert scan.triangles.tolist() == [[0, 1, 3], [1, 2, 3], [2, 0, 3]]
    assert scan.uv[scan.uv_triangles[1]].tolist() == [[1, 0], [0.5, 1], [0.5, 0.5]]
    assert scan.texture.shape == (8, 6, 3)
    with pytest.raises(BrokenScan, match="2441"):
        clip[1]


def test_without_texture_or_texture_coordinates_the_surface_is_read(root: Path) -> None:
    mesh, photo = write(root, "2440.obj", OBJ)
    assert read_frame((mesh,)).texture is None
    mesh.write_bytes(
        b"\n".join(row for row in OBJ.replace(b"/1", b"").splitlines() if row[:1] == b"v" and row[1:2] != b"t")
    )
    mesh.write_bytes(mesh.read_bytes() + b"\nf 1 2 4\nf 2 3 4\n")
    assert read_frame((mesh, photo)).texture is None


@pytest.mark.parametrize(("divided_by", "read_as"), [(1, 1), (10, 1), (1000, 1), (170, 170), (0.1, 0.1)])
def test_units_are_told_by_the_height(root: Path, divided_by: float, read_as: float) -> None:
    points = np.array([[-60, -80, -118], [60, -80, -118], [0, 90, -100], [0, 0, -60]], dtype=float)
    rows = "".join(f"v {x} {y} {z}\n" for x, y, z in points / divided_by)
    files = write(root, "1.obj", (rows + "f 1 2 4\nf 2 3 4\nf 3 1 4\n").encode())
    scan = read_frame(files)
    assert scan.vertices.dtype == np.float32
    np.testing.assert_allclose(scan.vertices, points / read_as, rtol=1e-5)


def test_a_coordinate_that_has_no_millimetres_is_broken(root: Path) -> None:
    files = write(root, "1.obj", b"v 1e36 0 0\nv 0 0 0\nv 0 0.2 0\nf 1 2 3\n")
    with pytest.raises(BrokenScan, match=r"1\.obj"):
        read_frame(files)


def occurrence(first: str, frames: Iterable[int]) -> bytes:
    rows = [f"{frame},1,0,9,{frame % 2}" for frame in frames]
    return "\r\n".join([f"{first},1,2,6,12", *rows, ""]).encode()


def put(root: Path, name: str, content: bytes) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(content)


@pytest.mark.parametrize("first", ["0", "1"])
@pytest.mark.parametrize("name", ["AUCoding/AU_OCC/F001_T1.csv", "BP4D/AUCoding/f001_t1_whatever.CSV"])
def test_action_units_are_read(root: Path, first: str, name: str) -> None:
    put(root, name, b"\xef\xbb\xbf" + occurrence(first, [2440, 2441, 2442]))
    put(root, "AU Intensity Codes3.0/AU06/F001_T1_AU06.csv", b"2440,3\n2441,9\n2443,0\n")
    put(root, "AU_INT/AU12/F001_T1.csv", b"2440,5\n")
    touch(root, subject("F001", "Sequences/"))
    table = BP4D.action_units(root, "F001", "T1")
    assert table.index.name == "frame"
    assert table.index.tolist() == [2440, 2441, 2442, 2443]
    assert list(table.columns) == ["AU01", "AU02", "AU06", "AU12", "AU06_intensity", "AU12_intensity"]
    assert set(map(str, table.dtypes)) == {"Int8"}
    assert table["AU12"].tolist()[:3] == [0, 1, 0]
    assert table["AU06"].isna().all()
    assert table["AU06_intensity"][2440] == 3
    assert pd.isna(table["AU06_intensity"][2441])
    assert BP4D.action_units(root, "f001", "t1", au_frame_offset=-1).index.tolist() == [2439, 2440, 2441, 2442]


def test_action_units_that_are_not_there_or_damaged(root: Path) -> None:
    touch(root, subject("F001"))
    with pytest.raises(
        FerBenchError, match=r"no table of action units of F001 in T1; expected AUCoding/AU_OCC/F001_T1"
    ):
        BP4D.action_units(root, "F001", "T1")
    put(root, "AUCoding/F001_T1.csv", b"0,1,2\n1,0\n")
    (root / "AUCoding" / "loop").symlink_to(root)
    with pytest.raises(InvalidFile, match=r"F001_T1\.csv: line 2"):
        BP4D.action_units(root, "F001", "T1")


@pytest.mark.parametrize(
    ("shift", "kind", "says"),
    [
        (
            0,
            "found",
            "number frames as the meshes do (of 20 coded frames, these have a mesh: 20 with au_frame_offset=0, 18",
        ),
        (1, "warning", "fit the meshes with au_frame_offset=-1"),
        (-1, "warning", "fit the meshes with au_frame_offset=1"),
        (None, "assumed", "nothing tells"),
    ],
)
def test_the_offset_that_fits_is_said(root: Path, shift: int | None, kind: str, says: str) -> None:
    numbers = range(100, 110)
    for task in (1, 2):
        touch(root, frames(f"F001/T{task}", map(str, numbers)))
        coded = range(103, 107) if shift is None else [number + shift for number in numbers]
        put(root, f"AUCoding/AU_OCC/F001_T{task}.csv", occurrence("0", coded))
    put(root, "AUCoding/AU_OCC/F001_T3.csv", b"\x00\xff")
    survey = BP4D.survey(root)
    assert any(says in text for text in told(survey, kind)), told(survey, kind)
    assert about(survey, "warning", "cannot be read")[0].startswith("AUCoding/AU_OCC/F001_T3.csv: ")
    assert any("3 tables of occurrence" in text for text in told(survey, "found"))


def test_sequences_without_a_table_are_named(root: Path) -> None:
    touch(root, subject("F001"))
    assert any("no tables of action units" in text for text in told(BP4D.survey(root), "found"))
    put(root, "AUCoding/AU_OCC/F001_T1.csv", occurrence("0", [2440]))
    lacking = about(BP4D.survey(root), "missing", "occurrence of action units")
    assert lacking == tuple(f"F001_T{n}" for n in range(2, 9))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["1.obj", "1.wrl"]), data=st.data())
def test_damaged_frames_are_broken_and_nothing_else(tmp_path: Path, name: str, data: st.DataObject) -> None:
    whole = OBJ if name.endswith("obj") else WRL
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = data.draw(
        st.sampled_from([whole[:place], whole[:place] + b"\xff" + whole[place + 1 :], whole[place:]]) | st.binary()
    )
    try:
        assert np.isfinite(read_frame(write(tmp_path, name, damaged)).vertices).all()
    except BrokenScan as error:
        assert "\n" not in str(error)
