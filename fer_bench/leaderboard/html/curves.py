"""Training curves, limited in number and resolution to keep the page small."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fer_bench.cells.cell import Cell
from fer_bench.cells.training_logs import training_log
from fer_bench.errors import InvalidFile
from fer_bench.leaderboard.row import Row

CURVES = 120
"""Maximum number of cells drawn, the same for every row, spread over its folds."""

EPOCHS = 80
"""Maximum number of points of a curve; longer trainings are subsampled, and keep the last epoch."""


def training_curves(rows: Sequence[Row], places: Mapping[Path, int]) -> dict[int, dict[str, Any]]:
    """Position of a cell -> its `epochs`, counted from 1, and the `values` of each logged quantity."""
    per_row = max(1, CURVES // max(1, len(rows)))
    found = {}
    for row in rows:
        for number in np.unique(np.linspace(0, len(row.finished) - 1, per_row).astype(int)) if row.finished else ():
            cell = row.finished[number][0]
            if curve := _curve(cell):
                found[places[cell.folder]] = curve
    return found


def _curve(cell: Cell) -> dict[str, Any]:
    try:
        log = training_log(cell)
    except InvalidFile:
        return {}  # a damaged log
    names = [name for name in log if name.startswith(("train/", "val/"))]
    log = log[names].dropna(how="all") if names else log[[]].iloc[:0]
    if log.empty:
        return {}
    log = log.iloc[np.unique(np.linspace(0, len(log) - 1, EPOCHS).astype(int))]
    values = {
        name: [float(f"{value:.4g}") if np.isfinite(value) else None for value in log[name].tolist()] for name in names
    }
    return {"epochs": [int(epoch) + 1 for epoch in log.index], "values": values}
