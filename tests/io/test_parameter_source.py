"""Which of the forms that parameters come in a dataset has, and what an image without any gets."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from fer_bench.errors import BrokenScan, DatasetNotFound, InvalidFile, UnknownName
from fer_bench.io.morphable_parameters import write_json, write_parts, write_table
from fer_bench.io.parameter_source import find_parameters

VECTOR = "emoca-156"
IMAGES = ["train_set/images/0.jpg", "train_set/images/1.v2.jpg", "val_set/images/0.png"]
IDS = ["train_0", "train_1.v2", "val_0"]
VALUES = dict(zip(IDS, np.arange(3 * 156, dtype=np.float32).reshape(3, 156), strict=True))


def leave(root: Path, form: str, values: dict[str, np.ndarray]) -> None:
    """What a user who ran the regressor on some of the images would leave."""
    for sample, image in zip(IDS, IMAGES, strict=True):
        if sample in values and form not in ("csv", "parquet"):
            stem = root / image[: image.rindex(".")]
            if form == "json":
                write_json(Path(f"{stem}.json"), VECTOR, values[sample])
            else:
                write_parts(stem, VECTOR, values[sample], "/" if form == "folder" else "_")
    if form in ("csv", "parquet"):
        write_table(root / f"{VECTOR}.{form}", VECTOR, values)


@pytest.mark.parametrize(
    ("form", "kind"),
    [("json", "json"), ("folder", "parts"), ("beside", "parts"), ("csv", "table"), ("parquet", "table")],
)
def test_every_form(tmp_path: Path, form: str, kind: str) -> None:
    leave(tmp_path, form, {sample: VALUES[sample] for sample in IDS[1:]})  # the first image has none
    source = find_parameters(tmp_path, IMAGES, VECTOR)
    assert source.kind == kind
    source = pickle.loads(pickle.dumps(source))  # as loaders with workers do
    for sample, image in list(zip(IDS, IMAGES, strict=True))[1:]:
        np.testing.assert_array_equal(source.read(sample, image), VALUES[sample])
    with pytest.raises(BrokenScan, match=r"0\.jpg: has no emoca-156 parameters"):
        source.read(IDS[0], IMAGES[0])

    zero = find_parameters(tmp_path, IMAGES, VECTOR, missing="zero")
    read = zero.read(IDS[0], IMAGES[0])
    assert read.shape == (156,) and read.dtype == np.float32 and not read.any()
    np.testing.assert_array_equal(zero.read(IDS[1], IMAGES[1]), VALUES[IDS[1]])
    assert zero.without(zip(IDS, IMAGES, strict=True)) == ["train_0"]


def test_order_of_the_forms(tmp_path: Path) -> None:
    for form, kind in (("csv", "table"), ("folder", "parts"), ("json", "json")):
        leave(tmp_path, form, VALUES)
        assert find_parameters(tmp_path, IMAGES, VECTOR).kind == kind


def test_name_of_the_table(tmp_path: Path) -> None:
    write_table(tmp_path / "emoca.parquet", VECTOR, {"a": VALUES["val_0"]})
    np.testing.assert_array_equal(find_parameters(tmp_path, [], VECTOR).read("a", "a.jpg"), VALUES["val_0"])
    write_table(tmp_path / "emoca-156.csv", VECTOR, {"a": VALUES["train_0"]})
    np.testing.assert_array_equal(find_parameters(tmp_path, [], VECTOR).read("a", "a.jpg"), VALUES["train_0"])


def test_zeros_never_stand_for_what_is_damaged(tmp_path: Path) -> None:
    leave(tmp_path, "folder", VALUES)
    (tmp_path / "val_set/images/0/pose.npy").unlink()
    (tmp_path / "train_set/images/0/exp.npy").write_bytes(b"")
    source = find_parameters(tmp_path, IMAGES, VECTOR, missing="zero")
    for sample, image, part in (("val_0", IMAGES[2], "pose"), ("train_0", IMAGES[0], "exp")):
        with pytest.raises(BrokenScan, match=f"the part '{part}'"):
            source.read(sample, image)
    assert source.without(zip(IDS, IMAGES, strict=True)) == []


def test_damaged_json_is_no_missing_json(tmp_path: Path) -> None:
    leave(tmp_path, "json", VALUES)
    (tmp_path / "train_set/images/0.json").write_bytes(b"")
    source = find_parameters(tmp_path, IMAGES, VECTOR, missing="zero")
    with pytest.raises(BrokenScan, match="JSON"):
        source.read(IDS[0], IMAGES[0])


def test_another_regressors_files_do_not_count(tmp_path: Path) -> None:
    leave(tmp_path, "json", VALUES)
    with pytest.raises(DatasetNotFound, match="no smirk-358 parameters"):
        find_parameters(tmp_path, IMAGES, "smirk-358")
    write_table(tmp_path / "smirk.csv", "smirk-358", {})
    assert find_parameters(tmp_path, IMAGES, "smirk-358").kind == "table"


def test_nothing_is_never_all_zeros(tmp_path: Path) -> None:
    for images in (IMAGES, []):
        with pytest.raises(DatasetNotFound, match=r"NAME_exp\.npy beside the images .*emoca-156\.parquet") as caught:
            find_parameters(tmp_path, images, VECTOR, missing="zero")
        assert "\n" not in str(caught.value)
    with pytest.raises(UnknownName):
        find_parameters(tmp_path, IMAGES, "emoca")


def test_a_damaged_table_is_reported(tmp_path: Path) -> None:
    (tmp_path / "emoca.csv").write_bytes(b"id,exp_0\n")
    with pytest.raises(InvalidFile, match="lacks the column exp_1"):
        find_parameters(tmp_path, IMAGES, VECTOR)


def test_of_many_images_some_are_looked_at(tmp_path: Path) -> None:
    images = [f"images/{number}.jpg" for number in range(30_000)]
    for number in range(5, 30_000, 25):
        path = tmp_path / "images" / f"{number}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text('{"exp": []}')
    assert find_parameters(tmp_path, images, VECTOR).kind == "json"
