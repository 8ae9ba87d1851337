"""The optimism gap: how much a row gains by choosing the epoch on the test samples (`best_on_test`).

The same trainings are scored twice: at the epoch chosen on the test samples of the fold, and at the epoch that would
have been chosen without them. The difference is an effect of selection only. Within a fold it is never negative, and it
grows with the number of epochs to choose from and with fewer test samples.
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
    """The headline metric as scored, minus that of the honestly chosen epochs, with its paired interval over subjects.
    None if the epochs were not chosen on the test samples, or if honest predictions are missing, as for a fusion."""
    if row.selection != "best_on_test" or row.pooled is None:
        return None
    files = [cell.folder / "honest.parquet" for cell, _ in row.finished]
    if not all(file.exists() for file in files):
        return None
    protocol = registry.find_protocol(row.protocol)
    lengths = [result.n for _, result in row.finished]
    honest = read_tables(protocol, files, lengths)
    honest["seed"] = np.repeat([cell.seed for cell, _ in row.finished], lengths)
    scored, honest = (table.sort_values(["id", "seed"], ignore_index=True) for table in (row.pooled, honest))
    outputs, truth = arrays(protocol, scored)
    other, _ = arrays(protocol, honest)
    subjects = scored["subject"].to_numpy(dtype=object)
    return metric_difference(protocol.task, HEADLINE[protocol.task], outputs, other, truth, protocol.classes, subjects)
