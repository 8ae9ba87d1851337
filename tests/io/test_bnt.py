"""Range grids as Bosphorus writes them, and files that are not."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.errors import BrokenScan
from fer_bench.io.bnt import BntGrid, grid_scan, read_bnt, write_bnt

NAME = b"bs000_E_HAPPY_0.png"
VOID = -1000000000.0
# Two rows of three points, row 0 at the bottom; the point in row 1, column 2 is background, but has its u and v.
XYZUV = [
    [0.0, 6.0, 12.0, 0.5, 6.5, VOID],
    [0.0, 0.25, 0.0, 7.0, 7.0, VOID],
    [1.0, 2.0, 1.0, 0.0, 3.0, VOID],
    [0.1, 0.2, 0.3, 0.1, 0.2, 0.3],
    [0.9, 0.9, 0.9, 0.8, 0.8, 0.8],
]


def file_bytes(
    rows: int = 2,
    columns: int = 3,
    void: float = VOID,
    name: bytes = NAME,
    count: int | None = None,
    fields: list[list[float]] = XYZUV,
) -> bytes:
    values = [value for field in fields for value in field]
    head = struct.pack("<HHdH", rows, columns, void, len(name)) + name
    return head + struct.pack("<I", len(values) if count is None else count) + struct.pack(f"<{len(values)}d", *values)


def with_value(field: int, point: int, value: float) -> bytes:
    changed = [list(values) for values in XYZUV]
    changed[field][point] = value
    return file_bytes(fields=changed)


def read(tmp_path: Path, data: bytes) -> BntGrid:
    path = tmp_path / "a.bnt"
    path.write_bytes(data)
    return read_bnt(path)


def mesh(valid: list[list[bool]]) -> tuple[BntGrid, np.ndarray, np.ndarray, np.ndarray]:
    mask = np.array(valid)
    rows, columns = mask.shape
    row, column = np.mgrid[:rows, :columns]
    points = np.stack([column, row, column * 0, column / 8, row / 8], axis=2).reshape(-1, 5).astype(np.float64)
    grid = BntGrid(rows, columns, "a.png", points, mask.ravel())
    return grid, *grid_scan(grid)


def test_read(tmp_path: Path) -> None:
    data = file_bytes()
    assert data[4:12] == bytes.fromhex("0000000065cdcdc1")  # as in the distribution
    assert len(data) == 18 + len(NAME) + 8 * 2 * 3 * 5
    grid = read(tmp_path, data)
    assert (grid.rows, grid.columns, grid.image_name) == (2, 3, "bs000_E_HAPPY_0.png")
    assert grid.points.shape == (6, 5) and grid.points.dtype == np.float64
    np.testing.assert_array_equal(grid.points, np.array(XYZUV).T)
    assert grid.valid.tolist() == [True] * 5 + [False]


def test_mesh_of_the_sample(tmp_path: Path) -> None:
    vertices, triangles, uv = grid_scan(read(tmp_path, file_bytes()))
    assert (vertices.dtype, triangles.dtype, uv.dtype) == (np.float32, np.int32, np.float32)
    np.testing.assert_array_equal(vertices, np.array(XYZUV, dtype=np.float32)[:3, :5].T)
    np.testing.assert_allclose(uv, [[0.1, 0.1], [0.2, 0.1], [0.3, 0.1], [0.1, 0.2], [0.2, 0.2]], rtol=1e-6)
    # Points 0 1 2 at the bottom, 3 4 above: one whole cell, and one that lacks its top right corner.
    assert {frozenset(corners) for corners in triangles.tolist()} == {
        frozenset({0, 1, 4}),
        frozenset({0, 4, 3}),
        frozenset({1, 2, 4}),
    }


def test_background_has_any_value_and_may_be_zero(tmp_path: Path) -> None:
    grid = read(tmp_path, file_bytes(void=0.0))
    assert grid.valid.tolist() == [True, True, True, False, True, True]  # z is 0 at the fourth point alone


def test_u_and_v_never_mask(tmp_path: Path) -> None:
    assert read(tmp_path, with_value(3, 0, VOID)).valid.sum() == 5
    grid = read(tmp_path, with_value(4, 5, np.nan))  # of a background point, which nobody uses
    assert grid.valid.sum() == 5


@pytest.mark.parametrize("missing", [None, 0, 1, 2, 3])
def test_every_cell_is_counter_clockwise(missing: int | None) -> None:
    valid = [True] * 4
    if missing is not None:
        valid[missing] = False
    _, vertices, triangles, _ = mesh([valid[:2], valid[2:]])
    assert len(triangles) == (2 if missing is None else 1)
    a, b, c = vertices[triangles].transpose(1, 0, 2)
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()


@pytest.mark.parametrize("valid", [[[True]], [[True, True, True]], [[True], [True]], [[True, False], [False, True]]])
def test_no_cell_no_triangle(valid: list[list[bool]]) -> None:
    _, vertices, triangles, _ = mesh(valid)
    assert triangles.shape == (0, 3) and triangles.dtype == np.int32
    assert len(vertices) == np.sum(valid)


@given(st.integers(1, 7), st.integers(1, 7), st.randoms(use_true_random=False))
def test_area_and_neighbours(rows: int, columns: int, random) -> None:  # type: ignore[no-untyped-def]
    valid = np.array([[random.random() < 0.8 for _ in range(columns)] for _ in range(rows)])
    grid, vertices, triangles, uv = mesh(valid.tolist())
    np.testing.assert_array_equal(vertices, grid.points[grid.valid][:, :3])
    np.testing.assert_array_equal(uv, np.column_stack([vertices[:, 0] / 8, 1 - vertices[:, 1] / 8]))
    corners = valid[:-1, :-1].astype(int) + valid[1:, :-1] + valid[:-1, 1:] + valid[1:, 1:]
    assert len(triangles) == 2 * (corners == 4).sum() + (corners == 3).sum()
    a, b, c = vertices[triangles].transpose(1, 0, 2)
    np.testing.assert_array_equal(np.cross(b - a, c - a)[:, 2], 1)  # each is half a cell, so none spans two
    assert len(np.unique(np.sort(triangles, axis=1), axis=0)) == len(triangles)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "cut off inside the header, after 0 bytes"),
        (file_bytes()[:13], "cut off inside the header, after 13 bytes"),
        (file_bytes()[:30], "claims a grid of 2 x 3 points and an image name of 19 bytes, which take 277 bytes"),
        (file_bytes()[:-1], "take 277 bytes, but has 276"),
        (file_bytes() + b"\n", "take 277 bytes, but has 278"),
        (struct.pack("<HHdH", 60000, 60000, VOID, 4) + b"a.png", "60000 x 60000 points"),
        (struct.pack(">HHdH", 233, 186, VOID, 4) + file_bytes()[14:], "claims a grid of 59648 x 47616 points"),
        (file_bytes(rows=3), "take 397 bytes"),
        (file_bytes(rows=0), "a grid of 0 x 3 points"),
        (file_bytes(name=b"a" * 65535)[:300], "an image name of 65535 bytes"),
        (file_bytes(count=29), "claims 29 numbers, which is not 2 x 3 points of 5 numbers"),
        (file_bytes(rows=1, columns=6, count=2**32 - 1), "claims 4294967295 numbers"),
        (file_bytes(void=np.nan), "background value that is not finite"),
        (file_bytes(fields=[[VOID] * 6] * 5), "every point of the grid is background"),
        (with_value(0, 4, np.nan), "the point in row 1, column 1 is not finite"),
        (with_value(2, 2, np.inf), "row 0, column 2"),
        (with_value(4, 2, -np.inf), "row 0, column 2"),
        (with_value(1, 0, 1e200), "row 0, column 0"),
    ],
)
def test_broken(tmp_path: Path, data: bytes, problem: str) -> None:
    with pytest.raises(BrokenScan, match=problem):
        read(tmp_path, data)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(BrokenScan, match="No such file"):
        read_bnt(tmp_path / "none.bnt")
    with pytest.raises(BrokenScan, match="cannot be read"):
        read_bnt(tmp_path)


def test_a_claim_costs_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "fromfile", lambda *_, **__: pytest.fail("read before the size was checked"))
    with pytest.raises(BrokenScan):
        read(tmp_path, struct.pack("<HHdH", 65535, 65535, VOID, 0) + struct.pack("<I", 2**32 - 1))


def test_write_is_the_specification(tmp_path: Path) -> None:
    points = np.array(XYZUV).T.reshape(2, 3, 5).copy()
    points[1, 2, :3] = 5.0  # not valid, so that it must not be written
    before = points.copy()
    write_bnt(tmp_path / "new" / "a.bnt", points, points[..., 2] != 5.0, NAME.decode())
    assert (tmp_path / "new" / "a.bnt").read_bytes() == file_bytes()
    np.testing.assert_array_equal(points, before)


def test_round_trip(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    points, valid = random.normal(0, 50, (9, 7, 5)), random.random((9, 7)) < 0.7
    write_bnt(tmp_path / "a.bnt", points, valid, "bs001_N_N_0.png")
    grid = read_bnt(tmp_path / "a.bnt")
    np.testing.assert_array_equal(grid.valid, valid.ravel())
    np.testing.assert_array_equal(grid.points[grid.valid], points[valid])
    np.testing.assert_array_equal(grid.points[~grid.valid, 3:], points[~valid][:, 3:])
    write_bnt(tmp_path / "b.bnt", grid.points.reshape(9, 7, 5), valid, grid.image_name)
    assert (tmp_path / "a.bnt").read_bytes() == (tmp_path / "b.bnt").read_bytes()


@settings(max_examples=300)
@given(st.data())
def test_no_bytes_do_harm(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    valid = file_bytes()
    mutated = bytearray(valid[: data.draw(st.integers(0, len(valid)))] if data.draw(st.booleans()) else valid)
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(valid) - 1), st.integers(0, 255)), max_size=4)):
        if place < len(mutated):
            mutated[place] = value
    content = data.draw(st.one_of(st.just(bytes(mutated)), st.binary(max_size=400)))
    try:
        grid = read(tmp_path_factory.getbasetemp(), content)
    except BrokenScan as error:
        assert "\n" not in str(error)
        return
    vertices, triangles, uv = grid_scan(grid)
    assert np.isfinite(vertices).all() and np.isfinite(uv).all() and len(vertices) == len(uv) > 0
    assert len(triangles) == 0 or 0 <= triangles.min() <= triangles.max() < len(vertices)
