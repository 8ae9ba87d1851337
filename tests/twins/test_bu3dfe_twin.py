import hashlib
from pathlib import Path

import numpy as np
import pytest

from fer_bench.errors import FerBenchError, InvalidFile
from fer_bench.geometry.alignment import rigid_fit
from fer_bench.io.bnd import read_bnd
from fer_bench.io.images import read_image
from fer_bench.io.vrml import read_vrml
from fer_bench.records import read_json
from fer_bench.twins.bu3dfe import make_scan, population, scan_names, subject_names, true_correspondence, write_twin
from fer_bench.twins.face import procedural_face
from fer_bench.twins.identity import generator
from fer_bench.twins.scans import scan_face
from fer_bench.twins.sculpt_mesh import EYE, MOUTH


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("twin") / "bu3dfe"
    write_twin(folder, subjects=2, seed=5)
    return folder


def fingerprint(root: Path) -> dict[str, str]:
    return {
        p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in root.rglob("*")
        if p.is_file()
    }


def test_names_sexes_and_races_are_the_distributions() -> None:
    everybody = subject_names(100)
    assert (everybody[0], everybody[55], everybody[56], everybody[99]) == ("F0001", "F0056", "M0001", "M0044")
    assert len(subject_names(20)) == 20
    scans = [name for subject in everybody for name in scan_names(subject)]
    assert len(set(scans)) == 2500
    races = [scan_names(subject)[0][-2:] for subject in everybody]
    counts = {race: races.count(race) for race in set(races)}
    assert counts == {"WH": 51, "AE": 24, "BL": 9, "LA": 8, "IN": 6, "AM": 2}
    assert scan_names("F0002")[0] == "F0002_NE00BL"
    assert scan_names("F0043")[0] == "F0043_NE00BL"
    assert scan_names("M0033")[-1] == "M0033_SU04AM"


def test_files_are_the_distributions(root: Path) -> None:
    found = sorted(fingerprint(root))
    assert len(found) == 2 * 25 * 4 + 1 + 3
    assert {"twin.json", "F0001/F0001_NE00WH_F3D.wrl", "M0001/M0001_SU04AM_F2D.bmp"} <= set(found)
    marker = read_json(root / "twin.json")
    assert marker == {
        "dataset": "bu3dfe",
        "recipe": 1,
        "face_model": f"procedural-{procedural_face().digest[:12]}",
        "seed": 5,
        "subjects": 2,
        "layout": "distribution",
        "quirks": [],
        "variants": [
            "The meshes of M0001 have the line ends of Windows.",
            "The landmarks of F0001 are separated by single spaces instead of tabs.",
            "F0001_NE00WH_RAW.wrl is a scan that is not cropped.",
            "F0001/Thumbs.db and BU_WrlViewer_V2/readme.txt are no part of the data.",
        ],
    }


def test_the_recipe_is_what_it_was() -> None:
    # Part of every twin's provenance. If faces are changed on purpose, raise the recipe's version and write the new
    # digest here.
    mesh, albedo = make_scan(population(procedural_face(), 5), "F0001_HA03WH")
    digest = hashlib.sha256(np.ascontiguousarray(mesh.vertices).tobytes() + albedo.tobytes())
    digest.update(repr((mesh.polygons, mesh.uv_polygons)).encode())
    assert digest.hexdigest()[:12] == "161e8130d3d6"


def test_variants_change_bytes_and_nothing_else(root: Path, tmp_path: Path) -> None:
    assert b"\r\n" in (root / "M0001" / "M0001_SA02AM_F3D.wrl").read_bytes()
    assert b"\r" not in (root / "F0001" / "F0001_SA02WH_F3D.wrl").read_bytes()
    assert b"\t" not in (root / "F0001" / "F0001_SA02WH_F3D.bnd").read_bytes()
    assert b"\t\t" in (root / "M0001" / "M0001_SA02AM_F3D.bnd").read_bytes()
    people = population(procedural_face(), 5)
    for name in ("F0001_SA02WH", "M0001_SA02AM"):
        mesh, _ = make_scan(people, name)
        stem = root / name[:5] / f"{name}_F3D"
        np.testing.assert_allclose(read_vrml(stem.with_suffix(".wrl")).vertices, mesh.vertices, rtol=1e-5)
        np.testing.assert_array_equal(read_bnd(stem.with_suffix(".bnd"))[0], mesh.landmarks)
    raw = read_vrml(root / "F0001" / "F0001_NE00WH_RAW.wrl")
    assert len(raw.vertices) > len(read_vrml(root / "F0001" / "F0001_NE00WH_F3D.wrl").vertices)


def test_bytes_depend_on_the_seed_alone(root: Path, tmp_path: Path) -> None:
    write_twin(tmp_path / "again", subjects=2, seed=5, workers=2)
    assert fingerprint(tmp_path / "again") == fingerprint(root)
    write_twin(tmp_path / "other", subjects=1, seed=6)
    decoys = {hashlib.sha256(content).hexdigest() for content in (b"\xd0\xcf\x11\xe0", b"A viewer for VRML files.\r\n")}
    same = set(fingerprint(tmp_path / "other").values()) & set(fingerprint(root).values())
    assert same == decoys


