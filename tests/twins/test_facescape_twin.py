import hashlib
from pathlib import Path

import numpy as np
import pytest

from fer_bench.data.doctor import diagnose
from fer_bench.data.facescape import FaceScape
from fer_bench.geometry.scan import Scan
from fer_bench.protocols import PROTOCOLS
from fer_bench.records import TWIN_MARKER
from fer_bench.twins import facescape
from fer_bench.twins.face import procedural_face


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("facescape") / "twin"
    facescape.write_twin(root, subjects=3, seed=3)
    return root


def load(root: Path, name: str) -> Scan:
    scan = FaceScape.load(root, FaceScape.index(root).set_index("id").loc[name, "files"])
    assert isinstance(scan, Scan)
    return scan


def test_a_vertex_is_the_same_point_of_every_face(root: Path) -> None:
    neutral, open_mouth, other = (load(root, name) for name in ("1_1_neutral", "1_3_mouth_stretch", "2_1_neutral"))
    for scan in (open_mouth, other):
        assert (scan.triangles == neutral.triangles).all()
        assert scan.uv is not None
        assert scan.uv_triangles is not None
        assert (scan.uv_triangles == neutral.uv_triangles).all()
    assert neutral.texture is not None
    # An expression leaves the forehead's edge where it is; another person has another one.
    top = np.argsort(neutral.vertices[:, 1])[-20:]
    assert np.abs(open_mouth.vertices[top] - neutral.vertices[top]).max() < 3
    moved = np.linalg.norm(open_mouth.vertices - neutral.vertices, axis=1)
    assert moved.max() > 10


def test_vertices_are_the_templates_in_its_order(root: Path) -> None:
    people = facescape.population(procedural_face(), 3)
    for subject, code in ((1, "1_neutral"), (2, "14_sadness"), (3, "20_brow_lower")):
        scan = load(root, f"{subject}_{code}")
        np.testing.assert_allclose(scan.vertices, facescape.shape_of(people, subject, code), atol=1e-3)
        np.testing.assert_array_equal(scan.triangles, people.model.triangles)
        np.testing.assert_array_equal(scan.uv_triangles, people.model.uv_triangles)


def test_the_recipe_is_what_it_was() -> None:
    # Part of every twin's provenance. If faces are changed on purpose, raise the recipe's version and write the new
    # digest here.
    shape = facescape.shape_of(facescape.population(procedural_face(), 5), 1, "16_grin").astype(np.float32)
    assert hashlib.sha256(shape.tobytes()).hexdigest()[:12] == "f2c9caa701b2"


def test_left_is_the_subjects_left(root: Path) -> None:
    for name, sign in (("5_jaw_left", 1), ("6_jaw_right", -1), ("8_mouth_left", 1), ("9_mouth_right", -1)):
        neutral, moved = load(root, "1_1_neutral").vertices, load(root, f"1_{name}").vertices
        furthest = np.argsort(np.abs(moved - neutral)[:, 0])[-20:]
        assert (np.sign((moved - neutral)[furthest, 0]) == sign).all(), name


@pytest.mark.parametrize("layout", facescape.write_twin.layouts)
def test_every_layout_is_read_and_its_faults_are_found(tmp_path: Path, layout: str) -> None:
    facescape.write_twin(tmp_path / "twin", subjects=2, layout=layout)
    diagnosis = diagnose(FaceScape, tmp_path / "twin")
    told = {finding.text: finding for finding in diagnosis.findings}
    assert diagnosis.samples == 39
    assert diagnosis.broken == {}
    assert diagnosis.exit_code == 2, "two people are too few for the protocol"
    assert told["meshes"].names == ("2_16_grin",)
    assert any("as info_list_v2.txt says" in text and f.names == ("1_3_mouth_stretch",) for text, f in told.items())
    assert any("one topology: 2,4" in text for text in told)
    assert not any("seem" in text for text in told)


def test_the_protocol_divides_it(root: Path) -> None:
    (fold,) = PROTOCOLS["facescape-identity@1"].folds(FaceScape.index(root))
    assert {i.partition("_")[0] for i in fold.test} == {"2"}
    assert fold.train
    assert fold.val


def test_the_bytes_depend_on_the_seed_alone(tmp_path: Path) -> None:
    def digest(name: str, **options: int) -> str:
        facescape.write_twin(tmp_path / name, subjects=2, **options)
        files = sorted(p for p in (tmp_path / name).rglob("*") if p.is_file() and p.name != TWIN_MARKER)
        whole = b"".join(str(p.relative_to(tmp_path / name)).encode() + p.read_bytes() for p in files)
        return hashlib.sha256(whole).hexdigest()

    one = digest("a", seed=1)
    assert digest("b", seed=1, workers=2) == one
    assert digest("c", seed=2) != one
