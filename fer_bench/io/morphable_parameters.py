"""3D morphable model parameters of photographs, as EMOCA and SMIRK regress them.

Ig3D's classifiers see nothing else of the 3D face, so parameters that were regressed elsewhere are an input of their
own. A vector is the parts of one regressor in a fixed order; files name the parts and are read by those names, so that
neither another order nor a missing part can shift the vector.

EMOCA's parts: 50 expression, 6 pose (axis-angle of the head, then of the jaw), 50 albedo, 128 detail and 100 shape
numbers (github.com/radekd91/emoca). SMIRK's: 3 pose, 300 shape, 50 expression, 2 eyelid and 3 jaw numbers
(github.com/georgeretsi/smirk). The camera, which both give too, is no part of the face. The shorter vectors are Ig3D's.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import BrokenScan, InvalidFile, UnknownName
from fer_bench.io.file_bytes import open_regular
from fer_bench.io.npy import read_vector
from fer_bench.records import atomic_write

VECTORS: dict[str, tuple[tuple[str, int], ...]] = {
    "emoca-334": (("exp", 50), ("pose", 6), ("tex", 50), ("detail", 128), ("shape", 100)),
    "emoca-156": (("exp", 50), ("pose", 6), ("shape", 100)),
    "smirk-358": (
        ("pose_params", 3),
        ("shape_params", 300),
        ("expression_params", 50),
        ("eyelid_params", 2),
        ("jaw_params", 3),
    ),
    "smirk-353": (("pose_params", 3), ("shape_params", 300), ("expression_params", 50)),
}
MAX_JSON = 4 * 2**20  # bytes; the parts take 10 KB, but a file may hold more besides
MAX_ROWS = 1_000_000  # of a parquet table, which can claim any number in few bytes
_REMEDY = "Run the regressor on this image again."
_TABLE_REMEDY = "Write the table again from the regressor's output."
_SEPARATORS = ("/", "_")  # between an image's stem and a part's name


def parts_of(vector: str) -> tuple[tuple[str, int], ...]:
    """The parts of a vector in order, each with its length; raises `UnknownName`."""
    if vector not in VECTORS:
        raise UnknownName("parameter vector", vector, VECTORS)
    return VECTORS[vector]


def read_json(path: Path | str, vector: str) -> NDArray[np.float32]:
    """Read an object of lists, one a part; a list may be the only row of another, and other keys are ignored.

    Returns:
        (P,) float32, the parts in the vector's order, in any order of the file.

    Raises:
        BrokenScan: the file is missing or damaged, or a part is missing, of another length, or not finite.
    """
    try:
        with open_regular(path) as file:
            text = file.read(MAX_JSON + 1)
    except OSError as error:
        raise BrokenScan(path, f"cannot be read ({error.strerror or error})", _REMEDY) from None
    if len(text) > MAX_JSON:
        raise BrokenScan(path, f"has more than the {MAX_JSON >> 20} MB allowed", _REMEDY)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BrokenScan(path, f"cannot be read as JSON ({error})", _REMEDY) from None
    if not isinstance(content, dict):
        raise BrokenScan(path, "does not hold a JSON object", _REMEDY)
    return np.concatenate([_json_part(path, part, size, content.get(part)) for part, size in parts_of(vector)])


def _json_part(path: Path | str, part: str, size: int, value: Any) -> NDArray[np.float32]:
    if value is None:
        raise BrokenScan(path, f"lacks the part {part!r}", _REMEDY)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    if not isinstance(value, list) or not all(type(number) in (int, float) for number in value):
        raise BrokenScan(path, f"the part {part!r} is not a list of numbers", _REMEDY)
    if len(value) != size:
        raise BrokenScan(path, f"the part {part!r} has {len(value)} numbers instead of {size}", _REMEDY)
    try:
        return _finite(path, part, np.array(value, dtype=np.float64))
    except OverflowError:  # JSON's whole numbers have no bound
        raise BrokenScan(path, f"the part {part!r} is not finite", _REMEDY) from None


def _finite(path: Path | str, part: str, values: NDArray[np.float64]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise BrokenScan(path, f"the part {part!r} is not finite", _REMEDY)
    return narrow


def read_parts(stem: Path | str, vector: str) -> NDArray[np.float32]:
    """Read one `.npy` file a part: `<stem>/exp.npy`, as EMOCA's `--save_codes` leaves them, or else `<stem>_exp.npy`.

    Returns:
        (P,) float32, the parts in the vector's order.

    Raises:
        BrokenScan: a part is missing, damaged, of another length, or not finite.
    """
    parts = parts_of(vector)
    separator = parts_separator(stem, vector) or _SEPARATORS[0]
    values = []
    for part, size in parts:
        path = Path(f"{stem}{separator}{part}.npy")
        try:
            numbers = read_vector(path, size, width=size)
        except BrokenScan as error:
            raise BrokenScan(path, f"the part {part!r}: {error.problem}", _REMEDY) from None
        values.append(_finite(path, part, numbers))
    return np.concatenate(values)


def parts_separator(stem: Path | str, vector: str) -> str | None:
    """The text between an image's stem and the names of its parts' files; None if it has no such file."""
    for separator in _SEPARATORS:
        if any(Path(f"{stem}{separator}{part}.npy").is_file() for part, _ in parts_of(vector)):
            return separator
    return None


def read_table(path: Path | str, vector: str) -> dict[str, NDArray[np.float32]]:
    """Read all samples from one `.csv` or `.parquet` table: a column `id`, and `exp_0`, `exp_1`, ... for each part.

    Columns may be in any order, and those of other names are ignored.

    Returns:
        Sample id -> (P,) float32, the parts in the vector's order.

    Raises:
        InvalidFile: the file is missing or damaged, a column is missing or there twice, a part has more columns than it
            should, an id is empty or there twice, or a number is missing or not finite.
    """
    import pyarrow as pa

    names = _columns(vector)
    try:
        table = _load(Path(path), names, vector)
        ids = table.column("id").cast(pa.string()).to_pylist()
        matrix = np.empty((len(ids), len(names)), dtype=np.float32)
        for place, name in enumerate(names):
            matrix[:, place] = table.column(name).cast(pa.float32(), safe=False).to_numpy()
    except InvalidFile:
        raise
    # pyarrow meets a damaged file with errors of many types.
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InvalidFile(path, f"cannot be read as a table ({reason})", _TABLE_REMEDY) from None
    if not all(ids) or len(set(ids)) != len(ids):
        raise InvalidFile(path, "has an id that is empty or there twice", _TABLE_REMEDY)
    finite = np.isfinite(matrix)
    if not finite.all():
        row, column = divmod(int((~finite).argmax()), len(names))
        problem = f"the value of {names[column]} for {ids[row]!r} is missing or not finite"
        raise InvalidFile(path, problem, _TABLE_REMEDY)
    return dict(zip(ids, matrix, strict=True))


def _load(path: Path, names: list[str], vector: str) -> Any:
    """The columns that are wanted, as a pyarrow table."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    if path.suffix.lower() == ".parquet":
        with parquet.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow.names, vector)
            if file.metadata.num_rows > MAX_ROWS:
                raise InvalidFile(path, f"has more than the {MAX_ROWS} rows allowed", _TABLE_REMEDY)
            return file.read(columns=["id", *names])
    with csv.open_csv(path) as reader:  # reads the first rows only
        _check_columns(path, reader.schema.names, vector)
    types = {"id": pa.string(), **dict.fromkeys(names, pa.float32())}
    return csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=types, include_columns=["id", *names]))


