import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.commands.check import page
from fer_bench.data.bp4d import BP4D
from fer_bench.data.bu3dfe import BU3DFE
from fer_bench.data.class_order import permuted_classes
from fer_bench.data.doctor import Diagnosis, diagnose
from fer_bench.data.duplicates import duplicate_files
from fer_bench.data.layouts import Tree
from fer_bench.records import write_json

Make = Callable[[int], Path]
AFFECTNET = {
    "neutral": 74_874,
    "happy": 134_415,
    "sad": 25_459,
    "surprise": 14_090,
    "fear": 6_378,
    "disgust": 3_803,
    "anger": 24_882,
    "contempt": 3_750,
}
ALPHABETICAL = sorted(AFFECTNET)


def read_as_native(order: list[str], counts: dict[str, int]) -> dict[str, int]:
    """What a reader of the native order counts in a copy numbered in another order."""
    return {native: counts[there] for native, there in zip(counts, order, strict=True)}


def test_an_alphabetical_copy_is_recognised() -> None:
    permuted = permuted_classes(read_as_native(ALPHABETICAL, AFFECTNET), AFFECTNET)
    assert permuted == {n: a for n, a in zip(AFFECTNET, ALPHABETICAL, strict=True) if n != a}


@pytest.mark.parametrize("missing", [500, 1_000, 2_500])
def test_an_alphabetical_copy_that_lacks_some_photographs_is_recognised_too(missing: int) -> None:
    counts = AFFECTNET | {"happy": AFFECTNET["happy"] - missing}
    permuted = permuted_classes(read_as_native(ALPHABETICAL, counts), AFFECTNET)
    assert permuted == {n: a for n, a in zip(AFFECTNET, ALPHABETICAL, strict=True) if n != a}


def test_two_swapped_classes_are_recognised_in_a_complete_copy() -> None:
    swapped = AFFECTNET | {"anger": AFFECTNET["sad"], "sad": AFFECTNET["anger"]}
    assert permuted_classes(swapped, AFFECTNET) == {"sad": "anger", "anger": "sad"}


@settings(max_examples=60)
@given(st.permutations(list(AFFECTNET)), st.integers(20, 400))
def test_any_order_is_recognised_in_a_copy_of_any_size(order: list[str], divisor: int) -> None:
    part = {name: round(count / divisor) for name, count in AFFECTNET.items()}
    permuted = permuted_classes(read_as_native(order, part), AFFECTNET)
    # Classes of nearly one size (sad and anger, disgust and contempt) cannot be told apart in a part of the data.
    sure = {"neutral", "happy", "surprise"}
    if any(there in sure and native != there for native, there in zip(AFFECTNET, order, strict=True)):
        assert all(
            permuted.get(native, native) == there
            for native, there in zip(AFFECTNET, order, strict=True)
            if there in sure
        )


