import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_bench.data.doctor import diagnose
from fer_bench.data.layouts import Tree
from fer_bench.data.rafdb import RAFDB, read_attributes
from fer_bench.errors import BrokenScan, DatasetNotFound

LIST = "EmoLabel/list_patition_label.txt"
ATTRIBUTES = b"120.5\t80\n160.25\t82\n140\t100\n125\t120\n155\t121\n1\n2\n3"
LABELS = {
    "train_00001.jpg": 5,
    "train_00002.jpg": 1,
    "train_00003.jpg": 2,
    "train_00004.jpg": 3,
    "test_0001.jpg": 4,
    "test_0002.jpg": 6,
    "test_0003.jpg": 7,
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))


def write(root: Path, name: str, content: bytes = b"") -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def basic(root: Path, folder: str = "basic/", names: Iterable[str] = LABELS, end: str = "\n") -> Path:
    lines = [f"{name} {code}" for name, code in LABELS.items()]
    write(root, folder + LIST, (end.join(lines) + end).encode())
    for name in names:
        stem = name.removesuffix(".jpg")
        write(root, f"{folder}Image/aligned/{stem}_aligned.jpg")
        write(root, f"{folder}Image/original/{name}")
        write(root, f"{folder}Annotation/manual/{stem}_manu_attri.txt", ATTRIBUTES)
    return root


def told(root: Path, kind: str) -> dict[str, tuple[str, ...]]:
    return {finding.text: finding.names for finding in RAFDB.survey(root).findings if finding.kind == kind}


def one(findings: dict[str, tuple[str, ...]], part: str) -> tuple[str, ...]:
    (names,) = [names for sentence, names in findings.items() if part in sentence]
    return names


def labels(root: Path) -> dict[str, str]:
    index = RAFDB.index(root)
    return dict(zip(index["id"], index["label"], strict=True))


ALL = {
    "test_0001": "happy",
    "test_0002": "anger",
    "test_0003": "neutral",
    "train_00001": "sad",
    "train_00002": "surprise",
    "train_00003": "fear",
    "train_00004": "disgust",
}


@pytest.mark.parametrize("folder", ["basic/", "", "RAF-DB/basic/"])
@pytest.mark.parametrize("end", ["\n", "\r\n", " \t\n\n"])
def test_the_list_gives_labels_and_splits(tmp_path: Path, folder: str, end: str) -> None:
    root = basic(tmp_path / "a", folder, end=end)
    index = RAFDB.index(root)
    assert labels(root) == ALL
    assert list(index["split"]) == ["test"] * 3 + ["train"] * 4
    assert index["subject"].isna().all()
    assert index["files"][0] == (f"{folder}Image/aligned/test_0001_aligned.jpg",)
    photo = RAFDB.load(root, index["files"][0])
    assert photo.path == root / folder / "Image/aligned/test_0001_aligned.jpg"
    assert (photo.aligned, photo.landmarks, photo.box) == (True, None, None)
    found = " ".join(told(root, "found"))
    assert "4 training and 3 test photographs (the distribution: 12,271 and 3,068)" in found
    assert "attributes of 7 photographs" in found
    assert not told(root, "missing")


def test_without_an_aligned_photograph_the_original_is_taken_with_its_landmarks(tmp_path: Path) -> None:
    root = basic(tmp_path / "a")
    (root / "basic/Image/aligned/train_00002_aligned.jpg").unlink()
    (root / "basic/Image/aligned/train_00003_aligned.jpg").unlink()
    (root / "basic/Annotation/manual/train_00003_manu_attri.txt").unlink()
    files = dict(zip(*(RAFDB.index(root)[column] for column in ("id", "files")), strict=True))
    photo = RAFDB.load(root, files["train_00002"])
    assert photo.path == root / "basic/Image/original/train_00002.jpg"
    assert not photo.aligned
    assert photo.landmarks is not None
    assert photo.landmarks.tolist() == [[120.5, 80], [160.25, 82], [140, 100], [125, 120], [155, 121]]
    bare = RAFDB.load(root, files["train_00003"])
    assert (bare.aligned, bare.landmarks) == (False, None)
    aligned = RAFDB.load(root, files["train_00001"])
    assert aligned.aligned and aligned.original is not None
    assert (cut_from := aligned.original()) is not None
    assert cut_from.path == root / "basic/Image/original/train_00001.jpg" and cut_from.landmarks is not None
    (root / "basic/Annotation/manual/train_00001_manu_attri.txt").unlink()
    assert aligned.original() is None
    missing = told(root, "missing")
    assert one(missing, "originals are taken") == ("train_00002", "train_00003")
    assert one(missing, "manu_attri") == ("train_00003",)
    assert len(missing) == 2


