import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fer_bench.data.bu3dfe import BU3DFE
from fer_bench.data.doctor import diagnose
from fer_bench.errors import BrokenScan, DatasetNotFound, InvalidFile
from fer_bench.geometry.scan import Scan
from fer_bench.records import write_json

Make = Callable[[int], Path]


def load(root: Path, name: str) -> Scan:
    index = BU3DFE.index(root).set_index("id")
    return BU3DFE.load(root, index.loc[name, "files"])


def test_the_index_names_every_scan(bu3dfe_root: Path) -> None:
    index = BU3DFE.index(bu3dfe_root)
    assert len(index) == 250
    assert index["id"].is_unique
    assert index["id"].is_monotonic_increasing
    assert index["subject"].nunique() == 10
    row = index[index["id"] == "M0003_DI02WH"].iloc[0]
    assert (row["subject"], row["label"], row["level"]) == ("M0003", "disgust", 2)
    assert row["files"] == tuple(f"M0003/M0003_DI02WH_F3D.{suffix}" for suffix in ("wrl", "bmp", "bnd"))
    assert dict(index["label"].value_counts()) == {"neutral": 10} | dict.fromkeys(
        ("anger", "disgust", "fear", "happy", "sad", "surprise"), 40
    )


def test_a_scan_keeps_its_vertices_and_gets_texture_and_landmarks(bu3dfe_root: Path) -> None:
    scan = load(bu3dfe_root, "F0001_HA04WH")
    assert scan.vertices.shape == (169, 3)
    assert len(scan.triangles) == 3 + 1 + 2 + 2 * (144 - 3)
    assert scan.uv is not None
    assert scan.uv_triangles is not None
    assert len(scan.uv) > len(scan.vertices)
    assert scan.uv_triangles.max() == len(scan.uv) - 1
    assert scan.texture is not None
    assert scan.texture.shape == (16, 16, 3)
    assert scan.landmarks["left_eye_outer"][0] > scan.landmarks["right_eye_outer"][0]
    assert scan.landmarks["chin"][1] < scan.landmarks["subnasale"][1]


@pytest.mark.parametrize("wrapper", ["BU_3DFE - 1", "a/b"])
def test_wrapper_folders_are_looked_through(make_bu3dfe: Make, tmp_path: Path, wrapper: str) -> None:
    plain = make_bu3dfe(1)
    ids = list(BU3DFE.index(plain)["id"])
    root = tmp_path / "outer"
    (root / wrapper).parent.mkdir(parents=True)
    plain.rename(root / wrapper)
    assert list(BU3DFE.index(root)["id"]) == ids
    assert load(root, ids[0]).vertices.shape == (169, 3)


def test_a_flat_folder_upper_case_and_noise_are_read(make_bu3dfe: Make, tmp_path: Path) -> None:
    nested, flat = make_bu3dfe(2), tmp_path / "flat"
    flat.mkdir()
    for path in nested.rglob("*.*"):
        shutil.copy(path, flat / path.name.upper())
    (flat / "__MACOSX").mkdir()
    shutil.copy(nested / "F0001" / "F0001_AN01WH_F3D.wrl", flat / "__MACOSX" / "F0009_AN01WH_F3D.wrl")
    (flat / "Thumbs.db").write_bytes(b"noise")
    assert list(BU3DFE.index(flat)["id"]) == list(BU3DFE.index(nested)["id"])


def test_without_texture_or_landmarks_a_scan_is_still_read(make_bu3dfe: Make) -> None:
    root = make_bu3dfe(1)
    (root / "F0001" / "F0001_AN01WH_F3D.bmp").unlink()
    (root / "F0001" / "F0001_AN01WH_F3D.bnd").unlink()
    scan = load(root, "F0001_AN01WH")
    assert scan.texture is None
    assert scan.landmarks == {}
    told = {finding.text: finding.names for finding in BU3DFE.survey(root).findings if finding.kind == "missing"}
    assert told["texture (_F3D.bmp) of scans that are there"] == ("F0001_AN01WH",)
    assert told["landmarks (_F3D.bnd) of scans that are there"] == ("F0001_AN01WH",)


def test_the_doctor_names_what_is_missing_and_what_is_broken(make_bu3dfe: Make) -> None:
    root = make_bu3dfe(2)
    (root / "F0001" / "F0001_FE03WH_F3D.wrl").unlink()
    broken = root / "M0001" / "M0001_SU04WH_F3D.wrl"
    broken.write_bytes(broken.read_bytes()[:3000])
    progress: list[tuple[int, int]] = []
    diagnosis = diagnose(BU3DFE, root, progress=lambda *p: progress.append(p))
    missing = {finding.text: finding.names for finding in diagnosis.findings if finding.kind == "missing"}
    assert missing["scans"] == ("F0001_FE03",)
    assert len(missing["subjects without any scan"]) == 98
    assert any("49 scans of 2 subjects" in finding.text for finding in diagnosis.findings)
    assert list(diagnosis.broken) == ["M0001_SU04WH"]
    assert str(broken) in diagnosis.broken["M0001_SU04WH"]
    assert progress[-1] == (49, 49)


