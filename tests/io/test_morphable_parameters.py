"""Parameters of EMOCA and SMIRK in all the forms they come in; no part may ever stand in another's place."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from fer_bench.errors import BrokenScan, InvalidFile, UnknownName
from fer_bench.io import morphable_parameters
from fer_bench.io.morphable_parameters import (
    VECTORS,
    parts_of,
    read_json,
    read_parts,
    read_table,
    write_json,
    write_parts,
    write_table,
)

# Every number tells its part and its place: the k-th of the n-th part is 1000 n + k.
EMOCA = {
    part: [1000.0 * n + k for k in range(size)]
    for n, (part, size) in enumerate({"shape": 100, "tex": 50, "exp": 50, "pose": 6, "detail": 128, "cam": 3}.items())
}
LONG = [EMOCA[part] for part in ("exp", "pose", "tex", "detail", "shape")]
SHORT = [EMOCA[part] for part in ("exp", "pose", "shape")]
EXPECTED = {"emoca-334": np.concatenate(LONG), "emoca-156": np.concatenate(SHORT)}


@pytest.mark.parametrize("vector", VECTORS)
def test_names_tell_the_lengths(vector: str) -> None:
    assert sum(size for _, size in parts_of(vector)) == int(vector.partition("-")[2])


def test_order_of_smirk() -> None:
    parts = ["pose_params", "shape_params", "expression_params", "eyelid_params", "jaw_params"]
    assert [part for part, _ in parts_of("smirk-358")] == parts
    assert [part for part, _ in parts_of("smirk-353")] == parts[:3]


def test_unknown_vector(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'emoca-334'"):
        read_json(_json(tmp_path, EMOCA), "emoca-335")


def _json(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "a.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("vector", EXPECTED)
@pytest.mark.parametrize("arrange", [sorted, reversed, list])
@pytest.mark.parametrize("rows", [False, True])
def test_json_in_any_order(tmp_path: Path, vector: str, arrange: Callable, rows: bool) -> None:
    content = {part: [EMOCA[part]] if rows else EMOCA[part] for part in arrange(list(EMOCA))}
    values = read_json(_json(tmp_path, content), vector)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, EXPECTED[vector])


@pytest.mark.parametrize("vector", EXPECTED)
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"pose": None}, "lacks the part 'pose'"),
        ({"pose": []}, "the part 'pose' has 0 numbers instead of 6"),
        ({"pose": [1.0] * 7}, "the part 'pose' has 7 numbers instead of 6"),
        ({"pose": [[1.0] * 5]}, "the part 'pose' has 5 numbers instead of 6"),
        ({"pose": [[1.0, 2.0]] * 3}, "the part 'pose' is not a list of numbers"),
        ({"pose": [1.0] * 5 + [True]}, "the part 'pose' is not a list of numbers"),
        ({"pose": ["1"] * 6}, "the part 'pose' is not a list of numbers"),
        ({"pose": {"0": 1}}, "the part 'pose' is not a list of numbers"),
        ({"pose": 3}, "the part 'pose' is not a list of numbers"),
        ({"shape": [float("nan")] * 100}, "the part 'shape' is not finite"),
        ({"shape": [float("-inf")] * 100}, "the part 'shape' is not finite"),
        ({"shape": [1e39] * 100}, "the part 'shape' is not finite"),
        ({"shape": [10**400] * 100}, "the part 'shape' is not finite"),
    ],
)
def test_broken_part(tmp_path: Path, vector: str, change: dict, problem: str) -> None:
    content = {key: value for key, value in (EMOCA | change).items() if value is not None}
    with pytest.raises(BrokenScan, match=problem):
        read_json(_json(tmp_path, content), vector)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "cannot be read as JSON"),
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("[1]", "does not hold a JSON object"),
        ("9" * 5000, "cannot be read as JSON"),
        (" " * (4 * 2**20 + 1), "more than the 4 MB allowed"),
    ],
)
def test_broken_json(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(BrokenScan, match=problem):
        read_json(_json(tmp_path, text), "emoca-334")


def _save_parts(stem: Path, separator: str = "/", **changes: np.ndarray | None) -> None:
    arrays = {part: np.array(numbers, dtype=np.float32) for part, numbers in EMOCA.items()} | changes
    for part, array in arrays.items():
        path = Path(f"{stem}{separator}{part}.npy")
        path.parent.mkdir(exist_ok=True)
        if array is not None:
            np.save(path, array)


@pytest.mark.parametrize("vector", EXPECTED)
@pytest.mark.parametrize("separator", ["/", "_"])
def test_parts(tmp_path: Path, vector: str, separator: str) -> None:
    _save_parts(tmp_path / "00", separator, pose=np.array([EMOCA["pose"]]))
    values = read_parts(tmp_path / "00", vector)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, EXPECTED[vector])


def test_a_folder_of_that_name_hides_no_parts(tmp_path: Path) -> None:
    (tmp_path / "00").mkdir()
    _save_parts(tmp_path / "00", "_")
    np.testing.assert_array_equal(read_parts(tmp_path / "00", "emoca-156"), EXPECTED["emoca-156"])


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (None, "the part 'tex': cannot be read .No such file"),
        (np.zeros(49), "the part 'tex': holds an array of shape .49,."),
        (np.zeros((25, 2)), "the part 'tex': holds an array of shape .25, 2."),
        (np.full(50, np.nan), "the part 'tex': number 0 is not finite"),
        (np.full(50, 1e39), "the part 'tex' is not finite"),
        (np.array([None] * 50), "the part 'tex': holds a pickled"),
    ],
)
def test_broken_parts(tmp_path: Path, array: np.ndarray | None, problem: str) -> None:
    _save_parts(tmp_path / "00", tex=array)
    with pytest.raises(BrokenScan, match=problem):
        read_parts(tmp_path / "00", "emoca-334")
    assert len(read_parts(tmp_path / "00", "emoca-156")) == 156  # which needs no tex


def test_no_parts(tmp_path: Path) -> None:
    with pytest.raises(BrokenScan, match="the part 'exp'"):
        read_parts(tmp_path / "00", "emoca-334")


def _columns(shift: float = 0.0) -> dict[str, list]:
    """Two samples, the second of them `shift` higher."""
    columns = {f"{part}_{k}": [v, v + shift] for part, numbers in EMOCA.items() for k, v in enumerate(numbers)}
    return {"id": ["train_7", "NA"], **columns}


def _table(tmp_path: Path, columns: dict[str, list], suffix: str) -> Path:
    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        parquet.write_table(pa.table(columns), path)
    else:
        rows = [list(columns), *zip(*columns.values(), strict=True)]
        path.write_text("".join(",".join("" if v is None else str(v) for v in row) + "\r\n" for row in rows))
    return path


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("vector", EXPECTED)
@pytest.mark.parametrize("arrange", [sorted, list])
def test_table_in_any_order(tmp_path: Path, vector: str, suffix: str, arrange: Callable) -> None:
    columns = _columns(shift=0.5)
    rows = read_table(_table(tmp_path, {name: columns[name] for name in arrange(columns)}, suffix), vector)
    assert list(rows) == ["train_7", "NA"] and rows["NA"].dtype == np.float32
    np.testing.assert_array_equal(rows["train_7"], EXPECTED[vector])
    np.testing.assert_array_equal(rows["NA"], EXPECTED[vector] + 0.5)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"id": None}, "lacks the column id of emoca-334"),
        ({"exp_3": None}, "lacks the column exp_3 of emoca-334"),
        ({f"exp_{k}": None for k in range(50)}, "lacks the column exp_0 and 49 more of emoca-334"),
        ({"exp_50": [0, 0]}, "more columns of the part 'exp' than emoca-334 has"),
        ({"id": ["a", "a"]}, "an id that is empty or there twice"),
        ({"id": ["a", ""]}, "an id that is empty or there twice"),
        ({"exp_3": [0.0, None]}, "the value of exp_3 for 'NA' is missing or not finite"),
        ({"exp_3": [float("inf"), 0.0]}, "the value of exp_3 for 'train_7' is missing or not finite"),
        ({"exp_3": [1e39, 0.0]}, "the value of exp_3 for 'train_7' is missing or not finite"),
        ({"exp_3": ["x", "y"]}, "cannot be read as a table"),
    ],
)
def test_broken_table(tmp_path: Path, suffix: str, change: dict, problem: str) -> None:
    columns = {name: values for name, values in (_columns() | change).items() if values is not None}
    with pytest.raises(InvalidFile, match=problem):
        read_table(_table(tmp_path, columns, suffix), "emoca-334")


def test_column_twice(tmp_path: Path) -> None:
    columns = _columns()
    path = _table(tmp_path, columns | {"exp_x": [1, 2]}, "csv")
    path.write_text(path.read_text().replace("exp_x", "exp_3"))
    with pytest.raises(InvalidFile, match="has the column exp_3 more than once"):
        read_table(path, "emoca-334")


def test_numbers_as_ids(tmp_path: Path) -> None:
    assert list(read_table(_table(tmp_path, _columns() | {"id": [7, 12]}, "parquet"), "emoca-156")) == ["7", "12"]
    assert list(read_table(_table(tmp_path, _columns() | {"id": ["007", "1/a"]}, "csv"), "emoca-156")) == ["007", "1/a"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("content", [b"", b"\0", b"id\n\xff\xfe", b"PAR1PAR1", b"id,exp_0\n1"])
def test_not_a_table(tmp_path: Path, suffix: str, content: bytes) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(content)
    with pytest.raises(InvalidFile):
        read_table(tmp_path / f"a.{suffix}", "emoca-334")
    with pytest.raises(InvalidFile):
        read_table(tmp_path / f"none.{suffix}", "emoca-334")


def test_too_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(morphable_parameters, "MAX_ROWS", 1)
    with pytest.raises(InvalidFile, match="more than the 1 rows allowed"):
        read_table(_table(tmp_path, _columns(), "parquet"), "emoca-334")


@pytest.mark.parametrize("vector", VECTORS)
def test_round_trips(tmp_path: Path, vector: str) -> None:
    size = sum(size for _, size in parts_of(vector))
    rows = dict(zip("ab", np.random.default_rng(0).normal(0, 3, (2, size)).astype(np.float32), strict=True))
    write_json(tmp_path / "new" / "a.json", vector, rows["a"])
    np.testing.assert_array_equal(read_json(tmp_path / "new" / "a.json", vector), rows["a"])
    assert list(json.loads((tmp_path / "new" / "a.json").read_text())) == [part for part, _ in VECTORS[vector]]
    write_parts(tmp_path / "b", vector, rows["a"])
    write_parts(tmp_path / "c", vector, rows["b"].astype(np.float64), "_")
    np.testing.assert_array_equal(read_parts(tmp_path / "b", vector), rows["a"])
    np.testing.assert_array_equal(read_parts(tmp_path / "c", vector), rows["b"])
    assert {path.name for path in (tmp_path / "b").iterdir()} == {f"{part}.npy" for part, _ in VECTORS[vector]}
    for name in ("t.csv", "t.parquet"):
        write_table(tmp_path / name, vector, rows)
        again = read_table(tmp_path / name, vector)
        assert list(again) == ["a", "b"]
        np.testing.assert_array_equal(np.stack(list(again.values())), np.stack(list(rows.values())))
        write_table(tmp_path / name, vector, {})
        assert read_table(tmp_path / name, vector) == {}


SMALL = json.dumps({part: EMOCA[part] for part in ("exp", "pose", "shape")}).encode()


@settings(max_examples=150)
@given(st.data())
def test_no_bytes_do_harm(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz"
    if data.draw(st.booleans()):
        kept = SMALL[: data.draw(st.integers(0, len(SMALL)))] if data.draw(st.booleans()) else SMALL
        mutated = bytearray(kept + b" ")
        for place, value in data.draw(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=4)):
            mutated[place % len(mutated)] = value
        content = bytes(mutated)
    else:
        content = data.draw(st.binary(max_size=200))
    path.write_bytes(content)
    try:
        assert np.isfinite(read_json(path, "emoca-156")).all()
    except BrokenScan as error:
        assert "\n" not in str(error)
