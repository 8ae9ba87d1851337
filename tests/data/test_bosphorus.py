import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fer_bench.data.bosphorus import Bosphorus
from fer_bench.errors import BrokenScan, DatasetNotFound
from fer_bench.geometry.scan import Scan
from fer_bench.protocols import PROTOCOLS
from fer_bench.records import TWIN_MARKER

SIX = ("E_ANGER", "E_DISGUST", "E_FEAR", "E_HAPPY", "E_SADNESS", "E_SURPRISE")
SUFFIXES = ("bnt", "png", "lm3", "lm2")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def scan(subject: int, code: str, take: int = 0) -> list[str]:
    return [f"bs{subject:03d}/bs{subject:03d}_{code}_{take}.{suffix}" for suffix in SUFFIXES]


def told(root: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {finding.text: (finding.kind, finding.names) for finding in Bosphorus.survey(root).findings}


def test_labels_are_of_expressions_alone(tmp_path: Path) -> None:
    codes = ("E_HAPPY", "N_N", "LFAU_12LW", "UFAU_43", "CAU_A22+A25-x", "YR_R20", "PR_U", "CR_RD", "O_EYE", "IGN_X_Y")
    index = Bosphorus.index(make(tmp_path / "root", *(n for c in codes for n in scan(7, c)))).set_index("id")
    assert len(index) == len(codes)
    assert index.loc["bs007_E_HAPPY_0", "label"] == "happy"
    assert index.loc["bs007_N_N_0", "label"] == "neutral"
    assert index["label"].notna().sum() == 2
    assert index.loc["bs007_IGN_X_Y_0", "subject"] == "bs007"
    assert "bs007_CAU_A22+A25-X_0" in index.index
    assert index.loc["bs007_E_HAPPY_0", "files"] == tuple(f"bs007/bs007_E_HAPPY_0.{s}" for s in SUFFIXES)


@pytest.mark.parametrize("wrapper", ["BosphorusDB/", "a/b/"])
def test_wrappers_and_capitals_are_looked_through(tmp_path: Path, wrapper: str) -> None:
    names = [wrapper + name for name in scan(1, "E_SADNESS")] + [f"{wrapper}BS002/BS002_e_fear_00.BNT"]
    index = Bosphorus.index(make(tmp_path / "root", *names))
    assert index["id"].tolist() == ["bs001_E_SADNESS_0", "bs002_E_FEAR_00"]
    assert index["label"].tolist() == ["sad", "fear"]


def test_what_is_missing_or_assumed_is_named(tmp_path: Path) -> None:
    names = [n for subject in range(3) for code in SIX for n in scan(subject, code)]
    names = [n for n in names if not n.startswith("bs002/bs002_E_FEAR") and n not in scan(1, "E_HAPPY")]
    names += [*scan(1, "E_HAPPY", 2), *scan(1, "E_HAPPY", 1), *scan(500, "N_N"), "bs000/bs000_N_N_0.png"]
    names.remove("bs000/bs000_E_ANGER_0.png")
    names.remove("bs000/bs000_E_ANGER_0.lm3")
    odd = ("bs000/bs000_E_FEAR_0 (1).bnt", "bs000/bs000_ZZ_1_0.png", f"bs000/bs000_N_N_{'9' * 50}.bnt")
    names += ["copy/bs000_E_FEAR_0.bnt", "bs000/notes.txt", "unallowed_subjects.txt", *odd]
    found = told(make(tmp_path / "root", *names))
    assert found["2 subjects have all six expressions (the distribution: 65)"][0] == "found"
    absent = found["subjects without some of the six expressions, as 40 of the distribution"][1]
    assert absent[0] == "bs002: fear"
    assert found["expressions without a take 0, of which protocols use the lowest that is there"] == (
        "assumed",
        ("bs001_E_HAPPY_1",),
    )
    assert found["photographs (.png) of scans that are there"] == ("missing", ("bs000_E_ANGER_0",))
    assert found["landmarks (.lm3) of scans that are there"] == ("missing", ("bs000_E_ANGER_0",))
    assert found["scans (.bnt) whose other files are there"] == ("missing", ("bs000_N_N_0",))
    assert found["subjects that the distribution does not have"] == ("warning", ("bs500",))
    assert len(found["subjects without any scan"][1]) == 102
    assert "bs002" not in found["subjects without any scan"][1]
    kind, named = found["files whose names are not like bs000_E_HAPPY_0, left out"]
    assert (kind, sorted(named)) == ("warning", sorted(odd))
    assert "19 scans of 4 subjects (the distribution: 4,666 of 105)" in found
    assert "18 expressions; 1 neutral (the distribution: about 453 expressions and 299 neutral)" in found
    assert "scans that the twin's other subjects have" not in found
    for word in ("left in the landmarks' labels", "ear lobes", "sign of the yaw", "whatever the .bnt calls it"):
        assert any(kind == "assumed" for text, (kind, _) in found.items() if word in text), word
    assert found["files of scans that were already found elsewhere, left out"][1] == ("copy/bs000_E_FEAR_0.bnt",)


def test_the_layout_is_told(tmp_path: Path) -> None:
    for number, (before, layout) in enumerate(
        {
            "": "the scans are in a folder for each subject",
            "BosphorusDB/": "the scans are in a folder for each subject, below BosphorusDB",
        }.items()
    ):
        assert layout in told(make(tmp_path / str(number), *(before + name for name in scan(3, "N_N"))))
    flat = make(tmp_path / "flat", *(f"all/{Path(name).name}" for name in scan(3, "N_N")))
    assert "the scans are in folders that are not named like their subjects" in told(flat)


def test_all_subjects_of_a_twin_have_the_same_scans(tmp_path: Path) -> None:
    names = [n for subject in range(2) for code in (*SIX, "YR_R20") for n in scan(subject, code)]
    names = [n for n in names if n not in scan(1, "YR_R20") and n not in scan(0, "E_FEAR")]
    root = make(tmp_path / "root", TWIN_MARKER, *names, *scan(0, "E_FEAR", 1))
    found = told(root)
    assert found["scans that the twin's other subjects have"] == ("missing", ("bs001_YR_R20",))
    assert "subjects without any scan" not in found
    (root / TWIN_MARKER).unlink()
    assert "scans that the twin's other subjects have" not in told(root)


def test_protocols_take_the_lowest_take_of_those_who_have_all_six(tmp_path: Path) -> None:
    names = [n for subject in range(12) for code in (*SIX, "N_N", "YR_R20") for n in scan(subject, code)]
    names = [n for n in names if n not in scan(11, "E_FEAR") and n not in scan(1, "E_HAPPY")]
    names += [*scan(1, "E_HAPPY", 10), *scan(1, "E_HAPPY", 2), *scan(2, "E_HAPPY", 1)]
    index = Bosphorus.index(make(tmp_path / "root", *names))
    folds = PROTOCOLS["bosphorus-cv10@1"].folds(index)
    tested = [i for fold in folds for i in fold.test]
    assert len(folds) == 10
    assert sorted(tested) == sorted(
        f"bs{s:03d}_{code}_{2 if (s, code) == (1, 'E_HAPPY') else 0}" for s in range(11) for code in SIX
    )


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match="no file here is a Bosphorus scan"):
        Bosphorus.index(make(tmp_path / "root", "bs000/bs000_E_HAPPY_0.png"))


