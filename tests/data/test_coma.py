import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fer_bench.data.coma import SEQUENCES, SUBJECTS, CoMA
from fer_bench.errors import BrokenScan, DatasetNotFound
from fer_bench.geometry.scan import Scan
from fer_bench.records import write_json

ME = SUBJECTS[0]
HEADER = (
    "ply\nformat binary_little_endian 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    "element face 2\nproperty list uchar int vertex_indices\nend_header\n"
)
POINTS = [(0.0, 0.0, 0.0), (0.05, 0.0, 0.01), (0.05, 0.1, 0.02), (0.0, 0.1, -0.01)]
FACES = [(0, 1, 2), (0, 2, 3)]


def ply(points: list[tuple[float, float, float]] = POINTS, kind: str = "binary_little_endian", faces: int = 2) -> bytes:
    head = HEADER.replace("binary_little_endian", kind).replace("face 2", f"face {faces}").encode()
    if kind == "ascii":
        rows = [*(f"{x} {y} {z}" for x, y, z in points), *(f"3 {a} {b} {c}" for a, b, c in FACES[:faces])]
        return head + "\n".join([*rows, ""]).encode()
    order = "<" if kind == "binary_little_endian" else ">"
    body = b"".join(struct.pack(f"{order}3f", *point) for point in points)
    return head + body + b"".join(struct.pack(f"{order}B3i", 3, *face) for face in FACES[:faces])


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def sequence(subject: str, name: str, numbers: range, wrapper: str = "") -> list[str]:
    return [f"{wrapper}{subject}/{name}/{name}.{number:06d}.ply" for number in numbers]


def told(root: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {finding.text: (finding.kind, finding.names) for finding in CoMA.survey(root).findings}


def test_a_row_is_a_mesh_in_order_of_path_and_number(tmp_path: Path) -> None:
    root = make(
        tmp_path / "root", *sequence(ME, "mouth_up", range(9, 12)), *sequence(SUBJECTS[1], "eyebrow", range(1, 3))
    )
    index = CoMA.index(root)
    assert index["id"].tolist() == [
        *(f"{ME}/mouth_up/{n:06d}" for n in (9, 10, 11)),
        *(f"{SUBJECTS[1]}/eyebrow/{n:06d}" for n in (1, 2)),
    ]
    row = index.iloc[0]
    assert (row["subject"], row["label"]) == (ME, "mouth_up")
    assert row["files"] == (f"{ME}/mouth_up/mouth_up.000009.ply",)
    (gaps,) = (names for text, (_, names) in told(root).items() if "gaps" in text)
    assert gaps == (f"{ME}/mouth_up: 000001-000008",), "numbers begin with 1"


@pytest.mark.parametrize("wrapper", ["COMA_data/", "a/b/"])
def test_wrapper_folders_are_looked_through(tmp_path: Path, wrapper: str) -> None:
    root = make(tmp_path / "root", *sequence(ME, "eyebrow", range(1, 4), wrapper))
    assert CoMA.index(root)["id"].tolist() == [f"{ME}/eyebrow/{n:06d}" for n in (1, 2, 3)]


def test_numbers_of_any_width_are_sorted_as_numbers(tmp_path: Path) -> None:
    names = [f"{ME}/eyebrow/eyebrow.{n}.ply" for n in ("10", "9", "000011")]
    assert [i[-6:] for i in CoMA.index(make(tmp_path / "root", *names))["id"]] == ["000009", "000010", "000011"]


def test_what_is_missing_or_strange_is_named(tmp_path: Path) -> None:
    names = [n for s in SUBJECTS[:11] for q in SEQUENCES for n in sequence(s, q, range(1, 3))]
    names.remove(f"{ME}/mouth_up/mouth_up.000001.ply")
    names.remove(f"{ME}/mouth_up/mouth_up.000002.ply")
    names += [
        f"{ME}/eyebrow/eyebrow.000005.ply",
        f"{ME}/eyebrow/eyebrow.000001.obj",
        f"{ME}/lips_up/eyebrow.000001.ply",
    ]
    names += sequence(ME, "wink", range(1, 2)) + sequence("FaceTalk_990101_00001_TA", "eyebrow", range(1, 2))
    names += ["template.obj", *sequence(ME, "eyebrow", range(1, 2), "copy/")]
    found = told(make(tmp_path / "root", *names))
    assert found["subjects without any mesh"] == ("missing", (SUBJECTS[11],))
    missing = found["sequences"][1]
    assert found["sequences"][0] == "missing"
    assert f"{ME}/mouth_up" in missing
    assert len(missing) == 1 + 11
    assert found["sequences that the distribution does not have"] == ("warning", (f"{ME}/wink",))
    assert found["subjects that the distribution does not have"] == ("warning", ("FaceTalk_990101_00001_TA",))
    assert found["sequences with gaps in their numbers, which the distribution may have too"] == (
        "found",
        (f"{ME}/eyebrow: 000003-000004",),
    )
    assert found["folders with other files, ignored"][1] == (f"{ME}/eyebrow: 1", f"{ME}/lips_up: 1")
    assert len(found["meshes whose number was already found elsewhere, left out"][1]) == 1


def test_a_full_distribution_lacks_nothing(tmp_path: Path) -> None:
    root = make(tmp_path / "root", *(n for s in SUBJECTS for q in SEQUENCES for n in sequence(s, q, range(1, 3))))
    findings = CoMA.survey(root).findings
    assert {finding.kind for finding in findings} == {"found", "assumed"}
    assert "288 meshes in 144 sequences of 12 subjects" in findings[0].text


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match="no file here is a mesh of CoMA"):
        CoMA.index(make(tmp_path / "root", "FaceTalk_170725_00137_TA/readme.txt"))