# In a part of the data, chance puts classes of nearly one size the other way round.
BY_CHANCE = {name: AFFECTNET[{"disgust": "contempt", "contempt": "disgust"}.get(name, name)] // 2 for name in AFFECTNET}


@pytest.mark.parametrize(
    "counts",
    [AFFECTNET, BY_CHANCE, {}, {"happy": 5}, {"neutral": 90, "happy": 45}, dict.fromkeys(AFFECTNET, 500), {"other": 3}],
)
def test_what_fits_or_fits_nothing_is_left_alone(counts: dict[str, int]) -> None:
    assert permuted_classes(counts, AFFECTNET) == {}


def test_equal_files_are_found_whatever_their_names(tmp_path: Path) -> None:
    long = bytes(range(256)) * 40
    for name, content in {
        "a": b"x",
        "b": b"y",
        "c/d": b"x",
        "e": long,
        "f": long[:-1] + b"!",
        "g": long,
        "h": b"",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    names = ["a", "b", "c/d", "e", "f", "g", "h", "gone"]
    assert duplicate_files(tmp_path, names) == [("a", "c/d"), ("e", "g")]


def text(diagnosis: Diagnosis) -> str:
    return "\n".join(page(diagnosis))


def test_a_whole_dataset_is_ready(bu3dfe_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "twin"
    shutil.copytree(bu3dfe_root, root)
    write_json(root / "twin.json", {"recipe": 1, "face_model": "m", "seed": 0, "subjects": 10})
    diagnosis = diagnose(BU3DFE, root)
    assert diagnosis.exit_code == 0, text(diagnosis)
    assert diagnosis.broken == {}
    assert {v.protocol for v in diagnosis.protocols} >= {"bu3dfe-s1-cv10@1", "bu3dfe-s2-cv10@1"}
    assert "bu3dfe-s1-cv10@1" in text(diagnosis)
    assert "ready: 120 samples (the dataset has 1,200)" in text(diagnosis)


def test_missing_scans_are_a_warning_and_counted_a_protocol(bu3dfe_root: Path) -> None:
    diagnosis = diagnose(BU3DFE, bu3dfe_root, read=False)
    assert diagnosis.exit_code == 1
    assert "ready with 1,080 missing: 120 of 1,200" in text(diagnosis)
    assert "subjects without any scan (90): F0006, F0007" in text(diagnosis)
    assert "and 82 more (--json names all)" in text(diagnosis)
    found = json.loads(json.dumps(diagnosis.to_json()))
    assert found["exit_code"] == 1
    assert found["verdict"] == "usable with warnings"
    assert len(next(f for f in found["findings"] if "without any scan" in f["text"])["names"]) == 90


def test_too_little_is_not_usable(make_bu3dfe: Make) -> None:
    diagnosis = diagnose(BU3DFE, make_bu3dfe(2), read=False)
    states = {v.protocol: v for v in diagnosis.protocols}
    assert states["bu3dfe-s1-cv10@1"].state == "not possible"
    assert "at least 10 subjects" in states["bu3dfe-s1-cv10@1"].why


def test_scans_in_metres_turned_and_copied_are_told(make_bu3dfe: Make) -> None:
    root = make_bu3dfe(1)
    folder = root / "F0001"
    for name, scale in (("AN01", (0.001, 0.001, 0.001)), ("DI02", (1, 1, -1))):
        path = folder / f"F0001_{name}WH_F3D.wrl"
        path.write_text(rescaled(path.read_text(), scale))
        path.with_suffix(".bnd").unlink()
    shutil.copy(folder / "F0001_HA01WH_F3D.wrl", folder / "F0001_HA02WH_F3D.wrl")
    (folder / "F0001_SU01WH_F3D.wrl").write_bytes(b"")
    diagnosis = diagnose(BU3DFE, root)
    told = {f.text: f.names for f in diagnosis.findings if f.kind == "warning"}
    assert told["scans that seem in metres where millimetres are expected"] == ("F0001_AN01WH",)
    assert told["scans that seem turned away, or mirrored in depth, for the middle is behind the rim"] == (
        "F0001_DI02WH",
    )
    (copies,) = told["groups of files with equal content"]
    assert copies == "F0001/F0001_HA01WH_F3D.wrl = F0001/F0001_HA02WH_F3D.wrl"
    assert "F0001_SU01WH" in diagnosis.broken


def test_every_broken_frame_of_a_sequence_is_named(tmp_path: Path) -> None:
    root = tmp_path / "bp4d"
    good = "".join(f"v {x} {y} {100 - x * x / 90}\n" for y in range(-90, 91, 10) for x in range(-60, 61, 10))
    faces = [(13 * r + c, 13 * r + c + 1, 13 * r + c + 14) for r in range(18) for c in range(12)]
    good += "".join(f"f {a + 1} {b + 1} {c + 1}\n" for a, b, c in faces)
    for number in range(4):
        path = root / "F001" / "T1" / f"{number:04d}.obj"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if number in (1, 3) else good)
    (problem,) = diagnose(BP4D, root).broken.values()
    assert "0001.obj: is empty" in problem
    assert problem.endswith(" So are 1 more: 0003.obj.")
    (root / "F001" / "T1" / "0001.obj").write_text(good)
    vertices = [line.split()[1:] for line in good.split("\n") if line[:1] == "v"]
    scaled = "".join(f"v {float(x) * 50} {float(y) * 50} {float(z) * 50}\n" for x, y, z in vertices)
    (root / "F001" / "T1" / "0003.obj").write_text(scaled + good[good.index("f ") :])
    diagnosis = diagnose(BP4D, root)
    assert not diagnosis.broken
    assert any("scans that seem" in f.text and f.names == ("F001_T1",) for f in diagnosis.findings), "of any frame"


def test_where_nothing_but_a_joint_protocol_is_left_the_folder_is_not_usable(tmp_path: Path) -> None:
    for task in ("T1", "T2"):
        path = tmp_path / "bp4d" / "F001" / task / "0000.obj"
        path.parent.mkdir(parents=True)
        path.write_text("")
    diagnosis = diagnose(BP4D, tmp_path / "bp4d")
    assert {v.state for v in diagnosis.protocols} == {"not possible", "needs another dataset"}
    assert diagnosis.exit_code == 2


def test_a_page_stays_a_page(make_bu3dfe: Make) -> None:
    root = make_bu3dfe(1)
    for path in sorted((root / "F0001").glob("*.bmp")):
        path.write_bytes(b"" if "NE" in path.name else b"nothing")
    diagnosis = diagnose(BU3DFE, root)
    assert len(diagnosis.broken) == 25
    assert diagnosis.broken["F0001_NE00WH"].startswith(
        f"{root}/F0001/F0001_NE00WH_F3D.bmp: is empty, not a complete image."
    )
    assert "is not a complete image of any known format" in diagnosis.broken["F0001_AN01WH"]
    assert "and 17 more (--json names all)" in text(diagnosis)
    assert text(diagnosis).count("F3D.bmp") == 8


def rescaled(vrml: str, scale: tuple[float, float, float]) -> str:
    lines = vrml.split("\n")
    start = next(i for i, line in enumerate(lines) if "point [" in line) + 1
    end = next(i for i in range(start, len(lines)) if lines[i].strip() == "]")
    for i in range(start, end):
        values = [float(v) * s for v, s in zip(lines[i].strip(" ,").split(), scale, strict=True)]
        lines[i] = " ".join(f"{v:g}" for v in values) + ","
    return "\n".join(lines)


class Split(BU3DFE):
    """BU-3DFE with an official split, which puts every third scan of everybody into the test."""

    @classmethod
    def examine(cls, tree: Tree) -> pd.DataFrame:
        index = super().examine(tree)
        index["split"] = pd.array(["test" if i % 3 == 0 else "train" for i in range(len(index))], dtype="string")
        return index


def test_a_subject_or_a_file_on_both_sides_of_a_split_is_told(make_bu3dfe: Make) -> None:
    root = make_bu3dfe(2)
    folder = root / "F0001"
    shutil.copy(folder / "F0001_AN01WH_F3D.wrl", folder / "F0001_AN02WH_F3D.wrl")
    diagnosis = diagnose(Split, root)
    told = {f.text: f for f in diagnosis.findings}
    assert told["subjects on both sides of the official split"].names == ("F0001", "M0001")
    assert told["subjects on both sides of the official split"].kind == "error"
    assert told["groups of files with equal content on both sides of the official split"].names
    assert diagnosis.exit_code == 2