def _check_columns(path: Path, there: Iterable[str], vector: str) -> None:
    count = Counter(there)
    wanted = ["id", *_columns(vector)]
    twice = [name for name in wanted if count[name] > 1]
    lacking = [name for name in wanted if count[name] == 0]
    surplus = [part for part, size in parts_of(vector) if count[f"{part}_{size}"]]
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise InvalidFile(path, f"lacks the column {lacking[0]}{more} of {vector}", _TABLE_REMEDY)
    if twice:
        raise InvalidFile(path, f"has the column {twice[0]} more than once", _TABLE_REMEDY)
    if surplus:
        raise InvalidFile(path, f"has more columns of the part {surplus[0]!r} than {vector} has", _TABLE_REMEDY)


def _columns(vector: str) -> list[str]:
    return [f"{part}_{k}" for part, size in parts_of(vector) for k in range(size)]


def _split(vector: str, values: NDArray[np.floating]) -> dict[str, NDArray[np.float32]]:
    ends = np.cumsum([size for _, size in parts_of(vector)])
    return {
        part: values[end - size : end].astype(np.float32)
        for (part, size), end in zip(VECTORS[vector], ends, strict=True)
    }


def write_json(path: Path | str, vector: str, values: NDArray[np.floating]) -> None:
    """Write (P,) values as `read_json` reads them, atomically."""
    with atomic_write(Path(path)) as file:
        file.write(json.dumps({part: numbers.tolist() for part, numbers in _split(vector, values).items()}).encode())


def write_parts(
    stem: Path | str, vector: str, values: NDArray[np.floating], separator: Literal["/", "_"] = "/"
) -> None:
    """Write (P,) values as one `.npy` a part, in the folder `stem` or, with `_`, beside it; each file atomically."""
    for part, numbers in _split(vector, values).items():
        with atomic_write(Path(f"{stem}{separator}{part}.npy")) as file:
            np.save(file, numbers, allow_pickle=False)


def write_table(path: Path | str, vector: str, rows: Mapping[str, NDArray[np.floating]]) -> None:
    """Write sample id -> (P,) as a `.csv` or `.parquet` table, atomically."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    names = _columns(vector)
    matrix = np.array(list(rows.values()), dtype=np.float32).reshape(-1, len(names))
    columns = {name: matrix[:, place] for place, name in enumerate(names)}
    write = parquet.write_table if Path(path).suffix.lower() == ".parquet" else csv.write_csv
    with atomic_write(Path(path)) as file:
        write(pa.table({"id": pa.array(list(rows), pa.string()), **columns}), file)