def test_scans_have_the_formats_quirks_and_no_correspondence(root: Path) -> None:
    counts, first = [], []
    for path in sorted(root.rglob("*_F3D.wrl"))[::7]:
        mesh = read_vrml(path)
        assert mesh.uv is not None
        assert mesh.uv_triangles is not None
        assert len(mesh.uv) > len(mesh.vertices)
        assert 3700 < len(mesh.vertices) < 4700
        assert len(np.unique(mesh.triangles)) == len(mesh.vertices), "no vertex is left over"
        text = path.read_text()
        assert text.count("Viewpoint") == 6
        rows = text[text.index("coordIndex") : text.index("texCoord ")].splitlines()
        sizes = [len(row.split()) - 1 for row in rows if "-1" in row]
        assert sizes.count(4) > 0.01 * len(sizes)
        assert sizes.count(5) == 3
        assert max(sizes) == 5
        counts.append(len(mesh.vertices))
        first.append(mesh.vertices[0])
    assert len(set(counts)) > len(counts) // 2, "the crop differs"
    assert np.std(first, axis=0).min() > 10, "vertex 0 is somewhere else each time"


def test_landmarks_are_vertices_of_their_mesh(root: Path) -> None:
    for path in sorted(root.rglob("*_F3D.bnd"))[::9]:
        indices, points = read_bnd(path)
        assert len(set(indices.tolist())) == 83
        vertices = read_vrml(path.with_suffix(".wrl")).vertices
        assert np.abs(vertices[indices] - points).max() < 1e-3


def test_landmarks_survive_every_crop() -> None:
    people = population(procedural_face(), 0)
    for name in ("F0001_SU01WH", *scan_names("M0002")):  # the first lost a landmark once
        mesh, _ = make_scan(people, name)
        assert mesh.landmarks.min() >= 0
        assert np.array_equal(mesh.correspondence[mesh.landmarks], people.landmarks83)


def test_the_true_correspondence_is_known(root: Path) -> None:
    name = "F0001_NE00WH"
    correspondence = true_correspondence(root, name)
    vertices = read_vrml(root / "F0001" / f"{name}_F3D.wrl").vertices.astype(float)
    assert len(np.unique(correspondence)) == len(correspondence) == len(vertices)
    neutral = population(procedural_face(), 5).person("F0001", 0.1).neutral[correspondence]
    rotation, shift = rigid_fit(vertices, neutral)
    error = np.linalg.norm(vertices @ rotation.T + shift - neutral, axis=1)
    assert np.median(error) < 2.0, "but for expression and noise the scan is the person's face"
    wrong = np.linalg.norm(vertices @ rotation.T + shift - neutral[::-1], axis=1)
    assert np.median(wrong) > 20


def test_another_models_correspondence_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "twin.json").write_text((root / "twin.json").read_text().replace("procedural", "other"))
    with pytest.raises(InvalidFile, match="was made with face model other"):
        true_correspondence(tmp_path, "F0001_HA04WH")


def test_the_photograph_shows_a_face(root: Path) -> None:
    image = read_image(root / "F0001" / "F0001_NE00WH_F2D.bmp").astype(float)
    seen = image.sum(axis=2) > 0
    assert 0.2 < seen.mean() < 0.8
    assert seen[60:68, 60:68].all()
    assert not seen[:4, :4].any()
    assert image[seen].std() > 15


def test_hidden_surfaces_are_not_scanned() -> None:
    face = procedural_face()
    marks = population(face, 5).landmarks83
    still, kept = np.zeros(len(face.identity)), {}
    for name, shapes in {"rest": (), "open": ("jawOpen",), "blink": ("eyeBlink_L", "eyeBlink_R")}.items():
        shape = face.vertices(still, np.isin(face.expression_names, shapes).astype(float))
        mesh = scan_face(face, shape, marks, generator("hidden"))
        kept[name] = np.isin(face.triangles, mesh.correspondence).all(axis=1)
    mouth, eyes = face.parts == MOUTH, face.parts == EYE
    assert not kept["rest"][mouth].any(), "closed lips hide the mouth"
    assert kept["open"][mouth].mean() > 0.9
    assert 0.2 < kept["rest"][eyes].mean() < 0.9, "lids hide the rim of the eyeball"
    assert kept["blink"][eyes].sum() < kept["rest"][eyes].sum()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupt_leaves_nothing(tmp_path: Path, workers: int) -> None:
    def stop(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_twin(tmp_path / "new", subjects=1, workers=workers, progress=stop)
    assert not list(tmp_path.iterdir())


def test_a_folder_with_files_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "bu3dfe"
    target.mkdir()
    (target / "mine.txt").write_text("mine")
    with pytest.raises(FerBenchError, match="is not empty; name another folder"):
        write_twin(target, subjects=1)
    assert (target / "mine.txt").read_text() == "mine"
    with pytest.raises(FerBenchError, match="BU-3DFE has 100 subjects"):
        write_twin(tmp_path / "new", subjects=101)