WIDTH, HEIGHT = 12, 9


def write_scan(root: Path) -> tuple[str, ...]:
    """A grid of 2 x 3 points on a photograph of 12 x 9 pixels whose top left third is red; written value by value."""
    make(root, *scan(0, "E_HAPPY"))
    stem = root / "bs000" / "bs000_E_HAPPY_0"
    points = []
    for row in range(2):  # row 0 is the bottom
        for column in range(3):
            px, py = 4 * column + 2, 9 - 4 * row - 2  # counted from 1, from the top left
            points.append([50.0 * column, 100.0 * row, 5.0 + column, px / WIDTH, py / HEIGHT])
    points[2][:3] = [-1e9] * 3  # the bottom right is background, with a u and v like any other
    name = b"another_name.png"
    data = struct.pack("<HHdH", 2, 3, -1e9, len(name)) + name + struct.pack("<I", 30)
    data += b"".join(struct.pack("<d", point[field]) for field in range(5) for point in points)
    stem.with_suffix(".bnt").write_bytes(data)
    image = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    image[:5, :4, 0] = 200
    Image.fromarray(image).save(stem.with_suffix(".png"))
    stem.with_suffix(".lm3").write_bytes(
        b"# 3D Landmark File\r\n\r\n2 landmarks:\r\nOuter left eye corner\r\n0 100 5\r\nOuter right eye corner\r\n"
        b"100.0 100.0 7.0\r\n"
    )
    return tuple(scan(0, "E_HAPPY"))


