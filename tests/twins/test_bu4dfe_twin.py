import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from fer_bench.data.bu4dfe import BU4DFE
from fer_bench.data.doctor import Diagnosis, diagnose
from fer_bench.errors import FerBenchError
from fer_bench.expressions import BU4DFE_CODES
from fer_bench.geometry.alignment import align
from fer_bench.io.bnd import read_bnd
from fer_bench.io.vrml import read_vrml
from fer_bench.records import provenance, read_json
from fer_bench.twins.bu4dfe import FRAMES, population, preview, subject_names, write_twin
from fer_bench.twins.captures import capture
from fer_bench.twins.face import procedural_face


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("twin") / "bu4dfe"
    write_twin(folder, subjects=2, seed=5)
    return folder


@pytest.fixture(scope="module")
def diagnosis(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Diagnosis:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FER_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        return diagnose(BU4DFE, root)


def fingerprint(root: Path) -> dict[str, str]:
    return {
        p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in root.rglob("*")
        if p.is_file()
    }


def test_names_and_sexes_are_the_distributions() -> None:
    everybody = subject_names(101)
    assert (everybody[0], everybody[57], everybody[58], everybody[100]) == ("F001", "F058", "M001", "M043")
    assert [name[0] for name in subject_names(20)].count("M") == 9


def test_files_are_the_distributions(root: Path) -> None:
    found = set(fingerprint(root))
    frames = {f"{s}/{e}/{n:03d}" for s in ("F001", "M001") for e in BU4DFE_CODES for n in range(FRAMES)}
    expected = {f"{frame}.{suffix}" for frame in frames for suffix in ("wrl", "jpg")}
    expected |= {f"BU4DFE_BND_V1.1/{frame}.bnd" for frame in frames if frame[0] == "F"}
    expected -= {"F001/Happy/005.wrl", "F001/Happy/005.jpg", "BU4DFE_BND_V1.1/F001/Happy/005.bnd", "M001/Fear/003.jpg"}
    expected |= {"twin.json", "BU_WrlViewer_V2/readme.txt", "F001/Angry/000 3d.jpg"}
    assert found == expected
    marker = read_json(root / "twin.json")
    assert (marker["dataset"], marker["subjects"], marker["layout"]) == ("bu4dfe", 2, "distribution")
    assert provenance(root).startswith("twin-r")


def test_meshes_are_in_the_grammar_of_bu4dfe(root: Path) -> None:
    text = (root / "F001" / "Angry" / "000.wrl").read_text()
    assert text.startswith("#VRML V2.0 utf8")
    assert re.search(r"coord Coordinate \{ point \[\n", text)
    assert re.search(r"texCoord TextureCoordinate \{ point \[\n", text)
    assert re.search(r"^\s+\d+, \d+, \d+, -1,?$", text, re.MULTILINE), "commas between the indices"
    mesh = read_vrml(root / "F001" / "Angry" / "000.wrl")
    assert set(mesh.polygon_sizes.tolist()) == {3}
    assert mesh.uv is not None
    assert len(mesh.uv) == len(mesh.vertices), "one texture coordinate a vertex"
    assert np.array_equal(mesh.triangles, mesh.uv_triangles)
    assert 900 < len(mesh.vertices) < 1500
    assert -160 < np.median(mesh.vertices[:, 2]) < -80, "z lies around -118"
    assert text.count("oordIndex [") == 2
    other = (root / "M001" / "Sad" / "000.wrl").read_bytes()
    assert other.count(b"oordIndex [") == 1, "texCoordIndex alone"
    assert b"\r\n" in other


def test_landmarks_are_vertices_of_their_frame(root: Path) -> None:
    paths = sorted((root / "BU4DFE_BND_V1.1").rglob("*.bnd"))
    assert len(paths) == 6 * FRAMES - 1
    for path in paths[::5]:
        rows = path.read_text().split("\n")
        assert len(rows) == 85, "83 rows, a blank one, and the end of the file"
        assert re.fullmatch(r"\d+( -?\d+(\.\d+)?(e-\d+)?){3}", rows[0])
        indices, points = read_bnd(path)
        mesh = read_vrml(root / path.relative_to(root / "BU4DFE_BND_V1.1").with_suffix(".wrl"))
        assert np.abs(mesh.vertices[indices] - points).max() < 1e-3


def test_frames_have_no_correspondence_and_a_course(root: Path) -> None:
    meshes = [read_vrml(root / "F001" / "Surprise" / f"{n:03d}.wrl") for n in range(FRAMES)]
    assert np.std([mesh.vertices[0] for mesh in meshes], axis=0).min() > 5, "vertex 0 is somewhere else each time"
    assert len({len(mesh.vertices) for mesh in meshes}) > 1
    people = population(procedural_face(), 5)
    weights = np.array([frame.weights for frame in capture(people, "F001", "Surprise", "surprise", FRAMES)])
    strength = np.abs(weights - weights[0]).sum(axis=1)
    assert FRAMES // 4 <= strength.argmax() <= 3 * FRAMES // 4, "the apex is in the middle"
    assert strength[-1] < 0.35 * strength.max(), "it ends near where it began"


def test_the_doctor_reads_it_and_reports_every_quirk(root: Path, diagnosis: Diagnosis) -> None:
    assert diagnosis.broken == {}
    assert diagnosis.samples == 12
    said = {f"{f.kind}: {f.text} {' '.join(f.names)}" for f in diagnosis.findings}
    quirks = read_json(root / "twin.json")["quirks"]
    for quirk, words in zip(
        quirks,
        (
            ("found", "other files", "F001/Angry/000 3d.jpg"),
            ("warning", "gaps", "F001_Happy: 005"),
            ("warning", "without their texture", "M001/Fear/003.wrl"),
            ("missing", "landmarks", "M001_Angry"),
        ),
        strict=True,
    ):
        assert words[2].split(":")[0].split("_")[0].split("/")[0] in quirk
        assert any(all(word in sentence for word in words) for sentence in said), quirk
    kinds = sorted(f.kind for f in diagnosis.findings if f.kind in ("missing", "warning", "error"))
    assert kinds == ["missing", "warning", "warning"], "and nothing else is wrong"


def test_the_reader_gives_faces(root: Path) -> None:
    for subject in ("F001", "M001"):
        files = [p.relative_to(root).as_posix() for p in sorted((root / subject / "Disgust").iterdir())]
        clip = BU4DFE.load(root, tuple(sorted(files, key=lambda name: (name[:-4], name[-1] != "l"))))
        assert len(clip) == FRAMES
        scan = clip[0]
        assert scan.texture is not None
        assert scan.texture.shape == (128, 96, 3)
        assert np.linalg.norm(align(scan).vertices.mean(axis=0)) < 60


def test_bytes_depend_on_the_seed_alone(root: Path, tmp_path: Path) -> None:
    write_twin(tmp_path / "again", subjects=2, seed=5, workers=2)
    assert fingerprint(tmp_path / "again") == fingerprint(root)
    write_twin(tmp_path / "other", subjects=1, seed=6)
    same = set(fingerprint(tmp_path / "other").values()) & set(fingerprint(root).values())
    assert len(same) == 1, "the viewer's readme"
    quirks = read_json(tmp_path / "other" / "twin.json")["quirks"]
    assert len(quirks) == 3


def test_too_many_subjects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FerBenchError, match="BU-4DFE has 101 subjects"):
        write_twin(tmp_path / "new", subjects=102)


def test_it_can_be_looked_at() -> None:
    cells = preview(procedural_face(), 0, frames=1)
    assert len(cells) == 2 * 6
    assert cells[0][1].std() > 10