def test_names_are_read_in_any_case_and_told_apart_by_the_distributions(tmp_path: Path) -> None:
    root = make(tmp_path / "root", f"{ME.upper()}/Eyebrow/EYEBROW.000001.PLY", "FaceTalk_x_TA/lips_up/lips_up.1.ply")
    index = CoMA.index(root)
    assert index["id"].tolist() == [f"{ME}/eyebrow/000001", "FaceTalk_x_TA/lips_up/000001"]
    assert told(root)["subjects that the distribution does not have"] == ("warning", ("FaceTalk_x_TA",))


def test_meshes_in_no_sequence_are_counted(tmp_path: Path) -> None:
    names = [*sequence(ME, "eyebrow", range(1, 4)), f"{ME}/eyebrow.000001.ply", "template.ply", "x.000001.ply"]
    names += [f"{ME}/eyebrow/old/eyebrow.{n:06d}.ply" for n in (1, 2)]
    found = told(make(tmp_path / "root", *names))
    (astray,) = (names for text, (kind, names) in found.items() if kind == "warning" and "not of a sequence" in text)
    assert astray == (".: 1", f"{ME}: 1", f"{ME}/eyebrow/old: 2")
    assert len(CoMA.index(tmp_path / "root")) == 3


def test_a_twin_is_not_blamed_for_being_small(tmp_path: Path) -> None:
    root = make(tmp_path / "root", *(n for q in SEQUENCES[1:] for n in sequence(ME, q, range(1, 3))))
    write_json(root / "twin.json", {"dataset": "coma"})
    kinds = {text: kind for text, (kind, _) in told(root).items() if kind in ("missing", "warning")}
    assert kinds == {"sequences": "missing"}


@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_each_format_is_read(tmp_path: Path, kind: str) -> None:
    name = f"{ME}/eyebrow/eyebrow.000001.ply"
    (make(tmp_path / "root", name) / name).write_bytes(ply(kind=kind))
    scan = CoMA.load(tmp_path / "root", (name,))
    np.testing.assert_allclose(scan.vertices, np.array(POINTS) * 1000, rtol=1e-6)
    assert scan.triangles.tolist() == [list(face) for face in FACES]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty|not a PLY"),
        (ply(faces=0), "no faces"),
        (ply([(3e37, 0.0, 0.0), *POINTS[1:]]), "too far away"),
        (ply([(float("nan"), 0.0, 0.0), *POINTS[1:]]), "not finite"),
        (ply().replace(b"vertex 4", b"vertex 4000000000"), "claims 4000000000 rows"),
        (ply(POINTS[:3], "ascii").replace(b"vertex 4", b"vertex 3"), "only 3 vertices"),
    ],
)
def test_a_broken_mesh_says_why(tmp_path: Path, content: bytes, says: str) -> None:
    name = f"{ME}/eyebrow/eyebrow.000001.ply"
    (make(tmp_path / "root", name) / name).write_bytes(content)
    with pytest.raises(BrokenScan, match=f"(?i){says}") as caught:
        CoMA.load(tmp_path / "root", (name,))
    assert "\n" not in str(caught.value)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["ascii", "binary_little_endian", "binary_big_endian"]), data=st.data())
def test_damaged_meshes_are_broken_and_nothing_else(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    whole = ply(kind=kind)
    place = data.draw(st.integers(0, len(whole) - 1))
    flipped = whole[:place] + data.draw(st.binary(min_size=1, max_size=4)) + whole[place + 1 :]
    (tmp_path / "a.ply").write_bytes(data.draw(st.sampled_from([whole[:place], whole[place:], flipped]) | st.binary()))
    try:
        scan = CoMA.load(tmp_path, ("a.ply",))
    except BrokenScan as error:
        assert "\n" not in str(error)
    else:
        assert np.isfinite(scan.vertices).all()
        assert len(scan.triangles)


def test_bytes_are_read_in_millimetres_and_in_their_order(tmp_path: Path) -> None:
    name = f"{ME}/eyebrow/eyebrow.000001.ply"
    root = make(tmp_path / "root", name)
    (root / name).write_bytes(ply())
    scan = CoMA.load(root, CoMA.index(root)["files"].iloc[0])
    assert isinstance(scan, Scan)
    np.testing.assert_allclose(scan.vertices, np.array(POINTS) * 1000, rtol=1e-6)
    assert scan.vertices.dtype == np.float32
    assert scan.triangles.tolist() == [[0, 1, 2], [0, 2, 3]]
    (root / name).write_bytes(ply()[:-1])
    with pytest.raises(BrokenScan, match=r"eyebrow\.000001\.ply"):
        CoMA.load(root, (name,))