def test_a_listed_photograph_that_is_absent_is_named_and_others_are_counted(tmp_path: Path) -> None:
    root = basic(tmp_path / "a", names=[name for name in LABELS if name != "test_0002.jpg"])
    write(root, "basic/Image/aligned/train_09999_aligned.jpg")
    write(root, "basic/Image/original/train_09999.jpg")
    assert set(labels(root)) == set(ALL) - {"test_0002"}
    assert one(told(root, "missing"), "that the list names") == ("test_0002.jpg",)
    assert one(told(root, "warning"), "photographs below Image that the list does not name") == (
        "basic/Image/aligned/train_09999_aligned.jpg",
        "basic/Image/original/train_09999.jpg",
    )


def test_odd_lines_are_left_out_and_told(tmp_path: Path) -> None:
    root = basic(tmp_path / "a")
    odd = ["train_00001.jpg 6", "train_00009.jpg 0", "train_00009.jpg x", "../../etc/train_1.jpg 1", "train_00009.jpg"]
    odd += ["hello", "train_00001.jpg 5", "/train_00001.jpg 5", "train_00009.jpg -1", "other_1.jpg 1"]
    content = (root / "basic" / LIST).read_text() + "\n".join(odd)
    write(root, f"basic/{LIST}", content.encode())
    assert labels(root) == ALL
    warned = told(root, "warning")
    assert [n.split(" (")[0] for n in one(warned, "second label")] == ["line 8"]
    assert [n.split(" (")[0] for n in one(warned, "not 1 to 7")] == ["line 9"]
    expected = [f"line {n}" for n in (10, 11, 12, 13, 15, 16, 17)]
    assert [n.split(" (")[0] for n in one(warned, "not a name and a number")] == expected


def test_compound_expressions_are_passed_over(tmp_path: Path) -> None:
    root = basic(tmp_path / "a", "compound/")
    write(root, f"compound/{LIST}", b"train_00001.jpg 11\ntrain_00002.jpg 1\n")
    errors = told(root, "error")
    assert len(errors) == 1
    assert "compound" in next(iter(errors))
    basic(root, "RAF-DB/basic/")  # deeper, and later in the alphabet
    assert labels(root) == ALL
    assert all(file.startswith("RAF-DB/basic/") for files in RAFDB.index(root)["files"] for file in files)
    assert not told(root, "error")


def test_a_list_may_lie_beside_the_photographs(tmp_path: Path) -> None:
    root = basic(tmp_path / "a", "b/")
    (root / "b" / LIST).rename(root / "b" / "list_partition_label.txt")
    write(root, "other/Image/aligned/train_00077_aligned.jpg")
    assert labels(root) == ALL
    assert not any("does not name" in sentence for sentence in told(root, "warning"))


def test_of_two_aligned_photographs_the_one_with_the_distributions_name_is_taken(tmp_path: Path) -> None:
    root = basic(tmp_path / "a")
    write(root, "basic/Image/aligned/train_00001.jpg")
    write(root, "basic/Image/aligned/train_00002_aligned.png")
    write(root, "basic/Image/original/train_00001_aligned.jpg")
    files = dict(zip(*(RAFDB.index(root)[column] for column in ("id", "files")), strict=True))
    for name in ("train_00001", "train_00002"):
        assert files[name] == (f"basic/Image/aligned/{name}_aligned.jpg",)
    assert one(told(root, "warning"), "another file has too") == (
        "basic/Image/aligned/train_00001.jpg",
        "basic/Image/aligned/train_00002_aligned.png",
        "basic/Image/original/train_00001_aligned.jpg",
    )


@pytest.mark.parametrize("wrapper", ["original/basic/", "Original/aligned/"])
def test_only_a_photographs_own_folder_tells_whether_it_is_aligned(tmp_path: Path, wrapper: str) -> None:
    root = basic(tmp_path / "a", wrapper)
    assert all(RAFDB.load(root, files).aligned for files in RAFDB.index(root)["files"])
    for place in (root / wrapper / "Image/aligned", root / wrapper / "Annotation/manual"):
        for path in place.iterdir():
            path.unlink()
    assert not any(RAFDB.load(root, files).aligned for files in RAFDB.index(root)["files"])


def folders(root: Path, first: int, wrapper: str = "DATASET/") -> Path:
    for name, code in LABELS.items():
        stem = name.removesuffix(".jpg")
        write(root, f"{wrapper}{name.split('_')[0]}/{code - 1 + first}/{stem}_aligned.jpg")
    return root


