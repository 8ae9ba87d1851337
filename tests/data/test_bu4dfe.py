import os
import pickle
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fer_bench.data import index_store
from fer_bench.data.bu4dfe import BU4DFE, read_frame
from fer_bench.data.survey import Survey
from fer_bench.errors import BrokenScan, DatasetNotFound
from fer_bench.records import write_json

EXPRESSIONS = {
    "Angry": "anger",
    "Disgust": "disgust",
    "Fear": "fear",
    "Happy": "happy",
    "Sad": "sad",
    "Surprise": "surprise",
}
WRL = b"""#VRML V2.0 utf8
Shape {
\tappearance Appearance { texture ImageTexture { url "somewhere else.jpg" } }
\tgeometry IndexedFaceSet {
\t\tcoord Coordinate { point [
\t\t\t\t\t-60.5 -80 -118.25,
\t\t\t\t\t60.5 -80 -118.25,
\t\t\t\t\t0 90.125 -100,
\t\t\t\t\t0 0 -60,
\t\t] }
\t\ttexCoord TextureCoordinate { point [
\t\t\t\t\t0 0,
\t\t\t\t\t1 0,
\t\t\t\t\t0.5 1,
\t\t\t\t\t0.5 0.5,
\t\t] }
%s\t}
}
"""
TRIANGLES = b"\t\t\t\t\t0, 1, 3, -1,\n\t\t\t\t\t1, 2, 3, -1,\n\t\t\t\t\t2, 0, 3, -1,\n"
COORD, TEXCOORD = (b"\t\t%s [\n%s\t\t]\n" % (name, TRIANGLES) for name in (b"coordIndex", b"texCoordIndex"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of its own: what is beside it is looked at."""
    (tmp_path / "beside" / "bu4dfe").mkdir(parents=True)
    return tmp_path / "beside" / "bu4dfe"


def touch(root: Path, names: Iterable[str]) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def frames(place: str, numbers: Iterable[int], suffixes: Iterable[str] = ("wrl", "jpg")) -> list[str]:
    return [f"{place}/{number:03d}.{suffix}" for number in numbers for suffix in suffixes]


def subject(name: str, count: int = 3) -> list[str]:
    return [file for folder in EXPRESSIONS for file in frames(f"{name}/{folder}", range(count))]


def told(survey: Survey, kind: str) -> dict[str, tuple[str, ...]]:
    return {finding.text: finding.names for finding in survey.findings if finding.kind == kind}


def about(survey: Survey, kind: str, words: str) -> tuple[str, ...]:
    (names,) = (names for text, names in told(survey, kind).items() if words in text)
    return names


def test_every_sequence_is_a_row(root: Path) -> None:
    touch(root, [*subject("F001"), *subject("M043")])
    index = BU4DFE.index(root)
    assert list(index["id"]) == [f"{s}_{e}" for s in ("F001", "M043") for e in sorted(EXPRESSIONS)]
    assert list(index["label"]) == [EXPRESSIONS[e] for e in sorted(EXPRESSIONS)] * 2
    assert list(index["subject"]) == ["F001"] * 6 + ["M043"] * 6
    assert index["level"].isna().all()
    assert index["split"].isna().all()
    assert index["files"][0] == tuple(frames("F001/Angry", range(3)))


@pytest.mark.parametrize("wrapper", ["BU4DFE", "BU4DFE/data 1"])
def test_wrapper_folders_case_and_noise(root: Path, wrapper: str) -> None:
    touch(root / wrapper, ["f001/ANGRY/000.WRL", "f001/ANGRY/000.JPG", *frames("F001/happy", [0])])
    touch(root, ["BU_WrlViewer_V2/F009/Angry/000.wrl", "__MACOSX/F009/Angry/000.wrl", "readme.txt"])
    index = BU4DFE.index(root)
    assert list(index["id"]) == ["F001_Angry", "F001_Happy"]
    assert index["files"][0] == (f"{wrapper}/f001/ANGRY/000.WRL", f"{wrapper}/f001/ANGRY/000.JPG")


def test_frames_are_in_order_and_decoys_are_told(root: Path) -> None:
    decoys = ["000 3d.jpg", "0003d.jpg", "1000.wrl", "00.jpg", "000.bmp", "notes.txt", "٠٠٠.wrl"]
    touch(root, [*frames("F001/Sad", [2, 0, 1, 10]), *(f"F001/Sad/{name}" for name in decoys)])
    touch(root, ["F001/Anger/000.wrl", "F001/Anger/000.jpg", "F1/Sad/000.wrl", "F001/000.wrl"])
    survey = BU4DFE.survey(root)
    assert list(survey.index["id"]) == ["F001_Sad"]
    assert survey.index["files"][0] == tuple(frames("F001/Sad", [0, 1, 2, 10]))
    assert set(about(survey, "found", "other files")) == {f"F001/Sad/{name}" for name in decoys}


def test_a_frame_without_its_pair_is_left_out_by_name(root: Path) -> None:
    touch(root, [*frames("F001/Fear", [0, 1, 4]), "F001/Fear/002.wrl", "F001/Fear/003.jpg", "F001/Happy/000.wrl"])
    survey = BU4DFE.survey(root)
    assert survey.index["files"].tolist() == [tuple(frames("F001/Fear", [0, 1, 4]))]
    assert about(survey, "warning", "without their texture") == ("F001/Fear/002.wrl", "F001/Happy/000.wrl")
    assert about(survey, "warning", "without their mesh") == ("F001/Fear/003.jpg",)
    assert not any("gaps" in text for text in told(survey, "warning")), "the frames are told once"
    assert "F001_Happy" in about(survey, "missing", "sequences")


def test_gaps_are_told(root: Path) -> None:
    touch(root, [*frames("F001/Fear", [0, 1, 4, 5, 7]), *frames("F001/Sad", [0, 1]), *frames("M002/Sad", [3])])
    survey = BU4DFE.survey(root)
    assert about(survey, "warning", "gaps") == ("F001_Fear: 002-003, 006", "M002_Sad: 000-002")


def test_a_complete_distribution_is_complete(root: Path) -> None:
    names = [f"{sex}{n:03d}" for sex, count in (("F", 58), ("M", 43)) for n in range(1, count + 1)]
    touch(root, [file for name in names for file in subject(name, 1)])
    touch(root.parent / "BU4DFE_BND_V1.1", (f[:-3] + "bnd" for name in names for f in subject(name, 1)[::2]))
    survey = BU4DFE.survey(root)
    assert len(survey.index) == 606
    assert survey.index["subject"].nunique() == 101
    assert not told(survey, "missing")
    assert not told(survey, "error")
    assert any("606 sequences of 101 subjects, 58 women and 43 men, 606 frames" in t for t in told(survey, "found"))


def test_what_is_missing_is_named(root: Path) -> None:
    touch(root, [*subject("F001"), *subject("M044"), *frames("F002/Angry", range(60)), *frames("F003/Sad", range(131))])
    survey = BU4DFE.survey(root)
    lacking = about(survey, "missing", "sequences")
    assert lacking == tuple(
        f"{s}_{e}" for s, has in (("F002", "Angry"), ("F003", "Sad")) for e in EXPRESSIONS if e != has
    )
    without = about(survey, "missing", "subjects")
    assert len(without) == 101 - 3
    assert "M043" in without
    assert about(survey, "warning", "does not have") == ("M044",)
    odd = about(survey, "warning", "fewer than 60 or more than 130")
    assert len(odd) == 13
    assert "F003_Sad: 131" in odd
    assert any("no folder BU4DFE_BND_V1.1" in text for text in told(survey, "missing"))


def test_a_twin_is_not_blamed_for_being_small(root: Path) -> None:
    touch(root, [*subject("F001")[6:], *frames("BND/F001/Happy", range(3), ["bnd"])])
    write_json(root / "twin.json", {"dataset": "bu4dfe"})
    survey = BU4DFE.survey(root)
    assert told(survey, "warning") == {}
    assert told(survey, "missing")["sequences"] == ("F001_Angry",)
    assert not any("subjects" in text for text in told(survey, "missing"))


@pytest.mark.parametrize("place", ["inside", "beside", "among the frames"])
def test_landmarks_are_found_in_their_package(root: Path, place: str) -> None:
    touch(root, [*frames("F001/Angry", range(3)), *frames("M001/Angry", range(2))])
    folder = {"inside": "BU4DFE_BND_V1.1/", "beside": "../bu4dfe_bnd_v1.1/", "among the frames": ""}[place]
    touch(root, [f"{folder}F001/Angry/{number:03d}.bnd" for number in (0, 2, 9)])
    survey = BU4DFE.survey(root)
    angry = "F001/Angry"
    assert survey.index["files"][0] == (
        *(f"{angry}/000.wrl", f"{angry}/000.jpg", f"{folder}{angry}/000.bnd"),
        *(f"{angry}/001.wrl", f"{angry}/001.jpg"),
        *(f"{angry}/002.wrl", f"{angry}/002.jpg", f"{folder}{angry}/002.bnd"),
    )
    assert about(survey, "missing", "landmarks (.bnd) of some") == ("F001_Angry: 001",)
    assert about(survey, "missing", "landmarks (.bnd) of all") == ("M001_Angry",)
    assert any("beside it" in text for text in told(survey, "found")) == (place == "beside")


def test_a_package_that_comes_later_is_noticed(root: Path) -> None:
    touch(root, subject("F001"))
    before = time.time() - 3600
    for path in (root.parent, root, *(p for p in root.rglob("*") if p.is_dir())):
        os.utime(path, (before, before))
    assert len(BU4DFE.index(root)["files"][0]) == 6
    assert index_store.load("bu4dfe", BU4DFE, root) is not None
    touch(root.parent / "BU4DFE_BND_V1.1", ["F001/Angry/000.bnd"])
    assert len(BU4DFE.index(root)["files"][0]) == 7


def test_a_sequence_in_two_places_is_taken_once(root: Path) -> None:
    touch(root, [*frames("a/F001/Angry", range(3)), *frames("b/F001/Angry", range(4)), "b/f001/angry/002.WRL"])
    survey = BU4DFE.survey(root)
    assert survey.index["files"].tolist() == [
        tuple(frames("b/F001/Angry", range(4))),
    ]
    assert len(about(survey, "warning", "already found elsewhere")) == 7


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (["notes.txt"], "no file here is a frame of BU-4DFE"),
        (["F0001/F0001_AN01WH_F3D.wrl"], "looks like BU-3DFE"),
        (["F001/T1/2440.obj"], "looks like BP4D"),
        (["F001/Angry/000.wrl", "F001/Angry/001.wrl"], "has .wrl files of BU-4DFE but no .jpg"),
        (["F001/Angry/000.jpg"], "has .jpg files of BU-4DFE but no .wrl"),
        (["F001/Angry/000.bnd"], "has .bnd files of BU-4DFE but no .wrl or .jpg"),
        (["F001/Angry/000.jpg", "F001/Angry/001.wrl"], "no pair"),
    ],
)
def test_a_folder_without_frames_says_why(root: Path, files: list[str], says: str) -> None:
    touch(root, files)
    with pytest.raises(DatasetNotFound, match=says) as caught:
        BU4DFE.index(root)
    assert "fer-bench data twin bu4dfe" in str(caught.value)


def write(root: Path, lists: bytes, *, landmarks: bool = True) -> None:
    """Two frames by hand; the second is 1 mm higher."""
    (root / "F001" / "Happy").mkdir(parents=True)
    for number in (0, 1):
        stem = root / "F001" / "Happy" / f"{number:03d}"
        stem.with_suffix(".wrl").write_bytes((WRL % lists).replace(b"90.125", b"9%d.125" % number))
        colour = (250, 10, 10) if number else (10, 10, 250)
        Image.new("RGB", (6, 8), colour).save(stem.with_suffix(".jpg"))
        if landmarks:
            rows = [f"{i % 4} {i - 40.5} {-i} {-100 - i}" for i in range(83)]
            stem.with_suffix(".bnd").write_bytes("\n".join([*rows, "", ""]).encode())


@pytest.mark.parametrize("lists", [COORD + TEXCOORD, TEXCOORD, COORD])
def test_a_sequence_is_read_frame_by_frame(root: Path, lists: bytes) -> None:
    write(root, lists)
    clip = BU4DFE.load(root, BU4DFE.index(root)["files"][0])
    assert len(clip) == 2
    first, second = pickle.loads(pickle.dumps(clip))
    assert first.vertices.tolist()[0] == [-60.5, -80.0, -118.25]
    assert (first.vertices[2, 1], second.vertices[2, 1]) == (90.125, 91.125)
    assert first.triangles.tolist() == [[0, 1, 3], [1, 2, 3], [2, 0, 3]]
    assert np.array_equal(first.uv_triangles, first.triangles)
    assert first.uv.tolist() == [[0, 0], [1, 0], [0.5, 1], [0.5, 0.5]]
    assert first.texture.shape == (8, 6, 3)
    assert first.texture[0, 0, 2] > 200, "the image of the same number, whatever the url says"
    assert second.texture[0, 0, 0] > 200
    assert first.landmarks["chin"].tolist() == [75 - 40.5, -75, -175]
    assert read_frame(clip.files[0][:2]).landmarks == {}


def test_frames_of_a_clip_are_read_when_asked_for(root: Path) -> None:
    write(root, COORD)
    (root / "F001" / "Happy" / "001.wrl").write_bytes(b"nothing")
    clip = BU4DFE.load(root, BU4DFE.index(root)["files"][0])
    assert len(clip[0].vertices) == 4
    with pytest.raises(BrokenScan, match=r"001\.wrl"):
        clip[1]


def test_a_mesh_without_texture_coordinates_is_broken(root: Path) -> None:
    write(root, COORD)
    path = root / "F001" / "Happy" / "000.wrl"
    start, end = WRL.index(b"\t\ttexCoord"), WRL.index(b"%s")
    path.write_bytes((WRL[:start] + WRL[end:]) % COORD)
    with pytest.raises(BrokenScan, match="no texture coordinates"):
        BU4DFE.load(root, BU4DFE.index(root)["files"][0])[0]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.sampled_from(["wrl", "jpg", "bnd"]), data=st.data())
def test_damaged_frames_are_broken_and_nothing_else(tmp_path: Path, which: str, data: st.DataObject) -> None:
    root = tmp_path / "fuzz"
    if not root.exists():
        write(root, COORD + TEXCOORD)
    files = tuple(root / "F001" / "Happy" / f"000.{suffix}" for suffix in ("wrl", "jpg", "bnd"))
    target = files[("wrl", "jpg", "bnd").index(which)]
    whole = target.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    damaged = data.draw(
        st.sampled_from([whole[:place], whole[:place] + b"\xff" + whole[place + 1 :], whole[place:]]) | st.binary()
    )
    try:
        target.write_bytes(damaged)
        assert np.isfinite(read_frame(files).vertices).all()
    except BrokenScan as error:
        assert "\n" not in str(error)
    finally:
        target.write_bytes(whole)
