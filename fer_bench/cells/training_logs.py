"""What was logged in training: by our cells, and by authors who published theirs."""

from pathlib import Path

import pandas as pd

from fer_bench.cells.cell import Cell
from fer_bench.errors import InvalidFile

LOG_COLUMNS = {"loss": "test_loss", "accuracy": "test_acc1"}
"""Quantity -> its column in the authors' logs."""


def training_log(cell: Cell) -> pd.DataFrame:
    """What a cell logged, by epoch (counted from 0), one column a quantity. Its attempts are one continued run: what a
    later one says of an epoch counts. Empty where there is none.

    Raises:
        InvalidFile: a log is damaged.
    """
    paths = sorted((cell.folder / "csv").glob("attempt*/metrics.csv"), key=lambda p: int(p.parent.name[7:] or 0))
    columns: dict[str, dict[int, float]] = {}
    for path in paths:
        for name, values in _read_log(path, "epoch").items():
            columns.setdefault(str(name), {}).update(values.dropna().groupby(level=0).last().to_dict())
    return pd.DataFrame(columns).sort_index()


def published_log(path: Path) -> dict[str, pd.DataFrame]:
    """Panel -> the authors' log by epoch; empty where the paper has none; raises `InvalidFile`."""
    if not path.exists():
        return {}
    table = _read_log(path, "epoch", "variant", *LOG_COLUMNS.values())
    return {str(name): log for name, log in table.groupby("variant", sort=False)}


def _read_log(path: Path, *needed: str) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InvalidFile(path, f"cannot be read as CSV ({error})", "Restore it, or run the cell again.") from None
    if missing := [name for name in needed if name not in table]:
        raise InvalidFile(path, f"has no column {missing[0]}", "Restore it, or run the cell again.")
    return table.dropna(subset="epoch").astype({"epoch": int}).set_index("epoch")
