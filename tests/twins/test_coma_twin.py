import hashlib
from pathlib import Path

import numpy as np
import pytest

from fer_bench.data.coma import SEQUENCES, SUBJECTS, CoMA
from fer_bench.data.doctor import diagnose
from fer_bench.geometry.scan import Scan
from fer_bench.protocols import PROTOCOLS
from fer_bench.records import TWIN_MARKER, read_json
from fer_bench.twins import coma
from fer_bench.twins.coarse import coarse
from fer_bench.twins.face import procedural_face
from fer_bench.twins.population import Population


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("coma") / "twin"
    coma.write_twin(root, subjects=2, seed=3)
    return root


def load(root: Path, name: str) -> Scan:
    index = CoMA.index(root).set_index("id")
    scan = CoMA.load(root, index.loc[name, "files"])
    assert isinstance(scan, Scan)
    return scan


def test_the_names_are_the_readers() -> None:
    assert tuple(f"FaceTalk_{name}_TA" for name in coma.SUBJECTS) == SUBJECTS
    assert coma.SEQUENCES == SEQUENCES


def test_a_vertex_is_the_same_point_of_every_face(root: Path) -> None:
    first, again = (load(root, f"{SUBJECTS[0]}/{name}/000001") for name in ("bareteeth", "mouth_open"))
    other = load(root, f"{SUBJECTS[1]}/bareteeth/000001")
    assert (first.triangles == again.triangles).all()
    assert (first.triangles == other.triangles).all()
    # At rest only tremor and resting tone differ; between people, everything.
    at_rest = np.linalg.norm(first.vertices - again.vertices, axis=1)
    between = np.linalg.norm(first.vertices - other.vertices, axis=1)
    assert np.median(at_rest) < 0.5 < np.median(between)


def test_vertices_are_the_templates_in_its_order(root: Path) -> None:
    people = Population("coma", coarse(procedural_face(), coma.VERTICES), 3)
    for sequence in ("eyebrow", "lips_up", "mouth_side"):  # ascii, and either byte order
        shapes = coma.sequence_shapes(people, coma.SUBJECTS[1], sequence)
        scan = load(root, f"{SUBJECTS[1]}/{sequence}/000017")
        np.testing.assert_allclose(scan.vertices, 1000 * shapes[16], atol=1e-4)
        np.testing.assert_array_equal(scan.triangles, people.model.triangles)


def test_the_recipe_is_what_it_was() -> None:
    # Part of every twin's provenance. If faces are changed on purpose, raise the recipe's version and write the new
    # digest here.
    people = Population("coma", coarse(procedural_face(), coma.VERTICES), 5)
    shapes = coma.sequence_shapes(people, coma.SUBJECTS[0], "high_smile").astype(np.float32)
    assert hashlib.sha256(shapes.tobytes()).hexdigest()[:12] == "96d17d2a0730"


def test_sequences_go_from_rest_to_an_apex_and_back(root: Path) -> None:
    shapes = [load(root, f"{SUBJECTS[0]}/mouth_open/{n:06d}").vertices for n in (1, 16, 30)]
    apex, end = (np.linalg.norm(shape - shapes[0], axis=1).max() for shape in shapes[1:])
    assert apex > 10
    assert end < 0.2 * apex


def test_each_format_is_there(root: Path) -> None:
    heads = {q: next((root / SUBJECTS[0] / q).glob("*.ply")).read_bytes()[:40] for q in SEQUENCES}
    assert b"format ascii" in heads["eyebrow"]
    assert b"format binary_big_endian" in heads["lips_up"]
    assert b"format binary_little_endian" in heads["mouth_open"]


def test_the_doctor_finds_every_fault_and_one_topology(root: Path) -> None:
    diagnosis = diagnose(CoMA, root)
    told = {finding.text: finding for finding in diagnosis.findings}
    assert diagnosis.exit_code == 1
    assert diagnosis.broken == {}
    assert told["sequences"].names == (f"{SUBJECTS[1]}/mouth_up",)
    assert told["folders with other files, ignored"].names == (f"{SUBJECTS[0]}/bareteeth: 1",)
    gaps = next(finding for text, finding in told.items() if "gaps" in text)
    assert gaps.names == (f"{SUBJECTS[0]}/high_smile: 000012-000013",)
    assert any("one topology: 1,2" in text for text in told)
    assert not any("seem" in text for text in told)
    assert len(read_json(root / TWIN_MARKER)["quirks"]) == 3
    states = {verdict.protocol: verdict.state for verdict in diagnosis.protocols}
    assert states["coma-interpolation@1"] != "not possible"
    assert states["coma-interpolation-windows@1"] != "not possible"
    assert states["coma-identity@1"] == "not possible"


def test_the_interpolation_protocols_divide_it(root: Path) -> None:
    index = CoMA.index(root)
    for name in ("coma-interpolation@1", "coma-interpolation-windows@1"):
        (fold,) = PROTOCOLS[name].folds(index)
        assert fold.train
        assert fold.val
        assert fold.test


def test_the_bytes_depend_on_the_seed_alone(tmp_path: Path) -> None:
    def digest(name: str, **options: int) -> str:
        coma.write_twin(tmp_path / name, subjects=1, **options)
        files = sorted(p for p in (tmp_path / name).rglob("*") if p.is_file() and p.name != TWIN_MARKER)
        return hashlib.sha256(
            b"".join(str(p.relative_to(tmp_path / name)).encode() + p.read_bytes() for p in files)
        ).hexdigest()

    assert digest("a", seed=1) == digest("b", seed=1, workers=2)
    assert digest("c", seed=2) != digest("a2", seed=1)