@pytest.mark.parametrize("wrapper", ["DATASET/", "", "a/b/"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_copy_without_list_has_its_labels_in_folders(tmp_path: Path, wrapper: str, first: int) -> None:
    root = folders(tmp_path / "a", first, wrapper)
    assert labels(root) == ALL
    index = RAFDB.index(root)
    assert list(index["split"]) == ["test"] * 3 + ["train"] * 4
    assert RAFDB.load(root, index["files"][0]).aligned
    numbering = "folders 0 to 6 are the labels 1 to 7 less one, as in Ig3D's copy" if first == 0 else "folders 1 to 7"
    assert one(told(root, "assumed"), numbering) == ()
    assert not any("class folder" in sentence for sentence in told(root, "warning"))
    assert any("without list" in sentence for sentence in told(root, "found"))


def test_folders_1_to_6_alone_are_told_to_be_unclear(tmp_path: Path) -> None:
    root = folders(tmp_path / "a", 1)
    for path in root.rglob("7/*.jpg"):
        path.unlink()
    assert labels(root) == {name: label for name, label in ALL.items() if label != "neutral"}
    assert one(told(root, "assumed"), "folders 1 to 7 are the labels") == ()
    assert one(told(root, "warning"), "no class folder 0 and none 7") == ()


def test_class_folders_that_fit_no_count_are_an_error(tmp_path: Path) -> None:
    root = folders(folders(tmp_path / "a", 1), 0, "")
    assert any("0 to 7" in sentence for sentence in told(root, "error"))
    other = folders(tmp_path / "b", 1)
    write(other, "DATASET/train/8/train_00077_aligned.jpg")
    write(other, "DATASET/train/2/train_00001_aligned.jpg")
    assert labels(other) == {**ALL, "train_00001": "fear"}
    assert one(told(other, "warning"), "no class") == ("DATASET/train/8/train_00077_aligned.jpg",)
    assert one(told(other, "warning"), "another class folder") == ("DATASET/train/5/train_00001_aligned.jpg",)


def test_class_folders_in_affectnets_order_are_an_error(tmp_path: Path) -> None:
    # Neutral, happy, sad, surprise, fear, disgust, anger as 1 to 7, a tenth of the distribution.
    for code, count in enumerate((252, 477, 198, 129, 28, 72, 70), start=1):
        for number in range(count):
            write(tmp_path / "a", f"train/{code}/train_{code}{number:04d}_aligned.jpg")
    errors = [f.text for f in diagnose(RAFDB, tmp_path / "a", read=False).findings if f.kind == "error"]
    assert len(errors) == 1
    assert "surprise has the share of neutral" in errors[0]


def test_attributes(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", ATTRIBUTES.replace(b"\n", b"\r\n"))
    attributes = read_attributes(tmp_path / "a.txt")
    assert np.array_equal(attributes.landmarks[1], [160.25, 82.0])
    assert (attributes.gender, attributes.race, attributes.age) == (1, 2, 3)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        ATTRIBUTES[:-2],
        ATTRIBUTES + b"\n1",
        ATTRIBUTES.replace(b"80", b"nan"),
        ATTRIBUTES.replace(b"80", b"x"),
        ATTRIBUTES[:-1] + b"5",
        ATTRIBUTES[:-1] + b"-1",
        ATTRIBUTES[:-3] + b"3\n1",
        ATTRIBUTES[:-5] + b"3\n1\n1",
    ],
)
def test_damaged_attributes(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, "a.txt", content)
    with pytest.raises(BrokenScan, match=r"a\.txt"):
        read_attributes(tmp_path / "a.txt")


def test_missing_attributes(tmp_path: Path) -> None:
    with pytest.raises(BrokenScan, match="cannot be read"):
        read_attributes(tmp_path / "a.txt")


@pytest.mark.parametrize("files", [["train_set/images/1.jpg"], ["train/happy/1.jpg"], ["Image/aligned/train_1.jpg"]])
def test_other_folders_are_not_rafdb(tmp_path: Path, files: list[str]) -> None:
    for name in files:
        write(tmp_path / "a", name)
    with pytest.raises(DatasetNotFound, match="no file here is a RAF-DB photograph"):
        RAFDB.index(tmp_path / "a")


@given(st.binary(max_size=200))
def test_no_attribute_file_makes_its_reader_crash(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.txt"
        path.write_bytes(content)
        try:
            read_attributes(path)
        except BrokenScan as error:
            assert "\n" not in str(error)


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from(["train_00001.jpg", "test_0001", " ", "7", "\n", "\0", "٣"])).map(
        lambda parts: "".join(parts).encode()
    )
)
def test_no_list_makes_the_reader_crash(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = basic(Path(folder), names=["train_00001.jpg"])
        write(root, f"basic/{LIST}", content + b"\ntest_0003.jpg 7\n")
        try:
            index: Any = RAFDB.examine(Tree(root))
        except DatasetNotFound as error:
            assert f"basic/{LIST} gives no photograph that is there a label" in str(error)
            return
        assert set(index["id"]) == {"train_00001"}


def test_a_few_labels_out_of_range_are_no_list_of_compound_expressions(tmp_path: Path) -> None:
    names = [f"train_{number:05d}.jpg" for number in range(1, 41)]
    root = basic(tmp_path / "a", names=names)
    write(
        root,
        f"basic/{LIST}",
        "".join(f"{name} {9 if k == 0 else 1 + k % 7}\n" for k, name in enumerate(names)).encode(),
    )
    assert len(RAFDB.index(root)) == 39
    assert not told(root, "error")
    assert one(told(root, "warning"), "whose label is not 1 to 7") == ("line 1 (train_00001.jpg 9)",)
