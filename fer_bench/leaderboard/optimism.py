"""The optimism gap: how much a row gains by choosing the epoch on the test samples (`best_on_test`).

The same trainings are scored twice, by the epoch that was chosen on the test samples of its fold and by the one that
would have been chosen without them. The difference is all selection, and none of it skill: in a fold it is never below
zero, and the larger, the more epochs there are to choose from and the fewer samples are tested.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fer_bench import registry
from fer_bench.predictions.pooling import arrays, read_tables
from fer_bench.stats.bootstrap import HEADLINE, metric_difference
from fer_bench.stats.intervals import Difference

if TYPE_CHECKING:
    from fer_bench.leaderboard.row import Row


def optimism(row: Row) -> Difference | None:
    """The headline metric as scored, minus that of the honestly chosen epochs, with its paired interval over subjects;
    None for a row whose epochs were not chosen on the test samples, or that is not complete, as a fusion or cells that
    were handed on without their honest predictions."""
    if row.selection != "best_on_test" or row.pooled is None:
        return None
    files = [cell.folder / "honest.parquet" for cell, _ in row.finished]
    if not all(file.exists() for file in files):
        return None
    protocol = registry.find_protocol(row.protocol)
    lengths = [result.n for _, result in row.finished]
    honest = read_tables(protocol, files, lengths)
    honest["seed"] = np.repeat([cell.seed for cell, _ in row.finished], lengths)
    mine, theirs = (table.sort_values(["id", "seed"], ignore_index=True) for table in (row.pooled, honest))
    outputs, truth = arrays(protocol, mine)
    other, _ = arrays(protocol, theirs)
    subjects = mine["subject"].to_numpy(dtype=object)
    return metric_difference(protocol.task, HEADLINE[protocol.task], outputs, other, truth, protocol.classes, subjects)


def epochs_told(row: Row) -> str:
    """Which epoch was chosen, and which would have been, in the order of folds and seeds: `7 for 4, 2 for 2`."""
    return ", ".join(f"{result.selected_epoch} for {result.honest_epoch}" for _, result in row.finished)
