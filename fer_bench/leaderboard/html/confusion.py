"""Confusion matrices, and metrics of each class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench import registry
from fer_bench.leaderboard.row import Row
from fer_bench.metrics import class_indices, presence_pairs
from fer_bench.metrics.classification import per_class
from fer_bench.metrics.multilabel import presence_matrices
from fer_bench.predictions.pooling import arrays, read_tables


def predictions(row: Row) -> pd.DataFrame | None:
    """Concatenated predictions of the row's finished cells, with the position of the cell as `cell`; None without
    finished cells."""
    if not row.finished:
        return None
    lengths = [result.n for _, result in row.finished]
    table = row.pooled
    if table is None:
        files = [cell.folder / "predictions.parquet" for cell, _ in row.finished]
        table = read_tables(registry.find_protocol(row.protocol), files, lengths)
    return table.assign(cell=np.repeat(np.arange(len(lengths)), lengths))


def answers(row: Row, table: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Raw outputs and truth of the row's `predictions`, as `score` takes them."""
    return row.scored or arrays(registry.find_protocol(row.protocol), table)


def fold_matrices(row: Row) -> NDArray[np.int64] | None:
    """Confusion matrix of each finished cell, (cells, C, C), row = truth; None for other tasks than classification."""
    table = predictions(row) if row.task == "classification" else None
    if table is None:
        return None
    protocol = registry.find_protocol(row.protocol)
    c = len(protocol.classes)
    true, found = class_indices(*answers(row, table), protocol.classes)
    # The matrices of all cells are counted at once, as one matrix of (cells times classes) by classes.
    rows = table["cell"].to_numpy() * c + true
    counts = np.bincount(rows * c + found, minlength=len(row.finished) * c * c)
    return counts.reshape(len(row.finished), c, c).astype(np.int64)


def class_figures(rows: Sequence[Row]) -> list[dict[str, Any] | None]:
    """Results per class of each row's finished cells; None for rows without. `matrix` (C, C) for classification;
    `classes`: recall, precision, F1 and support of each class; `cells`: number of finished cells, unless all are."""
    found = []
    for row in rows:
        figure: dict[str, Any] | None = None
        if row.finished and row.task == "classification":
            matrices = fold_matrices(row)
            assert matrices is not None
            total = matrices.sum(axis=0)
            figure = {"matrix": total.tolist(), "classes": _per_class(total)}
        elif row.finished and row.task == "multilabel":
            table, protocol = predictions(row), registry.find_protocol(row.protocol)
            assert table is not None
            pairs = presence_pairs(*answers(row, table), protocol.classes)
            figure = {"classes": [_per_class(each)[1] for each in presence_matrices(*pairs)]}
        if figure is not None and len(row.finished) < row.cells:
            figure["cells"] = len(row.finished)
        found.append(figure)
    return found


def _per_class(matrix: NDArray[np.int64]) -> list[list[float]]:
    if not matrix.sum():
        return [[0.0, 0.0, 0.0, 0] for _ in matrix]
    each = per_class(matrix)
    shares = zip(each.recall, each.precision, each.f1, each.support, strict=True)
    return [[*(round(float(v), 4) for v in (recall, precision, f1)), int(n)] for recall, precision, f1, n in shares]
