"""Read prediction files: csv or parquet tables, one row a sample, in one of these layouts. Other columns are ignored.

- classification: `output_<class>`, a raw score a class, and optionally `id` and `label` (the true class).
- multilabel: the same, `label` being names joined by `+`; a score above 0 says that a class is there.
- valence_arousal: `valence`, `arousal`, and optionally `id`, `valence_true` and `arousal_true`.
- valence_arousal as Ig3D's authors publish it: `val_pred`, `aro_pred`, and optionally `id`, `val_true` and `aro_true`.

A file is hostile until parsed: no pickle is ever read, and invalid content is an `InvalidPredictions` that names the
place. Rows are counted from 1, below the header.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.errors import InvalidPredictions
from fer_bench.expressions import EXPRESSIONS
from fer_bench.protocols import PROTOCOLS
from fer_bench.records import OUTPUT

_VA_LAYOUTS = (
    (["valence", "arousal"], ["valence_true", "arousal_true"]),
    (["val_pred", "aro_pred"], ["val_true", "aro_true"]),
)
_MISSING = {"", "na", "n/a", "<na>", "nan", "null", "none"}
_LARGEST = 1e100  # beyond it, squares and their sums overflow
_MOST = 10_000_000  # rows; a Parquet file of a few megabytes can say that it has thousands of millions


@dataclass(frozen=True)
class PredictionFile:
    """Parsed predictions: outputs `(N, D)`; truth `(N,)` names, `(N, 2)` numbers, or none; ids `(N,)`, or none."""

    path: Path
    outputs: NDArray[np.float64]
    truth: NDArray[Any] | None
    truth_columns: Sequence[str]
    ids: NDArray[Any] | None

    def error(self, problem: str, remedy: str) -> InvalidPredictions:
        """The error that blames this file."""
        return InvalidPredictions(self.path, problem, remedy)

    def no_truth(self, remedy: str = "Add it, or name a protocol.") -> InvalidPredictions:
        """The error of a file that would need the truth."""
        return self.error(f"does not hold the truth (no {' and '.join(map(repr, self.truth_columns))})", remedy)


def read_predictions(
    paths: Sequence[Path], task: str, classes: Sequence[str] | None = None
) -> tuple[list[PredictionFile], tuple[str, ...]]:
    """Read files of a task, and the classes in the order of the outputs' columns (none for valence and arousal).

    Args:
        paths: One file or more.
        task: `classification`, `multilabel` or `valence_arousal`.
        classes: The classes in order; by default those of the task's protocols that the first file has a column for.
            Every file must have exactly these.

    Raises:
        InvalidPredictions: A file that does not fit.
    """
    tables = [_Table(path) for path in paths]
    if task == "valence_arousal":
        return [_valence_arousal(table) for table in tables], ()
    of_protocols = [name for p in PROTOCOLS.values() if p.task == task for name in p.classes]
    usual = tuple(dict.fromkeys([*(EXPRESSIONS if task == "classification" else ()), *of_protocols]))
    names = tuple(classes) if classes is not None else _own_classes(tables[0], usual)
    return [_class_scores(table, names, several=task == "multilabel") for table in tables], names


def enumerate_briefly(items: Iterable[object], limit: int = 3) -> str:
    """The first items, quoted, and how many more there are."""
    items = list(items)
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(f"{item!r:.60}" for item in items[:limit]) + more


class _Table:
    """A predictions file as columns that are parsed, and blamed, one by one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frame = _read(path)
        self.columns = [str(column) for column in self.frame.columns]
        self.frame.columns = pd.Index(self.columns)
        if twice := sorted({repr(c) for c in self.columns if self.columns.count(c) > 1}):
            raise self.error(f"has more than one column {', '.join(twice[:3])}", "Keep one.")
        if self.frame.empty:
            raise self.error("holds no samples", "Write one row a sample below the header.")

    def error(self, problem: str, remedy: str) -> InvalidPredictions:
        return InvalidPredictions(self.path, problem, remedy)

    def require(self, columns: Sequence[str]) -> None:
        for column in columns:
            if column not in self.columns:
                near = difflib.get_close_matches(column, self.columns, n=3, cutoff=0.8)
                hint = (
                    f"Did you mean {' or '.join(map(repr, near))}?"
                    if near
                    else f"It has {enumerate_briefly(self.columns, 12)}."
                )
                raise self.error(f"has no column {column!r}", hint)

    def numbers(self, columns: Sequence[str]) -> NDArray[np.float64]:
        """Finite numbers `(N, len(columns))`."""
        self.require(columns)
        values = np.stack([self._parse(column) for column in columns], axis=1)
        if (bad := ~(np.abs(values) <= _LARGEST)).any():
            row, column = np.argwhere(bad)[0]
            where = f"first in row {row + 1}, column {columns[column]!r}"
            problem = f"has {bad.sum()} cells that are NaN, infinite, blank or beyond {_LARGEST:g}, {where}"
            raise self.error(problem, "Every sample needs finite numbers.")
        return values

    def texts(self, column: str) -> NDArray[Any]:
        """Non-blank strings `(N,)`; whole numbers are spelled out."""
        values = self.frame[column].astype(object)
        if (blank := values.isna() | (values == "")).any():
            row = int(np.argmax(blank.to_numpy())) + 1
            raise self.error(
                f"has {blank.sum()} rows without {column!r}, first row {row}", "Fill the column, or drop it."
            )
        if pd.api.types.infer_dtype(values) not in ("string", "integer"):
            raise self.error(f"has values in {column!r} that are neither text nor whole numbers", "Write them as text.")
        return values.map(str).to_numpy(dtype=object)

    def _parse(self, column: str) -> NDArray[np.float64]:
        values = self.frame[column]
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            return values.to_numpy(dtype=np.float64, na_value=np.nan)
        text = values.astype(object).map(str).str.strip()
        numbers = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        wrong = np.isnan(numbers) & ~text.str.lower().isin(_MISSING).to_numpy()
        if wrong.any():
            row = int(np.argmax(wrong))
            first = f"first {text.iloc[row]!r:.40} in row {row + 1}"
            problem = f"has {wrong.sum()} cells in column {column!r} that are not numbers, {first}"
            raise self.error(problem, "Write plain decimal numbers.")
        return numbers


