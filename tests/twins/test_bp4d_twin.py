import hashlib
from pathlib import Path

import numpy as np
import pytest

from fer_bench.data.bp4d import BP4D
from fer_bench.data.doctor import Diagnosis, diagnose
from fer_bench.errors import FerBenchError
from fer_bench.expressions import BP4D_CODES
from fer_bench.geometry.alignment import align
from fer_bench.records import read_json
from fer_bench.twins.actions import units_of
from fer_bench.twins.bp4d import (
    FRAMES,
    film,
    frame_stems,
    population,
    preview,
    subject_names,
    write_twin,
)
from fer_bench.twins.face import procedural_face

PLACE = {"sequences": "Sequences/", "fera": "BP4D-training/", "wrl": ""}
MESH = {"sequences": "obj", "fera": "obj", "wrl": "wrl"}


@pytest.fixture(scope="module", params=write_twin.layouts)
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("twin") / str(request.param)
    write_twin(folder, subjects=2, seed=5, layout=request.param)
    return folder


@pytest.fixture(scope="module")
def diagnosis(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Diagnosis:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FER_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        return diagnose(BP4D, root)


def files_of(root: Path) -> set[str]:
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}


def fingerprint(root: Path) -> dict[str, str]:
    return {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in files_of(root)}


def test_names_and_sexes_are_the_distributions() -> None:
    everybody = subject_names(41)
    assert everybody == [f"F{n:03d}" for n in range(1, 24)] + [f"M{n:03d}" for n in range(1, 19)]
    some = subject_names(write_twin.default_subjects)
    assert len(some) == len(set(some)) == 20
    assert sum(name[0] == "M" for name in some) == 9
    assert some == sorted(some)
    assert sum(name >= "M009" for name in some) == 4, "both ways of padding occur"
    assert subject_names(3) == ["F001", "F002", "M001"]
    assert subject_names(4) == ["F001", "F002", "M001", "M009"]


def test_frames_are_numbered_as_in_the_releases() -> None:
    people = population(procedural_face(), 0)
    for subject, digits in (("F001", 4), ("M008", 4), ("M009", 3), ("M018", 3)):
        for task in BP4D_CODES:
            stems = frame_stems(people, "sequences", subject, task)
            assert {len(stem) for stem in stems} == {digits}
            assert [int(stem) for stem in stems] == list(range(int(stems[0]), int(stems[0]) + FRAMES))
    for task in BP4D_CODES:
        stems = frame_stems(people, "fera", "M009", task)
        assert [str(int(stem)) for stem in stems] == stems
        assert sorted(stems) != stems, "the order of names is not the order of numbers"


def test_files_are_the_distributions(root: Path) -> None:
    layout = root.name
    people = population(procedural_face(), 5)
    expected = {"twin.json"}
    for subject in ("F001", "M001"):
        for task in BP4D_CODES:
            if (subject, task) == ("M001", "T4"):
                continue
            for stem in frame_stems(people, layout, subject, task):
                suffixes = ["jpg", MESH[layout], *(["mtl"] if MESH[layout] == "obj" else [])]
                expected |= {f"{PLACE[layout]}{subject}/{task}/{stem}.{suffix}" for suffix in suffixes}
            occurrence, intensity = ("AUCoding/AU_OCC", "AUCoding/AU_INT")
            if layout == "fera":
                occurrence, intensity = "AUCoding", "AU Intensity Codes3.0"
            expected.add(f"{occurrence}/{subject}_{task}.csv")
            expected |= {f"{intensity}/AU{u:02d}/{subject}_{task}_AU{u:02d}.csv" for u in (6, 10, 12, 14, 17)}
    found = files_of(root)
    more, less = found - expected, expected - found
    assert len(less) == 1, "the texture of one frame"
    assert len(more) == (layout == "sequences"), "a frame that is there twice"


def test_tables_of_action_units_are_in_the_layouts_own_form(root: Path) -> None:
    folder = "AUCoding" if root.name == "fera" else "AUCoding/AU_OCC"
    rows = [row.split(",") for row in (root / folder / "F001_T1.csv").read_text().splitlines()]
    assert len(rows) == 1 + FRAMES
    if root.name == "fera":
        assert len(rows[0]) == 35
        assert rows[0][:4] == ["1", "1", "2", "4"], "the frame's column is called 1"
        assert {code for row in rows[1:] for code in row[1:]} <= {"0", "1"}
    else:
        assert rows[0] == [str(n) for n in range(100)]
        assert all(row[3] == row[99] == "9" for row in rows[1:]), "no unit has these numbers"
    assert {len(row) for row in rows} == {len(rows[0])}