def test_a_scan_in_two_places_is_taken_once_and_told(make_bu3dfe: Make) -> None:
    root = make_bu3dfe(1)
    shutil.copytree(root / "F0001", root / "copy" / "F0001")
    survey = BU3DFE.survey(root)
    assert len(survey.index) == 25
    told = [finding for finding in survey.findings if "already found elsewhere" in finding.text]
    assert len(told[0].names) == 75


def test_mesh_and_texture_are_of_one_copy(make_bu3dfe: Make) -> None:
    root = make_bu3dfe(1)
    (root / "a").mkdir()
    for name in ("F0001_AN01WH_F3D.wrl", "F0001_AN02AE_F3D.wrl"):
        (root / "a" / name).write_bytes(b"another mesh, under another race")
    survey = BU3DFE.survey(root)
    files = dict(zip(survey.index["id"], survey.index["files"], strict=True))
    for level in (1, 2):
        assert files[f"F0001_AN0{level}WH"][0].startswith("F0001/"), "the place that has the texture too"
    told = [finding for finding in survey.findings if "already found elsewhere" in finding.text]
    assert told[0].names == ("a/F0001_AN01WH_F3D.wrl", "a/F0001_AN02AE_F3D.wrl")


def test_levels_that_do_not_exist_are_told(make_bu3dfe: Make) -> None:
    root = make_bu3dfe(1)
    for name in ("F0001_AN00WH_F3D.wrl", "F0001_NE03WH_F3D.wrl"):
        (root / name).touch()
    survey = BU3DFE.survey(root)
    assert len(survey.index) == 25
    (told,) = (finding for finding in survey.findings if "level is not 0 for neutral" in finding.text)
    assert told.names == ("F0001_AN00WH_F3D.wrl", "F0001_NE03WH_F3D.wrl")


def test_nan_vertices_name_the_file(make_bu3dfe: Make) -> None:
    path = make_bu3dfe(1) / "F0001" / "F0001_NE00WH_F3D.wrl"
    text = path.read_text().splitlines()
    row = next(i for i, line in enumerate(text) if "point [" in line) + 3
    text[row] = "nan 1 2,"
    path.write_text("\n".join(text))
    with pytest.raises(BrokenScan, match=r"F0001_NE00WH_F3D\.wrl"):
        load(path.parent.parent, "F0001_NE00WH")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ([], "the folder is empty"),
        (["notes.txt"], "no file here is a BU-3DFE scan"),
        (["bs000/bs000_E_HAPPY_0.bnt"], "looks like Bosphorus"),
        (["F001/Angry/000.wrl"], "looks like BU-4DFE"),
        (["FaceTalk_170725_00137_TA/bareteeth/bareteeth.000001.ply"], "looks like CoMA"),
        (["basic/EmoLabel/list_patition_label.txt"], "looks like RAF-DB"),
    ],
)
def test_a_wrong_folder_is_named_for_what_it_is(tmp_path: Path, files: list[str], says: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(DatasetNotFound) as caught:
        BU3DFE.index(tmp_path)
    message = str(caught.value)
    assert says in message
    assert str(tmp_path) in message
    assert "fer-bench data twin bu3dfe" in message
    assert "Binghamton" in message


def test_a_missing_folder_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match="nowhere: there is no such folder"):
        BU3DFE.index(tmp_path / "nowhere")


def test_a_twin_is_never_taken_for_the_dataset(make_bu3dfe: Make) -> None:
    root = make_bu3dfe(1)
    assert BU3DFE.source(root).provenance == "as distributed"
    real = BU3DFE.source(root).digest
    write_json(root / "twin.json", {"recipe": 1, "face_model": "procedural-0123456789ab", "seed": 3, "subjects": 1})
    assert BU3DFE.source(root).provenance == "twin-r1-procedural-0123456789ab-s3-n1"
    assert BU3DFE.source(root).digest != real
    (root / "twin.json").write_text("{")
    with pytest.raises(InvalidFile, match=r"twin\.json"):
        BU3DFE.source(root)


def test_landmark_positions_win_over_indices(make_bu3dfe: Make) -> None:
    root = make_bu3dfe(1)
    before = load(root, "F0001_NE00WH").landmarks["chin"]
    path = root / "F0001" / "F0001_NE00WH_F3D.bnd"
    rows = [f"0 {row.split(maxsplit=1)[1]}" for row in path.read_text().splitlines()]
    path.write_text("\n".join(rows))
    assert np.array_equal(load(root, "F0001_NE00WH").landmarks["chin"], before)
