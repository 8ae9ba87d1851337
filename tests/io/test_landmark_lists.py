"""Landmark lists as Bosphorus writes them, and files that are not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.errors import BrokenScan
from fer_bench.geometry.alignment import CANONICAL
from fer_bench.io.landmark_lists import LABELS, named_landmarks, read_lm2, read_lm3, write_lm2, write_lm3

LM3 = b"""# 3D Landmark File

3 landmarks:
Outer left eyebrow
-90.1 60.25 -12
Nose tip
0 .5 4e1
Right mouth corner
25 -40 +3.
"""
LM2 = b"""# 2D Landmark File

3 landmarks

Labels:
Outer left eyebrow
Nose tip
Right mouth corner

2D Image coordinates:
78 300.5
500 612
650.25 800
"""


def read(tmp_path: Path, data: bytes, reader: Callable = read_lm3) -> dict[str, np.ndarray]:
    path = tmp_path / "a.lm"
    path.write_bytes(data)
    return reader(path)


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
@pytest.mark.parametrize("colon", [b"", b":"])
def test_lm3(tmp_path: Path, ending: bytes, colon: bytes) -> None:
    points = read(tmp_path, LM3.replace(b"landmarks:", b"landmarks" + colon).replace(b"\n", ending))
    assert list(points) == ["Outer left eyebrow", "Nose tip", "Right mouth corner"]
    assert all(point.dtype == np.float32 and point.shape == (3,) for point in points.values())
    np.testing.assert_allclose(np.stack(list(points.values())), [[-90.1, 60.25, -12], [0, 0.5, 40], [25, -40, 3]])


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
@pytest.mark.parametrize("colon", [b"", b":"])
def test_lm2(tmp_path: Path, ending: bytes, colon: bytes) -> None:
    data = LM2.replace(b"landmarks\n", b"landmarks" + colon + b"\n").replace(b"\n", ending)
    points = read(tmp_path, data, read_lm2)
    assert all(point.dtype == np.float32 and point.shape == (2,) for point in points.values())
    assert {label: point.tolist() for label, point in points.items()} == {
        "Outer left eyebrow": [78, 300.5],
        "Nose tip": [500, 612],
        "Right mouth corner": [650.25, 800],
    }


def test_blanks(tmp_path: Path) -> None:
    lm3 = LM3.replace(b"\n", b" \n\n\t\n").replace(b"Nose tip", b"\t Nose   tip ").replace(b"0 .5", b"0\t\t.5")
    assert read(tmp_path, lm3).keys() == read(tmp_path, LM3).keys()
    lm2 = LM2.replace(b"\n", b"\n\n").rstrip()
    assert read(tmp_path, lm2, read_lm2).keys() == read(tmp_path, LM2, read_lm2).keys()


def test_other_labels_are_kept(tmp_path: Path) -> None:
    assert list(read(tmp_path, b"1 landmark\nLeft ear lobe\n1 2 3")) == ["Left ear lobe"]
    assert read(tmp_path, b"# 3D Landmark File\n\n0 landmarks:\n") == {}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "begins with nothing"),
        (b"# 3D Landmark File\n\n", "begins with nothing"),
        (LM2, "has 8 lines instead of the 6 that hold 3 labels"),
        (LM3.replace(b"3 landmarks", b"22 landmarks"), "has 6 lines instead of the 44"),
        (LM3.replace(b"3 landmarks", b"2 landmarks"), "has 6 lines instead of the 4 "),
        (LM3.replace(b"3 landmarks", b"-3 landmarks"), "begins with '-3 landmarks:'"),
        (LM3.replace(b"3 landmarks", b"99999999999 landmarks"), "instead of a number of landmarks"),
        (LM3[:-20], "has 5 lines"),
        (LM3.replace(b"Nose tip", b"OUTER left eyebrow"), "'OUTER left eyebrow' is given twice"),
        (LM3.replace(b"4e1", b"nan"), "'Nose tip' is followed by '0 .5 nan' instead of 3 numbers"),
        (LM3.replace(b"4e1", b"1_0"), "instead of 3 numbers"),
        (LM3.replace(b"4e1", b""), "instead of 3 numbers"),
        (LM3.replace(b"4e1", b"4 5"), "instead of 3 numbers"),
        (LM3.replace(b"4e1", b"1e99"), "'Nose tip' is not finite"),
        (LM3.replace(b"Nose tip", b"1 2 3"), "'1 2 3' is followed by"),
    ],
)
def test_broken_lm3(tmp_path: Path, data: bytes, problem: str) -> None:
    with pytest.raises(BrokenScan, match=problem):
        read(tmp_path, data)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (LM3, "has 6 lines instead of the 8"),
        (LM2.replace(b"3 landmarks", b"4 landmarks"), "has 8 lines instead of the 10"),
        (LM2.replace(b"Labels:", b"Chin middle"), "'Chin middle' is where 'Labels:' belongs"),
        (LM2.replace(b"2D Image coordinates:", b"1 2"), "'1 2' is where '2D Image coordinates:' belongs"),
        (LM2.replace(b"Nose tip", b"Right mouth corner"), "given twice"),
        (LM2.replace(b"500 612", b"500 612 1"), "instead of 2 numbers"),
    ],
)
def test_broken_lm2(tmp_path: Path, data: bytes, problem: str) -> None:
    with pytest.raises(BrokenScan, match=problem):
        read(tmp_path, data, read_lm2)


def test_missing(tmp_path: Path) -> None:
    for reader in (read_lm2, read_lm3):
        with pytest.raises(BrokenScan, match="No such file"):
            reader(tmp_path / "none")


def test_the_images_left_is_the_subjects_right() -> None:
    # As a frontal scan has them: left in the image, where x is negative.
    x = {"left": -1.0, "right": 1.0}
    points = {}
    for label in LABELS:
        side = next((x[word] for word in label.casefold().split() if word in x), 0.0)
        points[label] = np.array([side * (45 if "Outer" in label else 16), 1, 2], dtype=np.float32)
    named = named_landmarks(points)
    assert set(named) == set(CANONICAL) - {"subnasale"} | {"nose_tip"}
    for name, point in named.items():
        assert np.sign(point[0]) == np.sign(CANONICAL.get(name, [0])[0]), name
    assert named["left_eye_outer"] is points["Outer right eye corner"]
    assert named["right_eye_inner"] is points["Inner left eye corner"]
    assert named["upper_lip"] is points["Upper lip outer middle"]


def test_named_by_label_whatever_its_capitals_and_wherever_the_point() -> None:
    point = np.array([70.0, 0, 0], dtype=np.float32)  # a head turned so far that its right eye is at positive x
    named = named_landmarks({"outer LEFT eye corner": point, "Left ear lobe": point})
    assert list(named) == ["right_eye_outer"]


def test_write_is_the_specification(tmp_path: Path) -> None:
    write_lm3(tmp_path / "new" / "a.lm3", {"Nose tip": np.array([1.5, -2, 0]), "Chin middle": np.array([0, 1e-7, 1e6])})
    assert (tmp_path / "new" / "a.lm3").read_bytes() == (
        b"# 3D Landmark File\n\n2 landmarks:\n"
        b"Nose tip\n1.500000 -2.000000 0.000000\nChin middle\n0.000000 0.000000 1000000.000000\n"
    )
    write_lm2(tmp_path / "a.lm2", {"Nose tip": np.array([1.5, 2]), "Chin middle": np.array([3, 4])})
    assert (tmp_path / "a.lm2").read_bytes() == (
        b"# 2D Landmark File\n\n2 landmarks\n\nLabels:\nNose tip\nChin middle\n\n"
        b"2D Image coordinates:\n1.500000 2.000000\n3.000000 4.000000\n"
    )


@pytest.mark.parametrize(("write", "reader", "width"), [(write_lm3, read_lm3, 3), (write_lm2, read_lm2, 2)])
def test_round_trip(tmp_path: Path, write: Callable, reader: Callable, width: int) -> None:
    points = dict(zip(LABELS, np.random.default_rng(0).normal(0, 100, (22, width)), strict=True))
    write(tmp_path / "a", points)
    again = reader(tmp_path / "a")
    assert list(again) == list(LABELS)
    np.testing.assert_allclose(np.stack(list(again.values())), np.stack(list(points.values())), atol=1e-5)


@settings(max_examples=300)
@given(st.sampled_from([LM2, LM3]), st.data())
def test_no_bytes_do_harm(tmp_path_factory: pytest.TempPathFactory, valid: bytes, data: st.DataObject) -> None:
    mutated = bytearray(valid[: data.draw(st.integers(0, len(valid)))] if data.draw(st.booleans()) else valid)
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(valid) - 1), st.integers(0, 255)), max_size=4)):
        if place < len(mutated):
            mutated[place] = value
    content = data.draw(st.one_of(st.just(bytes(mutated)), st.binary(max_size=200)))
    for reader in (read_lm2, read_lm3):
        try:
            points = read(tmp_path_factory.getbasetemp(), content, reader)
        except BrokenScan as error:
            assert "\n" not in str(error)
        else:
            assert all(np.isfinite(point).all() for point in points.values())


def test_a_long_run_of_digits_takes_no_longer_than_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(b"1 landmarks:\nNose tip\n" + b"1" * 200_000 + b"x 1 1\n")
    with pytest.raises(BrokenScan):
        read_lm3(path)