def test_action_units_follow_the_expression(root: Path) -> None:
    for task, label in BP4D_CODES.items():
        subjects = ("F001",) if task == "T4" else ("F001", "M001")
        tables = [BP4D.action_units(root, subject, task) for subject in subjects]
        share = sum(table.astype(float).mean() for table in tables) / len(tables)
        own = [f"AU{unit:02d}" for unit in units_of(label) if f"AU{unit:02d}" in share and unit != 25]
        other = [c for c in share.index if len(c) == 4 and c not in own and c != "AU25"]
        assert share[own].mean() > 0.05 + 2 * np.nanmean(share[other]), label
    happy = BP4D.action_units(root, "F001", "T1")
    assert ((happy["AU12"] == 1) == (happy["AU12_intensity"] >= 2)).all()
    assert happy["AU12_intensity"].max() > happy["AU12_intensity"].iloc[0]


def test_the_doctor_reads_it_and_reports_every_quirk(root: Path, diagnosis: Diagnosis) -> None:
    assert diagnosis.broken == {}
    assert diagnosis.samples == 15
    said = {(f.kind, f.text.split(" ")[0]): (f.text, f.names) for f in diagnosis.findings}
    quirks = read_json(root / "twin.json")["quirks"]
    assert quirks[0] == "M001 has no task T4."
    assert said["missing", "sequences"][1] == ("M001_T4",)
    texture = quirks[1].rpartition(" ")[2].rstrip(".")
    assert said["missing", "textures"][1] == (f"F001_T2: {int(texture)}",)
    assert quirks[1].startswith("F001/T2 has no texture")
    problems = [f for f in diagnosis.findings if f.kind in ("missing", "warning", "error")]
    if root.name == "sequences":
        assert said["warning", "frames"][1][0].startswith("F001_T3: ")
        assert "F001/T3" in quirks[2]
        problems.remove(next(f for f in problems if f.text.startswith("frames whose number")))
    assert len(problems) == 2, "and nothing else is wrong"
    text = " ".join(f.text for f in diagnosis.findings)
    assert "15 tables of occurrence with 120 frames" in text
    assert "number frames as the meshes do (of 120 coded frames, these have a mesh: 120 with" in text


def test_the_reader_gives_faces(root: Path) -> None:
    index = BP4D.index(root).set_index("id")
    assert index.loc["M001_T6", "label"] == "pain"
    clip = BP4D.load(root, index.loc["M001_T6", "files"])
    assert len(clip) == FRAMES
    counts = set()
    for scan in clip:
        assert scan.texture is not None
        assert scan.texture.shape == (128, 96, 3)
        assert scan.uv is not None
        assert len(scan.uv) == len(scan.vertices)
        assert np.linalg.norm(align(scan).vertices.mean(axis=0)) < 60
        counts.add(len(scan.vertices))
    assert len(counts) > 1, "no correspondence between frames"


def test_elicited_expressions_are_weaker_and_later_than_posed_ones() -> None:
    people = population(procedural_face(), 5)
    weights = np.array([frame.weights for frame in film(people, "F001", "T3", 40)])
    strength = np.abs(weights - weights[0]).sum(axis=1)
    assert strength.argmax() > 18


def test_bytes_depend_on_the_seed_alone(tmp_path: Path) -> None:
    write_twin(tmp_path / "one", subjects=1, seed=5)
    write_twin(tmp_path / "two", subjects=1, seed=5, workers=2)
    write_twin(tmp_path / "other", subjects=1, seed=6)
    assert fingerprint(tmp_path / "one") == fingerprint(tmp_path / "two")
    meshes = [{v for k, v in fingerprint(tmp_path / n).items() if k[-4:] in (".obj", ".jpg")} for n in ("one", "other")]
    assert not meshes[0] & meshes[1]


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FerBenchError, match="BP4D has 41 subjects"):
        write_twin(tmp_path / "new", subjects=42)
    with pytest.raises(FerBenchError, match="layouts sequences, fera, wrl"):
        write_twin(tmp_path / "new", subjects=1, layout="zip")


def test_it_can_be_looked_at() -> None:
    cells = preview(procedural_face(), 0, frames=1)
    assert len(cells) == 2 * 8
    assert cells[0][1].std() > 10
