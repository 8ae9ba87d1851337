import struct
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_bench.data.affectnet import AffectNet
from fer_bench.data.affectnet_2017 import read_face
from fer_bench.data.doctor import diagnose
from fer_bench.data.layouts import Tree
from fer_bench.errors import BrokenScan, DatasetNotFound, InvalidFile

HEADER = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
POINTS = ";".join(f"{i}.5;{200 - i}" for i in range(68))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))


def npy(descr: str, data: bytes, shape: str = "()") -> bytes:
    """A .npy file, byte by byte."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


def text(value: str) -> bytes:
    return npy(f"<U{len(value)}", value.encode("utf-32-le"))


def real(value: float) -> bytes:
    return npy("<f8", struct.pack("<d", value))


LANDMARKS = npy("<f8", struct.pack("<136d", *range(136)), "(136,)")


def write(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def sample(split: str, number: int, exp: bytes, val: bytes, aro: bytes) -> dict[str, bytes]:
    notes = {"exp": exp, "val": val, "aro": aro, "lnd": LANDMARKS}
    return {f"{split}/images/{number}.jpg": b""} | {
        f"{split}/annotations/{number}_{kind}.npy": content for kind, content in notes.items()
    }


def release_2021(root: Path) -> Path:
    return write(
        root,
        sample("train_set", 0, text("0"), text("-0.176846"), text("-0.0776398"))
        | sample("train_set", 12, npy("<i8", struct.pack("<q", 7)), real(0.5), npy("<f4", struct.pack("<f", -0.25)))
        | sample("val_set", 0, text("4"), text("1"), real(-1.0)),
    )


def row(path: str, exp: object = 1, val: object = 0.5, aro: object = 0.25, box: str = "3,4,50,60") -> str:
    return f"{path},{box},{POINTS},{exp},{val},{aro}"


def release_2017(root: Path, training: list[str], validation: list[str], header: bool = True) -> Path:
    lists = {"training.csv": training, "validation.csv": validation}
    for name, rows in lists.items():
        content = "\n".join([HEADER, *rows] if header else rows) + "\n"
        write(root, {f"Manually_Annotated_file_lists/{name}": content.encode()})
    return root


def images(root: Path, *names: str, folder: str = "Manually_Annotated/Manually_Annotated_Images") -> Path:
    return write(root, {f"{folder}/{name}": b"" for name in names})


def told(root: Path, kind: str) -> dict[str, tuple[str, ...]]:
    return {finding.text: finding.names for finding in AffectNet.survey(root).findings if finding.kind == kind}


def one(findings: dict[str, tuple[str, ...]], part: str) -> tuple[str, ...]:
    (names,) = [names for sentence, names in findings.items() if part in sentence]
    return names


def by_id(index: pd.DataFrame) -> dict[str, Any]:
    return {row.id: row for row in index.itertuples()}


def test_numbers_and_text_are_read(tmp_path: Path) -> None:
    root = release_2021(tmp_path / "a")
    index = AffectNet.index(root)
    rows = by_id(index)
    assert list(rows) == ["train_0", "train_12", "val_0"]
    assert list(index["label"]) == ["neutral", "contempt", "fear"]
    assert list(index["valence"]) == [-0.176846, 0.5, 1.0]
    assert list(index["arousal"]) == [-0.0776398, -0.25, -1.0]
    assert list(index["split"]) == ["train", "train", "val"]
    assert index["subject"].isna().all()
    assert rows["train_12"].files == ("train_set/images/12.jpg", "train_set/annotations/12_lnd.npy")


def test_a_photograph_is_aligned_and_has_its_landmarks(tmp_path: Path) -> None:
    root = release_2021(tmp_path / "a")
    photo = AffectNet.load(root, by_id(AffectNet.index(root))["val_0"].files)
    assert photo.path == root / "val_set/images/0.jpg"
    assert (photo.aligned, photo.box) == (True, None)
    assert photo.landmarks is not None
    assert np.array_equal(photo.landmarks, np.arange(136.0).reshape(68, 2))


@pytest.mark.parametrize("damaged", [b"", LANDMARKS[:-1], real(1.0), npy("|O", b"cos\nsystem\n.", "(136,)")])
def test_damaged_landmarks_break_their_photograph_alone(tmp_path: Path, damaged: bytes) -> None:
    root = release_2021(tmp_path / "a")
    write(root, {"train_set/annotations/0_lnd.npy": damaged})
    rows = by_id(AffectNet.index(root))
    with pytest.raises(BrokenScan, match=r"0_lnd\.npy"):
        AffectNet.load(root, rows["train_0"].files)
    AffectNet.load(root, rows["train_12"].files)


@pytest.mark.parametrize("wrapper", ["AffectNet", "a/b c"])
def test_wrappers_other_names_and_noise(tmp_path: Path, wrapper: str) -> None:
    files = sample("valid_set", 3, text("2"), text("0"), real(0))
    root = write(tmp_path / "a", {f"{wrapper}/{name}": content for name, content in files.items()})
    upper = sample("Train_Set", 7, text("3"), real(0), real(0))
    write(root, {f"{wrapper}/{name.replace('.jpg', '.JPG')}": content for name, content in upper.items()})
    write(root, {f"__MACOSX/{wrapper}/train_set/images/9.jpg": b"", f"{wrapper}/train_set/images/5.json": b"{}"})
    index = AffectNet.index(root)
    assert list(index["id"]) == ["train_7", "val_3"]
    assert not told(root, "missing")


def test_what_lacks_one_of_its_four_annotations_is_named(tmp_path: Path) -> None:
    root = tmp_path / "a"
    for number, kind in enumerate(("exp", "val", "aro", "lnd", "none")):
        files = sample("train_set", number, text("1"), text("0.5"), text("0.5"))
        files.pop(f"train_set/annotations/{number}_{kind}.npy", None)
        write(root, files)
    (root / "train_set/images/4.jpg").unlink()
    rows = by_id(AffectNet.index(root))
    assert list(rows) == ["train_1", "train_2", "train_3"], "without its expression a photograph is of no use"
    assert rows["train_1"].valence is pd.NA
    assert rows["train_2"].arousal is pd.NA
    assert AffectNet.load(root, rows["train_3"].files).landmarks is None
    missing = told(root, "missing")
    for number, kind in enumerate(("exp", "val", "aro", "lnd")):
        assert one(missing, f"_{kind}.npy") == (f"train_set/images/{number}.jpg",)
    assert one(missing, "photographs of annotations") == ("train_set/annotations/4_exp.npy",)
    assert one(missing, "splits without") == ("val",)


@pytest.mark.parametrize("exp", [text("11"), text("-1"), text("x"), real(1.5), real(float("nan"))])
def test_an_expression_that_is_no_class_leaves_the_photograph_out(tmp_path: Path, exp: bytes) -> None:
    root = write(release_2021(tmp_path / "a"), sample("train_set", 3, exp, text("0"), text("0")))
    assert "train_3" not in set(AffectNet.index(root)["id"])
    warned = told(root, "warning")
    names = [
        n for sentence, names in warned.items() if "no class" in sentence or "cannot be read" in sentence for n in names
    ]
    assert len(names) == 1
    assert names[0].startswith("train_set/annotations/3_exp.npy")


@pytest.mark.parametrize("value", [text("-2"), real(1.0001), real(float("nan")), real(float("-inf")), text("high")])
def test_a_rating_out_of_range_is_none(tmp_path: Path, value: bytes) -> None:
    root = write(release_2021(tmp_path / "a"), sample("train_set", 3, text("1"), value, text("0.5")))
    row = by_id(AffectNet.index(root))["train_3"]
    assert row.valence is pd.NA
    assert row.arousal == 0.5
    warned = [name for names in told(root, "warning").values() for name in names if name.startswith("train_set")]
    assert [name.split()[0] for name in warned] == ["train_set/annotations/3_val.npy"]


@pytest.mark.parametrize(
    "damaged", [b"", b"3", text("3")[:-2], npy("|O", b"cos\nsystem\n."), npy("<i8", b"", "(99999999999,)")]
)
def test_a_damaged_annotation_is_named(tmp_path: Path, damaged: bytes) -> None:
    root = write(release_2021(tmp_path / "a"), {"train_set/annotations/0_exp.npy": damaged})
    assert list(AffectNet.index(root)["id"]) == ["train_12", "val_0"]
    (name,) = one(told(root, "warning"), "cannot be read")
    assert name.startswith("train_set/annotations/0_exp.npy ")


def test_classes_are_counted_but_not_a_twins(tmp_path: Path) -> None:
    root = release_2021(tmp_path / "a")
    other = one(told(root, "warning"), "not the distribution's")
    assert len(other) == 16
    assert {"train neutral 1 (74,874)", "val contempt 0 (499)"} <= set(other)
    write(root, {"twin.json": b"{}"})
    assert not told(root, "warning")


def test_a_second_copy_below_the_root_is_left_out(tmp_path: Path) -> None:
    root = release_2021(tmp_path / "a")
    release_2021(root / "zweite Kopie")
    assert len(AffectNet.index(root)) == 3
    assert one(told(root, "warning"), "read from another folder") == ("zweite Kopie/train_set", "zweite Kopie/val_set")
    assert all(not file.startswith("zweite") for files in AffectNet.index(root)["files"] for file in files)


def test_a_photograph_is_never_paired_with_the_label_of_another_copy(tmp_path: Path) -> None:
    small = sample("small/train_set", 0, text("3"), text("0"), text("0"))
    small["small/train_set/images/7.jpg"] = small.pop("small/train_set/images/0.jpg")
    root = write(tmp_path / "a", small | sample("small/val_set", 1, text("2"), real(0), real(0)))
    write(root, {"large/train_set/images/0.jpg": b""})
    rows = by_id(AffectNet.index(root))
    assert list(rows) == ["val_1"]
    assert one(told(root, "warning"), "read from another folder") == ("small/train_set",)


@pytest.mark.parametrize("names", [("valid_set", "val_set"), ("wrapper b/val_set", "wrapper a/val_set")])
def test_a_split_is_read_from_the_folder_with_most_labelled_photographs(tmp_path: Path, names: tuple[str, str]) -> None:
    more, less = names
    root = write(tmp_path / "a", sample(less, 0, text("1"), real(0), real(0)))
    for number in range(2):
        write(root, sample(more, number, text("2"), real(0), real(0)))
    write(root, {f"{less}/images/{number}.jpg": b"" for number in range(5, 9)})  # these have no label
    rows = by_id(AffectNet.index(root))
    assert {name: (r.label, r.files[0]) for name, r in rows.items()} == {
        f"val_{number}": ("sad", f"{more}/images/{number}.jpg") for number in range(2)
    }
    assert one(told(root, "warning"), "read from another folder") == (less,)
    assert not any("annotations" in sentence for sentence in told(root, "missing"))


def test_a_number_with_two_photographs_is_told(tmp_path: Path) -> None:
    root = write(release_2021(tmp_path / "a"), {"train_set/images/0.png": b""})
    assert one(told(root, "warning"), "already found") == ("train_set/images/0.png",)


def test_lists_of_2017_beside_the_release_of_2021_are_told(tmp_path: Path) -> None:
    root = release_2017(release_2021(tmp_path / "a"), [row("1/a.jpg")], [row("1/b.jpg")])
    write(root, {"other.csv": b""})
    images(root, "1/a.jpg", "1/b.jpg")
    assert len(AffectNet.index(root)) == 3
    lists = tuple(f"Manually_Annotated_file_lists/{name}.csv" for name in ("training", "validation"))
    assert one(told(root, "warning"), "release of 2017, left aside") == lists


@pytest.mark.parametrize("folder", ["AffectNet #1", "a.csv#1"])
def test_a_folder_may_have_a_number_sign_in_its_name(tmp_path: Path, folder: str) -> None:
    release_2021(tmp_path / "a" / folder)
    index = AffectNet.index(tmp_path / "a")
    assert all(AffectNet.load(tmp_path / "a", files).landmarks is not None for files in index["files"])
    images(release_2017(tmp_path / "b" / folder, [row("1/a.jpg")], []), "1/a.jpg")
    (files,) = AffectNet.index(tmp_path / "b")["files"]
    assert AffectNet.load(tmp_path / "b", files).box == (3.0, 4.0, 50.0, 60.0)


def test_a_copy_in_alphabetical_order_is_an_error(tmp_path: Path) -> None:
    # Anger 0, contempt 1, disgust 2, fear 3, happy 4, neutral 5, sad 6, surprise 7, in hundredths of the distribution.
    counts = (249, 38, 38, 64, 1344, 749, 255, 141)
    files = {}
    for code, count in enumerate(counts):
        for number in range(count):
            stem = f"{code}{number:04d}"
            files[f"train_set/images/{stem}.jpg"] = b""
            files[f"train_set/annotations/{stem}_exp.npy"] = text(str(code))
    root = write(tmp_path / "a", files)
    errors = [f.text for f in diagnose(AffectNet, root, read=False).findings if f.kind == "error"]
    assert len(errors) == 1
    assert "another order" in errors[0]
    assert "fear has the share of happy" in errors[0]


def test_a_flat_split_in_another_order_is_told_by_its_valence(tmp_path: Path) -> None:
    valence = [0.0, 0.7, -0.6, 0.1, -0.2, -0.5, -0.4, -0.3]  # of the eight classes, as rated
    for name, order in (("right", range(8)), ("alphabetical", (4, 3, 7, 6, 5, 2, 0, 1))):
        root = tmp_path / name
        for number in range(64):
            code, rated = order[number % 8], valence[number % 8]
            write(root, sample("val_set", number, text(str(code)), text(str(rated)), text("0")))
        errors = told(root, "error")
        assert bool(errors) == (name == "alphabetical"), errors
    assert "have a higher valence than those read as happy" in next(iter(errors))


def test_the_list_of_2017(tmp_path: Path) -> None:
    training = [row("1/abc.jpg", 3, -0.5, 1), row("2/d e.PNG", 8, -2, -2, "-1,-1,-1,-1"), row("1/gone.jpg")]
    validation = [row("3/x.jpg", 10, -2, -2, "NaN,1,2,3"), row("3/y.jpeg", 9, 0, 0)]
    root = release_2017(tmp_path / "a", training, validation)
    images(root, "1/abc.jpg", "2/d e.PNG", "3/x.jpg", "3/y.jpeg", "3/unlisted.jpg")
    index = AffectNet.index(root)
    rows = by_id(index)
    assert list(rows) == ["1/abc", "2/d e", "3/x", "3/y"]
    assert list(index["label"]) == ["surprise", "none", "no_face", "uncertain"]
    assert list(index["split"]) == ["train", "train", "val", "val"]
    assert list(index["valence"].isna()) == [False, True, True, False]
    assert (rows["1/abc"].valence, rows["1/abc"].arousal) == (-0.5, 1.0)
    assert one(told(root, "missing"), "that the lists name") == ("1/gone.jpg",)
    assert not any("[-1, 1]" in sentence for sentence in told(root, "warning"))
    assert "val contempt 0 (500)" in one(told(root, "warning"), "not the distribution's")
    assert one(told(root, "assumed"), "box") == ("3/x", "2/d e")
    found = " ".join(told(root, "found"))
    assert "2 training and 2 validation photographs, the release of 2017" in found
    assert "2 photographs whose valence and arousal are -2" in found
    assert "1 photographs that no row gives a label" in found

    photo = AffectNet.load(root, rows["1/abc"].files)
    assert photo.path == root / "Manually_Annotated/Manually_Annotated_Images/1/abc.jpg"
    assert not photo.aligned
    assert photo.box == (3.0, 4.0, 50.0, 60.0)
    assert photo.landmarks is not None
    assert photo.landmarks.shape == (68, 2)
    assert photo.landmarks[3].tolist() == [3.5, 197.0]
    assert AffectNet.load(root, rows["2/d e"].files).box is None
    assert AffectNet.load(root, rows["3/x"].files).box is None


@pytest.mark.parametrize("folder", ["Manually_Annotated_Images", "a/Manually_Annotated/Manually_Annotated_Images", "."])
@pytest.mark.parametrize("lists", ["", "Manually_Annotated_file_lists/", "b/"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", [f"{HEADER}\n", f"\ufeff{HEADER}\n", ""])
def test_lists_and_photographs_where_copies_have_them(
    tmp_path: Path, folder: str, lists: str, end: str, start: str
) -> None:
    root = images(tmp_path / "a", "1/a.jpg", "1/b.jpg", folder=folder)
    training = start + row("1/a.jpg", 6) + "\n" + row("1/b.jpg", 7, box="5,6,7,8")
    write(root, {f"{lists}training.csv": training.replace("\n", end).encode()})
    rows = by_id(AffectNet.index(root))
    assert [(r.id, r.label) for r in rows.values()] == [("1/a", "anger"), ("1/b", "contempt")]
    photo = AffectNet.load(root, rows["1/b"].files)
    assert photo.path == root / folder / "1/b.jpg"
    assert photo.box == (5.0, 6.0, 7.0, 8.0)
    assert photo.landmarks is not None
    assert one(told(root, "missing"), "lists") == ("validation.csv",)
    assert any("no header" in sentence for sentence in told(root, "assumed")) == (not start)


def test_columns_go_by_their_names(tmp_path: Path) -> None:
    names = HEADER.split(",")
    values = row("1/a.jpg", 2, 0.125, -0.5).split(",")
    order = [8, 6, 0, 7, 5, 4, 3, 2, 1]
    lines = [",".join(["more", *(part[i] for i in order)]) for part in (names, values)]
    root = images(write(tmp_path / "a", {"training.csv": "\n".join(lines).encode()}), "1/a.jpg")
    rows = by_id(AffectNet.index(root))
    assert (rows["1/a"].label, rows["1/a"].valence, rows["1/a"].arousal) == ("sad", 0.125, -0.5)
    assert AffectNet.load(root, rows["1/a"].files).box == (3.0, 4.0, 50.0, 60.0)


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("order", [range(9), [8, 6, 0, 7, 5, 4, 3, 2, 1]])
def test_fields_may_be_quoted_in_the_header_too(tmp_path: Path, start: str, order: Iterable[int]) -> None:
    values = row("1/a.jpg", 2, 0.125, -0.5).split(",")
    lines = [",".join(f'"{part[i]}"' for i in order) for part in (HEADER.split(","), values)]
    content = start + "\r\n".join(lines) + "\r\n"
    root = images(write(tmp_path / "a", {"training.csv": content.encode()}), "1/a.jpg")
    rows = by_id(AffectNet.index(root))
    assert (rows["1/a"].label, rows["1/a"].valence, rows["1/a"].arousal) == ("sad", 0.125, -0.5)
    assert AffectNet.load(root, rows["1/a"].files).box == (3.0, 4.0, 50.0, 60.0)
    assert not any("header" in sentence for sentence in told(root, "assumed"))
    assert not any("rows" in sentence for sentence in told(root, "warning"))


def test_the_case_of_a_suffix_does_not_matter(tmp_path: Path) -> None:
    training = [row("1/a.JPG", 2), row("1/b.jpg", 3), row("1/C.jpg"), row("1/d.JPG", 4), row("1/d.jpg", 5)]
    root = release_2017(tmp_path / "a", training, [row("1/e.jpg"), row("1/f.jpg")])
    images(root, "1/a.jpg", "1/b.JpG", "1/c.jpg", "1/d.JPG", "1/d.jpg", "1/e.JPG", "1/f.JPG")
    rows = by_id(AffectNet.index(root))
    labels = {"1/a": "sad", "1/b": "surprise", "1/d": "fear", "1/d.jpg": "disgust", "1/e": "happy", "1/f": "happy"}
    assert {name: r.label for name, r in rows.items()} == labels
    names = {name: r.files[0].rpartition("/")[2] for name, r in rows.items()}
    assert (names["1/b"], names["1/d"], names["1/d.jpg"]) == ("b.JpG", "d.JPG", "d.jpg")
    assert all(AffectNet.load(root, r.files).landmarks is not None for r in rows.values())
    assert one(told(root, "missing"), "that the lists name") == ("1/C.jpg",)
    assert any(sentence.startswith("1 photographs that no row") for sentence in told(root, "found"))


def test_a_photograph_that_two_spellings_name_is_taken_once(tmp_path: Path) -> None:
    root = images(release_2017(tmp_path / "a", [row("1/a.jpg")], [row("1/a.JPG")]), "1/a.jpg")
    assert list(AffectNet.index(root)["split"]) == ["val"]
    assert len(one(told(root, "warning"), "earlier row")) == 1


def test_a_header_without_a_column_is_told(tmp_path: Path) -> None:
    content = HEADER.replace(",valence", "").encode() + b"\n1/a.jpg,1,2,3,4,,1,0\n"
    root = images(write(tmp_path / "a", {"training.csv": content}), "1/a.jpg")
    with pytest.raises(InvalidFile, match=r"training\.csv: its header lacks"):
        AffectNet.index(root)


def test_hostile_and_odd_rows_are_left_out_and_told(tmp_path: Path) -> None:
    rows = [
        row("../../etc/passwd.jpg"),
        row("/etc/passwd.jpg"),
        row("C:\\secret.jpg"),
        row("1/a.jpg", 11),
        row("1/a.jpg", "happy"),
        "1/a.jpg,1,2",
        "",
        row("1/a.jpg", 1, 7, "nan"),
        row("1\\a.jpg", 2),
        row("1/a.png", 3),
    ]
    root = images(release_2017(tmp_path / "a", rows, [row("1/v.jpg")]), "1/a.jpg", "1/v.jpg", "1/a.png")
    index = by_id(AffectNet.index(root))
    assert {name: r.label for name, r in index.items()} == {"1/a": "happy", "1/a.png": "surprise", "1/v": "happy"}
    assert index["1/a"].valence is pd.NA
    assert index["1/a"].arousal is pd.NA
    warned = told(root, "warning")
    csv = "Manually_Annotated_file_lists/training.csv"
    assert [name.split()[0] for name in one(warned, "refused")] == [f"{csv}:{n}" for n in (2, 3, 4)]
    assert [name.split()[0] for name in one(warned, "no class")] == [f"{csv}:{n}" for n in (5, 6)]
    assert one(warned, "fields") == (f"{csv}:7",)
    assert one(warned, "[-1, 1]") == (f"{csv}:9 (7)", f"{csv}:9 (nan)")
    assert one(warned, "earlier row") == (f"{csv}:10",)


def test_who_is_in_both_lists_is_not_trained_on(tmp_path: Path) -> None:
    both = [row("1/a.jpg"), row("1/b.jpg")]
    root = images(release_2017(tmp_path / "a", both, both[:1]), "1/a.jpg", "1/b.jpg")
    assert dict(AffectNet.index(root)[["id", "split"]].to_numpy()) == {"1/a": "val", "1/b": "train"}


def test_automatic_annotations_are_not_used(tmp_path: Path) -> None:
    root = images(release_2017(tmp_path / "a", [row("1/a.jpg")], []), "1/a.jpg")
    images(root, "1/auto.jpg", folder="Automatically_annotated/Automatically_Annotated_Images")
    write(root, {"Automatically_annotated_file_list/automatically_annotated.csv": row("1/auto.jpg").encode()})
    assert list(AffectNet.index(root)["id"]) == ["1/a"]
    assert one(told(root, "found"), "not used")


@pytest.mark.parametrize(
    ("box", "valid"),
    [
        ("0,0,1,1", True),
        ("0,0,0,1", False),
        ("0,-1,5,5", False),
        ("-1,0,5,5", False),
        ("1,1,5,inf", False),
        (",,,", False),
    ],
)
def test_boxes(tmp_path: Path, box: str, valid: bool) -> None:
    root = images(release_2017(tmp_path / "a", [row("1/a.jpg", box=box)], []), "1/a.jpg")
    photo = AffectNet.load(root, by_id(AffectNet.index(root))["1/a"].files)
    assert (photo.box is not None) == valid
    assert bool([sentence for sentence in told(root, "assumed") if "box" in sentence]) != valid


def test_a_second_list_is_told(tmp_path: Path) -> None:
    root = images(release_2017(tmp_path / "a", [row("1/a.jpg", 2)], []), "1/a.jpg")
    write(root, {"training.csv": row("1/a.jpg", 3).encode()})
    assert len(one(told(root, "warning"), "not read")) == 1
    assert len(AffectNet.index(root)) == 1


def test_landmarks_of_a_row(tmp_path: Path) -> None:
    lines = [row(f"1/{name}.jpg") for name in "abc"]
    lines[0] = lines[0].replace(POINTS, "NULL")
    lines[1] = lines[1].replace(POINTS, POINTS.rpartition(";")[0])
    lines[2] = lines[2].replace(";200", ";inf")
    root = images(release_2017(tmp_path / "a", lines, []), "1/a.jpg", "1/b.jpg", "1/c.jpg")
    rows = by_id(AffectNet.index(root))
    assert AffectNet.load(root, rows["1/a"].files).landmarks is None
    for name in ("1/b", "1/c"):
        with pytest.raises(BrokenScan, match=rf"{name}\.jpg are not 68 points"):
            AffectNet.load(root, rows[name].files)


def test_a_list_that_changed_since_it_was_indexed_is_noticed(tmp_path: Path) -> None:
    root = images(release_2017(tmp_path / "a", [row("1/a.jpg"), row("1/b.jpg")], []), "1/a.jpg", "1/b.jpg")
    rows = by_id(AffectNet.index(root))
    release_2017(root, [row("1/b.jpg"), row("1/a.jpg")], [])
    with pytest.raises(BrokenScan, match="has no row for"):
        AffectNet.load(root, rows["1/a"].files)


def test_a_folder_of_something_else_is_not_affectnet(tmp_path: Path) -> None:
    write(tmp_path / "a", {"Image/aligned/train_00001_aligned.jpg": b"", "training.csv": b"1,2\n"})
    with pytest.raises(DatasetNotFound, match="looks like RAF-DB"):
        AffectNet.index(tmp_path / "a")


@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from([*row("1/a.jpg").split(","), ",", "\n", "\0", '"', HEADER])).map(
        lambda parts: "".join(parts).encode()
    )
)
def test_no_list_makes_the_reader_crash(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = images(
            write(Path(folder), {"training.csv": content, "validation.csv": row("1/v.jpg").encode()}),
            "1/a.jpg",
            "1/v.jpg",
        )
        try:
            index = AffectNet.examine(Tree(root))
        except InvalidFile:
            return
        assert "1/v" in set(index["id"])
        for files in index["files"]:
            try:
                AffectNet.load(root, files)
            except BrokenScan as error:
                assert "\n" not in str(error)


@given(st.binary(max_size=200), st.integers(0, 300))
def test_no_row_makes_its_reader_crash(content: bytes, start: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = write(Path(folder), {"training.csv": content})
        try:
            read_face(root, "1/a.jpg", f"training.csv#{start}")
        except BrokenScan as error:
            assert "\n" not in str(error)
