"""Predictions that cells have saved, one below the other."""

from __future__ import annotations

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


def read_tables(paths: list[Path], lengths: list[int]) -> pd.DataFrame:
    """Tables of predictions of so many rows, one below the other; raises `InvalidFile`.

    Arrow alone reads many small files in a tenth of the time that pandas takes one by one. Whatever it does not like is
    left to pandas, which tells which file it is.
    """
    try:
        read = [_read(path) for path in paths]
        if [table.num_rows for table in read] == lengths:
            found: pd.DataFrame = pa.concat_tables(read).combine_chunks().to_pandas()
            return found.reset_index(drop=True)
    except (OSError, ValueError, pa.ArrowException):
        pass
    tables = [read_table(path) for path in paths]
    for path, each, length in zip(paths, tables, lengths, strict=True):
        if len(each) != length:
            raise InvalidFile(path, f"holds {len(each)} predictions, not {length}", "Run the suite with --overwrite.")
    return pd.concat(tables, ignore_index=True)


def _read(path: Path) -> pa.Table:
    # Of a file that is in memory nothing has to be fetched ahead, by other threads.
    return ParquetFile(pa.BufferReader(path.read_bytes()), pre_buffer=False).read(use_threads=False)


def read_table(path: Path) -> pd.DataFrame:
    """A table of predictions as `score` wrote it; raises `InvalidFile`."""
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InvalidFile(path, f"cannot be read ({error})", "Run the suite with --overwrite.") from None
