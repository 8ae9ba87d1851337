"""Predictions that cells have saved, one below the other."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.parquet import ParquetFile

from fer_bench.errors import InvalidFile
from fer_bench.protocols import Protocol
from fer_bench.records import OUTPUT


def arrays(protocol: Protocol, table: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Raw outputs (N, outputs) and truth, of meshes the subjects, as `score` takes them, of a table of predictions."""
    outputs = table[[f"{OUTPUT}{name}" for name in protocol.outputs]].to_numpy(dtype=np.float64)
    if protocol.task == "disentanglement":
        return outputs, table["subject"].to_numpy(dtype=object)
    return outputs, np.array(protocol.truth(table), dtype=float if protocol.task == "valence_arousal" else object)


def read_tables(protocol: Protocol, paths: list[Path], lengths: list[int]) -> pd.DataFrame:
    """Tables of predictions with these numbers of rows, concatenated, which can be scored; raises `InvalidFile`.

    Arrow alone reads many small files in a tenth of the time that pandas takes one by one. A file that it rejects is
    left to pandas, whose error names the file.
    """
    try:
        read = [_read(path) for path in paths]
        if [table.num_rows for table in read] == lengths:
            found: pd.DataFrame = pa.concat_tables(read).combine_chunks().to_pandas().reset_index(drop=True)
            if not _wrong(protocol, found, np.repeat(np.arange(len(paths)), lengths)):
                return found
    except (OSError, ValueError, pa.ArrowException):
        pass
    tables = [read_table(path) for path in paths]
    for path, each, length in zip(paths, tables, lengths, strict=True):
        if len(each) != length:
            raise InvalidFile(path, f"holds {len(each)} predictions, not {length}", "Run the suite with --overwrite.")
        if message := _wrong(protocol, each, np.zeros(len(each), dtype=np.int64)):
            raise InvalidFile(path, message, "Run the suite with --overwrite.")
    return pd.concat(tables, ignore_index=True)


def _wrong(protocol: Protocol, table: pd.DataFrame, file: NDArray[np.int64]) -> str:
    """Why predictions cannot be scored; empty if they can.

    Args:
        file: Of each row, which file it is of; in one file a sample is predicted once.
    """
    numbers = [f"{OUTPUT}{name}" for name in protocol.outputs]
    words = ["id", "subject"]
    if protocol.task == "valence_arousal":
        numbers += ["valence", "arousal"]
    elif protocol.task != "disentanglement":
        words.append("label")
    if absent := [name for name in (*words, *numbers) if name not in table]:
        return f"has no column {absent[0]!r}"
    if others := [name for name in numbers if not pd.api.types.is_numeric_dtype(table[name])]:
        return f"holds other things than numbers in the column {others[0]!r}"
    finite = np.isfinite(table[numbers].to_numpy(np.float64)).all(axis=0)
    if protocol.task != "disentanglement" and not finite.all():  # of meshes, what is not known is nan
        return f"holds a number in the column {numbers[finite.argmin()]!r} that is not finite"
    if protocol.task == "classification" and (unknown := {*table["label"].unique()} - {*protocol.classes}):
        return f"has the label {unknown.pop()!r}, which {protocol.id} does not have"
    samples, names = pd.factorize(table["id"])
    if (samples < 0).any() or table["subject"].isna().any():
        return "does not say of each row which sample of whom it is"
    return "" if pd.Series(file * len(names) + samples).is_unique else "holds a sample twice"


def _read(path: Path) -> pa.Table:
    # A file in memory needs no prefetching by other threads.
    return ParquetFile(pa.BufferReader(path.read_bytes()), pre_buffer=False).read(use_threads=False)


def read_table(path: Path) -> pd.DataFrame:
    """A table of predictions as `score` wrote it; raises `InvalidFile`."""
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InvalidFile(path, f"cannot be read ({error})", "Run the suite with --overwrite.") from None