def test_bytes_give_points_photograph_and_landmarks(tmp_path: Path) -> None:
    loaded = Bosphorus.load(tmp_path, write_scan(tmp_path))
    assert isinstance(loaded, Scan)
    assert loaded.vertices.tolist() == [[0, 0, 5], [50, 0, 6], [0, 100, 5], [50, 100, 6], [100, 100, 7]]
    # The cell of three corners makes one triangle.
    assert {frozenset(t) for t in loaded.triangles.tolist()} >= {frozenset({1, 3, 4})}
    assert len(loaded.triangles) == 3
    a, b, c = (loaded.vertices[loaded.triangles[:, i], :2] for i in range(3))
    (ux, uy), (vx, vy) = (b - a).T, (c - a).T
    assert (ux * vy - uy * vx > 0).all(), "counter-clockwise from the camera"
    assert loaded.texture is not None
    assert loaded.uv is not None
    assert loaded.texture.shape == (HEIGHT, WIDTH, 3)
    # Vertex 2, top left, is the pixel in column 2 and row 3 counted from 1: the middle of column 1 and row 2 from 0.
    place = loaded.uv[2] * [WIDTH, HEIGHT]
    assert place.tolist() == pytest.approx([1.5, HEIGHT - 2.5], abs=1e-4)
    column, row = int(place[0]), HEIGHT - 1 - int(place[1])
    assert loaded.texture[row, column, 0] == 200
    # The image's left is the subject's right.
    assert loaded.landmarks["right_eye_outer"].tolist() == [0, 100, 5]
    assert loaded.landmarks["left_eye_outer"].tolist() == [100, 100, 7]


def test_a_scan_is_read_without_photograph_and_landmarks(tmp_path: Path) -> None:
    bnt, *_ = write_scan(tmp_path)
    loaded = Bosphorus.load(tmp_path, (bnt,))
    assert isinstance(loaded, Scan)
    assert loaded.texture is None
    assert loaded.uv is None
    assert loaded.landmarks == {}


@pytest.mark.parametrize("suffix", SUFFIXES[:3])
def test_a_damaged_file_is_named(tmp_path: Path, suffix: str) -> None:
    files = write_scan(tmp_path)
    path = next(tmp_path / name for name in files if name.endswith(suffix))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BrokenScan, match=rf"bs000_E_HAPPY_0\.{suffix}"):
        Bosphorus.load(tmp_path, files)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_bytes_make_another_error(tmp_path: Path, data: st.DataObject) -> None:
    files = write_scan(tmp_path)
    path = tmp_path / data.draw(st.sampled_from(files[:3]))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(data.draw(st.sampled_from([bytes(content), bytes(content[: len(content) // 2]), b""])))
    try:
        loaded = Bosphorus.load(tmp_path, files)
    except BrokenScan as error:
        assert path.name in str(error)
        return
    assert isinstance(loaded, Scan)
    assert np.isfinite(loaded.vertices).all()
    assert all(np.isfinite(point).all() for point in loaded.landmarks.values())
