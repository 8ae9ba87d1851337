"""Landmark files as BU-3DFE and BU-4DFE write them."""

from pathlib import Path

import numpy as np
import pytest

from fer_bench.errors import BrokenScan
from fer_bench.geometry.alignment import CANONICAL
from fer_bench.io.bnd import named_landmarks, read_bnd, write_bnd

ROWS = [f"{7 * i}\t\t{i}.25 {-i}.5 {i}e-1" for i in range(83)]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("gap", ["\t\t", " "])
@pytest.mark.parametrize("tail", ["", "ENDING", "ENDING   ENDING"])
def test_variants(tmp_path: Path, ending: str, gap: str, tail: str) -> None:
    path = tmp_path / "scan.bnd"
    path.write_bytes((ending.join(ROWS).replace("\t\t", gap) + tail.replace("ENDING", ending)).encode())
    indices, points = read_bnd(path)
    assert indices.dtype == np.int64 and indices.tolist() == [7 * i for i in range(83)]
    assert points.dtype == np.float32 and points.shape == (83, 3)
    np.testing.assert_allclose(points[5], [5.25, -5.5, 0.5])


def test_round_trip(tmp_path: Path) -> None:
    indices, points = np.arange(83)[::-1] * 95, np.random.default_rng(0).normal(0, 50, (83, 3))
    write_bnd(tmp_path / "a.bnd", indices, points)
    assert (tmp_path / "a.bnd").read_bytes().split(b"\n")[0].startswith(b"7790\t\t")
    read_indices, read_points = read_bnd(tmp_path / "a.bnd")
    np.testing.assert_array_equal(read_indices, indices)
    np.testing.assert_allclose(read_points, points, rtol=6e-6)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (ROWS[:82], "there are 82 landmarks instead of 83"),
        ([*ROWS, ROWS[0]], "there are 84 landmarks instead of 83"),
        ([], "there are 0 landmarks"),
        ([*ROWS[:9], "63\t\tnan 1 2", *ROWS[10:]], "line 10 is not an index and three numbers"),
        ([*ROWS[:9], "63\t\t1 2", *ROWS[10:]], "line 10"),
        ([*ROWS[:9], "63\t\t1 2 3 4", *ROWS[10:]], "line 10"),
        ([*ROWS[:9], "-1\t\t1 2 3", *ROWS[10:]], "line 10"),
        ([*ROWS[:9], "63\t\t1e99 2 3", *ROWS[10:]], "landmark 9 is not finite"),
        (["\x00\xff garbage"], "line 1"),
    ],
)
def test_broken(tmp_path: Path, rows: list[str], problem: str) -> None:
    path = tmp_path / "scan.bnd"
    path.write_bytes("\n".join(rows).encode("latin-1"))
    with pytest.raises(BrokenScan, match=problem):
        read_bnd(path)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(BrokenScan, match="No such file"):
        read_bnd(tmp_path / "none.bnd")


@pytest.mark.parametrize("mirrored", [False, True])
def test_left_is_plus_x_whichever_group_comes_first(mirrored: bool) -> None:
    points = np.zeros((83, 3), dtype=np.float32)
    # The first of each pair of groups lies at +x, or at -x when mirrored.
    rows = {0: 16, 4: 45, 8: -16, 12: -45, 39: 17, 44: -17, 48: 26, 54: -26}
    for row, x in rows.items():
        points[row] = [-x if mirrored else x, row, 0]
    points[[42, 51, 57, 75], 1] = [42, 51, 57, 75]
    named = named_landmarks(points)
    assert set(named) == set(CANONICAL)
    for name, point in named.items():
        assert np.sign(point[0]) == np.sign(CANONICAL[name][0]), name
    assert abs(named["left_eye_outer"][0]) == 45 and abs(named["right_eye_inner"][0]) == 16
    assert [named[n][1] for n in ("subnasale", "upper_lip", "lower_lip", "chin")] == [42, 51, 57, 75]
    assert named["left_mouth_corner"][1] == (54 if mirrored else 48)


def test_a_long_run_of_digits_takes_no_longer_than_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(b"0 " + b"1" * 200_000)
    with pytest.raises(BrokenScan):
        read_bnd(path)