def _read(path: Path) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise InvalidPredictions(path, "is not a file", "Name a csv or parquet file of predictions.")
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise InvalidPredictions(path, "is neither .csv nor .parquet", "Save the predictions as one of the two.")
    try:
        if path.suffix.lower() == ".parquet":
            file = pq.ParquetFile(path)
            _refuse_more(path, file.metadata.num_rows)
            table = file.read()
            table.validate(full=True)  # text that is not UTF-8 would only fail where it is used
            return table.to_pandas(ignore_metadata=True)
        # Everything is read as text: ids keep their leading zeros, and one place decides what a number is.
        text = pd.read_csv(path, header=None, dtype=str, na_filter=False, compression=None, nrows=_MOST + 2)
        _refuse_more(path, len(text) - 1)
    except pd.errors.EmptyDataError:
        raise InvalidPredictions(path, "is empty", "Write a header and one row a sample.") from None
    except (ValueError, OSError, MemoryError, pa.ArrowException) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        kind = path.suffix.lower()[1:]
        raise InvalidPredictions(path, f"cannot be read as {kind} ({reason:.200})", "Write it again.") from None
    return text.iloc[1:].reset_index(drop=True).set_axis(text.iloc[0].tolist(), axis=1)


def _refuse_more(path: Path, rows: int) -> None:
    if rows > _MOST:
        raise InvalidPredictions(path, f"holds more than {_MOST:,} rows", "Score it in parts.")


def _own_classes(table: _Table, usual: Sequence[str]) -> tuple[str, ...]:
    found = [column.removeprefix(OUTPUT) for column in table.columns if column.startswith(OUTPUT)]
    if len(found) < 2:
        raise table.error(f"has {len(found)} columns {OUTPUT}<class>", f"Write one a class, as in {OUTPUT}happy.")
    _check_classes(table, found, usual)
    return tuple(name for name in usual if name in found)


def _check_classes(table: _Table, names: Sequence[str], known: Sequence[str]) -> None:
    if unknown := sorted(set(names) - set(known)):
        near = difflib.get_close_matches(unknown[0], known, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"The classes are {', '.join(known)}."
        raise table.error(f"has unknown classes {enumerate_briefly(unknown)}", hint)


def _class_scores(table: _Table, classes: Sequence[str], *, several: bool) -> PredictionFile:
    _check_classes(table, [c.removeprefix(OUTPUT) for c in table.columns if c.startswith(OUTPUT)], classes)
    outputs = table.numbers([OUTPUT + name for name in classes])
    truth = table.texts("label") if "label" in table.columns else None
    if truth is not None:
        _check_classes(table, [name for t in truth for name in (t.split("+") if several else [t])], classes)
    return PredictionFile(table.path, outputs, truth, ["label"], _ids(table))


def _valence_arousal(table: _Table) -> PredictionFile:
    def likeness(layout: tuple[list[str], list[str]]) -> tuple[int, int]:
        wanted = layout[0] + layout[1]
        near = sum(bool(difflib.get_close_matches(column, table.columns, cutoff=0.8)) for column in wanted)
        return sum(column in table.columns for column in wanted), near

    predicted, true = max(_VA_LAYOUTS, key=likeness)
    outputs = table.numbers(predicted)
    truth = table.numbers(true) if any(column in table.columns for column in true) else None
    if truth is not None and (outside := np.abs(truth) > 1).any():
        row, column = np.argwhere(outside)[0]
        problem = f"has {outside.sum()} true values outside [-1, 1], first {truth[row, column]:g} in row {row + 1}"
        raise table.error(problem, "Leave such samples out; AffectNet marks those without annotation by -2.")
    return PredictionFile(table.path, outputs, truth, true, _ids(table))


def _ids(table: _Table) -> NDArray[Any] | None:
    if "id" not in table.columns:
        return None
    ids = pd.Series(table.texts("id"), dtype=object)
    if repeated := ids[ids.duplicated()].unique().tolist():
        raise table.error(
            f"has {len(repeated)} ids that occur more than once: {enumerate_briefly(repeated)}", "Keep one."
        )
    return ids.to_numpy()
